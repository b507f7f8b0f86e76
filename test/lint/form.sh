#!/usr/bin/env bash
# How the sources look, and words that they do not use.
. "$(dirname "$0")/lib.bash"

mapfile -t sources < <(files 'src/*.[ch]' 'test/*.[ch]')

if ! command -v clang-format-14 >/dev/null; then
	skip clang-format "no clang-format-14 here, and other versions format differently"
else
	clang-format-14 --dry-run --Werror "${sources[@]}" 2>&1 |
		awk -F: '/ error: / { n[$1]++ } END { for (f in n) print f ": " n[f] " places differ: clang-format-14 -i" }' |
		sort | verdict clang-format
fi

for file in "${sources[@]}"; do
	expand -t 8 "$file" | awk -v f="$file" 'length($0) > 100 { print f ":" NR ": " length($0) " columns" }'
done | verdict "lines of C within 100 columns"

wc -l "${sources[@]}" | awk '$2 != "total" && $2 ~ /^src\// && $1 > 700 { print $2 ": " $1 " lines" }' |
	verdict "files of src within 700 lines"

mapfile -t texts < <(files '*' | grep -vE '\.(png|ico|gz|bin)$|/corpus/')
grep -InE '[[:blank:]]+$' "${texts[@]}" | cut -c1-120 | verdict "no blanks at the end of lines"
for file in "${texts[@]}"; do
	[ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo "$file"
done | verdict "every file ends in a newline"

files 'src/*.[ch]' |
	xargs -r grep -nE '\b(strtok|atoi|atol|sprintf|vsprintf|strcpy|strcat|gets|alloca|setlocale)\(' |
	verdict "no function that the house does without"
grep -nE '^[[:blank:]]*#[[:blank:]]*if 0\b' "${sources[@]}" | verdict "no code that is switched off"
files 'src/*.c' | grep -v '^src/main\.c$' | xargs -r grep -nE '(^|[^_A-Za-z])exit\(' |
	verdict "exit() in src/main.c alone"
files 'src/*.h' | while IFS= read -r file; do
	grep -q '^#pragma once$' "$file" || echo "$file"
done | verdict "every header has #pragma once"

# Words for work left over, spelt so that this line is none of them.
grep -InwE 'TO[D]O|FI[X]ME|X[X]X|HA[C]K' "${texts[@]}" | cut -c1-120 | verdict "nothing is left for later"

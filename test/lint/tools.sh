#!/usr/bin/env bash
# What other people's checkers say: shell, spelling, manual pages.
. "$(dirname "$0")/lib.bash"

missing() { # NAME PROGRAM
	command -v "$2" >/dev/null && return 1
	skip "$1" "no $2 here"
}

mapfile -t scripts < <({
	files '*.sh' '*.bash'
	files '*' | while IFS= read -r file; do
		head -n 1 "$file" 2>/dev/null | grep -aqE '^#!.*\b(ba)?sh\b' && echo "$file"
	done
} | sort -u)
missing shellcheck shellcheck ||
	shellcheck -x -P SCRIPTDIR "${scripts[@]}" 2>&1 | verdict shellcheck

mapfile -t texts < <(files '*' | grep -vE '^LICENSE$|/corpus/|\.(bin|hex)$')
missing codespell codespell ||
	codespell --ignore-words test/lint/words "${texts[@]}" 2>&1 | verdict spelling

mapfile -t pages < <(files 'docs/man/*.[0-9]')
if [ "${#pages[@]}" -eq 0 ]; then
	skip "manual pages" "there are none yet"
else
	missing "manual pages" mandoc ||
		mandoc -T lint -W warning "${pages[@]}" 2>&1 | verdict "manual pages"
fi

mapfile -t pythons < <(files 'test/*.py')
/usr/bin/python3 - "${pythons[@]}" <<'PYTHON' 2>&1 | verdict "python compiles"
import sys
for path in sys.argv[1:]:
    try:
        compile(open(path, encoding="utf-8").read(), path, "exec")
    except SyntaxError as error:
        print(error)
PYTHON

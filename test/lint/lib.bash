# Sourced by the checks: each says what it found with `verdict`.
# shellcheck shell=bash
set -uo pipefail
export LC_ALL=C.UTF-8

lint_status=0
trap 'exit $lint_status' EXIT

# verdict NAME: its standard input is what is wrong; nothing there is "ok".
verdict() {
	local findings
	findings=$(cat)
	if [ -z "$findings" ]; then
		echo "ok $1"
	else
		echo "not ok $1"
		while IFS= read -r line; do
			echo "# $line"
		done <<<"$findings"
		lint_status=1
	fi
}

skip() { # NAME REASON
	echo "ok $1 # SKIP $2"
}

# Tracked files, and those that will be: not what .gitignore names. Where there
# is no repository, all of them.
files() { # PATTERN..., default all
	[ $# -gt 0 ] || set -- '*'
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null | sort -u | while IFS= read -r file; do
			[ -f "$file" ] && printf '%s\n' "$file"
		done
	else
		local pattern
		for pattern in "$@"; do
			find . -path ./build -prune -o -path "./$pattern" -type f -printf '%P\n' -o \
				-name "$pattern" -type f -printf '%P\n'
		done | sort -u
	fi
}

#!/usr/bin/env bash
# The project speaks of itself alone: no directory of one machine, no host of a
# package registry.
. "$(dirname "$0")/lib.bash"

mapfile -t texts < <(files '*' | grep -vE '^LICENSE$')
grep -InE '(^|[^A-Za-z0-9_.])/(home|root|work|farm|mnt|media|Users)/[A-Za-z]' "${texts[@]}" | cut -c1-120 |
	verdict "no path of one machine"
grep -InE 'deb\.debian\.org|registry\.npmjs|proxy\.golang|pypi\.org|repo1?\.maven' "${texts[@]}" | cut -c1-120 |
	verdict "no host of a package registry"

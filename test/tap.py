#!/usr/bin/python3
"""Turns the log of `meson test` into one TAP line for each case.

usage: tap.py meson PART TESTLOG.json

A test that speaks TAP contributes each of its lines; one that does not, or that
died between its lines, contributes one of its own.
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*)$")


def cases(record):
    """The (passed, name) pairs of one test program."""
    found = []
    for line in record.get("stdout", "").splitlines():
        match = CASE.match(line.strip())
        if match:
            found.append((match.group(1) is None, match.group(2)))
    return found


def lines(part, record):
    program = record["name"].split(" / ")[-1]
    found = cases(record)
    for passed, name in found:
        yield f"{'ok' if passed else 'not ok'} {part}: {program}: {name}"
    result = record["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        if not found:
            yield f"ok {part}: {program}"
    elif result == "SKIP":
        if not found:
            yield f"ok {part}: {program} # SKIP the program skipped itself"
    elif all(passed for passed, _ in found):
        yield f"not ok {part}: {program}: ended as {result}, exit status {record.get('returncode')}"


def main():
    if len(sys.argv) != 4 or sys.argv[1] != "meson":
        sys.exit(__doc__)
    with open(sys.argv[3], encoding="utf-8") as log:
        for text in log:
            for line in lines(sys.argv[2], json.loads(text)):
                print(line)


if __name__ == "__main__":
    main()

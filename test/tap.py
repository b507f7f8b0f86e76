#!/usr/bin/python3
"""Turns the log of `meson test` into one TAP line for each case.

usage: tap.py PART TESTLOG.json

A test that speaks TAP contributes each of its lines; one that does not, or that
died between its lines, contributes one of its own. What failing programs had to
say goes to standard error.
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)\s*(# SKIP\b.*)?$")


def cases(record):
    """The (outcome, name) pairs of one test program."""
    found = []
    for line in record.get("stdout", "").splitlines():
        match = CASE.match(line.strip())
        if not match:
            continue
        failed, name, skipped = match.groups()
        if skipped:  # cmocka calls it "not ok" before 1.1.6, and puts the name behind the word
            found.append(("skipped", name or skipped.removeprefix("# SKIP").strip()))
        else:
            found.append(("failed" if failed else "passed", name))
    return found


def lines(part, record):
    program = record["name"].split(" / ")[-1]
    found = cases(record)
    outcomes = {outcome for outcome, _ in found}
    for outcome, name in found:
        result = "not ok" if outcome == "failed" else "ok"
        reason = " # SKIP what it needs is not on this machine" if outcome == "skipped" else ""
        yield f"{result} {part}: {program}: {name}{reason}"
    result, code = record["result"], record.get("returncode")
    if result in ("OK", "EXPECTEDFAIL"):
        if not found:
            yield f"ok {part}: {program}"
    elif result == "SKIP":
        if not found:
            yield f"ok {part}: {program} # SKIP the program skipped itself"
    elif "failed" not in outcomes and not (result == "FAIL" and "skipped" in outcomes and code == 0):
        yield f"not ok {part}: {program}: ended as {result}, exit status {code}"


def explain(record):
    """The failed cases of a program with what stands below each, and its standard error."""
    print(f"{record['name']}: {' '.join(record.get('command', []))}", file=sys.stderr)
    failed = False
    for line in record.get("stdout", "").splitlines():
        failed = line.startswith("not ok ") or (failed and line.startswith("#"))
        if failed:
            print(f"  {line}", file=sys.stderr)
    for line in record.get("stderr", "").splitlines()[-100:]:
        print(f"  {line}", file=sys.stderr)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as log:
        for text in log:
            record = json.loads(text)
            found = list(lines(sys.argv[1], record))
            print(*found, sep="\n")
            if any(line.startswith("not ok") for line in found):
                explain(record)


if __name__ == "__main__":
    main()

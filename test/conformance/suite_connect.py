"""connectrpc/conformance: its runner drives our server, and its servers hear our client."""
import re

import rows
import tools

PACKAGE = "connectrpc.com/conformance/cmd/connectconformance"
VERSION = "v1.0.5"
MODES = {"server": 372, "client": 403}
SECONDS = 300


def suite(context):
    for mode, expected in MODES.items():
        labels = ("connectrpc/conformance", VERSION, mode)
        try:
            runner = context.tools.go(PACKAGE, VERSION)
        except tools.Missing as missing:
            yield rows.skipped_row(*labels, expected, str(missing))
            continue
        yield one_mode(context, runner, mode, rows.Row(*labels, expected))


def one_mode(context, runner, mode, row):
    program = context.binary(f"test/conformance/connect-{mode}")
    log = context.logs / f"connect-{mode}.log"
    command = [runner, "--conf", context.here / "connect.yaml", "--mode", mode, "--max-servers", "2", "--trace", "-v"]
    if mode == "server":
        command += ["-p", "8"]
    # No --known-failing: there are none.
    code = tools.run([*command, "--", program], log, SECONDS)
    text = log.read_text(errors="replace")
    row.failed = re.findall(r"^FAILED: (.*?):?$", text, re.MULTILINE)
    total = re.search(r"^(\d+) passed, (\d+) failed", text, re.MULTILINE)
    if total:
        row.passed = int(total.group(1))
        if int(total.group(2)) != len(row.failed):
            row.failed.append(f"the runner counts {total.group(2)} failures")
    else:
        row.failed.append(f"the runner got to no result: {tools.last_line(log)}")
    words = tools.sanitizer_words(log)
    if words:
        row.failed.append(f"{words} in {log}")
    if code != 0 and not row.failed:
        row.failed.append(f"the runner ended with {code}")
    return row

"""h2spec against our server, h2specd against our client."""
import re
import shutil
import typing
import xml.etree.ElementTree as ElementTree

import daemon
import rows
import tools

MODULE = "github.com/summerwind/h2spec/cmd"


class Version(typing.NamedTuple):
    name: str
    default: int  # cases
    strict: int
    client: int


# The newest commit, and the newest release that every registry can have: one case fewer.
PINNED = (Version("af83a65f0b62", 146, 147, 57), Version("v2.2.1+incompatible", 145, 146, 57))
SECONDS = 600
# These cases answer the client's only call and then send a PING: a client that has said goodbye in
# between is right, too. Where nothing else failed the suite is run again.
GOODBYE = {
    "1: Sends a DATA frame with 2^14 octets in length",
    "1: Sends multiple CONTINUATION frames preceded by a HEADERS frame",
}
ATTEMPTS = 8
NGHTTP2_WITHOUT_PRIORITIES = (1, 65)
BY_DESIGN = "nghttp2 1.65 and newer have no priorities (RFC 9113 5.3.1): the frame is not looked at"
# What such an nghttp2 fails, by section and title.
EXCUSED = {
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"),
    ("http2/6.3", "Sends a PRIORITY frame with 0x0 stream identifier"),
}


def suite(context):
    for name, subject, cases, body in (
        ("h2spec", "server", "default", lambda program, row: server(context, program, row, False)),
        ("h2spec", "server, strict", "strict", lambda program, row: server(context, program, row, True)),
        ("h2specd", "client", "client", lambda program, row: client(context, program, row)),
    ):
        program, version, missing = find(context, name)
        if not program:
            yield rows.skipped_row(name, PINNED[0].name, subject, getattr(PINNED[0], cases), missing)
            continue
        row = rows.Row(name, version or "from PATH", subject, getattr(version_of(version), cases))
        body(program, row)
        if not version:
            expect_what_one_has(row, cases)
        yield row


def find(context, name):
    """The program, its version and None: the newest pin that the Go registry gives; before the
    older one, a program that is in PATH (its version unknown: its cases those of either).
    Or nothing, and what is missing."""
    missing = None
    for version in PINNED:
        try:
            return context.tools.go(f"{MODULE}/{name}", version.name), version.name, None
        except tools.Missing as why:
            missing = missing or str(why)
        if shutil.which(name):
            return shutil.which(name), None, None
    return None, None, missing


def expect_what_one_has(row, cases):
    """Of a program that may be either version: all the cases of one of them have to be there."""
    counted = row.passed + len(row.failed) + len(row.excused)
    if counted in [getattr(version, cases) for version in PINNED]:
        row.expected = counted


def version_of(name):
    return next((version for version in PINNED if version.name == name), PINNED[0])


def server(context, program, row, strict):
    name = "h2spec-strict" if strict else "h2spec"
    report = context.logs / f"{name}.xml"
    report.unlink(missing_ok=True)
    with tools.echod(context, f"{name}-echod") as echod:
        command = [program, "-h", "127.0.0.1", "-p", echod.grpc_port, "-P", "/", "-o", "2", "-j", report]
        code = tools.run([*command, *(["--strict"] if strict else [])], context.logs / f"{name}.log", SECONDS)
    read_report(context, report, row, code, context.logs / f"{name}.log")


def client(context, program, row):
    """It runs a command anew for each case, with the URL of the case as its last argument. The
    command is split at its spaces: so it is named without its folder, which may have some."""
    log = context.logs / "h2specd.log"
    script = context.logs / "h2specd-client"
    script.write_text(
        "#!/bin/sh\n"
        "address=${1#http://}\n"
        f'exec "{context.binary("src/echod")}" client --timeout=2s "${{address%/}}"\n'
    )
    script.chmod(0o755)
    for _ in range(ATTEMPTS):
        ports = ["-f", consecutive_ports(row.expected)]
        command = [program, "-h", "127.0.0.1", *ports, "-o", "2", "--exec", f"./{script.name}"]
        code = tools.run(command, log, SECONDS, cwd=context.logs)
        text = log.read_text(errors="replace")
        total = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", text)
        if not total:
            row.failed.append(f"no result; exit {code}: {tools.last_line(log)}")
            return
        row.passed, not_passed = int(total.group(2)), int(total.group(3)) + int(total.group(4))
        named = list(dict.fromkeys(re.findall(r"× (\d+: .*)", text)))
        if not_passed != len(named) or not set(named) <= GOODBYE or not named:
            break
    row.failed = named if len(named) == not_passed else [f"{not_passed} of them: {log}"] * not_passed


def consecutive_ports(count):
    """The first of so many ports that nobody listens on, below those that the system gives out."""
    for first in range(20000, 32000, 100):
        if not any(daemon.accepts(port) for port in range(first, first + count)):
            return first
    raise RuntimeError("no free ports")


def read_report(context, report, row, code, log):
    if not report.exists():
        row.failed.append(f"no report; exit {code}: {tools.last_line(log)}")
        return
    old = context.nghttp2 < NGHTTP2_WITHOUT_PRIORITIES
    for group in ElementTree.parse(report).getroot().iter("testsuite"):
        for case in group.iter("testcase"):
            package = case.get("package") or group.get("package") or ""
            title = case.get("classname") or case.get("name") or ""
            if case.find("failure") is None and case.find("error") is None and case.find("skipped") is None:
                row.passed += 1
            elif (package, title) in EXCUSED and not old:
                row.excused[f"{package}: {title}"] = BY_DESIGN
            else:
                # A case that h2spec skips is one that it could not try: nothing is skipped here.
                row.failed.append(f"{package}: {title}")

"""The live view of `echod client`: rows on a terminal, lines elsewhere, nothing where it is off."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import daemon

ROWS = re.compile(r"\r\x1b\[J([^\r]*)\r\n([^\r]*)\r\x1b\[A")


def on_a_terminal(echod, *arguments, columns=100, stdout=False, **environment):
    """What standard error gets that is a terminal, and standard output where it is one, too; the exit status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {name: value for name, value in daemon.environment(environment).items()
                 if name != "NO_COLOR" or name in environment}
    with subprocess.Popen([echod, "client", *arguments], stdin=subprocess.DEVNULL,
                          stdout=theirs if stdout else subprocess.DEVNULL, stderr=theirs, env=inherited) as client:
        os.close(theirs)
        seen = b""
        try:
            while more := os.read(ours, 4096):
                seen += more
        except OSError:  # the other side is gone
            pass
        os.close(ours)
    return seen.decode(), client.returncode


def test_a_terminal_sees_the_run_go_by(serve, echod):
    server = serve()
    seen, code = on_a_terminal(echod, "--rate=200", "--warmup=2s", "--duration=3s", server.grpc)
    assert code == 0, seen
    rows = ROWS.findall(seen)
    assert any(re.fullmatch(r"\[#+-*\]  warming up  [12]s/2s", row[0]) for row in rows), seen
    running = [row for row in rows if re.fullmatch(r"\[#+-*\]  [123]s/3s", row[0])]
    assert running, seen
    for first, second in rows:
        assert len(first) < 100 and len(second) < 100, (first, second)
        assert re.search(r"\b\d+ in flight  0 errors", second), (first, second)
    assert re.match(r"[\d.]+/s of [\d.]+/s  ", running[-1][1])
    assert re.search(r"  p50 [\d.]+[mu]?s  p99 [\d.]+[mu]?s", running[-1][1])
    # The last ones are taken away.
    assert seen.endswith("\r\x1b[J"), seen


def test_a_narrow_terminal_is_never_too_narrow(serve, echod):
    server = serve()
    seen, code = on_a_terminal(echod, "--rate=200", "--duration=2500ms", server.grpc, columns=24)
    assert code == 0, seen
    rows = ROWS.findall(seen)
    assert rows and all(len(row) < 24 for pair in rows for row in pair), rows


def test_colour_is_for_those_who_want_it(serve, echod):
    server = serve("--echo.delay=10s")
    arguments = ("--timeout=5ms", "--rate=200", "--duration=2500ms", server.grpc)
    assert re.search(r"\x1b\[31m\d+ errors.*?\x1b\[0m", on_a_terminal(echod, *arguments)[0])
    assert "\x1b[31m" in on_a_terminal(echod, *arguments, NO_COLOR="")[0]
    assert "\x1b[31m" not in on_a_terminal(echod, *arguments, NO_COLOR="1")[0]


def test_a_terminal_that_cannot_go_back_gets_no_rows(serve, echod):
    seen, code = on_a_terminal(echod, "--rate=200", "--duration=1500ms", serve().grpc, TERM="dumb")
    assert code == 0
    assert "\x1b" not in seen, seen


def test_who_sees_the_plan_before_the_run_is_not_told_it_again(serve, echod, run):
    arguments = ("--count=100", "--progress=off", serve().grpc)
    seen, code = on_a_terminal(echod, *arguments, columns=200, stdout=True)
    assert code == 0
    assert seen.count("closed loop, 1 call at a time") == 1, seen
    assert seen.startswith("echod client: closed loop, 1 call at a time"), seen
    done = run("client", *arguments)
    assert done.stdout.startswith(b"closed loop, 1 call at a time"), done.stdout


def test_off_is_off(serve, echod):
    server = serve()
    seen, code = on_a_terminal(echod, "--progress=off", "--rate=200", "--duration=1500ms", server.grpc)
    assert code == 0
    assert "\x1b" not in seen


def test_what_is_no_terminal_gets_lines_and_not_often(serve, run):
    done = run("client", "--rate=200", "--duration=1500ms", serve().grpc)
    assert done.returncode == 0
    assert b"\x1b" not in done.stderr and b"in flight" not in done.stderr

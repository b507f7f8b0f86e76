"""The log, and a standard error that is closed, full or blocked."""
import datetime
import json
import os
import re
import subprocess
import time

import pytest

import http1
from calls import Http2, channel, method
from daemon import Server, environment, unused_port, until

LINE = re.compile(r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(DEBUG|INFO|WARN|ERROR) msg=("[^"]*"|\S+)(?: \w+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*))*\Z')


def test_logfmt(serve):
    server = serve()
    server.stop()
    lines = server.output().splitlines()
    assert "gRPC server starting" in lines[0]
    assert any("Shutting down gRPC server" in line for line in lines)
    for line in lines:
        assert LINE.match(line), line
    stamp = datetime.datetime.strptime(lines[0][5:29], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert abs((stamp - datetime.datetime.utcnow()).total_seconds()) < 60


def test_json(serve):
    server = serve("--log.format=json")
    server.stop()
    lines = [json.loads(line) for line in server.output().splitlines()]
    assert lines[0]["msg"] == "gRPC server starting"
    assert lines[0]["level"] == "INFO"
    assert lines[0]["grpc"] == server.grpc
    assert all({"time", "level", "msg"} <= set(line) for line in lines)


def test_no_line_for_each_call_above_debug(serve):
    server = serve()
    with channel(server.grpc) as made:
        for _ in range(100):
            method(made)(b"x", timeout=5)
    server.stop()
    assert len(server.output().splitlines()) < 6


def test_what_peers_do_wrong_is_quiet_and_limited(serve):
    server = serve("--log.level=debug")
    for _ in range(500):
        with http1.Connection(server.grpc_port) as connection:
            connection.send(b"garbage\r\n\r\n" * 3)
            connection.closed()
    server.stop()
    lines = server.output().splitlines()
    assert not [line for line in lines if "level=ERROR" in line or "level=WARN" in line]
    routine = ("connection accepted", "connection closed")
    others = [line for line in lines if not any(text in line for text in routine)]
    assert len(others) < 100, f"{len(others)} lines for 500 bad peers"


def test_only_errors(echod, tmp_path):
    ports = unused_port(), unused_port()
    server = Server(
        echod, ["--log.level=error", f"--grpc.listen-address=127.0.0.1:{ports[0]}",
                f"--web.listen-address=127.0.0.1:{ports[1]}"], tmp_path / "log",
    )
    until(lambda: server.accepts(ports[0]), "the port")
    server.stop()
    assert server.output() == ""


# --- standard error ---


def works(echod, tmp_path, **popen):
    """A server whose standard error is as told: it serves, is noisy, and stops with 0."""
    ports = unused_port(), unused_port()
    server = Server(
        echod, ["--log.level=debug", f"--grpc.listen-address=127.0.0.1:{ports[0]}",
                f"--web.listen-address=127.0.0.1:{ports[1]}"], tmp_path / "log", **popen,
    )
    server.grpc, server.web = (f"127.0.0.1:{port}" for port in ports)
    until(lambda: server.accepts(ports[0]) and server.accepts(ports[1]), "the ports")
    for _ in range(1000):  # more noise than a pipe holds
        http1.Connection(ports[0]).socket.close()
        server.process.send_signal(1)
    with channel(server.grpc) as made:
        start = time.monotonic()
        for _ in range(50):
            assert method(made)(b"x", timeout=5) == b"x"
        assert time.monotonic() - start < 5
    assert server.get("/-/ready").status == 200
    return server


def test_stderr_closed_at_the_start(echod, tmp_path):
    server = works(echod, tmp_path, prefix=["sh", "-c", 'exec "$@" 2>&-', "sh"])
    # What was opened as descriptor 2 instead must not receive the log.
    server.stop()


def test_stderr_and_all_standard_streams_closed(echod, tmp_path):
    works(echod, tmp_path, prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]).stop()


def test_stderr_a_full_device(echod, tmp_path):
    with open("/dev/full", "wb") as full:
        works(echod, tmp_path, stderr=full).stop()


def test_stderr_a_pipe_that_nobody_reads(echod, tmp_path):
    read, write = os.pipe()
    try:
        server = works(echod, tmp_path, stderr=write)
        assert server.value("echod_log_messages_dropped_total") > 0
        server.stop()
    finally:
        os.close(read)
        os.close(write)


def test_stderr_a_pipe_whose_reader_went_away(echod, tmp_path):
    read, write = os.pipe()
    os.close(read)
    try:
        works(echod, tmp_path, stderr=write).stop()
    finally:
        os.close(write)


def test_stderr_a_pipe_that_is_read_again_goes_on(echod, tmp_path):
    read, write = os.pipe()
    try:
        server = works(echod, tmp_path, stderr=write)
        os.set_blocking(read, False)
        try:
            while os.read(read, 65536):
                pass
        except BlockingIOError:
            pass
        server.process.send_signal(1)

        def hup():
            try:
                return b"SIGHUP" in os.read(read, 65536)
            except BlockingIOError:
                return False

        until(hup, "the line")
        server.stop()
    finally:
        os.close(read)
        os.close(write)


def test_the_client_with_stderr_closed(shared, echod):
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", echod, "client", shared.grpc],
        stdout=subprocess.PIPE, check=False, timeout=20, env=environment(),
    )
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")


# --- standard input and output closed at the start ---


def test_the_client_without_standard_output(shared, echod):
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", echod, "client", shared.grpc],
        stderr=subprocess.PIPE, check=False, timeout=20, env=environment(),
    )
    assert done.returncode == 1
    assert b"standard output" in done.stderr


def test_the_client_without_standard_input(shared, echod):
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", echod, "client", "--message-file=-", shared.grpc],
        capture_output=True, check=False, timeout=20, env=environment(),
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--message-file" in done.stderr


# --- under journald ---


def test_for_the_journal_lines_have_a_priority_and_no_time(echod, tmp_path):
    log = tmp_path / "journal"
    ports = unused_port(), unused_port()
    with open(log, "wb") as file:
        stat = os.fstat(file.fileno())
        server = Server(
            echod, [f"--grpc.listen-address=127.0.0.1:{ports[0]}", f"--web.listen-address=127.0.0.1:{ports[1]}"],
            log, env={"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}", "ECHOD_NONSENSE": "1"}, stderr=file,
        )
        until(lambda: server.accepts(ports[0]), "the port")
        server.stop()
    lines = server.output().splitlines()
    assert any(line.startswith("<6>") and "gRPC server starting" in line for line in lines), lines
    assert any(line.startswith("<4>") and "ECHOD_NONSENSE" in line for line in lines), lines
    assert not any("time=" in line for line in lines)


@pytest.mark.parametrize("stream", ["1:1", "nonsense", ""])
def test_another_ones_journal_changes_nothing(serve, stream):
    server = serve(env={"JOURNAL_STREAM": stream})
    assert server.output().startswith("time=")


def test_a_hostile_header_does_not_forge_a_line(serve):
    server = serve("--log.level=debug")
    with Http2(server.grpc_port) as peer:
        peer.request(path="/a.B/C level=ERROR msg=forged", body=b"")
        peer.pump()
    server.stop()
    for line in server.output().splitlines():
        assert not line.startswith("level=ERROR") and LINE.match(line), line

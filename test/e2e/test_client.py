"""`echod client`: one call."""
import json
import socket
import subprocess
import threading
import time

import pytest

from calls import LIMIT
from daemon import environment, unused_port


def failed(done, status):
    """The last line of stderr of a failed call, which names the status."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == b""
    line = done.stderr.decode().splitlines()[-1]
    assert status in line, line
    return line


# --- one call ---


def test_the_default_message(shared, run):
    done = run("client", shared.grpc)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello, world!\n", b"")


@pytest.mark.parametrize(
    "message", ["", "hi", "ü☺😈", "two\nlines", "x" * 100000], ids=["empty", "hi", "unicode", "lines", "100 kB"]
)
def test_a_message(shared, run, message):
    done = run("client", f"--message={message}", shared.grpc)
    assert (done.returncode, done.stdout) == (0, message.encode() + b"\n")


def test_flags_may_stand_after_the_target(shared, run):
    assert run("client", shared.grpc, "--message", "later", "--plaintext").stdout == b"later\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"a\0b\0", b"line\n", bytes(range(128)) * 1000, b"x" * (LIMIT - 5)],
    ids=["empty", "NUL", "line", "every ASCII byte", "4 MiB"],
)
def test_a_message_from_a_file_and_from_stdin(shared, run, tmp_path, content):
    path = tmp_path / "message"
    path.write_bytes(content)
    replies = [
        run("client", f"--message-file={path}", shared.grpc).stdout,
        run("client", "--message-file=-", shared.grpc, input=content).stdout,
    ]
    assert [reply == content + b"\n" for reply in replies] == [True, True]


def test_json_output(shared, run):
    done = run("client", "--output=json", "--message=q\"\n", shared.grpc)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["status"], result["code"], result["reply"], result["echoed"]) == ("OK", 0, 'q"\n', True)
    assert 0 < result["latency_seconds"] < 5
    names = json.dumps(result["initial_metadata"])
    assert "echod-instance" in names and "echod-connection" in names


def test_metadata_is_taken(shared, run):
    done = run("client", "--metadata=a:b", "--metadata=c: d:e", "--metadata=x-bin:AAE=", shared.grpc)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")


def test_localhost_is_tried_on_every_address(serve, run):
    """Nobody listens on ::1 here; the name has both addresses, or one, and it works."""
    server = serve()
    done = run("client", f"localhost:{server.grpc_port}")
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")


# --- failures of one call: text on stderr, exit 1 ---


def test_nobody_there(run):
    line = failed(run("client", f"127.0.0.1:{unused_port()}"), "UNAVAILABLE (14)")
    assert "refused" in line


def test_a_name_that_does_not_exist(run):
    failed(run("client", "no-such-host.invalid:1"), "UNAVAILABLE (14)")


def test_a_timeout(serve, run):
    server = serve("--echo.delay=30s", "--shutdown.grace=1s")
    start = time.monotonic()
    failed(run("client", "--timeout=300ms", server.grpc), "DEADLINE_EXCEEDED (4)")
    assert time.monotonic() - start < 5
    server.wait_value(0, "echod_rpcs_in_flight")
    assert server.value("failed_requests") == 1


def test_a_timeout_while_connecting(run):
    """A listener whose backlog is full answers nothing at all."""
    with socket.socket() as full, socket.socket() as filler:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filler.connect(full.getsockname())
        others = []
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(full.getsockname())
            others.append(other)
        start = time.monotonic()
        done = run("client", "--timeout=500ms", f"127.0.0.1:{full.getsockname()[1]}")
        assert done.returncode == 1
        assert time.monotonic() - start < 5
        for other in others:
            other.close()


def test_an_error_status_is_told_with_name_number_and_message(serve, run):
    server = serve("--grpc.max-message-bytes=10")
    line = failed(run("client", server.grpc), "RESOURCE_EXHAUSTED (8)")
    assert line.rpartition("(8)")[2].strip(": ")


def test_a_peer_that_is_no_grpc_server(shared, run):
    failed(run("client", f"127.0.0.1:{shared.web_port}"), "UNAVAILABLE (14)")


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\0\2\2\x46"])
def test_a_peer_that_speaks_something_else(run, banner):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            peer, _ = listener.accept()
            peer.sendall(banner)
            time.sleep(0.2)
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        failed(run("client", "--timeout=5s", f"127.0.0.1:{listener.getsockname()[1]}"), "UNAVAILABLE (14)")
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--timeout=never"],
        ["--timeout=0s"],
        ["--metadata=novalue"],
        ["--metadata=Bad Name:x"],
        ["--metadata=grpc-timeout:1S"],
        ["--message=a", "--message-file=b"],
        ["--message-file=/nonexistent"],
        ["--output=xml"],
        ["--count=0"],
        ["--concurrency=x"],
        ["--no-plaintext"],
        ["one:1", "two:2"],
        ["host:port"],
        [""],
        ["--message-file=two\nlines"],
        ["--metadata=two\nlines:x"],
        ["--metadata=a:two\nlines"],
        ["--web.listen-address=two\nlines"],
        ["[two\nlines"],
        ["one:1", "two\nlines"],
        ["--rate=0", "--duration=1s"],
        ["--rate=100"],
        ["--rate=1..100", "--duration=1s"],
        ["--rate=10,20"],
        ["--rate=100", "--concurrency=5", "--duration=1s"],
        ["--count=5", "--max-in-flight=5"],
        ["--count=5", "--arrival=poisson"],
        ["--assert=p99<1s"],
        ["--count=5", "--assert=p99<fast"],
        ["--count=5", "--assert=code.UNHEARD==0"],
        ["--count=5", "--reconcile=localhost:2112"],
        ["--count=5", "--message-size=5MiB"],
        ["--count=5", "--message-file=/dev/zero"],
        ["--method=package.Service"],
        ["--method=a.B/C", "--request-file=/nonexistent"],
        ["--request-file=/dev/null"],
        ["--count=5", "--output=json", "--output=html"],
        ["--count=5", "--output=json:a", "--output=html:a"],
        ["--output=html"],
        ["--count=5", "--assert=p99<1s\nx"],
        ["--count=5", "--connections=1", "one:1", "two:2"],
    ],
)
def test_bad_usage_is_2_and_one_line(run, arguments):
    done = run("client", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1


def test_bytes_that_are_no_text_are_refused_before_they_are_sent(shared, run):
    before = shared.value("total_requests")
    done = run("client", "--message-file=-", shared.grpc, input=b"\xff\xfe")
    assert done.returncode == 2
    assert b"UTF-8" in done.stderr
    assert shared.value("total_requests") == before


def test_a_reply_that_nobody_takes_is_a_failure(shared, echod):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [echod, "client", shared.grpc], stdout=full, stderr=subprocess.PIPE, check=False, timeout=20, env=environment()
        )
    assert done.returncode == 1
    assert b"standard output" in done.stderr


def test_the_clients_metrics_on_a_taken_port(serve, run):
    server = serve()
    done = run("client", f"--web.listen-address={server.web}", server.grpc)
    assert done.returncode == 1
    assert str(server.web_port).encode() in done.stderr

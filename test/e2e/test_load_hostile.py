"""Load against servers that are absent, silent, no HTTP/2, wrong, or go away: each run ends when it should, and every
call of it has one place."""
import contextlib
import signal
import socket
import struct
import time

import pytest

from daemon import until, unused_port
from frames import (
    ENHANCE_YOUR_CALM, GOAWAY, MAX_CONCURRENT_STREAMS, REFUSED_STREAM, block, data, echo, frame, headers, message,
    rst_stream,
)
from host import HEAD, REPLY, Serving, host, unary  # noqa: F401
from load import Run, status

LOOPS = {
    "closed": ["--duration=1s", "--concurrency=4"],
    "open": ["--rate=200", "--duration=1s", "--max-in-flight=20", "--connections=2"],
}
LATE = 8  # seconds beyond what a run may take, for a busy machine


@pytest.fixture(params=LOOPS)
def loop(request):
    return LOOPS[request.param]


@pytest.fixture
def go(echod, tmp_path):
    """Runs to its end; (the JSON, what was printed, the exit code), which must come in time."""

    def start(*flags, within=1 + 1):
        begin = time.monotonic()
        with Run(echod, tmp_path, "--grace=1s", *flags) as run:
            told = run.finish(timeout=within + LATE + 30)
        assert time.monotonic() - begin < within + LATE
        return told

    return start


# --- nobody, or somebody else ---


def test_nobody_listens(go, loop):
    result, text, code = go(*loop, f"127.0.0.1:{unused_port()}")
    assert code == 4
    assert result["never_found"]["calls"] == result["calls"]["done"] > 0
    assert "found no server" in text


def test_a_name_that_does_not_exist(go, loop):
    result, _, code = go(*loop, "no-such-host.invalid:1")
    assert code == 4 and result["calls"]["started"] == 0


def test_a_socket_that_is_not_there(go, loop, tmp_path):
    _, _, code = go(*loop, f"unix:{tmp_path}/none")
    assert code == 4


@pytest.mark.parametrize(
    "banner",
    [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"\xff" * 9000],
    ids=["http1", "ssh", "zeros", "ones"],
)
def test_somebody_who_speaks_something_else(go, loop, host, banner):  # noqa: F811
    def serve(guest, _):
        guest.send(banner)

    result, text, code = go(*loop, "--timeout=1s", host(serve).target)
    assert code in (1, 4)
    assert status(result, "OK") == 0
    assert "every call that reached" not in text


def test_somebody_who_hangs_up_at_once(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.socket.shutdown(socket.SHUT_RDWR)

    result, _, code = go(*loop, "--timeout=1s", host(serve).target)
    assert code in (1, 4) and status(result, "OK") == 0


def test_somebody_who_never_says_a_word(go, loop, host):  # noqa: F811
    def serve(guest, _):
        with contextlib.suppress(OSError):
            while guest.socket.recv(65536):
                pass

    result, _, code = go(*loop, "--timeout=500ms", host(serve).target)
    assert code in (1, 4)
    assert status(result, "OK") == 0
    assert status(result, "DEADLINE_EXCEEDED") + result["calls"]["unfinished"] + result["never_found"]["calls"] == (
        result["calls"]["started"]
    )


def test_a_backlog_that_is_full(go, loop):
    with socket.socket() as listener, contextlib.ExitStack() as others:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # what the kernel takes without an accept
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        result, _, code = go(*loop, "--timeout=500ms", f"127.0.0.1:{listener.getsockname()[1]}")
    assert code in (1, 4) and status(result, "OK") == 0


# --- HTTP/2, and then nothing, or worse ---


def test_a_hang_after_the_handshake(go, loop, host):  # noqa: F811
    result, _, code = go(*loop, "--timeout=300ms", host(lambda guest, _: guest.hello()).target)
    assert code == 1
    assert status(result, "DEADLINE_EXCEEDED") == result["calls"]["done"] > 0


def test_a_hang_beyond_the_grace_is_unfinished(go, loop, host):  # noqa: F811
    result, _, code = go(*loop, "--timeout=1m", host(lambda guest, _: guest.hello()).target)
    assert code == 1
    assert result["calls"]["unfinished"] == result["calls"]["started"] > 0


@pytest.mark.parametrize("code, name", [(2, "INTERNAL"), (8, "CANCELLED"), (11, "RESOURCE_EXHAUSTED")])
def test_each_call_is_reset(go, loop, host, code, name):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        while True:
            guest.send(rst_stream(guest.request(), code))

    result, _, exit_code = go(*loop, host(serve).target)
    assert exit_code == 1
    assert status(result, name) == result["calls"]["done"] > 0


def test_each_call_is_refused_unprocessed(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        while True:
            guest.send(rst_stream(guest.request(), REFUSED_STREAM))

    result, _, code = go(*loop, host(serve).target)
    assert code == 1
    assert status(result, "UNAVAILABLE") == result["calls"]["done"] > 0
    assert result["calls"]["retries"] > 0  # once each, and it stays one call
    assert result["calls"]["attempts"] >= 2 * status(result, "UNAVAILABLE")


ANSWERS = {
    "another text": (unary(body=message(echo("Hello, wurld!"))), "mismatched"),
    "no text": (unary(body=message(b"")), "mismatched"),
    "no message": (unary(body=None), "INTERNAL"),
    "two messages": (unary(body=REPLY + REPLY), "INTERNAL"),
    "garbage": (unary(body=message(b"\xff\xff\xff")), "INTERNAL"),
    "no trailers": (unary(trailers=None), "INTERNAL"),
    "plain HTTP": (unary([(":status", "503")], None, None), "UNAVAILABLE"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_wrong_answers(go, loop, host, kind):  # noqa: F811
    answer, expected = ANSWERS[kind]

    def serve(guest, _):
        guest.hello()
        while True:
            guest.send(answer(guest.request()))

    result, text, code = go(*loop, host(serve).target)
    assert code == 1
    assert status(result, "OK") == 0
    if expected == "mismatched":
        assert result["calls"]["mismatched"] == result["calls"]["done"] > 0
        assert "not the echo" in text
    else:
        wrong = [each["status"] for each in result["statuses"] if each["calls"]]
        assert wrong == [expected] or kind in ("no message", "two messages") and len(wrong) == 1


def test_any_answer_is_taken_where_it_is_not_verified(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        while True:
            guest.send(unary(body=message(echo("something else")))(guest.request()))

    result, _, code = go(*loop, "--no-verify", host(serve).target)
    assert code == 0 and status(result, "OK") == result["calls"]["done"] > 0


# --- there, and then gone ---


def test_goodbye_after_each_call(go, loop, host):  # noqa: F811
    """GOAWAY that names the last stream: what is above it is sent anew, on the next connection."""

    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        guest.send(unary()(stream))
        guest.goaway(stream)
        guest.socket.shutdown(socket.SHUT_WR)

    result, _, code = go(*loop, host(serve).target)
    assert code == 0
    assert status(result, "OK") > 0
    assert result["connections"]["opened"] > 2


def test_goodbye_in_anger(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        guest.send(frame(GOAWAY, payload=struct.pack(">II", stream, ENHANCE_YOUR_CALM) + b"too_many_pings"))
        guest.socket.shutdown(socket.SHUT_WR)

    result, text, code = go(*loop, "--timeout=1s", host(serve).target)
    assert code in (1, 4)
    assert result["connections"]["goaways"]["ENHANCE_YOUR_CALM"] > 0
    assert "ENHANCE_YOUR_CALM" in text


def test_a_reset_in_the_middle_of_an_answer(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        guest.send(headers(stream, block(HEAD)) + data(stream, REPLY[:7]))
        guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        guest.socket.close()

    result, _, code = go(*loop, "--timeout=1s", host(serve).target)
    assert code == 1
    assert status(result, "UNAVAILABLE") > 0
    assert result["connections"]["lost"] > 0


@pytest.mark.parametrize("loop_of", LOOPS)
def test_killed_in_the_middle(serve, echod, tmp_path, loop_of):
    server = serve(exit_code=-signal.SIGKILL)
    flags = [each.replace("duration=1s", "duration=4s") for each in LOOPS[loop_of]]
    with Run(echod, tmp_path, "--grace=1s", "--timeout=1s", *flags, f"127.0.0.1:{server.grpc_port}") as run:
        until(lambda: server.scrape().value("total_requests") > 50, "load")
        server.send_signal(signal.SIGKILL)
        result, text, code = run.finish()
    assert code == 0  # a call succeeded
    assert status(result, "OK") > 0
    assert status(result, "UNAVAILABLE") + result["never_found"]["calls"] > 0
    assert result["connections"]["lost"] > 0
    assert "first error" in text or "first failure" in text or "errors" in text


def test_a_peer_that_admits_one_stream(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serving = Serving(guest, {MAX_CONCURRENT_STREAMS: 1})
        while True:
            serving.reply(serving.request())

    result, _, code = go(*loop, "--connections=1", host(serve).target)
    assert code == 0
    assert status(result, "OK") == result["calls"]["started"] > 0
    assert result["calls"]["stream_waits"] > 0 or "--rate=200" in loop


def test_a_peer_that_admits_no_stream(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello({MAX_CONCURRENT_STREAMS: 0})

    result, _, code = go(*loop, "--timeout=500ms", host(serve).target)
    assert code == 1 and status(result, "DEADLINE_EXCEEDED") > 0


def test_answers_in_single_bytes(go, loop, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        guest.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for octet in unary()(guest.request()):
                guest.send(bytes([octet]))

    result, _, code = go(*loop, host(serve).target)
    assert code == 0 and status(result, "OK") == result["calls"]["done"] > 0


def test_fail_on_error_and_one_failure_is_1(go, host):  # noqa: F811
    def serve(guest, _):
        guest.hello()
        guest.send(rst_stream(guest.request(), 2))
        while True:
            guest.send(unary()(guest.request()))

    target = host(serve).target
    flags = ["--count=50", "--concurrency=1", target]
    assert go(*flags)[2] == 0
    result, _, code = go(*flags, "--fail-on-error")
    assert code == 1 and status(result, "INTERNAL") == 1 and status(result, "OK") == 49

"""gRPC's wire contract, the client's side of it: a server by hand whose answers may break every rule."""
import gzip
import json
import signal
import struct
import subprocess
import threading
import time

import pytest

from daemon import environment, unused_port, until
from load import status
from frames import (
    CANCEL, DATA, GOAWAY, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, NO_ERROR, PUSH_PROMISE,
    RST_STREAM, block, data, echo, frame, headers, message, rst_stream, settings, window_update,
)
from host import HEAD, MOST, OK, REPLY, host, only, outcome, unary  # noqa: F401 (fixtures)


def early(code):
    """1xx blocks before a good answer."""
    return lambda stream: headers(stream, block([(":status", code), ("grpc-status", "7")])) * 2 + unary()(stream)


ANSWERS = {
    "plain": (unary(), "OK"),
    "after 1xx": (early("103"), "OK"),
    "1xx that ends the stream": (only([(":status", "100")]), "INTERNAL"),
    "101": (early("101"), "INTERNAL"),
    "HTTP 400": (only([(":status", "400")]), "INTERNAL"),
    "HTTP 401": (only([(":status", "401")]), "UNAUTHENTICATED"),
    "HTTP 403": (only([(":status", "403")]), "PERMISSION_DENIED"),
    "HTTP 404 with a body": (unary([(":status", "404"), ("content-type", "text/html")], b"<p>", None), "UNIMPLEMENTED"),
    "HTTP 418": (only([(":status", "418")]), "UNKNOWN"),
    "HTTP 429": (only([(":status", "429")]), "UNAVAILABLE"),
    "HTTP 431": (only([(":status", "431")]), "UNKNOWN"),
    "HTTP 502": (only([(":status", "502")]), "UNAVAILABLE"),
    "HTTP 503": (only([(":status", "503")]), "UNAVAILABLE"),
    "HTTP 504": (only([(":status", "504")]), "UNAVAILABLE"),
    "HTTP 800": (only([(":status", "800")]), "UNKNOWN"),
    "HTTP 503 that knows gRPC": (only([(":status", "503"), *HEAD[1:], ("grpc-status", "5")]), "NOT_FOUND"),
    "a page": (unary([(":status", "200"), ("content-type", "text/html")], b"<p>", None), "UNKNOWN"),
    "a page without content": (only([(":status", "200"), ("content-type", "text/html")]), "UNKNOWN"),
    "no content-type": (unary(HEAD[:1]), "UNKNOWN"),
    "another codec": (unary([HEAD[0], ("content-type", "application/grpc+json")]), "INTERNAL"),
    "status in words": (unary(trailers=[("grpc-status", "abc")]), "UNKNOWN"),
    "status empty": (unary(trailers=[("grpc-status", "")]), "UNKNOWN"),
    "status negative": (unary(trailers=[("grpc-status", "-1")]), "UNKNOWN"),
    "status beyond 32 bits": (unary(trailers=[("grpc-status", "4294967296")]), "UNKNOWN"),
    "trailers without a status": (unary(trailers=[("a", "b")]), "UNKNOWN"),
    "END_STREAM on DATA": (unary(trailers=None), "INTERNAL"),
    "nothing but headers": (only(HEAD), "INTERNAL"),
    "a status in the head does not count": (unary([*HEAD, ("grpc-status", "9"), ("grpc-message", "no")]), "OK"),
    "headers in the middle": (
        lambda stream: unary(trailers=None)(stream)[:-9 - len(REPLY)] + headers(stream, block([("a", "b")])), "INTERNAL"
    ),
    "no message": (unary(body=None), "UNIMPLEMENTED"),
    "two messages": (unary(body=REPLY * 2), "UNIMPLEMENTED"),
    "two messages and an error": (unary(body=REPLY * 2, trailers=[("grpc-status", "8")]), "RESOURCE_EXHAUSTED"),
    "a torn message": (unary(body=REPLY[:-3]), "INTERNAL"),
    "a compressed message": (unary(body=b"\x01" + REPLY[1:]), "INTERNAL"),
    "a compressed message, identity": (
        unary([*HEAD, ("grpc-encoding", "identity")], b"\x01" + REPLY[1:]), "INTERNAL"
    ),
    "a compressed message, unknown": (unary([*HEAD, ("grpc-encoding", "foo")], b"\x01" + REPLY[1:]), "INTERNAL"),
    "an encoding that is not used": (unary([*HEAD, ("grpc-encoding", "foo")]), "OK"),
    "a message of 4 GiB": (unary(body=b"\0\xff\xff\xff\xff", trailers=None), "RESOURCE_EXHAUSTED"),
    "what is no protobuf": (unary(body=message(b"\x0a\xff")), "INTERNAL"),
    "text that cannot be decoded": (
        unary(trailers=[("grpc-status", "3"), ("grpc-message", "%zz%4%")]), "INVALID_ARGUMENT"
    ),
    "a head over the limit": (unary([*HEAD, ("x", "y" * 17000)]), "RESOURCE_EXHAUSTED"),
    "trailers over the limit": (unary(trailers=[*OK, ("x", "y" * 17000)]), "RESOURCE_EXHAUSTED"),
    "a head of a megabyte": (unary([*HEAD, *((f"x{i}", "y" * 10000) for i in range(100))]), "RESOURCE_EXHAUSTED"),
    "no :status": (unary(HEAD[1:]), "INTERNAL"),
    "upper case": (unary([*HEAD, ("Abc", "d")]), "INTERNAL"),
    "too much credit": (lambda stream: window_update(stream, MOST), "INTERNAL"),
    "DATA before HEADERS": (unary(None), "UNAVAILABLE"),
    "a reset behind the trailers": (lambda stream: unary()(stream) + rst_stream(stream, NO_ERROR), "OK"),
    "a cancellation behind the trailers": (lambda stream: unary()(stream) + rst_stream(stream), "OK"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_means_what_the_contract_says(host, run, name):
    answer, expected = ANSWERS[name]

    def serve(guest, _):
        guest.hello()
        guest.send(answer(guest.request()))

    served = host(serve)
    done = run("client", "--timeout=5s", served.target)
    assert outcome(done) == expected, done
    assert served.connections == 1


RESETS = ["INTERNAL"] * 5 + ["UNKNOWN", "INTERNAL", "UNAVAILABLE", "CANCELLED", "INTERNAL", "INTERNAL"]
RESETS += ["RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "UNKNOWN"]


@pytest.mark.parametrize(("code", "expected"), [*enumerate(RESETS), (0xFF, "UNKNOWN"), (2**32 - 1, "UNKNOWN")])
def test_a_reset_means_what_its_code_says(host, run, code, expected):
    def serve(guest, _):
        guest.hello()
        while True:
            guest.send(rst_stream(guest.request(), code))

    done = run("client", "--timeout=5s", host(serve).target)
    assert outcome(done) == expected, done


@pytest.mark.parametrize("text", ["", "why"])
def test_a_status_that_nobody_knows_is_told_by_its_number(host, run, text):
    def serve(guest, _):
        guest.hello()
        guest.send(unary(trailers=[("grpc-status", "99"), ("grpc-message", text)])(guest.request()))

    done = run("client", "--timeout=5s", host(serve).target)
    assert outcome(done) == "UNKNOWN"
    assert b"99" in done.stderr and text.encode() in done.stderr


def test_a_call_refused_once_is_sent_anew(host, run):
    streams = []

    def serve(guest, _):
        guest.hello()
        while True:
            streams.append(guest.request())
            guest.send(rst_stream(streams[-1], 7) if len(streams) == 1 else unary()(streams[-1]))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "OK"
    assert streams == [1, 3]


def test_a_call_refused_after_the_answer_began_is_not_sent_anew(host, run):
    streams = []

    def serve(guest, _):
        guest.hello()
        while True:
            streams.append(guest.request())
            guest.send(headers(streams[-1], block(HEAD)) + rst_stream(streams[-1], 7))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "UNAVAILABLE"
    assert streams == [1]


def test_an_answer_before_the_request_is_sent_ends_the_call(host, run):
    """Without credit the request would wait for ever; the server says no, and no more."""
    seen = []

    def serve(guest, _):
        guest.hello({INITIAL_WINDOW_SIZE: 0})
        stream = guest.request(whole=False)
        guest.send(only([*HEAD, ("grpc-status", "7")])(stream))
        seen.append(guest.until(lambda kind, *_: kind == RST_STREAM))

    start = time.monotonic()
    served = host(serve)
    assert outcome(run("client", "--timeout=8s", served.target)) == "PERMISSION_DENIED"
    assert time.monotonic() - start < 5
    until(lambda: seen, "the reset, which the host may read after the client has ended")
    assert seen == [(RST_STREAM, 0, 1, struct.pack(">I", NO_ERROR))]


def test_a_server_that_cancels_at_the_deadline_has_exceeded_it(host, run):
    """Both watch the same deadline; whose clock is first is no matter of status."""

    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        time.sleep(0.5)
        guest.send(rst_stream(stream, CANCEL))

    served = host(serve)
    for _ in range(3):
        assert outcome(run("client", "--timeout=500ms", served.target)) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("when", ["at first", "after the request"])
def test_a_silent_server_does_not_outlast_the_deadline(host, run, when):
    def serve(guest, _):
        if when == "after the request":
            guest.hello()

    start = time.monotonic()
    assert outcome(run("client", "--timeout=500ms", host(serve).target)) == "DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 4


def test_a_limit_of_no_streams_is_waited_out(host, run):
    def serve(guest, _):
        guest.hello({MAX_CONCURRENT_STREAMS: 0})
        time.sleep(0.2)
        guest.send(settings({MAX_CONCURRENT_STREAMS: 1}))
        guest.send(unary()(guest.request()))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "OK"


def test_a_goaway_below_the_call_sends_it_elsewhere(host, run):
    def serve(guest, n):
        guest.hello()
        stream = guest.request()
        if n == 1:
            guest.goaway(0)
        else:
            guest.send(unary()(stream))

    served = host(serve)
    assert outcome(run("client", "--timeout=5s", served.target)) == "OK"
    assert served.connections == 2


def test_goaways_above_the_call_let_it_finish(host, run):
    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        for last in (MOST, 1, 1):
            guest.goaway(last)
        guest.send(unary()(stream))

    served = host(serve)
    assert outcome(run("client", "--timeout=5s", served.target)) == "OK"
    assert served.connections == 1


@pytest.mark.parametrize("ids", [(1, MOST), (2,)], ids=["raised", "even"])
def test_a_goaway_that_breaks_the_rules_ends_the_connection(host, run, ids):
    def serve(guest, _):
        guest.hello()
        guest.request()
        for last in ids:
            guest.goaway(last)

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "UNAVAILABLE"


# --- what is said of a server that turns the client away ---


def served_by(serve):
    """A server of one connection whose `serve(guest)` follows its SETTINGS."""

    def both(guest, _):
        guest.hello()
        serve(guest)

    return both


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b'HTTP/1, not HTTP/2: "HTTP/1.1 400 Bad Request"'),
        (b"\x15\x03\x01\0\2\2\x46", b"speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", b'speaks SSH, not HTTP/2: "SSH-2.0-OpenSSH_9.2p1"'),
        (b"220 mail.example.org ESMTP\r\n", b'it said "220 mail.example.org ESMTP"'),
        (b"", b"closed the connection before it spoke HTTP/2"),
    ],
    ids=["HTTP/1", "TLS", "SSH", "SMTP", "nothing"],
)
def test_a_peer_that_speaks_something_else_is_named(host, run, said, words):
    def serve(guest, _):
        guest.send(said)
        guest.read(24)
        raise OSError

    done = run("client", "--timeout=5s", host(serve).target)
    assert outcome(done) == "UNAVAILABLE"
    assert words in done.stderr, done.stderr


def test_a_deadline_in_the_queue_does_not_blame_the_server_for_silence(host, run):
    def serve(guest, _):
        guest.hello({MAX_CONCURRENT_STREAMS: 0})

    done = run("client", "--timeout=300ms", host(serve).target)
    assert outcome(done) == "DEADLINE_EXCEEDED"
    assert b"before the server admitted another stream" in done.stderr


def test_a_goaway_that_complains_is_told(host, run):
    def serve(guest):
        stream = guest.request()
        guest.send(frame(GOAWAY, payload=struct.pack(">II", stream, 11) + b"too_many_pings"))
        guest.send(unary()(stream))

    done = run("client", "--timeout=5s", host(served_by(serve)).target)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")
    assert b"ENHANCE_YOUR_CALM, too_many_pings" in done.stderr


def test_a_server_that_failed_the_call_is_told_goodbye(host, run):
    """And not cut off, which would lose what was said before it, as a reset connection does."""
    seen = []

    def serve(guest):
        guest.send(only([*HEAD, ("grpc-status", "5")])(guest.request()))
        try:
            while True:
                seen.append(guest.frame()[0])
        except ConnectionError as error:
            seen.append(type(error))

    assert outcome(run("client", "--timeout=5s", host(served_by(serve)).target)) == "NOT_FOUND"
    until(lambda: ConnectionError in seen, "the end of the connection")
    assert GOAWAY in seen


def test_a_server_that_complains_again_and_again_is_told_once(host, run):
    def serve(guest):
        stream = guest.request()
        complaint = frame(GOAWAY, payload=struct.pack(">II", stream, 11) + b"too_many_pings")
        guest.send(complaint * 100 + unary()(stream))

    done = run("client", "--timeout=5s", host(served_by(serve)).target)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")
    assert done.stderr.count(b"\n") == 1, done.stderr


PUSH = frame(PUSH_PROMISE, 4, 1, struct.pack(">I", 2) + block([(":method", "GET"), (":path", "/")]))


@pytest.mark.parametrize(
    ("octets", "code"), [(PUSH, b"PROTOCOL_ERROR"), (data(1, b"early"), b"PROTOCOL_ERROR")], ids=["push", "data first"]
)
def test_a_connection_that_is_ended_here_is_not_said_to_be_lost(host, run, octets, code):
    def serve(guest):
        guest.request()
        guest.send(octets)

    served = host(served_by(serve))
    done = run("client", "--timeout=5s", served.target)
    assert outcome(done) == "UNAVAILABLE"
    assert b"the connection was ended here with " + code in done.stderr
    load = run("client", "--timeout=5s", "--count=3", served.target)
    assert b"ended here with " + code + b" before it answered a call" in load.stdout, load


# --- flags of the client that show on the wire ---


def test_attempts_are_counted_apart_from_the_call(host, run):
    streams = []

    def serve(guest):
        while True:
            streams.append(guest.request())
            guest.send(rst_stream(streams[-1], 7) if len(streams) == 1 else unary()(streams[-1]))

    done = run("client", "--output=json", "--timeout=5s", host(served_by(serve)).target)
    result = json.loads(done.stdout)
    assert (result["status"], result["attempts"]) == ("OK", 2)


@pytest.mark.parametrize("flag", [[], ["--compression=gzip"]], ids=["plain", "gzip"])
def test_a_request_is_compressed_where_that_is_asked_for(host, run, flag):
    seen = []

    def serve(guest):
        kind, _, stream, payload = guest.until(lambda kind, *_: kind == DATA)
        assert kind == DATA
        seen.append(payload)
        guest.send(headers(stream, block([*HEAD, ("grpc-encoding", "gzip")])))
        reply = gzip.compress(echo("x" * 1000))
        guest.send(data(stream, message(reply, 1)) + headers(stream, block(OK), True))

    done = run("client", "--timeout=5s", "--message=" + "x" * 1000, *flag, host(served_by(serve)).target)
    assert (done.returncode, done.stdout) == (0, b"x" * 1000 + b"\n")
    assert seen[0][0] == len(flag)
    plain = gzip.decompress(seen[0][5:]) if flag else seen[0][5:]
    assert plain == echo("x" * 1000)


def test_waiting_for_ready_outlasts_a_server_that_is_not_there_yet(serve, echod):
    port = unused_port()
    waiting = subprocess.Popen(
        [echod, "client", "--wait-for-ready", "--timeout=15s", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )
    time.sleep(0.5)
    assert waiting.poll() is None
    serve(f"--grpc.listen-address=127.0.0.1:{port}")
    assert waiting.communicate(timeout=20) == (b"Hello, world!\n", b"")
    assert waiting.returncode == 0


def test_waiting_for_ready_ends_with_the_deadline_and_says_why(run):
    done = run("client", "--wait-for-ready", "--timeout=500ms", f"127.0.0.1:{unused_port()}")
    assert outcome(done) == "DEADLINE_EXCEEDED"
    assert b"refused" in done.stderr


def test_a_run_goes_on_soon_after_its_server_is_back(serve, echod):
    """Its dials are 100 ms apart at first and never more than a second or so."""
    port = unused_port()
    address = f"--grpc.listen-address=127.0.0.1:{port}"
    server = serve(address)
    client = subprocess.Popen(
        [echod, "client", "--duration=4s", "--concurrency=4", "--output=json", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
    )
    until(lambda: server.value("total_requests") > 20, "load")
    server.stop()
    again = serve(address)
    start = time.monotonic()
    until(lambda: again.value("total_requests") > 20, "load again")
    assert time.monotonic() - start < 1.5
    result = json.loads(client.communicate(timeout=20)[0])
    assert client.returncode == 0
    assert result["calls"]["attempts"] >= status(result, "OK") > 40


@pytest.mark.parametrize("how", ["deadlines", "SIGINT"])
def test_a_run_ends_although_its_server_does_not_take_what_was_sent(host, echod, tmp_path, how):
    gone = threading.Event()

    def serve(guest, _):
        guest.hello({INITIAL_WINDOW_SIZE: MOST})
        guest.send(window_update(0, MOST - 65535))
        gone.wait(30)

    (tmp_path / "large").write_text("x" * 4_000_000)
    flags = [f"--message-file={tmp_path}/large", "--count=4", "--concurrency=4"]
    flags += ["--timeout=500ms"] if how == "deadlines" else []
    client = subprocess.Popen(
        [echod, "client", "--output=json", *flags, host(serve).target],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
    )
    time.sleep(0.5)
    if how == "SIGINT":
        client.send_signal(signal.SIGINT)
    try:
        out = client.communicate(timeout=6)[0]
    finally:
        client.kill()
        client.wait()
        gone.set()
    result = json.loads(out)
    assert 4 == (status(result, "DEADLINE_EXCEEDED") if how == "deadlines" else result["calls"]["unfinished"])
    assert client.returncode == (1 if how == "deadlines" else 130)

"""`echod probe`: what it asks, what it says of the answer, and its exit status.

0 serving, 1 usage, 2 no connection, 3 the call failed, 4 not serving.
"""
import signal
import socket
import struct
import subprocess
import sys
import time

import hpack
import pytest

from daemon import environment, until, unused_port
from frames import (
    CANCEL, DATA, ENHANCE_YOUR_CALM, HEADERS, MAX_CONCURRENT_STREAMS, RST_STREAM,
    block, headers, message, rst_stream, settings,
)
from host import HEAD, host, only, unary  # noqa: F401 (fixtures)
from test_cli import own_network, unshare

SERVING, NO_CONNECTION, CALL_FAILED, NOT_SERVING = 0, 2, 3, 4


def health(number):
    """HealthCheckResponse."""
    return b"\x08" + bytes([number]) if number else b""


def said(done, code):
    """The one line on standard error of a probe that ended with `code`."""
    assert done.returncode == code, done
    assert done.stdout == b"", done
    assert done.stderr.startswith(b"echod probe: ") and done.stderr.count(b"\n") == 1, done
    return done.stderr.decode()


def serving(done):
    assert (done.returncode, done.stdout, done.stderr) == (SERVING, b"SERVING\n", b""), done
    return True


def answering(answer):
    """A server by hand that answers the first request like this."""

    def serve(guest, _):
        guest.hello()
        guest.send(answer(guest.request()))

    return serve


# --- what a server's answer comes to ---


def test_serving_is_0(host, run):
    serving(run("probe", host(answering(unary(body=message(health(1))))).target))


@pytest.mark.parametrize(
    ("number", "word"),
    [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (7, "what nobody knows (7)")],
)
def test_anything_but_serving_is_4(host, run, number, word):
    line = said(run("probe", host(answering(unary(body=message(health(number))))).target), NOT_SERVING)
    assert word in line and "the server is not serving" in line


def test_a_service_that_is_not_serving_is_named(host, run):
    answer = answering(unary(body=message(health(2))))
    assert '"a.B"' in said(run("probe", "--service=a.B", host(answer).target), NOT_SERVING)


FAILURES = {
    "no such service": (only([*HEAD, ("grpc-status", "5"), ("grpc-message", "unknown")]), "NOT_FOUND (5): unknown"),
    "no health": (only([*HEAD, ("grpc-status", "12")]), "grpc.health.v1: UNIMPLEMENTED (12)"),
    "refused by a proxy": (only([(":status", "403")]), "PERMISSION_DENIED (7)"),
    "a page": (unary([(":status", "200"), ("content-type", "text/html")], b"<p>", None), "UNKNOWN (2)"),
    "a reset": (lambda stream: rst_stream(stream, ENHANCE_YOUR_CALM), "RESOURCE_EXHAUSTED (8)"),
    "no protobuf": (unary(body=message(b"\xff")), "INTERNAL (13)"),
    "no message": (unary(body=None), "UNIMPLEMENTED (12)"),
    "serving, and a failure": (unary(body=message(health(1)), trailers=[("grpc-status", "14")]), "UNAVAILABLE (14)"),
    "the server's own deadline": (only([*HEAD, ("grpc-status", "4")]), "DEADLINE_EXCEEDED (4)"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_call_is_3(host, run, name):
    answer, words = FAILURES[name]
    assert words in said(run("probe", host(answering(answer)).target), CALL_FAILED)


def test_what_a_server_says_reaches_no_terminal_as_it_is(host, run):
    answer = only([*HEAD, ("grpc-status", "13"), ("grpc-message", "a%1B[31m%0Ab")])
    assert "a\\x1b[31m\\x0ab" in said(run("probe", host(answering(answer)).target), CALL_FAILED)


def test_no_answer_in_time_is_3(host, run):
    resets = []

    def serve(guest, _):
        guest.hello()
        guest.request()
        resets.append(guest.until(lambda kind, *_: kind == RST_STREAM))

    start = time.monotonic()
    done = run("probe", "--rpc-timeout=300ms", "--connect-timeout=9s", host(serve).target)
    assert 0.3 <= time.monotonic() - start < 3
    assert "no answer within 300ms" in said(done, CALL_FAILED)
    until(lambda: resets, "the reset")
    assert struct.unpack(">I", resets[0][3])[0] == CANCEL


def test_a_connection_lost_during_the_call_is_3(host, run):
    def serve(guest, _):
        guest.hello()
        guest.request()
        guest.send(headers(1, block(HEAD)))
        guest.socket.shutdown(socket.SHUT_RDWR)

    assert "UNAVAILABLE (14)" in said(run("probe", host(serve).target), CALL_FAILED)


# --- no connection ---


def test_nobody_there_is_2(run):
    target = f"127.0.0.1:{unused_port()}"
    line = said(run("probe", target), NO_CONNECTION)
    assert target in line and "connection refused" in line


def test_a_socket_that_is_not_there_is_2(run, tmp_path):
    assert "no such file" in said(run("probe", f"unix:{tmp_path}/none"), NO_CONNECTION)


def test_a_name_that_does_not_exist_is_2(run):
    assert "nowhere.invalid" in said(run("probe", "--connect-timeout=9s", "nowhere.invalid:1"), NO_CONNECTION)


def test_a_name_that_would_break_the_line_does_not(run):
    said(run("probe", "--connect-timeout=9s", "two\nlines:1"), NO_CONNECTION)


MUTE_RESOLVER = """
import socket, subprocess, sys
with socket.socket(type=socket.SOCK_DGRAM) as resolver:
    resolver.bind(("127.0.0.1", 53))
    sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


@own_network
def test_a_name_that_nobody_resolves_is_2_in_time(echod, tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    setup = f'ip link set lo up; mount --bind {tmp_path}/resolv.conf /etc/resolv.conf; exec "$@"'
    inside = [sys.executable, "-c", MUTE_RESOLVER, echod, "probe", "--connect-timeout=400ms", "a.test:1"]
    start = time.monotonic()
    done = subprocess.run(
        unshare("--net", "--mount", "sh", "-c", setup, "sh", *inside),
        capture_output=True, check=False, timeout=30, env=environment(),
    )
    assert time.monotonic() - start < 4
    assert "resolve" in said(done, NO_CONNECTION)


def test_a_port_that_answers_nothing_is_2(run):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        done = run("probe", "--connect-timeout=300ms", f"127.0.0.1:{mute.getsockname()[1]}")
        assert 0.3 <= time.monotonic() - start < 3
    assert "spoke no HTTP/2 within 300ms" in said(done, NO_CONNECTION)


def test_an_address_that_takes_no_connection_is_2_in_time(run):
    """A listener whose backlog is full drops what comes: connecting hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second, socket.socket() as third:
            for each in (second, third):
                each.setblocking(False)
                each.connect_ex(address)
            done = run("probe", "--connect-timeout=300ms", f"127.0.0.1:{address[1]}")
    said(done, NO_CONNECTION)


@pytest.mark.parametrize("banner", [b"SSH-2.0-x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\0\2\2\x46"])
def test_a_peer_that_speaks_something_else_is_2(host, run, banner):
    def serve(guest, _):
        guest.send(banner)

    said(run("probe", "--connect-timeout=2s", host(serve).target), NO_CONNECTION)


def test_a_server_of_http1_is_2(shared, run):
    said(run("probe", f"127.0.0.1:{shared.web_port}"), NO_CONNECTION)


# --- what it asks ---


def fields_of(fragment):
    return dict(hpack.Decoder().decode(fragment))


def test_what_it_sends_is_a_check_and_nothing_else(host, run):
    seen = {}

    def serve(guest, _):
        guest.hello()
        _, _, stream, fragment = guest.until(lambda kind, *_: kind == HEADERS)
        seen["fields"] = fields_of(fragment)
        seen["body"] = guest.until(lambda kind, *_: kind == DATA)[3]
        guest.send(unary(body=message(health(1)))(stream))

    flags = ["--service=muzz.Service", "--metadata=x-test:1", "--metadata=x-bin:AAE", "--user-agent=me/1"]
    serving(run("probe", *flags, host(serve).target))
    fields = seen["fields"]
    assert fields[":path"] == "/grpc.health.v1.Health/Check" and fields[":method"] == "POST"
    assert (fields["x-test"], fields["x-bin"], fields["user-agent"]) == ("1", "AAE", "me/1")
    assert "grpc-timeout" in fields
    assert seen["body"] == message(b"\x0a\x0cmuzz.Service")


def test_it_calls_itself_by_the_form_that_grpc_asks_for(host, run):
    """PROTOCOL-HTTP2, "User Agents"."""
    seen = []

    def serve(guest, _):
        guest.hello()
        _, _, stream, fragment = guest.until(lambda kind, *_: kind == HEADERS)
        seen.append(fields_of(fragment)["user-agent"])
        guest.send(unary(body=message(health(1)))(stream))

    serving(run("probe", host(serve).target))
    assert seen[0].startswith("grpc-c-echod/")


def test_verbose_says_who_answered_and_how_long_it_took(host, run):
    target = host(answering(unary(body=message(health(1))))).target
    done = run("probe", "--verbose", target)
    assert (done.returncode, done.stdout) == (SERVING, b"SERVING\n")
    assert f"connected to {target} in ".encode() in done.stderr and b"the call took" in done.stderr


def test_a_server_without_room_at_first_is_waited_for(host, run):
    def serve(guest, _):
        guest.hello({MAX_CONCURRENT_STREAMS: 0})
        time.sleep(0.2)
        guest.send(settings({MAX_CONCURRENT_STREAMS: 1}))
        guest.send(unary(body=message(health(1)))(guest.request()))

    serving(run("probe", host(serve).target))


def test_a_server_that_says_goodbye_first_is_asked_on_the_next_connection(host, run):
    def serve(guest, n):
        guest.hello()
        stream = guest.request()
        if n == 1:
            guest.goaway(0)
        else:
            guest.send(unary(body=message(health(1)))(stream))

    served = host(serve)
    serving(run("probe", served.target))
    assert served.connections == 2


# --- usage ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--connect-timeout=never"],
        ["--connect-timeout=0s"],
        ["--rpc-timeout=-1s"],
        ["--rpc-timeout=25h"],
        ["--rpc-timeout"],
        ["--metadata=novalue"],
        ["--metadata=grpc-timeout:1S"],
        ["--user-agent="],
        ["--user-agent=two\nlines"],
        ["--user-agent= x"],
        ["--service=" + "x" * 1025],
        ["--service=\udcff"],
        ["--verbose=perhaps"],
        ["one:1", "two:2"],
        ["host:port"],
        ["http://localhost:9876"],
        [""],
        ["[two\nlines"],
        ["one:1", "two\nlines"],
    ],
)
def test_bad_usage_is_1_and_one_line(run, arguments):
    said(run("probe", *arguments), 1)


def test_help_names_every_status(run):
    text = run("probe", "--help").stdout.decode()
    assert all(f" {code} " in text.partition("Exit status:")[2] for code in range(5)), text


@pytest.mark.parametrize("descriptor", ["/dev/full", None])
def test_the_exit_status_holds_though_nobody_takes_the_text(host, echod, descriptor):
    target = host(answering(unary(body=message(health(1))))).target
    if descriptor:
        with open(descriptor, "wb") as full:
            done = subprocess.run([echod, "probe", target], stdout=full, check=False, timeout=20, env=environment())
    else:
        closed = f'exec "{echod}" probe {target} >&- 2>&-'
        done = subprocess.run(["sh", "-c", closed], check=False, timeout=20, env=environment())
    assert done.returncode == SERVING


# --- our own server ---


def test_our_own_server_is_serving(shared, run):
    serving(run("probe", shared.grpc))
    serving(run("probe", "--service=muzz.Service", shared.grpc))


def test_a_service_that_our_own_server_has_not_is_3(shared, run):
    assert "NOT_FOUND (5)" in said(run("probe", "--service=a.B", shared.grpc), CALL_FAILED)


def test_over_a_unix_socket(serve, run, tmp_path):
    serve(f"--grpc.listen-address=unix:{tmp_path}/grpc.sock")
    serving(run("probe", f"unix:{tmp_path}/grpc.sock"))


def test_during_the_delay_of_a_stop_it_is_4_and_after_it_2(serve, run):
    server = serve("--shutdown.delay=5s")
    serving(run("probe", server.grpc))
    start = time.monotonic()
    server.send_signal(signal.SIGTERM)
    until(lambda: run("probe", server.grpc).returncode == NOT_SERVING, "the stop to begin")
    assert "NOT_SERVING" in said(run("probe", "--service=muzz.Service", server.grpc), NOT_SERVING)
    assert time.monotonic() - start < 4.5, "too slow to have seen the delay"
    server.wait()
    said(run("probe", server.grpc), NO_CONNECTION)

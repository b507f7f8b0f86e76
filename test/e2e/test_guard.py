"""What a hostile, broken or vanished peer meets: a bound, a counter that says which, and no harm to others."""
import contextlib
import time

import pytest

from daemon import until
from frames import (
    ACK, CANCEL, DATA, END_HEADERS, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, OK, PING,
    PRIORITY, PROTOCOL_ERROR, RST_STREAM, STREAM_CLOSED,
    Closed, Peer, block, data, echo, frame, headers, message, request, rst_stream, settings, window_update,
)

CALL = message(echo("x"))
REQUEST = block(request())
BOUNDS = "echod_http2_bounds_reached_total"


def reached(server):
    """The bounds that were reached, with their counts."""
    found = {dict(labels)["bound"]: int(n) for labels, n in server.scrape().samples(BOUNDS).items()}
    return {bound: n for bound, n in found.items() if n}


@pytest.fixture
def connect(request):
    with contextlib.ExitStack() as stack:
        yield lambda server, **options: stack.enter_context(Peer(server.grpc_port, **options))


def cut_off(peer, code=ENHANCE_YOUR_CALM, debug=None, timeout=10):
    """The connection ends, and its last GOAWAY says why."""
    peer.drained(timeout)
    assert peer.of(GOAWAY), f"no word of why; came: {peer.frames[-5:]}"
    assert peer.of(GOAWAY)[-1].code == code
    if debug is not None:
        assert peer.of(GOAWAY)[-1].debug == debug


# --- resets ---


@pytest.mark.limit(120)
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "half-open"])
def test_ten_thousand_calls_cancelled_10_ms_after_they_began_are_all_served(serve, connect, complete):
    server = serve("--echo.delay=20s")
    peer = connect(server).settle()
    for first in range(1, 20001, 200):
        ids = range(first, first + 200, 2)
        peer.send(b"".join(headers(i, REQUEST) + (data(i, CALL, True) if complete else b"") for i in ids))
        time.sleep(0.01)
        peer.send(b"".join(rst_stream(i, CANCEL) for i in ids))
    peer.next_stream = 20001
    last = peer.open(body=CALL)
    until(lambda: server.value("total_requests") == 10001, "every call", 30)
    until(lambda: server.value("failed_requests") == 10000, "every cancellation", 30)
    assert not peer.of(GOAWAY) and "resets" not in reached(server)
    peer.send(rst_stream(last))


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "half-open"])
def test_ten_thousand_pairs_of_headers_and_reset_in_one_burst_are_cut_off(serve, connect, complete):
    server = serve()
    peer, neighbour = connect(server).settle(), connect(server).settle()
    peer.pour(b"".join(
        headers(i, REQUEST) + (data(i, CALL, True) if complete else b"") + rst_stream(i)
        for i in range(1, 20001, 2)
    ))
    cut_off(peer, debug=b"too_many_resets")
    assert reached(server)["resets"] == 1
    assert 2000 <= server.value("echod_http2_streams_opened_total") < 6000
    assert neighbour.call().status == OK
    until(lambda: server.value("echod_rpcs_in_flight") == 0, "no call left")


@pytest.mark.parametrize("error", ["a name in capitals", "credit beyond 2^31", "a length that is not true"])
def test_a_peer_that_makes_us_reset_its_calls_spends_the_same_budget(serve, connect, error):
    server = serve()
    peer = connect(server).settle()
    bad = {
        "a name in capitals": lambda i: headers(i, block(request() + [("Bad", "x")])),
        "credit beyond 2^31": lambda i: headers(i, REQUEST) + window_update(i, 2**31 - 1),
        "a length that is not true": lambda i:
            headers(i, block(request(("content-length", "5")))) + data(i, b"123456", True),
    }[error]
    for first in range(1, 8001, 100):  # more at once are more than may be open
        peer.try_send(b"".join(bad(i) for i in range(first, first + 100, 2)))
        with contextlib.suppress(Closed):
            peer.until(lambda last=first + 98: peer.ended(last), "the last's reset")
        if peer.closed:
            break
    cut_off(peer, debug=b"too_many_resets")
    assert peer.of(RST_STREAM)
    assert reached(server)["resets"] == 1


# --- frames that move nothing ---

USELESS = {
    "PRIORITY": lambda i: frame(PRIORITY, 0, 2 * i + 1001, b"\0\0\0\0\x10"),
    "an unknown type": lambda i: frame(0xBE, 0xFF, 0, b"hello"),
    "empty DATA": lambda i: data(1, b""),
    "DATA that is all padding": lambda i: data(1, b"", pad=3),
    "WINDOW_UPDATE of the connection": lambda i: window_update(0, 1),
    "WINDOW_UPDATE of a stream": lambda i: window_update(1, 1),
    "an answer to no PING": lambda i: frame(PING, ACK, 0, bytes(8)),
}


@pytest.mark.parametrize("name", USELESS)
def test_a_flood_of_frames_that_move_nothing_is_cut_off(serve, connect, name):
    server = serve()
    peer, neighbour = connect(server).settle(), connect(server).settle()
    peer.send(headers(1, REQUEST))
    peer.pour(b"".join(USELESS[name](i) for i in range(9000)))
    assert not peer.closed and reached(server) == {}
    peer.pour(b"".join(USELESS[name](i) for i in range(9000, 60000)))
    cut_off(peer, debug=b"too_many_useless_frames")
    assert reached(server) == {"glitches": 1}
    assert neighbour.call().status == OK


def test_settings_faster_than_their_answers_are_cut_off(serve, connect):
    server = serve()
    peer = connect(server).settle()
    peer.try_send(settings({INITIAL_WINDOW_SIZE: 65535}) * 1000)
    cut_off(peer, debug=b"too_many_acks")
    assert reached(server) == {"acks": 1}


def test_credit_that_answers_data_is_not_held_against_anyone(serve, connect):
    server = serve()
    peer = connect(server, initial={INITIAL_WINDOW_SIZE: 20}, credit=False).settle()
    stream = peer.open(end=False)
    peer.upload(stream, message(echo("x" * 24000)))
    peer.until(lambda: peer.of(DATA), "the first bytes")
    for _ in range(5900):  # twice that is more than is allowed without DATA between them
        seen = len(peer.frames)
        peer.send(window_update(0, 4) + window_update(stream, 4))
        peer.until(lambda before=seen: len(peer.frames) > before, "DATA")
    peer.send(window_update(0, 1000) + window_update(stream, 1000))
    assert peer.response(stream).status == OK
    assert reached(server) == {}


def test_credit_for_each_of_many_small_messages_is_not_held_against_anyone(serve, connect):
    server = serve("--grpc.interop")
    peer = connect(server, credit=False).settle()
    fields = request(change={":path": "/grpc.testing.TestService/FullDuplexCall"})
    stream = peer.open(fields, end=False)
    one = message(b"\x12\x02\x08\x01")  # asks for a response with one byte
    each = len(message(b"\x0a\x03\x12\x01\x00"))
    for sent in range(100, 20001, 100):
        peer.send(data(stream, one * 100))
        peer.until(lambda n=sent: sum(len(f.payload) for f in peer.of(DATA)) >= n * each, "the responses")
        peer.send((window_update(0, each) + window_update(stream, each)) * 100)
    peer.send(data(stream, b"", True))
    assert peer.response(stream).status == OK
    assert reached(server) == {}


def test_a_header_block_in_more_than_nine_frames_is_cut_off(serve, connect):
    server = serve()
    peer = connect(server).settle()
    block_ = REQUEST + block([("x", "y" * 40)])
    parts = [block_[i : i + 13] for i in range(0, len(block_), 13)]
    assert len(parts) > 10
    first = frame(HEADERS, 0, 1, parts[0])
    peer.send(first + b"".join(frame(9, 0, 1, part) for part in parts[1:9]))
    peer.listen(0.2)
    assert not peer.closed
    peer.send(b"".join(frame(9, 0, 1, part) for part in parts[9:]))
    cut_off(peer, debug=b"too_many_continuations")
    assert reached(server) == {"continuations": 1}


def test_a_header_block_in_nine_frames_is_served(serve, connect):
    server = serve()
    peer = connect(server).settle()
    size = -(-len(REQUEST) // 9)
    peer.send(headers(1, REQUEST, most=size) + data(1, CALL, True))
    assert peer.response(1).status == OK


# --- what is begun and not ended ---

HALVES = {
    "a frame's header": frame(PING, payload=bytes(8))[:5],
    "a PING": frame(PING, payload=bytes(8))[:12],
    "an unknown frame": frame(0xBE, 0, 0, bytes(100))[:50],
    "DATA": headers(1, REQUEST) + data(1, bytes(100))[:50],
    "a header block": frame(HEADERS, 0, 1, REQUEST),
    "a header block's second frame": frame(HEADERS, 0, 1, REQUEST) + frame(9, END_HEADERS, 1, bytes(20))[:12],
}


@pytest.mark.limit(60)
def test_what_is_begun_and_not_ended_is_cut_off_after_ten_seconds_and_costs_nothing(serve, connect):
    server = serve()
    peers = {name: connect(server).settle() for name in HALVES}
    slow = connect(server).settle()
    for name, peer in peers.items():
        peer.send(HALVES[name])
    start, cpu = time.monotonic(), server.value("process_cpu_seconds_total")
    stream = slow.open(end=False)
    body = data(stream, message(echo("slow")), True)
    for i in range(len(body)):  # a frame of DATA that comes byte by byte is of use all the time
        slow.send(body[i : i + 1])
        time.sleep(12 / len(body) if time.monotonic() - start < 9 else 0)
        for peer in peers.values():
            assert not peer.of(GOAWAY)
    assert server.value("process_cpu_seconds_total") - cpu < 0.2
    assert slow.response(stream).status == OK
    for name, peer in peers.items():
        cut_off(peer, debug=b"frame_timeout")
        assert 9 < time.monotonic() - start < 14, name
    assert reached(server) == {"frame_timeout": len(HALVES)}


# --- slow readers ---


@pytest.mark.parametrize("dribble", [False, True], ids=["shut", "one byte now and then"])
def test_a_reply_that_its_client_does_not_take_is_reset(serve, connect, dribble):
    server = serve("--grpc.stall-timeout=800ms")
    peer = connect(server, initial={INITIAL_WINDOW_SIZE: 5}, credit=False).settle()
    stream, start = peer.open(body=message(echo("y" * 1000))), time.monotonic()
    while not peer.ended(stream) and time.monotonic() - start < 5:
        if dribble:
            peer.try_send(window_update(stream, 1))
        peer.listen(0.05)
    assert peer.answer(stream).reset == ENHANCE_YOUR_CALM
    assert 0.7 < time.monotonic() - start < 2.5
    assert reached(server) == {"slow_read": 1}
    assert not peer.of(GOAWAY)
    other = peer.open(request(change={":path": "/no/where"}))
    assert peer.response(other).trailers_only


def test_a_shut_window_of_the_connection_resets_what_waits_for_it(serve, connect):
    server = serve("--grpc.stall-timeout=400ms")
    peer = connect(server, initial={INITIAL_WINDOW_SIZE: 2**20}, credit=False).settle()
    streams = [peer.open(end=False) for _ in range(3)]
    for stream in streams:
        peer.upload(stream, message(echo("z" * 40000)))
    peer.until(lambda: all(peer.ended(s) for s in streams), "the end of all", 5)
    assert sum(len(f.payload) for f in peer.of(DATA)) == 65535
    resets = [s for s in streams if peer.answer(s).reset == ENHANCE_YOUR_CALM]
    assert resets and reached(server) == {"slow_read": len(resets)}


def test_a_window_that_opens_in_time_loses_nothing(serve, connect):
    server = serve("--grpc.stall-timeout=1s")
    peer = connect(server, initial={INITIAL_WINDOW_SIZE: 0}, credit=False).settle()
    stream = peer.open(body=message(echo("y" * 1000)))
    for _ in range(5):
        peer.listen(0.4)
        peer.send(window_update(stream, 250))
    assert peer.response(stream).messages == [echo("y" * 1000)]
    assert reached(server) == {}


# --- keepalive, and PINGs ---


def test_a_client_that_falls_silent_is_asked_and_then_closed(serve, connect):
    server = serve("--grpc.keepalive-time=400ms", "--grpc.keepalive-timeout=400ms", "--echo.delay=20s")
    peer = connect(server).settle()
    start = time.monotonic()
    peer.open(body=CALL)
    server.wait_value(1, "echod_rpcs_in_flight")
    peer.drained(5)
    assert 0.7 < time.monotonic() - start < 2
    assert len(peer.of(PING, ack=False)) == 1
    server.wait_value(1, "failed_requests")
    assert reached(server) == {"keepalive": 1}
    assert server.value("echod_connections_closed_total", listener="grpc", reason="timeout") == 1


def test_a_client_that_answers_keepalive_stays(serve, connect):
    server = serve("--grpc.keepalive-time=200ms", "--grpc.keepalive-timeout=300ms")
    peer = connect(server).settle()
    for i in range(4):
        peer.until(lambda wanted=i + 1: len(peer.of(PING, ack=False)) == wanted, "a PING")
        peer.send(frame(PING, ACK, 0, peer.of(PING, ack=False)[-1].payload))
    assert peer.call().status == OK
    assert reached(server) == {}


@pytest.mark.parametrize("busy", [False, True], ids=["no call", "a call"])
def test_too_many_pings_end_the_connection_at_once(serve, connect, busy):
    server = serve("--echo.delay=20s")
    peer = connect(server).settle()
    if busy:
        peer.open(body=CALL)
    for i in range(3):
        peer.ping(b"ping %3d" % i)
    peer.send(frame(PING, payload=bytes(8)))
    cut_off(peer, debug=b"too_many_pings", timeout=3)
    assert reached(server) == {"pings": 1}


def test_replies_pardon_pings_and_the_least_time_can_be_set(serve, connect):
    server = serve()
    peer = connect(server).settle()
    for i in range(10):
        peer.ping(b"before%2d" % i)
        peer.ping(b"behind%2d" % i)
        assert peer.call().status == OK
    server = serve("--grpc.keepalive-min-time=0", "--echo.delay=20s")
    peer = connect(server).settle()
    peer.open(body=CALL)
    for i in range(20):
        peer.ping(b"ping %3d" % i)
    assert reached(server) == {}


# --- idle, age ---


def last_words(peer):
    peer.drained(5)
    return [(f.code, f.debug) for f in peer.of(GOAWAY)]


def answer_drain(peer):
    peer.until(lambda: peer.of(PING, ack=False), "the drain's PING")
    peer.send(frame(PING, ACK, 0, peer.of(PING, ack=False)[-1].payload))


def test_an_idle_connection_is_drained(serve, connect):
    server = serve("--grpc.max-connection-idle=500ms", "--echo.delay=800ms")
    peer = connect(server).settle()
    start = time.monotonic()
    assert peer.call().status == OK  # it takes longer than the time without a call
    answer_drain(peer)
    assert last_words(peer) == [(NO_ERROR, b""), (NO_ERROR, b"max_idle")]
    assert 1.2 < time.monotonic() - start < 4
    assert reached(server) == {"max_idle": 1}


def test_an_old_connection_is_drained_and_finishes_what_it_has(serve, connect):
    server = serve("--grpc.max-connection-age=500ms", "--echo.delay=1s")
    peer = connect(server).settle()
    stream = peer.open(body=CALL)
    answer_drain(peer)
    assert peer.response(stream).status == OK
    assert last_words(peer) == [(NO_ERROR, b""), (NO_ERROR, b"max_age")]
    assert reached(server) == {"max_age": 1}


def test_the_grace_of_an_old_connection_ends(serve, connect):
    server = serve("--grpc.max-connection-age=300ms", "--grpc.max-connection-age-grace=300ms", "--echo.delay=20s")
    peer = connect(server).settle()
    start = time.monotonic()
    peer.open(body=CALL)
    answer_drain(peer)
    peer.drained(5)
    assert 0.5 < time.monotonic() - start < 3
    server.wait_value(1, "failed_requests")
    assert reached(server) == {"max_age": 1, "max_age_grace": 1}


# --- the ledger of streams ---

CLOSED = {
    "DATA after END_STREAM": data(1, b"x", True),
    "HEADERS after END_STREAM": headers(1, REQUEST, True),
}
RESET = {
    "DATA after RST_STREAM": data(1, b"x", True),
    "HEADERS after RST_STREAM": headers(1, REQUEST, True),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("answered", [False, True], ids=["half closed", "closed"])
def test_what_comes_after_the_end_of_a_stream_is_an_error_however_long_ago(serve, connect, name, answered):
    server = serve("--echo.delay=none" if answered else "--echo.delay=20s")
    peer = connect(server).settle()
    stream = peer.open(body=CALL)
    if answered:
        assert peer.response(stream).status == OK
        for _ in range(50):
            assert peer.call().status == OK
    peer.send(CLOSED[name])
    cut_off(peer, STREAM_CLOSED)


@pytest.mark.parametrize("name", RESET)
def test_what_comes_after_a_reset_is_an_error(serve, connect, name):
    server = serve()
    peer = connect(server).settle()
    peer.send(headers(1, REQUEST) + rst_stream(1))
    peer.send(RESET[name])
    cut_off(peer, STREAM_CLOSED)


def test_a_stream_id_that_was_passed_over_cannot_be_opened(serve, connect):
    server = serve()
    peer = connect(server).settle()
    peer.next_stream = 5
    assert peer.call().status == OK
    peer.send(headers(3, REQUEST) + data(3, CALL, True))
    cut_off(peer, PROTOCOL_ERROR)
    assert not peer.of(HEADERS, 3)


def test_what_may_still_come_for_a_closed_stream_is_no_error(serve, connect):
    server = serve()
    peer = connect(server).settle()
    stream = peer.open(body=CALL)
    assert peer.response(stream).status == OK
    peer.send(rst_stream(stream) + window_update(stream, 100) + frame(PRIORITY, 0, stream, b"\0\0\0\0\x10"))
    refused = peer.open(request(change={":path": "/no/where"}), end=False)
    assert peer.response(refused).trailers_only
    peer.send(data(refused, b"late") + data(refused, b"and later", True))
    assert peer.call().status == OK

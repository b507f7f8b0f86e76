"""gRPC's wire contract, the server's side of it: flow control, PING, many streams, and drain."""
import signal
import struct
import time

import pytest

from frames import (
    ACK, DATA, FLOW_CONTROL_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, NO_ERROR, OK, PING,
    PROTOCOL_ERROR, REFUSED_STREAM, RESOURCE_EXHAUSTED, RST_STREAM, UNIMPLEMENTED,
    Peer, block, data, echo, frame, headers, message, request, settings, window_update,
)
from wire import made_with, wire  # noqa: F401 (fixtures)

KIB, MIB = 1024, 1024 * 1024
MOST = 2**31 - 1


def received(peer, stream):
    return sum(len(f.payload) for f in peer.of(DATA, stream))


# --- what we let the server send ---


def test_a_window_of_zero_holds_the_reply_back_and_credit_lets_it_go(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle()
    stream = peer.open(body=message(echo("x")))
    peer.until(lambda: peer.of(HEADERS, stream), "the response's headers")
    peer.ping()
    assert received(peer, stream) == 0 and not peer.ended(stream)
    peer.send(window_update(stream, 8))
    response = peer.response(stream)
    assert response.status == OK and response.messages == [echo("x")]
    wire.moved(ok=1)


def test_a_window_of_one_byte_yields_one_byte_at_a_time(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 1}, credit=False).settle()
    stream = peer.open(body=message(echo("hello")))
    whole = len(message(echo("hello")))
    for n in range(1, whole):
        peer.until(lambda wanted=n: received(peer, stream) >= wanted, "a byte")
        peer.ping()
        assert received(peer, stream) == n
        peer.send(window_update(stream, 1))
    response = peer.response(stream)
    assert response.status == OK and response.messages == [echo("hello")]
    assert all(len(f.payload) <= 1 for f in peer.of(DATA, stream))
    wire.moved(ok=1)


def test_a_window_that_turns_negative_is_waited_out(wire):
    """RFC 9113 6.9.2."""
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 1000}, credit=False).settle()
    stream = peer.open(body=message(echo("x" * 3000)))
    peer.until(lambda: received(peer, stream) == 1000, "the first window")
    peer.send(settings({INITIAL_WINDOW_SIZE: 100}))  # the stream stands at -900 now
    peer.send(window_update(stream, 900))
    peer.ping()
    assert received(peer, stream) == 1000
    peer.send(window_update(stream, 50))
    peer.until(lambda: received(peer, stream) == 1050, "50 bytes more")
    peer.send(settings({INITIAL_WINDOW_SIZE: 100000}))
    assert peer.response(stream).messages == [echo("x" * 3000)]
    wire.moved(ok=1)


def test_a_blocked_stream_does_not_hold_up_others(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}, credit=False).settle()
    blocked = peer.open(body=message(echo("blocked")))
    for i in range(20):
        stream = peer.open(body=message(echo(f"{i}")))
        peer.send(window_update(stream, 1000))
        assert peer.response(stream).messages == [echo(f"{i}")]
    assert not peer.ended(blocked)
    peer.send(window_update(blocked, 1000))
    assert peer.response(blocked).messages == [echo("blocked")]
    wire.moved(ok=21)


def test_the_connections_window_holds_back_all_replies_together(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: MIB}, credit=False).settle()
    texts = {peer.open(body=message(echo(f"{i}" * 10000))): f"{i}" * 10000 for i in range(9)}
    peer.until(lambda: sum(len(f.payload) for f in peer.of(DATA)) == 65535, "the whole window")
    peer.ping()
    assert sum(len(f.payload) for f in peer.of(DATA)) == 65535
    peer.send(window_update(0, MIB))
    for stream, text in texts.items():
        assert peer.response(stream).messages == [echo(text)]
    wire.moved(ok=9)


@pytest.mark.parametrize("largest", [16384, 20000, 2**24 - 1])
def test_no_data_frame_is_larger_than_our_frame_size(wire, largest):
    peer = wire.connect(initial={MAX_FRAME_SIZE: 16384 if largest == 16384 else largest}).settle()
    stream = peer.open(end=False)
    peer.upload(stream, message(echo("x" * 100000)))
    assert peer.response(stream).messages == [echo("x" * 100000)]
    wire.moved(ok=1)


@pytest.mark.parametrize("stream", [0, 1])
def test_credit_beyond_2_to_the_31_is_a_flow_control_error(wire, stream):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle()
    assert peer.open(body=message(echo("x"))) == 1
    peer.send(window_update(stream, MOST) + window_update(stream, MOST))
    if stream:
        peer.until(lambda: peer.of(RST_STREAM, 1) or peer.ended(1), "the stream's end")
        if peer.of(RST_STREAM, 1):
            assert peer.of(RST_STREAM, 1)[0].code == FLOW_CONTROL_ERROR
        assert not peer.of(GOAWAY)
        assert peer.open(request(change={":path": "/a.B/C"})) == 3
        assert peer.response(3).status == UNIMPLEMENTED
        now = wire.delta()
        wire.moved(ok=now.ok, failed=1 - now.ok, refused={"200": 1})
    else:
        assert peer.goaway().code == FLOW_CONTROL_ERROR
        peer.drained(5)
        wire.moved(failed=1)


def test_an_overflowing_credit_on_a_blocked_stream_resets_it(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle()
    stream = peer.open(end=False)
    peer.send(window_update(stream, MOST))
    peer.ping()
    peer.send(window_update(stream, 1))
    assert peer.response(stream).reset == FLOW_CONTROL_ERROR
    assert not peer.of(GOAWAY)
    wire.moved(failed=1)


def test_a_window_setting_beyond_2_to_the_31_is_a_flow_control_error(wire):
    peer = wire.connect().settle()
    peer.send(settings({INITIAL_WINDOW_SIZE: 2**31}))
    assert peer.goaway().code == FLOW_CONTROL_ERROR
    peer.drained(5)
    wire.moved()


@pytest.mark.parametrize("stream", [0, 1])
def test_credit_of_nothing_is_a_protocol_error(wire, stream):
    peer = wire.connect().settle()
    assert peer.open(end=False) == 1
    peer.send(window_update(stream, 0))
    peer.until(lambda: peer.of(GOAWAY) or peer.of(RST_STREAM, 1), "an error")
    errors = peer.of(GOAWAY) + peer.of(RST_STREAM, 1)
    assert errors[0].code == PROTOCOL_ERROR
    peer.close()
    wire.moved(failed=1)


# --- what the server lets us send ---


def test_the_connections_window_comes_back_on_receipt_though_no_message_is_whole(wire):
    """Eight calls with 200 KiB each of a message that does not end: more than the window of 1 MiB."""
    peer = wire.connect().settle()
    stalled = []
    for _ in range(8):
        stream = peer.open(body=struct.pack(">BI", 0, 300 * KIB), end=False)
        peer.upload(stream, bytes(200 * KIB), end=False)
        stalled.append(stream)
    response = peer.call("past them")
    assert response.status == OK and response.messages == [echo("past them")]
    assert wire.server.value("echod_grpc_buffered_bytes") >= 8 * 200 * KIB
    peer.close()
    wire.moved(ok=1, failed=8)
    assert wire.server.value("echod_grpc_buffered_bytes") == 0


def test_a_streams_window_grows_with_the_message_that_is_gathered(wire):
    """1 MiB in a stream whose window is 256 KiB."""
    peer = wire.connect().settle()
    stream = peer.open(end=False)
    text = "x" * MIB
    peer.upload(stream, message(echo(text)))
    assert peer.response(stream).messages == [echo(text)]
    wire.moved(ok=1)


def test_data_beyond_the_connections_window_is_a_flow_control_error(wire):
    peer = wire.connect().settle()
    peer.until(lambda: peer.windows[0] >= MIB, "the window")
    stream = peer.open(body=struct.pack(">BI", 0, 4 * MIB), end=False)
    peer.send(b"".join(data(stream, bytes(16384)) for _ in range(17)))  # one frame over 256 KiB, unasked
    peer.listen(0.3)
    fatal = [f.code for f in peer.of(GOAWAY) + peer.of(RST_STREAM, stream)]
    assert fatal in ([], [FLOW_CONTROL_ERROR]), "either the credit came in time, or this"
    peer.close()
    wire.moved(failed=1)


def test_the_budget_for_unfinished_messages_bounds_their_sum(made_with):
    wire = made_with("--grpc.max-buffered-bytes=1MiB")
    peer = wire.connect().settle()
    streams = []
    for _ in range(6):
        stream = peer.open(body=struct.pack(">BI", 0, 300 * KIB), end=False)
        peer.upload(stream, bytes(250 * KIB), end=False)
        streams.append(stream)
    peer.ping()
    refused = [s for s in streams if peer.ended(s)]
    assert len(refused) >= 1
    for stream in refused:
        assert peer.answer(stream).status == RESOURCE_EXHAUSTED
    assert wire.server.value("echod_grpc_buffered_bytes") <= MIB
    assert peer.call("small").status == OK
    peer.close()
    wire.moved(ok=1, failed=6)


@pytest.mark.limit(120)
def test_replies_that_nobody_reads_are_within_the_budget_too(made_with):
    """16 MiB of replies to a peer with a window of 0; the budget is 4 MiB."""
    wire = made_with("--grpc.max-buffered-bytes=4MiB")
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle()
    for _ in range(16):
        stream = peer.open(end=False)
        peer.upload(stream, message(echo("x" * MIB)))
    peer.ping()
    assert wire.server.value("echod_grpc_buffered_bytes") <= 8 * MIB
    assert RESOURCE_EXHAUSTED in [peer.answer(s).status for s in range(1, 33, 2) if peer.ended(s)]
    with wire.connect() as other:
        assert other.call("small").messages == [echo("small")]
    peer.close()
    wire.moved(ok=1, failed=16)
    assert wire.server.value("echod_grpc_buffered_bytes") == 0


# --- PING ---


def test_a_ping_comes_back_with_its_eight_bytes(wire):
    peer = wire.connect().settle()
    payloads = [struct.pack(">Q", i * 0x0123456789ABCD) for i in range(18)]
    for i in range(0, 18, 3):  # more without a reply between them are too many
        peer.send(b"".join(frame(PING, payload=payload) for payload in payloads[i : i + 3]))
        peer.until(lambda wanted=i + 3: len(peer.of(PING, ack=True)) == wanted, "3 answers")
        assert peer.call().status == OK
    assert [f.payload for f in peer.of(PING, ack=True)] == payloads
    wire.moved(ok=6)


def test_a_ping_overtakes_data_that_waits(wire):
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 10}, credit=False).settle()
    stream = peer.open(body=message(echo("x" * 1000)))
    peer.until(lambda: received(peer, stream) == 10, "the first bytes")
    peer.ping(b"overtake")
    assert not peer.ended(stream)
    wire.moved(started=1)


def test_an_answer_to_a_ping_that_nobody_sent_is_ignored(wire):
    peer = wire.connect().settle()
    peer.send(frame(PING, ACK, 0, b"12345678"))
    assert peer.call().status == OK
    wire.moved(ok=1)


# --- many streams ---


def test_a_hundred_calls_at_once_are_served_on_one_connection(made_with):
    wire = made_with("--echo.delay=200ms")
    peer = wire.connect().settle()
    streams = {peer.open(body=message(echo(f"{i}"))): f"{i}" for i in range(100)}
    wire.server.wait_value(100, "echod_rpcs_in_flight")
    for stream, text in streams.items():
        assert peer.response(stream).messages == [echo(text)]
    wire.moved(ok=100)


def test_streams_beyond_the_limit_that_the_client_cannot_know_yet_are_refused(made_with):
    """Before our ACK of the server's SETTINGS: REFUSED_STREAM, which a client may retry."""
    wire = made_with("--echo.delay=500ms", "--grpc.max-concurrent-streams=5")
    peer = wire.connect(ack=False)
    streams = [peer.open(body=message(echo(f"{i}"))) for i in range(8)]
    for stream in streams[5:]:
        response = peer.response(stream)
        assert (response.shape, response.reset) == ("R", REFUSED_STREAM)
    for i, stream in enumerate(streams[:5]):
        assert peer.response(stream).messages == [echo(f"{i}")]
    assert not peer.of(GOAWAY)
    wire.moved(ok=5)


def test_streams_beyond_the_limit_that_the_client_knows_are_not_served(made_with):
    wire = made_with("--echo.delay=500ms", "--grpc.max-concurrent-streams=5")
    peer = wire.connect().settle()
    peer.ping()  # the ACK has arrived
    for i in range(6):
        peer.open(body=message(echo(f"{i}")))
    peer.until(lambda: peer.of(GOAWAY) or peer.of(RST_STREAM, 11), "a refusal")
    if peer.of(GOAWAY):
        assert peer.goaway().code == PROTOCOL_ERROR
        peer.drained()
        wire.moved(failed=5)
    else:
        assert peer.answer(11).reset == REFUSED_STREAM
        for i in range(5):
            assert peer.response(2 * i + 1).messages == [echo(f"{i}")]
        wire.moved(ok=5)


def test_a_thousand_calls_in_one_write_are_all_answered_in_order(wire):
    peer = wire.connect().settle()
    for batch in range(10):
        out, first = b"", peer.next_stream
        for i in range(100):
            stream = first + 2 * i
            out += headers(stream, block(request())) + data(stream, message(echo(f"{batch} {i}")), True)
        peer.next_stream = first + 200
        peer.windows[0] -= 3000
        peer.send(out)
        for i in range(100):
            assert peer.response(first + 2 * i).messages == [echo(f"{batch} {i}")]
    wire.moved(ok=1000)


# --- drain ---


class Draining:
    """A server that is told to stop while a peer talks to it; it must end well."""

    def __init__(self, server):
        self.server = server

    def stop(self):
        self.server.send_signal(signal.SIGTERM)

    def ended(self):
        assert self.server.wait(20) == 0


@pytest.fixture
def draining(serve):
    return lambda *flags: Draining(serve(*flags))


def goaways(peer):
    return [(f.last_stream, f.code) for f in peer.of(GOAWAY)]


def connect(server, **options):
    return Peer(server.grpc_port, **options)


def answer_drain_ping(peer):
    """PINGs of the server's, answered."""
    peer.until(lambda: peer.of(PING, ack=False), "the drain's PING")
    peer.send(frame(PING, ACK, 0, peer.of(PING, ack=False)[-1].payload))


def test_a_drain_says_goodbye_twice_and_finishes_what_it_has(draining):
    run = draining("--echo.delay=1s")
    with connect(run.server) as peer:
        peer.settle()
        stream = peer.open(body=message(echo("in flight")))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        run.stop()
        answer_drain_ping(peer)
        assert goaways(peer)[0] == (MOST, NO_ERROR)
        peer.until(lambda: len(peer.of(GOAWAY)) == 2, "the final GOAWAY")
        assert goaways(peer)[1] == (stream, NO_ERROR)
        assert peer.response(stream).messages == [echo("in flight")]
        peer.drained(5)
    run.ended()


def test_streams_opened_between_the_two_goaways_are_served(draining):
    run = draining("--echo.delay=200ms")
    with connect(run.server) as peer:
        peer.settle()
        first = peer.open(body=message(echo("before")))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        run.stop()
        peer.until(lambda: peer.of(GOAWAY), "the first GOAWAY")
        between = peer.open(body=message(echo("between")))
        assert peer.response(first).messages == [echo("before")]
        assert peer.response(between).messages == [echo("between")]
        answer_drain_ping(peer)
        peer.until(lambda: len(peer.of(GOAWAY)) == 2, "the final GOAWAY")
        assert goaways(peer) == [(MOST, NO_ERROR), (between, NO_ERROR)]
        peer.drained(5)
    run.ended()


def test_streams_opened_after_the_second_goaway_are_ignored(draining):
    run = draining("--echo.delay=800ms")
    with connect(run.server) as peer:
        peer.settle()
        first = peer.open(body=message(echo("before")))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        run.stop()
        answer_drain_ping(peer)
        peer.until(lambda: len(peer.of(GOAWAY)) == 2, "the final GOAWAY")
        late = peer.open(body=message(echo("late")))
        assert peer.response(first).messages == [echo("before")]
        peer.drained(5)
        assert not peer.of(HEADERS, late)
    run.ended()


def test_a_peer_that_does_not_answer_the_drains_ping_is_given_up_after_a_while(draining):
    run = draining()
    with connect(run.server) as peer:
        peer.settle()
        start = time.monotonic()
        run.stop()
        peer.drained(12)
        assert 3 < time.monotonic() - start < 10
        assert goaways(peer) == [(MOST, NO_ERROR), (0, NO_ERROR)]
    run.ended()


def test_pings_are_answered_during_a_drain(draining):
    run = draining("--echo.delay=1s")
    with connect(run.server) as peer:
        peer.settle()
        stream = peer.open(body=message(echo("x")))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        run.stop()
        peer.until(lambda: peer.of(GOAWAY), "GOAWAY")
        peer.ping(b"in drain")
        answer_drain_ping(peer)
        peer.ping(b"and then")
        assert peer.response(stream).status == OK
        peer.drained(5)
    run.ended()


def test_idle_connections_end_at_once_in_a_drain(draining):
    run = draining()
    peers = [connect(run.server).settle() for _ in range(10)]
    start = time.monotonic()
    run.stop()
    for peer in peers:
        answer_drain_ping(peer)
        peer.drained(5)
        assert goaways(peer) == [(MOST, NO_ERROR), (0, NO_ERROR)]
        peer.close()
    run.ended()
    assert time.monotonic() - start < 3


def test_a_peer_that_still_sends_gets_the_last_reply_before_the_end(draining):
    """What lies unread in the kernel at close() turns into RST and would tear the reply away."""
    run = draining("--echo.delay=300ms")
    with connect(run.server) as peer:
        peer.settle()
        stream = peer.open(body=message(echo("x" * 1000)))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        run.stop()
        answer_drain_ping(peer)
        peer.until(lambda: len(peer.of(GOAWAY)) == 2, "the final GOAWAY")
        end = time.monotonic() + 1.2
        while time.monotonic() < end and not peer.closed:
            peer.try_send(frame(0xBE, 0, 0, bytes(1000)) * 20)
            peer.listen(0.005)
        assert peer.response(stream).messages == [echo("x" * 1000)]
    run.ended()


def test_a_grace_that_runs_out_cuts_what_is_left(draining):
    run = draining("--echo.delay=60s", "--shutdown.grace=1s")
    with connect(run.server) as peer:
        peer.settle()
        peer.open(body=message(echo("x")))
        run.server.wait_value(1, "echod_rpcs_in_flight")
        start = time.monotonic()
        run.stop()
        answer_drain_ping(peer)
        peer.drained(8)
        assert 0.8 < time.monotonic() - start < 5
    run.ended()


def test_a_client_that_says_goaway_is_served_to_the_end(wire):
    peer = wire.connect().settle()
    stream = peer.open(end=False)
    peer.send(frame(GOAWAY, payload=struct.pack(">II", 0, NO_ERROR)))
    peer.send(data(stream, message(echo("x")), True))
    assert peer.response(stream).messages == [echo("x")]
    wire.moved(ok=1)

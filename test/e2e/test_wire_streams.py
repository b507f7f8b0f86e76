"""gRPC's wire contract, the server's side of it: streams of messages, frame by frame.

The service is grpc.testing.TestService, whose FullDuplexCall answers each request with what it asks for.
"""
import gzip
import time

import pytest

import daemon
from frames import (
    CANCEL, DATA, DEADLINE_EXCEEDED, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL, NO_ERROR, OK, RESOURCE_EXHAUSTED,
    RST_STREAM, Peer, data, message, request, rst_stream, varint, window_update,
)

FULL_DUPLEX = "/grpc.testing.TestService/FullDuplexCall"
UNKNOWN = 2
KIB = 1024


@pytest.fixture(scope="module")
def server(echod, tmp_path_factory):
    made = daemon.Server(echod, ("--grpc.interop",), tmp_path_factory.mktemp("interop") / "server.log")
    try:
        made.wait_ready()
        yield made
    finally:
        made.finish()


@pytest.fixture
def connect(server):
    """Connections; behind them the server answers as before, and holds nothing of theirs."""
    peers = []

    def make(**options):
        peers.append(Peer(server.grpc_port, **options))
        return peers[-1].settle()

    yield make
    for peer in peers:
        peer.close()
    server.wait_value(0, "echod_rpcs_in_flight")
    server.wait_value(0, "echod_grpc_buffered_bytes")
    with Peer(server.grpc_port) as peer:
        assert peer.call().status == OK


def field(number, kind, value):
    head = varint(number << 3 | kind)
    return head + (varint(value) if kind == 0 else varint(len(value)) + value)


def ask(*sizes, status=None):
    """StreamingOutputCallRequest for messages of these sizes, or for the end with this status."""
    out = b"".join(field(2, 2, field(1, 0, size) if size else b"") for size in sizes)
    return out + (field(7, 2, field(1, 0, status) + field(2, 2, b"as asked")) if status is not None else b"")


def open_stream(peer, *more, **options):
    return peer.open(request(*more, change={":path": FULL_DUPLEX}), **{"end": False, **options})


def answers(peer, stream):
    """How many whole messages have come."""
    count, rest = 0, peer.answer(stream).body
    while len(rest) >= 5 and len(rest) >= 5 + int.from_bytes(rest[1:5], "big"):
        count, rest = count + 1, rest[5 + int.from_bytes(rest[1:5], "big") :]
    return count


def test_each_request_is_answered_before_the_next_is_sent(connect):
    peer = connect()
    stream = open_stream(peer)
    for n in range(1, 6):
        peer.send(data(stream, message(ask(100 * n))))
        peer.until(lambda n=n: answers(peer, stream) == n, "an answer")
        assert not peer.ended(stream)
    peer.send(data(stream, b"", True))
    response = peer.response(stream)
    assert response.status == OK and response.shape == "HDDDDDT"


def test_a_hundred_requests_in_one_frame_have_a_hundred_answers(connect):
    peer = connect()
    stream = open_stream(peer)
    peer.send(data(stream, message(ask(10)) * 100, True))
    assert peer.response(stream).status == OK
    assert answers(peer, stream) == 100


def test_requests_in_frames_of_one_byte_have_their_answers(connect):
    peer = connect()
    stream = open_stream(peer)
    for byte in message(ask(10)) * 3:
        peer.send(data(stream, bytes([byte])))
    peer.send(data(stream, b"", True))
    assert peer.response(stream).status == OK
    assert answers(peer, stream) == 3


def test_a_stream_that_ends_before_its_client_sends_all_it_has_before_trailers_and_reset(connect):
    """RST_STREAM is urgent to HTTP/2 libraries; here it may not overtake 300 kB that wait for a window."""
    peer = connect(initial={INITIAL_WINDOW_SIZE: 1000}, credit=False)
    stream = open_stream(peer)
    peer.send(data(stream, message(ask(300 * KIB)) + message(ask(status=UNKNOWN))))
    peer.until(lambda: sum(len(f.payload) for f in peer.of(DATA, stream)) == 1000, "the first window")
    peer.ping()
    assert not peer.ended(stream)
    peer.send(window_update(0, 1 << 20) + window_update(stream, 1 << 20))
    response = peer.response(stream)
    peer.until(lambda: peer.of(RST_STREAM, stream), "the reset behind the trailers")
    response = peer.answer(stream)
    assert response.status == UNKNOWN and response.text == "as asked"
    assert response.shape.rstrip("R").endswith("DT") and response.shape.endswith("TR") and response.reset == NO_ERROR
    assert len(response.body) > 300 * KIB and len(response.messages) == 1


def test_a_bad_message_ends_a_stream_behind_the_answers_before_it(connect):
    peer = connect()
    for bad, status in (
        (b"\x02\0\0\0\0", INTERNAL),
        (message(b"\xff"), INTERNAL),
        (b"\0\xff\xff\xff\xff", RESOURCE_EXHAUSTED),
        (message(gzip.compress(b""), flag=1), INTERNAL),
    ):
        stream = open_stream(peer)
        peer.send(data(stream, message(ask(10)) + bad))
        response = peer.response(stream)
        assert response.status == status and len(response.messages) == 1
        peer.until(lambda stream=stream: peer.of(RST_STREAM, stream), "that the rest is not wanted")
        peer.send(data(stream, message(ask(10)), True))  # late, and dropped
    peer.ping()
    assert not peer.of(GOAWAY)


def test_an_end_inside_a_message_of_a_stream_is_internal(connect):
    peer = connect()
    whole = message(ask(10))
    for cut in range(1, len(whole)):
        stream = open_stream(peer)
        peer.send(data(stream, whole + whole[:cut], True))
        response = peer.response(stream)
        assert response.status == INTERNAL and len(response.messages) == 1


def test_each_request_may_be_compressed_or_not(connect):
    peer = connect()
    stream = open_stream(peer, ("grpc-encoding", "gzip"))
    packed = message(gzip.compress(ask(10)), flag=1)
    peer.send(data(stream, packed + message(ask(20)) + packed, True))
    assert peer.response(stream).status == OK
    assert answers(peer, stream) == 3


def test_a_deadline_ends_a_stream_behind_what_it_has_answered(connect):
    peer = connect()
    stream = open_stream(peer, ("grpc-timeout", "300m"))
    start = time.monotonic()
    peer.send(data(stream, message(ask(10))))
    response = peer.response(stream)
    assert 0.2 < time.monotonic() - start < 3
    assert response.status == DEADLINE_EXCEEDED and response.shape.startswith("HDT")


def test_a_reset_while_answers_wait_for_the_window_ends_them(connect):
    peer = connect(initial={INITIAL_WINDOW_SIZE: 100}, credit=False)
    stream = open_stream(peer)
    peer.send(data(stream, message(ask(100 * KIB)) * 3))
    peer.until(lambda: peer.of(DATA, stream), "the first bytes")
    peer.send(rst_stream(stream, CANCEL))
    peer.ping()
    seen = len(peer.frames)
    peer.send(window_update(0, 1 << 20))
    peer.ping()
    assert [f for f in peer.frames[seen:] if f.stream == stream] == []


def test_a_stalled_stream_holds_up_no_other(connect):
    """One client that asks and never reads: another stream of the same connection is served meanwhile."""
    peer = connect(initial={INITIAL_WINDOW_SIZE: 65535}, credit=False)
    stalled = open_stream(peer)
    peer.send(window_update(0, 1 << 30))
    peer.send(data(stalled, message(ask(200 * KIB)) * 20))
    peer.until(lambda: sum(len(f.payload) for f in peer.of(DATA, stalled)) == 65535, "a whole window")
    for _ in range(20):
        stream = open_stream(peer)
        peer.send(data(stream, message(ask(1000)), True))
        assert peer.response(stream).status == OK
    assert not peer.ended(stalled)


def test_a_client_that_asks_and_never_reads_is_not_read_from_for_ever(connect, server):
    """Requests for 4 GiB in all: what the server takes and holds is bounded."""
    before = server.value("process_resident_memory_bytes")
    peer = connect(initial={INITIAL_WINDOW_SIZE: 0}, credit=False)
    stream = open_stream(peer)
    asked = message(ask(1000 * KIB))
    peer.send(data(stream, asked))
    sent = 0
    while sent < 4000 and min(peer.windows[0], peer.windows[stream]) > 16384:
        batch = asked * 100
        peer.windows[0] -= len(batch)
        peer.windows[stream] -= len(batch)
        peer.send(data(stream, batch))
        sent += 100
    peer.ping()
    assert server.value("process_resident_memory_bytes") - before < 24 * KIB * KIB
    assert peer.of(HEADERS, stream) and not peer.of(DATA, stream)


def test_an_empty_stream_is_answered_with_nothing_but_ok(connect):
    peer = connect()
    response = peer.response(open_stream(peer, body=b"", end=True))
    assert response.status == OK and response.messages == []
    response = peer.response(open_stream(peer, end=True))
    assert response.status == OK and response.messages == []

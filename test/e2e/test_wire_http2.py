"""HTTP/2 beneath gRPC's wire contract: frames that break it, frames that it ignores, HPACK."""
import struct
import time

import pytest

from daemon import until
from frames import (
    COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, FRAME_SIZE_ERROR, GOAWAY, HEADERS, OK, PING, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED,
    Closed, block, data, echo, frame, headers, integer, message, request, rst_stream, settings, window_update,
)
from wire import wire  # noqa: F401 (fixtures)

GRPC_CALL = message(echo("x"))


# --- frames out of order, of the wrong size, or of no kind ---


@pytest.mark.parametrize("payload", [b"", bytes(5), bytes(300)], ids=len)
@pytest.mark.parametrize("stream", [0, 1, 7])
def test_frames_of_unknown_types_are_ignored(wire, payload, stream):
    peer = wire.connect()
    peer.send(frame(0xBE, 0xFF, stream, payload) + frame(0xFE, 0, stream, payload))
    assert peer.call().status == OK
    wire.moved(ok=1)


def test_unknown_settings_and_flags_and_the_reserved_bit_are_ignored(wire):
    peer = wire.connect(initial={0xFFFF: 1, 0x00AA: 0xFFFFFFFF})
    peer.send(frame(PING, 0xFE, 0x80000000, b"reserved"))
    peer.until(lambda: peer.of(PING, ack=True), "the PING's answer")
    assert peer.of(PING, ack=True)[0].payload == b"reserved"
    out = bytearray(headers(1, block(request())) + data(1, GRPC_CALL, True))
    out[4] |= 0x40 | 0x80  # flags that HEADERS has not
    out[5] |= 0x80  # the reserved bit of its stream id
    peer.next_stream = 3
    peer.send(bytes(out))
    assert peer.response(1).status == OK
    wire.moved(ok=1)


def test_unknown_error_codes_reset_like_any_other(wire):
    peer = wire.connect()
    stream = peer.open(end=False)
    peer.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 0xDEADBEEF)))
    assert peer.call().status == OK
    wire.moved(ok=1, failed=1)


OPENED = headers(1, block(request()))
UNFINISHED = frame(HEADERS, 0, 1, block(request()))
FATAL = {
    "a frame of 16385 bytes": (frame(0, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
    "PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
    "SETTINGS with ENABLE_PUSH 2": (settings({2: 2}), PROTOCOL_ERROR),
    "SETTINGS with a frame size of 1": (settings({5: 1}), PROTOCOL_ERROR),
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "DATA on an idle stream": (frame(DATA, 0, 5, b"x"), PROTOCOL_ERROR),
    "DATA with more padding than payload": (OPENED + frame(DATA, 8, 1, b"\x05abc"), PROTOCOL_ERROR),
    "HEADERS on stream 0": (headers(0, block(request())), PROTOCOL_ERROR),
    "HEADERS on an even stream": (headers(2, block(request())), PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frame(RST_STREAM, 0, 9, bytes(4)), PROTOCOL_ERROR),
    "CONTINUATION alone": (frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    "HEADERS interrupted by PING": (UNFINISHED + frame(PING, payload=bytes(8)), PROTOCOL_ERROR),
    "PUSH_PROMISE": (OPENED + frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2" + block(request())), PROTOCOL_ERROR),
    "a header index that does not exist": (headers(1, b"\xff\x50"), COMPRESSION_ERROR),
    "a header block that is torn": (headers(1, block(request()) + b"\x00\x05ab"), COMPRESSION_ERROR),
    "a table larger than allowed": (headers(1, integer(65536, 5, 0x20) + block(request())), COMPRESSION_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
def test_a_breach_of_http2_ends_the_connection_with_its_error(wire, name):
    octets, code = FATAL[name]
    peer = wire.connect().settle()
    peer.send(octets)
    assert peer.goaway().code == code
    peer.drained(5)
    begun = name in ("PUSH_PROMISE", "DATA with more padding than payload")
    wire.moved(failed=1 if begun else 0)


def test_a_stream_id_that_goes_back_is_never_served(wire):
    """RFC 9113 5.1.1 asks for a connection error; a library that keeps no closed streams may ignore it."""
    peer = wire.connect().settle()
    peer.next_stream = 5
    assert peer.call().status == OK
    peer.send(headers(3, block(request())) + data(3, GRPC_CALL, True))
    try:
        assert peer.call().status == OK
        wire.moved(ok=2)
    except Closed:
        assert peer.of(GOAWAY)[-1].code in (PROTOCOL_ERROR, STREAM_CLOSED)
        wire.moved(ok=1)
    assert not peer.of(HEADERS, 3)


# --- too much of what is allowed ---

FLOODS = {
    "PING": lambda i: frame(PING, payload=bytes(8)),
    "SETTINGS": lambda i: settings({4: 65535}),
    "empty DATA on a refused stream": lambda i: data(1, b""),
    "PRIORITY": lambda i: frame(PRIORITY, 0, 2 * i + 3, b"\0\0\0\0\x10"),
    "WINDOW_UPDATE": lambda i: window_update(0, 1),
    "frames of no known type": lambda i: frame(0xBE, 0, 0, b"x"),
    "calls that are reset at once": lambda i: headers(2 * i + 3, block(request())) + rst_stream(2 * i + 3),
    "refused calls": lambda i: headers(2 * i + 3, block(request(change={":path": "/"})), end=True),
}


@pytest.mark.limit(120)
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_that_nobody_reads_answers_of_costs_bounded_memory_and_no_neighbour(wire, name):
    """30,000 frames from a peer that reads nothing; the connection may end, the server and others go on."""

    def resident():
        return wire.server.value("process_resident_memory_bytes")

    neighbour, peer = wire.connect().settle(), wire.connect(ack=False)
    before = resident()
    peer.send(headers(1, block(request(change={":path": "/"}))))
    flood = b"".join(FLOODS[name](i) for i in range(30000))
    peer.socket.settimeout(0.5)
    for i in range(0, len(flood), 1 << 16):
        try:
            peer.socket.sendall(flood[i : i + (1 << 16)])
        except OSError:  # it closed, or it reads no more until we do
            break
    start = time.monotonic()
    assert neighbour.call("next door").messages == [echo("next door")]
    assert time.monotonic() - start < 1
    assert resident() - before < 16 * 1024 * 1024
    peer.close()
    # what it has sent is read to its end, also when calls have ended meanwhile
    until(lambda: wire.server.value("echod_connections_active", listener="grpc") == 1, "all but the neighbour gone")
    now = wire.delta()
    assert now.ok == 1 and now.total == 1 + now.failed
    wire.moved(now.ok, now.failed, now.refused)


# --- HPACK ---


@pytest.mark.parametrize("sizes", [(0,), (4096,), (0, 4096), (100, 0)], ids=str)
def test_table_size_updates_at_the_start_of_a_block_are_followed(wire, sizes):
    peer = wire.connect().settle()
    updates = b"".join(integer(size, 5, 0x20) for size in sizes)
    peer.next_stream = 3
    peer.send(headers(1, updates + block(request())) + data(1, GRPC_CALL, True))
    assert peer.response(1).status == OK
    assert peer.call().status == OK
    wire.moved(ok=2)


def test_fields_that_may_never_be_indexed_are_read_like_others(wire):
    peer = wire.connect()
    fragment = block(request()) + block([("authorization", "secret")], first=0x10)
    peer.send(headers(1, fragment) + data(1, GRPC_CALL, True))
    peer.next_stream = 3
    assert peer.response(1).status == OK
    wire.moved(ok=1)


def test_fields_that_enter_the_table_can_be_named_by_index_later(wire):
    peer = wire.connect()
    peer.send(headers(1, block(request(), first=0x40)) + data(1, GRPC_CALL, True))
    indexed = b"".join(integer(62 + i, 7, 0x80) for i in reversed(range(len(request()))))
    peer.send(headers(3, indexed) + data(3, GRPC_CALL, True))
    peer.next_stream = 5
    assert peer.response(1).status == OK and peer.response(3).status == OK
    wire.moved(ok=2)


@pytest.mark.parametrize("size", [0, 64, 4096, 1 << 20])
def test_the_servers_encoder_keeps_to_our_table(wire, size):
    peer = wire.connect(initial={1: size})
    peer.decoder.max_allowed_table_size = size
    for i in range(5):
        assert peer.call(f"{i}").status == OK
    wire.moved(ok=5)

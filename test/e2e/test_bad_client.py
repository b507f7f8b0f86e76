"""The attacks of grpc-core's test/core/bad_client, by its names, against our server.

There the server only has to survive; here each attack also has the answer that RFC 9113 and gRPC's
protocol document ask for, and the server answers a clean call afterwards (wire.py).
"""
import contextlib
import struct

import pytest

from daemon import until
from frames import (
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
    GOAWAY, GONE, HEADERS, INTERNAL, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, OK, PING, PREFACE, PRIORITY,
    PROTOCOL_ERROR, RESOURCE_EXHAUSTED, RST_STREAM, SETTINGS, STREAM_CLOSED, UNIMPLEMENTED, WINDOW_UPDATE,
    Closed, block, data, echo, frame, headers, literal, message, request, settings,
)
from wire import wire  # noqa: F401 (fixtures)

OPENED = headers(1, block(request()))
NO_SETTINGS = frame(SETTINGS)


def gone(wire):
    """That no connection of the test's is left at the server."""
    active = "echod_connections_active"
    until(lambda: wire.server.value(active, listener="grpc") == 0, "all connections gone")


def leave(wire, *each, failed=0):
    """Says one of these and goes away, then the next."""
    for octets in each:
        with wire.connect(preface=False) as peer:
            peer.send(octets)
    gone(wire)
    wire.moved(failed=failed)


def fatal(wire, octets, codes, failed=0):
    """The server itself ends the connection, with one of these errors."""
    peer = wire.connect(preface=False)
    peer.try_send(octets)
    peer.drained(5)
    assert [f.code for f in peer.of(GOAWAY) if f.code not in codes] == [], peer.frames
    assert peer.of(GOAWAY), peer.frames
    peer.close()
    gone(wire)
    wire.moved(failed=failed)


def resets(wire, octets, codes=(PROTOCOL_ERROR,), stream=1, failed=0):
    """The stream ends with one of these errors, and the connection goes on."""
    peer = wire.connect()
    peer.send(octets)
    response = peer.response(stream)
    assert response.shape == "R" and response.reset in codes, response
    assert not peer.of(GOAWAY)
    peer.next_stream = 101
    assert peer.call().status == OK
    wire.moved(ok=1, failed=failed)


# --- badreq ---


def test_badreq_content_type(wire):
    assert wire.connect().call("x", change={"content-type": "text/html"}).http == "415"
    wire.moved(refused={"415": 1})


def test_badreq_te(wire):
    resets(wire, headers(1, block(request(change={"te": "frobnicate"}))))


def test_badreq_two_paths(wire):
    fields = request()
    fields.insert(1, (":path", "/foo/bah"))
    resets(wire, headers(1, block(fields)))


def test_badreq_accept_encoding_that_nobody_knows_is_no_reason_to_refuse(wire):
    assert wire.connect().call("x", ("grpc-accept-encoding", "of-my-own-making")).status == OK
    wire.moved(ok=1)


def test_badreq_encoding_that_nobody_knows(wire):
    assert wire.connect().call("x", ("grpc-encoding", "of-my-own-making")).status == UNIMPLEMENTED
    wire.moved(failed=1)


# --- bad_streaming_id ---


def test_bad_streaming_id_regular(wire):
    peer = wire.connect()
    assert peer.response(peer.open()).status == UNIMPLEMENTED  # a call without a message
    wire.moved(failed=1)


def test_bad_streaming_id_of_a_server(wire):
    fatal(wire, PREFACE + NO_SETTINGS + headers(2, block(request()), True), (PROTOCOL_ERROR,))


def test_bad_streaming_id_closed(wire):
    peer = wire.connect()
    for stream in (1, 3):
        peer.send(headers(stream, block(request()), True))
        assert peer.response(stream).status == UNIMPLEMENTED
    peer.send(headers(1, block(request()), True))
    assert peer.goaway().code in (STREAM_CLOSED, PROTOCOL_ERROR)
    peer.drained(5)
    wire.moved(failed=2)


# --- connection_prefix ---


def test_connection_prefix(wire):
    """The preface as far as each of its bytes, then another byte."""
    for size in range(len(PREFACE)):
        with wire.connect(preface=False) as peer:
            peer.try_send(PREFACE[:size] + b"X")
            peer.drained(5)
            assert b"HTTP" not in peer.rest
            assert all(f.kind in (SETTINGS, GOAWAY) for f in peer.frames), peer.frames
    wire.moved()


# --- duplicate_header ---


@pytest.mark.parametrize("times", [2, 3])
def test_duplicate_header(wire, times):
    """HEADERS again where a body or trailers may come, and a DATA frame that is only begun."""
    peer = wire.connect().settle()  # nothing of ours comes between the two halves
    begun = data(1, bytes(32))
    peer.send(OPENED * times + begun[:13])
    response = peer.response(1)
    assert (response.shape, response.reset) == ("R", PROTOCOL_ERROR)
    peer.send(begun[13:])
    peer.next_stream = 3
    with contextlib.suppress(Closed):  # more than one frame too many may cost the connection
        assert peer.call().status == OK
        wire.moved(ok=1, failed=1)
        return
    assert peer.of(GOAWAY)[-1].code in (PROTOCOL_ERROR, STREAM_CLOSED) and times > 2
    wire.moved(failed=1)


# --- head_of_line_blocking ---


def test_head_of_line_blocking(wire):
    """A message that is announced and never comes, before one that comes in pieces."""
    peer = wire.connect()
    peer.open(body=struct.pack(">BI", 0, 10000), end=False)
    text = "a" * 9997
    body = message(echo(text))
    assert len(body) == 10005
    stream = peer.open(body=body[:5], end=False)
    for i in range(10):
        peer.send(data(stream, body[5 + 1000 * i : 1005 + 1000 * i], i == 9))
    assert peer.response(stream).messages == [echo(text)]
    wire.moved(ok=1, started=2)


# --- headers ---

FRAME_HEAD = frame(HEADERS, END_HEADERS, 1)


@pytest.mark.parametrize("flags", [0, END_HEADERS, END_HEADERS | END_STREAM])
def test_headers_begun_and_left(wire, flags):
    head = frame(HEADERS, flags, 1)
    leave(wire, *(PREFACE + NO_SETTINGS + head[:size] for size in range(1, 9)))


def announced(length, octets, flags=END_HEADERS):
    """The head of HEADERS of `length` bytes, and these."""
    return frame(HEADERS, flags, 1, bytes(length))[:9] + octets


TORN_BLOCKS = {
    "priority alone": announced(5, b"", 0x24),
    "half of the priority": announced(5, b"\0\0\0", 0x24),
    "an index that goes on": announced(8, b"\xff"),
    "an index that goes on and on": announced(8, b"\xff" + b"\x80" * 6),
}


@pytest.mark.parametrize("name", TORN_BLOCKS)
def test_headers_torn_and_left(wire, name):
    leave(wire, PREFACE + NO_SETTINGS + TORN_BLOCKS[name])


FATAL_BLOCKS = {
    "on stream 0": (frame(HEADERS, END_HEADERS, 0), (PROTOCOL_ERROR,)),
    "priority of 1 byte": (frame(HEADERS, 0x24, 1, bytes(1)), (FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    "priority of 2 bytes": (frame(HEADERS, 0x24, 1, bytes(2)), (FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    "priority of 3 bytes": (frame(HEADERS, 0x24, 1, bytes(3)), (FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    "priority of 4 bytes": (frame(HEADERS, 0x24, 1, bytes(4)), (FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    "index 126": (headers(1, b"\xfe"), (COMPRESSION_ERROR,)),
    "an indexed name that is not there": (headers(1, b"\x7f\x7f\x01a"), (COMPRESSION_ERROR,)),
    "the same, not indexed": (headers(1, b"\x0f\x7f\x01a"), (COMPRESSION_ERROR,)),
    "the same, never indexed": (headers(1, b"\x1f\x7f\x01a"), (COMPRESSION_ERROR,)),
    "index 0": (headers(1, b"\x80"), (COMPRESSION_ERROR,)),
    "the end within a field": (headers(1, b"\x01"), (COMPRESSION_ERROR,)),
    "an index beyond 32 bits": (headers(1, b"\xff\x80\x80\x80\x80\x7f"), (COMPRESSION_ERROR,)),
    "an index of all ones": (headers(1, b"\xff\xff\xff\xff\xff\x0f"), (COMPRESSION_ERROR,)),
    "an index that overflows late": (headers(1, b"\xff" + b"\x80" * 6 + b"\x02"), (COMPRESSION_ERROR,)),
    "a table of 4112 bytes": (headers(1, b"\x3f\xf1\x1f"), (COMPRESSION_ERROR,)),
    "DATA in place of CONTINUATION": (frame(HEADERS, 0, 1) + frame(DATA, 4, 1), (PROTOCOL_ERROR,)),
    "CONTINUATION of another stream": (
        frame(HEADERS, 0, 1) + frame(CONTINUATION, END_HEADERS, 3), (PROTOCOL_ERROR,)
    ),
    "CONTINUATION of what was complete": (
        OPENED + frame(CONTINUATION, END_HEADERS, 1), (PROTOCOL_ERROR,)
    ),
    "CONTINUATION first": (frame(CONTINUATION, END_HEADERS, 1), (PROTOCOL_ERROR,)),
    "what a fuzzer found": (b"\0\0\0\x01\x39\x67\xed\x1d\x64", (PROTOCOL_ERROR, FRAME_SIZE_ERROR)),
}
FATAL_BLOCKS.update(
    {
        f"an index in {n + 2} bytes": (headers(1, b"\xff" + b"\x80" * n + b"\0"), (COMPRESSION_ERROR,))
        for n in range(7)
    }
)


@pytest.mark.parametrize("name", FATAL_BLOCKS)
def test_headers_that_end_the_connection(wire, name):
    octets, codes = FATAL_BLOCKS[name]
    fatal(wire, PREFACE + NO_SETTINGS + octets, codes, failed=int(octets.startswith(OPENED)))


MALFORMED_BLOCKS = {
    "nothing": b"",
    "a value without a name's index, not indexed": b"\x01\x01a",
    "the same, never indexed": b"\x11\x01a",
    "a table of the default size and nothing": b"\x3f\xe1\x1f",
    "a table of 0, of the default, and nothing": b"\x20\x3f\xe1\x1f",
    "a timeout in words and nothing else": literal("grpc-timeout", "15 seconds", 0x10),
}


@pytest.mark.parametrize("name", MALFORMED_BLOCKS)
def test_headers_that_make_no_request(wire, name):
    resets(wire, headers(1, MALFORMED_BLOCKS[name]))


def test_headers_in_two_empty_parts(wire):
    resets(wire, frame(HEADERS, 0, 1) + frame(CONTINUATION, END_HEADERS, 1))


def test_headers_with_three_sizes_of_the_table(wire):
    """RFC 7541 4.2 allows two; what follows is no request either way."""
    peer = wire.connect()
    peer.send(headers(1, b"\x20\x20\x20"))
    peer.until(lambda: peer.of(RST_STREAM, 1) or peer.of(GOAWAY), "an error")
    assert (peer.of(GOAWAY) + peer.of(RST_STREAM))[0].code in (COMPRESSION_ERROR, PROTOCOL_ERROR)
    wire.moved()


def test_headers_thrice_empty(wire):
    peer = wire.connect()
    peer.send(FRAME_HEAD * 3)
    assert peer.response(1).reset in (PROTOCOL_ERROR, STREAM_CLOSED)
    peer.close()
    wire.moved()


def test_headers_with_a_timeout_in_words_twice(wire):
    """On two streams, since what was read once may be remembered."""
    peer = wire.connect()
    for _ in range(2):
        response = peer.call("x", ("grpc-timeout", "15 seconds"))
        assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=2)


# --- initial_settings_frame ---


@pytest.mark.parametrize("head", [NO_SETTINGS, frame(SETTINGS, ACK), frame(SETTINGS, 0xFF), settings({4: 1})], ids=bytes.hex)
def test_initial_settings_frame_begun_and_left(wire, head):
    leave(wire, *(PREFACE + head[:size] for size in range(1, 9)))


BAD_SETTINGS = {
    "on stream 1": (frame(SETTINGS, 0, 1), (PROTOCOL_ERROR,)),
    "on a distant stream": (frame(SETTINGS, 0, 0x400000), (PROTOCOL_ERROR,)),
    "a frame size of 0": (settings({MAX_FRAME_SIZE: 0}), (PROTOCOL_ERROR,)),
    "an acknowledgement with a byte": (NO_SETTINGS + frame(SETTINGS, ACK, 0, b"\0"), (FRAME_SIZE_ERROR,)),
}
BAD_SETTINGS.update({f"{n} bytes": (frame(SETTINGS, 0, 0, bytes(n)), (FRAME_SIZE_ERROR,)) for n in range(1, 6)})


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_initial_settings_frame_that_ends_the_connection(wire, name):
    octets, codes = BAD_SETTINGS[name]
    fatal(wire, PREFACE + octets, codes)


GOOD_SETTINGS = {
    "no limit on header lists": settings({MAX_HEADER_LIST_SIZE: 0xFFFFFFFF}),
    "a window of 64 KiB": settings({4: 0x10000}),
    "a flag that nobody knows": frame(SETTINGS, 0x10),
    "a setting that nobody knows": settings({0x99: 0}),
}


@pytest.mark.parametrize("name", GOOD_SETTINGS)
def test_initial_settings_frame_that_is_strange_and_legal(wire, name):
    peer = wire.connect(preface=False)
    peer.send(PREFACE + GOOD_SETTINGS[name])
    assert peer.call().status == OK
    wire.moved(ok=1)


# --- large_metadata ---


def test_large_metadata(wire):
    """As there, a hundred bytes in each of many fields; as many as our limit refuses."""
    peer = wire.connect()
    fields = [(f"user-header{i:03}", f"~{'a' * 120}") for i in range(110)]
    response = peer.call("x", *fields)
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    assert peer.call("x", *fields[:46]).status == OK
    wire.moved(ok=1, refused={"200": 1})


# --- out_of_bounds ---

OUT_OF_BOUNDS = {
    "DATA of 64 KiB": frame(DATA, 0, 1, bytes(1 << 16)),
    "PRIORITY of 3 bytes": frame(PRIORITY, 0, 1, bytes(3)),
    "RST_STREAM of 2 bytes": frame(RST_STREAM, 0, 1, bytes(2)),
    "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, bytes(5)),
    "PING of 5 bytes": frame(PING, 0, 0, bytes(5)),
    "WINDOW_UPDATE of 1 byte": frame(WINDOW_UPDATE, 0, 0, bytes(1)),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_out_of_bounds(wire, name):
    fatal(wire, PREFACE + NO_SETTINGS + OUT_OF_BOUNDS[name], (FRAME_SIZE_ERROR,))


# --- server_registered_method ---


def test_server_registered_method_torn_within_the_prefix(wire):
    leave(wire, *(PREFACE + NO_SETTINGS + OPENED + data(1, bytes(size)) for size in range(5)), failed=5)


@pytest.mark.parametrize("body", [b"\0\0\0\0\1", b"\0\0\0\0\2", b"\0\0\0\0\2\x0a"], ids=bytes.hex)
def test_server_registered_method_torn_within_the_message(wire, body):
    leave(wire, PREFACE + NO_SETTINGS + OPENED + data(1, body), failed=1)


@pytest.mark.parametrize("text", ["", "x"])
def test_server_registered_method_whole(wire, text):
    peer = wire.connect()
    peer.send(OPENED + data(1, message(echo(text)), True))
    assert peer.response(1).messages == [echo(text)]
    wire.moved(ok=1)


# --- simple_request ---


def test_simple_request(wire):
    fields = [("grpc-accept-encoding", "deflate,identity,gzip"), ("user-agent", "bad-client/0")]
    assert wire.connect().call("x", *fields).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize(
    ("content_type", "status"), [("application/grpc+this-is-valid", UNIMPLEMENTED), ("application/grpc;this-is-valid", OK)]
)
def test_simple_request_unusual(wire, content_type, status):
    """Host in place of :authority, a type with more to it, and two timeouts."""
    change = {":authority": GONE, "content-type": content_type}
    more = [("host", "localhost"), ("grpc-timeout", "10S"), ("grpc-timeout", "5S")]
    assert wire.connect().call("x", *more, change=change).status == status
    wire.moved(ok=int(status == OK), failed=int(status != OK))


def test_simple_request_with_a_flag_that_no_message_has(wire):
    peer = wire.connect()
    response = peer.response(peer.open(body=b"\x34\0\0\0\0", end=False))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


def test_simple_request_with_a_flag_that_no_data_has(wire):
    peer = wire.connect()
    stream = peer.open(end=False)
    peer.send(frame(DATA, 2, stream) + data(stream, message(echo("x")), True))
    assert peer.response(stream).messages == [echo("x")]
    wire.moved(ok=1)


BREACHES = {
    "WINDOW_UPDATE of 1 byte": (frame(WINDOW_UPDATE, 0, 1, bytes(1)), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of nothing": (frame(WINDOW_UPDATE, 0x10, 1), FRAME_SIZE_ERROR),
    "GOAWAY of 4 bytes": (frame(GOAWAY, 0, 0, bytes(4)), FRAME_SIZE_ERROR),
    "RST_STREAM of 1 byte": (frame(RST_STREAM, 0, 1, bytes(1)), FRAME_SIZE_ERROR),
    "RST_STREAM of nothing": (frame(RST_STREAM, 0x10, 1), FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", BREACHES)
def test_simple_request_and_a_frame_of_the_wrong_size(wire, name):
    octets, code = BREACHES[name]
    fatal(wire, PREFACE + NO_SETTINGS + OPENED + octets, (code,), failed=1)


def test_simple_request_and_credit_of_nothing(wire):
    """RFC 9113 6.9 asks for an error of the stream; one of the connection is allowed."""
    peer = wire.connect()
    peer.send(OPENED + frame(WINDOW_UPDATE, 0, 1, bytes(4)))
    peer.until(lambda: peer.of(RST_STREAM, 1) or peer.of(GOAWAY), "an error")
    assert (peer.of(GOAWAY) + peer.of(RST_STREAM))[0].code == PROTOCOL_ERROR
    peer.close()
    wire.moved(failed=1)


def test_simple_request_and_a_goaway_that_is_begun_and_left(wire):
    leave(wire, PREFACE + NO_SETTINGS + OPENED + frame(GOAWAY, 0, 0, bytes(0x112))[:9], failed=1)


# --- unknown_frame ---


def test_unknown_frame(wire):
    """Each type that RFC 9113 does not define: ignored, before a call and within it."""
    peer = wire.connect()
    unknown = b"".join(frame(kind, 0, 1) for kind in range(10, 256))
    peer.send(unknown)
    stream = peer.open(end=False)
    peer.send(unknown + data(stream, message(echo("x")), True))
    assert peer.response(stream).messages == [echo("x")]
    wire.moved(ok=1)


def test_unknown_frame_and_left(wire):
    leave(wire, PREFACE + NO_SETTINGS + frame(10, 0, 1) + frame(255, 0, 1))


# --- window_overflow ---


def test_window_overflow(wire):
    """4 MiB of empty messages into one stream, whatever credit there is."""
    peer = wire.connect().settle()
    full = data(1, bytes(16384 // 5 * 5))
    peer.send(OPENED)
    peer.next_stream = 3
    for _ in range(4 * 1024 * 1024 // len(full) + 1):
        peer.try_send(full)
    peer.until(lambda: peer.ended(1) or peer.of(GOAWAY), "the stream's end")
    ends = [f.code for f in peer.of(GOAWAY) + peer.of(RST_STREAM, 1)]
    assert ends in ([0], [FLOW_CONTROL_ERROR]), ends
    peer.close()
    gone(wire)
    wire.moved(failed=1)


# --- window_update_overflow ---


def test_window_update_overflow(wire):
    fatal(wire, PREFACE + NO_SETTINGS + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), (FLOW_CONTROL_ERROR,))

"""The rules of RFC 9113 and RFC 7541 that a peer can break, one by one, as bytes and the error that they ask for.

`s` in what is sent is the stream of a call that is open: its sender has not ended it.
What applies to both ends stands in BOTH; what only a client can do to a server in SERVER.
"""
import dataclasses
import struct

from frames import (
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
    GONE, HEADERS, PADDED, PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED,
    WINDOW_UPDATE, block, data, frame, headers, integer, literal, request, rst_stream, settings, window_update,
)

PRIORITIZED = 0x20
IDLE = 101  # a stream that nobody has opened
MOST = 2**31 - 1
FIELDS = block(request())


@dataclasses.dataclass
class Rule:
    """scope: "connection", "stream" (which may also be treated as the connection's), or "none": it is legal."""

    octets: object
    scope: str
    codes: tuple = ()

    def sent(self, stream):
        return self.octets(stream) if callable(self.octets) else self.octets


def connection(octets, *codes):
    return Rule(octets, "connection", codes)


def stream(octets, *codes):
    return Rule(octets, "stream", codes)


def legal(octets):
    return Rule(octets, "none")


def broken_block(fragment, *codes):
    """A header block on the open stream that no decoder can read: an error of the connection, RFC 9113 4.3."""
    return connection(lambda s: headers(s, fragment, end=True), *(codes or (COMPRESSION_ERROR,)))


def begun(s):
    """A header block that is not finished."""
    return frame(HEADERS, END_STREAM, s, literal("a", "b"))


def priority(s, on, length=5):
    return frame(PRIORITY, 0, s, (struct.pack(">I", on) + b"\x10" + bytes(8))[:length])


BOTH = {
    "4.1 a frame of no known type": legal(frame(0xBE, 0xFF, 0, b"x" * 8)),
    "4.1 a frame of no known type on the stream": legal(lambda s: frame(0xBE, 0xFF, s, b"x" * 8)),
    "4.1 flags that PING has not": legal(frame(PING, 0xFE, 0, bytes(8))),
    "4.1 the reserved bit": legal(frame(PING, 0, 0x80000000, bytes(8))),
    "4.2 DATA larger than the frame size": stream(lambda s: data(s, bytes(16385)), FRAME_SIZE_ERROR),
    "4.2 HEADERS larger than the frame size": connection(
        lambda s: frame(HEADERS, END_HEADERS, s, bytes(16385)), FRAME_SIZE_ERROR),
    "4.3 a block with an index that is not there": broken_block(b"\xff\x50"),
    "4.3 a block that ends within a field": broken_block(b"\x00\x05ab"),
    "4.3 a block and PRIORITY within it": connection(lambda s: begun(s) + priority(s + 2, 0), PROTOCOL_ERROR),
    "4.3 a block and HEADERS of another stream within it": connection(
        lambda s: begun(s) + headers(s + 2, FIELDS), PROTOCOL_ERROR),
    "5.1 DATA on an idle stream": connection(data(IDLE, b"x"), PROTOCOL_ERROR),
    "5.1 RST_STREAM on an idle stream": connection(rst_stream(IDLE), PROTOCOL_ERROR),
    "5.1 WINDOW_UPDATE on an idle stream": connection(window_update(IDLE, 1), PROTOCOL_ERROR),
    "5.1 CONTINUATION on an idle stream": connection(frame(CONTINUATION, END_HEADERS, IDLE, b""), PROTOCOL_ERROR),
    "5.5 a frame of no known type within a block": connection(
        lambda s: begun(s) + frame(0xBE, 0, s, b"x"), PROTOCOL_ERROR),
    "6.1 DATA on stream 0": connection(data(0, b"x"), PROTOCOL_ERROR),
    "6.1 DATA with more padding than payload": connection(
        lambda s: frame(DATA, PADDED, s, b"\x05abc"), PROTOCOL_ERROR),
    "6.2 HEADERS on stream 0": connection(headers(0, FIELDS), PROTOCOL_ERROR),
    "6.2 HEADERS with more padding than payload": connection(
        lambda s: frame(HEADERS, PADDED | END_HEADERS | END_STREAM, s, b"\x20" + literal("a", "b")), PROTOCOL_ERROR),
    "6.4 RST_STREAM on stream 0": connection(rst_stream(0), PROTOCOL_ERROR),
    "6.4 RST_STREAM of 3 bytes": connection(lambda s: frame(RST_STREAM, 0, s, bytes(3)), FRAME_SIZE_ERROR),
    "6.5 SETTINGS on a stream": connection(lambda s: frame(SETTINGS, 0, s), PROTOCOL_ERROR),
    "6.5 SETTINGS of 3 bytes": connection(frame(SETTINGS, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "6.5 an acknowledgement with a payload": connection(frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "6.5.2 push 2": connection(settings({2: 2}), PROTOCOL_ERROR),
    "6.5.2 a window beyond 2^31-1": connection(settings({4: 2**31}), FLOW_CONTROL_ERROR),
    "6.5.2 a frame size below 16384": connection(settings({5: 16383}), PROTOCOL_ERROR),
    "6.5.2 a frame size beyond 2^24-1": connection(settings({5: 2**24}), PROTOCOL_ERROR),
    "6.5.2 a setting that nobody knows": legal(settings({0xFF: 1})),
    "6.5.3 the same setting twice": legal(frame(SETTINGS, payload=struct.pack(">HIHI", 4, 100, 4, 65535))),
    "6.7 PING": legal(frame(PING, 0, 0, b"01234567")),
    "6.7 an answer to a PING that was not sent": legal(frame(PING, ACK, 0, b"01234567")),
    "6.7 PING on a stream": connection(lambda s: frame(PING, 0, s, bytes(8)), PROTOCOL_ERROR),
    "6.7 PING of 6 bytes": connection(frame(PING, 0, 0, bytes(6)), FRAME_SIZE_ERROR),
    "6.8 GOAWAY on a stream": connection(lambda s: frame(GOAWAY, 0, s, bytes(8)), PROTOCOL_ERROR),
    "6.9 credit of nothing for the connection": connection(window_update(0, 0), PROTOCOL_ERROR),
    "6.9 credit of nothing for the stream": stream(lambda s: window_update(s, 0), PROTOCOL_ERROR),
    "6.9 WINDOW_UPDATE of 3 bytes": connection(frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "6.9.1 credit beyond 2^31-1 for the connection": connection(window_update(0, MOST), FLOW_CONTROL_ERROR),
    "6.9.1 credit beyond 2^31-1 for the stream": stream(lambda s: window_update(s, MOST), FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION of nothing": connection(lambda s: frame(CONTINUATION, END_HEADERS, s, b""), PROTOCOL_ERROR),
    "6.10 CONTINUATION on stream 0": connection(
        lambda s: begun(s) + frame(CONTINUATION, END_HEADERS, 0, b""), PROTOCOL_ERROR),
    "6.10 CONTINUATION of another stream": connection(
        lambda s: begun(s) + frame(CONTINUATION, END_HEADERS, s + 2, b""), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind a block that was whole": connection(
        lambda s: begun(s) + frame(CONTINUATION, END_HEADERS, s, b"") * 2, PROTOCOL_ERROR),
    "6.10 CONTINUATION behind DATA": connection(
        lambda s: data(s, b"") + frame(CONTINUATION, END_HEADERS, s, b""), PROTOCOL_ERROR),
    "7 an error code that nobody knows": legal(lambda s: rst_stream(s, 0xDEADBEEF)),
    "HPACK 2.3.3 an indexed field that is not there": broken_block(integer(70, 7, 0x80)),
    "HPACK 2.3.3 a name that is not there": broken_block(integer(70, 6, 0x40) + b"\x01x"),
    "HPACK 4.2 a table size behind a field": broken_block(literal("a", "b") + integer(0, 5, 0x20)),
    "HPACK 5.1 an integer without end": broken_block(b"\xff" + b"\xff" * 16),
    "HPACK 5.2 more padding than 7 bits": broken_block(b"\x00\x81\x1f" + b"\x82\xff\xff"),
    "HPACK 5.2 padding with zeros": broken_block(b"\x00\x81\x18" + b"\x01x"),
    "HPACK 5.2 the code for the end": broken_block(b"\x00\x84\xff\xff\xff\xff" + b"\x01x"),
    "HPACK 6.1 index 0": broken_block(b"\x80"),
    "HPACK 6.3 a table larger than allowed": broken_block(integer(2**20, 5, 0x20)),
}


def asks(*more, change=None, end=True):
    """A request on a stream of its own."""
    return lambda s: headers(s + 2, block(request(*more, change=change)), end=end)


def raw(fields, end=True):
    return lambda s: headers(s + 2, fields, end=end)


def ended(octets):
    """What comes on a stream whose request has ended, but not its answer: a call that waits for its turn."""
    return lambda s: headers(s + 2, FIELDS, end=True) + octets(s + 2)


def reset(octets):
    return lambda s: rst_stream(s) + octets(s)


def again(s):
    return headers(s, FIELDS, end=True)


def byte(s):
    return data(s, b"x")


# A request is malformed: RFC 9113 8.1.1. What follows is on the stream `s + 2`.
MALFORMED = {
    "8.2.1 a name in upper case": asks(("X-Test", "a")),
    "8.2.2 connection": asks(("connection", "keep-alive")),
    "8.2.2 te with anything but trailers": asks(change={"te": "trailers, deflate"}),
    "8.3 a pseudo-field that nobody knows": asks(change={":test": "a"}),
    "8.3 a response's pseudo-field": asks(change={":status": "200"}),
    "8.3 a pseudo-field behind a field": asks((":authority", "x"), change={":authority": GONE}),
    "8.3.1 no :method": asks(change={":method": GONE}),
    "8.3.1 no :scheme": asks(change={":scheme": GONE}),
    "8.3.1 no :path": asks(change={":path": GONE}),
    "8.3.1 an empty :path": asks(change={":path": ""}),
    "8.3.1 two :method": raw(literal(":method", "POST") + FIELDS),
    "8.3.1 two :scheme": raw(literal(":scheme", "http") + FIELDS),
    "8.3.1 two :path": raw(literal(":path", "/") + FIELDS),
    "8.1 a pseudo-field in the trailers": lambda s: headers(s, block([(":method", "POST")]), end=True),
    "8.1 a second block that does not end the stream": lambda s: headers(s, block([("a", "b")])),
    "8.1.1 more DATA than content-length": lambda s: asks(("content-length", "1"), end=False)(s) + data(s + 2, b"xy", True),
    "8.1.1 less DATA than content-length": lambda s: asks(("content-length", "3"), end=False)(s) + data(s + 2, b"x", True),
    "8.1.1 other than content-length over frames": lambda s: (
        asks(("content-length", "1"), end=False)(s) + data(s + 2, b"x") + data(s + 2, b"y", True)),
}
SERVER = {name: stream(octets, PROTOCOL_ERROR) for name, octets in MALFORMED.items()} | {
    "5.1 DATA on a stream that its sender has ended": stream(ended(byte), STREAM_CLOSED),
    "5.1 HEADERS on a stream that its sender has ended": stream(ended(again), STREAM_CLOSED),
    "5.1 CONTINUATION on a stream that its sender has ended": connection(
        ended(lambda s: frame(CONTINUATION, END_HEADERS, s, b"")), PROTOCOL_ERROR, STREAM_CLOSED),
    "5.1 DATA on a stream that its sender has reset": stream(reset(byte), STREAM_CLOSED),
    "5.1 HEADERS on a stream that its sender has reset": stream(reset(again), STREAM_CLOSED),
    "5.1 CONTINUATION on a stream that its sender has reset": connection(
        reset(lambda s: frame(CONTINUATION, END_HEADERS, s, b"")), PROTOCOL_ERROR, STREAM_CLOSED),
    "5.1 WINDOW_UPDATE, RST_STREAM and PRIORITY on a stream that its sender has reset": legal(
        reset(lambda s: window_update(s, 1) + rst_stream(s) + priority(s, 0))),
    "5.1.1 a request on an even stream": connection(headers(2, FIELDS, end=True), PROTOCOL_ERROR),
    "5.1.1 a request on a lower stream": connection(
        lambda s: headers(s + 4, FIELDS, end=True) + headers(s + 2, FIELDS, end=True), PROTOCOL_ERROR),
    "5.3.2 PRIORITY on an idle stream": legal(priority(IDLE, 0)),
    "6.2 HEADERS with a priority": legal(
        lambda s: frame(HEADERS, PRIORITIZED | END_HEADERS | END_STREAM, s + 2, bytes(4) + b"\xff" + FIELDS)),
    "6.2 HEADERS with padding": legal(
        lambda s: frame(HEADERS, PADDED | END_HEADERS | END_STREAM, s + 2, b"\x08" + FIELDS + bytes(8))),
    "6.3 PRIORITY of 4 bytes": stream(lambda s: priority(s, 0, 4), FRAME_SIZE_ERROR),
    "6.6 PUSH_PROMISE from a client": connection(
        lambda s: frame(PUSH_PROMISE, END_HEADERS, s, struct.pack(">I", 2) + FIELDS), PROTOCOL_ERROR),
    "8.1 trailers": legal(lambda s: headers(s, block([("a", "b")]), end=True)),
    "HPACK 6.2 fields of each representation": legal(lambda s: headers(
        s + 2, FIELDS + b"\x40\x01a\x01b" + b"\xbe" + b"\x7e\x01c" + b"\x0f\x2f\x01d" + b"\x1f\x2f\x01e", end=True)),
    "HPACK 5.2 Huffman's code": legal(lambda s: headers(s + 2, FIELDS + b"\x00\x81\x1f\x81\x1f", end=True)),
    "HPACK 4.2 a table size before the fields": legal(lambda s: headers(s + 2, integer(0, 5, 0x20) + FIELDS, end=True)),
}
# With priorities of RFC 7540, which nghttp2 looks at up to 1.64.
PRIORITIES = {
    "5.3.1 HEADERS that depend on themselves": stream(
        lambda s: frame(HEADERS, PRIORITIZED | END_HEADERS, s + 2, struct.pack(">I", s + 2) + b"\x10" + FIELDS),
        PROTOCOL_ERROR),
    "5.3.1 PRIORITY that depends on itself": stream(lambda s: priority(s, s), PROTOCOL_ERROR),
    "6.3 PRIORITY on stream 0": connection(priority(0, 1), PROTOCOL_ERROR),
}
# Bytes in place of the preface; the connection ends.
PREFACES = {
    "3.4 another preface": b"INVALID CONNECTION PREFACE\r\n\r\n",
    "3.4 no SETTINGS behind the preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(PING, payload=bytes(8)),
}

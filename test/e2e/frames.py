"""HTTP/2 by hand, frame by frame: what a library would never send, and the answer as it came.

Nothing here checks or corrects what a test sends. Header blocks are written as
plain literals, so that any name and any value can go out; what comes back is
decoded by python3-hpack. A `Peer` keeps every frame in order of arrival.
"""
import contextlib
import dataclasses
import re
import select
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
NAMES = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()

END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = 0, 1, 2, 3, 4
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6

OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 0, 1, 4, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14
# INVALID_ARGUMENT and its like are for applications: a library that makes one up misleads them.
FOR_APPLICATIONS = (3, 5, 6, 9, 10, 11, 15)

PATH = "/muzz.Service/Echo"


# --- what is sent ---


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(values):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in values.items()))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def data(stream, payload, end=False, pad=None):
    flags = END_STREAM if end else 0
    if pad is not None:
        return frame(DATA, flags | PADDED, stream, bytes([pad]) + payload + bytes(pad))
    return frame(DATA, flags, stream, payload)


def integer(value, bits, first=0):
    """RFC 7541 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def octets(text):
    return text if isinstance(text, bytes) else text.encode()


def literal(name, value, first=0x00):
    """A field that enters no table; first=0x10: one that never may."""
    name, value = octets(name), octets(value)
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields, first=0x00):
    return b"".join(literal(name, value, first) for name, value in fields)


def headers(stream, fragment, end=False, most=16384):
    """HEADERS, and CONTINUATION for what does not fit."""
    parts = [fragment[i : i + most] for i in range(0, len(fragment), most)] or [b""]
    out = []
    for i, part in enumerate(parts):
        flags = (END_HEADERS if i == len(parts) - 1 else 0) | (END_STREAM if end and i == 0 else 0)
        out.append(frame(CONTINUATION if i else HEADERS, flags, stream, part))
    return b"".join(out)


GONE = object()  # in `change`: the field is left out


def request(*more, change=None):
    """The header fields of a call to Echo. `change` replaces values by name; `more` comes behind."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": PATH,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields.update(change or {})
    return [(name, value) for name, value in fields.items() if value is not GONE] + list(more)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def echo(text):
    """EchoRequest and EchoResponse, as protobuf."""
    text = octets(text)
    return b"\x0a" + varint(len(text)) + text if text else b""


def message(payload, flag=0):
    """gRPC's prefix before it."""
    return bytes([flag]) + struct.pack(">I", len(payload)) + payload


# --- what comes back ---


@dataclasses.dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes
    fields: list = None  # HEADERS: decoded, in order

    @property
    def end_stream(self):
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self):
        return struct.unpack(">I", self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])[0]

    @property
    def debug(self):
        return self.payload[8:]

    @property
    def last_stream(self):
        return struct.unpack(">I", self.payload[:4])[0]

    @property
    def settings(self):
        return dict(struct.iter_unpack(">HI", self.payload))

    def __str__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else f"type {self.kind}"
        what = self.fields if self.fields is not None else self.payload[:40]
        return f"{name}(stream {self.stream}, flags {self.flags:#x}, {what})"

    __repr__ = __str__


@dataclasses.dataclass
class Response:
    """One stream's answer. `shape` spells its frames: H headers, D data, T headers with END_STREAM, R reset."""

    shape: str
    blocks: list
    body: bytes
    reset: int = None

    def field(self, name, block=0):
        values = [value for key, value in self.blocks[block] if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def http(self):
        return self.field(":status")

    @property
    def trailers_only(self):
        return self.shape.rstrip("R") == "T"

    @property
    def status(self):
        """The gRPC status, held against everything that is said of how it travels."""
        assert self.blocks, f"no headers at all: {self}"
        assert self.http == "200", self
        assert self.field("content-type").startswith("application/grpc"), self
        assert re.fullmatch("HD*T|T", self.shape.rstrip("R")), f"a shape that gRPC has not: {self}"
        if len(self.blocks) == 2:
            assert self.field("grpc-status") is None, "a status before the trailers"
            assert not [name for name, _ in self.blocks[1] if name.startswith(":")], self
        text = self.field("grpc-status", -1)
        assert text is not None and re.fullmatch("0|[1-9]|1[0-6]", text), self
        assert int(text) not in FOR_APPLICATIONS or self.field("echod-fault", -1), self
        return int(text)

    @property
    def text(self):
        """grpc-message, still encoded."""
        text = self.field("grpc-message", -1)
        assert text is None or re.fullmatch(r"([\x20-\x24\x26-\x7e]|%[0-9A-F]{2})+", text), text
        return text

    @property
    def messages(self):
        found, rest = [], self.body
        while rest:
            assert rest[0] == 0, "a compressed message that nobody asked for"
            length = struct.unpack(">I", rest[1:5])[0]
            assert len(rest) >= 5 + length, "a torn message"
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found


class Closed(Exception):
    """The server closed while a test waited for something else."""


class Peer:
    """One connection to the server.

    initial   our first SETTINGS
    ack       False: never acknowledge the server's SETTINGS
    credit    False: give no flow-control credit for DATA received
    """

    def __init__(self, port, initial=None, ack=True, credit=True, preface=True, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout, self.ack, self.credit = timeout, ack, credit
        self.decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self.frames, self.rest, self.fragment = [], b"", None
        self.next_stream, self.closed = 1, False
        self.held = None  # our answers to frames, while pour() may be amid one of its own
        self.windows = {0: 65535}  # what we may send; filled by request()
        self.initial_window = 65535
        if preface:
            self.send(PREFACE + settings(initial or {}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # --- sending ---

    def send(self, octets):
        self.socket.sendall(octets)

    def try_send(self, octets):
        """For what the server may have closed on already."""
        with contextlib.suppress(OSError):
            self.socket.sendall(octets)

    def answer_frame(self, octets):
        if self.held is None:
            self.try_send(octets)
        else:
            self.held += octets

    def pour(self, octets):
        """Sends all of it and reads meanwhile, so that neither end waits for the other; ends early where the
        server closes. Our answers to what is read follow after the last octet."""
        left, self.held = memoryview(octets), b""
        while left and not self.closed:
            readable, writable, _ = select.select([self.socket], [self.socket], [], self.timeout)
            assert readable or writable, f"neither read nor written in {self.timeout} s; {len(left)} octets left"
            if readable:
                self.read()
            elif writable:
                try:
                    left = left[self.socket.send(left[:8192]) :]
                except OSError:  # what it said before it closed is read by whoever asks
                    break
        held, self.held = self.held, None
        self.try_send(held)

    def open(self, fields=None, body=None, end=True):
        """Opens a stream with these fields, and with a body (not None) DATA; the id."""
        stream = self.next_stream
        self.next_stream += 2
        self.windows[stream] = self.initial_window
        out = headers(stream, block(request() if fields is None else fields), end and body is None)
        if body is not None:
            self.windows[0] -= len(body)
            self.windows[stream] -= len(body)
            out += data(stream, body, end)
        self.send(out)
        return stream

    def upload(self, stream, body, end=True, size=16384, pad=None):
        """DATA within both windows, however many frames that takes; ends early where there is no room any
        more because the server has ended the stream."""

        def room(need):
            return self.windows[0] >= need and self.windows[stream] >= need

        extra = 0 if pad is None else pad + 1
        at = 0
        while True:
            part = body[at : at + size]
            need = len(part) + extra
            self.until(lambda: room(need) or self.ended(stream), "room in the windows")
            if not room(need):
                return
            at += len(part)
            last = at >= len(body)
            self.windows[0] -= need
            self.windows[stream] -= need
            self.send(data(stream, part, end and last, pad))
            if last:
                return

    def call(self, text="x", *more, change=None):
        """A clean call; its Response."""
        return self.response(self.open(request(*more, change=change), message(echo(text))))

    def ping(self, payload=b"12345678"):
        """To the server and back: everything that it answers at once has arrived then."""
        seen = len(self.frames)
        self.send(frame(PING, payload=payload))
        self.until(
            lambda: any(f.kind == PING and f.flags & ACK and f.payload == payload for f in self.frames[seen:]),
            "the answer to a PING",
        )

    # --- receiving ---

    def read(self):
        """One read; False at the end of the connection."""
        try:
            octets = self.socket.recv(262144)
        except ConnectionResetError:
            octets = b""
        if not octets:
            self.closed = True
            return False
        self.rest += octets
        while len(self.rest) >= 9:
            length = int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < 9 + length:
                break
            kind, flags = self.rest[3], self.rest[4]
            stream = struct.unpack(">I", self.rest[5:9])[0] & 0x7FFFFFFF
            payload, self.rest = self.rest[9 : 9 + length], self.rest[9 + length :]
            self.received(Frame(kind, flags, stream, payload))
        return True

    def received(self, got):
        assert len(got.payload) <= 16384, f"larger than our SETTINGS_MAX_FRAME_SIZE: {got}"
        if got.kind == CONTINUATION:
            first = self.fragment
            first.payload += got.payload
            first.flags |= got.flags & END_HEADERS
            got = first
        if got.kind == HEADERS:
            if not got.flags & END_HEADERS:
                self.fragment = got
                return
            assert not got.flags & (PADDED | 0x20)
            got.fields = [(str(n), str(v)) for n, v in self.decoder.decode(got.payload)]
        self.frames.append(got)
        self.react(got)

    def react(self, got):
        if got.kind == SETTINGS and not got.flags & ACK:
            if INITIAL_WINDOW_SIZE in got.settings:
                grown = got.settings[INITIAL_WINDOW_SIZE] - self.initial_window
                self.initial_window += grown
                for stream in self.windows:
                    self.windows[stream] += grown if stream else 0
            if self.ack:
                self.answer_frame(frame(SETTINGS, ACK))
        elif got.kind == WINDOW_UPDATE:
            self.windows[got.stream] = self.windows.get(got.stream, 0) + got.code
        elif got.kind == DATA and got.payload and self.credit:
            self.answer_frame(window_update(0, len(got.payload)))
            if not got.end_stream:
                self.answer_frame(window_update(got.stream, len(got.payload)))

    def until(self, condition, what, timeout=None):
        """Reads until `condition()` holds."""
        end = time.monotonic() + (timeout or self.timeout)
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {what}; came: {self.frames}"
            self.socket.settimeout(left)
            try:
                open_still = self.read()
            except TimeoutError:
                continue
            finally:
                with contextlib.suppress(OSError):
                    self.socket.settimeout(self.timeout)
            if not open_still and not condition():
                raise Closed(f"closed before {what}; came: {self.frames}")

    def listen(self, seconds):
        """Whatever comes within this time."""
        end = time.monotonic() + seconds
        with contextlib.suppress(AssertionError, Closed):
            self.until(lambda: time.monotonic() >= end, "the end of the time", seconds)

    def settle(self):
        """Until our SETTINGS are acknowledged and the server's have been."""
        self.until(lambda: self.of(SETTINGS, ack=False) and self.of(SETTINGS, ack=True), "SETTINGS")
        return self

    def of(self, kind, stream=None, ack=None):
        return [
            f
            for f in self.frames
            if f.kind == kind
            and (stream is None or f.stream == stream)
            and (ack is None or bool(f.flags & ACK) == ack)
        ]

    def ended(self, stream):
        return any(f.stream == stream and (f.end_stream or f.kind == RST_STREAM) for f in self.frames)

    def response(self, stream, timeout=None):
        self.until(lambda: self.ended(stream), f"the end of stream {stream}", timeout)
        return self.answer(stream)

    def answer(self, stream):
        """What has come of it so far."""
        shape, found = "", Response("", [], b"")
        for got in self.frames:
            if got.stream != stream:
                continue
            if got.kind == HEADERS:
                found.blocks.append(got.fields)
                shape += "T" if got.end_stream else "H"
            elif got.kind == DATA:
                found.body += got.payload
                shape += "E" if got.end_stream else "D"
            elif got.kind == RST_STREAM:
                found.reset = got.code
                shape += "R"
        found.shape = shape
        return found

    def goaway(self, timeout=None):
        self.until(lambda: self.of(GOAWAY), "GOAWAY", timeout)
        return self.of(GOAWAY)[-1]

    def drained(self, timeout=None):
        """Reads to the end of the connection."""
        with contextlib.suppress(Closed):
            self.until(lambda: self.closed, "the end of the connection", timeout)
        return self

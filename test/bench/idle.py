"""Connections that say hello and then nothing: what does one cost a server?

Just enough HTTP/2 (RFC 9113, 7541) to open many connections, keep them, and
make unary gRPC calls on them whose requests are encoded as a client with a
dynamic table would: spelled out once, a few bytes each time after.
"""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
STATIC_NAMES = {":path": 4, ":authority": 1, "content-type": 31, "user-agent": 58, "te": None}
METHOD_POST, SCHEME_HTTP = b"\x83", b"\x86"  # RFC 7541 appendix A: whole static fields
FIRST_DYNAMIC = 62


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def text(value):
    return bytes([len(value)]) + value.encode()  # no Huffman code; below 127 bytes


class Connection:
    """One connection; every method blocks, bounded by the socket's time-out."""

    def __init__(self, port, path, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fields = [(":path", path), (":authority", f"127.0.0.1:{port}"), ("te", "trailers"),
                       ("content-type", "application/grpc"), ("user-agent", "echod-bench")]
        self.indexed = False
        self.next_stream = 1
        self.settings_seen = self.acknowledged = False
        self.ended, self.received = 0, b""
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        while not (self.settings_seen and self.acknowledged):
            self.read()

    def header_block(self):
        block = METHOD_POST + SCHEME_HTTP
        if self.indexed:  # inserted in order: the newest has the lowest index
            last = FIRST_DYNAMIC + len(self.fields) - 1
            return block + bytes(0x80 | (last - i) for i in range(len(self.fields)))
        self.indexed = True
        for name, value in self.fields:
            index = STATIC_NAMES[name]
            block += bytes([0x40 | index]) if index else b"\x40" + text(name)
            block += text(value)
        return block

    def burst(self, body, calls):
        """Makes `calls` calls at once and returns the bytes of DATA that came back."""
        out = b""
        for _ in range(calls):
            out += frame(HEADERS, END_HEADERS, self.next_stream, self.header_block())
            out += frame(DATA, END_STREAM, self.next_stream, body)
            self.next_stream += 2
        self.ended, self.data_bytes = 0, 0
        self.socket.sendall(out)
        while self.ended < calls:
            self.read()
        return self.data_bytes

    def read(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed an idle connection")
        self.received += chunk
        at = 0
        while len(self.received) - at >= 9:
            size = int.from_bytes(self.received[at:at + 3], "big")
            if len(self.received) - at < 9 + size:
                break
            kind, flags = self.received[at + 3], self.received[at + 4]
            self.on_frame(kind, flags, self.received[at + 9:at + 9 + size])
            at += 9 + size
        self.received = self.received[at:]

    def on_frame(self, kind, flags, payload):
        if kind == SETTINGS and flags & ACK:
            self.acknowledged = True
        elif kind == SETTINGS:
            self.settings_seen = True
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind in (RST_STREAM, GOAWAY):
            raise ConnectionError(f"frame of type {kind} from the server: {payload.hex()}")
        elif kind == DATA:
            self.data_bytes += len(payload)
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended += 1

    def close(self):
        self.socket.close()

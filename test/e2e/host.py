"""A server by hand: each connection of a client's is a Guest, and what it is told may break every rule."""
import collections
import contextlib
import re
import socket
import struct
import threading

import pytest

from frames import (
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, data, echo, frame, headers, message, settings, window_update,
)

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
REPLY = message(echo("Hello, world!"))
MOST = 2**31 - 1


class Guest:
    """One connection of the client's, seen from the server."""

    def __init__(self, connection):
        self.socket, self.octets = connection, b""
        self.socket.settimeout(10)

    def send(self, octets):
        self.socket.sendall(octets)

    def hello(self, values=None):
        """Our SETTINGS, and the acknowledgement of its own."""
        self.read(len(PREFACE))
        self.send(settings(values or {}) + frame(SETTINGS, ACK))

    def read(self, n):
        while len(self.octets) < n:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the client is gone")
            self.octets += more
        taken, self.octets = self.octets[:n], self.octets[n:]
        return taken

    def frame(self):
        """The next frame: kind, flags, stream, payload."""
        head = self.read(9)
        return head[3], head[4], struct.unpack(">I", head[5:])[0], self.read(int.from_bytes(head[:3], "big"))

    def until(self, condition):
        while True:
            got = self.frame()
            if condition(*got):
                return got

    def request(self, whole=True):
        """The stream of the next request, when all of it is here, or only its headers."""
        if whole:
            return self.until(lambda kind, flags, *_: kind in (DATA, HEADERS) and flags & END_STREAM)[2]
        return self.until(lambda kind, *_: kind == HEADERS)[2]

    def goaway(self, last):
        self.send(frame(GOAWAY, payload=struct.pack(">II", last, NO_ERROR)))


class Serving:
    """A guest that is served: whole requests come out of it, replies go in within the client's windows."""

    def __init__(self, guest, values=None):
        self.guest = guest
        guest.hello({INITIAL_WINDOW_SIZE: MOST, **(values or {})})
        guest.send(window_update(0, MOST - 65535))
        self.windows = collections.defaultdict(lambda: self.initial)
        self.initial, self.windows[0] = 65535, 65535
        self.bodies, self.whole, self.acks, self.resets, self.open = {}, [], [], [], set()

    def read(self):
        kind, flags, stream, payload = self.guest.frame()
        if kind == SETTINGS and not flags & ACK:
            initial = dict(struct.iter_unpack(">HI", payload)).get(INITIAL_WINDOW_SIZE, self.initial)
            for each in [each for each in self.windows if each]:
                self.windows[each] += initial - self.initial
            self.initial = initial
        elif kind == WINDOW_UPDATE:
            self.windows[stream] += struct.unpack(">I", payload)[0]
        elif kind == PING and flags & ACK:
            self.acks.append(payload)
        elif kind == RST_STREAM:
            self.resets.append((stream, struct.unpack(">I", payload)[0]))
        elif kind == HEADERS:
            self.bodies[stream] = b""
            self.open.add(stream)
        elif kind == DATA:
            self.bodies[stream] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.whole.append(stream)

    def until(self, condition):
        while not condition():
            self.read()

    def request(self):
        """The stream of the next whole request."""
        self.until(lambda: self.whole)
        return self.whole.pop(0)

    def ping(self, payload):
        self.guest.send(frame(PING, payload=payload))

    def head(self, stream):
        self.guest.send(headers(stream, block(HEAD)))

    def body(self, stream, octets, size=16384, pad=None):
        cost = 0 if pad is None else pad + 1
        for i in range(0, len(octets), size):
            part = octets[i : i + size]
            need = len(part) + cost
            self.until(lambda need=need: min(self.windows[0], self.windows[stream]) >= need)
            self.windows[0] -= need
            self.windows[stream] -= need
            self.guest.send(data(stream, part, pad=pad))

    def trailers(self, stream):
        self.open.discard(stream)
        self.guest.send(headers(stream, block(OK), True))

    def reply(self, stream, **how):
        self.head(stream)
        self.body(stream, self.bodies[stream], **how)
        self.trailers(stream)


class Host:
    """Serves each connection by `serve(guest, n)`, n from 1, until the client has gone."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections, self.serve, self.threads = 0, serve, []
        self.start(self.accept)

    def start(self, target, *args):
        self.threads.append(threading.Thread(target=target, args=args, daemon=True))
        self.threads[-1].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                self.start(self.one, connection, self.connections)

    def one(self, connection, n):
        with connection, contextlib.suppress(OSError):
            guest = Guest(connection)
            self.serve(guest, n)
            while True:
                guest.frame()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(15)

    @property
    def target(self):
        return f"127.0.0.1:{self.listener.getsockname()[1]}"


@pytest.fixture
def host():
    """A factory of hosts that live as long as the test."""
    hosts = []

    def start(serve):
        hosts.append(Host(serve))
        return hosts[-1]

    yield start
    for each in hosts:
        each.close()


def outcome(done):
    """The status that the client names; OK for the reply."""
    if done.returncode == 0:
        assert (done.stdout, done.stderr) == (b"Hello, world!\n", b"")
        return "OK"
    assert done.returncode == 1 and done.stdout == b"", done
    return re.search(r"([A-Z_]+) \(\d+\)", done.stderr.decode()).group(1)


def unary(head=HEAD, body=REPLY, trailers=OK):
    """What answers a stream with one block, DATA, and another block; None leaves one out."""

    def answer(stream):
        out = b"" if head is None else headers(stream, block(head), body is None and trailers is None)
        out += b"" if body is None else data(stream, body, trailers is None)
        return out + (b"" if trailers is None else headers(stream, block(trailers), True))

    return answer


def only(fields):
    return unary(fields, None, None)

"""Broken conversations from a fixed seed: no input crashes the server, hangs it, or makes it miscount."""
import contextlib
import os
import random
import socket
import struct
import time

import hpack
import pytest

from daemon import until
from frames import (
    PATH, PING, PREFACE,
    Closed, Peer, block, data, echo, frame, headers, message, request, settings, window_update,
)
from wire import made_with, wire  # noqa: F401 (fixtures)

SEED = int(os.environ.get("WIRE_FUZZ_SEED", "1"))
COUNT = int(os.environ.get("WIRE_FUZZ_COUNT", "600"))


CHANGES = [{":path": "/a/b"}, {":path": PATH + "x"}, {":method": "GET"}, {"content-type": "x/y"}, {"te": "x"}]
MORE = [(), [("grpc-timeout", "1m")], [("grpc-timeout", "9S")], [("x-bin", "AP8")], [("a", "b" * 3000)]]


def conversation(rng):
    """Calls good and bad, as one run of bytes."""
    out = [PREFACE, settings({4: rng.choice([0, 1, 100, 65535])} if rng.random() < 0.2 else {})]
    for i in range(rng.randrange(1, 6)):
        stream = 2 * i + 1
        change = rng.choice(CHANGES) if rng.random() < 0.3 else {}
        more = rng.choice(MORE)
        body = message(echo("x" * rng.choice([0, 1, 100, 5000])), rng.choice([0] * 9 + [1, 9]))
        out.append(headers(stream, block(request(*more, change=change)), end=rng.random() < 0.03))
        out.append(data(stream, body, rng.random() < 0.9, rng.choice([None, None, 0, 255])))
        if rng.random() < 0.15:
            out.append(frame(3, 0, stream, struct.pack(">I", rng.randrange(16))))
        if rng.random() < 0.3:
            out.append(frame(6, payload=rng.randbytes(8)))
        if rng.random() < 0.3:
            out.append(window_update(rng.choice([0, stream]), rng.randrange(1, 2 ** rng.choice([10, 20, 31]))))
    return out


def mutated(rng, parts):
    """The same with some of it changed, doubled, lost, torn or made up."""
    parts = list(parts)
    for _ in range(rng.randrange(4)):
        i = rng.randrange(rng.random() < 0.9, len(parts))  # the preface rarely: all ends with it
        kind = rng.randrange(6)
        if kind == 0:
            torn = bytearray(parts[i])
            for _ in range(rng.randrange(1, 4)):
                torn[rng.randrange(len(torn))] = rng.randrange(256)
            parts[i] = bytes(torn)
        elif kind == 1:
            parts.insert(i, parts[i])
        elif kind == 2 and len(parts) > 1:
            del parts[i]
        elif kind == 3:
            parts[i] = parts[i][: rng.randrange(len(parts[i]))] or b"\0"
        elif kind == 4:
            payload = rng.randbytes(rng.randrange(40))
            parts.insert(i, frame(rng.randrange(12), rng.randrange(256), rng.randrange(8), payload))
        else:
            j = rng.randrange(len(parts))
            parts[i], parts[j] = parts[j], parts[i]
    return b"".join(parts)


def send_in_pieces(peer, octets, rng):
    at = 0
    while at < len(octets):
        step = rng.choice([1, 9, 100, 1000, 100000])
        peer.try_send(octets[at : at + step])
        at += step


@pytest.mark.limit(180)
@pytest.mark.parametrize("delay", ["none", "uniform:0s,20ms"])
def test_broken_conversations_harm_nobody(made_with, delay):
    wire = made_with(f"--echo.delay={delay}", "--grpc.handshake-timeout=2s")
    server = wire.server
    rng = random.Random(SEED)
    for _ in range(COUNT):
        peer = Peer(server.grpc_port, preface=False, timeout=2)
        send_in_pieces(peer, mutated(rng, conversation(rng)), rng)
        end = rng.random()
        if end < 0.5:
            with contextlib.suppress(AssertionError, Closed, hpack.HPACKError):
                peer.timeout = 0.3
                peer.try_send(frame(6, payload=b"finished"))
                peer.until(lambda: peer.closed or peer.of(PING, ack=True), "an answer or the end")
        elif end < 0.65:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end < 0.8:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_WR)
                peer.socket.recv(65536)
        peer.close()
    until(lambda: server.value("echod_connections_active", listener="grpc") == 0, "all connections gone")
    now = wire.delta()
    assert now.total == now.ok + now.failed == now.observed and now.in_flight == 0
    assert now.ok > (COUNT // 4 if delay == "none" else 0), "many a call in these conversations is good"
    assert server.value("echod_http2_streams_active") == 0
    assert server.value("echod_grpc_buffered_bytes") == 0
    wire.moved(now.ok, now.failed, now.refused)


@pytest.mark.limit(120)
def test_random_frames_on_a_good_connection_harm_nobody_else(wire):
    rng = random.Random(SEED)
    good = wire.connect().settle()
    for i in range(COUNT):
        with Peer(wire.server.grpc_port) as peer:
            for _ in range(rng.randrange(1, 8)):
                kind, flags = rng.randrange(11), rng.randrange(256)
                peer.try_send(frame(kind, flags, rng.choice([0, 1, 2, 3]), rng.randbytes(rng.choice([0, 4, 8, 60]))))
        if i % 20 == 0:
            start = time.monotonic()
            assert good.call(f"{i}").messages == [echo(f"{i}")]
            assert time.monotonic() - start < 1
    now = wire.delta()
    assert now.ok >= COUNT // 20
    wire.moved(now.ok, now.failed, now.refused)

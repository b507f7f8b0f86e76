"""gRPC's wire contract, the server's side of it: what a peer may cost, and what its calls end with."""
import contextlib
import ctypes
import gzip
import os
import signal
import socket
import subprocess
import zlib

import pytest

from daemon import environment, until
from frames import (
    ACK, INITIAL_WINDOW_SIZE, INTERNAL, OK, PREFACE, RESOURCE_EXHAUSTED, SETTINGS,
    Peer, block, data, echo, frame, headers, message, request, settings, window_update,
)
from wire import Wire, wire  # noqa: F401 (fixtures)

MIB = 1024 * 1024
GZIP = ("grpc-encoding", "gzip")


def resident(wire):
    return wire.server.value("process_resident_memory_bytes")


def packed(size):
    """gzip of an Echo request with a text of `size` zeroes, made without having it all at once."""
    zip = zlib.compressobj(9, wbits=31)
    head = echo("x" * 128)[:1]
    length = bytearray()
    left = size
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    parts = [zip.compress(head + bytes(length) + bytes([left]))]
    parts += [zip.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join(parts) + zip.flush()


def test_a_gzip_bomb_is_refused_and_costs_no_more_than_the_limit(serve):
    """256 KiB that would become 256 MiB, eight times over."""
    wire = Wire(serve(env={"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1"}))  # what is freed counts no more
    bomb = packed(256 * MIB)
    assert len(bomb) < 300 * 1024
    peer = wire.connect().settle()
    assert peer.call("x").status == OK
    before = resident(wire)
    streams = []
    for _ in range(8):
        stream = peer.open(request(GZIP), end=False)
        peer.upload(stream, message(bomb, flag=1))
        streams.append(stream)
    for stream in streams:
        response = peer.response(stream)
        assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    assert resident(wire) - before < 12 * MIB
    wire.moved(ok=1, failed=8)
    wire.finish()


def test_the_limit_on_messages_counts_what_a_compressed_one_becomes(wire):
    peer = wire.connect().settle()
    for text, status in (("x" * (4 * MIB - 5), OK), ("x" * (4 * MIB - 4), RESOURCE_EXHAUSTED)):
        stream = peer.open(request(GZIP), message(gzip.compress(echo(text)), flag=1))
        response = peer.response(stream)
        assert response.status == status
    wire.moved(ok=1, failed=1)


BAD_GZIP = {
    "cut off": lambda whole: whole[:-3],
    "with something behind it": lambda whole: whole + b"x",
    "with a wrong sum": lambda whole: whole[:-8] + bytes(4) + whole[-4:],
    "with a wrong length": lambda whole: whole[:-4] + bytes(4),
    "damaged": lambda whole: whole[:12] + b"\xff" + whole[13:],
    "that is none": lambda whole: b"plain",
    "of no bytes": lambda whole: b"",
}


@pytest.mark.parametrize("name", BAD_GZIP)
def test_gzip_that_is_not_whole_is_internal(wire, name):
    peer = wire.connect()
    bad = BAD_GZIP[name](gzip.compress(echo("hello hello hello")))
    response = peer.response(peer.open(request(GZIP), message(bad, flag=1)))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


def test_where_gzip_is_announced_each_message_may_have_it_or_not(wire):
    peer = wire.connect()
    for body in (message(gzip.compress(echo("x")), flag=1), message(echo("x"))):
        assert peer.response(peer.open(request(GZIP), body)).messages == [echo("x")]
    wire.moved(ok=2)


def test_a_call_that_the_grace_cuts_is_unavailable_to_its_client(serve, echod):
    server = serve("--echo.delay=60s", "--shutdown.grace=500ms")
    call = subprocess.Popen(
        [echod, "client", "--timeout=50s", server.grpc], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    server.wait_value(1, "echod_rpcs_in_flight")
    server.send_signal(signal.SIGTERM)
    out, err = call.communicate(timeout=20)
    assert (call.returncode, out) == (1, b"") and b"UNAVAILABLE (14)" in err, err
    assert server.wait() == 0


def user_timeouts(server):
    """TCP_USER_TIMEOUT of each connection, by a duplicate of the server's own descriptor."""
    pidfd = os.pidfd_open(server.pid)
    found = []
    for fd in os.listdir(f"/proc/{server.pid}/fd"):
        if os.readlink(f"/proc/{server.pid}/fd/{fd}").startswith("socket:"):
            copy = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, int(fd), 0)  # pidfd_getfd
            if copy < 0:
                pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=copy) as one:
                if one.family == socket.AF_INET and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    os.close(pidfd)
    return found


@pytest.mark.parametrize(
    ("flags", "expected"), [([], 20000), (["--grpc.keepalive-timeout=3s"], 3000), (["--grpc.keepalive-time=infinity"], 0)]
)
def test_a_peer_that_acknowledges_nothing_is_given_up_after_the_keepalives_timeout(serve, flags, expected):
    """The kernel does it; that it knows for how long is what is asked here."""
    server = serve(*flags)
    with Peer(server.grpc_port) as peer:
        peer.settle()
        assert user_timeouts(server) == [expected]


def test_a_peer_that_keeps_its_tcp_window_shut_is_given_up_after_the_keepalives_timeout(serve):
    server = serve("--grpc.keepalive-timeout=1s")
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(1)
    peer.connect(("127.0.0.1", server.grpc_port))
    most = (1 << 31) - 1
    peer.sendall(PREFACE + settings({INITIAL_WINDOW_SIZE: most}) + window_update(0, most - 65535) + frame(SETTINGS, ACK))
    body = message(echo("x" * 200000))
    parts = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    with contextlib.suppress(TimeoutError, ConnectionError):  # until the server takes no more either
        for stream in range(1, 201, 2):
            sent = b"".join(data(stream, part, part is parts[-1]) for part in parts)
            peer.sendall(headers(stream, block(request())) + sent)
    until(lambda: server.value("echod_connections_closed_total", listener="grpc", reason="timeout") == 1, "the end", 15)
    peer.close()

"""RFC 9113 and RFC 7541 section by section, against both ends: what breaks a rule has the error that the
rule names, what is legal is taken, and the call of a connection that lives on is served."""
import re
import struct

import pytest

from frames import (
    ACK, CANCEL, GOAWAY, OK, PING, RST_STREAM, Peer, block, frame, headers, request,
)
from host import HEAD, host, unary  # noqa: F401 (fixtures)
from http2_rules import BOTH, PREFACES, PRIORITIES, SERVER

WITHOUT_PRIORITIES = (1, 65)


@pytest.fixture
def nghttp2(run):
    text = run("version").stdout.decode()
    return tuple(map(int, re.search(r"nghttp2: *(\d+)\.(\d+)", text).groups()))


def judge(rule, stream, goaways, resets):
    """Whether the errors that came are the rule's: [codes], [(stream, code)]."""
    if rule.scope == "none":
        assert not goaways, f"GOAWAY with {goaways}"
        assert all(on == stream for on, _ in resets), f"reset: {resets}"
        return
    expected = set(rule.codes)
    if rule.scope == "stream" and not goaways:
        assert resets and {code for _, code in resets} <= expected, f"reset: {resets}"
        return
    assert goaways and set(goaways) <= expected, f"GOAWAY with {goaways}, reset: {resets}"


def clean(port):
    with Peer(port) as peer:
        assert peer.call().status == OK


@pytest.mark.parametrize("name", [*BOTH, *SERVER, *PRIORITIES])
def test_server(shared, nghttp2, name):
    rule = (BOTH | SERVER | PRIORITIES)[name]
    if name in PRIORITIES and nghttp2 >= WITHOUT_PRIORITIES:
        pytest.skip("this nghttp2 has no priorities any more, and ignores the frame")
    with Peer(shared.grpc_port) as peer:
        peer.settle()
        peer.send(headers(1, block(request())))
        peer.try_send(rule.sent(1))
        peer.try_send(frame(PING, payload=b"what now"))
        answered = lambda: [f for f in peer.of(PING, ack=True) if f.payload == b"what now"]  # noqa: E731
        try:
            peer.until(lambda: answered() or peer.of(GOAWAY), "an answer")
        finally:
            judge(rule, 1, [f.code for f in peer.of(GOAWAY)], [(f.stream, f.code) for f in peer.of(RST_STREAM)])
        if rule.scope == "connection":
            peer.drained(5)
            assert peer.closed
        elif not peer.of(GOAWAY):
            peer.next_stream = 7
            assert peer.call().status == OK
    clean(shared.grpc_port)


@pytest.mark.parametrize("name", PREFACES)
def test_server_preface(shared, name):
    with Peer(shared.grpc_port, preface=False) as peer:
        peer.send(PREFACES[name])
        peer.drained(5)
        assert peer.closed
    clean(shared.grpc_port)


@pytest.mark.parametrize("name", BOTH)
def test_client(host, run, name):
    """A server that has begun its answer breaks the rule, and then finishes the answer."""
    rule, seen = BOTH[name], []

    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        whole = unary()(stream)
        first = headers(stream, block(HEAD))
        assert whole.startswith(first)
        guest.send(first + rule.sent(stream) + frame(PING, payload=b"what now"))
        while True:
            kind, flags, on, payload = guest.frame()
            seen.append((kind, flags, on, payload))
            if kind == PING and flags & ACK and payload == b"what now" and rule.scope == "none":
                guest.send(whole[len(first):])

    served = host(serve)
    done = run("client", "--timeout=5s", served.target)
    for connection in served.threads[1:]:
        connection.join(10)  # all that the client said has been read
    goaways = [struct.unpack(">II", p[:8])[1] for kind, _, _, p in seen if kind == GOAWAY]
    resets = [(on, struct.unpack(">I", p)[0]) for kind, _, on, p in seen if kind == RST_STREAM]
    judge(rule, 1, [code for code in goaways if code], [pair for pair in resets if pair[1] != CANCEL])
    lives = rule.scope == "none" and rule.sent(1)[3] != RST_STREAM
    assert done.returncode == (0 if lives else 1), done

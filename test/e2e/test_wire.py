"""gRPC's wire contract, the server's side of it: how a connection and a request begin.

Every test speaks HTTP/2 by hand (frames.py), says which counters it moved, and
leaves a server behind that answers a clean call (wire.py).
"""
import re
import time

import pytest

from daemon import until
from frames import (
    ACK, CONTINUATION, DEADLINE_EXCEEDED, GOAWAY, GONE, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL,
    MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, NO_ERROR, OK, PING, PREFACE, PROTOCOL_ERROR, RESOURCE_EXHAUSTED,
    RST_STREAM, SETTINGS, UNIMPLEMENTED,
    block, data, echo, frame, headers, literal, message, request, settings, window_update,
)
from wire import made_with, wire  # noqa: F401 (fixtures)

GRPC_CALL = message(echo("x"))


def reset_with(peer, stream, code):
    """That this stream, and not its connection, was ended with this error."""
    response = peer.response(stream)
    assert (response.shape, response.reset) == ("R", code), response
    assert not peer.of(GOAWAY)


# --- the beginning of a connection ---

STRANGERS = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.1 that wants to be h2c": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "another PRI": b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
    "a preface with its last byte wrong": PREFACE[:-1] + b"\r" + settings({}),
    "a preface with its first byte wrong": b"p" + PREFACE[1:] + settings({}),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) * 8,
    "zeroes": bytes(64),
    "a frame without a preface": settings({}) + frame(PING, payload=bytes(8)),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_not_http2_is_closed_without_an_http1_answer(wire, name):
    peer = wire.connect(preface=False)
    peer.send(STRANGERS[name])
    peer.drained(5)
    raw = peer.rest + b"".join(f.payload for f in peer.frames)
    assert b"HTTP/1" not in raw
    assert all(f.code == PROTOCOL_ERROR for f in peer.of(GOAWAY))
    wire.moved()


def test_a_first_frame_that_is_not_settings_ends_the_connection(wire):
    peer = wire.connect(preface=False)
    peer.send(PREFACE + frame(PING, payload=bytes(8)))
    assert peer.goaway().code == PROTOCOL_ERROR
    peer.drained()
    wire.moved()


def test_the_servers_first_frame_is_settings_and_does_not_wait_for_ours(wire):
    peer = wire.connect(preface=False)
    peer.send(PREFACE)
    peer.until(lambda: peer.frames, "a first frame")
    assert peer.frames[0].kind == SETTINGS and not peer.frames[0].flags & ACK
    wire.moved()


def test_settings_advertise_the_documented_limits(wire):
    peer = wire.connect().settle()
    offered = peer.of(SETTINGS, ack=False)[0].settings
    assert offered[MAX_CONCURRENT_STREAMS] == 100
    assert offered[MAX_HEADER_LIST_SIZE] == 16384
    assert offered[INITIAL_WINDOW_SIZE] == 256 * 1024
    assert offered.get(2, 0) == 0, "a server does not enable push"
    peer.until(lambda: peer.windows[0] >= 1024 * 1024, "the connection's window of 1 MiB")
    wire.moved()


def test_our_settings_are_acknowledged_before_the_first_response(wire):
    peer = wire.connect(preface=False)
    peer.next_stream = 3
    peer.send(PREFACE + settings({}) + headers(1, block(request())) + data(1, GRPC_CALL, True))
    assert peer.response(1).status == OK
    order = [(f.kind, bool(f.flags & ACK)) for f in peer.frames if f.kind in (SETTINGS, HEADERS)]
    assert order.index((SETTINGS, False)) == 0
    assert order.index((SETTINGS, True)) < [kind for kind, _ in order].index(HEADERS)
    assert len(peer.of(SETTINGS, ack=True)) == 1
    wire.moved(ok=1)


def test_every_settings_frame_is_acknowledged_once(wire):
    peer = wire.connect().settle()
    for window in (1000, 0, 65535):
        peer.send(settings({INITIAL_WINDOW_SIZE: window}))
    peer.ping()
    assert len(peer.of(SETTINGS, ack=True)) == 4
    wire.moved()


BEGUN = [b"", PREFACE[:5], PREFACE, PREFACE + settings({})[:8]]


@pytest.mark.parametrize("begun", BEGUN, ids=lambda b: f"{len(b)} bytes")
def test_a_handshake_that_does_not_end_is_cut_at_its_timeout(made_with, begun):
    wire = made_with("--grpc.handshake-timeout=300ms")
    peer = wire.connect(preface=False, ack=False)
    start = time.monotonic()
    peer.send(begun)
    peer.drained(5)
    assert 0.25 < time.monotonic() - start < 2.5
    wire.server.wait_value(1, "echod_http2_handshake_timeouts_total")
    wire.moved()


def test_a_finished_handshake_may_be_idle_for_longer_than_its_timeout(made_with):
    wire = made_with("--grpc.handshake-timeout=300ms")
    peer = wire.connect().settle()
    peer.listen(0.8)
    assert peer.call("late").messages == [echo("late")]
    assert wire.server.value("echod_http2_handshake_timeouts_total") == 0
    wire.moved(ok=1)


def test_a_preface_in_single_bytes_is_a_preface(wire):
    peer = wire.connect(preface=False)
    for byte in PREFACE + settings({}) + headers(1, block(request())) + data(1, GRPC_CALL, True):
        peer.send(bytes([byte]))
    assert peer.response(1).status == OK
    wire.moved(ok=1)


# --- :method, :path, :scheme, :authority ---


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "post", "X"])
def test_a_method_other_than_post_is_answered_405_without_a_grpc_status(wire, method):
    peer = wire.connect()
    response = peer.call("x", change={":method": method})
    assert response.http == "405"
    assert response.field("grpc-status") is None and response.field("grpc-status", -1) is None
    assert response.field("allow") == "POST"
    assert peer.call("y").status == OK
    wire.moved(ok=1, refused={"405": 1})


def test_the_answer_to_head_has_no_body(wire):
    """RFC 9110 9.3.2."""
    response = wire.connect().call("x", change={":method": "HEAD"})
    assert response.http == "405" and response.body == b""
    wire.moved(refused={"405": 1})


def test_connect_makes_no_tunnel(wire):
    peer = wire.connect()
    stream = peer.open(request(change={":method": "CONNECT", ":scheme": GONE, ":path": GONE}), end=False)
    response = peer.response(stream)
    if response.shape == "R":
        assert response.reset == PROTOCOL_ERROR
        wire.moved()
    else:
        assert response.http == "405"
        wire.moved(refused={"405": 1})
    assert not peer.of(GOAWAY)


UNKNOWN_PATHS = [
    "/", "//", "/muzz.Service", "/muzz.Service/", "/Echo", "//Echo", "/muzz.Service/echo", "/muzz.service/Echo",
    "/MUZZ.SERVICE/ECHO", "/muzz.Service/Ech%6F", "/%6Duzz.Service/Echo", "/muzz.Service/Echo/", "//muzz.Service/Echo",
    "/muzz.Service//Echo", "/muzz.Service/Echo?x=1", "/muzz.Service/Echo#x", "/a/muzz.Service/Echo", "/Service/Echo",
    "/muzz.Service/Echo\u00e9", "/muzz.Service/EchoEcho", "/muzz.Service/Ech", "/" + "x" * 5000 + "/y",
]  # fmt: skip


@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda p: p[:24].encode("ascii", "replace").decode())
def test_a_path_that_is_no_method_of_ours_is_unimplemented_in_trailers_only(wire, path):
    peer = wire.connect()
    response = peer.call("x", change={":path": path})
    assert response.status == UNIMPLEMENTED
    assert response.trailers_only
    assert peer.call("y").status == OK
    wire.moved(ok=1, refused={"200": 1})


@pytest.mark.parametrize("path", ["muzz.Service/Echo", "*", "Echo", ""])
def test_a_path_without_a_leading_slash_is_refused(wire, path):
    """HTTP/2 itself forbids it (RFC 9113 8.3.1), so the stream may be reset before gRPC sees it."""
    peer = wire.connect()
    response = peer.call("x", change={":path": path})
    if response.shape == "R":
        assert response.reset == PROTOCOL_ERROR
        wire.moved()
    else:
        assert response.status == UNIMPLEMENTED
        wire.moved(refused={"200": 1})
    assert not peer.of(GOAWAY)


def test_a_strange_scheme_lets_no_path_without_slash_through(wire):
    peer = wire.connect()
    response = peer.call("x", change={":scheme": "ftp", ":path": "muzz.Service/Echo"})
    assert response.status in (INTERNAL, UNIMPLEMENTED)
    wire.moved(refused={"200": 1})


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_schemes_are_served_whatever_the_transport(wire, scheme):
    assert wire.connect().call("x", change={":scheme": scheme}).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("scheme", ["ftp", "grpc", "HTTP2", "x"])
def test_another_scheme_is_an_internal_error(wire, scheme):
    response = wire.connect().call("x", change={":scheme": scheme})
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(refused={"200": 1})


@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
def test_a_missing_pseudo_header_resets_the_stream(wire, name):
    peer = wire.connect()
    reset_with(peer, peer.open(request(change={name: GONE}), GRPC_CALL), PROTOCOL_ERROR)
    assert peer.call().status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("name", [":method", ":scheme", ":path", ":authority"])
def test_a_pseudo_header_that_comes_twice_resets_the_stream(wire, name):
    peer = wire.connect()
    fields = request()
    fields.insert(1, next(field for field in fields if field[0] == name))
    reset_with(peer, peer.open(fields, GRPC_CALL), PROTOCOL_ERROR)
    assert peer.call().status == OK
    wire.moved(ok=1)


def test_a_pseudo_header_behind_a_regular_field_resets_the_stream(wire):
    peer = wire.connect()
    fields = request()
    fields.append(fields.pop(0))
    reset_with(peer, peer.open(fields, GRPC_CALL), PROTOCOL_ERROR)
    wire.moved()


@pytest.mark.parametrize("name", [":status", ":protocol", ":unheard-of"])
def test_a_pseudo_header_that_no_request_has_resets_the_stream(wire, name):
    peer = wire.connect()
    fields = request()
    fields.insert(0, (name, "200"))
    reset_with(peer, peer.open(fields, GRPC_CALL), PROTOCOL_ERROR)
    wire.moved()


def test_host_alone_stands_for_authority(wire):
    assert wire.connect().call("x", ("host", "localhost"), change={":authority": GONE}).status == OK
    wire.moved(ok=1)


def test_host_beside_authority_is_ignored(wire):
    assert wire.connect().call("x", ("host", "elsewhere")).status == OK
    wire.moved(ok=1)


def test_host_twice_is_not_served(wire):
    peer = wire.connect()
    response = peer.call("x", ("host", "a"), ("host", "b"), change={":authority": GONE})
    assert response.shape == "R" and response.reset == PROTOCOL_ERROR
    assert not peer.of(GOAWAY)
    wire.moved()


def test_neither_host_nor_authority_resets_the_stream(wire):
    """gRPC would allow it; the HTTP/2 library does not. Documented."""
    peer = wire.connect()
    reset_with(peer, peer.open(request(change={":authority": GONE}), GRPC_CALL), PROTOCOL_ERROR)
    wire.moved()


# --- fields that belong to the connection; te; content-type ---


@pytest.mark.parametrize("name", ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"])
def test_a_field_of_http1_connections_resets_the_stream(wire, name):
    peer = wire.connect()
    reset_with(peer, peer.open(request((name, "x")), GRPC_CALL), PROTOCOL_ERROR)
    assert peer.call().status == OK
    wire.moved(ok=1)


def test_te_may_be_missing(wire):
    assert wire.connect().call("x", change={"te": GONE}).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("value", ["trailers, deflate", "gzip", ""])
def test_te_of_anything_but_trailers_resets_the_stream(wire, value):
    peer = wire.connect()
    reset_with(peer, peer.open(request(change={"te": value}), GRPC_CALL), PROTOCOL_ERROR)
    wire.moved()


FOREIGN_TYPES = [
    GONE, "", "image/jpeg", "application/json", "application/grpc-web", "application/grpc-web+proto",
    "application/grpcx", "application/grp", "text/plain", "application", "grpc", "application/grpc/x",
]  # fmt: skip


@pytest.mark.parametrize("value", FOREIGN_TYPES, ids=lambda v: "missing" if v is GONE else v or "empty")
def test_another_content_type_is_answered_415_in_plain_http(wire, value):
    peer = wire.connect()
    response = peer.call("x", change={"content-type": value})
    assert response.http == "415"
    assert response.field("content-type").startswith("text/plain")
    assert response.body, "a short text says why"
    assert response.field("grpc-status") is None and response.field("grpc-status", -1) is None
    assert peer.call().status == OK
    wire.moved(ok=1, refused={"415": 1})


def test_415_and_405_do_not_wait_for_the_body(wire):
    peer = wire.connect()
    for change, status in (({":method": "GET"}, "405"), ({"content-type": "text/html"}, "415")):
        stream = peer.open(request(change=change), end=False)
        assert peer.response(stream).http == status
        peer.until(lambda stream=stream: peer.of(RST_STREAM, stream), "that the rest is not wanted")
        assert peer.answer(stream).reset == NO_ERROR
    wire.moved(refused={"405": 1, "415": 1})


def test_an_answer_in_plain_http_waits_for_the_window_like_any_other(wire):
    expired = wire.server.value("echod_grpc_deadlines_exceeded_total")
    peer = wire.connect(initial={INITIAL_WINDOW_SIZE: 0}).settle()
    stream = peer.open(request(change={"content-type": "text/html"}))
    peer.listen(0.8)  # longer than the end of such a request is waited for
    assert not peer.ended(stream)
    peer.send(window_update(stream, 1000))
    response = peer.response(stream)
    assert response.http == "415" and response.body and response.reset is None
    assert wire.server.value("echod_grpc_deadlines_exceeded_total") == expired
    wire.moved(refused={"415": 1})


SERVED_TYPES = {
    "application/grpc": "application/grpc",
    "application/grpc+proto": "application/grpc+proto",
    "application/grpc;charset=utf-8": "application/grpc",
    "application/grpc; charset=utf-8": "application/grpc",
    "application/grpc+proto;charset=utf-8": "application/grpc+proto",
}


@pytest.mark.parametrize("value", SERVED_TYPES)
def test_grpc_and_its_proto_subtype_are_served_and_mirrored(wire, value):
    response = wire.connect().call("x", change={"content-type": value})
    assert response.status == OK and response.messages == [echo("x")]
    assert response.field("content-type") == SERVED_TYPES[value]
    wire.moved(ok=1)


@pytest.mark.parametrize("codec", ["json", "foo", "protox", "thrift", ""])
def test_a_codec_that_is_not_served_is_unimplemented(wire, codec):
    response = wire.connect().call("x", change={"content-type": "application/grpc+" + codec})
    assert response.status == UNIMPLEMENTED and response.trailers_only
    wire.moved(failed=1)


# --- grpc-timeout, grpc-encoding ---

BAD_TIMEOUTS = ["", "S", "1", "1x", "-1S", "+1S", "1 S", "123456789S", "1.5S", "0x1S", "1s", "1h", "1SS", "S1"]


@pytest.mark.parametrize("value", BAD_TIMEOUTS)
def test_a_malformed_timeout_is_internal_in_trailers_only(wire, value):
    response = wire.connect().call("x", ("grpc-timeout", value))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


@pytest.mark.parametrize("value", ["99999999H", "99999999M", "99999999S", "00000010S", "1H", "60000m"])
def test_the_longest_timeouts_do_not_overflow(wire, value):
    assert wire.connect().call("x", ("grpc-timeout", value)).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("value", ["0n", "1n", "0H", "00000000m"])
def test_a_timeout_that_has_passed_ends_the_call_before_the_handler(wire, value):
    expired = wire.server.value("echod_grpc_deadlines_exceeded_total")
    response = wire.connect().call("x", ("grpc-timeout", value))
    assert response.status == DEADLINE_EXCEEDED
    assert response.trailers_only and response.body == b""
    assert wire.server.value("echod_grpc_deadlines_exceeded_total") == expired + 1
    wire.moved(failed=1)


def test_an_unknown_encoding_is_unimplemented_at_the_headers_even_for_plain_messages(wire):
    peer = wire.connect()
    response = peer.response(peer.open(request(("grpc-encoding", "foo")), end=False))
    assert response.status == UNIMPLEMENTED and response.trailers_only
    taken = response.field("grpc-accept-encoding").replace(" ", "").split(",")
    assert "identity" in taken and "foo" not in taken
    response = peer.call("x", ("grpc-encoding", "foo"))
    assert response.status == UNIMPLEMENTED and response.messages == []
    wire.moved(failed=2)


def test_the_identity_encoding_is_served(wire):
    assert wire.connect().call("x", ("grpc-encoding", "identity")).status == OK
    wire.moved(ok=1)


def test_every_response_of_grpc_tells_the_encodings_that_requests_may_have(wire):
    """Whether it succeeds, is refused before its body comes, or ends in Trailers-Only."""
    peer = wire.connect()
    answers = [peer.call("x", change=change) for change in ({}, {":path": "/a.B/C"}, {"content-type": "application/grpc+x"})]
    answers.append(peer.response(peer.open(body=b"")))
    for answer in answers:
        assert answer.field("grpc-accept-encoding").replace(" ", "").split(",") == ["identity", "gzip"]
    wire.moved(ok=1, failed=2, refused={"200": 1})


def test_an_echo_is_not_compressed_though_the_client_would_take_it(wire):
    response = wire.connect().call("x" * 10000, ("grpc-accept-encoding", "identity,gzip,deflate"))
    assert response.status == OK and response.body[0] == 0
    assert response.field("grpc-encoding") in (None, "identity")
    wire.moved(ok=1)


# --- metadata ---


@pytest.mark.parametrize("value", ["AP8", "AP8=", "Zg==", "Zg", "", "Zm9v,Zg==", ",", "AAAA,,AAAA"])
def test_binary_metadata_comes_padded_or_not_and_joined_by_commas(wire, value):
    assert wire.connect().call("x", ("x-bin", value)).status == OK
    wire.moved(ok=1)


def test_binary_metadata_in_thousands_of_values_is_refused(wire):
    """A comma makes a value of its own, and costs one byte; what a call may hold is bounded all the same."""
    peer = wire.connect()
    assert peer.call("x", ("x-bin", "," * 1000)).status == OK
    response = peer.call("x", ("x-bin", "," * 12000))
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    wire.moved(ok=1, failed=1)


@pytest.mark.parametrize("value", ["ab-_", "a_aa", "A", "AAAAA", "AA==,A", "A A="])
def test_binary_metadata_in_another_alphabet_is_internal(wire, value):
    response = wire.connect().call("x", ("x-bin", value))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


def test_names_may_come_more_than_once(wire):
    assert wire.connect().call("x", ("a", "1"), ("b", "2"), ("a", "3"), ("a", "1")).status == OK
    wire.moved(ok=1)


def test_reserved_names_in_a_request_change_nothing(wire):
    names = ["status", "message", "status-details-bin", "message-type", "unheard-of", "previous-rpc-attempts"]
    response = wire.connect().call("x", *(("grpc-" + name, "5") for name in names), ("user-agent", "grpc-x/1"))
    assert response.status == OK and response.text is None
    wire.moved(ok=1)


@pytest.mark.parametrize("value", [" x", "x ", " ", b"\x80\xff", b"caf\xc3\xa9", b"a\tb", "~", "a,b, c"])
def test_any_text_that_http_allows_is_no_reason_to_fail(wire, value):
    assert wire.connect().call("x", ("x-text", value)).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("name", ["X-Upper", "Te", "x-Y", "GRPC-TIMEOUT"])
def test_an_upper_case_name_resets_the_stream(wire, name):
    peer = wire.connect()
    reset_with(peer, peer.open(request((name, "1S")), GRPC_CALL), PROTOCOL_ERROR)
    assert peer.call().status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("name", ["x~y", "x!y", "x#y", "x$y", "x'y", "x*y", "x+y", "x^y", "x`y", "x|y", "x%y", "x&y"])
def test_a_name_that_http_allows_and_grpc_does_not_is_ignored(wire, name):
    assert wire.connect().call("x", (name, "v")).status == OK
    wire.moved(ok=1)


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\nb", b"a\0b"])
def test_a_value_that_would_split_http1_headers_never_reaches_a_call_as_success_with_it(wire, value):
    """RFC 9113 8.2.1 calls the request malformed; a reset and an ignored field are both safe."""
    peer = wire.connect()
    response = peer.call("x", ("x-text", value))
    if response.shape == "R":
        assert response.reset == PROTOCOL_ERROR
        wire.moved()
    else:
        assert response.status == OK
        wire.moved(ok=1)


# --- the size of header lists ---


def test_a_header_list_just_under_the_limit_is_served(wire):
    used = sum(len(n) + len(v) + 32 for n, v in request())
    value = "v" * (16384 - used - 32 - len("x-fill"))
    assert wire.connect().call("x", ("x-fill", value)).status == OK
    wire.moved(ok=1)


def test_a_header_list_one_byte_over_the_limit_is_refused_and_the_connection_lives(wire):
    used = sum(len(n) + len(v) + 32 for n, v in request())
    value = "v" * (16384 - used - 32 - len("x-fill") + 1)
    peer = wire.connect()
    response = peer.call("x", ("x-fill", value))
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    assert peer.call().status == OK
    wire.moved(ok=1, refused={"200": 1})


def test_each_field_counts_32_bytes_beside_its_text(wire):
    """RFC 9113 10.5.1. 490 fields of 2 bytes are 1 kB of text and 16.6 kB of list."""
    peer = wire.connect()
    response = peer.call("x", *[("a", "b")] * 490)
    assert response.status == RESOURCE_EXHAUSTED
    assert peer.call("x", *[("a", "b")] * 400).status == OK
    wire.moved(ok=1, refused={"200": 1})


def test_63_kib_in_one_field_are_refused_and_the_connection_lives(wire):
    peer = wire.connect()
    response = peer.call("x", ("x-long", "x" * 63 * 1024))
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    assert peer.call().status == OK
    wire.moved(ok=1, refused={"200": 1})


def test_a_header_block_without_end_closes_the_connection(wire):
    """CONTINUATION after CONTINUATION: more than any honest list needs."""
    peer = wire.connect().settle()
    peer.send(frame(HEADERS, 0, 1, block(request())))
    for _ in range(12):
        peer.try_send(frame(CONTINUATION, 0, 1, literal("x", "y")))
    peer.drained(5)
    assert NO_ERROR not in [f.code for f in peer.of(GOAWAY)]
    assert not peer.of(HEADERS)
    wire.moved()


def test_a_header_block_in_some_continuations_is_one_block(wire):
    peer = wire.connect()
    fragment = block(request(("x-fill", "v" * 100)))
    peer.send(headers(1, fragment, most=len(fragment) // 5 + 1) + data(1, GRPC_CALL, True))
    peer.next_stream = 3
    assert peer.response(1).status == OK
    wire.moved(ok=1)


# --- decided at HEADERS ---


def test_an_unknown_method_is_refused_before_its_body_comes(wire):
    peer = wire.connect()
    response = peer.response(peer.open(request(change={":path": "/a.B/C"}), end=False))
    assert response.status == UNIMPLEMENTED and response.trailers_only
    assert response.reset == NO_ERROR, "what the client still has to send is not wanted"
    wire.moved(refused={"200": 1})


def test_paths_at_random_make_no_new_series(wire):
    series = wire.server.scrape().series()
    peer = wire.connect()
    for i in range(200):
        assert peer.call("x", change={":path": f"/random.Service{i}/Method{i}"}).status == UNIMPLEMENTED
    assert wire.server.scrape().series() == series
    wire.moved(refused={"200": 200})


def test_the_identity_of_process_and_connection_is_initial_metadata(wire):
    one, two = wire.connect(), wire.connect()
    first, again, other = one.call(), one.call(), two.call()
    for response in (first, again, other):
        assert response.status == OK
        assert re.fullmatch("[0-9a-f]{16}", response.field("echod-instance"))
        assert re.fullmatch("[0-9a-f]{16}", response.field("echod-connection"))
    assert first.field("echod-instance") == other.field("echod-instance")
    assert first.field("echod-connection") == again.field("echod-connection")
    assert first.field("echod-connection") != other.field("echod-connection")
    wire.moved(ok=3)


def test_a_client_that_goes_away_in_the_midst_of_a_header_block_leaves_nothing_behind(wire):
    for cut in range(1, 60, 3):
        peer = wire.connect()
        peer.send(headers(1, block(request()))[:cut])
        peer.close()
    active = "echod_connections_active"
    until(lambda: wire.server.value(active, listener="grpc") == 0, "all connections gone")
    wire.moved()

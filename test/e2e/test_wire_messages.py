"""gRPC's wire contract, the server's side of it: messages, responses, deadlines, cancelling."""
import os
import socket
import struct
import time

import pytest

import daemon
from frames import (
    CANCEL, DEADLINE_EXCEEDED, GOAWAY, HEADERS, INTERNAL, MAX_HEADER_LIST_SIZE, NO_ERROR, OK, PROTOCOL_ERROR,
    RESOURCE_EXHAUSTED, RST_STREAM, UNIMPLEMENTED,
    block, data, echo, headers, message, request, rst_stream,
)
from wire import Wire, made_with, wire  # noqa: F401 (fixtures)

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def slow_server(echod, tmp_path_factory):
    flags = ("--echo.delay=20s", "--shutdown.grace=1s")
    server = daemon.Server(echod, flags, tmp_path_factory.mktemp("slow") / "server.log")
    try:
        server.wait_ready()
        yield server
    finally:
        server.finish()


class Slow(Wire):
    """A server whose every reply takes 20 s: a call ends otherwise, or not in this test."""

    def finish(self):
        for peer in self.peers:
            peer.close()
        was = self.expected
        if was is None:
            return  # the test failed before it could say
        self.moved(was.ok, was.failed + was.in_flight, was.refused)
        with self.connect() as peer:
            assert peer.call("x", change={":path": "/a.B/C"}).status == UNIMPLEMENTED
        self.moved(was.ok, was.failed + was.in_flight, {**was.refused, "200": was.refused.get("200", 0) + 1})


@pytest.fixture
def slow(slow_server):
    made = Slow(slow_server)
    yield made
    made.finish()


def send(wire, body, **options):
    """One request with this body; the response."""
    peer = wire.connect(**options)
    return peer.response(peer.open(body=body))


# --- framing ---


def test_a_request_in_data_frames_of_one_byte_is_whole(wire):
    peer = wire.connect()
    stream = peer.open(end=False)
    peer.upload(stream, message(echo("one byte at a time")), size=1)
    assert peer.response(stream).messages == [echo("one byte at a time")]
    wire.moved(ok=1)


@pytest.mark.parametrize("cut", range(1, 9))
def test_data_frames_may_cut_prefix_and_message_anywhere(wire, cut):
    peer = wire.connect()
    stream = peer.open(end=False)
    body = message(echo("x"))
    for part, end in ((body[:cut], False), (body[cut:], True)):
        peer.send(data(stream, part, end))
        peer.ping()  # each part is a read of its own
    assert peer.response(stream).messages == [echo("x")]
    wire.moved(ok=1)


def test_empty_data_frames_between_the_parts_mean_nothing(wire):
    peer = wire.connect()
    stream = peer.open(end=False)
    empty = data(stream, b"")
    parts = [message(echo("x"))[i : i + 3] for i in range(0, 8, 3)]
    peer.send(empty + b"".join(data(stream, part) + empty for part in parts) + data(stream, b"", True))
    assert peer.response(stream).messages == [echo("x")]
    wire.moved(ok=1)


def test_padding_is_given_back_to_both_windows(wire):
    """5 bytes in each frame and 255 of padding: more than three stream windows of padding alone."""
    peer = wire.connect().settle()
    stream = peer.open(end=False)
    text = os.urandom(16000).hex()[:16000]
    peer.upload(stream, message(echo(text)), size=5, pad=255)
    assert peer.response(stream).messages == [echo(text)]
    wire.moved(ok=1)


def test_a_message_of_zero_bytes_is_a_message(wire):
    response = send(wire, message(b""))
    assert response.status == OK and response.messages == [b""]
    wire.moved(ok=1)


def test_every_byte_comes_back(wire):
    borders = [0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF]
    text = "".join(chr(c) for c in [*range(0x80), *borders])
    response = send(wire, message(echo(text)))
    assert response.status == OK and response.messages == [echo(text)]
    wire.moved(ok=1)


@pytest.mark.limit(120)
def test_the_largest_message_is_served_and_one_byte_more_is_not(wire):
    peer = wire.connect().settle()
    text = "x" * (4 * MIB - 5)
    assert len(echo(text)) == 4 * MIB
    stream = peer.open(end=False)
    peer.upload(stream, message(echo(text)))
    response = peer.response(stream, 30)
    assert response.status == OK and response.messages == [echo(text)]
    stream = peer.open(body=struct.pack(">BI", 0, 4 * MIB + 1), end=False)
    response = peer.response(stream)
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    wire.moved(ok=1, failed=1)


@pytest.mark.parametrize("length", [4 * MIB + 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_refused_as_soon_as_the_prefix_is_in(wire, length):
    peer = wire.connect()
    response = peer.response(peer.open(body=struct.pack(">BI", 0, length), end=False))
    assert response.status == RESOURCE_EXHAUSTED and response.trailers_only
    assert response.reset == NO_ERROR
    assert peer.call().status == OK
    wire.moved(ok=1, failed=1)


def test_the_limit_on_messages_is_a_flag(made_with):
    wire = made_with("--grpc.max-message-bytes=1KiB")
    peer = wire.connect()
    assert len(echo("x" * 1021)) == 1024
    assert peer.call("x" * 1021).status == OK
    assert peer.call("x" * 1022).status == RESOURCE_EXHAUSTED
    wire.moved(ok=1, failed=1)


@pytest.mark.parametrize("flag", [1, 2, 3, 127, 128, 254, 255])
@pytest.mark.parametrize("encoding", [None, "identity"])
def test_a_flag_that_no_encoding_explains_is_internal(wire, flag, encoding):
    peer = wire.connect()
    fields = request() if encoding is None else request(("grpc-encoding", encoding))
    response = peer.response(peer.open(fields, message(echo("x"), flag)))
    assert response.status == INTERNAL and response.messages == []
    wire.moved(failed=1)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_end_inside_a_message_is_internal(wire, size):
    body = message(echo("xy"))
    assert len(body) == 9
    response = send(wire, body[:size])
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


def test_torn_bytes_behind_a_message_are_not_answered_with_success(wire):
    response = send(wire, message(echo("x")) + b"\0\0\0")
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


@pytest.mark.parametrize("body", [None, b""], ids=["HEADERS with END_STREAM", "an empty DATA with it"])
def test_a_unary_call_without_a_message_is_unimplemented(wire, body):
    response = send(wire, body)
    assert response.status == UNIMPLEMENTED and response.trailers_only
    wire.moved(failed=1)


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("text", ["", "x"])
def test_a_unary_call_with_more_messages_is_unimplemented_and_the_handler_never_runs(wire, count, text):
    response = send(wire, message(echo(text)) * count)
    assert response.status == UNIMPLEMENTED
    assert response.trailers_only and response.messages == []
    wire.moved(failed=1)


def test_a_second_message_is_seen_though_it_comes_late(wire):
    peer = wire.connect()
    stream = peer.open(body=message(echo("x")), end=False)
    peer.ping()
    assert not peer.answer(stream).shape, "a unary call is answered at its end, not before"
    peer.send(data(stream, message(echo("y")), True))
    assert peer.response(stream).status == UNIMPLEMENTED
    wire.moved(failed=1)


# --- protobuf ---

BAD_PROTOBUF = {
    "a torn field": b"\x0a\x05abc",
    "a length beyond everything": b"\x0a\xff\xff\xff\xff\x0f",
    "a torn tag": b"\x80",
    "field number 0": b"\x02\x00",
    "wire type 7": b"\x0f",
    "a group's end alone": b"\x0c",
    "a group without end": b"\x13",
    "a varint of eleven bytes": b"\x10" + b"\x80" * 10 + b"\x01",
    "half of a fixed32": b"\x15\0\0",
    "half of a fixed64": b"\x11\0\0\0\0",
    "random": b"\xde\xad\xbe\xef" * 4,
}


@pytest.mark.parametrize("name", BAD_PROTOBUF)
def test_undecodable_protobuf_is_internal(wire, name):
    response = send(wire, message(BAD_PROTOBUF[name]))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


NOT_UTF8 = [b"\xff", b"\xc0\x80", b"ab\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\0\xff", b"\xe2\x98"]


@pytest.mark.parametrize("text", NOT_UTF8, ids=str)
def test_text_that_is_not_utf8_is_internal(wire, text):
    response = send(wire, message(echo(text)))
    assert response.status == INTERNAL and response.trailers_only
    wire.moved(failed=1)


UNKNOWN_FIELDS = {
    "varint": b"\x10\x96\x01",
    "fixed64": b"\x11" + bytes(8),
    "bytes": b"\x12\x03xyz",
    "invalid UTF-8": b"\x12\x01\xff",
    "group": b"\x13\x08\x01\x14",
    "groups in groups": b"\x13\x1b\x1c\x14",
    "fixed32": b"\x15" + bytes(4),
    "the largest number": b"\xf8\xff\xff\xff\x0f\x01",
    "field 1 as a varint": b"\x08\x05",
    "field 1 as a fixed32": b"\x0d" + bytes(4),
    "many": b"\x78\x01" * 1000,
}


@pytest.mark.parametrize("name", UNKNOWN_FIELDS)
def test_unknown_fields_never_fail_a_message(wire, name):
    unknown = UNKNOWN_FIELDS[name]
    for body in (unknown + echo("x"), echo("x") + unknown, unknown + echo("x") + unknown):
        response = send(wire, message(body))
        assert response.status == OK
        assert response.messages[0].startswith(echo("x"))
    wire.moved(ok=3)


@pytest.mark.limit(120)
def test_four_mebibytes_of_nothing_but_unknown_fields_are_bounded_and_quick(wire):
    def resident():
        return wire.server.value("process_resident_memory_bytes")

    peer = wire.connect().settle()
    before = resident()
    stream = peer.open(end=False)
    body = message(b"\x78\x01" * (2 * MIB))
    peer.upload(stream, body[:-2], end=False)
    start = time.monotonic()
    peer.upload(stream, body[-2:])
    response = peer.response(stream)
    assert response.status in (OK, RESOURCE_EXHAUSTED)
    assert time.monotonic() - start < 2
    assert resident() - before < 24 * MIB
    wire.moved(ok=int(response.status == OK), failed=int(response.status != OK))


def test_the_last_of_several_fields_counts(wire):
    response = send(wire, message(echo("first") + echo("second")))
    assert response.status == OK and response.messages == [echo("second")]
    wire.moved(ok=1)


# --- HEADERS behind the request's ---


def test_request_trailers_are_accepted_and_ignored(wire):
    peer = wire.connect()
    stream = peer.open(body=message(echo("x")), end=False)
    peer.send(headers(stream, block([("x-trailer", "y"), ("grpc-status", "13"), ("grpc-timeout", "0n")]), end=True))
    response = peer.response(stream)
    assert response.status == OK and response.messages == [echo("x")]
    wire.moved(ok=1)


def test_headers_in_the_midst_of_a_request_reset_its_stream(wire):
    peer = wire.connect()
    stream = peer.open(body=message(echo("x"))[:4], end=False)
    peer.send(headers(stream, block([("x-middle", "y")])))
    response = peer.response(stream)
    assert (response.shape, response.reset) == ("R", PROTOCOL_ERROR)
    assert peer.call().status == OK
    wire.moved(ok=1, failed=1)


def test_pseudo_headers_in_request_trailers_reset_the_stream(wire):
    peer = wire.connect()
    stream = peer.open(body=message(echo("x")), end=False)
    peer.send(headers(stream, block([(":path", "/muzz.Service/Echo")]), end=True))
    response = peer.response(stream)
    assert (response.shape, response.reset) == ("R", PROTOCOL_ERROR)
    wire.moved(failed=1)


@pytest.mark.parametrize("claimed", ["7", "9", "0", "-1", "x"])
def test_a_content_length_that_lies_resets_the_stream(wire, claimed):
    peer = wire.connect()
    body = message(echo("x"))
    assert len(body) == 8
    stream = peer.open(request(("content-length", claimed)), body)
    response = peer.response(stream)
    assert (response.shape, response.reset) == ("R", PROTOCOL_ERROR)
    assert not peer.of(GOAWAY)
    wire.expected = wire.delta()  # a lie in the headers makes no call; one that the body uncovers fails it
    assert wire.expected.ok == 0 and wire.expected.in_flight == 0


# --- the shape of responses ---


def test_a_reply_is_headers_data_and_trailers_and_only_those_end_the_stream(wire):
    peer = wire.connect()
    response = peer.call("x")
    assert response.shape == "HDT"
    assert [name for name, _ in response.blocks[0]][0] == ":status"
    assert response.field("grpc-status", 1) == "0" and response.field("grpc-status", 0) is None
    assert response.field("grpc-message", 1) is None, "nothing to say about a success"
    peer.ping()
    assert peer.answer(1).shape == "HDT", "nothing follows the trailers"
    wire.moved(ok=1)


def test_a_failure_before_the_first_message_is_trailers_only_with_status_200(wire):
    response = send(wire, None)
    assert response.shape == "T"
    names = [name for name, _ in response.blocks[0]]
    assert names[0] == ":status" and response.http == "200"
    assert names.count("grpc-status") == names.count("content-type") == 1
    assert response.text, "a failure says why"
    wire.moved(failed=1)


def test_nothing_but_lower_case_names_comes_back(wire):
    peer = wire.connect()
    for change in ({}, {":path": "/nope"}, {":method": "GET"}):
        response = peer.call("x", change=change)
        for fields in response.blocks:
            assert all(name == name.lower() for name, _ in fields)
            assert not {"connection", "transfer-encoding", "keep-alive"} & {name for name, _ in fields}
    wire.moved(ok=1, refused={"200": 1, "405": 1})


def test_a_call_finished_before_the_client_is_done_ends_with_reset_no_error_behind_the_trailers(wire):
    peer = wire.connect()
    stream = peer.open(body=struct.pack(">BI", 0, 2**31), end=False)
    peer.response(stream)
    peer.until(lambda: peer.of(RST_STREAM, stream), "RST_STREAM")
    assert peer.answer(stream).shape == "TR"
    assert peer.answer(stream).reset == NO_ERROR
    wire.moved(failed=1)


@pytest.mark.limit(120)
def test_late_uploads_to_refused_streams_do_not_eat_the_connections_window(wire):
    """10,000 times 64 KiB against a window of 1 MiB, then a message of 4 MiB."""
    count = 10000
    peer = wire.connect().settle()
    for _ in range(count):
        stream = peer.open(request(change={":path": "/a.B/C"}), end=False)
        peer.upload(stream, bytes(65536))
    peer.ping()
    answers = [f for f in peer.of(HEADERS) if f.end_stream and ("grpc-status", "12") in f.fields]
    assert len(answers) == count
    stream = peer.open(end=False)
    text = "y" * (4 * MIB - 5)
    peer.upload(stream, message(echo(text)))
    assert peer.response(stream, 30).messages == [echo(text)]
    assert not peer.of(GOAWAY)
    wire.moved(ok=1, refused={"200": count})


@pytest.mark.parametrize("limit", [50, 110, 160, 210, 256, 300])
def test_trailers_are_trimmed_to_what_the_peer_takes_but_for_the_status(wire, limit):
    peer = wire.connect(initial={MAX_HEADER_LIST_SIZE: limit}).settle()
    response = peer.call("x", change={":path": "/a.B/C"})
    assert response.status == UNIMPLEMENTED
    needed = [f for f in response.blocks[0] if f[0] in (":status", "content-type", "grpc-status")]

    def size(fields):
        return sum(len(n) + len(v) + 32 for n, v in fields)

    assert size(response.blocks[0]) <= max(limit, size(needed)), response
    wire.moved(refused={"200": 1})


def test_a_reply_to_a_peer_with_small_header_lists_still_has_its_status(wire):
    response = wire.connect(initial={MAX_HEADER_LIST_SIZE: 64}).settle().call("x")
    assert response.status == OK and response.messages == [echo("x")]
    wire.moved(ok=1)


# --- deadlines ---


def test_at_its_deadline_a_call_ends_with_deadline_exceeded_trailers(slow):
    peer = slow.connect()
    start = time.monotonic()
    response = peer.response(peer.open(request(("grpc-timeout", "1S")), message(echo("x"))))
    assert 0.98 <= time.monotonic() - start < 1.9
    assert response.status == DEADLINE_EXCEEDED
    assert response.messages == []
    slow.moved(failed=1)


def test_the_deadline_runs_from_the_headers_also_while_the_body_is_awaited(slow):
    peer = slow.connect()
    start = time.monotonic()
    stream = peer.open(request(("grpc-timeout", "1000m")), end=False)
    response = peer.response(stream)
    assert 0.98 <= time.monotonic() - start < 1.9
    assert response.status == DEADLINE_EXCEEDED
    peer.until(lambda: peer.of(RST_STREAM, stream), "RST_STREAM")
    assert peer.answer(stream).reset == NO_ERROR
    slow.moved(failed=1)


def test_deadlines_end_calls_each_at_its_own_time(slow):
    peer = slow.connect()
    start = time.monotonic()
    streams = {peer.open(request(("grpc-timeout", f"{ms}m")), message(echo("x"))): ms for ms in (700, 100, 500, 300)}
    for stream, ms in sorted(streams.items(), key=lambda item: item[1]):
        assert peer.response(stream).status == DEADLINE_EXCEEDED
        assert ms / 1000 - 0.02 <= time.monotonic() - start < ms / 1000 + 1
    slow.moved(failed=4)


def test_a_call_without_a_deadline_waits_for_its_reply(slow):
    peer = slow.connect()
    stream = peer.open(body=message(echo("x")))
    peer.listen(0.5)
    assert not peer.answer(stream).shape
    slow.moved(started=1)


def test_a_reply_before_the_deadline_stops_it(made_with):
    wire = made_with("--echo.delay=50ms")
    peer = wire.connect()
    assert peer.call("x", ("grpc-timeout", "300m")).status == OK
    peer.listen(0.5)
    assert peer.answer(1).shape == "HDT"
    assert wire.server.value("echod_grpc_deadlines_exceeded_total") == 0
    wire.moved(ok=1)


# --- cancelling and losing connections ---


@pytest.mark.parametrize("code", [NO_ERROR, CANCEL, PROTOCOL_ERROR, 2, 0xDEADBEEF])
def test_a_reset_cancels_the_call_and_nothing_more_comes_on_its_stream(slow, code):
    peer = slow.connect()
    stream = peer.open(body=message(echo("x")))
    slow.moved(started=1)
    peer.send(rst_stream(stream, code))
    peer.ping()
    slow.moved(failed=1)
    assert peer.answer(stream).shape == ""


def test_a_reset_before_the_body_cancels_the_call(slow):
    peer = slow.connect()
    stream = peer.open(end=False)
    slow.moved(started=1)
    peer.send(rst_stream(stream))
    slow.moved(failed=1)


def test_a_reset_in_the_midst_of_a_message_gives_its_memory_back(slow):
    peer = slow.connect().settle()
    stream = peer.open(body=struct.pack(">BI", 0, MIB), end=False)
    peer.upload(stream, bytes(60000), end=False)
    daemon.until(lambda: slow.server.value("echod_grpc_buffered_bytes") >= 60000, "the bytes held")
    peer.send(rst_stream(stream))
    slow.server.wait_value(0, "echod_grpc_buffered_bytes")
    slow.moved(failed=1)


def test_a_reset_of_one_call_leaves_its_neighbours_alone(made_with):
    wire = made_with("--echo.delay=300ms")
    peer = wire.connect()
    streams = [peer.open(body=message(echo(f"{i}"))) for i in range(10)]
    for stream in streams[::2]:
        peer.send(rst_stream(stream))
    for i, stream in list(enumerate(streams))[1::2]:
        assert peer.response(stream).messages == [echo(f"{i}")]
    for stream in streams[::2]:
        assert peer.answer(stream).shape == ""
    wire.moved(ok=5, failed=5)


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_lost_connection_cancels_all_its_calls(slow, how):
    peer = slow.connect()
    for _ in range(20):
        peer.open(body=message(echo("x")))
    peer.open(end=False)
    slow.moved(started=21)
    if how == "RST":
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    slow.moved(failed=21)


def test_a_client_that_closes_its_half_of_the_connection_ends_it(slow):
    """Whole calls in flight included: a peer that says goodbye reads no replies."""
    peer = slow.connect()
    peer.open(body=message(echo("x")))
    slow.moved(started=1)
    start = time.monotonic()
    peer.socket.shutdown(socket.SHUT_WR)
    peer.drained(10)
    assert time.monotonic() - start < 5
    slow.moved(failed=1)


def test_resets_that_race_with_replies_count_each_call_once(wire):
    peer = wire.connect().settle()
    count = 600
    for i in range(count):
        stream = peer.open(body=message(echo("x")))
        if i % 3 == 0:
            peer.response(stream)
        peer.try_send(rst_stream(stream))
        if i % 50 == 0:
            peer.ping()
    peer.ping()
    assert not peer.of(GOAWAY)
    now = wire.delta()
    assert now.total == count and now.ok + now.failed == count and now.in_flight == 0
    assert now.ok >= count // 3
    wire.moved(ok=now.ok, failed=now.failed)


def test_a_reset_in_the_same_packet_as_its_request_is_one_failed_or_finished_call(wire):
    peer = wire.connect().settle()
    out = b""
    for i in range(50):
        stream = 2 * i + 1
        out += headers(stream, block(request())) + data(stream, message(echo("x")), True) + rst_stream(stream)
    peer.next_stream = 101
    peer.send(out)
    peer.ping()
    now = wire.delta()
    assert now.total == 50 and now.ok + now.failed == 50
    wire.moved(ok=now.ok, failed=now.failed)


def test_statuses_of_failures_reach_the_metrics_as_fail(wire):
    before = wire.server.value("grpc_calls_total", method="Echo", status="fail")
    assert send(wire, None).status == UNIMPLEMENTED
    assert send(wire, message(b"\xff")).status == INTERNAL
    assert wire.server.value("grpc_calls_total", method="Echo", status="fail") == before + 2
    wire.moved(failed=2)

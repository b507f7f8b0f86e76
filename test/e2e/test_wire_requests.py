"""gRPC's wire contract, the client's side of it: what our client sends, as a server by hand sees it."""
import json
import re
import struct

import hpack
import pytest

from daemon import until
from frames import (
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PADDED, PREFACE,
    PROTOCOL_ERROR, PUSH_PROMISE, SETTINGS, block, frame, headers, message, request, rst_stream, settings,
)
from host import HEAD, MOST, OK, REPLY, Serving, host, only, outcome, unary  # noqa: F401 (fixtures)
from load import statuses


class Heard:
    """Every frame of one connection, in order, with decoded header blocks; the first call is answered."""

    def __init__(self):
        self.preface, self.frames, self.fields = b"", [], []

    def serve(self, guest, _):
        self.preface = guest.read(len(PREFACE))
        guest.send(settings({}) + frame(SETTINGS, ACK))
        decoder = hpack.Decoder()
        while True:
            kind, flags, stream, payload = got = guest.frame()
            self.frames.append(got)
            if kind == HEADERS:
                assert flags & END_HEADERS and not flags & PADDED
                self.fields.append(decoder.decode(payload[5:] if flags & 0x20 else payload))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                guest.send(unary()(stream))


@pytest.fixture
def heard(host, run):
    """Makes one call with these flags; what the server heard."""

    def call(*flags):
        made = Heard()
        assert outcome(run("client", "--timeout=5s", *flags, host(made.serve).target)) == "OK"
        return made

    return call


def test_a_connection_begins_with_the_preface_and_settings_without_push(heard):
    made = heard()
    assert made.preface == PREFACE
    kind, flags, stream, payload = made.frames[0]
    assert (kind, flags, stream) == (SETTINGS, 0, 0)
    assert dict(struct.iter_unpack(">HI", payload))[2] == 0  # SETTINGS_ENABLE_PUSH


def test_the_servers_settings_are_acknowledged_once(heard):
    assert len([1 for kind, flags, *_ in heard().frames if (kind, flags) == (SETTINGS, ACK)]) == 1


def test_a_request_has_its_fields_in_order_and_each_once(heard):
    """gRPC's protocol document, "Requests": pseudo-headers, the timeout, the call's definition, metadata."""
    names = [name for name, _ in heard("--metadata=b:1", "--metadata=a:2").fields[0]]
    assert sorted(names[:4]) == [":authority", ":method", ":path", ":scheme"]
    assert names[4] == "grpc-timeout"
    assert set(names[5:-2]) == {"te", "content-type", "user-agent", "grpc-accept-encoding"}
    assert names[-2:] == ["b", "a"]
    assert len(names) == len(set(names))


def test_a_request_is_a_post_of_grpc_that_takes_trailers(heard):
    fields = dict(heard().fields[0])
    assert (fields[":method"], fields[":scheme"], fields[":path"]) == ("POST", "http", "/muzz.Service/Echo")
    assert (fields["te"], fields["content-type"]) == ("trailers", "application/grpc+proto")
    assert re.fullmatch(r"[1-9][0-9]{0,7}[HMSmun]", fields["grpc-timeout"])
    assert fields[":authority"].startswith("127.0.0.1:")


def test_it_calls_itself_by_the_form_that_grpc_asks_for(heard):
    """gRPC's protocol document, "User Agents"."""
    agent = dict(heard().fields[0])["user-agent"]
    assert re.fullmatch(r"grpc-c-echod/[0-9.]+( \([^()]+\))?", agent), agent


def test_what_is_left_of_the_timeout_is_sent_rounded_up_in_the_smallest_unit_that_fits(heard):
    sent = dict(heard("--timeout=5s").fields[0])["grpc-timeout"]
    scale = {"u": 1e-6, "n": 1e-9}[sent[-1]]  # 5 s are 5000000 us, and too many ns for eight digits
    assert 4 < int(sent[:-1]) * scale <= 5


def test_a_request_is_one_block_and_data_and_no_trailers(heard):
    made = heard()
    frames = [(kind, flags) for kind, flags, stream, _ in made.frames if stream]
    frames = [(kind, flags & END_STREAM) for kind, flags in frames if kind in (HEADERS, DATA, CONTINUATION)]
    assert frames == [(HEADERS, 0), (DATA, END_STREAM)]
    assert [payload for kind, *_, payload in made.frames if kind == DATA] == [REPLY]


def test_metadata_keeps_its_order_and_duplicates_and_binary_is_base64_without_padding(heard):
    flags = ["a:1", "b:2", "a:3", "x-bin:AAE=", "x-bin:/w==", "a:1"]
    fields = heard(*(f"--metadata={flag}" for flag in flags)).fields[0]
    sent = [(name, value) for name, value in fields if name in ("a", "b", "x-bin")]
    assert sent == [("a", "1"), ("b", "2"), ("a", "3"), ("x-bin", "AAE"), ("x-bin", "/w"), ("a", "1")]


def test_what_authorizes_never_enters_a_table(heard):
    """RFC 7541 7.1.3."""
    fields = heard("--metadata=authorization:Bearer secret").fields[0]
    found = [field for field in fields if field[0] == "authorization"]
    assert len(found) == 1 and isinstance(found[0], hpack.NeverIndexedHeaderTuple)


def test_a_table_that_the_server_forbids_is_not_used(host, run):
    """SETTINGS_HEADER_TABLE_SIZE 0: the next block says so first, and names nothing by a dynamic index."""
    blocks = []

    def serve(guest, _):
        guest.hello({1: 0})
        decoder = hpack.Decoder()
        decoder.max_allowed_table_size = 0
        while True:
            kind, flags, stream, payload = guest.frame()
            if kind == HEADERS:
                decoder.decode(payload)
                blocks.append(payload)
            if kind == DATA and flags & END_STREAM:
                guest.send(unary()(stream))

    done = run("client", "--count=3", "--concurrency=1", "--progress=off", "--timeout=5s", host(serve).target)
    assert done.returncode == 0, done
    assert len(blocks) == 3 and blocks[0][0] == 0x20


# --- what it does when the server goes on where it should not ---


def test_a_push_is_a_connection_error(host, run):
    """RFC 9113 8.4: we have forbidden it."""
    ends = []

    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        guest.send(frame(PUSH_PROMISE, END_HEADERS, stream, b"\0\0\0\2" + block(request())))
        ends.append(guest.until(lambda kind, *_: kind == GOAWAY)[3])

    assert outcome(run("client", "--timeout=5s", host(serve).target)) in ("UNAVAILABLE", "INTERNAL")
    until(lambda: ends, "GOAWAY")
    assert struct.unpack(">I", ends[0][4:8])[0] == PROTOCOL_ERROR


def test_a_lost_connection_is_unavailable_and_the_call_is_not_sent_again(host, run):
    """The server may have acted on it."""
    streams = []

    def serve(guest, _):
        guest.hello()
        streams.append(guest.request())
        guest.socket.close()

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "UNAVAILABLE"
    assert streams == [1]


def test_refusals_without_end_are_given_up_after_one_more_try_without_a_word_of_it(host, run):
    """grpc-previous-rpc-attempts tells of retries that a user configured, and of no others (gRFC A6)."""
    blocks = []

    def serve(guest, _):
        guest.hello()
        decoder = hpack.Decoder()
        while True:
            _, _, stream, fragment = guest.until(lambda kind, *_: kind == HEADERS)
            blocks.append([name for name, _ in decoder.decode(fragment)])
            guest.send(rst_stream(stream, 7))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "UNAVAILABLE"
    assert len(blocks) == 2 and "grpc-previous-rpc-attempts" not in blocks[1]


@pytest.mark.parametrize("pushback", ["0", "10", "-1", "soon"])
def test_without_a_configured_retry_the_servers_pushback_means_nothing(host, run, pushback):
    streams = []

    def serve(guest, _):
        guest.hello()
        while True:
            streams.append(guest.request())
            guest.send(only([*HEAD, ("grpc-status", "14"), ("grpc-retry-pushback-ms", pushback)])(streams[-1]))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == "UNAVAILABLE"
    assert streams == [1]


def test_a_second_goaway_may_name_a_lower_stream_and_the_call_goes_elsewhere(host, run):
    """RFC 9113 6.8."""

    def serve(guest, n):
        guest.hello()
        stream = guest.request()
        if n == 1:
            guest.goaway(MOST)
            guest.goaway(0)
        else:
            guest.send(unary()(stream))

    served = host(serve)
    assert outcome(run("client", "--timeout=5s", served.target)) == "OK"
    assert served.connections == 2


def test_data_that_comes_after_a_deadline_is_dropped_and_costs_no_window(host, run):
    """Eight calls are given up; each then gets all that its window takes, twice the connection's window
    together. The ninth is served."""
    late = 250 * 1024
    spent = []

    def serve(guest, _):
        server = Serving(guest)
        for n in range(1, 9):
            stream = server.request()
            server.head(stream)
            server.until(lambda n=n: len(server.resets) == n)
            assert server.resets[-1] == (stream, CANCEL)
            server.body(stream, bytes(late))
            spent.append(late)
        server.reply(server.request())

    flags = ["--count=9", "--concurrency=1", "--connections=1", "--timeout=400ms", "--output=json", "--progress=off"]
    done = run("client", *flags, host(serve).target)
    assert statuses(json.loads(done.stdout)) == {"OK": 1, "DEADLINE_EXCEEDED": 8}, done
    assert spent == [late] * 8


def test_a_server_that_finds_us_too_lively_is_told_of_and_the_call_finishes(host, run):
    def serve(guest, _):
        guest.hello()
        stream = guest.request()
        guest.send(frame(GOAWAY, payload=struct.pack(">II", stream, ENHANCE_YOUR_CALM) + b"too_many_pings\x1b"))
        guest.send(unary()(stream))

    done = run("client", "--timeout=5s", host(serve).target)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n"), done
    assert b"too_many_pings" in done.stderr and b"\x1b" not in done.stderr


def test_who_waits_for_ready_is_served_by_a_server_that_comes_late(host, run):
    """The first two connections end before they speak HTTP/2; without the flag that is the end."""

    def serve(guest, n):
        if n % 3:
            guest.read(len(PREFACE))
            guest.socket.close()
            return
        guest.hello()
        guest.send(unary()(guest.request()))

    served = host(serve)
    assert outcome(run("client", "--timeout=20s", served.target)) == "UNAVAILABLE"
    served.connections = 0
    assert outcome(run("client", "--timeout=20s", "--wait-for-ready", served.target)) == "OK"
    assert served.connections == 3


# --- grpc-status-details-bin ---

# google.rpc.Status: CAUSAmhp is code 5 and "hi", CAc is code 7.
DETAILS = {
    "says the same": ([("grpc-status-details-bin", "CAUSAmhp")], "NOT_FOUND"),
    "padded": ([("grpc-status-details-bin", "CAUSAmhpAA==")], "NOT_FOUND"),
    "another code": ([("grpc-status-details-bin", "CAc")], "INTERNAL"),
    "twice": ([("grpc-status-details-bin", "CAc"), ("grpc-status-details-bin", "CAc")], "NOT_FOUND"),
    "two in one": ([("grpc-status-details-bin", "CAc,CAc")], "NOT_FOUND"),
    "no base64": ([("grpc-status-details-bin", "!!")], "NOT_FOUND"),
    "no protobuf": ([("grpc-status-details-bin", "/w")], "NOT_FOUND"),
}


@pytest.mark.parametrize("name", DETAILS)
def test_details_that_contradict_the_status_are_an_error_and_others_are_not(host, run, name):
    fields, expected = DETAILS[name]

    def serve(guest, _):
        guest.hello()
        guest.send(only([*HEAD, ("grpc-status", "5"), ("grpc-message", "no"), *fields])(guest.request()))

    assert outcome(run("client", "--timeout=5s", host(serve).target)) == expected


# --- peers that speak something else ---

STRANGERS = {
    "HTTP/1": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"HTTP/1"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", b"TLS"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH"),
    "a greeting": (b"220 mail.example ESMTP\r\n", b"220 mail.example"),
    "nothing": (b"", b"before it spoke HTTP/2"),
    "zeroes": (bytes(64), b"HTTP/2"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_peer_that_does_not_speak_http2_is_unavailable_in_words_that_name_it(host, run, name):
    said, words = STRANGERS[name]

    def serve(guest, _):
        guest.send(said)
        guest.read(len(PREFACE))
        guest.socket.close()

    done = run("client", "--timeout=5s", host(serve).target)
    assert outcome(done) == "UNAVAILABLE" and words in done.stderr, done

"""grpc.testing.TestService: the published interoperability cases, by grpcio and by hand."""
import gzip
import threading
import time

import grpc
import pytest

import daemon
from calls import channel
from frames import OK, Peer, message, request
from reflected import Reflected, field, fields

SERVICE = "grpc.testing.TestService"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \U0001F608\t\n"
INVALID_ARGUMENT = 3
MIB = 1024 * 1024


class Service(Reflected):
    """A server's TestService, as grpcio calls it."""

    def __getattr__(self, name):
        if name.endswith("Call"):
            return self.method(f"/{SERVICE}/{name}")
        return self.message(f"grpc.testing.{name}")


@pytest.fixture(scope="module")
def server(echod, tmp_path_factory):
    made = daemon.Server(echod, ("--grpc.interop",), tmp_path_factory.mktemp("interop") / "server.log")
    try:
        made.wait_ready()
        yield made
    finally:
        made.finish()


@pytest.fixture
def test(server):
    with channel(server.grpc) as made:
        yield Service(made)


def outputs(test, *sizes, interval_us=0):
    parameters = [test.ResponseParameters(size=size, interval_us=interval_us) for size in sizes]
    return test.StreamingOutputCallRequest(response_parameters=parameters)


def code_of(call, *arguments, **options):
    """The status of a call that fails, at once or while its responses are read."""
    with pytest.raises(grpc.RpcError) as error:
        result = call(*arguments, **options)
        if hasattr(result, "__next__"):
            list(result)
    return error.value.code()


def test_empty_unary(test):
    assert test.EmptyCall(test.Empty()) == test.Empty()


def test_large_unary(test):
    payload = test.Payload(body=bytes(271828))
    for call in (test.UnaryCall, test.CacheableUnaryCall):
        answer = call(test.SimpleRequest(response_size=314159, payload=payload))
        assert answer.payload.body == bytes(314159) and answer.payload.type == 0


def test_client_streaming(test):
    payloads = (test.StreamingInputCallRequest(payload=test.Payload(body=bytes(size)))
                for size in (27182, 8, 1828, 45904))
    assert test.StreamingInputCall(payloads).aggregated_payload_size == 74922


def test_server_streaming(test):
    sizes = [31415, 9, 2653, 58979]
    answers = test.StreamingOutputCall(outputs(test, *sizes))
    assert [len(answer.payload.body) for answer in answers] == sizes


def test_server_streaming_takes_its_time(test):
    start = time.monotonic()
    assert len(list(test.StreamingOutputCall(outputs(test, 1, 2, 3, interval_us=50_000)))) == 3
    assert time.monotonic() - start >= 0.15


def test_ping_pong(test):
    sizes, got = [(27182, 31415), (8, 9), (1828, 2653), (45904, 58979)], []

    def requests():
        for i, (up, down) in enumerate(sizes):
            while len(got) < i:
                time.sleep(0.001)
            asked = outputs(test, down)
            asked.payload.body = bytes(up)
            yield asked

    for answer in test.FullDuplexCall(requests(), timeout=20):
        got.append(len(answer.payload.body))
    assert got == [down for _, down in sizes]


@pytest.mark.parametrize("name", ["FullDuplexCall", "HalfDuplexCall"])
def test_requests_without_pause_are_answered_in_order(test, name):
    requests = [outputs(test, i, i + 1, interval_us=i % 3 * 100) for i in range(0, 200, 2)]
    answers = getattr(test, name)(iter(requests), timeout=30)
    assert [len(answer.payload.body) for answer in answers] == list(range(200))


@pytest.mark.parametrize("name", ["FullDuplexCall", "HalfDuplexCall"])
def test_empty_stream(test, name):
    assert list(getattr(test, name)(iter(()))) == []


def test_much_output_waits_for_the_reader(server, test):
    """64 MiB owed, and no more of it in memory than the windows and the marks allow."""
    answers = test.StreamingOutputCall(outputs(test, *[MIB] * 64), timeout=50)
    next(answers)
    time.sleep(0.3)
    assert server.value("echod_grpc_buffered_bytes") < 4 * MIB
    assert sum(len(answer.payload.body) for answer in answers) == 63 * MIB


@pytest.mark.parametrize("duplex", [False, True])
def test_custom_metadata(test, duplex):
    metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"), ("x-other", "no")]
    if duplex:
        call = test.FullDuplexCall(iter([outputs(test, 314159)]), metadata=metadata)
        assert len(list(call)) == 1
    else:
        _, call = test.UnaryCall.with_call(test.SimpleRequest(response_size=314159), metadata=metadata)
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert initial[INITIAL] == "test_initial_metadata_value" and "x-other" not in initial
    assert trailing[TRAILING] == b"\xab\xab\xab" and TRAILING not in initial


@pytest.mark.parametrize("text", ["test status message", SPECIAL])
def test_status_code_and_message(test, text):
    status = test.EchoStatus(code=2, message=text)
    for call, asked in (
        (test.UnaryCall, test.SimpleRequest(response_status=status)),
        (test.StreamingOutputCall, test.StreamingOutputCallRequest(response_status=status)),
        (test.FullDuplexCall, iter([test.StreamingOutputCallRequest(response_status=status)])),
    ):
        with pytest.raises(grpc.RpcError) as error:
            answer = call(asked)
            list(answer)
        assert error.value.code() == grpc.StatusCode.UNKNOWN
        assert error.value.details() == text


def test_unimplemented_method_and_service(test):
    assert code_of(test.UnimplementedCall, test.Empty()) == grpc.StatusCode.UNIMPLEMENTED
    call = test.method("/grpc.testing.UnimplementedService/UnimplementedCall")
    assert code_of(call, test.Empty()) == grpc.StatusCode.UNIMPLEMENTED


def test_cancel_after_begin(test):
    call = test.StreamingInputCall.future(iter(lambda: time.sleep(5), None))
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED


def test_cancel_after_first_response(server, test):
    done = threading.Event()

    def requests():
        yield outputs(test, 31415)
        done.wait(10)

    call = test.FullDuplexCall(requests())
    assert len(next(call).payload.body) == 31415
    call.cancel()
    assert code_of(next, call) == grpc.StatusCode.CANCELLED
    done.set()
    server.wait_value(1, "grpc_server_handled_total", grpc_type="bidi_stream", grpc_service=SERVICE,
                      grpc_method="FullDuplexCall", grpc_code="Canceled")


def test_timeout_on_sleeping_server(test):
    done = threading.Event()

    def requests():
        yield test.StreamingOutputCallRequest(payload=test.Payload(body=bytes(27182)))
        done.wait(10)

    assert code_of(test.FullDuplexCall, requests(), timeout=0.05) == grpc.StatusCode.DEADLINE_EXCEEDED
    done.set()


@pytest.mark.parametrize("expected", [True, False])
def test_client_compressed_unary(test, expected):
    asked = test.SimpleRequest(response_size=314159, payload=test.Payload(body=bytes(271828)))
    asked.expect_compressed.value = expected
    how = {True: grpc.Compression.Gzip, False: grpc.Compression.NoCompression}
    assert len(test.UnaryCall(asked, compression=how[expected]).payload.body) == 314159
    assert code_of(test.UnaryCall, asked, compression=how[not expected]) == grpc.StatusCode.INVALID_ARGUMENT


def by_hand(server, method, body, *more):
    with Peer(server.grpc_port) as peer:
        return peer.response(peer.open(request(*more, change={":path": f"/{SERVICE}/{method}"}), body=body))


def test_client_compressed_streaming_flags_each_message(server):
    body = field(1, field(2, bytes(100)))
    yes, no = body + field(2, b"\x08\x01"), body + field(2, b"")
    gzipped = ("grpc-encoding", "gzip")
    good = message(gzip.compress(yes), 1) + message(no)
    response = by_hand(server, "StreamingInputCall", good, gzipped)
    assert response.status == OK and fields(response.messages[0]) == [(1, 200)]
    for bad in (message(yes), message(gzip.compress(no), 1)):
        response = by_hand(server, "StreamingInputCall", bad, gzipped)
        assert response.blocks[-1] and response.field("grpc-status", -1) == str(INVALID_ARGUMENT)


def prefixes(body):
    """The flag of each message."""
    flags = []
    while body:
        flags.append(body[0])
        body = body[5 + int.from_bytes(body[1:5], "big") :]
    return flags


def test_server_compressed_sets_the_flag_as_asked(server):
    accepts = ("grpc-accept-encoding", "gzip")
    size = b"\x10\xaf\x96\x13"  # response_size 314159
    for wanted, flag in ((b"\x08\x01", 1), (b"", 0), (None, 0)):
        asked = message(size + (field(6, wanted) if wanted is not None else b""))
        response = by_hand(server, "UnaryCall", asked, accepts)
        assert prefixes(response.body) == [flag]
        assert response.field("grpc-encoding") == ("gzip" if flag else None)
        assert prefixes(by_hand(server, "UnaryCall", asked).body) == [0], "nobody said that gzip is understood"
    first, second = b"\x08\xb7\xf5\x01", b"\x08\xe3\xcc\x03"
    asked = field(2, first + field(3, b"\x08\x01")) + field(2, second + field(3, b""))
    assert prefixes(by_hand(server, "StreamingOutputCall", message(asked), accepts).body) == [1, 0]
    turned = field(2, second + field(3, b"")) + field(2, first + field(3, b"\x08\x01"))
    assert prefixes(by_hand(server, "StreamingOutputCall", message(turned), accepts).body) == [0, 1]


@pytest.mark.parametrize("size", [-1, 4 * MIB + 1, 2**31 - 1])
def test_sizes_that_cannot_be_are_invalid(test, size):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert code_of(test.UnaryCall, test.SimpleRequest(response_size=size)) == invalid
    assert code_of(test.StreamingOutputCall, outputs(test, 1, size)) == invalid


def test_it_is_not_served_unless_asked_for(shared):
    response = by_hand(shared, "EmptyCall", message(b""))
    assert response.field("grpc-status", -1) == str(grpc.StatusCode.UNIMPLEMENTED.value[0])

"""Echo, called by grpcio: a client that nobody here wrote."""
import concurrent.futures
import os
import random
import re
import time

import grpc
import pytest

from calls import LIMIT, channel, encode, method, raw_method

LONGEST = LIMIT - len(encode("x" * LIMIT)) + LIMIT  # of a text whose whole message has LIMIT bytes


@pytest.fixture(scope="module")
def stub(shared):
    with channel(shared.grpc) as made:
        yield made


def status_of(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, timeout=options.pop("timeout", 10), **options)
    return error.value


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Hello, world!", id="hello"),
        pytest.param("Grüße, 世界, 😈, e\u0301, \u202e".encode(), id="unicode"),
        pytest.param(b"a\0b\0", id="inner NUL"),
        pytest.param(bytes(range(1, 128)), id="every ASCII byte"),
        pytest.param(b"x" * 127, id="127 bytes"),
        pytest.param(b"x" * 128, id="128 bytes"),
        pytest.param(b"x" * 16384, id="one frame and a bit"),
        pytest.param("ü".encode() * 100000, id="200 kB"),
        pytest.param(b"x" * LONGEST, id="4 MiB, the limit"),
    ],
)
def test_the_reply_is_the_message_byte_for_byte(stub, message):
    assert method(stub)(message, timeout=20) == message


def test_the_limit_of_4_mib_is_exact():
    assert len(encode("x" * LONGEST)) == LIMIT


def test_a_message_over_the_limit_is_resource_exhausted_and_harms_nothing(stub):
    error = status_of(method(stub), b"x" * (LONGEST + 1))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert method(stub)(b"after", timeout=5) == b"after"


def test_a_message_far_over_the_limit_is_resource_exhausted(stub):
    error = status_of(method(stub), b"x" * (16 * LIMIT), timeout=20)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_limit_is_a_flag(serve):
    server = serve("--grpc.max-message-bytes=1KiB")
    with channel(server.grpc) as made:
        assert method(made)(b"x" * 1021, timeout=5) == b"x" * 1021  # tag and length are 3 bytes
        assert status_of(method(made), b"x" * 1022).code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\x0a\x03\xff\xfe\xfd", id="not UTF-8"),
        pytest.param(b"\x0a\x05\xe2\x98", id="length beyond the end"),
        pytest.param(b"\x0a", id="no length"),
        pytest.param(b"\xff" * 20, id="endless varint"),
        pytest.param(b"\x0a\x04\xed\xa0\x80x", id="surrogate"),
    ],
)
def test_what_is_no_echo_request_is_internal(stub, message):
    assert status_of(raw_method(stub), message).code() == grpc.StatusCode.INTERNAL


def test_unknown_fields_are_no_failure(stub):
    unknown = b"\x10\x07" + b"\x1a\x02zz"  # field 2, a varint; field 3, bytes
    assert raw_method(stub)(unknown + encode("hi") + unknown, timeout=5)[:4] == encode("hi")


@pytest.mark.limit(120)
def test_4_mib_of_unknown_fields_is_refused_or_taken_but_harms_nothing(shared, stub):
    unknown = b"\x10\x07" * (LIMIT // 2)
    try:
        raw_method(stub)(unknown, timeout=60)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
    assert method(stub)(b"after", timeout=5) == b"after"
    assert shared.value("echod_grpc_buffered_bytes") == 0


def test_the_last_of_a_field_given_twice_counts(stub):
    assert raw_method(stub)(encode("first") + encode("last"), timeout=5) == encode("last")


def test_an_unknown_method_is_unimplemented(stub):
    for path in ("/muzz.Service/echo", "/muzz.Service/Nope", "/muzz.service/Echo", "/x.Y/Z", "/muzz.Service/Echo/"):
        error = status_of(method(stub, path), b"x")
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, path
        assert error.details(), path


# --- metadata ---


def test_metadata_of_every_kind_is_taken(stub):
    sent = (("plain", "value"), ("twice", "a"), ("twice", "b"), ("binary-bin", bytes(range(256))), ("empty", ""))
    assert method(stub)(b"x", metadata=sent, timeout=5) == b"x"


def test_metadata_near_the_limit_is_taken_and_beyond_it_refused(stub):
    assert method(stub)(b"x", metadata=(("big", "v" * 15000),), timeout=5) == b"x"
    error = status_of(method(stub), b"x", metadata=(("big", "v" * 17000),))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert method(stub)(b"x", timeout=5) == b"x"


def initial_metadata(made):
    _, call = method(made).with_call(b"x", timeout=5)
    return dict(call.initial_metadata())


def test_a_reply_names_the_instance_and_the_connection(shared):
    with channel(shared.grpc) as one, channel(shared.grpc) as two:
        first, again, other = initial_metadata(one), initial_metadata(one), initial_metadata(two)
    assert re.fullmatch("[0-9a-f]{16}", first["echod-instance"])
    assert first == again
    assert other["echod-instance"] == first["echod-instance"]
    assert other["echod-connection"] != first["echod-connection"]


def test_the_instance_can_be_given(serve):
    server = serve("--instance=0123456789abcdef")
    with channel(server.grpc) as made:
        assert initial_metadata(made)["echod-instance"] == "0123456789abcdef"


def test_two_servers_draw_different_instances(serve):
    with channel(serve().grpc) as one, channel(serve().grpc) as two:
        assert initial_metadata(one)["echod-instance"] != initial_metadata(two)["echod-instance"]


def test_naming_can_be_turned_off(serve):
    server = serve("--echo.identify=false")
    with channel(server.grpc) as made:
        assert not [name for name in initial_metadata(made) if name.startswith("echod-")]


# --- time ---


def test_a_deadline_ends_the_call_and_the_servers_work(serve):
    server = serve("--echo.delay=30s")
    with channel(server.grpc) as made:
        start = time.monotonic()
        assert status_of(method(made), b"x", timeout=0.3).code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 3
    server.wait_value(0, "echod_rpcs_in_flight")
    assert server.stop() < 5


def test_a_fixed_delay_is_kept(serve):
    server = serve("--echo.delay=200ms")
    with channel(server.grpc) as made:
        start = time.monotonic()
        assert method(made)(b"x", timeout=5) == b"x"
        assert 0.2 <= time.monotonic() - start < 2


def test_a_cancelled_call_ends_at_once(serve):
    server = serve("--echo.delay=30s")
    with channel(server.grpc) as made:
        future = method(made).future(b"x")
        server.wait_value(1, "echod_rpcs_in_flight")
        future.cancel()
        server.wait_value(0, "echod_rpcs_in_flight")
    assert server.value("failed_requests") == 1


# --- many ---


@pytest.mark.limit(120)
def test_1000_concurrent_calls_of_many_sizes(shared):
    chance = random.Random(1)
    sizes = [chance.choice((0, 1, 13, 1000, 16384, 70000)) for _ in range(1000)]
    with channel(shared.grpc) as made:
        echo = method(made)
        futures = [echo.future(bytes([97 + i % 26]) * size, timeout=60) for i, size in enumerate(sizes)]
        for i, (size, future) in enumerate(zip(sizes, futures)):
            assert future.result() == bytes([97 + i % 26]) * size


@pytest.mark.limit(120)
def test_ten_thousand_delayed_calls_at_once(serve):
    """A delay is a timer: all of them end together, and no thread was made for them."""
    server = serve("--echo.delay=3s", "--grpc.max-concurrent-streams=10000")
    with channel(server.grpc) as made:
        echo = method(made)
        start = time.monotonic()
        futures = [echo.future(b"x", timeout=90) for _ in range(10000)]
        server.wait_value(10000, "echod_rpcs_in_flight")
        threads = len(os.listdir(f"/proc/{server.pid}/task"))
        for future in futures:
            assert future.result() == b"x"
        took = time.monotonic() - start
    assert threads <= 5, f"{threads} threads"
    assert took < 60, f"{took} s: one after another?"


def test_many_channels_at_once(shared):
    def one(i):
        with channel(shared.grpc) as made:
            text = f"channel {i}".encode()
            return [method(made)(text, timeout=20) for _ in range(5)] == [text] * 5

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(64)))


def test_a_thousand_cancels_do_not_cost_the_connection(serve):
    """A healthy client that cancels a lot is no attacker."""
    server = serve("--echo.delay=10s")
    with channel(server.grpc) as made:
        for _ in range(12):
            futures = [method(made).future(b"x") for _ in range(100)]
            server.wait_value(100, "echod_rpcs_in_flight")
            for future in futures:
                future.cancel()
            server.wait_value(0, "echod_rpcs_in_flight")
    assert server.value("echod_connections_accepted_total", listener="grpc") == 1
    assert server.value("failed_requests") == 1200

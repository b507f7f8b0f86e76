"""The delay's law, read from the histogram as an operator would."""
import math
import pathlib
import sys
import time

import grpc
import pytest

from calls import channel, method

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import chance  # noqa: E402

CALLS = 4000


@pytest.mark.limit(90)
def test_a_uniform_delay_fills_the_buckets_as_it_must(serve):
    """U{0..4999} ms: shares at 0.5, 1, 2.5, 5 s are 10, 20, 50, 100 %, within three sigma."""
    server = serve("--echo.delay=uniform:0s,5s", "--grpc.max-concurrent-streams=10000")
    with channel(server.grpc) as made:
        echo = method(made)
        for future in [echo.future(b"x", timeout=60) for _ in range(CALLS)]:
            future.result()
    text = server.scrape()
    assert text.value("grpc_call_latency_seconds_count") == CALLS
    for edge, share in (("0.1", 0.02), ("0.25", 0.05), ("0.5", 0.1), ("1", 0.2), ("2.5", 0.5)):
        found = text.value("grpc_call_latency_seconds_bucket", le=edge)
        # A bucket's edge may be missed by what the timers overshoot, 10 ms of 5 s at most.
        slack = 3 * math.sqrt(CALLS * share * (1 - share)) + CALLS * 0.01 / 5
        assert abs(found - CALLS * share) <= slack, f"le={edge}: {found}, not {CALLS * share} +- {slack}"
    assert text.value("grpc_call_latency_seconds_bucket", le="10") == CALLS
    assert text.value("grpc_call_latency_seconds_bucket", le="5") >= CALLS * 0.99
    mean = text.value("grpc_call_latency_seconds_sum") / CALLS
    assert abs(mean - 2.5) < 3 * 5 / math.sqrt(12 * CALLS) + 0.02


@pytest.mark.parametrize("seed", [1, 18446744073709551615])
def test_a_seed_says_what_each_delay_will_be(serve, seed):
    """None comes early, and of the first hundred another order would bring one that does."""
    server = serve("--echo.delay=uniform:0s,40ms", f"--echo.seed={seed}")
    expected = chance.delays_ms(seed, 0, 40, 100)
    with channel(server.grpc) as made:
        echo = method(made)
        for delay_ms in expected:
            begun = time.monotonic()
            echo(b"x", timeout=60)
            assert time.monotonic() - begun >= delay_ms / 1000


def told_ns(server, count):
    """The delays of the next calls one by one, as their trailers have them."""
    told = []
    with channel(server.grpc) as made:
        echo = method(made)
        for _ in range(count):
            call = echo.future(b"x", timeout=60)
            assert call.result() == b"x"
            told.append(int(dict(call.trailing_metadata()).get("echod-delay-ns", 0)))
    return told


@pytest.mark.parametrize(
    "delay, expected",
    [
        ("3ms", lambda: [3000000] * 100),
        ("uniform:1ms,4ms", lambda: [ms * 10**6 for ms in chance.delays_ms(9, 1, 4, 100)]),
        ("150us:10,2ms:5,5ms:1", lambda: chance.weighted_ns(9, [(150000, 10), (2000000, 5), (5000000, 1)], 100)),
        (
            "p50=200us,p90=1ms,p99=8ms",
            lambda: chance.percentiles_ns(9, [(50, 200000), (90, 1000000), (99, 8000000)], 100),
        ),
    ],
)
def test_the_trailers_tell_the_delays_that_the_seed_foresaw(serve, delay, expected):
    assert told_ns(serve(f"--echo.delay={delay}", "--echo.seed=9"), 100) == expected()


@pytest.mark.parametrize(
    "delay, mean, median, deviation",
    [
        ("normal:2ms,500us", 0.002, 0.002, 0.0005),
        ("exponential:1ms", 0.001, 0.001 * math.log(2), 0.001),
        # Half of it is drawn again: what is left has another mean than the one that was asked for.
        ("normal:0s,2ms", 0.002 * math.sqrt(2 / math.pi), 0.002 * 0.67449, 0.002 * math.sqrt(1 - 2 / math.pi)),
    ],
)
def test_delays_are_spread_as_they_are_said_to_be(serve, delay, mean, median, deviation):
    count = 400
    server = serve(f"--echo.delay={delay}", "--echo.seed=3")
    told = [ns / 1e9 for ns in told_ns(server, count)]
    assert abs(sum(told) / count - mean) < 3 * deviation / math.sqrt(count)
    assert abs(sum(each < median for each in told) - count / 2) < 3 * math.sqrt(count) / 2
    assert len(set(told)) == count and min(told) > 0
    for statistic, seconds in (("mean", mean), ("p50", median)):
        found = server.value("echod_echo_delay_expected_seconds", statistic=statistic)
        assert found == pytest.approx(seconds, rel=1e-4)


def test_the_time_of_a_call_is_its_delay_and_the_overhead(serve):
    """And nothing else: the two sums add up to the latency's, of every call that ended."""
    server = serve("--echo.delay=uniform:0s,20ms", "--echo.seed=9", "--echo.status=INTERNAL:10")
    told = chance.delays_ms(9, 0, 20, 200)
    with channel(server.grpc) as made:
        echo = method(made)
        calls = [echo.future(b"x", timeout=60) for _ in told]
        for call in calls:
            call.exception()
    text = server.scrape()
    assert text.value("echod_delays_injected_total") == sum(ms > 0 for ms in told)
    assert text.value("echod_rpc_delay_seconds_total") == pytest.approx(sum(told) / 1000)
    assert text.value("echod_rpc_overhead_seconds_count") == text.value("grpc_call_latency_seconds_count") == len(told)
    overhead = text.value("echod_rpc_overhead_seconds_sum")
    assert text.value("grpc_call_latency_seconds_sum") == pytest.approx(sum(told) / 1000 + overhead)
    assert overhead > 0


def test_of_a_call_that_does_not_wait_to_the_end_only_what_it_waited_counts(serve):
    server = serve("--echo.delay=1h")
    with channel(server.grpc) as made, pytest.raises(grpc.RpcError):
        method(made)(b"x", timeout=0.2)
    server.wait_value(1, "grpc_call_latency_seconds_count")
    text = server.scrape()
    assert 0.1 < text.value("echod_rpc_delay_seconds_total") <= text.value("grpc_call_latency_seconds_sum")
    assert text.value("echod_delays_injected_total") == 1

"""The delay's law, read from the histogram as an operator would."""
import math
import pathlib
import sys
import time

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

"""What a load run reports, held against what is known to have happened."""
import signal
import time

import pytest

from daemon import Server, until
from load import Run, quantile_ms, status


def test_a_fixed_delay_is_what_is_measured(serve, echod, tmp_path):
    """Every quantile of calls that take 50 ms lies at 50 ms and something; nothing is lost in counting."""
    server = serve("--echo.delay=50ms")
    with Run(echod, tmp_path, "--rate=100", "--duration=3s", "--connections=2", server.grpc) as run:
        result, printed, code = run.finish()
    assert code == 0, printed
    assert result["calls"]["due"] == result["calls"]["started"] == status(result, "OK") == 300
    assert server.value("total_requests") == server.value("successful_requests") == 300
    for histogram in ("latency_ok", "service_ok"):
        assert result["summary"][histogram]["min_ns"] >= 50e6 * (1 - 1e-9)
        assert 50 <= quantile_ms(result, histogram, "p50") < 150
        assert result["histograms"][histogram]["count"] == 300
    assert quantile_ms(result, "latency_ok", "p50") >= quantile_ms(result, "service_ok", "p50") * 0.99


def test_a_law_of_delays_is_found_again(serve, echod, tmp_path):
    """Delays are never shorter than drawn; how much longer they seem is the machine's affair."""
    server = serve("--echo.delay=uniform:0s,200ms", "--echo.seed=7")
    with Run(echod, tmp_path, "--rate=400", "--duration=5s", "--connections=4", server.grpc) as run:
        result, printed, code = run.finish()
    assert (code, status(result, "OK")) == (0, 2000), printed
    # 2000 draws: each share is within 6 standard deviations of the law.
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        spread = 6 * (share * (1 - share) / 2000) ** 0.5
        assert quantile_ms(result, "service_ok", name) > 200 * (share - spread)
    mean = result["histograms"]["service_ok"]["sum_ns"] / 2000 / 1e6
    assert 90 < mean < 250, mean


def test_an_easy_rate_is_offered_and_achieved(serve, echod, tmp_path):
    server = serve()
    with Run(echod, tmp_path, "--rate=200", "--duration=3s", server.grpc) as run:
        result, printed, code = run.finish()
    assert code == 0, printed
    summary = result["summary"]
    assert result["calls"]["due"] == status(result, "OK") == 600
    assert summary["offered_per_second"] == pytest.approx(200, rel=0.001)
    assert summary["achieved_per_second"] == pytest.approx(200, rel=0.05)
    assert result["measured"]["offered_ns"] == pytest.approx(3e9, rel=0.01)


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_arrivals_come_as_planned(serve, echod, tmp_path, arrival):
    """A count ends a run as exactly as a duration does."""
    server = serve()
    with Run(
        echod, tmp_path, "--rate=300", f"--arrival={arrival}", "--seed=5", "--count=450", server.grpc
    ) as run:
        result, printed, code = run.finish()
    assert (code, result["calls"]["due"], status(result, "OK")) == (0, 450, 450), printed
    assert server.value("total_requests") == 450
    # By 450 independent gaps the time is 1.5 s, within 6 standard deviations of 1/300 s * sqrt(450).
    assert result["measured"]["offered_ns"] == pytest.approx(1.5e9, rel=0.3 if arrival == "poisson" else 0.01)


@pytest.fixture(scope="module")
def stalled(echod, tmp_path_factory):
    """A run of 6 s at 200/s and at most 5 at a time, whose server stands still for 1.5 s of it."""
    directory = tmp_path_factory.mktemp("stalled")
    server = Server(echod, (), directory / "server.log")
    try:
        server.wait_ready()
        with Run(
            echod, directory, "--rate=200", "--duration=6s", "--max-in-flight=5", "--timeout=30s", server.grpc
        ) as run:
            until(lambda: server.value("total_requests") >= 200, "load", 20)
            server.send_signal(signal.SIGSTOP)
            try:
                time.sleep(1.5)
            finally:
                server.send_signal(signal.SIGCONT)
            result, printed, code = run.finish()
        assert code == 0, printed
        yield server, result, printed
    finally:
        server.finish()


def test_a_stall_is_seen_from_the_intended_start_and_not_from_the_sending(stalled):
    server, result, _ = stalled
    # 300 of 1200 calls were due in the stall: from 1.5 s evenly down to nothing. 5 were in flight.
    assert quantile_ms(result, "latency_ok", "p99") > 1000
    assert quantile_ms(result, "latency_ok", "p90") > 300
    assert quantile_ms(result, "service_ok", "p99") < quantile_ms(result, "latency_ok", "p99") / 2
    assert result["summary"]["latency_ok"]["max_ns"] >= 1.4e9
    longest = [count for index, count in result["histograms"]["service_ok"]["buckets"] if low(index) > 1e9]
    assert 1 <= sum(longest) <= 5
    assert result["summary"]["coordinated_omission"] is True
    assert server.value("total_requests") == 1200


def late(result):
    """Of a machine that is busy with other things: the generator may have been late itself, which goes before."""
    return result["summary"]["lag"]["p99_ns"] > 1e6 or result["summary"]["cpu_share"] > 0.95


def low(index, bits=7):
    shift = max(0, (index >> bits) - 1)
    return index - (shift << bits) << shift


def test_a_stall_defers_calls_and_loses_none(stalled):
    _, result, _ = stalled
    calls = result["calls"]
    assert (calls["due"], calls["never_sent"], calls["unfinished"]) == (1200, 0, 0)
    assert status(result, "OK") == 1200
    assert 200 < calls["deferred"] < 900
    assert result["summary"]["limited_by"] in ("max in flight", "client CPU" if late(result) else None)
    assert result["timeline"]["longest_gap_ns"] >= 1.4e9
    assert result["histograms"]["lag"]["count"] == 1200 - calls["deferred"]


def test_a_stall_is_told_in_words(stalled):
    _, result, printed = stalled
    assert f"limited by: {result['summary']['limited_by']}" in printed
    assert f"{result['calls']['deferred']} deferred" in " ".join(printed.split())
    assert "coordinated omission" in " ".join(printed.split())


def test_calls_that_never_end_are_given_up_and_counted(serve, echod, tmp_path):
    """A server that hears and never answers: the run ends when its grace does."""
    server = serve("--echo.delay=1h", "--shutdown.grace=0s")
    begin = time.monotonic()
    with Run(
        echod, tmp_path, "--rate=100", "--duration=1s", "--grace=500ms", "--timeout=1h", "--max-in-flight=30",
        server.grpc,
    ) as run:
        result, printed, code = run.finish()
    calls = result["calls"]
    assert time.monotonic() - begin < 20
    assert (calls["due"], calls["started"], calls["done"]) == (100, 30, 0), printed
    assert (calls["unfinished"], calls["never_sent"]) == (30, 70)
    assert code == 1

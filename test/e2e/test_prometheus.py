"""Debian's Prometheus scrapes all three formats, and finds in each what the client measured."""
import contextlib
import re

import pytest

import families
import runs
from daemon import Server
from load import Run
from prometheus import Prometheus

# Long enough that what the network and a busy machine add is little beside it.
DELAY = "--echo.delay=p50=60ms,p90=200ms,p99=600ms"
LOAD = ("--rate=500", "--duration=3s", "--connections=2", "--timeout=20s")
EVERY = 0.4
QUANTILES = (0.5, 0.9, 0.99)
RANK = 0.005  # which call of a few is the quantile is a matter of definition

# name -> (flags of echod, flags of Prometheus, Content-Type it settles on)
FORMATS = {
    "text": ((), (), "text/plain"),
    "openmetrics": (("--web.enable-openmetrics",), (), "application/openmetrics-text"),
    "protobuf": (
        ("--web.enable-openmetrics",), ("--enable-feature=native-histograms",), "application/vnd.google.protobuf",
    ),
}  # fmt: skip

CONFIG = """
global:
  scrape_interval: {interval_ms}ms
  scrape_timeout: {interval_ms}ms
scrape_configs:
  - job_name: echod
    static_configs: [{{targets: ["{target}"]}}]
"""


class Scraped:
    """A server, the run that it served, and the Prometheus that looked on until it had seen the end."""

    def __init__(self, server, prometheus):
        self.server, self.prometheus = server, prometheus
        self.result = self.truth = None

    def settle(self, run):
        self.result, printed, code = run.finish()
        assert code == 0, printed
        calls = self.result["calls"]["done"]
        done = "successful_requests + failed_requests"
        self.prometheus.wait(lambda: self.prometheus.value(done) == calls, "a scrape behind the last call")
        self.truth = self.server.scrape()


def start(stack, echod, directory, name):
    serve_flags, prometheus_flags, _ = FORMATS[name]
    server = Server(echod, [DELAY, *serve_flags], directory / "server.log")
    stack.callback(server.finish)
    server.wait_ready()
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(interval_ms=int(EVERY * 1000), target=server.web))
    prometheus = stack.enter_context(Prometheus(config, directory, "--log.level=debug", *prometheus_flags))
    return Scraped(server, prometheus)


@pytest.fixture(scope="module")
def scraped(echod, tmp_path_factory):
    """Format -> Scraped; all three at once, as it is waiting that they do."""
    with contextlib.ExitStack() as stack:
        all_of_them, running = {}, {}
        for name in FORMATS:
            all_of_them[name] = start(stack, echod, tmp_path_factory.mktemp(name), name)
        for each in all_of_them.values():
            each.prometheus.wait(lambda each=each: each.prometheus.value("up") == 1, "the first scrape")
        for name, each in all_of_them.items():
            directory = tmp_path_factory.mktemp(f"run-{name}")
            running[name] = stack.enter_context(Run(echod, directory, *LOAD, each.server.grpc))
        for name, each in all_of_them.items():
            each.settle(running[name])
        yield all_of_them


def between(result, low, high):
    """What lies between these quantiles of the service times that the client measured, in seconds."""
    values = runs.values_of(result["histograms"]["service_ok"])
    return runs.quantile(values, low) / 1e9, runs.quantile(values, high) / 1e9


def later(each):
    """How much later than the server a client may see a call end, but for one call in two hundred."""
    times = each.result["histograms"]["service_ok"]
    mean = (times["sum_ns"] / 1e9 - each.truth.value("grpc_call_latency_seconds_sum")) / times["count"]
    assert mean >= 0
    # On a machine that is busy with other things it is any share of all that was lost there.
    return 4 * mean + 0.01 if mean < 0.005 else mean / RANK


def agrees(found, each, quantile, edges):
    """In the bucket of the client's own quantile. It sees each call last a little longer than the server does."""
    least, most = between(each.result, quantile - RANK, quantile + RANK)
    low = max((edge for edge in edges if edge < least - later(each)), default=0)
    high = min(edge for edge in edges if edge >= most)
    assert low <= found <= high, f"p{100 * quantile:g} is {found}: the client has {least} to {most} s"


def test_every_scrape_succeeds(scraped):
    for name, each in scraped.items():
        prometheus = each.prometheus
        (target,) = prometheus.get("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", ""), name
        assert prometheus.value("sum_over_time(up[1h])") >= 4
        told = prometheus.log.read_text()
        assert not re.search(r"level=(?:warn|error)", told), told
        # What goes wrong with a scrape is told at the level of debug alone; a busy machine's pauses do.
        failed = r"component=.?scrape.*\berr=|Scrape failed|Append failed|Error on ingesting"
        wrong = [line for line in told.splitlines() if re.search(failed, line)]
        assert all("context deadline exceeded" in line for line in wrong), told


def test_each_format_was_scraped(scraped):
    """By what only one of them has: native histograms, and `le` that is written as a float."""
    for name, each in scraped.items():
        result = each.prometheus.query("echod_rpc_duration_seconds")
        assert len(result) == (name == "protobuf"), name
        edges = {row["metric"]["le"] for row in each.prometheus.query("grpc_call_latency_seconds_bucket")}
        assert ("5" in edges, "5.0" in edges) == (name == "text", name != "text"), edges


@pytest.mark.parametrize("name", FORMATS)
def test_it_stores_what_the_page_says(scraped, name):
    """Each counter and each bucket that stands still by now, under the name that it has in text."""
    each = scraped[name]
    for metric in (
        "total_requests", "successful_requests", "failed_requests", "grpc_calls_total", "grpc_server_handled_total",
        "grpc_call_latency_seconds_bucket", "grpc_call_latency_seconds_sum", "grpc_call_latency_seconds_count",
        "grpc_server_handling_seconds_bucket", "grpc_server_handling_seconds_sum",
    ):  # fmt: skip
        stored = {}
        for row in each.prometheus.query(metric):
            labels = {k: v for k, v in row["metric"].items() if k not in ("__name__", "job", "instance")}
            if "le" in labels:
                labels["le"] = families.go_format(families.number(labels["le"]))
            stored[tuple(sorted(labels.items()))] = float(row["value"][1])
        assert stored and stored == each.truth.samples(metric), metric


@pytest.mark.parametrize("name", FORMATS)
def test_quantiles_agree_with_the_client(scraped, name):
    each = scraped[name]
    for metric in ("grpc_call_latency_seconds", "grpc_server_handling_seconds"):
        edges = sorted({families.number(dict(labels)["le"]) for labels in each.truth.samples(f"{metric}_bucket")})
        for quantile in QUANTILES:
            found = each.prometheus.value(f"histogram_quantile({quantile}, sum by (le) ({metric}_bucket))")
            agrees(found, each, quantile, edges)


def test_a_native_histogram_is_closer_still(scraped):
    """Within one of its buckets, of which each ends 4.4 % above where it begins."""
    each = scraped["protobuf"]
    edges = [2 ** (index / 16) for index in range(-320, 96)]
    for quantile in QUANTILES:
        found = each.prometheus.value(f"histogram_quantile({quantile}, echod_rpc_duration_seconds)")
        agrees(found, each, quantile, edges)
    count = each.prometheus.value("histogram_count(echod_rpc_duration_seconds)")
    assert count == each.result["calls"]["done"]
    total = each.prometheus.value("histogram_sum(echod_rpc_duration_seconds)")
    assert total == pytest.approx(each.truth.value("grpc_call_latency_seconds_sum"), rel=1e-9)
    rate = each.prometheus.value("histogram_quantile(0.9, rate(echod_rpc_duration_seconds[1h]))")
    agrees(rate, each, 0.9, edges)

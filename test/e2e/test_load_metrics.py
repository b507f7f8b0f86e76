"""The metrics of a load run, scraped while it goes on: they are the report's numbers."""
import contextlib
import pathlib
import re
import socket
import subprocess
import time

import pytest

import exposition
import http1
from daemon import unused_port, until
from load import Run, status

METHOD = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}
CODES = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
]


def started(text):
    return text.value("grpc_client_started_total", **METHOD)


def handled(text, code=None):
    if code:
        return text.value("grpc_client_handled_total", grpc_code=code, **METHOD)
    return sum(handled(text, each) for each in CODES)


def balanced(text):
    """What must hold in every scrape of a run without a warm-up."""
    in_flight = text.value("echod_client_in_flight")
    ok = text.value("grpc_calls_total", method="Echo", status="success")
    failed = text.value("grpc_calls_total", method="Echo", status="fail")
    assert started(text) == handled(text) + in_flight + text.value("echod_client_unfinished_total")
    assert ok + text.value("echod_client_mismatched_total") == handled(text, "OK")
    assert ok + failed == text.value("grpc_call_latency_seconds_count") == handled(text)
    assert text.value("grpc_client_handling_seconds_count", **METHOD) == handled(text)
    assert text.value("echod_client_due_total") >= started(text)
    assert text.value("echod_client_latency_seconds_count", status="success") == ok
    return ok


def test_a_scrape_after_the_last_call_is_the_report(serve, echod, tmp_path):
    """The schedule ends with a pause: what is scraped in it is final."""
    server = serve()
    with Run(
        echod, tmp_path, "--rate=200,0/2s", "--connections=3", "--timeout=30s", server.grpc, web=unused_port()
    ) as run:
        text = run.until_scraped(lambda text: handled(text) == 400, "the pause")
        result, printed, code = run.finish()
    assert code == 0, printed
    calls = result["calls"]
    balanced(text)
    assert started(text) == calls["started"] == 400
    assert handled(text, "OK") == status(result, "OK") == 400
    assert text.value("echod_client_due_total") == calls["due"]
    assert text.value("echod_client_deferred_total") == calls["deferred"]
    assert text.value("echod_client_attempts_total") == calls["attempts"]
    assert text.value("echod_client_stream_waits_total") == calls["stream_waits"]
    assert text.value("echod_client_connections_opened_total") == result["connections"]["opened"] == 3
    for metric, histogram in (
        ("echod_client_latency_seconds", "latency_ok"), ("echod_client_service_seconds", "service_ok"),
    ):
        assert text.value(f"{metric}_count", status="success") == result["histograms"][histogram]["count"]
        total = text.value(f"{metric}_sum", status="success")
        assert total == pytest.approx(result["histograms"][histogram]["sum_ns"] / 1e9, rel=1e-6)
    assert text.value("echod_client_lag_seconds_count") == result["histograms"]["lag"]["count"]
    assert text.value("echod_client_network_receive_bytes_total") == pytest.approx(
        result["measured"]["bytes_in"], abs=1000
    )
    assert text.value("echod_client_network_transmit_bytes_total") == pytest.approx(
        result["measured"]["bytes_out"], abs=1000
    )


def test_scrapes_of_a_run_are_whole_and_never_fall(serve, echod, tmp_path):
    server = serve("--echo.delay=uniform:0s,20ms")
    with Run(echod, tmp_path, "--duration=60s", "--concurrency=7", server.grpc, web=unused_port()) as run:
        before = run.until_scraped(lambda text: True, "the first scrape")
        for _ in range(20):
            after = run.until_scraped(lambda text: started(text) > started(before), "progress")
            assert exposition.regressions(before, after) == []
            assert before.series() == after.series()
            balanced(after)
            assert after.value("echod_client_in_flight") <= 7
            before = after
        run.interrupt()
        result, printed, code = run.finish()
    assert code == 130, printed
    assert result["calls"]["started"] >= started(before)


def test_promtool_has_no_objection(serve, echod, tmp_path):
    server = serve()
    with Run(echod, tmp_path, "--rate=100", "--duration=60s", server.grpc, web=unused_port()) as run:
        text = run.until_scraped(lambda text: started(text) > 0, "a call")
        assert [handled(text, code) for code in CODES[1:]] == [0] * 16
        body = http1.get(run.web).body
        run.interrupt()
        run.finish()
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_failures_of_all_kinds_are_told_apart(serve, echod, tmp_path):
    """Calls that outlive their deadline, and then a server that is gone."""
    server = serve("--echo.delay=10s", exit_code=-9)
    with Run(
        echod, tmp_path, "--rate=50", "--duration=60s", "--timeout=200ms", server.grpc, web=unused_port()
    ) as run:
        run.until_scraped(lambda text: handled(text, "DeadlineExceeded") > 10, "deadlines")
        server.process.kill()
        server.wait()
        text = run.until_scraped(
            lambda text: text.value("echod_client_without_server_total") > 10, "calls without a server"
        )
        run.interrupt()
        result, printed, _ = run.finish()
    assert balanced(text) == 0
    assert handled(text, "Unavailable") >= text.value("echod_client_without_server_total")
    assert text.value("echod_client_connects_failed_total") > 0
    assert text.value("echod_client_latency_seconds_count", status="fail") == handled(text) - text.value(
        "echod_client_without_server_total"
    )
    assert result["never_found"]["calls"] >= text.value("echod_client_without_server_total"), printed


def test_a_warm_up_is_not_among_the_calls(serve, echod, tmp_path):
    server = serve()
    with Run(
        echod, tmp_path, "--rate=200,0/2s", "--warmup=1s", "--timeout=30s", server.grpc, web=unused_port()
    ) as run:
        early = run.until_scraped(lambda text: text.value("echod_client_warmup_calls_total") > 0, "the warm-up")
        late = run.until_scraped(lambda text: handled(text) == 400, "the pause")
        result, printed, code = run.finish()
    assert code == 0, printed
    assert started(early) == handled(early) == 0 or early.value("echod_client_warmup_calls_total") >= 150
    assert late.value("echod_client_warmup_calls_total") == result["measured"]["warmup_calls"] > 0
    assert started(late) == result["calls"]["started"] == 400
    assert exposition.regressions(early, late) == []


def test_goodbyes_are_counted_by_their_code(serve, echod, tmp_path):
    server = serve("--grpc.max-connection-age=300ms")
    with Run(echod, tmp_path, "--rate=100", "--duration=60s", server.grpc, web=unused_port()) as run:
        text = run.until_scraped(
            lambda text: text.value("echod_client_goaway_received_total", error_code="NO_ERROR") >= 2, "goodbyes"
        )
        run.interrupt()
        result, _, _ = run.finish()
    assert text.value("echod_client_connections_opened_total") >= 2
    assert text.value("echod_client_connections_lost_total") == 0
    assert handled(text) == handled(text, "OK")
    assert result["connections"]["goaways"]["NO_ERROR"] >= 2


@pytest.mark.parametrize("request_text", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 4000],
                         ids=["silent", "half a request", "unread answers"])
def test_a_scraper_that_does_not_go_on_holds_up_no_end(serve, echod, tmp_path, request_text):
    server = serve()
    with Run(echod, tmp_path, "--rate=100", "--duration=1s", server.grpc, web=unused_port()) as run:
        run.until_scraped(lambda text: started(text) > 0, "a call")
        with socket.create_connection(("127.0.0.1", run.web)) as visitor:
            visitor.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                visitor.send(request_text)
            begin = time.monotonic()
            _, printed, code = run.finish()
    assert code == 0, printed
    assert time.monotonic() - begin < 7  # and not the 10 s that a scrape may take


def test_the_clients_families_are_documented_as_they_are(serve, echod, tmp_path):
    server = serve()
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \| (.*?)\s?\| (.+) \|$", page.partition("\n## The client's\n")[2], re.M
    )
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows}
    with Run(
        echod, tmp_path, "--rate=100", "--duration=60s", "--warmup=100ms", server.grpc, web=unused_port()
    ) as run:
        text = run.until_scraped(lambda text: started(text) > 0, "a call")
        run.interrupt()
        run.finish()
    scraped = {
        family.name: (family.type, {label for _, pairs in family.samples for label, _ in pairs} - {"le"}, family.help)
        for family in text.families.values()
        if not family.name.startswith("process_") and family.name != "echod_build_info"
    }
    assert scraped == documented


def test_a_single_call_counts_its_connections_only(serve, echod, run):
    server = serve("--echo.delay=1s")
    port = unused_port()
    with subprocess.Popen(
        [echod, "client", f"--web.listen-address=127.0.0.1:{port}", server.grpc],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as client:
        def scrape():
            try:
                return exposition.parse(http1.get(port).body)
            except OSError:
                assert client.poll() is None
                return None

        text = until(scrape, "a scrape")
        assert text.value("echod_client_connects_failed_total") == 0
        assert text.samples("grpc_client_started_total") == {}
        assert client.wait(20) == 0

"""Numbers that cannot lie: what holds in every scrape, whoever else scrapes, and what faults add up to exactly."""
import math
import socket
import subprocess
import threading
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import exposition
import http1
import runs
from calls import channel, encode, frame, method
from load import Run, statuses

ECHO = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PROTOBUF = exposition.PROTOBUF_TYPE.replace(" ", "")


def code_of(status):
    """UNAVAILABLE -> Unavailable, as in grpc_code."""
    names = {"OK": "OK", "CANCELLED": "Canceled"}
    return names.get(status) or "".join(word.capitalize() for word in status.split("_"))


class Ledger:
    """What a scrape says of Echo; whatever the format, and held against each rule that joins two numbers."""

    def __init__(self, text):
        self.text = text
        self.total, self.ok, self.failed, self.in_flight = (
            text.value(name)
            for name in ("total_requests", "successful_requests", "failed_requests", "echod_rpcs_in_flight")
        )
        self.handled = {}
        for labels, value in text.samples("grpc_server_handled_total").items():
            pairs = dict(labels)
            if pairs["grpc_method"] == "Echo" and value:
                self.handled[pairs["grpc_code"]] = value
        self.injected = {
            (dict(labels)["kind"], dict(labels)["code"]): value
            for labels, value in text.samples("echod_faults_injected_total").items()
            if value
        }

    def check(self):
        text, done = self.text, self.ok + self.failed
        assert self.total - done == self.in_flight >= 0
        assert text.value("grpc_server_started_total", **ECHO) == self.total
        assert sum(self.handled.values()) == done
        assert self.handled.get("OK", 0) == self.ok
        assert text.value("grpc_calls_total", method="Echo", status="success") == self.ok
        assert text.value("grpc_calls_total", method="Echo", status="fail") == self.failed
        for histogram, labels in (
            ("grpc_call_latency_seconds", {}), ("grpc_server_handling_seconds", ECHO),
            ("echod_rpc_overhead_seconds", {}),
        ):  # fmt: skip
            assert text.value(f"{histogram}_count", **labels) == done, histogram
        if "echod_rpc_duration_seconds" in text.families:
            assert text.value("echod_rpc_duration_seconds_count") == done
        assert exposition.impossible_sums(text) == []
        innocent = text.value("echod_fault_calls_taken_along_total", fault="none")
        assert sum(self.injected.values()) + innocent <= self.failed + self.in_flight


def at_rest(server):
    ledger = Ledger(server.scrape())
    ledger.check()
    assert ledger.in_flight == 0
    return ledger


def agree(ledger, result):
    """Server and client have seen the same, to the last call."""
    assert result["calls"]["done"] == result["calls"]["started"] == ledger.total
    assert {code_of(status): calls for status, calls in statuses(result).items()} == ledger.handled


def load(echod, tmp_path, server, *flags, timeout=50):
    with Run(echod, tmp_path, *flags, server.grpc) as run:
        result, printed, _ = run.finish(timeout)
    assert result["calls"]["unfinished"] == result["calls"]["never_sent"] == 0, printed
    return result


# --- eight scrapers at once --------------------------------------------------------


class Scraper(threading.Thread):
    """Scrapes again and again in one way, and keeps what it got. Judging it would slow it down."""

    def __init__(self, port, accept, gzip=False, slow=False):
        super().__init__()
        self.port, self.slow = port, slow
        self.headers = [("Accept", accept)] + ([("Accept-Encoding", "gzip")] if gzip else [])
        self.answers, self.over, self.broken = [], threading.Event(), None

    def run(self):
        try:
            while not self.over.is_set() and len(self.answers) < 15:
                self.answers.append(self.once())
                self.over.wait(0.05)
        except BaseException as error:
            self.broken = error

    def once(self):
        with http1.Connection(self.port) as connection:
            if self.slow:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send(http1.request("GET", "/metrics", headers=self.headers))
            if self.slow:
                time.sleep(0.3)
            return connection.answer()

    def finish(self):
        self.over.set()
        self.join()
        assert not self.broken, self.broken
        return [exposition.read(answer) for answer in self.answers]


def scrapers(port):
    return [
        Scraper(port, "*/*"), Scraper(port, "*/*", gzip=True), Scraper(port, OPENMETRICS),
        Scraper(port, OPENMETRICS, gzip=True), Scraper(port, PROTOBUF), Scraper(port, PROTOBUF, gzip=True),
        Scraper(port, "*/*", slow=True), Scraper(port, PROTOBUF, slow=True),
    ]  # fmt: skip


def p99(result, bins):
    """Of the calls that were due in these seconds of the run, in seconds."""
    values = [
        runs.bounds(index, result["series"]["bits"])[1]
        for one in result["series"]["bins"][bins]
        for index, n in one["latency"]["buckets"]
        for _ in range(n)
    ]
    return runs.quantile(values, 0.99) / 1e9


def test_eight_scrapers_at_once_see_the_truth(serve, echod, tmp_path):
    """Each scrape is true in itself, none falls behind the one before, and calls do not feel it."""
    faults = "--echo.status=UNAVAILABLE:5,INTERNAL:1"
    server = serve("--web.enable-openmetrics", "--echo.delay=exponential:10ms", faults)
    begin = server.scrape()
    with Run(echod, tmp_path, "--rate=1500", "--duration=4s", "--connections=4", server.grpc) as run:
        time.sleep(2)
        storm = scrapers(server.web_port)
        for scraper in storm:
            scraper.start()
        result, printed, _ = run.finish()
    seen = [scraper.finish() for scraper in storm]
    end = at_rest(server)
    agree(end, result)
    assert len(end.handled) == 3 and result["calls"]["unfinished"] == 0, printed
    # What the client measured is the server's time and the way there and back.
    client = sum(result["histograms"][name]["sum_ns"] for name in ("service_ok", "service_failed")) / 1e9
    delayed = end.text.value("echod_rpc_delay_seconds_total")
    assert delayed <= end.text.value("grpc_call_latency_seconds_sum") <= client
    for scrapes in seen:
        assert len(scrapes) >= 3
        for text in scrapes:
            Ledger(text).check()
        for before, after in zip(scrapes, scrapes[1:]):
            assert exposition.regressions(before, after) == []
            assert before.series() == after.series()
    assert any(Ledger(scrapes[0]).in_flight for scrapes in seen), "the load was over before they came"
    for text in seen[0][-1], seen[1][-1]:
        assert text.series() == begin.series() == end.text.series()
    formats = [set(scrapes[-1].numbers()) for scrapes in seen[:6:2]]
    native = {(f"echod_rpc_duration_seconds{part}", ()) for part in ("_sum", "_count")}
    assert formats[0] == formats[1] == formats[2] - native and native <= formats[2]
    assert p99(result, slice(2, 4)) <= 3 * p99(result, slice(0, 2)) + 0.25


def test_the_three_formats_say_the_same(serve, echod, tmp_path):
    server = serve("--web.enable-openmetrics", "--echo.status=UNAVAILABLE:10")
    load(echod, tmp_path, server, "--count=500", "--concurrency=5")
    texts = {accept: exposition.read(server.get(Accept=accept)) for accept in ("*/*", OPENMETRICS, PROTOBUF)}
    moving = tuple(f"echod_{part}_" for part in ("network", "event_loop", "metrics_http", "connections", "exposition"))

    def still(text):
        return {key: value for key, value in text.numbers().items() if not key[0].startswith(("process_", *moving))}

    plain = still(texts["*/*"])
    assert len(plain) > 100 and plain == still(texts[OPENMETRICS])
    assert plain.items() <= still(texts[PROTOBUF]).items()
    for name, family in texts["*/*"].families.items():
        for other in texts[OPENMETRICS], texts[PROTOBUF]:
            there = other.families.get(name) or other.families[name.removesuffix("_total")]
            assert there.help == family.help
            assert there.type == family.type or (there.type, family.type) == ("unknown", "counter")


def test_another_strict_reader_takes_the_page_too(serve):
    """With an exemplar, in a bucket that is not the first: both must find it where we do."""
    server = serve("--web.enable-openmetrics", "--echo.delay=30ms")
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with channel(server.grpc) as made:
        method(made)(b"x", timeout=10, metadata=[("traceparent", f"00-{trace}-{span}-01")])
    answer = server.get(Accept=OPENMETRICS)
    ours = exposition.read(answer)
    theirs = list(text_string_to_metric_families(answer.body.decode()))
    assert [family.name for family in theirs] == list(ours.families)
    read = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in theirs for sample in family.samples
    }
    assert {key: value for family in ours.families.values() for key, value in family.samples.items()} == read
    seen = {sample.name: sample.exemplar for family in theirs for sample in family.samples if sample.exemplar}
    assert seen
    for family in ours.families.values():
        for (name, _), exemplar in family.exemplars.items():
            assert exemplar.labels == tuple(seen[name].labels.items()) == (("trace_id", trace), ("span_id", span))
            assert exemplar.value == seen[name].value
            assert abs(exemplar.timestamp - time.time()) < 30
    native = exposition.read(server.get(Accept=PROTOBUF)).families["echod_rpc_duration_seconds"].natives[()]
    assert [dict(exemplar.labels)["trace_id"] for exemplar in native.exemplars] == [trace]


# --- faults, to the last call ------------------------------------------------------


def test_every_fiftieth_call_fails_exactly(serve, echod, tmp_path):
    calls = 50_000
    server = serve("--echo.status=UNAVAILABLE:2", "--echo.fault-mode=every-nth")
    result = load(echod, tmp_path, server, f"--count={calls}", "--concurrency=100")
    ledger = at_rest(server)
    agree(ledger, result)
    assert ledger.failed == calls / 50
    assert ledger.handled == {"OK": calls - calls / 50, "Unavailable": calls / 50}
    assert ledger.injected == {("status", "Unavailable"): calls / 50}
    assert statuses(result) == {"OK": calls - calls // 50, "UNAVAILABLE": calls // 50}
    ratio = ledger.text.value("echod_fault_probability_ratio", kind="status", code="Unavailable")
    assert ratio == 0.02


@pytest.mark.parametrize("calls", [999, 1000, 1001])
def test_shares_that_do_not_divide_are_rounded_down(serve, echod, tmp_path, calls):
    """0.3 % of 999 is 2, of 1000 is 3; a whole percent beside it has its own account."""
    server = serve("--echo.status=UNAVAILABLE:0.3,INTERNAL:1", "--echo.fault-mode=every-nth")
    result = load(echod, tmp_path, server, f"--count={calls}", "--concurrency=7")
    ledger = at_rest(server)
    agree(ledger, result)
    assert ledger.injected[("status", "Unavailable")] in (calls * 3 // 1000, calls * 3 // 1000 - 1)
    assert ledger.injected[("status", "Internal")] in (calls // 100, calls // 100 - 1)


def test_random_faults_keep_to_their_shares(serve, echod, tmp_path):
    calls = 20_000
    server = serve("--echo.status=UNAVAILABLE:10,ABORTED:1", "--echo.seed=4")
    result = load(echod, tmp_path, server, f"--count={calls}", "--concurrency=50")
    ledger = at_rest(server)
    agree(ledger, result)
    for code, share in (("Unavailable", 0.1), ("Aborted", 0.01)):
        assert ledger.injected[("status", code)] == ledger.handled[code]
        assert abs(ledger.handled[code] - calls * share) <= 3 * math.sqrt(calls * share * (1 - share))


def test_faults_of_every_kind_at_once_are_accounted_for(serve, echod, tmp_path):
    """Both ends count the same for each of them; all but `close`, which takes others along."""
    server = serve(
        "--echo.status=RESOURCE_EXHAUSTED:2,DATA_LOSS:0.5", "--echo.abort=reset:2,truncate:2,hang:0.5",
        "--echo.delay=exponential:2ms",
    )  # fmt: skip
    result = load(echod, tmp_path, server, "--count=10000", "--concurrency=60", "--connections=3", "--timeout=1s")
    ledger = at_rest(server)
    ended, injected, handled = statuses(result), ledger.injected, ledger.handled
    assert {kind for kind, _ in injected} == {"status", "reset", "truncate", "hang"}
    for status in "RESOURCE_EXHAUSTED", "DATA_LOSS":
        assert ended[status] == injected[("status", code_of(status))] == handled[code_of(status)]
    broken = injected[("reset", "Internal")] + injected[("truncate", "Internal")]
    assert ended["INTERNAL"] == broken == handled["Internal"]
    # Whose clock is first at the deadline is chance: the client's, and it cancels, or the server's.
    expired = handled.get("DeadlineExceeded", 0) + handled.get("Canceled", 0)
    assert ended["DEADLINE_EXCEEDED"] == injected[("hang", "DeadlineExceeded")] == expired
    assert ledger.ok == ended["OK"] == 10000 - sum(injected.values())
    assert ledger.total == result["calls"]["done"] == 10000
    assert not any(ledger.text.samples("echod_fault_calls_taken_along_total").values())


def test_what_a_closed_connection_takes_along_is_accounted_for(serve, echod, tmp_path):
    """Those that the server had read are counted; what was on its way then is all that it does not know of."""
    server = serve("--echo.abort=close:0.5,hang:0.2", "--echo.delay=exponential:2ms")
    result = load(echod, tmp_path, server, "--count=8000", "--concurrency=60", "--connections=3", "--timeout=1s")
    ledger = at_rest(server)
    ended, injected, handled = statuses(result), ledger.injected, ledger.handled
    taken = {fault: ledger.text.value("echod_fault_calls_taken_along_total", fault=fault) for fault in ("none", "own")}
    along = sum(taken.values())
    closed, hung = injected[("close", "Unavailable")], injected[("hang", "DeadlineExceeded")]
    assert closed >= 1 and along >= closed
    assert handled["Unavailable"] == closed + along
    assert ledger.text.value("failed_requests") == closed + hung + taken["none"] and taken["own"] <= hung
    on_their_way = result["calls"]["done"] - ledger.total
    assert ended["UNAVAILABLE"] == handled["Unavailable"] + on_their_way
    # There are never more than 60 at once that one of them could end.
    assert 0 <= on_their_way <= 59 * closed - along
    expired = handled.get("DeadlineExceeded", 0) + handled.get("Canceled", 0)
    assert ended.get("DEADLINE_EXCEEDED", 0) == expired <= hung
    assert ledger.ok == ended["OK"]
    assert set(handled) <= {"OK", "Unavailable", "DeadlineExceeded", "Canceled"}
    # Two of them may have met on the same connection.
    assert 1 <= result["connections"]["lost"] <= closed


# --- strangers ---------------------------------------------------------------------


def test_a_hundred_thousand_paths_are_one_series(serve, tmp_path):
    """Each is counted, as "other", and the page stays as long as it was."""
    calls, server = 100_000, serve()
    before = server.get().body.splitlines()
    paths, body = tmp_path / "paths", tmp_path / "body"
    paths.write_text("".join(f"http://{server.grpc}/a{i:x}.Service/Method{i}\n" for i in range(calls)))
    body.write_bytes(frame(encode("x")))
    done = subprocess.run(
        ["h2load", f"-n{calls}", "-c4", "-m100", "-i", paths, "-d", body, "-H", "te: trailers",
         "-H", "content-type: application/grpc"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"{calls} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    text = server.scrape()
    after = server.get().body.splitlines()
    assert len(after) == len(before) < 800
    assert [line.rsplit(b" ", 1)[0] for line in after] == [line.rsplit(b" ", 1)[0] for line in before]
    other = {"grpc_type": "unary", "grpc_service": "other", "grpc_method": "other"}
    assert text.value("grpc_server_started_total", **other) == calls
    assert text.value("grpc_server_handled_total", grpc_code="Unimplemented", **other) == calls
    assert text.value("total_requests") == 0


# --- delays ------------------------------------------------------------------------


def test_a_uniform_delay_has_its_shares(serve, echod, tmp_path):
    """0 to 5 s: 10, 20 and 50 % within three sigma, and all but 0.1 % within 5 s."""
    calls = 2000
    server = serve("--echo.delay=uniform:0s,5s", "--echo.seed=3")
    result = load(echod, tmp_path, server, f"--count={calls}", f"--concurrency={calls}", "--grace=20s")
    ledger = at_rest(server)
    agree(ledger, result)
    below = {
        dict(labels)["le"]: count for labels, count in ledger.text.samples("grpc_call_latency_seconds_bucket").items()
    }
    # What a busy machine adds to a delay is no part of it, and is known: no call had more of it than this.
    overhead = ledger.text.families["echod_rpc_overhead_seconds"].histograms[()]
    added = max(high for _, high, count in overhead.shares() if count)
    for edge, share in (("0.5", 0.1), ("1", 0.2), ("2.5", 0.5)):
        slack = 3 * math.sqrt(calls * share * (1 - share)) + calls * min(added, 0.1) / 5
        assert abs(below[edge] - calls * share) <= slack, f"le={edge}: {below[edge]}"
    assert below["5"] >= calls * (0.999 - (min(added, 0.1) / 5 if added > 0.001 else 0))
    assert ledger.text.value("echod_rpc_delay_seconds_total") == pytest.approx(
        ledger.text.value("grpc_call_latency_seconds_sum"), rel=0.02
    )

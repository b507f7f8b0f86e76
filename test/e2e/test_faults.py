"""Faults on purpose: what the wire shows of each kind, what clients make of it, and that every one is counted.

docs/faults.md has the same as a table; each of its rows is a case here.
"""
import collections
import contextlib
import gzip
import math
import pathlib
import sys
import time

import grpc
import pytest

from calls import channel, method
from daemon import until
import frames
from frames import Closed, Peer, echo, message, request
import http1
import load

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import chance  # noqa: E402

CODES = {code.name: "".join(word.title() for word in code.name.split("_")) for code in grpc.StatusCode}
CODES.update(OK="OK", CANCELLED="Canceled")
LIMIT_S = 0.5  # --echo.hang-limit here


def injected(text, kind=None, code=None):
    """How many the ledger has; all of them where nothing is named."""
    wanted = {(name, value) for name, value in (("kind", kind), ("code", code)) if value}
    return sum(value for labels, value in text.samples("echod_faults_injected_total").items() if wanted <= set(labels))


def taken_along(text, fault="none"):
    return text.value("echod_fault_calls_taken_along_total", fault=fault)


def handled(text, code):
    return text.value(
        "grpc_server_handled_total",
        grpc_type="unary", grpc_service="muzz.Service", grpc_method="Echo", grpc_code=code,
    )


def asking(fault=None, delay=None):
    return [(f"echod-{name}", value) for name, value in (("fault", fault), ("delay", delay)) if value]


def trailers(call):
    return {key: value for key, value in call.trailing_metadata() or () if key in ("echod-fault", "echod-delay-ns")}


def outcome(callable_, *args, **kwargs):
    """(status, its text, the trailers of ours) of one call by grpcio."""
    call = callable_.future(*args, **kwargs)
    with contextlib.suppress(grpc.RpcError):
        call.result()
    return call.code().name, call.details(), trailers(call)


@pytest.fixture(scope="module")
def asked(echod, tmp_path_factory):
    """A server whose callers say what is to happen to them."""
    import conftest
    import daemon

    flags = ("--echo.allow-metadata-faults", f"--echo.hang-limit={LIMIT_S}s", "--grpc.max-concurrent-streams=1000")
    server = daemon.Server(echod, flags, tmp_path_factory.mktemp("asked") / "server.log")
    try:
        server.wait_ready()
        yield server
    finally:
        conftest.stop_all([server])


class Ledger:
    """What one case adds to the server's counts."""

    def __init__(self, server):
        self.server = server
        self.before = server.scrape()

    def moved(self, kind, code, counted_as, calls=1):
        """Exactly so many faults, and the calls ended so."""

        def settled():
            text = self.server.scrape()
            return text if handled(text, counted_as) - handled(self.before, counted_as) == calls else None

        text = until(settled, f"{calls} calls that ended {counted_as}")
        assert injected(text) - injected(self.before) == calls
        assert injected(text, kind, code) - injected(self.before, kind, code) == calls
        return text


# --- each kind, on the wire ---


def test_a_status_is_trailers_only(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        got = peer.call("hello", *asking("RESOURCE_EXHAUSTED", "2ms"))
        assert got.trailers_only and got.status == 8
        assert got.field("echod-fault") == "RESOURCE_EXHAUSTED"
        assert got.field("echod-delay-ns") == "2000000"
        assert got.text == "failed on purpose"
        assert peer.call("still").status == 0
    ledger.moved("status", "ResourceExhausted", "ResourceExhausted")


def test_a_reset_is_rst_stream_alone(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        got = peer.call("hello", *asking("reset"))
        assert (got.shape, got.reset) == ("R", frames.INTERNAL_ERROR)
        assert peer.call("still").status == 0  # the connection lives
        assert not peer.of(frames.GOAWAY)
    ledger.moved("reset", "Internal", "Internal")


def test_a_close_is_a_fin_without_goaway(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        peer.settle()
        stream = peer.open(request(*asking("close")), message(echo("hello")))
        peer.drained()
        assert peer.answer(stream).shape == ""
        assert not peer.of(frames.GOAWAY) and not peer.of(frames.RST_STREAM)
    ledger.moved("close", "Unavailable", "Unavailable")


def test_a_truncated_reply_is_half_a_message_and_ok(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        got = peer.call("hello", *asking("truncate"))
        whole = message(echo("hello"))
        assert got.shape == "HDT" and got.status == 0
        assert got.body == whole[: 5 + (len(whole) - 5) // 2]
        assert got.field("echod-fault", block=1) == "truncate"
        assert peer.call("still").status == 0
    ledger.moved("truncate", "Internal", "Internal")


def test_of_an_empty_message_the_prefix_is_cut(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        got = peer.call("", *asking("truncate"))
        assert got.shape == "HDT" and got.body == b"\0\0"
    ledger.moved("truncate", "Internal", "Internal")


def test_a_call_hangs_until_its_deadline(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        begun = time.monotonic()
        got = peer.call("hello", ("grpc-timeout", "100m"), *asking("hang"))
        assert time.monotonic() - begun >= 0.1
        assert got.trailers_only and got.status == 4 and got.text == "deadline exceeded"
        assert got.field("echod-fault") == "hang"
    ledger.moved("hang", "DeadlineExceeded", "DeadlineExceeded")


def test_a_call_without_a_deadline_hangs_until_the_limit(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        begun = time.monotonic()
        got = peer.call("hello", *asking("hang"))
        assert time.monotonic() - begun >= LIMIT_S
        assert got.trailers_only and got.status == 4
        assert got.text == "hung on purpose, and ended by --echo.hang-limit"
        assert got.field("echod-fault") == "hang"
    ledger.moved("hang", "DeadlineExceeded", "DeadlineExceeded")


def test_a_call_that_hangs_and_is_cancelled_counts_as_cancelled_and_as_a_hang(asked):
    ledger = Ledger(asked)
    with Peer(asked.grpc_port) as peer:
        peer.settle()
        stream = peer.open(request(*asking("hang")), message(echo("hello")))
        until(lambda: injected(asked.scrape(), "hang") > injected(ledger.before, "hang"), "the hang")
        peer.send(frames.rst_stream(stream))
        ledger.moved("hang", "DeadlineExceeded", "Canceled")


def test_a_call_that_is_cancelled_before_its_fault_has_met_none(asked):
    before = asked.scrape()
    with Peer(asked.grpc_port) as peer:
        peer.settle()
        stream = peer.open(request(*asking("INTERNAL", "10s")), message(echo("hello")))
        asked.wait_value(before.value("echod_delays_injected_total") + 1, "echod_delays_injected_total")
        peer.send(frames.rst_stream(stream))
        until(lambda: handled(asked.scrape(), "Canceled") == handled(before, "Canceled") + 1, "its end")
    assert injected(asked.scrape()) == injected(before)


def test_a_call_that_expires_before_its_fault_has_met_none_and_tells_its_delay(asked):
    before = asked.scrape()
    with Peer(asked.grpc_port) as peer:
        got = peer.call("hello", ("grpc-timeout", "20m"), *asking("INTERNAL", "10s"))
        assert got.status == 4 and got.field("echod-delay-ns") == "10000000000"
        assert got.field("echod-fault") is None
    assert injected(asked.scrape()) == injected(before)


def test_a_call_that_hangs_holds_a_place_on_its_connection(serve):
    server = serve("--echo.allow-metadata-faults", "--grpc.max-concurrent-streams=1")
    with Peer(server.grpc_port, ack=False) as peer:  # so that it need not heed the limit yet
        hanging = peer.open(request(*asking("hang")), message(echo("x")))
        assert peer.call("y").reset == frames.REFUSED_STREAM
        peer.send(frames.rst_stream(hanging))
        assert peer.call("z").status == 0


def test_a_call_that_hangs_does_not_keep_a_server_that_stops(serve):
    server = serve("--echo.abort=hang:100", "--shutdown.grace=200ms")
    with channel(server.grpc) as made:
        call = method(made).future(b"x", timeout=30)
        until(lambda: injected(server.scrape(), "hang") == 1, "the hang")
        assert server.stop() < 10
        assert call.code() == grpc.StatusCode.UNAVAILABLE


def test_a_compressed_message_is_cut_as_it_is(asked):
    ledger = Ledger(asked)
    packed = gzip.compress(echo("x" * 1000))
    with Peer(asked.grpc_port) as peer:
        fields = request(("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"), *asking("truncate"))
        got = peer.response(peer.open(fields, message(packed, flag=1)))
        assert got.shape == "HDT" and got.body[0] == 1
        assert len(got.body) == 5 + int.from_bytes(got.body[1:5], "big") // 2 < 100
    ledger.moved("truncate", "Internal", "Internal")


# --- what else a close takes along ---


def test_a_close_takes_calls_of_its_connection_along_and_no_others(asked):
    before = asked.scrape()
    with Peer(asked.grpc_port) as peer, Peer(asked.grpc_port) as other:
        elsewhere = other.open(request(*asking(delay="300ms")), message(echo("elsewhere")))
        slow = [peer.open(request(*asking(delay="10s")), message(echo("slow"))) for _ in range(3)]
        asked.wait_value(before.value("echod_delays_injected_total") + 4, "echod_delays_injected_total")
        # One write, so that both are in one read: the first is answered before the connection ends.
        body = frames.data(7, message(echo("quick")), True) + frames.data(9, message(echo("x")), True)
        peer.send(
            frames.headers(7, frames.block(request())) + frames.headers(9, frames.block(request(*asking("close"))))
            + body
        )
        peer.drained()
        assert peer.answer(7).status == 0
        assert [peer.answer(stream).shape for stream in [*slow, 9]] == [""] * 4
        assert other.response(elsewhere).status == 0
    until(lambda: handled(asked.scrape(), "Unavailable") == handled(before, "Unavailable") + 4, "all four")
    after = asked.scrape()
    assert taken_along(after) == taken_along(before) + 3
    assert injected(after) - injected(before) == 1
    assert handled(after, "OK") == handled(before, "OK") + 2


def test_what_is_taken_along_is_no_failure_that_the_ledger_has_twice(asked):
    """A call that hung is in it already, and a watch of health is none that counts as failed."""
    before = asked.scrape()
    with Peer(asked.grpc_port) as peer:
        peer.settle()
        peer.open(request(change={":path": "/grpc.health.v1.Health/Watch"}), message(b""))
        peer.open(request(*asking(delay="10s")), message(echo("innocent")))
        peer.open(request(*asking("hang")), message(echo("hung")))
        until(lambda: injected(asked.scrape(), "hang") == injected(before, "hang") + 1, "the hang")
        peer.open(request(*asking("close")), message(echo("x")))
        peer.drained()
    until(lambda: handled(asked.scrape(), "Unavailable") == handled(before, "Unavailable") + 3, "all three")
    after = asked.scrape()
    assert [taken_along(after, fault) - taken_along(before, fault) for fault in ("none", "own")] == [1, 1]
    explained = injected(after) - injected(before) + taken_along(after, "none") - taken_along(before, "none")
    assert after.value("failed_requests") - before.value("failed_requests") == explained == 3


# --- what clients make of them ---

# kind: (code in the ledger, grpcio's code, part of its text, the trailer, echod client's words)
SEEN = {
    "UNAVAILABLE": ("Unavailable", "UNAVAILABLE", "failed on purpose", True, "UNAVAILABLE (14): failed on purpose"),
    "reset": ("Internal", "INTERNAL", "RST_STREAM with error code 2", False,
              "INTERNAL (13): the stream was reset by the server with INTERNAL_ERROR"),
    "close": ("Unavailable", "UNAVAILABLE", "", False, "UNAVAILABLE (14): the connection was lost"),
    "hang": ("DeadlineExceeded", "DEADLINE_EXCEEDED", "hung on purpose", True,
             "DEADLINE_EXCEEDED (4): hung on purpose"),
    # grpcio gives an OK call without a message for it
    "truncate": ("Internal", "OK", "", True, "INTERNAL (13): the response ended inside a message"),
}


@pytest.mark.parametrize("fault", SEEN)
def test_what_grpcio_and_echods_client_report(asked, run, fault):
    code, status, text, marked, words = SEEN[fault]
    ledger = Ledger(asked)
    with channel(asked.grpc) as made:
        got = outcome(method(made), b"hello", timeout=30, metadata=asking(fault))
    assert got[0] == status and text in (got[1] or "")
    assert got[2] == ({"echod-fault": fault} if marked else {})
    done = run("client", f"--metadata=echod-fault:{fault}", asked.grpc)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert (f"echod-fault: {fault}" in done.stderr.decode()) == marked
    ledger.moved("status" if fault.isupper() else fault, code, code, calls=2)


def test_each_status_can_be_had(asked):
    ledger = Ledger(asked)
    with channel(asked.grpc) as made:
        echo_method = method(made)
        for code in grpc.StatusCode:
            if code is not grpc.StatusCode.OK:
                got = outcome(echo_method, b"x", timeout=30, metadata=asking(code.name))
                assert got == (code.name, "failed on purpose", {"echod-fault": code.name})
    text = asked.scrape()
    for name, code in CODES.items():
        if name != "OK":
            assert injected(text, "status", code) == injected(ledger.before, "status", code) + 1


# --- what callers may ask for ---


@pytest.mark.parametrize(
    "metadata, reason",
    [
        ([("echod-delay", "soon")], 'echod-delay: "soon" is no delay'),
        ([("echod-delay", "2h")], 'echod-delay: "2h" is longer than 1h'),
        ([("echod-delay", "1ms:50,1ms:51")], "comes to more than 100 %"),
        ([("echod-delay", "9" * 600)], "is too long"),
        ([("echod-fault", "OK")], 'echod-fault: "OK" is neither a status'),
        ([("echod-fault", "INTERNAL:50")], 'echod-fault: "INTERNAL:50" is neither a status'),
        ([("echod-delay", "1ms"), ("echod-fault", "")], 'echod-fault: "" is neither a status'),
    ],
)
def test_who_asks_for_nonsense_is_told_so(asked, metadata, reason):
    before = asked.scrape()
    with channel(asked.grpc) as made:
        status, text, marks = outcome(method(made), b"x", timeout=30, metadata=metadata)
    assert status == "INVALID_ARGUMENT" and reason in text and marks == {}
    assert injected(asked.scrape()) == injected(before)


def test_without_the_flag_nobody_asks(serve):
    server = serve()
    with channel(server.grpc) as made:
        got = outcome(method(made), b"x", timeout=30, metadata=asking("INTERNAL", "nonsense"))
    assert got == ("OK", "", {})
    assert injected(server.scrape()) == 0


def test_who_asks_moves_no_accumulator_and_throws_no_die(serve):
    server = serve("--echo.allow-metadata-faults", "--echo.status=ABORTED:50", "--echo.fault-mode=every-nth")
    met = []
    with channel(server.grpc) as made:
        echo_method = method(made)
        for i in range(20):
            met.append(outcome(echo_method, b"x", timeout=30)[0])
            metadata = asking("DATA_LOSS") if i % 3 else asking("none")
            asked_for = outcome(echo_method, b"x", timeout=30, metadata=metadata)[0]
            assert asked_for == ("DATA_LOSS" if i % 3 else "OK")
    assert met == ["OK", "ABORTED"] * 10


# --- which calls, and how many ---


def moved_exactly(server, run_result, plan, met):
    """Client, ledger and every other count of the server agree with what was known beforehand."""
    counts = collections.Counter(None if i is None else plan[i] for i in met)
    total, failed = len(met), len(met) - counts[None]
    by_status = collections.Counter()
    for (kind, status), calls in ((key, calls) for key, calls in counts.items() if key):
        by_status[status] += calls
        assert injected(server.scrape(), kind if kind in ("reset", "truncate") else "status", CODES[status]) == calls
    assert load.statuses(run_result) == {"OK": counts[None], **by_status}
    text = server.scrape()
    assert injected(text) == failed
    assert text.value("total_requests") == total
    assert text.value("failed_requests") == failed
    assert text.value("grpc_calls_total", method="Echo", status="fail") == failed
    for status, calls in by_status.items():
        assert handled(text, CODES[status]) == calls


PLAN = [("status", "UNAVAILABLE"), ("status", "NOT_FOUND"), ("status", "DATA_LOSS"), ("reset", "INTERNAL")]
SHARES = [2, 0.5, 33.3333333, 1]
PLAN_FLAGS = ["--echo.status=UNAVAILABLE:2,NOT_FOUND:0.5,DATA_LOSS:33.3333333", "--echo.abort=reset:1"]


@pytest.mark.parametrize("mode", ["every-nth", "random"])
def test_the_faults_of_many_calls_are_those_that_were_foreseen(serve, echod, tmp_path, mode):
    count, seed = 20000, 7
    server = serve(*PLAN_FLAGS, f"--echo.fault-mode={mode}", f"--echo.seed={seed}")
    met = chance.every_nth(SHARES, count) if mode == "every-nth" else chance.faults(seed, SHARES, count)
    with load.Run(echod, tmp_path, f"--count={count}", "--concurrency=50", "--connections=3",
                  f"--reconcile=http://{server.web}/metrics", server.grpc) as running:
        result, printed, _ = running.finish()
    moved_exactly(server, result, PLAN, met)
    for i, share in enumerate(SHARES):
        off = abs(met.count(i) - count * share / 100)
        assert off < len(SHARES) if mode == "every-nth" else off < 3 * math.sqrt(count * share / 100)
    assert "0 never arrived, 0 arrived twice, 0 answered and not received" in printed


@pytest.mark.parametrize("abort, status", [("reset", "INTERNAL"), ("close", "UNAVAILABLE"), ("truncate", "INTERNAL")])
def test_both_ends_tell_one_story_of_what_was_broken(serve, echod, tmp_path, abort, status):
    """A reset is an answer and so is half a message; a closed connection is none, and nobody misses one."""
    server = serve(f"--echo.abort={abort}:10", "--echo.fault-mode=every-nth")
    with load.Run(echod, tmp_path, "--count=200", "--concurrency=1",
                  f"--reconcile=http://{server.web}/metrics", server.grpc) as running:
        result, printed, _ = running.finish()
    assert load.statuses(result) == {"OK": 180, status: 20}
    assert "0 never arrived, 0 arrived twice, 0 answered and not received" in printed, printed
    assert injected(server.scrape(), abort) == 20


@pytest.mark.parametrize("seed", [1, 18446744073709551615])
def test_a_seed_says_which_calls_meet_what(serve, seed):
    server = serve("--echo.delay=uniform:0s,3ms", "--echo.status=ABORTED:30,INTERNAL:20", f"--echo.seed={seed}")
    delays = chance.delays_ms(seed, 0, 3, 100)
    met = chance.faults(seed, [30, 20], 100)
    with channel(server.grpc) as made:
        echo_method = method(made)
        for delay, fault in zip(delays, met):
            name = None if fault is None else ("ABORTED", "INTERNAL")[fault]
            marks = {"echod-delay-ns": str(delay * 10**6)} if delay else {}
            marks |= {"echod-fault": name} if name else {}
            assert outcome(echo_method, b"x", timeout=30) == (
                name or "OK", "failed on purpose" if name else "", marks)


def test_without_a_seed_no_two_servers_do_the_same(serve):
    def first_ones():
        server = serve("--echo.status=ABORTED:50")
        with channel(server.grpc) as made:
            return [outcome(method(made), b"x", timeout=30)[0] for _ in range(64)]

    assert first_ones() != first_ones()


def test_calls_that_fail_have_their_message_all_the_same(serve):
    """The fault is in the reply: what was sent is read and judged as ever."""
    server = serve("--echo.status=ABORTED:100")
    with Peer(server.grpc_port) as peer:
        assert peer.response(peer.open(request(), message(b"\x0a\x01\xff"))).status == 13  # no UTF-8
        assert peer.call("x").status == 10
    assert injected(server.scrape()) == 1


def test_the_plan_is_told_as_metrics(serve):
    text = serve(*PLAN_FLAGS, "--echo.delay=p50=2ms,p90=10ms,p99=80ms").scrape()

    def ratio(kind, code):
        return text.value("echod_fault_probability_ratio", kind=kind, code=code)

    assert ratio("status", "Unavailable") == 0.02
    assert ratio("status", "DataLoss") == 0.333333333
    assert ratio("reset", "Internal") == 0.01
    assert ratio("status", "Internal") == ratio("close", "Unavailable") == 0
    for statistic, seconds in (("p50", 0.002), ("p90", 0.01), ("p99", 0.08), ("mean", 0.00775)):
        assert text.value("echod_echo_delay_expected_seconds", statistic=statistic) == pytest.approx(seconds)
    assert len(text.samples("echod_faults_injected_total")) == 16 + 4


def test_a_sick_replica_is_well_to_all_who_only_look(serve, run):
    server = serve("--echo.status=UNAVAILABLE:100")
    with channel(server.grpc) as made:
        assert outcome(method(made), b"x", timeout=30)[0] == "UNAVAILABLE"
    assert run("probe", server.grpc).returncode == 0
    assert server.get("/-/ready").status == 200
    assert server.value("failed_requests") == 1


# --- another plan while it runs ---


def post(server, form, status=200):
    """The answer's text."""
    body = form.encode()
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", len(body))]
    answer = http1.ask(server.web_port, http1.request("POST", "/-/faults", headers=headers, body=body))
    assert answer.status == status, answer
    return answer.body.decode()


def test_a_change_of_plan_under_load_loses_no_call_and_no_count(serve, echod, tmp_path):
    server = serve("--web.enable-lifecycle")
    with load.Run(echod, tmp_path, "--duration=1500ms", "--concurrency=20", server.grpc) as running:
        until(lambda: server.value("total_requests") > 100, "the load")
        for form in ("status=UNAVAILABLE:20&fault-mode=every-nth", "status=NOT_FOUND:5&abort=reset:5&seed=3",
                     "delay=1ms:10&abort=truncate:1"):
            assert form.split("&")[0] in post(server, form)
            assert "which is no status" in post(server, "delay=none&status=BROKEN:1", 400)
            assert form.split("&")[0] in server.get("/-/faults").body.decode()
            faulty = server.value("failed_requests")
            until(lambda: server.value("failed_requests") > faulty + 20, "faults of this plan")
        post(server, "delay=none&status=none&abort=none")
        result, _, _ = running.finish()
    text = server.scrape()
    found = load.statuses(result)
    assert set(found) == {"OK", "UNAVAILABLE", "NOT_FOUND", "INTERNAL"}
    assert found["UNAVAILABLE"] == injected(text, "status", "Unavailable")
    assert found["NOT_FOUND"] == injected(text, "status", "NotFound")
    assert found["INTERNAL"] == injected(text, "reset") + injected(text, "truncate")
    assert text.value("failed_requests") == injected(text) == sum(found.values()) - found["OK"]
    assert text.value("total_requests") == sum(found.values())
    assert not any(value for value in text.samples("echod_fault_probability_ratio").values())


def test_every_nth_begins_anew_with_a_plan(serve):
    server = serve("--web.enable-lifecycle", "--echo.fault-mode=every-nth", "--echo.status=ABORTED:25")
    with channel(server.grpc) as made:
        def next_ones(count):
            return [outcome(method(made), b"x", timeout=30)[0] for _ in range(count)]

        assert next_ones(7) == ["OK"] * 3 + ["ABORTED"] + ["OK"] * 3
        post(server, "status=DATA_LOSS:25")
        assert next_ones(4) == ["OK"] * 3 + ["DATA_LOSS"]


def test_sick_and_looking_well_then_well_and_looking_sick(serve, run):
    server = serve("--web.enable-lifecycle")
    with channel(server.grpc) as made:
        post(server, "status=UNAVAILABLE:100")
        assert outcome(method(made), b"x", timeout=30)[0] == "UNAVAILABLE"
        assert run("probe", server.grpc).returncode == 0
        assert server.get("/-/ready").status == 200
        post(server, "status=none&health=not-serving")
        assert outcome(method(made), b"x", timeout=30)[0] == "OK"
        assert run("probe", server.grpc).returncode == 4
        assert server.get("/-/ready").status == 503
        assert server.get("/-/healthy").status == 200
        post(server, "health=serving")
        assert run("probe", server.grpc).returncode == 0
        assert server.get("/-/ready").status == 200


# --- nonsense at start ---


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--echo.delay=normal:-20ms,5ms"],
         'flag --echo.delay: "normal:-20ms,5ms" has "-20ms", which is not a duration (as in 500ms, 1.5s, 2m, 1h30m)'),
        (["--echo.delay=2ms:60,1s:41"], 'flag --echo.delay: "2ms:60,1s:41" comes to more than 100 %'),
        (["--echo.delay=p90=2ms,p50=1ms"],
         'flag --echo.delay: "p90=2ms,p50=1ms" has "p50", which is not above the percentile before it, or p0'),
        (["--echo.delay=2h"], 'flag --echo.delay: "2h" is longer than 1h'),
        (["--echo.status=OK:1"],
         'flag --echo.status: "OK:1" has "OK", which is no status of a fault (as in UNAVAILABLE)'),
        (["--echo.status=INTERNAL:NaN"],
         'flag --echo.status: "INTERNAL:NaN" has "NaN", which is no percentage (as in 2 or 0.5)'),
        (["--echo.status=INTERNAL:1,INTERNAL:2"],
         'flag --echo.status: "INTERNAL:1,INTERNAL:2" has "INTERNAL", which is there twice'),
        (["--echo.status=INTERNAL:1,"], 'flag --echo.status: "INTERNAL:1," has an item that is empty'),
        (["--echo.abort=explode:1"],
         'flag --echo.abort: "explode:1" has "explode", which is none of reset, close, hang, truncate'),
        (["--echo.status=INTERNAL:60", "--echo.abort=reset:41"],
         "--echo.status and --echo.abort (or their variables) together come to more than 100 %"),
        (["--echo.fault-mode=sometimes"], 'flag --echo.fault-mode: "sometimes" is not one of random, every-nth'),
        (["--echo.hang-limit=0s"], 'flag --echo.hang-limit: "0s" is out of range (1ms to 1h)'),
        (["--echo.seed=0"], 'flag --echo.seed: "0" is out of range'),
    ],
)
def test_a_plan_that_is_nonsense_is_refused_at_start(run, flags, reason):
    done = run("serve", *flags)
    assert done.returncode == 2
    line, end = done.stderr.decode().split("\n", 1)
    assert end == "" and line.startswith(f"echod serve: {reason}")


def test_a_plan_can_come_from_the_environment(run):
    done = run("serve", env={"ECHOD_ECHO_STATUS": "OK:1"})
    assert done.returncode == 2
    assert done.stderr.decode().startswith('echod serve: variable ECHOD_ECHO_STATUS: "OK:1" has "OK", which')

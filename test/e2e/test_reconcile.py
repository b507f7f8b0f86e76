"""`echod client --reconcile`: two ends tell one story, or the report says where they differ.

The servers are real; what stands between is a proxy that forwards call by call, and
does to some of them what meshes do, or worse.
"""
import concurrent.futures
import contextlib
import http.server
import json
import signal
import subprocess
import threading
import time

import grpc
import pytest

from calls import OPTIONS, PATH, same
from daemon import until, unused_port
import http1

NEVER, TWICE, LOST = "never_arrived", "arrived_twice", "answer_lost"


class Proxy(grpc.GenericRpcHandler):
    """Forwards to backends in turn; `mischief` has what happens to a call by its number.

    drop    refused here, and not forwarded
    fake    answered here, and not forwarded
    double  forwarded twice
    lose    forwarded, and refused when the answer is there
    """

    def __init__(self, backends, mischief=None):
        self.mischief = mischief or {}
        self.channels = [grpc.insecure_channel(backend, options=OPTIONS) for backend in backends]
        self.forwards = [channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)
                         for channel in self.channels]
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[self], options=OPTIONS)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()
        for channel in self.channels:
            channel.close()

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self.forward, same, same)

    def forward(self, request, context):
        run = dict(context.invocation_metadata())["echod-run"]
        number = int(run.rpartition("-")[2])
        what = self.mischief.get(number)
        if what == "drop":
            context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
        if what == "fake":
            return request
        for _ in range(2 if what == "double" else 1):
            reply = self.forwards[number % len(self.forwards)](request, metadata=[("echod-run", run)])
        if what == "lose":
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return reply


@contextlib.contextmanager
def proxy(*backends, **mischief):
    made = Proxy(backends, {number: what for what, numbers in mischief.items() for number in numbers})
    try:
        yield made.address
    finally:
        made.stop()


class Metrics:
    """A metrics endpoint that says what it is told to, one text after the other."""

    def __init__(self, *texts):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/-/runs/"):
                    self.send_error(404)
                    return
                outer.asked += 1
                text = outer.texts.pop(0) if len(outer.texts) > 1 else outer.texts[0]
                if text is None:
                    time.sleep(30)
                    return
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.texts = list(texts)
        self.asked = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/metrics"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.socket.close()


def counts(started, ok, since=1, **codes):
    where = 'grpc_service="muzz.Service",grpc_method="Echo"'
    lines = [f"grpc_server_started_total{{{where}}} {started}", f"process_start_time_seconds {since}"]
    lines += [f'grpc_server_handled_total{{{where},grpc_code="{code}"}} {n}' for code, n in {"OK": ok, **codes}.items()]
    return "\n".join(lines) + "\n"


def url(server):
    return f"http://{server.web}/metrics"


def load(run, target, *urls, count=200, flags=(), timeout=50, code=0):
    """A run's reconciliation."""
    done = run("client", f"--count={count}", "--output=json", *[f"--reconcile={each}" for each in urls], *flags,
               target, timeout=timeout)
    assert done.returncode == code, (done.returncode, done.stderr)
    return json.loads(done.stdout)["reconciliation"]


def differences(told):
    """Everything that is not 0."""
    found = {name: told[name] for name in (NEVER, TWICE, LOST) if told[name]}
    found.update(told["difference"])
    if told["received"] != told["sent"]:
        found["received"] = told["received"] - told["sent"]
    return found


# --- nothing between ---


@pytest.mark.parametrize("flags", [(), ("--concurrency=50", "--connections=5"), ("--rate=2000",), ("--warmup=200ms",)],
                         ids=["one connection", "five", "open loop", "warm-up"])
def test_no_difference(serve, run, flags):
    server = serve()
    told = load(run, server.grpc, url(server), count=2000, flags=flags)
    assert told["complete"] and told["by_call"]
    assert told["sent"] == told["answered"] == told["received"] >= 2000
    assert differences(told) == {}
    assert told["examples"] is None
    assert told["servers"][0]["by_status"] == {"OK": told["sent"]}


def test_it_is_in_the_text_and_the_run_is_at_the_server(serve, run):
    server = serve()
    done = run("client", "--count=50", f"--reconcile={url(server)}", server.grpc)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.decode().split())
    assert "reconciled with 1 server: 50 sent, 50" in text
    assert "no difference" in text and "0 never arrived" in text
    listed = json.loads(server.get("/-/runs/").body)["runs"]
    assert len(listed) == 1
    kept = json.loads(server.get(f"/-/runs/{listed[0]}").body)
    assert kept["sets"] == {"received": "0-49", "duplicated": "", "answered": "0-49"}
    assert (kept["received"], kept["highest"], kept["next"]) == (50, 49, None)


def test_the_table_of_runs_is_bounded_and_can_be_turned_off(serve, run):
    server = serve("--echo.max-runs=2")
    for _ in range(3):
        assert load(run, server.grpc, url(server), count=5)["by_call"]
    assert len(json.loads(server.get("/-/runs/").body)["runs"]) == 2
    assert server.value("echod_runs_evicted_total") == 1
    server = serve("--echo.max-runs=0")
    told = load(run, server.grpc, url(server), count=5)
    assert told["complete"] and not told["by_call"] and differences(told) == {}
    assert server.get("/-/runs/").status == 404


def test_several_servers_and_one_that_got_nothing(serve, run):
    servers = [serve() for _ in range(3)]
    told = load(run, servers[0].grpc, *map(url, servers), count=300, flags=[servers[1].grpc, "--connections=4"])
    assert told["complete"] and told["by_call"]
    assert differences(told) == {}
    assert [each["received"] > 0 for each in told["servers"]] == [True, True, False]


def test_calls_that_were_given_up_have_the_code_of_the_server(serve, run):
    server = serve("--echo.delay=uniform:0s,200ms", "--echo.seed=1")
    told = load(run, server.grpc, url(server), count=200, flags=["--timeout=100ms", "--concurrency=50"])
    assert told["complete"] and told["by_call"]
    assert told["received"] == told["sent"]
    assert 0 < told["answered"] <= told["sent"]
    # each call that has no answer here has an end there
    assert sum(told["difference"].values()) == told["sent"] - told["answered"]


def test_calls_of_others_show_as_they_are(serve, run):
    server = serve()
    stop = threading.Event()
    others = []

    def call():
        while not stop.is_set():
            others.append(run("client", server.grpc).returncode)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        told = load(run, server.grpc, url(server), count=400, flags=["--rate=400", "--max-in-flight=50"])
    finally:
        stop.set()
        thread.join()
    assert told["received"] > told["sent"] and told["difference"]["OK"] > 0
    assert told["by_call"] and told[NEVER] == told[TWICE] == told[LOST] == 0


def test_runs_that_take_each_others_place_accuse_nobody(serve, run):
    server = serve("--echo.max-runs=1")
    stop = threading.Event()

    def intrude():
        with grpc.insecure_channel(server.grpc, options=OPTIONS) as channel:
            call = channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)
            number = 0
            while not stop.wait(0.02):
                call(b"", metadata=[("echod-run", f"00000000000000aa-{number}")])
                number += 1

    def stop_early():  # so that the run has the place at the end
        until(lambda: server.value("successful_requests") > 300, "load")
        stop.set()

    threads = [threading.Thread(target=each) for each in (intrude, stop_early)]
    for thread in threads:
        thread.start()
    try:
        told = load(run, server.grpc, url(server), count=600, flags=["--rate=400"])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert server.value("echod_runs_evicted_total") > 1
    assert told["complete"] and not told["by_call"]
    assert not told[NEVER] and not told[LOST]


# --- a proxy that does what proxies do ---


def test_a_faithful_proxy_over_two_servers(serve, run):
    servers = [serve(), serve()]
    with proxy(*[server.grpc for server in servers]) as target:
        told = load(run, target, *map(url, servers), count=400)
    assert told["complete"] and told["by_call"] and differences(told) == {}
    assert [each["received"] for each in told["servers"]] == [200, 200]


@pytest.mark.parametrize(
    "mischief, found, examples",
    [
        ({"drop": [17]}, {NEVER: 1, "received": -1, "UNAVAILABLE": -1}, "never arrived: 17"),
        ({"drop": [3, 4, 5, 9]}, {NEVER: 4, "received": -4, "UNAVAILABLE": -4}, "never arrived: 3-5, 9"),
        ({"fake": [0]}, {NEVER: 1, "received": -1, "OK": -1}, "never arrived: 0"),
        ({"double": [199]}, {TWICE: 1, "received": 1, "OK": 1}, "arrived twice: 199"),
        ({"lose": [7, 8]}, {"OK": 2, "UNAVAILABLE": -2}, None),
        (
            {"drop": [1], "double": [2]},  # the sums agree, the calls do not
            {NEVER: 1, TWICE: 1, "OK": 1, "UNAVAILABLE": -1},
            "never arrived: 1; arrived twice: 2",
        ),
    ],
    ids=["drops one", "drops some", "answers itself", "sends twice", "loses answers", "evens out"],
)
def test_a_proxy_that_lies(serve, run, mischief, found, examples):
    server = serve()
    with proxy(server.grpc, **mischief) as target:
        told = load(run, target, url(server), count=200)
    assert told["complete"] and told["by_call"]
    assert (told["sent"], told["answered"]) == (200, 200)
    assert differences(told) == found
    assert told["examples"] == examples


def test_a_call_that_went_to_two_servers_arrived_twice(serve, run):
    first, second = serve(), serve()
    with proxy(first.grpc) as target, proxy(second.grpc) as mirror:
        relay = Proxy([target], {})
        relay.forwards = [lambda request, metadata, one=relay.forwards[0]: (shadow(request, metadata), one(request, metadata=metadata))[1]]
        shadow_channel = grpc.insecure_channel(mirror, options=OPTIONS)
        copy = shadow_channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)

        def shadow(request, metadata):
            copy(request, metadata=metadata)

        try:
            told = load(run, relay.address, url(first), url(second), count=50)
        finally:
            relay.stop()
            shadow_channel.close()
    assert told["by_call"] and differences(told) == {TWICE: 50, "received": 50, "OK": 50}


# --- servers that are no help ---


def refused(run, target, *urls, flags=()):
    done = run("client", "--count=5", *[f"--reconcile={each}" for each in urls], *flags, target)
    assert (done.returncode, done.stdout) == (1, b""), (done.returncode, done.stdout, done.stderr)
    plan, line = done.stderr.decode().splitlines()
    assert "5 in all" in plan and "cannot reconcile" in line, done.stderr
    return line


@pytest.mark.parametrize("text", ["<html>\n", "x" * 20_000_000, counts(-1, 0), None],
                         ids=["garbage", "huge", "negative", "silence"])
def test_what_cannot_be_read_before_the_run_keeps_it_from_starting(serve, run, text):
    server = serve()
    with Metrics(text) as metrics:
        assert metrics.url in refused(run, server.grpc, url(server), metrics.url)
    assert server.value("total_requests") == 0


def test_nobody_there_and_not_http_and_not_found(serve, run):
    server = serve()
    assert "refused" in refused(run, server.grpc, f"http://127.0.0.1:{unused_port()}/metrics")
    assert "404" in refused(run, server.grpc, f"http://{server.web}/nothing")
    refused(run, server.grpc, f"http://{server.grpc}/metrics")
    assert server.value("total_requests") == 0


@pytest.mark.parametrize("bad", ["", "127.0.0.1:2112", "https://h/", "http://", "http://h:x/", "http://a@h/"])
def test_what_is_no_url_is_a_usage_error(run, bad):
    done = run("client", "--count=5", f"--reconcile={bad}", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1 and b"reconcile" in done.stderr


@pytest.mark.parametrize(
    "after, restarted, problem",
    [
        (counts(3, 3, since=2), True, None),
        (counts(1, 1), True, None),
        ("garbage\n", False, "cannot be read"),
        (None, False, "in time"),
        ("x" * 20_000_000, False, "larger"),
    ],
    ids=["another start", "counts fell", "garbage", "silence", "huge"],
)
def test_what_went_wrong_after_the_run_is_told_and_the_rest_compared(serve, run, after, restarted, problem):
    server = serve()
    with Metrics(counts(2, 2), after) as metrics:
        told = load(run, server.grpc, url(server), metrics.url, count=20)
    assert not told["complete"] and not told["by_call"]
    real, other = told["servers"]
    assert real["received"] == 20 and real["problem"] is None
    assert other["restarted"] == restarted
    if problem:
        assert problem in other["problem"] and other["received"] == 0
    else:
        assert other["problem"] is None


def test_a_server_that_is_killed(serve, run):
    dead = serve(exit_code=-signal.SIGKILL)
    threading.Timer(0.5, lambda: dead.send_signal(signal.SIGKILL)).start()
    told = load(run, dead.grpc, url(dead), count=3000, flags=["--rate=3000", "--timeout=1s"])
    assert not told["complete"] and "refused" in told["servers"][0]["problem"]


def test_a_server_that_is_restarted(serve, run):
    first = serve()
    where = [f"--grpc.listen-address={first.grpc}", f"--web.listen-address={first.web}"]

    def restart():
        first.stop()
        serve(*where)

    timer = threading.Timer(0.5, restart)
    timer.start()
    try:
        told = load(run, first.grpc, url(first), count=3000, flags=["--rate=1500", "--wait-for-ready"])
    finally:
        timer.join()
    assert told["servers"][0]["restarted"] and not told["complete"] and not told["by_call"]
    assert 0 < told["received"] < told["sent"] == 3000  # what the second one counted


def test_foreign_servers_are_compared_by_code(serve, run):
    server = serve()
    with Metrics("up 1\n", counts(18, 17, Unknown=1)) as metrics:
        told = load(run, server.grpc, metrics.url, count=20)
    assert told["complete"] and not told["by_call"]
    assert differences(told) == {"received": -2, "OK": -3, "UNKNOWN": 1}


def test_a_server_that_counts_something_else_is_told(serve, run):
    server = serve()
    with Metrics("up 1\n") as metrics:
        told = load(run, server.grpc, metrics.url, count=20)
    assert "grpc_server_started_total" in told["servers"][0]["problem"]
    assert not told["complete"]


def test_calls_that_stay_in_flight_are_not_waited_for_for_ever(serve, run):
    server = serve()
    with Metrics(counts(0, 0), counts(20, 18)) as metrics:
        begin = time.monotonic()
        told = load(run, server.grpc, metrics.url, count=20)
    assert 9 <= time.monotonic() - begin < 30  # no pause is begun that would end behind the tenth second
    assert not told["complete"] and told["servers"][0]["in_flight"] == 2
    assert differences(told) == {"OK": -2}


@pytest.mark.parametrize("texts", [(None,), (counts(0, 0), None)], ids=["before the run", "after it"])
def test_an_interrupt_while_servers_are_asked(serve, echod, texts):
    server = serve()
    with Metrics(*texts) as metrics:
        child = subprocess.Popen([echod, "client", "--count=5", f"--reconcile={metrics.url}", server.grpc],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: metrics.asked == len(texts), "the scrape that hangs")
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert time.monotonic() - begin < 8
    assert child.returncode == 130, (child.returncode, out, err)


def test_a_second_interrupt_gives_up_what_servers_would_say_and_not_the_report(serve, echod):
    server = serve()
    with Metrics(counts(0, 0), None) as metrics:
        child = subprocess.Popen(
            [echod, "client", "--duration=60s", "--concurrency=2", "--output=json", f"--reconcile={metrics.url}",
             server.grpc],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        until(lambda: server.value("total_requests") > 0, "calls")
        child.send_signal(signal.SIGINT)
        until(lambda: metrics.asked == 2, "the scrape that hangs")
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert time.monotonic() - begin < 8
    assert child.returncode == 130, (child.returncode, out, err)
    result = json.loads(out)
    assert result["measured"]["ended_by"] == "SIGINT" and result["calls"]["done"] > 0
    assert result["reconciliation"] is None


def test_where_no_server_could_be_asked_there_is_no_difference_to_tell(serve, run):
    server = serve()
    with Metrics(counts(0, 0), "garbage\n") as metrics:
        told = load(run, server.grpc, metrics.url, count=20)
    assert told["servers"][0]["problem"] and told["answered"] == 20
    assert told["difference"] is None


# --- /-/runs/ by itself ---


def test_runs_are_told_in_parts(serve):
    server = serve()
    run_id, numbers = "00000000000000aa", range(0, 20000, 2)
    with grpc.insecure_channel(server.grpc, options=OPTIONS) as channel:
        call = channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)
        for futures in [[call.future(b"", metadata=[("echod-run", f"{run_id}-{n}")]) for n in numbers[i:i + 100]]
                        for i in range(0, len(numbers), 100)]:
            for future in futures:
                future.result()
    got, at, parts = [], 0, 0
    while at is not None:
        part = json.loads(server.get(f"/-/runs/{run_id}?from={at}").body)
        assert (part["distinct"], part["received"]) == (len(numbers), len(numbers))
        got += [int(number) for number in part["sets"]["received"].split(",")]
        at, parts = part["next"], parts + 1
    assert got == list(numbers) and parts == 3


def test_what_is_no_call_of_a_run_is_counted_and_served(serve):
    server = serve()
    values = ["", "x", "00000000000000aa", "00000000000000aa-", "00000000000000aa-x", "00000000000000aa-16777216"]
    with grpc.insecure_channel(server.grpc, options=OPTIONS) as channel:
        call = channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)
        for value in values:
            assert call(b"", metadata=[("echod-run", value)]) == b""
    assert server.value("echod_runs_untracked_total") == len(values)
    assert server.value("successful_requests") == len(values)
    assert server.get("/-/runs/00000000000000aa?from=x").status == 400
    assert server.get("/-/runs/00000000000000ab").status == 404
    assert http1.get(server.web_port, "/-/runs").status == 404

"""A run of `echod client`: its loops, its phases, its ends, its exit codes."""
import json
import signal
import socket
import subprocess
import time

import pytest

from daemon import assert_no_sanitizer_report, environment, until, unused_port
from load import balance, quantile_ms, status


def load(run, *arguments, timeout=50):
    """The JSON of a run, each call of which is accounted for, and its exit code."""
    done = run("client", "--output=json", "--progress=off", *arguments, timeout=timeout)
    assert done.stdout, done.stderr.decode()
    result = json.loads(done.stdout)
    balance(result)
    return result, done.returncode


@pytest.fixture
def begin(echod):
    """Starts a run beside the test; returns the process."""
    runs = []

    def start(*arguments):
        client = subprocess.Popen(
            [echod, "client", "--output=json", "--progress=off", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )
        runs.append(client)
        return client

    yield start
    for client in runs:
        if client.poll() is None:
            client.kill()
        client.communicate()


def end(client, timeout=20):
    out, err = client.communicate(timeout=timeout)
    assert_no_sanitizer_report(err.decode(errors="replace"))
    result = json.loads(out)
    balance(result)
    return result


class Stopped:
    """The process does nothing, and is still there."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        self.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGCONT)


# --- the closed loop ---


def test_a_count(serve, run):
    server = serve()
    result, code = load(run, "--count=5000", "--concurrency=50", server.grpc)
    assert code == 0
    assert result["calls"]["due"] == result["calls"]["done"] == status(result, "OK") == 5000
    assert server.value("successful_requests") == 5000
    assert server.value("failed_requests") == 0
    latency = result["summary"]["latency_ok"]
    assert 0 < latency["min_ns"] <= latency["p50_ns"] <= latency["p99_ns"] <= latency["max_ns"]
    assert result["summary"]["offered_per_second"] is None
    assert result["calls"]["attempts"] == 5000


def test_what_it_costs_is_told(serve, run):
    result, _ = load(run, "--count=2000", "--concurrency=10", "--message-size=1000", serve().grpc)
    measured = result["measured"]
    assert 2000 * 1000 < measured["bytes_in"] < 2000 * 1200
    assert 2000 * 1000 < measured["bytes_out"] < 2000 * 1200
    assert measured["cpu_user_ns"] + measured["cpu_system_ns"] > 1000000
    assert result["plan"]["request_bytes"] == 1000 + 3 + 5  # a tag and two bytes of length; gRPC's prefix


def test_connections(serve, run):
    server = serve()
    result, code = load(run, "--count=1000", "--concurrency=40", "--connections=8", server.grpc)
    assert (code, result["connections"]["opened"], result["connections"]["lost"]) == (0, 8, 0)
    assert server.value("echod_connections_accepted_total", listener="grpc") == 8
    assert [len(each["connections"]) for each in result["backends"]] == [8]


def test_a_duration(serve, run):
    server = serve("--echo.delay=10ms")
    start = time.monotonic()
    result, code = load(run, "--duration=1s", "--concurrency=10", server.grpc)
    assert 1 <= time.monotonic() - start < 8
    assert code == 0
    assert 100 < result["calls"]["done"] <= 1010  # ten at a time, each at least 10 ms
    assert result["summary"]["latency_ok"]["min_ns"] >= 10e6
    assert 1e9 <= result["measured"]["elapsed_ns"] < 6e9


def test_the_text_report(serve, run):
    done = run("client", "--count=200", "--concurrency=20", serve().grpc)
    text = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0
    for word in ("200", "OK", "/s", "p50", "p90", "p99", "p99.9", "max"):
        assert word in text, text


def test_failed_calls_are_counted_by_status(serve, run):
    server = serve("--grpc.max-message-bytes=10")
    result, code = load(run, "--count=50", "--concurrency=5", server.grpc)
    assert code == 1
    assert [(each["status"], each["calls"]) for each in result["statuses"]] == [("RESOURCE_EXHAUSTED", 50)]
    assert server.value("failed_requests") == 50


def test_over_a_unix_socket(serve, run, tmp_path):
    server = serve(f"--grpc.listen-address=unix:{tmp_path}/s")
    result, code = load(run, "--count=500", "--concurrency=10", f"unix:{tmp_path}/s")
    assert (code, status(result, "OK")) == (0, 500)
    assert server.value("successful_requests") == 500


@pytest.mark.limit(90)
def test_large_messages(serve, run, tmp_path):
    path = tmp_path / "megabyte"
    path.write_bytes(b"x" * 1000000)
    server = serve()
    result, code = load(run, "--count=100", "--concurrency=20", f"--message-file={path}", server.grpc, timeout=80)
    assert (code, status(result, "OK"), result["calls"]["mismatched"]) == (0, 100, 0)
    assert server.value("echod_grpc_buffered_bytes") == 0


def test_a_thousand_at_a_time(serve, run):
    server = serve("--echo.delay=500ms")
    result, code = load(run, "--count=2000", "--concurrency=1000", server.grpc)
    assert (code, status(result, "OK")) == (0, 2000)
    assert result["measured"]["elapsed_ns"] < 10e9


def test_more_calls_than_streams_are_seen_to_wait(serve, run):
    server = serve("--grpc.max-concurrent-streams=10", "--echo.delay=10ms")
    result, code = load(run, "--count=400", "--concurrency=40", "--connections=1", server.grpc)
    assert code == 0
    assert result["calls"]["stream_waits"] >= 300
    assert quantile_ms(result, "latency_ok", "p50") >= 30  # three rounds in the queue,
    assert result["summary"]["service_ok"]["min_ns"] >= 10e6  # which are not the server's


# --- the open loop ---


def test_a_rate_is_offered_whatever_the_delay(serve, run):
    server = serve("--echo.delay=300ms")
    result, code = load(run, "--rate=200", "--duration=2s", server.grpc)
    assert (code, result["calls"]["due"], status(result, "OK")) == (0, 400, 400)
    assert result["summary"]["offered_per_second"] == pytest.approx(200)
    assert result["measured"]["offered_ns"] == 2000000000
    assert result["histograms"]["lag"]["count"] == 400 - result["calls"]["deferred"]


def test_a_ramp(serve, run):
    result, code = load(run, "--rate=0..600/2s", serve().grpc)
    assert (code, result["calls"]["due"]) == (0, 600)
    bins = [each["due"] for each in result["series"]["bins"]]
    assert bins[:2] == [150, 450]


def test_steps_with_a_pause(serve, run):
    result, code = load(run, "--rate=100,0,300/1s", serve().grpc)
    assert (code, result["calls"]["due"]) == (0, 400)
    assert [each["due"] for each in result["series"]["bins"]][:3] == [100, 0, 300]


def test_a_seed_repeats_random_arrivals(serve, run):
    server = serve()
    results = [
        load(run, "--rate=300", "--arrival=poisson", "--duration=2s", f"--seed={seed}", server.grpc)[0]
        for seed in (11, 11, 12)
    ]
    # A call that ends late makes another bin, in which none is due.
    due = [[each["due"] for each in result["series"]["bins"] if each["due"]] for result in results]
    assert due[0] == due[1] != due[2]
    assert 450 < sum(due[0]) < 750


@pytest.mark.parametrize("pacing", ["timerfd", "spin"])
def test_the_generator_tells_its_own_lateness(serve, run, pacing):
    result, code = load(run, "--rate=500", "--duration=1s", f"--pacing={pacing}", serve().grpc)
    assert (code, result["plan"]["pacing"] == "spin") == (0, pacing == "spin")
    lag = result["summary"]["lag"]
    assert 0 <= lag["min_ns"] <= lag["p50_ns"] < 100e6


def test_a_rate_beyond_the_places_is_deferred_and_nothing_is_dropped(serve, run):
    """Five places of 100 ms each are 50 a second; 100 are due."""
    server = serve("--echo.delay=100ms")
    result, code = load(run, "--rate=100", "--duration=1s", "--max-in-flight=5", server.grpc)
    calls = result["calls"]
    assert (code, calls["due"], status(result, "OK"), calls["never_sent"]) == (0, 100, 100, 0)
    assert calls["deferred"] > 80
    assert result["measured"]["elapsed_ns"] >= 2e9 * 0.95
    assert result["summary"]["limited_by"] in ("max in flight", "client CPU")  # of a machine with other work
    assert quantile_ms(result, "latency_ok", "p99") > 800
    assert server.value("total_requests") == 100


def test_what_the_grace_does_not_see_is_unfinished_or_never_sent(serve, run):
    server = serve("--echo.delay=30s")
    start = time.monotonic()
    result, code = load(
        run, "--rate=100", "--duration=1s", "--max-in-flight=20", "--grace=500ms", "--timeout=40s", server.grpc
    )
    assert time.monotonic() - start < 10
    calls = result["calls"]
    assert code == 1
    assert (calls["due"], calls["started"], calls["unfinished"], calls["never_sent"]) == (100, 20, 20, 80)
    assert result["summary"]["limited_by"] == "max in flight"
    until(lambda: server.value("failed_requests") == 20, "the calls that were given up")


def test_a_grace_of_a_closed_loop(serve, run):
    server = serve("--echo.delay=30s")
    result, code = load(
        run, "--duration=300ms", "--concurrency=7", "--grace=200ms", "--timeout=40s", server.grpc
    )
    assert (code, result["calls"]["unfinished"], result["calls"]["done"]) == (1, 7, 0)


def test_a_server_that_stops_for_a_while_costs_no_call(serve, begin):
    server = serve()
    client = begin("--rate=200", "--duration=3s", "--max-in-flight=20", server.grpc)
    until(lambda: server.value("total_requests") > 20, "load")
    with Stopped(server):
        time.sleep(1)
    result = end(client)
    assert client.returncode == 0
    assert (result["calls"]["due"], status(result, "OK")) == (600, 600)
    assert result["calls"]["deferred"] > 100
    assert result["timeline"]["longest_gap_ns"] > 0.9e9
    assert result["summary"]["latency_ok"]["max_ns"] > 0.9e9


def test_an_absent_server_fails_calls_at_once_and_is_not_hammered(run):
    result, code = load(run, "--rate=500", "--duration=1s", "--connections=2", f"127.0.0.1:{unused_port()}")
    assert (code, result["never_found"]["calls"], result["calls"]["due"]) == (4, 500, 500)
    assert 1 <= result["connections"]["failed"] < 20
    assert result["connections"]["opened"] == 0


# --- warm-up, lifetimes, targets, methods ---


@pytest.mark.parametrize("loop", ["--rate=300", "--concurrency=5"])
def test_a_warm_up_counts_nowhere(serve, run, loop):
    server = serve("--echo.delay=5ms")
    result, code = load(run, loop, "--warmup=700ms", "--duration=1s", "--connections=5", server.grpc)
    warmup, calls = result["measured"]["warmup_calls"], result["calls"]
    assert code == 0
    assert warmup > 50
    assert warmup + calls["done"] == server.value("total_requests")
    assert 1e9 <= result["measured"]["elapsed_ns"] < 6e9
    made = result["connections"]  # while it warmed up
    assert (made["open_at_start"], made["opened"]) == (5, 0)
    assert calls["attempts"] == calls["started"]
    if loop.startswith("--rate"):
        assert (warmup, calls["due"]) == (210, 300)


@pytest.mark.parametrize("loop", ["--rate=1000", "--concurrency=5"])
def test_a_count_is_of_measured_calls(serve, run, loop):
    server = serve("--echo.delay=2ms")
    result, code = load(run, loop, "--warmup=300ms", "--count=400", server.grpc)
    assert (code, result["calls"]["due"], status(result, "OK")) == (0, 400, 400)
    assert server.value("total_requests") == 400 + result["measured"]["warmup_calls"]


def test_a_client_that_is_late_at_the_end_of_its_warm_up_makes_all_its_calls(serve, begin):
    server = serve()
    client = begin("--rate=100", "--warmup=1s", "--count=200", "--grace=200ms", server.grpc)
    until(lambda: server.value("total_requests") > 70, "the warm-up")
    with Stopped(client):  # measured calls are due when it goes on, and it is to see that late
        time.sleep(0.5)
    result = end(client)
    assert result["calls"]["due"] == status(result, "OK") == 200
    assert result["measured"]["offered_ns"] == 2 * 10**9


@pytest.mark.parametrize("loop", ["--rate=400", "--concurrency=20"])
def test_connections_are_renewed_and_no_call_is_lost(serve, run, loop):
    server = serve("--echo.delay=20ms")
    result, code = load(run, loop, "--duration=3s", "--connections=4", "--connection-lifetime=1s", server.grpc)
    connections = result["connections"]
    assert (code, status(result, "OK")) == (0, result["calls"]["due"])
    assert 6 <= connections["renewed"] <= 12
    assert connections["lost"] == connections["failed"] == 0
    assert 4 + connections["renewed"] - 4 <= connections["opened"] <= 4 + connections["renewed"]
    assert server.value("failed_requests") == 0


@pytest.mark.parametrize("loop", ["--rate=300", "--concurrency=12"])
def test_several_targets_get_equal_shares(serve, run, loop, tmp_path):
    servers = [serve("--echo.delay=5ms") for _ in range(2)]
    servers.append(serve("--echo.delay=5ms", f"--grpc.listen-address=unix:{tmp_path}/s"))
    targets = [servers[0].grpc, servers[1].grpc, f"unix:{tmp_path}/s"]
    result, code = load(run, loop, "--count=600", "--connections=6", *targets)
    assert (code, status(result, "OK"), result["connections"]["opened"]) == (0, 600, 6)
    assert result["plan"]["targets"] == targets
    counts = [server.value("total_requests") for server in servers]
    assert sum(counts) == 600
    assert len(result["backends"]) == 3
    if loop.startswith("--rate"):
        assert max(counts) - min(counts) < 150, counts
    else:
        assert min(counts) > 60, counts


def test_a_target_that_is_away_does_not_hold_up_the_others(serve, run):
    server = serve()
    result, code = load(
        run, "--rate=200", "--duration=1s", "--connections=2", server.grpc, f"127.0.0.1:{unused_port()}"
    )
    assert code == 0
    assert status(result, "OK") == server.value("total_requests") == 200 - result["never_found"]["calls"]
    assert 50 < status(result, "OK") < 150  # a machine that is late starts some together, on one of the two


def test_a_target_that_is_away_does_not_swallow_what_the_others_are_too_slow_for(serve, run):
    """One fails its calls at once, and so has room for any number of them: it gets its turns."""
    server = serve("--echo.delay=50ms")
    result, code = load(
        run, "--rate=1000", "--duration=1s", "--max-in-flight=20", "--connections=2", "--grace=20s",
        server.grpc, f"127.0.0.1:{unused_port()}",
    )
    assert (code, result["calls"]["never_sent"]) == (0, 0)
    assert result["never_found"]["calls"] < 600
    assert status(result, "OK") == server.value("total_requests") > 400


def test_a_method_that_is_not_ours(serve, run, tmp_path):
    """Bytes there and back: echod's own Echo, as anybody's."""
    server = serve()
    request = tmp_path / "request"
    request.write_bytes(b"\x0a\x02hi")
    flags = ["--method=muzz.Service/Echo", f"--request-file={request}", "--count=100", "--concurrency=5"]
    result, code = load(run, *flags, server.grpc)
    assert (code, status(result, "OK"), result["plan"]["method"]) == (0, 100, "muzz.Service/Echo")
    result, code = load(run, *flags, "--verify", server.grpc)
    assert (code, status(result, "OK")) == (0, 100)
    result, code = load(run, "--method=grpc.health.v1.Health/Check", "--count=10", "--concurrency=2", server.grpc)
    assert (code, status(result, "OK"), result["calls"]["mismatched"]) == (0, 10, 0)
    result, code = load(run, "--method=grpc.health.v1.Health/Check", "--verify", "--count=10", server.grpc)
    assert (code, status(result, "OK"), result["calls"]["mismatched"]) == (1, 0, 10)
    result, code = load(run, "--method=no.Such/Method", "--count=10", "--concurrency=2", server.grpc)
    assert (code, status(result, "UNIMPLEMENTED")) == (1, 10)


def test_a_lost_connection_is_told_from_one_that_said_goodbye(serve, begin):
    server = serve(exit_code=-9)
    client = begin("--rate=100", "--duration=30s", "--connections=3", server.grpc)
    until(lambda: server.value("total_requests") > 20, "load")
    server.send_signal(signal.SIGKILL)
    time.sleep(0.5)
    client.send_signal(signal.SIGINT)
    result = end(client)
    assert result["connections"]["lost"] == 3
    assert result["connections"]["goaways"] == {}
    server = serve()
    client = begin("--rate=100", "--duration=30s", "--connections=3", server.grpc)
    until(lambda: server.value("total_requests") > 20, "load")
    server.stop()
    time.sleep(0.5)
    client.send_signal(signal.SIGINT)
    result = end(client)
    assert result["connections"]["lost"] == 0
    assert result["connections"]["goaways"]["NO_ERROR"] >= 3


# --- ends ---


@pytest.mark.parametrize("loop", ["--rate=100", "--concurrency=4"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_reports_what_it_has(serve, begin, loop, number):
    server = serve("--echo.delay=10ms")
    client = begin(loop, "--duration=60s", server.grpc)
    until(lambda: server.value("total_requests") > 20, "load")
    start = time.monotonic()
    client.send_signal(number)
    result = end(client)
    assert time.monotonic() - start < 5
    assert client.returncode == 128 + number
    assert status(result, "OK") > 10
    assert result["measured"]["ended_by"] == number.name
    assert result["calls"]["due"] < 3000  # not those of the whole minute


def test_interrupted_while_it_warms_up_it_has_measured_nothing(serve, begin):
    server = serve()
    client = begin("--rate=100", "--warmup=60s", "--duration=60s", server.grpc)
    until(lambda: server.value("total_requests") > 10, "load")
    client.send_signal(signal.SIGINT)
    result = end(client)
    assert (client.returncode, result["calls"]["due"], result["measured"]["elapsed_ns"]) == (130, 0, 0)
    assert result["measured"]["warmup_calls"] > 10
    assert abs(result["run"]["started_unix_ns"] / 1e9 - time.time()) < 60


def test_interrupted_while_a_scraper_holds_up_its_end_it_reports_all_the_same(serve, begin):
    server, web = serve(), unused_port()
    client = begin("--rate=100", "--duration=1s", f"--web.listen-address=127.0.0.1:{web}", server.grpc)
    until(lambda: server.value("total_requests") > 10, "load")
    with socket.create_connection(("127.0.0.1", web)) as scraper:
        scraper.sendall(b"GET /metrics HT")  # has a second to go on, once the run is over
        until(lambda: server.value("echod_connections_active", listener="grpc") == 0, "the end of the run")
        client.send_signal(signal.SIGINT)
        result = end(client)
    assert client.returncode in (0, 130)  # the second may have been over
    assert (result["calls"]["due"], status(result, "OK"), result["measured"]["ended_by"]) == (100, 100, None)


def test_interrupted_with_all_places_taken_the_rest_was_never_sent(serve, begin):
    server = serve("--echo.delay=30s")
    client = begin("--rate=100", "--duration=60s", "--max-in-flight=5", "--timeout=40s", server.grpc)
    until(lambda: server.value("total_requests") == 5, "load")
    time.sleep(0.5)
    client.send_signal(signal.SIGINT)
    result = end(client)
    calls = result["calls"]
    assert (client.returncode, calls["started"], calls["unfinished"]) == (130, 5, 5)
    assert 40 < calls["never_sent"] < 2000


def test_interrupted_while_it_waits_for_the_last_calls(serve, begin):
    server = serve("--echo.delay=30s")
    client = begin("--count=3", "--concurrency=3", "--grace=60s", "--timeout=40s", server.grpc)
    until(lambda: server.value("total_requests") == 3, "load")
    client.send_signal(signal.SIGTERM)
    result = end(client)
    assert (client.returncode, result["calls"]["unfinished"]) == (143, 3)


def test_interrupted_before_it_begins(serve, begin):
    """What it is to be reconciled with takes the connection, and says nothing."""
    server = serve()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = begin(
            "--count=10", f"--reconcile=http://127.0.0.1:{listener.getsockname()[1]}/metrics", "--timeout=40s", server.grpc
        )
        peer, _ = listener.accept()
        peer.recv(4096)
        client.send_signal(signal.SIGINT)
        result = end(client)
        peer.close()
    assert (client.returncode, result["calls"]["due"]) == (130, 0)
    assert abs(result["run"]["started_unix_ns"] / 1e9 - time.time()) < 60
    assert server.value("total_requests") == 0


def test_interrupted_while_it_is_reconciled(serve, begin):
    server = serve()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = begin(
            "--count=10", f"--reconcile=http://127.0.0.1:{listener.getsockname()[1]}/metrics", "--timeout=40s", server.grpc
        )
        peer, _ = listener.accept()
        peer.recv(4096)
        text = b"grpc_server_started_total{grpc_method=\"Echo\",grpc_service=\"muzz.Service\",grpc_type=\"unary\"} 0\n"
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n"
                     + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        peer.close()
        peer, _ = listener.accept()
        peer.recv(4096)
        client.send_signal(signal.SIGTERM)
        result = end(client)
        peer.close()
    assert (client.returncode, status(result, "OK")) == (143, 10)


def test_a_count_without_a_server_ends_when_it_has_looked_long_enough(run):
    start = time.monotonic()
    result, code = load(run, "--count=1000000", "--concurrency=4", "--timeout=1s", f"127.0.0.1:{unused_port()}")
    assert 1 <= time.monotonic() - start < 15
    assert code == 4
    assert result["measured"]["ended_by"] == "no server for 1s"
    assert result["never_found"]["calls"] == result["calls"]["done"] > 3


def test_a_server_that_never_speaks_ends_the_run_all_the_same(run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        result, code = load(run, "--rate=20", "--duration=1s", "--timeout=500ms", "--connections=2", target)
    assert (code, result["calls"]["due"], result["never_found"]["calls"]) == (1, 20, 20)
    assert "deadline" in result["never_found"]["example"]


def test_a_name_that_does_not_exist_has_a_report_in_every_format(run, tmp_path):
    done = run(
        "client", "--rate=100", "--duration=1s", "--output=json", f"--output=html:{tmp_path}/page",
        f"--output=prom:{tmp_path}/metrics", "a.name.that.does.not.exist.invalid:1", "--assert=errors==0",
    )
    assert done.returncode == 4
    assert b"a.name.that.does.not.exist" in done.stderr
    result = json.loads(done.stdout)
    balance(result)
    assert result["calls"]["due"] == 0
    assert "cannot resolve" in result["measured"]["ended_by"]
    assert (tmp_path / "page").read_text().startswith("<!")
    assert "echod" in (tmp_path / "metrics").read_text()


def test_a_number_of_calls_ends_with_the_last_of_them(serve, run):
    server = serve()
    result, code = load(run, "--rate=0.01", "--count=1", server.grpc)  # the next would be due after 100 s
    assert (code, result["calls"]["done"]) == (0, 1)
    assert result["measured"]["elapsed_ns"] < 40e9
    assert result["summary"]["achieved_per_second"] == pytest.approx(0.01)


def test_a_schedule_without_a_call_says_so(serve, run):
    server = serve()
    done = run("client", "--rate=0.000001", "--arrival=poisson", "--duration=5ms", "--output=json", server.grpc)
    assert (done.returncode, json.loads(done.stdout)["calls"]["due"]) == (1, 0)
    assert b"no call was due in the time that is measured" in done.stderr


# --- exit codes and reports ---


def test_an_assertion_that_does_not_hold_is_3_and_printed(serve, run):
    server = serve("--echo.delay=20ms")
    flags = ["--count=50", "--concurrency=5", "--assert=p50<10ms", "--assert=errors==0", server.grpc]
    done = run("client", *flags)
    assert done.returncode == 3
    assert "p50<10ms" in done.stdout.decode()
    done = run("client", "--output=json", *flags)
    assert done.returncode == 3
    said = done.stderr.decode()
    assert "p50<10ms" in said and "errors==0" in said
    assert [each["held"] for each in json.loads(done.stdout)["assertions"]] == [False, True]
    assert run("client", *flags[:2], "--assert=p50>10ms", server.grpc).returncode == 0


def test_a_rate_that_was_not_offered_is_5(serve, run):
    server = serve("--echo.delay=200ms")
    result, code = load(
        run, "--rate=200", "--duration=1s", "--max-in-flight=2", "--grace=0s", "--assert=p99<1h", server.grpc
    )
    assert code == 5
    assert result["calls"]["never_sent"] > 100
    assert result["assertions"][0]["held"]
    _, code = load(run, "--rate=200", "--duration=1s", "--max-in-flight=2", "--grace=0s", server.grpc)
    assert code == 0  # without one nobody relies on it


def test_an_assertion_that_fails_on_less_than_the_rate_is_3(serve, run):
    """It would not hold of all of it either, and it was not this client that was slow."""
    server = serve("--echo.delay=10s")
    result, code = load(
        run, "--rate=100", "--duration=1s", "--max-in-flight=2", "--grace=0s", "--timeout=500ms", "--assert=errors==0",
        server.grpc,
    )
    assert result["calls"]["never_sent"] > 50
    assert code == (5 if result["summary"]["limited_by"] == "client CPU" else 3)


def test_fail_on_error(serve, run):
    server = serve("--echo.delay=uniform:0s,100ms")
    flags = ["--count=200", "--concurrency=20", "--timeout=50ms", server.grpc]
    result, code = load(run, *flags)
    assert code == 0
    assert 0 < status(result, "DEADLINE_EXCEEDED") < 200
    assert load(run, *flags, "--fail-on-error")[1] == 1


def test_a_report_to_a_file_leaves_the_text_on_standard_output(serve, run, tmp_path):
    server = serve()
    done = run("client", "--count=10", f"--output=json:{tmp_path}/run.json", server.grpc)
    assert done.returncode == 0
    assert b"OK" in done.stdout and not done.stdout.startswith(b"{")
    assert json.loads((tmp_path / "run.json").read_text())["calls"]["done"] == 10
    done = run("client", "--count=10", "--output=json:/dev/full", server.grpc)
    assert done.returncode == 1
    assert b"/dev/full" in done.stderr
    assert b"OK" in done.stdout


def test_two_runs_never_share_an_id(serve, run):
    server = serve()
    ids = [load(run, "--count=2", "--seed=1", server.grpc)[0]["run"]["id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(len(each) == 16 for each in ids)

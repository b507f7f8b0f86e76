"""The numbers are true: whatever ends a call moves each counter once, and only then."""
import difflib
import gzip
import os
import pathlib
import re
import subprocess
import threading
import time

import grpc
import pytest

import exposition
from calls import LIMIT, Http2, channel, encode, frame, method, raw_method
from daemon import environment, until

EDGES = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]

ZERO_STATE = (
    """# HELP failed_requests Total number of failed requests
# TYPE failed_requests counter
failed_requests 0
# HELP grpc_call_latency_seconds Latency of gRPC calls
# TYPE grpc_call_latency_seconds histogram
"""
    + "".join(f'grpc_call_latency_seconds_bucket{{le="{edge}"}} 0\n' for edge in EDGES)
    + """grpc_call_latency_seconds_sum 0
grpc_call_latency_seconds_count 0
# HELP grpc_calls_total Total number of gRPC calls
# TYPE grpc_calls_total counter
grpc_calls_total{method="Echo",status="fail"} 0
grpc_calls_total{method="Echo",status="success"} 0
"""
)
AFTER = """# HELP successful_requests Total number of successful requests
# TYPE successful_requests counter
successful_requests 0
# HELP total_requests Total number of requests received
# TYPE total_requests counter
total_requests 0
"""


class Seed:
    """The counters that the original program had, and the in-flight gauge."""

    def __init__(self, server):
        text = server.scrape()
        self.total = text.value("total_requests")
        self.successful = text.value("successful_requests")
        self.failed = text.value("failed_requests")
        self.success = text.value("grpc_calls_total", method="Echo", status="success")
        self.fail = text.value("grpc_calls_total", method="Echo", status="fail")
        self.observed = text.value("grpc_call_latency_seconds_count")
        self.sum = text.value("grpc_call_latency_seconds_sum")
        self.in_flight = text.value("echod_rpcs_in_flight")
        assert self.total - self.successful - self.failed == self.in_flight
        assert self.success + self.fail == self.observed
        assert (self.success, self.fail) == (self.successful, self.failed)


def moved(server, before, *, ok=0, failed=0):
    """Waits until that many calls more have ended, and nothing else has moved."""
    until(lambda: Seed(server).observed >= before.observed + ok + failed, "the calls' end")
    after = Seed(server)
    assert after.total == before.total + ok + failed
    assert after.successful == before.successful + ok
    assert after.failed == before.failed + failed
    assert after.in_flight == before.in_flight
    return after


@pytest.fixture
def slow(serve):
    """A server whose calls last until something else ends them."""
    return serve("--echo.delay=30s", "--shutdown.grace=1s")


# --- form ---

GOLDEN = pathlib.Path(__file__).with_name("families.txt")


def test_the_words_of_all_families_are_the_golden_ones(serve):
    """Names, types and HELP texts are what others build on: they do not change by accident."""
    families = exposition.read(serve().get(Accept=exposition.PROTOBUF_TYPE)).families
    now = "".join(f"{name} {family.type} {family.help}\n" for name, family in families.items())
    golden = GOLDEN.read_text(encoding="utf-8")
    changes = difflib.unified_diff(golden.splitlines(), now.splitlines(), "families.txt", "now", lineterm="", n=0)
    assert golden == now, (
        "\n".join(changes) + f"\nIf that is meant, say so in CHANGELOG.md and apply it to {GOLDEN.name}"
    )


def test_the_state_before_the_first_call_is_the_golden_one(serve):
    text = serve().get().body.decode()
    assert ZERO_STATE in text
    assert AFTER.split("# HELP total")[0] in text
    assert AFTER[AFTER.index("# HELP total") :] in text


def test_promtool_has_only_the_three_known_objections(shared):
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=shared.get().body, capture_output=True, check=False
    )
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert sorted(lines) == [
        f'{name} counter metrics should have "_total" suffix'
        for name in ("failed_requests", "successful_requests", "total_requests")
    ]
    assert done.returncode == 3  # lint, not a parse error


def test_families_carry_the_names_and_types_that_are_promised(shared):
    families = shared.scrape().families
    for name, kind in {
        "echod_build_info": "gauge",
        "echod_rpcs_in_flight": "gauge",
        "echod_ready": "gauge",
        "echod_connections_active": "gauge",
        "echod_connections_accepted_total": "counter",
        "echod_connections_refused_total": "counter",
        "echod_connections_closed_total": "counter",
        "echod_http2_streams_active": "gauge",
        "echod_http2_streams_opened_total": "counter",
        "echod_http2_rst_stream_received_total": "counter",
        "echod_http_refused_total": "counter",
        "echod_network_receive_bytes_total": "counter",
        "echod_network_transmit_bytes_total": "counter",
        "echod_metrics_http_requests_total": "counter",
        "process_cpu_seconds_total": "counter",
        "process_open_fds": "gauge",
        "process_max_fds": "gauge",
        "process_virtual_memory_bytes": "gauge",
        "process_resident_memory_bytes": "gauge",
        "process_start_time_seconds": "gauge",
    }.items():
        assert name in families, name
        assert families[name].type == kind, name


def test_the_process_families_are_true(serve):
    server = serve()
    text = server.scrape()
    assert abs(text.value("process_start_time_seconds") - time.time()) < 60
    assert abs(text.value("process_open_fds") - len(os.listdir(f"/proc/{server.pid}/fd"))) <= 2
    with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert abs(text.value("process_resident_memory_bytes") - resident) < 8 << 20
    ticks = os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    assert abs(text.value("process_cpu_seconds_total") - (int(fields[11]) + int(fields[12])) / ticks) < 0.5


def test_no_locale_changes_a_number(serve):
    text = serve(env={"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"}).get().body
    exposition.parse(text)


def test_the_lines_are_the_same_ones_before_and_after_load(serve):
    server = serve()
    before = server.scrape()
    with channel(server.grpc) as made:
        for i in range(50):
            method(made)(b"x" * i, timeout=5)
        with pytest.raises(grpc.RpcError):
            raw_method(made)(b"\xff", timeout=5)
        with pytest.raises(grpc.RpcError):
            method(made, "/who/Knows")(b"", timeout=5)
    server.get("/nope")
    assert server.scrape().series() == before.series()
    assert len(server.get().body.splitlines()) < 800


def test_the_order_of_lines_never_changes(shared):
    def names(body):
        return re.sub(rb" \S+$", b"", body, flags=re.M)

    assert names(shared.get().body) == names(shared.get().body)


def test_the_telemetry_path_is_a_flag(serve):
    server = serve("--web.telemetry-path=/numbers")
    assert server.get("/metrics").status == 404
    exposition.parse(server.get("/numbers").body)
    assert b'href="/numbers"' in server.get("/").body


# --- what each end of a call moves ---


def test_success(serve):
    server = serve()
    before = Seed(server)
    with channel(server.grpc) as made:
        for _ in range(7):
            method(made)(b"x", timeout=5)
    after = moved(server, before, ok=7)
    assert 0 < after.sum < 7


def test_an_error_status(shared):
    before = Seed(shared)
    with channel(shared.grpc) as made, pytest.raises(grpc.RpcError):
        raw_method(made)(b"\x0a\x01\xff", timeout=5)
    moved(shared, before, failed=1)


def test_cancel_by_the_client(slow):
    before = Seed(slow)
    with channel(slow.grpc) as made:
        future = method(made).future(b"x")
        slow.wait_value(1, "echod_rpcs_in_flight")
        now = Seed(slow)
        assert (now.total, now.observed) == (before.total + 1, before.observed)
        future.cancel()
        moved(slow, before, failed=1)
    assert slow.value("echod_http2_rst_stream_received_total", error_code="CANCEL") == 1


def test_deadline(slow):
    before = Seed(slow)
    with Http2(slow.grpc_port) as peer:
        stream = peer.request(("grpc-timeout", "200m"), body=frame(encode("x")))
        assert peer.status(stream) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        after = moved(slow, before, failed=1)
    assert 0.2 <= after.sum - before.sum < 5
    assert slow.value("echod_grpc_deadlines_exceeded_total") == 1


def test_a_deadline_that_has_passed(shared):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        assert peer.call("x", ("grpc-timeout", "0n"))[0] == 4
    moved(shared, before, failed=1)


def test_a_lost_connection(slow):
    before = Seed(slow)
    with Http2(slow.grpc_port) as peer:
        for _ in range(5):
            peer.request(body=frame(encode("x")))
        slow.wait_value(5, "echod_rpcs_in_flight")
    moved(slow, before, failed=5)
    assert slow.value("echod_connections_active", listener="grpc") == 0


def test_a_reset_connection(slow):
    before = Seed(slow)
    with Http2(slow.grpc_port) as peer:
        peer.request(body=frame(encode("x")))
        slow.wait_value(1, "echod_rpcs_in_flight")
        peer.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: close() sends RST
    moved(slow, before, failed=1)


def test_calls_of_a_connection_that_is_closed_for_an_error_end_with_it(slow):
    """Not when the peer, which may take its time, has closed too."""
    before = Seed(slow)
    with Http2(slow.grpc_port) as peer:
        for _ in range(5):
            peer.request(body=frame(encode("x")))
        slow.wait_value(5, "echod_rpcs_in_flight")
        peer.socket.sendall(b"\0\0\1\0\0\0\0\0\x63x")  # DATA of a stream that there is not
        while peer.pump():
            pass
        now = Seed(slow)
        assert (now.failed - before.failed, now.in_flight) == (5, 0)
        assert slow.value("echod_connections_active", listener="grpc") == 1
    moved(slow, before, failed=5)


def test_a_killed_client(slow, echod):
    before = Seed(slow)
    client = subprocess.Popen(
        [echod, "client", slow.grpc], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        slow.wait_value(1, "echod_rpcs_in_flight")
    finally:
        client.kill()
        client.wait()
    moved(slow, before, failed=1)


@pytest.mark.parametrize("timeout", ["", "S", "1", "1x", "-1S", "+1S", "1 S", "123456789S", "1.5S", "1s"])
def test_a_bad_timeout(shared, timeout):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        assert peer.call("x", ("grpc-timeout", timeout))[0] == grpc.StatusCode.INTERNAL.value[0]
    moved(shared, before, failed=1)


@pytest.mark.parametrize("timeout", ["1H", "99999999H", "00000001H", "5000m", "99999999u", "1M", "99999999S"])
def test_a_good_timeout(shared, timeout):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        assert peer.call("x", ("grpc-timeout", timeout)) == (0, b"x")
    moved(shared, before, ok=1)


def test_an_oversized_message(shared):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        stream = peer.request(body=b"\0" + (LIMIT + 1).to_bytes(4, "big"), end=False)
        assert peer.status(stream) == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    moved(shared, before, failed=1)


def test_a_torn_message_and_none_and_two(shared):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        assert peer.status(peer.request(body=frame(b"\x0a\x05hello")[:-2])) == 13
        assert peer.status(peer.request(body=b"\0\0")) == 13
        assert peer.status(peer.request(body=b"")) == 12
        assert peer.status(peer.request(body=frame(encode("x")) * 2)) == 12
        assert peer.status(peer.request()) == 12
    moved(shared, before, failed=5)


def test_a_reset_before_the_message(shared):
    before = Seed(shared)
    with Http2(shared.grpc_port) as peer:
        stream = peer.request(end=False)
        shared.wait_value(before.in_flight + 1, "echod_rpcs_in_flight")
        peer.h2.reset_stream(stream, 8)
        peer.flush()
        moved(shared, before, failed=1)


def test_a_message_counts_once_a_method_has_it_or_it_has_left_whole(serve):
    server = serve()
    labels = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}

    def messages():
        text = server.scrape()
        return [text.value(f"grpc_server_msg_{way}_total", **labels) for way in ("received", "sent")]

    with Http2(server.grpc_port) as peer:
        for body in frame(encode("x")) * 2, frame(b"\x0a\x05he"), frame(encode("x"))[:-1]:
            peer.response(peer.request(body=body))
        assert messages() == [0, 0]
        assert peer.call("x") == (0, b"x")
        assert messages() == [1, 1]
        peer.h2.update_settings({4: 7})  # the window of a stream: not for the whole reply
        stream = peer.request(body=frame(encode("hello")))
        server.wait_value(2, "grpc_server_msg_received_total", **labels)
        peer.h2.reset_stream(stream, 8)
        peer.flush()
        server.wait_value(5, "grpc_call_latency_seconds_count")
    assert messages() == [2, 1]


def test_too_many_headers_are_no_call_of_their_path(serve):
    server = serve()
    with Http2(server.grpc_port) as peer:
        assert peer.status(peer.request(("x", "y" * 20_000))) == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    other = {"grpc_type": "unary", "grpc_service": "other", "grpc_method": "other"}
    text = server.scrape()
    assert text.value("grpc_server_handled_total", grpc_code="ResourceExhausted", **other) == 1
    assert text.value("echod_http_refused_total", status="200") == 1
    assert (text.value("total_requests"), text.value("echod_http2_header_lists_too_large_total")) == (0, 1)


# --- what is no call ---

REFUSALS = {
    "GET": ({"method": "GET"}, "405"),
    "DELETE": ({"method": "DELETE"}, "405"),
    "no content-type": ({"content_type": None}, "415"),
    "application/json": ({"content_type": "application/json"}, "415"),
    "application/grpc-web": ({"content_type": "application/grpc-web"}, "415"),
    "application/grpcx": ({"content_type": "application/grpcx"}, "415"),
    "unknown service": ({"path": "/a.B/C"}, "200"),
    "unknown method": ({"path": "/muzz.Service/Nope"}, "200"),
    "trailing slash": ({"path": "/muzz.Service/Echo/"}, "200"),
    "percent": ({"path": "/muzz.Service/%45cho"}, "200"),
    "no method": ({"path": "/muzz.Service"}, "200"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_counted_apart(shared, name):
    options, status = REFUSALS[name]
    before = Seed(shared)
    refused = shared.scrape().samples("echod_http_refused_total")
    with Http2(shared.grpc_port) as peer:
        stream = peer.request(body=frame(encode("x")), **options)
        headers, _, trailers = peer.response(stream)
        assert headers[":status"] == status
        if status == "200":
            assert {**headers, **trailers}["grpc-status"] == "12"
        else:
            assert "grpc-status" not in {**headers, **trailers}
        assert peer.call("still here") == (0, b"still here")
    moved(shared, before, ok=1)
    after = shared.scrape().samples("echod_http_refused_total")
    assert {k: after[k] - refused[k] for k in after if after[k] != refused[k]} == {(("status", status),): 1}


def test_cardinality_does_not_follow_paths(shared):
    before = shared.scrape().series()
    with Http2(shared.grpc_port) as peer:
        for i in range(300):
            peer.response(peer.request(path=f"/random.Service{i}/Method{i}", body=b""))
    assert shared.scrape().series() == before


METHOD = ("grpc_type", "grpc_service", "grpc_method")


def by_method(text, name):
    """{(type, service, method): the sum of its samples}"""
    sums = {}
    for labels, value in text.samples(name).items():
        key = tuple(dict(labels)[label] for label in METHOD)
        sums[key] = sums.get(key, 0) + value
    return sums


def check_methods(text):
    """What joins the families of every method, where no call is in flight."""
    started, handled = by_method(text, "grpc_server_started_total"), by_method(text, "grpc_server_handled_total")
    assert started == handled
    timed = by_method(text, "grpc_server_handling_seconds_count")
    assert timed == {key: calls for key, calls in handled.items() if key[1] != "grpc.testing.TestService"}
    for name in ("grpc_server_msg_received_total", "grpc_server_msg_sent_total"):
        assert by_method(text, name).keys() == started.keys()
    assert len([labels for labels in text.samples("grpc_server_handled_total")]) == 17 * len(started)
    return started


def test_all_methods_add_up_once_they_are_at_rest(serve):
    server = serve("--grpc.interop", "--echo.delay=10ms", "--echo.status=NOT_FOUND:50", "--echo.fault-mode=every-nth")
    with channel(server.grpc) as made:
        echo, check = method(made), raw_method(made, "/grpc.health.v1.Health/Check")
        calls = [echo.future(b"x", timeout=30) for _ in range(20)]
        assert sorted(call.code().name for call in calls) == ["NOT_FOUND"] * 10 + ["OK"] * 10
        for _ in range(3):
            check(b"", timeout=30)
        raw_method(made, "/grpc.testing.TestService/EmptyCall")(b"", timeout=30)
        for path in ("/no.Such/Method", "/muzz.Service/Other", "/other/other"):
            with pytest.raises(grpc.RpcError):
                raw_method(made, path)(b"x", timeout=30)
    text = server.scrape()
    started = check_methods(text)
    assert {key[1:]: calls for key, calls in started.items() if calls} == {
        ("muzz.Service", "Echo"): 20, ("grpc.health.v1.Health", "Check"): 3,
        ("grpc.testing.TestService", "EmptyCall"): 1, ("other", "other"): 3,
    }
    labels = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}
    assert text.value("grpc_server_msg_received_total", **labels) == 20
    assert text.value("grpc_server_msg_sent_total", **labels) == 10
    assert len(server.get().body.splitlines()) < 800
    assert text.value("echod_internal_errors_total", kind="bad_observation") == 0


def test_names_of_one_thing_say_the_same(serve):
    """grpc_server_handling_seconds of Echo is the frozen histogram; delay and the rest make up the whole."""
    server = serve("--echo.delay=uniform:0s,30ms")
    with channel(server.grpc) as made:
        for future in [method(made).future(b"x", timeout=30) for _ in range(100)]:
            future.result()
    text = exposition.read(server.get(Accept=exposition.PROTOBUF_TYPE))
    frozen = text.families["grpc_call_latency_seconds"].histograms[()]
    labels = (("grpc_method", "Echo"), ("grpc_service", "muzz.Service"), ("grpc_type", "unary"))
    assert text.families["grpc_server_handling_seconds"].histograms[labels] == frozen
    native = text.families["echod_rpc_duration_seconds"].natives[()]
    assert (native.count, native.sum) == (frozen.count, frozen.sum) == (100, frozen.sum)
    overhead = text.families["echod_rpc_overhead_seconds"].histograms[()]
    assert overhead.count == 100
    assert overhead.sum + text.value("echod_rpc_delay_seconds_total") == pytest.approx(frozen.sum)
    assert text.value("echod_delays_injected_total") >= 80


# --- truth over time ---


def test_nothing_falls_and_every_scrape_adds_up_under_load(serve, echod):
    """Invariants of a process's life, held against scrapes in the midst of load."""
    server = serve("--echo.delay=uniform:0s,20ms")
    load = subprocess.Popen(
        [echod, "client", "--duration=4s", "--concurrency=100", server.grpc],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    scrapes = 0
    try:
        before = server.scrape()
        while load.poll() is None:
            after = server.scrape()
            assert exposition.regressions(before, after) == []
            assert after.series() == before.series()
            total, ok, bad = (after.value(n) for n in ("total_requests", "successful_requests", "failed_requests"))
            assert total - ok - bad == after.value("echod_rpcs_in_flight")
            assert ok + bad == after.value("grpc_call_latency_seconds_count")
            assert after.value("grpc_calls_total", method="Echo", status="success") == ok
            scrapes += 1
            before = after
    finally:
        load.kill()
        load.wait()
    assert load.returncode == 0
    assert scrapes > 20
    assert server.value("failed_requests") == 0


def test_a_storm_of_scrapes_spoils_nothing(serve):
    server = serve()
    stop = threading.Event()
    defects = []

    def storm():
        while not stop.is_set():
            try:
                exposition.parse(server.get().body)
            except Exception as error:  # pylint: disable=broad-except
                defects.append(error)
                return

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        with channel(server.grpc) as made:
            for i in range(100):
                assert method(made)(b"x" * i, timeout=5) == b"x" * i
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not defects
    after = Seed(server)
    assert (after.total, after.successful, after.in_flight) == (100, 100, 0)


def test_the_sum_is_that_of_the_delays(serve):
    server = serve("--echo.delay=100ms")
    with channel(server.grpc) as made:
        for future in [method(made).future(b"x", timeout=10) for _ in range(100)]:
            future.result()
    text = server.scrape()
    assert 10.0 <= text.value("grpc_call_latency_seconds_sum") < 15.0
    assert text.value("grpc_call_latency_seconds_bucket", le="0.05") == 0
    assert text.value("grpc_call_latency_seconds_bucket", le="0.25") >= 95


def test_connections_and_streams_are_counted(serve):
    server = serve("--echo.delay=10s", "--shutdown.grace=1s")
    peers = [Http2(server.grpc_port) for _ in range(3)]
    try:
        server.wait_value(3, "echod_connections_active", listener="grpc")
        for peer in peers:
            peer.request(body=frame(encode("x")))
        server.wait_value(3, "echod_http2_streams_active")
    finally:
        for peer in peers:
            peer.socket.close()
    server.wait_value(0, "echod_connections_active", listener="grpc")
    text = server.scrape()
    assert text.value("echod_http2_streams_active") == 0
    assert text.value("echod_http2_streams_opened_total") == 3
    assert text.value("echod_connections_accepted_total", listener="grpc") == 3
    assert sum(text.samples("echod_connections_closed_total").values()) >= 3
    assert text.value("echod_network_receive_bytes_total", listener="grpc") > 3 * 24
    server.wait_value(1, "echod_connections_active", listener="metrics")  # the scrape itself


def test_bytes_are_those_on_the_wire(serve):
    server = serve()
    before = server.scrape()
    with channel(server.grpc) as made:
        method(made)(b"x" * 1000000, timeout=10)
    after = server.scrape()
    for name in ("echod_network_receive_bytes_total", "echod_network_transmit_bytes_total"):
        grown = after.value(name, listener="grpc") - before.value(name, listener="grpc")
        assert 1000000 < grown < 1020000, name


def test_requests_of_the_http_face_are_counted(serve):
    server = serve()
    server.get("/nope")
    server.get("/metrics", method="POST")
    server.get("/metrics")
    codes = server.scrape().samples("echod_metrics_http_requests_total")
    by_code = {dict(labels)["code"]: n for labels, n in codes.items()}
    assert (by_code["404"], by_code["405"]) == (1, 1)
    assert by_code["200"] >= 1


def test_a_compressed_scrape_is_the_same_text(shared):
    answer = shared.get(Accept_Encoding="gzip")
    assert answer.header("content-encoding") == "gzip"
    assert exposition.parse(gzip.decompress(answer.body)).series() == shared.scrape().series()

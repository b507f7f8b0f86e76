"""grpc.health.v1, and that it says so first when the server stops."""
import signal
import time

import grpc
import pytest

from calls import channel
from daemon import until
from frames import ACK, DATA, GOAWAY, OK, PING, UNAVAILABLE, Peer, frame, message, request
from reflected import Reflected, field, fields

SERVICES = ["", "muzz.Service", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"]
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
CHECK, WATCH, LIST = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch", "List"))


def asked(service):
    return field(1, service) if service else b""


def status_of(response):
    return dict(fields(response)).get(1, 0)


def check(made, service=""):
    return status_of(made.unary_unary(CHECK)(asked(service), timeout=10))


@pytest.mark.parametrize("service", SERVICES)
def test_check_says_serving(shared, service):
    with channel(shared.grpc) as made:
        assert check(made, service) == SERVING


@pytest.mark.parametrize("service", ["muzz", "muzz.Service.", "muzz.Servic", b"muzz.Service\0x", "grpc.testing.TestService"])
def test_check_of_an_unknown_service_is_not_found(shared, service):
    with channel(shared.grpc) as made, pytest.raises(grpc.RpcError) as error:
        check(made, service)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_list_has_every_service(shared):
    with channel(shared.grpc) as made:
        known = Reflected(made)
        response = known.method(LIST)(known.message("grpc.health.v1.HealthListRequest")(), timeout=10)
        assert {name: each.status for name, each in response.statuses.items()} == dict.fromkeys(SERVICES, SERVING)


def test_interop_is_known_where_it_is_served(serve):
    server = serve("--grpc.interop")
    with channel(server.grpc) as made:
        assert check(made, "grpc.testing.TestService") == SERVING


def test_watch_answers_at_once_and_stays(shared):
    with channel(shared.grpc) as made:
        known, unknown = (made.unary_stream(WATCH)(asked(service), timeout=1) for service in ("muzz.Service", "no.such"))
        assert status_of(next(known)) == SERVING
        assert status_of(next(unknown)) == SERVICE_UNKNOWN
        for call in (known, unknown):
            with pytest.raises(grpc.RpcError):
                next(call)
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def watching(server, *services):
    """A connection with a watch for each service, whose first answers are in."""
    peer = Peer(server.grpc_port)
    streams = [peer.open(request(change={":path": WATCH}), body=message(asked(each))) for each in services]
    peer.until(lambda: all(peer.of(DATA, stream) for stream in streams), "the first answers")
    return peer, streams


def read_to_the_end(peer):
    """And answers the PING by which the server learns that its GOAWAY has arrived."""
    answered = 0
    while peer.read():
        for ping in peer.of(PING, ack=False)[answered:]:
            peer.try_send(frame(PING, ACK, payload=ping.payload))
            answered += 1


def assert_told_before_goaway(peer, streams):
    read_to_the_end(peer)
    goaway = peer.frames.index(peer.of(GOAWAY)[0])
    for stream in streams:
        before = [f for f in peer.frames[:goaway] if f.kind == DATA and f.stream == stream]
        assert [f.payload for f in before] == [message(b"\x08\x01"), message(b"\x08\x02")], peer.frames
        response = peer.answer(stream)
        assert response.status == UNAVAILABLE and response.text
    assert len(peer.of(GOAWAY)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", ["0s", "200ms"])
def test_a_watch_hears_of_the_end_before_the_first_goaway(serve, number, delay):
    server = serve(f"--shutdown.delay={delay}", "--shutdown.grace=20s")
    peers = [watching(server, "", "muzz.Service") for _ in range(20)]
    start = time.monotonic()
    server.send_signal(number)
    for peer, streams in peers:
        assert_told_before_goaway(peer, streams)
        peer.close()
    assert server.wait() == 0
    assert time.monotonic() - start < 4, "the watches held the drain up"


def test_a_watch_that_begins_during_the_delay_hears_it_at_once(serve):
    server = serve("--shutdown.delay=2s")
    server.send_signal()
    until(lambda: server.get("/-/ready").status == 503, "not ready")
    with Peer(server.grpc_port) as peer:
        stream = peer.open(request(change={":path": WATCH}), body=message(b""))
        peer.until(lambda: peer.of(DATA, stream), "the first answer")
        assert peer.of(DATA, stream)[0].payload == message(b"\x08\x02")
        assert not peer.of(GOAWAY)
        read_to_the_end(peer)
        assert peer.answer(stream).status == UNAVAILABLE
    assert server.wait() == 0


def test_check_during_the_delay_says_not_serving_and_calls_are_served(serve):
    server = serve("--shutdown.delay=1500ms")
    server.send_signal()
    until(lambda: server.get("/-/ready").status == 503, "not ready")
    with channel(server.grpc) as made:
        for service in SERVICES:
            assert check(made, service) == NOT_SERVING
    with Peer(server.grpc_port) as peer:
        assert peer.call("still here").status == OK
    assert server.wait() == 0


def test_a_watch_that_nobody_reads_holds_up_no_drain(serve):
    server = serve("--shutdown.grace=2s")
    with Peer(server.grpc_port, initial={4: 0}) as peer:
        stream = peer.open(request(change={":path": WATCH}), body=message(b""))
        peer.ping()
        assert not peer.of(DATA, stream)
        start = time.monotonic()
        assert server.stop() < 10
        assert time.monotonic() - start < 10


def test_the_exit_of_a_watcher_is_counted_by_its_status(serve):
    server = serve()
    labels = {"grpc_type": "server_stream", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Watch"}
    with channel(server.grpc) as made:
        call = made.unary_stream(WATCH)(b"")
        assert status_of(next(call)) == SERVING
        server.wait_value(1, "grpc_server_started_total", **labels)
        assert server.value("grpc_server_handled_total", grpc_code="Canceled", **labels) == 0
        call.cancel()
        server.wait_value(1, "grpc_server_handled_total", grpc_code="Canceled", **labels)
        assert check(made) == SERVING
    check_labels = {"grpc_type": "unary", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Check"}
    assert server.value("grpc_server_handled_total", grpc_code="OK", **check_labels) == 1
    for frozen in ("total_requests", "successful_requests", "failed_requests", "echod_rpcs_in_flight",
                   "grpc_call_latency_seconds_count"):
        assert server.value(frozen) == 0, "the frozen families count Echo alone"


def test_echo_counts_alike_under_both_names(serve):
    server = serve()
    labels = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}
    with Peer(server.grpc_port) as peer:
        for _ in range(3):
            assert peer.call("x").status == OK
        broken = peer.open(request(change={":path": "/muzz.Service/Echo"}), body=message(b"\xff"))
        assert peer.response(broken).blocks
        peer.ping()
    server.wait_value(4, "grpc_server_started_total", **labels)
    assert server.value("total_requests") == 4
    assert server.value("grpc_server_handled_total", grpc_code="OK", **labels) == 3
    assert server.value("successful_requests") == 3
    assert server.value("grpc_server_handled_total", grpc_code="Internal", **labels) == 1
    scrape = server.scrape()
    handled = sum(scrape.value("grpc_server_handled_total", grpc_code=code, **labels)
                  for code in ("OK", "Internal", "Canceled", "Unknown", "Unimplemented"))
    assert handled == scrape.value("successful_requests") + scrape.value("failed_requests")

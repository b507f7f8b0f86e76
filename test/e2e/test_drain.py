"""Stopping: what reached the server is answered, and it is gone in time."""
import concurrent.futures
import json
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

from calls import Http2, channel, method
from daemon import accepts, environment, until
from load import balance, statuses


def client_load(echod, server, *arguments):
    return subprocess.Popen(
        [echod, "client", "--output=json", "--progress=off", *arguments, server.grpc],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )


def all_reached_were_answered(client):
    out, err = client.communicate(timeout=40)
    result = json.loads(out)
    balance(result)
    assert set(statuses(result)) == {"OK"}, (result, err)
    assert result["calls"]["mismatched"] == result["calls"]["unfinished"] == 0, result
    return result


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", ["none", "uniform:0s,300ms"])
@pytest.mark.parametrize("connections", [1, 10])
def test_under_load_of_our_client_no_call_is_lost(serve, echod, number, delay, connections):
    server = serve(f"--echo.delay={delay}")
    client = client_load(echod, server, "--duration=3s", "--concurrency=50", f"--connections={connections}")
    until(lambda: server.value("successful_requests") > 100, "load")
    assert server.stop(number) < 10
    result = all_reached_were_answered(client)
    assert statuses(result)["OK"] > 100
    assert result["never_found"]["calls"] > 0


NO_SERVER = ("failed to connect", "connection refused", "connections to all backends failing", "empty address list")


def test_under_load_of_grpcio_no_call_is_lost(serve):
    """Whatever grpcio reports after the signal must be that it found nobody to connect to."""
    server = serve("--echo.delay=uniform:0s,200ms")
    gone = threading.Event()

    def one(i):
        answered, others = 0, []
        with channel(server.grpc) as made:
            while not gone.is_set():
                text = f"{i} {answered}".encode()
                try:
                    assert method(made)(text, timeout=20) == text
                    answered += 1
                except grpc.RpcError as error:
                    others.append(error)
                    time.sleep(0.05)
        return answered, others

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(one, i) for i in range(20)]
        until(lambda: server.value("successful_requests") > 200, "load")
        try:
            server.stop()
            time.sleep(0.5)
        finally:
            gone.set()
        results = [future.result() for future in futures]
    assert sum(answered for answered, _ in results) > 200
    for _, errors in results:
        for error in errors:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            assert any(text in error.details().lower() for text in NO_SERVER), error


def test_calls_in_flight_are_finished_and_new_ones_find_nobody(serve):
    server = serve("--echo.delay=2s")
    with channel(server.grpc) as made:
        futures = [method(made).future(b"x", timeout=20) for _ in range(50)]
        server.wait_value(50, "echod_rpcs_in_flight")
        server.send_signal()
        until(lambda: not server.accepts(), "the closing of the port")
        with channel(server.grpc) as late, pytest.raises(grpc.RpcError) as error:
            method(late)(b"late", timeout=5)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert [future.result() for future in futures] == [b"x"] * 50
    assert server.wait() == 0


def test_the_metrics_outlive_the_calls_and_say_so(serve):
    server = serve("--echo.delay=2s")
    with channel(server.grpc) as made:
        future = method(made).future(b"x", timeout=20)
        server.wait_value(1, "echod_rpcs_in_flight")
        server.send_signal()
        until(lambda: server.get("/-/ready").status == 503, "not ready")
        assert server.get("/-/healthy").status == 200
        assert server.value("echod_ready") == 0
        assert server.value("echod_rpcs_in_flight") == 1
        assert future.result() == b"x"
    assert server.wait() == 0


def test_the_delay_is_a_lame_duck(serve):
    """Not ready, and still served, new connections too, until the delay is over."""
    server = serve("--shutdown.delay=1s")
    assert server.get("/-/ready").status == 200
    start = time.monotonic()
    server.send_signal()
    until(lambda: server.get("/-/ready").status == 503, "not ready")
    with channel(server.grpc) as made:
        assert method(made)(b"x", timeout=5) == b"x"
    assert server.wait() == 0
    assert 0.9 < time.monotonic() - start < 5


def test_the_grace_cuts_what_is_left(serve):
    server = serve("--echo.delay=60s", "--shutdown.grace=500ms")
    with channel(server.grpc) as made:
        futures = [method(made).future(b"x", timeout=50) for _ in range(3)]
        server.wait_value(3, "echod_rpcs_in_flight")
        start = time.monotonic()
        server.stop()
        assert 0.4 < time.monotonic() - start < 5
        for future in futures:
            assert future.exception(timeout=5).code() == grpc.StatusCode.UNAVAILABLE
    warned = [line for line in server.output().splitlines() if "level=WARN" in line]
    assert len(warned) == 1 and "calls=3" in warned[0]


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(serve, number, code):
    server = serve("--echo.delay=60s", "--shutdown.grace=60s", exit_code=code)
    with channel(server.grpc) as made:
        future = method(made).future(b"x", timeout=50)
        server.wait_value(1, "echod_rpcs_in_flight")
        server.send_signal()
        until(lambda: not server.accepts(), "the drain")
        assert server.process.poll() is None
        assert server.stop(number) < 2
        assert future.exception(timeout=5).code() == grpc.StatusCode.UNAVAILABLE


def test_a_second_signal_ends_the_lame_duck(serve):
    server = serve("--shutdown.delay=60s", exit_code=143)
    server.send_signal()
    until(lambda: server.get("/-/ready").status == 503, "not ready")
    assert server.stop() < 2


def test_an_idle_connection_is_told_and_closed(serve):
    server = serve()
    with Http2(server.grpc_port) as peer:
        assert peer.call("x") == (0, b"x")
        server.send_signal()
        while peer.pump():
            pass
        goaways = [event for event in peer.others if type(event).__name__ == "ConnectionTerminated"]
        assert [event.error_code for event in goaways] == [0] * len(goaways)
        assert goaways
    assert server.wait() == 0


def test_a_peer_that_never_answers_the_ping_does_not_hold_it_up(serve):
    server = serve("--shutdown.grace=2s")
    with socket.create_connection(("127.0.0.1", server.grpc_port)) as mute:
        mute.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        server.wait_value(1, "echod_connections_active", listener="grpc")
        assert server.stop() < 9


def test_a_connection_without_a_byte_does_not_hold_it_up(serve):
    server = serve("--shutdown.grace=2s")
    with socket.create_connection(("127.0.0.1", server.grpc_port)), socket.create_connection(
        ("127.0.0.1", server.web_port)
    ):
        server.wait_value(1, "echod_connections_active", listener="grpc")
        assert server.stop() < 9


def test_who_waits_in_the_backlog_is_served(serve):
    """Connections that the kernel has accepted, and the server not yet, are answered."""
    server = serve()
    server.send_signal(signal.SIGSTOP)
    peers = []
    try:
        for _ in range(20):
            sock = socket.create_connection(("127.0.0.1", server.grpc_port), 10)
            peers.append(sock)
        server.send_signal(signal.SIGTERM)
    finally:
        server.send_signal(signal.SIGCONT)
    for sock in peers:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        first = sock.recv(9)
        assert first[3:4] == b"\4", first  # SETTINGS: it was accepted, not reset
        sock.close()
    assert server.wait() == 0


@pytest.mark.limit(120)
def test_restarted_again_and_again_under_load(serve, echod):
    """Ten lives on one port; each ends by 0, and no call that reached one is lost."""
    port = None
    for _ in range(10):
        server = serve(*([f"--grpc.listen-address=127.0.0.1:{port}"] if port else []))
        port = server.grpc_port
        client = client_load(echod, server, "--duration=700ms", "--concurrency=20")
        until(lambda: server.value("total_requests") > 50, "load")  # pylint: disable=cell-var-from-loop
        assert server.stop() < 8
        all_reached_were_answered(client)
        assert not accepts(port)


def test_a_scrape_in_progress_is_finished(serve):
    server = serve()
    import http1

    with http1.Connection(server.web_port) as connection:
        connection.send(http1.request("GET", "/metrics"))
        assert connection.answer().status == 200
        connection.send(http1.request("GET", "/metrics"))
        time.sleep(0.05)
        server.send_signal()
        answer = connection.answer()
        assert answer is not None and answer.status == 200
    assert server.wait() == 0

"""A server of two that dies in the middle of a load run: who answered, how long none did, and every call's end."""
import time

import pytest

from daemon import until, unused_port
from load import Run, status
from test_proxies import proxy

HAPROXY = """
global
	maxconn 500
defaults
	mode http
	timeout connect 1s
	timeout client 30s
	timeout server 30s
	retries 2
	option redispatch
frontend grpc
	bind 127.0.0.1:{port} proto h2
	default_backend echo
backend echo
	balance roundrobin
	option httpchk GET /-/ready
	default-server inter 100ms fall 2 rise 1
	server one 127.0.0.1:{one.grpc_port} proto h2 check check-proto h1 port {one.web_port}
	server two 127.0.0.1:{two.grpc_port} proto h2 check check-proto h1 port {two.web_port}
"""


@pytest.fixture
def pair(serve):
    """Two servers, of which the second may be killed."""
    one = serve("--instance=00000000000000aa")
    two = serve("--instance=00000000000000bb", exit_code=-9)
    return one, two


@pytest.fixture
def front(pair, tmp_path):
    """The address of HAProxy before both."""
    one, two = pair
    port = unused_port()
    with proxy(["haproxy", "-f"], tmp_path / "haproxy.cfg", HAPROXY.format(port=port, one=one, two=two), port):
        yield f"127.0.0.1:{port}"


def kill_under_load(pair, after):
    """Once each of the two has had so many calls."""
    one, two = pair
    until(lambda: min(each.value("successful_requests") for each in pair) >= after, "load on both", 20)
    two.process.kill()
    two.wait()


def backends(result):
    return {each["instance"]: each for each in result["backends"]}


def test_both_behind_a_proxy_are_named_and_one_goes_on(pair, front, echod, tmp_path):
    with Run(
        echod, tmp_path, "--rate=400", "--duration=5s", "--connections=4", "--timeout=5s", front
    ) as run:
        kill_under_load(pair, 200)
        result, printed, code = run.finish()
    by_instance = backends(result)
    one, two = by_instance["00000000000000aa"], by_instance["00000000000000bb"]
    assert code == 0, printed
    assert one["ok"] > two["ok"] >= 190, printed
    assert one["last_ns"] > two["last_ns"]
    assert "00000000000000aa" in printed and "00000000000000bb" in printed
    assert result["calls"]["due"] == 2000
    assert one["ok"] + two["ok"] == status(result, "OK") > 1000
    gap = result["timeline"]["longest_gap_ns"]
    assert 0 < gap < 4e9
    if status(result, "OK") < 2000:
        timeline = result["timeline"]
        assert two["first_ns"] < timeline["first_error_ns"] <= timeline["last_error_ns"] <= result["measured"]["elapsed_ns"]


def test_two_targets_without_a_proxy_share_the_load(pair, echod, tmp_path):
    one, two = pair
    with Run(
        echod, tmp_path, "--rate=400", "--duration=4s", "--connections=4", "--timeout=5s", one.grpc, two.grpc
    ) as run:
        kill_under_load(pair, 200)
        result, printed, code = run.finish()
    by_instance = backends(result)
    assert code == 0, printed
    assert by_instance["00000000000000aa"]["ok"] == one.value("successful_requests")
    assert by_instance["00000000000000bb"]["ok"] >= 190
    assert result["calls"]["due"] == 1600
    assert result["connections"]["lost"] >= 1
    assert result["connections"]["failed"] >= 1
    # What was sent to the dead one failed, and said so: as lost, or as having found nobody.
    failed = result["calls"]["done"] - status(result, "OK")
    assert failed > 0
    assert result["timeline"]["first_error_ns"] > 0


def test_two_targets_that_live_get_half_each(pair, echod, tmp_path):
    one, two = pair
    with Run(echod, tmp_path, "--count=1000", "--concurrency=8", "--connections=4", one.grpc, two.grpc) as run:
        result, printed, code = run.finish()
    pair[1].exit_code = 0
    by_instance = backends(result)
    assert (code, status(result, "OK")) == (0, 1000), printed
    assert by_instance["00000000000000aa"]["ok"] + by_instance["00000000000000bb"]["ok"] == 1000
    assert min(each["ok"] for each in by_instance.values()) >= 100
    assert {len(each["connections"]) for each in by_instance.values()} == {2}
    assert one.value("total_requests") == by_instance["00000000000000aa"]["ok"]


def test_an_outage_of_the_only_server_is_measured(serve, echod, tmp_path):
    """Killed, and started anew at the same address: the gap lies between the last and the next OK."""
    port = unused_port()
    first = serve(f"--grpc.listen-address=127.0.0.1:{port}", "--instance=0000000000000001", exit_code=-9)
    with Run(echod, tmp_path, "--rate=200", "--duration=6s", "--timeout=5s", first.grpc) as run:
        until(lambda: first.value("successful_requests") >= 200, "load", 20)
        first.process.kill()
        first.wait()
        time.sleep(1)
        second = serve(f"--grpc.listen-address=127.0.0.1:{port}", "--instance=0000000000000002")
        until(lambda: second.value("successful_requests") > 0, "calls to the second", 20)
        result, printed, code = run.finish()
    by_instance = backends(result)
    timeline = result["timeline"]
    assert code == 0, printed
    assert list(by_instance) == ["0000000000000001", "0000000000000002"]
    assert 0.9e9 < timeline["longest_gap_ns"] < 5e9
    began = timeline["longest_gap_from_ns"]
    assert by_instance["0000000000000001"]["last_ns"] == began
    assert by_instance["0000000000000002"]["first_ns"] == began + timeline["longest_gap_ns"]
    # The ten connections end one after another: the first error may come before the last OK.
    assert began - 1e9 <= timeline["first_error_ns"] <= timeline["last_error_ns"]
    assert timeline["last_error_ns"] <= began + timeline["longest_gap_ns"] + 1e9
    assert result["calls"]["due"] == 1200

"""A run against a server that fails on purpose: what it injected is apart from what else failed."""
import concurrent.futures
import json

import grpc
import pytest

from calls import OPTIONS, PATH, same
from daemon import unused_port
from load import Run, balance, status

EVERY_NTH = ["--echo.fault-mode=every-nth"]


def load(run, *arguments):
    done = run("client", "--output=json", "--progress=off", *arguments, timeout=50)
    assert done.stdout, done.stderr.decode()
    result = json.loads(done.stdout)
    balance(result)
    return result, done.returncode


def reconciled(server):
    return f"--reconcile=http://{server.web}/metrics"


def injected(result, name):
    return {each["status"]: each["injected"] for each in result["statuses"]}.get(name, 0)


def test_what_was_injected_is_counted_to_the_call(serve, run):
    server = serve("--echo.status=UNAVAILABLE:2", *EVERY_NTH)
    result, code = load(
        run, "--count=10000", "--concurrency=50", "--connections=2", reconciled(server),
        "--assert=injected==200", "--assert=injected.UNAVAILABLE==200", "--assert=not_injected==0",
        "--assert=code.UNAVAILABLE==200", "--assert=unreconciled==0", server.grpc,
    )
    assert code == 0, result["assertions"]
    assert injected(result, "UNAVAILABLE") == status(result, "UNAVAILABLE") == 200
    assert result["injected"] == {
        "failures": 200, "other_failures": 0, "faults": {"UNAVAILABLE": 200}, "changed": 0, "delayed": 0, "delay_ns": 0,
    }
    told = result["reconciliation"]
    assert told["faults"] == told["told"] == {"UNAVAILABLE": 200}
    assert told["difference"] == {} == told["explained"]


def test_delays_are_those_of_the_plan(serve, run):
    server = serve("--echo.delay=20ms")
    result, _ = load(run, "--count=40", "--concurrency=20", server.grpc)
    assert (result["injected"]["delayed"], result["injected"]["delay_ns"]) == (40, 40 * 20_000_000)
    service, less = (result["histograms"][name] for name in ("service_ok", "undelayed"))
    assert less["count"] == 40
    assert less["sum_ns"] == service["sum_ns"] - 40 * 20_000_000


@pytest.mark.parametrize("fault, ends, told", [
    ("reset", "INTERNAL", 0),
    ("truncate", "INTERNAL", 50),
    ("hang", "DEADLINE_EXCEEDED", 50),
])
def test_ends_of_calls_that_say_less(serve, run, fault, ends, told):
    """Whether trailers tell of it or not: both ends agree, by its name or by its status."""
    server = serve(f"--echo.abort={fault}:10", *EVERY_NTH, "--echo.hang-limit=200ms")
    result, code = load(
        run, "--count=500", "--concurrency=50", reconciled(server), "--assert=unreconciled==0", server.grpc
    )
    assert code == 0, (result["assertions"], result["reconciliation"])
    assert status(result, ends) == 50
    assert (injected(result, ends), result["injected"]["other_failures"]) == (told, 50 - told)
    assert result["reconciliation"]["faults"] == {fault: 50}
    assert result["reconciliation"]["told"] == ({fault: told} if told else {})


def test_a_hang_that_a_deadline_ends_is_explained(serve, run):
    server = serve("--echo.abort=hang:10", *EVERY_NTH)
    result, _ = load(
        run, "--count=500", "--concurrency=50", "--timeout=500ms", reconciled(server), "--assert=unreconciled==0",
        server.grpc,
    )
    told = result["reconciliation"]
    assert result["assertions"][0]["held"], told
    assert status(result, "DEADLINE_EXCEEDED") == told["faults"]["hang"] == 50
    assert told["difference"] == told["explained"], told  # whosever deadline was the first


def test_connections_that_are_closed_take_calls_along(serve, run):
    server = serve("--echo.abort=close:1", *EVERY_NTH, "--echo.delay=1ms")
    result, _ = load(run, "--count=1000", "--concurrency=20", "--connections=4", reconciled(server), server.grpc)
    told = result["reconciliation"]
    assert told["faults"] == {"close": told["faults"]["close"]} and told["faults"]["close"] > 0
    assert injected(result, "UNAVAILABLE") == 0
    assert told["difference"] == told["explained"], told  # but for calls that never arrived, all of it is known


def test_people_see_them_apart(serve, run):
    server = serve("--echo.status=INTERNAL:10", *EVERY_NTH, "--echo.delay=2ms")
    text = run("client", "--count=400", "--concurrency=20", server.grpc, env={"COLUMNS": "400"}).stdout.decode()
    assert "from the server, injected\n" in text
    assert "all failures were injected by the server (INTERNAL 40)\n" in text
    assert "400 calls were delayed on purpose, by 2.000ms on average\n" in text


def test_a_scrape_of_the_client_has_them_apart(serve, echod, tmp_path):
    server = serve("--echo.status=INTERNAL:10", *EVERY_NTH, "--echo.delay=2ms")
    with Run(echod, tmp_path, "--rate=100,0/1s", server.grpc, web=unused_port()) as client:
        text = client.until_scraped(
            lambda text: text.value("echod_client_injected_delays_total") == 100, "the pause")  # calls that ended
        client.finish()
    assert text.value("echod_client_injected_total", grpc_code="Internal") == 10
    assert text.value("echod_client_injected_total", grpc_code="Unavailable") == 0
    assert text.value("echod_client_injected_delay_seconds_total") == pytest.approx(0.2)
    method = {"grpc_type": "unary", "grpc_service": "muzz.Service", "grpc_method": "Echo"}
    assert text.value("grpc_client_msg_sent_total", **method) == 100
    assert text.value("grpc_client_msg_received_total", **method) == 90


def test_a_single_call_says_whose_failure_it_is(serve, run):
    server = serve("--echo.status=UNAVAILABLE:100", "--echo.delay=5ms")
    done = run("client", server.grpc)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith("echod client: UNAVAILABLE (14): ")
    assert said.endswith("; injected by the server (echod-fault: UNAVAILABLE); delayed by 5.000ms on purpose\n")
    result = json.loads(run("client", "--output=json", server.grpc).stdout)
    assert (result["injected"], result["injected_delay_seconds"]) == ("UNAVAILABLE", 0.005)


class Changer(grpc.GenericRpcHandler):
    """A proxy that makes a status of its own of what comes back, and leaves the trailers."""

    def __init__(self, backend):
        self.channel = grpc.insecure_channel(backend, options=OPTIONS)
        self.forward = self.channel.unary_unary(PATH, request_serializer=same, response_deserializer=same)

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self.answer, same, same)

    def answer(self, request, context):
        try:
            return self.forward(request)
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(grpc.StatusCode.INTERNAL, "upstream")


def test_a_status_that_a_proxy_changed_is_noticed(serve, run):
    server = serve("--echo.status=UNAVAILABLE:10", *EVERY_NTH)
    proxy = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[Changer(server.grpc)], options=OPTIONS)
    address = f"127.0.0.1:{proxy.add_insecure_port('127.0.0.1:0')}"
    proxy.start()
    try:
        result, _ = load(run, "--count=100", "--concurrency=4", address)
        text = run("client", "--count=100", "--concurrency=4", address, env={"COLUMNS": "400"}).stdout.decode()
    finally:
        proxy.stop(None).wait()
    assert injected(result, "INTERNAL") == status(result, "INTERNAL") == 10
    assert (result["injected"]["changed"], result["injected"]["faults"]) == (10, {"UNAVAILABLE": 10})
    assert "; 10 ended with another status than was injected: somebody in between changed it\n" in text

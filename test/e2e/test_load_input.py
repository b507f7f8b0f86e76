"""A load run that makes no sense is refused before its first call: nothing is sent, nothing is written."""
import pytest

from daemon import until
from load import Run, status

REFUSED = {
    "an assertion of a schedule's lag": (["--assert=lag.p99<1ms"], "--rate"),
    "a share of no offered rate": (["--assert=achieved_rate>=99%"], "--rate"),
    "an assertion of what no server was asked": (["--assert=unreconciled==0"], "--reconcile"),
    "an assertion of replies that are not compared": (["--no-verify", "--assert=mismatched==0"], "--no-verify"),
    "a report in a folder that is not there": (["--output=json:{here}/none/run.json"], "No such file or directory"),
    "a report in place of a folder": (["--output=html:{here}"], "Is a directory"),
    "two reports in one file": (["--output=json:{here}/run", "--output=html:{here}/./run"], "into one file"),
    "a sign of life that nobody asks for": (["--keepalive-timeout=5s"], "--keepalive-time"),
    "a name that is none": (["--name="], "--name"),
    "a time beyond all clocks": (["--warmup=2562047h"], "8760h"),
    "more steps than a year holds": (["--rate=1,2/8760h"], "8760h"),
    "places of the other loop": (["--max-in-flight=10"], "--concurrency"),
    "callers of the other loop": (["--rate=10", "--concurrency=10"], "--max-in-flight"),
    "a request without a method": (["--request-file=/dev/null"], "--method"),
    "a text for a method of bytes": (["--method=a.B/C", "--message=x"], "--request-file"),
    "a request that never ends": (["--method=a.B/C", "--request-file=/dev/zero"], "longer than"),
    "a server that is asked twice": (["--reconcile=http://a/m", "--reconcile=http://a/m"], "twice"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_one_line_before_anything_happens(shared, run, tmp_path, kind):
    flags, hint = REFUSED[kind]
    before = shared.value("total_requests")
    done = run("client", "--count=3", *[flag.format(here=tmp_path) for flag in flags], shared.grpc)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert hint in done.stderr.decode()
    assert shared.value("total_requests") == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--warmup=1s", "--grace=1s", "--seed=1", "--name=x", "--fail-on-error",
                                  "--assert=errors==0", "--connection-lifetime=1s", "--reconcile=http://a/m"])
def test_a_single_call_is_not_taken_for_a_run(shared, run, flag):
    done = run("client", flag, shared.grpc)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "add --count" in done.stderr.decode()


def test_times_may_be_a_year_each(serve, echod, tmp_path):
    """Their sum and the clock's are still times: a run of two calls ends after the second."""
    server = serve()
    year = [f"--{name}=8760h" for name in ("duration", "grace", "timeout", "connection-lifetime")]
    for flags in [], ["--rate=100", "--max-in-flight=1"], ["--rate=1000,1/4380h"]:
        with Run(echod, tmp_path, "--count=2", *year, *flags, server.grpc) as client:
            result, text, code = client.finish()
        assert code == 0, text
        assert status(result, "OK") == 2


def test_a_warm_up_of_a_year_can_be_ended(serve, echod, tmp_path):
    server = serve()
    for loop in ["--concurrency=1"], ["--rate=100"]:
        with Run(echod, tmp_path, "--warmup=8760h", "--duration=8760h", *loop, server.grpc) as client:
            before = server.scrape().value("total_requests")
            until(lambda: server.scrape().value("total_requests") > before, "calls of the warm-up")  # noqa: B023
            client.interrupt()
            result, _, code = client.finish()
        assert code == 130
        assert result["calls"]["due"] == 0


def test_a_request_from_standard_input(serve, run):
    """Bytes that are a message of another: echod's own Echo, as anybody's."""
    server = serve()
    flags = ["--method=muzz.Service/Echo", "--request-file=-"]
    done = run("client", *flags, server.grpc, input=b"\x0a\x02hi")
    assert (done.returncode, done.stdout) == (0, b"\x0a\x02hi\n")
    done = run("client", *flags, "--count=20", "--verify", "--progress=off", server.grpc, input=b"\x0a\x02hi")
    assert done.returncode == 0, done.stderr


def test_the_largest_message_that_fits_is_sent_and_the_next_is_not(serve, run):
    server = serve()
    limit = 4 * 1024 * 1024 - 5  # field, and four bytes of length
    flags = ["--count=2", "--progress=off"]
    assert run("client", *flags, f"--message-size={limit}", server.grpc).returncode == 0
    done = run("client", *flags, f"--message-size={limit + 1}", server.grpc)
    assert done.returncode == 2 and b"too long" in done.stderr
    assert server.value("total_requests") == 2

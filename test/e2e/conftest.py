"""The harness of the end-to-end tests: the real binary, real peers, loopback only.

`serve(*flags)` starts `echod serve` on ephemeral ports and waits until it says
that it serves; at the end of the test it is stopped by SIGTERM and must have
exited 0 without a word from a sanitizer. Every test has a time limit, 60 s
unless `@pytest.mark.limit(seconds)` says otherwise.
"""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # the harness forks, and never calls from the child
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log of what a test provokes

import daemon  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--echod", default=str(ROOT / "build/src/echod"), help="the binary under test")
    parser.addoption("--builddir", default=str(ROOT / "build"), help="its build directory")
    parser.addoption("--tap", help="write one TAP line for each case to this file")


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): the test's time limit")
    tap = config.getoption("--tap")
    if tap and not hasattr(config, "workerinput"):  # of several processes, by the one that leads
        config.pluginmanager.register(TapWriter(tap))


class TapWriter:
    """One line for each case: failed if any of its phases failed."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.outcome = {}

    def pytest_runtest_logreport(self, report):
        worst, reason = self.outcome.get(report.nodeid, ("passed", ""))
        if report.failed:
            worst = "failed"
        elif report.skipped and worst == "passed":
            worst, reason = "skipped", report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        self.outcome[report.nodeid] = (worst, reason)
        if report.when != "teardown":
            return
        name = report.nodeid.removeprefix("test/e2e/").replace("#", "?").replace("\n", " ")
        result = "not ok" if worst == "failed" else "ok"
        suffix = f" # SKIP {reason.removeprefix('Skipped: ')}" if worst == "skipped" else ""
        print(f"{result} {name}{suffix}", file=self.file, flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            print(f"not ok {report.nodeid}: not collected", file=self.file, flush=True)


@pytest.fixture(autouse=True)
def time_limit(request):
    """A test that hangs fails, and its servers are stopped by their fixtures."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else 60

    def expired(_signal, _frame):
        pytest.fail(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def echod(request):
    """The path of the binary."""
    path = pathlib.Path(request.config.getoption("--echod")).resolve()
    assert path.exists(), f"{path}: build it first"
    return str(path)


@pytest.fixture(scope="session")
def builddir(request):
    return pathlib.Path(request.config.getoption("--builddir")).resolve()


def stop_all(servers):
    complaints = []
    for server in reversed(servers):
        try:
            server.finish()
        except AssertionError as complaint:
            complaints.append(str(complaint))
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def serve(echod, tmp_path):
    """A factory of servers that live as long as the test. See daemon.Server."""
    servers = []

    def start(*flags, **options):
        server = daemon.Server(echod, flags, tmp_path / f"server-{len(servers)}.log", **options)
        servers.append(server)
        server.wait_ready()
        return server

    yield start
    stop_all(servers)


@pytest.fixture(scope="module")
def shared(echod, tmp_path_factory):
    """One server with default settings for all tests of a module that leave it as it is."""
    server = daemon.Server(echod, (), tmp_path_factory.mktemp("shared") / "server.log")
    try:
        server.wait_ready()
        yield server
    finally:
        stop_all([server])


@pytest.fixture
def run(echod):
    """Runs `echod ARGUMENT...` to its end; returns subprocess.CompletedProcess with bytes."""

    def go(*arguments, timeout=30, env=None, **options):
        done = subprocess.run(
            [echod, *arguments],
            stdin=options.pop("stdin", None if "input" in options else subprocess.DEVNULL),
            capture_output=True,
            timeout=timeout,
            env=daemon.environment(env),
            check=False,
            **options,
        )
        daemon.assert_no_sanitizer_report(done.stderr.decode(errors="replace"))
        return done

    return go

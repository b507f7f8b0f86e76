#!/usr/bin/env python3
"""What `./dev demo` shows: load on a server that takes its time, and an alert that fires and is over.

usage: demo.py ECHOD [load] [alert]

load    Ten seconds of calls to a server that delays each by up to five seconds, and its counters.
alert   A server of which every fiftieth call fails, a Prometheus with the rules of config/prometheus,
        their windows a twentieth as long, and calls. It waits for the page, heals the server by
        POST /-/faults, waits until the page is over, and compares what was injected with what was
        measured. About a minute. Without Prometheus it compares the server's counters alone.

Everything listens on loopback, on the usual ports or the next free ones, and is stopped at the end, by
an interrupt too; the files are in a temporary directory that is removed.
"""
import ctypes
import errno
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
RULES = ROOT / "config/prometheus/echod.rules.yml"
SHORTEN = ROOT / "config/prometheus/shorten"
FACTOR = 20
PERCENT = 2
RATE = 200

TERMINAL = sys.stdout.isatty()
BOLD, GREEN, RED, PLAIN = ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if TERMINAL and not os.environ.get(
    "NO_COLOR") else ("", "", "", "")

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - {{job_name: echod, static_configs: [{{targets: ["localhost:{web}"]}}]}}
  - {{job_name: echod-client, static_configs: [{{targets: ["localhost:{client}"]}}]}}
"""


class Failed(Exception):
    """What went wrong, for the terminal."""


# --- words ---


class Live:
    """A line that is written over on a terminal; else one that is repeated now and then."""

    EVERY_S = 5

    def __init__(self):
        self.shown = False
        self.next = 0.0

    def show(self, text):
        if TERMINAL:
            print(f"\r  {text}\033[K", end="", flush=True)
            self.shown = True
        elif time.monotonic() >= self.next:
            print(f"  {text}", flush=True)
            self.next = time.monotonic() + self.EVERY_S

    def end(self):
        if self.shown:
            print("\r\033[K", end="")
        self.shown, self.next = False, 0.0


live = Live()


def say(text):
    live.end()
    print(f"{BOLD}==> {text}{PLAIN}", flush=True)


def note(text):
    live.end()
    print(f"  {text}", flush=True)


# --- processes ---


def die_with_parent():
    """In the child, before it becomes what it is to be: nothing outlives this script, even if it is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Children:
    """Processes in sessions of their own, so that an interrupt reaches them by way of stop()."""

    def __init__(self, directory):
        self.directory = directory
        self.running = []

    def start(self, *command):
        name = f"{pathlib.Path(command[0]).name}-{command[1].lstrip('-').split('=')[0]}"
        log = self.directory / f"{name}.log"
        with open(log, "wb") as file:
            child = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=die_with_parent,
            )
        child.log = log
        self.running.append(child)
        return child

    def stop(self, child, number=signal.SIGTERM, patience=20):
        """Its exit status."""
        if child.poll() is None:
            child.send_signal(number)
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.running.remove(child)
        return child.returncode

    def stop_all(self, patience=20):
        """In turn; at a further interrupt, those that are left at once."""
        try:
            for child in reversed(self.running[:]):
                self.stop(child, patience=patience)
        except KeyboardInterrupt:
            for child in self.running:
                child.kill()
                child.wait()
            raise

    def require(self, child, what):
        if child.poll() is not None:
            raise Failed(f"{what} ended with {child.returncode}:\n{child.log.read_text(errors='replace')}")


def taken(family, host, port):
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE or family == socket.AF_INET
    return False


def free_port(first):
    """The first port from there on that nobody has, in either of the families that "localhost" may mean."""
    for port in range(first, 65536):
        if not taken(socket.AF_INET, "127.0.0.1", port) and not (
                socket.has_ipv6 and taken(socket.AF_INET6, "::1", port)):
            return port
    raise Failed("no free port")


def fetch(url, form=None, timeout=5):
    """The body of an answer of 200; None: nobody listens, yet or no more."""
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(url, data, timeout) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Failed(f"{url}: {error.code} {error.read().decode(errors='replace').strip()}") from None
    except (OSError, urllib.error.URLError):
        return None


def ready(url):
    try:
        return fetch(url) is not None
    except Failed:
        return False


def wait_for(condition, what, seconds, children, child):
    end = time.monotonic() + seconds
    while not condition():
        children.require(child, what)
        if time.monotonic() > end:
            raise Failed(f"{what}: nothing within {seconds} s; its log:\n{child.log.read_text(errors='replace')}")
        time.sleep(0.05)


class Served:
    """`echod serve` on loopback, ready."""

    def __init__(self, children, echod, *flags):
        self.grpc, self.web = f"127.0.0.1:{free_port(9876)}", free_port(2112)
        say(f"echod serve {' '.join(flags)}")
        note(f"gRPC on {self.grpc}, metrics on http://localhost:{self.web}/metrics")
        self.child = children.start(
            echod, "serve", f"--grpc.listen-address={self.grpc}", f"--web.listen-address=127.0.0.1:{self.web}", *flags
        )
        wait_for(lambda: ready(self.url("/-/ready")), "the server", 10, children, self.child)

    def url(self, path):
        return f"http://localhost:{self.web}{path}"

    def page(self):
        page = fetch(self.url("/metrics"))
        if page is None:
            raise Failed("the server does not answer any more")
        return page

    def counters(self):
        """Families without labels by name; those with labels, the sum of their samples."""
        values = {}
        for name, value in re.findall(r"^([a-z_]\w*)(?:\{.*\})? (\S+)$", self.page(), re.M):
            values[name] = values.get(name, 0.0) + float(value)
        return values


# --- load ---


def demo_load(echod, children):
    server = Served(children, echod, "--echo.delay=uniform:0s,5s")
    say("echod client --duration 10s --concurrency 50")
    client = children.start(echod, "client", "--duration", "10s", "--concurrency", "50", server.grpc)
    while client.poll() is None:
        now = server.counters()
        live.show(f"requests {now['total_requests']:.0f}   successful {now['successful_requests']:.0f}   "
                  f"failed {now['failed_requests']:.0f}   in flight {now['echod_rpcs_in_flight']:.0f}")
        time.sleep(0.5)
    live.end()
    status = children.stop(client)
    print(client.log.read_text(), end="", flush=True)
    say(f"curl -s localhost:{server.web}/metrics, the part that the original had")
    wanted = re.compile(r"(# (HELP|TYPE) )?(total_requests|successful_requests|failed_requests|grpc_call)")
    print("\n".join(line for line in server.page().splitlines() if wanted.match(line)), flush=True)
    say("stopping")
    if status or children.stop(server.child):
        raise Failed("the load ended badly")


# --- alert ---


class Watcher:
    """Prometheus, looking at the server."""

    def __init__(self, children, server, client_port):
        directory = children.directory
        rules = directory / "echod.rules.yml"
        with open(rules, "wb") as file:
            subprocess.run([sys.executable, SHORTEN, str(FACTOR), RULES], stdout=file, check=True)
        config = directory / "prometheus.yml"
        config.write_text(CONFIGURATION.format(rules=rules, web=server.web, client=client_port))
        self.port = free_port(9090)
        self.server = server
        self.children = children
        self.child = children.start(
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=native-histograms",
        )
        wait_for(lambda: ready(self.url("/-/ready")), "Prometheus", 30, children, self.child)

    def url(self, path):
        return f"http://localhost:{self.port}{path}"

    def page_url(self, path):
        """Of a page for people: Debian's build has them under /classic alone."""
        return self.url(path if ready(self.url("/alerts")) else f"/classic{path}")

    def get(self, path):
        self.children.require(self.child, "Prometheus")
        return json.loads(fetch(self.url(f"/api/v1/{path}")) or '{"data": null}')["data"]

    def value(self, query):
        data = self.get("query?" + urllib.parse.urlencode({"query": query}))
        result = data["result"] if data else []
        return float(result[0]["value"][1]) if result else float("nan")

    def pages(self):
        """State by the long window of each page on the error budget: pending or firing."""
        alerts = (self.get("alerts") or {"alerts": []})["alerts"]
        return {
            each["labels"]["long"]: each["state"] for each in alerts
            if each["labels"]["alertname"] == "EchodErrorBudgetBurn" and each["labels"]["severity"] == "page"
        }

    def until(self, condition, what, seconds):
        """Shows how it stands until `condition(pages)`; the time that it took."""
        start = time.monotonic()
        while True:
            pages = self.pages()
            took = time.monotonic() - start
            if condition(pages):
                live.end()
                return took
            if took > seconds:
                raise Failed(f"{what}: not within {seconds} s")
            ratio = self.value('job:echod_slo_errors:ratio_rate5m{job="echod"}')
            states = "   ".join(f"page over {long}: {pages.get(long, 'quiet')}" for long in ("1h", "6h"))
            errors = "   - " if math.isnan(ratio) else f"{100 * ratio:5.2f} %"
            live.show(f"{took:3.0f} s   errors {errors}   {states}")
            time.sleep(0.5)


def shown(count, of):
    return f"{count:.0f} of {of:.0f} calls, {100 * count / of if of else 0:.4f} %"


def compare(server, watcher):
    """The measured share beside the injected one; whether they are the same."""
    now = server.counters()
    total, injected, failed = (now[name] for name in ("total_requests", "echod_faults_injected_total",
                                                     "failed_requests"))
    note(f"asked for      every {100 // PERCENT}th call, {PERCENT} %")
    note(f"injected       {shown(injected, total)} (the ledger, echod_faults_injected_total)")
    note(f"counted        {shown(failed, total)} (failed_requests, total_requests)")
    if watcher:
        ratio = watcher.value(f'sum(increase(grpc_server_handled_total{{grpc_code="Unavailable"}}[15s]))'
                              f' / sum(increase(grpc_server_handled_total{{grpc_service="muzz.Service"}}[15s]))')
        note(f"in Prometheus  {100 * ratio:.4f} % over the last 15 s (grpc_server_handled_total)")
    return injected == total * PERCENT // 100


def demo_alert(echod, children):
    server = Served(children, echod, f"--echo.status=UNAVAILABLE:{PERCENT}", "--echo.fault-mode=every-nth",
                    "--web.enable-lifecycle")
    port = free_port(2113)
    report = children.directory / "run.json"
    load = (f"--rate={RATE}", "--duration=10m", f"--web.listen-address=127.0.0.1:{port}")
    watcher = None
    if shutil.which("prometheus"):
        watcher = Watcher(children, server, port)
    else:
        note("There is no prometheus here: no alert can fire. On Debian: apt-get install prometheus")
    say(f"echod client {' '.join(load)}")
    client = children.start(echod, "client", *load, "--progress=off", f"--output=json:{report}", server.grpc)
    if watcher:
        exact = watch_the_alert(server, watcher)
    else:
        for second in range(10):
            live.show(f"{second:3d} s   {shown(server.counters()['failed_requests'], server.counters()['total_requests'])}")
            time.sleep(1)
        say("the injected share of errors, and the measured one")
        exact = compare(server, None)
    children.require(client, "the load")
    say("the client's side, at the end")
    children.stop(client, signal.SIGINT)
    statuses = json.loads(report.read_text())["statuses"]
    unavailable = sum(each["calls"] for each in statuses if each["status"] == "UNAVAILABLE")
    ledger = server.counters()["echod_faults_injected_total"]
    note(f"{unavailable} calls ended with UNAVAILABLE there; the server injected {ledger:.0f}")
    children.stop(server.child)
    if not exact or unavailable != ledger:
        raise Failed("what was measured is not what was injected")
    note(f"{GREEN}The same, to the call.{PLAIN}")


def watch_the_alert(server, watcher):
    note("To look at while it runs:")
    for what, url in (
        ("alerts", watcher.page_url("/alerts")), ("targets", watcher.page_url("/targets")),
        ("a graph", watcher.page_url("/graph?g0.expr=job:echod_slo_errors:ratio_rate5m&g0.tab=0")),
        ("the server", server.url("/")), ("its plan", server.url("/-/faults")),
    ):
        note(f"  {what:<11} {url}")
    say(f"waiting for the page; windows are 1/{FACTOR} of what they are called: 1h is 3 minutes, 5m is 15 s")
    took = watcher.until(lambda pages: pages.get("1h") == "firing", "the page", 90)
    note(f"{RED}EchodErrorBudgetBurn fires{PLAIN} after {took:.0f} s")
    say("the injected share of errors, and the measured one")
    exact = compare(server, watcher)
    say(f"healing it: curl -d status=none {server.url('/-/faults')}")
    plan = fetch(server.url("/-/faults"), {"status": "none"})
    note("   ".join((plan or "").split("\n")[:3]))
    say("waiting until the page is over: first the one over an hour, which asks for the last 5 minutes too")
    took = watcher.until(lambda pages: "1h" not in pages, "the end of the page over 1h", 90)
    note(f"{GREEN}over{PLAIN} after {took:.0f} s; the one over six hours asks for the last 30 minutes")
    took += watcher.until(lambda pages: not pages, "the end of the page over 6h", 150)
    note(f"{GREEN}all pages are over{PLAIN} after {took:.0f} s")
    return exact


# --- the script ---


def stop_now(_number, _frame):
    raise KeyboardInterrupt


def main(arguments):
    parts = {"load": demo_load, "alert": demo_alert}
    if not arguments or any(each not in parts for each in arguments[1:]):
        print("usage: demo.py ECHOD [load] [alert]", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_now)
    signal.signal(signal.SIGINT, stop_now)  # also where a shell in the background has it ignored
    with tempfile.TemporaryDirectory(prefix="echod-demo-") as directory:
        children = Children(pathlib.Path(directory))
        try:
            for part in arguments[1:] or parts:
                parts[part](arguments[0], children)
                children.stop_all()
        except Failed as failure:
            live.end()
            print(f"demo: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            live.end()
            children.stop_all(patience=0.5)  # not for as long as the calls in flight would take
            print("demo: interrupted", file=sys.stderr)
            return 130
        except OSError as error:  # whoever read this has gone, or there is no such program
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            children.stop_all(patience=0.5)
            print(f"demo: {error}", file=sys.stderr)
            return 1
        finally:
            children.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

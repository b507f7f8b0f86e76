#!/usr/bin/python3
"""Measures what a scrape of /metrics costs, beside the floor and Go's client library.

The peer (promhttp/) is built where Go is present, and has the series that a scrape of echod
has: the same names, labels and buckets. The floor (web_floor.c) does nothing but send the same
bytes: no scrape can cost less. In each round all are scraped by the same load generator over
four connections that stay open, in each format, plain and gzipped, and each on a core of its own. CPU per scrape is all that the server's process took, the kernel's part
included; the loop's part of it is that of echod's first thread. What else runs on the machine
only ever makes a round worse: so CPU is that of the cheapest round, and a rate that of the
fastest.

Before that, each body is held against the strict readers of test/e2e, and against Go's parser:
what that writes again says the same. After it calls are timed with and without eight scrapers.
"""
import argparse
import contextlib
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import exposition  # noqa: E402
from common import (ROOT, SERVERS, Broken, Server, cores, describe, machine, pinned,  # noqa: E402
                    prepare, say)

CONNECTIONS = 4
FORMATS = {  # name -> (Accept, reader)
    "text": ("text/plain;version=0.0.4", exposition.parse),
    "openmetrics": ("application/openmetrics-text;version=1.0.0", exposition.parse_openmetrics),
    "protobuf": (exposition.PROTOBUF_TYPE.replace(" ", ""), exposition.parse_protobuf),
}
TYPES = {
    "text": exposition.TEXT_TYPE, "openmetrics": exposition.OPENMETRICS_TYPE, "protobuf": exposition.PROTOBUF_TYPE,
}
CODINGS = ("identity", "gzip")
FLAGS = ["--web.enable-openmetrics"]
PEER = "client_golang"
FLOOR = "floor"
SERVERS[PEER] = (None, "/metrics", [])  # its arguments depend on the body that it is given
SERVERS[FLOOR] = ("bench_web_floor", "/metrics", ["{port}"])
TARGET_RATIO = 1 / 20
TARGET_LOOP_US = 100

# The calls that are timed beside scrapers, and how much later they may be, at most: whichever is more.
CALLS_PER_SECOND, SCRAPERS, SCRAPES_PER_SECOND = 2000, 8, 1
SLACK, SLACK_US = 0.15, 100


def cpu(pid, threads=None):
    """Seconds that a process has run, or one of its threads; finer than its clock ticks."""
    folder = f"/proc/{pid}/task"
    total = 0
    for thread in threads or os.listdir(folder):
        with open(f"{folder}/{thread}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


def fetch(port, accept, coding="identity"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": coding})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise Broken(f"/metrics: {answer.status}")
    if answer.getheader("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    elif coding == "gzip":
        raise Broken("/metrics: gzip was asked for, and did not come")
    return answer.getheader("Content-Type"), body


def storm(port, accept, coding, scrapes, core):
    """Scrapes per second; all of them answered 200."""
    command = ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"-n{scrapes}", "-H", f"accept: {accept}",
               "-H", f"accept-encoding: {coding}", f"http://127.0.0.1:{port}/metrics"]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=120, check=False)
    if f"{scrapes} succeeded, 0 failed, 0 errored" not in done.stdout or f"{scrapes} 2xx" not in done.stdout:
        raise Broken(f"h2load: not every scrape succeeded:\n{done.stdout[-1200:]}{done.stderr[-400:]}")
    return float(done.stdout.split("finished in ")[1].split(",")[1].split()[0])


def build_peer(build_dir):
    """The program, or None with a word why."""
    if not shutil.which("go"):
        say(f"{PEER}: left out: there is no Go to build it with")
        return None
    program = os.path.abspath(os.path.join(build_dir, "go", "promhttp"))
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    try:
        done = subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(HERE, "promhttp"),
                              env=environment, capture_output=True, text=True, timeout=300, check=False)
        why = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
    except subprocess.TimeoutExpired:
        why, done = "not done after 300 s", None
    if done is None or done.returncode:
        say(f"{PEER}: left out: it does not build: {why}")
        return None
    return program


class Results:
    """Verdicts as they come, and every figure for the file."""

    def __init__(self):
        self.verdicts, self.figures = [], {}

    def judge(self, what, value, met, words, unit=""):
        """`met` None: there was nothing to compare with."""
        shown = "not measured" if value is None else f"{value:.4g}{unit}"
        self.verdicts.append({"what": what, "value": value, "met": met, "target": words})
        word = "PASS" if met else "-" if met is None else "MISS"
        say(f"{word:5} {what}: {shown} ({words})")


# --- what is measured -------------------------------------------------------------------


def drive(program, server, calls, core):
    """Calls, so that there is something in every bucket that they reach."""
    command = [program, "client", "--progress=off", "--output=json", "--concurrency=50", f"--count={calls}",
               f"127.0.0.1:{server.port}"]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Broken(f"echod client: exit code {done.returncode}: {done.stderr[-800:]}")


def check_formats(server, peer, results):
    """Each format against the strict readers, and against Go's parser where it has one."""
    bodies = {}
    for name, (accept, parse) in FORMATS.items():
        kind, body = fetch(server.web, accept)
        if kind.replace("; escaping=underscores", "") != TYPES[name]:
            results.judge(f"{name}: checked", None, None, f"this echod answers {kind}")
            continue
        try:
            read = parse(body)
        except exposition.Defect as defect:
            raise Broken(f"{name}: {defect}") from defect
        bodies[name] = (kind, body)
        lines = sum(len(family.samples) + 2 for family in read.families.values())
        results.figures.setdefault("bodies", {})[name] = {"bytes": len(body), "lines": lines}
        say(f"{name}: {len(body)} bytes, {len(read.series())} samples of {len(read.families)} families")
        if peer and name != "openmetrics":
            again = subprocess.run([peer, kind], input=body, stdout=subprocess.PIPE, check=True, timeout=30)
            same = read.numbers().items() <= exposition.parse(again.stdout).numbers().items()
            results.judge(f"{name}: samples that Go's parser reads alike", len(read.series()), same, "all of them")
    return bodies


@contextlib.contextmanager
def serving(name, program, core, body, *arguments):
    """A server that reads on its standard input what it is to serve."""
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.seek(0)
        with Server(name, program, core, *arguments, stdin=file) as server:
            yield server


def measure_speed(programs, bodies, rounds, scrapes, results):
    """(format, coding) -> name -> rounds of (CPU us, loop us, scrapes per second)."""
    server_core, load_core = cores()
    rows = {}

    def measure_one(server, port, count, shapes):
        for name, coding in shapes:
            row = speed_of(server, port, FORMATS[name][0], coding, count, load_core)
            rows.setdefault((name, coding), {}).setdefault(server.name, []).append(row)

    every = [(name, coding) for name in bodies for coding in CODINGS]
    for number in range(rounds):
        say(f"scrapes, round {number + 1} of {rounds}")
        with Server("echod", programs["echod"], server_core, *FLAGS) as server:
            drive(programs["echod"], server, 20000, load_core)
            measure_one(server, server.web, scrapes, every)
        for name in bodies if FLOOR in programs else ():
            with serving(FLOOR, programs[FLOOR], server_core, bodies[name][1]) as server:
                measure_one(server, server.port, scrapes, [(name, "identity")])
        if PEER in programs:
            kind, body = bodies.get("protobuf") or bodies["text"]
            with serving(PEER, programs[PEER], server_core, body, kind, "127.0.0.1:{port}") as server:
                measure_one(server, server.port, max(scrapes // 20, 200), every)
    report_speed(rows, results)


def speed_of(server, port, accept, coding, scrapes, core):
    fetch(port, accept, coding)
    storm(port, accept, coding, max(scrapes // 10, 50), core)
    before = cpu(server.pid), cpu(server.pid, [server.pid])
    rate = storm(port, accept, coding, scrapes, core)
    took = cpu(server.pid) - before[0], cpu(server.pid, [server.pid]) - before[1]
    return took[0] / scrapes * 1e6, took[1] / scrapes * 1e6, rate


def report_speed(rows, results):
    say()
    say(f"{'format':22} {'server':16} CPU us/scrape   of it the loop's   scrapes/s   x {FLOOR}'s CPU   x {PEER}'s")
    judged = []
    for (name, coding), servers in rows.items():
        best = {}
        for server, measured in servers.items():
            costs, loops, rates = zip(*measured)
            best[server] = (min(costs), min(loops), max(rates))
        ratios = {other: best["echod"][0] / best[other][0] for other in (FLOOR, PEER) if other in best}
        for server, (cost, loop, rate) in best.items():
            own = server == "echod"
            say(f"{name + ', ' + coding:22} {server:16} {cost:13.1f}   "
                + (f"{loop:17.1f}" if own else f"{'':17}") + f"   {rate:9.0f}   "
                + (f"{ratios[FLOOR]:13.2f}" if own and FLOOR in ratios else f"{'':13}")
                + (f"   1/{1 / ratios[PEER]:.1f}" if own and PEER in ratios else ""))
        results.figures[f"{name}, {coding}"] = {"rounds": servers, "ratios": ratios}
        judged.append((f"{name}, {coding}", ratios, best["echod"][1]))
    say()
    for shape, ratios, loop in judged:
        ratio = ratios.get(PEER)
        met = None if ratio is None or "gzip" in shape else ratio <= TARGET_RATIO
        results.judge(f"{shape}: CPU of {PEER}'s", ratio, met, "mostly zlib's" if "gzip" in shape else
                      "at most 1/20 = 0.05")
        results.judge(f"{shape}: the loop's time for a scrape", loop, loop < TARGET_LOOP_US,
                      f"less than {TARGET_LOOP_US} us", " us")


class Scrapers:
    """Eight of them, who between them use every format, each at its own part of the second.

    One thread with connections that stay open: what a scraper itself costs is the caller's
    core's, and would be taken for the server's delay.
    """

    def __init__(self, port, bodies, core):
        shapes = [(FORMATS[name][0], coding) for name in bodies for coding in CODINGS]
        self.port, self.core = port, core
        self.requests = [self.request(*shapes[i % len(shapes)]) for i in range(SCRAPERS)]
        self.stop, self.taken, self.failed, self.seconds = threading.Event(), 0, [], 0.0
        self.thread = threading.Thread(target=self.run)

    @staticmethod
    def request(accept, coding):
        return f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nAccept-Encoding: {coding}\r\n\r\n".encode()

    def run(self):
        if self.core is not None:
            os.sched_setaffinity(0, {self.core})  # this thread's alone
        try:
            peers = [socket.create_connection(("127.0.0.1", self.port), 10) for _ in self.requests]
            room = bytearray(1 << 20)
            began = time.monotonic()
            while not self.stop.wait(began + self.taken / SCRAPERS / SCRAPES_PER_SECOND - time.monotonic()):
                which = self.taken % SCRAPERS
                peers[which].sendall(self.requests[which])
                self.read_answer(peers[which], room)
                self.taken += 1
        except (OSError, Broken) as error:
            self.failed.append(error)
        self.seconds = time.thread_time()

    @staticmethod
    def read_answer(peer, room):
        length = whole = 0
        while not whole or length < whole:
            got = peer.recv_into(memoryview(room)[length:])
            length += got
            head = room.find(b"\r\n\r\n", 0, length)
            if not got or head > 0 and not room.startswith(b"HTTP/1.1 200 "):
                raise Broken(f"/metrics: {bytes(room[:min(length, 80)])}")
            if head > 0 and not whole:
                lines = bytes(room[:head]).lower().split(b"\r\n")
                whole = head + 4 + next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop.set()
        self.thread.join()


def render_us(port):
    """How long the scrape before this one took to write."""
    time.sleep(0.005)
    text = exposition.parse(fetch(port, FORMATS["text"][0])[1])
    return text.value("echod_exposition_render_seconds") * 1e6


def timed_calls(program, server, seconds, core):
    command = [program, "client", "--progress=off", "--output=json", f"--rate={CALLS_PER_SECOND}",
               "--connections=10", f"--duration={seconds}s", f"127.0.0.1:{server.port}"]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise Broken(f"echod client: exit code {done.returncode}: {done.stderr[-800:]}")
    return json.loads(done.stdout)["summary"]["service_ok"]["p99_ns"] / 1e3


def measure_calls(program, bodies, rounds, seconds, results):
    """The calls' p99, in turns without scrapers and with them: the best of each are compared."""
    server_core, load_core = cores()
    quiet, beside, taken = [], [], []
    say(f"calls at {CALLS_PER_SECOND}/s, without and with {SCRAPERS} scrapers, {rounds} times {seconds} s each")
    with Server("echod", program, server_core, *FLAGS) as server:
        for _ in range(rounds):
            quiet.append(timed_calls(program, server, seconds, load_core))
            with Scrapers(server.web, bodies, load_core) as scrapers:
                beside.append(timed_calls(program, server, seconds, load_core))
            if scrapers.failed:
                raise Broken(f"a scrape failed: {scrapers.failed[0]}")
            taken.append((scrapers.taken, scrapers.seconds))
        rendered = [render_us(server.web) for _ in range(100)]
    without, with_them = min(quiet), min(beside)
    results.figures["calls"] = {"p99_us_without": quiet, "p99_us_with": beside, "scrapes_and_their_cpu": taken}
    say(f"scrapes meanwhile: {', '.join(str(count) for count, _ in taken)}; the scraper itself took "
        f"{sum(cost for _, cost in taken) / rounds / seconds:.2%} of the calls' core")
    allowed = without + max(without * SLACK, SLACK_US)
    results.judge("calls: p99 of the service time beside scrapers", with_them, with_them <= allowed,
                  f"{without:.0f} us without; at most {allowed:.0f} us", " us")
    results.figures["rendering_us"] = rendered
    rendering = statistics.median(rendered)
    results.judge("text: a rendering, as echod says", rendering, rendering < TARGET_LOOP_US,
                  f"less than {TARGET_LOOP_US} us", " us")


def arguments():
    parser = argparse.ArgumentParser(prog="dev bench scrape", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--builddir", default=os.path.join(ROOT, "build", "bench"),
                        help="meson's build directory; made where there is none")
    parser.add_argument("--quick", action="store_true", help="one round, and shorter runs")
    parser.add_argument("--alone", action="store_true", help=f"without {PEER}")
    parser.add_argument("--program", metavar="PATH", help="this echod, and not a build of one")
    parser.add_argument("--json", metavar="PATH",
                        help="every figure goes there; by default bench-scrape.json in the build directory")
    return parser.parse_args()


def measure(chosen, programs, results):
    rounds, scrapes, seconds = (1, 4000, 3) if chosen.quick else (3, 20000, 6)
    program = programs["echod"]
    with Server("echod", program, cores()[0], *FLAGS) as server:
        drive(program, server, 20000, cores()[1])
        bodies = check_formats(server, programs.get(PEER), results)
    measure_speed(programs, bodies, rounds, scrapes, results)
    measure_calls(program, bodies, rounds, seconds, results)


def main():
    started = time.monotonic()
    chosen = arguments()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    if not shutil.which("h2load"):
        sys.exit("bench: no h2load: install package nghttp2-client")
    programs, options = prepare(chosen.builddir, ["echod", FLOOR])
    if chosen.program:
        programs["echod"] = chosen.program
    if "echod" not in programs:
        sys.exit("bench: echod does not build")
    peer = None if chosen.alone else build_peer(chosen.builddir)
    if peer:
        programs[PEER] = peer
    host = machine(options)
    describe(host, "the scraper")
    results = Results()
    try:
        measure(chosen, programs, results)
    except Broken as error:
        sys.exit(f"bench: {error}")
    path = chosen.json or os.path.join(chosen.builddir, "bench-scrape.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"machine": host, "targets": results.verdicts, "figures": results.figures}, out, indent=1)
    missed = sum(verdict["met"] is False for verdict in results.verdicts)
    say()
    say(f"{time.monotonic() - started:.0f} s; {missed} targets missed; every figure is in {path}")


if __name__ == "__main__":
    main()

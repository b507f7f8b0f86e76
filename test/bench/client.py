#!/usr/bin/python3
"""Measures `echod client`: its speed beside other load generators, and its truth.

Speed: in each round the generators drive the same server one after the other, each
on one core and the server on another, with 10 connections of 100 calls at a time.
CPU per call is the generator's own, and tells them apart also where the server is
what limits all of them. What else runs on the machine only ever makes a round worse:
so a rate is that of the fastest round, CPU that of the cheapest, and an open
loop's figures are those of the round in which others were least in the way.

Truth: the server draws its delays from a seed, so that each is known beforehand
(chance.py); and it is stopped for a second in the middle of a run. What the report
says is compared with what was done.
"""
import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chance  # noqa: E402
from common import (BODY, MESSAGE, ROOT, Broken, Server, cores, describe, machine,  # noqa: E402
                    pinned, prepare, say)

CONNECTIONS, STREAMS = 10, 100
SHAPE = [f"--connections={CONNECTIONS}"]
TOTAL_SECONDS = 240  # no round is begun after it minus what one takes

# Others' generators, at these versions from Go's registry: program -> package, calls a round.
INSTALLED = {
    "ghz": ("github.com/bojand/ghz/cmd/ghz", "v0.120.0", 60_000),
    "fortio": ("fortio.org/fortio", "v1.66.5", 100_000),
}
OURS_CALLS = 1_000_000

# What rounds differ by where both are limited by the same server.
NOISE = 0.02

# Of its time a generator waited for its core, at most, for its lateness to be its own.
QUIET = 0.001

DELAY_MS = (0, 100)
# Delays are whole milliseconds, and a quantile may lie where one ends and the next begins:
# then a single call that is late changes it by one. With this seed none of the three does.
DELAY_SEED = 2805


class Crowded(Exception):
    """A run that could not keep its schedule since the machine had other work."""


class Done:
    """
    A generator's run: what it printed, the CPU that it used, and the share of its time in
    which it had to wait for its core because others were on it.
    """

    def __init__(self, command, limit, core):
        begun = time.monotonic()
        process = subprocess.Popen(pinned(core, command), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killer = threading.Timer(limit, process.kill)
        errors = []
        drain = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        killer.start()
        drain.start()
        self.output = process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its figures are still there
        with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as stat:
            waited = int(stat.read().split()[1]) / 1e9
        self.crowded = waited / max(time.monotonic() - begun, 1e-9)
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        drain.join()
        self.code = process.returncode = os.waitstatus_to_exitcode(status)
        self.errors = errors[0]
        self.cpu = usage.ru_utime + usage.ru_stime

    def check(self, name, codes=(0,)):
        if self.code not in codes:
            raise Broken(f"{name}: exit code {self.code}: {self.output[-800:]}{self.errors[-800:]}")
        return self


# --- the generators: each returns (calls per second, CPU us per call, share crowded) -----------------


def h2load(server, calls, core, scratch):
    body = os.path.join(scratch, "body")
    with open(body, "wb") as file:
        file.write(BODY)
    done = Done(["h2load", "-t1", f"-n{calls}", f"-c{CONNECTIONS}", f"-m{STREAMS}", "-d", body,
                 "-H", "te: trailers", "-H", "content-type: application/grpc",
                 f"http://127.0.0.1:{server.port}{server.path}"], 60, core).check("h2load")
    if f"{calls} succeeded, 0 failed, 0 errored" not in done.output:
        raise Broken(f"h2load: not every call succeeded:\n{done.output[-1200:]}")
    took = done.output.split("finished in ")[1].split(",")[1].split()[0]
    return float(took), done.cpu / calls * 1e6, done.crowded


def ghz(program, server, calls, core):
    done = Done([program, "--insecure", "--call", server.path.strip("/").replace("/", "."),
                 "-d", json.dumps({"message": MESSAGE.decode()}), "-n", str(calls),
                 "-c", str(CONNECTIONS * STREAMS), "--connections", str(CONNECTIONS),
                 "-O", "json", f"127.0.0.1:{server.port}"], 60, core).check("ghz")
    report = json.loads(done.output)
    if report["statusCodeDistribution"] != {"OK": calls}:
        raise Broken(f"ghz: not every call succeeded: {report['statusCodeDistribution']}")
    return report["rps"], done.cpu / calls * 1e6, done.crowded


def fortio(program, server, calls, core):
    """Its own health check: less of a message than an echo, and one that it knows."""
    done = Done([program, "load", "-quiet", "-grpc", "-qps", "0", "-n", str(calls),
                 "-c", str(CONNECTIONS), "-s", str(STREAMS), "-json", "-",
                 f"127.0.0.1:{server.port}"], 60, core).check("fortio")
    report = json.loads(done.output)
    answered = report["RetCodes"].get("SERVING")
    if len(report["RetCodes"]) != 1 or not answered:
        raise Broken(f"fortio: not every call succeeded: {report['RetCodes']}")
    return report["ActualQPS"], done.cpu / answered * 1e6, done.crowded


def client(program, server, core, *flags, limit=60):
    """A run of ours: its report as JSON, and what it was."""
    done = Done([program, "client", "--progress=off", "--output=json", *SHAPE,
                 f"--message={MESSAGE.decode()}", *flags, f"127.0.0.1:{server.port}"],
                limit, core).check("echod client")
    report = json.loads(done.output)
    calls = report["calls"]
    answered = {row["status"]: row["calls"] for row in report["statuses"] if row["calls"]}
    left = calls["unfinished"] + calls["never_sent"]
    if answered != {"OK": calls["started"] - calls["unfinished"]} or \
            (left and done.crowded <= QUIET):
        raise Broken(f"echod client: not every call succeeded: {calls} {answered}")
    if left:
        raise Crowded(f"others had its core for {done.crowded:.0%} of the time: "
                      f"{left} calls had no time")
    return report, done


def closed_loop(program, server, core):
    report, done = client(program, server, core, f"--count={OURS_CALLS}",
                          f"--concurrency={CONNECTIONS * STREAMS}")
    return (report["summary"]["achieved_per_second"], done.cpu / OURS_CALLS * 1e6,
            done.crowded)


def install(build_dir):
    """The generators of others that can be had: name -> program. The rest is named, and why."""
    programs = {}
    for name, (package, version, _) in INSTALLED.items():
        folder = os.path.join(build_dir, "go", f"{name}@{version}")
        program = os.path.join(folder, name)
        if not os.path.exists(program):
            if not shutil.which("go"):
                say(f"{name}: left out: there is no Go to install {package}@{version} with")
                continue
            say(f"installing {package}@{version}")
            try:
                done = subprocess.run(
                    ["go", "install", f"{package}@{version}"], text=True, timeout=300,
                    env={**os.environ, "GOBIN": os.path.abspath(folder), "GOTOOLCHAIN": "local",
                         "GOWORK": "off"},
                    cwd=build_dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                why = (done.stdout.strip().splitlines() or ["no reason was given"])[-1]
            except subprocess.TimeoutExpired:
                why = "not done after 300 s"
            if not os.path.exists(program):
                say(f"{name}: left out: it does not install: {why}")
                continue
        programs[name] = program
    return programs


# --- what is measured -------------------------------------------------------------------


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


def measure_closed(program, others, rounds, started, scratch):
    """name -> rounds of (rate, CPU, share): in each round all of them, one after the other."""
    server_core, load_core = cores()
    rows, longest = {}, 0
    for number in range(rounds):
        begun = time.monotonic()
        if number and begun - started + longest > TOTAL_SECONDS / 2:
            say(f"stopped after {number} rounds: the next would take more than the time allowed")
            break
        say(f"closed loop, round {number + 1} of {rounds}")
        with Server("echod", program, server_core) as server:
            h2load(server, OURS_CALLS // 10, load_core, scratch)  # warms up
            turns = [("h2load -t 1", lambda: h2load(server, OURS_CALLS, load_core, scratch)),
                     ("echod client", lambda: closed_loop(program, server, load_core))]
            for name, run in turns if number % 2 else turns[::-1]:
                rows.setdefault(name, []).append(run())
            for name, path in others.items():
                run = ghz if name == "ghz" else fortio
                rows.setdefault(name, []).append(run(path, server, INSTALLED[name][2], load_core))
        longest = max(longest, time.monotonic() - begun)
    return rows


def report_closed(rows, results):
    base = max(row[0] for row in rows["h2load -t 1"])
    say()
    say(f"closed loop, {CONNECTIONS} x {STREAMS}, {len(MESSAGE)} bytes     "
        "calls/s   x h2load   client CPU us/call   crowded")
    for name, measured in rows.items():
        rates, cpus, shares = zip(*measured)
        rate, cpu, crowded = max(rates), min(cpus), min(shares)
        say(f"  {name:34} {rate:9.0f}   {rate / base:8.2f}   {cpu:18.2f}   {crowded:7.1%}")
        results.figures[name] = {"rounds": measured, "calls_per_s": rate, "cpu_us": cpu}
    say()
    ratio = results.figures["echod client"]["calls_per_s"] / base
    results.judge("closed loop, of h2load's rate", ratio, ratio >= 1 - NOISE,
                  f"at least 1, give or take the {NOISE:.0%} that rounds differ by")
    for name in INSTALLED:
        ratio = None
        if name in rows:
            ratio = results.figures["echod client"]["calls_per_s"] / \
                results.figures[name]["calls_per_s"]
        results.judge(f"closed loop, of {name}'s rate", ratio,
                      None if ratio is None else ratio >= 4, "at least 4")


def measure_open(program, rounds, seconds, results):
    """Half of what the closed loop reached, by either pacing."""
    server_core, load_core = cores()
    rate = int(results.figures["echod client"]["calls_per_s"] / 2)
    rows = {"timerfd": [], "spin": []}
    for number in range(rounds):
        say(f"open loop at {rate}/s, round {number + 1} of {rounds}")
        with Server("echod", program, server_core) as server:
            for pacing, measured in rows.items():
                try:
                    report, done = client(program, server, load_core, f"--rate={rate}",
                                          f"--duration={seconds}s", f"--pacing={pacing}")
                except Crowded as why:
                    say(f"--pacing={pacing}: left out: {why}")
                    continue
                summary = report["summary"]
                measured.append({
                    "achieved_per_s": summary["achieved_per_second"],
                    "cpu_us": done.cpu / report["calls"]["started"] * 1e6,
                    "lag_p50_us": summary["lag"]["p50_ns"] / 1e3,
                    "lag_p99_us": summary["lag"]["p99_ns"] / 1e3,
                    "crowded": done.crowded,
                    "deferred": report["calls"]["deferred"],
                    "service_p99_us": summary["service_ok"]["p99_ns"] / 1e3})
    results.figures["open loop"] = {"rate": rate, **rows}

    if not all(rows.values()):
        results.judge("open loop", None, None, "no round was quiet enough")
        return
    quiet = {pacing: min(measured, key=lambda row: row["crowded"])
             for pacing, measured in rows.items()}
    say()
    say(f"open loop at {rate}/s     achieved/s   lag p50 us   lag p99 us   client CPU us/call   crowded")
    for pacing, row in quiet.items():
        say(f"  --pacing={pacing:14} {row['achieved_per_s']:10.0f}   "
            f"{row['lag_p50_us']:10.1f}   {row['lag_p99_us']:10.1f}   "
            f"{row['cpu_us']:18.2f}   {row['crowded']:7.1%}")
    say()
    if max(row["crowded"] for row in quiet.values()) > QUIET:
        say(f"others took more than {QUIET:.1%} of the client's core: lateness is theirs, too")
    # not the cheapest: a round that is late sends its calls in bigger lots, which cost less
    cpu = quiet["timerfd"]["cpu_us"] / results.figures["echod client"]["cpu_us"]
    results.judge("open loop, timerfd: CPU per call, of the closed loop's", cpu, cpu <= 2,
                  "at most 2")
    lag = quiet["timerfd"]["lag_p99_us"]
    results.judge("open loop, timerfd: lag p99", lag, lag < 1000, "less than 1 ms", " us")
    lag = quiet["spin"]["lag_p99_us"]
    results.judge("open loop, spin: lag p99", lag, lag < 100, "less than 100 us", " us")


def quantile(ordered, q):
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def measure_truth(program, seconds, results):
    """
    Each call's delay is known. Judged is the latency from the intended start, which is
    what a report is read for: all that the client adds, its own lateness too, counts as
    its error, and so does what the server and the kernel add to the delay.
    """
    server_core, load_core = cores()
    low, high = DELAY_MS
    say(f"truth: delays of {low} to {high} ms at 2000/s for {seconds} s")
    with Server("echod", program, server_core, f"--echo.delay=uniform:{low}ms,{high}ms",
                f"--echo.seed={DELAY_SEED}") as server:
        report, _ = client(program, server, load_core, "--rate=2000", f"--duration={seconds}s",
                           limit=seconds + 30)
    drawn = sorted(chance.delays_ms(DELAY_SEED, low, high, report["calls"]["started"]))
    rows = {}
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        true_ms = quantile(drawn, q)
        told_ms = report["summary"]["latency_ok"][f"{name}_ns"] / 1e6
        service_ms = report["summary"]["service_ok"][f"{name}_ns"] / 1e6
        slack_ms = 0.01 * true_ms + 0.2
        rows[name] = {"true_ms": true_ms, "latency_ms": told_ms, "service_ms": service_ms}
        results.judge(f"truth: {name}, off by", told_ms - true_ms,
                      abs(told_ms - true_ms) <= slack_ms,
                      f"{told_ms:.2f} for {true_ms} ms, service time {service_ms:.2f}; within "
                      f"1 % + 0.2 ms = {slack_ms:.2f} ms", " ms")
    results.figures["truth"] = {"calls": len(drawn), **rows}


def measure_stall(program, seconds, scratch, results):
    """The server stands still for a second in the middle; at most 50 calls wait for it."""
    server_core, load_core = cores()
    path = os.path.join(scratch, "stall.json")
    say(f"stall: 1 s in the middle of {seconds} s at 2000/s")
    with Server("echod", program, server_core) as server:
        timers = [threading.Timer(seconds / 2, os.kill, (server.pid, signal.SIGSTOP)),
                  threading.Timer(seconds / 2 + 1, os.kill, (server.pid, signal.SIGCONT))]
        for timer in timers:
            timer.start()
        try:
            done = Done([program, "client", "--progress=off", f"--output=json:{path}",
                         "--output=text", *SHAPE, "--rate=2000", f"--duration={seconds}s",
                         "--max-in-flight=50", f"127.0.0.1:{server.port}"],
                        seconds + 30, load_core).check("echod client")
        finally:
            for timer in timers:
                timer.join()
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    summary = report["summary"]
    latency_ms = summary["latency_ok"]["p99_ns"] / 1e6
    service_ms = summary["service_ok"]["p99_ns"] / 1e6
    paragraphs = [" ".join(part.split()) for part in done.output.split("\n\n")]
    said = next((part for part in paragraphs if "coordinated omission" in part), "")
    results.figures["stall"] = {"calls": report["calls"], "latency_p99_ms": latency_ms,
                                "service_p99_ms": service_ms, "said": said}
    results.judge("stall: p99 from the intended start", latency_ms, latency_ms >= 500,
                  "at least half of the second", " ms")
    results.judge("stall: p99 of the service time", service_ms, service_ms <= 50,
                  "at most 50 ms: it does not show", " ms")
    results.judge("stall: the report says so, in words", len(said.split()),
                  bool(said) and summary["coordinated_omission"], said or "nothing", " words")


def arguments():
    parser = argparse.ArgumentParser(prog="dev bench client", description=__doc__.split("\n\n")[0])
    parser.add_argument("--builddir", default=os.path.join(ROOT, "build", "bench"),
                        help="meson's build directory; made where there is none")
    parser.add_argument("--quick", action="store_true", help="one round, and shorter runs")
    parser.add_argument("--only", metavar="PARTS", default="closed,open,truth,stall",
                        help="a comma list of closed, open (which needs closed), truth, stall")
    parser.add_argument("--alone", action="store_true", help="without ghz and fortio")
    parser.add_argument("--program", metavar="PATH", help="this echod, and not a build of one")
    parser.add_argument("--json", metavar="PATH",
                        help="every figure goes there; by default bench-client.json in the "
                        "build directory")
    chosen = parser.parse_args()
    chosen.only = [part.strip() for part in chosen.only.split(",") if part.strip()]
    for part in chosen.only:
        if part not in ("closed", "open", "truth", "stall"):
            parser.error(f"--only: {part} is none of closed, open, truth, stall")
    if "open" in chosen.only and "closed" not in chosen.only:
        parser.error("--only: open needs closed, since it runs at half of what that reaches")
    return chosen


def measure(chosen, program, others, results, scratch):
    started = time.monotonic()
    rounds, short, long = (1, 2, 6) if chosen.quick else (5, 4, 20)
    if "closed" in chosen.only:
        report_closed(measure_closed(program, others, rounds, started, scratch), results)
    if "open" in chosen.only:
        measure_open(program, min(rounds, 3), short, results)
    if "truth" in chosen.only:
        try:
            measure_truth(program, long, results)
        except Crowded as why:
            results.judge("truth", None, None, str(why))
    if "stall" in chosen.only:
        measure_stall(program, long, scratch, results)


def main():
    started = time.monotonic()
    chosen = arguments()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    if not shutil.which("h2load"):
        sys.exit("bench: no h2load: install package nghttp2-client")
    programs, options = prepare(chosen.builddir, ["echod"])
    program = chosen.program or programs.get("echod")
    if not program:
        sys.exit("bench: echod does not build")
    others = {}
    if "closed" in chosen.only and not chosen.alone:
        others = install(chosen.builddir)
    host = machine(options)
    describe(host, "the client")
    results = Results()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            measure(chosen, program, others, results, scratch)
        except Broken as error:
            sys.exit(f"bench: {error}")
    path = chosen.json or os.path.join(chosen.builddir, "bench-client.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"machine": host, "targets": results.verdicts, "figures": results.figures},
                  out, indent=1)
    missed = sum(verdict["met"] is False for verdict in results.verdicts)
    say()
    say(f"{time.monotonic() - started:.0f} s; {missed} targets missed; every figure is in {path}")


if __name__ == "__main__":
    main()

"""What the benchmarks share: the build, the servers that are measured, and the machine."""
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MESSAGE = b"Hello, world!"
BODY = b"\0" + (len(MESSAGE) + 2).to_bytes(4, "big") + b"\x0a" + bytes([len(MESSAGE)]) + MESSAGE
TICKS = os.sysconf("SC_CLK_TCK")

# name -> (ninja target, path of the method, arguments behind the program)
SERVERS = {
    "echod": ("echod", "/muzz.Service/Echo",
              ["serve", "--grpc.listen-address=127.0.0.1:{port}",
               "--web.listen-address=127.0.0.1:{web}", "--log.level=warn"]),
    "floor": ("bench_floor", "/bench.Echoer/Echo", ["{port}"]),
    "c++": ("bench_peer", "/bench.Echoer/Echo", ["{port}"]),
}


class Broken(Exception):
    """A server gave a wrong answer, or none."""


def say(text=""):
    print(text, flush=True)


def cores():
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or not shutil.which("taskset"):
        return None, None
    return usable[0], usable[1]


def pinned(core, command):
    return command if core is None else ["taskset", "-c", str(core)] + command


def prepare(build_dir, wanted):
    """Configures and builds; returns name -> program, and the options of the build."""
    if not os.path.exists(os.path.join(build_dir, "build.ninja")):
        subprocess.run(["meson", "setup", build_dir, ROOT, "-Dbench=true", "-Dtests=disabled"],
                       check=True, stdout=subprocess.DEVNULL)

    def introspect(what):
        return json.loads(subprocess.check_output(["meson", "introspect", build_dir, what]))

    options = {option["name"]: option["value"] for option in introspect("--buildoptions")}
    if not options["bench"]:
        subprocess.run(["meson", "configure", build_dir, "-Dbench=true"], check=True)
    subprocess.run(["ninja", "-C", build_dir, "build.ninja"], check=True, stdout=subprocess.DEVNULL)
    files = {target["name"]: target["filename"][0] for target in introspect("--targets")
             if target["type"] == "executable"}
    programs = {}
    for name in wanted:
        target = SERVERS[name][0]
        if target not in files:
            say(f"{name}: {target} is no target of {build_dir}: left out" + (
                " (packages: g++ libgrpc++-dev protobuf-compiler-grpc)" if name == "c++" else ""))
            continue
        built = subprocess.run(["ninja", "-C", build_dir, os.path.relpath(files[target], build_dir)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode:
            say(built.stdout[-2000:])
            say(f"{name}: does not build: left out")
            continue
        programs[name] = files[target]
    return programs, options


class Server:
    """A running server; ends with the block that it is used in."""

    def __init__(self, name, program, core, *more, stdin=subprocess.DEVNULL):
        _, self.path, arguments = SERVERS[name]
        self.name, self.port, self.web = name, free_port(), free_port()
        command = [program] + [a.format(port=self.port, web=self.web) for a in [*arguments, *more]]
        self.process = subprocess.Popen(pinned(core, command), stdin=stdin,
                                        stdout=subprocess.DEVNULL)
        self.pid = self.process.pid  # taskset becomes the server

    def __enter__(self):
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return self
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise Broken(f"{self.name} does not listen")
                    time.sleep(0.02)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        """User and system time so far, in seconds."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) / TICKS, int(fields[12]) / TICKS

    def rss(self):
        """Resident bytes, once they stand still."""
        last, deadline = -1, time.monotonic() + 3
        while True:
            with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as maps:
                now = int(re.search(r"^Rss:\s+(\d+) kB", maps.read(), re.M)[1]) * 1024
            if now == last or time.monotonic() > deadline:
                return now
            last = now
            time.sleep(0.2)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def machine(options):
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        found = re.search(r"^model name\s*:\s*(.*)$", info.read(), re.M)
        model = found[1] if found else model
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "load_at_start": os.getloadavg()[0],
            "build": {key: options[key] for key in ("buildtype", "optimization", "debug",
                                                    "b_ndebug", "b_lto", "b_sanitize")}}


def describe(host, load):
    build = host["build"]
    say(f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']}, "
        f"load {host['load_at_start']:.1f}")
    shipped = build["optimization"] == "3" and build["b_ndebug"] == "false" and build["b_sanitize"] == "none"
    say(f"build: -O{build['optimization']}, assertions {'off' if build['b_ndebug'] == 'true' else 'on'}, "
        f"sanitizers {build['b_sanitize']}: {'as shipped' if shipped else 'NOT as shipped'}")
    say(f"one core for the server, one for {load}" if cores()[0] is not None else
        f"fewer than two cores (or no taskset): server and {load} share, nothing is pinned")

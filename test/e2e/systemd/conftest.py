"""A machine with a real systemd in it, and our build installed."""
import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from daemon import environment, until

HERE = pathlib.Path(__file__).resolve().parent
CLONE_NEWNET = 0x40000000


def enter_network(path):
    """Moves this process into a network; gives what leads back."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    assert ctypes.CDLL(None, use_errno=True).setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    os.close(there)
    return home


class Machine:
    def __init__(self, process, pid, echod):
        self.process, self.pid, self.echod = process, pid, echod

    def try_run(self, *command, timeout=60):
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-C", "-r", "-w", "-n",
             "env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C.UTF-8", *command],
            capture_output=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL,
        )

    def run(self, *command, **options):
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{(done.stdout + done.stderr).decode()}"
        return done.stdout.decode()

    def write(self, path, text):
        self.run("sh", "-c", f'mkdir -p "$(dirname "{path}")" && printf %s "$1" >"{path}"', "sh", text)

    def show(self, unit, *properties):
        """The properties of a unit, as a dict."""
        text = self.run("systemctl", "show", unit, *[f"--property={name}" for name in properties])
        return dict(line.split("=", 1) for line in text.splitlines())

    def state(self, unit="echod.service"):
        return self.show(unit, "ActiveState")["ActiveState"]

    def main_pid(self):
        """As the machine counts."""
        return int(self.show("echod.service", "MainPID")["MainPID"])

    def journal(self, unit="echod.service"):
        """The entries of a unit since the machine's start, as dicts."""
        self.run("journalctl", "--sync")
        return [json.loads(line) for line in self.run("journalctl", "-q", "-o", "json", "-u", unit).splitlines()]

    def client(self, *arguments, **options):
        """Our client, from outside, in the machine's network."""
        return subprocess.Popen(
            [self.echod, "client", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(), **options,
        )


def libraries(binary):
    """What the binary needs beyond the C library."""
    text = subprocess.run(["ldd", binary], capture_output=True, check=True).stdout.decode()
    found = re.findall(r"(\S+) => (/\S+)", text)
    return [(name, path) for name, path in found if not re.match(r"lib(c|m|pthread|dl|rt)\.so", name)]


@pytest.fixture(scope="session")
def layer(echod, builddir, tmp_path_factory):
    """Our build as `meson install` lays it out, with the libraries that it was built against."""
    tree = tmp_path_factory.mktemp("layer")
    done = subprocess.run(
        ["meson", "install", "--no-rebuild", "-C", str(builddir), "--destdir", str(tree)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lib = tree / "usr/local/lib"
    lib.mkdir(parents=True, exist_ok=True)
    for name, path in libraries(echod):
        shutil.copy(path, lib / name)
    units = tree / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "systemd-modules-load.service").symlink_to("/dev/null")  # the kernel is not ours
    tree.chmod(0o755)  # it becomes the machine's root directory
    return tree


@pytest.fixture(scope="session")
def machine(echod, layer, tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("a machine needs root")
    made = subprocess.run([HERE / "rootfs"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert made.returncode == 0, made.stderr.decode()
    root = made.stdout.decode().strip()
    log = tmp_path_factory.mktemp("machine") / "console.log"
    script = "ldconfig && exec /lib/systemd/systemd --system systemd.unit=multi-user.target"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [HERE / "enter", "--boot", "--net", "--layer", layer, root, "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )
    home = None
    try:
        machine = boot(process, echod, log)
        home = enter_network(f"/proc/{machine.pid}/ns/net")
        yield machine
    finally:
        if home is not None:
            assert ctypes.CDLL(None).setns(home, CLONE_NEWNET) == 0
            os.close(home)
        process.kill()
        process.wait()
        remove_groups()


def boot(process, echod, log):
    def first_child():
        assert process.poll() is None, log.read_text(errors="replace")
        if pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip() != "unshare":
            return None  # a child of the script that becomes it
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        return int(children[0]) if children else None

    pid = until(first_child, "the machine's process 1")

    def is_systemd():
        try:
            return pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"
        except FileNotFoundError:
            pytest.fail(f"the machine ended before its systemd began; console: {log.read_text(errors='replace')}")

    until(is_systemd, "systemd", 20)
    machine = Machine(process, pid, echod)

    def running():
        done = machine.try_run("systemctl", "is-system-running")
        state = done.stdout.decode().strip()
        assert state != "degraded", machine.run("systemctl", "--failed", "--no-legend")
        return state == "running"

    until(running, f"the boot; console: {log.read_text(errors='replace')}", 40)
    return machine


def remove_groups():
    """The control groups that the machine made; its processes are gone, or going."""
    for top in ("/sys/fs/cgroup/echod-test", "/sys/fs/cgroup/unified/echod-test"):
        for _ in range(50):
            if not os.path.isdir(top):
                break
            for path, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
            time.sleep(0.1)


@pytest.fixture
def unit(machine):
    """The service and its sockets as installed, stopped, before and after."""

    def clean():
        machine.run(
            "sh", "-c",
            "systemctl stop echod.socket echod-metrics.socket echod.service 2>&1; systemctl disable -q echod.service "
            "echod.socket echod-metrics.socket; systemctl reset-failed echod.service; rm -rf /etc/default/echod "
            "/etc/systemd/system/echod.service.d; systemctl daemon-reload",
        )

    clean()
    yield machine
    clean()

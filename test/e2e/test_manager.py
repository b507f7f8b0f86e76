"""What a service manager does with it: readiness, watchdog, inherited sockets, process 1."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from calls import channel, method
from daemon import accepts, environment, unused_port, until
from test_cli import own_network, unshare

INHERIT = """
import os, socket, sys
fds = [int(fd) for fd in sys.argv[1].split(",")] if sys.argv[1] else []
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
for i in range(len(fds)):
    os.dup2(100 + i, 3 + i)
    os.close(100 + i)
os.environ["LISTEN_PID"] = str(os.getpid()) if sys.argv[2] == "self" else sys.argv[2]
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_FDNAMES"] = sys.argv[3]
os.execvp(sys.argv[4], sys.argv[4:])
"""


@pytest.fixture(scope="module", autouse=True)
def with_libsystemd(echod):
    """These need a binary that was built with it."""
    linked = subprocess.run(["ldd", echod], capture_output=True, check=False).stdout
    if b"libsystemd" not in linked:
        pytest.skip("built without libsystemd")


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0") if address.startswith("@") else address)
        self.env = {"NOTIFY_SOCKET": address}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def message(self, timeout=10.0):
        """The next message, as a dict; None in vain."""
        self.socket.settimeout(timeout)
        try:
            text = self.socket.recv(4096).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, key):
        while message := self.message():
            if key in message:
                return message
        raise AssertionError(f"no {key}")


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@echod-notify-{os.getpid()}"
    with Manager(address) as made:
        yield made


def test_ready_is_said_once_both_ports_accept(serve, manager):
    ports = unused_port(), unused_port()
    server = serve(
        f"--grpc.listen-address=127.0.0.1:{ports[0]}", f"--web.listen-address=127.0.0.1:{ports[1]}", env=manager.env
    )
    message = manager.message()
    assert message["READY"] == "1"
    assert accepts(ports[0]) and accepts(ports[1])
    assert str(ports[0]) in message["STATUS"] and str(ports[1]) in message["STATUS"]
    assert server.get("/-/ready").status == 200


def test_ready_is_not_said_where_a_port_is_taken(echod, manager):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [echod, "serve", "--grpc.listen-address=127.0.0.1:0",
             f"--web.listen-address=127.0.0.1:{taken.getsockname()[1]}"],
            env=environment(manager.env), capture_output=True, check=False, timeout=20,
        )
    assert done.returncode == 1
    assert manager.message(0.2) is None


def test_stopping_is_said_while_calls_finish(serve, manager):
    server = serve("--echo.delay=1s", "--shutdown.grace=25s", env=manager.env)
    manager.until("READY")
    with channel(server.grpc) as made:
        future = method(made).future(b"x", timeout=10)
        server.wait_value(1, "echod_rpcs_in_flight")
        server.send_signal()
        message = manager.until("STOPPING")
        assert message["STOPPING"] == "1"
        assert int(message["EXTEND_TIMEOUT_USEC"]) >= 25_000_000
        assert not future.done()
        assert future.result() == b"x"
    assert server.wait() == 0


def test_the_watchdog_is_fed_from_the_loop(serve, manager):
    server = serve(env={**manager.env, "WATCHDOG_USEC": "400000"})
    manager.until("READY")
    times = []
    for _ in range(6):
        manager.until("WATCHDOG")
        times.append(time.monotonic())
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert max(gaps) < 0.4, gaps
    assert min(gaps) > 0.05, gaps
    server.send_signal(signal.SIGSTOP)  # the loop stands still, and so do the pings
    try:
        while manager.message(0.1):
            pass
        assert manager.message(0.6) is None
    finally:
        server.send_signal(signal.SIGCONT)
    manager.until("WATCHDOG")


def test_another_ones_watchdog_is_not_fed(serve, manager):
    serve(env={**manager.env, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    manager.until("READY")
    assert manager.message(0.5) is None


def test_the_watchdog_is_fed_while_it_drains(serve, manager):
    server = serve("--echo.delay=2s", env={**manager.env, "WATCHDOG_USEC": "400000"})
    with channel(server.grpc) as made:
        future = method(made).future(b"x", timeout=10)
        server.wait_value(1, "echod_rpcs_in_flight")
        server.send_signal()
        manager.until("STOPPING")
        for _ in range(4):
            manager.until("WATCHDOG")
        assert future.result() == b"x"
    assert server.wait() == 0


def test_without_a_manager_it_is_silent(serve):
    server = serve(env={"NOTIFY_SOCKET": "/nonexistent/socket"})
    assert server.get("/-/ready").status == 200
    assert "level=WARN" not in server.output()


# --- inherited sockets ---


def listening(family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    return sock


def inherit(serve, sockets, names, *flags, pid="self", **options):
    fds = [sock.fileno() for sock in sockets]
    prefix = [sys.executable, "-c", INHERIT, ",".join(map(str, fds)), pid, ":".join(names)]
    return serve(*flags, prefix=prefix, pass_fds=fds, **options)


def test_sockets_of_the_two_names_replace_the_defaults(serve):
    with listening() as grpc, listening() as web:
        server = inherit(serve, [web, grpc], ["metrics", "grpc"], listen=False)
        assert server.grpc_port == grpc.getsockname()[1]
        assert server.web_port == web.getsockname()[1]
        with channel(server.grpc) as made:
            assert method(made)(b"x", timeout=5) == b"x"
        assert server.value("total_requests") == 1


def test_one_inherited_and_one_of_our_own(serve):
    with listening() as grpc:
        server = inherit(serve, [grpc], ["grpc"], "--web.listen-address=127.0.0.1:0", listen=False)
        assert server.grpc_port == grpc.getsockname()[1]
        assert server.get("/-/ready").status == 200


def test_an_inherited_one_beside_given_addresses(serve):
    with listening() as grpc:
        server = inherit(serve, [grpc], ["grpc"], "--grpc.listen-address=127.0.0.1:0")
        ports = {grpc.getsockname()[1]}
        addresses = server.output().split("grpc=")[1].split()[0].strip('"').split(",")
        ports |= {int(address.rpartition(":")[2]) for address in addresses}
        assert len(ports) == 2
        for port in ports:
            with channel(f"127.0.0.1:{port}") as made:
                assert method(made)(b"x", timeout=5) == b"x"


def test_an_inherited_unix_socket_is_not_unlinked(serve, tmp_path):
    path = str(tmp_path / "inherited")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        server = inherit(serve, [sock], ["grpc"])
        with channel(f"unix:{path}") as made:
            assert method(made)(b"x", timeout=5) == b"x"
        server.stop()
        assert os.path.exists(path)


def test_a_stranger_is_warned_of_and_closed(serve):
    with listening() as sock:
        server = inherit(serve, [sock], ["ssh"])
        assert "ssh" in [line for line in server.output().splitlines() if "level=WARN" in line][0]
        assert server.get("/-/ready").status == 200


def test_sockets_for_another_process_are_left_alone(serve):
    with listening() as sock:
        server = inherit(serve, [sock], ["grpc"], pid="1")
        assert server.grpc_port != sock.getsockname()[1]


def test_clients_that_came_before_the_start_are_served(serve):
    """The point of socket activation: the kernel holds them until somebody is there."""
    with listening() as grpc, listening() as web:
        early = channel(f"127.0.0.1:{grpc.getsockname()[1]}")
        with early as made:
            future = method(made).future(b"early", timeout=20)
            time.sleep(0.3)
            inherit(serve, [grpc, web], ["grpc", "metrics"], listen=False)
            assert future.result() == b"early"


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="no systemd-socket-activate here")
def test_under_systemd_socket_activate(echod, tmp_path):
    ports = unused_port(), unused_port()
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{ports[0]}", "-l", f"127.0.0.1:{ports[1]}",
             "--fdname=grpc:metrics", echod, "serve"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(),
        )
    try:
        until(lambda: (tmp_path / "log").read_text().count("Listening on") == 2, "the sockets")
        with channel(f"127.0.0.1:{ports[0]}") as made:
            assert method(made)(b"x", timeout=20) == b"x"
        done = subprocess.run(
            [echod, "client", f"127.0.0.1:{ports[0]}"], capture_output=True, check=False, env=environment(), timeout=20
        )
        assert done.stdout == b"Hello, world!\n"
        import http1

        assert http1.get(ports[1], "/-/ready").status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()


# --- process 1 ---


@own_network
def test_as_process_1_of_a_container(serve):
    """The kernel gives process 1 no default action: without a handler TERM would be ignored."""
    server = serve(prefix=unshare("--pid", "--fork", "--mount-proc", "--kill-child"))
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as children:
        inner = int(children.read().split()[0])
    with open(f"/proc/{inner}/status", encoding="ascii") as status:
        ids = next(line for line in status if line.startswith("NSpid:")).split()
    assert ids[-1] == "1"
    with channel(server.grpc) as made:
        assert method(made)(b"x", timeout=5) == b"x"
    assert server.value("process_open_fds") > 3
    os.kill(inner, signal.SIGHUP)
    os.kill(inner, signal.SIGTERM)
    assert server.wait() == 0
    assert "Shutting down gRPC server" in server.output()

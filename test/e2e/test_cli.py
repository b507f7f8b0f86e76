"""`echod` and `echod serve` as a person or a script meets them."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from calls import channel, method
from daemon import Server, environment, unused_port, until

SECCOMP = str(pathlib.Path(__file__).with_name("seccomp.py"))
AF_INET6 = "10"


def one_line(text):
    """Asserts that bytes are one whole line, and returns it."""
    text = text.decode()
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text


# --- words ---


def test_help_of_the_whole_names_the_commands(run):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"serve" in done.stdout and b"client" in done.stdout


def test_without_a_command_it_says_what_there_is(run):
    done = run()
    assert done.returncode == 2
    assert b"serve" in done.stderr and b"client" in done.stderr


def test_an_unknown_command_is_named(run):
    done = run("frobnicate")
    assert done.returncode == 2
    assert b"frobnicate" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["frob\nnicate"], ["help", "frob\nnicate"], ["help", "serve", "frob\nnicate"], ["version", "frob\nnicate"]],
)
def test_a_word_too_many_or_unknown_is_one_line_and_2(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "frob?nicate" in one_line(done.stderr)


@pytest.mark.parametrize("command", ["serve", "client", "probe"])
def test_help_of_a_command(run, command):
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith(f"usage: echod {command}") or f"echod {command}" in text.splitlines()[0]
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "Examples" in text
    assert run(command, "-h").stdout == done.stdout


FLAGS = [
    "grpc.listen-address", "web.listen-address", "web.telemetry-path", "log.level", "log.format", "shutdown.delay",
    "shutdown.grace", "grpc.max-message-bytes", "grpc.max-header-bytes", "grpc.max-concurrent-streams",
    "grpc.max-connections", "grpc.max-buffered-bytes", "grpc.handshake-timeout",
    "grpc.stall-timeout", "grpc.keepalive-time", "grpc.keepalive-timeout", "grpc.keepalive-min-time",
    "grpc.max-connection-idle", "grpc.max-connection-age", "grpc.max-connection-age-grace", "web.max-connections",
    "echo.delay", "echo.seed", "echo.identify", "echo.max-runs", "instance", "version", "help",
]


def test_every_flag_is_in_the_help_with_its_variable(run):
    text = run("serve", "--help").stdout.decode()
    for flag in FLAGS:
        assert f"--{flag}" in text.replace("[no-]", ""), flag
        if flag not in ("version", "help"):
            assert "ECHOD_" + re.sub("[.-]", "_", flag).upper() in text, flag


@pytest.mark.parametrize("arguments", [["--version"], ["version"], ["serve", "--version"], ["client", "--version"]])
def test_version(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.match(r"echod, version \d+\.\d+\.\d+ \(branch: \S*, revision: \S*\)\n", done.stdout.decode())


def test_help_that_nobody_reads_is_no_crash(echod):
    with open("/dev/full", "wb") as full:
        code = subprocess.run([echod, "serve", "--help"], stdout=full, stderr=subprocess.PIPE, check=False).returncode
    assert code in (0, 1)


# --- bad input: exit 2, one line that names it ---

BAD = {
    "--nonsense": "nonsense",
    "--nonsense=1": "nonsense",
    "--log.level=loud": "loud",
    "--log.format=xml": "xml",
    "--echo.delay=soon": "echo.delay",
    "--echo.delay=uniform:5s,1s": "echo.delay",
    "--echo.delay=-1s": "echo.delay",
    "--shutdown.grace=5": "shutdown.grace",
    "--shutdown.grace=": "shutdown.grace",
    "--shutdown.delay=1y": "shutdown.delay",
    "--grpc.max-message-bytes=lots": "grpc.max-message-bytes",
    "--grpc.max-message-bytes=-1": "grpc.max-message-bytes",
    "--grpc.max-message-bytes=99999999999999999999": "grpc.max-message-bytes",
    "--grpc.max-concurrent-streams=0": "grpc.max-concurrent-streams",
    "--grpc.listen-address=nonsense::": "nonsense::",
    "--grpc.listen-address=127.0.0.1:99999": "99999",
    "--grpc.listen-address=:-1": "grpc.listen-address",
    "--grpc.listen-address=unix:" + "x" * 200: "unix:",
    "--web.listen-address=[::1": "[::1",
    "--web.telemetry-path=metrics": "metrics",
    "--web.telemetry-path=/-/ready": "/-/ready",
    "--web.telemetry-path=/-/faults": "/-/faults",
    "--web.telemetry-path=/-/runs/": "/-/runs/",
    "--web.telemetry-path=/-/runs/x": "/-/runs/x",
    "--echo.max-runs=65": "echo.max-runs",
    "--instance=xyz": "xyz",
    "--echo.identify=maybe": "maybe",
    "stray": "stray",
    "--grpc.listen-address": "grpc.listen-address",
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_input_is_one_line_and_2(run, argument):
    done = run("serve", argument)
    assert done.returncode == 2, done.stderr
    assert BAD[argument] in one_line(done.stderr)
    assert done.stdout == b""


LONG = "x" * 70000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", f"--echo.delay={LONG}"], "or p50=5ms"),
        (["serve", f"--grpc.listen-address={LONG}"], "longer than"),
        (["serve", f"--web.telemetry-path={LONG}"], "a slash"),
        (["serve", f"--instance={LONG}"], "hexadecimal"),
        (["serve", LONG], "unexpected argument"),
        (["client", f"--timeout={LONG}"], "is not a duration"),
        (["client", f"--metadata=a:{LONG}"], "exceeds"),
        (["client", f"--metadata={LONG}"], "name:value"),
        (["client", f"--message-file={LONG}"], "cannot be opened"),
        (["client", LONG], "longer than"),
        (["client", "a:1", LONG], "is a second"),
        (["client", f"--web.listen-address={LONG}"], "longer than"),
        (["probe", LONG], "longer than"),
        (["probe", "a:1", LONG], "is a second"),
        (["probe", f"--metadata={LONG}"], "name:value"),
        (["probe", f"--service={LONG}"], "longer than"),
    ],
)
def test_a_value_of_any_length_leaves_room_for_what_is_wrong_with_it(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == (1 if arguments[0] == "probe" else 2) and done.stdout == b""
    line = one_line(done.stderr)
    assert words in line and len(line) < 1000, line[-200:]


def test_a_bad_variable_is_named(run):
    done = run("serve", env={"ECHOD_SHUTDOWN_GRACE": "soon"})
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert "ECHOD_SHUTDOWN_GRACE" in line and "soon" in line


# --- the environment ---


def test_variables_work_as_flags_do(serve):
    server = serve(
        listen=False,
        env={
            "ECHOD_GRPC_LISTEN_ADDRESS": "127.0.0.1:0,unix:@echod-test-" + str(os.getpid()),
            "ECHOD_WEB_LISTEN_ADDRESS": "127.0.0.1:0",
            "ECHOD_LOG_FORMAT": "json",
            "ECHOD_ECHO_IDENTIFY": "false",
            "ECHOD_WEB_TELEMETRY_PATH": "/m",
        },
    )
    assert server.output().startswith("{")
    assert server.get("/m").status == 200
    with channel(server.grpc) as made:
        assert method(made)(b"x", timeout=5) == b"x"
    with channel(f"unix-abstract:echod-test-{os.getpid()}") as made:
        assert method(made)(b"y", timeout=5) == b"y"


def test_a_flag_beats_its_variable(serve):
    server = serve("--web.telemetry-path=/flag", env={"ECHOD_WEB_TELEMETRY_PATH": "/variable"})
    assert server.get("/flag").status == 200
    assert server.get("/variable").status == 404


def test_an_unknown_variable_is_warned_of(serve):
    server = serve(env={"ECHOD_NONSENSE": "1", "ECHOES": "1", "ECHOD_ARGS": ""})
    warned = [line for line in server.output().splitlines() if "level=WARN" in line]
    assert len(warned) == 1 and "ECHOD_NONSENSE" in warned[0]


# --- addresses ---


def test_a_port_in_use_is_1_and_one_line_that_names_it(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag, other in (("grpc", "web"), ("web", "grpc")):
            done = run("serve", f"--{flag}.listen-address=127.0.0.1:{port}", f"--{other}.listen-address=127.0.0.1:0")
            assert done.returncode == 1
            line = one_line(done.stderr)
            assert f"127.0.0.1:{port}" in line and "in use" in line and "level=ERROR" in line


def test_an_address_that_is_not_ours(run):
    done = run("serve", "--grpc.listen-address=192.0.2.77:9876", "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 1
    assert "192.0.2.77:9876" in one_line(done.stderr)


def test_many_addresses(serve):
    first, second = unused_port(), unused_port()
    server = serve(
        f"--grpc.listen-address=127.0.0.1:{first}", f"--grpc.listen-address=127.0.0.1:{second}",
        f"--grpc.listen-address=[::1]:{second}", "--web.listen-address=127.0.0.1:0",
    )
    for target in (f"127.0.0.1:{first}", f"127.0.0.1:{second}", f"[::1]:{second}"):
        with channel(target) as made:
            assert method(made)(target.encode(), timeout=5) == target.encode()
    assert server.value("total_requests") == 3


def test_no_host_is_all_of_them_on_both_families(serve):
    server = serve("--grpc.listen-address=:0", "--web.listen-address=:0")
    for host in ("127.0.0.1", "[::1]"):
        with channel(f"{host}:{server.grpc_port}") as made:
            assert method(made)(b"x", timeout=5) == b"x"
    assert server.get("/-/ready").status == 200
    socket.create_connection(("::1", server.web_port), 5).close()


def test_an_ipv4_wildcard_is_ipv4_alone(serve):
    server = serve("--grpc.listen-address=0.0.0.0:0")
    with channel(f"127.0.0.1:{server.grpc_port}") as made:
        assert method(made)(b"x", timeout=5) == b"x"
    with pytest.raises(OSError):
        socket.create_connection(("::1", server.grpc_port), 5)


def test_where_there_is_no_ipv6_the_default_is_ipv4(serve):
    server = serve(
        "--grpc.listen-address=:0", "--web.listen-address=:0", prefix=[sys.executable, SECCOMP, AF_INET6]
    )
    with channel(f"127.0.0.1:{server.grpc_port}") as made:
        assert method(made)(b"x", timeout=5) == b"x"
    assert server.get("/-/ready").status == 200


def test_a_unix_socket(serve, tmp_path, run):
    path = tmp_path / "grpc.sock"
    server = serve(f"--grpc.listen-address=unix:{path}")
    assert server.grpc == f"unix:{path}"
    with channel(f"unix:{path}") as made:
        assert method(made)(b"x" * 100000, timeout=5) == b"x" * 100000
    assert run("client", f"unix:{path}").stdout == b"Hello, world!\n"
    server.stop()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(serve, run, tmp_path):
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = serve(f"--grpc.listen-address=unix:{path}")
    done = run("serve", f"--grpc.listen-address=unix:{path}", "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 1 and str(path) in one_line(done.stderr)
    assert run("client", f"unix:{path}").returncode == 0
    server.stop()


def test_a_file_in_the_way_of_a_unix_socket_is_kept(run, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    done = run("serve", f"--grpc.listen-address=unix:{path}", "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 1
    assert path.read_text() == "data"


def test_an_abstract_socket(serve, run):
    name = f"unix:@echod-test-{os.getpid()}-abstract"
    server = serve(f"--grpc.listen-address={name}")
    assert run("client", name).stdout == b"Hello, world!\n"
    assert server.grpc == name


def test_metrics_on_a_unix_socket(serve, tmp_path):
    path = tmp_path / "web.sock"
    serve(f"--web.listen-address=unix:{path}")
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", path, "http://localhost/-/ready"], capture_output=True, check=False, timeout=10
    )
    assert done.returncode == 0 and done.stdout


# --- a network of its own: the defaults ---


def unshare(*what):
    """A command prefix; as another user than root it needs a user namespace."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *what]


def namespaces_work():
    return shutil.which("unshare") and subprocess.run(unshare("--net", "true"), check=False, capture_output=True).returncode == 0


own_network = pytest.mark.skipif(not namespaces_work(), reason="network namespaces cannot be made here")


@pytest.fixture
def in_network(echod, tmp_path):
    """Starts the default server in a new network; gives a function that runs commands there."""
    servers = []
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]

    def start(setup):
        script = f'ip link set lo up; {setup}; exec "$@"'
        server = Server(echod, (), tmp_path / "net.log", listen=False, prefix=unshare("--net", "sh", "-c", script, "sh"))
        servers.append(server)
        server.wait_ready()

        def enter(*command):
            return subprocess.run(
                ["nsenter", "--target", str(server.pid), "--net", *user, *command],
                capture_output=True, check=False, timeout=20, env=environment(),
            )

        return enter

    yield start
    for server in servers:
        server.finish()


@own_network
def test_the_defaults_are_9876_and_2112_on_all_addresses(in_network, echod):
    enter = in_network("true")
    assert enter(echod, "client").stdout == b"Hello, world!\n"
    assert enter(echod, "client", "[::1]:9876").stdout == b"Hello, world!\n"
    assert enter(echod, "client", "localhost").stdout == b"Hello, world!\n"
    for host in ("127.0.0.1", "[::1]"):
        text = enter("curl", "-s", f"http://{host}:2112/metrics").stdout.decode()
        assert "total_requests 3" in text
        assert 'grpc_calls_total{method="Echo",status="success"} 3' in text


@own_network
def test_the_defaults_where_ipv6_is_disabled(in_network, echod):
    enter = in_network("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
    assert enter(echod, "client").stdout == b"Hello, world!\n"
    assert enter(echod, "client", "localhost").stdout == b"Hello, world!\n"
    assert enter("curl", "-s", "http://127.0.0.1:2112/-/ready").returncode == 0


# --- life ---


def test_hup_is_caught_and_logged(serve):
    server = serve()
    server.send_signal(signal.SIGHUP)
    until(lambda: "SIGHUP" in server.output(), "the line")
    with channel(server.grpc) as made:
        assert method(made)(b"x", timeout=5) == b"x"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_stops_it_with_0(serve, number):
    assert serve().stop(number) < 3


def test_pipe_signals_are_ignored(serve):
    server = serve()
    server.send_signal(signal.SIGPIPE)
    assert server.get("/-/healthy").status == 200


def test_it_is_idle_when_nobody_asks(serve):
    """No busy loop: hardly any processor time in a quiet second."""
    server = serve()
    time.sleep(0.2)

    def ticks():
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    assert (ticks() - before) / os.sysconf("SC_CLK_TCK") < 0.1


def test_no_file_is_left_open_by_a_thousand_connections(serve):
    server = serve()
    before = len(os.listdir(f"/proc/{server.pid}/fd"))
    for _ in range(1000):
        socket.create_connection(("127.0.0.1", server.grpc_port), 5).close()
    until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) <= before + 1, "the descriptors' end")


def test_at_the_limit_of_connections_the_next_waits(serve):
    server = serve("--grpc.max-connections=3", "--echo.delay=30s", "--shutdown.grace=500ms")
    held = [socket.create_connection(("127.0.0.1", server.grpc_port), 5) for _ in range(3)]
    try:
        server.wait_value(3, "echod_connections_active", listener="grpc")
        late = socket.create_connection(("127.0.0.1", server.grpc_port), 5)
        held.append(late)
        time.sleep(0.3)
        assert server.value("echod_connections_active", listener="grpc") == 3
        assert server.value("echod_connections_refused_total", listener="grpc", reason="limit") >= 1
        held.pop(0).close()
        server.wait_value(4, "echod_connections_accepted_total", listener="grpc")
    finally:
        for sock in held:
            sock.close()


def test_out_of_files_it_waits_and_goes_on(serve):
    """At the limit of open files nothing is dropped, and the metrics still answer."""
    server = serve(prefix=["prlimit", "--nofile=100:100"])
    held = []
    try:
        for _ in range(150):
            held.append(socket.create_connection(("127.0.0.1", server.grpc_port), 5))
        time.sleep(0.5)
        assert server.get("/-/healthy").status == 200
    finally:
        for sock in held:
            sock.close()
    with channel(server.grpc) as made:
        assert method(made)(b"x", timeout=10) == b"x"

"""The unit under a real systemd, with all of its hardening."""
import json
import re
import subprocess
import time

import pytest

import exposition
import http1
from calls import channel, method
from daemon import accepts, until
from load import balance, statuses

UNITS = ["echod.service", "echod.socket", "echod-metrics.socket"]


def start(machine, *units):
    machine.run("systemctl", "start", *(units or ["echod.service"]))


def value(name, **labels):
    return exposition.parse(http1.get(2112).body).value(name, **labels)


def answered(client):
    """The JSON summary of a run whose every call that reached a server was answered OK."""
    out, err = client.communicate(timeout=60)
    result = json.loads(out)
    balance(result)
    assert set(statuses(result)) == {"OK"}, (result, err)
    assert result["calls"]["mismatched"] == result["calls"]["unfinished"] == 0, result
    return result


def test_the_machine_runs(machine):
    assert machine.run("systemctl", "is-system-running").strip() == "running"


@pytest.mark.parametrize("unit_name", UNITS)
def test_verify_has_nothing_to_say(machine, unit_name):
    path = machine.show(unit_name, "FragmentPath")["FragmentPath"]
    done = machine.try_run("systemd-analyze", "verify", "--man=no", path)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_exposure_is_at_most_1_5(machine):
    path = machine.show("echod.service", "FragmentPath")["FragmentPath"]
    machine.run("systemd-analyze", "security", "--offline=yes", "--threshold=15", path)


def test_start_call_scrape_stop(unit):
    unit.run("systemctl", "enable", "--now", "echod.service")
    assert unit.run("systemctl", "is-active", "echod.service").strip() == "active"
    assert unit.run("systemctl", "is-enabled", "echod.service").strip() == "enabled"
    assert accepts(9876) and accepts(2112)
    status = unit.show("echod.service", "StatusText", "Type", "WatchdogUSec")
    assert "9876" in status["StatusText"] and "2112" in status["StatusText"]
    assert status["Type"] == "notify"

    assert unit.client().communicate(timeout=20)[0] == b"Hello, world!\n"
    with channel("127.0.0.1:9876") as made:
        assert method(made)("von Python, ☺".encode(), timeout=10).decode() == "von Python, ☺"
    text = http1.get(2112).body
    assert b"\ntotal_requests 2\n" in text
    assert b'\ngrpc_calls_total{method="Echo",status="success"} 2\n' in text
    assert http1.get(2112, "/-/ready").status == 200

    unit.run("systemctl", "stop", "echod.service")
    ended = unit.show("echod.service", "ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "NRestarts": "0"}
    assert not accepts(9876) and not accepts(2112)


def test_the_process_metrics_work_inside_the_hardening(unit):
    start(unit)
    text = exposition.parse(http1.get(2112).body)
    assert text.value("process_resident_memory_bytes") > 1 << 20
    assert text.value("process_open_fds") > 3
    assert text.value("process_threads") == 2  # that which compresses pages is to be had
    limits = unit.run("cat", f"/proc/{unit.main_pid()}/limits")
    assert text.value("process_max_fds") == float(re.search(r"Max open files +(\d+)", limits)[1])
    assert abs(text.value("process_start_time_seconds") - time.time()) < 120


def test_it_runs_with_no_privilege(unit):
    start(unit)
    status = dict(
        line.split(":\t", 1)
        for line in unit.run("cat", f"/proc/{unit.main_pid()}/status").splitlines()
        if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_journal_has_its_lines_with_priorities(unit):
    unit.write("/etc/default/echod", "ECHOD_NONSENSE=1\n")
    start(unit)
    unit.run("systemctl", "kill", "--signal=HUP", "echod.service")
    until(lambda: any("SIGHUP" in entry["MESSAGE"] for entry in unit.journal()), "the line of SIGHUP")
    pid = str(unit.main_pid())
    own = [entry for entry in unit.journal() if entry["_PID"] == pid]
    assert [entry["PRIORITY"] for entry in own if "gRPC server starting" in entry["MESSAGE"]] == ["6"]
    assert [entry["PRIORITY"] for entry in own if "ECHOD_NONSENSE" in entry["MESSAGE"]] == ["4"]
    assert not [entry for entry in own if entry["MESSAGE"].startswith("<") or "time=" in entry["MESSAGE"]]


def test_flags_and_variables_come_from_the_defaults_file(unit):
    unit.write("/etc/default/echod", 'ECHOD_ARGS="--echo.delay=300ms --web.telemetry-path=/m"\nECHOD_INSTANCE=00000000000000aa\n')
    start(unit)
    begin = time.monotonic()
    with channel("127.0.0.1:9876") as made:
        _, call = method(made).with_call(b"x", timeout=10)
    assert time.monotonic() - begin >= 0.3
    assert dict(call.initial_metadata())["echod-instance"] == "00000000000000aa"
    assert http1.get(2112, "/m").status == 200


def test_a_bad_flag_fails_once_and_is_not_retried(unit):
    unit.write("/etc/default/echod", "ECHOD_ARGS=--nonsense\n")
    assert unit.try_run("systemctl", "start", "echod.service").returncode != 0
    time.sleep(0.5)
    ended = unit.show("echod.service", "ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert ended == {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2", "NRestarts": "0"}
    assert any("--nonsense" in entry["MESSAGE"] for entry in unit.journal())


def test_calls_in_flight_survive_a_stop(unit):
    unit.write("/etc/default/echod", "ECHOD_ECHO_DELAY=3s\n")
    start(unit)
    with channel("127.0.0.1:9876") as made:
        futures = [method(made).future(b"x", timeout=20) for _ in range(20)]
        until(lambda: value("echod_rpcs_in_flight") == 20, "the calls")
        unit.run("systemctl", "stop", "echod.service")
        assert [future.result() for future in futures] == [b"x"] * 20
    assert unit.show("echod.service", "Result")["Result"] == "success"


@pytest.mark.limit(120)
def test_restarts_under_load_lose_no_call_that_reached_a_server(unit):
    unit.write("/etc/default/echod", "ECHOD_ECHO_DELAY=uniform:0s,100ms\n")
    start(unit)
    load = unit.client("--duration=6s", "--concurrency=50", "--connections=5", "--output=json", "--progress=off")
    for _ in range(3):
        time.sleep(1)
        before = unit.main_pid()
        unit.run("systemctl", "restart", "echod.service")
        assert unit.main_pid() != before
    result = answered(load)
    assert load.returncode == 0
    assert statuses(result)["OK"] > 500
    assert value("failed_requests") == 0


@pytest.mark.limit(120)
def test_with_socket_units_restarts_under_load_lose_nothing_at_all(unit):
    """The sockets stay: who comes between two lives waits in the backlog."""
    unit.write("/etc/default/echod", "ECHOD_ECHO_DELAY=uniform:0s,100ms\n")
    unit.run("systemctl", "enable", "--now", "echod.socket", "echod-metrics.socket")
    start(unit)
    load = unit.client("--duration=6s", "--concurrency=50", "--connections=5", "--output=json", "--progress=off")
    for _ in range(3):
        time.sleep(1)
        unit.run("systemctl", "restart", "echod.service")
    result = answered(load)
    assert result["never_found"]["calls"] == 0, result
    assert statuses(result)["OK"] > 500


def test_a_connection_to_the_socket_starts_it(unit):
    unit.run("systemctl", "start", "echod.socket", "echod-metrics.socket")
    assert unit.state() == "inactive"
    assert unit.client().communicate(timeout=20)[0] == b"Hello, world!\n"
    assert unit.state() == "active"
    assert value("total_requests") == 1
    names = unit.show("echod.service", "TriggeredBy")["TriggeredBy"].split()
    assert sorted(names) == ["echod-metrics.socket", "echod.socket"]
    unit.run("systemctl", "stop", "echod.service", "echod.socket", "echod-metrics.socket")
    assert not accepts(9876)


def test_a_scrape_of_the_socket_starts_it_too(unit):
    unit.run("systemctl", "start", "echod.socket", "echod-metrics.socket")
    assert http1.get(2112, "/-/healthy").status == 200
    assert unit.state() == "active"


def drop_in(machine, text):
    machine.write("/etc/systemd/system/echod.service.d/test.conf", text)
    machine.run("systemctl", "daemon-reload")


def test_the_watchdog_is_fed(unit):
    drop_in(unit, "[Service]\nWatchdogSec=1\n")
    start(unit)
    before = unit.main_pid()
    stamps = set()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        stamps.add(unit.show("echod.service", "WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"])
        time.sleep(0.1)
    assert len(stamps) >= 4, stamps
    assert (unit.main_pid(), unit.show("echod.service", "NRestarts")["NRestarts"]) == (before, "0")


def test_a_loop_that_stands_still_is_killed_and_restarted(unit):
    drop_in(unit, "[Service]\nWatchdogSec=1\n")
    start(unit)
    before = unit.main_pid()
    unit.run("systemctl", "kill", "--signal=STOP", "echod.service")
    until(lambda: unit.main_pid() not in (0, before) and unit.state() == "active", "a new life", 20)
    assert any("watchdog" in entry["MESSAGE"].lower() for entry in unit.journal())
    assert unit.client().communicate(timeout=20)[0] == b"Hello, world!\n"


def test_a_kill_is_followed_by_a_new_life(unit):
    start(unit)
    before = unit.main_pid()
    unit.run("systemctl", "kill", "--signal=KILL", "echod.service")
    until(lambda: unit.main_pid() not in (0, before) and unit.state() == "active", "a new life", 20)


def test_a_taken_port_fails_the_unit_and_says_why(unit):
    blocker = subprocess.Popen(
        [unit.echod, "serve", "--grpc.listen-address=:9876", "--web.listen-address=127.0.0.1:0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: accepts(9876), "the blocker")
        assert unit.try_run("systemctl", "start", "echod.service").returncode != 0
        assert any("9876" in e["MESSAGE"] and e["PRIORITY"] == "3" for e in unit.journal())
    finally:
        blocker.terminate()
        blocker.wait()


def test_the_manual_is_where_the_unit_says(layer):
    pages = {path.name.removesuffix(".gz") for path in layer.rglob("man?/*")}
    assert {"echod.8", "echod-client.1"} <= pages

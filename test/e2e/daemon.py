"""A running `echod serve`, and what tests want to know of it."""
import os
import re
import select
import signal
import socket
import subprocess
import time

import exposition
import http1

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")
ADDRESSES = re.compile(r'gRPC server starting".*?\bgrpc"?[=:]"?([^\s"]+).*?\bmetrics"?[=:]"?([^\s"]+)')


def environment(extra=None):
    """The caller's environment without what would steer the daemon."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ECHOD_", "LISTEN_"))}
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
        env.pop(name, None)
    env["ASAN_OPTIONS"] = "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    env.update(extra or {})
    return env


def assert_no_sanitizer_report(text):
    assert not SANITIZER.search(text), text


def until(condition, what, timeout=10.0):
    """Polls until `condition()` is truthy, and returns it."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"waited {timeout} s in vain for: {what}"
        time.sleep(0.01)


class Server:
    """`echod serve` as a child process; stderr goes to `log`, a file.

    flags      further flags; they may name other addresses than the defaults
    listen     False: pass no listen flags at all
    prefix     a command to run it under, which must exec it in the end
    env        variables to add
    exit_code  what stop() and finish() ask for
    """

    def __init__(self, binary, flags, log, *, listen=True, prefix=(), env=None, exit_code=0, **popen):
        self.log = log
        self.exit_code = exit_code
        self.grpc = self.web = None
        command = [*prefix, binary, "serve", *flags]
        if listen:
            if not any(flag.startswith("--grpc.listen-address") for flag in flags):
                command.append("--grpc.listen-address=127.0.0.1:0")
            if not any(flag.startswith("--web.listen-address") for flag in flags):
                command.append("--web.listen-address=127.0.0.1:0")
        stderr = popen.pop("stderr", None)
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file if stderr is None else stderr,
                env=environment(env),
                **popen,
            )

    # --- life ---

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_ready(self, timeout=20.0):
        """Until the log's line of the start names what is served where: the first address of each."""

        def ready():
            text = self.output()
            found = ADDRESSES.search(text)
            if found:
                self.grpc, self.web = (addresses.split(",")[0] for addresses in found.groups())
                return True
            assert self.process.poll() is None, f"exit {self.process.returncode}:\n{text}"
            return False

        until(ready, f"the server's start; its log:\n{self.output()}", timeout)

    @property
    def pid(self):
        return self.process.pid

    def send_signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=30.0):
        return self.process.wait(timeout)

    def stop(self, number=signal.SIGTERM):
        """Stops it and checks how it ended; the time that it took."""
        start = time.monotonic()
        if self.process.poll() is None:
            self.send_signal(number)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop:\n{self.output()}") from None
        text = self.output()
        assert_no_sanitizer_report(text)
        assert code == self.exit_code, f"exit {code}, not {self.exit_code}:\n{text}"
        return time.monotonic() - start

    def finish(self):
        self.stop()

    # --- what it says ---

    @property
    def grpc_port(self):
        return int(self.grpc.rpartition(":")[2])

    @property
    def web_port(self):
        return int(self.web.rpartition(":")[2])

    def get(self, path="/metrics", **headers):
        return http1.get(self.web_port, path, **headers)

    def scrape(self):
        """/metrics, held against every rule of the format."""
        answer = self.get()
        assert answer.status == 200, answer
        return exposition.parse(answer.body)

    def value(self, name, **labels):
        return self.scrape().value(name, **labels)

    def wait_value(self, wanted, name, **labels):
        until(lambda: self.value(name, **labels) == wanted, f"{name}{labels} == {wanted}")

    def accepts(self, port=None):
        return accepts(port or self.grpc_port)


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def unused_port():
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def readable(fd, timeout):
    return bool(select.select([fd], [], [], timeout)[0])

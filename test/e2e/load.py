"""A run of `echod client`, to its end or beside a test, and the JSON that it leaves."""
import json
import signal
import subprocess

import exposition
import http1
from daemon import assert_no_sanitizer_report, environment, until


class Run:
    """`echod client FLAG...` as a child process; `with` ends it, whatever happens."""

    def __init__(self, echod, directory, *flags, web=None):
        self.json_path = directory / "run.json"
        self.web = web
        self.command = [echod, "client", "--progress=off", "--output=text", f"--output=json:{self.json_path}"]
        if web:
            self.command.append(f"--web.listen-address=127.0.0.1:{web}")
        self.command += flags
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def scrape(self):
        """What it has counted so far; None: it does not listen yet, or no more."""
        try:
            answer = http1.get(self.web)
        except OSError:
            return None
        assert answer.status == 200, answer
        return exposition.parse(answer.body)

    def until_scraped(self, condition, what, timeout=20):
        """The first scrape for which `condition` holds."""

        def look():
            assert self.process.poll() is None, f"over, and not seen: {what}"
            text = self.scrape()
            return text if text and condition(text) else None

        return until(look, what, timeout)

    def finish(self, timeout=50):
        """(the JSON, what was printed, the exit code), each call accounted for."""
        out, err = self.process.communicate(timeout=timeout)
        assert_no_sanitizer_report(err.decode(errors="replace"))
        assert self.json_path.exists(), err.decode(errors="replace")
        result = json.loads(self.json_path.read_text())
        balance(result)
        return result, out.decode() + err.decode(), self.process.returncode


def status(result, name):
    """How many calls ended with it."""
    return sum(each["calls"] for each in result["statuses"] if each["status"] == name)


def statuses(result):
    """How many calls ended with each; those that none ended with are left out."""
    return {each["status"]: each["calls"] for each in result["statuses"] if each["calls"]}


def balance(result):
    """Each call has its one place."""
    calls = result["calls"]
    done = sum(each["calls"] for each in result["statuses"])
    assert calls["due"] == calls["started"] + calls["never_sent"], calls
    assert calls["started"] == calls["done"] + calls["unfinished"], calls
    assert calls["done"] == done + calls["mismatched"] + result["never_found"]["calls"], result
    ok = status(result, "OK")
    assert result["histograms"]["latency_ok"]["count"] == ok
    assert sum(each["ok"] for each in result["backends"]) == ok


def quantile_ms(result, histogram, name):
    return result["summary"][histogram][f"{name}_ns"] / 1e6

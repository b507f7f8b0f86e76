"""A real Prometheus as a child process, on a port and in a directory of its own, and what to ask it."""
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from daemon import until, unused_port


class Prometheus:
    """`prometheus` with a configuration file; `with` ends it, whatever happens."""

    def __init__(self, config, directory, *flags):
        self.port = unused_port()
        self.log = directory / "prometheus.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
                 f"--web.listen-address=127.0.0.1:{self.port}", *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path, **parameters):
        """The `data` of an answer of the API; None while it does not listen yet."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it listens, and is not ready yet
                return None
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        except urllib.error.URLError:
            assert self.process.poll() is None, self.log.read_text()
            return None

    def query(self, text):
        """The result of an instant query: a list of {"metric", "value" or "histogram"}."""
        data = self.get("query", query=text)
        return data["result"] if data else []

    def value(self, text):
        """The one value of a query, or None."""
        result = self.query(text)
        assert len(result) <= 1, f"{text} is {result}"
        return float(result[0]["value"][1]) if result else None

    def rules(self):
        """Every rule of every group."""
        data = self.get("rules") or {"groups": []}
        return [rule for group in data["groups"] for rule in group["rules"]]

    def wait(self, condition, what, timeout=30):
        return until(condition, f"{what}; its log:\n{self.log.read_text()[-2000:]}", timeout)

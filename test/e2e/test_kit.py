"""The kit under config/: rules that Prometheus takes, alerts with their times, a dashboard whose every query
finds something at a live echod."""
import importlib.util
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

import http1
from conftest import ROOT
from daemon import Server, environment, until, unused_port
from load import Run
from prometheus import Prometheus

CONFIG = ROOT / "config/prometheus"
RULES = CONFIG / "echod.rules.yml"
SHORTEN = CONFIG / "shorten"
TESTS = sorted((CONFIG / "tests").glob("*.test.yml"))
DASHBOARD = ROOT / "config/grafana/echod.json"
ALERTING = ROOT / "docs/alerting.md"

# What Prometheus itself adds to each scrape, and the series of alerts.
OF_PROMETHEUS = {"up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped"}


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def shorten(*arguments, text=None):
    return subprocess.run(
        [str(SHORTEN), *map(str, arguments)], input=text, capture_output=True, text=True, check=False
    )


def alerts_of_rules():
    return re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.M)


# --- rules ---


def test_promtool_takes_the_configuration_and_the_rules():
    assert "1 rule files found" in promtool("check", "config", CONFIG / "prometheus.yml")
    promtool("check", "rules", RULES)


@pytest.mark.limit(240)  # seconds of CPU, and others run beside it
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_at_their_times_and_at_no_other(path, tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(RULES, tmp_path)
    shutil.copy(path, tests)
    (tests / "short.rules.yml").write_text(shorten(20, RULES).stdout)
    assert "SUCCESS" in promtool("test", "rules", tests / path.name)


def test_each_alert_has_a_time_when_it_must_fire():
    tested = "".join(path.read_text() for path in TESTS)
    fired = set(re.findall(r"labels: '[^']*alertname=\"(\w+)\"", tested))
    assert fired == set(alerts_of_rules())


def test_each_alert_has_words_and_a_section_that_says_what_to_do():
    text = RULES.read_text()
    blocks = re.split(r"^ +- (?:alert|record): ", text, flags=re.M)[1:]
    for block in blocks:
        name = block.split("\n", 1)[0]
        if ":" in name:
            continue  # a record
        assert re.search(r"^ +severity: (page|ticket|info)$", block, re.M), name
        for annotation in ("summary", "description"):
            assert re.search(rf"^ +{annotation}: >-\n +\S.*", block, re.M), f"{name}: {annotation}"
        assert f"runbook: docs/alerting.md#{name.lower()}\n" in block, name
    headings = re.findall(r"^### (Echod\w+)$", ALERTING.read_text(), re.M)
    assert headings == list(dict.fromkeys(alerts_of_rules())), "a section for each, in the order of the file"


def test_every_rule_has_the_same_idea_of_an_error():
    errors = "Unknown|DeadlineExceeded|ResourceExhausted|Internal|Unavailable|DataLoss"
    without_deadlines = errors.replace("DeadlineExceeded|", "")  # of what is not explained
    sets = re.findall(r'code=~"([^"]+)"', RULES.read_text())
    assert set(sets) == {errors, without_deadlines}
    assert sets.count(without_deadlines) == 2
    assert set(re.findall(r'grpc_code=~\\"([^"\\]+)\\"', DASHBOARD.read_text())) == {errors}


# --- shorter windows ---


def test_shortened_rules_differ_in_their_times_alone(tmp_path):
    short = shorten(20, RULES)
    assert short.returncode == 0, short.stderr
    (tmp_path / "short.yml").write_text(short.stdout)
    promtool("check", "rules", tmp_path / "short.yml")
    before, after = RULES.read_text().splitlines(), short.stdout.splitlines()[1:]
    time = re.compile(r"(?<=\[)\w+(?=\])|(?<=offset )\w+|(?<=^        for: )\w+|(?<=^    interval: )\w+")
    assert [time.sub("T", line) for line in before if "#" not in line] == [
        time.sub("T", line) for line in after if "#" not in line
    ]
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

    def times(lines):
        found = [each for line in lines if "#" not in line for each in time.findall(line)]
        return [int(number) * units[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", " ".join(found))]

    assert len(times(before)) > 80
    assert times(before) == [20 * each for each in times(after)]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("  expr: rate(x[5m:1m])\n", "line 1: no time follows '['"),
        ("a:\n  for: soon\n", "line 2: no time follows 'for:'"),
        ("  expr: x offset -5m\n", "line 1: no time follows 'offset'"),
        ("  expr: x offset\n    5m\n", "line 1: no time follows 'offset'"),
        ("  keep_firing_for: long\n", "line 1: no time follows 'keep_firing_for:'"),
        ("  for: 7ms\n", "line 1: '7ms' is no whole number of milliseconds times 20"),
    ],
)
def test_what_shorten_does_not_understand_it_refuses(text, complaint):
    done = shorten(20, text=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr


@pytest.mark.parametrize("key", ["for", "interval", "keep_firing_for", "query_offset", "- interval"])
def test_the_time_of_each_key_is_shortened(key):
    assert shorten(20, text=f"  {key}: 1h10m\n").stdout.splitlines()[1] == f"  {key}: 210s"


def test_shorten_says_that_nobody_took_its_rules():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SHORTEN, "20", RULES], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "shorten: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [(), (0,), ("-1",), ("many",), (1, 2, 3)])
def test_shorten_says_how_it_is_used(arguments):
    done = shorten(*arguments, text="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


# --- the dashboard as a file ---


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def charts():
    return [panel for panel in panels() if panel["type"] != "row"]


def expressions():
    """(where, the expression) of each query, annotations included."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [(panel["title"], target["expr"]) for panel in charts() for target in panel["targets"]]
    notes = dashboard["annotations"]["list"]
    return found + [(note["name"], note["expr"]) for note in notes if "expr" in note]


def test_the_dashboard_is_what_grafana_imports():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "echod"
    assert dashboard["id"] is None  # else an import would take the place of another
    assert 36 <= dashboard["schemaVersion"] <= 39  # Grafana 9 to 11
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert variables[:3] == ["datasource", "job", "instance"]
    assert {panel["type"] for panel in panels()} <= {"row", "stat", "timeseries", "heatmap", "table"}
    used = set(re.findall(r"\$\{?(\w+)\}?", DASHBOARD.read_text()))
    assert used - {"__rate_interval", "__all"} == set(variables)


def test_each_panel_says_what_it_shows_and_in_which_unit():
    for panel in charts():
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    identifiers = [panel["id"] for panel in panels()]
    assert len(identifiers) == len(set(identifiers))


def test_no_two_panels_share_a_place():
    taken = {}
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} is over {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_calls_taken_along_are_shown_where_the_ledger_has_them_nowhere_else():
    """Those with a fault of their own are in it as that fault too."""
    found = [each for _, each in expressions() if "echod_fault_calls_taken_along_total" in each]
    assert len(found) == 2
    assert all('echod_fault_calls_taken_along_total{fault="none",' in each for each in found)


def test_a_bucket_with_a_whole_bound_is_matched_in_both_spellings():
    for text in [RULES.read_text()] + [expression for _, expression in expressions()]:
        assert not re.search(r'le="\d+(\.0)?"', text), text


# --- names ---

WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}


def metric_names(expression):
    """The names of the series that an expression selects."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    text = re.sub(r"\{[^{}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", " ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    words = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", text)
    return {word for word in words if word not in WORDS}


def test_names_are_found_in_expressions():
    assert metric_names('sum by (job) (rate(a_total{x="b[5m] c"}[5m])) / on (job) group_left () 2 * d:e:f5m') == {
        "a_total", "d:e:f5m",
    }
    assert metric_names("1 - histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m] offset 1h))) > 1e3") == {
        "x_bucket"
    }
    assert metric_names("a and on (job, instance) sum by (job)\n(increase(b[1m])) == bool 0 or max (c)") == {
        "a", "b", "c",
    }


# --- alive ---

RATE = 200
FACTOR = 200  # five minutes are 1.5 s then, and an hour is 18 s
PLAN = ("--echo.status=UNAVAILABLE:5,INTERNAL:1", "--echo.abort=reset:1", "--echo.fault-mode=every-nth",
        "--echo.delay=uniform:0s,5ms")

CONFIGURATION = """
global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}
rule_files: [{rules}]
scrape_configs:
  - {{job_name: echod, static_configs: [{{targets: ["127.0.0.1:{web}"]}}]}}
  - {{job_name: echod-client, static_configs: [{{targets: ["127.0.0.1:{client}"]}}]}}
"""


class Scene:
    """A server with a plan of faults, its load, and a Prometheus that looks at both."""

    def __init__(self, server, client, prometheus):
        self.server, self.client, self.prometheus = server, client, prometheus


@pytest.fixture(scope="module")
def scene(echod, tmp_path_factory):
    directory = tmp_path_factory.mktemp("kit")
    rules = directory / "short.rules.yml"
    rules.write_text(shorten(FACTOR, RULES).stdout)
    server = Server(echod, PLAN, directory / "server.log")
    try:
        server.wait_ready()
        port = unused_port()
        config = directory / "prometheus.yml"
        config.write_text(CONFIGURATION.format(rules=rules, web=server.web_port, client=port))
        flags = (f"--rate={RATE}", "--duration=10m", server.grpc)
        with Run(echod, directory, *flags, web=port) as client, Prometheus(
            config, directory, "--enable-feature=native-histograms"
        ) as prometheus:
            client.until_scraped(lambda text: text.value("echod_client_due_total") > 0, "the first call")
            yield Scene(server, client, prometheus)
    finally:
        server.finish()


def exposed(page):
    """The names of all series of a scrape."""
    return set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", page, re.M))


def with_variables(expression):
    """As Grafana sends it, for a panel of a quarter of an hour in shorter time."""
    for name, value in (("$__rate_interval", "3s"), ("$job", "echod"), ("$instance", ".+"), ("$client", ".+")):
        expression = expression.replace(name, value)
    return expression


def test_every_name_in_rules_and_dashboard_is_exposed(scene):
    native = {"echod_rpc_duration_seconds"}
    assert b"echod_rpc_duration_seconds" in protobuf_of(scene.server.web_port)
    server = exposed(scene.server.get().body.decode()) | native
    client = exposed(http1.get(scene.client.web).body.decode())
    rules = scene.prometheus.wait(scene.prometheus.rules, "the rules")
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    of_rules = {name: rule["name"] for rule in rules for name in metric_names(rule["query"])}
    assert not {k: v for k, v in of_rules.items() if k not in server | recorded | OF_PROMETHEUS}
    known = server | client | recorded | OF_PROMETHEUS
    assert not [(where, name) for where, each in expressions() for name in metric_names(each) if name not in known]


def protobuf_of(port):
    accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    return http1.get(port, "/metrics", Accept=accept).body


def test_every_rule_is_evaluated_without_an_error(scene):
    def evaluated():
        rules = scene.prometheus.rules()
        return rules and all(rule["health"] != "unknown" for rule in rules) and rules

    rules = scene.prometheus.wait(evaluated, "all rules to be evaluated")
    assert len(rules) > 60
    assert not [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"]


def test_every_recording_rule_records(scene):
    names = [rule["name"] for rule in scene.prometheus.wait(scene.prometheus.rules, "the rules")
             if rule["type"] == "recording"]
    for name in names:
        scene.prometheus.wait(lambda name=name: scene.prometheus.query(name), f"data of {name}")


def test_every_query_of_the_dashboard_returns_data(scene):
    """A number, that is: NaN is what a panel without data shows."""
    wanted = {(where, with_variables(each)) for where, each in expressions()}

    def answered(expression):
        result = scene.prometheus.query(expression)
        return any("histogram" in each or each["value"][1] != "NaN" for each in result)

    def left():
        wanted.difference_update([each for each in wanted if answered(each[1])])
        return not wanted

    wanted -= {each for each in wanted if each[0] == "Pages"}  # until one fires: the test below
    try:
        scene.prometheus.wait(left, "data")
    except AssertionError:
        pytest.fail("no data:\n" + "\n".join(f"{where}: {each}" for where, each in sorted(wanted)))


def test_injected_errors_raise_the_alarm_in_words(scene):
    def pages():
        firing = scene.prometheus.get("alerts")["alerts"]
        return [each for each in firing if each["labels"].get("severity") == "page" and each["state"] == "firing"]

    page = scene.prometheus.wait(pages, "a page")[0]
    assert page["labels"]["alertname"] == "EchodErrorBudgetBurn"
    assert re.match(r"echod: \d+(\.\d+)?% of the calls failed$", page["annotations"]["summary"])
    for alert in scene.prometheus.get("alerts")["alerts"]:
        for text in alert["annotations"].values():
            assert "{{" not in text and "<" not in text, alert  # what a template leaves that has failed
    note = [with_variables(each) for where, each in expressions() if where == "Pages"][0]
    assert scene.prometheus.query(note)


def test_the_measured_share_is_the_injected_one(scene):
    """In the ledger and among the calls, as Prometheus has them, of the same scrape."""
    prometheus = scene.prometheus
    for code, share in (("Unavailable", 0.05), ("Internal", 0.01)):
        text = (f'grpc_server_handled_total{{grpc_service="muzz.Service",grpc_code="{code}"}} '
                "/ on (instance) total_requests > 0")
        measured = prometheus.wait(lambda text=text: prometheus.value(text), code)
        assert abs(measured - share) < share / 5 + 0.01
        assert prometheus.value(f'echod_fault_probability_ratio{{code="{code}",kind="status"}}') == share


# --- the demo ---


def children_of(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_an_interrupted_demo_leaves_nothing_behind(echod, tmp_path, number):
    demo = subprocess.Popen(
        [ROOT / "test/demo.py", echod, "load"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment({"TMPDIR": str(tmp_path)}),
    )
    try:
        until(lambda: len(children_of(demo.pid)) == 2, "a server and a client")
        left = [pathlib.Path(f"/proc/{child}") for child in children_of(demo.pid)]
        demo.send_signal(number)
        _, complaints = demo.communicate(timeout=20)
    finally:
        demo.kill()
    until(lambda: not any(map(running, left)), "the end of its children", 20)
    if number != signal.SIGKILL:
        assert (demo.returncode, complaints) == (130, "demo: interrupted\n")
        assert not list(tmp_path.iterdir())


def test_a_demo_that_nobody_reads_is_over(echod, tmp_path):
    demo = subprocess.Popen(
        [ROOT / "test/demo.py", echod, "load"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment({"TMPDIR": str(tmp_path)}),
    )
    try:
        until(lambda: len(children_of(demo.pid)) == 2, "a server and a client")
        left = [pathlib.Path(f"/proc/{child}") for child in children_of(demo.pid)]
        demo.stdout.close()
        assert demo.stderr.read() == "demo: [Errno 32] Broken pipe\n"
        assert demo.wait(20) == 1
    finally:
        demo.kill()
        demo.stderr.close()
    assert not any(map(running, left))
    assert not list(tmp_path.iterdir())


def test_a_demo_of_nothing_says_so(tmp_path):
    done = subprocess.run(
        [ROOT / "test/demo.py", tmp_path / "echod", "load"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "No such file" in done.stderr


def running(process):
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("family, host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_demo_takes_no_port_that_is_another_servers_on_localhost(family, host):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "test/demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        assert demo.free_port(port) > port


@pytest.mark.parametrize("arguments", [(), ("echod", "everything")])
def test_the_demo_says_how_it_is_used(arguments):
    done = subprocess.run([ROOT / "test/demo.py", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")

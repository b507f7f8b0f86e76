"""A run in the formats of other tools, read back as those tools read them.

The calls of each run are known one by one (runs.py), so every number is held
against all of them: within 1 %, which is what a histogram may be off.
"""
import html.parser
import json
import pathlib
import random
import re
import subprocess
import xml.etree.ElementTree

import pytest

import runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
MS = 10**6
HOSTILE = "</title></script><script>alert('1')</script>\"\x1b[31m\n\\ &amp; \u202e"
VOID = {"meta", "br", "hr", "img", "link", "input"}


def lognormal(seed, n=20000):
    chance = random.Random(seed)
    return [int(chance.lognormvariate(15, 1)) for _ in range(n)]


OK, FAILED = lognormal(1), lognormal(2, 300)


@pytest.fixture
def report(run, tmp_path):
    """What `echod report` makes of runs."""
    def make(form, *made):
        files = []
        for i, one in enumerate(made):
            files.append(tmp_path / f"{i}.json")
            files[-1].write_text(json.dumps(one), encoding="utf-8")
        done = run("report", f"--output={form}", *map(str, files))
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()
    return make


def some_run(**more):
    return runs.run(OK, FAILED, rate=20300, **more)


def hostile_run():
    made = some_run(name=HOSTILE)
    made["run"]["host"] = made["plan"]["text"] = made["plan"]["targets"][0] = HOSTILE
    made["statuses"][1]["example"] = HOSTILE
    return made


EVERY_RUN = pytest.mark.parametrize("made", [
    pytest.param(some_run(), id="busy"), pytest.param(hostile_run(), id="hostile"),
    pytest.param(runs.run([]), id="none"), pytest.param(runs.run([], [MS] * 3), id="all failed"),
    pytest.param(runs.run([3 * MS]), id="one")])


# --- node_exporter's textfile -----------------------------------------------------


def samples(text):
    """{(name, {label: value}): number}, of which no two are alike."""
    found = {}
    for name, labels, number in re.findall(r'^(\w+)(?:\{(.*)\})? (\S+)$', text, re.M):
        key = name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)))
        assert key not in found
        found[key] = float(number)
    return found


@EVERY_RUN
def test_promtool_objects_to_nothing(report, made):
    done = subprocess.run(["promtool", "check", "metrics"], input=report("prom", made).encode(),
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("outcome, values", [("ok", OK), ("failed", FAILED)])
def test_buckets_count_what_is_surely_below_their_bounds(report, outcome, values):
    found = samples(report("prom", some_run()))
    bounds = [(dict(labels)["le"], number) for (name, labels), number in found.items()
              if name == "echod_run_latency_seconds_bucket" and ("outcome", outcome) in labels]
    assert len(bounds) == 18 and bounds[-1] == ("+Inf", len(values))
    for bound, number in bounds[:-1]:
        below = float(bound) * 10**9
        assert sum(v <= below / 1.01 for v in values) <= number <= sum(v <= below for v in values), bound
    label = (("outcome", outcome),)
    assert found["echod_run_latency_seconds_count", label] == len(values)
    assert found["echod_run_latency_seconds_sum", label] == pytest.approx(sum(values) / 10**9)


def test_runs_are_told_apart_by_name(report):
    named, other = (samples(report("prom", some_run(name=name))) for name in ("nightly", 'a "b"'))
    assert all(("run", "nightly") in labels for _, labels in named)
    assert all(("run", r'a \"b\"') in labels for _, labels in other)
    assert not named.keys() & other.keys()


def test_every_family_is_in_the_documentation(report):
    page = (ROOT / "docs/report-formats.md").read_text(encoding="utf-8")
    names = {name for row in re.findall(r"^\| (`.*?`) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    families = re.findall(r"^# TYPE (\w+) ", report("prom", some_run()), re.M)
    assert len(families) > 30
    for family in families:
        assert family in names or any(family.endswith(name) for name in names if name[0] == "_"), family


# --- HdrHistogram's percentiles -----------------------------------------------------


def plotted(text):
    """As its plotter reads them: lines of four columns that are no comment, (1/(1-p), ms)."""
    rows = [line.split() for line in text.splitlines()]
    return [(float(row[3]), float(row[0])) for row in rows[1:] if len(row) == 4 and row[0][0] != "#"]


def test_the_plotter_sees_the_quantiles_of_all_calls(report):
    text = report("hgrm", some_run())
    points = plotted(text)
    assert len(points) > 60 and points[0][0] == 1 and points[-1][0] > 10000
    for inverse, value in points:
        # The inverse is rounded to two digits: a rank more or less.
        least, most = (runs.quantile(OK, max(0, 1 - 1 / (inverse + off))) for off in (-.006, .006))
        assert least <= value * MS + .5 and value * MS <= most * 1.01, inverse
    assert f"Total count    = {len(OK):12}]" in text
    assert float(re.search(r"#\[Max     = +([\d.]+),", text)[1]) * MS == pytest.approx(max(OK))
    assert float(re.search(r"#\[Mean    = +([\d.]+),", text)[1]) * MS == pytest.approx(sum(OK) / len(OK), abs=1)


def test_no_call_has_no_percentiles_to_plot(report):
    assert plotted(report("hgrm", runs.run([]))) == []


# --- fortio -----------------------------------------------------


@pytest.mark.parametrize("name, values", [("DurationHistogram", OK + FAILED), ("ErrorsDurationHistogram", FAILED)])
def test_fortio_rows_count_every_call_once(report, name, values):
    histogram = json.loads(report("fortio", some_run()))[name]
    rows = histogram["Data"]
    assert histogram["Count"] == len(values) == sum(row["Count"] for row in rows)
    assert 100 < len(rows) <= 200
    assert (rows[0]["Start"], rows[-1]["End"]) == (min(values) / 10**9, max(values) / 10**9)
    assert (rows[-1]["Percent"], histogram["Sum"]) == (100, pytest.approx(sum(values) / 10**9))
    for before, row in zip(rows, rows[1:]):
        assert before["Start"] < before["End"] <= row["Start"] and before["Percent"] < row["Percent"]
    for row in rows[:-1]:
        assert sum(v < row["End"] * 10**9 - .5 for v in values) == round(row["Percent"] * len(values) / 100)
    assert [p["Percentile"] for p in histogram["Percentiles"]] == [50, 75, 90, 99, 99.9]
    for p in histogram["Percentiles"]:
        exact = runs.quantile(values, p["Percentile"] / 100)
        assert exact <= p["Value"] * 10**9 + .5 and p["Value"] * 10**9 <= exact * 1.01


@EVERY_RUN
def test_fortio_has_what_its_graph_needs(report, made):
    got = json.loads(report("fortio", made))
    for member in ("Labels", "StartTime", "Destination", "RequestedQPS", "RequestedDuration", "RunType"):
        assert isinstance(got[member], str)
    for member in ("ActualQPS", "ActualDuration", "NumThreads", "RunID"):
        assert isinstance(got[member], (int, float))
    assert sum(got["RetCodes"].values()) == made["calls"]["started"]
    assert got["ErrorsDurationHistogram"]["Count"] <= got["DurationHistogram"]["Count"]


# --- the page -----------------------------------------------------


class Page(html.parser.HTMLParser):
    """Every element closed where it should be; texts, tables, pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.texts, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open and "table" in self.open:
            self.tables[-1][-1][-1] += data

    def row(self, name, table=None):
        return next(row for rows in self.tables for row in rows if row[0] == name and (not table or rows[0][1] == table))


@EVERY_RUN
def test_the_page_is_whole_and_needs_nothing_else(report, made):
    text = report("html", made)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n") and text.endswith("</html>\n")
    tags = {tag for tag, *_ in page.attributes}
    assert not tags & {"script", "link", "img", "iframe", "object", "base", "form", "a"}
    assert not {name for _, name, _ in page.attributes} & {"src", "href", "xlink:href", "onload", "onclick"}
    for word in ("http://", "https://", "<script", "src=", "url(", "@import"):
        assert word not in text, word
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    for name in ("script", "alert"):
        assert f"<{name}" not in text


@EVERY_RUN
def test_pictures_are_xml_and_say_what_they_are(report, made):
    text = report("html", made)
    ids = re.findall(r' id="(\w+)"', text)
    assert len(ids) == len(set(ids))
    pictures = [xml.etree.ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    charts = [svg for svg in pictures if svg.get("aria-labelledby")]
    assert len(charts) == (0 if made["calls"]["done"] == 0 else 3 if made["statuses"][0]["status"] == "OK" else 2)
    for svg in charts:
        assert svg[0].tag == "title" and svg[1].tag == "desc"
        assert svg.get("aria-labelledby").split() == [svg[0].get("id"), svg[1].get("id")]
        assert svg[0].text and svg[1].text
        assert any(path.get("d").startswith("M") for path in svg.iter("path"))


def duration(text):
    number, unit = text.split()
    return float(number) * {"µs": 10**3, "ms": 10**6, "s": 10**9}[unit]


def test_the_page_has_the_quantiles_of_all_calls(report):
    page = Page(report("html", some_run()))
    for name, q in (("p50", .5), ("p90", .9), ("p99", .99), ("p99.9", .999), ("max", 1)):
        row = page.row(name, "from the intended start")
        for cell, values in ((1, OK), (2, OK), (3, FAILED)):
            exact = runs.quantile(values, q)
            assert exact * .998 <= duration(row[cell]) <= exact * 1.01, (name, cell)
    assert page.row("UNAVAILABLE")[1] == "300"
    assert page.row("done")[1] == "20,300"


def test_texts_of_others_are_shown_as_they_are(report):
    page = Page(report("html", hostile_run()))
    shown = "</title></script><script>alert('1')</script>\"\\x1b[31m\\x0a\\ &amp; \\u202e"
    assert sum(shown in text for text in page.texts) >= 4


def test_pages_of_several_runs_compare_them(report):
    page = Page(report("html", some_run(name="before"), runs.run([v // 2 for v in OK], name="after"), runs.run([])))
    assert page.tables[0][0] == ["", "1: before", "2: after", "3: 00000000000000ab"]
    row = page.row("p50")
    assert duration(row[1]) == pytest.approx(runs.quantile(OK, .5), rel=.01)
    changed = re.fullmatch(r"(.*s)−(\d+\.\d) %", row[2])
    assert duration(changed[1]) == pytest.approx(runs.quantile(OK, .5) / 2, rel=.01)
    assert float(changed[2]) == pytest.approx(50, abs=1)
    assert row[3] == "-"

"""`echod report`: runs from their JSON, in other formats, as one, and side by side.

0 done, 1 not written, 2 usage or a bad file, 3 an assertion failed.
"""
import json
import os
import pathlib
import random
import re
import stat
import subprocess

import pytest

import runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
MS = 10**6


def lognormal(seed, n=2000):
    chance = random.Random(seed)
    return [int(chance.lognormvariate(13, 1)) for _ in range(n)]


@pytest.fixture
def save(tmp_path):
    """Writes what is given, a run or text, to a file of its own; its path."""
    def write(content, name="run.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)
    return write


def text_of(done, code=0):
    assert (done.returncode, done.stderr) == (code, b""), done
    return done.stdout.decode()


def complaint(done, code=2):
    """The one line on standard error."""
    assert (done.returncode, done.stdout) == (code, b""), done
    assert done.stderr.startswith(b"echod report: ") and done.stderr.count(b"\n") == 1, done
    return done.stderr.decode()[len("echod report: "):-1]


def test_one_run_is_reported(run, save):
    text = text_of(run("report", save(runs.run(lognormal(1), failed=[MS] * 5, rate=2005))))
    assert text.startswith("as it was planned\nrun 00000000000000ab on here, 2027-01-15 08:00:00 UTC")
    assert "\ncalls: 2005 due, 2005 started, 2005 done, 0 unfinished, 0 never sent, 0 deferred" in text
    assert re.search(r"^  UNAVAILABLE \(14\) +5 +0\.25 % +from the server$", text, re.M)
    assert text.endswith("\noffered 2005/s, achieved 2005/s, limited by: nothing\n")


def test_json_comes_back_with_all_that_was_in_it(run, save):
    made = runs.run(lognormal(2), failed=lognormal(3, 50), name="two", rate=100)
    text = text_of(run("report", "--output=json", save(made)))
    back = json.loads(text)
    for member, value in made.items():
        if member != "run":
            assert back[member] == value, member
    assert back["run"] == {**made["run"], "started": "2027-01-15T08:00:00.000Z"}
    assert text_of(run("report", "--output=json", save(text))) == text


def test_what_the_first_runs_did_not_tell_is_none(run, save):
    made = runs.run([MS] * 10)
    del made["connections"]["open_at_start"], made["injected"], made["statuses"][0]["injected"]
    del made["histograms"]["delay"], made["histograms"]["undelayed"]
    back = json.loads(text_of(run("report", "--output=json", save(made))))
    assert back["connections"]["open_at_start"] == back["injected"]["failures"] == 0
    assert back["histograms"]["delay"]["count"] == 0


def test_quantiles_are_those_of_every_call(run, save):
    values = lognormal(4, 20000)
    summary = json.loads(text_of(run("report", "--output=json", save(runs.run(values)))))["summary"]["latency_ok"]
    for q in (.5, .75, .9, .95, .99, .999, .9999):
        exact = runs.quantile(values, q)
        assert exact <= summary[f"p{q * 100:g}_ns"] <= exact * 1.01, q
    assert (summary["min_ns"], summary["max_ns"]) == (min(values), max(values))
    assert summary["mean_ns"] == pytest.approx(sum(values) / len(values), abs=1)


def test_merged_runs_are_all_their_calls(run, save):
    parts = [lognormal(seed, 500 + seed) for seed in range(4)]
    files = [save(runs.run(part, rate=100, number=i), f"{i}.json") for i, part in enumerate(parts)]
    merged = json.loads(text_of(run("report", "--merge", "--output=json", *files)))
    everything = sum(parts, [])
    assert merged["histograms"]["latency_ok"] == runs.histogram(everything)
    assert merged["calls"]["done"] == len(everything)
    assert merged["run"]["merged"] == 4
    assert merged["summary"]["offered_per_second"] == len(everything)
    again = save(merged, "merged.json")
    assert text_of(run("report", again)).startswith("4 runs as one, the first of them: as it was planned\n")


def test_one_run_is_not_merged_with_itself(run, save):
    files = [save(runs.run([MS] * 10), name) for name in ("a.json", "copy.json")]
    assert complaint(run("report", "--merge", *files)).endswith(f"{files[0]} and {files[1]} are the same run")
    text_of(run("report", *files))  # but beside itself it may stand


def test_an_open_loop_is_not_merged_with_a_closed_one(run, save):
    files = [save(runs.run([MS] * 10, rate=rate, number=i), f"{i}.json") for i, rate in enumerate((100, None))]
    assert complaint(run("report", "--merge", *files)).endswith(
        f"of {files[0]} and {files[1]} one is an open loop, and one a closed one")
    text_of(run("report", *files))


def test_runs_side_by_side(run, save):
    slow, fast = runs.run([2 * MS] * 100, name="slow"), runs.run([MS] * 200, name="fast")
    text = text_of(run("report", save(slow, "1.json"), save(fast, "2.json"), env={"COLUMNS": "80"}))
    assert text.startswith("1  slow: run 00000000000000ab on here")
    assert re.search(r"^achieved calls/s +100 +200 +\+100 %$", text, re.M), text
    assert re.search(r"^ +p99 +2\.000ms +1\.000ms +-50\.0 %$", text, re.M), text
    page = text_of(run("report", "--output=html", save(slow, "1.json"), save(fast, "2.json")))
    assert "slow" in page and "fast" in page and page.startswith("<!DOCTYPE html>")


def test_standard_input(run, save):
    text = json.dumps(runs.run([MS] * 3)).encode()
    assert "achieved 3/s" in text_of(run("report", "-", input=text))
    assert complaint(run("report", "-", "-", input=text)) == "standard input can be read only once"


@pytest.mark.parametrize("condition, code", [("p99<2ms", 0), ("p99<0.5ms", 3), ("error_rate==0", 0), ("ok>=4", 3)])
def test_assertions_are_measured_anew(run, save, condition, code):
    made = runs.run([MS] * 3)
    made["assertions"] = [{"text": "p50<1us", "measured": "1.000ms", "held": False}]
    done = run("report", f"--assert={condition}", save(made))
    word = "FAILED" if code else "held"
    assert re.search(rf"^  {word} +{re.escape(condition)} +measured ", text_of(done, code), re.M)
    assert "p50<1us" not in done.stdout.decode()


def test_what_a_run_asserted_itself_is_shown_and_counts_no_more(run, save):
    made = runs.run([MS] * 3)
    made["assertions"] = [{"text": "p50<1us", "measured": "1.000ms", "held": False}]
    path, other = save(made), save(runs.run([MS] * 3, number=1), "other.json")
    assert re.search(r"^  FAILED +p50<1us +measured 1\.000ms$", text_of(run("report", path)), re.M)
    # Of a merged run it is measured again.
    assert re.search(r"^  FAILED +p50<1us +measured 1\.000ms$", text_of(run("report", "--merge", path, other)), re.M)


@pytest.mark.parametrize("form", ["text", "json", "fortio", "hgrm", "prom", "html"])
def test_every_format_goes_to_a_file_that_is_replaced(run, save, tmp_path, form):
    path, to = save(runs.run(lognormal(5))), tmp_path / "out" / "report"
    to.parent.mkdir()
    to.write_text("what was there before")
    to.chmod(0o640)
    assert text_of(run("report", f"--output={form}:{to}", path)) == ""
    assert text_of(run("report", f"--output={form}", path)) == to.read_text()
    assert stat.S_IMODE(to.stat().st_mode) == 0o640
    assert os.listdir(to.parent) == ["report"]


def test_several_outputs(run, save, tmp_path):
    done = run("report", f"--output=json:{tmp_path}/a", "--output=text", f"--output=hgrm:{tmp_path}/b",
               save(runs.run([MS] * 3)))
    assert text_of(done).startswith("as it was planned\n")
    assert json.loads((tmp_path / "a").read_text())["schema"] == "echod.run/1"
    assert (tmp_path / "b").read_text().lstrip().startswith("Value")


@pytest.mark.parametrize("arguments, words", [
    ([], "no file is named (echod report --help)"),
    (["--output=xml", "RUN"], 'flag --output: "xml" is not FORMAT or FORMAT:PATH with one of text, json,'),
    (["--output=json:", "RUN"], 'flag --output: "json:" names no file after the colon'),
    (["--output=json", "--output=text", "RUN"], 'flag --output: "text" is the second that goes to standard output'),
    (["--output=json", "RUN", "RUN"], 'flag --output: "json" takes one run: name one file, or --merge them'),
    (["--assert=p99", "RUN"], 'flag --assert: "p99" '),
    (["--assert=beauty>3", "RUN"], 'flag --assert: "beauty>3" '),
    (["RUN"] * 65, "more than 64 files are named"),
    (["--colour", "RUN"], "unknown flag --colour"),
])
def test_usage(run, save, arguments, words):
    path = save(runs.run([MS]))
    assert complaint(run("report", *(path if word == "RUN" else word for word in arguments))).startswith(words)


def changed(change):
    made = runs.run([MS] * 3)
    change(made)
    return json.dumps(made)


BAD = {
    "empty": ("", "line 1, column 0: "),
    "cut": (json.dumps(runs.run([MS]), indent=1)[:500], "line 27, column 14: unexpected token near end of file"),
    "not json": ("hello", "line 1, column 5: '[' or '{' expected near 'hello'"),
    "another json": ('{"Version": "1.60"}', 'is no report of echod: it has no text called "schema"'),
    "fortio's": ('{"schema": "fortio/1"}', 'is no report of echod: its schema is "fortio/1"'),
    "the future": ('{"schema": "echod.run/2"}', "is of schema echod.run/2, and this echod reads echod.run/1"),
    "negative": (changed(lambda run: run["calls"].update(deferred=-1)), "calls.deferred is -1, and can be 0 to "),
    "index": (changed(lambda run: run["histograms"]["lag"].update(count=1, buckets=[[99999, 1]])),
              "histograms.lag has no bucket 99999"),
    "sum": (changed(lambda run: run["calls"].update(due=4, started=4)),
            "calls do not add up with statuses and never_found"),
    "count": (changed(lambda run: run["histograms"]["latency_ok"].update(count=4)),
              "histograms.latency_ok says that it counts 4, and its buckets add up to 3"),
    "deep": ("[" * 100000, "line 1, column 2049: maximum parsing depth reached"),
    "control": ('{"schema": "a\\u001b[2J\\u0007"}', 'is no report of echod: its schema is "a?[2J?"'),
    "nul": ('{"schema": "echod.run/1\\u0000"}', "line 1, column "),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_a_line(run, save, kind):
    content, words = BAD[kind]
    path = save(content)
    assert complaint(run("report", path)).startswith(f"{path}: {words}")


def test_a_file_that_is_not_there_or_far_too_large(run, tmp_path):
    missing, large = tmp_path / "missing", tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(1 << 40)
    assert complaint(run("report", str(missing))) == f"{missing}: No such file or directory"
    assert complaint(run("report", str(tmp_path))) == f"{tmp_path}: Is a directory"
    assert complaint(run("report", str(large))) == f"{large}: is larger than 16 MiB, and no report is"


def test_each_bad_file_has_its_line(run, save):
    files = [save("", "a"), save(runs.run([MS]), "b"), save("{}", "c")]
    done = run("report", *files)
    assert (done.returncode, done.stdout) == (2, b"")
    lines = done.stderr.decode().splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [files[0], files[2]]


def test_a_report_that_cannot_be_written_is_1(run, echod, save):
    path = save(runs.run([MS]))
    assert complaint(run("report", "--output=text:/nowhere/x", path), 1) == \
        "cannot write /nowhere/x: No such file or directory"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([echod, "report", path], stdout=full, stderr=subprocess.PIPE, timeout=20)
    assert (done.returncode, done.stderr) == \
        (1, b"echod report: cannot write to standard output: No space left on device\n")


def test_texts_of_a_file_do_not_reach_the_terminal_as_they_are(run, save):
    made = runs.run([MS], failed=[MS])
    made["plan"]["text"] = "plan\x1b[2J"
    made["run"].update(name="n\x07", host="h\r")
    made["statuses"][1]["example"] = "said\x1b]0;x\x9b31m"
    path = save(made)
    for files in ([path], [path, path]):
        text = text_of(run("report", *files))
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
        assert "plan\\x1b[2J" in text and "n\\x07: " in text


@pytest.mark.parametrize("locale, bar", [("C.UTF-8", "\u2588"), ("C", "#")])
def test_bars_are_of_what_the_locale_has(run, save, locale, bar):
    text = text_of(run("report", save(runs.run(lognormal(6))), env={"LC_ALL": locale, "COLUMNS": "100"}))
    rows = [line for line in text.splitlines() if line.startswith("up to ")]
    assert 5 < len(rows) < 14 and max(map(len, rows)) == 99
    assert any(bar in row for row in rows) and (bar == "#" or "#" not in text)


def members(value, path=""):
    """The path of each member, without the places in arrays."""
    if isinstance(value, list):
        for each in value:
            yield from members(each, path)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from members(each, f"{path}.{name}")


def test_every_member_is_documented(run, save):
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`([\w.]+)`", text)) | set(re.findall(r'^`?"(\w+)"', text, re.M)) | {"schema", "INTERNAL", "UNAVAILABLE"}
    made = runs.run(lognormal(7), failed=[MS], rate=10)
    made["statuses"][1]["example"] = "why"
    made["backends"] = [{"instance": "a", "ok": 1, "failed": 0, "first_ns": 1, "last_ns": 2,
                         "connections": ["0000000000000001"], "more_connections": False}]
    made["assertions"] = [{"text": "p50<1us", "measured": "1.000ms", "held": False}]
    made["reconciliation"] = {
        "servers": [{"url": "http://a/", "problem": None, "restarted": False, "received": 1,
                     "in_flight": 0, "by_status": {}, "faults": {"INTERNAL": 2}}],
        "complete": True, "sent": 1, "received": 1, "answered": 1, "difference": {"UNAVAILABLE": 3},
        "explained": {"UNAVAILABLE": 1}, "faults": {"INTERNAL": 2}, "told": {"INTERNAL": 2}, "by_call": True,
        "never_arrived": 0, "arrived_twice": 0, "answer_lost": 0, "untracked": 0, "examples": None}
    back = json.loads(text_of(run("report", "--output=json", save(made))))
    assert set(members(back)) - words == set()
    assert back["backends"] == made["backends"] and back["reconciliation"] == made["reconciliation"]


@pytest.mark.parametrize("flags", [["--rate=500", "--duration=500ms"], ["--count=500", "--concurrency=5"]])
def test_a_run_that_was_kept_is_the_run(run, shared, tmp_path, flags):
    text, kept = tmp_path / "run.txt", tmp_path / "run.json"
    plain = {"COLUMNS": "100", "LC_ALL": "C.UTF-8"}
    done = run("client", *flags, "--progress=off", f"--output=text:{text}", f"--output=json:{kept}", shared.grpc, env=plain)
    assert done.returncode == 0, done
    assert text_of(run("report", str(kept), env=plain)) == text.read_text()
    assert text_of(run("report", "--output=json", str(kept))) == kept.read_text()
    one = json.loads(kept.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(one | {"run": one["run"] | {"id": "0123456789abcdef"}}))
    both = json.loads(text_of(run("report", "--merge", "--output=json", str(kept), str(other))))
    assert both["calls"]["done"] == 2 * one["calls"]["done"] > 0
    assert [backend["ok"] for backend in both["backends"]] == [both["calls"]["done"]]

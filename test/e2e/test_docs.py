"""What the documents say of flags and metrics is what the program has."""
import pathlib
import re

import pytest

import exposition

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAY_BE_LEFT_OUT = {"process_"}  # omitted where /proc does not tell


def documented_families():
    """name -> (type, label names, HELP), from the server's tables of docs/metrics.md."""
    row = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram|native histogram) \| (.*?)\s?\| (.+) \|$", re.M)
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8").partition("\n## The client's\n")[0]
    found = row.findall(text)
    families = {name: (kind.partition(" ")[0], set(re.findall(r"`(\w+)`", labels)), words)
                for name, kind, labels, words in found}
    assert len(families) == len(found), "a family has two rows"
    assert len(families) > 30, "the tables are not found any more"
    return families


def test_every_family_is_documented_as_it_is(shared):
    documented = documented_families()
    scraped = exposition.read(shared.get(Accept=exposition.PROTOBUF_TYPE)).families
    for name, family in scraped.items():
        labels = {label for _, pairs in family.samples for label, _ in pairs} - {"le"}
        assert documented.get(name) == (family.type, labels, family.help), name
    missing = {name for name in documented.keys() - scraped.keys()
               if not name.startswith(tuple(MAY_BE_LEFT_OUT))}
    assert not missing, f"documented and not there: {missing}"


def flags_of_help(run, command):
    text = run(command, "--help").stdout.decode()
    flags = set(re.findall(r"^\s+--(?:\[no-\])?([a-z][a-z.-]*)", text, re.M))
    assert len(flags) >= 4, f"--help is not understood:\n{text}"
    return flags


@pytest.mark.parametrize("command, page", [("serve", "echod.8"), ("client", "echod-client.1"), ("probe", "echod-probe.1"),
                                           ("report", "echod-report.1")])
def test_man_page_has_every_flag_and_no_other(run, command, page):
    text = (ROOT / "docs/man" / page).read_text(encoding="utf-8")
    described = set(re.findall(r"^\.It Fl Fl ([a-z][a-z.-]*)", text, re.M))
    assert described - {"help", "version"} == flags_of_help(run, command) - {"help", "version"}


def test_man_page_has_every_command_in_its_synopsis(run):
    text = (ROOT / "docs/man/echod.8").read_text(encoding="utf-8")
    synopsis = text.partition(".Sh SYNOPSIS")[2].partition(".Sh DESCRIPTION")[0]
    commands = run("help").stdout.decode().partition("Commands:\n")[2].partition("\n\n")[0]
    named = re.findall(r"^  (\w+)", commands, re.M)
    assert len(named) > 3, "the help is not understood"
    assert re.findall(r"^\.Cm (\w+)", synopsis, re.M) == named


def test_man_page_speaks_of_every_group_of_metrics(shared):
    text = (ROOT / "docs/man/echod.8").read_text(encoding="utf-8")
    metrics = text.partition(".Sh METRICS")[2].partition(".Sh ENVIRONMENT")[0]
    named = re.findall(r"[a-z_]{5,}\*?", metrics)
    for name in shared.scrape().families:
        assert name in named or any(each[-1] == "*" and name.startswith(each[:-1]) for each in named), name


def test_readme_has_every_flag_of_serve(run):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `--([a-z.-]+)` \|", text, re.M)) == \
        flags_of_help(run, "serve") - {"help", "version"}


def test_links_between_documents_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_test_that_the_wire_contract_names_exists():
    text = (ROOT / "docs/wire.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/.]+)::(\w+)`", text))
    assert len(named) > 150, "the tables are not understood any more"
    for file, name in sorted(named):
        source = (ROOT / "test" / file).read_text(encoding="utf-8")
        begins = rf"^def {name}\(" if file.endswith(".py") else rf"^static void {name}\("
        assert re.search(begins, source, re.M), f"{file} has no {name}"


def test_every_row_of_the_wire_contract_names_a_test():
    text = (ROOT / "docs/wire.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| behaviour |")]
    assert len(rows) > 80
    assert [row for row in rows if "::" not in row.rpartition(" | ")[2]] == []

"""What the suites found: one row for each, printed as a matrix and written to the documentation."""
import dataclasses
import datetime
import re

BEGIN = "<!-- matrix: begin (written by ./dev conformance) -->"
END = "<!-- matrix: end -->"


@dataclasses.dataclass
class Row:
    """One suite against one end of echod. Every one of its cases is counted exactly once.

    subject    what of echod is under test
    passed     how many cases
    failed     their names
    excused    name -> why; these ran, and failed as docs/conformance.md says that they do
    skipped    how many cases did not run, and `reason` why; never without a reason
    """

    suite: str
    version: str
    subject: str
    expected: int
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)
    excused: dict = dataclasses.field(default_factory=dict)
    skipped: int = 0
    reason: str = ""
    seconds: float = 0.0

    def check(self):
        """A suite that lost cases on the way has failed, however many passed."""
        counted = self.passed + len(self.failed) + len(self.excused) + self.skipped
        if counted != self.expected and not self.failed:
            self.failed.append(f"counted {counted} cases, not {self.expected}")

    @property
    def name(self):
        return f"{self.suite}, {self.version}, {self.subject}"

    def verdict(self):
        if self.failed:
            return f"{len(self.failed)} FAILED"
        if self.skipped == self.expected:
            return f"skipped: {self.reason}"
        words = ["pass"]
        if self.excused:
            words.append(f"{len(self.excused)} excused")
        if self.skipped:
            words.append(f"{self.skipped} skipped: {self.reason}")
        return ", ".join(words)

    def cells(self):
        return [self.suite, self.version, self.subject, f"{self.passed} of {self.expected}", self.verdict()]


def skipped_row(suite, version, subject, expected, reason):
    return Row(suite, version, subject, expected, skipped=expected, reason=reason)


HEADS = ["suite", "version", "what of echod", "passed", "result"]


def table(heads, lines):
    """A table in Markdown, its columns aligned, so that it reads well on a terminal too."""
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    ruler = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
        for line in [heads, ruler, *lines]
    )


def matrix(rows):
    return table(HEADS, [row.cells() for row in rows])


def case_table(columns):
    """The interop cases: one line for each, one column for each pairing; {column: {case: result}}.
    The lines stand in the order of the longest column, which has all cases or nearly so."""
    longest_first = sorted(columns.values(), key=len, reverse=True)
    cases = list(dict.fromkeys(case for results in longest_first for case in results))
    lines = [[case, *(results.get(case, "-") for results in columns.values())] for case in cases]
    return table(["case", *columns], lines)


def totals(rows):
    passed = sum(row.passed for row in rows)
    failed = sum(len(row.failed) for row in rows)
    skipped = sum(row.skipped + len(row.excused) for row in rows)
    return passed, failed, skipped


def closing_lines(rows):
    """What did not pass, by name, and the sum, in the form that CI reads."""
    for row in rows:
        if row.skipped:
            yield f"skipped: {row.name}: {row.skipped} of {row.expected} cases: {row.reason}"
        for name, why in row.excused.items():
            yield f"excused: {row.name}: {name}: {why}"
        for name in row.failed:
            yield f"failed: {row.name}: {name}"
    passed, failed, skipped = totals(rows)
    yield f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def write_document(path, rows, columns, versions):
    """Replaces what stands between the markers; everything else in the file is people's."""
    text = path.read_text(encoding="utf-8")
    passed, failed, skipped = totals(rows)
    parts = [
        f"{datetime.date.today():%Y-%m-%d}, {', '.join(versions)}: "
        f"{passed} passed, {failed} failed, {skipped} skipped or excused.",
        matrix(rows),
    ]
    if columns:
        parts += ["The interop cases one by one; `-` where the peer does not have the case:", case_table(columns)]
    listed = [line for line in closing_lines(rows) if re.match("(skipped|excused|failed): ", line)]
    if listed:
        parts.append("\n".join(f"- {line}" for line in listed))
    new, count = re.subn(
        re.escape(BEGIN) + ".*?" + re.escape(END),
        lambda _match: BEGIN + "\n" + "\n\n".join(parts) + "\n" + END,
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"conformance: {path} has not exactly one pair of markers")
    path.write_text(new, encoding="utf-8")

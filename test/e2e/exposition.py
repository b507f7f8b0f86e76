"""Strict readers of the exposition formats: text 0.0.4, OpenMetrics 1.0, delimited protobuf.

They refuse what promtool lets pass: interleaved families, duplicate samples, buckets out of order
or not cumulative, a missing +Inf, +Inf that differs from _count, comments that mean nothing, time
stamps, families, children and labels out of order. What they accept, every scraper reads alike.
"""
import gzip
import re

import exposition_protobuf
from families import (  # noqa: F401
    NAME, RESERVED, RESERVED_TEXT, Defect, Exemplar, Exposition, Family, Histogram, check_family, check_names,
    check_pairs, go_format, impossible_sums, number, regressions,
)

NUMBER = re.compile(r"(?:-?\d+(?:\.\d+)?(?:e[+-]\d\d+)?|[+-]Inf|NaN)\Z")
STRING = r'"(?:[^"\\]|\\.)*"'
LABELS = re.compile(rf"([^=\"{{}},\s]*)=({STRING})")
SAMPLE = re.compile(rf'([^{{\s]+)(?:\{{((?:[^"}}]|{STRING})*)\}})? (\S+)(?: # (.*))?\Z')
EXEMPLAR = re.compile(rf'\{{((?:[^"}}]|{STRING})*)\}} (\S+)(?: (\S+))?\Z')

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF_TYPE = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)


def _unescape(text, line, known):
    out, i = [], 0
    while i < len(text):
        if text[i] != "\\":
            out.append(text[i])
            i += 1
            continue
        if i + 1 == len(text) or text[i + 1] not in known:
            raise Defect(line, f"unknown escape in {text!r}")
        out.append(known[text[i + 1]])
        i += 2
    return "".join(out)


PLAIN = {"\\": "\\", "n": "\n"}
QUOTED = {**PLAIN, '"': '"'}


def _labels(text, line):
    """The pairs of `a="b",c="d"`."""
    pairs, rest = [], text
    while True:
        match = LABELS.match(rest)
        if not match:
            raise Defect(line, f"malformed labels {text!r}")
        pairs.append((match[1], _unescape(match[2][1:-1], line, QUOTED)))
        rest = rest[match.end() :]
        if not rest:
            return pairs
        if not rest.startswith(","):
            raise Defect(line, f"malformed labels {text!r}")
        rest = rest[1:]


class _Text:
    """Text 0.0.4; OpenMetrics differs in what is overridden below."""

    metadata = ("HELP", "TYPE")
    types = ("counter", "gauge", "histogram", "summary", "untyped")
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
    help_escapes = PLAIN
    reserved = RESERVED_TEXT

    def __init__(self):
        self.result = Exposition()
        self.family = None

    # --- what the formats differ in ---

    def value(self, text, line):
        """As Go prints it, or all digits of a whole number."""
        if not NUMBER.match(text) or (go_format(number(text)) != text and not re.match(r"-?\d+\Z", text)):
            raise Defect(line, f"not a canonical number: {text!r}")
        return number(text)

    def bound(self, text, line):
        if not NUMBER.match(text) or go_format(number(text)) != text:
            raise Defect(line, f"le is {text!r}")
        return number(text)

    def count(self, name, text, line):
        """How a histogram's counts are written: as any value."""

    def exemplar(self, _name, _text, line):
        raise Defect(line, "malformed sample: an exemplar")

    def sort_key(self, family):
        return family.name

    # --- lines ---

    def comment(self, text, line):
        parts = text.split(" ", 3)
        if len(parts) < 4 or parts[0] != "#" or parts[1] not in self.metadata:
            raise Defect(line, f"a comment that is neither {' nor '.join(self.metadata)}: {text!r}")
        kind, name, rest = parts[1:]
        if not NAME.match(name):
            raise Defect(line, f"metric name {name!r}")
        if not self.family or self.family.name != name:
            self.begin(kind, name, line)
        if self.family.samples:
            raise Defect(line, f"{kind} of {name} twice or after its samples")
        getattr(self, kind.lower())(rest, line)

    def begin(self, kind, name, line):
        if name in self.result.families:
            raise Defect(line, f"family {name} twice")
        if kind != "HELP":
            raise Defect(line, f"{kind} of {name} without its HELP before it")
        self.close(line)
        self.family = self.result.families[name] = Family(name)

    def help(self, rest, line):
        if self.family.help is not None:
            raise Defect(line, f"family {self.family.name} twice")
        self.family.help = _unescape(rest, line, self.help_escapes)
        if not self.family.help:
            raise Defect(line, f"family {self.family.name} without HELP")

    def type(self, rest, line):
        if self.family.type:
            raise Defect(line, f"TYPE of {self.family.name} twice or after its samples")
        if rest not in self.types:
            raise Defect(line, f"type {rest!r}")
        self.family.type = rest

    def sample(self, text, line):
        match = SAMPLE.match(text)
        if not match:
            raise Defect(line, f"malformed sample {text!r}")
        name, family = match[1], self.family
        if not NAME.match(name):
            raise Defect(line, f"metric name {name!r}")
        if match[2] == "":
            raise Defect(line, "empty braces")
        pairs = _labels(match[2], line) if match[2] else []
        check_pairs(pairs, line)
        value = self.value(match[3], line)
        if not family or not family.type:
            raise Defect(line, f"sample {name} without HELP and TYPE before it")
        if name not in [family.name + s for s in self.suffixes.get(family.type, ("",))]:
            raise Defect(line, f"sample {name} inside family {family.name}")
        bucket = family.type == "histogram" and name == family.name + "_bucket"
        if any(key == "le" for key, _ in pairs) != bucket:
            raise Defect(line, "le belongs to the buckets of a histogram, and to each of them")
        key = family.add(name, pairs, value, line)
        if family.type == "histogram":
            self.part(name, dict(pairs), value, line)
            if not name.endswith("_sum"):
                self.count(name, match[3], line)
        if match[4] is not None:
            family.exemplars[key] = self.exemplar(name, match[4], line)

    def part(self, name, labels, value, line):
        """A sample of a histogram, of which the buckets come first, then the sum, then the count."""
        le = labels.pop("le", None)
        child = self.family.histograms.setdefault(tuple(sorted(labels.items())), Histogram())
        if le is not None:
            if child.sum is not None or child.count is not None:
                raise Defect(line, f"histogram {self.family.name}: a bucket after the sum")
            child.buckets.append((self.bound(le, line), value))
        elif name.endswith("_sum"):
            if child.count is not None:
                raise Defect(line, f"histogram {self.family.name}: the sum after the count")
            child.sum = value
        else:
            child.count = value

    def close(self, line):
        """The end of a family."""
        family = self.family
        if not family:
            return
        if not family.type:
            raise Defect(line, f"family {family.name} without TYPE")
        if family.help is None:
            raise Defect(line, f"family {family.name} without HELP")
        if not family.samples:
            raise Defect(line, f"family {family.name} without samples")
        names = list(self.result.families)
        before = self.result.families[names[-2]] if len(names) > 1 else None
        if before and not self.sort_key(before) < self.sort_key(family):
            raise Defect(line, f"family {family.name} after {before.name}")
        check_family(family, line)

    def read(self, lines):
        for at, line in enumerate(lines, 1):
            if not line:
                raise Defect(at, "an empty line")
            if line.startswith("#"):
                self.comment(line, at)
            else:
                self.sample(line, at)
        self.close(len(lines))
        check_names(self.result, self.reserved)
        return self.result


class _OpenMetrics(_Text):
    """OpenMetrics 1.0, of which types nothing here has are refused: info, stateset, gaugehistogram."""

    metadata = ("HELP", "TYPE", "UNIT")
    types = ("counter", "gauge", "histogram", "unknown")
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    help_escapes = QUOTED
    reserved = RESERVED

    def value(self, text, line):
        whole = re.match(r"-?\d+\Z", text)
        if not NUMBER.match(text) or (text != self.float(number(text)) and not whole):
            raise Defect(line, f"not a canonical number: {text!r}")
        return number(text)

    def bound(self, text, line):
        if not NUMBER.match(text) or self.float(number(text)) != text:
            raise Defect(line, f"le is {text!r}")
        return number(text)

    @staticmethod
    def float(value):
        text = go_format(value)
        return text + ".0" if re.match(r"-?\d+\Z", text) else text

    def begin(self, kind, name, line):
        """The metadata of a family may come in any order."""
        super().begin("HELP", name, line)

    def help(self, rest, line):
        if re.search(r'(?<!\\)(?:\\\\)*"', rest):
            raise Defect(line, "a quote in HELP that is not escaped")
        super().help(rest, line)

    def type(self, rest, line):
        super().type(rest, line)
        if rest == "counter" and self.family.name.endswith("_total"):
            raise Defect(line, f"counter {self.family.name}: _total belongs to its sample")

    def unit(self, rest, line):
        if self.family.unit is not None:
            raise Defect(line, f"UNIT of {self.family.name} twice or after its samples")
        if not self.family.name.endswith("_" + rest):
            raise Defect(line, f"the name of {self.family.name} does not end in its unit {rest!r}")
        self.family.unit = rest

    def sort_key(self, family):
        return family.name + ("_total" if family.type == "counter" else "")

    def count(self, name, text, line):
        if not text.isdigit():
            raise Defect(line, f"{name} is no whole number: {text!r}")

    def exemplar(self, name, text, line):
        if not name.endswith(("_total", "_bucket")) or self.family.type not in ("counter", "histogram"):
            raise Defect(line, f"an exemplar at {name}")
        match = EXEMPLAR.match(text)
        if not match:
            raise Defect(line, f"malformed exemplar {text!r}")
        pairs = _labels(match[1], line) if match[1] else []
        for each in match[2], match[3]:
            if each is not None and not NUMBER.match(each):
                raise Defect(line, f"not a canonical number: {each!r}")
        return Exemplar(tuple(pairs), number(match[2]), number(match[3]) if match[3] else None)


def _lines(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Defect(0, f"not UTF-8: {error}") from None
    if text and not text.endswith("\n"):
        raise Defect(0, "no newline at the end")
    if "\r" in text:
        raise Defect(0, "a carriage return")
    if "\0" in text:
        raise Defect(0, "a NUL")
    return text[:-1].split("\n") if text else []


def parse(data):
    """The families of a whole text 0.0.4, given as bytes; Defect says what is wrong with it."""
    return _Text().read(_lines(data))


def parse_openmetrics(data):
    lines = _lines(data)
    if not lines or lines[-1] != "# EOF":
        raise Defect(0, "no # EOF at the end")
    if "# EOF" in lines[:-1]:
        raise Defect(lines.index("# EOF") + 1, "more behind # EOF")
    return _OpenMetrics().read(lines[:-1])


parse_protobuf = exposition_protobuf.parse


def read(answer):
    """What an HTTP answer says, in whatever format it says that it is in."""
    assert answer.status == 200, answer
    coding, body = answer.header("content-encoding"), answer.body
    if coding is not None:
        assert coding == "gzip", coding
        body = gzip.decompress(body)
    kind = re.sub(r"; escaping=[\w-]+\Z", "", answer.header("content-type"))
    parsers = {TEXT_TYPE: parse, OPENMETRICS_TYPE: parse_openmetrics, PROTOBUF_TYPE: parse_protobuf}
    assert kind in parsers, kind
    return parsers[kind](body)

"""A strict reader of the text exposition format 0.0.4.

It refuses what promtool lets pass: interleaved families, duplicate samples,
buckets out of order or not cumulative, a missing +Inf, +Inf that differs from
_count, comments that are neither HELP nor TYPE, time stamps, and families out
of order. What it accepts, every scraper reads alike.
"""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
NUMBER = re.compile(r"(?:-?\d+(?:\.\d+)?(?:e[+-]\d\d+)?|[+-]Inf|NaN)\Z")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Defect(Exception):
    """What is wrong, and in which line."""

    def __init__(self, line, reason):
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type = name, help_text, None
        self.samples = {}  # (name, sorted labels) -> value, in the order of the text


class Exposition:
    def __init__(self):
        self.families = {}

    def value(self, name, **labels):
        """The value of one sample; KeyError names what there is instead."""
        key = (name, tuple(sorted(labels.items())))
        for family in self.families.values():
            if key in family.samples:
                return family.samples[key]
        near = [k for f in self.families.values() for k in f.samples if k[0] == name]
        raise KeyError(f"{key}; there is: {near}")

    def samples(self, name):
        """{labels as a dict's items: value} of every sample of that name."""
        found = {}
        for family in self.families.values():
            found.update({labels: v for (n, labels), v in family.samples.items() if n == name})
        return found

    def series(self):
        """The set of lines without their values."""
        return {key for family in self.families.values() for key in family.samples}

    def cumulative(self):
        """Every sample that may never fall: counters, and all of a histogram."""
        return {
            key: value
            for family in self.families.values()
            if family.type in ("counter", "histogram")
            for key, value in family.samples.items()
        }


def regressions(before, after):
    """What fell, or vanished, between two scrapes of one process."""
    late = after.cumulative()
    return [
        f"{key}: {value} -> {late.get(key)}"
        for key, value in before.cumulative().items()
        if key not in late or late[key] < value
    ]


def _unescape(text, line, quote):
    out, i = [], 0
    while i < len(text):
        if text[i] != "\\":
            out.append(text[i])
            i += 1
            continue
        known = {"\\": "\\", "n": "\n"} | ({'"': '"'} if quote else {})
        if i + 1 == len(text) or text[i + 1] not in known:
            raise Defect(line, f"unknown escape in {text!r}")
        out.append(known[text[i + 1]])
        i += 2
    return "".join(out)


def _labels(text, line):
    """The pairs of `a="b",c="d"`."""
    pairs, rest = [], text
    while True:
        match = re.match(r'([^="{},\s]*)="((?:[^"\\]|\\.)*)"', rest)
        if not match:
            raise Defect(line, f"malformed labels {text!r}")
        if not LABEL.match(match[1]):
            raise Defect(line, f"label name {match[1]!r}")
        pairs.append((match[1], _unescape(match[2], line, True)))
        rest = rest[match.end() :]
        if not rest:
            break
        if not rest.startswith(","):
            raise Defect(line, f"malformed labels {text!r}")
        rest = rest[1:]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Defect(line, "a label twice")
    return pairs


def _number(text, line):
    if not NUMBER.match(text):
        raise Defect(line, f"not a canonical number: {text!r}")
    return float(text.replace("Inf", "inf").replace("NaN", "nan"))


def _sample(text, line):
    match = re.match(r'([^{\s]+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)\Z', text)
    if not match:
        raise Defect(line, f"malformed sample {text!r}")
    if not NAME.match(match[1]):
        raise Defect(line, f"metric name {match[1]!r}")
    if match[2] == "":
        raise Defect(line, "empty braces")
    return match[1], _labels(match[2], line) if match[2] else [], _number(match[3], line)


class _Reader:
    def __init__(self):
        self.result = Exposition()
        self.family = None

    def comment(self, text, line):
        parts = text.split(" ", 3)
        if len(parts) < 4 or parts[0] != "#" or parts[1] not in ("HELP", "TYPE"):
            raise Defect(line, f"a comment that is neither HELP nor TYPE: {text!r}")
        kind, name, rest = parts[1:]
        if not NAME.match(name):
            raise Defect(line, f"metric name {name!r}")
        if kind == "HELP":
            if name in self.result.families:
                raise Defect(line, f"family {name} twice")
            if self.family and name < self.family.name:
                raise Defect(line, f"family {name} after {self.family.name}")
            self.close(line)
            self.family = Family(name, _unescape(rest, line, False))
            self.result.families[name] = self.family
            return
        if not self.family or self.family.name != name:
            raise Defect(line, f"TYPE of {name} without its HELP before it")
        if self.family.type or self.family.samples:
            raise Defect(line, f"TYPE of {name} twice or after its samples")
        if rest not in TYPES:
            raise Defect(line, f"type {rest!r}")
        self.family.type = rest

    def sample(self, text, line):
        name, pairs, value = _sample(text, line)
        family = self.family
        if not family or not family.type:
            raise Defect(line, f"sample {name} without HELP and TYPE before it")
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
        if name not in [family.name + s for s in suffixes.get(family.type, ("",))]:
            raise Defect(line, f"sample {name} inside family {family.name}")
        if any(key == "le" for key, _ in pairs) != (name == family.name + "_bucket" and family.type == "histogram"):
            raise Defect(line, "le belongs to the buckets of a histogram, and to each of them")
        if "le" in [key for key, _ in pairs[:-1]]:
            raise Defect(line, "le is not the last label")
        if family.type == "counter" and not value >= 0:
            raise Defect(line, f"counter {name} is {value}")
        key = (name, tuple(sorted(pairs)))
        if key in family.samples:
            raise Defect(line, f"duplicate sample {name}{dict(pairs)}")
        family.samples[key] = value

    def close(self, line):
        """The end of a family: what only its whole can show."""
        family = self.family
        if not family:
            return
        if not family.type:
            raise Defect(line, f"family {family.name} without TYPE")
        if family.type == "histogram":
            _check_histogram(family, line)


def _check_histogram(family, line):
    children = {}
    order = []
    for (name, labels), value in family.samples.items():
        own = tuple(pair for pair in labels if pair[0] != "le")
        if own not in children:
            children[own] = {"buckets": []}
        elif order[-1] != own:
            raise Defect(line, f"histogram {family.name}: children interleaved")
        order.append(own)
        child = children[own]
        if name.endswith("_bucket"):
            if "_sum" in child or "_count" in child:
                raise Defect(line, f"histogram {family.name}: a bucket after the sum")
            child["buckets"].append((_number(dict(labels)["le"], line), value))
        else:
            child[name[len(family.name) :]] = value
    for child in children.values():
        _check_child(family.name, child, line)


def _check_child(name, child, line):
    buckets = child["buckets"]
    if not buckets or buckets[-1][0] != math.inf:
        raise Defect(line, f"histogram {name}: no +Inf bucket at the end")
    for (low, few), (high, many) in zip(buckets, buckets[1:]):
        if not low < high:
            raise Defect(line, f"histogram {name}: buckets not in ascending order")
        if not few <= many:
            raise Defect(line, f"histogram {name}: buckets not cumulative")
    if "_sum" not in child or "_count" not in child:
        raise Defect(line, f"histogram {name}: no _sum or no _count")
    if buckets[-1][1] != child["_count"]:
        raise Defect(line, f"histogram {name}: +Inf is {buckets[-1][1]}, _count {child['_count']}")


def parse(data):
    """The families of a whole exposition, given as bytes; Defect says what is wrong with it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Defect(0, f"not UTF-8: {error}") from None
    if not text.endswith("\n"):
        raise Defect(0, "no newline at the end")
    if "\r" in text:
        raise Defect(0, "a carriage return")
    reader = _Reader()
    lines = text[:-1].split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            raise Defect(number, "an empty line")
        if line.startswith("#"):
            reader.comment(line, number)
        else:
            reader.sample(line, number)
    reader.close(len(lines))
    return reader.result

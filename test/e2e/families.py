"""What an exposition says, whatever its format: families of samples, and the rules that all formats share.

A sample of any format has the name, the labels and the `le` that it has in text 0.0.4, so that what
three formats say at one instant can be compared. Native histograms, which only one of them carries,
have samples for their _count and _sum, and the rest in `Family.natives`.
"""
import dataclasses
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
EXEMPLAR_CODE_POINTS = 128

# Every name that a family of this type may take up, behind its own.
RESERVED = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
    "summary": ("", "_sum", "_count", "_created"),
}
# Of the text format, where a counter's family has the name of its samples.
RESERVED_TEXT = {"histogram": ("", "_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Defect(Exception):
    """What is wrong, and in which line, or of which family."""

    def __init__(self, place, reason):
        where = f"line {place}: " if isinstance(place, int) else f"{place}: "
        super().__init__(where + reason if place else reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Exemplar:
    labels: tuple
    value: float
    timestamp: float | None


@dataclasses.dataclass
class Histogram:
    """One child of a histogram: (upper bound, cumulative count), the last of which is +Inf."""

    buckets: list = dataclasses.field(default_factory=list)
    sum: float | None = None
    count: float | None = None

    def shares(self):
        """(lower, upper, count) of each bucket for itself."""
        low, before = -math.inf, 0
        for high, cumulative in self.buckets:
            yield low, high, cumulative - before
            low, before = high, cumulative


@dataclasses.dataclass
class Native:
    """One child of a native histogram: bucket index -> count."""

    schema: int
    zero_threshold: float
    zero: int
    buckets: dict
    sum: float
    count: int
    exemplars: list

    def upper(self, index):
        return 2.0 ** (index / 2.0**self.schema)

    def shares(self):
        yield 0.0, self.zero_threshold, self.zero
        for index in sorted(self.buckets):
            yield self.upper(index - 1), self.upper(index), self.buckets[index]


class Family:
    def __init__(self, name, help_text=None):
        self.name, self.help, self.type, self.unit = name, help_text, None, None
        self.samples = {}  # (name, sorted labels) -> value, in the order of the exposition
        self.histograms = {}  # labels -> Histogram
        self.natives = {}  # labels -> Native
        self.exemplars = {}  # as samples -> Exemplar

    def add(self, name, pairs, value, place):
        key = (name, tuple(sorted(pairs)))
        if key in self.samples:
            raise Defect(place, f"duplicate sample {name}{dict(pairs)}")
        self.samples[key] = value
        return key


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

    def numbers(self):
        """{(name, labels): value} of every sample, where any format's `le` is written alike."""
        return {
            (name, tuple((k, go_format(number(v)) if k == "le" else v) for k, v in labels)): value
            for family in self.families.values()
            for (name, labels), value in family.samples.items()
        }

    def series(self):
        """The set of lines without their values."""
        return {key for family in self.families.values() for key in family.samples}

    def cumulative(self):
        """Every sample that may never fall: counters, and all of a histogram."""
        return {
            key: value
            for family in self.families.values()
            if family.type in ("counter", "histogram", "native")
            for key, value in family.samples.items()
        }


def regressions(before, after):
    """What fell, or vanished, between two scrapes of one process."""
    late = after.cumulative()
    fallen = [
        f"{key}: {value} -> {late.get(key)}"
        for key, value in before.cumulative().items()
        if key not in late or late[key] < value
    ]
    for name, family in before.families.items():
        for labels, native in family.natives.items():
            there = after.families[name].natives[labels].buckets
            fallen += [
                f"{name}{dict(labels)} [{index}]: {count} -> {there.get(index)}"
                for index, count in native.buckets.items()
                if there.get(index, 0) < count
            ]
    return fallen


def impossible_sums(exposition):
    """Histograms whose sum cannot be one of the values that their buckets count."""
    wrong = []
    for family in exposition.families.values():
        for labels, child in [*family.histograms.items(), *family.natives.items()]:
            least = sum(max(low, 0) * count for low, high, count in child.shares() if count)
            most = sum(high * count for low, high, count in child.shares() if count)
            if not least * (1 - 1e-9) <= child.sum <= most * (1 + 1e-9):
                wrong.append(f"{family.name}{dict(labels)}: {least} <= {child.sum} <= {most}")
    return wrong


# --- numbers --------------------------------------------------------------------


def number(text):
    return float(text.replace("Inf", "inf").replace("NaN", "nan"))


def go_format(value):
    """As Go's strconv.FormatFloat(value, 'g', -1, 64) has it: the shortest that reads back."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    mantissa, _, exponent = repr(value).partition("e")
    exponent = int(exponent or 0)
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + exponent - (len(whole + fraction) - len(digits))  # behind so many digits
    digits = digits.rstrip("0")
    if not -4 <= point - 1 < 6:
        rest = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    digits = digits.ljust(point, "0")
    return sign + digits[:point] + ("." + digits[point:] if digits[point:] else "")


# --- rules of the whole ---------------------------------------------------------


def check_pairs(pairs, place, last=("le",)):
    """The labels of one sample: names allowed, once each, in order, `last` behind all others."""
    names = [name for name, _ in pairs]
    for name in names:
        if not LABEL.match(name):
            raise Defect(place, f"label name {name!r}")
        if name.startswith("__"):
            raise Defect(place, f"label name {name!r} is reserved")
        if name == "quantile":
            raise Defect(place, "quantile is a label of summaries alone")
    if len(set(names)) != len(names):
        raise Defect(place, "a label twice")
    if any(name in names[:-1] for name in last):
        raise Defect(place, "le is not the last label")
    own = [name for name in names if name not in last]
    if own != sorted(own):
        raise Defect(place, f"labels out of order: {names}")


def check_family(family, place):
    """What only the whole of a family can show."""
    children = []
    for _, labels in family.samples:
        own = tuple(pair for pair in labels if pair[0] != "le")
        if not children or children[-1] != own:
            children.append(own)
    if len(set(children)) != len(children):
        raise Defect(place, f"{family.name}: children interleaved")
    if len({tuple(name for name, _ in own) for own in children}) > 1:
        raise Defect(place, f"{family.name}: children of different labels")
    if children != sorted(children, key=lambda own: [value.encode() for _, value in own]):
        raise Defect(place, f"{family.name}: children out of order")
    if family.type == "counter" and not all(value >= 0 for value in family.samples.values()):
        wrong = next(value for value in family.samples.values() if not value >= 0)
        raise Defect(place, f"counter {family.name} is {wrong}")
    for child in family.histograms.values():
        check_histogram(family.name, child, place)
    for (name, labels), exemplar in family.exemplars.items():
        check_exemplar(family, name, labels, exemplar, place)


def check_histogram(name, child, place):
    buckets = child.buckets
    if not buckets or buckets[-1][0] != math.inf:
        raise Defect(place, f"histogram {name}: no +Inf bucket at the end")
    for (low, few), (high, many) in zip(buckets, buckets[1:]):
        if not low < high:
            raise Defect(place, f"histogram {name}: buckets not in ascending order")
        if not few <= many:
            raise Defect(place, f"histogram {name}: buckets not cumulative")
    if child.sum is None or child.count is None:
        raise Defect(place, f"histogram {name}: no _sum or no _count")
    if buckets[-1][1] != child.count:
        raise Defect(place, f"histogram {name}: +Inf is {buckets[-1][1]}, _count {child.count}")
    if not all(many >= 0 and many == int(many) for _, many in buckets):
        raise Defect(place, f"histogram {name}: a count that is no whole number")
    check_sum(name, child.sum, place)


def check_sum(name, value, place):
    if not value >= 0 or math.isinf(value):
        raise Defect(place, f"histogram {name}: the sum is {value}")


def check_exemplar_labels(exemplar, place):
    names = [name for name, _ in exemplar.labels]
    if len(set(names)) != len(names) or not all(LABEL.match(name) for name in names):
        raise Defect(place, f"labels of an exemplar: {names}")
    if sum(len(name) + len(value) for name, value in exemplar.labels) > EXEMPLAR_CODE_POINTS:
        raise Defect(place, f"an exemplar's labels have more than {EXEMPLAR_CODE_POINTS} characters")
    if not math.isfinite(exemplar.value):
        raise Defect(place, f"an exemplar's value is {exemplar.value}")


def check_exemplar(family, name, labels, exemplar, place):
    check_exemplar_labels(exemplar, place)
    if family.type != "histogram":
        return
    own = tuple(pair for pair in labels if pair[0] != "le")
    upper = number(dict(labels)["le"])
    low, count = next((low, n) for low, high, n in family.histograms[own].shares() if high == upper)
    if not low < exemplar.value <= upper:
        raise Defect(place, f"{name}: an exemplar of {exemplar.value} in the bucket from {low} to {upper}")
    if not count:
        raise Defect(place, f"{name}: an exemplar of a bucket that counted nothing")


def check_names(exposition, reserved):
    """No family's samples are called as another family, or its samples, could be."""
    taken = {}
    for family in exposition.families.values():
        for suffix in reserved.get(family.type, ("",)):
            other = taken.setdefault(family.name + suffix, family.name)
            if other != family.name:
                raise Defect(0, f"families {other} and {family.name} both claim {family.name + suffix}")

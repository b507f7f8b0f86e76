"""The strict readers themselves: each takes what is good, and names each defect of what is not."""
import math
import struct

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import exposition
from calls import varint
from families import go_format

GOOD = b"""# HELP calls_total Calls, "quoted", with a \\\\ and a \\n.
# TYPE calls_total counter
calls_total{method="Echo",status="a \\"quote\\", a } and a \\\\"} 1234567
calls_total{method="Echo",status="fail"} 0
# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.005"} 1
latency_seconds_bucket{le="0.5"} 1
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 7.25
latency_seconds_count 3
# HELP temperature Now.
# TYPE temperature gauge
temperature -3.5
"""


def swap(old, new):
    """What spoils a body: it has `old`, and gets `new` in its place."""

    def spoil(body):
        assert old in body, old
        return body.replace(old, new)

    return spoil


def append(more):
    return lambda body: body + more


def moved(line, before):
    """`line` in front of `before` and no longer where it was."""
    return lambda body: body.replace(line, b"").replace(before, line + before)


def test_a_good_text_is_read_back():
    read = exposition.parse(GOOD)
    assert read.value("calls_total", method="Echo", status="fail") == 0
    assert read.value("calls_total", method="Echo", status='a "quote", a } and a \\') == 1234567
    assert read.families["calls_total"].help == 'Calls, "quoted", with a \\ and a \n.'
    assert read.value("latency_seconds_bucket", le="+Inf") == 3
    assert read.value("latency_seconds_sum") == 7.25
    assert read.value("temperature") == -3.5
    assert exposition.parse(b"").families == {}


TEXT_DEFECTS = {
    "no newline at the end": lambda body: body[:-1],
    "a carriage return": swap(b"-3.5", b"-3.5\r"),
    "a NUL": swap(b"Latency.", b"La\0tency."),
    "not UTF-8": swap(b"fail", b"f\xffil"),
    "an empty line": swap(b"# HELP latency", b"\n# HELP latency"),
    "neither HELP nor TYPE: '# EOF'": append(b"# EOF\n"),
    "neither HELP nor TYPE: '# UNIT": append(b"# UNIT temperature celsius\n"),
    "neither HELP nor TYPE: '# just": swap(b"# TYPE temp", b"# just a word\n# TYPE temp"),
    "family calls_total twice": append(b"# HELP calls_total Again.\n# TYPE calls_total counter\ncalls_total 1\n"),
    "family latency_seconds twice": swap(b"# TYPE latency", b"# HELP latency_seconds Again.\n# TYPE latency"),
    "family aaa after temperature": append(b"# HELP aaa Out of order.\n# TYPE aaa gauge\naaa 1\n"),
    "sample calls_total inside family temperature": append(b'calls_total{method="Echo",status="late"} 1\n'),
    "duplicate sample": append(b"temperature -3.5\n"),
    "without its HELP": swap(b"# HELP temperature Now.\n", b""),
    "family temperature without HELP": swap(b"temperature Now.", b"temperature "),
    "without HELP and TYPE": lambda body: b"early 1\n" + body,
    "family zzz without TYPE": append(b"# HELP zzz No type, no samples.\n"),
    "family zzz without samples": append(b"# HELP zzz No samples.\n# TYPE zzz gauge\n"),
    "TYPE of temperature twice or after": append(b"# TYPE temperature gauge\n"),
    "TYPE of calls_total twice or after": swap(
        b"# TYPE calls_total counter\n", b"# TYPE calls_total counter\n# TYPE calls_total counter\n"
    ),
    "type 'speed'": swap(b"temperature gauge", b"temperature speed"),
    "type 'unknown'": swap(b"temperature gauge", b"temperature unknown"),
    "both claim latency_seconds_count": swap(
        b"# HELP temp",
        b"# HELP latency_seconds_count C.\n# TYPE latency_seconds_count gauge\nlatency_seconds_count 9\n# HELP temp",
    ),
    "not in ascending order": moved(b'latency_seconds_bucket{le="0.5"} 1\n', b'latency_seconds_bucket{le="0.005"'),
    "not cumulative": swap(b'"0.005"} 1', b'"0.005"} 2'),
    "no +Inf bucket": swap(b'latency_seconds_bucket{le="+Inf"} 3\n', b""),
    "+Inf is 3.0, _count 4.0": swap(b"_count 3", b"_count 4"),
    "no _sum or no _count": swap(b"latency_seconds_sum 7.25\n", b""),
    "a count that is no whole number": swap(b" 3\n", b" 3.5\n"),
    "the sum is -7.25": swap(b"_sum 7.25", b"_sum -7.25"),
    "the sum is nan": swap(b"_sum 7.25", b"_sum NaN"),
    "a bucket after the sum": moved(b"latency_seconds_sum 7.25\n", b'latency_seconds_bucket{le="+Inf"'),
    "the sum after the count": moved(b"latency_seconds_count 3\n", b"latency_seconds_sum"),
    "le belongs to the buckets of a histogram, and": swap(b"temperature -3.5", b'temperature{le="1"} -3.5'),
    "le belongs to the buckets": swap(b'bucket{le="0.5"}', b"bucket"),
    "le is not the last label": swap(b'{le="0.005"}', b'{le="0.005",zone="b"}'),
    "le is '5e-01'": swap(b'le="0.5"', b'le="5e-01"'),
    "le is '0.50'": swap(b'le="0.5"', b'le="0.50"'),
    "le is '1.0'": swap(b'le="0.5"', b'le="1.0"'),
    "quantile is a label of summaries": swap(b"temperature -", b'temperature{quantile="0.5"} -'),
    "labels out of order": swap(b'method="Echo",status="fail"', b'status="fail",method="Echo"'),
    "children out of order": swap(b'status="fail"', b'status="Fail"'),
    "children of different labels": swap(b'method="Echo",status="fail"', b'method="Echo",state="fail"'),
    "unknown escape": swap(b'status="fail"', b'status="f\\ail"'),
    "unknown escape in 'Calls": swap(b'Calls, "', b'Calls, \\"'),
    "metric name '9lives'": append(b"9lives 1\n"),
    "label name '9'": swap(b"temperature -", b'temperature{9="x"} -'),
    "label name '__name__' is reserved": swap(b"temperature -", b'temperature{__name__="x"} -'),
    "a label twice": swap(b"temperature -", b'temperature{a="x",a="y"} -'),
    "empty braces": swap(b"temperature -", b"temperature{} -"),
    "malformed labels": swap(b"temperature -", b'temperature{a="x",} -'),
    "malformed labels 'a=": swap(b"temperature -", b'temperature{a="x"b="y"} -'),
    "metric name '9'": append(b"# HELP 9 No name.\n"),
    "malformed sample": swap(b"-3.5", b"-3.5 1700000000000"),
    "malformed sample 'temperature  ": swap(b"temperature -", b"temperature  -"),
    "malformed sample 'temperature\\t": swap(b"temperature -", b"temperature\t-"),
    "malformed sample ' temperature": swap(b"\ntemperature", b"\n temperature"),
    "malformed sample: an exemplar": swap(b'Inf"} 3', b'Inf"} 3 # {trace_id="a"} 1'),
    "not a canonical number: 'nan'": swap(b"-3.5", b"nan"),
    "not a canonical number: 'Inf'": swap(b"-3.5", b"Inf"),
    "not a canonical number: '0,5'": swap(b"7.25", b"0,5"),
    "not a canonical number: '7.250'": swap(b"7.25", b"7.250"),
    "not a canonical number: '1e+01'": swap(b"7.25", b"1e+01"),
    "not a canonical number: '1234567.5'": swap(b"7.25", b"1234567.5"),
    "not a canonical number: '5.0000000000000002e-05'": swap(b"7.25", b"5.0000000000000002e-05"),
    "counter calls_total is -1.0": swap(b'"fail"} 0', b'"fail"} -1'),
}


def refused(parse, good, spoil, reason):
    parse(good)
    spoilt = spoil(good)
    assert spoilt != good
    with pytest.raises(exposition.Defect) as defect:
        parse(spoilt)
    assert reason in str(defect.value)


@pytest.mark.parametrize("reason", TEXT_DEFECTS)
def test_a_defect_of_text_is_named(reason):
    refused(exposition.parse, GOOD, TEXT_DEFECTS[reason], reason)


INTERLEAVED = b"""# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
wait_seconds_bucket{kind="a",le="+Inf"} 1
wait_seconds_bucket{kind="b",le="+Inf"} 1
wait_seconds_sum{kind="a"} 1
wait_seconds_count{kind="a"} 1
wait_seconds_sum{kind="b"} 1
wait_seconds_count{kind="b"} 1
"""


def test_children_of_a_histogram_stand_together():
    with pytest.raises(exposition.Defect, match="children interleaved"):
        exposition.parse(INTERLEAVED)
    lines = INTERLEAVED.splitlines(keepends=True)
    apart = b"".join(lines[i] for i in (0, 1, 2, 4, 5, 3, 6, 7))
    assert exposition.parse(apart).value("wait_seconds_count", kind="b") == 1


def test_a_fallen_counter_is_seen():
    before = exposition.parse(GOOD)
    assert exposition.regressions(before, before) == []
    after = exposition.parse(GOOD.replace(b"7.25", b"7"))
    assert len(exposition.regressions(before, after)) == 1
    after = exposition.parse(GOOD.replace(b"-3.5", b"-4"))
    assert exposition.regressions(before, after) == []


@pytest.mark.parametrize("value", ["0.4", "0.0009"])
def test_a_sum_that_the_buckets_rule_out_is_seen(value):
    """One up to 0.005 and two of more than 0.5: no less than 1."""
    assert exposition.impossible_sums(exposition.parse(GOOD)) == []
    assert len(exposition.impossible_sums(exposition.parse(GOOD.replace(b"7.25", value.encode())))) == 1


def test_numbers_are_those_of_go():
    for value, text in (
        (0.0, "0"), (1.0, "1"), (5e-05, "5e-05"), (0.00025, "0.00025"), (0.0001, "0.0001"), (2.5, "2.5"),
        (10.0, "10"), (100000.0, "100000"), (123456.7, "123456.7"), (1e6, "1e+06"), (1234567.0, "1.234567e+06"),
        (1e22, "1e+22"), (-1.5e-300, "-1.5e-300"), (2.0**64, "1.8446744073709552e+19"),
        (2.0**-128, "2.938735877055719e-39"), (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"),
    ):  # fmt: skip
        assert go_format(value) == text


# --- OpenMetrics ------------------------------------------------------------------

GOOD_OPENMETRICS = b"""# HELP calls Calls, \\"quoted\\", with a \\\\ and a \\n.
# TYPE calls counter
calls_total{method="Echo",status="a # {b} \\"quote\\""} 1234567 # {trace_id="ab"} 1 1700000000.123
calls_total{method="Echo",status="fail"} 0.0
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
# HELP latency_seconds Latency.
latency_seconds_bucket{le="0.005"} 1
latency_seconds_bucket{le="1.0"} 2 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.5
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 7.25
latency_seconds_count 3
# HELP temperature Now.
# TYPE temperature gauge
temperature -3.5
# HELP total_requests All.
# TYPE total_requests unknown
total_requests 7
# EOF
"""

OPENMETRICS_DEFECTS = {
    "no # EOF at the end": swap(b"# EOF\n", b""),
    "no newline at the end": lambda body: body[:-1],
    "more behind # EOF": append(b"# EOF\n"),
    "no # EOF": append(b"\n"),
    "an empty line": swap(b"# HELP temp", b"\n# HELP temp"),
    "neither HELP nor TYPE nor UNIT": swap(b"# HELP temp", b"# a word\n# HELP temp"),
    "a quote in HELP that is not escaped": swap(b'\\"quoted', b'"quoted'),
    "unknown escape": swap(b"Latency.", b"Lat\\ency."),
    "calls_total: _total belongs to its sample": swap(b" calls ", b" calls_total "),
    "sample total_requests inside family total_requests": swap(b"total_requests unknown", b"total_requests counter"),
    "sample calls inside family calls": swap(b"calls_total{", b"calls{"),
    "type 'untyped'": swap(b"total_requests unknown", b"total_requests untyped"),
    "le is '1'": swap(b'le="1.0"', b'le="1"'),
    "le is '5e-3'": swap(b'le="0.005"', b'le="5e-3"'),
    "latency_seconds_count is no whole number: '3.0'": swap(b"_count 3", b"_count 3.0"),
    "latency_seconds_bucket is no whole number": swap(b'"0.005"} 1', b'"0.005"} 1.0'),
    "does not end in its unit 'bytes'": swap(b"UNIT latency_seconds seconds", b"UNIT latency_seconds bytes"),
    "UNIT of latency_seconds twice": swap(b"# UNIT", b"# UNIT latency_seconds seconds\n# UNIT"),
    "an exemplar at temperature": swap(b"-3.5", b'-3.5 # {trace_id="a"} 1'),
    "an exemplar at latency_seconds_count": swap(b"_count 3", b'_count 3 # {trace_id="a"} 1'),
    "an exemplar at total_requests": swap(b"requests 7", b'requests 7 # {trace_id="a"} 1'),
    "an exemplar of 0.5 in the bucket from 1.0": lambda body: body.replace(
        b' # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.5', b""
    ).replace(b'Inf"} 3', b'Inf"} 3 # {trace_id="4b"} 0.5'),
    "an exemplar of 1.5 in the bucket from 0.005": swap(b'} 0.5\n', b"} 1.5\n"),
    "more than 128 characters": swap(b"4bf92f3577b34da6a3ce929d0e0e4736", b"a" * 121),
    "malformed exemplar": swap(b'{trace_id="ab"}', b'trace_id="ab"'),
    "not a canonical number: '0x1'": swap(b"1 1700000000.123", b"0x1 1700000000.123"),
    "malformed sample": swap(b"-3.5", b"-3.5 1700000000"),
    "family aaa after total_requests": swap(b"# EOF", b"# HELP aaa A.\n# TYPE aaa gauge\naaa 1\n# EOF"),
    "family temperature twice": swap(b"# EOF", b"# HELP temperature Again.\n# EOF"),
    "both claim calls_created": swap(
        b"# HELP calls", b"# HELP calls_created C.\n# TYPE calls_created gauge\ncalls_created 1\n# HELP calls"
    ),
    "not cumulative": swap(b'"0.005"} 1', b'"0.005"} 3'),
    "+Inf is 3.0, _count 4.0": swap(b"_count 3", b"_count 4"),
    "duplicate sample": swap(b"temperature -3.5\n", b"temperature -3.5\ntemperature -3.5\n"),
    "counter calls is nan": swap(b"} 0.0", b"} NaN"),
    "not a canonical number: '7.250'": swap(b"7.25", b"7.250"),
    "family temperature without HELP": swap(b"# HELP temperature Now.\n", b""),
    "an exemplar of a bucket that counted nothing": swap(b'"0.005"} 1', b'"0.005"} 2'),
    "an exemplar's value is inf": swap(b'{trace_id="ab"} 1 ', b'{trace_id="ab"} +Inf '),
    "labels of an exemplar": swap(b'{trace_id="ab"}', b'{a="b",a="c"}'),
}


def test_a_good_openmetrics_text_is_read_back():
    read = exposition.parse_openmetrics(GOOD_OPENMETRICS)
    assert read.families["calls"].help == 'Calls, "quoted", with a \\ and a \n.'
    assert read.value("calls_total", method="Echo", status="fail") == 0
    assert read.value("total_requests") == 7
    assert read.families["latency_seconds"].unit == "seconds"
    (_, exemplar), (_, other) = (
        list(read.families[name].exemplars.items())[0] for name in ("calls", "latency_seconds")
    )
    assert (exemplar.labels, exemplar.value, exemplar.timestamp) == ((("trace_id", "ab"),), 1, 1700000000.123)
    assert other.value == 0.5 and other.timestamp is None
    assert read.numbers()[("latency_seconds_bucket", (("le", "1"),))] == 2
    assert exposition.parse_openmetrics(b"# EOF\n").families == {}


def test_another_strict_reader_takes_the_good_one_too():
    names = [family.name for family in text_string_to_metric_families(GOOD_OPENMETRICS.decode())]
    assert names == ["calls", "latency_seconds", "temperature", "total_requests"]


@pytest.mark.parametrize("reason", OPENMETRICS_DEFECTS)
def test_a_defect_of_openmetrics_is_named(reason):
    refused(exposition.parse_openmetrics, GOOD_OPENMETRICS, OPENMETRICS_DEFECTS[reason], reason)


# --- protobuf ---------------------------------------------------------------------


def field(number, value):
    """One field: an int is a varint, a float a double, str and bytes have their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def zigzag(number):
    return number << 1 if number >= 0 else (-number << 1) - 1


def family(name, kind, *metrics, help_text="Words."):
    body = field(1, name) + field(2, help_text) + field(3, kind) + b"".join(field(4, each) for each in metrics)
    return varint(len(body)) + body


def pairs(**labels):
    return b"".join(field(1, field(1, name) + field(2, value)) for name, value in labels.items())


def bucket(count, upper, more=b""):
    return field(3, field(1, count) + field(2, upper) + more)


def exemplar(value, seconds=1700000000, **labels):
    return pairs(**labels) + field(2, value) + (field(3, field(1, seconds)) if seconds else b"")


def span(offset, length):
    return field(12, field(1, zigzag(offset)) + field(2, length))


def deltas(*numbers):
    return b"".join(field(13, zigzag(number)) for number in numbers)


COUNTER, GAUGE, SUMMARY, HISTOGRAM = 0, 1, 2, 4
THRESHOLD = field(6, 2.0**-128)
ECHO, LATE = (
    pairs(method="Echo", status=status) + field(3, field(1, value))
    for status, value in (("fail", 0.0), ("success", 5.0))
)
CLASSIC = (
    field(1, 3) + field(2, 7.25) + bucket(1, 0.005) + bucket(2, 1.0, field(3, exemplar(0.5, trace_id="ab")))
)
# 50 us, 52 us, 60 us, 1 s and 4.9 s at schema 3, the gap of two buckets as one of the spans.
VALUES = [50e-6, 52e-6, 60e-6, 1.0, 4.9]
SPANS = span(-114, 3) + span(111, 1) + span(18, 1)
NATIVE = (
    field(1, 5) + field(2, sum(VALUES)) + field(5, zigzag(3)) + THRESHOLD + field(7, 0) + SPANS
    + field(13, bytes([2, 0, 0, 0, 0])) + field(16, exemplar(1.0, trace_id="ab"))
)  # fmt: skip


def body(echo=ECHO, classic=CLASSIC, native=NATIVE, kind=COUNTER):
    return (
        family("calls_total", kind, echo, LATE)
        + family("latency_seconds", HISTOGRAM, field(7, classic))
        + family("rpc_duration_seconds", HISTOGRAM, field(7, native))
        + family("temperature", GAUGE, field(2, field(1, -3.5)))
        + family("total_requests", COUNTER, field(3, field(1, 7.0)))
    )


def test_a_good_protobuf_body_is_read_back():
    read = exposition.parse_protobuf(body())
    assert read.value("calls_total", method="Echo", status="success") == 5
    assert read.value("latency_seconds_bucket", le="1") == 2
    assert read.value("latency_seconds_bucket", le="+Inf") == read.value("latency_seconds_count") == 3
    assert read.value("rpc_duration_seconds_count") == 5
    native = read.families["rpc_duration_seconds"].natives[()]
    assert native.buckets == {-114: 1, -113: 1, -112: 1, 0: 1, 19: 1}
    for value, index in zip(VALUES, sorted(native.buckets)):
        assert native.upper(index - 1) < value <= native.upper(index)
    assert exposition.impossible_sums(read) == []
    higher = NATIVE.replace(span(18, 1), span(28, 1))
    assert len(exposition.impossible_sums(exposition.parse_protobuf(body(native=higher)))) == 1
    assert read.families["latency_seconds"].exemplars[("latency_seconds_bucket", (("le", "1"),))].value == 0.5
    empty = field(1, 0) + field(2, 0.0) + field(5, zigzag(4)) + THRESHOLD
    assert exposition.parse_protobuf(body(native=empty)).value("rpc_duration_seconds_count") == 0
    assert exposition.parse_protobuf(b"").families == {}


def native(count=1, schema=3, threshold=THRESHOLD, rest=b""):
    return field(1, count) + field(2, 1.0) + field(5, zigzag(schema)) + threshold + rest


ONE = span(0, 1) + deltas(1)
SINGLE = pairs(status="x") + field(3, field(1, 1.0))

PROTOBUF_DEFECTS = {
    "bytes, and": body()[:-1],
    "a torn varint": body() + b"\x80",
    "a varint of more than ten bytes": b"\x80" * 10 + b"\1",
    "a varint of more than 64 bits": b"\xff" * 9 + b"\x02",
    "a torn field": b"\3\x0a\7a",
    "does not end in its unit 'bytes'": varint(15) + field(1, "a") + field(2, "A") + field(3, 0) + field(5, "bytes"),
    "wire type 3": b"\1\x0b",
    "wire type 5": b"\5\x0dabcd",
    "unknown field 9": body(echo=ECHO + field(9, 1)),
    "unknown field 6": body(echo=ECHO + field(6, 1700000000000)),
    "unknown field 4": body(classic=CLASSIC + field(4, 3.0)),
    "field name with wire type 0": b"\2\x08\1",
    "field sample_sum twice": body(classic=CLASSIC + field(2, 7.25)),
    "not UTF-8": family("calls_total", COUNTER, SINGLE, help_text=b"\xff"),
    "no name": varint(2) + field(3, 0),
    "calls_total: no help": varint(15) + field(1, "calls_total") + field(3, 0),
    "no type": varint(16) + field(1, "calls_total") + field(2, "A"),
    "without HELP": family("calls_total", COUNTER, SINGLE, help_text=""),
    "metric name '9lives'": family("9lives", COUNTER, SINGLE),
    "type 2": family("calls", SUMMARY, SINGLE),
    "without samples": family("calls_total", COUNTER),
    "family calls_total twice": family("calls_total", COUNTER, SINGLE) * 2,
    "family a after b": family("b", COUNTER, SINGLE) + family("a", COUNTER, SINGLE),
    "both claim a_count": family("a", HISTOGRAM, field(7, CLASSIC)) + family("a_count", COUNTER, SINGLE),
    "a gauge with a value of ['counter']": body(kind=GAUGE),
    "a counter with a value of []": family("calls_total", COUNTER, pairs(a="b")),
    "a counter with a value of ['counter', 'gauge']": family("a", COUNTER, SINGLE + field(2, field(1, 1.0))),
    "no value": family("calls_total", COUNTER, field(3, b"")),
    "counter calls_total is -1.0": family("calls_total", COUNTER, field(3, field(1, -1.0))),
    "duplicate sample": body(echo=LATE),
    "labels out of order": family("calls_total", COUNTER, pairs(b="1", a="1") + field(3, field(1, 1.0))),
    "children out of order": family("calls_total", COUNTER, LATE, ECHO),
    "children of different labels": body(echo=SINGLE),
    "label name '9'": family("a", COUNTER, pairs(**{"9": "x"}) + field(3, field(1, 1.0))),
    "le belongs to": family("a", HISTOGRAM, pairs(le="1") + field(7, CLASSIC)),
    "not in ascending order": body(classic=field(1, 3) + field(2, 1.0) + bucket(1, 1.0) + bucket(1, 0.5)),
    "not cumulative": body(classic=field(1, 3) + field(2, 1.0) + bucket(2, 0.5) + bucket(1, 1.0)),
    "a bucket of more than sample_count": body(classic=field(1, 3) + field(2, 1.0) + bucket(4, 0.5)),
    "+Inf is 4, _count 3": body(classic=field(1, 3) + field(2, 1.0) + bucket(4, math.inf)),
    "a bucket up to NaN": body(classic=field(1, 3) + field(2, 1.0) + bucket(1, math.nan)),
    "no sample_count": body(classic=field(2, 1.0) + bucket(1, 1.0)),
    "no sample_sum": body(classic=field(1, 1) + bucket(1, 1.0)),
    "latency_seconds: the sum is nan": body(classic=field(1, 1) + field(2, math.nan) + bucket(1, 1.0)),
    "the sum is -1.0": body(native=field(1, 0) + field(2, -1.0) + field(5, zigzag(3)) + THRESHOLD),
    "a classic histogram and a native one": body(classic=CLASSIC + field(5, zigzag(3)) + THRESHOLD),
    "native one in the same family": family(
        "a", HISTOGRAM, pairs(a="1") + field(7, CLASSIC), pairs(a="2") + field(7, NATIVE)
    ),
    "schema 9": body(native=native(schema=9, rest=ONE)),
    "schema -5": body(native=native(schema=-5, rest=ONE)),
    "no schema": body(native=field(1, 0) + field(2, 0.0) + THRESHOLD),
    "zero threshold -1.0": body(native=native(threshold=field(6, -1.0), rest=ONE)),
    "nothing tells it from a classic": body(native=native(count=0, threshold=field(6, 0.0))),
    "the buckets count 1, sample_count is 2": body(native=native(count=2, rest=ONE)),
    "the buckets count 3, sample_count is 1": body(native=native(rest=ONE + field(7, 2))),
    "bucket 1 counts -1": body(native=native(rest=span(0, 2) + deltas(1, -2))),
    "a span at -1 of the one before": body(native=native(rest=span(0, 1) + span(-1, 1) + deltas(1, 0))),
    "an empty span": body(native=native(rest=ONE + span(2, 0))),
    "spans of more buckets": body(native=native(rest=span(0, 2) + deltas(1))),
    "deltas of more buckets": body(native=native(rest=ONE + deltas(0))),
    "without a time stamp": body(native=native(rest=ONE + field(16, exemplar(1.0, seconds=0)))),
    "no such value was counted": body(native=native(rest=ONE + field(16, exemplar(3.0)))),
    "exemplars outside the buckets": body(classic=CLASSIC + field(16, exemplar(0.5))),
    "an exemplar of 2.0 in the bucket from -inf": body(
        classic=field(1, 1) + field(2, 0.5) + bucket(1, 1.0, field(3, exemplar(2.0)))
    ),
    "more than 128 characters": body(native=native(rest=ONE + field(16, exemplar(1.0, a="b" * 128)))),
    "the time stamp of an exemplar": body(
        native=native(rest=ONE + field(16, field(2, 1.0) + field(3, field(2, 10**9))))
    ),
}


@pytest.mark.parametrize("reason", PROTOBUF_DEFECTS)
def test_a_defect_of_protobuf_is_named(reason):
    with pytest.raises(exposition.Defect) as defect:
        exposition.parse_protobuf(PROTOBUF_DEFECTS[reason])
    assert reason in str(defect.value)


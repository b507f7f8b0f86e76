"""The validator itself: it takes a good text, and names each defect."""
import pytest

import exposition

GOOD = b"""# HELP calls_total Calls, "quoted", with a \\\\ and a \\n.
# TYPE calls_total counter
calls_total{method="Echo",status="fail"} 0
calls_total{method="Echo",status="a \\"quote\\", a } and a \\\\"} 1.234567e+06
# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.005"} 1
latency_seconds_bucket{le="5e-01"} 1
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 7.25
latency_seconds_count 3
# HELP temperature Now.
# TYPE temperature gauge
temperature -3.5
"""


def test_a_good_text_is_read_back():
    read = exposition.parse(GOOD)
    assert read.value("calls_total", method="Echo", status="fail") == 0
    assert read.value("calls_total", method="Echo", status='a "quote", a } and a \\') == 1234567
    assert read.families["calls_total"].help == 'Calls, "quoted", with a \\ and a \n.'
    assert read.value("latency_seconds_bucket", le="+Inf") == 3
    assert read.value("latency_seconds_sum") == 7.25
    assert read.value("temperature") == -3.5


DEFECTS = {
    "no newline at the end": lambda t: t[:-1],
    "a carriage return": lambda t: t.replace(b"-3.5", b"-3.5\r"),
    "not UTF-8": lambda t: t.replace(b"fail", b"f\xffil"),
    "an empty line": lambda t: t.replace(b"# HELP latency", b"\n# HELP latency"),
    "neither HELP nor TYPE": lambda t: t + b"# EOF\n",
    "family calls_total twice": lambda t: t + b"# HELP calls_total Again.\n",
    "family aaa after temperature": lambda t: t + b"# HELP aaa Out of order.\n# TYPE aaa gauge\naaa 1\n",
    "inside family temperature": lambda t: t + b'calls_total{method="Echo",status="late"} 1\n',
    "duplicate sample": lambda t: t + b"temperature -3.5\n",
    "without its HELP": lambda t: t.replace(b"# HELP temperature Now.\n", b""),
    "without HELP and TYPE": lambda t: b"early 1\n" + t,
    "without TYPE": lambda t: t + b"# HELP zzz No type, no samples.\n",
    "twice or after its samples": lambda t: t + b"# TYPE temperature gauge\n",
    "type 'speed'": lambda t: t.replace(b"temperature gauge", b"temperature speed"),
    "not in ascending order": lambda t: t.replace(b'le="5e-01"', b'le="0.001"'),
    "not cumulative": lambda t: t.replace(b'"0.005"} 1', b'"0.005"} 2'),
    "no +Inf bucket": lambda t: t.replace(b'latency_seconds_bucket{le="+Inf"} 3\n', b""),
    "+Inf is 3.0, _count 4.0": lambda t: t.replace(b"_count 3", b"_count 4"),
    "no _sum or no _count": lambda t: t.replace(b"latency_seconds_sum 7.25\n", b""),
    "a bucket after the sum": lambda t: t.replace(
        b'latency_seconds_bucket{le="+Inf"} 3\nlatency_seconds_sum 7.25\n',
        b'latency_seconds_sum 7.25\nlatency_seconds_bucket{le="+Inf"} 3\n',
    ),
    "le belongs to the buckets": lambda t: t.replace(b"temperature -3.5", b'temperature{le="1"} -3.5'),
    "le is not the last label": lambda t: t.replace(b'{le="0.005"}', b'{le="0.005",zone="b"}'),
    "unknown escape": lambda t: t.replace(b'status="fail"', b'status="f\\ail"'),
    "metric name '9lives'": lambda t: t + b"9lives 1\n",
    "label name '9'": lambda t: t.replace(b"temperature -", b'temperature{9="x"} -'),
    "a label twice": lambda t: t.replace(b"temperature -", b'temperature{a="x",a="y"} -'),
    "empty braces": lambda t: t.replace(b"temperature -", b"temperature{} -"),
    "malformed labels": lambda t: t.replace(b"temperature -", b'temperature{a="x",} -'),
    "malformed sample": lambda t: t.replace(b"-3.5", b"-3.5 1700000000000"),
    "not a canonical number: 'nan'": lambda t: t.replace(b"-3.5", b"nan"),
    "not a canonical number: '0,5'": lambda t: t.replace(b"7.25", b"0,5"),
    "counter calls_total is -1.0": lambda t: t.replace(b'"fail"} 0', b'"fail"} -1'),
}


@pytest.mark.parametrize("reason", DEFECTS)
def test_a_defect_is_named(reason):
    spoilt = DEFECTS[reason](GOOD)
    assert spoilt != GOOD
    with pytest.raises(exposition.Defect) as defect:
        exposition.parse(spoilt)
    assert reason in str(defect.value)


def test_a_fallen_counter_is_seen():
    before = exposition.parse(GOOD)
    assert exposition.regressions(before, before) == []
    after = exposition.parse(GOOD.replace(b"7.25", b"7"))
    assert len(exposition.regressions(before, after)) == 1
    after = exposition.parse(GOOD.replace(b"-3.5", b"-4"))
    assert exposition.regressions(before, after) == []

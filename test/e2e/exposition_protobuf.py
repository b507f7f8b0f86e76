"""Delimited io.prometheus.client.MetricFamily messages, read by nothing but the format's description.

A field that is not known, comes twice, or has another wire type is a defect, and so is a part that
the format allows and nothing here has: summaries, time stamps, counts that are no whole numbers.
"""
import math
import struct

from families import (
    NAME, RESERVED_TEXT, Defect, Exemplar, Exposition, Family, Histogram, Native, check_exemplar_labels,
    check_family, check_names, check_pairs, check_sum, go_format,
)

VARINT, FIXED64, BYTES = 0, 1, 2

TYPES = {0: "counter", 1: "gauge", 4: "histogram"}

# Messages: field number -> (name, kind). Kinds: a scalar, a message, or [either] where it may repeat.
TIMESTAMP = {1: ("seconds", "int"), 2: ("nanos", "int")}
PAIR = {1: ("name", "string"), 2: ("value", "string")}
EXEMPLAR = {1: ("label", [PAIR]), 2: ("value", "double"), 3: ("timestamp", TIMESTAMP)}
BUCKET = {1: ("cumulative_count", "uint"), 2: ("upper_bound", "double"), 3: ("exemplar", EXEMPLAR)}
SPAN = {1: ("offset", "sint"), 2: ("length", "uint")}
HISTOGRAM = {
    1: ("sample_count", "uint"), 2: ("sample_sum", "double"), 3: ("bucket", [BUCKET]),
    5: ("schema", "sint"), 6: ("zero_threshold", "double"), 7: ("zero_count", "uint"),
    12: ("positive_span", [SPAN]), 13: ("positive_delta", ["sint"]), 16: ("exemplars", [EXEMPLAR]),
}
COUNTER = {1: ("value", "double"), 2: ("exemplar", EXEMPLAR)}
GAUGE = {1: ("value", "double")}
METRIC = {1: ("label", [PAIR]), 2: ("gauge", GAUGE), 3: ("counter", COUNTER), 7: ("histogram", HISTOGRAM)}
FAMILY = {
    1: ("name", "string"), 2: ("help", "string"), 3: ("type", "uint"), 4: ("metric", [METRIC]),
    5: ("unit", "string"),
}
WIRE = {"uint": VARINT, "int": VARINT, "sint": VARINT, "double": FIXED64, "string": BYTES}


def varint(data, at, place):
    """(number, where it ends)."""
    number, shift = 0, 0
    while True:
        if at == len(data):
            raise Defect(place, "a torn varint")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
        if shift == 70:
            raise Defect(place, "a varint of more than ten bytes")
    if number >= 1 << 64:
        raise Defect(place, "a varint of more than 64 bits")
    return number, at


def _fields(data, place):
    """(number, wire type, value) of each; bytes, or an int whatever it is to mean."""
    at = 0
    while at < len(data):
        key, at = varint(data, at, place)
        wire = key & 7
        if wire == VARINT:
            value, at = varint(data, at, place)
        elif wire in (FIXED64, BYTES):
            length, at = varint(data, at, place) if wire == BYTES else (8, at)
            if length > len(data) - at:
                raise Defect(place, "a torn field")
            value, at = data[at : at + length], at + length
        else:
            raise Defect(place, f"wire type {wire}")
        yield key >> 3, wire, value


def _scalar(kind, value, place):
    if kind == "string":
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Defect(place, f"not UTF-8: {error}") from None
    if kind == "double":
        return struct.unpack("<d", value)[0]
    if kind == "sint":
        return value >> 1 ^ -(value & 1)
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    return value


def _packed(kind, data, place):
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at, place)
        out.append(_scalar(kind, value, place))
    return out


def _message(data, shape, place):
    """name -> value, or a list where it repeats; what is absent is absent, or an empty list."""
    out = {name: [] for name, kind in shape.values() if isinstance(kind, list)}
    for field, wire, value in _fields(data, place):
        if field not in shape:
            raise Defect(place, f"unknown field {field}")
        name, kind = shape[field]
        repeated = isinstance(kind, list)
        one = kind[0] if repeated else kind
        if repeated and one == "sint" and wire == BYTES:
            out[name] += _packed(one, value, place)
            continue
        if wire != (BYTES if isinstance(one, dict) else WIRE[one]):
            raise Defect(place, f"field {name} with wire type {wire}")
        read = _message(value, one, place) if isinstance(one, dict) else _scalar(one, value, place)
        if repeated:
            out[name].append(read)
        elif name in out:
            raise Defect(place, f"field {name} twice")
        else:
            out[name] = read
    return out


def _need(message, place, *names):
    for name in names:
        if name not in message:
            raise Defect(place, f"no {name}")


def _pairs(message, place):
    for pair in message["label"]:
        _need(pair, place, "name", "value")
    return [(pair["name"], pair["value"]) for pair in message["label"]]


def _exemplar(message, place):
    _need(message, place, "value")
    stamp = message.get("timestamp")
    if stamp is not None and not 0 <= stamp.get("nanos", 0) < 10**9:
        raise Defect(place, f"the time stamp of an exemplar: {stamp}")
    seconds = None if stamp is None else stamp.get("seconds", 0) + stamp.get("nanos", 0) / 1e9
    exemplar = Exemplar(tuple(_pairs(message, place)), message["value"], seconds)
    check_exemplar_labels(exemplar, place)
    return exemplar


def _is_native(message):
    return "schema" in message or "zero_threshold" in message or bool(message["positive_span"])


def _classic(family, pairs, message):
    """Its samples are those of the text formats; +Inf may be left to be understood."""
    place = family.name
    _need(message, place, "sample_count", "sample_sum")
    if message["exemplars"]:
        raise Defect(place, "exemplars outside the buckets of a classic histogram")
    if any(key == "le" for key, _ in pairs):
        raise Defect(place, "le belongs to the buckets of a histogram, and to each of them")
    child = Histogram(sum=message["sample_sum"], count=message["sample_count"])
    for bucket in message["bucket"]:
        _need(bucket, place, "cumulative_count", "upper_bound")
        if math.isnan(bucket["upper_bound"]):
            raise Defect(place, "a bucket up to NaN")
        child.buckets.append((bucket["upper_bound"], bucket["cumulative_count"]))
        labels = [*pairs, ("le", go_format(bucket["upper_bound"]))]
        key = family.add(family.name + "_bucket", labels, bucket["cumulative_count"], place)
        if "exemplar" in bucket:
            family.exemplars[key] = _exemplar(bucket["exemplar"], place)
    if child.buckets and child.buckets[-1][0] != math.inf:
        if child.buckets[-1][1] > child.count:
            raise Defect(place, f"histogram {place}: a bucket of more than sample_count")
        child.buckets.append((math.inf, child.count))
        family.add(family.name + "_bucket", [*pairs, ("le", "+Inf")], child.count, place)
    family.add(family.name + "_sum", pairs, child.sum, place)
    family.add(family.name + "_count", pairs, child.count, place)
    family.histograms[tuple(sorted(pairs))] = child


def _native_buckets(message, place):
    spans, deltas = message["positive_span"], message["positive_delta"]
    index, count, buckets, left = 0, 0, {}, list(deltas)
    for at, span in enumerate(spans):
        offset, length = span.get("offset", 0), span.get("length", 0)
        if at and offset < 0:
            raise Defect(place, f"a span at {offset} of the one before")
        if not length and (offset or len(spans) > 1):
            raise Defect(place, "an empty span")
        index += offset
        if length > len(left):
            raise Defect(place, "spans of more buckets than there are deltas")
        for delta in left[:length]:
            count += delta
            if count < 0:
                raise Defect(place, f"bucket {index} counts {count}")
            buckets[index] = count
            index += 1
        left = left[length:]
    if left:
        raise Defect(place, "deltas of more buckets than there are in spans")
    return buckets


def _native(family, pairs, message):
    place = family.name
    _need(message, place, "sample_count", "sample_sum", "schema", "zero_threshold")
    if message["bucket"]:
        raise Defect(place, "a classic histogram and a native one in the same family")
    if not -4 <= message["schema"] <= 8:
        raise Defect(place, f"schema {message['schema']}")
    if not 0 <= message["zero_threshold"] < math.inf:
        raise Defect(place, f"zero threshold {message['zero_threshold']}")
    if not message["positive_span"] and not message["zero_threshold"]:
        raise Defect(place, "nothing tells it from a classic histogram without buckets")
    native = Native(
        message["schema"], message["zero_threshold"], message.get("zero_count", 0),
        _native_buckets(message, place), message["sample_sum"], message["sample_count"],
        [_exemplar(each, place) for each in message["exemplars"]],
    )
    check_sum(place, native.sum, place)
    counted = sum(native.buckets.values()) + native.zero
    if counted != native.count:
        raise Defect(place, f"the buckets count {counted}, sample_count is {native.count}")
    _native_exemplars(native, place)
    family.natives[tuple(sorted(pairs))] = native
    family.add(family.name + "_sum", pairs, native.sum, place)
    family.add(family.name + "_count", pairs, native.count, place)


def _native_exemplars(native, place):
    for exemplar in native.exemplars:
        if exemplar.timestamp is None:
            raise Defect(place, "an exemplar of a native histogram without a time stamp")
        if exemplar.value > native.zero_threshold and not any(
            low < exemplar.value <= high and count for low, high, count in native.shares()
        ):
            raise Defect(place, f"an exemplar of {exemplar.value}, and no such value was counted")


def _metric(family, metric):
    place = family.name
    pairs = _pairs(metric, place)
    check_pairs(pairs, place)
    kinds = [name for name in ("counter", "gauge", "histogram") if name in metric]
    if len(kinds) != 1 or kinds[0] != ("histogram" if family.type == "native" else family.type):
        raise Defect(place, f"a {family.type} with a value of {kinds}")
    value = metric[kinds[0]]
    if family.type == "native":
        _native(family, pairs, value)
    elif family.type == "histogram":
        _classic(family, pairs, value)
    else:
        _need(value, place, "value")
        key = family.add(family.name, pairs, value["value"], place)
        if "exemplar" in value:
            family.exemplars[key] = _exemplar(value["exemplar"], place)


def _family(message):
    _need(message, "a family", "name")
    place = message["name"]
    if not NAME.match(place):
        raise Defect(0, f"metric name {place!r}")
    _need(message, place, "help", "type")
    family = Family(place, message["help"])
    if not family.help:
        raise Defect(place, f"family {place} without HELP")
    family.unit = message.get("unit")
    if family.unit is not None and not place.endswith("_" + family.unit):
        raise Defect(place, f"the name of {place} does not end in its unit {family.unit!r}")
    if message["type"] not in TYPES:
        raise Defect(place, f"type {message['type']}")
    family.type = TYPES[message["type"]]
    if family.type == "histogram":
        natives = {_is_native(metric.get("histogram", {"positive_span": []})) for metric in message["metric"]}
        if len(natives) == 2:
            raise Defect(place, "a classic histogram and a native one in the same family")
        family.type = "native" if natives == {True} else "histogram"
    for metric in message["metric"]:
        _metric(family, metric)
    if not family.samples:
        raise Defect(place, f"family {place} without samples")
    check_family(family, place)
    return family


def parse(data):
    """The families of a whole body; Defect says what is wrong with it."""
    result, at, before = Exposition(), 0, None
    while at < len(data):
        length, at = varint(data, at, 0)
        if length > len(data) - at:
            raise Defect(0, f"a message of {length} bytes, and {len(data) - at} are left")
        family = _family(_message(data[at : at + length], FAMILY, before or 0))
        at += length
        if family.name in result.families:
            raise Defect(family.name, f"family {family.name} twice")
        if before and not before < family.name:
            raise Defect(family.name, f"family {family.name} after {before}")
        before = family.name
        result.families[family.name] = family
    check_names(result, RESERVED_TEXT)
    return result

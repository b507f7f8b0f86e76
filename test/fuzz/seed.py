#!/usr/bin/python3
"""Writes a first corpus for each target into FOLDER/TARGET/.

usage: seed.py FOLDER

What is committed in corpus/ grew out of these by fuzzing, and was minimised.
"""
import base64
import gzip
import json
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import runs  # noqa: E402

ROOT = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)


def seed(target, name, data):
    folder = os.path.join(ROOT, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode("latin-1"))


# -- The small codecs --

for number, text in enumerate(
    ["1n", "99999999H", "00000001S", "100m", "5u", "3M", "0n", "", "S", "123456789S", "1x", "-1S", "1.5S", " 1S"]
):
    seed("timeout", str(number), text)
seed("timeout", "large", b"\x7f" + b"\xff" * 7)

SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
for number, text in enumerate(
    [SPECIAL.encode(), b"plain", b"%", b"%%", b"%4", b"%41%zz%5a", b"100%25", b"\xff\xfe", b"a\xe2\x98", b"%E2%98%BA", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
):
    seed("percent", str(number), text)

for number, text in enumerate(
    [
        "0none", "050ms", "0uniform:0s,5s", "0normal:20ms,5ms", "0normal:1h,1h", "0exponential:10ms", "0exponential:1h",
        "0150us:10,2ms:5,0.5s:1", "0p50=2ms,p90=10ms,p99=80ms", "0p100=0s", "0normal:0s,1ns", "0uniform:-1s,1h",
        "1UNAVAILABLE:2,INTERNAL:0.5", "1OK:1", "1INTERNAL:99.9999999,ABORTED:0.0000001\n2none", "1INTERNAL:1,INTERNAL:1",
        "2reset:1,close:2,hang:3,truncate:94\n3every-nth", "1ABORTED:50\n2reset:50.1\n3random", "418446744073709551615",
        "51h\n6not-serving", "51h1ns", "7x", "1none\n2none\n3every-nth\n40\n51ms\n6serving\n0none",
        "1CANCELLED:5,UNKNOWN:5,INVALID_ARGUMENT:5,DEADLINE_EXCEEDED:5,NOT_FOUND:75\n3every-nth\n2hang:5",
    ]
):
    seed("faults", str(number), text)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
for number, text in enumerate(
    [
        f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01-more", f"01-{TRACE}-{SPAN}-01x", f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
    ]
):
    seed("traceparent", str(number), text)

for number in range(8):
    raw = bytes(range(number * 7, number * 8 + 1))
    seed("base64", f"padded-{number}", base64.b64encode(raw))
    seed("base64", f"unpadded-{number}", base64.b64encode(raw).rstrip(b"="))
for number, text in enumerate([b"A", b"A===", b"AA=", b"=", b"====", b"a-_b", b"AB=C", b"AAAA====", b"A\0AA", b"++//"]):
    seed("base64", f"odd-{number}", text)

for number, text in enumerate(
    [
        "# HELP x Some \\n words.\n# TYPE x counter\nx 1\n",
        'x_bucket{le="0.5"} 3\nx_bucket{le="+Inf"} 4\nx_sum 1.5e+06\nx_count 4\n',
        ' x {\ta = "1" , b="\\\\ \\" \\n",} NaN 1395066363000\n\n',
        "# TYPE x unknown\n# UNIT x s\nx_total 17.0 15.5 # {t=\"\"} 0.67 1.5\n# EOF\n",
        "x 999999999999999\ny 1e-05\nz -.5\nw 0x1\n",
        'x{a="\u00e4",a="1"} -Inf\n',
        "x 1",
    ]
):
    seed("exposition", str(number), text.encode())

ANSWER = "HTTP/1.1 200 OK\r\n"
for number, text in enumerate(
    [
        ANSWER + "Content-Length: 5\r\n\r\nhello",
        ANSWER + "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
        ANSWER + "\r\nuntil the end",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ANSWER + "Content-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.0 302 Found\r\nLocation: /\r\nConnection: keep-alive\r\n\r\n",
        "SSH-2.0-x\r\n",
    ]
):
    for choices in (0x00, 0x02, 0x24, 0xE3):
        seed("http1_client", f"{number}-{choices:02x}", bytes([choices]) + text.encode())

for name, run in {
    "closed": runs.run([1000, 2000, 3_000_000]),
    "open": runs.run([150_000] * 9, failed=[2_000_000], name="open", rate=10),
    "none": runs.run([]),
}.items():
    seed("report", name, json.dumps(run))

CAP = b"\x0a"
for number, lines in enumerate(
    [
        ["te:trailers", "content-type:application/grpc", "x-a:1", "x-a:2", "x-b-bin:AAEC"],
        ["x-bin:AAEC,Aw==,,AwQ", "x-bin:", "y-bin:a-_b"],
        ["x-a:  padded \t", "X-Upper:1", "x space:1", "x-obs:\xff\x80", ":path:/a/b"],
        ["grpc-status:0", "grpc-status-details-bin:CAUSAA", "grpc-previous-rpc-attempts:3", "grpc-retry-pushback-ms:-1"],
        ["grpc-timeout:1S", "grpc-tags-bin:AA", "host:a", "connection:close", "transfer-encoding:chunked", "upgrade:h2c"],
        ["a-bin:" + "," * 100],
        ["x" * 200 + ":" + "y" * 900],
    ]
):
    seed("metadata", str(number), CAP + "\n".join(lines).encode("latin-1"))
seed("metadata", "no-room", b"\x00" + b"x-a:1\nx-b:2\nx-c-bin:AAAA")


def message(payload, flag=0, length=None):
    return struct.pack(">BI", flag, len(payload) if length is None else length) + payload


def cut(pieces, data, most=1000, choices=0):
    return struct.pack(">HBB", most, choices, len(pieces)) + bytes(pieces) + data


TWO = message(b"hello") + message(b"world!")
seed("deframer", "whole", cut([], TWO))
seed("deframer", "bytes", cut([1] * 40, TWO, choices=1))
seed("deframer", "prefix-1-4", cut([1, 4, 5, 3, 2], TWO))
seed("deframer", "empty", cut([5, 5], message(b"") * 4))
seed("deframer", "flag", cut([3], message(b"hello") + message(b"x", flag=1)))
seed("deframer", "flag-2", cut([1], message(b"x", flag=2)))
seed("deframer", "too-long", cut([2, 2, 2], message(b"x" * 20, length=1001)))
seed("deframer", "one-too-long", cut([], message(b"x" * 21), most=20))
seed("deframer", "promise", cut([], message(b"x" * 20, length=1000)))
seed("deframer", "four-gib", cut([], message(b"x", length=0xFFFFFFFF)))
seed("deframer", "hundred", cut([7, 11, 13], message(b"m") * 100))
seed("deframer", "torn", cut([4], message(b"hello") + b"\0\0"))

seed("deframer", "compressed", cut([3, 3], message(b"hello", flag=1) + message(b"x"), choices=2))
seed("deframer", "compressed-longer", cut([5], message(b"x" * 30, flag=1), most=20, choices=2))

# -- gzip and protobuf --

for number, raw in enumerate([b"", b"hello", b"a" * 1000, bytes(range(256)), SPECIAL.encode()]):
    for most in (len(raw), max(len(raw) - 1, 0), 65535):
        seed("codec", f"{number}-{most}", struct.pack(">H", most) + gzip.compress(raw, mtime=0))
BOMB = gzip.compress(b"\0" * 100000, mtime=0)
seed("codec", "bomb", b"\x10\0" + BOMB)
seed("codec", "torn", b"\x10\0" + BOMB[:40])
seed("codec", "trailing", b"\x10\0" + gzip.compress(b"hello", mtime=0) + b"x")
seed("codec", "two-members", b"\x10\0" + gzip.compress(b"a", mtime=0) * 2)
seed("codec", "zlib", b"\x10\0" + zlib.compress(b"hello"))
seed("codec", "named", b"\x10\0\x1f\x8b\x08\x1e" + b"\0" * 6 + b"\2\0ab" + b"name\0note\0\0\0" + gzip.compress(b"x", mtime=0)[10:])
seed("codec", "plain", b"\x10\0" + b"to be packed " * 20)

LEAF = b"\x0a\x03abc\x12\x02\0\xff"
for number, wire in enumerate(
    [
        LEAF,
        b"\x1a" + bytes([len(LEAF)]) + LEAF,
        (b"\x22" + bytes([len(LEAF)]) + LEAF) * 3,
        b"\x2a\1a\x2a\1b\x32\3\1\2\3\x30\5",
        b"\x3a\x10" + b"\1\0\0\0\0\0\0\0" * 2,
        b"\x40\7\x4a\1t\x52\0\x5d\1\2\3\4\x61" + b"\0" * 8 + b"\x80\xea\x30\1",
        b"\x80\xe2\x09\x07",
        b"\x83\xe2\x09\x0b\x08\1\x0c\x84\xe2\x09",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
        b"\x0a\x01\xff",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0b\x0b\x0b\x0c\x0c\x0c",
        b"\x1a\2\x1a\0" * 3,
    ]
):
    seed("message", f"{number}-tree", b"\0" + wire)
    seed("message", f"{number}-echo", b"\1" + wire)
    seed("message", f"{number}-small", b"\2" + wire)
deep = b""
for _ in range(40):
    deep = b"\x1a" + bytes([len(deep)]) + deep
seed("message", "deep", b"\0" + deep)

# -- HTTP/1 --

HOST = "Host: localhost:2112\r\n"
REQUESTS = {
    "get": f"GET /metrics HTTP/1.1\r\n{HOST}User-Agent: Prometheus/2.42.0\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\nAccept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
    "head": f"HEAD / HTTP/1.1\r\n{HOST}\r\n",
    "old": "GET /metrics?a=b HTTP/1.0\r\n\r\n",
    "old-alive": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "pipelined": f"GET /a HTTP/1.1\r\n{HOST}\r\nGET /b HTTP/1.1\r\n{HOST}Connection: close\r\n\r\nGET /c HTTP/1.1\r\n{HOST}\r\n",
    "body": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n{HOST}\r\n",
    "chunked": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n",
    "chunk-extension": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "both-lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "expect": f"POST / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "expect-chunked": f"POST / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "expect-late": f"POST / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhe\xff\x04\x00llo\xff\x00\xff",
    "cut-body": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 30\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nxxxGET / HTTP/1.1\r\n{HOST}\r\n",
    "upgrade": f"GET / HTTP/1.1\r\n{HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "absolute": f"GET http://localhost:2112/metrics?x HTTP/1.1\r\n{HOST}\r\n",
    "asterisk": f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n",
    "connect": f"CONNECT a:443 HTTP/1.1\r\n{HOST}\r\n",
    "no-host": "GET / HTTP/1.1\r\n\r\n",
    "two-hosts": f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "obs-fold": f"GET / HTTP/1.1\r\n{HOST}A: b\r\n c\r\n\r\n",
    "bare-lf": "GET / HTTP/1.1\nHost: a\n\n",
    "space-before-colon": f"GET / HTTP/1.1\r\n{HOST}A : b\r\n\r\n",
    "empty-lines": f"\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n",
    "version": f"GET / HTTP/2.0\r\n{HOST}\r\n",
    "preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown-method": f"BREW / HTTP/1.1\r\n{HOST}\r\n",
    "long-target": f"GET /{'x' * 200} HTTP/1.1\r\n{HOST}\r\n",
    "many-headers": f"GET / HTTP/1.1\r\n{HOST}" + "A: b\r\n" * 70 + "\r\n",
    "late": f"GET / HTTP/1.1\r\nHo\xff\x00\xff",
    "eof": f"GET / HTTP/1.1\r\n{HOST}\r\n\xff\x01\x00",
    "drained": f"GET / HTTP/1.1\r\n{HOST}\r\n\xff\x02\x00GET / HTTP/1.1\r\n{HOST}\r\n",
    "drained-now": f"GET / HTTP/1.1\r\n\xff\x03\x00",
    "idle": f"GET / HTTP/1.1\r\n{HOST}\r\n\xff\x04\x00\xff\x00\xff\xff\x00\xff\xff\x00\xff",
}
for name, text in REQUESTS.items():
    for choices in (0x00, 0x21, 0x42, 0x6C, 0x93):
        if choices == 0 or len(text) < 120:
            seed("http1", f"{name}-{choices:02x}", bytes([choices]) + text.encode("latin-1"))

# -- HTTP/2: conversations as the frames of one side, with asides to the harness (host.h) --

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1
ADVANCE, ROOM, PIECE, EOF, DRAIN, RAW, NO_MEMORY, ACT, CALL, CONNECT = range(10)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def aside(what, argument=0, payload=b""):
    return frame(0xF0, what, argument, payload)


def fields(pairs, encoder=None):
    """A block: by hpack with its table and Huffman, or literal."""
    if encoder:
        return encoder.encode(pairs)
    block = b""
    for name, value in pairs:
        name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
        assert len(name) < 127 and len(value) < 127
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return block


def request(path, *more, method="POST", content="application/grpc"):
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"),
            ("te", "trailers"), ("content-type", content), *more]


def call(stream, path, body, *more, end=True):
    return frame(HEADERS, END_HEADERS, stream, fields(request(path, *more))) + frame(DATA, END_STREAM if end else 0, stream, body)


def script(*acts):
    return message(bytes(argument << 4 | act for act, argument in acts))


SEND, FINISH, CANCEL, HOLD, NEXT, SEND_HEADERS, ADD_HEADER, ADD_TRAILER, COMPRESS, DETAILS, LATER, PUMP, LOOK, HALF_CLOSE, OK = range(1, 16)
ECHO = "/muzz.Service/Echo"
HELLO = message(b"\x0a\x05hello")
START = PREFACE + frame(SETTINGS, 0, 0)
ACKED = START + frame(SETTINGS, ACK, 0)


def literal(*pieces):
    return b"".join(pieces)


SERVER = {
    "echo": literal(ACKED, call(1, ECHO, HELLO)),
    "unary": literal(ACKED, call(1, "/f.F/U", script((SEND, 1), (OK, 0)))),
    "client-stream": literal(ACKED, call(1, "/f.F/C", script((LOOK, 0)) * 3 + script((SEND, 2), (OK, 0)))),
    "server-stream": literal(ACKED, call(1, "/f.F/S", script((PUMP, 0)) ), frame(WINDOW, 0, 0, b"\x00\x10\x00\x00"), frame(WINDOW, 0, 1, b"\x00\x10\x00\x00")),
    "bidi": literal(ACKED, call(1, "/f.F/B", script((SEND, 3)), end=False), aside(ADVANCE, 10), frame(DATA, 0, 1, script((SEND, 1), (ADD_TRAILER, 2))), frame(DATA, END_STREAM, 1, script((FINISH, 5)))),
    "hold": literal(ACKED, call(1, "/f.F/B", script((HOLD, 0)) + script((SEND, 1)) + script((OK, 0)), end=False), aside(ACT, 0, b"\x05"), frame(DATA, END_STREAM, 1)),
    "later": literal(ACKED, call(1, "/f.F/C", script((HOLD, 0), (LATER, 3)) + script((OK, 0))), aside(ADVANCE, 9), aside(ADVANCE, 100)),
    "gzip": literal(ACKED, call(1, "/f.F/B", message(b"\x1f\x8b\x08\0\0\0\0\0\0\3\x13\x60\x04\0\x9e\x0d\x1a\xa1\2\0\0\0", flag=1), ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip,identity"), end=False), frame(DATA, END_STREAM, 1, script((COMPRESS, 1), (SEND, 9), (OK, 0)))),
    "details": literal(ACKED, call(1, "/f.F/U", script((DETAILS, 5)))),
    "headers-first": literal(ACKED, call(1, "/f.F/U", script((ADD_HEADER, 0), (SEND_HEADERS, 0), (ADD_TRAILER, 2), (SEND, 1), (FINISH, 3)))),
    "do-at-once": literal(ACKED, call(1, "/f.F/B", b"", ("do-bin", "ERIE"))),
    "timeout": literal(ACKED, frame(HEADERS, END_HEADERS, 1, fields(request("/f.F/B", ("grpc-timeout", "50m")))), aside(ADVANCE, 49), aside(ADVANCE, 2)),
    "no-time": literal(ACKED, call(1, ECHO, HELLO, ("grpc-timeout", "0n"))),
    "reset": literal(ACKED, call(1, ECHO, HELLO, end=False), frame(RST, 0, 1, b"\0\0\0\x08")),
    "rapid-reset": literal(ACKED, *[call(n, ECHO, HELLO) + frame(RST, 0, n, b"\0\0\0\x08") for n in range(1, 41, 2)]),
    "many": literal(ACKED, *[call(n, ECHO, HELLO) for n in range(1, 61, 2)]),
    "interleaved": literal(ACKED, *[frame(HEADERS, END_HEADERS, n, fields(request(ECHO))) for n in (1, 3, 5)], *[frame(DATA, END_STREAM * last, n, HELLO[4 * part : 4 * part + 4]) for part, last in ((0, 0), (1, 0), (2, 1)) for n in (1, 3, 5)]),
    "stuck": literal(ACKED, aside(ROOM, 0), *[call(n, ECHO, message(b"\x0a\x64" + b"x" * 100)) for n in range(1, 21, 2)], aside(ADVANCE, 1000), aside(ROOM, 0x7FFFFFFF)),
    "pieces": literal(aside(PIECE, 1), ACKED, call(1, ECHO, HELLO), frame(PING, 0, 0, b"12345678")),
    "get": literal(ACKED, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(request("/", method="GET", content="text/html")))),
    "head": literal(ACKED, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(request("/", method="HEAD", content="text/html")))),
    "not-grpc": literal(ACKED, frame(HEADERS, END_HEADERS, 1, fields(request("/", content="text/plain"))), frame(DATA, END_STREAM, 1, b"hello")),
    "unknown-method": literal(ACKED, call(1, "/a/b", HELLO)),
    "two-messages": literal(ACKED, call(1, ECHO, HELLO + HELLO)),
    "no-message": literal(ACKED, call(1, ECHO, b"")),
    "torn": literal(ACKED, call(1, ECHO, HELLO[:-2])),
    "flag": literal(ACKED, call(1, ECHO, message(b"x", flag=1))),
    "too-long": literal(ACKED, call(1, ECHO, message(b"x", length=1 << 24))),
    "bad-utf-8": literal(ACKED, call(1, ECHO, message(b"\x0a\x01\xff"))),
    "trailers": literal(ACKED, call(1, ECHO, HELLO, end=False), frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([("x-a", "1")]))),
    "continuation": literal(ACKED, frame(HEADERS, END_STREAM, 1, fields(request(ECHO))[:20]), frame(CONTINUATION, END_HEADERS, 1, fields(request(ECHO))[20:])),
    "padded": literal(ACKED, frame(HEADERS, END_HEADERS, 1, fields(request(ECHO))), frame(DATA, END_STREAM | PADDED, 1, b"\x08" + HELLO + b"\0" * 8)),
    "priority": literal(ACKED, frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"), call(1, ECHO, HELLO)),
    "windows": literal(PREFACE, frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1"), call(1, ECHO, HELLO), *[frame(WINDOW, 0, 1, b"\0\0\0\1")] * 6, frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff")),
    "settings": literal(PREFACE, frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0\0\2\0\0\0\0\0\3\0\0\0\1\0\5\0\0\x40\0\0\6\0\0\0\x40"), call(1, ECHO, HELLO)),
    "large-header": literal(ACKED, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(request(ECHO, *[("x-a", "y" * 100)] * 8)))),
    "goaway": literal(ACKED, call(1, ECHO, HELLO, end=False), frame(GOAWAY, 0, 0, b"\0" * 8), frame(DATA, END_STREAM, 1)),
    "drain": literal(ACKED, call(1, "/f.F/B", script((PUMP, 0)), end=False), aside(DRAIN, 0), frame(PING, ACK, 0, b"draining"), frame(DATA, END_STREAM, 1)),
    "drain-mute": literal(ACKED, aside(DRAIN, 0), aside(ADVANCE, 6000)),
    "drain-now": literal(ACKED, call(1, ECHO, HELLO, end=False), aside(DRAIN, 1)),
    "pings": literal(ACKED, *[frame(PING, 0, 0, b"12345678")] * 20),
    "silence": aside(ADVANCE, 11000),
    "half-preface": literal(aside(RAW, 0, PREFACE[:10]), aside(ADVANCE, 1), aside(RAW, 0, PREFACE[10:] + frame(SETTINGS, 0, 0))),
    "keepalive": literal(ACKED, aside(ADVANCE, 1100), frame(PING, ACK, 0, b"12345678"), aside(ADVANCE, 1100), aside(ADVANCE, 21000)),
    "idle": literal(ACKED, call(1, ECHO, HELLO), aside(ADVANCE, 1900), call(3, ECHO, HELLO), aside(ADVANCE, 2100), frame(PING, ACK, 0, b"draining")),
    "age": literal(ACKED, call(1, "/f.F/B", b"", end=False), aside(ADVANCE, 3400), frame(PING, ACK, 0, b"draining"), aside(ADVANCE, 1100)),
    "slow-headers": literal(ACKED, aside(RAW, 0, frame(HEADERS, END_HEADERS, 1, fields(request(ECHO)))[:30]), aside(ADVANCE, 10100)),
    "slow-data": literal(ACKED, aside(RAW, 0, call(1, ECHO, HELLO)[:-5]), aside(ADVANCE, 9000), aside(RAW, 0, b"h"), aside(ADVANCE, 9000), aside(ADVANCE, 2000)),
    "stalled-stream": literal(PREFACE, frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"), call(1, ECHO, HELLO), aside(ADVANCE, 20000), aside(ADVANCE, 20000)),
    "glitches": literal(ACKED, *[frame(DATA, 0, 1)] * 30, *[frame(0x42, 0, 0)] * 30),
    "http1": literal(aside(RAW, 0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    "tls": literal(aside(RAW, 0, b"\x16\3\1\2\0\1\0\1\xfc\3\3" + b"\0" * 40)),
    "no-memory": literal(ACKED, aside(NO_MEMORY, 7), call(1, ECHO, HELLO), aside(NO_MEMORY, 0x0203), call(3, "/f.F/U", script((SEND, 2), (OK, 0)))),
    "health-check": literal(ACKED, call(1, "/grpc.health.v1.Health/Check", message(b"\x0a\x03f.F")), call(3, "/grpc.health.v1.Health/Check", message(b"\x0a\x01x")), call(5, "/grpc.health.v1.Health/List", message(b""))),
    "health-watch": literal(ACKED, call(1, "/grpc.health.v1.Health/Watch", message(b"\x0a\x03f.F")), call(3, "/grpc.health.v1.Health/Watch", message(b"")), aside(CALL, 2), aside(CALL, 5), aside(ROOM, 0), aside(CALL, 1), aside(CONNECT), aside(ROOM, 0x7FFFFFFF), aside(DRAIN)),
    "reflection": literal(ACKED, call(1, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"".join(message(ask) for ask in (b"\x3a\0", b"\x22\x0cmuzz.Service", b"\x22\x11muzz.Service.Echo", b"\x1a\x12muzz/service.proto", b"\x32\1x", b"\x2a\4\x0a\1x\x10", b"")))),
    "reflection-v1alpha": literal(ACKED, call(1, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", message(b"\x0a\1a\x3a\0"), end=False), aside(ROOM, 0), frame(DATA, 0, 1, message(b"\x22\x15grpc.health.v1.Health") * 9), aside(ROOM, 0x7FFFFFFF)),
    "interop-unary": literal(ACKED, call(1, "/grpc.testing.TestService/EmptyCall", message(b"")), call(3, "/grpc.testing.TestService/UnaryCall", message(b"\x10\x64\x1a\7\x12\5hello")), call(5, "/grpc.testing.TestService/UnaryCall", message(b"\x3a\6\x08\2\x12\2no"))),
    "interop-streams": literal(ACKED, call(1, "/grpc.testing.TestService/StreamingInputCall", message(b"\x0a\4\x12\2ab") * 3), call(3, "/grpc.testing.TestService/StreamingOutputCall", message(b"\x12\2\x08\x20\x12\5\x08\x20\x10\x90\x4e")), call(5, "/grpc.testing.TestService/FullDuplexCall", message(b"\x12\2\x08\x20") * 2), call(7, "/grpc.testing.TestService/HalfDuplexCall", message(b"\x12\2\x08\x20") * 2), aside(ADVANCE, 20)),
    "eof-in-call": literal(ACKED, call(1, "/f.F/B", HELLO, end=False), aside(EOF)),
}
try:
    import hpack

    encoder = hpack.Encoder()
    SERVER["huffman"] = literal(ACKED, *[frame(HEADERS, END_HEADERS, n, fields(request(ECHO, ("user-agent", "grpc-go/1.60.0"), ("grpc-timeout", "999999u"), ("x-request-id", "0123456789"), ("x-bin", "AAEC")), encoder)) + frame(DATA, END_STREAM, n, HELLO) for n in (1, 3, 5)])
except ImportError:
    print("no python3-hpack: no seed with its compression", file=sys.stderr)

for name, text in SERVER.items():
    for choices, more in ((0x00, 0x00), (0x41, 0x01), (0x86, 0x06), (0x38, 0x3F), (0xFF, 0x1F)):
        seed("server_session", f"{name}-{choices:02x}", bytes([choices, more]) + text)

RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]
READY = frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)


def reply(stream, body, trailers=TRAILERS, head=RESPONSE):
    return frame(HEADERS, END_HEADERS, stream, fields(head)) + frame(DATA, 0, stream, body) + frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(trailers))


def made(how=0, acts=b"\x11\x0e"):
    return aside(CALL, how, acts) + aside(ADVANCE, 0) + aside(CONNECT, 0)


OUT = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"")
CLIENT = {
    "unary": literal(made(0), READY, reply(1, message(b"\0"))),
    "bidi": literal(made(3, b"\x11"), READY, reply(1, script((SEND, 1)) * 3)),
    "server-stream": literal(made(2), READY, reply(1, script((HOLD, 0)) + script((LOOK, 0))), aside(ACT, 0, b"\x05")),
    "pump": literal(made(1, b"\x0c"), READY, frame(WINDOW, 0, 0, b"\0\1\0\0"), frame(WINDOW, 0, 1, b"\0\1\0\0"), reply(1, message(b""))),
    "gzip": literal(made(7, b"\x91\x0e"), READY, reply(1, message(b"\x1f\x8b\x08\0\0\0\0\0\0\3\x13\x60\x04\0\x9e\x0d\x1a\xa1\2\0\0\0", flag=1), head=RESPONSE + [("grpc-encoding", "gzip")])),
    "trailers-only": literal(made(), READY, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(RESPONSE + [("grpc-status", "5"), ("grpc-message", "no%20such"), ("grpc-status-details-bin", "CAUSAm5v")]))),
    "http-404": literal(made(), READY, frame(HEADERS, END_HEADERS, 1, fields([(":status", "404"), ("content-type", "text/html")])), frame(DATA, END_STREAM, 1, b"<html>")),
    "informational": literal(made(), READY, frame(HEADERS, END_HEADERS, 1, fields([(":status", "103")])), reply(1, message(b""))),
    "no-status": literal(made(), READY, reply(1, message(b""), trailers=[("x-a", "1")])),
    "end-on-data": literal(made(), READY, frame(HEADERS, END_HEADERS, 1, fields(RESPONSE)), frame(DATA, END_STREAM, 1, message(b""))),
    "two-replies": literal(made(), READY, reply(1, message(b"") * 2)),
    "deadline": literal(made(0x300), READY, aside(ADVANCE, 48), frame(HEADERS, END_HEADERS, 1, fields(RESPONSE))),
    "deadline-in-queue": literal(aside(CALL, 0x100, b"\x11"), aside(ADVANCE, 17)),
    "cancel": literal(made(3), READY, aside(ACT, 0, b"\x13"), reply(1, message(b""))),
    "refused-stream": literal(made(), READY, frame(RST, 0, 1, b"\0\0\0\7"), reply(3, message(b""))),
    "reset": literal(made(), READY, frame(RST, 0, 1, b"\0\0\0\2")),
    "goaway-unprocessed": literal(made(), READY, frame(GOAWAY, 0, 0, b"\0" * 8), aside(ADVANCE, 2000), aside(CONNECT, 0), READY, reply(1, message(b""))),
    "goaway-pings": literal(made(), READY, frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\x0btoo_many_pings"), reply(1, message(b""))),
    "goaway-twice": literal(made(3), READY, frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"), frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0"), reply(1, message(b""))),
    "one-stream": literal(made(), frame(SETTINGS, 0, 0, b"\0\3\0\0\0\1"), aside(CALL, 0, b"\x11\x0e") * 3, reply(1, message(b"")), reply(3, message(b""))),
    "refused": literal(aside(CALL, 0, b"\x11"), aside(ADVANCE, 0), aside(CONNECT, 1)),
    "wait-for-ready": literal(aside(CALL, 8, b"\x11\x0e"), aside(ADVANCE, 0), aside(CONNECT, 1), aside(ADVANCE, 2000), aside(CONNECT, 0), READY, reply(1, message(b""))),
    "push": literal(made(), READY, frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + fields(request("/x")))),
    "http1": literal(made(), aside(RAW, 0, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), aside(EOF)),
    "ssh": literal(made(), aside(RAW, 0, b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")),
    "silence": literal(made(), aside(ADVANCE, 30000)),
    "lost": literal(made(3), READY, frame(HEADERS, END_HEADERS, 1, fields(RESPONSE)), aside(EOF)),
    "drain": literal(made(3), READY, aside(DRAIN, 0), reply(1, message(b""))),
    "pieces": literal(aside(PIECE, 1), made(), READY, reply(1, message(b"\0"))),
    "stuck": literal(aside(ROOM, 0), made(1, b"\x0c"), READY, aside(ROOM, 0x7FFFFFFF)),
    "no-memory": literal(aside(NO_MEMORY, 3), made(), READY, aside(NO_MEMORY, 2), reply(1, message(b"\0"))),
}
for name, text in CLIENT.items():
    for choices, more in ((0x00, 0x00), (0x50, 0x00), (0xEF, 0x01)):
        seed("client_session", f"{name}-{choices:02x}", bytes([choices, more]) + text)

#!/usr/bin/python3
"""Writes a first corpus for each target into FOLDER/TARGET/.

usage: seed.py FOLDER

What is committed in corpus/ grew out of these by fuzzing, and was minimised.
"""
import base64
import os
import struct
import sys

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

for number in range(8):
    raw = bytes(range(number * 7, number * 8 + 1))
    seed("base64", f"padded-{number}", base64.b64encode(raw))
    seed("base64", f"unpadded-{number}", base64.b64encode(raw).rstrip(b"="))
for number, text in enumerate([b"A", b"A===", b"AA=", b"=", b"====", b"a-_b", b"AB=C", b"AAAA====", b"A\0AA", b"++//"]):
    seed("base64", f"odd-{number}", text)

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
seed("deframer", "promise", cut([], message(b"x" * 20, length=1000)))
seed("deframer", "four-gib", cut([], message(b"x", length=0xFFFFFFFF)))
seed("deframer", "hundred", cut([7, 11, 13], message(b"m") * 100))
seed("deframer", "torn", cut([4], message(b"hello") + b"\0\0"))

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

"""The negative HTTP/2 cases of gRPC's interoperability suite, by its names, against our client.

A server by hand misbehaves as each case says; `echod client` makes the calls. The sizes are the suite's:
271,828 bytes go up and, since the service here is Echo, as many come down.
"""
import json
import re
import struct

import pytest

from frames import MAX_CONCURRENT_STREAMS, NO_ERROR, rst_stream
from host import Serving, host  # noqa: F401 (fixtures)
from load import statuses

TEXT = "x" * 271828


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text(TEXT)
    return f"--message-file={path}"


def calls(run, target, *flags):
    """The summary of a run."""
    return json.loads(run("client", "--output=json", "--progress=off", "--timeout=20s", *flags, target).stdout)


def whole_replies(result, count):
    assert result["calls"]["started"] == count
    assert statuses(result) == {"OK": count}, result


def test_goaway(host, run, text):
    """Sent while the first call is in progress: it is finished, and the second goes to another connection."""
    served = []

    def serve(guest, n):
        server = Serving(guest)
        while True:
            stream = server.request()
            served.append((n, stream))
            if n == 1:
                guest.goaway(stream)
            server.reply(stream)

    whole_replies(calls(run, host(serve).target, text, "--count=2", "--concurrency=1"), 2)
    assert served == [(1, 1), (2, 1)]


def one_call(host, run, text, after):
    """A call whose stream is reset with NO_ERROR behind what `after` sends: one failure, and no second try."""
    served = []

    def serve(guest, _):
        server = Serving(guest)
        while True:
            stream = server.request()
            served.append(stream)
            after(server, stream)
            guest.send(rst_stream(stream, NO_ERROR))

    done = run("client", text, "--timeout=20s", host(serve).target)
    assert (done.returncode, done.stdout) == (1, b""), done
    assert re.search(rb"INTERNAL \(13\)", done.stderr), done.stderr
    assert served == [1]


def test_rst_after_header(host, run, text):
    one_call(host, run, text, lambda server, stream: server.head(stream))


def test_rst_during_data(host, run, text):
    def after(server, stream):
        server.head(stream)
        server.body(stream, server.bodies[stream][: len(TEXT) // 2])

    one_call(host, run, text, after)


def test_rst_after_data(host, run, text):
    def after(server, stream):
        server.head(stream)
        server.body(stream, server.bodies[stream])

    one_call(host, run, text, after)


def test_ping(host, run, text):
    """Before and behind the headers, before and behind the data: each is answered, with its bytes."""
    sent, answered = [], []

    def serve(guest, _):
        server = Serving(guest)

        def ping():
            sent.append(struct.pack(">Q", 0x1122334455667788 + len(sent)))
            server.ping(sent[-1])

        ping()
        stream = server.request()
        ping()
        server.head(stream)
        ping()
        server.body(stream, server.bodies[stream])
        ping()
        server.until(lambda: len(server.acks) == len(sent))
        answered.extend(server.acks)
        server.trailers(stream)

    done = run("client", text, "--timeout=20s", host(serve).target)
    assert done.stdout == TEXT.encode() + b"\n", done.stderr
    assert answered == sent and len(sent) == 4


def test_max_streams(host, run, text):
    """One stream at a time, ten calls at once."""
    most = []

    def serve(guest, _):
        server = Serving(guest, {MAX_CONCURRENT_STREAMS: 1})
        while True:
            stream = server.request()
            most.append(len(server.open))
            server.reply(stream)

    served = host(serve)
    whole_replies(calls(run, served.target, text, "--count=11", "--concurrency=10", "--connections=1"), 11)
    assert most == [1] * 11 and served.connections == 1


@pytest.mark.limit(120)
def test_data_frame_padding(host, run, text):
    """255 bytes of padding on each 5 of the message: 14 MB of window for 272 kB, and no byte of it lost."""
    spent = []

    def serve(guest, _):
        server = Serving(guest)
        stream = server.request()
        server.reply(stream, size=5, pad=255)
        spent.append((len(server.bodies[stream]) // 5 + 1) * 261)

    done = run("client", text, "--timeout=60s", host(serve).target, timeout=90)
    assert done.stdout == TEXT.encode() + b"\n", done.stderr
    assert spent[0] > 14_000_000


def test_no_df_padding_sanity_test(host, run, text):
    """The same in frames of 5 bytes without padding."""

    def serve(guest, _):
        server = Serving(guest)
        server.reply(server.request(), size=5)

    done = run("client", text, "--timeout=60s", host(serve).target, timeout=90)
    assert done.stdout == TEXT.encode() + b"\n", done.stderr

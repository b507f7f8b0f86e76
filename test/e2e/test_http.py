"""The HTTP face, row by row: what is asked, what is answered, on the wire."""
import contextlib
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import pytest

import exposition
import http1
from daemon import Server, until

TEXT = exposition.TEXT_TYPE


def ask(server, data, head=False):
    return http1.ask(server.web_port, data, head)


# --- paths and methods ---


def test_errors_are_not_compressed(shared):
    answer = shared.get("/nope", Accept_Encoding="gzip")
    assert (answer.status, answer.header("content-encoding")) == (404, None)


def test_head_is_get_without_the_body(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(http1.request("HEAD", "/metrics") + http1.request("GET", "/-/healthy"))
        head = connection.answer(head=True)
        assert head.status == 200
        assert head.header("content-type") == TEXT
        assert int(head.header("content-length")) > 1000
        assert connection.answer().body == b"echod is Healthy.\n"  # so nothing stood in between


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_405(shared, method, path):
    answer = ask(shared, http1.request(method, path, headers=[("Content-Length", "0")]))
    assert answer.status == 405
    assert answer.header("allow") == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/metrics/", "/nope", "//metrics", "/%6detrics", "/METRICS", "/metrics%00", "/../metrics", "/-/reload"]
)
def test_unknown_paths_are_404(shared, path):
    answer = shared.get(path)
    assert answer.status == 404
    assert answer.header("content-type").startswith("text/plain")
    assert path.encode() not in answer.body


def test_pages(shared):
    landing = shared.get("/")
    assert landing.status == 200
    assert landing.header("content-type").startswith("text/html")
    assert b'href="/metrics"' in landing.body
    healthy = shared.get("/-/healthy")
    assert (healthy.status, healthy.body) == (200, b"echod is Healthy.\n")
    assert shared.get("/-/ready").status == 200


@pytest.mark.parametrize("target", ["/metrics?x=1", "/metrics?name%5B%5D=y&z", "http://h:2112/metrics", "HTTP://H/metrics?q"])
def test_the_path_is_what_counts(shared, target):
    assert shared.get(target).status == 200


def test_options_of_everything_is_no_get(shared):
    assert ask(shared, http1.request("OPTIONS", "*")).status in (400, 404, 405)


# --- the protocol ---


def test_http_1_0_without_host_is_served_and_closed(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = connection.answer()
        assert answer.status == 200
        assert answer.header("connection").lower() == "close"
        assert connection.closed()


def test_connection_close_is_obeyed(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(http1.request("GET", "/-/healthy", headers=[("Connection", "close")]))
        assert connection.answer().header("connection").lower() == "close"
        assert connection.closed()


def test_keep_alive(shared):
    with http1.Connection(shared.web_port) as connection:
        for _ in range(20):
            connection.send(http1.request("GET", "/metrics"))
            assert connection.answer().status == 200


def test_pipelined_requests_are_answered_in_order(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(
            http1.request("GET", "/-/healthy")
            + http1.request("GET", "/nope")
            + http1.request("GET", "/metrics")
            + http1.request("GET", "/-/ready")
        )
        assert [connection.answer().status for _ in range(4)] == [200, 404, 200, 200]


def test_a_hundred_pipelined_scrapes(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(http1.request("GET", "/metrics") * 100)
        for _ in range(100):
            exposition.parse(connection.answer().body)


def test_a_request_byte_by_byte(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in http1.request("GET", "/-/healthy"):
            connection.send(bytes([byte]))
        assert connection.answer().status == 200


BAD = {
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "length and chunked": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "chunked not last": b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "letters for a length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
    "negative length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_400_and_closed(shared, name):
    with http1.Connection(shared.web_port) as connection:
        connection.send(BAD[name])
        answer = connection.answer()
        assert answer is None or answer.status in (400, 405, 501, 505), answer
        assert connection.closed()
    assert shared.get("/-/healthy").status == 200


# --- where a body ends, on a path that keeps it ---

FORM = ("Content-Type", "application/x-www-form-urlencoded")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHANGE = b"delay=1ms"
POST = b"POST /-/faults HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
SMUGGLED = POST + b"Content-Length: 9\r\n\r\n" + CHANGE
# What follows POST, before another request that would be good, and that nobody may answer.
AMBIGUOUS = {
    "length and chunked": b"Content-Length: 9\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked and length": CHUNKED + b"Content-Length: 9\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "almost chunked": b"Transfer-Encoding: xchunked\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "chunked behind a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "chunked twice": CHUNKED * 2 + b"\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n',
    "chunked on a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "chunked, with a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n9\r\ndelay=1ms\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 9\r\nContent-Length: 0\r\n\r\n" + CHANGE,
    "one length twice": b"Content-Length: 9\r\nContent-Length: 9\r\n\r\n" + CHANGE,
    "a list of lengths": b"Content-Length: 9, 9\r\n\r\n" + CHANGE,
    "a negative length": b"Content-Length: -9\r\n\r\n" + CHANGE,
    "a length with a sign": b"Content-Length: +9\r\n\r\n" + CHANGE,
    "a length in base 16": b"Content-Length: 0x9\r\n\r\n" + CHANGE,
    "a length beyond 64 bits": b"Content-Length: 18446744073709551625\r\n\r\n" + CHANGE,
    "an empty length": b"Content-Length:\r\n\r\n" + CHANGE,
    "a NUL in a length": b"Content-Length: 9\0\r\n\r\n" + CHANGE,
    "a bare LF in the head": b"Content-Length: 9\n\r\n" + CHANGE,
    "a bare CR in the head": b"X: a\rContent-Length: 9\r\n\r\n" + CHANGE,
    "two Hosts": b"Host: b\r\nContent-Length: 9\r\n\r\n" + CHANGE,
    "a chunk beyond 64 bits": CHUNKED + b"\r\n10000000000000009\r\ndelay=1ms\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"\r\n-9\r\ndelay=1ms\r\n0\r\n\r\n",
    "a chunk of 0x": CHUNKED + b"\r\n0x9\r\ndelay=1ms\r\n0\r\n\r\n",
    "a chunk that is too long": CHUNKED + b"\r\n8\r\ndelay=1ms\r\n0\r\n\r\n",
    "a bare LF behind a chunk's size": CHUNKED + b"\r\n9\ndelay=1ms\r\n0\r\n\r\n",
    "a bare LF behind a chunk": CHUNKED + b"\r\n9\r\ndelay=1ms\n0\r\n\r\n",
    "a length in the trailers": CHUNKED + b"\r\n9\r\ndelay=1ms\r\n0\r\nContent-Length: 9\r\n\r\n",
    "a folded trailer": CHUNKED + b"\r\n9\r\ndelay=1ms\r\n0\r\nX: a\r\n b\r\n\r\n",
    "a chunk line of 100 KB": CHUNKED + b"\r\n9;" + b"x" * 100_000 + b"\r\ndelay=1ms\r\n0\r\n\r\n",
    "a body of 1 MB": b"Content-Length: 1000000\r\n\r\n" + b"x" * 100_000,
    "a chunk of 1 MB": CHUNKED + b"\r\nf4240\r\n" + b"x" * 100_000,
}


@pytest.fixture(scope="module")
def lenient(echod, tmp_path_factory):
    """A server that can be changed at run time."""
    server = Server(echod, ("--web.enable-lifecycle",), tmp_path_factory.mktemp("lenient") / "server.log")
    try:
        server.wait_ready()
        yield server
    finally:
        server.finish()


def send_all(connection, data):
    """As much as it takes: the peer may have answered and closed before it has read everything."""
    with contextlib.suppress(ConnectionError):
        connection.send(data)


def test_a_body_with_one_reading_changes_the_plan(lenient):
    """So that the others, which have two, could."""
    assert ask(lenient, SMUGGLED).status == 200
    assert b"delay=1ms\n" in lenient.get("/-/faults").body
    chunks = b"\r\n5;a=b\r\ndelay\r\n5\r\n=none\r\n0\r\nX: y\r\n\r\n"
    assert ask(lenient, POST + CHUNKED + chunks).status == 200
    assert b"delay=none\n" in lenient.get("/-/faults").body


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_body_with_two_readings_is_refused_once(lenient, name):
    plan = lenient.get("/-/faults").body
    with http1.Connection(lenient.web_port) as connection:
        send_all(connection, POST + AMBIGUOUS[name] + SMUGGLED)
        answer = connection.answer()
        assert answer.status in (400, 413), answer
        assert answer.header("connection") == "close"
        assert connection.closed()  # and no second response
    assert lenient.get("/-/faults").body == plan


@pytest.mark.parametrize("target", ["a:2112", "*", "ftp://a/-/faults", "http://a@b/-/faults", "/-/faults#x", "/" + "x" * 1_000_000])
def test_a_target_of_another_form_is_refused_once(lenient, target):
    with http1.Connection(lenient.web_port) as connection:
        send_all(connection, http1.request("POST", target, headers=[("Content-Length", "9")], body=CHANGE) + SMUGGLED)
        assert connection.answer().status in (400, 414)
        assert connection.closed()
    assert b"delay=none\n" in lenient.get("/-/faults").body


def test_what_looks_like_a_request_in_a_body_is_none(lenient):
    body = b"seed=1&x=" + SMUGGLED
    for headers, framed in (
        ([("Content-Length", str(len(body)))], body),
        ([("Transfer-Encoding", "chunked")], b"%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(body), body)),
        ([("Content-Length", str(len(body))), ("Connection", "Upgrade"), ("Upgrade", "h2c")], body),
    ):
        with http1.Connection(lenient.web_port) as connection:
            connection.send(
                http1.request("POST", "http://b/-/faults", headers=[FORM, *headers], body=framed)
                + http1.request("GET", "/-/healthy") + b"\0garbage\r\n\r\n"
            )
            assert [connection.answer().status for _ in range(3)] == [400, 200, 400]  # there is no part "x"
            assert connection.closed()
    assert b"delay=none\n" in lenient.get("/-/faults").body


def post(server, body, *headers, path="/-/faults"):
    sent = [*headers, ("Content-Length", str(len(body)))]
    return ask(server, http1.request("POST", path, headers=sent, body=body))


def test_a_page_of_another_site_is_refused(lenient):
    for header in (
        ("Origin", "http://evil.example"), ("Origin", "null"), ("Origin", "http://localhost.evil.example"),
        ("Origin", "http://localhost:1"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"),
    ):  # fmt: skip
        assert post(lenient, b"delay=1ms", FORM, header).status == 403, header
    assert b"delay=none\n" in lenient.get("/-/faults").body
    for header in (("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none")):
        assert post(lenient, b"delay=none", FORM, header).status == 200, header


def test_methods_that_a_path_takes_are_named(lenient):
    assert ask(lenient, http1.request("PUT", "/-/faults")).header("allow") == "GET, HEAD, POST"
    assert post(lenient, b"", FORM, path="/metrics").header("allow") == "GET, HEAD"


def test_curl_asks_before_it_sends_much(lenient):
    url = f"http://127.0.0.1:{lenient.web_port}/-/faults"
    done = curl("-v", "-H", "Expect: 100-continue", "-d", "delay=none", url)
    assert b"delay=none\n" in done.stdout
    assert b"< HTTP/1.1 100 Continue" in done.stderr
    done = curl("-o", "/dev/null", "-w", "%{http_code}", "-d", "delay=" + "1" * 100_000, url)
    assert done.stdout == b"413"
    done = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect: 100-continue", "-d", "delay=" + "1" * 50_000, url)
    assert done.stdout == b"413"


def test_too_many_header_bytes_are_431(shared):
    answer = shared.get("/metrics", X_Long="v" * 20000)
    assert answer.status == 431
    many = [(f"X-{i}", "v") for i in range(500)]
    assert ask(shared, http1.request("GET", "/metrics", headers=many)).status == 431


def test_a_small_body_is_discarded_and_the_connection_goes_on(shared):
    with http1.Connection(shared.web_port) as connection:
        for _ in range(2):
            connection.send(http1.request("GET", "/-/healthy", headers=[("Content-Length", "5")], body=b"hello"))
            assert connection.answer().status == 200
        connection.send(
            http1.request("GET", "/-/healthy", headers=[("Transfer-Encoding", "chunked")], body=b"3\r\nabc\r\n0\r\n\r\n")
        )
        assert connection.answer().status == 200


def test_a_large_body_is_413(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(http1.request("GET", "/", headers=[("Content-Length", str(1 << 30))]))
        assert connection.answer().status == 413
        assert connection.closed()


def test_upgrade_h2c_is_answered_as_http_1_1(shared):
    answer = shared.get(
        "/metrics", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABkAAQAoAAAAAIAAAAA"
    )
    assert (answer.version, answer.status) == ("HTTP/1.1", 200)
    assert answer.header("upgrade") is None


def test_a_closed_sending_side_still_gets_its_answer(shared):
    with http1.Connection(shared.web_port) as connection:
        connection.send(http1.request("GET", "/metrics"))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status == 200
        assert connection.closed()


# --- the gRPC port is no web server ---


def test_http_1_1_on_the_grpc_port_gets_no_reply(serve):
    server = serve()
    with http1.Connection(server.grpc_port) as connection:
        connection.send(http1.request("GET", "/metrics"))
        assert b"HTTP/1.1" not in drain(connection.socket)
    errors = server.scrape().samples("echod_http2_protocol_errors_total")
    assert sum(errors.values()) == 1


def drain(sock):
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"SSH-2.0-x\r\n", b"\x16\x03\x01" + b"\1" * 200, b"PRI * HTTP/2.0\r\n\r\nXX"])
def test_garbage_on_the_grpc_port_is_closed(shared, garbage):
    with http1.Connection(shared.grpc_port) as connection:
        connection.send(garbage + b"\r\n" * 10)
        drain(connection.socket)
    assert shared.get("/-/healthy").status == 200


# --- time and number ---


def test_at_the_cap_a_moving_connection_is_kept_and_a_still_one_gives_way(serve):
    server = serve("--web.max-connections=4")
    peers = []
    try:
        for _ in range(4):
            peers.append(http1.Connection(server.web_port))
            peers[-1].send(http1.request("GET", "/-/healthy"))
            assert peers[-1].answer().status == 200
        refused = server.get()  # all four have just moved
        assert refused.status == 503 and refused.body
        time.sleep(1.5)  # now each has been still for a second and more
        assert server.get().status == 200
        codes = server.scrape().samples("echod_metrics_http_requests_total")
        assert codes[(("code", "503"),)] == 1
    finally:
        for peer in peers:
            peer.socket.close()


def test_a_crowd_of_idle_connections_does_not_keep_the_scraper_out(serve):
    """More than are served, told 503 and waiting at the door: they are still, so they give way."""
    server = serve("--web.max-connections=8")
    crowd = [socket.create_connection(("127.0.0.1", server.web_port)) for _ in range(100)]
    try:
        time.sleep(1.5)
        for _ in range(5):
            start = time.monotonic()
            assert server.get().status == 200
            assert time.monotonic() - start < 3
        assert server.value("echod_connections_active", listener="metrics") <= 8 + 8 + 1
    finally:
        for sock in crowd:
            sock.close()


@pytest.mark.limit(90)
def test_a_reader_that_stops_is_closed(serve):
    """Its response makes no progress for the write time-out, and its memory is wanted back."""
    server = serve()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        sock.connect(("127.0.0.1", server.web_port))
        sock.sendall(http1.request("GET", "/metrics") * 400)
        time.sleep(1)
        assert server.value("echod_connections_active", listener="metrics") == 2
        until(lambda: server.value("echod_connections_active", listener="metrics") == 1, "the stalled one's end", 40)


@pytest.mark.limit(60)
def test_responses_that_wait_below_the_engine_have_no_more_time(serve, tmp_path):
    """More than the kernel takes and less than a connection holds: the engine has nothing left to watch."""
    path = str(tmp_path / "web.sock")
    server = serve("--web.listen-address=127.0.0.1:0", f"--web.listen-address=unix:{path}")
    kernel = int(pathlib.Path("/proc/sys/net/core/wmem_default").read_text())
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(http1.request("GET", "/metrics") * ((kernel + 100_000) // len(server.get().body)))
        start = time.monotonic()
        until(
            lambda: server.value("echod_connections_closed_total", listener="metrics", reason="timeout") == 1,
            "the stalled one's end", 40,
        )
        assert 8 < time.monotonic() - start < 20


@pytest.mark.limit(90)
def test_half_a_request_is_answered_408_or_closed(serve):
    server = serve()
    with http1.Connection(server.web_port, timeout=40) as connection:
        connection.send(b"GET /metrics HTTP/1.1\r\nHost: a")
        start = time.monotonic()
        answer = connection.answer()
        assert answer is None or answer.status == 408
        assert connection.closed()
        assert 5 < time.monotonic() - start < 30


@pytest.mark.limit(60)
def test_a_silent_connection_on_the_grpc_port_is_closed(serve):
    server = serve("--grpc.handshake-timeout=500ms")
    with http1.Connection(server.grpc_port) as connection:
        start = time.monotonic()
        drain(connection.socket)
        assert 0.3 < time.monotonic() - start < 5
    until(lambda: server.value("echod_http2_handshake_timeouts_total") == 1, "the count")


def test_a_reset_in_the_midst_of_a_response(shared):
    for _ in range(20):
        sock = socket.create_connection(("127.0.0.1", shared.web_port))
        sock.sendall(http1.request("GET", "/metrics") * 10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    assert shared.get("/-/healthy").status == 200


# --- other people's clients ---


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "10", *arguments], capture_output=True, check=False)


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl(shared, version):
    url = f"http://127.0.0.1:{shared.web_port}/metrics"
    done = curl(version, "-w", "%{stderr}%{http_code} %{content_type}", url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode() == f"200 {TEXT}"
    exposition.parse(done.stdout)


def test_curl_compressed_and_head(shared):
    url = f"http://127.0.0.1:{shared.web_port}/metrics"
    exposition.parse(curl("--compressed", url).stdout)
    assert curl("-I", url).stdout.startswith(b"HTTP/1.1 200")
    assert curl("-X", "POST", "-d", "x", "-o", "/dev/null", "-w", "%{http_code}", url).stdout == b"405"


def test_curl_fails_with_http2_prior_knowledge(shared):
    assert curl("--http2-prior-knowledge", f"http://127.0.0.1:{shared.web_port}/metrics").returncode != 0


@pytest.mark.skipif(not shutil.which("nghttp"), reason="no nghttp here")
def test_nghttp(shared, tmp_path):
    (tmp_path / "request").write_bytes(b"\0\0\0\0\7\x0a\5hello")
    done = subprocess.run(
        ["nghttp", "-v", "--no-dep", "-d", tmp_path / "request", "-H", ":method: POST", "-H", "te: trailers",
         "-H", "content-type: application/grpc", f"http://127.0.0.1:{shared.grpc_port}/muzz.Service/Echo"],
        capture_output=True, check=False, timeout=20,
    )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, text
    assert ":status: 200" in text
    assert "grpc-status: 0" in text
    assert "hello" in text


@pytest.mark.skipif(not shutil.which("h2load"), reason="no h2load here")
def test_h2load(shared, tmp_path):
    (tmp_path / "request").write_bytes(b"\0\0\0\0\7\x0a\5hello")
    done = subprocess.run(
        ["h2load", "-n", "20000", "-c", "10", "-m", "100", "-d", tmp_path / "request", "-H", "te: trailers",
         "-H", "content-type: application/grpc", f"http://127.0.0.1:{shared.grpc_port}/muzz.Service/Echo"],
        capture_output=True, check=False, timeout=50,
    )
    text = done.stdout.decode(errors="replace")
    assert "20000 succeeded, 0 failed, 0 errored" in text, text

"""What the daemon shows and takes over HTTP beside its metrics: the page at "/", the plan of faults, health."""
import html.parser
import re
import signal
import threading

import pytest

import http1
from calls import channel, method
from daemon import until

FORM = ("Content-Type", "application/x-www-form-urlencoded")
WATCH, CHECK = "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
VOID = {"meta", "line", "rect"}


class Page(html.parser.HTMLParser):
    """The text of a page whose elements are closed in order, and what it would load."""

    def __init__(self, body):
        super().__init__()
        self.open, self.text, self.loads, self.links, self.tags = [], "", [], [], set()
        self.feed(body.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"])
        else:
            self.loads += [value for name, value in attrs if name in ("src", "href", "style") or name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data + " "


def page(server):
    answer = server.get("/")
    assert answer.status == 200
    assert answer.header("content-type") == "text/html; charset=utf-8"
    policy = answer.header("content-security-policy")
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"script|https?:|\*", policy)
    found = Page(answer.body)
    assert not found.loads and "script" not in found.tags
    return found


def post(server, form, status):
    body = form.encode()
    headers = [FORM, ("Content-Length", len(body))]
    answer = http1.ask(server.web_port, http1.request("POST", "/-/faults", headers=headers, body=body))
    assert answer.status == status, answer
    return answer.body.decode()


# --- the page ---


def test_every_link_of_the_page_leads_somewhere(serve):
    server = serve("--web.telemetry-path=/numbers")
    links = page(server).links
    assert set(links) == {"/numbers", "/-/healthy", "/-/ready", "/-/faults", "/-/runs/"}
    assert {server.get(link).status for link in links} == {200}


def test_the_page_shows_what_the_metrics_say(serve):
    server = serve("--echo.status=UNAVAILABLE:25", "--echo.fault-mode=every-nth")
    assert "No call has ended yet." in page(server).text
    with channel(server.grpc) as made:
        calls = [method(made).future(b"x", timeout=30) for _ in range(1000)]
        assert sum(call.code().name == "OK" for call in calls) == 750
        found = page(server)
    assert re.search(r"Requests\s+1,000\s.*Successful\s+750\s.*Failed\s+250\s.*In flight\s+0\s", found.text, re.S)
    assert re.search(r"UNAVAILABLE\s+250\s", found.text)
    assert "UNAVAILABLE:25" in found.text
    assert re.search(r"p50 .*s\s.*1,000 calls since the start", found.text, re.S)
    assert "svg" in found.tags


# --- the plan ---


def test_without_the_flag_the_plan_is_shown_and_stays(serve):
    server = serve("--echo.delay=1ms")
    assert "--web.enable-lifecycle" in post(server, "delay=none", 403)
    assert server.get("/-/faults").body.decode().splitlines()[0] == "delay=1ms"
    assert "POST to" not in page(server).text
    assert "fault plan changed" not in server.output()


def test_a_change_is_logged_with_who_made_it(serve):
    server = serve("--web.enable-lifecycle")
    with http1.Connection(server.web_port) as connection:
        body = b"status=INTERNAL:1&seed=9"
        address = "%s:%d" % connection.socket.getsockname()[:2]
        connection.send(http1.request("POST", "/-/faults", headers=[FORM, ("Content-Length", len(body))], body=body))
        assert connection.answer().status == 200
    post(server, "status=INTERNAL:101", 400)
    lines = [line for line in server.output().splitlines() if "fault plan changed" in line]
    assert len(lines) == 1
    assert f"peer={address} " in lines[0]
    assert "status=INTERNAL:1 " in lines[0] and "seed=9 " in lines[0] and "health=serving" in lines[0]


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null"])
def test_no_page_of_another_site_changes_the_plan(serve, origin):
    server = serve("--web.enable-lifecycle")
    headers = [FORM, ("Origin", origin), ("Content-Length", 8)]
    request = http1.request("POST", "/-/faults", headers=headers, body=b"delay=1s")
    assert http1.ask(server.web_port, request).status == 403
    assert "delay=none" in server.get("/-/faults").body.decode()


# --- health, red on purpose ---


def test_who_watches_is_told_of_health_on_purpose(serve):
    server = serve("--web.enable-lifecycle")
    heard = []
    with channel(server.grpc) as made:
        watch = made.unary_stream(WATCH)(b"\n\x0cmuzz.Service", timeout=30)

        def listen():
            heard.extend(iter_until_error(watch))

        listener = threading.Thread(target=listen)
        listener.start()
        until(lambda: heard == [SERVING], "the first word")
        post(server, "health=not-serving", 200)
        until(lambda: heard == [SERVING, NOT_SERVING], "the second")
        assert server.get("/-/ready").status == 503
        assert b"on purpose" in server.get("/-/ready").body
        assert "on purpose" in page(server).text
        assert (server.value("echod_ready"), server.value("echod_draining")) == (0, 0)
        assert method(made)(b"x", timeout=30) == b"x"
        post(server, "health=serving", 200)
        until(lambda: heard == [SERVING, NOT_SERVING, SERVING], "the third")
        assert server.get("/-/ready").status == 200
        assert server.value("echod_ready") == 1
        watch.cancel()
        listener.join()


def iter_until_error(stream):
    try:
        yield from stream
    except Exception:  # pylint: disable=broad-except
        return


def test_health_can_be_red_from_the_start(serve):
    server = serve("--echo.health=not-serving")
    assert server.get("/-/ready").status == 503
    assert server.get("/-/healthy").status == 200
    with channel(server.grpc) as made:
        assert made.unary_unary(CHECK)(b"", timeout=30) == NOT_SERVING
        assert method(made)(b"x", timeout=30) == b"x"


def test_a_server_that_stops_is_not_made_healthy(serve):
    server = serve("--web.enable-lifecycle", "--echo.delay=1500ms", "--shutdown.delay=1s")
    with channel(server.grpc) as made:
        call = method(made).future(b"x", timeout=30)
        server.wait_value(1, "echod_rpcs_in_flight")
        server.send_signal(signal.SIGTERM)
        server.wait_value(1, "echod_draining")
        post(server, "health=serving", 200)
        assert server.get("/-/ready").status == 503
        assert b"on purpose" not in server.get("/-/ready").body
        assert server.value("echod_ready") == 0
        assert made.unary_unary(CHECK)(b"", timeout=30) == NOT_SERVING
        assert call.result() == b"x"
    assert server.wait() == 0

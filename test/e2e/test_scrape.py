"""GET /metrics on the wire: formats, packing, families by name, and scrapers that behave badly."""
import contextlib
import gzip
import pathlib
import random
import re
import socket
import struct
import subprocess
import threading

import pytest

import exposition
import http1
from calls import channel, decode, encode, method
from daemon import Server, until

TEXT = exposition.TEXT_TYPE
OPENMETRICS = exposition.OPENMETRICS_TYPE
DRAFT = OPENMETRICS.replace("1.0.0", "0.0.1")
PROTOBUF = exposition.PROTOBUF_TYPE

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture(scope="module")
def opened(echod, tmp_path_factory):
    """One server that serves OpenMetrics too."""
    server = Server(echod, ("--web.enable-openmetrics",), tmp_path_factory.mktemp("opened") / "server.log")
    try:
        server.wait_ready()
        yield server
    finally:
        server.finish()


def scrape(server, accept, **headers):
    answer = server.get(**({} if accept is None else {"Accept": accept}), **headers)
    if DRAFT not in answer.header("content-type"):
        exposition.read(answer)
    assert len([name for name, _ in answer.headers if name == "content-type"]) == 1
    assert answer.header("vary") == "Accept, Accept-Encoding"
    return answer


# --- negotiation ---

MATRIX = [  # what is asked for; what comes by default; what comes where OpenMetrics is served
    (None, TEXT, TEXT),
    ("*/*", TEXT, TEXT),
    (BROWSER, TEXT, TEXT),
    ("image/png", TEXT, TEXT),
    (PROMETHEUS_2, TEXT, OPENMETRICS),
    (PROMETHEUS_2_NATIVE, PROTOBUF, PROTOBUF),
    (PROMETHEUS_3, TEXT, OPENMETRICS + "; escaping=allow-utf-8"),
    ("application/openmetrics-text", TEXT, OPENMETRICS),
    ("application/openmetrics-text; version=0.0.1", TEXT, DRAFT),
    ("application/openmetrics-text;version=2.0.0", TEXT, TEXT),
    ("application/openmetrics-text;q=0,*/*;q=0.1", TEXT, TEXT),
    ('Application/OpenMetrics-Text ; Version = "1.0.0" ; Q=0.2 , text/plain;q=0.1', TEXT, OPENMETRICS),
    ("text/plain;version=1.0.0", TEXT, TEXT),
    ('text/plain; version="0.0.4" ; q=0.5', TEXT, TEXT),
    ("text/plain;version=9", TEXT, TEXT),
    ("text/plain;escaping=dots", TEXT + "; escaping=dots", TEXT + "; escaping=dots"),
    ("application/vnd.google.protobuf", TEXT, TEXT),
    (PROTOBUF.replace("delimited", "text"), TEXT, TEXT),
    (PROTOBUF + ";q=0.2,text/plain;q=0.3", TEXT, TEXT),
]


@pytest.mark.parametrize("accept,closed_type,opened_type", MATRIX, ids=range(len(MATRIX)))
def test_the_format_is_the_one_that_weighs_most(shared, opened, accept, closed_type, opened_type):
    assert scrape(shared, accept).header("content-type") == closed_type
    assert scrape(opened, accept).header("content-type") == opened_type


GARBAGE = {
    "only separators": ";;;,,,q=",
    "a weight in scientific notation": "application/openmetrics-text;q=1e9",
    "a weight that is no number": "application/openmetrics-text;q=nan",
    "an infinite weight": "application/openmetrics-text;q=inf",
    "a quote that does not end": 'text/plain;x="a,application/openmetrics-text',
    "quotes": '"' * 4001,
    "letters": "a" * 8000,
    "commas": "," * 8000,
    "weights": ";q=0" * 2000,
    "versions that there are not": "application/openmetrics-text;version=2.0.0," * 180,
    "noise": "".join(random.Random(1).choices('text/plain;,="\\q0.19*\t\xff', k=8000)).strip(),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_in_accept_gets_text(opened, name):
    answer = scrape(opened, GARBAGE[name])
    assert answer.header("content-type") == TEXT
    assert GARBAGE[name] not in str(answer.headers)


def test_a_nul_in_accept_is_refused(opened):
    assert opened.get(Accept="text/plain\0").status == 400


def test_several_fields_are_one_list(opened):
    headers = [("Accept", "text/plain;q=0.5"), ("Accept", "application/openmetrics-text;q=0.6")]
    answer = http1.ask(opened.web_port, http1.request("GET", "/metrics", headers=headers))
    assert answer.header("content-type") == OPENMETRICS


# --- packing ---


@pytest.mark.parametrize(
    "encoding,packed",
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=1.000", True),
        ("GZIP", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("identity", False),
        ("identity;q=0", False),
        ("gzipped", False),
    ],
)
@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS, PROTOBUF], ids=["text", "openmetrics", "protobuf"])
def test_gzip_where_it_is_asked_for(opened, accept, encoding, packed):
    answer = scrape(opened, accept, Accept_Encoding=encoding)
    assert answer.header("content-type") == accept
    assert answer.header("content-encoding") == ("gzip" if packed else None)
    assert exposition.read(answer).series() == exposition.read(scrape(opened, accept)).series()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_head_has_the_head_of_get(opened, encoding):
    with http1.Connection(opened.web_port) as connection:
        asked = [("Accept-Encoding", encoding)]
        for kind in ("HEAD", "GET"):
            connection.send(http1.request(kind, "/metrics", headers=asked))
        head, get = connection.answer(head=True), connection.answer()
    assert [name for name, _ in head.headers] == [name for name, _ in get.headers]
    changes = ("date", "content-length")
    assert [h for h in head.headers if h[0] not in changes] == [h for h in get.headers if h[0] not in changes]
    assert abs(int(head.header("content-length")) - len(get.body)) < 200


def test_pipelined_scrapes_come_in_order(opened):
    """Each other one is packed, which takes longer: none may overtake."""
    packed = http1.request("GET", "/metrics?name[]=grpc_server_handled_total", headers=[("Accept-Encoding", "gzip")])
    with http1.Connection(opened.web_port) as connection:
        connection.send((packed + http1.request("GET", "/-/healthy") + http1.request("GET", "/metrics")) * 20)
        for _ in range(20):
            answer = connection.answer()
            assert list(exposition.read(answer).families) == ["grpc_server_handled_total"]
            assert answer.header("content-encoding") == "gzip"
            assert connection.answer().body == b"echod is Healthy.\n"
            exposition.parse(connection.answer().body)


def test_the_start_of_the_process_is_said(shared):
    answer = shared.get()
    start = exposition.read(answer).value("process_start_time_seconds")
    assert abs(int(answer.header("process-start-time-unix")) - start) <= 2


# --- families by name ---


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS, PROTOBUF], ids=["text", "openmetrics", "protobuf"])
def test_families_by_name(opened, accept):
    def families(query):
        answer = opened.get(f"/metrics{query}", Accept=accept)
        return answer.body, set(exposition.read(answer).families)

    both = {"total_requests", "grpc_call_latency_seconds"}
    assert families("?name[]=total_requests&name%5B%5D=grpc_call_latency_seconds")[1] == both
    assert families("?name[]=total_requests&name[]=nothing")[1] == {"total_requests"}
    assert families("?name[]=Total_requests&x=y") == (b"# EOF\n" if accept == OPENMETRICS else b"", set())
    assert len(families("?names=total_requests")[1]) > 20


@pytest.mark.parametrize("query", ["?name[]=%", "?name[]=%zz", "?x=%00", "?" + "name[]=&" * 65])
def test_a_query_that_cannot_be_read_is_400(shared, query):
    answer = shared.get(f"/metrics{query}", Accept_Encoding="gzip")
    assert (answer.status, answer.header("content-encoding")) == (400, None)
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert shared.get("/metrics").status == 200


# --- scrapers that behave badly ---


def resident(server):
    """In MiB; None where a sanitizer keeps more than the process has."""
    process = pathlib.Path(f"/proc/{server.pid}")
    if re.search(r"lib[at]san", (process / "maps").read_text()):
        return None
    return int(re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text()).group(1)) / 1024


def assert_grown_less(server, before, mebibytes):
    after = resident(server)
    assert after is None or after - before < mebibytes, (before, after)


def deaf(server, request):
    """Who asks and does not read: its window is soon shut."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.connect(("127.0.0.1", server.web_port))
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.sendall(request)
    return sock


def test_slow_readers_hold_up_nobody_and_little_memory(serve):
    server = serve()
    for _ in range(20):
        exposition.read(server.get(Accept_Encoding="gzip"))
    before = resident(server)
    packed = [("Accept-Encoding", "gzip")]
    requests = [http1.request("GET", "/metrics") * 50, http1.request("GET", "/metrics", headers=packed) * 100]
    with contextlib.ExitStack() as stack, channel(server.grpc) as made:
        echo = method(made)
        for i in range(100):
            stack.enter_context(deaf(server, requests[i % 2]))
        for _ in range(20):
            assert decode(echo(encode("on"), timeout=5)) == b"on"
            exposition.read(http1.get(server.web_port, Accept_Encoding="gzip"))
        assert server.value("echod_connections_active", listener="metrics") == 101
        # Each has a page that is being sent, one that waits, and what the kernel does not take.
        assert_grown_less(server, before, 100 * 0.5)


def test_half_heads_hold_up_nobody_and_little_memory(serve):
    server = serve()
    before = resident(server)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(http1.Connection(server.web_port))
            connection.send(http1.request("GET", "/metrics", headers=[("X", "v" * 15000)])[:-2])
        assert server.get().status == 200
        assert_grown_less(server, before, 100 * 0.1)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_who_goes_while_the_page_is_packed_harms_nobody(serve):
    server = serve()
    packed = http1.request("GET", "/metrics", headers=[("Accept-Encoding", "gzip")])
    for i in range(300):
        sock = socket.create_connection(("127.0.0.1", server.web_port))
        sock.sendall(packed * (1 + i % 3))
        if i % 2 == 0:
            reset(sock)
        else:
            sock.close()
    # All that was begun is over: a place is free again.
    until(lambda: server.get(Accept_Encoding="gzip").header("content-encoding") == "gzip", "a packed page")
    until(lambda: server.value("echod_connections_active", listener="metrics") == 1, "the end of the others")


def test_scrapes_under_way_are_finished_at_the_end(serve):
    server = serve("--shutdown.delay=300ms")
    complaints, answers = [], []

    def hammer():
        with http1.Connection(server.web_port) as connection:
            while True:
                try:
                    connection.send(http1.request("GET", "/metrics", headers=[("Accept-Encoding", "gzip")]) * 2)
                except OSError:
                    return
                for _ in range(2):
                    try:
                        answer = connection.answer()
                    except AssertionError as torn:
                        complaints.append(str(torn))
                        return
                    if not answer:
                        return
                    answers.append(len(gzip.decompress(answer.body)) if answer.header("content-encoding") else 0)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 20, "some scrapes")
    server.stop()
    for thread in threads:
        thread.join()
    assert complaints == []
    assert min(size for size in answers if size) > 1000


def test_where_no_thread_is_to_be_had_the_loop_packs(serve, echod, tmp_path):
    """A limit on tasks, as a service manager sets one: the system refuses, and libuv would abort."""
    source, library = tmp_path / "no_thread.c", tmp_path / "no_thread.so"
    source.write_text("int pthread_create(void) { return 11; /* EAGAIN */ }\n")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    linked = subprocess.run(["ldd", echod], capture_output=True, text=True, check=True).stdout
    sanitizers = re.findall(r"=> (\S*/lib[at]san\S*)", linked)  # which want to be the first
    server = serve(env={"LD_PRELOAD": ":".join([*sanitizers, str(library)])})
    assert "no thread for packing scrapes" in server.output()
    assert exposition.read(server.get(Accept_Encoding="gzip")).value("process_threads") == 1

"""Behind what people put in front of a gRPC server: nginx and HAProxy, unpatched."""
import contextlib
import subprocess

import grpc
import pytest

from calls import LIMIT, channel, encode, method
from daemon import accepts, unused_port, until

NGINX = """
daemon off; master_process off; worker_processes 1;
pid {dir}/nginx.pid; error_log {dir}/error.log info;
events {{ worker_connections 512; }}
http {{
	access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
	client_max_body_size 64m;
	upstream echo {{ server 127.0.0.1:{grpc}; keepalive 8; }}
	server {{
		listen 127.0.0.1:{port} http2;
		location / {{ grpc_pass grpc://echo; }}
	}}
	server {{
		listen 127.0.0.1:{web};
		location / {{ proxy_pass http://127.0.0.1:{metrics}; }}
	}}
}}
"""

HAPROXY = """
global
	maxconn 500
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend grpc
	bind 127.0.0.1:{port} proto h2
	default_backend echo
backend echo
	option httpchk GET /-/ready
	server one 127.0.0.1:{grpc} proto h2 check check-proto h1 port {metrics} inter 200ms
"""


@contextlib.contextmanager
def proxy(command, config, text, port):
    config.write_text(text)
    with open(config.with_suffix(".out"), "wb") as log:
        process = subprocess.Popen([*command, str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: accepts(port), f"{command[0]}: {config.with_suffix('.out').read_text()}")
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def nginx(serve, tmp_path):
    server = serve()
    server.front, server.front_web = unused_port(), unused_port()
    text = NGINX.format(
        dir=tmp_path, grpc=server.grpc_port, metrics=server.web_port, port=server.front, web=server.front_web
    )
    with proxy(["nginx", "-c"], tmp_path / "nginx.conf", text, server.front):
        yield server


@pytest.fixture
def haproxy(serve, tmp_path):
    server = serve("--shutdown.delay=1s")
    server.front = unused_port()
    text = HAPROXY.format(grpc=server.grpc_port, metrics=server.web_port, port=server.front)
    with proxy(["haproxy", "-f"], tmp_path / "haproxy.cfg", text, server.front):
        yield server


@pytest.fixture(params=["nginx", "haproxy"])
def fronted(request):
    return request.getfixturevalue(request.param)


def test_echo_of_many_sizes(fronted):
    with channel(f"127.0.0.1:{fronted.front}") as made:
        for message in (b"", b"hello", "ü☺😈".encode(), b"a\0b", b"x" * 70000, b"x" * 1000000):
            assert method(made)(message, timeout=20) == message


def test_an_error_status_comes_through(fronted):
    with channel(f"127.0.0.1:{fronted.front}") as made:
        with pytest.raises(grpc.RpcError) as error:
            method(made, "/muzz.Service/Nope")(b"x", timeout=10)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert method(made)(b"after", timeout=10) == b"after"


def refused(server, status):
    with channel(f"127.0.0.1:{server.front}") as made:
        with pytest.raises(grpc.RpcError) as error:
            method(made)(b"x" * (LIMIT + 1 - len(encode(""))), timeout=20)
        assert error.value.code() in status
        assert method(made)(b"after", timeout=10) == b"after"
    assert server.value("failed_requests") == 1


def test_a_refusal_before_the_body_is_sent_comes_through_nginx(nginx):
    """The early end of the stream must not look like a broken upstream."""
    refused(nginx, [grpc.StatusCode.RESOURCE_EXHAUSTED])


def test_a_refusal_before_the_body_is_sent_harms_nothing_behind_haproxy(haproxy):
    """HAProxy 2.6 drops a response that RST_STREAM(NO_ERROR) follows at once (RFC 9113 8.1 says not to)."""
    refused(haproxy, [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED])


def test_identity_metadata_comes_through(fronted):
    with channel(f"127.0.0.1:{fronted.front}") as made:
        _, call = method(made).with_call(b"x", timeout=10)
        assert "echod-instance" in dict(call.initial_metadata())


def test_many_at_once(fronted):
    with channel(f"127.0.0.1:{fronted.front}") as made:
        futures = [method(made).future(b"x%d" % i, timeout=30) for i in range(500)]
        assert [f.result() for f in futures] == [b"x%d" % i for i in range(500)]


def test_metrics_behind_nginx(nginx):
    import exposition
    import http1

    answer = http1.get(nginx.front_web)
    assert answer.status == 200
    exposition.parse(answer.body)

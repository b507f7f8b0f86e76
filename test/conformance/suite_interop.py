"""The official interop cases: peers' clients against our server, our client against peers' servers."""
import contextlib
import functools
import re

import rows
import tools

STANDARD = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method",
    "unimplemented_service", "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server",
)
COMPRESSION = (
    "client_compressed_unary", "server_compressed_unary", "client_compressed_streaming", "server_compressed_streaming",
)
SOAK = ("rpc_soak", "channel_soak")
ALL = STANDARD + COMPRESSION + SOAK
CASE_SECONDS = 60
SOAK_FLAGS = ("--soak_per_iteration_max_acceptable_latency_ms=5000", "--soak_overall_timeout_seconds=50")

GO, GO_VERSION = "google.golang.org/grpc/interop", "v1.83.1"
JAVA, JAVA_VERSION = "io.grpc:grpc-interop-testing", "1.79.0"
JAVA_CLASSES = "io.grpc.testing.integration"

# What a peer does not have is no case: its client cannot say it, or its server cannot do or check it.
PEERS = {
    "grpc-go's client": STANDARD + SOAK,
    "grpc-go's server": STANDARD + SOAK,
    "grpc-java's client": ALL,
    # It compresses no stream, and does not refuse what came uncompressed and was announced otherwise.
    "grpc-java's server": STANDARD + ("server_compressed_unary",) + SOAK,
    # It chooses the compression of a call, not of a message, and is not told how a response came.
    "grpcio's client": STANDARD + ("client_compressed_unary",) + SOAK,
    # It is not told how a request came.
    "grpcio's server": STANDARD + ("server_compressed_unary", "server_compressed_streaming") + SOAK,
}
# grpc-go's client cancels, and half-closes with its next step: now and then (3 in 1000, against its own
# server too) the half-close leaves first, the call is answered, and the case finds OK in place of CANCELLED.
ATTEMPTS = {("grpc-go > echod", "cancel_after_begin"): 3}


def our_server(context):
    return tools.echod(context, "interop-echod", "--grpc.interop")


def suite_go(context):
    make = functools.partial(context.tools.go, version=GO_VERSION)

    def client():
        program = make(f"{GO}/client")
        return lambda port, case: [program, *target(port), f"--test_case={case}", *soak_flags(context, case)]

    def server():
        program = make(f"{GO}/server")
        return lambda port: [program, f"--port={port}"]

    yield peer_client(context, "grpc-go", GO_VERSION, PEERS["grpc-go's client"], client)
    yield peer_server(context, "grpc-go", GO_VERSION, PEERS["grpc-go's server"], server)


def suite_java(context):
    def program(name):
        path = context.tools.jars(JAVA, JAVA_VERSION)
        return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, f"{JAVA_CLASSES}.{name}"]

    def client(okhttp):
        words = [*program("TestServiceClient"), "--use_tls=false", f"--use_okhttp={okhttp}"]
        return lambda port, case: [*words, *target(port), f"--test_case={case}", *soak_flags(context, case)]

    def server():
        words = [*program("TestServiceServer"), "--use_tls=false"]
        return lambda port: [*words, f"--port={port}"]

    yield peer_client(context, "grpc-java, Netty", JAVA_VERSION, PEERS["grpc-java's client"], lambda: client("false"))
    yield peer_client(context, "grpc-java, OkHttp", JAVA_VERSION, PEERS["grpc-java's client"], lambda: client("true"))
    yield peer_server(context, "grpc-java, Netty", JAVA_VERSION, PEERS["grpc-java's server"], server)


def suite_python(context):
    version = grpcio_version()

    def driver(name):
        if not version:
            raise tools.Missing("no grpcio, which is Debian's python3-grpcio")
        return [tools.PYTHON, context.here / name, "--descriptors", context.binary("proto/descriptor_set.binpb")]

    def client():
        words = driver("interop_client.py")
        return lambda port, case: [
            *words, *target(port), f"--test_case={case}", f"--soak_iterations={context.soak_iterations}"]

    def server():
        words = driver("interop_server.py")
        return lambda port: [*words, f"--port={port}"]

    yield peer_client(context, "grpcio (C-core)", version, PEERS["grpcio's client"], client)
    yield peer_server(context, "grpcio (C-core)", version, PEERS["grpcio's server"], server)


def suite_self(context):
    def client():
        return functools.partial(our_client, context)

    yield peer_client(context, "echod's own client", context.version, ALL, client)


def grpcio_version():
    with contextlib.suppress(ImportError):
        import grpc

        return grpc.__version__
    return ""


def target(port):
    return ["--server_host=127.0.0.1", f"--server_port={port}"]


def soak_flags(context, case):
    return [*SOAK_FLAGS, f"--soak_iterations={context.soak_iterations}"] if case in SOAK else []


def our_client(context, port, case):
    program = context.binary("test/conformance/interop-client")
    return [program, *target(port), f"--test_case={case}", *soak_flags(context, case)]


def peer_client(context, peer, version, cases, prepare):
    """Their client against our server."""
    row = rows.Row("grpc interop", f"{peer} {version}".strip(), "server", len(cases))
    return column(context, row, f"{peer} > echod", cases, prepare, lambda: our_server(context))


def peer_server(context, peer, version, cases, prepare):
    """Our client against their server."""
    row = rows.Row("grpc interop", f"{peer} {version}".strip(), "client", len(cases))
    command = None

    def ours():
        nonlocal command
        command = prepare()
        return functools.partial(our_client, context)

    def serve():
        log = context.logs / f"interop-server-{file_name(peer)}.log"
        return tools.serving(command, log)

    return column(context, row, f"echod > {peer}", cases, ours, serve)


def column(context, row, title, cases, prepare, serve):
    """All cases of one pairing; the table of cases gets its column."""
    try:
        command = prepare()
    except tools.Missing as missing:
        row.skipped, row.reason = row.expected, str(missing)
        context.columns[title] = dict.fromkeys(cases, "skipped")
        return row
    results = context.columns[title] = {}
    try:
        with serve() as server:
            port = getattr(server, "grpc_port", server)
            for case in cases:
                log = context.logs / f"interop-{file_name(title)}-{case}.log"
                wrong = attempt(command(port, case), log, ATTEMPTS.get((title, case), 1))
                results[case] = "FAIL" if wrong else "pass"
                if wrong:
                    row.failed.append(f"{case}: {wrong} ({log.name})")
                else:
                    row.passed += 1
    except (RuntimeError, AssertionError, OSError) as error:
        left = [case for case in cases if case not in results]
        results.update(dict.fromkeys(left, "FAIL"))
        row.failed.append(f"the server: {str(error).splitlines()[0]}" + (f"; not run: {', '.join(left)}" if left else ""))
    return row


def attempt(command, log, times):
    """What went wrong with a case; "" for a success, which may take so many attempts."""
    wrong = ""
    for _ in range(times):
        code = tools.run(command, log, CASE_SECONDS)
        words = tools.sanitizer_words(log)
        if code == 0 and not words:
            return ""
        wrong = words or tools.last_line(log)[:160]
        if words:
            break
    return wrong


def file_name(words):
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")

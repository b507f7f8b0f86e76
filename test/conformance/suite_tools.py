"""What people hold against a gRPC server: grpcurl, with no .proto at hand, and grpc_health_probe."""
import json
import socket
import threading

import daemon
import rows
import tools

GRPCURL, GRPCURL_VERSION = "github.com/fullstorydev/grpcurl/cmd/grpcurl", "v1.9.3"
PROBE, PROBE_VERSION = "github.com/grpc-ecosystem/grpc-health-probe", "v0.4.61"
SECONDS = 30


def suite(context):
    yield cases(context, "grpcurl", GRPCURL, GRPCURL_VERSION, GRPCURL_CASES, "--grpc.interop")
    yield cases(context, "grpc_health_probe", PROBE, PROBE_VERSION, PROBE_CASES)


def cases(context, name, package, version, table, *flags):
    """Each case has a server of its own."""
    row = rows.Row(name, version, "server" if name == "grpcurl" else "probe", len(table))
    try:
        program = context.tools.go(package, version)
    except tools.Missing as missing:
        row.skipped, row.reason = row.expected, str(missing)
        return row
    for title, body in table.items():
        log = context.logs / f"{name}-{title.replace(' ', '-')}.log"
        try:
            with tools.echod(context, f"{name}-echod", *flags, *MORE_FLAGS.get(title, [])) as server:
                body(Case(context, program, log, server))
            row.passed += 1
        except (AssertionError, OSError, ValueError) as error:
            row.failed.append(f"{title}: {(str(error).splitlines() or ['?'])[0][:200]}")
    return row


class Case:
    def __init__(self, context, program, log, server):
        self.context, self.program, self.log, self.server = context, program, log, server

    @property
    def address(self):
        return f"127.0.0.1:{self.server.grpc_port}"

    def grpcurl(self, *words, flags=()):
        code = tools.run([self.program, "-plaintext", *flags, self.address, *words], self.log, SECONDS)
        text = self.log.read_text(encoding="utf-8")
        assert code == 0, f"exit {code}: {text.strip()[:150]}"
        return text

    def exit_codes(self, address=None, service=None, timeout=None):
        """Both probes', asked the same."""
        address = address or self.address
        theirs, ours = [self.program, f"-addr={address}"], [self.context.binary("src/echod"), "probe"]
        if service is not None:
            theirs.append(f"-service={service}")
            ours.append(f"--service={service}")
        if timeout:
            theirs += [f"-connect-timeout={timeout}", f"-rpc-timeout={timeout}"]
            ours += [f"--connect-timeout={timeout}", f"--rpc-timeout={timeout}"]
        found = [
            tools.run(command, self.log.with_suffix(f".{which}.log"), SECONDS)
            for which, command in (("theirs", theirs), ("ours", [*ours, address]))
        ]
        assert found[0] == found[1], f"grpc_health_probe exits with {found[0]}, echod probe with {found[1]}"
        return found[0]

    def probe(self, wanted, **how):
        code = self.exit_codes(**how)
        assert code == wanted, f"both exit with {code}, not {wanted}"


# --- grpcurl ---


def lists_services(case):
    services = set(case.grpcurl("list").split())
    wanted = {"muzz.Service", "grpc.health.v1.Health", "grpc.testing.TestService"}
    wanted |= {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")}
    assert services >= wanted, f"not listed: {', '.join(sorted(wanted - services))}"


def lists_methods(case):
    assert case.grpcurl("list", "muzz.Service").split() == ["muzz.Service.Echo"]


def describes_all(case):
    text = case.grpcurl("describe")
    for service in ("muzz.Service", "grpc.health.v1.Health", "grpc.testing.TestService"):
        assert f"{service} is a service" in text, service


def describes_symbols(case):
    symbols = {
        "muzz.Service": "service", "muzz.Service.Echo": "method", "grpc.testing.SimpleRequest": "message",
        "grpc.testing.SimpleRequest.payload": "field", "grpc.testing.PayloadType": "enum",
        "grpc.health.v1.HealthCheckResponse.ServingStatus": "enum",
    }
    for symbol, kind in symbols.items():
        text = case.grpcurl("describe", symbol)
        assert f"{symbol} is a" in text and kind in text.splitlines()[0], f"{symbol}: {text.splitlines()[0]}"


def calls_echo(case):
    answer = json.loads(case.grpcurl("muzz.Service/Echo", flags=("-d", '{"message":"hi"}')))
    assert answer == {"message": "hi"}, answer


def calls_health(case):
    answer = json.loads(case.grpcurl("grpc.health.v1.Health/Check"))
    assert answer == {"status": "SERVING"}, answer


def calls_a_stream(case):
    sizes = '{"response_parameters":[{"size":3},{"size":1}]}'
    text = case.grpcurl("grpc.testing.TestService/StreamingOutputCall", flags=("-d", sizes))
    assert text.count('"payload"') == 2, text[:150]


def names_a_failure(case):
    code = tools.run([case.program, "-plaintext", "-d", "{}", case.address, "grpc.testing.TestService/UnimplementedCall"],
                     case.log, SECONDS)
    text = case.log.read_text(encoding="utf-8")
    assert code == 64 + 12 and "Unimplemented" in text, f"exit {code}: {text[:150]}"


GRPCURL_CASES = {
    "list": lists_services,
    "list a service": lists_methods,
    "describe": describes_all,
    "describe symbols of every kind": describes_symbols,
    "Echo": calls_echo,
    "Health Check": calls_health,
    "a stream of responses": calls_a_stream,
    "a failure is named": names_a_failure,
}


# --- grpc_health_probe ---


def serving(case):
    case.probe(0)


def serving_by_name(case):
    case.probe(0, service="muzz.Service")


def unknown_service(case):
    case.probe(3, service="no.such.Service")


def nobody_listens(case):
    case.probe(2, address=f"127.0.0.1:{daemon.unused_port()}", timeout="2s")


def nobody_answers(case):
    """A listener that accepts and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []
        thread = threading.Thread(target=lambda: [held.append(listener.accept()) for _ in range(2)], daemon=True)
        thread.start()
        case.probe(2, address=f"127.0.0.1:{listener.getsockname()[1]}", timeout="1s")


def not_grpc(case):
    case.probe(2, address=f"127.0.0.1:{case.server.web_port}", timeout="2s")


def draining(case):
    """After SIGTERM the service is reported as not serving for the delay; after it nobody listens."""
    address = case.address
    case.server.send_signal()
    daemon.until(lambda: case.server.get("/-/ready").status == 503, "the drain")
    case.probe(4, address=address)
    case.server.wait()
    case.probe(2, address=address, timeout="2s")


MORE_FLAGS = {"draining": ["--shutdown.delay=5s"]}
PROBE_CASES = {
    "serving": serving,
    "serving by name": serving_by_name,
    "unknown service": unknown_service,
    "nobody listens": nobody_listens,
    "nobody answers": nobody_answers,
    "not gRPC": not_grpc,
    "draining": draining,
}

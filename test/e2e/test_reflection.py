"""grpc.reflection: whoever connects learns what is served, without any .proto."""
import grpc
import pytest
from google.protobuf import descriptor_pb2

from calls import channel
from frames import INITIAL_WINDOW_SIZE, OK, Peer, data, message, request, rst_stream, window_update
from reflected import V1, V1ALPHA, Reflected, Stream, field, fields

SERVICES = ["grpc.health.v1.Health", V1, V1ALPHA, "muzz.Service"]
KIB, MIB = 1024, 1024 * 1024
both = pytest.mark.parametrize("service", [V1, V1ALPHA])


@pytest.fixture
def made(shared):
    with channel(shared.grpc) as opened:
        yield opened


@both
def test_services_are_listed_sorted_reflection_itself_too(made, service):
    assert Stream(made, service).services() == SERVICES


def test_a_client_without_a_proto_calls_echo(made):
    known = Reflected(made)
    request_type = known.message("muzz.EchoRequest")
    assert known.method("/muzz.Service/Echo")(request_type(message="hällo")).message == "hällo"


def names_in(scope, prefix):
    """The full names that a DescriptorProto or FileDescriptorProto declares."""
    is_file = isinstance(scope, descriptor_pb2.FileDescriptorProto)
    for enum in scope.enum_type:
        yield prefix + enum.name
        yield from (prefix + value.name for value in enum.value)
    for nested in scope.message_type if is_file else scope.nested_type:
        yield prefix + nested.name
        yield from names_in(nested, prefix + nested.name + ".")
    if is_file:
        for service in scope.service:
            yield prefix + service.name
            yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)
    else:
        yield from (prefix + each.name for each in [*scope.field, *scope.oneof_decl])


@both
def test_every_symbol_resolves_to_the_file_that_declares_it(serve, service):
    server = serve("--grpc.interop")
    with channel(server.grpc) as made:
        stream, seen = Stream(made, service), 0
        for name, content in Reflected(made).files.items():
            file = descriptor_pb2.FileDescriptorProto.FromString(content)
            assert stream.files(field(3, name))[0] == content
            for symbol in names_in(file, file.package + "."):
                assert stream.files(field(4, symbol))[0] == content, symbol
                seen += 1
        assert seen > 200


def test_both_versions_answer_with_the_same_bytes(made):
    requests = [
        field(7, ""), field(7, "*"), field(4, "muzz.Service"), field(3, "muzz/service.proto"),
        field(4, "grpc.health.v1.HealthCheckResponse.SERVING"), field(6, "muzz.EchoRequest"), field(4, "no"),
        field(1, "host") + field(5, field(1, "muzz.EchoRequest") + b"\x10\x07"),
    ]
    one, other = Stream(made, V1), Stream(made, V1ALPHA)
    for asked in requests:
        assert one.ask(asked) == other.ask(asked)
    ours = descriptor_pb2.FileDescriptorProto.FromString(one.files(field(4, V1))[0])
    theirs = descriptor_pb2.FileDescriptorProto.FromString(other.files(field(4, V1ALPHA))[0])
    for file in (ours, theirs):
        for scope in file.message_type:
            for each in scope.field:
                each.type_name = each.type_name.replace("v1alpha", "v1")
    assert ours.message_type == theirs.message_type


def test_a_file_comes_once_in_a_stream_and_the_asked_one_always(serve):
    server = serve("--grpc.interop")
    with channel(server.grpc) as made:
        stream = Stream(made)
        first = stream.files(field(4, "grpc.testing.TestService"))
        assert len(first) == 3
        assert stream.files(field(4, "grpc.testing.TestService")) == first[:1]
        assert stream.files(field(4, "grpc.testing.Payload"))[0] in first[1:]
        assert Stream(made).files(field(4, "grpc.testing.TestService")) == first


def test_host_and_request_come_back(made):
    asked = field(1, "example.org") + field(4, "nothing.there")
    answer = dict(fields(Stream(made).ask(asked)))
    assert answer[1] == b"example.org"
    assert sorted(fields(answer[2])) == sorted(fields(asked))


FILE, SYMBOL, EXTENSION, NUMBERS = 3, 4, 5, 6
MISSING = [
    (FILE, "no/such.proto"), (FILE, ""), (FILE, "grpc/testing/test.proto"),
    (SYMBOL, "muzz"), (SYMBOL, ".muzz.Service"), (SYMBOL, "muzz.Service."), (SYMBOL, "muzz.Service\0x"),
    (SYMBOL, "grpc.testing.TestService"), (NUMBERS, "muzz.Service"), (NUMBERS, "no.Type"),
    (EXTENSION, field(1, "muzz.EchoRequest") + b"\x10\x07"),
]


@pytest.mark.parametrize("number, name", MISSING, ids=[f"{number}-{i}" for i, (number, _) in enumerate(MISSING)])
def test_what_is_not_served_is_not_found_and_the_stream_goes_on(made, number, name):
    stream = Stream(made)
    assert stream.error(field(number, name))[1] == grpc.StatusCode.NOT_FOUND.value[0]
    assert stream.services() == SERVICES
    assert stream.end() == grpc.StatusCode.OK


def test_a_message_without_extensions_has_none(made):
    answer = dict(fields(Stream(made).ask(field(6, "muzz.EchoRequest"))))
    assert fields(answer[5]) == [(1, b"muzz.EchoRequest")]


@pytest.mark.parametrize(
    "asked, status",
    [
        (b"", grpc.StatusCode.INVALID_ARGUMENT),
        (field(1, "host"), grpc.StatusCode.INVALID_ARGUMENT),
        (field(4, b"\xff"), grpc.StatusCode.INTERNAL),
    ],
    ids=["empty", "only-a-host", "not-utf8"],
)
def test_a_request_that_makes_no_sense_ends_the_stream(made, asked, status):
    with pytest.raises(grpc.RpcError) as error:
        Stream(made).ask(asked)
    assert error.value.code() == status


def asking(server, much):
    """A peer that gives no window and has asked `much` times for a file of some KiB; its stream."""
    asked = message(field(4, "grpc.testing.SimpleRequest"))
    peer = Peer(server.grpc_port, initial={INITIAL_WINDOW_SIZE: 0}).settle()
    stream = peer.open(request(change={":path": f"/{V1}/ServerReflectionInfo"}), body=asked, end=False)
    count = min(much, peer.windows[stream] // len(asked))
    peer.upload(stream, asked * count, end=False)
    peer.ping()
    return peer, stream, 1 + count


def test_who_asks_much_and_reads_nothing_costs_little(serve):
    """What is not read is not answered, and then no more is taken."""
    server = serve("--grpc.interop")
    peer, stream, count = asking(server, 1_000_000)
    with peer:
        assert count > 5000
        assert server.value("echod_grpc_buffered_bytes") < MIB
        assert not peer.ended(stream)
        assert peer.windows[stream] < 64 * KIB, "the window was given back for what nobody took"
        peer.send(rst_stream(stream))
        peer.ping()
        server.wait_value(0, "echod_grpc_buffered_bytes")


def test_who_asks_much_and_reads_late_is_answered_in_full(serve):
    server = serve("--grpc.interop")
    peer, stream, count = asking(server, 300)
    with peer:
        peer.send(window_update(0, 2**30) + window_update(stream, 2**30) + data(stream, b"", end=True))
        response = peer.response(stream, timeout=30)
        assert response.status == OK
        assert len(response.messages) == count
        assert len(set(response.messages[1:])) == 1

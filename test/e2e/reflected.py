"""A client that has no .proto: everything it knows of messages it was told by reflection."""
import queue

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
TIMEOUT = 10


def same(data):
    return data


def field(number, text):
    """A length-prefixed field below 128 bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    assert number < 16 and len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def varint_at(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def fields(data):
    """(number, value) of each field, in order; values are int or bytes."""
    at, found = 0, []
    while at < len(data):
        tag, at = varint_at(data, at)
        value, at = varint_at(data, at)
        if tag & 7 == 2:
            at += value
            value = data[at - value : at]
        else:
            assert tag & 7 == 0, tag
        found.append((tag >> 3, value))
    return found


class Stream:
    """An open stream of reflection; `ask` sends bytes and takes the answer's."""

    def __init__(self, channel, service=V1):
        self.requests = queue.Queue()
        method = channel.stream_stream(f"/{service}/ServerReflectionInfo", request_serializer=same,
                                       response_deserializer=same)
        self.call = method(iter(self.requests.get, None), timeout=TIMEOUT)

    def ask(self, request):
        self.requests.put(request)
        return next(self.call)

    def files(self, request):
        """The file descriptors that answer it."""
        answer = dict(fields(self.ask(request)))
        assert 4 in answer, answer
        return [value for number, value in fields(answer[4]) if number == 1]

    def error(self, request):
        answer = dict(fields(self.ask(request)))
        assert 7 in answer, answer
        return dict(fields(answer[7]))

    def services(self):
        answer = dict(fields(self.ask(field(7, "*"))))
        return [dict(fields(value))[1].decode() for _, value in fields(answer[6])]

    def end(self):
        """Half-closes; the status."""
        self.requests.put(None)
        assert not list(self.call)
        return self.call.code()


class Reflected:
    """Messages and methods of a server, by name."""

    def __init__(self, channel):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        self.files = {}
        stream = Stream(channel)
        for service in stream.services():
            for content in stream.files(field(4, service)):
                self.files[descriptor_pb2.FileDescriptorProto.FromString(content).name] = content
        assert stream.end() == grpc.StatusCode.OK
        added = set()
        for name in self.files:
            self.add(name, added)

    def add(self, name, added):
        """What a file imports comes before it."""
        if name not in added:
            added.add(name)
            file = descriptor_pb2.FileDescriptorProto.FromString(self.files[name])
            for needed in file.dependency:
                self.add(needed, added)
            self.pool.Add(file)

    def message(self, name):
        descriptor = self.pool.FindMessageTypeByName(name)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)

    def method(self, path):
        """A callable for "/package.Service/Method", as grpcio's generated stubs have it."""
        service, name = path[1:].split("/")
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        sides = ("stream" if streams else "unary" for streams in (proto.client_streaming, proto.server_streaming))
        return getattr(self.channel, "_".join(sides))(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message(method.output_type.full_name).FromString,
        )

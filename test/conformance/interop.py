"""The messages of grpc.testing and the sizes and texts of the interop cases, for Python's grpcio.

The classes come from the descriptor set that the build makes for reflection, so nothing is
generated here: `Types(path)` has them as attributes.
"""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "grpc.testing.TestService"
REQUEST_SIZES = (27182, 8, 1828, 45904)
RESPONSE_SIZES = (31415, 9, 2653, 58979)
LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
INITIAL_KEY, TRAILING_KEY = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
NAMES = (
    "Empty", "BoolValue", "Payload", "EchoStatus", "SimpleRequest", "SimpleResponse",
    "StreamingInputCallRequest", "StreamingInputCallResponse", "ResponseParameters",
    "StreamingOutputCallRequest", "StreamingOutputCallResponse",
)
# method -> request, response, whether the requests and the responses are streams
METHODS = {
    "EmptyCall": ("Empty", "Empty", False, False),
    "UnaryCall": ("SimpleRequest", "SimpleResponse", False, False),
    "StreamingOutputCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", False, True),
    "StreamingInputCall": ("StreamingInputCallRequest", "StreamingInputCallResponse", True, False),
    "FullDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
    "HalfDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
}


class Types:
    def __init__(self, path):
        files = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as file:
            files.ParseFromString(file.read())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        for name in NAMES:
            setattr(self, name, message_class(pool.FindMessageTypeByName(f"grpc.testing.{name}")))

    def payload(self, size):
        return self.Payload(body=bytes(size))


def message_class(descriptor):
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory().GetPrototype(descriptor)

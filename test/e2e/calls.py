"""Ways to call: grpcio, a real client; and HTTP/2 frames by hand for what it will not send."""
import contextlib
import socket
import time

import grpc
import h2.config
import h2.connection
import h2.events
import h2.exceptions

PATH = "/muzz.Service/Echo"
LIMIT = 4 * 1024 * 1024  # --grpc.max-message-bytes' default

# No limit of its own on sizes; one connection for each channel.
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
]


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def encode(text):
    """EchoRequest or EchoResponse of a str or bytes, as protobuf."""
    data = text.encode() if isinstance(text, str) else text
    return b"\x0a" + varint(len(data)) + data if data else b""


def decode(data):
    """The message's bytes, read back without leniency."""
    if not data:
        return b""
    assert data[0] == 0x0A, data[:10]
    length, shift, i = 0, 0, 1
    while True:
        length |= (data[i] & 0x7F) << shift
        shift, i = shift + 7, i + 1
        if not data[i - 1] & 0x80:
            break
    assert length == len(data) - i, "more or less than one field"
    return data[i:]


def same(data):
    return data


@contextlib.contextmanager
def channel(target, *options):
    with grpc.insecure_channel(target, options=[*OPTIONS, *options]) as made:
        yield made


def method(made, path=PATH):
    """Takes a str or bytes, gives bytes."""
    return made.unary_unary(path, request_serializer=encode, response_deserializer=decode)


def raw_method(made, path=PATH):
    """Takes and gives serialized messages."""
    return made.unary_unary(path, request_serializer=same, response_deserializer=same)


def frame(message, flag=0):
    """A length-prefixed gRPC message."""
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


class Http2:
    """One connection, driven by hand with python3-h2."""

    def __init__(self, port, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.events = {}  # stream id -> list
        self.others = []
        self.closed = False
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, *headers, path=PATH, method="POST", content_type="application/grpc", body=None, end=True):
        """Opens a stream; returns its id. A body of None is no DATA at all and an open stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        fields += [("te", "trailers")]
        if content_type is not None:
            fields.append(("content-type", content_type))
        self.events[stream] = []
        self.h2.send_headers(stream, [*fields, *headers], end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def pump(self):
        """Reads once; False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if getattr(event, "stream_id", None):
                self.events.setdefault(event.stream_id, []).append(event)
            else:
                self.others.append(event)
        with contextlib.suppress(OSError):
            self.flush()
        return True

    def response(self, stream, timeout=10.0):
        """(headers, body, trailers) as dicts and bytes; a reset stream gives its error code instead of trailers."""
        end = time.monotonic() + timeout
        while not any(
            isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset)) for e in self.events[stream]
        ):
            assert time.monotonic() < end, self.events[stream]
            assert self.pump(), f"connection closed: {self.events[stream]} {self.others}"
        headers, body, trailers = {}, b"", {}
        for event in self.events[stream]:
            if isinstance(event, h2.events.ResponseReceived):
                headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                trailers = dict(event.headers)
            elif isinstance(event, h2.events.StreamReset) and not trailers and "grpc-status" not in headers:
                trailers = {"reset": event.error_code}
        return headers, body, trailers

    def status(self, stream):
        """The gRPC status of a response, wherever it stands."""
        headers, _, trailers = self.response(stream)
        return int(trailers.get("grpc-status", headers.get("grpc-status", "-1")))

    def call(self, message, *headers, **options):
        """A whole unary call: (status, message)."""
        stream = self.request(*headers, body=frame(encode(message)), **options)
        headers_in, body, trailers = self.response(stream)
        if not body:
            return int({**headers_in, **trailers}["grpc-status"]), None
        assert body[:5] == b"\0" + (len(body) - 5).to_bytes(4, "big"), body[:5]
        return int(trailers["grpc-status"]), decode(body[5:])

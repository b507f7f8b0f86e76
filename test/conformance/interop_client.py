#!/usr/bin/python3
"""The interop cases with Python's grpcio as the client: prints a TAP line for each of them."""
import argparse
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc  # noqa: E402

import interop  # noqa: E402
from interop import INITIAL_KEY, LARGE_REQUEST, LARGE_RESPONSE, REQUEST_SIZES, RESPONSE_SIZES, TRAILING_KEY  # noqa: E402

SECONDS = 20


class Client:
    def __init__(self, types, target):
        self.types, self.target = types, target
        self.channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        for name in interop.METHODS:
            setattr(self, name, self.method(interop.SERVICE, name, *interop.METHODS[name]))

    def method(self, service, name, request, response, many_in, many_out):
        kinds = {(0, 0): "unary_unary", (0, 1): "unary_stream", (1, 0): "stream_unary", (1, 1): "stream_stream"}
        make = getattr(self.channel, kinds[many_in, many_out])
        return make(
            f"/{service}/{name}",
            request_serializer=getattr(self.types, request).SerializeToString,
            response_deserializer=getattr(self.types, response).FromString,
        )

    def close(self):
        self.channel.close()

    # --- requests ---

    def large(self, request=LARGE_REQUEST, response=LARGE_RESPONSE, **more):
        return self.types.SimpleRequest(response_size=response, payload=self.types.payload(request), **more)

    def output(self, size=None, payload=None, **more):
        parameters = [] if size is None else [self.types.ResponseParameters(size=size)]
        if payload is not None:
            more["payload"] = self.types.payload(payload)
        return self.types.StreamingOutputCallRequest(response_parameters=parameters, **more)


class Sender:
    """Requests of a stream, sent one by one: an iterator that waits for what to say next."""

    def __init__(self):
        import queue

        self.queue = queue.Queue()

    def send(self, request):
        self.queue.put(request)

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def check(condition, words):
    if not condition:
        raise AssertionError(words)


def fails(code, body, message=None):
    try:
        body()
    except grpc.RpcError as error:
        check(error.code() == code, f"{error.code()}, not {code}: {error.details()}")
        check(message is None or error.details() == message, f"the message is {error.details()!r}")
        return
    raise AssertionError(f"succeeded, and not {code}")


# --- the cases, by their official names ---


def empty_unary(client):
    check(client.EmptyCall(client.types.Empty(), timeout=SECONDS) == client.types.Empty(), "not empty")


def large_unary(client):
    response = client.UnaryCall(client.large(), timeout=SECONDS)
    check(response.payload.body == bytes(LARGE_RESPONSE), "another payload")


def client_streaming(client):
    requests = (client.types.StreamingInputCallRequest(payload=client.types.payload(n)) for n in REQUEST_SIZES)
    response = client.StreamingInputCall(requests, timeout=SECONDS)
    check(response.aggregated_payload_size == 74922, f"the sum is {response.aggregated_payload_size}")


def server_streaming(client):
    request = client.types.StreamingOutputCallRequest(
        response_parameters=[client.types.ResponseParameters(size=n) for n in RESPONSE_SIZES])
    got = [len(response.payload.body) for response in client.StreamingOutputCall(request, timeout=SECONDS)]
    check(got == list(RESPONSE_SIZES), f"got {got}")


def ping_pong(client):
    sender = Sender()
    call = client.FullDuplexCall(iter(sender), timeout=SECONDS)
    for request, response in zip(REQUEST_SIZES, RESPONSE_SIZES):
        sender.send(client.output(response, request))
        check(len(next(call).payload.body) == response, "another size")
    sender.close()
    check(not list(call), "a response too many")
    check(call.code() == grpc.StatusCode.OK, f"ended with {call.code()}")


def empty_stream(client):
    call = client.FullDuplexCall(iter(()), timeout=SECONDS)
    check(not list(call), "a response to nothing")
    check(call.code() == grpc.StatusCode.OK, f"ended with {call.code()}")


def custom_metadata(client):
    sent = ((INITIAL_KEY, "test_initial_metadata_value"), (TRAILING_KEY, b"\xab\xab\xab"))

    def echoed(call):
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        check(first.get(INITIAL_KEY) == "test_initial_metadata_value", f"the headers are {first}")
        check(last.get(TRAILING_KEY) == b"\xab\xab\xab", f"the trailers are {last}")

    _, call = client.UnaryCall.with_call(client.large(), metadata=sent, timeout=SECONDS)
    echoed(call)
    call = client.FullDuplexCall(iter([client.output(LARGE_RESPONSE, LARGE_REQUEST)]), metadata=sent, timeout=SECONDS)
    check([len(x.payload.body) for x in call] == [LARGE_RESPONSE], "another payload")
    echoed(call)


def status_case(client, text):
    status = client.types.EchoStatus(code=2, message=text)
    fails(grpc.StatusCode.UNKNOWN,
          lambda: client.UnaryCall(client.types.SimpleRequest(response_status=status), timeout=SECONDS), text)
    return status


def status_code_and_message(client):
    text = "test status message"
    status = status_case(client, text)
    call = client.FullDuplexCall(iter([client.output(response_status=status)]), timeout=SECONDS)
    fails(grpc.StatusCode.UNKNOWN, lambda: list(call), text)


def special_status_message(client):
    status_case(client, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


def unimplemented_method(client):
    call = client.method(interop.SERVICE, "UnimplementedCall", "Empty", "Empty", False, False)
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: call(client.types.Empty(), timeout=SECONDS))


def unimplemented_service(client):
    call = client.method("grpc.testing.UnimplementedService", "UnimplementedCall", "Empty", "Empty", False, False)
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: call(client.types.Empty(), timeout=SECONDS))


def cancel_after_begin(client):
    sender = Sender()
    call = client.StreamingInputCall.future(iter(sender))
    check(call.cancel(), "not cancelled")
    check(call.cancelled() and call.code() == grpc.StatusCode.CANCELLED, f"ended with {call.code()}")
    sender.close()


def cancel_after_first_response(client):
    sender = Sender()
    call = client.FullDuplexCall(iter(sender), timeout=SECONDS)
    sender.send(client.output(RESPONSE_SIZES[0], REQUEST_SIZES[0]))
    next(call)
    call.cancel()
    fails(grpc.StatusCode.CANCELLED, lambda: next(call))
    sender.close()


def timeout_on_sleeping_server(client):
    sender = Sender()
    call = client.FullDuplexCall(iter(sender), timeout=0.001)
    sender.send(client.output(payload=27182))
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(call))
    sender.close()


def client_compressed_unary(client):
    def call(expected, compression):
        request = client.large(expect_compressed=client.types.BoolValue(value=expected))
        return client.UnaryCall(request, compression=compression, timeout=SECONDS)

    fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(True, grpc.Compression.NoCompression))
    for expected, compression in ((True, grpc.Compression.Gzip), (False, grpc.Compression.NoCompression)):
        check(len(call(expected, compression).payload.body) == LARGE_RESPONSE, "another size")


def soak(clients, iterations):
    for client in clients:
        start = time.monotonic()
        large_unary(client)
        took = time.monotonic() - start
        check(took < 5, f"a call took {took:.3f} s")
    check(iterations > 0, "no iteration")


def rpc_soak(client, iterations):
    soak((client for _ in range(iterations)), iterations)


def channel_soak(client, iterations):
    def fresh():
        for _ in range(iterations):
            made = Client(client.types, client.target)
            yield made
            made.close()

    soak(fresh(), iterations)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptors", required=True)
    parser.add_argument("--server_host", default="127.0.0.1")
    parser.add_argument("--server_port", required=True)
    parser.add_argument("--test_case", required=True, help="a list, separated by commas")
    parser.add_argument("--soak_iterations", type=int, default=10)
    options = parser.parse_args()
    types = interop.Types(options.descriptors)
    failed = 0
    for name in options.test_case.split(","):
        client = Client(types, f"{options.server_host}:{options.server_port}")
        arguments = [options.soak_iterations] if name in ("rpc_soak", "channel_soak") else []
        try:
            globals()[name](client, *arguments)
            print(f"ok {name}", flush=True)
        except (AssertionError, grpc.RpcError, StopIteration) as error:
            failed += 1
            print(f"not ok {name}", f"# {type(error).__name__}: {error}", sep="\n", flush=True)
        client.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

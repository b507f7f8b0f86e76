#!/usr/bin/python3
"""grpc.testing.TestService with Python's grpcio as the server, until it is ended."""
import argparse
import concurrent.futures
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc  # noqa: E402

import interop  # noqa: E402


class Service:
    def __init__(self, types):
        self.types = types

    def begin(self, context):
        metadata = dict(context.invocation_metadata())
        if interop.INITIAL_KEY in metadata:
            context.send_initial_metadata(((interop.INITIAL_KEY, metadata[interop.INITIAL_KEY]),))
        if interop.TRAILING_KEY in metadata:
            context.set_trailing_metadata(((interop.TRAILING_KEY, metadata[interop.TRAILING_KEY]),))

    def end_if_asked(self, request, context):
        if request.HasField("response_status") and request.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[request.response_status.code], request.response_status.message)

    # --- the methods ---

    def EmptyCall(self, _request, context):
        self.begin(context)
        return self.types.Empty()

    def UnaryCall(self, request, context):
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        self.begin(context)
        self.end_if_asked(request, context)
        return self.types.SimpleResponse(payload=self.types.payload(request.response_size))

    def StreamingInputCall(self, requests, context):
        self.begin(context)
        total = sum(len(request.payload.body) for request in requests)
        return self.types.StreamingInputCallResponse(aggregated_payload_size=total)

    def StreamingOutputCall(self, request, context):
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        self.begin(context)
        yield from self.responses(request, context)

    def FullDuplexCall(self, requests, context):
        self.begin(context)
        for request in requests:
            yield from self.responses(request, context)

    def HalfDuplexCall(self, requests, context):
        self.begin(context)
        for request in list(requests):
            yield from self.responses(request, context)

    def responses(self, request, context):
        self.end_if_asked(request, context)
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield self.types.StreamingOutputCallResponse(payload=self.types.payload(parameters.size))


def handlers(types):
    service = Service(types)
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return grpc.method_handlers_generic_handler(interop.SERVICE, {
        name: kinds[many_in, many_out](
            getattr(service, name),
            request_deserializer=getattr(types, request).FromString,
            response_serializer=getattr(types, response).SerializeToString,
        )
        for name, (request, response, many_in, many_out) in interop.METHODS.items()
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptors", required=True)
    parser.add_argument("--port", required=True)
    options = parser.parse_args()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((handlers(interop.Types(options.descriptors)),))
    if not server.add_insecure_port(f"127.0.0.1:{options.port}"):
        return 1
    server.start()
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    sys.exit(main())

// The peer: an echo written with gRPC C++'s callback API, the way its own
// documentation teaches, with its defaults. For measurements on loopback only.
//
//	bench_peer PORT
#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "peer.grpc.pb.h"

namespace
{

class Echoer final : public bench::Echoer::CallbackService
{
	grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context,
				       const bench::EchoRequest *request,
				       bench::EchoResponse *response) override
	{
		response->set_message(request->message());
		grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
		reactor->Finish(grpc::Status::OK);
		return reactor;
	}
};

} // namespace

int main(int argc, char **argv)
{
	if (argc != 2) {
		std::fprintf(stderr, "usage: bench_peer PORT\n");
		return 2;
	}
	Echoer service;
	grpc::ServerBuilder builder;
	builder.AddListeningPort(std::string("127.0.0.1:") + argv[1],
				 grpc::InsecureServerCredentials());
	builder.RegisterService(&service);
	std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
	if (!server) {
		std::fprintf(stderr, "bench_peer: cannot listen on port %s\n", argv[1]);
		return 1;
	}
	server->Wait();
	return 0;
}

/*
 * grpc.testing.TestService: what the interoperability tests of gRPC's own
 * implementations call. For tests: a peer may ask it for much more than it sends.
 * UnimplementedCall is not there, which is what it is for.
 */
#pragma once

#include "grpc/call.h"

/* Largest payload that may be asked for; INVALID_ARGUMENT beyond. */
#define INTEROP_MAX_PAYLOAD (4 * MIB)
/* Responses that a call may owe: 12 bytes each; RESOURCE_EXHAUSTED beyond. */
#define INTEROP_MAX_RESPONSES 32768

/* The context that grpc_server_add() is given. */
struct interop {
	uint8_t *zeros; /* what payloads are made of; never written, so it takes no memory */
};

/* 0 or -ENOMEM. */
int interop_init(struct interop *ret);
void interop_deinit(struct interop *interop);

extern const struct grpc_service interop_service;

/*
 * grpc.reflection.v1.ServerReflection, and v1alpha, which differs in nothing but
 * its name: what this server serves, for clients that have no .proto.
 *
 * A stream's memory is a bit for each file that it was told. A peer that asks
 * faster than it reads is asked to wait.
 */
#pragma once

#include "grpc/call.h"
#include "service/descriptors.h"

#define REFLECTION_MAX_SERVICES 16

/* The context that grpc_server_add() is given, for both services. */
struct reflection {
	struct descriptors descriptors;
	size_t n_services;
	struct str services[REFLECTION_MAX_SERVICES]; /* sorted */
};

/* False: `set`, which is borrowed, is malformed. Nothing is served yet. */
bool reflection_init(struct reflection *ret, struct bytes set);
/* One that is served: it is listed, and told of if the set has it. The name is borrowed. */
void reflection_add(struct reflection *reflection, const char *service);

extern const struct grpc_service reflection_service;
extern const struct grpc_service reflection_v1alpha_service;

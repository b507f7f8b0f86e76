/*
 * muzz.Service: Echo answers with the request's message, byte for byte, after
 * an optional delay. A delay is a timer: it costs no thread, and a cancelled or
 * expired call ends at once.
 */
#pragma once

#include <stdint.h>

#include "base/random.h"
#include "grpc/call.h"
#include "service/runs.h"

enum echo_delay_kind { ECHO_DELAY_NONE, ECHO_DELAY_FIXED, ECHO_DELAY_UNIFORM };

/* Uniform: a whole number of milliseconds in [low_ns, high_ns). */
struct echo_delay {
	enum echo_delay_kind kind;
	int64_t low_ns, high_ns;
};

/* "none", "50ms", "uniform:0s,5s". 0, or -1 with a reason. The shape of option.parse. */
int echo_delay_parse(const char *text, void *ret_delay, char *why, size_t size);

/* The context that grpc_server_add() is given. */
struct echo_service {
	struct echo_delay delay;
	struct random random;
	struct runs *runs; /* where calls of load runs are noted; NULL: nowhere */
};

extern const struct grpc_service echo_service;
#define ECHO_METHOD_ECHO 0 /* index in echo_service.methods */

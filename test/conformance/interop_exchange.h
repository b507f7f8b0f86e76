/*
 * One call to grpc.testing.TestService, made and judged as a step of a test case
 * says. The step is data: which requests, what they ask the server for, when to
 * cancel, and how the call has to end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common.h"

enum interop_method {
	INTEROP_EMPTY,
	INTEROP_UNARY,
	INTEROP_STREAMING_INPUT,
	INTEROP_STREAMING_OUTPUT,
	INTEROP_FULL_DUPLEX,
	INTEROP_UNIMPLEMENTED_METHOD,
	INTEROP_UNIMPLEMENTED_SERVICE,
};

/* A BoolValue: absent, or one of two. */
enum choice { UNSAID, NO, YES };

#define STEP_MAX_REQUESTS  4
#define STEP_MAX_RESPONSES 4

struct asked_response {
	int32_t size;
	enum choice compressed; /* asked for, and checked */
};

struct request {
	int32_t size;                  /* of the payload; 0: none */
	bool compressed;               /* how it is sent; needs step.gzip */
	enum choice expect_compressed; /* what the server is told */
	size_t n_responses;            /* one at most for a unary call */
	struct asked_response responses[STEP_MAX_RESPONSES];
};

enum step_cancel { CANCEL_NEVER, CANCEL_AT_ONCE, CANCEL_AFTER_RESPONSE };

struct step {
	enum interop_method method;
	size_t n_requests;
	struct request requests[STEP_MAX_REQUESTS];
	bool ping_pong; /* each request after the response to the one before */
	bool gzip;
	bool metadata; /* sends and expects the two keys that the server echoes */
	enum step_cancel cancel;
	bool stays_open;    /* no half-close */
	int64_t timeout_ns; /* 0: as long as a test may take */
	/* How it has to end; with a message, the server is asked for both. */
	enum grpc_status status;
	const char *message;
	bool fails; /* with whatever status, and without a response */
	/* How often the call is made, at once; 0: once. */
	unsigned times;
	/* Before it. */
	int64_t pause_ns;
};

/* Last upcall. `why`: what was wrong, borrowed; NULL: nothing. */
typedef void exchange_ended(void *user, const char *why);

/* The step is borrowed until `ended`. */
void exchange_start(struct endpoint *endpoint, const struct step *step, exchange_ended *ended,
		    void *user);

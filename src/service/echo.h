/*
 * muzz.Service: Echo answers with the request's message, byte for byte, after what
 * faults.h does to the call: a delay, then perhaps a fault. A delay is a timer: it costs
 * no thread, and a cancelled or expired call ends at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "grpc/call.h"
#include "metrics/histogram.h"
#include "service/faults.h"
#include "service/runs.h"

/* Each may be NULL. */
struct echo_meters {
	struct counter *delay_ns;   /* that calls waited on purpose: delayed, or hung */
	struct histogram *overhead; /* seconds of every ended call without that */
};

/* The context that grpc_server_add() is given. Zeroed it answers at once. */
struct echo_service {
	struct faults faults;
	bool allow_metadata_faults; /* callers may ask for delays and faults */
	struct runs *runs;          /* where calls of load runs are noted; NULL: nowhere */
	struct echo_meters meters;
};

extern const struct grpc_service echo_service;
#define ECHO_METHOD_ECHO 0 /* index in echo_service.methods */

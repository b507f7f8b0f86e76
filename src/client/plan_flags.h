/* The command line of `echod client` as it was given, for plan.c, which checks what it means. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "client/schedule.h"

enum { PLAN_COMPRESSION_IDENTITY, PLAN_COMPRESSION_GZIP };
enum { PLAN_ARRIVAL_CONSTANT, PLAN_ARRIVAL_POISSON };
enum { PLAN_PROGRESS_AUTO, PLAN_PROGRESS_OFF };

/*
 * Flags of which plan.c asks whether they were given; the text is the flag's name.
 * LOAD: it is one of those that make a run of what would be one call.
 */
#define PLAN_GIVEN(X)                                 \
	X(message, "message")                         \
	X(message_size, "message-size")               \
	X(message_file, "message-file")               \
	X(method, "method")                           \
	X(request_file, "request-file")               \
	X(verify, "verify")                           \
	X(keepalive_time, "keepalive-time")           \
	X(keepalive_timeout, "keepalive-timeout")     \
	X(rate, "rate")                               \
	X(arrival, "arrival")                         \
	X(pacing, "pacing")                           \
	X(max_in_flight, "max-in-flight")             \
	X(concurrency, "concurrency")                 \
	X(connections, "connections")                 \
	X(connection_lifetime, "connection-lifetime") \
	X(count, "count")                             \
	X(duration, "duration")                       \
	X(warmup, "warmup")                           \
	X(grace, "grace")                             \
	X(seed, "seed")                               \
	X(name, "name")                               \
	X(fail_on_error, "fail-on-error")             \
	X(assertions, "assert")                       \
	X(reconcile, "reconcile")

struct plan_flags {
	const char *message, *message_file, *method, *request_file;
	uint64_t message_size;
	bool verify;
	int64_t timeout_ns;
	struct option_strings metadata;
	bool plaintext, wait_for_ready;
	int compression;
	int64_t keepalive_time_ns, keepalive_timeout_ns;

	struct schedule_spec rate;
	int arrival, pacing;
	uint64_t count, concurrency, max_in_flight, connections, seed;
	int64_t duration_ns, warmup_ns, grace_ns, connection_lifetime_ns;
	const char *name;
	bool fail_on_error;
	struct option_strings assertions, reconcile;

	struct option_strings outputs;
	int progress;
	const char *web_address;

	struct plan_given {
#define X(field, name) bool field;
		PLAN_GIVEN(X)
#undef X
	} given;
};

extern const struct options plan_options;

struct plan;

/* Of plan.c, in a file of its own: where reports go. 0, or -1 with a line in `why`. */
int plan_set_output(struct plan *plan, const struct plan_flags *flags, char *why, size_t size);

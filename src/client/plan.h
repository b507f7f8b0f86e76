/*
 * What `echod client` was asked to do: flags and operands, checked, as one
 * structure that the rest only reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "client/target.h"
#include "grpc/metadata.h"
#include "net/address.h"

/* A run without --count and --duration lasts this long. */
#define PLAN_DEFAULT_DURATION_NS (10 * NS_PER_S)
/*
 * Servers commonly admit 100 streams on a connection; beyond it calls would queue behind
 * each other.
 */
#define PLAN_CALLS_PER_CONNECTION 100
/* What servers commonly take in one message, the request's own framing included. */
#define PLAN_MAX_REQUEST_BYTES (4 * MIB)
#define PLAN_MAX_CONCURRENCY   1000000
#define PLAN_MAX_CONNECTIONS   60000

struct plan {
	struct target target;

	struct buffer message;
	int64_t timeout_ns;       /* of one call, connecting included */
	struct metadata metadata; /* "-bin" values raw */
	struct arena metadata_arena;

	bool wait_for_ready; /* calls wait for a server, as long as their deadline lets them */
	bool gzip;
	int64_t keepalive_time_ns; /* 0: none */
	int64_t keepalive_timeout_ns;

	bool json;

	bool load;            /* false: one call */
	uint64_t count;       /* calls to start; 0: no bound */
	int64_t duration_ns;  /* time in which calls are started; 0: no bound */
	uint64_t concurrency; /* calls at a time, over all connections */
	uint64_t connections;

	bool web; /* serve /metrics at web_address */
	struct address_spec web_address;
	bool progress;
};

/*
 * Reads the command line into `plan`, the message and its file included.
 * OPTIONS_ERROR: one line in `why`, exit code 2. plan_deinit() is due after
 * every result.
 */
enum options_result plan_init(struct plan *plan, int argc, char **argv, char *why, size_t size);
void plan_deinit(struct plan *plan);

/* The text of --help. */
void plan_help(FILE *out);

/*
 * "50 calls at a time over 1 connection to 127.0.0.1:9876, for 5s": what a run will do. 0
 * or -ENOMEM.
 */
int plan_describe(const struct plan *plan, struct buffer *out);

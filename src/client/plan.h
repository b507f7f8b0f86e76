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
#include "client/report.h"
#include "client/run.h"
#include "client/schedule.h"
#include "client/target.h"
#include "grpc/call.h"
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

/* Calls at a time of an open loop, where --max-in-flight is not given. */
#define PLAN_DEFAULT_MAX_IN_FLIGHT 1000
/* After the last call was started, for those that still run. */
#define PLAN_DEFAULT_GRACE_NS (5 * NS_PER_S)
#define PLAN_MAX_OUTPUTS      8
/* Each of its times: a year, so that sums of some of them and of a clock stay in range. */
#define PLAN_MAX_TIME_NS (INT64_C(8760) * 3600 * NS_PER_S)

enum plan_pacing { PLAN_PACING_TIMER, PLAN_PACING_SPIN };

struct plan_output {
	enum report_format format;
	const char *path; /* NULL: standard output; borrowed from argv */
};

struct plan {
	/* Connections and, through them, calls go over them in turn. At least one. */
	struct target targets[RUN_MAX_TARGETS];
	size_t n_targets;

	/* The call. */
	const struct grpc_service *service; /* echo_service, or raw below */
	const struct grpc_method *method;
	bool raw; /* --method: request and reply are bytes as they are */
	struct grpc_service raw_service;
	struct grpc_method raw_method;
	char raw_names[512];      /* "package.Service" NUL "Method" NUL */
	struct buffer message;    /* Echo: its text; raw: the request's bytes */
	bool verify;              /* the reply must equal the request */
	int64_t timeout_ns;       /* of one call, connecting included */
	struct metadata metadata; /* "-bin" values raw */
	struct arena metadata_arena;
	bool wait_for_ready; /* calls wait for a server, as long as their deadline lets them */
	bool gzip;
	int64_t keepalive_time_ns; /* 0: none */
	int64_t keepalive_timeout_ns;

	/* The load; false: one call. */
	bool load;
	struct schedule_spec schedule; /* n 0: closed loop */
	enum plan_pacing pacing;
	uint64_t count;         /* calls that are measured; 0: no bound */
	int64_t duration_ns;    /* time in which they are due, or started; 0: no bound */
	int64_t warmup_ns;      /* before it, the same load, which is not measured */
	int64_t grace_ns;       /* after it, for calls that still run */
	uint64_t concurrency;   /* closed loop: calls at a time, over all connections; else 0 */
	uint64_t max_in_flight; /* open loop, likewise; else 0 */
	uint64_t connections;
	int64_t connection_lifetime_ns; /* 0: as long as the server lets them */
	uint64_t seed;                  /* as given, or drawn */
	bool fail_on_error;
	const char *name;                 /* of the run, in reports; NULL: none */
	struct option_strings assertions; /* each passed assertion_check() */
	struct option_strings reconcile;  /* each passed reconcile_check_url() */

	/* What is said of it. */
	struct plan_output outputs[PLAN_MAX_OUTPUTS]; /* at most one without a path */
	size_t n_outputs;
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
 * "closed loop, 50 calls at a time, over 1 connection to 127.0.0.1:9876, messages of 13
 * bytes, for 5s": what a run will do. 0 or -ENOMEM.
 */
int plan_describe(const struct plan *plan, struct buffer *out);

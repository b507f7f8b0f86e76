/*
 * The results of a call or a run as text for people, or as JSON for programs. All
 * appenders return 0 or -ENOMEM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "client/old_recorder.h"
#include "grpc/metadata.h"
#include "grpc/status.h"

/* One call. Everything is borrowed. */
struct old_report_call {
	const char *target;
	const char *peer; /* the address that answered; NULL: none */
	enum grpc_status status;
	struct str message; /* of the status */
	bool never_found;   /* there was no server to connect to */
	bool replied, mismatched;
	struct str reply;
	int64_t latency_ns;
	unsigned attempts;                         /* how often it was sent */
	const struct metadata *initial, *trailing; /* may be NULL */
};

/* {"target":...,"status":"OK","code":0,...} and a newline. */
int old_report_call_json(struct buffer *out, const struct old_report_call *call);
/*
 * "UNAVAILABLE (14): connection refused" without a newline: a failed call, in
 * one line. What a terminal would take for a command is replaced.
 */
int old_report_failure(struct buffer *out, enum grpc_status status, struct str message);
/* Text of a peer's: control characters as \xNN, what is not UTF-8 as U+FFFD. */
int old_report_visible(struct buffer *out, struct str text);

/* A run. */
struct old_report_run {
	const char *target;
	uint64_t concurrency, connections;
	int64_t elapsed_ns; /* first call's start to the last one's end */
	const struct old_recorder *results;
	uint64_t connects;          /* connections made */
	uint64_t connects_failed;   /* attempts at which no address answered */
	uint64_t attempts, retries; /* streams that calls were given; of them beyond the first */
	/* "SIGINT", or why the run was given up; NULL: its count or duration was reached. */
	const char *ended_by;
};

int old_report_run_text(struct buffer *out, const struct old_report_run *run);
int old_report_run_json(struct buffer *out, const struct old_report_run *run);

/* Four significant digits: "12.34us", "1.234ms", "20.00s". */
void old_report_duration(int64_t ns, char *text, size_t size);
/* `calls` each second, in tenths. */
uint64_t old_report_rate_tenths(uint64_t calls, int64_t elapsed_ns);

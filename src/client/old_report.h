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

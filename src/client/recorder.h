/*
 * What became of the calls of a run. Every call that was started is in exactly
 * one of: by_status (OK means that the reply was the request's echo),
 * mismatched, never_found, unfinished.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "grpc/status.h"
#include "metrics/histogram.h"

#define RECORDER_EXAMPLE_BYTES 160
#define RECORDER_NEVER_FOUND   GRPC_STATUS_COUNT /* index in examples */

struct recorder {
	uint64_t by_status[GRPC_STATUS_COUNT];
	uint64_t mismatched;      /* answered OK, with another message than was sent */
	uint64_t never_found;     /* there was no server to connect to */
	uint64_t unfinished;      /* given up when the run was interrupted */
	struct latencies *ok;     /* of by_status[GRPC_OK] */
	struct latencies *failed; /* of the other statuses, and of mismatched */
	/* The first message seen with each status, cut to what fits; "" = none. */
	char examples[GRPC_STATUS_COUNT + 1][RECORDER_EXAMPLE_BYTES];
};

/* 0 or -ENOMEM; recorder_deinit() is due after either. */
int recorder_init(struct recorder *recorder);
void recorder_deinit(struct recorder *recorder);

void recorder_answered(struct recorder *recorder, enum grpc_status status, int64_t latency_ns,
		       struct str message);
void recorder_mismatched(struct recorder *recorder, int64_t latency_ns);
void recorder_never_found(struct recorder *recorder, struct str message);
void recorder_unfinished(struct recorder *recorder);

void recorder_merge(struct recorder *into, const struct recorder *from);

/* Calls that reached a server and ended: by_status and mismatched. */
uint64_t recorder_reached(const struct recorder *recorder);
/* All of them. */
uint64_t recorder_calls(const struct recorder *recorder);

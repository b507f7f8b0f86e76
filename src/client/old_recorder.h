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
#include "metrics/latencies.h"

#define OLD_RECORDER_EXAMPLE_BYTES 160
#define OLD_RECORDER_NEVER_FOUND   GRPC_STATUS_COUNT /* index in examples */

struct old_recorder {
	uint64_t by_status[GRPC_STATUS_COUNT];
	uint64_t mismatched;      /* answered OK, with another message than was sent */
	uint64_t never_found;     /* there was no server to connect to */
	uint64_t unfinished;      /* given up when the run was interrupted */
	struct latencies *ok;     /* of by_status[GRPC_OK] */
	struct latencies *failed; /* of the other statuses, and of mismatched */
	/* The first message seen with each status, cut to what fits; "" = none. */
	char examples[GRPC_STATUS_COUNT + 1][OLD_RECORDER_EXAMPLE_BYTES];
};

/* 0 or -ENOMEM; old_recorder_deinit() is due after either. */
int old_recorder_init(struct old_recorder *recorder);
void old_recorder_deinit(struct old_recorder *recorder);

void old_recorder_answered(struct old_recorder *recorder, enum grpc_status status, int64_t latency_ns,
		       struct str message);
void old_recorder_mismatched(struct old_recorder *recorder, int64_t latency_ns);
void old_recorder_never_found(struct old_recorder *recorder, struct str message);
void old_recorder_unfinished(struct old_recorder *recorder);

void old_recorder_merge(struct old_recorder *into, const struct old_recorder *from);

/* Calls that reached a server and ended: by_status and mismatched. */
uint64_t old_recorder_reached(const struct old_recorder *recorder);
/* All of them. */
uint64_t old_recorder_calls(const struct old_recorder *recorder);

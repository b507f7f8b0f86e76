/*
 * Counters on standard error while a run lasts: a line that is redrawn each
 * second on a terminal, a line each ten seconds elsewhere. Written only when
 * standard error takes it: a blocked one does not stop the run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/timers.h"
#include "client/old_recorder.h"

struct old_progress {
	struct timer tick;
	struct timers *timers;
	const struct old_recorder *results;
	const uint64_t *in_flight;
	bool terminal;
	bool drawn; /* a line stands there that the next one replaces */
	int64_t interval_ns, started_ns, last_ns;
	uint64_t last_reached;
	struct buffer line;
};

/* Starts ticking. All pointers are borrowed until old_progress_stop(). */
void old_progress_start(struct old_progress *progress, struct timers *timers,
			const struct old_recorder *results, const uint64_t *in_flight,
			bool terminal);
/*
 * Takes the line away from the terminal. Idempotent; no effect on one that was never
 * started but is zeroed.
 */
void old_progress_stop(struct old_progress *progress);

/* What progress says. */
struct old_progress_view {
	int64_t elapsed_ns;
	uint64_t tenths_per_second; /* answered, since the line before */
	uint64_t in_flight;
	const struct old_recorder *results;
};
/*
 * "  3s  24676.5/s  74029 ok  0 failed  0 no server  50 in flight  p50 1.234ms  p99
 * 4.000ms"; 0 or -ENOMEM.
 */
int old_progress_line(struct buffer *out, const struct old_progress_view *view);

/*
 * A run over time: bins of equal length, at most SERIES_MAX_BINS; when they run
 * out, neighbours are merged and each becomes twice as long. A bin's histogram is
 * coarse (relative error below 1/16), for pictures; the run's own is fine.
 *
 * Times are ns since the beginning, as the recorder has them; what is before it
 * belongs to the first bin.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "metrics/latencies.h"

#define SERIES_MAX_BINS     512
#define SERIES_FIRST_BIN_NS (1 * NS_PER_S)
#define SERIES_BITS         4 /* of latencies_new_coarse() */

struct series_bin {
	uint64_t due, started, ok, failed;
	/* Of what ended here, from the intended start, failed or not; NULL: nothing. */
	struct latencies *latency;
};

struct series {
	int64_t bin_ns;          /* SERIES_FIRST_BIN_NS, or a power of 2 as long */
	size_t n;                /* bins up to the latest that has anything */
	struct series_bin *bins; /* SERIES_MAX_BINS of them */
	/* The bin that was last asked for: most calls fall into it. */
	size_t current;
	int64_t current_ns; /* where it begins */
};

int series_init(struct series *series); /* 0 or -ENOMEM */
void series_deinit(struct series *series);
/* Without memory for a bin's histogram its counts still hold. */
void series_due(struct series *series, int64_t at_ns, uint64_t n);
void series_started(struct series *series, int64_t at_ns);
/* A negative latency is none: the call met no server. */
void series_ended(struct series *series, int64_t at_ns, bool ok, int64_t latency_ns);
/*
 * Bins of unlike length become alike, as long as the longer. 0, or -ENOMEM: then `into`
 * has the counts of a part of `from`, or of none, and is of no more use.
 */
int series_merge(struct series *into, const struct series *from);

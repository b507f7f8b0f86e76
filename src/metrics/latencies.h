/*
 * A log-linear (HDR-like) histogram of durations, for reports, not for scrapes:
 * whole ns from 0 to 1 h at a bounded relative error, in memory that does not grow.
 * Every value is counted. Lock-free like counter.h: one writer, readers anywhere.
 *
 * With all LATENCIES_BITS the error is below 1/128 (none below 256 ns), in 36 KiB.
 * A coarse one takes half as much for each bit less. Two merge without loss: the
 * result is what one would be that all had been recorded in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define LATENCIES_BITS    7
#define LATENCIES_LONGEST (3600 * NS_PER_S)

struct latencies;

struct latencies *latencies_new(void); /* NULL: no memory */
/* A relative error below 1 in 2^bits; 1 <= bits <= LATENCIES_BITS. NULL: no memory. */
struct latencies *latencies_new_coarse(unsigned bits);
void latencies_free(struct latencies *latencies);
unsigned latencies_bits(const struct latencies *latencies);
/* As new. */
void latencies_reset(struct latencies *latencies);
void latencies_record(struct latencies *latencies, int64_t ns); /* clamps to [0, 1 h] */
/* `from` may be finer than `into`, and is coarser never (assert). */
void latencies_merge(struct latencies *into, const struct latencies *from);

uint64_t latencies_count(const struct latencies *latencies);
/* Exact, in ns; 0 when empty. */
int64_t latencies_max(const struct latencies *latencies);
int64_t latencies_min(const struct latencies *latencies);
uint64_t latencies_sum(const struct latencies *latencies);
double latencies_mean(const struct latencies *latencies);
/*
 * The value at quantile q in [0, 1]: nearest rank, upper edge of its bucket, at
 * most the exact maximum. 0 when empty.
 */
int64_t latencies_quantile(const struct latencies *latencies, double q);
/*
 * The standard deviation of all that was recorded (not of a sample), each value taken
 * as the middle of its bucket: its error is that of a value. 0 when empty.
 */
double latencies_deviation(const struct latencies *latencies);

/* The contents, for reports, and back: what one gave, another takes without loss. */
struct latencies_bucket {
	uint32_t index;
	int64_t low_ns, high_ns; /* inclusive, whole ns */
	uint64_t n;
};
/* The first bucket at index `from` or above that is not empty. False: none. */
bool latencies_next(const struct latencies *latencies, uint32_t from, struct latencies_bucket *ret);
/* 0, or -EINVAL: no such bucket. The count grows by n; set the rest with _restore(). */
int latencies_add(struct latencies *latencies, uint32_t index, uint64_t n);
/* What buckets do not tell, replaced. Of no effect on an empty one. */
void latencies_restore(struct latencies *latencies, int64_t min_ns, int64_t max_ns,
		       uint64_t sum_ns);

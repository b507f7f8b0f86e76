/*
 * Two histograms, lock-free like counter.h: one writer, readers anywhere.
 *
 * `struct histogram` has the classic buckets of an exposition: fixed upper
 * bounds, inclusive, ascending. Its count is derived from the buckets when it
 * is read, never stored, so that +Inf and _count cannot disagree. The writer
 * stores the sum before it releases the bucket: the sum of a concurrent read
 * may lead its count by one observation and never lags.
 *
 * `struct latencies` is log-linear (HDR-like): whole ns from 0 to 1 h at a
 * relative error below 1/128 (none below 256 ns), 36 KiB; for reports, not for
 * scrapes. Two of them merge without loss.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX_BOUNDS 24

struct histogram_bounds {
	size_t n; /* without +Inf */
	double values[HISTOGRAM_MAX_BOUNDS];
	const char
		*labels[HISTOGRAM_MAX_BOUNDS]; /* the `le` text, as Go prints it: series identity */
};

/* client_golang's DefBuckets: .005 .. 10 s. */
extern const struct histogram_bounds histogram_default_bounds;

struct histogram {
	const struct histogram_bounds *bounds;
	double sum;                                         /* the writer's own */
	_Atomic uint64_t sum_bits;                          /* the same, for readers */
	_Atomic uint64_t buckets[HISTOGRAM_MAX_BOUNDS + 1]; /* not cumulative; the last is +Inf */
};

struct histogram_snapshot {
	uint64_t cumulative[HISTOGRAM_MAX_BOUNDS + 1]; /* [bounds->n] is the count */
	double sum;
};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds);
/*
 * False, and nothing counted, for NaN, negative or > 2^53: the caller counts an
 * internal error.
 */
bool histogram_observe(struct histogram *histogram, double value);
void histogram_read(const struct histogram *histogram, struct histogram_snapshot *ret);

struct latencies;

#define LATENCIES_BITS 7

struct latencies *latencies_new(void); /* NULL: no memory */
/* A relative error below 1 in 2^bits, in as many times less memory; 1 <= bits <= 7. */
struct latencies *latencies_new_coarse(unsigned bits);
unsigned latencies_bits(const struct latencies *latencies);
void latencies_reset(struct latencies *latencies);
void latencies_free(struct latencies *latencies);
void latencies_record(struct latencies *latencies, int64_t ns); /* clamps to [0, 1 h] */
/* `from` may be finer than `into`, and is coarser never (assert). */
void latencies_merge(struct latencies *into, const struct latencies *from);
uint64_t latencies_count(const struct latencies *latencies);
/* Exact, in ns; 0 when empty. */
int64_t latencies_max(const struct latencies *latencies);
int64_t latencies_min(const struct latencies *latencies);
double latencies_mean(const struct latencies *latencies);
/*
 * The value at quantile q in [0, 1]: nearest rank, upper edge of its bucket, at
 * most the exact maximum. 0 when empty.
 */
int64_t latencies_quantile(const struct latencies *latencies, double q);
/* Standard deviation, from the buckets' middles. */
double latencies_deviation(const struct latencies *latencies);
uint64_t latencies_sum(const struct latencies *latencies); /* exact, ns */

/* The contents, for reports, and back: what one gave, another takes without loss. */
struct latencies_bucket {
	uint32_t index;
	int64_t low_ns, high_ns; /* inclusive, whole ns */
	uint64_t n;
};
/* The first bucket at `from` or above that is not empty. False: none. */
bool latencies_next(const struct latencies *latencies, uint32_t from, struct latencies_bucket *ret);
/* 0, or -EINVAL: no such bucket. The count grows by n; set the rest with _restore(). */
int latencies_add(struct latencies *latencies, uint32_t index, uint64_t n);
void latencies_restore(struct latencies *latencies, int64_t min_ns, int64_t max_ns,
		       uint64_t sum_ns);

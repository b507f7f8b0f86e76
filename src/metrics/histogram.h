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

struct latencies *latencies_new(void); /* NULL: no memory */
void latencies_free(struct latencies *latencies);
void latencies_record(struct latencies *latencies, int64_t ns); /* clamps to [0, 1 h] */
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

/*
 * The classic buckets of an exposition: fixed upper bounds, inclusive, ascending.
 * Lock-free like counter.h: one writer, readers anywhere.
 *
 * The count is derived from the buckets when it is read, never stored, so that
 * +Inf and _count cannot disagree. The writer stores the sum before it releases
 * the bucket, and a reader takes the sum last: it covers whatever is counted, and
 * leads by what was observed since the reader began. On the writer's thread both are
 * of one instant.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"
#include "metrics/exemplar.h"

#define HISTOGRAM_MAX_BOUNDS 24

struct histogram_bounds {
	size_t n; /* without +Inf */
	double values[HISTOGRAM_MAX_BOUNDS];
	const char
		*labels[HISTOGRAM_MAX_BOUNDS]; /* the `le` text, as Go prints it: series identity */
};

/* client_golang's DefBuckets: .005 .. 10 s. */
extern const struct histogram_bounds histogram_default_bounds;
/* The same from 50 us on, where a server nearby answers. */
extern const struct histogram_bounds histogram_fine_bounds;

struct histogram {
	const struct histogram_bounds *bounds;
	double sum;                                         /* the writer's own */
	_Atomic uint64_t sum_bits;                          /* the same, for readers */
	_Atomic uint64_t buckets[HISTOGRAM_MAX_BOUNDS + 1]; /* not cumulative; the last is +Inf */
	struct exemplar *exemplars; /* borrowed: one for each bucket; NULL: none are kept */
	struct counter *refused;    /* borrowed: what histogram_observe() refuses; may be NULL */
};

struct histogram_snapshot {
	uint64_t cumulative[HISTOGRAM_MAX_BOUNDS + 1]; /* [bounds->n] is the count */
	double sum;
	const struct exemplar *exemplars; /* the histogram's own: for the loop's thread alone */
};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds);
/* False, and only counted as refused, for NaN, negative or > 2^53. */
bool histogram_observe(struct histogram *histogram, double value);
/*
 * On the loop's thread, after an observation of exemplar->value: the bucket's example
 * from now on. Of no effect where none are kept.
 */
void histogram_exemplify(struct histogram *histogram, const struct exemplar *exemplar);
void histogram_read(const struct histogram *histogram, struct histogram_snapshot *ret);

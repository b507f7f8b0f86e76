/*
 * A native histogram of Prometheus: buckets that grow by a constant factor, so that a
 * quantile has a bounded relative error wherever it lies, in the one series that a
 * scraper keeps. Only the protobuf format carries it; the text formats leave such a
 * family out.
 *
 * Lock-free like counter.h: one writer, readers anywhere. The buckets stand in one dense
 * array, so that no peer can make it grow; what is smaller or larger than they cover
 * counts in the first or last. The count is derived from them, and the sum covers whatever
 * is counted, as in histogram.h.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/exemplar.h"

/* 2^4 buckets from one power of two to the next: a factor of 1.044, and no larger an error. */
#define NATIVE_SCHEMA 4
/* Upper bounds from 2^-30 (a nanosecond) to 2^12 (more than an hour). */
#define NATIVE_LOWEST_POWER  (-30)
#define NATIVE_HIGHEST_POWER 12
#define NATIVE_BUCKETS       (((NATIVE_HIGHEST_POWER - NATIVE_LOWEST_POWER) << NATIVE_SCHEMA) + 1)
/* The index of buckets[0] in the terms of the format: bucket i ends at 2^(i / 2^schema). */
#define NATIVE_FIRST_INDEX (NATIVE_LOWEST_POWER * (1 << NATIVE_SCHEMA))
/* What is no larger is zero; client_golang's default. */
#define NATIVE_ZERO_THRESHOLD 0x1p-128

struct native_histogram {
	double sum;                /* the writer's own */
	_Atomic uint64_t sum_bits; /* the same, for readers */
	_Atomic uint64_t zero;
	_Atomic uint64_t buckets[NATIVE_BUCKETS];
	struct exemplar exemplar; /* the latest; not atomic */
};

struct native_snapshot {
	uint64_t count, zero;
	double sum;
	uint64_t buckets[NATIVE_BUCKETS];
	const struct exemplar *exemplar; /* the histogram's own: for the loop's thread alone */
};

void native_init(struct native_histogram *native);
/* False, and nothing counted, for NaN, negative or > 2^53. */
bool native_observe(struct native_histogram *native, double value);
/*
 * On the loop's thread, which alone may look at it: what native_observe() was given last,
 * by example.
 */
void native_exemplify(struct native_histogram *native, const struct exemplar *exemplar);
void native_read(const struct native_histogram *native, struct native_snapshot *ret);
/* Where `value` > NATIVE_ZERO_THRESHOLD counts: an index into `buckets`. */
size_t native_index(double value);

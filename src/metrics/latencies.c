#include "metrics/histogram.h"

#include <float.h>
#include <stdlib.h>

#include "base/util.h"
#include "metrics/counter.h"

#define SUB_BITS 7
#define SUB      (UINT64_C(1) << SUB_BITS) /* buckets in each octave */
#define LONGEST  (3600 * NS_PER_S)         /* just under 2^42 */
#define BUCKETS  ((42 - SUB_BITS + 1) * SUB)

struct latencies {
	struct counter count;
	struct counter sum; /* ns; 2^64 of them are 584 years of waiting */
	struct gauge min, max;
	struct counter buckets[BUCKETS]; /* 36 KiB */
};

/*
 * Each octave [2^e, 2^(e+1)) from e = 7 upwards is cut into 128 equal buckets,
 * each 2^(e-7) wide. Seen in binary, a bucket is named by the position of the
 * leading one and the 7 bits behind it; the rest is dropped:
 *
 *	value   0...01xxxxxxxyyyyy   (e = 12)
 *	               |      `---- shift = e - 7 = 5 bits dropped
 *	               `----------- value >> shift = 128 + x, in 128..255
 *
 * Octaves follow one another: e = 7 takes the indices 128..255 (shift 0),
 * e = 8 the indices 256..383 (shift 1), so
 *
 *	index = shift * 128 + (value >> shift)
 *
 * and below 128, where shift is 0 as well, index = value: whole nanoseconds.
 * The last octave is e = 41, shift 34: the highest index is 34 * 128 + 255 =
 * 4607 = BUCKETS - 1.
 *
 * A bucket of octave e begins at 2^e or later and is 2^(e-7) wide, so whatever
 * lies in it is less than 1/128 of itself away from the bucket's upper edge.
 */
static size_t value_to_index(uint64_t value)
{
	/* The leading one's position is 63 - clz; `| SUB` gives all below 128 shift 0. */
	unsigned shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(value | SUB);

	return shift * SUB + (size_t)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t index_to_value(size_t index)
{
	size_t shift = index < 2 * SUB ? 0 : index / SUB - 1;
	uint64_t top = index - shift * SUB;

	return ((top + 1) << shift) - 1;
}

struct latencies *latencies_new(void)
{
	struct latencies *latencies = calloc(1, sizeof(*latencies));

	if (latencies) {
		gauge_set(&latencies->min, INT64_MAX);
	}
	return latencies;
}

void latencies_free(struct latencies *latencies)
{
	free(latencies);
}

static void extend(struct latencies *latencies, int64_t min, int64_t max)
{
	if (min < gauge_read(&latencies->min)) {
		gauge_set(&latencies->min, min);
	}
	if (max > gauge_read(&latencies->max)) {
		gauge_set(&latencies->max, max);
	}
}

void latencies_record(struct latencies *latencies, int64_t ns)
{
	int64_t value = MIN(MAX(ns, 0), LONGEST);

	extend(latencies, value, value);
	counter_add(&latencies->sum, (uint64_t)value);
	counter_increment(&latencies->buckets[value_to_index((uint64_t)value)]);
	counter_increment(&latencies->count);
}

void latencies_merge(struct latencies *into, const struct latencies *from)
{
	extend(into, gauge_read(&from->min), gauge_read(&from->max));
	counter_add(&into->sum, counter_read(&from->sum));
	counter_add(&into->count, counter_read(&from->count));
	for (size_t i = 0; i < BUCKETS; i++) {
		counter_add(&into->buckets[i], counter_read(&from->buckets[i]));
	}
}

uint64_t latencies_count(const struct latencies *latencies)
{
	return counter_read(&latencies->count);
}

int64_t latencies_max(const struct latencies *latencies)
{
	return gauge_read(&latencies->max);
}

int64_t latencies_min(const struct latencies *latencies)
{
	return latencies_count(latencies) > 0 ? gauge_read(&latencies->min) : 0;
}

double latencies_mean(const struct latencies *latencies)
{
	uint64_t n = latencies_count(latencies);

	return n > 0 ? (double)counter_read(&latencies->sum) / (double)n : 0;
}

/*
 * The rank: the smallest whole number that is not below q * n. The product is
 * off by a few units in its last place (0.07 * 100 is 7.000000000000001), which
 * must not push it to the next rank.
 */
static uint64_t rank_of(double q, uint64_t n)
{
	double exact = q * (double)n * (1 - 4 * DBL_EPSILON);
	uint64_t rank;

	if (!(exact > 0)) {
		return 1;
	}
	if (exact >= (double)n) {
		return n;
	}
	rank = (uint64_t)exact;
	return (double)rank < exact ? rank + 1 : MAX(rank, 1);
}

int64_t latencies_quantile(const struct latencies *latencies, double q)
{
	uint64_t n = latencies_count(latencies);
	uint64_t rank, seen = 0;

	if (n == 0) {
		return 0;
	}
	rank = rank_of(q, n);
	for (size_t i = 0; i < BUCKETS; i++) {
		seen += counter_read(&latencies->buckets[i]);
		if (seen >= rank) {
			return MIN((int64_t)index_to_value(i), latencies_max(latencies));
		}
	}
	return latencies_max(latencies);
}

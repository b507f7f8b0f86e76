#include "metrics/latencies.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "metrics/counter.h"

#define OCTAVES 42 /* 1 h is just under 2^42 ns */

struct latencies {
	unsigned bits; /* 2^bits buckets in each octave */
	uint32_t n;    /* buckets */
	struct counter count;
	struct counter sum; /* ns; 2^64 of them are 584 years of waiting */
	struct gauge min, max;
	struct counter buckets[]; /* 36 KiB with 7 bits */
};

/*
 * With 7 bits: each octave [2^e, 2^(e+1)) from e = 7 upwards is cut into 128 equal buckets,
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
 *
 * With fewer bits the same holds with their number for 7. The edges of a coarser
 * histogram are edges of a finer one as well: a finer bucket lies in one coarser.
 */
static inline size_t value_to_index(unsigned bits, uint64_t value)
{
	/* The leading one's position is 63 - clz; `|` gives all below 2^bits shift 0. */
	unsigned shift = 63 - bits - (unsigned)__builtin_clzll(value | UINT64_C(1) << bits);

	return ((size_t)shift << bits) + (size_t)(value >> shift);
}

/* The smallest value of a bucket. That of the next one, less 1, is its largest. */
static uint64_t index_to_value(unsigned bits, size_t index)
{
	size_t shift = index >> bits < 2 ? 0 : (index >> bits) - 1;

	return (uint64_t)(index - (shift << bits)) << shift;
}

static uint32_t bucket_count(unsigned bits)
{
	return (uint32_t)(OCTAVES - bits + 1) << bits;
}

struct latencies *latencies_new_coarse(unsigned bits)
{
	uint32_t n = bucket_count(bits);
	struct latencies *latencies;

	assert(bits >= 1 && bits <= LATENCIES_BITS);
	latencies = calloc(1, sizeof(*latencies) + n * sizeof(latencies->buckets[0]));
	if (latencies) {
		latencies->bits = bits;
		latencies->n = n;
		gauge_set(&latencies->min, INT64_MAX);
	}
	return latencies;
}

struct latencies *latencies_new(void)
{
	return latencies_new_coarse(LATENCIES_BITS);
}

void latencies_free(struct latencies *latencies)
{
	free(latencies);
}

unsigned latencies_bits(const struct latencies *latencies)
{
	return latencies->bits;
}

static void set(struct counter *counter, uint64_t value)
{
	atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

void latencies_reset(struct latencies *latencies)
{
	set(&latencies->count, 0);
	set(&latencies->sum, 0);
	gauge_set(&latencies->min, INT64_MAX);
	gauge_set(&latencies->max, 0);
	for (size_t i = 0; i < latencies->n; i++) {
		set(&latencies->buckets[i], 0);
	}
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
	int64_t value = MIN(MAX(ns, 0), LATENCIES_LONGEST);

	extend(latencies, value, value);
	counter_add(&latencies->sum, (uint64_t)value);
	counter_increment(&latencies->buckets[value_to_index(latencies->bits, (uint64_t)value)]);
	counter_increment(&latencies->count);
}

void latencies_merge(struct latencies *into, const struct latencies *from)
{
	assert(from->bits >= into->bits);
	extend(into, gauge_read(&from->min), gauge_read(&from->max));
	counter_add(&into->sum, counter_read(&from->sum));
	counter_add(&into->count, counter_read(&from->count));
	for (size_t i = 0; i < from->n; i++) {
		uint64_t n = counter_read(&from->buckets[i]);
		uint64_t low;

		if (n > 0) {
			low = index_to_value(from->bits, i);
			counter_add(&into->buckets[value_to_index(into->bits, low)], n);
		}
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

uint64_t latencies_sum(const struct latencies *latencies)
{
	return counter_read(&latencies->sum);
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
	for (size_t i = 0; i < latencies->n; i++) {
		seen += counter_read(&latencies->buckets[i]);
		if (seen >= rank) {
			return MIN((int64_t)index_to_value(latencies->bits, i + 1) - 1,
				   latencies_max(latencies));
		}
	}
	return latencies_max(latencies);
}

static double middle_of(const struct latencies_bucket *bucket)
{
	return ((double)bucket->low_ns + (double)bucket->high_ns) / 2;
}

double latencies_deviation(const struct latencies *latencies)
{
	double n = (double)latencies_count(latencies), sum = 0, squares = 0;
	struct latencies_bucket bucket;

	if (n == 0) {
		return 0;
	}
	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		sum += middle_of(&bucket) * (double)bucket.n;
	}
	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		double away = middle_of(&bucket) - sum / n;

		squares += away * away * (double)bucket.n;
	}
	return sqrt(squares / n);
}

bool latencies_next(const struct latencies *latencies, uint32_t from, struct latencies_bucket *ret)
{
	for (uint32_t i = from; i < latencies->n; i++) {
		uint64_t n = counter_read(&latencies->buckets[i]);

		if (n > 0) {
			*ret = (struct latencies_bucket){
				.index = i,
				.low_ns = (int64_t)index_to_value(latencies->bits, i),
				.high_ns = (int64_t)index_to_value(latencies->bits, i + 1) - 1,
				.n = n,
			};
			return true;
		}
	}
	return false;
}

int latencies_add(struct latencies *latencies, uint32_t index, uint64_t n)
{
	if (index >= latencies->n) {
		return -EINVAL;
	}
	counter_add(&latencies->buckets[index], n);
	counter_add(&latencies->count, n);
	return 0;
}

void latencies_restore(struct latencies *latencies, int64_t min_ns, int64_t max_ns, uint64_t sum_ns)
{
	if (latencies_count(latencies) == 0) {
		return;
	}
	gauge_set(&latencies->min, min_ns);
	gauge_set(&latencies->max, max_ns);
	set(&latencies->sum, sum_ns);
}

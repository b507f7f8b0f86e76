#include "metrics/native.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/util.h"

/* As in histogram.c: beyond it a double does not tell whole numbers apart. */
#define LARGEST 0x1p53

/* 2^(k/16) / 2: the upper bounds within one power of two, as frexp() gives a fraction. */
static const double bounds[1 << NATIVE_SCHEMA] = {
	0.5,
	0.5221368912137069,
	0.5452538663326288,
	0.5693943173783458,
	0.5946035575013605,
	0.620928906036742,
	0.6484197773255048,
	0.6771277734684463,
	0.7071067811865476,
	0.7384130729697497,
	0.7711054127039704,
	0.8052451659746271,
	0.8408964152537145,
	0.8781260801866497,
	0.9170040432046712,
	0.9576032806985737,
};

_Static_assert(ARRAY_SIZE(bounds) == 16, "the table is that of schema 4");

void native_init(struct native_histogram *native)
{
	memset(native, 0, sizeof(*native));
}

/*
 * value = fraction * 2^power with the fraction in [0.5, 1): it lies in the bucket whose
 * upper bound, inclusive, is the first at or above it. An exact power of two is the
 * fraction 0.5 of the next, whose first bound it meets: so it ends its own bucket.
 */
size_t native_index(double value)
{
	int power, low = 0, high = ARRAY_SIZE(bounds);
	double fraction = frexp(value, &power);
	int index;

	while (low < high) {
		int middle = (low + high) / 2;

		if (bounds[middle] < fraction) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	index = low + (power - 1) * (1 << NATIVE_SCHEMA) - NATIVE_FIRST_INDEX;
	return (size_t)MIN(MAX(index, 0), NATIVE_BUCKETS - 1);
}

bool native_observe(struct native_histogram *native, double value)
{
	_Atomic uint64_t *bucket = &native->zero;
	uint64_t bits;

	if (!(value >= 0 && value <= LARGEST)) {
		return false;
	}
	if (value > NATIVE_ZERO_THRESHOLD) {
		bucket = &native->buckets[native_index(value)];
	}
	native->sum += value;
	memcpy(&bits, &native->sum, sizeof(bits));
	atomic_store_explicit(&native->sum_bits, bits, memory_order_relaxed);
	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
			      memory_order_release);
	return true;
}

void native_exemplify(struct native_histogram *native, const struct exemplar *exemplar)
{
	native->exemplar = *exemplar;
}

void native_read(const struct native_histogram *native, struct native_snapshot *ret)
{
	uint64_t bits;

	ret->count = ret->zero = atomic_load_explicit(&native->zero, memory_order_acquire);
	for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
		ret->buckets[i] = atomic_load_explicit(&native->buckets[i], memory_order_acquire);
		ret->count += ret->buckets[i];
	}
	bits = atomic_load_explicit(&native->sum_bits, memory_order_relaxed);
	memcpy(&ret->sum, &bits, sizeof(ret->sum));
	ret->exemplar = native->exemplar.trace_id[0] != '\0' ? &native->exemplar : NULL;
}

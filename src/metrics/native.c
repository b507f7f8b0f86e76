#include "metrics/native.h"

#include <string.h>

#include "base/util.h"

/* As in histogram.c: beyond it a double does not tell whole numbers apart. */
#define LARGEST 0x1p53

/* 2^(k/16): the upper bounds within one power of two, and the first of the next. */
static const double bounds[] = {
	1,
	1.0442737824274138,
	1.0905077326652577,
	1.1387886347566916,
	1.189207115002721,
	1.241857812073484,
	1.2968395546510096,
	1.3542555469368927,
	1.4142135623730951,
	1.4768261459394993,
	1.5422108254079407,
	1.6104903319492543,
	1.681792830507429,
	1.7562521603732995,
	1.8340080864093424,
	1.9152065613971474,
	2,
};

/*
 * How many of them are below each 32nd of that range. They are further apart than that: of
 * a value in a 32nd one comparison tells the rest.
 */
#define PART_BITS 5
static const uint8_t below[1 << PART_BITS] = {
	0,  1,  2,  3,  3,  4,  4,  5,  6,  6,  7,  7,  8,  8,  9,  9,
	10, 10, 11, 11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 15, 16, 16,
};

_Static_assert(ARRAY_SIZE(bounds) == (1 << NATIVE_SCHEMA) + 1, "the tables are those of schema 4");

/* How a double is stored: sign, 11 bits of exponent, 52 of fraction. */
#define FRACTION_BITS 52
#define EXPONENT_BIAS 1023
#define FRACTION_MASK ((UINT64_C(1) << FRACTION_BITS) - 1)

void native_init(struct native_histogram *native)
{
	memset(native, 0, sizeof(*native));
}

/*
 * value = fraction * 2^power with the fraction in [1, 2): it lies in the bucket whose upper
 * bound, inclusive, is the first at or above it. Both are taken from the bits as they
 * stand, since every call comes by here.
 */
size_t native_index(double value)
{
	uint64_t bits, fraction_bits;
	double fraction;
	int64_t index;
	size_t k;

	memcpy(&bits, &value, sizeof(bits));
	fraction_bits = (bits & FRACTION_MASK) | (uint64_t)EXPONENT_BIAS << FRACTION_BITS;
	memcpy(&fraction, &fraction_bits, sizeof(fraction));
	k = below[(bits & FRACTION_MASK) >> (FRACTION_BITS - PART_BITS)];
	k += fraction > bounds[k];
	index = ((int64_t)(bits >> FRACTION_BITS) - EXPONENT_BIAS) * (1 << NATIVE_SCHEMA) +
		(int64_t)k - NATIVE_FIRST_INDEX;
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
	ret->exemplar = &native->exemplar;
}

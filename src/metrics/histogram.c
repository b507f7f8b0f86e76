#include "metrics/histogram.h"

#include <assert.h>
#include <string.h>

/*
 * Beyond 2^53 a double no longer tells neighbouring whole numbers apart: nothing
 * that is measured gets there.
 */
#define LARGEST 0x1p53

const struct histogram_bounds histogram_default_bounds = {
	.n = 11,
	.values = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 },
	.labels = { "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10" },
};

const struct histogram_bounds histogram_fine_bounds = {
	.n = 17,
	.values = { 5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
		    0.25, 0.5, 1, 2.5, 5, 10 },
	.labels = { "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
		    "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10" },
};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds)
{
	assert(bounds->n <= HISTOGRAM_MAX_BOUNDS);
	for (size_t i = 1; i < bounds->n; i++) {
		assert(bounds->values[i - 1] < bounds->values[i]);
	}
	memset(histogram, 0, sizeof(*histogram));
	histogram->bounds = bounds;
}

/*
 * The bucket of a value. Most observations are small and there are few bounds: a linear
 * search is the fast one.
 */
static size_t place(const struct histogram_bounds *bounds, double value)
{
	size_t i = 0;

	while (i < bounds->n && value > bounds->values[i]) {
		i++;
	}
	return i;
}

/*
 * The sum goes first and the bucket publishes it: a reader that sees the
 * observation counted sees it summed as well.
 */
bool histogram_observe(struct histogram *histogram, double value)
{
	_Atomic uint64_t *bucket;
	uint64_t bits;
	size_t i;

	/* Not `value < 0 || ...`: NaN must fail too, and compares false with everything. */
	if (!(value >= 0 && value <= LARGEST)) {
		meter_count(histogram->refused);
		return false;
	}
	i = place(histogram->bounds, value);
	histogram->sum += value;
	memcpy(&bits, &histogram->sum, sizeof(bits));
	atomic_store_explicit(&histogram->sum_bits, bits, memory_order_relaxed);
	bucket = &histogram->buckets[i];
	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
			      memory_order_release);
	return true;
}

void histogram_exemplify(struct histogram *histogram, const struct exemplar *exemplar)
{
	if (histogram->exemplars) {
		histogram->exemplars[place(histogram->bounds, exemplar->value)] = *exemplar;
	}
}

void histogram_read(const struct histogram *histogram, struct histogram_snapshot *ret)
{
	uint64_t cumulative = 0, bits;

	for (size_t i = 0; i <= histogram->bounds->n; i++) {
		cumulative += atomic_load_explicit(&histogram->buckets[i], memory_order_acquire);
		ret->cumulative[i] = cumulative;
	}
	bits = atomic_load_explicit(&histogram->sum_bits, memory_order_relaxed);
	memcpy(&ret->sum, &bits, sizeof(ret->sum));
	ret->exemplars = histogram->exemplars;
}

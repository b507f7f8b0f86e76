#include "client/figures.h"

#include <inttypes.h>
#include <math.h>

#define LARGEST 9e18

int figures_fixed(struct buffer *out, double number, unsigned digits)
{
	uint64_t one = 1, units;
	double magnitude = fabs(number);

	for (unsigned i = 0; i < digits; i++) {
		one *= 10;
	}
	/* NaN compares with nothing. */
	magnitude = magnitude * (double)one < LARGEST ? magnitude * (double)one : LARGEST;
	units = (uint64_t)(magnitude + .5);
	if (digits == 0) {
		return buffer_printf(out, "%s%" PRIu64, number < 0 && units > 0 ? "-" : "", units);
	}
	return buffer_printf(out, "%s%" PRIu64 ".%0*" PRIu64, number < 0 && units > 0 ? "-" : "",
			     units / one, (int)digits, units % one);
}

struct latencies *figures_together(const struct latencies *one, const struct latencies *other)
{
	struct latencies *both = latencies_new();

	if (both) {
		latencies_merge(both, one);
		latencies_merge(both, other);
	}
	return both;
}

int64_t figures_low(const struct latencies *latencies, const struct latencies_bucket *bucket)
{
	return MAX(bucket->low_ns, latencies_min(latencies));
}

int64_t figures_high(const struct latencies *latencies, const struct latencies_bucket *bucket)
{
	return MIN(bucket->high_ns, latencies_max(latencies));
}

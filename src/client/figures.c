#include "client/figures.h"

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

/* What the writers of several formats need of a run: numbers as text, and latencies together. */
#pragma once

#include "base/buffer.h"
#include "base/util.h"
#include "metrics/latencies.h"

/*
 * "1.250": so many digits behind the point, at most 12, whatever the locale. What is
 * beyond 9e18 with them, or no number, is cut to the largest that is not. 0 or -ENOMEM.
 */
int figures_fixed(struct buffer *out, double number, unsigned digits);
/* Both as one; it is the caller's. NULL: no memory. */
struct latencies *figures_together(const struct latencies *one, const struct latencies *other);
/* A bucket's edges, no further apart than what was recorded. */
int64_t figures_low(const struct latencies *latencies, const struct latencies_bucket *bucket);
int64_t figures_high(const struct latencies *latencies, const struct latencies_bucket *bucket);

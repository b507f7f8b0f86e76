/* What the writers of several formats need of a run: latencies together, and their edges. */
#pragma once

#include "base/util.h"
#include "metrics/latencies.h"

/* Both as one; it is the caller's. NULL: no memory. */
struct latencies *figures_together(const struct latencies *one, const struct latencies *other);
/* A bucket's edges, no further apart than what was recorded. */
int64_t figures_low(const struct latencies *latencies, const struct latencies_bucket *bucket);
int64_t figures_high(const struct latencies *latencies, const struct latencies_bucket *bucket);

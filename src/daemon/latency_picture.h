/*
 * A native histogram as a picture of bars over a logarithmic axis of time, with the
 * quantiles that people ask for: inline SVG that needs neither script nor style to be read.
 */
#pragma once

#include "base/html.h"
#include "metrics/native.h"

/*
 * Of seconds. `q` in (0, 1]. Within a bucket as Prometheus has it, on the logarithmic axis;
 * 0 where nothing was counted.
 */
double latency_quantile(const struct native_snapshot *snapshot, double q);
/* Something must have been counted. */
void latency_picture(struct html *html, const struct native_snapshot *snapshot);

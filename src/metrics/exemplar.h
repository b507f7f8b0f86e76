/*
 * Exemplars: one observation of a bucket by example, with the trace that it was part of,
 * so that a person gets from a slow bucket to a trace of a slow call. They come from the
 * `traceparent` of a call (W3C Trace Context, version 00 and later) whose sampled flag is
 * set: one that nobody recorded leads nowhere. OpenMetrics text and protobuf show them,
 * text 0.0.4 cannot.
 *
 * Unlike counts they are read and written on the loop's thread alone: a snapshot only
 * points to them, and whoever takes one on another thread leaves them alone.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define EXEMPLAR_TRACE_DIGITS 32
#define EXEMPLAR_SPAN_DIGITS  16

struct exemplar {
	char trace_id[EXEMPLAR_TRACE_DIGITS + 1]; /* "": there is none */
	char span_id[EXEMPLAR_SPAN_DIGITS + 1];
	double value;     /* what was observed, in the unit of its histogram */
	double timestamp; /* seconds since 1970 */
};

/*
 * The ids of a traceparent into `ret`, whose value and timestamp stay. False, and
 * nothing changed: it is malformed, or not sampled.
 */
bool exemplar_from_traceparent(struct str traceparent, struct exemplar *ret);

/*
 * Accept and Accept-Encoding (RFC 9110 12.5): lists of alternatives with
 * weights. Whatever cannot be read is passed over; nothing here fails.
 */
#pragma once

#include <stdbool.h>

#include "http1/server.h"

enum negotiated_format {
	NEGOTIATED_TEXT, /* 0.0.4 */
	NEGOTIATED_OPENMETRICS,
	NEGOTIATED_PROTOBUF,
};

struct negotiated {
	enum negotiated_format format;
	const char *content_type; /* static */
};

/*
 * The format that Accept weighs highest, of those at the same weight the first; text
 * where it names none that there is. Ranges speak for text alone, as what is no text
 * must be asked for by name:
 *
 * application/openmetrics-text, where `openmetrics` says that it is served, of version
 * 1.0.0, or 0.0.1, a draft of which 1.0.0 is as good a body. Without a version it is
 * 1.0.0: the oldest that was published, as its standard has it, and what the body is.
 *
 * application/vnd.google.protobuf of io.prometheus.client.MetricFamily, delimited.
 *
 * `escaping` (how names beyond the legacy character set are written) is said where the
 * alternative that won asked for a scheme by a known name. All names here are of that
 * set, so the body is the same in each.
 */
struct negotiated negotiate_format(const struct http1_request *request, bool openmetrics);

/* gzip by name (or its alias x-gzip), else `*`, with a weight above 0. */
bool negotiate_gzip(const struct http1_request *request);

/*
 * Encoders of a registry into a wire format, behind one interface so that
 * several stand side by side. Each appends to a buffer.
 */
#pragma once

#include "base/buffer.h"
#include "metrics/registry.h"

struct exposition {
	const char *content_type;
	/*
	 * `filter` may be NULL: all families. 0 or -ENOMEM; on failure `out` holds a part
	 * and must be thrown away.
	 */
	int (*encode)(struct registry *registry, const struct registry_filter *filter,
		      struct buffer *out);
};

/* Text format 0.0.4. */
#define EXPOSITION_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
extern const struct exposition exposition_text;

/*
 * OpenMetrics 1.0 text. Counters whose name does not end in "_total" are of type unknown
 * there, as renaming them would make other series of them.
 */
#define EXPOSITION_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
extern const struct exposition exposition_openmetrics;

/* Delimited io.prometheus.client.MetricFamily messages: the one that carries METRIC_NATIVE. */
#define EXPOSITION_PROTOBUF_TYPE                                                     \
	"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; " \
	"encoding=delimited"
extern const struct exposition exposition_protobuf;

/*
 * A float as Go's strconv 'g' -1 prints it, whatever the locale. `text` has room
 * for 32. Returns its length.
 */
size_t exposition_format_double(double value, char text[32]);

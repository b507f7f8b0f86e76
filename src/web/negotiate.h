/*
 * Accept and Accept-Encoding (RFC 9110 12.5): lists of alternatives with
 * weights. Whatever cannot be read is passed over; nothing here fails.
 */
#pragma once

#include <stdbool.h>

#include "http1/server.h"

/*
 * The Content-Type of a text 0.0.4 response. `escaping` (how names beyond the
 * legacy character set are written) is said where the preferred clause for this
 * very format asked for a scheme that it can carry: underscores, dots, values.
 * allow-utf-8 is not one: quoted names came with text 1.0.0. All names here are
 * of the legacy set, so the body is the same in each.
 */
const char *negotiate_text(const struct http1_request *request);

/* gzip by name (or its alias x-gzip), else `*`, with a weight above 0. */
bool negotiate_gzip(const struct http1_request *request);

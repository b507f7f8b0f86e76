/* Pieces of JSON, appended to a buffer. Each returns 0 or -ENOMEM. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "grpc/metadata.h"

/*
 * A quoted string. Control characters (an inner NUL too) are escaped; what is not UTF-8
 * becomes U+FFFD.
 */
int json_string(struct buffer *out, struct str text);
/* ns as a number of seconds: 0.001234567 */
int json_seconds(struct buffer *out, int64_t ns);
/*
 * {"name":["value",...],...}: order and duplicates kept within a name; "-bin" values in
 * base64. May be NULL: {}.
 */
int json_metadata(struct buffer *out, const struct metadata *metadata);

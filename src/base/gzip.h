/* One-shot gzip (RFC 1952) over zlib. */
#pragma once

#include "base/buffer.h"
#include "base/util.h"

/*
 * Appends the gzip form of `plain` to `out`: 0 or -ENOMEM; `out` is as before on
 * failure. level 1..9.
 */
int gzip_compress(struct bytes plain, int level, struct buffer *out);

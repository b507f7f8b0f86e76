/* gzip (RFC 1952) over zlib, of whole pieces. */
#pragma once

#include "base/buffer.h"
#include "base/util.h"

/*
 * What zlib needs is allocated at the first use in each direction, and serves all
 * that come after; nothing of one piece is remembered for the next. Zero is one
 * that nobody has used yet.
 */
struct gzip {
	struct gzip_stream *deflate, *inflate;
	int level;
};

void gzip_deinit(struct gzip *gzip);

/*
 * Appends the gzip form of `plain` to `out`: 0 or -ENOMEM; `out` is as before on
 * failure. level 1..9, the same in every call.
 */
int gzip_deflate(struct gzip *gzip, struct bytes plain, int level, struct buffer *out);
/*
 * Replaces what is in `out` by what is in `packed`. 0; -EBADMSG: not gzip, torn, or
 * something follows it; -EMSGSIZE: more than `max` bytes, found without memory for
 * more; -ENOMEM. `out` is empty on failure.
 */
int gzip_inflate(struct gzip *gzip, struct bytes packed, size_t max, struct buffer *out);

/* gzip_deflate() for once. */
int gzip_compress(struct bytes plain, int level, struct buffer *out);

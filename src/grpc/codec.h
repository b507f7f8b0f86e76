/*
 * gzip of single messages (grpc-encoding, PROTOCOL-HTTP2 "Compression"). No
 * context goes from one message to the next, so one codec serves all calls of a
 * server or a channel, and zlib's memory (some 300 KiB once both directions were
 * used) is theirs and not a call's.
 */
#pragma once

#include <stddef.h>

#include "base/buffer.h"
#include "base/gzip.h"
#include "base/util.h"

/* Zero is a codec that nobody has used yet. */
struct codec {
	struct gzip gzip;
	struct buffer plain;  /* of the message that was inflated last */
	struct buffer packed; /* of the message that is being deflated */
};

void codec_deinit(struct codec *codec);

/*
 * The message behind `packed`, until codec_release(). 0; -EBADMSG: no gzip, torn, or
 * followed by other bytes; -EMSGSIZE: more than `max` bytes, and no more memory
 * than that was used to find out; -ENOMEM.
 */
int codec_inflate(struct codec *codec, struct bytes packed, size_t max, struct bytes *ret_plain);
void codec_release(struct codec *codec);

/*
 * Compresses the message at the end of `out` in place: its prefix begins `from`
 * bytes behind the buffer's start. One that would not shrink stays as it is. 0 or
 * -ENOMEM (the buffer as it was).
 */
int codec_deflate(struct codec *codec, struct buffer *out, size_t from);

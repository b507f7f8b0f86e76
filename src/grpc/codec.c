#include "grpc/codec.h"

#include "grpc/wire.h"

/* Messages are short and wait for nobody: zlib's fastest. */
#define LEVEL 1

/* The gzip form of anything takes more: 18 bytes around it, and deflate's 2. */
#define NEVER_SHRINKS 20

/* Memory that stays for the next message. */
#define KEEP_BYTES ((size_t)16 * KIB)

void codec_deinit(struct codec *codec)
{
	gzip_deinit(&codec->gzip);
	buffer_free(&codec->plain);
	buffer_free(&codec->packed);
}

int codec_inflate(struct codec *codec, struct bytes packed, size_t max, struct bytes *ret_plain)
{
	int rv = gzip_inflate(&codec->gzip, packed, max, &codec->plain);

	if (rv == 0) {
		*ret_plain = buffer_bytes(&codec->plain);
	}
	return rv;
}

void codec_release(struct codec *codec)
{
	buffer_trim(&codec->plain, KEEP_BYTES);
}

int codec_deflate(struct codec *codec, struct buffer *out, size_t from)
{
	uint8_t *prefix = buffer_data(out) + from;
	struct bytes plain = { prefix + GRPC_PREFIX_BYTES,
			       buffer_len(out) - from - GRPC_PREFIX_BYTES };
	size_t n;
	int rv;

	if (plain.len <= NEVER_SHRINKS) {
		return 0;
	}
	rv = gzip_deflate(&codec->gzip, plain, LEVEL, &codec->packed);
	n = buffer_len(&codec->packed);
	if (rv == 0 && n < plain.len) {
		grpc_prefix_write(prefix, true, (uint32_t)n);
		memcpy(prefix + GRPC_PREFIX_BYTES, buffer_data(&codec->packed), n);
		out->end -= plain.len - n;
	}
	buffer_trim(&codec->packed, KEEP_BYTES);
	return rv;
}

/*
 * gzip of messages. An input is the most that may come out (2 bytes) and bytes:
 * taken as gzip, against zlib by itself, and as a message that goes there and
 * back. One codec serves both, before and after failures.
 */
#include "grpc/codec.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "fuzz.h"
#include "grpc/wire.h"
#include "heap.h"

/* zlib in one call, with room for one byte too many. -1: not one whole gzip member. */
static ssize_t slowly(struct bytes packed, size_t max, uint8_t *out)
{
	z_stream stream = {
		.next_in = (uint8_t *)(uintptr_t)packed.data,
		.avail_in = (uInt)packed.len,
		.next_out = out,
		.avail_out = (uInt)max + 1,
	};
	size_t n, left;
	int rv;

	MUST(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK);
	rv = inflate(&stream, Z_FINISH);
	n = max + 1 - stream.avail_out;
	left = stream.avail_in;
	inflateEnd(&stream);
	if (n > max) {
		return -EMSGSIZE;
	}
	return rv == Z_STREAM_END && left == 0 ? (ssize_t)n : -EBADMSG;
}

static void unpack(struct codec *codec, struct bytes packed, size_t max)
{
	uint8_t *expected = malloc(max + 1);
	struct bytes plain = { NULL, 0 };
	ssize_t n;
	int rv;

	MUST(expected);
	n = slowly(packed, max, expected);
	rv = codec_inflate(codec, packed, max, &plain);
	if (rv == 0) {
		MUST(n >= 0 && plain.len == (size_t)n);
		MUST(n == 0 || memcmp(plain.data, expected, plain.len) == 0);
	} else {
		MUST(rv == n);
	}
	/* a bomb takes no more than what may come out of it */
	MUST(codec->plain.capacity <= 2 * max + 64 * KIB);
	codec_release(codec);
	free(expected);
}

static void there_and_back(struct codec *codec, struct bytes plain)
{
	struct buffer out = BUFFER_INIT;
	uint8_t prefix[GRPC_PREFIX_BYTES];
	struct bytes packed, again;

	grpc_prefix_write(prefix, false, (uint32_t)plain.len);
	MUST(buffer_append(&out, "before", 6) == 0);
	MUST(buffer_append(&out, prefix, sizeof(prefix)) == 0);
	MUST(buffer_append(&out, plain.data, plain.len) == 0);
	MUST(codec_deflate(codec, &out, 6) == 0);
	MUST(memcmp(buffer_data(&out), "before", 6) == 0);
	packed = buffer_bytes(&out);
	packed.data += 6 + sizeof(prefix);
	packed.len -= 6 + sizeof(prefix);
	MUST(grpc_prefix_length(packed.data - sizeof(prefix)) == packed.len);
	if (packed.data[-GRPC_PREFIX_BYTES] == 0) {
		MUST(packed.len == plain.len);
		MUST(plain.len == 0 || memcmp(packed.data, plain.data, plain.len) == 0);
	} else {
		MUST(packed.len < plain.len);
		MUST(codec_inflate(codec, packed, plain.len - 1, &again) == -EMSGSIZE);
		MUST(codec_inflate(codec, packed, plain.len, &again) == 0);
		MUST(again.len == plain.len && memcmp(again.data, plain.data, plain.len) == 0);
		codec_release(codec);
	}
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	size_t max = input_number(&input, 2);
	struct bytes bytes = { input.at, input_left(&input) };
	struct codec codec = { 0 };

	unpack(&codec, bytes, max);
	there_and_back(&codec, bytes);
	unpack(&codec, bytes, max);
	codec_deinit(&codec);
	return 0;
}

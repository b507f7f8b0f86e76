#include "base/gzip.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define ZLIB_CONST /* next_in points to const */
#include <zlib.h>

#define WINDOW_BITS  15
#define GZIP_WRAPPER 16 /* added to the window bits: a gzip header and trailer, not zlib's */
#define MEMORY_LEVEL 8

/*
 * zlib's own default is the allocator of its shared library; through these, tests
 * can make ours fail.
 */
static voidpf allocate(voidpf context, uInt items, uInt size)
{
	(void)context;
	return calloc(items, size);
}

static void release(voidpf context, voidpf memory)
{
	(void)context;
	free(memory);
}

/*
 * zlib counts in 32 bits: feeds and drains in pieces. deflateBound() has said that
 * `room` suffices.
 */
static void deflate_all(z_stream *stream, struct bytes plain, struct bytes room)
{
	size_t fed = 0;
	int result;

	do {
		if (stream->avail_in == 0) {
			stream->avail_in = (uInt)MIN(plain.len - fed, UINT_MAX);
			fed += stream->avail_in;
		}
		stream->avail_out = (uInt)MIN(room.len - stream->total_out, UINT_MAX);
		result = deflate(stream, fed == plain.len ? Z_FINISH : Z_NO_FLUSH);
	} while (result == Z_OK);
	assert(result == Z_STREAM_END);
}

int gzip_compress(struct bytes plain, int level, struct buffer *out)
{
	z_stream stream = { .zalloc = allocate, .zfree = release };
	size_t bound;
	uint8_t *room;
	int err = -ENOMEM;

	assert(level >= 1 && level <= 9);
	if (deflateInit2(&stream, level, Z_DEFLATED, WINDOW_BITS + GZIP_WRAPPER, MEMORY_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		return -ENOMEM;
	}
	bound = deflateBound(&stream, plain.len);
	room = buffer_reserve(out, bound);
	if (!room) {
		goto initialised;
	}
	stream.next_in = plain.data;
	stream.next_out = room;
	deflate_all(&stream, plain, (struct bytes){ room, bound });
	buffer_commit(out, stream.total_out);
	err = 0;
initialised:
	deflateEnd(&stream);
	return err;
}

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

struct gzip_stream {
	z_stream z;
};

static struct gzip_stream *stream_new(void)
{
	struct gzip_stream *stream = calloc(1, sizeof(*stream));

	if (stream) {
		stream->z.zalloc = allocate;
		stream->z.zfree = release;
	}
	return stream;
}

/* Ready for a new piece. */
static z_stream *deflater(struct gzip *gzip, int level)
{
	struct gzip_stream *stream = gzip->deflate;

	assert(level >= 1 && level <= 9 && (!stream || level == gzip->level));
	if (stream) {
		(void)deflateReset(&stream->z);
		return &stream->z;
	}
	stream = stream_new();
	if (!stream) {
		return NULL;
	}
	if (deflateInit2(&stream->z, level, Z_DEFLATED, WINDOW_BITS + GZIP_WRAPPER, MEMORY_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(stream);
		return NULL;
	}
	gzip->deflate = stream;
	gzip->level = level;
	return &stream->z;
}

static z_stream *inflater(struct gzip *gzip)
{
	struct gzip_stream *stream = gzip->inflate;

	if (stream) {
		(void)inflateReset(&stream->z);
		return &stream->z;
	}
	stream = stream_new();
	if (!stream) {
		return NULL;
	}
	if (inflateInit2(&stream->z, WINDOW_BITS + GZIP_WRAPPER) != Z_OK) {
		free(stream);
		return NULL;
	}
	gzip->inflate = stream;
	return &stream->z;
}

void gzip_deinit(struct gzip *gzip)
{
	if (gzip->deflate) {
		(void)deflateEnd(&gzip->deflate->z);
		free(gzip->deflate);
	}
	if (gzip->inflate) {
		(void)inflateEnd(&gzip->inflate->z);
		free(gzip->inflate);
	}
	*gzip = (struct gzip){ 0 };
}

int gzip_deflate(struct gzip *gzip, struct bytes plain, int level, struct buffer *out)
{
	z_stream *z = deflater(gzip, level);
	size_t bound;
	uint8_t *room;

	if (!z) {
		return -ENOMEM;
	}
	bound = deflateBound(z, plain.len);
	room = buffer_reserve(out, bound);
	if (!room) {
		return -ENOMEM;
	}
	z->avail_in = 0;
	z->next_in = plain.data;
	z->next_out = room;
	deflate_all(z, plain, (struct bytes){ room, bound });
	buffer_commit(out, z->total_out);
	return 0;
}

/*
 * Room for what comes next, never for more than `max` in all: doubling, from a few
 * times what is packed. At the limit it is one byte outside of `out`: a piece that
 * writes there is larger.
 */
static int make_room(z_stream *z, struct bytes packed, size_t max, struct buffer *out,
		     uint8_t *beyond)
{
	size_t have = buffer_len(out);
	size_t n = MIN(max - have, MAX(have, MIN(4 * packed.len, UINT_MAX)));

	if (n == 0) {
		z->next_out = beyond;
		z->avail_out = 1;
		return 0;
	}
	z->next_out = buffer_reserve(out, n);
	z->avail_out = (uInt)MIN(n, UINT_MAX);
	return z->next_out ? 0 : -ENOMEM;
}

static int inflate_all(z_stream *z, struct bytes packed, size_t max, struct buffer *out)
{
	size_t fed = 0;
	uint8_t beyond;

	for (;;) {
		uInt room;
		int result, err = make_room(z, packed, max, out, &beyond);

		if (err < 0) {
			return err;
		}
		room = z->avail_out;
		if (z->avail_in == 0) {
			z->avail_in = (uInt)MIN(packed.len - fed, UINT_MAX);
			fed += z->avail_in;
		}
		result = inflate(z, Z_NO_FLUSH);
		if (z->next_out == &beyond + 1) {
			return -EMSGSIZE;
		}
		if (z->next_out != &beyond) {
			buffer_commit(out, room - z->avail_out);
		}
		if (result == Z_STREAM_END) {
			return z->avail_in == 0 && fed == packed.len ? 0 : -EBADMSG;
		}
		if (result == Z_MEM_ERROR) {
			return -ENOMEM;
		}
		/* no progress: it wants bytes that are not there */
		if (result != Z_OK) {
			return -EBADMSG;
		}
	}
}

int gzip_inflate(struct gzip *gzip, struct bytes packed, size_t max, struct buffer *out)
{
	z_stream *z = inflater(gzip);
	int rv;

	buffer_clear(out);
	if (!z) {
		return -ENOMEM;
	}
	z->avail_in = 0;
	z->next_in = packed.data;
	rv = inflate_all(z, packed, max, out);
	if (rv < 0) {
		buffer_free(out);
	}
	return rv;
}

int gzip_compress(struct bytes plain, int level, struct buffer *out)
{
	struct gzip gzip = { 0 };
	int rv = gzip_deflate(&gzip, plain, level, out);

	gzip_deinit(&gzip);
	return rv;
}

/* HTTP/2 frames by hand: what a peer says, byte for byte. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "base/util.h"

enum {
	F_DATA,
	F_HEADERS,
	F_PRIORITY,
	F_RST_STREAM,
	F_SETTINGS,
	F_PUSH_PROMISE,
	F_PING,
	F_GOAWAY,
	F_WINDOW_UPDATE,
	F_CONTINUATION
};
enum { F_END_STREAM = 1, F_ACK = 1, F_END_HEADERS = 4, F_PADDED = 8 };

static inline void put(struct buffer *out, const void *bytes, size_t n)
{
	assert_int_equal(buffer_append(out, bytes, n), 0);
}

static inline void put_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t id,
			     const void *payload, size_t n)
{
	const uint8_t head[9] = {
		(uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
		(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
	};

	put(out, head, sizeof(head));
	put(out, payload, n);
}

/* A literal that enters no table. */
static inline size_t put_field(uint8_t *out, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);

	out[0] = 0;
	out[1] = (uint8_t)n;
	memcpy(out + 2, name, n);
	out[2 + n] = (uint8_t)m;
	memcpy(out + 3 + n, value, m);
	return 3 + n + m;
}

/* A request's HEADERS. */
static inline void put_request(struct buffer *out, uint32_t id, uint8_t flags)
{
	uint8_t block[128];
	size_t n = 0;

	n += put_field(block + n, ":method", "POST");
	n += put_field(block + n, ":scheme", "http");
	n += put_field(block + n, ":path", "/a.B/C");
	n += put_field(block + n, ":authority", "here");
	put_frame(out, F_HEADERS, flags | F_END_HEADERS, id, block, n);
}

static inline void put_u32_frame(struct buffer *out, uint8_t type, uint32_t id, uint32_t value)
{
	const uint8_t payload[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
				     (uint8_t)(value >> 8), (uint8_t)value };

	put_frame(out, type, 0, id, payload, sizeof(payload));
}

/*
 * A growable run of bytes with a cheap front: append at the end, consume from
 * the start. An empty buffer owns no memory until something is appended.
 *
 * Allocation failure: the fallible calls return -ENOMEM (or NULL) and leave
 * the buffer as it was. Not thread-safe.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct buffer {
	uint8_t *memory;
	size_t start, end, capacity; /* content is memory[start..end) */
};

/* Empty: for static and automatic initialisers. */
#define BUFFER_INIT \
	{           \
		0   \
	}

static inline size_t buffer_len(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* Valid until the next call that appends, swaps or frees. */
static inline uint8_t *buffer_data(const struct buffer *buffer)
{
	return buffer->memory + buffer->start;
}

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
	return (struct bytes){ buffer->memory ? buffer_data(buffer) : NULL, buffer_len(buffer) };
}

/* Frees the memory; the buffer is empty and usable again. */
void buffer_release(struct buffer *buffer);
static inline void buffer_free(struct buffer *buffer)
{
	if (buffer->memory) {
		buffer_release(buffer);
	}
}

/* Forgets the content, keeps the memory. */
static inline void buffer_clear(struct buffer *buffer)
{
	buffer->start = buffer->end = 0;
}

/* Forgets the content; memory larger than `keep` bytes is given back. */
void buffer_trim(struct buffer *buffer, size_t keep);

/*
 * Room for `n` more bytes at the end, contiguous: the place to write them, or
 * NULL without memory. Follow with buffer_commit(). Grows by doubling; moves
 * the content to the front where that suffices.
 */
uint8_t *buffer_reserve_slow(struct buffer *buffer, size_t n); /* the rare part */
static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t n)
{
	if (buffer->memory && n <= buffer->capacity - buffer->end) {
		return buffer->memory + buffer->end;
	}
	return buffer_reserve_slow(buffer, n);
}

static inline void buffer_commit(struct buffer *buffer, size_t n)
{
	buffer->end += n;
}

/* The rare part of buffer_append(): it has to grow or to move. */
int buffer_append_slow(struct buffer *buffer, const void *bytes, size_t n);

/* 0 or -ENOMEM. `bytes` may be NULL when n is 0. */
static inline int buffer_append(struct buffer *buffer, const void *bytes, size_t n)
{
	if (n == 0) {
		return 0;
	}
	if (n > buffer->capacity - buffer->end) {
		return buffer_append_slow(buffer, bytes, n);
	}
	memcpy(buffer->memory + buffer->end, bytes, n);
	buffer->end += n;
	return 0;
}

int buffer_append_str(struct buffer *buffer, struct str text);

/*
 * printf into the buffer, no terminating NUL. 0 or -ENOMEM. Locale-independent only
 * for %s %c %d-likes: no floats.
 */
int buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Drops `n` bytes from the front; n <= buffer_len(). */
static inline void buffer_consume(struct buffer *buffer, size_t n)
{
	buffer->start += n;
	if (buffer->start == buffer->end) {
		buffer->start = buffer->end = 0;
	}
}

static inline void buffer_swap(struct buffer *a, struct buffer *b)
{
	struct buffer t = *a;

	*a = *b;
	*b = t;
}

#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A first allocation is at least this large: most buffers stay this small. */
#define SMALLEST 64

void buffer_release(struct buffer *buffer)
{
	free(buffer->memory);
	*buffer = (struct buffer)BUFFER_INIT;
}

void buffer_trim(struct buffer *buffer, size_t keep)
{
	buffer_clear(buffer);
	if (buffer->capacity > keep) {
		buffer_free(buffer);
	}
}

/* Larger memory for the content and `n` more bytes; the content ends up at its front. */
static int grow(struct buffer *buffer, size_t n)
{
	size_t len = buffer_len(buffer);
	size_t capacity;
	uint8_t *memory;

	/* Half of the address space: doubling below cannot wrap. */
	if (n > SIZE_MAX / 2 - len) {
		return -ENOMEM;
	}
	capacity = MAX(len + n, SMALLEST);
	if (buffer->capacity <= SIZE_MAX / 4) {
		capacity = MAX(capacity, 2 * buffer->capacity);
	}
	if (buffer->start == 0) {
		memory = realloc(buffer->memory, capacity);
		if (!memory) {
			return -ENOMEM;
		}
	} else {
		memory = malloc(capacity);
		if (!memory) {
			return -ENOMEM;
		}
		memcpy(memory, buffer_data(buffer), len);
		free(buffer->memory);
	}
	*buffer = (struct buffer){ memory, 0, len, capacity };
	return 0;
}

uint8_t *buffer_reserve_slow(struct buffer *buffer, size_t n)
{
	size_t len = buffer_len(buffer);

	/*
	 * Moving pays where at least as many bytes were consumed as have to move:
	 * each byte consumed then pays for one byte moved, and a long queue that is
	 * nibbled at does not move again and again.
	 */
	if (buffer->memory && n <= buffer->capacity - len && buffer->start >= len) {
		memcpy(buffer->memory, buffer_data(buffer), len);
		buffer->start = 0;
		buffer->end = len;
	} else if (grow(buffer, n) < 0) {
		return NULL;
	}
	return buffer->memory + buffer->end;
}

int buffer_append_slow(struct buffer *buffer, const void *bytes, size_t n)
{
	uint8_t *room = buffer_reserve(buffer, n);

	if (!room) {
		return -ENOMEM;
	}
	memcpy(room, bytes, n);
	buffer_commit(buffer, n);
	return 0;
}

int buffer_append_str(struct buffer *buffer, struct str text)
{
	return buffer_append(buffer, text.data, text.len);
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	uint8_t *room;
	size_t size;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0) {
		return -ENOMEM;
	}
	size = (size_t)n + 1; /* vsnprintf ends what it writes with a NUL */
	room = buffer_reserve(buffer, size);
	if (!room) {
		return -ENOMEM;
	}
	va_start(args, format);
	vsnprintf((char *)room, size, format, args);
	va_end(args);
	buffer_commit(buffer, (size_t)n);
	return 0;
}

/*
 * Allocations that fail on demand. Link with failing_wrap of the folder's
 * meson.build (-Wl,--wrap=malloc,...) and include this in one file only.
 *
 *	failing_at = 0;		the next allocation fails, and only that one
 *	failing_at = -1;	none does
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static long failing_at = -1;
/* Allocations that have been asked for. */
static long failing_seen;

void *__real_malloc(size_t n);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *memory, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *memory, size_t n);

static inline bool failing_now(void)
{
	failing_seen++;
	if (failing_at < 0 || failing_at-- > 0) {
		return false;
	}
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return failing_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t items, size_t size)
{
	return failing_now() ? NULL : __real_calloc(items, size);
}

void *__wrap_realloc(void *memory, size_t n)
{
	return failing_now() ? NULL : __real_realloc(memory, n);
}

/*
 * Allocations that fail on demand: link with -Wl,--wrap=malloc,--wrap=calloc,
 * --wrap=realloc, and include this in one file.
 */
#pragma once

#include <errno.h>
#include <stddef.h>

static long failing_at = -1; /* allocations until one fails; negative: none does */

static inline int failing_now(void)
{
	if (failing_at < 0 || failing_at-- > 0) {
		return 0;
	}
	errno = ENOMEM;
	return 1;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *memory, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *memory, size_t n);

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

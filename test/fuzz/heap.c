#include "heap.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

struct heap heap;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *pointer, size_t size);
void __real_free(void *pointer);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void __wrap_free(void *pointer);

static bool fails(void)
{
	heap.allocations++;
	return heap.fail_at > 0 && heap.allocations >= heap.fail_at &&
	       heap.allocations - heap.fail_at < heap.n_fail;
}

static void *count(void *pointer)
{
	heap.live += pointer ? (int64_t)malloc_usable_size(pointer) : 0;
	if (heap.live > heap.peak) {
		heap.peak = heap.live;
	}
	return pointer;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *pointer, size_t size)
{
	size_t before = pointer ? malloc_usable_size(pointer) : 0;
	void *moved;

	if (fails()) {
		return NULL;
	}
	moved = __real_realloc(pointer, size);
	if (moved || size == 0) {
		heap.live -= (int64_t)before;
	}
	return count(moved);
}

void __wrap_free(void *pointer)
{
	heap.live -= pointer ? (int64_t)malloc_usable_size(pointer) : 0;
	__real_free(pointer);
}

/*
 * What is on the heap, counted: linked with --wrap for malloc, calloc, realloc
 * and free, which sees every allocation of ours, and nghttp2's and
 * protobuf-c's, since they get their memory from us.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct heap {
	int64_t live, peak;   /* bytes, as malloc_usable_size() gives them */
	uint64_t allocations; /* calls */
	uint64_t fail_at;     /* the allocation that fails, and `n_fail` in all; 0: none */
	uint64_t n_fail;
};

extern struct heap heap;

/* Around what the harness allocates itself: it is counted, and never fails. */
static inline uint64_t heap_spare(void)
{
	uint64_t fail_at = heap.fail_at;

	heap.fail_at = 0;
	return fail_at;
}

static inline void heap_spare_end(uint64_t fail_at)
{
	heap.fail_at = fail_at;
}

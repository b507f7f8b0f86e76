/*
 * A cache of small blocks in front of malloc, by size: for libraries that
 * allocate and free the same few sizes for each request and take an allocator.
 * Blocks are allocated one by one, so that a checker of memory still sees each,
 * and at most `max_cached_bytes` wait to be used again; the rest go back.
 *
 * One thread. NULL means no memory, as with malloc.
 */
#pragma once

#include <stddef.h>

/* Larger blocks pass through. */
#define POOL_MAX_BLOCK 1024
#define POOL_STEP      16

struct pool_block;

struct pool {
	struct pool_block *free[POOL_MAX_BLOCK / POOL_STEP + 1]; /* by size in steps */
	size_t cached_bytes, max_cached_bytes;
};

void pool_init(struct pool *pool, size_t max_cached_bytes);
/* Frees what is cached; every block must have come back. */
void pool_deinit(struct pool *pool);

/* The arguments stand as libraries want them of an allocator; `pool` is a struct pool. */
void *pool_malloc(size_t size, void *pool);
void *pool_calloc(size_t n, size_t size, void *pool);
void *pool_realloc(void *pointer, size_t size, void *pool);
void pool_free(void *pointer, void *pool);

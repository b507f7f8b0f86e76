#include "base/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In front of what the user gets; keeps malloc's alignment of 16. */
struct pool_block {
	size_t steps; /* 0: larger than POOL_MAX_BLOCK */
	struct pool_block *next;
};

_Static_assert(sizeof(struct pool_block) % POOL_STEP == 0, "blocks must stay aligned");

static void *payload(struct pool_block *block)
{
	return block + 1;
}

static struct pool_block *block_of(void *pointer)
{
	return (struct pool_block *)pointer - 1;
}

void pool_init(struct pool *pool, size_t max_cached_bytes)
{
	*pool = (struct pool){ .max_cached_bytes = max_cached_bytes };
}

void pool_deinit(struct pool *pool)
{
	for (size_t i = 0; i < sizeof(pool->free) / sizeof(pool->free[0]); i++) {
		struct pool_block *block;

		while ((block = pool->free[i])) {
			pool->free[i] = block->next;
			free(block);
		}
	}
	pool->cached_bytes = 0;
}

void *pool_malloc(size_t size, void *user)
{
	struct pool *pool = user;
	size_t steps = size > POOL_MAX_BLOCK ? 0
		       : size > 0            ? (size + POOL_STEP - 1) / POOL_STEP
					     : 1;
	struct pool_block *block = steps ? pool->free[steps] : NULL;

	if (block) {
		pool->free[steps] = block->next;
		pool->cached_bytes -= steps * POOL_STEP;
		return payload(block);
	}
	if (size > SIZE_MAX - sizeof(*block)) {
		return NULL;
	}
	block = malloc(sizeof(*block) + (steps ? steps * POOL_STEP : size));
	if (!block) {
		return NULL;
	}
	block->steps = steps;
	return payload(block);
}

void *pool_calloc(size_t n, size_t size, void *pool)
{
	size_t total;
	void *pointer;

	if (__builtin_mul_overflow(n, size, &total)) {
		return NULL;
	}
	pointer = pool_malloc(total, pool);
	return pointer ? memset(pointer, 0, total) : NULL;
}

void *pool_realloc(void *pointer, size_t size, void *pool)
{
	struct pool_block *block;
	void *moved;

	if (!pointer) {
		return pool_malloc(size, pool);
	}
	block = block_of(pointer);
	if (block->steps == 0 && size > POOL_MAX_BLOCK) {
		if (size > SIZE_MAX - sizeof(*block)) {
			return NULL;
		}
		block = realloc(block, sizeof(*block) + size);
		return block ? payload(block) : NULL;
	}
	if (size <= block->steps * POOL_STEP) {
		return pointer;
	}
	moved = pool_malloc(size, pool);
	if (!moved) {
		return NULL;
	}
	/* a large block shrinks to at most POOL_MAX_BLOCK, a small one grows from its steps */
	memcpy(moved, pointer, block->steps ? block->steps * POOL_STEP : size);
	pool_free(pointer, pool);
	return moved;
}

void pool_free(void *pointer, void *user)
{
	struct pool *pool = user;
	struct pool_block *block;
	size_t bytes;

	if (!pointer) {
		return;
	}
	block = block_of(pointer);
	bytes = block->steps * POOL_STEP;
	if (block->steps == 0 || pool->cached_bytes + bytes > pool->max_cached_bytes) {
		free(block);
		return;
	}
	block->next = pool->free[block->steps];
	pool->free[block->steps] = block;
	pool->cached_bytes += bytes;
}

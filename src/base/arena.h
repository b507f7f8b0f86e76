/*
 * A capped bump allocator: many small allocations that die together. It begins
 * in memory of the caller's (which may be part of the same structure), then
 * takes chunks from the heap. The cap bounds the bytes handed out, so whatever
 * a peer sends cannot make it grow past that. The cap counts whole units of 16
 * bytes, as they are handed out.
 *
 *	arena_init(&call->arena, call->inline_memory, sizeof(call->inline_memory), cap);
 *	p = arena_alloc(&call->arena, n);      NULL: cap reached or no memory
 *	arena_reset(&call->arena);             everything dies, heap chunks freed
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct arena_chunk;

struct arena {
	uint8_t *next, *limit;      /* the free part of the current chunk */
	struct arena_chunk *chunks; /* from the heap, newest first */
	uint8_t *first;             /* the caller's memory */
	size_t first_size;
	size_t used, cap; /* bytes handed out, and their bound */
	size_t held;      /* bytes of chunks: what it takes of the heap, at most twice `used` */
	bool exhausted;   /* an allocation failed since the last reset */
};

/* `memory` (may be NULL with size 0) must outlive the arena; aligned to 16. */
void arena_init(struct arena *arena, void *memory, size_t size, size_t cap);
void arena_reset(struct arena *arena);

/* The rare part of arena_alloc(): a new chunk. */
void *arena_alloc_slow(struct arena *arena, size_t n);

/* Aligned to 16; n == 0 gives a valid pointer. NULL: over the cap, or no memory. */
static inline void *arena_alloc(struct arena *arena, size_t n)
{
	size_t size = (n + !n + 15) & ~(size_t)15;

	if (size >= n && size <= (size_t)(arena->limit - arena->next) &&
	    size <= arena->cap - arena->used) {
		void *p = arena->next;

		arena->next += size;
		arena->used += size;
		return p;
	}
	return arena_alloc_slow(arena, n);
}

/* A copy with a NUL behind it (not counted in len). data == NULL: failed. */
struct str arena_str(struct arena *arena, struct str text);

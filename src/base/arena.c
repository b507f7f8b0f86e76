#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

/*
 * Heap chunks double from the first size to the last; a larger request gets a chunk
 * of its own.
 */
#define CHUNK_FIRST ((size_t)1024)
#define CHUNK_LAST  ((size_t)64 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of memory[] */
	_Alignas(16) uint8_t memory[];
};

void arena_init(struct arena *arena, void *memory, size_t size, size_t cap)
{
	*arena = (struct arena){
		.next = memory,
		.limit = memory ? (uint8_t *)memory + size : NULL,
		.first = memory,
		.first_size = size,
		.cap = cap,
	};
}

void arena_reset(struct arena *arena)
{
	while (arena->chunks) {
		struct arena_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	arena_init(arena, arena->first, arena->first_size, arena->cap);
}

static struct arena_chunk *add_chunk(struct arena *arena, size_t size)
{
	size_t wanted = CHUNK_FIRST;
	struct arena_chunk *chunk;

	if (arena->chunks) {
		wanted = MIN(2 * arena->chunks->size, CHUNK_LAST);
	}
	/*
	 * The heap holds no more than the cap allows to hand out (rounded up to the
	 * alignment).
	 */
	wanted = MIN(wanted, (arena->cap - arena->used + 15) & ~(size_t)15);
	wanted = MAX(wanted, size);
	chunk = malloc(sizeof(*chunk) + wanted);
	if (!chunk) {
		return NULL;
	}
	arena->held += sizeof(*chunk) + wanted;
	chunk->size = wanted;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	return chunk;
}

void *arena_alloc_slow(struct arena *arena, size_t n)
{
	size_t size = (n + !n + 15) & ~(size_t)15;
	struct arena_chunk *chunk;

	if (size < n || size > arena->cap - arena->used) {
		arena->exhausted = true;
		return NULL;
	}
	chunk = add_chunk(arena, size);
	if (!chunk) {
		arena->exhausted = true;
		return NULL;
	}
	/*
	 * Go on in whichever chunk has more left, so that one large request does
	 * not waste the rest of a fresh one.
	 */
	if (chunk->size - size >= (size_t)(arena->limit - arena->next)) {
		arena->next = chunk->memory + size;
		arena->limit = chunk->memory + chunk->size;
	}
	arena->used += size;
	return chunk->memory;
}

struct str arena_str(struct arena *arena, struct str text)
{
	char *copy = text.len < SIZE_MAX ? arena_alloc(arena, text.len + 1) : NULL;

	if (!copy) {
		return (struct str){ NULL, 0 };
	}
	if (text.len > 0) {
		memcpy(copy, text.data, text.len);
	}
	copy[text.len] = '\0';
	return (struct str){ copy, text.len };
}

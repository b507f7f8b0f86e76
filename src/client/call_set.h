/*
 * A set of a run's calls, by their numbers: one bit each, in pieces that are allocated
 * as numbers occur, 2 MiB at the most. What cannot be kept for want of memory makes
 * the set `failed`: what is in it is then not all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many as servers tell apart: numbers from this one on are not for a set. */
#define CALL_SET_MAX    (UINT64_C(1) << 24)
#define CALL_SET_PIECE  65536 /* calls */
#define CALL_SET_WORD   64
#define CALL_SET_WORDS  (CALL_SET_PIECE / CALL_SET_WORD)
#define CALL_SET_PIECES (CALL_SET_MAX / CALL_SET_PIECE)

/* Zeroed: empty. */
struct call_set {
	uint64_t *pieces[CALL_SET_PIECES];
	bool failed;
};

void call_set_deinit(struct call_set *set);
void call_set_add_slow(struct call_set *set, uint64_t call);

/* `call` below CALL_SET_MAX. */
static inline void call_set_add(struct call_set *set, uint64_t call)
{
	uint64_t *piece = set->pieces[call / CALL_SET_PIECE];

	if (piece) {
		piece[call % CALL_SET_PIECE / CALL_SET_WORD] |= UINT64_C(1)
								<< (call % CALL_SET_WORD);
	} else {
		call_set_add_slow(set, call);
	}
}

/* All of first..last, and to `again` (may be NULL) those that were in `set` before. */
void call_set_add_range(struct call_set *set, struct call_set *again, uint64_t first,
			uint64_t last);
/* How many are in `set` and not in `without` (may be NULL). */
uint64_t call_set_count(const struct call_set *set, const struct call_set *without);
/* Of these, the next without a gap at or after `from`: inclusive. False: there is none. */
bool call_set_next(const struct call_set *set, const struct call_set *without, uint64_t from,
		   uint64_t *ret_first, uint64_t *ret_last);

#include "client/call_set.h"

#include <stdlib.h>

#include "base/util.h"

void call_set_deinit(struct call_set *set)
{
	for (size_t i = 0; i < CALL_SET_PIECES; i++) {
		free(set->pieces[i]);
	}
	*set = (struct call_set){ 0 };
}

/* The word that holds this call; NULL: no memory. */
static uint64_t *word_of(struct call_set *set, uint64_t call)
{
	uint64_t **piece = &set->pieces[call / CALL_SET_PIECE];

	if (!*piece) {
		*piece = calloc(CALL_SET_WORDS, sizeof(**piece));
		if (!*piece) {
			set->failed = true;
			return NULL;
		}
	}
	return &(*piece)[call % CALL_SET_PIECE / CALL_SET_WORD];
}

void call_set_add_slow(struct call_set *set, uint64_t call)
{
	uint64_t *word = word_of(set, call);

	if (word) {
		*word |= UINT64_C(1) << (call % CALL_SET_WORD);
	}
}

/* The bits of one word from `first` to `last`, both of it. */
static uint64_t mask_of(uint64_t first, uint64_t last)
{
	uint64_t up = UINT64_MAX << (first % CALL_SET_WORD);
	uint64_t down = UINT64_MAX >> (CALL_SET_WORD - 1 - last % CALL_SET_WORD);

	return up & down;
}

void call_set_add_range(struct call_set *set, struct call_set *again, uint64_t first, uint64_t last)
{
	while (first <= last) {
		uint64_t end = MIN(last, first | (CALL_SET_WORD - 1));
		uint64_t mask = mask_of(first, end), *word = word_of(set, first);

		if (word && again && (*word & mask)) {
			uint64_t *second = word_of(again, first);

			if (second) {
				*second |= *word & mask;
			}
		}
		if (word) {
			*word |= mask;
		}
		first = end + 1;
	}
}

static uint64_t look(const struct call_set *set, uint64_t call)
{
	const uint64_t *piece = set ? set->pieces[call / CALL_SET_PIECE] : NULL;

	return piece ? piece[call % CALL_SET_PIECE / CALL_SET_WORD] : 0;
}

static uint64_t difference(const struct call_set *set, const struct call_set *without,
			   uint64_t call)
{
	return look(set, call) & ~look(without, call);
}

uint64_t call_set_count(const struct call_set *set, const struct call_set *without)
{
	uint64_t n = 0;

	for (uint64_t call = 0; call < CALL_SET_MAX; call += CALL_SET_WORD) {
		n += (uint64_t)__builtin_popcountll(difference(set, without, call));
	}
	return n;
}

/* The first at or after `from` that is in the difference, or is not (`in` false). */
static uint64_t seek(const struct call_set *set, const struct call_set *without, uint64_t from,
		     bool in)
{
	while (from < CALL_SET_MAX) {
		uint64_t word = difference(set, without, from);
		uint64_t left = (in ? word : ~word) >> (from % CALL_SET_WORD);

		if (left != 0) {
			return from + (uint64_t)__builtin_ctzll(left);
		}
		from = (from / CALL_SET_WORD + 1) * CALL_SET_WORD;
	}
	return CALL_SET_MAX;
}

bool call_set_next(const struct call_set *set, const struct call_set *without, uint64_t from,
		   uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t first = seek(set, without, from, true);

	if (first == CALL_SET_MAX) {
		return false;
	}
	*ret_first = first;
	*ret_last = seek(set, without, first, false) - 1;
	return true;
}

/*
 * A run's calls lie in pieces of 65536, found by the upper bits of a number. The words
 * of what arrived and of what was answered alternate, since both are touched by a call.
 */
#include "service/runs.h"

#include <assert.h>
#include <stdlib.h>

#define WORD_BITS   64
#define PIECE_BITS  65536
#define PIECE_WORDS (PIECE_BITS / WORD_BITS)
#define N_PIECES    (RUNS_MAX_CALLS / PIECE_BITS)

struct piece {
	struct {
		uint64_t received, answered;
	} words[PIECE_WORDS];
};

struct again {
	uint64_t words[PIECE_WORDS];
};

struct run {
	struct runs_totals totals;
	bool used;
	uint32_t turn;    /* how often this place was given to a new run */
	uint64_t touched; /* by the table's own count of looks */
	struct piece *pieces[N_PIECES];
	struct again *again[N_PIECES];
};

/* What is left of a run that gave way. */
struct gone {
	uint64_t id, received, highest; /* received 0: of none */
};

/* Far more than take turns at a table, however small it is. */
#define N_GONE 256

struct runs {
	struct runs_meters meters;
	struct gone gone[N_GONE];
	size_t n_gone; /* of all time: the next takes the place of the oldest */
	uint64_t looks;
	struct run *latest; /* most calls are of the run of the one before */
	size_t max;
	struct run table[];
};

/* A ticket's slot: the place plus one in the low byte, the turn above it. */
#define PLACE_BITS 8
#define MAX_TURN   ((UINT32_C(1) << (32 - PLACE_BITS)) - 1)

_Static_assert(RUNS_MOST + 1 < (1 << PLACE_BITS) - 1, "a slot is never RUNS_NO_SLOT");

struct runs *runs_new(size_t max, const struct runs_meters *meters)
{
	struct runs *runs;

	assert(max > 0 && max <= RUNS_MOST);
	runs = calloc(1, sizeof(*runs) + max * sizeof(runs->table[0]));
	if (runs) {
		runs->max = max;
		runs->meters = *meters;
	}
	return runs;
}

static void drop(struct run *run)
{
	for (size_t i = 0; i < N_PIECES; i++) {
		free(run->pieces[i]);
		free(run->again[i]);
	}
}

void runs_free(struct runs *runs)
{
	for (size_t i = 0; runs && i < runs->max; i++) {
		drop(&runs->table[i]);
	}
	free(runs);
}

/* -- Metadata -- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

bool runs_parse_id(struct str text, uint64_t *ret)
{
	uint64_t id = 0;

	if (text.len != RUNS_ID_DIGITS) {
		return false;
	}
	for (size_t i = 0; i < RUNS_ID_DIGITS; i++) {
		int digit = hex_digit(text.data[i]);

		if (digit < 0) {
			return false;
		}
		id = id << 4 | (uint64_t)digit;
	}
	*ret = id;
	return true;
}

/* A number of up to 18 digits: what is beyond the bound is a number all the same. */
static bool parse_sequence(struct str text, uint64_t *ret)
{
	uint64_t sequence = 0;

	if (text.len == 0 || text.len > 18) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return false;
		}
		sequence = sequence * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret = sequence;
	return true;
}

static bool parse_call(struct str value, uint64_t *ret_id, uint64_t *ret_sequence)
{
	size_t head = RUNS_ID_DIGITS + 1;

	return value.len > head && value.data[RUNS_ID_DIGITS] == '-' &&
	       runs_parse_id((struct str){ value.data, RUNS_ID_DIGITS }, ret_id) &&
	       parse_sequence((struct str){ value.data + head, value.len - head }, ret_sequence);
}

/* -- The table -- */

static const struct run *find(const struct runs *runs, uint64_t id)
{
	for (size_t i = 0; i < runs->max; i++) {
		if (runs->table[i].used && runs->table[i].totals.id == id) {
			return &runs->table[i];
		}
	}
	return NULL;
}

static void remember(struct runs *runs, const struct runs_totals *totals)
{
	runs->gone[runs->n_gone++ % N_GONE] =
		(struct gone){ totals->id, totals->received, totals->highest };
}

/* Where the run was here before: what came then is lost, and known to be. */
static void recall(struct runs *runs, struct runs_totals *totals)
{
	for (size_t i = 0; i < N_GONE; i++) {
		struct gone *gone = &runs->gone[i];

		if (gone->received > 0 && gone->id == totals->id) {
			totals->received = totals->untracked = totals->lost = gone->received;
			totals->highest = gone->highest;
			gone->received = 0;
			return;
		}
	}
}

/* A free place, or that of the run which was used longest ago. */
static struct run *make_room(struct runs *runs)
{
	struct run *oldest = &runs->table[0];

	for (size_t i = 0; i < runs->max; i++) {
		struct run *run = &runs->table[i];

		if (!run->used) {
			return run;
		}
		if (run->touched < oldest->touched) {
			oldest = run;
		}
	}
	meter_count(runs->meters.evicted);
	remember(runs, &oldest->totals);
	drop(oldest);
	return oldest;
}

static struct run *enter(struct runs *runs, uint64_t id)
{
	struct run *run = make_room(runs);
	uint32_t turn = run->turn < MAX_TURN ? run->turn + 1 : 1;

	*run = (struct run){ .totals = { .id = id }, .used = true, .turn = turn };
	recall(runs, &run->totals);
	return run;
}

static struct run *look_up(struct runs *runs, uint64_t id)
{
	if (!runs->latest || runs->latest->totals.id != id) {
		const struct run *found = find(runs, id);

		runs->latest = found ? &runs->table[found - runs->table] : enter(runs, id);
	}
	runs->latest->touched = ++runs->looks;
	return runs->latest;
}

/* -- Calls -- */

/* The word of what came again; NULL: no memory. */
static uint64_t *again_word(struct run *run, uint64_t sequence)
{
	struct again **again = &run->again[sequence / PIECE_BITS];

	if (!*again) {
		*again = calloc(1, sizeof(**again));
	}
	return *again ? &(*again)->words[sequence % PIECE_BITS / WORD_BITS] : NULL;
}

/* False: there is no memory to remember it. */
static bool mark_received(struct run *run, uint64_t sequence)
{
	struct piece **piece = &run->pieces[sequence / PIECE_BITS];
	uint64_t bit = UINT64_C(1) << (sequence % WORD_BITS);
	uint64_t *word, *again;

	if (!*piece) {
		*piece = calloc(1, sizeof(**piece));
		if (!*piece) {
			return false;
		}
	}
	word = &(*piece)->words[sequence % PIECE_BITS / WORD_BITS].received;
	if (!(*word & bit)) {
		*word |= bit;
		run->totals.distinct++;
		return true;
	}
	again = again_word(run, sequence);
	if (!again) {
		return false;
	}
	run->totals.twice += !(*again & bit);
	*again |= bit;
	return true;
}

void runs_receive(struct runs *runs, const struct metadata *metadata, struct runs_ticket *ticket)
{
	struct str value = metadata_get(metadata, STR(RUNS_METADATA));
	uint64_t id, sequence;
	struct run *run;

	ticket->slot = RUNS_NO_SLOT;
	if (!value.data) {
		return;
	}
	if (!parse_call(value, &id, &sequence)) {
		meter_count(runs->meters.untracked);
		return;
	}
	run = look_up(runs, id);
	run->totals.received++;
	run->totals.highest = MAX(run->totals.highest, sequence);
	if (sequence >= RUNS_MAX_CALLS || !mark_received(run, sequence)) {
		run->totals.untracked++;
		run->totals.lost += sequence < RUNS_MAX_CALLS;
		meter_count(runs->meters.untracked);
		return;
	}
	ticket->slot = run->turn << PLACE_BITS | (uint32_t)(run - runs->table + 1);
	ticket->sequence = (uint32_t)sequence;
}

void runs_answer(struct runs *runs, const struct runs_ticket *ticket)
{
	struct run *run = &runs->table[(ticket->slot & ((1U << PLACE_BITS) - 1)) - 1];
	uint64_t bit = UINT64_C(1) << (ticket->sequence % WORD_BITS);
	struct piece *piece = run->pieces[ticket->sequence / PIECE_BITS];
	uint64_t *word;

	/* Turns begin anew some day: then it may be another's, which has no such piece. */
	if (run->turn != ticket->slot >> PLACE_BITS || !piece) {
		return; /* the call outlived what was known of its run */
	}
	word = &piece->words[ticket->sequence % PIECE_BITS / WORD_BITS].answered;
	run->totals.answered += !(*word & bit);
	*word |= bit;
}

/* -- To be told -- */

/* How many of the table were used after this one. */
static size_t rank_of(const struct runs *runs, const struct run *run)
{
	size_t rank = 0;

	for (size_t i = 0; i < runs->max; i++) {
		rank += runs->table[i].used && runs->table[i].touched > run->touched;
	}
	return rank;
}

bool runs_at(const struct runs *runs, size_t index, struct runs_totals *ret)
{
	for (size_t i = 0; i < runs->max; i++) {
		if (runs->table[i].used && rank_of(runs, &runs->table[i]) == index) {
			*ret = runs->table[i].totals;
			return true;
		}
	}
	return false;
}

bool runs_find(const struct runs *runs, uint64_t id, struct runs_totals *ret)
{
	const struct run *run = find(runs, id);

	if (run) {
		*ret = run->totals;
	}
	return run;
}

static uint64_t word_of(const struct run *run, enum runs_set set, uint64_t sequence)
{
	size_t piece = sequence / PIECE_BITS, word = sequence % PIECE_BITS / WORD_BITS;

	if (set == RUNS_TWICE) {
		return run->again[piece] ? run->again[piece]->words[word] : 0;
	}
	if (!run->pieces[piece]) {
		return 0;
	}
	return set == RUNS_RECEIVED ? run->pieces[piece]->words[word].received
				    : run->pieces[piece]->words[word].answered;
}

/* Where the next whole piece begins that is not there at all; or the next word. */
static uint64_t next_word(const struct run *run, enum runs_set set, uint64_t sequence)
{
	bool there = set == RUNS_TWICE ? run->again[sequence / PIECE_BITS] != NULL
				       : run->pieces[sequence / PIECE_BITS] != NULL;
	uint64_t unit = there ? WORD_BITS : PIECE_BITS;

	return (sequence / unit + 1) * unit;
}

/* The first number at or after `from` that is in the set, or is not in it (`in` false). */
static uint64_t seek(const struct run *run, enum runs_set set, uint64_t from, bool in)
{
	while (from < RUNS_MAX_CALLS) {
		uint64_t word = word_of(run, set, from);
		uint64_t left = (in ? word : ~word) >> (from % WORD_BITS);

		if (left != 0) {
			return from + (uint64_t)__builtin_ctzll(left);
		}
		from = next_word(run, set, from);
	}
	return RUNS_MAX_CALLS;
}

bool runs_next(const struct runs *runs, uint64_t id, enum runs_set set, uint64_t from,
	       uint64_t *ret_first, uint64_t *ret_last)
{
	const struct run *run = find(runs, id);
	uint64_t first = run ? seek(run, set, from, true) : RUNS_MAX_CALLS;

	if (first == RUNS_MAX_CALLS) {
		return false;
	}
	*ret_first = first;
	*ret_last = seek(run, set, first, false) - 1;
	return true;
}

/*
 * Which calls of a load run arrived here, and which were answered: one bit each, told
 * apart by what a client writes into each call's metadata:
 *
 *	echod-run: 0123456789abcdef-42		16 hex digits, and the call's number from 0
 *
 * The last few runs are kept; when one more begins, the one that was used longest ago
 * goes. A run takes memory as its numbers grow, in pieces of 65536 calls, 16 KiB each,
 * and 8 KiB more for one in which a call arrived twice; 6 MiB at the most, and a table
 * of 4 KiB. So --echo.max-runs times that is the bound, whatever callers write.
 *
 * A run that has gone and comes again, as where more run at a time than are kept, does
 * not look as if its first calls had never arrived: they are `lost`. That is known as
 * long as no more than 256 others went meanwhile.
 *
 * A value that is none is counted and else ignored; so is a number beyond
 * RUNS_MAX_CALLS, and one for which there is no memory. No allocation but that of a
 * piece; a call without the metadata costs a branch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "grpc/metadata.h"
#include "metrics/counter.h"

#define RUNS_METADATA "echod-run"
/* As many as a client tells apart. */
#define RUNS_MAX_CALLS (UINT64_C(1) << 24)
#define RUNS_MOST      64
#define RUNS_ID_DIGITS 16

struct runs;

/* Each may be NULL. */
struct runs_meters {
	struct counter *evicted;   /* runs that gave way */
	struct counter *untracked; /* calls: malformed, beyond the bound, or without memory */
};

/* A call's place in the table, kept with the call; dead once its run has gone. */
struct runs_ticket {
	uint32_t slot; /* a place and its turn; 0: not looked for; RUNS_NO_SLOT: none */
	uint32_t sequence;
};
#define RUNS_NO_SLOT UINT32_MAX

enum runs_set { RUNS_RECEIVED, RUNS_TWICE, RUNS_ANSWERED, RUNS_SETS };

/* What is known of a run. Calls beyond the bound, or of which nothing is kept, are `untracked`. */
struct runs_totals {
	uint64_t id;
	uint64_t received; /* arrivals, those again and those untracked included */
	uint64_t untracked;
	uint64_t lost;     /* of those: there was no memory, or the run had gone since */
	uint64_t distinct; /* numbers that arrived, once or more often */
	uint64_t twice;    /* of those: that arrived again */
	uint64_t answered; /* numbers that were answered from here */
	uint64_t highest;  /* of all numbers; of no meaning where `distinct` is 0 */
};

/* `max` in 1..RUNS_MOST. NULL: no memory. `meters` is copied. */
struct runs *runs_new(size_t max, const struct runs_meters *meters);
void runs_free(struct runs *runs);

/* The rare parts of the two below. */
void runs_receive(struct runs *runs, const struct metadata *metadata, struct runs_ticket *ticket);
void runs_answer(struct runs *runs, const struct runs_ticket *ticket);

/* A call came in with this metadata. Its ticket was zeroed with it. `runs` may be NULL. */
static inline void runs_received(struct runs *runs, const struct metadata *metadata,
				 struct runs_ticket *ticket)
{
	if (metadata->n > 0 && runs && ticket->slot == 0) {
		runs_receive(runs, metadata, ticket);
	}
}

/* The call was ended by this server, with a status of its own. */
static inline void runs_answered(struct runs *runs, const struct runs_ticket *ticket)
{
	if (ticket->slot != 0 && ticket->slot != RUNS_NO_SLOT) {
		runs_answer(runs, ticket);
	}
}

/* -- To be told -- */

/* The most recently used first: the one at `index`. False: there are not as many. */
bool runs_at(const struct runs *runs, size_t index, struct runs_totals *ret);
bool runs_find(const struct runs *runs, uint64_t id, struct runs_totals *ret);
/*
 * The next numbers without a gap in a set of that run, at or after `from`: inclusive.
 * False: there are none, or no such run.
 */
bool runs_next(const struct runs *runs, uint64_t id, enum runs_set set, uint64_t from,
	       uint64_t *ret_first, uint64_t *ret_last);

/* "0123456789abcdef". False: it is none. */
bool runs_parse_id(struct str text, uint64_t *ret);

/*
 * Two-ended truth: the servers' own counts, scraped from their /metrics before and
 * after a run, against the client's; and call by call where the servers are echod,
 * which keeps the last few runs at /-/runs/ID.
 *
 * The happy path: reconcile_begin() -> every server is scraped -> `done` -> the run
 * -> reconcile_end() -> scraped again until none says that a call is in flight ->
 * the runs are asked for -> `done` -> reconcile_result().
 *
 * What can fail: a server that cannot be reached or read before the run (nothing to
 * compare: the run does not start), or after it (said in the result), one that was
 * restarted meanwhile (its start time differs, or a count fell), calls of others (their
 * difference shows as it is).
 *
 * What a difference means. `sent` are calls whose HEADERS left, once each however often
 * they were sent anew; `received` what servers counted as begun; `answered` calls for
 * which a status came from the peer (GRPC_FROM_PEER; a reply that was not its request is
 * an OK). By code it is what servers ended with it, less what came back with it: a call
 * that was given up here (deadline, ^C, lost connection) has no status of its peer, and
 * shows as +1 of the code that its server gave it, mostly CANCELLED or
 * DEADLINE_EXCEEDED, or OK where the answer was on its way. So with nothing in between
 * they add up to sent - answered, and a negative one means that somebody else answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/run.h"
#include "net/loop.h"

#define RECONCILE_MAX_SERVERS 64
/* The header that every call of such a run carries: "0123456789abcdef-42". */
#define RECONCILE_METADATA "echod-run"
/* Calls that are told apart, here and on a server; those beyond are only counted. */
#define RECONCILE_MAX_CALLS (UINT64_C(1) << 24)

/*
 * Of a scrape, as scrapers commonly have it, and of waiting for calls in flight. No call's
 * own --timeout: that may be far shorter than a scrape, or an hour.
 */
#define RECONCILE_TIMEOUT_NS (10 * NS_PER_S)

struct reconcile;

struct reconcile_options {
	struct loop *loop;
	const char *const *urls; /* "http://host:2112/metrics"; borrowed */
	size_t n;
	const char *run_id; /* borrowed */
	const char *method; /* "muzz.Service/Echo": only its series are compared */
	/*
	 * Of reconcile_begin(), and of all of reconcile_end(): scrapes, waiting for calls in
	 * flight, and asking for the calls. An exchange that begins late has a tenth of it.
	 */
	int64_t timeout_ns;
};

/* Is `text` a URL that can be scraped? 0, or -1 with a reason. */
int reconcile_check_url(const char *text, char *why, size_t size);
/* NULL: no memory. */
struct reconcile *reconcile_new(const struct reconcile_options *options);
void reconcile_free(struct reconcile *reconcile);
/*
 * Each ends with one `done`, never from inside; `why` is NULL where it worked, else
 * a reason in one line, borrowed.
 */
void reconcile_begin(struct reconcile *reconcile, void (*done)(void *user, const char *why),
		     void *user);
void reconcile_end(struct reconcile *reconcile, void (*done)(void *user, const char *why),
		   void *user);
/* Ends what is under way; `done` is not called any more. NULL is fine. */
void reconcile_abort(struct reconcile *reconcile);

/* By the load, for call number `sequence` (from 0): it was sent (once, here); it was answered. */
void reconcile_sent(struct reconcile *reconcile, uint64_t sequence);
/* ... by a server, with a status of its own (GRPC_FROM_PEER). */
void reconcile_answered(struct reconcile *reconcile, uint64_t sequence);
/*
 * After reconcile_end(): fills run->reconciliation. The client's side is what
 * `totals` holds, all of the run's calls, warm-up included. 0 or -ENOMEM.
 */
int reconcile_result(const struct reconcile *reconcile, const struct recorder *totals,
		     struct run *run);

/*
 * Two passes over all servers at once: before the run one scrape each; after it rounds
 * of scrapes until nothing moves any more, then the calls, part by part.
 *
 *	IDLE -> BEFORE -> IDLE (the run) -> AFTER <-> pause -> CALLS -> IDLE
 *
 * Nothing moves: no server has a call in flight, and either as many calls arrived as
 * were sent, or the counts have been the same for QUIET_NS. A call that was given up
 * here may still lie in a server's socket; so "none in flight" alone is not the end.
 */
#include "client/reconcile.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/call_set.h"
#include "client/fetch.h"
#include "client/reconcile_parts.h"

_Static_assert(CALL_SET_MAX == RECONCILE_MAX_CALLS, "what is told apart, is told apart here too");

#define MAX_METRICS_BYTES (16 * MIB)
#define MAX_PART_BYTES    (4 * MIB)
#define PAUSE_NS          (20 * NS_PER_MS) /* between two rounds, and twice as long each time */
#define LONGEST_PAUSE_NS  (200 * NS_PER_MS)
#define QUIET_NS          (300 * NS_PER_MS)
#define LEAST_SHARE       10 /* an exchange that begins late has this part of the time-out */
#define WHY_BYTES         256
#define EXAMPLES          5 /* ranges of each kind */

enum stage { IDLE, BEFORE, AFTER, CALLS };

struct server {
	struct reconcile *reconcile;
	const char *text; /* the URL as given */
	struct fetch_url url;
	struct fetch_server where;
	struct fetch *fetch; /* NULL: none under way */
	char why[WHY_BYTES]; /* "": nothing is wrong */
	struct reconcile_counts before, after, difference;
	bool compared; /* `difference` is one */
	bool restarted;
	bool runs_known; /* it told all parts of the run, or took no part in it */
	uint64_t from;   /* the part that is asked for */
};

struct reconcile {
	struct reconcile_options options;
	enum stage stage;
	size_t pending;
	struct timer pause;
	struct loop_task settled; /* a stage ended before anything was asked */
	int64_t pause_ns, due_ns, moved_ns;
	uint64_t arrived; /* at the last round */
	void (*done)(void *user, const char *why);
	void *user;
	char why[WHY_BYTES + 256];

	uint64_t n_sent, n_untracked;
	struct call_set sent, answered;
	struct reconcile_seen seen;
	bool by_call;

	struct server servers[];
};

static void on_pause(struct timer *timer);
static void on_settled(struct loop_task *task);
static void ask_for_calls(struct server *server);

/* -- Life -- */

int reconcile_check_url(const char *text, char *why, size_t size)
{
	struct fetch_url url;

	return fetch_parse_url(text, &url, why, size);
}

struct reconcile *reconcile_new(const struct reconcile_options *options)
{
	struct reconcile *reconcile =
		calloc(1, sizeof(*reconcile) + options->n * sizeof(reconcile->servers[0]));

	assert(options->n <= RECONCILE_MAX_SERVERS);
	if (!reconcile) {
		return NULL;
	}
	reconcile->options = *options;
	timer_init(&reconcile->pause, on_pause);
	loop_task_init(&reconcile->settled, on_settled);
	for (size_t i = 0; i < options->n; i++) {
		struct server *server = &reconcile->servers[i];

		server->reconcile = reconcile;
		server->text = options->urls[i];
		if (fetch_parse_url(server->text, &server->url, server->why, sizeof(server->why)) ==
		    0) {
			/* else `why` is what reconcile_begin() tells */
			(void)fetch_resolve(&server->url, &server->where, server->why,
					    sizeof(server->why));
		}
	}
	return reconcile;
}

void reconcile_abort(struct reconcile *reconcile)
{
	if (!reconcile) {
		return;
	}
	for (size_t i = 0; i < reconcile->options.n; i++) {
		if (reconcile->servers[i].fetch) {
			fetch_abort(reconcile->servers[i].fetch);
			reconcile->servers[i].fetch = NULL;
		}
	}
	timer_stop(loop_timers(reconcile->options.loop), &reconcile->pause);
	loop_unschedule(&reconcile->settled);
	reconcile->stage = IDLE;
	reconcile->pending = 0;
}

void reconcile_free(struct reconcile *reconcile)
{
	reconcile_abort(reconcile);
	if (!reconcile) {
		return;
	}
	call_set_deinit(&reconcile->sent);
	call_set_deinit(&reconcile->answered);
	reconcile_seen_deinit(&reconcile->seen);
	free(reconcile);
}

void reconcile_sent(struct reconcile *reconcile, uint64_t sequence)
{
	reconcile->n_sent++;
	if (sequence < CALL_SET_MAX) {
		call_set_add(&reconcile->sent, sequence);
	} else {
		reconcile->n_untracked++;
	}
}

void reconcile_answered(struct reconcile *reconcile, uint64_t sequence)
{
	if (sequence < CALL_SET_MAX) {
		call_set_add(&reconcile->answered, sequence);
	}
}

/* -- Exchanges -- */

/* The stage is over: `done`, with the first thing that went wrong. */
static void finish(struct reconcile *reconcile)
{
	const char *why = NULL;

	for (size_t i = 0; i < reconcile->options.n && !why; i++) {
		const struct server *server = &reconcile->servers[i];

		if (server->why[0]) {
			snprintf(reconcile->why, sizeof(reconcile->why),
				 "cannot reconcile: %.200s: %s", server->text, server->why);
			why = reconcile->why;
		}
	}
	reconcile_abort(reconcile);
	reconcile->done(reconcile->user, why);
}

static void fail(struct server *server, const char *why)
{
	if (!server->why[0]) {
		snprintf(server->why, sizeof(server->why), "%s", why);
	}
}

static void get(struct server *server, const char *target, const char *accept, size_t max_bytes,
		void (*done)(void *user, const struct http1_answer *answer))
{
	struct reconcile *reconcile = server->reconcile;
	struct timers *timers = loop_timers(reconcile->options.loop);
	const struct fetch_options options = {
		.loop = reconcile->options.loop,
		.server = &server->where,
		.target = target,
		.accept = accept,
		.max_bytes = max_bytes,
		.timeout_ns = MAX(reconcile->due_ns - timers_now(timers),
				  reconcile->options.timeout_ns / LEAST_SHARE),
		.done = done,
		.user = server,
	};

	server->fetch = fetch_start(&options);
	if (server->fetch) {
		reconcile->pending++;
	} else {
		fail(server, "out of memory");
	}
}

static void end_round(struct reconcile *reconcile);

static void scraped(struct server *server, const struct http1_answer *answer)
{
	struct reconcile_counts counts;
	char why[WHY_BYTES];

	if (answer->why) {
		fail(server, answer->why);
		return;
	}
	if (answer->status != 200) {
		snprintf(why, sizeof(why), "it answers with status %d", answer->status);
		fail(server, why);
		return;
	}
	if (reconcile_read_counts((struct str){ (const char *)answer->body.data, answer->body.len },
				  server->reconcile->options.method, &counts, why,
				  sizeof(why)) < 0) {
		fail(server, why);
		return;
	}
	if (server->reconcile->stage == BEFORE) {
		server->before = counts;
	} else {
		server->after = counts;
		server->compared = true;
		server->restarted =
			reconcile_difference(&server->before, &counts, &server->difference);
	}
}

static void on_scraped(void *user, const struct http1_answer *answer)
{
	struct server *server = user;
	struct reconcile *reconcile = server->reconcile;

	server->fetch = NULL;
	scraped(server, answer);
	if (--reconcile->pending == 0) {
		end_round(reconcile);
	}
}

/* Of all servers with which nothing is wrong. */
static void scrape(struct reconcile *reconcile)
{
	for (size_t i = 0; i < reconcile->options.n; i++) {
		struct server *server = &reconcile->servers[i];

		if (!server->why[0]) {
			get(server, NULL, "text/plain;version=0.0.4", MAX_METRICS_BYTES,
			    on_scraped);
		}
	}
	if (reconcile->pending == 0) {
		loop_schedule(reconcile->options.loop, &reconcile->settled);
	}
}

static void on_settled(struct loop_task *task)
{
	finish(container_of(task, struct reconcile, settled));
}

static void on_pause(struct timer *timer)
{
	scrape(container_of(timer, struct reconcile, pause));
}

/* -- After the run -- */

static uint64_t in_flight(const struct reconcile *reconcile)
{
	uint64_t n = 0;

	for (size_t i = 0; i < reconcile->options.n; i++) {
		const struct server *server = &reconcile->servers[i];

		n += server->why[0] ? 0 : reconcile_in_flight(&server->after);
	}
	return n;
}

static uint64_t received(const struct reconcile *reconcile)
{
	uint64_t n = 0;

	for (size_t i = 0; i < reconcile->options.n; i++) {
		n += reconcile->servers[i].difference.started;
	}
	return n;
}

/* All servers could be compared, each with itself. */
static bool is_complete(const struct reconcile *reconcile)
{
	for (size_t i = 0; i < reconcile->options.n; i++) {
		const struct server *server = &reconcile->servers[i];

		if (server->why[0] || !server->compared || server->restarted ||
		    reconcile_in_flight(&server->after) > 0) {
			return false;
		}
	}
	return true;
}

/*
 * A server that was not called may have no series of the method; where none has one
 * although calls were sent, they count something else, or nothing.
 */
static void check_counted(struct reconcile *reconcile)
{
	char why[WHY_BYTES];

	for (size_t i = 0; i < reconcile->options.n; i++) {
		if (reconcile->servers[i].after.found) {
			return;
		}
	}
	snprintf(why, sizeof(why), "it has no grpc_server_started_total of %.150s",
		 reconcile->options.method);
	for (size_t i = 0; reconcile->n_sent > 0 && i < reconcile->options.n; i++) {
		fail(&reconcile->servers[i], why);
	}
}

static void begin_calls(struct reconcile *reconcile)
{
	check_counted(reconcile);
	reconcile->stage = CALLS;
	reconcile->by_call = is_complete(reconcile);
	for (size_t i = 0; reconcile->by_call && i < reconcile->options.n; i++) {
		ask_for_calls(&reconcile->servers[i]);
	}
	if (reconcile->pending == 0) {
		finish(reconcile);
	}
}

static void end_round(struct reconcile *reconcile)
{
	int64_t now_ns = timers_now(loop_timers(reconcile->options.loop));
	uint64_t arrived = received(reconcile);
	bool quiet;

	if (reconcile->stage == BEFORE) {
		finish(reconcile);
		return;
	}
	if (arrived != reconcile->arrived) {
		reconcile->arrived = arrived;
		reconcile->moved_ns = now_ns;
	}
	quiet = in_flight(reconcile) == 0 &&
		(arrived >= reconcile->n_sent || now_ns - reconcile->moved_ns >= QUIET_NS);
	if (quiet || now_ns + reconcile->pause_ns >= reconcile->due_ns) {
		begin_calls(reconcile);
		return;
	}
	timer_start(loop_timers(reconcile->options.loop), &reconcile->pause, reconcile->pause_ns);
	reconcile->pause_ns = MIN(reconcile->pause_ns * 2, LONGEST_PAUSE_NS);
}

/* True: the server is done with. */
static bool calls_told(struct server *server, const struct http1_answer *answer)
{
	struct reconcile *reconcile = server->reconcile;
	struct str body = { (const char *)answer->body.data, answer->body.len };
	char why[WHY_BYTES];

	if (answer->why) {
		return true;
	}
	if (answer->status != 200) {
		/* who received nothing knows no such run, whatever kind of server it is */
		server->runs_known = answer->status == 404 && server->difference.started == 0;
		return true;
	}
	if (reconcile_read_run(body, reconcile->options.run_id, server->from, &reconcile->seen,
			       &server->from, why, sizeof(why)) < 0) {
		return true;
	}
	server->runs_known = server->from == 0;
	return server->runs_known;
}

static void on_calls(void *user, const struct http1_answer *answer)
{
	struct server *server = user;
	struct reconcile *reconcile = server->reconcile;

	server->fetch = NULL;
	reconcile->pending--;
	if (!calls_told(server, answer) &&
	    timers_now(loop_timers(reconcile->options.loop)) < reconcile->due_ns) {
		ask_for_calls(server);
	}
	if (reconcile->pending == 0) {
		finish(reconcile);
	}
}

static void ask_for_calls(struct server *server)
{
	char target[128];

	snprintf(target, sizeof(target), "/-/runs/%.32s?from=%" PRIu64,
		 server->reconcile->options.run_id, server->from);
	get(server, target, "application/json", MAX_PART_BYTES, on_calls);
}

/* -- What the load calls -- */

static void begin(struct reconcile *reconcile, enum stage stage,
		  void (*done)(void *user, const char *why), void *user)
{
	int64_t now_ns = timers_now(loop_timers(reconcile->options.loop));

	assert(reconcile->stage == IDLE);
	reconcile->stage = stage;
	reconcile->done = done;
	reconcile->user = user;
	reconcile->pause_ns = PAUSE_NS;
	reconcile->moved_ns = now_ns;
	reconcile->due_ns = now_ns + reconcile->options.timeout_ns;
	scrape(reconcile);
}

void reconcile_begin(struct reconcile *reconcile, void (*done)(void *user, const char *why),
		     void *user)
{
	begin(reconcile, BEFORE, done, user);
}

void reconcile_end(struct reconcile *reconcile, void (*done)(void *user, const char *why),
		   void *user)
{
	begin(reconcile, AFTER, done, user);
}

/* -- The result -- */

/* "17, 203-207, ..." behind its heading; nothing where the set is empty. */
static int put_examples(struct buffer *out, const char *heading, const struct call_set *set,
			const struct call_set *without)
{
	uint64_t first, last, from = 0;
	int err = 0;

	for (int n = 0; err == 0 && call_set_next(set, without, from, &first, &last); n++) {
		if (n == EXAMPLES) {
			return buffer_append_str(out, STR(", ..."));
		}
		if (n == 0) {
			err = buffer_printf(out, "%s%s: ", buffer_len(out) > 0 ? "; " : "",
					    heading);
		}
		if (err == 0) {
			err = buffer_printf(out,
					    first == last ? "%s%" PRIu64 : "%s%" PRIu64 "-%" PRIu64,
					    n > 0 ? ", " : "", first, last);
		}
		from = last + 1;
	}
	return err;
}

static int fill_calls(const struct reconcile *reconcile, struct run_reconciliation *ret,
		      struct run *run)
{
	const struct reconcile_seen *seen = &reconcile->seen;
	struct buffer text = BUFFER_INIT;
	int err = 0;

	ret->by_call = reconcile->by_call && seen->lost == 0 && !seen->received.failed &&
		       !seen->twice.failed && !seen->answered.failed && !reconcile->sent.failed &&
		       !reconcile->answered.failed;
	for (size_t i = 0; i < reconcile->options.n; i++) {
		ret->by_call &= reconcile->servers[i].runs_known;
	}
	ret->untracked = MAX(reconcile->n_untracked, seen->untracked);
	if (!ret->by_call) {
		return 0;
	}
	ret->never_arrived = call_set_count(&reconcile->sent, &seen->received);
	ret->arrived_twice = call_set_count(&seen->twice, NULL);
	ret->answer_lost = call_set_count(&seen->answered, &reconcile->answered);
	if (put_examples(&text, "never arrived", &reconcile->sent, &seen->received) < 0 ||
	    put_examples(&text, "arrived twice", &seen->twice, NULL) < 0 ||
	    put_examples(&text, "answered and not received", &seen->answered,
			 &reconcile->answered) < 0 ||
	    (buffer_len(&text) > 0 && buffer_append(&text, "", 1) < 0)) {
		err = -ENOMEM;
	} else if (buffer_len(&text) > 0) {
		ret->examples = run_text(run, (const char *)buffer_data(&text));
		err = ret->examples ? 0 : -ENOMEM;
	}
	buffer_free(&text);
	return err;
}

static int fill_server(const struct server *server, struct run_reconciled *ret, struct run *run)
{
	uint64_t flying = reconcile_in_flight(&server->after);

	*ret = (struct run_reconciled){ .url = run_text(run, server->text),
					.restarted = server->restarted };
	if (server->compared && !server->why[0]) {
		ret->received = server->difference.started;
		memcpy(ret->by_status, server->difference.handled, sizeof(ret->by_status));
		ret->ledger = server->difference.ledger;
		memcpy(ret->faults, server->difference.faults, sizeof(ret->faults));
		ret->in_flight = flying;
	} else {
		ret->problem = run_text(run, server->why[0] ? server->why : "it was not asked");
	}
	return ret->url && (ret->problem || (server->compared && !server->why[0])) ? 0 : -ENOMEM;
}

/* What was injected, by the servers and by their answers, and what of it is silent. */
static void fill_faults(const struct reconcile *reconcile, const struct recorder *totals,
			struct run_reconciliation *ret)
{
	uint64_t silent[GRPC_STATUS_COUNT] = { 0 }, hangs;

	for (size_t i = 0; i < ret->n; i++) {
		const struct run_reconciled *server = &ret->servers[i];

		ret->ledger |= server->ledger;
		for (int word = 0; word < INJECTED_WORDS; word++) {
			ret->faults[word] += server->faults[word];
		}
		for (int status = 0; status < GRPC_STATUS_COUNT && server->ledger; status++) {
			silent[status] += reconcile->servers[i].difference.silent[status];
		}
	}
	memcpy(ret->told, totals->injected.by_word, sizeof(ret->told));
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		int64_t more = MAX(ret->by_status[status], 0);

		ret->explained[status] = MIN((uint64_t)more, silent[status]);
	}
	/* The client's deadline may be heard of before the server's own passes. */
	hangs = MIN(ret->faults[INJECTED_HANG], silent[GRPC_DEADLINE_EXCEEDED]);
	hangs -= MIN(hangs, ret->explained[GRPC_DEADLINE_EXCEEDED] + ret->told[INJECTED_HANG]);
	ret->explained[GRPC_CANCELLED] = MIN((uint64_t)MAX(ret->by_status[GRPC_CANCELLED], 0),
					     silent[GRPC_CANCELLED] + hangs);
}

int reconcile_result(const struct reconcile *reconcile, const struct recorder *totals,
		     struct run *run)
{
	struct run_reconciliation result = { .n = reconcile->options.n,
					     .complete = is_complete(reconcile),
					     .sent = reconcile->n_sent };
	const uint64_t *answered = totals->by_origin[GRPC_FROM_PEER];

	result.servers = arena_alloc(&run->arena, result.n * sizeof(result.servers[0]));
	if (!result.servers) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < result.n; i++) {
		struct run_reconciled *server = &result.servers[i];

		if (fill_server(&reconcile->servers[i], server, run) < 0) {
			return -ENOMEM;
		}
		result.received += server->received;
		for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
			result.by_status[status] += (int64_t)server->by_status[status];
		}
	}
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		/* a reply that was another than the request was a server's OK all the same */
		uint64_t n = answered[status] + (status == GRPC_OK ? totals->mismatched : 0);

		result.answered += n;
		if (run_reconciled_servers(&result) >
		    0) { /* else there is nothing to differ from */
			result.by_status[status] -= (int64_t)n;
		}
	}
	fill_faults(reconcile, totals, &result);
	if (fill_calls(reconcile, &result, run) < 0) {
		return -ENOMEM;
	}
	run->reconciliation = result;
	return 0;
}

/*
 * A run: calls over lanes (a channel and its dialer each), for a time or a number of
 * them. In a closed loop `concurrency` slots each start their next call when their last
 * one has ended. In an open one a pacer starts calls by a schedule, whatever became of
 * those before, as long as one of `max_in_flight` slots is free.
 *
 *	PREPARING -> WARMING_UP -> MEASURING -> WAITING -> CLOSING -> CLOSED
 *	servers     (--warmup)                  (--grace)  servers are
 *	are scraped                                        scraped again
 *
 * The happy path: the time is up, or the count is reached -> no more calls are due ->
 * the last one ends -> connections close, the loop empties, reports are written. Calls
 * that were due in time and found no free place still go out while the grace lasts.
 *
 * What can fail: a server goes away. The channel dials again for the calls that follow.
 * While it backs off, since it found no server or one that answers no call, the slots of
 * a closed loop wait: so each call that found no server was there for one attempt to
 * reach it, and an absent server is not hammered. In an open loop such calls fail at
 * once: that is what a user would feel. With --wait-for-ready it is the calls that wait,
 * and their deadlines run. A run without --duration ends when it has found no server for
 * as long as --timeout. When the grace is over, or at a signal, running calls are given up
 * as unfinished, and what was due and had no place is counted as never sent.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "client/load_p.h"
#include "commands.h"

/* Descriptors for everything but the calls' connections: the loop, standard streams, scrapes. */
#define SPARE_FILES 64

/* --pacing=timerfd: the most that calls of a high rate wait for others to share a timer with. */
#define QUANTUM_NS (150 * NS_PER_US)

int64_t load_wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* --- memory ---------------------------------------------------------------------- */

static void load_deinit(struct load *load)
{
	lanes_deinit(&load->lanes);
	flight_deinit(&load->flight);
	reconcile_free(load->reconcile);
	load_release_signals(load);
	recorder_deinit(&load->warmup_results);
	run_deinit(&load->run);
}

/* One that no other run has, whatever its seed. */
static void draw_id(char id[RUN_ID_DIGITS + 1])
{
	snprintf(id, RUN_ID_DIGITS + 1, "%016" PRIx64, random_entropy());
}

static bool init_reconcile(struct load *load)
{
	const struct plan *plan = load->plan;
	const struct reconcile_options options = {
		.loop = load->client->loop,
		.urls = plan->reconcile.items,
		.n = plan->reconcile.n,
		.run_id = load->run.id,
		.method = load->run.method,
		.timeout_ns = RECONCILE_TIMEOUT_NS,
	};

	if (plan->reconcile.n > 0) {
		load->reconcile = reconcile_new(&options);
	}
	return plan->reconcile.n == 0 || load->reconcile;
}

static bool init_calls(struct load *load)
{
	const struct plan *plan = load->plan;
	const struct flight_options options = {
		.client = load->client,
		.n_slots = load->open_loop ? plan->max_in_flight : plan->concurrency,
		.freed = load_freed,
		.user = load,
		.reconcile = load->reconcile,
		.run_id = load->run.id,
	};
	const struct pacer_options pacing = {
		.timers = load->timers,
		.spec = &plan->schedule,
		.random = &load->random,
		.warmup_ns = plan->warmup_ns,
		.duration_ns = plan->duration_ns,
		.count = plan->count,
		.quantum_ns = plan->pacing == PLAN_PACING_SPIN ? 0 : QUANTUM_NS,

	};

	pacer_init(&load->pacer, &pacing, &load_pacer_events, load);
	if (flight_init(&load->flight, &options) < 0 ||
	    lanes_init(&load->lanes, plan->connections, load->client, &load_lane_events, load) <
		    0) {
		return false;
	}
	load->lanes.counts = &load->warmup_results.connections;
	for (size_t i = 0; i < load->flight.n_slots; i++) {
		load->flight.slots[i].lane = &load->lanes.all[i % load->lanes.n];
		if (load->open_loop) {
			list_append(&load->free, &load->flight.slots[i].node);
		}
	}
	return true;
}

/* Calls per second at this moment; false: none is due any more. */
static bool offered_rate(void *user, double *ret_rate)
{
	const struct load *load = user;
	int64_t now_ns = timers_now(load->timers);

	if (load->phase != WARMING_UP && load->phase != MEASURING) {
		return false;
	}
	now_ns -= load->phase == WARMING_UP ? load->warmup.zero_ns : load->measured.zero_ns;
	*ret_rate = schedule_rate_at(&load->plan->schedule, now_ns);
	return true;
}

static bool init_instruments(struct load *load)
{
	struct client *client = load->client;
	const struct instruments_run run = {
		.service = client->plan->service->name,
		.method = client->plan->method->name,
		.results = &load->run.results,
		.warmup = client->plan->warmup_ns > 0 ? &load->warmup_results : NULL,
		.received_bytes = &client->bytes_in,
		.sent_bytes = &client->bytes_out,
		.offered_rate = load->open_loop ? offered_rate : NULL,
		.user = load,
	};

	return !client->exporter || instruments_show(&client->instruments, &run) == 0;
}

static bool init_signals(struct load *load)
{
	static const int numbers[] = { SIGINT, SIGTERM };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		load->signals[i] =
			loop_signal_new(load->client->loop, numbers[i], load_signalled, load);
		if (!load->signals[i]) {
			return false;
		}
	}
	return true;
}

/* load_deinit() is due after either. */
static bool load_init(struct load *load, struct client *client)
{
	const struct plan *plan = client->plan;

	*load = (struct load){
		.client = client,
		.plan = plan,
		.timers = loop_timers(client->loop),
		.open_loop = plan->schedule.n > 0,
	};
	load_phases_init(load);
	list_init(&load->free);
	random_seed(&load->random, plan->seed);
	if (recorder_init(&load->warmup_results) < 0 || run_init(&load->run) < 0 ||
	    load_describe(client, &load->run) < 0) {
		return false;
	}
	load->warmup.recorder = &load->warmup_results;
	load->measured.recorder = &load->run.results;
	load->warmup_results.open_loop = load->run.results.open_loop = load->open_loop;
	draw_id(load->run.id);
	load->run.started_unix_ns = load_wall_clock(); /* unless more comes of it */
	return init_reconcile(load) && init_calls(load) && init_instruments(load) &&
	       init_signals(load);
}

static void on_scraped(void *user, const char *why)
{
	if (why) {
		load_refuse(user, why);
	} else {
		load_begin(user);
	}
}

/* --- all of it --------------------------------------------------------------------- */

/*
 * Raises the limit on open files to what is allowed. False, with a line on stderr: it does
 * not suffice.
 */
static bool allow_files(uint64_t connections)
{
	struct rlimit limit;
	char why[160];

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		return true;
	}
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= connections + SPARE_FILES) {
		return true;
	}
	snprintf(why, sizeof(why),
		 "--connections=%" PRIu64 " needs %" PRIu64 " open files, and %ju are allowed",
		 connections, connections + SPARE_FILES, (uintmax_t)limit.rlim_cur);
	client_complain(why);
	return false;
}

static bool reconciled(struct load *load)
{
	struct recorder totals;
	bool filled = recorder_init(&totals) == 0 &&
		      recorder_merge(&totals, &load->warmup_results) == 0 &&
		      recorder_merge(&totals, &load->run.results) == 0 &&
		      reconcile_result(load->reconcile, &totals, &load->run) == 0;

	recorder_deinit(&totals);
	return filled;
}

static int load_end(struct load *load)
{
	const struct recorder_connections *before = &load->warmup_results.connections;

	if (load->refused) {
		return EXIT_FAILED;
	}
	load->ending.connected = before->opened + load->run.results.connections.opened > 0;
	if (load->reconciled && !reconciled(load)) {
		client_complain("out of memory");
		return EXIT_FAILED;
	}
	return load_report(load->client, &load->run, &load->ending);
}

int load_unresolved(struct client *client, const char *why)
{
	const struct load_ending ending = { 0 };
	struct run run;
	int code = EXIT_FAILED;

	if (run_init(&run) == 0 && load_describe(client, &run) == 0) {
		client_complain(why);
		run.results.open_loop = client->plan->schedule.n > 0;
		run.ended_by = why;
		run.started_unix_ns = load_wall_clock();
		draw_id(run.id);
		code = load_report(client, &run, &ending);
	}
	run_deinit(&run);
	return code;
}

int load_run(struct client *client)
{
	struct load *load = calloc(1, sizeof(*load));
	int code = EXIT_FAILED;

	if (!allow_files(client->plan->connections)) {
		free(load);
		return EXIT_USAGE;
	}
	if (!load || !load_init(load, client)) {
		client_complain("cannot start: out of memory or of file descriptors");
	} else {
		if (load->reconcile) {
			reconcile_begin(load->reconcile, on_scraped, load);
		} else {
			load_begin(load);
		}
		loop_run(client->loop);
		load_release_signals(load); /* whoever reads the report may keep it waiting */
		code = load_end(load);
	}
	if (load) {
		load_deinit(load);
	}
	free(load);
	return code;
}

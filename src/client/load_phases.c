/*
 * From the first call to the last: how a run goes from phase to phase, and who starts
 * the next call. See load.c.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/options.h"
#include "client/load_p.h"

/* --pacing=spin: a timer that is due so soon is waited for without sleeping. */
#define SPIN_NS NS_PER_MS

/* Open loop: calls that start together and may share a lane, and so a write to its socket. */
#define LANE_TURN 16
/* Of those that have their share, before a call goes to one all the same. */
#define LANES_ASKED 64

static void measure(struct load *load);
static void slot_next(struct load *load, struct slot *slot);

/* --- the end ------------------------------------------------------------------- */

static void enter(struct load *load, enum load_phase phase, int64_t now_ns)
{
	load->phase = phase;
	load->phase_ns = now_ns;
}

/* The last call has ended, and none is due: the run is over. */
static void check_end(struct load *load)
{
	if (load->phase == WAITING && load->flight.in_flight == 0 &&
	    (!load->open_loop || load->pacer.over)) {
		loop_schedule(load->client->loop, &load->finish);
	}
}

/* No call is due from `end_ns` on; those that were, and those that run, have the grace. */
static void end_starts(struct load *load, int64_t end_ns)
{
	if (load->phase >= WAITING) {
		return;
	}
	load->due_until_ns = end_ns;
	enter(load, WAITING, timers_now(load->timers));
	timer_start_at(load->timers, &load->turn,
		       MAX(load->phase_ns, end_ns) + load->plan->grace_ns);
	check_end(load);
}

/* What runs is given up, and what waits for a place is not started. */
static void cut(struct load *load)
{
	timer_stop(load->timers, &load->turn);
	if (load->open_loop) {
		pacer_stop(&load->pacer, timers_now(load->timers));
	}
	flight_cut(&load->flight);
	check_end(load);
}

/* No call is started any more, and those that run go on. */
static void end_early(struct load *load, const char *why)
{
	int64_t now_ns = timers_now(load->timers);

	if (load->phase >= WAITING) {
		return;
	}
	load->run.ended_by = why;
	if (load->open_loop) {
		pacer_stop(&load->pacer, now_ns);
	}
	end_starts(load, now_ns);
}

void load_release_signals(struct load *load)
{
	for (size_t i = 0; i < ARRAY_SIZE(load->signals); i++) {
		loop_signal_free(load->signals[i]);
		load->signals[i] = NULL;
	}
}

/* Lets go of what still keeps the loop alive. */
static void close_load(struct load *load)
{
	enter(load, CLOSED, timers_now(load->timers));
	for (size_t i = 0; i < ARRAY_SIZE(load->signals); i++) {
		loop_signal_unhold(load->signals[i]);
	}
	if (load->client->exporter) {
		exporter_close(load->client->exporter);
	}
}

static void on_reconciled(void *user, const char *why)
{
	struct load *load = user;

	load->reconciled = true;
	if (why) {
		client_complain(why);
	}
	close_load(load);
}

static void take_stock(struct load *load, int64_t now_ns)
{
	struct run *run = &load->run;
	struct usage last;

	usage_read(&last, load->client);
	run->results.due -= load->due_ahead;
	load->due_ahead = 0;
	run->warmup_calls = load->warmup_results.started;
	if (load->lanes.counts == &load->warmup_results.connections) { /* it did not get beyond */
		usage_charge(&load->warmup_results, &load->first, &last);
		return;
	}
	usage_charge_run(run, &load->at_zero, &last);
	run->elapsed_ns = now_ns - load->measured.zero_ns;
	run->offered_ns = MAX(load->due_until_ns - load->measured.zero_ns, 0);
	recorder_finish(&run->results, MIN(run->offered_ns, run->elapsed_ns));
}

static void on_finish(struct loop_task *task)
{
	struct load *load = container_of(task, struct load, finish);
	int64_t now_ns = timers_now(load->timers);

	assert(load->phase == WAITING && load->flight.in_flight == 0);
	enter(load, CLOSING, now_ns);
	take_stock(load, now_ns);
	assert(recorder_balanced(&load->run.results) && recorder_balanced(&load->warmup_results));
	timer_stop(load->timers, &load->turn);
	loop_set_spin(load->client->loop, 0);
	progress_stop(&load->progress);
	lanes_close(&load->lanes);
	if (load->reconcile) {
		reconcile_end(load->reconcile, on_reconciled, load);
	} else {
		close_load(load);
	}
}

/*
 * The first one ends what runs; the second does not wait for servers to be reconciled
 * with. Once nothing is left to give up, the next one ends the process.
 */
void load_signalled(void *user, int number)
{
	struct load *load = user;

	if (load->phase == CLOSED) { /* goodbyes are short, and the report follows */
		load_release_signals(load);
		load->ending.signal = number;
		return;
	}
	if (load->ending.signal && load->phase != CLOSING) {
		load_release_signals(load);
		raise(number);
		return;
	}
	load->ending.signal = number;
	load->run.ended_by = number == SIGINT ? "SIGINT" : "SIGTERM";
	if (load->phase == PREPARING || load->phase == CLOSING) {
		load_release_signals(load);
		reconcile_abort(load->reconcile);
		close_load(load);
		return;
	}
	end_starts(load, timers_now(load->timers));
	cut(load);
}

/* --- calls --------------------------------------------------------------------- */

void load_freed(void *user, struct slot *slot, int64_t now_ns)
{
	struct load *load = user;

	if (!load->open_loop) {
		slot_next(load, slot);
		return;
	}
	list_prepend(&load->free, &slot->node);
	if (pacer_waits(&load->pacer)) {
		pacer_go_on(&load->pacer, now_ns);
	}
	check_end(load);
}

/*
 * Closed loop: starts the slot's next call; or makes it wait for its lane; or lets it be,
 * at the end of the run.
 */
static void slot_next(struct load *load, struct slot *slot)
{
	bool measured = load->phase == MEASURING;

	if (load->phase >= WAITING) {
		check_end(load);
		return;
	}
	if (lane_rests(slot->lane)) {
		list_append(&slot->lane->waiting, &slot->node);
		return;
	}
	if (!flight_start(&load->flight, slot, measured ? &load->measured : &load->warmup, -1,
			  false)) {
		lane_rest(slot->lane);
		list_append(&slot->lane->waiting, &slot->node);
	}
	if (measured && load->run.results.started == load->plan->count) {
		end_starts(load, timers_now(load->timers));
	}
}

/*
 * Open loop: lanes take turns, and each has its share of the places: beyond it calls might
 * wait for a stream of this one while others have room, and one that is slow would come to
 * hold them all. A call that waited for a place takes that of one that ended, on its lane.
 * One that finds no server has its turns and no more: it fails calls so fast that it would
 * get all that others are too slow for.
 */
static struct lane *next_lane(struct load *load, const struct slot *slot,
			      const struct pacer_call *call)
{
	size_t n = load->lanes.n, share = (load->flight.n_slots + n - 1) / n;
	struct lane *lane;

	if (call->deferred && !lane_rests(slot->lane)) {
		return slot->lane;
	}
	if (call->nth % LANE_TURN == 0) {
		load->lane = load->lane + 1 < n ? load->lane + 1 : 0;
	}
	lane = &load->lanes.all[load->lane];
	for (size_t i = 0; i < LANES_ASKED && lane->in_flight >= share; i++) {
		size_t other = load->lane + 1 < n ? load->lane + 1 : 0;

		load->lane = other;
		if (!lane_rests(&load->lanes.all[other])) {
			lane = &load->lanes.all[other];
		}
	}
	return lane;
}

static bool on_due(void *user, const struct pacer_call *call)
{
	struct load *load = user;
	struct list *node = list_pop(&load->free);
	struct slot *slot;

	if (!node) {
		return false;
	}
	if (!call->warmup && load->phase == WARMING_UP) {
		measure(load); /* its timer is due, and comes after the pacer's */
	}
	slot = container_of(node, struct slot, node);
	slot->lane = next_lane(load, slot, call);
	if (!flight_start(&load->flight, slot, call->warmup ? &load->warmup : &load->measured,
			  call->intended_ns, call->deferred)) {
		list_prepend(&load->free, node);
	}
	return true;
}

static void on_pacer_over(void *user, int64_t end_ns)
{
	struct load *load = user;

	load->end_ns = end_ns;
	if (load->phase == MEASURING && load->run.results.started == load->plan->count) {
		end_starts(load, end_ns); /* nothing more is to come, and the last one ends it */
	} else if (load->phase == MEASURING) {
		timer_start_at(load->timers, &load->turn, end_ns);
	}
	check_end(load);
}

static void on_missed(void *user, bool warmup, int64_t intended_ns, uint64_t n)
{
	struct load *load = user;
	struct flight_part *part = warmup ? &load->warmup : &load->measured;

	recorder_due(part->recorder, intended_ns - part->zero_ns, n);
	recorder_never_sent(part->recorder, n);
}

const struct pacer_events load_pacer_events = {
	.start = on_due,
	.over = on_pacer_over,
	.missed = on_missed,
};

static void on_lane_rested(void *user, struct lane *lane)
{
	struct list ready = LIST_INIT(ready);
	struct list *node;

	list_splice(&ready, &lane->waiting);
	while ((node = list_pop(&ready))) {
		slot_next(user, container_of(node, struct slot, node));
	}
}

static void on_no_server(void *user)
{
	struct load *load = user;
	int64_t now_ns = timers_now(load->timers);
	char timeout[32];

	if (load->lost_ns == 0 || load->lost_ns < load->flight.answered_ns) {
		load->lost_ns = now_ns;
	}
	if (load->plan->duration_ns == 0 && now_ns - load->lost_ns >= load->plan->timeout_ns) {
		format_duration(load->plan->timeout_ns, timeout, sizeof(timeout));
		snprintf(load->lost_text, sizeof(load->lost_text), "no server for %s", timeout);
		end_early(load, load->lost_text);
	}
}

const struct lane_events load_lane_events = {
	.rested = on_lane_rested,
	.no_server = on_no_server,
};

/* --- the beginning --------------------------------------------------------------- */

/* What happens from here on is measured. */
static void measure(struct load *load)
{
	enter(load, MEASURING, timers_now(load->timers));
	load->run.started_unix_ns = load_wall_clock();
	load->lanes.counts = &load->run.results.connections;
	load->lanes.counts->open_at_start = lanes_connected(&load->lanes);
	usage_read(&load->at_zero, load->client);
	usage_charge(&load->warmup_results, &load->first, &load->at_zero);
	/* It may be that of the warm-up still: see on_due(). */
	timer_stop(load->timers, &load->turn);
	if (load->end_ns < INT64_MAX) {
		timer_start_at(load->timers, &load->turn, load->end_ns);
	}
}

static void on_turn(struct timer *timer)
{
	struct load *load = container_of(timer, struct load, turn);

	if (load->phase == WARMING_UP) {
		measure(load);
	} else if (load->phase == MEASURING) {
		end_starts(load, timer->due_ns);
	} else {
		cut(load);
	}
}

static void look(void *user, struct progress_look *ret)
{
	struct load *load = user;
	struct recorder *results = &load->run.results;
	int64_t now_ns = timers_now(load->timers);

	if (load->open_loop) { /* what waits for a place is due already */
		results->due -= load->due_ahead;
		load->due_ahead = pacer_backlog(&load->pacer, now_ns);
		results->due += load->due_ahead;
	}
	*ret = (struct progress_look){
		.phase = load->phase == WARMING_UP  ? PROGRESS_WARMING_UP
			 : load->phase == MEASURING ? PROGRESS_RUNNING
						    : PROGRESS_WAITING,
		.into_ns = now_ns - load->phase_ns,
		.in_flight = load->flight.in_flight,
		.results = load->phase == WARMING_UP ? &load->warmup_results : results,
	};
}

static void start_progress(struct load *load)
{
	const struct plan *plan = load->plan;
	const char *kind = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	bool terminal = isatty(STDERR_FILENO) && !(kind && strcmp(kind, "dumb") == 0);

	load->progress_options = (struct progress_options){
		.timers = load->timers,
		.terminal = terminal,
		.colour = terminal && !(no_colour && no_colour[0] != '\0'),
		.open_loop = load->open_loop,
		.count = plan->count,
		.duration_ns = plan->duration_ns,
		.warmup_ns = plan->warmup_ns,
		.grace_ns = plan->grace_ns,
		.look = look,
		.user = load,
	};
	progress_start(&load->progress, &load->progress_options);
}

void load_begin(struct load *load)
{
	const struct plan *plan = load->plan;
	int64_t now_ns = timers_now(load->timers);

	usage_read(&load->first, load->client);
	load->warmup.zero_ns = now_ns;
	load->measured.zero_ns = now_ns + plan->warmup_ns;
	load->end_ns =
		plan->duration_ns > 0 ? load->measured.zero_ns + plan->duration_ns : INT64_MAX;
	if (plan->warmup_ns > 0) {
		enter(load, WARMING_UP, now_ns);
		timer_start_at(load->timers, &load->turn, load->measured.zero_ns);
	} else {
		measure(load);
	}
	if (plan->progress) {
		start_progress(load);
	}
	if (load->open_loop) {
		if (plan->pacing == PLAN_PACING_SPIN) {
			loop_set_spin(load->client->loop, SPIN_NS);
		}
		pacer_begin(&load->pacer, now_ns);
		return;
	}
	for (size_t i = 0; i < load->flight.n_slots; i++) {
		slot_next(load, &load->flight.slots[i]);
	}
}

void load_refuse(struct load *load, const char *why)
{
	client_complain(why);
	load->refused = true;
	close_load(load);
}

void load_phases_init(struct load *load)
{
	timer_init(&load->turn, on_turn);
	loop_task_init(&load->finish, on_finish);
}

/*
 * Closed-loop load: `concurrency` slots, each of which starts its next call
 * when its last one has ended, spread over `connections` lanes (a channel and
 * its dialer each).
 *
 * The happy path: every slot starts a call -> closed -> recorded -> the next
 * one, until the count is reached or the time is up -> the last call ends ->
 * finish: connections close, the loop empties, the summary is printed.
 *
 * What can fail: a server goes away. The channel dials again for the calls that
 * follow. While it backs off, since it found no server or one that answers no
 * call, the slots wait: so each call that found no server was there for one
 * attempt to reach it, and an absent server is not hammered. With
 * --wait-for-ready it is the calls that wait, and their deadlines run. A run
 * without --duration ends when it has found no server for as long as --timeout.
 */
#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/client.h"
#include "client/old_progress.h"
#include "client/old_recorder.h"
#include "client/old_report.h"
#include "commands.h"
#include "grpc/channel.h"

/* Without memory for a call, the lane tries again so much later. */
#define REST_NS (100 * NS_PER_MS)

/* Descriptors for everything but the calls' connections: the loop, standard streams, scrapes. */
#define SPARE_FILES 64

struct lane {
	struct load *load;
	struct dialer dialer;
	struct grpc_channel *channel;
	struct list waiting; /* slots, while it rests */
	struct timer rest;   /* active: there was no memory */
};

struct slot {
	struct list node;
	struct lane *lane;
	struct grpc_call *call; /* NULL: none in flight */
	bool replied, echoed;
};

struct load {
	struct client *client;
	const struct plan *plan;
	struct timers *timers;
	struct lane *lanes;
	struct slot *slots;
	struct old_recorder results;
	struct old_progress progress;
	uint64_t started, in_flight;
	uint64_t connects, connects_failed;
	int64_t begin_ns, end_ns;
	int64_t lost_ns; /* since when no server is found; 0: there is one */
	struct timer time_up;
	struct loop_task finish;
	struct loop_signal *signals[2];
	int signal;           /* that ended the run; 0: none */
	const char *ended_by; /* NULL: count or duration */
	bool stopping;        /* no more calls are started */
	bool finished;        /* and the last has ended */
	char lost_text[64];
};

static void slot_next(struct slot *slot);

/* No more calls are started; the run ends with the last that is in flight. */
static void stop(struct load *load)
{
	if (!load->stopping) {
		load->stopping = true;
		timer_stop(load->timers, &load->time_up);
	}
	if (load->in_flight == 0 && !load->finished) {
		loop_schedule(load->client->loop, &load->finish);
	}
}

static void end_early(struct load *load, const char *why)
{
	if (!load->stopping) {
		load->ended_by = why;
	}
	stop(load);
}

/* A call that began now would fail at once, or could not begin. */
static bool lane_rests(const struct lane *lane)
{
	return timer_active(&lane->rest) ||
	       (grpc_channel_state(lane->channel) == GRPC_CHANNEL_TRANSIENT_FAILURE &&
		!lane->load->plan->wait_for_ready);
}

static void lane_wake(struct lane *lane)
{
	struct list ready = LIST_INIT(ready);
	struct list *node;

	list_splice(&ready, &lane->waiting);
	while ((node = list_pop(&ready))) {
		slot_next(container_of(node, struct slot, node));
	}
}

static void on_rested(struct timer *timer)
{
	lane_wake(container_of(timer, struct lane, rest));
}

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct lane *lane = user;

	(void)channel;
	dialer_dial(&lane->dialer);
}

static void on_state_changed(void *user, struct grpc_channel *channel,
			     enum grpc_channel_state state)
{
	(void)channel;
	if (state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
		lane_wake(user);
	}
}

static void on_goaway(void *user, struct grpc_channel *channel, uint32_t code, struct str debug)
{
	struct lane *lane = user;

	(void)channel;
	client_note_goaway(lane->load->client, code, debug);
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.state_changed = on_state_changed,
	.goaway = on_goaway,
};

static void on_connected(void *user)
{
	struct lane *lane = user;

	lane->load->connects++;
}

static void on_connect_failed(void *user, struct str why)
{
	struct lane *lane = user;
	struct load *load = lane->load;
	int64_t now_ns = timers_now(load->timers);

	(void)why;
	load->connects_failed++;
	if (load->lost_ns == 0) {
		load->lost_ns = now_ns;
	}
	if (load->plan->duration_ns == 0 && now_ns - load->lost_ns >= load->plan->timeout_ns) {
		char timeout[32];

		format_duration(load->plan->timeout_ns, timeout, sizeof(timeout));
		snprintf(load->lost_text, sizeof(load->lost_text), "no server for %s", timeout);
		end_early(load, load->lost_text);
	}
}

static const struct dialer_events dialer_events = {
	.connected = on_connected,
	.failed = on_connect_failed,
};

static void on_message(struct grpc_call *call, const void *message)
{
	struct slot *slot = grpc_call_context(call);

	slot->echoed = !slot->replied && client_is_echo(slot->lane->load->client, message);
	slot->replied = true;
}

static void record(struct slot *slot, const struct grpc_outcome *outcome, int64_t latency_ns)
{
	struct load *load = slot->lane->load;

	if (outcome->origin == GRPC_FROM_PEER) {
		load->lost_ns = 0;
	}
	if (outcome->status == GRPC_OK && !slot->echoed) {
		old_recorder_mismatched(&load->results, latency_ns);
	} else if (load->signal && outcome->status == GRPC_CANCELLED &&
		   outcome->origin != GRPC_FROM_PEER) {
		old_recorder_unfinished(&load->results);
	} else if (client_never_found(outcome)) {
		old_recorder_never_found(&load->results, outcome->message);
	} else {
		old_recorder_answered(&load->results, outcome->status, latency_ns, outcome->message);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct slot *slot = grpc_call_context(call);
	struct load *load = slot->lane->load;

	record(slot, outcome, timers_now(load->timers) - grpc_call_started_ns(call));
	slot->call = NULL;
	load->in_flight--;
	slot_next(slot);
}

static const struct grpc_call_events call_events = {
	.message = on_message,
	.closed = on_closed,
};

/*
 * Starts the slot's next call; or makes it wait for its lane; or lets it be, at the end of
 * the run.
 */
static void slot_next(struct slot *slot)
{
	struct lane *lane = slot->lane;
	struct load *load = lane->load;

	if (load->stopping || (load->plan->count && load->started == load->plan->count)) {
		if (load->in_flight == 0) {
			stop(load);
		}
		return;
	}
	if (lane_rests(lane)) {
		list_append(&lane->waiting, &slot->node);
		return;
	}
	load->started++;
	slot->replied = slot->echoed = false;
	slot->call = client_call_start(load->client, lane->channel, &call_events, slot);
	if (!slot->call) {
		old_recorder_answered(&load->results, GRPC_RESOURCE_EXHAUSTED, 0,
				  STR("out of memory here"));
		timer_start(load->timers, &lane->rest, REST_NS);
		list_append(&lane->waiting, &slot->node);
		return;
	}
	load->in_flight++;
}

static void on_time_up(struct timer *timer)
{
	stop(container_of(timer, struct load, time_up));
}

static void on_signal(void *user, int number)
{
	struct load *load = user;

	if (load->signal) {
		return;
	}
	load->signal = number;
	load->ended_by = number == SIGINT ? "SIGINT" : "SIGTERM";
	stop(load);
	for (uint64_t i = 0; i < load->plan->concurrency; i++) {
		if (load->slots[i].call) {
			grpc_call_cancel(load->slots[i].call, GRPC_CANCELLED);
		}
	}
}

/* The last call has ended: lets go of everything that keeps the loop alive. */
static void on_finish(struct loop_task *task)
{
	struct load *load = container_of(task, struct load, finish);

	assert(!load->finished);
	load->finished = true;
	load->end_ns = timers_now(load->timers);
	old_progress_stop(&load->progress);
	for (uint64_t i = 0; i < load->plan->connections; i++) {
		struct lane *lane = &load->lanes[i];

		timer_stop(load->timers, &lane->rest);
		grpc_channel_drain(lane->channel);
		dialer_close(&lane->dialer, false);
	}
	for (size_t i = 0; i < ARRAY_SIZE(load->signals); i++) {
		loop_signal_free(load->signals[i]);
		load->signals[i] = NULL;
	}
	if (load->client->exporter) {
		exporter_close(load->client->exporter);
	}
}

static bool lane_init(struct lane *lane, struct load *load)
{
	struct client *client = load->client;

	lane->load = load;
	list_init(&lane->waiting);
	timer_init(&lane->rest, on_rested);
	dialer_init(&lane->dialer, client->loop, &client->target, &client->next_peer_id,
		    &dialer_events, lane);
	lane->channel = client_channel_new(client, &channel_events, lane);
	dialer_set_channel(&lane->dialer, lane->channel);
	return lane->channel != NULL;
}

static void load_deinit(struct load *load)
{
	for (uint64_t i = 0; load->lanes && i < load->plan->connections; i++) {
		if (load->lanes[i].channel) {
			grpc_channel_free(load->lanes[i].channel);
			dialer_deinit(&load->lanes[i].dialer);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(load->signals); i++) {
		if (load->signals[i]) {
			loop_signal_free(load->signals[i]);
		}
	}
	free(load->lanes);
	free(load->slots);
	old_recorder_deinit(&load->results);
}

static bool load_init(struct load *load, struct client *client)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	const struct plan *plan = client->plan;

	*load = (struct load){ .client = client, .plan = plan };
	load->timers = loop_timers(client->loop);
	timer_init(&load->time_up, on_time_up);
	loop_task_init(&load->finish, on_finish);
	load->lanes = calloc(plan->connections, sizeof(*load->lanes));
	load->slots = calloc(plan->concurrency, sizeof(*load->slots));
	if (old_recorder_init(&load->results) < 0 || !load->lanes || !load->slots) {
		return false;
	}
	for (uint64_t i = 0; i < plan->connections; i++) {
		if (!lane_init(&load->lanes[i], load)) {
			return false;
		}
	}
	for (uint64_t i = 0; i < plan->concurrency; i++) {
		list_init(&load->slots[i].node);
		load->slots[i].lane = &load->lanes[i % plan->connections];
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		load->signals[i] = loop_signal_new(client->loop, numbers[i], on_signal, load);
		if (!load->signals[i]) {
			return false;
		}
	}
	return true;
}

static void begin(struct load *load)
{
	const struct plan *plan = load->plan;

	load->begin_ns = timers_now(load->timers);
	if (plan->duration_ns) {
		timer_start(load->timers, &load->time_up, plan->duration_ns);
	}
	if (plan->progress) {
		old_progress_start(&load->progress, load->timers, &load->results, &load->in_flight,
			       isatty(STDERR_FILENO));
	}
	for (uint64_t i = 0; i < plan->concurrency; i++) {
		slot_next(&load->slots[i]);
	}
}

static bool print_summary(const struct load *load)
{
	const struct old_report_run run = {
		.target = load->plan->targets[0].text,
		.concurrency = load->plan->concurrency,
		.connections = load->plan->connections,
		.elapsed_ns = load->end_ns - load->begin_ns,
		.results = &load->results,
		.connects = load->connects,
		.connects_failed = load->connects_failed,
		.attempts = counter_read(load->client->instruments.channel.attempts),
		.retries = counter_read(load->client->instruments.channel.transparent_retries),
		.ended_by = load->ended_by,
	};
	struct buffer text = BUFFER_INIT;
	bool printed = ((load->plan->outputs[0].format == REPORT_JSON) ? old_report_run_json(&text, &run)
					 : old_report_run_text(&text, &run)) == 0;

	if (!printed) {
		client_complain("out of memory");
	} else {
		printed = client_print(buffer_bytes(&text));
	}
	buffer_free(&text);
	return printed;
}

static int exit_code(const struct load *load)
{
	if (load->signal) {
		return 128 + load->signal;
	}
	if (load->connects == 0) {
		return EXIT_NO_CONNECTION;
	}
	if (load->results.mismatched || load->results.by_status[GRPC_OK] == 0) {
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

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

static void announce(const struct plan *plan)
{
	struct buffer text = BUFFER_INIT;

	if (plan_describe(plan, &text) == 0) {
		fprintf(stderr, "echod client: %.*s\n", (int)buffer_len(&text),
			(const char *)buffer_bytes(&text).data);
	}
	buffer_free(&text);
}

int load_unresolved(struct client *client, const char *why)
{
	(void)client;
	client_complain(why);
	return EXIT_NO_CONNECTION;
}

int load_run(struct client *client)
{
	struct load load;
	int code = EXIT_FAILED;

	if (!allow_files(client->plan->connections)) {
		return EXIT_USAGE;
	}
	if (!load_init(&load, client)) {
		client_complain("cannot start: out of memory or of file descriptors");
		load_deinit(&load);
		return EXIT_FAILED;
	}
	announce(client->plan);
	begin(&load);
	loop_run(client->loop);
	code = print_summary(&load) ? exit_code(&load) : EXIT_FAILED;
	load_deinit(&load);
	return code;
}

#include "client/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of all strings of a run: thousands of times what a command line holds. */
#define MAX_TEXT (64 * MIB)

int run_init(struct run *run)
{
	*run = (struct run){ .merged = 1 };
	arena_init(&run->arena, NULL, 0, MAX_TEXT);
	return recorder_init(&run->results);
}

void run_deinit(struct run *run)
{
	recorder_deinit(&run->results);
	arena_reset(&run->arena);
	*run = (struct run){ 0 };
}

const char *run_text(struct run *run, const char *text)
{
	return arena_str(&run->arena, str_from(text)).data;
}

/* What a file may make of it is no number of 64 bits any more. */
#define MAX_MERGED_RATE 0x1p56

/* --- several in one ----------------------------------------------------------- */

static bool alike(const struct schedule_spec *a, const struct schedule_spec *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++) {
		if (a->pieces[i].length_ns != b->pieces[i].length_ns) {
			return false;
		}
	}
	return a->n == b->n;
}

/* After the counts and times have been merged. */
static void merge_schedule(struct run *into, const struct schedule_spec *from)
{
	struct schedule_spec *spec = &into->schedule;
	double rate;

	spec->poisson = spec->poisson || from->poisson;
	if (alike(spec, from)) {
		for (size_t i = 0; i < spec->n; i++) {
			spec->pieces[i].from += from->pieces[i].from;
			spec->pieces[i].to += from->pieces[i].to;
		}
		return;
	}
	spec->n = 1;
	spec->pieces[0] = (struct schedule_piece){ 0 };
	rate = run_offered_rate(into) * SCHEDULE_RATE_UNIT + .5;
	spec->pieces[0].to = (uint64_t)MIN(MAX(rate, 1), MAX_MERGED_RATE);
	spec->pieces[0].from = spec->pieces[0].to;
}

static bool contains(const struct run *run, const char *target)
{
	for (size_t i = 0; i < run->n_targets; i++) {
		if (strcmp(run->targets[i], target) == 0) {
			return true;
		}
	}
	return false;
}

static int merge_texts(struct run *into, const struct run *from)
{
	for (size_t i = 0; i < from->n_targets; i++) {
		if (into->n_targets == RUN_MAX_TARGETS || contains(into, from->targets[i])) {
			continue;
		}
		into->targets[into->n_targets] = run_text(into, from->targets[i]);
		if (!into->targets[into->n_targets]) {
			return -ENOMEM;
		}
		into->n_targets++;
	}
	if (from->ended_by && !into->ended_by) {
		into->ended_by = run_text(into, from->ended_by);
		if (!into->ended_by) {
			return -ENOMEM;
		}
	}
	if (into->host && from->host && strcmp(into->host, from->host) != 0) {
		size_t size = strlen(into->host) + strlen(from->host) + sizeof(", ");
		char *both = arena_alloc(&into->arena, size);

		if (!both) {
			return -ENOMEM;
		}
		snprintf(both, size, "%s, %s", into->host, from->host);
		into->host = both;
	}
	return 0;
}

int run_merge(struct run *into, const struct run *from)
{
	int err = merge_texts(into, from);

	if (err == 0) {
		err = recorder_merge(&into->results, &from->results);
	}
	if (err < 0) {
		return err;
	}
	into->started_unix_ns = MIN(into->started_unix_ns, from->started_unix_ns);
	into->elapsed_ns = MAX(into->elapsed_ns, from->elapsed_ns);
	into->offered_ns = MAX(into->offered_ns, from->offered_ns);
	merge_schedule(into, &from->schedule);
	into->concurrency += from->concurrency;
	into->max_in_flight += from->max_in_flight;
	into->connections += from->connections;
	into->count += from->count;
	into->warmup_calls += from->warmup_calls;
	into->cpu_user_ns += from->cpu_user_ns;
	into->cpu_system_ns += from->cpu_system_ns;
	into->bytes_in += from->bytes_in;
	into->bytes_out += from->bytes_out;
	into->n_assertions = 0;
	into->assertions = NULL;
	into->reconciliation = (struct run_reconciliation){ 0 };
	into->merged += from->merged;
	return 0;
}

/* --- what it comes to ----------------------------------------------------------- */

/* 0 where no time passed. */
static double per_second(double n, int64_t ns)
{
	return ns > 0 ? n * (double)NS_PER_S / (double)ns : 0;
}

double run_offered_rate(const struct run *run)
{
	return run->schedule.n > 0 ? per_second((double)run->results.due, run->offered_ns) : 0;
}

/*
 * Calls that a server that is as quick as this one was at first has in hand at the end of
 * the time in which calls are due: those that are due in as much time as one takes, and
 * no more than may be in flight.
 */
static double calls_in_hand(const struct run *run)
{
	const struct series *series = &run->results.series;

	for (size_t i = 0; run->schedule.n > 0 && i < series->n; i++) {
		const struct latencies *latency = series->bins[i].latency;

		if (latency && latencies_count(latency) > 0) {
			int64_t before = run->offered_ns - (int64_t)latencies_mean(latency);
			double calls = schedule_offered(&run->schedule, run->offered_ns) -
				       schedule_offered(&run->schedule, before);

			return MIN(calls, (double)run->max_in_flight);
		}
	}
	return 0;
}

double run_achieved_rate(const struct run *run)
{
	double answered = (double)recorder_answered(&run->results);
	double in_time = (double)run->results.answered_while_due + calls_in_hand(run);
	/* The last of a number of calls may end before the next one would have been due. */
	int64_t all_ns =
		run->schedule.n > 0 ? MAX(run->elapsed_ns, run->offered_ns) : run->elapsed_ns;

	return MAX(per_second(answered, all_ns),
		   per_second(MIN(in_time, answered), run->offered_ns));
}

double run_cpu_share(const struct run *run)
{
	double time = (double)run->elapsed_ns * (double)run->merged;

	return time > 0 ? ((double)run->cpu_user_ns + (double)run->cpu_system_ns) / time : 0;
}

/*
 * The p99 of the lag of all calls, those that were deferred having none: a few of them
 * that were late do not speak for a run that waited for places.
 */
static bool left_late(const struct recorder *results)
{
	double known = (double)latencies_count(results->lag);
	double q = 1 - (1 - .99) * (double)results->started / known;

	return known > 0 && q > 0 && latencies_quantile(results->lag, q) > RUN_LAG_P99_NS;
}

/* It took a core, or calls left late. */
static bool generator_busy(const struct run *run)
{
	bool open_loop = run->schedule.n > 0;

	return (!(open_loop && run->spin) && run_cpu_share(run) > RUN_CPU_FULL) ||
	       (open_loop && left_late(&run->results));
}

enum run_limit run_limit(const struct run *run)
{
	const struct recorder *results = &run->results;

	if (results->due == 0) {
		return RUN_LIMIT_UNKNOWN;
	}
	if (results->started > 0 && results->never_found == results->started) {
		return RUN_LIMIT_SERVER;
	}
	if (generator_busy(run)) {
		return RUN_LIMIT_CLIENT_CPU;
	}
	if (results->deferred > 0 ||
	    (double)results->never_sent > RUN_NEVER_SENT_MATTERS * (double)results->due) {
		return RUN_LIMIT_MAX_IN_FLIGHT;
	}
	if (results->stream_waits > 0 &&
	    (double)results->stream_waits >= RUN_STREAM_WAITS_MATTER * (double)results->started) {
		return RUN_LIMIT_CONNECTIONS;
	}
	if (run->schedule.n > 0 &&
	    run_achieved_rate(run) >= RUN_ACHIEVED_ENOUGH * run_offered_rate(run)) {
		return RUN_LIMIT_NOTHING;
	}
	return RUN_LIMIT_SERVER;
}

const char *run_limit_name(enum run_limit limit)
{
	switch (limit) {
	case RUN_LIMIT_NOTHING:
		return "nothing";
	case RUN_LIMIT_CLIENT_CPU:
		return "client CPU";
	case RUN_LIMIT_MAX_IN_FLIGHT:
		return "max in flight";
	case RUN_LIMIT_CONNECTIONS:
		return "connections";
	case RUN_LIMIT_SERVER:
		return "server";
	case RUN_LIMIT_UNKNOWN:
		break;
	}
	return "unknown";
}

double run_omission_quantile(const struct run *run)
{
	/* Both have a stall at p99 that more than one in a hundred calls was sent into. */
	static const double quantiles[] = { .99, .9 };
	int64_t late = latencies_quantile(run->results.lag, .99);

	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		int64_t felt = latencies_quantile(run->results.latency_ok, quantiles[i]);
		int64_t served = latencies_quantile(run->results.service_ok, quantiles[i]);

		if (felt > RUN_OMISSION_FACTOR * served &&
		    felt - served >= RUN_OMISSION_NS + late) {
			return quantiles[i];
		}
	}
	return 0;
}

bool run_omission_matters(const struct run *run)
{
	return run_omission_quantile(run) > 0;
}

size_t run_reconciled_servers(const struct run_reconciliation *of)
{
	size_t n = 0;

	for (size_t i = 0; i < of->n; i++) {
		n += !of->servers[i].problem;
	}
	return n;
}

int64_t run_unexplained(const struct run_reconciliation *of, int status)
{
	return of->by_status[status] - (int64_t)of->explained[status];
}

int64_t run_untold(const struct run_reconciliation *of, enum injected_word word)
{
	bool told = word <= INJECTED_LAST_STATUS || word == INJECTED_TRUNCATE;

	return told ? (int64_t)(of->faults[word] - of->told[word]) : 0;
}

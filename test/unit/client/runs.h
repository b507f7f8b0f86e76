/* Runs to report: one that is always the same, and any number that chance makes. */
#pragma once

#include <stdio.h>

#include "base/random.h"
#include "client/run.h"

static inline void runs_call(struct recorder *recorder, const struct recorder_call *call)
{
	recorder_due(recorder, call->intended_ns, 1);
	recorder_started(recorder, call->started_ns, call->deferred);
	recorder_ended(recorder, call);
}

static inline void runs_connections(struct recorder *results)
{
	results->attempts = results->started + 3;
	results->retries = 3;
	results->stream_waits = 1;
	results->connections.open_at_start = 3;
	results->connections.opened = 12;
	results->connections.failed = 1;
	results->connections.lost = 2;
	results->connections.renewed = 4;
	results->connections.goaways[HTTP2_NO_ERROR] = 5;
	results->connections.goaways[HTTP2_ERROR_COUNT] = 1;
}

static inline void runs_plan(struct run *run)
{
	run->version = "0.1.0";
	run->host = "anvil";
	run->plan = "1000 calls/s over 2 connections to 127.0.0.1:9876, for 1s";
	run->targets[0] = "127.0.0.1:9876";
	run->n_targets = 1;
	run->method = "muzz.Service/Echo";
	run->schedule.n = 1;
	run->schedule.pieces[0] = (struct schedule_piece){
		.from = 1000 * (uint64_t)SCHEDULE_RATE_UNIT,
		.to = 1000 * (uint64_t)SCHEDULE_RATE_UNIT,
	};
	run->max_in_flight = 1000;
	run->connections = 2;
	run->duration_ns = NS_PER_S;
	run->grace_ns = 5 * NS_PER_S;
	run->timeout_ns = 20 * NS_PER_S;
	run->request_bytes = 20;
	run->seed = UINT64_MAX;
	snprintf(run->id, sizeof(run->id), "0123456789abcdef");
	run->started_unix_ns = INT64_C(1800000000123456789);
	run->elapsed_ns = run->offered_ns = NS_PER_S;
	run->cpu_user_ns = 11 * NS_PER_MS;
	run->cpu_system_ns = 9 * NS_PER_MS;
	run->bytes_in = 98000;
	run->bytes_out = 143000;
}

/*
 * 1000 calls/s for 1 s, in an open loop: 0.1 to 1 ms each from two servers, of which the second
 * is missing for a while. 0 or -ENOMEM; run_deinit() is due after either.
 */
static inline int runs_sample(struct run *run)
{
	struct recorder *results = &run->results;
	int err = run_init(run);

	if (err < 0) {
		return err;
	}
	runs_plan(run);
	results->open_loop = true;
	for (int64_t i = 0; i < 998; i++) {
		bool second = i % 2 == 1, missing = second && i > 400 && i <= 500;
		struct recorder_call call = {
			.intended_ns = i * NS_PER_MS,
			.started_ns = i * NS_PER_MS + 20 * NS_PER_US,
			.sent_ns = i * NS_PER_MS + 30 * NS_PER_US,
			.ended_ns = i * NS_PER_MS + (i % 10 + 1) * 100 * NS_PER_US,
			.origin = missing ? GRPC_FROM_TRANSPORT : GRPC_FROM_PEER,
			.status = missing ? GRPC_UNAVAILABLE : GRPC_OK,
			.message = missing ? STR("connection reset") : STR(""),
			.instance = missing  ? STR("")
				    : second ? STR("green")
					     : STR("blue"),
			.connection = second ? STR("7") : STR("3"),
		};

		runs_call(results, &call);
	}
	recorder_due(results, 998 * NS_PER_MS, 2);
	recorder_started(results, 998 * NS_PER_MS, true);
	recorder_unfinished(results);
	recorder_never_sent(results, 1);
	recorder_finish(results, NS_PER_S);
	runs_connections(results);
	return 0;
}

/* --- by chance ---------------------------------------------------------------------- */

/* Any bytes but NUL, much of it no UTF-8, or a word. NULL: no memory, or (now and then) none. */
static inline const char *runs_text(struct run *run, struct random *random)
{
	char text[24];
	size_t n = (size_t)random_below(random, sizeof(text));

	if (random_below(random, 4) == 0) {
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		text[i] = (char)(random_below(random, 2) ? 'a' + random_below(random, 26)
							 : 1 + random_below(random, 255));
	}
	text[n] = '\0';
	return run_text(run, text);
}

static inline int64_t runs_ns(struct random *random)
{
	return (int64_t)(random_next(random) >> (11 + random_below(random, 52)));
}

static inline void runs_random_calls(struct recorder *results, struct random *random)
{
	size_t n = (size_t)random_below(random, 400);
	char message[300], instance[100], connection[24];

	for (size_t i = 0; i < n; i++) {
		struct recorder_call call = {
			.intended_ns = (int64_t)random_below(random, 2000 * (uint64_t)NS_PER_S),
			.deferred = random_below(random, 3) == 0,
			.end = (enum recorder_end)random_below(random, 3),
			.status = (enum grpc_status)random_below(random, GRPC_STATUS_COUNT),
			.origin = (enum grpc_origin)random_below(random, RECORDER_ORIGINS),
		};

		if (random_below(random, 4) == 0) {
			call.injected.word =
				(enum injected_word)random_below(random, INJECTED_WORDS);
			call.injected.delay_ns = runs_ns(random) % NS_PER_S;
		}

		for (size_t j = 0; j < sizeof(message); j++) {
			message[j] = (char)random_next(random);
			instance[j % sizeof(instance)] = (char)('a' + random_below(random, 2));
		}
		call.started_ns = call.intended_ns + runs_ns(random) / 8192;
		call.sent_ns = random_below(random, 5) ? call.started_ns : -1;
		call.ended_ns = call.started_ns + runs_ns(random) / 8192;
		call.message = (struct str){ message, random_below(random, sizeof(message)) };
		call.instance =
			(struct str){ instance, random_below(random, 4) ? random_below(random, 5)
									: sizeof(instance) };
		call.connection =
			(struct str){ connection,
				      (size_t)snprintf(connection, sizeof(connection), "%u",
						       (unsigned)random_below(random, 100)) };
		runs_call(results, &call);
	}
	results->unfinished = random_below(random, 5);
	results->started += results->unfinished;
	results->never_sent = random_below(random, 5);
	results->due += results->unfinished + results->never_sent;
	recorder_finish(results, (int64_t)random_below(random, 3000 * (uint64_t)NS_PER_S));
	if (random_below(random, 2)) {
		runs_connections(results);
	}
}

static inline void runs_random_reconciliation(struct run *run, struct random *random)
{
	struct run_reconciliation *all = &run->reconciliation;
	size_t n = (size_t)random_below(random, 4);
	bool compared = false;

	all->servers = arena_alloc(&run->arena, n * sizeof(*all->servers));
	for (size_t i = 0; i < n && all->servers; i++) {
		all->servers[i] = (struct run_reconciled){
			.url = "http://localhost:2112/metrics",
			.problem = runs_text(run, random),
			.restarted = random_below(random, 2),
			.received = random_below(random, 1000),
			.in_flight = random_below(random, 3),
		};
		all->servers[i].by_status[random_below(random, GRPC_STATUS_COUNT)] = 5;
		all->servers[i].ledger = random_below(random, 2);
		if (all->servers[i].ledger) {
			all->servers[i].faults[1 + random_below(random, INJECTED_WORDS - 1)] = 3;
		}
		compared = compared || !all->servers[i].problem;
		all->n = i + 1;
	}
	if (n > 0) {
		all->complete = random_below(random, 2);
		all->sent = random_below(random, 1000);
		all->received = random_below(random, 1000);
		all->answered = random_below(random, 1000);
		if (compared) {
			all->by_status[random_below(random, GRPC_STATUS_COUNT)] = -1;
			all->by_status[random_below(random, GRPC_STATUS_COUNT)] = 7;
			all->explained[random_below(random, GRPC_STATUS_COUNT)] = 4;
		}
		all->ledger = random_below(random, 2);
		if (all->ledger) {
			all->faults[1 + random_below(random, INJECTED_WORDS - 1)] = 9;
			all->told[1 + random_below(random, INJECTED_WORDS - 1)] = 8;
		}
		all->by_call = random_below(random, 2);
		all->never_arrived = random_below(random, 3);
		all->examples = runs_text(run, random);
	}
}

static inline void runs_random_assertions(struct run *run, struct random *random)
{
	size_t n = (size_t)random_below(random, 4);

	run->assertions = arena_alloc(&run->arena, n * sizeof(*run->assertions));
	for (size_t i = 0; i < n && run->assertions; i++) {
		run->assertions[i] = (struct run_assertion){
			.text = "p99<20ms",
			.measured = "12.34ms",
			.held = random_below(random, 2),
		};
		run->n_assertions = i + 1;
	}
}

/* 0 or -ENOMEM; run_deinit() is due after either. */
static inline int runs_random(struct run *run, struct random *random)
{
	int err = run_init(run);

	if (err < 0) {
		return err;
	}
	runs_plan(run);
	run->version = runs_text(run, random);
	run->host = runs_text(run, random);
	run->name = runs_text(run, random);
	run->plan = runs_text(run, random);
	run->method = runs_text(run, random);
	run->ended_by = runs_text(run, random);
	run->schedule.n = (size_t)random_below(random, 4);
	run->schedule.poisson = run->schedule.n > 0 && random_below(random, 2);
	for (size_t i = 0; run->schedule.n > 1 && i < run->schedule.n; i++) {
		run->schedule.pieces[i] = (struct schedule_piece){
			.from = random_below(random, SCHEDULE_MAX_RATE),
			.to = random_below(random, SCHEDULE_MAX_RATE),
			.length_ns = 1 + (int64_t)random_below(random, 3600 * (uint64_t)NS_PER_S),
		};
	}
	run->results.open_loop = run->schedule.n > 0;
	run->spin = random_below(random, 2);
	run->gzip = random_below(random, 2);
	run->verify = random_below(random, 2);
	run->seed = random_next(random);
	run->started_unix_ns = (int64_t)(random_next(random) >> 1);
	run->elapsed_ns = runs_ns(random);
	run->offered_ns = NS_PER_MS + runs_ns(random);
	run->cpu_user_ns = runs_ns(random);
	run->bytes_in = (uint64_t)runs_ns(random);
	run->merged = 1 + (size_t)random_below(random, 3);
	runs_random_calls(&run->results, random);
	runs_random_reconciliation(run, random);
	runs_random_assertions(run, random);
	return 0;
}

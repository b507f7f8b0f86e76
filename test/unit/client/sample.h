/*
 * Runs to be reported: a busy one with all that a run can have, an empty one, and one of a
 * single call. Everything they hold is known: tests read it back from what was written.
 */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "client/run.h"

/* What a peer might say who wishes us ill. */
#define SAMPLE_HOSTILE "</script><script>alert(\"1\")</script>'\x1b[31m\n\\&\xff end"

static inline void sample_begin(struct run *run, const char *name)
{
	if (run_init(run) < 0) {
		abort();
	}
	run->version = "1.2.3";
	run->host = "bench-1";
	run->name = name;
	run->plan = "2000 calls each second (constant) over 4 connections to 127.0.0.1:9876, "
		    "at most 1000 at a time, for 20s";
	run->targets[0] = "127.0.0.1:9876";
	run->targets[1] = "unix:/run/echod.sock";
	run->n_targets = 2;
	run->method = "muzz.Service/Echo";
	run->connections = 4;
	run->max_in_flight = 1000;
	run->request_bytes = 20;
	run->verify = true;
	run->grace_ns = 5 * NS_PER_S;
	run->timeout_ns = 10 * NS_PER_S;
	snprintf(run->id, sizeof(run->id), "%s", "0123456789abcdef");
	run->started_unix_ns = INT64_C(1700000000123456789);
	run->results.open_loop = true;
}

static inline void sample_call(struct run *run, int64_t intended_ns, int64_t sent_ns,
			       int64_t ended_ns, enum grpc_status status, const char *instance,
			       uint64_t connection)
{
	char text[24];
	struct recorder_call call = {
		.intended_ns = intended_ns,
		.started_ns = sent_ns,
		.sent_ns = sent_ns,
		.ended_ns = ended_ns,
		.deferred = sent_ns - intended_ns > NS_PER_MS,
		.end = RECORDER_ANSWERED,
		.status = status,
		.origin = GRPC_FROM_PEER,
		.message = status == GRPC_OK ? STR("") : STR(SAMPLE_HOSTILE),
		.instance = str_from(instance),
	};

	snprintf(text, sizeof(text), "%d", (int)connection);
	call.connection = str_from(text);
	recorder_due(&run->results, intended_ns, 1);
	recorder_started(&run->results, sent_ns, call.deferred);
	run->results.attempts++;
	recorder_ended(&run->results, &call);
}

/* 2000/s for 20 s: a stall from 8 s to 9 s, and one of three servers is lost at 14 s. */
static inline void sample_busy(struct run *run, const char *name, uint64_t seed, double slower)
{
	static const char *const instances[] = { "echod-a", "echod-b", "<b>\"c\"</b>" };
	const int64_t period_ns = NS_PER_S / 2000;
	struct random random;

	sample_begin(run, name);
	random_seed(&random, seed);
	run->schedule = (struct schedule_spec){
		.pieces = { { .from = 2000 * (uint64_t)SCHEDULE_RATE_UNIT,
			      .to = 2000 * (uint64_t)SCHEDULE_RATE_UNIT } },
		.n = 1,
	};
	run->duration_ns = run->offered_ns = 20 * NS_PER_S;
	for (int64_t i = 0; i < 40000; i++) {
		int64_t at_ns = i * period_ns,
			sent_ns = at_ns + (int64_t)random_below(&random, 90000);
		int64_t takes_ns =
			(int64_t)(slower * 400e3 * exp(-log(1 - random_unit(&random)) * .35)) +
			(random_below(&random, 400) == 0 ? 9 * NS_PER_MS : 0);
		size_t server = random_below(&random, 3);
		enum grpc_status status = GRPC_OK;

		if (at_ns > 8 * NS_PER_S && at_ns < 9 * NS_PER_S) {
			sent_ns = 9 * NS_PER_S + (at_ns - 8 * NS_PER_S) / 20;
		}
		if (server == 2 && at_ns >= 14 * NS_PER_S) {
			status = at_ns < 16 * NS_PER_S ? GRPC_UNAVAILABLE : GRPC_OK;
			server = status == GRPC_OK ? server - 1 - (size_t)(i & 1) : server;
		}
		sample_call(run, at_ns, sent_ns, sent_ns + takes_ns, status, instances[server],
			    server * 4 + (uint64_t)i % 4 + 1);
	}
	recorder_due(&run->results, 20 * NS_PER_S - 1, 3);
	recorder_never_sent(&run->results, 1);
	recorder_started(&run->results, 20 * NS_PER_S - 1, false);
	recorder_started(&run->results, 20 * NS_PER_S - 1, false);
	recorder_unfinished(&run->results);
	recorder_unfinished(&run->results);
	recorder_finish(&run->results, 20 * NS_PER_S);
	run->elapsed_ns = 20 * NS_PER_S + 3 * NS_PER_MS;
	run->cpu_user_ns = 700 * NS_PER_MS;
	run->cpu_system_ns = 500 * NS_PER_MS;
	run->bytes_in = 3600000;
	run->bytes_out = 2400000;
	run->warmup_calls = 4000;
	run->results.connections.opened = 5;
	run->results.connections.lost = 1;
	run->results.connections.goaways[HTTP2_NO_ERROR] = 1;
}

static inline void sample_verdicts(struct run *run)
{
	static struct run_assertion assertions[] = {
		{ .text = "p99<20ms", .measured = "1.02s", .held = false },
		{ .text = "code.UNAVAILABLE<=2000", .measured = "1312", .held = true },
		{ .text = "p99<20ms", .measured = "1.02s", .held = false },
	};
	static struct run_reconciled servers[] = {
		{ .url = "http://10.0.0.1:2112/metrics", .received = 40002 },
		{ .url = "http://10.0.0.2:2112/metrics", .problem = SAMPLE_HOSTILE },
	};

	run->assertions = assertions;
	run->n_assertions = ARRAY_SIZE(assertions);
	run->reconciliation = (struct run_reconciliation){
		.n = ARRAY_SIZE(servers),
		.servers = servers,
		.sent = 44002,
		.received = 40002,
		.answered = 44000,
		.by_status = { [GRPC_OK] = -4000, [GRPC_UNAVAILABLE] = 1 },
		.by_call = true,
		.never_arrived = 3,
		.arrived_twice = 1,
		.answer_lost = 2,
		.examples = "17, 203-207",
	};
}

/* A closed loop of one call. */
static inline void sample_one(struct run *run)
{
	sample_begin(run, NULL);
	run->results.open_loop = false;
	run->max_in_flight = 0;
	run->concurrency = run->count = run->connections = 1;
	sample_call(run, 0, 0, 1234567, GRPC_OK, "", 1);
	recorder_finish(&run->results, 1234567);
	run->elapsed_ns = run->offered_ns = 1234567;
}

/* No call was ever made. */
static inline void sample_none(struct run *run)
{
	sample_begin(run, NULL);
	recorder_finish(&run->results, 0);
}

/*
 * What a run comes to: rates, limits, runs that become one; and every allocation of all
 * that holds results fails in turn.
 */
#include "client/run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../failing.h"
#include "client/assertions.h"

static int set_up(void **state)
{
	static struct run run;

	*state = &run;
	return run_init(&run);
}

static int tear_down(void **state)
{
	run_deinit(*state);
	return 0;
}

static void schedule(struct run *run, const char *text)
{
	char why[160];

	run->max_in_flight = 100000;
	assert_int_equal(schedule_parse(text, &run->schedule, why, sizeof(why)), 0);
	run->results.open_loop = true;
}

static void answer(struct recorder *results, int64_t intended_ns, int64_t ended_ns)
{
	const struct recorder_call call = { .intended_ns = intended_ns,
					    .started_ns = intended_ns,
					    .sent_ns = intended_ns,
					    .ended_ns = ended_ns };

	recorder_ended(results, &call);
}

#define MOST 60000

/*
 * A run by its schedule against a server that takes one call after the other, `each_ns`
 * for one, and is `away_ns` away. Every call has its end; what lasts beyond the grace has
 * none.
 */
static void simulate(struct run *run, const char *rate, int64_t length_ns, int64_t each_ns,
		     int64_t away_ns, int64_t grace_ns)
{
	static int64_t due[MOST], ends[MOST];
	struct recorder *results = &run->results;
	struct schedule walk;
	size_t n = 0, ended = 0;

	schedule(run, rate);
	schedule_init(&walk, &run->schedule, NULL);
	run->offered_ns = run->elapsed_ns = length_ns;
	while (n < MOST && (due[n] = schedule_next(&walk)) < length_ns) {
		int64_t taken_ns = n > 0 ? MAX(due[n], ends[n - 1] - away_ns) : due[n];

		ends[n] = taken_ns + each_ns + away_ns;
		n++;
	}
	assert_true(n < MOST);
	for (size_t i = 0; i < n; i++) {
		for (; ended < i && ends[ended] <= due[i]; ended++) {
			answer(results, due[ended], ends[ended]);
		}
		recorder_due(results, due[i], 1);
		recorder_started(results, due[i], false);
	}
	for (; ended < n; ended++) {
		if (ends[ended] > length_ns + grace_ns) {
			recorder_unfinished(results);
		} else {
			answer(results, due[ended], ends[ended]);
			run->elapsed_ns = MAX(run->elapsed_ns, ends[ended]);
		}
	}
	recorder_finish(results, length_ns);
	assert_true(recorder_balanced(results));
}

static double achieved(struct run *run)
{
	return run_achieved_rate(run) / run_offered_rate(run);
}

static void test_a_schedule_that_is_kept_is_achieved(void **state)
{
	static const struct {
		const char *rate;
		int64_t away_ns;
	} cases[] = {
		{ "1000", 0 },
		{ "1000", 500 * NS_PER_MS }, /* a tenth of the run */
		{ "100..10000/5s", 300 * NS_PER_MS },
		{ "10000..100/5s", 300 * NS_PER_MS },
		{ "100,5000/2s", 200 * NS_PER_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run *run = *state;

		simulate(run, cases[i].rate, 5 * NS_PER_S, 10 * NS_PER_US, cases[i].away_ns,
			 5 * NS_PER_S);
		assert_true(achieved(run) > .999 && achieved(run) < 1.001);
		assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
		run_deinit(run);
		assert_int_equal(run_init(run), 0);
	}
}

static void test_a_straggler_does_not_make_a_run_slow(void **state)
{
	struct run *run = *state;

	simulate(run, "1000", 10 * NS_PER_S, NS_PER_US, NS_PER_MS, NS_PER_S);
	recorder_due(&run->results, 9900 * NS_PER_MS, 1);
	recorder_started(&run->results, 9900 * NS_PER_MS, false);
	answer(&run->results, 9900 * NS_PER_MS, 15 * NS_PER_S);
	run->elapsed_ns = 15 * NS_PER_S;
	assert_true(achieved(run) > .999 && achieved(run) < 1.001);
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
}

/* 500/s of 1000/s: whether the rest is waited for or not. */
static void test_a_server_that_falls_behind_is_the_limit(void **state)
{
	for (int64_t grace_s = 0; grace_s <= 20; grace_s += 5) {
		struct run *run = *state;

		simulate(run, "1000", 10 * NS_PER_S, 2 * NS_PER_MS, NS_PER_MS, grace_s * NS_PER_S);
		assert_true(achieved(run) > .49 && achieved(run) < .54);
		assert_int_equal(run_limit(run), RUN_LIMIT_SERVER);
		run_deinit(run);
		assert_int_equal(run_init(run), 0);
	}
}

/* The same with one call in flight at a time: they start late, and all are answered. */
static void simulate_deferring(struct run *run, int64_t calls)
{
	struct recorder *results = &run->results;
	int64_t away_ns = 2 * NS_PER_MS, now_ns = 0;

	schedule(run, "1000");
	run->max_in_flight = 1;
	run->offered_ns = calls * NS_PER_MS;
	for (int64_t i = 0; i < calls; i++) {
		bool deferred = i * NS_PER_MS < now_ns;

		now_ns = MAX(now_ns, i * NS_PER_MS);
		recorder_due(results, i * NS_PER_MS, 1);
		recorder_started(results, now_ns, deferred);
		now_ns += away_ns;
		answer(results, i * NS_PER_MS, now_ns);
	}
	run->elapsed_ns = now_ns;
}

static void test_deferred_calls_are_not_achieved_in_time(void **state)
{
	for (int64_t calls = 500; calls <= 10000; calls += 4750) {
		struct run *run = *state;

		simulate_deferring(run, calls);
		assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
		assert_true(achieved(run) > .499 && achieved(run) < .501);
		run_deinit(run);
		assert_int_equal(run_init(run), 0);
	}
}

static void test_a_closed_loop_achieves_what_is_answered(void **state)
{
	struct run *run = *state;

	for (int64_t i = 0; i < 1000; i++) {
		recorder_due(&run->results, i * NS_PER_MS, 1);
		recorder_started(&run->results, i * NS_PER_MS, false);
		answer(&run->results, i * NS_PER_MS, (i + 1) * NS_PER_MS);
	}
	run->offered_ns = 999 * NS_PER_MS;
	run->elapsed_ns = NS_PER_S;
	assert_true(fabs(run_achieved_rate(run) - 1000) < .001);
	assert_true(run_offered_rate(run) == 0);
	assert_int_equal(run_limit(run), RUN_LIMIT_SERVER);
	assert_true(recorder_balanced(&run->results));
}

static void test_calls_that_all_start_at_once_have_a_rate(void **state)
{
	struct run *run = *state;

	recorder_due(&run->results, 0, 10);
	for (int i = 0; i < 10; i++) {
		recorder_started(&run->results, 0, false);
		answer(&run->results, 0, NS_PER_MS);
	}
	run->elapsed_ns = NS_PER_MS;
	assert_true(fabs(run_achieved_rate(run) - 10000) < .001);
}

static void test_nothing_at_all_is_no_rate(void **state)
{
	struct run *run = *state;

	assert_true(run_achieved_rate(run) == 0);
	assert_true(run_offered_rate(run) == 0);
	assert_true(run_cpu_share(run) == 0);
	assert_false(run_omission_matters(run));
	assert_int_equal(run->merged, 1);
}

/* Half of a core, nothing late, nothing deferred: a run that nothing limits. */
static void unlimited(struct run *run)
{
	simulate(run, "1000", 2 * NS_PER_S, NS_PER_US, NS_PER_MS, NS_PER_S);
	run->cpu_user_ns = run->elapsed_ns / 4;
	run->cpu_system_ns = run->elapsed_ns / 4;
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
}

static void test_a_full_core_is_the_limit(void **state)
{
	struct run *run = *state;

	unlimited(run);
	assert_true(fabs(run_cpu_share(run) - .5) < .001);
	run->cpu_user_ns = run->elapsed_ns * 94 / 100 - run->cpu_system_ns;
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
	run->cpu_user_ns = run->elapsed_ns * 96 / 100 - run->cpu_system_ns;
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
	run->merged = 2; /* each had half of it */
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
	run->merged = 1;
	run->spin = true; /* which always takes a core */
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
	run->schedule.n = 0;
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
}

static void test_a_late_generator_is_the_limit(void **state)
{
	struct run *run = *state;

	unlimited(run);
	for (int i = 0; i < 15; i++) {
		latencies_record(run->results.lag, 2 * NS_PER_MS);
	}
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING); /* less than 1 % */
	for (int i = 0; i < 15; i++) {
		latencies_record(run->results.lag, 2 * NS_PER_MS);
	}
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
}

static void test_a_few_late_calls_among_deferred_ones_are_not(void **state)
{
	struct run *run = *state;

	unlimited(run);
	latencies_reset(run->results.lag);
	for (int i = 0; i < 50; i++) { /* of 2000; the others waited for places */
		latencies_record(run->results.lag, i < 19 ? 2 * NS_PER_MS : 0);
	}
	run->results.deferred = 1950;
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
	for (int i = 0; i < 3; i++) {
		latencies_record(run->results.lag, 2 * NS_PER_MS);
	}
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
	latencies_reset(run->results.lag); /* all were deferred, as good as */
	latencies_record(run->results.lag, 2 * NS_PER_MS);
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
}

static void test_a_deferred_call_is_the_limit(void **state)
{
	struct run *run = *state;

	unlimited(run);
	run->results.deferred = 1;
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
	run->results.stream_waits = run->results.started;
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
	run->cpu_user_ns = run->elapsed_ns;
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
}

static void test_a_server_that_is_not_there_is_the_limit(void **state)
{
	struct run *run = *state;
	const struct recorder_call nobody = { .end = RECORDER_NO_SERVER };

	schedule(run, "1000");
	run->elapsed_ns = run->offered_ns = NS_PER_S;
	for (int i = 0; i < 1000; i++) {
		recorder_due(&run->results, i * NS_PER_MS, 1);
		recorder_started(&run->results, i * NS_PER_MS, i > 500);
		recorder_ended(&run->results, &nobody);
	}
	for (int i = 0; i < 1000; i++) {
		latencies_record(run->results.lag, 5 * NS_PER_MS);
	}
	assert_int_equal(run_limit(run), RUN_LIMIT_SERVER);
	recorder_due(&run->results, 0, 1);
	recorder_started(&run->results, 0, false);
	answer(&run->results, 0, NS_PER_MS);
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
}

static void test_calls_that_found_no_place_are_the_limit(void **state)
{
	struct run *run = *state;

	unlimited(run);
	recorder_due(&run->results, 0, 1);
	recorder_never_sent(&run->results, 1); /* it was interrupted: no place was wanting */
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
	recorder_due(&run->results, 0, 29);
	recorder_never_sent(&run->results, 29);
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
}

static void test_streams_that_run_out_are_the_limit(void **state)
{
	struct run *run = *state;

	unlimited(run);
	run->results.stream_waits = 19; /* of 2000 */
	assert_int_equal(run_limit(run), RUN_LIMIT_NOTHING);
	run->results.stream_waits = 20;
	assert_int_equal(run_limit(run), RUN_LIMIT_CONNECTIONS);
	assert_string_equal(run_limit_name(RUN_LIMIT_NOTHING), "nothing");
	assert_string_equal(run_limit_name(RUN_LIMIT_CLIENT_CPU), "client CPU");
	assert_string_equal(run_limit_name(RUN_LIMIT_MAX_IN_FLIGHT), "max in flight");
	assert_string_equal(run_limit_name(RUN_LIMIT_CONNECTIONS), "connections");
	assert_string_equal(run_limit_name(RUN_LIMIT_SERVER), "server");
}

static void test_a_stall_that_was_hidden_matters(void **state)
{
	struct run *run = *state;

	for (int i = 0; i < 100; i++) {
		latencies_record(run->results.service_ok, 900 * NS_PER_US);
		latencies_record(run->results.latency_ok, 1850 * NS_PER_US);
	}
	assert_false(run_omission_matters(run)); /* twice as much, and less than 1 ms */
	for (int i = 0; i < 2; i++) {
		latencies_record(run->results.service_ok, 900 * NS_PER_US);
		latencies_record(run->results.latency_ok, 2 * NS_PER_MS);
	}
	assert_true(run_omission_matters(run));
	for (int i = 0; i < 2; i++) {
		latencies_record(run->results.service_ok, 6 * NS_PER_MS);
		latencies_record(run->results.latency_ok, 10 * NS_PER_MS);
	}
	assert_false(run_omission_matters(run)); /* 4 ms, and less than twice as much */
	for (int i = 0; i < 2; i++) {
		latencies_record(run->results.service_ok, 6 * NS_PER_MS);
		latencies_record(run->results.latency_ok, 20 * NS_PER_MS);
	}
	assert_true(run_omission_matters(run));
	latencies_record(run->results.lag, 14 * NS_PER_MS);
	assert_false(run_omission_matters(run)); /* the generator's own doing */
}

/* --- several in one ------------------------------------------------------------ */

static void test_merged_rates_and_costs_add_up(void **state)
{
	struct run *into = *state, from;
	struct buffer rate = BUFFER_INIT;

	assert_int_equal(run_init(&from), 0);
	simulate(into, "1000..2000/2s", 4 * NS_PER_S, NS_PER_US, NS_PER_MS, NS_PER_S);
	simulate(&from, "500.5..700/2s", 4 * NS_PER_S, NS_PER_US, 9 * NS_PER_MS, NS_PER_S);
	into->cpu_user_ns = 1;
	from.cpu_user_ns = 2;
	into->cpu_system_ns = 10;
	from.cpu_system_ns = 20;
	into->bytes_in = 100;
	from.bytes_in = 200;
	into->bytes_out = 1000;
	from.bytes_out = 2000;
	into->connections = 3;
	from.connections = 4;
	into->max_in_flight = 30;
	from.max_in_flight = 40;
	into->warmup_calls = 5;
	from.warmup_calls = 6;
	into->started_unix_ns = 77;
	from.started_unix_ns = 66;
	into->host = "a";
	from.host = run_text(&from, "b");
	into->targets[0] = from.targets[0] = "one:1";
	from.targets[1] = "two:2";
	into->n_targets = 1;
	from.n_targets = 2;
	from.ended_by = run_text(&from, "SIGINT");
	into->n_assertions = 1;
	into->reconciliation.n = 1;
	double offered = run_offered_rate(into) + run_offered_rate(&from);
	uint64_t due = into->results.due + from.results.due;
	int64_t elapsed_ns = from.elapsed_ns;

	assert_int_equal(run_merge(into, &from), 0);
	run_deinit(&from); /* nothing of it is borrowed */
	assert_int_equal(into->merged, 2);
	assert_int_equal(into->results.due, due);
	assert_true(fabs(run_offered_rate(into) - offered) < .001);
	assert_true(achieved(into) > .999 && achieved(into) < 1.001);
	assert_int_equal(into->elapsed_ns, elapsed_ns);
	assert_int_equal(into->offered_ns, 4 * NS_PER_S);
	assert_int_equal(into->cpu_user_ns, 3);
	assert_int_equal(into->cpu_system_ns, 30);
	assert_int_equal(into->bytes_in, 300);
	assert_int_equal(into->bytes_out, 3000);
	assert_int_equal(into->connections, 7);
	assert_int_equal(into->max_in_flight, 70);
	assert_int_equal(into->warmup_calls, 11);
	assert_int_equal(into->started_unix_ns, 66);
	assert_string_equal(into->host, "a, b");
	assert_int_equal(into->n_targets, 2);
	assert_string_equal(into->targets[1], "two:2");
	assert_string_equal(into->ended_by, "SIGINT");
	assert_int_equal(into->n_assertions, 0);
	assert_int_equal(into->reconciliation.n, 0);
	assert_int_equal(schedule_format(&into->schedule, &rate), 0);
	assert_int_equal(buffer_append(&rate, "", 1), 0);
	assert_string_equal(buffer_data(&rate), "1500.5..2700/2s");
	buffer_free(&rate);
}

static void test_schedules_of_other_shapes_add_up_as_a_rate(void **state)
{
	struct run *into = *state, from;

	assert_int_equal(run_init(&from), 0);
	simulate(into, "1000..2000/2s", 4 * NS_PER_S, NS_PER_US, 0, NS_PER_S);
	simulate(&from, "500", 4 * NS_PER_S, NS_PER_US, 0, NS_PER_S);
	from.schedule.poisson = true;
	assert_int_equal(run_merge(into, &from), 0);
	run_deinit(&from);
	assert_int_equal(into->schedule.n, 1);
	assert_true(into->schedule.poisson);
	assert_int_equal(into->schedule.pieces[0].length_ns, 0);
	assert_true(fabs(schedule_rate_at(&into->schedule, 0) - (7000 + 2000) / 4.0) < .5);
	assert_true(fabs(run_offered_rate(into) - (7000 + 2000) / 4.0) < .5);
}

/* --- without memory -------------------------------------------------------------- */

/* Calls `attempt` with the first, the second, ... allocation failing, until it succeeds. */
static void fail_each_in_turn(int (*attempt)(void))
{
	long n = 0;

	for (;;) {
		int result;

		failing_at = n;
		result = attempt();
		if (failing_at >= 0) { /* there were fewer allocations than that */
			failing_at = -1;
			assert_int_equal(result, 0);
			break;
		}
		assert_int_equal(result, -ENOMEM);
		n++;
	}
	assert_true(n > 0);
}

static int attempt_init(void)
{
	struct run run;
	int err = run_init(&run);

	run_deinit(&run);
	return err;
}

static void test_a_run_without_memory(void **state)
{
	(void)state;
	fail_each_in_turn(attempt_init);
}

static struct run parts[2];

static int attempt_merge(void)
{
	long failing = failing_at;
	struct run run;
	int err;

	failing_at = -1;
	assert_int_equal(run_init(&run), 0);
	run.host = "somewhere else";
	failing_at = failing;
	err = run_merge(&run, &parts[0]);
	if (err == 0) {
		err = run_merge(&run, &parts[1]);
	}
	run_deinit(&run);
	return err;
}

static void test_merging_without_memory(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(run_init(&parts[i]), 0);
		parts[i].host = "here";
		parts[i].ended_by = "SIGINT";
		parts[i].targets[0] = i > 0 ? "one:1" : "two:2";
		parts[i].n_targets = 1;
		simulate(&parts[i], "10", 10 * NS_PER_S, NS_PER_US, NS_PER_MS, NS_PER_S);
	}
	fail_each_in_turn(attempt_merge);
	run_deinit(&parts[0]);
	run_deinit(&parts[1]);
}

static int attempt_assertions(void)
{
	static const char *const texts[] = { "p99<1s", "calls==0" };
	long failing = failing_at;
	struct run run;
	int err;

	failing_at = -1;
	assert_int_equal(run_init(&run), 0);
	failing_at = failing;
	err = assertions_measure(&run, texts, ARRAY_SIZE(texts));
	assert_int_equal(run.n_assertions, err == 0 ? 2 : 0);
	run_deinit(&run);
	return err;
}

static void test_assertions_without_memory(void **state)
{
	(void)state;
	fail_each_in_turn(attempt_assertions);
}

static void test_a_second_without_memory_still_counts(void **state)
{
	struct run *run = *state;
	struct series *series = &run->results.series;

	failing_at = 0;
	answer(&run->results, 0, 5);
	assert_int_equal(failing_at, -1);
	assert_int_equal(series->bins[0].ok, 1);
	assert_null(series->bins[0].latency);
	assert_int_equal(latencies_count(run->results.latency_ok), 1);
	answer(&run->results, 0, 6);
	assert_int_equal(series->bins[0].ok, 2);
	assert_non_null(series->bins[0].latency);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_schedule_that_is_kept_is_achieved),
		TEST(a_straggler_does_not_make_a_run_slow),
		TEST(a_server_that_falls_behind_is_the_limit),
		TEST(deferred_calls_are_not_achieved_in_time),
		TEST(a_closed_loop_achieves_what_is_answered),
		TEST(calls_that_all_start_at_once_have_a_rate),
		TEST(nothing_at_all_is_no_rate),
		TEST(a_full_core_is_the_limit),
		TEST(a_late_generator_is_the_limit),
		TEST(a_few_late_calls_among_deferred_ones_are_not),
		TEST(a_deferred_call_is_the_limit),
		TEST(a_server_that_is_not_there_is_the_limit),
		TEST(calls_that_found_no_place_are_the_limit),
		TEST(streams_that_run_out_are_the_limit),
		TEST(a_stall_that_was_hidden_matters),
		TEST(merged_rates_and_costs_add_up),
		TEST(schedules_of_other_shapes_add_up_as_a_rate),
		cmocka_unit_test(test_a_run_without_memory),
		cmocka_unit_test(test_merging_without_memory),
		cmocka_unit_test(test_assertions_without_memory),
		TEST(a_second_without_memory_still_counts),
	};

	return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}

#include "client/assertions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

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

static void check(struct run *run, const char *text, bool held, const char *measured)
{
	char why[512] = "";

	if (assertion_check(text, why, sizeof(why)) < 0) {
		fail_msg("%s: %s", text, why);
	}
	assert_int_equal(assertions_measure(run, &text, 1), 0);
	assert_int_equal(run->n_assertions, 1);
	assert_string_equal(run->assertions[0].text, text);
	if (run->assertions[0].held != held || strcmp(run->assertions[0].measured, measured) != 0) {
		fail_msg("%s: %s, %s", text, run->assertions[0].held ? "held" : "failed",
			 run->assertions[0].measured);
	}
	assert_int_equal(assertions_held(run), held);
}

/* 1000 calls due in 10 s: 990 OK, of 1 to 990 ms, and of each failure another number. */
static void fill(struct run *run)
{
	struct recorder *results = &run->results;

	run->schedule = (struct schedule_spec){ .n = 1 };
	run->schedule.pieces[0].from = run->schedule.pieces[0].to = 100 * SCHEDULE_RATE_UNIT;
	run->elapsed_ns = run->offered_ns = 10 * NS_PER_S;
	for (int64_t i = 1; i <= 990; i++) {
		latencies_record(results->latency_ok, i * NS_PER_MS);
		latencies_record(results->service_ok, i * NS_PER_US);
		latencies_record(results->lag, i);
	}
	results->due = 1000;
	results->started = 999;
	results->by_status[GRPC_OK] = 990;
	results->by_status[GRPC_UNAVAILABLE] = 4;
	results->mismatched = 1;
	results->never_found = 2;
	results->unfinished = 2;
	results->never_sent = 1;
	results->deferred = 12;
	results->retries = 13;
	results->connections.opened = 14;
	results->connections.lost = 15;
	results->connections.goaways[HTTP2_NO_ERROR] = 16;
	results->connections.goaways[HTTP2_ERROR_COUNT] = 1;
	run->cpu_user_ns = 997 * 20 * NS_PER_US;
	run->cpu_system_ns = 997 * 5 * NS_PER_US;
}

static void test_every_metric_is_measured(void **state)
{
	static const struct {
		const char *text;
		bool held;
		const char *measured;
	} cases[] = {
		{ "p50<500ms", true, "497.0ms" }, /* within 1 % of 495 ms */
		{ "p50 < 490ms", false, "497.0ms" },
		{ "p99.9<990ms", false, "990ms" },
		{ "p100==990ms", true, "990ms" },
		{ "p0.01<=1.01ms", true, "1.003ms" },
		{ "min==1ms", true, "1ms" },
		{ " max <= 990ms ", true, "990ms" },
		{ "mean==495.5ms", true, "495.5ms" },
		{ "service.p99<990us", true, "983.0us" },
		{ "service.max==990us", true, "990us" },
		{ "service.mean>=495us", true, "495.5us" },
		{ "lag.p100<1us", true, "0.990us" },
		{ "lag.min==1ns", true, "1ns" },
		{ "error_rate<1%", true, "0.7021 %" },
		{ "error_rate<0.7%", false, "0.7021 %" },
		{ "error_rate < 0.7021 %", false, "0.702106319 %" },
		{ "error_rate<0.0071", true, "0.7021 %" },
		{ "error_rate!=0", true, "0.7021 %" },
		{ "achieved_rate>=99%", true, "99.5 %" },
		{ "achieved_rate>=99.6%", false, "99.5 %" },
		{ "achieved_rate>=99.5", true, "99.5" },
		{ "achieved_rate>100", false, "99.5" },
		{ "cpu_per_call<25.1us", true, "25.00us" },
		{ "cpu_per_call<25us", false, "25us" },
		{ "code.OK==990", true, "990" },
		{ "code.UNAVAILABLE==0", false, "6" }, /* those without a server are, too */
		{ "code.UNAUTHENTICATED==0", true, "0" },
		{ "calls==999", true, "999" },
		{ "ok==990", true, "990" },
		{ "errors==7", true, "7" },
		{ "mismatched==1", true, "1" },
		{ "never_found==2", true, "2" },
		{ "unfinished==2", true, "2" },
		{ "never_sent==1", true, "1" },
		{ "deferred==12", true, "12" },
		{ "retries==13", true, "13" },
		{ "connections.opened==14", true, "14" },
		{ "connections.lost==15", true, "15" },
		{ "goaways==17", true, "17" },
	};

	fill(*state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check(*state, cases[i].text, cases[i].held, cases[i].measured);
	}
}

static void test_every_operator_compares(void **state)
{
	static const struct {
		const char *text;
		bool below, same, above; /* the limit is 4, 5, 6; what is measured is 5 */
	} operators[] = {
		{ "<", false, false, true },  { "<=", false, true, true },
		{ ">", true, false, false },  { ">=", true, true, false },
		{ "==", false, true, false }, { "!=", true, false, true },
	};
	struct run *run = *state;

	run->results.deferred = 5;
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		const bool held[] = { operators[i].below, operators[i].same, operators[i].above };

		for (int limit = 4; limit <= 6; limit++) {
			char text[32];

			snprintf(text, sizeof(text), "deferred%s%d", operators[i].text, limit);
			check(run, text, held[limit - 4], "5");
		}
	}
}

static void test_a_percentage_is_the_fraction_that_it_names(void **state)
{
	struct run *run = *state;

	for (unsigned failed = 0; failed <= 1000; failed++) {
		char percent[48], fraction[48], measured[48];

		run->results.by_status[GRPC_OK] = 1000 - failed;
		run->results.by_status[GRPC_INTERNAL] = failed;
		snprintf(measured, sizeof(measured), "%g %%", failed / 10.0);
		snprintf(percent, sizeof(percent), "error_rate==%u.%u%%", failed / 10, failed % 10);
		snprintf(fraction, sizeof(fraction), "error_rate==%u.%03u", failed / 1000,
			 failed % 1000);
		check(run, percent, true, measured);
		check(run, fraction, true, measured);
	}
}

static void test_what_was_not_measured_does_not_hold(void **state)
{
	static const char *const texts[] = {
		"p99<1h",
		"p99>=0",
		"min>=0",
		"mean>=0",
		"max>=0",
		"service.p50<1h",
		"lag.p50<1h",
		"error_rate<=100%",
		"cpu_per_call<1h",
		"achieved_rate>=0",
		"achieved_rate>=0%",
		"unreconciled==0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		check(*state, texts[i], false, "-");
	}
	check(*state, "calls==0", true, "0");
}

static void test_a_closed_loop_has_no_offered_rate(void **state)
{
	struct run *run = *state;

	fill(run);
	run->schedule.n = 0;
	check(run, "achieved_rate>=99%", false, "-");
	check(run, "achieved_rate>=99", true, "99.5");
}

static void test_what_it_takes_to_measure(void **state)
{
	static const struct {
		const char *text;
		enum assertion_needs needs;
	} cases[] = {
		{ "p99<1s", ASSERTION_NEEDS_NOTHING },
		{ "service.max<1s", ASSERTION_NEEDS_NOTHING },
		{ "lag.p99<1s", ASSERTION_NEEDS_RATE },
		{ "lag.mean<1s", ASSERTION_NEEDS_RATE },
		{ "achieved_rate>=99%", ASSERTION_NEEDS_RATE },
		{ "achieved_rate>=99", ASSERTION_NEEDS_NOTHING },
		{ "error_rate<1%", ASSERTION_NEEDS_NOTHING },
		{ "unreconciled==0", ASSERTION_NEEDS_RECONCILE },
		{ "mismatched==0", ASSERTION_NEEDS_VERIFY },
		{ "code.OK>0", ASSERTION_NEEDS_NOTHING },
		{ "goaways==0", ASSERTION_NEEDS_NOTHING },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(assertion_needs(cases[i].text), cases[i].needs);
	}
}

static void test_an_unreconciled_call_is_counted_once(void **state)
{
	struct run *run = *state;
	struct run_reconciliation *both = &run->reconciliation;

	both->n = 1;
	check(run, "unreconciled==0", false, "-");
	both->complete = true;
	both->sent = both->received = 100;
	check(run, "unreconciled==0", true, "0");
	both->received = 99; /* it was lost on its way, and ended here as it could */
	both->by_status[GRPC_UNAVAILABLE] = -1;
	check(run, "unreconciled==1", true, "1");
	both->received = 100; /* somebody between both gave it another status */
	both->by_status[GRPC_OK] = 1;
	check(run, "unreconciled==1", true, "1");
	both->by_call = true; /* one arrived twice while another did not */
	both->arrived_twice = both->never_arrived = 1;
	check(run, "unreconciled==2", true, "2");
	both->answer_lost = 4; /* three of them hung, and had their deadline here */
	both->by_status[GRPC_DEADLINE_EXCEEDED] = 3;
	both->explained[GRPC_DEADLINE_EXCEEDED] = 3;
	check(run, "unreconciled==3", true, "3");
}

static void test_all_of_them_must_hold(void **state)
{
	static const char *const texts[] = { "calls==999", "ok==990", "errors==0" };
	struct run *run = *state;

	fill(run);
	assert_true(assertions_held(run));
	assert_int_equal(assertions_measure(run, texts, 2), 0);
	assert_true(assertions_held(run));
	assert_int_equal(assertions_measure(run, texts, 3), 0);
	assert_false(assertions_held(run));
	assert_int_equal(run->n_assertions, 3);
	assert_true(run->assertions[1].held);
	assert_false(run->assertions[2].held);
	assert_int_equal(assertions_measure(run, NULL, 0), 0);
	assert_true(assertions_held(run));
}

static void expect_verdict(struct run *run, const char *text, const char *said)
{
	const char *why;

	assert_int_equal(assertions_measure(run, &text, 1), 0);
	why = assertions_say_nothing(run);
	if (said ? !why || !strstr(why, said) : why != NULL) {
		fail_msg("%s: %s", text, why ? why : "(nothing)");
	}
}

/* All calls started and answered at the rate: late is not too few. */
static void test_a_rate_that_was_offered_late_was_offered(void **state)
{
	struct run *run = *state;

	fill(run);
	for (int i = 0; i < 100; i++) {
		latencies_record(run->results.lag, 5 * NS_PER_MS);
	}
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
	expect_verdict(run, "p99<1h", NULL);
	expect_verdict(run, "p99<1ms", NULL);
}

static void test_a_rate_that_was_not_offered_lets_nothing_be_said(void **state)
{
	struct run *run = *state;

	fill(run);
	run->elapsed_ns = 20 * NS_PER_S; /* half of the rate was achieved */
	run->cpu_user_ns = 20 * NS_PER_S;
	assert_int_equal(run_limit(run), RUN_LIMIT_CLIENT_CPU);
	expect_verdict(run, "p99<1h", "too busy");
	expect_verdict(run, "p99<1ms", "too busy");
	expect_verdict(run, "ok>=2000", "too busy");
	expect_verdict(run, "errors>=8", "too busy"); /* there might have been, of all calls */
	/* But these there are, and more calls would make them no fewer. */
	expect_verdict(run, "errors<=6", NULL);
	expect_verdict(run, "mismatched==0", NULL);
	expect_verdict(run, "code.UNAVAILABLE<1", NULL);
	expect_verdict(run, "error_rate<0.1%", NULL);
	expect_verdict(run, "never_sent==0", "too busy");
	run->results.by_status[GRPC_DEADLINE_EXCEEDED] = 1;
	expect_verdict(run, "errors<=6", "too busy"); /* a deadline passes while a client is late */
	expect_verdict(run, "code.DEADLINE_EXCEEDED==0", "too busy");
	run->schedule.n = 0;
	expect_verdict(run, "p99<1h", NULL); /* a closed loop offers what it can */
}

static void test_calls_that_were_never_sent_hide_no_failure(void **state)
{
	struct run *run = *state;

	fill(run);
	run->results.due = 2000;
	run->results.never_sent = 1001;
	assert_int_equal(run_limit(run), RUN_LIMIT_MAX_IN_FLIGHT);
	expect_verdict(run, "p99<1h", "not offered");
	expect_verdict(run, "p99<1ms", NULL);
}

static void test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "compares nothing" },
		{ "p99", "compares nothing" },
		{ "p99=20ms", "compares nothing" },
		{ "p99!20ms", "compares nothing" },
		{ "<20ms", "asserts something of \"\", which is none of" },
		{ "p<1ms", "asserts something of \"p\"" },
		{ "p0<1ms", "asserts something of \"p0\"" },
		{ "p100.1<1ms", "asserts something of \"p100.1\"" },
		{ "p9.9.9<1ms", "asserts something of \"p9.9.9\"" },
		{ "p.9<1ms", "asserts something of \"p.9\"" },
		{ "p-1<1ms", "asserts something of \"p-1\"" },
		{ "p1e1<1ms", "asserts something of \"p1e1\"" },
		{ "P99<1ms", "asserts something of \"P99\"" },
		{ "service.error_rate<1", "asserts something of \"service.error_rate\"" },
		{ "lag.calls<1", "asserts something of \"lag.calls\"" },
		{ "errors_rate<1%", "asserts something of \"errors_rate\"" },
		{ "code.Unavailable==0", "names no status of gRPC" },
		{ "code.==0", "names no status of gRPC" },
		{ "p99<", "compares with \"\", which is not a duration" },
		{ "p99<20", "compares with \"20\", which has no unit" },
		{ "p99<20%", "compares with \"20%\", which is not a duration" },
		{ "p99<<20ms", "compares with \"<20ms\", which is not a duration" },
		{ "max<-1ms", "which is not a duration" },
		{ "error_rate<1ms", "no percentage or fraction" },
		{ "error_rate<", "no percentage or fraction" },
		{ "error_rate<%", "no percentage or fraction" },
		{ "error_rate<.1", "no percentage or fraction" },
		{ "error_rate<1.", "no percentage or fraction" },
		{ "error_rate<nan", "no percentage or fraction" },
		{ "error_rate<0x1", "no percentage or fraction" },
		{ "error_rate<1.1", "which is more than all" },
		{ "error_rate<101%", "which is more than all" },
		{ "achieved_rate>fast", "no percentage or rate" },
		{ "errors==0%", "which is not a whole number" },
		{ "errors<0.5", "which is not a whole number" },
		{ "code.OK==", "which is not a whole number" },
		{ "calls>99999999999999999999999999", "which is not a whole number" },
		{ "p99<1111111111111111111111111111111111111111111111111111111111111111ms",
		  "not a duration" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char why[512] = "";

		assert_int_equal(assertion_check(cases[i].text, why, sizeof(why)), -1);
		if (!strstr(why, cases[i].why) || strchr(why, '\n')) {
			fail_msg("%s: %s", cases[i].text, why);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_metric_is_measured),
		TEST(every_operator_compares),
		TEST(a_percentage_is_the_fraction_that_it_names),
		TEST(what_was_not_measured_does_not_hold),
		TEST(a_closed_loop_has_no_offered_rate),
		TEST(what_it_takes_to_measure),
		TEST(an_unreconciled_call_is_counted_once),
		TEST(all_of_them_must_hold),
		TEST(a_rate_that_was_offered_late_was_offered),
		TEST(a_rate_that_was_not_offered_lets_nothing_be_said),
		TEST(calls_that_were_never_sent_hide_no_failure),
		TEST(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests_name("assertions", tests, NULL, NULL);
}

/*
 * Schedules against slow references: whole-number arithmetic by the definition for
 * constant arrivals, statistics with fixed seeds for Poisson's.
 */
#include "client/schedule.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/util.h"

__extension__ typedef __int128 wide;

static struct schedule_spec parsed(const char *text)
{
	struct schedule_spec spec = { 0 };
	char why[200] = "";

	if (schedule_parse(text, &spec, why, sizeof(why)) < 0) {
		fail_msg("%s: %s", text, why);
	}
	return spec;
}

/* Are fewer than n calls due by half_ns / 2 (-1), just n (0), more (1)? Exact. */
static int compare_due(const struct schedule_spec *spec, wide half_ns, uint64_t n)
{
	wide due = 0, wanted = (wide)n * 8 * 1000000 * NS_PER_S;

	for (size_t i = 0; i < spec->n; i++) {
		wide from = spec->pieces[i].from, to = spec->pieces[i].to;
		wide length = spec->pieces[i].length_ns, t = half_ns;

		if (length > 0 && t < 2 * length) { /* in this piece: all times its length */
			due = due * length + 4 * from * t * length + (to - from) * t * t;
			wanted *= length;
			return (due > wanted) - (due < wanted);
		}
		due += 4 * (from + to) * length;
		half_ns -= 2 * length;
	}
	due += 8 * (wide)spec->pieces[spec->n - 1].to * half_ns / 2;
	return (due > wanted) - (due < wanted);
}

/* Rounded to the nearest ns: the exact instant is in [ns - 1/2, ns + 1/2]. */
static void check_start(const struct schedule_spec *spec, uint64_t n, int64_t ns)
{
	if (compare_due(spec, 2 * (wide)ns + 1, n) < 0 ||
	    (ns > 0 && compare_due(spec, 2 * (wide)ns - 1, n) > 0)) {
		fail_msg("call %" PRIu64 " does not start at %" PRId64, n, ns);
	}
}

static void test_a_constant_rate_is_exact_and_does_not_drift(void **state)
{
	static const char *const rates[] = { "1",      "3",        "7",          "5000",
					     "0.5",    "0.000001", "333.333333", "9999.9",
					     "650001", "10000000" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct schedule_spec spec = parsed(rates[i]);
		const uint64_t rate = spec.pieces[0].from;
		struct schedule schedule;

		schedule_init(&schedule, &spec, NULL);
		for (uint64_t n = 0; n < 5000; n++) {
			assert_int_equal(schedule_next(&schedule),
					 (int64_t)(((wide)n * 2000000 * NS_PER_S + rate) /
						   (2 * (wide)rate)));
		}
	}
}

static void test_ten_billion_calls_later_it_is_still_exact(void **state)
{
	struct schedule_spec spec = parsed("333.333333");
	struct schedule schedule;
	const uint64_t far = UINT64_C(10000000000);

	(void)state;
	schedule_init(&schedule, &spec, NULL);
	schedule.n = far;
	for (uint64_t n = far; n < far + 1000; n++) {
		/* n * 10^15 / 333333333, rounded */
		wide exact = ((wide)n * 2 * 1000000 * NS_PER_S + 333333333) / (2 * (wide)333333333);

		assert_int_equal(schedule_next(&schedule), (int64_t)exact);
	}
	/* And where ns themselves come to an end. */
	spec = parsed("0.000001");
	schedule_init(&schedule, &spec, NULL);
	schedule.n = 9223;
	assert_int_equal(schedule_next(&schedule), INT64_C(9223000000000000000));
	assert_int_equal(schedule_next(&schedule), INT64_MAX);
}

static void test_steps_and_ramps_start_each_call_when_it_is_due(void **state)
{
	static const char *const texts[] = {
		"1000,2000,4000/3s", "7,0,0.3,1000/1.000000001s",
		"0,0,100/1s",        "3,1,4,1,5,9,2,6/7ms",
		"1000..20000/2s",    "20000..1000/2s",
		"0..1000/3s",        "1000..1000/1s",
		"0.1..0.3/10s",      "0..10000000/1ms",
		"1..2/1h",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct schedule_spec spec = parsed(texts[i]);
		struct schedule schedule;
		int64_t before = 0;

		schedule_init(&schedule, &spec, NULL);
		for (uint64_t n = 0; n < 30000; n++) {
			int64_t ns = schedule_next(&schedule);

			assert_true(ns >= before);
			check_start(&spec, n, ns);
			before = ns;
			if (ns > 10000 * NS_PER_S) {
				break; /* far beyond the last piece, where the rate is low */
			}
		}
	}
}

static void test_nothing_starts_while_the_rate_is_0(void **state)
{
	struct schedule_spec spec = parsed("2,0,2/1s");
	struct schedule schedule;

	(void)state;
	schedule_init(&schedule, &spec, NULL);
	assert_int_equal(schedule_next(&schedule), 0);
	assert_int_equal(schedule_next(&schedule), NS_PER_S / 2);
	assert_int_equal(schedule_next(&schedule), 2 * NS_PER_S);
	spec = parsed("0,5/1s");
	schedule_init(&schedule, &spec, NULL);
	assert_int_equal(schedule_next(&schedule), NS_PER_S);
	/* 10 calls, and then never again. */
	spec = parsed("10..0/2s");
	schedule_init(&schedule, &spec, NULL);
	for (int i = 0; i < 10; i++) {
		assert_in_range(schedule_next(&schedule), 0, 2 * NS_PER_S);
	}
	assert_int_equal(schedule_next(&schedule), INT64_MAX);
	assert_int_equal(schedule_next(&schedule), INT64_MAX);
	/* No schedule at all. */
	spec = (struct schedule_spec){ 0 };
	schedule_init(&schedule, &spec, NULL);
	assert_int_equal(schedule_next(&schedule), INT64_MAX);
	assert_true(schedule_offered(&spec, NS_PER_S) == 0);
	assert_true(schedule_rate_at(&spec, 0) == 0);
}

static void test_a_ramp_has_the_rate_of_the_moment(void **state)
{
	struct schedule_spec spec = parsed("1000..20000/10s");
	struct schedule schedule;
	unsigned seen[120] = { 0 };

	(void)state;
	schedule_init(&schedule, &spec, NULL);
	for (;;) {
		int64_t ns = schedule_next(&schedule);

		if (ns >= 12 * NS_PER_S) {
			break;
		}
		seen[ns / (NS_PER_S / 10)]++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		/* A window's mean rate is that of its middle. */
		double middle = ((double)i + .5) / 10;
		double rate = middle < 10 ? 1000 + 1900 * middle : 20000;

		assert_true(fabs(seen[i] - rate / 10) <= 1.000001);
		assert_true(fabs(schedule_rate_at(&spec, (int64_t)(middle * 1e9)) - rate) < 1e-5);
	}
	assert_int_equal(schedule_length_ns(&spec), 10 * NS_PER_S);
}

static void test_what_is_offered_is_what_is_given(void **state)
{
	static const char *const texts[] = { "5000",           "0.3",
					     "0..1000/3s",     "900..0/2s",
					     "1000,0,3000/1s", "7.7..9.1/11ms",
					     "333.333333",     "10000000" };
	struct random random;

	(void)state;
	random_seed(&random, 4);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct schedule_spec spec = parsed(texts[i]);
		struct schedule schedule;
		int64_t next;

		schedule_init(&schedule, &spec, NULL);
		next = schedule_next(&schedule);
		for (uint64_t given = 0; given < 2000; given++) {
			/* `given` calls start before `next`, and one more then. */
			assert_true(schedule_offered(&spec, next) <= (double)given);
			if (next == INT64_MAX) {
				break;
			}
			assert_true(schedule_offered(&spec, next + 1) >= (double)given + 1);
			next = schedule_next(&schedule);
		}
	}
	for (int i = 0; i < 2000; i++) {
		struct schedule_spec spec = parsed("0..1000/3s");
		int64_t until = (int64_t)random_below(&random, 5 * NS_PER_S);
		struct schedule schedule;
		uint64_t n = 0;

		schedule_init(&schedule, &spec, NULL);
		while (schedule_next(&schedule) < until) {
			n++;
		}
		assert_true(schedule_offered(&spec, until) == (double)n);
	}
}

/* The largest distance between the samples (sorted, in [0, 1]) and the even distribution. */
static double distance_from_even(double *samples, size_t n)
{
	double farthest = 0;

	for (size_t i = 0; i < n; i++) {
		farthest = fmax(farthest, fabs(samples[i] - (double)i / (double)n));
		farthest = fmax(farthest, fabs(samples[i] - (double)(i + 1) / (double)n));
	}
	return farthest;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#define SAMPLES 20000
/* Kolmogorov and Smirnov: one good generator in a thousand is farther off. */
#define FARTHEST (1.95 / sqrt(SAMPLES))

static void test_poisson_gaps_are_exponential_and_independent(void **state)
{
	static double gaps[SAMPLES], sorted[SAMPLES];

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct schedule_spec spec = parsed("5000");
		struct schedule schedule;
		struct random random;
		double mean = 0, squares = 0, neighbours = 0;
		int64_t before = 0;

		spec.poisson = true;
		random_seed(&random, seed);
		schedule_init(&schedule, &spec, &random);
		for (size_t i = 0; i < SAMPLES; i++) {
			int64_t ns = schedule_next(&schedule);

			assert_true(ns >= before);
			gaps[i] = (double)(ns - before) / 200000; /* in mean gaps */
			sorted[i] = -expm1(-gaps[i]);
			mean += gaps[i] / SAMPLES;
			before = ns;
		}
		for (size_t i = 0; i < SAMPLES; i++) {
			squares += (gaps[i] - mean) * (gaps[i] - mean) / SAMPLES;
			neighbours += i > 0 ? (gaps[i] - mean) * (gaps[i - 1] - mean) / SAMPLES : 0;
		}
		assert_true(fabs(mean - 1) < 4 / sqrt(SAMPLES));
		assert_true(fabs(squares - 1) < 4 * sqrt(8.0 / SAMPLES));
		assert_true(fabs(neighbours) < 4 / sqrt(SAMPLES));
		qsort(sorted, SAMPLES, sizeof(sorted[0]), compare);
		assert_true(distance_from_even(sorted, SAMPLES) < FARTHEST);
	}
}

static void test_poisson_follows_a_ramp(void **state)
{
	static double sorted[SAMPLES];
	struct schedule_spec spec = parsed("1000..20000/2s"); /* 21000 calls, on average */
	struct schedule schedule;
	struct random random;
	double before = 0;

	(void)state;
	spec.poisson = true;
	random_seed(&random, 6);
	schedule_init(&schedule, &spec, &random);
	for (size_t i = 0; i < SAMPLES; i++) {
		double t = (double)schedule_next(&schedule) / 1e9;
		/* Seen through L the gaps are those of a process of rate 1. */
		double due = t < 2 ? 1000 * t + 19000 * t * t / 4 : 21000 + 20000 * (t - 2);

		assert_true(fabs(schedule_offered(&spec, (int64_t)(t * 1e9)) - due) < 1e-4);
		sorted[i] = -expm1(-(due - before));
		before = due;
	}
	assert_true(fabs(before - SAMPLES) < 4 * sqrt(SAMPLES));
	qsort(sorted, SAMPLES, sizeof(sorted[0]), compare);
	assert_true(distance_from_even(sorted, SAMPLES) < FARTHEST);
}

static void test_a_seed_repeats_itself(void **state)
{
	struct schedule_spec spec = parsed("10..1000/1s");
	struct schedule one, other;
	struct random random, twin;

	(void)state;
	spec.poisson = true;
	random_seed(&random, 7);
	random_seed(&twin, 7);
	schedule_init(&one, &spec, &random);
	schedule_init(&other, &spec, &twin);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(schedule_next(&one), schedule_next(&other));
	}
}

static void test_text_is_read_and_written(void **state)
{
	static const struct {
		const char *text, *simplest;
		double first, last;
		int64_t length_ns;
	} cases[] = {
		{ "5000", "5000", 5000, 5000, 0 },
		{ "0.5", "0.5", .5, .5, 0 },
		{ "0005.2500000", "5.25", 5.25, 5.25, 0 },
		{ "0.000001", "0.000001", .000001, .000001, 0 },
		{ "10000000", "10000000", 1e7, 1e7, 0 },
		{ "1000..20000/10s", "1000..20000/10s", 1000, 20000, 10 * NS_PER_S },
		{ "0.5..1.5/1500ms", "0.5..1.5/1.5s", .5, 1.5, 1500 * NS_PER_MS },
		{ "0..1000/10s", "0..1000/10s", 0, 1000, 10 * NS_PER_S },
		{ "1000,2000,4000/30s", "1000,2000,4000/30s", 1000, 4000, 90 * NS_PER_S },
		{ "1,0/1m", "1,0/1m", 1, 0, 120 * NS_PER_S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct schedule_spec spec = parsed(cases[i].text);
		struct buffer out = BUFFER_INIT;

		assert_true(fabs(schedule_rate_at(&spec, 0) - cases[i].first) < 1e-12);
		assert_true(fabs(schedule_rate_at(&spec, INT64_MAX) - cases[i].last) < 1e-12);
		assert_int_equal(schedule_length_ns(&spec), cases[i].length_ns);
		assert_int_equal(schedule_format(&spec, &out), 0);
		assert_int_equal(buffer_append(&out, "", 1), 0);
		assert_string_equal(buffer_data(&out), cases[i].simplest);
		buffer_free(&out);
	}
}

static void test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "is not a rate in calls per second" },
		{ "fast", "is not a rate in calls per second" },
		{ "-1", "is not a rate in calls per second" },
		{ ".5", "is not a rate in calls per second" },
		{ "5.", "\".\" is too much" },
		{ "5k", "\"k\" is too much" },
		{ "5e3", "\"e3\" is too much" },
		{ "0", "is a rate of 0" },
		{ "0.0", "is a rate of 0" },
		{ "0..0/1s", "is a rate of 0" },
		{ "0,0/1s", "is a rate of 0" },
		{ "0.0000001", "is finer than a millionth" },
		{ "10000000.000001", "is a rate above 10000000" },
		{ "99999999999999999999999999", "is a rate above 10000000" },
		{ "1000..20000", "a ramp needs its length, as in 1000..20000/10s" },
		{ "1000../10s", "is not a rate in calls per second" },
		{ "1000..2000,3000/10s", "\",3000/10s\" is too much" },
		{ "1000..2000/", "the length behind the / is not a duration" },
		{ "1000..2000/10", "the length behind the / has no unit" },
		{ "1000..2000/0s", "has a length of 0" },
		{ "1000,2000", "steps need the length of each" },
		{ "1000,/30s", "is not a rate in calls per second" },
		{ "1000,2000..3000/30s", "\"..3000/30s\" is too much" },
		{ "1000,2000/2000000h", "is too long" },
		{ "1000/30s", "is one rate, which has no length of its own" },
	};
	char many[3 * SCHEDULE_MAX_PIECES + 8] = "1";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct schedule_spec spec = { .n = 3, .poisson = true };
		char why[200] = "";

		assert_int_equal(schedule_parse(cases[i].text, &spec, why, sizeof(why)), -1);
		if (!strstr(why, cases[i].why)) {
			fail_msg("%s: %s", cases[i].text, why);
		}
		assert_int_equal(spec.n, 3);
	}
	for (size_t i = 1; i < SCHEDULE_MAX_PIECES; i++) {
		strncat(many, ",1", 3);
	}
	for (int more = 0; more < 2; more++) {
		struct schedule_spec spec = { .poisson = true };
		char text[sizeof(many) + 8], why[200] = "";

		snprintf(text, sizeof(text), "%s%s/1s", many, more ? ",1" : "");
		assert_int_equal(schedule_parse(text, &spec, why, sizeof(why)), -more);
		assert_true(spec.poisson);
		assert_string_equal(why, more ? "has more than 64 steps" : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_constant_rate_is_exact_and_does_not_drift),
		cmocka_unit_test(test_ten_billion_calls_later_it_is_still_exact),
		cmocka_unit_test(test_steps_and_ramps_start_each_call_when_it_is_due),
		cmocka_unit_test(test_nothing_starts_while_the_rate_is_0),
		cmocka_unit_test(test_a_ramp_has_the_rate_of_the_moment),
		cmocka_unit_test(test_what_is_offered_is_what_is_given),
		cmocka_unit_test(test_poisson_gaps_are_exponential_and_independent),
		cmocka_unit_test(test_poisson_follows_a_ramp),
		cmocka_unit_test(test_a_seed_repeats_itself),
		cmocka_unit_test(test_text_is_read_and_written),
		cmocka_unit_test(test_what_is_wrong_is_said),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}

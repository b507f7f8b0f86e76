#include "client/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/random.h"

static int set_up(void **state)
{
	static struct series series;

	*state = &series;
	return series_init(&series);
}

static int tear_down(void **state)
{
	series_deinit(*state);
	return 0;
}

static void test_what_happens_is_in_its_second(void **state)
{
	struct series *series = *state;

	assert_int_equal(series->n, 0);
	series_due(series, 0, 3);
	assert_int_equal(series->n, 1);
	series_started(series, NS_PER_S - 1);
	series_started(series, NS_PER_S);
	series_ended(series, 3 * NS_PER_S, true, 5);
	series_ended(series, 2 * NS_PER_S, false, 700);
	series_ended(series, 2 * NS_PER_S, false, -1);
	assert_int_equal(series->n, 4);
	assert_int_equal(series->bin_ns, NS_PER_S);
	assert_int_equal(series->bins[0].due, 3);
	assert_int_equal(series->bins[0].started, 1);
	assert_int_equal(series->bins[1].started, 1);
	assert_null(series->bins[1].latency);
	assert_int_equal(series->bins[2].failed, 2);
	assert_int_equal(latencies_count(series->bins[2].latency), 1);
	assert_int_equal(latencies_bits(series->bins[2].latency), SERIES_BITS);
	assert_int_equal(series->bins[3].ok, 1);
}

static void test_what_is_before_the_beginning_belongs_to_it(void **state)
{
	struct series *series = *state;

	series_started(series, -1);
	series_started(series, INT64_MIN);
	assert_int_equal(series->n, 1);
	assert_int_equal(series->bins[0].started, 2);
}

static void test_bins_double_when_they_run_out(void **state)
{
	struct series *series = *state;

	for (int64_t s = 0; s < SERIES_MAX_BINS; s++) {
		series_ended(series, s * NS_PER_S, true, s);
	}
	assert_int_equal(series->bin_ns, NS_PER_S);
	assert_int_equal(series->n, SERIES_MAX_BINS);
	series_started(series, SERIES_MAX_BINS * NS_PER_S);
	assert_int_equal(series->bin_ns, 2 * NS_PER_S);
	assert_int_equal(series->n, SERIES_MAX_BINS / 2 + 1);
	for (size_t i = 0; i < SERIES_MAX_BINS / 2; i++) {
		assert_int_equal(series->bins[i].ok, 2);
		assert_int_equal(latencies_min(series->bins[i].latency), 2 * i);
		assert_int_equal(latencies_max(series->bins[i].latency), 2 * i + 1);
	}
	assert_int_equal(series->bins[SERIES_MAX_BINS / 2].started, 1);
	/* An odd number of them, several times at once. */
	series_due(series, 100000 * NS_PER_S, 9);
	assert_int_equal(series->bin_ns, 256 * NS_PER_S);
	assert_int_equal(series->n, 100000 / 256 + 1);
	assert_int_equal(series->bins[0].ok, 256);
	assert_int_equal(series->bins[1].ok, 256);
	assert_int_equal(series->bins[2].started, 1);
	assert_int_equal(series->bins[100000 / 256].due, 9);
}

static void test_no_time_is_too_late(void **state)
{
	struct series *series = *state;

	series_started(series, 5);
	series_ended(series, INT64_MAX, true, 1);
	series_ended(series, INT64_MAX - 1, true, 1);
	series_started(series, 5);
	assert_true(series->n <= SERIES_MAX_BINS);
	assert_int_equal(series->bins[0].started, 2);
	assert_int_equal(series->bins[series->n - 1].ok, 2);
}

static void test_merging_is_as_if_all_had_been_in_one(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct series all, parts[2];
		struct random random;

		random_seed(&random, seed);
		assert_int_equal(series_init(&all), 0);
		assert_int_equal(series_init(&parts[0]), 0);
		assert_int_equal(series_init(&parts[1]), 0);
		for (int i = 0; i < 500; i++) {
			size_t part = (size_t)random_below(&random, 2);
			/* One part is longer, now the first, now the second. */
			uint64_t length = UINT64_C(1000000000) << (part == seed % 2 ? 12 : 9);
			int64_t at = (int64_t)random_below(&random, length);
			int64_t latency = (int64_t)random_below(&random, 1000000);

			series_due(&all, at, 2);
			series_due(&parts[part], at, 2);
			series_started(&all, at);
			series_started(&parts[part], at);
			series_ended(&all, at, i % 3 > 0, latency);
			series_ended(&parts[part], at, i % 3 > 0, latency);
		}
		assert_int_equal(series_merge(&parts[0], &parts[1]), 0);
		assert_int_equal(parts[0].bin_ns, all.bin_ns);
		assert_int_equal(parts[0].n, all.n);
		for (size_t i = 0; i < all.n; i++) {
			const struct series_bin *one = &parts[0].bins[i], *other = &all.bins[i];

			assert_int_equal(one->due, other->due);
			assert_int_equal(one->started, other->started);
			assert_int_equal(one->ok, other->ok);
			assert_int_equal(one->failed, other->failed);
			assert_int_equal(!one->latency, !other->latency);
			if (one->latency) {
				assert_int_equal(latencies_sum(one->latency),
						 latencies_sum(other->latency));
				assert_int_equal(latencies_quantile(one->latency, .5),
						 latencies_quantile(other->latency, .5));
			}
		}
		series_deinit(&all);
		series_deinit(&parts[0]);
		series_deinit(&parts[1]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_happens_is_in_its_second),
		TEST(what_is_before_the_beginning_belongs_to_it),
		TEST(bins_double_when_they_run_out),
		TEST(no_time_is_too_late),
		cmocka_unit_test(test_merging_is_as_if_all_had_been_in_one),
	};

	return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}

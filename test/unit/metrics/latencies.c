#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/util.h"
#include "metrics/latencies.h"

#define HOUR (3600 * NS_PER_S)

static int set_up(void **state)
{
	*state = latencies_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	latencies_free(*state);
	return 0;
}

static void empty_is_all_zero(void **state)
{
	struct latencies *latencies = *state;

	assert_int_equal(latencies_count(latencies), 0);
	assert_int_equal(latencies_min(latencies), 0);
	assert_int_equal(latencies_max(latencies), 0);
	assert_true(latencies_mean(latencies) == 0);
	assert_int_equal(latencies_quantile(latencies, 0.99), 0);
}

/* Of two values the lower one's bucket is what the median shows: its upper edge. */
static int64_t edge_of(int64_t ns)
{
	struct latencies *latencies = latencies_new();
	int64_t edge;

	latencies_record(latencies, ns);
	latencies_record(latencies, HOUR);
	edge = latencies_quantile(latencies, 0.5);
	latencies_free(latencies);
	return edge;
}

static void buckets_meet_without_gap_or_overlap(void **state)
{
	(void)state;
	for (int64_t ns = 0; ns < 20000; ns++) {
		int64_t edge = edge_of(ns);

		assert_true(edge >= ns);
		assert_true((edge - ns) * 128 <= ns);
		/* The edge lies in its own bucket, and the next value in the next one. */
		if (edge == ns) {
			assert_true(edge_of(ns + 1) > ns);
		} else {
			assert_int_equal(edge_of(ns + 1), edge);
		}
	}
	assert_int_equal(edge_of(255), 255); /* exact up to here */
	assert_int_equal(edge_of(256), 257);
}

static void the_error_is_bounded_up_to_an_hour(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 21);
	for (int64_t power = 1; power < HOUR; power *= 2) {
		for (int64_t near = -1; near <= 1; near++) {
			int64_t ns = MAX(power + near, 0);

			assert_true(edge_of(ns) >= ns && (edge_of(ns) - ns) * 128 <= ns);
		}
	}
	for (int i = 0; i < 2000; i++) {
		int64_t ns = (int64_t)random_below(&random, (uint64_t)HOUR);

		assert_true(edge_of(ns) >= ns && (edge_of(ns) - ns) * 128 <= ns);
	}
	assert_int_equal(edge_of(HOUR), HOUR);
}

static void values_are_clamped(void **state)
{
	struct latencies *latencies = *state;

	latencies_record(latencies, -5);
	latencies_record(latencies, INT64_MIN);
	assert_int_equal(latencies_max(latencies), 0);
	latencies_record(latencies, INT64_MAX);
	assert_int_equal(latencies_min(latencies), 0);
	assert_int_equal(latencies_max(latencies), HOUR);
	assert_int_equal(latencies_count(latencies), 3);
	assert_int_equal(latencies_quantile(latencies, 1), HOUR);
}

static void quantiles_are_of_the_nearest_rank(void **state)
{
	struct latencies *latencies = *state;

	/* 1..200 ns: exact buckets, so the rank is the value. */
	for (int64_t ns = 200; ns > 0; ns--) {
		latencies_record(latencies, ns);
	}
	assert_int_equal(latencies_quantile(latencies, 0), 1);
	assert_int_equal(latencies_quantile(latencies, 0.5), 100);
	assert_int_equal(latencies_quantile(latencies, 0.501), 101);
	assert_int_equal(latencies_quantile(latencies, 0.07), 14); /* 0.07 * 200 > 14 in binary */
	assert_int_equal(latencies_quantile(latencies, 0.99), 198);
	assert_int_equal(latencies_quantile(latencies, 0.999), 200);
	assert_int_equal(latencies_quantile(latencies, 1), 200);
	assert_int_equal(latencies_quantile(latencies, 2), 200);
	assert_int_equal(latencies_quantile(latencies, -1), 1);
	assert_int_equal(latencies_quantile(latencies, 0.0 / 0.0), 1);
	assert_true(latencies_mean(latencies) == 100.5);
}

static void no_quantile_is_above_the_maximum(void **state)
{
	struct latencies *latencies = *state;

	latencies_record(latencies, 1000000);
	assert_int_equal(latencies_quantile(latencies, 0.5), 1000000);
	assert_int_equal(latencies_quantile(latencies, 1), 1000000);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void agrees_with_a_sorted_array(void **state)
{
	static int64_t values[20000];
	struct latencies *latencies = *state;
	struct random random;

	random_seed(&random, 22);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		values[i] = (int64_t)(random_next(&random) >> (24 + random_below(&random, 30)));
		latencies_record(latencies, values[i]);
	}
	qsort(values, ARRAY_SIZE(values), sizeof(values[0]), compare);
	for (size_t rank = 1; rank <= ARRAY_SIZE(values); rank += 7) {
		double q = (double)rank / (double)ARRAY_SIZE(values);
		int64_t exact = values[rank - 1], shown = latencies_quantile(latencies, q);

		assert_true(shown >= exact && (shown - exact) * 128 <= exact);
	}
	assert_int_equal(latencies_min(latencies), values[0]);
	assert_int_equal(latencies_max(latencies), values[ARRAY_SIZE(values) - 1]);
}

static void merging_is_as_if_all_were_recorded_in_one(void **state)
{
	struct latencies *all = *state, *merged = latencies_new();
	struct random random;

	random_seed(&random, 23);
	for (int part = 0; part < 5; part++) {
		struct latencies *one = latencies_new();

		for (int i = 0; i < 1000 * part; i++) { /* the first part is empty */
			int64_t ns = (int64_t)random_below(&random, UINT64_C(5) << (8 * part));

			latencies_record(one, ns);
			latencies_record(all, ns);
		}
		latencies_merge(merged, one);
		latencies_free(one);
	}
	assert_int_equal(latencies_count(merged), latencies_count(all));
	assert_int_equal(latencies_min(merged), latencies_min(all));
	assert_int_equal(latencies_max(merged), latencies_max(all));
	assert_true(latencies_mean(merged) == latencies_mean(all));
	for (int i = 0; i <= 1000; i++) {
		assert_int_equal(latencies_quantile(merged, i / 1000.0),
				 latencies_quantile(all, i / 1000.0));
	}
	latencies_free(merged);
}

/* Every value from 1 us to 1 h is shown at most 1 % too high, and never too low. */
static void the_error_is_below_a_percent_where_it_matters(void **state)
{
	static int64_t values[30000];
	struct latencies *latencies = *state;
	struct random random;

	random_seed(&random, 24);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		/* As many in each decade: 10^3 to 10^12.55 ns. */
		double digits = 3 + 9.556 * random_unit(&random);

		values[i] = (int64_t)pow(10, digits);
		assert_in_range(values[i], 1000, HOUR);
		latencies_record(latencies, values[i]);
	}
	qsort(values, ARRAY_SIZE(values), sizeof(values[0]), compare);
	for (size_t rank = 1; rank <= ARRAY_SIZE(values); rank++) {
		double q = (double)rank / (double)ARRAY_SIZE(values);
		int64_t exact = values[rank - 1], shown = latencies_quantile(latencies, q);

		assert_true(shown >= exact && (shown - exact) * 100 <= exact);
	}
}

/* Buckets follow each other without a gap, and each value is in the one that says so. */
static void every_bucket_holds_what_it_says(void **state)
{
	(void)state;
	for (unsigned bits = 1; bits <= LATENCIES_BITS; bits++) {
		struct latencies *latencies = latencies_new_coarse(bits);
		struct latencies_bucket bucket;
		int64_t next = 0;
		uint32_t index = 0;

		assert_int_equal(latencies_bits(latencies), bits);
		while (latencies_add(latencies, index, 1) == 0) {
			assert_true(latencies_next(latencies, index, &bucket));
			assert_int_equal(bucket.index, index);
			assert_int_equal(bucket.low_ns, next);
			assert_true(bucket.high_ns >= bucket.low_ns);
			assert_true((bucket.high_ns - bucket.low_ns) << bits <= bucket.low_ns);
			latencies_reset(latencies);
			if (bucket.low_ns <= HOUR) {
				latencies_record(latencies, bucket.low_ns);
				latencies_record(latencies, MIN(bucket.high_ns, HOUR));
				assert_true(latencies_next(latencies, 0, &bucket));
				assert_int_equal(bucket.index, index);
				assert_int_equal(bucket.n, 2);
				latencies_reset(latencies);
			}
			next = bucket.high_ns + 1;
			index++;
		}
		assert_true(next > HOUR);
		assert_int_equal(latencies_add(latencies, index, 1), -EINVAL);
		assert_int_equal(latencies_add(latencies, UINT32_MAX, 1), -EINVAL);
		assert_false(latencies_next(latencies, 0, &bucket));
		assert_false(latencies_next(latencies, UINT32_MAX, &bucket));
		latencies_free(latencies);
	}
}

static void reset_is_as_new(void **state)
{
	struct latencies *latencies = *state;
	struct latencies_bucket bucket;

	latencies_record(latencies, 5);
	latencies_record(latencies, HOUR);
	latencies_reset(latencies);
	empty_is_all_zero(state);
	assert_int_equal(latencies_sum(latencies), 0);
	assert_false(latencies_next(latencies, 0, &bucket));
	latencies_record(latencies, 700);
	assert_int_equal(latencies_min(latencies), 700);
	assert_int_equal(latencies_max(latencies), 700);
}

static void same(const struct latencies *a, const struct latencies *b)
{
	struct latencies_bucket x, y;
	uint32_t at = 0;

	while (latencies_next(a, at, &x)) {
		assert_true(latencies_next(b, at, &y));
		assert_int_equal(x.index, y.index);
		assert_int_equal(x.n, y.n);
		at = x.index + 1;
	}
	assert_false(latencies_next(b, at, &y));
	assert_int_equal(latencies_count(a), latencies_count(b));
	assert_int_equal(latencies_sum(a), latencies_sum(b));
	assert_int_equal(latencies_min(a), latencies_min(b));
	assert_int_equal(latencies_max(a), latencies_max(b));
	assert_true(latencies_deviation(a) == latencies_deviation(b));
}

static void coarser_ones_take_what_finer_ones_have(void **state)
{
	struct latencies *fine = *state;
	struct random random;

	random_seed(&random, 25);
	for (unsigned bits = 1; bits <= LATENCIES_BITS; bits++) {
		struct latencies *coarse = latencies_new_coarse(bits);
		struct latencies *merged = latencies_new_coarse(bits);

		latencies_reset(fine);
		for (int i = 0; i < 3000; i++) {
			int64_t ns =
				(int64_t)(random_next(&random) >> (22 + random_below(&random, 40)));

			latencies_record(i % 3 ? fine : merged, ns);
			latencies_record(coarse, ns);
		}
		latencies_merge(merged, fine);
		same(merged, coarse);
		latencies_free(coarse);
		latencies_free(merged);
	}
}

static void what_one_gave_another_takes(void **state)
{
	struct latencies *latencies = *state, *copy = latencies_new();
	struct latencies_bucket bucket;
	struct random random;
	uint32_t at = 0;

	random_seed(&random, 26);
	for (int i = 0; i < 3000; i++) {
		latencies_record(latencies,
				 (int64_t)(random_next(&random) >> random_below(&random, 60)));
	}
	for (; latencies_next(latencies, at, &bucket); at = bucket.index + 1) {
		assert_int_equal(latencies_add(copy, bucket.index, bucket.n), 0);
	}
	latencies_restore(copy, latencies_min(latencies), latencies_max(latencies),
			  latencies_sum(latencies));
	same(latencies, copy);
	/* An empty one has nothing to restore, and is still empty. */
	latencies_reset(copy);
	latencies_restore(copy, 5, 6, 7);
	latencies_record(copy, 100);
	assert_int_equal(latencies_min(copy), 100);
	assert_int_equal(latencies_max(copy), 100);
	assert_int_equal(latencies_sum(copy), 100);
	latencies_free(copy);
}

static void the_deviation_is_that_of_the_values(void **state)
{
	struct latencies *latencies = *state;
	double sum = 0, squares = 0;
	struct random random;

	assert_true(latencies_deviation(latencies) == 0);
	for (int i = 0; i < 10; i++) {
		latencies_record(latencies, 123456789);
	}
	assert_true(latencies_deviation(latencies) == 0);
	latencies_reset(latencies);
	latencies_record(latencies, 10);
	latencies_record(latencies, 20);
	assert_true(latencies_deviation(latencies) == 5);
	latencies_reset(latencies);
	random_seed(&random, 27);
	for (int i = 0; i < 10000; i++) {
		double ns = 1e6 + 1e8 * random_unit(&random) * random_unit(&random);

		latencies_record(latencies, (int64_t)ns);
		sum += ns;
		squares += ns * ns;
	}
	sum /= 10000;
	squares = sqrt(squares / 10000 - sum * sum);
	assert_true(fabs(latencies_deviation(latencies) - squares) < squares / 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_is_all_zero),
		TEST(buckets_meet_without_gap_or_overlap),
		TEST(the_error_is_bounded_up_to_an_hour),
		TEST(values_are_clamped),
		TEST(quantiles_are_of_the_nearest_rank),
		TEST(no_quantile_is_above_the_maximum),
		TEST(agrees_with_a_sorted_array),
		TEST(merging_is_as_if_all_were_recorded_in_one),
		TEST(the_error_is_below_a_percent_where_it_matters),
		TEST(every_bucket_holds_what_it_says),
		TEST(reset_is_as_new),
		TEST(coarser_ones_take_what_finer_ones_have),
		TEST(what_one_gave_another_takes),
		TEST(the_deviation_is_that_of_the_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

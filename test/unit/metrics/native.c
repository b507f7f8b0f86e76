#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/util.h"
#include "metrics/native.h"

#define PER_POWER (1 << NATIVE_SCHEMA)

/*
 * The bucket of a value by the format's own words: (2^(2^-n))^(i-1) < v <= (2^(2^-n))^i. Most
 * bounds are irrational: the double next to one counts as the bound itself.
 */
static int index_of(double value)
{
	int index = (int)ceill(log2l((long double)value) * PER_POWER);

	return value == (double)exp2l((long double)(index - 1) / PER_POWER) ? index - 1 : index;
}

/* As the array has it. */
static int place_of(double value)
{
	int index = index_of(value) - NATIVE_FIRST_INDEX;

	return MIN(MAX(index, 0), NATIVE_BUCKETS - 1);
}

static void powers_of_two_end_their_buckets(void **state)
{
	(void)state;
	for (int power = NATIVE_LOWEST_POWER; power <= NATIVE_HIGHEST_POWER; power++) {
		double edge = ldexp(1, power);
		int index = power * PER_POWER - NATIVE_FIRST_INDEX;

		assert_int_equal(native_index(edge), index);
		assert_int_equal(native_index(nextafter(edge, INFINITY)),
				 MIN(index + 1, NATIVE_BUCKETS - 1));
		assert_int_equal(native_index(nextafter(edge, 0)), index);
	}
}

static void values_beside_an_edge_are_told_apart(void **state)
{
	(void)state;
	for (int place = 0; place < NATIVE_BUCKETS; place++) {
		double edge = (double)exp2l((long double)(place + NATIVE_FIRST_INDEX) / PER_POWER);

		assert_int_equal(native_index(edge), place);
		assert_int_equal(native_index(nextafter(edge, 0)), place);
		assert_int_equal(native_index(nextafter(edge, INFINITY)),
				 MIN(place + 1, NATIVE_BUCKETS - 1));
	}
}

static void any_value_is_where_its_logarithm_says(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 7);
	for (int i = 0; i < 100000; i++) {
		double value = ldexp(1 + (double)(random_next(&random) >> 12) * 0x1p-52,
				     (int)random_below(&random, 160) - 100);

		assert_int_equal(native_index(value), place_of(value));
	}
}

static void what_is_beyond_the_buckets_counts_in_the_outermost(void **state)
{
	(void)state;
	assert_int_equal(native_index(0x1p-1000), 0);
	assert_int_equal(native_index(0x1p-1074), 0);
	assert_int_equal(native_index(0x1p-30), 0);
	assert_int_equal(native_index(0x1p53), NATIVE_BUCKETS - 1);
	assert_int_equal(native_index(0x1p12), NATIVE_BUCKETS - 1);
	assert_int_equal(native_index(nextafter(0x1p12, 0)), NATIVE_BUCKETS - 1);
}

/* Any bits at all, or near a bound, or dyadic, so that sums are exact. */
static double any_value(struct random *random)
{
	uint64_t bits = random_next(random);
	double value = exp2((double)random_below(random, 1000) / PER_POWER - 40);

	switch (random_below(random, 4)) {
	case 0:
		memcpy(&value, &bits, sizeof(value));
		return value;
	case 1:
		return random_below(random, 2) ? nextafter(value, 0) : nextafter(value, INFINITY);
	case 2:
		return value;
	default:
		return (double)(bits % 1024) * ldexp(1, (int)(bits >> 32) % 20 - 12);
	}
}

static void agrees_with_the_model(void **state)
{
	static struct native_histogram native;
	static struct native_snapshot snapshot;
	static uint64_t model[NATIVE_BUCKETS];
	struct random random;
	uint64_t zero = 0, count = 0, refused = 0;
	double sum = 0;

	(void)state;
	random_seed(&random, 5);
	native_init(&native);
	memset(model, 0, sizeof(model));
	for (int i = 0; i < 100000; i++) {
		double value = any_value(&random);

		if (isnan(value) || value < 0 || value > 9007199254740992.0) {
			assert_false(native_observe(&native, value));
			refused++;
			continue;
		}
		assert_true(native_observe(&native, value));
		if (value <= NATIVE_ZERO_THRESHOLD) {
			zero++;
		} else {
			model[place_of(value)]++;
		}
		count++;
		sum += value;
	}
	assert_true(refused > 1000 && zero > 1000);
	native_read(&native, &snapshot);
	assert_int_equal(snapshot.count, count);
	assert_int_equal(snapshot.zero, zero);
	assert_true(snapshot.sum == sum);
	assert_memory_equal(snapshot.buckets, model, sizeof(model));
	assert_string_equal(snapshot.exemplar->trace_id, "");
}

static void what_cannot_be_measured_is_refused(void **state)
{
	static const double values[] = { -1,        -0x1p-1074,        NAN, -NAN, INFINITY,
					 -INFINITY, 9007199254740994.0 };
	static struct native_histogram native;
	static struct native_snapshot snapshot;

	(void)state;
	native_init(&native);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_false(native_observe(&native, values[i]));
	}
	assert_true(native_observe(&native, 0x1p53));
	assert_true(native_observe(&native, -0.0));
	assert_true(native_observe(&native, 0x1p-129));
	assert_true(native_observe(&native, NATIVE_ZERO_THRESHOLD));
	assert_true(native_observe(&native, nextafter(NATIVE_ZERO_THRESHOLD, 1)));
	native_read(&native, &snapshot);
	assert_int_equal(snapshot.count, 5);
	assert_int_equal(snapshot.zero, 3);
	assert_int_equal(snapshot.buckets[0], 1);
	assert_true(snapshot.sum == 0x1p53);
}

static void the_latest_exemplar_is_kept(void **state)
{
	static struct native_histogram native;
	static struct native_snapshot snapshot;
	struct exemplar exemplar = { .trace_id = "a", .value = 1 };

	(void)state;
	native_init(&native);
	native_exemplify(&native, &exemplar);
	exemplar.value = 2;
	native_exemplify(&native, &exemplar);
	native_read(&native, &snapshot);
	assert_true(snapshot.exemplar->value == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(powers_of_two_end_their_buckets),
		cmocka_unit_test(values_beside_an_edge_are_told_apart),
		cmocka_unit_test(any_value_is_where_its_logarithm_says),
		cmocka_unit_test(what_is_beyond_the_buckets_counts_in_the_outermost),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(what_cannot_be_measured_is_refused),
		cmocka_unit_test(the_latest_exemplar_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/util.h"

/* Published vectors: a wrong shift or rotation would still look random. */
static void gives_the_published_numbers(void **state)
{
	const uint64_t expected[] = {
		UINT64_C(11520),
		UINT64_C(0),
		UINT64_C(1509978240),
		UINT64_C(1215971899390074240),
		UINT64_C(1216172134540287360),
		UINT64_C(607988272756665600),
		UINT64_C(16172922978634559625),
		UINT64_C(8476171486693032832),
		UINT64_C(10595114339597558777),
		UINT64_C(2904607092377533576),
	};
	struct random random = { { 1, 2, 3, 4 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(random_next(&random) == expected[i]);
	}
	random_seed(&random, 1234567);
	assert_true(random.state[0] == UINT64_C(6457827717110365317));
	assert_true(random.state[1] == UINT64_C(3203168211198807973));
}

static void a_seed_repeats_and_zero_is_one(void **state)
{
	struct random a, b;

	(void)state;
	random_seed(&a, 0);
	random_seed(&b, 0);
	assert_true(random_next(&a) != 0 || random_next(&a) != 0);
	random_seed(&a, 0);
	for (int i = 0; i < 100; i++) {
		assert_true(random_next(&a) == random_next(&b));
	}
}

static void below_is_uniform(void **state)
{
	struct random random;
	unsigned counts[6] = { 0 };

	(void)state;
	random_seed(&random, 3);
	for (int i = 0; i < 60000; i++) {
		counts[random_below(&random, 6)]++;
	}
	for (int i = 0; i < 6; i++) {
		/* 10,000 expected, standard deviation 91. */
		assert_in_range(counts[i], 9600, 10400);
	}
	assert_int_equal(random_below(&random, 1), 0);
}

/* Of bounds just above 2^63 a plain remainder would favour the lower half two to one. */
static void below_has_no_bias(void **state)
{
	const uint64_t bound = (UINT64_C(3) << 62);
	struct random random;
	unsigned low = 0;

	(void)state;
	random_seed(&random, 4);
	for (int i = 0; i < 30000; i++) {
		uint64_t draw = random_below(&random, bound);

		assert_true(draw < bound);
		low += draw < bound / 3;
	}
	assert_in_range(low, 9600, 10400); /* biased: 15,000 */
}

static void unit_stays_below_one(void **state)
{
	struct random random;
	double sum = 0;

	(void)state;
	random_seed(&random, 5);
	for (int i = 0; i < 100000; i++) {
		double x = random_unit(&random);

		assert_true(x >= 0 && x < 1);
		sum += x;
	}
	assert_true(sum > 49500 && sum < 50500);
}

static void entropy_differs(void **state)
{
	(void)state;
	assert_true(random_entropy() != random_entropy());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_published_numbers),
		cmocka_unit_test(a_seed_repeats_and_zero_is_one),
		cmocka_unit_test(below_is_uniform),
		cmocka_unit_test(below_has_no_bias),
		cmocka_unit_test(unit_stays_below_one),
		cmocka_unit_test(entropy_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

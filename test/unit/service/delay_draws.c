/* Draws of delays: each test of chance has its seed, so it passes always or never. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/faults.h"

#define DRAWS 200000

static struct delay parsed(const char *text)
{
	struct delay delay;
	char why[128];

	assert_int_equal(delay_parse(text, &delay, why, sizeof(why)), 0);
	return delay;
}

static void near_to(double found, double wanted, double slack)
{
	if (!(fabs(found - wanted) <= slack)) {
		fail_msg("%.9g is not %.9g, give or take %.9g", found, wanted, slack);
	}
}

static void uniform_draws_are_those_that_others_replay(void **state)
{
	/* test/bench/chance.py: delays_ms(1, 0, 5000, 8), delays_ms(42, 10, 20, 8) */
	static const int64_t wide[] = { 4557, 522, 900, 383, 371, 162, 2286, 1429 };
	static const int64_t narrow[] = { 12, 12, 19, 13, 16, 14, 14, 17 };
	struct delay delay = parsed("uniform:0s,5s");
	struct random random;

	(void)state;
	random_seed(&random, 1);
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
		assert_int_equal(delay_draw(&delay, &random), wide[i] * NS_PER_MS);
	}
	delay = parsed("uniform:10ms,20ms");
	random_seed(&random, 42);
	for (size_t i = 0; i < ARRAY_SIZE(narrow); i++) {
		assert_int_equal(delay_draw(&delay, &random), narrow[i] * NS_PER_MS);
	}
}

static void a_fixed_delay_throws_no_die(void **state)
{
	struct delay none = parsed("none"), fixed = parsed("50ms");
	struct random random, before;

	(void)state;
	random_seed(&random, 1);
	before = random;
	assert_int_equal(delay_draw(&none, &random), 0);
	assert_int_equal(delay_draw(&fixed, &random), 50 * NS_PER_MS);
	assert_memory_equal(&random, &before, sizeof(random));
}

/* -- Draws against what is to be expected of them -- */

static const char *const all[] = {
	"50ms",
	"uniform:0s,5s",
	"uniform:100us,7100us",
	"normal:20ms,5ms",
	"normal:5ms,20ms",
	"normal:0s,1ms",
	"normal:59m,10m",
	"normal:1h,1h",
	"exponential:10ms",
	"exponential:40m",
	"exponential:1h",
	"150us:10,2ms:5,0.5s:1",
	"2ms:50,1ms:50",
	"p50=2ms,p90=10ms,p99=80ms",
	"p0.5=1s,p100=1m",
	"p90=0s,p99=1s",
};

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* How many of the sorted draws are at most that. */
static size_t up_to(const int64_t *draws, double ns)
{
	size_t n = 0;

	while (n < DRAWS && (double)draws[n] <= ns) {
		n++;
	}
	return n;
}

static size_t less_than(const int64_t *draws, double ns)
{
	size_t n = 0;

	while (n < DRAWS && (double)draws[n] < ns) {
		n++;
	}
	return n;
}

/* Below its quantile are no more of the draws than q of them, and with it no less. */
static void quantiles_hold(const struct delay *delay, const int64_t *draws)
{
	static const double qs[] = { 0.001, 0.1, 0.25, 0.5, 0.84, 0.9, 0.99, 0.999 };

	for (size_t i = 0; i < ARRAY_SIZE(qs); i++) {
		double ns = delay_quantile(delay, qs[i]) * (double)NS_PER_S;
		double slack = 3 * sqrt(DRAWS * qs[i] * (1 - qs[i]));

		assert_true((double)up_to(draws, ns + 1) >= DRAWS * qs[i] - slack);
		assert_true((double)less_than(draws, ns - 1) <= DRAWS * qs[i] + slack);
	}
}

static void draws_have_the_expected_mean_and_quantiles(void **state)
{
	int64_t *draws = malloc(DRAWS * sizeof(*draws));

	(void)state;
	assert_non_null(draws);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct delay delay = parsed(all[i]);
		double sum = 0, squares = 0, mean;
		struct random random;

		random_seed(&random, i + 1);
		for (size_t k = 0; k < DRAWS; k++) {
			draws[k] = delay_draw(&delay, &random);
			assert_in_range(draws[k], 0, DELAY_LONGEST_NS);
			sum += (double)draws[k];
			squares += (double)draws[k] * (double)draws[k];
		}
		qsort(draws, DRAWS, sizeof(*draws), by_size);
		quantiles_hold(&delay, draws);
		mean = sum / DRAWS;
		near_to(mean, delay_mean(&delay) * (double)NS_PER_S,
			3 * sqrt(fmax(squares / DRAWS - mean * mean, 0) / DRAWS) + 1);
	}
	free(draws);
}

static void draws_follow_each_other_freely(void **state)
{
	struct delay delay = parsed("normal:10s,1s");
	struct random random;
	double before = 0, sum = 0;

	(void)state;
	random_seed(&random, 3);
	for (size_t k = 0; k < DRAWS; k++) {
		double deviation = (double)delay_draw(&delay, &random) / (double)NS_PER_S - 10;

		sum += k > 0 ? before * deviation : 0;
		before = deviation;
	}
	near_to(sum / DRAWS, 0, 3 / sqrt(DRAWS)); /* the correlation, of a variance of 1 */
}

/* -- What is to be expected, against what is known -- */

static void means_are_those_of_the_textbook(void **state)
{
	static const struct {
		const char *text;
		double seconds;
	} rows[] = {
		{ "none", 0 },
		{ "50ms", 0.05 },
		{ "uniform:0s,5s", 2.4995 }, /* 0 to 4999 ms */
		{ "uniform:1s,1001ms", 1 },
		{ "normal:1s,1ms", 1 },
		{ "normal:0s,10ms", 0.00797884560802865 }, /* the half of it: times sqrt(2 / pi) */
		{ "exponential:10ms", 0.01 },
		{ "exponential:1h", 3600 * (1 - 1 / (M_E - 1)) },
		{ "1s:10,2s:5", 0.2 },
		{ "p50=2s,p100=4s", 2 },
		{ "p50=2s", 1.5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct delay delay = parsed(rows[i].text);

		near_to(delay_mean(&delay), rows[i].seconds, rows[i].seconds * 1e-9);
	}
}

static void quantiles_are_those_of_the_textbook(void **state)
{
	static const struct {
		const char *text;
		double q, seconds;
	} rows[] = {
		{ "none", 0.99, 0 },
		{ "50ms", 0, 0.05 },
		{ "uniform:0s,5s", 0.5, 2.499 },
		{ "uniform:0s,5s", 0.9, 4.499 },
		{ "uniform:0s,10ms", 0.7, 0.006 },
		{ "uniform:0s,5s", 0, 0 },
		{ "uniform:0s,5s", 1, 4.999 },
		{ "normal:1s,100ms", 0.5, 1 },
		{ "normal:1s,100ms", 0.9, 1.12815515655446 },
		{ "normal:1s,100ms", 0.99, 1.232634787404084 },
		{ "normal:0s,1s", 0.5, 0.6744897501960817 },
		{ "exponential:10ms", 0.5, 0.00693147180559945 },
		{ "exponential:10ms", 0.99, 0.0460517018598809 },
		{ "exponential:10ms", 1, 3600 },
		{ "exponential:1h", 1, 3600 },
		{ "150us:10,2ms:5,0.5s:1", 0.84, 0 },
		{ "150us:10,2ms:5,0.5s:1", 0.8400001, 0.00015 },
		{ "150us:10,2ms:5,0.5s:1", 0.94, 0.00015 },
		{ "150us:10,2ms:5,0.5s:1", 0.99, 0.002 },
		{ "150us:10,2ms:5,0.5s:1", 1, 0.5 },
		{ "2ms:50,1ms:50", 0.5, 0.001 },
		{ "2ms:50,1ms:50", 0.51, 0.002 },
		{ "p50=2ms,p90=10ms,p99=80ms", 0.25, 0.001 },
		{ "p50=2ms,p90=10ms,p99=80ms", 0.5, 0.002 },
		{ "p50=2ms,p90=10ms,p99=80ms", 0.7, 0.006 },
		{ "p50=2ms,p90=10ms,p99=80ms", 0.99, 0.08 },
		{ "p50=2ms,p90=10ms,p99=80ms", 1, 0.08 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct delay delay = parsed(rows[i].text);

		near_to(delay_quantile(&delay, rows[i].q), rows[i].seconds, rows[i].seconds * 1e-9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uniform_draws_are_those_that_others_replay),
		cmocka_unit_test(a_fixed_delay_throws_no_die),
		cmocka_unit_test(draws_have_the_expected_mean_and_quantiles),
		cmocka_unit_test(draws_follow_each_other_freely),
		cmocka_unit_test(means_are_those_of_the_textbook),
		cmocka_unit_test(quantiles_are_those_of_the_textbook),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

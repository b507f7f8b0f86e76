#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/util.h"
#include "metrics/exposition.h"
#include "metrics/histogram.h"

/* One bucket for each bound and +Inf, each asked for every observation: slow and plain. */
struct model {
	uint64_t cumulative[HISTOGRAM_MAX_BOUNDS + 1];
	double sum;
};

static bool model_observe(struct model *model, const struct histogram_bounds *bounds, double value)
{
	if (isnan(value) || value < 0 || value > 9007199254740992.0) {
		return false;
	}
	for (size_t i = 0; i < bounds->n; i++) {
		model->cumulative[i] += value <= bounds->values[i];
	}
	model->cumulative[bounds->n]++;
	model->sum += value;
	return true;
}

static void assert_agrees(const struct histogram *histogram, const struct model *model)
{
	struct histogram_snapshot snapshot;

	histogram_read(histogram, &snapshot);
	for (size_t i = 0; i <= histogram->bounds->n; i++) {
		assert_int_equal(snapshot.cumulative[i], model->cumulative[i]);
	}
	assert_true(snapshot.sum == model->sum);
}

static void observe_both(struct histogram *histogram, struct model *model, double value)
{
	assert_int_equal(histogram_observe(histogram, value),
			 model_observe(model, histogram->bounds, value));
	assert_agrees(histogram, model);
}

static void the_default_bounds_are_labelled_as_go_prints_them(void **state)
{
	const struct histogram_bounds *bounds = &histogram_default_bounds;

	(void)state;
	assert_int_equal(bounds->n, 11);
	for (size_t i = 0; i < bounds->n; i++) {
		char text[32];
		size_t n = exposition_format_double(bounds->values[i], text);

		assert_int_equal(n, strlen(bounds->labels[i]));
		assert_memory_equal(text, bounds->labels[i], n);
	}
}

static void edges_belong_to_the_bucket_below(void **state)
{
	const struct histogram_bounds *bounds = &histogram_default_bounds;
	struct histogram histogram;
	struct model model = { .sum = 0 };

	(void)state;
	histogram_init(&histogram, bounds);
	assert_agrees(&histogram, &model);
	for (size_t i = 0; i < bounds->n; i++) {
		observe_both(&histogram, &model, bounds->values[i]);
		observe_both(&histogram, &model, nextafter(bounds->values[i], 0));
		observe_both(&histogram, &model, nextafter(bounds->values[i], INFINITY));
	}
	/* The middle one of three is the edge itself: it counts below. */
	assert_int_equal(model.cumulative[0], 2);
}

static void the_ends_of_the_range(void **state)
{
	static const double values[] = { 0.0, -0.0, DBL_TRUE_MIN, DBL_MIN, 0x1p53, 10, 1e9 };
	struct histogram histogram;
	struct model model = { .sum = 0 };

	(void)state;
	histogram_init(&histogram, &histogram_default_bounds);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_true(histogram_observe(&histogram, values[i]));
		model_observe(&model, histogram.bounds, values[i]);
	}
	assert_agrees(&histogram, &model);
}

static void what_cannot_be_measured_is_refused(void **state)
{
	const double values[] = {
		NAN,    -NAN, INFINITY, -INFINITY, -DBL_TRUE_MIN, -1, nextafter(0x1p53, INFINITY),
		DBL_MAX
	};
	struct histogram histogram;
	struct model model = { .sum = 0 };
	struct counter refused = { 0 };

	(void)state;
	histogram_init(&histogram, &histogram_default_bounds);
	assert_false(histogram_observe(&histogram, NAN)); /* where nobody counts that */
	histogram.refused = &refused;
	assert_true(histogram_observe(&histogram, 1));
	model_observe(&model, histogram.bounds, 1);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_false(histogram_observe(&histogram, values[i]));
	}
	assert_int_equal(counter_read(&refused), ARRAY_SIZE(values));
	assert_agrees(&histogram, &model);
}

/* Any bit pattern at all, and values near the bounds, in random order. */
static void agrees_with_the_model(void **state)
{
	static const struct histogram_bounds bounds = {
		.n = 4,
		.values = { 0, 0.25, 0.5, 1024 },
		.labels = { "0", "0.25", "0.5", "1024" },
	};
	struct histogram histogram;
	struct model model = { .sum = 0 };
	struct random random;

	(void)state;
	random_seed(&random, 11);
	histogram_init(&histogram, &bounds);
	for (int i = 0; i < 100000; i++) {
		uint64_t bits = random_next(&random);
		double value;

		if (random_below(&random, 2) == 0) {
			memcpy(&value, &bits, sizeof(value));
		} else {
			/* Dyadic, so that sums are exact. */
			value = (double)random_below(&random, 2 << 20) / 1024;
		}
		observe_both(&histogram, &model, value);
	}
	assert_true(model.cumulative[bounds.n] > 50000);
}

static void no_bounds_at_all_is_a_count_and_a_sum(void **state)
{
	static const struct histogram_bounds none = { .n = 0 };
	struct histogram histogram;
	struct histogram_snapshot snapshot;

	(void)state;
	histogram_init(&histogram, &none);
	histogram_observe(&histogram, 3);
	histogram_read(&histogram, &snapshot);
	assert_int_equal(snapshot.cumulative[0], 1);
	assert_true(snapshot.sum == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_bounds_are_labelled_as_go_prints_them),
		cmocka_unit_test(edges_belong_to_the_bucket_below),
		cmocka_unit_test(the_ends_of_the_range),
		cmocka_unit_test(what_cannot_be_measured_is_refused),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(no_bounds_at_all_is_a_count_and_a_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "client/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "client/figures.h"
#include "sample.h"

static json_t *written(const struct run *run)
{
	struct buffer out = BUFFER_INIT;
	json_error_t error;
	json_t *root;

	assert_int_equal(report_fortio(&out, run), 0);
	root = json_loadb((const char *)buffer_data(&out), buffer_len(&out), 0, &error);
	if (!root) {
		fail_msg("line %d: %s", error.line, error.text);
	}
	buffer_free(&out);
	return root;
}

static double number(json_t *in, const char *name)
{
	json_t *value = json_object_get(in, name);

	assert_true(json_is_number(value));
	return json_number_value(value);
}

static uint64_t count(json_t *in, const char *name)
{
	json_t *value = json_object_get(in, name);

	assert_true(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}

/* Seconds as they are printed, against ns. */
static void expect_ns(double seconds, double ns)
{
	if (fabs(seconds * 1e9 - ns) > 1e-6 + ns * 1e-9) {
		fail_msg("%.12g s are not %.12g ns", seconds, ns);
	}
}

/* How many were recorded in buckets that end at or below `ns`. */
static uint64_t until(const struct latencies *latencies, double ns)
{
	struct latencies_bucket bucket;
	uint64_t n = 0;

	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		n += (double)figures_high(latencies, &bucket) <= ns ? bucket.n : 0;
	}
	return n;
}

static void expect_rows(json_t *rows, const struct latencies *latencies)
{
	uint64_t sum = 0, whole = latencies_count(latencies);
	double end = 0;
	json_t *row;
	size_t i;

	assert_true(json_is_array(rows));
	assert_true(json_array_size(rows) <= 200);
	json_array_foreach(rows, i, row)
	{
		uint64_t n = count(row, "Count");

		assert_true(n > 0);
		assert_true(number(row, "Start") >= end);
		assert_true(number(row, "End") >= number(row, "Start"));
		end = number(row, "End");
		sum += n;
		assert_true(fabs(number(row, "Percent") - 100 * (double)sum / (double)whole) <
			    1e-6);
		/* A row ends a ns beyond its last bucket; of seconds twelve digits are written. */
		assert_int_equal(
			until(latencies, end * 1e9 * (1 + 1e-11) - (sum < whole ? .5 : -.5)), sum);
	}
	assert_int_equal(sum, whole);
	if (whole > 0) {
		expect_ns(number(json_array_get(rows, 0), "Start"),
			  (double)latencies_min(latencies));
		expect_ns(end, (double)latencies_max(latencies));
	}
}

static void expect_histogram(json_t *in, const struct latencies *latencies)
{
	static const double percentiles[] = { 50, 75, 90, 99, 99.9 };
	static const double shares[] = { .5, .75, .9, .99, .999 };
	json_t *list = json_object_get(in, "Percentiles");

	assert_true(json_is_object(in));
	assert_int_equal(count(in, "Count"), latencies_count(latencies));
	expect_ns(number(in, "Min"), (double)latencies_min(latencies));
	expect_ns(number(in, "Max"), (double)latencies_max(latencies));
	expect_ns(number(in, "Sum"), (double)latencies_sum(latencies));
	expect_ns(number(in, "Avg"), latencies_mean(latencies));
	expect_ns(number(in, "StdDev"), latencies_deviation(latencies));
	expect_rows(json_object_get(in, "Data"), latencies);
	if (latencies_count(latencies) == 0) {
		assert_null(list);
		return;
	}
	assert_int_equal(json_array_size(list), ARRAY_SIZE(percentiles));
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
		json_t *item = json_array_get(list, i);

		assert_true(number(item, "Percentile") == percentiles[i]);
		expect_ns(number(item, "Value"), (double)latencies_quantile(latencies, shares[i]));
	}
}

static void expect_run(const struct run *run)
{
	struct latencies *all =
		figures_together(run->results.latency_ok, run->results.latency_failed);
	json_t *root = written(run), *codes = json_object_get(root, "RetCodes"), *code;
	const char *name;
	uint64_t sum = 0;

	expect_histogram(json_object_get(root, "DurationHistogram"), all);
	expect_histogram(json_object_get(root, "ErrorsDurationHistogram"),
			 run->results.latency_failed);
	json_object_foreach(codes, name, code)
	{
		sum += (uint64_t)json_integer_value(code);
	}
	assert_int_equal(sum, run->results.started);
	assert_int_equal(count(root, "ActualDuration"), run->elapsed_ns);
	assert_true(fabs(number(root, "ActualQPS") - run_achieved_rate(run)) <
		    1e-6 * (1 + run_achieved_rate(run)));
	json_decref(root);
	latencies_free(all);
}

static void test_what_it_says_is_what_was_recorded(void **state)
{
	struct run run;
	json_t *root;

	(void)state;
	sample_busy(&run, "one \"run\" \xff", 1, 1);
	expect_run(&run);
	root = written(&run);
	assert_string_equal(json_string_value(json_object_get(root, "Labels")),
			    "one \"run\" \xef\xbf\xbd, echod: muzz.Service/Echo, latency from the "
			    "intended start");
	assert_string_equal(json_string_value(json_object_get(root, "StartTime")),
			    "2023-11-14T22:13:20.123456789Z");
	assert_string_equal(json_string_value(json_object_get(root, "RequestedQPS")), "2000");
	assert_string_equal(json_string_value(json_object_get(root, "RequestedDuration")), "20s");
	assert_string_equal(json_string_value(json_object_get(root, "Destination")),
			    "127.0.0.1:9876, unix:/run/echod.sock");
	assert_int_equal(count(root, "NumThreads"), 4);
	assert_int_equal(count(json_object_get(root, "RetCodes"), "UNAVAILABLE"),
			 run.results.by_status[GRPC_UNAVAILABLE]);
	assert_int_equal(count(json_object_get(root, "RetCodes"), "UNFINISHED"), 2);
	json_decref(root);
	run_deinit(&run);
}

static void test_rows_meet_where_nothing_is_between_them(void **state)
{
	struct run run;
	json_t *root, *rows;

	(void)state;
	sample_one(&run);
	for (int64_t ns = 1000; ns < 1100; ns++) {
		sample_call(&run, 0, 0, ns, GRPC_OK, "", 1);
	}
	expect_run(&run);
	root = written(&run);
	rows = json_object_get(json_object_get(root, "DurationHistogram"), "Data");
	assert_true(json_array_size(rows) > 10);
	for (size_t i = 2; i < json_array_size(rows); i++) {
		bool last = i + 1 == json_array_size(rows);

		/* The call of 1.2 ms stands apart. */
		assert_true((number(json_array_get(rows, i), "Start") ==
			     number(json_array_get(rows, i - 1), "End")) == !last);
	}
	json_decref(root);
	run_deinit(&run);
}

static void test_no_call_and_one(void **state)
{
	struct run run;
	json_t *root;

	(void)state;
	sample_none(&run);
	expect_run(&run);
	run.method = NULL;
	root = written(&run);
	assert_string_equal(json_string_value(json_object_get(root, "Labels")),
			    "echod: a method, latency from the intended start");
	assert_string_equal(json_string_value(json_object_get(root, "RequestedQPS")), "max");
	json_decref(root);
	run_deinit(&run);
	sample_one(&run);
	expect_run(&run);
	root = written(&run);
	assert_string_equal(json_string_value(json_object_get(root, "RequestedDuration")),
			    "exactly 1 calls");
	json_decref(root);
	run_deinit(&run);
}

static void test_enormous_numbers(void **state)
{
	struct latencies_bucket last;
	struct run run;

	(void)state;
	sample_one(&run);
	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(latencies_add(run.results.latency_ok, i, UINT64_C(1) << 48), 0);
	}
	assert_true(latencies_next(run.results.latency_ok, 2999, &last));
	latencies_restore(run.results.latency_ok, 0, last.high_ns, UINT64_MAX);
	run.results.started += UINT64_C(3000) << 48;
	run.results.by_status[GRPC_OK] += UINT64_C(3000) << 48;
	expect_run(&run);
	run_deinit(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_says_is_what_was_recorded),
		cmocka_unit_test(test_rows_meet_where_nothing_is_between_them),
		cmocka_unit_test(test_no_call_and_one),
		cmocka_unit_test(test_enormous_numbers),
	};

	return cmocka_run_group_tests_name("report_fortio", tests, NULL, NULL);
}

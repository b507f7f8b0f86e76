#include "client/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "metrics/parse.h"
#include "sample.h"

static char text[256 * 1024];

static void write_out(const struct run *run)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(report_prom(&out, run), 0);
	assert_true(buffer_len(&out) < sizeof(text));
	memcpy(text, buffer_data(&out), buffer_len(&out));
	text[buffer_len(&out)] = '\0';
	buffer_free(&out);
}

/* A sample that is asked for, by its name and two of its labels ("": none). */
struct wanted {
	const char *name, *label, *value, *label2, *value2;
	double number;
	int seen;
};

static bool has(const struct exposition_sample *sample, const char *label, const char *value)
{
	return label[0] == '\0' ||
	       str_equal(exposition_label(sample, str_from(label)), str_from(value));
}

static int visit(void *user, const struct exposition_sample *sample)
{
	struct wanted *wanted = user;

	if (str_equal(sample->name, str_from(wanted->name)) &&
	    has(sample, wanted->label, wanted->value) &&
	    has(sample, wanted->label2, wanted->value2)) {
		wanted->number = sample->value;
		wanted->seen++;
	}
	return 0;
}

static double number2(const char *name, const char *label, const char *value, const char *label2,
		      const char *value2)
{
	struct wanted wanted = { name, label, value, label2, value2, 0, 0 };
	char why[256] = "";

	assert_int_equal(exposition_parse(str_from(text), visit, &wanted, why, sizeof(why)), 0);
	assert_int_equal(wanted.seen, 1);
	return wanted.number;
}

static double number(const char *name, const char *label, const char *value)
{
	return number2(name, label, value, "", "");
}

static void expect_histogram(const char *name, const char *outcome,
			     const struct latencies *latencies)
{
	static const struct {
		const char *le;
		double ns;
	} bounds[] = {
		{ "5e-05", 5e4 },  { "0.0001", 1e5 },  { "0.00025", 25e4 }, { "0.0005", 5e5 },
		{ "0.001", 1e6 },  { "0.0025", 25e5 }, { "0.005", 5e6 },    { "0.01", 1e7 },
		{ "0.025", 25e6 }, { "0.05", 5e7 },    { "0.1", 1e8 },      { "0.25", 25e7 },
		{ "0.5", 5e8 },    { "1", 1e9 },       { "2.5", 25e8 },     { "5", 5e9 },
		{ "10", 1e10 },
	};
	char part[64];
	double got = 0;

	snprintf(part, sizeof(part), "%s_bucket", name);
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		double before = got, surely = 0;
		struct latencies_bucket bucket;

		for (uint32_t j = 0; latencies_next(latencies, j, &bucket); j = bucket.index + 1) {
			double high = (double)MIN(bucket.high_ns, latencies_max(latencies));

			surely += high <= bounds[i].ns ? (double)bucket.n : 0;
		}
		got = number2(part, "le", bounds[i].le, outcome ? "outcome" : "",
			      outcome ? outcome : "");
		assert_true(got >= before);
		assert_true(got == surely);
	}
	got = number2(part, "le", "+Inf", outcome ? "outcome" : "", outcome ? outcome : "");
	assert_true(got == (double)latencies_count(latencies));
	snprintf(part, sizeof(part), "%s_count", name);
	assert_true(number(part, outcome ? "outcome" : "", outcome ? outcome : "") == got);
	snprintf(part, sizeof(part), "%s_sum", name);
	assert_true(number(part, outcome ? "outcome" : "", outcome ? outcome : "") ==
		    (double)latencies_sum(latencies) / 1e9);
}

static void expect_run(const struct run *run)
{
	const struct recorder *results = &run->results;
	double answers = 0;

	write_out(run);
	assert_true(number("echod_run_calls_due", "", "") == (double)results->due);
	assert_true(number("echod_run_calls_started", "", "") == (double)results->started);
	assert_true(number("echod_run_calls_done", "", "") == (double)recorder_done(results));
	assert_true(number("echod_run_calls_failed", "", "") == (double)recorder_failed(results));
	assert_true(number("echod_run_calls_unfinished", "", "") == (double)results->unfinished);
	assert_true(number("echod_run_calls_never_sent", "", "") == (double)results->never_sent);
	assert_true(number("echod_run_calls_deferred", "", "") == (double)results->deferred);
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		answers += number("echod_run_answers", "code", grpc_status_name(i));
	}
	assert_true(answers == (double)(recorder_answered(results) - results->mismatched));
	assert_true(number("echod_run_achieved_rate", "", "") == run_achieved_rate(run));
	assert_true(number("echod_run_offered_rate", "", "") == run_offered_rate(run));
	assert_true(number("echod_run_duration_seconds", "", "") == (double)run->elapsed_ns / 1e9);
	assert_true(number("echod_run_start_timestamp_seconds", "", "") == 1700000000.123456789);
	expect_histogram("echod_run_latency_seconds", "ok", results->latency_ok);
	expect_histogram("echod_run_latency_seconds", "failed", results->latency_failed);
	expect_histogram("echod_run_service_time_seconds", "ok", results->service_ok);
	expect_histogram("echod_run_service_time_seconds", "failed", results->service_failed);
	if (latencies_count(results->lag) > 0) {
		expect_histogram("echod_run_lag_seconds", NULL, results->lag);
	} else {
		assert_null(strstr(text, "echod_run_lag_seconds"));
	}
}

static void test_what_it_says_is_what_was_recorded(void **state)
{
	struct run run;

	(void)state;
	sample_busy(&run, "nightly", 3, 1);
	sample_verdicts(&run);
	expect_run(&run);
	assert_true(number("echod_run_info", "run", "nightly") == 1);
	assert_true(number("echod_run_info", "id", run.id) == 1);
	assert_true(number("echod_run_latency_percentile_seconds", "percentile", "99.9") ==
		    (double)latencies_quantile(run.results.latency_ok, .999) / 1e9);
	assert_true(number("echod_run_connections", "event", "lost") == 1);
	assert_true(number("echod_run_goaways", "reason", "NO_ERROR") == 1);
	assert_true(number("echod_run_first_error_seconds", "", "") ==
		    (double)run.results.first_error_ns / 1e9);
	assert_true(number("echod_run_reconciliation_difference", "code", "OK") == -4000);
	assert_true(number("echod_run_reconciliation_never_arrived", "", "") == 3);
	for (size_t i = 0; i < run.reconciliation.n; i++) {
		run.reconciliation.servers[i].problem = "connection refused";
	}
	write_out(&run); /* what nobody counted is no difference */
	assert_null(strstr(text, "echod_run_reconciliation_received"));
	assert_null(strstr(text, "echod_run_reconciliation_difference"));
	run_deinit(&run);
}

static void test_an_assertion_that_is_asked_twice_is_one_series(void **state)
{
	struct run run;

	(void)state;
	sample_busy(&run, NULL, 3, 1);
	sample_verdicts(&run);
	write_out(&run);
	assert_true(number("echod_run_assertion_held", "assertion", "p99<20ms") == 0);
	assert_true(number("echod_run_assertion_held", "assertion", "code.UNAVAILABLE<=2000") == 1);
	run_deinit(&run);
}

/* Servers' names are theirs; whatever they are, lines stay lines and labels labels. */
static void test_texts_of_others_stay_values(void **state)
{
	struct run run;

	(void)state;
	sample_one(&run);
	run.name = "a\"b\\c\nd\xff";
	run.ended_by = SAMPLE_HOSTILE;
	for (size_t i = 0; i < 2; i++) {
		sample_call(&run, 0, 0, 5, GRPC_OK, i == 0 ? "x\"} 1\ny{" : "x", 1);
	}
	write_out(&run);
	assert_true(number2("echod_run_info", "run", "a\"b\\c\\x0ad\xef\xbf\xbd", "ended_by",
			    "</script><script>alert(\"1\")</script>'\\x1b[31m\\x0a\\&\xef\xbf\xbd "
			    "end") == 1);
	assert_true(number2("echod_run_backend_calls", "place", "1", "outcome", "ok") == 1);
	assert_true(number2("echod_run_backend_calls", "place", "2", "outcome", "ok") == 1);
	assert_true(number2("echod_run_backend_calls", "server", "x", "outcome", "ok") == 1);
	run_deinit(&run);
}

static void test_no_call_and_one(void **state)
{
	struct run run;

	(void)state;
	sample_none(&run);
	expect_run(&run);
	assert_null(strstr(text, "percentile"));
	assert_null(strstr(text, "NaN"));
	run_deinit(&run);
	sample_one(&run);
	expect_run(&run);
	run_deinit(&run);
}

static void test_enormous_numbers(void **state)
{
	struct run run;

	(void)state;
	sample_one(&run);
	run.results.due = UINT64_MAX;
	assert_int_equal(latencies_add(run.results.latency_ok, 0, UINT64_C(1) << 62), 0);
	latencies_restore(run.results.latency_ok, 0, LATENCIES_LONGEST, UINT64_MAX);
	write_out(&run);
	assert_non_null(strstr(text, "echod_run_calls_due 18446744073709551615\n"));
	expect_histogram("echod_run_latency_seconds", "ok", run.results.latency_ok);
	run_deinit(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_says_is_what_was_recorded),
		cmocka_unit_test(test_an_assertion_that_is_asked_twice_is_one_series),
		cmocka_unit_test(test_texts_of_others_stay_values),
		cmocka_unit_test(test_no_call_and_one),
		cmocka_unit_test(test_enormous_numbers),
	};

	return cmocka_run_group_tests_name("report_prom", tests, NULL, NULL);
}

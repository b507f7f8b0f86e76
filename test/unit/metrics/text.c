#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/random.h"
#include "metrics/exposition.h"

#define NAMES(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define VALUES(...) ((const char *const[]){ __VA_ARGS__ })

static int set_up(void **state)
{
	*state = registry_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	registry_free(*state);
	return 0;
}

static void assert_text(struct registry *registry, const char *expected)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(exposition_text.encode(registry, NULL, &out), 0);
	buffer_append(&out, "", 1);
	assert_string_equal((char *)buffer_data(&out), expected);
	buffer_free(&out);
}

static void the_zero_state_is_golden(void **state)
{
	struct registry *registry = *state;
	struct family *calls =
		registry_family(registry, METRIC_COUNTER, "grpc_calls_total",
				"Total number of gRPC calls", NAMES("method", "status"));

	family_histogram(registry_histogram_family(registry, "grpc_call_latency_seconds",
						   "Latency of gRPC calls", NULL,
						   &histogram_default_bounds),
			 NULL);
	family_counter(calls, VALUES("Echo", "success"));
	family_counter(calls, VALUES("Echo", "fail"));
	registry_counter(registry, "failed_requests", "Total number of failed requests");
	assert_text(registry, "# HELP failed_requests Total number of failed requests\n"
			      "# TYPE failed_requests counter\n"
			      "failed_requests 0\n"
			      "# HELP grpc_call_latency_seconds Latency of gRPC calls\n"
			      "# TYPE grpc_call_latency_seconds histogram\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.005\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.01\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.025\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.05\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.1\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.25\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"0.5\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"1\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"2.5\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"5\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"10\"} 0\n"
			      "grpc_call_latency_seconds_bucket{le=\"+Inf\"} 0\n"
			      "grpc_call_latency_seconds_sum 0\n"
			      "grpc_call_latency_seconds_count 0\n"
			      "# HELP grpc_calls_total Total number of gRPC calls\n"
			      "# TYPE grpc_calls_total counter\n"
			      "grpc_calls_total{method=\"Echo\",status=\"fail\"} 0\n"
			      "grpc_calls_total{method=\"Echo\",status=\"success\"} 0\n");
}

static void histograms_with_labels(void **state)
{
	static const struct histogram_bounds bounds = {
		.n = 2,
		.values = { 5e-05, 1 },
		.labels = { "5e-05", "1" },
	};
	struct histogram *histogram = family_histogram(
		registry_histogram_family(*state, "h", "H", NAMES("z", "a"), &bounds),
		VALUES("Z", "A"));

	histogram_observe(histogram, 5e-05);
	histogram_observe(histogram, 0.5);
	histogram_observe(histogram, 1234567);
	assert_text(*state, "# HELP h H\n# TYPE h histogram\n"
			    "h_bucket{a=\"A\",z=\"Z\",le=\"5e-05\"} 1\n"
			    "h_bucket{a=\"A\",z=\"Z\",le=\"1\"} 2\n"
			    "h_bucket{a=\"A\",z=\"Z\",le=\"+Inf\"} 3\n"
			    "h_sum{a=\"A\",z=\"Z\"} 1.23456750005e+06\n"
			    "h_count{a=\"A\",z=\"Z\"} 3\n");
}

static void help_and_labels_are_escaped(void **state)
{
	struct family *family = registry_family(*state, METRIC_GAUGE, "g",
						"a \"quote\" \\ back\nline", NAMES("x", "y"));

	family_gauge(family, VALUES("a \"quote\" \\ back\nline", ""));
	family_gauge(family, VALUES("\\n", "\xc3\xa9{}="));
	assert_text(*state, "# HELP g a \"quote\" \\\\ back\\nline\n# TYPE g gauge\n"
			    "g{x=\"\\\\n\",y=\"\xc3\xa9{}=\"} 0\n"
			    "g{x=\"a \\\"quote\\\" \\\\ back\\nline\",y=\"\"} 0\n");
}

static bool read_double(void *user, double *ret)
{
	*ret = *(double *)user;
	return true;
}

static void numbers_of_every_kind(void **state)
{
	double real = 1.25e-7;

	counter_add(registry_counter(*state, "a", "A"), UINT64_MAX);
	counter_add(registry_counter(*state, "b", "B"), 1234567);
	gauge_set(registry_gauge(*state, "c", "C"), INT64_MIN);
	gauge_set(registry_gauge(*state, "d", "D"), INT64_MAX);
	family_computed(registry_family(*state, METRIC_COUNTER, "e", "E", NULL), NULL, read_double,
			&real);
	assert_text(*state, "# HELP a A\n# TYPE a counter\na 18446744073709551615\n"
			    "# HELP b B\n# TYPE b counter\nb 1234567\n"
			    "# HELP c C\n# TYPE c gauge\nc -9223372036854775808\n"
			    "# HELP d D\n# TYPE d gauge\nd 9223372036854775807\n"
			    "# HELP e E\n# TYPE e counter\ne 1.25e-07\n");
}

/*
 * Room is measured before it is written to: labels that double in length must fit
 * (under ASan: exactly).
 */
static void long_labels_fit(void **state)
{
	static char values[200][300];
	struct family *family =
		registry_family(*state, METRIC_COUNTER, "f", "F", NAMES("a", "b", "c", "d", "e"));
	struct family *histograms =
		registry_histogram_family(*state, "h", "H", NAMES("a"), &histogram_default_bounds);
	struct buffer out = BUFFER_INIT;
	struct random random;
	size_t lines = 0;

	random_seed(&random, 31);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		size_t n = random_below(&random, sizeof(values[0]));

		for (size_t j = 0; j < n; j++) {
			values[i][j] = "\\\"\nx"[random_below(&random, 4)];
		}
	}
	for (size_t i = 0; i + 5 <= ARRAY_SIZE(values); i += 5) {
		family_counter(family, VALUES(values[i], values[i + 1], values[i + 2],
					      values[i + 3], values[i + 4]));
		family_histogram(histograms, VALUES(values[i]));
	}
	assert_int_equal(exposition_text.encode(*state, NULL, &out), 0);
	for (size_t i = 0; i < buffer_len(&out); i++) {
		lines += buffer_data(&out)[i] == '\n';
	}
	assert_int_equal(lines, 4 + 40 + 40 * 14);
	buffer_free(&out);
}

static void without_memory_it_fails(void **state)
{
	struct buffer out = BUFFER_INIT;
	long failures = 0;
	int err;

	registry_counter(*state, "a", "A");
	family_histogram(
		registry_histogram_family(*state, "h", "H", NULL, &histogram_default_bounds), NULL);
	for (;; failures++) {
		failing_at = failures;
		err = exposition_text.encode(*state, NULL, &out);
		if (err == 0) {
			break;
		}
		assert_int_equal(err, -ENOMEM);
		buffer_free(&out);
	}
	failing_at = -1;
	assert_true(failures >= 2);
	buffer_free(&out);
}

static void the_content_type_is_the_one_that_scrapers_know(void **state)
{
	(void)state;
	assert_string_equal(exposition_text.content_type,
			    "text/plain; version=0.0.4; charset=utf-8");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_zero_state_is_golden),
		TEST(histograms_with_labels),
		TEST(help_and_labels_are_escaped),
		TEST(numbers_of_every_kind),
		TEST(long_labels_fit),
		TEST(without_memory_it_fails),
		TEST(the_content_type_is_the_one_that_scrapers_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

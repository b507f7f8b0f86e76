#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
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

static void assert_open(struct registry *registry, const char *expected)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(exposition_openmetrics.encode(registry, NULL, &out), 0);
	buffer_append(&out, "", 1);
	assert_string_equal((char *)buffer_data(&out), expected);
	buffer_free(&out);
}

static void nothing_is_an_end(void **state)
{
	assert_open(*state, "# EOF\n");
}

static void counters_are_named_without_total_or_are_of_unknown_type(void **state)
{
	counter_increment(registry_counter(*state, "calls_total", "Calls"));
	registry_counter(*state, "total_requests", "Requests");
	registry_counter(*state, "_total", "A suffix alone");
	registry_gauge(*state, "x_total", "No counter");
	assert_open(*state, "# HELP _total A suffix alone\n# TYPE _total unknown\n_total 0\n"
			    "# HELP calls Calls\n# TYPE calls counter\ncalls_total 1\n"
			    "# HELP total_requests Requests\n# TYPE total_requests unknown\n"
			    "total_requests 0\n"
			    "# HELP x_total No counter\n# TYPE x_total gauge\nx_total 0\n"
			    "# EOF\n");
}

static void help_has_its_quotes_escaped(void **state)
{
	struct family *family =
		registry_family(*state, METRIC_GAUGE, "g", "a \"b\" \\ c\nd", NAMES("x"));

	family_gauge(family, VALUES("a \"b\" \\ c\nd"));
	assert_open(*state, "# HELP g a \\\"b\\\" \\\\ c\\nd\n# TYPE g gauge\n"
			    "g{x=\"a \\\"b\\\" \\\\ c\\nd\"} 0\n# EOF\n");
}

static const struct histogram_bounds bounds = {
	.n = 4,
	.values = { 5e-05, 0.5, 5, 1e+06 },
	.labels = { "5e-05", "0.5", "5", "1e+06" },
};

static void bounds_are_floats_and_buckets_have_exemplars(void **state)
{
	struct exemplar kept[5] = { 0 };
	struct exemplar exemplar = {
		.trace_id = "0af7651916cd43dd8448eb211c80319c",
		.span_id = "b7ad6b7169203331",
		.value = 4.5,
		.timestamp = 1700000000.1239,
	};
	struct histogram *histogram = family_histogram(
		registry_histogram_family(*state, "h", "H", NAMES("a"), &bounds), VALUES("A"));

	histogram->exemplars = kept;
	histogram_observe(histogram, 4.5);
	histogram_exemplify(histogram, &exemplar);
	exemplar.value = 2e6;
	exemplar.timestamp = 1;
	histogram_observe(histogram, 2e6);
	histogram_exemplify(histogram, &exemplar);
	assert_open(*state, "# HELP h H\n# TYPE h histogram\n"
			    "h_bucket{a=\"A\",le=\"5e-05\"} 0\n"
			    "h_bucket{a=\"A\",le=\"0.5\"} 0\n"
			    "h_bucket{a=\"A\",le=\"5.0\"} 1 # "
			    "{trace_id=\"0af7651916cd43dd8448eb211c80319c\","
			    "span_id=\"b7ad6b7169203331\"} 4.5 1700000000.123\n"
			    "h_bucket{a=\"A\",le=\"1e+06\"} 1\n"
			    "h_bucket{a=\"A\",le=\"+Inf\"} 2 # "
			    "{trace_id=\"0af7651916cd43dd8448eb211c80319c\","
			    "span_id=\"b7ad6b7169203331\"} 2e+06 1.000\n"
			    "h_sum{a=\"A\"} 2.0000045e+06\nh_count{a=\"A\"} 2\n# EOF\n");
}

static void native_histograms_are_left_out_of_text(void **state)
{
	struct buffer out = BUFFER_INIT;

	native_observe(family_native(registry_native_family(*state, "n", "N", NULL), NULL), 1);
	assert_open(*state, "# EOF\n");
	assert_int_equal(exposition_text.encode(*state, NULL, &out), 0);
	assert_int_equal(buffer_len(&out), 0);
}

static bool is_b(void *user, const char *family)
{
	return strcmp(family, user) == 0;
}

static void a_filter_leaves_families_out(void **state)
{
	char wanted[] = "b_total";
	const struct registry_filter filter = { is_b, wanted };
	struct buffer out = BUFFER_INIT;

	registry_counter(*state, "a_total", "A");
	registry_counter(*state, "b_total", "B");
	assert_int_equal(exposition_openmetrics.encode(*state, &filter, &out), 0);
	buffer_append(&out, "", 1);
	assert_string_equal((char *)buffer_data(&out),
			    "# HELP b B\n# TYPE b counter\nb_total 0\n# EOF\n");
	buffer_free(&out);
}

static void without_memory_it_fails(void **state)
{
	struct buffer out = BUFFER_INIT;
	long failures = 0;
	int err;

	family_histogram(registry_histogram_family(*state, "h", "H", NULL, &bounds), NULL);
	for (;; failures++) {
		failing_at = failures;
		err = exposition_openmetrics.encode(*state, NULL, &out);
		if (err == 0) {
			break;
		}
		assert_int_equal(err, -ENOMEM);
		buffer_free(&out);
	}
	failing_at = -1;
	assert_true(failures >= 1);
	buffer_free(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_an_end),
		TEST(counters_are_named_without_total_or_are_of_unknown_type),
		TEST(help_has_its_quotes_escaped),
		TEST(bounds_are_floats_and_buckets_have_exemplars),
		TEST(native_histograms_are_left_out_of_text),
		TEST(a_filter_leaves_families_out),
		TEST(without_memory_it_fails),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The page at "/": its numbers are those of the meters, and nothing of it comes from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "daemon/landing.h"
#include "daemon/latency_picture.h"
#include "version.h"

struct fixture {
	struct loop *loop;
	struct meters meters;
	struct faults faults;
	struct pages pages;
	struct landing landing;
	struct native_snapshot snapshot;
	struct buffer body;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct faults_plan plan = { .hang_limit_ns = 60 * NS_PER_S };

	assert_non_null(f);
	f->loop = loop_new();
	assert_non_null(f->loop);
	assert_int_equal(meters_init(&f->meters, f->loop), 0);
	assert_non_null(meters_add_service(&f->meters, &echo_service));
	assert_int_equal(meters_add_faults(&f->meters, &f->faults), 0);
	faults_use(&f->faults, &plan, 1);
	f->pages = (struct pages){ "/scrape/me", PAGES_READY };
	f->landing = (struct landing){
		.pages = &f->pages,
		.meters = &f->meters,
		.faults = &f->faults,
		.instance = "0123456789abcdef",
		.timers = loop_timers(f->loop),
		.started_ns = timers_now(loop_timers(f->loop)) - 3723 * NS_PER_S,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	buffer_free(&f->body);
	meters_deinit(&f->meters);
	loop_free(f->loop);
	free(f);
	return 0;
}

static const char *get(struct fixture *f)
{
	struct http1_request request = { 0 };
	struct http1_response response = { .status = 200 };

	buffer_free(&f->body);
	landing_get(&f->landing, &request, &response);
	f->body = response.body;
	assert_int_equal(response.status, 200);
	assert_string_equal(response.content_type, "text/html; charset=utf-8");
	assert_non_null(strstr(response.headers, "Content-Security-Policy: default-src 'none'; "));
	assert_null(strstr(response.headers, "script-src"));
	assert_int_equal(buffer_append(&f->body, "", 1), 0);
	return (const char *)buffer_data(&f->body);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part)) {
		fail_msg("missing from the page: %s", part);
	}
}

static void a_server_without_calls_says_so(void **state)
{
	struct fixture *f = *state;
	const char *text = get(f);

	assert_has(text, "<!DOCTYPE html>");
	assert_has(text, echod_version);
	assert_has(text, "0123456789abcdef");
	assert_has(text, "Ready: calls are served.");
	assert_has(text, "<span>Requests</span><b>0</b>");
	assert_has(text, "<span>Up for</span><b>1h2m3s</b>");
	assert_has(text, "No call has ended yet.");
	assert_null(strstr(text, "<svg"));
	assert_null(strstr(text, "Failed, by status"));
	assert_null(strstr(text, "<script"));
	assert_null(strstr(text, "http://"));
	assert_null(strstr(text, "POST to"));
}

static void links_lead_to_what_there_is(void **state)
{
	struct fixture *f = *state;
	const char *text = get(f);

	assert_has(text, "<a href=\"/scrape/me\">");
	assert_has(text, "<a href=\"/-/healthy\">");
	assert_has(text, "<a href=\"/-/ready\">");
	assert_has(text, "<a href=\"/-/faults\">");
	assert_null(strstr(text, "/-/runs/"));
	f->landing.lists_runs = f->landing.takes_faults = true;
	text = get(f);
	assert_has(text, "<a href=\"/-/runs/\">");
	assert_has(text, "POST to <code>/-/faults</code>");
}

static void numbers_are_those_of_the_meters(void **state)
{
	struct fixture *f = *state;
	struct grpc_method_meters *echo = &f->meters.echo;
	const char *text;

	counter_add(echo->started, 1234567);
	counter_add(echo->handled_ok, 1234000);
	counter_add(echo->handled_failed, 560);
	gauge_set(echo->in_flight, 7);
	counter_add(echo->by_status[GRPC_UNAVAILABLE], 500);
	counter_add(echo->by_status[GRPC_CANCELLED], 60);
	counter_add(f->faults.meters.by_status[GRPC_UNAVAILABLE], 499);
	counter_add(f->faults.meters.by_kind[FAULT_RESET], 3);
	counter_add(f->faults.meters.taken_along[0], 1813);
	gauge_set(f->meters.doors[DOOR_GRPC].connection.active, 11);
	assert_true(native_observe(echo->duration, 0.125));
	text = get(f);
	assert_has(text, "<span>Requests</span><b>1,234,567</b>");
	assert_has(text, "<span>Successful</span><b>1,234,000</b>");
	assert_has(text, "<span>Failed</span><b>560</b>");
	assert_has(text, "<span>In flight</span><b>7</b>");
	assert_has(text, "<span>Connections</span><b>11</b>");
	assert_has(text, "<th scope=\"row\">UNAVAILABLE</th><td class=\"n\">500</td>");
	assert_has(text, "<th scope=\"row\">CANCELLED</th><td class=\"n\">60</td>");
	assert_null(strstr(text, "<th scope=\"row\">INTERNAL</th>"));
	assert_has(text, "calls failed with UNAVAILABLE</th><td class=\"n\">499</td>");
	assert_has(text, "calls met reset</th><td class=\"n\">3</td>");
	assert_has(text, "other calls that close took along</th><td class=\"n\">1,813</td>");
	assert_has(text, "1 call since the start, 125.0 ms on average");
	assert_has(text, "<svg");
}

static void the_plan_in_force_is_shown(void **state)
{
	struct fixture *f = *state;
	struct faults_plan plan = f->faults.plan;
	char why[128];

	assert_int_equal(faults_plan_set(&plan, "status", "INTERNAL:1", why, sizeof(why)), 0);
	faults_use(&f->faults, &plan, 1);
	assert_has(get(f), "<th scope=\"row\">status</th><td><code>INTERNAL:1</code></td>");
}

static void how_it_is_stands_on_top(void **state)
{
	struct fixture *f = *state;

	f->pages.state = PAGES_UNWELL;
	assert_has(get(f), "<p class=\"state care\">Not ready, on purpose");
	f->pages.state = PAGES_NOT_READY;
	assert_has(get(f), "<p class=\"state bad\">Not ready.");
	gauge_set(f->meters.draining, 1);
	assert_has(get(f), "<p class=\"state bad\">Stopping");
}

/* The quantile of a native histogram of these observations. */
static double quantile_of(struct fixture *f, const double *values, size_t n, double q)
{
	struct native_histogram *native = malloc(sizeof(*native));
	double result;

	assert_non_null(native);
	native_init(native);
	for (size_t i = 0; i < n; i++) {
		assert_true(native_observe(native, values[i]));
	}
	native_read(native, &f->snapshot);
	result = latency_quantile(&f->snapshot, q);
	free(native);
	return result;
}

static void quantiles_are_right_within_a_bucket(void **state)
{
	struct fixture *f = *state;
	double values[1000];

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		values[i] = 0.001 * (double)(i + 1);
	}
	for (double q = 0.01; q < 1; q += 0.01) {
		double error = quantile_of(f, values, ARRAY_SIZE(values), q) / q;

		assert_true(error > 0.95 && error < 1.05);
	}
	values[0] = 0;
	assert_true(quantile_of(f, values, 1, 0.5) == 0);
	assert_true(quantile_of(f, NULL, 0, 0.5) == 0);
	values[0] = 1; /* ends its bucket */
	assert_true(quantile_of(f, values, 1, 1) == 1);
	values[0] = 1e9; /* counts in the last */
	assert_true(quantile_of(f, values, 1, 1) == 4096);
}

/* Whatever was counted, nothing is drawn outside of the picture, and every bar is there. */
static void pictures_stay_in_their_frame(void **state)
{
	static const struct {
		double values[4];
		size_t bars;
	} rows[] = {
		{ { 0, 0, 0, 0 }, 1 },
		{ { 1e-9, 1e9, 1e-9, 1e9 }, 2 },
		{ { 0.001, 0.001, 0.001, 0.001 }, 1 },
		{ { 0.001, 0.01, 0.1, 1 }, 4 },
		{ { 3000, 4000, 4000, 5000 }, 2 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buffer out = BUFFER_INIT;
		struct html html = { .out = &out };
		size_t bars = 0;
		const char *text;

		quantile_of(f, rows[i].values, 4, 1);
		latency_picture(&html, &f->snapshot);
		assert_int_equal(html.err, 0);
		assert_int_equal(buffer_append(&out, "", 1), 0);
		text = (const char *)buffer_data(&out);
		for (const char *at = text; (at = strstr(at, "<rect class=\"bar\"")); at++) {
			bars++;
		}
		assert_int_equal(bars, rows[i].bars);
		for (const char *at = text; (at = strstr(at, " x")); at++) {
			const char *value = strchr(at, '"');
			double x = strtod(value + 1, NULL);

			assert_true(x >= 0 && x <= 640);
		}
		assert_null(strstr(text, "nan"));
		assert_has(text, "p50 ");
		assert_has(text, "p99 ");
		buffer_free(&out);
	}
}

static void without_memory_there_is_no_half_of_a_page(void **state)
{
	struct fixture *f = *state;
	struct http1_request request = { 0 };
	int status = 500;
	long n;

	assert_true(native_observe(f->meters.echo.duration, 0.125));
	for (n = 0; status == 500; n++) {
		struct http1_response response = { .status = 200 };

		failing_at = n;
		landing_get(&f->landing, &request, &response);
		failing_at = -1;
		status = response.status;
		assert_true(status == 200 || buffer_len(&response.body) == 0);
		buffer_free(&response.body);
	}
	assert_true(n > 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_server_without_calls_says_so),
		TEST(links_lead_to_what_there_is),
		TEST(numbers_are_those_of_the_meters),
		TEST(the_plan_in_force_is_shown),
		TEST(how_it_is_stands_on_top),
		TEST(quantiles_are_right_within_a_bucket),
		TEST(pictures_stay_in_their_frame),
		TEST(without_memory_there_is_no_half_of_a_page),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}

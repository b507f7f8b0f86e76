/* What a fresh daemon exposes, and that the set of lines never changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "daemon/meters.h"
#include "metrics/exposition.h"
#include "service/echo.h"
#include "service/interop.h"

struct fixture {
	struct loop *loop;
	struct meters meters;
	const struct grpc_method_meters *echo, *interop;
	struct buffer text;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->loop = loop_new();
	assert_non_null(f->loop);
	assert_int_equal(meters_init(&f->meters, f->loop), 0);
	f->echo = meters_add_service(&f->meters, &echo_service);
	f->interop = meters_add_service(&f->meters, &interop_service);
	assert_non_null(f->echo);
	assert_non_null(f->interop);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	buffer_free(&f->text);
	meters_deinit(&f->meters);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* The exposition as a string; valid until the next one. */
static char *expose(struct fixture *f)
{
	buffer_clear(&f->text);
	assert_int_equal(exposition_text.encode(f->meters.registry, NULL, &f->text), 0);
	assert_int_equal(buffer_append(&f->text, "", 1), 0);
	return (char *)buffer_data(&f->text);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part)) {
		fail_msg("missing from the exposition: %s", part);
	}
}

static void the_frozen_families_begin_at_zero(void **state)
{
	static const char *const blocks[] = {
		"# HELP failed_requests Total number of failed requests\n"
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
		"grpc_calls_total{method=\"Echo\",status=\"success\"} 0\n",
		"# HELP successful_requests Total number of successful requests\n"
		"# TYPE successful_requests counter\n"
		"successful_requests 0\n"
		"# HELP total_requests Total number of requests received\n"
		"# TYPE total_requests counter\n"
		"total_requests 0\n",
	};
	const char *text = expose(*state);

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		assert_has(text, blocks[i]);
	}
}

static void every_family_has_its_help_and_type(void **state)
{
	static const char *const lines[] = {
		"# HELP echod_build_info Constant 1; the labels name this build and the libraries "
		"that it runs with.\n# TYPE echod_build_info gauge\n",
		"# HELP echod_rpcs_in_flight Number of Echo calls received but not yet "
		"completed.\n# TYPE echod_rpcs_in_flight gauge\n",
		"# HELP echod_connections_active Number of open connections.\n"
		"# TYPE echod_connections_active gauge\n",
		"# HELP echod_connections_accepted_total Total number of accepted connections.\n",
		"# HELP echod_connections_refused_total Total number of connections closed before "
		"being served.\n",
		"# HELP echod_connections_closed_total Total number of closed connections by "
		"reason.\n",
		"# HELP echod_http2_streams_active Number of open HTTP/2 streams.\n",
		"# HELP echod_http2_streams_opened_total Total number of HTTP/2 streams opened by "
		"peers.\n",
		"# HELP echod_http2_goaway_sent_total Total number of GOAWAY frames sent by error "
		"code.\n",
		"# HELP echod_http2_protocol_errors_total Total number of HTTP/2 connection errors "
		"detected locally by error code.\n",
		"# HELP echod_network_receive_bytes_total Total number of bytes read from "
		"sockets.\n",
		"# HELP echod_network_transmit_bytes_total Total number of bytes written to "
		"sockets.\n",
		"# HELP echod_event_loop_lag_seconds Delay of a periodic timer behind its due "
		"time.\n# TYPE echod_event_loop_lag_seconds histogram\n",
		"# HELP echod_event_loop_iterations_total Total number of event loop iterations.\n",
		"# HELP echod_event_loop_idle_seconds_total Total time the event loop waited for "
		"events.\n# TYPE echod_event_loop_idle_seconds_total counter\n",
		"# HELP echod_ready Whether the server accepts new calls.\n",
		"# HELP echod_log_messages_total Total number of log messages by level.\n"
		"# TYPE echod_log_messages_total counter\n",
		"# HELP echod_metrics_http_requests_total Total number of requests to the metrics "
		"listener by status code.\n",
	};
	const char *text = expose(*state);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_has(text, lines[i]);
	}
}

static void every_child_exists_from_the_start(void **state)
{
	static const char *const samples[] = {
		"\nechod_ready 0\n",
		"\nechod_connections_active{listener=\"grpc\"} 0\n",
		"\nechod_connections_active{listener=\"metrics\"} 0\n",
		"\nechod_connections_refused_total{listener=\"grpc\",reason=\"limit\"} 0\n",
		"\nechod_connections_refused_total{listener=\"metrics\",reason=\"emfile\"} 0\n",
		"\nechod_connections_closed_total{listener=\"grpc\",reason=\"peer\"} 0\n",
		"\nechod_http2_goaway_received_total{error_code=\"ENHANCE_YOUR_CALM\"} 0\n",
		"\nechod_http2_rst_stream_sent_total{error_code=\"other\"} 0\n",
		"\nechod_http2_bounds_reached_total{bound=\"resets\"} 0\n",
		"\nechod_http2_bounds_reached_total{bound=\"deferred\"} 0\n",
		"\nechod_http_refused_total{status=\"415\"} 0\n",
		"\nechod_metrics_http_requests_total{code=\"503\"} 0\n",
		"\nechod_metrics_http_requests_total{code=\"other\"} 0\n",
		"\nechod_log_messages_dropped_total ",
		"\nechod_grpc_buffered_bytes 0\n",
		"\nprocess_start_time_seconds ",
	};
	const char *text = expose(*state);

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		assert_has(text, samples[i]);
	}
	assert_has(text, "\nechod_build_info{");
	assert_has(text, "version=\"0.");
}

/* Without the values: what identifies a line. */
static char *line_set(struct fixture *f)
{
	char *rest = expose(f), *set = calloc(1, strlen(rest) + 1), *out = set;

	assert_non_null(set);
	for (char *line = strsep(&rest, "\n"); line && rest; line = strsep(&rest, "\n")) {
		char *space = line[0] == '#' ? NULL : strrchr(line, ' ');
		int n = space ? (int)(space - line) : (int)strlen(line);

		out += sprintf(out, "%.*s\n", n, line);
	}
	return set;
}

static void counting_changes_no_line_but_its_value(void **state)
{
	struct fixture *f = *state;
	char *before = line_set(f), *after;

	counter_increment(f->meters.echo.started);
	gauge_add(f->meters.echo.in_flight, 1);
	counter_increment(f->meters.echo.calls_failed);
	assert_true(histogram_observe(f->meters.echo.latency, 0.3));
	counter_increment(f->meters.http2.goaway_sent[HTTP2_ENHANCE_YOUR_CALM]);
	counter_increment(f->meters.web.requests[0]);
	counter_add(f->meters.doors[DOOR_METRICS].connection.sent_bytes, 5);
	after = line_set(f);
	assert_string_equal(before, after);
	free(before);
	free(after);

	const char *text = expose(f);

	assert_has(text, "\ntotal_requests 1\n");
	assert_has(text, "\nechod_rpcs_in_flight 1\n");
	assert_has(text, "\ngrpc_calls_total{method=\"Echo\",status=\"fail\"} 1\n");
	assert_has(text, "\ngrpc_call_latency_seconds_bucket{le=\"0.25\"} 0\n");
	assert_has(text, "\ngrpc_call_latency_seconds_bucket{le=\"0.5\"} 1\n");
	assert_has(text, "\nechod_http2_goaway_sent_total{error_code=\"ENHANCE_YOUR_CALM\"} 1\n");
	assert_has(text, "\nechod_metrics_http_requests_total{code=\"200\"} 1\n");
	assert_has(text, "\nechod_network_transmit_bytes_total{listener=\"metrics\"} 5\n");
}

static void no_meter_is_left_unset(void **state)
{
	struct fixture *f = *state;
	const struct meters *m = &f->meters;

	for (size_t door = 0; door < DOORS; door++) {
		assert_non_null(m->doors[door].listener.accepted);
		assert_non_null(m->doors[door].listener.refused_limit);
		assert_non_null(m->doors[door].listener.refused_files);
		assert_non_null(m->doors[door].refused_memory);
		assert_non_null(m->doors[door].connection.active);
		for (size_t i = 0; i < CONNECTION_CLOSE_REASONS; i++) {
			assert_non_null(m->doors[door].connection.closed[i]);
		}
	}
	for (size_t i = 0; i <= HTTP2_ERROR_COUNT; i++) {
		assert_non_null(m->http2.goaway_sent[i]);
		assert_non_null(m->http2.goaway_received[i]);
		assert_non_null(m->http2.rst_stream_sent[i]);
		assert_non_null(m->http2.rst_stream_received[i]);
		assert_non_null(m->http2.protocol_errors[i]);
	}
	for (size_t i = 0; i < HTTP2_BOUND_COUNT; i++) {
		assert_non_null(m->http2.bounds_reached[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(m->web.requests); i++) {
		assert_non_null(m->web.requests[i]);
	}
	assert_non_null(m->loop.iterations);
	assert_non_null(m->loop.lag);
	assert_ptr_equal(m->grpc.http2, &m->http2);
}

/* The exposition has labels sorted by name, whatever the order above. */
static void assert_method(const char *text, const char *family, const char *code,
			  const char *method, const char *service, const char *type, unsigned value)
{
	char line[256], coded[64] = "";

	if (code) {
		snprintf(coded, sizeof(coded), "grpc_code=\"%s\",", code);
	}
	snprintf(line, sizeof(line),
		 "\n%s{%sgrpc_method=\"%s\",grpc_service=\"%s\",grpc_type=\"%s\"} %u\n", family,
		 coded, method, service, type, value);
	assert_has(text, line);
}

static void every_method_has_every_status_from_the_start(void **state)
{
	static const char *const codes[] = {
#define X(symbol, number, name) name,
		GRPC_STATUSES(X)
#undef X
	};
	const char *text = expose(*state);

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_method(text, "grpc_server_handled_total", codes[i], "Echo", "muzz.Service",
			      "unary", 0);
		assert_method(text, "grpc_server_handled_total", codes[i], "HalfDuplexCall",
			      "grpc.testing.TestService", "bidi_stream", 0);
	}
	assert_method(text, "grpc_server_started_total", NULL, "Echo", "muzz.Service", "unary", 0);
	assert_method(text, "grpc_server_started_total", NULL, "StreamingInputCall",
		      "grpc.testing.TestService", "client_stream", 0);
	assert_method(text, "grpc_server_started_total", NULL, "StreamingOutputCall",
		      "grpc.testing.TestService", "server_stream", 0);
}

static void echo_is_read_again_from_what_the_frozen_families_count(void **state)
{
	struct fixture *f = *state;
	const char *text;

	assert_ptr_equal(f->echo[0].started, f->meters.echo.started);
	assert_null(f->echo[0].by_status[GRPC_OK]); /* what goes well costs no count more */
	counter_add(f->echo[0].started, 3);
	counter_add(f->echo[0].handled_ok, 2);
	counter_increment(f->echo[0].by_status[GRPC_DEADLINE_EXCEEDED]);
	text = expose(f);
	assert_has(text, "\ntotal_requests 3\n");
	assert_method(text, "grpc_server_started_total", NULL, "Echo", "muzz.Service", "unary", 3);
	assert_method(text, "grpc_server_handled_total", "OK", "Echo", "muzz.Service", "unary", 2);
	assert_method(text, "grpc_server_handled_total", "DeadlineExceeded", "Echo", "muzz.Service",
		      "unary", 1);
}

static void other_methods_do_not_touch_the_frozen_families(void **state)
{
	struct fixture *f = *state;
	const struct grpc_method_meters *method = &f->interop[0];
	const char *text;

	counter_increment(method->started);
	gauge_add(method->in_flight, 1);
	counter_increment(method->handled_ok);
	counter_increment(method->handled_failed);
	counter_increment(method->calls_ok);
	counter_increment(method->calls_failed);
	assert_true(histogram_observe(method->latency, 0.3));
	counter_increment(method->by_status[GRPC_OK]);
	text = expose(f);
	assert_has(text, "\ntotal_requests 0\n");
	assert_has(text, "\nsuccessful_requests 0\n");
	assert_has(text, "\nfailed_requests 0\n");
	assert_has(text, "\nechod_rpcs_in_flight 0\n");
	assert_has(text, "\ngrpc_call_latency_seconds_count 0\n");
	assert_has(text, "\ngrpc_calls_total{method=\"Echo\",status=\"success\"} 0\n");
	assert_method(text, "grpc_server_started_total", NULL, interop_service.methods[0].name,
		      interop_service.name, "unary", 1);
	assert_method(text, "grpc_server_handled_total", "OK", interop_service.methods[0].name,
		      interop_service.name, "unary", 1);
}

static void the_scrape_stays_within_its_budget(void **state)
{
	const char *text = expose(*state);
	size_t lines = 0;

	for (; *text; text++) {
		lines += *text == '\n';
	}
	assert_in_range(lines, 100, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_frozen_families_begin_at_zero),
		TEST(every_family_has_its_help_and_type),
		TEST(every_child_exists_from_the_start),
		TEST(counting_changes_no_line_but_its_value),
		TEST(no_meter_is_left_unset),
		TEST(every_method_has_every_status_from_the_start),
		TEST(echo_is_read_again_from_what_the_frozen_families_count),
		TEST(other_methods_do_not_touch_the_frozen_families),
		TEST(the_scrape_stays_within_its_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

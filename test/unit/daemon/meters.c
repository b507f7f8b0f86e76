/* What a fresh daemon exposes, and that the set of lines never changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/buffer.h"
#include "daemon/meters.h"
#include "metrics/exposition.h"
#include "service/echo.h"
#include "service/health.h"
#include "service/interop.h"

struct fixture {
	struct loop *loop;
	struct meters meters;
	struct faults faults;
	const struct grpc_method_meters *echo, *health, *interop;
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
	f->health = meters_add_service(&f->meters, &health_service);
	f->interop = meters_add_service(&f->meters, &interop_service);
	assert_non_null(f->echo);
	assert_non_null(f->health);
	assert_non_null(f->interop);
	assert_int_equal(meters_add_faults(&f->meters, &f->faults), 0);
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

static void every_child_exists_from_the_start(void **state)
{
	static const char *const samples[] = {
		"\nechod_ready 0\n",
		"\nechod_draining 0\n",
		"\nechod_internal_errors_total{kind=\"bad_observation\"} 0\n",
		"\nechod_fault_calls_taken_along_total{fault=\"none\"} 0\n",
		"\nechod_fault_calls_taken_along_total{fault=\"own\"} 0\n",
		"\nechod_faults_injected_total{code=\"Unavailable\",kind=\"status\"} 0\n",
		"\nechod_faults_injected_total{code=\"DeadlineExceeded\",kind=\"hang\"} 0\n",
		"\nechod_rpc_delay_seconds_total 0\n",
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
		size_t n = space ? (size_t)(space - line) : strlen(line);

		memcpy(out, line, n);
		out[n] = '\n';
		out += n + 1;
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
	assert_ptr_equal(m->grpc.unknown, &m->unknown);
	assert_non_null(m->echo.duration);
	assert_non_null(m->echo_service.delay_ns);
	assert_non_null(m->echo_service.overhead);
	assert_non_null(f->faults.meters.delayed);
	for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
		assert_non_null(f->faults.meters.by_status[status]);
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

static void messages_are_counted_of_every_method(void **state)
{
	struct fixture *f = *state;
	const char *text;

	counter_add(f->echo[0].messages_received, 5);
	counter_add(f->echo[0].messages_sent, 4);
	counter_add(f->interop[0].messages_received, 3);
	text = expose(f);
	assert_method(text, "grpc_server_msg_received_total", NULL, "Echo", "muzz.Service", "unary",
		      5);
	assert_method(text, "grpc_server_msg_sent_total", NULL, "Echo", "muzz.Service", "unary", 4);
	assert_method(text, "grpc_server_msg_received_total", NULL, interop_service.methods[0].name,
		      interop_service.name, "unary", 3);
}

static void handling_is_the_latency_of_echo_and_apart_for_others(void **state)
{
	struct fixture *f = *state;
	const char *text;

	assert_true(histogram_observe(f->echo[0].latency, 0.25));
	assert_true(histogram_observe(f->echo[0].latency, 0.5));
	assert_true(histogram_observe(f->health[0].latency, 2));
	assert_true(histogram_observe(f->meters.unknown.latency, 4));
	assert_true(histogram_observe(f->interop[0].latency, 8));
	text = expose(f);
	assert_has(text, "\ngrpc_call_latency_seconds_sum 0.75\n");
	assert_method(text, "grpc_server_handling_seconds_count", NULL, "Echo", "muzz.Service",
		      "unary", 2);
	assert_method(text, "grpc_server_handling_seconds_sum", NULL, "Check",
		      "grpc.health.v1.Health", "unary", 2);
	assert_method(text, "grpc_server_handling_seconds_sum", NULL, "other", "other", "unary", 4);
	assert_null(strstr(text, "grpc_server_handling_seconds_sum{grpc_method=\"EmptyCall\""));
	assert_has(text, "\ngrpc_server_handling_seconds_bucket{grpc_method=\"Echo\",grpc_service="
			 "\"muzz.Service\",grpc_type=\"unary\",le=\"0.25\"} 1\n");
}

static void methods_that_there_are_not_are_one(void **state)
{
	struct fixture *f = *state;
	const struct grpc_method_meters *unknown = f->meters.grpc.unknown;
	const char *text;

	assert_ptr_not_equal(unknown, NULL);
	counter_add(unknown->started, 3);
	counter_add(unknown->by_status[GRPC_UNIMPLEMENTED], 2);
	counter_increment(unknown->messages_received);
	text = expose(f);
	assert_method(text, "grpc_server_started_total", NULL, "other", "other", "unary", 3);
	assert_method(text, "grpc_server_handled_total", "Unimplemented", "other", "other", "unary",
		      2);
	assert_method(text, "grpc_server_handled_total", "OK", "other", "other", "unary", 0);
	assert_method(text, "grpc_server_msg_received_total", NULL, "other", "other", "unary", 1);
	assert_has(text, "\ntotal_requests 0\n");
}

static void what_cannot_have_been_measured_is_an_internal_error(void **state)
{
	struct fixture *f = *state;

	assert_false(histogram_observe(f->echo[0].latency, -1));
	assert_false(histogram_observe(f->health[0].latency, -1));
	assert_false(histogram_observe(f->meters.unknown.latency, -1));
	assert_false(histogram_observe(f->meters.echo_service.overhead, -1));
	assert_false(histogram_observe(f->meters.loop.lag, -1));
	assert_has(expose(f), "\nechod_internal_errors_total{kind=\"bad_observation\"} 5\n");
}

static void the_injected_delay_is_shown_in_seconds(void **state)
{
	struct fixture *f = *state;

	counter_add(f->meters.echo_service.delay_ns, 1500000000);
	assert_has(expose(f), "\nechod_rpc_delay_seconds_total 1.5\n");
}

static void each_bucket_of_the_latency_has_room_for_an_example(void **state)
{
	struct fixture *f = *state;
	struct exemplar exemplar = { .trace_id = "0af7651916cd43dd8448eb211c80319c", .value = 1e9 };
	struct histogram_snapshot snapshot;

	assert_true(histogram_observe(f->echo[0].latency, exemplar.value));
	histogram_exemplify(f->echo[0].latency, &exemplar);
	histogram_read(f->meters.echo.latency, &snapshot);
	assert_non_null(snapshot.exemplars);
	assert_string_equal(snapshot.exemplars[histogram_default_bounds.n].trace_id,
			    exemplar.trace_id);
	assert_string_equal(snapshot.exemplars[0].trace_id, "");
}

static int build_all(struct meters *meters, struct faults *faults, const struct loop *loop)
{
	static const struct scrape scrape;
	int err = meters_init(meters, loop);

	if (err == 0 && !meters_add_service(meters, &echo_service)) {
		err = -ENOMEM;
	}
	if (err == 0 && !meters_add_service(meters, &health_service)) {
		err = -ENOMEM;
	}
	err = err == 0 ? meters_add_faults(meters, faults) : err;
	return err == 0 ? meters_add_scrape(meters, &scrape) : err;
}

static void every_allocation_may_fail(void **state)
{
	struct fixture *f = *state;
	int err = -ENOMEM;
	long n;

	for (n = 0; err == -ENOMEM; n++) {
		struct meters *meters = calloc(1, sizeof(*meters));
		struct faults *faults = calloc(1, sizeof(*faults));

		assert_non_null(meters);
		assert_non_null(faults);
		failing_at = n;
		err = build_all(meters, faults, f->loop);
		failing_at = -1;
		assert_true(err == 0 || err == -ENOMEM);
		meters_deinit(meters);
		free(meters);
		free(faults);
	}
	assert_true(n > 300);
}

static void the_scrape_stays_within_its_budget(void **state)
{
	static const struct scrape scrape;
	struct fixture *f = *state;
	size_t lines = 0;
	const char *text;

	assert_int_equal(meters_add_scrape(&f->meters, &scrape), 0);
	text = expose(f);

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
		TEST(every_child_exists_from_the_start),
		TEST(counting_changes_no_line_but_its_value),
		TEST(no_meter_is_left_unset),
		TEST(every_method_has_every_status_from_the_start),
		TEST(echo_is_read_again_from_what_the_frozen_families_count),
		TEST(other_methods_do_not_touch_the_frozen_families),
		TEST(messages_are_counted_of_every_method),
		TEST(handling_is_the_latency_of_echo_and_apart_for_others),
		TEST(methods_that_there_are_not_are_one),
		TEST(what_cannot_have_been_measured_is_an_internal_error),
		TEST(the_injected_delay_is_shown_in_seconds),
		TEST(each_bucket_of_the_latency_has_room_for_an_example),
		TEST(every_allocation_may_fail),
		TEST(the_scrape_stays_within_its_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

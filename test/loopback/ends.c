/*
 * Calls that one end, or the library beneath, would leave open for ever: something
 * ends each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness.h"
#include "interop.pb-c.h"
#include "service/echo.h"
#include "service/interop.h"

/* More than nghttp2 sends as one header block. */
#define UNSENDABLE_BYTES ((size_t)100 * 1024)

static char *text_of(size_t n)
{
	char *text = malloc(n + 1);

	memset(text, 'x', n);
	text[n] = '\0';
	return text;
}

static void metadata_that_is_too_large_to_send_fails_the_call(void **state)
{
	struct echo_service plain = { 0 };
	char *text = text_of(UNSENDABLE_BYTES);
	struct metadata_entry large = { STR_INIT("large"), { text, UNSENDABLE_BYTES }, NULL };
	struct pair pair;
	struct record record;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &plain, NULL);
	pair_call(&pair, &record, STR("x"), &(struct grpc_call_options){ .metadata = &large });
	pair_run(&pair); /* a call that is sent anew again and again does not get out of this */
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_INTERNAL);
	assert_int_equal(record.origin, GRPC_FROM_HERE);
	/* the connection is none the worse */
	pair_call(&pair, &record, STR("x"), NULL);
	pair_run(&pair);
	assert_int_equal(record.status, GRPC_OK);
	assert_int_equal(pair.connects, 1);
	free(text);
	pair_deinit(&pair);
}

/* A handler whose status text, or trailers behind a reply, are too large to send. */

static bool reply_first;

static void answer_too_much(struct grpc_call *call, const void *message)
{
	char *text = text_of(UNSENDABLE_BYTES);

	if (reply_first) {
		grpc_call_send(call, message);
	}
	grpc_call_finish(call, GRPC_NOT_FOUND, text);
	free(text);
}

static void an_answer_that_is_too_large_to_send_resets_its_stream(void **state)
{
	static const struct grpc_call_events events = { .message = answer_too_much };
	struct grpc_method method = echo_service.methods[0];
	struct grpc_service service = { "muzz.Service", &method, 1 };
	struct grpc_server_limits limits = grpc_server_default_limits;

	(void)state;
	limits.http2.max_header_list_bytes = 2 * UNSENDABLE_BYTES; /* the client would take it */
	method.events = &events;
	method.response = method.request; /* it sends back what it got */
	for (int first = 0; first < 2; first++) {
		struct pair pair;
		struct record record;

		reply_first = first;
		pair_init(&pair, &(struct pair_options){ .limits = &limits });
		pair_add(&pair, &service, NULL, NULL);
		pair_call(&pair, &record, STR("x"), NULL);
		pair_run(&pair);
		assert_int_equal(record.closed, 1);
		assert_int_equal(record.status, GRPC_INTERNAL);
		assert_int_equal(grpc_server_calls(pair.server), 0);
		pair_deinit(&pair);
	}
}

static void a_deadline_also_ends_a_call_whose_reply_is_held_back(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
							    .low_ns = 10 * NS_PER_MS } };
	struct grpc_server_limits limits = grpc_server_default_limits;
	char *text = text_of(1000);
	struct counter late = { 0 };
	struct pair pair;
	struct record record;

	(void)state;
	limits.http2.stream_window = 100;
	pair_init(&pair, &(struct pair_options){ .limits = &limits });
	pair.server_meters.deadlines_exceeded = &late;
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &record, (struct str){ text, 1000 },
		  &(struct grpc_call_options){ .timeout_ns = 50 * NS_PER_MS });
	pair_run(&pair);
	/* from here the client gives no credit, and its own RST_STREAM does not arrive */
	pair.client_end.stuck = pair.server_end.stuck = true;
	pair_advance(&pair, 10 * NS_PER_MS);
	assert_int_equal(grpc_server_calls(pair.server), 1);
	pair_advance(&pair, 50 * NS_PER_MS);
	assert_int_equal(grpc_server_calls(pair.server), 0);
	assert_int_equal(counter_read(&late), 1);
	assert_int_equal(record.status, GRPC_DEADLINE_EXCEEDED);
	pair.client_end.stuck = pair.server_end.stuck = false;
	free(text);
	pair_deinit(&pair);
}

/* Only its headers come; its message never does. */
static void metadata_of_waiting_calls_is_within_the_budget(void **state)
{
	enum { CALLS = 20, BYTES = 8 * 1024 };
	static const struct grpc_call_events no_events = { 0 };
	struct echo_service plain = { 0 };
	struct grpc_server_limits limits = grpc_server_default_limits;
	char *text = text_of(BYTES);
	struct metadata_entry large = { STR_INIT("large"), { text, BYTES }, NULL };
	struct gauge buffered = { 0 };
	struct pair pair;

	(void)state;
	limits.max_buffered_bytes = (size_t)20 * BYTES; /* half of it for one connection */
	pair_init(&pair, &(struct pair_options){ .limits = &limits });
	pair.server_meters.buffered_bytes = &buffered;
	pair_add(&pair, &echo_service, &plain, NULL);
	for (int i = 0; i < CALLS; i++) {
		assert_non_null(grpc_channel_call(
			pair.channel, &echo_service, &echo_service.methods[0], &no_events,
			&(struct grpc_call_options){ .metadata = &large }, NULL));
		pair_run(&pair);
	}
	assert_true(gauge_read(&buffered) > 5 * BYTES);
	assert_true(gauge_read(&buffered) <= (int64_t)limits.max_buffered_bytes / 2);
	assert_true(grpc_server_calls(pair.server) < 10);
	pair_disconnect(&pair);
	assert_int_equal(gauge_read(&buffered), 0);
	free(text);
	pair_deinit(&pair);
}

/* What a few bytes of a request make the service owe, which nobody ever lets it pay. */
static void responses_that_are_owed_are_within_the_budget(void **state)
{
	enum { CALLS = 10, OWED = 30000 };
	static const struct grpc_call_events no_events = { 0 };
	static Interop__ResponseParameters none = INTEROP__RESPONSE_PARAMETERS__INIT;
	static Interop__ResponseParameters *parameters[OWED];
	Interop__StreamingOutputRequest request = INTEROP__STREAMING_OUTPUT_REQUEST__INIT;
	const struct grpc_method *half = NULL;
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct gauge buffered = { 0 };
	struct interop interop;
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < interop_service.n_methods; i++) {
		if (strcmp(interop_service.methods[i].name, "HalfDuplexCall") == 0) {
			half = &interop_service.methods[i];
		}
	}
	for (int i = 0; i < OWED; i++) {
		parameters[i] = &none;
	}
	request.n_response_parameters = OWED;
	request.response_parameters = parameters;
	limits.max_buffered_bytes = 8 * MIB; /* half of it for one connection */
	pair_init(&pair, &(struct pair_options){ .limits = &limits });
	pair.server_meters.buffered_bytes = &buffered;
	assert_int_equal(interop_init(&interop), 0);
	pair_add(&pair, &interop_service, &interop, NULL);
	for (int i = 0; i < CALLS; i++) {
		struct grpc_call *call = grpc_channel_call(pair.channel, &interop_service, half,
							   &no_events, NULL, NULL);

		assert_non_null(call);
		(void)grpc_call_send(call, &request);
		pair_run(&pair);
	}
	assert_true(gauge_read(&buffered) >= (int64_t)MIB);
	assert_true(gauge_read(&buffered) <= (int64_t)limits.max_buffered_bytes / 2);
	assert_in_range(grpc_server_calls(pair.server), 2, CALLS - 1);
	pair_disconnect(&pair);
	assert_int_equal(gauge_read(&buffered), 0);
	pair_deinit(&pair);
	interop_deinit(&interop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_that_is_too_large_to_send_fails_the_call),
		cmocka_unit_test(an_answer_that_is_too_large_to_send_resets_its_stream),
		cmocka_unit_test(a_deadline_also_ends_a_call_whose_reply_is_held_back),
		cmocka_unit_test(metadata_of_waiting_calls_is_within_the_budget),
		cmocka_unit_test(responses_that_are_owed_are_within_the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

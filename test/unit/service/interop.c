#include "fake_call.h"

#include "interop.pb-c.h"
#include "service/interop.h"

static struct interop interop;

static int set_up(void **state)
{
	(void)state;
	return interop_init(&interop);
}

static int tear_down(void **state)
{
	(void)state;
	interop_deinit(&interop);
	return 0;
}

static void begin(struct grpc_call *call, const char *method)
{
	call_begin(call, &interop_service, method, &interop);
}

static size_t size_sent(const struct grpc_call *call, size_t at)
{
	const Interop__StreamingOutputResponse *response;

	assert_true(at < call->n_sent);
	response = call->sent[at];
	return response->payload->body.len;
}

/* StreamingOutputRequest of up to four responses. */
struct wanted {
	Interop__StreamingOutputRequest request;
	Interop__ResponseParameters parameters[4], *pointers[4];
	Interop__BoolValue compressed[4];
	Interop__EchoStatus status;
};

static void want(struct wanted *wanted, int32_t size, int32_t interval_us, int compressed)
{
	size_t at = wanted->request.n_response_parameters;

	if (at == 0) {
		interop__streaming_output_request__init(&wanted->request);
		wanted->request.response_parameters = wanted->pointers;
	}
	interop__response_parameters__init(&wanted->parameters[at]);
	wanted->parameters[at].size = size;
	wanted->parameters[at].interval_us = interval_us;
	if (compressed >= 0) {
		interop__bool_value__init(&wanted->compressed[at]);
		wanted->compressed[at].value = compressed;
		wanted->parameters[at].compressed = &wanted->compressed[at];
	}
	wanted->pointers[at] = &wanted->parameters[at];
	wanted->request.n_response_parameters = at + 1;
}

static void unimplemented_call_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(interop_service.n_methods, 7);
	for (size_t i = 0; i < interop_service.n_methods; i++) {
		assert_string_not_equal(interop_service.methods[i].name, "UnimplementedCall");
	}
}

static void empty_is_answered_with_empty(void **state)
{
	Interop__Empty request = INTEROP__EMPTY__INIT;
	struct grpc_call call;

	(void)state;
	begin(&call, "EmptyCall");
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(call.n_sent, 1);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void unary_answers_with_as_many_bytes_as_asked_for(void **state)
{
	static const int32_t sizes[] = { 0, 1, 314159, INTEROP_MAX_PAYLOAD };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
		const Interop__SimpleResponse *response;
		struct grpc_call call;

		request.response_size = sizes[i];
		begin(&call, "UnaryCall");
		assert_true(call_receive(&call, &request.base));
		assert_int_equal(call.status, GRPC_OK);
		response = call.sent[0];
		assert_int_equal(response->payload->type, 0);
		assert_int_equal(response->payload->body.len, sizes[i]);
		assert_false(call.sent_compressed[0]);
		call_end(&call);
	}
}

static void sizes_that_cannot_be_are_invalid(void **state)
{
	static const int32_t sizes[] = { -1, INT32_MIN, INTEROP_MAX_PAYLOAD + 1, INT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
		struct wanted wanted = { 0 };
		struct grpc_call call;

		request.response_size = sizes[i];
		begin(&call, "UnaryCall");
		assert_true(call_receive(&call, &request.base));
		assert_int_equal(call.status, GRPC_INVALID_ARGUMENT);
		assert_int_equal(call.n_sent, 0);
		call_end(&call);
		want(&wanted, 1, 0, -1);
		want(&wanted, sizes[i], 0, -1);
		begin(&call, "FullDuplexCall");
		assert_true(call_receive(&call, &wanted.request.base));
		assert_int_equal(call.status, GRPC_INVALID_ARGUMENT);
		assert_true(strlen(call.text) > 0);
		call_end(&call);
	}
}

static void a_status_is_returned_as_asked_for(void **state)
{
	Interop__EchoStatus status = INTEROP__ECHO_STATUS__INIT;
	Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	status.code = GRPC_UNKNOWN;
	status.message.data = (uint8_t *)(uintptr_t) "\t\ntest \xe2\x98\xba";
	status.message.len = 10;
	request.response_status = &status;
	begin(&call, "UnaryCall");
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(call.n_sent, 0);
	assert_int_equal(call.status, GRPC_UNKNOWN);
	assert_string_equal(call.text, "\t\ntest \xe2\x98\xba");
	call_end(&call);
	want(&wanted, 1, 0, -1);
	wanted.request.response_status = &status;
	begin(&call, "FullDuplexCall");
	assert_true(call_receive(&call, &wanted.request.base));
	assert_int_equal(call.n_sent, 0);
	assert_int_equal(call.status, GRPC_UNKNOWN);
	call_end(&call);
	for (int32_t code = -1; code <= GRPC_STATUS_COUNT; code += GRPC_STATUS_COUNT + 1) {
		status.code = code;
		begin(&call, "UnaryCall");
		assert_true(call_receive(&call, &request.base));
		assert_int_equal(call.status, GRPC_INVALID_ARGUMENT);
		call_end(&call);
	}
	status.message.data = (uint8_t *)(uintptr_t) "\xff\xff";
	status.message.len = 2;
	begin(&call, "UnaryCall");
	assert_false(call_receive(&call, &request.base));
	call_end(&call);
	begin(&call, "FullDuplexCall");
	assert_false(call_receive(&call, &wanted.request.base));
	call_end(&call);
}

static void responses_are_compressed_as_asked_for(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	for (int on = 0; on < 2; on++) {
		Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
		Interop__BoolValue compressed = INTEROP__BOOL_VALUE__INIT;

		compressed.value = on;
		request.response_compressed = &compressed;
		begin(&call, "UnaryCall");
		assert_true(call_receive(&call, &request.base));
		assert_int_equal(call.sent_compressed[0], on);
		call_end(&call);
	}
	want(&wanted, 100, 0, 1);
	want(&wanted, 200, 0, 0);
	want(&wanted, 300, 0, -1);
	want(&wanted, 400, 0, 1);
	begin(&call, "StreamingOutputCall");
	assert_true(call_receive(&call, &wanted.request.base));
	assert_int_equal(call.n_sent, 4);
	assert_true(call.sent_compressed[0]);
	assert_false(call.sent_compressed[1]);
	assert_false(call.sent_compressed[2]);
	assert_true(call.sent_compressed[3]);
	call_end(&call);
}

static void a_request_that_came_otherwise_than_it_says_is_invalid(void **state)
{
	(void)state;
	for (int expected = 0; expected < 2; expected++) {
		for (int was = 0; was < 2; was++) {
			Interop__SimpleRequest simple = INTEROP__SIMPLE_REQUEST__INIT;
			Interop__StreamingInputRequest input =
				INTEROP__STREAMING_INPUT_REQUEST__INIT;
			Interop__BoolValue compressed = INTEROP__BOOL_VALUE__INIT;
			struct grpc_call call;

			compressed.value = expected;
			simple.expect_compressed = input.expect_compressed = &compressed;
			begin(&call, "UnaryCall");
			call.was_compressed = was;
			assert_true(call_receive(&call, &simple.base));
			assert_int_equal(call.status,
					 expected == was ? GRPC_OK : GRPC_INVALID_ARGUMENT);
			call_end(&call);
			begin(&call, "StreamingInputCall");
			call.was_compressed = was;
			assert_true(call_receive(&call, &input.base));
			assert_int_equal(call.finished, expected != was);
			call_end(&call);
		}
	}
}

static void two_fields_of_metadata_come_back(void **state)
{
	static const char *const methods[] = { "EmptyCall",           "UnaryCall",
					       "CacheableUnaryCall",  "StreamingInputCall",
					       "StreamingOutputCall", "FullDuplexCall",
					       "HalfDuplexCall" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct grpc_call call;

		begin(&call, methods[i]);
		metadata_add(&call.metadata, &call.arena, STR("x-grpc-test-echo-initial"),
			     STR("initial"));
		metadata_add(&call.metadata, &call.arena, STR("x-other"), STR("other"));
		metadata_add(&call.metadata, &call.arena, STR("x-grpc-test-echo-trailing-bin"),
			     STR("\xab\xab"));
		call_open(&call);
		assert_string_equal(call.headers, "x-grpc-test-echo-initial: initial\n");
		assert_string_equal(call.trailers, "x-grpc-test-echo-trailing-bin: \xab\xab\n");
		call_end(&call);
	}
}

/* An answer without them would be a wrong one. */
static void no_memory_for_metadata_ends_the_call(void **state)
{
	static const struct {
		int result;
		enum grpc_status status;
	} cases[] = { { -ENOMEM, GRPC_RESOURCE_EXHAUSTED }, { -EINVAL, GRPC_OK } };
	static const char *const names[] = { "x-grpc-test-echo-initial",
					     "x-grpc-test-echo-trailing-bin" };
	Interop__Empty empty = INTEROP__EMPTY__INIT;
	Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
	struct grpc_call call;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(names); i++) {
		begin(&call, "EmptyCall");
		metadata_add(&call.metadata, &call.arena, str_from(names[i % 2]), STR("x"));
		call.add_result = cases[i / 2].result;
		call_open(&call);
		if (!call.finished) { /* what may not be sent is left out */
			assert_true(call_receive(&call, &empty.base));
		}
		assert_int_equal(call.status, cases[i / 2].status);
		call_end(&call);
	}
	begin(&call, "CacheableUnaryCall");
	call.add_result = -ENOMEM;
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(call.status, GRPC_RESOURCE_EXHAUSTED);
	call_end(&call);
}

static void a_cacheable_answer_says_so(void **state)
{
	Interop__SimpleRequest request = INTEROP__SIMPLE_REQUEST__INIT;
	struct grpc_call call;

	(void)state;
	begin(&call, "CacheableUnaryCall");
	assert_true(call_receive(&call, &request.base));
	assert_non_null(strstr(call.headers, "cache-control: "));
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void streamed_input_is_summed(void **state)
{
	static const size_t sizes[] = { 27182, 8, 1828, 45904 };
	Interop__StreamingInputRequest request = INTEROP__STREAMING_INPUT_REQUEST__INIT;
	Interop__Payload payload = INTEROP__PAYLOAD__INIT;
	const Interop__StreamingInputResponse *response;
	struct grpc_call call;

	(void)state;
	begin(&call, "StreamingInputCall");
	assert_true(call_receive(&call, &request.base)); /* no payload at all */
	request.payload = &payload;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		payload.body.data = interop.zeros;
		payload.body.len = sizes[i];
		assert_true(call_receive(&call, &request.base));
	}
	assert_int_equal(call.n_sent, 0);
	call_half_close(&call);
	response = call.sent[0];
	assert_int_equal(response->aggregated_payload_size, 74922);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void a_sum_that_the_response_has_no_room_for_is_the_largest_it_has(void **state)
{
	Interop__StreamingInputRequest request = INTEROP__STREAMING_INPUT_REQUEST__INIT;
	Interop__Payload payload = INTEROP__PAYLOAD__INIT;
	const Interop__StreamingInputResponse *response;
	struct grpc_call call;

	(void)state;
	begin(&call, "StreamingInputCall");
	payload.body.data = interop.zeros;
	payload.body.len = INT32_MAX - 1; /* nobody reads them */
	request.payload = &payload;
	for (int i = 0; i < 2; i++) {
		call.method->events->message(&call, &request);
	}
	call_half_close(&call);
	response = call.sent[0];
	assert_int_equal(response->aggregated_payload_size, INT32_MAX);
	call_end(&call);
}

static void streamed_output_comes_in_order_and_in_its_time(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	want(&wanted, 31415, 0, -1);
	want(&wanted, 9, 5000, -1);
	want(&wanted, 2653, 1000, -1);
	want(&wanted, 58979, 0, -1);
	begin(&call, "StreamingOutputCall");
	assert_true(call_receive(&call, &wanted.request.base));
	assert_int_equal(call.n_sent, 1);
	call_pass(&call, 5 * NS_PER_MS - 1);
	assert_int_equal(call.n_sent, 1);
	call_pass(&call, 1);
	assert_int_equal(call.n_sent, 2);
	assert_false(call.finished);
	call_pass(&call, NS_PER_MS);
	assert_int_equal(call.n_sent, 4);
	assert_int_equal(size_sent(&call, 0), 31415);
	assert_int_equal(size_sent(&call, 1), 9);
	assert_int_equal(size_sent(&call, 2), 2653);
	assert_int_equal(size_sent(&call, 3), 58979);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void a_call_that_ends_while_it_waits_leaves_nothing(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	want(&wanted, 1, 1000000, -1);
	begin(&call, "StreamingOutputCall");
	assert_true(call_receive(&call, &wanted.request.base));
	assert_true(timers_next_ns(&call.timers) > 0);
	call_end(&call); /* which looks for timers, as a sanitizer does for memory */
}

static void output_waits_for_the_peer_to_read(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	want(&wanted, 1, 0, -1);
	want(&wanted, 2, 0, -1);
	begin(&call, "StreamingOutputCall");
	call.send_result = 1;
	assert_true(call_receive(&call, &wanted.request.base));
	assert_int_equal(call.n_sent, 1);
	call_drained(&call);
	assert_int_equal(call.n_sent, 2);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

/* The window opens while an interval runs: the interval stays as long as it is. */
static void reading_does_not_shorten_an_interval(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	want(&wanted, 1, 0, -1);
	want(&wanted, 2, 1000, -1);
	begin(&call, "StreamingOutputCall");
	assert_true(call_receive(&call, &wanted.request.base));
	call.method->events->writable(&call);
	assert_int_equal(call.n_sent, 1);
	call_pass(&call, NS_PER_MS);
	assert_int_equal(call.n_sent, 2);
	call_end(&call);
}

static void full_duplex_answers_each_request_before_the_next(void **state)
{
	struct wanted one = { 0 }, two = { 0 };
	struct grpc_call call;

	(void)state;
	want(&one, 10, 0, -1);
	want(&two, 20, 1000, -1);
	begin(&call, "FullDuplexCall");
	assert_true(call_receive(&call, &one.request.base));
	assert_int_equal(call.n_sent, 1);
	assert_false(call.held);
	assert_true(call_receive(&call, &two.request.base));
	assert_true(call.held);
	call_pass(&call, NS_PER_MS);
	assert_int_equal(call.n_sent, 2);
	assert_false(call.held);
	call.send_result = 1;
	assert_true(call_receive(&call, &one.request.base));
	assert_true(call.held);
	call_drained(&call);
	assert_false(call.held);
	assert_false(call.finished);
	call_half_close(&call);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void half_duplex_answers_when_all_requests_are_in(void **state)
{
	struct wanted one = { 0 }, two = { 0 };
	struct grpc_call call;

	(void)state;
	want(&one, 10, 0, -1);
	want(&two, 20, 1000, -1);
	begin(&call, "HalfDuplexCall");
	assert_true(call_receive(&call, &one.request.base));
	assert_true(call_receive(&call, &two.request.base));
	assert_int_equal(call.n_sent, 0);
	call_half_close(&call);
	assert_int_equal(call.n_sent, 1);
	assert_false(call.finished);
	call_pass(&call, NS_PER_MS);
	assert_int_equal(call.n_sent, 2);
	assert_int_equal(size_sent(&call, 1), 20);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void a_stream_without_requests_ends_well(void **state)
{
	static const char *const methods[] = { "StreamingInputCall", "FullDuplexCall",
					       "HalfDuplexCall" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct grpc_call call;

		begin(&call, methods[i]);
		call_half_close(&call);
		assert_int_equal(call.status, GRPC_OK);
		call_end(&call);
	}
}

static void what_a_call_may_owe_is_bounded(void **state)
{
	struct wanted wanted = { 0 }, one = { 0 };
	struct grpc_call call;

	(void)state;
	for (int i = 0; i < 4; i++) {
		want(&wanted, 0, 0, -1);
	}
	want(&one, 0, 0, -1);
	begin(&call, "HalfDuplexCall");
	for (size_t owed = 0; owed < INTEROP_MAX_RESPONSES; owed += 4) {
		assert_false(call.finished);
		assert_true(call_receive(&call, &wanted.request.base));
		arena_reset(&call.arena);
	}
	assert_false(call.finished);
	assert_true(call_receive(&call, &one.request.base));
	assert_int_equal(call.status, GRPC_RESOURCE_EXHAUSTED);
	call_end(&call);
}

static void no_memory_for_a_response_ends_the_call(void **state)
{
	struct wanted wanted = { 0 };
	struct grpc_call call;

	(void)state;
	want(&wanted, 1, 0, -1);
	want(&wanted, 2, 0, -1);
	begin(&call, "FullDuplexCall");
	call.send_result = -ENOMEM;
	assert_true(call_receive(&call, &wanted.request.base));
	assert_int_equal(call.status, GRPC_RESOURCE_EXHAUSTED);
	call_end(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unimplemented_call_is_not_there),
		cmocka_unit_test(empty_is_answered_with_empty),
		cmocka_unit_test(unary_answers_with_as_many_bytes_as_asked_for),
		cmocka_unit_test(sizes_that_cannot_be_are_invalid),
		cmocka_unit_test(a_status_is_returned_as_asked_for),
		cmocka_unit_test(responses_are_compressed_as_asked_for),
		cmocka_unit_test(a_request_that_came_otherwise_than_it_says_is_invalid),
		cmocka_unit_test(two_fields_of_metadata_come_back),
		cmocka_unit_test(no_memory_for_metadata_ends_the_call),
		cmocka_unit_test(a_cacheable_answer_says_so),
		cmocka_unit_test(streamed_input_is_summed),
		cmocka_unit_test(a_sum_that_the_response_has_no_room_for_is_the_largest_it_has),
		cmocka_unit_test(streamed_output_comes_in_order_and_in_its_time),
		cmocka_unit_test(a_call_that_ends_while_it_waits_leaves_nothing),
		cmocka_unit_test(output_waits_for_the_peer_to_read),
		cmocka_unit_test(reading_does_not_shorten_an_interval),
		cmocka_unit_test(full_duplex_answers_each_request_before_the_next),
		cmocka_unit_test(half_duplex_answers_when_all_requests_are_in),
		cmocka_unit_test(a_stream_without_requests_ends_well),
		cmocka_unit_test(what_a_call_may_owe_is_bounded),
		cmocka_unit_test(no_memory_for_a_response_ends_the_call),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * Calls that are sent anew since no server's application saw them, and those that
 * are not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "far.h"

#define ASSERT_LOG(caller, expected) assert_string_equal(caller_log(&(caller)), expected)
#define DONE                         "opened; message(x); closed(OK, peer); "

static struct far_end *begin(struct far *far, struct caller *caller, enum caller_method method,
			     const struct grpc_call_options *options)
{
	*caller = (struct caller){ 0 };
	far_init(far, NULL);
	assert_non_null(far_call(far, caller, method, options));
	far_run(far);
	far_hello(far_end(far));
	return far_end(far);
}

static void answer(struct far_end *server, uint32_t stream)
{
	far_respond(server, stream);
	far_message(server, stream, 0, STR("x"));
	far_finish(server, stream, "0");
}

static void end(struct far *far, struct caller *caller)
{
	far_deinit(far);
	assert_int_equal(caller->closed, 1);
	caller_deinit(caller);
}

static void a_refused_call_is_sent_anew_once(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY, NULL);

	(void)state;
	caller_send(&caller, STR("ask"));
	grpc_call_half_close(caller.call);
	far_run(&far);
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "");
	assert_non_null(far_heard(server, FAR_HEADERS, 3, 0));
	assert_int_equal(buffer_len(&server->body), 2 * 8);
	assert_memory_equal(buffer_data(&server->body), "\0\0\0\0\3ask\0\0\0\0\3ask", 16);
	assert_null(far_field(server, "grpc-previous-rpc-attempts"));
	answer(server, 3);
	ASSERT_LOG(caller, DONE);
	assert_int_equal(caller.attempts, 2);
	assert_int_equal(counter_read(&far.attempts), 2);
	assert_int_equal(counter_read(&far.retries), 1);
	assert_int_equal(far.connects, 1);
	end(&far, &caller);
}

static void a_call_refused_twice_fails_unprocessed(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY, NULL);

	(void)state;
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	far_reset(server, 3, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, peer, unprocessed); ");
	assert_int_equal(caller.attempts, 2);
	assert_null(far_heard(server, FAR_HEADERS, 5, 0));
	end(&far, &caller);
}

static void a_call_above_the_last_id_goes_to_the_next_connection(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY, NULL);

	(void)state;
	far_goaway(server, 0, HTTP2_NO_ERROR, "");
	ASSERT_LOG(caller, "");
	assert_int_equal(far.n_ends, 2);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	ASSERT_LOG(caller, DONE);
	assert_int_equal(caller.attempts, 2);
	end(&far, &caller);
}

/* Its headers were never produced: no server was asked, however often that happens. */
static void a_call_that_never_left_is_sent_anew_any_number_of_times(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY,
		 &(struct grpc_call_options){ .wait_for_ready = true });
	far_run(&far);
	for (int i = 0; i < 10; i++) {
		far_end(&far)->mute = true;
		far_hello(far_end(&far));
		far_close(far_end(&far), -ECONNRESET);
		far_run(&far);
		far_advance(&far, 150 * NS_PER_S);
		ASSERT_LOG(caller, "");
	}
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	ASSERT_LOG(caller, DONE);
	assert_int_equal(caller.attempts, 11);
	end(&far, &caller);
}

static void a_call_whose_headers_left_is_lost_with_its_connection(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY, NULL);

	(void)state;
	far_close(server, -ECONNRESET);
	far_run(&far);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, transport); ");
	assert_string_equal(caller.text, "the connection was lost");
	end(&far, &caller);
}

static void a_stream_is_sent_anew_with_all_that_was_said(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL);

	(void)state;
	caller_send(&caller, STR("one"));
	far_run(&far);
	caller_send(&caller, STR("two"));
	far_run(&far);
	buffer_clear(&server->body);
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	caller_send(&caller, STR("three"));
	grpc_call_half_close(caller.call);
	far_run(&far);
	assert_int_equal(buffer_len(&server->body), 26);
	assert_memory_equal(buffer_data(&server->body), "\0\0\0\0\3one\0\0\0\0\3two\0\0\0\0\5three",
			    26);
	answer(server, 3);
	ASSERT_LOG(caller, DONE);
	end(&far, &caller);
}

/* Said between the reset and its upcall: kept, and sent with the rest. */
static void what_is_said_while_a_refusal_is_on_its_way_is_not_lost(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL);
	static const uint8_t reset[] = { 0, 0, 4, FAR_RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 7 };

	(void)state;
	assert_int_equal(server->engine->ops->receive(server->engine, reset, sizeof(reset)),
			 sizeof(reset));
	assert_int_equal(caller_send(&caller, STR("between")), 0);
	far_run(&far);
	assert_memory_equal(buffer_data(&server->body), "\0\0\0\0\7between", 12);
	answer(server, 3);
	ASSERT_LOG(caller, DONE);
	end(&far, &caller);
}

static void a_large_request_is_not_kept_nor_sent_anew(void **state)
{
	static char text[100000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL);

	(void)state;
	for (int i = 0; i < 3; i++) {
		caller_send(&caller, (struct str){ text, sizeof(text) });
	}
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, peer, unprocessed); ");
	assert_int_equal(caller.attempts, 1);
	/* nor one that was as large before it had a stream, which it is sent on all the same */
	far_settings(server, 3, 0, 0);
	far_call(&far, &caller, CALLER_CHAT, NULL);
	for (int i = 0; i < 3; i++) {
		caller_send(&caller, (struct str){ text, sizeof(text) });
	}
	buffer_clear(&server->body);
	far_settings(server, 3, 1, 0);
	far_window(server, 0, MIB);
	far_window(server, 3, MIB);
	assert_int_equal(buffer_len(&server->body), 3 * (5 + sizeof(text)));
	caller_send(&caller, STR("and more"));
	far_run(&far);
	assert_int_equal(buffer_len(&server->body), 3 * (5 + sizeof(text)) + 13);
	caller.closed = 0;
	far_reset(server, 3, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "writable; closed(UNAVAILABLE, peer, unprocessed); ");
	end(&far, &caller);
}

static void a_call_whose_answer_began_is_not_sent_anew(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL);

	(void)state;
	caller_send(&caller, STR("one"));
	far_run(&far);
	far_respond(server, 1);
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "opened; closed(UNAVAILABLE, peer); ");
	assert_int_equal(caller.attempts, 1);
	end(&far, &caller);
}

static void a_caller_held_back_hears_of_room_on_the_next_stream(void **state)
{
	static char text[120000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL);

	(void)state;
	assert_int_equal(caller_send(&caller, (struct str){ text, sizeof(text) }), 1);
	far_run(&far);
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	ASSERT_LOG(caller, "");
	far_window(server, 0, MIB);
	far_window(server, 3, MIB);
	ASSERT_LOG(caller, "writable; ");
	end(&far, &caller);
}

static void the_deadline_goes_on_from_attempt_to_attempt(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY,
				       &(struct grpc_call_options){ .timeout_ns = 8 * NS_PER_S });

	(void)state;
	assert_string_equal(far_field(server, "grpc-timeout"), "8000000u");
	far_advance(&far, 3 * NS_PER_S);
	far_reset(server, 1, HTTP2_REFUSED_STREAM);
	assert_string_equal(far_field(server, "grpc-timeout"), "5000000u");
	far_advance(&far, 5 * NS_PER_S);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, here); ");
	assert_int_equal(far_heard(server, FAR_RST_STREAM, 3, 0)->code, HTTP2_CANCEL);
	end(&far, &caller);
}

/* Though time passes while they are made: equal fields are one byte on the wire. */
static void calls_that_need_not_wait_say_their_whole_timeout(void **state)
{
	const struct grpc_call_options options = { .timeout_ns = 8 * NS_PER_S };
	struct far far;
	struct caller callers[3] = { 0 };
	struct far_end *server = begin(&far, &callers[0], CALLER_UNARY, NULL);

	(void)state;
	far.tick_ns = NS_PER_MS;
	far_call(&far, &callers[1], CALLER_UNARY, &options);
	far_run(&far);
	assert_string_equal(far_field(server, "grpc-timeout"), "8000000u");
	far_settings(server, 3, 2, 0);
	far_call(&far, &callers[2], CALLER_UNARY, &options);
	far.now_ns += 3 * NS_PER_S;
	answer(server, 1);
	assert_non_null(far_heard(server, FAR_HEADERS, 5, 0));
	assert_true(strtol(far_field(server, "grpc-timeout"), NULL, 10) <= 5000000);
	far.tick_ns = 0;
	answer(server, 3);
	answer(server, 5);
	for (size_t i = 1; i < ARRAY_SIZE(callers); i++) {
		assert_int_equal(callers[i].outcome.status, GRPC_OK);
		caller_deinit(&callers[i]);
	}
	end(&far, &callers[0]);
}

static void a_deadline_that_has_passed_puts_nothing_on_the_wire(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY, &(struct grpc_call_options){ .timeout_ns = -1 });
	assert_int_equal(caller.closed, 0);
	far_run(&far);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, here, unprocessed); ");
	assert_int_equal(far.connects, 0);
	/* and one that passes while the connection is made, before its timer is looked at */
	far_call(&far, &caller, CALLER_UNARY,
		 &(struct grpc_call_options){ .timeout_ns = NS_PER_S });
	far_run(&far);
	far.now_ns += 2 * NS_PER_S;
	far_hello(far_end(&far));
	assert_null(far_heard(far_end(&far), FAR_HEADERS, 1, 0));
	assert_int_equal(caller.outcome.status, GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(caller.closed, 1);
	end(&far, &caller);
}

static void a_call_that_waits_to_be_sent_anew_may_be_cancelled(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_UNARY, NULL);

	(void)state;
	far.hold = true;
	far_goaway(server, 0, HTTP2_NO_ERROR, "");
	assert_int_equal(caller.closed, 0);
	grpc_call_cancel(caller.call, GRPC_CANCELLED);
	far_run(&far);
	ASSERT_LOG(caller, "closed(CANCELLED, here, unprocessed); ");
	far.hold = false;
	end(&far, &caller);
}

/* The order of fields, and who we say we are. */
static void a_request_says_what_the_contract_asks_for(void **state)
{
	struct metadata_entry note = { STR_INIT("note"), STR_INIT("mine"), NULL };
	struct far far;
	struct caller caller;
	struct far_end *server =
		begin(&far, &caller, CALLER_CHAT,
		      &(struct grpc_call_options){
			      .timeout_ns = NS_PER_S, .gzip = true, .metadata = &note });

	(void)state;
	assert_int_equal(buffer_append(&server->fields, "", 1), 0);
	assert_string_equal((const char *)buffer_data(&server->fields),
			    ":method: POST\n:scheme: http\n:path: /test.Streams/Chat\n"
			    ":authority: loopback\ngrpc-timeout: 1000000u\nte: trailers\n"
			    "content-type: application/grpc+proto\n"
			    "user-agent: grpc-c-loopback/1\ngrpc-encoding: gzip\n"
			    "grpc-accept-encoding: identity,gzip\nnote: mine\n");
	assert_false(far_heard(server, FAR_HEADERS, 1, 0)->flags & FAR_END_STREAM);
	end(&far, &caller);
}

static void metadata_that_may_not_be_sent_is_refused_here(void **state)
{
	static const struct metadata_entry bad[] = {
		{ STR_INIT("Upper"), STR_INIT("x"), NULL },
		{ STR_INIT("grpc-mine"), STR_INIT("x"), NULL },
		{ STR_INIT("te"), STR_INIT("gzip"), NULL },
		{ STR_INIT("note"), STR_INIT("\x01"), NULL },
		{ STR_INIT(""), STR_INIT("x"), NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct far far;
		struct caller caller = { 0 };

		far_init(&far, NULL);
		far_call(&far, &caller, CALLER_UNARY,
			 &(struct grpc_call_options){ .metadata = &bad[i] });
		far_run(&far);
		ASSERT_LOG(caller, "closed(INTERNAL, here, unprocessed); ");
		assert_int_equal(far.connects, 0);
		end(&far, &caller);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_call_is_sent_anew_once),
		cmocka_unit_test(a_call_refused_twice_fails_unprocessed),
		cmocka_unit_test(a_call_above_the_last_id_goes_to_the_next_connection),
		cmocka_unit_test(a_call_that_never_left_is_sent_anew_any_number_of_times),
		cmocka_unit_test(a_call_whose_headers_left_is_lost_with_its_connection),
		cmocka_unit_test(a_stream_is_sent_anew_with_all_that_was_said),
		cmocka_unit_test(what_is_said_while_a_refusal_is_on_its_way_is_not_lost),
		cmocka_unit_test(a_large_request_is_not_kept_nor_sent_anew),
		cmocka_unit_test(a_call_whose_answer_began_is_not_sent_anew),
		cmocka_unit_test(a_caller_held_back_hears_of_room_on_the_next_stream),
		cmocka_unit_test(the_deadline_goes_on_from_attempt_to_attempt),
		cmocka_unit_test(calls_that_need_not_wait_say_their_whole_timeout),
		cmocka_unit_test(a_deadline_that_has_passed_puts_nothing_on_the_wire),
		cmocka_unit_test(a_call_that_waits_to_be_sent_anew_may_be_cancelled),
		cmocka_unit_test(a_request_says_what_the_contract_asks_for),
		cmocka_unit_test(metadata_that_may_not_be_sent_is_refused_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

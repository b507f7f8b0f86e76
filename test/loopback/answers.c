/*
 * What an answer's headers and trailers mean to the calling end; the table of
 * whole answers stands in test/e2e/test_wire_client.py.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "echo.pb-c.h"
#include "far.h"
#include "service/echo.h"

#define ASSERT_LOG(caller, expected) assert_string_equal(caller_log(&(caller)), expected)

static struct far_end *begin(struct far *far, struct caller *caller)
{
	*caller = (struct caller){ 0 };
	far_init(far, NULL);
	assert_non_null(far_call(far, caller, CALLER_CHAT, NULL));
	far_run(far);
	far_hello(far_end(far));
	return far_end(far);
}

static void end(struct far *far, struct caller *caller)
{
	far_deinit(far);
	assert_int_equal(caller->closed, 1);
	caller_deinit(caller);
}

/* google.rpc.Status { code: 5, message: "no" } */
#define STATUS_5 "CAUSAm5v"

static void details_are_handed_on_where_they_agree_with_the_status(void **state)
{
	static const struct {
		const char *status, *first, *second;
		const char *outcome, *details;
	} cases[] = {
		{ "5", STATUS_5, NULL, "opened; closed(NOT_FOUND, peer); ", "\10\5\22\2no" },
		{ "3", STATUS_5, NULL, "opened; closed(INTERNAL, peer); ", "" },
		{ "0", STATUS_5, NULL, "opened; closed(INTERNAL, peer); ", "" },
		{ "5", STATUS_5, STATUS_5, "opened; closed(NOT_FOUND, peer); ", "" },
		{ "5", "not base64!", NULL, "opened; closed(NOT_FOUND, peer); ", "" },
		{ "5", "////", NULL, "opened; closed(NOT_FOUND, peer); ", "" },
		{ "5", STATUS_5 "," STATUS_5, NULL, "opened; closed(NOT_FOUND, peer); ", "" },
		{ "5", "", NULL, "opened; closed(NOT_FOUND, peer); ", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct far far;
		struct caller caller;
		struct far_end *server = begin(&far, &caller);

		far_respond(server, 1);
		far_headers(server, 1, FAR_END_STREAM, "grpc-status", cases[i].status,
			    "grpc-status-details-bin", cases[i].first,
			    cases[i].second ? "grpc-status-details-bin" : NULL, cases[i].second,
			    NULL);
		ASSERT_LOG(caller, cases[i].outcome);
		if (caller.outcome.status != GRPC_INTERNAL) {
			assert_string_equal(caller.details, cases[i].details);
		}
		end(&far, &caller);
	}
}

static void details_and_a_status_in_the_head_do_not_count(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	far_headers(server, 1, 0, ":status", "200", "content-type", "application/grpc",
		    "grpc-status", "7", "grpc-message", "no", "grpc-status-details-bin", STATUS_5,
		    NULL);
	far_headers(server, 1, FAR_END_STREAM, "grpc-status", "5", "grpc-status-details-bin",
		    STATUS_5, NULL);
	ASSERT_LOG(caller, "opened; closed(NOT_FOUND, peer); ");
	assert_string_equal(caller.text, "");
	assert_string_equal(caller.details, "\10\5\22\2no");
	/* nor where the trailers have none */
	far_call(&far, &caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_headers(server, 3, 0, ":status", "200", "content-type", "application/grpc",
		    "grpc-status", "7", NULL);
	far_headers(server, 3, FAR_END_STREAM, "note", "n", NULL);
	ASSERT_LOG(caller, "opened; closed(UNKNOWN, peer); ");
	caller.closed = 1;
	end(&far, &caller);
}

static void trailers_only_carry_all_there_is(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	far_headers(server, 1, FAR_END_STREAM, ":status", "200", "content-type", "application/grpc",
		    "grpc-status", "5", "grpc-message", "%E2%98%BA%zz", "grpc-status-details-bin",
		    STATUS_5, "note", "n", "note", "second", NULL);
	ASSERT_LOG(caller, "closed(NOT_FOUND, peer); ");
	assert_string_equal(caller.text, "\xe2\x98\xba%zz");
	assert_string_equal(caller.trailer, "n");
	assert_string_equal(caller.details, "\10\5\22\2no");
	end(&far, &caller);
}

static void a_block_in_the_middle_is_a_protocol_error(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	far_respond(server, 1);
	far_message(server, 1, 0, STR("x"));
	far_headers(server, 1, 0, "grpc-status", "0", NULL);
	ASSERT_LOG(caller, "opened; message(x); closed(INTERNAL, here); ");
	assert_int_equal(far_heard(server, FAR_RST_STREAM, 1, 0)->code, HTTP2_PROTOCOL_ERROR);
	end(&far, &caller);
}

static void informational_blocks_are_passed_over(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	far_headers(server, 1, 0, ":status", "103", "grpc-status", "7", "note", "early", NULL);
	far_headers(server, 1, 0, ":status", "100", NULL);
	ASSERT_LOG(caller, "");
	far_respond(server, 1);
	far_finish(server, 1, "0");
	ASSERT_LOG(caller, "opened; closed(OK, peer); ");
	assert_string_equal(caller.trailer, "");
	end(&far, &caller);
}

/* RFC 9113 8.4, with ENABLE_PUSH at 0. */
static void a_promise_ends_the_connection(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	far_frame(server, FAR_PUSH_PROMISE, FAR_END_HEADERS, 1, STR("\0\0\0\2\x82"));
	assert_int_equal(far_heard(server, FAR_GOAWAY, 0, 0)->length >= 8, true);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, transport); ");
	end(&far, &caller);
}

static void padding_counts_against_the_windows_and_is_given_back(void **state)
{
	static char payload[1 + 5 + 255];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller);

	(void)state;
	payload[0] = (char)255;
	payload[3] = 0; /* an empty message in each frame */
	far_respond(server, 1);
	/* twice the stream's window, nearly all of it padding */
	for (int i = 0; i < 2100; i++) {
		far_frame(server, FAR_DATA, 0x8, 1, (struct str){ payload, sizeof(payload) });
		assert_non_null(server->engine);
		server->n_frames = 0;
	}
	far_finish(server, 1, "0");
	assert_int_equal(caller.outcome.status, GRPC_OK);
	end(&far, &caller);
}

static void a_deadline_that_the_server_cancels_at_is_exceeded(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_CHAT, &(struct grpc_call_options){ .timeout_ns = NS_PER_S });
	far_run(&far);
	far_hello(far_end(&far));
	far.now_ns += NS_PER_S; /* our own timer has not been looked at */
	far_reset(far_end(&far), 1, HTTP2_CANCEL);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, here); ");
	end(&far, &caller);
}

/* Echo's strings are kept as bytes: the method says what a string may hold. */

static int echo_status;

static void on_echo_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	(void)call;
	echo_status = (int)outcome->status;
}

static void text_that_is_not_utf8_is_no_reply(void **state)
{
	static const struct grpc_call_events events = { .closed = on_echo_closed };
	static const struct str replies[] = { STR_INIT("\x0a\2\xc3\xa9"),
					      STR_INIT("\x0a\2\xc3\x28") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		struct far far;

		far_init(&far, NULL);
		assert_non_null(grpc_channel_call(far.channel, &echo_service,
						  &echo_service.methods[ECHO_METHOD_ECHO], &events,
						  NULL, NULL));
		far_run(&far);
		far_hello(far_end(&far));
		far_respond(far_end(&far), 1);
		far_message(far_end(&far), 1, 0, replies[i]);
		far_finish(far_end(&far), 1, "0");
		assert_int_equal(echo_status, i == 0 ? GRPC_OK : GRPC_INTERNAL);
		far_deinit(&far);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(details_are_handed_on_where_they_agree_with_the_status),
		cmocka_unit_test(details_and_a_status_in_the_head_do_not_count),
		cmocka_unit_test(trailers_only_carry_all_there_is),
		cmocka_unit_test(a_block_in_the_middle_is_a_protocol_error),
		cmocka_unit_test(informational_blocks_are_passed_over),
		cmocka_unit_test(a_promise_ends_the_connection),
		cmocka_unit_test(padding_counts_against_the_windows_and_is_given_back),
		cmocka_unit_test(a_deadline_that_the_server_cancels_at_is_exceeded),
		cmocka_unit_test(text_that_is_not_utf8_is_no_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

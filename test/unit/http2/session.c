/* A session's deferred upcalls, its last words, and the end of a client's stream ids. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "side.h"

static const struct http2_field ok_fields[] = { HTTP2_FIELD(":status", "200") };

static void begin_call(struct side *side)
{
	side_init(side, true, NULL);
	side_shake_hands(side);
	put_request(&side->in, 1, F_END_STREAM);
	side_say(side);
	assert_int_equal(side->n_calls, 1);
}

static void a_stream_is_woken_once_however_often_it_was_asked_for(void **state)
{
	struct side side;
	struct call *call = &side.calls[0];

	(void)state;
	begin_call(&side);
	http2_stream_wake_later(&call->stream);
	http2_stream_wake_later(&call->stream);
	assert_int_equal(call->woken, 0);
	assert_true(side.wakes > 0);
	side_run(&side);
	assert_int_equal(call->woken, 1);
	side_run(&side);
	assert_int_equal(call->woken, 1);
	http2_stream_wake_later(&call->stream);
	side_run(&side);
	assert_int_equal(call->woken, 2);
	side_deinit(&side);
}

static void waking_needs_no_room(void **state)
{
	struct side side;

	(void)state;
	begin_call(&side);
	side.room = 0;
	http2_stream_wake_later(&side.calls[0].stream);
	side_run(&side);
	assert_int_equal(side.calls[0].woken, 1);
	side_deinit(&side);
}

static void wake_again(struct call *call)
{
	if (call->woken < 5) {
		http2_stream_wake_later(&call->stream);
	}
}

static void who_is_woken_may_ask_again(void **state)
{
	struct side side;

	(void)state;
	begin_call(&side);
	side.calls[0].on_woken = wake_again;
	http2_stream_wake_later(&side.calls[0].stream);
	side_run(&side);
	assert_int_equal(side.calls[0].woken, 5);
	side_deinit(&side);
}

static void answer(struct call *call)
{
	assert_int_equal(http2_stream_respond(&call->stream, ok_fields, 1, true), 0);
}

static void what_is_submitted_on_waking_leaves_in_the_same_production(void **state)
{
	struct side side;

	(void)state;
	begin_call(&side);
	side.calls[0].on_woken = answer;
	http2_stream_wake_later(&side.calls[0].stream);
	side.engine->ops->produce(side.engine, &side.out, 256 * KIB);
	assert_int_equal(side_count(&side, F_HEADERS), 1);
	assert_int_equal(side.calls[0].closed, 1);
	side_deinit(&side);
}

static void a_stream_that_has_ended_is_not_woken(void **state)
{
	struct side side;

	(void)state;
	begin_call(&side);
	http2_stream_wake_later(&side.calls[0].stream);
	http2_stream_reset(&side.calls[0].stream, HTTP2_CANCEL);
	http2_stream_wake_later(&side.calls[0].stream);
	side_run(&side);
	assert_int_equal(side.calls[0].woken, 0);
	assert_int_equal(side.calls[0].closed, 1);
	http2_stream_wake_later(&side.calls[0].stream);
	side_run(&side);
	assert_int_equal(side.calls[0].woken, 0);
	side_deinit(&side);
}

static void reset_itself(struct call *call)
{
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
	assert_int_equal(call->closed, 0); /* never from inside the caller's own call */
}

static void who_is_woken_may_reset_itself(void **state)
{
	struct side side;

	(void)state;
	begin_call(&side);
	side.calls[0].on_woken = reset_itself;
	http2_stream_wake_later(&side.calls[0].stream);
	side_run(&side);
	assert_int_equal(side.calls[0].closed, 1);
	side_deinit(&side);
}

static void the_last_words_need_no_room_and_come_alone(void **state)
{
	struct side side;
	struct seen frame;

	(void)state;
	begin_call(&side);
	answer(&side.calls[0]);
	side.room = 0;
	put_request(&side.in, 5, F_END_STREAM);
	put_frame(&side.in, F_HEADERS, 0, 7, "", 0);
	for (unsigned i = 0; i < 9; i++) {
		put_frame(&side.in, F_CONTINUATION, 0, 7, "", 0);
	}
	side_say(&side);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_continuations");
	assert_true(side_saw(&side, F_GOAWAY, 0, &frame));
	assert_int_equal(frame.payload[3], 7); /* the last that it began with */
	assert_int_equal(side_count(&side, F_HEADERS), 0);
	assert_int_equal(side.n_calls, 3);
	assert_int_equal(side.engine->ops->receive(side.engine, (const uint8_t *)"x", 1), -EPROTO);
	side_deinit(&side);
}

static void what_nghttp2_finds_first_is_what_is_said(void **state)
{
	struct side side;
	struct seen frame;

	(void)state;
	begin_call(&side);
	put_frame(&side.in, F_PING, 0, 0, "short", 5);
	put_frame(&side.in, F_DATA, 0, 1, "late", 4); /* the ledger's */
	side_say(&side);
	assert_int_equal(side_count(&side, F_GOAWAY), 1);
	assert_true(side_saw(&side, F_GOAWAY, 0, &frame));
	assert_int_equal(frame.payload[7], HTTP2_FRAME_SIZE_ERROR);
	assert_true(side.engine->ops->finished(side.engine));
	side_deinit(&side);
}

static void an_error_on_a_stream_that_is_gone_ends_the_connection(void **state)
{
	struct side side;
	struct seen frame;

	(void)state;
	begin_call(&side);
	answer(&side.calls[0]);
	side_run(&side);
	assert_int_equal(side.calls[0].closed, 1);
	put_frame(&side.in, F_DATA, 0, 1, "late", 4);
	put_request(&side.in, 3, F_END_STREAM); /* nothing counts any more */
	side_say(&side);
	assert_true(side_saw(&side, F_GOAWAY, 0, &frame));
	assert_int_equal(frame.payload[7], HTTP2_STREAM_CLOSED);
	put_request(&side.in, 5, F_END_STREAM);
	side_say(&side);
	assert_int_equal(side_count(&side, F_GOAWAY), 1);
	assert_int_equal(side.n_calls, 1);
	assert_true(side.engine->ops->finished(side.engine));
	side_deinit(&side);
}

static void a_large_read_is_taken_whole(void **state)
{
	static const uint8_t zeros[8000];
	struct side side;

	(void)state;
	side_init(&side, true, NULL);
	side_shake_hands(&side);
	put_request(&side.in, 1, 0);
	for (unsigned i = 0; i < 8; i++) {
		put_frame(&side.in, F_DATA, i == 7 ? F_END_STREAM : 0, 1, zeros, sizeof(zeros));
	}
	side.offers = 0;
	side_say(&side);
	assert_int_equal(side.offers, 1);
	assert_int_equal(side.calls[0].data, 8 * sizeof(zeros));
	assert_int_equal(side.calls[0].ended, 1);
	side_deinit(&side);
}

static void a_client_whose_ids_run_out_says_so_and_finishes_what_it_has(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct call *calls[3];
	struct side side;

	(void)state;
	limits.max_stream_id = 5;
	side_init(&side, false, &limits);
	side_shake_hands(&side);
	calls[0] = side_request(&side);
	calls[1] = side_request(&side);
	side_run(&side);
	assert_int_equal(side.goaways, 0);
	assert_true(http2_session_room(side.session) > 0);
	calls[2] = side_request(&side);
	assert_int_equal(side.goaways, 0); /* never from inside the caller's own call */
	assert_int_equal(http2_session_room(side.session), 0);
	side_run(&side);
	assert_int_equal(side.goaways, 1);
	assert_int_equal(side.goaway_last, INT32_MAX);
	assert_int_equal(side_count(&side, F_HEADERS), 3);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		uint8_t block[64];
		size_t n = put_field(block, ":status", "200");

		assert_false(side.engine->ops->finished(side.engine));
		http2_stream_finish(&calls[i]->stream, NULL, 0);
		side_run(&side);
		put_frame(&side.in, F_HEADERS, F_END_HEADERS | F_END_STREAM, (uint32_t)(2 * i + 1),
			  block, n);
		side_say(&side);
		assert_int_equal(calls[i]->closed, 1);
		assert_int_equal(calls[i]->origin, HTTP2_CLOSED_REGULARLY);
	}
	assert_true(side.engine->ops->finished(side.engine));
	side_deinit(&side);
}

static void a_session_is_full_at_the_peers_limit_only(void **state)
{
	static const uint8_t one_stream[] = { 0, 3, 0, 0, 0, 1 };
	struct side side;
	struct call *call;

	(void)state;
	side_init(&side, false, NULL);
	side_shake_hands(&side);
	put_frame(&side.in, F_SETTINGS, 0, 0, one_stream, sizeof(one_stream));
	side_say(&side);
	assert_false(http2_session_full(side.session));
	call = side_request(&side);
	assert_int_equal(http2_stream_sent_ns(&call->stream), -1);
	assert_true(http2_session_full(side.session));
	assert_int_equal(http2_session_room(side.session), 0);
	side_advance(&side, NS_PER_S);
	assert_int_equal(http2_stream_sent_ns(&call->stream), side.now_ns);
	side.engine->ops->drain(side.engine, ENGINE_DRAIN_GRACEFUL);
	assert_false(http2_session_full(side.session)); /* it takes none, whatever the limit */
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
	side_run(&side);
	side_deinit(&side);
}

static void a_preface_that_does_not_come_ends_without_a_byte(void **state)
{
	struct side side;

	(void)state;
	side_init(&side, true, NULL);
	put(&side.in, "PRI * HTTP/2.0\r\n", 16);
	side_say(&side);
	side_advance(&side, 10 * NS_PER_S);
	assert_true(side.engine->ops->finished(side.engine));
	assert_int_equal(buffer_len(&side.out), 0);
	assert_int_equal(counter_read(&side.handshake_timeouts), 1);
	side_deinit(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_woken_once_however_often_it_was_asked_for),
		cmocka_unit_test(waking_needs_no_room),
		cmocka_unit_test(who_is_woken_may_ask_again),
		cmocka_unit_test(what_is_submitted_on_waking_leaves_in_the_same_production),
		cmocka_unit_test(a_stream_that_has_ended_is_not_woken),
		cmocka_unit_test(who_is_woken_may_reset_itself),
		cmocka_unit_test(the_last_words_need_no_room_and_come_alone),
		cmocka_unit_test(what_nghttp2_finds_first_is_what_is_said),
		cmocka_unit_test(an_error_on_a_stream_that_is_gone_ends_the_connection),
		cmocka_unit_test(a_large_read_is_taken_whole),
		cmocka_unit_test(a_client_whose_ids_run_out_says_so_and_finishes_what_it_has),
		cmocka_unit_test(a_session_is_full_at_the_peers_limit_only),
		cmocka_unit_test(a_preface_that_does_not_come_ends_without_a_byte),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}

/* Budgets against a peer that abuses its connection, and the clocks of one that runs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http2/ledger.h"
#include "http2/guard.h"
#include "side.h"

#define MS NS_PER_MS
#define S  NS_PER_S

static const struct http2_field ok_fields[] = { HTTP2_FIELD(":status", "200") };

/* A server that has shaken hands. */
static void begin(struct side *side, const struct http2_limits *limits)
{
	side_init(side, true, limits);
	side_shake_hands(side);
}

static void cancel(struct side *side, uint32_t id)
{
	put_u32_frame(&side->in, F_RST_STREAM, id, HTTP2_CANCEL);
}

/* -- Resets -- */

static void resets_in_the_read_of_their_headers_use_up_the_budget(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	for (unsigned i = 0; i < 2000; i++, id += 2) {
		put_request(&side.in, id, F_END_STREAM);
		cancel(&side, id);
	}
	side_say(&side);
	assert_int_equal(side.error, 0);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_RESETS), 0);
	assert_true(side_reached(&side, HTTP2_BOUND_DEFERRED) > 0);
	put_request(&side.in, id, F_END_STREAM);
	cancel(&side, id);
	side_say(&side);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
	assert_int_equal(side.error, -EPROTO);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_RESETS), 1);
	side_deinit(&side);
}

static void the_budget_of_resets_comes_back_with_time(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	for (unsigned second = 0; second < 60; second++) {
		for (unsigned i = 0; i < (second ? 200 : 2000); i++, id += 2) {
			put_request(&side.in, id, F_END_STREAM);
			cancel(&side, id);
		}
		side_say(&side);
		side_advance(&side, S);
		put_request(&side.in, id, 0); /* so that it is heard of, and of use */
		id += 2;
		cancel(&side, id - 2);
		side_advance(&side, 20 * MS);
	}
	assert_int_equal(side.error, 0);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_RESETS), 0);
	side_deinit(&side);
}

static void calls_that_had_their_time_are_reset_for_nothing(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 50; i++) {
			put_request(&side.in, id + 2 * i, i % 2 ? F_END_STREAM : 0);
		}
		side_say(&side);
		side_advance(&side, 10 * MS);
		for (unsigned i = 0; i < 50; i++, id += 2) {
			cancel(&side, id);
		}
		side_say(&side);
	}
	assert_int_equal(side.error, 0);
	assert_int_equal(side.n_calls, 10000);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_RESETS), 0);
	side_deinit(&side);
}

static void a_reset_that_comes_in_a_read_of_its_own_counts_while_the_call_is_young(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	for (unsigned i = 0; i < 3000 && !side.error; i++, id += 2) {
		put_request(&side.in, id, 0);
		side_say(&side);
		side_advance(&side, 1000);
		cancel(&side, id);
		side_say(&side);
	}
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
	assert_in_range(side.n_calls, 2000, 2010);
	side_deinit(&side);
}

/* -- Frames that move nothing -- */

static void frames_that_move_nothing_use_up_their_budget(void **state)
{
	struct side side;

	(void)state;
	begin(&side, NULL);
	for (unsigned i = 0; i < 9999; i++) { /* and the SETTINGS before */
		put_frame(&side.in, 0xbe, 0, 0, "", 0);
	}
	side_say(&side);
	assert_int_equal(side.error, 0);
	side_advance(&side, 10 * S); /* 3300 come back */
	for (unsigned i = 0; i < 3200; i++) {
		put_frame(&side.in, F_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
	}
	side_say(&side);
	assert_int_equal(side.error, 0);
	for (unsigned i = 0; i < 200; i++) {
		put_frame(&side.in, 0xbe, 0, 0, "", 0);
	}
	side_say(&side);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_useless_frames");
	assert_int_equal(side_reached(&side, HTTP2_BOUND_GLITCHES), 1);
	side_deinit(&side);
}

/* Begins a call and ends it here, before the peer has ended it. */
static uint32_t end_a_call_early(struct side *side, uint32_t id)
{
	put_request(&side->in, id, 0);
	side_say(side);
	http2_stream_reset(&side->calls[side->n_calls - 1].stream, HTTP2_CANCEL);
	side_run(side);
	return id;
}

static void put_data(struct side *side, uint32_t id, size_t n)
{
	static const uint8_t bytes[HTTP2_SMALL_DATA_BYTES];

	put_frame(&side->in, F_DATA, 0, id, bytes, n);
}

static void small_data_for_a_call_that_has_ended_here_uses_up_the_budget(void **state)
{
	(void)state;
	for (uint32_t newer = 0; newer < 2; newer++) {
		struct side side;
		uint32_t id;

		begin(&side, NULL);
		id = end_a_call_early(&side, 1);
		if (newer) { /* as long ago as the ledger does not remember */
			put_request(&side.in, 1001, F_END_STREAM);
			side_say(&side);
		}
		/* its SETTINGS were one */
		for (unsigned i = 1; i < HTTP2_LATE_DATA_FRAMES + HTTP2_GLITCH_BURST; i++) {
			put_data(&side, id, 1 + i % (HTTP2_SMALL_DATA_BYTES - 1));
			if (i % 100 == 0) {
				side_say(&side); /* and be given credit */
			}
		}
		side_say(&side);
		assert_int_equal(side.error, 0);
		put_data(&side, id, 1);
		side_say(&side);
		side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_useless_frames");
		side_deinit(&side);
	}
}

static void late_data_in_pieces_is_charged_all_the_same(void **state)
{
	static const uint8_t bytes[20];
	struct side side;
	unsigned n = 0;

	(void)state;
	begin(&side, NULL);
	end_a_call_early(&side, 1);
	/* a frame is never whole at the end of a read */
	for (; n < 30000 && !side.error; n++) {
		struct buffer frame = BUFFER_INIT;

		put_frame(&frame, F_DATA, 0, 1, bytes, sizeof(bytes));
		if (n > 0) {
			put(&side.in, buffer_data(&frame) + 15, buffer_len(&frame) - 15);
		}
		put(&side.in, buffer_data(&frame), 15);
		buffer_free(&frame);
		side_say(&side);
	}
	assert_in_range(n, HTTP2_GLITCH_BURST, HTTP2_GLITCH_BURST + 100);
	side_deinit(&side);
}

static void data_that_is_heard_or_large_or_on_its_way_costs_nothing(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	/* a stream of small messages */
	put_request(&side.in, id, 0);
	for (unsigned i = 0; i < 20000; i++) {
		put_data(&side, id, 1 + i % 5);
		if (i % 100 == 0) {
			side_say(&side);
		}
	}
	side_say(&side);
	/* calls that end before their messages are in */
	for (unsigned i = 0; i < 1000; i++) {
		id = end_a_call_early(&side, id + 2);
		for (unsigned j = 0; j < HTTP2_LATE_DATA_FRAMES; j++) {
			put_data(&side, id, 7);
		}
		side_say(&side);
		side.n_calls = 1; /* its memory is free again */
	}
	for (unsigned i = 0; i < 20000; i++) {
		put_data(&side, id, HTTP2_SMALL_DATA_BYTES);
		side_say(&side);
	}
	assert_int_equal(side.error, 0);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_GLITCHES), 0);
	side_deinit(&side);
}

static void a_server_that_floods_its_client_is_left(void **state)
{
	struct side side;
	struct call *call;

	(void)state;
	side_init(&side, false, NULL);
	side_shake_hands(&side);
	call = side_request(&side);
	side_run(&side);
	for (unsigned i = 0; i < 10001; i++) {
		put_frame(&side.in, 0xbe, 0, 0, "", 0);
	}
	side_say(&side);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_useless_frames");
	side_deinit(&side);
	assert_int_equal(call->origin, HTTP2_CLOSED_TRANSPORT);
}

static void acknowledgements_that_pile_up_end_the_connection(void **state)
{
	struct side side;

	(void)state;
	begin(&side, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		put_frame(&side.in, F_SETTINGS, 0, 0, "", 0);
	}
	side_say(&side);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_acks");
	assert_int_equal(side_reached(&side, HTTP2_BOUND_ACKS), 1);
	side_deinit(&side);
}

static void more_streams_than_twice_the_limit_wait_for_a_production(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.max_concurrent_streams = 40;
	begin(&side, &limits);
	side.offers = 0;
	for (uint32_t id = 1; id < 801; id += 2) {
		put_request(&side.in, id, F_END_STREAM);
		cancel(&side, id);
	}
	side_say(&side);
	assert_int_equal(side.n_calls, 400);
	assert_in_range(side.offers, 5, 6); /* 80 at a time */
	assert_true(side_reached(&side, HTTP2_BOUND_DEFERRED) >= 4);
	assert_int_equal(side.error, 0);
	side_deinit(&side);
}

/* -- What is begun and not ended -- */

static void half_a_frame_has_ten_seconds(void **state)
{
	static const size_t cuts[] = { 1, 8, 9, 12, 16 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		struct side side;
		struct buffer ping = { 0 };

		begin(&side, NULL);
		put_frame(&ping, F_PING, 0, 0, "12345678", 8);
		put(&side.in, buffer_data(&ping), cuts[i]);
		side_say(&side);
		side_advance(&side, 10 * S - 1);
		assert_false(side.engine->ops->finished(side.engine));
		side_advance(&side, 1);
		side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "frame_timeout");
		assert_int_equal(side_reached(&side, HTTP2_BOUND_FRAME_TIMEOUT), 1);
		buffer_free(&ping);
		side_deinit(&side);
	}
}

static void pieces_do_not_prolong_a_header_block(void **state)
{
	struct side side;

	(void)state;
	begin(&side, NULL);
	put_frame(&side.in, F_HEADERS, 0, 1, "", 0);
	side_say(&side);
	for (unsigned i = 0; i < 4; i++) {
		side_advance(&side, 2 * S);
		put_frame(&side.in, F_CONTINUATION, 0, 1, "", 0);
		side_say(&side);
	}
	assert_int_equal(side.error, 0);
	assert_false(side.engine->ops->finished(side.engine));
	side_advance(&side, 2 * S);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "frame_timeout");
	side_deinit(&side);
}

static void pieces_of_data_are_progress(void **state)
{
	struct side side;
	struct buffer data = { 0 };

	(void)state;
	begin(&side, NULL);
	put_request(&side.in, 1, 0);
	side_say(&side);
	put_frame(&data, F_DATA, 0, 1, "0123456789", 10);
	put(&side.in, buffer_data(&data), 10);
	side_say(&side);
	for (size_t at = 10; at < 18; at++) {
		side_advance(&side, 9 * S);
		put(&side.in, buffer_data(&data) + at, 1);
		side_say(&side);
	}
	assert_false(side.engine->ops->finished(side.engine));
	side_advance(&side, 10 * S);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "frame_timeout");
	buffer_free(&data);
	side_deinit(&side);
}

static void time_in_which_the_host_takes_no_input_is_not_the_peers(void **state)
{
	struct side side;

	(void)state;
	begin(&side, NULL);
	put(&side.in, "\0\0\x8\6\0\0", 6);
	side_say(&side);
	side.room = 0;
	side_run(&side);
	side_advance(&side, 60 * S);
	assert_false(side.engine->ops->finished(side.engine));
	side.room = 256 * KIB;
	side_advance(&side, S);
	side_advance(&side, 10 * S - 1);
	assert_false(side.engine->ops->finished(side.engine));
	side_advance(&side, 1);
	side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "frame_timeout");
	side_deinit(&side);
}

/* -- Slow readers -- */

static struct call *held_reply(struct side *side, uint32_t window, size_t n)
{
	const uint8_t initial[6] = { 0,
				     4,
				     (uint8_t)(window >> 24),
				     (uint8_t)(window >> 16),
				     (uint8_t)(window >> 8),
				     (uint8_t)window };
	char body[1000] = "";
	struct call *call;

	put_frame(&side->in, F_SETTINGS, 0, 0, initial, sizeof(initial));
	put_request(&side->in, 1, F_END_STREAM);
	side_say(side);
	call = &side->calls[side->n_calls - 1];
	assert_int_equal(http2_stream_respond(&call->stream, ok_fields, 1, false), 0);
	put(http2_stream_out(&call->stream), body, n);
	http2_stream_wrote(&call->stream);
	side_run(side);
	return call;
}

static void a_reply_behind_a_shut_window_is_reset(void **state)
{
	struct side side;
	struct call *call;

	(void)state;
	begin(&side, NULL);
	call = held_reply(&side, 0, 1000);
	for (unsigned i = 0; i < 59; i++) {
		side_advance(&side, S / 2);
		assert_int_equal(call->closed, 0);
	}
	for (unsigned i = 0; i < 16; i++) {
		side_advance(&side, S / 2);
	}
	assert_int_equal(call->closed, 1);
	assert_int_equal(call->code, HTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(call->origin, HTTP2_CLOSED_HERE);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_SLOW_READ), 1);
	assert_int_equal(side_count(&side, F_GOAWAY), 0);
	side_deinit(&side);
}

static void a_reply_that_moves_is_not_reset(void **state)
{
	struct side side;
	struct call *call;

	(void)state;
	begin(&side, NULL);
	call = held_reply(&side, 0, 1000);
	for (unsigned i = 0; i < 6; i++) {
		side_advance(&side, 25 * S);
		put_u32_frame(&side.in, F_WINDOW_UPDATE, 1, 150);
		side_say(&side);
	}
	assert_int_equal(call->closed, 0);
	put_u32_frame(&side.in, F_WINDOW_UPDATE, 1, 150);
	side_say(&side);
	side_advance(&side, 3600 * S); /* nothing waits: a stream may be quiet for ever */
	assert_int_equal(call->closed, 0);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_SLOW_READ), 0);
	side_deinit(&side);
}

static void small_messages_that_are_taken_one_by_one_are_progress(void **state)
{
	struct side side;
	struct call *call;

	(void)state;
	begin(&side, NULL);
	call = held_reply(&side, 0, 20);
	for (unsigned i = 0; i < 40; i++) { /* each look finds one held */
		side_advance(&side, 5 * S);
		put_u32_frame(&side.in, F_WINDOW_UPDATE, 1, 20);
		side_say(&side);
		put(http2_stream_out(&call->stream), "twenty bytes of reply", 20);
		http2_stream_wrote(&call->stream);
		side_run(&side);
	}
	assert_int_equal(call->closed, 0);
	side_deinit(&side);
}

static void looks_that_find_a_reply_held_must_follow_each_other(void **state)
{
	struct side side;
	struct call *call;

	(void)state;
	begin(&side, NULL);
	call = held_reply(&side, 0, 1000);
	for (unsigned i = 0; i < 6; i++) {
		side_advance(&side, 8 * S);
		side_advance(&side, 8 * S);
		/* The window is open, and the host is what has no room. */
		side.room = 0;
		put_u32_frame(&side.in, F_WINDOW_UPDATE, 1, 1);
		side_say(&side);
		side_advance(&side, 8 * S);
		side.room = 256 * KIB;
		side_run(&side);
	}
	assert_int_equal(call->closed, 0);
	side_deinit(&side);
}

static void a_byte_now_and_then_is_no_progress(void **state)
{
	struct side side;
	struct call *call;
	unsigned halves = 0; /* of a second */

	(void)state;
	begin(&side, NULL);
	for (call = held_reply(&side, 0, 1000); !call->closed && halves < 200; halves++) {
		side_advance(&side, S / 2);
		put_u32_frame(&side.in, F_WINDOW_UPDATE, 1, 1);
		side_say(&side);
	}
	assert_in_range(halves, 60, 75);
	side_deinit(&side);
}

static void no_deadline_for_slow_readers_where_none_is_wanted(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;
	struct call *call;

	(void)state;
	limits.stall_timeout_ns = 0;
	begin(&side, &limits);
	call = held_reply(&side, 0, 1000);
	for (unsigned i = 0; i < 100; i++) {
		side_advance(&side, 60 * S);
	}
	assert_int_equal(call->closed, 0);
	side_deinit(&side);
}

/* -- Keepalive -- */

static void a_server_asks_after_two_hours_and_closes_after_twenty_seconds(void **state)
{
	struct side side;
	struct seen ping;

	(void)state;
	begin(&side, NULL);
	side_advance(&side, 3600 * S);
	put_request(&side.in, 1, F_END_STREAM); /* it counts from the last byte */
	side_say(&side);
	side_advance(&side, 7200 * S - 1);
	assert_int_equal(side_count(&side, F_PING), 0);
	side_advance(&side, 1);
	assert_true(side_saw(&side, F_PING, 0, &ping));
	assert_int_equal(ping.flags, 0);
	side_advance(&side, 20 * S - 1);
	assert_int_equal(side.error, 0);
	side_advance(&side, 1);
	assert_int_equal(side.error, -ETIMEDOUT);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_KEEPALIVE), 1);
	side_deinit(&side);
	assert_int_equal(side.calls[0].origin, HTTP2_CLOSED_TRANSPORT);
}

static void any_byte_answers_a_keepalive(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.keepalive_time_ns = S;
	begin(&side, &limits);
	for (unsigned i = 1; i < 10; i++) {
		side_advance(&side, S);
		assert_int_equal(side_count(&side, F_PING), i);
		side_advance(&side, 19 * S);
		put_frame(&side.in, 0xbe, 0, 0, "", 0);
		side_say(&side);
		assert_int_equal(side.error, 0);
	}
	assert_int_equal(side_reached(&side, HTTP2_BOUND_KEEPALIVE), 0);
	side_deinit(&side);
}

static void time_in_which_nothing_leaves_is_no_silence_of_the_peers(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.keepalive_time_ns = 10 * S;
	begin(&side, &limits);
	side.room = 0; /* a slow line: nor does the host take input */
	side_run(&side);
	side_advance(&side, 10 * S);
	side_advance(&side, 10 * S);
	side_advance(&side, 10 * S);
	side_advance(&side, 60 * S);
	assert_int_equal(side.error, 0);
	side.room = 256 * KIB;
	side_run(&side);
	assert_int_equal(side_count(&side, F_PING), 0);
	side_advance(&side, 10 * S);
	assert_int_equal(side_count(&side, F_PING), 1);
	side_advance(&side, 20 * S - 1);
	assert_int_equal(side.error, 0);
	side_advance(&side, 1);
	assert_int_equal(side.error, -ETIMEDOUT);
	side_deinit(&side);
}

static void whoever_was_full_is_asked_whether_it_still_is(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.keepalive_time_ns = 10 * S;
	begin(&side, &limits);
	side.room = 1;
	put_frame(&side.in, F_PING, 0, 0, "12345678", 8);
	side_say(&side); /* the answer fills the host, and is all that there was to say */
	side.wakes = 0;
	side.now_ns += 10 * S;
	timers_run(&side.timers);
	assert_true(side.wakes > 0);
	side.room = 256 * KIB;
	side_run(&side);
	side_advance(&side, 10 * S);
	assert_int_equal(side_count(&side, F_PING), 2);
	side_advance(&side, 20 * S);
	assert_int_equal(side.error, -ETIMEDOUT);
	side_deinit(&side);
}

static void a_client_with_many_calls_takes_all_answers_at_once(void **state)
{
	struct side side;

	(void)state;
	side_init(&side, false, NULL);
	put_frame(&side.in, F_SETTINGS, 0, 0, "\0\3\0\0\3\350", 6);
	side_say(&side);
	for (unsigned i = 0; i < 400; i++) {
		(void)side_request(&side);
	}
	side_run(&side);
	for (uint32_t id = 1; id < 801; id += 2) {
		put_frame(&side.in, F_HEADERS, F_END_HEADERS | F_END_STREAM, id, "\x88", 1);
	}
	side.offers = 0;
	side_say(&side);
	assert_int_equal(side.offers, 1);
	assert_int_equal(side_reached(&side, HTTP2_BOUND_DEFERRED), 0);
	side_deinit(&side);
}

static void a_keepalive_can_be_without_end(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.keepalive_time_ns = HTTP2_NEVER;
	begin(&side, &limits);
	assert_int_equal(timers_next_ns(&side.timers), -1);
	side_deinit(&side);
}

static void a_client_asks_for_nothing_unless_told_to(void **state)
{
	struct side side;

	(void)state;
	side_init(&side, false, NULL);
	side_shake_hands(&side);
	side_request(&side);
	side_run(&side);
	assert_int_equal(timers_next_ns(&side.timers), -1);
	side_deinit(&side);
}

static void a_client_asks_while_it_has_calls_and_not_more_often_than_allowed(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;
	struct call *call;

	(void)state;
	limits.keepalive_time_ns = S; /* 10 s is the floor */
	side_init(&side, false, &limits);
	side_shake_hands(&side);
	side_advance(&side, 100 * S);
	assert_int_equal(side_count(&side, F_PING), 0);
	call = side_request(&side);
	side_run(&side);
	side_advance(&side, 10 * S - 1);
	assert_int_equal(side_count(&side, F_PING), 0);
	side_advance(&side, 1);
	assert_int_equal(side_count(&side, F_PING), 1);
	side_advance(&side, 20 * S);
	assert_int_equal(side.error, -ETIMEDOUT);
	side_deinit(&side);
	assert_int_equal(call->origin, HTTP2_CLOSED_TRANSPORT);
}

static void a_client_that_wants_to_asks_without_calls(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.keepalive_time_ns = 15 * S;
	limits.keepalive_without_calls = true;
	side_init(&side, false, &limits);
	side_shake_hands(&side);
	side_advance(&side, 15 * S);
	assert_int_equal(side_count(&side, F_PING), 1);
	side_deinit(&side);
}

static void a_client_whose_last_call_ended_waits_for_no_answer(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;
	struct call *call;

	(void)state;
	limits.keepalive_time_ns = 10 * S;
	side_init(&side, false, &limits);
	side_shake_hands(&side);
	call = side_request(&side);
	side_run(&side);
	side_advance(&side, 10 * S);
	assert_int_equal(side_count(&side, F_PING), 1);
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
	side_run(&side);
	side_advance(&side, 100 * S);
	assert_int_equal(side.error, 0);
	side_deinit(&side);
}

/* -- PINGs -- */

static void ping(struct side *side)
{
	put_frame(&side->in, F_PING, 0, 0, "12345678", 8);
	side_say(side);
}

static void the_third_early_ping_ends_the_connection(void **state)
{
	struct side side;

	(void)state;
	for (int open = 0; open < 2; open++) {
		begin(&side, NULL);
		if (open) {
			put_request(&side.in, 1, 0);
		}
		ping(&side);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(side.error, 0);
			side_advance(&side, open ? 299 * S : 7000 * S);
			ping(&side);
		}
		side_assert_ended(&side, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
		assert_int_equal(side_reached(&side, HTTP2_BOUND_PINGS), 1);
		side_deinit(&side);
	}
}

static void pings_in_good_time_are_welcome(void **state)
{
	struct side side;

	(void)state;
	begin(&side, NULL);
	put_request(&side.in, 1, 0);
	for (unsigned i = 0; i < 20; i++) {
		ping(&side);
		side_advance(&side, 300 * S);
	}
	assert_int_equal(side.error, 0);
	side_deinit(&side);
}

static void a_reply_pardons_early_pings(void **state)
{
	struct side side;
	uint32_t id = 1;

	(void)state;
	begin(&side, NULL);
	for (unsigned i = 0; i < 20; i++, id += 2) {
		ping(&side);
		ping(&side);
		put_request(&side.in, id, F_END_STREAM);
		side_say(&side);
		assert_int_equal(http2_stream_respond(&side.calls[i].stream, ok_fields, 1, true),
				 0);
		side_run(&side);
	}
	assert_int_equal(side.error, 0);
	assert_int_equal(side_count(&side, F_PING), 40);
	side_deinit(&side);
}

/* -- Idle, age -- */

static void assert_drained(struct side *side, const char *why)
{
	struct seen frame;
	size_t n = side_count(side, F_PING);

	assert_true(n > 0 && side_saw(side, F_PING, n - 1, &frame));
	assert_int_equal(side_count(side, F_GOAWAY), 1);
	put_frame(&side->in, F_PING, F_ACK, 0, "1234xxxx", 8); /* the answer to another */
	side_say(side);
	assert_int_equal(side_count(side, F_GOAWAY), 1);
	assert_true(side_saw(side, F_PING, n - 1, &frame));
	put_frame(&side->in, F_PING, F_ACK, 0, frame.payload, 8);
	side_say(side);
	assert_int_equal(side_count(side, F_GOAWAY), 2);
	side_assert_ended(side, HTTP2_NO_ERROR, why);
}

static void an_idle_connection_is_drained(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.max_idle_ns = 60 * S;
	begin(&side, &limits);
	side_advance(&side, 59 * S);
	put_request(&side.in, 1, F_END_STREAM);
	side_say(&side);
	side_advance(&side, 1000 * S);
	assert_int_equal(side_count(&side, F_GOAWAY), 0);
	cancel(&side, 1);
	side_say(&side);
	side_advance(&side, 60 * S - 1);
	assert_int_equal(side_count(&side, F_GOAWAY), 0);
	side_advance(&side, 1);
	assert_drained(&side, "max_idle");
	assert_int_equal(side_reached(&side, HTTP2_BOUND_IDLE), 1);
	side_deinit(&side);
}

/* How old a connection gets. */
static int64_t age_of(uint64_t seed, int64_t limit_ns)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;
	int64_t age_ns;

	limits.max_age_ns = limit_ns;
	side_init_seeded(&side, true, &limits, seed);
	side_shake_hands(&side);
	for (age_ns = 0; side_count(&side, F_GOAWAY) == 0; age_ns += S) {
		assert_true(age_ns < 2 * limit_ns);
		side_advance(&side, S);
	}
	side_deinit(&side);
	return age_ns;
}

static void ages_spread_by_a_tenth(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (uint64_t seed = 1; seed < 50; seed++) {
		int64_t age_ns = age_of(seed, 1000 * S);

		least = MIN(least, age_ns);
		most = MAX(most, age_ns);
	}
	assert_in_range(least, 900 * S, 920 * S);
	assert_in_range(most, 1080 * S, 1101 * S);
}

static void an_old_connection_is_drained_and_its_grace_ends(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct side side;

	(void)state;
	limits.max_age_ns = 100 * S;
	for (int graceful = 0; graceful < 2; graceful++) {
		limits.max_age_grace_ns = graceful ? 30 * S : 0;
		begin(&side, &limits);
		if (graceful) {
			put_request(&side.in, 1, 0);
			side_say(&side);
		}
		side_advance(&side, 111 * S);
		assert_int_equal(side_reached(&side, HTTP2_BOUND_AGE), 1);
		if (!graceful) {
			assert_drained(&side, "max_age");
		} else {
			side_advance(&side, 29 * S);
			assert_false(side.engine->ops->finished(side.engine));
			side_advance(&side, S);
			side_assert_ended(&side, HTTP2_NO_ERROR, "max_age");
			assert_int_equal(side_reached(&side, HTTP2_BOUND_AGE_GRACE), 1);
		}
		side_deinit(&side);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_in_the_read_of_their_headers_use_up_the_budget),
		cmocka_unit_test(the_budget_of_resets_comes_back_with_time),
		cmocka_unit_test(calls_that_had_their_time_are_reset_for_nothing),
		cmocka_unit_test(
			a_reset_that_comes_in_a_read_of_its_own_counts_while_the_call_is_young),
		cmocka_unit_test(frames_that_move_nothing_use_up_their_budget),
		cmocka_unit_test(small_data_for_a_call_that_has_ended_here_uses_up_the_budget),
		cmocka_unit_test(late_data_in_pieces_is_charged_all_the_same),
		cmocka_unit_test(data_that_is_heard_or_large_or_on_its_way_costs_nothing),
		cmocka_unit_test(a_server_that_floods_its_client_is_left),
		cmocka_unit_test(acknowledgements_that_pile_up_end_the_connection),
		cmocka_unit_test(more_streams_than_twice_the_limit_wait_for_a_production),
		cmocka_unit_test(half_a_frame_has_ten_seconds),
		cmocka_unit_test(pieces_do_not_prolong_a_header_block),
		cmocka_unit_test(pieces_of_data_are_progress),
		cmocka_unit_test(time_in_which_the_host_takes_no_input_is_not_the_peers),
		cmocka_unit_test(a_reply_behind_a_shut_window_is_reset),
		cmocka_unit_test(a_reply_that_moves_is_not_reset),
		cmocka_unit_test(small_messages_that_are_taken_one_by_one_are_progress),
		cmocka_unit_test(looks_that_find_a_reply_held_must_follow_each_other),
		cmocka_unit_test(a_byte_now_and_then_is_no_progress),
		cmocka_unit_test(no_deadline_for_slow_readers_where_none_is_wanted),
		cmocka_unit_test(a_server_asks_after_two_hours_and_closes_after_twenty_seconds),
		cmocka_unit_test(any_byte_answers_a_keepalive),
		cmocka_unit_test(time_in_which_nothing_leaves_is_no_silence_of_the_peers),
		cmocka_unit_test(whoever_was_full_is_asked_whether_it_still_is),
		cmocka_unit_test(a_client_with_many_calls_takes_all_answers_at_once),
		cmocka_unit_test(a_keepalive_can_be_without_end),
		cmocka_unit_test(a_client_asks_for_nothing_unless_told_to),
		cmocka_unit_test(a_client_asks_while_it_has_calls_and_not_more_often_than_allowed),
		cmocka_unit_test(a_client_that_wants_to_asks_without_calls),
		cmocka_unit_test(a_client_whose_last_call_ended_waits_for_no_answer),
		cmocka_unit_test(the_third_early_ping_ends_the_connection),
		cmocka_unit_test(pings_in_good_time_are_welcome),
		cmocka_unit_test(a_reply_pardons_early_pings),
		cmocka_unit_test(an_idle_connection_is_drained),
		cmocka_unit_test(ages_spread_by_a_tenth),
		cmocka_unit_test(an_old_connection_is_drained_and_its_grace_ends),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}

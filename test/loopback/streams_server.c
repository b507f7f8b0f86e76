/*
 * Streams of messages at the serving end: what arrives when, what is held back,
 * and how a call ends in the middle.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "stage.h"

/* What handlers do. */

static void finish_ok(struct script *script)
{
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void echo(struct script *script, struct str message)
{
	script_send(script, message);
}

static void answer(struct script *script, struct str message)
{
	script_send(script, message);
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void answer_count(struct script *script)
{
	script_send(script, STR("sum"));
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void spread(struct script *script, struct str message)
{
	for (int i = 0; i < 3; i++) {
		script_send(script, message);
	}
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

/* Shapes */

static void each_shape_delivers_as_it_should(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);

	stage.script.message = answer;
	begin(&stage, "/test.Streams/Unary", NULL);
	say(&stage, "one");
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; "); /* not before the end: a second one might follow */
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); closed(0 here); ");
	assert_replies(&stage, "one|");
	assert_status(&stage, "0");

	script_reset(&stage.script);
	stage.script.message = NULL;
	stage.script.half_closed = answer_count;
	begin(&stage, "/test.Streams/Collect", NULL);
	say(&stage, "one");
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); ");
	say(&stage, "");
	say(&stage, "three");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); message(); message(three); half_closed; "
			   "closed(0 here); ");
	assert_replies(&stage, "sum|");
	assert_status(&stage, "0");

	script_reset(&stage.script);
	stage.script.message = spread;
	stage.script.half_closed = NULL;
	begin(&stage, "/test.Streams/Spread", NULL);
	say(&stage, "x");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(x); closed(0 here); ");
	assert_replies(&stage, "x|x|x|");
	assert_status(&stage, "0");

	script_reset(&stage.script);
	stage.script.message = echo;
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "ping");
	peer_run(&stage.peer);
	assert_replies(&stage, "ping|"); /* each side speaks when it likes */
	say(&stage, "pong");
	end(&stage);
	assert_replies(&stage, "ping|pong|");
	assert_status(&stage, "0");
	assert_int_equal(stage.stream.blocks, 2);
	stage_deinit(&stage);
}

static void streams_may_be_empty(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Chat", NULL);
	end(&stage);
	ASSERT_LOG(&stage, "opened; half_closed; closed(0 here); ");
	assert_int_equal(stage.stream.blocks, 1); /* Trailers-Only */
	assert_status(&stage, "0");

	script_reset(&stage.script);
	stage.script.half_closed = answer_count;
	begin(&stage, "/test.Streams/Collect", NULL);
	end(&stage);
	ASSERT_LOG(&stage, "opened; half_closed; closed(0 here); ");
	assert_replies(&stage, "sum|");

	script_reset(&stage.script);
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Spread", NULL);
	say(&stage, "");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(); half_closed; closed(0 here); ");
	assert_status(&stage, "0");
	stage_deinit(&stage);
}

static void one_message_means_exactly_one(void **state)
{
	static const char *const paths[] = { "/test.Streams/Unary", "/test.Streams/Spread" };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = answer;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		script_reset(&stage.script);
		begin(&stage, paths[i], NULL);
		end(&stage);
		ASSERT_LOG(&stage, "opened; closed(12 here); ");
		assert_status(&stage, "12");

		script_reset(&stage.script);
		begin(&stage, paths[i], NULL);
		say(&stage, "one");
		say(&stage, "two");
		end(&stage);
		ASSERT_LOG(&stage, "opened; closed(12 here); ");
		assert_status(&stage, "12");
	}
	stage_deinit(&stage);
}

static void boundaries_of_data_mean_nothing(void **state)
{
	struct stage stage;
	char expected[16 * 100 + 100] = "opened; ";

	(void)state;
	stage_init(&stage, NULL);
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Collect", NULL);
	for (int i = 0; i < 100; i++) { /* in one DATA frame */
		say(&stage, "m");
		strcat(expected, "message(m); ");
	}
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, expected);
	end(&stage);

	script_reset(&stage.script);
	begin(&stage, "/test.Streams/Collect", NULL);
	for (size_t i = 0; i < 10; i++) { /* a byte each */
		peer_bytes(&stage.peer, &stage.stream, (struct str){ &"\0\0\0\0\x05hello"[i], 1 });
		peer_run(&stage.peer);
	}
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(hello); half_closed; closed(0 here); ");
	stage_deinit(&stage);
}

static void an_end_inside_a_message_is_internal(void **state)
{
	static const size_t lengths[] = { 1, 4, 5, 7 };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		script_reset(&stage.script);
		begin(&stage, "/test.Streams/Chat", NULL);
		say(&stage, "whole");
		peer_bytes(&stage.peer, &stage.stream,
			   (struct str){ "\0\0\0\0\x05hello", lengths[i] });
		end(&stage);
		ASSERT_LOG(&stage, "opened; message(whole); closed(13 here); ");
		assert_status(&stage, "13");
	}
	stage_deinit(&stage);
}

static void a_bad_message_ends_the_stream_where_it_stands(void **state)
{
	static const struct {
		struct str bytes;
		const char *status;
	} cases[] = {
		{ STR_INIT("\x02\0\0\0\x01x"), "13" },   /* unknown flag */
		{ STR_INIT("\x01\0\0\0\x01x"), "13" },   /* compressed, not announced */
		{ STR_INIT("\0\x7f\xff\xff\xff"), "8" }, /* larger than the limit */
		{ STR_INIT("\0\0\0\0\x02x\xff"), "13" }, /* text that is none */
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[80] = "opened; message(good); closed(";

		strcat(strcat(expected, cases[i].status), " here); ");
		script_reset(&stage.script);
		begin(&stage, "/test.Streams/Chat", NULL);
		say(&stage, "good");
		peer_bytes(&stage.peer, &stage.stream, cases[i].bytes);
		say(&stage, "never seen");
		peer_run(&stage.peer);
		ASSERT_LOG(&stage, expected);
		assert_status(&stage, cases[i].status);
	}
	stage_deinit(&stage);
}

/* Holding */

static void hold(struct script *script, struct str message)
{
	(void)message;
	grpc_call_hold(script->call);
}

static void hold_and_go_on(struct script *script, struct str message)
{
	grpc_call_hold(script->call);
	grpc_call_next(script->call);
	/* inside the upcall it is there until the return */
	assert_true(str_equal(message, STR("one")) || str_equal(message, STR("two")));
}

static void next(struct stage *stage)
{
	grpc_call_next(stage->script.call);
	peer_run(&stage->peer);
}

static void a_held_message_keeps_the_next_and_the_end_back(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = hold;
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Collect", NULL);
	say(&stage, "one");
	say(&stage, "two"); /* in the same DATA */
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); ");
	say(&stage, "three"); /* in a later one, with the end */
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); ");
	/* never from inside */
	grpc_call_next(stage.script.call);
	ASSERT_LOG(&stage, "opened; message(one); ");
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); message(two); ");
	next(&stage);
	ASSERT_LOG(&stage, "opened; message(one); message(two); message(three); ");
	next(&stage);
	ASSERT_LOG(&stage, "opened; message(one); message(two); message(three); half_closed; "
			   "closed(0 here); ");
	assert_status(&stage, "0");
	stage_deinit(&stage);
}

static void what_comes_after_next_and_before_it_is_woken_keeps_its_order(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = hold;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "one");
	say(&stage, "two");
	peer_run(&stage.peer);
	stage.script.message = NULL;
	grpc_call_next(stage.script.call);
	say(&stage, "three"); /* is received before anything is produced */
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); message(two); message(three); ");
	/* a second next() has nothing to let go */
	next(&stage);
	ASSERT_LOG(&stage, "opened; message(one); message(two); message(three); ");
	stage_deinit(&stage);
}

static void hold_and_next_inside_the_upcall_go_on_at_once(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = hold_and_go_on;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "one");
	say(&stage, "two");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); message(two); half_closed; ");
	stage_deinit(&stage);
}

static void hold_and_let_go(struct script *script)
{
	grpc_call_hold(script->call);
	grpc_call_next(script->call);
}

static void after_the_end_there_is_nothing_to_hold(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.half_closed = hold_and_let_go;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "one");
	end(&stage);
	hold_and_let_go(&stage.script);
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); half_closed; ");
	stage_deinit(&stage);
}

static void on_timer(struct timer *timer)
{
	struct script *script = container_of(timer, struct script, timer);

	grpc_call_next(script->call);
}

static void hold_for_a_second(struct script *script, struct str message)
{
	(void)message;
	grpc_call_hold(script->call);
	timer_init(&script->timer, on_timer);
	timer_start(grpc_call_timers(script->call), &script->timer, NS_PER_S);
}

static void a_timer_may_say_next(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = hold_for_a_second;
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Collect", NULL);
	say(&stage, "one");
	say(&stage, "two");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); ");
	peer_advance(&stage.peer, NS_PER_S);
	ASSERT_LOG(&stage, "opened; message(one); message(two); ");
	peer_advance(&stage.peer, NS_PER_S);
	ASSERT_LOG(&stage, "opened; message(one); message(two); half_closed; closed(0 here); ");
	stage_deinit(&stage);
}

/* The stream's window is all that a sender gets ahead of a handler that holds. */
static void a_held_message_stops_the_sender_at_its_window(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct stage stage;
	char text[100];

	(void)state;
	limits.http2.stream_window = 250;
	stage_init(&stage, &(struct peer_options){ .limits = &limits });
	peer_connect(&stage.peer);
	peer_run(&stage.peer); /* the client hears how small the window is */
	memset(text, 't', sizeof(text));
	stage.script.message = hold;
	begin(&stage, "/test.Streams/Collect", NULL);
	for (int i = 0; i < 20; i++) {
		peer_message(&stage.peer, &stage.stream, (struct str){ text, sizeof(text) });
	}
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message[100]; ");
	assert_int_equal(buffer_len(&stage.stream.out), 20 * 105 - 250);
	next(&stage);
	ASSERT_LOG(&stage, "opened; message[100]; message[100]; ");
	for (size_t done = 1; done < 10; done++) {
		/* at no time more than what was done with, and a window */
		assert_true(20 * 105 - buffer_len(&stage.stream.out) <= done * 105 + 250);
		next(&stage);
	}

	/* meanwhile another stream goes on */
	{
		struct peer_stream other;

		stage.script.message = answer;
		peer_call(&stage.peer, &other, "/test.Streams/Unary", NULL);
		peer_message(&stage.peer, &other, STR("free"));
		peer_end(&stage.peer, &other);
		peer_run(&stage.peer);
		assert_true(other.ended);
		peer_stream_deinit(&other);
	}
	stage_deinit(&stage);
}

static void who_takes_each_message_gets_all_of_them_through_any_window(void **state)
{
	static const uint32_t windows[] = { 1, 2, 7, 104, 105, 106, 1000 };
	char text[100];

	(void)state;
	memset(text, 't', sizeof(text));
	for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
		for (int holding = 0; holding < 2; holding++) {
			struct grpc_server_limits limits = grpc_server_default_limits;
			struct stage stage;
			unsigned rounds = 0;

			limits.http2.stream_window = windows[w];
			stage_init(&stage, &(struct peer_options){ .limits = &limits });
			peer_connect(&stage.peer);
			peer_run(&stage.peer);
			stage.script.message = holding ? hold : NULL;
			stage.script.half_closed = finish_ok;
			begin(&stage, "/test.Streams/Collect", NULL);
			for (int i = 0; i < 20; i++) {
				peer_message(&stage.peer, &stage.stream,
					     (struct str){ text, sizeof(text) });
			}
			end(&stage);
			while (stage.script.call) {
				assert_true(holding && rounds++ < 20);
				next(&stage);
			}
			assert_int_equal(rounds, holding ? 20 : 0);
			assert_status(&stage, "0");
			stage_deinit(&stage);
		}
	}
}

static void what_is_held_and_kept_counts_against_the_budget(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct stage stage;
	static char text[30000];

	(void)state;
	limits.max_buffered_bytes = 100000; /* half of it for one connection */
	stage_init(&stage, &(struct peer_options){ .limits = &limits });
	memset(text, 't', sizeof(text));
	stage.script.message = hold;
	begin(&stage, "/test.Streams/Collect", NULL);
	peer_message(&stage.peer, &stage.stream, (struct str){ text, sizeof(text) });
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message[30000]; ");
	peer_message(&stage.peer, &stage.stream, (struct str){ text, sizeof(text) });
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message[30000]; closed(8 here); ");
	assert_status(&stage, "8");

	/* what was held and kept, and is done with, is given back while the call goes on */
	script_reset(&stage.script);
	begin(&stage, "/test.Streams/Collect", NULL);
	say(&stage, "one");
	peer_message(&stage.peer, &stage.stream, (struct str){ text, sizeof(text) });
	peer_run(&stage.peer);
	next(&stage);
	next(&stage);
	{
		struct peer_stream other;

		peer_call(&stage.peer, &other, "/test.Streams/Collect", NULL);
		peer_message(&stage.peer, &other, (struct str){ text, sizeof(text) });
		peer_run(&stage.peer);
		ASSERT_LOG(&stage,
			   "opened; message(one); message[30000]; opened; message[30000]; ");
		peer_reset(&stage.peer, &other, NGHTTP2_CANCEL);
		peer_run(&stage.peer);
		peer_stream_deinit(&other);
	}

	/* and who does not hold may send as much as he likes */
	script_reset(&stage.script);
	stage.script.message = NULL;
	begin(&stage, "/test.Streams/Collect", NULL);
	for (int i = 0; i < 10; i++) {
		peer_message(&stage.peer, &stage.stream, (struct str){ text, sizeof(text) });
	}
	peer_run(&stage.peer);
	assert_int_equal(stage.script.closed, 0);
	stage_deinit(&stage);
}

/* Sending */

static void send_until_full(struct script *script)
{
	char text[1000];

	memset(text, 's', sizeof(text));
	do {
		script_send(script, (struct str){ text, sizeof(text) });
		script->n++;
	} while (script->last_send == 0 && script->n < 1000);
	if (script->n >= 1000) {
		grpc_call_finish(script->call, GRPC_OK, NULL);
	}
}

static void spread_until_full(struct script *script, struct str message)
{
	(void)message;
	send_until_full(script);
}

static void a_sender_hears_that_it_is_too_fast_and_when_to_go_on(void **state)
{
	struct stage stage;
	unsigned pauses = 0;

	(void)state;
	stage_init(&stage, &(struct peer_options){ .window = 5000 });
	stage.script.message = spread_until_full;
	stage.script.writable = send_until_full;
	begin(&stage, "/test.Streams/Spread", NULL);
	stage.stream.stingy = true;
	say(&stage, "go");
	end(&stage);
	assert_int_equal(stage.script.last_send, 1);
	assert_int_equal(buffer_len(&stage.stream.in), 5000);
	/* 64 KiB are waiting: no more than that, and one message */
	assert_true(stage.script.n * 1005 < 64 * KIB + 5000 + 2 * 1005);
	while (!stage.stream.closed) {
		assert_true(pauses++ < 1000);
		peer_pay(&stage.peer, &stage.stream);
		peer_run(&stage.peer);
	}
	assert_int_equal(buffer_len(&stage.stream.in), 1000 * 1005);
	assert_status(&stage, "0");
	stage_deinit(&stage);
}

static void nothing_is_sent_after_the_end(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	begin(&stage, "/test.Streams/Chat", NULL);
	peer_run(&stage.peer);
	grpc_call_finish(stage.script.call, GRPC_NOT_FOUND, "gone");
	script_send(&stage.script, STR("late"));
	assert_int_equal(stage.script.last_send, -ECANCELED);
	assert_int_equal(grpc_call_send_headers(stage.script.call), -ECANCELED);
	grpc_call_finish(stage.script.call, GRPC_OK, NULL); /* the first one counts */
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; closed(5 here); ");
	assert_status(&stage, "5");
	assert_int_equal(buffer_len(&stage.stream.in), 0);
	/* the client had not ended: it need not go on */
	assert_int_equal(stage.stream.code, NGHTTP2_NO_ERROR);
	stage_deinit(&stage);
}

static void a_message_over_the_senders_limit_ends_the_call(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct stage stage;

	(void)state;
	limits.max_send_message_bytes = 4;
	stage_init(&stage, &(struct peer_options){ .limits = &limits });
	stage.script.message = echo;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "four");
	say(&stage, "fives");
	peer_run(&stage.peer);
	assert_int_equal(stage.script.last_send, -EMSGSIZE);
	assert_replies(&stage, "four|");
	assert_status(&stage, "8");
	stage_deinit(&stage);
}

/* Ends */

static void the_deadline_ends_a_stream_in_its_middle(void **state)
{
	static const char *const timeout[] = { "grpc-timeout", "5S", NULL };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = echo;
	begin(&stage, "/test.Streams/Chat", timeout);
	say(&stage, "one");
	peer_run(&stage.peer);
	assert_int_equal(grpc_call_deadline_ns(stage.script.call), 6 * NS_PER_S);
	peer_advance(&stage.peer, 5 * NS_PER_S);
	ASSERT_LOG(&stage, "opened; message(one); closed(4 here); ");
	assert_replies(&stage, "one|");
	assert_status(&stage, "4");

	/* one that is held, too */
	script_reset(&stage.script);
	stage.script.message = hold;
	begin(&stage, "/test.Streams/Collect", timeout);
	say(&stage, "one");
	say(&stage, "two");
	end(&stage);
	peer_advance(&stage.peer, 5 * NS_PER_S);
	ASSERT_LOG(&stage, "opened; message(one); closed(4 here); ");

	script_reset(&stage.script);
	begin(&stage, "/test.Streams/Chat", NULL);
	peer_run(&stage.peer);
	assert_true(grpc_call_deadline_ns(stage.script.call) == INT64_MAX);
	stage_deinit(&stage);
}

static void a_deadline_does_not_wait_for_the_window(void **state)
{
	static const char *const timeout[] = { "grpc-timeout", "5S", NULL };
	struct stage stage;

	(void)state;
	stage_init(&stage, &(struct peer_options){ .window = 100 });
	stage.script.message = spread_until_full;
	begin(&stage, "/test.Streams/Spread", timeout);
	stage.stream.stingy = true;
	say(&stage, "go");
	end(&stage);
	peer_advance(&stage.peer, 5 * NS_PER_S);
	assert_true(stage.stream.closed);
	assert_int_equal(stage.stream.code, NGHTTP2_CANCEL);
	ASSERT_LOG(&stage, "opened; message(go); half_closed; closed(4 here); ");
	stage_deinit(&stage);
}

static void a_client_may_go_away_at_any_time(void **state)
{
	struct stage stage;

	(void)state;
	for (int holding = 0; holding < 2; holding++) {
		stage_init(&stage, NULL);
		stage.script.message = holding ? hold : NULL;
		begin(&stage, "/test.Streams/Chat", NULL);
		say(&stage, "one");
		peer_run(&stage.peer);
		say(&stage, "two");
		peer_bytes(&stage.peer, &stage.stream, STR("\0\0\0"));
		peer_run(&stage.peer);
		peer_reset(&stage.peer, &stage.stream, NGHTTP2_CANCEL);
		peer_run(&stage.peer);
		ASSERT_LOG(&stage,
			   holding ? "opened; message(one); closed(1 peer); "
				   : "opened; message(one); message(two); closed(1 peer); ");

		script_reset(&stage.script);
		begin(&stage, "/test.Streams/Chat", NULL);
		say(&stage, "one");
		peer_run(&stage.peer);
		peer_disconnect(&stage.peer);
		ASSERT_LOG(&stage, "opened; message(one); closed(1 transport); ");
		stage_deinit(&stage);
	}
}

/* Ways to end, in any upcall: `closed` follows once, and nothing between. */
static void cancel(struct script *script)
{
	grpc_call_cancel(script->call, GRPC_ABORTED);
}

static void finish_and_cancel(struct script *script)
{
	grpc_call_finish(script->call, GRPC_ABORTED, "because");
	grpc_call_cancel(script->call, GRPC_ABORTED);
}

static void hold_and_finish(struct script *script)
{
	grpc_call_hold(script->call);
	grpc_call_finish(script->call, GRPC_ABORTED, "because");
	grpc_call_next(script->call);
}

static void send_and_finish(struct script *script)
{
	script_send(script, STR("last words"));
	grpc_call_finish(script->call, GRPC_ABORTED, "because");
}

static void (*in_message)(struct script *script);

static void end_in_message(struct script *script, struct str message)
{
	(void)message;
	in_message(script);
}

static void a_call_may_be_ended_in_each_upcall(void **state)
{
	static void (*const ways[])(struct script *) = { cancel, finish_and_cancel, hold_and_finish,
							 send_and_finish };
	enum { OPENED, MESSAGE, KEPT, HALF_CLOSED, UPCALLS };
	static const char *const logs[UPCALLS] = {
		"opened; closed(10 here); ",
		"opened; message(one); closed(10 here); ",
		"opened; message(one); message(two); closed(10 here); ",
		("opened; message(one); message(two); message(three); half_closed; "
		 "closed(10 here); "),
	};

	(void)state;
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		for (int upcall = OPENED; upcall < UPCALLS; upcall++) {
			struct stage stage;

			stage_init(&stage, NULL);
			in_message = ways[w];
			stage.script.opened = upcall == OPENED ? ways[w] : NULL;
			stage.script.message = upcall == MESSAGE ? end_in_message
					       : upcall == KEPT  ? hold
								 : NULL;
			stage.script.half_closed = upcall == HALF_CLOSED ? ways[w] : NULL;
			begin(&stage, "/test.Streams/Chat", NULL);
			say(&stage, "one");
			say(&stage, "two");
			say(&stage, "three");
			end(&stage);
			if (upcall == KEPT) {
				stage.script.message = end_in_message;
				next(&stage);
			}
			ASSERT_LOG(&stage, logs[upcall]);
			assert_int_equal(stage.script.closed, 1);
			assert_true(stage.stream.closed);
			stage_deinit(&stage);
		}
	}
}

static void a_stream_without_an_end_hears_that_the_connection_drains(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.draining = finish_ok;
	begin(&stage, "/test.Streams/Chat", NULL);
	peer_run(&stage.peer);
	stage.peer.engine->ops->drain(stage.peer.engine, ENGINE_DRAIN_GRACEFUL);
	ASSERT_LOG(&stage, "opened; ");
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; draining; closed(0 here); ");
	assert_true(stage.peer.goaway);
	assert_status(&stage, "0");
	assert_true(stage.peer.engine->ops->finished(stage.peer.engine));
	stage_deinit(&stage);
}

/* Late DATA of refused streams costs the connection nothing. */
static void refused_uploads_leave_the_connections_window_whole(void **state)
{
	struct stage stage;
	static char body[30000];
	static char large[3 * 1024 * 1024];

	(void)state;
	stage_init(&stage, NULL);
	for (int i = 0; i < 300; i++) {
		begin(&stage, "/test.Streams/Nope", NULL);
		peer_message(&stage.peer, &stage.stream, (struct str){ body, sizeof(body) });
		peer_run(&stage.peer);
		assert_status(&stage, "12");
	}
	stage.script.message = answer;
	begin(&stage, "/test.Streams/Unary", NULL);
	peer_message(&stage.peer, &stage.stream, (struct str){ large, sizeof(large) });
	end(&stage);
	assert_status(&stage, "0");
	assert_int_equal(buffer_len(&stage.stream.in), sizeof(large) + 5);
	stage_deinit(&stage);
}

static void request_trailers_end_a_stream_and_mean_nothing(void **state)
{
	nghttp2_nv trailer = { (uint8_t *)(uintptr_t) "grpc-status", (uint8_t *)(uintptr_t) "3", 11,
			       1, NGHTTP2_NV_FLAG_NONE };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.half_closed = finish_ok;
	begin(&stage, "/test.Streams/Chat", NULL);
	say(&stage, "one");
	peer_run(&stage.peer);
	assert_int_equal(nghttp2_submit_trailer(stage.peer.client, stage.stream.id, &trailer, 1),
			 0);
	peer_run(&stage.peer);
	ASSERT_LOG(&stage, "opened; message(one); half_closed; closed(0 here); ");
	assert_status(&stage, "0");
	stage_deinit(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_shape_delivers_as_it_should),
		cmocka_unit_test(streams_may_be_empty),
		cmocka_unit_test(one_message_means_exactly_one),
		cmocka_unit_test(boundaries_of_data_mean_nothing),
		cmocka_unit_test(an_end_inside_a_message_is_internal),
		cmocka_unit_test(a_bad_message_ends_the_stream_where_it_stands),
		cmocka_unit_test(a_held_message_keeps_the_next_and_the_end_back),
		cmocka_unit_test(what_comes_after_next_and_before_it_is_woken_keeps_its_order),
		cmocka_unit_test(hold_and_next_inside_the_upcall_go_on_at_once),
		cmocka_unit_test(after_the_end_there_is_nothing_to_hold),
		cmocka_unit_test(a_timer_may_say_next),
		cmocka_unit_test(a_held_message_stops_the_sender_at_its_window),
		cmocka_unit_test(who_takes_each_message_gets_all_of_them_through_any_window),
		cmocka_unit_test(what_is_held_and_kept_counts_against_the_budget),
		cmocka_unit_test(a_sender_hears_that_it_is_too_fast_and_when_to_go_on),
		cmocka_unit_test(nothing_is_sent_after_the_end),
		cmocka_unit_test(a_message_over_the_senders_limit_ends_the_call),
		cmocka_unit_test(the_deadline_ends_a_stream_in_its_middle),
		cmocka_unit_test(a_deadline_does_not_wait_for_the_window),
		cmocka_unit_test(a_client_may_go_away_at_any_time),
		cmocka_unit_test(a_call_may_be_ended_in_each_upcall),
		cmocka_unit_test(a_stream_without_an_end_hears_that_the_connection_drains),
		cmocka_unit_test(refused_uploads_leave_the_connections_window_whole),
		cmocka_unit_test(request_trailers_end_a_stream_and_mean_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

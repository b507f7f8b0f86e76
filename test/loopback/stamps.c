/* When a call was sent, and when its end came, on the clock of the channel's timers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "far.h"

#define STREAMS_1 3, 1 /* SETTINGS_MAX_CONCURRENT_STREAMS */
#define MS        NS_PER_MS

static int64_t begin(struct far *far)
{
	far_init(far, NULL);
	return far->now_ns;
}

static void answer(struct far_end *server, uint32_t stream)
{
	far_respond(server, stream);
	far_message(server, stream, 0, STR("x"));
	far_finish(server, stream, "0");
}

static void ask(struct far *far, struct caller *caller, const struct grpc_call_options *options)
{
	assert_non_null(far_call(far, caller, CALLER_UNARY, options));
	caller_send(caller, STR("ask"));
	grpc_call_half_close(caller->call);
	far_run(far);
}

static void assert_stamps(const struct caller *caller, int64_t started_ns, int64_t sent_ns,
			  int64_t ended_ns)
{
	assert_int_equal(caller->closed, 1);
	assert_int_equal(caller->started_ns, started_ns);
	assert_int_equal(caller->sent_ns, sent_ns);
	assert_int_equal(caller->ended_ns, ended_ns);
}

static void a_call_is_sent_when_its_headers_leave_and_ends_with_its_status(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &caller, NULL);
	assert_int_equal(grpc_call_sent_ns(caller.call), -1);
	far_advance(&far, 5 * MS);
	far_hello(far_end(&far));
	assert_int_equal(grpc_call_sent_ns(caller.call), began_ns + 5 * MS);
	far_advance(&far, 2 * MS);
	far_respond(far_end(&far), 1);
	far_message(far_end(&far), 1, 0, STR("x"));
	far_advance(&far, 4 * MS);
	far_finish(far_end(&far), 1, "0");
	assert_stamps(&caller, began_ns, began_ns + 5 * MS, began_ns + 11 * MS);
	far_deinit(&far);
	caller_deinit(&caller);
}

static void a_call_that_waits_for_a_stream_is_sent_when_it_has_one(void **state)
{
	struct far far;
	struct caller first = { 0 }, second = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &first, NULL);
	far_settings(far_end(&far), STREAMS_1, 0);
	ask(&far, &second, NULL);
	far_advance(&far, 3 * MS);
	assert_int_equal(grpc_call_sent_ns(second.call), -1);
	answer(far_end(&far), 1);
	far_advance(&far, 1 * MS);
	answer(far_end(&far), 3);
	assert_stamps(&first, began_ns, began_ns, began_ns + 3 * MS);
	assert_stamps(&second, began_ns, began_ns + 3 * MS, began_ns + 4 * MS);
	far_deinit(&far);
	caller_deinit(&first);
	caller_deinit(&second);
}

/* Though its memory, and the stream in it, is that of one which was. */
static void a_call_that_never_had_a_stream_was_not_sent(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &caller, NULL);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	assert_stamps(&caller, began_ns, began_ns, began_ns);
	far_close(far_end(&far), -ECONNRESET);
	far.hold = true;
	ask(&far, &caller, &(struct grpc_call_options){ .timeout_ns = 5 * MS });
	far_advance(&far, 5 * MS);
	assert_stamps(&caller, began_ns, -1, began_ns + 5 * MS);
	far.hold = false;
	far_deinit(&far);
	caller_deinit(&caller);
}

/* It had a stream, whose HEADERS were still in the channel's hands when the connection went. */
static void a_call_whose_headers_never_left_was_not_sent(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &caller, NULL);
	far_end(&far)->mute = true;
	far_hello(far_end(&far));
	assert_int_equal(grpc_call_attempts(caller.call), 1);
	assert_int_equal(grpc_call_sent_ns(caller.call), -1);
	grpc_call_cancel(caller.call, GRPC_CANCELLED);
	far_close(far_end(&far), -ECONNRESET);
	far_run(&far);
	assert_stamps(&caller, began_ns, -1, began_ns);
	far_deinit(&far);
	caller_deinit(&caller);
}

static void of_several_attempts_the_latest_counts(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &caller, NULL);
	far_hello(far_end(&far));
	far_advance(&far, 7 * MS);
	assert_int_equal(grpc_call_sent_ns(caller.call), began_ns);
	far_reset(far_end(&far), 1, HTTP2_REFUSED_STREAM);
	assert_int_equal(grpc_call_sent_ns(caller.call), began_ns + 7 * MS);
	far_advance(&far, 1 * MS);
	answer(far_end(&far), 3);
	assert_stamps(&caller, began_ns, began_ns + 7 * MS, began_ns + 8 * MS);
	far_deinit(&far);
	caller_deinit(&caller);
}

/* `closed` may come later: with the next production. */
static void an_end_that_is_decided_here_came_then(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t began_ns = begin(&far);

	(void)state;
	ask(&far, &caller, NULL);
	far_hello(far_end(&far));
	far.now_ns += 2 * MS;
	grpc_call_cancel(caller.call, GRPC_CANCELLED);
	far_advance(&far, 2 * MS);
	assert_stamps(&caller, began_ns, began_ns, began_ns + 2 * MS);
	ask(&far, &caller, &(struct grpc_call_options){ .timeout_ns = 3 * MS });
	far_advance(&far, 3 * MS);
	assert_stamps(&caller, began_ns + 4 * MS, began_ns + 4 * MS, began_ns + 7 * MS);
	/* a page of HTTP: its status says it, and the page itself is still heard */
	ask(&far, &caller, NULL);
	far_advance(&far, 1 * MS);
	far_headers(far_end(&far), 5, 0, ":status", "404", NULL);
	far_advance(&far, 9 * MS);
	far_message(far_end(&far), 5, 0, STR("no such page"));
	far_headers(far_end(&far), 5, FAR_END_STREAM, "x", "y", NULL);
	assert_stamps(&caller, began_ns + 7 * MS, began_ns + 7 * MS, began_ns + 8 * MS);
	far_deinit(&far);
	caller_deinit(&caller);
}

static void an_end_that_waits_behind_a_held_message_came_when_it_came(void **state)
{
	struct far far;
	struct caller caller = { .hold = true };
	int64_t began_ns = begin(&far);

	(void)state;
	far_call(&far, &caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	far_respond(far_end(&far), 1);
	far_message(far_end(&far), 1, 0, STR("held"));
	far_advance(&far, 2 * MS);
	far_finish(far_end(&far), 1, "0");
	far_advance(&far, 5 * MS);
	assert_int_equal(caller.closed, 0);
	grpc_call_next(caller.call);
	far_run(&far);
	assert_stamps(&caller, began_ns, began_ns, began_ns + 2 * MS);
	far_deinit(&far);
	caller_deinit(&caller);
}

/* HEADERS with grpc-status 5 alone, for streams 1 and 3. */
#define ANSWER(id)                                 \
	"\0\0\x23\1\5\0\0\0" id "\x88\x0f\x10\x10" \
	"application/grpc"                         \
	"\0\x0b"                                   \
	"grpc-status"                              \
	"\1"                                       \
	"5"

static void what_moves_together_has_one_reading_of_the_clock(void **state)
{
	static const char answers[] = ANSWER("\1") ANSWER("\3");
	struct far far;
	struct caller first = { 0 }, second = { 0 };

	(void)state;
	begin(&far);
	ask(&far, &first, NULL);
	ask(&far, &second, NULL);
	far.tick_ns = 1;
	far_hello(far_end(&far));
	far_say(far_end(&far), (struct str){ answers, sizeof(answers) - 1 });
	assert_int_equal(first.outcome.status, GRPC_NOT_FOUND);
	assert_int_equal(second.outcome.status, GRPC_NOT_FOUND);
	assert_int_equal(first.sent_ns, second.sent_ns);
	assert_int_equal(first.ended_ns, second.ended_ns);
	assert_true(second.started_ns < second.sent_ns);
	assert_true(second.sent_ns < second.ended_ns);
	assert_true(second.ended_ns < far.now_ns);
	far_deinit(&far);
	caller_deinit(&first);
	caller_deinit(&second);
}

/* Calls that others make within their upcalls, on a clock that does not stand still. */
struct chain {
	struct caller caller; /* first */
	struct far *far;
	struct caller *next, *after_next;
};

static void make_next(struct caller *caller)
{
	struct chain *chain = (struct chain *)caller;

	if (chain->next) {
		assert_non_null(far_call(chain->far, chain->next, CALLER_CHAT, NULL));
		chain->next = chain->after_next;
		chain->after_next = NULL;
	}
}

static void make_both(struct caller *caller)
{
	make_next(caller);
	make_next(caller);
}

static void assert_order(const struct caller *caller)
{
	assert_int_equal(caller->closed, 1);
	assert_true(caller->started_ns < caller->sent_ns);
	assert_true(caller->sent_ns < caller->ended_ns);
}

/* The second is made within the production that has looked at the clock for the first. */
static void a_call_is_never_sent_before_it_is_made(void **state)
{
	static char text[100000];
	struct far far;
	struct caller second = { 0 }, third = { 0 };
	struct chain first = { { .on_writable = make_next }, &far, &second };

	(void)state;
	begin(&far);
	far_call(&far, &third, CALLER_CHAT, NULL);
	far_run(&far);
	far_settings(far_end(&far), 4, MIB, 0);
	far_window(far_end(&far), 0, MIB);
	far.tick_ns = 1;
	far_call(&far, &first.caller, CALLER_CHAT, NULL);
	assert_int_equal(caller_send(&first.caller, (struct str){ text, sizeof(text) }), 1);
	far_run(&far);
	assert_string_equal(caller_log(&first.caller), "writable; ");
	assert_non_null(far_heard(far_end(&far), FAR_HEADERS, 5, 0));
	for (uint32_t id = 1; id <= 5; id += 2) {
		answer(far_end(&far), id);
	}
	assert_order(&first.caller);
	assert_order(&second);
	far_deinit(&far);
	caller_deinit(&first.caller);
	caller_deinit(&second);
	caller_deinit(&third);
}

static void a_call_that_is_made_behind_another_is_not_sent_before_it(void **state)
{
	struct far far;
	struct caller second = { 0 }, third = { 0 };
	struct chain first = { { .on_closed = make_both }, &far, &second, &third };

	(void)state;
	begin(&far);
	far.tick_ns = 1;
	far_call(&far, &first.caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	for (uint32_t id = 1; id <= 5; id += 2) {
		answer(far_end(&far), id);
	}
	assert_order(&first.caller);
	assert_order(&second);
	assert_order(&third);
	far_deinit(&far);
	caller_deinit(&first.caller);
	caller_deinit(&second);
	caller_deinit(&third);
}

/* And one that is made within the receipt of an answer does not end before it is sent. */
static void a_call_made_while_an_answer_is_read_has_its_times_in_order(void **state)
{
	struct far far;
	struct caller second = { 0 };
	struct chain first = { { .on_message = make_next }, &far, &second };

	(void)state;
	begin(&far);
	far.tick_ns = 1;
	far_call(&far, &first.caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	answer(far_end(&far), 3);
	assert_order(&first.caller);
	assert_order(&second);
	far_deinit(&far);
	caller_deinit(&first.caller);
	caller_deinit(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_sent_when_its_headers_leave_and_ends_with_its_status),
		cmocka_unit_test(a_call_that_waits_for_a_stream_is_sent_when_it_has_one),
		cmocka_unit_test(a_call_that_never_had_a_stream_was_not_sent),
		cmocka_unit_test(a_call_whose_headers_never_left_was_not_sent),
		cmocka_unit_test(of_several_attempts_the_latest_counts),
		cmocka_unit_test(an_end_that_is_decided_here_came_then),
		cmocka_unit_test(an_end_that_waits_behind_a_held_message_came_when_it_came),
		cmocka_unit_test(what_moves_together_has_one_reading_of_the_clock),
		cmocka_unit_test(a_call_is_never_sent_before_it_is_made),
		cmocka_unit_test(a_call_that_is_made_behind_another_is_not_sent_before_it),
		cmocka_unit_test(a_call_made_while_an_answer_is_read_has_its_times_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

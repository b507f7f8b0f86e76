/*
 * Calls that wait for a stream because the peer admits no more, and connections that
 * are renewed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "far.h"

#define MAX_STREAMS 3 /* SETTINGS_MAX_CONCURRENT_STREAMS */
#define DONE        "opened; message(x); closed(OK, peer); "

static void answer(struct far_end *server, uint32_t stream)
{
	far_respond(server, stream);
	far_message(server, stream, 0, STR("x"));
	far_finish(server, stream, "0");
}

static void ask(struct far *far, struct caller *caller)
{
	assert_non_null(far_call(far, caller, CALLER_UNARY, NULL));
	caller_send(caller, STR("ask"));
	grpc_call_half_close(caller->call);
	far_run(far);
}

static void end(struct far *far, struct caller *callers, size_t n)
{
	far_deinit(far);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(callers[i].closed, 1);
		caller_deinit(&callers[i]);
	}
}

#define ASSERT_WAITS(far, n) assert_int_equal(counter_read(&(far).stream_waits), n)

static void a_call_that_finds_the_peers_limit_reached_counts_once(void **state)
{
	struct far far;
	struct caller callers[5] = { 0 };

	(void)state;
	far_init(&far, NULL);
	for (int i = 0; i < 3; i++) {
		ask(&far, &callers[i]);
	}
	far_advance(&far, NS_PER_S);
	ASSERT_WAITS(far, 0); /* these wait for a connection */
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	ASSERT_WAITS(far, 2);
	ask(&far, &callers[3]);
	ASSERT_WAITS(far, 3);
	answer(far_end(&far), 1);
	answer(far_end(&far), 3);
	ASSERT_WAITS(far, 3);
	ask(&far, &callers[4]);
	ASSERT_WAITS(far, 4);
	answer(far_end(&far), 5);
	answer(far_end(&far), 7);
	answer(far_end(&far), 9);
	ASSERT_WAITS(far, 4);
	end(&far, callers, 5);
}

/* In the memory of one that did: the mark is not inherited. */
static void a_call_within_the_limit_does_not_count(void **state)
{
	struct far far;
	struct caller callers[2] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	ask(&far, &callers[1]);
	ASSERT_WAITS(far, 1);
	answer(far_end(&far), 1);
	answer(far_end(&far), 3);
	for (uint32_t id = 5; id <= 9; id += 2) {
		ask(&far, &callers[0]);
		answer(far_end(&far), id);
	}
	ASSERT_WAITS(far, 1);
	ask(&far, &callers[0]);
	ask(&far, &callers[1]);
	ASSERT_WAITS(far, 2);
	answer(far_end(&far), 11);
	answer(far_end(&far), 13);
	end(&far, callers, 2);
}

/* It was given a stream at first, and then there was none; it goes before those that wait. */
static void a_call_that_is_sent_anew_counts_once_too(void **state)
{
	struct far far;
	struct caller callers[3] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	ask(&far, &callers[1]);
	ASSERT_WAITS(far, 1);
	far_settings(far_end(&far), MAX_STREAMS, 0, 0);
	far_reset(far_end(&far), 1, HTTP2_REFUSED_STREAM);
	ask(&far, &callers[2]);
	ASSERT_WAITS(far, 3);
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	for (uint32_t id = 3; id <= 7; id += 2) {
		answer(far_end(&far), id);
	}
	ASSERT_WAITS(far, 3);
	end(&far, callers, 3);
}

static void a_call_that_finds_a_goodbye_waits_for_a_connection(void **state)
{
	struct far far;
	struct caller callers[2] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	far_goaway(far_end(&far), 1, HTTP2_NO_ERROR, "");
	ask(&far, &callers[1]);
	ASSERT_WAITS(far, 0);
	far_hello(far_end(&far));
	answer(&far.ends[0], 1);
	answer(far_end(&far), 1);
	end(&far, callers, 2);
}

/* Nor one on a connection whose stream ids have just run out. */
static void a_call_that_finds_no_stream_ids_waits_for_a_connection(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct far far;
	struct caller callers[3] = { 0 };

	(void)state;
	limits.max_stream_id = 3;
	far_init(&far, &(struct far_options){ .channel.http2 = &limits });
	ask(&far, &callers[0]);
	far_hello(far_end(&far));
	far_call(&far, &callers[1], CALLER_CHAT, NULL);
	far_call(&far, &callers[2], CALLER_CHAT, NULL);
	far_run(&far);
	assert_int_equal(far.n_ends, 2);
	far_hello(far_end(&far));
	answer(&far.ends[0], 1);
	answer(&far.ends[0], 3);
	answer(&far.ends[1], 1);
	ASSERT_WAITS(far, 0);
	end(&far, callers, 3);
}

/* -- Renewal -- */

static void a_renewed_connection_ends_with_the_calls_that_it_has(void **state)
{
	struct far far;
	struct caller callers[2] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_hello(far_end(&far));
	grpc_channel_renew(far.channel);
	far_run(&far);
	assert_non_null(far_heard(far_end(&far), FAR_GOAWAY, 0, 0));
	assert_int_equal(far.connects, 1); /* nobody waits */
	ask(&far, &callers[1]);
	assert_int_equal(far.connects, 2); /* at once */
	far_hello(far_end(&far));
	answer(&far.ends[1], 1);
	assert_non_null(far.ends[0].engine);
	answer(&far.ends[0], 1);
	assert_null(far.ends[0].engine);
	assert_non_null(far.ends[1].engine);
	assert_string_equal(caller_log(&callers[0]), DONE);
	assert_string_equal(caller_log(&callers[1]), DONE);
	assert_string_equal(far_log(&far), "CONNECTING READY IDLE CONNECTING READY ");
	assert_int_equal(counter_read(&far.connects_failed), 0);
	end(&far, callers, 2);
}

static void only_the_one_connection_is_renewed(void **state)
{
	struct far far;
	struct caller callers[2] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_hello(far_end(&far));
	far_goaway(far_end(&far), 1, HTTP2_NO_ERROR, "");
	ask(&far, &callers[1]);
	far_hello(far_end(&far));
	grpc_channel_renew(far.channel);
	far_run(&far);
	assert_null(far_heard(&far.ends[0], FAR_GOAWAY, 0, 0)); /* the server ends it */
	assert_non_null(far_heard(&far.ends[1], FAR_GOAWAY, 0, 0));
	answer(&far.ends[0], 1);
	answer(&far.ends[1], 1);
	end(&far, callers, 2);
}

static void calls_that_wait_for_a_stream_go_to_the_successor(void **state)
{
	struct far far;
	struct caller callers[2] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_settings(far_end(&far), MAX_STREAMS, 1, 0);
	ask(&far, &callers[1]);
	grpc_channel_renew(far.channel);
	far_run(&far);
	assert_int_equal(far.n_ends, 2);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	assert_string_equal(caller_log(&callers[1]), DONE);
	assert_int_equal(callers[1].attempts, 1);
	answer(&far.ends[0], 1);
	end(&far, callers, 2);
}

/* However often, and though no call was answered: it was not the server that ended them. */
static void renewal_grows_no_backoff(void **state)
{
	struct far far;
	struct caller callers[6] = { 0 };
	int64_t began_ns;

	(void)state;
	far_init(&far, NULL);
	began_ns = far.now_ns;
	for (unsigned i = 0; i < 6; i++) {
		ask(&far, &callers[i]);
		assert_int_equal(far.connects, i + 1);
		far_hello(far_end(&far));
		grpc_channel_renew(far.channel);
		grpc_channel_renew(far.channel);
		far_run(&far);
	}
	assert_int_equal(far.now_ns, began_ns);
	for (unsigned i = 0; i < 6; i++) {
		answer(&far.ends[i], 1);
		assert_null(far.ends[i].engine);
	}
	end(&far, callers, 6);
}

static void without_a_connection_there_is_nothing_to_renew(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	grpc_channel_renew(far.channel);
	far_run(&far);
	assert_string_equal(far_log(&far), "");
	far.refuse = true;
	ask(&far, &caller);
	assert_string_equal(far_log(&far), "FAILURE ");
	grpc_channel_renew(far.channel); /* and the backoff is not cut short */
	far_advance(&far, NS_PER_S - 1);
	assert_string_equal(far_log(&far), "FAILURE ");
	far.refuse = false;
	far_advance(&far, 1);
	ask(&far, &caller);
	grpc_channel_renew(far.channel); /* the peer's SETTINGS have not come */
	far_run(&far);
	assert_int_equal(far.n_ends, 1);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	assert_string_equal(caller_log(&caller), DONE);
	end(&far, &caller, 1);
}

static struct far *renewed;

static void renew(struct caller *caller)
{
	(void)caller;
	grpc_channel_renew(renewed->channel);
}

static void renewal_is_legal_inside_an_upcall(void **state)
{
	struct far far;
	struct caller caller = { .on_message = renew };

	(void)state;
	far_init(&far, NULL);
	renewed = &far;
	for (int i = 0; i < 3; i++) {
		ask(&far, &caller);
		far_hello(far_end(&far));
		answer(far_end(&far), 1);
		assert_string_equal(caller_log(&caller), DONE);
		assert_null(far_end(&far)->engine);
	}
	assert_int_equal(far.n_ends, 3);
	end(&far, &caller, 1);
}

/* -- Loss -- */

static void a_connection_that_ends_without_a_goodbye_is_lost(void **state)
{
	struct far far;
	struct caller callers[4] = { 0 };

	(void)state;
	far_init(&far, NULL);
	ask(&far, &callers[0]);
	far_hello(far_end(&far));
	far_close(far_end(&far), -ECONNRESET);
	assert_int_equal(counter_read(&far.connections_lost), 1);
	ask(&far, &callers[1]); /* the server's goodbye */
	far_hello(far_end(&far));
	far_goaway(far_end(&far), 1, HTTP2_NO_ERROR, "");
	far_close(far_end(&far), 0);
	ask(&far, &callers[2]); /* ours */
	far_hello(far_end(&far));
	grpc_channel_renew(far.channel);
	far_run(&far);
	far_close(far_end(&far), 0);
	ask(&far, &callers[3]); /* it never was one */
	far_close(far_end(&far), 0);
	assert_int_equal(counter_read(&far.connections_lost), 1);
	end(&far, callers, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_finds_the_peers_limit_reached_counts_once),
		cmocka_unit_test(a_call_within_the_limit_does_not_count),
		cmocka_unit_test(a_call_that_is_sent_anew_counts_once_too),
		cmocka_unit_test(a_call_that_finds_a_goodbye_waits_for_a_connection),
		cmocka_unit_test(a_call_that_finds_no_stream_ids_waits_for_a_connection),
		cmocka_unit_test(a_renewed_connection_ends_with_the_calls_that_it_has),
		cmocka_unit_test(only_the_one_connection_is_renewed),
		cmocka_unit_test(calls_that_wait_for_a_stream_go_to_the_successor),
		cmocka_unit_test(renewal_grows_no_backoff),
		cmocka_unit_test(without_a_connection_there_is_nothing_to_renew),
		cmocka_unit_test(renewal_is_legal_inside_an_upcall),
		cmocka_unit_test(a_connection_that_ends_without_a_goodbye_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

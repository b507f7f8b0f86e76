/*
 * A channel's connections: when it asks for one, when not yet, and what calls
 * hear meanwhile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "far.h"

#define ASSERT_LOG(caller, expected) assert_string_equal(caller_log(&(caller)), expected)
#define WAITING                      (&(struct grpc_call_options){ .wait_for_ready = true })

static void forget(struct far *far)
{
	buffer_clear(&far->log);
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
	caller_deinit(caller);
}

static void calls_wait_while_a_connection_is_made(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY, NULL);
	grpc_call_half_close(caller.call);
	assert_string_equal(far_log(&far), "");
	far_run(&far);
	assert_string_equal(far_log(&far), "CONNECTING ");
	far_advance(&far, 5 * NS_PER_S);
	ASSERT_LOG(caller, "");
	far_hello(far_end(&far));
	assert_string_equal(far_log(&far), "CONNECTING READY ");
	answer(far_end(&far), 1);
	ASSERT_LOG(caller, "opened; message(x); closed(OK, peer); ");
	assert_int_equal(caller.attempts, 1);
	end(&far, &caller);
}

static void a_failed_attempt_fails_who_waited_and_who_comes_during_the_backoff(void **state)
{
	struct far far;
	struct caller caller = { 0 }, patient = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, NULL);
	far_run(&far);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, transport, unprocessed); ");
	assert_string_equal(caller.text, "nobody listens");
	assert_int_equal(caller.attempts, 0);
	assert_string_equal(far_log(&far), "FAILURE "); /* at once, so no word of CONNECTING */
	/* at once, without an attempt of its own, and told why */
	far_call(&far, &caller, CALLER_UNARY, NULL);
	assert_int_equal(caller.closed, 0); /* never from inside */
	far_run(&far);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, transport, unprocessed); ");
	assert_string_equal(caller.text, "nobody listens");
	assert_int_equal(far.connects, 1);
	/* one that waits for ready is served by the next attempt */
	far_call(&far, &patient, CALLER_UNARY, WAITING);
	far_advance(&far, NS_PER_S - 1);
	ASSERT_LOG(patient, "");
	assert_int_equal(far.connects, 1);
	far.refuse = false;
	far_advance(&far, 1);
	assert_int_equal(far.connects, 2);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	ASSERT_LOG(patient, "opened; message(x); closed(OK, peer); ");
	assert_int_equal(counter_read(&far.connects_failed), 1);
	caller_deinit(&patient);
	end(&far, &caller);
}

static void without_calls_the_end_of_the_backoff_asks_for_nothing(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, NULL);
	far_run(&far);
	far_advance(&far, 100 * NS_PER_S);
	assert_int_equal(far.connects, 1);
	assert_string_equal(far_log(&far), "FAILURE IDLE ");
	end(&far, &caller);
}

/* When each attempt begins, in ms since the one before. */
static int64_t next_attempt(struct far *far)
{
	unsigned before = far->connects;
	int64_t from_ns = far->now_ns;

	while (far->connects == before) {
		far_advance(far, NS_PER_MS);
		assert_true(far->now_ns - from_ns < 200 * NS_PER_S);
	}
	return (far->now_ns - from_ns) / NS_PER_MS;
}

static void waits_grow_up_to_two_minutes(void **state)
{
	static const int64_t waits_ms[] = { 1000,  1600,  2560,  4096,   6554,   10486, 16778,
					    26844, 42950, 68720, 109952, 120000, 120000 };
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far);
	for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
		assert_int_equal(next_attempt(&far), waits_ms[i]);
	}
	ASSERT_LOG(caller, "");
	end(&far, &caller);
}

static void waits_are_spread_by_a_fifth(void **state)
{
	struct far far;
	struct caller caller = { 0 };
	int64_t low = INT64_MAX, high = 0;

	(void)state;
	far_init(&far, &(struct far_options){ .jitter = true,
					      .channel.backoff = { .max_ns = 1 * NS_PER_S } });
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far);
	for (int i = 0; i < 200; i++) {
		int64_t wait = next_attempt(&far);

		low = MIN(low, wait);
		high = MAX(high, wait);
	}
	assert_in_range(low, 800, 820);
	assert_in_range(high, 1180, 1201);
	end(&far, &caller);
}

static void the_backoff_counts_from_the_start_of_the_attempt(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = far.hold = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far);
	far_advance(&far, 700 * NS_PER_MS); /* so long it takes to fail */
	far.hold = false;
	far_run(&far);
	assert_int_equal(next_attempt(&far), 300);
	/* and one that took longer than its backoff is followed at once */
	far.hold = true;
	far_advance(&far, 2000 * NS_PER_MS);
	assert_int_equal(far.connects, 3);
	far.hold = false;
	far_run(&far);
	end(&far, &caller);
}

static void settings_reset_the_backoff_and_a_transport_alone_does_not(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far);
	assert_int_equal(next_attempt(&far), 1000);
	far.refuse = false;
	assert_int_equal(next_attempt(&far), 1600);
	far_close(far_end(&far), -ECONNRESET); /* connected, and no SETTINGS */
	far.refuse = true;
	far_run(&far);
	assert_int_equal(next_attempt(&far), 2560);
	far.refuse = false;
	assert_int_equal(next_attempt(&far), 4096);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	ASSERT_LOG(caller, "opened; message(x); closed(OK, peer); ");
	far_close(far_end(&far), -ECONNRESET);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far); /* lost after service: asked anew at once */
	assert_int_equal(far.connects, 6);
	assert_int_equal(next_attempt(&far), 1000);
	/* SETTINGS alone do the same, the first time */
	far.refuse = false;
	assert_int_equal(next_attempt(&far), 1600);
	far_end(&far)->mute = true;
	far_hello(far_end(&far));
	far_close(far_end(&far), -ECONNRESET);
	far.refuse = true;
	far_run(&far);
	assert_int_equal(next_attempt(&far), 1000);
	end(&far, &caller);
}

/* A server that takes connections only to end them is not hammered. */
static void connections_that_serve_nobody_back_off(void **state)
{
	static const int64_t waits_ms[] = { 0, 1000, 1600, 2560, 4096 };
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	for (int how = 0; how < 2; how++) {
		far_init(&far, NULL);
		far_call(&far, &caller, CALLER_UNARY, WAITING);
		far_run(&far);
		for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
			unsigned before = far.connects;

			far_hello(far_end(&far));
			if (how == 0) {
				far_goaway(far_end(&far), 0, HTTP2_NO_ERROR, "");
			} else {
				/* answers that are no answers */
				far_reset(far_end(&far), 1, HTTP2_REFUSED_STREAM);
				far_close(far_end(&far), -ECONNRESET);
				far_run(&far);
			}
			if (caller.closed) { /* the server said so twice */
				far_call(&far, &caller, CALLER_UNARY, WAITING);
				far_run(&far);
			}
			if (waits_ms[i] > 0) {
				assert_int_equal(far.connects, before);
				assert_int_equal(next_attempt(&far), waits_ms[i]);
			}
			assert_int_equal(far.connects, before + 1);
		}
		end(&far, &caller);
		caller = (struct caller){ 0 };
	}
}

/* Without waiting for ready the second such connection is the end of a call. */
static void a_call_turned_away_twice_ends(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	far_goaway(far_end(&far), 0, HTTP2_NO_ERROR, "");
	ASSERT_LOG(caller, "");
	far_hello(far_end(&far));
	far_goaway(far_end(&far), 0, HTTP2_NO_ERROR, "");
	ASSERT_LOG(caller, "closed(UNAVAILABLE, peer, unprocessed); ");
	assert_non_null(strstr(caller.text, "before it answered a call"));
	assert_int_equal(far.connects, 2);
	end(&far, &caller);
}

/* It comes back to wait when the backoff has begun: there is nothing to wait for. */
static void a_call_that_never_left_ends_with_the_second_such_connection(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY, NULL);
	far_run(&far);
	for (int i = 0; i < 2; i++) {
		struct far_end *server = far_end(&far);

		ASSERT_LOG(caller, "");
		server->mute = true;
		far_hello(server);
		far_goaway(server, 0, HTTP2_NO_ERROR, "");
		server->mute = false;
		far_run(&far);
	}
	ASSERT_LOG(caller, "closed(UNAVAILABLE, peer, unprocessed); ");
	assert_int_equal(far.connects, 2);
	end(&far, &caller);
}

static void a_peer_that_speaks_something_else_is_named(void **state)
{
	static const struct {
		struct str said;
		const char *word;
	} peers[] = {
		{ STR_INIT("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
		  "HTTP/1, not HTTP/2: \"HTTP/1.1" },
		{ STR_INIT("\x15\x03\x01\0\2\2\x46"), "TLS" },
		{ STR_INIT("\x16\x03\x03\0\x30\2\0\0\x2c"), "TLS" },
		{ STR_INIT("SSH-2.0-OpenSSH_9.2p1\r\n"), "SSH, not HTTP/2: \"SSH-2.0-" },
		{ STR_INIT("220 mail.example.org ESMTP\r\n"), "it said \"220 mail" },
		{ STR_INIT("\1\2\3"), "closed the connection before it spoke HTTP/2" },
		{ STR_INIT(""), "closed the connection before it spoke HTTP/2" },
	};

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
			struct far far;
			struct caller caller = { 0 };

			far_init(&far, &(struct far_options){ .seed = seed });
			far_call(&far, &caller, CALLER_UNARY, NULL);
			far_run(&far);
			far_say(far_end(&far), peers[i].said);
			if (far_end(&far)->engine) {
				far_end(&far)->engine->ops->end_of_input(far_end(&far)->engine);
			}
			far_run(&far);
			ASSERT_LOG(caller, "closed(UNAVAILABLE, transport, unprocessed); ");
			assert_non_null(strstr(caller.text, peers[i].word));
			end(&far, &caller);
		}
	}
}

static void a_peer_that_says_nothing_is_given_up(void **state)
{
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_UNARY, NULL);
	far_run(&far);
	far_advance(&far, 9 * NS_PER_S);
	ASSERT_LOG(caller, "");
	far_advance(&far, 2 * NS_PER_S);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, transport, unprocessed); ");
	assert_string_equal(caller.text, "the server took the connection, and said nothing");
	end(&far, &caller);
}

/* A deadline says what the call had waited for. */
static void a_deadline_while_waiting_says_for_what(void **state)
{
	const struct grpc_call_options short_call = { .timeout_ns = NS_PER_S };
	const struct grpc_call_options patient = { .timeout_ns = 30 * NS_PER_S,
						   .wait_for_ready = true };
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.hold = true;
	far_call(&far, &caller, CALLER_UNARY, &short_call);
	far_run(&far);
	far_advance(&far, NS_PER_S);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, transport, unprocessed); ");
	assert_string_equal(caller.text, "deadline exceeded before there was a connection");
	far.hold = false;
	far_call(&far, &caller, CALLER_UNARY, &short_call);
	far_run(&far);
	far_advance(&far, NS_PER_S);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, transport, unprocessed); ");
	assert_string_equal(caller.text, "deadline exceeded: the server took the connection, and "
					 "spoke no HTTP/2 in time");
	far_call(&far, &caller, CALLER_UNARY, &short_call);
	far_settings(far_end(&far), 3, 0, 0); /* no streams at all */
	far_advance(&far, NS_PER_S);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, here, unprocessed); ");
	assert_string_equal(caller.text,
			    "deadline exceeded before the server admitted another stream");
	far_close(far_end(&far), -ECONNRESET);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, &patient);
	far_run(&far);
	far_advance(&far, 30 * NS_PER_S);
	ASSERT_LOG(caller, "closed(DEADLINE_EXCEEDED, transport, unprocessed); ");
	assert_string_equal(caller.text, "deadline exceeded before there was a connection: "
					 "nobody listens");
	end(&far, &caller);
}

static void a_limit_of_one_stream_makes_calls_take_turns(void **state)
{
	enum { CALLS = 15 };
	struct caller callers[CALLS] = { 0 };
	struct far far;

	(void)state;
	far_init(&far, NULL);
	for (size_t i = 0; i < CALLS; i++) {
		far_call(&far, &callers[i], CALLER_UNARY, NULL);
		grpc_call_half_close(callers[i].call);
	}
	far_run(&far);
	far_settings(far_end(&far), 3, 1, 0);
	for (uint32_t i = 0; i < CALLS; i++) {
		assert_non_null(far_heard(far_end(&far), FAR_HEADERS, 2 * i + 1, 0));
		assert_null(far_heard(far_end(&far), FAR_HEADERS, 2 * i + 3, 0));
		answer(far_end(&far), 2 * i + 1);
		ASSERT_LOG(callers[i], "opened; message(x); closed(OK, peer); ");
		caller_deinit(&callers[i]);
	}
	far_deinit(&far);
}

static void after_a_goaway_new_calls_go_elsewhere_and_old_ones_end_where_they_are(void **state)
{
	struct far far;
	struct caller old = { 0 }, young = { 0 };
	struct far_end *first;

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &old, CALLER_CHAT, NULL);
	far_run(&far);
	first = far_end(&far);
	far_hello(first);
	far_respond(first, 1);
	far_goaway(first, 0x7fffffff, HTTP2_NO_ERROR, "");
	far_goaway(first, 1, HTTP2_NO_ERROR, "max_age");
	assert_string_equal(far_log(&far), "CONNECTING READY goaway(0) IDLE goaway(0 max_age) ");
	far_call(&far, &young, CALLER_UNARY, NULL);
	far_run(&far);
	assert_int_equal(far.n_ends, 2);
	far_hello(far_end(&far));
	answer(far_end(&far), 1);
	ASSERT_LOG(young, "opened; message(x); closed(OK, peer); ");
	assert_non_null(first->engine);
	far_message(first, 1, 0, STR("still"));
	far_finish(first, 1, "0");
	ASSERT_LOG(old, "opened; message(still); closed(OK, peer); ");
	assert_null(first->engine); /* its last call has ended */
	assert_non_null(far_end(&far)->engine);
	caller_deinit(&young);
	end(&far, &old);
}

/* A server that hands its connections on quickly, and answers slowly, is a good one. */
static void a_connection_that_ends_before_its_first_answer_may_still_serve(void **state)
{
	struct far far;
	struct caller callers[6] = { 0 };

	(void)state;
	far_init(&far, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		far_call(&far, &callers[i], CALLER_CHAT, NULL);
		far_run(&far);
		assert_int_equal(far.n_ends, i + 1);
		far_hello(far_end(&far));
		far_goaway(far_end(&far), 1, HTTP2_NO_ERROR, "max_age");
		far_respond(far_end(&far), 1);
		assert_int_equal(grpc_channel_state(far.channel), GRPC_CHANNEL_IDLE);
	}
	assert_int_equal(counter_read(&far.connects_failed), 0);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		far_finish(&far.ends[i], 1, "0");
		ASSERT_LOG(callers[i], "opened; closed(OK, peer); ");
		caller_deinit(&callers[i]);
	}
	far_deinit(&far);
}

static void stream_ids_that_run_out_open_another_connection(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct far far;
	struct caller callers[5] = { 0 };

	(void)state;
	limits.max_stream_id = 5;
	far_init(&far, &(struct far_options){ .channel.http2 = &limits });
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		far_call(&far, &callers[i], CALLER_CHAT, NULL);
		far_run(&far);
		if (i == 0) {
			far_hello(far_end(&far));
		}
		if (i < 3) {
			far_respond(&far.ends[0], (uint32_t)(2 * i + 1));
		}
	}
	assert_int_equal(far.n_ends, 2);
	far_hello(far_end(&far));
	assert_non_null(far_heard(&far.ends[1], FAR_HEADERS, 1, 0));
	for (uint32_t id = 1; id <= 5; id += 2) {
		far_finish(&far.ends[0], id, "0");
		ASSERT_LOG(callers[id / 2], "opened; closed(OK, peer); ");
	}
	assert_null(far.ends[0].engine); /* and the first one ends with its calls */
	far_deinit(&far);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		assert_int_equal(callers[i].closed, 1);
		caller_deinit(&callers[i]);
	}
}

/* gRFC A8. */
static void a_server_that_finds_us_too_lively_is_asked_half_as_often(void **state)
{
	struct http2_limits limits = http2_default_limits;
	struct far far;
	struct caller caller = { 0 };

	(void)state;
	limits.keepalive_time_ns = 20 * NS_PER_S;
	far_init(&far, &(struct far_options){ .channel.http2 = &limits });
	far_call(&far, &caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	far_respond(far_end(&far), 1);
	far_advance(&far, 19 * NS_PER_S);
	assert_null(far_heard(far_end(&far), FAR_PING, 0, 0));
	far_advance(&far, 2 * NS_PER_S);
	assert_non_null(far_heard(far_end(&far), FAR_PING, 0, 0));
	far_goaway(far_end(&far), 1, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
	assert_non_null(strstr(far_log(&far), "goaway(11 too_many_pings)"));
	far_close(far_end(&far), -ECONNRESET);
	far_run(&far);
	ASSERT_LOG(caller, "opened; closed(UNAVAILABLE, transport); ");
	far_call(&far, &caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_hello(far_end(&far));
	far_respond(far_end(&far), 1);
	far_advance(&far, 39 * NS_PER_S);
	assert_null(far_heard(far_end(&far), FAR_PING, 0, 0));
	far_advance(&far, 2 * NS_PER_S);
	assert_non_null(far_heard(far_end(&far), FAR_PING, 0, 0));
	/* no answer: the connection is lost, and its calls with it */
	far_advance(&far, 19 * NS_PER_S);
	ASSERT_LOG(caller, "opened; ");
	far_advance(&far, 2 * NS_PER_S);
	ASSERT_LOG(caller, "opened; closed(UNAVAILABLE, transport); ");
	end(&far, &caller);
}

static void a_channel_that_closes_ends_who_waits_and_forgets_its_backoff(void **state)
{
	struct far far;
	struct caller caller = { 0 }, late = { 0 };

	(void)state;
	far_init(&far, NULL);
	far.refuse = true;
	far_call(&far, &caller, CALLER_UNARY, WAITING);
	far_run(&far);
	grpc_channel_drain(far.channel);
	far_call(&far, &late, CALLER_UNARY, WAITING);
	far_run(&far);
	ASSERT_LOG(caller, "closed(UNAVAILABLE, here, unprocessed); ");
	ASSERT_LOG(late, "closed(UNAVAILABLE, here, unprocessed); ");
	assert_int_equal(timers_next_ns(&far.timers), -1);
	forget(&far);
	caller_deinit(&late);
	end(&far, &caller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_wait_while_a_connection_is_made),
		cmocka_unit_test(
			a_failed_attempt_fails_who_waited_and_who_comes_during_the_backoff),
		cmocka_unit_test(without_calls_the_end_of_the_backoff_asks_for_nothing),
		cmocka_unit_test(waits_grow_up_to_two_minutes),
		cmocka_unit_test(waits_are_spread_by_a_fifth),
		cmocka_unit_test(the_backoff_counts_from_the_start_of_the_attempt),
		cmocka_unit_test(settings_reset_the_backoff_and_a_transport_alone_does_not),
		cmocka_unit_test(connections_that_serve_nobody_back_off),
		cmocka_unit_test(a_call_turned_away_twice_ends),
		cmocka_unit_test(a_call_that_never_left_ends_with_the_second_such_connection),
		cmocka_unit_test(a_peer_that_speaks_something_else_is_named),
		cmocka_unit_test(a_peer_that_says_nothing_is_given_up),
		cmocka_unit_test(a_deadline_while_waiting_says_for_what),
		cmocka_unit_test(a_limit_of_one_stream_makes_calls_take_turns),
		cmocka_unit_test(
			after_a_goaway_new_calls_go_elsewhere_and_old_ones_end_where_they_are),
		cmocka_unit_test(a_connection_that_ends_before_its_first_answer_may_still_serve),
		cmocka_unit_test(stream_ids_that_run_out_open_another_connection),
		cmocka_unit_test(a_server_that_finds_us_too_lively_is_asked_half_as_often),
		cmocka_unit_test(a_channel_that_closes_ends_who_waits_and_forgets_its_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

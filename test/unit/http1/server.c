/* Responses, their order, times, draining, and failing allocations. */
#include "peer.h"

#include "failing.h"

static void a_response_has_exactly_these_bytes(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, GET HOST END);
	assert_string_equal(host_text(&peer.host), "HTTP/1.1 200 OK\r\n"
						   "Date: " DATE "\r\n"
						   "Content-Type: text/plain\r\n"
						   "Content-Length: 17\r\n"
						   "X-Test: yes\r\n"
						   "\r\n"
						   "<GET /metrics ? >");
	assert_false(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void head_gives_the_head_of_get(void **state)
{
	struct peer get, head;
	char *end;
	char expected[512];

	(void)state;
	peer_init(&get);
	peer_init(&head);
	get.body_bytes = head.body_bytes = 5000;
	host_sends(&get.host, GET HOST END);
	host_sends(&head.host, "HEAD /metrics HTTP/1.1\r\n" HOST END);
	snprintf(expected, sizeof(expected), "%.400s", host_text(&get.host));
	end = strstr(expected, "\r\n\r\n");
	assert_non_null(end);
	end[4] = '\0';
	assert_non_null(strstr(expected, "Content-Length: 5000\r\n"));
	assert_string_equal(host_text(&head.host), expected);
	host_clear(&head.host);
	host_sends(&head.host, NEXT);
	assert_int_equal(status_of(host_text(&head.host)), 200);
	peer_deinit(&get);
	peer_deinit(&head);
}

static void http_1_0_needs_no_host_and_closes(void **state)
{
	static const char *const requests[] = {
		"GET /metrics HTTP/1.0\r\n" END,
		"GET /metrics HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n" END,
		GET HOST "Connection: close\r\n" END,
		GET HOST "Connection: foo, CLOSE\r\n" END,
		GET HOST "Connection: foo\r\nConnection: close\r\n" END,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, requests[i]);
		host_sends(&peer.host, NEXT);
		assert_int_equal(peer.requests, 1);
		assert_int_equal(status_of(host_text(&peer.host)), 200);
		assert_int_equal(responses_in(host_text(&peer.host)), 1);
		assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
		assert_true(host_finished(&peer.host));
		assert_int_equal(peer.host.error, 0);
		peer_deinit(&peer);
	}
}

static void a_handler_can_close(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.close = true;
	host_sends(&peer.host, NEXT NEXT);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void an_expectation_is_answered_at_once(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, "POST / HTTP/1.1\r\n" HOST
			       "Expect: 100-Continue\r\nContent-Length: 60000\r\n" END);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(status_of(host_text(&peer.host)), 200);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	host_sends(&peer.host, NEXT);
	assert_int_equal(peer.requests, 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

#define EXPECT "Expect: 100-continue\r\n"

static void a_body_that_may_be_kept_is_asked_for(void **state)
{
	static const char *const heads[] = {
		"POST / HTTP/1.1\r\n" HOST EXPECT "Content-Length: 12\r\n" END,
		"POST / HTTP/1.1\r\n" HOST EXPECT "Transfer-Encoding: chunked\r\n" END,
	};
	static const char *const bodies[] = { "0123456789ab", "c\r\n0123456789ab\r\n0\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, heads[i]);
		assert_string_equal(host_text(&peer.host), "HTTP/1.1 100 Continue\r\n\r\n");
		assert_int_equal(peer.requests, 0);
		host_clear(&peer.host);
		host_sends(&peer.host, bodies[i]);
		assert_string_equal(peer.seen, "<POST / ? >0123456789ab");
		assert_int_equal(status_of(host_text(&peer.host)), 200);
		assert_int_equal(responses_in(host_text(&peer.host)), 1);
		assert_int_equal(peer.responses, 1); /* the word to go on is none */
		host_sends(&peer.host, NEXT);
		assert_int_equal(peer.requests, 2);
		peer_deinit(&peer);
	}
}

static void who_is_asked_for_a_body_has_as_long_as_any(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.host.room = 1; /* in whatever pieces it goes */
	host_sends(&peer.host, "POST / HTTP/1.1\r\n" HOST EXPECT "Content-Length: 3\r\n" END "ab");
	host_sleep(&peer.host, 10 * NS_PER_S);
	assert_non_null(strstr(host_text(&peer.host),
			       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 Request Timeout\r\n"));
	assert_int_equal(peer.requests, 0);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void the_word_to_go_on_stands_before_its_response(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* who does not read it, and sends the body all the same */
	peer.host.blocked = true;
	host_sends(&peer.host,
		   "POST / HTTP/1.1\r\n" HOST EXPECT "Content-Length: 3\r\n" END "abc" NEXT);
	assert_int_equal(peer.requests, 1);
	peer.host.blocked = false;
	host_flush(&peer.host);
	assert_memory_equal(host_text(&peer.host),
			    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 42);
	assert_int_equal(responses_in(host_text(&peer.host)), 3);
	assert_int_equal(peer.responses, 2);
	peer_deinit(&peer);
}

/* RFC 9110 10.1.1 */
static void an_expectation_of_http_1_0_is_ignored(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, "POST / HTTP/1.0\r\n" EXPECT "Content-Length: 3\r\n" END);
	assert_int_equal(buffer_len(&peer.host.out), 0);
	host_sends(&peer.host, "abc");
	assert_string_equal(peer.seen, "<POST / ? >abc");
	assert_int_equal(responses_in(host_text(&peer.host)), 1);
	peer_deinit(&peer);
}

static void a_response_may_come_later(void **state)
{
	struct peer now, later;

	(void)state;
	peer_init(&now);
	host_sends(&now.host, "HEAD / HTTP/1.1\r\n" HOST END NEXT);
	peer_init(&later);
	later.put_off = true;
	host_sends(&later.host, "HEAD / HTTP/1.1\r\n" HOST END NEXT);
	assert_int_equal(later.requests, 1);
	assert_int_equal(later.responses, 0);
	assert_int_equal(buffer_len(&later.host.out), 0);
	host_sleep(&later.host, 60 * NS_PER_S); /* who makes it has the time that it takes */
	assert_false(host_finished(&later.host));
	later.put_off = false;
	answer(&later, NULL);
	host_flush(&later.host);
	assert_int_equal(later.requests, 2);
	assert_string_equal(host_text(&later.host), host_text(&now.host));
	peer_deinit(&now);
	peer_deinit(&later);
}

static void who_is_late_for_a_peer_that_has_gone_learns_it(void **state)
{
	struct peer peer;

	(void)state;
	for (int how = 0; how < 2; how++) {
		peer_init(&peer);
		peer.put_off = true;
		host_sends(&peer.host, NEXT NEXT);
		peer.put_off = false;
		if (how == 0) {
			peer.host.engine->ops->drain(peer.host.engine, ENGINE_DRAIN_NOW);
			assert_null(peer.put.server);
			answer(&peer, NULL);
		}
		peer_deinit(&peer);
		assert_null(peer.put.server);
		answer(&peer, NULL); /* of a server that is no more */
		assert_int_equal(peer.responses, 0);
	}
}

static void pipelined_requests_wait_for_their_turn(void **state)
{
	static const char bytes[] = GET HOST END "GET /two HTTP/1.1\r\n" HOST END NEXT;
	static const size_t first = sizeof(GET HOST END) - 1;
	struct peer peer;
	const char *text;

	(void)state;
	peer_init(&peer);
	peer.later = true;
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine, (const uint8_t *)bytes,
							sizeof(bytes) - 1),
			 first);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine,
							(const uint8_t *)bytes + first, 10),
			 0);
	peer.later = false;
	answer(&peer, peer.waiting);
	assert_true(peer.host.woken);
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine,
							(const uint8_t *)bytes + first, 10),
			 0); /* not yet produced */
	host_flush(&peer.host);
	host_send(&peer.host, bytes + first, sizeof(bytes) - 1 - first);
	text = host_text(&peer.host);
	assert_int_equal(responses_in(text), 3);
	assert_true(strstr(text, "<GET /metrics") < strstr(text, "<GET /two"));
	assert_true(strstr(text, "<GET /two") < strstr(text, "<GET /next"));
	peer_deinit(&peer);
}

static void any_room_gives_the_same_bytes(void **state)
{
	struct buffer whole = BUFFER_INIT;

	(void)state;
	converse(GET HOST END NEXT, strlen(GET HOST END NEXT), 0, 0, &whole);
	for (size_t room = 1; room < 200; room += 3) {
		struct peer peer;

		peer_init(&peer);
		peer.host.room = room;
		host_sends(&peer.host, GET HOST END NEXT);
		assert_memory_equal(buffer_data(&whole), host_text(&peer.host),
				    buffer_len(&peer.host.out));
		assert_int_equal(peer.requests, 2);
		peer_deinit(&peer);
	}
	buffer_free(&whole);
}

static void a_slow_head_or_body_is_told_408(void **state)
{
	static const char *const beginnings[] = {
		"G",
		GET HOST,
		"\r",
		GET HOST "Content-Length: 10\r\n" END,
		GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, beginnings[i]);
		host_sleep(&peer.host, 10 * NS_PER_S - 1);
		assert_int_equal(buffer_len(&peer.host.out), 0);
		host_sleep(&peer.host, 1);
		assert_refused(&peer, 408);
		peer_deinit(&peer);
	}
}

static void a_trickle_does_not_extend_the_time_of_a_head(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, GET HOST "X: ");
	for (int i = 0; i < 9; i++) {
		host_sleep(&peer.host, NS_PER_S);
		host_sends(&peer.host, "x");
		assert_int_equal(buffer_len(&peer.host.out), 0);
	}
	host_sleep(&peer.host, NS_PER_S);
	assert_refused(&peer, 408);
	peer_deinit(&peer);
}

static void an_idle_connection_is_closed_silently(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sleep(&peer.host, 119 * NS_PER_S);
	assert_false(host_finished(&peer.host));
	host_sends(&peer.host, "\r\n"); /* not a request, does not count as one */
	host_sleep(&peer.host, NS_PER_S);
	assert_true(host_finished(&peer.host));
	assert_int_equal(buffer_len(&peer.host.out), 0);
	peer_deinit(&peer);

	peer_init(&peer);
	host_sleep(&peer.host, 100 * NS_PER_S);
	host_sends(&peer.host, NEXT);
	host_sleep(&peer.host, 119 * NS_PER_S);
	assert_false(host_finished(&peer.host));
	host_sleep(&peer.host, NS_PER_S);
	assert_true(host_finished(&peer.host));
	assert_int_equal(responses_in(host_text(&peer.host)), 1);
	peer_deinit(&peer);
}

static void a_response_that_is_not_taken_ends_the_engine(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	host_sleep(&peer.host, 10 * NS_PER_S - 1);
	assert_int_equal(peer.host.error, 0);
	host_sleep(&peer.host, 1);
	assert_int_equal(peer.host.error, -ETIMEDOUT);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void a_trickle_does_not_extend_the_time_of_a_response(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.body_bytes = 100 * KIB;
	peer.write_timeout_ns = 5 * NS_PER_S; /* shorter than the limit's */
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	for (int i = 0; i < 4; i++) {
		host_sleep(&peer.host, NS_PER_S);
		assert_int_equal(
			peer.host.engine->ops->produce(peer.host.engine, &peer.host.out, 10), 1);
		assert_int_equal(peer.host.error, 0);
		assert_int_equal(http1_server_still_ns(http1_server_from_engine(peer.host.engine)),
				 0);
	}
	assert_int_equal(buffer_len(&peer.host.out), 40);
	host_sleep(&peer.host, NS_PER_S);
	assert_int_equal(peer.host.error, -ETIMEDOUT);
	peer_deinit(&peer);
}

static void stillness_is_time_since_a_byte_moved(void **state)
{
	struct peer peer;
	struct http1_server *server;

	(void)state;
	peer_init(&peer);
	server = http1_server_from_engine(peer.host.engine);
	assert_ptr_equal(http1_server_engine(server), peer.host.engine);
	host_sleep(&peer.host, 3 * NS_PER_S);
	assert_int_equal(http1_server_still_ns(server), 3 * NS_PER_S);
	host_sends(&peer.host, "G");
	assert_int_equal(http1_server_still_ns(server), 0);
	host_sleep(&peer.host, NS_PER_S);
	peer.host.blocked = true;
	host_sends(&peer.host, "ET / HTTP/1.1\r\n" HOST END);
	host_sleep(&peer.host, 2 * NS_PER_S);
	host_flush(&peer.host); /* no room: no byte */
	assert_int_equal(http1_server_still_ns(server), 2 * NS_PER_S);
	peer_deinit(&peer);
}

static void drain(struct peer *peer, enum engine_drain how)
{
	peer->host.engine->ops->drain(peer->host.engine, how);
	host_flush(&peer->host);
}

static void a_graceful_drain_finishes_what_runs(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* idle */
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a request */
	host_sends(&peer.host, GET);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	host_sends(&peer.host, HOST END NEXT);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a response */
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT NEXT);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	peer.host.blocked = false;
	host_flush(&peer.host);
	assert_int_equal(responses_in(host_text(&peer.host)), 1);
	assert_non_null(strstr(host_text(&peer.host), "<GET /next"));
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void a_drain_now_gives_up_what_runs(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* the handler holds it */
	peer.later = true;
	host_sends(&peer.host, NEXT);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	drain(&peer, ENGINE_DRAIN_NOW);
	assert_true(host_finished(&peer.host));
	answer(&peer, peer.waiting); /* too late, and harmless */
	host_flush(&peer.host);
	assert_int_equal(buffer_len(&peer.host.out), 0);
	assert_int_equal(peer.responses, 0);
	assert_int_equal(peer.host.error, 0);
	peer_deinit(&peer);

	peer_init(&peer); /* half a response */
	peer.body_bytes = 10000;
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	drain(&peer, ENGINE_DRAIN_NOW);
	assert_true(host_finished(&peer.host));
	assert_int_equal(timers_next_ns(&peer.host.timers), -1);
	peer_deinit(&peer);
}

static void a_whole_request_is_answered_after_fin(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* netcat closes its half and reads on */
	peer.later = true;
	host_sends(&peer.host, NEXT);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	assert_false(host_finished(&peer.host));
	answer(&peer, peer.waiting);
	host_flush(&peer.host);
	assert_int_equal(status_of(host_text(&peer.host)), 200);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* between requests */
	host_sends(&peer.host, NEXT);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a request */
	host_sends(&peer.host, GET);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	host_flush(&peer.host);
	assert_true(host_finished(&peer.host));
	assert_int_equal(buffer_len(&peer.host.out), 0);
	peer_deinit(&peer);
}

static void release_is_safe_in_every_state(void **state)
{
	static const char conversation[] =
		GET HOST "Transfer-Encoding: chunked\r\n" END "1\r\na\r\n0\r\nX: y\r\n" END NEXT;

	(void)state;
	for (size_t n = 0; n < sizeof(conversation); n++) {
		for (int how = 0; how < 3; how++) {
			struct peer peer;

			peer_init(&peer);
			peer.later = how == 1;
			peer.host.blocked = how == 2;
			host_send(&peer.host, conversation, n);
			peer_deinit(&peer);
		}
	}
}

/* Each allocation of a conversation fails in turn: no crash, no leak. */
static void every_allocation_may_fail(void **state)
{
	static const char bytes[] = NEXT
		"PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
		"1\r\na\r\n0\r\nX: y\r\n\r\n"
		"POST / HTTP/1.1\r\n" HOST EXPECT "Content-Length: 3\r\n" END "abc" NEXT GET END;
	long failures = 0;
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		struct peer peer = { 0 };
		struct engine *engine;

		host_init(&peer.host);
		assert_non_null(buffer_reserve(&peer.host.out, 4 * KIB)); /* the host's own */
		failing_at = n;
		engine = peer_engine(&peer);
		if (engine) {
			host_attach(&peer.host, engine);
			buffer_append(&peer.host.held, bytes, sizeof(bytes) - 1);
			host_flush(&peer.host);
		}
		failed = failing_at < 0;
		failing_at = -1;
		failures += failed;
		if (engine) {
			const char *text = host_text(&peer.host);

			assert_true(peer.host.error == 0 || peer.host.error == -ENOMEM);
			assert_int_equal(count_of(text, "<POST"), count_of(text, "<POST / ? >abc"));
			if (peer.host.error < 0) {
				assert_true(host_finished(&peer.host));
			}
		}
		if (!failed) {
			assert_int_equal(peer.host.error, 0);
			assert_int_equal(responses_in(host_text(&peer.host)), 6);
		}
		host_deinit(&peer.host);
		assert_int_equal(peer.closed, engine ? 1 : 0);
	}
	assert_true(failures >= 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_response_has_exactly_these_bytes),
		cmocka_unit_test(head_gives_the_head_of_get),
		cmocka_unit_test(http_1_0_needs_no_host_and_closes),
		cmocka_unit_test(a_handler_can_close),
		cmocka_unit_test(an_expectation_is_answered_at_once),
		cmocka_unit_test(a_body_that_may_be_kept_is_asked_for),
		cmocka_unit_test(who_is_asked_for_a_body_has_as_long_as_any),
		cmocka_unit_test(the_word_to_go_on_stands_before_its_response),
		cmocka_unit_test(an_expectation_of_http_1_0_is_ignored),
		cmocka_unit_test(a_response_may_come_later),
		cmocka_unit_test(who_is_late_for_a_peer_that_has_gone_learns_it),
		cmocka_unit_test(pipelined_requests_wait_for_their_turn),
		cmocka_unit_test(any_room_gives_the_same_bytes),
		cmocka_unit_test(a_slow_head_or_body_is_told_408),
		cmocka_unit_test(a_trickle_does_not_extend_the_time_of_a_head),
		cmocka_unit_test(an_idle_connection_is_closed_silently),
		cmocka_unit_test(a_response_that_is_not_taken_ends_the_engine),
		cmocka_unit_test(a_trickle_does_not_extend_the_time_of_a_response),
		cmocka_unit_test(stillness_is_time_since_a_byte_moved),
		cmocka_unit_test(a_graceful_drain_finishes_what_runs),
		cmocka_unit_test(a_drain_now_gives_up_what_runs),
		cmocka_unit_test(a_whole_request_is_answered_after_fin),
		cmocka_unit_test(release_is_safe_in_every_state),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

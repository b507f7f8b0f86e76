/* One call seen from both ends, over a pipe in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "echo.pb-c.h"
#include "harness.h"
#include "service/echo.h"

static struct echo_service plain;

static void start(struct pair *pair, const struct pair_options *options)
{
	pair_init(pair, options);
	pair_add(pair, &echo_service, &plain, NULL);
}

static void an_echo_comes_back_byte_for_byte(void **state)
{
	static const char text[] = "a\0b \xe2\x98\xba";
	struct pair pair;
	struct record record;

	(void)state;
	start(&pair, NULL);
	pair_call(&pair, &record, STR(text), NULL);
	pair_run(&pair);
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_OK);
	assert_int_equal(record.messages, 1);
	assert_int_equal(record.reply_len, sizeof(text) - 1);
	assert_memory_equal(record.reply, text, sizeof(text) - 1);
	pair_deinit(&pair);
}

static void calls_wait_for_room_under_the_peers_stream_limit(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct pair pair;
	struct record records[PAIR_MAX_CALLS];

	(void)state;
	limits.http2.max_concurrent_streams = 2;
	start(&pair, &(struct pair_options){ .limits = &limits });
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		pair_call(&pair, &records[i], STR("queued"), NULL);
	}
	pair_run(&pair);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		assert_int_equal(records[i].closed, 1);
		assert_int_equal(records[i].status, GRPC_OK);
	}
	assert_int_equal(pair.connects, 1);
	pair_deinit(&pair);
}

static void a_deadline_ends_a_delayed_call_at_both_ends(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
							    .low_ns = 10 * NS_PER_S } };
	struct pair pair;
	struct record record;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &record, STR("late"),
		  &(struct grpc_call_options){ .timeout_ns = 50 * NS_PER_MS });
	pair_run(&pair);
	assert_int_equal(record.closed, 0);
	assert_int_equal(grpc_server_calls(pair.server), 1);
	pair_advance(&pair, 49 * NS_PER_MS);
	assert_int_equal(record.closed, 0);
	pair_advance(&pair, 2 * NS_PER_MS);
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(grpc_server_calls(pair.server), 0);
	pair_deinit(&pair);
}

static void a_cancelled_call_leaves_nothing_at_the_server(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
							    .low_ns = 10 * NS_PER_S } };
	struct pair pair;
	struct record record;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &record, STR("never mind"), NULL);
	pair_run(&pair);
	grpc_call_cancel(record.call, GRPC_CANCELLED);
	assert_int_equal(record.closed, 0); /* never from inside the caller's own call */
	pair_run(&pair);
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_CANCELLED);
	assert_int_equal(record.origin, GRPC_FROM_HERE);
	assert_int_equal(grpc_server_calls(pair.server), 0);
	/* the connection looks once more for streams, and then asks the peer after hours only */
	pair_advance(&pair, 9 * NS_PER_S);
	assert_true(timers_next_ns(&pair.timers) > 3600 * NS_PER_S); /* the echo's timer is gone */
	pair_deinit(&pair);
}

static void a_lost_connection_ends_its_calls_unavailable(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
							    .low_ns = 10 * NS_PER_S } };
	struct pair pair;
	struct record record;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &record, STR("lost"), NULL);
	pair_run(&pair);
	pair_disconnect(&pair);
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_UNAVAILABLE);
	assert_int_equal(record.origin, GRPC_FROM_TRANSPORT);
	assert_false(record.unprocessed);
	pair_deinit(&pair);
}

static void a_call_that_finds_no_server_says_so(void **state)
{
	struct pair pair;
	struct record record;

	(void)state;
	start(&pair, &(struct pair_options){ .no_connect = true });
	pair_call(&pair, &record, STR("anyone?"), NULL);
	pair_run(&pair);
	assert_int_equal(record.closed, 1);
	assert_int_equal(record.status, GRPC_UNAVAILABLE);
	assert_int_equal(record.origin, GRPC_FROM_TRANSPORT);
	assert_true(record.unprocessed);
	pair_deinit(&pair);
}

static void a_drain_finishes_what_runs_and_later_calls_reconnect(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED, .low_ns = NS_PER_S } };
	struct pair pair;
	struct record before, after;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &before, STR("in flight"), NULL);
	pair_run(&pair);
	pair.server_end.engine->ops->drain(pair.server_end.engine, ENGINE_DRAIN_GRACEFUL);
	pair_run(&pair);
	assert_int_equal(before.closed, 0);
	pair_advance(&pair, NS_PER_S);
	assert_int_equal(before.closed, 1);
	assert_int_equal(before.status, GRPC_OK);
	assert_null(pair.server_end.engine); /* finished, so its host closed it */
	pair_call(&pair, &after, STR("next"), NULL);
	pair_run(&pair);
	pair_advance(&pair, NS_PER_S);
	assert_int_equal(after.status, GRPC_OK);
	assert_int_equal(pair.connects, 2);
	pair_deinit(&pair);
}

static void a_call_sent_into_a_goaway_is_served_by_the_next_connection(void **state)
{
	struct pair pair;
	struct record first, crossing;

	(void)state;
	start(&pair, NULL);
	pair_call(&pair, &first, STR("first"), NULL);
	pair_run(&pair);
	/* queued on the connection, and before it leaves the GOAWAY arrives */
	pair_call(&pair, &crossing, STR("crossing"), NULL);
	pair.server_end.engine->ops->drain(pair.server_end.engine, ENGINE_DRAIN_NOW);
	pair_run(&pair);
	assert_int_equal(crossing.closed, 1);
	assert_int_equal(crossing.status, GRPC_OK);
	assert_int_equal(pair.connects, 2);
	pair_deinit(&pair);
}

/* A handler that does one thing inside one of its own upcalls. */

enum upcall { UPCALL_OPENED, UPCALL_MESSAGE, UPCALL_HALF_CLOSED, UPCALLS };
enum deed {
	DEED_FINISH,
	DEED_CANCEL,
	DEED_SEND_FINISH,
	DEED_FINISH_TWICE,
	DEED_SEND_AFTER_FINISH,
	DEED_FINISH_CANCEL,
	DEEDS
};

struct handler {
	enum upcall when;
	enum deed what;
	unsigned opened, messages, half_closed, closed, late;
	bool done;
};

static void act(struct grpc_call *call, enum upcall now)
{
	struct handler *handler = grpc_call_context(call);
	Echo__EchoResponse response = ECHO__ECHO_RESPONSE__INIT;

	if (handler->done) {
		handler->late++;
	}
	if (handler->when != now) {
		return;
	}
	handler->done = true;
	switch (handler->what) {
	case DEED_FINISH:
		grpc_call_finish(call, GRPC_NOT_FOUND, "100% not here \xe2\x98\xba");
		break;
	case DEED_CANCEL:
		grpc_call_cancel(call, GRPC_ABORTED);
		break;
	case DEED_SEND_FINISH:
		assert_int_equal(grpc_call_add_header(call, STR("note"), STR("head")), 0);
		grpc_call_send(call, &response);
		assert_int_equal(grpc_call_add_header(call, STR("note"), STR("tail")), 0);
		grpc_call_finish(call, GRPC_OK, NULL);
		break;
	case DEED_FINISH_TWICE:
		grpc_call_finish(call, GRPC_NOT_FOUND, "once");
		grpc_call_finish(call, GRPC_DATA_LOSS, "twice");
		break;
	case DEED_SEND_AFTER_FINISH:
		grpc_call_finish(call, GRPC_NOT_FOUND, NULL);
		assert_int_equal(grpc_call_send(call, &response), -ECANCELED);
		break;
	case DEED_FINISH_CANCEL:
		grpc_call_finish(call, GRPC_NOT_FOUND, NULL);
		grpc_call_cancel(call, GRPC_ABORTED);
		break;
	default:
		break;
	}
	assert_int_equal(handler->closed, 0); /* never from inside */
}

static void handler_opened(struct grpc_call *call)
{
	((struct handler *)grpc_call_context(call))->opened++;
	act(call, UPCALL_OPENED);
}

static void handler_message(struct grpc_call *call, const void *message)
{
	(void)message;
	((struct handler *)grpc_call_context(call))->messages++;
	act(call, UPCALL_MESSAGE);
}

static void handler_half_closed(struct grpc_call *call)
{
	((struct handler *)grpc_call_context(call))->half_closed++;
	act(call, UPCALL_HALF_CLOSED);
}

static void handler_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	(void)outcome;
	((struct handler *)grpc_call_context(call))->closed++;
}

static const struct grpc_call_events handler_events = {
	.opened = handler_opened,
	.message = handler_message,
	.half_closed = handler_half_closed,
	.closed = handler_closed,
};

static int expected_status(enum deed deed)
{
	switch (deed) {
	case DEED_SEND_FINISH:
		return GRPC_OK;
	case DEED_CANCEL:
	case DEED_FINISH_CANCEL:
		return GRPC_CANCELLED; /* RST_STREAM(CANCEL) */
	default:
		return GRPC_NOT_FOUND;
	}
}

static void a_handler_may_end_its_call_inside_each_upcall(void **state)
{
	struct grpc_method method = echo_service.methods[0];
	struct grpc_service service = { "muzz.Service", &method, 1 };

	(void)state;
	method.events = &handler_events;
	for (int when = 0; when < UPCALLS; when++) {
		for (int what = 0; what < DEEDS; what++) {
			struct handler handler = { .when = (enum upcall)when,
						   .what = (enum deed)what };
			struct pair pair;
			struct record record;

			pair_init(&pair, &(struct pair_options){ .seed = 1 + (uint64_t)what });
			pair_add(&pair, &service, &handler, NULL);
			pair_call(&pair, &record, STR("deed"), NULL);
			pair_run(&pair);
			assert_true(handler.done);
			assert_int_equal(handler.closed, 1);
			assert_int_equal(handler.late, 0);
			assert_int_equal(record.closed, 1);
			assert_int_equal(record.status, expected_status((enum deed)what));
			if (what == DEED_FINISH) {
				assert_string_equal(record.text, "100% not here \xe2\x98\xba");
			}
			if (what == DEED_SEND_FINISH) {
				assert_string_equal(record.trailer, "tail");
			}
			/* the connection is none the worse */
			handler = (struct handler){ .when = UPCALL_MESSAGE,
						    .what = DEED_SEND_FINISH };
			pair_call(&pair, &record, STR("again"), NULL);
			pair_run(&pair);
			assert_int_equal(record.status, GRPC_OK);
			assert_int_equal(pair.connects, 1);
			pair_deinit(&pair);
		}
	}
}

/* Keeps what the metadata of its call says, in order. */
static char heard[256];

static void hear(struct grpc_call *call)
{
	const struct metadata *metadata = grpc_call_metadata(call);

	heard[0] = '\0';
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		size_t len = strlen(heard);

		snprintf(heard + len, sizeof(heard) - len, "%" STR_FMT "=%" STR_FMT ";",
			 STR_ARG(entry->name), STR_ARG(entry->value));
	}
	grpc_call_finish(call, GRPC_NOT_FOUND, NULL);
}

static void metadata_keeps_its_order_and_duplicates(void **state)
{
	static const struct grpc_call_events hearing = { .opened = hear };
	struct metadata_entry last = { STR_INIT("a-bin"), { "\0\xff", 2 }, NULL };
	struct metadata_entry third = { STR_INIT("a"), STR_INIT("3"), &last };
	struct metadata_entry second = { STR_INIT("b"), STR_INIT("2"), &third };
	struct metadata_entry first = { STR_INIT("b"), STR_INIT("1"), &second };
	struct grpc_method method = echo_service.methods[0];
	struct grpc_service service = { "muzz.Service", &method, 1 };
	struct pair pair;
	struct record record;

	(void)state;
	method.events = &hearing;
	pair_init(&pair, NULL);
	pair_add(&pair, &service, NULL, NULL);
	pair_call(&pair, &record, STR("m"), &(struct grpc_call_options){ .metadata = &first });
	pair_run(&pair);
	assert_int_equal(record.status, GRPC_NOT_FOUND);
	/* %s ends at the NUL of the binary value, which came through decoded */
	assert_memory_equal(heard, "b=1;b=2;a=3;a-bin=", 18);
	pair_deinit(&pair);
}

/* A call with this metadata; the bytes that it takes. */
static size_t bytes_of_call(struct pair *pair, const struct metadata_entry *metadata)
{
	struct record record;
	size_t n;

	pair_call(pair, &record, STR("m"), &(struct grpc_call_options){ .metadata = metadata });
	pair_carry_to_server(pair, 0);
	n = buffer_len(&pair->client_end.out);
	pair_run(pair);
	assert_int_equal(record.status, GRPC_NOT_FOUND);
	assert_string_equal(heard, "note=0123456789abcdef;");
	return n;
}

static void what_is_sent_once_is_not_remembered(void **state)
{
	static const struct grpc_call_events hearing = { .opened = hear };
	struct metadata_entry note = { STR_INIT("note"), STR_INIT("0123456789abcdef"), NULL };
	struct grpc_method method = echo_service.methods[0];
	struct grpc_service service = { "muzz.Service", &method, 1 };
	size_t first, again, once;
	struct pair pair;
	struct record record;

	(void)state;
	method.events = &hearing;
	pair_init(&pair, NULL);
	pair_add(&pair, &service, NULL, NULL);
	pair_call(&pair, &record, STR("m"), NULL); /* what else there is, is remembered */
	pair_run(&pair);
	note.once = true;
	once = bytes_of_call(&pair, &note);
	assert_int_equal(bytes_of_call(&pair, &note), once);
	note.once = false;
	first = bytes_of_call(&pair, &note);
	again = bytes_of_call(&pair, &note);
	assert_int_equal(first, once);
	assert_true(again + 10 < once);
	pair_deinit(&pair);
}

static void a_reset_between_send_and_flush_closes_the_call_once(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED, .low_ns = NS_PER_S } };
	struct counter ok = { 0 }, failed = { 0 }, started = { 0 };
	struct gauge in_flight = { 0 };
	struct histogram latency;
	struct grpc_method_meters meters = { .started = &started,
					     .in_flight = &in_flight,
					     .handled_ok = &ok,
					     .handled_failed = &failed,
					     .calls_ok = &ok,
					     .calls_failed = &failed,
					     .latency = &latency };
	struct pair pair;
	struct record record;

	(void)state;
	histogram_init(&latency, &histogram_default_bounds);
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, &meters);
	pair_call(&pair, &record, STR("race"), NULL);
	pair_run(&pair);
	/* the client's RST_STREAM is on its way ... */
	grpc_call_cancel(record.call, GRPC_CANCELLED);
	pair.client_end.engine->ops->produce(pair.client_end.engine, &pair.client_end.out,
					     64 * KIB);
	/* ... the handler answers ... */
	pair.now_ns += NS_PER_S;
	assert_int_equal(timers_run(&pair.timers), 1);
	/* ... and the RST_STREAM is read before the answer is produced */
	assert_true(pair.server_end.engine->ops->receive(pair.server_end.engine,
							 buffer_data(&pair.client_end.out),
							 buffer_len(&pair.client_end.out)) > 0);
	buffer_clear(&pair.client_end.out);
	pair_run(&pair);
	assert_int_equal(record.closed, 1);
	assert_int_equal(counter_read(&started), 1);
	assert_int_equal(counter_read(&ok), 0);
	assert_int_equal(counter_read(&failed), 2); /* handled and calls */
	assert_int_equal(gauge_read(&in_flight), 0);
	pair_deinit(&pair);
}

static void a_peer_that_never_reads_is_held_to_the_room(void **state)
{
	struct pair pair;
	struct record records[PAIR_MAX_CALLS];
	char *big = malloc(200 * KIB);

	(void)state;
	memset(big, 'x', 200 * KIB);
	start(&pair, NULL);
	pair_call(&pair, &records[0], STR("first"), NULL);
	pair_run(&pair);
	pair.client_end.stuck = true;
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		pair_call(&pair, &records[i], (struct str){ big, 200 * KIB }, NULL);
	}
	pair_run(&pair);
	/* 12.8 MB wait in the calls; of what is produced never more than the room and a frame */
	assert_true(buffer_len(&pair.server_end.out) <= 64 * KIB + 16393);
	pair_disconnect(&pair);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		assert_int_equal(records[i].closed, 1);
		assert_int_equal(records[i].status, GRPC_UNAVAILABLE);
	}
	free(big);
	pair_deinit(&pair);
}

static void messages_of_all_calls_stay_within_the_budget(void **state)
{
	enum { CALLS = 12, BYTES = 100 * 1024 };
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED, .low_ns = NS_PER_S } };
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct gauge buffered = { 0 };
	struct pair pair;
	struct record records[CALLS];
	char *big = malloc(BYTES);
	unsigned ok = 0, exhausted = 0;

	(void)state;
	memset(big, 'x', BYTES);
	limits.max_buffered_bytes = 1024 * 1024;
	pair_init(&pair, &(struct pair_options){ .limits = &limits });
	pair.server_meters.buffered_bytes = &buffered;
	pair_add(&pair, &echo_service, &slow, NULL);
	for (size_t i = 0; i < CALLS; i++) {
		pair_call(&pair, &records[i], (struct str){ big, BYTES }, NULL);
		pair_run(&pair);
		assert_true(gauge_read(&buffered) <= (int64_t)limits.max_buffered_bytes);
	}
	assert_true(gauge_read(&buffered) > 0);
	pair_advance(&pair, NS_PER_S);
	for (size_t i = 0; i < CALLS; i++) {
		assert_int_equal(records[i].closed, 1);
		ok += records[i].status == GRPC_OK;
		exhausted += records[i].status == GRPC_RESOURCE_EXHAUSTED;
	}
	/* each takes at least twice its size, as message and as response */
	assert_true(ok >= 2 && ok <= 10);
	assert_int_equal(ok + exhausted, CALLS);
	assert_int_equal(gauge_read(&buffered), 0);
	pair_call(&pair, &records[0], (struct str){ big, BYTES }, NULL);
	pair_run(&pair);
	pair_advance(&pair, NS_PER_S);
	assert_int_equal(records[0].status, GRPC_OK);
	free(big);
	pair_deinit(&pair);
}

static void a_cancelled_call_closes_though_its_peer_never_reads(void **state)
{
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
							    .low_ns = 10 * NS_PER_S } };
	struct pair pair;
	struct record record;
	struct buffer none = BUFFER_INIT;

	(void)state;
	pair_init(&pair, NULL);
	pair_add(&pair, &echo_service, &slow, NULL);
	pair_call(&pair, &record, STR("x"), NULL);
	pair_run(&pair);
	grpc_call_cancel(record.call, GRPC_CANCELLED);
	/* room 0: no byte may go, the upcall must */
	pair.client_end.engine->ops->produce(pair.client_end.engine, &none, 0);
	assert_int_equal(buffer_len(&none), 0);
	assert_int_equal(record.closed, 1);
	pair_deinit(&pair);
}

static void the_end_of_input_in_any_state_ends_the_calls_once(void **state)
{
	enum { BEFORE_ANY, PREFACE, IN_FLIGHT, HALF_SENT, AFTER, MOMENTS };
	struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED, .low_ns = NS_PER_S } };

	(void)state;
	for (int moment = 0; moment < MOMENTS; moment++) {
		for (int whose = 0; whose < 2; whose++) {
			struct pair pair;
			struct record record;
			struct pair_end *end;

			pair_init(&pair,
				  &(struct pair_options){ .seed = moment == HALF_SENT ? 7 : 0 });
			pair_add(&pair, &echo_service, &slow, NULL);
			pair_call(&pair, &record, STR("eof"), NULL);
			if (moment == BEFORE_ANY) {
				pair_connect(&pair);
			} else if (moment == PREFACE) {
				pair_connect(&pair);
				pair_carry_to_server(&pair, 24);
			} else {
				pair_run(&pair);
			}
			if (moment == AFTER) {
				pair_advance(&pair, NS_PER_S);
				assert_int_equal(record.status, GRPC_OK);
			}
			end = whose ? &pair.client_end : &pair.server_end;
			assert_non_null(end->engine);
			end->engine->ops->end_of_input(end->engine);
			assert_true(end->engine->ops->finished(end->engine));
			pair_run(&pair);
			assert_int_equal(record.closed, 1);
			assert_int_equal(record.status,
					 moment == AFTER ? GRPC_OK : GRPC_UNAVAILABLE);
			pair_deinit(&pair);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_echo_comes_back_byte_for_byte),
		cmocka_unit_test(calls_wait_for_room_under_the_peers_stream_limit),
		cmocka_unit_test(a_deadline_ends_a_delayed_call_at_both_ends),
		cmocka_unit_test(a_cancelled_call_leaves_nothing_at_the_server),
		cmocka_unit_test(a_lost_connection_ends_its_calls_unavailable),
		cmocka_unit_test(a_call_that_finds_no_server_says_so),
		cmocka_unit_test(a_drain_finishes_what_runs_and_later_calls_reconnect),
		cmocka_unit_test(a_call_sent_into_a_goaway_is_served_by_the_next_connection),
		cmocka_unit_test(metadata_keeps_its_order_and_duplicates),
		cmocka_unit_test(what_is_sent_once_is_not_remembered),
		cmocka_unit_test(a_handler_may_end_its_call_inside_each_upcall),
		cmocka_unit_test(a_reset_between_send_and_flush_closes_the_call_once),
		cmocka_unit_test(a_peer_that_never_reads_is_held_to_the_room),
		cmocka_unit_test(messages_of_all_calls_stay_within_the_budget),
		cmocka_unit_test(a_cancelled_call_closes_though_its_peer_never_reads),
		cmocka_unit_test(the_end_of_input_in_any_state_ends_the_calls_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

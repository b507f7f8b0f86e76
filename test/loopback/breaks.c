/*
 * Calls that the serving end breaks, and what our own calling end makes of each; every
 * allocation fails in turn meanwhile.
 *
 * Linked with -Wl,--wrap for the allocator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../unit/failing.h"
#include "harness.h"
#include "echo.pb-c.h"
#include "service/echo.h"

enum { ANSWERED, WAITING, RESET, TRUNCATED, CLOSED, CALLS };

struct stage {
	struct pair pair;
	struct record records[CALLS];
	bool began[CALLS];
	unsigned opened, closed;
	struct counter taken_along;
};

/* What is asked is what is done, by the first letter. */
static void on_message(struct grpc_call *call, const void *message)
{
	char what = (char)((const Echo__EchoRequest *)message)->message.data[0];

	(void)grpc_call_add_trailer(call, STR("note"), STR("said"));
	switch (what) {
	case 'a':
		(void)grpc_call_send(call, message);
		grpc_call_finish(call, GRPC_OK, NULL);
		break;
	case 'r':
		grpc_call_break(call, GRPC_BREAK_RESET, NULL);
		break;
	case 't':
		grpc_call_break(call, GRPC_BREAK_TRUNCATE, message);
		break;
	case 'c':
		grpc_call_break(call, GRPC_BREAK_CLOSE, NULL);
		break;
	default:
		break;
	}
}

static void on_opened(struct grpc_call *call)
{
	((struct stage *)grpc_call_context(call))->opened++;
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct stage *stage = grpc_call_context(call);

	stage->closed++;
	if (outcome->origin == GRPC_FROM_TRANSPORT && outcome->status == GRPC_UNAVAILABLE) {
		counter_increment(&stage->taken_along);
	}
}

static const struct grpc_call_events events = {
	.opened = on_opened,
	.message = on_message,
	.closed = on_closed,
};

/* From connecting to the end; `fail_at`: the allocation that fails, -1: none. */
static void play(struct stage *stage, uint64_t seed, long fail_at)
{
	static const struct str texts[CALLS] = { STR_INIT("answer"), STR_INIT("wait"),
						 STR_INIT("reset"), STR_INIT("truncate"),
						 STR_INIT("close") };
	struct grpc_method method = echo_service.methods[0];
	struct grpc_service service = { "muzz.Service", &method, 1 };
	struct pair *pair = &stage->pair;

	*stage = (struct stage){ 0 };
	method.events = &events;
	method.response = method.request; /* it sends back what it got */
	pair_init(pair, &(struct pair_options){ .seed = seed });
	pair->max_connects = 1;
	pair_add(pair, &service, stage, NULL);
	failing_seen = 0;
	failing_at = fail_at;
	for (int i = 0; i < CALLS; i++) {
		stage->began[i] = pair_call(pair, &stage->records[i], texts[i], NULL) != NULL;
		if (i != TRUNCATED) { /* the last two in one */
			pair_run(pair);
		}
	}
	pair_run(pair);
	pair_advance(pair, 60 * NS_PER_S);
	failing_at = -1;
	for (int i = 0; i < CALLS; i++) {
		if (stage->began[i] && stage->records[i].call) {
			grpc_call_cancel(stage->records[i].call, GRPC_CANCELLED);
		}
	}
	pair_run(pair);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(stage->records[i].closed, stage->began[i]);
	}
	pair_deinit(pair);
	assert_int_equal(stage->opened, stage->closed);
}

static void a_client_sees_each_break_as_the_server_counts_it(void **state)
{
	static const enum grpc_status wanted[CALLS] = {
		[ANSWERED] = GRPC_OK,        [WAITING] = GRPC_UNAVAILABLE, [RESET] = GRPC_INTERNAL,
		[TRUNCATED] = GRPC_INTERNAL, [CLOSED] = GRPC_UNAVAILABLE,
	};
	struct stage *stage = malloc(sizeof(*stage));

	(void)state;
	assert_non_null(stage);
	for (uint64_t seed = 0; seed < 300; seed++) {
		play(stage, seed, -1);
		for (int i = 0; i < CALLS; i++) {
			const struct record *record = &stage->records[i];
			/* which of the last two is read first is the splitter's choice */
			bool along = i == TRUNCATED && counter_read(&stage->taken_along) == 2;

			assert_int_equal(record->status, along ? GRPC_UNAVAILABLE : wanted[i]);
			assert_int_equal(record->messages, i == ANSWERED);
			if (i == ANSWERED || (i == TRUNCATED && !along)) {
				assert_string_equal(record->trailer, "said");
			}
		}
		assert_in_range(counter_read(&stage->taken_along), 1, 2);
	}
	free(stage);
}

static void every_allocation_may_fail(void **state)
{
	struct stage *stage = malloc(sizeof(*stage));
	long all;

	(void)state;
	assert_non_null(stage);
	play(stage, 3, -1);
	all = failing_seen;
	assert_true(all > 50);
	for (long at = 0; at < all; at++) {
		play(stage, 3, at);
	}
	free(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_sees_each_break_as_the_server_counts_it),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

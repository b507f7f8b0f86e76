/*
 * Every allocation fails in turn: ours, nghttp2's and protobuf-c's, during
 * connect, calls and drain; alone, some in a row, or all that follow. Each call
 * still closes exactly once, nothing leaks (the sanitizers say), and the next
 * round works.
 *
 * This executable is linked with -Wl,--wrap for the allocator: nghttp2 and
 * protobuf-c are given allocators that lie in our own libraries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness.h"
#include "service/echo.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

static size_t allocations, failing, row; /* `row` of them fail, from the failing'th; 0: none */

static bool fails(void)
{
	allocations++;
	return failing && allocations >= failing && allocations - failing < row;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return fails() ? NULL : __real_realloc(pointer, size);
}

enum { SMALL, LARGE, EXPIRING, CANCELLED, FAILING, TORN, RESET, LOST, CALLS };

/* What is to happen to a call on purpose. */
static const struct str faults[CALLS] = {
	[FAILING] = STR_INIT("UNAVAILABLE"),
	[TORN] = STR_INIT("truncate"),
	[RESET] = STR_INIT("reset"),
	[LOST] = STR_INIT("close"),
};

static struct grpc_call *begin(struct pair *pair, struct record *record, int which)
{
	static char big[40000];
	struct metadata_entry delay = { STR_INIT("echod-delay"), STR_INIT("1ms"), NULL };
	struct metadata_entry fault = { STR_INIT("echod-fault"), faults[which], &delay };
	struct metadata_entry note = { STR_INIT("x-note"), STR_INIT("kept in the arena"),
				       faults[which].data ? &fault : NULL };
	struct grpc_call_options options = { .metadata = &note };
	struct str message = STR("small");

	if (which == LARGE) {
		memset(big, 'b', sizeof(big));
		message = (struct str){ big, sizeof(big) };
	} else if (which == EXPIRING) {
		options.timeout_ns = NS_PER_MS / 2;
	}
	return pair_call(pair, record, message, &options);
}

/* Connect; calls that are answered, gathered in pieces, late, cancelled, or broken; drain. */
static void scene(void)
{
	static struct echo_service slow = { .faults.plan.delay = { DELAY_FIXED,
								   .low_ns = NS_PER_MS },
					    .allow_metadata_faults = true };
	struct pair pair;
	struct record records[CALLS];
	bool began[CALLS];
	size_t will_fail = failing;

	failing = 0; /* start-up may fail, and says so; it is not what this is about */
	pair_init(&pair, &(struct pair_options){ .seed = 5 });
	pair_add(&pair, &echo_service, &slow, NULL);
	allocations = 0;
	failing = will_fail;
	for (int i = 0; i < CALLS; i++) {
		began[i] = begin(&pair, &records[i], i) != NULL;
		pair_run(&pair);
		if (i == LARGE) {
			grpc_channel_renew(pair.channel);
		}
	}
	if (records[CANCELLED].call) {
		grpc_call_cancel(records[CANCELLED].call, GRPC_CANCELLED);
	}
	pair_run(&pair);
	pair_advance(&pair, 10 * NS_PER_MS);
	if (pair.server_end.engine) {
		pair.server_end.engine->ops->drain(pair.server_end.engine, ENGINE_DRAIN_GRACEFUL);
	}
	pair_run(&pair);
	pair_advance(&pair, 20 * NS_PER_S); /* whoever waited in vain has given up by now */
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(records[i].closed, began[i]);
	}
	pair_deinit(&pair);
}

/* A conversation of compressed messages, each held for a while at the serving end. */
struct chat {
	struct grpc_call *server, *client;
	unsigned began, ended, asked, answered;
	bool begun, closed;
};

static void chat_opened(struct grpc_call *call)
{
	struct chat *chat = grpc_call_context(call);

	chat->server = call;
	chat->began++;
	(void)grpc_call_add_trailer(call, STR("note-bin"), STR("raw"));
}

static void chat_asked(struct grpc_call *call, const void *message)
{
	struct chat *chat = grpc_call_context(call);

	chat->asked++;
	grpc_call_compress(call, grpc_call_was_compressed(call));
	grpc_call_hold(call);
	(void)grpc_call_send(call, message);
}

static void chat_half_closed(struct grpc_call *call)
{
	static const uint8_t details[] = { 0x08, 0x05 };

	grpc_call_finish_details(call, GRPC_NOT_FOUND, STR("no more"),
				 (struct bytes){ details, sizeof(details) });
}

static void chat_ended(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct chat *chat = grpc_call_context(call);

	(void)outcome;
	chat->server = NULL;
	chat->ended++;
}

static void chat_answered(struct grpc_call *call, const void *message)
{
	struct chat *chat = grpc_call_context(call);
	const struct bytes *bytes = message;

	assert_true(bytes->len == 40000 && bytes->data[39999] == 'c');
	chat->answered++;
	(void)grpc_call_peer(call);
}

static void chat_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct chat *chat = grpc_call_context(call);

	(void)outcome;
	assert_false(chat->closed);
	chat->client = NULL;
	chat->closed = true;
}

static const struct grpc_call_events chat_server_events = {
	.opened = chat_opened,
	.message = chat_asked,
	.half_closed = chat_half_closed,
	.closed = chat_ended,
};

static const struct grpc_call_events chat_client_events = {
	.message = chat_answered,
	.closed = chat_closed,
};

static const struct grpc_method chat_methods[] = {
	{ .name = "Chat", .shape = GRPC_BIDI_STREAM, .events = &chat_server_events },
};

static const struct grpc_service chat_service = { "test.Chat", chat_methods, 1 };

static void streaming_scene(void)
{
	static uint8_t text[40000];
	const struct bytes message = { text, sizeof(text) };
	const struct grpc_call_options options = { .gzip = true };
	struct chat chat = { 0 };
	struct pair pair;
	size_t will_fail = failing;

	memset(text, 'c', sizeof(text));
	failing = 0;
	pair_init(&pair, &(struct pair_options){ .seed = 6 });
	pair_add(&pair, &chat_service, &chat, NULL);
	allocations = 0;
	failing = will_fail;
	chat.client = grpc_channel_call(pair.channel, &chat_service, &chat_methods[0],
					&chat_client_events, &options, &chat);
	chat.begun = chat.client != NULL;
	for (int i = 0; i < 4; i++) {
		if (chat.client) {
			grpc_call_compress(chat.client, i != 2);
			(void)grpc_call_send(chat.client, &message);
		}
		pair_run(&pair);
		if (chat.client && i == 3) {
			grpc_call_half_close(chat.client);
		}
		pair_run(&pair);
		if (chat.server && i % 2 == 1) { /* two wait, and then the end as well */
			grpc_call_next(chat.server);
			pair_run(&pair);
		}
		if (chat.server && i % 2 == 1) {
			grpc_call_next(chat.server);
			pair_run(&pair);
		}
	}
	if (!failing) {
		assert_int_equal(chat.answered, 4);
		assert_true(chat.closed);
	}
	if (chat.client) {
		grpc_call_cancel(chat.client, GRPC_CANCELLED);
	}
	pair_run(&pair);
	pair_advance(&pair, 20 * NS_PER_S);
	pair_deinit(&pair);
	assert_int_equal(chat.closed, chat.begun);
	assert_int_equal(chat.ended, chat.began);
}

static void each_fails_in(void (*play)(void))
{
	static const size_t rows[] = { 1, 3, SIZE_MAX };
	size_t total;

	failing = 0;
	play();
	total = allocations;
	assert_true(total > 50);
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		row = rows[r];
		for (size_t i = 1; i <= total; i++) {
			failing = i;
			play();
		}
	}
	failing = 0;
	play();
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	each_fails_in(scene);
}

static void each_allocation_may_fail_in_a_stream(void **state)
{
	(void)state;
	each_fails_in(streaming_scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(each_allocation_may_fail_in_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

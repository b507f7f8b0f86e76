/*
 * Every allocation fails in turn during a stream of messages either way: compressed
 * ones and plain, held ones, some that wait for a connection, one that is sent anew,
 * a cancelled and an expired call. Each call closes exactly once at both ends,
 * nothing leaks (the sanitizers say), and the next round works.
 *
 * Linked with -Wl,--wrap for the allocator, as allocations.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness.h"

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

/* The server: each message goes back, compressed where the client takes it. */

static unsigned served, served_closed;

static void server_opened(struct grpc_call *call)
{
	served++;
	grpc_call_compress(call, true);
}

static void server_message(struct grpc_call *call, const void *message)
{
	(void)grpc_call_send(call, message);
}

static void server_half_closed(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void server_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	(void)call;
	(void)outcome;
	served_closed++;
}

static const struct grpc_call_events server_events = {
	.opened = server_opened,
	.message = server_message,
	.half_closed = server_half_closed,
	.closed = server_closed,
};

static const struct grpc_method methods[] = {
	{ .name = "Chat", .shape = GRPC_BIDI_STREAM, .events = &server_events },
};

static const struct grpc_service service = { "test.Streams", methods, 1 };

/* The client: says its messages one after another, each once the last came back. */

#define MESSAGES 4

struct chat {
	struct grpc_call *call;
	unsigned sent, closed;
	int status;
	bool holds;
};

static char text[30000];

static void say(struct chat *chat)
{
	struct bytes message = { (const uint8_t *)text, chat->sent % 2 ? sizeof(text) : 5 };

	if (chat->sent++ == MESSAGES) {
		grpc_call_half_close(chat->call);
		return;
	}
	grpc_call_compress(chat->call, chat->sent != 2);
	(void)grpc_call_send(chat->call, &message);
}

static void client_message(struct grpc_call *call, const void *message)
{
	struct chat *chat = grpc_call_context(call);

	(void)message;
	if (chat->holds) {
		grpc_call_hold(call);
	}
	say(chat);
}

static void client_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct chat *chat = grpc_call_context(call);

	chat->call = NULL;
	chat->closed++;
	chat->status = (int)outcome->status;
}

static const struct grpc_call_events client_events = {
	.message = client_message,
	.closed = client_closed,
};

enum { PLAIN, HOLDING, EXPIRING, CANCELLED, CHATS };

static struct chat chats[CHATS];

static bool begin(struct pair *pair, int which)
{
	const struct grpc_call_options options = {
		.gzip = true,
		.wait_for_ready = true,
		.timeout_ns = which == EXPIRING ? NS_PER_MS : 10 * NS_PER_S,
	};
	struct chat *chat = &chats[which];

	*chat = (struct chat){ .holds = which == HOLDING };
	chat->call =
		grpc_channel_call(pair->channel, &service, methods, &client_events, &options, chat);
	if (!chat->call) {
		return false;
	}
	if (which != EXPIRING) {
		say(chat);
	}
	return true;
}

static void scene(void)
{
	struct pair pair;
	bool began[CHATS];
	size_t will_fail = failing;

	failing = 0; /* start-up may fail, and says so; it is not what this is about */
	served = served_closed = 0;
	pair_init(&pair, &(struct pair_options){ .seed = 5 });
	pair_add(&pair, &service, NULL, NULL);
	allocations = 0;
	failing = will_fail;
	for (int i = 0; i < CHATS; i++) {
		began[i] = begin(&pair, i);
	}
	pair_run(&pair);
	if (chats[CANCELLED].call) {
		grpc_call_cancel(chats[CANCELLED].call, GRPC_CANCELLED);
	}
	for (int i = 0; i <= MESSAGES; i++) {
		if (chats[HOLDING].call) {
			grpc_call_next(chats[HOLDING].call);
		}
		pair_run(&pair);
	}
	pair_advance(&pair, 2 * NS_PER_MS);
	/* one is sent anew: its request has not left when the connection goes */
	began[PLAIN] = began[PLAIN] && chats[PLAIN].closed == 1 && begin(&pair, PLAIN);
	pair_disconnect(&pair);
	pair_run(&pair);
	pair_advance(&pair, 20 * NS_PER_S); /* whoever waited in vain has given up by now */
	for (int i = 0; i < CHATS; i++) {
		if (chats[i].closed != began[i]) {
			assert_int_equal(i, PLAIN); /* its first round had not even begun */
			assert_false(began[i]);
		}
	}
	pair_deinit(&pair);
	assert_int_equal(served, served_closed);
}

static void each_allocation_may_fail(void **state)
{
	static const size_t rows[] = { 1, 3, SIZE_MAX };
	size_t total;

	(void)state;
	failing = 0;
	scene();
	assert_int_equal(chats[PLAIN].status, GRPC_OK);
	assert_int_equal(chats[HOLDING].status, GRPC_OK);
	assert_int_equal(chats[EXPIRING].status, GRPC_DEADLINE_EXCEEDED);
	total = allocations;
	assert_true(total > 100);
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		row = rows[r];
		for (size_t i = 1; i <= total; i++) {
			failing = i;
			scene();
		}
	}
	failing = 0;
	scene();
	assert_int_equal(chats[PLAIN].status, GRPC_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

enum { SMALL, LARGE, EXPIRING, CANCELLED, CALLS };

static struct grpc_call *begin(struct pair *pair, struct record *record, int which)
{
	static char big[40000];
	struct metadata_entry note = { STR_INIT("x-note"), STR_INIT("kept in the arena"), NULL };
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

/* Connect; calls that are answered, gathered in pieces, late, or cancelled; drain. */
static void scene(void)
{
	static struct echo_service slow = { .delay = { ECHO_DELAY_FIXED, NS_PER_MS, 0 } };
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

static void each_allocation_may_fail(void **state)
{
	static const size_t rows[] = { 1, 3, SIZE_MAX };
	size_t total;

	(void)state;
	failing = 0;
	scene();
	total = allocations;
	assert_true(total > 50);
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		row = rows[r];
		for (size_t i = 1; i <= total; i++) {
			failing = i;
			scene();
		}
	}
	failing = 0;
	scene();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Every allocation fails in turn: ours, nghttp2's and protobuf-c's, during
 * connect, calls and drain. Each call still closes exactly once, nothing leaks
 * (the sanitizers say), and the next round works.
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

static size_t allocations, failing; /* the failing'th fails; 0: none */

static bool fails(void)
{
	return ++allocations == failing;
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

/* Connect, two calls, one of them gathered in pieces, an unknown one's refusal, drain. */
static void scene(void)
{
	static struct echo_service slow = { .delay = { ECHO_DELAY_FIXED, NS_PER_MS, 0 } };
	static char big[40000];
	struct metadata_entry note = { STR_INIT("x-note"), STR_INIT("kept in the arena"), NULL };
	struct pair pair;
	struct record small, large;
	size_t will_fail = failing;
	bool small_began, large_began;

	memset(big, 'b', sizeof(big));
	failing = 0; /* start-up may fail, and says so; it is not what this is about */
	pair_init(&pair, &(struct pair_options){ .seed = 5 });
	pair_add(&pair, &echo_service, &slow, NULL);
	allocations = 0;
	failing = will_fail;
	small_began = pair_call(&pair, &small, STR("small"),
				&(struct grpc_call_options){ .metadata = &note }) != NULL;
	pair_run(&pair);
	large_began = pair_call(&pair, &large, (struct str){ big, sizeof(big) }, NULL) != NULL;
	pair_run(&pair);
	pair_advance(&pair, 10 * NS_PER_MS);
	if (pair.server_end.engine) {
		pair.server_end.engine->ops->drain(pair.server_end.engine, ENGINE_DRAIN_GRACEFUL);
	}
	pair_run(&pair);
	pair_advance(&pair, 20 * NS_PER_S); /* whoever waited in vain has given up by now */
	assert_int_equal(small.closed, small_began);
	assert_int_equal(large.closed, large_began);
	pair_deinit(&pair);
}

static void each_allocation_may_fail(void **state)
{
	size_t total;

	(void)state;
	failing = 0;
	scene();
	total = allocations;
	assert_true(total > 50);
	for (size_t i = 1; i <= total; i++) {
		failing = i;
		scene();
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

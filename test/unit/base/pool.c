#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/pool.h"
#include "base/random.h"
#include "base/util.h"

static int set_up(void **state)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	pool_init(pool, 64 * KIB);
	*state = pool;
	return 0;
}

static int tear_down(void **state)
{
	failing_at = -1;
	pool_deinit(*state);
	free(*state);
	return 0;
}

static void fill(uint8_t *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		bytes[i] = (uint8_t)(seed + i * 7);
	}
}

static void assert_filled(const uint8_t *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(bytes[i], (uint8_t)(seed + i * 7));
	}
}

static void a_freed_block_is_used_again_by_its_class_alone(void **state)
{
	struct pool *pool = *state;
	void *seventeen = pool_malloc(17, pool), *other;
	long seen;

	pool_free(seventeen, pool);
	assert_int_equal(pool->cached_bytes, 32);
	seen = failing_seen;
	other = pool_malloc(33, pool);
	assert_ptr_not_equal(other, seventeen);
	assert_int_equal(failing_seen, seen + 1);
	/* 32 is of the class of 17, and costs no allocation. */
	assert_ptr_equal(pool_malloc(32, pool), seventeen);
	assert_int_equal(failing_seen, seen + 1);
	assert_int_equal(pool->cached_bytes, 0);
	pool_free(seventeen, pool);
	pool_free(other, pool);
	assert_int_equal(pool->cached_bytes, 32 + 48);
}

static void every_size_is_aligned_and_all_its_own(void **state)
{
	struct pool *pool = *state;
	uint8_t *blocks[POOL_MAX_BLOCK + 2];

	/* The second time round all small ones come from the cache. */
	for (unsigned round = 0; round < 2; round++) {
		for (size_t size = 0; size < ARRAY_SIZE(blocks); size++) {
			blocks[size] = pool_malloc(size, pool);
			assert_non_null(blocks[size]);
			assert_int_equal((uintptr_t)blocks[size] % 16, 0);
			fill(blocks[size], size, (unsigned)size);
		}
		for (size_t size = 0; size < ARRAY_SIZE(blocks); size++) {
			assert_filled(blocks[size], size, (unsigned)size);
			pool_free(blocks[size], pool);
		}
	}
}

static void no_size_is_a_block_too(void **state)
{
	struct pool *pool = *state;
	void *a = pool_malloc(0, pool), *b = pool_malloc(0, pool);

	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	pool_free(a, pool);
	pool_free(b, pool);
	pool_free(NULL, pool);
	assert_int_equal(pool->cached_bytes, 2 * POOL_STEP);
}

static void the_cache_is_bounded(void **state)
{
	struct pool *pool = *state;
	void *blocks[65], *large = pool_malloc(POOL_MAX_BLOCK + 1, pool);

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		blocks[i] = pool_malloc(POOL_MAX_BLOCK, pool);
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		pool_free(blocks[i], pool);
		assert_true(pool->cached_bytes <= pool->max_cached_bytes);
	}
	assert_int_equal(pool->cached_bytes, 64 * POOL_MAX_BLOCK);
	/* The bound is on all classes together. */
	pool_free(pool_malloc(1, pool), pool);
	assert_int_equal(pool->cached_bytes, 64 * POOL_MAX_BLOCK);
	pool_free(large, pool);
	assert_int_equal(pool->cached_bytes, 64 * POOL_MAX_BLOCK);
}

static void a_pool_without_a_cache_passes_all_through(void **state)
{
	struct pool none;

	(void)state;
	pool_init(&none, 0);
	pool_free(pool_malloc(16, &none), &none);
	assert_int_equal(none.cached_bytes, 0);
	for (size_t i = 0; i < ARRAY_SIZE(none.free); i++) {
		assert_null(none.free[i]);
	}
	pool_deinit(&none);
}

static void calloc_clears_what_was_used_before(void **state)
{
	struct pool *pool = *state;
	uint8_t *bytes = pool_malloc(96, pool), *again;

	memset(bytes, 0xff, 96);
	pool_free(bytes, pool);
	again = pool_calloc(12, 8, pool);
	assert_ptr_equal(again, bytes);
	for (size_t i = 0; i < 96; i++) {
		assert_int_equal(again[i], 0);
	}
	pool_free(again, pool);
}

static void sizes_that_overflow_are_no_memory(void **state)
{
	struct pool *pool = *state;
	void *large = pool_malloc(POOL_MAX_BLOCK + 1, pool), *small = pool_malloc(8, pool);
	/* Not a constant to the compiler, which would say that it is too much. */
	volatile size_t most = SIZE_MAX;
	long seen = failing_seen;

	assert_null(pool_calloc(most / 2, 3, pool));
	assert_null(pool_calloc(3, most / 2, pool));
	assert_null(pool_malloc(most, pool));
	assert_null(pool_malloc(most - 15, pool));
	assert_null(pool_realloc(large, most, pool));
	assert_null(pool_realloc(small, most - 3, pool));
	/* None of them was put to malloc. */
	assert_int_equal(failing_seen, seen);
	pool_free(large, pool);
	pool_free(small, pool);
}

static void realloc_keeps_the_content_across_classes(void **state)
{
	static const size_t sizes[] = { 1,    16,    17, 500, 1024, 1025, 5000, 100000, 1025, 1024,
					1023, 70000, 12, 16,  900,  0,    1,    4096,   0,    8 };
	struct pool *pool = *state;
	uint8_t *bytes = NULL;
	size_t had = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		bytes = pool_realloc(bytes, sizes[i], pool);
		assert_non_null(bytes);
		assert_filled(bytes, MIN(had, sizes[i]), i);
		fill(bytes, sizes[i], i + 1);
		had = sizes[i];
	}
	pool_free(bytes, pool);
}

static void realloc_stays_where_there_is_room(void **state)
{
	struct pool *pool = *state;
	void *bytes = pool_malloc(33, pool);
	long seen = failing_seen;

	assert_ptr_equal(pool_realloc(bytes, 48, pool), bytes);
	assert_ptr_equal(pool_realloc(bytes, 1, pool), bytes);
	assert_int_equal(failing_seen, seen);
	pool_free(bytes, pool);
	assert_int_equal(pool->cached_bytes, 48);
}

static void without_memory_nothing_is_lost(void **state)
{
	static const size_t from[] = { 8, 8, 8, 1024, 4096, 4096 };
	static const size_t to[] = { 32, 1024, 4096, 1025, 100, 1 << 20 };
	struct pool *pool = *state;

	failing_at = 0;
	assert_null(pool_malloc(8, pool));
	failing_at = 0;
	assert_null(pool_calloc(2, 4000, pool));
	failing_at = 0;
	assert_null(pool_realloc(NULL, 8, pool));
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		uint8_t *bytes = pool_malloc(from[i], pool);

		fill(bytes, from[i], 3);
		failing_at = 0;
		assert_null(pool_realloc(bytes, to[i], pool));
		assert_int_equal(failing_at, -1);
		assert_filled(bytes, from[i], 3);
		/* It is as usable as before. */
		bytes = pool_realloc(bytes, to[i], pool);
		assert_non_null(bytes);
		assert_filled(bytes, MIN(from[i], to[i]), 3);
		pool_free(bytes, pool);
		pool_deinit(pool); /* the next gets its memory from malloc again */
	}
}

/* Blocks never overlap, whatever is asked for in whatever order. */
static void random_use_mixes_up_nothing(void **state)
{
	struct pool *pool = *state;
	struct {
		uint8_t *bytes;
		size_t size;
	} blocks[64] = { 0 };
	struct random random;

	random_seed(&random, 7);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned at = (unsigned)random_below(&random, ARRAY_SIZE(blocks));
		size_t size = random_below(&random, i % 5 == 0 ? 3000 : 200);

		assert_filled(blocks[at].bytes, blocks[at].size, at);
		if (i % 3 == 0) {
			pool_free(blocks[at].bytes, pool);
			blocks[at].bytes = NULL;
			blocks[at].size = 0;
			continue;
		}
		blocks[at].bytes = pool_realloc(blocks[at].bytes, size, pool);
		assert_filled(blocks[at].bytes, MIN(size, blocks[at].size), at);
		blocks[at].size = size;
		fill(blocks[at].bytes, size, at);
		assert_true(pool->cached_bytes <= pool->max_cached_bytes);
	}
	for (unsigned at = 0; at < ARRAY_SIZE(blocks); at++) {
		assert_filled(blocks[at].bytes, blocks[at].size, at);
		pool_free(blocks[at].bytes, pool);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_freed_block_is_used_again_by_its_class_alone),
		TEST(every_size_is_aligned_and_all_its_own),
		TEST(no_size_is_a_block_too),
		TEST(the_cache_is_bounded),
		TEST(a_pool_without_a_cache_passes_all_through),
		TEST(calloc_clears_what_was_used_before),
		TEST(sizes_that_overflow_are_no_memory),
		TEST(realloc_keeps_the_content_across_classes),
		TEST(realloc_stays_where_there_is_room),
		TEST(without_memory_nothing_is_lost),
		TEST(random_use_mixes_up_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

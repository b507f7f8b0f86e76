#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/arena.h"

#define CAP ((size_t)256 * 1024)

struct home {
	struct arena arena;
	_Alignas(16) uint8_t memory[256];
};

static void begins_in_the_callers_memory(void **state)
{
	struct home home;
	long seen = failing_seen;
	uint8_t *a, *b;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), CAP);
	a = arena_alloc(&home.arena, 1);
	b = arena_alloc(&home.arena, sizeof(home.memory) - 16);
	assert_ptr_equal(a, home.memory);
	assert_ptr_equal(b, home.memory + 16);
	assert_int_equal(failing_seen, seen);
	arena_alloc(&home.arena, 1);
	assert_int_equal(failing_seen, seen + 1);
	arena_reset(&home.arena);
	assert_ptr_equal(arena_alloc(&home.arena, 1), home.memory);
	arena_reset(&home.arena);
}

static void nothing_overlaps(void **state)
{
	struct home home;
	uint8_t *pieces[500];

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), CAP);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		pieces[i] = arena_alloc(&home.arena, i);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % 16, 0);
		memset(pieces[i], (int)i, i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (size_t j = 0; j < i; j++) {
			assert_int_equal(pieces[i][j], (uint8_t)i);
		}
	}
	arena_reset(&home.arena);
}

static void needs_no_memory_of_the_callers(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL, 0, CAP);
	assert_non_null(arena_alloc(&arena, 0));
	assert_non_null(arena_alloc(&arena, 100));
	arena_reset(&arena);
}

static void the_cap_is_exact(void **state)
{
	struct home home;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), 4096);
	assert_non_null(arena_alloc(&home.arena, 4080));
	assert_false(home.arena.exhausted);
	assert_null(arena_alloc(&home.arena, 17));
	assert_true(home.arena.exhausted);
	assert_non_null(arena_alloc(&home.arena, 16));
	assert_null(arena_alloc(&home.arena, 0));
	assert_int_equal(home.arena.used, 4096);
	arena_reset(&home.arena);
	assert_false(home.arena.exhausted);
	assert_non_null(arena_alloc(&home.arena, 4096));
	arena_reset(&home.arena);
}

static void sizes_that_wrap_are_refused(void **state)
{
	struct home home;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), SIZE_MAX);
	assert_null(arena_alloc(&home.arena, SIZE_MAX));
	assert_null(arena_alloc(&home.arena, SIZE_MAX - 14));
	assert_null(arena_str(&home.arena, (struct str){ "x", SIZE_MAX }).data);
	arena_reset(&home.arena);
}

static void a_large_request_does_not_end_the_current_chunk(void **state)
{
	struct home home;
	uint8_t *a, *b;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), CAP);
	a = arena_alloc(&home.arena, 16);
	arena_alloc(&home.arena, 100000);
	b = arena_alloc(&home.arena, 16);
	assert_ptr_equal(b, a + 16);
	arena_reset(&home.arena);
}

static void copies_text(void **state)
{
	struct home home;
	struct str copy;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), CAP);
	copy = arena_str(&home.arena, STR("a\0b"));
	assert_int_equal(copy.len, 3);
	assert_memory_equal(copy.data, "a\0b", 4);
	copy = arena_str(&home.arena, (struct str){ NULL, 0 });
	assert_int_equal(copy.len, 0);
	assert_int_equal(copy.data[0], '\0');
	arena_reset(&home.arena);
}

static void without_memory_it_says_so_and_goes_on(void **state)
{
	struct home home;

	(void)state;
	arena_init(&home.arena, home.memory, sizeof(home.memory), CAP);
	failing_at = 0;
	assert_null(arena_alloc(&home.arena, 1000));
	assert_true(home.arena.exhausted);
	assert_int_equal(home.arena.used, 0);
	assert_non_null(arena_alloc(&home.arena, 1000));
	arena_reset(&home.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_in_the_callers_memory),
		cmocka_unit_test(nothing_overlaps),
		cmocka_unit_test(needs_no_memory_of_the_callers),
		cmocka_unit_test(the_cap_is_exact),
		cmocka_unit_test(sizes_that_wrap_are_refused),
		cmocka_unit_test(a_large_request_does_not_end_the_current_chunk),
		cmocka_unit_test(copies_text),
		cmocka_unit_test(without_memory_it_says_so_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

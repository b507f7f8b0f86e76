#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/buffer.h"
#include "base/random.h"

static void assert_content(const struct buffer *buffer, const char *expected)
{
	assert_int_equal(buffer_len(buffer), strlen(expected));
	assert_memory_equal(buffer_data(buffer), expected, strlen(expected));
}

static void an_empty_buffer_owns_nothing(void **state)
{
	struct buffer buffer = BUFFER_INIT;
	long seen = failing_seen;

	(void)state;
	assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
	assert_null(buffer_bytes(&buffer).data);
	assert_int_equal(failing_seen, seen);
	/* Even no room at all is somewhere: NULL means "no memory". */
	assert_non_null(buffer_reserve(&buffer, 0));
	buffer_free(&buffer);
	assert_null(buffer.memory);
}

static void appends_and_consumes(void **state)
{
	struct buffer buffer = BUFFER_INIT;

	(void)state;
	buffer_append(&buffer, "hello", 5);
	buffer_append_str(&buffer, STR(", world"));
	assert_content(&buffer, "hello, world");
	buffer_consume(&buffer, 7);
	assert_content(&buffer, "world");
	buffer_consume(&buffer, 5);
	assert_int_equal(buffer_len(&buffer), 0);
	assert_int_equal(buffer.start, 0);
	buffer_free(&buffer);
}

static void prints(void **state)
{
	struct buffer buffer = BUFFER_INIT;
	char long_text[1000];

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(buffer_printf(&buffer, "%d-%s;", 7, "seven"), 0);
	assert_content(&buffer, "7-seven;");
	buffer_clear(&buffer);
	assert_int_equal(buffer_printf(&buffer, "%s", long_text), 0);
	assert_content(&buffer, long_text);
	buffer_free(&buffer);
}

static void trim_gives_back_only_what_is_large(void **state)
{
	struct buffer buffer = BUFFER_INIT;
	uint8_t *memory;

	(void)state;
	memory = buffer_reserve(&buffer, 100);
	buffer_commit(&buffer, 100);
	buffer_trim(&buffer, buffer.capacity);
	assert_int_equal(buffer_len(&buffer), 0);
	assert_ptr_equal(buffer.memory, memory);
	buffer_trim(&buffer, buffer.capacity - 1);
	assert_null(buffer.memory);
}

static void a_steady_stream_does_not_grow(void **state)
{
	struct buffer buffer = BUFFER_INIT;
	uint8_t bytes[100] = { 0 };
	size_t capacity;

	(void)state;
	buffer_append(&buffer, bytes, 100);
	buffer_append(&buffer, bytes, 100);
	for (int i = 0; i < 10; i++) {
		buffer_append(&buffer, bytes, 100);
		buffer_consume(&buffer, 100);
	}
	capacity = buffer.capacity;
	for (int i = 0; i < 10000; i++) {
		buffer_append(&buffer, bytes, 100);
		buffer_consume(&buffer, 100);
	}
	assert_int_equal(buffer.capacity, capacity);
	buffer_free(&buffer);
}

static void without_memory_it_stays_as_it_was(void **state)
{
	struct buffer buffer = BUFFER_INIT;

	(void)state;
	buffer_append(&buffer, "abcdef", 6);
	buffer_consume(&buffer, 2);
	failing_at = 0;
	assert_int_equal(buffer_append(&buffer, (char[1000]){ 0 }, 1000), -ENOMEM);
	assert_content(&buffer, "cdef");
	failing_at = 0;
	assert_null(buffer_reserve(&buffer, 5000));
	failing_at = 0;
	assert_int_equal(buffer_printf(&buffer, "%200d", 1), -ENOMEM);
	failing_at = -1;
	assert_content(&buffer, "cdef");
	/* A size that no memory has. */
	assert_null(buffer_reserve(&buffer, SIZE_MAX));
	assert_null(buffer_reserve(&buffer, SIZE_MAX - 3));
	assert_content(&buffer, "cdef");
	buffer_free(&buffer);
}

/* Against the simplest thing that could be right: an array that is moved by hand. */
static void agrees_with_a_plain_array(void **state)
{
	static uint8_t model[1 << 18];
	struct buffer buffer = BUFFER_INIT, other = BUFFER_INIT;
	struct random random;
	uint8_t bytes[700];
	size_t len = 0;

	(void)state;
	random_seed(&random, 1);
	for (int i = 0; i < 20000; i++) {
		size_t n = random_below(&random, sizeof(bytes));

		memset(bytes, i, n);
		switch (random_below(&random, 8)) {
		case 0:
		case 1:
		case 2:
			assert_int_equal(buffer_append(&buffer, bytes, n), 0);
			memcpy(model + len, bytes, n);
			len += n;
			break;
		case 3:
			memcpy(buffer_reserve(&buffer, sizeof(bytes)), bytes, n);
			buffer_commit(&buffer, n);
			memcpy(model + len, bytes, n);
			len += n;
			break;
		case 4:
			buffer_swap(&buffer, &other);
			assert_int_equal(buffer_len(&buffer), 0);
			buffer_swap(&buffer, &other);
			break;
		default:
			n = MIN(2 * n, len); /* faster than it grows: it is often empty */
			buffer_consume(&buffer, n);
			memmove(model, model + n, len - n);
			len -= n;
			break;
		}
		assert_true(len + sizeof(bytes) <= sizeof(model));
		assert_int_equal(buffer_len(&buffer), len);
		assert_true(buffer.end <= buffer.capacity);
		assert_memory_equal(buffer_data(&buffer), model, len);
	}
	buffer_free(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buffer_owns_nothing),
		cmocka_unit_test(appends_and_consumes),
		cmocka_unit_test(prints),
		cmocka_unit_test(trim_gives_back_only_what_is_large),
		cmocka_unit_test(a_steady_stream_does_not_grow),
		cmocka_unit_test(without_memory_it_stays_as_it_was),
		cmocka_unit_test(agrees_with_a_plain_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

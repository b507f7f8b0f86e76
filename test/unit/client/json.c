#include "client/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static void expect(struct buffer *out, const char *text)
{
	assert_int_equal(buffer_append(out, "", 1), 0);
	assert_string_equal((const char *)buffer_data(out), text);
	buffer_free(out);
}

static void expect_quoted(struct str text, const char *json)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(json_string(&out, text), 0);
	expect(&out, json);
}

static void test_plain_text_is_quoted(void **state)
{
	(void)state;
	expect_quoted(STR(""), "\"\"");
	expect_quoted(STR("Hello, world!"), "\"Hello, world!\"");
	expect_quoted(STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x8e\x89"),
		      "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8e\x89\"");
}

static void test_what_would_break_the_string_is_escaped(void **state)
{
	(void)state;
	expect_quoted(STR("\"a\\b\""), "\"\\\"a\\\\b\\\"\"");
	expect_quoted(STR("a\0b"), "\"a\\u0000b\"");
	expect_quoted(STR("\n\r\t\x1b\x7f"), "\"\\n\\r\\t\\u001b\\u007f\"");
}

static void test_what_is_not_utf8_is_replaced(void **state)
{
	(void)state;
	expect_quoted(STR("a\xff"
			  "b"),
		      "\"a\xef\xbf\xbd"
		      "b\"");
	expect_quoted(STR("\xc3"), "\"\xef\xbf\xbd\"");
}

static void test_seconds(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(json_seconds(&out, 1234567), 0);
	expect(&out, "0.001234567");
	assert_int_equal(json_seconds(&out, 20 * NS_PER_S + 5), 0);
	expect(&out, "20.000000005");
}

static void test_metadata_groups_values_by_name(void **state)
{
	struct metadata metadata = { 0 };
	struct arena arena;
	struct buffer out = BUFFER_INIT;

	(void)state;
	arena_init(&arena, NULL, 0, 4096);
	assert_int_equal(metadata_add(&metadata, &arena, STR("b"), STR("1")), 0);
	assert_int_equal(metadata_add(&metadata, &arena, STR("a-bin"), STR("\x00\xff")), 0);
	assert_int_equal(metadata_add(&metadata, &arena, STR("b"), STR("\"2\"")), 0);
	assert_int_equal(json_metadata(&out, &metadata), 0);
	expect(&out, "{\"b\":[\"1\",\"\\\"2\\\"\"],\"a-bin\":[\"AP8\"]}");
	arena_reset(&arena);
}

static void test_no_metadata_is_an_empty_object(void **state)
{
	struct metadata metadata = { 0 };
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(json_metadata(&out, NULL), 0);
	expect(&out, "{}");
	assert_int_equal(json_metadata(&out, &metadata), 0);
	expect(&out, "{}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text_is_quoted),
		cmocka_unit_test(test_what_would_break_the_string_is_escaped),
		cmocka_unit_test(test_what_is_not_utf8_is_replaced),
		cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_metadata_groups_values_by_name),
		cmocka_unit_test(test_no_metadata_is_an_empty_object),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}

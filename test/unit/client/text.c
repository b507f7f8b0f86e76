#include "client/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect(struct buffer *out, const char *text)
{
	assert_int_equal(buffer_append(out, "", 1), 0);
	assert_string_equal((const char *)buffer_data(out), text);
	buffer_free(out);
}

static void expect_duration(int64_t ns, const char *expected)
{
	char text[32];

	text_duration(ns, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_durations_have_four_digits(void **state)
{
	(void)state;
	expect_duration(0, "0.000us");
	expect_duration(999, "0.999us");
	expect_duration(1234, "1.234us");
	expect_duration(999999, "999.9us");
	expect_duration(1000000, "1.000ms");
	expect_duration(12345678, "12.34ms");
	expect_duration(123456789, "123.4ms");
	expect_duration(1050 * NS_PER_MS, "1.050s");
	expect_duration(20 * NS_PER_S, "20.00s");
	expect_duration(3600 * NS_PER_S, "3600s");
}

static void test_rates(void **state)
{
	(void)state;
	assert_int_equal(text_rate_tenths(0, NS_PER_S), 0);
	assert_int_equal(text_rate_tenths(100, 0), 0);
	assert_int_equal(text_rate_tenths(123456, 5 * NS_PER_S), 246912);
	assert_int_equal(text_rate_tenths(1, 3 * NS_PER_S), 3);
}

static void test_a_failure_is_one_line_without_control_characters(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(text_failure(&out, GRPC_UNAVAILABLE, STR("connection refused")), 0);
	expect(&out, "UNAVAILABLE (14): connection refused");
	assert_int_equal(text_failure(&out, GRPC_DEADLINE_EXCEEDED, STR("")), 0);
	expect(&out, "DEADLINE_EXCEEDED (4)");
	assert_int_equal(text_failure(&out, GRPC_INTERNAL, STR("a\nb\x1b[2J\xff\0\xc3\xa9")), 0);
	expect(&out, "INTERNAL (13): a\\x0ab\\x1b[2J\xef\xbf\xbd\\x00\xc3\xa9");
}

static void test_controls_of_two_bytes_are_made_visible_too(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(text_visible(&out, STR("a\xc2\x9b"
						"31m\xc2\xa0\xc2")),
			 0);
	expect(&out, "a\\x9b31m\xc2\xa0\xef\xbf\xbd");
}

static void test_what_turns_the_direction_is_made_visible(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(text_visible(&out, STR("a\xe2\x80\xae"
						"b\xe2\x81\xa6\xe2\x81\xa9"
						"\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8")),
			 0);
	expect(&out, "a\\u202eb\\u2066\\u2069\\u061c\\u200f\\u2028");
	/* Their neighbours are text: a dash, an ellipsis, a letter, and what is cut off. */
	assert_int_equal(text_visible(&out, STR("\xe2\x80\x93\xe2\x80\xaf\xd8\x9b\xe2\x80")), 0);
	expect(&out, "\xe2\x80\x93\xe2\x80\xaf\xd8\x9b\xef\xbf\xbd\xef\xbf\xbd");
}

static void expect_utf8(struct str text, size_t max, const char *expected)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(text_utf8(&out, text, max), 0);
	expect(&out, expected);
}

static void test_utf8_is_cut_between_characters(void **state)
{
	(void)state;
	expect_utf8(STR(""), 0, "");
	expect_utf8(STR("gr\xc3\xbc\xc3\x9f"), 9, "gr\xc3\xbc\xc3\x9f");
	expect_utf8(STR("gr\xc3\xbc\xc3\x9f"), 4, "gr\xc3\xbc");
	expect_utf8(STR("gr\xc3\xbc\xc3\x9f"), 3, "gr");
	expect_utf8(STR("a\xff"
			"b"),
		    5,
		    "a\xef\xbf\xbd"
		    "b");
	expect_utf8(STR("a\xff"
			"b"),
		    3, "a");
	expect_utf8(STR("\xff\xff"), 6, "\xef\xbf\xbd\xef\xbf\xbd");
}

static void expect_number(double number, const char *expected)
{
	char text[TEXT_NUMBER_MAX];

	text_number(number, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_numbers_have_two_digits_at_most(void **state)
{
	(void)state;
	expect_number(0, "0");
	expect_number(-1, "0");
	expect_number(0.25, "0.25");
	expect_number(0.5, "0.5");
	expect_number(99.994, "99.99");
	expect_number(99.999, "100");
	expect_number(100.4, "100");
	expect_number(9991.4, "9991");
	expect_number(9991.5, "9992");
	expect_number(1e300, "1000000000000000");
}

static void expect_percent(double share, const char *expected)
{
	char text[TEXT_NUMBER_MAX];

	text_percent(share, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_a_share_is_nothing_or_all_only_where_it_is(void **state)
{
	(void)state;
	expect_percent(0, "0 %");
	expect_percent(0.00001, "<0.01 %");
	expect_percent(0.0001, "0.01 %");
	expect_percent(0.0123, "1.23 %");
	expect_percent(0.1234, "12.3 %");
	expect_percent(0.2, "20.0 %");
	expect_percent(0.09, "9.00 %");
	expect_percent(0.105485, "10.5 %");
	expect_percent(0.999, "99.9 %");
	expect_percent(0.9996, "99.96 %");
	expect_percent(0.99999, "99.99 %");
	expect_percent(1, "100 %");
	expect_percent(2.5, "250 %");
}

static void test_columns_are_characters(void **state)
{
	(void)state;
	assert_int_equal(text_columns(STR("")), 0);
	assert_int_equal(text_columns(STR("gr\xc3\xbc\xc3\x9f")), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations_have_four_digits),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_a_failure_is_one_line_without_control_characters),
		cmocka_unit_test(test_controls_of_two_bytes_are_made_visible_too),
		cmocka_unit_test(test_what_turns_the_direction_is_made_visible),
		cmocka_unit_test(test_utf8_is_cut_between_characters),
		cmocka_unit_test(test_numbers_have_two_digits_at_most),
		cmocka_unit_test(test_a_share_is_nothing_or_all_only_where_it_is),
		cmocka_unit_test(test_columns_are_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

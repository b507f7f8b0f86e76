#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"
#include "base/random.h"

static void reads_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "0", 0 },
		{ "0s", 0 },
		{ "100ns", 100 },
		{ "10us", 10000 },
		{ "10\xc2\xb5s", 10000 },
		{ "50ms", 50000000 },
		{ "1.5s", 1500000000 },
		{ "1.500s", 1500000000 },
		{ "0.000000001s", 1 },
		{ "0.1us", 100 },
		{ "1.0000000000000s", 1000000000 },
		{ "2m", 120000000000 },
		{ "1.5m", 90000000000 },
		{ "1h30m", 5400000000000 },
		{ "1h0m0.25s", 3600250000000 },
		{ "9223372036854775807ns", INT64_MAX },
		{ "2562047h47m16.854775807s", INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = -1;

		assert_int_equal(parse_duration(cases[i].text, &ns, NULL, 0), 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void says_why_a_duration_is_none(void **state)
{
	static const char malformed[] = "is not a duration (as in 500ms, 1.5s, 2m, 1h30m)";
	static const char no_unit[] = "has no unit (as in 500ms, 1.5s, 2m, 1h30m)";
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", malformed },
		{ "s", malformed },
		{ "-1s", malformed },
		{ "+1s", malformed },
		{ " 1s", malformed },
		{ "1s ", malformed },
		{ "1 s", malformed },
		{ "1.s", malformed },
		{ ".5s", malformed },
		{ "1x", malformed },
		{ "1S", malformed },
		{ "1min", malformed },
		{ "1e3s", malformed },
		{ "1,5s", malformed },
		{ "1..5s", malformed },
		{ "5", no_unit },
		{ "1h30", no_unit },
		{ "0.5", no_unit },
		{ "0.5ns", "is finer than a nanosecond" },
		{ "1.0000000001s", "is finer than a nanosecond" },
		{ "9223372036854775808ns", "is too long" },
		{ "99999999999999999999ns", "is too long" },
		{ "9999999999h", "is too long" },
		{ "2562047h2562047h", "is too long" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char why[128] = "";
		int64_t ns = 77;

		assert_int_equal(parse_duration(cases[i].text, &ns, why, sizeof(why)), -1);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(ns, 77);
	}
}

static void writes_durations_as_people_do(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 1, "1ns" },
		{ 999, "999ns" },
		{ 250000, "250us" },
		{ 1500, "1.5us" },
		{ 1000001, "1.000001ms" },
		{ 100000000, "100ms" },
		{ 1500000000, "1.5s" },
		{ 15000000000, "15s" },
		{ 60000000000, "1m" },
		{ 90000000000, "1m30s" },
		{ 5400000000000, "1h30m" },
		{ 3600000000001, "1h0.000000001s" },
		{ -1500000, "-1.5ms" },
		{ INT64_MAX, "2562047h47m16.854775807s" },
		{ INT64_MIN, "-2562047h47m16.854775808s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[64];

		format_duration(cases[i].ns, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

static void what_is_written_reads_back(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 9);
	for (int i = 0; i < 100000; i++) {
		/* All magnitudes, and numbers that end in zeros. */
		int64_t ns = (int64_t)(random_next(&random) >> (1 + random_below(&random, 63)));
		int64_t back = -1;
		char text[64];

		for (uint64_t zeros = random_below(&random, 10); zeros > 0 && ns < 1000000000;
		     zeros--) {
			ns *= 10;
		}
		format_duration(ns, text, sizeof(text));
		assert_int_equal(parse_duration(text, &back, NULL, 0), 0);
		assert_int_equal(back, ns);
	}
}

static void reads_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 },
		{ "4194304", 4194304 },
		{ "16B", 16 },
		{ "16KiB", 16384 },
		{ "16k", 16384 },
		{ "16K", 16384 },
		{ "4MiB", 4194304 },
		{ "4M", 4194304 },
		{ "1GiB", 1073741824 },
		{ "1G", 1073741824 },
		{ "18446744073709551615", UINT64_MAX },
		{ "17179869183G", UINT64_C(17179869183) << 30 },
	};
	static const char *const wrong[] = {
		"",   "KiB",  "4KB",   "4MB", "4 MiB", "4mib",         "1.5M",
		"-1", "0x10", "4MiBs", "1e6", " 4",    "17179869184G", "18446744073709551616"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 1;

		assert_int_equal(parse_size(cases[i].text, &bytes, NULL, 0), 0);
		assert_true(bytes == cases[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char why[128] = "";
		uint64_t bytes = 77;

		assert_int_equal(parse_size(wrong[i], &bytes, why, sizeof(why)), -1);
		assert_int_equal(bytes, 77);
		assert_memory_equal(why, "is ", 3);
	}
}

static void reads_whole_numbers(void **state)
{
	static const char *const wrong[] = { "",    "-1",  "+1", " 1", "1 ",
					     "0x1", "1.0", "1k", "x",  "18446744073709551616" };
	uint64_t number = 0;

	(void)state;
	assert_int_equal(parse_uint("18446744073709551615", &number, NULL, 0), 0);
	assert_true(number == UINT64_MAX);
	assert_int_equal(parse_uint("007", &number, NULL, 0), 0);
	assert_int_equal(number, 7);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char why[128] = "";

		assert_int_equal(parse_uint(wrong[i], &number, why, sizeof(why)), -1);
		assert_int_equal(number, 7);
		assert_memory_equal(why, "is ", 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(says_why_a_duration_is_none),
		cmocka_unit_test(writes_durations_as_people_do),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(reads_sizes),
		cmocka_unit_test(reads_whole_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

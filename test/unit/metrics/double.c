#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/util.h"
#include "metrics/exposition.h"

static const struct {
	double value;
	const char *text;
} table[] = {
	{ 0, "0" },
	{ -0.0, "-0" },
	{ 1, "1" },
	{ -1, "-1" },
	{ 10, "10" },
	{ 2.5, "2.5" },
	{ 0.005, "0.005" },
	{ 5e-05, "5e-05" },
	{ 0.0001, "0.0001" },
	{ 0.00025, "0.00025" },
	{ 0.1, "0.1" },
	{ 0.30000000000000004, "0.30000000000000004" },
	{ 1. / 3, "0.3333333333333333" },
	{ 123456, "123456" },
	{ 123456.7, "123456.7" },
	{ 999999, "999999" },
	{ 1e6, "1e+06" },
	{ 1000001, "1.000001e+06" },
	{ 1234567, "1.234567e+06" },
	{ 1700000000.123, "1.700000000123e+09" },
	{ 9007199254740991, "9.007199254740991e+15" },
	{ 9007199254740992, "9.007199254740992e+15" },
	{ 18446744073709551615.0, "1.8446744073709552e+19" },
	{ 1e21, "1e+21" },
	{ 1e23, "1e+23" },
	{ 1e100, "1e+100" },
	{ DBL_MAX, "1.7976931348623157e+308" },
	{ DBL_MIN, "2.2250738585072014e-308" },
	{ 5e-324, "5e-324" },
	{ 2e-323, "2e-323" },
	/* Powers of two whose nearest 16 digits belong to the neighbour below. */
	{ 0x1p-44, "5.684341886080802e-14" },
	{ 0x1p+863, "6.150157786156811e+259" },
	{ NAN, "NaN" },
	{ -NAN, "NaN" },
	{ INFINITY, "+Inf" },
	{ -INFINITY, "-Inf" },
};

static void assert_table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char text[32];

		memset(text, '#', sizeof(text));
		text[exposition_format_double(table[i].value, text)] = '\0';
		assert_string_equal(text, table[i].text);
	}
}

static void prints_as_go_does(void **state)
{
	(void)state;
	assert_table();
}

/*
 * A locale with a decimal comma, made here where the system has none. It must
 * be one indeed: else the test would prove nothing.
 */
static void the_locale_changes_nothing(void **state)
{
	char directory[] = "/tmp/echod-locale-XXXXXX";
	char command[256];
	bool found = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;

	(void)state;
	if (!found && mkdtemp(directory)) {
		snprintf(command, sizeof(command),
			 "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", directory);
		if (system(command) == 0) {
			setenv("LOCPATH", directory, 1);
			found = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
		}
		snprintf(command, sizeof(command), "rm -rf %s", directory);
		if (system(command) != 0) {
			found = false;
		}
	}
	if (!found) {
		print_message("no locale with a decimal comma, and none can be made\n");
		skip();
	}
	snprintf(command, sizeof(command), "%.1f", 0.5);
	assert_string_equal(command, "0,5");
	assert_table();
	setlocale(LC_ALL, "C");
}

/*
 * Reads back as itself, and no shorter decimal would: 15, 16 or 17 digits are tried
 * by printf.
 */
static void reads_back_and_is_shortest(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 41);
	for (int i = 0; i < 50000; i++) {
		uint64_t bits = random_next(&random);
		char text[33], shorter[40];
		double value;
		int digits = 0;

		memcpy(&value, &bits, sizeof(value));
		if (i % 2 == 0) {
			value = (double)(int64_t)bits / 0x1p40;
		}
		if (!isfinite(value)) {
			continue;
		}
		text[exposition_format_double(value, text)] = '\0';
		assert_true(strtod(text, NULL) == value);
		for (const char *p = text; *p != '\0' && *p != 'e'; p++) {
			digits += *p >= '0' && *p <= '9' && (digits > 0 || *p != '0');
		}
		assert_true(digits <= 17);
		if (digits > 1 && digits <= 17 && fabs(value) >= DBL_MIN) {
			snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, value);
			/*
			 * Trailing zeros of whole numbers are no digits of the
			 * shortest form.
			 */
			assert_true(strtod(shorter, NULL) != value || !strpbrk(text, ".e"));
		}
	}
}

/* The fewest digits of printf's that read back, by trying them all; as C prints them. */
static void print_by_trying(double value, char text[40])
{
	for (int digits = 0; digits < 17; digits++) {
		snprintf(text, 40, "%.*e", digits, value);
		if (strtod(text, NULL) == value) {
			return;
		}
	}
}

/* The same digits, where no power of two makes printf's nearest one a neighbour's. */
static void assert_digits(double value)
{
	char text[33], own[40], tried[40];

	text[exposition_format_double(value, text)] = '\0';
	assert_true(strtod(text, NULL) == value);
	print_by_trying(value, tried);
	snprintf(own, sizeof(own), "%.*e", (int)(strcspn(tried, "e") - (tried[1] == '.' ? 2 : 1)),
		 strtod(text, NULL));
	assert_string_equal(own, tried);
	assert_true(strlen(text) <= strlen(tried) + 4); /* no digits that are not needed */
}

/*
 * Sums of times as servers have them, numbers half way between shorter ones, and what lies
 * at the ends of each power of two and ten.
 */
static void digits_are_printfs(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 43);
	for (int i = 0; i < 100000; i++) {
		double value = (double)(random_next(&random) >> random_below(&random, 64)) / 1e9;

		if (value > 0) {
			assert_digits(value);
			assert_digits(ldexp(value, 40));
			assert_digits(value + 0.5);
		}
	}
	for (int e = -60; e < 120; e++) { /* the powers where another way is taken among them */
		assert_digits(nextafter(ldexp(1, e), INFINITY));
		assert_digits(nextafter(ldexp(1, e), 0));
		assert_digits(ldexp(3, e));
	}
	for (int e = -8; e < 40; e++) {
		assert_digits(pow(10, e));
		assert_digits(nextafter(pow(10, e), INFINITY));
		assert_digits(nextafter(pow(10, e), 0));
		assert_digits(5.5 * pow(10, e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_as_go_does),
		cmocka_unit_test(the_locale_changes_nothing),
		cmocka_unit_test(reads_back_and_is_shortest),
		cmocka_unit_test(digits_are_printfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/echo.h"

static struct echo_delay parsed(const char *text)
{
	struct echo_delay delay;
	char why[128];

	assert_int_equal(echo_delay_parse(text, &delay, why, sizeof(why)), 0);
	return delay;
}

static void no_delay_is_none(void **state)
{
	(void)state;
	assert_int_equal(parsed("none").kind, ECHO_DELAY_NONE);
	assert_int_equal(parsed("none").low_ns, 0);
}

static void a_duration_is_a_fixed_delay(void **state)
{
	struct echo_delay delay = parsed("50ms");

	(void)state;
	assert_int_equal(delay.kind, ECHO_DELAY_FIXED);
	assert_int_equal(delay.low_ns, 50 * NS_PER_MS);
}

static void uniform_takes_two_durations(void **state)
{
	struct echo_delay delay = parsed("uniform:0s,5s");

	(void)state;
	assert_int_equal(delay.kind, ECHO_DELAY_UNIFORM);
	assert_int_equal(delay.low_ns, 0);
	assert_int_equal(delay.high_ns, 5 * NS_PER_S);
}

static void what_is_no_delay_is_refused_with_a_reason_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"",
		"soon",
		"-1s",
		"50",
		"uniform",
		"uniform:",
		"uniform:1s",
		"uniform:1s,",
		"uniform:,1s",
		"uniform:2s,1s",
		"uniform:1s,1s",
		"uniform:0s,500us",
		"uniform:0s,1s,2s",
		"uniform:x,1s",
		"uniform:00000000000000000000000000000000000000000000000s,1s",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct echo_delay delay = { .kind = ECHO_DELAY_FIXED, .low_ns = 7 };
		char why[128] = "";

		assert_int_equal(echo_delay_parse(bad[i], &delay, why, sizeof(why)), -1);
		assert_true(strlen(why) > 0);
		assert_int_equal(delay.low_ns, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_delay_is_none),
		cmocka_unit_test(a_duration_is_a_fixed_delay),
		cmocka_unit_test(uniform_takes_two_durations),
		cmocka_unit_test(what_is_no_delay_is_refused_with_a_reason_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/faults.h"

static struct delay parsed(const char *text)
{
	struct delay delay;
	char why[128] = "";

	if (delay_parse(text, &delay, why, sizeof(why)) < 0) {
		fail_msg("%s %s", text, why);
	}
	return delay;
}

/* -- As they are written -- */

static void each_form_is_read_and_written_back(void **state)
{
	static const struct {
		const char *text;
		enum delay_kind kind;
		const char *written; /* NULL: the same */
	} rows[] = {
		{ "none", DELAY_NONE, NULL },
		{ "0", DELAY_FIXED, "0s" },
		{ "50ms", DELAY_FIXED, NULL },
		{ "1h", DELAY_FIXED, NULL },
		{ "0.05s", DELAY_FIXED, "50ms" },
		{ "uniform:0s,5s", DELAY_UNIFORM, NULL },
		{ "uniform:1us,1001us", DELAY_UNIFORM, "uniform:1us,1.001ms" },
		{ "normal:20ms,5ms", DELAY_NORMAL, NULL },
		{ "normal:0s,1ns", DELAY_NORMAL, NULL },
		{ "normal:1h,1h", DELAY_NORMAL, NULL },
		{ "exponential:10ms", DELAY_EXPONENTIAL, NULL },
		{ "150us:10,2ms:5,0.5s:1", DELAY_WEIGHTED, "150us:10,2ms:5,500ms:1" },
		{ "1s:100", DELAY_WEIGHTED, NULL },
		{ "1s:0", DELAY_WEIGHTED, NULL },
		{ "1s:0.0000001,2s:99.9999999", DELAY_WEIGHTED, NULL },
		{ "1s:50,1s:50", DELAY_WEIGHTED, NULL },
		{ "1s:02.50000000000", DELAY_WEIGHTED, "1s:2.5" },
		{ "p50=2ms,p90=10ms,p99=80ms", DELAY_PERCENTILES, NULL },
		{ "p100=1s", DELAY_PERCENTILES, NULL },
		{ "p0.0000001=1s,p99.9999999=1s", DELAY_PERCENTILES, NULL },
		{ "p1=1ms,p2=1ms,p3=1ms,p4=1ms,p5=1ms,p6=1ms,p7=1ms,p8=1ms,p9=1ms,p10=1ms,"
		  "p11=1ms,p12=1ms,p13=1ms,p14=1ms,p15=1ms,p16=1ms",
		  DELAY_PERCENTILES, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *written = rows[i].written ? rows[i].written : rows[i].text;
		struct delay delay = parsed(rows[i].text), again;
		struct buffer out = BUFFER_INIT;

		assert_int_equal(delay.kind, rows[i].kind);
		assert_int_equal(delay_print(&delay, &out), 0);
		assert_int_equal(buffer_append(&out, "", 1), 0);
		assert_string_equal((const char *)buffer_data(&out), written);
		again = parsed(written);
		assert_memory_equal(&again, &delay, sizeof(delay));
		buffer_free(&out);
	}
}

static void the_parts_mean_what_they_say(void **state)
{
	struct delay delay = parsed("150us:10,2ms:0.5");

	(void)state;
	assert_int_equal(delay.n_points, 2);
	assert_int_equal(delay.points[0].ns, 150 * NS_PER_US);
	assert_int_equal(delay.points[0].share, FAULTS_WHOLE / 10);
	assert_int_equal(delay.points[1].share, FAULTS_WHOLE / 200);
	delay = parsed("p99.9=80ms");
	assert_int_equal(delay.points[0].share, 999000000);
	assert_int_equal(delay.points[0].ns, 80 * NS_PER_MS);
	delay = parsed("normal:20ms,5ms");
	assert_int_equal(delay.mean_ns, 20 * NS_PER_MS);
	assert_int_equal(delay.deviation_ns, 5 * NS_PER_MS);
	delay = parsed("uniform:0s,5s");
	assert_int_equal(delay.high_ns, 5 * NS_PER_S);
}

static void nonsense_is_refused_with_its_reason_and_changes_nothing(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "is no delay" },
		{ "soon", "is no delay" },
		{ "NONE", "is no delay" },
		{ "-1s", "is no delay" },
		{ "nan", "is no delay" },
		{ " 1s", "is no delay" },
		{ ":1", "is no delay" },
		{ ",", "is no delay" },
		{ "uniform", "is no delay" },
		{ "lognormal:1ms,2ms", "is no delay" },
		{ "50", "has no unit (as in 500ms, 1.5s, 2m, 1h30m)" },
		{ "1s ", "is not a duration (as in 500ms, 1.5s, 2m, 1h30m)" },
		{ "0.5ns", "is finer than a nanosecond" },
		{ "1h1ns", "is longer than 1h" },
		{ "99999999999999999999s", "is too long" },
		{ "uniform:", "has an item that is empty" },
		{ "uniform:1s", "needs two durations: uniform:LOW,HIGH" },
		{ "uniform:1s,", "has an item that is empty" },
		{ "uniform:,1s", "has an item that is empty" },
		{ "uniform:2s,1s", "needs a HIGH at least 1ms above LOW" },
		{ "uniform:1s,1s", "needs a HIGH at least 1ms above LOW" },
		{ "uniform:0s,500us", "needs a HIGH at least 1ms above LOW" },
		{ "uniform:0s,1500us", "needs whole milliseconds from LOW to HIGH" },
		{ "uniform:0s,1s,2s", "has more than two durations: uniform:LOW,HIGH" },
		{ "uniform:0s,1s,", "has more than two durations: uniform:LOW,HIGH" },
		{ "uniform:0s,2h", "has \"2h\", which is longer than 1h" },
		{ "uniform:x,1s",
		  "has \"x\", which is not a duration (as in 500ms, 1.5s, 2m, 1h30m)" },
		{ "uniform:-1s,1s", "has \"-1s\", which is not a duration" },
		{ "uniform:0000000000000000000000000000000000000000000000000000000000000000s,1s",
		  "has an item of more than 63 characters" },
		{ "normal:20ms", "needs two durations: normal:MEAN,DEVIATION" },
		{ "normal:20ms,0s", "needs a DEVIATION above 0; without one the mean is enough" },
		{ "normal:-20ms,5ms", "has \"-20ms\", which is not a duration" },
		{ "normal:20ms,-5ms", "has \"-5ms\", which is not a duration" },
		{ "normal:2h,5ms", "has \"2h\", which is longer than 1h" },
		{ "normal:5ms,nan", "has \"nan\", which is not a duration" },
		{ "exponential:", "has \"\", which is not a duration" },
		{ "exponential:0s", "needs a mean above 0" },
		{ "exponential:1ms,1ms", "has \"1ms,1ms\", which is not a duration" },
		{ "exponential:61m", "has \"61m\", which is longer than 1h" },
		{ "1ms,2ms", "has \"1ms\", which is not DURATION:PERCENT" },
		{ "1ms:", "has \"\", which is no percentage (as in 2 or 0.5)" },
		{ "1ms:5,", "has an item that is empty" },
		{ "1ms:5,,2ms:5", "has an item that is empty" },
		{ "1ms:-5", "has \"-5\", which is no percentage" },
		{ "1ms:nan", "has \"nan\", which is no percentage" },
		{ "1ms:inf", "has \"inf\", which is no percentage" },
		{ "1ms:5%", "has \"5%\", which is no percentage" },
		{ "1ms:1e1", "has \"1e1\", which is no percentage" },
		{ "1ms:5.", "has \"5.\", which is no percentage" },
		{ "1ms:.5", "has \".5\", which is no percentage" },
		{ "1ms:5:5", "has \"5:5\", which is no percentage" },
		{ "1ms:100.0000001", "has \"100.0000001\", which is more than 100 %" },
		{ "1ms:99999999999999999999999999", "which is more than 100 %" },
		{ "1ms:0.00000001", "has \"0.00000001\", which is finer than 0.0000001 %" },
		{ "1ms:60,2ms:40.0000001", "comes to more than 100 %" },
		{ "5:10", "has \"5\", which has no unit" },
		{ "2h:10", "has \"2h\", which is longer than 1h" },
		{ "p50", "has \"p50\", which is not pPERCENT=DURATION" },
		{ "p50:2ms", "has \"p50:2ms\", which is not pPERCENT=DURATION" },
		{ "p50=2ms,", "has an item that is empty" },
		{ "p50=2ms,90=10ms", "has \"90\", which is no percentile (as in p99)" },
		{ "p=2ms", "has \"\", which is no percentage" },
		{ "p0=2ms", "has \"p0\", which is not above the percentile before it, or p0" },
		{ "p50=2ms,p50=3ms", "has \"p50\", which is not above the percentile before it" },
		{ "p50=2ms,p40=3ms", "has \"p40\", which is not above the percentile before it" },
		{ "p50=2ms,p90=1ms", "has \"1ms\", which is less than at the percentile before" },
		{ "p101=2ms", "has \"101\", which is more than 100 %" },
		{ "p50=2h", "has \"2h\", which is longer than 1h" },
		{ "p50=-2ms", "has \"-2ms\", which is not a duration" },
		{ "p1=1ms,p2=1ms,p3=1ms,p4=1ms,p5=1ms,p6=1ms,p7=1ms,p8=1ms,p9=1ms,p10=1ms,"
		  "p11=1ms,p12=1ms,p13=1ms,p14=1ms,p15=1ms,p16=1ms,p17=1ms",
		  "has more than 16 items" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct delay delay = { .kind = DELAY_FIXED, .low_ns = 7 };
		char why[128] = "";

		if (delay_parse(rows[i].text, &delay, why, sizeof(why)) != -1) {
			fail_msg("\"%s\" was taken", rows[i].text);
		}
		if (!strstr(why, rows[i].why)) {
			fail_msg("\"%s\" %s", rows[i].text, why);
		}
		assert_null(strchr(why, '\n'));
		assert_int_equal(delay.kind, DELAY_FIXED);
		assert_int_equal(delay.low_ns, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_form_is_read_and_written_back),
		cmocka_unit_test(the_parts_mean_what_they_say),
		cmocka_unit_test(nonsense_is_refused_with_its_reason_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

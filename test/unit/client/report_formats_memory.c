/* Every allocation of every format fails in turn: -ENOMEM each time, and nothing is lost. */
#include "client/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "../failing.h"
#include "sample.h"

static int html(struct buffer *out, const struct run *run)
{
	const struct run *runs[] = { run, run };

	return report_html(out, runs, ARRAY_SIZE(runs));
}

static void fail_each_in_turn(int (*format)(struct buffer *out, const struct run *run))
{
	struct run run;
	long n = 0;

	sample_one(&run);
	sample_verdicts(&run);
	sample_call(&run, 0, 0, 5 * NS_PER_MS, GRPC_UNAVAILABLE, "somewhere", 1);
	for (;;) {
		struct buffer out = BUFFER_INIT;
		int err;

		failing_at = n;
		err = format(&out, &run);
		buffer_free(&out);
		if (failing_at >= 0) { /* there were fewer allocations than that */
			failing_at = -1;
			assert_int_equal(err, 0);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		n++;
	}
	assert_true(n > 0);
	run_deinit(&run);
}

static void test_fortio(void **state)
{
	(void)state;
	fail_each_in_turn(report_fortio);
}

static void test_hgrm(void **state)
{
	(void)state;
	fail_each_in_turn(report_hgrm);
}

static void test_prom(void **state)
{
	(void)state;
	fail_each_in_turn(report_prom);
}

static void test_html(void **state)
{
	(void)state;
	fail_each_in_turn(html);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fortio),
		cmocka_unit_test(test_hgrm),
		cmocka_unit_test(test_prom),
		cmocka_unit_test(test_html),
	};

	json_set_alloc_funcs(malloc, free); /* the library's too */
	return cmocka_run_group_tests_name("report_formats_memory", tests, NULL, NULL);
}

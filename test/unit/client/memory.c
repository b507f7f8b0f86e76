/*
 * Every allocation fails in turn: an error each time, never a crash, never half
 * a text taken for a whole one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <jansson.h>

#include "../failing.h"
#include "client/call_report.h"
#include "client/plan.h"
#include "client/text.h"

/* Calls `attempt` with the first, the second, ... allocation failing, until it succeeds. */
static void fail_each_in_turn(int (*attempt)(void))
{
	long n = 0;

	for (;;) {
		int result;

		failing_at = n;
		result = attempt();
		if (failing_at >= 0) { /* there were fewer allocations than that */
			failing_at = -1;
			assert_int_equal(result, 0);
			break;
		}
		assert_true(result < 0);
		n++;
	}
	assert_true(n > 0);
}

static int attempt_plan(void)
{
	char arguments[][32] = { "client", "--message=hi", "--metadata=a:1", "--metadata=b-bin:AAE",
				 "localhost" };
	char *argv[ARRAY_SIZE(arguments) + 1];
	struct plan plan;
	char why[256] = "";
	enum options_result result;

	for (size_t i = 0; i < ARRAY_SIZE(arguments); i++) {
		argv[i] = arguments[i];
	}
	argv[ARRAY_SIZE(arguments)] = NULL;
	result = plan_init(&plan, ARRAY_SIZE(arguments), argv, why, sizeof(why));
	if (result == OPTIONS_OK) {
		assert_int_equal(plan.metadata.n, 2);
		assert_int_equal(buffer_len(&plan.message), 2);
	} else {
		assert_int_not_equal(why[0], '\0');
	}
	plan_deinit(&plan);
	return result == OPTIONS_OK ? 0 : -1;
}

static void test_a_plan(void **state)
{
	(void)state;
	fail_each_in_turn(attempt_plan);
}

/* The lists of a run pass from the flags to the plan, and each is freed once. */
static int attempt_plan_of_a_run(void)
{
	char arguments[][48] = { "client",
				 "--rate=10,20/1s",
				 "--method=package.Service/Method",
				 "--request-file=/dev/null",
				 "--assert=p99<1s",
				 "--assert=unreconciled==0",
				 "--reconcile=http://a/metrics",
				 "--reconcile=http://b/metrics",
				 "--output=text",
				 "--output=json:run.json",
				 "a:1",
				 "unix:/b" };
	char *argv[ARRAY_SIZE(arguments) + 1];
	struct plan plan;
	struct buffer line = BUFFER_INIT;
	char why[256] = "";
	int err = -1;

	for (size_t i = 0; i < ARRAY_SIZE(arguments); i++) {
		argv[i] = arguments[i];
	}
	argv[ARRAY_SIZE(arguments)] = NULL;
	if (plan_init(&plan, ARRAY_SIZE(arguments), argv, why, sizeof(why)) == OPTIONS_OK) {
		assert_int_equal(plan.assertions.n, 2);
		assert_int_equal(plan.reconcile.n, 2);
		err = plan_describe(&plan, &line);
	} else {
		assert_int_not_equal(why[0], '\0');
	}
	buffer_free(&line);
	plan_deinit(&plan);
	return err;
}

static void test_a_plan_of_a_run(void **state)
{
	(void)state;
	fail_each_in_turn(attempt_plan_of_a_run);
}

static struct metadata metadata;

static int attempt_call(void)
{
	const struct call_report call = {
		.target = "localhost:9876",
		.replied = true,
		.reply = STR("a reply that is long enough for the buffer to grow once more"),
		.initial = &metadata,
		.trailing = &metadata,
	};
	struct buffer out = BUFFER_INIT;
	int err = call_report_json(&out, &call);

	if (err == 0) {
		err = text_failure(&out, GRPC_INTERNAL, STR("a\nb"));
	}
	buffer_free(&out);
	return err;
}

static void test_the_report_of_a_call(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL, 0, 1024);
	assert_int_equal(metadata_add(&metadata, &arena, STR("a-bin"), STR("\x01\x02")), 0);
	fail_each_in_turn(attempt_call);
	arena_reset(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plan),
		cmocka_unit_test(test_a_plan_of_a_run),
		cmocka_unit_test(test_the_report_of_a_call),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}

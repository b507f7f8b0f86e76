#include "client/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

static struct plan plan;
static char why[512];

/* `words`: the arguments, separated by blanks. */
static enum options_result parse(const char *words)
{
	static char copy[512];
	static char name[] = "client";
	char *argv[32] = { name }, *rest = copy, *word;
	int argc = 1;

	why[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " "))) {
		if (*word != '\0') {
			argv[argc++] = word;
		}
	}
	return plan_init(&plan, argc, argv, why, sizeof(why));
}

static void accept_plan(const char *words)
{
	if (parse(words) != OPTIONS_OK) {
		fail_msg("%s: %s", words, why);
	}
}

static void refuse(const char *words, const char *reason)
{
	if (parse(words) != OPTIONS_ERROR || !strstr(why, reason) || strchr(why, '\n')) {
		fail_msg("%s: \"%s\" does not say \"%s\" in one line", words, why, reason);
	}
	plan_deinit(&plan);
}

static void expect_message(struct str text)
{
	assert_int_equal(buffer_len(&plan.message), text.len);
	assert_memory_equal(buffer_data(&plan.message), text.data, text.len);
}

static void test_by_default_one_call(void **state)
{
	(void)state;
	accept_plan("");
	assert_false(plan.load);
	assert_false((plan.outputs[0].format == REPORT_JSON));
	assert_false(plan.web);
	assert_true(plan.progress);
	assert_int_equal(plan.timeout_ns, 20 * NS_PER_S);
	assert_string_equal(plan.targets[0].text, "127.0.0.1:9876");
	assert_string_equal(plan.targets[0].authority, "127.0.0.1:9876");
	expect_message(STR("Hello, world!"));
	assert_int_equal(plan.metadata.n, 0);
	assert_false(plan.gzip);
	assert_false(plan.wait_for_ready);
	assert_int_equal(plan.keepalive_time_ns, 0);
	assert_int_equal(plan.keepalive_timeout_ns, 20 * NS_PER_S);
	plan_deinit(&plan);
}

static void test_what_a_call_carries(void **state)
{
	(void)state;
	accept_plan("--message=hi --timeout=500ms --metadata=a:1 --metadata b:2 --plaintext "
		    "--output=json --progress=off");
	expect_message(STR("hi"));
	assert_int_equal(plan.timeout_ns, 500 * NS_PER_MS);
	assert_int_equal(plan.metadata.n, 2);
	assert_true(str_equal(plan.metadata.first->next->value, STR("2")));
	assert_true((plan.outputs[0].format == REPORT_JSON));
	assert_false(plan.progress);
	assert_false(plan.load);
	plan_deinit(&plan);
	accept_plan("--compression=gzip --wait-for-ready --keepalive-time=1m --keepalive-timeout=5s");
	assert_true(plan.gzip);
	assert_true(plan.wait_for_ready);
	assert_int_equal(plan.keepalive_time_ns, 60 * NS_PER_S);
	assert_int_equal(plan.keepalive_timeout_ns, 5 * NS_PER_S);
	plan_deinit(&plan);
	accept_plan("--message=");
	expect_message(STR(""));
	plan_deinit(&plan);
}

static void refuse_empty_target(void)
{
	char name[] = "client", empty[] = "";
	char *argv[] = { name, empty, NULL };

	assert_int_equal(plan_init(&plan, 2, argv, why, sizeof(why)), OPTIONS_ERROR);
	assert_string_equal(why, "target \"\": is empty");
	plan_deinit(&plan);
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *authority;
	} cases[] = {
		{ "example.org:1234", "example.org:1234" },
		{ "example.org", "example.org:9876" },
		{ "[::1]:5", "[::1]:5" },
		{ ":5", "localhost:5" },
		{ "unix:/run/echod.sock", "localhost" },
		{ "unix:@echod", "localhost" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		accept_plan(cases[i].text);
		assert_string_equal(plan.targets[0].authority, cases[i].authority);
		plan_deinit(&plan);
	}
	accept_plan("unix:@echod");
	assert_string_equal(plan.targets[0].text, "unix:@echod");
	assert_int_equal(plan.targets[0].spec.kind, ADDRESS_ABSTRACT);
	plan_deinit(&plan);
	refuse("127.0.0.1:99999", "127.0.0.1:99999");
	refuse_empty_target();
	refuse("a:1 b:2", "\"b:2\" is a second");
}

static void expect_load(const char *words, uint64_t count, int64_t duration_ns,
			uint64_t concurrency, uint64_t connections)
{
	accept_plan(words);
	assert_true(plan.load);
	assert_int_equal(plan.count, count);
	assert_int_equal(plan.duration_ns, duration_ns);
	assert_int_equal(plan.concurrency, concurrency);
	assert_int_equal(plan.connections, connections);
	plan_deinit(&plan);
}

static void test_each_load_flag_alone_makes_a_run(void **state)
{
	(void)state;
	expect_load("--count=5", 5, 0, 1, 1);
	expect_load("--duration=5s", 0, 5 * NS_PER_S, 1, 1);
	expect_load("--concurrency=7", 0, PLAN_DEFAULT_DURATION_NS, 7, 1);
	expect_load("--connections=3", 0, PLAN_DEFAULT_DURATION_NS, 3, 3);
}

static void test_load_flags_together(void **state)
{
	(void)state;
	expect_load("--count=5 --duration=2s", 5, 2 * NS_PER_S, 1, 1);
	expect_load("--count=5 --concurrency=50", 5, 0, 50, 1);
	expect_load("--concurrency=100 --count=1", 1, 0, 100, 1);
	expect_load("--concurrency=101 --count=1", 1, 0, 101, 2);
	expect_load("--concurrency=8 --connections=8 --count=1", 1, 0, 8, 8);
	refuse("--concurrency=3 --connections=4", "--connections=4 is more than --concurrency=3");
}

static void test_bad_values_are_named(void **state)
{
	(void)state;
	refuse("--nonsense", "--nonsense");
	refuse("--count=0", "--count");
	refuse("--count=-1", "--count");
	refuse("--count=x", "--count");
	refuse("--concurrency=0", "--concurrency");
	refuse("--connections=0", "--connections");
	refuse("--duration=0", "--duration");
	refuse("--duration=5", "--duration");
	refuse("--timeout=0", "--timeout");
	refuse("--timeout=soon", "--timeout");
	refuse("--keepalive-time=9s", "--keepalive-time");
	refuse("--output=yaml", "--output");
	refuse("--progress=on", "--progress");
	refuse("--metadata=x", "--metadata=x is not of the form");
	refuse("--metadata=te:x", "\"te\"");
	refuse("--web.listen-address=nowhere", "--web.listen-address");
	refuse("--no-plaintext", "TLS");
	refuse("--message=a --message-file=b", "exclude each other");
	refuse("--message-file=/nonexistent", "--message-file=/nonexistent cannot be opened");
	refuse("--message=\xff", "--message: the message is not valid UTF-8");
}

static void test_help_and_version(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), OPTIONS_HELP);
	plan_deinit(&plan);
	assert_int_equal(parse("--version"), OPTIONS_VERSION);
	plan_deinit(&plan);
}

static void expect_description(const char *words, const char *text)
{
	struct buffer out = BUFFER_INIT;

	accept_plan(words);
	assert_int_equal(plan_describe(&plan, &out), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_string_equal((const char *)buffer_data(&out), text);
	buffer_free(&out);
	plan_deinit(&plan);
}

static void test_a_run_is_described(void **state)
{
	(void)state;
	expect_description("--duration=5s --concurrency=50",
			   "50 calls at a time over 1 connection to 127.0.0.1:9876, for 5s");
	expect_description("--count=9 localhost:1",
			   "1 call at a time over 1 connection to localhost:1, 9 in all");
	expect_description("--count=9 --duration=1m --connections=2",
			   "2 calls at a time over 2 connections to 127.0.0.1:9876, 9 in all, "
			   "for at most 1m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_default_one_call),
		cmocka_unit_test(test_what_a_call_carries),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_each_load_flag_alone_makes_a_run),
		cmocka_unit_test(test_load_flags_together),
		cmocka_unit_test(test_bad_values_are_named),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_a_run_is_described),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}

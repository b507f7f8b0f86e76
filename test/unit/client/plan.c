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
	accept_plan(
		"--compression=gzip --wait-for-ready --keepalive-time=1m --keepalive-timeout=5s");
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
	refuse("--keepalive-timeout=5s", "has no sense without --keepalive-time");
	refuse("--count=1 --name=", "--name= is empty");
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
			   "closed loop, 50 calls at a time, over 1 connection to "
			   "127.0.0.1:9876, messages of 13 bytes, for 5s");
	expect_description("--count=9 --message=x localhost:1",
			   "closed loop, 1 call at a time, over 1 connection to localhost:1, "
			   "messages of 1 byte, 9 in all");
	expect_description("--count=9 --duration=1m --connections=2 --warmup=2s",
			   "closed loop, 2 calls at a time, over 2 connections to "
			   "127.0.0.1:9876, messages of 13 bytes, 9 in all, for at most 1m after "
			   "2s of warm-up");
	expect_description("--rate=5000 --duration=1s --max-in-flight=70 a:1 b:2 --pacing=spin",
			   "open loop, 5000 calls/s at equal distances, at most 70 at a time, "
			   "spinning, over 2 connections to a:1, b:2, messages of 13 bytes, for "
			   "1s");
	expect_description("--rate=1..9/2s --arrival=poisson --seed=7 --method=a.B/C "
			   "--connection-lifetime=3s",
			   "open loop, 1..9/2s calls/s at random distances, at most 1000 at a "
			   "time, over 10 connections to 127.0.0.1:9876, a.B/C, messages of 0 "
			   "bytes, for 2s, connections live 3s, seed 7");
}

static void test_an_open_loop(void **state)
{
	(void)state;
	accept_plan("--rate=5000 --duration=3s --arrival=poisson --pacing=spin --seed=42");
	assert_true(plan.load);
	assert_int_equal(plan.schedule.n, 1);
	assert_true(plan.schedule.poisson);
	assert_int_equal(plan.pacing, PLAN_PACING_SPIN);
	assert_int_equal(plan.max_in_flight, PLAN_DEFAULT_MAX_IN_FLIGHT);
	assert_int_equal(plan.concurrency, 0);
	assert_int_equal(plan.connections, 10);
	assert_int_equal(plan.seed, 42);
	assert_int_equal(plan.grace_ns, PLAN_DEFAULT_GRACE_NS);
	plan_deinit(&plan);

	accept_plan("--rate=1,2,3/5s --max-in-flight=101");
	assert_int_equal(plan.duration_ns, 15 * NS_PER_S);
	assert_false(plan.schedule.poisson);
	assert_int_equal(plan.pacing, PLAN_PACING_TIMER);
	assert_int_equal(plan.connections, 2);
	plan_deinit(&plan);

	accept_plan("--rate=1..2/5s --count=7");
	assert_int_equal(plan.count, 7);
	assert_int_equal(plan.duration_ns, 0);
	plan_deinit(&plan);

	accept_plan("--rate=5 --duration=1s --connections=2000 --grace=0");
	assert_int_equal(plan.max_in_flight, 2000);
	assert_int_equal(plan.grace_ns, 0);
	plan_deinit(&plan);
}

static void test_what_an_open_and_a_closed_loop_do_not_share(void **state)
{
	(void)state;
	refuse("--rate=5", "add --duration or --count");
	refuse("--rate=0 --duration=1s", "--rate");
	refuse("--rate=1..5 --duration=1s", "needs its length");
	refuse("--rate=5 --duration=1s --concurrency=5", "--max-in-flight");
	refuse("--duration=1s --max-in-flight=5", "--concurrency");
	refuse("--count=1 --arrival=constant", "--arrival has no sense without --rate");
	refuse("--count=1 --pacing=timerfd", "--pacing has no sense without --rate");
	refuse("--rate=5 --count=1 --max-in-flight=2 --connections=3",
	       "--connections=3 is more than --max-in-flight=2");
	refuse("--rate=5 --count=1 --max-in-flight=0", "--max-in-flight");
	refuse("--rate=5 --count=1 --arrival=uniform", "--arrival");
	refuse("--rate=5 --count=1 --grace=-1s", "--grace");
}

static void test_what_only_a_run_has(void **state)
{
	static const char *const flags[] = {
		"--warmup=1s", "--grace=1s",      "--connection-lifetime=1s", "--seed=1",
		"--name=x",    "--fail-on-error", "--assert=p99<1s",          "--reconcile=x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		refuse(flags[i], "is for load runs");
	}
	refuse("--output=hgrm", "a single call has text and json");
}

static void test_several_targets(void **state)
{
	(void)state;
	accept_plan("--count=10 a:1 unix:/b c");
	assert_int_equal(plan.n_targets, 3);
	assert_string_equal(plan.targets[1].text, "unix:/b");
	assert_string_equal(plan.targets[2].text, "c:9876");
	assert_int_equal(plan.connections, 3);
	assert_int_equal(plan.concurrency, 3);
	plan_deinit(&plan);
	accept_plan("--rate=5 --count=10 a:1 b:2 c:3"); /* as many to each */
	assert_int_equal(plan.connections, 12);
	plan_deinit(&plan);
	accept_plan("--count=10 --concurrency=301 a:1 b:2 c:3");
	assert_int_equal(plan.connections, 6);
	plan_deinit(&plan);
	refuse("--count=10 --connections=2 a:1 b:2 c:3", "less than one for each of 3 TARGETs");
	refuse("--count=10 --concurrency=2 a:1 b:2 c:3", "3 TARGETs are more than --concurrency=2");
}

static void test_a_message_of_a_size(void **state)
{
	(void)state;
	accept_plan("--message-size=1KiB");
	assert_int_equal(buffer_len(&plan.message), 1024);
	assert_memory_equal(buffer_data(&plan.message), "abc", 3);
	plan_deinit(&plan);
	accept_plan("--message-size=0");
	assert_int_equal(buffer_len(&plan.message), 0);
	plan_deinit(&plan);
	refuse("--message-size=4MiB", "--message-size: the message is too long");
	refuse("--message-size=1GiB", "--message-size");
	refuse("--message=a --message-size=1", "exclude each other");
	refuse("--message-file=a --message-size=1", "exclude each other");
}

static void test_another_method(void **state)
{
	(void)state;
	accept_plan("--method=a.b.Service/Do");
	assert_true(plan.raw);
	assert_string_equal(plan.service->name, "a.b.Service");
	assert_string_equal(plan.method->name, "Do");
	assert_null(plan.method->request);
	assert_int_equal(buffer_len(&plan.message), 0);
	assert_false(plan.verify);
	plan_deinit(&plan);
	accept_plan("--method=/S/Do --verify --request-file=/dev/null");
	assert_string_equal(plan.service->name, "S");
	assert_true(plan.verify);
	plan_deinit(&plan);
	accept_plan("--no-verify");
	assert_false(plan.verify);
	assert_string_equal(plan.service->name, "muzz.Service");
	plan_deinit(&plan);
	refuse("--method=Do", "--method=Do is not of the form");
	refuse("--method=a./Do", "is not of the form");
	refuse("--method=a..b/Do", "is not of the form");
	refuse("--method=a/b/Do", "is not of the form");
	refuse("--method=a/", "is not of the form");
	refuse("--method=/a", "is not of the form");
	refuse("--method=a/Do --message=x", "--request-file");
	refuse("--method=a/Do --message-file=x", "--request-file");
	refuse("--method=a/Do --message-size=1", "--request-file");
	refuse("--request-file=x", "--request-file has no sense without --method");
	refuse("--method=a/Do --request-file=/nonexistent", "cannot be opened");
	refuse("--method=a/Do --request-file=/dev/zero", "is longer than");
}

static void test_outputs(void **state)
{
	(void)state;
	accept_plan("--count=1 --output=text --output=json:a --output=html:b");
	assert_int_equal(plan.n_outputs, 3);
	assert_int_equal(plan.outputs[0].format, REPORT_TEXT);
	assert_null(plan.outputs[0].path);
	assert_int_equal(plan.outputs[2].format, REPORT_HTML);
	assert_string_equal(plan.outputs[2].path, "b");
	plan_deinit(&plan);
	refuse("--count=1 --output=text --output=json", "standard output is taken");
	refuse("--count=1 --output=text:a --output=json:a", "two outputs into one file");
	refuse("--count=1 --output=text:a --output=json:./a", "two outputs into one file");
	refuse("--count=1 --output=json:/nonexistent/a", "cannot be written: No such file");
	refuse("--count=1 --output=json:/", "cannot be written: Is a directory");
	refuse("--output=json:/nonexistent/a", "cannot be written: No such file");
	refuse("--count=1 --output=", "--output");
	refuse("--count=1 --output=json:", "--output");
	refuse("--count=1 --output=json:a --output=json:b --output=json:c --output=json:d "
	       "--output=json:e --output=json:f --output=json:g --output=json:h --output=json:i",
	       "more than 8");
}

static void test_assertions_of_what_is_not_measured(void **state)
{
	(void)state;
	refuse("--count=1 --assert=lag.p99<1ms", "needs an open loop: add --rate");
	refuse("--count=1 --assert=lag.max<1ms", "needs an open loop: add --rate");
	refuse("--count=1 --assert=achieved_rate>=99%", "needs an open loop: add --rate");
	refuse("--count=1 --assert=unreconciled==0", "add --reconcile");
	refuse("--count=1 --no-verify --assert=mismatched==0", "leave out --no-verify");
	refuse("--count=1 --method=a/B --assert=mismatched==0", "add --verify");
	accept_plan("--count=1 --rate=1 --assert=lag.p99<1ms --assert=achieved_rate>=99%");
	plan_deinit(&plan);
	accept_plan("--count=1 --assert=achieved_rate>=99 --assert=mismatched==0");
	plan_deinit(&plan);
	accept_plan("--count=1 --method=a/B --verify --assert=mismatched==0");
	plan_deinit(&plan);
	accept_plan("--count=1 --reconcile=http://a/metrics --assert=unreconciled==0");
	plan_deinit(&plan);
}

static void test_no_time_is_longer_than_a_year(void **state)
{
	static const char *const flags[] = {
		"--timeout", "--duration", "--warmup", "--grace", "--connection-lifetime",
	};
	char words[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		snprintf(words, sizeof(words), "--count=1 %s=8761h", flags[i]);
		refuse(words, "to 8760h");
		snprintf(words, sizeof(words), "--count=1 %s=8760h", flags[i]);
		accept_plan(words);
		plan_deinit(&plan);
	}
	refuse("--rate=1..2/8761h", "longer than 8760h in all");
	refuse("--rate=1,2/4381h --count=1", "longer than 8760h in all");
	accept_plan("--rate=1,2/4380h");
	assert_int_equal(plan.duration_ns, PLAN_MAX_TIME_NS);
	plan_deinit(&plan);
}

static void test_assertions_and_reconcile(void **state)
{
	(void)state;
	accept_plan("--count=1 --assert=p99<20ms --assert=errors==0 --reconcile=http://a/metrics");
	assert_int_equal(plan.assertions.n, 2);
	assert_string_equal(plan.assertions.items[1], "errors==0");
	assert_int_equal(plan.reconcile.n, 1);
	plan_deinit(&plan);
	refuse("--count=1 --assert=p99", "--assert=p99: ");
	refuse("--count=1 --reconcile=ftp://a/", "--reconcile=ftp://a/: ");
	refuse("--count=1 --reconcile=http://a/m --reconcile=http://a/m", "given twice");
	refuse("--count=1 --reconcile=http://a/m --metadata=echod-run:1", "by itself");
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
		cmocka_unit_test(test_an_open_loop),
		cmocka_unit_test(test_what_an_open_and_a_closed_loop_do_not_share),
		cmocka_unit_test(test_what_only_a_run_has),
		cmocka_unit_test(test_several_targets),
		cmocka_unit_test(test_a_message_of_a_size),
		cmocka_unit_test(test_another_method),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_assertions_and_reconcile),
		cmocka_unit_test(test_assertions_of_what_is_not_measured),
		cmocka_unit_test(test_no_time_is_longer_than_a_year),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}

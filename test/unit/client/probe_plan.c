#include "client/probe_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct probe_plan plan;
static char why[512];

/* `words`: the arguments, separated by blanks. */
static enum options_result parse(const char *words)
{
	static char copy[2048];
	static char name[] = "probe";
	char *argv[16] = { name }, *rest = copy, *word;
	int argc = 1;

	why[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " "))) {
		if (*word != '\0') {
			argv[argc++] = word;
		}
	}
	return probe_plan_init(&plan, argc, argv, why, sizeof(why));
}

static void take(const char *words)
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
	probe_plan_deinit(&plan);
}

static void test_by_default_the_server_as_a_whole_within_a_second_each(void **state)
{
	(void)state;
	take("");
	assert_string_equal(plan.target.text, "127.0.0.1:9876");
	assert_string_equal(plan.service, "");
	assert_null(plan.user_agent);
	assert_int_equal(plan.connect_ns, NS_PER_S);
	assert_int_equal(plan.answer_ns, NS_PER_S);
	assert_false(plan.verbose);
	assert_null(plan.metadata.first);
	probe_plan_deinit(&plan);
}

static void test_every_flag_has_its_place(void **state)
{
	(void)state;
	take("unix:@x --service=muzz.Service --connect-timeout=2ms --rpc-timeout=1m --verbose "
	     "--metadata=a:b --metadata=a:c --user-agent=me/1");
	assert_string_equal(plan.target.text, "unix:@x");
	assert_string_equal(plan.target.authority, "localhost");
	assert_string_equal(plan.service, "muzz.Service");
	assert_string_equal(plan.user_agent, "me/1");
	assert_int_equal(plan.connect_ns, 2 * NS_PER_MS);
	assert_int_equal(plan.answer_ns, 60 * NS_PER_S);
	assert_true(plan.verbose);
	assert_int_equal(plan.metadata.n, 2);
	assert_true(str_equal(plan.metadata.first->next->value, STR("c")));
	probe_plan_deinit(&plan);
}

static void test_what_cannot_be_asked_is_refused_with_its_reason(void **state)
{
	char words[64 + PROBE_MAX_NAME + 1];

	(void)state;
	refuse("a:1 b:2", "\"b:2\" is a second");
	refuse("--connect-timeout=0s", "--connect-timeout: \"0s\" is out of range");
	refuse("--rpc-timeout=25h", "--rpc-timeout: \"25h\" is out of range");
	refuse("--service=\xff", "not UTF-8");
	refuse("--user-agent=\x1b[1m", "--user-agent=?[1m has to be printable");
	refuse("--user-agent=", "printable");
	refuse("--metadata=Te:x", "--metadata=Te:x");
	snprintf(words, sizeof(words), "--service=%0*d", PROBE_MAX_NAME + 1, 0);
	refuse(words, "longer than 1024");
	words[strlen(words) - 1] = '\0';
	take(words);
	assert_int_equal(strlen(plan.service), PROBE_MAX_NAME);
	probe_plan_deinit(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_default_the_server_as_a_whole_within_a_second_each),
		cmocka_unit_test(test_every_flag_has_its_place),
		cmocka_unit_test(test_what_cannot_be_asked_is_refused_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

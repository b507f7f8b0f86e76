#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/options.h"

struct values {
	struct option_strings addresses;
	const char *path;
	uint64_t streams, bytes;
	int64_t grace_ns;
	bool identify, quiet;
	bool streams_given;
	int level;
	int custom;
};

static int parse_even(const char *text, void *value, char *why, size_t size)
{
	int number = atoi(text);

	if (number % 2 != 0) {
		snprintf(why, size, "is not even");
		return -1;
	}
	*(int *)value = number;
	return 0;
}

static const char *const levels[] = { "debug", "info", "warn", "error", NULL };

static const struct option table[] = {
	{ .name = "grpc.listen-address",
	  .type = OPTION_STRINGS,
	  .offset = offsetof(struct values, addresses),
	  .placeholder = "ADDRESS",
	  .value = ":9876",
	  .help = "Where gRPC is served: host:port, [::]:port, unix:/path, unix:@name.",
	  .group = "Listening" },
	{ .name = "web.telemetry-path",
	  .type = OPTION_STRING,
	  .offset = offsetof(struct values, path),
	  .placeholder = "PATH",
	  .value = "/metrics",
	  .help = "Where the metrics are.",
	  .group = "Listening" },
	{ .name = "max-streams",
	  .type = OPTION_UINT,
	  .given = offsetof(struct values, streams_given),
	  .offset = offsetof(struct values, streams),
	  .placeholder = "N",
	  .value = "100",
	  .help = "At most so many streams on a connection.",
	  .group = "Limits",
	  .min = 1,
	  .max = 1000 },
	{ .name = "max-bytes",
	  .type = OPTION_SIZE,
	  .offset = offsetof(struct values, bytes),
	  .placeholder = "BYTES",
	  .value = "4MiB",
	  .help = "At most so many bytes in a message.",
	  .group = "Limits",
	  .min = 1024 },
	{ .name = "grace",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct values, grace_ns),
	  .placeholder = "DURATION",
	  .value = "15s",
	  .help = "How long calls may still take.",
	  .group = "Limits",
	  .max = 3600000000000 },
	{ .name = "identify",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct values, identify),
	  .value = "true",
	  .help = "Whether replies name the instance.",
	  .group = "Other" },
	{ .name = "quiet",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct values, quiet),
	  .help = "Whether nothing is said.",
	  .group = "Other" },
	{ .name = "log.level",
	  .type = OPTION_ENUM,
	  .offset = offsetof(struct values, level),
	  .placeholder = "LEVEL",
	  .value = "info",
	  .help = "The least that is logged.",
	  .group = "Other",
	  .choices = levels },
	{ .name = "even",
	  .type = OPTION_CUSTOM,
	  .offset = offsetof(struct values, custom),
	  .placeholder = "N",
	  .value = "2",
	  .help = "A number that is even.",
	  .group = "Other",
	  .parse = parse_even },
};

static const struct options options = {
	.program = "echod test",
	.synopsis = "[flags] [TARGET]",
	.about = "A program that is made of nothing but flags, so that each kind of them can be "
		 "seen "
		 "and tried.",
	.footer = "Examples:\n  echod test --quiet\n",
	.table = table,
	.n = ARRAY_SIZE(table),
	.environment = "TEST_",
};

#define MAX_WARNED 4

static struct {
	struct values values;
	struct option_strings operands;
	char error[256];
	char warned[MAX_WARNED][64];
	size_t n_warned;
} got;

static void warn(const char *variable)
{
	assert_true(got.n_warned < MAX_WARNED);
	snprintf(got.warned[got.n_warned++], sizeof(got.warned[0]), "%s", variable);
}

/*
 * options_parse() changes neither array nor strings: main() merely hands them out
 * without const.
 */
static char **unconst(const char **strings)
{
	return (char **)(uintptr_t)strings;
}

static enum options_result parse_with(const char **envp, const char **argv)
{
	int argc = 0;

	while (argv[argc]) {
		argc++;
	}
	options_free(&options, &got.values, &got.operands);
	got.error[0] = '\0';
	got.n_warned = 0;
	return options_parse(&options, &got.values, argc, unconst(argv), unconst(envp),
			     &got.operands, warn, got.error, sizeof(got.error));
}

/* parse() and LIST() take string literals; the list ends in NULL. */
#define LIST(...)  ((const char *[]){ __VA_ARGS__, NULL })
#define ARGV(...)  LIST("test", __VA_ARGS__)
#define NOTHING    LIST("test")
#define parse(...) parse_with(NULL, ARGV(__VA_ARGS__))

static int tear_down(void **state)
{
	(void)state;
	options_free(&options, &got.values, &got.operands);
	return 0;
}

static void assert_addresses(const char *first, const char *second)
{
	const struct option_strings *list = &got.values.addresses;

	assert_int_equal(list->n, second ? 2 : 1);
	assert_string_equal(list->items[0], first);
	if (second) {
		assert_string_equal(list->items[1], second);
	}
	assert_null(list->items[list->n]);
}

static void nothing_given_gives_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse_with(NULL, NOTHING), OPTIONS_OK);
	assert_addresses(":9876", NULL);
	assert_string_equal(got.values.path, "/metrics");
	assert_int_equal(got.values.streams, 100);
	assert_false(got.values.streams_given);
	assert_int_equal(got.values.bytes, 4 * MIB);
	assert_int_equal(got.values.grace_ns, 15 * NS_PER_S);
	assert_true(got.values.identify);
	assert_false(got.values.quiet);
	assert_int_equal(got.values.level, 1);
	assert_int_equal(got.values.custom, 2);
	assert_int_equal(got.operands.n, 0);
}

static void every_type_both_ways(void **state)
{
	(void)state;
	assert_int_equal(parse("--grpc.listen-address=a:1", "--grpc.listen-address", "b,c:2",
			       "--web.telemetry-path=", "--max-streams", "7", "--max-bytes=64KiB",
			       "--grace", "1m30s", "--no-identify", "--quiet", "--log.level=error",
			       "--even=4"),
			 OPTIONS_OK);
	assert_addresses("a:1", "b,c:2"); /* only the environment splits at commas */
	assert_string_equal(got.values.path, "");
	assert_int_equal(got.values.streams, 7);
	assert_int_equal(got.values.bytes, 64 * KIB);
	assert_int_equal(got.values.grace_ns, 90 * NS_PER_S);
	assert_false(got.values.identify);
	assert_true(got.values.quiet);
	assert_int_equal(got.values.level, 3);
	assert_int_equal(got.values.custom, 4);
}

static void booleans_in_all_spellings(void **state)
{
	(void)state;
	assert_int_equal(parse("--identify=false", "--quiet=true"), OPTIONS_OK);
	assert_false(got.values.identify);
	assert_true(got.values.quiet);
	assert_int_equal(parse("--quiet", "--no-quiet"), OPTIONS_OK);
	assert_false(got.values.quiet);
	/* A boolean never takes the next argument. */
	assert_int_equal(parse("--quiet", "false"), OPTIONS_OK);
	assert_true(got.values.quiet);
	assert_string_equal(got.operands.items[0], "false");
}

static void the_last_of_a_flag_wins(void **state)
{
	(void)state;
	assert_int_equal(parse("--max-streams=1", "--max-streams=2"), OPTIONS_OK);
	assert_int_equal(got.values.streams, 2);
}

static void operands_stay_in_order(void **state)
{
	char error[128];

	(void)state;
	assert_int_equal(parse("one", "--quiet", "-", "", "--", "--max-streams=x", "-h"),
			 OPTIONS_OK);
	assert_int_equal(got.operands.n, 5);
	assert_string_equal(got.operands.items[0], "one");
	assert_string_equal(got.operands.items[1], "-");
	assert_string_equal(got.operands.items[2], "");
	assert_string_equal(got.operands.items[3], "--max-streams=x");
	assert_string_equal(got.operands.items[4], "-h");
	assert_null(got.operands.items[5]);
	options_free(&options, &got.values, NULL);
	assert_int_equal(options_parse(&options, &got.values, 2, unconst(ARGV("one")), NULL, NULL,
				       NULL, error, sizeof(error)),
			 OPTIONS_ERROR);
	assert_string_equal(error, "unexpected argument \"one\"");
}

static void help_and_version_are_built_in(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), OPTIONS_HELP);
	assert_int_equal(parse("x", "-h", "--nonsense"), OPTIONS_HELP);
	assert_int_equal(parse("--version"), OPTIONS_VERSION);
	assert_int_equal(parse("--nonsense", "--help"), OPTIONS_ERROR);
}

static void errors_name_flag_value_and_reason(void **state)
{
	static const struct {
		const char *argument, *error;
	} cases[] = {
		{ "--max-streams=many", "flag --max-streams: \"many\" is not a whole number" },
		{ "--max-streams=0", "flag --max-streams: \"0\" is out of range (1 to 1000)" },
		{ "--max-streams=1001",
		  "flag --max-streams: \"1001\" is out of range (1 to 1000)" },
		{ "--max-streams=", "flag --max-streams: \"\" is not a whole number" },
		{ "--max-bytes=1000",
		  "flag --max-bytes: \"1000\" is out of range (at least 1KiB)" },
		{ "--grace=2h", "flag --grace: \"2h\" is out of range (0s to 1h)" },
		{ "--grace=5", "flag --grace: \"5\" has no unit (as in 500ms, 1.5s, 2m, 1h30m)" },
		{ "--identify=no", "flag --identify: \"no\" is neither true nor false" },
		{ "--log.level=loud",
		  "flag --log.level: \"loud\" is not one of debug, info, warn, error" },
		{ "--even=3", "flag --even: \"3\" is not even" },
		{ "--grace", "flag --grace needs a value" },
		{ "--unheard-of", "unknown flag --unheard-of" },
		{ "--unheard-of=5", "unknown flag --unheard-of" },
		{ "-x", "unknown flag -x" },
		{ "--", "" },
		{ "--=5", "unknown flag --" },
		{ "--no-grace", "unknown flag --no-grace (did you mean --grace?)" },
		{ "--no-quiet=true", "unknown flag --no-quiet (did you mean --quiet?)" },
		{ "--grace=1s\n\x1b[2J",
		  "flag --grace: \"1s??[2J\" is not a duration (as in 500ms, 1.5s, 2m, 1h30m)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum options_result result = parse(cases[i].argument);

		assert_int_equal(result, *cases[i].error ? OPTIONS_ERROR : OPTIONS_OK);
		assert_string_equal(got.error, cases[i].error);
	}
	/* The next flag is no value. */
	assert_int_equal(parse("--grace", "--quiet"), OPTIONS_ERROR);
	assert_string_equal(got.error, "flag --grace needs a value");
}

static void a_misspelt_flag_is_recognised(void **state)
{
	static const struct {
		const char *argument, *meant;
	} cases[] = {
		{ "--grpc.listen-adress=x", "grpc.listen-address" },
		{ "--grpc-listen-address", "grpc.listen-address" },
		{ "--listen-address", "grpc.listen-address" },
		{ "--telemetry-path=/m", "web.telemetry-path" },
		{ "--log.leve", "log.level" },
		{ "--max-byte", "max-bytes" },
		{ "--graze", "grace" },
		{ "--path", NULL },
		{ "--xyz", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[128];
		size_t len = strcspn(cases[i].argument, "=");

		snprintf(expected, sizeof(expected), "unknown flag %.*s%s%s%s", (int)len,
			 cases[i].argument, cases[i].meant ? " (did you mean --" : "",
			 cases[i].meant ? cases[i].meant : "", cases[i].meant ? "?)" : "");
		assert_int_equal(parse(cases[i].argument), OPTIONS_ERROR);
		assert_string_equal(got.error, expected);
	}
}

static void long_arguments_do_not_push_out_the_reason(void **state)
{
	char argument[2000] = "--grace=";

	(void)state;
	memset(argument + 8, 'x', sizeof(argument) - 9);
	assert_int_equal(parse(argument), OPTIONS_ERROR);
	assert_non_null(strstr(got.error, "is not a duration"));
	argument[2] = 'G';
	argument[7] = 'x';
	assert_int_equal(parse(argument), OPTIONS_ERROR);
	assert_memory_equal(got.error, "unknown flag --Gracex", 21);
	assert_true(strlen(got.error) < 100);
}

static void a_flag_beats_the_environment_beats_the_default(void **state)
{
	const char **environment =
		LIST("PATH=/bin", "TEST_MAX_STREAMS=5", "TEST_GRACE=1s", "TEST_LOG_LEVEL=warn",
		     "TEST_QUIET=true", "TEST_IDENTIFY=false");

	(void)state;
	assert_int_equal(parse_with(environment, ARGV("--grace=2s", "--no-quiet")), OPTIONS_OK);
	assert_int_equal(got.values.streams, 5);
	assert_int_equal(got.values.grace_ns, 2 * NS_PER_S);
	assert_int_equal(got.values.level, 2);
	assert_false(got.values.quiet);
	assert_false(got.values.identify);
	assert_int_equal(got.values.bytes, 4 * MIB);
	assert_int_equal(got.n_warned, 0);
}

static void what_was_given_is_told_though_it_be_the_default(void **state)
{
	const char **environment = LIST("TEST_MAX_STREAMS=100");

	(void)state;
	assert_int_equal(parse("--max-streams=100"), OPTIONS_OK);
	assert_true(got.values.streams_given);
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_OK);
	assert_true(got.values.streams_given);
	assert_int_equal(parse_with(NULL, NOTHING), OPTIONS_OK);
	assert_false(got.values.streams_given);
}

static void lists_in_the_environment_have_commas(void **state)
{
	const char **environment = LIST("TEST_GRPC_LISTEN_ADDRESS=:1,,unix:@x");

	(void)state;
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_OK);
	assert_addresses(":1", "unix:@x");
	assert_int_equal(parse_with(environment, ARGV("--grpc.listen-address=:3")), OPTIONS_OK);
	assert_addresses(":3", NULL);
}

static void a_list_of_commas_alone_is_an_error(void **state)
{
	const char **environment = LIST("TEST_GRPC_LISTEN_ADDRESS=,,");

	(void)state;
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_ERROR);
	assert_non_null(strstr(got.error, "TEST_GRPC_LISTEN_ADDRESS"));
	assert_non_null(strstr(got.error, "is a list without an item"));
}

static void an_empty_variable_counts_as_unset(void **state)
{
	const char **environment = LIST("TEST_MAX_STREAMS=", "TEST_GRPC_LISTEN_ADDRESS=");

	(void)state;
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_OK);
	assert_int_equal(got.values.streams, 100);
	assert_addresses(":9876", NULL);
}

static void a_wrong_variable_is_an_error_by_its_name(void **state)
{
	const char **environment = LIST("TEST_GRACE=soon");

	(void)state;
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_ERROR);
	assert_string_equal(
		got.error,
		"variable TEST_GRACE: \"soon\" is not a duration (as in 500ms, 1.5s, 2m, 1h30m)");
	/* What a flag overrides need not be right, and help is always there. */
	assert_int_equal(parse_with(environment, ARGV("--grace=1s")), OPTIONS_OK);
	assert_int_equal(parse_with(environment, ARGV("--help")), OPTIONS_HELP);
}

static void unknown_variables_are_warned_of(void **state)
{
	const char **environment = LIST("TEST_GRAZE=1s", "TESTGRACE=1", "TEST_MAX_STREAMS=4",
					"TEST_", "TEST_log_level=x");

	(void)state;
	assert_int_equal(parse_with(environment, NOTHING), OPTIONS_OK);
	assert_int_equal(got.n_warned, 2);
	assert_string_equal(got.warned[0], "TEST_GRAZE");
	assert_string_equal(got.warned[1], "TEST_log_level");
	assert_int_equal(got.values.streams, 4);
}

static void help_is_readable_at_80_columns(void **state)
{
	char *text = NULL, *rest, *line;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	options_help(&options, out);
	fclose(out);
	assert_non_null(strstr(text, "Usage: echod test [flags] [TARGET]\n"));
	assert_non_null(strstr(text, "\nListening:\n  --grpc.listen-address=ADDRESS ...\n"));
	assert_non_null(strstr(text,
			       "  --[no-]identify\n        Whether replies name the instance. "
			       "(default true; TEST_IDENTIFY)\n"));
	assert_non_null(strstr(text, "        Whether nothing is said. (TEST_QUIET)\n"));
	assert_non_null(strstr(text, "One of debug, info, warn, error. (default"));
	assert_non_null(strstr(text, "-h, --help"));
	assert_null(strstr(strstr(text, "Listening:") + 1, "Listening:"));
	assert_string_equal(text + size - strlen(options.footer), options.footer);
	for (rest = text; (line = strsep(&rest, "\n"));) {
		assert_true(strlen(line) <= 80);
		assert_true(*line == '\0' || line[strlen(line) - 1] != ' ');
	}
	free(text);
}

static void every_allocation_may_fail(void **state)
{
	const char **environment = LIST("TEST_GRPC_LISTEN_ADDRESS=:1,:2");
	const char **flags = ARGV("--grpc.listen-address=a", "--grpc.listen-address=b", "operand");
	long failures = 0;

	(void)state;
	for (int with_flags = 0; with_flags < 2; with_flags++) {
		for (long at = 0;; at++) {
			failing_at = at;
			if (parse_with(environment, with_flags ? flags : NOTHING) == OPTIONS_OK) {
				break;
			}
			assert_non_null(strstr(got.error, "out of memory"));
			failures++;
		}
		failing_at = -1;
	}
	assert_true(failures >= 5);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_given_gives_the_defaults),
		TEST(what_was_given_is_told_though_it_be_the_default),
		TEST(every_type_both_ways),
		TEST(booleans_in_all_spellings),
		TEST(the_last_of_a_flag_wins),
		TEST(operands_stay_in_order),
		TEST(help_and_version_are_built_in),
		TEST(errors_name_flag_value_and_reason),
		TEST(a_misspelt_flag_is_recognised),
		TEST(long_arguments_do_not_push_out_the_reason),
		TEST(a_flag_beats_the_environment_beats_the_default),
		TEST(lists_in_the_environment_have_commas),
		TEST(a_list_of_commas_alone_is_an_error),
		TEST(an_empty_variable_counts_as_unset),
		TEST(a_wrong_variable_is_an_error_by_its_name),
		TEST(unknown_variables_are_warned_of),
		TEST(help_is_readable_at_80_columns),
		TEST(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

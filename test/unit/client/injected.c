/* What trailers tell of faults and delays, and what becomes of it in every report. */
#include "client/injected.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/assertions.h"
#include "client/report.h"
#include "runs.h"

static struct injected read_one(struct str name, struct str value, bool expected)
{
	const struct metadata_entry entry = { .name = name, .value = value };
	struct injected injected = { 0 };

	assert_int_equal(injected_read(&entry, &injected), expected);
	return injected;
}

static void test_words_are_those_of_the_server(void **state)
{
	static const char *const words[] = { "reset", "close", "hang", "truncate" };

	(void)state;
	for (int status = 1; status < GRPC_STATUS_COUNT; status++) {
		struct str name = str_from(grpc_status_name(status));

		assert_int_equal(injected_word(name), status);
		assert_int_equal(read_one(STR("echod-fault"), name, true).word, status);
		assert_string_equal(injected_word_name((enum injected_word)status), name.data);
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		enum injected_word word = injected_word(str_from(words[i]));

		assert_int_equal(word, INJECTED_RESET + i);
		assert_string_equal(injected_word_name(word), words[i]);
	}
	assert_int_equal(injected_word(STR("OK")), INJECTED_OTHER);
	assert_int_equal(injected_word(STR("")), INJECTED_OTHER);
	assert_int_equal(injected_word(STR("unavailable")), INJECTED_OTHER);
	assert_string_equal(injected_word_name(INJECTED_OTHER), "other");
	assert_int_equal(read_one(STR("echod-faults"), STR("reset"), false).word, 0);
}

static void test_a_delay_that_cannot_be_is_none(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "25000000", 25000000 },
		{ "1", 1 },
		{ "0", 0 },
		{ "", 0 },
		{ "-5", 0 },
		{ "1e9", 0 },
		{ " 7", 0 },
		{ "3600000000000", INJECTED_LONGEST_DELAY_NS },
		{ "3600000000001", 0 },
		{ "99999999999999999999999999999999999999", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(
			read_one(STR("echod-delay-ns"), str_from(cases[i].text), true).delay_ns,
			cases[i].ns);
	}
}

static void test_of_several_the_first_holds(void **state)
{
	const struct metadata_entry entries[] = {
		{ .name = STR("echod-fault"), .value = STR("") },
		{ .name = STR("echod-delay-ns"), .value = STR("x") },
		{ .name = STR("echod-fault"), .value = STR("ABORTED") },
		{ .name = STR("echod-delay-ns"), .value = STR("7") },
		{ .name = STR("echod-delay-ns"), .value = STR("8") },
	};
	struct injected injected = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		assert_true(injected_read(&entries[i], &injected));
	}
	assert_int_equal(injected.word, INJECTED_OTHER);
	assert_int_equal(injected.delay_ns, 7);
}

static void test_a_status_that_was_changed(void **state)
{
	(void)state;
	assert_false(injected_changed(INJECTED_NOTHING, GRPC_UNAVAILABLE));
	assert_false(injected_changed((enum injected_word)GRPC_ABORTED, GRPC_ABORTED));
	assert_true(injected_changed((enum injected_word)GRPC_ABORTED, GRPC_INTERNAL));
	assert_true(injected_changed((enum injected_word)GRPC_ABORTED, GRPC_OK));
	assert_false(injected_changed(INJECTED_HANG, GRPC_CANCELLED));
	assert_false(injected_changed(INJECTED_OTHER, GRPC_CANCELLED));
}

/* --- in a run ----------------------------------------------------------------------- */

static void call(struct run *run, enum grpc_status status, enum injected_word word,
		 int64_t delay_ns)
{
	const struct recorder_call ended = {
		.sent_ns = NS_PER_MS,
		.ended_ns = 4 * NS_PER_MS,
		.end = RECORDER_ANSWERED,
		.status = status,
		.origin = GRPC_FROM_PEER,
		.injected = { word, delay_ns },
	};

	runs_call(&run->results, &ended);
}

/*
 * 10 OK, of which 4 were delayed; 5 UNAVAILABLE, of which 3 were injected; 2 INTERNAL, one
 * cut short on purpose, and one that was to be ABORTED; and an OK that was to be.
 */
static void fill(struct run *run)
{
	for (int i = 0; i < 9; i++) {
		call(run, GRPC_OK, INJECTED_NOTHING, i < 4 ? NS_PER_MS : 0);
	}
	call(run, GRPC_OK, (enum injected_word)GRPC_ABORTED, 0);
	for (int i = 0; i < 5; i++) {
		call(run, GRPC_UNAVAILABLE,
		     i < 3 ? (enum injected_word)GRPC_UNAVAILABLE : INJECTED_NOTHING,
		     i < 1 ? 2 * NS_PER_MS : 0);
	}
	call(run, GRPC_INTERNAL, INJECTED_TRUNCATE, 0);
	call(run, GRPC_INTERNAL, (enum injected_word)GRPC_ABORTED, 0);
}

static int set_up(void **state)
{
	static struct run run;
	int err = run_init(&run);

	*state = &run;
	runs_plan(&run);
	run.schedule.n = 0;
	fill(&run);
	return err;
}

static int tear_down(void **state)
{
	run_deinit(*state);
	return 0;
}

static void expect_counts(const struct recorder *results, uint64_t times)
{
	const struct recorder_injected *injected = &results->injected;

	assert_int_equal(recorder_failed(results), 7 * times);
	assert_int_equal(recorder_injected(results), 5 * times);
	assert_int_equal(recorder_not_injected(results), 2 * times);
	assert_int_equal(injected->by_status[GRPC_UNAVAILABLE], 3 * times);
	assert_int_equal(injected->by_status[GRPC_INTERNAL], 2 * times);
	assert_int_equal(injected->by_status[GRPC_OK], times);
	assert_int_equal(injected->by_word[GRPC_UNAVAILABLE], 3 * times);
	assert_int_equal(injected->by_word[GRPC_ABORTED], 2 * times);
	assert_int_equal(injected->by_word[INJECTED_TRUNCATE], times);
	assert_int_equal(injected->changed, 2 * times);
	assert_int_equal(latencies_count(results->delay), 5 * times);
	assert_int_equal(latencies_sum(results->delay), 6 * NS_PER_MS * (int64_t)times);
	assert_int_equal(latencies_count(results->undelayed), 4 * times);
	assert_int_equal(latencies_max(results->undelayed), 2 * NS_PER_MS);
}

static void test_they_are_counted_beside_what_they_are(void **state)
{
	struct run *run = *state, other;

	expect_counts(&run->results, 1);
	assert_true(recorder_balanced(&run->results));
	assert_int_equal(run_init(&other), 0);
	fill(&other);
	assert_int_equal(recorder_merge(&run->results, &other.results), 0);
	expect_counts(&run->results, 2);
	run_deinit(&other);
}

static void test_who_met_no_server_met_no_fault(void **state)
{
	struct run *run = *state;
	const struct recorder_call ended = {
		.sent_ns = -1,
		.end = RECORDER_NO_SERVER,
		.status = GRPC_UNAVAILABLE,
	};

	runs_call(&run->results, &ended);
	assert_int_equal(recorder_injected(&run->results), 5);
	assert_int_equal(recorder_not_injected(&run->results), 3);
}

static void expect_part(const struct run *run, const char *part)
{
	const struct report_style style = { .columns = 400 };
	struct buffer out = BUFFER_INIT;

	assert_int_equal(report_text(&out, run, &style), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	if (!strstr((const char *)buffer_data(&out), part)) {
		fail_msg("not there: %s\n%s", part, (const char *)buffer_data(&out));
	}
	buffer_free(&out);
}

static void test_people_read_them_apart(void **state)
{
	struct run *run = *state;

	expect_part(run, "  UNAVAILABLE (14)                     5    29.4 %   from the server, "
			 "3 injected\n");
	expect_part(run, "  INTERNAL (13)                        2    11.8 %   from the server, "
			 "injected\n");
	expect_part(run, "of 7 failures 5 were injected by the server (ABORTED 2, UNAVAILABLE 3, "
			 "truncate 1), 2 were not, or cannot be told: after a reset, a closed "
			 "connection or a hang no trailers say so; 2 ended with another status "
			 "than was injected: somebody in between changed it\n");
	expect_part(run, "5 calls were delayed on purpose, by 1.200ms on average\n");
	expect_part(run, "\ninjected delay 1.000ms");
	expect_part(run, "\nwithout delay  2.000ms");
}

/* As behind who answers instead of a server that fails. */
static void test_a_fault_without_a_failure_is_no_failure(void **state)
{
	struct run run;

	(void)state;
	assert_int_equal(run_init(&run), 0);
	runs_plan(&run);
	run.schedule.n = 0;
	call(&run, GRPC_OK, (enum injected_word)GRPC_ABORTED, 0);
	expect_part(&run,
		    "\nno call failed, though the server says that it injected faults (ABORTED "
		    "1); 1 ended with another status than was injected: somebody in between "
		    "changed it\n");
	run_deinit(&run);
}

static void check(struct run *run, const char *text, bool held, const char *measured)
{
	char why[512] = "";

	if (assertion_check(text, why, sizeof(why)) < 0) {
		fail_msg("%s: %s", text, why);
	}
	assert_int_equal(assertions_measure(run, &text, 1), 0);
	assert_int_equal(run->assertions[0].held, held);
	assert_string_equal(run->assertions[0].measured, measured);
}

static void test_they_can_be_asserted(void **state)
{
	char why[512] = "";

	check(*state, "injected==5", true, "5");
	check(*state, "injected!=5", false, "5");
	check(*state, "not_injected<=2", true, "2");
	check(*state, "not_injected==0", false, "2");
	check(*state, "delayed==5", true, "5");
	check(*state, "injected.UNAVAILABLE==3", true, "3");
	check(*state, "injected.ABORTED==0", true, "0");
	assert_int_equal(assertion_check("injected.NOTHING==0", why, sizeof(why)), -1);
	assert_string_equal(why, "names no status of gRPC (as in injected.UNAVAILABLE)");
	assert_int_equal(assertion_check("injected<1%", why, sizeof(why)), -1);
}

/* --- as JSON ------------------------------------------------------------------------- */

static char *json_of(const struct run *run)
{
	struct buffer out = BUFFER_INIT;
	char *text;

	assert_int_equal(report_json(&out, run), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	text = strdup((const char *)buffer_data(&out));
	assert_non_null(text);
	buffer_free(&out);
	return text;
}

/* `text` with what stands from `from` up to `to` replaced. */
static void replace(char *text, const char *from, const char *to, const char *with)
{
	char *begin = strstr(text, from), *end;

	assert_non_null(begin);
	end = strstr(begin, to);
	assert_non_null(end);
	assert_true(strlen(with) <= (size_t)(end - begin));
	memmove(begin + strlen(with), end, strlen(end) + 1);
	memcpy(begin, with, strlen(with));
}

static int read_back(const char *text, struct run *ret, char *why, size_t size)
{
	return report_read_json((struct bytes){ (const uint8_t *)text, strlen(text) }, "a", ret,
				why, size);
}

static void test_json_says_all_of_it_and_comes_back(void **state)
{
	char *text = json_of(*state), why[256] = "";
	struct run back;

	assert_non_null(strstr(text, "\n\"injected\":{\"failures\":5,\"other_failures\":2,"
				     "\"faults\":{\"ABORTED\":2,\"UNAVAILABLE\":3,"
				     "\"truncate\":1},\"changed\":2,\"delayed\":5,"
				     "\"delay_ns\":6000000}"));
	assert_int_equal(read_back(text, &back, why, sizeof(why)), 0);
	expect_counts(&back.results, 1);
	run_deinit(&back);
	free(text);
}

static void test_a_report_from_before_there_were_any_is_read(void **state)
{
	char *text = json_of(*state), why[256] = "";
	struct run back;

	replace(text, "\"injected\":{\"failures\"", "\"timeline\"", "");
	for (int i = 0; i < 3; i++) { /* of each status */
		replace(text, "\"injected\":", "\"from\"", "");
	}
	replace(text, "\"delay\":{\"count\":5", "}", "\"x\":{");
	replace(text, "\"undelayed\":{\"count\":4", "}", "\"y\":{");
	if (read_back(text, &back, why, sizeof(why)) < 0) {
		fail_msg("%s", why);
	}
	assert_int_equal(recorder_injected(&back.results), 0);
	assert_int_equal(recorder_not_injected(&back.results), 7);
	assert_int_equal(latencies_count(back.results.delay), 0);
	run_deinit(&back);
	free(text);
}

static void test_counts_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *from, *to, *with, *why;
	} cases[] = {
		{ "\"injected\":3", ",", "\"injected\":6",
		  "a: statuses[2].injected is more than its calls" },
		{ "\"injected\":3", ",", "\"injected\":5",
		  "a: injected.faults do not add up with statuses" },
		{ "\"truncate\":1", "}", "\"truncate\":9",
		  "a: injected.faults do not add up with statuses" },
		{ "\"changed\":2", ",", "\"changed\":7",
		  "a: injected.changed is more than there are faults" },
		{ "\"truncate\":1", "}", "\"truncate\":[", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = json_of(*state), why[256] = "";
		struct run back;

		replace(text, cases[i].from, cases[i].to, cases[i].with);
		assert_int_equal(read_back(text, &back, why, sizeof(why)), -1);
		if (cases[i].why) {
			assert_string_equal(why, cases[i].why);
		}
		free(text);
	}
}

/* --- beside each other ----------------------------------------------------------------- */

static void expect_in(const struct buffer *out, const char *part)
{
	if (!strstr((const char *)buffer_data(out), part)) {
		fail_msg("not there: %s\n%s", part, (const char *)buffer_data(out));
	}
}

static void test_other_formats_have_them(void **state)
{
	const struct report_style style = { .columns = 80 };
	const struct run *runs[2] = { *state, *state };
	struct buffer out = BUFFER_INIT;

	assert_int_equal(report_prom(&out, *state), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_in(&out, "\nechod_run_injected{code=\"UNAVAILABLE\"} 3\n");
	expect_in(&out, "\nechod_run_calls_not_injected 2\n");
	expect_in(&out, "\nechod_run_injected_delay_seconds_count 5\n");
	expect_in(&out, "\nechod_run_undelayed_seconds_sum 0.008\n");
	buffer_clear(&out);
	assert_int_equal(report_html(&out, runs, 1), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_in(&out, "<th class=\"n\">injected</th>");
	expect_in(&out, "injected delay");
	expect_in(&out, "it injected ABORTED 2, UNAVAILABLE 3, truncate 1. Failures that it does "
			"not speak of: 2;");
	buffer_clear(&out);
	assert_int_equal(report_compare_text(&out, runs, 2, &style), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_in(&out, "  injected                  29.4 %        29.4 %");
	expect_in(&out, "  not injected              11.8 %        11.8 %");
	buffer_free(&out);
}

/* One of two calls failed, and nobody says that it was on purpose. */
static void test_beside_injected_failures_others_are_others(void **state)
{
	const struct report_style style = { .columns = 80 };
	const struct run *runs[2] = { *state };
	struct buffer out = BUFFER_INIT;
	struct run other;

	assert_int_equal(run_init(&other), 0);
	runs_plan(&other);
	other.schedule.n = 0;
	call(&other, GRPC_OK, INJECTED_NOTHING, 0);
	call(&other, GRPC_UNAVAILABLE, INJECTED_NOTHING, 0);
	runs[1] = &other;
	assert_int_equal(report_compare_text(&out, runs, 2, &style), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_in(&out, "  injected                  29.4 %           0 %");
	expect_in(&out, "  not injected              11.8 %        50.0 %");
	buffer_clear(&out);
	assert_int_equal(report_html(&out, runs, 2), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_in(&out, "failed else</th><td class=\"n\">11.8 %</td><td class=\"n\">50.0 %<");
	buffer_clear(&out);
	runs[0] = &other; /* nothing is to be told apart */
	assert_int_equal(report_compare_text(&out, runs, 2, &style), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_null(strstr((const char *)buffer_data(&out), "injected"));
	buffer_free(&out);
	run_deinit(&other);
}

int main(void)
{
#define RUN(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_those_of_the_server),
		cmocka_unit_test(test_a_delay_that_cannot_be_is_none),
		cmocka_unit_test(test_of_several_the_first_holds),
		cmocka_unit_test(test_a_status_that_was_changed),
		RUN(test_they_are_counted_beside_what_they_are),
		RUN(test_who_met_no_server_met_no_fault),
		RUN(test_people_read_them_apart),
		cmocka_unit_test(test_a_fault_without_a_failure_is_no_failure),
		RUN(test_they_can_be_asserted),
		RUN(test_json_says_all_of_it_and_comes_back),
		RUN(test_a_report_from_before_there_were_any_is_read),
		RUN(test_counts_that_cannot_be_are_refused),
		RUN(test_other_formats_have_them),
		RUN(test_beside_injected_failures_others_are_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

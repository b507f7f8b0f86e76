/* A run's JSON: there and back, and what is turned away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "../failing.h"
#include "client/report.h"
#include "runs.h"

static struct bytes text_of(const struct buffer *buffer)
{
	return buffer_bytes(buffer);
}

static void expect_same(const struct buffer *a, const struct buffer *b)
{
	assert_int_equal(buffer_len(a), buffer_len(b));
	assert_memory_equal(buffer_data(a), buffer_data(b), buffer_len(a));
}

/* The JSON of `run`, read, and written again, is the same to the byte. */
static void expect_round_trip(const struct run *run)
{
	struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
	struct run back;
	char why[256] = "";

	assert_int_equal(report_json(&once, run), 0);
	if (report_read_json(text_of(&once), "a.json", &back, why, sizeof(why)) < 0) {
		fail_msg("%s", why);
	}
	assert_int_equal(report_json(&twice, &back), 0);
	expect_same(&once, &twice);
	run_deinit(&back);
	buffer_free(&once);
	buffer_free(&twice);
}

static void test_a_run_comes_back(void **state)
{
	struct run run;

	(void)state;
	assert_int_equal(runs_sample(&run), 0);
	expect_round_trip(&run);
	run_deinit(&run);
}

static void test_a_run_without_a_call_comes_back(void **state)
{
	struct run run;

	(void)state;
	assert_int_equal(run_init(&run), 0);
	expect_round_trip(&run);
	run_deinit(&run);
}

/* Not an error rate of 0, and not limited by nothing. */
static void test_a_run_without_a_call_has_no_verdict(void **state)
{
	struct buffer text = BUFFER_INIT;
	struct run run;

	(void)state;
	assert_int_equal(run_init(&run), 0);
	assert_int_equal(report_json(&text, &run), 0);
	assert_int_equal(buffer_append(&text, "", 1), 0);
	assert_non_null(strstr((const char *)buffer_data(&text), "\"limited_by\":\"unknown\""));
	assert_non_null(strstr((const char *)buffer_data(&text), "\"error_rate\":null"));
	buffer_free(&text);
	run_deinit(&run);
}

static void test_any_run_comes_back(void **state)
{
	struct random random;
	struct run run;

	(void)state;
	random_seed(&random, 1);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(runs_random(&run, &random), 0);
		expect_round_trip(&run);
		run_deinit(&run);
	}
}

/* Two files, merged, are the runs, merged: every bucket and count of them. */
static void test_what_was_read_merges_as_what_was_measured(void **state)
{
	struct run a, b, a_back, b_back;
	struct buffer a_text = BUFFER_INIT, b_text = BUFFER_INIT, once = BUFFER_INIT,
		      twice = BUFFER_INIT;
	struct random random;
	char why[256];

	(void)state;
	random_seed(&random, 2);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(runs_random(&a, &random), 0);
		assert_int_equal(runs_random(&b, &random), 0);
		/* Texts as JSON can have them. */
		a.host = b.host = a.ended_by = b.ended_by = NULL;
		assert_int_equal(report_json(&a_text, &a), 0);
		assert_int_equal(report_json(&b_text, &b), 0);
		assert_int_equal(report_read_json(text_of(&a_text), "a", &a_back, why, sizeof(why)),
				 0);
		assert_int_equal(report_read_json(text_of(&b_text), "b", &b_back, why, sizeof(why)),
				 0);
		assert_int_equal(run_merge(&a, &b), 0);
		assert_int_equal(run_merge(&a_back, &b_back), 0);
		assert_int_equal(latencies_count(a_back.results.latency_ok),
				 a_back.results.by_status[GRPC_OK]);
		assert_int_equal(report_json(&once, &a), 0);
		assert_int_equal(report_json(&twice, &a_back), 0);
		expect_same(&once, &twice);
		expect_round_trip(&a_back);
		run_deinit(&a);
		run_deinit(&b);
		run_deinit(&a_back);
		run_deinit(&b_back);
		buffer_free(&a_text);
		buffer_free(&b_text);
		buffer_free(&once);
		buffer_free(&twice);
	}
}

/* --- what is turned away -------------------------------------------------------- */

static void expect_refused(struct str text, const char *expected)
{
	struct run run;
	char why[256] = "";
	int rv = report_read_json((struct bytes){ (const uint8_t *)text.data, text.len }, "a.json",
				  &run, why, sizeof(why));

	assert_string_equal(why, expected);
	assert_int_equal(rv, -1);
}

/* The sample's JSON with the first `from` made `to`. */
static void expect_change_refused(const char *from, const char *to, const char *expected)
{
	struct buffer good = BUFFER_INIT, changed = BUFFER_INIT;
	struct run run;
	char *at;

	assert_int_equal(runs_sample(&run), 0);
	assert_int_equal(report_json(&good, &run), 0);
	assert_int_equal(buffer_append(&good, "", 1), 0);
	at = strstr((char *)buffer_data(&good), from);
	assert_non_null(at);
	assert_int_equal(buffer_append(&changed, buffer_data(&good),
				       (size_t)(at - (char *)buffer_data(&good))),
			 0);
	assert_int_equal(buffer_append_str(&changed, str_from(to)), 0);
	assert_int_equal(buffer_append_str(&changed, str_from(at + strlen(from))), 0);
	expect_refused((struct str){ (const char *)buffer_data(&changed), buffer_len(&changed) },
		       expected);
	buffer_free(&good);
	buffer_free(&changed);
	run_deinit(&run);
}

static void test_what_is_no_json(void **state)
{
	(void)state;
	expect_refused(STR(""), "a.json: line 1, column 0: '[' or '{' expected near end of file");
	expect_refused(STR("{\"schema\":\"echod.run/1\",\n\"run\":{"),
		       "a.json: line 2, column 7: string or '}' expected near end of file");
	expect_refused(STR("{\"schema\":\"echod.run/1\",\"schema\":\"echod.run/1\"}"),
		       "a.json: line 1, column 32: duplicate object key near '\"schema\"'");
}

static void test_nesting_is_bounded(void **state)
{
	char *text = malloc(MIB);
	struct run run;
	char why[256];

	(void)state;
	assert_non_null(text);
	memset(text, '[', MIB);
	assert_int_equal(report_read_json((struct bytes){ (const uint8_t *)text, MIB }, "a.json",
					  &run, why, sizeof(why)),
			 -1);
	assert_non_null(strstr(why, "maximum parsing depth reached"));
	free(text);
}

static void test_what_is_too_large(void **state)
{
	char *text = calloc(1, REPORT_MAX_BYTES + 1);

	(void)state;
	assert_non_null(text);
	expect_refused((struct str){ text, REPORT_MAX_BYTES + 1 },
		       "a.json: is larger than 16 MiB, and no report is");
	free(text);
}

static void test_other_schemas(void **state)
{
	(void)state;
	expect_refused(STR("[]"),
		       "a.json: is no report of echod: it has no text called \"schema\"");
	expect_refused(STR("{\"schema\":1}"),
		       "a.json: is no report of echod: it has no text called \"schema\"");
	expect_refused(STR("{\"schema\":\"other/1\\n\"}"),
		       "a.json: is no report of echod: its schema is \"other/1?\"");
	expect_refused(STR("{\"schema\":\"echod.run/2\"}"),
		       "a.json: is of schema echod.run/2, and this echod reads echod.run/1");
}

static void test_members_that_are_missing_or_of_another_kind(void **state)
{
	(void)state;
	expect_refused(STR("{\"schema\":\"echod.run/1\"}"), "a.json: run is missing");
	expect_change_refused("\"due\":1000", "\"du\":1000", "a.json: calls.due is missing");
	expect_change_refused("\"due\":1000", "\"due\":\"1000\"",
			      "a.json: calls.due is not a whole number");
	expect_change_refused("\"due\":1000", "\"due\":1000.5",
			      "a.json: calls.due is not a whole number");
	expect_change_refused("\"gzip\":false", "\"gzip\":0",
			      "a.json: plan.gzip is neither true nor false");
	expect_change_refused("\"host\":\"anvil\"", "\"host\":5", "a.json: run.host is not a text");
	expect_change_refused("\"backends\":[", "\"backends\":[0,",
			      "a.json: backends[0].ok is missing");
	expect_change_refused("\"statuses\":[", "\"statuses\":[[],",
			      "a.json: statuses[0].status is missing");
}

static void test_numbers_that_cannot_be(void **state)
{
	(void)state;
	expect_change_refused("\"due\":1000", "\"due\":-1",
			      "a.json: calls.due is -1, and can be 0 to 72057594037927936 only");
	expect_change_refused("\"merged\":1", "\"merged\":0",
			      "a.json: run.merged is 0, and can be 1 to 72057594037927936 only");
	expect_change_refused("\"elapsed_ns\":1000000000", "\"elapsed_ns\":9223372036854775807",
			      "a.json: measured.elapsed_ns is 9223372036854775807, and can be 0 to "
			      "2305843009213693952 only");
	expect_change_refused("\"first_ns\":", "\"first_ns\":-9000000000000",
			      "a.json: backends[0].first_ns is -9000000000000100000, and can be "
			      "-2305843009213693952 to 2305843009213693952 only");
	expect_change_refused("\"seed\":\"", "\"seed\":\"9",
			      "a.json: plan.seed is not a whole number of 64 bits, as a text");
	expect_change_refused("\"pacing\":\"timer\"", "\"pacing\":\"tea\"",
			      "a.json: plan.pacing is \"tea\", which is none that there is");
	expect_change_refused("\"bin_ns\":1000000000", "\"bin_ns\":3000000000",
			      "a.json: series.bin_ns is no length that a bin can have");
	expect_change_refused("\"length_ns\":0}",
			      "\"length_ns\":0},{\"from_microrate\":1,"
			      "\"to_microrate\":1,\"length_ns\":5}",
			      "a.json: plan.schedule.pieces[0].length_ns is 0, of more than one "
			      "rate");
	expect_change_refused("\"code\":0,\"calls\":948", "\"code\":0,\"calls\":949",
			      "a.json: statuses[0].from does not add up to its calls");
	expect_change_refused("\"status\":\"UNAVAILABLE\"", "\"status\":\"OK\"",
			      "a.json: statuses[1].status is there twice");
	expect_change_refused("\"status\":\"OK\"", "\"status\":\"FINE\"",
			      "a.json: statuses[0].status is none of gRPC's");
	expect_change_refused("\"OTHER\":1", "\"ODD\":1",
			      "a.json: connections.goaways has an error that HTTP/2 has not");
}

static void test_sums_that_do_not_add_up(void **state)
{
	(void)state;
	expect_change_refused("\"due\":1000", "\"due\":1001",
			      "a.json: calls do not add up with statuses and never_found");
	expect_change_refused("\"unfinished\":1", "\"unfinished\":2",
			      "a.json: calls do not add up with statuses and never_found");
	expect_change_refused("\"answered_while_due\":", "\"answered_while_due\":9",
			      "a.json: calls.answered_while_due is more than was answered");
	expect_change_refused("\"latency_failed\":{\"count\":50",
			      "\"latency_failed\":{\"count\":51",
			      "a.json: histograms.latency_failed says that it counts 51, and its "
			      "buckets add up to 50");
}

/* A histogram in place of the lag's, which no sum needs. */
static void expect_histogram_refused(const char *histogram, const char *expected)
{
	struct buffer good = BUFFER_INIT, from = BUFFER_INIT, to = BUFFER_INIT;
	char message[256];
	struct run run;
	char *begin, *end;

	assert_int_equal(runs_sample(&run), 0);
	assert_int_equal(report_json(&good, &run), 0);
	assert_int_equal(buffer_append(&good, "", 1), 0);
	begin = strstr((char *)buffer_data(&good), "\"lag\":{\"count\"");
	assert_non_null(begin);
	end = strstr(begin, "]]}");
	assert_non_null(end);
	assert_int_equal(buffer_append(&from, begin, (size_t)(end + 3 - begin)), 0);
	assert_int_equal(buffer_append(&from, "", 1), 0);
	assert_int_equal(buffer_printf(&to, "\"lag\":%s%c", histogram, '\0'), 0);
	snprintf(message, sizeof(message), "a.json: histograms.lag %s", expected);
	expect_change_refused((char *)buffer_data(&from), (char *)buffer_data(&to), message);
	buffer_free(&good);
	buffer_free(&from);
	buffer_free(&to);
	run_deinit(&run);
}

#define HISTOGRAM(count, min, max, sum, buckets)                                         \
	"{\"count\":" #count ",\"min_ns\":" #min ",\"max_ns\":" #max ",\"sum_ns\":" #sum \
	",\"buckets\":" buckets "}"

static void test_histograms_that_are_none(void **state)
{
	(void)state;
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[[5]]"),
				 "has a bucket that is not [index, count]");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[{}]"),
				 "has a bucket that is not [index, count]");
	expect_histogram_refused(HISTOGRAM(2, 5, 5, 5, "[[5,1],[5,1]]"),
				 "has buckets that do not ascend");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[[-1,1]]"),
				 "has buckets that do not ascend");
	expect_histogram_refused(HISTOGRAM(0, 5, 5, 5, "[[5,0]]"),
				 "has a bucket with a count below 1");
	expect_histogram_refused(HISTOGRAM(0, 5, 5, 5, "[[5,-3]]"),
				 "has a bucket with a count below 1");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[[1000000,1]]"), "has no bucket 1000000");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[[4294967296,1]]"),
				 "has no bucket 4294967296");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 5, "[[5,72057594037927936],[6,1]]"),
				 "counts more than there can be");
	expect_histogram_refused(HISTOGRAM(1, 4, 5, 5, "[[5,1]]"),
				 "has a min_ns that is not in its first bucket");
	expect_histogram_refused(HISTOGRAM(1, 5, 6, 5, "[[5,1]]"),
				 "has a max_ns that is not in its last bucket");
	expect_histogram_refused(HISTOGRAM(1, 5, 5, 6, "[[5,1]]"),
				 "has a sum_ns that its buckets cannot have");
	expect_histogram_refused(HISTOGRAM(0, 0, 5, 0, "[]"),
				 "is empty, and has extremes or a sum");
}

static void test_members_that_are_not_known_are_passed_over(void **state)
{
	struct buffer text = BUFFER_INIT;
	struct run run, back;
	char why[256];

	(void)state;
	assert_int_equal(runs_sample(&run), 0);
	assert_int_equal(report_json(&text, &run), 0);
	text.end -= 2; /* "}\n" */
	assert_int_equal(buffer_append_str(&text, STR(",\"more\":[1,{}]}")), 0);
	assert_int_equal(report_read_json(text_of(&text), "a.json", &back, why, sizeof(why)), 0);
	run_deinit(&back);
	run_deinit(&run);
	buffer_free(&text);
}

/* --- without memory -------------------------------------------------------------- */

static struct run sample;
static struct buffer sample_json;

static int attempt_write(void)
{
	struct buffer out = BUFFER_INIT;
	int err = report_json(&out, &sample);

	if (err == 0) {
		expect_same(&out, &sample_json);
	}
	buffer_free(&out);
	return err;
}

static int attempt_read(void)
{
	struct run run;
	char why[256] = "";
	int rv = report_read_json(text_of(&sample_json), "a.json", &run, why, sizeof(why));

	if (rv == 0) {
		run_deinit(&run);
	} else {
		assert_int_not_equal(why[0], '\0');
	}
	return rv;
}

/* The first, the second, ... fails, until there are no more. How many did not matter. */
static long fail_each_in_turn(int (*attempt)(void))
{
	long n = 0, n_survived = 0;

	for (;; n++) {
		int result;

		failing_at = n;
		result = attempt();
		if (failing_at >= 0) { /* there were fewer allocations than that */
			failing_at = -1;
			assert_int_equal(result, 0);
			break;
		}
		n_survived += result == 0;
	}
	assert_true(n > 5);
	return n_survived;
}

static void test_every_allocation_fails_in_turn(void **state)
{
	struct recorder_call call = { .ended_ns = 5000, .instance = STR("blue") };

	(void)state;
	assert_int_equal(run_init(&sample), 0);
	runs_plan(&sample);
	sample.name = "what is \xff no UTF-8";
	sample.results.open_loop = true;
	runs_call(&sample.results, &call);
	call.status = GRPC_UNAVAILABLE;
	call.message = STR("said \xff so");
	runs_call(&sample.results, &call);
	assert_int_equal(report_json(&sample_json, &sample), 0);
	assert_int_equal(fail_each_in_turn(attempt_write), 0);
	/*
	 * When jansson (2.14) reads it does not look whether the buffer of its lexer could
	 * grow: that one passes by. Without jansson's own none does.
	 */
	assert_true(fail_each_in_turn(attempt_read) < 5);
	json_set_alloc_funcs(__real_malloc, free);
	assert_int_equal(fail_each_in_turn(attempt_read), 0);
	json_set_alloc_funcs(malloc, free);
	run_deinit(&sample);
	buffer_free(&sample_json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run_comes_back),
		cmocka_unit_test(test_a_run_without_a_call_comes_back),
		cmocka_unit_test(test_a_run_without_a_call_has_no_verdict),
		cmocka_unit_test(test_any_run_comes_back),
		cmocka_unit_test(test_what_was_read_merges_as_what_was_measured),
		cmocka_unit_test(test_what_is_no_json),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_what_is_too_large),
		cmocka_unit_test(test_other_schemas),
		cmocka_unit_test(test_members_that_are_missing_or_of_another_kind),
		cmocka_unit_test(test_numbers_that_cannot_be),
		cmocka_unit_test(test_sums_that_do_not_add_up),
		cmocka_unit_test(test_histograms_that_are_none),
		cmocka_unit_test(test_members_that_are_not_known_are_passed_over),
		cmocka_unit_test(test_every_allocation_fails_in_turn),
	};

	json_set_alloc_funcs(malloc, free); /* so that they fail as ours do */
	return cmocka_run_group_tests_name("report_json", tests, NULL, NULL);
}

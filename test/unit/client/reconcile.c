/* The arithmetic of reconciling, with numbers that were made up; and what servers may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "client/call_set.h"
#include "client/reconcile.h"
#include "client/reconcile_parts.h"

#define ECHO    "{grpc_type=\"unary\",grpc_service=\"muzz.Service\",grpc_method=\"Echo\""
#define STARTED "grpc_server_started_total"
#define HANDLED "grpc_server_handled_total"
#define METHOD  "muzz.Service/Echo"

static struct reconcile_counts counts_of(const char *text)
{
	struct reconcile_counts counts = { 0 };
	char why[256] = "";

	assert_int_equal(reconcile_read_counts(str_from(text), METHOD, &counts, why, sizeof(why)),
			 0);
	return counts;
}

static void only_the_method_that_was_called_counts(void **state)
{
	struct reconcile_counts counts = counts_of(
		STARTED ECHO
		"} 12\n" STARTED
		"{grpc_service=\"muzz.Service\",grpc_method=\"Other\"} 100\n" STARTED
		"{grpc_service=\"other.Service\",grpc_method=\"Echo\"} 100\n" STARTED
		"{grpc_method=\"Echo\"} 100\n" HANDLED ECHO ",grpc_code=\"OK\"} 7\n" HANDLED ECHO
		",grpc_code=\"DeadlineExceeded\"} 2\n" HANDLED ECHO
		",grpc_code=\"Code(99)\"} 1\n" HANDLED
		"{grpc_service=\"muzz.Service\",grpc_method=\"Other\",grpc_code=\"OK\"} 9\n"
		"process_start_time_seconds 1.7e+09\n"
		"total_requests 12\n");

	(void)state;
	assert_true(counts.found && counts.has_start_time);
	assert_int_equal(counts.started, 12);
	assert_int_equal(counts.handled[GRPC_OK], 7);
	assert_int_equal(counts.handled[GRPC_DEADLINE_EXCEEDED], 2);
	assert_int_equal(counts.handled[GRPC_UNKNOWN], 1);
	assert_int_equal(reconcile_in_flight(&counts), 2);
	counts = counts_of("x 1\n");
	assert_false(counts.found || counts.has_start_time);
	assert_int_equal(counts.started, 0);
	assert_int_equal(reconcile_in_flight(&counts), 0);
}

static void series_of_a_method_add_up(void **state)
{
	struct reconcile_counts counts =
		counts_of(STARTED ECHO ",pod=\"a\"} 1\n" STARTED ECHO ",pod=\"b\"} 2\n" HANDLED ECHO
				       ",grpc_code=\"OK\",pod=\"a\"} 1e0\n" HANDLED ECHO
				       ",grpc_code=\"OK\",pod=\"b\"} 2.0\n");

	(void)state;
	assert_int_equal(counts.started, 3);
	assert_int_equal(counts.handled[GRPC_OK], 3);
}

static void counts_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {
		"-1", "0.5", "NaN", "+Inf", "1e300", "9007199254740994"
	};
	char why[256], text[256];
	struct reconcile_counts counts;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), STARTED ECHO "} %s\n", bad[i]);
		assert_int_equal(
			reconcile_read_counts(str_from(text), METHOD, &counts, why, sizeof(why)),
			-1);
		assert_non_null(strstr(why, "no whole number"));
	}
	assert_int_equal(reconcile_read_counts(STR("<html>\n"), METHOD, &counts, why, sizeof(why)),
			 -1);
	assert_string_equal(why, "its metrics cannot be read: line 1: malformed metric name");
}

static void the_difference_is_what_happened_in_between(void **state)
{
	struct reconcile_counts before = {
		.started = 10, .handled = { 8, 1 }, .has_start_time = true, .start_time = 5
	};
	struct reconcile_counts after = {
		.started = 31, .handled = { 27, 3 }, .has_start_time = true, .start_time = 5
	};
	struct reconcile_counts difference;

	(void)state;
	assert_false(reconcile_difference(&before, &after, &difference));
	assert_int_equal(difference.started, 21);
	assert_int_equal(difference.handled[0], 19);
	assert_int_equal(difference.handled[1], 2);
}

#define INJECTED "echod_faults_injected_total"

static void the_ledger_is_read_by_kind_and_by_code(void **state)
{
	struct reconcile_counts counts =
		counts_of(INJECTED "{kind=\"status\",code=\"Unavailable\"} 20000\n" INJECTED
				   "{kind=\"status\",code=\"Internal\"} 0\n" INJECTED
				   "{kind=\"reset\",code=\"Internal\"} 3\n" INJECTED
				   "{kind=\"truncate\",code=\"Internal\"} 5\n" INJECTED
				   "{kind=\"close\",code=\"Unavailable\"} 4\n" INJECTED
				   "{kind=\"flood\",code=\"Unknown\"} 1\n"
				   "echod_fault_calls_taken_along_total{fault=\"none\"} 3\n"
				   "echod_fault_calls_taken_along_total{fault=\"own\"} 2\n");
	struct reconcile_counts before = { 0 }, difference;

	(void)state;
	assert_true(counts.ledger);
	assert_int_equal(counts.faults[GRPC_UNAVAILABLE], 20000);
	assert_int_equal(counts.faults[INJECTED_RESET], 3);
	assert_int_equal(counts.faults[INJECTED_CLOSE], 4);
	assert_int_equal(counts.faults[INJECTED_OTHER], 1);
	assert_int_equal(counts.silent[GRPC_UNAVAILABLE], 9);
	assert_int_equal(counts.silent[GRPC_INTERNAL], 0); /* both ends say so, or one lost it */
	assert_int_equal(counts.silent[GRPC_UNKNOWN], 1);
	assert_false(counts_of(STARTED ECHO "} 12\n").ledger);

	before.faults[GRPC_UNAVAILABLE] = 19000;
	before.silent[GRPC_UNAVAILABLE] = 2;
	assert_false(reconcile_difference(&before, &counts, &difference));
	assert_true(difference.ledger);
	assert_int_equal(difference.faults[GRPC_UNAVAILABLE], 1000);
	assert_int_equal(difference.faults[INJECTED_RESET], 3);
	assert_int_equal(difference.silent[GRPC_UNAVAILABLE], 7);
	before.faults[GRPC_UNAVAILABLE] = 20001;
	assert_true(reconcile_difference(&before, &counts, &difference));
}

/* What is told in trailers must agree; what no trailers can tell of explains a status. */
static void what_a_fault_explains_is_no_difference(void **state)
{
	struct run_reconciliation both = {
		.by_status = { [GRPC_UNAVAILABLE] = 7, [GRPC_INTERNAL] = -1 },
		.explained = { [GRPC_UNAVAILABLE] = 7 },
		.ledger = true,
		.faults = { [GRPC_UNAVAILABLE] = 20,
			    [INJECTED_CLOSE] = 7,
			    [INJECTED_TRUNCATE] = 2 },
		.told = { [GRPC_UNAVAILABLE] = 18, [INJECTED_TRUNCATE] = 3 },
	};

	(void)state;
	assert_int_equal(run_unexplained(&both, GRPC_UNAVAILABLE), 0);
	assert_int_equal(run_unexplained(&both, GRPC_INTERNAL), -1);
	assert_int_equal(run_untold(&both, (enum injected_word)GRPC_UNAVAILABLE), 2);
	assert_int_equal(run_untold(&both, INJECTED_TRUNCATE), -1);
	assert_int_equal(run_untold(&both, INJECTED_CLOSE), 0);
}

static void a_restart_is_noticed_by_its_time_or_by_a_count_that_fell(void **state)
{
	struct reconcile_counts before = {
		.started = 10, .handled = { 8, 2 }, .has_start_time = true, .start_time = 5
	};
	struct reconcile_counts after = {
		.started = 12, .handled = { 9, 2 }, .has_start_time = true, .start_time = 6
	};
	struct reconcile_counts difference;

	(void)state;
	assert_true(reconcile_difference(&before, &after, &difference));
	assert_int_equal(difference.started, 12); /* all that the new one counted */
	after.has_start_time = false;
	assert_false(reconcile_difference(&before, &after, &difference));
	after.handled[1] = 1;
	assert_true(reconcile_difference(&before, &after, &difference));
	after.handled[1] = 2;
	after.started = 9;
	assert_true(reconcile_difference(&before, &after, &difference));
}

/* -- Sets -- */

static void sets_are_as_slow_ones(void **state)
{
	enum { N = 140000 };
	static uint8_t slow[N], again[N], other[N];
	struct call_set set = { 0 }, twice = { 0 }, without = { 0 };
	struct random random;
	uint64_t n = 0, first, last, from = 0;

	(void)state;
	random_seed(&random, 3);
	for (int i = 0; i < 2000; i++) {
		uint64_t low = random_below(&random, N);
		uint64_t high = MIN(low + random_below(&random, 200), N - 1);

		call_set_add_range(&set, &twice, low, high);
		for (uint64_t at = low; at <= high; at++) {
			again[at] |= slow[at];
			slow[at] = 1;
		}
		low = random_below(&random, N);
		call_set_add(&without, low);
		other[low] = 1;
	}
	for (uint64_t i = 0; i < N; i++) {
		n += slow[i] && !other[i];
	}
	assert_int_equal(call_set_count(&set, &without), n);
	n = 0;
	while (call_set_next(&set, &without, from, &first, &last)) {
		for (uint64_t i = from; i < first; i++) {
			assert_false(slow[i] && !other[i]);
		}
		for (uint64_t i = first; i <= last; i++) {
			assert_true(slow[i] && !other[i]);
			n++;
		}
		from = last + 1;
	}
	assert_int_equal(n, call_set_count(&set, &without));
	for (n = 0, from = 0; from < N; from++) {
		n += again[from];
	}
	assert_int_equal(call_set_count(&twice, NULL), n);
	call_set_deinit(&set);
	call_set_deinit(&twice);
	call_set_deinit(&without);
}

static void a_set_reaches_to_its_last_call(void **state)
{
	struct call_set set = { 0 };
	uint64_t first, last;

	(void)state;
	call_set_add(&set, CALL_SET_MAX - 1);
	assert_true(call_set_next(&set, NULL, 0, &first, &last));
	assert_true(first == CALL_SET_MAX - 1 && last == CALL_SET_MAX - 1);
	assert_false(call_set_next(&set, NULL, CALL_SET_MAX, &first, &last));
	call_set_add_range(&set, NULL, 0, CALL_SET_MAX - 1);
	assert_true(call_set_next(&set, NULL, 0, &first, &last));
	assert_true(first == 0 && last == CALL_SET_MAX - 1);
	assert_int_equal(call_set_count(&set, NULL), CALL_SET_MAX);
	call_set_deinit(&set);
}

/* -- What a server says of a run -- */

#define ID "00000000000000aa"

static int read_run(struct reconcile_seen *seen, uint64_t from, const char *next,
		    const char *received, const char *duplicated, const char *answered,
		    uint64_t *ret_next)
{
	char text[1024], why[128] = "";

	snprintf(text, sizeof(text),
		 "{\"run\":\"" ID "\",\"received\":9,\"untracked\":2,\"lost\":1,\"from\":%llu,"
		 "\"next\":%s,\"sets\":{\"received\":\"%s\",\"duplicated\":\"%s\","
		 "\"answered\":\"%s\"}}\n",
		 (unsigned long long)from, next, received, duplicated, answered);
	return reconcile_read_run(str_from(text), ID, from, seen, ret_next, why, sizeof(why));
}

static void servers_are_united(void **state)
{
	struct reconcile_seen seen = { 0 };
	struct call_set sent = { 0 };
	uint64_t next = 7, first, last;

	(void)state;
	call_set_add_range(&sent, NULL, 0, 20000);
	assert_int_equal(read_run(&seen, 0, "10000", "0-4,6", "3", "0-4,6", &next), 0);
	assert_int_equal(next, 10000);
	assert_int_equal(read_run(&seen, 10000, "null", "10000-20000", "", "10000-20000", &next),
			 0);
	assert_int_equal(next, 0);
	assert_int_equal(seen.untracked, 2); /* a whole answer's, once */
	assert_int_equal(seen.lost, 1);
	assert_int_equal(read_run(&seen, 0, "null", "5-9998", "", "5-9998", &next), 0);
	assert_int_equal(seen.untracked, 4);
	assert_int_equal(call_set_count(&sent, &seen.received), 1);
	assert_true(call_set_next(&sent, &seen.received, 0, &first, &last));
	assert_true(first == 9999 && last == 9999);
	assert_int_equal(call_set_count(&seen.twice, NULL), 2); /* 3, and 6 of both servers */
	reconcile_seen_deinit(&seen);
	call_set_deinit(&sent);
}

static void what_no_server_would_say_is_not_believed(void **state)
{
	static const char *const ranges[] = {
		"x",     "1-",  "-1", "1,",       ",1",         "1,,2",        "2-1",   "1,1",
		"1-3,3", "5,4", "1 ", "16777216", "0-16777216", "99999999999", "1-2-3", "0x1",
	};
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"run\":\"" ID "\"}",
		"{\"run\":1,\"untracked\":0,\"lost\":0,\"from\":0,\"next\":null,"
		"\"sets\":{\"received\":\"\",\"duplicated\":\"\",\"answered\":\"\"}}",
		"{\"run\":\"00000000000000ab\",\"untracked\":0,\"lost\":0,\"from\":0,\"next\":null,"
		"\"sets\":{\"received\":\"\",\"duplicated\":\"\",\"answered\":\"\"}}",
		"{\"run\":\"" ID "\",\"untracked\":-1,\"lost\":0,\"from\":0,\"next\":null,"
		"\"sets\":{\"received\":\"\",\"duplicated\":\"\",\"answered\":\"\"}}",
		"{\"run\":\"" ID "\",\"untracked\":0,\"lost\":0,\"from\":0,"
		"\"sets\":{\"received\":\"\",\"duplicated\":\"\",\"answered\":\"\"}}",
		"{\"run\":\"" ID "\",\"untracked\":0,\"lost\":0,\"from\":0,\"next\":null,"
		"\"sets\":{\"received\":\"\",\"duplicated\":\"\"}}",
		"{\"run\":\"" ID "\",\"untracked\":0,\"lost\":0,\"from\":0,\"next\":null,"
		"\"sets\":\"\"}",
	};
	struct reconcile_seen seen = { 0 };
	uint64_t next = 7;
	char why[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		assert_int_equal(read_run(&seen, 0, "null", ranges[i], "", "", &next), -1);
		assert_int_equal(read_run(&seen, 0, "null", "1", ranges[i], "", &next), -1);
		assert_int_equal(read_run(&seen, 0, "null", "1", "", ranges[i], &next), -1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(reconcile_read_run(str_from(texts[i]), ID, 0, &seen, &next, why,
						    sizeof(why)),
				 -1);
	}
	/* parts that would never end, and what lies outside of its part */
	assert_int_equal(read_run(&seen, 5000, "5001", "", "", "", &next), -1);
	assert_int_equal(read_run(&seen, 5000, "4000", "", "", "", &next), -1);
	assert_int_equal(read_run(&seen, 5000, "16777216", "", "", "", &next), -1);
	assert_int_equal(read_run(&seen, 5000, "\\\"9000\\\"", "", "", "", &next), -1);
	assert_int_equal(read_run(&seen, 5000, "9000", "4999", "", "", &next), -1);
	assert_int_equal(read_run(&seen, 5000, "9000", "8999-9000", "", "", &next), -1);
	assert_int_equal(next, 7);
	assert_int_equal(call_set_count(&seen.received, NULL), 0);
	assert_int_equal(call_set_count(&seen.twice, NULL), 0);
	assert_int_equal(seen.untracked, 0);
}

static void urls_are_checked(void **state)
{
	static const char *const good[] = { "http://h",
					    "http://h/",
					    "http://h:2112/metrics",
					    "HTTP://127.0.0.1:1/m?x=1",
					    "http://[::1]:2112/metrics",
					    "http://h?x" };
	static const char *const bad[] = {
		"",
		"h:2112",
		"https://h/metrics",
		"http://",
		"http:///metrics",
		"http://:2112/metrics",
		"http://h:99999/",
		"http://h:x/",
		"http://user@h/",
		"http://h/#x",
		"http://h/a b",
		"http://h/\n",
		"http://h/\xc3\xa4",
		"http://unix:/x/",
		"http://[::1/",
	};
	char why[256], text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(reconcile_check_url(good[i], why, sizeof(why)), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why[0] = '\0';
		assert_int_equal(reconcile_check_url(bad[i], why, sizeof(why)), -1);
		assert_true(strlen(why) > 0 && !strchr(why, '\n'));
	}
	memset(text, 'x', sizeof(text));
	memcpy(text, "http://h/", 9);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(reconcile_check_url(text, why, sizeof(why)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_method_that_was_called_counts),
		cmocka_unit_test(series_of_a_method_add_up),
		cmocka_unit_test(counts_that_are_none_are_refused),
		cmocka_unit_test(the_difference_is_what_happened_in_between),
		cmocka_unit_test(the_ledger_is_read_by_kind_and_by_code),
		cmocka_unit_test(what_a_fault_explains_is_no_difference),
		cmocka_unit_test(a_restart_is_noticed_by_its_time_or_by_a_count_that_fell),
		cmocka_unit_test(sets_are_as_slow_ones),
		cmocka_unit_test(a_set_reaches_to_its_last_call),
		cmocka_unit_test(servers_are_united),
		cmocka_unit_test(what_no_server_would_say_is_not_believed),
		cmocka_unit_test(urls_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

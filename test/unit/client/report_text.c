/* What people read: the whole of one report, and each part that is only sometimes there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../failing.h"
#include "client/report.h"
#include "runs.h"

static const struct report_style plain = { .columns = 80 };
static const struct report_style wide = { .columns = 400 }; /* no sentence is broken */

static char *text_of(const struct run *run, const struct report_style *style)
{
	struct buffer out = BUFFER_INIT;
	char *text;

	assert_int_equal(report_text(&out, run, style), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	text = strdup((const char *)buffer_data(&out));
	assert_non_null(text);
	buffer_free(&out);
	return text;
}

/* Names the first line that differs. */
static void expect_text(const char *text, const char *expected)
{
	for (unsigned line = 1; *text || *expected; line++) {
		size_t n = strcspn(text, "\n"), m = strcspn(expected, "\n");

		if (n != m || memcmp(text, expected, n) != 0) {
			fail_msg("line %u: \"%.*s\" is not \"%.*s\"", line, (int)n, text, (int)m,
				 expected);
		}
		text += n + (text[n] != '\0');
		expected += m + (expected[m] != '\0');
	}
}

static void expect_part(const struct run *run, const char *part)
{
	char *text = text_of(run, &wide);

	if (!strstr(text, part)) {
		fail_msg("not there: %s\n%s", part, text);
	}
	free(text);
}

static void expect_no_part(const struct run *run, const char *part)
{
	char *text = text_of(run, &plain);

	if (strstr(text, part)) {
		fail_msg("there: %s\n%s", part, text);
	}
	free(text);
}

static int set_up(void **state)
{
	static struct run run;

	*state = &run;
	return runs_sample(&run);
}

static int tear_down(void **state)
{
	run_deinit(*state);
	return 0;
}

static void test_all_of_it(void **state)
{
	char *text = text_of(*state, &plain);

	expect_text(
		text,
		"1000 calls/s over 2 connections to 127.0.0.1:9876, for 1s\n"
		"run 0123456789abcdef on anvil, 2027-01-15 08:00:00 UTC, 1.000s, echod 0.1.0\n"
		"\n"
		"calls: 1000 due, 999 started, 998 done, 1 unfinished, 1 never sent, 1 deferred\n"
		"  OK (0)                             948    95.0 %\n"
		"  UNAVAILABLE (14)                    50    5.01 %   connection lost or not made\n"
		"      connection reset\n"
		"\n"
		"                   min     p50     p90     p95     p99   p99.9     max    mean\n"
		"latency OK     100.0us 501.7us 901.1us 1.000ms 1.000ms 1.000ms 1.000ms 546.5us\n"
		"service OK     70.00us 471.0us 872.4us 970.0us 970.0us 970.0us 970.0us 516.5us\n"
		"latency failed 200.0us 602.1us 1.000ms 1.000ms 1.000ms 1.000ms 1.000ms 600.0us\n"
		"service failed 170.0us 573.4us 970.0us 970.0us 970.0us 970.0us 970.0us 570.0us\n"
		"lag            20.00us 20.00us 20.00us 20.00us 20.00us 20.00us 20.00us 20.00us\n"
		"latency counts from when a call was due, service from when it was sent;\n"
		"lag is how much later than due this client started it\n"
		"\n"
		"latency OK         calls   share  in all\n"
		"up to  100.3us       100  10.5 %  10.5 % ####################\n"
		"up to  200.7us        90  9.49 %  20.0 % ##################\n"
		"up to  301.0us       100  10.5 %  30.6 % ####################\n"
		"up to  401.4us        90  9.49 %  40.1 % ##################\n"
		"up to  501.7us       100  10.5 %  50.6 % ####################\n"
		"up to  700.4us       190  20.0 %  70.7 % ######################################\n"
		"up to  901.1us       189  19.9 %  90.6 % ######################################\n"
		"up to  1.000ms        89  9.39 %   100 % ##################\n"
		"\n"
		"answered by     calls    share  failed  conns  first to last answer\n"
		"  blue           499   52.6 %       0      1  100.0us to 996.7ms\n"
		"  green          449   47.4 %       0      1  1.200ms to 997.8ms\n"
		"\n"
		"errors: the first at 401.2ms, the last at 500.0ms: a window of 98.80ms\n"
		"the longest time without an OK was 2.200ms, from 400.1ms on\n"
		"\n"
		"connections: 3 from the warm-up, 12 opened, 1 attempt failed, 2 lost, 4 renewed, "
		"GOAWAY: 5 NO_ERROR, 1 other\n"
		"retries: 3 of 1002 attempts were a call's second or later\n"
		"streams: 1 call waited for the server's limit of streams\n"
		"a call cost 20.04 us of CPU here (2.00 % of a core), 143 bytes out, 98.2 in\n"
		"\n"
		"of 998 calls that reached the server 948 were answered OK, 50 were not; 1 given\n"
		"up unfinished; 1 due and never sent\n"
		"offered 1000/s, achieved 998/s, limited by: max in flight\n");
	free(text);
}

static void test_the_plan_is_said_once(void **state)
{
	const struct report_style said = { .columns = 80, .plan_said = true };
	char *text = text_of(*state, &said);

	assert_memory_equal(text, "run 0123456789abcdef", 20);
	assert_null(strstr(text, "over 2 connections"));
	free(text);
}

static void test_connections_of_the_warm_up_only_where_there_were_any(void **state)
{
	struct run *run = *state;

	expect_part(run, "\nconnections: 3 from the warm-up, 12 opened, ");
	run->results.connections.open_at_start = 0;
	expect_part(run, "\nconnections: 12 opened, ");
}

static void test_bars_fit_the_columns(void **state)
{
	for (unsigned columns = 50; columns <= 200; columns += 25) {
		for (int blocks = 0; blocks < 2; blocks++) {
			const struct report_style style = { .columns = columns, .blocks = blocks };
			char *text = text_of(*state, &style), *line = strstr(text, "up to "), *end;
			size_t most = 0;

			for (; line && strncmp(line, "up to ", 6) == 0; line = end + 1) {
				size_t n = 0;

				end = strchr(line, '\n');
				for (char *c = line; c < end; c++) {
					n += ((unsigned char)*c & 0xc0) != 0x80;
				}
				most = MAX(most, n);
			}
			assert_int_equal(most, columns - 1);
			assert_int_equal(strchr(text, '#') == NULL, blocks);
			assert_int_equal(strstr(text, "\xe2\x96\x88") != NULL, blocks);
			free(text);
		}
	}
}

static void test_colour_only_where_it_is_wanted(void **state)
{
	struct report_style style = { .columns = 80 };
	char *text = text_of(*state, &style);

	assert_null(strchr(text, '\033'));
	free(text);
	style.colour = true;
	text = text_of(*state, &style);
	assert_non_null(strstr(text, "\033[1moffered 1000/s"));
	free(text);
}

static void test_a_closed_loop(void **state)
{
	struct run *run = *state;

	run->schedule.n = 0;
	run->results.open_loop = false;
	expect_part(run, "\nlatency counts from when a call was started, service");
	expect_part(run, "\ncalls: 999 started, 998 done, 1 unfinished\n");
	expect_part(run, "\nclosed loop, achieved 998/s, limited by: ");
}

static void test_calls_that_found_no_server(void **state)
{
	struct run *run = *state;
	const struct recorder_call call = {
		.end = RECORDER_NO_SERVER,
		.sent_ns = -1,
		.message = STR("connection refused"),
	};

	expect_no_part(run, "never found a server");
	for (int i = 0; i < 2; i++) {
		runs_call(&run->results, &call);
	}
	expect_part(run, "  never found a server                 2    0.20 %\n"
			 "      connection refused\n");
	expect_part(run, "; 2 calls found no server to connect to; 1 given up unfinished");
	/* Two of a thousand are not worth more words; many are, in a closed loop. */
	run->schedule.n = 0;
	expect_no_part(run, "no oftener");
	for (int i = 0; i < 20; i++) {
		runs_call(&run->results, &call);
	}
	expect_part(run, "a closed loop calls no oftener than it dials where there is no server");
	run->schedule.n = 1;
	expect_no_part(run, "no oftener");
}

static void test_calls_whose_time_was_over_before_they_left(void **state)
{
	struct run *run = *state;
	struct run none;
	const struct recorder_call call = {
		.status = GRPC_DEADLINE_EXCEEDED,
		.origin = GRPC_FROM_HERE,
		.sent_ns = -1,
		.ended_ns = NS_PER_MS,
	};

	runs_call(&run->results, &call);
	runs_call(&run->results, &call);
	expect_part(run, "of 998 calls that reached the server 948 were answered OK, 50 were not; "
			 "2 ended before they could be sent; 1 given up unfinished");
	assert_int_equal(run_init(&none), 0);
	runs_call(&none.results, &call);
	expect_part(&none, "no call was answered by a server; 1 ended before they could be sent\n");
	run_deinit(&none);
}

static void test_calls_that_waited_for_their_turn(void **state)
{
	struct run *run = *state;

	expect_no_part(run, "coordinated omission");
	for (int i = 0; i < 100; i++) {
		const struct recorder_call call = {
			.started_ns = 200 * NS_PER_MS,
			.sent_ns = 200 * NS_PER_MS,
			.ended_ns = 200 * NS_PER_MS + 500 * NS_PER_US,
			.deferred = true,
		};

		runs_call(&run->results, &call);
	}
	expect_part(run, "calls waited for their turn: the p99 is 200.5ms from when they were due "
			 "and 970.0us from when they were sent; a tool that counts from the send "
			 "would have missed the stall (coordinated omission)\n");
	run->results.deferred = 0; /* they waited for a connection, say */
	expect_part(run, " would have missed that (coordinated omission)\n");
	for (int i = 0; i < 50; i++) { /* sent into the stall: their service has it, too */
		latencies_record(run->results.latency_ok, 250 * NS_PER_MS);
		latencies_record(run->results.service_ok, 250 * NS_PER_MS);
	}
	expect_part(run, "calls waited for their turn: the p90 is 201.3ms from when they were due");
}

static void test_a_client_that_is_the_limit(void **state)
{
	struct run *run = *state;

	run->cpu_user_ns = run->elapsed_ns;
	expect_part(run, "limited by: client CPU\n");
	run->cpu_user_ns = run->elapsed_ns / 10;
	for (int i = 0; i < 100; i++) {
		latencies_record(run->results.lag, 3 * NS_PER_MS);
	}
	expect_part(run, "limited by: client CPU (lag: p99 3.000ms)\n");
	run->cpu_user_ns = run->elapsed_ns;
	run->spin = true;
	expect_part(run, "limited by: client CPU (lag: p99 3.000ms)\n");
}

static void test_a_gap_without_an_error(void **state)
{
	struct run *run = *state;

	expect_part(run, "errors: the first at");
	run->results.first_error_ns = run->results.last_error_ns = -1;
	expect_no_part(run, "without an OK"); /* 2 ms are nothing to speak of */
	run->results.longest_gap_ns = 500 * NS_PER_MS;
	expect_part(run, "\nthe longest time without an OK was 500.0ms, from 400.1ms on\n");
	expect_no_part(run, "errors: the first at");
	run->results.longest_gap_from_ns = 0;
	expect_part(run, "was 500.0ms, from the beginning on\n");
	run->elapsed_ns = 3600 * NS_PER_S; /* calls were that rare */
	expect_no_part(run, "without an OK");
}

static void test_whose_word_a_status_is(void **state)
{
	struct run *run = *state;
	struct recorder_call call = {
		.status = GRPC_UNAVAILABLE,
		.origin = GRPC_FROM_PEER,
		.message = STR("draining"),
	};

	runs_call(&run->results, &call);
	expect_part(run, "51    5.11 %   1 from the server, 50 connection lost or not made\n");
	call.status = GRPC_DEADLINE_EXCEEDED;
	call.origin = GRPC_FROM_HERE;
	runs_call(&run->results, &call);
	expect_part(run, "  DEADLINE_EXCEEDED (4)                1    0.10 %   decided here\n"
			 "      draining\n");
	call.end = RECORDER_MISMATCHED;
	runs_call(&run->results, &call);
	expect_part(run, "  OK, but not the echo                 1    0.10 %\n");
}

static void test_a_warm_up(void **state)
{
	struct run *run = *state;

	expect_no_part(run, "of the warm-up");
	run->warmup_calls = 77;
	expect_part(run, ", 1 deferred; 77 of the warm-up before count nowhere here\n");
}

static void test_a_run_that_ended_early(void **state)
{
	struct run *run = *state;

	run->ended_by = "SIG\033INT";
	expect_part(run, "\nended early (SIG\\x1bINT): of 998 calls");
}

static void test_assertions(void **state)
{
	struct run *run = *state;
	struct run_assertion assertions[] = {
		{ .text = "p99<20ms", .measured = "1.000ms", .held = true },
		{ .text = "error_rate<0.1%", .measured = "5.01 %", .held = false },
	};

	expect_no_part(run, "assertions");
	run->assertions = assertions;
	run->n_assertions = 2;
	expect_part(run, "\nassertions: 1 of 2 held\n"
			 "  held    p99<20ms         measured 1.000ms\n"
			 "  FAILED  error_rate<0.1%  measured 5.01 %\n");
}

static void test_reconciliation(void **state)
{
	struct run *run = *state;
	struct run_reconciled servers[] = {
		{ .url = "http://a:2112/metrics", .received = 500, .by_status = { 498, 0, 2 } },
		{ .url = "http://b:2112/metrics", .problem = "connection refused" },
		{ .url = "http://c:2112/metrics",
		  .received = 10,
		  .in_flight = 4,
		  .restarted = true },
	};
	struct run_reconciliation *all = &run->reconciliation;

	expect_no_part(run, "reconciled");
	*all = (struct run_reconciliation){
		.n = 1,
		.servers = servers,
		.complete = true,
		.sent = 500,
		.received = 500,
		.answered = 500,
	};
	expect_part(run,
		    "\nreconciled with 1 server: 500 sent, 500 arrived, 500 answers came back\n"
		    "  http://a:2112/metrics: received 500, OK 498, UNKNOWN 2\n"
		    "  servers minus client: no difference\n");
	*all = (struct run_reconciliation){
		.n = 3,
		.servers = servers,
		.sent = 509,
		.received = 510,
		.answered = 500,
		.by_status = { -3, [GRPC_UNAVAILABLE] = -1 },
		.by_call = true,
		.never_arrived = 2,
		.arrived_twice = 3,
		.answer_lost = 1,
		.untracked = 7,
		.examples = "17, 203-207",
	};
	expect_part(run, "  http://b:2112/metrics: not compared: connection refused\n");
	expect_part(run,
		    "  http://c:2112/metrics: received 10; 4 still in flight; it was restarted "
		    "meanwhile, so its "
		    "counts began anew\n");
	expect_part(run, "  servers minus client: received +1 (off by one), OK -3, UNAVAILABLE -1 "
			 "(off by one) (of what could be compared)\n");
	expect_part(run, "  call by call: 2 never arrived, 3 arrived twice, 1 answered and not "
			 "received: 17, 203-207\n"
			 "  7 calls beyond what servers tell apart: only counted\n");
	*all = (struct run_reconciliation){
		.n = 1,
		.servers = servers,
		.complete = true,
		.by_status = { [GRPC_UNAVAILABLE] = 5 },
		.explained = { [GRPC_UNAVAILABLE] = 5 },
		.ledger = true,
		.faults = { [GRPC_UNAVAILABLE] = 20, [GRPC_INTERNAL] = 3, [INJECTED_CLOSE] = 5 },
		.told = { [GRPC_UNAVAILABLE] = 18, [GRPC_INTERNAL] = 3 },
	};
	expect_part(run, "  servers minus client: no difference\n"
			 "  ended by the servers on purpose, with no status of theirs: "
			 "UNAVAILABLE 5\n"
			 "  injected by the servers: INTERNAL 3; UNAVAILABLE 20, of which trailers "
			 "told 18; close 5, of which trailers told 0\n");
	all->ledger = false; /* an older server */
	expect_no_part(run, "injected by");
	*all = (struct run_reconciliation){
		.n = 1,
		.servers = &servers[1],
		.sent = 100,
		.answered = 96,
		.by_status = { -96 },
	};
	expect_part(run, "\nnot reconciled: 100 sent, 96 answers came back\n"
			 "  http://b:2112/metrics: not compared: connection refused\n");
	expect_no_part(run, "servers minus client");
	*all = (struct run_reconciliation){ 0 };
}

static void test_servers_that_have_no_name(void **state)
{
	struct run *run = *state;
	struct recorder *results = &run->results;

	results->n_backends = 1;
	results->backends[0].instance[0] = '\0';
	expect_no_part(run, "answered by");
	results->n_backends = 2;
	expect_part(run, "  (no name)       499   52.6 %");
}

static void test_a_run_without_a_call(void **state)
{
	struct run run;

	(void)state;
	assert_int_equal(run_init(&run), 0);
	expect_part(&run, "no call was answered by a server\n"
			  "closed loop, achieved 0/s, limited by: unknown\n");
	run_deinit(&run);
}

static void test_runs_in_one(void **state)
{
	struct run *run = *state;

	run->merged = 3;
	expect_part(run, "3 runs as one, the first of them: 1000 calls/s over");
}

/* Sentences are broken by whoever shows them, tables are not. */
static bool is_sentence(const char *line)
{
	static const char *const begins[] = { "run ",     "streams: ", "connections: ", "retries: ",
					      "errors: ", "a call ",   "the longest ",  "offered ",
					      "1  run ",  "2  run " };

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		if (strncmp(line, begins[i], strlen(begins[i])) == 0) {
			return true;
		}
	}
	return strstr(line, " of the calls ") || strstr(line, "found the server");
}

static void expect_narrow(char *text, size_t columns)
{
	for (char *line; (line = strsep(&text, "\n"));) {
		if (strlen(line) > columns && !is_sentence(line)) {
			fail_msg("%zu columns: \"%s\"", strlen(line), line);
		}
	}
}

static void test_tables_fit_a_narrow_page(void **state)
{
	const struct run *runs[2] = { *state, *state };

	for (unsigned columns = 40; columns <= 100; columns++) {
		const struct report_style style = { .columns = columns };
		struct buffer out = BUFFER_INIT;
		char *text = text_of(*state, &style);

		assert_non_null(strstr(text, "     p99"));
		assert_non_null(strstr(text, "connection lost or not made"));
		expect_narrow(text, columns);
		free(text);
		assert_int_equal(report_compare_text(&out, runs, 2, &style), 0);
		assert_int_equal(buffer_append(&out, "", 1), 0);
		text = strdup((const char *)buffer_data(&out));
		expect_narrow(text, columns);
		free(text);
		buffer_free(&out);
	}
}

static void test_any_run_at_any_width(void **state)
{
	struct random random;
	struct run run;

	(void)state;
	random_seed(&random, 3);
	for (int i = 0; i < 50; i++) {
		const struct report_style style = { .columns = 40 + (unsigned)i, .blocks = i % 2 };

		assert_int_equal(runs_random(&run, &random), 0);
		free(text_of(&run, &style));
		run_deinit(&run);
	}
}

/* --- side by side --------------------------------------------------------------- */

static void test_two_runs_side_by_side(void **state)
{
	struct run *first = *state, second;
	const struct run *runs[] = { first, &second };
	struct buffer out = BUFFER_INIT;

	assert_int_equal(runs_sample(&second), 0);
	second.name = "after";
	second.cpu_user_ns += 10 * NS_PER_MS;
	second.bytes_in++;
	second.elapsed_ns = second.offered_ns = 2 * NS_PER_S;
	second.results.deferred = second.results.never_sent = 0;
	assert_int_equal(report_compare_text(&out, runs, 2, &plain), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	expect_text((const char *)buffer_data(&out),
		    "1  run 0123456789abcdef on anvil, 2027-01-15 08:00:00 UTC\n"
		    "   1000 calls/s over 2 connections to 127.0.0.1:9876, for 1s\n"
		    "2  after: run 0123456789abcdef on anvil, 2027-01-15 08:00:00 UTC\n"
		    "   1000 calls/s over 2 connections to 127.0.0.1:9876, for 1s\n"
		    "\n"
		    "                                 1             2     vs 1\n"
		    "offered calls/s               1000           500  -50.0 %\n"
		    "achieved calls/s               998           499  -50.0 %\n"
		    "limited by           max in flight       nothing\n"
		    "calls done                     998           998        =\n"
		    "failed                      5.01 %        5.01 %\n"
		    "unfinished, not sent             2             1  -50.0 %\n"
		    "deferred                         1             0   -100 %\n"
		    "connections lost                 2             2        =\n"
		    "latency OK    mean         546.5us       546.5us        =\n"
		    "              p50          501.7us       501.7us        =\n"
		    "              p90          901.1us       901.1us        =\n"
		    "              p95          1.000ms       1.000ms        =\n"
		    "              p99          1.000ms       1.000ms        =\n"
		    "              p99.9        1.000ms       1.000ms        =\n"
		    "              max          1.000ms       1.000ms        =\n"
		    "service OK    p50          471.0us       471.0us        =\n"
		    "              p99          970.0us       970.0us        =\n"
		    "failed        p50          602.1us       602.1us        =\n"
		    "              p99          1.000ms       1.000ms        =\n"
		    "lag           p99          20.00us       20.00us        =\n"
		    "CPU us per call              20.04         30.06  +50.0 %\n"
		    "bytes out per call             143           143        =\n"
		    "bytes in per call             98.2          98.2  <0.01 %\n");
	run_deinit(&second);
	buffer_free(&out);
}

/* Each of them has a column, whatever the width. */
static void test_many_runs_side_by_side(void **state)
{
	const struct run *runs[9];
	struct buffer out = BUFFER_INIT;
	struct run *run = *state;
	unsigned n_columns = 0;

	run->plan = "open loop, 1000 calls/s at equal distances, at most 1000 at a time, over 10 "
		    "connections to 127.0.0.1:9876, for 1s";

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		runs[i] = *state;
	}
	assert_int_equal(report_compare_text(&out, runs, ARRAY_SIZE(runs), &plain), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	for (char *at = (char *)buffer_data(&out); (at = strstr(at, "vs 1")); at++) {
		n_columns++;
	}
	assert_int_equal(n_columns, 8);
	assert_non_null(strstr((char *)buffer_data(&out), "\n   connections to 127.0.0.1"));
	for (char *line = (char *)buffer_data(&out); *line; line = strchr(line, '\n') + 1) {
		assert_true(strcspn(line, "\n") <= 80);
	}
	buffer_free(&out);
}

/* --- without memory -------------------------------------------------------------- */

static struct run *sample;

static int attempt_text(void)
{
	struct buffer out = BUFFER_INIT;
	int err = report_text(&out, sample, &plain);

	buffer_free(&out);
	return err;
}

static int attempt_compare(void)
{
	const struct run *runs[] = { sample, sample };
	struct buffer out = BUFFER_INIT;
	int err = report_compare_text(&out, runs, 2, &plain);

	buffer_free(&out);
	return err;
}

static void fail_each_in_turn(int (*attempt)(void))
{
	for (long n = 0;; n++) {
		int result;

		failing_at = n;
		result = attempt();
		if (failing_at >= 0) { /* there were fewer allocations than that */
			failing_at = -1;
			assert_int_equal(result, 0);
			assert_true(n > 2);
			break;
		}
		assert_int_equal(result, -ENOMEM);
	}
}

static void test_every_allocation_fails_in_turn(void **state)
{
	sample = *state;
	fail_each_in_turn(attempt_text);
	fail_each_in_turn(attempt_compare);
}

#define WITH_SAMPLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SAMPLE(test_all_of_it),
		WITH_SAMPLE(test_bars_fit_the_columns),
		WITH_SAMPLE(test_colour_only_where_it_is_wanted),
		WITH_SAMPLE(test_a_closed_loop),
		WITH_SAMPLE(test_calls_that_found_no_server),
		WITH_SAMPLE(test_a_client_that_is_the_limit),
		WITH_SAMPLE(test_a_gap_without_an_error),
		WITH_SAMPLE(test_calls_whose_time_was_over_before_they_left),
		WITH_SAMPLE(test_calls_that_waited_for_their_turn),
		WITH_SAMPLE(test_whose_word_a_status_is),
		WITH_SAMPLE(test_a_warm_up),
		WITH_SAMPLE(test_the_plan_is_said_once),
		WITH_SAMPLE(test_connections_of_the_warm_up_only_where_there_were_any),
		WITH_SAMPLE(test_a_run_that_ended_early),
		WITH_SAMPLE(test_assertions),
		WITH_SAMPLE(test_reconciliation),
		WITH_SAMPLE(test_servers_that_have_no_name),
		cmocka_unit_test(test_a_run_without_a_call),
		WITH_SAMPLE(test_runs_in_one),
		WITH_SAMPLE(test_tables_fit_a_narrow_page),
		cmocka_unit_test(test_any_run_at_any_width),
		WITH_SAMPLE(test_two_runs_side_by_side),
		WITH_SAMPLE(test_many_runs_side_by_side),
		WITH_SAMPLE(test_every_allocation_fails_in_turn),
	};

	return cmocka_run_group_tests_name("report_text", tests, NULL, NULL);
}

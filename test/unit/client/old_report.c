#include "client/old_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect(struct buffer *out, const char *text)
{
	assert_int_equal(buffer_append(out, "", 1), 0);
	assert_string_equal((const char *)buffer_data(out), text);
	buffer_free(out);
}

static int set_up(void **state)
{
	static struct old_recorder recorder;

	*state = &recorder;
	return old_recorder_init(&recorder);
}

static int tear_down(void **state)
{
	old_recorder_deinit(*state);
	return 0;
}

static struct old_report_run run_of(const struct old_recorder *results)
{
	return (struct old_report_run){
		.target = "127.0.0.1:9876",
		.concurrency = 50,
		.connections = 1,
		.elapsed_ns = 2 * NS_PER_S,
		.results = results,
		.connects = 1,
	};
}

static void test_a_run_in_which_all_went_well(void **state)
{
	struct old_recorder *results = *state;
	struct old_report_run run = run_of(results);
	struct buffer out = BUFFER_INIT;

	for (int i = 0; i < 1001; i++) {
		old_recorder_answered(results, GRPC_OK, 2 * NS_PER_MS, STR(""));
	}
	assert_int_equal(old_report_run_text(&out, &run), 0);
	expect(&out,
	       "1001 calls to 127.0.0.1:9876 in 2.000s, 500.5 answered/s\n"
	       "  OK (0)                             1001\n"
	       "  never found a server                  0\n"
	       "  connections made                      1\n"
	       "latency, OK: p50 2.000ms  p90 2.000ms  p99 2.000ms  p99.9 2.000ms  max 2.000ms\n"
	       "every call that reached the server was answered OK (1001)\n");
}

static void test_a_run_whose_server_went_away(void **state)
{
	struct old_recorder *results = *state;
	struct old_report_run run = run_of(results);
	struct buffer out = BUFFER_INIT;

	run.connects_failed = 3;
	run.retries = 2;
	old_recorder_answered(results, GRPC_OK, 1 * NS_PER_S, STR(""));
	for (int i = 0; i < 50; i++) {
		old_recorder_never_found(results, STR("127.0.0.1:9876: connection refused"));
	}
	assert_int_equal(old_report_run_text(&out, &run), 0);
	expect(&out,
	       "51 calls to 127.0.0.1:9876 in 2.000s, 0.5 answered/s\n"
	       "  OK (0)                                1\n"
	       "  never found a server                 50  127.0.0.1:9876: connection refused\n"
	       "  connections made                      1\n"
	       "  attempts to connect failed            3\n"
	       "  sent anew                             2\n"
	       "latency, OK: p50 1.000s  p90 1.000s  p99 1.000s  p99.9 1.000s  max 1.000s\n"
	       "every call that reached the server was answered OK (1); 50 calls found no server "
	       "to connect to\n");
}

static void test_a_run_in_which_much_went_wrong(void **state)
{
	struct old_recorder *results = *state;
	struct old_report_run run = run_of(results);
	struct buffer out = BUFFER_INIT;

	run.ended_by = "SIGINT";
	old_recorder_answered(results, GRPC_OK, 5 * NS_PER_US, STR(""));
	old_recorder_answered(results, GRPC_INTERNAL, 7 * NS_PER_US, STR("broken"));
	old_recorder_mismatched(results, 7 * NS_PER_US);
	old_recorder_never_found(results, STR(""));
	old_recorder_unfinished(results);
	assert_int_equal(old_report_run_text(&out, &run), 0);
	expect(&out,
	       "5 calls to 127.0.0.1:9876 in 2.000s, 1.5 answered/s\n"
	       "  OK (0)                                1\n"
	       "  INTERNAL (13)                         1  broken\n"
	       "  OK, but not the echo                  1\n"
	       "  never found a server                  1\n"
	       "  given up unfinished                   1\n"
	       "  connections made                      1\n"
	       "latency, OK: p50 5.000us  p90 5.000us  p99 5.000us  p99.9 5.000us  max 5.000us\n"
	       "latency, failed: p50 7.000us  p90 7.000us  p99 7.000us  p99.9 7.000us  max "
	       "7.000us\n"
	       "ended early (SIGINT): of 3 calls that reached the server 1 were answered OK, 2 "
	       "were not; 1 call found no server to connect to; 1 given up unfinished\n");
}

static void test_a_run_without_a_server(void **state)
{
	struct old_recorder *results = *state;
	struct old_report_run run = run_of(results);
	struct buffer out = BUFFER_INIT;

	run.connects = 0;
	run.connects_failed = 1;
	run.elapsed_ns = NS_PER_MS;
	run.ended_by = "no server for 20s";
	old_recorder_never_found(results, STR("refused"));
	assert_int_equal(old_report_run_text(&out, &run), 0);
	expect(&out, "1 calls to 127.0.0.1:9876 in 1.000ms, 0.0 answered/s\n"
		     "  OK (0)                                0\n"
		     "  never found a server                  1  refused\n"
		     "  connections made                      0\n"
		     "  attempts to connect failed            1\n"
		     "ended early (no server for 20s): no call was answered by a server; 1 call "
		     "found no server to connect to\n");
}

static void test_a_run_in_json(void **state)
{
	struct old_recorder *results = *state;
	struct old_report_run run = run_of(results);
	struct buffer out = BUFFER_INIT;

	run.ended_by = "SIGTERM";
	run.attempts = 4;
	run.retries = 1;
	old_recorder_answered(results, GRPC_OK, 2 * NS_PER_MS, STR(""));
	old_recorder_answered(results, GRPC_UNAVAILABLE, 3 * NS_PER_MS, STR("\"lost\""));
	old_recorder_never_found(results, STR("refused"));
	assert_int_equal(old_report_run_json(&out, &run), 0);
	expect(&out,
	       "{\"target\":\"127.0.0.1:9876\",\"concurrency\":50,\"connections\":1,"
	       "\"elapsed_seconds\":2.000000000,\"calls\":3,\"answered_per_second\":1.0,"
	       "\"statuses\":{\"OK\":{\"code\":0,\"calls\":1},"
	       "\"UNAVAILABLE\":{\"code\":14,\"calls\":1,\"example\":\"\\\"lost\\\"\"}},"
	       "\"mismatched\":0,\"never_found\":{\"calls\":1,\"example\":\"refused\"},"
	       "\"unfinished\":0,\"connections_made\":1,\"connects_failed\":0,"
	       "\"attempts\":4,\"transparent_retries\":1,"
	       "\"ended_by\":\"SIGTERM\","
	       "\"latency_seconds\":{\"count\":1,\"min\":0.002000000,\"mean\":0.002000000,"
	       "\"p50\":0.002000000,\"p90\":0.002000000,\"p99\":0.002000000,\"p99.9\":0.002000000,"
	       "\"max\":0.002000000},"
	       "\"failed_latency_seconds\":{\"count\":1,\"min\":0.003000000,\"mean\":0.003000000,"
	       "\"p50\":0.003000000,\"p90\":0.003000000,\"p99\":0.003000000,\"p99.9\":0.003000000,"
	       "\"max\":0.003000000}}\n");
}

#define TEST_RUN(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_RUN(a_run_in_which_all_went_well),
		TEST_RUN(a_run_whose_server_went_away),
		TEST_RUN(a_run_in_which_much_went_wrong),
		TEST_RUN(a_run_without_a_server),
		TEST_RUN(a_run_in_json),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

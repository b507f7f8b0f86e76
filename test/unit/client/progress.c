#include "client/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../failing.h"

static int64_t now_ns;

static int64_t fake_clock(void *context)
{
	(void)context;
	return now_ns;
}

struct fixture {
	struct timers timers;
	struct recorder results, warmup;
	struct progress progress;
	struct progress_options options;
	struct progress_look look;
	int64_t phase_ns; /* when it began */
	int saved_stderr, ends[2];
	const char *line_end; /* as standard error makes it */
};

static void look(void *user, struct progress_look *ret)
{
	struct fixture *fixture = user;

	*ret = fixture->look;
	ret->into_ns = now_ns - fixture->phase_ns;
}

static int set_up(void **state)
{
	static struct fixture fixture;

	now_ns = 100 * NS_PER_S;
	fixture = (struct fixture){ .phase_ns = now_ns, .line_end = "\n" };
	timers_init(&fixture.timers, fake_clock, NULL);
	assert_int_equal(recorder_init(&fixture.results), 0);
	assert_int_equal(recorder_init(&fixture.warmup), 0);
	fixture.results.open_loop = true;
	fixture.options = (struct progress_options){
		.timers = &fixture.timers,
		.duration_ns = 30 * NS_PER_S,
		.look = look,
		.user = &fixture,
	};
	fixture.look = (struct progress_look){
		.phase = PROGRESS_RUNNING,
		.in_flight = 42,
		.results = &fixture.results,
	};
	assert_int_equal(pipe2(fixture.ends, O_NONBLOCK), 0);
	fixture.saved_stderr = dup(STDERR_FILENO);
	dup2(fixture.ends[1], STDERR_FILENO);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	progress_stop(&fixture->progress);
	dup2(fixture->saved_stderr, STDERR_FILENO);
	close(fixture->saved_stderr);
	close(fixture->ends[0]);
	close(fixture->ends[1]);
	recorder_deinit(&fixture->results);
	recorder_deinit(&fixture->warmup);
	return 0;
}

static void start(struct fixture *fixture, bool terminal)
{
	fixture->options.terminal = terminal;
	progress_start(&fixture->progress, &fixture->options);
}

static void pass(struct fixture *fixture, int64_t ns)
{
	now_ns += ns;
	timers_run(&fixture->timers);
}

/* What standard error has got since the last time. */
static void expect(struct fixture *fixture, const char *text)
{
	char got[1024];
	ssize_t n = read(fixture->ends[0], got, sizeof(got) - 1);

	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, text);
}

#define CLEAR  "\r\033[J"
#define BACK   "\r\033[A"
#define BAR_0  "[--------------------------------------------------]"
#define BAR_1  "[#-------------------------------------------------]"
#define BAR_15 "[#########################-------------------------]"

/* Two rows, in the place of those before, with the cursor where they begin. */
static void expect_rows(struct fixture *fixture, const char *first, const char *second)
{
	char text[1024];

	snprintf(text, sizeof(text), CLEAR "%s%s%s" BACK, first, fixture->line_end, second);
	expect(fixture, text);
}

static void calls(struct recorder *results, int n, int64_t takes_ns, enum grpc_status status)
{
	for (int i = 0; i < n; i++) {
		const struct recorder_call call = {
			.sent_ns = 10,
			.started_ns = 10,
			.intended_ns = 10,
			.ended_ns = 10 + takes_ns,
			.end = RECORDER_ANSWERED,
			.status = status,
		};

		recorder_due(results, 10, 1);
		recorder_started(results, 10, false);
		recorder_ended(results, &call);
	}
}

static void test_a_terminal_gets_two_rows_redrawn_each_second(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, true);
	pass(fixture, 900 * NS_PER_MS);
	expect(fixture, "");
	calls(&fixture->results, 250, 2 * NS_PER_MS, GRPC_OK);
	pass(fixture, 100 * NS_PER_MS);
	expect_rows(fixture, BAR_1 "  1s/30s",
		    "250/s  42 in flight  0 errors  p50 2.007ms  p99 2.007ms");
	/* Only what came after counts, failed or not. */
	calls(&fixture->results, 97, 250, GRPC_OK);
	calls(&fixture->results, 3, 200, GRPC_INTERNAL);
	fixture->look.in_flight = 0;
	pass(fixture, 14 * NS_PER_S);
	expect_rows(fixture, BAR_15 "  15s/30s",
		    "7.14/s  0 in flight  3 errors  p50 0.250us  p99 0.250us");
	progress_stop(&fixture->progress);
	expect(fixture, CLEAR);
	pass(fixture, 10 * NS_PER_S);
	expect(fixture, "");
}

static void test_nothing_is_said_of_a_second_without_answers(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, true);
	calls(&fixture->results, 5, 2 * NS_PER_MS, GRPC_UNAVAILABLE);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_1 "  1s/30s",
		    "5/s  42 in flight  5 errors  p50 2.007ms  p99 2.007ms");
	calls(&fixture->results, 2, 2 * NS_PER_MS, GRPC_UNAVAILABLE);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, "[###-----------------------------------------------]  2s/30s",
		    "2/s  42 in flight  7 errors (+2)  p50 2.007ms  p99 2.007ms");
	pass(fixture, NS_PER_S);
	expect_rows(fixture, "[#####---------------------------------------------]  3s/30s",
		    "0/s  42 in flight  7 errors");
	progress_stop(&fixture->progress);
	expect(fixture, CLEAR);
}

static void test_an_open_loop_tells_what_is_offered_deferred_and_late(void **state)
{
	struct fixture *fixture = *state;
	struct recorder_call late = { .intended_ns = 0,
				      .started_ns = 5 * NS_PER_MS,
				      .sent_ns = 5 * NS_PER_MS,
				      .ended_ns = 6 * NS_PER_MS };

	fixture->options.open_loop = true;
	start(fixture, true);
	recorder_due(&fixture->results, 0, 100);
	recorder_started(&fixture->results, 0, false);
	recorder_started(&fixture->results, 0, true);
	recorder_ended(&fixture->results, &late);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_1 "  1s/30s",
		    "1/s of 100/s  p50 6.029ms  p99 6.029ms  1 deferred  lag p99 5.013ms");
	recorder_due(&fixture->results, 0, 50);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, "[###-----------------------------------------------]  2s/30s",
		    "0/s of 50/s  42 in flight  0 errors");
}

static void test_phases_and_their_ends(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.warmup_ns = 2 * NS_PER_S;
	fixture->options.grace_ns = 5 * NS_PER_S;
	fixture->look.phase = PROGRESS_WARMING_UP;
	fixture->look.results = &fixture->warmup;
	start(fixture, true);
	calls(&fixture->warmup, 500, 200, GRPC_OK);
	pass(fixture, NS_PER_S);
	expect_rows(fixture,
		    "[#########################-------------------------]  warming up  1s/2s",
		    "500/s  42 in flight  0 errors  p50 0.200us  p99 0.200us");
	fixture->look.phase = PROGRESS_RUNNING;
	fixture->look.results = &fixture->results;
	fixture->phase_ns += 1500 * NS_PER_MS;
	calls(&fixture->results, 50, 100, GRPC_OK);
	pass(fixture, NS_PER_S);
	/* Half a second of it has passed. */
	expect_rows(fixture, BAR_0 "  1s/30s",
		    "100/s  42 in flight  0 errors  p50 0.100us  p99 0.100us");
	fixture->look.phase = PROGRESS_WAITING;
	fixture->phase_ns = now_ns;
	fixture->look.in_flight = 3;
	pass(fixture, NS_PER_S);
	expect_rows(
		fixture,
		"[########----------------------------------]  waiting for the last calls  1s/5s",
		"0/s  3 in flight  0 errors");
}

static void test_a_phase_that_has_just_begun_has_no_rate_yet(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.warmup_ns = NS_PER_S;
	fixture->look.phase = PROGRESS_WARMING_UP;
	fixture->look.results = &fixture->warmup;
	start(fixture, true);
	fixture->look.phase = PROGRESS_RUNNING;
	fixture->look.results = &fixture->results;
	fixture->phase_ns += 999 * NS_PER_MS;
	calls(&fixture->results, 1, 200, GRPC_OK);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_0 "  0s/30s", "42 in flight  0 errors");
	/* What came meanwhile is in the next one. */
	calls(&fixture->results, 1000, 200, GRPC_OK);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_1 "  1s/30s",
		    "1000/s  42 in flight  0 errors  p50 0.200us  p99 0.200us");
}

static void test_a_number_of_calls_is_a_length_too(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.duration_ns = 0;
	fixture->options.count = 1000;
	start(fixture, true);
	calls(&fixture->results, 250, 200, GRPC_OK);
	pass(fixture, NS_PER_S);
	expect_rows(
		fixture,
		"[############--------------------------------------]  25 % in 1s, about 3s left",
		"250/s  42 in flight  0 errors  p50 0.200us  p99 0.200us");
}

/* Standard error becomes a terminal of so many columns, whose other end is read by expect(). */
static int open_terminal(struct fixture *fixture, unsigned short columns)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), screen;
	struct winsize size = { .ws_row = 5, .ws_col = columns };

	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	assert_int_equal(ioctl(screen, TIOCSWINSZ, &size), 0);
	dup2(screen, STDERR_FILENO);
	dup2(terminal, fixture->ends[0]);
	close(screen);
	fixture->line_end = "\r\n";
	return terminal;
}

static void test_a_narrow_terminal_gets_what_matters_most(void **state)
{
	struct fixture *fixture = *state;
	int terminal = open_terminal(fixture, 32);
	struct winsize narrower = { .ws_row = 5, .ws_col = 8 };

	start(fixture, true);
	calls(&fixture->results, 5, 200, GRPC_UNAVAILABLE);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, "[---------------------]  1s/30s", "5/s  5 errors  p99 0.200us");
	assert_int_equal(ioctl(STDERR_FILENO, TIOCSWINSZ, &narrower), 0);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, "2s/30s", "0/s");
	close(terminal);
}

static void test_colours_take_no_columns(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.colour = true;
	start(fixture, true);
	calls(&fixture->results, 1, 200, GRPC_UNAVAILABLE);
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_1 "  1s/30s",
		    "1/s  42 in flight  \033[31m1 error\033[0m  p50 0.200us  p99 0.200us");
}

static void test_elsewhere_a_line_each_ten_seconds(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.colour = true; /* is for terminals */
	start(fixture, false);
	pass(fixture, 9 * NS_PER_S);
	expect(fixture, "");
	calls(&fixture->results, 25, 200, GRPC_UNAVAILABLE);
	pass(fixture, NS_PER_S);
	expect(fixture,
	       "echod client: 10s/30s  2.5/s  42 in flight  25 errors  p50 0.200us  p99 0.200us\n");
	fixture->look.phase = PROGRESS_WAITING;
	fixture->phase_ns = now_ns;
	pass(fixture, 10 * NS_PER_S);
	expect(fixture, "echod client: waiting for the last calls  10s  0/s  42 in flight  25 "
			"errors\n");
	progress_stop(&fixture->progress);
	expect(fixture, "");
}

static void test_a_blocked_standard_error_stops_nothing(void **state)
{
	struct fixture *fixture = *state;
	char junk[4096] = { 0 };

	while (write(STDERR_FILENO, junk, sizeof(junk)) > 0) {
	}
	/* As a terminal would be: a write to it blocks. */
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
	start(fixture, true);
	alarm(10);
	pass(fixture, NS_PER_S);
	pass(fixture, NS_PER_S);
	progress_stop(&fixture->progress);
	alarm(0);
	assert_false(timer_active(&fixture->progress.tick));
}

static void test_rows_make_way_for_a_line_of_anothers(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, true);
	progress_clear(&fixture->progress);
	expect(fixture, "");
	pass(fixture, NS_PER_S);
	expect_rows(fixture, BAR_1 "  1s/30s", "0/s  42 in flight  0 errors");
	progress_clear(&fixture->progress);
	expect(fixture, CLEAR);
	progress_clear(&fixture->progress);
	progress_stop(&fixture->progress);
	expect(fixture, "");
}

static void test_stopping_what_never_started(void **state)
{
	struct fixture *fixture = *state;

	progress_stop(&fixture->progress);
	expect(fixture, "");
}

static void test_without_memory_it_shows_less(void **state)
{
	struct fixture *fixture = *state;

	for (long n = 0; n < 8; n++) {
		calls(&fixture->results, 10, 200, GRPC_OK);
		failing_at = n;
		start(fixture, true);
		pass(fixture, NS_PER_S);
		pass(fixture, NS_PER_S);
		failing_at = -1;
		progress_stop(&fixture->progress);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_terminal_gets_two_rows_redrawn_each_second),
		TEST(nothing_is_said_of_a_second_without_answers),
		TEST(an_open_loop_tells_what_is_offered_deferred_and_late),
		TEST(phases_and_their_ends),
		TEST(a_phase_that_has_just_begun_has_no_rate_yet),
		TEST(a_number_of_calls_is_a_length_too),
		TEST(a_narrow_terminal_gets_what_matters_most),
		TEST(colours_take_no_columns),
		TEST(elsewhere_a_line_each_ten_seconds),
		TEST(a_blocked_standard_error_stops_nothing),
		TEST(rows_make_way_for_a_line_of_anothers),
		TEST(stopping_what_never_started),
		TEST(without_memory_it_shows_less),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}

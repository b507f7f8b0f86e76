#include "client/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int64_t now_ns;

static int64_t fake_clock(void *context)
{
	(void)context;
	return now_ns;
}

struct fixture {
	struct timers timers;
	struct old_recorder results;
	struct progress progress;
	uint64_t in_flight;
	int saved_stderr, ends[2];
};

static int set_up(void **state)
{
	static struct fixture fixture;

	now_ns = 100 * NS_PER_S;
	fixture = (struct fixture){ .in_flight = 50 };
	timers_init(&fixture.timers, fake_clock, NULL);
	assert_int_equal(old_recorder_init(&fixture.results), 0);
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
	old_recorder_deinit(&fixture->results);
	return 0;
}

static void start(struct fixture *fixture, bool terminal)
{
	progress_start(&fixture->progress, &fixture->timers, &fixture->results, &fixture->in_flight,
		       terminal);
}

static void pass(struct fixture *fixture, int64_t ns)
{
	now_ns += ns;
	timers_run(&fixture->timers);
}

/* What standard error has got since the last time. */
static void expect(struct fixture *fixture, const char *text)
{
	char got[512];
	ssize_t n = read(fixture->ends[0], got, sizeof(got) - 1);

	got[n > 0 ? n : 0] = '\0';
	assert_string_equal(got, text);
}

static void answer(struct fixture *fixture, int n)
{
	for (int i = 0; i < n; i++) {
		old_recorder_answered(&fixture->results, GRPC_OK, 2 * NS_PER_MS, STR(""));
	}
}

static void test_a_terminal_gets_one_line_redrawn_each_second(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, true);
	pass(fixture, 900 * NS_PER_MS);
	expect(fixture, "");
	answer(fixture, 250);
	pass(fixture, 100 * NS_PER_MS);
	expect(fixture, "\r\033[K  1s  250.0/s  250 ok  0 failed  0 no server  50 in flight"
			"  p50 2.000ms  p99 2.000ms");
	answer(fixture, 100);
	old_recorder_never_found(&fixture->results, STR(""));
	old_recorder_mismatched(&fixture->results, 1);
	pass(fixture, NS_PER_S);
	expect(fixture, "\r\033[K  2s  101.0/s  350 ok  1 failed  1 no server  50 in flight"
			"  p50 2.000ms  p99 2.000ms");
	progress_stop(&fixture->progress);
	expect(fixture, "\r\033[K");
	pass(fixture, 10 * NS_PER_S);
	expect(fixture, "");
}

static void test_a_narrow_terminal_gets_what_fits_in_a_row(void **state)
{
	struct fixture *fixture = *state;
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), screen;
	struct winsize size = { .ws_row = 5, .ws_col = 20 };

	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	assert_int_equal(ioctl(screen, TIOCSWINSZ, &size), 0);
	dup2(screen, STDERR_FILENO);
	dup2(terminal, fixture->ends[0]);
	close(screen);
	close(terminal);

	start(fixture, true);
	pass(fixture, NS_PER_S);
	expect(fixture, "\r\033[K  1s  0.0/s  0 ok  ");
	pass(fixture, NS_PER_S);
	expect(fixture, "\r\033[K  2s  0.0/s  0 ok  ");
}

static void test_elsewhere_a_line_each_ten_seconds(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, false);
	pass(fixture, 9 * NS_PER_S);
	expect(fixture, "");
	pass(fixture, NS_PER_S);
	expect(fixture, "echod client:  10s  0.0/s  0 ok  0 failed  0 no server  50 in flight\n");
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

static void test_stopping_what_never_started(void **state)
{
	struct fixture *fixture = *state;

	progress_stop(&fixture->progress);
	expect(fixture, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_terminal_gets_one_line_redrawn_each_second),
		TEST(a_narrow_terminal_gets_what_fits_in_a_row),
		TEST(elsewhere_a_line_each_ten_seconds),
		TEST(a_blocked_standard_error_stops_nothing),
		TEST(stopping_what_never_started),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}

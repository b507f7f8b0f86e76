#include <math.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

#include "harness.h"
#include "net/loop_p.h"

static int set_up(void **state)
{
	*state = loop_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free_loop(*state);
	return 0;
}

static int64_t now_ns(void)
{
	return timers_monotonic(NULL);
}

/* -- Timers -- */

struct alarm {
	struct timer timer;
	struct loop *loop;
	int64_t fired_ns;
	unsigned fired;
	struct timer *stops;
	struct loop_task *schedules;
	struct alarm **log; /* where the next one that fires writes itself down */
};

static void on_alarm(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);

	alarm->fired_ns = now_ns();
	alarm->fired++;
	if (alarm->log) {
		while (*alarm->log) {
			alarm->log++;
		}
		*alarm->log = alarm;
	}
	if (alarm->stops) {
		timer_stop(loop_timers(alarm->loop), alarm->stops);
	}
	if (alarm->schedules) {
		loop_schedule(alarm->loop, alarm->schedules);
	}
}

static void alarm_init(struct alarm *alarm, struct loop *loop)
{
	*alarm = (struct alarm){ .loop = loop };
	timer_init(&alarm->timer, on_alarm);
}

static void timers_fire_in_order_and_not_early(void **state)
{
	static const int64_t delays_ms[] = { 30, 10, 20, 0, 10 };
	static const size_t order[] = { 3, 1, 4, 2, 0 };
	struct loop *loop = *state;
	struct alarm alarms[ARRAY_SIZE(delays_ms)], *log[ARRAY_SIZE(delays_ms) + 1] = { 0 };
	int64_t began_ns = now_ns();

	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		alarm_init(&alarms[i], loop);
		alarms[i].log = log;
		timer_start_at(loop_timers(loop), &alarms[i].timer,
			       began_ns + delays_ms[i] * NS_PER_MS);
	}
	loop_run(loop);
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
		assert_ptr_equal(log[i], &alarms[order[i]]);
		assert_int_equal(alarms[i].fired, 1);
		assert_true(alarms[i].fired_ns >= began_ns + delays_ms[i] * NS_PER_MS);
		assert_true(alarms[i].fired_ns < began_ns + delays_ms[i] * NS_PER_MS + NS_PER_S);
	}
}

static void a_timer_before_the_one_armed_for_is_not_late(void **state)
{
	struct loop *loop = *state;
	struct alarm late, early;

	alarm_init(&late, loop);
	alarm_init(&early, loop);
	early.stops = &late.timer;
	timer_start(loop_timers(loop), &late.timer, 3600 * NS_PER_S);
	loop_turn(loop); /* armed for the hour */
	timer_start(loop_timers(loop), &early.timer, 5 * NS_PER_MS);
	loop_run(loop); /* and returns, though the timerfd waits for nothing any more */
	assert_int_equal(early.fired, 1);
	assert_int_equal(late.fired, 0);
}

/* The timerfd was armed for the first and woke the loop in vain; the second must not be lost. */
static void a_timer_behind_one_that_was_stopped_fires(void **state)
{
	struct loop *loop = *state;
	struct alarm gone, stays;

	alarm_init(&gone, loop);
	alarm_init(&stays, loop);
	timer_start(loop_timers(loop), &gone.timer, 2 * NS_PER_MS);
	timer_start(loop_timers(loop), &stays.timer, 20 * NS_PER_MS);
	loop_turn(loop);
	timer_stop(loop_timers(loop), &gone.timer);
	loop_run(loop);
	assert_int_equal(gone.fired, 0);
	assert_int_equal(stays.fired, 1);
}

/* -- Spinning -- */

static void fire(struct loop *loop, struct alarm *alarm, int64_t delay_ns)
{
	timer_start(loop_timers(loop), &alarm->timer, delay_ns);
	loop_run(loop);
	assert_int_equal(alarm->fired, 1);
	assert_true(alarm->fired_ns >= alarm->timer.due_ns);
}

static void the_window_before_a_timer_is_waited_for_without_sleeping(void **state)
{
	struct loop *loop = *state;
	struct alarm alarm;

	alarm_init(&alarm, loop);
	loop_set_spin(loop, NS_PER_S);
	timer_start(loop_timers(loop), &alarm.timer, NS_PER_S);
	loop_turn(loop);
	assert_int_equal(uv_backend_timeout(&loop->uv), 0);
	loop_set_spin(loop, 0);
	loop_turn(loop);
	assert_int_equal(uv_backend_timeout(&loop->uv), -1);
	loop_set_spin(loop, 20 * NS_PER_MS);
	fire(loop, &alarm, 10 * NS_PER_MS);
}

static void before_the_window_the_loop_sleeps(void **state)
{
	struct loop *loop = *state;
	struct alarm alarm;
	uint64_t idle_ns;

	alarm_init(&alarm, loop);
	loop_set_spin(loop, NS_PER_MS);
	idle_ns = loop_idle_ns(loop);
	fire(loop, &alarm, 200 * NS_PER_MS);
	assert_true(loop_idle_ns(loop) - idle_ns >= 150 * (uint64_t)NS_PER_MS);
}

/* The timerfd is armed for the window's beginning; where that has been, it is silent. */
static void the_timerfd_says_nothing_within_the_window(void **state)
{
	struct loop *loop = *state;
	struct alarm alarm;
	struct itimerspec left;

	alarm_init(&alarm, loop);
	loop_set_spin(loop, 500 * NS_PER_MS);
	timer_start(loop_timers(loop), &alarm.timer, 520 * NS_PER_MS);
	loop_turn(loop);
	assert_int_equal(loop->armed_ns, alarm.timer.due_ns - 500 * NS_PER_MS);
	while (timers_next_ns(loop_timers(loop)) > 400 * NS_PER_MS) {
		loop_turn(loop);
	}
	loop_turn(loop);
	loop_turn(loop);
	assert_int_equal(alarm.fired, 0);
	assert_int_equal(timerfd_gettime(loop->timer_fd, &left), 0);
	assert_int_equal(left.it_value.tv_sec, 0);
	assert_int_equal(left.it_value.tv_nsec, 0);
	assert_false(loop->timer_fired);
	timer_stop(loop_timers(loop), &alarm.timer);
	loop_run(loop); /* and the window of a timer that is gone keeps nothing alive */
}

static void a_window_that_is_set_late_holds_for_timers_that_are_armed(void **state)
{
	struct loop *loop = *state;
	struct alarm alarm;

	alarm_init(&alarm, loop);
	timer_start(loop_timers(loop), &alarm.timer, 3600 * NS_PER_S);
	loop_turn(loop);
	loop_set_spin(loop, NS_PER_MS);
	loop_turn(loop);
	assert_int_equal(loop->armed_ns, alarm.timer.due_ns - NS_PER_MS);
	loop_set_spin(loop, INT64_MAX); /* which means a second */
	loop_turn(loop);
	assert_int_equal(loop->armed_ns, alarm.timer.due_ns - NS_PER_S);
	loop_set_spin(loop, 0);
	loop_turn(loop);
	assert_int_equal(loop->armed_ns, alarm.timer.due_ns);
	timer_stop(loop_timers(loop), &alarm.timer);
}

static void timers_keep_their_order_while_the_loop_spins(void **state)
{
	struct loop *loop = *state;
	struct alarm first, last;

	alarm_init(&first, loop);
	alarm_init(&last, loop);
	loop_set_spin(loop, 50 * NS_PER_MS);
	timer_start(loop_timers(loop), &last.timer, 30 * NS_PER_MS);
	fire(loop, &first, 5 * NS_PER_MS);
	assert_int_equal(last.fired, 1);
	assert_true(first.fired_ns < last.fired_ns);
}

static void instants_that_have_passed_fire_at_once(void **state)
{
	static const int64_t instants[] = { 0, 1, -1, INT64_MIN };
	struct loop *loop = *state;

	for (size_t i = 0; i < ARRAY_SIZE(instants); i++) {
		struct alarm alarm;
		int64_t began_ns = now_ns();

		alarm_init(&alarm, loop);
		timer_start_at(loop_timers(loop), &alarm.timer, instants[i]);
		loop_run(loop);
		assert_int_equal(alarm.fired, 1);
		assert_true(now_ns() - began_ns < NS_PER_S);
	}
}

static void a_timer_at_the_end_of_time_waits(void **state)
{
	struct loop *loop = *state;
	struct alarm never, soon;

	alarm_init(&never, loop);
	alarm_init(&soon, loop);
	soon.stops = &never.timer;
	timer_start(loop_timers(loop), &never.timer, INT64_MAX);
	timer_start(loop_timers(loop), &soon.timer, 10 * NS_PER_MS);
	loop_run(loop);
	assert_int_equal(never.fired, 0);
	assert_int_equal(soon.fired, 1);
}

/* An idle loop that waits for a timer sleeps; it does not turn and turn. */
static void waiting_costs_no_turns(void **state)
{
	struct loop *loop = *state;
	struct counter iterations = { 0 };
	struct loop_meters meters = { .iterations = &iterations };
	struct alarm alarm, other;

	loop_set_meters(loop, &meters);
	alarm_init(&alarm, loop);
	alarm_init(&other, loop);
	timer_start(loop_timers(loop), &other.timer, 5 * NS_PER_MS);
	timer_start(loop_timers(loop), &alarm.timer, 50 * NS_PER_MS);
	loop_run(loop);
	assert_int_equal(alarm.fired, 1);
	assert_in_range(counter_read(&iterations), 1, 12);
}

/* -- Tasks -- */

struct chore {
	struct loop_task task;
	struct loop *loop;
	unsigned runs, again; /* runs itself that often more */
	struct loop_task *unschedules;
};

static void on_chore(struct loop_task *task)
{
	struct chore *chore = container_of(task, struct chore, task);

	chore->runs++;
	if (chore->again > 0) {
		chore->again--;
		loop_schedule(chore->loop, task);
	}
	if (chore->unschedules) {
		loop_unschedule(chore->unschedules);
	}
}

static void chore_init(struct chore *chore, struct loop *loop)
{
	*chore = (struct chore){ .loop = loop };
	loop_task_init(&chore->task, on_chore);
}

static void a_task_runs_once_however_often_it_is_scheduled(void **state)
{
	struct loop *loop = *state;
	struct chore chore, other;

	chore_init(&chore, loop);
	chore_init(&other, loop);
	loop_schedule(loop, &chore.task);
	loop_schedule(loop, &other.task);
	loop_schedule(loop, &chore.task);
	assert_int_equal(chore.runs, 0); /* not from within */
	loop_run(loop);
	assert_int_equal(chore.runs, 1);
	assert_int_equal(other.runs, 1);
	loop_unschedule(&chore.task); /* no effect */
	loop_schedule(loop, &chore.task);
	loop_unschedule(&chore.task);
	loop_unschedule(&chore.task);
	loop_run(loop);
	assert_int_equal(chore.runs, 1);
}

/* Also where both stand in the batch that is being walked. */
static void a_task_may_unschedule_its_neighbour(void **state)
{
	struct loop *loop = *state;
	struct chore first, second;

	chore_init(&first, loop);
	chore_init(&second, loop);
	first.unschedules = &second.task;
	loop_schedule(loop, &first.task);
	loop_schedule(loop, &second.task);
	loop_run(loop);
	assert_int_equal(first.runs, 1);
	assert_int_equal(second.runs, 0);
}

static void loop_run_returns_only_when_no_task_waits(void **state)
{
	struct loop *loop = *state;
	struct chore chore;

	chore_init(&chore, loop);
	chore.again = 1000; /* more than the rounds of one turn */
	loop_schedule(loop, &chore.task);
	loop_run(loop);
	assert_int_equal(chore.runs, 1001);
	assert_false(loop_turn(loop));
}

/* A timer's upcall wakes an engine: it produces in that turn, not when something else happens. */
static void a_task_scheduled_by_a_timer_runs_before_the_loop_sleeps(void **state)
{
	struct loop *loop = *state;
	struct chore chore;
	struct alarm alarm;

	chore_init(&chore, loop);
	alarm_init(&alarm, loop);
	alarm.schedules = &chore.task;
	timer_start(loop_timers(loop), &alarm.timer, 0);
	loop_turn(loop);
	assert_int_equal(alarm.fired, 1);
	assert_int_equal(chore.runs, 1);
}

struct reader {
	uv_poll_t poll;
	unsigned reads;
	struct chore *busy;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct reader *reader = poll->data;

	(void)status;
	(void)events;
	reader->reads++;
	reader->busy->again = 0;
	uv_close((uv_handle_t *)poll, NULL);
}

static void a_task_that_never_rests_does_not_starve_sockets_and_timers(void **state)
{
	struct loop *loop = *state;
	struct reader reader = { .reads = 0 };
	struct chore busy;
	struct alarm alarm;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	chore_init(&busy, loop);
	busy.again = UINT32_MAX;
	reader.busy = &busy;
	reader.poll.data = &reader;
	uv_poll_init(loop_uv(loop), &reader.poll, ends[0]);
	alarm_init(&alarm, loop);
	timer_start(loop_timers(loop), &alarm.timer, 5 * NS_PER_MS);
	loop_schedule(loop, &busy.task);
	TURN_UNTIL(loop, alarm.fired == 1);
	assert_true(busy.again > 0);
	uv_poll_start(&reader.poll, UV_READABLE, on_readable);
	assert_int_equal(write(ends[1], "x", 1), 1);
	loop_run(loop);
	assert_int_equal(reader.reads, 1);
	close(ends[0]);
	close(ends[1]);
}

/* -- Signals -- */

struct bell {
	struct loop_signal *signal;
	unsigned rang;
	int number;
};

static void on_signal(void *user, int number)
{
	struct bell *bell = user;

	bell->rang++;
	bell->number = number;
	loop_signal_free(bell->signal); /* legal from within */
	bell->signal = NULL;
}

static void a_signal_is_an_upcall_and_keeps_the_loop_alive_until_freed(void **state)
{
	struct loop *loop = *state;
	struct bell bell = { .rang = 0 };

	bell.signal = loop_signal_new(loop, SIGUSR1, on_signal, &bell);
	assert_non_null(bell.signal);
	assert_true(loop_turn(loop));
	raise(SIGUSR1);
	assert_int_equal(bell.rang, 0); /* not in the handler */
	loop_run(loop);
	assert_int_equal(bell.rang, 1);
	assert_int_equal(bell.number, SIGUSR1);
	loop_signal_free(NULL);
	/* What cannot be caught leaves nothing behind. */
	assert_null(loop_signal_new(loop, SIGKILL, on_signal, &bell));
	assert_null(loop_signal_new(loop, -1, on_signal, &bell));
}

static void ring(struct timer *timer)
{
	(void)timer;
	raise(SIGUSR1);
}

static void on_later(struct timer *timer)
{
	(void)timer;
}

static void a_signal_that_holds_no_loop_is_heard_while_something_else_does(void **state)
{
	struct loop *loop = *state;
	struct bell bell = { .rang = 0 };
	struct timer rings, later;

	bell.signal = loop_signal_new(loop, SIGUSR1, on_signal, &bell);
	assert_non_null(bell.signal);
	loop_signal_unhold(bell.signal);
	loop_signal_unhold(NULL);
	assert_false(loop_turn(loop));
	timer_init(&rings, ring);
	timer_init(&later, on_later);
	timer_start(loop_timers(loop), &rings, NS_PER_MS);
	timer_start(loop_timers(loop), &later, 50 * NS_PER_MS);
	loop_run(loop);
	assert_int_equal(bell.rang, 1);
	loop_signal_free(bell.signal); /* where it was not heard */
}

/* -- Ends -- */

static void an_empty_loop_returns_at_once(void **state)
{
	struct loop *loop = *state;
	int64_t began_ns = now_ns();

	loop_run(loop);
	assert_false(loop_turn(loop));
	loop_run(loop);
	assert_true(now_ns() - began_ns < NS_PER_S);
	loop_free(NULL);
}

static void loop_free_aborts_where_a_handle_is_left(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct loop *loop = loop_new();
		uv_timer_t left;

		signal(SIGABRT, SIG_DFL); /* cmocka's own handler would go on */
		uv_timer_init(loop_uv(loop), &left);
		loop_free(loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* -- Meters -- */

static void lag_is_measured_and_keeps_nothing_alive(void **state)
{
	struct loop *loop = *state;
	struct histogram lag;
	struct histogram_snapshot seen;
	struct loop_meters meters = { .lag = &lag };
	struct alarm alarm;

	histogram_init(&lag, &histogram_default_bounds);
	loop_set_meters(loop, &meters);
	loop_run(loop); /* nothing but the measuring: returns */
	alarm_init(&alarm, loop);
	timer_start(loop_timers(loop), &alarm.timer, 120 * NS_PER_MS);
	TURN_UNTIL(loop, alarm.fired);
	histogram_read(&lag, &seen);
	assert_int_equal(seen.cumulative[lag.bounds->n], 1);
	assert_true(seen.sum < 0.1); /* the lag, not the period */
	/*
	 * A loop that was held up for 300 ms lags by about 200; missed periods are not
	 * made up for.
	 */
	usleep(300 * 1000);
	alarm_init(&alarm, loop);
	timer_start(loop_timers(loop), &alarm.timer, 0);
	TURN_UNTIL(loop, alarm.fired);
	loop_turn(loop);
	histogram_read(&lag, &seen);
	assert_int_equal(seen.cumulative[lag.bounds->n], 2);
	assert_true(seen.sum > 0.15 && seen.sum < 2);
}

/* From the start of the program to that of the loop there may be much to do. */
static void what_came_before_the_loop_ran_is_not_its_lag(void **state)
{
	struct loop *loop = *state;
	struct histogram lag;
	struct histogram_snapshot seen;
	struct loop_meters meters = { .lag = &lag };
	struct alarm alarm;

	histogram_init(&lag, &histogram_default_bounds);
	loop_set_meters(loop, &meters);
	usleep(400 * 1000);
	alarm_init(&alarm, loop);
	timer_start(loop_timers(loop), &alarm.timer, 130 * NS_PER_MS);
	loop_run(loop);
	histogram_read(&lag, &seen);
	assert_int_equal(seen.cumulative[lag.bounds->n], 1);
	assert_true(seen.sum < 0.25); /* not the 300 ms */
}

static void burn(int64_t ns)
{
	struct timespec cpu;
	int64_t end_ns = 0;

	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
		if (end_ns == 0) {
			end_ns = cpu.tv_sec * NS_PER_S + cpu.tv_nsec + ns;
		}
	} while (cpu.tv_sec * NS_PER_S + cpu.tv_nsec < end_ns);
}

static void on_burn(struct timer *timer)
{
	(void)timer;
	burn(60 * NS_PER_MS);
}

static void idle_time_is_what_was_waited_not_what_was_worked(void **state)
{
	struct loop *loop = *state;
	struct alarm alarm;
	struct timer work;
	uint64_t waited;
	int64_t began_ns;

	alarm_init(&alarm, loop);
	timer_init(&work, on_burn);
	assert_int_equal(loop_idle_ns(loop), 0);
	timer_start(loop_timers(loop), &alarm.timer, 40 * NS_PER_MS);
	loop_run(loop);
	waited = loop_idle_ns(loop);
	assert_in_range(waited, 25 * NS_PER_MS, 40 * NS_PER_MS + NS_PER_S);
	usleep(20000); /* outside of the loop: nobody's */
	assert_int_equal(loop_idle_ns(loop), waited);
	timer_start(loop_timers(loop), &work, 0);
	began_ns = now_ns();
	loop_run(loop);
	/* At least the work is not idle, on however busy a machine. */
	assert_true(loop_idle_ns(loop) - waited <=
		    (uint64_t)(now_ns() - began_ns) - 50 * NS_PER_MS);
}

static void errors_have_texts(void **state)
{
	(void)state;
	assert_string_equal(net_strerror(-ECONNREFUSED), "connection refused");
	assert_string_equal(net_strerror(UV_EAI_NONAME), "unknown node or service");
	assert_true(strlen(net_strerror(0)) > 0);
	assert_true(strlen(net_strerror(12345)) > 0);
	assert_true(strlen(net_strerror(-99999)) > 0);
	assert_true(strlen(net_library_version()) >= 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_order_and_not_early),
		TEST(a_timer_before_the_one_armed_for_is_not_late),
		TEST(a_timer_behind_one_that_was_stopped_fires),
		TEST(instants_that_have_passed_fire_at_once),
		TEST(the_window_before_a_timer_is_waited_for_without_sleeping),
		TEST(before_the_window_the_loop_sleeps),
		TEST(the_timerfd_says_nothing_within_the_window),
		TEST(a_window_that_is_set_late_holds_for_timers_that_are_armed),
		TEST(timers_keep_their_order_while_the_loop_spins),
		TEST(a_timer_at_the_end_of_time_waits),
		TEST(waiting_costs_no_turns),
		TEST(a_task_runs_once_however_often_it_is_scheduled),
		TEST(a_task_may_unschedule_its_neighbour),
		TEST(loop_run_returns_only_when_no_task_waits),
		TEST(a_task_scheduled_by_a_timer_runs_before_the_loop_sleeps),
		TEST(a_task_that_never_rests_does_not_starve_sockets_and_timers),
		TEST(a_signal_is_an_upcall_and_keeps_the_loop_alive_until_freed),
		TEST(a_signal_that_holds_no_loop_is_heard_while_something_else_does),
		TEST(an_empty_loop_returns_at_once),
		TEST(loop_free_aborts_where_a_handle_is_left),
		TEST(lag_is_measured_and_keeps_nothing_alive),
		TEST(what_came_before_the_loop_ran_is_not_its_lag),
		TEST(idle_time_is_what_was_waited_not_what_was_worked),
		TEST(errors_have_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * One turn: libuv polls, its callbacks run, and before it sleeps again `prepare`
 * fires the timers that are due, walks the dirty list until it is empty, and
 * arms the timerfd for the earliest timer that is left.
 *
 * The timerfd is armed lazily: only when a timer is due before what it waits
 * for already. Deadlines that are started and stopped for each call so cost no
 * system call; at worst the loop wakes once for a timer that is gone.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/loop_p.h"

/* Rounds over timers and the dirty list before sockets get their turn again. */
#define MAX_ROUNDS 16

#define LAG_PERIOD_NS (100 * NS_PER_MS)

/* Timers that keep the loop alive: all but the one that measures it. */
static bool timers_wait(const struct loop *loop)
{
	const struct timer *root = loop->timers.root;

	return root && (root != &loop->lag || root->child);
}

static void arm(struct loop *loop)
{
	int64_t left = timers_next_ns(&loop->timers);
	int64_t due;
	struct itimerspec spec = { 0 };

	if (timers_wait(loop)) {
		uv_ref((uv_handle_t *)&loop->timer_poll);
	} else {
		uv_unref((uv_handle_t *)&loop->timer_poll);
	}
	if (left < 0) {
		return;
	}
	due = loop->timers.root->due_ns;
	if (due >= loop->armed_ns) {
		return;
	}
	loop->armed_ns = due;
	left = MAX(left, 1);
	spec.it_value.tv_sec = left / NS_PER_S;
	spec.it_value.tv_nsec = left % NS_PER_S;
	timerfd_settime(loop->timer_fd, 0, &spec, NULL);
}

static void on_timerfd(uv_poll_t *poll, int status, int events)
{
	struct loop *loop = poll->data;
	uint64_t times;

	(void)status;
	(void)events;
	if (read(loop->timer_fd, &times, sizeof(times)) < 0) {
		return; /* re-armed meanwhile */
	}
	loop->armed_ns = INT64_MAX;
	/* prepare runs what is due */
}

static void on_spin(uv_idle_t *idle)
{
	(void)idle; /* being active, it makes the poll return at once */
}

static void walk_dirty(struct loop *loop)
{
	struct list batch = LIST_INIT(batch), *node;

	list_splice(&batch, &loop->dirty);
	while ((node = list_pop(&batch))) {
		struct loop_task *task = container_of(node, struct loop_task, node);

		task->run(task);
	}
}

static void before_sleep(struct loop *loop)
{
	unsigned round = 0;
	bool more;

	do {
		timers_run(&loop->timers);
		walk_dirty(loop);
		more = !list_empty(&loop->dirty) || timers_next_ns(&loop->timers) == 0;
	} while (more && ++round < MAX_ROUNDS);
	if (more) {
		uv_idle_start(&loop->spin, on_spin);
	} else {
		uv_idle_stop(&loop->spin);
	}
	arm(loop);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;

	if (loop->meters.iterations) {
		counter_increment(loop->meters.iterations);
	}
	before_sleep(loop);
	loop->slept_at_ns = timers_now(&loop->timers);
}

static void on_check(uv_check_t *check)
{
	struct loop *loop = check->data;

	loop->idle_ns += (uint64_t)(timers_now(&loop->timers) - loop->slept_at_ns);
}

static void on_lag(struct timer *timer)
{
	struct loop *loop = container_of(timer, struct loop, lag);
	int64_t now = timers_now(&loop->timers);

	if (loop->meters.lag) {
		histogram_observe(loop->meters.lag,
				  (double)(now - timer->due_ns) / (double)NS_PER_S);
	}
	timer_start_at(&loop->timers, timer, now + LAG_PERIOD_NS);
}

static int start_handles(struct loop *loop)
{
	int rv;

	uv_prepare_init(&loop->uv, &loop->prepare);
	uv_check_init(&loop->uv, &loop->check);
	uv_idle_init(&loop->uv, &loop->spin);
	loop->prepare.data = loop->check.data = loop->timer_poll.data = loop;
	uv_prepare_start(&loop->prepare, on_prepare);
	uv_check_start(&loop->check, on_check);
	uv_unref((uv_handle_t *)&loop->prepare);
	uv_unref((uv_handle_t *)&loop->check);
	rv = uv_poll_init(&loop->uv, &loop->timer_poll, loop->timer_fd);
	if (rv == 0) {
		uv_poll_start(&loop->timer_poll, UV_READABLE, on_timerfd);
		uv_unref((uv_handle_t *)&loop->timer_poll);
	}
	return rv;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop) {
		return NULL;
	}
	list_init(&loop->dirty);
	timers_init(&loop->timers, timers_monotonic, NULL);
	timer_init(&loop->lag, on_lag);
	loop->armed_ns = INT64_MAX;
	loop->slept_at_ns = timers_now(&loop->timers);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0) {
		goto no_timer;
	}
	if (uv_loop_init(&loop->uv) < 0) {
		goto no_loop;
	}
	if (start_handles(loop) < 0) {
		goto no_handles;
	}
	return loop;

no_handles:
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->check, NULL);
	uv_close((uv_handle_t *)&loop->spin, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	uv_loop_close(&loop->uv);
no_loop:
	close(loop->timer_fd);
no_timer:
	free(loop);
	return NULL;
}

void loop_free(struct loop *loop)
{
	int rv;

	if (!loop) {
		return;
	}
	timer_stop(&loop->timers, &loop->lag);
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->check, NULL);
	uv_close((uv_handle_t *)&loop->spin, NULL);
	uv_close((uv_handle_t *)&loop->timer_poll, NULL);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	rv = uv_loop_close(&loop->uv);
	if (rv != 0) {
		/* in every build: a handle that is left is a leak of ours */
		abort();
	}
	close(loop->timer_fd);
	buffer_free(&loop->out);
	free(loop);
}

void loop_set_meters(struct loop *loop, const struct loop_meters *meters)
{
	loop->meters = *meters;
	if (meters->lag) {
		timer_start(&loop->timers, &loop->lag, LAG_PERIOD_NS);
	}
}

struct timers *loop_timers(struct loop *loop)
{
	return &loop->timers;
}

uint64_t loop_idle_ns(const struct loop *loop)
{
	return loop->idle_ns;
}

void loop_run(struct loop *loop)
{
	do {
		before_sleep(loop);
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	} while (timers_wait(loop) || !list_empty(&loop->dirty));
}

bool loop_turn(struct loop *loop)
{
	bool alive;

	before_sleep(loop);
	alive = uv_run(&loop->uv, UV_RUN_NOWAIT) != 0;
	return alive || timers_wait(loop) || !list_empty(&loop->dirty);
}

void loop_schedule(struct loop *loop, struct loop_task *task)
{
	if (list_empty(&task->node)) {
		list_append(&loop->dirty, &task->node);
	}
}

void loop_unschedule(struct loop_task *task)
{
	list_remove(&task->node);
}

struct loop_signal {
	uv_signal_t uv;
	void (*raised)(void *user, int number);
	void *user;
};

static void on_signal(uv_signal_t *uv, int number)
{
	struct loop_signal *signal = container_of(uv, struct loop_signal, uv);

	signal->raised(signal->user, number);
}

static void on_signal_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct loop_signal, uv));
}

struct loop_signal *loop_signal_new(struct loop *loop, int number,
				    void (*raised)(void *user, int number), void *user)
{
	struct loop_signal *signal = calloc(1, sizeof(*signal));

	if (!signal) {
		return NULL;
	}
	signal->raised = raised;
	signal->user = user;
	if (uv_signal_init(&loop->uv, &signal->uv) < 0) {
		free(signal);
		return NULL;
	}
	if (uv_signal_start(&signal->uv, on_signal, number) < 0) {
		loop_signal_free(signal);
		return NULL;
	}
	return signal;
}

void loop_signal_free(struct loop_signal *signal)
{
	if (signal) {
		uv_close((uv_handle_t *)&signal->uv, on_signal_closed);
	}
}

const char *net_strerror(int err)
{
	return uv_strerror(err);
}

const char *net_library_version(void)
{
	return uv_version_string();
}

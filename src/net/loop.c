/*
 * One turn: libuv polls, its callbacks run, and before it sleeps again `prepare`
 * fires the timers that are due, walks the dirty list until it is empty, and
 * arms the timerfd for the earliest timer that is left.
 *
 * The timerfd is armed lazily: only when a timer is due before what it waits
 * for already. Deadlines that are started and stopped for each call so cost no
 * system call; at worst the loop wakes once for a timer that is gone.
 *
 * With a window to spin in, the timerfd is armed for its beginning. From there on
 * the polls do not block, and the timerfd has nothing to say.
 *
 * What keeps the loop alive: libuv's own active handles, and a reference on the
 * timerfd's handle while a timer is armed, a task waits, or loop_hold() says so.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "net/loop_p.h"

/* Rounds over the dirty list before sockets get their turn again. */
#define MAX_ROUNDS 16

#define LAG_PERIOD_NS (100 * NS_PER_MS)

/* Something waits that libuv does not know of. The timer that measures lag keeps nothing alive. */
static bool work_waits(const struct loop *loop)
{
	return loop->holds > 0 || !list_empty(&loop->dirty) ||
	       timers_others(&loop->timers, &loop->lag);
}

static void update_reference(struct loop *loop)
{
	if (work_waits(loop)) {
		uv_ref((uv_handle_t *)&loop->timer_poll);
	} else {
		uv_unref((uv_handle_t *)&loop->timer_poll);
	}
}

void loop_hold(struct loop *loop)
{
	loop->holds++;
}

void loop_unhold(struct loop *loop)
{
	assert(loop->holds > 0);
	loop->holds--;
}

static void arm(struct loop *loop)
{
	const struct timer *first = timers_first(&loop->timers);
	int64_t due = INT64_MAX;
	struct itimerspec spec = { 0 };

	if (first && !loop->spinning) {
		due = first->due_ns > loop->spin_ns ? first->due_ns - loop->spin_ns : 1;
	}
	if (due >= loop->armed_ns && !loop->timer_fired) {
		return;
	}
	loop->armed_ns = due;
	loop->timer_fired = false;
	if (due != INT64_MAX) { /* else zero: disarmed, and no longer readable */
		spec.it_value.tv_sec = due / NS_PER_S;
		spec.it_value.tv_nsec = due % NS_PER_S;
	}
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void on_timerfd(uv_poll_t *poll, int status, int events)
{
	struct loop *loop = poll->data;

	(void)status;
	(void)events;
	loop->armed_ns = INT64_MAX;
	loop->timer_fired = true; /* prepare runs what is due, and sets it again */
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

/* The earliest timer is due within the window to spin in. */
static bool due_soon(const struct loop *loop)
{
	const struct timer *first = timers_first(&loop->timers);

	return first && first->due_ns <= timers_now(&loop->timers) + loop->spin_ns;
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;
	unsigned round = 0;

	loop->turn++;
	if (loop->meters.iterations) {
		counter_increment(loop->meters.iterations);
	}
	if (timers_first(&loop->timers)) {
		timers_run(&loop->timers);
	}
	while (!list_empty(&loop->dirty) && round++ < MAX_ROUNDS) {
		walk_dirty(loop);
	}
	loop->spinning = loop->spin_ns > 0 && due_soon(loop);
	if (list_empty(&loop->dirty) && !loop->spinning) {
		uv_idle_stop(&loop->spin);
	} else {
		uv_idle_start(&loop->spin, on_spin);
	}
	arm(loop);
	update_reference(loop);
}

static void on_lag(struct timer *timer)
{
	struct loop *loop = container_of(timer, struct loop, lag);
	int64_t now = timers_now(&loop->timers);

	histogram_observe(loop->meters.lag, (double)(now - timer->due_ns) / (double)NS_PER_S);
	timer_start_at(&loop->timers, timer, now + LAG_PERIOD_NS);
}

static int start_handles(struct loop *loop)
{
	int rv;

	uv_prepare_init(&loop->uv, &loop->prepare);
	uv_idle_init(&loop->uv, &loop->spin);
	loop->prepare.data = loop->timer_poll.data = loop;
	uv_prepare_start(&loop->prepare, on_prepare);
	uv_unref((uv_handle_t *)&loop->prepare);
	uv_unref((uv_handle_t *)&loop->spin); /* work_waits() says what keeps the loop alive */
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
	uv_close((uv_handle_t *)&loop->spin, NULL);
	uv_close((uv_handle_t *)&loop->timer_poll, NULL);
	for (int i = 0; i < MAX_ROUNDS && uv_run(&loop->uv, UV_RUN_NOWAIT) != 0; i++) {
		/* close callbacks, and what they close */
	}
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
	timer_stop(&loop->timers, &loop->lag);
	if (meters->lag) {
		timer_start(&loop->timers, &loop->lag, LAG_PERIOD_NS);
	}
}

void loop_set_spin(struct loop *loop, int64_t window_ns)
{
	loop->spin_ns = MIN(window_ns, NS_PER_S);
	loop->timer_fired = true; /* what it is armed for holds no more */
}

struct timers *loop_timers(struct loop *loop)
{
	return &loop->timers;
}

/* CPU time of the loop's thread. */
static int64_t cpu_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/*
 * Since the thread blocks nowhere else, what it did not spend on a processor it
 * spent waiting. That costs nothing until someone asks; libuv's own measure
 * (UV_METRICS_IDLE_TIME) adds an epoll_wait and two looks at the clock to each
 * turn that sleeps.
 */
uint64_t loop_idle_ns(const struct loop *loop)
{
	int64_t idle = 0;

	if (loop->ran_at_ns) {
		idle = timers_now(&loop->timers) - loop->ran_at_ns;
		idle -= cpu_now() - loop->ran_cpu_ns;
	}
	return loop->idle_ns + (uint64_t)MAX(idle, 0);
}

void loop_run(struct loop *loop)
{
	loop->ran_cpu_ns = cpu_now();
	loop->ran_at_ns = timers_now(&loop->timers);
	if (timer_active(&loop->lag)) { /* what came before was not the loop's doing */
		timer_start(&loop->timers, &loop->lag, LAG_PERIOD_NS);
	}
	do {
		update_reference(loop);
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	} while (work_waits(loop));
	loop->idle_ns = loop_idle_ns(loop);
	loop->ran_at_ns = 0;
}

bool loop_turn(struct loop *loop)
{
	bool alive;

	update_reference(loop);
	alive = uv_run(&loop->uv, UV_RUN_NOWAIT) != 0;
	return alive || work_waits(loop);
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

void loop_signal_unhold(struct loop_signal *signal)
{
	if (signal) {
		uv_unref((uv_handle_t *)&signal->uv);
	}
}

const char *net_strerror(int err)
{
	const char *text;

	/* Not uv_strerror(): it allocates, and forgets, the text of what it does not know. */
	switch (err) {
#define TEXT(name, text) \
	case UV_##name:  \
		return text;
		UV_ERRNO_MAP(TEXT)
#undef TEXT
	default:
		text = err < 0 ? strerrordesc_np(-err) : NULL;
		return text ? text : "unknown error";
	}
}

const char *net_library_version(void)
{
	return uv_version_string();
}

/*
 * The event loop: uv_loop_t, the timers that run on it, the list of things
 * that have something to produce, and signals. One thread. Only net/ sees
 * uv.h; the others see this.
 *
 * Before the loop sleeps (a uv_prepare_t) it walks the dirty list until that is
 * empty, in bounded rounds, then a zero time-out poll; then arms one timer for
 * the earliest of `timers`.
 *
 * A program with a loop ignores SIGPIPE: libuv writes to sockets whose peer may
 * be gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timers.h"
#include "metrics/counter.h"
#include "metrics/histogram.h"

struct loop;

/* Something that produces before the loop sleeps; embedded in its owner. */
struct loop_task {
	struct list node;
	void (*run)(struct loop_task *task);
};

struct loop_meters {
	struct counter *iterations; /* each may be NULL */
	struct histogram *lag;
};

struct loop *loop_new(void); /* NULL: no memory, or the kernel refused */
/* Asserts that no handle is left. */
void loop_free(struct loop *loop);
void loop_set_meters(struct loop *loop, const struct loop_meters *meters);

struct timers *loop_timers(struct loop *loop);
/*
 * Timers that are due within `window_ns` are waited for without sleeping, so that they
 * fire on time and not when the kernel gets round to it. Costs a processor. 0: never;
 * at most a second.
 */
void loop_set_spin(struct loop *loop, int64_t window_ns);
/*
 * Total ns within loop_run() that its thread was off the processor: waiting for
 * events, or for its turn on a busy machine.
 */
uint64_t loop_idle_ns(const struct loop *loop);

/* Runs until nothing is left that keeps it alive: listeners, transports, signals, armed timers. */
void loop_run(struct loop *loop);
/* One turn without blocking; false: nothing is left. For tests. */
bool loop_turn(struct loop *loop);

static inline void loop_task_init(struct loop_task *task, void (*run)(struct loop_task *))
{
	list_init(&task->node);
	task->run = run;
}
/*
 * Runs it once before the loop sleeps. Idempotent while it waits; legal anywhere
 * on the loop's thread.
 */
void loop_schedule(struct loop *loop, struct loop_task *task);
void loop_unschedule(struct loop_task *task);

struct loop_signal;
/*
 * Upcall on the loop, not in a handler. NULL: failed. Keeps the loop alive until
 * loop_signal_unhold() or loop_signal_free().
 */
struct loop_signal *loop_signal_new(struct loop *loop, int number,
				    void (*raised)(void *user, int number), void *user);
void loop_signal_free(struct loop_signal *signal);
/* It is heard as long as something else keeps the loop alive. */
void loop_signal_unhold(struct loop_signal *signal);

/* Text for a negative errno or UV code. */
const char *net_strerror(int err);

/* Of libuv, the one that runs: "1.44.2". */
const char *net_library_version(void);

/*
 * Intrusive timers on an injected monotonic clock: a pairing heap with a queue beside
 * it, so starting and stopping cannot fail and need no memory. The clock is given at creation;
 * nothing here sleeps: the host asks timers_next_ns() how long it may, and
 * calls timers_run() when it wakes.
 *
 * Timers that are due at the same instant fire in the order of their start.
 * `fire` may start and stop any timer, its own included, and free its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timer {
	int64_t due_ns;
	uint64_t sequence;
	/* In the heap: prev is the parent of a first child, else the left sibling. */
	struct timer *child, *next, *prev;
	void (*fire)(struct timer *timer);
	bool active;
	bool queued; /* in the queue, and not in the heap */
};

struct timers {
	struct timer *root;
	struct timer
		*started; /* a heap of their own for those started while timers_run() is at work */
	struct timer *queue_first, *queue_last;
	uint64_t sequence;
	uint64_t run; /* timers from this number on wait for the next timers_run() */
	bool running;
	int64_t (*clock)(void *context); /* monotonic ns */
	void *context;
};

/* CLOCK_MONOTONIC in ns; the clock of production. `context` is not used. */
int64_t timers_monotonic(void *context);

void timers_init(struct timers *timers, int64_t (*clock)(void *context), void *context);

static inline int64_t timers_now(const struct timers *timers)
{
	return timers->clock(timers->context);
}

static inline void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
	*timer = (struct timer){ .fire = fire };
}

static inline bool timer_active(const struct timer *timer)
{
	return timer->active;
}

/*
 * (Re)starts: due at `due_ns` on the clock. An instant that has passed fires at the
 * next timers_run().
 */
void timer_start_at(struct timers *timers, struct timer *timer, int64_t due_ns);
/* (Re)starts: due `delay_ns` from now (saturating; negative counts as 0). */
void timer_start(struct timers *timers, struct timer *timer, int64_t delay_ns);
/* The part of timer_stop() for a timer that is active. */
void timer_remove(struct timers *timers, struct timer *timer);

/* No effect on a timer that is not active. */
static inline void timer_stop(struct timers *timers, struct timer *timer)
{
	if (timer->active) {
		timer_remove(timers, timer);
	}
}

/* The earliest; NULL: none. Not while timers_run() is at work. */
const struct timer *timers_first(const struct timers *timers);
/* There is one beside this. Not while timers_run() is at work. */
bool timers_others(const struct timers *timers, const struct timer *timer);
/* ns until the earliest timer is due: 0 = due now, -1 = no timer. */
int64_t timers_next_ns(const struct timers *timers);

/*
 * Fires what is due at this moment, in order; a timer started meanwhile waits
 * for the next run. Returns how many fired. Not to be called by `fire`.
 */
unsigned timers_run(struct timers *timers);

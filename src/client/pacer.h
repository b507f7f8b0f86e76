/*
 * The open loop's clockwork: walks a schedule and starts each call at its instant,
 * whatever became of those before. First the warm-up, then what is measured: the
 * schedule from its beginning, each time.
 *
 * The happy path: the next intended start is the timer's -> events.start() -> the
 * one after it -> ... -> events.over().
 *
 * What can fail: no place is free (start() says so). Nothing is dropped and nothing is
 * queued: the walker stands still until pacer_go_on(), and goes on with the intended
 * starts that have passed meanwhile; those were deferred. Or the whole process is late:
 * then calls start late, with the same intended starts, and that is the generator's lag.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/timers.h"
#include "client/schedule.h"

/* One intended start. */
struct pacer_call {
	int64_t intended_ns; /* on the timers' clock */
	bool warmup;         /* not to be measured */
	bool deferred;       /* no place was free at that time */
	unsigned nth;        /* of those that start together, from 0 */
};

struct pacer_events {
	/* False: no place is free; the same call again after pacer_go_on(). */
	bool (*start)(void *user, const struct pacer_call *call);
	/*
	 * The last call has been started. The time in which calls are due ends, or ended, at
	 * `end_ns`, on the timers' clock.
	 */
	void (*over)(void *user, int64_t end_ns);
	/* By pacer_stop(): so many calls were due from then on, and were not started. */
	void (*missed)(void *user, bool warmup, int64_t intended_ns, uint64_t n);
};

struct pacer_options {
	struct timers *timers;
	const struct schedule_spec *spec; /* borrowed */
	struct random *random;            /* borrowed; for arrivals that are drawn */
	int64_t warmup_ns;                /* 0: none */
	int64_t duration_ns;              /* of what is measured; 0: no bound */
	uint64_t count;                   /* of measured calls; 0: no bound */
	/* Where calls are due more often than twice in it, its calls start together. 0: never */
	int64_t quantum_ns;
};

struct pacer {
	struct pacer_options options;
	const struct pacer_events *events;
	void *user;
	struct schedule schedule;
	struct timer next;
	int64_t zero_ns;        /* when the schedule began, on the timers' clock */
	int64_t freed_ns;       /* until then no place was free, or all were in time */
	struct pacer_call call; /* the next; intended_ns INT64_MAX: none is left */
	bool blocked;           /* no place is free */
	bool over;              /* none is left to start */
	int64_t end_ns;         /* once over */
};

void pacer_init(struct pacer *pacer, const struct pacer_options *options,
		const struct pacer_events *events, void *user);
/* The schedule begins at `zero_ns` on the timers' clock; starts come from the timers. */
void pacer_begin(struct pacer *pacer, int64_t zero_ns);
static inline bool pacer_waits(const struct pacer *pacer)
{
	return pacer->blocked;
}
/* A place became free at `now_ns`: starts what waits for one. */
void pacer_go_on(struct pacer *pacer, int64_t now_ns);
/* Calls that are due at `now_ns` and wait for a place; where arrivals are drawn, about. */
uint64_t pacer_backlog(const struct pacer *pacer, int64_t now_ns);
/*
 * Starts no more. Calls that were due before `now_ns` are told to events.missed(), those
 * after it never were due. Where arrivals are drawn, those beyond a million are as many as
 * there are on the average: so it does not take long, however many they are. Idempotent.
 */
void pacer_stop(struct pacer *pacer, int64_t now_ns);

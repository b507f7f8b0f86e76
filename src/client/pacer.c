#include "client/pacer.h"

#include <stddef.h>

#include "base/util.h"

/* Calls that are started before the loop may look at what came in meanwhile. */
#define BATCH 256
/* Drawn arrivals that are drawn though they start no call any more: 25 ms of work. */
#define DRAWN_MISSED 1000000

static void on_next(struct timer *timer);

/* In the schedule's own time. */
static int64_t bound(const struct pacer *pacer)
{
	int64_t ns = pacer->call.warmup ? pacer->options.warmup_ns : pacer->options.duration_ns;

	return ns > 0 ? ns : INT64_MAX;
}

/* None is left; the one after the last would have been at `at_ns`. */
static void end(struct pacer *pacer, int64_t at_ns)
{
	at_ns = MIN(at_ns, bound(pacer));
	if (at_ns == INT64_MAX) { /* the rate is 0 from the schedule's end on */
		at_ns = schedule_length_ns(pacer->options.spec);
	}
	pacer->over = true;
	pacer->call.intended_ns = INT64_MAX;
	pacer->end_ns = pacer->zero_ns + at_ns;
}

/* The next intended start. */
static void advance(struct pacer *pacer)
{
	int64_t at_ns = schedule_next(&pacer->schedule);

	if (pacer->call.warmup && at_ns >= pacer->options.warmup_ns) {
		pacer->call.warmup = false;
		pacer->zero_ns += pacer->options.warmup_ns;
		schedule_init(&pacer->schedule, pacer->options.spec, pacer->options.random);
		at_ns = schedule_next(&pacer->schedule);
	}
	if (!pacer->call.warmup &&
	    (at_ns >= bound(pacer) ||
	     (pacer->options.count > 0 && pacer->schedule.n > pacer->options.count))) {
		end(pacer, at_ns);
	} else {
		pacer->call.intended_ns = pacer->zero_ns + at_ns;
	}
}

/*
 * The next one at its instant; or, where one more as far behind it would be within the
 * quantum, at the end of that. What is late already waits for nothing.
 */
static void start_timer(struct pacer *pacer, int64_t now_ns, int64_t last_ns)
{
	int64_t at_ns = pacer->call.intended_ns, gap_ns = at_ns - last_ns;

	if (at_ns > now_ns && gap_ns <= pacer->options.quantum_ns / 2) {
		at_ns = last_ns + pacer->options.quantum_ns;
	}
	timer_start_at(pacer->options.timers, &pacer->next, at_ns);
}

static void walk(struct pacer *pacer, int64_t now_ns)
{
	int64_t last_ns = now_ns;

	for (unsigned n = 0; n < BATCH && pacer->call.intended_ns <= now_ns; n++) {
		pacer->call.nth = n;
		pacer->call.deferred = pacer->blocked || pacer->call.intended_ns < pacer->freed_ns;
		if (!pacer->events->start(pacer->user, &pacer->call)) {
			pacer->blocked = true;
			return;
		}
		pacer->blocked = false;
		last_ns = pacer->call.intended_ns;
		advance(pacer);
	}
	if (pacer->over) {
		pacer->events->over(pacer->user, pacer->end_ns);
	} else {
		start_timer(pacer, now_ns, last_ns);
	}
}

static void on_next(struct timer *timer)
{
	struct pacer *pacer = container_of(timer, struct pacer, next);

	walk(pacer, timers_now(pacer->options.timers));
}

void pacer_init(struct pacer *pacer, const struct pacer_options *options,
		const struct pacer_events *events, void *user)
{
	*pacer = (struct pacer){ .options = *options, .events = events, .user = user };
	timer_init(&pacer->next, on_next);
}

void pacer_begin(struct pacer *pacer, int64_t zero_ns)
{
	pacer->zero_ns = pacer->freed_ns = zero_ns;
	pacer->call.warmup = pacer->options.warmup_ns > 0;
	schedule_init(&pacer->schedule, pacer->options.spec, pacer->options.random);
	advance(pacer);
	/* where nothing was drawn at all, that is to be told, too */
	timer_start_at(pacer->options.timers, &pacer->next,
		       pacer->over ? pacer->end_ns : pacer->call.intended_ns);
}

void pacer_go_on(struct pacer *pacer, int64_t now_ns)
{
	if (pacer->blocked) {
		pacer->freed_ns = MAX(pacer->freed_ns, now_ns);
		walk(pacer, MAX(now_ns, pacer->call.intended_ns));
	}
}

/* Of those before `until_ns`, the schedule's and the plan's: how many there are in this part. */
static uint64_t due_until(const struct pacer *pacer, int64_t until_ns)
{
	int64_t at_ns = MIN(until_ns - pacer->zero_ns, bound(pacer));
	uint64_t due = (uint64_t)schedule_offered(pacer->options.spec, at_ns);

	if (!pacer->call.warmup && pacer->options.count > 0) {
		due = MIN(due, pacer->options.count);
	}
	return due;
}

uint64_t pacer_backlog(const struct pacer *pacer, int64_t now_ns)
{
	uint64_t given = pacer->schedule.n - 1, due;

	if (!pacer->blocked) {
		return 0;
	}
	due = due_until(pacer, now_ns);
	return due > given ? due - given : 0;
}

/*
 * How many are due from the next one until `until_ns`, or to the end of its second; the
 * schedule goes there. What is not drawn need not be walked: a rate of a million and a
 * stall of an hour make no long good-bye.
 */
static uint64_t skip(struct pacer *pacer, int64_t until_ns)
{
	struct schedule *schedule = &pacer->schedule;
	int64_t at_ns = pacer->call.intended_ns - pacer->zero_ns;
	uint64_t given = schedule->n - 1, due;

	if (schedule->random) {
		return 1;
	}
	due = due_until(pacer, MIN(until_ns, pacer->zero_ns + (at_ns / NS_PER_S + 1) * NS_PER_S));
	schedule->n = MAX(due, schedule->n);
	return schedule->n - given;
}

/*
 * Of arrivals that are drawn, from `at_ns` of the schedule on: as many as are due on the
 * average, second by second, and no more than `most`.
 */
static void miss_mean(struct pacer *pacer, int64_t at_ns, int64_t until_ns, uint64_t most)
{
	const struct schedule_spec *spec = pacer->options.spec;
	uint64_t before = (uint64_t)schedule_offered(spec, at_ns);

	until_ns = MIN(until_ns - pacer->zero_ns, bound(pacer));
	while (at_ns < until_ns && most > 0) {
		int64_t to_ns = MIN((at_ns / NS_PER_S + 1) * NS_PER_S, until_ns);
		uint64_t due = (uint64_t)schedule_offered(spec, to_ns);
		uint64_t n = MIN(due - before, most);

		if (n > 0) {
			pacer->events->missed(pacer->user, pacer->call.warmup,
					      pacer->zero_ns + at_ns, n);
		}
		most -= n;
		before = due;
		at_ns = to_ns;
	}
}

/* All that were due before `now_ns`, from the next one on, without drawing them. */
static void miss_undrawn(struct pacer *pacer, int64_t now_ns)
{
	int64_t at_ns = pacer->call.intended_ns - pacer->zero_ns;
	uint64_t most = UINT64_MAX;

	if (pacer->call.warmup) {
		miss_mean(pacer, at_ns, now_ns, most);
		pacer->call.warmup = false;
		pacer->zero_ns += pacer->options.warmup_ns;
		pacer->schedule.n = 1;
		at_ns = 0;
	}
	if (pacer->options.count > 0) {
		most = pacer->options.count - MIN(pacer->schedule.n - 1, pacer->options.count);
	}
	miss_mean(pacer, at_ns, now_ns, most);
}

void pacer_stop(struct pacer *pacer, int64_t now_ns)
{
	uint64_t drawn = 0;

	timer_stop(pacer->options.timers, &pacer->next);
	while (!pacer->over && pacer->call.intended_ns < now_ns) {
		struct pacer_call call = pacer->call;

		if (pacer->schedule.random && drawn++ == DRAWN_MISSED) {
			miss_undrawn(pacer, now_ns);
			break;
		}

		pacer->events->missed(pacer->user, call.warmup, call.intended_ns,
				      skip(pacer, now_ns));
		advance(pacer);
	}
	pacer->call.intended_ns = INT64_MAX;
	pacer->blocked = false;
	pacer->over = true;
}

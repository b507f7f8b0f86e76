/*
 * The live view: what a run is doing, on standard error, while it lasts. On a terminal
 * two rows, redrawn each second; elsewhere a plain line each ten seconds. Rates, p50 and
 * p99 are those since the line before: of the last second, or of the last ten.
 *
 * It looks at the run when a line is due and costs a call nothing: what happened since
 * the line before is the difference of two looks. It writes only what standard error
 * takes at once: a blocked one does not stop the run. Without memory it shows less.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/timers.h"
#include "client/recorder.h"

enum progress_phase {
	PROGRESS_WARMING_UP, /* the load, not measured yet */
	PROGRESS_RUNNING,
	PROGRESS_WAITING /* no call is started any more; the last ones run out */
};

/* What the run is asked for, a line at a time. */
struct progress_look {
	enum progress_phase phase;
	int64_t into_ns; /* since the phase began */
	uint64_t in_flight;
	/*
	 * Where calls are counted now, borrowed until the next look. What is measured begins
	 * at 0 with PROGRESS_RUNNING, be it in another recorder or in one that was emptied.
	 */
	const struct recorder *results;
};

struct progress_options {
	struct timers *timers;
	bool terminal, colour;
	bool open_loop;      /* the rate offered (`due`) and lag mean something */
	uint64_t count;      /* of calls; 0: no bound */
	int64_t duration_ns; /* of PROGRESS_RUNNING; 0: no bound */
	int64_t warmup_ns, grace_ns;
	void (*look)(void *user, struct progress_look *ret);
	void *user;
};

/* Of a recorder, at the line before; see progress.c. */
struct progress_before {
	uint64_t due, done, failed, deferred;
	struct latencies *ended, *lag; /* NULL: no memory */
};

struct progress {
	struct timer tick;
	struct progress_options options;
	int64_t interval_ns, last_ns;
	enum progress_phase last_phase;
	const struct recorder *last_results;
	struct progress_before before;
	struct latencies *since, *scratch; /* what came after it; NULL: no memory */
	bool standing; /* rows stand on the terminal, which the next ones replace */
	struct buffer line;
};

/* Starts ticking. What `options` points to is borrowed until progress_stop(). */
void progress_start(struct progress *progress, const struct progress_options *options);
/*
 * Takes the rows away from the terminal until the next ones are due: for a line of
 * another's.
 */
void progress_clear(struct progress *progress);
/*
 * Takes them away for good. Idempotent; no effect on one that was never
 * started but is zeroed.
 */
void progress_stop(struct progress *progress);

/* What a line says. */
struct progress_view {
	const struct progress_options *options;
	struct progress_look look;
	bool rates;               /* there was time for the next two */
	double achieved, offered; /* calls per second since the line before */
	uint64_t errors;          /* since the phase began: all that ended and is not OK */
	uint64_t injected;        /* of them, those that a server says it injected */
	uint64_t new_errors, new_deferred;
	bool latency; /* something was answered since the line before; the next two are known */
	int64_t p50_ns, p99_ns;
	int64_t lag_p99_ns; /* open loop; 0: none */
};
/*
 * Two rows for a terminal so wide, the second without a newline: what matters least is
 * left out where it does not fit. 0 or -ENOMEM.
 *
 *	[###############-----------------------]  12s/30s
 *	9991/s of 10000/s  42 in flight  0 errors  p50 1.234ms  p99 4.001ms
 */
int progress_rows(struct buffer *out, const struct progress_view *view, unsigned columns);
/* All of it, on one plain line without a newline. 0 or -ENOMEM. */
int progress_line(struct buffer *out, const struct progress_view *view);

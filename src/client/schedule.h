/*
 * When calls are meant to start: arrival processes. A specification is what the
 * command line says; a schedule walks it and gives intended starts, in whole ns
 * from one beginning, ascending, whatever the calls themselves do. No clock here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/random.h"

#define SCHEDULE_MAX_PIECES 64
/* Calls per second: 1 in 1,000,000 s to 10,000,000, which no machine of today offers. */
#define SCHEDULE_RATE_UNIT 1000000
#define SCHEDULE_MAX_RATE  (UINT64_C(10000000) * SCHEDULE_RATE_UNIT)

/* The rate goes in a straight line from one to the other; the last piece's end is held. */
struct schedule_piece {
	uint64_t from, to; /* calls per 1,000,000 s */
	int64_t length_ns;
};

struct schedule_spec {
	struct schedule_piece pieces[SCHEDULE_MAX_PIECES];
	size_t n; /* 0: no schedule, a closed loop */
	bool poisson;
};

/*
 * "5000", "0.5", "1000..20000/10s", "1000,2000,4000/30s" (each step so long). A ramp may
 * begin or end at 0 and a step may be 0: a pause. 0, or -1 with a reason. The shape of
 * option.parse; `poisson` is left as it was.
 */
int schedule_parse(const char *text, void *ret_spec, char *why, size_t size);
/* The same text back, in its simplest spelling. 0 or -ENOMEM. */
int schedule_format(const struct schedule_spec *spec, struct buffer *out);
/* How long its pieces last; 0: one constant rate, which has no end of its own. */
int64_t schedule_length_ns(const struct schedule_spec *spec);
/* Calls per second at an instant. */
double schedule_rate_at(const struct schedule_spec *spec, int64_t at_ns);
/*
 * Calls that are meant to have started in [0, at_ns): as many as schedule_next() gives
 * for constant arrivals, for others their mean.
 */
double schedule_offered(const struct schedule_spec *spec, int64_t at_ns);

/* 1/2,000,000,000,000,000 of a call: a rate of 1 unit makes 2 of them in each ns. */
__extension__ typedef unsigned __int128 schedule_calls;

struct schedule {
	const struct schedule_spec *spec; /* borrowed */
	struct random *random;            /* borrowed; poisson only, else NULL */
	uint64_t n;                       /* intended starts given so far */
	int64_t last_ns;                  /* the latest of them */
	schedule_calls position;          /* poisson: where in the unit-rate process */
	struct schedule_place {           /* the piece that it fell into; spec->n: after all */
		size_t piece;
		int64_t begin_ns;
		schedule_calls begin; /* calls due until then */
	} place;
};

void schedule_init(struct schedule *schedule, const struct schedule_spec *spec,
		   struct random *random);
/*
 * The next intended start. Constant arrivals: call i at the instant at which exactly i
 * calls were due (the first at 0), rounded to a whole ns: no error adds up. Poisson:
 * independent exponential gaps at the rate of the moment, the first one before the
 * first call. INT64_MAX: never.
 */
int64_t schedule_next(struct schedule *schedule);

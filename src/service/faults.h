/*
 * What Echo does to calls on purpose: a plan that says it, and the dice that carry it
 * out. The plan is plain data, checked when it is made and constant afterwards; at run
 * time one plan takes another's place whole.
 *
 * Two things happen to a call, independently: first it is delayed, then it may meet a
 * fault. Both are drawn when it arrives. Percentages of the faults share one die, so a
 * call meets at most one; what is left of 100 % is well.
 *
 * FAULTS_RANDOM throws the die. FAULTS_EVERY_NTH has an accumulator for each fault, in
 * the order of the plan: each arrival adds its share to each, and the first that has
 * reached 100 % is taken and pays 100 % back. So of N calls exactly floor(N * share)
 * meet a fault that is the only one. Of several some are ready at the same call; then
 * the first is met and the others wait, so of n faults together less than n are owed at
 * any time, and each is met floor(N * share) times less what is owed to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/random.h"
#include "grpc/status.h"
#include "metrics/counter.h"

struct build;

/* Shares are whole billionths: 2 % is 20,000,000, and 0.0000001 % is the least. */
#define FAULTS_WHOLE UINT32_C(1000000000)

/* --- delays -------------------------------------------------------------------- */

enum delay_kind {
	DELAY_NONE,
	DELAY_FIXED,
	DELAY_UNIFORM,     /* whole milliseconds in [low, high) */
	DELAY_NORMAL,      /* a draw below zero, or above the longest, is drawn again */
	DELAY_EXPONENTIAL, /* of that mean; a draw above the longest is drawn again */
	DELAY_WEIGHTED,    /* each with its share of the calls; the rest are not delayed */
	DELAY_PERCENTILES, /* linear between the points, from 0 at 0 %; constant above the last */
};

#define DELAY_MAX_POINTS 16
/* Longer than any test waits: a longer one is refused, and none is drawn. */
#define DELAY_LONGEST_NS (3600 * NS_PER_S)

struct delay_point {
	uint32_t share; /* of FAULTS_WHOLE: weighted, its own; percentiles, up to here */
	int64_t ns;
};

struct delay {
	enum delay_kind kind;
	int64_t low_ns, high_ns;       /* fixed: low; uniform */
	int64_t mean_ns, deviation_ns; /* normal, exponential */
	size_t n_points;
	struct delay_point points[DELAY_MAX_POINTS];
};

/*
 * "none", "50ms", "uniform:0s,5s", "normal:20ms,5ms", "exponential:10ms",
 * "150us:10,2ms:5,0.5s:1" (percentages), "p50=2ms,p90=10ms,p99=80ms". 0, or -1 with a
 * reason. The shape of option.parse.
 */
int delay_parse(const char *text, void *ret_delay, char *why, size_t size);
/* As it is parsed. 0 or -ENOMEM. */
int delay_print(const struct delay *delay, struct buffer *out);
int64_t delay_draw(const struct delay *delay, struct random *random);
/* Of the distribution that is drawn from, redrawing included: in seconds. q in [0, 1]. */
double delay_quantile(const struct delay *delay, double q);
double delay_mean(const struct delay *delay);

/* --- faults -------------------------------------------------------------------- */

/* What a call can meet beside a status; the texts are those of flags, trailers and labels. */
#define FAULT_ABORTS(X)   \
	X(RESET, "reset") \
	X(CLOSE, "close") \
	X(HANG, "hang")   \
	X(TRUNCATE, "truncate")

enum fault_kind {
	FAULT_NONE,
	FAULT_STATUS,
#define X(symbol, text) FAULT_##symbol,
	FAULT_ABORTS(X)
#undef X
		FAULT_KINDS
};

/* "UNAVAILABLE", "reset": the plan's own word. Static. */
const char *fault_name(enum fault_kind kind, enum grpc_status status);
/* What a call counts as that meets one of FAULT_ABORTS. */
enum grpc_status fault_counts_as(enum fault_kind kind);

struct fault {
	enum fault_kind kind;
	enum grpc_status status; /* FAULT_STATUS */
	uint32_t share;          /* of FAULTS_WHOLE */
};

#define FAULTS_MOST 20 /* each status but OK, and each abort, once */

struct fault_list {
	size_t n;
	struct fault faults[FAULTS_MOST];
};

enum faults_mode { FAULTS_RANDOM, FAULTS_EVERY_NTH };
extern const char *const faults_modes[]; /* "random", "every-nth", NULL */

#define FAULTS_LEAST_HANG_NS   NS_PER_MS
#define FAULTS_LONGEST_HANG_NS (3600 * NS_PER_S)

struct faults_plan {
	struct delay delay;
	struct fault_list statuses, aborts; /* drawn in this order */
	int mode;                           /* enum faults_mode */
	uint64_t seed;                      /* 0: drawn anew where the plan is put to use */
	int64_t hang_limit_ns;              /* a call that hangs ends by then; FAULTS_..._HANG_NS */
	bool unhealthy;                     /* health says NOT_SERVING, and calls are served */
};

/* "UNAVAILABLE:2,INTERNAL:0.5" and "reset:0.1,hang:1", in percent; or "none". As delay_parse(). */
int faults_status_parse(const char *text, void *ret_list, char *why, size_t size);
int faults_abort_parse(const char *text, void *ret_list, char *why, size_t size);
/* One by its name, without a share. False: there is none of that name. */
bool fault_parse(struct str name, struct fault *ret);
/* What one part cannot see: statuses and aborts "together come to ...". 0, or -1 with a reason. */
int faults_plan_check(const struct faults_plan *plan, char *why, size_t size);
/*
 * One part of it by the name that its flag has without "echo." ("delay", "status",
 * "abort", "fault-mode", "seed", "hang-limit", "health"). 0, or -1 with a reason, and
 * `plan` is as before. Check the whole at the end.
 */
int faults_plan_set(struct faults_plan *plan, const char *name, const char *value, char *why,
		    size_t size);
/*
 * Whether that part says what is drawn for a call: all but "hang-limit" and "health" do.
 * False also where there is no such part.
 */
bool faults_part_is_drawn(const char *name);
/* Every part, a line each: "delay=50ms\n"; what faults_plan_set() takes. 0 or -ENOMEM. */
int faults_plan_print(const struct faults_plan *plan, struct buffer *out);

/* --- the dice ------------------------------------------------------------------ */

struct faults_meters {
	struct counter *by_status[GRPC_STATUS_COUNT]; /* injected; [GRPC_OK] is NULL */
	struct counter *by_kind[FAULT_KINDS];         /* those that are no status */
	struct counter *delayed;                      /* calls that a delay was begun for */
	/*
	 * Calls that a fault of another one ended, with their connection: [true] had met one
	 * as well (those that hang, or whose end had not left), and are in the above too.
	 */
	struct counter *taken_along[2];
};

#define FAULTS_STATISTICS 4 /* mean, p50, p90, p99 */

/* Zeroed it does nothing to any call, and counts nothing. */
struct faults {
	struct faults_plan plan;
	struct random delay_dice;   /* seeded with the seed */
	struct random fault_dice;   /* ... with its complement: independent of the other */
	struct random asked_dice;   /* for delays that callers ask for */
	uint64_t owed[FAULTS_MOST]; /* the accumulators: of statuses, then of aborts */
	struct faults_meters meters;
	/* What the plan says, for those who scrape. */
	double ratio_by_status[GRPC_STATUS_COUNT], ratio_by_kind[FAULT_KINDS];
	double expected_delay[FAULTS_STATISTICS];
};

/* No call is delayed or meets a fault, so that none need be drawn for. */
static inline bool faults_idle(const struct faults *faults)
{
	return faults->plan.delay.kind == DELAY_NONE &&
	       faults->plan.statuses.n + faults->plan.aborts.n == 0;
}

/* What a call is to meet. */
struct faults_draw {
	int64_t delay_ns;
	enum fault_kind kind;
	enum grpc_status status;
};

/*
 * Registers the ledger: echod_faults_injected_total{kind,code}, the probability of each
 * and what is to be expected of delays as gauges, which read `faults` for as long as the
 * registry is walked.
 */
void faults_register(struct faults *faults, struct build *build);
/*
 * Puts a plan to use from the next arrival on; accumulators and dice begin anew.
 * `seed`: where the plan has none.
 */
void faults_use(struct faults *faults, const struct faults_plan *plan, uint64_t seed);
/* The same where no part that is drawn was set: dice and accumulators go on. */
void faults_adjust(struct faults *faults, const struct faults_plan *plan);
/* Of a call that arrives. */
void faults_draw(struct faults *faults, struct faults_draw *ret);
/* A call has met it: counts, if it is one. */
void faults_injected(const struct faults *faults, const struct faults_draw *draw);

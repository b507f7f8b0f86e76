/*
 * All that is known of a run once it has ended: what was asked for, what came of
 * it, what it cost. Reports are made of it, and of nothing else; JSON holds it,
 * and `echod report` reads it back, so that a report of a file is the report of
 * the run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "client/recorder.h"
#include "client/schedule.h"

#define RUN_MAX_TARGETS 64
#define RUN_ID_DIGITS   16

/* The rules of run_limit() and run_omission_matters(). */
#define RUN_ACHIEVED_ENOUGH     0.99            /* of the offered rate */
#define RUN_CPU_FULL            0.95            /* of a core */
#define RUN_LAG_P99_NS          (1 * NS_PER_MS) /* more, and the generator was late */
#define RUN_NEVER_SENT_MATTERS  0.01            /* of the calls that were due */
#define RUN_STREAM_WAITS_MATTER 0.01            /* of the calls */
#define RUN_OMISSION_FACTOR     2
#define RUN_OMISSION_NS         (1 * NS_PER_MS)

/* What kept the achieved rate below the offered one, by the rules of run_limit(). */
enum run_limit {
	RUN_LIMIT_NOTHING,
	RUN_LIMIT_CLIENT_CPU,
	RUN_LIMIT_MAX_IN_FLIGHT,
	RUN_LIMIT_CONNECTIONS,
	RUN_LIMIT_SERVER,
	RUN_LIMIT_UNKNOWN, /* no call was measured */
};

struct run_assertion {
	const char *text;     /* as given */
	const char *measured; /* "12.34ms", "0.2 %"; "-" where nothing was measured */
	bool held;
	bool too_many; /* it counts what there is too much of, however late calls were; not kept */
};

/* One --reconcile: the server's own count of what happened between two scrapes. */
struct run_reconciled {
	const char *url;
	const char *problem; /* why there is nothing to compare; NULL: there is */
	bool restarted;      /* the server's start time changed between the scrapes */
	uint64_t received;   /* calls that it counted as begun */
	uint64_t in_flight;  /* calls that it still ran when waiting for them was given up */
	uint64_t by_status[GRPC_STATUS_COUNT]; /* as it ended them */
	bool ledger;                           /* it counts what it injects: */
	uint64_t faults[INJECTED_WORDS];
};

/*
 * All servers together against the client. Differences are servers minus client; call by
 * call only where every server keeps the run (echod does).
 */
struct run_reconciliation {
	size_t n; /* 0: not asked for */
	struct run_reconciled *servers;
	bool complete; /* every server could be asked, none restarted, none had calls in flight */
	uint64_t sent, received, answered; /* client: sent; servers: received; client: answered */
	int64_t by_status[GRPC_STATUS_COUNT];
	/*
	 * Of what servers count more, as much as faults account for that end without a status
	 * of a server's: one that closes the connection, with the calls that it takes along, or
	 * a hang that the client's deadline ended.
	 */
	uint64_t explained[GRPC_STATUS_COUNT];
	bool ledger; /* servers count what they inject: it, and what of it was told to us */
	uint64_t faults[INJECTED_WORDS], told[INJECTED_WORDS];
	bool by_call; /* the next three are known */
	uint64_t never_arrived, arrived_twice, answer_lost;
	uint64_t untracked;   /* calls beyond what a server can tell apart */
	const char *examples; /* "17, 203-207, ..."; NULL: none */
};

struct run {
	struct arena arena; /* of all strings below that were not there before */

	/* Asked for. */
	const char *version; /* of the echod that made the run */
	const char *host;    /* where it ran */
	const char *name;    /* --name; NULL: none */
	const char *plan;    /* the line that was printed first */
	const char *targets[RUN_MAX_TARGETS];
	size_t n_targets;
	const char *method; /* "muzz.Service/Echo" */
	struct schedule_spec schedule;
	bool spin, gzip, verify;
	uint64_t concurrency;   /* closed loop; 0 in an open one */
	uint64_t max_in_flight; /* open loop */
	uint64_t connections;
	uint64_t count;
	int64_t duration_ns, warmup_ns, grace_ns, timeout_ns, connection_lifetime_ns;
	uint64_t request_bytes; /* of one message, framing included */
	uint64_t seed;
	char id[RUN_ID_DIGITS + 1];

	/* What came of it. */
	int64_t started_unix_ns;
	int64_t elapsed_ns; /* of what was measured: after the warm-up, to the last call's end */
	/*
	 * The time in which calls were due: up to the end of --duration, to the
	 * instant of the first call beyond --count, or to the moment of an early end.
	 */
	int64_t offered_ns;
	const char *ended_by; /* "SIGINT", or why the run was given up; NULL: as planned */
	struct recorder results;
	uint64_t warmup_calls;
	/* Of this process, in the time that was measured. */
	int64_t cpu_user_ns, cpu_system_ns;
	uint64_t bytes_in, bytes_out; /* on connections; below TCP's own framing */
	size_t n_assertions;
	struct run_assertion *assertions;
	struct run_reconciliation reconciliation;
	size_t merged; /* runs in here; 1 */
};

/* 0 or -ENOMEM; run_deinit() is due after either. */
int run_init(struct run *run);
void run_deinit(struct run *run);
/* A copy in the run's arena. NULL: no memory. */
const char *run_text(struct run *run, const char *text);
/*
 * Runs of one plan on several machines become one: histograms, counts and CPU time add
 * up, rates add up, the time is the longest. Schedules of one shape add up piece by
 * piece; of others becomes one of the constant rate that was offered. Assertions and
 * reconciliation are of one run: `into` has none any more. 0, or -ENOMEM: then `into` is
 * of no more use.
 */
int run_merge(struct run *into, const struct run *from);

/* Calls per second that were due, over the time in which calls were. 0: closed loop. */
double run_offered_rate(const struct run *run);
/*
 * Calls per second that ended with an answer, of a server's or of what stands for one:
 * over all the time, or, where that is more, by the end of the time in which calls were
 * due. So a single straggler does not make a run slow. In an open loop calls that the
 * server would have in hand at that end, were it as quick as in the first second, are
 * taken as answered by then if they were answered at all: a schedule that is kept is
 * achieved in full, however long a call takes, and one that piles up calls is not.
 */
double run_achieved_rate(const struct run *run);
/* Of one core, user and system: 1.0 is all of it. Merged runs: the mean of each. */
double run_cpu_share(const struct run *run);
/*
 * The rules, the first that holds:
 *	nothing        open loop, at least 99 % of the offered rate was achieved, and none
 *	               of the next three holds
 *	client CPU     above 95 % of a core (not of a generator that spins, which always
 *	               is), or (open loop) the lag's p99 above 1 ms, deferred calls having
 *	               none
 *	max in flight  a call was deferred, or more than 1 % of those due found no place until
 *	               the end (fewer may be just due when a run is interrupted)
 *	connections    1 % of the calls or more found the peer's limit of streams reached
 *	server         else; and before all others where no call found one
 *	unknown        no call was due in the time that is measured
 */
enum run_limit run_limit(const struct run *run);
const char *run_limit_name(enum run_limit limit);
/* What faults do not account for. */
int64_t run_unexplained(const struct run_reconciliation *of, int status);
/*
 * Faults of that word that servers counted and no trailers told of, or the other way about:
 * a difference. 0 for one of which trailers cannot tell, or not always.
 */
int64_t run_untold(const struct run_reconciliation *of, enum injected_word word);
/* Servers whose counts are known. */
size_t run_reconciled_servers(const struct run_reconciliation *of);
/*
 * .99 or .9, whichever quantile of the latency from the intended start is more than twice the
 * service time's, and by 1 ms more than the lag's, which is no server's doing: a stall was
 * hidden. 0: neither.
 */
double run_omission_quantile(const struct run *run);
bool run_omission_matters(const struct run *run);

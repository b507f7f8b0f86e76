/*
 * What became of the calls of a run, in memory that does not grow with it: every
 * call is in here, none is sampled. Recorders merge without loss.
 *
 *	due = started + never_sent
 *	started = done + unfinished
 *	done = sum of by_status + mismatched + never_found
 *
 * A call is due at its intended start: open loop, when the schedule says so, whether
 * it can start then or not; closed loop, when it is started. recorder_balanced() is
 * these three lines, and holds once a run has ended, however it ended.
 *
 * by_status[GRPC_OK] means that the reply was the request's echo, or that it was
 * not to be verified.
 *
 * Times are ns since the measuring began (after a warm-up): one zero for all.
 *
 * The order for each call: recorder_due(), recorder_started() or else
 * recorder_never_sent(), then recorder_ended() or else recorder_unfinished(). At the
 * end of all, recorder_finish().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "client/injected.h"
#include "client/series.h"
#include "grpc/call.h"
#include "grpc/status.h"
#include "http2/session.h"
#include "metrics/latencies.h"

#define RECORDER_EXAMPLE_BYTES 160
#define RECORDER_NEVER_FOUND   GRPC_STATUS_COUNT /* index in examples */
#define RECORDER_ORIGINS       3                 /* enum grpc_origin */
/* Server instances that are told apart; those beyond share the last place, "others". */
#define RECORDER_MAX_BACKENDS 128
/* Of a backend's connections; more are "at least so many". */
#define RECORDER_MAX_BACKEND_CONNECTIONS 64
#define RECORDER_INSTANCE_BYTES          64
#define RECORDER_KNOWN                   256

/* A call that has ended. */
struct recorder_call {
	int64_t intended_ns; /* open loop: by the schedule; closed: when it was started */
	int64_t started_ns;  /* when it was handed to a channel */
	int64_t sent_ns;     /* its last attempt's HEADERS were serialised; -1: never */
	int64_t ended_ns;
	bool deferred; /* no place was free at intended_ns: not the generator's lateness */
	enum recorder_end {
		RECORDER_ANSWERED,   /* `status` says how */
		RECORDER_MISMATCHED, /* OK, with another message than was sent */
		RECORDER_NO_SERVER   /* there was no server to connect to */
	} end;
	enum grpc_status status;
	enum grpc_origin origin;
	struct str message;       /* of the status; borrowed */
	struct str instance;      /* echod-instance of the answer; empty: none */
	struct str connection;    /* echod-connection, likewise */
	struct injected injected; /* by the trailers of the answer */
};

/* Who answered: one server instance, by the name that it gives itself. */
struct recorder_backend {
	char instance[RECORDER_INSTANCE_BYTES]; /* "": answers that name none */
	uint64_t ok, failed;
	int64_t first_ns, last_ns;                              /* its first and last answer */
	uint64_t connections[RECORDER_MAX_BACKEND_CONNECTIONS]; /* ids that it names */
	size_t n_connections;
	bool more_connections;
};

/*
 * What answers said that was done to their calls on purpose. They are counted elsewhere
 * as well, by how they ended.
 */
struct recorder_injected {
	uint64_t by_status[GRPC_STATUS_COUNT]; /* of the recorder's: those that name a fault */
	uint64_t by_word[INJECTED_WORDS];      /* by that name; INJECTED_NOTHING is 0 */
	/*
	 * The name is that of a status, and the answer has another: somebody between here
	 * and there changed it.
	 */
	uint64_t changed;
};

/* Counted by whoever owns the connections, not per call. */
struct recorder_connections {
	uint64_t open_at_start;        /* made in the warm-up, and not ended when it did */
	uint64_t opened, failed, lost; /* lost: ended without a goodbye of either side */
	uint64_t renewed;              /* ended here, by --connection-lifetime */
	uint64_t goaways[HTTP2_ERROR_COUNT + 1];
};

struct recorder {
	bool open_loop; /* set by its owner once: only then lag is recorded */
	uint64_t due, started, deferred;
	uint64_t never_sent; /* were due, and the run ended before they could start */
	uint64_t unfinished; /* ran when the grace was over, or at ^C */
	uint64_t by_status[GRPC_STATUS_COUNT];
	uint64_t by_origin[RECORDER_ORIGINS][GRPC_STATUS_COUNT]; /* the same calls, apart */
	uint64_t mismatched, never_found;
	struct recorder_injected injected;
	/* Of the answers, those by the start of the last call that was not deferred. */
	uint64_t answered_while_due;
	uint64_t attempts, retries; /* streams that calls were given; of them beyond the first */
	uint64_t stream_waits;      /* calls that found the peer's limit of streams reached */

	/* ok: by_status[GRPC_OK]; failed: all else that is done, never_found excepted. */
	struct latencies *latency_ok,
		*latency_failed; /* from the intended start: what a user feels */
	struct latencies *service_ok, *service_failed; /* from the send; of calls that were sent */
	struct latencies *lag;       /* from the intended start to the generator's hand-over; not of
				  deferred calls. Open loop only */
	struct latencies *delay;     /* that answers say was injected, of those that say so */
	struct latencies *undelayed; /* of them, those in service_ok: without that delay */

	/* Of the stream of results, by their ends; -1: none. */
	int64_t first_error_ns, last_error_ns, last_ok_ns;
	/*
	 * The longest time without an OK: from the beginning to the first, between two of
	 * them, and from the last to the end of the time in which calls were due (of
	 * recorder_finish()), so that an outage is seen wherever it lies. It begins at
	 * longest_gap_from_ns.
	 */
	int64_t longest_gap_ns, longest_gap_from_ns;

	struct recorder_backend *backends; /* in the order of their first answers */
	size_t n_backends;
	struct recorder_connections connections;
	struct series series;
	/* The first message seen with each status, cut to what fits; "" = none. */
	char examples[GRPC_STATUS_COUNT + 1][RECORDER_EXAMPLE_BYTES];

	uint64_t answers; /* recorder_answered(), as they come */
	/* What was found before, so that it need not be searched for: places are hashes. */
	uint8_t known_backends[RECORDER_KNOWN];     /* index in backends */
	uint64_t known_connections[RECORDER_KNOWN]; /* id + 1; 0: none */
};

/* 0 or -ENOMEM; recorder_deinit() is due after either. */
int recorder_init(struct recorder *recorder);
void recorder_deinit(struct recorder *recorder);

/* So many calls were meant to start at this instant. */
static inline void recorder_due(struct recorder *recorder, int64_t at_ns, uint64_t n)
{
	recorder->due += n;
	series_due(&recorder->series, at_ns, n);
}

/* A call was handed to a channel: recorder_ended() or recorder_unfinished() follows. */
static inline void recorder_started(struct recorder *recorder, int64_t at_ns, bool deferred)
{
	recorder->started++;
	if (deferred) {
		recorder->deferred++;
	} else {
		recorder->answered_while_due = recorder->answers;
	}
	series_started(&recorder->series, at_ns);
}

/* Calls that were due and will not be started any more. */
static inline void recorder_never_sent(struct recorder *recorder, uint64_t n)
{
	recorder->never_sent += n;
}

void recorder_ended(struct recorder *recorder, const struct recorder_call *call);

/* A call that was started is given up: the grace is over, or the run was interrupted. */
static inline void recorder_unfinished(struct recorder *recorder)
{
	recorder->unfinished++;
}

/* The run has ended; calls were due until `due_until_ns`. Once, after everything else. */
void recorder_finish(struct recorder *recorder, int64_t due_until_ns);

/*
 * Everything adds up. Times keep their zero, each its own run's: the first error is the
 * earlier one, the last the later, the longest gap the longer. 0, or -ENOMEM: then `into`
 * is of no more use.
 */
int recorder_merge(struct recorder *into, const struct recorder *from);

/* by_status and mismatched: calls that ended with an answer, or with what stands for one. */
uint64_t recorder_answered(const struct recorder *recorder);
/* These and never_found. */
uint64_t recorder_done(const struct recorder *recorder);
/* Of them, those that are not OK. */
uint64_t recorder_failed(const struct recorder *recorder);
/* Of the failed, those whose answers say that they were injected; and all others of them. */
uint64_t recorder_injected(const struct recorder *recorder);
uint64_t recorder_not_injected(const struct recorder *recorder);
/* Does every call have its one place, as it is said at the top? */
bool recorder_balanced(const struct recorder *recorder);

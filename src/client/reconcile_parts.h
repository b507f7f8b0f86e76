/*
 * What a server says of a run, read: its counts from /metrics, and the calls that it
 * tells apart from /-/runs/ID. Private to reconcile.c and its tests; no I/O here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "client/call_set.h"
#include "client/injected.h"
#include "grpc/status.h"

/* Of one method, as a server had counted at one instant. */
struct reconcile_counts {
	uint64_t started;
	uint64_t handled[GRPC_STATUS_COUNT]; /* a code that is none counts as UNKNOWN */
	bool found;                          /* there was any series of the method */
	bool ledger;                         /* it counts what it injects, whatever the method */
	uint64_t faults[INJECTED_WORDS];
	/*
	 * Of them, and of the calls that they took along, those that may end with no status
	 * of the server's, by the code that it counts them as.
	 */
	uint64_t silent[GRPC_STATUS_COUNT];
	bool has_start_time;
	double start_time; /* of the process */
};

/*
 * From a text exposition: grpc_server_started_total and grpc_server_handled_total, where
 * their grpc_service and grpc_method are those of `method` ("muzz.Service/Echo"),
 * echod_faults_injected_total, echod_fault_calls_taken_along_total, and
 * process_start_time_seconds. A method without a series has counted nothing. 0, or -1
 * with a reason.
 */
int reconcile_read_counts(struct str text, const char *method, struct reconcile_counts *ret,
			  char *why, size_t size);
/* Calls that have begun and not ended; 0 where more ended than began. */
uint64_t reconcile_in_flight(const struct reconcile_counts *counts);
/*
 * What was counted in between. True: `after` is of a process that began meanwhile (its
 * start time differs, or a count fell): what it counted is then all that there is.
 */
bool reconcile_difference(const struct reconcile_counts *before,
			  const struct reconcile_counts *after, struct reconcile_counts *ret);

/* The calls of a run, over all servers that were asked. */
struct reconcile_seen {
	struct call_set received, twice, answered;
	uint64_t untracked; /* calls that servers could not tell apart */
	uint64_t lost;      /* of them, those that they should have */
};

void reconcile_seen_deinit(struct reconcile_seen *seen);
/*
 * One part of a server's answer, asked for from call `from` on, is added. A call that
 * was received before, there or elsewhere, was received twice. `ret_next` is where the
 * next part begins, 0: this was the last. 0, or -1 with a reason.
 */
int reconcile_read_run(struct str text, const char *run_id, uint64_t from,
		       struct reconcile_seen *seen, uint64_t *ret_next, char *why, size_t size);

/*
 * --assert: a condition on a run's results, "p99<20ms", "error_rate<0.1%",
 * "code.UNAVAILABLE==0", "achieved_rate>=99%", checked when the run has ended.
 *
 *	METRIC OPERATOR VALUE, spaces allowed; < <= > >= == !=
 *	p50 p90 p99 p99.9 ... p100, min, mean, max      latency of OK calls; a duration
 *	service.p99 ..., lag.p99 ...                    the same of the service time, of the lag
 *	error_rate                                      failed of done; a percentage or a fraction
 *	achieved_rate                                   per second, or a percentage of the offered
 *	cpu_per_call                                    CPU time of each call done; a duration
 *	code.NAME                                       calls that ended with this status; a count
 *	injected, injected.NAME, not_injected           failures that a server says it made on
 *	                                                purpose, all others; delayed: calls likewise
 *	calls, ok, errors, mismatched, never_found, unfinished, never_sent, deferred, retries,
 *	connections.opened, connections.lost, goaways   counts, as in the report
 *	unreconciled                                    calls of which the servers say otherwise
 *
 * What was not measured (a quantile of no call at all) fails its assertion.
 */
#pragma once

#include <stddef.h>

#include "client/run.h"

#define ASSERTIONS_MAX 64

/* Is `text` an assertion? 0, or -1 with a reason. For the command line, before the run. */
int assertion_check(const char *text, char *why, size_t size);

/* Without which there is nothing to measure, or nothing that could be wrong. */
enum assertion_needs {
	ASSERTION_NEEDS_NOTHING,
	ASSERTION_NEEDS_RATE,      /* lag.*, achieved_rate in percent: an open loop's */
	ASSERTION_NEEDS_RECONCILE, /* unreconciled */
	ASSERTION_NEEDS_VERIFY,    /* mismatched */
};
/* Of a text that passed the check. */
enum assertion_needs assertion_needs(const char *text);
/*
 * Measures each of `texts` (which passed the check) and fills run->assertions.
 * 0 or -ENOMEM.
 */
int assertions_measure(struct run *run, const char *const *texts, size_t n);
/* Did every one of them hold? True where there are none. */
bool assertions_held(const struct run *run);
/*
 * Why they say nothing about a server, of an open loop: the rate was not offered. NULL: they
 * do, be the client late or not. That is where less than 99 % of the calls that were due
 * could be started, or where the client was short of CPU, or late, and achieved less than
 * 99 % of the rate. But what there is too much of already (errors, say, that are no
 * deadlines) there would be with all calls; and where this client was quick enough, no
 * assertion that fails would hold of more calls.
 */
const char *assertions_say_nothing(const struct run *run);

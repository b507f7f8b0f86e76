#include "client/assertions.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "client/text.h"

/* Longer numbers are none that anybody means. */
#define MAX_NUMBER 24

/* Name, and where it is found in a run. code.NAME is apart. */
#define COUNTS(X)                                                                    \
	X(CALLS, "calls", run->results.started)                                      \
	X(OK, "ok", run->results.by_status[GRPC_OK])                                 \
	X(ERRORS, "errors", recorder_failed(&run->results))                          \
	X(MISMATCHED, "mismatched", run->results.mismatched)                         \
	X(NEVER_FOUND, "never_found", run->results.never_found)                      \
	X(UNFINISHED, "unfinished", run->results.unfinished)                         \
	X(NEVER_SENT, "never_sent", run->results.never_sent)                         \
	X(DEFERRED, "deferred", run->results.deferred)                               \
	X(RETRIES, "retries", run->results.retries)                                  \
	X(CONNECTIONS_OPENED, "connections.opened", run->results.connections.opened) \
	X(CONNECTIONS_LOST, "connections.lost", run->results.connections.lost)       \
	X(GOAWAYS, "goaways", count_goaways(&run->results))                          \
	X(INJECTED, "injected", recorder_injected(&run->results))                    \
	X(NOT_INJECTED, "not_injected", recorder_not_injected(&run->results))        \
	X(DELAYED, "delayed", latencies_count(run->results.delay))                   \
	X(UNRECONCILED, "unreconciled", count_unreconciled(&run->reconciliation))

enum count {
#define X(symbol, name, value) COUNT_##symbol,
	COUNTS(X)
#undef X
		COUNT_COUNT
};

static const char *const count_names[] = {
#define X(symbol, name, value) name,
	COUNTS(X)
#undef X
};

enum comparison { LESS, AT_MOST, GREATER, AT_LEAST, EQUAL, UNEQUAL };

/* Longest first where one begins another. */
static const struct {
	const char *text;
	enum comparison comparison;
} comparisons[] = {
	{ "<=", AT_MOST }, { ">=", AT_LEAST }, { "==", EQUAL },
	{ "!=", UNEQUAL }, { "<", LESS },      { ">", GREATER },
};

struct assertion {
	enum metric {
		METRIC_QUANTILE,
		METRIC_MIN,
		METRIC_MEAN,
		METRIC_MAX,
		METRIC_CPU_PER_CALL, /* up to here durations */
		METRIC_ERROR_RATE,
		METRIC_ACHIEVED_RATE, /* the next are counts */
		METRIC_CODE,
		METRIC_INJECTED,
		METRIC_COUNT
	} metric;
	enum { LATENCY, SERVICE, LAG } of; /* quantiles, min, mean, max */
	double quantile;
	size_t index; /* of the status, or of the count */
	enum comparison comparison;
	double limit;  /* ns, a fraction, a rate, a count */
	bool relative; /* the limit of a rate was given in percent */
};

__attribute__((format(printf, 3, 4))) static int reject(char *why, size_t size, const char *format,
							...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -1;
}

/* --- text -> assertion ---------------------------------------------------------- */

/*
 * "12.5" as 12.5 * 10^exponent, rounded once: a percentage is the same number as its
 * fraction. False: digits and one point among them, it is not.
 */
static bool read_decimal(struct str text, int exponent, double *ret)
{
	char number[MAX_NUMBER + 8];
	size_t points = 0;

	for (size_t i = 0; i < text.len; i++) {
		bool inside = i > 0 && i + 1 < text.len;

		if (text.data[i] == '.' && inside) {
			points++;
		} else if (text.data[i] < '0' || text.data[i] > '9') {
			return false;
		}
	}
	if (text.len == 0 || text.len > MAX_NUMBER || points > 1) {
		return false;
	}
	snprintf(number, sizeof(number), "%" STR_FMT "e%d", STR_ARG(text), exponent);
	*ret = strtod(number, NULL);
	return true;
}

/* "p99.9", "min", "mean", "max". */
static bool read_summary(struct str name, struct assertion *assertion)
{
	double quantile;

	if (str_equal(name, STR("min"))) {
		assertion->metric = METRIC_MIN;
	} else if (str_equal(name, STR("mean"))) {
		assertion->metric = METRIC_MEAN;
	} else if (str_equal(name, STR("max"))) {
		assertion->metric = METRIC_MAX;
	} else if (str_has_prefix(name, STR("p")) &&
		   read_decimal((struct str){ name.data + 1, name.len - 1 }, -2, &quantile) &&
		   quantile > 0 && quantile <= 1) {
		assertion->metric = METRIC_QUANTILE;
		assertion->quantile = quantile;
	} else {
		return false;
	}
	return true;
}

static bool read_count(struct str name, struct assertion *assertion)
{
	for (size_t i = 0; i < COUNT_COUNT; i++) {
		if (str_equal(name, str_from(count_names[i]))) {
			assertion->metric = METRIC_COUNT;
			assertion->index = i;
			return true;
		}
	}
	return false;
}

/* code.NAME, or injected.NAME. */
static bool read_code(struct str name, enum metric metric, struct assertion *assertion)
{
	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		if (str_equal(name, str_from(grpc_status_name((int)i)))) {
			assertion->metric = metric;
			assertion->index = i;
			return true;
		}
	}
	return false;
}

static struct str without(struct str name, struct str prefix)
{
	return (struct str){ name.data + prefix.len, name.len - prefix.len };
}

static int read_metric(struct str name, struct assertion *assertion, char *why, size_t size)
{
	struct str summary = name;

	if (str_has_prefix(name, STR("code."))) {
		return read_code(without(name, STR("code.")), METRIC_CODE, assertion)
			       ? 0
			       : reject(why, size,
					"names no status of gRPC (as in code.UNAVAILABLE)");
	}
	if (str_has_prefix(name, STR("injected."))) {
		return read_code(without(name, STR("injected.")), METRIC_INJECTED, assertion)
			       ? 0
			       : reject(why, size,
					"names no status of gRPC (as in injected.UNAVAILABLE)");
	}
	if (str_has_prefix(name, STR("service."))) {
		assertion->of = SERVICE;
		summary = without(name, STR("service."));
	} else if (str_has_prefix(name, STR("lag."))) {
		assertion->of = LAG;
		summary = without(name, STR("lag."));
	}
	if (read_summary(summary, assertion) || read_count(name, assertion)) {
		return 0;
	}
	if (str_equal(name, STR("error_rate"))) {
		assertion->metric = METRIC_ERROR_RATE;
	} else if (str_equal(name, STR("achieved_rate"))) {
		assertion->metric = METRIC_ACHIEVED_RATE;
	} else if (str_equal(name, STR("cpu_per_call"))) {
		assertion->metric = METRIC_CPU_PER_CALL;
	} else {
		return reject(why, size,
			      "asserts something of \"%" STR_FMT "\", which is none of "
			      "[service.|lag.]pN (0 < N <= 100), min, mean, max; error_rate, "
			      "achieved_rate, cpu_per_call; code.NAME, injected.NAME, "
			      "calls, ok, errors, injected, not_injected, delayed, "
			      "mismatched, never_found, unfinished, never_sent, deferred, "
			      "retries, connections.opened, connections.lost, goaways, "
			      "unreconciled",
			      STR_ARG(name));
	}
	return 0;
}

static int read_limit_duration(struct str text, struct assertion *assertion, char *why, size_t size)
{
	char copy[64], reason[160];
	int64_t ns;

	if (text.len >= sizeof(copy)) {
		return reject(why, size, "compares with what is not a duration");
	}
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (parse_duration(copy, &ns, reason, sizeof(reason)) < 0) {
		return reject(why, size, "compares with \"%s\", which %s", copy, reason);
	}
	assertion->limit = (double)ns;
	return 0;
}

static int read_limit(struct str text, struct assertion *assertion, char *why, size_t size)
{
	bool percent = text.len > 0 && text.data[text.len - 1] == '%';
	struct str number = text;

	if (assertion->metric <= METRIC_CPU_PER_CALL) {
		return read_limit_duration(text, assertion, why, size);
	}
	if (percent) {
		number.len--;
		number = str_trim(number);
	}
	if (assertion->metric >= METRIC_CODE) {
		if (!memchr(text.data, '.', text.len) && read_decimal(text, 0, &assertion->limit)) {
			return 0;
		}
		return reject(why, size,
			      "compares with \"%" STR_FMT "\", which is not a whole number",
			      STR_ARG(text));
	}
	if (!read_decimal(number, percent ? -2 : 0, &assertion->limit)) {
		return reject(why, size, "compares with \"%" STR_FMT "\", which is %s",
			      STR_ARG(text),
			      assertion->metric == METRIC_ERROR_RATE
				      ? "no percentage or fraction (as in 0.1%, 0.001)"
				      : "no percentage or rate (as in 99%, 5000)");
	}
	if (assertion->metric == METRIC_ERROR_RATE && assertion->limit > 1) {
		return reject(why, size, "compares with \"%" STR_FMT "\", which is more than all",
			      STR_ARG(text));
	}
	assertion->relative = percent;
	return 0;
}

static int read_assertion(const char *text, struct assertion *ret, char *why, size_t size)
{
	struct assertion assertion = { 0 };
	size_t at = strcspn(text, "<>=!"), i = 0;
	struct str name = str_trim((struct str){ text, at });

	while (i < ARRAY_SIZE(comparisons) &&
	       strncmp(text + at, comparisons[i].text, strlen(comparisons[i].text)) != 0) {
		i++;
	}
	if (i == ARRAY_SIZE(comparisons)) {
		return reject(why, size,
			      "compares nothing: < <= > >= == or != is missing (as in p99<20ms)");
	}
	assertion.comparison = comparisons[i].comparison;
	if (read_metric(name, &assertion, why, size) < 0 ||
	    read_limit(str_trim(str_from(text + at + strlen(comparisons[i].text))), &assertion, why,
		       size) < 0) {
		return -1;
	}
	*ret = assertion;
	return 0;
}

int assertion_check(const char *text, char *why, size_t size)
{
	struct assertion assertion;

	return read_assertion(text, &assertion, why, size);
}

enum assertion_needs assertion_needs(const char *text)
{
	struct assertion assertion;
	char why[256];

	if (read_assertion(text, &assertion, why, sizeof(why)) < 0) {
		return ASSERTION_NEEDS_NOTHING;
	}
	if (assertion.of == LAG ||
	    (assertion.metric == METRIC_ACHIEVED_RATE && assertion.relative)) {
		return ASSERTION_NEEDS_RATE;
	}
	if (assertion.metric != METRIC_COUNT) {
		return ASSERTION_NEEDS_NOTHING;
	}
	return assertion.index == COUNT_UNRECONCILED ? ASSERTION_NEEDS_RECONCILE
	       : assertion.index == COUNT_MISMATCHED ? ASSERTION_NEEDS_VERIFY
						     : ASSERTION_NEEDS_NOTHING;
}

/* --- the run -> a measured value ---------------------------------------------------- */

static uint64_t count_goaways(const struct recorder *results)
{
	uint64_t n = 0;

	for (size_t i = 0; i <= HTTP2_ERROR_COUNT; i++) {
		n += results->connections.goaways[i];
	}
	return n;
}

/*
 * Calls of which the two ends tell otherwise, each once: one that was lost has another
 * status here, or none there; so what lacks and what is too much are the same calls. One
 * that hung on purpose until its deadline was answered there and given up here.
 */
static uint64_t count_unreconciled(const struct run_reconciliation *both)
{
	uint64_t hung = MIN(both->answer_lost, both->explained[GRPC_DEADLINE_EXCEEDED]);
	uint64_t lacking = 0, surplus = 0, calls;

	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		int64_t more = run_unexplained(both, (int)i);

		if (more < 0) {
			lacking += (uint64_t)-more;
		} else {
			surplus += (uint64_t)more;
		}
	}
	calls = MAX(both->sent, both->received) - MIN(both->sent, both->received);
	if (both->by_call) {
		calls = both->never_arrived + both->arrived_twice + both->answer_lost - hung;
	}
	return MAX(calls, MAX(lacking, surplus));
}

static uint64_t count_of(const struct run *run, size_t index)
{
	switch ((enum count)index) {
#define X(symbol, name, value) \
	case COUNT_##symbol:   \
		return value;
		COUNTS(X)
#undef X
	case COUNT_COUNT:
		break;
	}
	return 0;
}

/* One of the run's three histograms; false: it has nothing. */
static bool measure_latency(const struct run *run, const struct assertion *assertion, double *ret)
{
	const struct latencies *const all[] = {
		[LATENCY] = run->results.latency_ok,
		[SERVICE] = run->results.service_ok,
		[LAG] = run->results.lag,
	};
	const struct latencies *latencies = all[assertion->of];

	switch (assertion->metric) {
	case METRIC_MIN:
		*ret = (double)latencies_min(latencies);
		break;
	case METRIC_MEAN:
		*ret = latencies_mean(latencies);
		break;
	case METRIC_MAX:
		*ret = (double)latencies_max(latencies);
		break;
	default:
		*ret = (double)latencies_quantile(latencies, assertion->quantile);
	}
	return latencies_count(latencies) > 0;
}

/* False: there is nothing to measure. */
static bool measure(const struct run *run, const struct assertion *assertion, double *ret)
{
	const struct recorder *results = &run->results;
	double done = (double)recorder_done(results);

	switch (assertion->metric) {
	case METRIC_CPU_PER_CALL:
		*ret = ((double)run->cpu_user_ns + (double)run->cpu_system_ns) / done;
		return done > 0;
	case METRIC_ERROR_RATE:
		*ret = (double)recorder_failed(results) / done;
		return done > 0;
	case METRIC_ACHIEVED_RATE:
		*ret = run_achieved_rate(run);
		if (assertion->relative) {
			*ret /= run_offered_rate(run);
			return run_offered_rate(run) > 0;
		}
		return run->elapsed_ns > 0;
	case METRIC_CODE:
		*ret = (double)results->by_status[assertion->index] +
		       (assertion->index == GRPC_UNAVAILABLE ? (double)results->never_found : 0);
		return true;
	case METRIC_INJECTED:
		*ret = (double)results->injected.by_status[assertion->index];
		return true;
	case METRIC_COUNT:
		*ret = (double)count_of(run, assertion->index);
		return assertion->index != COUNT_UNRECONCILED || run->reconciliation.complete;
	default:
		return measure_latency(run, assertion, ret);
	}
}

static bool compare(double value, enum comparison comparison, double limit)
{
	switch (comparison) {
	case LESS:
		return value < limit;
	case AT_MOST:
		return value <= limit;
	case GREATER:
		return value > limit;
	case AT_LEAST:
		return value >= limit;
	case EQUAL:
		return value == limit;
	case UNEQUAL:
		break;
	}
	return value != limit;
}

/* Near its limit a value is shown to the last digit: what it is rounded to may not be so. */
static void format_measured(const struct assertion *assertion, double value, char *text,
			    size_t size)
{
	bool near = fabs(value - assertion->limit) <= assertion->limit / 500;
	int digits = near ? 9 : 4;

	if (assertion->metric <= METRIC_CPU_PER_CALL) {
		int64_t ns = (int64_t)(value + .5);

		if (near) {
			format_duration(ns, text, size);
		} else {
			text_duration(ns, text, size);
		}
	} else if (assertion->metric >= METRIC_CODE) {
		snprintf(text, size, "%" PRIu64, (uint64_t)value);
	} else if (assertion->metric == METRIC_ERROR_RATE || assertion->relative) {
		snprintf(text, size, "%.*g %%", digits, value * 100);
	} else if (near) {
		snprintf(text, size, "%.*g", digits, value);
	} else {
		text_number(value, text, size);
	}
}

/* Not where it is a matter of time how many there are. */
static bool counts_failures(const struct run *run, const struct assertion *assertion)
{
	bool late = run->results.by_status[GRPC_DEADLINE_EXCEEDED] > 0;

	switch (assertion->metric) {
	case METRIC_ERROR_RATE:
		return !late;
	case METRIC_CODE:
	case METRIC_INJECTED:
		return assertion->index != GRPC_OK && assertion->index != GRPC_DEADLINE_EXCEEDED;
	case METRIC_COUNT:
		break;
	default:
		return false;
	}
	switch ((enum count)assertion->index) {
	case COUNT_ERRORS:
	case COUNT_NOT_INJECTED:
		return !late;
	case COUNT_MISMATCHED:
	case COUNT_NEVER_FOUND:
	case COUNT_RETRIES:
	case COUNT_CONNECTIONS_LOST:
	case COUNT_GOAWAYS:
	case COUNT_INJECTED:
		return true;
	default:
		return false;
	}
}

int assertions_measure(struct run *run, const char *const *texts, size_t n)
{
	struct run_assertion *results = arena_alloc(&run->arena, n * sizeof(*results));

	if (!results) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		char measured[TEXT_NUMBER_MAX] = "-", why[8];
		struct assertion assertion;
		double value = 0;

		results[i] = (struct run_assertion){ .held = false };
		if (read_assertion(texts[i], &assertion, why, sizeof(why)) == 0 &&
		    measure(run, &assertion, &value)) {
			results[i].held = compare(value, assertion.comparison, assertion.limit);
			results[i].too_many = !results[i].held && value > assertion.limit &&
					      counts_failures(run, &assertion);
			format_measured(&assertion, value, measured, sizeof(measured));
		}
		results[i].text = run_text(run, texts[i]);
		results[i].measured = run_text(run, measured);
		if (!results[i].text || !results[i].measured) {
			return -ENOMEM;
		}
	}
	run->assertions = results;
	run->n_assertions = n;
	return 0;
}

bool assertions_held(const struct run *run)
{
	for (size_t i = 0; i < run->n_assertions; i++) {
		if (!run->assertions[i].held) {
			return false;
		}
	}
	return true;
}

const char *assertions_say_nothing(const struct run *run)
{
	const struct recorder *results = &run->results;
	bool busy = run_limit(run) == RUN_LIMIT_CLIENT_CPU;
	bool all = (double)results->started >= RUN_ACHIEVED_ENOUGH * (double)results->due;
	bool achieved = run_achieved_rate(run) >= RUN_ACHIEVED_ENOUGH * run_offered_rate(run);

	if (run->schedule.n == 0 || run->n_assertions == 0 || (all && (achieved || !busy))) {
		return NULL;
	}
	for (size_t i = 0; i < run->n_assertions; i++) {
		if (run->assertions[i].too_many || (!busy && !run->assertions[i].held)) {
			return NULL;
		}
	}
	return busy ? "this client was too busy or too late to offer the rate: the assertions say "
		      "nothing"
		    : "the rate was not offered: that the assertions hold says nothing";
}

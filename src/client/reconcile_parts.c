#include "client/reconcile_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "metrics/parse.h"

#define STARTED    STR("grpc_server_started_total")
#define HANDLED    STR("grpc_server_handled_total")
#define INJECTED   STR("echod_faults_injected_total")
#define TAKEN      STR("echod_fault_calls_taken_along_total")
#define START_TIME STR("process_start_time_seconds")
/* Counts up to here are whole numbers in a double. */
#define MAX_COUNT 0x1p53
/*
 * A part of a server's answer ends early only because it is full; then it spans at least
 * so many calls. A server that says otherwise would keep us asking.
 */
#define LEAST_PART 1024

/* -- /metrics -- */

struct reading {
	struct str service, method;
	struct reconcile_counts counts;
};

static enum grpc_status status_of(struct str code)
{
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (str_equal(code, str_from(grpc_status_camel_name(status)))) {
			return (enum grpc_status)status;
		}
	}
	return GRPC_UNKNOWN;
}

/* Adds a count; 1: it is none. */
static int add(uint64_t *sum, double value)
{
	if (!(value >= 0 && value <= MAX_COUNT) || value != (double)(uint64_t)value ||
	    (double)*sum > MAX_COUNT) {
		return 1;
	}
	*sum += (uint64_t)value;
	return 0;
}

/* 1: it is no count. */
static int add_fault(struct reconcile_counts *counts, const struct exposition_sample *sample)
{
	struct str kind = exposition_label(sample, STR("kind"));
	enum grpc_status code = status_of(exposition_label(sample, STR("code")));
	enum injected_word word =
		str_equal(kind, STR("status")) ? (enum injected_word)code : injected_word(kind);
	uint64_t n = 0;

	counts->ledger = true;
	if (add(&n, sample->value) != 0 || add(&counts->faults[word], sample->value) != 0) {
		return 1;
	}
	/* A reset ends a call at both ends with the same status; what is torn says so itself. */
	if (word == INJECTED_CLOSE || word == INJECTED_HANG || word == INJECTED_OTHER) {
		counts->silent[code] += n;
	}
	return 0;
}

static int on_sample(void *user, const struct exposition_sample *sample)
{
	struct reading *reading = user;
	struct reconcile_counts *counts = &reading->counts;
	bool started = str_equal(sample->name, STARTED);

	if (str_equal(sample->name, START_TIME)) {
		counts->has_start_time = true;
		counts->start_time = sample->value;
		return 0;
	}
	if (str_equal(sample->name, INJECTED)) {
		return add_fault(counts, sample);
	}
	if (str_equal(sample->name, TAKEN)) {
		return add(&counts->silent[GRPC_UNAVAILABLE], sample->value);
	}
	if (!started && !str_equal(sample->name, HANDLED)) {
		return 0;
	}
	if (!str_equal(exposition_label(sample, STR("grpc_service")), reading->service) ||
	    !str_equal(exposition_label(sample, STR("grpc_method")), reading->method)) {
		return 0;
	}
	counts->found = true;
	return add(
		started ? &counts->started
			: &counts->handled[status_of(exposition_label(sample, STR("grpc_code")))],
		sample->value);
}

int reconcile_read_counts(struct str text, const char *method, struct reconcile_counts *ret,
			  char *why, size_t size)
{
	const char *slash = strchr(method, '/');
	struct reading reading = { 0 };
	char reason[128];
	int err;

	if (!slash) {
		snprintf(why, size, "%s is no method", method);
		return -1;
	}
	reading.service = (struct str){ method, (size_t)(slash - method) };
	reading.method = str_from(slash + 1);
	err = exposition_parse(text, on_sample, &reading, reason, sizeof(reason));
	if (err != 0) {
		snprintf(why, size, "its metrics cannot be read: %s",
			 err < 0 ? reason : "a count that is no whole number");
		return -1;
	}
	*ret = reading.counts;
	return 0;
}

static uint64_t handled(const struct reconcile_counts *counts)
{
	uint64_t n = 0;

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		n += counts->handled[status];
	}
	return n;
}

uint64_t reconcile_in_flight(const struct reconcile_counts *counts)
{
	uint64_t ended = handled(counts);

	return counts->started > ended ? counts->started - ended : 0;
}

static bool is_another(const struct reconcile_counts *before, const struct reconcile_counts *after)
{
	bool fell = after->started < before->started;

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		fell |= after->handled[status] < before->handled[status] ||
			after->silent[status] < before->silent[status];
	}
	for (int word = 0; word < INJECTED_WORDS; word++) {
		fell |= after->faults[word] < before->faults[word];
	}
	return fell || (before->has_start_time && after->has_start_time &&
			before->start_time != after->start_time);
}

bool reconcile_difference(const struct reconcile_counts *before,
			  const struct reconcile_counts *after, struct reconcile_counts *ret)
{
	struct reconcile_counts difference = *after;

	if (is_another(before, after)) {
		*ret = difference;
		return true;
	}
	difference.started -= before->started;
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		difference.handled[status] -= before->handled[status];
		difference.silent[status] -= before->silent[status];
	}
	for (int word = 0; word < INJECTED_WORDS; word++) {
		difference.faults[word] -= before->faults[word];
	}
	*ret = difference;
	return false;
}

/* -- /-/runs/ID -- */

void reconcile_seen_deinit(struct reconcile_seen *seen)
{
	call_set_deinit(&seen->received);
	call_set_deinit(&seen->twice);
	call_set_deinit(&seen->answered);
}

/* A part of a server's answer, before anything of it is believed. */
struct part {
	uint64_t from, end;
	uint64_t untracked, lost;
	const char *received, *duplicated, *answered;
};

/* A whole number >= 0. False: there is none of that name. */
static bool get_count(const json_t *in, const char *name, uint64_t *ret)
{
	const json_t *value = json_object_get(in, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		return false;
	}
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static bool get_text(const json_t *in, const char *name, const char **ret)
{
	*ret = json_string_value(json_object_get(in, name));
	return *ret;
}

static bool get_part(const json_t *root, const char *run_id, uint64_t from, struct part *ret)
{
	const json_t *sets = json_object_get(root, "sets"), *next = json_object_get(root, "next");
	const char *run;
	uint64_t said_from;

	*ret = (struct part){ .from = from, .end = CALL_SET_MAX };
	if (!get_text(root, "run", &run) || strcmp(run, run_id) != 0 ||
	    !get_count(root, "from", &said_from) || said_from != from ||
	    !get_count(root, "untracked", &ret->untracked) ||
	    !get_count(root, "lost", &ret->lost) || !get_text(sets, "received", &ret->received) ||
	    !get_text(sets, "duplicated", &ret->duplicated) ||
	    !get_text(sets, "answered", &ret->answered)) {
		return false;
	}
	if (json_is_null(next)) {
		return true;
	}
	return get_count(root, "next", &ret->end) && ret->end < CALL_SET_MAX &&
	       ret->end >= from + LEAST_PART;
}

/* Digits at *at, which moves behind them. */
static bool take_number(const char **at, uint64_t *ret)
{
	uint64_t number = 0;
	const char *p = *at;

	for (; *p >= '0' && *p <= '9' && p - *at < 10; p++) {
		number = number * 10 + (uint64_t)(*p - '0');
	}
	if (p == *at) {
		return false;
	}
	*at = p;
	*ret = number;
	return true;
}

/* "0-4,7": ascending, apart, and within the part. With no set to add to it is only checked. */
static bool take_ranges(const char *text, const struct part *part, struct call_set *set,
			struct call_set *again)
{
	uint64_t least = part->from;

	while (*text) {
		uint64_t first, last;

		if (!take_number(&text, &first)) {
			return false;
		}
		last = first;
		if (*text == '-' && (text++, !take_number(&text, &last))) {
			return false;
		}
		if (first < least || last < first || last >= part->end) {
			return false;
		}
		if (*text == ',' ? !*++text : *text) {
			return false;
		}
		if (set) {
			call_set_add_range(set, again, first, last);
		}
		least = last + 1;
	}
	return true;
}

int reconcile_read_run(struct str text, const char *run_id, uint64_t from,
		       struct reconcile_seen *seen, uint64_t *ret_next, char *why, size_t size)
{
	json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	struct part part;
	bool good = get_part(root, run_id, from, &part) &&
		    take_ranges(part.received, &part, NULL, NULL) &&
		    take_ranges(part.duplicated, &part, NULL, NULL) &&
		    take_ranges(part.answered, &part, NULL, NULL);

	if (good) {
		take_ranges(part.received, &part, &seen->received, &seen->twice);
		take_ranges(part.duplicated, &part, &seen->twice, NULL);
		take_ranges(part.answered, &part, &seen->answered, NULL);
		*ret_next = part.end < CALL_SET_MAX ? part.end : 0;
		if (from == 0) {
			seen->untracked += part.untracked;
			seen->lost += part.lost;
		}
	} else {
		snprintf(why, size, "what it says of the run cannot be read");
	}
	json_decref(root);
	return good ? 0 : -1;
}

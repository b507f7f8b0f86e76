/*
 * What the command line means. Its values are checked one by one as they are read
 * (plan_flags.c); this checks what they mean together, and fills in what was left open.
 */
#include "client/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "client/assertions.h"
#include "client/input.h"
#include "client/plan_flags.h"
#include "client/reconcile.h"
#include "service/echo.h"

/* A header block of 16 KiB is what servers commonly take; this only keeps a mistake small. */
#define METADATA_CAP (64 * KIB)

void plan_help(FILE *out)
{
	options_help(&plan_options, out);
}

void plan_deinit(struct plan *plan)
{
	buffer_free(&plan->message);
	arena_reset(&plan->metadata_arena);
	free(plan->assertions.items);
	free(plan->reconcile.items);
}

/* -- Flags that go together, and those that do not -- */

/* A flag that has no sense without, or beside, another; and what to do instead. */
struct rule {
	size_t flag, other; /* offsets in struct plan_given */
	bool needs;         /* false: excludes */
	const char *flag_name, *other_name, *hint;
};

#define RULE(flag, flag_name, needs, other, other_name, hint)                                 \
	{                                                                                     \
		offsetof(struct plan_given, flag), offsetof(struct plan_given, other), needs, \
			flag_name, other_name, hint                                           \
	}
#define NEEDS(flag, flag_name, other, other_name, hint) \
	RULE(flag, flag_name, true, other, other_name, hint)
#define EXCLUDES(flag, flag_name, other, other_name, hint) \
	RULE(flag, flag_name, false, other, other_name, hint)

static const struct rule rules[] = {
	EXCLUDES(message, "message", message_size, "message-size", "give one"),
	EXCLUDES(message, "message", message_file, "message-file", "give one"),
	EXCLUDES(message_size, "message-size", message_file, "message-file", "give one"),
	EXCLUDES(message, "message", method, "method", "its request comes by --request-file"),
	EXCLUDES(message_size, "message-size", method, "method",
		 "its request comes by --request-file"),
	EXCLUDES(message_file, "message-file", method, "method",
		 "its request comes by --request-file"),
	NEEDS(request_file, "request-file", method, "method",
	      "echod's own takes --message, --message-size or --message-file"),
	EXCLUDES(concurrency, "concurrency", rate, "rate",
		 "that is the closed loop's; the open one has --max-in-flight"),
	NEEDS(max_in_flight, "max-in-flight", rate, "rate",
	      "that is the open loop's; the closed one has --concurrency"),
	NEEDS(arrival, "arrival", rate, "rate", "a closed loop has no arrivals of its own"),
	NEEDS(pacing, "pacing", rate, "rate", "a closed loop needs none"),
	NEEDS(keepalive_timeout, "keepalive-timeout", keepalive_time, "keepalive-time",
	      "that asks for the sign of life that this waits for"),
};

static bool given(const struct plan_given *all, size_t offset)
{
	return *(const bool *)((const char *)all + offset);
}

static int check_rules(const struct plan_given *all, char *why, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];

		if (given(all, rule->flag) && given(all, rule->other) != rule->needs) {
			snprintf(why, size,
				 rule->needs ? "--%s has no sense without --%s: %s"
					     : "--%s and --%s exclude each other: %s",
				 rule->flag_name, rule->other_name, rule->hint);
			return -1;
		}
	}
	return 0;
}

/* What only a run has, when there is none. */
static int check_single(const struct plan_given *all, char *why, size_t size)
{
	static const struct {
		size_t offset;
		const char *name;
	} of_runs[] = {
#define OF_RUNS(field, name) { offsetof(struct plan_given, field), name }
		OF_RUNS(warmup, "warmup"),
		OF_RUNS(grace, "grace"),
		OF_RUNS(connection_lifetime, "connection-lifetime"),
		OF_RUNS(seed, "seed"),
		OF_RUNS(name, "name"),
		OF_RUNS(fail_on_error, "fail-on-error"),
		OF_RUNS(assertions, "assert"),
		OF_RUNS(reconcile, "reconcile"),
#undef OF_RUNS
	};

	for (size_t i = 0; i < ARRAY_SIZE(of_runs); i++) {
		if (given(all, of_runs[i].offset)) {
			snprintf(why, size,
				 "--%s is for load runs, and this is one call: add --count, "
				 "--duration, --concurrency, --connections or --rate",
				 of_runs[i].name);
			return -1;
		}
	}
	return 0;
}

/* -- The call -- */

static int no_memory(char *why, size_t size)
{
	snprintf(why, size, "out of memory");
	return -1;
}

/* Each text of that length is the same: letters and digits, again and again. */
static int append_pattern(struct buffer *out, uint64_t n)
{
	static const char pattern[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t *room = n > 0 ? buffer_reserve(out, n) : NULL;

	if (n > 0 && !room) {
		return -1;
	}
	for (uint64_t i = 0; i < n; i++) {
		room[i] = (uint8_t)pattern[i % (sizeof(pattern) - 1)];
	}
	if (n > 0) {
		buffer_commit(out, n);
	}
	return 0;
}

static int read_file(struct plan *plan, const char *flag, const char *path, char *why, size_t size)
{
	char reason[160];

	if (input_read_file(path, PLAN_MAX_REQUEST_BYTES, &plan->message, reason, sizeof(reason)) <
	    0) {
		snprintf(why, size, "--%s=%.64s %s", flag, path, reason);
		return -1;
	}
	return 0;
}

static int set_message(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	const char *text = flags->message ? flags->message : "Hello, world!";
	const char *name = "message";
	char reason[160];

	if (flags->given.message_file) {
		name = "message-file";
		if (read_file(plan, name, flags->message_file, why, size) < 0) {
			return -1;
		}
	} else if (flags->given.message_size) {
		name = "message-size";
		if (append_pattern(&plan->message, flags->message_size) < 0) {
			return no_memory(why, size);
		}
	} else if (buffer_append(&plan->message, text, strlen(text)) < 0) {
		return no_memory(why, size);
	}
	if (input_check_message(buffer_bytes(&plan->message), PLAN_MAX_REQUEST_BYTES, reason,
				sizeof(reason)) < 0) {
		snprintf(why, size, "--%s: the message %s", name, reason);
		return -1;
	}
	return 0;
}

static bool is_name(const char *text, size_t n, bool dots)
{
	if (n == 0 || text[0] == '.' || text[n - 1] == '.') {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		char c = text[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_';

		if (!word && !(dots && c == '.' && text[i - 1] != '.')) {
			return false;
		}
	}
	return true;
}

/* "package.Service/Method", or "/package.Service/Method" as on the wire. */
static int set_method(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	const char *text = flags->method + (flags->method[0] == '/');
	const char *slash = strchr(text, '/');

	if (!slash || strlen(text) >= sizeof(plan->raw_names) ||
	    !is_name(text, (size_t)(slash - text), true) ||
	    !is_name(slash + 1, strlen(slash + 1), false)) {
		snprintf(why, size,
			 "--method=%.64s is not of the form package.Service/Method, of letters, "
			 "digits, '_' and '.', in at most %zu bytes",
			 flags->method, sizeof(plan->raw_names) - 1);
		return -1;
	}
	memcpy(plan->raw_names, text, strlen(text) + 1);
	plan->raw_names[slash - text] = '\0';
	plan->raw = true;
	plan->raw_method = (struct grpc_method){ .name = &plan->raw_names[slash - text + 1],
						 .shape = GRPC_UNARY };
	plan->raw_service = (struct grpc_service){ .name = plan->raw_names,
						   .methods = &plan->raw_method,
						   .n_methods = 1 };
	plan->service = &plan->raw_service;
	plan->method = &plan->raw_method;
	plan->verify = flags->given.verify && flags->verify;
	return flags->request_file ? read_file(plan, "request-file", flags->request_file, why, size)
				   : 0;
}

static int set_call(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	if (!flags->plaintext) {
		snprintf(why, size,
			 "--no-plaintext asks for TLS, which this client does not speak");
		return -1;
	}
	plan->service = &echo_service;
	plan->method = &echo_service.methods[ECHO_METHOD_ECHO];
	plan->verify = flags->verify;
	plan->timeout_ns = flags->timeout_ns;
	plan->gzip = flags->compression == PLAN_COMPRESSION_GZIP;
	plan->wait_for_ready = flags->wait_for_ready;
	plan->keepalive_time_ns = flags->keepalive_time_ns;
	plan->keepalive_timeout_ns = flags->keepalive_timeout_ns;
	if (input_add_all_metadata(&flags->metadata, &plan->metadata, &plan->metadata_arena, why,
				   size) < 0) {
		return -1;
	}
	return flags->method ? set_method(plan, flags, why, size)
			     : set_message(plan, flags, why, size);
}

static int set_targets(struct plan *plan, const struct option_strings *operands, char *why,
		       size_t size)
{
	if (operands->n > RUN_MAX_TARGETS) {
		snprintf(why, size, "%zu TARGETs are more than %d", operands->n, RUN_MAX_TARGETS);
		return -1;
	}
	if (operands->n > 1 && !plan->load) {
		snprintf(why, size,
			 "one TARGET is enough for one call: \"%.64s\" is a second (a load run, "
			 "by --count, --duration or --rate, goes to several)",
			 operands->items[1]);
		return -1;
	}
	plan->n_targets = MAX(operands->n, 1);
	for (size_t i = 0; i < plan->n_targets; i++) {
		if (target_parse(operands->n ? operands->items[i] : TARGET_DEFAULT,
				 &plan->targets[i], why, size) < 0) {
			return -1;
		}
	}
	return 0;
}

/* -- The load -- */

static uint64_t divide_up(uint64_t n, uint64_t by)
{
	return (n + by - 1) / by;
}

static int set_times(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	plan->count = flags->count;
	plan->duration_ns = flags->duration_ns;
	plan->warmup_ns = flags->warmup_ns;
	plan->grace_ns = flags->grace_ns;
	if (schedule_length_ns(&plan->schedule) > PLAN_MAX_TIME_NS) {
		snprintf(why, size, "--rate: its pieces last longer than 8760h in all");
		return -1;
	}
	if (plan->count || plan->duration_ns) {
		return 0;
	}
	if (plan->schedule.n == 0) {
		plan->duration_ns = PLAN_DEFAULT_DURATION_NS;
		return 0;
	}
	plan->duration_ns = schedule_length_ns(&plan->schedule);
	if (plan->duration_ns == 0) {
		snprintf(why, size,
			 "a constant --rate has no end of its own: add --duration or "
			 "--count");
		return -1;
	}
	return 0;
}

/* As many to each target, so that their shares are equal. */
static uint64_t default_connections(uint64_t at_a_time, uint64_t n_targets)
{
	uint64_t calls = PLAN_CALLS_PER_CONNECTION * n_targets;

	return MAX(divide_up(at_a_time, calls), 1) * n_targets;
}

static int set_width(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	uint64_t at_a_time;

	if (plan->schedule.n > 0) {
		at_a_time = flags->max_in_flight ? flags->max_in_flight
						 : MAX(PLAN_DEFAULT_MAX_IN_FLIGHT,
						       MAX(flags->connections, plan->n_targets));
		plan->max_in_flight = at_a_time;
	} else {
		at_a_time = flags->concurrency ? flags->concurrency
					       : MAX(flags->connections, plan->n_targets);
		plan->concurrency = at_a_time;
	}
	plan->connections = flags->connections ? flags->connections
					       : default_connections(at_a_time, plan->n_targets);
	if (plan->connections < plan->n_targets) {
		snprintf(why, size,
			 "--connections=%" PRIu64 " is less than one for each of %zu TARGETs",
			 plan->connections, plan->n_targets);
		return -1;
	}
	if (plan->connections > at_a_time) {
		snprintf(why, size,
			 "%s%" PRIu64 " %s more than --%s=%" PRIu64
			 ": a connection without a call would stay unused",
			 flags->connections ? "--connections=" : "", plan->connections,
			 flags->connections ? "is" : "TARGETs are",
			 plan->schedule.n > 0 ? "max-in-flight" : "concurrency", at_a_time);
		return -1;
	}
	return 0;
}

/* Does the run measure what it speaks of? */
static int check_measured(const struct plan *plan, const struct plan_flags *flags, const char *text,
			  char *why, size_t size)
{
	const char *lacks = NULL;

	switch (assertion_needs(text)) {
	case ASSERTION_NEEDS_NOTHING:
		break;
	case ASSERTION_NEEDS_RATE:
		lacks = plan->schedule.n > 0 ? NULL : "an open loop: add --rate";
		break;
	case ASSERTION_NEEDS_RECONCILE:
		lacks = flags->reconcile.n > 0 ? NULL : "the servers' counts: add --reconcile";
		break;
	case ASSERTION_NEEDS_VERIFY:
		lacks = plan->verify ? NULL
			: plan->raw  ? "replies that are compared: add --verify"
				     : "replies that are compared: leave out --no-verify";
		break;
	}
	if (lacks) {
		snprintf(why, size, "--assert=%.64s needs %s", text, lacks);
		return -1;
	}
	return 0;
}

static int check_assertions(struct plan *plan, struct plan_flags *flags, char *why, size_t size)
{
	struct option_strings *texts = &flags->assertions;
	char reason[256];

	if (texts->n > ASSERTIONS_MAX) {
		snprintf(why, size, "--assert %zu times is more than %d", texts->n, ASSERTIONS_MAX);
		return -1;
	}
	for (size_t i = 0; i < texts->n; i++) {
		if (assertion_check(texts->items[i], reason, sizeof(reason)) < 0) {
			snprintf(why, size, "--assert=%.64s: %s", texts->items[i], reason);
			return -1;
		}
		if (check_measured(plan, flags, texts->items[i], why, size) < 0) {
			return -1;
		}
	}
	plan->assertions = *texts;
	*texts = (struct option_strings){ NULL, 0 };
	return 0;
}

static int check_reconcile(struct plan *plan, struct option_strings *urls, char *why, size_t size)
{
	char reason[256];

	if (urls->n > RECONCILE_MAX_SERVERS) {
		snprintf(why, size, "--reconcile %zu times is more than %d", urls->n,
			 RECONCILE_MAX_SERVERS);
		return -1;
	}
	for (size_t i = 0; i < urls->n; i++) {
		if (reconcile_check_url(urls->items[i], reason, sizeof(reason)) < 0) {
			snprintf(why, size, "--reconcile=%.64s: %s", urls->items[i], reason);
			return -1;
		}
		for (size_t k = 0; k < i; k++) {
			if (strcmp(urls->items[i], urls->items[k]) == 0) {
				snprintf(why, size,
					 "--reconcile=%.64s is given twice: its calls would count "
					 "twice",
					 urls->items[i]);
				return -1;
			}
		}
	}
	if (urls->n > 0 && metadata_get(&plan->metadata, STR(RECONCILE_METADATA)).data) {
		snprintf(why, size,
			 "--metadata=" RECONCILE_METADATA " is what --reconcile sends by itself");
		return -1;
	}
	plan->reconcile = *urls;
	*urls = (struct option_strings){ NULL, 0 };
	return 0;
}

static int set_load(struct plan *plan, struct plan_flags *flags, char *why, size_t size)
{
	plan->schedule = flags->rate;
	plan->schedule.poisson = flags->arrival == PLAN_ARRIVAL_POISSON;
	plan->pacing = flags->pacing == 0 ? PLAN_PACING_TIMER : PLAN_PACING_SPIN;
	plan->connection_lifetime_ns = flags->connection_lifetime_ns;
	plan->seed = flags->given.seed ? flags->seed : random_entropy();
	plan->fail_on_error = flags->fail_on_error;
	plan->name = flags->name;
	if (plan->name && plan->name[0] == '\0') {
		snprintf(why, size, "--name= is empty: give it a text, or leave it out");
		return -1;
	}
	if (set_times(plan, flags, why, size) < 0 || set_width(plan, flags, why, size) < 0 ||
	    check_assertions(plan, flags, why, size) < 0) {
		return -1;
	}
	return check_reconcile(plan, &flags->reconcile, why, size);
}

static int set_all(struct plan *plan, struct plan_flags *flags,
		   const struct option_strings *operands, char *why, size_t size)
{
	const struct plan_given *all = &flags->given;

	plan->load =
		all->count || all->duration || all->concurrency || all->connections || all->rate;
	if (check_rules(all, why, size) < 0 || (!plan->load && check_single(all, why, size) < 0) ||
	    set_targets(plan, operands, why, size) < 0 ||
	    plan_set_output(plan, flags, why, size) < 0 || set_call(plan, flags, why, size) < 0) {
		return -1;
	}
	return plan->load ? set_load(plan, flags, why, size) : 0;
}

enum options_result plan_init(struct plan *plan, int argc, char **argv, char *why, size_t size)
{
	struct plan_flags flags = { 0 };
	struct option_strings operands = { 0 };
	enum options_result result;

	*plan = (struct plan){ .message = BUFFER_INIT };
	arena_init(&plan->metadata_arena, NULL, 0, METADATA_CAP);
	result = options_parse(&plan_options, &flags, argc, argv, NULL, &operands, NULL, why, size);
	if (result == OPTIONS_OK && set_all(plan, &flags, &operands, why, size) < 0) {
		result = OPTIONS_ERROR;
	}
	if (result == OPTIONS_ERROR) {
		options_one_line(why);
	}
	options_free(&plan_options, &flags, &operands);
	return result;
}

/* -- In one line -- */

static int describe_loop(const struct plan *plan, struct buffer *out)
{
	int err;

	if (plan->schedule.n == 0) {
		return buffer_printf(out, "closed loop, %" PRIu64 " call%s at a time",
				     plan->concurrency, plan->concurrency == 1 ? "" : "s");
	}
	err = buffer_append_str(out, STR("open loop, "));
	if (err == 0) {
		err = schedule_format(&plan->schedule, out);
	}
	return err < 0 ? err
		       : buffer_printf(
				 out, " calls/s at %s distances, at most %" PRIu64 " at a time%s",
				 plan->schedule.poisson ? "random" : "equal", plan->max_in_flight,
				 plan->pacing == PLAN_PACING_SPIN ? ", spinning" : "");
}

static int describe_where(const struct plan *plan, struct buffer *out)
{
	int err = buffer_printf(out, ", over %" PRIu64 " connection%s to %s", plan->connections,
				plan->connections == 1 ? "" : "s", plan->targets[0].text);

	for (size_t i = 1; i < plan->n_targets && err == 0; i++) {
		err = buffer_printf(out, ", %s", plan->targets[i].text);
	}
	if (err == 0 && plan->raw) {
		err = buffer_printf(out, ", %s/%s", plan->service->name, plan->method->name);
	}
	return err < 0 ? err
		       : buffer_printf(out, ", messages of %zu byte%s", buffer_len(&plan->message),
				       buffer_len(&plan->message) == 1 ? "" : "s");
}

static int describe_times(const struct plan *plan, struct buffer *out)
{
	char text[32];
	int err = 0;

	if (plan->count) {
		err = buffer_printf(out, ", %" PRIu64 " in all", plan->count);
	}
	if (err == 0 && plan->duration_ns) {
		format_duration(plan->duration_ns, text, sizeof(text));
		err = buffer_printf(out, ", for %s%s", plan->count ? "at most " : "", text);
	}
	if (err == 0 && plan->warmup_ns) {
		format_duration(plan->warmup_ns, text, sizeof(text));
		err = buffer_printf(out, " after %s of warm-up", text);
	}
	if (err == 0 && plan->connection_lifetime_ns) {
		format_duration(plan->connection_lifetime_ns, text, sizeof(text));
		err = buffer_printf(out, ", connections live %s", text);
	}
	if (err == 0 && plan->schedule.poisson) {
		err = buffer_printf(out, ", seed %" PRIu64, plan->seed);
	}
	return err;
}

int plan_describe(const struct plan *plan, struct buffer *out)
{
	int err = describe_loop(plan, out);

	err = err < 0 ? err : describe_where(plan, out);
	return err < 0 ? err : describe_times(plan, out);
}

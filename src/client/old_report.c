#include "client/old_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/json.h"
#include "client/text.h"

/* Appends, unless an earlier append failed: the end of a chain tells of the whole. */
#define APPEND(err, out, ...) ((err) = (err) < 0 ? (err) : buffer_printf((out), __VA_ARGS__))
#define CHAIN(err, call)      ((err) = (err) < 0 ? (err) : (call))

static const struct quantile {
	const char *name;
	double q;
} quantiles[] = { { "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p99.9", .999 } };

/* A count under its name; `example` is what one of them said. */
static int text_row(struct buffer *out, const char *name, uint64_t n, const char *example)
{
	int err = buffer_printf(out, "  %-26s %12" PRIu64, name, n);

	if (example && example[0] != '\0') {
		APPEND(err, out, "  %s", example);
	}
	CHAIN(err, buffer_append_str(out, STR("\n")));
	return err;
}

static int text_counts(struct buffer *out, const struct old_recorder *results)
{
	char name[64];
	int err = 0;

	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		if (results->by_status[i] == 0 && i != GRPC_OK) {
			continue;
		}
		snprintf(name, sizeof(name), "%s (%d)", grpc_status_name(i), i);
		CHAIN(err, text_row(out, name, results->by_status[i], results->examples[i]));
	}
	if (results->mismatched) {
		CHAIN(err, text_row(out, "OK, but not the echo", results->mismatched, NULL));
	}
	CHAIN(err, text_row(out, "never found a server", results->never_found,
			    results->examples[OLD_RECORDER_NEVER_FOUND]));
	if (results->unfinished) {
		CHAIN(err, text_row(out, "given up unfinished", results->unfinished, NULL));
	}
	return err;
}

static int text_latencies(struct buffer *out, const char *name, const struct latencies *latencies)
{
	char value[32];
	int err;

	if (latencies_count(latencies) == 0) {
		return 0;
	}
	err = buffer_printf(out, "latency, %s:", name);
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		text_duration(latencies_quantile(latencies, quantiles[i].q), value,
				sizeof(value));
		APPEND(err, out, " %s %s ", quantiles[i].name, value);
	}
	text_duration(latencies_max(latencies), value, sizeof(value));
	APPEND(err, out, " max %s\n", value);
	return err;
}

/* What matters most, in a sentence. */
static int text_verdict(struct buffer *out, const struct old_report_run *run)
{
	const struct old_recorder *results = run->results;
	uint64_t reached = old_recorder_reached(results), ok = results->by_status[GRPC_OK];
	int err = 0;

	if (run->ended_by) {
		APPEND(err, out, "ended early (%s): ", run->ended_by);
	}
	if (reached == 0) {
		CHAIN(err, buffer_append_str(out, STR("no call was answered by a server")));
	} else if (reached == ok) {
		APPEND(err, out,
		       "every call that reached the server%s was answered OK (%" PRIu64 ")",
		       results->unfinished ? " and ended" : "", ok);
	} else {
		APPEND(err, out,
		       "of %" PRIu64 " calls that reached the server %" PRIu64
		       " were answered OK, %" PRIu64 " were not",
		       reached, ok, reached - ok);
	}
	if (results->never_found) {
		APPEND(err, out, "; %" PRIu64 " call%s found no server to connect to",
		       results->never_found, results->never_found == 1 ? "" : "s");
	}
	if (results->unfinished) {
		APPEND(err, out, "; %" PRIu64 " given up unfinished", results->unfinished);
	}
	CHAIN(err, buffer_append_str(out, STR("\n")));
	return err;
}

int old_report_run_text(struct buffer *out, const struct old_report_run *run)
{
	const struct old_recorder *results = run->results;
	uint64_t tenths = text_rate_tenths(old_recorder_reached(results), run->elapsed_ns);
	char elapsed[32];
	int err;

	text_duration(run->elapsed_ns, elapsed, sizeof(elapsed));
	err = buffer_printf(
		out, "%" PRIu64 " calls to %s in %s, %" PRIu64 ".%" PRIu64 " answered/s\n",
		old_recorder_calls(results), run->target, elapsed, tenths / 10, tenths % 10);
	CHAIN(err, text_counts(out, results));
	CHAIN(err, text_row(out, "connections made", run->connects, NULL));
	if (run->connects_failed) {
		CHAIN(err, text_row(out, "attempts to connect failed", run->connects_failed, NULL));
	}
	if (run->retries) {
		CHAIN(err, text_row(out, "sent anew", run->retries, NULL));
	}
	CHAIN(err, text_latencies(out, "OK", results->ok));
	CHAIN(err, text_latencies(out, "failed", results->failed));
	CHAIN(err, text_verdict(out, run));
	return err;
}

static int json_latencies(struct buffer *out, const char *name, const struct latencies *latencies)
{
	int err =
		buffer_printf(out, ",\"%s\":{\"count\":%" PRIu64, name, latencies_count(latencies));

	if (latencies_count(latencies) > 0) {
		CHAIN(err, buffer_append_str(out, STR(",\"min\":")));
		CHAIN(err, json_seconds(out, latencies_min(latencies)));
		CHAIN(err, buffer_append_str(out, STR(",\"mean\":")));
		CHAIN(err, json_seconds(out, (int64_t)latencies_mean(latencies)));
		for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
			APPEND(err, out, ",\"%s\":", quantiles[i].name);
			CHAIN(err,
			      json_seconds(out, latencies_quantile(latencies, quantiles[i].q)));
		}
		CHAIN(err, buffer_append_str(out, STR(",\"max\":")));
		CHAIN(err, json_seconds(out, latencies_max(latencies)));
	}
	CHAIN(err, buffer_append_str(out, STR("}")));
	return err;
}

static int json_example(struct buffer *out, const char *example)
{
	int err = 0;

	if (example[0] != '\0') {
		CHAIN(err, buffer_append_str(out, STR(",\"example\":")));
		CHAIN(err, json_string(out, str_from(example)));
	}
	return err;
}

static int json_statuses(struct buffer *out, const struct old_recorder *results)
{
	int err = buffer_append_str(out, STR(",\"statuses\":{"));
	const char *before = "";

	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		if (results->by_status[i] == 0 && i != GRPC_OK) {
			continue;
		}
		APPEND(err, out, "%s\"%s\":{\"code\":%d,\"calls\":%" PRIu64, before,
		       grpc_status_name(i), i, results->by_status[i]);
		CHAIN(err, json_example(out, results->examples[i]));
		CHAIN(err, buffer_append_str(out, STR("}")));
		before = ",";
	}
	CHAIN(err, buffer_append_str(out, STR("}")));
	return err;
}

int old_report_run_json(struct buffer *out, const struct old_report_run *run)
{
	const struct old_recorder *results = run->results;
	uint64_t tenths = text_rate_tenths(old_recorder_reached(results), run->elapsed_ns);
	int err = buffer_append_str(out, STR("{\"target\":"));

	CHAIN(err, json_string(out, str_from(run->target)));
	APPEND(err, out, ",\"concurrency\":%" PRIu64 ",\"connections\":%" PRIu64, run->concurrency,
	       run->connections);
	CHAIN(err, buffer_append_str(out, STR(",\"elapsed_seconds\":")));
	CHAIN(err, json_seconds(out, run->elapsed_ns));
	APPEND(err, out, ",\"calls\":%" PRIu64 ",\"answered_per_second\":%" PRIu64 ".%" PRIu64,
	       old_recorder_calls(results), tenths / 10, tenths % 10);
	CHAIN(err, json_statuses(out, results));
	APPEND(err, out, ",\"mismatched\":%" PRIu64 ",\"never_found\":{\"calls\":%" PRIu64,
	       results->mismatched, results->never_found);
	CHAIN(err, json_example(out, results->examples[OLD_RECORDER_NEVER_FOUND]));
	APPEND(err, out,
	       "},\"unfinished\":%" PRIu64 ",\"connections_made\":%" PRIu64
	       ",\"connects_failed\":%" PRIu64 ",\"attempts\":%" PRIu64
	       ",\"transparent_retries\":%" PRIu64 ",\"ended_by\":",
	       results->unfinished, run->connects, run->connects_failed, run->attempts,
	       run->retries);
	CHAIN(err, run->ended_by ? json_string(out, str_from(run->ended_by))
				 : buffer_append_str(out, STR("null")));
	CHAIN(err, json_latencies(out, "latency_seconds", results->ok));
	CHAIN(err, json_latencies(out, "failed_latency_seconds", results->failed));
	CHAIN(err, buffer_append_str(out, STR("}\n")));
	return err;
}

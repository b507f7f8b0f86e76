/*
 * A run as gauges and histograms in the text format 0.0.4, for node_exporter's textfile
 * collector: so there are no times of samples, and all lines of a family stand together.
 * Every sample has the run's name, where it has one, so that files of several runs can lie
 * in one directory; what differs from run to run otherwise is in echod_run_info.
 *
 * A bucket counts what is surely below its bound: of our own buckets, which are finer, the
 * one that a bound cuts in two belongs to the next. So it may count less by a 128th of the
 * bound's worth of calls, and never more.
 */
#include <inttypes.h>
#include <stdio.h>

#include "client/figures.h"
#include "client/report.h"
#include "client/text.h"
#include "http2/session.h"
#include "metrics/exposition.h"

/* What a chain of appends goes to. */
struct writer {
	struct buffer *out;
	const char *name; /* of the run; NULL: none */
	int err;
};

#define WRITE(writer, ...) TEXT_PRINT((writer)->err, (writer)->out, __VA_ARGS__)

/* histogram_default_bounds, and below them what a local server's echo needs. */
static const struct {
	int64_t ns;
	const char *label;
} bounds[] = {
	{ 50 * NS_PER_US, "5e-05" },    { 100 * NS_PER_US, "0.0001" },
	{ 250 * NS_PER_US, "0.00025" }, { 500 * NS_PER_US, "0.0005" },
	{ 1 * NS_PER_MS, "0.001" },     { 2500 * NS_PER_US, "0.0025" },
	{ 5 * NS_PER_MS, "0.005" },     { 10 * NS_PER_MS, "0.01" },
	{ 25 * NS_PER_MS, "0.025" },    { 50 * NS_PER_MS, "0.05" },
	{ 100 * NS_PER_MS, "0.1" },     { 250 * NS_PER_MS, "0.25" },
	{ 500 * NS_PER_MS, "0.5" },     { 1 * NS_PER_S, "1" },
	{ 2500 * NS_PER_MS, "2.5" },    { 5 * NS_PER_S, "5" },
	{ 10 * NS_PER_S, "10" },
};

static const struct {
	const char *label;
	double share;
} percentiles[] = {
	{ "50", .5 },  { "75", .75 },    { "90", .9 },       { "95", .95 },
	{ "99", .99 }, { "99.9", .999 }, { "99.99", .9999 }, { "100", 1 },
};

static void family(struct writer *writer, const char *name, const char *type, const char *help)
{
	WRITE(writer, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: text of anyone's. */
static void write_value(struct writer *writer, struct str text)
{
	struct buffer visible = BUFFER_INIT;
	struct bytes bytes;

	TEXT_CHAIN(writer->err, text_visible(&visible, text));
	bytes = buffer_bytes(&visible);
	for (size_t i = 0; i < bytes.len && writer->err == 0; i++) {
		char c = (char)bytes.data[i];

		WRITE(writer, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	buffer_free(&visible);
}

/* name{run="...",label="value": what follows is the caller's. */
static void open_sample(struct writer *writer, const char *name, const char *label,
			const char *value)
{
	const char *before = "{";

	WRITE(writer, "%s", name);
	if (writer->name) {
		WRITE(writer, "{run=\"");
		write_value(writer, str_from(writer->name));
		WRITE(writer, "\"");
		before = ",";
	}
	if (label) {
		WRITE(writer, "%s%s=\"", before, label);
		write_value(writer, str_from(value));
		WRITE(writer, "\"");
	}
}

static void close_labels(struct writer *writer, bool any)
{
	WRITE(writer, any || writer->name ? "} " : " ");
}

static void write_real(struct writer *writer, double number)
{
	char text[32];
	size_t n = exposition_format_double(number, text);

	WRITE(writer, "%.*s\n", (int)n, text);
}

static void real(struct writer *writer, const char *name, const char *label, const char *value,
		 double number)
{
	open_sample(writer, name, label, value);
	close_labels(writer, label);
	write_real(writer, number);
}

static void whole(struct writer *writer, const char *name, const char *label, const char *value,
		  uint64_t number)
{
	open_sample(writer, name, label, value);
	close_labels(writer, label);
	WRITE(writer, "%" PRIu64 "\n", number);
}

static void gauge(struct writer *writer, const char *name, const char *help, double number)
{
	family(writer, name, "gauge", help);
	real(writer, name, NULL, NULL, number);
}

static void count(struct writer *writer, const char *name, const char *help, uint64_t number)
{
	family(writer, name, "gauge", help);
	whole(writer, name, NULL, NULL, number);
}

static double seconds(int64_t ns)
{
	return (double)ns / NS_PER_S;
}

/* --- what was asked for, and how long it took --------------------------------------------- */

static void write_info(struct writer *writer, const struct run *run)
{
	const struct {
		const char *label, *value;
	} labels[] = {
		{ "id", run->id },
		{ "version", run->version },
		{ "host", run->host },
		{ "method", run->method },
		{ "plan", run->plan },
		{ "ended_by", run->ended_by ? run->ended_by : "" },
		{ "limited_by", run_limit_name(run_limit(run)) },
	};

	family(writer, "echod_run_info", "gauge", "What the run was");
	open_sample(writer, "echod_run_info", NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		WRITE(writer, "%s%s=\"", i > 0 || writer->name ? "," : "{", labels[i].label);
		write_value(writer, str_from(labels[i].value));
		WRITE(writer, "\"");
	}
	WRITE(writer, "} 1\n");
}

static void write_times(struct writer *writer, const struct run *run)
{
	gauge(writer, "echod_run_start_timestamp_seconds", "When what was measured began",
	      seconds(run->started_unix_ns));
	gauge(writer, "echod_run_end_timestamp_seconds", "When the last call had ended",
	      seconds(run->started_unix_ns) + seconds(run->elapsed_ns));
	gauge(writer, "echod_run_duration_seconds", "Time that was measured",
	      seconds(run->elapsed_ns));
	gauge(writer, "echod_run_offered_rate",
	      "Calls per second that the schedule asked for; 0 in a closed loop",
	      run_offered_rate(run));
	gauge(writer, "echod_run_achieved_rate", "Calls per second that were answered",
	      run_achieved_rate(run));
	family(writer, "echod_run_cpu_seconds", "gauge", "CPU time of the client itself");
	real(writer, "echod_run_cpu_seconds", "mode", "user", seconds(run->cpu_user_ns));
	real(writer, "echod_run_cpu_seconds", "mode", "system", seconds(run->cpu_system_ns));
	count(writer, "echod_run_received_bytes", "Bytes received on connections", run->bytes_in);
	count(writer, "echod_run_sent_bytes", "Bytes sent on connections", run->bytes_out);
}

/* --- what came of it --------------------------------------------- */

static void write_calls(struct writer *writer, const struct recorder *results)
{
	const struct {
		const char *name, *help;
		uint64_t number;
	} counts[] = {
		{ "echod_run_calls_due", "Calls that were to be started", results->due },
		{ "echod_run_calls_started", "Calls that were started", results->started },
		{ "echod_run_calls_done", "Calls that ended", recorder_done(results) },
		{ "echod_run_calls_failed", "Calls that ended and were not OK",
		  recorder_failed(results) },
		{ "echod_run_calls_unfinished", "Calls that were given up when the run ended",
		  results->unfinished },
		{ "echod_run_calls_never_sent", "Calls that were due and never started",
		  results->never_sent },
		{ "echod_run_calls_deferred", "Calls that had to wait for a free place",
		  results->deferred },
		{ "echod_run_calls_mismatched", "Replies that were not their request's echo",
		  results->mismatched },
		{ "echod_run_calls_without_server", "Calls for which there was no server",
		  results->never_found },
		{ "echod_run_attempts", "Streams that calls were given", results->attempts },
		{ "echod_run_retries", "Streams that calls were given beyond the first",
		  results->retries },
		{ "echod_run_stream_waits", "Calls that found the limit of streams reached",
		  results->stream_waits },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		count(writer, counts[i].name, counts[i].help, counts[i].number);
	}
	family(writer, "echod_run_answers", "gauge", "Calls by the status that they ended with");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		whole(writer, "echod_run_answers", "code", grpc_status_name(i),
		      results->by_status[i]);
	}
}

static void write_injected(struct writer *writer, const struct recorder *results)
{
	family(writer, "echod_run_injected", "gauge",
	       "Calls that a server says it failed on purpose, by the status that they ended with");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		whole(writer, "echod_run_injected", "code", grpc_status_name(i),
		      results->injected.by_status[i]);
	}
	count(writer, "echod_run_calls_not_injected",
	      "Calls that failed, and no trailers say that it was on purpose",
	      recorder_not_injected(results));
	count(writer, "echod_run_injected_changed",
	      "Calls that ended with another status than was injected", results->injected.changed);
}

static void write_connections(struct writer *writer, const struct recorder_connections *of)
{
	static const char name[] = "echod_run_connections";
	static const char *const errors[] = {
#define X(symbol, code) #symbol,
		HTTP2_ERRORS(X)
#undef X
			"other",
	};

	family(writer, name, "gauge", "Connections by what happened to them");
	whole(writer, name, "event", "open_at_start", of->open_at_start);
	whole(writer, name, "event", "opened", of->opened);
	whole(writer, name, "event", "failed", of->failed);
	whole(writer, name, "event", "lost", of->lost);
	whole(writer, name, "event", "renewed", of->renewed);
	family(writer, "echod_run_goaways", "gauge", "Goodbyes of servers by their reason");
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		whole(writer, "echod_run_goaways", "reason", errors[i], of->goaways[i]);
	}
}

/* Names are servers' own: two may look alike, their places do not. */
static void write_backends(struct writer *writer, const struct recorder *results)
{
	static const char name[] = "echod_run_backend_calls";
	char place[24];

	if (results->n_backends == 0) {
		return;
	}
	family(writer, name, "gauge", "Calls by the server instance that answered");
	for (size_t i = 0; i < results->n_backends; i++) {
		const struct recorder_backend *backend = &results->backends[i];

		for (int ok = 1; ok >= 0; ok--) {
			snprintf(place, sizeof(place), "%zu", i + 1);
			open_sample(writer, name, "place", place);
			WRITE(writer, ",server=\"");
			write_value(writer, str_from(backend->instance));
			WRITE(writer, "\",outcome=\"%s\"} %" PRIu64 "\n", ok ? "ok" : "failed",
			      ok ? backend->ok : backend->failed);
		}
	}
}

static void write_outage(struct writer *writer, const struct recorder *results)
{
	gauge(writer, "echod_run_longest_gap_seconds", "Longest time without a successful call",
	      seconds(results->longest_gap_ns));
	if (results->first_error_ns >= 0) {
		gauge(writer, "echod_run_first_error_seconds",
		      "When the first call failed, since the beginning",
		      seconds(results->first_error_ns));
		gauge(writer, "echod_run_last_error_seconds",
		      "When the last call failed, since the beginning",
		      seconds(results->last_error_ns));
	}
}

/* --- latencies --------------------------------------------- */

/* The lines of one `outcome` (NULL: there is but one). */
static void write_histogram(struct writer *writer, const char *name, const char *outcome,
			    const struct latencies *latencies)
{
	const char *label = outcome ? "outcome" : NULL, *before;
	struct latencies_bucket bucket = { .index = 0 };
	bool more = latencies_next(latencies, 0, &bucket), labels = outcome || writer->name;
	uint64_t below = 0;
	char part[64];

	snprintf(part, sizeof(part), "%s_bucket", name);
	before = labels ? "," : "{";
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		for (; more && figures_high(latencies, &bucket) <= bounds[i].ns;
		     more = latencies_next(latencies, bucket.index + 1, &bucket)) {
			below += bucket.n;
		}
		open_sample(writer, part, label, outcome);
		WRITE(writer, "%sle=\"%s\"} %" PRIu64 "\n", before, bounds[i].label, below);
	}
	open_sample(writer, part, label, outcome);
	WRITE(writer, "%sle=\"+Inf\"} %" PRIu64 "\n", before, latencies_count(latencies));
	snprintf(part, sizeof(part), "%s_sum", name);
	real(writer, part, label, outcome, (double)latencies_sum(latencies) / NS_PER_S);
	snprintf(part, sizeof(part), "%s_count", name);
	whole(writer, part, label, outcome, latencies_count(latencies));
}

static void write_percentiles(struct writer *writer, const char *name, const char *help,
			      const struct latencies *latencies)
{
	if (latencies_count(latencies) == 0) {
		return; /* what is not there is not 0 */
	}
	family(writer, name, "gauge", help);
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
		real(writer, name, "percentile", percentiles[i].label,
		     seconds(latencies_quantile(latencies, percentiles[i].share)));
	}
}

static void write_latencies(struct writer *writer, const struct recorder *results)
{
	family(writer, "echod_run_latency_seconds", "histogram", "Latency from the intended start");
	write_histogram(writer, "echod_run_latency_seconds", "ok", results->latency_ok);
	write_histogram(writer, "echod_run_latency_seconds", "failed", results->latency_failed);
	family(writer, "echod_run_service_time_seconds", "histogram",
	       "Latency from the moment at which a call was sent");
	write_histogram(writer, "echod_run_service_time_seconds", "ok", results->service_ok);
	write_histogram(writer, "echod_run_service_time_seconds", "failed",
			results->service_failed);
	write_percentiles(writer, "echod_run_latency_percentile_seconds",
			  "Percentiles of successful calls' latency from the intended start",
			  results->latency_ok);
	write_percentiles(writer, "echod_run_service_time_percentile_seconds",
			  "Percentiles of successful calls' latency from the send",
			  results->service_ok);
	if (latencies_count(results->delay) > 0) {
		family(writer, "echod_run_injected_delay_seconds", "histogram",
		       "Delays that servers say they injected, of the calls that had one");
		write_histogram(writer, "echod_run_injected_delay_seconds", NULL, results->delay);
		family(writer, "echod_run_undelayed_seconds", "histogram",
		       "Service time of such calls that were OK, less their delays");
		write_histogram(writer, "echod_run_undelayed_seconds", NULL, results->undelayed);
	}
	if (latencies_count(results->lag) > 0) {
		family(writer, "echod_run_lag_seconds", "histogram",
		       "How late the client itself started calls");
		write_histogram(writer, "echod_run_lag_seconds", NULL, results->lag);
	}
}

/* --- verdicts --------------------------------------------- */

static void write_assertions(struct writer *writer, const struct run *run)
{
	static const char name[] = "echod_run_assertion_held";

	if (run->n_assertions == 0) {
		return;
	}
	family(writer, name, "gauge", "Whether an assertion held: 1, or 0");
	for (size_t i = 0; i < run->n_assertions; i++) {
		size_t earlier = 0;

		while (strcmp(run->assertions[earlier].text, run->assertions[i].text) != 0) {
			earlier++;
		}
		if (earlier == i) { /* one that is asked twice is one series */
			whole(writer, name, "assertion", run->assertions[i].text,
			      run->assertions[i].held);
		}
	}
}

static void write_ledger(struct writer *writer, const struct run_reconciliation *of)
{
	family(writer, "echod_run_reconciliation_faults", "gauge",
	       "Faults that servers counted as injected");
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		whole(writer, "echod_run_reconciliation_faults", "fault",
		      injected_word_name((enum injected_word)word), of->faults[word]);
	}
	family(writer, "echod_run_reconciliation_faults_told", "gauge",
	       "Faults that answers told the client of");
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		whole(writer, "echod_run_reconciliation_faults_told", "fault",
		      injected_word_name((enum injected_word)word), of->told[word]);
	}
}

static void write_reconciliation(struct writer *writer, const struct run *run)
{
	const struct run_reconciliation *of = &run->reconciliation;
	static const char name[] = "echod_run_reconciliation_difference";

	if (of->n == 0) {
		return;
	}
	count(writer, "echod_run_reconciliation_complete",
	      "Whether every server could be asked, none was restarted or had calls in flight: 1, "
	      "or 0",
	      of->complete);
	count(writer, "echod_run_reconciliation_sent", "Calls that the client sent", of->sent);
	count(writer, "echod_run_reconciliation_answered", "Calls that the client saw answered",
	      of->answered);
	if (run_reconciled_servers(of) == 0) {
		return;
	}
	count(writer, "echod_run_reconciliation_received", "Calls that servers received",
	      of->received);
	family(writer, name, "gauge",
	       "Calls by status: as servers counted them, less the client's");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		real(writer, name, "code", grpc_status_name(i), (double)of->by_status[i]);
	}
	family(writer, "echod_run_reconciliation_explained", "gauge",
	       "Of that difference, what faults account for that end with no status of a server's");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		whole(writer, "echod_run_reconciliation_explained", "code", grpc_status_name(i),
		      of->explained[i]);
	}
	if (of->ledger) {
		write_ledger(writer, of);
	}
	if (of->by_call) {
		count(writer, "echod_run_reconciliation_never_arrived",
		      "Calls that no server received", of->never_arrived);
		count(writer, "echod_run_reconciliation_arrived_twice",
		      "Calls that servers received more than once", of->arrived_twice);
		count(writer, "echod_run_reconciliation_answer_lost",
		      "Calls that a server answered and the client did not see answered",
		      of->answer_lost);
	}
}

int report_prom(struct buffer *out, const struct run *run)
{
	struct writer writer = { .out = out, .name = run->name };

	write_info(&writer, run);
	write_times(&writer, run);
	write_calls(&writer, &run->results);
	write_injected(&writer, &run->results);
	write_latencies(&writer, &run->results);
	write_connections(&writer, &run->results.connections);
	write_backends(&writer, &run->results);
	write_outage(&writer, &run->results);
	write_assertions(&writer, run);
	write_reconciliation(&writer, run);
	return writer.err;
}

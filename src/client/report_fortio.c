/*
 * The JSON that fortio saves, for `fortio report` and all that reads it. Durations are
 * seconds, ActualDuration ns. DurationHistogram is of all calls that ended with a status,
 * ErrorsDurationHistogram of those that are not OK, both from the intended start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/options.h"
#include "client/figures.h"
#include "client/report.h"
#include "client/text.h"
#include "client/tree.h"

/* More would be drawn on each other: neighbours share a row beyond it. */
#define MAX_ROWS 200

#define SECONDS(ns) ((double)(ns) / NS_PER_S)

static const struct {
	double percentile, share;
} percentiles[] = { { 50, .5 }, { 75, .75 }, { 90, .9 }, { 99, .99 }, { 99.9, .999 } };

static size_t count_buckets(const struct latencies *latencies)
{
	struct latencies_bucket bucket;
	size_t n = 0;

	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		n++;
	}
	return n;
}

/*
 * A row for each bucket where there are few, else for as many neighbours as it takes: their
 * counts add up. Where nothing is missing between two rows one ends where the next begins,
 * else they would be drawn apart; the last one ends at the maximum.
 */
static void set_rows(struct tree *tree, json_t *in, const struct latencies *latencies)
{
	size_t together = (count_buckets(latencies) + MAX_ROWS - 1) / MAX_ROWS, n = 0;
	json_t *rows = tree_array(tree, in, "Data");
	struct latencies_bucket bucket, next;
	uint64_t below = 0, count = 0;
	int64_t start_ns = -1;

	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		json_t *row;

		start_ns = n == 0 ? figures_low(latencies, &bucket) : start_ns;
		count += bucket.n;
		if (++n < together && latencies_next(latencies, bucket.index + 1, &next)) {
			continue;
		}
		row = tree_object(tree, rows, NULL);
		below += count;
		tree_real(tree, row, "Start", SECONDS(start_ns));
		tree_real(tree, row, "End",
			  SECONDS(MIN(bucket.high_ns + 1, latencies_max(latencies))));
		tree_real(tree, row, "Percent",
			  100 * (double)below / (double)latencies_count(latencies));
		tree_count(tree, row, "Count", count);
		count = n = 0;
	}
}

static void set_histogram(struct tree *tree, const char *name, const struct latencies *latencies)
{
	json_t *in = tree_object(tree, tree->root, name), *list;

	tree_count(tree, in, "Count", latencies_count(latencies));
	tree_real(tree, in, "Min", SECONDS(latencies_min(latencies)));
	tree_real(tree, in, "Max", SECONDS(latencies_max(latencies)));
	tree_real(tree, in, "Sum", SECONDS(latencies_sum(latencies)));
	tree_real(tree, in, "Avg", SECONDS(latencies_mean(latencies)));
	tree_real(tree, in, "StdDev", SECONDS(latencies_deviation(latencies)));
	set_rows(tree, in, latencies);
	if (latencies_count(latencies) == 0) {
		return;
	}
	list = tree_array(tree, in, "Percentiles");
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
		json_t *item = tree_object(tree, list, NULL);
		int64_t ns = latencies_quantile(latencies, percentiles[i].share);

		tree_real(tree, item, "Percentile", percentiles[i].percentile);
		tree_real(tree, item, "Value", SECONDS(ns));
	}
}

static void set_codes(struct tree *tree, const struct recorder *results)
{
	json_t *in = tree_object(tree, tree->root, "RetCodes");

	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		if (results->by_status[i] > 0) {
			tree_count(tree, in, grpc_status_name(i), results->by_status[i]);
		}
	}
	if (results->mismatched > 0) {
		tree_count(tree, in, "MISMATCHED", results->mismatched);
	}
	if (results->never_found > 0) {
		tree_count(tree, in, "NO_SERVER", results->never_found);
	}
	if (results->unfinished > 0) {
		tree_count(tree, in, "UNFINISHED", results->unfinished);
	}
}

static void set_text(struct tree *tree, const char *name, const char *text)
{
	tree_text(tree, tree->root, name, str_from(text));
}

/* RFC 3339, as Go reads a time. */
static void set_start(struct tree *tree, int64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_S);
	struct tm day;
	char text[80];

	gmtime_r(&seconds, &day);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId64 "Z",
		 day.tm_year + 1900, day.tm_mon + 1, day.tm_mday, day.tm_hour, day.tm_min,
		 day.tm_sec, unix_ns % NS_PER_S);
	set_text(tree, "StartTime", text);
}

/* What it was asked for, in the words that fortio has for it. */
static void set_request(struct tree *tree, const struct run *run)
{
	struct buffer rate = BUFFER_INIT;
	char text[64];

	if (run->schedule.n == 0) {
		set_text(tree, "RequestedQPS", "max");
	} else if (schedule_format(&run->schedule, &rate) == 0) {
		tree_text(tree, tree->root, "RequestedQPS",
			  (struct str){ (const char *)buffer_data(&rate), buffer_len(&rate) });
	} else {
		tree->failed = true;
	}
	buffer_free(&rate);
	if (run->duration_ns > 0) {
		format_duration(run->duration_ns, text, sizeof(text));
	} else {
		snprintf(text, sizeof(text), "exactly %" PRIu64 " calls", run->count);
	}
	set_text(tree, "RequestedDuration", text);
	tree_count(tree, tree->root, "NumThreads", run->connections);
	tree_count(tree, tree->root, "Exactly", run->count);
}

static void set_labels(struct tree *tree, const struct run *run)
{
	struct buffer text = BUFFER_INIT;
	int err = 0;

	TEXT_PRINT(err, &text, "%s%sechod: %s, latency from the intended start",
		   run->name ? run->name : "", run->name ? ", " : "",
		   run->method ? run->method : "a method");
	if (err < 0) {
		tree->failed = true;
	} else {
		tree_text(tree, tree->root, "Labels",
			  (struct str){ (const char *)buffer_data(&text), buffer_len(&text) });
	}
	buffer_free(&text);
}

static void set_destination(struct tree *tree, const struct run *run)
{
	struct buffer text = BUFFER_INIT;
	int err = 0;

	for (size_t i = 0; i < run->n_targets; i++) {
		TEXT_PRINT(err, &text, "%s%s", i > 0 ? ", " : "", run->targets[i]);
	}
	if (err < 0) {
		tree->failed = true;
	} else {
		struct bytes bytes = buffer_bytes(&text);

		tree_text(tree, tree->root, "Destination",
			  (struct str){ bytes.data ? (const char *)bytes.data : "", bytes.len });
	}
	buffer_free(&text);
}

static void set_run(struct tree *tree, const struct run *run, const struct latencies *all)
{
	set_text(tree, "RunType", "GRPC echod");
	set_labels(tree, run);
	set_start(tree, run->started_unix_ns);
	set_request(tree, run);
	tree_real(tree, tree->root, "ActualQPS", run_achieved_rate(run));
	tree_ns(tree, tree->root, "ActualDuration", run->elapsed_ns);
	set_text(tree, "Version", run->version);
	set_histogram(tree, "DurationHistogram", all);
	set_histogram(tree, "ErrorsDurationHistogram", run->results.latency_failed);
	tree_bool(tree, tree->root, "Jitter", run->schedule.poisson);
	tree_bool(tree, tree->root, "Uniform", false);
	tree_bool(tree, tree->root, "NoCatchUp", false);
	tree_count(tree, tree->root, "RunID", 0);
	set_text(tree, "AccessLoggerInfo", "");
	set_text(tree, "ID", run->id);
	set_codes(tree, &run->results);
	set_destination(tree, run);
	tree_count(tree, tree->root, "Streams",
		   run->concurrency ? run->concurrency : run->max_in_flight);
	tree_bool(tree, tree->root, "Ping", false);
}

int report_fortio(struct buffer *out, const struct run *run)
{
	struct latencies *all =
		figures_together(run->results.latency_ok, run->results.latency_failed);
	struct tree tree;
	int err;

	if (!all) {
		return -ENOMEM;
	}
	err = tree_init(&tree);
	if (err == 0) {
		set_run(&tree, run, all);
		err = tree_print_lines(&tree, out);
	}
	tree_deinit(&tree);
	latencies_free(all);
	return err;
}

/*
 * A run as JSON: what the structure holds, in its own whole numbers, so that reading
 * gives the same run again. Only "summary" is worked out, and a reader passes over it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client/report.h"
#include "client/report_schema.h"
#include "client/tree.h"

static const char *const origin_names[RECORDER_ORIGINS] = { REPORT_ORIGIN_NAMES };

static void set_started(struct tree *tree, json_t *in, int64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_S);
	char day[32], text[64];
	struct tm utc;

	if (gmtime_r(&seconds, &utc) && strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc) > 0) {
		snprintf(text, sizeof(text), "%s.%03dZ", day,
			 (int)(unix_ns % NS_PER_S / NS_PER_MS));
		tree_text(tree, in, "started", str_from(text));
	}
}

static void set_run(struct tree *tree, const struct run *run)
{
	json_t *in = tree_object(tree, tree->root, "run");

	tree_text(tree, in, "echod", str_from(run->version));
	tree_text(tree, in, "host", str_from(run->host));
	tree_text(tree, in, "name", str_from(run->name));
	tree_text(tree, in, "id", str_from(run->id));
	set_started(tree, in, run->started_unix_ns);
	tree_ns(tree, in, "started_unix_ns", run->started_unix_ns);
	tree_count(tree, in, "merged", run->merged);
}

static void set_schedule(struct tree *tree, json_t *plan, const struct schedule_spec *spec)
{
	json_t *in, *pieces;

	if (spec->n == 0) {
		tree_set(tree, plan, "schedule", json_null());
		return;
	}
	in = tree_object(tree, plan, "schedule");
	tree_text(tree, in, "arrival", spec->poisson ? STR("poisson") : STR("constant"));
	pieces = tree_array(tree, in, "pieces");
	for (size_t i = 0; i < spec->n; i++) {
		json_t *piece = tree_object(tree, pieces, NULL);

		tree_count(tree, piece, "from_microrate", spec->pieces[i].from);
		tree_count(tree, piece, "to_microrate", spec->pieces[i].to);
		tree_ns(tree, piece, "length_ns", spec->pieces[i].length_ns);
	}
}

/* A whole number of 64 bits that many readers of JSON would round. */
static void set_digits(struct tree *tree, json_t *in, const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	tree_text(tree, in, name, str_from(text));
}

/* As servers write it. */
static void set_id(struct tree *tree, json_t *in, uint64_t id)
{
	char text[32];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	tree_text(tree, in, NULL, str_from(text));
}

static void set_plan(struct tree *tree, const struct run *run)
{
	json_t *in = tree_object(tree, tree->root, "plan");
	json_t *targets;

	tree_text(tree, in, "text", str_from(run->plan));
	targets = tree_array(tree, in, "targets");
	for (size_t i = 0; i < run->n_targets; i++) {
		tree_text(tree, targets, NULL, str_from(run->targets[i]));
	}
	tree_text(tree, in, "method", str_from(run->method));
	set_schedule(tree, in, &run->schedule);
	tree_text(tree, in, "pacing", run->spin ? STR("spin") : STR("timer"));
	tree_bool(tree, in, "gzip", run->gzip);
	tree_bool(tree, in, "verify", run->verify);
	tree_count(tree, in, "concurrency", run->concurrency);
	tree_count(tree, in, "max_in_flight", run->max_in_flight);
	tree_count(tree, in, "connections", run->connections);
	tree_count(tree, in, "count", run->count);
	tree_ns(tree, in, "duration_ns", run->duration_ns);
	tree_ns(tree, in, "warmup_ns", run->warmup_ns);
	tree_ns(tree, in, "grace_ns", run->grace_ns);
	tree_ns(tree, in, "timeout_ns", run->timeout_ns);
	tree_ns(tree, in, "connection_lifetime_ns", run->connection_lifetime_ns);
	tree_count(tree, in, "request_bytes", run->request_bytes);
	set_digits(tree, in, "seed", run->seed);
}

static void set_quantiles(struct tree *tree, json_t *summary, const char *name,
			  const struct latencies *latencies)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {
		{ "p50_ns", .5 },  { "p75_ns", .75 },    { "p90_ns", .9 },       { "p95_ns", .95 },
		{ "p99_ns", .99 }, { "p99.9_ns", .999 }, { "p99.99_ns", .9999 },
	};
	json_t *in;

	if (latencies_count(latencies) == 0) {
		tree_set(tree, summary, name, json_null());
		return;
	}
	in = tree_object(tree, summary, name);
	tree_ns(tree, in, "min_ns", latencies_min(latencies));
	tree_ns(tree, in, "mean_ns", (int64_t)(latencies_mean(latencies) + .5));
	tree_ns(tree, in, "deviation_ns", (int64_t)(latencies_deviation(latencies) + .5));
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		tree_ns(tree, in, quantiles[i].name, latencies_quantile(latencies, quantiles[i].q));
	}
	tree_ns(tree, in, "max_ns", latencies_max(latencies));
}

static void set_summary(struct tree *tree, const struct run *run)
{
	const struct recorder *results = &run->results;
	uint64_t done = recorder_done(results);
	json_t *in = tree_object(tree, tree->root, "summary");

	if (run->schedule.n > 0) {
		tree_real(tree, in, "offered_per_second", run_offered_rate(run));
	} else {
		tree_set(tree, in, "offered_per_second", json_null());
	}
	tree_real(tree, in, "achieved_per_second", run_achieved_rate(run));
	tree_text(tree, in, "limited_by", str_from(run_limit_name(run_limit(run))));
	if (done > 0) {
		tree_real(tree, in, "error_rate", (double)recorder_failed(results) / (double)done);
	} else {
		tree_set(tree, in, "error_rate", json_null());
	}
	tree_bool(tree, in, "coordinated_omission", run_omission_matters(run));
	tree_real(tree, in, "cpu_share", run_cpu_share(run));
#define X(member, name) set_quantiles(tree, in, name, results->member);
	REPORT_LATENCIES(X)
	REPORT_LATER_LATENCIES(X)
#undef X
}

static void set_measured(struct tree *tree, const struct run *run)
{
	json_t *in = tree_object(tree, tree->root, "measured");

	tree_ns(tree, in, "elapsed_ns", run->elapsed_ns);
	tree_ns(tree, in, "offered_ns", run->offered_ns);
	tree_text(tree, in, "ended_by", str_from(run->ended_by));
	tree_count(tree, in, "warmup_calls", run->warmup_calls);
	tree_ns(tree, in, "cpu_user_ns", run->cpu_user_ns);
	tree_ns(tree, in, "cpu_system_ns", run->cpu_system_ns);
	tree_count(tree, in, "bytes_in", run->bytes_in);
	tree_count(tree, in, "bytes_out", run->bytes_out);
}

static void set_calls(struct tree *tree, const struct recorder *results)
{
	json_t *in = tree_object(tree, tree->root, "calls");

	tree_count(tree, in, "due", results->due);
	tree_count(tree, in, "started", results->started);
	tree_count(tree, in, "done", recorder_done(results));
	tree_count(tree, in, "unfinished", results->unfinished);
	tree_count(tree, in, "never_sent", results->never_sent);
	tree_count(tree, in, "deferred", results->deferred);
	tree_count(tree, in, "mismatched", results->mismatched);
	tree_count(tree, in, "answered_while_due", results->answered_while_due);
	tree_count(tree, in, "attempts", results->attempts);
	tree_count(tree, in, "retries", results->retries);
	tree_count(tree, in, "stream_waits", results->stream_waits);
}

static void set_example(struct tree *tree, json_t *in, const char *example)
{
	if (example[0] != '\0') {
		tree_text_at_most(tree, in, "example", str_from(example),
				  RECORDER_EXAMPLE_BYTES - 1);
	}
}

static void set_statuses(struct tree *tree, const struct recorder *results)
{
	const char *not_found = results->examples[RECORDER_NEVER_FOUND];
	json_t *statuses = tree_array(tree, tree->root, "statuses"), *in, *from;

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (results->by_status[status] == 0 && results->examples[status][0] == '\0') {
			continue;
		}
		in = tree_object(tree, statuses, NULL);
		tree_text(tree, in, "status", str_from(grpc_status_name(status)));
		tree_count(tree, in, "code", (uint64_t)status);
		tree_count(tree, in, "calls", results->by_status[status]);
		tree_count(tree, in, "injected", results->injected.by_status[status]);
		from = tree_object(tree, in, "from");
		for (size_t i = 0; i < RECORDER_ORIGINS; i++) {
			tree_count(tree, from, origin_names[i], results->by_origin[i][status]);
		}
		set_example(tree, in, results->examples[status]);
	}
	in = tree_object(tree, tree->root, "never_found");
	tree_count(tree, in, "calls", results->never_found);
	set_example(tree, in, not_found);
}

/* {"UNAVAILABLE":20000,...}, without those that are 0. */
static void set_words(struct tree *tree, json_t *in, const char *name, const uint64_t *by_word)
{
	json_t *words = tree_object(tree, in, name);

	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		if (by_word[word] > 0) {
			tree_count(tree, words, injected_word_name((enum injected_word)word),
				   by_word[word]);
		}
	}
}

static void set_injected(struct tree *tree, const struct recorder *results)
{
	json_t *in = tree_object(tree, tree->root, "injected");

	tree_count(tree, in, "failures", recorder_injected(results));
	tree_count(tree, in, "other_failures", recorder_not_injected(results));
	set_words(tree, in, "faults", results->injected.by_word);
	tree_count(tree, in, "changed", results->injected.changed);
	tree_count(tree, in, "delayed", latencies_count(results->delay));
	tree_count(tree, in, "delay_ns", latencies_sum(results->delay));
}

static void set_timeline(struct tree *tree, const struct recorder *results)
{
	json_t *in = tree_object(tree, tree->root, "timeline");

	tree_ns(tree, in, "first_error_ns", results->first_error_ns);
	tree_ns(tree, in, "last_error_ns", results->last_error_ns);
	tree_ns(tree, in, "last_ok_ns", results->last_ok_ns);
	tree_ns(tree, in, "longest_gap_ns", results->longest_gap_ns);
	tree_ns(tree, in, "longest_gap_from_ns", results->longest_gap_from_ns);
}

static void set_backends(struct tree *tree, const struct recorder *results)
{
	json_t *backends = tree_array(tree, tree->root, "backends"), *in, *connections;

	for (size_t i = 0; i < results->n_backends; i++) {
		const struct recorder_backend *backend = &results->backends[i];

		in = tree_object(tree, backends, NULL);
		tree_text_at_most(tree, in, "instance", str_from(backend->instance),
				  RECORDER_INSTANCE_BYTES - 1);
		tree_count(tree, in, "ok", backend->ok);
		tree_count(tree, in, "failed", backend->failed);
		tree_ns(tree, in, "first_ns", backend->first_ns);
		tree_ns(tree, in, "last_ns", backend->last_ns);
		connections = tree_array(tree, in, "connections");
		for (size_t j = 0; j < backend->n_connections; j++) {
			set_id(tree, connections, backend->connections[j]);
		}
		tree_bool(tree, in, "more_connections", backend->more_connections);
	}
}

static void set_connections(struct tree *tree, const struct recorder_connections *connections)
{
	json_t *in = tree_object(tree, tree->root, "connections"), *goaways;

	tree_count(tree, in, "open_at_start", connections->open_at_start);
	tree_count(tree, in, "opened", connections->opened);
	tree_count(tree, in, "failed", connections->failed);
	tree_count(tree, in, "lost", connections->lost);
	tree_count(tree, in, "renewed", connections->renewed);
	goaways = tree_object(tree, in, "goaways");
	for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
		if (connections->goaways[code] > 0) {
			tree_count(tree, goaways,
				   code < HTTP2_ERROR_COUNT ? http2_error_name(code) : "OTHER",
				   connections->goaways[code]);
		}
	}
}

static void set_assertions(struct tree *tree, const struct run *run)
{
	json_t *assertions = tree_array(tree, tree->root, "assertions");

	for (size_t i = 0; i < run->n_assertions; i++) {
		json_t *in = tree_object(tree, assertions, NULL);

		tree_text(tree, in, "text", str_from(run->assertions[i].text));
		tree_text(tree, in, "measured", str_from(run->assertions[i].measured));
		tree_bool(tree, in, "held", run->assertions[i].held);
	}
}

static void set_servers(struct tree *tree, json_t *in, const struct run_reconciliation *all)
{
	json_t *servers = tree_array(tree, in, "servers"), *by_status;

	for (size_t i = 0; i < all->n; i++) {
		const struct run_reconciled *one = &all->servers[i];
		json_t *server = tree_object(tree, servers, NULL);

		tree_text(tree, server, "url", str_from(one->url));
		tree_text(tree, server, "problem", str_from(one->problem));
		tree_bool(tree, server, "restarted", one->restarted);
		tree_count(tree, server, "received", one->received);
		tree_count(tree, server, "in_flight", one->in_flight);
		by_status = tree_object(tree, server, "by_status");
		for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
			if (one->by_status[status] > 0) {
				tree_count(tree, by_status, grpc_status_name(status),
					   one->by_status[status]);
			}
		}
		if (one->ledger) {
			set_words(tree, server, "faults", one->faults);
		}
	}
}

static void set_differences(struct tree *tree, json_t *in, const struct run_reconciliation *all)
{
	json_t *difference = tree_object(tree, in, "difference");
	json_t *explained = tree_object(tree, in, "explained");

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (all->by_status[status] != 0) {
			tree_ns(tree, difference, grpc_status_name(status), all->by_status[status]);
		}
		if (all->explained[status] > 0) {
			tree_count(tree, explained, grpc_status_name(status),
				   all->explained[status]);
		}
	}
}

static void set_reconciliation(struct tree *tree, const struct run_reconciliation *all)
{
	json_t *in;

	if (all->n == 0) {
		tree_set(tree, tree->root, "reconciliation", json_null());
		return;
	}
	in = tree_object(tree, tree->root, "reconciliation");
	set_servers(tree, in, all);
	tree_bool(tree, in, "complete", all->complete);
	tree_count(tree, in, "sent", all->sent);
	tree_count(tree, in, "received", all->received);
	tree_count(tree, in, "answered", all->answered);
	if (run_reconciled_servers(all) == 0) { /* there is nothing to differ from */
		tree_set(tree, in, "difference", json_null());
	} else {
		set_differences(tree, in, all);
	}
	if (all->ledger) {
		set_words(tree, in, "faults", all->faults);
		set_words(tree, in, "told", all->told);
	}
	tree_bool(tree, in, "by_call", all->by_call);
	tree_count(tree, in, "never_arrived", all->never_arrived);
	tree_count(tree, in, "arrived_twice", all->arrived_twice);
	tree_count(tree, in, "answer_lost", all->answer_lost);
	tree_count(tree, in, "untracked", all->untracked);
	tree_text(tree, in, "examples", str_from(all->examples));
}

static void set_histogram(struct tree *tree, json_t *in, const char *name,
			  const struct latencies *latencies)
{
	json_t *histogram = tree_object(tree, in, name), *buckets, *pair;
	struct latencies_bucket bucket;

	tree_count(tree, histogram, "count", latencies_count(latencies));
	tree_ns(tree, histogram, "min_ns", latencies_min(latencies));
	tree_ns(tree, histogram, "max_ns", latencies_max(latencies));
	tree_count(tree, histogram, "sum_ns", latencies_sum(latencies));
	buckets = tree_array(tree, histogram, "buckets");
	for (uint32_t at = 0; !tree->failed && latencies_next(latencies, at, &bucket);
	     at = bucket.index + 1) {
		pair = tree_array(tree, buckets, NULL);
		tree_count(tree, pair, NULL, bucket.index);
		tree_count(tree, pair, NULL, bucket.n);
	}
}

static void set_histograms(struct tree *tree, const struct recorder *results)
{
	json_t *in = tree_object(tree, tree->root, "histograms");

	tree_count(tree, in, "bits", latencies_bits(results->latency_ok));
#define X(member, name) set_histogram(tree, in, name, results->member);
	REPORT_LATENCIES(X)
	REPORT_LATER_LATENCIES(X)
#undef X
}

static void set_series(struct tree *tree, const struct series *series)
{
	json_t *in = tree_object(tree, tree->root, "series"), *bins, *bin;

	tree_ns(tree, in, "bin_ns", series->bin_ns);
	tree_count(tree, in, "bits", SERIES_BITS);
	bins = tree_array(tree, in, "bins");
	for (size_t i = 0; i < series->n; i++) {
		bin = tree_object(tree, bins, NULL);
		tree_count(tree, bin, "due", series->bins[i].due);
		tree_count(tree, bin, "started", series->bins[i].started);
		tree_count(tree, bin, "ok", series->bins[i].ok);
		tree_count(tree, bin, "failed", series->bins[i].failed);
		if (series->bins[i].latency) {
			set_histogram(tree, bin, "latency", series->bins[i].latency);
		}
	}
}

int report_json(struct buffer *out, const struct run *run)
{
	struct tree tree;
	int err = tree_init(&tree);

	tree_text(&tree, tree.root, "schema", STR(REPORT_SCHEMA));
	set_run(&tree, run);
	set_plan(&tree, run);
	set_summary(&tree, run);
	set_measured(&tree, run);
	set_calls(&tree, &run->results);
	set_statuses(&tree, &run->results);
	set_injected(&tree, &run->results);
	set_timeline(&tree, &run->results);
	set_backends(&tree, &run->results);
	set_connections(&tree, &run->results.connections);
	set_assertions(&tree, run);
	set_reconciliation(&tree, &run->reconciliation);
	set_histograms(&tree, &run->results);
	set_series(&tree, &run->results.series);
	if (err == 0) {
		err = tree_print_lines(&tree, out);
	}
	tree_deinit(&tree);
	return err;
}

/*
 * JSON back into a run. The file may come from anywhere: every member is checked, all
 * sizes are bounded, and what does not add up is refused, so that whoever has the run
 * afterwards need not doubt it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "base/util.h"
#include "client/report.h"
#include "client/report_reader.h"
#include "client/report_schema.h"

/* So long that nothing overflows where they are added up: two years, and a century in all. */
#define MAX_PIECE_NS (INT64_C(1) << 56)
#define MAX_BIN_NS   (SERIES_FIRST_BIN_NS << 24)
/* Of what was measured: neither a sum nor a difference of two overflows. 73 years. */
#define MAX_INSTANT_NS (INT64_C(1) << 61)

static const char *const origin_names[RECORDER_ORIGINS] = { REPORT_ORIGIN_NAMES };

/* Is it ours, and of this version? */
static void check_schema(struct report_reader *reader, const json_t *root)
{
	const char *schema = json_string_value(json_object_get(root, "schema"));

	if (!schema) {
		report_reader_fail(reader, NULL,
				   "is no report of echod: it has no text called \"schema\"");
	} else if (strcmp(schema, REPORT_SCHEMA) == 0) {
		return;
	} else if (strncmp(schema, REPORT_SCHEMA_NAME, strlen(REPORT_SCHEMA_NAME)) == 0) {
		report_reader_fail(reader, NULL,
				   "is of schema %.64s, and this echod reads " REPORT_SCHEMA,
				   schema);
	} else {
		report_reader_fail(reader, NULL, "is no report of echod: its schema is \"%.64s\"",
				   schema);
	}
}

static void read_run(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "run", JSON_OBJECT);
	struct run *run = reader->run;

	report_reader_at(reader, "run");
	run->version = report_reader_text(reader, in, "echod");
	run->host = report_reader_text(reader, in, "host");
	run->name = report_reader_text(reader, in, "name");
	report_reader_copy(reader, in, "id", run->id, sizeof(run->id));
	run->started_unix_ns = report_reader_ns(reader, in, "started_unix_ns", 0);
	run->merged = (size_t)report_reader_integer(reader, in, "merged", 1, REPORT_MAX_COUNT);
}

static void read_schedule(struct report_reader *reader, const json_t *plan)
{
	static const char *const arrivals[] = { "constant", "poisson" };
	struct schedule_spec *spec = &reader->run->schedule;
	const json_t *in = report_reader_optional(reader, plan, "schedule"), *pieces, *piece;
	size_t i;

	if (!in) {
		return;
	}
	spec->poisson = report_reader_word(reader, in, "arrival", arrivals, 2) == 1;
	pieces = report_reader_array(reader, in, "pieces", SCHEDULE_MAX_PIECES);
	json_array_foreach(pieces, i, piece)
	{
		report_reader_at(reader, "plan.schedule.pieces[%zu]", i);
		spec->pieces[i].from = report_reader_count(reader, piece, "from_microrate");
		spec->pieces[i].to = report_reader_count(reader, piece, "to_microrate");
		spec->pieces[i].length_ns =
			report_reader_integer(reader, piece, "length_ns", 0, MAX_PIECE_NS);
		if (spec->pieces[i].length_ns == 0 &&
		    (json_array_size(pieces) > 1 || spec->pieces[i].from != spec->pieces[i].to)) {
			report_reader_fail(reader, "length_ns", "is 0, of more than one rate");
		}
	}
	spec->n = json_array_size(pieces);
	report_reader_at(reader, "plan");
	if (spec->n == 0) {
		report_reader_fail(reader, "schedule", "has no piece");
	}
}

static void read_targets(struct report_reader *reader, const json_t *plan)
{
	const json_t *targets = report_reader_array(reader, plan, "targets", RUN_MAX_TARGETS);
	struct run *run = reader->run;
	const json_t *target;
	size_t i;

	json_array_foreach(targets, i, target)
	{
		run->targets[i] =
			json_is_string(target) ? run_text(run, json_string_value(target)) : NULL;
		if (!run->targets[i]) {
			report_reader_fail(reader, "targets", "has an item that is not a text");
			return;
		}
	}
	run->n_targets = json_array_size(targets);
}

static void read_plan(struct report_reader *reader, const json_t *root)
{
	static const char *const pacings[] = { "timer", "spin" };
	const json_t *in = report_reader_member(reader, root, "plan", JSON_OBJECT);
	struct run *run = reader->run;

	report_reader_at(reader, "plan");
	run->plan = report_reader_text(reader, in, "text");
	read_targets(reader, in);
	run->method = report_reader_text(reader, in, "method");
	read_schedule(reader, in);
	run->spin = report_reader_word(reader, in, "pacing", pacings, 2) == 1;
	run->gzip = report_reader_bool(reader, in, "gzip");
	run->verify = report_reader_bool(reader, in, "verify");
	run->concurrency = report_reader_count(reader, in, "concurrency");
	run->max_in_flight = report_reader_count(reader, in, "max_in_flight");
	run->connections = report_reader_count(reader, in, "connections");
	run->count = report_reader_count(reader, in, "count");
	run->duration_ns = report_reader_ns(reader, in, "duration_ns", 0);
	run->warmup_ns = report_reader_ns(reader, in, "warmup_ns", 0);
	run->grace_ns = report_reader_ns(reader, in, "grace_ns", 0);
	run->timeout_ns = report_reader_ns(reader, in, "timeout_ns", 0);
	run->connection_lifetime_ns = report_reader_ns(reader, in, "connection_lifetime_ns", 0);
	run->request_bytes = report_reader_count(reader, in, "request_bytes");
	run->seed = report_reader_digits(
		reader, report_reader_member(reader, in, "seed", JSON_STRING), "seed", 10);
}

static int64_t read_instant(struct report_reader *reader, const json_t *in, const char *member,
			    int64_t min)
{
	return report_reader_integer(reader, in, member, min, MAX_INSTANT_NS);
}

static void read_measured(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "measured", JSON_OBJECT);
	struct run *run = reader->run;

	report_reader_at(reader, "measured");
	run->elapsed_ns = read_instant(reader, in, "elapsed_ns", 0);
	run->offered_ns = read_instant(reader, in, "offered_ns", 0);
	run->ended_by = report_reader_text(reader, in, "ended_by");
	run->warmup_calls = report_reader_count(reader, in, "warmup_calls");
	run->cpu_user_ns = (int64_t)report_reader_count(reader, in, "cpu_user_ns");
	run->cpu_system_ns = (int64_t)report_reader_count(reader, in, "cpu_system_ns");
	run->bytes_in = report_reader_count(reader, in, "bytes_in");
	run->bytes_out = report_reader_count(reader, in, "bytes_out");
}

static void read_calls(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "calls", JSON_OBJECT);
	struct recorder *results = &reader->run->results;

	report_reader_at(reader, "calls");
	results->due = report_reader_count(reader, in, "due");
	results->started = report_reader_count(reader, in, "started");
	results->unfinished = report_reader_count(reader, in, "unfinished");
	results->never_sent = report_reader_count(reader, in, "never_sent");
	results->deferred = report_reader_count(reader, in, "deferred");
	results->mismatched = report_reader_count(reader, in, "mismatched");
	results->answered_while_due = report_reader_count(reader, in, "answered_while_due");
	results->attempts = report_reader_count(reader, in, "attempts");
	results->retries = report_reader_count(reader, in, "retries");
	results->stream_waits = report_reader_count(reader, in, "stream_waits");
}

static void read_status(struct report_reader *reader, const json_t *in)
{
	struct recorder *results = &reader->run->results;
	const json_t *name = report_reader_member(reader, in, "status", JSON_STRING), *from;
	int status = report_reader_status(json_string_value(name));
	uint64_t sum = 0;

	if (status < 0) {
		report_reader_fail(reader, "status", "is none of gRPC's");
		return;
	}
	if (results->by_status[status] > 0) {
		report_reader_fail(reader, "status", "is there twice");
	}
	results->by_status[status] = report_reader_count(reader, in, "calls");
	if (json_object_get(in, "injected")) { /* the first runs were not told */
		results->injected.by_status[status] = report_reader_count(reader, in, "injected");
	}
	if (results->injected.by_status[status] > results->by_status[status]) {
		report_reader_fail(reader, "injected", "is more than its calls");
	}
	from = report_reader_member(reader, in, "from", JSON_OBJECT);
	for (size_t i = 0; i < RECORDER_ORIGINS; i++) {
		results->by_origin[i][status] = report_reader_count(reader, from, origin_names[i]);
		if (__builtin_add_overflow(sum, results->by_origin[i][status], &sum)) {
			report_reader_fail(reader, "from", "counts more than there can be");
		}
	}
	if (sum != results->by_status[status]) {
		report_reader_fail(reader, "from", "does not add up to its calls");
	}
	report_reader_copy(reader, in, "example", results->examples[status],
			   sizeof(results->examples[status]));
}

static void read_statuses(struct report_reader *reader, const json_t *root)
{
	struct recorder *results = &reader->run->results;
	const json_t *statuses = report_reader_array(reader, root, "statuses", GRPC_STATUS_COUNT);
	const json_t *in;
	size_t i;

	json_array_foreach(statuses, i, in)
	{
		report_reader_at(reader, "statuses[%zu]", i);
		read_status(reader, in);
	}
	report_reader_at(reader, "%s", "");
	in = report_reader_member(reader, root, "never_found", JSON_OBJECT);
	report_reader_at(reader, "never_found");
	results->never_found = report_reader_count(reader, in, "calls");
	report_reader_copy(reader, in, "example", results->examples[RECORDER_NEVER_FOUND],
			   sizeof(results->examples[RECORDER_NEVER_FOUND]));
}

static void read_injected(struct report_reader *reader, const json_t *root)
{
	struct recorder_injected *injected = &reader->run->results.injected;
	uint64_t named = 0, by_status = 0;
	const json_t *in;

	if (!json_object_get(root, "injected")) {
		return;
	}
	in = report_reader_member(reader, root, "injected", JSON_OBJECT);
	report_reader_at(reader, "injected");
	report_reader_words(reader, in, "faults", injected->by_word);
	injected->changed = report_reader_count(reader, in, "changed");
	for (size_t i = 0; i < INJECTED_WORDS; i++) {
		named += injected->by_word[i];
	}
	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		by_status += injected->by_status[i];
	}
	/* Beside these there are replies that were not the echo. */
	if (by_status > named || named - by_status > reader->run->results.mismatched) {
		report_reader_fail(reader, "faults", "do not add up with statuses");
	} else if (injected->changed > named) {
		report_reader_fail(reader, "changed", "is more than there are faults");
	}
}

static void read_timeline(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "timeline", JSON_OBJECT);
	struct recorder *results = &reader->run->results;

	report_reader_at(reader, "timeline");
	results->first_error_ns = read_instant(reader, in, "first_error_ns", -1);
	results->last_error_ns = read_instant(reader, in, "last_error_ns", -1);
	results->last_ok_ns = read_instant(reader, in, "last_ok_ns", -1);
	results->longest_gap_ns = read_instant(reader, in, "longest_gap_ns", -1);
	results->longest_gap_from_ns = read_instant(reader, in, "longest_gap_from_ns", -1);
}

static void read_backend(struct report_reader *reader, const json_t *in,
			 struct recorder_backend *backend)
{
	const json_t *connections, *connection;
	size_t i;

	report_reader_copy(reader, in, "instance", backend->instance, sizeof(backend->instance));
	backend->ok = report_reader_count(reader, in, "ok");
	backend->failed = report_reader_count(reader, in, "failed");
	backend->first_ns = read_instant(reader, in, "first_ns", -MAX_INSTANT_NS);
	backend->last_ns = read_instant(reader, in, "last_ns", -MAX_INSTANT_NS);
	connections =
		report_reader_array(reader, in, "connections", RECORDER_MAX_BACKEND_CONNECTIONS);
	json_array_foreach(connections, i, connection)
	{
		backend->connections[i] =
			report_reader_digits(reader, connection, "connections", 16);
	}
	backend->n_connections = json_array_size(connections);
	backend->more_connections = report_reader_bool(reader, in, "more_connections");
}

static void read_backends(struct report_reader *reader, const json_t *root)
{
	const json_t *backends =
		report_reader_array(reader, root, "backends", RECORDER_MAX_BACKENDS);
	struct recorder *results = &reader->run->results;
	const json_t *in;
	size_t i;

	json_array_foreach(backends, i, in)
	{
		report_reader_at(reader, "backends[%zu]", i);
		results->backends[i] = (struct recorder_backend){ 0 };
		read_backend(reader, in, &results->backends[i]);
		results->n_backends = i + 1;
	}
}

static void read_connections(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "connections", JSON_OBJECT);
	struct recorder_connections *connections = &reader->run->results.connections;
	json_t *goaways, *value;
	const char *name;

	report_reader_at(reader, "connections");
	if (json_object_get(in, "open_at_start")) { /* of the first runs it was not known */
		connections->open_at_start = report_reader_count(reader, in, "open_at_start");
	}
	connections->opened = report_reader_count(reader, in, "opened");
	connections->failed = report_reader_count(reader, in, "failed");
	connections->lost = report_reader_count(reader, in, "lost");
	connections->renewed = report_reader_count(reader, in, "renewed");
	goaways = report_reader_member(reader, in, "goaways", JSON_OBJECT);
	report_reader_at(reader, "connections.goaways");
	json_object_foreach(goaways, name, value)
	{
		uint32_t code = 0;

		while (code < HTTP2_ERROR_COUNT && strcmp(name, http2_error_name(code)) != 0) {
			code++;
		}
		if (code == HTTP2_ERROR_COUNT && strcmp(name, "OTHER") != 0) {
			report_reader_fail(reader, NULL, "has an error that HTTP/2 has not");
		} else {
			connections->goaways[code] = report_reader_count(reader, goaways, name);
		}
	}
}

static void read_histograms(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "histograms", JSON_OBJECT);
	struct recorder *results = &reader->run->results;

	report_reader_at(reader, "histograms");
	if (report_reader_count(reader, in, "bits") != latencies_bits(results->latency_ok)) {
		report_reader_fail(reader, "bits", "is a precision that this echod does not have");
	}
#define X(member, name) report_reader_histogram(reader, in, name, results->member);
	REPORT_LATENCIES(X)
#undef X
#define X(member, name)                                                     \
	if (json_object_get(in, name)) {                                    \
		report_reader_histogram(reader, in, name, results->member); \
	}
	REPORT_LATER_LATENCIES(X)
#undef X
}

static void read_bin(struct report_reader *reader, const json_t *in, struct series_bin *bin)
{
	bin->due = report_reader_count(reader, in, "due");
	bin->started = report_reader_count(reader, in, "started");
	bin->ok = report_reader_count(reader, in, "ok");
	bin->failed = report_reader_count(reader, in, "failed");
	if (reader->failed || !json_object_get(in, "latency")) {
		return;
	}
	bin->latency = latencies_new_coarse(SERIES_BITS);
	if (bin->latency) {
		report_reader_histogram(reader, in, "latency", bin->latency);
	} else {
		report_reader_fail(reader, NULL, "needs more memory than there is");
	}
}

static void read_series(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_member(reader, root, "series", JSON_OBJECT), *bins, *bin;
	struct series *series = &reader->run->results.series;
	size_t i;

	report_reader_at(reader, "series");
	series->bin_ns =
		report_reader_integer(reader, in, "bin_ns", SERIES_FIRST_BIN_NS, MAX_BIN_NS);
	if (report_reader_count(reader, in, "bits") != SERIES_BITS) {
		report_reader_fail(reader, "bits", "is a precision that this echod does not have");
	}
	/* The first length, doubled and doubled. */
	if (series->bin_ns % SERIES_FIRST_BIN_NS != 0 ||
	    __builtin_popcountll((uint64_t)(series->bin_ns / SERIES_FIRST_BIN_NS)) != 1) {
		report_reader_fail(reader, "bin_ns", "is no length that a bin can have");
	}
	bins = report_reader_array(reader, in, "bins", SERIES_MAX_BINS);
	json_array_foreach(bins, i, bin)
	{
		report_reader_at(reader, "series.bins[%zu]", i);
		read_bin(reader, bin, &series->bins[i]);
		series->n = i + 1;
	}
}

/* Everything has one place, and stands in the histogram that it belongs to. */
static void check_sums(struct report_reader *reader)
{
	const struct recorder *results = &reader->run->results;
	uint64_t ok = results->by_status[GRPC_OK];

	report_reader_at(reader, "%s", "");
	if (!recorder_balanced(results)) {
		report_reader_fail(reader, "calls", "do not add up with statuses and never_found");
	} else if (results->answered_while_due > recorder_answered(results)) {
		report_reader_fail(reader, "calls.answered_while_due", "is more than was answered");
	} else if (latencies_count(results->latency_ok) != ok ||
		   latencies_count(results->service_ok) > ok) {
		report_reader_fail(reader, "histograms", "do not count the calls that ended OK");
	} else if (latencies_count(results->latency_failed) != recorder_answered(results) - ok ||
		   latencies_count(results->service_failed) >
			   latencies_count(results->latency_failed)) {
		report_reader_fail(reader, "histograms", "do not count the calls that failed");
	} else if (latencies_count(results->delay) > recorder_answered(results) ||
		   latencies_count(results->undelayed) > latencies_count(results->delay) ||
		   latencies_count(results->undelayed) > latencies_count(results->service_ok)) {
		report_reader_fail(reader, "histograms",
				   "count delays of more calls than there were");
	}
}

static void read_all(struct report_reader *reader, const json_t *root)
{
	static void (*const sections[])(struct report_reader * reader, const json_t *root) = {
		check_schema,
		read_run,
		read_plan,
		read_measured,
		read_calls,
		read_statuses,
		read_injected,
		read_timeline,
		read_backends,
		read_connections,
		report_read_assertions,
		report_read_reconciliation,
		read_histograms,
		read_series,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sections) && !reader->failed; i++) {
		report_reader_at(reader, "%s", ""); /* sections are members of the root */
		sections[i](reader, root);
	}
	if (!reader->failed) {
		check_sums(reader);
	}
}

static int read_root(const json_t *root, const char *name, struct run *ret, char *why, size_t size)
{
	struct report_reader reader = { .name = name, .run = ret, .why = why, .size = size };

	if (run_init(ret) < 0) {
		report_reader_fail(&reader, NULL, "needs more memory than there is");
	} else {
		read_all(&reader, root);
		ret->results.open_loop = ret->schedule.n > 0;
		ret->results.answers = recorder_answered(&ret->results);
	}
	if (reader.failed) {
		run_deinit(ret);
	}
	return reader.failed ? -1 : 0;
}

int report_read_json(struct bytes text, const char *name, struct run *ret, char *why, size_t size)
{
	json_error_t error;
	json_t *root;
	int rv = -1;

	if (text.len > REPORT_MAX_BYTES) {
		snprintf(why, size, "%s: is larger than %zu MiB, and no report is", name,
			 REPORT_MAX_BYTES / MIB);
		return -1;
	}
	root = json_loadb(text.data ? (const char *)text.data : "", text.len,
			  JSON_REJECT_DUPLICATES, &error);
	if (root) {
		rv = read_root(root, name, ret, why, size);
	} else {
		snprintf(why, size, "%s: line %d, column %d: %s", name, error.line, error.column,
			 error.text);
		options_one_line(why);
	}
	json_decref(root);
	return rv;
}

/* One byte more than a report can have, where there is that much. 0, or -1 with errno. */
static int slurp(FILE *file, struct buffer *out)
{
	size_t n = 1;

	while (n > 0 && buffer_len(out) <= REPORT_MAX_BYTES) {
		uint8_t *at = buffer_reserve(out, 64 * KIB);

		if (!at) {
			errno = ENOMEM;
			return -1;
		}
		n = fread(at, 1, 64 * KIB, file);
		buffer_commit(out, n);
	}
	return ferror(file) ? -1 : 0;
}

int report_read_file(const char *path, struct run *ret, char *why, size_t size)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : fopen(path, "re");
	struct buffer text = BUFFER_INIT;
	int rv = -1;

	if (!file || slurp(file, &text) < 0) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		options_one_line(why);
	} else {
		rv = report_read_json(buffer_bytes(&text), standard ? "standard input" : path, ret,
				      why, size);
	}
	if (file && !standard) {
		fclose(file);
	}
	buffer_free(&text);
	return rv;
}

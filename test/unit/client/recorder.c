/* The recorder against a plain list of the same calls. */
#include "client/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"

#define CALLS 5000

/* A run of random calls, in the order of their ends. */
struct history {
	struct recorder_call calls[CALLS];
	char texts[CALLS][3][24]; /* message, instance, connection */
	size_t unfinished[CALLS]; /* 1: this one is given up instead of ended */
	int64_t due_until_ns;
};

struct shape {
	int64_t length_ns;
	unsigned instances; /* 0: none is named */
	unsigned connections;
	bool open_loop;
};

static int64_t below(struct random *random, int64_t bound)
{
	return (int64_t)random_below(random, (uint64_t)bound);
}

static struct str text_of(char *text, size_t size, const char *kind, int64_t number)
{
	snprintf(text, size, "%s%lld", kind, (long long)number);
	return str_from(text);
}

static int by_end(const void *a, const void *b)
{
	const struct recorder_call *x = a, *y = b;

	return (x->ended_ns > y->ended_ns) - (x->ended_ns < y->ended_ns);
}

static void fill(struct history *history, const struct shape *shape, uint64_t seed)
{
	struct random random;

	random_seed(&random, seed);
	memset(history, 0, sizeof(*history));
	history->due_until_ns = shape->length_ns;
	for (size_t i = 0; i < CALLS; i++) {
		struct recorder_call *call = &history->calls[i];

		call->intended_ns = below(&random, shape->length_ns);
		call->deferred = shape->open_loop && below(&random, 10) == 0;
		call->started_ns = call->intended_ns;
		if (shape->open_loop) {
			call->started_ns += below(&random, call->deferred ? NS_PER_S : NS_PER_MS);
		}
		call->sent_ns =
			below(&random, 20) == 0 ? -1 : call->started_ns + below(&random, 90000);
		call->ended_ns =
			MAX(call->started_ns, call->sent_ns) +
			(below(&random, 1 + below(&random, NS_PER_S)) >> below(&random, 20));
		if (below(&random, 3) == 0) { /* errors come in one piece of the run */
			call->status =
				call->ended_ns % shape->length_ns > shape->length_ns / 3
					? GRPC_OK
					: (enum grpc_status)below(&random, GRPC_STATUS_COUNT);
		}
		call->origin = (enum grpc_origin)below(&random, RECORDER_ORIGINS);
		call->end = below(&random, 50) > 0 ? RECORDER_ANSWERED
						   : (enum recorder_end)below(&random, 3);
	}
	qsort(history->calls, CALLS, sizeof(history->calls[0]), by_end);
	for (size_t i = 0; i < CALLS; i++) {
		struct recorder_call *call = &history->calls[i];
		char(*texts)[24] = history->texts[i];

		if (call->status != GRPC_OK && below(&random, 4) > 0) {
			call->message = text_of(texts[0], 24, "no ", below(&random, 99));
		}
		if (shape->instances > 0 && below(&random, 30) > 0) {
			call->instance =
				text_of(texts[1], 24, "host-", below(&random, shape->instances));
			snprintf(texts[2], sizeof(texts[2]), "%016x",
				 (unsigned)below(&random, shape->connections));
			call->connection = str_from(texts[2]);
		}
		history->unfinished[i] = below(&random, 100) == 0;
	}
}

static void record(struct recorder *recorder, const struct history *history, size_t i)
{
	const struct recorder_call *call = &history->calls[i];

	recorder_due(recorder, call->intended_ns, 1);
	recorder_started(recorder, call->started_ns, call->deferred);
	if (history->unfinished[i]) {
		recorder_unfinished(recorder);
	} else {
		recorder_ended(recorder, call);
	}
}

/* --- what a history says, found the slow way ------------------------------------------ */

static bool is_ok(const struct recorder_call *call)
{
	return call->end == RECORDER_ANSWERED && call->status == GRPC_OK;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The histogram holds these values: exactly where it can tell, else within its error. */
static void check_latencies(const struct latencies *latencies, int64_t *values, size_t n)
{
	uint64_t sum = 0;

	assert_int_equal(latencies_count(latencies), n);
	if (n == 0) {
		return;
	}
	qsort(values, n, sizeof(values[0]), compare);
	for (size_t i = 0; i < n; i++) {
		sum += (uint64_t)values[i];
	}
	assert_int_equal(latencies_sum(latencies), sum);
	assert_int_equal(latencies_min(latencies), values[0]);
	assert_int_equal(latencies_max(latencies), values[n - 1]);
	for (size_t rank = 1; rank <= n; rank += 13) {
		int64_t exact = values[rank - 1];
		int64_t shown = latencies_quantile(latencies, (double)rank / (double)n);

		assert_true(shown >= exact && (shown - exact) * 100 <= exact);
	}
}

enum which { LATENCY, SERVICE, LAG };

static void check_histogram(const struct latencies *latencies, const struct history *history,
			    enum which which, bool ok)
{
	static int64_t values[CALLS];
	size_t n = 0;

	for (size_t i = 0; i < CALLS; i++) {
		const struct recorder_call *call = &history->calls[i];
		bool met = call->end != RECORDER_NO_SERVER && is_ok(call) == ok;

		if (history->unfinished[i]) {
			continue;
		}
		if (which == LATENCY && met) {
			values[n++] = call->ended_ns - call->intended_ns;
		} else if (which == SERVICE && met && call->sent_ns >= 0) {
			values[n++] = call->ended_ns - call->sent_ns;
		} else if (which == LAG && !call->deferred) {
			values[n++] = call->started_ns - call->intended_ns;
		}
	}
	check_latencies(latencies, values, n);
}

static void check_counts(const struct recorder *recorder, const struct history *history)
{
	uint64_t by_status[GRPC_STATUS_COUNT] = { 0 }, deferred = 0, unfinished = 0;
	uint64_t ends[3] = { 0 }, by_origin[RECORDER_ORIGINS][GRPC_STATUS_COUNT] = { { 0 } };

	for (size_t i = 0; i < CALLS; i++) {
		const struct recorder_call *call = &history->calls[i];

		deferred += call->deferred;
		unfinished += history->unfinished[i];
		if (!history->unfinished[i]) {
			ends[call->end]++;
			if (call->end == RECORDER_ANSWERED) {
				by_status[call->status]++;
				by_origin[call->origin][call->status]++;
			}
		}
	}
	assert_memory_equal(recorder->by_status, by_status, sizeof(by_status));
	assert_memory_equal(recorder->by_origin, by_origin, sizeof(by_origin));
	assert_int_equal(recorder->due, CALLS);
	assert_int_equal(recorder->started, CALLS);
	assert_int_equal(recorder->deferred, deferred);
	assert_int_equal(recorder->unfinished, unfinished);
	assert_int_equal(recorder->mismatched, ends[RECORDER_MISMATCHED]);
	assert_int_equal(recorder->never_found, ends[RECORDER_NO_SERVER]);
	assert_int_equal(recorder_answered(recorder),
			 ends[RECORDER_ANSWERED] + ends[RECORDER_MISMATCHED]);
	assert_int_equal(recorder_done(recorder), CALLS - unfinished);
	assert_int_equal(recorder_failed(recorder), CALLS - unfinished - by_status[GRPC_OK]);
	assert_true(recorder_balanced(recorder));
}

static void check_times(const struct recorder *recorder, const struct history *history)
{
	int64_t first_error = -1, last_error = -1, last_ok = -1, gap = 0, from = 0;

	for (size_t i = 0; i < CALLS; i++) {
		const struct recorder_call *call = &history->calls[i];

		if (history->unfinished[i]) {
			continue;
		}
		if (!is_ok(call)) {
			first_error = first_error < 0 ? call->ended_ns : first_error;
			last_error = call->ended_ns;
			continue;
		}
		if (call->ended_ns - MAX(last_ok, 0) > gap) {
			gap = call->ended_ns - MAX(last_ok, 0);
			from = MAX(last_ok, 0);
		}
		last_ok = call->ended_ns;
	}
	if (history->due_until_ns - MAX(last_ok, 0) > gap) {
		gap = history->due_until_ns - MAX(last_ok, 0);
		from = MAX(last_ok, 0);
	}
	assert_int_equal(recorder->first_error_ns, first_error);
	assert_int_equal(recorder->last_error_ns, last_error);
	assert_int_equal(recorder->last_ok_ns, last_ok);
	assert_int_equal(recorder->longest_gap_ns, gap);
	assert_int_equal(recorder->longest_gap_from_ns, from);
}

static void check_backend(const struct recorder_backend *backend, const struct history *history)
{
	bool seen[1000] = { false };
	size_t distinct = 0;
	uint64_t ok = 0, failed = 0;
	int64_t first = -1, last = -1;

	for (size_t i = 0; i < CALLS; i++) {
		const struct recorder_call *call = &history->calls[i];
		bool theirs = call->instance.len > 0 || call->origin == GRPC_FROM_PEER;

		if (history->unfinished[i] || call->end == RECORDER_NO_SERVER || !theirs ||
		    !str_equal(call->instance, str_from(backend->instance))) {
			continue;
		}
		ok += is_ok(call);
		failed += !is_ok(call);
		first = first < 0 ? call->ended_ns : first;
		last = call->ended_ns;
		if (call->connection.len > 0 && !seen[strtoul(call->connection.data, NULL, 16)]) {
			seen[strtoul(call->connection.data, NULL, 16)] = true;
			distinct++;
		}
	}
	assert_true(ok + failed > 0);
	assert_int_equal(backend->ok, ok);
	assert_int_equal(backend->failed, failed);
	assert_int_equal(backend->first_ns, first);
	assert_int_equal(backend->last_ns, last);
	assert_int_equal(backend->n_connections,
			 MIN(distinct, (size_t)RECORDER_MAX_BACKEND_CONNECTIONS));
	assert_int_equal(backend->more_connections, distinct > RECORDER_MAX_BACKEND_CONNECTIONS);
	for (size_t i = 0; i < backend->n_connections; i++) {
		assert_true(seen[backend->connections[i]]);
		seen[backend->connections[i]] = false; /* each is there once */
	}
}

static void check_series(const struct series *series, const struct history *history)
{
	assert_true(series->n <= SERIES_MAX_BINS);
	for (size_t b = 0; b < series->n; b++) {
		const struct series_bin *bin = &series->bins[b];
		uint64_t due = 0, started = 0, ok = 0, failed = 0, measured = 0;
		int64_t longest = 0;

		for (size_t i = 0; i < CALLS; i++) {
			const struct recorder_call *call = &history->calls[i];

			due += (size_t)(call->intended_ns / series->bin_ns) == b;
			started += (size_t)(call->started_ns / series->bin_ns) == b;
			if (history->unfinished[i] ||
			    (size_t)(call->ended_ns / series->bin_ns) != b) {
				continue;
			}
			ok += is_ok(call);
			failed += !is_ok(call);
			if (call->end != RECORDER_NO_SERVER) {
				measured++;
				longest = MAX(longest, call->ended_ns - call->intended_ns);
			}
		}
		assert_int_equal(bin->due, due);
		assert_int_equal(bin->started, started);
		assert_int_equal(bin->ok, ok);
		assert_int_equal(bin->failed, failed);
		assert_int_equal(bin->latency ? latencies_count(bin->latency) : 0, measured);
		assert_int_equal(bin->latency ? latencies_max(bin->latency) : 0, longest);
	}
}

static void check_examples(const struct recorder *recorder, const struct history *history)
{
	const char *first[GRPC_STATUS_COUNT + 1] = { NULL };

	for (size_t i = 0; i < CALLS; i++) {
		const struct recorder_call *call = &history->calls[i];
		size_t index = call->end == RECORDER_NO_SERVER ? RECORDER_NEVER_FOUND
							       : (size_t)call->status;

		if (history->unfinished[i] || is_ok(call) || call->end == RECORDER_MISMATCHED) {
			continue;
		}
		if (!first[index] && call->message.len > 0) {
			first[index] = call->message.data;
		}
	}
	for (size_t i = 0; i <= GRPC_STATUS_COUNT; i++) {
		assert_string_equal(recorder->examples[i], first[i] ? first[i] : "");
	}
}

static const struct shape shapes[] = {
	{ 20 * NS_PER_S, 0, 1, false },   { 20 * NS_PER_S, 1, 1, true },
	{ 90 * NS_PER_S, 2, 30, true },   { 700 * NS_PER_S, 5, 64, false },
	{ 3000 * NS_PER_S, 5, 65, true }, { 50000 * NS_PER_S, 120, 900, true },
	{ 5 * NS_PER_MS, 3, 1000, true },
};

static void test_it_agrees_with_a_list_of_all_calls(void **state)
{
	static struct history history;

	(void)state;
	for (uint64_t seed = 0; seed < 3 * ARRAY_SIZE(shapes); seed++) {
		const struct shape *shape = &shapes[seed % ARRAY_SIZE(shapes)];
		struct recorder recorder;

		fill(&history, shape, seed);
		assert_int_equal(recorder_init(&recorder), 0);
		recorder.open_loop = shape->open_loop;
		for (size_t i = 0; i < CALLS; i++) {
			record(&recorder, &history, i);
		}
		recorder_finish(&recorder, history.due_until_ns);
		check_counts(&recorder, &history);
		check_times(&recorder, &history);
		check_series(&recorder.series, &history);
		check_examples(&recorder, &history);
		check_histogram(recorder.latency_ok, &history, LATENCY, true);
		check_histogram(recorder.latency_failed, &history, LATENCY, false);
		check_histogram(recorder.service_ok, &history, SERVICE, true);
		check_histogram(recorder.service_failed, &history, SERVICE, false);
		if (shape->open_loop) {
			check_histogram(recorder.lag, &history, LAG, true);
		} else {
			assert_int_equal(latencies_count(recorder.lag), 0);
		}
		assert_int_equal(recorder.n_backends, shape->instances + 1); /* "" is one */
		for (size_t i = 0; i < recorder.n_backends; i++) {
			check_backend(&recorder.backends[i], &history);
		}
		recorder_deinit(&recorder);
	}
}

static void same_latencies(const struct latencies *a, const struct latencies *b)
{
	struct latencies_bucket x, y;
	uint32_t at = 0;

	while (latencies_next(a, at, &x)) {
		assert_true(latencies_next(b, at, &y));
		assert_int_equal(x.index, y.index);
		assert_int_equal(x.n, y.n);
		at = x.index + 1;
	}
	assert_false(latencies_next(b, at, &y));
	assert_int_equal(latencies_count(a), latencies_count(b));
	assert_int_equal(latencies_sum(a), latencies_sum(b));
	assert_int_equal(latencies_min(a), latencies_min(b));
	assert_int_equal(latencies_max(a), latencies_max(b));
}

static void test_merged_parts_are_the_whole(void **state)
{
	static struct history history;

	(void)state;
	for (uint64_t seed = 0; seed < ARRAY_SIZE(shapes); seed++) {
		struct recorder whole, parts[3];
		struct random random;

		random_seed(&random, seed);
		fill(&history, &shapes[seed], 100 + seed);
		assert_int_equal(recorder_init(&whole), 0);
		whole.open_loop = shapes[seed].open_loop;
		for (int part = 0; part < 3; part++) {
			assert_int_equal(recorder_init(&parts[part]), 0);
			parts[part].open_loop = whole.open_loop;
		}
		for (size_t i = 0; i < CALLS; i++) {
			record(&whole, &history, i);
			record(&parts[random_below(&random, 3)], &history, i);
		}
		whole.connections.opened = 60;
		whole.connections.goaways[HTTP2_ERROR_COUNT] = 6;
		for (int part = 0; part < 3; part++) {
			parts[part].connections.opened = 10U * (unsigned)(part + 1);
			parts[part].connections.goaways[HTTP2_ERROR_COUNT] = (uint64_t)part + 1;
		}
		assert_int_equal(recorder_merge(&parts[1], &parts[2]), 0);
		assert_int_equal(recorder_merge(&parts[0], &parts[1]), 0);

		check_counts(&parts[0], &history);
		check_series(&parts[0].series, &history);
		assert_int_equal(parts[0].series.bin_ns, whole.series.bin_ns);
		assert_int_equal(parts[0].series.n, whole.series.n);
		for (size_t i = 0; i < whole.series.n; i++) {
			if (whole.series.bins[i].latency) {
				same_latencies(parts[0].series.bins[i].latency,
					       whole.series.bins[i].latency);
			}
		}
		same_latencies(parts[0].latency_ok, whole.latency_ok);
		same_latencies(parts[0].latency_failed, whole.latency_failed);
		same_latencies(parts[0].service_ok, whole.service_ok);
		same_latencies(parts[0].service_failed, whole.service_failed);
		same_latencies(parts[0].lag, whole.lag);
		assert_int_equal(parts[0].first_error_ns, whole.first_error_ns);
		assert_int_equal(parts[0].last_error_ns, whole.last_error_ns);
		assert_int_equal(parts[0].last_ok_ns, whole.last_ok_ns);
		assert_int_equal(parts[0].n_backends, whole.n_backends);
		for (size_t i = 0; i < parts[0].n_backends; i++) {
			check_backend(&parts[0].backends[i], &history);
		}
		assert_int_equal(parts[0].connections.opened, 60);
		assert_int_equal(parts[0].connections.goaways[HTTP2_ERROR_COUNT], 6);
		recorder_deinit(&whole);
		for (int part = 0; part < 3; part++) {
			recorder_deinit(&parts[part]);
		}
	}
}

/* --- one thing at a time -------------------------------------------------------------- */

static int set_up(void **state)
{
	static struct recorder recorder;

	*state = &recorder;
	return recorder_init(&recorder);
}

static int tear_down(void **state)
{
	recorder_deinit(*state);
	return 0;
}

static struct recorder_call answer(int64_t ended_ns, enum grpc_status status, struct str instance)
{
	return (struct recorder_call){ .ended_ns = ended_ns,
				       .status = status,
				       .origin = GRPC_FROM_PEER,
				       .instance = instance };
}

static void end(struct recorder *recorder, int64_t ended_ns, enum grpc_status status)
{
	struct recorder_call call = answer(ended_ns, status, STR(""));

	recorder_ended(recorder, &call);
}

static void test_a_new_one_is_empty(void **state)
{
	const struct recorder *recorder = *state;

	assert_true(recorder_balanced(recorder));
	assert_int_equal(recorder_done(recorder), 0);
	assert_int_equal(recorder->first_error_ns, -1);
	assert_int_equal(recorder->last_error_ns, -1);
	assert_int_equal(recorder->last_ok_ns, -1);
	assert_int_equal(recorder->n_backends, 0);
}

static void test_an_outage_is_seen_at_the_beginning(void **state)
{
	struct recorder *recorder = *state;

	end(recorder, 10, GRPC_UNAVAILABLE);
	end(recorder, 700, GRPC_OK);
	end(recorder, 900, GRPC_OK);
	recorder_finish(recorder, 1000);
	assert_int_equal(recorder->longest_gap_from_ns, 0);
	assert_int_equal(recorder->longest_gap_ns, 700);
}

static void test_an_outage_is_seen_in_the_middle(void **state)
{
	struct recorder *recorder = *state;

	end(recorder, 100, GRPC_OK);
	end(recorder, 300, GRPC_UNAVAILABLE);
	end(recorder, 400, GRPC_OK);
	end(recorder, 390, GRPC_OK); /* another connection, told a little later */
	end(recorder, 500, GRPC_OK);
	end(recorder, 490, GRPC_OK);
	assert_int_equal(recorder->last_ok_ns, 500);
	recorder_finish(recorder, 600);
	assert_int_equal(recorder->longest_gap_from_ns, 100);
	assert_int_equal(recorder->longest_gap_ns, 300);
	assert_int_equal(recorder->first_error_ns, 300);
	assert_int_equal(recorder->last_error_ns, 300);
}

static void test_an_outage_is_seen_at_the_end(void **state)
{
	struct recorder *recorder = *state;

	end(recorder, 100, GRPC_OK);
	end(recorder, 5000, GRPC_DEADLINE_EXCEEDED); /* the run waited for it, nothing was due */
	recorder_finish(recorder, 1000);
	assert_int_equal(recorder->longest_gap_from_ns, 100);
	assert_int_equal(recorder->longest_gap_ns, 900);
}

static void test_a_run_without_an_ok_is_one_outage(void **state)
{
	struct recorder *recorder = *state;

	end(recorder, 100, GRPC_INTERNAL);
	recorder_finish(recorder, 1000);
	assert_int_equal(recorder->longest_gap_from_ns, 0);
	assert_int_equal(recorder->longest_gap_ns, 1000);
	assert_int_equal(recorder->last_ok_ns, -1);
}

static void test_answers_while_calls_are_due_are_known(void **state)
{
	struct recorder *recorder = *state;

	recorder_started(recorder, 0, false);
	end(recorder, 100, GRPC_OK);
	recorder_started(recorder, 200, false);
	end(recorder, 300, GRPC_OK);
	recorder_started(recorder, 300, true); /* it was due long before */
	end(recorder, 400, GRPC_OK);
	assert_int_equal(recorder->answered_while_due, 1);
}

static void test_more_backends_than_places_share_the_last_one(void **state)
{
	struct recorder *recorder = *state;
	struct recorder from;
	char name[32];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			struct recorder_call call =
				answer(i, GRPC_OK, text_of(name, sizeof(name), "pod-", i));

			call.connection = STR("7");
			recorder_ended(recorder, &call);
		}
	}
	assert_int_equal(recorder->n_backends, RECORDER_MAX_BACKENDS);
	for (int i = 0; i < RECORDER_MAX_BACKENDS - 1; i++) {
		assert_string_equal(recorder->backends[i].instance,
				    text_of(name, sizeof(name), "pod-", i).data);
		assert_int_equal(recorder->backends[i].ok, 2);
		assert_int_equal(recorder->backends[i].n_connections, 1);
	}
	assert_string_equal(recorder->backends[RECORDER_MAX_BACKENDS - 1].instance, "others");
	assert_int_equal(recorder->backends[RECORDER_MAX_BACKENDS - 1].ok,
			 2 * (300 - RECORDER_MAX_BACKENDS + 1));
	/* And so they do where runs are merged. */
	assert_int_equal(recorder_init(&from), 0);
	for (int i = 1000; i < 1003; i++) {
		struct recorder_call call =
			answer(i, GRPC_OK, text_of(name, sizeof(name), "pod-", i));

		recorder_ended(&from, &call);
	}
	assert_int_equal(recorder_merge(recorder, &from), 0);
	assert_int_equal(recorder->n_backends, RECORDER_MAX_BACKENDS);
	assert_int_equal(recorder->backends[RECORDER_MAX_BACKENDS - 1].ok,
			 2 * (300 - RECORDER_MAX_BACKENDS + 1) + 3);
	recorder_deinit(&from);
}

static void test_names_that_are_no_text_are_kept_as_text(void **state)
{
	static const struct {
		const char *name, *kept;
		size_t len;
	} cases[] = {
		{ "a\x1b[31m", "a [31m", 6 },    { "a\xff\xfe\x62", "a??b", 4 },
		{ "\xc2\x9b\x31", "  1", 3 },    { "nul\0nul", "nul nul", 7 },
		{ "f\xc3\xa9", "f\xc3\xa9", 3 }, { "f\xc3", "f?", 2 },
	};
	struct recorder *recorder = *state;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			struct recorder_call call =
				answer(0, GRPC_OK, (struct str){ cases[i].name, cases[i].len });

			recorder_ended(recorder, &call);
		}
	}
	assert_int_equal(recorder->n_backends, ARRAY_SIZE(cases));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(recorder->backends[i].instance, cases[i].kept);
		assert_int_equal(recorder->backends[i].ok, 2);
	}
}

static void test_a_long_name_is_cut_and_stays_one_backend(void **state)
{
	struct recorder *recorder = *state;
	char name[200];

	memset(name, 'x', sizeof(name));
	for (int i = 0; i < 10; i++) {
		struct recorder_call call =
			answer(0, GRPC_OK, (struct str){ name, sizeof(name) - (size_t)i });

		recorder_ended(recorder, &call);
	}
	assert_int_equal(recorder->n_backends, 1);
	assert_int_equal(strlen(recorder->backends[0].instance), RECORDER_INSTANCE_BYTES - 1);
	assert_int_equal(recorder->backends[0].ok, 10);
}

static void test_what_is_no_connection_id_is_none(void **state)
{
	static const char *const ids[] = { "", "x", "-1", "1x", "99999999999999999", " 1" };
	struct recorder *recorder = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct recorder_call call = answer(0, GRPC_OK, STR("pod"));

		call.connection = str_from(ids[i]);
		recorder_ended(recorder, &call);
	}
	assert_int_equal(recorder->backends[0].ok, ARRAY_SIZE(ids));
	assert_int_equal(recorder->backends[0].n_connections, 0);
}

static void test_the_greatest_connection_id_is_one(void **state)
{
	static const char *const ids[] = { "ffffffffffffffff", "ffffffffffffffff", "0", "0" };
	struct recorder *recorder = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct recorder_call call = answer(0, GRPC_OK, STR("pod"));

		call.connection = str_from(ids[i]);
		recorder_ended(recorder, &call);
	}
	assert_int_equal(recorder->backends[0].n_connections, 2);
	assert_int_equal(recorder->backends[0].connections[0], UINT64_MAX);
}

static void test_an_end_of_our_own_is_no_backends(void **state)
{
	struct recorder *recorder = *state;
	struct recorder_call call = answer(0, GRPC_DEADLINE_EXCEEDED, STR(""));

	call.origin = GRPC_FROM_HERE;
	recorder_ended(recorder, &call);
	call.origin = GRPC_FROM_TRANSPORT;
	recorder_ended(recorder, &call);
	assert_int_equal(recorder->n_backends, 0);
	call.instance = STR("pod"); /* it had begun to answer */
	recorder_ended(recorder, &call);
	assert_int_equal(recorder->n_backends, 1);
	assert_int_equal(recorder->backends[0].failed, 1);
}

static void test_examples_are_one_line_that_fits(void **state)
{
	struct recorder *recorder = *state;
	struct recorder_call call = answer(0, GRPC_INTERNAL, STR(""));
	char text[RECORDER_EXAMPLE_BYTES + 40];

	/* Two-byte characters behind one odd byte: the cut would fall in the middle of one. */
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i + 1 < sizeof(text); i += 2) {
		memcpy(text + i, "\xc3\xa9", 2);
	}
	recorder_ended(recorder, &call);
	call.message = (struct str){ text, sizeof(text) };
	recorder_ended(recorder, &call);
	call.message = STR("later");
	recorder_ended(recorder, &call);
	assert_int_equal(strlen(recorder->examples[GRPC_INTERNAL]), RECORDER_EXAMPLE_BYTES - 2);
	assert_memory_equal(recorder->examples[GRPC_INTERNAL], text, RECORDER_EXAMPLE_BYTES - 2);
	call.status = GRPC_UNKNOWN;
	call.message = STR("a\nb\x1b[31m");
	recorder_ended(recorder, &call);
	assert_string_equal(recorder->examples[GRPC_UNKNOWN], "a b [31m");
}

static void test_it_tells_where_a_call_is_missing(void **state)
{
	struct recorder *recorder = *state;

	recorder_due(recorder, 0, 1);
	assert_false(recorder_balanced(recorder));
	recorder_started(recorder, 0, false);
	assert_false(recorder_balanced(recorder));
	recorder_unfinished(recorder);
	assert_true(recorder_balanced(recorder));
	recorder_due(recorder, 0, 5);
	recorder_never_sent(recorder, 5);
	assert_true(recorder_balanced(recorder));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_agrees_with_a_list_of_all_calls),
		cmocka_unit_test(test_merged_parts_are_the_whole),
		TEST(a_new_one_is_empty),
		TEST(an_outage_is_seen_at_the_beginning),
		TEST(an_outage_is_seen_in_the_middle),
		TEST(an_outage_is_seen_at_the_end),
		TEST(a_run_without_an_ok_is_one_outage),
		TEST(answers_while_calls_are_due_are_known),
		TEST(more_backends_than_places_share_the_last_one),
		TEST(names_that_are_no_text_are_kept_as_text),
		TEST(a_long_name_is_cut_and_stays_one_backend),
		TEST(what_is_no_connection_id_is_none),
		TEST(the_greatest_connection_id_is_one),
		TEST(an_end_of_our_own_is_no_backends),
		TEST(examples_are_one_line_that_fits),
		TEST(it_tells_where_a_call_is_missing),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}

#include "client/recorder.h"

#include <errno.h>
#include <stdlib.h>

#include "base/utf8.h"

#define OTHERS (RECORDER_MAX_BACKENDS - 1)

int recorder_init(struct recorder *recorder)
{
	int err;

	*recorder = (struct recorder){
		.latency_ok = latencies_new(),
		.latency_failed = latencies_new(),
		.service_ok = latencies_new(),
		.service_failed = latencies_new(),
		.lag = latencies_new(),
		.delay = latencies_new(),
		.undelayed = latencies_new(),
		.first_error_ns = -1,
		.last_error_ns = -1,
		.last_ok_ns = -1,
		.backends = calloc(RECORDER_MAX_BACKENDS, sizeof(recorder->backends[0])),
	};
	err = series_init(&recorder->series);
	return recorder->latency_ok && recorder->latency_failed && recorder->service_ok &&
			       recorder->service_failed && recorder->lag && recorder->delay &&
			       recorder->undelayed && recorder->backends
		       ? err
		       : -ENOMEM;
}

void recorder_deinit(struct recorder *recorder)
{
	latencies_free(recorder->latency_ok);
	latencies_free(recorder->latency_failed);
	latencies_free(recorder->service_ok);
	latencies_free(recorder->service_failed);
	latencies_free(recorder->lag);
	latencies_free(recorder->delay);
	latencies_free(recorder->undelayed);
	free(recorder->backends);
	series_deinit(&recorder->series);
	*recorder = (struct recorder){ 0 };
}

/*
 * What fits of a text, as one line of UTF-8 whatever a server says: no terminal obeys
 * it, and every format can hold it.
 */
static void clean_copy(char *to, size_t size, struct str from)
{
	size_t n = MIN(from.len, size - 1);
	size_t valid = utf8_valid_prefix((struct str){ from.data, n });

	if (n < from.len && n - valid < 4) { /* not in the middle of a character */
		n = valid;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from.data[i];

		to[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
	}
	to[n] = '\0';
	while (valid < n) {
		to[valid++] = '?';
		valid += utf8_valid_prefix((struct str){ to + valid, n - valid });
	}
	for (size_t i = 1; i < n; i++) { /* U+0080 to U+009F are controls as well */
		if ((unsigned char)to[i - 1] == 0xc2 && (unsigned char)to[i] < 0xa0) {
			to[i - 1] = to[i] = ' ';
		}
	}
}

static void keep_example(struct recorder *recorder, size_t index, struct str message)
{
	char *example = recorder->examples[index];

	if (example[0] == '\0' && message.len > 0) {
		clean_copy(example, RECORDER_EXAMPLE_BYTES, message);
	}
}

/* --- who answered ------------------------------------------------------------- */

/* By the end of the name, where those of one family differ. */
static size_t place_of(struct str name)
{
	uint64_t end = 0;

	if (name.len >= sizeof(end)) {
		memcpy(&end, name.data + name.len - sizeof(end), sizeof(end));
	} else {
		memcpy(&end, name.data, name.len);
	}
	/* Of the product the high bits depend on all of the low ones. */
	return (size_t)((end ^ name.len) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

_Static_assert(RECORDER_KNOWN == 256, "places are 8 bits");

static bool named(const struct recorder_backend *backend, struct str name)
{
	return name.len < RECORDER_INSTANCE_BYTES &&
	       memcmp(backend->instance, name.data, name.len) == 0 &&
	       backend->instance[name.len] == '\0';
}

/* The index of the backend of this name, which it gets if it is new and there is a place. */
static size_t find_backend(struct recorder *recorder, struct str name)
{
	char instance[RECORDER_INSTANCE_BYTES];
	size_t i = 0;

	clean_copy(instance, sizeof(instance), name);
	while (i < recorder->n_backends && strcmp(recorder->backends[i].instance, instance) != 0) {
		i++;
	}
	if (i == recorder->n_backends) {
		i = MIN(i, (size_t)OTHERS);
		if (i < recorder->n_backends) {
			return i;
		}
		recorder->n_backends++;
		recorder->backends[i] = (struct recorder_backend){ .first_ns = -1, .last_ns = -1 };
		memcpy(recorder->backends[i].instance, i == OTHERS ? "others" : instance,
		       i == OTHERS ? sizeof("others") : sizeof(instance));
	}
	return i;
}

static void add_connection(struct recorder_backend *backend, uint64_t id)
{
	for (size_t i = 0; i < backend->n_connections; i++) {
		if (backend->connections[i] == id) {
			return;
		}
	}
	if (backend->n_connections == RECORDER_MAX_BACKEND_CONNECTIONS) {
		backend->more_connections = true;
		return;
	}
	backend->connections[backend->n_connections++] = id;
}

/* A number in hex, as echod writes it. False: none. */
static bool read_id(struct str text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (text.len == 0 || text.len > 16) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c >= '0' && c <= '9') {
			id = id << 4 | (uint64_t)(c - '0');
		} else if (c >= 'a' && c <= 'f') {
			id = id << 4 | (uint64_t)(c - 'a' + 10);
		} else {
			return false;
		}
	}
	*ret_id = id;
	return true;
}

static void count_backend(struct recorder *recorder, const struct recorder_call *call, bool ok)
{
	struct str name = call->instance.len > 0 ? call->instance : STR("");
	uint8_t *guess = &recorder->known_backends[place_of(name)];
	struct recorder_backend *backend;
	uint64_t id, *known;

	if (*guess >= recorder->n_backends || !named(&recorder->backends[*guess], name)) {
		*guess = (uint8_t)find_backend(recorder, name);
	}
	backend = &recorder->backends[*guess];
	backend->ok += ok;
	backend->failed += !ok;
	if (backend->first_ns < 0) {
		backend->first_ns = call->ended_ns;
	}
	backend->last_ns = MAX(backend->last_ns, call->ended_ns);
	if (backend->more_connections || !read_id(call->connection, &id)) {
		return;
	}
	/* The same id of another backend, of which there are fewer than places, has another. */
	known = &recorder->known_connections[(id + *guess) % RECORDER_KNOWN];
	if (*known != id + 1 || id == UINT64_MAX) { /* whose successor is "none" */
		*known = id + 1;
		add_connection(backend, id);
	}
}

/* --- calls that end --------------------------------------------------------------- */

static void count_ok(struct recorder *recorder, int64_t ended_ns)
{
	int64_t before = MAX(recorder->last_ok_ns, 0);

	if (ended_ns - before > recorder->longest_gap_ns) {
		recorder->longest_gap_ns = ended_ns - before;
		recorder->longest_gap_from_ns = before;
	}
	recorder->last_ok_ns = MAX(recorder->last_ok_ns, ended_ns);
}

static void count_error(struct recorder *recorder, int64_t ended_ns)
{
	if (recorder->first_error_ns < 0 || ended_ns < recorder->first_error_ns) {
		recorder->first_error_ns = ended_ns;
	}
	recorder->last_error_ns = MAX(recorder->last_error_ns, ended_ns);
}

/* One that met a server, or what stands for one. */
static void count_answer(struct recorder *recorder, const struct recorder_call *call, bool ok)
{
	recorder->answers++;
	latencies_record(ok ? recorder->latency_ok : recorder->latency_failed,
			 call->ended_ns - call->intended_ns);
	if (call->sent_ns >= 0) {
		latencies_record(ok ? recorder->service_ok : recorder->service_failed,
				 call->ended_ns - call->sent_ns);
	}
	if (call->origin == GRPC_FROM_PEER || call->instance.len > 0) {
		count_backend(recorder, call, ok);
	}
}

static void count_injected(struct recorder *recorder, const struct recorder_call *call, bool ok)
{
	const struct injected *injected = &call->injected;

	if (injected->word != INJECTED_NOTHING) {
		recorder->injected.by_word[injected->word]++;
		recorder->injected.by_status[call->status] += call->end == RECORDER_ANSWERED;
		recorder->injected.changed += injected_changed(injected->word, call->status);
	}
	if (injected->delay_ns > 0) {
		latencies_record(recorder->delay, injected->delay_ns);
		if (ok && call->sent_ns >= 0) {
			latencies_record(recorder->undelayed,
					 call->ended_ns - call->sent_ns - injected->delay_ns);
		}
	}
}

void recorder_ended(struct recorder *recorder, const struct recorder_call *call)
{
	bool ok = call->end == RECORDER_ANSWERED && call->status == GRPC_OK;
	int64_t latency_ns = -1;

	if (recorder->open_loop && !call->deferred) {
		latencies_record(recorder->lag, call->started_ns - call->intended_ns);
	}
	switch (call->end) {
	case RECORDER_ANSWERED:
		recorder->by_status[call->status]++;
		recorder->by_origin[call->origin][call->status]++;
		if (!ok) {
			keep_example(recorder, call->status, call->message);
		}
		break;
	case RECORDER_MISMATCHED:
		recorder->mismatched++;
		break;
	case RECORDER_NO_SERVER:
		recorder->never_found++;
		keep_example(recorder, RECORDER_NEVER_FOUND, call->message);
		break;
	}
	if (call->end != RECORDER_NO_SERVER) {
		count_answer(recorder, call, ok);
		count_injected(recorder, call, ok);
		latency_ns = MAX(call->ended_ns - call->intended_ns, 0);
	}
	if (ok) {
		count_ok(recorder, call->ended_ns);
	} else {
		count_error(recorder, call->ended_ns);
	}
	series_ended(&recorder->series, call->ended_ns, ok, latency_ns);
}

void recorder_finish(struct recorder *recorder, int64_t due_until_ns)
{
	int64_t before = MAX(recorder->last_ok_ns, 0);

	if (due_until_ns - before > recorder->longest_gap_ns) {
		recorder->longest_gap_ns = due_until_ns - before;
		recorder->longest_gap_from_ns = before;
	}
}

/* --- several in one ----------------------------------------------------------------- */

static void merge_counts(struct recorder *into, const struct recorder *from)
{
	into->open_loop = into->open_loop || from->open_loop;
	into->due += from->due;
	into->started += from->started;
	into->deferred += from->deferred;
	into->never_sent += from->never_sent;
	into->unfinished += from->unfinished;
	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		into->by_status[i] += from->by_status[i];
		for (size_t origin = 0; origin < RECORDER_ORIGINS; origin++) {
			into->by_origin[origin][i] += from->by_origin[origin][i];
		}
	}
	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		into->injected.by_status[i] += from->injected.by_status[i];
	}
	for (size_t i = 0; i < INJECTED_WORDS; i++) {
		into->injected.by_word[i] += from->injected.by_word[i];
	}
	into->injected.changed += from->injected.changed;
	into->mismatched += from->mismatched;
	into->never_found += from->never_found;
	into->answered_while_due += from->answered_while_due;
	into->answers += from->answers;
	into->attempts += from->attempts;
	into->retries += from->retries;
	into->stream_waits += from->stream_waits;
	into->connections.open_at_start += from->connections.open_at_start;
	into->connections.opened += from->connections.opened;
	into->connections.failed += from->connections.failed;
	into->connections.lost += from->connections.lost;
	into->connections.renewed += from->connections.renewed;
	for (size_t i = 0; i <= HTTP2_ERROR_COUNT; i++) {
		into->connections.goaways[i] += from->connections.goaways[i];
	}
}

static void merge_times(struct recorder *into, const struct recorder *from)
{
	if (from->first_error_ns >= 0) {
		count_error(into, from->first_error_ns);
		count_error(into, from->last_error_ns);
	}
	into->last_ok_ns = MAX(into->last_ok_ns, from->last_ok_ns);
	if (from->longest_gap_ns > into->longest_gap_ns) {
		into->longest_gap_ns = from->longest_gap_ns;
		into->longest_gap_from_ns = from->longest_gap_from_ns;
	}
}

static void merge_backend(struct recorder *recorder, const struct recorder_backend *from)
{
	struct recorder_backend *into =
		&recorder->backends[find_backend(recorder, str_from(from->instance))];

	into->ok += from->ok;
	into->failed += from->failed;
	if (into->first_ns < 0 || (from->first_ns >= 0 && from->first_ns < into->first_ns)) {
		into->first_ns = from->first_ns;
	}
	into->last_ns = MAX(into->last_ns, from->last_ns);
	for (size_t i = 0; i < from->n_connections; i++) {
		add_connection(into, from->connections[i]);
	}
	into->more_connections = into->more_connections || from->more_connections;
}

int recorder_merge(struct recorder *into, const struct recorder *from)
{
	merge_counts(into, from);
	merge_times(into, from);
	latencies_merge(into->latency_ok, from->latency_ok);
	latencies_merge(into->latency_failed, from->latency_failed);
	latencies_merge(into->service_ok, from->service_ok);
	latencies_merge(into->service_failed, from->service_failed);
	latencies_merge(into->lag, from->lag);
	latencies_merge(into->delay, from->delay);
	latencies_merge(into->undelayed, from->undelayed);
	for (size_t i = 0; i < from->n_backends; i++) {
		merge_backend(into, &from->backends[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(into->examples); i++) {
		keep_example(into, i, str_from(from->examples[i]));
	}
	return series_merge(&into->series, &from->series);
}

uint64_t recorder_answered(const struct recorder *recorder)
{
	uint64_t n = recorder->mismatched;

	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		n += recorder->by_status[i];
	}
	return n;
}

uint64_t recorder_done(const struct recorder *recorder)
{
	return recorder_answered(recorder) + recorder->never_found;
}

uint64_t recorder_failed(const struct recorder *recorder)
{
	return recorder_done(recorder) - recorder->by_status[GRPC_OK];
}

uint64_t recorder_injected(const struct recorder *recorder)
{
	uint64_t n = 0;

	for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
		n += i == GRPC_OK ? 0 : recorder->injected.by_status[i];
	}
	return n;
}

uint64_t recorder_not_injected(const struct recorder *recorder)
{
	return recorder_failed(recorder) - recorder_injected(recorder);
}

bool recorder_balanced(const struct recorder *recorder)
{
	return recorder->due == recorder->started + recorder->never_sent &&
	       recorder->started == recorder_done(recorder) + recorder->unfinished;
}

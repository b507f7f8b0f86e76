#include "client/progress.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/options.h"
#include "client/run.h"
#include "client/text.h"

#define TERMINAL_INTERVAL_NS (1 * NS_PER_S)
#define PLAIN_INTERVAL_NS    (10 * NS_PER_S)

/* A rate of less time than that says nothing. */
#define SHORTEST_RATE_NS (100 * NS_PER_MS)

/* Where standard error does not say how wide it is. */
#define COLUMNS_UNKNOWN 80
#define BAR_SHORTEST    10
#define BAR_LONGEST     50
#define GAP             2 /* between two fields */

#define MAX_FIELDS  8
#define FIELD_TEXT  96
#define COLOUR_BAD  "\033[31m"
#define COLOUR_CARE "\033[33m"
#define COLOUR_OFF  "\033[0m"

/* All that follows the cursor, from the beginning of its row on. */
#define CLEAR_ROWS        "\r\033[J"
#define BACK_TO_THE_FIRST "\r\033[A"

/* Something that a row says, or does not where others matter more. */
struct field {
	char text[FIELD_TEXT]; /* ASCII */
	const char *colour;    /* NULL: plain */
	unsigned rank;         /* the greatest goes first */
};

struct fields {
	struct field items[MAX_FIELDS];
	size_t n;
};

static struct field *add(struct fields *fields, unsigned rank, const char *colour)
{
	struct field *field = &fields->items[fields->n++];

	assert(fields->n <= MAX_FIELDS);
	*field = (struct field){ .rank = rank, .colour = colour };
	return field;
}

static unsigned width(const struct fields *fields)
{
	size_t sum = 0;

	for (size_t i = 0; i < fields->n; i++) {
		sum += strlen(fields->items[i].text) + (i > 0 ? GAP : 0);
	}
	return (unsigned)sum;
}

static void fit(struct fields *fields, unsigned columns)
{
	while (fields->n > 0 && width(fields) > columns) {
		size_t least = 0;

		for (size_t i = 1; i < fields->n; i++) {
			least = fields->items[i].rank >= fields->items[least].rank ? i : least;
		}
		fields->n--;
		memmove(&fields->items[least], &fields->items[least + 1],
			(fields->n - least) * sizeof(fields->items[0]));
	}
}

static int append(struct buffer *out, const struct fields *fields, bool colour)
{
	int err = 0;

	for (size_t i = 0; i < fields->n; i++) {
		const struct field *field = &fields->items[i];
		bool coloured = colour && field->colour;

		TEXT_PRINT(err, out, "%*s%s%s%s", i > 0 ? GAP : 0, "",
			   coloured ? field->colour : "", field->text, coloured ? COLOUR_OFF : "");
	}
	return err;
}

static void whole_seconds(int64_t ns, char *text, size_t size)
{
	format_duration((MAX(ns, 0) + NS_PER_S / 2) / NS_PER_S * NS_PER_S, text, size);
}

/* How long the phase lasts; 0: until so many calls are done. */
static int64_t phase_length(const struct progress_view *view)
{
	switch (view->look.phase) {
	case PROGRESS_WARMING_UP:
		return view->options->warmup_ns;
	case PROGRESS_RUNNING:
		return view->options->duration_ns;
	case PROGRESS_WAITING:
		return view->options->grace_ns;
	}
	return 0;
}

/* Of the calls that are to be done, in [0, 1]; 0 where there is no such number. */
static double share_done(const struct progress_view *view)
{
	uint64_t count = view->options->count;

	if (count == 0 || view->look.phase != PROGRESS_RUNNING) {
		return 0;
	}
	return MIN((double)recorder_done(view->look.results) / (double)count, 1);
}

/* "12s/30s", or "40 % in 12s, about 18s left". Returns how much of the phase is over. */
static double say_time(const struct progress_view *view, char *text, size_t size)
{
	int64_t into_ns = view->look.into_ns, length_ns = phase_length(view);
	double by_count = share_done(view);
	double by_time = length_ns > 0 ? MIN((double)into_ns / (double)length_ns, 1) : 0;
	char into[TEXT_NUMBER_MAX], length[TEXT_NUMBER_MAX];

	whole_seconds(into_ns, into, sizeof(into));
	if (by_count > by_time) {
		whole_seconds((int64_t)((double)into_ns * (1 - by_count) / by_count), length,
			      sizeof(length));
		snprintf(text, size, "%u %% in %s, about %s left", (unsigned)(by_count * 100), into,
			 length);
		return by_count;
	}
	if (length_ns > 0) {
		whole_seconds(length_ns, length, sizeof(length));
		snprintf(text, size, "%s/%s", into, length);
	} else {
		snprintf(text, size, "%s", into);
	}
	return by_time;
}

/* Phase and time; returns how much is over. */
static double add_time(struct fields *fields, const struct progress_view *view)
{
	static const char *const names[] = {
		[PROGRESS_WARMING_UP] = "warming up",
		[PROGRESS_WAITING] = "waiting for the last calls",
	};
	const char *name = names[view->look.phase];

	if (name) {
		snprintf(add(fields, 1, NULL)->text, FIELD_TEXT, "%s", name);
	}
	return say_time(view, add(fields, 0, NULL)->text, FIELD_TEXT);
}

static void add_rate(struct fields *fields, const struct progress_view *view)
{
	char achieved[TEXT_NUMBER_MAX], offered[TEXT_NUMBER_MAX];
	struct field *field;

	if (!view->rates) {
		return;
	}
	field = add(fields, 0, NULL);
	text_number(view->achieved, achieved, sizeof(achieved));
	text_number(view->offered, offered, sizeof(offered));
	if (view->options->open_loop && view->look.phase != PROGRESS_WAITING) {
		snprintf(field->text, FIELD_TEXT, "%s/s of %s/s", achieved, offered);
	} else {
		snprintf(field->text, FIELD_TEXT, "%s/s", achieved);
	}
}

static void add_counts(struct fields *fields, const struct progress_view *view)
{
	bool bad = view->errors > 0;
	struct field *field;

	snprintf(add(fields, 5, NULL)->text, FIELD_TEXT, "%" PRIu64 " in flight",
		 view->look.in_flight);
	field = add(fields, bad ? 1 : 6, bad ? COLOUR_BAD : NULL);
	if (view->new_errors > 0 && view->new_errors < view->errors) {
		snprintf(field->text, FIELD_TEXT, "%" PRIu64 " errors (+%" PRIu64 ")", view->errors,
			 view->new_errors);
	} else {
		snprintf(field->text, FIELD_TEXT, "%" PRIu64 " error%s", view->errors,
			 view->errors == 1 ? "" : "s");
	}
}

static void add_duration(struct fields *fields, unsigned rank, const char *colour, const char *name,
			 int64_t ns)
{
	char text[TEXT_NUMBER_MAX];

	text_duration(ns, text, sizeof(text));
	snprintf(add(fields, rank, colour)->text, FIELD_TEXT, "%s %s", name, text);
}

static void add_numbers(struct fields *fields, const struct progress_view *view)
{
	add_rate(fields, view);
	add_counts(fields, view);
	if (view->latency) {
		add_duration(fields, 4, NULL, "p50", view->p50_ns);
		add_duration(fields, 2, NULL, "p99", view->p99_ns);
	}
	if (view->new_deferred > 0) {
		snprintf(add(fields, 3, COLOUR_CARE)->text, FIELD_TEXT, "%" PRIu64 " deferred",
			 view->new_deferred);
	}
	if (view->injected > 0) {
		snprintf(add(fields, 4, NULL)->text, FIELD_TEXT, "%" PRIu64 " injected",
			 view->injected);
	}
	if (view->lag_p99_ns > RUN_LAG_P99_NS) {
		add_duration(fields, 3, COLOUR_CARE, "lag p99", view->lag_p99_ns);
	}
}

/* "[####----]  ", as long as `columns` let it. */
static int append_bar(struct buffer *out, double share, unsigned columns)
{
	char bar[BAR_LONGEST + 1];
	unsigned n = MIN(columns, BAR_LONGEST + 2 + GAP), full;

	if (n < BAR_SHORTEST + 2 + GAP) {
		return 0;
	}
	n -= 2 + GAP;
	full = (unsigned)(share * n);
	memset(bar, '#', full);
	memset(bar + full, '-', n - full);
	bar[n] = '\0';
	return buffer_printf(out, "[%s]%*s", bar, GAP, "");
}

int progress_rows(struct buffer *out, const struct progress_view *view, unsigned columns)
{
	struct fields time = { .n = 0 }, numbers = { .n = 0 };
	double share = add_time(&time, view);
	int err = 0;

	/* The column at the edge stays free: some terminals break there already. */
	columns = MAX(columns, 1) - 1;
	fit(&time, columns);
	if (phase_length(view) > 0 || share > 0) {
		TEXT_CHAIN(err, append_bar(out, share, columns - width(&time)));
	}
	add_numbers(&numbers, view);
	fit(&numbers, columns);
	TEXT_CHAIN(err, append(out, &time, view->options->colour));
	TEXT_PRINT(err, out, "\n");
	TEXT_CHAIN(err, append(out, &numbers, view->options->colour));
	return err;
}

int progress_line(struct buffer *out, const struct progress_view *view)
{
	struct fields time = { .n = 0 }, numbers = { .n = 0 };
	int err = 0;

	add_time(&time, view);
	add_numbers(&numbers, view);
	TEXT_CHAIN(err, append(out, &time, false));
	TEXT_PRINT(err, out, "%*s", GAP, "");
	TEXT_CHAIN(err, append(out, &numbers, false));
	return err;
}

/* --- looking --------------------------------------------- */

/*
 * What one and other (may be NULL) hold beyond *before, which becomes what they hold. False:
 * nothing, or no memory.
 */
static bool take_difference(struct progress *progress, struct latencies **before,
			    const struct latencies *one, const struct latencies *other)
{
	struct latencies *now = progress->scratch, *since = progress->since;
	struct latencies_bucket bucket, old = { .index = 0 };
	int64_t least_ns = 0, most_ns = 0;

	if (!*before || !now || !since) {
		return false;
	}
	latencies_reset(now);
	latencies_reset(since);
	latencies_merge(now, one);
	if (other) {
		latencies_merge(now, other);
	}
	for (uint32_t i = 0; latencies_next(now, i, &bucket); i = bucket.index + 1) {
		uint64_t n = bucket.n;

		if (latencies_next(*before, bucket.index, &old) && old.index == bucket.index) {
			n -= MIN(n, old.n);
		}
		if (n > 0 && latencies_add(since, bucket.index, n) == 0) {
			least_ns = latencies_count(since) == n ? bucket.low_ns : least_ns;
			most_ns = bucket.high_ns;
		}
	}
	latencies_restore(since, least_ns, most_ns, 0);
	progress->scratch = *before;
	*before = now;
	return latencies_count(since) > 0;
}

static void forget(struct progress *progress)
{
	struct progress_before *before = &progress->before;

	before->due = before->done = before->failed = before->deferred = 0;
	if (before->ended) {
		latencies_reset(before->ended);
	}
	if (before->lag) {
		latencies_reset(before->lag);
	}
}

/* What came since the look before, which this one replaces. */
static void compare(struct progress *progress, struct progress_view *view, double seconds)
{
	struct progress_before *before = &progress->before;
	const struct recorder *results = view->look.results;

	view->rates = true;
	view->achieved = (double)(recorder_done(results) - before->done) / seconds;
	view->offered = (double)(results->due - MIN(results->due, before->due)) / seconds;
	view->new_errors = view->errors - MIN(view->errors, before->failed);
	view->new_deferred = results->deferred - MIN(results->deferred, before->deferred);
	view->latency = take_difference(progress, &before->ended, results->latency_ok,
					results->latency_failed);
	if (view->latency) {
		view->p50_ns = latencies_quantile(progress->since, .5);
		view->p99_ns = latencies_quantile(progress->since, .99);
	}
	if (progress->options.open_loop &&
	    take_difference(progress, &before->lag, results->lag, NULL)) {
		view->lag_p99_ns = latencies_quantile(progress->since, .99);
	}
	before->due = results->due;
	before->done = recorder_done(results);
	before->failed = view->errors;
	before->deferred = results->deferred;
}

static void look(struct progress *progress, struct progress_view *view)
{
	struct progress_before *before = &progress->before;
	int64_t now_ns = timers_now(progress->options.timers);
	int64_t since_ns = now_ns - progress->last_ns;
	const struct recorder *results;

	*view = (struct progress_view){ .options = &progress->options };
	progress->options.look(progress->options.user, &view->look);
	results = view->look.results;
	if (results != progress->last_results || recorder_done(results) < before->done ||
	    (progress->last_phase == PROGRESS_WARMING_UP &&
	     view->look.phase != PROGRESS_WARMING_UP)) {
		forget(progress);
		since_ns = MIN(since_ns, view->look.into_ns);
	}
	progress->last_results = results;
	progress->last_phase = view->look.phase;
	progress->last_ns = now_ns - since_ns;
	view->errors = recorder_failed(results);
	view->injected = recorder_injected(results);
	if (since_ns < SHORTEST_RATE_NS) { /* a phase has just begun: it is left to the next look */
		return;
	}
	compare(progress, view, (double)since_ns / NS_PER_S);
	progress->last_ns = now_ns;
}

/* --- drawing --------------------------------------------- */

static unsigned terminal_columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
									       : COLUMNS_UNKNOWN;
}

/* All or nothing, and only now: progress is not worth waiting for. */
static bool write_now(struct bytes text)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
	       write(STDERR_FILENO, text.data, text.len) > 0;
}

/*
 * The cursor goes back to where the rows begin, so that it takes no counting to clear them:
 * a terminal that becomes narrower may break them into more.
 */
static void draw_rows(struct progress *progress, const struct progress_view *view)
{
	int err = 0;

	TEXT_PRINT(err, &progress->line, CLEAR_ROWS);
	TEXT_CHAIN(err, progress_rows(&progress->line, view, terminal_columns()));
	TEXT_PRINT(err, &progress->line, BACK_TO_THE_FIRST);
	if (err == 0 && write_now(buffer_bytes(&progress->line))) {
		progress->standing = true;
	}
}

static void draw_line(struct progress *progress, const struct progress_view *view)
{
	int err = 0;

	TEXT_PRINT(err, &progress->line, "echod client: ");
	TEXT_CHAIN(err, progress_line(&progress->line, view));
	TEXT_PRINT(err, &progress->line, "\n");
	if (err == 0) {
		(void)write_now(buffer_bytes(&progress->line));
	}
}

static void on_tick(struct timer *timer)
{
	struct progress *progress = container_of(timer, struct progress, tick);
	struct timers *timers = progress->options.timers;
	struct progress_view view;

	timer_start_at(timers, timer, timers_now(timers) + progress->interval_ns);
	look(progress, &view);
	buffer_clear(&progress->line);
	if (progress->options.terminal) {
		draw_rows(progress, &view);
	} else {
		draw_line(progress, &view);
	}
}

void progress_start(struct progress *progress, const struct progress_options *options)
{
	*progress = (struct progress){
		.options = *options,
		.interval_ns = options->terminal ? TERMINAL_INTERVAL_NS : PLAIN_INTERVAL_NS,
		.last_ns = timers_now(options->timers),
		.line = BUFFER_INIT,
		.since = latencies_new(),
		.scratch = latencies_new(),
		.before = { .ended = latencies_new(), .lag = latencies_new() },
	};
	timer_init(&progress->tick, on_tick);
	timer_start(options->timers, &progress->tick, progress->interval_ns);
}

void progress_clear(struct progress *progress)
{
	if (progress->standing &&
	    write_now((struct bytes){ (const uint8_t *)CLEAR_ROWS, sizeof(CLEAR_ROWS) - 1 })) {
		progress->standing = false;
	}
}

void progress_stop(struct progress *progress)
{
	if (!progress->options.timers) {
		return;
	}
	timer_stop(progress->options.timers, &progress->tick);
	progress_clear(progress);
	buffer_free(&progress->line);
	latencies_free(progress->since);
	latencies_free(progress->scratch);
	latencies_free(progress->before.ended);
	latencies_free(progress->before.lag);
	*progress = (struct progress){ .line = BUFFER_INIT };
}

/* Runs side by side: the first as it is, each other with how much it differs from it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "client/report_page.h"

#define LABEL_COLUMNS 20
#define VALUE_COLUMNS 14 /* "max in flight" */
#define DELTA_COLUMNS 9
#define LEGEND_INDENT 3

/* How wide columns are: without differences, and of words cut short, where two do not fit. */
struct shape {
	int value, delta;
};

enum kind { KIND_NUMBER, KIND_SHARE, KIND_DURATION, KIND_WORD };

struct figure {
	const char *label;
	enum kind kind;
	double (*value)(const struct run *run); /* below 0: none */
	const struct latencies *(*latencies)(const struct recorder *results);
	double quantile; /* of these, where there is no `value`; above 1: the mean */
};

static double done(const struct run *run)
{
	return (double)recorder_done(&run->results);
}

static double per_call(const struct run *run, double amount)
{
	return done(run) > 0 ? amount / done(run) : -1;
}

static double offered(const struct run *run)
{
	return run->schedule.n > 0 ? run_offered_rate(run) : -1;
}

static double failed(const struct run *run)
{
	return per_call(run, (double)recorder_failed(&run->results));
}

static double injected(const struct run *run)
{
	return per_call(run, (double)recorder_injected(&run->results));
}

static double not_injected(const struct run *run)
{
	return per_call(run, (double)recorder_not_injected(&run->results));
}

static double unfinished(const struct run *run)
{
	return (double)run->results.unfinished + (double)run->results.never_sent;
}

static double deferred(const struct run *run)
{
	return (double)run->results.deferred;
}

static double lost(const struct run *run)
{
	return (double)run->results.connections.lost;
}

static double cpu_us(const struct run *run)
{
	return per_call(run, ((double)run->cpu_user_ns + (double)run->cpu_system_ns) / NS_PER_US);
}

static double bytes_out(const struct run *run)
{
	return per_call(run, (double)run->bytes_out);
}

static double bytes_in(const struct run *run)
{
	return per_call(run, (double)run->bytes_in);
}

static const struct latencies *latency_ok(const struct recorder *results)
{
	return results->latency_ok;
}

static const struct latencies *service_ok(const struct recorder *results)
{
	return results->service_ok;
}

static const struct latencies *latency_failed(const struct recorder *results)
{
	return results->latency_failed;
}

static const struct latencies *delay(const struct recorder *results)
{
	return results->delay;
}

static const struct latencies *undelayed(const struct recorder *results)
{
	return results->undelayed;
}

static const struct latencies *lag(const struct recorder *results)
{
	return results->lag;
}

#define MEAN 2

static const struct figure figures[] = {
	{ "offered calls/s", KIND_NUMBER, offered, NULL, 0 },
	{ "achieved calls/s", KIND_NUMBER, run_achieved_rate, NULL, 0 },
	{ "limited by", KIND_WORD, NULL, NULL, 0 },
	{ "calls done", KIND_NUMBER, done, NULL, 0 },
	{ "failed", KIND_SHARE, failed, NULL, 0 },
	{ "  injected", KIND_SHARE, injected, NULL, 0 },
	{ "  not injected", KIND_SHARE, not_injected, NULL, 0 },
	{ "unfinished, not sent", KIND_NUMBER, unfinished, NULL, 0 },
	{ "deferred", KIND_NUMBER, deferred, NULL, 0 },
	{ "connections lost", KIND_NUMBER, lost, NULL, 0 },
	{ "latency OK    mean", KIND_DURATION, NULL, latency_ok, MEAN },
	{ "              p50", KIND_DURATION, NULL, latency_ok, .5 },
	{ "              p90", KIND_DURATION, NULL, latency_ok, .9 },
	{ "              p95", KIND_DURATION, NULL, latency_ok, .95 },
	{ "              p99", KIND_DURATION, NULL, latency_ok, .99 },
	{ "              p99.9", KIND_DURATION, NULL, latency_ok, .999 },
	{ "              max", KIND_DURATION, NULL, latency_ok, 1 },
	{ "service OK    p50", KIND_DURATION, NULL, service_ok, .5 },
	{ "              p99", KIND_DURATION, NULL, service_ok, .99 },
	{ "failed        p50", KIND_DURATION, NULL, latency_failed, .5 },
	{ "              p99", KIND_DURATION, NULL, latency_failed, .99 },
	{ "injected delay mean", KIND_DURATION, NULL, delay, MEAN },
	{ "without delay p50", KIND_DURATION, NULL, undelayed, .5 },
	{ "              p99", KIND_DURATION, NULL, undelayed, .99 },
	{ "lag           p99", KIND_DURATION, NULL, lag, .99 },
	{ "CPU us per call", KIND_NUMBER, cpu_us, NULL, 0 },
	{ "bytes out per call", KIND_NUMBER, bytes_out, NULL, 0 },
	{ "bytes in per call", KIND_NUMBER, bytes_in, NULL, 0 },
};

/* Below 0: there is none. */
static double value_of(const struct figure *figure, const struct run *run)
{
	const struct latencies *latencies;

	if (figure->value) {
		return figure->value(run);
	}
	if (!figure->latencies) {
		return -1;
	}
	latencies = figure->latencies(&run->results);
	if (latencies_count(latencies) == 0) {
		return -1;
	}
	return figure->quantile > 1 ? latencies_mean(latencies)
				    : (double)latencies_quantile(latencies, figure->quantile);
}

static struct shape shape_for(unsigned columns)
{
	struct shape shape = { VALUE_COLUMNS, DELTA_COLUMNS };

	if (columns < LABEL_COLUMNS + 2 * VALUE_COLUMNS + DELTA_COLUMNS) {
		shape.delta = 0;
		shape.value = MIN(((int)columns - LABEL_COLUMNS) / 2, VALUE_COLUMNS);
	}
	return shape;
}

static void cell(struct page *page, const struct shape *shape, const struct figure *figure,
		 const struct run *run)
{
	double value = value_of(figure, run);
	char text[TEXT_NUMBER_MAX] = "-";

	if (figure->kind == KIND_WORD) {
		snprintf(text, sizeof(text), "%s", run_limit_name(run_limit(run)));
	} else if (value >= 0 && figure->kind == KIND_DURATION) {
		text_duration((int64_t)(value + .5), text, sizeof(text));
	} else if (value >= 0 && figure->kind == KIND_SHARE) {
		text_percent(value, text, sizeof(text));
	} else if (value >= 0) {
		text_number(value, text, sizeof(text));
	}
	page_print(page, " %*.*s", shape->value - 1, shape->value - 1, text);
}

/* "+4.9 %" of the first run's; shares and words have none. */
static void delta(struct page *page, const struct figure *figure, const struct run *first,
		  const struct run *run)
{
	double from = value_of(figure, first), to = value_of(figure, run);
	char percent[TEXT_NUMBER_MAX], text[TEXT_NUMBER_MAX + 1] = "";

	if (figure->kind != KIND_SHARE && from > 0 && to >= 0 && to != from) {
		text_percent(fabs(to / from - 1), percent, sizeof(percent));
		snprintf(text, sizeof(text), "%s%s",
			 percent[0] == '<' ? ""
			 : to > from       ? "+"
					   : "-",
			 percent);
	} else if (figure->kind != KIND_SHARE && from >= 0 && to == from) {
		snprintf(text, sizeof(text), "=");
	}
	page_print(page, "%*s", DELTA_COLUMNS, text);
}

/* Has any run something to show? Where none was failed on purpose, nothing is to be told apart. */
static bool anywhere(const struct figure *figure, const struct run *const *runs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double value = figure->value == not_injected ? injected(runs[i])
							     : value_of(figure, runs[i]);

		if (figure->kind == KIND_WORD || value > 0) {
			return true;
		}
	}
	return false;
}

/* The first run, and those from `from` to before `to`. */
static void table(struct page *page, const struct run *const *runs, size_t n, size_t from,
		  size_t to)
{
	const struct shape shape = shape_for(page->style.columns);

	page_look(page, PAGE_BOLD);
	page_print(page, "\n%*s%*s", LABEL_COLUMNS, "", shape.value, "1");
	for (size_t i = from; i < to; i++) {
		page_print(page, "%*zu%*s", shape.value, i + 1, shape.delta,
			   shape.delta > 0 ? "vs 1" : "");
	}
	page_print(page, "\n");
	page_look(page, PAGE_PLAIN);
	for (size_t f = 0; f < ARRAY_SIZE(figures); f++) {
		if (!anywhere(&figures[f], runs, n)) {
			continue;
		}
		page_print(page, "%-*s", LABEL_COLUMNS, figures[f].label);
		cell(page, &shape, &figures[f], runs[0]);
		for (size_t i = from; i < to; i++) {
			cell(page, &shape, &figures[f], runs[i]);
			if (shape.delta > 0) {
				delta(page, &figures[f], runs[0], runs[i]);
			}
		}
		page_end_line(page);
	}
}

static void legend(struct page *page, size_t number, const struct run *run)
{
	time_t seconds = (time_t)(run->started_unix_ns / NS_PER_S);
	struct buffer plan = BUFFER_INIT;
	char when[64] = "";
	struct tm utc;

	page_look(page, PAGE_BOLD);
	page_print(page, "%zu  ", number);
	if (run->name) {
		page_say(page, run->name);
		page_print(page, ": ");
	}
	page_print(page, "run ");
	page_say(page, run->id);
	page_look(page, PAGE_PLAIN);
	if (run->host) {
		page_print(page, " on ");
		page_say(page, run->host);
	}
	if (gmtime_r(&seconds, &utc) && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &utc)) {
		page_print(page, ", %s UTC", when);
	}
	page_print(page, "\n");
	TEXT_CHAIN(page->err, text_visible(&plan, str_from(run->plan)));
	if (page->err == 0) {
		page_paragraph(page, &plan, LEGEND_INDENT);
	}
	buffer_free(&plan);
}

int report_compare_text(struct buffer *out, const struct run *const *runs, size_t n,
			const struct report_style *style)
{
	struct page page = { .out = out, .style = *style };
	size_t left = style->columns - MIN(style->columns, LABEL_COLUMNS + VALUE_COLUMNS);
	size_t beside = MAX(left / (VALUE_COLUMNS + DELTA_COLUMNS), 1);

	for (size_t i = 0; i < n; i++) {
		legend(&page, i + 1, runs[i]);
	}
	table(&page, runs, n, 1, MIN(1 + beside, n));
	for (size_t from = 1 + beside; from < n; from += beside) {
		table(&page, runs, n, from, MIN(from + beside, n));
	}
	for (size_t i = 0; i < n; i++) {
		if (runs[i]->n_assertions > 0) {
			page_print(&page, "\nrun %zu", i + 1);
			page_assertions(&page, runs[i]);
		}
	}
	return page.err;
}

#include "client/report_html.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "client/chart.h"

/* Beyond it a plain axis would press the lower line flat. */
#define LOG_FROM_RATIO 25
/* What lies between two neighbouring bins of that many is shown at a pointer. */
#define MAX_HOVERS 512

void report_html_name(const struct run *run, size_t i, size_t n, char *text, size_t size)
{
	const char *name = run->name && run->name[0] != '\0' ? run->name : run->id;

	if (n == 1) {
		snprintf(text, size, "%s", name);
	} else {
		snprintf(text, size, "%zu: %s", i + 1, name);
	}
}

/* --- legends --------------------------------------------- */

static void legend_begin(struct html *html)
{
	HTML(html, "<ul class=\"legend\">\n");
}

static void legend_line(struct html *html, const char *class, const char *text)
{
	HTML(html,
	     "<li><svg viewBox=\"0 0 30 12\" aria-hidden=\"true\"><path class=\"%s\" "
	     "d=\"M1 6L29 6\"/></svg><span>",
	     class);
	html_string(html, text);
	HTML(html, "</span></li>\n");
}

static void legend_block(struct html *html, const char *class, const char *text)
{
	HTML(html,
	     "<li><svg class=\"block\" viewBox=\"0 0 16 12\" aria-hidden=\"true\"><rect "
	     "class=\"%s\" width=\"16\" height=\"12\"/></svg><span>",
	     class);
	html_string(html, text);
	HTML(html, "</span></li>\n");
}

static void legend_end(struct html *html)
{
	HTML(html, "</ul>\n");
}

/* "s3 dash": of the run at `i`. */
static const char *class_of(size_t i, const char *more, char *text, size_t size)
{
	snprintf(text, size, "s%zu%s%s", i % REPORT_HTML_COLOURS, more ? " " : "",
		 more ? more : "");
	return text;
}

static void legend_runs(struct html *html, const struct run *const *runs, size_t n)
{
	char class[32], name[REPORT_HTML_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		report_html_name(runs[i], i, n, name, sizeof(name));
		legend_line(html, class_of(i, NULL, class, sizeof(class)), name);
	}
}

/* --- latency by percentile --------------------------------------------- */

/* The share of calls up to each bucket against the bucket's upper edge. */
static void percentile_line(struct chart *chart, const struct latencies *latencies,
			    const char *class)
{
	uint64_t count = latencies_count(latencies), below = 0;
	struct latencies_bucket bucket;

	if (count == 0) {
		return;
	}
	chart_line_begin(chart, class);
	chart_line_to(chart, 0, (double)latencies_min(latencies));
	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		double share;

		/* Where the greatest one lies: there is no place for all of them. */
		below += bucket.n;
		share = (double)MIN(below, count - 1) / (double)count;
		chart_line_to(chart, chart_percentile(share),
			      (double)MIN(bucket.high_ns, latencies_max(latencies)));
	}
	chart_line_end(chart);
}

static void percentile_axes(struct chart *chart, const struct run *const *runs, size_t n)
{
	double low = HUGE_VAL, high = 0, middle = HUGE_VAL;
	uint64_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct recorder *results = &runs[i]->results;
		const struct latencies *both[] = { results->latency_ok, results->service_ok };

		count = MAX(count, latencies_count(results->latency_ok));
		for (size_t j = 0; j < ARRAY_SIZE(both); j++) {
			if (latencies_count(both[j]) > 0) {
				low = MIN(low, (double)latencies_min(both[j]));
				high = MAX(high, (double)latencies_max(both[j]));
				middle = MIN(middle, (double)latencies_quantile(both[j], .5));
			}
		}
	}
	chart_axis_percentiles(&chart->x, count);
	chart_axis_durations(&chart->y, MIN(low, high), high,
			     high > LOG_FROM_RATIO * middle && low < high);
	chart->x.title = "percentile of successful calls (each nine as wide as the one before)";
	chart->y.title = chart->y.log ? "latency (log)" : "latency";
}

static void percentile_chart(struct html *html, const struct run *const *runs, size_t n)
{
	struct chart chart = { .html = html };
	char class[32];

	HTML(html, "<section class=\"figure\">\n<h2>Latency by percentile</h2>\n");
	legend_begin(html);
	if (n == 1) {
		legend_line(html, "s0", "from the intended start: what a user feels");
		legend_line(html, "s1 dash", "service time: from the send");
	} else {
		legend_runs(html, runs, n);
		legend_line(html, "plain", "from the intended start");
		legend_line(html, "plain dash thin", "service time");
	}
	legend_end(html);
	percentile_axes(&chart, runs, n);
	chart_begin(&chart, "Latency by percentile",
		    "Latency of successful calls on the vertical axis, the share of calls that "
		    "took no longer on the horizontal one. The numbers are in a table below.");
	chart_axes(&chart);
	for (size_t i = 0; i < n; i++) {
		const struct recorder *results = &runs[i]->results;

		percentile_line(&chart, results->service_ok,
				n == 1 ? "s1 dash"
				       : class_of(i, "dash thin", class, sizeof(class)));
		percentile_line(&chart, results->latency_ok,
				class_of(i, NULL, class, sizeof(class)));
	}
	chart_end(&chart);
	HTML(html, "</section>\n");
}

/* --- over time --------------------------------------------- */

/*
 * Bins as they are drawn: a last one that the end of the run cut short by more than half is
 * part of its neighbour, else its rate would be that of a moment.
 */
struct bin {
	double from, to; /* ns */
	uint64_t due, ok, failed;
	const struct latencies *latency;
};

static size_t bins_of(const struct run *run)
{
	const struct series *series = &run->results.series;
	int64_t last_ns = run->elapsed_ns - (int64_t)(series->n - 1) * series->bin_ns;

	return series->n > 1 && last_ns < series->bin_ns / 2 ? series->n - 1 : series->n;
}

static struct bin bin_at(const struct run *run, size_t i)
{
	const struct series *series = &run->results.series;
	const struct series_bin *of = &series->bins[i];
	size_t end = i + 1 == bins_of(run) ? series->n : i + 1;
	struct bin bin = {
		.from = (double)series->bin_ns * (double)i,
		.to = (double)MIN((int64_t)end * series->bin_ns, run->elapsed_ns),
		.latency = of->latency,
	};

	bin.to = MAX(bin.to, bin.from + 1);
	for (; i < end; i++, of++) {
		bin.due += of->due;
		bin.ok += of->ok;
		bin.failed += of->failed;
	}
	return bin;
}

static double per_second(const struct bin *bin, uint64_t n)
{
	return (double)n * NS_PER_S / (bin->to - bin->from);
}

static bool has_latency(const struct bin *bin)
{
	return bin->latency && latencies_count(bin->latency) > 0;
}

static void time_axis(struct chart *chart, const struct run *const *runs, size_t n)
{
	int64_t length_ns = 0;

	for (size_t i = 0; i < n; i++) {
		length_ns = MAX(length_ns, runs[i]->elapsed_ns);
	}
	chart_axis_time(&chart->x, length_ns);
	chart->x.title = "time since the measuring began";
}

/* To the middle of a bin; a single one is as long as it lasted. */
static void line_to_bin(struct chart *chart, const struct bin *bin, size_t n, double y)
{
	if (n == 1) {
		chart_line_to(chart, bin->from, y);
		chart_line_to(chart, bin->to, y);
	} else {
		chart_line_to(chart, (bin->from + bin->to) / 2, y);
	}
}

/* One quantile of each bin; 1: the greatest. */
static void quantile_line(struct chart *chart, const struct run *run, double quantile,
			  const char *class)
{
	size_t n = bins_of(run);

	chart_line_begin(chart, class);
	for (size_t i = 0; i < n; i++) {
		struct bin bin = bin_at(run, i);

		if (has_latency(&bin)) {
			line_to_bin(chart, &bin, n,
				    (double)latencies_quantile(bin.latency, quantile));
		} else {
			chart_line_gap(chart);
		}
	}
	chart_line_end(chart);
}

/* What stands at a pointer over a bin. */
static void hovers(struct chart *chart, const struct run *run)
{
	size_t n = MIN(bins_of(run), MAX_HOVERS);

	for (size_t i = 0; i < n; i++) {
		struct bin bin = bin_at(run, i);
		char from[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX], p50[TEXT_NUMBER_MAX] = "-";
		char p99[TEXT_NUMBER_MAX] = "-", most[TEXT_NUMBER_MAX] = "-", text[256];

		text_number(bin.from / NS_PER_S, from, sizeof(from));
		text_number(per_second(&bin, bin.ok + bin.failed), rate, sizeof(rate));
		if (has_latency(&bin)) {
			text_duration(latencies_quantile(bin.latency, .5), p50, sizeof(p50));
			text_duration(latencies_quantile(bin.latency, .99), p99, sizeof(p99));
			text_duration(latencies_max(bin.latency), most, sizeof(most));
		}
		snprintf(text, sizeof(text),
			 "at %s s: %s/s, %" PRIu64 " failed, p50 %s, p99 %s, max %s", from, rate,
			 bin.failed, p50, p99, most);
		chart_band(chart, bin.from, bin.to, "hover", text);
	}
}

/* Where it went wrong, behind the lines. */
static void outage(struct chart *chart, const struct run *run)
{
	const struct recorder *results = &run->results;

	if (results->first_error_ns >= 0) {
		chart_band(chart, (double)results->first_error_ns, (double)results->last_error_ns,
			   "outage", NULL);
	}
}

static void latency_axes(struct chart *chart, const struct run *const *runs, size_t n)
{
	double low = HUGE_VAL, high = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < bins_of(runs[i]); j++) {
			struct bin bin = bin_at(runs[i], j);

			if (has_latency(&bin)) {
				low = MIN(low, (double)latencies_quantile(bin.latency,
									  n == 1 ? .5 : .99));
				high = MAX(high, (double)latencies_quantile(bin.latency,
									    n == 1 ? 1 : .99));
			}
		}
	}
	time_axis(chart, runs, n);
	chart_axis_durations(&chart->y, MIN(low, high), high,
			     high > LOG_FROM_RATIO * low && low > 0);
	chart->y.title = chart->y.log ? "latency (log)" : "latency";
}

static void latency_chart(struct html *html, const struct run *const *runs, size_t n)
{
	struct chart chart = { .html = html };
	char class[32];

	HTML(html, "<section class=\"figure\">\n<h2>Latency over time</h2>\n");
	legend_begin(html);
	if (n == 1) {
		legend_line(html, "s3 thin", "max");
		legend_line(html, "s1", "p99");
		legend_line(html, "s0", "p50");
		if (runs[0]->results.first_error_ns >= 0) {
			legend_block(html, "outage", "from the first failed call to the last");
		}
	} else {
		legend_runs(html, runs, n);
	}
	legend_end(html);
	latency_axes(&chart, runs, n);
	chart_begin(&chart, "Latency over time",
		    n == 1 ? "Median, 99th percentile and maximum of the calls that ended in each "
			     "interval, from their intended start."
			   : "The 99th percentile of the calls that ended in each interval, from "
			     "their intended start, of each run.");
	if (n == 1) {
		outage(&chart, runs[0]);
	}
	chart_axes(&chart);
	for (size_t i = 0; i < n; i++) {
		if (n == 1) {
			quantile_line(&chart, runs[0], 1, "s3 thin");
		}
		quantile_line(&chart, runs[i], .99,
			      n == 1 ? "s1" : class_of(i, NULL, class, sizeof(class)));
	}
	if (n == 1) {
		quantile_line(&chart, runs[0], .5, "s0");
		hovers(&chart, runs[0]);
	}
	chart_end(&chart);
	HTML(html,
	     "<p class=\"note\">%s the calls that ended in each interval, failed or not, from "
	     "their intended start; read to within 1/16.</p>\n</section>\n",
	     n == 1 ? "Of" : "p99 of");
}

enum rate { RATE_OFFERED, RATE_ACHIEVED, RATE_FAILED };

static double rate_of(const struct bin *bin, enum rate rate)
{
	return per_second(bin, rate == RATE_OFFERED    ? bin->due
			       : rate == RATE_ACHIEVED ? bin->ok + bin->failed
						       : bin->failed);
}

static void rate_line(struct chart *chart, const struct run *run, enum rate rate, const char *class)
{
	size_t n = bins_of(run);

	chart_line_begin(chart, class);
	for (size_t i = 0; i < n; i++) {
		struct bin bin = bin_at(run, i);

		line_to_bin(chart, &bin, n, rate_of(&bin, rate));
	}
	chart_line_end(chart);
}

static void rate_axes(struct chart *chart, const struct run *const *runs, size_t n)
{
	double high = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < bins_of(runs[i]); j++) {
			struct bin bin = bin_at(runs[i], j);

			high = MAX(high, rate_of(&bin, RATE_ACHIEVED));
			high = runs[i]->schedule.n > 0 ? MAX(high, rate_of(&bin, RATE_OFFERED))
						       : high;
		}
	}
	time_axis(chart, runs, n);
	chart_axis_numbers(&chart->y, high);
	chart->y.title = "calls per second";
}

static void rate_chart(struct html *html, const struct run *const *runs, size_t n)
{
	struct chart chart = { .html = html };
	bool open_loop = n == 1 && runs[0]->schedule.n > 0;
	bool failed = n == 1 && runs[0]->results.first_error_ns >= 0;
	char class[32];

	HTML(html, "<section class=\"figure\">\n<h2>Rate over time</h2>\n");
	legend_begin(html);
	if (n == 1) {
		legend_line(html, "s0", "ended");
	} else {
		legend_runs(html, runs, n);
	}
	if (open_loop) {
		legend_line(html, "plain dash", "offered: due by the schedule");
	}
	if (failed) {
		legend_line(html, "errors", "failed");
		legend_block(html, "outage", "from the first failed call to the last");
	}
	legend_end(html);
	rate_axes(&chart, runs, n);
	chart_begin(&chart, "Rate over time",
		    "Calls per second that were offered, that ended, and that failed, in each "
		    "interval.");
	if (failed) {
		outage(&chart, runs[0]);
	}
	chart_axes(&chart);
	if (open_loop) {
		rate_line(&chart, runs[0], RATE_OFFERED, "plain dash");
	}
	for (size_t i = 0; i < n; i++) {
		rate_line(&chart, runs[i], RATE_ACHIEVED, class_of(i, NULL, class, sizeof(class)));
	}
	if (failed) {
		rate_line(&chart, runs[0], RATE_FAILED, "errors");
	}
	if (n == 1) {
		hovers(&chart, runs[0]);
	}
	chart_end(&chart);
	HTML(html, "</section>\n");
}

void report_html_charts(struct html *html, const struct run *const *runs, size_t n)
{
	bool ok = false, ended = false, due = false;

	for (size_t i = 0; i < n; i++) {
		ok = ok || latencies_count(runs[i]->results.latency_ok) > 0;
		for (size_t j = 0; j < bins_of(runs[i]); j++) {
			struct bin bin = bin_at(runs[i], j);

			ended = ended || has_latency(&bin);
			due = due || bin.due + bin.ok + bin.failed > 0;
		}
	}
	if (ok) {
		percentile_chart(html, runs, n);
	}
	if (ended) {
		latency_chart(html, runs, n);
	}
	if (due) {
		rate_chart(html, runs, n);
	}
}

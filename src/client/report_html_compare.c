/* Several runs in one table: a column each, and how far they are from the first. */
#include "client/report_html.h"

#include <math.h>

#include "client/report.h"

enum kind { KIND_RATE, KIND_COUNT, KIND_SHARE, KIND_DURATION, KIND_BYTES };

static double quantile(const struct latencies *latencies, double share)
{
	return latencies_count(latencies) > 0 ? (double)latencies_quantile(latencies, share) : NAN;
}

static double of_done(const struct run *run, double number)
{
	uint64_t done = recorder_done(&run->results);

	return done > 0 ? number / (double)done : NAN;
}

#define MEASURE(name, expression)                           \
	static double measure_##name(const struct run *run) \
	{                                                   \
		return expression;                          \
	}

MEASURE(offered, run->schedule.n > 0 ? run_offered_rate(run) : NAN)
MEASURE(achieved, run_achieved_rate(run))
MEASURE(done, (double)recorder_done(&run->results))
MEASURE(failed, of_done(run, (double)recorder_failed(&run->results)))
MEASURE(injected, of_done(run, (double)recorder_injected(&run->results)))
MEASURE(not_injected, of_done(run, (double)recorder_not_injected(&run->results)))
MEASURE(deferred, (double)run->results.deferred)
MEASURE(p50, quantile(run->results.latency_ok, .5))
MEASURE(p90, quantile(run->results.latency_ok, .9))
MEASURE(p99, quantile(run->results.latency_ok, .99))
MEASURE(p999, quantile(run->results.latency_ok, .999))
MEASURE(max, quantile(run->results.latency_ok, 1))
MEASURE(service_p50, quantile(run->results.service_ok, .5))
MEASURE(service_p99, quantile(run->results.service_ok, .99))
MEASURE(lag_p99, quantile(run->results.lag, .99))
MEASURE(cpu, of_done(run, (double)(run->cpu_user_ns + run->cpu_system_ns)))
MEASURE(bytes, of_done(run, (double)(run->bytes_in + run->bytes_out)))

static const struct {
	const char *name;
	enum kind kind;
	double (*measure)(const struct run *run);
} rows[] = {
	{ "offered per second", KIND_RATE, measure_offered },
	{ "achieved per second", KIND_RATE, measure_achieved },
	{ "calls done", KIND_COUNT, measure_done },
	{ "failed", KIND_SHARE, measure_failed },
	{ "failed on purpose", KIND_SHARE, measure_injected },
	{ "failed else", KIND_SHARE, measure_not_injected },
	{ "deferred", KIND_COUNT, measure_deferred },
	{ "p50", KIND_DURATION, measure_p50 },
	{ "p90", KIND_DURATION, measure_p90 },
	{ "p99", KIND_DURATION, measure_p99 },
	{ "p99.9", KIND_DURATION, measure_p999 },
	{ "max", KIND_DURATION, measure_max },
	{ "service time p50", KIND_DURATION, measure_service_p50 },
	{ "service time p99", KIND_DURATION, measure_service_p99 },
	{ "lag p99", KIND_DURATION, measure_lag_p99 },
	{ "client CPU per call", KIND_DURATION, measure_cpu },
	{ "bytes per call", KIND_BYTES, measure_bytes },
};

static void put_number(struct html *html, enum kind kind, double number)
{
	char text[TEXT_NUMBER_MAX];

	switch (kind) {
	case KIND_RATE:
	case KIND_BYTES:
		if (number >= 100) {
			html_count(html, (uint64_t)(MIN(number, 1e18) + .5));
			return;
		}
		text_number(number, text, sizeof(text));
		break;
	case KIND_COUNT:
		html_count(html, (uint64_t)number);
		return;
	case KIND_SHARE:
		text_percent(number, text, sizeof(text));
		break;
	case KIND_DURATION:
		html_duration(html, (int64_t)number);
		return;
	}
	html_string(html, text);
}

/* "+12.3 %" against the first run. */
static void put_difference(struct html *html, double first, double number)
{
	double percent = 100 * (number / first - 1);
	bool small = fabs(percent) < .05;

	HTML(html, "<small>%s", small ? "&plusmn;" : percent < 0 ? "&minus;" : "+");
	html_fixed(html, fabs(percent), !small && fabs(percent) < 99.95 ? 1 : 0);
	HTML(html, " %%</small>");
}

static void put_row(struct html *html, size_t row, const struct run *const *runs, size_t n)
{
	double first = rows[row].measure(runs[0]);

	HTML(html, "<tr><th scope=\"row\">%s</th>", rows[row].name);
	for (size_t i = 0; i < n; i++) {
		double number = rows[row].measure(runs[i]);

		HTML(html, "<td class=\"n\">");
		if (isnan(number)) {
			HTML(html, "-");
		} else {
			put_number(html, rows[row].kind, number);
			if (i > 0 && first > 0) {
				put_difference(html, first, number);
			}
		}
		HTML(html, "</td>");
	}
	HTML(html, "</tr>\n");
}

static void put_assertions(struct html *html, const struct run *run)
{
	size_t held = 0;

	for (size_t i = 0; i < run->n_assertions; i++) {
		held += run->assertions[i].held;
	}
	if (run->n_assertions == 0) {
		HTML(html, "<td class=\"n\">-</td>");
	} else {
		HTML(html, "<td class=\"n %s\">%zu of %zu</td>",
		     held == run->n_assertions ? "good" : "bad", held, run->n_assertions);
	}
}

void report_html_compare(struct html *html, const struct run *const *runs, size_t n)
{
	char name[REPORT_HTML_NAME_MAX];

	HTML(html, "<div class=\"wide\"><table>\n<thead><tr><th></th>");
	for (size_t i = 0; i < n; i++) {
		HTML(html, "<th class=\"n\"><bdi>");
		report_html_name(runs[i], i, n, name, sizeof(name));
		html_string(html, name);
		HTML(html, "</bdi></th>");
	}
	HTML(html, "</tr></thead>\n<tbody>\n");
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		put_row(html, row, runs, n);
	}
	HTML(html, "<tr><th scope=\"row\">assertions held</th>");
	for (size_t i = 0; i < n; i++) {
		put_assertions(html, runs[i]);
	}
	HTML(html, "</tr>\n<tr><th scope=\"row\">limited by</th>");
	for (size_t i = 0; i < n; i++) {
		HTML(html, "<td class=\"n\">%s</td>", run_limit_name(run_limit(runs[i])));
	}
	HTML(html,
	     "</tr>\n</tbody></table></div>\n"
	     "<p class=\"note\">Latencies are of calls that were OK, from their intended start "
	     "where nothing else is said. Percentages are against the first run.</p>\n");
}

/*
 * A page that needs nothing else: no script, no request for anything, which its own policy
 * forbids as well. Texts of peers are text wherever they stand.
 */
#include "client/report_html.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/options.h"
#include "client/report.h"

static void put_rate(struct html *html, double rate)
{
	char text[TEXT_NUMBER_MAX];

	if (rate >= 100) {
		html_count(html, (uint64_t)(MIN(rate, 1e18) + .5));
	} else {
		text_number(rate, text, sizeof(text));
		html_string(html, text);
	}
}

static void put_percent(struct html *html, double share)
{
	char text[TEXT_NUMBER_MAX];

	text_percent(share, text, sizeof(text));
	html_string(html, text);
}

static double error_rate(const struct run *run)
{
	return (double)recorder_failed(&run->results) / (double)recorder_done(&run->results);
}

static bool assertions_all_held(const struct run *run)
{
	for (size_t i = 0; i < run->n_assertions; i++) {
		if (!run->assertions[i].held) {
			return false;
		}
	}
	return true;
}

static void put_date(struct html *html, int64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_S);
	struct tm day;

	gmtime_r(&seconds, &day);
	HTML(html, "%04d-%02d-%02d %02d:%02d:%02d UTC", day.tm_year + 1900, day.tm_mon + 1,
	     day.tm_mday, day.tm_hour, day.tm_min, day.tm_sec);
}

/* --- what it was and what came of it, in words --------------------------------------------- */

static void put_origin(struct html *html, const struct run *run)
{
	HTML(html, "<p class=\"soft\">");
	html_string(html, run->plan);
	HTML(html, "</p>\n<p class=\"soft\"><code>");
	html_string(html, run->method);
	HTML(html, "</code> at ");
	for (size_t i = 0; i < run->n_targets; i++) {
		HTML(html, "%s<code>", i > 0 ? ", " : "");
		html_string(html, run->targets[i]);
		HTML(html, "</code>");
	}
	HTML(html, " &middot; began ");
	put_date(html, run->started_unix_ns);
	HTML(html, " &middot; ");
	html_duration(html, run->elapsed_ns);
	HTML(html, " measured &middot; on ");
	html_string(html, run->host);
	HTML(html, " &middot; echod ");
	html_string(html, run->version);
	HTML(html, " &middot; run <code>");
	html_string(html, run->id);
	HTML(html, "</code>");
	if (run->merged > 1) {
		HTML(html, " &middot; %zu runs, merged", run->merged);
	}
	HTML(html, "</p>\n");
}

/* Of the intended start and of the send: where they differ so much, the latter misleads. */
static void put_omission(struct html *html, const struct run *run)
{
	double q = run_omission_quantile(run);

	HTML(html,
	     "<p><b>Calls waited before they could be sent.</b> Counted from their intended "
	     "start, p%g is <b>",
	     q * 100);
	html_duration(html, latencies_quantile(run->results.latency_ok, q));
	HTML(html, "</b>; from the send it is ");
	html_duration(html, latencies_quantile(run->results.service_ok, q));
	HTML(html, ", which alone would hide what a user had to wait.</p>\n");
}

static void put_incomplete(struct html *html, const struct run *run)
{
	const struct recorder *results = &run->results;

	if (run->ended_by) {
		HTML(html, "<p>Ended early: ");
		html_string(html, run->ended_by);
		HTML(html, ".</p>\n");
	}
	if (results->deferred > 0) {
		HTML(html, "<p>Calls that had to wait for a place in flight: ");
		html_count(html, results->deferred);
		HTML(html, ".</p>\n");
	}
	if (results->never_sent > 0 || results->unfinished > 0) {
		HTML(html, "<p>Calls that were due and never sent: ");
		html_count(html, results->never_sent);
		HTML(html, "; that had not ended when the run did: ");
		html_count(html, results->unfinished);
		HTML(html, ".</p>\n");
	}
}

static const char *verdict_class(const struct run *run)
{
	const struct recorder *results = &run->results;

	if (!assertions_all_held(run) ||
	    (recorder_done(results) > 0 && recorder_failed(results) == recorder_done(results))) {
		return " fail";
	}
	if (recorder_failed(results) > 0 || run_omission_matters(run) || run->ended_by ||
	    (run->schedule.n > 0 && run_limit(run) != RUN_LIMIT_NOTHING)) {
		return " warn";
	}
	return "";
}

static void put_verdict(struct html *html, const struct run *run)
{
	HTML(html, "<div class=\"verdict%s\">\n<p><strong>", verdict_class(run));
	if (recorder_answered(&run->results) == 0) {
		HTML(html, "No call was answered.</strong></p>\n");
		put_incomplete(html, run);
		HTML(html, "</div>\n");
		return;
	}
	if (run->schedule.n > 0) {
		HTML(html, "Offered ");
		put_rate(html, run_offered_rate(run));
		HTML(html, "/s, achieved ");
	} else {
		HTML(html, "Achieved ");
	}
	put_rate(html, run_achieved_rate(run));
	HTML(html, "/s, limited by: %s.</strong></p>\n", run_limit_name(run_limit(run)));
	if (run_omission_matters(run)) {
		put_omission(html, run);
	}
	put_incomplete(html, run);
	HTML(html, "</div>\n");
}

static void tile_begin(struct html *html, const char *name, const char *class)
{
	HTML(html, "<li><span>%s</span><b%s>", name, class);
}

static void tile_end(struct html *html)
{
	HTML(html, "</b></li>\n");
}

static void put_tiles(struct html *html, const struct run *run)
{
	const struct recorder *results = &run->results;
	static const struct {
		const char *name;
		double share;
	} quantiles[] = { { "p50", .5 }, { "p99", .99 }, { "p99.9", .999 } };
	size_t held = 0;

	HTML(html, "<ul class=\"tiles\">\n");
	tile_begin(html, "achieved", "");
	put_rate(html, run_achieved_rate(run));
	HTML(html, "/s");
	tile_end(html);
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		tile_begin(html, quantiles[i].name, "");
		if (latencies_count(results->latency_ok) > 0) {
			html_duration(html,
				      latencies_quantile(results->latency_ok, quantiles[i].share));
		} else {
			HTML(html, "-");
		}
		tile_end(html);
	}
	tile_begin(html, "calls done", "");
	html_count(html, recorder_done(results));
	tile_end(html);
	tile_begin(html, "failed", recorder_failed(results) > 0 ? " class=\"bad\"" : "");
	if (recorder_done(results) > 0) {
		put_percent(html, error_rate(run));
	} else {
		HTML(html, "-");
	}
	tile_end(html);
	if (run->n_assertions > 0) {
		for (size_t i = 0; i < run->n_assertions; i++) {
			held += run->assertions[i].held;
		}
		tile_begin(html, "assertions",
			   held == run->n_assertions ? " class=\"good\"" : " class=\"bad\"");
		HTML(html, "%zu of %zu", held, run->n_assertions);
		tile_end(html);
	}
	HTML(html, "</ul>\n");
}

/* --- pages --------------------------------------------- */

static void page_begin(struct html *html, const struct run *const *runs, size_t n)
{
	char name[REPORT_HTML_NAME_MAX];

	HTML(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		   "style-src 'unsafe-inline'\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		   "<meta name=\"generator\" content=\"echod\">\n<title>");
	if (n == 1) {
		HTML(html, "Load run ");
		report_html_name(runs[0], 0, n, name, sizeof(name));
		html_string(html, name);
	} else {
		HTML(html, "%zu load runs compared", n);
	}
	HTML(html, "</title>\n<style>\n");
	for (size_t i = 0; i < REPORT_HTML_STYLES; i++) {
		TEXT_CHAIN(html->err, buffer_append_str(html->out, str_from(report_html_style[i])));
	}
	HTML(html, "</style>\n</head>\n<body>\n");
}

static void page_of_one(struct html *html, const struct run *const *runs)
{
	const struct run *run = runs[0];
	char name[REPORT_HTML_NAME_MAX];

	report_html_name(run, 0, 1, name, sizeof(name));
	HTML(html, "<header>\n<h1>Load run <bdi>");
	html_string(html, name);
	HTML(html, "</bdi></h1>\n");
	put_origin(html, run);
	HTML(html, "</header>\n<main>\n");
	put_verdict(html, run);
	put_tiles(html, run);
	report_html_charts(html, runs, 1);
	HTML(html, "<h2>In numbers</h2>\n");
	report_html_details(html, run);
}

static void page_of_many(struct html *html, const struct run *const *runs, size_t n)
{
	char name[REPORT_HTML_NAME_MAX];

	HTML(html, "<header>\n<h1>%zu load runs compared</h1>\n</header>\n<main>\n", n);
	report_html_compare(html, runs, n);
	report_html_charts(html, runs, n);
	for (size_t i = 0; i < n; i++) {
		HTML(html, "<section>\n<h2>Run <bdi>");
		report_html_name(runs[i], i, n, name, sizeof(name));
		html_string(html, name);
		HTML(html, "</bdi></h2>\n");
		put_origin(html, runs[i]);
		put_verdict(html, runs[i]);
		report_html_details(html, runs[i]);
		HTML(html, "</section>\n");
	}
}

int report_html(struct buffer *out, const struct run *const *runs, size_t n)
{
	struct html html = { .out = out };

	page_begin(&html, runs, n);
	if (n == 1) {
		page_of_one(&html, runs);
	} else {
		page_of_many(&html, runs, n);
	}
	HTML(&html, "</main>\n</body>\n</html>\n");
	return html.err;
}

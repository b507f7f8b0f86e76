/* Latencies as a table of quantiles, and as a histogram drawn with characters. */
#include <inttypes.h>
#include <math.h>

#include "client/report_page.h"

#define LABEL_COLUMNS "14"
#define BODY_ROWS     10
#define ROWS          (BODY_ROWS + 3)
/* What stands left of a bar. */
#define FIGURE_COLUMNS 41
#define MIN_BAR        8

static void table_cell(struct page *page, int64_t ns)
{
	char text[TEXT_NUMBER_MAX];

	text_duration(ns, text, sizeof(text));
	page_print(page, "%8s", text);
}

static void table_row(struct page *page, const char *label, const struct latencies *latencies)
{
	static const double quantiles[] = { .5, .9, .95, .99, .999 };

	if (latencies_count(latencies) == 0) {
		return;
	}
	page_print(page, "%-" LABEL_COLUMNS "s", label);
	table_cell(page, latencies_min(latencies));
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		table_cell(page, latencies_quantile(latencies, quantiles[i]));
	}
	table_cell(page, latencies_max(latencies));
	table_cell(page, (int64_t)(latencies_mean(latencies) + .5));
	page_print(page, "\n");
}

void page_latencies(struct page *page, const struct recorder *results)
{
	bool failed = latencies_count(results->latency_failed) > 0;

	if (latencies_count(results->latency_ok) == 0 && !failed) {
		return;
	}
	page_look(page, PAGE_BOLD);
	page_print(page, "\n%-" LABEL_COLUMNS "s%8s%8s%8s%8s%8s%8s%8s%8s\n", "", "min", "p50",
		   "p90", "p95", "p99", "p99.9", "max", "mean");
	page_look(page, PAGE_PLAIN);
	table_row(page, "latency OK", results->latency_ok);
	table_row(page, "service OK", results->service_ok);
	table_row(page, "latency failed", results->latency_failed);
	table_row(page, "service failed", results->service_failed);
	table_row(page, "injected delay", results->delay);
	table_row(page, "without delay", results->undelayed);
	table_row(page, "lag", results->lag);
	page_look(page, PAGE_FAINT);
	page_print(page,
		   "latency counts from when a call was %s, service from when it was sent%s\n",
		   results->open_loop ? "due" : "started", results->open_loop ? ";" : "");
	page_print(page, "%s",
		   results->open_loop ? "lag is how much later than due this client started it\n"
				      : "");
	if (latencies_count(results->undelayed) > 0) {
		page_print(page, "without delay is the service of calls that were delayed, less "
				 "their delays\n");
	}
	page_look(page, PAGE_PLAIN);
}

/* --- the histogram ------------------------------------------------------------ */

struct figure_row {
	int64_t to_ns; /* the largest value that belongs to it */
	uint64_t n;
};

/*
 * Where rows end: those of the body, from p1 to p99, grow by one factor; the tail has
 * three, to p99.9, p99.99 and the end. So neither a body within a few percent nor a tail
 * a thousand times as long makes one row of everything.
 */
static void set_edges(const struct latencies *latencies, double *edges)
{
	double low = (double)MAX(latencies_quantile(latencies, .01), 1);
	double high = (double)MAX(latencies_quantile(latencies, .99), 1);
	double factor = pow(high / low, 1.0 / (BODY_ROWS - 1));

	for (size_t i = 0; i < BODY_ROWS; i++) {
		edges[i] = low * pow(factor, (double)i);
	}
	edges[BODY_ROWS - 1] = high; /* whatever pow() rounds */
	edges[BODY_ROWS] = (double)latencies_quantile(latencies, .999);
	edges[BODY_ROWS + 1] = (double)latencies_quantile(latencies, .9999);
	edges[BODY_ROWS + 2] = (double)LATENCIES_LONGEST;
}

/* Of whole buckets, so that each count is exact: a bucket's middle says where it belongs. */
static size_t fill_rows(const struct latencies *latencies, struct figure_row *rows)
{
	struct latencies_bucket bucket;
	double edges[ROWS];
	size_t n = 0, row = 0;

	set_edges(latencies, edges);
	for (uint32_t at = 0; latencies_next(latencies, at, &bucket); at = bucket.index + 1) {
		double middle = ((double)bucket.low_ns + (double)bucket.high_ns) / 2;
		bool beyond = false;

		for (; row + 1 < ROWS && middle > edges[row]; row++) {
			beyond = true;
		}
		if (n == 0 || beyond) {
			rows[n++] = (struct figure_row){ 0, 0 };
		}
		rows[n - 1].to_ns = MIN(bucket.high_ns, latencies_max(latencies));
		rows[n - 1].n += bucket.n;
	}
	return n;
}

void page_distribution(struct page *page, const struct latencies *latencies, const char *title)
{
	uint64_t total = latencies_count(latencies), most = 0, seen = 0;
	size_t columns =
		MAX(page->style.columns, FIGURE_COLUMNS + MIN_BAR + 1) - FIGURE_COLUMNS - 1;
	struct figure_row rows[ROWS];
	char to[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX], all[TEXT_NUMBER_MAX];
	size_t n;

	if (total == 0) {
		return;
	}
	n = fill_rows(latencies, rows);
	for (size_t i = 0; i < n; i++) {
		most = MAX(most, rows[i].n);
	}
	page_look(page, PAGE_BOLD);
	page_print(page, "\n%-14s%10s%8s%8s\n", title, "calls", "share", "in all");
	page_look(page, PAGE_PLAIN);
	for (size_t i = 0; i < n; i++) {
		seen += rows[i].n;
		text_duration(rows[i].to_ns, to, sizeof(to));
		text_percent((double)rows[i].n / (double)total, share, sizeof(share));
		text_percent((double)seen / (double)total, all, sizeof(all));
		page_print(page, "up to %8s%10" PRIu64 "%8s%8s ", to, rows[i].n, share, all);
		page_bar(page, (double)rows[i].n / (double)most, columns);
		page_print(page, "\n");
	}
}

/* Latencies as a table of quantiles, and as a histogram drawn with characters. */
#include <inttypes.h>
#include <math.h>

#include "client/report_page.h"

#define LABEL_COLUMNS 14
#define CELL_COLUMNS  8
#define BODY_ROWS     10
#define ROWS          (BODY_ROWS + 3)
/* What stands left of a bar. */
#define FIGURE_COLUMNS 41
#define SHARE_COLUMNS  8 /* of them, those that a narrow page leaves out */
#define MIN_BAR        8

/* What is known of latencies, in the order of the page; the greatest rank goes first. */
static const struct {
	const char *name;
	unsigned rank;
	double quantile; /* below 0: the least; above 1: the mean */
} figures[] = {
	{ "min", 7, -1 },  { "p50", 1, .5 },     { "p90", 4, .9 }, { "p95", 8, .95 },
	{ "p99", 2, .99 }, { "p99.9", 5, .999 }, { "max", 3, 1 },  { "mean", 6, 2 },
};

/* How many of them fit. */
static unsigned fitting(const struct page *page)
{
	return MIN((page->style.columns - LABEL_COLUMNS) / CELL_COLUMNS, ARRAY_SIZE(figures));
}

static int64_t figure_of(const struct latencies *latencies, double quantile)
{
	if (quantile < 0) {
		return latencies_min(latencies);
	}
	if (quantile > 1) {
		return (int64_t)(latencies_mean(latencies) + .5);
	}
	return quantile == 1 ? latencies_max(latencies) : latencies_quantile(latencies, quantile);
}

static void table_row(struct page *page, const char *label, const struct latencies *latencies)
{
	char text[TEXT_NUMBER_MAX];

	if (latencies_count(latencies) == 0) {
		return;
	}
	page_print(page, "%-*s", LABEL_COLUMNS, label);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (figures[i].rank <= fitting(page)) {
			text_duration(figure_of(latencies, figures[i].quantile), text,
				      sizeof(text));
			page_print(page, "%*s", CELL_COLUMNS, text);
		}
	}
	page_print(page, "\n");
}

static void note(struct page *page, const char *text)
{
	struct buffer words = BUFFER_INIT;

	TEXT_PRINT(page->err, &words, "%s", text);
	if (page->err == 0) {
		page_paragraph(page, &words, 0);
	}
	buffer_free(&words);
}

void page_latencies(struct page *page, const struct recorder *results)
{
	bool failed = latencies_count(results->latency_failed) > 0;

	if (latencies_count(results->latency_ok) == 0 && !failed) {
		return;
	}
	page_look(page, PAGE_BOLD);
	page_print(page, "\n%-*s", LABEL_COLUMNS, "");
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (figures[i].rank <= fitting(page)) {
			page_print(page, "%*s", CELL_COLUMNS, figures[i].name);
		}
	}
	page_print(page, "\n");
	page_look(page, PAGE_PLAIN);
	table_row(page, "latency OK", results->latency_ok);
	table_row(page, "service OK", results->service_ok);
	table_row(page, "latency failed", results->latency_failed);
	table_row(page, "service failed", results->service_failed);
	table_row(page, "injected delay", results->delay);
	table_row(page, "without delay", results->undelayed);
	table_row(page, "lag", results->lag);
	page_look(page, PAGE_FAINT);
	note(page,
	     results->open_loop
		     ? "latency counts from when a call was due, service from when it was sent;"
		     : "latency counts from when a call was started, service from when it was "
		       "sent");
	if (results->open_loop) {
		note(page, "lag is how much later than due this client started it");
	}
	if (latencies_count(results->undelayed) > 0) {
		note(page, "without delay is the service of calls that were delayed, less their "
			   "delays");
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
	bool narrow = page->style.columns < FIGURE_COLUMNS + MIN_BAR + 1;
	size_t figure = FIGURE_COLUMNS - (narrow ? SHARE_COLUMNS : 0);
	size_t columns = page->style.columns - figure - 1;
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
	page_print(page, "\n%-14s%10s%s%8s\n", title, "calls", narrow ? "" : "   share", "in all");
	page_look(page, PAGE_PLAIN);
	for (size_t i = 0; i < n; i++) {
		seen += rows[i].n;
		text_duration(rows[i].to_ns, to, sizeof(to));
		text_percent((double)rows[i].n / (double)total, share, sizeof(share));
		text_percent((double)seen / (double)total, all, sizeof(all));
		page_print(page, "up to %8s%10" PRIu64, to, rows[i].n);
		if (!narrow) {
			page_print(page, "%8s", share);
		}
		page_print(page, "%8s ", all);
		page_bar(page, (double)rows[i].n / (double)most, columns);
		page_print(page, "\n");
	}
}

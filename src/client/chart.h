/*
 * A chart as SVG in a page: two axes with their ticks, lines, bands. Places are given in
 * what the axes measure. Colours and dashes are the page's style sheet's, by class.
 *
 *	chart_begin() -> chart_band() ... -> chart_axes() -> lines -> chart_end()
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/html.h"

#define CHART_MAX_TICKS 24

struct chart_tick {
	double at;
	bool minor; /* no label, a fainter line */
	char label[48];
};

struct chart_axis {
	const char *title; /* with its unit; markup */
	double low, high;  /* low < high; log: above 0 */
	bool log;
	struct chart_tick ticks[CHART_MAX_TICKS];
	size_t n;
};

/* Each sets all but the title, with ticks at round values. */
/* ns; a logarithmic one begins and ends at a whole power of ten. */
void chart_axis_durations(struct chart_axis *axis, double low_ns, double high_ns, bool log);
/* From 0 to at least `high`. */
void chart_axis_numbers(struct chart_axis *axis, double high);
/* ns since the beginning. */
void chart_axis_time(struct chart_axis *axis, int64_t length_ns);
/* Percentiles of so many values, by chart_percentile(). */
void chart_axis_percentiles(struct chart_axis *axis, uint64_t count);
/* Where a share of them lies, in [0, 1): each nine as wide as the one before. */
double chart_percentile(double share);

struct chart {
	struct html *html;
	struct chart_axis x, y;
	/* Of the line being drawn, in the picture's units. */
	double last_x, last_y, skipped_x, skipped_y;
	size_t points; /* of the piece since the last gap */
	bool skipped;
};

/* chart->html and the axes are set. Title and description are text, for those who hear it. */
void chart_begin(struct chart *chart, const char *title, const char *description);
void chart_axes(struct chart *chart);
/* The whole height between two x; `about` (may be NULL) is shown at a pointer, as text. */
void chart_band(struct chart *chart, double from, double to, const char *class, const char *about);
/* Points from left to right; what lies closer than can be seen is left out. */
void chart_line_begin(struct chart *chart, const char *class);
void chart_line_to(struct chart *chart, double x, double y);
void chart_line_gap(struct chart *chart);
void chart_line_end(struct chart *chart);
void chart_end(struct chart *chart);

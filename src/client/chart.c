#include "client/chart.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/options.h"

/* Of the picture, in its own units: about a pixel each. */
#define WIDTH  860.0
#define HEIGHT 300.0
#define LEFT   74.0
#define RIGHT  14.0
#define TOP    10.0
#define BOTTOM 48.0

#define SEEN_APART  0.7 /* units; what is closer than that is one point */
#define TICKS_MEANT 6   /* of an axis with even steps */

/* --- axes --------------------------------------------- */

static struct chart_tick *add_tick(struct chart_axis *axis, double at)
{
	struct chart_tick *tick;

	if (axis->n == CHART_MAX_TICKS) {
		axis->n--; /* never: the steps are chosen so */
	}
	tick = &axis->ticks[axis->n++];
	*tick = (struct chart_tick){ .at = at };
	return tick;
}

/* 1, 2 or 5 times a power of ten, so that about `n` of them fill `length`. */
static double round_step(double length, double n)
{
	double power = pow(10, floor(log10(length / n)));
	double steps = length / n / power;

	return power * (steps <= 1.001 ? 1 : steps <= 2.001 ? 2 : steps <= 5.001 ? 5 : 10);
}

/* "250 us" as it stands at a tick: no zeros that say nothing. */
static void label_duration(char *text, size_t size, double ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "s", 1e9 }, { "ms", 1e6 }, { "\302\265s", 1e3 }, { "ns", 1 } };
	char number[TEXT_NUMBER_MAX];
	size_t unit = 0;

	while (unit + 1 < ARRAY_SIZE(units) && ns < units[unit].ns * .9999) {
		unit++;
	}
	text_number(ns / units[unit].ns, number, sizeof(number));
	snprintf(text, size, "%s %s", number, units[unit].name);
}

/* At most eleven decades from 1 ns to 100 s and beyond: with their 2 and 5 where few. */
static void log_ticks(struct chart_axis *axis)
{
	int low = (int)lround(log10(axis->low)), high = (int)lround(log10(axis->high));
	bool between = high - low <= 5;

	for (int power = low; power <= high; power++) {
		double decade = pow(10, power);

		label_duration(add_tick(axis, decade)->label, sizeof(axis->ticks[0].label), decade);
		if (between && power < high) {
			add_tick(axis, 2 * decade)->minor = true;
			add_tick(axis, 5 * decade)->minor = true;
		}
	}
}

void chart_axis_durations(struct chart_axis *axis, double low_ns, double high_ns, bool log)
{
	double step;

	axis->n = 0;
	axis->log = log;
	high_ns = MAX(high_ns, 1);
	if (log) {
		axis->low = pow(10, floor(log10(MAX(low_ns, 1)) + 1e-9));
		axis->high = pow(10, ceil(log10(MAX(high_ns, axis->low * 1.01)) - 1e-9));
		log_ticks(axis);
		return;
	}
	step = round_step(high_ns, TICKS_MEANT);
	axis->low = 0;
	axis->high = ceil(high_ns / step - 1e-9) * step;
	snprintf(add_tick(axis, 0)->label, sizeof(axis->ticks[0].label), "0");
	for (double i = 1; i * step <= axis->high * 1.0001; i++) {
		label_duration(add_tick(axis, i * step)->label, sizeof(axis->ticks[0].label),
			       i * step);
	}
}

/* "250k", "1.5M". */
static void label_number(char *text, size_t size, double number)
{
	char digits[TEXT_NUMBER_MAX];
	bool millions = number >= 1e6, thousands = !millions && number >= 1e4;

	text_number(number / (millions ? 1e6 : thousands ? 1e3 : 1), digits, sizeof(digits));
	snprintf(text, size, "%s%s", digits, millions ? "M" : thousands ? "k" : "");
}

void chart_axis_numbers(struct chart_axis *axis, double high)
{
	double step = round_step(MAX(high, .05), TICKS_MEANT);

	axis->n = 0;
	axis->log = false;
	axis->low = 0;
	axis->high = ceil(MAX(high, .05) / step - 1e-9) * step;
	for (double i = 0; i * step <= axis->high * 1.0001; i++) {
		label_number(add_tick(axis, i * step)->label, sizeof(axis->ticks[0].label),
			     i * step);
	}
}

void chart_axis_time(struct chart_axis *axis, int64_t length_ns)
{
	/* Seconds that divide minutes and hours. */
	static const int64_t steps[] = { 1,   2,   5,    10,   15,   30,    60,    120,  300,
					 600, 900, 1800, 3600, 7200, 21600, 43200, 86400 };
	size_t i = 0;
	int64_t step_ns;

	length_ns = MAX(length_ns, NS_PER_MS);
	while (i + 1 < ARRAY_SIZE(steps) && length_ns / NS_PER_S > steps[i] * 12) {
		i++;
	}
	step_ns = steps[i] * NS_PER_S;
	if (length_ns < 3 * NS_PER_S) {
		step_ns = (int64_t)(round_step((double)length_ns, TICKS_MEANT) + .5);
	}
	step_ns = MAX(step_ns, length_ns / (CHART_MAX_TICKS - 2));
	axis->n = 0;
	axis->log = false;
	axis->low = 0;
	axis->high = (double)length_ns;
	for (int64_t nth = 0; nth <= length_ns / step_ns; nth++) { /* the sum might overflow */
		struct chart_tick *tick = add_tick(axis, (double)(nth * step_ns));

		format_duration(nth * step_ns, tick->label, sizeof(tick->label));
	}
}

double chart_percentile(double share)
{
	return -log10(1 - share);
}

void chart_axis_percentiles(struct chart_axis *axis, uint64_t count)
{
	static const char nines[] = "99999999999999999999";

	axis->n = 0;
	axis->log = false;
	axis->low = 0;
	axis->high = MAX(log10((double)MAX(count, 1)), 1);
	snprintf(add_tick(axis, 0)->label, sizeof(axis->ticks[0].label), "0 %%");
	if (axis->high < 7) { /* else it stands too near the first */
		snprintf(add_tick(axis, chart_percentile(.5))->label, sizeof(axis->ticks[0].label),
			 "50 %%");
	}
	for (int n = 1; n <= axis->high + 1e-9; n++) {
		char *label = add_tick(axis, n)->label;

		if (n <= 2) {
			snprintf(label, sizeof(axis->ticks[0].label), "%s %%",
				 n == 1 ? "90" : "99");
		} else {
			snprintf(label, sizeof(axis->ticks[0].label), "99.%.*s %%", n - 2, nines);
		}
	}
}

/* --- places --------------------------------------------- */

static double share_of(const struct chart_axis *axis, double at)
{
	double share;

	at = MIN(MAX(at, axis->low), axis->high);
	share = axis->log ? log10(at / axis->low) / log10(axis->high / axis->low)
			  : (at - axis->low) / (axis->high - axis->low);
	return MIN(MAX(share, 0), 1);
}

static double place_x(const struct chart *chart, double x)
{
	return LEFT + share_of(&chart->x, x) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct chart *chart, double y)
{
	return HEIGHT - BOTTOM - share_of(&chart->y, y) * (HEIGHT - TOP - BOTTOM);
}

/* name="12.3" */
static void attribute(struct html *html, const char *name, double number)
{
	HTML(html, " %s=\"", name);
	html_fixed(html, number, 1);
	HTML(html, "\"");
}

/* --- drawing --------------------------------------------- */

void chart_begin(struct chart *chart, const char *title, const char *description)
{
	struct html *html = chart->html;
	unsigned id = html->ids++;

	HTML(html,
	     "<div class=\"chart\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
	     "aria-labelledby=\"t%u d%u\">\n<title id=\"t%u\">",
	     (int)WIDTH, (int)HEIGHT, id, id, id);
	html_string(html, title);
	HTML(html, "</title>\n<desc id=\"d%u\">", id);
	html_string(html, description);
	HTML(html, "</desc>\n");
}

static void rule(struct chart *chart, const char *class, double x1, double y1, double x2, double y2)
{
	HTML(chart->html, "<line class=\"%s\"", class);
	attribute(chart->html, "x1", x1);
	attribute(chart->html, "y1", y1);
	attribute(chart->html, "x2", x2);
	attribute(chart->html, "y2", y2);
	HTML(chart->html, "/>\n");
}

static void label(struct chart *chart, const char *anchor, double x, double y, const char *text)
{
	HTML(chart->html, "<text text-anchor=\"%s\"", anchor);
	attribute(chart->html, "x", x);
	attribute(chart->html, "y", y);
	HTML(chart->html, ">%s</text>\n", text);
}

void chart_axes(struct chart *chart)
{
	double bottom = HEIGHT - BOTTOM, right = WIDTH - RIGHT;

	for (size_t i = 0; i < chart->y.n; i++) {
		const struct chart_tick *tick = &chart->y.ticks[i];
		double y = place_y(chart, tick->at);

		rule(chart, tick->minor ? "minor" : "grid", LEFT, y, right, y);
		if (!tick->minor) {
			label(chart, "end", LEFT - 8, y + 4, tick->label);
		}
	}
	for (size_t i = 0; i < chart->x.n; i++) {
		const struct chart_tick *tick = &chart->x.ticks[i];
		double x = place_x(chart, tick->at);

		rule(chart, "grid", x, TOP, x, bottom);
		label(chart, x > right - 20 ? "end" : "middle", MIN(x, right), bottom + 18,
		      tick->label);
	}
	rule(chart, "axis", LEFT, bottom, right, bottom);
	rule(chart, "axis", LEFT, TOP, LEFT, bottom);
	HTML(chart->html, "<text class=\"of\" text-anchor=\"middle\"");
	attribute(chart->html, "x", (LEFT + right) / 2);
	attribute(chart->html, "y", HEIGHT - 8);
	HTML(chart->html, ">%s</text>\n<text class=\"of\" text-anchor=\"middle\" transform=\"",
	     chart->x.title);
	HTML(chart->html, "translate(14 %d) rotate(-90)\">%s</text>\n", (int)((TOP + bottom) / 2),
	     chart->y.title);
}

void chart_band(struct chart *chart, double from, double to, const char *class, const char *about)
{
	double x = place_x(chart, from);

	HTML(chart->html, "<rect class=\"%s\"", class);
	attribute(chart->html, "x", x);
	attribute(chart->html, "y", TOP);
	attribute(chart->html, "width", MAX(place_x(chart, to) - x, 1));
	attribute(chart->html, "height", HEIGHT - TOP - BOTTOM);
	if (about) {
		HTML(chart->html, "><title>");
		html_string(chart->html, about);
		HTML(chart->html, "</title></rect>\n");
	} else {
		HTML(chart->html, "/>\n");
	}
}

void chart_line_begin(struct chart *chart, const char *class)
{
	chart->points = 0;
	chart->skipped = false;
	HTML(chart->html, "<path class=\"%s\" d=\"", class);
}

static void put_point(struct chart *chart, double x, double y)
{
	HTML(chart->html, "%s", chart->points == 0 ? "M" : chart->points == 1 ? "L" : " ");
	html_fixed(chart->html, x, 1);
	HTML(chart->html, " ");
	html_fixed(chart->html, y, 1);
	chart->points++;
	chart->last_x = x;
	chart->last_y = y;
	chart->skipped = false;
}

void chart_line_to(struct chart *chart, double x, double y)
{
	x = place_x(chart, x);
	y = place_y(chart, y);
	if (chart->points > 0 && fabs(x - chart->last_x) < SEEN_APART &&
	    fabs(y - chart->last_y) < SEEN_APART) {
		chart->skipped = true;
		chart->skipped_x = x;
		chart->skipped_y = y;
		return;
	}
	put_point(chart, x, y);
}

void chart_line_gap(struct chart *chart)
{
	if (chart->points == 1) {
		HTML(chart->html, "m-4 0h8"); /* a point alone would not be seen */
	} else if (chart->skipped) {
		put_point(chart, chart->skipped_x, chart->skipped_y);
	}
	chart->points = 0;
	chart->skipped = false;
}

void chart_line_end(struct chart *chart)
{
	chart_line_gap(chart);
	HTML(chart->html, "\"/>\n");
}

void chart_end(struct chart *chart)
{
	HTML(chart->html, "</svg></div>\n");
}

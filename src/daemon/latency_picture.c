#include "daemon/latency_picture.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

/* Four bars from one power of two to the next: of a factor of 1.19 each. */
#define BAR_BUCKETS  4
#define BARS         ((NATIVE_BUCKETS + BAR_BUCKETS - 1) / BAR_BUCKETS)
#define BARS_PER_TWO ((1 << NATIVE_SCHEMA) / BAR_BUCKETS)
#define FEWEST_BARS  24 /* shown, so that a few are no wall */

/* In the units of the picture. The text of a narrow page is that much larger: see the style. */
#define WIDTH      640.0
#define PLOT_LEFT  8.0
#define PLOT_RIGHT (WIDTH - 8.0)
#define PLOT_TOP   72.0
#define PLOT_FOOT  216.0
#define HEIGHT     244.0
#define NAME_WIDTH 180.0
#define MARK_ROW   21.0 /* from the name of one quantile to that below */

static const struct mark {
	const char *name;
	double q;
} marks[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 } };

/* Upper bound, inclusive, of buckets[i]. */
static double bound(double i)
{
	return exp2((i + NATIVE_FIRST_INDEX) / (1 << NATIVE_SCHEMA));
}

double latency_quantile(const struct native_snapshot *snapshot, double q)
{
	double rank = q * (double)snapshot->count, below = (double)snapshot->zero;

	if (rank <= below) {
		return 0;
	}
	for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
		double count = (double)snapshot->buckets[i];

		if (count > 0 && below + count >= rank) {
			return bound((double)i - 1 + (rank - below) / count);
		}
		below += count;
	}
	return bound(NATIVE_BUCKETS - 1);
}

struct picture {
	struct html *html;
	uint64_t bars[BARS];
	uint64_t most;     /* of one bar */
	size_t first, end; /* bars that are shown */
};

static void gather(struct picture *picture, const struct native_snapshot *snapshot)
{
	size_t last = 0;

	picture->first = BARS;
	picture->bars[0] = snapshot->zero;
	for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
		picture->bars[i / BAR_BUCKETS] += snapshot->buckets[i];
	}
	for (size_t i = 0; i < BARS; i++) {
		if (picture->bars[i] > 0) {
			picture->first = MIN(picture->first, i);
			picture->most = MAX(picture->most, picture->bars[i]);
			last = i;
		}
	}
	picture->first -= MIN(picture->first, 2);
	picture->end = MIN(last + 3, BARS);
	while (picture->end - picture->first < FEWEST_BARS) { /* room on both sides */
		picture->first -= picture->first > 0;
		picture->end += picture->end < BARS;
	}
}

/* Of an edge between bars, which need not be a whole number. */
static double x_of_bar(const struct picture *picture, double bar)
{
	return PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * (bar - (double)picture->first) /
				   (double)(picture->end - picture->first);
}

static double x_of(const struct picture *picture, double seconds)
{
	/* The upper bound of bar 0 is that of its last bucket. */
	double bar = (log2(seconds) - NATIVE_LOWEST_POWER) * BARS_PER_TWO + 1.0 / BAR_BUCKETS;

	return MIN(MAX(x_of_bar(picture, bar), PLOT_LEFT), PLOT_RIGHT);
}

static void number(struct picture *picture, const char *name, double value)
{
	HTML(picture->html, " %s=\"", name);
	html_fixed(picture->html, value, 1);
	HTML(picture->html, "\"");
}

static void line(struct picture *picture, const char *class, double x, double top, double foot)
{
	HTML(picture->html, "<line class=\"%s\"", class);
	number(picture, "x1", x);
	number(picture, "x2", x);
	number(picture, "y1", top);
	number(picture, "y2", foot);
	HTML(picture->html, "/>\n");
}

/* "2 ms": of 1, 2 or 5 times a power of ten. */
static void axis_label(struct html *html, int digit, int power)
{
	static const char *const units[] = { "ns", "&micro;s", "ms", "s" };
	static const char *const zeros[] = { "", "0", "00", "000" };
	int unit = MIN((power + 9) / 3, 3), over = power + 9 - 3 * unit;

	HTML(html, "%d%s %s", digit, zeros[MIN(over, 3)], units[unit]);
}

static void draw_axis(struct picture *picture)
{
	static const int digits[] = { 1, 2, 5 };
	bool each = picture->end - picture->first <= 7 * BARS_PER_TWO; /* two decades or so */

	for (int power = -9; power <= 3; power++) {
		for (size_t i = 0; i < ARRAY_SIZE(digits); i++) {
			double x = x_of(picture, digits[i] * pow(10, power));

			/* No label that would be cut. */
			if (x < PLOT_LEFT + 30 || x > PLOT_RIGHT - 30) {
				continue;
			}
			line(picture, i == 0 ? "grid" : "minor", x, PLOT_TOP, PLOT_FOOT + 4);
			if (i == 0 || each) {
				HTML(picture->html, "<text class=\"axis\" text-anchor=\"middle\"");
				number(picture, "x", x);
				number(picture, "y", HEIGHT - 6);
				HTML(picture->html, ">");
				axis_label(picture->html, digits[i], power);
				HTML(picture->html, "</text>\n");
			}
		}
	}
}

static void draw_bars(struct picture *picture)
{
	double width = (PLOT_RIGHT - PLOT_LEFT) / (double)(picture->end - picture->first);

	for (size_t i = picture->first; i < picture->end; i++) {
		double height =
			(PLOT_FOOT - PLOT_TOP) * (double)picture->bars[i] / (double)picture->most;

		if (picture->bars[i] == 0) {
			continue;
		}
		height = MAX(height, 1); /* one call in a million is there */
		HTML(picture->html, "<rect class=\"bar\"");
		number(picture, "x", x_of_bar(picture, (double)i));
		number(picture, "y", PLOT_FOOT - height);
		number(picture, "width", MAX(width - 1, 1));
		number(picture, "height", height);
		HTML(picture->html, "><title>");
		html_duration(picture->html,
			      (int64_t)(bound((double)(i * BAR_BUCKETS) - 1) * (double)NS_PER_S));
		HTML(picture->html, " to ");
		html_duration(picture->html, (int64_t)(bound((double)((i + 1) * BAR_BUCKETS) - 1) *
						       (double)NS_PER_S));
		HTML(picture->html, ": ");
		html_count(picture->html, picture->bars[i]);
		HTML(picture->html, "</title></rect>\n");
	}
	HTML(picture->html, "<line class=\"foot\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n",
	     (int)PLOT_LEFT, (int)PLOT_RIGHT, (int)PLOT_FOOT, (int)PLOT_FOOT);
}

static void draw_mark(struct picture *picture, size_t i, double seconds, double x, size_t row,
		      bool left)
{
	double y = 16 + MARK_ROW * (double)row;

	line(picture, "mark", x, y - 12, PLOT_FOOT);
	HTML(picture->html, "<text class=\"name\"%s", left ? " text-anchor=\"end\"" : "");
	number(picture, "x", left ? x - 5 : x + 5);
	number(picture, "y", y);
	HTML(picture->html, ">%s ", marks[i].name);
	html_duration(picture->html, (int64_t)(seconds * (double)NS_PER_S));
	HTML(picture->html, "</text>\n");
}

/*
 * Quantiles often lie close together, so each name has a row of its own. Where there is
 * room the names stand left of their marks, the last on top: so no mark goes through the
 * name of another. Those that have none on their left stand right, below, the first on top.
 */
static void draw_marks(struct picture *picture, const struct native_snapshot *snapshot)
{
	double seconds[ARRAY_SIZE(marks)], x[ARRAY_SIZE(marks)];
	bool left[ARRAY_SIZE(marks)];
	size_t row = 0;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		seconds[i] = latency_quantile(snapshot, marks[i].q);
		x[i] = x_of(picture, MAX(seconds[i], 1e-9));
	}
	for (size_t i = ARRAY_SIZE(marks); i-- > 0;) {
		left[i] = x[0] >= NAME_WIDTH ||
			  (x[ARRAY_SIZE(marks) - 1] > WIDTH - NAME_WIDTH && x[i] > 2 * NAME_WIDTH);
		if (left[i]) {
			draw_mark(picture, i, seconds[i], x[i], row++, true);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		if (!left[i]) {
			draw_mark(picture, i, seconds[i], x[i], row++, false);
		}
	}
}

void latency_picture(struct html *html, const struct native_snapshot *snapshot)
{
	struct picture picture = { .html = html };

	assert(snapshot->count > 0);
	gather(&picture, snapshot);
	HTML(html,
	     "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Calls by latency, on a "
	     "logarithmic axis\">\n",
	     (int)WIDTH, (int)HEIGHT);
	draw_axis(&picture);
	draw_bars(&picture);
	draw_marks(&picture, snapshot);
	HTML(html, "</svg>\n");
}

/*
 * Draws of delays, and what is to be expected of them. Both ends of a distribution that
 * is drawn again outside [0, DELAY_LONGEST_NS] are cut off, and what is expected is of
 * the distribution that is left.
 */
#include <math.h>

#include "service/faults.h"

#define LONGEST ((double)DELAY_LONGEST_NS)

/* --- draws --------------------------------------------------------------------- */

/* Whole milliseconds: as many as fit between low and high. */
static int64_t steps(const struct delay *delay)
{
	return (delay->high_ns - delay->low_ns) / NS_PER_MS;
}

static int64_t draw_uniform(const struct delay *delay, struct random *random)
{
	return delay->low_ns + (int64_t)random_below(random, (uint64_t)steps(delay)) * NS_PER_MS;
}

/*
 * Box and Muller: a radius and an angle give a pair of independent draws, of which one is
 * used. The mean is within the bounds, so at least a third of the draws are.
 */
static int64_t draw_normal(const struct delay *delay, struct random *random)
{
	double ns;

	do {
		double radius = sqrt(-2 * log(1 - random_unit(random))); /* of (0, 1] */
		double angle = 2 * M_PI * random_unit(random);

		ns = (double)delay->mean_ns + (double)delay->deviation_ns * radius * cos(angle);
	} while (ns < 0 || ns > LONGEST);
	return (int64_t)ns;
}

static int64_t draw_exponential(const struct delay *delay, struct random *random)
{
	double ns;

	do {
		ns = -(double)delay->mean_ns * log(1 - random_unit(random));
	} while (ns > LONGEST);
	return (int64_t)ns;
}

static int64_t draw_weighted(const struct delay *delay, struct random *random)
{
	uint64_t drawn = random_below(random, FAULTS_WHOLE);

	for (size_t i = 0; i < delay->n_points; i++) {
		if (drawn < delay->points[i].share) {
			return delay->points[i].ns;
		}
		drawn -= delay->points[i].share;
	}
	return 0;
}

/* In ns, at a share of the calls. */
static double percentile(const struct delay *delay, double share)
{
	struct delay_point before = { 0 };

	for (size_t i = 0; i < delay->n_points; i++) {
		const struct delay_point *point = &delay->points[i];

		if (share < point->share) {
			double part = (share - before.share) / (point->share - before.share);

			return (double)before.ns + part * (double)(point->ns - before.ns);
		}
		before = *point;
	}
	return (double)before.ns;
}

int64_t delay_draw(const struct delay *delay, struct random *random)
{
	switch (delay->kind) {
	case DELAY_NONE:
		break;
	case DELAY_FIXED:
		return delay->low_ns;
	case DELAY_UNIFORM:
		return draw_uniform(delay, random);
	case DELAY_NORMAL:
		return draw_normal(delay, random);
	case DELAY_EXPONENTIAL:
		return draw_exponential(delay, random);
	case DELAY_WEIGHTED:
		return draw_weighted(delay, random);
	case DELAY_PERCENTILES:
		return (int64_t)percentile(delay, random_unit(random) * FAULTS_WHOLE);
	}
	return 0;
}

/* --- what to expect ------------------------------------------------------------ */

/* Of the standard normal distribution: below x, and at x. */
static double below(double x)
{
	return erfc(-x / M_SQRT2) / 2;
}

static double density(double x)
{
	return exp(-x * x / 2) / sqrt(2 * M_PI);
}

/* By halving: the distribution that is left has no quantile in closed form. */
static double normal_quantile(const struct delay *delay, double q)
{
	double mean = (double)delay->mean_ns, deviation = (double)delay->deviation_ns;
	double first = below(-mean / deviation), last = below((LONGEST - mean) / deviation);
	double low = 0, high = LONGEST;

	for (int i = 0; i < 64; i++) { /* the bits of a double, and some */
		double middle = (low + high) / 2;

		if (below((middle - mean) / deviation) - first < q * (last - first)) {
			low = middle;
		} else {
			high = middle;
		}
	}
	return high;
}

static double normal_mean(const struct delay *delay)
{
	double mean = (double)delay->mean_ns, deviation = (double)delay->deviation_ns;
	double a = -mean / deviation, b = (LONGEST - mean) / deviation;

	return mean + deviation * (density(a) - density(b)) / (below(b) - below(a));
}

static double exponential_quantile(const struct delay *delay, double q)
{
	double mean = (double)delay->mean_ns;

	return fmin(LONGEST, -mean * log1p(q * expm1(-LONGEST / mean)));
}

static double exponential_mean(const struct delay *delay)
{
	double mean = (double)delay->mean_ns;

	return mean - LONGEST / expm1(LONGEST / mean);
}

/* The share of calls whose delay is at most that. */
static double weighted_up_to(const struct delay *delay, int64_t ns)
{
	uint64_t share = 0, listed = 0;

	for (size_t i = 0; i < delay->n_points; i++) {
		listed += delay->points[i].share;
		share += delay->points[i].ns <= ns ? delay->points[i].share : 0;
	}
	return (double)(share + FAULTS_WHOLE - listed);
}

/* A share that was computed, less what its last digits may be wrong by. */
static double whole_up(double share)
{
	return fmax(1, ceil(share - 1e-6));
}

static double weighted_quantile(const struct delay *delay, double q)
{
	double wanted = whole_up(q * FAULTS_WHOLE);
	int64_t least = INT64_MAX;

	if (weighted_up_to(delay, -1) >= wanted) {
		return 0;
	}
	for (size_t i = 0; i < delay->n_points; i++) {
		int64_t ns = delay->points[i].ns;

		if (ns < least && weighted_up_to(delay, ns) >= wanted) {
			least = ns;
		}
	}
	return (double)least;
}

static double weighted_mean(const struct delay *delay)
{
	double sum = 0;

	for (size_t i = 0; i < delay->n_points; i++) {
		sum += (double)delay->points[i].ns * delay->points[i].share;
	}
	return sum / FAULTS_WHOLE;
}

/* Between two points the half of them; beyond the last what it has. */
static double percentiles_mean(const struct delay *delay)
{
	struct delay_point before = { 0 };
	double sum = 0;

	for (size_t i = 0; i < delay->n_points; i++) {
		const struct delay_point *point = &delay->points[i];

		sum += (double)(before.ns + point->ns) / 2 * (point->share - before.share);
		before = *point;
	}
	return (sum + (double)before.ns * (FAULTS_WHOLE - before.share)) / FAULTS_WHOLE;
}

static double quantile_ns(const struct delay *delay, double q)
{
	switch (delay->kind) {
	case DELAY_NONE:
		break;
	case DELAY_FIXED:
		return (double)delay->low_ns;
	case DELAY_UNIFORM:
		return (double)delay->low_ns +
		       (whole_up(q * (double)steps(delay)) - 1) * (double)NS_PER_MS;
	case DELAY_NORMAL:
		return normal_quantile(delay, q);
	case DELAY_EXPONENTIAL:
		return exponential_quantile(delay, q);
	case DELAY_WEIGHTED:
		return weighted_quantile(delay, q);
	case DELAY_PERCENTILES:
		return percentile(delay, q * FAULTS_WHOLE);
	}
	return 0;
}

static double mean_ns(const struct delay *delay)
{
	switch (delay->kind) {
	case DELAY_NONE:
		break;
	case DELAY_FIXED:
		return (double)delay->low_ns;
	case DELAY_UNIFORM:
		return (double)delay->low_ns + (double)((steps(delay) - 1) * NS_PER_MS) / 2;
	case DELAY_NORMAL:
		return normal_mean(delay);
	case DELAY_EXPONENTIAL:
		return exponential_mean(delay);
	case DELAY_WEIGHTED:
		return weighted_mean(delay);
	case DELAY_PERCENTILES:
		return percentiles_mean(delay);
	}
	return 0;
}

double delay_quantile(const struct delay *delay, double q)
{
	return quantile_ns(delay, q) / (double)NS_PER_S;
}

double delay_mean(const struct delay *delay)
{
	return mean_ns(delay) / (double)NS_PER_S;
}

/* Delays as they are written: one table of forms, read and written back. */
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "service/faults_p.h"

/* One duration of several, or alone: then `whole` is the value itself. */
static int parse_ns(const char *text, bool whole, int64_t *ret_ns, char *why, size_t size)
{
	char reason[96] = "is longer than 1h";

	if (parse_duration(text, ret_ns, reason, sizeof(reason)) == 0 &&
	    *ret_ns <= DELAY_LONGEST_NS) {
		return 0;
	}
	if (whole) {
		snprintf(why, size, "%s", reason);
		return -1;
	}
	return faults_refuse(text, reason, why, size);
}

/* "LOW,HIGH": two durations and no more. */
static int parse_pair(const char *text, int64_t ret_ns[2], const char *form, char *why, size_t size)
{
	char item[FAULTS_ITEM_SIZE];

	for (int i = 0; i < 2; i++) {
		if (!text) {
			snprintf(why, size, "needs two durations: %s", form);
			return -1;
		}
		if (faults_next_item(&text, item, why, size) < 0 ||
		    parse_ns(item, false, &ret_ns[i], why, size) < 0) {
			return -1;
		}
	}
	if (text) {
		snprintf(why, size, "has more than two durations: %s", form);
		return -1;
	}
	return 0;
}

static int parse_fixed(const char *text, struct delay *ret, char *why, size_t size)
{
	if (text[0] < '0' || text[0] > '9') {
		snprintf(why, size,
			 "is no delay: none, 50ms, uniform:LOW,HIGH, normal:MEAN,DEVIATION, "
			 "exponential:MEAN, 5ms:20 or p50=5ms");
		return -1;
	}
	return parse_ns(text, true, &ret->low_ns, why, size);
}

static int parse_uniform(const char *text, struct delay *ret, char *why, size_t size)
{
	int64_t pair[2];

	if (parse_pair(text, pair, "uniform:LOW,HIGH", why, size) < 0) {
		return -1;
	}
	if (pair[1] - pair[0] < NS_PER_MS) {
		snprintf(why, size, "needs a HIGH at least 1ms above LOW");
		return -1;
	}
	if ((pair[1] - pair[0]) % NS_PER_MS != 0) {
		snprintf(why, size, "needs whole milliseconds from LOW to HIGH");
		return -1;
	}
	ret->low_ns = pair[0];
	ret->high_ns = pair[1];
	return 0;
}

static int parse_normal(const char *text, struct delay *ret, char *why, size_t size)
{
	int64_t pair[2];

	if (parse_pair(text, pair, "normal:MEAN,DEVIATION", why, size) < 0) {
		return -1;
	}
	if (pair[1] == 0) {
		snprintf(why, size, "needs a DEVIATION above 0; without one the mean is enough");
		return -1;
	}
	ret->mean_ns = pair[0];
	ret->deviation_ns = pair[1];
	return 0;
}

static int parse_exponential(const char *text, struct delay *ret, char *why, size_t size)
{
	if (parse_ns(text, false, &ret->mean_ns, why, size) < 0) {
		return -1;
	}
	if (ret->mean_ns == 0) {
		snprintf(why, size, "needs a mean above 0");
		return -1;
	}
	return 0;
}

/* The next item in two parts at `mark`, and a point for it. As faults_next_item(). */
static int next_point(const char **text, char mark, const char *form, struct delay *delay,
		      char item[FAULTS_ITEM_SIZE], char **ret_second, char *why, size_t size)
{
	int more = faults_next_item(text, item, why, size);
	char *second;

	if (more <= 0) {
		return more;
	}
	if (delay->n_points == DELAY_MAX_POINTS) {
		snprintf(why, size, "has more than %d items", DELAY_MAX_POINTS);
		return -1;
	}
	second = strchr(item, mark);
	if (!second) {
		snprintf(why, size, "has \"%.32s\", which is not %s", item, form);
		return -1;
	}
	*second = '\0';
	*ret_second = second + 1;
	delay->n_points++;
	return 1;
}

static int parse_weighted(const char *text, struct delay *ret, char *why, size_t size)
{
	char item[FAULTS_ITEM_SIZE], *percent;
	uint64_t sum = 0;
	int more;

	while ((more = next_point(&text, ':', "DURATION:PERCENT", ret, item, &percent, why, size)) >
	       0) {
		struct delay_point *point = &ret->points[ret->n_points - 1];

		if (parse_ns(item, false, &point->ns, why, size) < 0 ||
		    faults_share_parse(percent, &point->share, why, size) < 0) {
			return -1;
		}
		sum += point->share;
	}
	if (more == 0 && sum > FAULTS_WHOLE) {
		snprintf(why, size, "comes to more than 100 %%");
		return -1;
	}
	return more;
}

static int parse_percentiles(const char *text, struct delay *ret, char *why, size_t size)
{
	struct delay_point before = { 0 };
	char item[FAULTS_ITEM_SIZE], *duration;
	int more;

	while ((more = next_point(&text, '=', "pPERCENT=DURATION", ret, item, &duration, why,
				  size)) > 0) {
		struct delay_point *point = &ret->points[ret->n_points - 1];

		if (item[0] != 'p') {
			return faults_refuse(item, "is no percentile (as in p99)", why, size);
		}
		if (faults_share_parse(item + 1, &point->share, why, size) < 0 ||
		    parse_ns(duration, false, &point->ns, why, size) < 0) {
			return -1;
		}
		if (point->share <= before.share) {
			return faults_refuse(item, "is not above the percentile before it, or p0",
					     why, size);
		}
		if (point->ns < before.ns) {
			return faults_refuse(duration, "is less than at the percentile before it",
					     why, size);
		}
		before = *point;
	}
	return more;
}

/* The form that a text has: by what it begins with, else by what is in it. */
static const struct form {
	const char *prefix;
	enum delay_kind kind;
	int (*parse)(const char *text, struct delay *ret, char *why, size_t size);
} forms[] = {
	{ "uniform:", DELAY_UNIFORM, parse_uniform },
	{ "normal:", DELAY_NORMAL, parse_normal },
	{ "exponential:", DELAY_EXPONENTIAL, parse_exponential },
}, percentiles = { "", DELAY_PERCENTILES, parse_percentiles },
  weighted = { "", DELAY_WEIGHTED, parse_weighted },
  fixed = { "", DELAY_FIXED, parse_fixed };

static const struct form *find_form(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (strncmp(text, forms[i].prefix, strlen(forms[i].prefix)) == 0) {
			return &forms[i];
		}
	}
	if (text[0] == 'p') {
		return &percentiles;
	}
	return strpbrk(text, ":,") && text[0] >= '0' && text[0] <= '9' ? &weighted : &fixed;
}

int delay_parse(const char *text, void *ret_delay, char *why, size_t size)
{
	struct delay *ret = ret_delay, delay = { 0 };

	if (strcmp(text, "none") != 0) {
		const struct form *form = find_form(text);

		delay.kind = form->kind;
		if (form->parse(text + strlen(form->prefix), &delay, why, size) < 0) {
			return -1;
		}
	}
	*ret = delay;
	return 0;
}

static int print_points(const struct delay *delay, struct buffer *out)
{
	for (size_t i = 0; i < delay->n_points; i++) {
		const struct delay_point *point = &delay->points[i];
		const char *comma = i > 0 ? "," : "";
		char duration[32], share[FAULTS_SHARE_SIZE];
		int err;

		format_duration(point->ns, duration, sizeof(duration));
		faults_share_print(point->share, share);
		err = delay->kind == DELAY_WEIGHTED
			      ? buffer_printf(out, "%s%s:%s", comma, duration, share)
			      : buffer_printf(out, "%sp%s=%s", comma, share, duration);
		if (err < 0) {
			return err;
		}
	}
	return 0;
}

int delay_print(const struct delay *delay, struct buffer *out)
{
	char first[32], second[32];

	switch (delay->kind) {
	case DELAY_NONE:
		return buffer_printf(out, "none");
	case DELAY_FIXED:
		format_duration(delay->low_ns, first, sizeof(first));
		return buffer_printf(out, "%s", first);
	case DELAY_UNIFORM:
		format_duration(delay->low_ns, first, sizeof(first));
		format_duration(delay->high_ns, second, sizeof(second));
		return buffer_printf(out, "uniform:%s,%s", first, second);
	case DELAY_NORMAL:
		format_duration(delay->mean_ns, first, sizeof(first));
		format_duration(delay->deviation_ns, second, sizeof(second));
		return buffer_printf(out, "normal:%s,%s", first, second);
	case DELAY_EXPONENTIAL:
		format_duration(delay->mean_ns, first, sizeof(first));
		return buffer_printf(out, "exponential:%s", first);
	case DELAY_WEIGHTED:
	case DELAY_PERCENTILES:
		break;
	}
	return print_points(delay, out);
}

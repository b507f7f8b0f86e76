/*
 * The text format 0.0.4. A whole sample (of a histogram: all of its lines) is
 * measured first, room is reserved once, and then written without a check for
 * each piece. Whole numbers do not go through printf.
 */
#include "metrics/exposition.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define NUMBER_ROOM 32
#define LE_ROOM     (NUMBER_ROOM + sizeof(",le=\"\"")) /* labels of bounds are numbers */

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

static char *put_bytes(char *p, const char *text, size_t n)
{
	memcpy(p, text, n);
	return p + n;
}

static char *put(char *p, const char *text)
{
	return put_bytes(p, text, strlen(text));
}

/*
 * Backslash and newline, and the quote where `quote` is one (not in HELP). At most
 * twice as long.
 */
static char *put_escaped(char *p, const char *text, char quote)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			*p++ = '\\';
			*p++ = 'n';
			continue;
		}
		if (*text == '\\' || *text == quote) {
			*p++ = '\\';
		}
		*p++ = *text;
	}
	return p;
}

static char *put_unsigned(char *p, uint64_t number)
{
	char digits[NUMBER_ROOM];
	char *end = digits + sizeof(digits), *first = end;

	do {
		*--first = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return put_bytes(p, first, (size_t)(end - first));
}

static char *put_signed(char *p, int64_t number)
{
	if (number < 0) {
		*p++ = '-';
		return put_unsigned(p, -(uint64_t)number);
	}
	return put_unsigned(p, (uint64_t)number);
}

static char *put_double(char *p, double number)
{
	return p + exposition_format_double(number, p);
}

static int text_family(void *user, const struct family_view *family)
{
	struct buffer *out = user;
	char *start, *p;

	if (family->type == METRIC_NATIVE) {
		return 0; /* no text carries it */
	}
	start = p = (char *)buffer_reserve(out, 2 * strlen(family->name) +
							2 * strlen(family->help) + 64);
	if (!p) {
		return -ENOMEM;
	}
	p = put(p, "# HELP ");
	p = put(p, family->name);
	*p++ = ' ';
	p = put_escaped(p, family->help, '\\');
	p = put(p, "\n# TYPE ");
	p = put(p, family->name);
	*p++ = ' ';
	p = put(p, type_names[family->type]);
	*p++ = '\n';
	buffer_commit(out, (size_t)(p - start));
	return 0;
}

/* The most that a line of this sample can take. */
static size_t line_room(const struct family_view *family, const struct sample_view *sample)
{
	size_t room = strlen(family->name) + sizeof("_bucket{} \n") + LE_ROOM + NUMBER_ROOM;

	for (size_t i = 0; i < family->n_labels; i++) {
		room += strlen(family->label_names[i]) + 2 * strlen(sample->label_values[i]) +
			sizeof(",=\"\"");
	}
	return room;
}

/* a="1",b="2" */
static char *put_labels(char *p, const struct family_view *family, const struct sample_view *sample)
{
	for (size_t i = 0; i < family->n_labels; i++) {
		if (i > 0) {
			*p++ = ',';
		}
		p = put(p, family->label_names[i]);
		p = put(p, "=\"");
		p = put_escaped(p, sample->label_values[i], '"');
		*p++ = '"';
	}
	return p;
}

/* name_suffix{labels} and a space: all but the value of a line without `le`. */
static char *put_head(char *p, const char *suffix, const struct family_view *family,
		      const struct sample_view *sample)
{
	p = put(p, family->name);
	p = put(p, suffix);
	if (family->n_labels > 0) {
		*p++ = '{';
		p = put_labels(p, family, sample);
		*p++ = '}';
	}
	*p++ = ' ';
	return p;
}

/* name_bucket{labels,le=" : the same in each bucket's line. */
static char *put_bucket_head(char *p, const struct family_view *family,
			     const struct sample_view *sample)
{
	p = put(p, family->name);
	p = put(p, "_bucket{");
	p = put_labels(p, family, sample);
	return put(p, family->n_labels > 0 ? ",le=\"" : "le=\"");
}

static char *put_histogram(char *p, const struct family_view *family,
			   const struct sample_view *sample)
{
	const struct histogram_bounds *bounds = family->bounds;
	const struct histogram_snapshot *histogram = sample->histogram;
	const char *head = p;
	size_t head_len;

	p = put_bucket_head(p, family, sample);
	head_len = (size_t)(p - head);
	for (size_t i = 0; i <= bounds->n; i++) {
		if (i > 0) {
			p = put_bytes(p, head, head_len);
		}
		p = put(p, i < bounds->n ? bounds->labels[i] : "+Inf");
		p = put(p, "\"} ");
		p = put_unsigned(p, histogram->cumulative[i]);
		*p++ = '\n';
	}
	p = put_head(p, "_sum", family, sample);
	p = put_double(p, histogram->sum);
	*p++ = '\n';
	p = put_head(p, "_count", family, sample);
	p = put_unsigned(p, histogram->cumulative[bounds->n]);
	*p++ = '\n';
	return p;
}

static char *put_number(char *p, const struct family_view *family, const struct sample_view *sample)
{
	p = put_head(p, "", family, sample);
	if (sample->is_double) {
		p = put_double(p, sample->real);
	} else if (family->type == METRIC_GAUGE) {
		p = put_signed(p, (int64_t)sample->whole);
	} else {
		p = put_unsigned(p, sample->whole);
	}
	*p++ = '\n';
	return p;
}

static int text_sample(void *user, const struct family_view *family,
		       const struct sample_view *sample)
{
	struct buffer *out = user;
	bool histogram = family->type == METRIC_HISTOGRAM;

	if (family->type == METRIC_NATIVE) {
		return 0;
	}

	size_t lines = histogram ? family->bounds->n + 3 : 1; /* +Inf, _sum, _count */
	char *start = (char *)buffer_reserve(out, lines * line_room(family, sample));
	char *end;

	if (!start) {
		return -ENOMEM;
	}
	end = histogram ? put_histogram(start, family, sample) : put_number(start, family, sample);
	buffer_commit(out, (size_t)(end - start));
	return 0;
}

static int text_family_end(void *user, const struct family_view *family)
{
	(void)user;
	(void)family;
	return 0;
}

static int text_encode(struct registry *registry, const struct registry_filter *filter,
		       struct buffer *out)
{
	static const struct registry_visitor visitor = {
		.family = text_family,
		.sample = text_sample,
		.family_end = text_family_end,
	};

	return registry_walk(registry, filter, &visitor, out);
}

const struct exposition exposition_text = {
	.content_type = EXPOSITION_TEXT_TYPE,
	.encode = text_encode,
};

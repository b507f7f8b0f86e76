/*
 * The two text formats, 0.0.4 and OpenMetrics 1.0: two dialects of one language, written
 * by the same functions. What OpenMetrics has of its own (its sections 5.1 and 5.2):
 * the name of a counter's family goes without "_total", bounds are floats and look like
 * it, buckets may have an exemplar, and the end is said.
 *
 * A whole sample (of a histogram: all of its lines) is measured first, room is reserved
 * once, and then written without a check for each piece. Whole numbers do not go through
 * printf. Labels were written when their child was made.
 */
#include "metrics/exposition.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "metrics/text_p.h"

#define NUMBER_ROOM 32
#define TOTAL       "_total"
#define LE_ROOM     (NUMBER_ROOM + sizeof(",le=\"\"")) /* labels of bounds are numbers */
#define EXEMPLAR_ROOM                                                          \
	(sizeof(" # {trace_id=\"\",span_id=\"\"}  ") + EXEMPLAR_TRACE_DIGITS + \
	 EXEMPLAR_SPAN_DIGITS + 2 * NUMBER_ROOM)

struct text {
	struct buffer *out;
	bool open; /* OpenMetrics */
};

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

/* Inline: of a literal the compiler knows how long it is. */
static inline char *put(char *p, const char *text)
{
	return put_bytes(p, text, strlen(text));
}

/*
 * Backslash and newline are escaped, and the quote where `special` has it (that of HELP in
 * 0.0.4 has not). At most twice as long.
 */
static char *put_escaped(char *p, const char *text, const char *special)
{
	for (;;) {
		size_t plain = strcspn(text, special);

		p = put_bytes(p, text, plain);
		text += plain;
		if (*text == '\0') {
			return p;
		}
		*p++ = '\\';
		*p++ = *text == '\n' ? 'n' : *text;
		text++;
	}
}

size_t text_head_room(const struct family_view *family, const char *const *values)
{
	size_t room = family->name_len + strlen("{} ");

	for (size_t i = 0; i < family->n_labels; i++) {
		room += strlen(family->label_names[i]) + 2 * strlen(values[i]) + strlen(",=\"\"");
	}
	return room;
}

static char *put_values(char *p, const struct family_view *family, const char *const *values)
{
	for (size_t i = 0; i < family->n_labels; i++) {
		p = put(p, i > 0 ? "," : "");
		p = put(p, family->label_names[i]);
		p = put(p, "=\"");
		p = put_escaped(p, values[i], "\\\n\"");
		*p++ = '"';
	}
	return p;
}

char *text_put_head(char *p, const struct family_view *family, const char *const *values)
{
	p = put_bytes(p, family->name, family->name_len);
	if (family->n_labels > 0) {
		*p++ = '{';
		p = put_values(p, family, values);
		*p++ = '}';
	}
	*p++ = ' ';
	return p;
}

/* In place, as most numbers of a page are one digit, and copying that costs more. */
static char *put_unsigned(char *p, uint64_t number)
{
	char *end = p + 1, *digit;

	for (uint64_t rest = number; rest >= 10; rest /= 10) {
		end++;
	}
	digit = end;
	do {
		*--digit = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return end;
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

/* Is it a counter's name as OpenMetrics has them? */
static bool is_total(const struct family_view *family)
{
	size_t suffix = strlen(TOTAL);

	return family->name_len > suffix &&
	       memcmp(family->name + family->name_len - suffix, TOTAL, suffix) == 0;
}

/*
 * "# WORD name " of a family's metadata. A counter without "_total" is none to
 * OpenMetrics: it is of unknown type there, since with another name it would be another
 * series.
 */
static char *put_metadata(char *p, const struct text *text, const char *word,
			  const struct family_view *family)
{
	size_t len = family->name_len;

	if (text->open && family->type == METRIC_COUNTER && is_total(family)) {
		len -= strlen(TOTAL);
	}
	p = put(p, word);
	p = put_bytes(p, family->name, len);
	*p++ = ' ';
	return p;
}

static const char *type_of(const struct text *text, const struct family_view *family)
{
	return text->open && family->type == METRIC_COUNTER && !is_total(family)
		       ? "unknown"
		       : type_names[family->type];
}

static int text_family(void *user, const struct family_view *family)
{
	const struct text *text = user;
	struct buffer *out = text->out;
	char *start, *p;

	start = p = (char *)buffer_reserve(out, 2 * family->name_len + 2 * family->help_len + 64);
	if (!p) {
		return -ENOMEM;
	}
	p = put_metadata(p, text, "# HELP ", family);
	p = family->help_is_plain ? put_bytes(p, family->help, family->help_len)
				  : put_escaped(p, family->help, text->open ? "\\\n\"" : "\\\n");
	p = put_metadata(p, text, "\n# TYPE ", family);
	p = put(p, type_of(text, family));
	*p++ = '\n';
	buffer_commit(out, (size_t)(p - start));
	return 0;
}

/* The most that a line of this sample can take, but for an exemplar. */
static size_t line_room(const struct sample_view *sample)
{
	return sample->head.len + sizeof("_bucket{}\n") + LE_ROOM + NUMBER_ROOM;
}

/* What follows the name in the head: {a="1"} and a space, or that alone. */
static struct str after_name(const struct family_view *family, const struct sample_view *sample)
{
	return (struct str){ sample->head.data + family->name_len,
			     sample->head.len - family->name_len };
}

/* name_suffix{labels} and a space: all but the value of a line without `le`. */
static char *put_head(char *p, const char *suffix, const struct family_view *family,
		      const struct sample_view *sample)
{
	struct str rest = after_name(family, sample);

	p = put_bytes(p, family->name, family->name_len);
	p = put(p, suffix);
	return put_bytes(p, rest.data, rest.len);
}

/* name_bucket{labels,le=" : the same in each bucket's line. */
static char *put_bucket_head(char *p, const struct family_view *family,
			     const struct sample_view *sample)
{
	struct str rest = after_name(family, sample);

	p = put_bytes(p, family->name, family->name_len);
	p = put(p, "_bucket{");
	if (family->n_labels > 0) {
		p = put_bytes(p, rest.data + 1, rest.len - strlen("{} "));
		*p++ = ',';
	}
	return put(p, "le=\"");
}

/* "5" is no float to OpenMetrics, which has the bound 5.0 (its section 4.3). */
static char *put_bound(char *p, const struct text *text, const char *label)
{
	bool is_float = !text->open;

	for (; *label != '\0'; label++) { /* few digits: no call is worth it */
		is_float = is_float || *label == '.' || *label == 'e';
		*p++ = *label;
	}
	return is_float ? p : put(p, ".0");
}

/* Seconds with three decimals, of a time that is not before 1970. */
static char *put_time(char *p, double seconds)
{
	uint64_t ms = (uint64_t)(seconds * 1000);

	p = put_unsigned(p, ms / 1000);
	*p++ = '.';
	*p++ = (char)('0' + ms / 100 % 10);
	*p++ = (char)('0' + ms / 10 % 10);
	*p++ = (char)('0' + ms % 10);
	return p;
}

static char *put_exemplar(char *p, const struct exemplar *exemplar)
{
	p = put(p, " # {trace_id=\"");
	p = put(p, exemplar->trace_id);
	p = put(p, "\",span_id=\"");
	p = put(p, exemplar->span_id);
	p = put(p, "\"} ");
	p = put_double(p, exemplar->value);
	*p++ = ' ';
	return put_time(p, exemplar->timestamp);
}

/* What follows a bucket's value. */
static char *put_example(char *p, const struct text *text,
			 const struct histogram_snapshot *histogram, size_t bucket)
{
	const struct exemplar *exemplars = histogram->exemplars;

	if (text->open && exemplars && exemplars[bucket].trace_id[0] != '\0') {
		p = put_exemplar(p, &exemplars[bucket]);
	}
	*p++ = '\n';
	return p;
}

static char *put_histogram(char *p, const struct text *text, const struct family_view *family,
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
		p = i < bounds->n ? put_bound(p, text, bounds->labels[i]) : put(p, "+Inf");
		p = put(p, "\"} ");
		p = put_unsigned(p, histogram->cumulative[i]);
		p = put_example(p, text, histogram, i);
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
	p = put_bytes(p, sample->head.data, sample->head.len);
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
	const struct text *text = user;
	size_t room = line_room(sample);
	char *start, *end;

	if (family->type == METRIC_HISTOGRAM) {
		room += text->open && sample->histogram->exemplars ? EXEMPLAR_ROOM : 0;
		room *= family->bounds->n + 3; /* +Inf, _sum, _count */
	}
	start = (char *)buffer_reserve(text->out, room);
	if (!start) {
		return -ENOMEM;
	}
	end = family->type == METRIC_HISTOGRAM ? put_histogram(start, text, family, sample)
					       : put_number(start, family, sample);
	buffer_commit(text->out, (size_t)(end - start));
	return 0;
}

static int text_family_end(void *user, const struct family_view *family)
{
	(void)user;
	(void)family;
	return 0;
}

static int encode(struct registry *registry, const struct registry_filter *filter,
		  struct text *text)
{
	static const struct registry_visitor visitor = {
		.family = text_family,
		.sample = text_sample,
		.family_end = text_family_end,
	};

	return registry_walk(registry, filter, &visitor, text);
}

static int text_encode(struct registry *registry, const struct registry_filter *filter,
		       struct buffer *out)
{
	struct text text = { .out = out };

	return encode(registry, filter, &text);
}

static int openmetrics_encode(struct registry *registry, const struct registry_filter *filter,
			      struct buffer *out)
{
	struct text text = { .out = out, .open = true };
	int rv = encode(registry, filter, &text);

	return rv == 0 ? buffer_append_str(out, STR("# EOF\n")) : rv;
}

const struct exposition exposition_text = {
	.content_type = EXPOSITION_TEXT_TYPE,
	.encode = text_encode,
};

const struct exposition exposition_openmetrics = {
	.content_type = EXPOSITION_OPENMETRICS_TYPE,
	.encode = openmetrics_encode,
};

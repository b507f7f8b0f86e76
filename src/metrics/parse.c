#include "metrics/parse.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

/* One set of labels; what is unescaped of a line is no longer than the line. */
struct label_set {
	size_t n, used;
	struct exposition_label labels[EXPOSITION_MAX_LABELS];
	char unescaped[EXPOSITION_MAX_LINE];
};

/* What a line's reader has: the rest of the line, and where to say what is wrong with it. */
struct reader {
	const char *at, *end;
	size_t line;
	char *why;
	size_t size;
	struct label_set *sample, *exemplar;
	bool ended; /* "# EOF" was read */
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct reader *reader,
							const char *format, ...)
{
	int n = snprintf(reader->why, reader->size, "line %zu: ", reader->line);
	va_list arguments;

	if (n > 0 && (size_t)n < reader->size) {
		va_start(arguments, format);
		vsnprintf(reader->why + n, reader->size - (size_t)n, format, arguments);
		va_end(arguments);
	}
	return -EINVAL;
}

static bool is_name_byte(char c, bool first, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (colon && c == ':') || (!first && c >= '0' && c <= '9');
}

static void skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t')) {
		reader->at++;
	}
}

static bool at(const struct reader *reader, char c)
{
	return reader->at < reader->end && *reader->at == c;
}

static bool take(struct reader *reader, char c)
{
	if (!at(reader, c)) {
		return false;
	}
	reader->at++;
	return true;
}

/* Of a metric (with colons) or a label; len 0: there is none. */
static struct str take_name(struct reader *reader, bool colon)
{
	struct str name = { reader->at, 0 };

	while (reader->at < reader->end && is_name_byte(*reader->at, name.len == 0, colon)) {
		reader->at++;
		name.len++;
	}
	return name;
}

/* What stands before the next blank. */
static struct str take_word(struct reader *reader)
{
	struct str word = { reader->at, 0 };

	while (reader->at < reader->end && *reader->at != ' ' && *reader->at != '\t') {
		reader->at++;
		word.len++;
	}
	return word;
}

/* -- Numbers -- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t digits(struct str text, size_t from)
{
	size_t n = 0;

	while (from + n < text.len && is_digit(text.data[from + n])) {
		n++;
	}
	return n;
}

/* [digits][.digits][e[sign]digits] with a digit before the exponent; ret_point: of the '.'. */
static bool is_decimal(struct str text, size_t *ret_point)
{
	size_t whole = digits(text, 0), fraction = 0, i = whole;

	*ret_point = text.len;
	if (i < text.len && text.data[i] == '.') {
		*ret_point = i++;
		fraction = digits(text, i);
		i += fraction;
	}
	if (whole + fraction == 0) {
		return false;
	}
	if (i < text.len && (text.data[i] == 'e' || text.data[i] == 'E')) {
		size_t exponent;

		i++;
		i += i < text.len && (text.data[i] == '+' || text.data[i] == '-');
		exponent = digits(text, i);
		if (exponent == 0) {
			return false;
		}
		i += exponent;
	}
	return i == text.len;
}

/* strtod() reads the point of the locale: it is given that one. */
static int decimal_value(struct str text, size_t point, double *ret)
{
	const char *local = localeconv()->decimal_point;
	char copy[512];
	int n;

	if (text.len + strlen(local) >= sizeof(copy)) {
		return -EINVAL;
	}
	n = snprintf(copy, sizeof(copy), "%.*s%s%.*s", (int)point, text.data,
		     point < text.len ? local : "",
		     point < text.len ? (int)(text.len - point - 1) : 0,
		     point < text.len ? text.data + point + 1 : "");
	if (n < 0) {
		return -EINVAL;
	}
	*ret = strtod(copy, NULL);
	return 0;
}

/* Counts are whole, and many: most need no strtod(). */
static bool whole_value(struct str text, double *ret)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 15 || digits(text, 0) != text.len) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		value = value * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret = (double)value;
	return true;
}

int exposition_parse_double(struct str text, double *ret)
{
	bool negative = text.len > 0 && text.data[0] == '-';
	bool sign = negative || (text.len > 0 && text.data[0] == '+');
	struct str size = { text.data + sign, text.len - sign };
	double value;
	size_t point;

	if (str_equal_nocase(size, STR("Inf")) || str_equal_nocase(size, STR("Infinity"))) {
		value = INFINITY;
	} else if (!sign && str_equal_nocase(size, STR("NaN"))) {
		value = NAN;
	} else if (!whole_value(size, &value) &&
		   (!is_decimal(size, &point) || decimal_value(size, point, &value) < 0)) {
		return -EINVAL;
	}
	*ret = negative ? -value : value;
	return 0;
}

/* -- Labels -- */

static struct str find_label(const struct exposition_label *labels, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++) {
		if (str_equal(labels[i].name, name)) {
			return labels[i].value;
		}
	}
	return (struct str){ NULL, 0 };
}

/* What stands between quotes, which has a place in `unescaped` that the line's length bounds. */
static int take_quoted(struct reader *reader, struct label_set *set, struct str *ret)
{
	char *out = set->unescaped + set->used, *p = out;

	if (!take(reader, '"')) {
		return refuse(reader, "a label's value is not in quotes");
	}
	while (!at(reader, '"')) {
		char c;

		if (reader->at == reader->end) {
			return refuse(reader, "a label's value does not end");
		}
		c = *reader->at++;
		if (c == '\\') {
			c = reader->at < reader->end ? *reader->at++ : '\0';
			if (c == 'n') {
				c = '\n';
			} else if (c != '\\' && c != '"') {
				return refuse(reader, "an escape that is none of \\\\, \\\", \\n");
			}
		}
		*p++ = c;
	}
	reader->at++;
	*ret = (struct str){ out, (size_t)(p - out) };
	set->used += ret->len;
	return utf8_valid(*ret) ? 0 : refuse(reader, "a label's value is not UTF-8");
}

static int take_label(struct reader *reader, struct label_set *set)
{
	struct str name = take_name(reader, false);

	if (name.len == 0) {
		return refuse(reader, "malformed label name");
	}
	if (set->n == EXPOSITION_MAX_LABELS) {
		return refuse(reader, "more than %d labels", EXPOSITION_MAX_LABELS);
	}
	if (find_label(set->labels, set->n, name).data) {
		return refuse(reader, "a label twice");
	}
	skip_blanks(reader);
	if (!take(reader, '=')) {
		return refuse(reader, "a label without a value");
	}
	skip_blanks(reader);
	set->labels[set->n].name = name;
	return take_quoted(reader, set, &set->labels[set->n++].value);
}

/* {a="1",b="2"}, with a comma at the end where somebody writes one. */
static int take_labels(struct reader *reader, struct label_set *set)
{
	set->n = set->used = 0;
	if (!take(reader, '{')) {
		return 0;
	}
	for (;;) {
		int err;

		skip_blanks(reader);
		if (take(reader, '}')) {
			return 0;
		}
		err = take_label(reader, set);
		if (err < 0) {
			return err;
		}
		skip_blanks(reader);
		if (!take(reader, ',') && !at(reader, '}')) {
			return refuse(reader, "labels that are not separated by commas");
		}
	}
}

/* -- Lines -- */

static int take_number(struct reader *reader, const char *what, double *ret)
{
	struct str word = take_word(reader);

	skip_blanks(reader);
	return exposition_parse_double(word, ret) == 0 ? 0 : refuse(reader, "malformed %s", what);
}

/* A time stamp, then an exemplar: "# {...} value [time]", of which only the form is checked. */
static int take_rest(struct reader *reader)
{
	double ignored;
	int err = 0;

	if (reader->at < reader->end && !at(reader, '#')) {
		err = take_number(reader, "time stamp", &ignored);
	}
	if (err < 0 || reader->at == reader->end) {
		return err;
	}
	if (!take(reader, '#')) {
		return refuse(reader, "something behind the value");
	}
	skip_blanks(reader);
	if (!at(reader, '{')) {
		return refuse(reader, "an exemplar without labels");
	}
	err = take_labels(reader, reader->exemplar);
	skip_blanks(reader);
	if (err == 0) {
		err = take_number(reader, "value of an exemplar", &ignored);
	}
	if (err == 0 && reader->at < reader->end) {
		err = take_number(reader, "time stamp of an exemplar", &ignored);
	}
	if (err == 0 && reader->at < reader->end) {
		err = refuse(reader, "something behind the exemplar");
	}
	return err;
}

/* The visitor sees a sample whose line was right to its end. */
static int take_sample(struct reader *reader,
		       int (*visit)(void *user, const struct exposition_sample *sample), void *user)
{
	struct exposition_sample sample = { .name = take_name(reader, true) };
	const char *behind;
	int err;

	if (sample.name.len == 0) {
		return refuse(reader, "malformed metric name");
	}
	behind = reader->at;
	skip_blanks(reader);
	if (reader->at == behind && reader->at < reader->end && !at(reader, '{')) {
		return refuse(reader, "malformed metric name");
	}
	err = take_labels(reader, reader->sample);
	skip_blanks(reader);
	if (err == 0) {
		err = take_number(reader, "value", &sample.value);
	}
	if (err == 0) {
		err = take_rest(reader);
	}
	sample.labels = reader->sample->labels;
	sample.n_labels = reader->sample->n;
	return err < 0 ? err : visit(user, &sample);
}

static bool is_type(struct str text)
{
	static const char *const types[] = {
		"counter", "gauge",          "histogram", "summary", "untyped",
		"unknown", "gaugehistogram", "stateset",  "info",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (str_equal(text, str_from(types[i]))) {
			return true;
		}
	}
	return false;
}

/* "# TYPE name type" and "# HELP name ...": any other comment means nothing. */
static int take_comment(struct reader *reader)
{
	struct str word, name;

	if (str_equal((struct str){ reader->at, (size_t)(reader->end - reader->at) },
		      STR("# EOF"))) {
		reader->ended = true;
		return 0;
	}
	reader->at++;
	skip_blanks(reader);
	word = take_word(reader);
	if (!str_equal(word, STR("TYPE")) && !str_equal(word, STR("HELP"))) {
		return 0;
	}
	skip_blanks(reader);
	name = take_name(reader, true);
	if (name.len == 0 || (reader->at < reader->end && !at(reader, ' ') && !at(reader, '\t'))) {
		return refuse(reader, "malformed metric name");
	}
	skip_blanks(reader);
	if (str_equal(word, STR("TYPE")) && !is_type(take_word(reader))) {
		return refuse(reader, "unknown type");
	}
	return 0;
}

static int take_line(struct reader *reader,
		     int (*visit)(void *user, const struct exposition_sample *sample), void *user)
{
	if (reader->ended) {
		return refuse(reader, "something behind the end");
	}
	skip_blanks(reader);
	if (reader->at == reader->end) {
		return 0;
	}
	return at(reader, '#') ? take_comment(reader) : take_sample(reader, visit, user);
}

struct str exposition_label(const struct exposition_sample *sample, struct str name)
{
	return find_label(sample->labels, sample->n_labels, name);
}

int exposition_parse(struct str text,
		     int (*visit)(void *user, const struct exposition_sample *sample), void *user,
		     char *why, size_t size)
{
	struct label_set sets[2];
	struct reader reader = {
		.why = why, .size = size, .sample = &sets[0], .exemplar = &sets[1]
	};
	const char *line = text.data, *end = text.len > 0 ? text.data + text.len : text.data;

	if (text.len > EXPOSITION_MAX_BYTES) {
		snprintf(why, size, "more than %zu MiB", EXPOSITION_MAX_BYTES / MIB);
		return -EINVAL;
	}
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		int err;

		reader.line++;
		if (!newline) {
			return refuse(&reader, "the last line does not end");
		}
		if ((size_t)(newline - line) > EXPOSITION_MAX_LINE) {
			return refuse(&reader, "longer than %zu bytes", EXPOSITION_MAX_LINE);
		}
		reader.at = line;
		reader.end = newline;
		err = take_line(&reader, visit, user);
		if (err != 0) {
			return err;
		}
		line = newline + 1;
	}
	return 0;
}

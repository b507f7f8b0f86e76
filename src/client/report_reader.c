#include "client/report_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"

void report_reader_fail(struct report_reader *reader, const char *member, const char *format, ...)
{
	va_list arguments;
	char what[256];

	if (reader->failed) {
		return;
	}
	reader->failed = true;
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	snprintf(reader->why, reader->size, "%s: %s%s%s%s%s", reader->name, reader->where,
		 member && reader->where[0] ? "." : "", member ? member : "",
		 member || reader->where[0] ? " " : "", what);
	options_one_line(reader->why);
}

void report_reader_at(struct report_reader *reader, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reader->where, sizeof(reader->where), format, arguments);
	va_end(arguments);
}

static const char *kind_name(json_type type)
{
	switch (type) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a text";
	case JSON_INTEGER:
		return "a whole number";
	default:
		return "a value of its kind";
	}
}

/* NULL, and failed, where there is none; of any kind. */
static json_t *present(struct report_reader *reader, const json_t *in, const char *member)
{
	json_t *value = reader->failed ? NULL : json_object_get(in, member);

	if (!value) {
		report_reader_fail(reader, member, "is missing");
	}
	return value;
}

json_t *report_reader_member(struct report_reader *reader, const json_t *in, const char *member,
			     json_type type)
{
	json_t *value = present(reader, in, member);

	if (value && json_typeof(value) != type) {
		report_reader_fail(reader, member, "is not %s", kind_name(type));
		value = NULL;
	}
	return value;
}

json_t *report_reader_array(struct report_reader *reader, const json_t *in, const char *member,
			    size_t max)
{
	json_t *array = report_reader_member(reader, in, member, JSON_ARRAY);

	if (array && json_array_size(array) > max) {
		report_reader_fail(reader, member, "has more than %zu items", max);
		array = NULL;
	}
	return array;
}

json_t *report_reader_optional(struct report_reader *reader, const json_t *in, const char *member)
{
	json_t *value = present(reader, in, member);

	return !value || json_is_null(value)
		       ? NULL
		       : report_reader_member(reader, in, member, JSON_OBJECT);
}

int64_t report_reader_integer(struct report_reader *reader, const json_t *in, const char *member,
			      int64_t min, int64_t max)
{
	const json_t *value = report_reader_member(reader, in, member, JSON_INTEGER);
	int64_t number = value ? json_integer_value(value) : 0;

	if (value && (number < min || number > max)) {
		report_reader_fail(reader, member,
				   "is %" PRId64 ", and can be %" PRId64 " to %" PRId64 " only",
				   number, min, max);
	}
	return reader->failed ? MAX(min, 0) : number;
}

int64_t report_reader_ns(struct report_reader *reader, const json_t *in, const char *member,
			 int64_t min)
{
	return report_reader_integer(reader, in, member, min, INT64_MAX);
}

uint64_t report_reader_count(struct report_reader *reader, const json_t *in, const char *member)
{
	return (uint64_t)report_reader_integer(reader, in, member, 0, REPORT_MAX_COUNT);
}

bool report_reader_bool(struct report_reader *reader, const json_t *in, const char *member)
{
	const json_t *value = present(reader, in, member);

	if (value && !json_is_boolean(value)) {
		report_reader_fail(reader, member, "is neither true nor false");
	}
	return json_is_true(value);
}

const char *report_reader_text(struct report_reader *reader, const json_t *in, const char *member)
{
	const json_t *value = present(reader, in, member);
	const char *text;

	if (!value || json_is_null(value)) {
		return NULL;
	}
	value = report_reader_member(reader, in, member, JSON_STRING);
	text = value ? run_text(reader->run, json_string_value(value)) : NULL;
	if (value && !text) {
		report_reader_fail(reader, member, "is too long, or there is no memory for it");
	}
	return text;
}

void report_reader_copy(struct report_reader *reader, const json_t *in, const char *member,
			char *ret_text, size_t size)
{
	const json_t *value = json_object_get(in, member);

	ret_text[0] = '\0';
	if (value) {
		value = report_reader_member(reader, in, member, JSON_STRING);
	}
	if (value && json_string_length(value) >= size) {
		report_reader_fail(reader, member, "is longer than %zu bytes", size - 1);
	} else if (value) {
		memcpy(ret_text, json_string_value(value), json_string_length(value) + 1);
	}
}

size_t report_reader_word(struct report_reader *reader, const json_t *in, const char *member,
			  const char *const *words, size_t n)
{
	const json_t *value = report_reader_member(reader, in, member, JSON_STRING);
	size_t i = 0;

	while (value && i < n && strcmp(json_string_value(value), words[i]) != 0) {
		i++;
	}
	if (i == n) {
		report_reader_fail(reader, member, "is \"%.64s\", which is none that there is",
				   json_string_value(value));
		i = 0;
	}
	return i;
}

uint64_t report_reader_digits(struct report_reader *reader, const json_t *value, const char *member,
			      unsigned base)
{
	static const char digits[] = "0123456789abcdef";
	const char *text = json_string_value(value);
	uint64_t number = 0;

	for (const char *c = text; c && *c; c++) {
		const char *digit = strchr(digits, *c);

		if (!digit || (unsigned)(digit - digits) >= base ||
		    __builtin_mul_overflow(number, base, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(digit - digits), &number)) {
			text = NULL;
			break;
		}
	}
	if (!text || text[0] == '\0') {
		report_reader_fail(reader, member, "is not a whole number of 64 bits, as a text");
		return 0;
	}
	return number;
}

int report_reader_status(const char *name)
{
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (name && strcmp(grpc_status_name(status), name) == 0) {
			return status;
		}
	}
	return -1;
}

void report_reader_words(struct report_reader *reader, const json_t *in, const char *member,
			 uint64_t *ret_by_word)
{
	json_t *words = report_reader_member(reader, in, member, JSON_OBJECT), *value;
	const char *name;

	json_object_foreach(words, name, value)
	{
		/* What is not known is another one. */
		ret_by_word[injected_word(str_from(name))] +=
			report_reader_count(reader, words, name);
	}
}

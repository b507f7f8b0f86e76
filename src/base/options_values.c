/* The values of options.h: numbers, sizes and durations, read and written. */
#include "base/options.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Longest names first where one begins another. */
static const struct unit durations[] = {
	{ "ns", 1 },
	{ "us", UINT64_C(1000) },
	{ "\xc2\xb5s", UINT64_C(1000) }, /* U+00B5, the micro sign */
	{ "ms", UINT64_C(1000000) },
	{ "s", UINT64_C(1000000000) },
	{ "m", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
};

static const struct unit sizes[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "k", UINT64_C(1) << 10 },
	{ "K", UINT64_C(1) << 10 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "GiB", UINT64_C(1) << 30 },
};

static int reject(char *why, size_t size, const char *reason)
{
	snprintf(why, size, "%s", reason);
	return -1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *text, moved past. False: more than 64 bits. */
static bool read_digits(const char **text, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (; is_digit(**text); (*text)++) {
		if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
		    __builtin_add_overflow(number, (uint64_t)(**text - '0'), &number)) {
			return false;
		}
	}
	*ret_number = number;
	return true;
}

int parse_uint(const char *text, uint64_t *ret_number, char *why, size_t size)
{
	const char *end = text;
	uint64_t number;

	if (!is_digit(*text)) {
		return reject(why, size, "is not a whole number");
	}
	if (!read_digits(&end, &number)) {
		return reject(why, size, "is too large");
	}
	if (*end != '\0') {
		return reject(why, size, "is not a whole number");
	}
	*ret_number = number;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes, char *why, size_t size)
{
	const char *end = text;
	uint64_t number;

	if (!is_digit(*text)) {
		return reject(why, size, "is not a size (as in 65536, 64KiB, 4MiB, 1GiB)");
	}
	if (!read_digits(&end, &number)) {
		return reject(why, size, "is too large");
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (strcmp(end, sizes[i].name) != 0) {
			continue;
		}
		if (__builtin_mul_overflow(number, sizes[i].factor, &number)) {
			return reject(why, size, "is too large");
		}
		*ret_bytes = number;
		return 0;
	}
	return reject(why, size, "is not a size (as in 65536, 64KiB, 4MiB, 1GiB)");
}

/* The unit whose name is all letters up to the next digit or the end. */
static const struct unit *read_duration_unit(const char **text)
{
	size_t len = 0;

	while ((*text)[len] != '\0' && !is_digit((*text)[len])) {
		len++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		if (strlen(durations[i].name) == len &&
		    strncmp(*text, durations[i].name, len) == 0) {
			*text += len;
			return &durations[i];
		}
	}
	return NULL;
}

/*
 * What the digits of a fraction are worth in the unit; -1: less than a whole
 * nanosecond is left over.
 */
static int scale_fraction(const char *digits, size_t n, uint64_t factor, uint64_t *ret_ns)
{
	uint64_t ns = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned)(digits[i] - '0');

		if (digit != 0 && factor % 10 != 0) {
			return -1;
		}
		factor /= 10;
		ns += digit * factor;
	}
	*ret_ns = ns;
	return 0;
}

/* One "1.5s" of a duration; moves *text past it. NULL, or what is wrong with it. */
static const char *read_duration_part(const char **text, uint64_t *ret_ns)
{
	static const char malformed[] = "is not a duration (as in 500ms, 1.5s, 2m, 1h30m)";
	const char *fraction = NULL;
	const struct unit *unit;
	uint64_t whole, rest;
	size_t n = 0;

	if (!is_digit(**text)) {
		return malformed;
	}
	if (!read_digits(text, &whole)) {
		return "is too long";
	}
	if (**text == '.') {
		fraction = ++*text;
		while (is_digit(**text)) {
			n++;
			(*text)++;
		}
		if (n == 0) {
			return malformed;
		}
	}
	if (**text == '\0') {
		return "has no unit (as in 500ms, 1.5s, 2m, 1h30m)";
	}
	unit = read_duration_unit(text);
	if (!unit) {
		return malformed;
	}
	if (scale_fraction(fraction, n, unit->factor, &rest) < 0) {
		return "is finer than a nanosecond";
	}
	if (__builtin_mul_overflow(whole, unit->factor, &whole) ||
	    __builtin_add_overflow(whole, rest, ret_ns)) {
		return "is too long";
	}
	return NULL;
}

int parse_duration(const char *text, int64_t *ret_ns, char *why, size_t size)
{
	uint64_t total = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	do {
		uint64_t part = 0;
		const char *wrong = read_duration_part(&text, &part);

		if (wrong) {
			return reject(why, size, wrong);
		}
		if (__builtin_add_overflow(total, part, &total) || total > INT64_MAX) {
			return reject(why, size, "is too long");
		}
	} while (*text != '\0');
	*ret_ns = (int64_t)total;
	return 0;
}

/* "1.5" of 1500 thousandths: no zeros at the end. */
static int format_fraction(char *text, size_t size, uint64_t value, uint64_t factor)
{
	uint64_t rest = value % factor;
	int digits = 0;

	if (rest == 0) {
		return snprintf(text, size, "%" PRIu64, value / factor);
	}
	for (uint64_t f = factor; f > 1; f /= 10) {
		digits++;
	}
	while (rest % 10 == 0) {
		rest /= 10;
		digits--;
	}
	return snprintf(text, size, "%" PRIu64 ".%0*" PRIu64, value / factor, digits, rest);
}

void format_duration(int64_t ns, char *text, size_t size)
{
	const uint64_t minute = UINT64_C(60) * NS_PER_S, hour = 60 * minute;
	uint64_t left = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	/* The longest, INT64_MIN: -2562047h47m16.854775808s. */
	char whole[32], *p = whole, *end = whole + sizeof(whole);
	uint64_t factor = NS_PER_S;
	const char *unit = "s";

	if (ns < 0) {
		*p++ = '-';
	}
	if (left >= hour) {
		p += snprintf(p, (size_t)(end - p), "%" PRIu64 "h", left / hour);
	}
	if (left % hour >= minute) {
		p += snprintf(p, (size_t)(end - p), "%" PRIu64 "m", left % hour / minute);
	}
	if (left > 0 && left < NS_PER_S) {
		factor = left >= NS_PER_MS ? NS_PER_MS : left >= NS_PER_US ? NS_PER_US : 1;
		unit = factor == NS_PER_MS ? "ms" : factor == NS_PER_US ? "us" : "ns";
	}
	if (left % minute > 0 || left == 0) {
		p += format_fraction(p, (size_t)(end - p), left % minute, factor);
		snprintf(p, (size_t)(end - p), "%s", unit);
	}
	snprintf(text, size, "%s", whole);
}

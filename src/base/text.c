#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define LARGEST_FIXED 9e18
#define REPLACEMENT   STR("\xef\xbf\xbd")

void text_duration(int64_t ns, char *text, size_t size)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = { { "s", NS_PER_S }, { "ms", NS_PER_MS }, { "us", NS_PER_US } };
	size_t unit = 0;
	int64_t whole, thousandths;

	ns = MAX(ns, 0);
	while (unit + 1 < ARRAY_SIZE(units) && ns < units[unit].ns) {
		unit++;
	}
	whole = ns / units[unit].ns;
	thousandths = (ns % units[unit].ns) / (units[unit].ns / 1000);
	if (whole >= 1000) {
		snprintf(text, size, "%" PRId64 "%s", whole, units[unit].name);
	} else if (whole >= 100) {
		snprintf(text, size, "%" PRId64 ".%01" PRId64 "%s", whole, thousandths / 100,
			 units[unit].name);
	} else if (whole >= 10) {
		snprintf(text, size, "%" PRId64 ".%02" PRId64 "%s", whole, thousandths / 10,
			 units[unit].name);
	} else {
		snprintf(text, size, "%" PRId64 ".%03" PRId64 "%s", whole, thousandths,
			 units[unit].name);
	}
}

void text_number(double number, char *text, size_t size)
{
	/* Whole numbers, so that no locale's comma gets in; beyond 2^53 digits are made up. */
	uint64_t hundredths = number > 0 ? (uint64_t)(MIN(number, 1e15) * 100 + .5) : 0;

	if (hundredths >= 10000) { /* from 100 on, whole */
		hundredths = (hundredths + 50) / 100 * 100;
	}
	if (hundredths % 100 == 0) {
		snprintf(text, size, "%" PRIu64, hundredths / 100);
	} else if (hundredths % 10 == 0) {
		snprintf(text, size, "%" PRIu64 ".%" PRIu64, hundredths / 100,
			 hundredths % 100 / 10);
	} else {
		snprintf(text, size, "%" PRIu64 ".%02" PRIu64, hundredths / 100, hundredths % 100);
	}
}

int text_fixed(struct buffer *out, double number, unsigned digits)
{
	uint64_t one = 1, units;
	double magnitude = fabs(number);

	for (unsigned i = 0; i < digits; i++) {
		one *= 10;
	}
	/* NaN compares with nothing. */
	magnitude =
		magnitude * (double)one < LARGEST_FIXED ? magnitude * (double)one : LARGEST_FIXED;
	units = (uint64_t)(magnitude + .5);
	if (digits == 0) {
		return buffer_printf(out, "%s%" PRIu64, number < 0 && units > 0 ? "-" : "", units);
	}
	return buffer_printf(out, "%s%" PRIu64 ".%0*" PRIu64, number < 0 && units > 0 ? "-" : "",
			     units / one, (int)digits, units % one);
}

void text_percent(double share, char *text, size_t size)
{
	double percent = share * 100;
	uint64_t hundredths = percent > 0 ? (uint64_t)(MIN(percent, 1e15) * 100 + .5) : 0;

	if (percent > 0 && hundredths == 0) {
		snprintf(text, size, "<0.01 %%");
	} else if (percent < 100 && hundredths >= 9995) { /* not all */
		hundredths = MIN(hundredths, 9999);
		snprintf(text, size, "99.%02" PRIu64 " %%", hundredths % 100);
	} else if (hundredths == 0 || hundredths >= 9995) {
		snprintf(text, size, "%" PRIu64 " %%", (hundredths + 50) / 100);
	} else if (hundredths >= 1000) {
		uint64_t tenths = (uint64_t)(percent * 10 + .5);

		snprintf(text, size, "%" PRIu64 ".%" PRIu64 " %%", tenths / 10, tenths % 10);
	} else {
		snprintf(text, size, "%" PRIu64 ".%02" PRIu64 " %%", hundredths / 100,
			 hundredths % 100);
	}
}

uint64_t text_rate_tenths(uint64_t calls, int64_t elapsed_ns)
{
	return elapsed_ns > 0 ? (uint64_t)((double)calls * 10 * NS_PER_S / (double)elapsed_ns + .5)
			      : 0;
}

/* Are there controls of direction, or ends of lines, of so many bytes (2 or 3)? */
static bool is_direction(const unsigned char *c, size_t n)
{
	if (n >= 2 && c[0] == 0xd8) {
		return c[1] == 0x9c; /* U+061C */
	}
	if (n < 3 || c[0] != 0xe2) {
		return false;
	}
	return (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f ||     /* U+200E, U+200F */
				 (c[2] >= 0xa8 && c[2] <= 0xae))) || /* U+2028 to U+202E */
	       (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);       /* U+2066 to U+2069 */
}

/*
 * A control character of one byte, or of two (U+0080 to U+009F), or one that turns around
 * or breaks what follows it; its length, or 0.
 */
static size_t control_length(struct str text)
{
	const unsigned char *c = (const unsigned char *)text.data;

	if (c[0] < 0x20 || c[0] == 0x7f) {
		return 1;
	}
	if (is_direction(c, text.len)) {
		return c[0] == 0xd8 ? 2 : 3;
	}
	return c[0] == 0xc2 && text.len > 1 && c[1] < 0xa0 ? 2 : 0;
}

/* Of valid UTF-8, of 2 or 3 bytes. */
static int print_code_point(struct buffer *out, const unsigned char *c, size_t n)
{
	unsigned code = n == 2 ? (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu)
			       : (c[0] & 0xfu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);

	return buffer_printf(out, "\\u%04x", code);
}

int text_visible(struct buffer *out, struct str text)
{
	int err = 0;

	while (text.len > 0 && err == 0) {
		struct str good = { text.data, utf8_valid_prefix(text) };
		size_t control = 0, i = 0;

		while (i < good.len && control == 0) {
			control = control_length((struct str){ good.data + i, good.len - i });
			i += control == 0;
		}
		err = buffer_append(out, good.data, i);
		if (control > 0 && is_direction((const unsigned char *)good.data + i, control)) {
			TEXT_CHAIN(err, print_code_point(out, (const unsigned char *)good.data + i,
							 control));
			i += control;
		} else if (control > 0) {
			TEXT_PRINT(err, out, "\\x%02x", (unsigned char)good.data[i + control - 1]);
			i += control;
		} else if (i < text.len) {
			TEXT_CHAIN(err, buffer_append_str(out, REPLACEMENT));
			i++;
		}
		text.data += i;
		text.len -= i;
	}
	return err;
}

/* Of valid UTF-8, at most `max` bytes, no character cut. */
static size_t cut(struct str text, size_t max)
{
	size_t n = MIN(text.len, max);

	while (n > 0 && n < text.len && ((unsigned char)text.data[n] & 0xc0) == 0x80) {
		n--;
	}
	return n;
}

int text_utf8(struct buffer *out, struct str text, size_t max)
{
	int err = 0;

	while (text.len > 0 && err == 0) {
		size_t valid = utf8_valid_prefix(text);
		size_t n = cut((struct str){ text.data, valid }, max);

		err = buffer_append(out, text.data, n);
		max -= n;
		if (n < valid || valid == text.len || max < REPLACEMENT.len) {
			break;
		}
		TEXT_CHAIN(err, buffer_append_str(out, REPLACEMENT));
		max -= REPLACEMENT.len;
		text.data += valid + 1;
		text.len -= valid + 1;
	}
	return err;
}

size_t text_columns(struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
	}
	return n;
}

#include "metrics/exposition.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define LARGEST_EXACT 0x1p53 /* whole numbers up to here are exact */

/* Of by_integers(), whose terms then fit into 128 bits: its range, and its power of ten. */
#define FROM       0x1p-17
#define TO         0x1p100
#define MOST_POWER 21

__extension__ typedef unsigned __int128 u128;

/* 0.d1 d2 ... dn * 10^point */
struct decimal {
	char digits[24];
	int n, point;
};

static void strip_zeros(struct decimal *decimal)
{
	while (decimal->n > 1 && decimal->digits[decimal->n - 1] == '0') {
		decimal->n--;
	}
}

static void from_whole(uint64_t number, struct decimal *ret)
{
	char reversed[24];
	int n = 0;

	do {
		reversed[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (int i = 0; i < n; i++) {
		ret->digits[i] = reversed[n - 1 - i];
	}
	ret->n = ret->point = n;
}

static u128 power_of_ten(int n)
{
	u128 power = 1;

	while (n-- > 0) {
		power *= 10;
	}
	return power;
}

/* What reads back as a value, between `low` and `high`; all of them in units of 1 / `unit`. */
struct span {
	u128 low, value, high, unit;
	bool closed; /* the ends are in it */
};

/*
 * The span of a value times 10^power. The neighbours of m * 2^e are one 2^e away, that below
 * a power of two half of it; what lies nearer than half of that reads back, and what lies
 * half way goes to the even one.
 */
static struct span span_of(double value, int power)
{
	int exponent;
	uint64_t m = (uint64_t)(frexp(value, &exponent) * 0x1p53);
	u128 unit = 4, up = power > 0 ? power_of_ten(power) : 1;
	struct span span;

	exponent -= 53;
	if (exponent > 0) {
		up <<= exponent;
	} else {
		unit <<= -exponent;
	}
	span.value = 4 * m * up;
	span.low = span.value - (m == 1ull << 52 ? 1 : 2) * up;
	span.high = span.value + 2 * up;
	span.unit = power < 0 ? unit * power_of_ten(-power) : unit;
	span.closed = m % 2 == 0;
	return span;
}

/* Value / unit, to the nearest whole number; from half way to the even one. */
static uint64_t nearest(const struct span *span)
{
	uint64_t below = (uint64_t)(span->value / span->unit);
	u128 rest = span->value % span->unit, other = span->unit - rest;

	return rest > other || (rest == other && below % 2 == 1) ? below + 1 : below;
}

/*
 * The fewest digits that read back as `value`, by whole numbers alone. At 17 digits or 18,
 * or at MOST_POWER, neighbours are more than 1 apart, and so at least one is in the span;
 * each digit less leaves a tenth of them, until none. False: the value is out of the range
 * where that works.
 */
static bool by_integers(double value, struct decimal *ret)
{
	int power, exponent;
	uint64_t low, high, best;
	struct span span;

	if (value < FROM || value > TO) {
		return false;
	}
	frexp(value, &exponent);
	power = 16 - (int)floor((exponent - 1) * 0.30103); /* the logarithm of 2 */
	power = MIN(power, MOST_POWER);
	span = span_of(value, power);
	low = (uint64_t)((span.low + span.unit - (span.closed ? 1 : 0)) / span.unit);
	high = (uint64_t)((span.high - (span.closed ? 0 : 1)) / span.unit);
	while ((low + 9) / 10 <= high / 10) {
		low = (low + 9) / 10;
		high /= 10;
		span.unit *= 10;
		power--;
	}
	best = nearest(&span);
	from_whole(MIN(MAX(best, low), high), ret);
	ret->point -= power;
	return true;
}

/*
 * Whether `value`, rounded to so many significant digits, reads back as itself.
 * snprintf() and strtod() may use another locale's point: they agree about it,
 * and only the digits are taken over.
 */
static bool round_to(double value, int digits, struct decimal *ret)
{
	char text[48], *end;
	bool same;

	snprintf(text, sizeof(text), "%.*e", digits - 1, value);
	same = strtod(text, NULL) == value;
	ret->n = 0;
	for (end = text; *end != 'e'; end++) {
		if (*end >= '0' && *end <= '9') {
			ret->digits[ret->n++] = *end;
		}
	}
	ret->point = (int)strtol(end + 1, NULL, 10) + 1;
	return same;
}

/* Whether the next number up, of as many digits, reads back as `value`. */
static bool next_reads_back(double value, struct decimal *decimal)
{
	char text[48];

	if (decimal->digits[decimal->n - 1] == '9') {
		return false;
	}
	decimal->digits[decimal->n - 1]++;
	snprintf(text, sizeof(text), "%.*se%d", decimal->n, decimal->digits,
		 decimal->point - decimal->n);
	return strtod(text, NULL) == value;
}

/*
 * The same, for any value, by trying. A decimal of up to 15 digits
 * survives the way into a double and back, so where 15 digits read back they
 * are the shortest form with zeros behind it; only subnormal numbers, which
 * hold fewer, are tried from one digit on. Otherwise 16 suffice, or 17.
 *
 * A power of two has a neighbour below at half the distance of the one above.
 * Of 16 digits the nearest number may then lie below and belong to the
 * neighbour, while the next one up still belongs to `value`.
 */
static void by_printf(double value, struct decimal *ret)
{
	int digits = value < DBL_MIN ? 1 : DBL_DIG;

	for (; digits < DBL_DECIMAL_DIG; digits++) {
		if (round_to(value, digits, ret)) {
			return;
		}
		if (digits == DBL_DIG + 1 && next_reads_back(value, ret)) {
			return;
		}
	}
	round_to(value, DBL_DECIMAL_DIG, ret);
}

static char *put(char *p, const char *text, size_t n)
{
	memcpy(p, text, n);
	return p + n;
}

static char *put_zeros(char *p, int n)
{
	memset(p, '0', (size_t)n);
	return p + n;
}

/* d.ddde+XX: at least two digits of exponent. */
static char *put_scientific(char *p, const struct decimal *decimal)
{
	int exponent = decimal->point - 1;
	unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);

	*p++ = decimal->digits[0];
	if (decimal->n > 1) {
		*p++ = '.';
		p = put(p, decimal->digits + 1, (size_t)decimal->n - 1);
	}
	*p++ = 'e';
	*p++ = exponent < 0 ? '-' : '+';
	if (size >= 100) {
		*p++ = (char)('0' + size / 100);
	}
	*p++ = (char)('0' + size / 10 % 10);
	*p++ = (char)('0' + size % 10);
	return p;
}

/* 0.000ddd, dd.ddd or ddd000 */
static char *put_plain(char *p, const struct decimal *decimal)
{
	size_t n = (size_t)decimal->n;

	if (decimal->point <= 0) {
		p = put(p, "0.", 2);
		p = put_zeros(p, -decimal->point);
		return put(p, decimal->digits, n);
	}
	if (decimal->point >= decimal->n) {
		p = put(p, decimal->digits, n);
		return put_zeros(p, decimal->point - decimal->n);
	}
	p = put(p, decimal->digits, (size_t)decimal->point);
	*p++ = '.';
	return put(p, decimal->digits + decimal->point, n - (size_t)decimal->point);
}

size_t exposition_format_double(double value, char text[32])
{
	struct decimal decimal;
	char *p = text;

	if (value != value) {
		return (size_t)(put(p, "NaN", 3) - text);
	}
	if (value > DBL_MAX || value < -DBL_MAX) {
		return (size_t)(put(p, value > 0 ? "+Inf" : "-Inf", 4) - text);
	}
	if (__builtin_signbit(value)) {
		*p++ = '-';
		value = -value;
	}
	if (value <= LARGEST_EXACT && value == (double)(uint64_t)value) {
		from_whole((uint64_t)value, &decimal);
	} else if (!by_integers(value, &decimal)) {
		by_printf(value, &decimal);
	}
	strip_zeros(&decimal);
	/*
	 * strconv's rule for 'g' with the shortest form: exponents from -4 to 5 are
	 * written out.
	 */
	if (value > 0 && (decimal.point < -3 || decimal.point > 6)) {
		p = put_scientific(p, &decimal);
	} else {
		p = put_plain(p, &decimal);
	}
	return (size_t)(p - text);
}

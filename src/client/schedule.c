/*
 * One idea for all arrivals: let L(t) be the calls that are due by the instant t. L
 * rises as the rate says, in a straight line where the rate is constant and in a
 * parabola along a ramp. Call i starts at L^-1(i). A Poisson process of a changing
 * rate is one of rate 1, position 0, e1, e1 + e2, ... (e: exponential, mean 1), seen
 * through the same L^-1.
 *
 * L is counted in schedule_calls, of which a call has U = 2 * 10^15. A piece with rates
 * a and b (in units of 10^-6 calls/s) and the length T (ns) then makes (a + b) * T of
 * them, and a constant rate r makes 2rt: whole numbers, in 128 bits. So where pieces
 * begin is exact, and so is each start at a constant rate; nothing is ever added up but
 * whole numbers. Only the root that a ramp needs is rounded, for each call alone.
 */
#include "client/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"

#define CALL (UINT64_C(2) * SCHEDULE_RATE_UNIT * NS_PER_S)

/* --- where call n starts ---------------------------------------------------- */

static schedule_calls calls_of(const struct schedule_piece *piece)
{
	return (schedule_calls)(piece->from + piece->to) * (uint64_t)piece->length_ns;
}

/*
 * When `calls` of them are due on a ramp that begins at rate a and ends at b > a:
 * 2at + (b-a)/T * t^2 = calls, in the form that subtracts nothing.
 */
static long double climb(uint64_t a, uint64_t b, int64_t length_ns, schedule_calls calls)
{
	long double c = (long double)calls;
	long double steep = (long double)(b - a) / (long double)length_ns;

	return c / ((long double)a + sqrtl((long double)a * (long double)a + steep * c));
}

/* ns since the piece began; calls < calls_of(piece). */
static int64_t time_in(const struct schedule_piece *piece, schedule_calls calls)
{
	long double ns;

	if (piece->from == piece->to) {
		return (int64_t)((calls + piece->from) / (2 * piece->from));
	}
	if (piece->from < piece->to) {
		ns = calls == 0 ? 0 : climb(piece->from, piece->to, piece->length_ns, calls);
	} else { /* downhill is uphill from the other end */
		calls = calls_of(piece) - calls;
		ns = (long double)piece->length_ns -
		     climb(piece->to, piece->from, piece->length_ns, calls);
	}
	return MIN(llroundl(ns), piece->length_ns);
}

/* When `position` calls are due; `place` goes there. INT64_MAX: never. */
static int64_t instant_of(const struct schedule_spec *spec, struct schedule_place *place,
			  schedule_calls position)
{
	schedule_calls ns;
	uint64_t held;

	while (place->piece < spec->n) {
		const struct schedule_piece *piece = &spec->pieces[place->piece];
		schedule_calls calls = calls_of(piece);

		if (position - place->begin < calls) {
			return place->begin_ns + time_in(piece, position - place->begin);
		}
		place->piece++;
		place->begin += calls;
		place->begin_ns += piece->length_ns;
	}
	held = spec->n > 0 ? spec->pieces[spec->n - 1].to : 0;
	if (held == 0) {
		return INT64_MAX;
	}
	ns = (position - place->begin + held) / (2 * held);
	return ns < (schedule_calls)(INT64_MAX - place->begin_ns) ? place->begin_ns + (int64_t)ns
								  : INT64_MAX;
}

void schedule_init(struct schedule *schedule, const struct schedule_spec *spec,
		   struct random *random)
{
	*schedule = (struct schedule){ .spec = spec, .random = spec->poisson ? random : NULL };
}

int64_t schedule_next(struct schedule *schedule)
{
	int64_t ns;

	if (schedule->random) {
		double gap = -log1p(-random_unit(schedule->random));

		schedule->position += (uint64_t)(gap * (double)CALL + .5);
	} else {
		schedule->position = (schedule_calls)schedule->n * CALL;
	}
	schedule->n++;
	ns = instant_of(schedule->spec, &schedule->place, schedule->position);
	schedule->last_ns = MAX(schedule->last_ns, ns); /* a root's rounding turns nothing round */
	return schedule->last_ns;
}

/* --- what a specification amounts to ------------------------------------------ */

int64_t schedule_length_ns(const struct schedule_spec *spec)
{
	int64_t length_ns = 0;

	for (size_t i = 0; i < spec->n; i++) {
		length_ns += spec->pieces[i].length_ns;
	}
	return length_ns;
}

/* In units, `at_ns` after the piece began. */
static long double rate_in(const struct schedule_piece *piece, int64_t at_ns)
{
	long double share = (long double)at_ns / (long double)piece->length_ns;

	return (long double)piece->from * (1 - share) + (long double)piece->to * share;
}

double schedule_rate_at(const struct schedule_spec *spec, int64_t at_ns)
{
	for (size_t i = 0; i < spec->n; i++) {
		const struct schedule_piece *piece = &spec->pieces[i];

		if (at_ns < piece->length_ns) {
			return (double)(rate_in(piece, MAX(at_ns, 0)) / SCHEDULE_RATE_UNIT);
		}
		at_ns -= piece->length_ns;
	}
	return spec->n > 0 ? (double)spec->pieces[spec->n - 1].to / SCHEDULE_RATE_UNIT : 0;
}

/* L(t), in calls. */
static long double mean_until(const struct schedule_spec *spec, int64_t at_ns)
{
	long double calls = 0;

	for (size_t i = 0; i < spec->n; i++) {
		const struct schedule_piece *piece = &spec->pieces[i];

		if (at_ns < piece->length_ns) {
			long double rates = (long double)piece->from + rate_in(piece, at_ns);

			return (calls + rates * (long double)at_ns) / (long double)CALL;
		}
		calls += (long double)calls_of(piece);
		at_ns -= piece->length_ns;
	}
	if (spec->n > 0) {
		calls += 2 * (long double)spec->pieces[spec->n - 1].to * (long double)at_ns;
	}
	return calls / (long double)CALL;
}

static int64_t start_of(const struct schedule_spec *spec, uint64_t n)
{
	struct schedule_place place = { 0 };

	return instant_of(spec, &place, (schedule_calls)n * CALL);
}

double schedule_offered(const struct schedule_spec *spec, int64_t at_ns)
{
	uint64_t n;

	if (at_ns <= 0) {
		return 0;
	}
	if (spec->poisson) {
		return (double)mean_until(spec, at_ns);
	}
	/* The mean is at most a call away, and a rounding error. */
	n = (uint64_t)mean_until(spec, at_ns);
	while (n > 0 && start_of(spec, n - 1) >= at_ns) {
		n--;
	}
	while (start_of(spec, n) < at_ns) {
		n++;
	}
	return (double)n;
}

/* --- text ----------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int reject(char *why, size_t size, const char *format,
							...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "0.5" at *text, moved past it: a point that no digit follows is not its own ("1..2"). */
static int read_rate(const char **text, uint64_t *ret_units, char *why, size_t size)
{
	uint64_t units = 0, digit_units = SCHEDULE_RATE_UNIT;
	const char *at = *text;

	if (!is_digit(*at)) {
		return reject(why, size,
			      "is not a rate in calls per second (as in 5000, 0.5, "
			      "1000..20000/10s, 1000,2000,4000/30s)");
	}
	for (; is_digit(*at); at++) {
		units = units * 10 + (uint64_t)(*at - '0') * SCHEDULE_RATE_UNIT;
		if (units > SCHEDULE_MAX_RATE) {
			return reject(why, size, "is a rate above 10000000 calls per second");
		}
	}
	if (at[0] == '.' && is_digit(at[1])) {
		for (at++; is_digit(*at); at++) {
			digit_units /= 10;
			if (digit_units == 0 && *at != '0') {
				return reject(why, size,
					      "is finer than a millionth of a call "
					      "per second");
			}
			units += (uint64_t)(*at - '0') * digit_units;
		}
	}
	if (units > SCHEDULE_MAX_RATE) {
		return reject(why, size, "is a rate above 10000000 calls per second");
	}
	*text = at;
	*ret_units = units;
	return 0;
}

/* "/10s" at the end of a ramp, or of `n` steps. */
static int read_length(const char *text, size_t n, int64_t *ret_ns, char *why, size_t size)
{
	char reason[160];
	int64_t ns;

	if (parse_duration(text, &ns, reason, sizeof(reason)) < 0) {
		return reject(why, size, "is not a rate: the length behind the / %s", reason);
	}
	if (ns == 0) {
		return reject(why, size, "has a length of 0");
	}
	if (ns > INT64_MAX / (int64_t)n) {
		return reject(why, size, "is too long");
	}
	*ret_ns = ns;
	return 0;
}

/* What stands behind the first rate of a ramp: "..20000/10s". */
static int read_ramp(const char *text, struct schedule_spec *spec, char *why, size_t size)
{
	struct schedule_piece *piece = &spec->pieces[0];

	text += 2;
	if (read_rate(&text, &piece->to, why, size) < 0) {
		return -1;
	}
	if (*text == '\0') {
		return reject(why, size,
			      "is no rate: a ramp needs its length, as in "
			      "1000..20000/10s");
	}
	if (*text != '/') {
		return reject(why, size,
			      "is not a ramp (as in 1000..20000/10s): \"%s\" is too much", text);
	}
	return read_length(text + 1, 1, &piece->length_ns, why, size);
}

/* What stands behind the first rate of steps: ",2000,4000/30s". */
static int read_steps(const char *text, struct schedule_spec *spec, char *why, size_t size)
{
	int64_t length_ns = 0;

	while (*text == ',') {
		struct schedule_piece *piece = &spec->pieces[spec->n];

		if (spec->n == SCHEDULE_MAX_PIECES) {
			return reject(why, size, "has more than %d steps", SCHEDULE_MAX_PIECES);
		}
		text++;
		if (read_rate(&text, &piece->from, why, size) < 0) {
			return -1;
		}
		piece->to = piece->from;
		spec->n++;
	}
	if (*text == '\0') {
		return reject(why, size,
			      "is no rate: steps need the length of each, as in "
			      "1000,2000,4000/30s");
	}
	if (*text != '/') {
		return reject(why, size,
			      "is not a row of steps (as in 1000,2000,4000/30s): \"%s\" is too "
			      "much",
			      text);
	}
	if (read_length(text + 1, spec->n, &length_ns, why, size) < 0) {
		return -1;
	}
	for (size_t i = 0; i < spec->n; i++) {
		spec->pieces[i].length_ns = length_ns;
	}
	return 0;
}

static int read_spec(const char *text, struct schedule_spec *spec, char *why, size_t size)
{
	struct schedule_piece *first = &spec->pieces[0];

	spec->n = 1;
	if (read_rate(&text, &first->from, why, size) < 0) {
		return -1;
	}
	first->to = first->from;
	if (strncmp(text, "..", 2) == 0) {
		return read_ramp(text, spec, why, size);
	}
	if (*text == ',') {
		return read_steps(text, spec, why, size);
	}
	if (*text == '/') {
		return reject(why, size, "is one rate, which has no length of its own");
	}
	if (*text != '\0') {
		return reject(why, size, "is not a rate: \"%s\" is too much", text);
	}
	return 0;
}

int schedule_parse(const char *text, void *ret_spec, char *why, size_t size)
{
	struct schedule_spec *spec = ret_spec;
	struct schedule_spec read = { .poisson = spec->poisson };
	uint64_t highest = 0;

	if (read_spec(text, &read, why, size) < 0) {
		return -1;
	}
	for (size_t i = 0; i < read.n; i++) {
		highest = MAX(highest, MAX(read.pieces[i].from, read.pieces[i].to));
	}
	if (highest == 0) {
		return reject(why, size, "is a rate of 0: no call would ever start");
	}
	*spec = read;
	return 0;
}

static int format_rate(struct buffer *out, uint64_t units)
{
	uint64_t fraction = units % SCHEDULE_RATE_UNIT;
	int digits = 6;

	if (fraction == 0) {
		return buffer_printf(out, "%" PRIu64, units / SCHEDULE_RATE_UNIT);
	}
	for (; fraction % 10 == 0; fraction /= 10) {
		digits--;
	}
	return buffer_printf(out, "%" PRIu64 ".%0*" PRIu64, units / SCHEDULE_RATE_UNIT, digits,
			     fraction);
}

int schedule_format(const struct schedule_spec *spec, struct buffer *out)
{
	char length[40];
	int err = 0;

	for (size_t i = 0; err == 0 && i < spec->n; i++) {
		err = i > 0 ? buffer_append_str(out, STR(",")) : 0;
		err = err < 0 ? err : format_rate(out, spec->pieces[i].from);
	}
	if (err < 0 || spec->n == 0 || spec->pieces[0].length_ns == 0) {
		return err;
	}
	if (spec->n == 1) {
		err = buffer_append_str(out, STR(".."));
		err = err < 0 ? err : format_rate(out, spec->pieces[0].to);
	}
	format_duration(spec->pieces[0].length_ns, length, sizeof(length));
	return err < 0 ? err : buffer_printf(out, "/%s", length);
}

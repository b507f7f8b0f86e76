#include "metrics/exemplar.h"

#include <string.h>

/* version "-" trace-id "-" parent-id "-" flags, all hexadecimal (W3C Trace Context 3.2.2) */
#define VERSION_AT 0
#define TRACE_AT   3
#define SPAN_AT    (TRACE_AT + EXEMPLAR_TRACE_DIGITS + 1)
#define FLAGS_AT   (SPAN_AT + EXEMPLAR_SPAN_DIGITS + 1)
#define LENGTH     (FLAGS_AT + 2)

#define FLAG_SAMPLED 1

/* -1: no digit. Capitals are none here (W3C Trace Context 3.2.2.1). */
static int digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* So many digits at `text`, of which one at least is not 0. */
static bool is_id(const char *text, size_t n)
{
	bool some = false;

	for (size_t i = 0; i < n; i++) {
		int value = digit(text[i]);

		if (value < 0) {
			return false;
		}
		some = some || value > 0;
	}
	return some;
}

/* Two digits; -1: they are none. */
static int octet(const char *text)
{
	int high = digit(text[0]), low = digit(text[1]);

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Version 00 ends there; a later one may go on, behind another dash. ff is none. */
static bool is_versioned(struct str text)
{
	int version = octet(text.data + VERSION_AT);

	return version == 0 ? text.len == LENGTH
			    : version > 0 && version < 0xff &&
				      (text.len == LENGTH || text.data[LENGTH] == '-');
}

bool exemplar_from_traceparent(struct str traceparent, struct exemplar *ret)
{
	const char *text = traceparent.data;
	int flags;

	if (traceparent.len < LENGTH || !is_versioned(traceparent) || text[TRACE_AT - 1] != '-' ||
	    text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-' ||
	    !is_id(text + TRACE_AT, EXEMPLAR_TRACE_DIGITS) ||
	    !is_id(text + SPAN_AT, EXEMPLAR_SPAN_DIGITS)) {
		return false;
	}
	flags = octet(text + FLAGS_AT);
	if (flags < 0 || !(flags & FLAG_SAMPLED)) {
		return false;
	}
	memcpy(ret->trace_id, text + TRACE_AT, EXEMPLAR_TRACE_DIGITS);
	ret->trace_id[EXEMPLAR_TRACE_DIGITS] = '\0';
	memcpy(ret->span_id, text + SPAN_AT, EXEMPLAR_SPAN_DIGITS);
	ret->span_id[EXEMPLAR_SPAN_DIGITS] = '\0';
	return true;
}

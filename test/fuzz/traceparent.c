/* traceparent: the parser against a pattern that is walked along, and what it keeps. */
#include <string.h>

#include "fuzz.h"
#include "metrics/exemplar.h"

#define LENGTH 55

/* x is a digit; what is behind it is for later versions. */
static const char pattern[] = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";

_Static_assert(sizeof(pattern) == LENGTH + 1, "as long as version 00 has it");

static bool is_zero(const char *text, size_t n)
{
	return strspn(text, "0") >= n;
}

static bool slowly(struct str text)
{
	char copy[LENGTH + 1] = "";

	if (text.len < LENGTH || memchr(text.data, '\0', LENGTH)) {
		return false;
	}
	memcpy(copy, text.data, LENGTH);
	for (size_t i = 0; i < LENGTH; i++) {
		if (pattern[i] == 'x' ? !strchr("0123456789abcdef", copy[i]) : copy[i] != '-') {
			return false;
		}
	}
	if (strncmp(copy, "ff", 2) == 0 || is_zero(copy + 3, 32) || is_zero(copy + 36, 16) ||
	    !strchr("13579bdf", copy[LENGTH - 1])) {
		return false;
	}
	return text.len == LENGTH || (!is_zero(copy, 2) && text.data[LENGTH] == '-');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = input_text((struct bytes){ data, size });
	struct exemplar exemplar, before;

	memset(&exemplar, 'k', sizeof(exemplar));
	before = exemplar;
	if (!exemplar_from_traceparent(text, &exemplar)) {
		MUST(!slowly(text));
		MUST(memcmp(&exemplar, &before, sizeof(exemplar)) == 0);
		return 0;
	}
	MUST(slowly(text));
	MUST(strlen(exemplar.trace_id) == EXEMPLAR_TRACE_DIGITS);
	MUST(memcmp(exemplar.trace_id, text.data + 3, EXEMPLAR_TRACE_DIGITS) == 0);
	MUST(strlen(exemplar.span_id) == EXEMPLAR_SPAN_DIGITS);
	MUST(memcmp(exemplar.span_id, text.data + 36, EXEMPLAR_SPAN_DIGITS) == 0);
	MUST(memcmp(&exemplar.value, &before.value, sizeof(exemplar.value)) == 0);
	MUST(memcmp(&exemplar.timestamp, &before.timestamp, sizeof(exemplar.timestamp)) == 0);
	return 0;
}

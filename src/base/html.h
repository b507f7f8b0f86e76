/*
 * Writing a page: appends that remember a failure, so that it is asked for once, at the
 * end, and text of anyone's that stays text.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "base/text.h"

struct html {
	struct buffer *out;
	unsigned ids; /* given so far, for what refers to another element */
	int err;      /* 0, or -ENOMEM: what was appended since is not all there */
};

/* Markup as it is. */
#define HTML(html, ...) TEXT_PRINT((html)->err, (html)->out, __VA_ARGS__)

/* As the content of an element, or in a quoted attribute. Control characters as \xNN. */
void html_text(struct html *html, struct str text);
static inline void html_string(struct html *html, const char *text)
{
	html_text(html, str_from(text));
}
/* "12,345,678" */
void html_count(struct html *html, uint64_t count);
/* See text_fixed(). */
void html_fixed(struct html *html, double number, unsigned digits);
/* "1.234 ms"; see text_duration(). From a minute on "1m30s". */
void html_duration(struct html *html, int64_t ns);

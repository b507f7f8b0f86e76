/*
 * The head of a request (RFC 9112 2-5): its lines are collected here and held
 * to the grammar, byte by byte, before the parser sees them. Private to http1/.
 *
 * llhttp, strict or not, takes several things that two HTTP implementations can
 * read in two ways: a bare LF, a folded line, more than one space in the
 * request line, several Host fields, an empty Content-Length. Whatever passes
 * here has one reading. All decisions depend on the bytes alone, never on how
 * they were cut into chunks.
 *
 * One allocation holds it all: lines, fields and the request that points to them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "http1/server.h"

enum http1_head_event {
	HTTP1_HEAD_MORE,    /* no line is complete yet */
	HTTP1_HEAD_EMPTY,   /* an empty line in front of a request: RFC 9112 2.2 lets it pass */
	HTTP1_HEAD_LINE,    /* a line: http1_head_line() */
	HTTP1_HEAD_END,     /* the empty line that ends head or trailers: http1_head_line() */
	HTTP1_HEAD_REFUSED, /* `status` and `why` say what is wrong */
};

struct http1_head {
	struct http1_request request; /* complete after HTTP1_HEAD_END */
	bool http_1_0;
	bool expects;  /* Expect: 100-continue */
	bool trailers; /* lines now belong to the trailer section: checked, not kept */
	int status;
	const char *why;
	size_t len, line; /* bytes kept; where the line in progress begins */
	size_t max_bytes, max_fields;
	struct http1_header *fields;
	char *bytes;
};

/* NULL: no memory. Freed with free(). */
struct http1_head *http1_head_new(size_t max_bytes, size_t max_fields);

/* Takes bytes up to the end of one line, or all: `ret_taken` is how many. */
enum http1_head_event http1_head_feed(struct http1_head *head, const uint8_t *bytes, size_t n,
				      size_t *ret_taken);

/* The line that was just completed, CRLF included. Valid until the next feed. */
struct str http1_head_line(const struct http1_head *head);

/* From here on the lines are those of a trailer section. */
void http1_head_begin_trailers(struct http1_head *head);

/*
 * HTTP/1.1 (RFC 9110, 9112) as an engine, server side: llhttp parses, head.h
 * checks what it does not, and this keeps the order of pipelined requests,
 * the times and the framing of responses. One request at a time is being
 * answered; further input waits (receive() takes fewer bytes).
 *
 * The happy path: receive() -> request upcall -> http1_server_respond() ->
 * produce() until it returns 0 -> the next request.
 *
 * What can fail: a request that has no one reading (400), is too large (413,
 * 414, 431), of a method or version that is not HTTP/1.1's (501, 505) or too
 * slow (408) is answered by this layer with `Connection: close`; what follows
 * it is thrown away, and finished() is true once the answer was produced. A
 * response that is not taken in time, and lack of memory, end the engine:
 * produce() returns the error. A timer may end it while the host has no room:
 * the host must answer wake() with produce(), if with room 0.
 *
 * A request body is kept up to `keep_body_bytes` for the handler, and what is longer is
 * discarded up to `max_body_bytes`. `Expect: 100-continue` is told to go on where the body
 * may be one that is kept; else it is answered at once, with the body cut at nothing, and
 * the connection closes. HTTP/1.0 and `Connection: close` close after the response.
 * `Upgrade` is ignored and answered as HTTP/1.1 (RFC 9110 7.8 lets a server do so).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "base/util.h"

/* Borrowed until the handler has responded. */
struct http1_header {
	struct str name, value;
};

/* Borrowed until the handler has responded, or until `closed`. */
struct http1_request {
	struct str method; /* "GET" */
	struct str target; /* as sent */
	struct str path;   /* of the origin or absolute form, without the query, not decoded */
	struct str query;  /* without '?'; empty if none */
	const struct http1_header *headers;
	size_t n_headers;
	struct str body; /* without chunk framing; cut where body_cut */
	bool body_cut;   /* it was longer than keep_body_bytes */
};

/* The value of the first field of that name (ASCII case-insensitive); data NULL: none. */
struct str http1_request_header(const struct http1_request *request, struct str name);
/* For fields that are lists: the next one after `previous` (NULL: the first); NULL at the end. */
const struct http1_header *http1_request_next(const struct http1_request *request, struct str name,
					      const struct http1_header *previous);

/* The statuses that this layer answers with, and those that it expects of handlers. */
#define HTTP1_STATUSES(X)                         \
	X(200, "OK")                              \
	X(400, "Bad Request")                     \
	X(403, "Forbidden")                       \
	X(404, "Not Found")                       \
	X(405, "Method Not Allowed")              \
	X(408, "Request Timeout")                 \
	X(413, "Content Too Large")               \
	X(414, "URI Too Long")                    \
	X(415, "Unsupported Media Type")          \
	X(431, "Request Header Fields Too Large") \
	X(500, "Internal Server Error")           \
	X(501, "Not Implemented")                 \
	X(503, "Service Unavailable")             \
	X(505, "HTTP Version Not Supported")

/*
 * A response that is not ready when its handler returns; embedded in what makes it. Whoever
 * sets it in the response answers by http1_later_respond(), once, and learns there whether
 * anybody still waits: the server may be gone meanwhile.
 */
struct http1_later {
	struct http1_server *server; /* NULL: nobody waits any more */
};

/*
 * Date, Content-Length and Connection are added; a status without a known
 * reason phrase goes out without one.
 */
struct http1_response {
	int status;
	const char *content_type;  /* NULL: none */
	const char *headers;       /* further complete lines, each ending in \r\n; may be NULL */
	struct buffer body;        /* taken (swapped out) by http1_server_respond() */
	bool close;                /* say Connection: close, and do so */
	int64_t write_timeout_ns;  /* shorter than the limit's; 0: the limit's */
	struct http1_later *later; /* not NULL: it comes later, and none of the above counts */
};

struct http1_server;

struct http1_server_limits {
	size_t max_header_bytes; /* request line (beyond it 414) and headers (431) */
	size_t max_headers;      /* fields; beyond it 431 */
	size_t keep_body_bytes;  /* 0 where no handler wants a body */
	size_t max_body_bytes;   /* as sent, chunk framing and trailers included; beyond it 413 */
	/* From a request's first byte to its blank line, and again for its body; 408, close. */
	int64_t header_timeout_ns;
	/* Before the first request and between requests; close. */
	int64_t idle_timeout_ns;
	/* To the last byte produced, whatever trickles meanwhile; fails with -ETIMEDOUT. */
	int64_t write_timeout_ns;
};

/*
 * 16 KiB is ten times what a scraper sends; 120 s is longer than common scrape
 * intervals, so that a scraper keeps its connection; 10 s is Prometheus' own
 * default of how long it waits.
 */
#define HTTP1_SERVER_DEFAULT_LIMITS                                                    \
	{                                                                              \
		.max_header_bytes = 16 * KIB, .max_headers = 64, .keep_body_bytes = 0, \
		.max_body_bytes = 64 * KIB, .header_timeout_ns = 10 * NS_PER_S,        \
		.idle_timeout_ns = 120 * NS_PER_S, .write_timeout_ns = 10 * NS_PER_S,  \
	}
extern const struct http1_server_limits http1_server_default_limits;

struct http1_server_events {
	/*
	 * A whole request. Answer with http1_server_respond(), now or later, exactly
	 * once, unless `closed` comes first; or now, with a response that comes later.
	 * HEAD: respond as for GET; the body is left out and Content-Length kept.
	 */
	void (*request)(void *user, struct http1_server *server,
			const struct http1_request *request);
	/* A response was queued, of a handler's or this layer's own. For counters. */
	void (*responded)(void *user, int status);
	/* Last: the engine dies after it. */
	void (*closed)(void *user);
};

/* `limits` are copied, `events` borrowed. NULL: no memory. */
struct engine *http1_server_new(const struct http1_server_limits *limits,
				const struct http1_server_events *events, void *user,
				struct timers *timers);
/* Needs a few hundred bytes; without memory for them the engine fails, and the host closes. */
void http1_server_respond(struct http1_server *server, struct http1_response *response);
/* http1_server_respond() for what was put off; the body is taken either way. On the loop. */
void http1_later_respond(struct http1_later *later, struct http1_response *response);
/* Time since a byte last moved, in or out; for whoever must choose a connection to give up. */
int64_t http1_server_still_ns(const struct http1_server *server);
/* The engine of a server, and back. */
struct engine *http1_server_engine(struct http1_server *server);
struct http1_server *http1_server_from_engine(struct engine *engine);

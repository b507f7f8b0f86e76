/*
 * HTTP/1.1 (RFC 9110, 9112) as an engine, server side: llhttp parses, this
 * checks what it does not (Host, obs-fold, both Content-Length and
 * Transfer-Encoding, limits), frames responses, and keeps the order of
 * pipelined requests. One request at a time is being answered; further input
 * waits (receive() takes fewer bytes).
 *
 * A request body is discarded up to `max_body_bytes`, beyond it 413 and close.
 * HTTP/1.0 and `Connection: close` close after the response; `Upgrade` is
 * ignored and answered as HTTP/1.1.
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

struct http1_request {
	struct str method; /* "GET" */
	struct str target; /* as sent */
	struct str path;   /* of the origin or absolute form, without the query, not decoded */
	struct str query;  /* without '?'; empty if none */
	const struct http1_header *headers;
	size_t n_headers;
};

/* The value of the first header of that name (ASCII case-insensitive); data NULL if there is none. */
struct str http1_request_header(const struct http1_request *request, struct str name);

struct http1_response {
	int status;
	const char *content_type; /* NULL: none */
	const char *headers;	  /* further complete lines, each ending in \r\n; may be NULL */
	struct buffer body;	  /* taken (swapped out) by http1_server_respond() */
};

struct http1_server;

struct http1_server_limits {
	size_t max_header_bytes;	/* request line and headers; beyond it 431 */
	size_t max_headers;		/* fields; beyond it 431 */
	size_t max_body_bytes;
	int64_t header_timeout_ns;	/* from the first byte of a request to its blank line; 408, close */
	int64_t idle_timeout_ns;	/* between requests; close */
	int64_t write_timeout_ns;	/* a response that makes no progress; engine finishes with an error */
};

extern const struct http1_server_limits http1_server_default_limits; /* 16 KiB, 64, 64 KiB, 10 s, 120 s, 10 s */

struct http1_server_events {
	/*
	 * A whole request. Answer with http1_server_respond(), now or later, exactly
	 * once. HEAD: respond as for GET; the body is left out and Content-Length kept.
	 */
	void (*request)(void *user, struct http1_server *server, const struct http1_request *request);
	/* A response of this status was queued, also those that this layer makes itself (400, 408, 413, 431). For counters. */
	void (*responded)(void *user, int status);
	/* Last: the engine dies after it. */
	void (*closed)(void *user);
};

struct engine *http1_server_new(const struct http1_server_limits *limits,
				const struct http1_server_events *events, void *user,
				struct timers *timers);
void http1_server_respond(struct http1_server *server, struct http1_response *response);
/* Time since the response in progress last moved (for the rule "the longest-stalled gives way"); 0 where none is in progress. */
int64_t http1_server_stalled_ns(const struct http1_server *server);
/* The engine of a server, and back. */
struct engine *http1_server_engine(struct http1_server *server);
struct http1_server *http1_server_from_engine(struct engine *engine);

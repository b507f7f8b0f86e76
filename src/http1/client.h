/*
 * HTTP/1.1 (RFC 9110, 9112) as an engine, client side: one GET on a connection, and
 * its answer, whole or not at all.
 *
 * The happy path: produce() gives the request -> receive() -> the answer's end, by
 * its length, its last chunk or the end of the connection -> `done` -> finished().
 *
 * What can fail: an answer that is not HTTP/1.x, that is cut off, larger than the
 * limits, encoded in a way that was not asked for, or late; a connection that is lost.
 * Each is a reason in `done`, which comes once whatever happens, in release() at the
 * latest. What is told depends on the bytes, never on how they were cut. Informational
 * answers (1xx) are passed over. Redirections are answers like any other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "base/util.h"

#define HTTP1_CLIENT_WHY_BYTES 128

struct http1_client_limits {
	size_t max_head_bytes;   /* status line and fields, those of 1xx answers included */
	size_t max_body_bytes;   /* as sent, chunk framing and trailers included */
	int64_t head_timeout_ns; /* from the beginning to the blank line */
	int64_t timeout_ns;      /* from the beginning to the end */
};

/* Copied. No part may hold a blank or a control character: that is for the caller to see to. */
struct http1_client_request {
	struct str host;   /* of the field: "h", "h:2112", "[::1]:2112" */
	struct str target; /* origin-form: "/metrics?x=1" */
	struct str accept; /* media types; empty: any */
};

struct http1_answer {
	const char *why; /* NULL: it is whole; else why there is none, and the rest is not set */
	int status;
	struct bytes body;
};

struct http1_client_events {
	/*
	 * Once. `answer` is borrowed until return; this may come from within receive(),
	 * produce(), a timer or release().
	 */
	void (*done)(void *user, const struct http1_answer *answer);
};

/* `limits` are copied, `events` borrowed. NULL: no memory. */
struct engine *http1_client_new(const struct http1_client_limits *limits,
				const struct http1_client_request *request,
				const struct http1_client_events *events, void *user,
				struct timers *timers);

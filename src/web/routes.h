/*
 * The HTTP face: a table of paths that the composition root fills, over
 * http1/server.h. GET and HEAD, and POST where a route takes it (405 with Allow
 * otherwise), 404 for the rest; paths match byte for byte, undecoded, whatever the query.
 * A prefix takes what begins with it, unless another route has that path, or a longer
 * prefix of it.
 *
 * A response must be taken within the shorter of the limit and the request's
 * X-Prometheus-Scrape-Timeout-Seconds: after that nobody waits for it. Bytes
 * that the host took from the engine are the host's to time: it should allow
 * them a write stall of no more than the limit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "http1/server.h"
#include "metrics/counter.h"

struct web;

struct route {
	const char *path;
	/* Fills `response`, which comes as an empty 200. Runs on the loop, must not block. */
	void (*get)(void *user, const struct http1_request *request,
		    struct http1_response *response);
	void *user;
	bool prefix; /* `path` and all that begins with it: "/-/things/" */
	/*
	 * As `get`, for POST; NULL: it is not taken. Not asked, and 403, where a browser says
	 * that the request comes from another site's page (Origin that is not this Host,
	 * Sec-Fetch-Site): what changes something must not be at the hand of every page.
	 */
	void (*post)(void *user, const struct http1_request *request,
		     struct http1_response *response);
};

#define WEB_STATUS_ONE(number, phrase) +1
enum { WEB_N_STATUSES = HTTP1_STATUSES(WEB_STATUS_ONE) };

struct web_meters {
	/* echod_metrics_http_requests_total{code}, in the order of HTTP1_STATUSES; then "other" */
	struct counter *requests[WEB_N_STATUSES + 1];
};

struct web_limits {
	size_t max_connections; /* 128: see web_accept() */
	struct http1_server_limits http1;
};
extern const struct web_limits web_default_limits;

/* `routes` and `meters` (may be NULL) are borrowed, `limits` are copied. NULL: no memory. */
struct web *web_new(const struct route *routes, size_t n, const struct web_limits *limits,
		    const struct web_meters *meters, struct timers *timers);
/* Asserts that no engine is left. NULL is fine. */
void web_free(struct web *web);
/*
 * An engine for a new inbound connection; NULL: no memory, and the host closes
 * it without a word.
 *
 * At `max_connections` the one that has been still for longest gives way, if
 * that is at least a second: a reader that does not read, half a request, an
 * idle connection. evict(host), with what *that* connection's web_accept() was
 * given, asks its host to close it: later, not from within. Where all of them
 * move, the new connection's first request is answered 503 and closes it; of
 * such connections there are at most `max_connections` more, beyond which the
 * one of them that has been still for longest gives way. So a host that stops
 * accepting should do so beyond twice `max_connections`, not at it: it is the
 * newcomer that makes the others go.
 */
struct engine *web_accept(struct web *web, void (*evict)(void *host), void *host);
/* Within a handler: what web_accept() was given as `host` with the connection that asks. */
void *web_asker(const struct web *web);

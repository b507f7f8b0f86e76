/*
 * The HTTP face: a table of paths that the composition root fills, over
 * http1/server.h. GET and HEAD only (405 with Allow otherwise), 404 for the
 * rest, paths match exactly.
 */
#pragma once

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "http1/server.h"
#include "metrics/counter.h"

struct web;

struct route {
	const char *path;
	/* Fills `response` (body included). Runs on the loop, must not block. */
	void (*get)(void *user, const struct http1_request *request, struct http1_response *response);
	void *user;
};

#define WEB_STATUSES(X) X(200) X(400) X(404) X(405) X(408) X(413) X(431) X(500) X(503)

struct web_meters {
	/* echod_metrics_http_requests_total{code}: by code, in the order of WEB_STATUSES; then "other" */
	struct counter *requests[10];
};

struct web_limits {
	size_t max_connections; /* 128: responses in progress; the longest-stalled gives way, else 503 */
	struct http1_server_limits http1;
};
extern const struct web_limits web_default_limits;

/* `routes` is borrowed. NULL: no memory. */
struct web *web_new(const struct route *routes, size_t n, const struct web_limits *limits,
		    const struct web_meters *meters, struct timers *timers);
/* Asserts that no engine is left. */
void web_free(struct web *web);
/*
 * An engine for a new inbound connection; NULL: no memory. At the cap the
 * longest-stalled connection's `evict` is called (its host closes it, later); where
 * none is stalled the new one is served 503 and closed.
 */
struct engine *web_accept(struct web *web, void (*evict)(void *host), void *host);

/*
 * GET /metrics: the registry in the format that Accept prefers (web/negotiate.h), by
 * default and in doubt the text format 0.0.4. Never 406: a scraper that wants something
 * else is better served with this than with nothing. `?name[]=total_requests` asks for
 * the family of that name alone, any number of times; without one that there is, nothing
 * is left, which is an empty 200. A query that cannot be read is 400.
 *
 * Each response owns its copy: a slow reader holds nothing of another's.
 *
 * The body is gzipped where Accept-Encoding allows it, at level 1, from 1 KiB up (below
 * that a response is one packet either way). That takes several times what rendering
 * takes, so it is done elsewhere where there is an `offload`, and the response comes when
 * it is ready. Of a connection that goes meanwhile, the work is finished and thrown away.
 * What cannot be packed for want of memory, or because as many as SCRAPE_MAX_PACKING are
 * being packed already, goes out as it is.
 */
#pragma once

#include "base/offload.h"
#include "base/timers.h"
#include "http1/server.h"
#include "metrics/exposition.h"

/* Each holds a page, plain and packed, and 300 KB of zlib's. */
#define SCRAPE_MAX_PACKING 8
/* Of one query: each is compared with all families. */
#define SCRAPE_MAX_NAMES 64

/* Outlives all that it has given to `offload`. */
struct scrape {
	struct registry *registry;
	bool openmetrics;            /* serve that too */
	struct offload *offload;     /* NULL: packs on the loop */
	const struct timers *timers; /* NULL: last_render_ns stays 0 */
	int64_t start_time_s;        /* when the process began, since 1970; 0: not to be said */
	/* Kept here: */
	int64_t last_render_ns; /* what rendering the last page took, without packing it */
	size_t n_packing;       /* given to `offload` and not back yet */
	char headers[160];      /* of the response that is being made */
};

/* A route's `get`; `user` is a struct scrape. 500 without memory. */
void scrape_get(void *user, const struct http1_request *request, struct http1_response *response);

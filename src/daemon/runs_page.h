/*
 * /-/runs/ on the metrics listener: which calls of the last few load runs arrived, as
 * JSON on one line.
 *
 *	/-/runs/			{"runs":["0123456789abcdef",...]}, the latest first
 *	/-/runs/0123456789abcdef	that one, 404 where it is not known (any more)
 *
 * The second has the totals, and the sets of numbers as ranges: "0-999,1001". Where
 * these are many it tells of the numbers from `from` to before `next`, and goes on at
 * ?from=NEXT; in the last part `next` is null. Of one part each set has at most
 * RUNS_PAGE_RANGES ranges, so that no answer is larger than a few hundred KiB nor takes
 * the loop longer than a millisecond or so.
 */
#pragma once

#include "http1/server.h"
#include "service/runs.h"

#define RUNS_PAGE_RANGES 4096

/* The shape of a route's `get`, for CONFIG_PATH_RUNS as a prefix; `user` is a struct runs. */
void runs_page_get(void *user, const struct http1_request *request,
		   struct http1_response *response);

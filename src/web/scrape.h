/*
 * GET /metrics: content negotiation over the encoders, gzip, one rendered copy
 * per response. Never 406: the text format is the default.
 */
#pragma once

#include "http1/server.h"
#include "metrics/exposition.h"

struct scrape {
	struct registry *registry;
};

/* A route's `get`; `user` is a struct scrape. */
void scrape_get(void *user, const struct http1_request *request, struct http1_response *response);

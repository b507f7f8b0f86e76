/* The daemon's own pages beside the metrics: the landing page and the two that say how it is. */
#pragma once

#include <stdbool.h>

#include "http1/server.h"

struct pages {
	const char *telemetry_path; /* needs no escaping: config.c sees to it */
	bool ready;
};

/* Shapes of a route's `get`; `user` is a struct pages. */
void pages_landing(void *user, const struct http1_request *request,
		   struct http1_response *response);
void pages_healthy(void *user, const struct http1_request *request,
		   struct http1_response *response);
void pages_ready(void *user, const struct http1_request *request, struct http1_response *response);

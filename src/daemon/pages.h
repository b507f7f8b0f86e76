/* The daemon's pages for those who probe it: does it live, should it be sent calls. */
#pragma once

#include "http1/server.h"

enum pages_state {
	PAGES_NOT_READY, /* starting or stopping */
	PAGES_READY,
	PAGES_UNWELL, /* says that it is not ready, on purpose, and serves calls */
};

struct pages {
	const char *telemetry_path; /* needs no escaping: config.c sees to it */
	enum pages_state state;
};

/* Shapes of a route's `get`; `user` is a struct pages. */
void pages_healthy(void *user, const struct http1_request *request,
		   struct http1_response *response);
void pages_ready(void *user, const struct http1_request *request, struct http1_response *response);

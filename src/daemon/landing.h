/*
 * The page at "/": what this is and how it does, at the instant of the request, for a
 * person with a browser. No script, nothing from elsewhere, and a policy that says so.
 */
#pragma once

#include "base/timers.h"
#include "daemon/meters.h"
#include "daemon/pages.h"
#include "http1/server.h"
#include "service/faults.h"

struct landing {
	const struct pages *pages;
	const struct meters *meters;
	const struct faults *faults;
	const char *instance;
	struct timers *timers;
	int64_t started_ns; /* on the timers' clock */
	bool lists_runs;    /* there is CONFIG_PATH_RUNS */
	bool takes_faults;  /* POST to CONFIG_PATH_FAULTS */
};

/* The shape of a route's `get`; `user` is a struct landing. 500 without memory. */
void landing_get(void *user, const struct http1_request *request, struct http1_response *response);

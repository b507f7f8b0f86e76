/*
 * /-/faults on the metrics listener: what is done to calls on purpose.
 *
 *	GET	the plan in use, a part a line: "status=UNAVAILABLE:2"
 *	POST	a form of some of these parts (application/x-www-form-urlencoded):
 *		"status=INTERNAL:1&delay=none". Those that are not named stay; the answer is
 *		the new plan, which holds from the next call on.
 *
 * A form of which anything is wrong changes nothing: 400, and one line that says what.
 */
#pragma once

#include <stdbool.h>

#include "base/random.h"
#include "http1/server.h"
#include "service/faults.h"

#define FAULTS_PAGE_MAX_BYTES 4096 /* of a form; a plan with everything in it takes half */

struct faults_page {
	struct faults *faults;
	struct random *random; /* gives the seed of a plan that names none */
	bool enabled;          /* POST is taken: --web.enable-lifecycle */
	/* Another plan is in use, at the wish of whoever asks the web at this moment. */
	void (*changed)(void *user);
	void *user;
};

/* Shapes of a route's `get` and `post`; `user` is a struct faults_page. */
void faults_page_get(void *user, const struct http1_request *request,
		     struct http1_response *response);
void faults_page_post(void *user, const struct http1_request *request,
		      struct http1_response *response);

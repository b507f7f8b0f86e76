#include "daemon/faults_page.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/options.h"
#include "web/form.h"

#define PARTS_MOST 7

static void set_text(struct http1_response *response, int status, int appended)
{
	response->status = status;
	response->content_type = "text/plain; charset=utf-8";
	response->headers = "X-Content-Type-Options: nosniff\r\n";
	if (appended < 0) {
		buffer_free(&response->body);
		response->status = 500;
	}
}

static void answer(struct http1_response *response, int status, const char *line)
{
	set_text(response, status, buffer_printf(&response->body, "%d %s\n", status, line));
}

void faults_page_get(void *user, const struct http1_request *request,
		     struct http1_response *response)
{
	const struct faults_page *page = user;

	(void)request;
	set_text(response, 200, faults_plan_print(&page->faults->plan, &response->body));
}

static bool is_form(const struct http1_request *request)
{
	struct str form = STR("application/x-www-form-urlencoded");
	struct str type = http1_request_header(request, STR("Content-Type"));

	return type.len >= form.len && strncasecmp(type.data, form.data, form.len) == 0 &&
	       (type.len == form.len || strchr("; \t", type.data[form.len]));
}

/* A part that was named before, in this form. */
static bool named_before(struct str named[], size_t *n, struct str name)
{
	for (size_t i = 0; i < *n; i++) {
		if (str_equal(named[i], name)) {
			return true;
		}
	}
	assert(*n < PARTS_MOST); /* all of them are names of parts */
	named[(*n)++] = name;
	return false;
}

/*
 * 0; -EINVAL with a line that says what is wrong; or -ENOMEM. `ret_drawn`: the form names
 * a part that is drawn.
 */
static int read_form(struct str body, struct arena *arena, struct faults_plan *plan,
		     bool *ret_drawn, char *error, size_t size)
{
	struct form_field field;
	struct str named[PARTS_MOST];
	size_t n = 0;
	char why[192] = "";
	int got;

	while ((got = form_next(&body, arena, &field)) == 1) {
		if (faults_plan_set(plan, field.name.data, field.value.data, why, sizeof(why)) <
		    0) {
			snprintf(error, size, "%.32s: \"%.64s\" %s", field.name.data,
				 field.value.data, why);
			return -EINVAL;
		}
		if (named_before(named, &n, field.name)) {
			snprintf(error, size, "%.32s is there twice", field.name.data);
			return -EINVAL;
		}
		*ret_drawn = *ret_drawn || faults_part_is_drawn(field.name.data);
	}
	if (got == -EINVAL) {
		snprintf(error, size, "the form has an escape that is none");
	} else if (got == 0 && n == 0) {
		snprintf(error, size, "the form names no part of a plan");
		got = -EINVAL;
	} else if (got == 0 && faults_plan_check(plan, why, sizeof(why)) < 0) {
		snprintf(error, size, "status and abort %s", why);
		got = -EINVAL;
	}
	return got;
}

void faults_page_post(void *user, const struct http1_request *request,
		      struct http1_response *response)
{
	const struct faults_page *page = user;
	struct faults_plan plan = page->faults->plan;
	char error[384] = "";
	struct arena arena;
	bool drawn = false;
	int err;

	if (!page->enabled) {
		answer(response, 403, "this takes the flag --web.enable-lifecycle");
		return;
	}
	if (!is_form(request)) {
		answer(response, 415, "this takes application/x-www-form-urlencoded");
		return;
	}
	arena_init(&arena, NULL, 0, 4 * FAULTS_PAGE_MAX_BYTES + 4096);
	err = read_form(request->body, &arena, &plan, &drawn, error, sizeof(error));
	arena_reset(&arena);
	if (err == -EINVAL) {
		options_one_line(error);
		answer(response, 400, error);
		return;
	}
	set_text(response, 200, err < 0 ? err : faults_plan_print(&plan, &response->body));
	if (response->status != 200) {
		return;
	}
	if (drawn) {
		faults_use(page->faults, &plan, random_next(page->random));
	} else {
		faults_adjust(page->faults, &plan);
	}
	page->changed(page->user);
}

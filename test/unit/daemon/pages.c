/* The daemon's own pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/pages.h"
#include "version.h"

static const struct http1_request request;

static void assert_body(struct http1_response *response, const char *text)
{
	assert_int_equal(buffer_len(&response->body), strlen(text));
	assert_memory_equal(buffer_data(&response->body), text, strlen(text));
	buffer_free(&response->body);
}

static void health_is_always_200(void **state)
{
	struct pages pages = { "/metrics", false };
	struct http1_response response = { 0 };

	(void)state;
	pages_healthy(&pages, &request, &response);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.content_type, "text/plain; charset=utf-8");
	assert_body(&response, "echod is Healthy.\n");
}

static void readiness_follows_the_state(void **state)
{
	struct pages pages = { "/metrics", true };
	struct http1_response response = { 0 };

	(void)state;
	pages_ready(&pages, &request, &response);
	assert_int_equal(response.status, 200);
	assert_body(&response, "echod is Ready.\n");

	response = (struct http1_response){ 0 };
	pages.ready = false;
	pages_ready(&pages, &request, &response);
	assert_int_equal(response.status, 503);
	assert_body(&response, "echod is not ready.\n");
}

static void the_landing_page_links_to_the_metrics(void **state)
{
	struct pages pages = { "/scrape/me", true };
	struct http1_response response = { 0 };

	(void)state;
	pages_landing(&pages, &request, &response);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.content_type, "text/html; charset=utf-8");
	assert_int_equal(buffer_append(&response.body, "", 1), 0);

	const char *text = (const char *)buffer_data(&response.body);

	assert_non_null(strstr(text, "<!DOCTYPE html>"));
	assert_non_null(strstr(text, "<a href=\"/scrape/me\">"));
	assert_non_null(strstr(text, "<a href=\"/-/healthy\">"));
	assert_non_null(strstr(text, "<a href=\"/-/ready\">"));
	assert_non_null(strstr(text, echod_version));
	buffer_free(&response.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(health_is_always_200),
		cmocka_unit_test(readiness_follows_the_state),
		cmocka_unit_test(the_landing_page_links_to_the_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

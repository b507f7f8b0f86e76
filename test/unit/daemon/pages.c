/* The daemon's own pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/pages.h"

static const struct http1_request request;

static void assert_body(struct http1_response *response, const char *text)
{
	assert_int_equal(buffer_len(&response->body), strlen(text));
	assert_memory_equal(buffer_data(&response->body), text, strlen(text));
	buffer_free(&response->body);
}

static void health_is_always_200(void **state)
{
	struct pages pages = { "/metrics", PAGES_NOT_READY };
	struct http1_response response = { 0 };

	(void)state;
	pages_healthy(&pages, &request, &response);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.content_type, "text/plain; charset=utf-8");
	assert_body(&response, "echod is Healthy.\n");
}

static void readiness_follows_the_state(void **state)
{
	static const struct {
		enum pages_state state;
		int status;
		const char *body;
	} rows[] = {
		{ PAGES_READY, 200, "echod is Ready.\n" },
		{ PAGES_NOT_READY, 503, "echod is not ready.\n" },
		{ PAGES_UNWELL, 503,
		  "echod is not ready, on purpose (health=not-serving), and serves calls.\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pages pages = { "/metrics", rows[i].state };
		struct http1_response response = { 0 };

		pages_ready(&pages, &request, &response);
		assert_int_equal(response.status, rows[i].status);
		assert_body(&response, rows[i].body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(health_is_always_200),
		cmocka_unit_test(readiness_follows_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What /-/runs/ says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/runs_page.h"

static struct runs *runs;

static int set_up(void **state)
{
	(void)state;
	runs = runs_new(2, &(struct runs_meters){ 0 });
	return runs ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	runs_free(runs);
	return 0;
}

static void receive(const char *id, uint64_t sequence, bool answered)
{
	char value[64];
	struct metadata_entry entry = { STR_INIT("echod-run"), { value, 0 }, NULL };
	struct metadata metadata = { .first = &entry, .n = 1 };
	struct runs_ticket ticket = { 0 };

	entry.value.len =
		(size_t)snprintf(value, sizeof(value), "%s-%llu", id, (unsigned long long)sequence);
	runs_received(runs, &metadata, &ticket);
	if (answered) {
		runs_answered(runs, &ticket);
	}
}

/* The body; valid until the next. */
static const char *get(const char *path, const char *query, int status)
{
	static char text[1 << 20];
	struct http1_request request = { .path = str_from(path), .query = str_from(query) };
	struct http1_response response = { .status = 200 };

	runs_page_get(runs, &request, &response);
	assert_int_equal(response.status, status);
	assert_non_null(response.content_type);
	assert_true(buffer_len(&response.body) < sizeof(text));
	memcpy(text, buffer_data(&response.body), buffer_len(&response.body));
	text[buffer_len(&response.body)] = '\0';
	buffer_free(&response.body);
	return text;
}

static void without_runs_the_list_is_empty(void **state)
{
	(void)state;
	assert_string_equal(get("/-/runs/", "", 200), "{\"runs\":[]}\n");
	assert_string_equal(get("/-/runs/00000000000000aa", "", 404), "404 no such run\n");
}

static void runs_are_listed_and_told(void **state)
{
	(void)state;
	receive("00000000000000aa", 0, true);
	receive("00000000000000AA", 1, true);
	receive("00000000000000aa", 1, true);
	receive("00000000000000aa", 3, false);
	receive("ffffffffffffffff", 1 << 24, true);
	assert_string_equal(get("/-/runs/", "", 200),
			    "{\"runs\":[\"ffffffffffffffff\",\"00000000000000aa\"]}\n");
	assert_string_equal(get("/-/runs/00000000000000aa", "", 200),
			    "{\"run\":\"00000000000000aa\",\"received\":4,\"untracked\":0,"
			    "\"lost\":0,\"distinct\":3,\"duplicated\":1,\"answered\":2,"
			    "\"highest\":3,\"from\":0,\"next\":null,"
			    "\"sets\":{\"received\":\"0-1,3\",\"duplicated\":\"1\","
			    "\"answered\":\"0-1\"}}\n");
	assert_string_equal(get("/-/runs/ffffffffffffffff", "", 200),
			    "{\"run\":\"ffffffffffffffff\",\"received\":1,\"untracked\":1,"
			    "\"lost\":0,\"distinct\":0,\"duplicated\":0,\"answered\":0,"
			    "\"highest\":16777216,\"from\":0,\"next\":null,"
			    "\"sets\":{\"received\":\"\",\"duplicated\":\"\","
			    "\"answered\":\"\"}}\n");
}

static void what_is_no_run_or_no_number_is_refused(void **state)
{
	(void)state;
	receive("00000000000000aa", 0, true);
	get("/-/runs/00000000000000ab", "", 404);
	get("/-/runs/00000000000000aa/", "", 404);
	get("/-/runs/aa", "", 404);
	get("/-/runs/00000000000000aa", "from=", 400);
	get("/-/runs/00000000000000aa", "from=-1", 400);
	get("/-/runs/00000000000000aa", "from=1&x=2", 400);
	get("/-/runs/00000000000000aa", "from=1111111111111111111", 400);
	get("/-/runs/00000000000000aa", "frm", 400);
	assert_non_null(strstr(get("/-/runs/00000000000000aa", "from=999999999999", 200),
			       "\"next\":null,\"sets\":{\"received\":\"\","));
}

/* Puts the ranges of that set into `seen`, and checks their form and order. */
static uint64_t take_set(const char *page, const char *name, uint64_t from, uint64_t end,
			 uint8_t *seen)
{
	char head[64];
	const char *at;
	uint64_t n = 0;

	snprintf(head, sizeof(head), "\"%s\":\"", name);
	at = strstr(strstr(page, "\"sets\""), head);
	assert_non_null(at);
	at += strlen(head);
	while (*at != '"') {
		char *after;
		uint64_t first = strtoull(at, &after, 10), last = first;

		if (*after == '-') {
			last = strtoull(after + 1, &after, 10);
			assert_true(last > first);
		}
		assert_true(first >= from && last < end);
		for (uint64_t i = first; i <= last; i++) {
			seen[i]++;
		}
		from = last + 2;
		at = *after == ',' ? after + 1 : after;
		n++;
	}
	return n;
}

static void many_ranges_come_in_parts_that_add_up(void **state)
{
	enum { CALLS = 100000 };
	static uint8_t received[CALLS], answered[CALLS], twice[CALLS];
	uint64_t from = 0, parts = 0;

	(void)state;
	for (uint64_t i = 0; i < CALLS; i++) {
		if (i % 3 != 1) {
			receive("00000000000000aa", i, i % 2);
		}
		if (i % 30 == 0) {
			receive("00000000000000aa", i, false);
		}
	}
	do {
		char query[64];
		const char *page, *next;
		uint64_t end;

		snprintf(query, sizeof(query), "from=%llu", (unsigned long long)from);
		page = get("/-/runs/00000000000000aa", query, 200);
		next = strstr(page, "\"next\":") + 7;
		end = *next == 'n' ? CALLS : strtoull(next, NULL, 10);
		assert_true(end > from);
		assert_true(take_set(page, "received", from, end, received) <= RUNS_PAGE_RANGES);
		assert_true(take_set(page, "answered", from, end, answered) <= RUNS_PAGE_RANGES);
		assert_true(take_set(page, "duplicated", from, end, twice) <= RUNS_PAGE_RANGES);
		parts++;
		from = end;
	} while (from < CALLS);
	assert_true(parts > 5);
	for (uint64_t i = 0; i < CALLS; i++) {
		assert_int_equal(received[i], i % 3 != 1);
		assert_int_equal(answered[i], i % 3 != 1 && i % 2);
		assert_int_equal(twice[i], i % 30 == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_runs_the_list_is_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(runs_are_listed_and_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_run_or_no_number_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(many_ranges_come_in_parts_that_add_up, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "client/call_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"

static void expect(struct buffer *out, const char *text)
{
	assert_int_equal(buffer_append(out, "", 1), 0);
	assert_string_equal((const char *)buffer_data(out), text);
	buffer_free(out);
}

static void test_a_call_in_json(void **state)
{
	struct metadata initial = { 0 };
	struct arena arena;
	struct buffer out = BUFFER_INIT;
	struct call_report call = {
		.target = "localhost:9876",
		.peer = "[::1]:9876",
		.replied = true,
		.reply = STR("a\0b"),
		.latency_ns = 412345,
		.attempts = 2,
		.initial = &initial,
	};

	(void)state;
	arena_init(&arena, NULL, 0, 1024);
	assert_int_equal(metadata_add(&initial, &arena, STR("echod-instance"), STR("00ff")), 0);
	assert_int_equal(call_report_json(&out, &call), 0);
	expect(&out, "{\"target\":\"localhost:9876\",\"peer\":\"[::1]:9876\",\"status\":\"OK\","
		     "\"code\":0,\"message\":\"\",\"never_found\":false,\"reply\":\"a\\u0000b\","
		     "\"echoed\":true,\"latency_seconds\":0.000412345,\"attempts\":2,"
		     "\"initial_metadata\":{\"echod-instance\":[\"00ff\"]},"
		     "\"trailing_metadata\":{}}\n");
	arena_reset(&arena);
}

static void test_a_failed_call_in_json_has_no_reply(void **state)
{
	struct buffer out = BUFFER_INIT;
	struct call_report call = {
		.target = "localhost:9876",
		.status = GRPC_UNAVAILABLE,
		.message = STR("no\n"),
		.never_found = true,
	};

	(void)state;
	assert_int_equal(call_report_json(&out, &call), 0);
	expect(&out, "{\"target\":\"localhost:9876\",\"peer\":null,\"status\":\"UNAVAILABLE\","
		     "\"code\":14,\"message\":\"no\\n\",\"never_found\":true,"
		     "\"latency_seconds\":0.0,\"attempts\":0,\"initial_metadata\":{},"
		     "\"trailing_metadata\":{}}\n");
}

static void test_what_was_done_on_purpose_is_said(void **state)
{
	struct buffer out = BUFFER_INIT;
	struct call_report call = {
		.target = "t",
		.status = GRPC_UNAVAILABLE,
		.injected = { .word = (enum injected_word)GRPC_UNAVAILABLE, .delay_ns = 25000000 },
	};

	(void)state;
	assert_int_equal(call_report_json(&out, &call), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_non_null(strstr((const char *)buffer_data(&out),
			       "\"injected\":\"UNAVAILABLE\",\"injected_delay_seconds\":0.025,"));
	buffer_free(&out);
}

static void test_metadata_keeps_order_and_duplicates(void **state)
{
	struct metadata trailing = { 0 };
	struct arena arena;
	struct buffer out = BUFFER_INIT;
	struct call_report call = { .target = "t", .trailing = &trailing };

	(void)state;
	arena_init(&arena, NULL, 0, 4096);
	assert_int_equal(metadata_add(&trailing, &arena, STR("b"), STR("1")), 0);
	assert_int_equal(metadata_add(&trailing, &arena, STR("a-bin"), STR("\0\1")), 0);
	assert_int_equal(metadata_add(&trailing, &arena, STR("b"), STR("2")), 0);
	assert_int_equal(metadata_add(&trailing, &arena, STR("a-bin"), STR("")), 0);
	assert_int_equal(call_report_json(&out, &call), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_non_null(
		strstr((const char *)buffer_data(&out),
		       "\"trailing_metadata\":{\"b\":[\"1\",\"2\"],\"a-bin\":[\"AAE\",\"\"]}}\n"));
	buffer_free(&out);
	arena_reset(&arena);
}

static void test_what_is_not_utf8_is_replaced(void **state)
{
	struct buffer out = BUFFER_INIT;
	struct call_report call = { .target = "t\xff", .message = STR("\xc3") };

	(void)state;
	assert_int_equal(call_report_json(&out, &call), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_non_null(strstr((const char *)buffer_data(&out), "\"target\":\"t\xef\xbf\xbd\""));
	assert_non_null(strstr((const char *)buffer_data(&out), "\"message\":\"\xef\xbf\xbd\""));
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_call_in_json),
		cmocka_unit_test(test_a_failed_call_in_json_has_no_reply),
		cmocka_unit_test(test_what_was_done_on_purpose_is_said),
		cmocka_unit_test(test_metadata_keeps_order_and_duplicates),
		cmocka_unit_test(test_what_is_not_utf8_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

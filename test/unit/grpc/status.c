#include "grpc/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_codes_have_the_numbers_of_the_specification(void **state)
{
	(void)state;
	assert_int_equal(GRPC_OK, 0);
	assert_int_equal(GRPC_CANCELLED, 1);
	assert_int_equal(GRPC_DEADLINE_EXCEEDED, 4);
	assert_int_equal(GRPC_RESOURCE_EXHAUSTED, 8);
	assert_int_equal(GRPC_UNIMPLEMENTED, 12);
	assert_int_equal(GRPC_INTERNAL, 13);
	assert_int_equal(GRPC_UNAVAILABLE, 14);
	assert_int_equal(GRPC_UNAUTHENTICATED, 16);
	assert_int_equal(GRPC_STATUS_COUNT, 17);
}

static void test_every_code_has_two_names_of_its_own(void **state)
{
	(void)state;
	for (int a = 0; a < GRPC_STATUS_COUNT; a++) {
		assert_non_null(grpc_status_name(a));
		assert_non_null(grpc_status_camel_name(a));
		for (int b = a + 1; b < GRPC_STATUS_COUNT; b++) {
			assert_string_not_equal(grpc_status_name(a), grpc_status_name(b));
			assert_string_not_equal(grpc_status_camel_name(a),
						grpc_status_camel_name(b));
		}
	}
	assert_string_equal(grpc_status_name(4), "DEADLINE_EXCEEDED");
	assert_string_equal(grpc_status_camel_name(4), "DeadlineExceeded");
	assert_string_equal(grpc_status_name(1), "CANCELLED");
	assert_string_equal(grpc_status_camel_name(1), "Canceled");
}

static void test_a_number_that_is_no_code_is_called_unknown(void **state)
{
	static const int strangers[] = { -1, 17, 18, 99, INT32_MAX, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		assert_string_equal(grpc_status_name(strangers[i]), "UNKNOWN");
		assert_string_equal(grpc_status_camel_name(strangers[i]), "Unknown");
	}
}

static enum grpc_status expected_of_http(int http)
{
	switch (http) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static void test_http_statuses_map_by_the_table_and_all_others_to_unknown(void **state)
{
	(void)state;
	for (int http = -1; http < 1000; http++) {
		assert_int_equal(grpc_status_from_http(http), expected_of_http(http));
	}
}

static void test_http2_codes_map_by_the_table(void **state)
{
	static const enum grpc_status expected[] = {
		[0x0] = GRPC_INTERNAL,           /* NO_ERROR */
		[0x1] = GRPC_INTERNAL,           /* PROTOCOL_ERROR */
		[0x2] = GRPC_INTERNAL,           /* INTERNAL_ERROR */
		[0x3] = GRPC_INTERNAL,           /* FLOW_CONTROL_ERROR */
		[0x4] = GRPC_INTERNAL,           /* SETTINGS_TIMEOUT */
		[0x5] = GRPC_UNKNOWN,            /* STREAM_CLOSED */
		[0x6] = GRPC_INTERNAL,           /* FRAME_SIZE_ERROR */
		[0x7] = GRPC_UNAVAILABLE,        /* REFUSED_STREAM */
		[0x8] = GRPC_CANCELLED,          /* CANCEL */
		[0x9] = GRPC_INTERNAL,           /* COMPRESSION_ERROR */
		[0xa] = GRPC_INTERNAL,           /* CONNECT_ERROR */
		[0xb] = GRPC_RESOURCE_EXHAUSTED, /* ENHANCE_YOUR_CALM */
		[0xc] = GRPC_PERMISSION_DENIED,  /* INADEQUATE_SECURITY */
		[0xd] = GRPC_UNKNOWN,            /* HTTP_1_1_REQUIRED */
	};

	(void)state;
	for (uint32_t code = 0; code < sizeof(expected) / sizeof(expected[0]); code++) {
		assert_int_equal(grpc_status_from_http2(code), expected[code]);
	}
}

static void test_an_http2_code_from_the_future_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(grpc_status_from_http2(0xe), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_from_http2(UINT32_MAX), GRPC_UNKNOWN);
}

static void test_a_lost_or_refused_connection_is_unavailable(void **state)
{
	static const int lost[] = { ECONNREFUSED, ECONNRESET,     EPIPE,
				    ETIMEDOUT,    EHOSTUNREACH,   ENETDOWN,
				    ENOTCONN,     4095 /* EOF */, 3008 /* no such host */ };

	(void)state;
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
		assert_int_equal(grpc_status_from_errno(-lost[i]), GRPC_UNAVAILABLE);
	}
}

static void test_local_failures_keep_their_meaning(void **state)
{
	(void)state;
	assert_int_equal(grpc_status_from_errno(0), GRPC_OK);
	assert_int_equal(grpc_status_from_errno(-ECANCELED), GRPC_CANCELLED);
	assert_int_equal(grpc_status_from_errno(-ENOMEM), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_status_from_errno(-EMSGSIZE), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_status_from_errno(-EMFILE), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_status_from_errno(-EBADMSG), GRPC_INTERNAL);
	assert_int_equal(grpc_status_from_errno(-ENOSYS), GRPC_UNIMPLEMENTED);
}

/* INVALID_ARGUMENT and its like belong to applications: the library never makes them up. */
static void test_no_map_invents_an_application_status(void **state)
{
	(void)state;
	for (int i = -1; i < 5000; i++) {
		enum grpc_status made[] = { grpc_status_from_http(i),
					    grpc_status_from_http2((uint32_t)i),
					    grpc_status_from_errno(-i) };

		for (size_t j = 0; j < 3; j++) {
			assert_int_not_equal(made[j], GRPC_INVALID_ARGUMENT);
			assert_int_not_equal(made[j], GRPC_NOT_FOUND);
			assert_int_not_equal(made[j], GRPC_ALREADY_EXISTS);
			assert_int_not_equal(made[j], GRPC_FAILED_PRECONDITION);
			assert_int_not_equal(made[j], GRPC_ABORTED);
			assert_int_not_equal(made[j], GRPC_OUT_OF_RANGE);
			assert_int_not_equal(made[j], GRPC_DATA_LOSS);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes_have_the_numbers_of_the_specification),
		cmocka_unit_test(test_every_code_has_two_names_of_its_own),
		cmocka_unit_test(test_a_number_that_is_no_code_is_called_unknown),
		cmocka_unit_test(test_http_statuses_map_by_the_table_and_all_others_to_unknown),
		cmocka_unit_test(test_http2_codes_map_by_the_table),
		cmocka_unit_test(test_an_http2_code_from_the_future_is_unknown),
		cmocka_unit_test(test_a_lost_or_refused_connection_is_unavailable),
		cmocka_unit_test(test_local_failures_keep_their_meaning),
		cmocka_unit_test(test_no_map_invents_an_application_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

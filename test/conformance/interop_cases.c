/*
 * The published test cases, as data: grpc/grpc doc/interop-test-descriptions.md and
 * negative-http2-interop-test-descriptions.md. Sizes and texts are those of the
 * descriptions.
 */
#include "interop_cases.h"

#define LARGE_REQUEST  271828
#define LARGE_RESPONSE 314159

#define ONE_REQUEST .n_requests = 1, .requests
#define LARGE                                                                   \
	{                                                                       \
		{                                                               \
			.size = LARGE_REQUEST, .n_responses = 1, .responses = { \
				{ .size = LARGE_RESPONSE }                      \
			}                                                       \
		}                                                               \
	}
/* A probe: what came uncompressed is said to be compressed, which the server has to notice. */
#define LIE(SIZE)                                                                                  \
	{                                                                                          \
		{                                                                                  \
			.size = (SIZE), .expect_compressed = YES, .n_responses = 1, .responses = { \
				{ .size = LARGE_RESPONSE }                                         \
			}                                                                          \
		}                                                                                  \
	}

static const struct step empty_unary[] = { { .method = INTEROP_EMPTY, .n_requests = 1 } };

static const struct step large_unary[] = { { .method = INTEROP_UNARY, ONE_REQUEST = LARGE } };

static const struct step client_compressed_unary[] = {
	{ .method = INTEROP_UNARY,
	  .gzip = true,
	  ONE_REQUEST = LIE(LARGE_REQUEST),
	  .status = GRPC_INVALID_ARGUMENT },
	{ .method = INTEROP_UNARY,
	  .gzip = true,
	  ONE_REQUEST = { { .size = LARGE_REQUEST,
			    .compressed = true,
			    .expect_compressed = YES,
			    .n_responses = 1,
			    .responses = { { .size = LARGE_RESPONSE } } } } },
	{ .method = INTEROP_UNARY,
	  .gzip = true,
	  ONE_REQUEST = { { .size = LARGE_REQUEST,
			    .expect_compressed = NO,
			    .n_responses = 1,
			    .responses = { { .size = LARGE_RESPONSE } } } } },
};

static const struct step server_compressed_unary[] = {
	{ .method = INTEROP_UNARY,
	  ONE_REQUEST = { { .size = LARGE_REQUEST,
			    .n_responses = 1,
			    .responses = { { LARGE_RESPONSE, YES } } } } },
	{ .method = INTEROP_UNARY,
	  ONE_REQUEST = { { .size = LARGE_REQUEST,
			    .n_responses = 1,
			    .responses = { { LARGE_RESPONSE, NO } } } } },
};

static const struct step client_streaming[] = {
	{ .method = INTEROP_STREAMING_INPUT,
	  .n_requests = 4,
	  .requests = { { .size = 27182 }, { .size = 8 }, { .size = 1828 }, { .size = 45904 } } },
};

static const struct step client_compressed_streaming[] = {
	{ .method = INTEROP_STREAMING_INPUT,
	  .gzip = true,
	  ONE_REQUEST = LIE(27182),
	  .status = GRPC_INVALID_ARGUMENT },
	{ .method = INTEROP_STREAMING_INPUT,
	  .gzip = true,
	  .n_requests = 2,
	  .requests = { { .size = 27182, .compressed = true, .expect_compressed = YES },
			{ .size = 45904, .expect_compressed = NO } } },
};

static const struct step server_streaming[] = {
	{ .method = INTEROP_STREAMING_OUTPUT,
	  ONE_REQUEST = { { .n_responses = 4,
			    .responses = { { .size = 31415 },
					   { .size = 9 },
					   { .size = 2653 },
					   { .size = 58979 } } } } },
};

static const struct step server_compressed_streaming[] = {
	{ .method = INTEROP_STREAMING_OUTPUT,
	  ONE_REQUEST = { { .n_responses = 2, .responses = { { 31415, YES }, { 92653, NO } } } } },
};

static const struct step ping_pong[] = {
	{ .method = INTEROP_FULL_DUPLEX,
	  .ping_pong = true,
	  .n_requests = 4,
	  .requests = { { .size = 27182, .n_responses = 1, .responses = { { .size = 31415 } } },
			{ .size = 8, .n_responses = 1, .responses = { { .size = 9 } } },
			{ .size = 1828, .n_responses = 1, .responses = { { .size = 2653 } } },
			{ .size = 45904, .n_responses = 1, .responses = { { .size = 58979 } } } } },
};

static const struct step empty_stream[] = { { .method = INTEROP_FULL_DUPLEX } };

static const struct step custom_metadata[] = {
	{ .method = INTEROP_UNARY, .metadata = true, ONE_REQUEST = LARGE },
	{ .method = INTEROP_FULL_DUPLEX, .metadata = true, ONE_REQUEST = LARGE },
};

static const struct step status_code_and_message[] = {
	{ .method = INTEROP_UNARY,
	  .n_requests = 1,
	  .status = GRPC_UNKNOWN,
	  .message = "test status message" },
	{ .method = INTEROP_FULL_DUPLEX,
	  .n_requests = 1,
	  .status = GRPC_UNKNOWN,
	  .message = "test status message" },
};

static const struct step special_status_message[] = {
	{ .method = INTEROP_UNARY,
	  .n_requests = 1,
	  .status = GRPC_UNKNOWN,
	  .message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP "
		     "\U0001f608\t\n" },
};

static const struct step unimplemented_method[] = {
	{ .method = INTEROP_UNIMPLEMENTED_METHOD, .n_requests = 1, .status = GRPC_UNIMPLEMENTED },
};

static const struct step unimplemented_service[] = {
	{ .method = INTEROP_UNIMPLEMENTED_SERVICE, .n_requests = 1, .status = GRPC_UNIMPLEMENTED },
};

static const struct step cancel_after_begin[] = {
	{ .method = INTEROP_STREAMING_INPUT, .cancel = CANCEL_AT_ONCE, .status = GRPC_CANCELLED },
};

static const struct step cancel_after_first_response[] = {
	{ .method = INTEROP_FULL_DUPLEX,
	  .ping_pong = true,
	  .cancel = CANCEL_AFTER_RESPONSE,
	  ONE_REQUEST = { { .size = 27182, .n_responses = 1, .responses = { { .size = 31415 } } } },
	  .status = GRPC_CANCELLED },
};

static const struct step timeout_on_sleeping_server[] = {
	{ .method = INTEROP_FULL_DUPLEX,
	  ONE_REQUEST = { { .size = 27182 } },
	  .stays_open = true,
	  .timeout_ns = NS_PER_MS,
	  .status = GRPC_DEADLINE_EXCEEDED },
};

/* The server says goodbye during the first call, and counts connections. */
static const struct step goaway[] = {
	{ .method = INTEROP_UNARY, ONE_REQUEST = LARGE },
	{ .method = INTEROP_UNARY, .pause_ns = NS_PER_S, ONE_REQUEST = LARGE },
};

static const struct step reset[] = {
	{ .method = INTEROP_UNARY, .fails = true, ONE_REQUEST = LARGE },
};

/* The server allows one stream at a time, once the first call has shown it. */
static const struct step max_streams[] = {
	{ .method = INTEROP_UNARY, ONE_REQUEST = LARGE },
	{ .method = INTEROP_UNARY, .times = 15, ONE_REQUEST = LARGE },
};

#define CASE(STEPS)                                                                       \
	{                                                                                 \
		.name = #STEPS, .steps = STEPS, .n_steps = sizeof(STEPS) / sizeof(*STEPS) \
	}
#define CASE_AS(NAME, STEPS)                                                             \
	{                                                                                \
		.name = #NAME, .steps = STEPS, .n_steps = sizeof(STEPS) / sizeof(*STEPS) \
	}

const struct interop_case interop_cases[] = {
	CASE(empty_unary),
	CASE(large_unary),
	CASE(client_compressed_unary),
	CASE(server_compressed_unary),
	CASE(client_streaming),
	CASE(client_compressed_streaming),
	CASE(server_streaming),
	CASE(server_compressed_streaming),
	CASE(ping_pong),
	CASE(empty_stream),
	CASE(custom_metadata),
	CASE(status_code_and_message),
	CASE(special_status_message),
	CASE(unimplemented_method),
	CASE(unimplemented_service),
	CASE(cancel_after_begin),
	CASE(cancel_after_first_response),
	CASE(timeout_on_sleeping_server),
	CASE(goaway),
	CASE_AS(rst_after_header, reset),
	CASE_AS(rst_during_data, reset),
	CASE_AS(rst_after_data, reset),
	CASE_AS(ping, large_unary),
	CASE(max_streams),
	CASE_AS(data_frame_padding, large_unary),
	CASE_AS(no_df_padding_sanity_test, large_unary),
	{ .name = "rpc_soak", .soak = true },
	{ .name = "channel_soak", .soak = true, .fresh_channels = true },
	{ 0 },
};

/*
 * The 17 status codes of gRPC, and the maps into them: from HTTP/2 error codes,
 * HTTP statuses and local errors. Error worlds cross here and nowhere else.
 */
#pragma once

#include <stdint.h>

/* symbol, number, CamelCase name (the grpc_code label) */
#define GRPC_STATUSES(X)                                \
	X(OK, 0, "OK")                                  \
	X(CANCELLED, 1, "Canceled")                     \
	X(UNKNOWN, 2, "Unknown")                        \
	X(INVALID_ARGUMENT, 3, "InvalidArgument")       \
	X(DEADLINE_EXCEEDED, 4, "DeadlineExceeded")     \
	X(NOT_FOUND, 5, "NotFound")                     \
	X(ALREADY_EXISTS, 6, "AlreadyExists")           \
	X(PERMISSION_DENIED, 7, "PermissionDenied")     \
	X(RESOURCE_EXHAUSTED, 8, "ResourceExhausted")   \
	X(FAILED_PRECONDITION, 9, "FailedPrecondition") \
	X(ABORTED, 10, "Aborted")                       \
	X(OUT_OF_RANGE, 11, "OutOfRange")               \
	X(UNIMPLEMENTED, 12, "Unimplemented")           \
	X(INTERNAL, 13, "Internal")                     \
	X(UNAVAILABLE, 14, "Unavailable")               \
	X(DATA_LOSS, 15, "DataLoss")                    \
	X(UNAUTHENTICATED, 16, "Unauthenticated")

enum grpc_status {
#define X(symbol, number, name) GRPC_##symbol = number,
	GRPC_STATUSES(X)
#undef X
		GRPC_STATUS_COUNT
};

/* "DEADLINE_EXCEEDED"; "UNKNOWN" for a number that is none. */
const char *grpc_status_name(int status);
/* "DeadlineExceeded". */
const char *grpc_status_camel_name(int status);

/* grpc/grpc doc/http-grpc-status-mapping.md: for a response without grpc-status. */
enum grpc_status grpc_status_from_http(int http_status);
/* A stream that ended by RST_STREAM with this code. */
enum grpc_status grpc_status_from_http2(uint32_t code);
/* A local failure, negative errno. */
enum grpc_status grpc_status_from_errno(int err);

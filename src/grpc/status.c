#include "grpc/status.h"

#include <errno.h>
#include <stddef.h>

#include "base/util.h"
#include "http2/session.h"

static const struct {
	const char *name, *camel_name;
} statuses[GRPC_STATUS_COUNT] = {
#define X(symbol, number, camel) [number] = { #symbol, camel },
	GRPC_STATUSES(X)
#undef X
};

static size_t status_index(int status)
{
	return status >= 0 && status < GRPC_STATUS_COUNT ? (size_t)status : GRPC_UNKNOWN;
}

const char *grpc_status_name(int status)
{
	return statuses[status_index(status)].name;
}

const char *grpc_status_camel_name(int status)
{
	return statuses[status_index(status)].camel_name;
}

/*
 * 431 has no row there, or says INTERNAL, depending on the version; clients in the
 * field say UNKNOWN.
 */
enum grpc_status grpc_status_from_http(int http_status)
{
	switch (http_status) {
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

/*
 * PROTOCOL-HTTP2, "Errors". STREAM_CLOSED and HTTP_1_1_REQUIRED have no row
 * there and fall under "unknown", as do codes that RFC 9113 does not know.
 */
enum grpc_status grpc_status_from_http2(uint32_t code)
{
	switch (code) {
	case HTTP2_NO_ERROR:
	case HTTP2_PROTOCOL_ERROR:
	case HTTP2_INTERNAL_ERROR:
	case HTTP2_FLOW_CONTROL_ERROR:
	case HTTP2_SETTINGS_TIMEOUT:
	case HTTP2_FRAME_SIZE_ERROR:
	case HTTP2_COMPRESSION_ERROR:
	case HTTP2_CONNECT_ERROR:
		return GRPC_INTERNAL;
	case HTTP2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case HTTP2_CANCEL:
		return GRPC_CANCELLED;
	case HTTP2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case HTTP2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_UNKNOWN;
	}
}

/* What is not listed came from the network, whose names for "the connection is gone" are many. */
enum grpc_status grpc_status_from_errno(int err)
{
	switch (-err) {
	case 0:
		return GRPC_OK;
	case ECANCELED:
		return GRPC_CANCELLED;
	case ENOMEM:
	case ENOBUFS:
	case EMSGSIZE:
	case EMFILE:
	case ENFILE:
		return GRPC_RESOURCE_EXHAUSTED;
	case EBADMSG:
	case EINVAL:
		return GRPC_INTERNAL;
	case ENOSYS:
	case EOPNOTSUPP:
		return GRPC_UNIMPLEMENTED;
	default:
		return GRPC_UNAVAILABLE;
	}
}

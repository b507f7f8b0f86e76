#include "daemon/bounds.h"

#include <sys/resource.h>

size_t bounds_raise_files(void)
{
	struct rlimit limit;
	size_t files;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		return 1024;
	}
	files = limit.rlim_cur;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) == 0) {
			files = limit.rlim_cur;
		}
	}
	return files;
}

/* What the flags call infinity has no bound here. */
static int64_t bound_of(int64_t ns)
{
	return ns == CONFIG_INFINITY_NS ? 0 : ns;
}

static void set_clocks(struct http2_limits *limits, const struct config *config)
{
	_Static_assert(CONFIG_INFINITY_NS == HTTP2_NEVER, "a keepalive that never comes");
	limits->handshake_timeout_ns = config->grpc_handshake_timeout_ns;
	limits->stall_timeout_ns = bound_of(config->grpc_stall_timeout_ns);
	limits->keepalive_time_ns = config->grpc_keepalive_time_ns;
	limits->keepalive_timeout_ns = config->grpc_keepalive_timeout_ns;
	limits->keepalive_min_time_ns = config->grpc_keepalive_min_time_ns;
	limits->max_idle_ns = bound_of(config->grpc_max_connection_idle_ns);
	limits->max_age_ns = bound_of(config->grpc_max_connection_age_ns);
	limits->max_age_grace_ns = bound_of(config->grpc_max_connection_age_grace_ns);
}

void bounds_of_grpc(const struct config *config, struct grpc_server_limits *ret)
{
	*ret = grpc_server_default_limits;
	ret->http2.max_concurrent_streams = (uint32_t)config->grpc_max_concurrent_streams;
	ret->http2.max_header_list_bytes = config->grpc_max_header_bytes;
	set_clocks(&ret->http2, config);
	ret->max_message_bytes = config->grpc_max_message_bytes;
	ret->max_buffered_bytes = config->grpc_max_buffered_bytes;
}

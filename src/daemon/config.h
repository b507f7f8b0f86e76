/* The options of `echod serve`: one table, one structure that is constant once parsed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"
#include "net/address.h"
#include "service/echo.h"

#define CONFIG_DEFAULT_GRPC_PORT "9876"
#define CONFIG_DEFAULT_WEB_PORT  "2112"
#define CONFIG_INSTANCE_DIGITS   16

/* Paths of the HTTP face that are not for the metrics to take. */
#define CONFIG_PATH_HEALTHY "/-/healthy"
#define CONFIG_PATH_READY   "/-/ready"
#define CONFIG_PATH_FAULTS  "/-/faults"
#define CONFIG_PATH_RUNS    "/-/runs/" /* and what begins with it */

/*
 * Descriptors that are no connections: listeners, epoll, timers, signals,
 * standard streams, one for /proc at each scrape; and a margin, because libuv
 * drops the whole backlog in silence once there are none left.
 */
#define CONFIG_RESERVED_FILES 64

/* A time without end, and the longest that has one: a year. */
#define CONFIG_INFINITY_NS INT64_MAX
#define CONFIG_LONGEST_NS  (365 * 24 * 60 * 60 * NS_PER_S)

struct config {
	struct option_strings grpc_addresses; /* none: the default, or what was inherited */
	struct option_strings web_addresses;
	const char *telemetry_path;
	bool web_enable_openmetrics, web_enable_lifecycle;
	int log_level, log_format; /* enum log_level, enum log_format */
	int64_t shutdown_delay_ns, shutdown_grace_ns;
	struct faults_plan faults;
	bool allow_metadata_faults;
	bool echo_identify;
	uint64_t echo_max_runs;                    /* 0: none is kept */
	char instance[CONFIG_INSTANCE_DIGITS + 1]; /* "": one is drawn at start */
	bool grpc_interop;
	uint64_t grpc_max_message_bytes;
	uint64_t grpc_max_header_bytes;
	uint64_t grpc_max_concurrent_streams;
	uint64_t grpc_max_connections; /* 0: the open-file limit less CONFIG_RESERVED_FILES */
	uint64_t grpc_max_buffered_bytes;
	int64_t grpc_handshake_timeout_ns;
	/* These may be CONFIG_INFINITY_NS. */
	int64_t grpc_stall_timeout_ns, grpc_keepalive_time_ns;
	int64_t grpc_max_connection_idle_ns, grpc_max_connection_age_ns;
	int64_t grpc_max_connection_age_grace_ns;
	int64_t grpc_keepalive_timeout_ns, grpc_keepalive_min_time_ns;
	uint64_t web_max_connections;
	struct option_strings operands; /* none is allowed; kept to be freed */
};

/*
 * Flags, then environment, then defaults. `ret` borrows from argv and envp; free
 * with config_free() whatever the result is. On OPTIONS_ERROR `error` is one line.
 * `warn` (may be NULL): variables that begin with ECHOD_ and mean nothing here.
 */
enum options_result config_parse(struct config *ret, int argc, char **argv, char **envp,
				 void (*warn)(const char *variable), char *error, size_t size);
void config_free(struct config *config);
void config_help(FILE *out);

/* What the JSON of a run is called, for its writer and its reader; docs/report.md. */
#pragma once

#define REPORT_SCHEMA_NAME    "echod.run/"
#define REPORT_SCHEMA_VERSION 1
#define REPORT_SCHEMA         "echod.run/1"

/* Of a `struct recorder`: member, and name in JSON. */
#define REPORT_LATENCIES(X)                 \
	X(latency_ok, "latency_ok")         \
	X(latency_failed, "latency_failed") \
	X(service_ok, "service_ok")         \
	X(service_failed, "service_failed") \
	X(lag, "lag")

/* The same, which those do not have that came before them. */
#define REPORT_LATER_LATENCIES(X) \
	X(delay, "delay")         \
	X(undelayed, "undelayed")

/* enum grpc_origin, in its order. */
#define REPORT_ORIGIN_NAMES "peer", "here", "transport"

/*
 * The serving end: a registry of services, and an engine for each inbound
 * connection. Requests that are no gRPC are answered with a plain HTTP status;
 * unknown methods with UNIMPLEMENTED; neither reaches a service.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/engine.h"
#include "base/list.h"
#include "grpc/call.h"
#include "http2/session.h"
#include "metrics/histogram.h"
#include "metrics/native.h"

struct grpc_server;

struct grpc_server_limits {
	struct http2_limits http2;
	size_t max_message_bytes;      /* one received message, uncompressed; 4 MiB */
	size_t max_send_message_bytes; /* one sent message; 0: no limit */
	/* messages and metadata of all calls, in and out; beyond it RESOURCE_EXHAUSTED; 256 MiB */
	size_t max_buffered_bytes;
	size_t max_free_calls; /* kept for reuse; 1024 */
};
extern const struct grpc_server_limits grpc_server_default_limits;

/*
 * Requests that resolved to no method, by the HTTP status of the answer. 200: a
 * gRPC status in Trailers-Only (malformed or unknown method, a header list over
 * the limit, a scheme that is none).
 */
#define GRPC_REFUSALS(X) \
	X(200)           \
	X(405)           \
	X(415)

enum grpc_refusal {
#define X(status) GRPC_REFUSED_##status,
	GRPC_REFUSALS(X)
#undef X
		GRPC_REFUSAL_COUNT
};

struct grpc_server_meters {
	const struct http2_meters *http2;
	struct counter *refused[GRPC_REFUSAL_COUNT];
	struct counter *deadlines_exceeded;
	struct gauge *buffered_bytes;
	/*
	 * Of calls that were answered as refused[GRPC_REFUSED_200] counts them, all of them
	 * together, as if they were calls of one method; may be NULL. They receive and send
	 * no messages.
	 */
	const struct grpc_method_meters *unknown;
};

/*
 * What one method counts; bound by grpc_server_add() and moved here and nowhere
 * else: started and in_flight when the headers resolved to the method, the rest
 * once, when the stream closes, before the service's `closed`; but for messages:
 *
 *	received  each that the handler is given, as it is given it. So of a method that
 *	          takes one: the calls that reached their handler.
 *	sent      of a method that answers with one: when the call closes, if the message was
 *	          sent whole and the trailers behind it have left. So of Echo, which answers
 *	          those that it ends OK and no other: the calls that ended OK. Of a method
 *	          that answers with a stream: each as it is queued, whatever comes of it.
 *
 * A truncated message (GRPC_BREAK_TRUNCATE) is none that was sent. A call that brought a
 * `traceparent` is an example to both histograms of what they were given of it.
 */
struct grpc_method_meters {
	struct counter *started;
	struct gauge *in_flight;
	struct counter *handled_ok,
		*handled_failed;                 /* total, successful_requests / failed_requests */
	struct counter *calls_ok, *calls_failed; /* grpc_calls_total{status} */
	struct histogram *latency;               /* seconds; every ended call */
	struct counter *by_status[GRPC_STATUS_COUNT];      /* may be NULL */
	struct counter *messages_received, *messages_sent; /* may be NULL */
	/* Also seconds of every ended call; may be NULL. */
	struct native_histogram *duration;
};

struct grpc_server_options {
	const struct grpc_server_limits *limits;
	const struct grpc_server_meters *meters;
	struct timers *timers;
	struct random *random; /* spreads the ages of connections; NULL: all live equally long */
	/*
	 * Constant initial metadata of every gRPC response: name and value, borrowed for
	 * the server's life; name.data NULL: none.
	 */
	struct metadata_entry identity;
	/*
	 * Non-NULL: each response also carries the connection's id (16 hex digits) under
	 * this name.
	 */
	const char *connection_id_name;
};

struct grpc_server *grpc_server_new(const struct grpc_server_options *options);
/* Asserts that no connection is left. */
void grpc_server_free(struct grpc_server *server);

/*
 * `service` is borrowed for the server's life. `meters`: one for each method, in
 * order; may be NULL. 0 or -ENOMEM.
 */
int grpc_server_add(struct grpc_server *server, const struct grpc_service *service, void *context,
		    const struct grpc_method_meters *meters);

/* What was added, in order; NULL past the last. */
const struct grpc_service *grpc_server_service(const struct grpc_server *server, size_t index);

/* An engine for a new connection. `peer` lives until the engine's release. NULL: no memory. */
struct engine *grpc_server_accept(struct grpc_server *server, const struct grpc_peer *peer);

/* Calls that have begun and not closed, on all connections. */
size_t grpc_server_calls(const struct grpc_server *server);

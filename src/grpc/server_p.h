/* The layout of a server, for the files of grpc/ only. */
#pragma once

#include "base/pool.h"
#include "grpc/call_p.h"
#include "grpc/connection_p.h"
#include "grpc/server.h"

/* A method that is served. */
struct registered {
	struct str path; /* "/muzz.Service/Echo": what :path must equal; owned */
	const struct grpc_method *method;
	void *context;
	const struct grpc_method_meters *meters; /* may be NULL */
};

struct grpc_server {
	struct grpc_server_options options;
	struct grpc_side side;
	struct str connection_id_name;
	/*
	 * What each response in gRPC begins with, but for a content-type with a subtype and
	 * the value of the last, which is the connection's.
	 */
	struct http2_field head[5];
	size_t n_head;
	struct registered *methods;
	size_t n_methods;
	const struct grpc_service **services;
	size_t n_services;
	size_t state_size; /* the largest of all methods */
	struct list free_calls;
	size_t n_free, n_calls, n_connections;
	size_t buffered;  /* gathered bytes of all calls */
	struct pool pool; /* nghttp2's small blocks, for all connections */
};

/* server_call.c: what a stream of a server does. */
extern const struct http2_stream_events grpc_server_stream_events;
void grpc_server_call_on_deadline(struct timer *timer);

/* server_call.c: what the call holds of the budget for gathered bytes. */
void grpc_server_set_charge(struct grpc_call *call, size_t bytes);

/*
 * The same, found anew: metadata, a message that is being gathered, what was
 * unpacked or is kept, also by the service, and answers that the peer's window holds
 * back. Small ones are left out: the limits on connections and streams bound them.
 *
 * Only what comes in is refused, so that a call whose request was taken gets its
 * answer: the sum may pass the budget by the answers to such calls.
 */
static inline void grpc_server_charge(struct grpc_call *call)
{
	size_t bytes = grpc_call_received_bytes(call) + call->each.kept;
	size_t answer = buffer_len(&call->stream.out);

	bytes += answer > GRPC_CALL_INLINE_BYTES ? call->stream.out.capacity : 0;
	if (bytes != call->each.charged) {
		grpc_server_set_charge(call, bytes);
	}
}

/* server_count.c: it has begun, as one of those that these count; NULL: nobody does. */
void grpc_server_count_begun(struct grpc_call *call, const struct grpc_method_meters *meters);
/* server_count.c: it has ended, at each.ended_ns; once, for one that was counted as begun. */
void grpc_server_count_ended(const struct grpc_call *call, enum grpc_status status);

/* server.c: the method that a :path names, into the call; or what is wrong with it. */
void grpc_server_find_method(struct grpc_call *call, struct str path);
/* server.c: after `closed`: to the free list. */
void grpc_server_release_call(struct grpc_call *call);

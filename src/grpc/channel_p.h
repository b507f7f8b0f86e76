/* The layout of a channel, for the files of grpc/ only. */
#pragma once

#include "base/pool.h"
#include "grpc/call_p.h"
#include "grpc/channel.h"
#include "grpc/connection_p.h"

struct grpc_channel {
	struct grpc_channel_options options;
	const struct grpc_channel_events *events;
	void *user;
	struct str authority, user_agent;
	struct grpc_side side;
	struct list waiting; /* calls without a stream */
	struct list dead;    /* calls that ended without one: `closed` is due */
	struct list connections;
	struct grpc_connection *current; /* takes new calls once it is ready */
	struct list free_calls;
	size_t n_free, n_calls;
	struct pool pool; /* nghttp2's small blocks */
	struct timer kick;
	bool connecting; /* from connect_wanted until ready or failure */
	bool draining;
};

/* channel.c: what is due to callers but not from inside their calls, soon. */
void grpc_channel_kick(struct grpc_channel *channel);

/* channel_call.c: gives a waiting call a stream, with all that it has to say so far. */
void grpc_channel_call_start(struct grpc_call *call, struct grpc_connection *connection);
/* channel_call.c: the status, unless there is one already. */
void grpc_channel_call_settle(struct grpc_call *call, enum grpc_status status, struct str why);
/* channel_call.c: ends a call that has no stream; `closed` comes from kick. */
void grpc_channel_call_kill(struct grpc_call *call, enum grpc_status status, struct str why);
/* channel_call.c: the last upcall; the call goes back to the free list. */
void grpc_channel_call_close(struct grpc_call *call, enum grpc_origin origin);
void grpc_channel_call_on_deadline(struct timer *timer);
/* channel.c: to the free list. */
void grpc_channel_release_call(struct grpc_call *call);

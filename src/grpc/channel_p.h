/* The layout of a channel, for the files of grpc/ only. */
#pragma once

#include "base/pool.h"
#include "grpc/call_p.h"
#include "grpc/channel.h"
#include "grpc/connection_p.h"

/* Of what a peer says before its SETTINGS: enough to tell what it speaks instead. */
#define GRPC_HEARD_BYTES 64

/* One connection of a channel: being made, current, or ending beside its successor. */
struct grpc_link {
	struct grpc_connection connection; /* what calls point at */
	struct grpc_channel *channel;
	struct list node;
	int64_t attempt_ns; /* when the attempt that made it began */
	int64_t attached_ns;
	int64_t backoff_ns; /* what the backoff was before the peer's SETTINGS reset it */
	bool ready;         /* the peer's SETTINGS are in */
	bool served;        /* a call was answered on it */
	bool parted;        /* the server said goodbye */
	bool complained;    /* and complained as it did: once is enough */
	bool retired;       /* here, by grpc_channel_renew() */
	uint8_t n_heard;
	char heard[GRPC_HEARD_BYTES];
};

struct grpc_channel {
	struct grpc_channel_options options;
	struct http2_limits http2; /* this channel's copy: too_many_pings changes it */
	const struct grpc_channel_meters *meters;
	const struct grpc_channel_events *events;
	void *user;
	struct str authority, user_agent;
	struct grpc_side side;
	struct list waiting; /* calls without a stream */
	struct list due;     /* calls that have no stream any more, and hear about it from kick */
	struct list links;
	struct grpc_link *current; /* takes new calls once it is ready */
	struct list free_calls;
	size_t n_free, n_calls;
	struct pool pool; /* nghttp2's small blocks */
	struct timer kick;
	struct grpc_timeout_text {
		int64_t ns; /* 0: none yet */
		size_t len;
		char text[16];
	} last_timeout; /* that was said */

	uint8_t state; /* enum grpc_channel_state */
	uint8_t told;  /* of them, what state_changed said last */
	bool draining;
	bool retiring;            /* a link has retired, and does not know yet */
	unsigned n_unserved;      /* connections in a row that ended before they served */
	struct timer backoff;     /* active: TRANSIENT_FAILURE */
	int64_t attempt_ns;       /* when the last attempt began */
	int64_t backoff_ns;       /* the next wait, before jitter */
	struct buffer last_error; /* why the last attempt failed */
};

/* A call was answered: whatever was wrong with connections before is over. */
static inline void grpc_link_served(struct grpc_link *link)
{
	if (!link->served) {
		link->served = true;
		link->channel->n_unserved = 0;
		link->channel->backoff_ns = link->channel->options.backoff.initial_ns;
	}
}

static inline struct grpc_link *grpc_link_of(struct grpc_connection *connection)
{
	return container_of(connection, struct grpc_link, connection);
}

/* channel.c: what is due to callers but not from inside their calls, soon. */
void grpc_channel_kick(struct grpc_channel *channel);
/* channel.c: gives waiting calls a stream, as long as there is room. */
void grpc_channel_pump(struct grpc_channel *channel);
/* channel.c: ends the calls that wait; those that wait for ready only where `all`. */
void grpc_channel_kill_waiting(struct grpc_channel *channel, bool all, struct str why,
			       enum grpc_origin origin);
/* channel.c: to the free list. */
void grpc_channel_release_call(struct grpc_call *call);

/* channel_connect.c: its part of a channel's beginning. */
void grpc_channel_connect_init(struct grpc_channel *channel);
/* channel_connect.c: asks for a connection where a call waits and it is time. */
void grpc_channel_connect(struct grpc_channel *channel);
/*
 * channel_connect.c: the connections take no more calls, and end with those they have:
 * all where the channel drains, else those that have retired.
 */
void grpc_channel_drain_links(struct grpc_channel *channel);
/* channel_connect.c: why an attempt failed last; empty: none has. */
struct str grpc_channel_last_error(const struct grpc_channel *channel);

/* channel_call.c: gives a waiting call a stream, with all that it has to say so far. */
void grpc_channel_call_start(struct grpc_call *call, struct grpc_link *link);
/* channel_call.c: the status, unless there is one already. */
void grpc_channel_call_settle(struct grpc_call *call, enum grpc_status status, struct str why,
			      enum grpc_origin origin);
/* channel_call.c: ends a call that has no stream; `closed` comes from kick. */
void grpc_channel_call_kill(struct grpc_call *call, enum grpc_status status, struct str why,
			    enum grpc_origin origin);
/* channel_call.c: ends a call that may have one, for a reason found here. */
void grpc_channel_call_fail(struct grpc_call *call, enum grpc_status status, struct str why,
			    enum http2_error code);
/* The same, with the usual code. */
static inline void grpc_channel_call_give_up(struct grpc_call *call, enum grpc_status status,
					     const char *why)
{
	grpc_channel_call_fail(call, status, str_from(why), HTTP2_CANCEL);
}
/*
 * The same for an answer in plain HTTP: its status is certain, and the rest of it is
 * heard (for a moment at most) and thrown away, so that an error of HTTP/2 in it is
 * still found, and the server is not cut off in the middle of its page.
 */
void grpc_channel_call_fail_at_end(struct grpc_call *call, enum grpc_status status, struct str why);
/* channel_call.c: what was kept to send the request anew is let go. */
void grpc_channel_call_commit(struct grpc_call *call);
/* channel_call.c: of the list `due`, and out of it. */
void grpc_channel_call_due(struct grpc_call *call);
void grpc_channel_call_on_deadline(struct timer *timer);

/* channel_response.c: upcalls of the call's stream. */
void grpc_channel_response_header(struct http2_stream *stream, struct str name, struct str value);
void grpc_channel_response_headers_done(struct http2_stream *stream, enum http2_block kind,
					bool end_stream, bool too_large);
void grpc_channel_response_data(struct http2_stream *stream, const uint8_t *bytes, size_t n);
void grpc_channel_response_ended(struct http2_stream *stream);
/* channel_response.c: delivers what was kept while a message was held, and the end behind it. */
void grpc_channel_response_go_on(struct grpc_call *call);

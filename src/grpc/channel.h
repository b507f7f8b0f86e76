/*
 * The calling end: calls wait here until a connection can take them, within the
 * peer's limit on concurrent streams and their own deadline. A channel never
 * dials: it asks its owner (connect_wanted), who attaches an engine or reports
 * failure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/engine.h"
#include "base/timers.h"
#include "grpc/call.h"
#include "http2/session.h"

struct grpc_channel;

struct grpc_channel_events {
	/*
	 * A call waits and there is no connection: dial, then grpc_channel_attach() or
	 * _connect_failed().
	 */
	void (*connect_wanted)(void *user, struct grpc_channel *channel);
	/*
	 * The connection is gone (GOAWAY, loss); `connected` says whether the peer's
	 * SETTINGS had arrived. May be NULL.
	 */
	void (*disconnected)(void *user, struct grpc_channel *channel, bool connected, int err);
};

struct grpc_channel_options {
	const struct http2_limits *http2;
	const struct http2_meters *meters; /* may be NULL */
	struct timers *timers;
	const char *authority;    /* borrowed */
	const char *user_agent;   /* borrowed */
	size_t max_message_bytes; /* received; 0: 4 MiB */
};

struct grpc_call_options {
	/* 0: none; counted from grpc_channel_call(), connecting and queueing included */
	int64_t timeout_ns;
	const struct metadata_entry *metadata; /* a chain; copied; "-bin" values raw */
};

struct grpc_channel *grpc_channel_new(const struct grpc_channel_options *options,
				      const struct grpc_channel_events *events, void *user);
/* Asserts that no call and no connection is left. */
void grpc_channel_free(struct grpc_channel *channel);

/*
 * After connect_wanted, once the transport is up. NULL: no memory. The engine
 * belongs to its host.
 */
struct engine *grpc_channel_attach(struct grpc_channel *channel, const struct grpc_peer *peer);
/*
 * After connect_wanted: all waiting calls end UNAVAILABLE with this text, origin
 * transport, unprocessed.
 */
void grpc_channel_connect_failed(struct grpc_channel *channel, int err, struct str why);

/*
 * Starts a call: `events` as in call.h, `user` is its grpc_call_context(). Send
 * the request with grpc_call_send() and grpc_call_half_close(), both at once if
 * you like. NULL: no memory. Failures arrive by `closed`.
 */
struct grpc_call *grpc_channel_call(struct grpc_channel *channel,
				    const struct grpc_service *service,
				    const struct grpc_method *method,
				    const struct grpc_call_events *events,
				    const struct grpc_call_options *options, void *user);

/* Closes the connection once its calls have ended; waiting calls end UNAVAILABLE. */
void grpc_channel_drain(struct grpc_channel *channel);

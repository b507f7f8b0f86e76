/*
 * The calling end: calls wait here until a connection can take them, within the
 * peer's limit on concurrent streams and their own deadline. A channel never
 * dials: it asks its owner (connect_wanted), who attaches an engine or reports
 * failure.
 *
 *	IDLE --a call--> CONNECTING --peer's SETTINGS--> READY --GOAWAY, loss--> IDLE
 *	 ^                     |
 *	 | backoff over        | failure
 *	 |                     v
 *	 +---------- TRANSIENT_FAILURE   (calls fail UNAVAILABLE, unless wait_for_ready)
 *
 * Backoff (the gRPC connection backoff protocol) counts from the start of an
 * attempt, grows by a factor with jitter, and is reset when the server's SETTINGS
 * arrive. A connection that the server ends before it has answered a call is
 * given a successor at once; the next of that kind in a row counts as a failure,
 * and the backoff grows on as if there had been no SETTINGS.
 *
 * A call that no server application ever saw is sent anew by itself (transparent
 * retry): any number of times where it never left this process, once where the
 * server said so (GOAWAY below its id, REFUSED_STREAM). It stays one call; its
 * attempts are counted apart. What it has sent is kept for that, up to
 * GRPC_RETRY_BYTES, until the response begins: after either it is sent once only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/engine.h"
#include "base/random.h"
#include "base/timers.h"
#include "grpc/call.h"
#include "http2/session.h"

/* Of one call's request. More is not kept: such a call is not sent anew. */
#define GRPC_RETRY_BYTES (256 * KIB)

struct grpc_channel;

enum grpc_channel_state {
	GRPC_CHANNEL_IDLE,
	GRPC_CHANNEL_CONNECTING,
	GRPC_CHANNEL_READY,
	GRPC_CHANNEL_TRANSIENT_FAILURE,
};

struct grpc_channel_events {
	/*
	 * A call waits and there is no connection: dial, then grpc_channel_attach() or
	 * _connect_failed(). The channel paces this by its backoff.
	 */
	void (*connect_wanted)(void *user, struct grpc_channel *channel);
	/*
	 * The connection is gone (GOAWAY, loss); `connected` says whether the peer's
	 * SETTINGS had arrived. May be NULL.
	 */
	void (*disconnected)(void *user, struct grpc_channel *channel, bool connected, int err);
	/*
	 * The server said goodbye; `debug` is borrowed. Worth a line of log where code !=
	 * NO_ERROR, which is told once of a connection. May be NULL.
	 */
	void (*goaway)(void *user, struct grpc_channel *channel, uint32_t code, struct str debug);
	/* Not from inside a call of yours; what came and went in between is passed over. May be
	 * NULL. */
	void (*state_changed)(void *user, struct grpc_channel *channel,
			      enum grpc_channel_state state);
};

/* The gRPC connection backoff protocol; zero fields: the defaults that it names. */
struct grpc_backoff {
	int64_t initial_ns; /* 1 s */
	int64_t max_ns;     /* 120 s */
	double multiplier;  /* 1.6 */
	double jitter;      /* 0.2: each wait is drawn from +-20 % */
};

/* Each may be NULL; one set serves many channels. */
struct grpc_channel_meters {
	const struct http2_meters *http2;
	struct counter *attempts;            /* of calls: streams that were asked for */
	struct counter *transparent_retries; /* of them, beyond a call's first */
	struct counter *connects_failed;
	struct counter *connections_lost; /* they ended without a goodbye of either side */
	struct counter *stream_waits;     /* calls that found the peer's limit of streams reached */
};

struct grpc_channel_options {
	const struct http2_limits *http2;         /* keepalive included */
	const struct grpc_channel_meters *meters; /* may be NULL */
	struct timers *timers;
	struct random *random; /* jitter of the backoff; NULL: none */
	struct grpc_backoff backoff;
	const char *authority;         /* borrowed */
	const char *user_agent;        /* borrowed */
	size_t max_message_bytes;      /* received, uncompressed; 0: 4 MiB */
	size_t max_send_message_bytes; /* 0: no limit */
};

struct grpc_call_options {
	/*
	 * 0: none; counted from grpc_channel_call(), connecting and queueing included;
	 * negative: it has passed, and the call ends without a byte on the wire
	 */
	int64_t timeout_ns;
	const struct metadata_entry *metadata; /* a chain; copied; "-bin" values raw */
	/* grpc-encoding: gzip is announced, and messages are compressed: grpc_call_compress() */
	bool gzip;
	/* waits through TRANSIENT_FAILURE until READY or its deadline */
	bool wait_for_ready;
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
 * After connect_wanted: waiting calls end UNAVAILABLE with this text, origin
 * transport, unprocessed; those that wait for ready go on waiting, and
 * connect_wanted follows after the backoff.
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

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *channel);
/* How often `call` was given a stream: 1, and more after transparent retries. */
unsigned grpc_call_attempts(const struct grpc_call *call);

/* Closes the connection once its calls have ended; waiting calls end UNAVAILABLE. */
void grpc_channel_drain(struct grpc_channel *channel);
/*
 * The connection takes no more calls and ends with those that it has; the next call, or
 * one that waits, gets a new one at once, without a backoff. No effect without one.
 */
void grpc_channel_renew(struct grpc_channel *channel);

/*
 * Marries a transport to an engine: receive, flush, back-pressure, write stall,
 * linger, teardown. The same for server and client, http1 and http2.
 *
 * The happy path: `ready` of the transport -> events.ready makes the engine ->
 * data -> engine receive -> flush (produce, one write) -> ... -> engine
 * finished -> shutdown, read and throw away until EOF or the linger time is
 * over -> close -> engine release -> events.closed, and the connection is gone.
 *
 * What can fail: the peer resets, writes stall (write_stall_ns without
 * progress), the engine reports a fatal error, connecting takes too long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/engine.h"
#include "metrics/counter.h"
#include "net/loop.h"
#include "net/transport.h"

struct connection;

enum connection_close_reason {
	CONNECTION_CLOSED_PEER,    /* the peer closed or reset */
	CONNECTION_CLOSED_DONE,    /* the engine had finished: drain, goaway, Connection: close */
	CONNECTION_CLOSED_ERROR,   /* the engine or the transport failed */
	CONNECTION_CLOSED_TIMEOUT, /* write stall, connect */
	CONNECTION_CLOSED_LOCAL,   /* connection_close() */
	CONNECTION_CLOSE_REASONS
};

struct connection_meters {
	struct gauge *active;
	struct counter *received_bytes, *sent_bytes;
	struct counter *closed[CONNECTION_CLOSE_REASONS];
};

struct connection_limits {
	/*
	 * Bytes that were produced and that the kernel has not taken: above it the
	 * engine gets no room, and an accepted connection is not read. At most this
	 * and one frame are held. 256 KiB
	 */
	size_t output_soft_max;
	int64_t write_stall_ns; /* 30 s */
	int64_t linger_ns;      /* after FIN. 1 s */
	int64_t connect_ns;     /* outgoing only; 0 = none */
};
extern const struct connection_limits connection_default_limits;

struct connection_events {
	/*
	 * The transport is up: return the engine, or NULL to close. The connection owns it
	 * from here.
	 */
	struct engine *(*ready)(void *user, struct connection *connection);
	/*
	 * Last. The connection is freed on return. `err`: 0 or negative errno. Never from
	 * inside your call.
	 */
	void (*closed)(void *user, struct connection *connection, enum connection_close_reason why,
		       int err);
};

/*
 * NULL: no memory; the transport is then closed. Accepted transports: `ready`
 * follows from the loop.
 */
struct connection *connection_new(struct loop *loop, struct transport *transport,
				  const struct connection_limits *limits,
				  const struct connection_meters *meters,
				  const struct connection_events *events, void *user);
/* NULL before ready. */
struct engine *connection_engine(const struct connection *connection);
/*
 * Winds down: the engine's drain, then as on the happy path; legal in any upcall.
 * Before ready an outgoing connection closes; an accepted one, whose first call
 * may be in the socket already, drains as soon as it has an engine.
 */
void connection_drain(struct connection *connection, enum engine_drain how);
/* Aborts; `closed` follows later. */
void connection_close(struct connection *connection, enum connection_close_reason why, int err);

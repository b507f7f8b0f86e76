/*
 * A byte stream: tcp, unix and (later) TLS look the same to a connection. One
 * user, one last upcall: `closed`.
 *
 *	connect/accept -> ready -> (data | drained)* -> eof? -> closed
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct transport;

struct transport_events {
	/* Connected: bytes may flow both ways. */
	void (*ready)(void *user);
	/* Borrowed until return. At most 64 KiB a turn, so that each connection gets its turn. */
	void (*data)(void *user, const uint8_t *bytes, size_t n);
	/* The write in flight has left. */
	void (*drained)(void *user);
	/* The peer has finished sending; writing still works. */
	void (*eof)(void *user);
	/* Last, once, never from inside your call; the transport is gone after it. */
	void (*closed)(void *user, int err);
};

struct transport_ops {
	int (*write)(struct transport *transport, struct buffer *out);
	void (*pause)(struct transport *transport, bool paused);
	void (*shutdown)(struct transport *transport);
	void (*close)(struct transport *transport, int err);
	size_t (*unsent)(const struct transport *transport);
	size_t (*outstanding)(const struct transport *transport);
};

/* Embedded first in each kind. */
struct transport {
	const struct transport_ops *ops;
	const struct transport_events *events;
	void *user;
	bool dialled; /* by us; else accepted */
};

/* Who listens; set before `ready` can be delivered. */
static inline void transport_attach(struct transport *transport,
				    const struct transport_events *events, void *user)
{
	transport->events = events;
	transport->user = user;
}

/*
 * 0: all of it is sent, `out` is empty. 1: the rest was taken by swap (`out` is
 * empty, with other memory), `drained` follows; do not write before it. < 0
 * (negative errno): `closed` follows.
 */
static inline int transport_write(struct transport *transport, struct buffer *out)
{
	return transport->ops->write(transport, out);
}

/* Reading stops (the kernel's buffer fills, the peer's window closes) or goes on. */
static inline void transport_pause(struct transport *transport, bool paused)
{
	transport->ops->pause(transport, paused);
}

/* FIN after what was written. */
static inline void transport_shutdown(struct transport *transport)
{
	transport->ops->shutdown(transport);
}

/* Abort; `closed(err)` follows, later. Idempotent. */
static inline void transport_close(struct transport *transport, int err)
{
	transport->ops->close(transport, err);
}

/* Bytes of the write in flight that the kernel has not taken: they are our memory. */
static inline size_t transport_unsent(const struct transport *transport)
{
	return transport->ops->unsent(transport);
}

/*
 * Those, and what the kernel holds for want of the peer's acknowledgement: while
 * this changes the peer takes something, though a large buffer of the kernel has
 * no room for us yet. A system call.
 */
static inline size_t transport_outstanding(const struct transport *transport)
{
	return transport->ops->outstanding(transport);
}

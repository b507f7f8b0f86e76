/*
 * A protocol as a pure machine: bytes in, bytes out; no socket, no clock of
 * its own, no loop. A host (net/connection.c, or a test) marries it to a byte
 * stream. http1 and http2 embed `struct engine` as their first member.
 *
 * The happy path: receive() is given bytes and makes upcalls into the layer
 * above, which submits answers; the host then calls produce() until it returns
 * 0 and writes what came out. A submission from elsewhere (a timer) calls
 * wake(), and the host produces before its loop sleeps.
 *
 * Never re-entered: none of these is called from inside another on the same
 * engine. Only `release` frees, and the host calls it exactly once, with none
 * of the engine's functions on the stack.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer;
struct engine;

enum engine_drain {
	ENGINE_DRAIN_GRACEFUL, /* take nothing new, finish what runs */
	ENGINE_DRAIN_NOW,      /* say goodbye, give up what runs */
};

struct engine_ops {
	/*
	 * Takes 0..n bytes. Fewer than n: offer the rest again after produce(); the
	 * host keeps it and pauses the transport meanwhile. < 0: a fatal protocol
	 * error; produce what is left, then close.
	 */
	ssize_t (*receive)(struct engine *engine, const uint8_t *bytes, size_t n);

	/*
	 * The peer's FIN, after all of its bytes were taken. finished() decides
	 * what follows.
	 */
	void (*end_of_input)(struct engine *engine);

	/*
	 * 1. Delivers deferred upcalls, even when `room` is 0.
	 * 2. Appends bytes to `out`: at most `room` + one frame.
	 * 1 = more waits for room; 0 = idle; < 0 = fatal (out of memory, -ENOMEM; a peer
	 * that is gone, -ETIMEDOUT).
	 */
	int (*produce)(struct engine *engine, struct buffer *out, size_t room);

	/* Nothing is left to send and nothing more is wanted: FIN, linger, close. */
	bool (*finished)(const struct engine *engine);

	/* Begins to wind down; NOW may follow GRACEFUL. */
	void (*drain)(struct engine *engine, enum engine_drain how);

	/*
	 * The transport is gone (err: 0 or negative errno): delivers every last
	 * upcall, frees the engine.
	 */
	void (*release)(struct engine *engine, int err);
};

struct engine {
	const struct engine_ops *ops;
	/*
	 * Set by the host right after it got the engine. Idempotent, legal
	 * anywhere, also inside receive and produce.
	 */
	void (*wake)(void *host);
	void *host;
};

static inline void engine_wake(struct engine *engine)
{
	if (engine->wake) {
		engine->wake(engine->host);
	}
}

/*
 * What the programs of this folder have in common.
 *
 * They are tests and not services: whatever keeps one from doing its part, memory
 * included, ends it with a line on standard error and exit code 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/util.h"
#include "client/dial.h"
#include "grpc/channel.h"
#include "net/loop.h"

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed; lives as long as the arena. */
void *take(struct arena *arena, size_t n);
/* Bounded only so that a mistake ends in a line of text. */
void arena_open(struct arena *arena);

/* -- The calling end: a channel, and what dials for it -- */

struct endpoint {
	struct dial_target target;
	struct dialer dialer;
	struct grpc_channel *channel;
	uint64_t next_peer_id;
	char authority[300];
};

/* No connection is made before the first call. `max_message_bytes`: 0, the default. */
void endpoint_open(struct endpoint *endpoint, struct loop *loop, const char *host, unsigned port,
		   size_t max_message_bytes);
/* No more calls. The loop runs until the connections are gone; then endpoint_free(). */
void endpoint_close(struct endpoint *endpoint);
void endpoint_free(struct endpoint *endpoint);

/*
 * What a handler, or a caller, does with a call, told by bytes: each is an act
 * (low 4 bits) and its argument. Messages carry scripts, so the peer says how the
 * layer above behaves; asides do so from outside of any upcall.
 */
#pragma once

#include <stdbool.h>

#include "fuzz.h"
#include "grpc/call.h"
#include "host.h"

#define SCRIPT_MAX_CALLS 256

struct world;

/* A call as its user sees it. Server: grpc_call_state(). */
struct actor {
	struct world *world;
	struct grpc_call *call;
	struct timer timer;
	size_t index; /* in world.actors */
	unsigned n_opened, n_messages, n_half_closed, n_closed;
	bool server, held, in_message, finished, full, pumping;
};

/* Everything of one run that calls have in common. */
struct world {
	struct host host;
	struct actor *actors[SCRIPT_MAX_CALLS]; /* those that have not closed */
	unsigned n_opened, n_closed, n_started;
	size_t sent; /* bytes of messages; bounded, so that a run ends soon */
};

/* The peer of acts: enters and leaves the table. */
void actor_begin(struct actor *actor, struct world *world, struct grpc_call *call, bool server);
void actor_end(struct actor *actor);
void actor_act(struct actor *actor, struct bytes script);

/* For methods and calls of raw bytes: what a message says is done. */
extern const struct grpc_call_events script_server_events;
extern const struct grpc_call_events script_client_events;
extern const struct grpc_service script_service; /* "f.F": U, C, S, B, as enum grpc_shape */

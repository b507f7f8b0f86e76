/* What the two ways of using the client, one call and a run, have in common. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/dial.h"
#include "client/exporter.h"
#include "client/instruments.h"
#include "client/plan.h"
#include "grpc/call.h"
#include "net/loop.h"

struct client {
	const struct plan *plan;
	struct loop *loop;
	struct dial_target *targets; /* as many as the plan's, in their order */
	struct instruments instruments;
	struct counter bytes_in, bytes_out; /* on connections to the targets */
	struct connection_meters connections;
	struct exporter *exporter; /* NULL: not asked for */
	uint64_t next_peer_id;
	struct random random; /* spreads the attempts to connect */
	struct http2_limits http2;
	char user_agent[96];
};

/* Each runs the loop until all is done, prints what came of it, and returns the exit code. */
int call_run(struct client *client);
int load_run(struct client *client);

/* A target has no address: the same, without a loop having run. */
int call_unresolved(struct client *client, const char *why);
int load_unresolved(struct client *client, const char *why);

/*
 * To the plan's target of that index. NULL: no memory. The channel asks for its connections
 * through `events`.
 */
struct grpc_channel *client_channel_new(struct client *client, size_t target,
					const struct grpc_channel_events *events, void *user);
/* Starts the planned call, request included, with this metadata. NULL: no memory. */
struct grpc_call *client_call_start(const struct client *client, struct grpc_channel *channel,
				    const struct metadata_entry *metadata,
				    const struct grpc_call_events *events, void *user);
/* Of the planned request: its message as it is before compression, and gRPC's prefix. */
uint64_t client_request_bytes(const struct client *client);
/* What is in the message of a reply: Echo's text, or the raw message. */
struct str client_reply(const struct client *client, const void *message);
/* Is it what the plan sends? */
bool client_is_echo(const struct client *client, const void *message);
/* In `closed`: nobody was there to be called. Such a call says nothing about a server. */
bool client_never_found(const struct grpc_outcome *outcome);
/* A line on standard error where a server complains as it says goodbye. */
void client_note_goaway(const char *target, uint32_t code, struct str debug);

/* All of it, to standard output; false, with a line on stderr, if it cannot be written. */
bool client_print(struct bytes text);
/* As the gRPC protocol document, "User Agents", asks for it. */
void client_user_agent(char *text, size_t size);
/* "echod client: TEXT" on standard error. */
void client_complain(const char *text);

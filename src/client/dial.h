/*
 * Gives a channel its connections: the target's addresses are tried in order
 * until one connects. One dialer serves one channel.
 *
 * The happy path: the channel wants a connection -> dialer_dial() -> the first
 * address that connects -> grpc_channel_attach() -> events.connected.
 *
 * What can fail: an address refuses, or does not answer within its share of the
 * time (the next one is tried); all of them do (events.failed, then the waiting
 * calls end). A connection that was made and is lost is the channel's to
 * notice, and it asks again when its backoff lets it. One that drains (GOAWAY)
 * lives on here beside its successor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "grpc/channel.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/loop.h"

#define DIAL_MAX_ADDRESSES 16

/* Where to; resolved once, shared by all dialers of a run. */
struct dial_target {
	const char *text; /* as in messages */
	struct address addresses[DIAL_MAX_ADDRESSES];
	size_t n;
	struct connection_limits limits;
	const struct connection_meters *meters; /* of its connections; may be NULL */
};

/*
 * Blocks: for use before the loop runs. `timeout_ns` bounds the attempts at all addresses.
 * 0, or -1 with a reason.
 */
int dial_resolve(struct dial_target *target, const struct address_spec *spec, const char *text,
		 int64_t timeout_ns, char *why, size_t size);

struct dialer_events {
	void (*connected)(void *user); /* may be NULL */
	/*
	 * No address connected. The waiting calls' `closed` follow. `why` is borrowed
	 * until return.
	 */
	void (*failed)(void *user, struct str why); /* may be NULL */
};

struct dialer {
	struct loop *loop;
	const struct dial_target *target;
	struct grpc_channel *channel;
	const struct dialer_events *events;
	void *user;
	uint64_t *next_peer_id; /* of the run */
	struct list links;      /* connections, with what belongs to each */
	size_t n_attached;      /* of them, given to the channel: in use, or draining */
	size_t next;            /* index of the address to try */
	struct loop_task step;
	struct timer goodbye; /* active: closing, and the peers have so long to let go */
	int err;              /* of the last attempt */
	bool dialing;         /* between dialer_dial() and its outcome */
	bool closing;
	struct buffer reasons; /* what each address said, in this round */
};

void dialer_init(struct dialer *dialer, struct loop *loop, const struct dial_target *target,
		 uint64_t *next_peer_id, const struct dialer_events *events, void *user);
/* Before the first dialer_dial(). */
static inline void dialer_set_channel(struct dialer *dialer, struct grpc_channel *channel)
{
	dialer->channel = channel;
}
/* The channel's connect_wanted. Nothing fails from within: outcomes arrive from the loop. */
void dialer_dial(struct dialer *dialer);
/*
 * Ends every connection, at once if `abort`, else when it has nothing left to do, or after
 * a second where the peer does not take the rest; nothing is dialled afterwards.
 */
void dialer_close(struct dialer *dialer, bool abort);
/* Asserts that no connection is left. */
void dialer_deinit(struct dialer *dialer);

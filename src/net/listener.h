/*
 * A listening socket: bind, listen, accept, adopt (an inherited one). Above the
 * connection cap accepting pauses, is counted, and resumes as one closes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metrics/counter.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/transport.h"

struct listener;

struct listener_meters {
	struct counter *accepted;
	struct counter *refused_limit; /* times that accepting paused at the cap */
	struct counter *refused_files; /* times that it rested, out of file descriptors */
};

struct listener_events {
	/*
	 * A new peer; the receiver owns the transport: attach, then it reads at once.
	 * `peer` is borrowed.
	 */
	void (*accepted)(void *user, struct listener *listener, struct transport *transport,
			 const struct address *peer);
	void (*closed)(void *user, struct listener *listener); /* last */
};

/*
 * Binds each address that the spec means (":9876": one dual-stack socket, or
 * IPv4 alone where IPv6 is off) and listens. A stale unix path (nobody answers)
 * is replaced; a live one is -EADDRINUSE. 0 or negative errno; `ret` only on 0.
 */
int listener_open(struct loop *loop, const struct address_spec *spec, int backlog,
		  const struct listener_meters *meters, const struct listener_events *events,
		  void *user, struct listener **ret);
/*
 * Takes over a socket that listens already (LISTEN_FDS): tcp or unix; -EINVAL
 * for one that does not. `fd` is the listener's from here, also on failure.
 */
int listener_adopt(struct loop *loop, int fd, const struct listener_meters *meters,
		   const struct listener_events *events, void *user, struct listener **ret);

/* The bound address (the real port for port 0). */
const struct address *listener_address(const struct listener *listener);
/*
 * For tcp: a peer that acknowledges none of what was sent to it for so long, or
 * keeps its window shut, is given up (TCP_USER_TIMEOUT), in whole ms. Whoever is
 * accepted inherits it.
 */
void listener_set_user_timeout(struct listener *listener, int64_t ns);
/* Stop taking new peers, or go on; what waits in the backlog stays there. */
void listener_pause(struct listener *listener, bool paused);
/*
 * Accepts what is in the backlog at this moment, paused or not, and lets nobody
 * in any more; `accepted` is called from within, and may be once more before
 * `closed`, which follows later. A unix path is unlinked (not an adopted one).
 */
void listener_close(struct listener *listener);

/*
 * A door: the listeners of one protocol, and everyone who came in through them.
 * It keeps the bounds on connections, and empties itself on request: closes its
 * listeners, drains or aborts its connections, also those that come in
 * meanwhile.
 *
 * The happy path: accepted -> within the bounds -> serve() makes the engine ->
 * closed. At a bound the listeners pause; they go on as somebody leaves.
 *
 * What can fail: memory for a newcomer (turned away and counted); the peer
 * (logged at debug, rate-limited; counted by the connection).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/engine.h"
#include "base/list.h"
#include "base/log.h"
#include "base/options.h"
#include "daemon/meters.h"
#include "daemon/systemd.h"
#include "grpc/call.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/loop.h"

struct door;

/* One inbound connection. */
struct guest {
	struct list node;
	struct door *door;
	struct connection *connection;
	struct grpc_peer peer;
	int drained; /* 0, or 1 + the enum engine_drain that it was last told */
	char address[];
};

struct door_events {
	/* The engine of a newcomer, or NULL without memory. */
	struct engine *(*serve)(void *user, struct guest *guest);
	/* A listener or a connection has gone. */
	void (*changed)(void *user);
};

/* What the doors of a process share. */
struct door_house {
	struct loop *loop;
	size_t guests;    /* on all doors */
	uint64_t last_id; /* given to a connection */
};

struct door_options {
	struct door_house *house;
	const char *name; /* "grpc": in the log, and of inherited sockets */
	const char *default_port;
	const struct meters_door_set *meters;
	struct connection_limits limits;
	int64_t user_timeout_ns; /* of its sockets, see listener.h; 0: the system's */
	size_t max_guests;       /* on this door */
	size_t max_house_guests; /* on all doors, when one comes in here */
	/*
	 * A newcomer beyond a bound is let in: at the bound of the house the oldest guest
	 * gives way, at that of the door serve() has to make one go.
	 */
	bool evicts;
};

struct door {
	struct door_options options;
	const struct door_events *events;
	void *user;
	struct list ports;  /* open listeners */
	struct list guests; /* oldest first */
	size_t n_guests;
	bool paused;
	bool aborting;
	int draining; /* as guest.drained */
	struct loop_task drain_task;
	struct log_limit trouble, full;
};

void door_init(struct door *door, const struct door_options *options,
	       const struct door_events *events, void *user);

/*
 * Listens on the inherited sockets of the door's name (they are taken out of
 * `systemd`) and on `addresses`; with neither, on the default port of every
 * address. 0, or negative errno: one line was logged that says where and why.
 */
int door_listen(struct door *door, struct systemd *systemd, const struct option_strings *addresses);
/* The bound addresses, separated by commas. */
void door_addresses(const struct door *door, char *text, size_t size);

/* After a change elsewhere in the house: pauses or goes on. */
void door_update(struct door *door);
/* Takes in who waits in the backlog, then listens no more; `changed` follows. */
void door_close(struct door *door);
/* Winds down every connection, now and whenever one still comes in. NOW may follow GRACEFUL. */
void door_drain(struct door *door, enum engine_drain how);
/* Aborts every connection, now and whenever one still comes in. */
void door_abort(struct door *door);
/* No listener and nobody inside. */
bool door_empty(const struct door *door);

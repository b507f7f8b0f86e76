/*
 * One connection's worth of a run: a channel to one target, the dialer that serves it,
 * and what is counted of its connections. A connection that has had its lifetime is
 * renewed: its calls end on it while new ones go to its successor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timers.h"
#include "client/dial.h"
#include "client/recorder.h"

struct client;
struct lane;

struct lane_events {
	/* It rested, and rests no more. */
	void (*rested)(void *user, struct lane *lane);
	/* There is no server at any of its addresses. */
	void (*no_server)(void *user);
};

/* What all lanes of a run have in common. */
struct lanes {
	struct client *client;
	struct recorder_connections *counts; /* where they count; may change at any time */
	const struct lane_events *events;
	void *user;
	size_t n; /* lanes */
	struct lane *all;
};

struct lane {
	struct lanes *lanes;
	struct grpc_channel *channel;
	uint64_t in_flight; /* calls that it has */
	struct dialer dialer;
	size_t index, target;
	struct list waiting;   /* what its user makes wait while it rests */
	struct timer rest;     /* active: there was no memory */
	struct timer lifetime; /* active: of the current connection */
	bool renewed;          /* at least once */
};

/* 0 or -ENOMEM; lanes_deinit() is due after either. Everything is borrowed. */
int lanes_init(struct lanes *lanes, size_t n, struct client *client,
	       const struct lane_events *events, void *user);
/* Those that have a connection. */
size_t lanes_connected(const struct lanes *lanes);
/* Every connection ends, once what is left to say has been said; the loop empties. */
void lanes_close(struct lanes *lanes);
/* After the loop has emptied, or was never run. */
void lanes_deinit(struct lanes *lanes);

/* A call that began now would fail at once, or could not begin. */
bool lane_rests(const struct lane *lane);
/* There is no memory; events.rested() follows, soon. */
void lane_rest(struct lane *lane);

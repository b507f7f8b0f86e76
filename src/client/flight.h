/*
 * The calls of a run that are in flight: each has a slot, and what became of it goes
 * into the recorder of the part of the run that it belongs to, by its intended start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "client/lane.h"
#include "client/recorder.h"
#include "grpc/metadata.h"

struct flight;
struct reconcile;

/* One part of a run: the warm-up, or what is measured. */
struct flight_part {
	struct recorder *recorder;
	int64_t zero_ns; /* of the recorder's times, on the timers' clock */
};

/* The place of one call at a time. */
struct slot {
	struct list node; /* free, or waiting at its lane */
	struct flight *flight;
	struct lane *lane;
	struct grpc_call *call; /* NULL: none */
	const struct flight_part *part;
	int64_t intended_ns; /* on the timers' clock */
	bool deferred, replied, echoed;
};

/* What servers are told about a call, so that they can be asked about it. */
struct slot_mark {
	struct metadata_entry entry; /* in front of the plan's */
	uint64_t sequence;
	char text[48];
};

struct flight {
	struct client *client;
	struct timers *timers;
	size_t n_slots;
	struct slot *slots;
	uint64_t in_flight;
	bool cut;            /* calls are given up: what they end with is none of theirs */
	int64_t answered_ns; /* when a server last ended a call */
	/* The place is free again: a call ended at `now_ns`. */
	void (*freed)(void *user, struct slot *slot, int64_t now_ns);
	void *user;
	struct reconcile *reconcile; /* NULL: not asked for */
	const char *run_id;          /* borrowed; with it */
	struct slot_mark *marks;     /* one for each slot; NULL: none */
	uint64_t sequence;           /* of the next call */
};

struct flight_options {
	struct client *client;
	size_t n_slots;
	void (*freed)(void *user, struct slot *slot, int64_t now_ns);
	void *user;
	struct reconcile *reconcile; /* with `run_id`; NULL: calls are not marked */
	const char *run_id;
};

/* 0 or -ENOMEM; flight_deinit() is due after either. */
int flight_init(struct flight *flight, const struct flight_options *options);
void flight_deinit(struct flight *flight);

/*
 * Starts a call in this slot; it is counted as started. `intended_ns` -1: meant to start
 * when it does, and due then. False: no memory; the call has failed, and the slot is free.
 */
bool flight_start(struct flight *flight, struct slot *slot, const struct flight_part *part,
		  int64_t intended_ns, bool deferred);
/* Gives up all calls that run: they are unfinished. `freed` follows for each. */
void flight_cut(struct flight *flight);

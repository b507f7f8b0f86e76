/*
 * Every family that the daemon exposes, registered once: this fills the meter
 * structures of the layers, which only add to them. All children exist from the
 * start, so the set of lines never changes.
 */
#pragma once

#include "grpc/server.h"
#include "http2/session.h"
#include "metrics/process.h"
#include "metrics/registry.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/loop.h"
#include "service/echo.h"
#include "service/runs.h"
#include "web/routes.h"
#include "web/scrape.h"

struct meters_service;

/* The two doors; also the index of what is counted for each. */
enum meters_door { DOOR_GRPC, DOOR_METRICS, DOORS };
/* "grpc", "metrics": in labels, in the log, and as names of inherited sockets. */
extern const char *const door_names[DOORS];

struct meters_door_set {
	struct listener_meters listener;
	struct connection_meters connection;
	struct counter *refused_memory; /* accepted, and no memory for a connection */
};

/* The families of every method. */
struct meters_methods {
	struct family *started, *handled, *received, *sent, *handling;
};

struct meters {
	struct registry *registry;
	struct process_metrics *process;
	struct loop_meters loop;
	struct meters_door_set doors[DOORS];
	struct http2_meters http2;
	struct grpc_server_meters grpc;
	struct grpc_method_meters echo;
	struct echo_meters echo_service;
	struct counter delay_ns;
	struct exemplar latency_exemplars[HISTOGRAM_MAX_BOUNDS + 1];
	struct meters_methods methods;
	struct grpc_method_meters unknown; /* all that there are not, as one */
	struct meters_service *services;   /* of those added; each its own memory */
	/* For what is counted of every method and shown of Echo alone. */
	struct counter unshown_counter;
	struct gauge unshown_gauge;
	struct histogram unshown_histogram;
	struct runs_meters runs;
	struct web_meters web;
	struct counter *bad_observations;
	struct gauge *ready, *draining;
};

/*
 * 0, or -ENOMEM (call meters_deinit() then too). `loop` gives the time that it
 * idled, and must live until no scrape can come any more.
 */
int meters_init(struct meters *meters, const struct loop *loop);
void meters_deinit(struct meters *meters);

/*
 * Meters of a service's methods, in order, as grpc_server_add() wants them; NULL:
 * no memory. They live as long as `meters`. Not after the first scrape.
 */
const struct grpc_method_meters *meters_add_service(struct meters *meters,
						    const struct grpc_service *service);
/*
 * What rendering the latest page took; `scrape` must live as long as it can be asked for.
 * 0 or -ENOMEM. Not after the first scrape.
 */
int meters_add_scrape(struct meters *meters, const struct scrape *scrape);
/*
 * The ledger of what is done to calls on purpose, which shows what `faults` holds: it
 * must live until no scrape can come any more. 0 or -ENOMEM. Not after the first scrape.
 */
int meters_add_faults(struct meters *meters, struct faults *faults);

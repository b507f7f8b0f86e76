/*
 * A gRPC server on an ephemeral port of 127.0.0.1, until SIGTERM or SIGINT: the
 * least that it takes to let the world in. src/daemon/door.h is the full form.
 *
 *	host_init -> a grpc_server on the host's timers -> host_listen -> host_run
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "grpc/server.h"
#include "net/listener.h"
#include "net/loop.h"

struct host {
	struct loop *loop;
	struct grpc_server *server;
	struct listener *listener;
	struct loop_signal *terminate, *interrupt;
	struct list guests;
	uint64_t last_id;
	bool stopping;
};

void host_init(struct host *host);
/* The port. */
unsigned host_listen(struct host *host, struct grpc_server *server);
/* Returns when the signal came and everyone has left. */
void host_run(struct host *host);
void host_deinit(struct host *host);

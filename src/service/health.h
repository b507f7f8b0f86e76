/*
 * grpc.health.v1.Health: how the server and each of its services are. Check asks
 * once, Watch is told of every change, List asks for all.
 *
 * Whoever watches and does not read is told only of what holds when it reads
 * again. Watches are bounded as calls are.
 */
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "grpc/call.h"

#define HEALTH_MAX_SERVICES 16

/* As the published enumeration has them. */
enum health_status { HEALTH_UNKNOWN, HEALTH_SERVING, HEALTH_NOT_SERVING, HEALTH_SERVICE_UNKNOWN };

/* The context that grpc_server_add() is given. */
struct health {
	struct list watches;
	bool stopped;
	size_t n_services;
	struct health_entry {
		struct str service;
		enum health_status status;
	} services[HEALTH_MAX_SERVICES];
};

void health_init(struct health *health);
/*
 * Tells who watches it. `service` is borrowed for good; "" is the server as a
 * whole. What was not known before is from now on. No effect after
 * health_shutdown().
 */
void health_set(struct health *health, const char *service, enum health_status status);
/* Everything is NOT_SERVING, for good. */
void health_shutdown(struct health *health);

extern const struct grpc_service health_service;

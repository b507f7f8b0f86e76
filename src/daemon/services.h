/* What `echod serve` serves over gRPC, and how it is said to be. */
#pragma once

#include "base/random.h"
#include "daemon/config.h"
#include "daemon/meters.h"
#include "grpc/server.h"
#include "service/echo.h"
#include "service/health.h"
#include "service/interop.h"
#include "service/reflection.h"

struct services {
	struct echo_service echo;
	struct runs *runs; /* NULL: none are kept */
	struct health health;
	struct reflection reflection;
	struct interop interop;
};

/*
 * Adds everything to `server`, with a meter for each method. 0, or -ENOMEM (call
 * services_deinit() then too).
 */
int services_add(struct services *services, struct grpc_server *server, struct meters *meters,
		 const struct config *config, struct random *random);
void services_deinit(struct services *services);

/* Each of them, and the whole, is SERVING or is not; of no effect after services_stopping(). */
void services_set_health(struct services *services, const struct grpc_server *server,
			 enum health_status status);
/* None is any more; those who watch are told. */
void services_stopping(struct services *services);

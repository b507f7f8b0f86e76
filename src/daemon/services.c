#include "daemon/services.h"

#include <assert.h>
#include <errno.h>

static int add(struct services *services, struct grpc_server *server, struct meters *meters,
	       const struct grpc_service *service, void *context)
{
	const struct grpc_method_meters *counted = meters_add_service(meters, service);

	if (!counted) {
		return -ENOMEM;
	}
	reflection_add(&services->reflection, service->name);
	return grpc_server_add(server, service, context, counted);
}

int services_add(struct services *services, struct grpc_server *server, struct meters *meters,
		 const struct config *config, struct random *random)
{
	bool well_formed = reflection_init(&services->reflection, descriptor_set);
	int err;

	assert(well_formed);
	(void)well_formed;
	services->echo.allow_metadata_faults = config->allow_metadata_faults;
	meters_add_faults(meters, &services->echo.faults);
	services->echo.meters = meters->echo_service;
	faults_use(&services->echo.faults, &config->faults, random_next(random));
	if (config->echo_max_runs > 0) {
		services->runs = runs_new(config->echo_max_runs, &meters->runs);
		if (!services->runs) {
			return -ENOMEM;
		}
		services->echo.runs = services->runs;
	}
	health_init(&services->health);
	/* A call looks its method up in this order: the one that is fast comes first. */
	err = add(services, server, meters, &echo_service, &services->echo);
	if (err == 0) {
		err = add(services, server, meters, &health_service, &services->health);
	}
	if (err == 0) {
		err = add(services, server, meters, &reflection_service, &services->reflection);
	}
	if (err == 0) {
		err = add(services, server, meters, &reflection_v1alpha_service,
			  &services->reflection);
	}
	if (err == 0 && config->grpc_interop) {
		err = interop_init(&services->interop);
		if (err == 0) {
			err = add(services, server, meters, &interop_service, &services->interop);
		}
	}
	return err;
}

void services_deinit(struct services *services)
{
	interop_deinit(&services->interop);
	runs_free(services->runs);
}

void services_set_health(struct services *services, const struct grpc_server *server,
			 enum health_status status)
{
	const struct grpc_service *service;

	health_set(&services->health, "", status);
	for (size_t i = 0; (service = grpc_server_service(server, i)); i++) {
		health_set(&services->health, service->name, status);
	}
}

void services_stopping(struct services *services)
{
	health_shutdown(&services->health);
}

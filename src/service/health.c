/*
 * The happy path of a Watch: the request is in -> the state of that moment ->
 * each change -> the connection drains -> UNAVAILABLE, so that a watch, which has
 * no end of its own, holds up no drain.
 *
 * What can fail: memory for a message (the call is ended by it).
 */
#include "service/health.h"

#include <assert.h>

#include "base/utf8.h"
#include "health.pb-c.h"

/* The state of a Watch. */
struct watch {
	struct list node;
	struct grpc_call *call; /* NULL: the request is not in yet */
	struct str service;     /* in the request, which lives as long as the call */
	int told;               /* enum health_status, or -1 */
	bool full;              /* what was sent waits for the peer to read */
};

static struct str name_of(const Health__CheckRequest *request)
{
	return (struct str){ (const char *)request->service.data, request->service.len };
}

static struct health_entry *find(struct health *health, struct str service)
{
	for (size_t i = 0; i < health->n_services; i++) {
		if (str_equal(health->services[i].service, service)) {
			return &health->services[i];
		}
	}
	return NULL;
}

/* -- Watch -- */

static void tell(struct watch *watch, enum health_status status)
{
	Health__CheckResponse response = HEALTH__CHECK_RESPONSE__INIT;

	response.status = (Health__ServingStatus)status;
	watch->told = (int)status;
	watch->full = grpc_call_send(watch->call, &response) > 0;
}

static void update(struct health *health, struct watch *watch)
{
	const struct health_entry *entry = find(health, watch->service);
	enum health_status status = entry ? entry->status : HEALTH_SERVICE_UNKNOWN;

	if (!watch->full && (int)status != watch->told) {
		tell(watch, status);
	}
}

static void update_all(struct health *health)
{
	list_for_each (&health->watches, node) {
		update(health, container_of(node, struct watch, node));
	}
}

static void on_watch(struct grpc_call *call, const void *message)
{
	struct health *health = grpc_call_context(call);
	struct watch *watch = grpc_call_state(call);

	watch->call = call;
	watch->service = name_of(message);
	watch->told = -1;
	list_append(&health->watches, &watch->node);
	update(health, watch);
}

static void on_watch_writable(struct grpc_call *call)
{
	struct watch *watch = grpc_call_state(call);

	watch->full = false;
	update(grpc_call_context(call), watch);
}

static void on_watch_draining(struct grpc_call *call)
{
	struct watch *watch = grpc_call_state(call);

	if (watch->call) { /* the last word, even if the one before was not read yet */
		watch->full = false;
		update(grpc_call_context(call), watch);
	}
	grpc_call_finish(call, GRPC_UNAVAILABLE, "the connection is going away");
}

static void on_watch_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct watch *watch = grpc_call_state(call);

	(void)outcome;
	if (watch->call) {
		list_remove(&watch->node);
	}
}

/* -- Check, List -- */

static void on_check(struct grpc_call *call, const void *message)
{
	const struct health_entry *entry = find(grpc_call_context(call), name_of(message));
	Health__CheckResponse response = HEALTH__CHECK_RESPONSE__INIT;

	if (!entry) {
		grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service");
		return;
	}
	response.status = (Health__ServingStatus)entry->status;
	grpc_call_send(call, &response);
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_list(struct grpc_call *call, const void *message)
{
	const struct health *health = grpc_call_context(call);
	Health__ListResponse response = HEALTH__LIST_RESPONSE__INIT;
	Health__ListResponse__Entry entries[HEALTH_MAX_SERVICES], *pointers[HEALTH_MAX_SERVICES];
	Health__CheckResponse statuses[HEALTH_MAX_SERVICES];

	(void)message;
	for (size_t i = 0; i < health->n_services; i++) {
		union {
			const char *given;
			uint8_t *taken;
		} name = { .given = health->services[i].service.data };

		health__check_response__init(&statuses[i]);
		statuses[i].status = (Health__ServingStatus)health->services[i].status;
		health__list_response__entry__init(&entries[i]);
		entries[i].service.data = name.taken;
		entries[i].service.len = health->services[i].service.len;
		entries[i].response = &statuses[i];
		pointers[i] = &entries[i];
	}
	response.n_statuses = health->n_services;
	response.statuses = pointers;
	grpc_call_send(call, &response);
	grpc_call_finish(call, GRPC_OK, NULL);
}

/* The published message has a `string`. */
static bool valid(const void *message)
{
	return utf8_valid(name_of(message));
}

static const struct grpc_call_events check_events = { .message = on_check };
static const struct grpc_call_events list_events = { .message = on_list };
static const struct grpc_call_events watch_events = {
	.message = on_watch,
	.writable = on_watch_writable,
	.draining = on_watch_draining,
	.closed = on_watch_closed,
};

static const struct grpc_method methods[] = {
	{
		.name = "Check",
		.shape = GRPC_UNARY,
		.request = &health__check_request__descriptor,
		.response = &health__check_response__descriptor,
		.events = &check_events,
		.valid = valid,
	},
	{
		.name = "Watch",
		.shape = GRPC_SERVER_STREAM,
		.request = &health__check_request__descriptor,
		.response = &health__check_response__descriptor,
		.events = &watch_events,
		.state_size = sizeof(struct watch),
		.valid = valid,
	},
	{
		.name = "List",
		.shape = GRPC_UNARY,
		.request = &health__list_request__descriptor,
		.response = &health__list_response__descriptor,
		.events = &list_events,
	},
};

const struct grpc_service health_service = {
	.name = "grpc.health.v1.Health",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

void health_init(struct health *health)
{
	*health = (struct health){ 0 };
	list_init(&health->watches);
}

void health_set(struct health *health, const char *service, enum health_status status)
{
	struct health_entry *entry = find(health, str_from(service));

	if (health->stopped) {
		return;
	}
	if (!entry) {
		assert(health->n_services < HEALTH_MAX_SERVICES);
		entry = &health->services[health->n_services++];
		entry->service = str_from(service);
	}
	entry->status = status;
	update_all(health);
}

void health_shutdown(struct health *health)
{
	for (size_t i = 0; i < health->n_services; i++) {
		health->services[i].status = HEALTH_NOT_SERVING;
	}
	health->stopped = true;
	update_all(health);
}

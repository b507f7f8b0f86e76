#include "client/exporter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "metrics/process.h"
#include "net/connection.h"
#include "net/listener.h"
#include "web/routes.h"
#include "web/scrape.h"

#define BACKLOG 128
/* For scrapes that are under way at the end: a run does not wait for a slow scraper. */
#define GOODBYE_NS NS_PER_S

struct exporter {
	struct loop *loop;
	struct scrape scrape;
	struct process_metrics *process;
	struct route routes[1];
	struct web *web;
	struct listener *listener;
	struct connection_limits limits;
	struct list visitors; /* their connections */
	struct timer goodbye; /* active: closing, and they have so long to take their answers */
	char address[ADDRESS_TEXT_MAX];
};

struct visitor {
	struct list node;
	struct exporter *exporter;
	struct connection *connection;
};

static void on_goodbye_over(struct timer *timer)
{
	struct exporter *exporter = container_of(timer, struct exporter, goodbye);

	list_for_each (&exporter->visitors, node) {
		connection_close(container_of(node, struct visitor, node)->connection,
				 CONNECTION_CLOSED_LOCAL, 0);
	}
}

static void evict(void *host)
{
	connection_close(host, CONNECTION_CLOSED_LOCAL, 0);
}

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct visitor *visitor = user;

	return web_accept(visitor->exporter->web, evict, connection);
}

static void on_closed(void *user, struct connection *connection, enum connection_close_reason why,
		      int err)
{
	struct visitor *visitor = user;
	struct exporter *exporter = visitor->exporter;

	(void)connection;
	(void)why;
	(void)err;
	list_remove(&visitor->node);
	if (list_empty(&exporter->visitors)) {
		timer_stop(loop_timers(exporter->loop), &exporter->goodbye);
	}
	free(visitor);
}

static const struct connection_events visitor_events = {
	.ready = on_ready,
	.closed = on_closed,
};

/* A peer that comes when there is no memory, or at the very end. */
static void on_unserved_closed(void *user, int err)
{
	(void)user;
	(void)err;
}

static const struct transport_events unserved_events = { .closed = on_unserved_closed };

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *peer)
{
	struct exporter *exporter = user;
	struct visitor *visitor = exporter->listener ? calloc(1, sizeof(*visitor)) : NULL;

	(void)listener;
	(void)peer;
	if (!visitor) {
		transport_attach(transport, &unserved_events, NULL);
		transport_close(transport, 0);
		return;
	}
	visitor->exporter = exporter;
	visitor->connection = connection_new(exporter->loop, transport, &exporter->limits, NULL,
					     &visitor_events, visitor);
	if (!visitor->connection) {
		free(visitor);
		return;
	}
	list_append(&exporter->visitors, &visitor->node);
}

static void on_listener_closed(void *user, struct listener *listener)
{
	(void)user;
	(void)listener;
}

static const struct listener_events listener_events = {
	.accepted = on_accepted,
	.closed = on_listener_closed,
};

struct exporter *exporter_new(struct loop *loop, struct registry *registry,
			      const struct address_spec *address, char *why, size_t size)
{
	struct exporter *exporter = calloc(1, sizeof(*exporter));
	int err;

	if (!exporter) {
		snprintf(why, size, "out of memory");
		return NULL;
	}
	exporter->loop = loop;
	exporter->scrape.registry = registry;
	list_init(&exporter->visitors);
	timer_init(&exporter->goodbye, on_goodbye_over);
	exporter->limits = connection_default_limits;
	exporter->limits.write_stall_ns = web_default_limits.http1.write_timeout_ns;
	exporter->limits.linger_ns = 200 * NS_PER_MS;
	exporter->routes[0] =
		(struct route){ .path = "/metrics", .get = scrape_get, .user = &exporter->scrape };
	exporter->process = process_metrics_new(registry);
	exporter->web = web_new(exporter->routes, ARRAY_SIZE(exporter->routes), &web_default_limits,
				NULL, loop_timers(loop));
	if (!exporter->process || !exporter->web) {
		snprintf(why, size, "out of memory");
		exporter_free(exporter);
		return NULL;
	}
	err = listener_open(loop, address, BACKLOG, NULL, &listener_events, exporter,
			    &exporter->listener);
	if (err < 0) {
		char text[ADDRESS_TEXT_MAX];

		address_spec_format(address, text, sizeof(text));
		snprintf(why, size, "cannot listen on %s: %s", text, net_strerror(err));
		exporter_free(exporter);
		return NULL;
	}
	address_format(listener_address(exporter->listener), exporter->address);
	return exporter;
}

const char *exporter_address(const struct exporter *exporter)
{
	return exporter->address;
}

void exporter_close(struct exporter *exporter)
{
	if (!exporter->listener) {
		return;
	}
	listener_close(exporter->listener);
	exporter->listener = NULL;
	if (!list_empty(&exporter->visitors)) {
		timer_start(loop_timers(exporter->loop), &exporter->goodbye, GOODBYE_NS);
	}
	list_for_each (&exporter->visitors, node) {
		connection_drain(container_of(node, struct visitor, node)->connection,
				 ENGINE_DRAIN_GRACEFUL);
	}
}

void exporter_free(struct exporter *exporter)
{
	if (!exporter) {
		return;
	}
	assert(list_empty(&exporter->visitors) && !exporter->listener);
	web_free(exporter->web);
	process_metrics_free(exporter->process);
	free(exporter);
}

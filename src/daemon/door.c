#include "daemon/door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel cuts it down to net.core.somaxconn, 4096 since Linux 5.4. */
#define BACKLOG 4096

struct port {
	struct list node;
	struct door *door;
	struct listener *listener;
};

/* -- Connections -- */

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct guest *guest = user;
	struct door *door = guest->door;

	(void)connection;
	struct engine *engine = door->events->serve(door->user, guest);

	if (engine && door->draining) {
		/* The connection has its engine once this returns: it is told then. */
		loop_schedule(door->options.house->loop, &door->drain_task);
	}
	return engine;
}

static const char *const reasons[CONNECTION_CLOSE_REASONS] = {
	[CONNECTION_CLOSED_PEER] = "closed by the peer",
	[CONNECTION_CLOSED_DONE] = "done",
	[CONNECTION_CLOSED_ERROR] = "error",
	[CONNECTION_CLOSED_TIMEOUT] = "timed out",
	[CONNECTION_CLOSED_LOCAL] = "closed here",
};

static void log_closed(struct door *door, const struct guest *guest,
		       enum connection_close_reason why, int err)
{
	uint64_t suppressed = 0;

	if (!log_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	if (why != CONNECTION_CLOSED_ERROR && why != CONNECTION_CLOSED_TIMEOUT) {
		log_debug("connection closed", LOG_STR("listener", door->options.name),
			  LOG_STR("peer", guest->address), LOG_STR("reason", reasons[why]));
		return;
	}
	if (log_allowed(&door->trouble, timers_now(loop_timers(door->options.house->loop)),
			&suppressed)) {
		log_debug("connection failed", LOG_STR("listener", door->options.name),
			  LOG_STR("peer", guest->address), LOG_STR("reason", reasons[why]),
			  LOG_STR("err", err ? net_strerror(err) : "none"),
			  LOG_INT("suppressed", suppressed));
	}
}

static void on_connection_closed(void *user, struct connection *connection,
				 enum connection_close_reason why, int err)
{
	struct guest *guest = user;
	struct door *door = guest->door;

	(void)connection;
	log_closed(door, guest, why, err);
	list_remove(&guest->node);
	free(guest);
	door->n_guests--;
	door->options.house->guests--;
	door->events->changed(door->user);
}

static const struct connection_events connection_events = { on_ready, on_connection_closed };

/* -- Newcomers -- */

static void ignore(void *user)
{
	(void)user;
}

static void ignore_data(void *user, const uint8_t *bytes, size_t n)
{
	(void)user;
	(void)bytes;
	(void)n;
}

static void ignore_closed(void *user, int err)
{
	(void)user;
	(void)err;
}

static void turn_away(struct transport *transport, int err)
{
	static const struct transport_events events = {
		.ready = ignore,
		.data = ignore_data,
		.drained = ignore,
		.eof = ignore,
		.closed = ignore_closed,
	};

	transport_attach(transport, &events, NULL);
	transport_close(transport, err);
}

static struct guest *guest_new(struct door *door, const struct address *peer)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(peer, text);

	size_t size = strlen(text) + 1;
	struct guest *guest = calloc(1, sizeof(*guest) + size);

	if (!guest) {
		return NULL;
	}
	memcpy(guest->address, text, size);
	list_init(&guest->node);
	guest->door = door;
	guest->peer.id = ++door->options.house->last_id;
	guest->peer.address = guest->address;
	return guest;
}

static void evict_oldest(struct door *door)
{
	struct guest *oldest = container_of(door->guests.next, struct guest, node);

	/* It leaves the list's front at once, so that the next newcomer costs another. */
	list_remove(&oldest->node);
	list_append(&door->guests, &oldest->node);
	connection_close(oldest->connection, CONNECTION_CLOSED_LOCAL, 0);
}

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *peer)
{
	struct door *door = ((struct port *)user)->door;
	struct door_house *house = door->options.house;

	(void)listener;
	if (door->aborting) {
		turn_away(transport, 0);
		return;
	}
	struct guest *guest = guest_new(door, peer);

	if (!guest) {
		counter_increment(door->options.meters->refused_memory);
		turn_away(transport, -ENOMEM);
		return;
	}
	guest->connection =
		connection_new(house->loop, transport, &door->options.limits,
			       &door->options.meters->connection, &connection_events, guest);
	if (!guest->connection) {
		counter_increment(door->options.meters->refused_memory);
		free(guest);
		return;
	}
	if (door->options.evicts && house->guests >= door->options.max_house_guests &&
	    !list_empty(&door->guests)) {
		evict_oldest(door);
	}
	list_append(&door->guests, &guest->node);
	door->n_guests++;
	house->guests++;
	log_debug("connection accepted", LOG_STR("listener", door->options.name),
		  LOG_STR("peer", guest->address));
	door_update(door);
}

static void on_listener_closed(void *user, struct listener *listener)
{
	struct port *port = user;
	struct door *door = port->door;

	(void)listener;
	list_remove(&port->node);
	free(port);
	door->events->changed(door->user);
}

static const struct listener_events listener_events = { on_accepted, on_listener_closed };

/* -- The door -- */

static void on_drain_task(struct loop_task *task)
{
	struct door *door = container_of(task, struct door, drain_task);

	list_for_each (&door->guests, node) {
		struct guest *guest = container_of(node, struct guest, node);

		if (guest->drained < door->draining && connection_engine(guest->connection)) {
			guest->drained = door->draining;
			connection_drain(guest->connection,
					 (enum engine_drain)(door->draining - 1));
		}
	}
}

void door_init(struct door *door, const struct door_options *options,
	       const struct door_events *events, void *user)
{
	*door = (struct door){
		.options = *options,
		.events = events,
		.user = user,
		.trouble = { .interval_ns = NS_PER_S, .burst = 10, .left = 10 },
		.full = { .interval_ns = 60 * NS_PER_S, .burst = 1, .left = 1 },
	};
	list_init(&door->ports);
	list_init(&door->guests);
	loop_task_init(&door->drain_task, on_drain_task);
}

static struct port *port_new(struct door *door)
{
	struct port *port = calloc(1, sizeof(*port));

	if (port) {
		list_init(&port->node);
		port->door = door;
	}
	return port;
}

static int port_opened(struct port *port, int err)
{
	if (err < 0) {
		free(port);
		return err;
	}
	list_append(&port->door->ports, &port->node);
	if (port->door->options.user_timeout_ns > 0) {
		listener_set_user_timeout(port->listener, port->door->options.user_timeout_ns);
	}
	return 0;
}

static int open_address(struct door *door, const struct address_spec *spec)
{
	struct port *port = port_new(door);

	if (!port) {
		return -ENOMEM;
	}
	return port_opened(port, listener_open(door->options.house->loop, spec, BACKLOG,
					       &door->options.meters->listener, &listener_events,
					       port, &port->listener));
}

static int adopt_socket(struct door *door, int fd)
{
	struct port *port = port_new(door);

	if (!port) {
		return -ENOMEM;
	}
	return port_opened(port, listener_adopt(door->options.house->loop, fd,
						&door->options.meters->listener, &listener_events,
						port, &port->listener));
}

static int cannot_listen(const struct door *door, const char *address, int err)
{
	log_error("cannot listen", LOG_STR("listener", door->options.name),
		  LOG_STR("address", address), LOG_STR("err", net_strerror(err)));
	return err;
}

/* How many, or negative errno. */
static int adopt_all(struct door *door, struct systemd *systemd)
{
	int adopted = 0;

	for (size_t i = 0; i < systemd->n_sockets; i++) {
		struct systemd_socket *inherited = &systemd->sockets[i];
		char address[32];
		int err;

		if (strcmp(inherited->name, door->options.name) != 0) {
			continue;
		}
		snprintf(address, sizeof(address), "fd:%d", inherited->fd);
		err = adopt_socket(door, inherited->fd);
		inherited->fd = -1; /* the listener's, or closed */
		if (err < 0) {
			return cannot_listen(door, address, err);
		}
		adopted++;
	}
	return adopted;
}

static int open_text(struct door *door, const char *text)
{
	struct address_spec spec;
	char why[128];
	int err = address_parse(text, NULL, &spec, why, sizeof(why));

	if (err == 0) {
		err = open_address(door, &spec);
	}
	return err < 0 ? cannot_listen(door, text, err) : 0;
}

int door_listen(struct door *door, struct systemd *systemd, const struct option_strings *addresses)
{
	int adopted = adopt_all(door, systemd);
	char everywhere[16];

	if (adopted < 0) {
		return adopted;
	}
	if (adopted == 0 && addresses->n == 0) {
		snprintf(everywhere, sizeof(everywhere), ":%s", door->options.default_port);
		return open_text(door, everywhere);
	}
	for (size_t i = 0; i < addresses->n; i++) {
		int err = open_text(door, addresses->items[i]);

		if (err < 0) {
			return err;
		}
	}
	return 0;
}

void door_addresses(const struct door *door, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	list_for_each (&door->ports, node) {
		char address[ADDRESS_TEXT_MAX];

		address_format(listener_address(container_of(node, struct port, node)->listener),
			       address);
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "",
					 address);
		if (used >= size) {
			return;
		}
	}
}

void door_update(struct door *door)
{
	/* Where another gives way, one may be in beyond the bounds until that other has left. */
	size_t more = door->options.evicts;
	bool full = door->n_guests >= door->options.max_guests + more ||
		    door->options.house->guests >= door->options.max_house_guests + more;

	if (full == door->paused) {
		return;
	}
	door->paused = full;
	list_for_each (&door->ports, node) {
		listener_pause(container_of(node, struct port, node)->listener, full);
	}
	if (full && !door->options.evicts &&
	    log_allowed(&door->full, timers_now(loop_timers(door->options.house->loop)), NULL)) {
		log_warn("too many connections, accepting pauses",
			 LOG_STR("listener", door->options.name),
			 LOG_INT("connections", door->n_guests));
	}
}

void door_close(struct door *door)
{
	list_for_each_safe (&door->ports, node) {
		listener_close(container_of(node, struct port, node)->listener);
	}
}

void door_drain(struct door *door, enum engine_drain how)
{
	door->draining = MAX(door->draining, 1 + (int)how);
	loop_schedule(door->options.house->loop, &door->drain_task);
}

void door_abort(struct door *door)
{
	door->aborting = true;
	list_for_each (&door->guests, node) {
		connection_close(container_of(node, struct guest, node)->connection,
				 CONNECTION_CLOSED_LOCAL, 0);
	}
}

bool door_empty(const struct door *door)
{
	return list_empty(&door->ports) && list_empty(&door->guests);
}

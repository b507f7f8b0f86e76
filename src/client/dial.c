#include "client/dial.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/transport_stream.h"

/* How long a peer may take over what is left to say to it when the client is done. */
#define GOODBYE_NS NS_PER_S

/* One connection: being made, in use, or draining. */
struct link {
	struct list node;
	struct dialer *dialer;
	struct connection *connection;
	struct grpc_peer peer;
	bool attached; /* the channel has its engine */
	char address[ADDRESS_TEXT_MAX];
};

static void on_step(struct loop_task *task);
static void on_goodbye_over(struct timer *timer);

int dial_resolve(struct dial_target *target, const struct address_spec *spec, const char *text,
		 int64_t timeout_ns, char *why, size_t size)
{
	int n = address_resolve(spec, false, target->addresses, DIAL_MAX_ADDRESSES);

	if (n <= 0) {
		snprintf(why, size, "cannot resolve %s: %s", text,
			 n < 0 ? net_strerror(n) : "it has no address");
		return -1;
	}
	target->text = text;
	target->meters = NULL;
	target->n = (size_t)n;
	target->limits = connection_default_limits;
	/* An address that never answers must leave time for the next. */
	target->limits.connect_ns = MAX(timeout_ns / n, NS_PER_MS);
	/* Nobody waits for a server that leaves the connection half open. */
	target->limits.linger_ns = 200 * NS_PER_MS;
	return 0;
}

void dialer_init(struct dialer *dialer, struct loop *loop, const struct dial_target *target,
		 uint64_t *next_peer_id, const struct dialer_events *events, void *user)
{
	*dialer = (struct dialer){
		.loop = loop,
		.target = target,
		.events = events,
		.user = user,
		.next_peer_id = next_peer_id,
		.reasons = BUFFER_INIT,
	};
	list_init(&dialer->links);
	loop_task_init(&dialer->step, on_step);
	timer_init(&dialer->goodbye, on_goodbye_over);
}

/* `address` did not connect: note why, go on with the next. */
static void address_failed(struct dialer *dialer, const char *address, int err)
{
	const char *between = buffer_len(&dialer->reasons) ? "; " : "";

	/* Without memory the text is shorter, and nothing else changes. */
	(void)buffer_printf(&dialer->reasons, "%s%s: %s", between, address, net_strerror(err));
	dialer->err = err;
	dialer->next++;
	if (!dialer->closing) {
		loop_schedule(dialer->loop, &dialer->step);
	}
}

static void free_link(struct link *link)
{
	struct dialer *dialer = link->dialer;

	list_remove(&link->node);
	free(link);
	if (list_empty(&dialer->links)) {
		timer_stop(loop_timers(dialer->loop), &dialer->goodbye);
	}
}

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct link *link = user;
	struct dialer *dialer = link->dialer;
	struct engine *engine;

	(void)connection;
	if (dialer->closing) {
		return NULL;
	}
	engine = grpc_channel_attach(dialer->channel, &link->peer);
	if (!engine) {
		return NULL;
	}
	link->attached = true;
	dialer->n_attached++;
	dialer->dialing = false;
	if (dialer->events->connected) {
		dialer->events->connected(dialer->user);
	}
	return engine;
}

static void on_closed(void *user, struct connection *connection, enum connection_close_reason why,
		      int err)
{
	struct link *link = user;

	(void)connection;
	if (link->attached) {
		link->dialer->n_attached--;
	} else {
		if (err == 0) {
			err = why == CONNECTION_CLOSED_TIMEOUT ? -ETIMEDOUT : -ECONNRESET;
		}
		address_failed(link->dialer, link->address, err);
	}
	free_link(link);
}

static const struct connection_events connection_events = {
	.ready = on_ready,
	.closed = on_closed,
};

/* 0: the outcome follows from the loop. Negative errno: nothing was started. */
static int try_address(struct dialer *dialer, const struct address *address)
{
	struct link *link = calloc(1, sizeof(*link));
	struct transport *transport;
	int err;

	if (!link) {
		return -ENOMEM;
	}
	link->dialer = dialer;
	address_format(address, link->address);
	link->peer = (struct grpc_peer){ .id = ++*dialer->next_peer_id, .address = link->address };
	list_append(&dialer->links, &link->node);
	err = transport_stream_connect(dialer->loop, address, &transport);
	if (err < 0) {
		free_link(link);
		return err;
	}
	link->connection = connection_new(dialer->loop, transport, &dialer->target->limits,
					  dialer->target->meters, &connection_events, link);
	if (!link->connection) {
		free_link(link);
		return -ENOMEM;
	}
	return 0;
}

static void give_up(struct dialer *dialer)
{
	struct buffer text = BUFFER_INIT;
	struct bytes reasons = buffer_bytes(&dialer->reasons);
	struct str why = STR("cannot connect");

	if (dialer->target->n == 1
		    ? buffer_append(&text, reasons.data, reasons.len) == 0
		    : buffer_printf(&text, "%s: none of %zu addresses answers: %.*s",
				    dialer->target->text, dialer->target->n, (int)reasons.len,
				    (const char *)reasons.data) == 0) {
		why = (struct str){ (const char *)buffer_bytes(&text).data, buffer_len(&text) };
	}
	dialer->dialing = false;
	if (dialer->events->failed) {
		dialer->events->failed(dialer->user, why);
	}
	grpc_channel_connect_failed(dialer->channel, dialer->err, why);
	buffer_free(&text);
}

/* Tries the next address, or reports that there is none left. */
static void on_step(struct loop_task *task)
{
	struct dialer *dialer = container_of(task, struct dialer, step);
	const struct dial_target *target = dialer->target;
	char text[ADDRESS_TEXT_MAX];
	int err;

	if (dialer->next >= target->n) {
		give_up(dialer);
		return;
	}
	err = try_address(dialer, &target->addresses[dialer->next]);
	if (err < 0) {
		address_format(&target->addresses[dialer->next], text);
		address_failed(dialer, text, err);
	}
}

void dialer_dial(struct dialer *dialer)
{
	if (dialer->dialing || dialer->closing) {
		return;
	}
	dialer->dialing = true;
	dialer->next = 0;
	buffer_clear(&dialer->reasons);
	loop_schedule(dialer->loop, &dialer->step);
}

static void on_goodbye_over(struct timer *timer)
{
	dialer_close(container_of(timer, struct dialer, goodbye), true);
}

void dialer_close(struct dialer *dialer, bool abort)
{
	dialer->closing = true;
	loop_unschedule(&dialer->step);
	if (!list_empty(&dialer->links) && !abort) {
		timer_start(loop_timers(dialer->loop), &dialer->goodbye, GOODBYE_NS);
	}
	list_for_each (&dialer->links, node) {
		struct link *link = container_of(node, struct link, node);

		if (abort || !link->attached) {
			connection_close(link->connection, CONNECTION_CLOSED_LOCAL, 0);
		} else {
			connection_drain(link->connection, ENGINE_DRAIN_GRACEFUL);
		}
	}
}

void dialer_deinit(struct dialer *dialer)
{
	assert(list_empty(&dialer->links));
	loop_unschedule(&dialer->step);
	buffer_free(&dialer->reasons);
}

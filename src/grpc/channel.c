/*
 * The happy path: grpc_channel_call() puts a call into the waiting list; pump()
 * gives it a stream as soon as a connection is ready and has room; the request
 * is queued on it; headers, message and trailers come back; the stream closes,
 * and with it the call.
 *
 *	waiting --pump--> running --stream closed--> closed
 *	   ^                 |
 *	   +--unprocessed----+   (GOAWAY or REFUSED_STREAM: sent anew)
 *
 * A connection counts as made once the peer's SETTINGS are in: one that dies
 * before was no server, and the calls that waited for it fail unprocessed.
 *
 * What can fail: no connection, its loss, the deadline, an answer that breaks
 * the wire contract. What is due to the caller but may not be delivered from
 * inside its own call waits for `kick`, a timer that is due at once.
 */
#include "grpc/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "grpc/channel_p.h"

#define DEFAULT_MAX_MESSAGE (4 * MIB)

/* Calls kept for reuse. */
#define MAX_FREE_CALLS 1024

void grpc_channel_kick(struct grpc_channel *channel)
{
	if (!timer_active(&channel->kick)) {
		timer_start(channel->options.timers, &channel->kick, 0);
	}
}

static void kill_all_waiting(struct grpc_channel *channel, enum grpc_status status, struct str why)
{
	while (!list_empty(&channel->waiting)) {
		grpc_channel_call_kill(container_of(channel->waiting.next, struct grpc_call, node),
				       status, why);
	}
}

static void pump(struct grpc_channel *channel)
{
	struct grpc_connection *current = channel->current;
	size_t room = current && current->ready ? http2_session_room(current->session) : 0;

	while (room-- > 0 && !list_empty(&channel->waiting)) {
		grpc_channel_call_start(container_of(channel->waiting.next, struct grpc_call, node),
					current);
	}
	if (!list_empty(&channel->waiting) && !channel->current && !channel->connecting) {
		grpc_channel_kick(channel);
	}
}

/* Calls */

void grpc_channel_release_call(struct grpc_call *call)
{
	struct grpc_channel *channel = call->channel;

	grpc_call_end(call);
	channel->n_calls--;
	if (channel->n_free < MAX_FREE_CALLS) {
		list_prepend(&channel->free_calls, &call->node);
		channel->n_free++;
	} else {
		grpc_call_free(call);
	}
}

/* Connections */

static void session_ready(void *user)
{
	struct grpc_connection *connection = user;
	struct grpc_channel *channel = connection->channel;

	connection->ready = true;
	if (channel->current == connection) {
		channel->connecting = false;
		pump(channel);
	}
}

static void session_goaway(void *user, uint32_t last_id, uint32_t code, struct str debug)
{
	struct grpc_connection *connection = user;
	struct grpc_channel *channel = connection->channel;

	(void)last_id;
	(void)code;
	(void)debug;
	if (channel->current == connection) {
		channel->current = NULL;
		pump(channel);
	}
}

static void session_room(void *user)
{
	struct grpc_connection *connection = user;

	if (connection->channel->current == connection) {
		pump(connection->channel);
	}
}

static void session_closed(void *user, int err)
{
	struct grpc_connection *connection = user;
	struct grpc_channel *channel = connection->channel;
	bool was_ready = connection->ready;

	list_remove(&connection->node);
	if (channel->current == connection) {
		channel->current = NULL;
	}
	free(connection);
	if (!was_ready) {
		grpc_channel_connect_failed(channel, err,
					    STR("the server closed the connection before it spoke "
						"HTTP/2"));
	}
	if (channel->events->disconnected) {
		channel->events->disconnected(channel->user, channel, was_ready, err);
	}
	pump(channel);
}

static const struct http2_session_events session_events = {
	.ready = session_ready,
	.goaway = session_goaway,
	.room = session_room,
	.closed = session_closed,
};

struct engine *grpc_channel_attach(struct grpc_channel *channel, const struct grpc_peer *peer)
{
	struct grpc_connection *connection = calloc(1, sizeof(*connection));
	struct http2_options options = {
		.limits = channel->options.http2,
		.meters = channel->options.meters ? channel->options.meters->http2 : NULL,
		.timers = channel->options.timers,
		.pool = &channel->pool,
	};

	if (!connection) {
		return NULL;
	}
	connection->channel = channel;
	connection->peer = peer;
	connection->session = http2_session_new(&options, &session_events, connection);
	if (!connection->session) {
		free(connection);
		return NULL;
	}
	list_append(&channel->connections, &connection->node);
	channel->current = connection;
	grpc_channel_kick(channel);
	return http2_session_engine(connection->session);
}

void grpc_channel_connect_failed(struct grpc_channel *channel, int err, struct str why)
{
	(void)err;
	channel->connecting = false;
	kill_all_waiting(channel, GRPC_UNAVAILABLE, why);
}

/* The channel */

static void drain_connections(struct grpc_channel *channel)
{
	list_for_each (&channel->connections, node) {
		struct grpc_connection *connection =
			container_of(node, struct grpc_connection, node);
		struct engine *engine = http2_session_engine(connection->session);

		engine->ops->drain(engine, ENGINE_DRAIN_GRACEFUL);
	}
	kill_all_waiting(channel, GRPC_UNAVAILABLE, STR("the channel is closing"));
}

static void on_kick(struct timer *timer)
{
	struct grpc_channel *channel = container_of(timer, struct grpc_channel, kick);
	struct list dead = LIST_INIT(dead);
	struct list *node;

	if (channel->draining) {
		drain_connections(channel);
	}
	list_splice(&dead, &channel->dead);
	while ((node = list_pop(&dead))) {
		grpc_channel_call_close(container_of(node, struct grpc_call, node),
					GRPC_FROM_TRANSPORT);
	}
	if (!list_empty(&channel->waiting) && !channel->current && !channel->connecting) {
		channel->connecting = true;
		channel->events->connect_wanted(channel->user, channel);
	}
}

struct grpc_channel *grpc_channel_new(const struct grpc_channel_options *options,
				      const struct grpc_channel_events *events, void *user)
{
	struct grpc_channel *channel = calloc(1, sizeof(*channel));

	if (!channel) {
		return NULL;
	}
	channel->options = *options;
	channel->events = events;
	channel->user = user;
	channel->authority = str_from(options->authority);
	channel->user_agent = str_from(options->user_agent);
	channel->side.max_message =
		options->max_message_bytes ? options->max_message_bytes : DEFAULT_MAX_MESSAGE;
	channel->side.max_send_message = options->max_send_message_bytes;
	list_init(&channel->waiting);
	list_init(&channel->dead);
	list_init(&channel->connections);
	list_init(&channel->free_calls);
	timer_init(&channel->kick, on_kick);
	pool_init(&channel->pool, GRPC_POOLED_BYTES);
	return channel;
}

void grpc_channel_free(struct grpc_channel *channel)
{
	struct list *node;

	if (!channel) {
		return;
	}
	assert(list_empty(&channel->connections) && channel->n_calls == 0);
	timer_stop(channel->options.timers, &channel->kick);
	while ((node = list_pop(&channel->free_calls))) {
		struct grpc_call *call = container_of(node, struct grpc_call, node);

		grpc_call_free(call);
	}
	codec_deinit(&channel->side.codec);
	pool_deinit(&channel->pool);
	free(channel);
}

static struct grpc_call *take_call(struct grpc_channel *channel)
{
	struct list *node = list_pop(&channel->free_calls);
	struct grpc_call *call;

	if (node) {
		channel->n_free--;
		return container_of(node, struct grpc_call, node);
	}
	call = calloc(1, sizeof(*call));
	if (call) {
		list_init(&call->node);
		timer_init(&call->deadline, grpc_channel_call_on_deadline);
		call->channel = channel;
		call->side = &channel->side;
	}
	return call;
}

/* ":path", and the caller's metadata. 0 or -ENOMEM, -EINVAL. */
static int prepare(struct grpc_call *call, const struct grpc_call_options *options)
{
	struct str service = str_from(call->each.service->name);
	struct str method = str_from(call->each.method->name);
	int rv = 0;

	call->path_len = service.len + method.len + 2;
	call->path = arena_alloc(&call->arena, call->path_len);
	if (!call->path) {
		return -ENOMEM;
	}
	call->path[0] = '/';
	memcpy(call->path + 1, service.data, service.len);
	call->path[service.len + 1] = '/';
	memcpy(call->path + service.len + 2, method.data, method.len);
	for (const struct metadata_entry *entry = options ? options->metadata : NULL;
	     entry && rv == 0; entry = entry->next) {
		rv = grpc_call_add_header(call, entry->name, entry->value);
	}
	return rv;
}

struct grpc_call *grpc_channel_call(struct grpc_channel *channel,
				    const struct grpc_service *service,
				    const struct grpc_method *method,
				    const struct grpc_call_events *events,
				    const struct grpc_call_options *options, void *user)
{
	struct grpc_call *call = take_call(channel);

	if (!call) {
		return NULL;
	}
	grpc_call_begin(call, channel->options.timers, timers_now(channel->options.timers),
			channel->side.max_message + GRPC_UNPACK_OVERHEAD);
	call->connection = NULL;
	call->each.service = service;
	call->each.method = method;
	call->each.events = events;
	call->each.context = user;
	channel->n_calls++;
	list_append(&channel->waiting, &call->node);
	if (prepare(call, options) < 0) {
		grpc_channel_call_kill(call, GRPC_INTERNAL,
				       STR("the call's metadata cannot be sent"));
		return call;
	}
	if (channel->draining) {
		grpc_channel_call_kill(call, GRPC_UNAVAILABLE, STR("the channel is closing"));
		return call;
	}
	if (options && options->timeout_ns != 0) {
		timer_start(channel->options.timers, &call->deadline, options->timeout_ns);
	}
	pump(channel);
	return call;
}

void grpc_channel_drain(struct grpc_channel *channel)
{
	channel->draining = true;
	grpc_channel_kick(channel);
}

/*
 * The happy path: grpc_channel_call() puts a call into the waiting list; pump()
 * gives it a stream as soon as a connection is ready and has room; the request
 * is queued on it; headers, messages and trailers come back; the stream closes,
 * and with it the call.
 *
 *	waiting --pump--> running --stream closed--> closed
 *	   ^                 |
 *	   +--unprocessed----+   (GOAWAY or REFUSED_STREAM: sent anew)
 *
 * What can fail: no connection (channel_connect.c), its loss, the deadline, an
 * answer that breaks the wire contract (channel_call.c). What is due to the
 * caller but may not be delivered from inside its own call waits for `kick`, a
 * timer that is due at once.
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

void grpc_channel_kill_waiting(struct grpc_channel *channel, bool all, struct str why,
			       enum grpc_origin origin)
{
	struct list *next;

	for (struct list *node = channel->waiting.next; node != &channel->waiting; node = next) {
		struct grpc_call *call = container_of(node, struct grpc_call, node);

		next = node->next;
		if (all || !call->each.wait_for_ready) {
			grpc_channel_call_kill(call, GRPC_UNAVAILABLE, why, origin);
		}
	}
}

/* True: this one had not been counted. */
static bool found_full(struct list *node)
{
	struct grpc_call *call = container_of(node, struct grpc_call, node);

	if (call->each.found_full) {
		return false;
	}
	call->each.found_full = true;
	meter_count(call->channel->meters->stream_waits);
	return true;
}

/*
 * Of the calls that wait, those that have been counted are side by side: newcomers are
 * behind them, and what is sent anew before them. So nobody is looked at twice in vain.
 */
static void count_stream_waits(struct grpc_channel *channel)
{
	struct list *end = &channel->waiting, *node = end->next;

	while (node != end && found_full(node)) {
		node = node->next;
	}
	node = end->prev;
	while (node != end && found_full(node)) {
		node = node->prev;
	}
}

void grpc_channel_pump(struct grpc_channel *channel)
{
	struct grpc_link *link = channel->current;
	size_t room = link && link->ready ? http2_session_room(link->connection.session) : 0;

	while (room-- > 0 && !list_empty(&channel->waiting)) {
		grpc_channel_call_start(container_of(channel->waiting.next, struct grpc_call, node),
					link);
	}
	if (!list_empty(&channel->waiting) && link && link->ready &&
	    http2_session_full(link->connection.session)) {
		count_stream_waits(channel);
	}
	if (channel->state == GRPC_CHANNEL_IDLE && !list_empty(&channel->waiting)) {
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

/* The channel */

static void deliver_due(struct grpc_channel *channel)
{
	struct list due = LIST_INIT(due);
	struct list *node;

	list_splice(&due, &channel->due);
	while ((node = list_pop(&due))) {
		grpc_channel_call_due(container_of(node, struct grpc_call, node));
	}
}

static void on_kick(struct timer *timer)
{
	struct grpc_channel *channel = container_of(timer, struct grpc_channel, kick);

	if (channel->draining || channel->retiring) {
		grpc_channel_drain_links(channel);
	}
	if (channel->draining) {
		timer_stop(channel->options.timers, &channel->backoff);
		grpc_channel_kill_waiting(channel, true, STR("the channel is closing"),
					  GRPC_FROM_HERE);
	}
	deliver_due(channel);
	if (channel->told != channel->state) {
		channel->told = channel->state;
		if (channel->events->state_changed) {
			channel->events->state_changed(channel->user, channel,
						       grpc_channel_state(channel));
		}
	}
	grpc_channel_connect(channel);
}

struct grpc_channel *grpc_channel_new(const struct grpc_channel_options *options,
				      const struct grpc_channel_events *events, void *user)
{
	static const struct grpc_channel_meters no_meters;
	struct grpc_channel *channel = calloc(1, sizeof(*channel));

	if (!channel) {
		return NULL;
	}
	channel->options = *options;
	channel->http2 = options->http2 ? *options->http2 : http2_default_limits;
	channel->meters = options->meters ? options->meters : &no_meters;
	channel->events = events;
	channel->user = user;
	channel->authority = str_from(options->authority);
	channel->user_agent = str_from(options->user_agent);
	channel->side.max_message =
		options->max_message_bytes ? options->max_message_bytes : DEFAULT_MAX_MESSAGE;
	channel->side.max_send_message = options->max_send_message_bytes;
	list_init(&channel->waiting);
	list_init(&channel->due);
	list_init(&channel->free_calls);
	timer_init(&channel->kick, on_kick);
	grpc_channel_connect_init(channel);
	pool_init(&channel->pool, GRPC_POOLED_BYTES);
	return channel;
}

void grpc_channel_free(struct grpc_channel *channel)
{
	struct list *node;

	if (!channel) {
		return;
	}
	assert(list_empty(&channel->links) && channel->n_calls == 0);
	timer_stop(channel->options.timers, &channel->kick);
	timer_stop(channel->options.timers, &channel->backoff);
	while ((node = list_pop(&channel->free_calls))) {
		struct grpc_call *call = container_of(node, struct grpc_call, node);

		grpc_call_free(call);
	}
	codec_deinit(&channel->side.codec);
	buffer_free(&channel->last_error);
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
		if (rv == 0 && entry->once) {
			container_of(call->each.sending.end, struct metadata_entry, next)->once =
				true;
		}
	}
	return rv;
}

/* Calls that need not wait to know how they end. True: this is one. */
static bool refuse(struct grpc_call *call)
{
	struct grpc_channel *channel = call->channel;

	if (channel->draining) {
		grpc_channel_call_kill(call, GRPC_UNAVAILABLE, STR("the channel is closing"),
				       GRPC_FROM_HERE);
		return true;
	}
	if (channel->state == GRPC_CHANNEL_TRANSIENT_FAILURE && !call->each.wait_for_ready) {
		grpc_channel_call_kill(call, GRPC_UNAVAILABLE, grpc_channel_last_error(channel),
				       GRPC_FROM_TRANSPORT);
		return true;
	}
	return false;
}

/* False: it has passed already, and nothing of the call goes onto the wire. */
static bool begin_deadline(struct grpc_call *call, const struct grpc_call_options *options)
{
	if (!options || options->timeout_ns == 0) {
		return true;
	}
	if (options->timeout_ns < 0) {
		grpc_channel_call_kill(call, GRPC_DEADLINE_EXCEEDED,
				       STR("the deadline had passed before the call began"),
				       GRPC_FROM_HERE);
		return false;
	}
	if (__builtin_add_overflow(call->each.started_ns, options->timeout_ns,
				   &call->each.deadline_ns)) {
		call->each.deadline_ns = INT64_MAX;
	}
	timer_start_at(call->timers, &call->deadline, call->each.deadline_ns);
	return true;
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
	if (options) {
		call->each.wait_for_ready = options->wait_for_ready;
		call->each.gzip_announced = call->each.compress = options->gzip;
	}
	if (prepare(call, options) < 0) {
		grpc_channel_call_kill(call, GRPC_INTERNAL,
				       STR("the call's metadata cannot be sent"), GRPC_FROM_HERE);
	} else if (!refuse(call) && begin_deadline(call, options)) {
		call->each.just_begun = true;
		grpc_channel_pump(channel);
		call->each.just_begun = false;
	}
	return call;
}

void grpc_channel_drain(struct grpc_channel *channel)
{
	channel->draining = true;
	grpc_channel_kick(channel);
}

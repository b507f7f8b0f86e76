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
#include <stdio.h>
#include <stdlib.h>

#include "grpc/call_p.h"
#include "grpc/connection_p.h"
#include "grpc/wire.h"

#define DEFAULT_MAX_MESSAGE (4 * MIB)

/* Blocks of nghttp2 that wait to be used again. */
#define MAX_POOLED_BYTES (4 * MIB)

/* Calls kept for reuse. */
#define MAX_FREE_CALLS 1024

struct grpc_channel {
	struct grpc_channel_options options;
	const struct grpc_channel_events *events;
	void *user;
	struct str authority, user_agent;
	size_t max_message;
	struct list waiting; /* calls without a stream */
	struct list dead;    /* calls that ended without one: `closed` is due */
	struct list connections;
	struct grpc_connection *current; /* takes new calls once it is ready */
	struct list free_calls;
	size_t n_free, n_calls;
	struct pool pool; /* nghttp2's small blocks */
	struct timer kick;
	bool connecting; /* from connect_wanted until ready or failure */
	bool draining;
};

static const struct http2_stream_events stream_events;

static void kick(struct grpc_channel *channel)
{
	if (!timer_active(&channel->kick)) {
		timer_start(channel->options.timers, &channel->kick, 0);
	}
}

/* The end of a call */

static void settle(struct grpc_call *call, enum grpc_status status, struct str why)
{
	if (!call->each.finished) {
		call->each.finished = true;
		call->each.settled = true;
		call->each.status = status;
		call->each.status_message = arena_str(&call->arena, why);
	}
}

static void close_call(struct grpc_call *call, enum grpc_origin origin)
{
	struct grpc_channel *channel = call->channel;
	struct grpc_outcome outcome = {
		.status = (enum grpc_status)call->each.status,
		.message = call->each.status_message,
		.trailers = &call->each.trailers,
		.origin = origin,
		.unprocessed = call->each.unprocessed,
	};

	timer_stop(call->timers, &call->deadline);
	if (!outcome.message.data) {
		outcome.message.len = 0;
	}
	if (call->each.events->closed) {
		call->each.events->closed(call, &outcome);
	}
	grpc_call_end(call);
	channel->n_calls--;
	if (channel->n_free < MAX_FREE_CALLS) {
		list_prepend(&channel->free_calls, &call->node);
		channel->n_free++;
	} else {
		buffer_free(&call->stream.out);
		buffer_free(&call->request);
		free(call);
	}
}

/* Ends a call that has no stream; `closed` comes from kick. */
static void kill_waiting(struct grpc_call *call, enum grpc_status status, struct str why)
{
	settle(call, status, why);
	call->each.unprocessed = true;
	list_remove(&call->node);
	list_append(&call->channel->dead, &call->node);
	kick(call->channel);
}

/* Ends a call that may have a stream, for a reason found here. */
static void fail(struct grpc_call *call, enum grpc_status status, struct str why)
{
	if (call->each.finished) {
		return;
	}
	if (!call->connection) {
		kill_waiting(call, status, why);
		return;
	}
	settle(call, status, why);
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
}

static void on_deadline(struct timer *timer)
{
	fail(container_of(timer, struct grpc_call, deadline), GRPC_DEADLINE_EXCEEDED,
	     STR("deadline exceeded"));
}

static void kill_all_waiting(struct grpc_channel *channel, enum grpc_status status, struct str why)
{
	while (!list_empty(&channel->waiting)) {
		kill_waiting(container_of(channel->waiting.next, struct grpc_call, node), status,
			     why);
	}
}

/* Requests */

static int send_headers(struct grpc_call *call, struct http2_session *session)
{
	struct grpc_channel *channel = call->channel;
	struct grpc_fields fields;
	char timeout[16];
	int rv = grpc_fields_init(&fields, call);

	if (rv < 0) {
		return rv;
	}
	grpc_fields_add(&fields, STR(":method"), STR("POST"), true);
	grpc_fields_add(&fields, STR(":scheme"), STR("http"), true);
	grpc_fields_add(&fields, STR(":path"), (struct str){ call->path, call->path_len }, false);
	grpc_fields_add(&fields, STR(":authority"), channel->authority, true);
	grpc_fields_add(&fields, STR("te"), STR("trailers"), true);
	if (timer_active(&call->deadline)) {
		int64_t left = call->deadline.due_ns - timers_now(call->timers);
		size_t n = grpc_timeout_format(MAX(left, 1), timeout);

		grpc_fields_add(&fields, STR("grpc-timeout"), (struct str){ timeout, n }, false);
	}
	grpc_fields_add(&fields, STR("content-type"), STR("application/grpc+proto"), true);
	grpc_fields_add(&fields, STR("user-agent"), channel->user_agent, true);
	grpc_fields_add(&fields, STR("grpc-accept-encoding"), STR("identity"), true);
	grpc_fields_metadata(&fields, &call->each.sending);
	return http2_stream_request(session, &call->stream, fields.fields, fields.n);
}

/* Gives a waiting call a stream, with all that it has to say so far. */
static void start(struct grpc_call *call, struct grpc_connection *connection)
{
	int rv;

	http2_stream_init(&call->stream, &stream_events);
	rv = send_headers(call, connection->session);
	if (rv < 0) {
		kill_waiting(call, grpc_status_from_errno(rv), STR("the request cannot be sent"));
		return;
	}
	list_remove(&call->node);
	call->connection = connection;
	if (buffer_len(&call->request) > 0) {
		struct bytes request = buffer_bytes(&call->request);

		if (buffer_append(http2_stream_out(&call->stream), request.data, request.len) < 0) {
			fail(call, GRPC_RESOURCE_EXHAUSTED, STR("out of memory for the request"));
			return;
		}
	}
	if (call->each.half_closed) {
		(void)http2_stream_finish(&call->stream, NULL, 0);
	}
}

static void pump(struct grpc_channel *channel)
{
	struct grpc_connection *current = channel->current;
	size_t room = current && current->ready ? http2_session_room(current->session) : 0;

	while (room-- > 0 && !list_empty(&channel->waiting)) {
		start(container_of(channel->waiting.next, struct grpc_call, node), current);
	}
	if (!list_empty(&channel->waiting) && !channel->current && !channel->connecting) {
		kick(channel);
	}
}

int grpc_channel_call_send(struct grpc_call *call, const void *message)
{
	size_t before = buffer_len(&call->request), n;
	int rv;

	if (call->each.finished || call->each.half_closed) {
		return -ECANCELED;
	}
	rv = grpc_call_pack(call, call->each.method->request, message, &call->request);
	if (rv < 0) {
		fail(call, GRPC_RESOURCE_EXHAUSTED, STR("out of memory for the request"));
		return rv;
	}
	if (!call->connection) {
		return 0;
	}
	n = buffer_len(&call->request) - before;
	rv = buffer_append(http2_stream_out(&call->stream), buffer_data(&call->request) + before,
			   n);
	if (rv < 0) {
		fail(call, GRPC_RESOURCE_EXHAUSTED, STR("out of memory for the request"));
		return rv;
	}
	return http2_stream_wrote(&call->stream);
}

void grpc_channel_call_half_close(struct grpc_call *call)
{
	if (!call->each.half_closed && !call->each.finished) {
		call->each.half_closed = true;
		if (call->connection) {
			(void)http2_stream_finish(&call->stream, NULL, 0);
		}
	}
}

void grpc_channel_call_cancel(struct grpc_call *call, enum grpc_status status)
{
	fail(call, status, STR("cancelled by the caller"));
}

/* Responses */

static void on_status(struct grpc_call *call, struct str value)
{
	struct grpc_head *head = &call->each.head;
	int status = 0;

	head->has_status = true;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9' || status > 9999) {
			status = -1;
			break;
		}
		status = status * 10 + (value.data[i] - '0');
	}
	head->status = value.len > 0 ? status : -1;
}

static void on_message_text(struct grpc_call *call, struct str value)
{
	struct buffer text = BUFFER_INIT;

	if (grpc_message_decode(value, &text) == 0) {
		call->each.head.message =
			arena_str(&call->arena, (struct str){ (const char *)buffer_data(&text),
							      buffer_len(&text) });
	}
	buffer_free(&text);
}

static void on_header(struct http2_stream *stream, struct str name, struct str value)
{
	struct grpc_call *call = grpc_call_of(stream);
	struct grpc_head *head = &call->each.head;

	if (stream->block == HTTP2_INFORMATIONAL || name.len == 0) {
		return;
	}
	if (str_equal(name, STR(":status"))) {
		head->http_status = 0;
		for (size_t i = 0; i < value.len && i < 3; i++) {
			head->http_status = head->http_status * 10 + (value.data[i] - '0');
		}
	} else if (str_equal(name, STR("content-type"))) {
		head->content = grpc_content_parse(value);
	} else if (str_equal(name, STR("grpc-status"))) {
		on_status(call, value);
	} else if (str_equal(name, STR("grpc-message"))) {
		on_message_text(call, value);
	} else if (str_equal(name, STR("grpc-encoding"))) {
		head->encoding_unknown = !str_equal(value, STR("identity"));
	} else {
		/* what is no base64, or finds no room, is left out */
		(void)metadata_receive(&call->each.trailers, &call->arena, name, value);
	}
}

static void fail_http(struct grpc_call *call)
{
	const struct grpc_head *head = &call->each.head;
	char why[96];

	if (head->http_status != 200) {
		snprintf(why, sizeof(why), "the server answered with HTTP status %d",
			 head->http_status);
	} else {
		snprintf(why, sizeof(why), "the server's answer is not gRPC (content-type)");
	}
	fail(call, grpc_status_from_http(head->http_status), str_from(why));
}

/* The response's first block; anything gRPC-like in it but metadata counts only in Trailers-Only. */
static void on_response(struct grpc_call *call, bool end_stream)
{
	struct grpc_head *head = &call->each.head;
	bool grpc = head->content == GRPC_CONTENT_PLAIN || head->content == GRPC_CONTENT_PROTO;

	call->each.response_seen = true;
	if (end_stream) {
		return;
	}
	if (head->content == GRPC_CONTENT_UNKNOWN_CODEC) {
		fail(call, GRPC_INTERNAL, STR("the response has an unknown codec"));
		return;
	}
	if (head->http_status != 200 || !grpc) {
		fail_http(call);
		return;
	}
	head->has_status = false;
	head->message = (struct str){ 0 };
	call->each.received = call->each.trailers;
	call->each.trailers = (struct metadata){ 0 };
	if (call->each.events->opened) {
		call->each.events->opened(call);
	}
}

static void on_headers_done(struct http2_stream *stream, enum http2_block kind, bool end_stream,
			    bool too_large)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (call->each.finished) {
		return;
	}
	if (too_large) {
		fail(call, GRPC_RESOURCE_EXHAUSTED,
		     STR("the server's header list is larger than the limit"));
	} else if (kind == HTTP2_INFORMATIONAL) {
		if (end_stream) {
			fail(call, GRPC_INTERNAL,
			     STR("an informational response ended the stream"));
		}
	} else if (kind == HTTP2_RESPONSE && !call->each.response_seen) {
		on_response(call, end_stream);
	} else if (!end_stream) {
		fail(call, GRPC_INTERNAL, STR("headers in the middle of the response"));
	}
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t n)
{
	struct grpc_call *call = grpc_call_of(stream);
	enum grpc_status status;
	const char *why = NULL;

	if (call->each.finished) {
		return;
	}
	status = grpc_call_receive(call, (struct bytes){ bytes, n }, call->channel->max_message,
				   call->each.method->response, &why);
	if (status != GRPC_OK) {
		fail(call, status, str_from(why));
		return;
	}
	if (!deframer_idle(&call->deframer)) {
		http2_stream_consume(stream, n);
	}
}

/* The status that the trailers carry, judged with what came before them. */
static enum grpc_status final_status(struct grpc_call *call, struct str *ret_why)
{
	const struct grpc_head *head = &call->each.head;

	*ret_why = head->message;
	if (!head->has_status) {
		if (head->http_status != 200) {
			*ret_why = STR("the server answered without a gRPC status");
			return grpc_status_from_http(head->http_status);
		}
		*ret_why = STR("the response ended without a gRPC status");
		return GRPC_UNKNOWN;
	}
	if (head->status < 0 || head->status >= GRPC_STATUS_COUNT) {
		if (!head->message.data) {
			*ret_why = STR("the server's grpc-status is not one");
		}
		return GRPC_UNKNOWN;
	}
	if (head->status != GRPC_OK) {
		return (enum grpc_status)head->status;
	}
	if (!deframer_idle(&call->deframer)) {
		*ret_why = STR("the response ended inside a message");
		return GRPC_INTERNAL;
	}
	if (call->each.n_messages != 1) {
		*ret_why = call->each.n_messages == 0
				   ? STR("no message in the response of a unary call")
				   : STR("more than one message in the response of a unary call");
		return GRPC_UNIMPLEMENTED;
	}
	return GRPC_OK;
}

static void on_ended(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);
	enum grpc_status status;
	struct str why;

	if (call->each.finished) {
		return;
	}
	if (stream->block != HTTP2_TRAILERS && !call->each.head.has_status &&
	    call->each.head.http_status == 200) {
		status = GRPC_INTERNAL;
		why = STR("the response ended without trailers");
	} else {
		status = final_status(call, &why);
	}
	call->each.finished = true;
	call->each.status = status;
	call->each.status_message = arena_str(&call->arena, why);
	if (status == GRPC_OK && call->each.events->message) {
		call->each.events->message(call, grpc_call_received_message(call));
	}
	if (http2_stream_open(stream) && !stream->local_ended && !stream->finishing) {
		http2_stream_reset(stream, HTTP2_NO_ERROR); /* the server needs no more from us */
	}
}

static void on_writable(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished && call->each.events->writable) {
		call->each.events->writable(call);
	}
}

/* Never seen by the server's application: goes back to wait. False: it did so once already. */
static bool send_anew(struct grpc_call *call)
{
	struct grpc_call_each *each = &call->each;

	if ((each->retried && !call->stream.unsent) || call->channel->draining) {
		return false;
	}
	each->retried = each->retried || !call->stream.unsent;
	each->head = (struct grpc_head){ 0 };
	each->received = each->trailers = (struct metadata){ 0 };
	each->response_seen = false;
	each->n_messages = 0;
	each->message = NULL;
	deframer_free(&call->deframer);
	call->connection = NULL;
	list_prepend(&call->channel->waiting, &call->node);
	kick(call->channel);
	return true;
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
	struct grpc_call *call = grpc_call_of(stream);
	enum grpc_origin origin = GRPC_FROM_PEER;
	char why[80];

	if (call->each.finished) {
		close_call(call, call->each.settled ? GRPC_FROM_HERE : GRPC_FROM_PEER);
		return;
	}
	if (stream->origin == HTTP2_CLOSED_GOAWAY ||
	    (stream->origin == HTTP2_CLOSED_BY_PEER && code == HTTP2_REFUSED_STREAM)) {
		if (send_anew(call)) {
			return;
		}
		call->each.unprocessed = true;
		settle(call, GRPC_UNAVAILABLE, STR("the server refused the call unprocessed"));
	} else if (stream->origin == HTTP2_CLOSED_TRANSPORT) {
		origin = GRPC_FROM_TRANSPORT;
		settle(call, GRPC_UNAVAILABLE, STR("the connection was lost"));
	} else {
		bool by_peer = stream->origin == HTTP2_CLOSED_BY_PEER;

		snprintf(why, sizeof(why), "the stream was reset %s with %s",
			 by_peer ? "by the server" : "here", http2_error_name(code));
		origin = by_peer ? GRPC_FROM_PEER : GRPC_FROM_HERE;
		settle(call, grpc_status_from_http2(code), str_from(why));
	}
	close_call(call, origin);
}

static const struct http2_stream_events stream_events = {
	.header = on_header,
	.headers_done = on_headers_done,
	.data = on_data,
	.ended = on_ended,
	.writable = on_writable,
	.closed = on_closed,
};

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
		.meters = channel->options.meters,
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
	kick(channel);
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
		close_call(container_of(node, struct grpc_call, node), GRPC_FROM_TRANSPORT);
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
	channel->max_message =
		options->max_message_bytes ? options->max_message_bytes : DEFAULT_MAX_MESSAGE;
	list_init(&channel->waiting);
	list_init(&channel->dead);
	list_init(&channel->connections);
	list_init(&channel->free_calls);
	timer_init(&channel->kick, on_kick);
	pool_init(&channel->pool, MAX_POOLED_BYTES);
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

		buffer_free(&call->stream.out);
		buffer_free(&call->request);
		free(call);
	}
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
		timer_init(&call->deadline, on_deadline);
		call->channel = channel;
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
			channel->max_message + GRPC_UNPACK_OVERHEAD);
	call->connection = NULL;
	call->each.service = service;
	call->each.method = method;
	call->each.events = events;
	call->each.context = user;
	channel->n_calls++;
	list_append(&channel->waiting, &call->node);
	if (prepare(call, options) < 0) {
		kill_waiting(call, GRPC_INTERNAL, STR("the call's metadata cannot be sent"));
		return call;
	}
	if (channel->draining) {
		kill_waiting(call, GRPC_UNAVAILABLE, STR("the channel is closing"));
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
	kick(channel);
}

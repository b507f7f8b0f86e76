/*
 * A call at the calling end, once it is asked for: its request, what comes
 * back, and how it ends.
 *
 * What can fail: no connection, its loss, the deadline, an answer that breaks
 * the wire contract. A call that the server's application never saw (GOAWAY,
 * REFUSED_STREAM) goes back to wait.
 */
#include <errno.h>
#include <stdio.h>

#include "grpc/channel_p.h"
#include "grpc/wire.h"

static const struct http2_stream_events stream_events;

/* The end of a call */

void grpc_channel_call_settle(struct grpc_call *call, enum grpc_status status, struct str why)
{
	if (!call->each.finished) {
		call->each.finished = true;
		call->each.settled = true;
		call->each.status = status;
		call->each.status_message = arena_str(&call->arena, why);
	}
}

void grpc_channel_call_close(struct grpc_call *call, enum grpc_origin origin)
{
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
	grpc_channel_release_call(call);
}

void grpc_channel_call_kill(struct grpc_call *call, enum grpc_status status, struct str why)
{
	grpc_channel_call_settle(call, status, why);
	call->each.unprocessed = true;
	list_remove(&call->node);
	list_append(&call->channel->dead, &call->node);
	grpc_channel_kick(call->channel);
}

/* Ends a call that may have a stream, for a reason found here. */
static void fail(struct grpc_call *call, enum grpc_status status, struct str why)
{
	if (call->each.finished) {
		return;
	}
	if (!call->connection) {
		grpc_channel_call_kill(call, status, why);
		return;
	}
	grpc_channel_call_settle(call, status, why);
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
}

void grpc_channel_call_on_deadline(struct timer *timer)
{
	fail(container_of(timer, struct grpc_call, deadline), GRPC_DEADLINE_EXCEEDED,
	     STR("deadline exceeded"));
}

/* Requests */

static int send_headers(struct grpc_call *call, struct http2_session *session)
{
	struct grpc_channel *channel = call->channel;
	struct grpc_fields fields;
	char timeout[16];
	int rv = grpc_fields_init(&fields, call, call->each.sending.n);

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

void grpc_channel_call_start(struct grpc_call *call, struct grpc_connection *connection)
{
	int rv;

	http2_stream_init(&call->stream, &stream_events);
	rv = send_headers(call, connection->session);
	if (rv < 0) {
		grpc_channel_call_kill(call, grpc_status_from_errno(rv),
				       STR("the request cannot be sent"));
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

int grpc_channel_call_send(struct grpc_call *call, const void *message)
{
	size_t before = buffer_len(&call->request), n;
	int rv;

	if (call->each.finished || call->each.half_closed) {
		return -ECANCELED;
	}
	rv = grpc_call_pack(call, message, &call->request);
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

void grpc_channel_call_wake(struct grpc_call *call)
{
	http2_stream_wake_later(&call->stream);
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
		head->encoding = grpc_encoding_parse(value);
	} else {
		/* what is no base64, or finds no room, is left out */
		(void)metadata_receive(&call->each.trailers, &call->arena, name, value);
	}
}

static bool is_grpc(const struct grpc_head *head)
{
	return head->content == GRPC_CONTENT_PLAIN || head->content == GRPC_CONTENT_PROTO;
}

/* What is wrong with an answer in plain HTTP, or in none that is known. */
static struct str http_fault(struct grpc_call *call)
{
	const struct grpc_head *head = &call->each.head;
	char why[96];

	if (head->http_status == 200) {
		return STR("the server's answer is not gRPC (content-type)");
	}
	snprintf(why, sizeof(why), "the server answered with HTTP status %d", head->http_status);
	return arena_str(&call->arena, str_from(why));
}

/*
 * The response's first block; anything gRPC-like in it but metadata counts only in
 * Trailers-Only.
 */
static void on_response(struct grpc_call *call, bool end_stream)
{
	struct grpc_head *head = &call->each.head;

	call->each.response_seen = true;
	if (end_stream) {
		return;
	}
	if (head->content == GRPC_CONTENT_UNKNOWN_CODEC) {
		fail(call, GRPC_INTERNAL, STR("the response has an unknown codec"));
		return;
	}
	if (head->http_status != 200 || !is_grpc(head)) {
		fail(call, grpc_status_from_http(head->http_status), http_fault(call));
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
	status = grpc_call_receive(call, (struct bytes){ bytes, n }, &why);
	if (status != GRPC_OK) {
		fail(call, status, str_from(why));
	}
}

/* A grpc-status that is none, with its number where it has one. */
static struct str status_fault(struct grpc_call *call)
{
	const struct grpc_head *head = &call->each.head;
	char why[160];

	if (head->status < 0) {
		return head->message.data ? head->message
					  : STR("the server's grpc-status is not a number");
	}
	snprintf(why, sizeof(why), "unknown grpc-status %d%s%.*s", head->status,
		 head->message.len > 0 ? ": " : "", (int)MIN(head->message.len, (size_t)100),
		 head->message.len > 0 ? head->message.data : "");
	return arena_str(&call->arena, str_from(why));
}

/* What an END_STREAM without grpc-status says. */
static enum grpc_status status_missing(struct grpc_call *call, struct str *ret_why)
{
	const struct grpc_head *head = &call->each.head;

	if (head->http_status != 200 || !is_grpc(head)) {
		*ret_why = http_fault(call);
		return grpc_status_from_http(head->http_status);
	}
	if (call->stream.block != HTTP2_TRAILERS) {
		*ret_why = STR("the response ended without trailers");
		return GRPC_INTERNAL;
	}
	*ret_why = STR("the response ended without a gRPC status");
	return GRPC_UNKNOWN;
}

/* The status that the trailers carry, judged with what came before them. */
static enum grpc_status final_status(struct grpc_call *call, struct str *ret_why)
{
	const struct grpc_head *head = &call->each.head;

	if (!head->has_status) {
		return status_missing(call, ret_why);
	}
	if (head->status < 0 || head->status >= GRPC_STATUS_COUNT) {
		*ret_why = status_fault(call);
		return GRPC_UNKNOWN;
	}
	*ret_why = head->message;
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
	status = final_status(call, &why);
	call->each.finished = true;
	call->each.status = status;
	call->each.status_message = arena_str(&call->arena, why);
	if (status == GRPC_OK && call->each.events->message) {
		call->each.events->message(call, grpc_call_the_message(call));
	}
	if (!stream->local_ended) {
		/* the server needs no more from us, and may never give credit for it */
		http2_stream_reset(stream, HTTP2_NO_ERROR);
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
	call->connection = NULL;
	list_prepend(&call->channel->waiting, &call->node);
	grpc_channel_kick(call->channel);
	return true;
}

/* The server says so by closing the stream; one that has begun to answer cannot mean it. */
static bool is_unprocessed(const struct grpc_call *call, uint32_t code)
{
	const struct http2_stream *stream = &call->stream;

	return !call->each.response_seen &&
	       (stream->origin == HTTP2_CLOSED_GOAWAY ||
		(stream->origin == HTTP2_CLOSED_BY_PEER && code == HTTP2_REFUSED_STREAM));
}

/* By RST_STREAM, without a status. */
static void settle_reset(struct grpc_call *call, bool by_peer, uint32_t code)
{
	char why[80];

	if (by_peer && code == HTTP2_CANCEL && timer_active(&call->deadline) &&
	    call->deadline.due_ns <= timers_now(call->timers)) {
		/* the server watches the deadline, too, and was first to act on it */
		grpc_channel_call_settle(call, GRPC_DEADLINE_EXCEEDED, STR("deadline exceeded"));
		return;
	}
	snprintf(why, sizeof(why), "the stream was reset %s with %s",
		 by_peer ? "by the server" : "here", http2_error_name(code));
	grpc_channel_call_settle(call, grpc_status_from_http2(code), str_from(why));
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
	struct grpc_call *call = grpc_call_of(stream);
	enum grpc_origin origin = GRPC_FROM_PEER;

	if (call->each.finished) {
		grpc_channel_call_close(call, call->each.settled ? GRPC_FROM_HERE : GRPC_FROM_PEER);
		return;
	}
	if (is_unprocessed(call, code)) {
		if (send_anew(call)) {
			return;
		}
		call->each.unprocessed = true;
		grpc_channel_call_settle(call, GRPC_UNAVAILABLE,
					 STR("the server refused the call unprocessed"));
	} else if (stream->origin == HTTP2_CLOSED_TRANSPORT) {
		origin = GRPC_FROM_TRANSPORT;
		grpc_channel_call_settle(call, GRPC_UNAVAILABLE, STR("the connection was lost"));
	} else {
		bool by_peer = stream->origin == HTTP2_CLOSED_BY_PEER;

		origin = by_peer ? GRPC_FROM_PEER : GRPC_FROM_HERE;
		settle_reset(call, by_peer, code);
	}
	grpc_channel_call_close(call, origin);
}

static const struct http2_stream_events stream_events = {
	.header = on_header,
	.headers_done = on_headers_done,
	.data = on_data,
	.ended = on_ended,
	.writable = on_writable,
	.closed = on_closed,
};

/*
 * A call at the calling end: its request, and how it ends. What comes back is
 * channel_response.c's.
 *
 * The request's bytes are kept beside the stream that sends them until the
 * response begins, or until they are more than GRPC_RETRY_BYTES: so a call that
 * the server's application never saw (GOAWAY, REFUSED_STREAM, or its headers had
 * not left) goes back to wait, and is sent anew.
 */
#include <errno.h>
#include <stdio.h>

#include "grpc/channel_p.h"
#include "grpc/wire.h"

/* How long the end of a response is waited for whose status is known already. */
#define HEAR_NS (500 * NS_PER_MS)

static const struct http2_stream_events stream_events;

/* Capacity of the kept request that stays once its content is of no more use. */
#define REQUEST_KEEP_BYTES 512

/* The end of a call */

void grpc_channel_call_settle(struct grpc_call *call, enum grpc_status status, struct str why,
			      enum grpc_origin origin)
{
	if (!call->each.finished) {
		call->each.finished = true;
		call->each.settled = true;
		call->each.ended_ns = timers_now(call->timers);
		call->each.origin = (uint8_t)origin;
		call->each.status = status;
		call->each.status_message = arena_str(&call->arena, why);
	}
}

static void close_call(struct grpc_call *call)
{
	struct grpc_outcome outcome = {
		.status = (enum grpc_status)call->each.status,
		.message = call->each.status_message,
		.trailers = &call->each.trailers,
		.details = call->each.details,
		.origin = call->each.settled ? (enum grpc_origin)call->each.origin : GRPC_FROM_PEER,
		.unprocessed = call->each.unprocessed,
	};

	list_remove(&call->node);
	timer_stop(call->timers, &call->deadline);
	if (!outcome.message.data) {
		outcome.message.len = 0;
	}
	if (call->each.events->closed) {
		call->each.events->closed(call, &outcome);
	}
	grpc_channel_release_call(call);
}

/* From kick, soon: `closed`, or what is due before it. */
static void due(struct grpc_call *call)
{
	if (list_empty(&call->node)) {
		list_append(&call->channel->due, &call->node);
		grpc_channel_kick(call->channel);
	}
}

void grpc_channel_call_due(struct grpc_call *call)
{
	if (!call->each.finished) {
		grpc_channel_response_go_on(call);
	}
	if (call->each.finished) {
		close_call(call);
	}
}

void grpc_channel_call_kill(struct grpc_call *call, enum grpc_status status, struct str why,
			    enum grpc_origin origin)
{
	grpc_channel_call_settle(call, status, why, origin);
	call->each.unprocessed = true;
	list_remove(&call->node);
	due(call);
}

void grpc_channel_call_fail(struct grpc_call *call, enum grpc_status status, struct str why,
			    enum http2_error code)
{
	if (call->each.finished) {
		if (call->each.hearing) {
			http2_stream_reset(&call->stream, code);
		}
		return;
	}
	if (!call->connection && !call->each.stream_gone) {
		grpc_channel_call_kill(call, status, why, GRPC_FROM_HERE);
		return;
	}
	grpc_channel_call_settle(call, status, why, GRPC_FROM_HERE);
	grpc_call_receive_stop(call);
	if (call->each.stream_gone) {
		due(call);
	} else {
		http2_stream_reset(&call->stream, code);
	}
}

void grpc_channel_call_fail_at_end(struct grpc_call *call, enum grpc_status status, struct str why)
{
	int64_t until_ns = timers_now(call->timers) + HEAR_NS;

	if (timer_active(&call->deadline)) {
		until_ns = MIN(until_ns, call->deadline.due_ns);
	}
	grpc_channel_call_settle(call, status, why, GRPC_FROM_HERE);
	call->each.hearing = true;
	timer_start_at(call->timers, &call->deadline, until_ns);
}

/* The deadline of a call that has no stream: what it waited for is what went wrong. */
static void expire_waiting(struct grpc_call *call)
{
	struct grpc_channel *channel = call->channel;
	struct str error = grpc_channel_last_error(channel);
	char why[256];

	if (channel->state == GRPC_CHANNEL_READY) {
		grpc_channel_call_kill(call, GRPC_DEADLINE_EXCEEDED,
				       STR("deadline exceeded before the server admitted another "
					   "stream"),
				       GRPC_FROM_HERE);
		return;
	}
	if (channel->current) {
		snprintf(why, sizeof(why),
			 "deadline exceeded: the server took the connection, and spoke no HTTP/2 "
			 "in time");
	} else {
		snprintf(why, sizeof(why), "deadline exceeded before there was a connection%s%.*s",
			 error.len > 0 ? ": " : "", (int)MIN(error.len, (size_t)180),
			 error.len > 0 ? error.data : "");
	}
	grpc_channel_call_kill(call, GRPC_DEADLINE_EXCEEDED, str_from(why), GRPC_FROM_TRANSPORT);
}

void grpc_channel_call_on_deadline(struct timer *timer)
{
	struct grpc_call *call = container_of(timer, struct grpc_call, deadline);

	if (!call->connection && !call->each.stream_gone && !call->each.finished) {
		expire_waiting(call);
	} else {
		grpc_channel_call_give_up(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	}
}

/* Requests */

/*
 * Where it need not wait, all of it: no look at the clock, and calls with the same timeout
 * say the same, of which HPACK makes one byte.
 */
static int64_t time_left(const struct grpc_call *call)
{
	return call->deadline.due_ns -
	       (call->each.just_begun ? call->each.started_ns : timers_now(call->timers));
}

/* Mostly that of the call before. Good until the next. */
static struct str timeout_text(struct grpc_channel *channel, int64_t ns)
{
	struct grpc_timeout_text *last = &channel->last_timeout;

	if (last->ns != ns) {
		last->ns = ns;
		last->len = grpc_timeout_format(ns, last->text);
	}
	return (struct str){ last->text, last->len };
}

/* 0, -ENOMEM, -EINVAL; -ETIME: its deadline has passed, and nothing was started. */
static int send_headers(struct grpc_call *call, struct http2_session *session)
{
	struct grpc_channel *channel = call->channel;
	struct grpc_fields fields;
	int rv = grpc_fields_init(&fields, call, call->each.sending.n);

	if (rv < 0) {
		return rv;
	}
	grpc_fields_add(&fields, STR(":method"), STR("POST"), true);
	grpc_fields_add(&fields, STR(":scheme"), STR("http"), true);
	grpc_fields_add(&fields, STR(":path"), (struct str){ call->path, call->path_len }, false);
	grpc_fields_add(&fields, STR(":authority"), channel->authority, true);
	if (timer_active(&call->deadline)) {
		int64_t left = time_left(call);

		if (left <= 0) {
			return -ETIME;
		}
		grpc_fields_add(&fields, STR("grpc-timeout"), timeout_text(channel, left), false);
	}
	grpc_fields_add(&fields, STR("te"), STR("trailers"), true);
	grpc_fields_add(&fields, STR("content-type"), STR("application/grpc+proto"), true);
	grpc_fields_add(&fields, STR("user-agent"), channel->user_agent, true);
	if (call->each.gzip_announced) {
		grpc_fields_add(&fields, STR("grpc-encoding"), STR("gzip"), true);
	}
	grpc_fields_add(&fields, STR("grpc-accept-encoding"), STR("identity,gzip"), true);
	grpc_fields_metadata(&fields, &call->each.sending);
	return http2_stream_request(session, &call->stream, fields.fields, fields.n);
}

/* Its server has begun to answer, or it is too large to be kept: no second attempt. */
void grpc_channel_call_commit(struct grpc_call *call)
{
	call->each.committed = true;
	buffer_trim(&call->request, REQUEST_KEEP_BYTES);
}

/* What was said before there was a stream. 0 or -ENOMEM. */
static int send_kept(struct grpc_call *call)
{
	struct buffer *out = http2_stream_out(&call->stream);
	int rv = 0;

	if (buffer_len(&call->request) > GRPC_RETRY_BYTES) {
		buffer_swap(out, &call->request);
		grpc_channel_call_commit(call);
	} else {
		rv = buffer_append(out, buffer_data(&call->request), buffer_len(&call->request));
	}
	if (rv == 0) {
		rv = http2_stream_wrote(&call->stream);
	}
	return MIN(rv, 0); /* above its high water? So the caller was told: see keep() */
}

void grpc_channel_call_start(struct grpc_call *call, struct grpc_link *link)
{
	int rv;

	http2_stream_init(&call->stream, &stream_events);
	rv = send_headers(call, link->connection.session);
	if (rv == -ETIME) {
		expire_waiting(call);
		return;
	}
	if (rv < 0) {
		grpc_channel_call_kill(call, grpc_status_from_errno(rv),
				       STR("the request cannot be sent"), GRPC_FROM_HERE);
		return;
	}
	list_remove(&call->node);
	call->connection = &link->connection;
	meter_count(call->channel->meters->attempts);
	if (call->each.attempts++ > 0) {
		meter_count(call->channel->meters->transparent_retries);
	}
	if (buffer_len(&call->request) > 0 && send_kept(call) < 0) {
		grpc_channel_call_give_up(call, GRPC_RESOURCE_EXHAUSTED,
					  "out of memory for the request");
		return;
	}
	if (call->each.half_closed) {
		(void)http2_stream_finish(&call->stream, NULL, 0);
	}
}

static int fail_send(struct grpc_call *call, int rv)
{
	grpc_channel_call_give_up(call, GRPC_RESOURCE_EXHAUSTED,
				  rv == -EMSGSIZE
					  ? "message is larger than the limit for sent messages"
					  : "out of memory for the request");
	return rv;
}

/*
 * No stream to send it on, now or any more: it is kept for the one to come. That will
 * have as much in its queue, is above high water by the same number, and says when it
 * no longer is.
 */
static int keep(const struct grpc_call *call)
{
	return buffer_len(&call->request) > call->channel->http2.stream_high_water;
}

int grpc_channel_call_send(struct grpc_call *call, const void *message)
{
	struct buffer *out = http2_stream_out(&call->stream);
	size_t before = buffer_len(&call->request);
	bool open = call->connection && http2_stream_open(&call->stream);
	int rv;

	if (call->each.finished || call->each.half_closed) {
		return -ECANCELED;
	}
	if (call->each.committed) {
		rv = grpc_call_pack(call, message, out);
		return rv < 0 ? fail_send(call, rv) : http2_stream_wrote(&call->stream);
	}
	rv = grpc_call_pack(call, message, &call->request);
	if (rv < 0) {
		return fail_send(call, rv);
	}
	if (!open) {
		return keep(call);
	}
	rv = buffer_append(out, buffer_data(&call->request) + before,
			   buffer_len(&call->request) - before);
	if (rv < 0) {
		return fail_send(call, rv);
	}
	if (buffer_len(&call->request) > GRPC_RETRY_BYTES) {
		grpc_channel_call_commit(call);
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
	grpc_channel_call_give_up(call, status, "cancelled by the caller");
}

unsigned grpc_call_attempts(const struct grpc_call *call)
{
	return call->each.attempts;
}

int64_t grpc_call_sent_ns(const struct grpc_call *call)
{
	/* before its first attempt the stream is still that of another call */
	return call->each.attempts > 0 ? http2_stream_sent_ns(&call->stream) : -1;
}

/* The stream */

void grpc_channel_call_wake(struct grpc_call *call)
{
	if (call->each.stream_gone) {
		due(call);
	} else {
		http2_stream_wake_later(&call->stream);
	}
}

static void on_writable(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished && !call->each.half_closed && call->each.events->writable) {
		call->each.events->writable(call);
	}
}

static void on_woken(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished) {
		grpc_channel_response_go_on(call);
	}
}

/* Never seen by the server's application: goes back to wait. False: not this one. */
static bool send_anew(struct grpc_call *call)
{
	struct grpc_call_each *each = &call->each;
	struct grpc_channel *channel = call->channel;

	if (each->committed || (each->retried && !call->stream.unsent) || channel->draining ||
	    (channel->state == GRPC_CHANNEL_TRANSIENT_FAILURE && !each->wait_for_ready)) {
		return false;
	}
	each->retried = each->retried || !call->stream.unsent;
	call->connection = NULL;
	list_prepend(&channel->waiting, &call->node);
	grpc_channel_kick(channel);
	return true;
}

/*
 * The server says so by closing the stream, and one that has begun to answer cannot
 * mean it; or the request's headers never left.
 */
static bool is_unprocessed(const struct grpc_call *call, uint32_t code)
{
	const struct http2_stream *stream = &call->stream;

	return !call->each.response_seen &&
	       (stream->origin == HTTP2_CLOSED_GOAWAY ||
		(stream->origin == HTTP2_CLOSED_BY_PEER && code == HTTP2_REFUSED_STREAM) ||
		(stream->origin == HTTP2_CLOSED_TRANSPORT && stream->unsent));
}

/* By RST_STREAM, without a status. */
static void settle_reset(struct grpc_call *call, bool by_peer, uint32_t code)
{
	char why[80];

	if (by_peer && code == HTTP2_CANCEL && timer_active(&call->deadline) &&
	    call->deadline.due_ns <= timers_now(call->timers)) {
		/* the server watches the deadline, too, and was first to act on it */
		grpc_channel_call_settle(call, GRPC_DEADLINE_EXCEEDED, STR("deadline exceeded"),
					 GRPC_FROM_HERE);
		return;
	}
	snprintf(why, sizeof(why), "the stream was reset %s with %s",
		 by_peer ? "by the server" : "here", http2_error_name(code));
	grpc_channel_call_settle(call, grpc_status_from_http2(code), str_from(why),
				 by_peer ? GRPC_FROM_PEER : GRPC_FROM_HERE);
}

/* The stream closed without a status. */
static void settle_closed(struct grpc_call *call, uint32_t code)
{
	enum http2_origin closed_by = (enum http2_origin)call->stream.origin;
	struct str error = grpc_channel_last_error(call->channel);
	bool failing = call->channel->state == GRPC_CHANNEL_TRANSIENT_FAILURE && error.len > 0;
	enum http2_error accused = http2_session_last_code(call->connection->session);
	char why[80] = "the connection was lost";

	if (call->each.unprocessed) {
		grpc_channel_call_settle(
			call, GRPC_UNAVAILABLE,
			failing ? error : STR("the server refused the call unprocessed"),
			closed_by == HTTP2_CLOSED_TRANSPORT ? GRPC_FROM_TRANSPORT : GRPC_FROM_PEER);
	} else if (closed_by == HTTP2_CLOSED_TRANSPORT) {
		if (accused != HTTP2_NO_ERROR) {
			snprintf(why, sizeof(why), "the connection was ended here with %s",
				 http2_error_name(accused));
		}
		grpc_channel_call_settle(call, GRPC_UNAVAILABLE, str_from(why),
					 GRPC_FROM_TRANSPORT);
	} else {
		settle_reset(call, closed_by == HTTP2_CLOSED_BY_PEER, code);
	}
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished && stream->peer_ended) {
		call->each.stream_gone = true; /* all is here, and some of it is held */
		call->connection = NULL;
		grpc_channel_response_go_on(call);
		if (!call->each.finished) {
			return;
		}
	}
	if (!call->each.finished) {
		call->each.unprocessed = is_unprocessed(call, code);
		if (call->each.unprocessed && send_anew(call)) {
			call->each.unprocessed = false;
			return;
		}
		if (stream->origin == HTTP2_CLOSED_BY_PEER && !call->each.unprocessed) {
			grpc_link_served(grpc_link_of(call->connection));
		}
		settle_closed(call, code);
	}
	close_call(call);
}

static const struct http2_stream_events stream_events = {
	.header = grpc_channel_response_header,
	.headers_done = grpc_channel_response_headers_done,
	.data = grpc_channel_response_data,
	.ended = grpc_channel_response_ended,
	.writable = on_writable,
	.woken = on_woken,
	.closed = on_closed,
};

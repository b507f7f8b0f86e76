/*
 * nghttp2's callbacks, turned into upcalls and counts. None of them produces
 * bytes or frees a stream; all may submit.
 */
#include <errno.h>

#include "http2/session_p.h"

/*
 * A header list this many times over the limit ends the stream at once instead
 * of being heard to its end: the rest of the block is decoded without upcalls.
 */
#define HEADER_LIST_ABUSE 4

/* RFC 9113 10.5.1: what a field counts beside its name and value. */
#define FIELD_OVERHEAD 32

static struct http2_stream *find(struct http2_session *session, int32_t id)
{
	if (!session->recent || session->recent->id != id) {
		session->recent = nghttp2_session_get_stream_user_data(session->nghttp2, id);
	}
	return session->recent;
}

static int on_begin_headers(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user)
{
	struct http2_session *session = user;
	int32_t id = frame->hd.stream_id;
	struct http2_stream *stream;

	if (!session->server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		stream = find(session, id);
		if (stream) {
			stream->header_bytes = 0;
			stream->too_large = false;
			stream->block = HTTP2_TRAILERS; /* until a :status says otherwise */
		}
		return 0;
	}
	stream = session->condemned ? NULL : session->events->stream_opened(session->user);
	if (!stream) {
		(void)nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, id,
						NGHTTP2_REFUSED_STREAM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	stream->block = HTTP2_REQUEST;
	stream->opened_ns = http2_session_now(session);
	http2_stream_attach(session, stream, id);
	session->recent = stream;
	(void)nghttp2_session_set_stream_user_data(nghttp2, id, stream);
	return 0;
}

/* A field that is not the usual one: see on_request_header(). */
__attribute__((noinline)) static int on_rare_header(nghttp2_session *nghttp2,
						    const nghttp2_frame *frame, const uint8_t *name,
						    size_t name_len, const uint8_t *value,
						    size_t value_len, uint8_t flags, void *user)
{
	struct http2_session *session = user;
	struct http2_stream *stream = find(session, frame->hd.stream_id);

	(void)flags;
	if (!stream) {
		return 0;
	}
	stream->header_bytes += name_len + value_len + FIELD_OVERHEAD;
	if (stream->header_bytes > session->limits->max_header_list_bytes) {
		if (!stream->too_large) {
			meter_count(session->meters->header_lists_too_large);
			stream->too_large = true;
		}
		if (stream->header_bytes / HEADER_LIST_ABUSE >
		    session->limits->max_header_list_bytes) {
			(void)nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, stream->id,
							NGHTTP2_ENHANCE_YOUR_CALM);
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
		return 0;
	}
	if (!session->server && name_len == 7 && memcmp(name, ":status", 7) == 0) {
		stream->block =
			value_len == 3 && value[0] == '1' ? HTTP2_INFORMATIONAL : HTTP2_RESPONSE;
	}
	stream->events->header(stream, (struct str){ (const char *)name, name_len },
			       (struct str){ (const char *)value, value_len });
	return 0;
}

/* Of this block, and within the limit: its stream. NULL: on_rare_header() has to look. */
static inline struct http2_stream *usual(struct http2_session *session, const nghttp2_frame *frame,
					 size_t name_len, size_t value_len)
{
	struct http2_stream *stream = session->recent;
	size_t bytes = name_len + value_len + FIELD_OVERHEAD;

	if (!stream || stream->id != frame->hd.stream_id ||
	    stream->header_bytes + bytes > session->limits->max_header_list_bytes) {
		return NULL;
	}
	stream->header_bytes += bytes;
	return stream;
}

/* Once for each field, so the usual one makes no call but the upcall. */
static int on_request_header(nghttp2_session *nghttp2, const nghttp2_frame *frame,
			     const uint8_t *name, size_t name_len, const uint8_t *value,
			     size_t value_len, uint8_t flags, void *user)
{
	struct http2_stream *stream = usual(user, frame, name_len, value_len);

	if (!stream) {
		return on_rare_header(nghttp2, frame, name, name_len, value, value_len, flags,
				      user);
	}
	stream->events->header(stream, (struct str){ (const char *)name, name_len },
			       (struct str){ (const char *)value, value_len });
	return 0;
}

/* The same where we are the client: a :status says which block it is. */
static int on_response_header(nghttp2_session *nghttp2, const nghttp2_frame *frame,
			      const uint8_t *name, size_t name_len, const uint8_t *value,
			      size_t value_len, uint8_t flags, void *user)
{
	if (name_len == 0 || name[0] == ':') {
		return on_rare_header(nghttp2, frame, name, name_len, value, value_len, flags,
				      user);
	}
	return on_request_header(nghttp2, frame, name, name_len, value, value_len, flags, user);
}

static int on_data_chunk(nghttp2_session *nghttp2, uint8_t flags, int32_t id, const uint8_t *bytes,
			 size_t n, void *user)
{
	struct http2_session *session = user;
	struct http2_stream *stream = find(session, id);

	(void)flags;
	(void)nghttp2;
	session->unconsumed += n;
	if (stream && !session->abandoned) {
		stream->events->data(stream, bytes, n);
	}
	return 0;
}

static void ended(struct http2_stream *stream)
{
	/* headers_done or data may have reset it, */
	if (http2_stream_open(stream)) {
		stream->peer_ended = true;
		if (!stream->session->abandoned) { /* or have done more */
			stream->events->ended(stream);
		}
	}
}

static void received_headers(struct http2_session *session, const nghttp2_frame *frame)
{
	struct http2_stream *stream = find(session, frame->hd.stream_id);
	bool end_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (!stream) {
		return;
	}
	if (!session->abandoned) {
		stream->events->headers_done(stream, (enum http2_block)stream->block, end_stream,
					     stream->too_large);
	}
	if (end_stream) {
		ended(stream);
	}
}

static void received_data(struct http2_session *session, const nghttp2_frame *frame)
{
	struct http2_stream *stream;

	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		http2_ledger_heard_data(&session->ledger, frame->hd.length);
		return;
	}
	stream = find(session, frame->hd.stream_id);
	if (stream) {
		ended(stream);
	}
}

static void received_settings(struct http2_session *session, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
		return;
	}
	session->room_changed = true;
	if (session->settings_seen) {
		return;
	}
	session->settings_seen = true;
	if (session->phase == HTTP2_HANDSHAKE) {
		session->phase = HTTP2_RUNNING;
		timer_stop(session->timers, &session->deadline);
	} else if (session->phase == HTTP2_DRAINING) {
		/* it was waiting for a silent peer; this one speaks */
		timer_start(session->timers, &session->deadline,
			    session->limits->drain_ping_timeout_ns);
	}
	if (session->events->ready) {
		session->events->ready(session->user);
	}
}

static void received_goaway(struct http2_session *session, const nghttp2_frame *frame)
{
	const nghttp2_goaway *goaway = &frame->goaway;

	meter_count(session->meters->goaway_received[http2_error_index(goaway->error_code)]);
	session->goaway_received = true;
	session->peer_last_id = (uint32_t)goaway->last_stream_id;
	if (session->events->goaway) {
		session->events->goaway(
			session->user, session->peer_last_id, goaway->error_code,
			(struct str){ (const char *)goaway->opaque_data, goaway->opaque_data_len });
	}
}

static void received_reset(struct http2_session *session, const nghttp2_frame *frame)
{
	struct http2_stream *stream = find(session, frame->hd.stream_id);

	meter_count(session->meters
			    ->rst_stream_received[http2_error_index(frame->rst_stream.error_code)]);
	if (stream) {
		stream->origin = HTTP2_CLOSED_BY_PEER;
		http2_guard_stream_reset(session, stream);
	}
}

static int on_frame_recv(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user)
{
	struct http2_session *session = user;

	(void)nghttp2;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		received_data(session, frame);
		break;
	case NGHTTP2_HEADERS:
		received_headers(session, frame);
		break;
	case NGHTTP2_RST_STREAM:
		received_reset(session, frame);
		break;
	case NGHTTP2_SETTINGS:
		received_settings(session, frame);
		break;
	case NGHTTP2_PING:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			meter_count(session->meters->pings_received);
			http2_guard_pinged(session);
		} else {
			http2_session_drain_answered(session, frame->ping.opaque_data);
		}
		break;
	case NGHTTP2_GOAWAY:
		received_goaway(session, frame);
		break;
	default:
		break;
	}
	return 0;
}

/*
 * Our END_STREAM has left. Where the peer's has not come: it need not send the
 * rest (RFC 9113 8.1).
 */
static void sent_end_stream(struct http2_session *session, int32_t id)
{
	struct http2_stream *stream = find(session, id);

	if (!stream) {
		return;
	}
	stream->local_ended = true;
	if (session->server && !stream->peer_ended) {
		/*
		 * From here and not with the trailers: nghttp2 sends RST_STREAM before
		 * DATA and HEADERS that were queued earlier.
		 */
		(void)nghttp2_submit_rst_stream(session->nghttp2, NGHTTP2_FLAG_NONE, id,
						NGHTTP2_NO_ERROR);
	}
}

static void sent_request(struct http2_session *session, int32_t id)
{
	struct http2_stream *stream = find(session, id);

	if (stream) {
		stream->unsent = false;
		stream->opened_ns = http2_session_now(session);
	}
}

void http2_sent_goaway(struct http2_session *session, uint32_t code)
{
	session->last_code = (uint8_t)http2_error_index(code);
	meter_count(session->meters->goaway_sent[http2_error_index(code)]);
	if (code != NGHTTP2_NO_ERROR) {
		meter_count(session->meters->protocol_errors[http2_error_index(code)]);
	}
}

static void sent_reset(struct http2_session *session, uint32_t code)
{
	meter_count(session->meters->rst_stream_sent[http2_error_index(code)]);
	if (session->server) {
		http2_guard_sent_reset(session, code);
	}
}

static int on_frame_send(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user)
{
	struct http2_session *session = user;

	(void)nghttp2;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (!session->server) {
			sent_request(session, frame->hd.stream_id);
		}
		session->guard.sent = true;
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
			sent_end_stream(session, frame->hd.stream_id);
		}
		break;
	case NGHTTP2_DATA:
		session->guard.sent = true;
		http2_ledger_sent_data(&session->ledger, frame->hd.length);
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
			sent_end_stream(session, frame->hd.stream_id);
		}
		break;
	case NGHTTP2_RST_STREAM:
		sent_reset(session, frame->rst_stream.error_code);
		break;
	case NGHTTP2_GOAWAY:
		http2_sent_goaway(session, frame->goaway.error_code);
		break;
	default:
		break;
	}
	return 0;
}

/*
 * A header block that nghttp2 drops: the connection takes no new streams, or the
 * block is larger than what nghttp2 sends (64 KiB), which no second attempt
 * changes. nghttp2 closes the stream of a request itself, and forgets a response.
 */
static int on_frame_not_send(nghttp2_session *nghttp2, const nghttp2_frame *frame, int code,
			     void *user)
{
	struct http2_session *session = user;
	struct http2_stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS) {
		return 0;
	}
	stream = find(session, frame->hd.stream_id);
	if (!stream) {
		return 0;
	}
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		http2_stream_reset(stream, HTTP2_INTERNAL_ERROR);
	} else if (code == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED ||
		   code == NGHTTP2_ERR_SESSION_CLOSING) {
		stream->origin = HTTP2_CLOSED_GOAWAY;
	} else {
		(void)nghttp2_session_set_stream_user_data(nghttp2, stream->id, NULL);
		stream->origin = HTTP2_CLOSED_HERE;
		http2_stream_detach(stream, HTTP2_INTERNAL_ERROR);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *nghttp2, int32_t id, uint32_t code, void *user)
{
	struct http2_session *session = user;
	struct http2_stream *stream = find(session, id);

	(void)nghttp2;
	if (!stream) {
		return 0;
	}
	if (stream->origin == HTTP2_CLOSED_REGULARLY) {
		if (session->goaway_received && (uint32_t)id > session->peer_last_id) {
			stream->origin = HTTP2_CLOSED_GOAWAY;
		} else if (code != NGHTTP2_NO_ERROR) {
			stream->origin = HTTP2_CLOSED_HERE;
		}
	}
	http2_stream_detach(stream, code);
	return 0;
}

int http2_callbacks_new(bool server, nghttp2_session_callbacks **ret)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0) {
		return -ENOMEM;
	}
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, server ? on_request_header
									   : on_response_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	*ret = callbacks;
	return 0;
}

/*
 * Streams: what the layer above submits, and nghttp2's source of their bodies.
 *
 * The happy path of a response: respond() gives nghttp2 the header block and a
 * data source; the body waits in `out`; finish() keeps the trailers. While
 * producing, nghttp2 reads the source; where `out` is empty and the stream is
 * finishing, the trailers are submitted from within the read, and END_STREAM is
 * theirs.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "http2/session_p.h"

/* Progress of a stream that its peer's window holds back: so much, or else all that it has. */
#define PROGRESS_BYTES 128

/* Capacity of `out` that a stream keeps for its next use. */
#define OUT_KEEP_BYTES 512

void http2_stream_init(struct http2_stream *stream, const struct http2_stream_events *events)
{
	struct buffer out = stream->out;

	buffer_clear(&out);
	*stream = (struct http2_stream){ .events = events, .out = out, .opened_ns = -1 };
	list_init(&stream->node);
	list_init(&stream->due);
}

void http2_stream_attach(struct http2_session *session, struct http2_stream *stream, int32_t id)
{
	stream->session = session;
	stream->id = id;
	list_append(&session->open, &stream->node);
	if (session->n_open++ == 0) {
		http2_guard_busy(session);
	}
	meter_count(session->meters->streams_opened);
	if (session->meters->streams_active) {
		gauge_add(session->meters->streams_active, 1);
	}
}

static void forget_trailers(struct http2_stream *stream)
{
	if (stream->trailers_memory) {
		free(stream->trailers_memory);
		stream->trailers_memory = NULL;
	}
	stream->trailers = NULL;
	stream->n_trailers = 0;
}

void http2_stream_detach(struct http2_stream *stream, uint32_t code)
{
	struct http2_session *session = stream->session;

	if (session->recent == stream) {
		session->recent = NULL;
	}
	if (!stream->peer_ended) {
		http2_ledger_ended_here(&session->ledger);
	}
	stream->close_code = code;
	stream->id = 0;
	forget_trailers(stream);
	buffer_trim(&stream->out, OUT_KEEP_BYTES); /* a kept call keeps no large message */
	list_remove(&stream->due);
	stream->writable_due = stream->woken_due = stream->draining_due = false;
	list_remove(&stream->node);
	list_append(&session->closed, &stream->node);
	session->n_closed++;
	session->room_changed = true;
	if (--session->n_open == 0) {
		http2_guard_idle(session);
	}
	if (session->meters->streams_active) {
		gauge_add(session->meters->streams_active, -1);
	}
}

void http2_stream_due(struct http2_stream *stream)
{
	if (list_empty(&stream->due)) {
		list_append(&stream->session->due, &stream->due);
	}
}

void http2_stream_wake_later(struct http2_stream *stream)
{
	if (http2_stream_open(stream)) {
		stream->woken_due = true;
		http2_stream_due(stream);
		http2_session_wake(stream->session);
	}
}

#define SAME_PLACE(ours, theirs)                                                           \
	_Static_assert(offsetof(struct http2_field, ours) == offsetof(nghttp2_nv, theirs), \
		       "struct http2_field is laid out as nghttp2_nv is")
SAME_PLACE(name, name);
SAME_PLACE(value, value);
SAME_PLACE(name_len, namelen);
SAME_PLACE(value_len, valuelen);
SAME_PLACE(flags, flags);
_Static_assert(sizeof(struct http2_field) == sizeof(nghttp2_nv) &&
		       HTTP2_FIELD_ONCE == NGHTTP2_NV_FLAG_NO_INDEX &&
		       HTTP2_FIELD_BORROWED ==
			       (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE),
	       "struct http2_field is laid out as nghttp2_nv is");

static const nghttp2_nv *nv_of(const struct http2_field *fields)
{
	return (const void *)fields;
}

static int errno_of(int rv)
{
	return rv == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EINVAL;
}

int http2_stream_request(struct http2_session *session, struct http2_stream *stream,
			 const struct http2_field *fields, size_t n)
{
	nghttp2_data_provider source = { .source.ptr = stream, .read_callback = http2_stream_read };
	int32_t id =
		nghttp2_submit_request(session->nghttp2, NULL, nv_of(fields), n, &source, stream);

	if (id < 0) {
		return errno_of(id);
	}
	http2_stream_attach(session, stream, id);
	stream->submitted = true;
	stream->unsent = true;
	if ((uint32_t)id >= session->limits->max_stream_id && session->phase < HTTP2_DRAINING) {
		session->ids_ran_out = true;
		http2_session_drain(session, NULL);
	}
	http2_session_wake(session);
	return 0;
}

int http2_stream_respond(struct http2_stream *stream, const struct http2_field *fields, size_t n,
			 bool end)
{
	nghttp2_data_provider source = { .source.ptr = stream, .read_callback = http2_stream_read };
	int rv;

	if (!http2_stream_open(stream)) {
		return -ECANCELED;
	}
	assert(!stream->submitted);
	rv = nghttp2_submit_response(stream->session->nghttp2, stream->id, nv_of(fields), n,
				     end ? NULL : &source);
	if (rv != 0) {
		return errno_of(rv);
	}
	stream->submitted = true;
	stream->finishing = end;
	http2_session_wake(stream->session);
	return 0;
}

/* Something changed that the data source had been waiting for. */
static void resume(struct http2_stream *stream)
{
	if (stream->deferred) {
		stream->deferred = false;
		if (nghttp2_session_resume_data(stream->session->nghttp2, stream->id) ==
		    NGHTTP2_ERR_NOMEM) {
			http2_session_fail(stream->session);
		}
	}
	http2_session_wake(stream->session);
}

int http2_stream_wrote(struct http2_stream *stream)
{
	if (!http2_stream_open(stream)) {
		buffer_clear(&stream->out);
		return -ECANCELED;
	}
	resume(stream);
	if (buffer_len(&stream->out) > stream->session->limits->stream_high_water) {
		stream->above_high_water = true;
	}
	return stream->above_high_water;
}

/* A copy that lives until they are submitted, fields and text in one block. NULL: no memory. */
static const struct http2_field *keep_trailers(struct http2_stream *stream,
					       const struct http2_field *fields, size_t n)
{
	size_t size = n * sizeof(*fields);
	struct http2_field *kept;
	char *text;

	for (size_t i = 0; i < n; i++) {
		size += fields[i].flags & HTTP2_FIELD_BORROWED
				? 0
				: fields[i].name_len + fields[i].value_len;
	}
	kept = malloc(size);
	if (!kept) {
		return NULL;
	}
	text = (char *)(kept + n);
	for (size_t i = 0; i < n; i++) {
		kept[i] = fields[i];
		if (fields[i].flags & HTTP2_FIELD_BORROWED) {
			continue;
		}
		kept[i].name = text;
		text = mempcpy(text, fields[i].name, fields[i].name_len);
		kept[i].value = text;
		if (fields[i].value_len > 0) {
			text = mempcpy(text, fields[i].value, fields[i].value_len);
		}
	}
	stream->trailers_memory = kept;
	return kept;
}

static bool may_finish(const struct http2_stream *stream)
{
	return http2_stream_open(stream) && !stream->finishing;
}

int http2_stream_finish_constant(struct http2_stream *stream, const struct http2_field *trailers,
				 size_t n)
{
	if (!may_finish(stream)) {
		return -ECANCELED;
	}
	stream->trailers = trailers;
	stream->n_trailers = n;
	stream->finishing = true;
	resume(stream);
	return 0;
}

int http2_stream_finish(struct http2_stream *stream, const struct http2_field *trailers, size_t n)
{
	if (!may_finish(stream)) {
		return -ECANCELED;
	}
	if (n > 0) {
		trailers = keep_trailers(stream, trailers, n);
		if (!trailers) {
			return -ENOMEM;
		}
	}
	return http2_stream_finish_constant(stream, trailers, n);
}

void http2_stream_reset(struct http2_stream *stream, enum http2_error code)
{
	struct http2_session *session = stream->session;

	if (!http2_stream_open(stream)) {
		return;
	}
	if (nghttp2_submit_rst_stream(session->nghttp2, NGHTTP2_FLAG_NONE, stream->id, code) != 0) {
		http2_session_fail(session);
	}
	(void)nghttp2_session_set_stream_user_data(session->nghttp2, stream->id, NULL);
	stream->origin = HTTP2_CLOSED_HERE;
	http2_stream_detach(stream, code);
	http2_session_wake(session);
}

void http2_stream_consume(struct http2_stream *stream, size_t n)
{
	if (http2_stream_open(stream) && !stream->peer_ended) {
		(void)nghttp2_session_consume_stream(stream->session->nghttp2, stream->id, n);
		http2_session_wake(stream->session);
	}
}

static int submit_trailers(struct http2_session *session, struct http2_stream *stream)
{
	int rv = nghttp2_submit_trailer(session->nghttp2, stream->id, nv_of(stream->trailers),
					stream->n_trailers);

	forget_trailers(stream);
	return rv;
}

ssize_t http2_stream_read(nghttp2_session *nghttp2, int32_t id, uint8_t *out, size_t room,
			  uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct http2_session *session = user;
	struct http2_stream *stream = source->ptr;
	size_t n = MIN(room, buffer_len(&stream->out));

	/* A stream that was detached is closing in nghttp2, which then asks for no data. */
	assert(stream->session == session && stream->id == id);
	(void)nghttp2;
	if (n == 0 && !stream->finishing) {
		stream->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(out, buffer_data(&stream->out), n);
		buffer_consume(&stream->out, n);
		if (n >= PROGRESS_BYTES || buffer_len(&stream->out) == 0) {
			stream->stalls = 0;
		}
	}
	if (stream->above_high_water &&
	    buffer_len(&stream->out) < session->limits->stream_low_water && !stream->finishing) {
		stream->above_high_water = false;
		stream->writable_due = true;
		http2_stream_due(stream);
	}
	if (buffer_len(&stream->out) == 0 && stream->finishing) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		session->recent = stream; /* the next that events.c looks up */
		if (stream->n_trailers > 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			if (submit_trailers(session, stream) != 0) {
				return NGHTTP2_ERR_CALLBACK_FAILURE;
			}
		}
	}
	return (ssize_t)n;
}

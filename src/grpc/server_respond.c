/*
 * What a server's call answers: headers with the first message, messages, and the
 * status, as trailers or, where nothing was sent before it, in one block with the
 * headers (Trailers-Only).
 *
 * What can fail: memory. The call then ends RESOURCE_EXHAUSTED, by HTTP/2's
 * ENHANCE_YOUR_CALM where there is no memory even for that.
 */
#include <assert.h>
#include <errno.h>

#include "grpc/server_p.h"
#include "grpc/wire.h"

/* The fields of grpc_server.head that no peer's limit takes away: :status, content-type. */
#define HEAD_NEEDED 2

/* Of what each response begins with: the fields from `first` to before `end`. */
static void add_head(struct grpc_call *call, struct grpc_fields *fields, size_t first, size_t end)
{
	const struct grpc_server *server = call->server;

	memcpy(fields->fields + fields->n, server->head + first,
	       (end - first) * sizeof(*server->head));
	fields->n += end - first;
	if (first == 0 && call->each.head.content == GRPC_CONTENT_PROTO) {
		fields->fields[1] =
			(struct http2_field)HTTP2_FIELD("content-type", "application/grpc+proto");
	}
	if (end > HEAD_NEEDED && server->connection_id_name.data) {
		fields->fields[fields->n - 1].value = call->connection->id_text;
	}
}

/* RFC 9113 6.5.2: a peer may say how large a header list it takes: what is last goes first. */
static void fit_peer_limit(struct grpc_call *call, struct grpc_fields *fields, size_t n_needed)
{
	uint32_t max = http2_session_peer_max_header_list(call->connection->session);
	size_t total = 0, n = 0;

	if (max == UINT32_MAX) {
		return;
	}
	for (; n < fields->n; n++) {
		total += fields->fields[n].name_len + fields->fields[n].value_len + 32;
		if (total > max && n >= n_needed) {
			break;
		}
	}
	fields->n = n;
}

/* Where gzip may be used it is announced; whether it is, each message says. */
static int send_response_headers(struct grpc_call *call)
{
	struct grpc_fields fields;
	size_t n_needed = HEAD_NEEDED;
	int rv = grpc_fields_init(&fields, call, call->each.sending.n);

	if (rv < 0) {
		return rv;
	}
	if (call->each.compress_asked && call->each.head.accepts_gzip) {
		call->each.gzip_announced = true;
		add_head(call, &fields, 0, HEAD_NEEDED);
		grpc_fields_add(&fields, STR("grpc-encoding"), STR("gzip"), true);
		n_needed = fields.n;
		add_head(call, &fields, HEAD_NEEDED, call->server->n_head);
	} else {
		add_head(call, &fields, 0, call->server->n_head);
	}
	grpc_fields_metadata(&fields, &call->each.sending);
	fit_peer_limit(call, &fields, n_needed);
	rv = http2_stream_respond(&call->stream, fields.fields, fields.n, false);
	if (rv == 0) {
		call->each.headers_sent = true;
	}
	return rv;
}

static struct str status_text(int status)
{
	static const struct str texts[GRPC_STATUS_COUNT] = {
#define X(symbol, number, name) [number] = STR_INIT(#number),
		GRPC_STATUSES(X)
#undef X
	};

	return texts[status];
}

/* grpc-message and grpc-status-details-bin, the text of both in `text`. 0 or -ENOMEM. */
static int add_status_text(struct grpc_call *call, struct grpc_fields *fields, struct buffer *text)
{
	size_t n;
	int rv = grpc_message_encode(call->each.status_message, text);

	n = buffer_len(text);
	if (rv == 0) {
		rv = grpc_base64_encode(call->each.details, text);
	}
	if (rv < 0) {
		return rv;
	}
	if (n > 0) {
		grpc_fields_add(fields, STR("grpc-message"),
				(struct str){ (const char *)buffer_data(text), n }, false);
	}
	if (call->each.details.len > 0) {
		grpc_fields_add(
			fields, STR("grpc-status-details-bin"),
			(struct str){ (const char *)buffer_data(text) + n, buffer_len(text) - n },
			false);
	}
	return 0;
}

/* The status, as trailers or in one block with the headers. */
static int send_status(struct grpc_call *call)
{
	static const struct http2_field ok = HTTP2_FIELD("grpc-status", "0");
	const struct grpc_call_each *each = &call->each;
	struct grpc_fields fields;
	struct buffer text = BUFFER_INIT;
	size_t n_needed;
	int rv;

	if (each->status == GRPC_OK && each->headers_sent && each->trailers.n == 0 &&
	    each->details.len == 0) {
		return http2_stream_finish_constant(&call->stream, &ok, 1);
	}
	rv = grpc_fields_init(&fields, call, each->sending.n + each->trailers.n);
	if (rv < 0) {
		return rv;
	}
	if (!each->headers_sent) {
		add_head(call, &fields, 0, HEAD_NEEDED);
	}
	grpc_fields_add(&fields, STR("grpc-status"), status_text(each->status), true);
	n_needed = fields.n;
	if (!each->headers_sent) {
		add_head(call, &fields, HEAD_NEEDED, call->server->n_head);
		grpc_fields_metadata(&fields, &each->sending);
	}
	grpc_fields_metadata(&fields, &each->trailers);
	rv = add_status_text(call, &fields, &text);
	if (rv == 0) {
		fit_peer_limit(call, &fields, n_needed);
		rv = each->headers_sent
			     ? http2_stream_finish(&call->stream, fields.fields, fields.n)
			     : http2_stream_respond(&call->stream, fields.fields, fields.n, true);
	}
	buffer_free(&text);
	return rv;
}

static void finish_without_memory(struct grpc_call *call, int err)
{
	grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
			 err == -EMSGSIZE ? "message is larger than the sender's limit"
					  : "out of memory for the response");
}

int grpc_call_send_headers(struct grpc_call *call)
{
	int rv;

	assert(call->server);
	if (call->each.finished || !http2_stream_open(&call->stream)) {
		return -ECANCELED;
	}
	rv = call->each.headers_sent ? 0 : send_response_headers(call);
	if (rv < 0) {
		finish_without_memory(call, rv);
	}
	return rv;
}

/* Headers where they have not left, and the message, into the stream's buffer. */
static int queue_message(struct grpc_call *call, const void *message)
{
	int rv = call->each.headers_sent ? 0 : send_response_headers(call);

	if (rv == 0) {
		rv = grpc_call_pack(call, message, http2_stream_out(&call->stream));
	}
	if (rv < 0) {
		finish_without_memory(call, rv);
	}
	return rv;
}

int grpc_server_call_send(struct grpc_call *call, const void *message)
{
	int rv;

	if (call->each.finished || !http2_stream_open(&call->stream)) {
		return -ECANCELED;
	}
	rv = queue_message(call, message);
	if (rv < 0) {
		return rv;
	}
	call->each.answered = true;
	if (call->each.meters && grpc_shape_streams_responses(call->each.method->shape)) {
		meter_count(call->each.meters->messages_sent);
	}
	grpc_server_charge(call);
	return http2_stream_wrote(&call->stream);
}

/* Nothing but `closed` follows. */
static void finish(struct grpc_call *call, enum grpc_status status)
{
	call->each.finished = true;
	call->each.status = status;
	grpc_call_receive_stop(call);
	if (send_status(call) < 0) {
		/* no memory even for this: the peer hears it from HTTP/2 */
		call->each.status = GRPC_RESOURCE_EXHAUSTED;
		http2_stream_reset(&call->stream, HTTP2_ENHANCE_YOUR_CALM);
	}
}

static bool may_finish(const struct grpc_call *call, enum grpc_status status)
{
	assert(call->server && (unsigned)status < GRPC_STATUS_COUNT);
	return !call->each.finished && http2_stream_open(&call->stream);
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
	if (may_finish(call, status)) {
		if (message) {
			call->each.status_message = arena_str(&call->arena, str_from(message));
		}
		finish(call, status);
	}
}

void grpc_call_finish_details(struct grpc_call *call, enum grpc_status status, struct str message,
			      struct bytes details)
{
	int32_t code;

	if (!may_finish(call, status)) {
		return;
	}
	call->each.status_message = arena_str(&call->arena, message);
	if (details.len > 0 && grpc_details_code(details, &code) == 0 && code == (int)status) {
		struct str copy = arena_str(
			&call->arena, (struct str){ (const char *)details.data, details.len });

		call->each.details = (struct bytes){ (const uint8_t *)copy.data, copy.len };
	}
	finish(call, status);
}

/* Ends that no correct server makes */

static void settle(struct grpc_call *call, enum grpc_status status)
{
	call->each.finished = true;
	call->each.settled = true;
	call->each.status = status;
	timer_stop(call->timers, &call->deadline);
	grpc_call_receive_stop(call);
}

/* All of its prefix and half of the rest; of an empty message, half of the prefix. */
static size_t torn_length(size_t length)
{
	return length > GRPC_PREFIX_BYTES ? GRPC_PREFIX_BYTES + (length - GRPC_PREFIX_BYTES) / 2
					  : length / 2;
}

static void truncate_message(struct grpc_call *call, const void *message)
{
	struct buffer *out = http2_stream_out(&call->stream);
	size_t before = buffer_len(out);

	if (queue_message(call, message) < 0) {
		return;
	}
	out->end = out->start + before + torn_length(buffer_len(out) - before);
	grpc_server_charge(call);
	(void)http2_stream_wrote(&call->stream);
	finish(call, GRPC_OK);
	if (call->each.status == GRPC_OK) {
		call->each.status = GRPC_INTERNAL;
	}
}

void grpc_call_break(struct grpc_call *call, enum grpc_break how, const void *message)
{
	if (!may_finish(call, GRPC_OK)) {
		return;
	}
	switch (how) {
	case GRPC_BREAK_RESET:
		settle(call, GRPC_INTERNAL);
		http2_stream_reset(&call->stream, HTTP2_INTERNAL_ERROR);
		break;
	case GRPC_BREAK_TRUNCATE:
		truncate_message(call, message);
		break;
	case GRPC_BREAK_CLOSE:
		settle(call, GRPC_UNAVAILABLE);
		buffer_clear(http2_stream_out(&call->stream));
		http2_session_abandon(call->connection->session);
		break;
	}
}

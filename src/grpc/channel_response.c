/*
 * What comes back for a call at the calling end: one or more blocks of headers,
 * messages, and the status in the last block (PROTOCOL-HTTP2, "Responses").
 *
 * The happy path: headers_done(RESPONSE) -> opened; data -> message; a block with
 * END_STREAM -> ended -> the status.
 *
 * What can fail: an answer that is no gRPC, one that breaks the wire contract (its
 * HTTP status or a status of ours says so), a message.
 */
#include <stdio.h>

#include "grpc/channel_p.h"
#include "grpc/wire.h"

/* Headers */

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
		struct bytes decoded = buffer_bytes(&text);

		call->each.head.message = arena_str(
			&call->arena, (struct str){ (const char *)decoded.data, decoded.len });
	}
	buffer_free(&text);
}

/* What is no base64, or comes twice, or finds no room, is left out. */
static void on_details(struct grpc_call *call, struct str value)
{
	uint8_t *bytes = value.len > 0 ? arena_alloc(&call->arena, value.len) : NULL;
	ssize_t n = bytes ? grpc_base64_read(value, bytes) : -1;

	call->each.n_details += call->each.n_details < 2;
	call->each.details = n > 0 && call->each.n_details == 1 ? (struct bytes){ bytes, (size_t)n }
								: (struct bytes){ 0 };
}

void grpc_channel_response_header(struct http2_stream *stream, struct str name, struct str value)
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
	} else if (str_equal(name, STR("grpc-status-details-bin"))) {
		on_details(call, value);
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
	grpc_link_served(grpc_link_of(call->connection));
	grpc_channel_call_commit(call);
	if (end_stream) {
		return;
	}
	if (head->content == GRPC_CONTENT_UNKNOWN_CODEC) {
		grpc_channel_call_give_up(call, GRPC_INTERNAL, "the response has an unknown codec");
		return;
	}
	if (head->http_status != 200 || !is_grpc(head)) {
		grpc_channel_call_fail_at_end(call, grpc_status_from_http(head->http_status),
					      http_fault(call));
		return;
	}
	head->has_status = false;
	head->message = (struct str){ 0 };
	call->each.n_details = 0;
	call->each.details = (struct bytes){ 0 };
	call->each.received = call->each.trailers;
	call->each.trailers = (struct metadata){ 0 };
	call->deframer.compression = head->encoding == GRPC_ENCODING_GZIP;
	if (call->each.events->opened) {
		call->each.events->opened(call);
	}
}

void grpc_channel_response_headers_done(struct http2_stream *stream, enum http2_block kind,
					bool end_stream, bool too_large)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (call->each.finished) {
		return;
	}
	if (too_large) {
		grpc_channel_call_give_up(call, GRPC_RESOURCE_EXHAUSTED,
					  "the server's header list is larger than the limit");
	} else if (kind == HTTP2_INFORMATIONAL) {
		if (end_stream) {
			grpc_channel_call_give_up(call, GRPC_INTERNAL,
						  "an informational response ended the stream");
		}
	} else if (kind == HTTP2_RESPONSE && !call->each.response_seen) {
		on_response(call, end_stream);
	} else if (!end_stream) {
		grpc_channel_call_fail(call, GRPC_INTERNAL,
				       STR("headers in the middle of the response"),
				       HTTP2_PROTOCOL_ERROR);
	}
}

/* Messages */

void grpc_channel_response_data(struct http2_stream *stream, const uint8_t *bytes, size_t n)
{
	struct grpc_call *call = grpc_call_of(stream);
	enum grpc_status status;
	const char *why = NULL;

	if (call->each.finished) {
		return;
	}
	status = grpc_call_receive(call, (struct bytes){ bytes, n }, &why);
	if (status != GRPC_OK) {
		grpc_channel_call_give_up(call, status, why);
	}
}

/* The end */

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

/* What OK asks for beside itself; the message, where it is the only one. */
static enum grpc_status judge_ok(struct grpc_call *call, struct str *ret_why,
				 const void **ret_message)
{
	if (!deframer_idle(&call->deframer)) {
		*ret_why = STR("the response ended inside a message");
		return GRPC_INTERNAL;
	}
	if (grpc_call_receives_stream(call)) {
		return GRPC_OK;
	}
	if (call->each.n_messages != 1) {
		*ret_why = call->each.n_messages == 0
				   ? STR("no message in the response of a unary call")
				   : STR("more than one message in the response of a unary call");
		return GRPC_UNIMPLEMENTED;
	}
	*ret_message = grpc_call_the_message(call);
	if (!*ret_message) {
		*ret_why = STR(GRPC_INVALID_TEXT);
		return GRPC_INTERNAL;
	}
	return GRPC_OK;
}

/* The status that the trailers carry, judged with what came before them. */
static enum grpc_status final_status(struct grpc_call *call, struct str *ret_why,
				     const void **ret_message)
{
	const struct grpc_head *head = &call->each.head;
	int32_t code;

	if (!head->has_status) {
		return status_missing(call, ret_why);
	}
	if (head->status < 0 || head->status >= GRPC_STATUS_COUNT) {
		*ret_why = status_fault(call);
		return GRPC_UNKNOWN;
	}
	if (call->each.details.len > 0) {
		if (grpc_details_code(call->each.details, &code) < 0) {
			call->each.details = (struct bytes){ 0 };
		} else if (code != head->status) {
			*ret_why = STR("grpc-status-details-bin has another status than "
				       "grpc-status");
			return GRPC_INTERNAL;
		}
	}
	*ret_why = head->message;
	return head->status == GRPC_OK ? judge_ok(call, ret_why, ret_message)
				       : (enum grpc_status)head->status;
}

static void conclude(struct grpc_call *call)
{
	const void *message = NULL;
	struct str why;

	call->each.status = final_status(call, &why, &message);
	call->each.finished = true;
	if (why.len > 0) {
		call->each.status_message = arena_str(&call->arena, why);
	}
	if (message && call->each.events->message) {
		call->each.events->message(call, message);
	}
}

void grpc_channel_response_ended(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished) {
		call->each.ended_ns = http2_session_now(stream->session);
		if (!grpc_call_blocked(call)) {
			conclude(call);
		}
	}
	if (!stream->local_ended) {
		/* the server needs no more from us, and may never give credit for it */
		http2_stream_reset(stream, HTTP2_NO_ERROR);
	}
}

void grpc_channel_response_go_on(struct grpc_call *call)
{
	const char *why = NULL;
	enum grpc_status status = grpc_call_receive_kept(call, &why);

	if (call->each.finished) {
		return;
	}
	if (status != GRPC_OK) {
		grpc_channel_call_give_up(call, status, why);
	} else if (call->stream.peer_ended && !grpc_call_blocked(call)) {
		conclude(call);
	}
}

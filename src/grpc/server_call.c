/*
 * The happy path of a call: stream_opened takes one from the free list; each
 * header is judged as it comes; headers_done finds the method, starts the
 * deadline, and the call exists; data is deframed and unpacked (receive.c); at
 * END_STREAM, or with each message of a stream, the handler runs; it sends and
 * finishes (server_respond.c); when the stream closes the call is counted, once,
 * and goes back to the free list.
 *
 * What can fail: the request is no gRPC (a plain HTTP answer), names no method
 * (UNIMPLEMENTED), or breaks the wire contract (a status in Trailers-Only);
 * the deadline passes; the peer resets the stream or goes away. Whatever it is,
 * `closed` follows, and it alone counts.
 */
#include <assert.h>
#include <errno.h>

#include "grpc/server_p.h"
#include "grpc/wire.h"

/* How long the end of a request that is no gRPC is waited for before it is answered. */
#define HTTP_ANSWER_WAIT_NS (500 * NS_PER_MS)

static void answer_http(struct grpc_call *call);

static const struct grpc_server_limits *limits_of(const struct grpc_call *call)
{
	return call->server->options.limits;
}

void grpc_server_call_on_deadline(struct timer *timer)
{
	struct grpc_call *call = container_of(timer, struct grpc_call, deadline);
	struct http2_stream *stream = &call->stream;

	if (call->each.head.refusal) {
		answer_http(call);
		return;
	}
	if (stream->local_ended || !http2_stream_open(stream)) {
		return; /* the answer is out, or nobody waits for it any more */
	}
	meter_count(call->server->options.meters->deadlines_exceeded);
	if (call->each.finished || buffer_len(http2_stream_out(stream)) > 0) {
		/* the peer's window holds the answer back, and would hold trailers behind it */
		grpc_call_cancel(call, GRPC_DEADLINE_EXCEEDED);
		return;
	}
	call->each.settled = true;
	grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
}

void grpc_server_set_charge(struct grpc_call *call, size_t bytes)
{
	struct grpc_server *server = call->server;

	server->buffered = server->buffered - call->each.charged + bytes;
	call->connection->buffered = call->connection->buffered - call->each.charged + bytes;
	call->each.charged = bytes;
	if (server->options.meters->buffered_bytes) {
		gauge_set(server->options.meters->buffered_bytes, (int64_t)server->buffered);
	}
}

/*
 * Charges what came in. False: it was too much, and the call is finished.
 *
 * No connection takes more than it leaves to the others: one that wants all gets
 * half, two get a third each, and whoever comes next still finds as much. One that
 * holds nothing is always served: what it may add by that is one answer.
 */
static bool within_budget(struct grpc_call *call)
{
	size_t max, all;

	grpc_server_charge(call);
	if (call->connection->buffered == 0) {
		return true;
	}
	max = limits_of(call)->max_buffered_bytes;
	all = call->server->buffered;
	if (all <= max && call->connection->buffered <= max - all) {
		return true;
	}
	grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED,
			 all > max
				 ? "the server holds as many bytes of messages as it may"
				 : "the server holds as many bytes of messages of this connection "
				   "as it may");
	return false;
}

bool grpc_call_keeps(struct grpc_call *call, size_t bytes)
{
	bool grew = bytes > call->each.kept;

	call->each.kept = bytes;
	if (call->each.finished || !http2_stream_open(&call->stream)) {
		return false;
	}
	if (grew) {
		return within_budget(call);
	}
	grpc_server_charge(call);
	return true;
}

/* Request headers */

static void on_pseudo_header(struct grpc_call *call, struct str name, struct str value)
{
	struct grpc_head *head = &call->each.head;

	if (str_equal(name, STR(":path"))) {
		grpc_server_find_method(call, value);
	} else if (str_equal(name, STR(":method"))) {
		head->post = str_equal(value, STR("POST"));
		head->head = str_equal(value, STR("HEAD"));
	} else if (str_equal(name, STR(":scheme"))) {
		head->scheme_bad =
			!str_equal(value, STR("http")) && !str_equal(value, STR("https"));
	}
}

/* Names that are the transport's and gRPC's own, told apart by length first. True: done with it. */
static bool on_known_header(struct grpc_call *call, struct str name, struct str value)
{
	struct grpc_head *head = &call->each.head;

	switch (name.len) {
	case 2:
		return str_equal(name, STR("te"));
	case 10:
		return str_equal(name, STR("user-agent"));
	case 11:
		head->has_trace = head->has_trace || str_equal(name, STR("traceparent"));
		return false;
	case 12:
		if (str_equal(name, STR("content-type"))) {
			head->content = grpc_content_parse(value);
			return true;
		}
		if (str_equal(name, STR("grpc-timeout"))) {
			head->has_timeout = true;
			head->timeout_bad = grpc_timeout_parse(value, &head->timeout_ns) < 0;
			return true;
		}
		return false;
	case 13:
		if (str_equal(name, STR("grpc-encoding"))) {
			head->encoding = grpc_encoding_parse(value);
			return true;
		}
		return false;
	case 14:
		return str_equal(name, STR("content-length"));
	case 20:
		if (str_equal(name, STR("grpc-accept-encoding"))) {
			head->accepts_gzip = head->accepts_gzip || grpc_accepts_gzip(value);
			return true;
		}
		return false;
	default:
		return false;
	}
}

static void on_header(struct http2_stream *stream, struct str name, struct str value)
{
	struct grpc_call *call = grpc_call_of(stream);
	struct grpc_head *head = &call->each.head;

	if (stream->block != HTTP2_REQUEST || name.len == 0) {
		return; /* request trailers mean nothing in gRPC */
	}
	if (name.data[0] == ':') {
		on_pseudo_header(call, name, value);
		return;
	}
	if (on_known_header(call, name, value)) {
		return;
	}
	switch (metadata_receive(&call->each.received, &call->arena, name, value)) {
	case 0:
		break;
	case -EINVAL:
		head->metadata_bad = true;
		break;
	default:
		head->no_memory = true;
	}
}

/* An answer in plain HTTP, for what is no gRPC request. */
static void answer_http(struct grpc_call *call)
{
	static const struct {
		struct str status, text;
	} answers[] = {
		[GRPC_REFUSED_405] = { STR_INIT("405"),
				       STR_INIT("gRPC calls are made by POST.\n") },
		[GRPC_REFUSED_415] = { STR_INIT("415"),
				       STR_INIT("The content-type must be application/grpc.\n") },
	};
	enum grpc_refusal refusal = (enum grpc_refusal)call->each.head.refusal;
	const struct http2_field fields[] = {
		http2_field(STR(":status"), answers[refusal].status, true),
		HTTP2_FIELD("content-type", "text/plain; charset=utf-8"),
		HTTP2_FIELD("allow", "POST"),
	};
	size_t n = refusal == GRPC_REFUSED_405 ? 3 : 2;

	call->each.head.refusal = GRPC_REFUSED_200;
	timer_stop(call->timers, &call->deadline); /* a shut window is no deadline */
	meter_count(call->server->options.meters->refused[refusal]);
	if (call->each.head.head) {
		/* RFC 9110 9.3.2: the same without content */
		if (http2_stream_respond(&call->stream, fields, n, true) < 0) {
			http2_stream_reset(&call->stream, HTTP2_INTERNAL_ERROR);
		}
		return;
	}
	if (http2_stream_respond(&call->stream, fields, n, false) < 0 ||
	    buffer_append_str(http2_stream_out(&call->stream), answers[refusal].text) < 0 ||
	    http2_stream_wrote(&call->stream) < 0 ||
	    http2_stream_finish(&call->stream, NULL, 0) < 0) {
		http2_stream_reset(&call->stream, HTTP2_INTERNAL_ERROR);
	}
}

/*
 * Such a request is heard to its end first: what breaks HTTP/2 in the rest of it is
 * then an error of its stream, and not lost behind an answer that had ended it. Of a
 * long body no more is taken than the stream's window, and for no longer than
 * HTTP_ANSWER_WAIT_NS.
 */
static void answer_http_at_end(struct grpc_call *call, enum grpc_refusal refusal)
{
	call->each.head.refusal = (uint8_t)refusal;
	call->each.finished = true;
	timer_start(call->timers, &call->deadline, HTTP_ANSWER_WAIT_NS);
}

/* An answer in gRPC to a request that named no method of ours. */
static void refuse(struct grpc_call *call, enum grpc_status status, const char *why)
{
	meter_count(call->server->options.meters->refused[GRPC_REFUSED_200]);
	grpc_server_count_begun(call, call->server->options.meters->unknown);
	grpc_call_finish(call, status, why);
}

/* True: the headers name a method, and the call exists from here. */
static bool resolve(struct grpc_call *call, bool too_large)
{
	const struct grpc_head *head = &call->each.head;

	if (too_large) {
		refuse(call, GRPC_RESOURCE_EXHAUSTED, "header list is larger than the limit");
	} else if (!head->post) {
		answer_http_at_end(call, GRPC_REFUSED_405);
	} else if (head->content < GRPC_CONTENT_PLAIN) {
		answer_http_at_end(call, GRPC_REFUSED_415);
	} else if (head->scheme_bad) {
		refuse(call, GRPC_INTERNAL, "scheme is neither http nor https");
	} else if (head->path_malformed || !head->path_seen) {
		refuse(call, GRPC_UNIMPLEMENTED, "malformed method name");
	} else if (!call->each.method) {
		refuse(call, GRPC_UNIMPLEMENTED, "unknown service or method");
	} else {
		return true;
	}
	return false;
}

/* What is wrong with the headers of a call that exists: NULL: nothing. */
static const char *headers_fault(const struct grpc_head *head, enum grpc_status *ret_status)
{
	*ret_status = GRPC_UNIMPLEMENTED;
	if (head->content == GRPC_CONTENT_UNKNOWN_CODEC) {
		return "content-type names a codec that is not served";
	}
	if (head->encoding == GRPC_ENCODING_UNKNOWN) {
		return "grpc-encoding names a compression that is not served";
	}
	*ret_status = GRPC_INTERNAL;
	if (head->timeout_bad) {
		return "malformed grpc-timeout";
	}
	if (head->metadata_bad) {
		return "malformed base64 in binary metadata";
	}
	*ret_status = GRPC_RESOURCE_EXHAUSTED;
	return head->no_memory ? "metadata takes too much memory" : NULL;
}

/* False: it has passed already. What went by since the headers came in counts. */
static bool start_deadline(struct grpc_call *call)
{
	int64_t timeout = call->each.head.timeout_ns;

	if (timeout > INT64_MAX - call->each.started_ns) {
		return true; /* never */
	}
	call->each.deadline_ns = call->each.started_ns + timeout;
	if (call->each.deadline_ns <= timers_now(call->timers)) {
		grpc_server_call_on_deadline(&call->deadline);
		return false;
	}
	timer_start_at(call->timers, &call->deadline, call->each.deadline_ns);
	return true;
}

static void on_headers_done(struct http2_stream *stream, enum http2_block kind, bool end_stream,
			    bool too_large)
{
	struct grpc_call *call = grpc_call_of(stream);
	const struct grpc_head *head = &call->each.head;
	enum grpc_status status;
	const char *why;

	(void)end_stream;
	if (kind != HTTP2_REQUEST) {
		return;
	}
	/* so far for the metadata; from here for the message */
	call->arena.cap += limits_of(call)->max_message_bytes + GRPC_UNPACK_OVERHEAD;
	if (!resolve(call, too_large)) {
		return;
	}
	call->each.exists = true;
	grpc_server_count_begun(call, call->each.meters);
	memset(call->state, 0, call->each.method->state_size);
	why = headers_fault(head, &status);
	if (why) {
		grpc_call_finish(call, status, why);
		return;
	}
	if (!within_budget(call)) {
		return;
	}
	if (head->encoding == GRPC_ENCODING_GZIP) {
		call->deframer.compression = true;
	}
	if (head->has_timeout && !start_deadline(call)) {
		return;
	}
	if (call->each.events->opened) {
		call->each.events->opened(call);
	}
}

/* Request messages */

/* After bytes were received: what they led to. False: the call is finished. */
static bool received(struct grpc_call *call, enum grpc_status status, const char *why)
{
	if (call->each.finished) {
		return false;
	}
	if (status != GRPC_OK) {
		grpc_call_finish(call, status, why);
		return false;
	}
	if (!within_budget(call)) {
		return false;
	}
	if (call->each.n_messages > 1 && !grpc_call_receives_stream(call)) {
		grpc_call_finish(call, GRPC_UNIMPLEMENTED,
				 "more than one message where there is to be one");
		return false;
	}
	return true;
}

/* The client sends no more, and all that it sent is delivered. */
static void request_ended(struct grpc_call *call)
{
	if (!deframer_idle(&call->deframer)) {
		grpc_call_finish(call, GRPC_INTERNAL, "the request ended inside a message");
		return;
	}
	if (!grpc_call_receives_stream(call)) {
		const void *message = NULL;

		if (call->each.n_messages == 0) {
			grpc_call_finish(call, GRPC_UNIMPLEMENTED,
					 "no message where there is to be one");
			return;
		}
		message = grpc_call_the_message(call);
		if (!message) {
			grpc_call_finish(call, GRPC_INTERNAL, GRPC_INVALID_TEXT);
			return;
		}
		grpc_call_count_received(call);
		call->each.events->message(call, message);
	}
	call->each.half_closed = true;
	if (!call->each.finished && call->each.events->half_closed) {
		call->each.events->half_closed(call);
	}
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t n)
{
	struct grpc_call *call = grpc_call_of(stream);
	const char *why = NULL;
	enum grpc_status status;

	if (call->each.finished) {
		return; /* late DATA: the connection has its credit back already */
	}
	status = grpc_call_receive(call, (struct bytes){ bytes, n }, &why);
	(void)received(call, status, why);
}

static void on_ended(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (call->each.finished) {
		if (call->each.head.refusal) {
			answer_http(call);
		}
	} else if (!grpc_call_blocked(call)) {
		request_ended(call);
	}
}

/* grpc_call_next() was called, and there is something to deliver. */
static void on_woken(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);
	const char *why = NULL;
	enum grpc_status status;

	if (call->each.finished) {
		return;
	}
	status = grpc_call_receive_kept(call, &why);
	if (received(call, status, why) && stream->peer_ended && !grpc_call_blocked(call)) {
		request_ended(call);
	}
}

static void on_writable(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (!call->each.finished && call->each.events && call->each.events->writable) {
		grpc_server_charge(call);
		call->each.events->writable(call);
	}
}

static void on_draining(struct http2_stream *stream)
{
	struct grpc_call *call = grpc_call_of(stream);

	if (call->each.exists && !call->each.finished && call->each.events->draining) {
		call->each.events->draining(call);
	}
}

/* The end of a call */

/* Its status was decided here, and holds: it has left, or need not. */
static bool ended_by_itself(const struct grpc_call *call)
{
	return call->each.finished && (call->stream.local_ended || call->each.settled);
}

/* How the call ended, seen from here. */
static struct grpc_outcome outcome_of(const struct grpc_call *call, uint32_t code)
{
	const struct http2_stream *stream = &call->stream;
	struct grpc_outcome outcome = { .status = GRPC_CANCELLED, .origin = GRPC_FROM_PEER };

	if (ended_by_itself(call)) {
		outcome.status = (enum grpc_status)call->each.status;
		outcome.message = call->each.status_message;
		outcome.origin = GRPC_FROM_HERE;
	} else if (stream->origin == HTTP2_CLOSED_ABANDONED) {
		outcome.status = GRPC_UNAVAILABLE;
		outcome.origin = GRPC_FROM_TRANSPORT;
	} else if (stream->origin == HTTP2_CLOSED_TRANSPORT) {
		outcome.origin = GRPC_FROM_TRANSPORT;
	} else if (stream->origin == HTTP2_CLOSED_HERE) {
		outcome.status = grpc_status_from_http2(code);
		outcome.origin = GRPC_FROM_HERE;
	}
	return outcome;
}

static void on_closed(struct http2_stream *stream, uint32_t code)
{
	struct grpc_call *call = grpc_call_of(stream);
	struct grpc_outcome outcome = outcome_of(call, code);

	call->each.ended_ns = http2_session_now(call->connection->session);
	if (call->each.counted) {
		grpc_server_count_ended(call, outcome.status);
	}
	if (call->each.exists) {
		if (call->each.events->closed) {
			call->each.events->closed(call, &outcome);
		}
	}
	if (call->each.charged > 0) {
		grpc_server_set_charge(call, 0);
	}
	grpc_server_release_call(call);
}

const struct http2_stream_events grpc_server_stream_events = {
	.header = on_header,
	.headers_done = on_headers_done,
	.data = on_data,
	.ended = on_ended,
	.writable = on_writable,
	.woken = on_woken,
	.draining = on_draining,
	.closed = on_closed,
};

/*
 * What the peer sends, until it is a handler's.
 *
 * The happy path: DATA is deframed, a message inflated where it is compressed, and
 * unpacked into an arena. Where the peer sends exactly one message it stays there
 * until the peer's end. In a stream of messages each is delivered as it comes, and
 * its bytes are credited when the handler has done with it: when it returns, or
 * calls grpc_call_next().
 *
 * While a message is held, what arrives is kept as it is: nothing of it is
 * credited, so the stream's window bounds it.
 *
 * What can fail: the prefix, gzip, protobuf, a limit, memory.
 */
#include <errno.h>

#include "grpc/call_p.h"
#include "grpc/message.h"
#include "grpc/server_p.h"

static struct grpc_call_flow *use_flow(struct grpc_call *call)
{
	if (!call->each.flow_used) {
		call->each.flow_used = true;
		arena_init(&call->flow.arena, NULL, 0,
			   call->side->max_message + GRPC_UNPACK_OVERHEAD);
	}
	return &call->flow;
}

static struct arena *message_arena(struct grpc_call *call)
{
	return grpc_call_receives_stream(call) ? &use_flow(call)->arena : &call->arena;
}

static enum grpc_status unpack(struct grpc_call *call, struct bytes wire, const char **ret_why)
{
	const struct grpc_method *method = call->each.method;
	const ProtobufCMessageDescriptor *descriptor =
		call->server ? method->request : method->response;
	struct arena *arena = message_arena(call);

	if (!descriptor) {
		struct str copy =
			arena_str(arena, (struct str){ (const char *)wire.data, wire.len });

		if (!copy.data) {
			*ret_why = "out of memory for the message";
			return GRPC_RESOURCE_EXHAUSTED;
		}
		call->each.raw = (struct bytes){ (const uint8_t *)copy.data, copy.len };
		return GRPC_OK;
	}
	switch (grpc_message_unpack(descriptor, wire, arena, &call->each.message)) {
	case 0:
		return GRPC_OK;
	case -EBADMSG:
		*ret_why = "message cannot be decoded";
		return GRPC_INTERNAL;
	default:
		*ret_why = "message takes too much memory to decode";
		return GRPC_RESOURCE_EXHAUSTED;
	}
}

static enum grpc_status inflate_and_unpack(struct grpc_call *call, struct bytes packed,
					   const char **ret_why)
{
	struct codec *codec = &call->side->codec;
	struct bytes plain;
	enum grpc_status status;

	switch (codec_inflate(codec, packed, call->side->max_message, &plain)) {
	case 0:
		status = unpack(call, plain, ret_why);
		codec_release(codec);
		return status;
	case -EBADMSG:
		*ret_why = "message cannot be decompressed";
		return GRPC_INTERNAL;
	case -EMSGSIZE:
		*ret_why = "message is larger than the receiver's limit";
		return GRPC_RESOURCE_EXHAUSTED;
	default:
		*ret_why = "out of memory for the message";
		return GRPC_RESOURCE_EXHAUSTED;
	}
}

/* One whole message: out of the input, which may then go. */
static enum grpc_status keep_message(struct grpc_call *call, bool stream, struct bytes wire,
				     bool compressed, const char **ret_why)
{
	if (call->each.n_messages++ > 0 && !stream) {
		return GRPC_OK; /* a second one is an error that the peer's end will find */
	}
	call->each.was_compressed = compressed;
	return compressed ? inflate_and_unpack(call, wire, ret_why) : unpack(call, wire, ret_why);
}

const void *grpc_call_the_message(const struct grpc_call *call)
{
	const struct grpc_method *method = call->each.method;
	bool (*valid)(const void *) = call->server ? method->valid : method->valid_response;
	const void *message =
		call->each.message ? call->each.message : (const void *)&call->each.raw;

	return !valid || valid(message) ? message : NULL;
}

static enum grpc_status deliver(struct grpc_call *call, const char **ret_why)
{
	const void *message = grpc_call_the_message(call);

	if (!message) {
		*ret_why = GRPC_INVALID_TEXT;
		return GRPC_INTERNAL;
	}
	grpc_call_count_received(call);
	if (call->each.events->message) {
		call->each.in_message = true;
		call->each.events->message(call, message);
		call->each.in_message = false;
	}
	if (!call->each.held) {
		arena_reset(&call->flow.arena);
	}
	return GRPC_OK;
}

static void give_credit(struct grpc_call *call)
{
	if (call->each.uncredited > 0) {
		http2_stream_consume(&call->stream, call->each.uncredited);
		call->each.uncredited = 0;
	}
}

static enum grpc_status fault_of(enum deframer_result result, const struct grpc_call *call,
				 const char **ret_why)
{
	switch (result) {
	case DEFRAMER_FLAG:
		*ret_why = call->deframer.prefix[0] == 1
				   ? "message is compressed, and no grpc-encoding announced it"
				   : "message has an unknown flag";
		return GRPC_INTERNAL;
	case DEFRAMER_LENGTH:
		*ret_why = "message is larger than the receiver's limit";
		return GRPC_RESOURCE_EXHAUSTED;
	default:
		*ret_why = "out of memory for the message";
		return GRPC_RESOURCE_EXHAUSTED;
	}
}

/*
 * Credit for a message that is being gathered comes as it arrives: its own limit
 * bounds it, not the window. The rest of one message of its own goes without: the
 * peer sends nothing after it.
 */
static void took_all(struct grpc_call *call, bool stream, size_t n)
{
	if (stream) {
		give_credit(call);
	} else if (!deframer_idle(&call->deframer)) {
		http2_stream_consume(&call->stream, n);
	}
}

/* Takes of `bytes` what may be taken now, which is all unless a message is held. */
static enum grpc_status take(struct grpc_call *call, struct bytes *bytes, const char **ret_why)
{
	bool stream = grpc_call_receives_stream(call);
	size_t n = bytes->len;

	do {
		size_t before = bytes->len;
		struct bytes wire;
		enum deframer_result result =
			deframer_next(&call->deframer, bytes, call->side->max_message, &wire);
		enum grpc_status status;

		if (stream) {
			call->each.uncredited += before - bytes->len;
		}
		if (result == DEFRAMER_MORE) {
			took_all(call, stream, n);
			return GRPC_OK;
		}
		if (result != DEFRAMER_MESSAGE && result != DEFRAMER_COMPRESSED) {
			return fault_of(result, call, ret_why);
		}
		status = keep_message(call, stream, wire, result == DEFRAMER_COMPRESSED, ret_why);
		buffer_free(&call->deframer.gathered);
		if (status == GRPC_OK && stream) {
			status = deliver(call, ret_why);
		}
		if (status != GRPC_OK || call->each.finished) {
			return status;
		}
		if (!stream && bytes->len == 0) {
			return GRPC_OK; /* the usual end: the one message, and nothing behind it */
		}
	} while (!call->each.held);
	return GRPC_OK;
}

enum grpc_status grpc_call_receive(struct grpc_call *call, struct bytes bytes, const char **ret_why)
{
	enum grpc_status status = GRPC_OK;

	if (!grpc_call_blocked(call)) {
		status = take(call, &bytes, ret_why);
		if (status != GRPC_OK || call->each.finished || bytes.len == 0) {
			return status;
		}
	}
	if (buffer_append(&call->flow.pending, bytes.data, bytes.len) < 0) {
		*ret_why = "out of memory for the message";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	return GRPC_OK;
}

enum grpc_status grpc_call_receive_kept(struct grpc_call *call, const char **ret_why)
{
	struct bytes left = buffer_bytes(&call->flow.pending);
	size_t n = left.len;
	enum grpc_status status;

	if (call->each.held || n == 0) {
		return GRPC_OK;
	}
	status = take(call, &left, ret_why);
	if (status == GRPC_OK && !call->each.finished) {
		buffer_consume(&call->flow.pending, n - left.len);
		if (left.len == 0) {
			buffer_free(&call->flow.pending);
		}
	}
	return status;
}

void grpc_call_receive_stop(struct grpc_call *call)
{
	deframer_free(&call->deframer);
	if (call->each.flow_used) {
		buffer_free(&call->flow.pending);
	}
}

void grpc_call_receive_deinit(struct grpc_call *call)
{
	deframer_free(&call->deframer);
	if (call->each.flow_used) {
		buffer_free(&call->flow.pending);
		arena_reset(&call->flow.arena);
	}
}

void grpc_call_hold(struct grpc_call *call)
{
	bool over = call->each.finished || (call->server && call->each.half_closed);

	if (grpc_call_receives_stream(call) && !over) {
		(void)use_flow(call);
		call->each.held = true;
	}
}

void grpc_call_next(struct grpc_call *call)
{
	if (!call->each.held) {
		return;
	}
	call->each.held = false;
	if (call->each.in_message) {
		return; /* take() goes on */
	}
	arena_reset(&call->flow.arena);
	give_credit(call);
	if (call->server) {
		grpc_server_charge(call);
	}
	if (buffer_len(&call->flow.pending) > 0 || call->stream.peer_ended) {
		if (call->server) {
			http2_stream_wake_later(&call->stream);
		} else {
			grpc_channel_call_wake(call);
		}
	}
}

bool grpc_call_was_compressed(const struct grpc_call *call)
{
	return call->each.was_compressed;
}

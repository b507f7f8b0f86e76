/* What both ends of a call share: its memory, its messages, its metadata. */
#include "grpc/call.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "grpc/call_p.h"
#include "grpc/connection_p.h"
#include "grpc/message.h"

/* Capacity of a client's kept request that stays for the next call. */
#define REQUEST_KEEP_BYTES 512

void grpc_call_begin(struct grpc_call *call, struct timers *timers, int64_t now_ns, size_t cap)
{
	call->each = (struct grpc_call_each){ 0 };
	call->timers = timers;
	call->each.started_ns = now_ns;
	arena_init(&call->arena, call->inline_memory, sizeof(call->inline_memory), cap);
}

void grpc_call_end(struct grpc_call *call)
{
	timer_stop(call->timers, &call->deadline);
	deframer_free(&call->deframer);
	arena_reset(&call->arena);
	if (call->channel) {
		buffer_trim(&call->request, REQUEST_KEEP_BYTES);
	}
}

void grpc_call_free(struct grpc_call *call)
{
	buffer_free(&call->stream.out);
	buffer_free(&call->request);
	free(call);
}

enum grpc_content grpc_content_parse(struct str value)
{
	static const struct str base = STR_INIT("application/grpc");
	struct str rest;

	if (value.len < base.len || strncasecmp(value.data, base.data, base.len) != 0) {
		return GRPC_CONTENT_OTHER;
	}
	rest = (struct str){ value.data + base.len, value.len - base.len };
	if (rest.len == 0 || rest.data[0] == ';') {
		return GRPC_CONTENT_PLAIN;
	}
	if (rest.data[0] != '+') {
		return GRPC_CONTENT_OTHER;
	}
	if (rest.len >= 6 && strncasecmp(rest.data, "+proto", 6) == 0 &&
	    (rest.len == 6 || rest.data[6] == ';')) {
		return GRPC_CONTENT_PROTO;
	}
	return GRPC_CONTENT_UNKNOWN_CODEC;
}

/* One whole message: into the arena, so that the input may go. */
static enum grpc_status keep_message(struct grpc_call *call, struct bytes wire,
				     const ProtobufCMessageDescriptor *descriptor,
				     const char **ret_why)
{
	if (call->each.n_messages++ > 0) {
		return GRPC_OK; /* a second one is an error that END_STREAM will find */
	}
	if (!descriptor) {
		struct str copy =
			arena_str(&call->arena, (struct str){ (const char *)wire.data, wire.len });

		if (!copy.data) {
			*ret_why = "out of memory for the message";
			return GRPC_RESOURCE_EXHAUSTED;
		}
		call->each.raw = (struct bytes){ (const uint8_t *)copy.data, copy.len };
		return GRPC_OK;
	}
	switch (grpc_message_unpack(descriptor, wire, &call->arena, &call->each.message)) {
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

enum grpc_status grpc_call_receive(struct grpc_call *call, struct bytes bytes, size_t max,
				   const ProtobufCMessageDescriptor *descriptor,
				   const char **ret_why)
{
	for (;;) {
		enum grpc_status status;
		struct bytes wire;

		switch (deframer_next(&call->deframer, &bytes, max, &wire)) {
		case DEFRAMER_MORE:
			return GRPC_OK;
		case DEFRAMER_MESSAGE:
			status = keep_message(call, wire, descriptor, ret_why);
			buffer_free(&call->deframer.gathered);
			if (status != GRPC_OK) {
				return status;
			}
			break;
		case DEFRAMER_FLAG:
			*ret_why = "message is compressed, or has an unknown flag, and no "
				   "grpc-encoding announced it";
			return GRPC_INTERNAL;
		case DEFRAMER_LENGTH:
			*ret_why = "message is larger than the receiver's limit";
			return GRPC_RESOURCE_EXHAUSTED;
		case DEFRAMER_MEMORY:
		default:
			*ret_why = "out of memory for the message";
			return GRPC_RESOURCE_EXHAUSTED;
		}
	}
}

const void *grpc_call_received_message(const struct grpc_call *call)
{
	return call->each.message ? call->each.message : (const void *)&call->each.raw;
}

int grpc_call_pack(const ProtobufCMessageDescriptor *descriptor, const void *message,
		   struct buffer *out)
{
	return descriptor ? grpc_message_pack(message, out)
			  : grpc_message_pack_bytes(*(const struct bytes *)message, out);
}

int grpc_fields_init(struct grpc_fields *fields, struct grpc_call *call)
{
	size_t n = GRPC_FIXED_FIELDS + call->each.sending.n;

	fields->n = 0;
	fields->fields = n <= ARRAY_SIZE(fields->fixed)
				 ? fields->fixed
				 : arena_alloc(&call->arena, n * sizeof(*fields->fields));
	return fields->fields ? 0 : -ENOMEM;
}

void grpc_fields_metadata(struct grpc_fields *fields, const struct metadata *metadata)
{
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		grpc_fields_add(fields, entry->name, entry->value, false);
	}
}

int grpc_call_send(struct grpc_call *call, const void *message)
{
	return call->server ? grpc_server_call_send(call, message)
			    : grpc_channel_call_send(call, message);
}

void grpc_call_half_close(struct grpc_call *call)
{
	assert(call->channel);
	grpc_channel_call_half_close(call);
}

void grpc_call_cancel(struct grpc_call *call, enum grpc_status status)
{
	if (call->channel) {
		grpc_channel_call_cancel(call, status);
		return;
	}
	if (call->stream.local_ended || !http2_stream_open(&call->stream)) {
		return;
	}
	call->each.finished = true;
	call->each.settled = true;
	call->each.status = status;
	http2_stream_reset(&call->stream, HTTP2_CANCEL);
}

int grpc_call_add_header(struct grpc_call *call, struct str name, struct str value)
{
	if (!metadata_valid(name, value)) {
		return -EINVAL;
	}
	value = metadata_wire_value(&call->arena, name, value);
	if (!value.data) {
		return -ENOMEM;
	}
	return metadata_add(&call->each.sending, &call->arena, name, value);
}

const struct metadata *grpc_call_metadata(const struct grpc_call *call)
{
	return &call->each.received;
}

void *grpc_call_state(struct grpc_call *call)
{
	return call->state;
}

void *grpc_call_context(struct grpc_call *call)
{
	return call->each.context;
}

struct timers *grpc_call_timers(struct grpc_call *call)
{
	return call->timers;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
	return call->each.method;
}

int64_t grpc_call_started_ns(const struct grpc_call *call)
{
	return call->each.started_ns;
}

const struct grpc_peer *grpc_call_peer(const struct grpc_call *call)
{
	return call->connection ? call->connection->peer : NULL;
}

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
	call->each.deadline_ns = INT64_MAX;
	arena_init(&call->arena, call->inline_memory, sizeof(call->inline_memory), cap);
}

void grpc_call_end(struct grpc_call *call)
{
	timer_stop(call->timers, &call->deadline);
	grpc_call_receive_deinit(call);
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

	if (str_equal(value, STR("application/grpc"))) {
		return GRPC_CONTENT_PLAIN; /* as nearly all say it */
	}
	if (str_equal(value, STR("application/grpc+proto"))) {
		return GRPC_CONTENT_PROTO; /* and as we do */
	}
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

enum grpc_encoding grpc_encoding_parse(struct str value)
{
	value = str_trim(value);
	if (str_equal_nocase(value, STR("identity"))) {
		return GRPC_ENCODING_IDENTITY;
	}
	return str_equal_nocase(value, STR("gzip")) ? GRPC_ENCODING_GZIP : GRPC_ENCODING_UNKNOWN;
}

/* A list with commas. */
bool grpc_accepts_gzip(struct str value)
{
	while (value.len > 0) {
		const char *comma = memchr(value.data, ',', value.len);
		size_t n = comma ? (size_t)(comma - value.data) : value.len;

		if (grpc_encoding_parse((struct str){ value.data, n }) == GRPC_ENCODING_GZIP) {
			return true;
		}
		n += comma != NULL;
		value = (struct str){ value.data + n, value.len - n };
	}
	return false;
}

static int pack(const ProtobufCMessageDescriptor *descriptor, const void *message, size_t max,
		struct buffer *out)
{
	if (descriptor) {
		return grpc_message_pack(message, max, out);
	}
	return grpc_message_pack_bytes(*(const struct bytes *)message, max, out);
}

int grpc_call_pack(struct grpc_call *call, const void *message, struct buffer *out)
{
	const struct grpc_method *method = call->each.method;
	size_t max = call->side->max_send_message, before = buffer_len(out);
	int rv = pack(call->server ? method->response : method->request, message, max, out);

	if (rv == 0 && call->each.compress && call->each.gzip_announced) {
		rv = codec_deflate(&call->side->codec, out, before);
		if (rv < 0) {
			out->end = out->start + before;
		}
	}
	return rv;
}

void grpc_call_compress(struct grpc_call *call, bool on)
{
	call->each.compress = on;
	if (on) {
		call->each.compress_asked = true;
	}
}

int grpc_fields_init(struct grpc_fields *fields, struct grpc_call *call, size_t n)
{
	n += GRPC_FIXED_FIELDS;
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
		fields->fields[fields->n - 1].flags |= entry->once ? HTTP2_FIELD_ONCE : 0;
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

static int add_metadata(struct grpc_call *call, struct metadata *metadata, struct str name,
			struct str value)
{
	if (!metadata_valid(name, value)) {
		return -EINVAL;
	}
	value = metadata_wire_value(&call->arena, name, value);
	if (!value.data) {
		return -ENOMEM;
	}
	return metadata_add(metadata, &call->arena, name, value);
}

int grpc_call_add_header(struct grpc_call *call, struct str name, struct str value)
{
	return add_metadata(call,
			    call->server && call->each.headers_sent ? &call->each.trailers
								    : &call->each.sending,
			    name, value);
}

int grpc_call_add_trailer(struct grpc_call *call, struct str name, struct str value)
{
	assert(call->server);
	return add_metadata(call, &call->each.trailers, name, value);
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

int64_t grpc_call_ended_ns(const struct grpc_call *call)
{
	return call->each.ended_ns;
}

int64_t grpc_call_deadline_ns(const struct grpc_call *call)
{
	return call->each.deadline_ns;
}

const struct grpc_peer *grpc_call_peer(const struct grpc_call *call)
{
	return call->connection ? call->connection->peer : NULL;
}

/*
 * The happy path: survey() finds every field known, and protobuf-c unpacks the
 * bytes as they came. Where survey() found fields to drop, keep() copies the
 * others to a temporary, and that is unpacked instead.
 *
 * What can fail: the bytes (-EBADMSG), a limit or memory (-ENOMEM).
 */
#include "grpc/message.h"

#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "grpc/wire.h"

/* Groups: deprecated, in no message of proto3, but a peer may send one as an unknown field. */
enum wire_type { VARINT, FIXED64, LENGTH_PREFIXED, START_GROUP, END_GROUP, FIXED32 };

/* Neither tag nor length takes more: both are below 2^32, and protobuf-c reads no more. */
#define MAX_VARINT32_BYTES 5
#define MAX_VARINT64_BYTES 10

struct field {
	uint32_t number;
	unsigned wire_type;
	struct bytes all;     /* with its tag */
	struct bytes content; /* LENGTH_PREFIXED: what is behind the length */
};

struct survey {
	size_t fields;  /* known ones, at all depths */
	size_t dropped; /* bytes of the others */
};

/* The length of the varint at `at`, 1..max, or 0: torn or too long. */
static size_t read_varint(const uint8_t *at, const uint8_t *end, size_t max, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < max && at + i < end; i++) {
		value |= (uint64_t)(at[i] & 0x7f) << (7 * i);
		if (!(at[i] & 0x80)) {
			*ret = value;
			return i + 1;
		}
	}
	return 0;
}

/* The same number in exactly `width` bytes. */
static void write_varint(uint8_t *at, size_t width, uint64_t value)
{
	for (size_t i = 0; i + 1 < width; i++) {
		at[i] = (uint8_t)(value & 0x7f) | 0x80;
		value >>= 7;
	}
	at[width - 1] = (uint8_t)(value & 0x7f);
}

static size_t read_tag(const uint8_t *at, const uint8_t *end, struct field *field)
{
	uint64_t tag = 0;
	size_t n = read_varint(at, end, MAX_VARINT32_BYTES, &tag);

	if (n == 0 || tag > UINT32_MAX || tag >> 3 == 0) {
		return 0;
	}
	field->number = (uint32_t)(tag >> 3);
	field->wire_type = tag & 7;
	return n;
}

/* Length of the value behind a tag, groups apart; 0: torn or malformed. */
static size_t value_length(const uint8_t *at, const uint8_t *end, struct field *field)
{
	size_t rest = (size_t)(end - at), n;
	uint64_t number;

	switch (field->wire_type) {
	case VARINT:
		return read_varint(at, end, MAX_VARINT64_BYTES, &number);
	case FIXED64:
		return rest >= 8 ? 8 : 0;
	case FIXED32:
		return rest >= 4 ? 4 : 0;
	case LENGTH_PREFIXED:
		n = read_varint(at, end, MAX_VARINT32_BYTES, &number);
		if (n == 0 || number > rest - n) {
			return 0;
		}
		field->content = (struct bytes){ at + n, (size_t)number };
		return n + (size_t)number;
	default:
		return 0;
	}
}

/*
 * From behind a START_GROUP to behind its END_GROUP, without recursion; 0: torn,
 * crossed or too deep.
 */
static size_t group_length(const uint8_t *start, const uint8_t *end, uint32_t number)
{
	uint32_t open[GRPC_MESSAGE_MAX_DEPTH] = { number };
	size_t depth = 1;
	const uint8_t *at = start;

	while (depth > 0) {
		struct field field;
		size_t n = read_tag(at, end, &field);

		if (n == 0) {
			return 0;
		}
		at += n;
		if (field.wire_type == START_GROUP) {
			if (depth == ARRAY_SIZE(open)) {
				return 0;
			}
			open[depth++] = field.number;
		} else if (field.wire_type == END_GROUP) {
			if (open[--depth] != field.number) {
				return 0;
			}
		} else {
			n = value_length(at, end, &field);
			if (n == 0) {
				return 0;
			}
			at += n;
		}
	}
	return (size_t)(at - start);
}

static bool read_field(const uint8_t *at, const uint8_t *end, struct field *field)
{
	size_t tag = read_tag(at, end, field), value;

	if (tag == 0) {
		return false;
	}
	value = field->wire_type == START_GROUP ? group_length(at + tag, end, field->number)
						: value_length(at + tag, end, field);
	field->all = (struct bytes){ at, tag + value };
	return value > 0;
}

static unsigned wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return LENGTH_PREFIXED;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return FIXED64;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return FIXED32;
	default:
		return VARINT;
	}
}

/* What protobuf-c will make of the field: NULL: unknown. A repeated number may come packed. */
static const ProtobufCFieldDescriptor *known_as(const ProtobufCMessageDescriptor *descriptor,
						const struct field *field)
{
	const ProtobufCFieldDescriptor *known = descriptor->fields;

	if (descriptor->n_fields == 0) {
		return NULL;
	}
	if (known->id != field->number) {
		known = protobuf_c_message_descriptor_get_field(descriptor, field->number);
		if (!known) {
			return NULL;
		}
	}
	if (field->wire_type == wire_type_of(known->type) ||
	    (field->wire_type == LENGTH_PREFIXED && known->label == PROTOBUF_C_LABEL_REPEATED)) {
		return known;
	}
	return NULL;
}

static int survey(const ProtobufCMessageDescriptor *descriptor, struct bytes wire, unsigned depth,
		  struct survey *found)
{
	const uint8_t *end = wire.data + wire.len;

	if (depth > GRPC_MESSAGE_MAX_DEPTH) {
		return -EBADMSG;
	}
	for (const uint8_t *at = wire.data; at < end;) {
		const ProtobufCFieldDescriptor *known;
		struct field field;
		int err = 0;

		if (!read_field(at, end, &field)) {
			return -EBADMSG;
		}
		at += field.all.len;
		known = known_as(descriptor, &field);
		if (!known) {
			found->dropped += field.all.len;
			continue;
		}
		if (++found->fields > GRPC_MESSAGE_MAX_FIELDS) {
			return -ENOMEM;
		}
		if (known->type == PROTOBUF_C_TYPE_STRING &&
		    !utf8_valid(
			    (struct str){ (const char *)field.content.data, field.content.len })) {
			err = -EBADMSG;
		} else if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
			err = survey(known->descriptor, field.content, depth + 1, found);
		}
		if (err < 0) {
			return err;
		}
	}
	return 0;
}

/*
 * Copies the known fields of what survey() accepted; returns the end of the
 * copy. A nested message can only have become shorter, so its new length fits
 * into the bytes of the old one.
 */
static uint8_t *keep(const ProtobufCMessageDescriptor *descriptor, struct bytes wire, uint8_t *out)
{
	const uint8_t *end = wire.data + wire.len;
	struct field field;

	for (const uint8_t *at = wire.data; at < end && read_field(at, end, &field);
	     at += field.all.len) {
		const ProtobufCFieldDescriptor *known = known_as(descriptor, &field);

		if (known && known->type == PROTOBUF_C_TYPE_MESSAGE) {
			size_t tag = read_tag(at, end, &field);
			size_t head = (size_t)(field.content.data - at);
			uint8_t *content = out + head, *content_end;

			memcpy(out, at, tag);
			content_end = keep(known->descriptor, field.content, content);
			write_varint(out + tag, head - tag, (uint64_t)(content_end - content));
			out = content_end;
		} else if (known) {
			memcpy(out, at, field.all.len);
			out += field.all.len;
		}
	}
	return out;
}

struct allocation {
	struct arena *arena;
	bool failed;
};

static void *allocate(void *data, size_t size)
{
	struct allocation *allocation = data;
	void *p = arena_alloc(allocation->arena, size);

	if (!p) {
		allocation->failed = true;
	}
	return p;
}

static void release(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

static int unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
		  struct arena *arena, void **ret)
{
	struct allocation allocation = { .arena = arena };
	ProtobufCAllocator allocator = { .alloc = allocate,
					 .free = release,
					 .allocator_data = &allocation };
	void *message = protobuf_c_message_unpack(descriptor, &allocator, wire.len, wire.data);

	if (!message) {
		return allocation.failed ? -ENOMEM : -EBADMSG;
	}
	*ret = message;
	return 0;
}

int grpc_message_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
			struct arena *arena, void **ret)
{
	struct survey found = { 0 };
	struct bytes kept = { NULL, 0 };
	uint8_t *copy;
	int err;

	if (wire.len == 0) {
		wire.data = (const uint8_t *)""; /* no arithmetic on NULL */
	}
	err = survey(descriptor, wire, 0, &found);
	if (err < 0) {
		return err;
	}
	if (found.dropped == 0) {
		return unpack(descriptor, wire, arena, ret);
	}
	copy = malloc(wire.len - found.dropped + 1);
	if (!copy) {
		return -ENOMEM;
	}
	kept.data = copy;
	kept.len = (size_t)(keep(descriptor, wire, copy) - copy);
	err = unpack(descriptor, kept, arena, ret);
	free(copy);
	return err;
}

size_t grpc_message_packed_size(const void *message)
{
	return protobuf_c_message_get_packed_size(message);
}

static bool too_large(size_t n, size_t max)
{
	return n > UINT32_MAX || (max > 0 && n > max);
}

static uint8_t *append_prefix(struct buffer *out, size_t n)
{
	uint8_t *at = buffer_reserve(out, GRPC_PREFIX_BYTES + n);

	if (at) {
		grpc_prefix_write(at, false, (uint32_t)n);
		buffer_commit(out, GRPC_PREFIX_BYTES + n);
		at += GRPC_PREFIX_BYTES;
	}
	return at;
}

int grpc_message_pack(const void *message, size_t max, struct buffer *out)
{
	size_t n = grpc_message_packed_size(message);
	uint8_t *at;

	if (too_large(n, max)) {
		return -EMSGSIZE;
	}
	at = append_prefix(out, n);
	if (!at) {
		return -ENOMEM;
	}
	protobuf_c_message_pack(message, at);
	return 0;
}

int grpc_message_pack_bytes(struct bytes message, size_t max, struct buffer *out)
{
	uint8_t *at;

	if (too_large(message.len, max)) {
		return -EMSGSIZE;
	}
	at = append_prefix(out, message.len);
	if (!at) {
		return -ENOMEM;
	}
	if (message.len > 0) {
		memcpy(at, message.data, message.len);
	}
	return 0;
}

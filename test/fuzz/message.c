/*
 * protobuf off the wire. An input is a byte that chooses the type and the cap of
 * memory, and a message. What is accepted packs into bytes that say the same,
 * and a field that the type does not have changes nothing.
 */
#include "grpc/message.h"

#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "echo.pb-c.h"
#include "fuzz.h"
#include "grpc/wire.h"
#include "tree.pb-c.h"

static int unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire, size_t cap,
		  struct buffer *ret_packed)
{
	struct arena arena;
	void *message = NULL;
	int rv;

	arena_init(&arena, NULL, 0, cap);
	rv = grpc_message_unpack(descriptor, wire, &arena, &message);
	MUST(rv == 0 || rv == -EBADMSG || rv == -ENOMEM);
	MUST(arena.used <= cap);
	if (rv == 0) {
		MUST(((ProtobufCMessage *)message)->descriptor == descriptor);
		MUST(((ProtobufCMessage *)message)->n_unknown_fields == 0);
		MUST(grpc_message_pack(message, 0, ret_packed) == 0);
		MUST(buffer_len(ret_packed) ==
		     GRPC_PREFIX_BYTES + grpc_message_packed_size(message));
	}
	arena_reset(&arena);
	return rv;
}

static struct bytes payload(const struct buffer *packed)
{
	struct bytes bytes = buffer_bytes(packed);

	return (struct bytes){ bytes.data + GRPC_PREFIX_BYTES, bytes.len - GRPC_PREFIX_BYTES };
}

static bool same(const struct buffer *a, const struct buffer *b)
{
	return buffer_len(a) == buffer_len(b) &&
	       memcmp(buffer_data(a), buffer_data(b), buffer_len(a)) == 0;
}

/* What is accepted, as its own bytes and with what nobody knows behind it. */
static void again(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
		  const struct buffer *packed)
{
	/* field 20000 as varint, bytes, and a group with a field in it */
	static const uint8_t unknown[] = { 0x80, 0xe2, 0x09, 0x07, 0x82, 0xe2, 0x09, 0x01, 'x',
					   0x83, 0xe2, 0x09, 0x08, 0x01, 0x84, 0xe2, 0x09 };
	struct buffer twice = BUFFER_INIT, longer = BUFFER_INIT, without = BUFFER_INIT;

	MUST(unpack(descriptor, payload(packed), 64 * MIB, &twice) == 0 && same(packed, &twice));
	MUST(buffer_append(&longer, wire.data, wire.len) == 0);
	MUST(buffer_append(&longer, unknown, sizeof(unknown)) == 0);
	MUST(unpack(descriptor, buffer_bytes(&longer), 64 * MIB, &without) == 0);
	MUST(same(packed, &without));
	buffer_free(&twice);
	buffer_free(&longer);
	buffer_free(&without);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	uint8_t choices = input_byte(&input);
	const ProtobufCMessageDescriptor *descriptor =
		choices & 1 ? &echo__echo_request__descriptor : &tree__node__descriptor;
	struct bytes wire = { input.at, input_left(&input) };
	struct buffer packed = BUFFER_INIT;

	if (unpack(descriptor, wire, choices & 2 ? 1000 : 64 * MIB, &packed) == 0) {
		again(descriptor, wire, &packed);
	}
	buffer_free(&packed);
	return 0;
}

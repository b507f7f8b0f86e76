/*
 * The messages of connectrpc/conformance: over pipes each behind its length, four
 * bytes in big-endian order; headers as metadata and back; anything as an Any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/util.h"
#include "conformance.pb-c.h"
#include "grpc/metadata.h"

/* The next message; NULL at the end of the input. It lives in the arena. */
void *message_read(int fd, struct arena *arena, const ProtobufCMessageDescriptor *descriptor);
void message_write(int fd, const ProtobufCMessage *message);

/* NULL: the bytes are none such. It lives in the arena. */
void *message_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
		     struct bytes wire);
ProtobufCBinaryData message_pack(struct arena *arena, const ProtobufCMessage *message);

/* A packed Any of "connectrpc.conformance.v1.TYPE". */
ProtobufCBinaryData any_pack(struct arena *arena, const char *type, struct bytes value);

/* Each name once, with all of its values in order. */
size_t headers_from_metadata(struct arena *arena, const struct metadata *metadata,
			     Conformance__Header ***ret_headers);
/* In the arena. */
struct metadata metadata_from_headers(struct arena *arena, Conformance__Header *const *headers,
				      size_t n);

static inline struct bytes bytes_of(ProtobufCBinaryData data)
{
	return (struct bytes){ data.data, data.len };
}

/* Borrowed from the arena. */
static inline ProtobufCBinaryData data_copy(struct arena *arena, struct bytes bytes)
{
	struct str copy = arena_str(arena, (struct str){ (const char *)bytes.data, bytes.len });

	return (ProtobufCBinaryData){ copy.len, (uint8_t *)(uintptr_t)copy.data };
}

/*
 * Between protobuf-c's messages and the bytes on the wire.
 *
 * protobuf-c trusts its input more than a server may: it keeps unknown fields
 * at twenty-odd times their size, does not check UTF-8, and recurses as deep as
 * the peer likes. So a cheap walk over the bytes comes first; protobuf-c sees
 * only what passed it.
 *
 *	unknown fields	dropped: at any depth, groups included, also a known
 *			number with another wire type. They cost no memory
 *			however many they are, and never fail a message.
 *	known fields	at most GRPC_MESSAGE_MAX_FIELDS, counted at all depths
 *	nesting		at most GRPC_MESSAGE_MAX_DEPTH
 *	`string` fields	must be UTF-8
 *	memory		the arena and its cap; where unknown fields are cut out,
 *			also one copy of the rest until unpack returns
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/util.h"

typedef struct ProtobufCMessage ProtobufCMessage;
typedef struct ProtobufCMessageDescriptor ProtobufCMessageDescriptor;

/* The number that other implementations use; what is deeper is an attack or a mistake. */
#define GRPC_MESSAGE_MAX_DEPTH 100

/*
 * protobuf-c notes each field in a table of 32 bytes an entry that grows by
 * doubling: at this number 2 MiB, half of what the arena's cap leaves above the
 * largest message. The other half is for the fields' own structures.
 */
#define GRPC_MESSAGE_MAX_FIELDS 32768

/*
 * 0 and the message, which lives in the arena and borrows nothing from `wire`;
 * -EBADMSG: not a message of this type, or a string that is not UTF-8;
 * -ENOMEM: too many fields, over the arena's cap, or no memory.
 * What was taken from the arena stays taken until its reset, also on failure.
 */
int grpc_message_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
			struct arena *arena, void **ret);

/* Without the prefix. */
size_t grpc_message_packed_size(const void *message);

/*
 * Appends the 5-byte prefix (not compressed) and the message. 0, -ENOMEM,
 * -EMSGSIZE (more than `max` bytes, where that is not 0, or than 32 bits can say);
 * the buffer as it was.
 */
int grpc_message_pack(const void *message, size_t max, struct buffer *out);
/* The same for a method without descriptors. */
int grpc_message_pack_bytes(struct bytes message, size_t max, struct buffer *out);

/*
 * An ordered multimap of metadata: what a call carries beside its message.
 * Names are lower-case; order and duplicates are kept; "-bin" values are raw
 * bytes here and base64 on the wire. Bounded by the header list limit, since
 * its content comes from one header block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/util.h"

struct metadata_entry {
	struct str name, value;
	struct metadata_entry *next;
	bool once; /* to be sent: no second call has this value, so nobody need remember it */
};

struct metadata {
	struct metadata_entry *first, **end; /* end: where the next is hung; NULL while empty */
	size_t n;
};

/*
 * Name is [0-9a-z_.-]+ and not reserved ("grpc-" and the transport's own); value
 * is 0x20..0x7E unless "-bin".
 */
bool metadata_valid(struct str name, struct str value);
/*
 * Reserved: pseudo-headers, te, content-type, user-agent, host, content-length,
 * what RFC 9113 8.2.2 forbids, and grpc-* except grpc-previous-rpc-attempts and
 * grpc-retry-pushback-ms.
 */
bool metadata_reserved(struct str name);
static inline bool metadata_is_binary(struct str name)
{
	return name.len >= 4 && memcmp(name.data + name.len - 4, "-bin", 4) == 0;
}

/* Copies into the arena, as not `once`. 0 or -ENOMEM. */
int metadata_add(struct metadata *metadata, struct arena *arena, struct str name, struct str value);
/*
 * A field as it came from the wire. Reserved names, and names outside
 * [0-9a-z_.-]+, are passed over (0, nothing added); spaces around a value are left
 * out; "-bin" values are split at commas and decoded. 0, -EINVAL (not base64),
 * -ENOMEM.
 */
int metadata_receive(struct metadata *metadata, struct arena *arena, struct str name,
		     struct str value);
/*
 * The value as it goes onto the wire: itself, or base64 in the arena for "-bin".
 * data == NULL: no memory.
 */
struct str metadata_wire_value(struct arena *arena, struct str name, struct str value);
/* The first value of that name; data NULL: none. */
struct str metadata_get(const struct metadata *metadata, struct str name);

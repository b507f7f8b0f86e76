/*
 * Length-Prefixed-Message of PROTOCOL-HTTP2, out of DATA whose boundaries mean
 * nothing. A message that lies whole in one chunk is handed on in place; any
 * other is gathered, in memory that grows with what has arrived and never with
 * what a prefix promises.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "grpc/wire.h"

struct deframer {
	struct buffer gathered;
	uint32_t length; /* of the message in progress, once its prefix is whole */
	uint8_t prefix[GRPC_PREFIX_BYTES];
	uint8_t prefix_len;
	bool compression; /* messages may be compressed; false after deframer_free() */
};

/*
 * What a message of `max` bytes may take at most where it is compressed: deflate
 * stores what it cannot shrink, in blocks with a header each.
 */
#define DEFRAMER_COMPRESSED_MAX(max) ((max) + (max) / 1024 + 64)

enum deframer_result {
	DEFRAMER_MORE,       /* the input is used up */
	DEFRAMER_MESSAGE,    /* one message; call again with the rest */
	DEFRAMER_COMPRESSED, /* the same, compressed */
	DEFRAMER_FLAG,       /* an unknown flag, or compressed where it may not be */
	DEFRAMER_LENGTH,     /* longer than `max`, or than that may be compressed */
	DEFRAMER_MEMORY,
};

/*
 * Moves `input` forward. A message is borrowed: from the input or from the
 * deframer, until the next call. After an error the deframer is of no more use
 * but for deframer_free().
 */
enum deframer_result deframer_next(struct deframer *deframer, struct bytes *input, size_t max,
				   struct bytes *ret_message);

/* Between two messages: the input may end here. */
static inline bool deframer_idle(const struct deframer *deframer)
{
	return deframer->prefix_len == 0;
}

static inline void deframer_free(struct deframer *deframer)
{
	buffer_free(&deframer->gathered);
	if (deframer->prefix_len > 0 || deframer->compression) {
		deframer->prefix_len = 0; /* most never wrote here: that cache line stays clean */
		deframer->compression = false;
	}
}

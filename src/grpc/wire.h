/*
 * The small codecs of gRPC over HTTP/2 (PROTOCOL-HTTP2): message prefix,
 * grpc-timeout, percent-encoding of grpc-message, base64 of -bin metadata.
 * Pure functions; nothing is allocated except in buffers that are passed in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"

#define GRPC_PREFIX_BYTES 5

/* Compressed-Flag and Message-Length, big-endian. */
static inline void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX_BYTES], bool compressed, uint32_t n)
{
	prefix[0] = compressed;
	prefix[1] = (uint8_t)(n >> 24);
	prefix[2] = (uint8_t)(n >> 16);
	prefix[3] = (uint8_t)(n >> 8);
	prefix[4] = (uint8_t)n;
}

static inline uint32_t grpc_prefix_length(const uint8_t prefix[GRPC_PREFIX_BYTES])
{
	return (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 | (uint32_t)prefix[3] << 8 |
	       prefix[4];
}

/* 1..8 digits and a unit H M S m u n. 0 and the ns (clamped to INT64_MAX), or -EINVAL. */
int grpc_timeout_parse(struct str text, int64_t *ret_ns);
/* The smallest unit that fits 8 digits, rounded up. Returns the length. */
size_t grpc_timeout_format(int64_t ns, char text[16]);

/*
 * Appends `text` percent-encoded: 0x20..0x7E raw except '%'; invalid UTF-8 becomes
 * U+FFFD. 0 or -ENOMEM.
 */
int grpc_message_encode(struct str text, struct buffer *out);
/* Never fails on its input: a bad sequence stays as it is. 0 or -ENOMEM. */
int grpc_message_decode(struct str text, struct buffer *out);

/*
 * The code in a packed google.rpc.Status, 0 where it names none. 0, or -EBADMSG: not
 * a protobuf message.
 */
int grpc_details_code(struct bytes details, int32_t *ret_code);

/* Unpadded standard base64. 0 or -ENOMEM. */
int grpc_base64_encode(struct bytes bytes, struct buffer *out);
/* Padded or not; -EINVAL for another alphabet or length % 4 == 1. -ENOMEM. */
int grpc_base64_decode(struct str text, struct buffer *out);

/* The same without a buffer. */
#define GRPC_BASE64_SIZE(n) (((n) + 2) / 3 * 4) /* at least what `n` bytes become */
/* Returns the length written; room for GRPC_BASE64_SIZE(bytes.len). */
size_t grpc_base64_write(struct bytes bytes, char *out);
/* Returns the length written, or -EINVAL; room for text.len. */
ssize_t grpc_base64_read(struct str text, uint8_t *out);

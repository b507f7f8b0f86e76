#include "grpc/deframer.h"

static void take(struct bytes *input, size_t n)
{
	input->data += n;
	input->len -= n;
}

/* The prefix, whole or in pieces. */
static enum deframer_result take_prefix(struct deframer *deframer, struct bytes *input, size_t max)
{
	size_t n = MIN(input->len, (size_t)GRPC_PREFIX_BYTES - deframer->prefix_len);

	memcpy(deframer->prefix + deframer->prefix_len, input->data, n);
	deframer->prefix_len += (uint8_t)n;
	take(input, n);
	if (deframer->prefix_len < GRPC_PREFIX_BYTES) {
		return DEFRAMER_MORE;
	}
	if (deframer->prefix[0] > deframer->compression) {
		return DEFRAMER_FLAG;
	}
	if (deframer->prefix[0] != 0) {
		max = DEFRAMER_COMPRESSED_MAX(max);
	}
	deframer->length = grpc_prefix_length(deframer->prefix);
	return deframer->length > max ? DEFRAMER_LENGTH : DEFRAMER_MESSAGE;
}

static enum deframer_result whole(struct deframer *deframer)
{
	deframer->prefix_len = 0;
	return deframer->prefix[0] == 0 ? DEFRAMER_MESSAGE : DEFRAMER_COMPRESSED;
}

/* The frequent case: all of a message is there. False: it is not, or it is a bad one. */
static bool take_whole(struct bytes *input, size_t max, struct bytes *ret_message)
{
	uint32_t length;

	if (input->len < GRPC_PREFIX_BYTES || input->data[0] != 0) {
		return false;
	}
	length = grpc_prefix_length(input->data);
	if (length > max || length > input->len - GRPC_PREFIX_BYTES) {
		return false;
	}
	*ret_message = (struct bytes){ input->data + GRPC_PREFIX_BYTES, length };
	take(input, GRPC_PREFIX_BYTES + (size_t)length);
	return true;
}

enum deframer_result deframer_next(struct deframer *deframer, struct bytes *input, size_t max,
				   struct bytes *ret_message)
{
	size_t missing, n;

	if (deframer->prefix_len < GRPC_PREFIX_BYTES) {
		enum deframer_result result;

		if (deframer->gathered.end > 0) {
			buffer_clear(&deframer->gathered); /* the message before */
		}
		if (input->len == 0) {
			return DEFRAMER_MORE;
		}
		if (deframer->prefix_len == 0 && take_whole(input, max, ret_message)) {
			return DEFRAMER_MESSAGE;
		}
		result = take_prefix(deframer, input, max);
		if (result != DEFRAMER_MESSAGE) {
			return result;
		}
	}
	missing = deframer->length - buffer_len(&deframer->gathered);
	if (missing == deframer->length && input->len >= missing) {
		/* the prefix came before, the message lies whole */
		*ret_message = (struct bytes){ input->data, missing };
		take(input, missing);
		return whole(deframer);
	}
	n = MIN(missing, input->len);
	if (buffer_append(&deframer->gathered, input->data, n) < 0) {
		return DEFRAMER_MEMORY;
	}
	take(input, n);
	if (n < missing) {
		return DEFRAMER_MORE;
	}
	*ret_message = buffer_bytes(&deframer->gathered);
	return whole(deframer);
}

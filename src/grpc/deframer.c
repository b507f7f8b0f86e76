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
	if (deframer->prefix[0] != 0) {
		return DEFRAMER_FLAG;
	}
	deframer->length = grpc_prefix_length(deframer->prefix);
	return deframer->length > max ? DEFRAMER_LENGTH : DEFRAMER_MESSAGE;
}

enum deframer_result deframer_next(struct deframer *deframer, struct bytes *input, size_t max,
				   struct bytes *ret_message)
{
	size_t missing, n;

	if (deframer->prefix_len < GRPC_PREFIX_BYTES) {
		enum deframer_result result;

		buffer_clear(&deframer->gathered); /* the message before */
		if (input->len == 0) {
			return DEFRAMER_MORE;
		}
		result = take_prefix(deframer, input, max);
		if (result != DEFRAMER_MESSAGE) {
			return result;
		}
	}
	missing = deframer->length - buffer_len(&deframer->gathered);
	if (missing == deframer->length && input->len >= missing) {
		*ret_message = (struct bytes){ input->data, missing };
		take(input, missing);
		deframer->prefix_len = 0;
		return DEFRAMER_MESSAGE;
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
	deframer->prefix_len = 0;
	return DEFRAMER_MESSAGE;
}

/*
 * Length-prefixed messages. An input is the largest message allowed (2 bytes),
 * a byte of choices, how many cuts, the cuts (a byte each, how long the piece
 * is), and the bytes. However they are cut, the same messages come out and the
 * same fault ends it, as a loop over the whole says.
 */
#include "grpc/deframer.h"

#include <string.h>

#include "fuzz.h"

#define FREE_EACH   1 /* memory goes back after each message, as calls do it */
#define COMPRESSION 2 /* messages may be compressed */

/* The next message, or what is wrong. */
static enum deframer_result expect(struct bytes *rest, size_t max, uint8_t choices,
				   struct bytes *ret)
{
	bool compressed = rest->len > 0 && rest->data[0] == 1 && choices & COMPRESSION;
	size_t length;

	if (rest->len < GRPC_PREFIX_BYTES) {
		return DEFRAMER_MORE;
	}
	if (rest->data[0] != compressed) {
		return DEFRAMER_FLAG;
	}
	length = (size_t)rest->data[1] << 24 | (size_t)rest->data[2] << 16 |
		 (size_t)rest->data[3] << 8 | rest->data[4];
	if (length > (compressed ? max + max / 1024 + 64 : max)) {
		return DEFRAMER_LENGTH;
	}
	if (length > rest->len - GRPC_PREFIX_BYTES) {
		return DEFRAMER_MORE;
	}
	*ret = (struct bytes){ rest->data + GRPC_PREFIX_BYTES, length };
	rest->data += GRPC_PREFIX_BYTES + length;
	rest->len -= GRPC_PREFIX_BYTES + length;
	return compressed ? DEFRAMER_COMPRESSED : DEFRAMER_MESSAGE;
}

/* One piece, in memory of its own. False: a fault ended it. */
static bool feed(struct deframer *deframer, struct bytes piece, size_t max, uint8_t choices,
		 struct bytes *rest, size_t *fed)
{
	uint8_t *copy = malloc(piece.len + 1);
	struct bytes left = { copy, piece.len }, message, expected;
	enum deframer_result result;

	MUST(copy);
	if (piece.len > 0) {
		memcpy(copy, piece.data, piece.len);
	}
	*fed += piece.len;
	for (;;) {
		result = deframer_next(deframer, &left, max, &message);
		if (result != DEFRAMER_MESSAGE && result != DEFRAMER_COMPRESSED) {
			break;
		}
		MUST(expect(rest, max, choices, &expected) == result);
		MUST(message.len == expected.len);
		MUST(message.len == 0 || memcmp(message.data, expected.data, message.len) == 0);
		if (choices & FREE_EACH) {
			buffer_free(&deframer->gathered);
		}
	}
	/* what waits is bounded by what came, not by what was promised */
	MUST(deframer->gathered.capacity <= 2 * *fed + 64);
	MUST(buffer_len(&deframer->gathered) <= DEFRAMER_COMPRESSED_MAX(max));
	MUST(result != DEFRAMER_MORE || left.len == 0);
	free(copy);
	if (result == DEFRAMER_MORE) {
		return true;
	}
	/* a fault is seen as soon as the prefix is whole */
	MUST(expect(rest, max, choices, &expected) == result);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	size_t max = input_number(&input, 2), fed = 0;
	uint8_t choices = input_byte(&input);
	struct bytes cuts = input_take(&input, input_byte(&input));
	struct bytes rest = { input.at, input_left(&input) }, unused;
	struct deframer deframer = { .compression = choices & COMPRESSION };
	bool good = true;

	for (size_t i = 0; good && input_left(&input) > 0; i++) {
		size_t n = i < cuts.len ? cuts.data[i] : input_left(&input);

		good = feed(&deframer, input_take(&input, n), max, choices, &rest, &fed);
	}
	if (good) {
		MUST(expect(&rest, max, choices, &unused) == DEFRAMER_MORE);
		MUST(deframer_idle(&deframer) == (rest.len == 0));
	}
	deframer_free(&deframer);
	MUST(!deframer.gathered.memory && deframer_idle(&deframer) && !deframer.compression);
	return 0;
}

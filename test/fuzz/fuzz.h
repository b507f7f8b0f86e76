/*
 * Fuzzing: each target is one file with one LLVMFuzzerTestOneInput(), which
 * libFuzzer drives in a build with -Dfuzz=true, and replay.c over the committed
 * corpus in every other. A target states what must hold of its module, with
 * MUST(); that nothing is read or written out of bounds is the sanitizers' part.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libFuzzer's own mutation, and a target's; see frames_mutator.c. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_size, const uint8_t *second,
				 size_t second_size, uint8_t *out, size_t max_size, unsigned seed);

/* As assert(), but in every build. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What is left of an input; beyond its end there are zeros. */
struct input {
	const uint8_t *at, *end;
};

static inline size_t input_left(const struct input *input)
{
	return (size_t)(input->end - input->at);
}

static inline uint8_t input_byte(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static inline uint32_t input_number(struct input *input, unsigned n_bytes)
{
	uint32_t value = 0;

	while (n_bytes-- > 0) {
		value = value << 8 | input_byte(input);
	}
	return value;
}

/* At most `n` bytes, borrowed. */
static inline struct bytes input_take(struct input *input, size_t n)
{
	struct bytes taken = { input->at, MIN(n, input_left(input)) };

	input->at += taken.len;
	return taken;
}

static inline struct str input_text(struct bytes bytes)
{
	return (struct str){ (const char *)bytes.data, bytes.len };
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "grpc/deframer.h"

#define LIMIT 1000

static void a_whole_message_is_handed_on_in_place(void **state)
{
	static const uint8_t wire[] = { 0, 0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0, 0 };
	struct deframer deframer = { 0 };
	struct bytes input = { wire, sizeof(wire) }, message;

	(void)state;
	assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message), DEFRAMER_MESSAGE);
	assert_ptr_equal(message.data, wire + 5);
	assert_int_equal(message.len, 2);
	assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message), DEFRAMER_MESSAGE);
	assert_int_equal(message.len, 0);
	assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message), DEFRAMER_MORE);
	assert_true(deframer_idle(&deframer));
	assert_null(deframer.gathered.memory);
	deframer_free(&deframer);
}

static void a_torn_message_is_not_idle(void **state)
{
	static const uint8_t wire[] = { 0, 0, 0, 0, 2, 'h' };

	(void)state;
	for (size_t n = 1; n <= sizeof(wire); n++) {
		struct deframer deframer = { 0 };
		struct bytes input = { wire, n }, message;

		assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message), DEFRAMER_MORE);
		assert_false(deframer_idle(&deframer));
		deframer_free(&deframer);
	}
}

static void a_flag_is_refused_and_so_is_a_length_over_the_limit(void **state)
{
	static const uint8_t compressed[] = { 1, 0, 0, 0, 0 }, unknown[] = { 0x80, 0, 0, 0, 0 };
	static const uint8_t most[] = { 0, 0, 0, 3, 0xe8 }, over[] = { 0, 0, 0, 3, 0xe9 };
	static const uint8_t huge[] = { 0, 0xff, 0xff, 0xff, 0xff };
	static const struct {
		const uint8_t *wire;
		enum deframer_result result;
	} cases[] = {
		{ compressed, DEFRAMER_FLAG }, { unknown, DEFRAMER_FLAG }, { most, DEFRAMER_MORE },
		{ over, DEFRAMER_LENGTH },     { huge, DEFRAMER_LENGTH },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct deframer deframer = { 0 };
		struct bytes input = { cases[i].wire, 5 }, message;

		assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message),
				 cases[i].result);
		/* a prefix alone makes nobody allocate */
		assert_null(deframer.gathered.memory);
		deframer_free(&deframer);
	}
}

static void a_compressed_message_is_told_apart_where_it_may_be_one(void **state)
{
	static const uint8_t wire[] = { 1, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 1, 'c', 2 };

	(void)state;
	for (size_t cut = 0; cut <= sizeof(wire); cut++) {
		struct deframer deframer = { .compression = true };
		struct bytes parts[] = { { wire, cut }, { wire + cut, sizeof(wire) - cut } };
		struct bytes message;
		char seen[8] = "";
		size_t n = 0;

		for (size_t i = 0; i < 2; i++) {
			enum deframer_result result;

			while ((result = deframer_next(&deframer, &parts[i], LIMIT, &message)) !=
			       DEFRAMER_MORE) {
				if (result == DEFRAMER_FLAG) {
					seen[n++] = '!';
					break;
				}
				seen[n++] = result == DEFRAMER_COMPRESSED ? 'z' : '.';
				memcpy(seen + n, message.data, message.len);
				n += message.len;
			}
		}
		/* the last prefix is not whole, and nothing is judged before it is */
		assert_string_equal(seen, "zab.c");
		deframer_free(&deframer);
		assert_false(deframer.compression);
	}
}

static void a_compressed_message_may_be_a_little_longer_than_the_limit(void **state)
{
	const uint32_t most = DEFRAMER_COMPRESSED_MAX(LIMIT);

	(void)state;
	for (uint32_t over = 0; over < 2; over++) {
		struct deframer deframer = { .compression = true };
		uint8_t prefix[GRPC_PREFIX_BYTES];
		struct bytes input = { prefix, sizeof(prefix) }, message;

		grpc_prefix_write(prefix, true, most + over);
		assert_int_equal(deframer_next(&deframer, &input, LIMIT, &message),
				 over ? DEFRAMER_LENGTH : DEFRAMER_MORE);
		deframer_free(&deframer);
	}
}

/* A row of messages, cut at random: the same messages come out. */
static void boundaries_mean_nothing(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 3);
	for (unsigned round = 0; round < 500; round++) {
		struct buffer wire = BUFFER_INIT, out = BUFFER_INIT, expected = BUFFER_INIT;
		struct deframer deframer = { 0 };
		unsigned n = 1 + (unsigned)random_below(&random, 8), seen = 0;

		for (unsigned i = 0; i < n; i++) {
			size_t len = (size_t)random_below(&random, 60);
			uint8_t prefix[GRPC_PREFIX_BYTES], byte = (uint8_t)('a' + i);

			grpc_prefix_write(prefix, false, (uint32_t)len);
			assert_int_equal(buffer_append(&wire, prefix, sizeof(prefix)), 0);
			for (size_t j = 0; j < len; j++) {
				assert_int_equal(buffer_append(&wire, &byte, 1), 0);
				assert_int_equal(buffer_append(&expected, &byte, 1), 0);
			}
		}
		while (buffer_len(&wire) > 0) {
			size_t take = 1 + (size_t)random_below(&random, buffer_len(&wire));
			struct bytes input = { buffer_data(&wire), take }, message;

			while (deframer_next(&deframer, &input, LIMIT, &message) ==
			       DEFRAMER_MESSAGE) {
				assert_int_equal(buffer_append(&out, message.data, message.len), 0);
				seen++;
			}
			assert_int_equal(input.len, 0);
			buffer_consume(&wire, take);
		}
		assert_true(deframer_idle(&deframer));
		assert_int_equal(seen, n);
		assert_int_equal(buffer_len(&out), buffer_len(&expected));
		if (buffer_len(&out) > 0) {
			assert_memory_equal(buffer_data(&out), buffer_data(&expected),
					    buffer_len(&out));
		}
		deframer_free(&deframer);
		buffer_free(&wire);
		buffer_free(&out);
		buffer_free(&expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_message_is_handed_on_in_place),
		cmocka_unit_test(a_torn_message_is_not_idle),
		cmocka_unit_test(a_flag_is_refused_and_so_is_a_length_over_the_limit),
		cmocka_unit_test(a_compressed_message_is_told_apart_where_it_may_be_one),
		cmocka_unit_test(a_compressed_message_may_be_a_little_longer_than_the_limit),
		cmocka_unit_test(boundaries_mean_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

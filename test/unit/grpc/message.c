#include "grpc/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/random.h"
#include "grpc/wire.h"
#include "tree.pb-c.h"

#define MAX_MESSAGE (4 * MIB)
#define CAP         (MAX_MESSAGE + 4 * MIB)

static int make_arena(void **state)
{
	struct arena *arena = malloc(sizeof(*arena));

	if (!arena) {
		return -1;
	}
	arena_init(arena, NULL, 0, CAP);
	*state = arena;
	return 0;
}

static int drop_arena(void **state)
{
	arena_reset(*state);
	free(*state);
	return 0;
}

static int unpack(void **state, struct bytes wire, Tree__Node **ret)
{
	void *message = NULL;
	int err = grpc_message_unpack(&tree__node__descriptor, wire, *state, &message);

	*ret = message;
	return err;
}

/* String literals with their inner NULs. */
#define WIRE(literal) ((struct bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })

static Tree__Node *unpacked(void **state, struct bytes wire)
{
	Tree__Node *node = NULL;

	assert_int_equal(unpack(state, wire, &node), 0);
	assert_non_null(node);
	assert_int_equal(node->base.n_unknown_fields, 0);
	return node;
}

static void assert_bad(void **state, struct bytes wire)
{
	Tree__Node *node;

	assert_int_equal(unpack(state, wire, &node), -EBADMSG);
	assert_null(node);
}

static void append_varint(struct buffer *out, uint64_t value)
{
	do {
		uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

		assert_int_equal(buffer_append(out, &byte, 1), 0);
		value >>= 7;
	} while (value > 0);
}

static void append_bytes(struct buffer *out, unsigned number, struct bytes value)
{
	append_varint(out, number << 3 | 2);
	append_varint(out, value.len);
	assert_int_equal(buffer_append(out, value.data, value.len), 0);
}

/* A message that contains itself `depth` times in this field. */
static void nest(struct buffer *out, unsigned number, unsigned depth)
{
	struct buffer inner = BUFFER_INIT;

	buffer_clear(out);
	for (unsigned i = 0; i < depth; i++) {
		buffer_clear(&inner);
		append_bytes(&inner, number, buffer_bytes(out));
		buffer_swap(out, &inner);
	}
	buffer_free(&inner);
}

static void test_no_bytes_are_a_message_of_defaults(void **state)
{
	Tree__Node *node = unpacked(state, (struct bytes){ NULL, 0 });

	assert_string_equal(node->name, "");
	assert_int_equal(node->blob.len, 0);
	assert_null(node->child);
	assert_int_equal(node->n_tags, 0);
	assert_int_equal(node->choice_case, TREE__NODE__CHOICE__NOT_SET);
}

static void test_every_kind_of_known_field_arrives(void **state)
{
	Tree__Node *node = unpacked(state, WIRE("\x0a\x02hi"
						"\x12\x03\0\1\2"
						"\x1a\x04\x0a\x02in"
						"\x22\x00\x22\x03\x0a\x01z"
						"\x2a\x01t\x2a\x00"
						"\x32\x03\x01\x96\x01"
						"\x39\1\0\0\0\0\0\0\0"
						"\x4a\x01q"
						"\x5d\1\0\0\0"
						"\x61\0\0\0\0\0\0\xf0\x3f"
						"\x80\xea\x30\x01"));

	assert_string_equal(node->name, "hi");
	assert_int_equal(node->blob.len, 3);
	assert_memory_equal(node->blob.data, "\0\1\2", 3);
	assert_string_equal(node->child->name, "in");
	assert_int_equal(node->n_children, 2);
	assert_string_equal(node->children[1]->name, "z");
	assert_int_equal(node->n_tags, 2);
	assert_string_equal(node->tags[0], "t");
	assert_int_equal(node->n_numbers, 2);
	assert_int_equal(node->numbers[1], 150);
	assert_int_equal(node->n_wide, 1);
	assert_int_equal(node->choice_case, TREE__NODE__CHOICE_TEXT);
	assert_string_equal(node->text, "q");
	assert_int_equal(node->exact, 1);
	assert_true(node->real == 1.0);
	assert_true(node->flag);
}

static void test_a_repeated_number_comes_packed_or_not(void **state)
{
	Tree__Node *node = unpacked(state, WIRE("\x30\x01\x32\x02\x02\x03\x30\x04"));

	assert_int_equal(node->n_numbers, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(node->numbers[i], i + 1);
	}
}

static void test_the_message_borrows_nothing_from_the_wire(void **state)
{
	char wire[] = "\x0a\x02hi\x12\x02yo\x2a\x01t";
	Tree__Node *node = unpacked(state, WIRE(wire));

	memset(wire, 0xff, sizeof(wire));
	assert_string_equal(node->name, "hi");
	assert_memory_equal(node->blob.data, "yo", 2);
	assert_string_equal(node->tags[0], "t");
}

static void test_torn_and_malformed_bytes_are_refused(void **state)
{
	static const struct bytes cases[] = {
		{ (const uint8_t *)"\x0a", 1 },                         /* no length */
		{ (const uint8_t *)"\x0a\x05hi", 4 },                   /* short of its length */
		{ (const uint8_t *)"\x0a\x80", 2 },                     /* torn length */
		{ (const uint8_t *)"\x0a\xff\xff\xff\xff\x0f", 6 },     /* 4 GiB */
		{ (const uint8_t *)"\x0a\x80\x80\x80\x80\x80\x00", 7 }, /* length too long */
		{ (const uint8_t *)"\x80", 1 },                         /* torn tag */
		{ (const uint8_t *)"\x00\x01", 2 },                     /* field 0 */
		{ (const uint8_t *)"\x02\x00", 2 },                     /* field 0 */
		{ (const uint8_t *)"\xff\xff\xff\xff\x7f\x01", 6 },     /* tag beyond 32 bits */
		{ (const uint8_t *)"\x0e\x00", 2 },                     /* wire type 6 */
		{ (const uint8_t *)"\x0f\x00", 2 },                     /* wire type 7 */
		{ (const uint8_t *)"\x0c", 1 },                         /* a group's end alone */
		{ (const uint8_t *)"\x5d\x01\x00", 3 },                 /* 3 bytes of fixed32 */
		{ (const uint8_t *)"\x61\x01\x00\x00\x00\x00\x00\x00", 8 },
		{ (const uint8_t *)"\x40\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12 },
		{ (const uint8_t *)"\x1a\x02\x0a\x05", 4 },     /* within a child */
		{ (const uint8_t *)"\x32\x01\x80", 3 },         /* torn packed number */
		{ (const uint8_t *)"\x3a\x03\x01\x02\x03", 5 }, /* ragged packed fixed64 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_bad(state, cases[i]);
	}
}

/* Every cut of a message at a place that is no field's end is an error, and never a crash. */
static void test_every_truncation_is_an_error_or_a_shorter_message(void **state)
{
	struct bytes wire =
		WIRE("\x0a\x02hi\x1a\x04\x0a\x02in\x5d\1\0\0\0\xa3\x06\x08\x01\xa4\x06");
	static const size_t whole[] = { 0, 4, 10, 15, 21 };
	size_t next = 0;

	for (size_t n = 0; n <= wire.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		Tree__Node *node;

		assert_non_null(copy);
		memcpy(copy, wire.data, n);
		if (n == whole[next]) {
			assert_int_equal(unpack(state, (struct bytes){ copy, n }, &node), 0);
			next++;
		} else {
			assert_int_equal(unpack(state, (struct bytes){ copy, n }, &node), -EBADMSG);
		}
		free(copy);
	}
	assert_int_equal(next, ARRAY_SIZE(whole));
}

static void test_a_string_must_be_utf8_wherever_it_stands(void **state)
{
	assert_bad(state, WIRE("\x0a\x01\xff"));                 /* singular */
	assert_bad(state, WIRE("\x2a\x01t\x2a\x02\xc3("));       /* repeated */
	assert_bad(state, WIRE("\x4a\x02\xc0\x80"));             /* in a oneof */
	assert_bad(state, WIRE("\x1a\x03\x0a\x01\xff"));         /* in a child */
	assert_bad(state, WIRE("\x22\x00\x22\x03\x2a\x01\xff")); /* in a repeated child */
	assert_bad(state, WIRE("\x0a\x03\xed\xa0\x80"));         /* a surrogate */
	assert_bad(state, WIRE("\x0a\x03"
			       "a\0\xff"));                  /* behind a NUL */
	assert_bad(state, WIRE("\xa8\x06\x01\x0a\x01\xff")); /* beside an unknown field */
	unpacked(state, WIRE("\x0a\x03\xe2\x98\xba"));
	unpacked(state, WIRE("\x12\x01\xff"));     /* bytes may be anything */
	unpacked(state, WIRE("\xa2\x06\x01\xff")); /* an unknown field may be anything */
}

static void test_unknown_fields_of_every_wire_type_are_dropped(void **state)
{
	Tree__Node *node = unpacked(state, WIRE("\xa0\x06\x96\x01" /* varint */
						"\x0a\x01"
						"a"
						"\xa1\x06\1\2\3\4\5\6\7\x08" /* fixed64 */
						"\xa2\x06\x03xyz"            /* length-prefixed */
						"\x12\x01"
						"b"
						"\xa3\x06\x08\x01\xa4\x06" /* group */
						"\xa5\x06\1\2\3\4"));      /* fixed32 */

	assert_string_equal(node->name, "a");
	assert_int_equal(node->blob.len, 1);
	assert_int_equal(node->blob.data[0], 'b');
}

static void test_a_known_number_of_another_wire_type_is_an_unknown_field(void **state)
{
	Tree__Node *node = unpacked(state, WIRE("\x08\x01"         /* name as varint */
						"\x0d\1\2\3\4"     /* name as fixed32 */
						"\x42\x01x"        /* number as bytes */
						"\x58\x05"         /* exact as varint */
						"\x1d\1\2\3\4"     /* child as fixed32 */
						"\x0b\x08\x01\x0c" /* name as group */
						"\x12\x01k"));

	assert_string_equal(node->name, "");
	assert_int_equal(node->choice_case, TREE__NODE__CHOICE__NOT_SET);
	assert_int_equal(node->exact, 0);
	assert_null(node->child);
	assert_int_equal(node->blob.len, 1);
}

static void test_a_message_without_fields_takes_any(void **state)
{
	void *message = NULL;

	assert_int_equal(grpc_message_unpack(&tree__empty__descriptor, WIRE("\x0a\x02hi\x10\x01"),
					     *state, &message),
			 0);
	assert_non_null(message);
	assert_int_equal(((Tree__Empty *)message)->base.n_unknown_fields, 0);
}

static void test_unknown_fields_in_nested_messages_are_dropped(void **state)
{
	/* child { child { unknown, name "x" }, unknown }, blob */
	Tree__Node *node = unpacked(state, WIRE("\x1a\x10"
						"\x1a\x09"
						"\xa2\x06\x03"
						"abc"
						"\x0a\x01x"
						"\xa8\x06\x01\x50\x01"
						"\x12\x01"
						"b"));

	assert_non_null(node->child);
	assert_int_equal(node->child->base.n_unknown_fields, 0);
	assert_non_null(node->child->child);
	assert_int_equal(node->child->child->base.n_unknown_fields, 0);
	assert_string_equal(node->child->child->name, "x");
	assert_int_equal(node->blob.len, 1);
}

/* The length of a nested message shrinks across the boundaries of its varint. */
static void test_dropping_keeps_nested_lengths_right_at_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 128, 129, 16381, 16384, 16500 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct buffer child = BUFFER_INIT, wire = BUFFER_INIT;
		uint8_t *junk = calloc(1, sizes[i] + 1);
		Tree__Node *node;

		assert_non_null(junk);
		append_bytes(&child, 200, (struct bytes){ junk, sizes[i] });
		append_bytes(&child, 1, WIRE("name"));
		append_bytes(&wire, 3, buffer_bytes(&child));
		append_bytes(&wire, 5, WIRE("after"));
		node = unpacked(state, buffer_bytes(&wire));
		assert_string_equal(node->child->name, "name");
		assert_int_equal(node->n_tags, 1);
		assert_string_equal(node->tags[0], "after");
		buffer_free(&child);
		buffer_free(&wire);
		free(junk);
		arena_reset(*state);
	}
}

static void test_groups_must_close_in_order(void **state)
{
	unpacked(state, WIRE("\xa3\x06\xab\x06\x08\x01\xac\x06\xa4\x06"));
	assert_bad(state, WIRE("\xa3\x06"));
	assert_bad(state, WIRE("\xa3\x06\xab\x06\xa4\x06\xac\x06"));
	assert_bad(state, WIRE("\xa3\x06\x0a\x05\xa4\x06"));
	assert_bad(state, WIRE("\xa3\x06\x0e\xa4\x06"));
}

static void test_groups_may_nest_a_hundred_deep_and_no_deeper(void **state)
{
	struct buffer wire = BUFFER_INIT;

	for (unsigned depth = GRPC_MESSAGE_MAX_DEPTH; depth <= GRPC_MESSAGE_MAX_DEPTH + 1;
	     depth++) {
		Tree__Node *node;
		bool fits = depth <= GRPC_MESSAGE_MAX_DEPTH;

		buffer_clear(&wire);
		for (unsigned i = 0; i < depth; i++) {
			append_varint(&wire, 100 << 3 | 3);
		}
		for (unsigned i = 0; i < depth; i++) {
			append_varint(&wire, 100 << 3 | 4);
		}
		assert_int_equal(unpack(state, buffer_bytes(&wire), &node), fits ? 0 : -EBADMSG);
	}
	buffer_free(&wire);
}

static void test_messages_may_nest_a_hundred_deep_and_no_deeper(void **state)
{
	static const unsigned fields[] = { 3, 4, 10 };
	struct buffer wire = BUFFER_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		Tree__Node *node;

		nest(&wire, fields[i], GRPC_MESSAGE_MAX_DEPTH);
		unpacked(state, buffer_bytes(&wire));
		nest(&wire, fields[i], GRPC_MESSAGE_MAX_DEPTH + 1);
		assert_int_equal(unpack(state, buffer_bytes(&wire), &node), -EBADMSG);
		nest(&wire, fields[i], 20000);
		assert_int_equal(unpack(state, buffer_bytes(&wire), &node), -EBADMSG);
	}
	buffer_free(&wire);
}

/* Two bytes each, again and again. */
static struct bytes repeated_pair(struct buffer *memory, const char pair[2], size_t n)
{
	uint8_t *at = buffer_reserve(memory, 2 * n);

	assert_non_null(at);
	for (size_t i = 0; i < n; i++) {
		memcpy(at + 2 * i, pair, 2);
	}
	buffer_commit(memory, 2 * n);
	return buffer_bytes(memory);
}

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static void test_two_million_unknown_fields_cost_no_memory_and_little_time(void **state)
{
	static const char *const pairs[] = { "\x78\x01", "\x7a\x00" }; /* varint, length-prefixed */
	const struct arena *arena = *state;

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct buffer wire = BUFFER_INIT;
		double begin;

		repeated_pair(&wire, pairs[i], MAX_MESSAGE / 2 - 4);
		append_bytes(&wire, 1, WIRE("last"));
		begin = cpu_seconds();
		assert_string_equal(unpacked(state, buffer_bytes(&wire))->name, "last");
		assert_true(cpu_seconds() - begin < 1.0);
		assert_true(arena->used <= 2 * sizeof(Tree__Node));
		buffer_free(&wire);
		arena_reset(*state);
	}
}

static void test_the_number_of_known_fields_is_bounded(void **state)
{
	struct buffer wire = BUFFER_INIT;
	struct bytes all = repeated_pair(&wire, "\x2a\x00", GRPC_MESSAGE_MAX_FIELDS + 1);
	Tree__Node *node;

	assert_int_equal(unpack(state, all, &node), -ENOMEM);
	all.len -= 2;
	assert_int_equal(unpacked(state, all)->n_tags, GRPC_MESSAGE_MAX_FIELDS);
	buffer_free(&wire);
}

static void test_fields_of_nested_messages_count_too(void **state)
{
	struct buffer child = BUFFER_INIT, wire = BUFFER_INIT;
	struct bytes half = repeated_pair(&child, "\x2a\x00", GRPC_MESSAGE_MAX_FIELDS / 2);
	Tree__Node *node;

	append_bytes(&wire, 4, half);
	append_bytes(&wire, 4, half);
	assert_int_equal(unpack(state, buffer_bytes(&wire), &node), -ENOMEM);
	buffer_free(&child);
	buffer_free(&wire);
}

/* Packed numbers grow up to eightfold: the arena's cap says no, whatever the count of fields. */
static void test_the_arenas_cap_bounds_what_grows_otherwise(void **state)
{
	struct buffer wire = BUFFER_INIT;
	struct arena *arena = *state;
	uint8_t *ones = malloc(MAX_MESSAGE - 16);
	Tree__Node *node;

	assert_non_null(ones);
	memset(ones, 1, MAX_MESSAGE - 16);
	append_bytes(&wire, 6, (struct bytes){ ones, MAX_MESSAGE - 16 });
	assert_int_equal(unpack(state, buffer_bytes(&wire), &node), -ENOMEM);
	assert_true(arena->used <= CAP);
	buffer_free(&wire);
	free(ones);
}

static void test_the_largest_message_fits_below_the_cap(void **state)
{
	struct buffer wire = BUFFER_INIT;
	uint8_t *text = malloc(MAX_MESSAGE - 5);
	Tree__Node *node;

	assert_non_null(text);
	memset(text, 'x', MAX_MESSAGE - 5);
	append_bytes(&wire, 2, (struct bytes){ text, MAX_MESSAGE - 5 });
	assert_int_equal(buffer_len(&wire), MAX_MESSAGE);
	node = unpacked(state, buffer_bytes(&wire));
	assert_int_equal(node->blob.len, MAX_MESSAGE - 5);
	assert_memory_equal(node->blob.data, text, MAX_MESSAGE - 5);
	buffer_free(&wire);
	free(text);
}

static void test_no_room_in_the_arena_is_told_from_bad_bytes(void **state)
{
	struct bytes wire = WIRE("\x0a\x02hi\x1a\x04\x0a\x02in\x2a\x01t\xa8\x06\x01");
	struct arena small;
	void *message;
	size_t cap = 0;
	int err;

	(void)state;
	do {
		arena_init(&small, NULL, 0, cap);
		err = grpc_message_unpack(&tree__node__descriptor, wire, &small, &message);
		arena_reset(&small);
		assert_true(err == 0 || err == -ENOMEM);
		cap += 16;
	} while (err < 0 && cap < 64 * KIB);
	assert_int_equal(err, 0);
	assert_true(cap > 2 * sizeof(Tree__Node));
}

static void test_packing_writes_the_prefix_and_the_message_behind_what_is_there(void **state)
{
	Tree__Node node;
	struct buffer out = BUFFER_INIT;

	(void)state;
	tree__node__init(&node);
	assert_int_equal(buffer_append_str(&out, STR("before")), 0);
	node.name = (char *)(uintptr_t) "hi";
	assert_int_equal(grpc_message_packed_size(&node), 4);
	assert_int_equal(grpc_message_pack(&node, 0, &out), 0);
	assert_int_equal(buffer_len(&out), 6 + 5 + 4);
	assert_memory_equal(buffer_data(&out), "before\0\0\0\0\x04\x0a\x02hi", 15);
	buffer_clear(&out);
	node.name = (char *)(uintptr_t) "";
	assert_int_equal(grpc_message_pack(&node, 0, &out), 0);
	assert_int_equal(buffer_len(&out), 5);
	assert_memory_equal(buffer_data(&out), "\0\0\0\0\0", 5);
	buffer_free(&out);
}

static void test_raw_bytes_are_prefixed_too(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(grpc_message_pack_bytes(WIRE("a\0b"), 0, &out), 0);
	assert_int_equal(grpc_message_pack_bytes((struct bytes){ NULL, 0 }, 0, &out), 0);
	assert_int_equal(buffer_len(&out), 13);
	assert_memory_equal(buffer_data(&out),
			    "\0\0\0\0\x03"
			    "a\0b\0\0\0\0\0",
			    13);
	assert_int_equal(
		grpc_message_pack_bytes(
			(struct bytes){ (const uint8_t *)"", (size_t)UINT32_MAX + 1 }, 0, &out),
		-EMSGSIZE);
	assert_int_equal(buffer_len(&out), 13);
	buffer_free(&out);
}

static void random_message(struct random *random, struct buffer *out, unsigned depth)
{
	size_t fields = random_below(random, 6);

	for (size_t i = 0; i < fields; i++) {
		struct buffer inner = BUFFER_INIT;
		unsigned known = (unsigned)random_below(random, 16) + 1;

		switch (random_below(random, 4)) {
		case 0:
			append_bytes(out, known, WIRE("text"));
			break;
		case 1:
			append_varint(out, known << 3);
			append_varint(out, random_next(random) >> random_below(random, 64));
			break;
		case 2:
			append_varint(out, known << 3 | 5);
			assert_int_equal(buffer_append(out, "\1\2\3\4", 4), 0);
			break;
		default:
			if (depth < 4) {
				random_message(random, &inner, depth + 1);
			}
			append_bytes(out, (unsigned)random_below(random, 2) + 3,
				     buffer_bytes(&inner));
			buffer_free(&inner);
		}
	}
}

/* Whatever unpacks, packs and unpacks again to the same bytes; the rest is refused. */
static void test_random_and_mutated_messages_are_refused_or_stable(void **state)
{
	struct random random;
	unsigned accepted = 0;

	random_seed(&random, 4);
	for (int i = 0; i < 20000; i++) {
		struct buffer wire = BUFFER_INIT, once = BUFFER_INIT, twice = BUFFER_INIT;
		uint8_t *copy;
		size_t n;
		Tree__Node *node;
		int err;

		random_message(&random, &wire, 0);
		n = buffer_len(&wire);
		for (int j = i % 4; j > 0 && n > 0; j--) {
			buffer_data(&wire)[random_below(&random, n)] =
				(uint8_t)random_next(&random);
		}
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		if (n > 0) {
			memcpy(copy, buffer_data(&wire), n);
		}
		err = unpack(state, (struct bytes){ copy, n }, &node);
		free(copy);
		assert_true(err == 0 || err == -EBADMSG);
		if (err == 0) {
			accepted++;
			assert_int_equal(grpc_message_pack(node, 0, &once), 0);
			buffer_consume(&once, GRPC_PREFIX_BYTES);
			node = unpacked(state, buffer_bytes(&once));
			assert_int_equal(grpc_message_pack(node, 0, &twice), 0);
			buffer_consume(&twice, GRPC_PREFIX_BYTES);
			assert_int_equal(buffer_len(&once), buffer_len(&twice));
			if (buffer_len(&once) > 0) {
				assert_memory_equal(buffer_data(&once), buffer_data(&twice),
						    buffer_len(&once));
			}
		}
		buffer_free(&wire);
		buffer_free(&once);
		buffer_free(&twice);
		arena_reset(*state);
	}
	assert_true(accepted > 5000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_bytes_are_a_message_of_defaults),
		TEST(test_every_kind_of_known_field_arrives),
		TEST(test_a_repeated_number_comes_packed_or_not),
		TEST(test_the_message_borrows_nothing_from_the_wire),
		TEST(test_torn_and_malformed_bytes_are_refused),
		TEST(test_every_truncation_is_an_error_or_a_shorter_message),
		TEST(test_a_string_must_be_utf8_wherever_it_stands),
		TEST(test_unknown_fields_of_every_wire_type_are_dropped),
		TEST(test_a_known_number_of_another_wire_type_is_an_unknown_field),
		TEST(test_a_message_without_fields_takes_any),
		TEST(test_unknown_fields_in_nested_messages_are_dropped),
		TEST(test_dropping_keeps_nested_lengths_right_at_every_size),
		TEST(test_groups_must_close_in_order),
		TEST(test_groups_may_nest_a_hundred_deep_and_no_deeper),
		TEST(test_messages_may_nest_a_hundred_deep_and_no_deeper),
		TEST(test_two_million_unknown_fields_cost_no_memory_and_little_time),
		TEST(test_the_number_of_known_fields_is_bounded),
		TEST(test_fields_of_nested_messages_count_too),
		TEST(test_the_arenas_cap_bounds_what_grows_otherwise),
		TEST(test_the_largest_message_fits_below_the_cap),
		TEST(test_no_room_in_the_arena_is_told_from_bad_bytes),
		TEST(test_packing_writes_the_prefix_and_the_message_behind_what_is_there),
		TEST(test_raw_bytes_are_prefixed_too),
		TEST(test_random_and_mutated_messages_are_refused_or_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

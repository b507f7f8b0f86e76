#include "grpc/metadata.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"

#define CAP (64 * KIB)

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

static void assert_text(struct str text, const char *expected)
{
	assert_non_null(text.data);
	assert_true(str_equal(text, str_from(expected)));
}

static void test_names_are_lower_case_tokens_of_the_grammar(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char name[3] = { 'x', (char)c, 'y' };
		bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' ||
			    c == '-' || c == '.';

		assert_int_equal(metadata_valid((struct str){ name, 3 }, STR("v")), good);
	}
	assert_false(metadata_valid(STR(""), STR("v")));
	assert_true(metadata_valid(STR("x"), STR("")));
}

static void test_values_are_printable_ascii(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char value[3] = { 'x', (char)c, 'y' };

		assert_int_equal(metadata_valid(STR("name"), (struct str){ value, 3 }),
				 c >= 0x20 && c <= 0x7e);
		assert_true(metadata_valid(STR("name-bin"), (struct str){ value, 3 }));
	}
}

static void test_a_user_may_not_send_what_the_protocol_owns(void **state)
{
	static const char *const names[] = {
		":path",      "te",           "content-type", "user-agent",
		"host",       "connection",   "upgrade",      "transfer-encoding",
		"keep-alive", "grpc-timeout", "grpc-status",  "grpc-previous-rpc-attempts",
		"grpc-x",     "grpc-",        "grpc-x-bin",   "content-length",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_false(metadata_valid(str_from(names[i]), STR("v")));
	}
	assert_true(metadata_valid(STR("grpc"), STR("v")));
	assert_true(metadata_valid(STR("tea"), STR("v")));
	assert_true(metadata_valid(STR("x-grpc-y"), STR("v")));
}

static void test_reserved_names_are_the_transports_and_grpcs_with_two_exceptions(void **state)
{
	static const char *const reserved[] = {
		":method",
		":x",
		":",
		"te",
		"content-type",
		"user-agent",
		"grpc-timeout",
		"grpc-encoding",
		"grpc-status",
		"grpc-message",
		"grpc-message-type",
		"grpc-accept-encoding",
		"grpc-status-details-bin",
		"host",
	};
	static const char *const free_names[] = {
		"grpc-previous-rpc-attempts",
		"grpc-retry-pushback-ms",
		"authorization",
		"x",
		"",
		"cookie",
		"content-language",
		"grpcx",
		"te2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		assert_true(metadata_reserved(str_from(reserved[i])));
	}
	for (size_t i = 0; i < ARRAY_SIZE(free_names); i++) {
		assert_false(metadata_reserved(str_from(free_names[i])));
	}
}

static void test_only_the_suffix_makes_a_name_binary(void **state)
{
	(void)state;
	assert_true(metadata_is_binary(STR("-bin")));
	assert_true(metadata_is_binary(STR("trace-bin")));
	assert_false(metadata_is_binary(STR("bin")));
	assert_false(metadata_is_binary(STR("trace-bin-x")));
	assert_false(metadata_is_binary(STR("")));
}

static void test_order_and_duplicates_are_kept(void **state)
{
	struct metadata metadata = { 0 };
	static const char *const expected[][2] = {
		{ "a", "1" }, { "b", "2" }, { "a", "3" }, { "a", "1" }
	};
	size_t i = 0;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(metadata_add(&metadata, *state, str_from(expected[i][0]),
					      str_from(expected[i][1])),
				 0);
	}
	assert_int_equal(metadata.n, 4);
	i = 0;
	for (const struct metadata_entry *entry = metadata.first; entry; entry = entry->next) {
		assert_text(entry->name, expected[i][0]);
		assert_text(entry->value, expected[i][1]);
		i++;
	}
	assert_int_equal(i, 4);
	assert_text(metadata_get(&metadata, STR("a")), "1");
	assert_text(metadata_get(&metadata, STR("b")), "2");
	assert_null(metadata_get(&metadata, STR("c")).data);
}

static void test_added_metadata_outlives_what_it_was_copied_from(void **state)
{
	struct metadata metadata = { 0 };
	char name[] = "name", value[] = "value";

	assert_int_equal(metadata_add(&metadata, *state, STR(name), STR(value)), 0);
	memset(name, 'x', sizeof(name));
	memset(value, 'x', sizeof(value));
	assert_text(metadata.first->name, "name");
	assert_text(metadata.first->value, "value");
}

static void test_an_empty_value_is_a_value(void **state)
{
	struct metadata metadata = { 0 };

	assert_int_equal(metadata_add(&metadata, *state, STR("a"), STR("")), 0);
	assert_non_null(metadata_get(&metadata, STR("a")).data);
	assert_int_equal(metadata_get(&metadata, STR("a")).len, 0);
}

static void test_a_full_arena_is_reported_and_the_rest_stays_readable(void **state)
{
	struct metadata metadata = { 0 };
	static char long_value[KIB];
	size_t added = 0, walked = 0;

	memset(long_value, 'v', sizeof(long_value));
	while (metadata_add(&metadata, *state, STR("name"),
			    (struct str){ long_value, sizeof(long_value) }) == 0) {
		assert_true(++added < CAP / sizeof(long_value));
	}
	assert_true(added > 0);
	for (const struct metadata_entry *entry = metadata.first; entry; entry = entry->next) {
		assert_int_equal(entry->value.len, sizeof(long_value));
		walked++;
	}
	assert_int_equal(walked, added);
	assert_int_equal(metadata.n, added);
}

static void test_received_reserved_and_foreign_names_are_passed_over(void **state)
{
	static const char *const names[] = { ":path", "te",   "grpc-timeout", "user-agent",
					     "x~y",   "x!",   "Upper",        "",
					     "a b",   "x\xc3" };
	struct metadata metadata = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(metadata_receive(&metadata, *state, str_from(names[i]), STR("v")),
				 0);
	}
	assert_int_equal(metadata.n, 0);
	assert_int_equal(
		metadata_receive(&metadata, *state, STR("grpc-previous-rpc-attempts"), STR("2")),
		0);
	assert_text(metadata_get(&metadata, STR("grpc-previous-rpc-attempts")), "2");
}

static void test_received_text_of_any_bytes_is_kept_as_it_is(void **state)
{
	struct metadata metadata = { 0 };

	assert_int_equal(metadata_receive(&metadata, *state, STR("x"), STR("\xff\x80 , a")), 0);
	assert_int_equal(metadata.n, 1);
	assert_text(metadata_get(&metadata, STR("x")), "\xff\x80 , a");
}

static void test_spaces_around_a_received_value_are_left_out(void **state)
{
	struct metadata metadata = { 0 };

	assert_int_equal(metadata_receive(&metadata, *state, STR("x"), STR(" \t a  b \t")), 0);
	assert_int_equal(metadata_receive(&metadata, *state, STR("y"), STR(" \t ")), 0);
	assert_int_equal(metadata_receive(&metadata, *state, STR("z-bin"), STR(" Zm8 ")), 0);
	assert_text(metadata_get(&metadata, STR("x")), "a  b");
	assert_text(metadata_get(&metadata, STR("y")), "");
	assert_text(metadata_get(&metadata, STR("z-bin")), "fo");
}

static void test_received_binary_values_are_split_at_commas_before_decoding(void **state)
{
	struct metadata metadata = { 0 };
	const struct metadata_entry *entry;

	assert_int_equal(metadata_receive(&metadata, *state, STR("x-bin"), STR("AP8,Zm8=,,Zg")), 0);
	assert_int_equal(metadata.n, 4);
	entry = metadata.first;
	assert_int_equal(entry->value.len, 2);
	assert_memory_equal(entry->value.data, "\0\xff", 2);
	entry = entry->next;
	assert_text(entry->value, "fo");
	entry = entry->next;
	assert_non_null(entry->value.data);
	assert_int_equal(entry->value.len, 0);
	entry = entry->next;
	assert_text(entry->value, "f");
	assert_text(entry->name, "x-bin");
	assert_null(entry->next);
}

static void test_an_empty_binary_value_is_one_empty_value(void **state)
{
	struct metadata metadata = { 0 };

	assert_int_equal(metadata_receive(&metadata, *state, STR("x-bin"), STR("")), 0);
	assert_int_equal(metadata_receive(&metadata, *state, STR("y-bin"), (struct str){ NULL, 0 }),
			 0);
	assert_int_equal(metadata.n, 2);
	assert_int_equal(metadata_get(&metadata, STR("x-bin")).len, 0);
}

static void test_a_received_binary_value_in_another_alphabet_is_an_error(void **state)
{
	static const char *const values[] = { "ab-_", "A", "AAAAA", "AA AA", "AA==,!" };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct metadata metadata = { 0 };

		assert_int_equal(
			metadata_receive(&metadata, *state, STR("x-bin"), str_from(values[i])),
			-EINVAL);
	}
}

static void test_binary_values_survive_the_wire(void **state)
{
	struct random random;

	random_seed(&random, 11);
	for (size_t n = 0; n < 100; n++) {
		struct metadata metadata = { 0 };
		struct str wire, back;
		char raw[100];

		for (size_t i = 0; i < n; i++) {
			raw[i] = (char)random_next(&random);
		}
		wire = metadata_wire_value(*state, STR("x-bin"), (struct str){ raw, n });
		assert_non_null(wire.data);
		assert_int_equal(metadata_receive(&metadata, *state, STR("x-bin"), wire), 0);
		back = metadata_get(&metadata, STR("x-bin"));
		assert_true(str_equal(back, (struct str){ raw, n }));
	}
}

static void test_text_goes_onto_the_wire_untouched_and_uncopied(void **state)
{
	struct str value = STR("a, b");

	assert_ptr_equal(metadata_wire_value(*state, STR("x"), value).data, value.data);
}

static void test_random_fields_harm_nothing(void **state)
{
	struct random random;

	random_seed(&random, 5);
	for (int i = 0; i < 10000; i++) {
		struct metadata metadata = { 0 };
		size_t n = random_below(&random, 24), m = random_below(&random, 24);
		char *name = malloc(n + 4), *value = malloc(m + 1);
		int err;

		assert_non_null(name);
		assert_non_null(value);
		for (size_t j = 0; j < n; j++) {
			name[j] = (char)(i % 2 ? 'a' : random_next(&random));
		}
		memcpy(name + n, "-bin", 4);
		for (size_t j = 0; j < m; j++) {
			value[j] = i % 3 ? "AZaz09+/=,"[random_below(&random, 10)]
					 : (char)random_next(&random);
		}
		err = metadata_receive(&metadata, *state, (struct str){ name, n + 4 },
				       (struct str){ value, m });
		assert_true(err == 0 || err == -EINVAL);
		free(name);
		free(value);
		arena_reset(*state);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names_are_lower_case_tokens_of_the_grammar),
		TEST(test_values_are_printable_ascii),
		TEST(test_a_user_may_not_send_what_the_protocol_owns),
		TEST(test_reserved_names_are_the_transports_and_grpcs_with_two_exceptions),
		TEST(test_only_the_suffix_makes_a_name_binary),
		TEST(test_order_and_duplicates_are_kept),
		TEST(test_added_metadata_outlives_what_it_was_copied_from),
		TEST(test_an_empty_value_is_a_value),
		TEST(test_a_full_arena_is_reported_and_the_rest_stays_readable),
		TEST(test_received_reserved_and_foreign_names_are_passed_over),
		TEST(test_received_text_of_any_bytes_is_kept_as_it_is),
		TEST(test_spaces_around_a_received_value_are_left_out),
		TEST(test_received_binary_values_are_split_at_commas_before_decoding),
		TEST(test_an_empty_binary_value_is_one_empty_value),
		TEST(test_a_received_binary_value_in_another_alphabet_is_an_error),
		TEST(test_binary_values_survive_the_wire),
		TEST(test_text_goes_onto_the_wire_untouched_and_uncopied),
		TEST(test_random_fields_harm_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

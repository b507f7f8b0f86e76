#include "client/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CAP 1024

static struct arena arena;
static struct metadata metadata;
static char why[256];

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 0, CAP);
	metadata = (struct metadata){ 0 };
	why[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_reset(&arena);
	return 0;
}

static int add(const char *text)
{
	return input_add_metadata(text, &metadata, &arena, why, sizeof(why));
}

static void expect_entry(const struct metadata_entry *entry, struct str name, struct str value)
{
	assert_non_null(entry);
	assert_true(str_equal(entry->name, name));
	assert_true(str_equal(entry->value, value));
}

static void test_metadata_is_split_at_the_first_colon(void **state)
{
	(void)state;
	assert_int_equal(add("trace:a:b"), 0);
	assert_int_equal(add("Trace: spaced out\t"), 0);
	assert_int_equal(add("empty:"), 0);
	assert_int_equal(metadata.n, 3);
	expect_entry(metadata.first, STR("trace"), STR("a:b"));
	expect_entry(metadata.first->next, STR("trace"), STR("spaced out"));
	expect_entry(metadata.first->next->next, STR("empty"), STR(""));
}

static void test_binary_metadata_is_given_in_base64(void **state)
{
	(void)state;
	assert_int_equal(add("key-bin:AAH/"), 0);
	assert_int_equal(add("key-bin:AP8="), 0);
	assert_int_equal(add("key-bin:AP8"), 0);
	expect_entry(metadata.first, STR("key-bin"), STR("\x00\x01\xff"));
	expect_entry(metadata.first->next, STR("key-bin"), STR("\x00\xff"));
	expect_entry(metadata.first->next->next, STR("key-bin"), STR("\x00\xff"));
	assert_int_equal(add("key-bin:not base64"), -1);
	assert_non_null(strstr(why, "base64"));
}

static void test_metadata_that_cannot_be_sent_is_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "", "name:value" },
		{ "novalue", "name:value" },
		{ ":value", "name:value" },
		{ "sp ace:x", "has the name" },
		{ "\xc3\xa9:x", "has the name" },
		{ "te:trailers", "not a caller's" },
		{ "content-type:x", "not a caller's" },
		{ "grpc-timeout:1S", "not a caller's" },
		{ "a:\x01", "printable" },
		{ "a:gr\xc3\xbc\xc3\x9f", "printable" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		why[0] = '\0';
		assert_int_equal(add(cases[i].text), -1);
		assert_non_null(strstr(why, cases[i].reason));
	}
	assert_int_equal(metadata.n, 0);
}

static void test_too_much_metadata_is_refused(void **state)
{
	char text[CAP + 8];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "a:", 2);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(add(text), -1);
	assert_non_null(strstr(why, "1024"));
}

static int check(struct str text, size_t max)
{
	return input_check_message((struct bytes){ (const uint8_t *)text.data, text.len }, max, why,
				   sizeof(why));
}

static void test_messages_must_be_utf8(void **state)
{
	(void)state;
	assert_int_equal(check(STR(""), 100), 0);
	assert_int_equal(check(STR("a\0b \xf0\x9f\x8e\x89"), 100), 0);
	assert_int_equal(check(STR("abc\xff"), 100), -1);
	assert_non_null(strstr(why, "0xff at offset 3"));
}

static void test_the_limit_counts_the_whole_request(void **state)
{
	static char text[4 * 1024 * 1024];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(check((struct str){ text, 98 }, 100), 0); /* tag, one length byte */
	assert_int_equal(check((struct str){ text, 99 }, 100), -1);
	assert_int_equal(check((struct str){ text, 127 }, 129), 0);
	assert_int_equal(check((struct str){ text, 128 }, 130), -1); /* two length bytes */
	assert_int_equal(check((struct str){ text, 128 }, 131), 0);
	assert_int_equal(check((struct str){ text, sizeof(text) - 5 }, sizeof(text)), 0);
	assert_int_equal(check((struct str){ text, sizeof(text) - 4 }, sizeof(text)), -1);
	assert_non_null(strstr(why, "limit is 4194304"));
}

/* A file with this content; the name is the caller's to unlink. */
static void make_file(char name[32], const char *content, size_t n)
{
	int fd;

	memcpy(name, "/tmp/echod-input-XXXXXX", sizeof("/tmp/echod-input-XXXXXX"));
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, n), n);
	close(fd);
}

static void test_files_are_read_byte_for_byte(void **state)
{
	struct buffer out = BUFFER_INIT;
	char name[32];

	(void)state;
	make_file(name, "a\0b\n", 4);
	assert_int_equal(input_read_file(name, 4, &out, why, sizeof(why)), 0);
	assert_int_equal(buffer_len(&out), 4);
	assert_memory_equal(buffer_data(&out), "a\0b\n", 4);
	buffer_clear(&out);
	assert_int_equal(input_read_file(name, 3, &out, why, sizeof(why)), -1);
	assert_string_equal(why, "is longer than 3 bytes");
	unlink(name);
	assert_int_equal(input_read_file(name, 4, &out, why, sizeof(why)), -1);
	assert_string_equal(why, "cannot be opened: No such file or directory");
	assert_int_equal(input_read_file("/", 4, &out, why, sizeof(why)), -1);
	assert_string_equal(why, "cannot be read: Is a directory");
	buffer_free(&out);
}

static void test_a_dash_is_standard_input(void **state)
{
	struct buffer out = BUFFER_INIT;
	int ends[2], saved = dup(STDIN_FILENO);

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x\0y", 3), 3);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	assert_int_equal(input_read_file("-", 100, &out, why, sizeof(why)), 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(ends[0]);
	assert_int_equal(buffer_len(&out), 3);
	assert_memory_equal(buffer_data(&out), "x\0y", 3);
	buffer_free(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metadata_is_split_at_the_first_colon),
		TEST(binary_metadata_is_given_in_base64),
		TEST(metadata_that_cannot_be_sent_is_refused),
		TEST(too_much_metadata_is_refused),
		TEST(messages_must_be_utf8),
		TEST(the_limit_counts_the_whole_request),
		TEST(files_are_read_byte_for_byte),
		TEST(a_dash_is_standard_input),
	};

	return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}

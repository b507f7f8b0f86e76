#include "grpc/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "base/utf8.h"

static void assert_content(const struct buffer *buffer, struct str expected)
{
	assert_int_equal(buffer_len(buffer), expected.len);
	if (expected.len > 0) {
		assert_memory_equal(buffer_data(buffer), expected.data, expected.len);
	}
}

static struct str content(const struct buffer *buffer)
{
	return (struct str){ (const char *)buffer_bytes(buffer).data, buffer_len(buffer) };
}

static void fill(struct random *random, void *memory, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		((uint8_t *)memory)[i] = (uint8_t)random_next(random);
	}
}

static void test_the_prefix_is_a_flag_and_a_big_endian_length(void **state)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	(void)state;
	grpc_prefix_write(prefix, false, 0x01020304);
	assert_memory_equal(prefix, "\0\1\2\3\4", 5);
	grpc_prefix_write(prefix, true, UINT32_MAX);
	assert_memory_equal(prefix, "\1\377\377\377\377", 5);
	assert_int_equal(grpc_prefix_length(prefix), UINT32_MAX);
	for (uint32_t n = 1; n; n <<= 1) {
		grpc_prefix_write(prefix, false, n);
		assert_int_equal(grpc_prefix_length(prefix), n);
	}
}

static void test_a_timeout_is_up_to_eight_digits_and_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "0n", 0 },
		{ "1n", 1 },
		{ "1u", 1000 },
		{ "1m", 1000000 },
		{ "1S", 1000000000 },
		{ "1M", INT64_C(60000000000) },
		{ "1H", INT64_C(3600000000000) },
		{ "00000001S", 1000000000 },
		{ "99999999n", 99999999 },
		{ "99999999S", INT64_C(99999999000000000) },
		{ "99999999M", INT64_C(5999999940000000000) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = -1;

		assert_int_equal(grpc_timeout_parse(str_from(cases[i].text), &ns), 0);
		assert_true(ns == cases[i].ns);
	}
}

static void test_a_timeout_beyond_the_clock_is_clamped(void **state)
{
	int64_t ns = 0;

	(void)state;
	assert_int_equal(grpc_timeout_parse(STR("99999999H"), &ns), 0);
	assert_true(ns == INT64_MAX);
	assert_int_equal(grpc_timeout_parse(STR("2562047H"), &ns), 0);
	assert_true(ns == INT64_C(2562047) * 3600 * NS_PER_S);
	assert_int_equal(grpc_timeout_parse(STR("2562048H"), &ns), 0);
	assert_true(ns == INT64_MAX);
}

static void test_a_malformed_timeout_is_refused_and_leaves_the_result_alone(void **state)
{
	static const char *const cases[] = { "",    "S",   "1",   "1x",   "-1S",  "+1S",
					     "1 S", " 1S", "1S ", "1.5S", "0x1S", "123456789S",
					     "1s",  "1h",  "1N",  "1mS",  "SS",   "\xd9\xa1S" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = 42;

		assert_int_equal(grpc_timeout_parse(str_from(cases[i]), &ns), -EINVAL);
		assert_true(ns == 42);
	}
	assert_int_equal(grpc_timeout_parse((struct str){ "1\0S", 3 }, &(int64_t){ 0 }), -EINVAL);
}

static void test_a_timeout_is_written_in_the_smallest_unit_that_fits(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ INT64_MIN, "0n" },
		{ -1, "0n" },
		{ 0, "0n" },
		{ 1, "1n" },
		{ 99999999, "99999999n" },
		{ 100000000, "100000u" },
		{ 100000001, "100001u" },
		{ INT64_C(99999999000), "99999999u" },
		{ INT64_C(99999999001), "100000m" },
		{ 20 * NS_PER_S, "20000000u" },
		{ INT64_C(99999999) * NS_PER_S, "99999999S" },
		{ INT64_C(99999999) * NS_PER_S + 1, "1666667M" },
		{ INT64_MAX, "2562048H" },
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = grpc_timeout_format(cases[i].ns, text);

		assert_string_equal(text, cases[i].text);
		assert_int_equal(n, strlen(text));
	}
}

/* Never shorter than asked, and longer by less than one part in 100000. */
static void test_a_written_timeout_reads_back_no_shorter_and_hardly_longer(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 7);
	for (int i = 0; i < 100000; i++) {
		int64_t ns = (int64_t)(random_next(&random) >> (1 + i % 63)), read = -1;
		char text[16];
		size_t n = grpc_timeout_format(ns, text);

		assert_true(n >= 2 && n <= 9);
		assert_int_equal(grpc_timeout_parse((struct str){ text, n }, &read), 0);
		assert_true(read >= ns);
		assert_true(read - ns <= ns / 100000);
	}
}

static void test_each_byte_is_raw_or_percent_encoded_as_the_specification_says(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		struct buffer out = BUFFER_INIT;
		char byte = (char)c, expected[16];

		if (c >= 0x80) {
			snprintf(expected, sizeof(expected), "%%EF%%BF%%BD");
		} else if (c >= 0x20 && c <= 0x7e && c != '%') {
			snprintf(expected, sizeof(expected), "%c", c);
		} else {
			snprintf(expected, sizeof(expected), "%%%02X", (unsigned)c);
		}
		assert_int_equal(grpc_message_encode((struct str){ &byte, 1 }, &out), 0);
		assert_content(&out, str_from(expected));
		buffer_free(&out);
	}
}

static void test_the_golden_status_message_round_trips(void **state)
{
	static const char golden[] =
		"\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
		"\xf0\x9f\x98\x88\t\n";
	struct buffer encoded = BUFFER_INIT, decoded = BUFFER_INIT;

	(void)state;
	assert_int_equal(grpc_message_encode(STR(golden), &encoded), 0);
	assert_content(&encoded, STR("%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA "
				     "and non-BMP %F0%9F%98%88%09%0A"));
	assert_int_equal(grpc_message_decode(content(&encoded), &decoded), 0);
	assert_content(&decoded, STR(golden));
	buffer_free(&encoded);
	buffer_free(&decoded);
}

static void test_every_code_point_round_trips(void **state)
{
	struct buffer encoded = BUFFER_INIT, decoded = BUFFER_INIT;

	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		char utf8[4];
		size_t n = 0;

		if (c >= 0xd800 && c <= 0xdfff) {
			continue;
		}
		if (c < 0x80) {
			utf8[n++] = (char)c;
		} else if (c < 0x800) {
			utf8[n++] = (char)(0xc0 | c >> 6);
			utf8[n++] = (char)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			utf8[n++] = (char)(0xe0 | c >> 12);
			utf8[n++] = (char)(0x80 | (c >> 6 & 63));
			utf8[n++] = (char)(0x80 | (c & 63));
		} else {
			utf8[n++] = (char)(0xf0 | c >> 18);
			utf8[n++] = (char)(0x80 | (c >> 12 & 63));
			utf8[n++] = (char)(0x80 | (c >> 6 & 63));
			utf8[n++] = (char)(0x80 | (c & 63));
		}
		buffer_clear(&encoded);
		buffer_clear(&decoded);
		assert_int_equal(grpc_message_encode((struct str){ utf8, n }, &encoded), 0);
		assert_int_equal(grpc_message_decode(content(&encoded), &decoded), 0);
		assert_content(&decoded, (struct str){ utf8, n });
	}
	buffer_free(&encoded);
	buffer_free(&decoded);
}

static void test_invalid_utf8_in_a_message_becomes_the_replacement_character(void **state)
{
	static const struct {
		struct str text, encoded;
	} cases[] = {
		{ STR_INIT("a\xff"
			   "b"),
		  STR_INIT("a%EF%BF%BDb") },
		{ STR_INIT("\xc0\x80"), STR_INIT("%EF%BF%BD%EF%BF%BD") },
		{ STR_INIT("\xed\xa0\x80"), STR_INIT("%EF%BF%BD%EF%BF%BD%EF%BF%BD") },
		{ STR_INIT("cut \xe2\x98"), STR_INIT("cut %EF%BF%BD%EF%BF%BD") },
		{ STR_INIT("\xe2\x98\xba\xba"), STR_INIT("%E2%98%BA%EF%BF%BD") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buffer out = BUFFER_INIT;

		assert_int_equal(grpc_message_encode(cases[i].text, &out), 0);
		assert_content(&out, cases[i].encoded);
		buffer_free(&out);
	}
}

static void test_a_bad_percent_sequence_stays_as_it_is(void **state)
{
	static const struct {
		const char *text, *decoded;
	} cases[] = {
		{ "%", "%" },        { "%%", "%%" },
		{ "100%", "100%" },  { "%4", "%4" },
		{ "%G1", "%G1" },    { "%1G", "%1G" },
		{ "%%41", "%A" },    { "%4%41", "%4A" },
		{ "%41", "A" },      { "%e2%98%ba", "\xe2\x98\xba" },
		{ "%FF", "\xff" },   { "", "" },
		{ "% 41", "% 41" },  { "%+1", "%+1" },
		{ "a%0Ab", "a\nb" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buffer out = BUFFER_INIT;

		assert_int_equal(grpc_message_decode(str_from(cases[i].text), &out), 0);
		assert_content(&out, str_from(cases[i].decoded));
		buffer_free(&out);
	}
}

static void test_any_bytes_encode_to_printable_ascii_and_decode_to_valid_utf8(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 1);
	for (int i = 0; i < 10000; i++) {
		struct buffer encoded = BUFFER_INIT, decoded = BUFFER_INIT;
		char text[64];
		struct str all = { text, random_below(&random, sizeof(text) + 1) };
		bool valid;

		fill(&random, text, all.len);
		valid = utf8_valid(all);
		assert_int_equal(grpc_message_encode(all, &encoded), 0);
		for (size_t j = 0; j < buffer_len(&encoded); j++) {
			assert_in_range(buffer_data(&encoded)[j], 0x20, 0x7e);
		}
		assert_int_equal(grpc_message_decode(content(&encoded), &decoded), 0);
		assert_true(utf8_valid(content(&decoded)));
		if (valid) {
			assert_content(&decoded, all);
		}
		/* The decoder meets the raw bytes, too. */
		buffer_clear(&decoded);
		assert_int_equal(grpc_message_decode(all, &decoded), 0);
		assert_true(buffer_len(&decoded) <= all.len);
		buffer_free(&encoded);
		buffer_free(&decoded);
	}
}

static void test_codecs_append_to_what_is_already_there(void **state)
{
	struct buffer out = BUFFER_INIT;

	(void)state;
	assert_int_equal(buffer_append_str(&out, STR("x=")), 0);
	assert_int_equal(grpc_message_encode(STR("%"), &out), 0);
	assert_int_equal(grpc_message_decode(STR("%41"), &out), 0);
	assert_int_equal(grpc_base64_encode((struct bytes){ (const uint8_t *)"M", 1 }, &out), 0);
	assert_int_equal(grpc_base64_decode(STR("TQ"), &out), 0);
	assert_int_equal(grpc_base64_decode(STR("T!"), &out), -EINVAL);
	assert_content(&out, STR("x=%25ATQM"));
	buffer_free(&out);
}

static void test_base64_matches_the_vectors_of_rfc_4648(void **state)
{
	static const char *const vectors[][3] = {
		{ "", "", "" },
		{ "f", "Zg", "Zg==" },
		{ "fo", "Zm8", "Zm8=" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+", "+//+" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct str raw = str_from(vectors[i][0]);
		struct buffer out = BUFFER_INIT;

		assert_int_equal(
			grpc_base64_encode((struct bytes){ (const uint8_t *)raw.data, raw.len },
					   &out),
			0);
		assert_content(&out, str_from(vectors[i][1]));
		for (int form = 1; form <= 2; form++) {
			buffer_clear(&out);
			assert_int_equal(grpc_base64_decode(str_from(vectors[i][form]), &out), 0);
			assert_content(&out, raw);
		}
		buffer_free(&out);
	}
}

static void test_base64_of_every_length_round_trips_padded_and_unpadded(void **state)
{
	struct random random;
	uint8_t raw[600];

	(void)state;
	random_seed(&random, 2);
	for (size_t n = 0; n <= sizeof(raw); n++) {
		struct buffer text = BUFFER_INIT, back = BUFFER_INIT;

		fill(&random, raw, n);
		assert_int_equal(grpc_base64_encode((struct bytes){ raw, n }, &text), 0);
		assert_int_equal(buffer_len(&text), (8 * n + 5) / 6);
		for (int padded = 0; padded < 2; padded++) {
			while (padded && buffer_len(&text) % 4 != 0) {
				assert_int_equal(buffer_append(&text, "=", 1), 0);
			}
			buffer_clear(&back);
			assert_int_equal(grpc_base64_decode(content(&text), &back), 0);
			assert_content(&back, (struct str){ (const char *)raw, n });
		}
		buffer_free(&text);
		buffer_free(&back);
	}
}

static void test_base64_takes_no_other_alphabet_and_no_stray_padding(void **state)
{
	static const char *const cases[] = {
		"A",    "AAAAA",    "ab-_",  "AA-A",   "A_AA",     "AA A", "AAAA\n",   "AA,A",
		"=",    "==",       "====",  "A===",   "A=",       "AA=",  "AAA==",    "=AAA",
		"AA=A", "AA==AA==", "AAAA=", "AAAA==", "AAAA====", "Zg=",  "\u00e9aa",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buffer out = BUFFER_INIT;

		assert_int_equal(grpc_base64_decode(str_from(cases[i]), &out), -EINVAL);
		assert_int_equal(buffer_len(&out), 0);
		buffer_free(&out);
	}
}

/* Every pair of bytes. */
static void test_base64_accepts_exactly_its_alphabet(void **state)
{
	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
					       "wxyz0123456789+/";
			char text[2] = { (char)a, (char)b };
			uint8_t out[2];
			bool good = a && b && strchr(alphabet, a) && strchr(alphabet, b);

			assert_int_equal(grpc_base64_read((struct str){ text, 2 }, out),
					 good ? 1 : -EINVAL);
		}
	}
}

static void test_random_bytes_harm_no_decoder(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 3);
	for (int i = 0; i < 10000; i++) {
		struct buffer out = BUFFER_INIT;
		/* Exactly as long as its content, so that a sanitizer sees one byte too far. */
		struct str text = { NULL, random_below(&random, 40) };
		char *memory = malloc(text.len ? text.len : 1);
		int64_t ns;

		assert_non_null(memory);
		fill(&random, memory, text.len);
		text.data = memory;
		grpc_timeout_parse(text, &ns);
		grpc_base64_decode(text, &out);
		buffer_clear(&out);
		assert_int_equal(grpc_message_decode(text, &out), 0);
		buffer_free(&out);
		free(memory);
	}
}

static void test_the_code_of_status_details_is_found_by_hand(void **state)
{
	static const struct {
		struct str details;
		int rv;
		int32_t code;
	} cases[] = {
		{ STR_INIT(""), 0, 0 },
		{ STR_INIT("\x08\x05"), 0, 5 },
		{ STR_INIT("\x08\x05\x08\x07"), 0, 7 }, /* the last one counts */
		{ STR_INIT("\x12\x03why\x08\x05\x1a\x02\x0a\0"), 0, 5 },
		{ STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0, -1 },
		{ STR_INIT("\x21\1\2\3\4\5\6\7\x08\x2d\1\2\3\4\x08\1"), 0, 1 }, /* unknown fields */
		{ STR_INIT("\x0a\x02\x08\x05"), 0, 0 }, /* field 1, but no number */
		{ STR_INIT("\x08"), -EBADMSG, 0 },
		{ STR_INIT("\x08\x85"), -EBADMSG, 0 },
		{ STR_INIT("\x12\x04why"), -EBADMSG, 0 },
		{ STR_INIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG, 0 },
		{ STR_INIT("\x21\1\2\3\4\5\6\7"), -EBADMSG, 0 },
		{ STR_INIT("\x2d\1\2\3"), -EBADMSG, 0 },
		{ STR_INIT("\x0b\x0c"), -EBADMSG, 0 }, /* a group */
		{ STR_INIT("\0\0"), -EBADMSG, 0 },     /* field 0 */
		{ STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes details = { (const uint8_t *)cases[i].details.data,
					 cases[i].details.len };
		int32_t code = 99;

		assert_int_equal(grpc_details_code(details, &code), cases[i].rv);
		assert_int_equal(code, cases[i].rv == 0 ? cases[i].code : 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_prefix_is_a_flag_and_a_big_endian_length),
		cmocka_unit_test(test_a_timeout_is_up_to_eight_digits_and_a_unit),
		cmocka_unit_test(test_a_timeout_beyond_the_clock_is_clamped),
		cmocka_unit_test(test_a_malformed_timeout_is_refused_and_leaves_the_result_alone),
		cmocka_unit_test(test_a_timeout_is_written_in_the_smallest_unit_that_fits),
		cmocka_unit_test(test_a_written_timeout_reads_back_no_shorter_and_hardly_longer),
		cmocka_unit_test(
			test_each_byte_is_raw_or_percent_encoded_as_the_specification_says),
		cmocka_unit_test(test_the_golden_status_message_round_trips),
		cmocka_unit_test(test_every_code_point_round_trips),
		cmocka_unit_test(test_invalid_utf8_in_a_message_becomes_the_replacement_character),
		cmocka_unit_test(test_a_bad_percent_sequence_stays_as_it_is),
		cmocka_unit_test(test_any_bytes_encode_to_printable_ascii_and_decode_to_valid_utf8),
		cmocka_unit_test(test_codecs_append_to_what_is_already_there),
		cmocka_unit_test(test_base64_matches_the_vectors_of_rfc_4648),
		cmocka_unit_test(test_base64_of_every_length_round_trips_padded_and_unpadded),
		cmocka_unit_test(test_base64_takes_no_other_alphabet_and_no_stray_padding),
		cmocka_unit_test(test_base64_accepts_exactly_its_alphabet),
		cmocka_unit_test(test_the_code_of_status_details_is_found_by_hand),
		cmocka_unit_test(test_random_bytes_harm_no_decoder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

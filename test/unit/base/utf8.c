#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* As RFC 3629 3 writes it, for any number up to 21 bits, legal or not. */
static size_t encode(uint32_t point, size_t len, char *out)
{
	static const unsigned char leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	if (len == 1) {
		*out = (char)point;
		return 1;
	}
	for (size_t i = len - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (point & 0x3f));
		point >>= 6;
	}
	out[0] = (char)(leads[len] | point);
	return len;
}

static size_t natural_len(uint32_t point)
{
	return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static void every_code_point_in_every_length(void **state)
{
	(void)state;
	for (size_t len = 1; len <= 4; len++) {
		static const uint32_t limits[] = { 0, 0x80, 0x800, 0x10000, 0x200000 };

		for (uint32_t point = 0; point < limits[len]; point++) {
			char text[4];
			bool legal = natural_len(point) == len && point <= 0x10ffff &&
				     !(point >= 0xd800 && point <= 0xdfff);
			struct str s = { text, encode(point, len, text) };

			assert_int_equal(utf8_valid(s), legal);
			if (legal && len > 1) {
				assert_false(utf8_valid((struct str){ text, len - 1 }));
			}
		}
	}
}

static void every_pair_of_bytes(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			const char text[2] = { (char)a, (char)b };
			bool ascii = a < 0x80 && b < 0x80;
			bool two = a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf;

			assert_int_equal(utf8_valid((struct str){ text, 2 }), ascii || two);
		}
	}
}

/* Words of ASCII are skipped: a bad byte must be found at each place and alignment. */
static void one_bad_byte_anywhere(void **state)
{
	char text[64];

	(void)state;
	for (size_t offset = 0; offset < 8; offset++) {
		for (size_t len = 0; len + offset < sizeof(text); len++) {
			memset(text, 'a', sizeof(text));
			assert_true(utf8_valid((struct str){ text + offset, len }));
			for (size_t bad = 0; bad < len; bad++) {
				text[offset + bad] = (char)0xff;
				assert_int_equal(
					utf8_valid_prefix((struct str){ text + offset, len }), bad);
				text[offset + bad] = 'a';
			}
		}
	}
}

static void the_prefix_ends_before_a_torn_character(void **state)
{
	(void)state;
	assert_int_equal(utf8_valid_prefix(STR("abc\xe2\x82\xac")), 6);
	assert_int_equal(utf8_valid_prefix(STR("abc\xe2\x82")), 3);
	assert_int_equal(utf8_valid_prefix(STR("\xf0\x9f\x98\x80\xf0\x9f\x98")), 4);
	assert_int_equal(utf8_valid_prefix(STR("12345678\xc3\xa4"
					       "12345678\x80")),
			 18);
	assert_int_equal(utf8_valid_prefix((struct str){ NULL, 0 }), 0);
	assert_true(utf8_valid(STR("a\0b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point_in_every_length),
		cmocka_unit_test(every_pair_of_bytes),
		cmocka_unit_test(one_bad_byte_anywhere),
		cmocka_unit_test(the_prefix_ends_before_a_torn_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

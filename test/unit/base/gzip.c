#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/gzip.h"
#include "base/random.h"

/* Decompresses with zlib's own gzip reader, which also checks length and checksum. */
static void assert_gunzips_to(struct bytes gzip, struct bytes plain)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)gzip.data, .avail_in = (uInt)gzip.len };
	uint8_t *out = malloc(plain.len + 1);

	stream.next_out = out;
	stream.avail_out = (uInt)plain.len + 1;
	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	assert_int_equal(stream.total_out, plain.len);
	if (plain.len > 0) {
		assert_memory_equal(out, plain.data, plain.len);
	}
	inflateEnd(&stream);
	free(out);
}

static void comes_back(void **state)
{
	struct buffer plain = BUFFER_INIT, out = BUFFER_INIT;
	struct random random;

	(void)state;
	random_seed(&random, 1);
	for (size_t n = 0; n < 300000; n = 3 * n + 1) {
		for (int level = 1; level <= 9; level += 4) {
			buffer_clear(&plain);
			buffer_clear(&out);
			for (size_t i = 0; i < n; i++) {
				/* Half of it repeats, half does not. */
				uint8_t byte =
					i % 2000 < 1000 ? 'x' : (uint8_t)random_next(&random);

				buffer_append(&plain, &byte, 1);
			}
			assert_int_equal(gzip_compress(buffer_bytes(&plain), level, &out), 0);
			assert_gunzips_to(buffer_bytes(&out), buffer_bytes(&plain));
		}
	}
	buffer_free(&plain);
	buffer_free(&out);
}

static void appends(void **state)
{
	struct buffer out = BUFFER_INIT;
	const struct str plain = STR("total_requests 0\n");
	struct bytes bytes = { (const uint8_t *)plain.data, plain.len };

	(void)state;
	buffer_append(&out, "before", 6);
	assert_int_equal(gzip_compress(bytes, 6, &out), 0);
	assert_memory_equal(buffer_data(&out), "before", 6);
	buffer_consume(&out, 6);
	assert_gunzips_to(buffer_bytes(&out), bytes);
	buffer_free(&out);
}

static void every_allocation_may_fail(void **state)
{
	static const uint8_t plain[5000];
	struct buffer out = BUFFER_INIT;
	long failed = 0;

	(void)state;
	buffer_append(&out, "before", 6);
	for (;; failed++) {
		failing_at = failed;
		if (gzip_compress((struct bytes){ plain, sizeof(plain) }, 6, &out) == 0) {
			break;
		}
		assert_int_equal(buffer_len(&out), 6);
	}
	failing_at = -1;
	assert_true(failed > 3); /* zlib's own are among them */
	buffer_free(&out);
}

/* The same streams for every piece, and no memory of the piece before. */
static void inflates_what_it_deflated_again_and_again(void **state)
{
	struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT, back = BUFFER_INIT;
	struct gzip gzip = { 0 };
	struct random random;

	(void)state;
	random_seed(&random, 2);
	for (size_t n = 0; n < 200000; n = 2 * n + 1) {
		uint8_t byte = (uint8_t)random_next(&random);

		while (buffer_len(&plain) < n) {
			byte = random_below(&random, 4) == 0 ? (uint8_t)random_next(&random) : byte;
			buffer_append(&plain, &byte, 1);
		}
		buffer_clear(&packed);
		assert_int_equal(gzip_deflate(&gzip, buffer_bytes(&plain), 1, &packed), 0);
		assert_gunzips_to(buffer_bytes(&packed), buffer_bytes(&plain));
		/* the limit is exact */
		assert_int_equal(gzip_inflate(&gzip, buffer_bytes(&packed), n, &back), 0);
		assert_int_equal(buffer_len(&back), n);
		if (n > 0) {
			assert_memory_equal(buffer_data(&back), buffer_data(&plain), n);
			assert_int_equal(gzip_inflate(&gzip, buffer_bytes(&packed), n - 1, &back),
					 -EMSGSIZE);
			assert_int_equal(buffer_len(&back), 0);
		}
		/* torn anywhere */
		for (size_t cut = 0; cut < buffer_len(&packed); cut += 1 + n / 7) {
			assert_int_equal(gzip_inflate(&gzip,
						      (struct bytes){ buffer_data(&packed), cut },
						      n, &back),
					 -EBADMSG);
		}
		/* and followed by something, be it another of its kind */
		buffer_append(&packed, buffer_data(&packed), 1);
		assert_int_equal(gzip_inflate(&gzip, buffer_bytes(&packed), n, &back), -EBADMSG);
	}
	gzip_deinit(&gzip);
	buffer_free(&plain);
	buffer_free(&packed);
	buffer_free(&back);
}

/* 4 KiB that would become 4 MiB. What memory that takes on the way is measured in e2e. */
static void a_bomb_is_found_out_at_the_limit_and_leaves_nothing(void **state)
{
	static uint8_t zeros[4 * 1024 * 1024];
	struct buffer packed = BUFFER_INIT, back = BUFFER_INIT;
	struct gzip gzip = { 0 };

	(void)state;
	assert_int_equal(gzip_compress((struct bytes){ zeros, sizeof(zeros) }, 9, &packed), 0);
	assert_true(buffer_len(&packed) < 5000);
	for (size_t max = 0; max < sizeof(zeros); max = 4 * max + 1) {
		assert_int_equal(gzip_inflate(&gzip, buffer_bytes(&packed), max, &back), -EMSGSIZE);
		assert_int_equal(back.capacity, 0);
	}
	gzip_deinit(&gzip);
	buffer_free(&packed);
}

static void every_allocation_may_fail_in_both_directions(void **state)
{
	static const uint8_t zeros[5000];
	struct buffer packed = BUFFER_INIT, back = BUFFER_INIT;
	long failed = 0;
	bool good = false;

	(void)state;
	for (; !good; failed++) {
		struct gzip gzip = { 0 };

		buffer_free(&packed);
		failing_at = failed;
		if (gzip_deflate(&gzip, (struct bytes){ zeros, sizeof(zeros) }, 1, &packed) == 0) {
			int rv = gzip_inflate(&gzip, buffer_bytes(&packed), sizeof(zeros), &back);

			assert_true(rv == 0 || rv == -ENOMEM);
			good = rv == 0;
		}
		failing_at = -1;
		/* and works once there is memory again */
		buffer_clear(&packed);
		assert_int_equal(
			gzip_deflate(&gzip, (struct bytes){ zeros, sizeof(zeros) }, 1, &packed), 0);
		assert_int_equal(gzip_inflate(&gzip, buffer_bytes(&packed), sizeof(zeros), &back),
				 0);
		gzip_deinit(&gzip);
	}
	assert_true(failed > 6);
	buffer_free(&packed);
	buffer_free(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(appends),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(inflates_what_it_deflated_again_and_again),
		cmocka_unit_test(a_bomb_is_found_out_at_the_limit_and_leaves_nothing),
		cmocka_unit_test(every_allocation_may_fail_in_both_directions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

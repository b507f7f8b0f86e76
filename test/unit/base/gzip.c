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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(appends),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

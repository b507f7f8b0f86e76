/* The base64 of "-bin" metadata: any text against a slow decoder, any bytes there and back. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "grpc/wire.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Bit by bit. -1: not base64. */
static ssize_t slowly(struct str text, uint8_t *out)
{
	size_t n = text.len, n_bits;

	if (n % 4 == 0 && n > 0 && text.data[n - 1] == '=') {
		n -= text.data[n - 2] == '=' ? 2 : 1;
	}
	if (n % 4 == 1) {
		return -1;
	}
	n_bits = n * 6 / 8 * 8;
	memset(out, 0, n_bits / 8 + 1);
	for (size_t i = 0; i < n; i++) {
		const char *at = text.data[i] ? strchr(alphabet, text.data[i]) : NULL;

		if (!at) {
			return -1;
		}
		for (size_t bit = 0; bit < 6; bit++) {
			size_t to = 6 * i + bit;

			if (to < n_bits && ((at - alphabet) >> (5 - bit) & 1)) {
				out[to / 8] |= (uint8_t)(0x80 >> (to % 8));
			}
		}
	}
	return (ssize_t)(n_bits / 8);
}

static void decode(struct str text)
{
	uint8_t *fast = malloc(text.len + 1), *slow = malloc(text.len + 1);
	struct buffer out = BUFFER_INIT;
	ssize_t expected, n;
	int rv;

	MUST(fast && slow);
	expected = slowly(text, slow);
	n = grpc_base64_read(text, fast);
	rv = grpc_base64_decode(text, &out);
	if (expected < 0) {
		MUST(n == -EINVAL && rv == -EINVAL && buffer_len(&out) == 0);
	} else {
		MUST(n == expected && memcmp(fast, slow, (size_t)n) == 0);
		MUST(rv == 0 && buffer_len(&out) == (size_t)n);
		MUST(n == 0 || memcmp(buffer_data(&out), slow, (size_t)n) == 0);
	}
	buffer_free(&out);
	free(fast);
	free(slow);
}

static void there_and_back(struct bytes bytes)
{
	char *text = malloc(GRPC_BASE64_SIZE(bytes.len) + 1);
	uint8_t *back = malloc(GRPC_BASE64_SIZE(bytes.len) + 1);
	struct buffer out = BUFFER_INIT;
	size_t n;

	MUST(text && back);
	n = grpc_base64_write(bytes, text);
	MUST(n == (bytes.len * 8 + 5) / 6);
	MUST(grpc_base64_encode(bytes, &out) == 0 && buffer_len(&out) == n);
	MUST(n == 0 || memcmp(buffer_data(&out), text, n) == 0);
	MUST(strspn(strndupa(text, n), alphabet) == n);
	MUST(grpc_base64_read((struct str){ text, n }, back) == (ssize_t)bytes.len);
	MUST(bytes.len == 0 || memcmp(back, bytes.data, bytes.len) == 0);
	while (n % 4 != 0) { /* the same, padded */
		text[n++] = '=';
		MUST(grpc_base64_read((struct str){ text, n }, back) ==
		     (n % 4 == 0 ? (ssize_t)bytes.len : -EINVAL));
	}
	buffer_free(&out);
	free(text);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode(input_text((struct bytes){ data, size }));
	there_and_back((struct bytes){ data, size });
	return 0;
}

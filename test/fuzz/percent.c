/* grpc-message: both directions, each against a slow twin, and there and back. */
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "grpc/wire.h"

static const char hex[] = "0123456789abcdefABCDEF";

static int digit(char c)
{
	const char *at = c ? strchr(hex, c) : NULL;

	return !at ? -1 : at - hex < 16 ? (int)(at - hex) : (int)(at - hex) - 6;
}

static void decode(struct str text)
{
	struct buffer out = BUFFER_INIT;
	size_t n = 2;

	MUST(buffer_append(&out, "<>", 2) == 0);
	MUST(grpc_message_decode(text, &out) == 0);
	MUST(memcmp(buffer_data(&out), "<>", 2) == 0);
	for (size_t i = 0; i < text.len; i++, n++) {
		uint8_t byte = (uint8_t)text.data[i];

		if (byte == '%' && i + 2 < text.len && digit(text.data[i + 1]) >= 0 &&
		    digit(text.data[i + 2]) >= 0) {
			byte = (uint8_t)(digit(text.data[i + 1]) * 16 + digit(text.data[i + 2]));
			i += 2;
		}
		MUST(n < buffer_len(&out) && buffer_data(&out)[n] == byte);
	}
	MUST(n == buffer_len(&out));
	buffer_free(&out);
}

/* Printable ASCII, and "%" only before two upper-case digits. */
static void check_encoded(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		MUST(text.data[i] >= 0x20 && text.data[i] <= 0x7e);
		if (text.data[i] == '%') {
			MUST(i + 2 < text.len);
			for (int j = 0; j < 2; j++) {
				char c = text.data[++i];

				MUST((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
			}
		}
	}
}

static void there_and_back(struct str text)
{
	struct buffer out = BUFFER_INIT, back = BUFFER_INIT;
	struct str encoded, decoded;
	bool valid = utf8_valid_prefix(text) == text.len;

	MUST(grpc_message_encode(text, &out) == 0);
	encoded = input_text(buffer_bytes(&out));
	MUST(encoded.len <= 9 * text.len);
	check_encoded(encoded);
	MUST(grpc_message_decode(encoded, &back) == 0);
	decoded = input_text(buffer_bytes(&back));
	MUST(utf8_valid_prefix(decoded) == decoded.len);
	if (valid) {
		MUST(str_equal(decoded, text));
	} else {
		MUST(memmem(decoded.data, decoded.len, "\xef\xbf\xbd", 3));
	}
	buffer_free(&out);
	buffer_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = input_text((struct bytes){ data, size });

	decode(text);
	there_and_back(text);
	return 0;
}

#include "grpc/wire.h"

#include <errno.h>

#include "base/utf8.h"

/* Smallest unit first. */
static const struct {
	char name;
	int64_t ns;
} units[] = {
	{ 'n', 1 },        { 'u', NS_PER_US },     { 'm', NS_PER_MS },
	{ 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
};

#define TIMEOUT_DIGITS  8
#define TIMEOUT_LARGEST INT64_C(99999999)

int grpc_timeout_parse(struct str text, int64_t *ret_ns)
{
	int64_t value = 0;

	if (text.len < 2 || text.len > TIMEOUT_DIGITS + 1) {
		return -EINVAL;
	}
	for (size_t i = 0; i < text.len - 1; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return -EINVAL;
		}
		value = 10 * value + (text.data[i] - '0');
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (units[i].name == text.data[text.len - 1]) {
			bool fits = value <= INT64_MAX / units[i].ns;

			*ret_ns = fits ? value * units[i].ns : INT64_MAX;
			return 0;
		}
	}
	return -EINVAL;
}

static size_t write_decimal(int64_t value, char *text)
{
	char reversed[20];
	size_t n = 0;

	do {
		reversed[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < n; i++) {
		text[i] = reversed[n - 1 - i];
	}
	return n;
}

/* INT64_MAX ns are 2562048 hours, so the last unit always fits. */
size_t grpc_timeout_format(int64_t ns, char text[16])
{
	int64_t value = MAX(ns, 0);
	size_t unit = 0, n;

	while (value > TIMEOUT_LARGEST) {
		unit++;
		value = ns / units[unit].ns + (ns % units[unit].ns != 0);
	}
	n = write_decimal(value, text);
	text[n] = units[unit].name;
	text[n + 1] = '\0';
	return n + 1;
}

static uint8_t *write_percent(uint8_t *out, uint8_t byte)
{
	static const char hex[] = "0123456789ABCDEF";

	out[0] = '%';
	out[1] = (uint8_t)hex[byte >> 4];
	out[2] = (uint8_t)hex[byte & 15];
	return out + 3;
}

static int encode_valid(struct str text, struct buffer *out)
{
	uint8_t *start = buffer_reserve(out, 3 * text.len), *at = start;

	if (!start) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = (uint8_t)text.data[i];

		if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
			*at++ = byte;
		} else {
			at = write_percent(at, byte);
		}
	}
	buffer_commit(out, (size_t)(at - start));
	return 0;
}

/* Runs of valid UTF-8, and between them single bytes that belong to none. */
int grpc_message_encode(struct str text, struct buffer *out)
{
	size_t length_before = buffer_len(out);

	while (text.len > 0) {
		size_t valid = utf8_valid_prefix(text);
		int err = valid > 0 ? encode_valid((struct str){ text.data, valid }, out) : 0;

		if (err == 0 && valid < text.len) {
			err = buffer_append_str(out, STR("%EF%BF%BD"));
			valid++;
		}
		if (err < 0) {
			out->end = out->start + length_before;
			return err;
		}
		text.data += valid;
		text.len -= valid;
	}
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return -1;
}

int grpc_message_decode(struct str text, struct buffer *out)
{
	uint8_t *start, *at;

	if (text.len == 0) {
		return 0;
	}
	start = at = buffer_reserve(out, text.len);
	if (!start) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < text.len; i++) {
		int high = -1, low = -1;

		if (text.data[i] == '%' && text.len - i > 2) {
			high = hex_digit(text.data[i + 1]);
			low = hex_digit(text.data[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			*at++ = (uint8_t)(high << 4 | low);
			i += 2;
		} else {
			*at++ = (uint8_t)text.data[i];
		}
	}
	buffer_commit(out, (size_t)(at - start));
	return 0;
}

/* The length of the varint at `at`, or 0: torn or too long. */
static size_t read_varint(const uint8_t *at, size_t room, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < MIN(room, (size_t)10); i++) {
		value |= (uint64_t)(at[i] & 0x7f) << (7 * i);
		if (!(at[i] & 0x80)) {
			*ret = value;
			return i + 1;
		}
	}
	return 0;
}

/* Of a value behind its tag; 0: torn, or a group, which google.rpc.Status has none of. */
static size_t value_length(unsigned wire_type, struct bytes at, uint64_t *ret_number)
{
	size_t n;

	switch (wire_type) {
	case 0:
		return read_varint(at.data, at.len, ret_number);
	case 1:
		return at.len >= 8 ? 8 : 0;
	case 2:
		n = read_varint(at.data, at.len, ret_number);
		return n > 0 && *ret_number <= at.len - n ? n + (size_t)*ret_number : 0;
	case 5:
		return at.len >= 4 ? 4 : 0;
	default:
		return 0;
	}
}

/* Field 1 is the code; as everywhere in protobuf the last one counts. */
int grpc_details_code(struct bytes details, int32_t *ret_code)
{
	int32_t code = 0;

	while (details.len > 0) {
		uint64_t tag, number = 0;
		size_t n = read_varint(details.data, details.len, &tag), length;

		if (n == 0 || tag >> 3 == 0) {
			return -EBADMSG;
		}
		details = (struct bytes){ details.data + n, details.len - n };
		length = value_length(tag & 7, details, &number);
		if (length == 0) {
			return -EBADMSG;
		}
		if (tag == (1 << 3 | 0)) {
			code = (int32_t)number;
		}
		details = (struct bytes){ details.data + length, details.len - length };
	}
	*ret_code = code;
	return 0;
}

static const char base64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t grpc_base64_write(struct bytes bytes, char *out)
{
	char *at = out;
	size_t i = 0;

	for (; bytes.len - i >= 3; i += 3) {
		uint32_t bits = (uint32_t)bytes.data[i] << 16 | (uint32_t)bytes.data[i + 1] << 8 |
				bytes.data[i + 2];

		*at++ = base64_alphabet[bits >> 18];
		*at++ = base64_alphabet[bits >> 12 & 63];
		*at++ = base64_alphabet[bits >> 6 & 63];
		*at++ = base64_alphabet[bits & 63];
	}
	if (bytes.len - i == 1) {
		*at++ = base64_alphabet[bytes.data[i] >> 2];
		*at++ = base64_alphabet[(bytes.data[i] & 3) << 4];
	} else if (bytes.len - i == 2) {
		*at++ = base64_alphabet[bytes.data[i] >> 2];
		*at++ = base64_alphabet[(bytes.data[i] & 3) << 4 | bytes.data[i + 1] >> 4];
		*at++ = base64_alphabet[(bytes.data[i + 1] & 15) << 2];
	}
	return (size_t)(at - out);
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* '=' is padding only where it completes a group of four; anywhere else it is a stranger. */
ssize_t grpc_base64_read(struct str text, uint8_t *out)
{
	uint8_t *at = out;
	uint32_t bits = 0;
	unsigned n_bits = 0;

	if (text.len > 0 && text.len % 4 == 0) {
		for (int i = 0; i < 2 && text.data[text.len - 1] == '='; i++) {
			text.len--;
		}
	}
	if (text.len % 4 == 1) {
		return -EINVAL;
	}
	for (size_t i = 0; i < text.len; i++) {
		int digit = base64_digit(text.data[i]);

		if (digit < 0) {
			return -EINVAL;
		}
		bits = (bits << 6 | (uint32_t)digit) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*at++ = (uint8_t)(bits >> n_bits);
		}
	}
	return at - out;
}

int grpc_base64_encode(struct bytes bytes, struct buffer *out)
{
	uint8_t *at;

	if (bytes.len == 0) {
		return 0;
	}
	at = buffer_reserve(out, GRPC_BASE64_SIZE(bytes.len));
	if (!at) {
		return -ENOMEM;
	}
	buffer_commit(out, grpc_base64_write(bytes, (char *)at));
	return 0;
}

int grpc_base64_decode(struct str text, struct buffer *out)
{
	uint8_t *at;
	ssize_t n;

	if (text.len == 0) {
		return 0;
	}
	at = buffer_reserve(out, text.len);
	if (!at) {
		return -ENOMEM;
	}
	n = grpc_base64_read(text, at);
	if (n < 0) {
		return (int)n;
	}
	buffer_commit(out, (size_t)n);
	return 0;
}

#include "client/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "grpc/wire.h"

#define READ_CHUNK (64 * KIB)

static int read_all(int fd, size_t max, struct buffer *out, char *why, size_t size)
{
	for (;;) {
		uint8_t *room = buffer_reserve(out, READ_CHUNK);
		ssize_t n;

		if (!room) {
			snprintf(why, size, "out of memory");
			return -1;
		}
		n = read(fd, room, READ_CHUNK);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			snprintf(why, size, "cannot be read: %s", strerror(errno));
			return -1;
		}
		if (n == 0) {
			return 0;
		}
		buffer_commit(out, (size_t)n);
		if (buffer_len(out) > max) {
			snprintf(why, size, "is longer than %zu bytes", max);
			return -1;
		}
	}
}

int input_read_file(const char *path, size_t max, struct buffer *out, char *why, size_t size)
{
	int fd, result;

	if (strcmp(path, "-") == 0) {
		return read_all(STDIN_FILENO, max, out, why, size);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(errno));
		return -1;
	}
	result = read_all(fd, max, out, why, size);
	close(fd);
	return result;
}

/*
 * Field 1 of EchoRequest: a tag byte, the length as a varint, the bytes. An empty one is
 * left out.
 */
static size_t request_bytes(size_t n)
{
	size_t varint = 1;

	if (n == 0) {
		return 0;
	}
	for (size_t rest = n; rest >= 0x80; rest >>= 7) {
		varint++;
	}
	return 1 + varint + n;
}

int input_check_message(struct bytes message, size_t max, char *why, size_t size)
{
	struct str text = { (const char *)message.data, message.len };
	size_t valid;

	if (request_bytes(message.len) > max) {
		snprintf(why, size,
			 "is too long: %zu bytes make a request of %zu, and the limit is %zu",
			 message.len, request_bytes(message.len), max);
		return -1;
	}
	valid = utf8_valid_prefix(text);
	if (valid < message.len) {
		snprintf(why, size,
			 "is not valid UTF-8 (byte 0x%02x at offset %zu), which a message must be",
			 message.data[valid], valid);
		return -1;
	}
	return 0;
}

static int add_checked(struct str name, struct str value, struct metadata *metadata,
		       struct arena *arena, char *why, size_t size)
{
	if (metadata_reserved(name)) {
		snprintf(why, size, "names \"%" STR_FMT "\", which is not a caller's to set",
			 STR_ARG(name));
		return -1;
	}
	if (!metadata_valid(name, STR("x"))) {
		snprintf(why, size,
			 "has the name \"%" STR_FMT
			 "\": letters, digits, '_', '-' and '.' are allowed",
			 STR_ARG(name));
		return -1;
	}
	if (!metadata_valid(name, value)) {
		snprintf(
			why, size,
			"has a value that is not printable ASCII: use a name that ends in \"-bin\" "
			"and give the value in base64");
		return -1;
	}
	if (metadata_add(metadata, arena, name, value) < 0) {
		snprintf(why, size, "exceeds what metadata may hold (%zu bytes)", arena->cap);
		return -1;
	}
	return 0;
}

int input_add_metadata(const char *text, struct metadata *metadata, struct arena *arena, char *why,
		       size_t size)
{
	const char *colon = strchr(text, ':');
	struct buffer decoded = BUFFER_INIT;
	struct str name, value;
	char lower[256];
	int result;

	if (!colon || colon == text) {
		snprintf(why, size, "is not of the form name:value");
		return -1;
	}
	name = (struct str){ lower, (size_t)(colon - text) };
	if (name.len > sizeof(lower)) {
		snprintf(why, size, "has a name of more than %zu bytes", sizeof(lower));
		return -1;
	}
	for (size_t i = 0; i < name.len; i++) {
		lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	}
	value = str_trim(str_from(colon + 1));
	if (metadata_is_binary(name)) {
		if (grpc_base64_decode(value, &decoded) < 0) {
			snprintf(why, size,
				 "has a value that is not base64, as a name in \"-bin\" asks for");
			buffer_free(&decoded);
			return -1;
		}
		value = (struct str){ (const char *)buffer_bytes(&decoded).data,
				      buffer_len(&decoded) };
	}
	result = add_checked(name, value, metadata, arena, why, size);
	buffer_free(&decoded);
	return result;
}

int input_add_all_metadata(const struct option_strings *texts, struct metadata *metadata,
			   struct arena *arena, char *why, size_t size)
{
	char reason[400];

	for (size_t i = 0; i < texts->n; i++) {
		if (input_add_metadata(texts->items[i], metadata, arena, reason, sizeof(reason)) <
		    0) {
			snprintf(why, size, "--metadata=%.64s %s", texts->items[i], reason);
			return -1;
		}
	}
	return 0;
}

#include "messages.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common.h"
#include "grpc/message.h"

#define TYPE_URL "type.googleapis.com/connectrpc.conformance.v1."

/* False: the input ended before the first byte. */
static bool read_all(int fd, uint8_t *bytes, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t more = read(fd, bytes + got, n - got);

		if (more == 0 && got == 0) {
			return false;
		}
		if (more <= 0 && !(more < 0 && errno == EINTR)) {
			die("standard input ends within a message");
		}
		got += more > 0 ? (size_t)more : 0;
	}
	return true;
}

static void write_all(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t taken = write(fd, bytes, n);

		if (taken < 0 && errno != EINTR) {
			die("cannot write to standard output: %s", strerror(errno));
		}
		bytes += taken > 0 ? taken : 0;
		n -= taken > 0 ? (size_t)taken : 0;
	}
}

void *message_read(int fd, struct arena *arena, const ProtobufCMessageDescriptor *descriptor)
{
	uint8_t prefix[4];

	if (!read_all(fd, prefix, sizeof(prefix))) {
		return NULL;
	}

	size_t size = (size_t)prefix[0] << 24 | prefix[1] << 16 | prefix[2] << 8 | prefix[3];
	uint8_t *wire = take(arena, size);

	if (size > 0 && !read_all(fd, wire, size)) {
		die("standard input ends within a message");
	}

	void *message = message_unpack(arena, descriptor, (struct bytes){ wire, size });

	if (!message) {
		die("standard input holds no %s", descriptor->short_name);
	}
	return message;
}

void message_write(int fd, const ProtobufCMessage *message)
{
	struct arena arena;

	arena_open(&arena);

	ProtobufCBinaryData wire = message_pack(&arena, message);
	const uint8_t prefix[4] = { (uint8_t)(wire.len >> 24), (uint8_t)(wire.len >> 16),
				    (uint8_t)(wire.len >> 8), (uint8_t)wire.len };

	write_all(fd, prefix, sizeof(prefix));
	write_all(fd, wire.data, wire.len);
	arena_reset(&arena);
}

void *message_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
		     struct bytes wire)
{
	void *message = NULL;

	return grpc_message_unpack(descriptor, wire, arena, &message) == 0 ? message : NULL;
}

ProtobufCBinaryData message_pack(struct arena *arena, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *wire = take(arena, size);

	protobuf_c_message_pack(message, wire);
	return (ProtobufCBinaryData){ size, wire };
}

ProtobufCBinaryData any_pack(struct arena *arena, const char *type, struct bytes value)
{
	Conformance__Any any = CONFORMANCE__ANY__INIT;
	size_t size = sizeof(TYPE_URL) + strlen(type);

	any.type_url = take(arena, size);
	snprintf(any.type_url, size, TYPE_URL "%s", type);
	any.value = data_copy(arena, value);
	return message_pack(arena, &any.base);
}

static bool came_before(const struct metadata *metadata, const struct metadata_entry *entry)
{
	for (const struct metadata_entry *other = metadata->first; other != entry;
	     other = other->next) {
		if (str_equal(other->name, entry->name)) {
			return true;
		}
	}
	return false;
}

static Conformance__Header *header_new(struct arena *arena, const struct metadata_entry *first)
{
	Conformance__Header *header = take(arena, sizeof(*header));
	size_t n = 0;

	for (const struct metadata_entry *entry = first; entry; entry = entry->next) {
		n += str_equal(entry->name, first->name);
	}
	conformance__header__init(header);
	header->name = (char *)(uintptr_t)arena_str(arena, first->name).data;
	header->value = take(arena, n * sizeof(*header->value));
	for (const struct metadata_entry *entry = first; entry; entry = entry->next) {
		if (str_equal(entry->name, first->name)) {
			struct str value = metadata_wire_value(arena, entry->name, entry->value);

			header->value[header->n_value++] = data_copy(
				arena, (struct bytes){ (const uint8_t *)value.data, value.len });
		}
	}
	return header;
}

size_t headers_from_metadata(struct arena *arena, const struct metadata *metadata,
			     Conformance__Header ***ret_headers)
{
	size_t n = 0;

	*ret_headers = take(arena, metadata->n * sizeof(**ret_headers));
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		if (!came_before(metadata, entry)) {
			(*ret_headers)[n++] = header_new(arena, entry);
		}
	}
	return n;
}

struct metadata metadata_from_headers(struct arena *arena, Conformance__Header *const *headers,
				      size_t n)
{
	struct metadata metadata = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct str name = arena_str(arena, str_from(headers[i]->name));

		for (size_t k = 0; k < name.len; k++) {
			char *letter = (char *)(uintptr_t)name.data + k;

			*letter |= *letter >= 'A' && *letter <= 'Z' ? 'a' - 'A' : 0;
		}
		for (size_t k = 0; k < headers[i]->n_value; k++) {
			struct str value = { (const char *)headers[i]->value[k].data,
					     headers[i]->value[k].len };
			/* A binary value is base64 here: the same as it came from the wire. */
			int err = metadata_is_binary(name)
					  ? metadata_receive(&metadata, arena, name, value)
					  : metadata_add(&metadata, arena, name, value);

			if (err < 0) {
				die("header %s: no metadata: %s", name.data, strerror(-err));
			}
		}
	}
	return metadata;
}

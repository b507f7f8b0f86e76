/*
 * Fields from the wire. An input is a byte for the arena's cap and lines of
 * "name:value", as a header block would give them. What becomes metadata, in
 * which order, and with which value is foretold line by line; what was received
 * survives being sent and received again.
 */
#include "grpc/metadata.h"

#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "grpc/wire.h"

#define MAX_FIELDS 256

/* The four times of docs/ARCHITECTURE.md, and what a field counts in a header list. */
#define GROWTH         4
#define FIELD_OVERHEAD 32

static bool name_fits(struct str name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] == '\0' || !strchr(letters, name.data[i])) {
			return false;
		}
	}
	return name.len > 0;
}

static bool begins_with(struct str text, const char *prefix)
{
	return text.len >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

/* Whatever else may be reserved, these are, and a plain word is not. */
static void check_reserved(struct str name)
{
	static const char *const always[] = { "te",          "content-type", "user-agent",
					      "grpc-status", "grpc-timeout", "grpc-message",
					      "connection" };

	for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
		MUST(!str_equal(name, str_from(always[i])) || metadata_reserved(name));
	}
	MUST(name.len == 0 || name.data[0] != ':' || metadata_reserved(name));
	MUST(!str_equal(name, STR("grpc-previous-rpc-attempts")) || !metadata_reserved(name));
	MUST(!begins_with(name, "x-") || !metadata_reserved(name));
}

static struct str trimmed(struct str text)
{
	while (text.len > 0 && strchr(" \t", text.data[0]) && text.data[0]) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && strchr(" \t", text.data[text.len - 1]) && text.data[text.len - 1]) {
		text.len--;
	}
	return text;
}

/* The entries that came of one binary field: one for each part between commas, decoded. */
static void check_binary(const struct metadata_entry *entry, struct str value, int rv)
{
	size_t at = 0;

	for (; entry; entry = entry->next) {
		size_t end = at;
		uint8_t *raw;
		ssize_t n;

		while (end < value.len && value.data[end] != ',') {
			end++;
		}
		raw = malloc(end - at + 1);
		MUST(raw);
		n = grpc_base64_read((struct str){ value.data + at, end - at }, raw);
		MUST(n >= 0 && (size_t)n == entry->value.len);
		MUST(n == 0 || memcmp(raw, entry->value.data, (size_t)n) == 0);
		free(raw);
		MUST(entry->next || rv < 0 || end == value.len);
		at = end + 1;
	}
}

/* Receives one field, and checks what became of it. */
static int receive(struct metadata *metadata, struct arena *arena, struct str name,
		   struct str value)
{
	struct metadata_entry **end = metadata->end;
	size_t n = metadata->n;
	int rv = metadata_receive(metadata, arena, name, value);
	const struct metadata_entry *added = end ? *end : metadata->first;

	check_reserved(name);
	MUST(rv == 0 || rv == -ENOMEM || (rv == -EINVAL && metadata_is_binary(name)));
	MUST(rv != -ENOMEM || arena->exhausted);
	if (!name_fits(name) || metadata_reserved(name)) {
		MUST(rv == 0 && metadata->n == n && !added);
		return rv;
	}
	for (const struct metadata_entry *entry = added; entry; entry = entry->next, n++) {
		MUST(str_equal(entry->name, name));
		MUST(entry->value.data[entry->value.len] == '\0');
	}
	MUST(metadata->n == n);
	if (metadata_is_binary(name)) {
		check_binary(added, trimmed(value), rv);
	} else if (rv == 0) {
		MUST(added && !added->next && str_equal(added->value, trimmed(value)));
	}
	return rv;
}

/* What came in goes out and comes in again as it was. */
static void send_again(const struct metadata *metadata)
{
	struct metadata again = { 0 };
	const struct metadata_entry *twin;
	struct arena arena;

	arena_init(&arena, NULL, 0, 64 * MIB);
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		struct str first = metadata_get(metadata, entry->name);
		struct str wire = metadata_wire_value(&arena, entry->name, entry->value);

		MUST(first.data);
		MUST(wire.data && metadata_receive(&again, &arena, entry->name, wire) == 0);
	}
	MUST(again.n == metadata->n);
	twin = again.first;
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		MUST(str_equal(entry->name, twin->name) && str_equal(entry->value, twin->value));
		twin = twin->next;
	}
	arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	size_t cap = (size_t)64 << (input_byte(&input) & 15), counted = 0;
	struct metadata metadata = { 0 };
	struct arena arena;
	bool unbounded = true;

	arena_init(&arena, NULL, 0, cap);
	for (size_t i = 0; i < MAX_FIELDS && input_left(&input) > 0; i++) {
		const uint8_t *line_end = memchr(input.at, '\n', input_left(&input));
		size_t len = line_end ? (size_t)(line_end - input.at) : input_left(&input);
		struct str line = input_text(input_take(&input, len)), name = line;
		const char *colon = line.len > 1 ? memchr(line.data + 1, ':', line.len - 1) : NULL;
		struct str value = { line.data + line.len, 0 };

		input_byte(&input);
		if (colon) {
			name.len = (size_t)(colon - line.data);
			value = (struct str){ colon + 1, line.len - name.len - 1 };
		}
		metadata_valid(name, value);
		unbounded &= !metadata_is_binary(name) || !memchr(value.data, ',', value.len);
		counted += name.len + value.len + FIELD_OVERHEAD;
		if (receive(&metadata, &arena, name, value) == -ENOMEM) {
			break;
		}
	}
	MUST(arena.used <= cap);
	/* only commas in binary values take more than that */
	MUST(!unbounded || arena.used <= GROWTH * counted);
	send_again(&metadata);
	arena_reset(&arena);
	return 0;
}

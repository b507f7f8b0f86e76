#include "grpc/metadata.h"

#include <errno.h>

#include "grpc/wire.h"

/*
 * PROTOCOL-HTTP2's own, and what RFC 9113 8.2.2 and 8.3.1 keep for the connection
 * and the request's target.
 */
static const struct str transport_names[] = {
	STR_INIT("te"),         STR_INIT("content-type"),     STR_INIT("user-agent"),
	STR_INIT("host"),       STR_INIT("content-length"),   STR_INIT("connection"),
	STR_INIT("keep-alive"), STR_INIT("proxy-connection"), STR_INIT("transfer-encoding"),
	STR_INIT("upgrade"),
};

/* Reserved, yet meant for applications to see. */
static const struct str visible_names[] = {
	STR_INIT("grpc-previous-rpc-attempts"),
	STR_INIT("grpc-retry-pushback-ms"),
};

static bool listed(struct str name, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (str_equal(name, names[i])) {
			return true;
		}
	}
	return false;
}

/* [0-9a-z_.-], which are looked at for each byte of each field. */
static const bool in_names[UINT8_MAX + 1] = {
#define X(c) [c] = true
	X('-'), X('.'), X('_'), X('0'), X('1'), X('2'), X('3'), X('4'), X('5'), X('6'),
	X('7'), X('8'), X('9'), X('a'), X('b'), X('c'), X('d'), X('e'), X('f'), X('g'),
	X('h'), X('i'), X('j'), X('k'), X('l'), X('m'), X('n'), X('o'), X('p'), X('q'),
	X('r'), X('s'), X('t'), X('u'), X('v'), X('w'), X('x'), X('y'), X('z'),
#undef X
};

static bool name_valid(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (!in_names[(uint8_t)name.data[i]]) {
			return false;
		}
	}
	return name.len > 0;
}

bool metadata_reserved(struct str name)
{
	if (name.len > 0 && name.data[0] == ':') {
		return true;
	}
	if (str_has_prefix(name, STR("grpc-"))) {
		return !listed(name, visible_names, ARRAY_SIZE(visible_names));
	}
	switch (name.len > 0 ? name.data[0] : 0) {
	case 'c':
	case 'h':
	case 'k':
	case 'p':
	case 't':
	case 'u':
		return listed(name, transport_names, ARRAY_SIZE(transport_names));
	default: /* most names */
		return false;
	}
}

bool metadata_valid(struct str name, struct str value)
{
	if (!name_valid(name) || metadata_reserved(name) || str_has_prefix(name, STR("grpc-"))) {
		return false;
	}
	if (metadata_is_binary(name)) {
		return true;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < 0x20 || value.data[i] > 0x7e) {
			return false;
		}
	}
	return true;
}

static void append(struct metadata *metadata, struct metadata_entry *entry)
{
	entry->next = NULL;
	entry->once = false;
	if (metadata->end) {
		*metadata->end = entry;
	} else {
		metadata->first = entry;
	}
	metadata->end = &entry->next;
	metadata->n++;
}

/* With a NUL behind it. */
static struct str copy(char *at, struct str text)
{
	if (text.len > 0) {
		memcpy(at, text.data, text.len);
	}
	at[text.len] = '\0';
	return (struct str){ at, text.len };
}

int metadata_add(struct metadata *metadata, struct arena *arena, struct str name, struct str value)
{
	struct metadata_entry *entry =
		arena_alloc(arena, sizeof(*entry) + name.len + value.len + 2);
	char *text;

	if (!entry) {
		return -ENOMEM;
	}
	text = (char *)(entry + 1);
	entry->name = copy(text, name);
	entry->value = copy(text + name.len + 1, value);
	append(metadata, entry);
	return 0;
}

/* `name` is in the arena already. */
static int add_base64(struct metadata *metadata, struct arena *arena, struct str name,
		      struct str text)
{
	struct metadata_entry *entry = arena_alloc(arena, sizeof(*entry) + text.len + 1);
	char *raw;
	ssize_t n;

	if (!entry) {
		return -ENOMEM;
	}
	raw = (char *)(entry + 1);
	n = grpc_base64_read(text, (uint8_t *)raw);
	if (n < 0) {
		return (int)n;
	}
	raw[n] = '\0';
	entry->name = name;
	entry->value = (struct str){ raw, (size_t)n };
	append(metadata, entry);
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 9113 8.2.1 allows none at the ends; who sends it anyway is understood without. */
static struct str without_padding(struct str value)
{
	while (value.len > 0 && blank(value.data[0])) {
		value.data++;
		value.len--;
	}
	while (value.len > 0 && blank(value.data[value.len - 1])) {
		value.len--;
	}
	return value;
}

/*
 * A comma is in no base64 alphabet, so it always joins two values (PROTOCOL-HTTP2,
 * Custom-Metadata).
 */
int metadata_receive(struct metadata *metadata, struct arena *arena, struct str name,
		     struct str value)
{
	if (metadata_reserved(name) || !name_valid(name)) {
		return 0;
	}
	value = without_padding(value);
	if (!metadata_is_binary(name)) {
		return metadata_add(metadata, arena, name, value);
	}
	name = arena_str(arena, name);
	if (!name.data) {
		return -ENOMEM;
	}
	for (;;) {
		const char *comma = value.len > 0 ? memchr(value.data, ',', value.len) : NULL;
		struct str part = { value.data, comma ? (size_t)(comma - value.data) : value.len };
		int err = add_base64(metadata, arena, name, part);

		if (err < 0 || !comma) {
			return err;
		}
		value.data = comma + 1;
		value.len -= part.len + 1;
	}
}

struct str metadata_wire_value(struct arena *arena, struct str name, struct str value)
{
	char *text;

	if (!metadata_is_binary(name)) {
		return value;
	}
	text = arena_alloc(arena, GRPC_BASE64_SIZE(value.len));
	if (!text) {
		return (struct str){ NULL, 0 };
	}
	return (struct str){ text, grpc_base64_write(
					   (struct bytes){ (const uint8_t *)value.data, value.len },
					   text) };
}

struct str metadata_get(const struct metadata *metadata, struct str name)
{
	for (const struct metadata_entry *entry = metadata->first; entry; entry = entry->next) {
		if (str_equal(entry->name, name)) {
			return entry->value;
		}
	}
	return (struct str){ NULL, 0 };
}

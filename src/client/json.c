#include "client/json.h"

#include <inttypes.h>

#include "base/utf8.h"
#include "grpc/wire.h"

/* Bytes that may stand in a JSON string as they are. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static int valid_text(struct buffer *out, struct str text)
{
	size_t i = 0;
	int err = 0;

	while (i < text.len && err == 0) {
		unsigned char c = (unsigned char)text.data[i];
		size_t run = i;

		while (run < text.len && is_plain((unsigned char)text.data[run])) {
			run++;
		}
		if (run > i) {
			err = buffer_append(out, text.data + i, run - i);
			i = run;
			continue;
		}
		i++;
		switch (c) {
		case '"':
			err = buffer_append_str(out, STR("\\\""));
			break;
		case '\\':
			err = buffer_append_str(out, STR("\\\\"));
			break;
		case '\n':
			err = buffer_append_str(out, STR("\\n"));
			break;
		case '\r':
			err = buffer_append_str(out, STR("\\r"));
			break;
		case '\t':
			err = buffer_append_str(out, STR("\\t"));
			break;
		default:
			err = buffer_printf(out, "\\u%04x", (unsigned)c);
		}
	}
	return err;
}

int json_string(struct buffer *out, struct str text)
{
	int err = buffer_append_str(out, STR("\""));

	while (err == 0 && text.len > 0) {
		size_t valid = utf8_valid_prefix(text);

		err = valid_text(out, (struct str){ text.data, valid });
		text.data += valid;
		text.len -= valid;
		if (err == 0 && text.len > 0) {
			err = buffer_append_str(out, STR("\xef\xbf\xbd"));
			text.data++;
			text.len--;
		}
	}
	return err < 0 ? err : buffer_append_str(out, STR("\""));
}

int json_seconds(struct buffer *out, int64_t ns)
{
	return buffer_printf(out, "%" PRId64 ".%09" PRId64, ns / NS_PER_S, ns % NS_PER_S);
}

static int json_value(struct buffer *out, const struct metadata_entry *entry)
{
	struct buffer text = BUFFER_INIT;
	int err;

	if (!metadata_is_binary(entry->name)) {
		return json_string(out, entry->value);
	}
	err = grpc_base64_encode(
		(struct bytes){ (const uint8_t *)entry->value.data, entry->value.len }, &text);
	if (err == 0) {
		err = json_string(out, (struct str){ (const char *)buffer_bytes(&text).data,
						     buffer_len(&text) });
	}
	buffer_free(&text);
	return err;
}

static bool seen_before(const struct metadata *metadata, const struct metadata_entry *entry)
{
	const struct metadata_entry *other = metadata->first;

	while (other != entry && !str_equal(other->name, entry->name)) {
		other = other->next;
	}
	return other != entry;
}

/* All values of one name. */
static int json_values(struct buffer *out, const struct metadata_entry *first)
{
	int err = json_string(out, first->name);
	const char *before = ":[";

	for (const struct metadata_entry *entry = first; entry && err == 0; entry = entry->next) {
		if (!str_equal(entry->name, first->name)) {
			continue;
		}
		err = buffer_append_str(out, str_from(before));
		before = ",";
		if (err == 0) {
			err = json_value(out, entry);
		}
	}
	return err < 0 ? err : buffer_append_str(out, STR("]"));
}

int json_metadata(struct buffer *out, const struct metadata *metadata)
{
	const struct metadata_entry *entry = metadata ? metadata->first : NULL;
	const char *before = "";
	int err = buffer_append_str(out, STR("{"));

	for (; entry && err == 0; entry = entry->next) {
		if (seen_before(metadata, entry)) {
			continue;
		}
		err = buffer_append_str(out, str_from(before));
		before = ",";
		if (err == 0) {
			err = json_values(out, entry);
		}
	}
	return err < 0 ? err : buffer_append_str(out, STR("}"));
}

#include "web/form.h"

#include <errno.h>

/* -1: no digit. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character that begins at `text`, of at least `n` bytes; -1: none that may be. */
static int decode_one(const char *text, size_t n, size_t *ret_used)
{
	int high, low;

	*ret_used = 1;
	if (*text == '+') {
		return ' ';
	}
	if (*text != '%') {
		return *text == '\0' ? -1 : (unsigned char)*text;
	}
	if (n < 3) {
		return -1;
	}
	*ret_used = 3;
	high = hex_digit(text[1]);
	low = hex_digit(text[2]);
	return high < 0 || low < 0 || high + low == 0 ? -1 : high * 16 + low;
}

static int decode(struct str text, struct arena *arena, struct str *ret)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	if (!out) {
		return -ENOMEM;
	}
	for (size_t i = 0, used; i < text.len; i += used) {
		int c = decode_one(text.data + i, text.len - i, &used);

		if (c < 0) {
			return -EINVAL;
		}
		out[len++] = (char)c;
	}
	out[len] = '\0';
	*ret = (struct str){ out, len };
	return 0;
}

/* What stands before the first `separator`; `rest` goes on behind it. */
static struct str cut(struct str *rest, char separator)
{
	const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
	struct str part = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
	size_t used = end ? part.len + 1 : part.len;

	rest->data += used;
	rest->len -= used;
	return part;
}

int form_next(struct str *rest, struct arena *arena, struct form_field *ret)
{
	struct str field = { NULL, 0 };
	struct str name;
	int rv;

	while (field.len == 0) { /* "a=1&&b=2" has two fields */
		if (rest->len == 0) {
			return 0;
		}
		field = cut(rest, '&');
	}
	name = cut(&field, '=');
	rv = decode(name, arena, &ret->name);
	if (rv == 0) {
		rv = decode(field, arena, &ret->value);
	}
	return rv < 0 ? rv : 1;
}

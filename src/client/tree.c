#include "client/tree.h"

#include <errno.h>

#include "base/utf8.h"
#include "client/text.h"

/* More than a measurement has, fewer than show how a double is stored. */
#define PRINT_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12))

int tree_init(struct tree *tree)
{
	tree->root = json_object();
	tree->failed = !tree->root;
	return tree->failed ? -ENOMEM : 0;
}

void tree_deinit(struct tree *tree)
{
	json_decref(tree->root);
	tree->root = NULL;
}

void tree_set(struct tree *tree, json_t *in, const char *name, json_t *value)
{
	/* Either takes the value, and turns away what is not there. */
	int rv = name ? json_object_set_new(in, name, value) : json_array_append_new(in, value);

	if (rv < 0) {
		tree->failed = true;
	}
}

void tree_count(struct tree *tree, json_t *in, const char *name, uint64_t count)
{
	tree_set(tree, in, name, json_integer((json_int_t)MIN(count, (uint64_t)INT64_MAX)));
}

void tree_ns(struct tree *tree, json_t *in, const char *name, int64_t ns)
{
	tree_set(tree, in, name, json_integer((json_int_t)ns));
}

void tree_real(struct tree *tree, json_t *in, const char *name, double number)
{
	tree_set(tree, in, name, json_real(number)); /* NULL for what is no number */
}

void tree_bool(struct tree *tree, json_t *in, const char *name, bool value)
{
	tree_set(tree, in, name, json_boolean(value));
}

void tree_text_at_most(struct tree *tree, json_t *in, const char *name, struct str text, size_t max)
{
	struct buffer clean = BUFFER_INIT;
	json_t *value = NULL;

	if (!text.data) {
		value = json_null();
	} else if (text.len <= max && utf8_valid(text)) {
		value = json_stringn_nocheck(text.data, text.len);
	} else if (text_utf8(&clean, text, max) == 0) {
		struct bytes bytes = buffer_bytes(&clean);

		value = json_stringn_nocheck(bytes.data ? (const char *)bytes.data : "", bytes.len);
	}
	buffer_free(&clean);
	tree_set(tree, in, name, value);
}

void tree_text(struct tree *tree, json_t *in, const char *name, struct str text)
{
	tree_text_at_most(tree, in, name, text, SIZE_MAX);
}

json_t *tree_object(struct tree *tree, json_t *in, const char *name)
{
	json_t *object = json_object();

	tree_set(tree, in, name, object);
	return tree->failed ? NULL : object;
}

json_t *tree_array(struct tree *tree, json_t *in, const char *name)
{
	json_t *array = json_array();

	tree_set(tree, in, name, array);
	return tree->failed ? NULL : array;
}

/* jansson goes on where a member's name could not be appended (dump.c, 2.14): so we remember. */
struct sink {
	struct buffer *out;
	int err;
};

static int append(const char *text, size_t n, void *user)
{
	struct sink *sink = user;

	TEXT_CHAIN(sink->err, buffer_append(sink->out, text, n));
	return sink->err < 0 ? -1 : 0;
}

static int print(const json_t *value, struct buffer *out)
{
	struct sink sink = { .out = out };

	if (json_dump_callback(value, append, &sink, PRINT_FLAGS) < 0) {
		return -ENOMEM;
	}
	return sink.err;
}

int tree_print(const struct tree *tree, struct buffer *out)
{
	int err = tree->failed ? -ENOMEM : print(tree->root, out);

	return err < 0 ? err : buffer_append_str(out, STR("\n"));
}

int tree_print_lines(const struct tree *tree, struct buffer *out)
{
	int err = tree->failed ? -ENOMEM : 0;
	const char *before = "{\n", *name;
	json_t *value;

	json_object_foreach(tree->root, name, value)
	{
		TEXT_PRINT(err, out, "%s\"%s\":", before, name);
		TEXT_CHAIN(err, print(value, out));
		before = ",\n";
	}
	TEXT_CHAIN(err, buffer_append_str(out, STR("\n}\n")));
	return err;
}

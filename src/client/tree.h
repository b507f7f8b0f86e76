/*
 * JSON values by jansson, with less to check: a tree remembers that something in it
 * could not be made (there was no memory), and what is hung into a value that is not
 * there is dropped. So a writer says what there is, and asks once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buffer.h"
#include "base/util.h"

struct tree {
	json_t *root; /* an object */
	bool failed;
};

/* tree_deinit() is due after either. 0 or -ENOMEM. */
int tree_init(struct tree *tree);
void tree_deinit(struct tree *tree);

/*
 * Under `name` in an object, or at the end of an array (`name` NULL). What is beyond
 * INT64_MAX is said to be that.
 */
void tree_set(struct tree *tree, json_t *in, const char *name, json_t *value); /* takes it */
void tree_count(struct tree *tree, json_t *in, const char *name, uint64_t count);
void tree_ns(struct tree *tree, json_t *in, const char *name, int64_t ns);
void tree_real(struct tree *tree, json_t *in, const char *name, double number);
void tree_bool(struct tree *tree, json_t *in, const char *name, bool value);
/* What is not UTF-8 becomes U+FFFD; data NULL: null. At most `max` bytes of it. */
void tree_text(struct tree *tree, json_t *in, const char *name, struct str text);
void tree_text_at_most(struct tree *tree, json_t *in, const char *name, struct str text,
		       size_t max);
/* New ones; borrowed, NULL without memory. */
json_t *tree_object(struct tree *tree, json_t *in, const char *name);
json_t *tree_array(struct tree *tree, json_t *in, const char *name);

/* The root on one line, and a newline. 0 or -ENOMEM. */
int tree_print(const struct tree *tree, struct buffer *out);
/* The same, each of the root's members on a line of its own. */
int tree_print_lines(const struct tree *tree, struct buffer *out);

/*
 * Encoders of a registry into a wire format, behind one interface so that
 * several can stand side by side. Each appends to a buffer.
 */
#pragma once

#include "base/buffer.h"
#include "metrics/registry.h"

struct exposition {
	const char *content_type;
	/* 0 or -ENOMEM; on failure `out` holds a part and must be thrown away. */
	int (*encode)(struct registry *registry, struct buffer *out);
};

/* Text format 0.0.4. */
#define EXPOSITION_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
extern const struct exposition exposition_text;

/*
 * A float as Go's strconv 'g' -1 prints it, whatever the locale. `text` has room
 * for 32. Returns its length.
 */
size_t exposition_format_double(double value, char text[32]);

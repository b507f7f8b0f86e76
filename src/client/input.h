/* What a call carries, as it is given on the command line: its message and its metadata. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "base/util.h"
#include "grpc/metadata.h"

/*
 * Appends the content of the file, or of standard input for "-", to `out`.
 * More than `max` bytes are refused. 0, or -1 with a reason.
 */
int input_read_file(const char *path, size_t max, struct buffer *out, char *why, size_t size);

/*
 * That a server can take it: UTF-8, and a request of at most `max` bytes. 0, or -1 with a
 * reason.
 */
int input_check_message(struct bytes message, size_t max, char *why, size_t size);

/*
 * "name:value" into `metadata`. The name is taken in lower case, white space
 * around the value is dropped, the value of a name that ends in "-bin" is given
 * in base64 and stored decoded. 0, or -1 with a reason.
 */
int input_add_metadata(const char *text, struct metadata *metadata, struct arena *arena, char *why,
		       size_t size);
/* The same for each --metadata of a command line; the reason names the flag. */
int input_add_all_metadata(const struct option_strings *texts, struct metadata *metadata,
			   struct arena *arena, char *why, size_t size);

/*
 * application/x-www-form-urlencoded (URL Standard 5.1): what `curl -d` and a page's form
 * send, and what stands behind the question mark of a path.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/util.h"

struct form_field {
	struct str name, value; /* decoded, in the arena; each followed by a NUL */
};

/*
 * Cuts the next field off the front of `rest`. 1; 0: there is none; -EINVAL: an escape
 * that is none, or a NUL, which no field of ours may hold; -ENOMEM.
 */
int form_next(struct str *rest, struct arena *arena, struct form_field *ret);

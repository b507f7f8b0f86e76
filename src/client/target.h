/* Whom the client calls: TARGET of the command line, taken apart. */
#pragma once

#include <stddef.h>

#include "net/address.h"

#define TARGET_DEFAULT      "127.0.0.1:9876"
#define TARGET_DEFAULT_PORT "9876"

struct target {
	struct address_spec spec;
	char text[ADDRESS_TEXT_MAX + 256]; /* as in messages */
	char authority[288];               /* of the calls */
};

/* 0, or -1 with a reason, which names the target. */
int target_parse(const char *text, struct target *ret, char *why, size_t size);

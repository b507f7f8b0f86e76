/* UTF-8 (RFC 3629): no surrogates, no overlong forms, at most U+10FFFF. */
#pragma once

#include <stdbool.h>

#include "base/util.h"

bool utf8_valid(struct str text);
/* Bytes of the longest valid prefix. */
size_t utf8_valid_prefix(struct str text);

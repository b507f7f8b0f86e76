/* What the registry has written once and for all, as both text formats have it. */
#pragma once

#include "metrics/registry.h"

/* The most that the head takes. */
size_t text_head_room(const struct family_view *family, const char *const *values);
/*
 * name{a="1",b="2"} and a space: all but the value of a line; without labels, no brackets.
 * Returns where it ends.
 */
char *text_put_head(char *p, const struct family_view *family, const char *const *values);

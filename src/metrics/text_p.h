/* What the registry has written once and for all, as both text formats have it. */
#pragma once

#include <stddef.h>

/* The most that the labels take. */
size_t text_labels_room(size_t n, const char *const *names, const char *const *values);
/* a="1",b="2" : returns where it ends. */
char *text_put_labels(char *p, size_t n, const char *const *names, const char *const *values);

/* Between options*.c: the spelling of names and numbers. */
#pragma once

#include "base/options.h"

/* Room for a number, a size or a duration as option_format_number() writes it. */
#define NUMBER_TEXT 40
/* Room for an environment variable's name. */
#define VARIABLE_TEXT 128

/* OPTION_UINT, _SIZE ("4MiB") or _DURATION ("1m30s"), as the flag would be written. */
void option_format_number(enum option_type type, uint64_t number, char *text, size_t size);

/* The name of the option's environment variable. */
void option_variable(const struct options *options, const struct option *option,
		     char name[VARIABLE_TEXT]);

/* The flag that a misspelt `name` is likely to stand for; NULL: none is close. */
const char *option_closest(const struct options *options, struct str name);

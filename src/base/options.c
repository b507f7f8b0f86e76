/*
 * The happy path: every value gets its table's default; the arguments are
 * walked once, and each flag found is remembered as seen; the environment then
 * fills what was not seen. The first thing that is wrong ends the parse.
 *
 * The list of an OPTION_STRINGS is one allocation: the pointers and, where it
 * was split from a comma list, the characters behind them. So free() is enough.
 */
#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/options_p.h"
#include "base/utf8.h"

#define WHY_SIZE 128

struct parse {
	const struct options *options;
	void *values;
	bool *seen; /* by index in the table: a flag or a variable has set it */
	struct option_strings *operands;
	char *error;
	size_t size;
};

/* What is being set, for messages. */
struct source {
	const char *kind, *name; /* "flag --", "log.level" */
	size_t name_len;
};

static enum options_result fail(struct parse *parse, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum options_result fail(struct parse *parse, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(parse->error, parse->size, format, args);
	va_end(args);
	options_one_line(parse->error);
	return OPTIONS_ERROR;
}

void options_one_line(char *message)
{
	for (char *p = message; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p)) {
			*p = '?';
		}
	}
	while (*(message += utf8_valid_prefix(str_from(message))) != '\0') {
		*message = '?';
	}
}

static int out_of_memory(char *why, size_t size)
{
	snprintf(why, size, "cannot be kept: out of memory");
	return -1;
}

static void *value_of(const struct option *option, void *values)
{
	return (char *)values + option->offset;
}

/* --- lists --------------------------------------------------------------- */

static int append(struct option_strings *list, const char *text)
{
	const char **items = realloc(list->items, (list->n + 2) * sizeof(*items));

	if (!items) {
		return -1;
	}
	items[list->n++] = text;
	items[list->n] = NULL;
	list->items = items;
	return 0;
}

static void clear(struct option_strings *list)
{
	free(list->items);
	*list = (struct option_strings){ NULL, 0 };
}

/* Replaces the list by the comma-separated, non-empty parts of `text`; one at least. */
static int split(struct option_strings *list, const char *text, char *why, size_t size_of_why)
{
	size_t n = 1, size = strlen(text) + 1;
	const char **items;
	char *rest, *part;

	if (text[strspn(text, ",")] == '\0') {
		snprintf(why, size_of_why, "is a list without an item");
		return -1;
	}
	for (const char *p = text; *p != '\0'; p++) {
		n += *p == ',';
	}
	items = malloc((n + 1) * sizeof(*items) + size);
	if (!items) {
		return out_of_memory(why, size_of_why);
	}
	rest = memcpy(items + n + 1, text, size);
	clear(list);
	while ((part = strsep(&rest, ","))) {
		if (*part != '\0') {
			items[list->n++] = part;
		}
	}
	items[list->n] = NULL;
	list->items = items;
	return 0;
}

/* --- values -------------------------------------------------------------- */

static int parse_bool(const char *text, bool *ret_value, char *why, size_t size)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
		snprintf(why, size, "is neither true nor false");
		return -1;
	}
	*ret_value = *text == 't';
	return 0;
}

static int parse_enum(const struct option *option, const char *text, int *ret_value, char *why,
		      size_t size)
{
	int n;

	for (int i = 0; option->choices[i]; i++) {
		if (strcmp(text, option->choices[i]) == 0) {
			*ret_value = i;
			return 0;
		}
	}
	n = snprintf(why, size, "is not one of");
	for (int i = 0; option->choices[i] && (size_t)n < size; i++) {
		n += snprintf(why + n, size - (size_t)n, "%s %s", i > 0 ? "," : "",
			      option->choices[i]);
	}
	return -1;
}

static int check_range(const struct option *option, uint64_t number, char *why, size_t size)
{
	char min[NUMBER_TEXT], max[NUMBER_TEXT];

	if (number >= option->min && (option->max == 0 || number <= option->max)) {
		return 0;
	}
	option_format_number(option->type, option->min, min, sizeof(min));
	option_format_number(option->type, option->max, max, sizeof(max));
	if (option->max == 0) {
		snprintf(why, size, "is out of range (at least %s)", min);
	} else {
		snprintf(why, size, "is out of range (%s to %s)", min, max);
	}
	return -1;
}

static int parse_number(const struct option *option, const char *text, void *value, char *why,
			size_t size)
{
	uint64_t number = 0;
	int64_t ns = 0;
	int err;

	if (option->type == OPTION_DURATION) {
		err = parse_duration(text, &ns, why, size);
		number = (uint64_t)ns;
	} else if (option->type == OPTION_SIZE) {
		err = parse_size(text, &number, why, size);
	} else {
		err = parse_uint(text, &number, why, size);
	}
	if (err < 0 || check_range(option, number, why, size) < 0) {
		return -1;
	}
	if (option->type == OPTION_DURATION) {
		*(int64_t *)value = ns;
	} else {
		*(uint64_t *)value = number;
	}
	return 0;
}

/* Sets a value from text; a list is replaced. */
static int assign(const struct option *option, void *values, const char *text, char *why,
		  size_t size)
{
	void *value = value_of(option, values);

	switch (option->type) {
	case OPTION_BOOL:
		return parse_bool(text, value, why, size);
	case OPTION_STRING:
		*(const char **)value = text;
		return 0;
	case OPTION_STRINGS:
		return split(value, text, why, size);
	case OPTION_UINT:
	case OPTION_SIZE:
	case OPTION_DURATION:
		return parse_number(option, text, value, why, size);
	case OPTION_ENUM:
		return parse_enum(option, text, value, why, size);
	case OPTION_CUSTOM:
		break;
	}
	return option->parse(text, value, why, size);
}

static void zero(const struct option *option, void *values)
{
	void *value = value_of(option, values);

	switch (option->type) {
	case OPTION_BOOL:
		*(bool *)value = false;
		break;
	case OPTION_STRING:
		*(const char **)value = NULL;
		break;
	case OPTION_STRINGS:
		*(struct option_strings *)value = (struct option_strings){ NULL, 0 };
		break;
	case OPTION_UINT:
	case OPTION_SIZE:
		*(uint64_t *)value = 0;
		break;
	case OPTION_DURATION:
		*(int64_t *)value = 0;
		break;
	case OPTION_ENUM:
		*(int *)value = 0;
		break;
	case OPTION_CUSTOM:
		break;
	}
}

static enum options_result set(struct parse *parse, const struct option *option,
			       struct source source, const char *text)
{
	char why[WHY_SIZE] = "is not valid";

	if (assign(option, parse->values, text, why, sizeof(why)) < 0) {
		return fail(parse, "%s%.*s: \"%.64s\" %s", source.kind, (int)source.name_len,
			    source.name, text, why);
	}
	parse->seen[option - parse->options->table] = true;
	return OPTIONS_OK;
}

/* --- flags --------------------------------------------------------------- */

static const struct option *find(const struct options *options, struct str name)
{
	for (size_t i = 0; i < options->n; i++) {
		if (str_equal(str_from(options->table[i].name), name)) {
			return &options->table[i];
		}
	}
	return NULL;
}

static enum options_result unknown_flag(struct parse *parse, struct str name)
{
	const char *close = option_closest(parse->options, name);

	return fail(parse, "unknown flag --%.*s%s%s%s", (int)MIN(name.len, 64), name.data,
		    close ? " (did you mean --" : "", close ? close : "", close ? "?)" : "");
}

static enum options_result set_flag(struct parse *parse, const struct option *option,
				    const char *text)
{
	struct source source = { "flag --", option->name, strlen(option->name) };
	bool *seen = &parse->seen[option - parse->options->table];
	struct option_strings *list = value_of(option, parse->values);

	if (option->type != OPTION_STRINGS) {
		return set(parse, option, source, text);
	}
	if (!*seen) {
		clear(list); /* the default gives way to the first flag */
	}
	*seen = true;
	return append(list, text) < 0 ? fail(parse, "out of memory") : OPTIONS_OK;
}

/*
 * `flag` is what follows the dashes; *index is moved past a value that is an
 * argument of its own.
 */
static enum options_result read_flag(struct parse *parse, const char *flag, char **argv, int argc,
				     int *index)
{
	struct str name = { flag, strcspn(flag, "=") };
	const char *text = flag[name.len] == '=' ? flag + name.len + 1 : NULL;
	const struct option *option = find(parse->options, name);

	if (!option && !text && str_has_prefix(name, STR("no-"))) {
		option = find(parse->options, str_from(flag + strlen("no-")));
		if (option && option->type == OPTION_BOOL) {
			return set_flag(parse, option, "false");
		}
		option = NULL;
	}
	if (option && option->type == OPTION_BOOL) {
		return set_flag(parse, option, text ? text : "true");
	}
	if (!option && str_equal(name, STR("help"))) {
		return OPTIONS_HELP;
	}
	if (!option && str_equal(name, STR("version"))) {
		return OPTIONS_VERSION;
	}
	if (!option) {
		return unknown_flag(parse, name);
	}
	if (!text) {
		if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0) {
			return fail(parse, "flag --%s needs a value", option->name);
		}
		text = argv[++*index];
	}
	return set_flag(parse, option, text);
}

static enum options_result add_operand(struct parse *parse, const char *text)
{
	if (!parse->operands) {
		return fail(parse, "unexpected argument \"%.64s\"", text);
	}
	return append(parse->operands, text) < 0 ? fail(parse, "out of memory") : OPTIONS_OK;
}

static enum options_result read_arguments(struct parse *parse, int argc, char **argv)
{
	enum options_result result = OPTIONS_OK;
	bool flags = true;

	for (int i = 1; i < argc && result == OPTIONS_OK; i++) {
		const char *argument = argv[i];

		if (!flags || argument[0] != '-' || argument[1] == '\0') {
			result = add_operand(parse, argument);
		} else if (strcmp(argument, "--") == 0) {
			flags = false;
		} else if (argument[1] == '-') {
			result = read_flag(parse, argument + 2, argv, argc, &i);
		} else if (strcmp(argument, "-h") == 0) {
			result = OPTIONS_HELP;
		} else {
			result = fail(parse, "unknown flag %.64s", argument);
		}
	}
	return result;
}

/* --- environment --------------------------------------------------------- */

static const struct option *find_variable(const struct options *options, struct str variable)
{
	char name[VARIABLE_TEXT];

	for (size_t i = 0; i < options->n; i++) {
		option_variable(options, &options->table[i], name);
		if (str_equal(str_from(name), variable)) {
			return &options->table[i];
		}
	}
	return NULL;
}

static enum options_result read_environment(struct parse *parse, char **envp,
					    void (*warn)(const char *variable))
{
	const struct options *options = parse->options;
	enum options_result result = OPTIONS_OK;

	for (; *envp && result == OPTIONS_OK; envp++) {
		struct str variable = { *envp, strcspn(*envp, "=") };
		const char *text = *envp + variable.len;
		const struct option *option;

		if (*text == '\0' || !str_has_prefix(variable, str_from(options->environment))) {
			continue;
		}
		text++;
		option = find_variable(options, variable);
		if (!option) {
			char name[VARIABLE_TEXT];

			snprintf(name, sizeof(name), "%.*s", (int)variable.len, variable.data);
			if (warn) {
				warn(name);
			}
			continue;
		}
		if (*text != '\0' && !parse->seen[option - options->table]) {
			struct source source = { "variable ", variable.data, variable.len };

			result = set(parse, option, source, text);
		}
	}
	return result;
}

/* --- all together -------------------------------------------------------- */

static enum options_result set_defaults(struct parse *parse)
{
	const struct options *options = parse->options;
	char why[WHY_SIZE];

	for (size_t i = 0; i < options->n; i++) {
		zero(&options->table[i], parse->values);
	}
	for (size_t i = 0; i < options->n; i++) {
		const struct option *option = &options->table[i];

		if (option->value &&
		    assign(option, parse->values, option->value, why, sizeof(why)) < 0) {
			/* Anything else that is wrong with a default is our own bug. */
			assert(option->type == OPTION_STRINGS);
			return fail(parse, "out of memory");
		}
	}
	return OPTIONS_OK;
}

static void tell_given(const struct parse *parse)
{
	for (size_t i = 0; i < parse->options->n; i++) {
		size_t offset = parse->options->table[i].given;

		if (offset != 0) {
			*(bool *)((char *)parse->values + offset) = parse->seen[i];
		}
	}
}

enum options_result options_parse(const struct options *options, void *values, int argc,
				  char **argv, char **envp, struct option_strings *ret_operands,
				  void (*warn)(const char *variable), char *error, size_t size)
{
	struct parse parse = {
		.options = options,
		.values = values,
		.seen = calloc(options->n + 1, sizeof(bool)),
		.operands = ret_operands,
		.error = error,
		.size = size,
	};
	enum options_result result;

	if (ret_operands) {
		*ret_operands = (struct option_strings){ NULL, 0 };
	}
	result = set_defaults(&parse);
	if (result == OPTIONS_OK && !parse.seen) {
		result = fail(&parse, "out of memory");
	}
	if (result == OPTIONS_OK) {
		result = read_arguments(&parse, argc, argv);
	}
	if (result == OPTIONS_OK && envp && options->environment) {
		result = read_environment(&parse, envp, warn);
	}
	if (result == OPTIONS_OK) {
		tell_given(&parse);
	}
	free(parse.seen);
	return result;
}

void options_free(const struct options *options, void *values, struct option_strings *operands)
{
	for (size_t i = 0; i < options->n; i++) {
		if (options->table[i].type == OPTION_STRINGS) {
			clear(value_of(&options->table[i], values));
		}
	}
	if (operands) {
		clear(operands);
	}
}

/*
 * Command lines and environments: one table of options fills one structure.
 * Flags are `--name=value` or `--name value`; a boolean is `--name`,
 * `--name=true|false` or `--no-name`. `--` ends the flags.
 *
 * Precedence: flag, then environment, then the table's default. Every error is
 * one line that names the flag (or the variable), the value and what is wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"

enum option_type {
	OPTION_BOOL,     /* bool */
	OPTION_STRING,   /* const char *; borrowed from argv, the environment or the table */
	OPTION_STRINGS,  /* struct option_strings; repeatable; elsewhere a comma list */
	OPTION_UINT,     /* uint64_t */
	OPTION_SIZE,     /* uint64_t bytes: 4194304, 16KiB, 4MiB, 1GiB; k, M, G mean the same */
	OPTION_DURATION, /* int64_t ns: 0, 50ms, 1.5s, 2m, 1h30m, 10us, 100ns */
	OPTION_ENUM,     /* int: index into .choices */
	OPTION_CUSTOM,   /* .parse decides */
};

struct option_strings {
	const char **items; /* NULL-terminated; the memory is the table user's: options_free() */
	size_t n;
};

struct option {
	const char *name; /* "grpc.listen-address", no dashes in front */
	enum option_type type;
	size_t offset;           /* of the value in the structure */
	const char *placeholder; /* "ADDRESS" in --help; NULL for booleans */
	const char *value; /* default, in the flag's own spelling; NULL: zero (custom: untouched) */
	const char *help;  /* one sentence, wrapped by options_help() */
	const char *group; /* heading in --help; equal neighbours share one */
	uint64_t min, max; /* of numbers, sizes, ns: inclusive; max 0 = no bound */
	const char *const *choices; /* OPTION_ENUM: NULL-terminated */
	/* Offset of a bool: was it given, by flag or variable? 0: nobody asks. */
	size_t given;
	/* OPTION_CUSTOM: 0, or -1 with a reason ("is not ...") written to `why`. */
	int (*parse)(const char *text, void *value, char *why, size_t size);
};

struct options {
	const char *program;  /* "echod serve", for messages and --help */
	const char *synopsis; /* "[flags] [TARGET]" */
	const char *about;    /* a sentence or two under the synopsis */
	const char *footer;   /* examples, printed as they are; may be NULL */
	const struct option *table;
	size_t n;
	/*
	 * "ECHOD_": --log.level is ECHOD_LOG_LEVEL; empty counts as unset. NULL: no
	 * environment.
	 */
	const char *environment;
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_HELP,    /* --help or -h was seen: options_help() to stdout, exit 0 */
	OPTIONS_VERSION, /* --version was seen */
	OPTIONS_ERROR,   /* `error` says why; exit 2 */
};

/*
 * Fills `values` with defaults, environment (`envp`, may be NULL) and
 * `argv[1..argc)`. What is not a flag is left in order: `ret_operands` points
 * to them (an array that is the caller's to free with options_free()); NULL:
 * none is allowed. Unknown variables with the prefix are reported through
 * `warn` (may be NULL), one call each. On OPTIONS_ERROR `error` holds one line
 * without a newline. Whatever the result, options_free() may follow, and
 * releases all.
 */
enum options_result options_parse(const struct options *options, void *values, int argc,
				  char **argv, char **envp, struct option_strings *ret_operands,
				  void (*warn)(const char *variable), char *error, size_t size);
/*
 * Replaces control characters and what is no UTF-8, for messages of the caller's own
 * that quote what was given: one line, which no terminal obeys.
 */
void options_one_line(char *message);
void options_free(const struct options *options, void *values, struct option_strings *operands);

/*
 * Wrapped to the terminal's width (80 where it is none). Names each flag's
 * default, and its variable where there is an environment.
 */
void options_help(const struct options *options, FILE *out);

/* The value parsers, for others: 0, or -1 with `why`. */
int parse_duration(const char *text, int64_t *ret_ns, char *why, size_t size);
int parse_size(const char *text, uint64_t *ret_bytes, char *why, size_t size);
int parse_uint(const char *text, uint64_t *ret_number, char *why, size_t size);
/*
 * "1.5s", "250us", "1h30m", "0s": as a person would write it, and it reads back as
 * the same number.
 */
void format_duration(int64_t ns, char *text, size_t size);

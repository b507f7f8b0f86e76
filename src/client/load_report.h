/* What is said of a run before it begins and after it has ended, and its exit code. */
#pragma once

#include <stdbool.h>

#include "client/run.h"

struct client;

/* Puts what was asked for into `run`, and its plan on standard error. 0 or -ENOMEM. */
int load_describe(const struct client *client, struct run *run);

struct load_ending {
	int signal;     /* that ended the run; 0: none */
	bool connected; /* at least once, warm-up included */
};

/*
 * Measures the assertions and writes every --output: text to standard output where none
 * of them goes there. The exit code: of several the first of EXIT_USAGE,
 * EXIT_NO_CONNECTION, EXIT_GENERATOR, EXIT_ASSERTION, EXIT_FAILED.
 */
int load_report(const struct client *client, struct run *run, const struct load_ending *ending);

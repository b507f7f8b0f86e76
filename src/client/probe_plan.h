/* What `echod probe` was asked: flags and operand, checked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/options.h"
#include "client/target.h"
#include "grpc/metadata.h"

/* Bytes of a service's name: a name, and no document. */
#define PROBE_MAX_NAME 1024

struct probe_plan {
	struct target target;
	const char *service;    /* "": the server as a whole; borrowed from argv */
	const char *user_agent; /* NULL: the usual one */
	int64_t connect_ns;     /* until the server has said its SETTINGS, all addresses together */
	int64_t answer_ns;      /* from the connection to the answer */
	struct metadata metadata;
	struct arena metadata_arena;
	bool verbose;
};

/*
 * Reads the command line. OPTIONS_ERROR: one line in `why`. probe_plan_deinit()
 * is due after every result.
 */
enum options_result probe_plan_init(struct probe_plan *plan, int argc, char **argv, char *why,
				    size_t size);
void probe_plan_deinit(struct probe_plan *plan);

/* The text of --help. */
void probe_plan_help(FILE *out);

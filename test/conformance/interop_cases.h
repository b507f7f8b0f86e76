/* The test cases of the interoperability suite; see interop_cases.c. */
#pragma once

#include "interop_exchange.h"

struct interop_case {
	const char *name;         /* NULL: behind the last */
	const struct step *steps; /* one after the other, each when all of the last have ended */
	size_t n_steps;
	bool soak; /* instead of steps: large_unary, many times */
	bool fresh_channels;
};

extern const struct interop_case interop_cases[];

/* What this build is: the project's version, and its commit where it was built from a clone. */
#pragma once

#define ECHOD_NAME "echod"

extern const char echod_version[];  /* "0.1.0" */
extern const char echod_revision[]; /* "1a2b3c4d5e6f", or "unknown" */
extern const char echod_branch[];   /* "main", or "unknown" */
extern const char echod_compiler[]; /* "gcc 12.2.0" */

/*
 * The text format 0.0.4, read back: what exposition_text writes, and what other
 * programs write. Strict where two readers could differ, and bounded, for it comes
 * from a peer; of OpenMetrics text, which is served under the same paths, time stamps
 * and exemplars are passed over, and "# EOF" ends it.
 *
 * Not taken: names beyond the legacy character set (quoted, of text 1.0.0), which are
 * served only to those who ask. Not checked: that families are in one piece, and
 * samples there once.
 */
#pragma once

#include <stddef.h>

#include "base/util.h"

/* Longer than any line that a registry of ours can write; a HELP text counts too. */
#define EXPOSITION_MAX_LINE (16 * KIB)
/* As many as Prometheus' own operators advise to allow, and twice that. */
#define EXPOSITION_MAX_LABELS 64
/* More than the largest exporters in common use say at once. */
#define EXPOSITION_MAX_BYTES (64 * MIB)

struct exposition_label {
	struct str name, value; /* unescaped */
};

/* Borrowed until the visitor returns. */
struct exposition_sample {
	struct str name; /* with its suffix: "x_bucket" */
	size_t n_labels;
	const struct exposition_label *labels; /* in the order of the text; each name once */
	double value;
};

/* The value of that label; data NULL: there is none. */
struct str exposition_label(const struct exposition_sample *sample, struct str name);

/*
 * Shows each sample to `visit`, a non-zero return of which ends the reading with it. 0;
 * or -EINVAL with a reason that names the line, after what came before it was shown.
 */
int exposition_parse(struct str text,
		     int (*visit)(void *user, const struct exposition_sample *sample), void *user,
		     char *why, size_t size);

/*
 * A number as Go's strconv reads it, whatever the locale: "1", "-1.5e+06", "+Inf",
 * "NaN"; neither hexadecimal nor underscores. 0 or -EINVAL.
 */
int exposition_parse_double(struct str text, double *ret);

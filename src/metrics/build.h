/*
 * Registration of many families at once. It goes on after a failure and remembers it, so
 * that a family is one line at its place, and memory is checked once, at the end. All of
 * them take a NULL family and give NULL then.
 */
#pragma once

#include <stdbool.h>

#include "metrics/native.h"
#include "metrics/registry.h"

struct build {
	struct registry *registry;
	bool failed; /* no memory for something: the registry is to be given up */
};

/* A list of label names or values. */
#define BUILD_LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct family *build_family(struct build *build, enum metric_type type, const char *name,
			    const char *help, const char *const *label_names);
struct family *build_histogram_family(struct build *build, const char *name, const char *help,
				      const char *const *label_names,
				      const struct histogram_bounds *bounds);
struct family *build_native_family(struct build *build, const char *name, const char *help,
				   const char *const *label_names);

struct counter *build_counter(struct build *build, struct family *family,
			      const char *const *label_values);
struct gauge *build_gauge(struct build *build, struct family *family,
			  const char *const *label_values);
struct histogram *build_histogram(struct build *build, struct family *family,
				  const char *const *label_values);
struct native_histogram *build_native(struct build *build, struct family *family,
				      const char *const *label_values);
void build_computed(struct build *build, struct family *family, const char *const *label_values,
		    bool (*read)(void *user, double *ret), const void *user);

/* Without labels: the family and its only child. */
struct counter *build_plain_counter(struct build *build, const char *name, const char *help);
struct gauge *build_plain_gauge(struct build *build, const char *name, const char *help);
struct histogram *build_plain_histogram(struct build *build, const char *name, const char *help,
					const struct histogram_bounds *bounds);
void build_plain_computed(struct build *build, enum metric_type type, const char *name,
			  const char *help, bool (*read)(void *user, double *ret),
			  const void *user);

/* To be given as `read`: `user` is a struct counter, or a uint64_t. */
bool build_read_counter(void *user, double *ret);
bool build_read_number(void *user, double *ret);

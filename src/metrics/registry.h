/*
 * Families of metrics, their children, and one consistent walk over them.
 *
 * Built once at start: registration allocates, and returns NULL without memory
 * (start-up fails). The line set is constant afterwards: every child that can
 * ever appear is created up front, label values come from compile-time tables.
 * Names, help and label strings are borrowed and must outlive the registry.
 * A family or child may be asked of a NULL family and is NULL then, so that
 * one check at the end of a chain suffices.
 *
 * The walk visits families by name, children by label values, and labels by
 * name whatever the order of registration: its order is byte-stable. A family
 * whose children have no value to show is left out.
 * It runs on the loop's thread, the only writer, so that what it sees is one
 * instant: no observation is ever half done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/util.h"
#include "metrics/counter.h"
#include "metrics/histogram.h"
#include "metrics/native.h"

#define METRIC_MAX_LABELS 5

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
	METRIC_NATIVE, /* a native histogram, which only some formats carry */
};

struct registry;
struct family;

/* What an encoder sees of a family; borrowed for the duration of the walk. */
struct family_view {
	const char *name, *help;
	size_t name_len, help_len;
	bool help_is_plain; /* no format escapes any of it */
	enum metric_type type;
	size_t n_labels;
	const char *label_names[METRIC_MAX_LABELS];
	const struct histogram_bounds *bounds; /* METRIC_HISTOGRAM */
};

/* One child's value. */
struct sample_view {
	const char *const *label_values; /* in the order of the family's names */
	struct str head;          /* as both text formats write it: name{a="1",b="2"} and a space */
	struct bytes label_pairs; /* the labels as protobuf has them */
	bool is_double;
	uint64_t whole; /* counter or gauge (as int64_t for a gauge) where !is_double */
	double real;    /* where is_double */
	const struct histogram_snapshot *histogram;
	const struct native_snapshot *native;
};

/*
 * Upcalls of a walk, in order: family, its samples, family_end, ... A non-zero
 * return ends the walk with it.
 */
struct registry_visitor {
	int (*family)(void *user, const struct family_view *family);
	int (*sample)(void *user, const struct family_view *family,
		      const struct sample_view *sample);
	int (*family_end)(void *user, const struct family_view *family);
	bool takes_native; /* if not, families of METRIC_NATIVE are left out, and not read */
};

struct registry *registry_new(void);
void registry_free(struct registry *registry);

/*
 * `label_names`: NULL-terminated, or NULL for none. A name twice, or one that
 * the format forbids, is our own bug (assert).
 */
struct family *registry_family(struct registry *registry, enum metric_type type, const char *name,
			       const char *help, const char *const *label_names);
struct family *registry_histogram_family(struct registry *registry, const char *name,
					 const char *help, const char *const *label_names,
					 const struct histogram_bounds *bounds);
struct family *registry_native_family(struct registry *registry, const char *name, const char *help,
				      const char *const *label_names);

/*
 * A child; `label_values` in the order of the names, NULL for none. The same values
 * twice give the same child.
 */
struct counter *family_counter(struct family *family, const char *const *label_values);
struct gauge *family_gauge(struct family *family, const char *const *label_values);
struct histogram *family_histogram(struct family *family, const char *const *label_values);
struct native_histogram *family_native(struct family *family, const char *const *label_values);
/*
 * A child that shows a histogram which another family owns, of the same bounds: one
 * observation, and two names for it. 0 or -ENOMEM.
 */
int family_histogram_alias(struct family *family, const char *const *label_values,
			   const struct histogram *histogram);

/* For the frequent case without labels. */
struct counter *registry_counter(struct registry *registry, const char *name, const char *help);
struct gauge *registry_gauge(struct registry *registry, const char *name, const char *help);

/*
 * A child whose value is computed when the walk comes by: process_*, uptime.
 * False: leave the sample out (omit rather than fake).
 */
int family_computed(struct family *family, const char *const *label_values,
		    bool (*read)(void *user, double *ret), void *user);

/* Called at the start of each walk, to sample what several computed children share. */
int registry_on_walk(struct registry *registry, void (*begin)(void *user), void *user);

/* Which families are wanted, by name. */
struct registry_filter {
	bool (*wanted)(void *user, const char *family);
	void *user;
};

/* `filter` may be NULL: all of them. */
int registry_walk(struct registry *registry, const struct registry_filter *filter,
		  const struct registry_visitor *visitor, void *user);

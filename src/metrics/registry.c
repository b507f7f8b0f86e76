#include "metrics/registry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "metrics/exposition.h"
#include "metrics/protobuf_p.h"
#include "metrics/text_p.h"

struct hook {
	struct list node;
	void (*begin)(void *user);
	void *user;
};

/* How far ahead of the walk its next children are fetched from memory. */
#define AHEAD      4
#define CACHE_LINE 64

struct registry {
	struct list families;
	struct child **children; /* of all families, in the order of the walk */
	size_t n_children, room;
	struct list hooks; /* in the order in which they were added */
};

struct family {
	struct list node;
	struct registry *registry;
	struct family_view view; /* label names in ascending order */
	/* Where the caller's i-th label went: values are given in the caller's order. */
	size_t place[METRIC_MAX_LABELS];
};

/*
 * In the order in which a walk needs it. What was written once and for all lies behind the
 * cell: the head of its lines, and then its labels as protobuf has them.
 */
struct child {
	struct family *family;
	const char *head;
	uint32_t head_len, pairs_len;
	bool (*read)(void *user, double *ret); /* a computed child, which has no cell */
	void *user;
	const struct histogram *alias; /* a child that shows another's histogram, and has no cell */
	const char *label_values[METRIC_MAX_LABELS]; /* in the order of the view's names */
	union cell {
		struct counter counter;
		struct gauge gauge;
		struct histogram histogram;
		struct native_histogram native;
	} cell; /* of the family's type: no more of it is there */
};

struct registry *registry_new(void)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (registry) {
		list_init(&registry->families);
		list_init(&registry->hooks);
	}
	return registry;
}

void registry_free(struct registry *registry)
{
	struct list *node;

	if (!registry) {
		return;
	}
	for (size_t i = 0; i < registry->n_children; i++) {
		free(registry->children[i]);
	}
	free(registry->children);
	while ((node = list_pop(&registry->families))) {
		free(container_of(node, struct family, node));
	}
	while ((node = list_pop(&registry->hooks))) {
		free(container_of(node, struct hook, node));
	}
	free(registry);
}

/* --- families ------------------------------------------------------------ */

/* [a-zA-Z_:][a-zA-Z0-9_:]*, without the colon for labels. */
static bool is_name(const char *name, bool colon)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

	for (const char *p = name; *p != '\0'; p++) {
		bool digit = p > name && *p >= '0' && *p <= '9';

		if (!digit && !strchr(first, *p) && !(colon && *p == ':')) {
			return false;
		}
	}
	return *name != '\0';
}

/* Sorts the label names, and remembers where each of the caller's went. */
static void set_labels(struct family *family, const char *const *names)
{
	struct family_view *view = &family->view;

	for (; names && names[view->n_labels]; view->n_labels++) {
		const char *name = names[view->n_labels];
		size_t place = view->n_labels;

		assert(view->n_labels < METRIC_MAX_LABELS);
		assert(is_name(name, false) && strcmp(name, "le") != 0);
		for (; place > 0 && strcmp(view->label_names[place - 1], name) > 0; place--) {
			view->label_names[place] = view->label_names[place - 1];
		}
		view->label_names[place] = name;
		for (size_t i = 0; i < view->n_labels; i++) {
			family->place[i] += family->place[i] >= place;
		}
		family->place[view->n_labels] = place;
	}
}

/* The same name twice is our own bug. */
static bool is_taken(const struct registry *registry, const char *name)
{
	list_for_each (&registry->families, node) {
		if (strcmp(container_of(node, struct family, node)->view.name, name) == 0) {
			return true;
		}
	}
	return false;
}

static struct family *new_family(struct registry *registry, struct family_view view,
				 const char *const *label_names)
{
	struct family *family = calloc(1, sizeof(*family));

	assert(is_name(view.name, true) && !is_taken(registry, view.name));
	if (!family) {
		return NULL;
	}
	family->registry = registry;
	family->view = view;
	family->view.name_len = strlen(view.name);
	family->view.help_len = strlen(view.help);
	family->view.help_is_plain = !strpbrk(view.help, "\\\n\"");
	set_labels(family, label_names);
	list_append(&registry->families, &family->node);
	return family;
}

struct family *registry_family(struct registry *registry, enum metric_type type, const char *name,
			       const char *help, const char *const *label_names)
{
	assert(type == METRIC_COUNTER || type == METRIC_GAUGE);
	return new_family(registry,
			  (struct family_view){ .name = name, .help = help, .type = type },
			  label_names);
}

/*
 * The text of a bound is part of a series' identity: a wrong one would never match
 * anybody's query.
 */
static bool bounds_are_labelled(const struct histogram_bounds *bounds)
{
	for (size_t i = 0; i < bounds->n; i++) {
		char text[32];

		text[exposition_format_double(bounds->values[i], text)] = '\0';
		if (strcmp(text, bounds->labels[i]) != 0) {
			return false;
		}
	}
	return true;
}

struct family *registry_histogram_family(struct registry *registry, const char *name,
					 const char *help, const char *const *label_names,
					 const struct histogram_bounds *bounds)
{
	assert(bounds_are_labelled(bounds));
	return new_family(
		registry,
		(struct family_view){
			.name = name, .help = help, .type = METRIC_HISTOGRAM, .bounds = bounds },
		label_names);
}

struct family *registry_native_family(struct registry *registry, const char *name, const char *help,
				      const char *const *label_names)
{
	return new_family(registry,
			  (struct family_view){ .name = name, .help = help, .type = METRIC_NATIVE },
			  label_names);
}

/* --- children ------------------------------------------------------------ */

/* By the families' names, then by values. */
static int compare(const struct child *child, const struct family *family,
		   const char *const *values)
{
	int order = 0;

	if (child->family != family) {
		return strcmp(child->family->view.name, family->view.name);
	}
	for (size_t i = 0; i < family->view.n_labels && order == 0; i++) {
		order = strcmp(child->label_values[i], values[i]);
	}
	return order;
}

/* Children are many, and most are one number. */
static size_t child_size(enum metric_type type)
{
	static const size_t cells[] = {
		[METRIC_COUNTER] = sizeof(struct counter),
		[METRIC_GAUGE] = sizeof(struct gauge),
		[METRIC_HISTOGRAM] = sizeof(struct histogram),
		[METRIC_NATIVE] = sizeof(struct native_histogram),
	};

	return offsetof(struct child, cell) + cells[type];
}

/*
 * A child without its number. Its name and labels are most of what each scrape says, and
 * never change: they are kept as they are written. NULL: no memory.
 */
static struct child *new_child(struct family *family, const char *const *values)
{
	const struct family_view *view = &family->view;
	size_t size = child_size(view->type);
	size_t room = text_head_room(view, values) + protobuf_labels_room(view, values);
	struct child *child = calloc(1, size + room);
	char *head, *end;
	uint8_t *pairs;

	if (!child) {
		return NULL;
	}
	child->family = family;
	memcpy(child->label_values, values, sizeof(child->label_values));
	head = (char *)child + size;
	end = text_put_head(head, view, values);
	pairs = (uint8_t *)end;
	child->head = head;
	child->head_len = (uint32_t)(end - head);
	child->pairs_len = (uint32_t)(protobuf_put_labels(pairs, view, values) - pairs);
	return child;
}

/* The first child that does not come before these values, or the end. */
static size_t find_place(const struct family *family, const char *const *values)
{
	const struct registry *registry = family->registry;
	size_t low = 0, high = registry->n_children;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(registry->children[middle], family, values) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* False: no memory. */
static bool make_room(struct registry *registry)
{
	size_t room = MAX(2 * registry->room, 16);
	struct child **children;

	if (registry->n_children < registry->room) {
		return true;
	}
	children = realloc(registry->children, room * sizeof(*children));
	if (!children) {
		return false;
	}
	registry->children = children;
	registry->room = room;
	return true;
}

/* The child with these values, made if there is none. NULL: no memory. */
static struct child *get_child(struct family *family, const char *const *given)
{
	struct registry *registry = family->registry;
	const char *values[METRIC_MAX_LABELS] = { NULL };
	struct child *child, **at;
	size_t place;

	for (size_t i = 0; i < family->view.n_labels; i++) {
		assert(given && given[i]);
		values[family->place[i]] = given[i];
	}
	place = find_place(family, values);
	if (place < registry->n_children &&
	    compare(registry->children[place], family, values) == 0) {
		return registry->children[place];
	}
	if (!make_room(registry)) {
		return NULL;
	}
	child = new_child(family, values);
	if (!child) {
		return NULL;
	}
	if (family->view.type == METRIC_HISTOGRAM) {
		histogram_init(&child->cell.histogram, family->view.bounds);
	} else if (family->view.type == METRIC_NATIVE) {
		native_init(&child->cell.native);
	}
	at = registry->children + place;
	memmove(at + 1, at, (registry->n_children++ - place) * sizeof(*at));
	*at = child;
	return child;
}

static struct child *get_stored(struct family *family, enum metric_type type,
				const char *const *label_values)
{
	struct child *child;

	if (!family) {
		return NULL;
	}
	assert(family->view.type == type);
	child = get_child(family, label_values);
	assert(!child || (!child->read && !child->alias));
	return child;
}

struct counter *family_counter(struct family *family, const char *const *label_values)
{
	struct child *child = get_stored(family, METRIC_COUNTER, label_values);

	return child ? &child->cell.counter : NULL;
}

struct gauge *family_gauge(struct family *family, const char *const *label_values)
{
	struct child *child = get_stored(family, METRIC_GAUGE, label_values);

	return child ? &child->cell.gauge : NULL;
}

struct histogram *family_histogram(struct family *family, const char *const *label_values)
{
	struct child *child = get_stored(family, METRIC_HISTOGRAM, label_values);

	return child ? &child->cell.histogram : NULL;
}

struct native_histogram *family_native(struct family *family, const char *const *label_values)
{
	struct child *child = get_stored(family, METRIC_NATIVE, label_values);

	return child ? &child->cell.native : NULL;
}

int family_histogram_alias(struct family *family, const char *const *label_values,
			   const struct histogram *histogram)
{
	struct child *child;

	if (!family) {
		return -ENOMEM;
	}
	assert(family->view.type == METRIC_HISTOGRAM && histogram->bounds == family->view.bounds);
	child = get_child(family, label_values);
	if (!child) {
		return -ENOMEM;
	}
	child->alias = histogram;
	return 0;
}

struct counter *registry_counter(struct registry *registry, const char *name, const char *help)
{
	return family_counter(registry_family(registry, METRIC_COUNTER, name, help, NULL), NULL);
}

struct gauge *registry_gauge(struct registry *registry, const char *name, const char *help)
{
	return family_gauge(registry_family(registry, METRIC_GAUGE, name, help, NULL), NULL);
}

int family_computed(struct family *family, const char *const *label_values,
		    bool (*read)(void *user, double *ret), void *user)
{
	struct child *child;

	if (!family) {
		return -ENOMEM;
	}
	assert(family->view.type == METRIC_COUNTER || family->view.type == METRIC_GAUGE);
	child = get_child(family, label_values);
	if (!child) {
		return -ENOMEM;
	}
	child->read = read;
	child->user = user;
	return 0;
}

/* --- the walk ------------------------------------------------------------ */

int registry_on_walk(struct registry *registry, void (*begin)(void *user), void *user)
{
	struct hook *hook = calloc(1, sizeof(*hook));

	if (!hook) {
		return -ENOMEM;
	}
	hook->begin = begin;
	hook->user = user;
	list_append(&registry->hooks, &hook->node);
	return 0;
}

/* Where the histogram that is being visited lies. */
union snapshot {
	struct histogram_snapshot histogram;
	struct native_snapshot native;
};

/* False: there is no value now. */
static bool read_child(const struct child *child, union snapshot *snapshot, struct sample_view *ret)
{
	ret->label_values = child->label_values;
	ret->head = (struct str){ child->head, child->head_len };
	ret->label_pairs =
		(struct bytes){ (const uint8_t *)child->head + child->head_len, child->pairs_len };
	if (child->read) {
		ret->is_double = true;
		return child->read(child->user, &ret->real);
	}
	switch (child->family->view.type) {
	case METRIC_COUNTER:
		ret->whole = counter_read(&child->cell.counter);
		break;
	case METRIC_GAUGE:
		ret->whole = (uint64_t)gauge_read(&child->cell.gauge);
		break;
	case METRIC_HISTOGRAM:
		histogram_read(child->alias ? child->alias : &child->cell.histogram,
			       &snapshot->histogram);
		ret->histogram = &snapshot->histogram;
		break;
	case METRIC_NATIVE:
		native_read(&child->cell.native, &snapshot->native);
		ret->native = &snapshot->native;
		break;
	}
	return true;
}

struct walk {
	const struct registry_visitor *visitor;
	void *user;
	const struct registry_filter *filter;
	const struct family *family; /* of the latest child; NULL: there was none */
	bool wanted, named;          /* the family is, and has been */
};

static int end_family(const struct walk *walk)
{
	return walk->named ? walk->visitor->family_end(walk->user, &walk->family->view) : 0;
}

static void begin_family(struct walk *walk, const struct family *family)
{
	const struct registry_filter *filter = walk->filter;

	walk->family = family;
	walk->named = false;
	walk->wanted = (family->view.type != METRIC_NATIVE || walk->visitor->takes_native) &&
		       (!filter || filter->wanted(filter->user, family->view.name));
}

/* A family is named only once a sample follows. */
static int visit(struct walk *walk, const struct child *child)
{
	const struct family_view *family = &child->family->view;
	struct sample_view sample = { .is_double = false };
	union snapshot snapshot;
	int result = 0;

	if (!walk->wanted || !read_child(child, &snapshot, &sample)) {
		return 0;
	}
	if (!walk->named) {
		walk->named = true;
		result = walk->visitor->family(walk->user, family);
	}
	return result != 0 ? result : walk->visitor->sample(walk->user, family, &sample);
}

/*
 * Between two scrapes the calls had the caches to themselves: without this the walk waits
 * for each child in turn.
 */
static void fetch_ahead(const struct registry *registry, size_t i)
{
	if (i + AHEAD < registry->n_children) {
		const char *child = (const char *)registry->children[i + AHEAD];

		__builtin_prefetch(child);
		__builtin_prefetch(child + CACHE_LINE);
		__builtin_prefetch(child + 2 * CACHE_LINE);
	}
}

int registry_walk(struct registry *registry, const struct registry_filter *filter,
		  const struct registry_visitor *visitor, void *user)
{
	struct walk walk = { .visitor = visitor, .user = user, .filter = filter };
	int result = 0;

	list_for_each (&registry->hooks, node) {
		struct hook *hook = container_of(node, struct hook, node);

		hook->begin(hook->user);
	}
	for (size_t i = 0; i < registry->n_children && result == 0; i++) {
		const struct child *child = registry->children[i];

		fetch_ahead(registry, i);
		if (child->family != walk.family) {
			result = end_family(&walk);
			begin_family(&walk, child->family);
		}
		if (result == 0) {
			result = visit(&walk, child);
		}
	}
	return result != 0 ? result : end_family(&walk);
}

#include "metrics/build.h"

static void *made(struct build *build, void *what)
{
	if (!what) {
		build->failed = true;
	}
	return what;
}

struct family *build_family(struct build *build, enum metric_type type, const char *name,
			    const char *help, const char *const *label_names)
{
	return made(build, registry_family(build->registry, type, name, help, label_names));
}

struct family *build_histogram_family(struct build *build, const char *name, const char *help,
				      const char *const *label_names,
				      const struct histogram_bounds *bounds)
{
	return made(build,
		    registry_histogram_family(build->registry, name, help, label_names, bounds));
}

struct family *build_native_family(struct build *build, const char *name, const char *help,
				   const char *const *label_names)
{
	return made(build, registry_native_family(build->registry, name, help, label_names));
}

struct counter *build_counter(struct build *build, struct family *family,
			      const char *const *label_values)
{
	return made(build, family_counter(family, label_values));
}

struct gauge *build_gauge(struct build *build, struct family *family,
			  const char *const *label_values)
{
	return made(build, family_gauge(family, label_values));
}

struct histogram *build_histogram(struct build *build, struct family *family,
				  const char *const *label_values)
{
	return made(build, family_histogram(family, label_values));
}

struct native_histogram *build_native(struct build *build, struct family *family,
				      const char *const *label_values)
{
	return made(build, family_native(family, label_values));
}

void build_computed(struct build *build, struct family *family, const char *const *label_values,
		    bool (*read)(void *user, double *ret), const void *user)
{
	union {
		const void *given;
		void *taken;
	} either = { .given = user };

	if (family_computed(family, label_values, read, either.taken) < 0) {
		build->failed = true;
	}
}

struct counter *build_plain_counter(struct build *build, const char *name, const char *help)
{
	return made(build, registry_counter(build->registry, name, help));
}

struct gauge *build_plain_gauge(struct build *build, const char *name, const char *help)
{
	return made(build, registry_gauge(build->registry, name, help));
}

struct histogram *build_plain_histogram(struct build *build, const char *name, const char *help,
					const struct histogram_bounds *bounds)
{
	return build_histogram(build, build_histogram_family(build, name, help, NULL, bounds),
			       NULL);
}

void build_plain_computed(struct build *build, enum metric_type type, const char *name,
			  const char *help, bool (*read)(void *user, double *ret), const void *user)
{
	build_computed(build, build_family(build, type, name, help, NULL), NULL, read, user);
}

bool build_read_counter(void *user, double *ret)
{
	const struct counter *counter = user;

	*ret = (double)counter_read(counter);
	return true;
}

bool build_read_number(void *user, double *ret)
{
	const uint64_t *number = user;

	*ret = (double)*number;
	return true;
}

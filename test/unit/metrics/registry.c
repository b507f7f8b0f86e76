#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../failing.h"
#include "base/buffer.h"
#include "metrics/registry.h"

static int set_up(void **state)
{
	*state = registry_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	registry_free(*state);
	return 0;
}

#define NAMES(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define VALUES(...) ((const char *const[]){ __VA_ARGS__ })

/* --- a visitor that writes down what it sees ------------------------------ */

static int see_family(void *user, const struct family_view *family)
{
	return buffer_printf(user, "[%s", family->name);
}

static int see_sample(void *user, const struct family_view *family,
		      const struct sample_view *sample)
{
	buffer_printf(user, " ");
	for (size_t i = 0; i < family->n_labels; i++) {
		buffer_printf(user, "%s=%s,", family->label_names[i], sample->label_values[i]);
	}
	if (family->type == METRIC_HISTOGRAM) {
		return buffer_printf(user, "n%d",
				     (int)sample->histogram->cumulative[family->bounds->n]);
	}
	return buffer_printf(user, "%d",
			     sample->is_double ? (int)sample->real : (int)sample->whole);
}

static int see_end(void *user, const struct family_view *family)
{
	(void)family;
	return buffer_printf(user, "]");
}

static const struct registry_visitor scribe = { see_family, see_sample, see_end };

static void assert_walk(struct registry *registry, const char *expected)
{
	struct buffer seen = BUFFER_INIT;

	assert_int_equal(registry_walk(registry, NULL, &scribe, &seen), 0);
	buffer_append(&seen, "", 1);
	assert_string_equal((char *)buffer_data(&seen), expected);
	buffer_free(&seen);
}

static void families_come_by_name(void **state)
{
	assert_walk(*state, "");
	registry_counter(*state, "b_total", "B");
	counter_add(registry_counter(*state, "c_total", "C"), 3);
	gauge_set(registry_gauge(*state, "a", "A"), -1);
	registry_counter(*state, "b_tota", "shorter");
	assert_walk(*state, "[a -1][b_tota 0][b_total 0][c_total 3]");
}

static void children_come_by_values_and_labels_by_name(void **state)
{
	struct family *family = registry_family(*state, METRIC_COUNTER, "calls_total", "Calls",
						NAMES("type", "code", "method"));

	counter_add(family_counter(family, VALUES("unary", "OK", "Echo")), 1);
	counter_add(family_counter(family, VALUES("stream", "Aborted", "Watch")), 2);
	counter_add(family_counter(family, VALUES("stream", "OK", "Check")), 3);
	counter_add(family_counter(family, VALUES("stream", "Aborted", "Check")), 4);
	assert_walk(*state, "[calls_total code=Aborted,method=Check,type=stream,4"
			    " code=Aborted,method=Watch,type=stream,2"
			    " code=OK,method=Check,type=stream,3"
			    " code=OK,method=Echo,type=unary,1]");
}

static void the_same_values_give_the_same_child(void **state)
{
	struct family *family = registry_family(*state, METRIC_GAUGE, "g", "G", NAMES("b", "a"));
	char copy[] = "x";

	assert_ptr_equal(family_gauge(family, VALUES("x", "y")),
			 family_gauge(family, VALUES(copy, "y")));
	assert_ptr_not_equal(family_gauge(family, VALUES("x", "y")),
			     family_gauge(family, VALUES("y", "x")));
}

static void histograms_are_seen_whole(void **state)
{
	struct family *family = registry_histogram_family(*state, "h_seconds", "H", NAMES("m"),
							  &histogram_default_bounds);
	struct histogram *histogram = family_histogram(family, VALUES("a"));

	family_histogram(family, VALUES("b"));
	histogram_observe(histogram, 1);
	histogram_observe(histogram, 1e6);
	assert_walk(*state, "[h_seconds m=a,n2 m=b,n0]");
}

/* Enough of them that lists grow, registered in an order that is not that of the walk. */
static void many_come_in_order(void **state)
{
	static char names[37][8], values[37][8];
	struct buffer expected = BUFFER_INIT;
	struct family *families[37];

	for (int i = 0; i < 37; i++) {
		int f = i * 10 % 37;

		snprintf(names[f], sizeof(names[f]), "f%02d", f);
		snprintf(values[f], sizeof(values[f]), "%02d", f);
		families[f] = registry_family(*state, METRIC_COUNTER, names[f], "F", NAMES("x"));
	}
	for (int i = 0; i < 37 * 37; i++) {
		int n = i * 100 % (37 * 37);

		counter_add(family_counter(families[n / 37], VALUES(values[n % 37])), (uint64_t)n);
	}
	for (int f = 0; f < 37; f++) {
		buffer_printf(&expected, "[f%02d", f);
		for (int c = 0; c < 37; c++) {
			buffer_printf(&expected, " x=%02d,%d", c, f * 37 + c);
		}
		buffer_printf(&expected, "]");
	}
	buffer_append(&expected, "", 1);
	assert_walk(*state, (char *)buffer_data(&expected));
	buffer_free(&expected);
}

static bool read_number(void *user, double *ret)
{
	int *number = user;

	*ret = *number;
	return *number >= 0;
}

static void count_up(void *user)
{
	++*(int *)user;
}

static void computed_values_are_asked_for_at_each_walk(void **state)
{
	struct family *family = registry_family(*state, METRIC_GAUGE, "g", "G", NAMES("x"));
	int a = 5, b = -3;

	assert_int_equal(registry_on_walk(*state, count_up, &a), 0);
	assert_int_equal(registry_on_walk(*state, count_up, &b), 0);
	assert_int_equal(family_computed(family, VALUES("a"), read_number, &a), 0);
	assert_int_equal(family_computed(family, VALUES("b"), read_number, &b), 0);
	assert_walk(*state, "[g x=a,6]");
	assert_walk(*state, "[g x=a,7]");
	assert_walk(*state, "[g x=a,8 x=b,0]");
	/* A family without a value to show is not named either. */
	a = b = -10;
	assert_walk(*state, "");
}

static int stop_at_second(void *user, const struct family_view *family,
			  const struct sample_view *sample)
{
	(void)family;
	(void)sample;
	return ++*(int *)user == 2 ? -ENOSPC : 0;
}

static int ignore(void *user, const struct family_view *family)
{
	(void)user;
	(void)family;
	return 0;
}

static void a_visitor_can_end_the_walk(void **state)
{
	static const struct registry_visitor visitor = { ignore, stop_at_second, ignore };
	int seen = 0;

	registry_counter(*state, "a", "A");
	registry_counter(*state, "b", "B");
	registry_counter(*state, "c", "C");
	assert_int_equal(registry_walk(*state, NULL, &visitor, &seen), -ENOSPC);
	assert_int_equal(seen, 2);
}

static void an_alias_shows_what_another_family_observes(void **state)
{
	struct histogram *histogram = family_histogram(
		registry_histogram_family(*state, "h", "H", NULL, &histogram_default_bounds), NULL);
	struct family *other = registry_histogram_family(*state, "other", "O", NAMES("x"),
							 &histogram_default_bounds);

	family_histogram(other, VALUES("own"));
	assert_int_equal(family_histogram_alias(other, VALUES("same"), histogram), 0);
	histogram_observe(histogram, 1);
	histogram_observe(histogram, 2);
	assert_walk(*state, "[h n2][other x=own,n0 x=same,n2]");
	assert_int_equal(family_histogram_alias(NULL, NULL, histogram), -ENOMEM);
}

static int count_native(void *user, const struct family_view *family,
			const struct sample_view *sample)
{
	assert_int_equal(family->type, METRIC_NATIVE);
	*(int *)user += (int)sample->native->count;
	return 0;
}

static void native_histograms_are_for_those_who_take_them(void **state)
{
	static const struct registry_visitor visitor = { ignore, count_native, ignore, true };
	struct native_histogram *native =
		family_native(registry_native_family(*state, "n", "N", NULL), NULL);
	int seen = 0;

	native_observe(native, 1);
	native_observe(native, 0);
	assert_walk(*state, "");
	assert_int_equal(registry_walk(*state, NULL, &visitor, &seen), 0);
	assert_int_equal(seen, 2);
}

static bool is_other(void *user, const char *family)
{
	return strcmp(family, user) != 0;
}

static void a_filter_leaves_families_out(void **state)
{
	char name[] = "b";
	const struct registry_filter filter = { is_other, name };
	struct buffer seen = BUFFER_INIT;

	registry_counter(*state, "a", "A");
	registry_counter(*state, "b", "B");
	registry_counter(*state, "c", "C");
	assert_int_equal(registry_walk(*state, &filter, &scribe, &seen), 0);
	buffer_append(&seen, "", 1);
	assert_string_equal((char *)buffer_data(&seen), "[a 0][c 0]");
	buffer_free(&seen);
}

/* What is written once of each: its head as text formats have it, its labels as protobuf has. */
static int see_written(void *user, const struct family_view *family,
		       const struct sample_view *sample)
{
	(void)family;
	buffer_append(user, sample->head.data, sample->head.len);
	buffer_append(user, sample->label_pairs.data, sample->label_pairs.len);
	return buffer_printf(user, ";");
}

static void names_and_labels_come_written(void **state)
{
	static const struct registry_visitor visitor = { ignore, see_written, ignore };
	static const char expected[] = "g{x=\"\\\\\\\"\\n\",y=\"\"} "
				       "\x0a\x08\x0a\1x\x12\3\\\"\n"
				       "\x0a\5\x0a\1y\x12\0;"
				       "h ;";
	struct family *family = registry_family(*state, METRIC_GAUGE, "g", "G", NAMES("y", "x"));
	struct buffer seen = BUFFER_INIT;

	family_gauge(family, VALUES("", "\\\"\n"));
	registry_gauge(*state, "h", "H");
	assert_int_equal(registry_walk(*state, NULL, &visitor, &seen), 0);
	assert_int_equal(buffer_len(&seen), sizeof(expected) - 1);
	assert_memory_equal(buffer_data(&seen), expected, sizeof(expected) - 1);
	buffer_free(&seen);
}

static struct registry *build(void)
{
	static const struct histogram build_alias = { .bounds = &histogram_default_bounds };
	struct registry *registry = registry_new();
	struct family *family;
	int number = 0;

	if (!registry) {
		return NULL;
	}
	family = registry_family(registry, METRIC_COUNTER, "a", "A", NAMES("x"));
	if (!registry_counter(registry, "b", "B") || !registry_gauge(registry, "c", "C") ||
	    !family_counter(family, VALUES("1")) ||
	    family_computed(family, VALUES("2"), read_number, &number) < 0 ||
	    !family_histogram(
		    registry_histogram_family(registry, "d", "D", NULL, &histogram_default_bounds),
		    NULL) ||
	    !family_native(registry_native_family(registry, "e", "E", NULL), NULL) ||
	    family_histogram_alias(
		    registry_histogram_family(registry, "f", "F", NULL, &histogram_default_bounds),
		    NULL, &build_alias) < 0 ||
	    registry_on_walk(registry, count_up, &number) < 0) {
		registry_free(registry);
		return NULL;
	}
	return registry;
}

static void every_allocation_may_fail(void **state)
{
	struct registry *registry = NULL;
	long at = 0;

	(void)state;
	for (; !registry; at++) {
		failing_at = at;
		registry = build();
	}
	failing_at = -1;
	/* Sixteen failed: one for each family, child and hook, and one for the list of children. */
	assert_int_equal(at, 17);
	registry_free(registry);
	registry_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(families_come_by_name),
		TEST(children_come_by_values_and_labels_by_name),
		TEST(the_same_values_give_the_same_child),
		TEST(histograms_are_seen_whole),
		TEST(many_come_in_order),
		TEST(computed_values_are_asked_for_at_each_walk),
		TEST(a_visitor_can_end_the_walk),
		TEST(an_alias_shows_what_another_family_observes),
		TEST(native_histograms_are_for_those_who_take_them),
		TEST(a_filter_leaves_families_out),
		TEST(names_and_labels_come_written),
		TEST(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

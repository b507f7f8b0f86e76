#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/exemplar.h"
#include "metrics/histogram.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"

static void a_sampled_traceparent_gives_its_ids(void **state)
{
	static const char *const texts[] = {
		"00-" TRACE "-" SPAN "-01",
		"00-" TRACE "-" SPAN "-03",
		"00-" TRACE "-" SPAN "-ff",
		"01-" TRACE "-" SPAN "-01",
		"fe-" TRACE "-" SPAN "-01-what comes later",
		"cc-" TRACE "-" SPAN "-01-",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct exemplar exemplar = { .value = 7, .timestamp = 8 };

		assert_true(exemplar_from_traceparent(str_from(texts[i]), &exemplar));
		assert_string_equal(exemplar.trace_id, TRACE);
		assert_string_equal(exemplar.span_id, SPAN);
		assert_true(exemplar.value == 7 && exemplar.timestamp == 8);
	}
}

static void what_is_malformed_or_not_sampled_gives_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		"00",
		"00-" TRACE "-" SPAN "-00",
		"00-" TRACE "-" SPAN "-02",
		"00-" TRACE "-" SPAN "-0",
		"00-" TRACE "-" SPAN "-01 ",
		"00-" TRACE "-" SPAN "-01-",
		"00-" TRACE "-" SPAN "-01-x",
		"01-" TRACE "-" SPAN "-01x",
		"ff-" TRACE "-" SPAN "-01",
		"0g-" TRACE "-" SPAN "-01",
		"00-" TRACE "-" SPAN "-0g",
		"00_" TRACE "-" SPAN "-01",
		"00-" TRACE "_" SPAN "-01",
		"00-" TRACE "-" SPAN "_01",
		"00-00000000000000000000000000000000-" SPAN "-01",
		"00-" TRACE "-0000000000000000-01",
		"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
		"00-" TRACE "-B7AD6B7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319g-" SPAN "-01",
		"00-" TRACE "-b7ad6b716920333\\-01",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct exemplar exemplar = { .trace_id = "kept" };

		assert_false(exemplar_from_traceparent(str_from(texts[i]), &exemplar));
		assert_string_equal(exemplar.trace_id, "kept");
	}
}

static void a_bucket_keeps_the_exemplar_of_its_own_values(void **state)
{
	static const struct histogram_bounds bounds = { 2, { 1, 2 }, { "1", "2" } };
	struct exemplar kept[3] = { 0 }, exemplar = { .trace_id = TRACE };
	struct histogram_snapshot snapshot;
	struct histogram histogram;

	(void)state;
	histogram_init(&histogram, &bounds);
	exemplar.value = 1;
	histogram_exemplify(&histogram, &exemplar); /* none are kept */
	histogram.exemplars = kept;
	histogram_exemplify(&histogram, &exemplar);
	exemplar.value = 3;
	histogram_exemplify(&histogram, &exemplar);
	histogram_read(&histogram, &snapshot);
	assert_true(snapshot.exemplars[0].value == 1);
	assert_string_equal(snapshot.exemplars[1].trace_id, "");
	assert_true(snapshot.exemplars[2].value == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sampled_traceparent_gives_its_ids),
		cmocka_unit_test(what_is_malformed_or_not_sampled_gives_nothing),
		cmocka_unit_test(a_bucket_keeps_the_exemplar_of_its_own_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

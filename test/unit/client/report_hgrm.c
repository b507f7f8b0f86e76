/* Read back as those do that draw such files: four columns of numbers, and comments. */
#include "client/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "sample.h"

#define MAX_ROWS 1000

struct row {
	double value, level, inverse;
	uint64_t total;
	bool last; /* without the fourth column */
};

struct file {
	struct row rows[MAX_ROWS];
	size_t n;
	double mean, deviation, max;
	uint64_t count;
	unsigned buckets, steps;
};

static void read_row(const char *line, struct file *file)
{
	struct row *row = &file->rows[file->n++];
	int n = sscanf(line, "%lf %lf %" SCNu64 " %lf", &row->value, &row->level, &row->total,
		       &row->inverse);

	assert_true(file->n < MAX_ROWS);
	assert_true(n == 3 || n == 4);
	row->last = n == 3;
}

static void read_comment(const char *line, struct file *file)
{
	assert_true(sscanf(line, "#[Mean = %lf, StdDeviation = %lf]", &file->mean,
			   &file->deviation) == 2 ||
		    sscanf(line, "#[Max = %lf, Total count = %" SCNu64 "]", &file->max,
			   &file->count) == 2 ||
		    sscanf(line, "#[Buckets = %u, SubBuckets = %u]", &file->buckets,
			   &file->steps) == 2);
	assert_int_equal(line[strlen(line) - 1], ']');
}

static void read_back(const struct run *run, struct file *ret)
{
	struct buffer out = BUFFER_INIT;
	char *line, *rest;

	*ret = (struct file){ .n = 0 };
	assert_int_equal(report_hgrm(&out, run), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	rest = (char *)buffer_data(&out);
	line = strsep(&rest, "\n");
	assert_string_equal(line, "       Value     Percentile TotalCount 1/(1-Percentile)");
	assert_string_equal(strsep(&rest, "\n"), "");
	while ((line = strsep(&rest, "\n")) && line[0] != '\0') {
		if (line[0] == '#') {
			read_comment(line, ret);
		} else {
			read_row(line, ret);
		}
	}
	buffer_free(&out);
}

/* Calls that took no longer, by the buckets. */
static uint64_t until(const struct latencies *latencies, int64_t ns)
{
	struct latencies_bucket bucket;
	uint64_t n = 0;

	for (uint32_t i = 0; latencies_next(latencies, i, &bucket); i = bucket.index + 1) {
		n += bucket.low_ns <= ns ? bucket.n : 0;
	}
	return n;
}

static int64_t ns_of(double ms)
{
	return (int64_t)llround(ms * 1e6);
}

static void expect_rows(const struct file *file, const struct latencies *latencies)
{
	for (size_t i = 0; i < file->n; i++) {
		const struct row *row = &file->rows[i];

		assert_int_equal(row->total, until(latencies, ns_of(row->value)));
		assert_int_equal(ns_of(row->value), latencies_quantile(latencies, row->level));
		assert_true(row->last == (i + 1 == file->n));
		if (row->last) {
			assert_true(row->level == 1);
			assert_int_equal(row->total, latencies_count(latencies));
		} else {
			assert_true(fabs(row->inverse * (1 - row->level) - 1) < .01);
			assert_true(i == 0 || row->level > file->rows[i - 1].level);
		}
	}
}

static void expect_comments(const struct file *file, const struct latencies *latencies)
{
	assert_int_equal(file->count, latencies_count(latencies));
	assert_int_equal(ns_of(file->max), latencies_max(latencies));
	assert_int_equal(ns_of(file->mean), llround(latencies_mean(latencies)));
	assert_int_equal(ns_of(file->deviation), llround(latencies_deviation(latencies)));
	assert_int_equal(file->steps, 256);
	/* So many powers of two hold the longest that is recorded, and no fewer. */
	assert_true(256LL << (file->buckets - 1) > LATENCIES_LONGEST);
	assert_true(256LL << (file->buckets - 2) <= LATENCIES_LONGEST);
}

static struct file file;

static void test_rows_are_what_was_recorded(void **state)
{
	/* Five steps to each halving of what is left. */
	static const double levels[] = { 0, .1, .2, .3, .4, .5, .55, .6, .65, .7, .75, .775 };
	struct run run;

	(void)state;
	sample_busy(&run, NULL, 7, 1);
	read_back(&run, &file);
	expect_rows(&file, run.results.latency_ok);
	expect_comments(&file, run.results.latency_ok);
	assert_true(file.n > 50);
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		assert_true(fabs(file.rows[i].level - levels[i]) < 1e-9);
	}
	run_deinit(&run);
}

static void test_no_call_and_one(void **state)
{
	struct run run;

	(void)state;
	sample_none(&run);
	read_back(&run, &file);
	assert_int_equal(file.n, 1);
	assert_int_equal(file.rows[0].total, 0);
	assert_true(file.rows[0].last);
	expect_comments(&file, run.results.latency_ok);
	run_deinit(&run);

	sample_one(&run);
	read_back(&run, &file);
	assert_int_equal(file.n, 2);
	assert_int_equal(ns_of(file.rows[0].value), 1234567);
	expect_rows(&file, run.results.latency_ok);
	expect_comments(&file, run.results.latency_ok);
	run_deinit(&run);
}

static void test_enormous_numbers(void **state)
{
	struct run run;

	(void)state;
	sample_one(&run);
	assert_int_equal(latencies_add(run.results.latency_ok, 4000, UINT64_C(1) << 52), 0);
	latencies_restore(run.results.latency_ok, 1234567, LATENCIES_LONGEST, UINT64_MAX);
	read_back(&run, &file);
	assert_int_equal(file.count, (UINT64_C(1) << 52) + 1);
	assert_int_equal(file.rows[file.n - 1].total, (UINT64_C(1) << 52) + 1);
	assert_int_equal(ns_of(file.rows[file.n - 1].value), LATENCIES_LONGEST);
	run_deinit(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_what_was_recorded),
		cmocka_unit_test(test_no_call_and_one),
		cmocka_unit_test(test_enormous_numbers),
	};

	return cmocka_run_group_tests_name("report_hgrm", tests, NULL, NULL);
}

/*
 * Pages are read back by a small parser of what we write: every element closed in its
 * place, attributes quoted, nothing but text between. What stands in tables is compared
 * with the run, and pictures with their frame.
 */
#include "client/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>

#include "client/chart.h"
#include "client/text.h"
#include "sample.h"

#define MAX_DEPTH 32

static char *page;

static void write_pages(const struct run *const *runs, size_t n)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(report_html(&out, runs, n), 0);
	free(page);
	page = malloc(buffer_len(&out) + 1);
	assert_non_null(page);
	memcpy(page, buffer_data(&out), buffer_len(&out));
	page[buffer_len(&out)] = '\0';
	assert_int_equal(strlen(page), buffer_len(&out));
	buffer_free(&out);
}

static void write_page(const struct run *run)
{
	write_pages(&run, 1);
}

static int tear_down(void **state)
{
	(void)state;
	free(page);
	page = NULL;
	return 0;
}

/* --- the markup --------------------------------------------- */

/* Past name="value" ... up to > or />. */
static const char *attributes(const char *p)
{
	while (*p == ' ') {
		const char *name = ++p;

		while (isalnum((unsigned char)*p) || *p == '-') {
			p++;
		}
		assert_true(p > name);
		assert_false(strncmp(name, "on", 2) == 0 || strncmp(name, "src", 3) == 0 ||
			     strncmp(name, "href", 4) == 0);
		assert_memory_equal(p, "=\"", 2);
		for (p += 2; *p != '"'; p++) {
			assert_true(*p != '\0' && *p != '<' && *p != '>');
		}
		p++;
	}
	return p;
}

static const char *text_of(const char *p)
{
	for (; *p != '<' && *p != '\0'; p++) {
		assert_true(*p != '>');
		assert_true((unsigned char)*p >= 0x20 || *p == '\n');
		assert_true(*p != '&' || isalpha((unsigned char)p[1]) || p[1] == '#');
	}
	return p;
}

static void expect_well_formed(void)
{
	char open[MAX_DEPTH][16];
	size_t depth = 0;
	const char *p = page;

	assert_memory_equal(p, "<!DOCTYPE html>\n", 16);
	for (p = text_of(p + 15); *p != '\0'; p = text_of(p)) {
		bool closes = *++p == '/';
		char name[16];
		size_t n = 0;

		for (p += closes; isalnum((unsigned char)*p); p++) {
			assert_true(n < sizeof(name) - 1);
			name[n++] = *p;
		}
		name[n] = '\0';
		assert_true(n > 0);
		assert_string_not_equal(name, "script");
		if (closes) {
			assert_true(depth > 0);
			assert_string_equal(name, open[--depth]);
		} else {
			p = attributes(p);
			if (*p != '/' && strcmp(name, "meta") != 0) {
				assert_true(depth < MAX_DEPTH);
				memcpy(open[depth++], name, n + 1);
			}
			p += *p == '/' || *p != '>';
		}
		assert_int_equal(*p, '>');
		p = !closes && strcmp(name, "style") == 0 ? strstr(p, "</style>") : p + 1;
	}
	assert_int_equal(depth, 0);
}

static void expect_nothing_from_elsewhere(void)
{
	static const char *const words[] = { "<script", "url(", "@import", "javascript:", "<img",
					     "<link",   "<a ",  "<iframe", "<base",       "src=" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		assert_null(strstr(page, words[i]));
	}
	assert_non_null(strstr(page, "content=\"default-src 'none'; style-src 'unsafe-inline'\""));
}

/* Every place that a line goes through lies within the picture. */
static void expect_lines_in_frame(void)
{
	for (const char *path = strstr(page, " d=\"M"); path; path = strstr(path + 1, " d=\"M")) {
		const char *p = path + 4;

		while (*p != '"') {
			char *end;
			double x, y;

			if (*p == 'm') { /* a dot's own */
				p = strchr(p, '"');
				continue;
			}
			x = strtod(p + 1, &end);
			assert_true(end > p + 1);
			y = strtod(end, &end);
			assert_true(x >= 0 && x <= 860 && y >= 0 && y <= 300);
			p = end;
		}
	}
}

static void expect_page(void)
{
	expect_well_formed();
	expect_nothing_from_elsewhere();
	expect_lines_in_frame();
	assert_null(strstr(page, "nan"));
	assert_null(strstr(page, "inf"));
}

/* --- what it says --------------------------------------------- */

/* The text of the n-th cell of the row of that heading, after `section`. */
static const char *cell(const char *section, const char *heading, size_t n)
{
	static char text[128];
	char row[64];
	const char *p = strstr(page, section), *end;

	assert_non_null(p);
	snprintf(row, sizeof(row), ">%s</th>", heading);
	p = strstr(p, row);
	assert_non_null(p);
	for (size_t i = 0; i <= n; i++) {
		p = strstr(p + 1, "<td");
		assert_non_null(p);
	}
	p = strchr(p, '>') + 1;
	end = strchr(p, '<');
	snprintf(text, sizeof(text), "%.*s", (int)(end - p), p);
	return text;
}

static uint64_t count_in(const char *text)
{
	uint64_t number = 0;

	for (; *text != '\0'; text++) {
		assert_true(isdigit((unsigned char)*text) || *text == ',');
		number = *text == ',' ? number : number * 10 + (uint64_t)(*text - '0');
	}
	return number;
}

/* "1.234 ms" in ns, within the last of its four digits. */
static void expect_duration(const char *text, int64_t ns)
{
	char *unit;
	double number = strtod(text, &unit);
	double scale = strcmp(unit, " s") == 0 ? 1e9 : strcmp(unit, " ms") == 0 ? 1e6 : 1e3;

	assert_true(strcmp(unit, " s") == 0 || strcmp(unit, " ms") == 0 ||
		    strcmp(unit, " &micro;s") == 0);
	assert_true(fabs(number * scale - (double)ns) <= 1 + .0011 * (double)ns);
}

static void test_numbers_are_what_was_recorded(void **state)
{
	static const struct {
		const char *name;
		double share;
	} rows[] = { { "p50", .5 },     { "p90", .9 },       { "p99", .99 },
		     { "p99.9", .999 }, { "p99.99", .9999 }, { "max", 1 } };
	struct run run;

	(void)state;
	sample_busy(&run, "a run", 5, 1);
	sample_verdicts(&run);
	write_page(&run);
	expect_page();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct latencies *columns[] = { run.results.latency_ok,
						      run.results.service_ok,
						      run.results.latency_failed, run.results.lag };

		for (size_t column = 0; column < ARRAY_SIZE(columns); column++) {
			expect_duration(cell(">Latencies<", rows[i].name, column),
					latencies_quantile(columns[column], rows[i].share));
		}
	}
	assert_int_equal(count_in(cell(">Latencies<", "calls", 0)), run.results.by_status[GRPC_OK]);
	assert_int_equal(count_in(cell(">How calls ended<", "UNAVAILABLE", 0)),
			 run.results.by_status[GRPC_UNAVAILABLE]);
	assert_int_equal(count_in(cell(">Accounting<", "due", 0)), run.results.due);
	assert_int_equal(count_in(cell(">Accounting<", "started", 0)), run.results.started);
	assert_int_equal(count_in(cell(">Accounting<", "done", 0)), recorder_done(&run.results));
	assert_int_equal(count_in(cell(">Accounting<", "of them failed", 0)),
			 recorder_failed(&run.results));
	assert_int_equal(count_in(cell(">Accounting<", "never sent", 0)), 1);
	assert_string_equal(cell(">servers less client<", "OK", 0), "&minus;4,000");
	assert_string_equal(cell(">servers less client<", "UNAVAILABLE", 0), "+1");
	assert_string_equal(cell(">Cost and connections<", "bytes sent per call", 0), "60.0");
	assert_string_equal(cell(">Cost and connections<", "GOAWAY NO_ERROR", 0), "1");
	assert_non_null(strstr(page, "Calls waited before they could be sent."));
	assert_non_null(strstr(page, "limited by: max in flight"));
	run_deinit(&run);
}

static void test_texts_of_others_stay_text(void **state)
{
	static const char *const escaped[] = {
		"&lt;/script&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;",
		"&#39;\\x1b[31m\\x0a\\&amp;\xef\xbf\xbd end",
		"<bdi>&lt;b&gt;&quot;c&quot;&lt;/b&gt;</bdi>",
		"<title>Load run &lt;i&gt;</title>",
	};
	struct run run;

	(void)state;
	sample_busy(&run, "<i>", 5, 1);
	sample_verdicts(&run);
	run.plan = run.host = run.version = run.method = run.targets[0] = run.ended_by =
		SAMPLE_HOSTILE;
	run.assertions[0].measured = SAMPLE_HOSTILE;
	write_page(&run);
	expect_page();
	for (size_t i = 0; i < ARRAY_SIZE(escaped); i++) {
		assert_non_null(strstr(page, escaped[i]));
	}
	assert_null(strstr(page, "<b>\"c\""));
	run.assertions[0].measured = "1.02s";
	run_deinit(&run);
}

static void test_no_call_and_one(void **state)
{
	struct run run;

	(void)state;
	sample_none(&run);
	write_page(&run);
	expect_page();
	assert_non_null(strstr(page, "No call was answered."));
	assert_null(strstr(page, "<svg viewBox=\"0 0 860"));
	run_deinit(&run);
	sample_one(&run);
	write_page(&run);
	expect_page();
	expect_duration(cell(">Latencies<", "p99.999", 0), 1234567);
	assert_string_equal(cell(">Latencies<", "p99", 2), "-");
	run_deinit(&run);
}

static void test_enormous_numbers(void **state)
{
	struct run run;

	(void)state;
	sample_one(&run);
	for (uint32_t i = 0; i < 4600; i++) {
		(void)latencies_add(run.results.latency_ok, i, UINT64_C(1) << 50);
		(void)latencies_add(run.results.service_ok, i, UINT64_C(1) << 50);
	}
	latencies_restore(run.results.latency_ok, 0, LATENCIES_LONGEST, UINT64_MAX);
	latencies_restore(run.results.service_ok, 0, LATENCIES_LONGEST, UINT64_MAX);
	series_due(&run.results.series, 100 * 86400 * NS_PER_S, UINT64_C(1) << 62);
	series_ended(&run.results.series, 100 * 86400 * NS_PER_S, true, LATENCIES_LONGEST);
	run.elapsed_ns = 100 * 86400 * NS_PER_S;
	run.results.by_status[GRPC_OK] = run.results.started = run.results.due = UINT64_MAX;
	run.results.by_status[GRPC_DATA_LOSS] = UINT64_MAX;
	run.bytes_in = run.bytes_out = UINT64_MAX;
	write_page(&run);
	expect_page();
	assert_string_equal(cell(">Accounting<", "due", 0), "18,446,744,073,709,551,615");
	run_deinit(&run);
}

static void test_several_runs_side_by_side(void **state)
{
	struct run runs[4];
	const struct run *all[] = { &runs[0], &runs[1], &runs[2], &runs[3] };

	(void)state;
	sample_busy(&runs[0], "the same", 1, 1);
	sample_busy(&runs[1], "the same", 2, 2);
	sample_one(&runs[2]);
	sample_none(&runs[3]);
	write_pages(all, ARRAY_SIZE(all));
	expect_page();
	/* Names alike are told apart. */
	assert_non_null(strstr(page, "<span>1: the same</span>"));
	assert_non_null(strstr(page, "<span>2: the same</span>"));
	for (size_t i = 0; i < 3; i++) {
		expect_duration(cell("<table>", "p50", i),
				latencies_quantile(runs[i].results.latency_ok, .5));
		assert_int_equal(count_in(cell("<table>", "calls done", i)),
				 recorder_done(&runs[i].results));
	}
	assert_string_equal(cell("<table>", "p50", 3), "-");
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		run_deinit(&runs[i]);
	}
}

/* --- axes --------------------------------------------- */

static void expect_ticks(const struct chart_axis *axis)
{
	size_t labelled = 0;

	assert_true(axis->low < axis->high);
	assert_true(axis->n >= 2 && axis->n <= CHART_MAX_TICKS);
	for (size_t i = 0; i < axis->n; i++) {
		assert_true(axis->ticks[i].at >= axis->low * .999);
		assert_true(axis->ticks[i].at <= axis->high * 1.001);
		assert_true(i == 0 || axis->ticks[i].at > axis->ticks[i - 1].at);
		assert_true(axis->ticks[i].minor == (axis->ticks[i].label[0] == '\0'));
		labelled += !axis->ticks[i].minor;
	}
	assert_true(labelled >= 2);
}

static void test_axes_hold_what_they_show_at_round_values(void **state)
{
	struct chart_axis axis = { .title = "" };

	(void)state;
	for (double high = 1; high <= 3.6e12; high *= 1.37) {
		chart_axis_durations(&axis, high / 3, high, false);
		expect_ticks(&axis);
		assert_true(axis.low == 0 && axis.high >= high && axis.high <= 2.6 * high);
		for (double low = 1; low <= high; low *= 11) {
			chart_axis_durations(&axis, low, high, true);
			expect_ticks(&axis);
			assert_true(axis.low <= low * 1.001 && axis.high >= high * .999);
		}
	}
	for (double high = .01; high < 1e19; high *= 1.37) {
		chart_axis_numbers(&axis, high);
		expect_ticks(&axis);
		assert_true(axis.high >= high);
	}
	for (double length = 1; length < 9e18; length *= 1.37) {
		chart_axis_time(&axis, (int64_t)length);
		expect_ticks(&axis);
	}
	chart_axis_time(&axis, INT64_MAX); /* a file may say so */
	expect_ticks(&axis);
	for (uint64_t count = 1; count < UINT64_MAX / 3; count *= 2) {
		chart_axis_percentiles(&axis, count);
		expect_ticks(&axis);
	}
}

static void test_labels_of_axes(void **state)
{
	struct chart_axis axis = { .title = "" };

	(void)state;
	chart_axis_durations(&axis, 0, 9.1e6, false);
	assert_string_equal(axis.ticks[1].label, "2 ms");
	chart_axis_durations(&axis, 2e5, 9e8, true);
	assert_string_equal(axis.ticks[0].label, "100 \302\265s");
	assert_string_equal(axis.ticks[3].label, "1 ms");
	assert_string_equal(axis.ticks[axis.n - 1].label, "1 s");
	chart_axis_numbers(&axis, 650000);
	assert_string_equal(axis.ticks[1].label, "200k");
	chart_axis_percentiles(&axis, 100000);
	assert_string_equal(axis.ticks[0].label, "0 %");
	assert_string_equal(axis.ticks[axis.n - 2].label, "99.99 %");
	assert_true(fabs(chart_percentile(.999) - 3) < 1e-9);
	chart_axis_time(&axis, 90 * NS_PER_S);
	assert_string_equal(axis.ticks[1].label, "10s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_numbers_are_what_was_recorded, tear_down),
		cmocka_unit_test_teardown(test_texts_of_others_stay_text, tear_down),
		cmocka_unit_test_teardown(test_no_call_and_one, tear_down),
		cmocka_unit_test_teardown(test_enormous_numbers, tear_down),
		cmocka_unit_test_teardown(test_several_runs_side_by_side, tear_down),
		cmocka_unit_test(test_axes_hold_what_they_show_at_round_values),
		cmocka_unit_test(test_labels_of_axes),
	};

	return cmocka_run_group_tests_name("report_html", tests, NULL, NULL);
}

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "metrics/exposition.h"
#include "metrics/parse.h"

/* What was shown, one sample a line: name|label=value|label=value value */
struct shown {
	char text[4096];
	size_t len;
	int stop_at; /* the visitor ends it with 7 at that sample, from 1 */
	int n;
};

static void put(struct shown *shown, struct str text)
{
	assert_true(shown->len + text.len < sizeof(shown->text));
	memcpy(shown->text + shown->len, text.data, text.len);
	shown->len += text.len;
	shown->text[shown->len] = '\0';
}

static int on_sample(void *user, const struct exposition_sample *sample)
{
	struct shown *shown = user;
	char number[32];

	put(shown, sample->name);
	for (size_t i = 0; i < sample->n_labels; i++) {
		put(shown, STR("|"));
		put(shown, sample->labels[i].name);
		put(shown, STR("="));
		put(shown, sample->labels[i].value);
	}
	put(shown, STR(" "));
	put(shown, (struct str){ number, exposition_format_double(sample->value, number) });
	put(shown, STR("\n"));
	return ++shown->n == shown->stop_at ? 7 : 0;
}

static void samples_are_shown_as_they_were_meant(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "x 1\n", "x 1\n" },
		{ "# HELP x Some \\n words.\n# TYPE x counter\nx 1\n", "x 1\n" },
		{ "# just words\n#\n#TYPE\tx\tgauge\nx 1\n", "x 1\n" },
		{ "x{} 1\n", "x 1\n" },
		{ "x{a=\"1\"} 1\n", "x|a=1 1\n" },
		{ "x{a=\"1\",b=\"\"} 1\n", "x|a=1|b= 1\n" },
		{ "x{a=\"1\",} 1\n", "x|a=1 1\n" },
		{ " \tx \t{ a\t= \"1\" , b = \"2\" }\t 1 \n", "x|a=1|b=2 1\n" },
		{ "x{a=\"\\\\ \\\" \\n } ,\"} 1\n", "x|a=\\ \" \n } , 1\n" },
		{ "a:b_bucket{le=\"+Inf\"} 3\n", "a:b_bucket|le=+Inf 3\n" },
		{ "x +Inf\ny -Inf\nz NaN\nw inf\nv -infinity\n",
		  "x +Inf\ny -Inf\nz NaN\nw +Inf\nv -Inf\n" },
		{ "x 1.5e+06\ny 1e-05\nz .5\nw 5.\nv -0\nu +7\n",
		  "x 1.5e+06\ny 1e-05\nz 0.5\nw 5\nv -0\nu 7\n" },
		{ "x 999999999999999\ny 9007199254740993\nz 18446744073709551615\n",
		  "x 9.99999999999999e+14\ny 9.007199254740992e+15\nz 1.8446744073709552e+19\n" },
		{ "x 1 1395066363000\n", "x 1\n" },
		{ "x 1 -5 \n", "x 1\n" },
		/* OpenMetrics */
		{ "# TYPE x counter\n# UNIT x seconds\nx_total 17.0 1520879607.789\n"
		  "x_created 1520430000.123\n# EOF\n",
		  "x_total 17\nx_created 1.520430000123e+09\n" },
		{ "x_bucket{le=\"1\"} 3 # {trace=\"a\\\"b\"} 0.67\n", "x_bucket|le=1 3\n" },
		{ "x_bucket{le=\"1\"} 3 1.5 # {le=\"9\"} 0.67 1520879607.789\n",
		  "x_bucket|le=1 3\n" },
	};
	char why[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shown shown = { 0 };
		assert_int_equal(exposition_parse(str_from(rows[i].text), on_sample, &shown, why,
						  sizeof(why)),
				 0);
		assert_string_equal(shown.text, rows[i].shown);
	}
}

static void what_is_malformed_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "x 1", "line 1: the last line does not end" },
		{ "x 1\ny 2", "line 2: the last line does not end" },
		{ "x\n", "line 1: malformed value" },
		{ "x 1\ny z\n", "line 2: malformed value" },
		{ "x 1\n\n\ny z\n", "line 4: malformed value" },
		{ "9x 1\n", "line 1: malformed metric name" },
		{ "x-y 1\n", "line 1: malformed metric name" },
		{ "{a=\"1\"} 1\n", "line 1: malformed metric name" },
		{ "{\"x y\",a=\"1\"} 1\n", "line 1: malformed metric name" },
		{ "<html>\n", "line 1: malformed metric name" },
		{ "x{a=1} 1\n", "line 1: a label's value is not in quotes" },
		{ "x{a=\"1} 1\n", "line 1: a label's value does not end" },
		{ "x{a=\"1\\\n", "line 1: an escape that is none of \\\\, \\\", \\n" },
		{ "x{a=\"\\t\"} 1\n", "line 1: an escape that is none of \\\\, \\\", \\n" },
		{ "x{a} 1\n", "line 1: a label without a value" },
		{ "x{=\"1\"} 1\n", "line 1: malformed label name" },
		{ "x{a:b=\"1\"} 1\n", "line 1: a label without a value" },
		{ "x{,} 1\n", "line 1: malformed label name" },
		{ "x{a=\"1\"b=\"2\"} 1\n", "line 1: labels that are not separated by commas" },
		{ "x{a=\"1\",a=\"2\"} 1\n", "line 1: a label twice" },
		{ "x{a=\"1\" 1\n", "line 1: labels that are not separated by commas" },
		{ "x{a=\"\xff\"} 1\n", "line 1: a label's value is not UTF-8" },
		{ "x 0x10\n", "line 1: malformed value" },
		{ "x 1_000\n", "line 1: malformed value" },
		{ "x 1,5\n", "line 1: malformed value" },
		{ "x -NaN\n", "line 1: malformed value" },
		{ "x --1\n", "line 1: malformed value" },
		{ "x 1e\n", "line 1: malformed value" },
		{ "x .\n", "line 1: malformed value" },
		{ "x 1\r\n", "line 1: malformed value" },
		{ "x 1 now\n", "line 1: malformed time stamp" },
		{ "x 1 2 3\n", "line 1: something behind the value" },
		{ "x 1 # 5\n", "line 1: an exemplar without labels" },
		{ "x 1 # {a=\"1\"}\n", "line 1: malformed value of an exemplar" },
		{ "x 1 # {a=\"1\"} 1 2 3\n", "line 1: something behind the exemplar" },
		{ "# TYPE x number\n", "line 1: unknown type" },
		{ "# TYPE x\n", "line 1: unknown type" },
		{ "# TYPE 9 counter\n", "line 1: malformed metric name" },
		{ "# HELP x-y z\n", "line 1: malformed metric name" },
		{ "# EOF\nx 1\n", "line 2: something behind the end" },
		{ "x 1\n# EOF\n\n", "line 3: something behind the end" },
	};
	char why[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shown shown = { 0 };

		assert_int_equal(exposition_parse(str_from(rows[i].text), on_sample, &shown, why,
						  sizeof(why)),
				 -EINVAL);
		assert_string_equal(why, rows[i].why);
	}
}

/* `before`, n times `more`, `after`. */
static int parse_long(const char *before, const char *more, size_t n, const char *after, char *why,
		      size_t size)
{
	struct shown shown = { .len = 0 };
	size_t step = strlen(more), len = strlen(before);
	char *text = malloc(len + n * step + strlen(after) + 1);
	int err;

	assert_non_null(text);
	memcpy(text, before, len);
	for (size_t i = 0; i < n; i++, len += step) {
		memcpy(text + len, more, step);
	}
	memcpy(text + len, after, strlen(after));
	err = exposition_parse((struct str){ text, len + strlen(after) }, on_sample, &shown, why,
			       size);
	free(text);
	return err;
}

static void everything_is_bounded(void **state)
{
	struct str huge = { "x 1\n", EXPOSITION_MAX_BYTES + 1 };
	char why[128] = "", labels[2048] = "x{";

	(void)state;
	assert_int_equal(parse_long("# ", "x", EXPOSITION_MAX_LINE - 2, "\n", why, sizeof(why)), 0);
	assert_int_equal(parse_long("# ", "x", EXPOSITION_MAX_LINE - 1, "\n", why, sizeof(why)),
			 -EINVAL);
	assert_string_equal(why, "line 1: longer than 16384 bytes");
	assert_int_equal(exposition_parse(huge, on_sample, NULL, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "more than 64 MiB");
	/* the longest label there can be is unescaped in place */
	assert_int_equal(parse_long("x{a=\"", "\\n", 2000, "\"} 1\n", why, sizeof(why)), 0);
	for (int i = 0; i < EXPOSITION_MAX_LABELS; i++) {
		snprintf(labels + strlen(labels), sizeof(labels) - strlen(labels), "l%d=\"%d\",", i,
			 i);
	}
	assert_int_equal(parse_long(labels, "", 0, "} 1\n", why, sizeof(why)), 0);
	assert_int_equal(parse_long(labels, "", 0, "m=\"1\"} 1\n", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "line 1: more than 64 labels");
	assert_int_equal(parse_long("x ", "0", 600, "1\n", why, sizeof(why)), -EINVAL);
	/* a reason is cut, and ended, in any room */
	for (size_t size = 1; size < 40; size++) {
		assert_int_equal(exposition_parse(STR("x y\n"), on_sample, NULL, why, size),
				 -EINVAL);
		assert_true(strlen(why) < size);
	}
}

static void the_visitor_may_end_it(void **state)
{
	struct shown shown = { .stop_at = 2 };
	char why[128];

	(void)state;
	assert_int_equal(
		exposition_parse(STR("x 1\ny 2\nz 3\n"), on_sample, &shown, why, sizeof(why)), 7);
	assert_string_equal(shown.text, "x 1\ny 2\n");
}

static int find_b(void *user, const struct exposition_sample *sample)
{
	struct str b = exposition_label(sample, STR("b"));

	if (str_equal(sample->name, STR("with"))) {
		assert_non_null(b.data);
		assert_int_equal(b.len, 0);
	} else {
		assert_null(b.data);
	}
	++*(int *)user;
	return 0;
}

static void a_label_is_found_by_its_name(void **state)
{
	char why[128];
	int n = 0;

	(void)state;
	assert_int_equal(exposition_parse(STR("with{a=\"b\",b=\"\"} 1\nwithout{a=\"b\"} 1\n"),
					  find_b, &n, why, sizeof(why)),
			 0);
	assert_int_equal(n, 2);
}

static void no_locale_has_a_say(void **state)
{
	double value;

	(void)state;
	/* where there is no such locale here, what follows holds all the more */
	(void)(setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8"));
	assert_int_equal(exposition_parse_double(STR("1.25"), &value), 0);
	assert_true(value == 1.25);
	assert_int_equal(exposition_parse_double(STR("1,25"), &value), -EINVAL);
	setlocale(LC_NUMERIC, "C");
}

static void any_number_goes_there_and_back(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 7);
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = random_next(&random);
		char text[32];
		double value, back;
		size_t n;

		if (i % 2) {
			value = (double)(bits >> (bits & 63));
		} else {
			memcpy(&value, &bits, sizeof(value));
		}
		n = exposition_format_double(value, text);
		assert_int_equal(exposition_parse_double((struct str){ text, n }, &back), 0);
		assert_true(isnan(value) ? isnan(back) : memcmp(&value, &back, 8) == 0);
	}
}

/* -- There and back through the encoder -- */

#define MAX_FAMILIES 6
#define MAX_CHILDREN 4
#define MAX_TEXT     12

/* A registry of random families; the texts that it borrows live here. */
struct random_registry {
	struct random random;
	struct registry *registry;
	char names[MAX_FAMILIES][16], labels[MAX_FAMILIES][2][24];
	char values[MAX_FAMILIES][MAX_CHILDREN][2][MAX_TEXT * 4 + 1];
	char help[MAX_TEXT * 4 + 1];
	size_t n_labels[MAX_FAMILIES];
	struct counter *counters[MAX_FAMILIES][MAX_CHILDREN];
	struct gauge *gauges[MAX_FAMILIES][MAX_CHILDREN];
	struct histogram *histograms[MAX_FAMILIES][MAX_CHILDREN];
	struct exemplar exemplars[HISTOGRAM_MAX_BOUNDS + 1]; /* of all of them */
	int seen[MAX_FAMILIES][MAX_CHILDREN];
};

static void random_text(struct random *random, char *text)
{
	static const char *const pieces[] = { "\\", "\"", "\n", "a", "}",  "{",
					      ",",  "=",  " ",  "#", "\t", "\xc3\xa4" };
	uint64_t n = random_below(random, MAX_TEXT);

	text[0] = '\0';
	for (uint64_t i = 0; i < n; i++) {
		strcat(text, pieces[random_below(random, ARRAY_SIZE(pieces))]);
	}
}

static void observe(struct histogram *histogram, double value)
{
	const struct exemplar exemplar = {
		.trace_id = "0af7651916cd43dd8448eb211c80319c",
		.span_id = "b7ad6b7169203331",
		.value = value,
		.timestamp = 1700000000.5,
	};

	histogram_observe(histogram, value);
	histogram_exemplify(histogram, &exemplar);
}

static void add_children(struct random_registry *it, size_t f, struct family *family, uint64_t type)
{
	for (size_t c = 0; c < MAX_CHILDREN; c++) {
		const char *values[2] = { it->values[f][c][0], it->values[f][c][1] };
		uint64_t n = random_next(&it->random) >> (11 + random_below(&it->random, 50));

		if (it->n_labels[f] == 0 && c > 0) {
			break;
		}
		for (size_t i = 0; i < it->n_labels[f]; i++) {
			size_t used;

			random_text(&it->random, it->values[f][c][i]);
			used = strlen(it->values[f][c][i]);
			it->values[f][c][i][used] = (char)('0' + c); /* no two alike */
			it->values[f][c][i][used + 1] = '\0';
		}
		if (type == 0) {
			it->counters[f][c] = family_counter(family, values);
			counter_add(it->counters[f][c], n);
		} else if (type == 1) {
			it->gauges[f][c] = family_gauge(family, values);
			gauge_set(it->gauges[f][c], n % 2 ? -(int64_t)n : (int64_t)n);
		} else {
			it->histograms[f][c] = family_histogram(family, values);
			it->histograms[f][c]->exemplars = it->exemplars;
			for (uint64_t i = n % 50; i > 0; i--) {
				observe(it->histograms[f][c], (double)i / 7);
			}
		}
	}
}

static void make_registry(struct random_registry *it, uint64_t seed)
{
	memset(it, 0, sizeof(*it));
	random_seed(&it->random, seed);
	it->registry = registry_new();
	random_text(&it->random, it->help);
	for (size_t f = 0; f < MAX_FAMILIES; f++) {
		const char *labels[3] = { NULL };
		uint64_t type = random_below(&it->random, 3);
		struct family *family;

		snprintf(it->names[f], sizeof(it->names[f]), "family:%zu", f);
		it->n_labels[f] = random_below(&it->random, 3);
		for (size_t i = 0; i < it->n_labels[f]; i++) {
			snprintf(it->labels[f][i], sizeof(it->labels[f][i]), "l_%zu", i);
			labels[i] = it->labels[f][i];
		}
		family = type == 2 ? registry_histogram_family(it->registry, it->names[f], it->help,
							       labels, &histogram_default_bounds)
				   : registry_family(it->registry,
						     type ? METRIC_GAUGE : METRIC_COUNTER,
						     it->names[f], it->help, labels);
		assert_non_null(family);
		add_children(it, f, family, type);
	}
}

static double expected_of(const struct random_registry *it, size_t f, size_t c,
			  const struct exposition_sample *sample)
{
	struct histogram_snapshot snapshot;
	struct str le = exposition_label(sample, STR("le"));
	double bound;

	if (it->counters[f][c]) {
		return (double)counter_read(it->counters[f][c]);
	}
	if (it->gauges[f][c]) {
		return (double)gauge_read(it->gauges[f][c]);
	}
	histogram_read(it->histograms[f][c], &snapshot);
	if (!le.data) {
		return sample->name.data[sample->name.len - 1] == 'm'
			       ? snapshot.sum
			       : (double)snapshot.cumulative[histogram_default_bounds.n];
	}
	assert_int_equal(exposition_parse_double(le, &bound), 0);
	for (size_t i = 0; i < histogram_default_bounds.n; i++) {
		if (bound == histogram_default_bounds.values[i]) {
			return (double)snapshot.cumulative[i];
		}
	}
	assert_true(isinf(bound));
	return (double)snapshot.cumulative[histogram_default_bounds.n];
}

static int on_round_trip(void *user, const struct exposition_sample *sample)
{
	struct random_registry *it = user;
	size_t f = (size_t)(sample->name.data[7] - '0'), found = MAX_CHILDREN;

	assert_true(str_has_prefix(sample->name, str_from(it->names[f])));
	for (size_t c = 0; c < MAX_CHILDREN; c++) {
		bool same = it->counters[f][c] || it->gauges[f][c] || it->histograms[f][c];

		for (size_t i = 0; same && i < it->n_labels[f]; i++) {
			same = str_equal(exposition_label(sample, str_from(it->labels[f][i])),
					 str_from(it->values[f][c][i]));
		}
		if (same) {
			assert_int_equal(found, MAX_CHILDREN);
			found = c;
		}
	}
	assert_true(found < MAX_CHILDREN);
	assert_true(sample->value == expected_of(it, f, found, sample));
	it->seen[f][found]++;
	return 0;
}

static void assert_round_trip(const struct exposition *exposition, uint64_t seed)
{
	struct random_registry it;
	struct buffer out = BUFFER_INIT;
	char why[128] = "";

	make_registry(&it, seed);
	assert_int_equal(exposition->encode(it.registry, NULL, &out), 0);
	assert_int_equal(
		exposition_parse((struct str){ (const char *)buffer_data(&out), buffer_len(&out) },
				 on_round_trip, &it, why, sizeof(why)),
		0);
	for (size_t f = 0; f < MAX_FAMILIES; f++) {
		for (size_t c = 0; c < MAX_CHILDREN; c++) {
			int lines = it.histograms[f][c] ? 14 : it.counters[f][c] || it.gauges[f][c];

			assert_int_equal(it.seen[f][c], lines);
		}
	}
	buffer_free(&out);
	registry_free(it.registry);
}

static void what_our_encoders_write_comes_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		assert_round_trip(&exposition_text, seed);
		assert_round_trip(&exposition_openmetrics, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_shown_as_they_were_meant),
		cmocka_unit_test(what_is_malformed_is_refused_with_its_line),
		cmocka_unit_test(everything_is_bounded),
		cmocka_unit_test(the_visitor_may_end_it),
		cmocka_unit_test(a_label_is_found_by_its_name),
		cmocka_unit_test(no_locale_has_a_say),
		cmocka_unit_test(any_number_goes_there_and_back),
		cmocka_unit_test(what_our_encoders_write_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

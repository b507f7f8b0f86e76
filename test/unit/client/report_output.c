/* Formats by name, and where a report goes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/report.h"

static void expect_output(const char *text, enum report_format format, const char *path)
{
	enum report_format got = REPORT_FORMAT_COUNT;
	const char *to = "untouched";
	char why[256] = "";

	assert_int_equal(report_parse_output(text, &got, &to, why, sizeof(why)), 0);
	assert_int_equal(got, format);
	if (path) {
		assert_string_equal(to, path);
	} else {
		assert_null(to);
	}
}

static void expect_no_output(const char *text, const char *expected)
{
	enum report_format format = REPORT_HGRM;
	const char *to = "untouched";
	char why[256] = "";

	assert_int_equal(report_parse_output(text, &format, &to, why, sizeof(why)), -1);
	assert_string_equal(why, expected);
	assert_int_equal(format, REPORT_HGRM);
	assert_string_equal(to, "untouched");
}

static void test_outputs(void **state)
{
	(void)state;
	expect_output("text", REPORT_TEXT, NULL);
	expect_output("json:-", REPORT_JSON, NULL);
	expect_output("json:run.json", REPORT_JSON, "run.json");
	expect_output("html:a:b", REPORT_HTML, "a:b");
	expect_output("prom:/x y", REPORT_PROM, "/x y");
	expect_no_output("json:", "names no file after the colon");
	expect_no_output("", "is not FORMAT or FORMAT:PATH with one of text, json, fortio, hgrm, "
			     "prom, html");
	expect_no_output("jso",
			 "is not FORMAT or FORMAT:PATH with one of text, json, fortio, hgrm, "
			 "prom, html");
	expect_no_output("JSON:x", "is not FORMAT or FORMAT:PATH with one of text, json, fortio, "
				   "hgrm, prom, html");
}

static void test_style(void **state)
{
	struct report_style style;

	(void)state;
	unsetenv("NO_COLOR");
	unsetenv("COLUMNS");
	setenv("TERM", "xterm", 1);
	setenv("LC_ALL", "C", 1);
	report_style_init(&style, -1);
	assert_int_equal(style.columns, 80);
	assert_false(style.colour);
	assert_false(style.blocks);
	setenv("COLUMNS", "132", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	report_style_init(&style, -1);
	assert_int_equal(style.columns, 132);
	assert_true(style.blocks);
	setenv("COLUMNS", "3", 1);
	report_style_init(&style, -1);
	assert_int_equal(style.columns, 40);
	setenv("COLUMNS", "99999999999999999999", 1);
	report_style_init(&style, -1);
	assert_int_equal(style.columns, 400);
	setenv("COLUMNS", "wide", 1);
	report_style_init(&style, -1);
	assert_int_equal(style.columns, 80);
}

/* --- files ------------------------------------------------------------------------ */

static char folder[] = "/tmp/report-test-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int set_up(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(in_folder("new"));
	unlink(in_folder("link"));
	return rmdir(folder); /* nothing is left that was written aside */
}

static void save(const char *text, const char *path)
{
	char why[256] = "";
	struct bytes bytes = { (const uint8_t *)text, strlen(text) };

	if (report_save(bytes, path, why, sizeof(why)) < 0) {
		fail_msg("%s", why);
	}
}

static void expect_file(const char *path, const char *text, mode_t mode)
{
	char content[256];
	struct stat status;
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(content, 1, sizeof(content) - 1, file);
	content[n] = '\0';
	fclose(file);
	assert_string_equal(content, text);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, mode);
}

static void test_a_file_is_made_and_replaced(void **state)
{
	const char *path = in_folder("new");

	(void)state;
	save("a first one, which is longer", path);
	expect_file(path, "a first one, which is longer", 0644);
	assert_int_equal(chmod(path, 0600), 0);
	save("a second", path);
	expect_file(path, "a second", 0600);
	save("", path);
	expect_file(path, "", 0600);
}

static void test_a_link_stays_one(void **state)
{
	char link[256];
	struct stat status;

	(void)state;
	save("old", in_folder("new"));
	snprintf(link, sizeof(link), "%s", in_folder("link"));
	assert_int_equal(symlink("new", link), 0);
	save("new", link);
	assert_int_equal(lstat(link, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	expect_file(in_folder("new"), "new", 0600);
}

static void test_a_device_stays_one(void **state)
{
	struct stat status;

	(void)state;
	save("nothing", "/dev/null");
	assert_int_equal(stat("/dev/null", &status), 0);
	assert_true(S_ISCHR(status.st_mode));
}

static void test_a_file_that_cannot_be_written(void **state)
{
	char why[256] = "", expected[512];

	(void)state;
	snprintf(expected, sizeof(expected), "cannot write %s: No such file or directory",
		 in_folder("none/file"));
	assert_int_equal(
		report_save((struct bytes){ NULL, 0 }, in_folder("none/file"), why, sizeof(why)),
		-1);
	assert_string_equal(why, expected);
	snprintf(expected, sizeof(expected), "cannot write %s: Is a directory", folder);
	assert_int_equal(report_save((struct bytes){ NULL, 0 }, folder, why, sizeof(why)), -1);
	assert_string_equal(why, expected);
}

static void expect_no_place(const char *path, int err)
{
	char why[256] = "", expected[256];

	snprintf(expected, sizeof(expected), "cannot be written: %s", strerror(err));
	assert_int_equal(report_check_path(path, why, sizeof(why)), -1);
	assert_string_equal(why, expected);
}

static void expect_place(const char *path)
{
	char why[256];

	assert_int_equal(report_check_path(path, why, sizeof(why)), 0);
}

static void test_a_place_is_checked_and_left_as_it_is(void **state)
{
	struct stat status;
	char link[256];

	(void)state;
	expect_place(in_folder("none"));
	assert_int_equal(stat(in_folder("none"), &status), -1);
	expect_place("relative");
	expect_place("/dev/null");
	save("here", in_folder("taken"));
	expect_place(in_folder("taken"));
	expect_file(in_folder("taken"), "here", 0644);
	snprintf(link, sizeof(link), "%s", in_folder("to-none"));
	assert_int_equal(symlink("none", link), 0);
	expect_place(link);
	assert_int_equal(unlink(link), 0);

	expect_no_place(in_folder("none/file"), ENOENT);
	expect_no_place(in_folder("taken/file"), ENOTDIR);
	expect_no_place(in_folder("none/"), EISDIR);
	expect_no_place(folder, EISDIR);
	assert_int_equal(unlink(in_folder("taken")), 0);
}

static void test_one_file_by_two_names(void **state)
{
	char one[256], other[256];

	(void)state;
	snprintf(one, sizeof(one), "%s", in_folder("x"));
	snprintf(other, sizeof(other), "%s", in_folder("./x"));
	assert_true(report_same_path(one, one));
	assert_true(report_same_path(one, other));
	assert_true(report_same_path("x", "./x"));
	assert_true(report_same_path("/x", "//x"));
	assert_false(report_same_path(one, "x"));
	assert_false(report_same_path(one, in_folder("y")));
	save("there", one);
	snprintf(other, sizeof(other), "%s", in_folder("to-x"));
	assert_int_equal(symlink("x", other), 0);
	assert_true(report_same_path(one, other));
	assert_int_equal(unlink(one), 0);
	assert_int_equal(unlink(other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_style),
		cmocka_unit_test(test_a_file_is_made_and_replaced),
		cmocka_unit_test(test_a_link_stays_one),
		cmocka_unit_test(test_a_device_stays_one),
		cmocka_unit_test(test_a_file_that_cannot_be_written),
		cmocka_unit_test(test_a_place_is_checked_and_left_as_it_is),
		cmocka_unit_test(test_one_file_by_two_names),
	};

	return cmocka_run_group_tests_name("report_output", tests, set_up, tear_down);
}

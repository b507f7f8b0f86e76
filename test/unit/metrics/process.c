#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../failing.h"
#include "metrics/exposition.h"
#include "metrics/process.h"

struct bench {
	struct registry *registry;
	struct process_metrics *process;
	struct buffer out;
};

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	bench->registry = registry_new();
	bench->process = process_metrics_new(bench->registry);
	*state = bench;
	return bench->process ? 0 : -1;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	registry_free(bench->registry);
	process_metrics_free(bench->process);
	buffer_free(&bench->out);
	free(bench);
	return 0;
}

static const char *scrape(struct bench *bench)
{
	buffer_clear(&bench->out);
	assert_int_equal(exposition_text.encode(bench->registry, NULL, &bench->out), 0);
	buffer_append(&bench->out, "", 1);
	return (const char *)buffer_data(&bench->out);
}

/* NaN: no such line. */
static double value_in(const char *text, const char *name)
{
	char start[80];
	const char *line;

	snprintf(start, sizeof(start), "\n%s ", name);
	line = strstr(text, start);
	return line ? strtod(line + strlen(start), NULL) : NAN;
}

static double value_of(struct bench *bench, const char *name)
{
	return value_in(scrape(bench), name);
}

static void has_the_known_names_types_and_words(void **state)
{
	static const char *const heads[] = {
		"# HELP process_cpu_seconds_total Total user and system CPU time spent in "
		"seconds.\n"
		"# TYPE process_cpu_seconds_total counter\n",
		"# HELP process_max_fds Maximum number of open file descriptors.\n"
		"# TYPE process_max_fds gauge\n",
		"# HELP process_open_fds Number of open file descriptors.\n"
		"# TYPE process_open_fds gauge\n",
		"# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
		"# TYPE process_resident_memory_bytes gauge\n",
		"# HELP process_start_time_seconds Start time of the process since unix epoch in "
		"seconds.\n# TYPE process_start_time_seconds gauge\n",
		"# HELP process_threads Number of OS threads in the process.\n"
		"# TYPE process_threads gauge\n",
		"# HELP process_virtual_memory_bytes Virtual memory size in bytes.\n"
		"# TYPE process_virtual_memory_bytes gauge\n",
		"# HELP process_virtual_memory_max_bytes Maximum amount of virtual memory "
		"available "
		"in bytes.\n# TYPE process_virtual_memory_max_bytes gauge\n",
	};
	const char *text = scrape(*state);

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		assert_non_null(strstr(text, heads[i]));
	}
}

static void cpu_time_has_a_fraction_and_moves(void **state)
{
	double before = value_of(*state, "process_cpu_seconds_total"), after;
	struct timespec begin, now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 60000000);
	after = value_of(*state, "process_cpu_seconds_total");
	assert_true(after - before > 0.03 && after - before < 5);
}

static void memory_grows_by_what_is_touched(void **state)
{
	const size_t n = 64 * MIB;
	double before = value_of(*state, "process_resident_memory_bytes");
	double address_space = value_of(*state, "process_virtual_memory_bytes");
	volatile char *memory = malloc(n);
	double grown;

	for (size_t i = 0; i < n; i += 1024) {
		memory[i] = 1;
	}
	grown = value_of(*state, "process_resident_memory_bytes") - before;
	assert_true(grown > 0.8 * (double)n && grown < 3 * (double)n);
	free((void *)(uintptr_t)memory);
	assert_true(address_space >= before && before > 0);
}

static void *wait_for_end(void *end)
{
	char byte;

	return read(*(int *)end, &byte, 1) == 0 ? end : NULL;
}

static void threads_are_counted(void **state)
{
	double before = value_of(*state, "process_threads");
	pthread_t thread;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_end, &fds[0]), 0);
	assert_true(value_of(*state, "process_threads") == before + 1);
	close(fds[1]);
	pthread_join(thread, NULL);
	close(fds[0]);
}

/* By asking for each number: slower, and another way than the one that is tested. */
static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 4096; fd++) {
		n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

static void files_are_counted_at_most_once_a_second(void **state)
{
	double first = value_of(*state, "process_open_fds");
	int fds[3];

	assert_true(first == count_fds());
	for (int i = 0; i < 3; i++) {
		fds[i] = open("/dev/null", O_RDONLY);
	}
	assert_true(value_of(*state, "process_open_fds") == first);
	usleep(1100000);
	assert_true(value_of(*state, "process_open_fds") == first + 3);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
	}
}

static void limits_are_shown_as_they_are(void **state)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 300 ? limit.rlim_max : 300;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(value_of(*state, "process_max_fds") == (double)limit.rlim_cur);
	getrlimit(RLIMIT_AS, &limit);
	if (limit.rlim_cur == RLIM_INFINITY) {
		assert_non_null(strstr(scrape(*state), "process_virtual_memory_max_bytes "
						       "1.8446744073709552e+19\n"));
	}
}

static void the_start_is_now_and_stays(void **state)
{
	double start = value_of(*state, "process_start_time_seconds");
	double now = (double)time(NULL);

	assert_true(start > now - 10 && start < now + 2);
	usleep(5000);
	assert_true(value_of(*state, "process_start_time_seconds") == start);
}

/* Returns what it was. */
static rlim_t limit_files(rlim_t limit)
{
	struct rlimit files;
	rlim_t before;

	getrlimit(RLIMIT_NOFILE, &files);
	before = files.rlim_cur;
	files.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	return before;
}

static void what_cannot_be_read_is_left_out(void **state)
{
	rlim_t before = limit_files(0); /* nothing is left to open /proc with */
	struct bench *bench;
	const char *text;

	(void)state;
	assert_int_equal(set_up((void **)&bench), 0);
	text = scrape(bench);
	limit_files(before);
	assert_null(strstr(text, "process_open_fds"));
	assert_null(strstr(text, "process_threads"));
	assert_null(strstr(text, "process_resident_memory_bytes"));
	assert_false(isnan(value_in(text, "process_cpu_seconds_total")));
	assert_false(isnan(value_of(bench, "process_threads")));
	tear_down((void **)&bench);
}

/* When they are all in use, it is good to know. */
static void files_are_counted_when_there_are_no_more(void **state)
{
	rlim_t before = limit_files(0);
	const char *text = scrape(*state);

	limit_files(before);
	assert_true(value_in(text, "process_open_fds") == count_fds());
	assert_false(isnan(value_in(text, "process_resident_memory_bytes")));
}

static void all_that_it_opened_is_closed(void **state)
{
	int before = count_fds();
	struct bench *bench;

	(void)state;
	assert_int_equal(set_up((void **)&bench), 0);
	scrape(bench);
	assert_int_equal(count_fds(), before + 2);
	tear_down((void **)&bench);
	assert_int_equal(count_fds(), before);
	process_metrics_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
	long at = 0;

	(void)state;
	for (;; at++) {
		struct registry *registry;
		struct process_metrics *process;

		failing_at = -1;
		registry = registry_new();
		failing_at = at;
		process = process_metrics_new(registry);
		failing_at = -1;
		registry_free(registry);
		process_metrics_free(process);
		if (process) {
			break;
		}
	}
	assert_true(at > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(has_the_known_names_types_and_words),
		TEST(cpu_time_has_a_fraction_and_moves),
		TEST(memory_grows_by_what_is_touched),
		TEST(threads_are_counted),
		TEST(files_are_counted_at_most_once_a_second),
		TEST(limits_are_shown_as_they_are),
		TEST(the_start_is_now_and_stays),
		TEST(what_cannot_be_read_is_left_out),
		TEST(files_are_counted_when_there_are_no_more),
		TEST(all_that_it_opened_is_closed),
		TEST(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

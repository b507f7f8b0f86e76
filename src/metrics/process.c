/*
 * Each walk reads /proc/self/stat, getrusage() and getrlimit() once; what they
 * tell is kept in `values`, from where the computed children take it. What is read in
 * /proc stays open: that halves the cost, and tells most where no file can be opened any more.
 *
 * What can fail: /proc may be absent or hidden; that value is then unknown, and
 * its sample is left out. The start is the clock's at creation, not worked out
 * from the boot time, which a service's sandbox may hide.
 */
#include "metrics/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/timers.h"
#include "base/util.h"

enum process_value {
	VALUE_CPU,
	VALUE_MAX_FDS,
	VALUE_OPEN_FDS,
	VALUE_RESIDENT,
	VALUE_START,
	VALUE_THREADS,
	VALUE_VIRTUAL,
	VALUE_VIRTUAL_MAX,
	VALUE_COUNT,
};

/*
 * Name, type and HELP as every client library of Prometheus has them: dashboards
 * know these.
 */
static const struct {
	enum metric_type type;
	const char *name, *help;
} table[VALUE_COUNT] = {
	[VALUE_CPU] = { METRIC_COUNTER, "process_cpu_seconds_total",
			"Total user and system CPU time spent in seconds." },
	[VALUE_MAX_FDS] = { METRIC_GAUGE, "process_max_fds",
			    "Maximum number of open file descriptors." },
	[VALUE_OPEN_FDS] = { METRIC_GAUGE, "process_open_fds", "Number of open file descriptors." },
	[VALUE_RESIDENT] = { METRIC_GAUGE, "process_resident_memory_bytes",
			     "Resident memory size in bytes." },
	[VALUE_START] = { METRIC_GAUGE, "process_start_time_seconds",
			  "Start time of the process since unix epoch in seconds." },
	[VALUE_THREADS] = { METRIC_GAUGE, "process_threads",
			    "Number of OS threads in the process." },
	[VALUE_VIRTUAL] = { METRIC_GAUGE, "process_virtual_memory_bytes",
			    "Virtual memory size in bytes." },
	[VALUE_VIRTUAL_MAX] = { METRIC_GAUGE, "process_virtual_memory_max_bytes",
				"Maximum amount of virtual memory available in bytes." },
};

struct value {
	bool known;
	double number;
};

struct process_metrics {
	struct value values[VALUE_COUNT];
	int stat_fd;        /* -1: could not be opened yet */
	DIR *fds;           /* NULL: the same */
	int64_t fds_due_ns; /* counting them again before this would cost too much */
};

static void set(struct process_metrics *process, enum process_value which, double number)
{
	process->values[which] = (struct value){ true, number };
}

/* Opens what is not open yet. */
static void open_files(struct process_metrics *process)
{
	if (process->stat_fd < 0) {
		process->stat_fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	}
	if (!process->fds) {
		process->fds = opendir("/proc/self/fd");
	}
}

static bool read_value(void *user, double *ret)
{
	const struct value *value = user;

	*ret = value->number;
	return value->known;
}

/*
 * The number in a field `n` further on, and the space after it; `field` is at the space
 * before its own, or NULL where there was none.
 */
static double number_after(char **field, int n)
{
	while (*field && n-- > 0) {
		*field = strchr(*field + 1, ' ');
	}
	return *field ? (double)strtoll(*field, field, 10) : 0;
}

/*
 * Fields 20, 23 and 24 of proc(5) stat. The second, a name in brackets, may hold
 * spaces and brackets.
 */
static void sample_stat(struct process_metrics *process)
{
	static const enum process_value values[] = { VALUE_THREADS, VALUE_VIRTUAL, VALUE_RESIDENT };
	static const int further[] = { 17, 2, 0 }; /* from behind the name; from there */
	char text[1024], *field = NULL;
	ssize_t n = -1;

	if (process->stat_fd >= 0) {
		n = pread(process->stat_fd, text, sizeof(text) - 1, 0);
	}
	if (n > 0) {
		text[n] = '\0';
		field = strrchr(text, ')');
		field = field ? field + 1 : NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		double number = number_after(&field, further[i]);

		process->values[values[i]] = (struct value){ field != NULL, number };
	}
	process->values[VALUE_RESIDENT].number *= (double)sysconf(_SC_PAGESIZE);
}

static void sample_cpu(struct process_metrics *process)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		set(process, VALUE_CPU,
		    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	}
}

/* "Unlimited" is 2^64 - 1, as other exporters print it. */
static void sample_limit(struct process_metrics *process, enum process_value which, int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0) {
		set(process, which,
		    limit.rlim_cur == RLIM_INFINITY ? 0x1p64 : (double)limit.rlim_cur);
	}
}

static long count_fds(DIR *fds)
{
	struct stat stat;
	long n = 0;

	/* Linux 6.2 and later say so at once. */
	if (fstat(dirfd(fds), &stat) == 0 && stat.st_size > 0) {
		return stat.st_size;
	}
	rewinddir(fds);
	while (readdir(fds)) {
		n++;
	}
	return n - 2; /* without "." and ".." */
}

/*
 * Where the kernel does not keep the number, finding it takes a time that grows
 * with it: at most once a second, and never more than a hundredth of the time.
 */
static void sample_fds(struct process_metrics *process)
{
	int64_t begin_ns = timers_monotonic(NULL), end_ns;

	if (!process->fds || begin_ns < process->fds_due_ns) {
		return;
	}
	set(process, VALUE_OPEN_FDS, (double)count_fds(process->fds));
	end_ns = timers_monotonic(NULL);
	process->fds_due_ns = end_ns + MAX(NS_PER_S, 100 * (end_ns - begin_ns));
}

static void sample(void *user)
{
	struct process_metrics *process = user;

	open_files(process);
	sample_cpu(process);
	sample_stat(process);
	sample_limit(process, VALUE_MAX_FDS, RLIMIT_NOFILE);
	sample_limit(process, VALUE_VIRTUAL_MAX, RLIMIT_AS);
	sample_fds(process);
}

struct process_metrics *process_metrics_new(struct registry *registry)
{
	struct process_metrics *process = calloc(1, sizeof(*process));
	struct timespec now;

	if (!process) {
		return NULL;
	}
	process->stat_fd = -1;
	open_files(process);
	clock_gettime(CLOCK_REALTIME, &now);
	set(process, VALUE_START, (double)now.tv_sec + (double)(now.tv_nsec / NS_PER_MS) / 1e3);
	for (size_t i = 0; i < VALUE_COUNT; i++) {
		struct family *family = registry_family(registry, table[i].type, table[i].name,
							table[i].help, NULL);

		if (family_computed(family, NULL, read_value, &process->values[i]) < 0) {
			goto failed;
		}
	}
	if (registry_on_walk(registry, sample, process) < 0) {
		goto failed;
	}
	return process;
failed:
	process_metrics_free(process);
	return NULL;
}

void process_metrics_free(struct process_metrics *process)
{
	if (!process) {
		return;
	}
	if (process->stat_fd >= 0) {
		close(process->stat_fd);
	}
	if (process->fds) {
		closedir(process->fds);
	}
	free(process);
}

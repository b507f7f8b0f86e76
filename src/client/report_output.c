/* Formats, and where a report goes: standard output, or a file that is replaced as a whole. */
#include "client/report.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80
#define MIN_COLUMNS     40
#define MAX_COLUMNS     400

static const char *const format_names[] = {
#define X(name, text, about) text,
	REPORT_FORMATS(X)
#undef X
};

static unsigned columns_of(int fd)
{
	const char *text = getenv("COLUMNS");
	char *end;
	unsigned long columns = text ? strtoul(text, &end, 10) : 0;
	struct winsize window;

	if (columns == 0 || *end != '\0') {
		columns = fd >= 0 && ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0
				  ? window.ws_col
				  : DEFAULT_COLUMNS;
	}
	return (unsigned)MIN(MAX(columns, MIN_COLUMNS), MAX_COLUMNS);
}

static bool utf8_locale(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = locale && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;

	if (locale) {
		freelocale(locale);
	}
	return utf8;
}

void report_style_init(struct report_style *style, int fd)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	*style = (struct report_style){
		.columns = columns_of(fd),
		.colour = fd >= 0 && isatty(fd) && (!no_colour || no_colour[0] == '\0') &&
			  terminal && strcmp(terminal, "dumb") != 0,
		.blocks = utf8_locale(),
	};
}

const char *report_format_name(enum report_format format)
{
	return format_names[format];
}

void report_format_names(char *text, size_t size)
{
	int n = 0;

	for (size_t i = 0; i < REPORT_FORMAT_COUNT && (size_t)n < size; i++) {
		n += snprintf(text + n, size - (size_t)n, "%s%s", i > 0 ? ", " : "",
			      format_names[i]);
	}
}

int report_parse_output(const char *text, enum report_format *ret_format, const char **ret_path,
			char *why, size_t size)
{
	const char *path = strchr(text, ':');
	struct str name = { text, path ? (size_t)(path - text) : strlen(text) };
	char names[REPORT_FORMAT_NAMES_MAX];
	size_t format = 0;

	while (format < REPORT_FORMAT_COUNT && !str_equal(name, str_from(format_names[format]))) {
		format++;
	}
	if (format == REPORT_FORMAT_COUNT) {
		report_format_names(names, sizeof(names));
		snprintf(why, size, "is not FORMAT or FORMAT:PATH with one of %s", names);
		return -1;
	}
	if (path && path[1] == '\0') {
		snprintf(why, size, "names no file after the colon");
		return -1;
	}
	*ret_format = (enum report_format)format;
	*ret_path = path && strcmp(path + 1, "-") != 0 ? path + 1 : NULL;
	return 0;
}

static int fail(const char *path, char *why, size_t size)
{
	snprintf(why, size, "cannot write %s: %s", path ? path : "to standard output",
		 strerror(errno));
	return -1;
}

static bool write_all(int fd, struct bytes text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.data, text.len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return false;
		}
		text.data += n;
		text.len -= (size_t)n;
	}
	return true;
}

/* Closes `fd` in any case; false with errno. */
static bool write_and_close(int fd, struct bytes text)
{
	bool written = write_all(fd, text);
	int err = errno;

	if (close(fd) < 0 && written) {
		return false;
	}
	errno = err;
	return written;
}

/* Like the file that it takes the place of, or like any new one. False with errno. */
static bool replace(const char *path, const struct stat *old, struct bytes text)
{
	char *aside;
	int fd, err;
	bool done = false;

	if (asprintf(&aside, "%s.%ld.tmp", path, (long)getpid()) < 0) {
		errno = ENOMEM;
		return false;
	}
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd >= 0) {
		if (old) {
			(void)fchmod(fd, old->st_mode & 0777);
		}
		done = write_and_close(fd, text) && rename(aside, path) == 0;
		err = errno;
		if (!done) {
			(void)unlink(aside);
		}
		errno = err;
	}
	free(aside);
	return done;
}

/* What is no file that can be replaced: a pipe, a device, or what else stands in /dev. */
static bool written_in_place(const char *path, const struct stat *status)
{
	return !S_ISREG(status->st_mode) || strncmp(path, "/dev/", 5) == 0;
}

static bool save_file(const char *path, struct bytes text)
{
	struct stat status;
	bool exists = stat(path, &status) == 0;
	char *real;
	bool done;

	if (exists && written_in_place(path, &status)) {
		int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);

		return fd >= 0 && write_and_close(fd, text);
	}
	/* A link stays, and what it leads to is replaced. */
	real = exists ? realpath(path, NULL) : strdup(path);
	done = real && replace(real, exists ? &status : NULL, text);
	free(real);
	return done;
}

/* The folder that a new file would be in. Its name gets `parent`; false with errno. */
static bool parent_of(const char *path, char *parent, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 1;

	if (n >= size) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(parent, slash ? path : ".", n);
	parent[n] = '\0';
	return true;
}

/* False with errno. */
static bool can_save(const char *path)
{
	char real[PATH_MAX], parent[PATH_MAX];
	struct stat status;
	bool exists = stat(path, &status) == 0;

	if (exists ? S_ISDIR(status.st_mode) : path[strlen(path) - 1] == '/') {
		errno = EISDIR;
		return false;
	}
	if (!exists && errno != ENOENT) {
		return false;
	}
	if (exists && written_in_place(path, &status)) {
		return access(path, W_OK) == 0;
	}
	/* The one of which the new one takes the place may be behind a link. */
	if (exists && !realpath(path, real)) {
		return false;
	}
	return parent_of(exists ? real : path, parent, sizeof(parent)) &&
	       access(parent, W_OK | X_OK) == 0;
}

int report_check_path(const char *path, char *why, size_t size)
{
	errno = 0;
	if (!can_save(path)) {
		snprintf(why, size, "cannot be written: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool same_file(const char *one, const char *other)
{
	struct stat a, b;

	return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool report_same_path(const char *one, const char *other)
{
	char in[PATH_MAX], in_other[PATH_MAX];

	return same_file(one, other) ||
	       (strcmp(name_of(one), name_of(other)) == 0 && parent_of(one, in, sizeof(in)) &&
		parent_of(other, in_other, sizeof(in_other)) && same_file(in, in_other));
}

int report_save(struct bytes text, const char *path, char *why, size_t size)
{
	bool done;

	errno = 0;
	if (path) {
		done = save_file(path, text);
	} else {
		done = (text.len == 0 || fwrite(text.data, text.len, 1, stdout) == 1) &&
		       fflush(stdout) == 0;
	}
	return done ? 0 : fail(path, why, size);
}

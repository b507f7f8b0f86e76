/* `echod report`: runs from their JSON, in any format, as one, or side by side. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/options.h"
#include "client/assertions.h"
#include "client/report.h"
#include "commands.h"

/* Their histograms are in memory together, a few hundred KiB each. */
#define MAX_FILES   64
#define MAX_OUTPUTS 8
#define WHY_MAX     1024

struct output {
	enum report_format format;
	const char *path; /* NULL: standard output */
};

struct command {
	struct option_strings outputs, assertions, files;
	bool merge;

	struct output to[MAX_OUTPUTS];
	size_t n_to;
	struct run runs[MAX_FILES];
	size_t n; /* that were read */
};

static const struct option table[] = {
	{ .name = "output",
	  .type = OPTION_STRINGS,
	  .offset = offsetof(struct command, outputs),
	  .placeholder = "FORMAT[:PATH]",
	  .group = "What to make",
	  .help = "text (the default), json, fortio, hgrm, prom or html, to PATH, which is "
		  "replaced "
		  "as a whole, or to standard output; repeatable. Several runs side by side are "
		  "text "
		  "or html." },
	{ .name = "merge",
	  .type = OPTION_BOOL,
	  .offset = offsetof(struct command, merge),
	  .group = "What to make",
	  .help = "Runs of several machines become one: their histograms and counts add up." },
	{ .name = "assert",
	  .type = OPTION_STRINGS,
	  .offset = offsetof(struct command, assertions),
	  .placeholder = "CONDITION",
	  .group = "What to make",
	  .help = "Check this against each run, in place of what its own command line asserted, as "
		  "in 'p99<20ms' or 'error_rate<0.1%'; repeatable. Exit status 3 where one "
		  "fails." },
};

static const struct options options = {
	.program = "echod report",
	.synopsis = "[flags] FILE...",
	.about = "Reads runs that `echod client --output=json` has written (- is standard input), "
		 "and "
		 "reports one, or compares several.",
	.footer = "Examples:\n"
		  "  echod report run.json\n"
		  "  echod report --output=html:run.html run.json\n"
		  "  echod report before.json after.json\n"
		  "  echod report --merge --assert='p99<20ms' machine-*.json\n",
	.table = table,
	.n = ARRAY_SIZE(table),
};

static void complain(const char *text)
{
	fprintf(stderr, "echod report: %s\n", text);
}

/* --- the command line ----------------------------------------------------------- */

static int bad(const char *flag, const char *value, const char *problem, char *why, size_t size)
{
	snprintf(why, size, "flag --%s: \"%.64s\" %s", flag, value, problem);
	options_one_line(why);
	return -1;
}

static int check_outputs(struct command *command, char *why, size_t size)
{
	bool side_by_side = command->files.n > 1 && !command->merge;
	size_t n_standard = 0;
	char problem[256];

	if (command->outputs.n > MAX_OUTPUTS) {
		snprintf(why, size, "flag --output may be given %d times", MAX_OUTPUTS);
		return -1;
	}
	for (size_t i = 0; i < command->outputs.n; i++) {
		const char *text = command->outputs.items[i];
		struct output *to = &command->to[i];

		if (report_parse_output(text, &to->format, &to->path, problem, sizeof(problem)) <
		    0) {
			return bad("output", text, problem, why, size);
		}
		if (side_by_side && to->format != REPORT_TEXT && to->format != REPORT_HTML) {
			return bad("output", text, "takes one run: name one file, or --merge them",
				   why, size);
		}
		n_standard += !to->path;
		if (n_standard > 1) {
			return bad("output", text, "is the second that goes to standard output",
				   why, size);
		}
	}
	command->n_to = command->outputs.n;
	if (command->n_to == 0) {
		command->to[command->n_to++] = (struct output){ .format = REPORT_TEXT };
	}
	return 0;
}

/* 0, or -1 with a reason. */
static int check(struct command *command, char *why, size_t size)
{
	size_t n_standard = 0;
	char problem[256];

	if (command->files.n == 0 || command->files.n > MAX_FILES) {
		snprintf(why, size,
			 command->files.n == 0 ? "no file is named (echod report --help)"
					       : "more than %d files are named",
			 MAX_FILES);
		return -1;
	}
	for (size_t i = 0; i < command->files.n; i++) {
		n_standard += strcmp(command->files.items[i], "-") == 0;
	}
	if (n_standard > 1) {
		snprintf(why, size, "standard input can be read only once");
		return -1;
	}
	if (command->assertions.n > ASSERTIONS_MAX) {
		snprintf(why, size, "flag --assert may be given %d times", ASSERTIONS_MAX);
		return -1;
	}
	for (size_t i = 0; i < command->assertions.n; i++) {
		const char *text = command->assertions.items[i];

		if (assertion_check(text, problem, sizeof(problem)) < 0) {
			return bad("assert", text, problem, why, size);
		}
	}
	return check_outputs(command, why, size);
}

/* --- the runs ------------------------------------------------------------------- */

/* All that cannot be read are said, each in a line. */
static bool read_files(struct command *command)
{
	char why[WHY_MAX];
	bool good = true;

	for (size_t i = 0; i < command->files.n; i++) {
		if (report_read_file(command->files.items[i], &command->runs[command->n], why,
				     sizeof(why)) < 0) {
			complain(why);
			good = false;
		} else {
			command->n++;
		}
	}
	return good;
}

static bool is_open(const struct run *run)
{
	return run->schedule.n > 0;
}

/* One run under two names would count twice, and two kinds of load are not one. */
static bool mergeable(const struct command *command)
{
	char why[WHY_MAX];

	for (size_t i = 1; i < command->n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(command->runs[i].id, command->runs[j].id) == 0) {
				snprintf(why, sizeof(why),
					 "flag --merge: %s and %s are the same run",
					 command->files.items[j], command->files.items[i]);
				complain(why);
				return false;
			}
		}
		if (is_open(&command->runs[i]) != is_open(&command->runs[0])) {
			snprintf(why, sizeof(why),
				 "flag --merge: of %s and %s one is an open loop, and one a closed "
				 "one",
				 command->files.items[0], command->files.items[i]);
			complain(why);
			return false;
		}
	}
	return true;
}

/* Those that the run itself made, once more: of it as it is now. */
static int measure_own(struct run *run, const struct run_assertion *assertions, size_t n)
{
	const char *texts[ASSERTIONS_MAX];
	char why[WHY_MAX];
	size_t n_good = 0;

	for (size_t i = 0; i < n && n_good < ASSERTIONS_MAX; i++) {
		if (assertion_check(assertions[i].text, why, sizeof(why)) == 0) {
			texts[n_good++] = assertions[i].text;
		}
	}
	return assertions_measure(run, texts, n_good);
}

/* 0 or -ENOMEM. */
static int merge(struct command *command)
{
	struct run *all = &command->runs[0];
	const struct run_assertion *assertions = all->assertions;
	size_t n_assertions = all->n_assertions;
	int err = 0;

	for (size_t i = 1; i < command->n && err == 0; i++) {
		err = run_merge(all, &command->runs[i]);
	}
	while (command->n > 1) {
		run_deinit(&command->runs[--command->n]);
	}
	return err < 0 ? err : measure_own(all, assertions, n_assertions);
}

static int assert_all(struct command *command, bool *ret_held)
{
	int err = 0;

	*ret_held = true;
	for (size_t i = 0; i < command->n && command->assertions.n > 0 && err == 0; i++) {
		err = assertions_measure(&command->runs[i], command->assertions.items,
					 command->assertions.n);
		*ret_held = *ret_held && assertions_held(&command->runs[i]);
	}
	return err;
}

/* --- what is made of them ------------------------------------------------------- */

static int write_text(const struct command *command, const struct output *to, struct buffer *out)
{
	const struct run *runs[MAX_FILES];
	struct report_style style;

	report_style_init(&style, to->path ? -1 : STDOUT_FILENO);
	if (command->n == 1) {
		return report_write(out, to->format, &command->runs[0], &style);
	}
	for (size_t i = 0; i < command->n; i++) {
		runs[i] = &command->runs[i];
	}
	return to->format == REPORT_HTML ? report_html(out, runs, command->n)
					 : report_compare_text(out, runs, command->n, &style);
}

/* The exit code. */
static int write_outputs(const struct command *command)
{
	int code = EXIT_DONE;
	char why[WHY_MAX];

	for (size_t i = 0; i < command->n_to; i++) {
		struct buffer out = BUFFER_INIT;

		if (write_text(command, &command->to[i], &out) < 0) {
			complain("out of memory");
			code = EXIT_FAILED;
		} else if (report_save(buffer_bytes(&out), command->to[i].path, why, sizeof(why)) <
			   0) {
			complain(why);
			code = EXIT_FAILED;
		}
		buffer_free(&out);
	}
	return code;
}

/* The exit code. */
static int run_command(struct command *command)
{
	bool held;
	int code;

	if (!read_files(command) || (command->merge && !mergeable(command))) {
		return EXIT_USAGE;
	}
	if ((command->merge && merge(command) < 0) || assert_all(command, &held) < 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	code = write_outputs(command);
	return held ? code : EXIT_ASSERTION;
}

int report_main(int argc, char **argv, char **envp)
{
	struct command *command = calloc(1, sizeof(*command)); /* too large for a stack */
	char why[WHY_MAX];
	int code = EXIT_DONE;

	(void)envp;
	signal(SIGPIPE, SIG_IGN);
	if (!command) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	switch (options_parse(&options, command, argc, argv, NULL, &command->files, NULL, why,
			      sizeof(why))) {
	case OPTIONS_HELP:
		options_help(&options, stdout);
		break;
	case OPTIONS_VERSION:
		print_version();
		break;
	case OPTIONS_ERROR:
		complain(why);
		code = EXIT_USAGE;
		break;
	case OPTIONS_OK:
		if (check(command, why, sizeof(why)) < 0) {
			complain(why);
			code = EXIT_USAGE;
		} else {
			code = run_command(command);
		}
		break;
	}
	while (command->n > 0) {
		run_deinit(&command->runs[--command->n]);
	}
	options_free(&options, command, &command->files);
	free(command);
	return code;
}

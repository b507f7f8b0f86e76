/* The command line's first word chooses a subcommand. The only place that ends the process. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

static int help_main(int argc, char **argv, char **envp);
static int version_main(int argc, char **argv, char **envp);

static const struct command {
	const char *name;
	const char *about;
	int (*main)(int argc, char **argv, char **envp);
} commands[] = {
	{ "serve", "answer gRPC calls, and scrapes of the metrics", serve_main },
	{ "client", "make one call, or drive load", client_main },
	{ "probe", "ask a server for its health", probe_main },
	{ "report", "show a run of load again, or compare several", report_main },
	{ "version", "print the version", version_main },
	{ "help", "print this text, or that of a command: echod help serve", help_main },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: echod COMMAND [FLAGS] [ARGUMENTS]\n\n"
		     "A gRPC echo server with Prometheus metrics, and its client.\n\n"
		     "Commands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].about);
	}
	fprintf(out, "\nTry:\n"
		     "  echod serve &\n"
		     "  echod client\n"
		     "  curl -s localhost:2112/metrics\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

/* One line, whatever stands in `word`. */
static int bad_word(const char *before, const char *word, const char *after)
{
	fputs(before, stderr);
	for (; *word; word++) {
		fputc(iscntrl((unsigned char)*word) ? '?' : *word, stderr);
	}
	fputs(after, stderr);
	return EXIT_USAGE;
}

static int unknown_command(const char *name)
{
	return bad_word("echod: unknown command \"", name, "\" (echod help lists the commands)\n");
}

static int unexpected(const char *command, const char *word)
{
	fprintf(stderr, "echod %s: ", command);
	return bad_word("unexpected argument \"", word, "\"\n");
}

static int help_main(int argc, char **argv, char **envp)
{
	if (argc < 2) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	const struct command *command = find_command(argv[1]);

	if (!command) {
		return unknown_command(argv[1]);
	}
	if (argc > 2) {
		return unexpected("help", argv[2]);
	}
	if (command->main == help_main || command->main == version_main) {
		printf("%s: %s\n", command->name, command->about);
		return EXIT_DONE;
	}
	char help[] = "--help";
	char *arguments[] = { argv[1], help, NULL };

	return command->main(2, arguments, envp);
}

static int version_main(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 1) {
		return unexpected("version", argv[1]);
	}
	print_version();
	return EXIT_DONE;
}

static int run(int argc, char **argv, char **envp)
{
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	const char *word = argv[1];

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		word = "help";
	} else if (strcmp(word, "--version") == 0) {
		word = "version";
	}
	const struct command *command = find_command(word);

	return command ? command->main(argc - 1, argv + 1, envp) : unknown_command(word);
}

/*
 * A process may be started with its standard descriptors closed. The next
 * socket would then get the number 2, and log lines would go to a peer. Input
 * and output stay as useless as they were, so that whoever needs them fails
 * instead of reading nothing or writing to nowhere.
 */
static void open_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			(void)!open("/dev/null", fd == 1 ? O_RDONLY : O_WRONLY);
		}
	}
}

int main(int argc, char **argv, char **envp)
{
	open_standard_descriptors();

	int status = run(argc, argv, envp);

	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
		fprintf(stderr, "echod: writing to standard output: %s\n", strerror(errno));
		status = EXIT_FAILED;
	}
	return status;
}

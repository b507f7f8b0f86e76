/* The subcommands of echod, and the exit codes that they return to main(). */
#pragma once

/* argv[0] is the subcommand's own name. */
int serve_main(int argc, char **argv, char **envp);
int client_main(int argc, char **argv, char **envp);
int probe_main(int argc, char **argv, char **envp);
int report_main(int argc, char **argv, char **envp);

/* Text of --version, on stdout. */
void print_version(void);

enum exit_code {
	/* serve: drained; client: reply received, or a run that had at least one success */
	EXIT_DONE = 0,
	/* serve: cannot run; client: the call failed, or no call of a run succeeded */
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,         /* flag, environment or value */
	EXIT_ASSERTION = 3,     /* client, load, and report: an assertion does not hold */
	EXIT_NO_CONNECTION = 4, /* client, load: no connection was ever made */
	EXIT_GENERATOR = 5,     /* client, open loop with assertions: the rate was not offered */

	/* probe: what orchestrators expect of such a program; EXIT_DONE is "serving" */
	EXIT_PROBE_USAGE = 1,
	EXIT_PROBE_NO_CONNECTION = 2,
	EXIT_PROBE_CALL_FAILED = 3,
	EXIT_PROBE_NOT_SERVING = 4,
};

/* The whole probe in this process, against frames by hand; its allocations fail in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../failing.h"
#include "commands.h"

void print_version(void) /* the daemon's */
{
}

/* SETTINGS, and what acknowledges the client's. */
static const uint8_t hello[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0 };
/* On stream 1: :status 200 and content-type; a message of two bytes; grpc-status 0. */
static const uint8_t answer[] = "\0\0\x20\1\4\0\0\0\1\x88\0\x0c"
				"content-type\x10"
				"application/grpc"
				"\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08\1"
				"\0\0\x0f\1\5\0\0\0\1\0\x0b"
				"grpc-status\1"
				"0";

static pid_t server_pid;
static char target[32];

static bool read_all(int fd, uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, bytes, n);

		if (got <= 0) {
			return false;
		}
		bytes += got;
		n -= (size_t)got;
	}
	return true;
}

/* The first request is answered; then it reads to the end. */
static void serve_one(int fd)
{
	static uint8_t payload[1 << 16];
	uint8_t head[9];

	if (!read_all(fd, payload, 24) || write(fd, hello, sizeof(hello)) < 0) {
		return;
	}
	while (read_all(fd, head, sizeof(head)) &&
	       read_all(fd, payload, (size_t)head[1] << 8 | head[2])) {
		if (head[3] == 0 && (head[4] & 1) && write(fd, answer, sizeof(answer) - 1) < 0) {
			return;
		}
	}
}

static int set_up(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(listen(listener, 16), 0);
	snprintf(target, sizeof(target), "127.0.0.1:%d", ntohs(address.sin_port));
	server_pid = fork();
	assert_true(server_pid >= 0);
	if (server_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int fd = accept(listener, NULL, NULL);

			serve_one(fd);
			close(fd);
		}
	}
	close(listener);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
	return 0;
}

/* What was printed to `fd` since; `file` takes its place meanwhile. */
static void collect(int fd, int saved, FILE *file, char *text, size_t size)
{
	dup2(saved, fd);
	close(saved);
	rewind(file);
	text[fread(text, 1, size - 1, file)] = '\0';
	fclose(file);
}

static char printed[512], complained[1024];

/* The exit code of a probe of which allocation `fail` fails; -1: none. */
static int probe(long fail)
{
	char name[] = "probe", service[] = "--service=a.B", metadata[] = "--metadata=a:b";
	char *argv[] = { name, service, metadata, target, NULL };
	char *envp[] = { NULL };
	FILE *out_file = tmpfile(), *err_file = tmpfile();
	int code, out, err;

	fflush(stdout);
	fflush(stderr);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(fileno(out_file), STDOUT_FILENO);
	dup2(fileno(err_file), STDERR_FILENO);
	failing_at = fail;
	code = probe_main(4, argv, envp);
	fail = failing_at;
	failing_at = -1;
	fflush(stdout);
	fflush(stderr);
	collect(STDOUT_FILENO, out, out_file, printed, sizeof(printed));
	collect(STDERR_FILENO, err, err_file, complained, sizeof(complained));
	failing_at = fail;
	return code;
}

static void test_a_server_that_serves_is_0(void **state)
{
	(void)state;
	assert_int_equal(probe(-1), EXIT_DONE);
	assert_string_equal(printed, "SERVING\n");
	assert_string_equal(complained, "");
}

static void test_each_allocation_may_fail(void **state)
{
	bool over = false;
	long n;

	(void)state;
	for (n = 0; !over; n++) {
		int code = probe(n);

		over = failing_at >= 0;
		failing_at = -1;
		if (code < EXIT_DONE || code > EXIT_PROBE_CALL_FAILED) {
			fail_msg("allocation %ld failed: exit %d", n, code);
		}
		if ((code == EXIT_DONE) != (strcmp(printed, "SERVING\n") == 0) ||
		    (code == EXIT_DONE) != (complained[0] == '\0')) {
			fail_msg("allocation %ld failed: exit %d, and \"%s\", \"%s\"", n, code,
				 printed, complained);
		}
	}
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_server_that_serves_is_0),
		cmocka_unit_test(test_each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

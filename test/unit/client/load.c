/* Whole runs in this process, against frames by hand; their allocations fail in turn. */
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
#include "base/util.h"
#include "commands.h"

void print_version(void) /* the daemon's */
{
}

#define END_STREAM 0x1
#define RUN_WORDS  16

/* SETTINGS, and what acknowledges the client's. */
static const uint8_t hello[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0 };
/* :status 200 and content-type; a message of two bytes; grpc-status 0: each on stream 0. */
static const uint8_t answer[] = "\0\0\x20\1\4\0\0\0\0\x88\0\x0c"
				"content-type\x10"
				"application/grpc"
				"\0\0\7\0\0\0\0\0\0\0\0\0\0\2\x08\1"
				"\0\0\x0f\1\5\0\0\0\0\0\x0b"
				"grpc-status\1"
				"0";
/* Where the frames' streams stand in it. */
static const size_t streams[] = { 5, 41 + 5, 41 + 16 + 5 };

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

static bool answer_on(int fd, const uint8_t stream[4])
{
	uint8_t bytes[sizeof(answer) - 1];

	memcpy(bytes, answer, sizeof(bytes));
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		memcpy(bytes + streams[i], stream, 4);
	}
	return write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes);
}

/* Each request is answered, until the client goes away. */
static void serve_one(int fd)
{
	static uint8_t payload[1 << 16];
	uint8_t head[9];

	if (!read_all(fd, payload, 24) || write(fd, hello, sizeof(hello)) < 0) {
		return;
	}
	while (read_all(fd, head, sizeof(head)) &&
	       read_all(fd, payload, (size_t)head[1] << 8 | head[2])) {
		if (head[3] == 0 && (head[4] & END_STREAM) && !answer_on(fd, head + 5)) {
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

static char printed[1 << 16], complained[4096];

/* The exit code of a run of which allocation `fail` fails; -1: none. `words`: its flags. */
static int run(const char *words, long fail)
{
	char copy[256], name[] = "client", progress[] = "--progress=off";
	char *argv[RUN_WORDS] = { name, progress, target }, *rest = copy, *word;
	char *envp[] = { NULL };
	FILE *out_file = tmpfile(), *err_file = tmpfile();
	int code, out, err, argc = 3;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " "))) {
		argv[argc++] = word;
	}
	fflush(stdout);
	fflush(stderr);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(fileno(out_file), STDOUT_FILENO);
	dup2(fileno(err_file), STDERR_FILENO);
	failing_at = fail;
	code = client_main(argc, argv, envp);
	fail = failing_at;
	failing_at = -1;
	fflush(stdout);
	fflush(stderr);
	collect(STDOUT_FILENO, out, out_file, printed, sizeof(printed));
	collect(STDERR_FILENO, err, err_file, complained, sizeof(complained));
	failing_at = fail;
	return code;
}

static const char closed_loop[] =
	"--method=a.B/C --count=4 --concurrency=2 --output=json --timeout=1s --grace=1s";
static const char open_loop[] = "--method=a.B/C --rate=2000 --warmup=1ms --count=4 --output=json "
				"--timeout=1s --grace=1s --connections=1 --assert=calls>=0";

static void a_run_in_which_nothing_fails(void **state)
{
	(void)state;
	assert_int_equal(run(closed_loop, -1), EXIT_DONE);
	assert_non_null(strstr(printed, "\"done\":4"));
	assert_int_not_equal(run(open_loop, -1), EXIT_FAILED);
	assert_non_null(strstr(printed, "\"done\":4"));
}

/* Either it is told on standard error, or all calls have their place in a whole report. */
static void each_in_turn(const char *words)
{
	bool over = false;
	long n;

	for (n = 0; !over; n++) {
		int code = run(words, n);

		over = failing_at >= 0;
		failing_at = -1;
		if (code < EXIT_DONE || code > EXIT_GENERATOR) {
			fail_msg("allocation %ld failed: exit %d", n, code);
		}
		if (printed[0] == '\0' ? code == EXIT_DONE || complained[0] == '\0'
				       : !strstr(printed, "\"due\":")) {
			fail_msg("allocation %ld failed: exit %d, and \"%s\", \"%s\"", n, code,
				 printed, complained);
		}
	}
	assert_true(n > 50);
}

static void each_allocation_of_a_closed_loop_may_fail(void **state)
{
	(void)state;
	each_in_turn(closed_loop);
}

static void each_allocation_of_an_open_loop_may_fail(void **state)
{
	(void)state;
	each_in_turn(open_loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_in_which_nothing_fails),
		cmocka_unit_test(each_allocation_of_a_closed_loop_may_fail),
		cmocka_unit_test(each_allocation_of_an_open_loop_may_fail),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * The whole of `echod client`, against a small server in another process: what
 * it prints, its exit codes, and that it survives every failing allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../failing.h"
#include "commands.h"
#include "grpc/server.h"
#include "net/connection.h"
#include "net/listener.h"
#include "service/echo.h"

void print_version(void)
{
}

/* -- The server, in a process of its own -- */

struct server {
	struct loop *loop;
	struct grpc_server *grpc;
};

static const struct grpc_peer peer = { .id = 1, .address = "a client" };

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct server *server = user;

	(void)connection;
	return grpc_server_accept(server->grpc, &peer);
}

static void on_closed(void *user, struct connection *connection, enum connection_close_reason why,
		      int err)
{
	(void)user;
	(void)connection;
	(void)why;
	(void)err;
}

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *address)
{
	static const struct connection_events events = { on_ready, on_closed };
	struct server *server = user;

	(void)listener;
	(void)address;
	if (!connection_new(server->loop, transport, NULL, NULL, &events, server)) {
		abort();
	}
}

/* Serves until it is killed; its port goes to `fd`. */
static _Noreturn void serve(int fd, const char *delay)
{
	static const struct listener_events events = { .accepted = on_accepted };
	struct server server = { .loop = loop_new() };
	struct grpc_server_options options = { .limits = &grpc_server_default_limits,
					       .timers = loop_timers(server.loop) };
	struct echo_service echo = { 0 };
	struct address_spec spec;
	struct listener *listener;
	uint16_t port;
	char why[128];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_seed(&echo.faults.delay_dice, 1);
	server.grpc = grpc_server_new(&options);
	if (delay_parse(delay, &echo.faults.plan.delay, why, sizeof(why)) < 0 ||
	    grpc_server_add(server.grpc, &echo_service, &echo, NULL) < 0 ||
	    address_parse("127.0.0.1:0", NULL, &spec, why, sizeof(why)) < 0 ||
	    listener_open(server.loop, &spec, 100, NULL, &events, &server, &listener) < 0) {
		abort();
	}
	port = ntohs(
		((const struct sockaddr_in *)(const void *)&listener_address(listener)->storage)
			->sin_port);
	if (write(fd, &port, sizeof(port)) != sizeof(port)) {
		abort();
	}
	loop_run(server.loop);
	abort();
}

/* Takes connections, says SETTINGS and GOAWAY, and ends them; counts them. Until it is killed. */
static _Noreturn void turn_away(int listener, unsigned *n)
{
	static const uint8_t frames[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0, /* SETTINGS, and GOAWAY(0) */
					  0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		*(volatile unsigned *)n += 1;
		if (write(fd, frames, sizeof(frames)) != sizeof(frames)) {
			abort();
		}
		shutdown(fd, SHUT_WR);
		while (read(fd, (char[512]){ 0 }, 512) > 0) {
		}
		close(fd);
	}
}

static pid_t server_pid;
static char target[32];    /* the server's */
static char no_server[32]; /* nobody listens there */
static int no_server_fd;

static void start_server(const char *delay)
{
	int ends[2];
	uint16_t port;

	assert_int_equal(pipe(ends), 0);
	server_pid = fork();
	assert_true(server_pid >= 0);
	if (server_pid == 0) {
		close(ends[0]);
		serve(ends[1], delay);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &port, sizeof(port)), sizeof(port));
	close(ends[0]);
	snprintf(target, sizeof(target), "127.0.0.1:%d", port);
}

static void stop_server(void)
{
	if (server_pid > 0) {
		kill(server_pid, SIGKILL);
		waitpid(server_pid, NULL, 0);
		server_pid = 0;
	}
}

/* A socket on a free port of loopback, and that address as text. */
static int bind_some_port(char text[32])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(text, 32, "127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	start_server("none");
	/* stays bound, and so refuses: a port given back may soon be another test's */
	no_server_fd = bind_some_port(no_server);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(no_server_fd);
	stop_server();
	return 0;
}

/* -- The client, in this process -- */

static char printed[32768], complained[4096]; /* stdout and stderr of the last run */

static FILE *redirect(int fd, int *saved)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	*saved = dup(fd);
	dup2(fileno(file), fd);
	return file;
}

static void restore(int fd, int saved, FILE *file, char *text, size_t size)
{
	size_t n;

	dup2(saved, fd);
	close(saved);
	rewind(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

/* Runs it with these arguments (NULL-terminated); `fail` as in failing.h. Returns the exit code. */
static int client_failing(long fail, const char *const *arguments)
{
	char words[16][64] = { "client" }, *argv[17] = { words[0] };
	char *envp[] = { NULL };
	int out, err, code, argc = 1;
	FILE *out_file, *err_file;

	for (; arguments[argc - 1]; argc++) {
		snprintf(words[argc], sizeof(words[argc]), "%s", arguments[argc - 1]);
		argv[argc] = words[argc];
	}
	argv[argc] = NULL;
	fflush(stdout);
	fflush(stderr);
	out_file = redirect(STDOUT_FILENO, &out);
	err_file = redirect(STDERR_FILENO, &err);
	failing_at = fail;
	code = client_main(argc, argv, envp);
	fail = failing_at;
	failing_at = -1;
	fflush(stdout);
	fflush(stderr);
	restore(STDOUT_FILENO, out, out_file, printed, sizeof(printed));
	restore(STDERR_FILENO, err, err_file, complained, sizeof(complained));
	failing_at = fail;
	return code;
}

#define CLIENT(...) client_failing(-1, (const char *const[]){ __VA_ARGS__, NULL })

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part)) {
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
	}
}

static void test_one_call(void **state)
{
	(void)state;
	assert_int_equal(CLIENT(target), EXIT_DONE);
	assert_string_equal(printed, "Hello, world!\n");
	assert_string_equal(complained, "");
	assert_int_equal(CLIENT("--message=hi", "--metadata=a:b", "--output=json", target),
			 EXIT_DONE);
	assert_contains(printed, "\"status\":\"OK\",\"code\":0");
	assert_contains(printed, "\"reply\":\"hi\",\"echoed\":true");
	assert_string_equal(complained, "");
}

static void test_nobody_there(void **state)
{
	char expected[128];

	(void)state;
	snprintf(expected, sizeof(expected), "echod client: UNAVAILABLE (14): %s: %s\n", no_server,
		 "connection refused");
	assert_int_equal(CLIENT(no_server), EXIT_FAILED);
	assert_string_equal(printed, "");
	assert_string_equal(complained, expected);
}

/* A port without a host is ::1 and 127.0.0.1; the server is on the second. */
static void test_every_address_is_tried(void **state)
{
	(void)state;
	assert_int_equal(CLIENT(strchr(target, ':')), EXIT_DONE);
	assert_string_equal(printed, "Hello, world!\n");
	assert_int_equal(CLIENT(strchr(no_server, ':')), EXIT_FAILED);
	assert_contains(complained, "none of 2 addresses answers: [::1]:");
	assert_contains(complained, "; 127.0.0.1:");
}

static void test_a_deadline(void **state)
{
	(void)state;
	stop_server();
	start_server("10s");
	assert_int_equal(CLIENT("--timeout=50ms", target), EXIT_FAILED);
	assert_string_equal(printed, "");
	/* On a busy machine it may be over before there is a connection, and says so then. */
	assert_contains(complained, "echod client: DEADLINE_EXCEEDED (4): deadline exceeded");
}

static void test_a_run(void **state)
{
	(void)state;
	assert_int_equal(CLIENT("--count=500", "--concurrency=20", "--connections=3", target),
			 EXIT_DONE);
	assert_contains(printed, "calls: 500 started, 500 done, 0 unfinished\n");
	assert_contains(printed, "  OK (0)                             500     100 %\n");
	assert_contains(printed, "connections: 3 opened, 0 lost\n");
	assert_contains(printed, "every call that reached the server was answered OK (500)\n");
	assert_contains(complained, "closed loop, 20 calls at a time, over 3 connections to ");
}

static void test_a_run_of_deadlines(void **state)
{
	(void)state;
	stop_server();
	start_server("10s");
	assert_int_equal(CLIENT("--count=6", "--concurrency=2", "--timeout=50ms", target),
			 EXIT_FAILED);
	assert_contains(printed, "  DEADLINE_EXCEEDED (4)                6     100 %");
	assert_contains(printed,
			"of 6 calls that reached the server 0 were answered OK, 6 were not");
}

static void test_a_run_without_a_server(void **state)
{
	(void)state;
	assert_int_equal(CLIENT("--count=3", "--concurrency=3", no_server), EXIT_NO_CONNECTION);
	assert_contains(printed, "  never found a server                 3     100 %");
	assert_contains(printed, "3 calls found no server to connect to\n");
	assert_int_equal(CLIENT("--count=1000", "--timeout=200ms", no_server), EXIT_NO_CONNECTION);
	assert_contains(printed, "ended early (no server for 200ms)");
}

/* Of so many, some do so between the end of the last call and their own. */
static void test_connections_that_would_try_again_as_the_run_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(CLIENT("--duration=100ms", "--concurrency=900",
					"--connections=900", no_server),
				 EXIT_NO_CONNECTION);
		assert_contains(printed, "no call was answered by a server; ");
	}
}

static void test_a_run_that_is_interrupted(void **state)
{
	(void)state;
	stop_server();
	start_server("10s");
	if (fork() == 0) {
		usleep(300000);
		kill(getppid(), SIGTERM);
		_exit(0);
	}
	assert_int_equal(CLIENT("--duration=20s", "--concurrency=5", target), 128 + SIGTERM);
	wait(NULL);
	assert_contains(printed, "calls: 5 started, 0 done, 5 unfinished\n");
	assert_contains(printed, "ended early (SIGTERM)");
}

static void test_the_server_dies(void **state)
{
	(void)state;
	stop_server();
	start_server("10s");
	pid_t killer = fork();

	if (killer == 0) {
		usleep(300000);
		kill(server_pid, SIGKILL);
		_exit(0);
	}
	assert_int_equal(CLIENT("--duration=1s", "--concurrency=4", target), EXIT_FAILED);
	waitpid(killer, NULL, 0);
	assert_contains(printed, "  UNAVAILABLE (14)                     4");
	/* refused, or reset where the listener outlived the connections for a moment */
	assert_contains(printed, "never found a server");
	assert_contains(printed,
			"of 4 calls that reached the server 0 were answered OK, 4 were not; ");
}

static void test_a_server_that_turns_everyone_away_is_not_hammered(void **state)
{
	unsigned *n =
		mmap(NULL, sizeof(*n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int listener = bind_some_port(target);

	(void)state;
	assert_true(n != MAP_FAILED);
	assert_int_equal(listen(listener, 100), 0);
	stop_server();
	server_pid = fork();
	if (server_pid == 0) {
		turn_away(listener, n);
	}
	close(listener);
	assert_int_equal(CLIENT("--timeout=500ms", target), EXIT_FAILED);
	assert_in_range(*n, 1, 6);
	*n = 0;
	assert_int_equal(CLIENT("--timeout=500ms", "--duration=400ms", "--concurrency=3", target),
			 EXIT_FAILED);
	assert_in_range(*n, 1, 12);
	munmap(n, sizeof(*n));
}

/* Whatever fails, it says so and ends; and what it calls a success is one. */
static void fail_each_allocation(const char *const *arguments, const char *success)
{
	long n = 0;

	for (;; n++) {
		int code = client_failing(n, arguments);
		bool over = failing_at >= 0;

		failing_at = -1;
		if (code != EXIT_DONE && code != EXIT_FAILED && code != EXIT_USAGE &&
		    code != EXIT_NO_CONNECTION) {
			fail_msg("allocation %ld failed: exit %d", n, code);
		}
		if (code == EXIT_DONE) {
			assert_contains(printed, success);
		} else {
			assert_int_not_equal(complained[0], '\0');
		}
		if (over) {
			assert_int_equal(code, EXIT_DONE);
			break;
		}
	}
	assert_true(n > 20);
}

static void test_one_call_without_memory(void **state)
{
	const char *const arguments[] = { "--timeout=2s", "--metadata=a:b", target, NULL };

	(void)state;
	fail_each_allocation(arguments, "Hello, world!\n");
}

static void test_a_run_without_memory(void **state)
{
	const char *const arguments[] = { "--count=6",
					  "--concurrency=2",
					  "--timeout=300ms",
					  "--web.listen-address=127.0.0.1:0",
					  "--progress=off",
					  target,
					  NULL };

	(void)state;
	fail_each_allocation(arguments, "calls: 6 started, ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_call),
		TEST(nobody_there),
		TEST(every_address_is_tried),
		TEST(a_deadline),
		TEST(a_run),
		TEST(a_run_of_deadlines),
		TEST(a_run_without_a_server),
		TEST(connections_that_would_try_again_as_the_run_ends),
		TEST(a_run_that_is_interrupted),
		TEST(the_server_dies),
		TEST(a_server_that_turns_everyone_away_is_not_hammered),
		TEST(one_call_without_memory),
		TEST(a_run_without_memory),
	};

	setenv("COLUMNS", "400", 1); /* no sentence of a report is broken */
	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}

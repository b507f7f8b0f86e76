/* What is said to systemd and heard from it; a datagram socket plays the manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "daemon/systemd.h"

#ifdef ECHOD_SYSTEMD

/* The manager's end of NOTIFY_SOCKET, an abstract name of this process. */
static int manager_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char name[64];
	int n = snprintf(name, sizeof(name), "@echod-test-%ld", (long)getpid());

	assert_true(fd >= 0);
	memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void assert_heard(int manager, const char *expected)
{
	char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void forget_environment(void)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					     "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unsetenv(names[i]);
	}
}

static int set_up(void **state)
{
	(void)state;
	forget_environment();
	return 0;
}

static void the_messages_are_those_of_the_protocol(void **state)
{
	int manager = manager_open();
	struct systemd systemd;
	char nothing[8];

	(void)state;
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(recv(manager, nothing, sizeof(nothing), 0), -1);
	systemd_ready("Serving gRPC on [::]:9876, metrics on [::]:2112");
	assert_heard(manager, "READY=1\nSTATUS=Serving gRPC on [::]:9876, metrics on [::]:2112");
	systemd_ping();
	assert_heard(manager, "WATCHDOG=1");
	systemd_stopping("Finishing calls", 19 * NS_PER_S);
	assert_heard(manager, "STOPPING=1\nSTATUS=Finishing calls\nEXTEND_TIMEOUT_USEC=19000000");
	systemd_deinit(&systemd);
	assert_null(getenv("NOTIFY_SOCKET"));
	close(manager);
}

static void without_a_manager_all_is_silent(void **state)
{
	struct systemd systemd;

	(void)state;
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.n_sockets, 0);
	assert_int_equal(systemd.watchdog_ns, 0);
	systemd_ready("nobody hears");
	systemd_ping();
	systemd_stopping("nobody hears", 0);
	systemd_deinit(&systemd);
}

static void a_manager_that_is_gone_does_no_harm(void **state)
{
	int manager = manager_open();
	struct systemd systemd;

	(void)state;
	assert_int_equal(systemd_init(&systemd), 0);
	close(manager);
	systemd_ready("nobody hears");
	systemd_ping();
	systemd_deinit(&systemd);
}

static void the_watchdog_is_for_this_process_only(void **state)
{
	struct systemd systemd;
	char pid[32];

	(void)state;
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.watchdog_ns, 0);
	systemd_deinit(&systemd);

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("WATCHDOG_USEC", "20000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.watchdog_ns, 20 * NS_PER_S);
	assert_null(getenv("WATCHDOG_USEC"));
	systemd_deinit(&systemd);

	setenv("WATCHDOG_USEC", "soon", 1);
	assert_true(systemd_init(&systemd) < 0);
	assert_int_equal(systemd.watchdog_ns, 0);
	systemd_deinit(&systemd);
}

static void inherited_sockets_come_with_their_names(void **state)
{
	struct systemd systemd;
	char pid[32];
	int first = 3, second = 4;

	(void)state;
	/* Whatever the test runner left there gives way. */
	assert_int_equal(dup2(0, first), first);
	assert_int_equal(dup2(0, second), second);
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "metrics:grpc", 1);
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.n_sockets, 2);
	assert_string_equal(systemd.sockets[0].name, "metrics");
	assert_int_equal(systemd.sockets[0].fd, 3);
	assert_string_equal(systemd.sockets[1].name, "grpc");
	assert_int_equal(systemd.sockets[1].fd, 4);
	assert_int_equal(fcntl(3, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));

	/* Taken over: stays open. Not taken over: closed. */
	systemd.sockets[0].fd = -1;
	systemd_deinit(&systemd);
	assert_true(fcntl(3, F_GETFD) >= 0);
	assert_int_equal(fcntl(4, F_GETFD), -1);
	close(3);
}

static void sockets_of_another_process_are_left_alone(void **state)
{
	struct systemd systemd;

	(void)state;
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.n_sockets, 0);
	systemd_deinit(&systemd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
		TEST(the_messages_are_those_of_the_protocol),
		TEST(without_a_manager_all_is_silent),
		TEST(a_manager_that_is_gone_does_no_harm),
		TEST(the_watchdog_is_for_this_process_only),
		TEST(inherited_sockets_come_with_their_names),
		TEST(sockets_of_another_process_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void without_libsystemd_nothing_is_heard(void **state)
{
	struct systemd systemd;

	(void)state;
	setenv("WATCHDOG_USEC", "20000000", 1);
	assert_int_equal(systemd_init(&systemd), 0);
	assert_int_equal(systemd.n_sockets, 0);
	assert_int_equal(systemd.watchdog_ns, 0);
	systemd_ready("nobody hears");
	systemd_deinit(&systemd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_libsystemd_nothing_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif

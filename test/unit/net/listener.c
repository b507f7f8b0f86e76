#include <signal.h>
#include <sys/stat.h>

#include "../failing.h"
#include "harness.h"
#include "net/listener.h"

#define MOST_PEERS 16

/* One that was accepted. */
struct guest {
	struct bench *bench;
	struct transport *transport; /* NULL: it is gone */
	struct address address;
};

struct bench {
	struct place *place;
	struct loop *loop;
	struct listener *listener;
	struct counter accepted, limited, out_of_files;
	struct listener_meters meters;
	unsigned n, gone, closed;
	struct guest guests[MOST_PEERS];
	void (*in_accepted)(struct bench *bench); /* runs inside it */
	bool calling;                             /* a call of ours is on the stack */
};

static void on_peer_closed(void *user, int err)
{
	struct guest *guest = user;

	(void)err;
	assert_non_null(guest->transport);
	guest->transport = NULL;
	guest->bench->gone++;
}

static void on_peer_ready(void *user)
{
	(void)user;
}

static void on_peer_data(void *user, const uint8_t *bytes, size_t n)
{
	(void)user;
	(void)bytes;
	(void)n;
}

static const struct transport_events peer_events = {
	.ready = on_peer_ready,
	.data = on_peer_data,
	.eof = on_peer_ready,
	.closed = on_peer_closed,
};

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *peer)
{
	struct bench *bench = user;

	assert_int_equal(bench->closed, 0);
	assert_true(!bench->listener || listener == bench->listener);
	assert_true(bench->n < MOST_PEERS);
	transport_attach(transport, &peer_events, &bench->guests[bench->n]);
	bench->guests[bench->n++] = (struct guest){ bench, transport, *peer };
	if (bench->in_accepted) {
		bench->in_accepted(bench);
	}
}

static void on_closed(void *user, struct listener *listener)
{
	struct bench *bench = user;

	assert_ptr_equal(listener, bench->listener);
	assert_false(bench->calling);
	assert_int_equal(bench->closed++, 0);
}

static const struct listener_events events = { on_accepted, on_closed };

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	bench->place = *state;
	bench->loop = loop_new();
	bench->meters =
		(struct listener_meters){ &bench->accepted, &bench->limited, &bench->out_of_files };
	*state = bench;
	return 0;
}

static void close_now(struct bench *bench)
{
	bench->calling = true;
	listener_close(bench->listener);
	bench->calling = false;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	if (bench->listener && !bench->closed) {
		close_now(bench);
	}
	TURN_UNTIL(bench->loop, !bench->listener || bench->closed);
	for (unsigned i = 0; i < bench->n; i++) {
		if (bench->guests[i].transport) {
			transport_close(bench->guests[i].transport, 0);
		}
	}
	free_loop(bench->loop); /* nothing is left, whatever failed */
	assert_int_equal(bench->gone, bench->n);
	assert_int_equal(counter_read(&bench->accepted), bench->n);
	free(bench);
	return 0;
}

static int try_open(struct bench *bench, const char *text)
{
	struct address_spec spec = spec_of(text);

	return listener_open(bench->loop, &spec, 64, &bench->meters, &events, bench,
			     &bench->listener);
}

/* Where it listens. */
static struct address open_here(struct bench *bench)
{
	char text[ADDRESS_TEXT_MAX];

	place_text(bench->place, text, sizeof(text));
	assert_int_equal(try_open(bench, text), 0);
	return *listener_address(bench->listener);
}

static void assert_fails(struct bench *bench, const char *text, int err)
{
	bench->listener = NULL;
	assert_int_equal(try_open(bench, text), err);
	assert_null(bench->listener);
}

/* Has the other end of `fd` been closed, or is there none? */
static bool is_over(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static void peers_are_accepted_and_named(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench), local = { .len = sizeof(local.storage) };
	char expected[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX];
	int peer = dial_bare(&address), second = dial_bare(&address);

	assert_true(peer >= 0 && second >= 0);
	TURN_UNTIL(bench->loop, bench->n == 2);
	getsockname(peer, (struct sockaddr *)&local.storage, &local.len);
	address_format(&local, expected);
	address_format(&bench->guests[0].address, text);
	assert_string_equal(text, expected); /* "unix:" where the peer has no name */
	assert_int_equal(counter_read(&bench->accepted), 2);
	close(peer);
	close(second);
}

static void the_real_port_is_told(void **state)
{
	struct bench *bench = *state;
	char text[ADDRESS_TEXT_MAX];
	unsigned port = 0;

	assert_int_equal(try_open(bench, "127.0.0.1:0"), 0);
	address_format(listener_address(bench->listener), text);
	assert_int_equal(sscanf(text, "127.0.0.1:%u", &port), 1);
	assert_in_range(port, 1, 65535);
}

/* -- Families -- */

static bool has_no_ipv6;
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol)
{
	if (family == AF_INET6 && has_no_ipv6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return __real_socket(family, type, protocol);
}

static int dial_host(const char *host, struct bench *bench)
{
	const struct sockaddr_in *in =
		(const struct sockaddr_in *)&listener_address(bench->listener)->storage;
	char text[ADDRESS_TEXT_MAX];
	struct address address;

	/* sin6_port lies where sin_port does */
	snprintf(text, sizeof(text), "%s:%u", host, ntohs(in->sin_port));
	address = address_of(text);
	return dial_bare(&address);
}

static bool machine_has_ipv6(void)
{
	struct address loopback = address_of("[::1]:0");
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, sockaddr_of(&loopback), loopback.len) == 0;

	close(fd);
	return has;
}

static void both_families_are_served(struct bench *bench, const char *text)
{
	const bool has_ipv6 = machine_has_ipv6();
	int four, six = -1;

	if (!has_ipv6) {
		print_message("# no IPv6 on this machine: IPv4 alone is tested\n");
	}
	assert_int_equal(try_open(bench, text), 0);
	four = dial_host("127.0.0.1", bench);
	assert_true(four >= 0);
	if (has_ipv6) {
		six = dial_host("[::1]", bench);
		assert_true(six >= 0);
	}
	TURN_UNTIL(bench->loop, bench->n == 1u + has_ipv6);
	close(four);
	if (has_ipv6) {
		close(six);
	}
}

static void no_host_is_both_families(void **state)
{
	both_families_are_served(*state, ":0");
}

static void any_of_ipv6_is_both_families(void **state)
{
	both_families_are_served(*state, "[::]:0");
}

static void ipv4_alone_is_ipv4_alone(void **state)
{
	struct bench *bench = *state;
	int six;

	assert_int_equal(try_open(bench, "0.0.0.0:0"), 0);
	six = dial_host("[::1]", bench);
	assert_true(six < 0);
}

static void without_ipv6_no_host_is_ipv4_alone(void **state)
{
	struct bench *bench = *state;
	int four;

	has_no_ipv6 = true;
	assert_int_equal(try_open(bench, ":0"), 0);
	has_no_ipv6 = false;
	assert_int_equal(listener_address(bench->listener)->storage.ss_family, AF_INET);
	four = dial_host("127.0.0.1", bench);
	TURN_UNTIL(bench->loop, bench->n == 1);
	close(four);
}

static void without_ipv6_an_ipv6_address_is_an_error(void **state)
{
	has_no_ipv6 = true;
	assert_fails(*state, "[::1]:0", -EAFNOSUPPORT);
	has_no_ipv6 = false;
}

/* RFC 5737: nobody has this one. */
static void an_address_of_someone_else_is_an_error(void **state)
{
	assert_fails(*state, "192.0.2.1:0", -EADDRNOTAVAIL);
}

static void a_port_in_use_is_an_error(void **state)
{
	struct bench *bench = *state;
	static const char *const hosts[] = { "127.0.0.1", "", "0.0.0.0" };
	struct address address;
	int taken = listen_bare(&place_tcp, 1, 0, &address);
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		snprintf(text, sizeof(text), "%s:%u", hosts[i],
			 ntohs(((const struct sockaddr_in *)&address.storage)->sin_port));
		assert_fails(bench, text, -EADDRINUSE);
	}
	close(taken);
}

/* -- Unix sockets -- */

static void a_stale_path_is_replaced(void **state)
{
	struct bench *bench = *state;
	struct address address;
	char text[ADDRESS_TEXT_MAX];
	int peer;

	close(listen_bare(&place_unix, 1, 0, &address)); /* as a killed process leaves it */
	assert_true(dial_bare(&address) == -ECONNREFUSED);
	address_format(&address, text);
	assert_int_equal(try_open(bench, text), 0);
	peer = dial_bare(&address);
	assert_true(peer >= 0);
	TURN_UNTIL(bench->loop, bench->n == 1);
	close(peer);
}

static void a_live_one_is_not(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int live = listen_bare(bench->place, 1, 0, &address), peer;
	char text[ADDRESS_TEXT_MAX];

	address_format(&address, text);
	assert_fails(bench, text, -EADDRINUSE);
	peer = dial_bare(&address); /* still there */
	assert_true(peer >= 0);
	/* Also where its backlog is full, so that it does not answer. */
	assert_fails(bench, text, -EADDRINUSE);
	close(peer);
	close(live);
	unlink_place(&address);
}

static void any_other_file_is_not(void **state)
{
	char spec[] = "unix:/tmp/net-test-XXXXXX";
	const char *path = spec + strlen("unix:");
	int fd = mkostemp(spec + strlen("unix:"), O_CLOEXEC);
	struct stat file;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "precious", 8), 8);
	assert_fails(*state, spec, -EADDRINUSE);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_size, 8);
	close(fd);
	unlink(path);
}

static void a_path_that_cannot_be_is_an_error(void **state)
{
	assert_fails(*state, "unix:/tmp/no/such/folder/x", -ENOENT);
}

static bool path_exists(const struct address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;

	return access(un->sun_path, F_OK) == 0;
}

static void the_path_goes_with_the_listener(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);

	assert_true(path_exists(&address));
	close_now(bench);
	assert_false(path_exists(&address));
}

/* A successor has replaced it: he keeps it. */
static void the_path_of_another_stays(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int fd;

	unlink_place(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, sockaddr_of(&address), address.len), 0);
	close_now(bench);
	assert_true(path_exists(&address));
	close(fd);
	unlink_place(&address);
}

static void an_abstract_name_is_exactly_that(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	char text[ADDRESS_TEXT_MAX], line[256];
	FILE *table = fopen("/proc/net/unix", "re");
	bool found = false;

	address_format(&address, text);
	while (fgets(line, sizeof(line), table)) {
		const char *name = strrchr(line, ' ') + 1;

		line[strcspn(line, "\n")] = '\0';
		/* the kernel shows each NUL as '@': one in front, none behind */
		found |= strcmp(name, text + strlen("unix:")) == 0;
	}
	fclose(table);
	assert_true(found);
}

/* -- Adopted -- */

static int adopt(struct bench *bench, int fd)
{
	return listener_adopt(bench->loop, fd, &bench->meters, &events, bench, &bench->listener);
}

static void an_adopted_socket_serves_and_leaves_its_path(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int fd = listen_bare(bench->place, 8, 0, &address), peer;
	char text[ADDRESS_TEXT_MAX], expected[ADDRESS_TEXT_MAX];

	fcntl(fd, F_SETFL, 0); /* as it may be inherited: it waits, and stays open on exec */
	fcntl(fd, F_SETFD, 0);
	peer = dial_bare(&address);
	assert_int_equal(adopt(bench, fd), 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	address_format(listener_address(bench->listener), text);
	address_format(&address, expected);
	assert_string_equal(text, expected);
	TURN_UNTIL(bench->loop, bench->n == 1); /* who came before us */
	close_now(bench);
	if (bench->place->kind == ADDRESS_UNIX) {
		assert_true(path_exists(&address)); /* whoever made it removes it */
	}
	unlink_place(&address);
	close(peer);
}

static void what_does_not_listen_is_not_adopted(void **state)
{
	struct bench *bench = *state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];

	assert_int_equal(adopt(bench, fd), -EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(adopt(bench, ends[0]) < 0);
	assert_int_equal(fcntl(ends[0], F_GETFD), -1);
	close(ends[1]);
	assert_true(adopt(bench, 1023) < 0); /* none at all */
	assert_null(bench->listener);
}

/* -- Pause -- */

static void a_pause_leaves_the_backlog_alone(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peers[3];

	listener_pause(bench->listener, true);
	listener_pause(bench->listener, true);
	assert_int_equal(counter_read(&bench->limited), 1);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&address);
		assert_true(peers[i] >= 0);
	}
	turn_for(bench->loop, 3 * NS_PER_MS);
	assert_int_equal(bench->n, 0);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		assert_false(is_over(peers[i]));
	}
	listener_pause(bench->listener, false);
	TURN_UNTIL(bench->loop, bench->n == 3);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		close(peers[i]);
	}
}

static void pause_here(struct bench *bench)
{
	listener_pause(bench->listener, true);
}

/* The one that reaches the cap is the last: a cap is exact. */
static void a_pause_inside_accepted_is_at_once(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peers[4];

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&address);
	}
	bench->in_accepted = pause_here;
	for (unsigned i = 1; i <= ARRAY_SIZE(peers); i++) {
		TURN_UNTIL(bench->loop, bench->n == i);
		turn_for(bench->loop, 2 * NS_PER_MS);
		assert_int_equal(bench->n, i);
		listener_pause(bench->listener, false);
	}
	assert_int_equal(counter_read(&bench->limited), 4);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		close(peers[i]);
	}
}

/* -- Close -- */

static void who_is_in_the_backlog_is_delivered(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peers[4];

	listener_pause(bench->listener, true);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&address);
		assert_true(peers[i] >= 0);
	}
	turn_for(bench->loop, NS_PER_MS);
	close_now(bench);
	close_now(bench); /* has no effect */
	listener_pause(bench->listener, false);
	assert_int_equal(bench->n, 4);
	assert_int_equal(bench->closed, 0); /* follows later */
	TURN_UNTIL(bench->loop, bench->closed);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		assert_false(is_over(peers[i]));
		close(peers[i]);
	}
	/* Whoever comes now finds nobody. */
	assert_true(dial_bare(&address) < 0);
}

static void close_here(struct bench *bench)
{
	bench->in_accepted = NULL;
	close_now(bench);
}

static void closing_is_legal_inside_accepted(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peers[3];

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&address);
	}
	bench->in_accepted = close_here;
	TURN_UNTIL(bench->loop, bench->closed);
	assert_int_equal(bench->n, 3);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		close(peers[i]);
	}
}

static void refuse_here(struct bench *bench)
{
	transport_close(bench->guests[bench->n - 1].transport, -ECANCELED);
}

static void a_peer_may_be_refused_inside_accepted(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peer = dial_bare(&address);

	bench->in_accepted = refuse_here;
	TURN_UNTIL(bench->loop, bench->gone == 1);
	assert_true(is_over(peer));
	close(peer);
}

/* A restart: the port is free at once, though connections of before are still in TIME_WAIT. */
static void the_same_address_serves_again(void **state)
{
	struct bench *bench = *state;
	struct address address = open_here(bench);
	int peer = dial_bare(&address);
	char text[ADDRESS_TEXT_MAX];

	TURN_UNTIL(bench->loop, bench->n == 1);
	transport_close(bench->guests[0].transport, 0); /* we are first: TIME_WAIT is here */
	TURN_UNTIL(bench->loop, bench->gone == 1);
	assert_true(is_over(peer));
	close(peer);
	address_format(&address, text);
	close_now(bench);
	TURN_UNTIL(bench->loop, bench->closed);
	bench->closed = 0;
	assert_int_equal(try_open(bench, text), 0);
	peer = dial_bare(&address);
	TURN_UNTIL(bench->loop, bench->n == 2);
	close(peer);
}

static void without_memory_nothing_is_opened(void **state)
{
	struct bench *bench = *state;
	char text[ADDRESS_TEXT_MAX];
	struct address address;

	place_text(bench->place, text, sizeof(text));
	failing_at = 0;
	assert_fails(bench, text, -ENOMEM);
	assert_int_equal(failing_at, -1);
	if (bench->place->kind == ADDRESS_UNIX) {
		address = address_of(text);
		assert_false(path_exists(&address));
	}
	failing_at = 0;
	assert_int_equal(adopt(bench, listen_bare(bench->place, 1, 0, &address)), -ENOMEM);
	unlink_place(&address);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		OVER_EACH(peers_are_accepted_and_named),
		OVER(tcp, the_real_port_is_told),
		OVER(tcp, no_host_is_both_families),
		OVER(tcp, any_of_ipv6_is_both_families),
		OVER(tcp, ipv4_alone_is_ipv4_alone),
		OVER(tcp, without_ipv6_no_host_is_ipv4_alone),
		OVER(tcp, without_ipv6_an_ipv6_address_is_an_error),
		OVER(tcp, an_address_of_someone_else_is_an_error),
		OVER(tcp, a_port_in_use_is_an_error),
		OVER(unix, a_stale_path_is_replaced),
		OVER(unix, a_live_one_is_not),
		OVER(abstract, a_live_one_is_not),
		OVER(unix, any_other_file_is_not),
		OVER(unix, a_path_that_cannot_be_is_an_error),
		OVER(unix, the_path_goes_with_the_listener),
		OVER(unix, the_path_of_another_stays),
		OVER(abstract, an_abstract_name_is_exactly_that),
		OVER_EACH(an_adopted_socket_serves_and_leaves_its_path),
		OVER(tcp, what_does_not_listen_is_not_adopted),
		OVER_EACH(a_pause_leaves_the_backlog_alone),
		OVER_EACH(a_pause_inside_accepted_is_at_once),
		OVER_EACH(who_is_in_the_backlog_is_delivered),
		OVER_EACH(closing_is_legal_inside_accepted),
		OVER_EACH(a_peer_may_be_refused_inside_accepted),
		OVER_EACH(the_same_address_serves_again),
		OVER_EACH(without_memory_nothing_is_opened),
	};

	signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What only shows when there is much of it: two ends that both send, many peers,
 * few descriptors.
 */
#include "harness.h"

#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../failing.h"
#include "engine.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/transport_stream.h"

#define MAX_GUESTS 4096

struct house;

struct guest {
	struct fake fake;
	struct house *house;
	struct connection *connection;
};

struct house {
	const struct place *place;
	struct loop *loop;
	struct listener *listener;
	struct connection_limits limits;
	struct counter accepted, refused_limit, refused_files;
	struct listener_meters meters;
	struct guest *guests[MAX_GUESTS];
	size_t n_guests, n_closed;
	size_t speak;       /* what each guest's engine says at once */
	bool drain_at_once; /* before `ready` */
	bool listener_closed;
	struct address address;
};

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct guest *guest = user;

	guest->connection = connection;
	return &guest->fake.engine;
}

static void on_closed(void *user, struct connection *connection, enum connection_close_reason why,
		      int err)
{
	struct guest *guest = user;

	(void)connection;
	(void)why;
	(void)err;
	guest->connection = NULL;
	guest->house->n_closed++;
}

static const struct connection_events connection_events = { on_ready, on_closed };

static struct guest *guest_new(struct house *house)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	assert_non_null(guest);
	assert_true(house->n_guests < MAX_GUESTS);
	house->guests[house->n_guests++] = guest;
	guest->house = house;
	fake_init(&guest->fake);
	guest->fake.done_at_eof = true;
	if (house->speak > 0) {
		fake_speak(&guest->fake, house->speak);
	} else {
		guest->fake.echo = true;
	}
	return guest;
}

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *peer)
{
	struct house *house = user;
	struct guest *guest = guest_new(house);

	(void)listener;
	(void)peer;
	guest->connection = connection_new(house->loop, transport, &house->limits, NULL,
					   &connection_events, guest);
	assert_non_null(guest->connection);
	if (house->drain_at_once) {
		connection_drain(guest->connection, ENGINE_DRAIN_GRACEFUL);
	}
}

static void on_listener_closed(void *user, struct listener *listener)
{
	struct house *house = user;

	(void)listener;
	house->listener_closed = true;
}

static const struct listener_events listener_events = { on_accepted, on_listener_closed };

static void open_house(struct house *house)
{
	char text[ADDRESS_TEXT_MAX];
	struct address_spec spec;

	place_text(house->place, text, sizeof(text));
	spec = spec_of(text);
	assert_int_equal(listener_open(house->loop, &spec, 128, &house->meters, &listener_events,
				       house, &house->listener),
			 0);
	house->address = *listener_address(house->listener);
	house->listener_closed = false;
}

static int set_up(void **state)
{
	struct house *house = calloc(1, sizeof(*house));

	assert_non_null(house);
	signal(SIGPIPE, SIG_IGN);
	house->place = *state;
	house->loop = loop_new();
	assert_non_null(house->loop);
	house->limits = connection_default_limits;
	house->meters = (struct listener_meters){ &house->accepted, &house->refused_limit,
						  &house->refused_files };
	open_house(house);
	*state = house;
	return 0;
}

static int tear_down(void **state)
{
	struct house *house = *state;

	if (!house->listener_closed) {
		listener_close(house->listener);
	}
	for (size_t i = 0; i < house->n_guests; i++) {
		if (house->guests[i]->connection) {
			connection_close(house->guests[i]->connection, CONNECTION_CLOSED_LOCAL, 0);
		}
	}
	free_loop(house->loop);
	assert_true(house->listener_closed);
	assert_int_equal(house->n_closed, house->n_guests);
	for (size_t i = 0; i < house->n_guests; i++) {
		assert_int_equal(house->guests[i]->fake.releases,
				 house->guests[i]->fake.produces > 0 ? 1 : 0);
		free(house->guests[i]);
	}
	free(house);
	return 0;
}

/* Much more than the kernel's buffers of both directions and both ends hold. */
#define MUCH (48 * MIB)

static void two_ends_that_both_send_much_do_not_wait_for_each_other(void **state)
{
	struct house *house = *state;
	struct transport *transport;
	struct guest *dialler, *answerer;

	house->limits.output_soft_max = 64 * KIB;
	house->speak = MUCH;
	dialler = guest_new(house);
	assert_int_equal(transport_stream_connect(house->loop, &house->address, &transport), 0);
	assert_true(transport->dialled);
	dialler->connection = connection_new(house->loop, transport, &house->limits, NULL,
					     &connection_events, dialler);
	TURN_UNTIL(house->loop, house->n_guests == 2);
	answerer = house->guests[1];
	TURN_UNTIL(house->loop, dialler->fake.received == MUCH && answerer->fake.received == MUCH);
}

/* As much as the kernel takes, of a peer that the loop has not met yet. */
static size_t stuff(int fd)
{
	int size = 4 * 1024 * 1024;
	size_t at = 0;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	push(fd, &at, 64 * MIB);
	return at;
}

static void a_peer_that_sends_much_leaves_the_others_their_turn(void **state)
{
	struct house *house = *state;
	int much = dial_bare(&house->address), little;
	size_t at = 0, stuffed;

	TURN_UNTIL(house->loop, house->n_guests == 1);
	little = dial_bare(&house->address);
	TURN_UNTIL(house->loop, house->n_guests == 2);
	turn_for(house->loop, NS_PER_MS);
	house->guests[0]->fake.echo = false;
	stuffed = stuff(much);
	assert_true(stuffed > 2 * 64 * KIB);
	assert_true(push(little, &at, 1));
	TURN_UNTIL(house->loop, house->guests[0]->fake.received > 0);
	assert_true(house->guests[0]->fake.received <= 64 * KIB);
	for (size_t before; house->guests[0]->fake.received < stuffed;) {
		before = house->guests[0]->fake.received;
		loop_turn(house->loop);
		assert_true(house->guests[0]->fake.received - before <= 64 * KIB);
		assert_int_equal(house->guests[1]->fake.received, 1);
	}
	close(much);
	close(little);
}

/* -- Who is in the backlog when the listener closes -- */

enum outcome { NO_SERVER, ANSWERED, LOST };

/* One peer: connects, says a byte, hears it again. */
static enum outcome visit(const struct address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	enum outcome outcome = NO_SERVER;
	int err = 0;
	socklen_t size = sizeof(err);
	uint8_t byte = pattern(0);

	if (connect(fd, sockaddr_of(address), address->len) < 0) {
		/* A connection that is not made in this time finds no server later either. */
		if (errno != EINPROGRESS || poll(&wait, 1, 30) != 1 ||
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 || err != 0) {
			goto out;
		}
	}
	outcome = LOST;
	wait.events = POLLIN;
	if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && poll(&wait, 1, 5000) == 1 &&
	    recv(fd, &byte, 1, 0) == 1) {
		outcome = ANSWERED;
	}
out:
	close(fd);
	return outcome;
}

/* Visits until there is no server any more. The exit status: was anyone lost? */
static pid_t begin_visits(const struct address *address)
{
	pid_t pid = fork();

	if (pid == 0) {
		enum outcome outcome;

		do {
			outcome = visit(address);
		} while (outcome == ANSWERED);
		_exit(outcome == LOST);
	}
	assert_true(pid > 0);
	return pid;
}

/*
 * Some kernels let only root attach a filter to a socket; the gap at the end of a
 * listener then stays.
 */
static bool filters_are_allowed(void)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, UINT32_MAX) };
	struct sock_fprog program = { ARRAY_SIZE(all), all };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool allowed;

	assert_true(fd >= 0);
	allowed = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
	close(fd);
	return allowed;
}

static void nobody_who_got_in_is_lost_when_the_listener_closes(void **state)
{
	struct house *house = *state;

	if (house->place->kind == ADDRESS_INET && !filters_are_allowed()) {
		print_message("this kernel lets only root attach socket filters\n");
		skip();
	}

	for (int round = 0; round < 25; round++) {
		pid_t visitors[3];
		size_t before = house->n_guests;

		for (size_t i = 0; i < ARRAY_SIZE(visitors); i++) {
			visitors[i] = begin_visits(&house->address);
		}
		TURN_UNTIL(house->loop, house->n_guests >= before + 20);
		listener_close(house->listener);
		for (size_t i = 0; i < ARRAY_SIZE(visitors); i++) {
			int status = -1;

			TURN_UNTIL(house->loop, waitpid(visitors[i], &status, WNOHANG) != 0);
			assert_int_equal(status, 0);
		}
		assert_true(house->listener_closed);
		open_house(house);
	}
}

static void who_waits_behind_a_pause_is_accepted_on_close(void **state)
{
	struct house *house = *state;
	int peers[5];

	listener_pause(house->listener, true);
	assert_int_equal(counter_read(&house->refused_limit), 1);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&house->address);
		assert_true(peers[i] >= 0);
	}
	turn_for(house->loop, 5 * NS_PER_MS);
	assert_int_equal(house->n_guests, 0);
	listener_close(house->listener);
	assert_int_equal(house->n_guests, ARRAY_SIZE(peers));
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		size_t said = 0, heard = 0;

		assert_true(push(peers[i], &said, 1));
		TURN_UNTIL(house->loop, pull(peers[i], &heard, 1) == 1);
		close(peers[i]);
	}
}

static void a_drain_before_ready_is_not_the_end_of_a_newcomer(void **state)
{
	struct house *house = *state;
	size_t said = 0, heard = 0;
	int peer = dial_bare(&house->address);

	house->drain_at_once = true;
	assert_true(push(peer, &said, 5));
	TURN_UNTIL(house->loop, pull(peer, &heard, 5) == 5);
	assert_int_equal(house->guests[0]->fake.drains, 1);
	assert_int_equal(house->guests[0]->fake.drained_how, ENGINE_DRAIN_GRACEFUL);
	close(peer);
}

/* -- Scarcity -- */

static void out_of_descriptors_the_backlog_waits(void **state)
{
	struct house *house = *state;
	struct rlimit limit, low;
	int peers[3], fill[256], n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		peers[i] = dial_bare(&house->address);
		assert_true(peers[i] >= 0);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	low = limit;
	low.rlim_cur = ARRAY_SIZE(fill);
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < (int)ARRAY_SIZE(fill) && (fill[n] = dup(peers[0])) >= 0) {
		n++;
	}
	turn_for(house->loop, 30 * NS_PER_MS);
	setrlimit(RLIMIT_NOFILE, &limit);
	while (n > 0) {
		close(fill[--n]);
	}
	assert_int_equal(house->n_guests, 0);
	assert_int_equal(counter_read(&house->refused_files), 1); /* it rests, it does not spin */
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		assert_false(at_eof(peers[i]));
	}
	TURN_UNTIL(house->loop, house->n_guests == ARRAY_SIZE(peers));
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		close(peers[i]);
	}
}

static void out_of_memory_the_backlog_waits(void **state)
{
	struct house *house = *state;
	int peer = dial_bare(&house->address);

	failing_at = 0;
	TURN_UNTIL(house->loop, failing_at < 0);
	assert_int_equal(house->n_guests, 0);
	assert_false(at_eof(peer));
	TURN_UNTIL(house->loop, house->n_guests == 1);
	assert_int_equal(counter_read(&house->refused_files), 0);
	close(peer);
}

/* -- What is open keeps the loop alive, though libuv sees nothing active -- */

static void a_paused_listener_keeps_the_loop_alive(void **state)
{
	struct house *house = *state;

	listener_pause(house->listener, true);
	loop_turn(house->loop);
	assert_true(loop_turn(house->loop));
}

static void a_half_closed_connection_keeps_the_loop_alive(void **state)
{
	struct house *house = *state;
	int peer = dial_bare(&house->address);

	TURN_UNTIL(house->loop, house->n_guests == 1);
	house->guests[0]->fake.done_at_eof = false;
	listener_close(house->listener);
	TURN_UNTIL(house->loop, house->listener_closed);
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(house->loop, house->guests[0]->fake.ends == 1);
	turn_for(house->loop, NS_PER_MS);
	assert_true(loop_turn(house->loop));
	house->guests[0]->fake.done = true;
	engine_wake(&house->guests[0]->fake.engine);
	TURN_UNTIL(house->loop, house->n_closed == 1);
	assert_true(at_eof(peer));
	assert_false(loop_turn(house->loop));
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_EACH(two_ends_that_both_send_much_do_not_wait_for_each_other),
		OVER_EACH(a_peer_that_sends_much_leaves_the_others_their_turn),
		OVER_EACH(nobody_who_got_in_is_lost_when_the_listener_closes),
		OVER_EACH(who_waits_behind_a_pause_is_accepted_on_close),
		OVER_EACH(a_drain_before_ready_is_not_the_end_of_a_newcomer),
		OVER_EACH(out_of_descriptors_the_backlog_waits),
		OVER_EACH(out_of_memory_the_backlog_waits),
		OVER_EACH(a_paused_listener_keeps_the_loop_alive),
		OVER_EACH(a_half_closed_connection_keeps_the_loop_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

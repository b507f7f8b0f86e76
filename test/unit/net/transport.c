#include <signal.h>

#include "base/buffer.h"
#include "harness.h"
#include "net/transport.h"
#include "net/transport_stream.h"

/* Who listens to a transport, and holds it to its contract. */
struct witness {
	struct loop *loop;
	struct transport *transport;
	unsigned ready, drained, eof, closed;
	int err;
	size_t got; /* bytes, all as sent */
	size_t most_at_once;
	bool calling;         /* a call of ours is on the stack */
	const char *close_in; /* the upcall to close in */
	bool pause_in_data;   /* the first data is the last for now */
	void (*on_drained)(struct witness *witness);
};

struct bench {
	struct place *place;
	struct loop *loop;
	struct address address;
	int listening;
	int peer;
	struct witness witness;
};

static void close_now(struct witness *witness, int err)
{
	witness->calling = true;
	transport_close(witness->transport, err);
	witness->calling = false;
}

static void enter(struct witness *witness, const char *upcall)
{
	assert_int_equal(witness->closed, 0);
	if (witness->close_in && strcmp(witness->close_in, upcall) == 0) {
		close_now(witness, -ECANCELED);
	}
}

static void on_ready(void *user)
{
	struct witness *witness = user;

	assert_int_equal(witness->ready++, 0);
	enter(witness, "ready");
}

static void on_data(void *user, const uint8_t *bytes, size_t n)
{
	struct witness *witness = user;

	assert_int_equal(witness->ready, 1);
	assert_int_equal(witness->eof, 0);
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != pattern(witness->got + i)) {
			fail_msg("byte %zu is not what was sent", witness->got + i);
		}
	}
	witness->got += n;
	witness->most_at_once = MAX(witness->most_at_once, n);
	if (witness->pause_in_data) {
		transport_pause(witness->transport, true);
	}
	enter(witness, "data");
}

static void on_drained(void *user)
{
	struct witness *witness = user;

	witness->drained++;
	enter(witness, "drained");
	if (witness->on_drained) {
		witness->on_drained(witness);
	}
}

static void on_eof(void *user)
{
	struct witness *witness = user;

	assert_int_equal(witness->eof++, 0);
	enter(witness, "eof");
}

static void on_closed(void *user, int err)
{
	struct witness *witness = user;

	assert_int_equal(witness->closed, 0);
	assert_false(witness->calling);
	witness->closed++;
	witness->err = err;
}

static const struct transport_events events = {
	.ready = on_ready,
	.data = on_data,
	.drained = on_drained,
	.eof = on_eof,
	.closed = on_closed,
};

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	bench->place = *state;
	bench->loop = loop_new();
	bench->listening = listen_bare(bench->place, 8, 0, &bench->address);
	bench->peer = -1;
	bench->witness.loop = bench->loop;
	*state = bench;
	return 0;
}

/* Every test ends with a transport that is gone, and says so exactly once. */
static int tear_down(void **state)
{
	struct bench *bench = *state;

	if (bench->witness.transport && !bench->witness.closed) {
		close_now(&bench->witness, 0);
	}
	free_loop(bench->loop);
	if (bench->witness.transport) {
		assert_int_equal(bench->witness.closed, 1);
	}
	if (bench->peer >= 0) {
		close(bench->peer);
	}
	close(bench->listening);
	unlink_place(&bench->address);
	free(bench);
	return 0;
}

static void dial(struct bench *bench)
{
	struct witness *witness = &bench->witness;

	assert_int_equal(
		transport_stream_connect(bench->loop, &bench->address, &witness->transport), 0);
	transport_attach(witness->transport, &events, witness);
	assert_int_equal(witness->ready, 0); /* from the loop, not from within */
}

/* Both ends are up. */
static void connect_both(struct bench *bench)
{
	dial(bench);
	TURN_UNTIL(bench->loop, bench->witness.ready || bench->witness.closed);
	assert_int_equal(bench->witness.closed, 0);
	bench->peer = accept_bare(bench->listening);
	assert_true(bench->peer >= 0);
}

/* Writes the pattern from `at` on; what transport_write() says. */
static int write_pattern(struct witness *witness, size_t at, size_t n)
{
	struct buffer out = BUFFER_INIT;
	uint8_t *bytes = buffer_reserve(&out, n);
	int rv;

	fill_pattern(bytes, n, at);
	buffer_commit(&out, n);
	witness->calling = true;
	rv = transport_write(witness->transport, &out);
	witness->calling = false;
	if (rv >= 0) {
		assert_int_equal(buffer_len(&out), 0);
	}
	buffer_free(&out);
	return rv;
}

static void bytes_flow_both_ways(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t sent = 0, seen = 0;

	connect_both(bench);
	assert_true(push(bench->peer, &sent, 1000));
	TURN_UNTIL(bench->loop, witness->got == 1000);
	assert_int_equal(write_pattern(witness, 0, 500), 0);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, 500) == 0 && seen == 500);
	assert_int_equal(write_pattern(witness, 500, 0), 0); /* nothing is sent at once */
	assert_int_equal(transport_unsent(witness->transport), 0);
	assert_int_equal(witness->drained, 0);
	close_now(witness, 0);
	TURN_UNTIL(bench->loop, witness->closed);
	assert_int_equal(witness->err, 0);
	assert_true(at_eof(bench->peer));
}

static void a_close_keeps_the_first_error(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;

	connect_both(bench);
	close_now(witness, -ETIMEDOUT);
	close_now(witness, 0);
	/* Whatever is called now has no effect. */
	assert_true(write_pattern(witness, 0, 10) < 0);
	transport_pause(witness->transport, true);
	transport_pause(witness->transport, false);
	transport_shutdown(witness->transport);
	TURN_UNTIL(bench->loop, witness->closed);
	assert_int_equal(witness->err, -ETIMEDOUT);
}

static void a_close_before_ready_cancels(void **state)
{
	struct bench *bench = *state;

	dial(bench);
	close_now(&bench->witness, -ECANCELED);
	TURN_UNTIL(bench->loop, bench->witness.closed);
	turn_for(bench->loop, 2 * NS_PER_MS);
	assert_int_equal(bench->witness.ready, 0);
	assert_int_equal(bench->witness.err, -ECANCELED);
}

static void nobody_need_listen_to_a_transport_that_is_closed(void **state)
{
	struct bench *bench = *state;
	struct transport *transport;

	assert_int_equal(transport_stream_connect(bench->loop, &bench->address, &transport), 0);
	transport_close(transport, 0);
}

static void nobody_there_is_an_error(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	int rv;

	close(bench->listening);
	unlink_place(&bench->address);
	rv = transport_stream_connect(bench->loop, &bench->address, &witness->transport);
	if (rv < 0) { /* nothing was started */
		assert_true(rv == -ECONNREFUSED || rv == -ENOENT);
		witness->transport = NULL;
	} else {
		transport_attach(witness->transport, &events, witness);
		TURN_UNTIL(bench->loop, witness->closed);
		assert_int_equal(witness->err, -ECONNREFUSED);
		assert_int_equal(witness->ready, 0);
	}
	bench->listening = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void what_the_kernel_does_not_take_is_in_flight(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	const size_t n = 16 * MIB;
	size_t seen = 0, unsent;

	connect_both(bench);
	assert_int_equal(write_pattern(witness, 0, n), 1);
	unsent = transport_unsent(witness->transport);
	assert_true(unsent > 0 && unsent < n);
	turn_for(bench->loop, 5 * NS_PER_MS);
	assert_int_equal(witness->drained, 0);
	unsent = transport_unsent(witness->transport);
	while (seen < n) {
		size_t left;

		pull(bench->peer, &seen, MIB);
		loop_turn(bench->loop);
		left = transport_unsent(witness->transport);
		assert_true(left <= unsent);
		unsent = left;
	}
	TURN_UNTIL(bench->loop, witness->drained);
	assert_int_equal(transport_unsent(witness->transport), 0);
	/* The next one goes on where it ended. */
	assert_int_equal(write_pattern(witness, n, 100), 0);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, 100) == 0 && seen == n + 100);
	assert_int_equal(witness->drained, 1);
}

static void write_again(struct witness *witness)
{
	witness->on_drained = NULL;
	write_pattern(witness, 8 * MIB, 8 * MIB);
}

static void a_write_inside_drained_follows_on(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t seen = 0;

	connect_both(bench);
	witness->on_drained = write_again;
	assert_int_equal(write_pattern(witness, 0, 8 * MIB), 1);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && seen == 16 * MIB);
}

static void fin_follows_what_was_written(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t seen = 0, sent = 0;

	connect_both(bench);
	assert_int_equal(write_pattern(witness, 0, 8 * MIB), 1);
	transport_shutdown(witness->transport);
	transport_shutdown(witness->transport);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && at_eof(bench->peer));
	assert_int_equal(seen, 8 * MIB);
	/* The other direction is still open. */
	assert_true(push(bench->peer, &sent, 3000));
	TURN_UNTIL(bench->loop, witness->got == 3000);
	assert_int_equal(witness->closed, 0);
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, witness->eof);
	assert_int_equal(witness->closed, 0); /* that is for its user to decide */
}

static void after_eof_writing_still_works(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t sent = 0, seen = 0;

	connect_both(bench);
	assert_true(push(bench->peer, &sent, 100));
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, witness->eof);
	assert_int_equal(witness->got, 100);
	turn_for(bench->loop, 3 * NS_PER_MS);
	assert_true(write_pattern(witness, 0, 8 * MIB) >= 0);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && seen == 8 * MIB);
	transport_shutdown(witness->transport);
	TURN_UNTIL(bench->loop, at_eof(bench->peer));
	assert_int_equal(witness->closed, 0);
}

static void a_pause_holds_what_comes(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t sent = 0;

	connect_both(bench);
	witness->pause_in_data = true;
	push(bench->peer, &sent, MIB); /* as much as goes in */
	assert_true(sent > 0);
	TURN_UNTIL(bench->loop, witness->got > 0);
	witness->pause_in_data = false;
	{
		size_t got = witness->got;

		shutdown(bench->peer, SHUT_WR);
		turn_for(bench->loop, 5 * NS_PER_MS);
		assert_int_equal(witness->got,
				 got); /* not even what libuv could have read at once */
		assert_int_equal(witness->eof, 0);
	}
	assert_true(loop_turn(bench->loop)); /* it keeps the loop alive */
	transport_pause(witness->transport, false);
	transport_pause(witness->transport, false);
	TURN_UNTIL(bench->loop, witness->eof);
	assert_int_equal(witness->got, sent);
}

static void a_pause_before_ready_holds(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t sent = 0;

	dial(bench);
	transport_pause(witness->transport, true);
	TURN_UNTIL(bench->loop, witness->ready);
	bench->peer = accept_bare(bench->listening);
	assert_true(push(bench->peer, &sent, 10));
	turn_for(bench->loop, 3 * NS_PER_MS);
	assert_int_equal(witness->got, 0);
	transport_pause(witness->transport, false);
	TURN_UNTIL(bench->loop, witness->got == 10);
}

/* What is much for one turn is left for the next: others have their turn between. */
static void a_turn_reads_at_most_64_kib(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t sent = 0, got = 0;

	connect_both(bench);
	push(bench->peer, &sent, MIB);
	assert_true(sent > 64 * KIB);
	while (witness->got < sent) {
		loop_turn(bench->loop);
		assert_true(witness->got - got <= 64 * KIB);
		got = witness->got;
	}
	/* And what comes with the FIN behind it is not lost. */
	push(bench->peer, &sent, sent + 100 * KIB);
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, witness->eof);
	assert_int_equal(witness->got, sent);
}

static void closing_is_legal_in_each_upcall(void **state)
{
	static const char *const upcalls[] = { "ready", "data", "drained", "eof" };
	struct bench *bench = *state;

	for (size_t i = 0; i < ARRAY_SIZE(upcalls); i++) {
		struct witness *witness = &bench->witness;
		size_t sent = 0, seen = 0;

		*witness = (struct witness){ .loop = bench->loop, .close_in = upcalls[i] };
		dial(bench);
		TURN_UNTIL(bench->loop, witness->ready);
		bench->peer = accept_bare(bench->listening);
		if (!witness->closed && i > 0) {
			assert_int_equal(write_pattern(witness, 0, 8 * MIB), 1);
			push(bench->peer, &sent, 200 * KIB);
			shutdown(bench->peer, SHUT_WR);
		}
		TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), witness->closed));
		assert_int_equal(witness->err, -ECANCELED);
		turn_for(bench->loop, NS_PER_MS); /* any further upcall would be found out */
		close(bench->peer);
		bench->peer = -1;
	}
}

/* What was in flight when it is closed is not reported as sent. */
static void a_close_with_a_write_in_flight_says_closed_alone(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	size_t seen = 0;

	connect_both(bench);
	assert_int_equal(write_pattern(witness, 0, 16 * MIB), 1);
	close_now(witness, -ETIMEDOUT);
	TURN_UNTIL(bench->loop, witness->closed);
	assert_int_equal(witness->drained, 0);
	assert_int_equal(witness->err, -ETIMEDOUT);
	/* The peer sees the end of it. */
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0);
	assert_true(seen < 16 * MIB);
}

static void a_peer_that_resets_ends_it_once(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;

	connect_both(bench);
	assert_int_equal(write_pattern(witness, 0, 1000), 0); /* unread: unix sockets reset, too */
	reset_bare(bench->peer);
	bench->peer = -1;
	TURN_UNTIL(bench->loop, witness->closed);
	assert_int_equal(witness->err, -ECONNRESET);
	assert_int_equal(witness->eof, 0);
}

/* Reading and writing both find out; whoever is first, closed comes once and with an error. */
static void a_peer_that_resets_under_a_write_ends_it_once(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;

	for (unsigned i = 0; i < 2; i++) {
		*witness = (struct witness){ .loop = bench->loop };
		connect_both(bench);
		transport_pause(witness->transport, i == 1);
		assert_int_equal(write_pattern(witness, 0, 16 * MIB), 1);
		reset_bare(bench->peer);
		bench->peer = -1;
		TURN_UNTIL(bench->loop, witness->closed);
		assert_true(witness->err == -ECONNRESET || witness->err == -EPIPE);
		assert_int_equal(witness->drained, 0);
	}
}

static void a_write_to_a_peer_that_is_gone_fails_and_closes(void **state)
{
	struct bench *bench = *state;
	struct witness *witness = &bench->witness;
	int rv = 0;

	connect_both(bench);
	transport_pause(witness->transport, true); /* so that reading does not find out first */
	assert_int_equal(write_pattern(witness, 0, 1000), 0);
	reset_bare(bench->peer);
	bench->peer = -1;
	for (unsigned i = 0; i < 100 && rv == 0; i++) { /* no loop between: the kernel says it */
		rv = write_pattern(witness, 1000, 10);
		usleep(100);
	}
	assert_true(rv == -EPIPE || rv == -ECONNRESET);
	assert_int_equal(witness->closed, 0);
	TURN_UNTIL(bench->loop, witness->closed);
	assert_int_equal(witness->err, rv);
}

static void sockets_do_not_wait_and_are_closed_on_exec(void **state)
{
	struct bench *bench = *state;
	int fd, on = 0;
	socklen_t size = sizeof(on);

	connect_both(bench);
	fd = facing(bench->peer);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
	assert_int_not_equal(on, 0);
}

static void an_address_of_no_family_starts_nothing(void **state)
{
	struct bench *bench = *state;
	struct address address = { .storage.ss_family = 99, .len = sizeof(struct sockaddr) };
	struct transport *transport;

	assert_true(transport_stream_connect(bench->loop, &address, &transport) < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		OVER_EACH(bytes_flow_both_ways),
		OVER_EACH(a_close_keeps_the_first_error),
		OVER_EACH(a_close_before_ready_cancels),
		OVER_EACH(nobody_need_listen_to_a_transport_that_is_closed),
		OVER_EACH(nobody_there_is_an_error),
		OVER_EACH(what_the_kernel_does_not_take_is_in_flight),
		OVER_EACH(a_write_inside_drained_follows_on),
		OVER_EACH(fin_follows_what_was_written),
		OVER_EACH(after_eof_writing_still_works),
		OVER_EACH(a_pause_holds_what_comes),
		OVER_EACH(a_pause_before_ready_holds),
		OVER_EACH(a_turn_reads_at_most_64_kib),
		OVER_EACH(closing_is_legal_in_each_upcall),
		OVER_EACH(a_close_with_a_write_in_flight_says_closed_alone),
		OVER_EACH(a_peer_that_resets_ends_it_once),
		OVER_EACH(a_peer_that_resets_under_a_write_ends_it_once),
		OVER_EACH(a_write_to_a_peer_that_is_gone_fails_and_closes),
		OVER(tcp, sockets_do_not_wait_and_are_closed_on_exec),
		OVER(tcp, an_address_of_no_family_starts_nothing),
	};

	signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

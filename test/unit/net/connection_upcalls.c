/*
 * What may be called inside an upcall, and when nothing may follow it any more;
 * connections that are dialled; allocations that fail.
 */
#include "../failing.h"
#include "connection.h"
#include "net/transport_stream.h"

static struct bench *bench_of(struct fake *fake)
{
	return fake->user;
}

/* Where the hook acts: once. */
static const char *where_to_act;

static bool is_here(const char *where)
{
	if (!where_to_act || strcmp(where, where_to_act) != 0) {
		return false;
	}
	where_to_act = NULL;
	return true;
}

/* -- Closing inside each upcall -- */

static void close_here(struct fake *fake, const char *where)
{
	struct bench *bench = bench_of(fake);

	if (is_here(where)) {
		engine_wake(&fake->engine); /* what was asked for before it is not done any more */
		connection_close(bench->connection, CONNECTION_CLOSED_LOCAL, -ECANCELED);
	}
}

/* The same for each place: the engine sees nothing after it but its release. */
static void close_inside(struct bench *bench, const char *where)
{
	size_t sent = 0;

	bench->fake.hook = close_here;
	bench->fake.echo = true;
	where_to_act = where;
	bench_connect(bench);
	if (bench->connection) {
		fake_speak(&bench->fake, 100);
		bench->fake.output.end -= 100; /* the pattern starts with the echo */
		push(bench->peer, &sent, 5000);
		shutdown(bench->peer, SHUT_WR);
		if (strcmp(where, "drain") == 0) {
			connection_drain(bench->connection, ENGINE_DRAIN_GRACEFUL);
		}
	}
	assert_closed(bench, CONNECTION_CLOSED_LOCAL, -ECANCELED);
	assert_null(where_to_act);
}

#define CLOSE_INSIDE(where)                                   \
	static void closing_is_legal_in_##where(void **state) \
	{                                                     \
		close_inside(*state, #where);                 \
	}
CLOSE_INSIDE(ready)
CLOSE_INSIDE(receive)
CLOSE_INSIDE(produce)
CLOSE_INSIDE(end_of_input)
CLOSE_INSIDE(drain)

/* Its call has no effect: all is over. The last upcalls of calls come from here. */
static void closing_is_legal_in_release(void **state)
{
	struct bench *bench = *state;

	bench->fake.hook = close_here;
	where_to_act = "release";
	bench_connect(bench);
	reset_bare(bench->peer);
	bench->peer = -1;
	TURN_UNTIL(bench->loop, bench->closed);
	assert_null(where_to_act);
	assert_int_equal(bench->why, CONNECTION_CLOSED_PEER);
}

/* The engine takes part of it and closes: what it left must not be offered again. */
static void a_close_while_input_is_kept_ends_the_offers(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0;

	bench->fake.take = 10;
	bench_connect(bench);
	push(bench->peer, &sent, 5000);
	TURN_UNTIL(bench->loop, bench->fake.receives > 0);
	bench->fake.hook = close_here;
	where_to_act = "receive";
	TURN_UNTIL(bench->loop,
		   (bench->closed ? (void)0 : engine_wake(&bench->fake.engine), bench->closed));
	assert_closed(bench, CONNECTION_CLOSED_LOCAL, -ECANCELED);
}

static void bytes_produced_beside_a_close_are_nobodys(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0;

	bench_connect(bench);
	turn_for(bench->loop, NS_PER_MS);
	bench->fake.hook = close_here;
	where_to_act = "produce";
	fake_speak(&bench->fake, 1000);
	engine_wake(&bench->fake.engine);
	assert_closed(bench, CONNECTION_CLOSED_LOCAL, -ECANCELED);
	assert_int_equal(pull(bench->peer, &seen, 1000), 0);
	/* The buffer that all connections share is clean for the next one. */
	*bench = (struct bench){ .place = bench->place,
				 .loop = bench->loop,
				 .listener = bench->listener,
				 .address = bench->address,
				 .limits = bench->limits,
				 .meters = bench->meters,
				 .peer = bench->peer };
	close(bench->peer);
	fake_init(&bench->fake);
	bench->fake.user = bench;
	bench_connect(bench);
	fake_speak(&bench->fake, 10);
	engine_wake(&bench->fake.engine);
	seen = 0;
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, 1000), seen == 10));
}

/* -- Draining inside each upcall -- */

static void drain_here(struct fake *fake, const char *where)
{
	struct bench *bench = bench_of(fake);

	if (is_here(where)) {
		connection_drain(bench->connection, ENGINE_DRAIN_GRACEFUL);
		connection_drain(bench->connection, ENGINE_DRAIN_NOW); /* overtakes */
	}
}

static void drain_inside(struct bench *bench, const char *where)
{
	size_t sent = 0;

	bench->fake.hook = drain_here;
	where_to_act = where;
	bench_connect(bench);
	push(bench->peer, &sent, 10);
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, bench->fake.drains); /* not from within: the fake asserts it */
	turn_for(bench->loop, 2 * NS_PER_MS);
	assert_null(where_to_act);
	assert_int_equal(bench->fake.drains, 1);
	assert_int_equal(bench->fake.drained_how, ENGINE_DRAIN_NOW);
	bench->fake.done = true;
	engine_wake(&bench->fake.engine);
	assert_closed(bench, CONNECTION_CLOSED_PEER, 0);
}

#define DRAIN_INSIDE(where)                                    \
	static void draining_is_legal_in_##where(void **state) \
	{                                                      \
		drain_inside(*state, #where);                  \
	}
DRAIN_INSIDE(receive)
DRAIN_INSIDE(produce)
DRAIN_INSIDE(end_of_input)

/* A call may be in the socket already. */
static void draining_at_ready_reaches_the_engine(void **state)
{
	drain_inside(*state, "ready");
}

static void a_drain_reaches_an_engine_whose_output_is_stuck(void **state)
{
	struct bench *bench = *state;

	bench->fake.endless = true;
	bench_connect(bench);
	turn_for(bench->loop, 5 * NS_PER_MS);
	connection_drain(bench->connection, ENGINE_DRAIN_GRACEFUL);
	assert_int_equal(bench->fake.drains, 0); /* the caller may stand in an upcall */
	TURN_UNTIL(bench->loop, bench->fake.drains);
	connection_drain(bench->connection, ENGINE_DRAIN_NOW);
	TURN_UNTIL(bench->loop, bench->fake.drains == 2);
}

/* -- Waking inside each upcall -- */

static void wake_here(struct fake *fake, const char *where)
{
	if (is_here(where)) {
		fake_speak(fake, 100);
		engine_wake(&fake->engine);
	}
}

#define WAKE_INSIDE(where)                                                             \
	static void what_is_said_inside_##where##_is_sent(void **state)                \
	{                                                                              \
		struct bench *bench = *state;                                          \
		size_t sent = 0, seen = 0;                                             \
                                                                                       \
		bench->fake.hook = wake_here;                                          \
		where_to_act = #where;                                                 \
		bench_connect(bench);                                                  \
		push(bench->peer, &sent, 10);                                          \
		shutdown(bench->peer, SHUT_WR);                                        \
		if (strcmp(#where, "drain") == 0) {                                    \
			connection_drain(bench->connection, ENGINE_DRAIN_GRACEFUL);    \
		}                                                                      \
		TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, 100), seen == 100)); \
	}
WAKE_INSIDE(ready)
WAKE_INSIDE(receive)
WAKE_INSIDE(produce)
WAKE_INSIDE(end_of_input)
WAKE_INSIDE(drain)

/* -- Dialled -- */

/* Replaces the listener's part: the connection is ours, the listening socket is bare. */
static struct transport *dial(struct bench *bench, const struct address *address)
{
	struct transport *transport;

	assert_int_equal(transport_stream_connect(bench->loop, address, &transport), 0);
	return transport;
}

static void a_dialled_connection_talks(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int listening = listen_bare(bench->place, 4, 0, &address);
	size_t sent = 0, seen = 0;

	bench->limits.connect_ns = 100 * NS_PER_MS;
	bench->fake.echo = true;
	bench_marry(bench, dial(bench, &address));
	assert_null(connection_engine(bench->connection));
	TURN_UNTIL(bench->loop, bench->ready);
	bench->peer = accept_bare(listening);
	turn_for(bench->loop, 120 * NS_PER_MS); /* the time to connect is for connecting alone */
	assert_int_equal(bench->closed, 0);
	push(bench->peer, &sent, 1000);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, 1000), seen == 1000));
	bench->fake.done = true;
	engine_wake(&bench->fake.engine);
	TURN_UNTIL(bench->loop, at_eof(bench->peer));
	close(bench->peer);
	bench->peer = -1;
	assert_closed(bench, CONNECTION_CLOSED_DONE, 0);
	close(listening);
	unlink_place(&address);
}

static void nobody_there_is_an_error_and_no_engine(void **state)
{
	struct bench *bench = *state;
	struct address address;

	close(listen_bare(bench->place, 1, 0, &address));
	bench_marry(bench, dial(bench, &address));
	assert_closed(bench, CONNECTION_CLOSED_ERROR, -ECONNREFUSED);
	assert_int_equal(bench->ready, 0);
}

/* Nobody accepts and the backlog is full: the kernel drops what would connect. */
static void connecting_may_take_only_so_long(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int listening = listen_bare(bench->place, 0, 0, &address), fillers[3];

	for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fillers[i], sockaddr_of(&address), address.len);
	}
	bench->limits.connect_ns = 20 * NS_PER_MS;
	bench_marry(bench, dial(bench, &address));
	assert_closed(bench, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
	assert_int_equal(bench->ready, 0);
	for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
		close(fillers[i]);
	}
	close(listening);
}

static void what_is_closed_or_drained_before_ready_never_connects(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int listening = listen_bare(bench->place, 4, 0, &address);

	bench_marry(bench, dial(bench, &address));
	bench->calling = true;
	connection_drain(bench->connection, ENGINE_DRAIN_GRACEFUL);
	bench->calling = false;
	assert_closed(bench, CONNECTION_CLOSED_LOCAL, -ECANCELED);
	bench->closed = bench->made = 0;
	atomic_store(&bench->reasons[CONNECTION_CLOSED_LOCAL].value, 0);
	bench_marry(bench, dial(bench, &address));
	bench->calling = true;
	connection_close(bench->connection, CONNECTION_CLOSED_LOCAL, -EINTR);
	bench->calling = false;
	assert_closed(bench, CONNECTION_CLOSED_LOCAL, -EINTR);
	assert_int_equal(bench->ready, 0);
	close(listening);
	unlink_place(&address);
}

/* -- Memory -- */

/*
 * Each allocation of ours fails in turn, from accept to close. Whatever comes of
 * it: all that began ends once, nothing is lost, and the next peer is served.
 */
static void each_allocation_may_fail(void **state)
{
	struct bench *bench = *state;
	bool failed = true;
	long n;

	for (n = 0; failed; n++) {
		size_t sent = 0, seen = 0;
		int64_t end_ns = timers_monotonic(NULL) + 300 * NS_PER_MS;

		bench->ready = bench->closed = bench->made = 0;
		fake_init(&bench->fake);
		bench->fake.user = bench;
		bench->fake.echo = bench->fake.done_at_eof = true;
		bench->fake.take = 20 * KIB; /* the rest is kept, which needs memory */
		bench->peer = dial_bare_with(&bench->address, (int)(32 * KIB));
		failing_at = n;
		while (!bench->closed && timers_monotonic(NULL) < end_ns) {
			if (push(bench->peer, &sent, 300 * KIB)) {
				shutdown(bench->peer, SHUT_WR);
			}
			pull(bench->peer, &seen, 300 * KIB);
			loop_turn(bench->loop);
			if (at_eof(bench->peer) && !bench->connection) {
				break; /* refused */
			}
		}
		failed = failing_at < 0;
		failing_at = -1;
		assert_int_equal(bench->closed, bench->made);
		assert_int_equal(gauge_read(&bench->active), 0);
		close(bench->peer);
		if (!failed) {
			assert_int_equal(seen, 300 * KIB);
		}
	}
	bench->peer = -1;
	assert_in_range(n, 4, 1000); /* memory was asked for, and it ends */
}

static void without_memory_a_dialled_transport_is_closed(void **state)
{
	struct bench *bench = *state;
	struct address address;
	int listening = listen_bare(bench->place, 4, 0, &address);
	struct transport *transport;

	failing_at = 0;
	assert_int_equal(transport_stream_connect(bench->loop, &address, &transport), -ENOMEM);
	transport = dial(bench, &address);
	failing_at = 0;
	bench_marry(bench, transport);
	assert_null(bench->connection);
	assert_int_equal(bench->refused, 1);
	turn_for(bench->loop, 2 * NS_PER_MS);
	assert_int_equal(bench->ready, 0);
	close(listening);
	unlink_place(&address);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		OVER_EACH(closing_is_legal_in_ready),
		OVER_EACH(closing_is_legal_in_receive),
		OVER_EACH(closing_is_legal_in_produce),
		OVER_EACH(closing_is_legal_in_end_of_input),
		OVER_EACH(closing_is_legal_in_drain),
		OVER(tcp, closing_is_legal_in_release),
		OVER(tcp, a_close_while_input_is_kept_ends_the_offers),
		OVER(tcp, bytes_produced_beside_a_close_are_nobodys),
		OVER_EACH(draining_is_legal_in_receive),
		OVER_EACH(draining_is_legal_in_produce),
		OVER_EACH(draining_is_legal_in_end_of_input),
		OVER_EACH(draining_at_ready_reaches_the_engine),
		OVER(tcp, a_drain_reaches_an_engine_whose_output_is_stuck),
		OVER(tcp, what_is_said_inside_ready_is_sent),
		OVER(tcp, what_is_said_inside_receive_is_sent),
		OVER(tcp, what_is_said_inside_produce_is_sent),
		OVER(tcp, what_is_said_inside_end_of_input_is_sent),
		OVER(tcp, what_is_said_inside_drain_is_sent),
		OVER_EACH(a_dialled_connection_talks),
		OVER(tcp, nobody_there_is_an_error_and_no_engine),
		OVER(tcp, connecting_may_take_only_so_long),
		OVER_EACH(what_is_closed_or_drained_before_ready_never_connects),
		OVER_EACH(each_allocation_may_fail),
		OVER_EACH(without_memory_a_dialled_transport_is_closed),
	};

	signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <malloc.h>

#include "connection.h"

/* -- The happy path -- */

static void what_is_sent_comes_back_in_order(void **state)
{
	struct bench *bench = *state;
	const size_t n = MIB;
	size_t sent = 0, seen = 0;

	bench->fake.echo = bench->fake.done_at_eof = true;
	bench_connect(bench);
	assert_ptr_equal(connection_engine(bench->connection), &bench->fake.engine);
	assert_int_equal(gauge_read(&bench->active), 1);
	TURN_UNTIL(bench->loop, (push(bench->peer, &sent, n), pull(bench->peer, &seen, n)) == 0 &&
					sent == n && seen == n);
	shutdown(bench->peer, SHUT_WR);
	assert_closed(bench, CONNECTION_CLOSED_PEER, 0);
	assert_true(at_eof(bench->peer));
	assert_int_equal(bench->fake.ends, 1);
	assert_int_equal(counter_read(&bench->received), n);
	assert_int_equal(counter_read(&bench->sent), n);
}

static void many_small_answers_leave_in_few_writes(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0;
	unsigned produces;

	bench_connect(bench);
	turn_for(bench->loop, NS_PER_MS);
	produces = bench->fake.produces;
	for (unsigned i = 0; i < 100; i++) {
		fake_speak(&bench->fake, 10);
		engine_wake(&bench->fake.engine); /* idempotent */
	}
	assert_int_equal(bench->fake.produces, produces); /* never from within */
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, 1000) == 0 && seen == 1000);
	assert_in_range(bench->fake.produces - produces, 1, 3);
}

static void an_idle_connection_asks_nothing_of_its_engine(void **state)
{
	struct bench *bench = *state;
	unsigned produces;

	bench_connect(bench);
	turn_for(bench->loop, 2 * NS_PER_MS);
	produces = bench->fake.produces;
	turn_for(bench->loop, 5 * NS_PER_MS);
	assert_int_equal(bench->fake.produces, produces);
}

/* -- Output that the peer does not take -- */

static void turn_until_still(struct bench *bench)
{
	size_t produced;

	do {
		produced = bench->fake.produced;
		turn_for(bench->loop, 4 * NS_PER_MS);
	} while (bench->fake.produced != produced);
}

static void what_a_peer_that_never_reads_makes_us_hold_is_bounded(void **state)
{
	struct bench *bench = *state;
	bench->fake.endless = true;
	bench_connect(bench);
	turn_until_still(bench);
	assert_true(bench->fake.produced > 0);
	/* Whoever wakes, and how often: it fills up, and then there is no room. */
	for (unsigned i = 0; i < 50; i++) {
		engine_wake(&bench->fake.engine);
		loop_turn(bench->loop);
		assert_true(bench->fake.produced - kernel_holds(bench->peer) <=
			    bench->limits.output_soft_max + FAKE_FRAME);
	}
	turn_until_still(bench);
	/* Deferred upcalls still go out: it is asked, without room. */
	bench->fake.produces_without_room = 0;
	for (unsigned i = 1; i <= 3; i++) {
		engine_wake(&bench->fake.engine);
		loop_turn(bench->loop);
		assert_int_equal(bench->fake.produces_without_room, i);
	}
}

static void a_stalled_write_is_cut(void **state)
{
	struct bench *bench = *state;
	int64_t began_ns = timers_monotonic(NULL);

	bench->limits.write_stall_ns = 40 * NS_PER_MS;
	bench->fake.endless = true;
	bench_connect(bench);
	assert_closed(bench, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
	assert_true(timers_monotonic(NULL) - began_ns >= 40 * NS_PER_MS);
}

/* Wakes do not put off the cut. */
static void a_busy_engine_does_not_hide_a_stall(void **state)
{
	struct bench *bench = *state;

	bench->limits.write_stall_ns = 30 * NS_PER_MS;
	bench->fake.endless = true;
	bench_connect(bench);
	TURN_UNTIL(bench->loop,
		   (bench->closed ? (void)0 : engine_wake(&bench->fake.engine), bench->closed));
	assert_int_equal(bench->why, CONNECTION_CLOSED_TIMEOUT);
}

static void a_slow_peer_that_moves_is_not_cut(void **state)
{
	struct bench *bench = *state;
	int64_t end_ns = timers_monotonic(NULL) + 300 * NS_PER_MS;
	size_t seen = 0;

	bench->limits.write_stall_ns = 100 * NS_PER_MS;
	bench->limits.output_soft_max =
		2 * MIB; /* one write lasts longer than the time of a stall */
	bench->fake.endless = true;
	bench_connect(bench);
	while (timers_monotonic(NULL) < end_ns) {
		pull(bench->peer, &seen, 32 * KIB);
		turn_for(bench->loop, 4 * NS_PER_MS);
		assert_int_equal(bench->closed, 0);
	}
	assert_true(seen > 64 * KIB);
	assert_closed(bench, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT); /* now that it moves no more */
}

/* Ten thousand connections that once sent much are not ten thousand times much. */
static void an_idle_connection_gives_its_memory_back(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0, before, after;

	bench->limits.output_soft_max = 4 * MIB;
	bench_connect(bench);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	if (before == 0) {
		/* not skip(): cmocka's TAP says "not ok" of it */
		print_message(
			"# not tested: a sanitizer's allocator does not tell what is in use\n");
		return;
	}
	fake_speak(&bench->fake, 3 * MIB);
	engine_wake(&bench->fake.engine);
	turn_until_still(bench);
	buffer_free(&bench->fake.output); /* all of it was produced */
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_true(after > before + 2 * MIB);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), seen == 3 * MIB));
	turn_for(bench->loop, NS_PER_MS);
	/* All but what the loop keeps for all of them together. */
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_true(after <= before + 512 * KIB + 16 * KIB);
}

/* The watch over a write ends with it: silence is no stall. */
static void idle_after_a_long_write_is_not_cut(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0;

	bench->limits.write_stall_ns = 30 * NS_PER_MS;
	bench_connect(bench);
	fake_speak(&bench->fake, MIB);
	engine_wake(&bench->fake.engine);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), seen == MIB));
	turn_for(bench->loop, 90 * NS_PER_MS);
	assert_int_equal(bench->closed, 0);
}

/*
 * A large buffer of the kernel takes more only when a good part of it is free.
 * Until then nothing of ours moves, though the peer reads all the time.
 */
static void what_leaves_the_kernels_buffer_is_progress(void **state)
{
	struct bench *bench = *state;
	int64_t end_ns = timers_monotonic(NULL) + 350 * NS_PER_MS;
	int large = (int)MIB;
	size_t seen = 0;

	bench->limits.write_stall_ns = 100 * NS_PER_MS;
	bench_connect(bench);
	setsockopt(facing(bench->peer), SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	bench->fake.endless = true;
	engine_wake(&bench->fake.engine);
	while (timers_monotonic(NULL) < end_ns) {
		pull(bench->peer, &seen, 4 * KIB);
		turn_for(bench->loop, 4 * NS_PER_MS);
		assert_int_equal(bench->closed, 0);
	}
	/* Too little to make room: without a look into the kernel it would have been cut. */
	assert_in_range(seen, 32 * KIB, 900 * KIB);
}

static void reading_pauses_while_the_peer_does_not_read(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0, seen = 0, had;

	bench->fake.echo = true;
	bench_connect(bench);
	do {
		had = sent;
		push(bench->peer, &sent, sent + 64 * KIB);
		turn_for(bench->loop, 3 * NS_PER_MS);
	} while (sent > had);
	/* It was not read for want of somewhere to put the answer. */
	assert_true(bench->fake.received < sent);
	assert_true(buffer_len(&bench->fake.output) <= 2 * 64 * KIB);
	assert_true(bench->fake.received <= kernel_holds(bench->peer) +
						    bench->limits.output_soft_max + FAKE_FRAME +
						    2 * 64 * KIB);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), seen == sent));
	assert_int_equal(bench->fake.received, sent);
}

static void two_that_only_talk_and_one_that_asks(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0, seen = 0;

	/*
	 * Output in flight alone, below the bound, does not stop reading: the engine hears
	 * PINGs, RST_STREAM.
	 */
	bench->limits.output_soft_max = 8 * MIB;
	bench_connect(bench);
	fake_speak(&bench->fake, 2 * MIB);
	engine_wake(&bench->fake.engine);
	turn_until_still(bench);
	assert_true(push(bench->peer, &sent, 100));
	TURN_UNTIL(bench->loop, bench->fake.received == 100);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), seen == 2 * MIB));
}

/* -- Input that the engine does not take -- */

static void what_is_not_taken_is_offered_again_in_order(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0, seen = 0;

	bench->fake.take = 7;
	bench->fake.echo = bench->fake.done_at_eof = true;
	bench_connect(bench);
	assert_true(push(bench->peer, &sent, 3000));
	shutdown(bench->peer, SHUT_WR); /* heard of when all is taken: the engine asserts it */
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, 3000), seen == 3000));
	assert_closed(bench, CONNECTION_CLOSED_PEER, 0);
	assert_int_equal(bench->fake.received, 3000);
	assert_int_equal(bench->fake.ends, 1);
}

static void an_engine_that_takes_nothing_is_left_alone_until_it_wakes(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0, had, seen = 0;
	unsigned receives;

	bench->fake.take = 0;
	bench_connect(bench);
	do {
		had = sent;
		push(bench->peer, &sent, sent + 64 * KIB);
		turn_for(bench->loop, 3 * NS_PER_MS);
	} while (sent > had); /* the peer's window closes */
	assert_true(sent < 16 * MIB);
	receives = bench->fake.receives;
	turn_for(bench->loop, 5 * NS_PER_MS);
	assert_int_equal(bench->fake.receives, receives);
	bench->fake.take = SIZE_MAX;
	bench->fake.echo = true;
	engine_wake(&bench->fake.engine);
	TURN_UNTIL(bench->loop, (pull(bench->peer, &seen, MIB), seen == sent));
}

static void a_fin_behind_what_is_not_taken_waits_for_it(void **state)
{
	struct bench *bench = *state;
	size_t sent = 0;

	bench->fake.take = 0;
	bench->fake.done_at_eof = true;
	bench_connect(bench);
	assert_true(push(bench->peer, &sent, 100));
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, bench->fake.receives > 0);
	turn_for(bench->loop, 5 * NS_PER_MS);
	assert_int_equal(bench->fake.ends, 0);
	assert_int_equal(bench->closed, 0);
	bench->fake.take = SIZE_MAX;
	engine_wake(&bench->fake.engine);
	assert_closed(bench, CONNECTION_CLOSED_PEER, 0);
	assert_int_equal(bench->fake.received, 100);
	assert_int_equal(bench->fake.ends, 1);
}

/* -- The end -- */

static void say_goodbye(struct bench *bench, size_t n)
{
	fake_speak(&bench->fake, n);
	bench->fake.done = true;
	engine_wake(&bench->fake.engine);
}

static void finished_means_fin_linger_close(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0, sent = 0;

	bench->limits.linger_ns = 3600 * NS_PER_S;
	bench_connect(bench);
	say_goodbye(bench, 300 * KIB);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && at_eof(bench->peer));
	assert_int_equal(seen, 300 * KIB);
	/* What still comes is read and thrown away. */
	assert_true(push(bench->peer, &sent, 10));
	turn_for(bench->loop, 3 * NS_PER_MS);
	assert_int_equal(bench->fake.receives, 0);
	assert_int_equal(bench->closed, 0);
	engine_wake(&bench->fake.engine); /* has no effect any more */
	connection_drain(bench->connection, ENGINE_DRAIN_NOW);
	turn_for(bench->loop, NS_PER_MS);
	assert_int_equal(bench->fake.drains, 0);
	close(bench->peer);
	bench->peer = -1;
	assert_closed(bench, CONNECTION_CLOSED_DONE, 0);
}

static void lingering_ends_by_itself(void **state)
{
	struct bench *bench = *state;

	bench->limits.linger_ns = 10 * NS_PER_MS;
	bench_connect(bench);
	say_goodbye(bench, 10);
	TURN_UNTIL(bench->loop, at_eof(bench->peer) || bench->closed ||
					(recv(bench->peer, (char[16]){ 0 }, 16, 0), false));
	assert_closed(bench, CONNECTION_CLOSED_DONE, 0);
}

/* Unread input at close() makes a reset, which takes our last words from the peer. */
static void a_peer_in_the_middle_of_sending_gets_our_last_words(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0, sent = 0;

	bench_connect(bench);
	say_goodbye(bench, 50 * KIB);
	TURN_UNTIL(bench->loop, (push(bench->peer, &sent, 4 * MIB),
				 pull(bench->peer, &seen, MIB) == 0 && seen == 50 * KIB));
	TURN_UNTIL(bench->loop, (push(bench->peer, &sent, 4 * MIB), sent == 4 * MIB));
	assert_true(at_eof(bench->peer));
	assert_int_equal(bench->closed, 0);
	shutdown(bench->peer, SHUT_WR);
	assert_closed(bench, CONNECTION_CLOSED_DONE, 0);
}

static void a_peers_fin_does_not_cut_the_answer(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0;

	bench_connect(bench);
	shutdown(bench->peer, SHUT_WR);
	TURN_UNTIL(bench->loop, bench->fake.ends);
	turn_for(bench->loop, 3 * NS_PER_MS);
	assert_int_equal(bench->closed, 0); /* the engine decides */
	say_goodbye(bench, MIB);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && at_eof(bench->peer));
	assert_int_equal(seen, MIB);
	assert_closed(bench, CONNECTION_CLOSED_PEER, 0);
}

static void a_failed_engine_has_the_last_word(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0, sent = 0;

	bench->fake.receive_error = -EPROTO;
	bench->limits.linger_ns = 10 * NS_PER_MS;
	bench_connect(bench);
	fake_speak(&bench->fake, 200 * KIB); /* GOAWAY */
	assert_true(push(bench->peer, &sent, 100));
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && at_eof(bench->peer));
	assert_int_equal(seen, 200 * KIB);
	assert_int_equal(bench->fake.receives, 1);
	assert_closed(bench, CONNECTION_CLOSED_ERROR, -EPROTO);
}

/* Its goodbye is under way: what the peer sends meanwhile is read, and nobody's. */
static void a_failed_engine_hears_nothing_more(void **state)
{
	struct bench *bench = *state;
	size_t seen = 0, sent = 0;

	bench->fake.receive_error = -EPROTO;
	bench->limits.output_soft_max = 8 * MIB;
	bench->limits.linger_ns = 10 * NS_PER_MS;
	bench_connect(bench);
	fake_speak(&bench->fake, 2 * MIB);
	engine_wake(&bench->fake.engine);
	turn_until_still(bench);
	for (size_t n = 100; n <= 300; n += 100) {
		assert_true(push(bench->peer, &sent, n));
		TURN_UNTIL(bench->loop, counter_read(&bench->received) == n);
	}
	assert_int_equal(bench->fake.receives, 1);
	TURN_UNTIL(bench->loop, pull(bench->peer, &seen, MIB) == 0 && at_eof(bench->peer));
	assert_int_equal(seen, 2 * MIB);
	assert_closed(bench, CONNECTION_CLOSED_ERROR, -EPROTO);
}

static void an_engine_that_cannot_produce_is_closed(void **state)
{
	struct bench *bench = *state;

	bench_connect(bench);
	bench->fake.produce_error = -ENOMEM;
	engine_wake(&bench->fake.engine);
	assert_closed(bench, CONNECTION_CLOSED_ERROR, -ENOMEM);
}

static void no_engine_is_a_close(void **state)
{
	struct bench *bench = *state;

	bench->no_engine = true;
	bench_connect(bench);
	TURN_UNTIL(bench->loop, bench->closed);
	assert_int_equal(bench->why, CONNECTION_CLOSED_ERROR);
	assert_true(bench->err < 0);
	assert_int_equal(bench->fake.releases, 0);
}

static void a_peer_that_resets_is_the_peers_doing(void **state)
{
	struct bench *bench = *state;

	bench_connect(bench);
	fake_speak(&bench->fake, 1000); /* unread: unix sockets reset, too */
	engine_wake(&bench->fake.engine);
	turn_for(bench->loop, NS_PER_MS);
	reset_bare(bench->peer);
	bench->peer = -1;
	assert_closed(bench, CONNECTION_CLOSED_PEER, -ECONNRESET);
	assert_int_equal(bench->fake.ends, 0);
}

static void a_peer_that_resets_under_our_writes_ends_it_once(void **state)
{
	struct bench *bench = *state;

	bench->fake.endless = true;
	bench_connect(bench);
	turn_until_still(bench);
	reset_bare(bench->peer);
	bench->peer = -1;
	TURN_UNTIL(bench->loop, bench->closed);
	assert_int_equal(bench->why, CONNECTION_CLOSED_PEER);
	assert_true(bench->err == -ECONNRESET || bench->err == -EPIPE);
}

static void a_close_keeps_its_reason(void **state)
{
	struct bench *bench = *state;

	bench_connect(bench);
	bench->calling = true;
	connection_close(bench->connection, CONNECTION_CLOSED_TIMEOUT, -ETIME);
	connection_close(bench->connection, CONNECTION_CLOSED_LOCAL, 0);
	connection_drain(bench->connection, ENGINE_DRAIN_NOW);
	engine_wake(&bench->fake.engine);
	bench->calling = false;
	assert_closed(bench, CONNECTION_CLOSED_TIMEOUT, -ETIME);
	assert_int_equal(bench->fake.drains, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		OVER_EACH(what_is_sent_comes_back_in_order),
		OVER_EACH(many_small_answers_leave_in_few_writes),
		OVER(tcp, an_idle_connection_asks_nothing_of_its_engine),
		OVER_EACH(what_a_peer_that_never_reads_makes_us_hold_is_bounded),
		OVER_EACH(a_stalled_write_is_cut),
		OVER(tcp, a_busy_engine_does_not_hide_a_stall),
		OVER_EACH(a_slow_peer_that_moves_is_not_cut),
		OVER(tcp, an_idle_connection_gives_its_memory_back),
		OVER_EACH(idle_after_a_long_write_is_not_cut),
		OVER(tcp, what_leaves_the_kernels_buffer_is_progress),
		OVER_EACH(reading_pauses_while_the_peer_does_not_read),
		OVER_EACH(two_that_only_talk_and_one_that_asks),
		OVER_EACH(what_is_not_taken_is_offered_again_in_order),
		OVER_EACH(an_engine_that_takes_nothing_is_left_alone_until_it_wakes),
		OVER_EACH(a_fin_behind_what_is_not_taken_waits_for_it),
		OVER_EACH(finished_means_fin_linger_close),
		OVER_EACH(lingering_ends_by_itself),
		OVER_EACH(a_peer_in_the_middle_of_sending_gets_our_last_words),
		OVER_EACH(a_peers_fin_does_not_cut_the_answer),
		OVER_EACH(a_failed_engine_has_the_last_word),
		OVER_EACH(a_failed_engine_hears_nothing_more),
		OVER(tcp, an_engine_that_cannot_produce_is_closed),
		OVER(tcp, no_engine_is_a_close),
		OVER_EACH(a_peer_that_resets_is_the_peers_doing),
		OVER_EACH(a_peer_that_resets_under_our_writes_ends_it_once),
		OVER(tcp, a_close_keeps_its_reason),
	};

	signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

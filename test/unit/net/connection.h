/* A connection with a fake engine over an accepted socket, and its peer, bare. */
#pragma once

#include <signal.h>

#include "engine.h"
#include "net/connection.h"
#include "net/listener.h"

struct bench {
	struct place *place;
	struct loop *loop;
	struct listener *listener;
	struct address address;
	struct connection_limits limits;
	struct connection_meters meters;
	struct gauge active;
	struct counter received, sent, reasons[CONNECTION_CLOSE_REASONS];
	int peer;

	struct connection *connection;
	struct fake fake;
	bool no_engine;                        /* refuse, at ready */
	void (*in_ready)(struct bench *bench); /* runs inside it */
	unsigned refused;                      /* connections that found no memory */
	unsigned made, ready, closed;
	enum connection_close_reason why;
	int err;
	bool calling;                 /* a call of ours is on the stack */
	unsigned ready_before_closed; /* seen in `closed`: the engine was released before */
};

static inline struct engine *bench_ready(void *user, struct connection *connection)
{
	struct bench *bench = user;

	assert_ptr_equal(connection, bench->connection);
	assert_int_equal(bench->closed, bench->ready);
	bench->ready++;
	fake_enter(&bench->fake, "ready");
	bench->fake.inside = false;
	if (bench->in_ready) {
		bench->in_ready(bench);
	}
	return bench->no_engine ? NULL : &bench->fake.engine;
}

static inline void bench_closed(void *user, struct connection *connection,
				enum connection_close_reason why, int err)
{
	struct bench *bench = user;

	assert_ptr_equal(connection, bench->connection);
	assert_int_equal(bench->closed, bench->made - 1); /* once for each */
	assert_false(bench->calling);
	assert_false(bench->fake.inside);
	assert_int_equal(bench->fake.releases, bench->ready && !bench->no_engine);
	bench->closed++;
	bench->connection = NULL;
	bench->why = why;
	bench->err = err;
}

static const struct connection_events bench_events = { bench_ready, bench_closed };

static inline void bench_marry(struct bench *bench, struct transport *transport)
{
	bench->connection = connection_new(bench->loop, transport, &bench->limits, &bench->meters,
					   &bench_events, bench);
	if (bench->connection) {
		bench->made++;
	} else {
		bench->refused++;
	}
}

static inline void bench_accepted(void *user, struct listener *listener,
				  struct transport *transport, const struct address *peer)
{
	(void)listener;
	(void)peer;
	bench_marry(user, transport);
}

static inline void bench_listener_closed(void *user, struct listener *listener)
{
	(void)user;
	(void)listener;
}

static inline int set_up(void **state)
{
	static const struct listener_events listener_events = { bench_accepted,
								bench_listener_closed };
	struct bench *bench = calloc(1, sizeof(*bench));
	int fd;

	bench->place = *state;
	bench->loop = loop_new();
	bench->peer = -1;
	bench->limits = connection_default_limits;
	bench->limits.output_soft_max = 64 * KIB;
	bench->meters.active = &bench->active;
	bench->meters.received_bytes = &bench->received;
	bench->meters.sent_bytes = &bench->sent;
	for (size_t i = 0; i < CONNECTION_CLOSE_REASONS; i++) {
		bench->meters.closed[i] = &bench->reasons[i];
	}
	fake_init(&bench->fake);
	bench->fake.user = bench;
	/* What it accepts has a small send buffer, where the kernel passes that on (tcp). */
	fd = listen_bare(bench->place, 8, (int)(32 * KIB), &bench->address);
	if (listener_adopt(bench->loop, fd, NULL, &listener_events, bench, &bench->listener)) {
		return -1;
	}
	*state = bench;
	return 0;
}

static inline int tear_down(void **state)
{
	struct bench *bench = *state;

	if (bench->connection) {
		connection_close(bench->connection, CONNECTION_CLOSED_LOCAL, 0);
	}
	listener_close(bench->listener);
	free_loop(bench->loop);
	assert_int_equal(bench->closed, bench->made);
	assert_int_equal(gauge_read(&bench->active), 0);
	if (bench->peer >= 0) {
		close(bench->peer);
	}
	unlink_place(&bench->address);
	free(bench);
	return 0;
}

/* A peer is in, and its engine is there. */
static inline void bench_connect(struct bench *bench)
{
	bench->peer = dial_bare_with(&bench->address, (int)(32 * KIB));
	assert_true(bench->peer >= 0);
	TURN_UNTIL(bench->loop, bench->ready || bench->closed);
}

static inline void assert_closed(struct bench *bench, enum connection_close_reason why, int err)
{
	TURN_UNTIL(bench->loop, bench->closed);
	assert_int_equal(bench->why, why);
	assert_int_equal(bench->err, err);
	assert_int_equal(counter_read(&bench->reasons[why]), 1);
	assert_int_equal(gauge_read(&bench->active), 0);
	if (bench->ready && !bench->no_engine) {
		assert_int_equal(bench->fake.release_err, err);
	}
}

/*
 * Why it cannot spin or stall: flush() goes on only while something moved; what
 * the engine did not take waits in `kept` with the transport paused; what the
 * kernel did not take is in flight, and until it has left the engine gets no
 * room (but is asked, so that its deferred upcalls go out).
 *
 *	DIALLING --ready--> OPEN --finished--> LINGERING --eof, time--> CLOSING
 *	    |                 |                                            ^
 *	    +-----------------+------------ failure, stall ----------------+
 */
#include "net/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "net/loop_p.h"

/* Times that flush() goes round before other connections get their turn. */
#define MAX_ROUNDS 4

/* The loop's shared output buffer keeps this much between writes. */
#define OUT_KEEP_BYTES (512 * KIB)

const struct connection_limits connection_default_limits = {
	.output_soft_max = 256 * KIB,
	.write_stall_ns = 30 * NS_PER_S,
	.linger_ns = NS_PER_S,
};

enum phase { DIALLING, OPEN, LINGERING, CLOSING };

struct connection {
	struct loop *loop;
	struct transport *transport;
	struct engine *engine;
	const struct connection_limits *limits;
	const struct connection_meters *meters;
	const struct connection_events *events;
	void *user;
	struct loop_task task; /* flush, asked for by wake */
	struct timer timer;    /* connecting, a write in flight, or lingering */
	struct buffer kept;    /* input that the engine did not take yet */
	size_t unsent;         /* of the write in flight, when last looked at */
	enum phase phase;
	enum connection_close_reason why;
	bool writing; /* a write is in flight */
	bool failed;  /* the engine is done for: close once what it said is out */
	bool eof;
	bool drain_wanted; /* by the next flush: the caller may stand in an upcall of the engine */
	enum engine_drain drain_how;
	bool flushing;
};

static const struct transport_events transport_events;

static struct timers *timers_of(struct connection *connection)
{
	return loop_timers(connection->loop);
}

void connection_close(struct connection *connection, enum connection_close_reason why, int err)
{
	if (connection->phase == CLOSING) {
		return;
	}
	connection->phase = CLOSING;
	connection->why = why;
	loop_unschedule(&connection->task);
	timer_stop(timers_of(connection), &connection->timer);
	transport_close(connection->transport, err);
}

static void on_timer(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, timer);
	size_t unsent;

	switch (connection->phase) {
	case DIALLING:
		connection_close(connection, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
		break;
	case OPEN:
		unsent = transport_unsent(connection->transport);
		if (unsent == connection->unsent) {
			connection_close(connection, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
			break;
		}
		connection->unsent = unsent; /* slow, but it moves */
		timer_start(timers_of(connection), timer, connection->limits->write_stall_ns);
		break;
	default:
		connection_close(connection, CONNECTION_CLOSED_DONE, 0);
	}
}

/* Reading makes sense while nothing waits to be taken or sent. */
static void update_pause(struct connection *connection)
{
	bool pause = connection->phase == OPEN &&
		     (connection->writing || buffer_len(&connection->kept) > 0);

	transport_pause(connection->transport, pause);
}

/* Offers input; what is left of it is kept. True: some was taken. */
static bool offer(struct connection *connection, const uint8_t *bytes, size_t n)
{
	struct engine *engine = connection->engine;
	bool is_kept = buffer_len(&connection->kept) > 0;
	ssize_t taken;

	if (connection->failed) {
		return false;
	}
	taken = engine->ops->receive(engine, bytes, n);
	if (taken < 0) {
		connection->failed = true;
		buffer_free(&connection->kept);
		return true;
	}
	if (is_kept) {
		buffer_consume(&connection->kept, (size_t)taken);
		if (buffer_len(&connection->kept) == 0) {
			buffer_free(&connection->kept);
		}
	} else if ((size_t)taken < n &&
		   buffer_append(&connection->kept, bytes + taken, n - (size_t)taken) < 0) {
		connection_close(connection, CONNECTION_CLOSED_ERROR, -ENOMEM);
	}
	return taken > 0;
}

static void write_out(struct connection *connection, struct buffer *out)
{
	size_t n = buffer_len(out);

	switch (transport_write(connection->transport, out)) {
	case 1:
		connection->writing = true;
		connection->unsent = transport_unsent(connection->transport);
		timer_start(timers_of(connection), &connection->timer,
			    connection->limits->write_stall_ns);
		/* fall through */
	case 0:
		if (connection->meters->sent_bytes) {
			counter_add(connection->meters->sent_bytes, n);
		}
		break;
	default:
		break; /* closed follows */
	}
}

/* What the engine has to say, in one write. 1: more waits for room; 0: idle; < 0: over. */
static int produce(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct buffer *out = &connection->loop->out;
	size_t room = connection->writing ? 0 : connection->limits->output_soft_max;
	int rv = engine->ops->produce(engine, out, room);

	if (connection->phase == CLOSING) {
		buffer_clear(out);
		return -ECANCELED;
	}
	if (buffer_len(out) > 0) {
		write_out(connection, out);
		buffer_trim(out, OUT_KEEP_BYTES);
	}
	if (rv < 0) {
		connection_close(connection, CONNECTION_CLOSED_ERROR, rv);
	}
	return rv;
}

/* Says FIN; then reads until the peer's, or the linger time is over, so that unread input makes no RST. */
static void finish(struct connection *connection)
{
	connection->phase = LINGERING;
	connection->why = connection->eof ? CONNECTION_CLOSED_PEER : CONNECTION_CLOSED_DONE;
	buffer_free(&connection->kept);
	transport_shutdown(connection->transport);
	if (connection->eof) {
		connection_close(connection, connection->why, 0);
		return;
	}
	transport_pause(connection->transport, false);
	timer_start(timers_of(connection), &connection->timer, connection->limits->linger_ns);
}

static void flush(struct connection *connection)
{
	const struct engine *engine = connection->engine;
	unsigned round = 0;
	bool more;

	if (connection->flushing) {
		return; /* an upcall of its own asked for it */
	}
	connection->flushing = true;
	if (!connection->drain_wanted) {
		loop_unschedule(&connection->task);
	}
	do {
		int rv = produce(connection);

		if (connection->phase != OPEN) {
			connection->flushing = false;
			return;
		}
		more = rv == 1 && !connection->writing;
		if (rv == 0 && !connection->writing && buffer_len(&connection->kept) > 0) {
			more = offer(connection, buffer_data(&connection->kept),
				     buffer_len(&connection->kept));
		}
	} while (more && connection->phase == OPEN && ++round < MAX_ROUNDS);
	connection->flushing = false;
	if (connection->phase != OPEN) {
		return;
	}
	if (more) {
		loop_schedule(connection->loop, &connection->task);
	} else if (!connection->writing && (connection->failed || engine->ops->finished(engine))) {
		finish(connection);
		return;
	}
	update_pause(connection);
}

static void on_task(struct loop_task *task)
{
	struct connection *connection = container_of(task, struct connection, task);
	const struct engine_ops *ops;

	if (connection->phase != OPEN) {
		return;
	}
	ops = connection->engine->ops;
	if (connection->drain_wanted) {
		connection->drain_wanted = false;
		ops->drain(connection->engine, connection->drain_how);
	}
	flush(connection);
}

static void on_wake(void *host)
{
	struct connection *connection = host;

	if (connection->phase == OPEN) {
		loop_schedule(connection->loop, &connection->task);
	}
}

static void on_ready(void *user)
{
	struct connection *connection = user;

	if (connection->phase != DIALLING) {
		return;
	}
	timer_stop(timers_of(connection), &connection->timer);
	connection->engine = connection->events->ready(connection->user, connection);
	if (!connection->engine) {
		connection_close(connection, CONNECTION_CLOSED_ERROR, -ENOMEM);
		return;
	}
	connection->engine->wake = on_wake;
	connection->engine->host = connection;
	connection->phase = OPEN;
	flush(connection);
}

static void on_data(void *user, const uint8_t *bytes, size_t n)
{
	struct connection *connection = user;

	if (connection->meters->received_bytes) {
		counter_add(connection->meters->received_bytes, n);
	}
	if (connection->phase != OPEN) {
		return; /* lingering */
	}
	if (buffer_len(&connection->kept) > 0) {
		if (buffer_append(&connection->kept, bytes, n) < 0) {
			connection_close(connection, CONNECTION_CLOSED_ERROR, -ENOMEM);
		}
		return;
	}
	offer(connection, bytes, n);
	if (connection->phase == OPEN) {
		flush(connection);
	}
}

static void on_drained(void *user)
{
	struct connection *connection = user;

	connection->writing = false;
	if (connection->phase == OPEN) {
		timer_stop(timers_of(connection), &connection->timer);
		flush(connection);
	}
}

static void on_eof(void *user)
{
	struct connection *connection = user;
	struct engine *engine = connection->engine;

	connection->eof = true;
	if (connection->phase == LINGERING) {
		connection_close(connection, connection->why, 0);
	} else if (connection->phase == OPEN) {
		engine->ops->end_of_input(engine);
		flush(connection);
	}
}

static void on_closed(void *user, int err)
{
	struct connection *connection = user;

	if (connection->phase != CLOSING) {
		/* the transport's own doing */
		connection->why = CONNECTION_CLOSED_PEER;
		connection->phase = CLOSING;
	}
	loop_unschedule(&connection->task);
	timer_stop(timers_of(connection), &connection->timer);
	if (connection->engine) {
		connection->engine->wake = NULL;
		connection->engine->ops->release(connection->engine, err);
	}
	buffer_free(&connection->kept);
	if (connection->meters->active) {
		gauge_add(connection->meters->active, -1);
	}
	if (connection->meters->closed[connection->why]) {
		counter_increment(connection->meters->closed[connection->why]);
	}
	connection->events->closed(connection->user, connection, connection->why, err);
	free(connection);
}

static const struct transport_events transport_events = {
	.ready = on_ready,
	.data = on_data,
	.drained = on_drained,
	.eof = on_eof,
	.closed = on_closed,
};

/* Nobody is told of a transport that never got its connection. */
static void on_orphan_closed(void *user, int err)
{
	(void)user;
	(void)err;
}

struct connection *connection_new(struct loop *loop, struct transport *transport,
				  const struct connection_limits *limits,
				  const struct connection_meters *meters,
				  const struct connection_events *events, void *user)
{
	static const struct transport_events orphan = { .closed = on_orphan_closed };
	static const struct connection_meters none;
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		transport_attach(transport, &orphan, NULL);
		transport_close(transport, -ENOMEM);
		return NULL;
	}
	connection->loop = loop;
	connection->transport = transport;
	connection->limits = limits ? limits : &connection_default_limits;
	connection->meters = meters ? meters : &none;
	connection->events = events;
	connection->user = user;
	loop_task_init(&connection->task, on_task);
	timer_init(&connection->timer, on_timer);
	if (connection->limits->connect_ns > 0) {
		timer_start(timers_of(connection), &connection->timer,
			    connection->limits->connect_ns);
	}
	if (connection->meters->active) {
		gauge_add(connection->meters->active, 1);
	}
	transport_attach(transport, &transport_events, connection);
	return connection;
}

struct engine *connection_engine(const struct connection *connection)
{
	return connection->engine;
}

void connection_drain(struct connection *connection, enum engine_drain how)
{
	switch (connection->phase) {
	case DIALLING:
		connection_close(connection, CONNECTION_CLOSED_LOCAL, -ECANCELED);
		break;
	case OPEN:
		connection->drain_wanted = true;
		connection->drain_how = how;
		loop_schedule(connection->loop, &connection->task);
		break;
	default:
		break;
	}
}

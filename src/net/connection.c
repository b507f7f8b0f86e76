/*
 * Why it cannot spin or stall: a flush asks for another only where something
 * moved; what the engine did not take waits in `kept` with the transport
 * paused; what the kernel did not take is in flight, what was produced meanwhile
 * waits in `pending`, and both together bound the room that the engine gets. It
 * is asked even without room, so that its deferred upcalls go out.
 *
 * Who pauses for output: only the side that accepted. If both ends stopped
 * reading because they cannot write, two peers that send much at once would
 * wait for each other for ever; and what a server can make a client queue is
 * little (acknowledgements, which the engine bounds).
 *
 *	DIALLING --ready--> OPEN --finished, all sent--> LINGERING --eof, time--> CLOSING
 *	    |                 |                                                     ^
 *	    +-----------------+----------------- failure, stall --------------------+
 */
#include "net/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "net/loop_p.h"

/* The loop's shared output buffer keeps this much between writes. */
#define OUT_KEEP_BYTES (512 * KIB)

/* Looks at a write in flight, for each write_stall_ns. */
#define STALL_LOOKS 4

const struct connection_limits connection_default_limits = {
	.output_soft_max = 256 * KIB,
	.write_stall_ns = 30 * NS_PER_S,
	.linger_ns = NS_PER_S,
};

enum phase { DIALLING, OPEN, LINGERING, CLOSING }; /* DIALLING: also accepted, but not ready */

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
	struct buffer pending; /* output behind the write in flight */
	size_t outstanding;    /* of the transport, when last looked at */
	int64_t moved_ns;      /* when that last changed */
	enum phase phase;
	enum connection_close_reason why;
	int err;
	bool writing; /* a write is in flight */
	bool more;    /* the engine waits for room */
	bool failed;  /* the engine is done for: close once what it said is out */
	bool eof, eof_told;
	bool drain_wanted; /* by the next flush: the caller may stand in an upcall of the engine */
	enum engine_drain drain_how;
};

static const struct transport_events transport_events;

static struct timers *timers_of(struct connection *connection)
{
	return loop_timers(connection->loop);
}

/* Nothing of ours happens any more but `closed`. */
static void enter_closing(struct connection *connection, enum connection_close_reason why)
{
	connection->phase = CLOSING;
	connection->why = why;
	loop_unschedule(&connection->task);
	timer_stop(timers_of(connection), &connection->timer);
}

void connection_close(struct connection *connection, enum connection_close_reason why, int err)
{
	if (connection->phase == CLOSING) {
		return;
	}
	enter_closing(connection, why);
	transport_close(connection->transport, err);
}

static enum connection_close_reason late_or_broken(int err)
{
	return err == -ETIMEDOUT ? CONNECTION_CLOSED_TIMEOUT : CONNECTION_CLOSED_ERROR;
}

/* The transport has failed by itself; its `closed` follows, or is here. */
static void lost(struct connection *connection, int err)
{
	bool by_peer = err == -ECONNRESET || err == -EPIPE;

	switch (connection->phase) {
	case OPEN: /* ETIMEDOUT: what was sent has waited too long in the kernel */
		enter_closing(connection, by_peer ? CONNECTION_CLOSED_PEER : late_or_broken(err));
		break;
	case DIALLING:
		enter_closing(connection, CONNECTION_CLOSED_ERROR);
		break;
	case LINGERING: /* the outcome stands: it was only waiting for the peer to leave */
		enter_closing(connection, connection->why);
		break;
	default:
		break;
	}
}

/* -- Output -- */

static void watch_write(struct connection *connection)
{
	timer_start(timers_of(connection), &connection->timer,
		    connection->limits->write_stall_ns / STALL_LOOKS);
}

static void check_write(struct connection *connection)
{
	size_t outstanding = transport_outstanding(connection->transport);
	int64_t now = timers_now(timers_of(connection));

	if (outstanding != connection->outstanding) {
		connection->outstanding = outstanding; /* slow, but it moves */
		connection->moved_ns = now;
	} else if (now - connection->moved_ns >= connection->limits->write_stall_ns) {
		connection_close(connection, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
		return;
	}
	watch_write(connection);
}

static void on_timer(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, timer);

	switch (connection->phase) {
	case DIALLING:
		connection_close(connection, CONNECTION_CLOSED_TIMEOUT, -ETIMEDOUT);
		break;
	case OPEN:
		check_write(connection);
		break;
	default:
		connection_close(connection, connection->why, connection->err);
	}
}

/* `out` is empty afterwards. */
static void write_out(struct connection *connection, struct buffer *out)
{
	size_t n = buffer_len(out);
	int rv = transport_write(connection->transport, out);

	if (rv < 0) {
		buffer_clear(out);
		lost(connection, rv);
		return;
	}
	if (connection->meters->sent_bytes) {
		counter_add(connection->meters->sent_bytes, n);
	}
	if (rv == 1) {
		connection->writing = true;
		connection->outstanding = transport_outstanding(connection->transport);
		connection->moved_ns = timers_now(timers_of(connection));
		watch_write(connection);
	}
}

/* Behind the write in flight. `out` is empty afterwards. */
static void put_pending(struct connection *connection, struct buffer *out)
{
	int rv = 0;

	if (buffer_len(&connection->pending) == 0) {
		buffer_swap(&connection->pending, out);
		return;
	}
	rv = buffer_append(&connection->pending, buffer_data(out), buffer_len(out));
	buffer_clear(out);
	if (rv < 0) {
		connection_close(connection, CONNECTION_CLOSED_ERROR, rv);
	}
}

static size_t room_of(const struct connection *connection)
{
	size_t max = connection->limits->output_soft_max;
	size_t queued = buffer_len(&connection->pending);

	if (connection->writing) {
		queued += transport_unsent(connection->transport);
	}
	return queued < max ? max - queued : 0;
}

/* What the engine has to say, in one write. */
static void produce(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct buffer *out = &connection->loop->out;
	int rv = engine->ops->produce(engine, out, room_of(connection));

	connection->more = rv > 0;
	if (connection->phase != OPEN) {
		buffer_clear(out); /* an upcall closed it */
	} else if (buffer_len(out) > 0) {
		if (connection->writing) {
			put_pending(connection, out);
		} else {
			write_out(connection, out);
		}
	}
	buffer_trim(out, OUT_KEEP_BYTES);
	if (rv < 0) {
		connection_close(connection, late_or_broken(rv), rv);
	}
}

/* -- Input -- */

/* The engine has said more than the peer takes. */
static bool is_full(const struct connection *connection)
{
	return connection->writing && room_of(connection) == 0;
}

static void update_pause(struct connection *connection)
{
	bool full = !connection->transport->dialled && is_full(connection);

	transport_pause(connection->transport, full || buffer_len(&connection->kept) > 0);
}

/* The bytes that the engine took; once it has failed it takes, and ignores, all. */
static size_t receive(struct connection *connection, const uint8_t *bytes, size_t n)
{
	struct engine *engine = connection->engine;
	ssize_t taken;

	if (connection->failed) {
		return n;
	}
	taken = engine->ops->receive(engine, bytes, n);
	if (taken < 0) {
		connection->failed = true;
		connection->err = (int)taken;
		return n;
	}
	return (size_t)taken;
}

/* True: the engine took some of what it had left before, or heard that no more comes. */
static bool offer_kept(struct connection *connection)
{
	struct buffer *kept = &connection->kept;
	size_t n = buffer_len(kept), taken;

	if (n > 0) {
		taken = receive(connection, buffer_data(kept), n);
		buffer_consume(kept, taken);
		if (taken < n) {
			return taken > 0;
		}
		buffer_free(kept);
		return true;
	}
	if (connection->eof && !connection->eof_told) {
		connection->eof_told = true;
		connection->engine->ops->end_of_input(connection->engine);
		return true;
	}
	return false;
}

/* -- Flush: all that happens between a cause and its one write -- */

/*
 * Says FIN; then reads until the peer's, or the linger time is over, so that
 * unread input makes no RST.
 */
static void finish(struct connection *connection)
{
	connection->phase = LINGERING;
	connection->why = connection->failed ? CONNECTION_CLOSED_ERROR
			  : connection->eof  ? CONNECTION_CLOSED_PEER
					     : CONNECTION_CLOSED_DONE;
	buffer_free(&connection->kept);
	transport_shutdown(connection->transport);
	if (connection->eof) {
		connection_close(connection, connection->why, connection->err);
		return;
	}
	transport_pause(connection->transport, false);
	timer_start(timers_of(connection), &connection->timer, connection->limits->linger_ns);
}

static void flush(struct connection *connection)
{
	const struct engine *engine = connection->engine;
	bool again;

	loop_unschedule(&connection->task);
	if (connection->drain_wanted) {
		connection->drain_wanted = false;
		engine->ops->drain(connection->engine, connection->drain_how);
	}
	if (connection->phase == OPEN) {
		produce(connection);
	}
	if (connection->phase != OPEN) {
		return; /* an upcall closed it, or it is lost */
	}
	again = connection->more && room_of(connection) > 0;
	if (!is_full(connection)) {
		again = offer_kept(connection) || again;
		if (connection->phase != OPEN) {
			return; /* an upcall closed it */
		}
	}
	if (again) { /* others have their turn first */
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

	if (connection->phase == OPEN) {
		flush(connection);
	}
}

static void on_wake(void *host)
{
	struct connection *connection = host;

	if (connection->phase == OPEN) {
		loop_schedule(connection->loop, &connection->task);
	}
}

/* -- What the transport says -- */

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
	if (connection->phase == DIALLING) { /* else it was closed meanwhile */
		connection->phase = OPEN;
		flush(connection);
	}
}

static void on_data(void *user, const uint8_t *bytes, size_t n)
{
	struct connection *connection = user;
	size_t taken = 0;

	if (connection->meters->received_bytes) {
		counter_add(connection->meters->received_bytes, n);
	}
	if (connection->phase != OPEN) {
		return; /* lingering */
	}
	if (buffer_len(&connection->kept) == 0) {
		taken = receive(connection, bytes, n);
	}
	if (connection->phase == OPEN && taken < n &&
	    buffer_append(&connection->kept, bytes + taken, n - taken) < 0) {
		connection_close(connection, CONNECTION_CLOSED_ERROR, -ENOMEM);
	}
	if (connection->phase == OPEN) {
		flush(connection);
	}
}

static void on_drained(void *user)
{
	struct connection *connection = user;

	connection->writing = false;
	if (connection->phase != OPEN) {
		return;
	}
	timer_stop(timers_of(connection), &connection->timer);
	if (buffer_len(&connection->pending) > 0) {
		write_out(connection, &connection->pending);
		buffer_free(&connection->pending);
	}
	if (connection->phase == OPEN) {
		flush(connection);
	}
}

static void on_eof(void *user)
{
	struct connection *connection = user;

	connection->eof = true;
	if (connection->phase == LINGERING) {
		connection_close(connection, connection->why, connection->err);
	} else if (connection->phase == OPEN) {
		flush(connection); /* the engine hears of it when it has taken all input */
	}
}

static void on_closed(void *user, int err)
{
	struct connection *connection = user;

	if (connection->phase == LINGERING) {
		err = connection->err;
	}
	lost(connection, err);
	if (connection->engine) {
		connection->engine->wake = NULL;
		connection->engine->ops->release(connection->engine, err);
	}
	buffer_free(&connection->kept);
	buffer_free(&connection->pending);
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
	if (connection->phase == DIALLING && connection->transport->dialled) {
		connection_close(connection, CONNECTION_CLOSED_LOCAL, -ECANCELED);
	} else if (connection->phase == DIALLING || connection->phase == OPEN) {
		connection->drain_wanted = true;
		connection->drain_how = how;
		if (connection->phase == OPEN) {
			loop_schedule(connection->loop, &connection->task);
		}
	}
}

/*
 * The happy path: the host gives bytes to receive(), nghttp2 turns them into
 * callbacks (events.c), those into upcalls, and the layer above submits its
 * answers (stream.c) to nghttp2's queues. produce() drains the queues.
 *
 *	HANDSHAKE --SETTINGS--> RUNNING --drain--> DRAINING --PING ack--> DRAINED
 *	    |                                         ^   |                  |
 *	    +-----------------drain-------------------+   +--- 5 s --------->+
 *
 * What can fail: a peer that speaks no HTTP/2 (it gets no byte), one that breaks
 * the protocol (nghttp2 queues a GOAWAY, and the session finishes), one that
 * stays silent (the deadline), and memory (fatal for the connection).
 */
#include "http2/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http2/session_p.h"

/* How long a draining server waits for the preface of a peer that has sent nothing yet. */
#define DRAIN_SILENT_NS NS_PER_S

/* The connection preface of RFC 9113 3.4. */
#define PREFACE_BYTES 24

#define MAX_STREAM_ID      INT32_MAX
#define GOAWAY_FIXED_BYTES 8

/* gRPC: what clients may ask of servers at most, and a server asks of clients. */
#define CLIENT_KEEPALIVE_MIN_NS (10 * NS_PER_S)
#define SERVER_KEEPALIVE_NS     (2 * 60 * 60 * NS_PER_S)

const struct http2_limits http2_default_limits = HTTP2_DEFAULT_LIMITS;

static const uint8_t drain_ping[8] = { 'd', 'r', 'a', 'i', 'n', 'i', 'n', 'g' };

const char *http2_error_name(uint32_t code)
{
	static const char *const names[] = {
#define X(name, number) [number] = #name,
		HTTP2_ERRORS(X)
#undef X
	};

	return code < ARRAY_SIZE(names) ? names[code] : "other";
}

void http2_session_terminate(struct http2_session *session, uint32_t code)
{
	if (nghttp2_session_terminate_session(session->nghttp2, code) != 0) {
		http2_session_fail(session);
	}
	session->phase = HTTP2_DRAINED;
	timer_stop(session->timers, &session->deadline);
}

/* Whoever wants to hear it hears it from deliver(). */
static void tell_draining(struct http2_session *session)
{
	list_for_each (&session->open, node) {
		struct http2_stream *stream = container_of(node, struct http2_stream, node);

		if (stream->events->draining) {
			stream->draining_due = true;
			http2_stream_due(stream);
		}
	}
}

void http2_session_final_goaway(struct http2_session *session)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(session->nghttp2);
	const char *why = session->drain_words;

	timer_stop(session->timers, &session->deadline);
	session->phase = HTTP2_DRAINED;
	if (nghttp2_submit_goaway(session->nghttp2, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
				  (const uint8_t *)why, why ? strlen(why) : 0) != 0) {
		http2_session_fail(session);
	}
	if (session->server) {
		tell_draining(session);
	}
	http2_session_wake(session);
}

void http2_session_drain_answered(struct http2_session *session, const uint8_t *opaque)
{
	if (session->phase == HTTP2_DRAINING &&
	    memcmp(opaque, drain_ping, sizeof(drain_ping)) == 0) {
		http2_session_final_goaway(session);
	}
}

static void on_deadline(struct timer *timer)
{
	struct http2_session *session = container_of(timer, struct http2_session, deadline);

	if (session->phase == HTTP2_DRAINING && session->settings_seen) {
		http2_session_final_goaway(session);
		return;
	}
	if (session->phase == HTTP2_HANDSHAKE) {
		meter_count(session->meters->handshake_timeouts);
	}
	session->mute = true;
	http2_session_wake(session);
}

static void deliver_due(struct http2_stream *stream)
{
	bool writable = stream->writable_due, woken = stream->woken_due;
	bool draining = stream->draining_due;

	stream->writable_due = stream->woken_due = stream->draining_due = false;
	if (writable && http2_stream_hears(stream)) {
		stream->events->writable(stream);
	}
	if (woken && http2_stream_hears(stream)) {
		stream->events->woken(stream);
	}
	if (draining && http2_stream_hears(stream)) {
		stream->events->draining(stream);
	}
}

/* Upcalls that had to wait until no function of the receiver's was on the stack. */
static void deliver(struct http2_session *session)
{
	struct list *node;

	while ((node = list_pop(&session->closed))) {
		struct http2_stream *stream = container_of(node, struct http2_stream, node);

		session->n_closed--;
		stream->session = NULL;
		stream->events->closed(stream, stream->close_code);
	}
	while ((node = list_pop(&session->due))) {
		deliver_due(container_of(node, struct http2_stream, due));
	}
	if (session->ids_ran_out) {
		session->ids_ran_out = false;
		if (session->events->goaway) {
			session->events->goaway(session->user, MAX_STREAM_ID, HTTP2_NO_ERROR,
						STR("no stream ids are left"));
		}
	}
	if (session->room_changed && session->events->room) {
		session->room_changed = false;
		session->events->room(session->user);
	}
}

static ssize_t receive(struct engine *engine, const uint8_t *bytes, size_t n)
{
	struct http2_session *session = http2_session_of(engine);
	ssize_t taken;

	if (session->abandoned) {
		return (ssize_t)n;
	}
	if (session->mute || session->condemned) {
		return -EPROTO;
	}
	session->busy = true;
	session->now_ns = 0;
	if (!session->settings_seen && session->events->heard) {
		session->events->heard(session->user, (struct bytes){ bytes, n });
	}
	taken = http2_session_input(session, bytes, n);
	http2_guard_read(session);
	session->busy = false;
	if (session->unconsumed > 0) {
		(void)nghttp2_session_consume_connection(session->nghttp2, session->unconsumed);
		session->unconsumed = 0;
	}
	return taken < 0 ? taken : session->condemned ? -EPROTO : taken;
}

static void end_of_input(struct engine *engine)
{
	struct http2_session *session = http2_session_of(engine);

	/*
	 * A peer that half-closes its connection can neither acknowledge nor give
	 * window any more: its calls are given up (docs/ARCHITECTURE.md).
	 */
	session->mute = true;
}

/* Written by hand: it comes before what nghttp2 has queued, and needs no memory of its. */
static int say_last_words(struct http2_session *session, struct buffer *out)
{
	uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(session->nghttp2);
	uint8_t length = (uint8_t)strlen(session->last_words);
	const uint8_t frame[] = {
		0,
		0,
		(uint8_t)(GOAWAY_FIXED_BYTES + length),
		NGHTTP2_GOAWAY,
		0,
		0,
		0,
		0,
		0,
		(uint8_t)(last >> 24),
		(uint8_t)(last >> 16),
		(uint8_t)(last >> 8),
		(uint8_t)last,
		0,
		0,
		0,
		session->last_code,
	};

	session->mute = true;
	if (buffer_append(out, frame, sizeof(frame)) < 0 ||
	    buffer_append(out, session->last_words, length) < 0) {
		return -ENOMEM;
	}
	http2_sent_goaway(session, session->last_code);
	return 0;
}

/* nghttp2 still knows them, and must be asked for nothing more. */
static void close_all(struct http2_session *session, enum http2_origin origin)
{
	while (!list_empty(&session->open)) {
		struct http2_stream *stream =
			container_of(session->open.next, struct http2_stream, node);

		stream->origin = origin;
		http2_stream_detach(stream, HTTP2_CANCEL);
	}
}

void http2_session_abandon(struct http2_session *session)
{
	assert(session->server);
	session->abandoned = session->deaf = true;
	engine_wake(&session->engine); /* even if busy: it may be too late for this production */
}

static bool finished(const struct engine *engine)
{
	const struct http2_session *session = (const void *)engine; /* its first member */

	if (session->mute) {
		return true;
	}
	if (nghttp2_session_want_write(session->nghttp2) || !list_empty(&session->closed)) {
		return false;
	}
	if (session->n_open > 0) {
		/* After a GOAWAY for an error nghttp2 reads no more. */
		return !nghttp2_session_want_read(session->nghttp2);
	}
	return session->phase == HTTP2_DRAINED || session->goaway_received ||
	       (session->phase != HTTP2_DRAINING && !nghttp2_session_want_read(session->nghttp2));
}

/* Calls that nothing can be said of any more are over now, and not when the peer is gone. */
static void end_if_over(struct http2_session *session)
{
	if (session->server && session->n_open > 0 && finished(&session->engine)) {
		close_all(session, HTTP2_CLOSED_TRANSPORT);
		deliver(session);
	}
}

static int produce(struct engine *engine, struct buffer *out, size_t room)
{
	struct http2_session *session = http2_session_of(engine);
	bool full = false;
	int rv = session->fatal;

	session->busy = true;
	session->now_ns = 0;
	deliver(session);
	session->now_ns = 0; /* a request that was just made is not sent before that */
	/* A server speaks once it has heard the whole preface. */
	while (rv == 0 && !session->mute && session->preface_left == 0) {
		const uint8_t *bytes;
		ssize_t n;

		if (session->condemned) {
			rv = say_last_words(session, out);
			break;
		}
		full = buffer_len(out) >= room;
		if (full) {
			break;
		}
#ifdef HAVE_NGHTTP2_SESSION_MEM_RECV2
		n = nghttp2_session_mem_send2(session->nghttp2, &bytes);
#else
		n = nghttp2_session_mem_send(session->nghttp2, &bytes);
#endif
		if (n > 0 && buffer_append(out, bytes, (size_t)n) == 0) {
			continue;
		}
		if (n != 0) {
			rv = -ENOMEM;
			break;
		}
		if (list_empty(&session->closed) && list_empty(&session->due)) {
			break;
		}
		deliver(session); /* and what that submitted */
		session->now_ns = 0;
	}
	session->now_ns = 0; /* what leaves now ends now */
	if (session->abandoned && !session->mute) {
		session->mute = true;
		close_all(session, HTTP2_CLOSED_ABANDONED);
	}
	deliver(session);
	if (session->condemned && session->preface_left > 0) {
		session->mute = true;
	}
	if (rv == 0 && full && !session->mute) {
		rv = nghttp2_session_want_write(session->nghttp2) ? 1 : 0;
	}
	end_if_over(session);
	http2_guard_produced(session, full);
	session->busy = false;
	return rv;
}

/*
 * RFC 9113 6.8: first GOAWAY with the highest id and a PING; the final one when
 * that was answered.
 */
void http2_session_drain(struct http2_session *session, const char *why)
{
	bool silent = !session->settings_seen;

	if (session->phase >= HTTP2_DRAINING) {
		return;
	}
	session->phase = HTTP2_DRAINING;
	session->drain_words = why;
	if (!session->server) {
		http2_session_final_goaway(session);
		return;
	}
	(void)nghttp2_submit_shutdown_notice(session->nghttp2);
	(void)nghttp2_submit_ping(session->nghttp2, NGHTTP2_FLAG_NONE, drain_ping);
	timer_start(session->timers, &session->deadline,
		    silent ? DRAIN_SILENT_NS : session->limits->drain_ping_timeout_ns);
	http2_session_wake(session);
}

static void drain(struct engine *engine, enum engine_drain how)
{
	struct http2_session *session = http2_session_of(engine);

	assert(!session->busy);
	if (how == ENGINE_DRAIN_GRACEFUL) {
		http2_session_drain(session, NULL);
	} else if (session->preface_left > 0) {
		session->mute = true;
	} else {
		http2_session_terminate(session, NGHTTP2_NO_ERROR);
	}
	http2_session_wake(session);
}

static void release(struct engine *engine, int err)
{
	struct http2_session *session = http2_session_of(engine);

	session->busy = true;
	session->mute = true;
	session->now_ns = 0;
	timer_stop(session->timers, &session->deadline);
	timer_stop(session->timers, &session->guard.timer);
	close_all(session, session->abandoned ? HTTP2_CLOSED_ABANDONED : HTTP2_CLOSED_TRANSPORT);
	deliver(session);
	nghttp2_session_del(session->nghttp2);
	session->events->closed(session->user, err);
	free(session);
}

static const struct engine_ops ops = {
	.receive = receive,
	.end_of_input = end_of_input,
	.produce = produce,
	.finished = finished,
	.drain = drain,
	.release = release,
};

/*
 * nghttp2 makes about ten allocations of a few small sizes for each request. It
 * gets them from the pool, and whoever replaces the allocator of this library
 * (the tests, which make each allocation fail) replaces that of nghttp2 too.
 */
static int nghttp2_new(struct http2_session *session, struct pool *pool)
{
	nghttp2_mem memory = { pool, pool_malloc, pool_free, pool_calloc, pool_realloc };
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int rv = http2_callbacks_new(session->server, &callbacks);

	if (rv == 0) {
		rv = nghttp2_option_new(&option);
	}
	if (rv == 0) {
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_option_set_no_closed_streams(option, 1);
		nghttp2_option_set_max_outbound_ack(option, HTTP2_MAX_QUEUED_ACKS);
		/* gRPC: spaces around a value are no error, and no part of it */
		nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
		nghttp2_option_set_stream_reset_rate_limit(option, 10 * HTTP2_RESET_BURST,
							   10 * HTTP2_RESETS_PER_S);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_GLITCH_RATE_LIMIT
		nghttp2_option_set_glitch_rate_limit(option, 10 * HTTP2_GLITCH_BURST,
						     10 * HTTP2_GLITCHES_PER_S);
#endif
		rv = session->server ? nghttp2_session_server_new3(&session->nghttp2, callbacks,
								   session, option, &memory)
				     : nghttp2_session_client_new3(&session->nghttp2, callbacks,
								   session, option, &memory);
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return rv == 0 ? 0 : -ENOMEM;
}

static int submit_settings(struct http2_session *session)
{
	const struct http2_limits *limits = session->limits;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->max_concurrent_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->max_header_list_bytes },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	/* A server sends no ENABLE_PUSH; a client's streams are none of the server's making. */
	const nghttp2_settings_entry *first = session->server ? settings : settings + 1;
	int rv = nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, first, 3);

	if (rv == 0) {
		rv = nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
							   (int32_t)limits->connection_window);
	}
	return rv == 0 ? 0 : -ENOMEM;
}

static int64_t keepalive_of(const struct http2_session *session)
{
	int64_t time_ns = session->limits->keepalive_time_ns;

	if (time_ns == 0) {
		return session->server ? SERVER_KEEPALIVE_NS : HTTP2_NEVER;
	}
	return session->server ? time_ns : MAX(time_ns, CLIENT_KEEPALIVE_MIN_NS);
}

struct http2_session *http2_session_new(const struct http2_options *options,
					const struct http2_session_events *events, void *user)
{
	static const struct http2_meters none;
	struct http2_session *session = calloc(1, sizeof(*session));

	if (!session) {
		return NULL;
	}
	session->engine.ops = &ops;
	session->events = events;
	session->user = user;
	session->server = options->server;
	session->limits = options->limits ? options->limits : &http2_default_limits;
	session->meters = options->meters ? options->meters : &none;
	session->timers = options->timers;
	session->keepalive_ns = keepalive_of(session);
	session->preface_left = options->server ? PREFACE_BYTES : 0;
	http2_ledger_init(&session->ledger, session->server);
	list_init(&session->open);
	list_init(&session->closed);
	list_init(&session->due);
	timer_init(&session->deadline, on_deadline);
	if (nghttp2_new(session, options->pool) < 0) {
		goto no_session;
	}
	if (submit_settings(session) < 0) {
		goto no_settings;
	}
	timer_start(session->timers, &session->deadline, session->limits->handshake_timeout_ns);
	http2_guard_init(session, options->random);
	return session;

no_settings:
	nghttp2_session_del(session->nghttp2);
no_session:
	free(session);
	return NULL;
}

struct engine *http2_session_engine(struct http2_session *session)
{
	return &session->engine;
}

int64_t http2_session_now(struct http2_session *session)
{
	if (session->now_ns == 0) {
		session->now_ns = timers_now(session->timers);
	}
	return session->now_ns;
}

static uint32_t peer_max_streams(const struct http2_session *session)
{
	return nghttp2_session_get_remote_settings(session->nghttp2,
						   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

/* As long as the peer's limit allows. */
static bool takes_streams(const struct http2_session *session)
{
	return !session->mute && !session->condemned && session->phase < HTTP2_DRAINING &&
	       !session->goaway_received && nghttp2_session_check_request_allowed(session->nghttp2);
}

size_t http2_session_room(const struct http2_session *session)
{
	uint32_t max = peer_max_streams(session);

	return max > session->n_open && takes_streams(session) ? max - session->n_open : 0;
}

bool http2_session_full(const struct http2_session *session)
{
	return peer_max_streams(session) <= session->n_open && takes_streams(session);
}

enum http2_error http2_session_last_code(const struct http2_session *session)
{
	return (enum http2_error)session->last_code;
}

uint32_t http2_session_peer_max_header_list(const struct http2_session *session)
{
	return nghttp2_session_get_remote_settings(session->nghttp2,
						   NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
}

const char *http2_library_version(void)
{
	return nghttp2_version(0)->version_str;
}

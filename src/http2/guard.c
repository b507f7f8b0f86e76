#include "http2/guard.h"

#include <errno.h>

#include "base/random.h"
#include "http2/session_p.h"

#define NEVER INT64_MAX

/* Looks at open streams for each stall_timeout_ns. */
#define STALL_LOOKS 4

/* The age of a connection is drawn from this share of its limit below to as much above. */
#define AGE_JITTER 0.1

static const uint8_t keepalive_ping[8] = { 'k', 'e', 'e', 'p', 'a', 'l', 'i', 'v' };

/* a + b, where both may be as good as infinite. */
static int64_t later(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? NEVER : sum;
}

static void watch_until(struct http2_session *session, int64_t due_ns)
{
	struct timer *timer = &session->guard.timer;

	if (due_ns != NEVER && !session->mute && (!timer_active(timer) || timer->due_ns > due_ns)) {
		timer_start_at(session->timers, timer, due_ns);
	}
}

/*
 * A budget is the instant at which it is whole again: spending puts that off, and
 * once it is further away than `burst` units take to come back, it is overdrawn.
 */
static bool overdrawn(int64_t *budget, int64_t now_ns, uint32_t n, int64_t per_s, int64_t burst)
{
	int64_t each_ns = NS_PER_S / per_s;

	*budget = MAX(*budget, now_ns) + n * each_ns;
	return *budget - now_ns > burst * each_ns;
}

static void exceed(struct http2_session *session, enum http2_bound bound, enum http2_error code,
		   const char *why)
{
	if (!session->condemned) {
		http2_session_count(session, bound);
		http2_session_condemn(session, code, why);
	}
}

static void spend_reset(struct http2_session *session)
{
	if (overdrawn(&session->guard.resets_ns, http2_session_now(session), 1, HTTP2_RESETS_PER_S,
		      HTTP2_RESET_BURST)) {
		exceed(session, HTTP2_BOUND_RESETS, HTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
	}
}

static void spend_glitches(struct http2_session *session, uint32_t n)
{
	if (overdrawn(&session->guard.glitches_ns, http2_session_now(session), n,
		      HTTP2_GLITCHES_PER_S, HTTP2_GLITCH_BURST)) {
		exceed(session, HTTP2_BOUND_GLITCHES, HTTP2_ENHANCE_YOUR_CALM,
		       "too_many_useless_frames");
	}
}

void http2_guard_stream_reset(struct http2_session *session, const struct http2_stream *stream)
{
	int64_t age_ns = http2_session_now(session) - stream->opened_ns;
	bool begun = stream->peer_ended || stream->submitted;

	if (session->server && (age_ns == 0 || (!begun && age_ns < HTTP2_RESET_PREMATURE_NS))) {
		spend_reset(session);
	}
}

void http2_guard_sent_reset(struct http2_session *session, uint32_t code)
{
	switch (code) {
	case HTTP2_PROTOCOL_ERROR:
	case HTTP2_FLOW_CONTROL_ERROR:
	case HTTP2_STREAM_CLOSED:
	case HTTP2_FRAME_SIZE_ERROR:
	case HTTP2_COMPRESSION_ERROR:
	case HTTP2_ENHANCE_YOUR_CALM:
		spend_reset(session);
		break;
	case HTTP2_REFUSED_STREAM:
		spend_glitches(session, 1);
		break;
	default: /* the layer above had its reasons */
		break;
	}
}

/* gRPC: the keepalive of a client may not come too often, or it floods. */
void http2_guard_pinged(struct http2_session *session)
{
	struct http2_guard *guard = &session->guard;
	int64_t now_ns = http2_session_now(session), last_ns = guard->ping_ns;
	int64_t gap_ns =
		session->n_open > 0 ? session->limits->keepalive_min_time_ns : HTTP2_PING_IDLE_NS;

	if (!session->server) {
		return; /* the ledger counts them */
	}
	guard->ping_ns = now_ns;
	if (guard->sent) {
		guard->sent = false;
		guard->strikes = 0;
		return;
	}
	if (last_ns == 0 || now_ns - last_ns >= gap_ns) {
		return;
	}
	if (++guard->strikes > HTTP2_PING_STRIKES) {
		exceed(session, HTTP2_BOUND_PINGS, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
	}
}

/* -- What is unfinished -- */

void http2_guard_read(struct http2_session *session)
{
	struct http2_guard *guard = &session->guard;
	struct http2_ledger *ledger = &session->ledger;

	guard->read_ns = http2_session_now(session);
	if (ledger->unheard > 0) {
		http2_ledger_settle(ledger);
	}
	if (ledger->useless > 0) {
		spend_glitches(session, ledger->useless);
		ledger->useless = 0;
	}
	if (!http2_ledger_unfinished(ledger)) {
		guard->frame_ns = 0;
		return;
	}
	/* DATA that comes in pieces is of use piece by piece; anything else only as a whole. */
	if (guard->frame_ns == 0 || guard->unit != ledger->units ||
	    (ledger->type == NGHTTP2_DATA && ledger->have == 0)) {
		guard->frame_ns = guard->read_ns;
		guard->unit = ledger->units;
		watch_until(session, later(guard->frame_ns, session->limits->frame_timeout_ns));
	}
}

void http2_guard_produced(struct http2_session *session, bool starved)
{
	struct http2_guard *guard = &session->guard;

	if (guard->starved && !starved) { /* the peer is heard again only now */
		guard->read_ns = http2_session_now(session);
		guard->frame_ns = guard->frame_ns ? guard->read_ns : 0;
	}
	guard->starved = starved;
}

/*
 * Each of these acts if its time has come, and says when it wants to look again.
 */

static int64_t look_at_frame(struct http2_session *session, int64_t now_ns)
{
	struct http2_guard *guard = &session->guard;
	int64_t due_ns = later(guard->frame_ns, session->limits->frame_timeout_ns);

	if (guard->frame_ns == 0) {
		return NEVER;
	}
	if (now_ns < due_ns) {
		return due_ns;
	}
	if (guard->starved) {
		guard->frame_ns = now_ns;
		return later(now_ns, session->limits->frame_timeout_ns);
	}
	exceed(session, HTTP2_BOUND_FRAME_TIMEOUT, HTTP2_ENHANCE_YOUR_CALM, "frame_timeout");
	return NEVER;
}

/* It has something to say, and the peer's window does not let it. */
static bool is_held(struct http2_session *session, const struct http2_stream *stream)
{
	return buffer_len(&stream->out) > 0 && stream->submitted &&
	       (nghttp2_session_get_remote_window_size(session->nghttp2) <= 0 ||
		nghttp2_session_get_stream_remote_window_size(session->nghttp2, stream->id) <= 0);
}

static int64_t look_at_streams(struct http2_session *session, int64_t now_ns)
{
	struct http2_guard *guard = &session->guard;

	if (guard->look_ns == 0 || now_ns < guard->look_ns) {
		return guard->look_ns == 0 ? NEVER : guard->look_ns;
	}
	list_for_each_safe (&session->open, node) {
		struct http2_stream *stream = container_of(node, struct http2_stream, node);

		if (!is_held(session, stream)) {
			stream->stalls = 0;
		} else if (++stream->stalls > STALL_LOOKS) {
			http2_session_count(session, HTTP2_BOUND_SLOW_READ);
			http2_stream_reset(stream, HTTP2_ENHANCE_YOUR_CALM);
		}
	}
	if (session->n_open == 0) {
		guard->look_ns = 0; /* until a stream opens */
		return NEVER;
	}
	guard->look_ns = later(now_ns, session->limits->stall_timeout_ns / STALL_LOOKS);
	return guard->look_ns;
}

static int64_t look_at_peer(struct http2_session *session, int64_t now_ns)
{
	struct http2_guard *guard = &session->guard;
	int64_t due_ns, since_ns;

	if (session->keepalive_ns == NEVER) {
		return NEVER;
	}
	if (session->server && guard->starved) {
		guard->read_ns = now_ns; /* nobody listens to it, and the host watches its output */
	}
	if (guard->read_ns > guard->probe_ns) {
		guard->probe_ns = 0;
	}
	since_ns = guard->read_ns;
	if (!session->server && !session->limits->keepalive_without_calls) {
		if (session->n_open == 0) {
			guard->probe_ns = 0;
			return NEVER;
		}
		since_ns = MAX(since_ns, guard->change_ns);
	}
	if (guard->probe_ns != 0) {
		due_ns = later(guard->probe_ns, session->limits->keepalive_timeout_ns);
		if (now_ns < due_ns) {
			return due_ns;
		}
		http2_session_count(session, HTTP2_BOUND_KEEPALIVE);
		session->fatal = -ETIMEDOUT;
		http2_session_wake(session);
		return NEVER;
	}
	due_ns = later(since_ns, session->keepalive_ns);
	if (now_ns < due_ns) {
		return due_ns;
	}
	if (nghttp2_submit_ping(session->nghttp2, NGHTTP2_FLAG_NONE, keepalive_ping) != 0) {
		http2_session_fail(session);
	}
	http2_session_wake(session);
	guard->probe_ns = now_ns;
	return later(now_ns, session->limits->keepalive_timeout_ns);
}

static int64_t look_at_idle(struct http2_session *session, int64_t now_ns)
{
	int64_t due_ns = later(session->guard.change_ns, session->limits->max_idle_ns);

	if (!session->server || session->limits->max_idle_ns == 0 || session->n_open > 0 ||
	    session->phase >= HTTP2_DRAINING) {
		return NEVER;
	}
	if (now_ns < due_ns) {
		return due_ns;
	}
	http2_session_count(session, HTTP2_BOUND_IDLE);
	http2_session_drain(session, "max_idle");
	return NEVER;
}

static int64_t look_at_age(struct http2_session *session, int64_t now_ns)
{
	struct http2_guard *guard = &session->guard;
	int64_t grace_ns = session->limits->max_age_grace_ns;

	if (guard->age_ns == 0 || now_ns < guard->age_ns) {
		return guard->age_ns == 0 ? NEVER : guard->age_ns;
	}
	guard->age_ns = 0;
	if (guard->aged) {
		exceed(session, HTTP2_BOUND_AGE_GRACE, HTTP2_NO_ERROR, "max_age");
		return NEVER;
	}
	if (session->phase >= HTTP2_DRAINING) {
		return NEVER; /* it is about to end anyway */
	}
	http2_session_count(session, HTTP2_BOUND_AGE);
	http2_session_drain(session, "max_age");
	guard->aged = true;
	guard->age_ns = grace_ns == 0 ? 0 : later(now_ns, grace_ns);
	return guard->age_ns == 0 ? NEVER : guard->age_ns;
}

static void on_timer(struct timer *timer)
{
	struct http2_session *session = container_of(timer, struct http2_session, guard.timer);
	int64_t now_ns = timers_now(session->timers);
	static int64_t (*const looks[])(struct http2_session *, int64_t) = {
		look_at_frame, look_at_streams, look_at_peer, look_at_idle, look_at_age,
	};

	session->now_ns = now_ns;
	if (session->guard.starved) {
		http2_session_wake(session); /* perhaps it is no longer: the host says so */
	}
	for (size_t i = 0; i < ARRAY_SIZE(looks) && !session->condemned; i++) {
		watch_until(session, looks[i](session, now_ns));
	}
}

/* -- The connection's course -- */

void http2_guard_init(struct http2_session *session, struct random *random)
{
	struct http2_guard *guard = &session->guard;
	const struct http2_limits *limits = session->limits;
	int64_t now_ns = timers_now(session->timers);

	timer_init(&guard->timer, on_timer);
	guard->read_ns = guard->change_ns = now_ns;
	if (session->server || limits->keepalive_without_calls) {
		watch_until(session, later(now_ns, session->keepalive_ns));
	}
	if (!session->server) {
		return;
	}
	if (limits->max_age_ns > 0) {
		double spread = random ? AGE_JITTER * (2 * random_unit(random) - 1) : 0;

		guard->age_ns =
			later(now_ns,
			      limits->max_age_ns + (int64_t)(spread * (double)limits->max_age_ns));
		watch_until(session, guard->age_ns);
	}
	if (limits->max_idle_ns > 0) {
		watch_until(session, later(now_ns, limits->max_idle_ns));
	}
}

void http2_guard_busy(struct http2_session *session)
{
	struct http2_guard *guard = &session->guard;

	if (session->server && guard->look_ns == 0 && session->limits->stall_timeout_ns > 0) {
		guard->look_ns = later(http2_session_now(session),
				       session->limits->stall_timeout_ns / STALL_LOOKS);
		watch_until(session, guard->look_ns);
	}
	if (!session->server && session->keepalive_ns != NEVER) {
		guard->change_ns = timers_now(session->timers);
		watch_until(session, later(guard->change_ns, session->keepalive_ns));
	}
}

void http2_guard_idle(struct http2_session *session)
{
	struct http2_guard *guard = &session->guard;

	if (session->server && session->limits->max_idle_ns > 0) {
		guard->change_ns = timers_now(session->timers);
		watch_until(session, later(guard->change_ns, session->limits->max_idle_ns));
	}
}

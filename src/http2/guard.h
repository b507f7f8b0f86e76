/*
 * The budgets of one connection against a peer that abuses it, and the clocks of
 * a connection that runs: keepalive, idle, age. For the files of http2/ only.
 *
 * A bound that is reached ends the connection with a GOAWAY, or one stream with
 * RST_STREAM, and is counted (enum http2_bound). Nothing here ends anything from
 * inside nghttp2: the session is condemned, and acts once nghttp2 has returned.
 *
 * One timer for all clocks. It is set to the earliest of them and not moved when
 * that is put off: it fires, finds nothing due, and is set anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/timers.h"

struct http2_session;
struct http2_stream;
struct random;

/*
 * Premature resets: of a stream whose HEADERS came in the same read, or less than
 * 5 ms earlier and incomplete; and those that we send for the peer's errors, since
 * a peer can make us do so. Each costs a call that nobody waits for. The burst is
 * twenty times the default of concurrent streams; a client that cancels calls
 * which have run pays nothing.
 */
#define HTTP2_RESET_BURST        2000
#define HTTP2_RESETS_PER_S       200
#define HTTP2_RESET_PREMATURE_NS (5 * NS_PER_MS)

/*
 * Frames that move nothing: empty DATA, PRIORITY, unknown types, SETTINGS,
 * WINDOW_UPDATE without DATA that it could answer, calls beyond the limit, small DATA
 * for a call that has ended here, beyond what was on its way. An honest peer sends
 * few; each costs about as much as a small message.
 */
#define HTTP2_GLITCH_BURST   10000
#define HTTP2_GLITCHES_PER_S 330

/* PINGs that came too early and are put up with: what other servers of gRPC allow. */
#define HTTP2_PING_STRIKES 2
/* The least time between PINGs while no call is open. */
#define HTTP2_PING_IDLE_NS (2 * 60 * 60 * NS_PER_S)

/* Acknowledgements that wait to be sent, beyond which nghttp2 gives up. */
#define HTTP2_MAX_QUEUED_ACKS 64

/*
 * Frames other than DATA that wait to be sent, beyond which a server takes no more
 * input until they left. What one slice of input can add comes on top.
 */
#define HTTP2_MAX_QUEUED_FRAMES 1000

struct http2_guard {
	struct timer timer;
	int64_t resets_ns, glitches_ns; /* budgets: when they are whole again */
	int64_t read_ns;                /* bytes came last, or could come again */
	int64_t frame_ns;               /* the unfinished frame began, or went on; 0: none */
	int64_t change_ns;              /* server: idle since; client: not idle since */
	int64_t look_ns;                /* server: the next look at open streams; 0: none */
	int64_t ping_ns;                /* the peer's last PING; 0: none */
	int64_t probe_ns;               /* our PING that nothing came after; 0: none */
	int64_t age_ns;                 /* max age, then the end of its grace; 0: never */
	uint32_t unit;                  /* of the ledger: the unfinished frame */
	uint8_t strikes;
	bool sent;    /* HEADERS or DATA, since the peer's last PING */
	bool starved; /* the host takes no more output: nor, then, does it bring input */
	bool aged;    /* age_ns ends the grace */
};

/* At the connection's begin; `random` (may be NULL) spreads the age by 10 %. */
void http2_guard_init(struct http2_session *session, struct random *random);

/* After each read: bytes came, and perhaps a part of a frame. */
void http2_guard_read(struct http2_session *session);
/* After each production: the host has, or has not, room for more. */
void http2_guard_produced(struct http2_session *session, bool starved);

/* The peer reset this stream. */
void http2_guard_stream_reset(struct http2_session *session, const struct http2_stream *stream);
/* We reset a stream with this code. */
void http2_guard_sent_reset(struct http2_session *session, uint32_t code);
/* The peer sent a PING that is no answer. */
void http2_guard_pinged(struct http2_session *session);

/* The first stream has opened; the last has closed. */
void http2_guard_busy(struct http2_session *session);
void http2_guard_idle(struct http2_session *session);

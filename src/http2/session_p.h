/* The layout of a session, for the files of http2/ only. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "http2/guard.h"
#include "http2/ledger.h"
#include "http2/session.h"

/* Which step of its life the session's one deadline watches. */
enum http2_phase {
	HTTP2_HANDSHAKE, /* until the peer's preface and SETTINGS: handshake_timeout_ns */
	HTTP2_RUNNING,   /* no deadline */
	HTTP2_DRAINING,  /* first GOAWAY and PING went out: drain_ping_timeout_ns */
	HTTP2_DRAINED,   /* the final GOAWAY is queued: no deadline */
};

struct http2_session {
	struct engine engine; /* first */
	nghttp2_session *nghttp2;
	const struct http2_session_events *events;
	void *user;
	const struct http2_limits *limits;
	const struct http2_meters *meters;
	struct timers *timers;
	struct timer deadline;
	struct list open;            /* streams that nghttp2 knows */
	struct list closed;          /* streams whose `closed` is due */
	struct list due;             /* streams whose `writable` or `woken` is due */
	struct http2_stream *recent; /* the last that was looked up: mostly the next, too */
	size_t n_open, n_closed;     /* in the lists */
	size_t unconsumed;           /* DATA of this receive, for the connection's credit */
	int64_t now_ns;              /* of what is being received or produced; 0: not read yet */
	uint32_t peer_last_id;       /* of the peer's GOAWAY */
	uint8_t phase;               /* enum http2_phase */
	uint8_t preface_left;        /* server: bytes of the connection preface still to come */
	bool server;
	bool busy; /* inside receive or produce: no need to wake the host */
	bool settings_seen;
	bool goaway_received;
	bool room_changed;       /* a stream closed, or SETTINGS came: `room` is due */
	bool mute;               /* the peer speaks no HTTP/2: it gets no byte more */
	bool condemned;          /* a GOAWAY is the next thing that it says, and the last */
	bool deaf;               /* what the peer says means nothing any more */
	bool abandoned;          /* deaf, and mute after one more production */
	bool ids_ran_out;        /* client: `goaway` is due */
	uint8_t last_code;       /* enum http2_error of our GOAWAY, */
	const char *last_words;  /* and, of that one, its debug data */
	const char *drain_words; /* debug data of the GOAWAYs of a drain; NULL: none */
	int fatal;               /* negative errno: close without a word */
	int64_t keepalive_ns;    /* the role's; INT64_MAX: never */
	struct http2_ledger ledger;
	struct http2_guard guard;
};

static inline struct http2_session *http2_session_of(struct engine *engine)
{
	return container_of(engine, struct http2_session, engine);
}

static inline void http2_session_wake(struct http2_session *session)
{
	if (!session->busy) {
		engine_wake(&session->engine);
	}
}

static inline size_t http2_error_index(uint32_t code)
{
	return MIN(code, HTTP2_ERROR_COUNT);
}

static inline void http2_session_count(const struct http2_session *session, enum http2_bound bound)
{
	meter_count(session->meters->bounds_reached[bound]);
}

/*
 * The connection ends with a GOAWAY of this code, and `why` (constant) as its debug
 * data, as soon as nghttp2 has returned. What is queued is not said any more.
 */
static inline void http2_session_condemn(struct http2_session *session, enum http2_error code,
					 const char *why)
{
	if (!session->condemned) {
		session->condemned = true;
		session->last_code = (uint8_t)code;
		session->last_words = why;
		http2_session_wake(session);
	}
}

/* events.c: a GOAWAY has been produced. */
void http2_sent_goaway(struct http2_session *session, uint32_t code);
/* events.c: nghttp2's callbacks, of that role. 0 or -ENOMEM. */
int http2_callbacks_new(bool server, nghttp2_session_callbacks **ret);

/*
 * session.c: a GOAWAY of nghttp2's, after what it has queued already: another one, if
 * it found an error itself. Not from its callbacks.
 */
void http2_session_terminate(struct http2_session *session, uint32_t code);

/* input.c: of the host's input, how much was taken; or negative errno. */
ssize_t http2_session_input(struct http2_session *session, const uint8_t *bytes, size_t n);

/*
 * session.c: drains gracefully. `why` (constant, may be NULL) is what the final GOAWAY
 * says; nghttp2's first one cannot.
 */
void http2_session_drain(struct http2_session *session, const char *why);
/* session.c: the PING is the answer to that of the drain: the second GOAWAY. */
void http2_session_drain_answered(struct http2_session *session, const uint8_t *opaque);

/* session.c: the second GOAWAY; new streams are ignored from here. */
void http2_session_final_goaway(struct http2_session *session);

/*
 * nghttp2 had no memory for something that it must not forget (an RST_STREAM
 * whose stream is gone here already): the connection ends without another byte.
 */
static inline void http2_session_fail(struct http2_session *session)
{
	session->mute = true;
	http2_session_wake(session);
}

/* It is given upcalls other than `closed`. */
static inline bool http2_stream_hears(const struct http2_stream *stream)
{
	return http2_stream_open(stream) && !stream->session->abandoned;
}

/* stream.c: nghttp2's source of a stream's body. */
ssize_t http2_stream_read(nghttp2_session *nghttp2, int32_t id, uint8_t *out, size_t room,
			  uint32_t *flags, nghttp2_data_source *source, void *user);
/* stream.c: the stream is in the list of those that deliver() looks at. */
void http2_stream_due(struct http2_stream *stream);
/* stream.c: enters an open stream in the session's books; leaves them, and `closed` is due. */
void http2_stream_attach(struct http2_session *session, struct http2_stream *stream, int32_t id);
void http2_stream_detach(struct http2_stream *stream, uint32_t code);

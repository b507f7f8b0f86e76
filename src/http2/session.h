/*
 * HTTP/2 (RFC 9113) as an engine, both roles, over nghttp2: streams, flow
 * control, trailers, GOAWAY. The only place where nghttp2 is seen. The layer
 * above supplies each stream's memory by embedding `struct http2_stream`.
 *
 * Submit anywhere, produce in one place: every function here may be called from
 * inside every upcall; bytes come only out of the engine's produce().
 *
 * Flow control (RFC 9113 5.2): the connection's credit is given back on
 * receipt, a stream's when its user calls http2_stream_consume(), so a slow
 * handler holds back its own stream and no other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/random.h"
#include "base/timers.h"
#include "base/util.h"
#include "metrics/counter.h"

struct http2_session;
struct http2_stream;

/* RFC 9113 section 7. */
#define HTTP2_ERRORS(X)             \
	X(NO_ERROR, 0x0)            \
	X(PROTOCOL_ERROR, 0x1)      \
	X(INTERNAL_ERROR, 0x2)      \
	X(FLOW_CONTROL_ERROR, 0x3)  \
	X(SETTINGS_TIMEOUT, 0x4)    \
	X(STREAM_CLOSED, 0x5)       \
	X(FRAME_SIZE_ERROR, 0x6)    \
	X(REFUSED_STREAM, 0x7)      \
	X(CANCEL, 0x8)              \
	X(COMPRESSION_ERROR, 0x9)   \
	X(CONNECT_ERROR, 0xa)       \
	X(ENHANCE_YOUR_CALM, 0xb)   \
	X(INADEQUATE_SECURITY, 0xc) \
	X(HTTP_1_1_REQUIRED, 0xd)

enum http2_error {
#define X(name, code) HTTP2_##name = code,
	HTTP2_ERRORS(X)
#undef X
		HTTP2_ERROR_COUNT, /* also the index of "other" in tables by code */
};

/* "CANCEL"; "other" for a code that RFC 9113 does not know. */
const char *http2_error_name(uint32_t code);

/* Of nghttp2, the one that runs: "1.52.0". */
const char *http2_library_version(void);

/*
 * A header field to send. `name` is lower-case. Both are copied unless `borrow`:
 * then they must outlive the session. Laid out as nghttp2 wants it, so that nobody
 * has to copy; made by HTTP2_FIELD() and http2_field().
 */
struct http2_field {
	const char *name, *value;
	size_t name_len, value_len;
	uint8_t flags;
};

#define HTTP2_FIELD_ONCE     1 /* nghttp2: not for the table of fields at both ends */
#define HTTP2_FIELD_BORROWED 6 /* nghttp2: copy neither name nor value */

/* Of two literals, for static initialisers. */
#define HTTP2_FIELD(name, value)                                                           \
	{                                                                                  \
		(name), (value), sizeof(name) - 1, sizeof(value) - 1, HTTP2_FIELD_BORROWED \
	}

static inline struct http2_field http2_field(struct str name, struct str value, bool borrow)
{
	return (struct http2_field){ name.data, value.data, name.len, value.len,
				     borrow ? HTTP2_FIELD_BORROWED : 0 };
}

enum http2_block { HTTP2_REQUEST, HTTP2_INFORMATIONAL, HTTP2_RESPONSE, HTTP2_TRAILERS };

struct http2_session_events {
	/*
	 * Server: a request begins. The stream, initialised with http2_stream_init();
	 * NULL: REFUSED_STREAM.
	 */
	struct http2_stream *(*stream_opened)(void *user);
	/*
	 * Client: bytes have come, and no SETTINGS yet; perhaps the peer speaks something
	 * else. Before they are parsed; borrowed until return. May be NULL.
	 */
	void (*heard)(void *user, struct bytes bytes);
	/* The peer's first SETTINGS have arrived. */
	void (*ready)(void *user);
	/*
	 * No new streams: the peer said so, and those above last_id close with
	 * unprocessed() true; or a client's stream ids run out, and all go on.
	 */
	void (*goaway)(void *user, uint32_t last_id, uint32_t code, struct str debug);
	/*
	 * Client: http2_session_room() may have changed (a stream closed, or SETTINGS
	 * came). Deferred like `closed`. May be NULL.
	 */
	void (*room)(void *user);
	/* Last: the engine dies after it; every stream has had its `closed`. */
	void (*closed)(void *user, int err);
};

struct http2_stream_events {
	/* A field of the current block, pseudo-headers included; borrowed until return. */
	void (*header)(struct http2_stream *stream, struct str name, struct str value);
	/*
	 * A whole block. `end_stream`: `ended` follows at once. `too_large`: fields beyond
	 * the header list limit were left out.
	 */
	void (*headers_done)(struct http2_stream *stream, enum http2_block kind, bool end_stream,
			     bool too_large);
	/* Borrowed until return; give credit with http2_stream_consume(). */
	void (*data)(struct http2_stream *stream, const uint8_t *bytes, size_t n);
	/* The peer's END_STREAM. */
	void (*ended)(struct http2_stream *stream);
	/* The send queue fell below its low-water mark after it was above the high one. */
	void (*writable)(struct http2_stream *stream);
	/* What http2_stream_wake_later() asked for. May be NULL where nobody asks. */
	void (*woken)(struct http2_stream *stream);
	/*
	 * Server: the final GOAWAY is queued, and what is open now is the last that the
	 * connection serves. Deferred like `writable`. May be NULL.
	 */
	void (*draining)(struct http2_stream *stream);
	/*
	 * Last, deferred: never from inside a call that the receiver made. The stream's
	 * memory is the receiver's again. `code`: the HTTP/2 error code of the close;
	 * NO_ERROR for a regular end.
	 */
	void (*closed)(struct http2_stream *stream, uint32_t code);
};

/* Who closed a stream; see http2_stream.origin. */
enum http2_origin {
	HTTP2_CLOSED_REGULARLY, /* both sides ended */
	HTTP2_CLOSED_BY_PEER,   /* RST_STREAM received */
	HTTP2_CLOSED_HERE,      /* RST_STREAM sent */
	HTTP2_CLOSED_TRANSPORT, /* the connection went away */
	HTTP2_CLOSED_GOAWAY,    /* above the last id of the peer's GOAWAY: never processed */
	HTTP2_CLOSED_ABANDONED, /* http2_session_abandon() */
};

/*
 * Embedded in the upper layer's call. All fields are the session's; read through
 * the functions below.
 */
struct http2_stream {
	const struct http2_stream_events *events;
	struct http2_session *session; /* NULL before submission and after closed */
	int32_t id;
	struct list node;  /* in the session's list of open, or of closed streams */
	struct list due;   /* in the list of those that await `writable`, `woken` or `draining` */
	struct buffer out; /* body bytes that wait for production */
	uint32_t close_code;
	uint8_t origin; /* enum http2_origin */
	uint8_t block;  /* enum http2_block of the header block in progress */
	bool submitted; /* our header block is in nghttp2's hands */
	bool finishing; /* no more will be written: END_STREAM after `out` */
	bool deferred;  /* the data source waits for more */
	bool above_high_water;
	bool writable_due, woken_due, draining_due;
	bool unsent;         /* client: its request has not left */
	bool peer_ended;     /* END_STREAM came */
	bool local_ended;    /* our END_STREAM was produced */
	bool too_large;      /* fields of the block in progress were left out */
	uint8_t stalls;      /* looks at it that found the peer's window shut */
	int64_t opened_ns;   /* when its HEADERS came (server), or left (client; -1: not yet) */
	size_t header_bytes; /* RFC 9113 10.5.1: name + value + 32 each, of the current block */
	/* Sent after `out`; copied into one block of memory unless they are constant. */
	const struct http2_field *trailers;
	size_t n_trailers;
	void *trailers_memory;
};

/* A time that never comes, in struct http2_limits. */
#define HTTP2_NEVER INT64_MAX

struct http2_limits {
	uint32_t max_concurrent_streams; /* advertised; 100 */
	uint32_t stream_window;          /* 256 KiB */
	uint32_t connection_window;      /* 1 MiB */
	size_t max_header_list_bytes;    /* advertised and enforced; 16 KiB */
	/* send queue of one stream: http2_stream_write() says 1 above it. 64 KiB */
	size_t stream_high_water;
	size_t stream_low_water;      /* 16 KiB */
	int64_t handshake_timeout_ns; /* preface and SETTINGS; 10 s */
	/* until the second GOAWAY where the PING is not answered; 5 s */
	int64_t drain_ping_timeout_ns;
	/*
	 * From the first byte of a frame or header block to its last; DATA has as long
	 * again with each piece. 10 s
	 */
	int64_t frame_timeout_ns;
	/*
	 * Server: how long a stream may have something to send while the peer's window is
	 * shut, or up to a quarter longer; then RST_STREAM. 30 s; 0: for ever
	 */
	int64_t stall_timeout_ns;
	/*
	 * A PING after so long without a byte from the peer. 0: 2 h for a server, never for
	 * a client, which is also held to 10 s at least; HTTP2_NEVER: never
	 */
	int64_t keepalive_time_ns;
	/* No byte for so long after it: the connection is gone. 20 s */
	int64_t keepalive_timeout_ns;
	/* Client: also while no stream is open. */
	bool keepalive_without_calls;
	/*
	 * Server: PINGs with streams open may come so often, with none every 2 h; sending
	 * HEADERS or DATA pardons all. The third that comes too early is one too many. 5 min
	 */
	int64_t keepalive_min_time_ns;
	/*
	 * Server: drained after so long without a stream; after so long at all, give or take
	 * 10 %; and so long after that cut. 0: never, each.
	 */
	int64_t max_idle_ns, max_age_ns, max_age_grace_ns;
	/* Client: the id at which a connection takes no more streams. 75 % of what there is */
	uint32_t max_stream_id;
};
/* For limits that others embed. */
#define HTTP2_DEFAULT_LIMITS                                                                    \
	{                                                                                       \
		.max_concurrent_streams = 100, .stream_window = 256 * KIB,                      \
		.connection_window = MIB, .max_header_list_bytes = 16 * KIB,                    \
		.stream_high_water = 64 * KIB, .stream_low_water = 16 * KIB,                    \
		.handshake_timeout_ns = 10 * NS_PER_S, .drain_ping_timeout_ns = 5 * NS_PER_S,   \
		.frame_timeout_ns = 10 * NS_PER_S, .stall_timeout_ns = 30 * NS_PER_S,           \
		.keepalive_timeout_ns = 20 * NS_PER_S, .keepalive_min_time_ns = 300 * NS_PER_S, \
		.max_stream_id = 0x60000000,                                                    \
	}
extern const struct http2_limits http2_default_limits;

/*
 * Bounds that a connection can reach, by the name under which each is counted.
 *
 *	resets, glitches, acks,       the budgets of http2/guard.h: GOAWAY with
 *	continuations, pings          ENHANCE_YOUR_CALM
 *	frame_timeout, keepalive      the peer went silent: closed
 *	slow_read                     the peer takes nothing of a stream: that is reset
 *	max_idle, max_age             drained
 *	max_age_grace                 closed, with what still ran
 *	deferred                      input waits until what came before it is done
 */
#define HTTP2_BOUNDS(X)                   \
	X(RESETS, "resets")               \
	X(GLITCHES, "glitches")           \
	X(ACKS, "acks")                   \
	X(CONTINUATIONS, "continuations") \
	X(PINGS, "pings")                 \
	X(FRAME_TIMEOUT, "frame_timeout") \
	X(KEEPALIVE, "keepalive")         \
	X(SLOW_READ, "slow_read")         \
	X(IDLE, "max_idle")               \
	X(AGE, "max_age")                 \
	X(AGE_GRACE, "max_age_grace")     \
	X(DEFERRED, "deferred")

enum http2_bound {
#define X(name, text) HTTP2_BOUND_##name,
	HTTP2_BOUNDS(X)
#undef X
		HTTP2_BOUND_COUNT
};

struct http2_meters { /* each may be NULL; one set serves many sessions */
	struct gauge *streams_active;
	struct counter *streams_opened;
	struct counter *goaway_sent[HTTP2_ERROR_COUNT + 1], *goaway_received[HTTP2_ERROR_COUNT + 1];
	struct counter *rst_stream_sent[HTTP2_ERROR_COUNT + 1],
		*rst_stream_received[HTTP2_ERROR_COUNT + 1];
	struct counter *protocol_errors[HTTP2_ERROR_COUNT + 1];
	struct counter *pings_received;
	struct counter *handshake_timeouts;
	struct counter *header_lists_too_large;
	struct counter *bounds_reached[HTTP2_BOUND_COUNT];
};

struct http2_options {
	bool server;
	const struct http2_limits *limits; /* borrowed */
	const struct http2_meters *meters; /* borrowed */
	struct timers *timers;
	struct random *random; /* spreads the ages of connections; NULL: all live equally long */
	struct pool *pool;     /* nghttp2's memory comes from here; outlives the session */
};

/* NULL: no memory. The engine belongs to its host from here. */
struct http2_session *http2_session_new(const struct http2_options *options,
					const struct http2_session_events *events, void *user);
struct engine *http2_session_engine(struct http2_session *session);

/*
 * The time of what is being received, or produced: one reading of the clock for
 * all that arrived, or leaves, together. Within the upcalls only.
 */
int64_t http2_session_now(struct http2_session *session);

/* Client: how many more streams may be opened now; 0 also once GOAWAY came or went. */
size_t http2_session_room(const struct http2_session *session);

/* Client: it has as many streams as the peer admits, and takes more once one of them ends. */
bool http2_session_full(const struct http2_session *session);

/* What our GOAWAY said; HTTP2_NO_ERROR: nothing of an error. Up to and in `closed`. */
enum http2_error http2_session_last_code(const struct http2_session *session);

/*
 * Server: ends the connection as a process does that dies: nothing more is heard, no
 * GOAWAY is said. What is queued by the next production goes out with it, as far as the
 * peer's windows and the host's room let it; then each stream whose END_STREAM was not
 * among that closes as HTTP2_CLOSED_ABANDONED, and the session is finished. No upcall
 * but `closed` comes after this.
 */
void http2_session_abandon(struct http2_session *session);

/*
 * The peer's SETTINGS_MAX_HEADER_LIST_SIZE: what it wants no header block to
 * exceed; UINT32_MAX where it set none.
 */
uint32_t http2_session_peer_max_header_list(const struct http2_session *session);

/* Before a stream is used, and before it is used again. `out` keeps its memory. */
void http2_stream_init(struct http2_stream *stream, const struct http2_stream_events *events);

/*
 * Client: opens a stream with this request; a body follows by write() and
 * finish(). 0 or negative errno (nothing started).
 */
int http2_stream_request(struct http2_session *session, struct http2_stream *stream,
			 const struct http2_field *fields, size_t n);
/* Server: the response's headers. `end`: nothing follows. 0 or negative errno. */
int http2_stream_respond(struct http2_stream *stream, const struct http2_field *fields, size_t n,
			 bool end);

/* The queue to append to directly; follow with http2_stream_wrote(). */
static inline struct buffer *http2_stream_out(struct http2_stream *stream)
{
	return &stream->out;
}
/* 0; 1 above the high-water mark: await `writable`; -ECANCELED where the stream is gone. */
int http2_stream_wrote(struct http2_stream *stream);
/* Ends our side after what is queued, with trailers (copied; n may be 0). 0 or -ENOMEM. */
int http2_stream_finish(struct http2_stream *stream, const struct http2_field *trailers, size_t n);
/* The same where the array itself outlives the session, and every field is borrowed. */
int http2_stream_finish_constant(struct http2_stream *stream, const struct http2_field *trailers,
				 size_t n);
/* RST_STREAM; what is queued is dropped; `closed` follows. */
void http2_stream_reset(struct http2_stream *stream, enum http2_error code);
/* Credit for `n` bytes of data. */
void http2_stream_consume(struct http2_stream *stream, size_t n);
/*
 * `woken` follows, once however often this is called: deferred like `writable`, so
 * never from inside a call that the receiver made, and not once the stream has
 * ended. For what must go on later, where the caller cannot go on now.
 */
void http2_stream_wake_later(struct http2_stream *stream);
/* Client: when its HEADERS were serialised; -1: they were not. Up to and after `closed`. */
static inline int64_t http2_stream_sent_ns(const struct http2_stream *stream)
{
	return stream->opened_ns;
}
/* False once its end is certain: `closed` is due, or was delivered. */
static inline bool http2_stream_open(const struct http2_stream *stream)
{
	return stream->id != 0; /* and then it has a session */
}

/*
 * One RPC, seen from either end. A service is a table of methods whose events
 * receive the call; a client passes the same events to grpc_channel_call().
 *
 * Life: opened -> message* -> half_closed -> closed. `closed` is the last
 * upcall, exactly once, whatever ended the call, and never from inside a call
 * that the receiver made. After it the pointer is dead.
 *
 * All functions are legal inside every upcall; none produces bytes by itself.
 *
 * Back-pressure. Sending: grpc_call_send() says 1 above the high-water mark of
 * the send queue, and `writable` follows once the peer's window has let it
 * drain. Receiving: a message that is not to be followed by the next one yet is
 * held with grpc_call_hold(); what the peer sends meanwhile stays within its
 * stream's window, which is not credited until grpc_call_next().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timers.h"
#include "base/util.h"
#include "grpc/metadata.h"
#include "grpc/status.h"

struct grpc_call;
struct grpc_method;
struct grpc_service;
typedef struct ProtobufCMessage ProtobufCMessage;
typedef struct ProtobufCMessageDescriptor ProtobufCMessageDescriptor;

/* Who a connection's other end is; borrowed from the connection's owner, lives as long as it. */
struct grpc_peer {
	uint64_t id;         /* unique in this process */
	const char *address; /* text */
};

enum grpc_origin {
	GRPC_FROM_PEER,      /* the other end's status (server: it cancelled) */
	GRPC_FROM_HERE,      /* this end: handler's finish, deadline, refusal, cancel, break */
	GRPC_FROM_TRANSPORT, /* the connection was lost, or had not been made when the call ended */
};

struct grpc_outcome {
	enum grpc_status status;
	struct str message;              /* decoded; borrowed until `closed` returns */
	const struct metadata *trailers; /* client; without those that are gRPC's own */
	struct bytes details; /* client: grpc-status-details-bin, a google.rpc.Status; or empty */
	enum grpc_origin origin;
	bool unprocessed; /* the server's application never saw it */
};

struct grpc_call_events {
	/* Server: headers are in. Client: the response's headers are in. Metadata is readable. */
	void (*opened)(struct grpc_call *call);
	/*
	 * A message: unpacked (ProtobufCMessage *), or `struct bytes *` where the method
	 * has no descriptor. Where the peer sends exactly one, it is delivered at the
	 * peer's END_STREAM (client: with status OK), so a second message or a torn tail
	 * is seen first, and it is valid until closed. In a stream of messages each is
	 * delivered as it comes, and is valid until the upcall returns, or until
	 * grpc_call_next() where it is held.
	 */
	void (*message)(struct grpc_call *call, const void *message);
	/* Server: the client sends no more messages. */
	void (*half_closed)(struct grpc_call *call);
	/* The send queue fell below its low-water mark after grpc_call_send() said 1. */
	void (*writable)(struct grpc_call *call);
	/*
	 * Server: the connection takes no new calls any more (its final GOAWAY is on its
	 * way). A stream that has no end of its own, like a watch, finishes here.
	 */
	void (*draining)(struct grpc_call *call);
	void (*closed)(struct grpc_call *call, const struct grpc_outcome *outcome);
};

/* Bit 0: the client sends a stream of messages; bit 1: the server does. */
enum grpc_shape { GRPC_UNARY, GRPC_CLIENT_STREAM, GRPC_SERVER_STREAM, GRPC_BIDI_STREAM };

static inline bool grpc_shape_streams_requests(enum grpc_shape shape)
{
	return shape & GRPC_CLIENT_STREAM;
}

static inline bool grpc_shape_streams_responses(enum grpc_shape shape)
{
	return shape & GRPC_SERVER_STREAM;
}

struct grpc_method {
	const char *name;
	enum grpc_shape shape;
	const ProtobufCMessageDescriptor *request, *response; /* NULL: raw bytes */
	const struct grpc_call_events *events;                /* server side */
	size_t state_size; /* of grpc_call_state(), zeroed for each call */
	/*
	 * What the descriptor cannot say of an unpacked message (UTF-8 of a string kept as
	 * bytes), by the side that receives it. May be NULL. False: INTERNAL.
	 */
	bool (*valid)(const void *request);
	bool (*valid_response)(const void *response);
};

struct grpc_service {
	const char *name; /* "muzz.Service" */
	const struct grpc_method *methods;
	size_t n_methods;
};

/*
 * Queues a message. 0; 1: above high water, await writable (the message is taken
 * all the same); -ECANCELED after finish or half-close, or once the stream is
 * gone; -ENOMEM (the call is then finished RESOURCE_EXHAUSTED); -EMSGSIZE (larger
 * than the limit for sent messages, or than 32 bits can say: finished the same way).
 */
int grpc_call_send(struct grpc_call *call, const void *message);
/*
 * Server: the response's headers leave now and not with the first message; what
 * grpc_call_add_header() is given afterwards goes into the trailers. 0, -ECANCELED,
 * -ENOMEM (as in send).
 */
int grpc_call_send_headers(struct grpc_call *call);
/*
 * Messages sent from here on are compressed with gzip, or are not. Server: takes
 * effect only where the client accepts gzip, and where it was asked for before the
 * headers left (then grpc-encoding announces it, and it may be turned off and on
 * for each message). Client: see grpc_call_options.gzip; the same then.
 * Small messages that would grow are sent as they are: a flag for each says which.
 */
void grpc_call_compress(struct grpc_call *call, bool on);
/* In `message`: it came compressed. */
bool grpc_call_was_compressed(const struct grpc_call *call);
/*
 * In `message` of a stream: keep this one; no further message, and no credit for
 * the peer, until grpc_call_next(), which may come at once or from anywhere. The
 * next message, or half_closed, is then delivered, but never from inside _next().
 */
void grpc_call_hold(struct grpc_call *call);
void grpc_call_next(struct grpc_call *call);
/*
 * Server: trailers after what is queued; no upcall but closed after it. `message`
 * (may be NULL) is copied. Idempotent.
 */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message);
/*
 * The same with grpc-status-details-bin: a packed google.rpc.Status (copied) whose
 * code must be `status`; details that say otherwise are left out. `message` may
 * hold any bytes; what is no UTF-8 is replaced.
 */
void grpc_call_finish_details(struct grpc_call *call, enum grpc_status status, struct str message,
			      struct bytes details);
/*
 * Server: the service keeps so many bytes for this call now; they count with the call's
 * own against max_buffered_bytes. False: they are more than before, and too many, and the
 * call is finished RESOURCE_EXHAUSTED; or it was finished already.
 */
bool grpc_call_keeps(struct grpc_call *call, size_t bytes);
/* Client: no more messages. */
void grpc_call_half_close(struct grpc_call *call);
/* Either side: RST_STREAM(CANCEL); closed follows with this status. */
void grpc_call_cancel(struct grpc_call *call, enum grpc_status status);
/*
 * Server: ends a call as a server does that breaks, for those who test what comes of it.
 * Of no effect once the call is finished.
 *
 *	RESET     RST_STREAM(INTERNAL_ERROR); headers may have left before, and what else
 *	          is queued is dropped. INTERNAL.
 *	TRUNCATE  the headers, `message` with its end cut off (its prefix announces all of it;
 *	          of an empty one the prefix is cut), and trailers that say OK: a client that
 *	          reads what it was given ends INTERNAL, and so the call counts. Memory and
 *	          limits fail as in grpc_call_send().
 *	CLOSE     the connection ends: a FIN, no GOAWAY, no RST_STREAM. UNAVAILABLE.
 *
 * What CLOSE takes along: nothing more is read, and no other call hears more than its
 * `closed`. What those that are finished by the connection's next production (the end of
 * the read, or of the loop's round) have queued goes out with it, as far as the peer's
 * windows and the connection's output buffer take it. A call whose trailers were among
 * that ends as it was finished, and at the client as well; all others that had begun end
 * UNAVAILABLE, GRPC_FROM_TRANSPORT, and nothing else ends a server's call so.
 *
 * `message` is TRUNCATE's only.
 */
enum grpc_break { GRPC_BREAK_RESET, GRPC_BREAK_TRUNCATE, GRPC_BREAK_CLOSE };
void grpc_call_break(struct grpc_call *call, enum grpc_break how, const void *message);
/*
 * Server: initial metadata until the first send, then trailers; all in one block
 * where nothing is sent before the end (Trailers-Only). "-bin" values raw. 0, -EINVAL
 * (name or value), -ENOMEM.
 */
int grpc_call_add_header(struct grpc_call *call, struct str name, struct str value);
/* Server: a trailer, whenever it is said. Errors as above. */
int grpc_call_add_trailer(struct grpc_call *call, struct str name, struct str value);

/* The peer's initial metadata; "-bin" values are decoded. Valid until closed. */
const struct metadata *grpc_call_metadata(const struct grpc_call *call);
void *grpc_call_state(struct grpc_call *call); /* server: state_size bytes */
void *grpc_call_context(
	struct grpc_call *call); /* server: of grpc_server_add(); client: the call's `user` */
struct timers *grpc_call_timers(struct grpc_call *call);
const struct grpc_peer *grpc_call_peer(
	const struct grpc_call *call); /* client: NULL before the call has a connection */
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
/*
 * When the call began, on the timers' clock: its HEADERS were in (server);
 * grpc_channel_call() (client).
 */
int64_t grpc_call_started_ns(const struct grpc_call *call);
/* The deadline on the same clock; INT64_MAX: none. */
int64_t grpc_call_deadline_ns(const struct grpc_call *call);
/*
 * Client: when the HEADERS of its latest attempt were serialised, on the same clock; -1:
 * they never were. Valid until closed.
 */
int64_t grpc_call_sent_ns(const struct grpc_call *call);
/*
 * In `closed`: when the end arrived, or was decided here (client); the instant up to which
 * its latency is counted (server). One reading of the clock for all that arrived or left
 * together.
 */
int64_t grpc_call_ended_ns(const struct grpc_call *call);

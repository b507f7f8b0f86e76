/*
 * One RPC, seen from either end. A service is a table of methods whose events
 * receive the call; a client passes the same events to grpc_channel_call().
 *
 * Life: opened -> message* -> half_closed -> closed. `closed` is the last
 * upcall, exactly once, whatever ended the call, and never from inside a call
 * that the receiver made. After it the pointer is dead.
 *
 * All functions are legal inside every upcall; none produces bytes by itself.
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
	GRPC_FROM_HERE,      /* this end: handler's finish, deadline, refusal, cancel */
	GRPC_FROM_TRANSPORT, /* the connection was lost, or had not been made when the call ended */
};

struct grpc_outcome {
	enum grpc_status status;
	struct str message; /* decoded; borrowed until `closed` returns */
	const struct metadata *trailers;
	enum grpc_origin origin;
	bool unprocessed; /* the server's application never saw it */
};

struct grpc_call_events {
	/* Server: headers are in. Client: the response's headers are in. Metadata is readable. */
	void (*opened)(struct grpc_call *call);
	/*
	 * A message: unpacked (ProtobufCMessage *), or `struct bytes *` where the method
	 * has no descriptor. Unary: delivered at the peer's END_STREAM, so a second
	 * message or a torn tail is seen first; valid until closed.
	 */
	void (*message)(struct grpc_call *call, const void *message);
	void (*half_closed)(struct grpc_call *call);
	void (*writable)(struct grpc_call *call);
	void (*closed)(struct grpc_call *call, const struct grpc_outcome *outcome);
};

enum grpc_shape { GRPC_UNARY };

struct grpc_method {
	const char *name;
	enum grpc_shape shape;
	const ProtobufCMessageDescriptor *request, *response; /* NULL: raw bytes */
	const struct grpc_call_events *events;                /* server side */
	size_t state_size; /* of grpc_call_state(), zeroed for each call */
	/*
	 * What the descriptor cannot say of an unpacked request (UTF-8 of a string kept as
	 * bytes). May be NULL. False: INTERNAL.
	 */
	bool (*valid)(const void *request);
};

struct grpc_service {
	const char *name; /* "muzz.Service" */
	const struct grpc_method *methods;
	size_t n_methods;
};

/*
 * Queues a message. 0; 1: above high water, await writable; -ECANCELED after
 * finish or once the stream is gone; -ENOMEM (the call is then finished
 * RESOURCE_EXHAUSTED).
 */
int grpc_call_send(struct grpc_call *call, const void *message);
/*
 * Server: trailers after what is queued; no upcall but closed after it. `message`
 * (may be NULL) is copied. Idempotent.
 */
void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message);
/* Client: no more messages. */
void grpc_call_half_close(struct grpc_call *call);
/* Either side: RST_STREAM(CANCEL); closed follows with this status. */
void grpc_call_cancel(struct grpc_call *call, enum grpc_status status);
/* Initial metadata until the first send, then trailers. 0, -EINVAL (name or value), -ENOMEM. */
int grpc_call_add_header(struct grpc_call *call, struct str name, struct str value);

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

/*
 * A gRPC server and a channel back to back: two engines, no socket, a fake
 * clock, and a seeded splitter that cuts the bytes between them anywhere.
 *
 *	pair_init(&pair, NULL);
 *	pair_add(&pair, &service, context);
 *	call = pair_call(&pair, &record, "hello");
 *	pair_run(&pair);                      until neither end has anything to say
 *	assert_int_equal(record.status, GRPC_OK);
 *	pair_deinit(&pair);                   asserts that nothing is left
 */
#pragma once

#include "base/buffer.h"
#include "base/random.h"
#include "base/timers.h"
#include "grpc/channel.h"
#include "grpc/server.h"

#define PAIR_MAX_CALLS 64

struct pair_end {
	struct pair *pair;
	struct engine *engine;
	struct buffer out;    /* produced, on its way to the other end */
	struct buffer unread; /* arrived, not yet taken */
	bool failed;          /* receive or produce said so */
	bool fin_sent, fin_seen;
	bool stuck; /* does not read: bytes stay in the other's out */
	size_t wakes;
};

struct pair_options {
	struct grpc_server_limits *limits; /* NULL: defaults */
	uint64_t seed;                     /* 0: bytes arrive in one piece */
	size_t room;                       /* of each produce; 0: 64 KiB */
	bool no_connect;                   /* connect_wanted fails at once */
};

struct pair {
	struct pair_options options;
	int64_t now_ns;
	struct timers timers;
	struct random random;
	struct grpc_server_limits limits;
	struct grpc_server_meters server_meters;
	struct http2_meters http2_meters;
	struct counter counters[16];
	struct grpc_server *server;
	struct grpc_channel *channel;
	struct grpc_peer server_peer, client_peer;
	struct pair_end server_end, client_end;
	unsigned connects;     /* how often the channel asked */
	unsigned max_connects; /* beyond it, it is refused; 0: no bound */
	bool connect_due;
};

void pair_init(struct pair *pair, const struct pair_options *options);
void pair_add(struct pair *pair, const struct grpc_service *service, void *context,
	      const struct grpc_method_meters *meters);
/* Moves bytes and runs due timers until nothing happens any more. */
void pair_run(struct pair *pair);
/* Only connects: both ends have an engine, no byte has moved. */
void pair_connect(struct pair *pair);
/* Only the first `n` bytes of what the client has to say. */
void pair_carry_to_server(struct pair *pair, size_t n);
/* Lets time pass, in one step, then runs. */
void pair_advance(struct pair *pair, int64_t ns);
/* One end vanishes: release on both. */
void pair_disconnect(struct pair *pair);
/* Drains both ends, disconnects, frees, and asserts that nothing is left. */
void pair_deinit(struct pair *pair);

/* What a call of pair_call() came to. */
struct record {
	struct grpc_call *call;
	unsigned opened, messages, closed;
	int status;
	enum grpc_origin origin;
	bool unprocessed;
	char reply[256];
	size_t reply_len;
	char text[160];   /* the status's message */
	char trailer[64]; /* value of the trailer "note" */
};

/* An Echo call; `options` may be NULL. NULL: no memory. */
struct grpc_call *pair_call(struct pair *pair, struct record *record, struct str message,
			    const struct grpc_call_options *options);

/*
 * A client that is no part of ours, against a gRPC server of ours: nghttp2 and
 * hand-made bytes, no socket, a fake clock. It says each frame when the test says
 * so, and keeps what came back.
 *
 *	peer_init(&peer, NULL);
 *	grpc_server_add(peer.server, &service, NULL, NULL);
 *	peer_call(&peer, &stream, "/s.S/M", NULL);
 *	peer_message(&peer, &stream, STR("one"));
 *	peer_end(&peer, &stream);
 *	peer_run(&peer);
 *	assert_string_equal(peer_field(&stream, "grpc-status"), "0");
 *	peer_deinit(&peer);
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/random.h"
#include "grpc/server.h"

struct peer_stream {
	struct peer *peer;
	int32_t id;
	struct buffer out, in; /* DATA to send; DATA that came */
	struct buffer fields;  /* "name: value\n" of each, a blank line behind a block */
	char value[256];       /* what peer_field() found */
	bool ending, ended;    /* END_STREAM follows `out`; came */
	bool closed;
	bool stingy;     /* gives no credit for what comes */
	bool plain;      /* the answer is to be plain HTTP */
	size_t unpaid;   /* of that */
	uint32_t code;   /* of the close */
	unsigned blocks; /* header blocks that came */
};

struct peer_options {
	struct grpc_server_limits *limits;
	uint64_t seed;            /* not 0: bytes are cut anywhere */
	size_t cut;               /* not 0: the client's bytes are cut there, once */
	uint32_t window;          /* of each stream, for what the server sends; 0: the default */
	uint32_t max_header_list; /* 0: not said */
	size_t room;              /* of each produce; 0: 64 KiB */
	const struct grpc_server_meters *meters;
};

struct peer {
	struct peer_options options;
	int64_t now_ns;
	struct timers timers;
	struct random random;
	struct grpc_server_limits limits;
	struct grpc_server *server;
	struct grpc_peer grpc_peer;
	struct engine *engine;
	nghttp2_session *client;
	struct buffer to_server, to_client;
	size_t sent; /* bytes of the client's that the server has */
	bool goaway; /* came with a last id that is not the highest */
	bool failed;
};

void peer_init(struct peer *peer, const struct peer_options *options);
/* Once the services are known; peer_call() does it where nobody did. */
void peer_connect(struct peer *peer);
/* The transport goes away. */
void peer_disconnect(struct peer *peer);
/* Asserts that nothing is left. */
void peer_deinit(struct peer *peer);

/* HEADERS without END_STREAM. `more`: names and values in turn, ended by NULL; may be NULL. */
void peer_call(struct peer *peer, struct peer_stream *stream, const char *path,
	       const char *const *more);
/* DATA; peer_run() carries it. */
void peer_bytes(struct peer *peer, struct peer_stream *stream, struct str bytes);
/* A message with its prefix. */
void peer_message(struct peer *peer, struct peer_stream *stream, struct str message);
void peer_end(struct peer *peer, struct peer_stream *stream);
void peer_reset(struct peer *peer, struct peer_stream *stream, uint32_t code);
/* Pays for what a stingy stream got. */
void peer_pay(struct peer *peer, struct peer_stream *stream);
/* Until nothing moves any more. */
void peer_run(struct peer *peer);
void peer_advance(struct peer *peer, int64_t ns);

/* The last field of that name; NULL: none. */
const char *peer_field(struct peer_stream *stream, const char *name);
void peer_stream_deinit(struct peer_stream *stream);

/* One connection of a server or a channel, for the files of grpc/ only. */
#pragma once

#include "base/list.h"
#include "grpc/call.h"
#include "http2/session.h"

#define GRPC_CONNECTION_ID_DIGITS 16

struct grpc_connection {
	struct http2_session *session;
	const struct grpc_peer *peer;
	struct grpc_server *server; /* NULL: a channel's, in a struct grpc_link */
	size_t buffered;            /* server: of its budget, by the calls of this connection */
	/* server: the peer's id in hex */
	char id_text[GRPC_CONNECTION_ID_DIGITS + 1];
};

/*
 * tcp and unix sockets as transports, over uv_stream_t. Reads go through the
 * loop's one 64 KiB buffer.
 */
#pragma once

#include "net/address.h"
#include "net/loop.h"
#include "net/transport.h"

/*
 * Dials one address. 0: `ready` or `closed` follows. Negative errno: nothing
 * was started. TCP_NODELAY is set on tcp.
 */
int transport_stream_connect(struct loop *loop, const struct address *address,
			     struct transport **ret);

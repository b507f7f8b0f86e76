/* How a listener makes transports, for the files of net/ only. */
#pragma once

#include "net/loop_p.h"
#include "net/transport_stream.h"

struct stream;

/*
 * Memory for one accepted socket, taken before accept(2), so that a peer is
 * never accepted and then dropped for want of it. NULL: none.
 */
struct stream *stream_reserve(struct loop *loop, int family);
void stream_unreserve(struct stream *stream);
/* Puts the socket in; `ready` follows from the loop. On failure both are given back. */
int stream_adopt(struct stream *stream, int fd, struct transport **ret);

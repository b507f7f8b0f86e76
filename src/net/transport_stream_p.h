/* How a listener makes transports, for the files of net/ only. */
#pragma once

#include "net/loop_p.h"
#include "net/transport_stream.h"

/* One accepted socket; AF_UNIX or an internet family. 0, the transport starts by itself; negative errno. */
int transport_stream_accept(struct loop *loop, uv_stream_t *listener, int family,
			    struct transport **ret, struct address *ret_peer);
/* The same for a descriptor in hand; it is closed on failure. */
int transport_stream_adopt(struct loop *loop, int fd, int family, struct transport **ret,
			   struct address *ret_peer);

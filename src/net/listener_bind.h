/* From an address as written to sockets that listen, for listener.c. */
#pragma once

#include "net/address.h"

/* Addresses of one name that are bound. */
#define LISTENER_MAX_SOCKETS 8

/*
 * The count of descriptors in `ret_fds` (each listens, does not block, and is
 * closed on exec), or negative errno and none.
 */
int listener_bind(const struct address_spec *spec, int backlog, int ret_fds[LISTENER_MAX_SOCKETS]);

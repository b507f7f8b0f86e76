/* The bounds that the flags and the system set, in the terms of those who keep them. */
#pragma once

#include <stddef.h>

#include "daemon/config.h"
#include "grpc/server.h"

/* The limit of open files, raised as far as the system lets it. */
size_t bounds_raise_files(void);
void bounds_of_grpc(const struct config *config, struct grpc_server_limits *ret);

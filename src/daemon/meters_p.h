/* Between meters.c and meters_grpc.c. */
#pragma once

#include "daemon/meters.h"
#include "metrics/build.h"

/* Echo, the families of every method, and what is counted of gRPC besides. */
void meters_build_grpc(struct build *build, struct meters *meters);
/* What it refuses is an internal error from now on; of no effect for NULL. */
void meters_watch_histogram(const struct meters *meters, struct histogram *histogram);
void meters_free_services(struct meters *meters);

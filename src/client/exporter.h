/*
 * The client's own metrics, and where they can be scraped while it runs:
 * grpc_calls_total and grpc_call_latency_seconds as the server has them, seen
 * from this end, with the process and the build.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/channel.h"
#include "metrics/registry.h"
#include "net/address.h"
#include "net/loop.h"

/* One set for a run; the registry owns what they point to. */
struct instruments {
	struct registry *registry;
	struct counter *calls_ok, *calls_failed;
	struct histogram *latency;
	struct grpc_channel_meters channel;
};

/* 0 or -ENOMEM; instruments_deinit() is due after either. */
int instruments_init(struct instruments *instruments);
void instruments_deinit(struct instruments *instruments);
/* Once for each call, when it ends, whatever ended it. */
void instruments_call_ended(struct instruments *instruments, bool ok, int64_t latency_ns);

struct exporter;

/* Listens. NULL, with a reason in `why`. */
struct exporter *exporter_new(struct loop *loop, struct registry *registry,
			      const struct address_spec *address, char *why, size_t size);
/* "127.0.0.1:40123": the address as it was bound. */
const char *exporter_address(const struct exporter *exporter);
/* Stops; the loop empties once the answers in progress have left. Idempotent. */
void exporter_close(struct exporter *exporter);
/* After the loop has emptied, or was never run. NULL is allowed. */
void exporter_free(struct exporter *exporter);

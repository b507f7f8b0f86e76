/*
 * Where the client's own metrics can be scraped while it runs: instruments.h, with the
 * process.
 */
#pragma once

#include <stddef.h>

#include "metrics/registry.h"
#include "net/address.h"
#include "net/loop.h"

struct exporter;

/* Listens. NULL, with a reason in `why`. */
struct exporter *exporter_new(struct loop *loop, struct registry *registry,
			      const struct address_spec *address, char *why, size_t size);
/* "127.0.0.1:40123": the address as it was bound. */
const char *exporter_address(const struct exporter *exporter);
/* Stops; the loop empties once the answers in progress have left, or a second later. Idempotent. */
void exporter_close(struct exporter *exporter);
/* After the loop has emptied, or was never run. NULL is allowed. */
void exporter_free(struct exporter *exporter);

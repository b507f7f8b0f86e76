/* The result of one call, for programs; text.h has the words for people. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "client/injected.h"
#include "grpc/metadata.h"
#include "grpc/status.h"

/* Everything is borrowed. */
struct call_report {
	const char *target;
	const char *peer; /* the address that answered; NULL: none */
	enum grpc_status status;
	struct str message; /* of the status */
	bool never_found;   /* there was no server to connect to */
	bool replied, mismatched;
	struct str reply;
	int64_t latency_ns;
	unsigned attempts;                         /* how often it was sent */
	const struct metadata *initial, *trailing; /* may be NULL */
	struct injected injected;                  /* by its trailers */
};

/* {"target":...,"status":"OK","code":0,...} and a newline. 0 or -ENOMEM. */
int call_report_json(struct buffer *out, const struct call_report *call);

/*
 * A service of raw messages in all four shapes, which writes down each upcall and
 * does what the test says in it.
 *
 *	opened; message(one); half_closed; closed(0 here);
 */
#pragma once

#include "base/buffer.h"
#include "grpc/call.h"

struct script {
	struct buffer log;
	struct grpc_call *call; /* the latest; NULL once it is closed */
	unsigned closed;
	int last_send; /* what the latest send returned */
	unsigned n;    /* the test's own */
	/* what is done beyond writing down; each may be NULL */
	void (*opened)(struct script *script);
	void (*message)(struct script *script, struct str message);
	void (*half_closed)(struct script *script);
	void (*writable)(struct script *script);
	void (*draining)(struct script *script);
	struct timer timer; /* stopped when the call closes */
};

/* "/test.Streams/Unary", Collect (streams requests), Spread (streams responses), Chat (both). */
extern const struct grpc_service script_service;

const char *script_log(struct script *script);
/* Between two calls: forgets what was written. */
void script_reset(struct script *script);
void script_send(struct script *script, struct str message);

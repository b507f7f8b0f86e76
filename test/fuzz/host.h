/*
 * Hosts an HTTP/2 engine as net/connection.c does, without a socket, on a clock
 * that stands until the input moves it.
 *
 * The input is what the peer sends, as frames. A frame of type ASIDE never
 * reaches the engine: it tells the harness what happens now, its flags say what
 * (enum aside), its stream id is the argument. Frames between two asides arrive in
 * one read, unless ASIDE_PIECE cuts them. What is no whole frame at the end
 * arrives as it is; so does the payload of ASIDE_RAW.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "metrics/counter.h"
#include "fuzz.h"

#define FRAME_HEADER_BYTES 9
#define PREFACE_BYTES      24
#define ASIDE              0xf0

enum aside {
	ASIDE_ADVANCE,   /* the clock, by so many ms */
	ASIDE_ROOM,      /* the socket takes so many bytes more, and what comes takes; 0: nothing */
	ASIDE_PIECE,     /* reads are of so many bytes; 0: as large as they come */
	ASIDE_EOF,       /* the peer's FIN */
	ASIDE_DRAIN,     /* 0: gracefully; else now */
	ASIDE_RAW,       /* the payload arrives */
	ASIDE_NO_MEMORY, /* after low byte allocations, so many as the next byte says fail */
	ASIDE_ACT,       /* on call number (low byte): the payload is a script, see script.h */
	ASIDE_CALL,      /* client: a call; the argument chooses how. Server: health changes */
	ASIDE_CONNECT,   /* client: what became of dialling; 0: it worked. Server: health ends */
	ASIDE_COUNT
};

struct host {
	int64_t now_ns;
	struct timers timers;
	struct engine *engine; /* NULL: no connection */
	void (*aside)(struct host *host, enum aside what, uint32_t argument, struct bytes payload);
	void (*settled)(struct host *host); /* after each step; may be NULL */
	struct buffer in;                   /* arrived, not taken */
	struct buffer out;                  /* produced, not taken by the socket */
	size_t piece, room;                 /* see enum aside */
	size_t taken, produced;             /* bytes in all */
	unsigned wakes, steps;
	bool eof, failed;
	uint64_t work; /* of the layer above, by its own count */
	/* more of it: calls that had waited, and begin with what was read; may be NULL */
	const struct counter *begun;
};

void host_init(struct host *host);
/* The connection is made. */
void host_adopt(struct host *host, struct engine *engine);
/* The connection is gone; with its bytes. */
void host_release(struct host *host, int err);
/* A step of the input each; returns at its end. */
void host_run(struct host *host, struct input *input);
/* Produces until nothing moves; releases the engine where it is done for. */
void host_settle(struct host *host);
/* Moves the clock, and fires what is due. */
void host_advance(struct host *host, int64_t ns);

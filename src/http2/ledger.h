/*
 * What a peer's frames say before nghttp2 reads them: where each begins and
 * ends, which streams the peer has opened and ended, and which frames move
 * nothing. Reads frame headers only; pure, no clock, no upcall.
 *
 * Why not in nghttp2's callbacks: frames that nghttp2 ignores reach few of them,
 * how streams that are gone are remembered differs between its versions, and
 * from a callback a connection cannot be ended.
 *
 * Of streams it remembers those of the last HTTP2_LEDGER_IDS ids; whatever is
 * older is left to nghttp2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define HTTP2_LEDGER_IDS 128

/* RFC 9113 4.1. */
#define HTTP2_FRAME_HEADER_BYTES 9

/*
 * CONTINUATION frames of one header block: 8 of 16 KiB are eight times the default
 * header list, and each costs a round through the decoder.
 */
#define HTTP2_MAX_CONTINUATIONS 8

/*
 * DATA for a stream that has ended here goes nowhere. A frame of this size or more costs
 * its sender as much as it costs us; of smaller ones each stream may have some on their
 * way when it ends, and whatever is beyond those is as useless as an empty one.
 */
#define HTTP2_SMALL_DATA_BYTES 256
#define HTTP2_LATE_DATA_FRAMES 64

/* Why reading stopped before a frame. */
enum http2_ledger_stop {
	HTTP2_LEDGER_NO_STOP,
	HTTP2_LEDGER_ENOUGH,        /* one stream more than `max_opens` would be opened */
	HTTP2_LEDGER_NEVER_OPENED,  /* HEADERS for an id below the highest (RFC 9113 5.1.1) */
	HTTP2_LEDGER_STREAM_CLOSED, /* DATA or HEADERS after END_STREAM or RST_STREAM (5.1) */
	HTTP2_LEDGER_CONTINUATIONS, /* more than HTTP2_MAX_CONTINUATIONS */
};

struct http2_ledger {
	uint64_t opened[HTTP2_LEDGER_IDS / 64]; /* by half the id, modulo the number of bits */
	uint64_t ended[HTTP2_LEDGER_IDS / 64];  /* by the peer */
	uint32_t highest;                       /* id for which the peer sent HEADERS */
	uint32_t left;                          /* of the current frame's payload */
	uint32_t units;   /* frames, or header blocks with all their frames, that have begun */
	uint32_t opens;   /* streams opened, */
	uint32_t useless; /* and frames that moved nothing, since the caller set these to 0 */
	uint32_t unheard; /* small DATA frames, of those that no stream has been given */
	uint32_t late;    /* ... so many have a reason */
	uint16_t credit;  /* WINDOW_UPDATE frames that are accounted for */
	uint8_t head[HTTP2_FRAME_HEADER_BYTES]; /* of a frame whose header is torn */
	uint8_t have;                           /* bytes of it */
	uint8_t type;                           /* of the current frame */
	uint8_t continuations;                  /* of the current header block */
	bool in_block;                          /* END_HEADERS is still to come */
	bool server;
};

void http2_ledger_init(struct http2_ledger *ledger, bool server);

/*
 * Reads `n` bytes of frames (no preface) and says how many of them nghttp2 may
 * have: all, or those before the frame that is the reason to stop. After ENOUGH
 * the rest may be offered again; after the other reasons nothing is.
 */
size_t http2_ledger_read(struct http2_ledger *ledger, const uint8_t *bytes, size_t n,
			 uint32_t max_opens, enum http2_ledger_stop *ret_stop);

/* A frame or a header block has begun and not ended. */
static inline bool http2_ledger_unfinished(const struct http2_ledger *ledger)
{
	return ledger->left > 0 || ledger->have > 0 || ledger->in_block;
}

/*
 * So many WINDOW_UPDATE frames have a reason. None is saved up beyond a bound: one
 * that a peer of long standing could use at once.
 */
static inline void http2_ledger_allow(struct http2_ledger *ledger, uint32_t updates)
{
	enum { MAX_CREDIT = 16384 };

	ledger->credit = (uint16_t)MIN(ledger->credit + updates, MAX_CREDIT);
}

/* A server's: DATA without END_STREAM, of `length` with its padding, came to its stream. */
static inline void http2_ledger_heard_data(struct http2_ledger *ledger, size_t length)
{
	if (length < HTTP2_SMALL_DATA_BYTES && ledger->unheard > 0) {
		ledger->unheard--;
	}
}

/* A stream ended here that the peer has not ended. */
static inline void http2_ledger_ended_here(struct http2_ledger *ledger)
{
	enum { MAX_LATE = 128 * HTTP2_LATE_DATA_FRAMES };

	ledger->late = MIN(ledger->late + HTTP2_LATE_DATA_FRAMES, MAX_LATE);
}

/*
 * After what was read has been handed on, whole: small DATA that no stream was given is
 * useless, but for what was on its way. A frame that is not whole yet has its turn later.
 */
void http2_ledger_settle(struct http2_ledger *ledger);

/*
 * A DATA frame of `n` bytes was sent: it may be answered with credit for stream and
 * connection, and where it holds many small messages, for both with each of them.
 */
static inline void http2_ledger_sent_data(struct http2_ledger *ledger, size_t n)
{
	enum { BYTES_PER_UPDATE = 4 };

	http2_ledger_allow(ledger, 2 + (uint32_t)(n / BYTES_PER_UPDATE));
}

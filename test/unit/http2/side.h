/*
 * One session, its host and its clock, without a socket: the test says frames to
 * it and looks at those that it says.
 */
#pragma once

#include "base/pool.h"
#include "base/random.h"
#include "frames.h"
#include "http2/session.h"

#define SIDE_MAX_CALLS 512

struct side;

/* A stream, and what it heard. */
struct call {
	struct http2_stream stream; /* first */
	struct side *side;
	unsigned headers, ended, writable, woken, closed;
	size_t data;
	uint32_t code;
	enum http2_origin origin;
	void (*on_woken)(struct call *call);
};

struct side {
	int64_t now_ns;
	struct timers timers;
	struct pool pool;
	struct random random;
	struct http2_limits limits;
	struct http2_meters meters;
	struct counter bounds[HTTP2_BOUND_COUNT], handshake_timeouts;
	struct http2_session *session;
	struct engine *engine;
	struct buffer in;  /* for it to hear with side_say() */
	struct buffer out; /* all that it said */
	struct call calls[SIDE_MAX_CALLS];
	size_t n_calls;
	size_t room;    /* of each production */
	size_t offers;  /* how often input was offered */
	unsigned wakes; /* since the last production */
	unsigned readies, goaways;
	uint32_t goaway_last;
	int error; /* of receive or produce: the host closes */
	bool server, released;
};

struct seen { /* a frame that it said */
	uint8_t type, flags;
	uint32_t id;
	const uint8_t *payload;
	size_t n;
};

void side_init(struct side *side, bool server, const struct http2_limits *limits);
void side_init_seeded(struct side *side, bool server, const struct http2_limits *limits,
		      uint64_t seed);
void side_deinit(struct side *side);
/* The peer's preface and SETTINGS, and its acknowledgement. */
void side_shake_hands(struct side *side);
/* What is in `in`, offered until it is taken, with productions in between; then more of those. */
void side_say(struct side *side);
/* Produces until it has nothing to say, or no room. */
void side_run(struct side *side);
/* Time passes, timers fire, it produces. */
void side_advance(struct side *side, int64_t ns);
/* Opens a stream of a client's. */
struct call *side_request(struct side *side);
/* The frame number `index` of this type that it said. False: there is none. */
bool side_saw(const struct side *side, uint8_t type, size_t index, struct seen *ret);
size_t side_count(const struct side *side, uint8_t type);
/* Its last GOAWAY has this code and text, and nothing is to come any more. */
void side_assert_ended(const struct side *side, uint32_t code, const char *text);
uint64_t side_reached(const struct side *side, enum http2_bound bound);

/*
 * A channel alone: its servers are frames written by hand, its clock is fake, and
 * each upcall of its calls is written down.
 *
 *	far_init(&far, NULL);
 *	far_call(&far, &caller, CALLER_CHAT, NULL);
 *	far_run(&far);                      connects; nothing has been said by a server
 *	far_hello(far_end(&far));           SETTINGS
 *	far_respond(far_end(&far), 1); ...
 *	assert_string_equal(caller_log(&caller), "opened; message(x); closed(OK, peer); ");
 *	far_deinit(&far);                   asserts that nothing is left
 */
#pragma once

#include "base/buffer.h"
#include "base/random.h"
#include "base/timers.h"
#include "grpc/channel.h"

#define FAR_MAX_ENDS   64
#define FAR_MAX_FRAMES 512

enum far_type {
	FAR_DATA,
	FAR_HEADERS,
	FAR_PRIORITY,
	FAR_RST_STREAM,
	FAR_SETTINGS,
	FAR_PUSH_PROMISE,
	FAR_PING,
	FAR_GOAWAY,
	FAR_WINDOW_UPDATE,
	FAR_CONTINUATION
};

#define FAR_END_STREAM  0x1
#define FAR_ACK         0x1
#define FAR_END_HEADERS 0x4

struct far_frame {
	uint8_t type, flags;
	uint32_t stream, length, code; /* code: the first four bytes of the payload */
};

/* One connection, seen from its server. */
struct far_end {
	struct far *far;
	struct engine *engine; /* of the channel; NULL: gone */
	struct buffer in;      /* from the channel, not parsed yet */
	bool preface_seen, failed;
	struct far_frame frames[FAR_MAX_FRAMES];
	size_t n_frames;
	struct buffer body; /* all DATA */
	void *inflater;
	struct buffer fields; /* of all requests: "name: value\n" */
	bool mute;            /* the channel's bytes are left in its hands */
};

struct far_options {
	struct grpc_channel_options
		channel; /* timers, random, authority and the like are filled in */
	uint64_t seed;   /* 0: bytes to the channel arrive in one piece */
	bool jitter;     /* the channel is given chance */
};

struct far {
	struct far_options options;
	int64_t now_ns;
	int64_t tick_ns; /* so much passes with each look at the clock */
	struct timers timers;
	struct random random, jitter;
	struct grpc_channel *channel;
	struct grpc_peer peer;
	struct counter attempts, retries, connects_failed, connections_lost, stream_waits;
	struct grpc_channel_meters meters;
	struct far_end ends[FAR_MAX_ENDS];
	size_t n_ends;
	unsigned connects; /* how often the channel asked */
	bool connect_due;
	bool refuse;       /* nobody listens */
	bool hold;         /* attempts stay without an outcome */
	struct buffer log; /* states and goaways: "CONNECTING READY " */
};

void far_init(struct far *far, const struct far_options *options);
/* Until nothing happens any more. */
void far_run(struct far *far);
void far_advance(struct far *far, int64_t ns);
void far_deinit(struct far *far);
/* The latest connection. */
struct far_end *far_end(struct far *far);
const char *far_log(struct far *far);

/* What a server says; each is followed by far_run(). */
void far_say(struct far_end *end, struct str octets);
void far_frame(struct far_end *end, uint8_t type, uint8_t flags, uint32_t stream,
	       struct str payload);
/* SETTINGS with pairs of (id, value), 0 ends them. */
void far_settings(struct far_end *end, ...);
/* Empty SETTINGS, and the acknowledgement of the channel's. */
void far_hello(struct far_end *end);
/* "name", "value", ... NULL. */
void far_headers(struct far_end *end, uint32_t stream, unsigned flags, ...);
/* :status 200 and content-type application/grpc. */
void far_respond(struct far_end *end, uint32_t stream);
/* A message, with its prefix and this flag. */
void far_message(struct far_end *end, uint32_t stream, uint8_t flag, struct str message);
/* grpc-status, and END_STREAM. */
void far_finish(struct far_end *end, uint32_t stream, const char *status);
void far_reset(struct far_end *end, uint32_t stream, uint32_t code);
void far_goaway(struct far_end *end, uint32_t last, uint32_t code, const char *debug);
void far_window(struct far_end *end, uint32_t stream, uint32_t n);
/* The connection goes, with this errno. */
void far_close(struct far_end *end, int err);

/* What the channel said: the n'th (from 0) frame of that type on that stream, or NULL. */
const struct far_frame *far_heard(struct far_end *end, uint8_t type, uint32_t stream, unsigned n);
/* The value of a field of the latest request that has it; NULL. */
const char *far_field(struct far_end *end, const char *name);

/* A call of raw messages, and what it heard. */
enum caller_method { CALLER_UNARY, CALLER_COLLECT, CALLER_SPREAD, CALLER_CHAT };

struct caller {
	struct buffer log;
	struct grpc_call *call; /* NULL once closed */
	unsigned closed, attempts;
	struct grpc_outcome outcome; /* without what it borrows */
	char text[256], details[64], trailer[64];
	bool hold; /* each message is held */
	void (*on_message)(struct caller *caller);
	void (*on_writable)(struct caller *caller);
	void (*on_closed)(struct caller *caller);
	int64_t started_ns, sent_ns, ended_ns; /* once closed */
};

struct grpc_call *far_call(struct far *far, struct caller *caller, enum caller_method method,
			   const struct grpc_call_options *options);
int caller_send(struct caller *caller, struct str message);
const char *caller_log(struct caller *caller);
void caller_deinit(struct caller *caller);

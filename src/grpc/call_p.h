/* The layout of a call, for the files of grpc/ only. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "grpc/call.h"
#include "grpc/codec.h"
#include "grpc/deframer.h"
#include "grpc/metadata.h"
#include "grpc/server.h"
#include "http2/session.h"

/* Memory that a call brings along for its metadata and message: most need no more. */
#define GRPC_CALL_INLINE_BYTES 384

/* Beyond the largest message, what unpacking it may take: see message.h. */
#define GRPC_UNPACK_OVERHEAD (4 * MIB)

/*
 * What a call's metadata may take, as a multiple of the header list limit. A
 * field, which counts at least 33 bytes there, takes 64 here; but a comma in a
 * "-bin" value counts one byte and makes a value of its own.
 */
#define GRPC_METADATA_GROWTH 4

/*
 * Blocks of nghttp2 that a server or a channel keeps to use again: enough for a
 * few thousand streams at once; a burst beyond that goes through malloc.
 */
#define GRPC_POOLED_BYTES (4 * MIB)

struct grpc_connection;
struct grpc_channel;

enum grpc_content {
	GRPC_CONTENT_NONE,
	GRPC_CONTENT_OTHER,
	GRPC_CONTENT_PLAIN,
	GRPC_CONTENT_PROTO,
	GRPC_CONTENT_UNKNOWN_CODEC
};

/* Of messages; absent is identity. */
enum grpc_encoding { GRPC_ENCODING_IDENTITY, GRPC_ENCODING_GZIP, GRPC_ENCODING_UNKNOWN };

/* What a header block said, on either side. Zero is "nothing yet". */
struct grpc_head {
	int64_t timeout_ns; /* where has_timeout */
	int http_status;    /* client */
	int status;         /* client: grpc-status; -1 malformed; where has_status */
	struct str message; /* client: grpc-message, decoded, in the arena */
	uint8_t content;    /* enum grpc_content */
	uint8_t encoding;   /* enum grpc_encoding: grpc-encoding */
	uint8_t refusal;    /* server: enum grpc_refusal, of an answer in HTTP that is due */
	bool accepts_gzip;  /* grpc-accept-encoding */
	bool post, head, path_seen, path_malformed, scheme_bad;
	bool has_timeout, timeout_bad;
	bool metadata_bad, no_memory;
	bool has_status;
	bool has_trace; /* server: there is a traceparent */
};

/* What a server and a channel have alike, for all of their calls. */
struct grpc_side {
	struct codec codec;
	size_t max_message, max_send_message; /* the second may be 0: no limit */
};

struct grpc_call {
	struct http2_stream stream;
	struct list node; /* server: free list; channel: waiting, or running calls */
	struct arena arena;
	struct deframer deframer;
	struct timer deadline;

	/* From here to the end of the group zeroed for each call. */
	struct grpc_call_each {
		const struct grpc_method *method;
		const struct grpc_service *service; /* client */
		const struct grpc_call_events *events;
		const struct grpc_method_meters *meters;
		void *context;
		void *message;    /* unpacked; the one that waits for END_STREAM, or the latest */
		struct bytes raw; /* where the method has no descriptor */
		struct grpc_head head;
		/*
		 * received: the peer's initial metadata; sending: ours, until it has left.
		 * trailers: a client's, as they came; a server's, until they leave.
		 */
		struct metadata received, trailers, sending;
		struct bytes details; /* grpc-status-details-bin, raw: to send, or as it came */
		int64_t started_ns, deadline_ns;
		/* client: `finished`, or the peer's end has come; server: `closed` */
		int64_t ended_ns;
		size_t charged;    /* server: of its budget for gathered bytes */
		size_t kept;       /* server: grpc_call_keeps() */
		size_t uncredited; /* of a stream of messages: taken, and not yet done with */
		unsigned n_messages;
		int status; /* where `finished` */
		struct str status_message;
		/*
		 * How far the end is. finished: the status is decided here, and no upcall but
		 * `closed` follows. stream.finishing: what carries it is queued behind the body.
		 * stream.local_ended: that was produced. settled: the status holds even if it
		 * never is (a deadline, a cancel).
		 */
		bool finished;
		bool headers_sent;
		bool half_closed; /* client: our side; server: the peer's, and it was said */
		bool exists;      /* server: its headers resolved to a method */
		bool counted;     /* server: `meters` have it in flight */
		bool answered;    /* server: the one message is queued, whole */
		bool settled;
		bool response_seen; /* client: final response headers are in */
		bool unprocessed;
		bool held;           /* grpc_call_hold() */
		bool in_message;     /* the handler is inside its `message` */
		bool flow_used;      /* `flow` has to be cleaned up */
		bool was_compressed; /* the latest message */
		bool compress;       /* the next message to send, where it may be */
		bool compress_asked; /* it was on before the headers left */
		bool gzip_announced; /* grpc-encoding: gzip is in our headers */

		/* client, from here */
		uint8_t origin;    /* enum grpc_origin, where settled */
		uint8_t n_details; /* how often grpc-status-details-bin came */
		bool wait_for_ready;
		bool just_begun;  /* it is within grpc_channel_call() */
		bool found_full;  /* it counted in stream_waits */
		bool retried;     /* sent anew once, since the server said so */
		bool committed;   /* the request is kept no more, nor sent anew */
		bool stream_gone; /* what is held or kept is due before `closed` */
		bool hearing;     /* the status is settled; the rest of an HTTP answer is heard */
		unsigned attempts;
	} each;

	struct grpc_connection *connection; /* channel: NULL while it waits */
	struct grpc_side *side;             /* of the server or the channel */
	struct grpc_server *server;         /* one of the two */
	struct grpc_channel *channel;
	struct timers *timers;
	uint8_t inline_memory[GRPC_CALL_INLINE_BYTES] __attribute__((aligned(16)));

	struct buffer request; /* client: kept to be sent anew */
	char *path;            /* client: in the arena */
	size_t path_len;
	/*
	 * Where the peer sends a stream of messages. `arena` holds the latest message,
	 * `pending` the bytes that came while one was held: no more than the stream's
	 * window. Untouched by other calls.
	 */
	struct grpc_call_flow {
		struct arena arena;
		struct buffer pending;
	} flow;

	uint8_t state[] __attribute__((aligned(16)));
};

static inline struct grpc_call *grpc_call_of(struct http2_stream *stream)
{
	return container_of(stream, struct grpc_call, stream);
}

/* call.c: before each use; `cap` bounds the arena. `side`, `server` or `channel` are set. */
void grpc_call_begin(struct grpc_call *call, struct timers *timers, int64_t now_ns, size_t cap);
/* call.c: after `closed`: everything it held goes back, for good or until the next begin. */
void grpc_call_end(struct grpc_call *call);
/* call.c: the memory of a call that has ended. */
void grpc_call_free(struct grpc_call *call);

/* call.c: content-type, of either side. */
enum grpc_content grpc_content_parse(struct str value);

/* call.c: grpc-encoding, and whether grpc-accept-encoding lists gzip. */
enum grpc_encoding grpc_encoding_parse(struct str value);
bool grpc_accepts_gzip(struct str value);

/* What the peer sends is a stream of messages, and not exactly one. */
static inline bool grpc_call_receives_stream(const struct grpc_call *call)
{
	return call->server ? grpc_shape_streams_requests(call->each.method->shape)
			    : grpc_shape_streams_responses(call->each.method->shape);
}

/*
 * receive.c: takes DATA: deframes, inflates, unpacks, gives credit. The messages
 * of a stream are delivered from within; after that the call may be `finished`.
 * A message of which there is to be exactly one is kept, and n_messages counts.
 * What comes while a message is held is kept as it is. GRPC_OK, or the status
 * (and text) that ends the call.
 */
enum grpc_status grpc_call_receive(struct grpc_call *call, struct bytes bytes,
				   const char **ret_why);
/* receive.c: goes on with what was kept, once `woken`. Results as above. */
enum grpc_status grpc_call_receive_kept(struct grpc_call *call, const char **ret_why);
/*
 * A message is held, or bytes wait behind it: the peer's end has to wait, too,
 * until receive_kept() has left this false.
 */
static inline bool grpc_call_blocked(const struct grpc_call *call)
{
	return call->each.held || (call->each.flow_used && buffer_len(&call->flow.pending) > 0);
}
/* The handler is about to be given a message. A client's calls have no meters. */
static inline void grpc_call_count_received(const struct grpc_call *call)
{
	if (call->each.meters) {
		meter_count(call->each.meters->messages_received);
	}
}
/* receive.c: forgets what was not delivered: the call is finished. */
void grpc_call_receive_stop(struct grpc_call *call);
/* receive.c: the same, and the message that was delivered last. */
void grpc_call_receive_deinit(struct grpc_call *call);
/* Bytes of the heap for messages and metadata that came in. */
static inline size_t grpc_call_received_bytes(const struct grpc_call *call)
{
	size_t bytes = call->deframer.gathered.capacity + call->arena.held;

	if (call->each.flow_used) {
		bytes += call->flow.arena.held + call->flow.pending.capacity;
	}
	return bytes;
}
/*
 * receive.c: the one message, as `message` upcalls are given it. NULL: not valid, and
 * the call ends INTERNAL with GRPC_INVALID_TEXT.
 */
#define GRPC_INVALID_TEXT "message holds text that is not UTF-8"
const void *grpc_call_the_message(const struct grpc_call *call);

/*
 * call.c: appends the prefix and the packed message, compressed where that is
 * announced and on. 0, -ENOMEM, -EMSGSIZE (over the limit for sent messages).
 */
int grpc_call_pack(struct grpc_call *call, const void *message, struct buffer *out);

/* call.c: fields to send: a fixed head, then the call's own metadata. */
#define GRPC_FIXED_FIELDS 10
struct grpc_fields {
	size_t n;
	struct http2_field *fields;
	struct http2_field fixed[GRPC_FIXED_FIELDS + 8];
};
/* Room for GRPC_FIXED_FIELDS and `n` of metadata. 0 or -ENOMEM. */
int grpc_fields_init(struct grpc_fields *fields, struct grpc_call *call, size_t n);
void grpc_fields_metadata(struct grpc_fields *fields, const struct metadata *metadata);

static inline void grpc_fields_add(struct grpc_fields *fields, struct str name, struct str value,
				   bool borrow)
{
	fields->fields[fields->n++] = http2_field(name, value, borrow);
}

/* server.c and channel.c: their halves of the public functions. */
int grpc_server_call_send(struct grpc_call *call, const void *message);
int grpc_channel_call_send(struct grpc_call *call, const void *message);
void grpc_channel_call_half_close(struct grpc_call *call);
void grpc_channel_call_cancel(struct grpc_call *call, enum grpc_status status);
/*
 * grpc_call_next() was called and there is something to deliver: receive_kept(),
 * and then the end where it came, soon and never from inside. The stream may be
 * gone already.
 */
void grpc_channel_call_wake(struct grpc_call *call);

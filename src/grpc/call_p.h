/* The layout of a call, for the files of grpc/ only. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "grpc/call.h"
#include "grpc/deframer.h"
#include "grpc/metadata.h"
#include "http2/session.h"

/* Memory that a call brings along for its metadata and message: most need no more. */
#define GRPC_CALL_INLINE_BYTES 384

/* Beyond the largest message, what unpacking it may take: see message.h. */
#define GRPC_UNPACK_OVERHEAD (4 * MIB)

/*
 * What a call's metadata may take, as a multiple of the header list limit. A
 * field, which counts at least 33 bytes there, takes 80 here; but a comma in a
 * "-bin" value counts one byte and makes a value of its own.
 */
#define GRPC_METADATA_GROWTH 4

/*
 * Blocks of nghttp2 that a server or a channel keeps to use again: enough for a
 * few thousand streams at once; a burst beyond that goes through malloc.
 */
#define GRPC_POOLED_BYTES (4 * MIB)

struct grpc_server;
struct grpc_connection;
struct grpc_channel;
struct grpc_method_meters;

enum grpc_content {
	GRPC_CONTENT_NONE,
	GRPC_CONTENT_OTHER,
	GRPC_CONTENT_PLAIN,
	GRPC_CONTENT_PROTO,
	GRPC_CONTENT_UNKNOWN_CODEC
};

/* What a header block said, on either side. Zero is "nothing yet". */
struct grpc_head {
	int64_t timeout_ns; /* where has_timeout */
	int http_status;    /* client */
	int status;         /* client: grpc-status; -1 malformed; where has_status */
	struct str message; /* client: grpc-message, decoded, in the arena */
	uint8_t content;    /* enum grpc_content */
	bool post, head, path_seen, path_malformed, scheme_bad;
	bool has_timeout, timeout_bad;
	bool encoding_unknown, metadata_bad, no_memory;
	bool has_status;
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
		void *message;    /* unpacked; waits for END_STREAM */
		struct bytes raw; /* where the method has no descriptor */
		struct grpc_head head;
		struct metadata received, trailers, sending;
		int64_t started_ns;
		size_t charged; /* of the server's budget for gathered bytes */
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
		bool half_closed; /* client: our side */
		bool exists;      /* server: its headers resolved to a method; it counts */
		bool settled;
		bool response_seen; /* client: final response headers are in */
		bool retried;       /* client: sent anew once */
		bool unprocessed;
	} each;

	/* one of the two */
	struct grpc_connection *connection; /* server; channel: NULL while it waits */
	struct grpc_server *server;
	struct grpc_channel *channel;
	struct timers *timers;
	struct buffer request; /* client: kept to be sent anew */
	char *path;            /* client: in the arena */
	size_t path_len;
	uint8_t inline_memory[GRPC_CALL_INLINE_BYTES] __attribute__((aligned(16)));
	uint8_t state[] __attribute__((aligned(16)));
};

static inline struct grpc_call *grpc_call_of(struct http2_stream *stream)
{
	return container_of(stream, struct grpc_call, stream);
}

/* call.c: before each use; `cap` bounds the arena. */
void grpc_call_begin(struct grpc_call *call, struct timers *timers, int64_t now_ns, size_t cap);
/* call.c: after `closed`: everything it held goes back, for good or until the next begin. */
void grpc_call_end(struct grpc_call *call);
/* call.c: the memory of a call that has ended. */
void grpc_call_free(struct grpc_call *call);

/* call.c: content-type, of either side. */
enum grpc_content grpc_content_parse(struct str value);

/*
 * call.c: takes DATA: unpacks into the arena, counts messages. GRPC_OK, or the
 * status (and text) that ends the call. `descriptor` is of what this side
 * receives.
 */
enum grpc_status grpc_call_receive(struct grpc_call *call, struct bytes bytes, size_t max,
				   const ProtobufCMessageDescriptor *descriptor,
				   const char **ret_why);
/* call.c: what `message` upcalls are given. */
const void *grpc_call_received_message(const struct grpc_call *call);

/* call.c: appends the prefix and the packed message. 0 or negative errno. */
int grpc_call_pack(const ProtobufCMessageDescriptor *descriptor, const void *message,
		   struct buffer *out);

/* call.c: fields to send: a fixed head, then the call's own metadata. */
#define GRPC_FIXED_FIELDS 10
struct grpc_fields {
	size_t n;
	struct http2_field *fields;
	struct http2_field fixed[GRPC_FIXED_FIELDS + 8];
};
/* Room for GRPC_FIXED_FIELDS and the metadata. 0 or -ENOMEM. */
int grpc_fields_init(struct grpc_fields *fields, struct grpc_call *call);
void grpc_fields_metadata(struct grpc_fields *fields, const struct metadata *metadata);

static inline void grpc_fields_add(struct grpc_fields *fields, struct str name, struct str value,
				   bool borrow)
{
	fields->fields[fields->n++] = (struct http2_field){ name, value, borrow };
}

/* server.c and channel.c: their halves of the public functions. */
int grpc_server_call_send(struct grpc_call *call, const void *message);
int grpc_channel_call_send(struct grpc_call *call, const void *message);
void grpc_channel_call_half_close(struct grpc_call *call);
void grpc_channel_call_cancel(struct grpc_call *call, enum grpc_status status);

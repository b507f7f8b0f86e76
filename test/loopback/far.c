#include "far.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFACE_BYTES 24
#define MAX_ROUNDS    100000

#define NOTE(log, ...)                                    \
	do {                                              \
		int rv = buffer_printf(log, __VA_ARGS__); \
		assert(rv == 0);                          \
		(void)rv;                                 \
	} while (0)

static const char *text_of(struct buffer *log)
{
	NOTE(log, "%c", '\0');
	log->end--;
	return (const char *)buffer_data(log);
}

/* The channel's owner */

static int64_t clock_of(void *context)
{
	struct far *far = context;

	far->now_ns += far->tick_ns;
	return far->now_ns;
}

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct far *far = user;

	(void)channel;
	far->connects++;
	far->connect_due = true;
}

static void on_goaway(void *user, struct grpc_channel *channel, uint32_t code, struct str debug)
{
	struct far *far = user;

	(void)channel;
	NOTE(&far->log, "goaway(%u%s%" STR_FMT ") ", code, debug.len > 0 ? " " : "",
	     STR_ARG(debug));
}

static void on_state_changed(void *user, struct grpc_channel *channel,
			     enum grpc_channel_state state)
{
	static const char *const names[] = { "IDLE", "CONNECTING", "READY", "FAILURE" };
	struct far *far = user;

	assert(grpc_channel_state(channel) == state);
	NOTE(&far->log, "%s ", names[state]);
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.goaway = on_goaway,
	.state_changed = on_state_changed,
};

static void on_wake(void *host)
{
	(void)host;
}

static void connect_now(struct far *far)
{
	struct far_end *end = &far->ends[far->n_ends];
	nghttp2_hd_inflater *inflater;

	far->connect_due = false;
	if (far->refuse) {
		grpc_channel_connect_failed(far->channel, -ECONNREFUSED, STR("nobody listens"));
		return;
	}
	assert(far->n_ends < FAR_MAX_ENDS);
	*end = (struct far_end){ .far = far };
	end->engine = grpc_channel_attach(far->channel, &far->peer);
	if (!end->engine) {
		grpc_channel_connect_failed(far->channel, -ENOMEM, STR("no memory"));
		return;
	}
	end->engine->wake = on_wake;
	end->engine->host = end;
	if (nghttp2_hd_inflate_new(&inflater) != 0) {
		abort();
	}
	end->inflater = inflater;
	far->n_ends++;
}

void far_init(struct far *far, const struct far_options *options)
{
	*far = (struct far){ .now_ns = NS_PER_S };
	if (options) {
		far->options = *options;
	}
	timers_init(&far->timers, clock_of, far);
	random_seed(&far->random, far->options.seed);
	random_seed(&far->jitter, 1);
	far->peer = (struct grpc_peer){ .id = 1, .address = "far" };
	far->meters = (struct grpc_channel_meters){
		.attempts = &far->attempts,
		.transparent_retries = &far->retries,
		.connects_failed = &far->connects_failed,
		.connections_lost = &far->connections_lost,
		.stream_waits = &far->stream_waits,
	};
	far->options.channel.meters = &far->meters;
	far->options.channel.timers = &far->timers;
	far->options.channel.random = far->options.jitter ? &far->jitter : NULL;
	far->options.channel.authority = "loopback";
	far->options.channel.user_agent = "grpc-c-loopback/1";
	far->channel = grpc_channel_new(&far->options.channel, &channel_events, far);
	assert(far->channel);
}

struct far_end *far_end(struct far *far)
{
	assert(far->n_ends > 0);
	return &far->ends[far->n_ends - 1];
}

const char *far_log(struct far *far)
{
	return text_of(&far->log);
}

/* What the channel says */

static void inflate(struct far_end *end, const uint8_t *block, size_t n)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t taken = nghttp2_hd_inflate_hd2(end->inflater, &nv, &flags, block, n, 1);

		assert(taken >= 0);
		block += taken;
		n -= (size_t)taken;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			NOTE(&end->fields, "%.*s: %.*s\n", (int)nv.namelen, nv.name,
			     (int)nv.valuelen, nv.value);
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(end->inflater);
			return;
		}
		assert(n > 0 || taken > 0);
	}
}

static uint32_t read_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static void note_frame(struct far_end *end, const uint8_t *head, const uint8_t *payload, size_t n)
{
	assert(end->n_frames < FAR_MAX_FRAMES);
	end->frames[end->n_frames++] = (struct far_frame){
		.type = head[3],
		.flags = head[4],
		.stream = read_u32(head + 5),
		.length = (uint32_t)n,
		.code = n >= 4 ? read_u32(payload) : 0,
	};
	if (head[3] == FAR_DATA) {
		int rv = buffer_append(&end->body, payload, n);

		assert(rv == 0);
		(void)rv;
	} else if (head[3] == FAR_HEADERS) {
		assert(head[4] & FAR_END_HEADERS);
		inflate(end, payload, n);
	}
}

static void parse(struct far_end *end)
{
	if (!end->preface_seen) {
		if (buffer_len(&end->in) < PREFACE_BYTES) {
			return;
		}
		assert(memcmp(buffer_data(&end->in), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			      PREFACE_BYTES) == 0);
		buffer_consume(&end->in, PREFACE_BYTES);
		end->preface_seen = true;
	}
	while (buffer_len(&end->in) >= 9) {
		const uint8_t *head = buffer_data(&end->in);
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

		if (buffer_len(&end->in) < 9 + n) {
			return;
		}
		note_frame(end, head, head + 9, n);
		buffer_consume(&end->in, 9 + n);
	}
}

/* True: something was said. */
static bool listen_to(struct far_end *end)
{
	size_t before = buffer_len(&end->in);
	bool finished;

	if (!end->engine) {
		return false;
	}
	if (end->engine->ops->produce(end->engine, &end->in, end->mute ? 0 : before + MIB) < 0) {
		end->failed = true;
	}
	finished = end->failed || end->engine->ops->finished(end->engine);
	before = buffer_len(&end->in) - before;
	parse(end);
	if (finished) {
		far_close(end, end->failed ? -EPROTO : 0);
		return true;
	}
	return before > 0;
}

void far_run(struct far *far)
{
	for (unsigned round = 0;; round++) {
		bool moved;

		assert(round < MAX_ROUNDS);
		moved = timers_run(&far->timers) > 0;
		if (far->connect_due && !far->hold) {
			connect_now(far);
			moved = true;
		}
		for (size_t i = 0; i < far->n_ends; i++) {
			moved |= listen_to(&far->ends[i]);
		}
		if (!moved && timers_next_ns(&far->timers) != 0) {
			return;
		}
	}
}

void far_advance(struct far *far, int64_t ns)
{
	far->now_ns += ns;
	far_run(far);
}

void far_close(struct far_end *end, int err)
{
	struct engine *engine = end->engine;

	if (engine) {
		end->engine = NULL;
		engine->ops->release(engine, err);
	}
}

void far_deinit(struct far *far)
{
	grpc_channel_drain(far->channel);
	far_run(far);
	for (size_t i = 0; i < far->n_ends; i++) {
		struct far_end *end = &far->ends[i];

		far_close(end, -ECONNRESET);
		buffer_free(&end->in);
		buffer_free(&end->body);
		buffer_free(&end->fields);
		nghttp2_hd_inflate_del(end->inflater);
	}
	far_run(far);
	grpc_channel_free(far->channel);
	buffer_free(&far->log);
	assert(!timers_first(&far->timers));
}

const struct far_frame *far_heard(struct far_end *end, uint8_t type, uint32_t stream, unsigned n)
{
	for (size_t i = 0; i < end->n_frames; i++) {
		const struct far_frame *frame = &end->frames[i];

		if (frame->type == type && frame->stream == stream && n-- == 0) {
			return frame;
		}
	}
	return NULL;
}

const char *far_field(struct far_end *end, const char *name)
{
	static char value[512];
	const char *at = text_of(&end->fields), *found = NULL;
	size_t n = strlen(name);

	for (; *at; at = strchr(at, '\n') + 1) {
		if (strncmp(at, name, n) == 0 && at[n] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + n + 2, "\n"),
				 at + n + 2);
			found = value;
		}
	}
	return found;
}

/* What a server says */

void far_say(struct far_end *end, struct str octets)
{
	struct far *far = end->far;

	while (octets.len > 0 && end->engine) {
		size_t n = far->options.seed && octets.len > 1
				   ? 1 + (size_t)random_below(&far->random, octets.len)
				   : octets.len;
		ssize_t taken =
			end->engine->ops->receive(end->engine, (const uint8_t *)octets.data, n);

		if (taken < 0) {
			end->failed = true;
			break;
		}
		octets.data += taken;
		octets.len -= (size_t)taken;
		listen_to(end);
	}
	far_run(far);
}

void far_frame(struct far_end *end, uint8_t type, uint8_t flags, uint32_t stream,
	       struct str payload)
{
	uint8_t head[9] = { (uint8_t)(payload.len >> 16),
			    (uint8_t)(payload.len >> 8),
			    (uint8_t)payload.len,
			    type,
			    flags,
			    (uint8_t)(stream >> 24),
			    (uint8_t)(stream >> 16),
			    (uint8_t)(stream >> 8),
			    (uint8_t)stream };
	struct buffer octets = BUFFER_INIT;

	if (buffer_append(&octets, head, sizeof(head)) < 0 ||
	    buffer_append(&octets, payload.data, payload.len) < 0) {
		abort();
	}
	far_say(end, (struct str){ (const char *)buffer_data(&octets), buffer_len(&octets) });
	buffer_free(&octets);
}

static void write_u32(uint8_t *bytes, uint32_t n)
{
	bytes[0] = (uint8_t)(n >> 24);
	bytes[1] = (uint8_t)(n >> 16);
	bytes[2] = (uint8_t)(n >> 8);
	bytes[3] = (uint8_t)n;
}

void far_settings(struct far_end *end, ...)
{
	uint8_t payload[60];
	size_t n = 0;
	va_list list;
	int id;

	va_start(list, end);
	while ((id = va_arg(list, int))) {
		payload[n] = 0;
		payload[n + 1] = (uint8_t)id;
		write_u32(payload + n + 2, va_arg(list, uint32_t));
		n += 6;
	}
	va_end(list);
	far_frame(end, FAR_SETTINGS, 0, 0, (struct str){ (const char *)payload, n });
}

void far_hello(struct far_end *end)
{
	far_frame(end, FAR_SETTINGS, 0, 0, STR(""));
	far_frame(end, FAR_SETTINGS, FAR_ACK, 0, STR(""));
}

/* HPACK: a literal without indexing, and without Huffman's code. */
static void put_text(struct buffer *block, const char *text)
{
	size_t n = strlen(text);

	if (n < 127) {
		NOTE(block, "%c", (char)n);
	} else {
		NOTE(block, "%c", 127);
		for (n -= 127; n >= 128; n /= 128) {
			NOTE(block, "%c", (char)(0x80 | (n & 127)));
		}
		NOTE(block, "%c", (char)n);
	}
	NOTE(block, "%s", text);
}

void far_headers(struct far_end *end, uint32_t stream, unsigned flags, ...)
{
	struct buffer block = BUFFER_INIT;
	const char *name;
	va_list list;

	va_start(list, flags);
	while ((name = va_arg(list, const char *))) {
		NOTE(&block, "%c", 0);
		put_text(&block, name);
		put_text(&block, va_arg(list, const char *));
	}
	va_end(list);
	far_frame(end, FAR_HEADERS, FAR_END_HEADERS | flags, stream,
		  (struct str){ (const char *)buffer_data(&block), buffer_len(&block) });
	buffer_free(&block);
}

void far_respond(struct far_end *end, uint32_t stream)
{
	far_headers(end, stream, 0, ":status", "200", "content-type", "application/grpc", NULL);
}

void far_message(struct far_end *end, uint32_t stream, uint8_t flag, struct str message)
{
	struct buffer octets = BUFFER_INIT;
	uint8_t prefix[5] = { flag };

	write_u32(prefix + 1, (uint32_t)message.len);
	if (buffer_append(&octets, prefix, 5) < 0 || buffer_append_str(&octets, message) < 0) {
		abort();
	}
	far_frame(end, FAR_DATA, 0, stream,
		  (struct str){ (const char *)buffer_data(&octets), buffer_len(&octets) });
	buffer_free(&octets);
}

void far_finish(struct far_end *end, uint32_t stream, const char *status)
{
	far_headers(end, stream, FAR_END_STREAM, "grpc-status", status, NULL);
}

static void frame_of_u32(struct far_end *end, uint8_t type, uint32_t stream, uint32_t n)
{
	uint8_t payload[4];

	write_u32(payload, n);
	far_frame(end, type, 0, stream, (struct str){ (const char *)payload, 4 });
}

void far_reset(struct far_end *end, uint32_t stream, uint32_t code)
{
	frame_of_u32(end, FAR_RST_STREAM, stream, code);
}

void far_window(struct far_end *end, uint32_t stream, uint32_t n)
{
	frame_of_u32(end, FAR_WINDOW_UPDATE, stream, n);
}

void far_goaway(struct far_end *end, uint32_t last, uint32_t code, const char *debug)
{
	char payload[128];
	size_t n = strlen(debug);

	assert(n <= sizeof(payload) - 8);
	write_u32((uint8_t *)payload, last);
	write_u32((uint8_t *)payload + 4, code);
	memcpy(payload + 8, debug, n);
	far_frame(end, FAR_GOAWAY, 0, 0, (struct str){ payload, 8 + n });
}

/* Calls */

static void on_opened(struct grpc_call *call)
{
	NOTE(&((struct caller *)grpc_call_context(call))->log, "opened; ");
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct caller *caller = grpc_call_context(call);
	const struct bytes *bytes = message;

	if (bytes->len > 32) {
		NOTE(&caller->log, "message[%zu]; ", bytes->len);
	} else {
		NOTE(&caller->log, "message(%.*s); ", (int)bytes->len, (const char *)bytes->data);
	}
	if (caller->hold) {
		grpc_call_hold(call);
	}
	if (caller->on_message) {
		caller->on_message(caller);
	}
}

static void on_writable(struct grpc_call *call)
{
	struct caller *caller = grpc_call_context(call);

	NOTE(&caller->log, "writable; ");
	if (caller->on_writable) {
		caller->on_writable(caller);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	static const char *const origins[] = { "peer", "here", "transport" };
	struct caller *caller = grpc_call_context(call);
	struct str note = metadata_get(outcome->trailers, STR("note"));

	caller->closed++;
	caller->call = NULL;
	caller->attempts = grpc_call_attempts(call);
	caller->started_ns = grpc_call_started_ns(call);
	caller->sent_ns = grpc_call_sent_ns(call);
	caller->ended_ns = grpc_call_ended_ns(call);
	caller->outcome = *outcome;
	snprintf(caller->text, sizeof(caller->text), "%" STR_FMT, STR_ARG(outcome->message));
	snprintf(caller->trailer, sizeof(caller->trailer), "%" STR_FMT, STR_ARG(note));
	snprintf(caller->details, sizeof(caller->details), "%.*s", (int)outcome->details.len,
		 outcome->details.len ? (const char *)outcome->details.data : "");
	NOTE(&caller->log, "closed(%s, %s%s); ", grpc_status_name(outcome->status),
	     origins[outcome->origin], outcome->unprocessed ? ", unprocessed" : "");
	if (caller->on_closed) {
		caller->on_closed(caller);
	}
}

static const struct grpc_call_events call_events = {
	.opened = on_opened,
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

static const struct grpc_method methods[] = {
	{ .name = "Unary", .shape = GRPC_UNARY },
	{ .name = "Collect", .shape = GRPC_CLIENT_STREAM },
	{ .name = "Spread", .shape = GRPC_SERVER_STREAM },
	{ .name = "Chat", .shape = GRPC_BIDI_STREAM },
};

static const struct grpc_service service = { "test.Streams", methods, ARRAY_SIZE(methods) };

struct grpc_call *far_call(struct far *far, struct caller *caller, enum caller_method method,
			   const struct grpc_call_options *options)
{
	buffer_clear(&caller->log);
	caller->closed = 0;
	caller->call = grpc_channel_call(far->channel, &service, &methods[method], &call_events,
					 options, caller);
	return caller->call;
}

int caller_send(struct caller *caller, struct str message)
{
	struct bytes bytes = { (const uint8_t *)message.data, message.len };

	return grpc_call_send(caller->call, &bytes);
}

const char *caller_log(struct caller *caller)
{
	return text_of(&caller->log);
}

void caller_deinit(struct caller *caller)
{
	buffer_free(&caller->log);
}

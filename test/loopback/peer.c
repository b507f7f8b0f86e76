#include "peer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "grpc/wire.h"

#define MAX_ROUNDS 100000
#define MAX_FIELDS 24

static int64_t clock_of(void *context)
{
	return ((struct peer *)context)->now_ns;
}

void peer_init(struct peer *peer, const struct peer_options *options)
{
	*peer = (struct peer){ .now_ns = NS_PER_S };
	if (options) {
		peer->options = *options;
	}
	peer->limits = peer->options.limits ? *peer->options.limits : grpc_server_default_limits;
	timers_init(&peer->timers, clock_of, peer);
	random_seed(&peer->random, peer->options.seed);
	peer->grpc_peer = (struct grpc_peer){ .id = 7, .address = "peer" };
	peer->server = grpc_server_new(&(struct grpc_server_options){
		.limits = &peer->limits,
		.meters = peer->options.meters,
		.timers = &peer->timers,
	});
	assert(peer->server);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	struct peer_stream *stream =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct str n = { (const char *)name, name_len }, v = { (const char *)value, value_len };

	(void)flags;
	(void)user;
	if (stream && buffer_printf(&stream->fields, "%" STR_FMT ": %" STR_FMT "\n", STR_ARG(n),
				    STR_ARG(v)) < 0) {
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t n, void *user)
{
	struct peer_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)user;
	(void)nghttp2_session_consume_connection(session, n);
	if (!stream) {
		return 0;
	}
	if (stream->stingy) {
		stream->unpaid += n;
	} else {
		(void)nghttp2_session_consume_stream(session, id, n);
	}
	return buffer_append(&stream->in, bytes, n) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct peer *peer = user;
	struct peer_stream *stream =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.last_stream_id != INT32_MAX) {
		peer->goaway = true;
	}
	if (!stream) {
		return 0;
	}
	if (frame->hd.type == NGHTTP2_HEADERS) {
		stream->blocks++;
		(void)buffer_append_str(&stream->fields, STR("\n"));
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		/* gRPC: never on DATA */
		assert(stream->plain || frame->hd.type == NGHTTP2_HEADERS);
		stream->ended = true;
	}
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct peer_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	(void)user;
	if (stream) {
		stream->closed = true;
		stream->code = code;
	}
	return 0;
}

static nghttp2_session *new_client(struct peer *peer)
{
	nghttp2_settings_entry settings[2];
	size_t n = 0;
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *client;
	nghttp2_option *option;
	int rv = nghttp2_session_callbacks_new(&callbacks);

	assert(rv == 0);
	rv = nghttp2_option_new(&option);
	assert(rv == 0);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	rv = nghttp2_session_client_new2(&client, callbacks, peer, option);
	assert(rv == 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (peer->options.window) {
		settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
							  peer->options.window };
	}
	if (peer->options.max_header_list) {
		settings[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
							  peer->options.max_header_list };
	}
	rv = nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, settings, n);
	assert(rv == 0);
	return client;
}

void peer_connect(struct peer *peer)
{
	peer->engine = grpc_server_accept(peer->server, &peer->grpc_peer);
	if (peer->engine) {
		peer->client = new_client(peer);
	} else {
		peer->failed = true;
	}
}

void peer_disconnect(struct peer *peer)
{
	struct engine *engine = peer->engine;

	peer->engine = NULL;
	if (engine) {
		engine->ops->release(engine, -ECONNRESET);
	}
	nghttp2_session_del(peer->client);
	peer->client = NULL;
	buffer_free(&peer->to_server);
	buffer_free(&peer->to_client);
}

void peer_deinit(struct peer *peer)
{
	peer_disconnect(peer);
	assert(grpc_server_calls(peer->server) == 0);
	grpc_server_free(peer->server);
	assert(!timers_first(&peer->timers));
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
			uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct peer_stream *stream = source->ptr;
	size_t n = MIN(room, buffer_len(&stream->out));

	(void)session;
	(void)id;
	(void)user;
	if (n == 0 && !stream->ending) {
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(out, buffer_data(&stream->out), n);
		buffer_consume(&stream->out, n);
	}
	if (stream->ending && buffer_len(&stream->out) == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
			     strlen(value), NGHTTP2_NV_FLAG_NONE };
}

void peer_call(struct peer *peer, struct peer_stream *stream, const char *path,
	       const char *const *more)
{
	nghttp2_nv fields[MAX_FIELDS] = {
		field(":method", "POST"), field(":scheme", "http"),
		field(":path", path),     field(":authority", "loopback"),
		field("te", "trailers"),  field("content-type", "application/grpc"),
	};
	nghttp2_data_provider source = { .source.ptr = stream, .read_callback = read_out };
	size_t n = 6;

	if (!peer->engine && !peer->failed) {
		peer_connect(peer);
	}
	*stream = (struct peer_stream){ .peer = peer };
	if (!peer->client) {
		return;
	}
	for (; more && more[0]; more += 2) {
		assert(n < MAX_FIELDS);
		fields[n++] = field(more[0], more[1]);
	}
	stream->id = nghttp2_submit_request(peer->client, NULL, fields, n, &source, stream);
	assert(stream->id > 0);
}

void peer_bytes(struct peer *peer, struct peer_stream *stream, struct str bytes)
{
	int rv = buffer_append_str(&stream->out, bytes);

	assert(rv == 0);
	(void)rv;
	if (peer->client) {
		(void)nghttp2_session_resume_data(peer->client, stream->id);
	}
}

void peer_message(struct peer *peer, struct peer_stream *stream, struct str message)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	grpc_prefix_write(prefix, false, (uint32_t)message.len);
	peer_bytes(peer, stream, (struct str){ (const char *)prefix, sizeof(prefix) });
	peer_bytes(peer, stream, message);
}

void peer_end(struct peer *peer, struct peer_stream *stream)
{
	stream->ending = true;
	peer_bytes(peer, stream, STR(""));
}

void peer_reset(struct peer *peer, struct peer_stream *stream, uint32_t code)
{
	if (peer->client) {
		(void)nghttp2_submit_rst_stream(peer->client, NGHTTP2_FLAG_NONE, stream->id, code);
	}
}

void peer_pay(struct peer *peer, struct peer_stream *stream)
{
	size_t n = stream->unpaid;

	stream->unpaid = 0;
	(void)nghttp2_session_consume_stream(peer->client, stream->id, n);
}

/* How much of `left` bytes goes now. */
static size_t piece(struct peer *peer, size_t left, bool to_server)
{
	size_t n = left;

	if (peer->options.seed && n > 1) {
		n = 1 + (size_t)random_below(&peer->random, n);
	}
	if (to_server && peer->options.cut > peer->sent) {
		n = MIN(n, peer->options.cut - peer->sent);
	}
	return n;
}

static bool to_server(struct peer *peer)
{
	struct buffer *queue = &peer->to_server;
	const uint8_t *bytes;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(peer->client, &bytes)) > 0) {
		if (buffer_append(queue, bytes, (size_t)n) < 0) {
			peer->failed = true;
			return false;
		}
	}
	if (buffer_len(queue) == 0) {
		return false;
	}
	n = peer->engine->ops->receive(peer->engine, buffer_data(queue),
				       piece(peer, buffer_len(queue), true));
	if (n < 0) {
		peer->failed = true;
		return false;
	}
	buffer_consume(queue, (size_t)n);
	peer->sent += (size_t)n;
	return true;
}

static bool to_client(struct peer *peer)
{
	struct buffer *queue = &peer->to_client;
	size_t room;
	ssize_t n;

	room = peer->options.room ? peer->options.room : 64 * KIB;
	room -= MIN(room, buffer_len(queue));
	if (peer->engine->ops->produce(peer->engine, queue, buffer_len(queue) + room) < 0) {
		peer->failed = true;
	}
	if (buffer_len(queue) == 0) {
		return false;
	}
	n = nghttp2_session_mem_recv(peer->client, buffer_data(queue),
				     piece(peer, buffer_len(queue), false));
	if (n < 0) {
		peer->failed = true;
		return false;
	}
	buffer_consume(queue, (size_t)n);
	return true;
}

void peer_run(struct peer *peer)
{
	for (unsigned round = 0; peer->engine; round++) {
		bool moved = timers_run(&peer->timers) > 0;

		assert(round < MAX_ROUNDS);
		moved |= !peer->failed && to_server(peer);
		moved |= !peer->failed && to_client(peer);
		if (peer->failed) {
			peer_disconnect(peer);
			return;
		}
		if (!moved && timers_next_ns(&peer->timers) != 0) {
			return;
		}
	}
}

void peer_advance(struct peer *peer, int64_t ns)
{
	peer->now_ns += ns;
	peer_run(peer);
}

const char *peer_field(struct peer_stream *stream, const char *name)
{
	struct str rest = { (const char *)buffer_data(&stream->fields),
			    buffer_len(&stream->fields) };
	size_t n = strlen(name);
	bool found = false;

	while (rest.len > 0) {
		const char *end = memchr(rest.data, '\n', rest.len);
		size_t line = (size_t)(end - rest.data);

		if (line >= n + 2 && memcmp(rest.data, name, n) == 0 &&
		    memcmp(rest.data + n, ": ", 2) == 0) {
			snprintf(stream->value, sizeof(stream->value), "%.*s", (int)(line - n - 2),
				 rest.data + n + 2);
			found = true;
		}
		rest = (struct str){ end + 1, rest.len - line - 1 };
	}
	return found ? stream->value : NULL;
}

void peer_stream_deinit(struct peer_stream *stream)
{
	buffer_free(&stream->out);
	buffer_free(&stream->in);
	buffer_free(&stream->fields);
}

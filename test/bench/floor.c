/*
 * The floor: the least that a libuv and nghttp2 server can do and still answer
 * a gRPC call. What a real server costs above it is what its checks, metrics,
 * limits and layers cost. For measurements on loopback only: it bounds nothing,
 * checks nothing and stops at the first surprise.
 *
 *	bench_floor PORT
 *
 * One read buffer for all connections; what one read gave goes through
 * mem_recv, and all that mem_send then has leaves in one uv_try_write. The
 * request's body is sent back as it came, behind it grpc-status 0.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>
#include <uv.h>

#define READ_BUFFER_BYTES 65536
#define MAX_STREAMS       1000
#define BODY_INLINE_BYTES 64 /* the common request costs one allocation */
#define NV(n, v)                                                                       \
	{                                                                              \
		(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, NV_FLAGS \
	}
#define NV_FLAGS           (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define REQUIRE(condition) ((condition) ? (void)0 : give_up(#condition))

struct peer {
	uv_tcp_t tcp; /* first: a handle is its peer */
	nghttp2_session *session;
};

struct exchange {
	uint8_t *body;
	size_t len, capacity, sent;
	uint8_t room[BODY_INLINE_BYTES];
};

struct rest { /* what one uv_try_write left over */
	uv_write_t request;
	uint8_t bytes[];
};

struct pile { /* all of one round's output */
	uint8_t *bytes;
	size_t len, capacity;
};

static const nghttp2_nv response_headers[] = {
	NV(":status", "200"),
	NV("content-type", "application/grpc"),
};
static const nghttp2_nv response_trailers[] = { NV("grpc-status", "0") };
static uint8_t read_buffer[READ_BUFFER_BYTES];
static struct pile pile;

static void give_up(const char *what)
{
	fprintf(stderr, "floor: failed: %s\n", what);
	exit(1);
}

static void grow(uint8_t **bytes, size_t *capacity, size_t need)
{
	while (*capacity < need) {
		*capacity *= 2;
	}
	*bytes = realloc(*bytes, *capacity);
	REQUIRE(*bytes);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct exchange *exchange = malloc(sizeof(*exchange));

	(void)user;
	REQUIRE(exchange);
	exchange->body = exchange->room;
	exchange->capacity = sizeof(exchange->room);
	exchange->len = exchange->sent = 0;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, exchange);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
			 size_t n, void *user)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)user;
	if (exchange->len + n > exchange->capacity) {
		uint8_t *inside = exchange->body == exchange->room ? exchange->room : NULL;

		exchange->body = inside ? NULL : exchange->body;
		grow(&exchange->body, &exchange->capacity, exchange->len + n);
		if (inside) {
			memcpy(exchange->body, inside, exchange->len);
		}
	}
	memcpy(exchange->body + exchange->len, bytes, n);
	exchange->len += n;
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
			 uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct exchange *exchange = source->ptr;
	size_t left = exchange->len - exchange->sent;
	size_t n = left < room ? left : room;

	(void)user;
	memcpy(out, exchange->body + exchange->sent, n);
	exchange->sent += n;
	if (exchange->sent == exchange->len) {
		*flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		REQUIRE(nghttp2_submit_trailer(session, id, response_trailers, 1) == 0);
	}
	return (ssize_t)n;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	nghttp2_data_provider body = { .read_callback = read_body };

	(void)user;
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		return 0;
	}
	body.source.ptr = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	return nghttp2_submit_response(session, frame->hd.stream_id, response_headers, 2, &body);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);

	(void)code;
	(void)user;
	if (exchange && exchange->body != exchange->room) {
		free(exchange->body);
	}
	free(exchange);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct peer *peer = (struct peer *)handle;

	nghttp2_session_del(peer->session);
	free(peer);
}

static void on_written(uv_write_t *request, int status)
{
	(void)status; /* a failure comes up in the read as well */
	free(request);
}

static void send_all(struct peer *peer)
{
	uv_buf_t buf;
	const uint8_t *bytes;
	ssize_t n;
	int sent;

	pile.len = 0;
	while ((n = nghttp2_session_mem_send(peer->session, &bytes)) > 0) {
		if (pile.len + (size_t)n > pile.capacity) {
			grow(&pile.bytes, &pile.capacity, pile.len + (size_t)n);
		}
		memcpy(pile.bytes + pile.len, bytes, (size_t)n);
		pile.len += (size_t)n;
	}
	REQUIRE(n == 0);
	if (pile.len == 0) {
		return;
	}
	buf = uv_buf_init((char *)pile.bytes, (unsigned)pile.len);
	sent = uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1);
	sent = sent < 0 ? 0 : sent;
	if ((size_t)sent < pile.len) {
		struct rest *rest = malloc(sizeof(*rest) + pile.len - (size_t)sent);

		REQUIRE(rest);
		buf = uv_buf_init((char *)rest->bytes, (unsigned)(pile.len - (size_t)sent));
		memcpy(rest->bytes, pile.bytes + sent, buf.len);
		REQUIRE(uv_write(&rest->request, (uv_stream_t *)&peer->tcp, &buf, 1, on_written) ==
			0);
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	(void)handle;
	(void)suggested;
	*ret = uv_buf_init((char *)read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct peer *peer = (struct peer *)stream;

	if (n == 0) {
		return;
	}
	if (n < 0 ||
	    nghttp2_session_mem_recv(peer->session, (const uint8_t *)buf->base, (size_t)n) != n) {
		uv_close((uv_handle_t *)stream, on_closed);
		return;
	}
	send_all(peer);
}

static void on_connection(uv_stream_t *server, int status)
{
	nghttp2_settings_entry streams = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS };
	struct peer *peer = malloc(sizeof(*peer));

	REQUIRE(status == 0 && peer);
	REQUIRE(uv_tcp_init(server->loop, &peer->tcp) == 0);
	REQUIRE(uv_accept(server, (uv_stream_t *)&peer->tcp) == 0);
	REQUIRE(uv_tcp_nodelay(&peer->tcp, 1) == 0);
	REQUIRE(nghttp2_session_server_new(&peer->session, server->data, peer) == 0);
	REQUIRE(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, &streams, 1) == 0);
	REQUIRE(uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read) == 0);
	send_all(peer);
}

int main(int argc, char **argv)
{
	nghttp2_session_callbacks *callbacks;
	struct sockaddr_in address;
	uv_tcp_t server;

	REQUIRE(argc == 2);
	REQUIRE(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	pile.capacity = READ_BUFFER_BYTES;
	grow(&pile.bytes, &pile.capacity, READ_BUFFER_BYTES);
	REQUIRE(uv_tcp_init(uv_default_loop(), &server) == 0);
	server.data = callbacks;
	REQUIRE(uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address) == 0);
	REQUIRE(uv_tcp_bind(&server, (const struct sockaddr *)&address, 0) == 0);
	REQUIRE(uv_listen((uv_stream_t *)&server, 1024, on_connection) == 0);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

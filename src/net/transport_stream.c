/*
 * The happy path: connect or accept -> `ready` from the loop -> reading starts
 * -> each read goes through the loop's one buffer to `data` -> a write is tried
 * at once, and only what the kernel does not take waits in `in_flight`.
 *
 * What can fail: connecting, reading, writing. All end in `closed`, which comes
 * from uv_close's callback and so never from inside a call of the user's.
 */
#include "net/transport_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "net/transport_stream_p.h"

struct stream {
	struct transport transport; /* first */
	struct loop *loop;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	uv_write_t write;
	union {
		uv_connect_t connect;
		uv_shutdown_t shutdown;
	} request;
	struct buffer in_flight;
	struct loop_task start;
	int err;
	bool writing, reading, paused, ready, eof, closing;
};

static struct stream *stream_of(struct transport *transport)
{
	return container_of(transport, struct stream, transport);
}

static void on_closed(uv_handle_t *handle)
{
	struct stream *stream = handle->data;
	const struct transport_events *events = stream->transport.events;
	void *user = stream->transport.user;
	int err = stream->err;

	buffer_free(&stream->in_flight);
	free(stream);
	if (events) {
		events->closed(user, err);
	}
}

static void stream_close(struct transport *transport, int err)
{
	struct stream *stream = stream_of(transport);

	if (stream->closing) {
		return;
	}
	stream->closing = true;
	stream->err = err;
	loop_unschedule(&stream->start);
	uv_close(&stream->uv.handle, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct stream *stream = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)stream->loop->read_buffer, LOOP_READ_BYTES);
}

static void update_reading(struct stream *stream);

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
	struct stream *stream = uv->data;

	if (n > 0) {
		stream->transport.events->data(stream->transport.user, (const uint8_t *)buf->base,
					       (size_t)n);
	} else if (n == UV_EOF) {
		stream->eof = true;
		update_reading(stream);
		stream->transport.events->eof(stream->transport.user);
	} else if (n < 0) {
		stream_close(&stream->transport, (int)n);
	}
}

/* Reads while someone wants to hear and there is something to hear. */
static void update_reading(struct stream *stream)
{
	bool wanted = stream->ready && !stream->paused && !stream->eof && !stream->closing;
	int rv = 0;

	if (wanted == stream->reading) {
		return;
	}
	stream->reading = wanted;
	if (wanted) {
		rv = uv_read_start(&stream->uv.stream, on_alloc, on_read);
	} else {
		uv_read_stop(&stream->uv.stream);
	}
	if (rv < 0) {
		stream_close(&stream->transport, rv);
	}
}

static void become_ready(struct stream *stream)
{
	if (stream->closing) {
		return;
	}
	stream->ready = true;
	stream->transport.events->ready(stream->transport.user);
	update_reading(stream);
}

static void on_start(struct loop_task *task)
{
	become_ready(container_of(task, struct stream, start));
}

static void on_connected(uv_connect_t *request, int status)
{
	struct stream *stream = request->handle->data;

	if (status == UV_ECANCELED) {
		return; /* closed meanwhile */
	}
	if (status < 0) {
		stream_close(&stream->transport, status);
		return;
	}
	become_ready(stream);
}

static void on_written(uv_write_t *request, int status)
{
	struct stream *stream = request->handle->data;

	stream->writing = false;
	buffer_free(&stream->in_flight);
	if (stream->closing) {
		return;
	}
	if (status < 0) {
		stream_close(&stream->transport, status);
		return;
	}
	stream->transport.events->drained(stream->transport.user);
}

static int stream_write(struct transport *transport, struct buffer *out)
{
	struct stream *stream = stream_of(transport);
	uv_buf_t buf;
	int rv;

	assert(!stream->writing);
	if (stream->closing) {
		return -ECANCELED;
	}
	buf = uv_buf_init((char *)buffer_data(out), (unsigned)buffer_len(out));
	rv = uv_try_write(&stream->uv.stream, &buf, 1);
	if (rv == UV_EAGAIN) {
		rv = 0;
	}
	if (rv < 0) {
		stream_close(transport, rv);
		return rv;
	}
	buffer_consume(out, (size_t)rv);
	if (buffer_len(out) == 0) {
		return 0;
	}
	buffer_swap(out, &stream->in_flight);
	buf = uv_buf_init((char *)buffer_data(&stream->in_flight),
			  (unsigned)buffer_len(&stream->in_flight));
	rv = uv_write(&stream->write, &stream->uv.stream, &buf, 1, on_written);
	if (rv < 0) {
		stream_close(transport, rv);
		return rv;
	}
	stream->writing = true;
	return 1;
}

static void stream_pause(struct transport *transport, bool paused)
{
	struct stream *stream = stream_of(transport);

	stream->paused = paused;
	update_reading(stream);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
	/* where it failed, the peer is gone, and reading will say so */
	(void)request;
	(void)status;
}

static void stream_shutdown(struct transport *transport)
{
	struct stream *stream = stream_of(transport);
	int rv = stream->closing
			 ? 0
			 : uv_shutdown(&stream->request.shutdown, &stream->uv.stream, on_shutdown);

	if (rv < 0) {
		stream_close(transport, rv == UV_ENOTCONN ? 0 : rv);
	}
}

static size_t stream_unsent(const struct transport *transport)
{
	const struct stream *stream = (const void *)transport; /* its first member */

	return stream->writing ? uv_stream_get_write_queue_size(&stream->uv.stream) : 0;
}

static const struct transport_ops ops = {
	.write = stream_write,
	.pause = stream_pause,
	.shutdown = stream_shutdown,
	.close = stream_close,
	.unsent = stream_unsent,
};

static struct stream *stream_new(struct loop *loop, int family)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int rv;

	if (!stream) {
		return NULL;
	}
	stream->transport.ops = &ops;
	stream->loop = loop;
	loop_task_init(&stream->start, on_start);
	rv = family == AF_UNIX ? uv_pipe_init(loop_uv(loop), &stream->uv.pipe, 0)
			       : uv_tcp_init(loop_uv(loop), &stream->uv.tcp);
	if (rv < 0) {
		free(stream);
		return NULL;
	}
	stream->uv.handle.data = stream;
	return stream;
}

static void discard(struct stream *stream)
{
	stream->transport.events = NULL; /* nobody hears of it */
	stream_close(&stream->transport, 0);
}

/* An accepted socket is in the handle: who is it, and off it goes from the loop. */
static void accepted(struct stream *stream, int family, struct transport **ret,
		     struct address *ret_peer)
{
	uv_os_fd_t fd;

	memset(ret_peer, 0, sizeof(*ret_peer));
	ret_peer->len = sizeof(ret_peer->storage);
	if (uv_fileno(&stream->uv.handle, &fd) < 0 ||
	    getpeername(fd, (struct sockaddr *)&ret_peer->storage, &ret_peer->len) < 0) {
		ret_peer->storage.ss_family = (sa_family_t)family;
		ret_peer->len = sizeof(sa_family_t);
	}
	if (family != AF_UNIX) {
		uv_tcp_nodelay(&stream->uv.tcp, 1);
	}
	loop_schedule(stream->loop, &stream->start);
	*ret = &stream->transport;
}

int transport_stream_accept(struct loop *loop, uv_stream_t *listener, int family,
			    struct transport **ret, struct address *ret_peer)
{
	struct stream *stream = stream_new(loop, family);
	int rv;

	if (!stream) {
		return -ENOMEM;
	}
	rv = uv_accept(listener, &stream->uv.stream);
	if (rv < 0) {
		discard(stream);
		return rv;
	}
	accepted(stream, family, ret, ret_peer);
	return 0;
}

int transport_stream_adopt(struct loop *loop, int fd, int family, struct transport **ret,
			   struct address *ret_peer)
{
	struct stream *stream = stream_new(loop, family);
	int rv;

	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	rv = family == AF_UNIX ? uv_pipe_open(&stream->uv.pipe, fd)
			       : uv_tcp_open(&stream->uv.tcp, fd);
	if (rv < 0) {
		close(fd);
		discard(stream);
		return rv;
	}
	accepted(stream, family, ret, ret_peer);
	return 0;
}

/* libuv 1.44 cannot name an abstract socket: connect by hand, unix sockets do not block here. */
static int connect_unix(struct stream *stream, const struct address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rv;

	if (fd < 0) {
		return -errno;
	}
	if (connect(fd, (const struct sockaddr *)&address->storage, address->len) < 0) {
		rv = -errno; /* EAGAIN: its backlog is full */
		close(fd);
		return rv;
	}
	rv = uv_pipe_open(&stream->uv.pipe, fd);
	if (rv < 0) {
		close(fd);
		return rv;
	}
	loop_schedule(stream->loop, &stream->start);
	return 0;
}

int transport_stream_connect(struct loop *loop, const struct address *address,
			     struct transport **ret)
{
	int family = address->storage.ss_family, rv;
	struct stream *stream = stream_new(loop, family);

	if (!stream) {
		return -ENOMEM;
	}
	if (family == AF_UNIX) {
		rv = connect_unix(stream, address);
	} else {
		rv = uv_tcp_connect(&stream->request.connect, &stream->uv.tcp,
				    (const struct sockaddr *)&address->storage, on_connected);
		if (rv == 0) {
			uv_tcp_nodelay(&stream->uv.tcp, 1);
		}
	}
	if (rv < 0) {
		discard(stream);
		return rv;
	}
	*ret = &stream->transport;
	return 0;
}

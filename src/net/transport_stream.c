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
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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
	union { /* one after the other */
		uv_connect_t connect;
		uv_write_t write;
	} request;
	struct buffer in_flight;
	struct loop_task start;
	uint64_t read_turn; /* of the loop, when it last read */
	int family;
	int err;
	bool writing, reading, paused, ready, eof, fin, closing;
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

	loop_unhold(stream->loop);
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

/*
 * libuv reads on while a read fills the buffer, up to 32 times. No buffer for a
 * second read in one turn ends that (on_read() gets UV_ENOBUFS), and the poll
 * reports the rest in the next.
 */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct stream *stream = handle->data;
	struct loop *loop = stream->loop;

	(void)suggested;
	if (stream->read_turn == loop->turn) {
		*buf = uv_buf_init(NULL, 0);
		return;
	}
	*buf = uv_buf_init((char *)loop->read_buffer, LOOP_READ_BYTES);
}

static void update_reading(struct stream *stream);

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf)
{
	struct stream *stream = uv->data;

	if (n > 0) {
		stream->read_turn = stream->loop->turn;
		stream->transport.events->data(stream->transport.user, (const uint8_t *)buf->base,
					       (size_t)n);
	} else if (n == UV_EOF) {
		stream->eof = true;
		update_reading(stream);
		stream->transport.events->eof(stream->transport.user);
	} else if (n < 0 && n != UV_ENOBUFS) {
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

/* Not uv_shutdown(): the write is over, so there is nothing to queue behind. */
static void send_fin(struct stream *stream)
{
	uv_os_fd_t fd;

	if (uv_fileno(&stream->uv.handle, &fd) == 0) {
		shutdown(fd,
			 SHUT_WR); /* where it fails the peer is gone, and reading will say so */
	}
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
	if (stream->fin) {
		send_fin(stream);
	}
	stream->transport.events->drained(stream->transport.user);
}

static int stream_write(struct transport *transport, struct buffer *out)
{
	struct stream *stream = stream_of(transport);
	uv_buf_t buf;
	int rv;

	assert(!stream->writing && !stream->fin);
	if (stream->closing) {
		return -ECANCELED;
	}
	if (buffer_len(out) == 0) {
		return 0;
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
	rv = uv_write(&stream->request.write, &stream->uv.stream, &buf, 1, on_written);
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

static void stream_shutdown(struct transport *transport)
{
	struct stream *stream = stream_of(transport);

	if (stream->closing || stream->fin) {
		return;
	}
	stream->fin = true;
	if (!stream->writing) {
		send_fin(stream);
	}
}

static size_t stream_unsent(const struct transport *transport)
{
	const struct stream *stream = (const void *)transport; /* its first member */

	return stream->writing ? uv_stream_get_write_queue_size(&stream->uv.stream) : 0;
}

static size_t stream_outstanding(const struct transport *transport)
{
	const struct stream *stream = (const void *)transport; /* its first member */
	uv_os_fd_t fd;
	int held = 0;

	/* tcp: sent or not, but not acknowledged; unix: not read by the peer */
	if (uv_fileno(&stream->uv.handle, &fd) < 0 || ioctl(fd, SIOCOUTQ, &held) < 0) {
		held = 0;
	}
	return stream_unsent(transport) + (size_t)held;
}

static const struct transport_ops ops = {
	.write = stream_write,
	.pause = stream_pause,
	.shutdown = stream_shutdown,
	.close = stream_close,
	.unsent = stream_unsent,
	.outstanding = stream_outstanding,
};

struct stream *stream_reserve(struct loop *loop, int family)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		return NULL;
	}
	stream->transport.ops = &ops;
	stream->loop = loop;
	stream->family = family;
	loop_task_init(&stream->start, on_start);
	return stream;
}

void stream_unreserve(struct stream *stream)
{
	free(stream);
}

/* From here it ends by stream_close() alone. */
static int open_handle(struct stream *stream)
{
	int rv = stream->family == AF_UNIX
			 ? uv_pipe_init(loop_uv(stream->loop), &stream->uv.pipe, 0)
			 : uv_tcp_init(loop_uv(stream->loop), &stream->uv.tcp);

	if (rv == 0) {
		stream->uv.handle.data = stream;
		loop_hold(stream->loop);
	}
	return rv;
}

/* A connected socket goes into the handle. On failure `fd` is still the caller's. */
static int open_socket(struct stream *stream, int fd)
{
	int rv = stream->family == AF_UNIX ? uv_pipe_open(&stream->uv.pipe, fd)
					   : uv_tcp_open(&stream->uv.tcp, fd);

	if (rv == 0) {
		if (stream->family != AF_UNIX) {
			uv_tcp_nodelay(&stream->uv.tcp, 1);
		}
		loop_schedule(stream->loop, &stream->start);
	}
	return rv;
}

int stream_adopt(struct stream *stream, int fd, struct transport **ret)
{
	int rv = open_handle(stream);

	if (rv < 0) {
		free(stream);
		close(fd);
		return rv;
	}
	rv = open_socket(stream, fd);
	if (rv < 0) {
		close(fd);
		stream_close(&stream->transport, 0); /* attached to nobody: nobody hears of it */
		return rv;
	}
	*ret = &stream->transport;
	return 0;
}

/* By hand: libuv 1.44 cannot name an abstract socket. Connecting to a unix socket does not wait. */
static int connect_unix(struct stream *stream, const struct address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rv;

	if (fd < 0) {
		return -errno;
	}
	rv = connect(fd, (const struct sockaddr *)&address->storage, address->len);
	rv = rv < 0 ? -errno /* EAGAIN: its backlog is full */ : open_socket(stream, fd);
	if (rv < 0) {
		close(fd);
	}
	return rv;
}

int transport_stream_connect(struct loop *loop, const struct address *address,
			     struct transport **ret)
{
	struct stream *stream = stream_reserve(loop, address->storage.ss_family);
	int rv;

	if (!stream) {
		return -ENOMEM;
	}
	stream->transport.dialled = true;
	rv = open_handle(stream);
	if (rv < 0) {
		free(stream);
		return rv;
	}
	if (stream->family == AF_UNIX) {
		rv = connect_unix(stream, address);
	} else {
		rv = uv_tcp_connect(&stream->request.connect, &stream->uv.tcp,
				    (const struct sockaddr *)&address->storage, on_connected);
		if (rv == 0) {
			uv_tcp_nodelay(&stream->uv.tcp, 1);
		}
	}
	if (rv < 0) {
		stream_close(&stream->transport, 0);
		return rv;
	}
	*ret = &stream->transport;
	return 0;
}

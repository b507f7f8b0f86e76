/*
 * The happy path: a spec becomes one or more sockets that listen, each watched
 * by a uv_poll_t; each peer that waits is accepted into a transport.
 *
 * Not uv_listen(): out of file descriptors libuv accepts and closes the whole
 * backlog, without a word; it cannot pause without taking one peer out of the
 * backlog; and 1.44 binds abstract names wrongly. Here whoever is not accepted
 * stays in the kernel's backlog.
 *
 * What can fail: accept(2), for want of descriptors or memory. Then accepting
 * rests for REST_NS.
 *
 *	OPEN --listener_close(), backlog accepted--> CLOSING --next turn, once more--> closed
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listener_bind.h"
#include "net/loop_p.h"
#include "net/transport_stream_p.h"

/* Peers taken in one turn, so that those who are in already get theirs. */
#define ACCEPT_BATCH 64

/* More than any backlog: the end of an accept loop that a flood could prolong. */
#define MAX_ACCEPTED_AT_CLOSE 65536

#define REST_NS (100 * NS_PER_MS)

struct listening {
	uv_poll_t poll;
	struct listener *listener;
	int fd;
	struct address address;
};

struct listener {
	struct loop *loop;
	struct listening sockets[LISTENER_MAX_SOCKETS];
	size_t n, n_closed;
	struct listener_meters meters;
	const struct listener_events *events;
	void *user;
	struct timer timer; /* a rest; the last look at the backlog */
	char path[108];     /* to unlink; "": none */
	dev_t path_device;
	ino_t path_inode;
	bool adopted, paused, resting, closing;
};

static void on_readable(uv_poll_t *poll, int status, int events);

/* Watches the sockets while peers are wanted. */
static void update_polls(struct listener *listener)
{
	bool wanted = !listener->paused && !listener->resting && !listener->closing;

	for (size_t i = 0; i < listener->n; i++) {
		if (wanted) {
			uv_poll_start(&listener->sockets[i].poll, UV_READABLE, on_readable);
		} else {
			uv_poll_stop(&listener->sockets[i].poll);
		}
	}
}

/* No descriptor or no memory for another peer: whoever waits may be luckier later. */
static void rest(struct listener *listener, int err)
{
	if (err == EMFILE || err == ENFILE) {
		meter_count(listener->meters.refused_files);
	}
	if (!listener->closing) {
		listener->resting = true;
		update_polls(listener);
		timer_start(loop_timers(listener->loop), &listener->timer, REST_NS);
	}
}

/* accept(2) also reports what befell the peer before; that concerns nobody else. */
static bool is_of_the_peer(int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM: /* a firewall */
		return true;
	default:
		return false;
	}
}

/* True: someone was accepted, or given up; there may be more. */
static bool accept_one(struct listening *socket)
{
	struct listener *listener = socket->listener;
	struct stream *stream = stream_reserve(listener->loop, socket->address.storage.ss_family);
	struct address peer = { .len = sizeof(peer.storage) };
	struct transport *transport;
	int fd, err;

	if (!stream) {
		rest(listener, ENOMEM);
		return false;
	}
	fd = accept4(socket->fd, (struct sockaddr *)&peer.storage, &peer.len,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		err = errno;
		stream_unreserve(stream);
		if (is_of_the_peer(err)) {
			return true;
		}
		/* EINVAL: a unix socket that was shut down, and is empty */
		if (err != EAGAIN && err != EWOULDBLOCK && err != EINVAL) {
			rest(listener, err);
		}
		return false;
	}
	if (stream_adopt(stream, fd, &transport) == 0) {
		meter_count(listener->meters.accepted);
		listener->events->accepted(listener->user, listener, transport, &peer);
	}
	return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct listening *socket = poll->data;
	const struct listener *listener = socket->listener;
	int n = 0;

	(void)status;
	(void)events;
	while (!listener->paused && !listener->closing && n++ < ACCEPT_BATCH &&
	       accept_one(socket)) {
	}
}

static void accept_backlog(struct listener *listener)
{
	for (size_t i = 0; i < listener->n; i++) {
		int n = 0;

		while (n++ < MAX_ACCEPTED_AT_CLOSE && accept_one(&listener->sockets[i])) {
		}
	}
}

/*
 * Between the last accept(2) and close(2) a peer could still get in, only to be
 * reset. So newcomers are kept out first: a unix socket that is shut down for
 * reading refuses them; on a TCP one a filter drops what begins a connection
 * (SYN without ACK: byte 13 of the header, RFC 9293 3.1), and the peer's kernel
 * tries again when the port is closed or someone else's. Handshakes under way
 * may finish. Where the kernel allows no filter (some want privilege for it), the
 * gap stays; --shutdown.delay, which lets balancers look elsewhere first, hides it.
 *
 * Not on an adopted socket: it is shared with whoever passed it on.
 */
static void keep_newcomers_out(const struct listening *socket)
{
	struct sock_filter drop_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* SYN, ACK */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { ARRAY_SIZE(drop_syn), drop_syn };

	if (socket->address.storage.ss_family == AF_UNIX) {
		shutdown(socket->fd, SHUT_RD);
	} else {
		setsockopt(socket->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct listening *socket = handle->data;
	struct listener *listener = socket->listener;

	if (++listener->n_closed < listener->n) {
		return;
	}
	loop_unhold(listener->loop);
	if (listener->events) {
		listener->events->closed(listener->user, listener);
	}
	free(listener);
}

static void close_sockets(struct listener *listener)
{
	for (size_t i = 0; i < listener->n; i++) {
		uv_close((uv_handle_t *)&listener->sockets[i].poll, on_closed);
		close(listener->sockets[i].fd);
	}
}

static void on_timer(struct timer *timer)
{
	struct listener *listener = container_of(timer, struct listener, timer);

	if (listener->closing) {
		accept_backlog(listener); /* whose handshake was under way */
		close_sockets(listener);
		return;
	}
	listener->resting = false;
	update_polls(listener);
}

static int set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		return -errno;
	}
	return 0;
}

/* Watches a socket that listens. Takes over `fd`, also on failure. */
static int watch(struct listener *listener, int fd)
{
	struct listening *socket = &listener->sockets[listener->n];
	struct address *address = &socket->address;
	int rv = 0;

	address->len = sizeof(address->storage);
	if (getsockname(fd, (struct sockaddr *)&address->storage, &address->len) < 0) {
		rv = -errno;
	}
	if (rv == 0) {
		rv = uv_poll_init(loop_uv(listener->loop), &socket->poll, fd);
	}
	if (rv < 0) {
		close(fd);
		return rv;
	}
	socket->poll.data = socket;
	socket->listener = listener;
	socket->fd = fd;
	if (listener->n++ == 0) {
		loop_hold(listener->loop);
	}
	return 0;
}

static void remember_path(struct listener *listener, const struct address_spec *spec)
{
	struct stat file;

	if (spec->kind == ADDRESS_UNIX && lstat(spec->path, &file) == 0) {
		memcpy(listener->path, spec->path, sizeof(listener->path));
		listener->path_device = file.st_dev;
		listener->path_inode = file.st_ino;
	}
}

/* The path, unless someone else has put his own there. */
static void unlink_path(struct listener *listener)
{
	struct stat file;

	if (listener->path[0] && lstat(listener->path, &file) == 0 &&
	    file.st_dev == listener->path_device && file.st_ino == listener->path_inode) {
		unlink(listener->path);
	}
}

static struct listener *listener_new(struct loop *loop, const struct listener_meters *meters,
				     const struct listener_events *events, void *user)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener) {
		listener->loop = loop;
		listener->meters = meters ? *meters : (struct listener_meters){ 0 };
		listener->events = events;
		listener->user = user;
		timer_init(&listener->timer, on_timer);
	}
	return listener;
}

/* 0: it accepts from now on. Else it goes away without a word. */
static int begin(struct listener *listener, int err, struct listener **ret)
{
	if (err == 0) {
		update_polls(listener);
		*ret = listener;
		return 0;
	}
	listener->events = NULL;
	listener->closing = true;
	unlink_path(listener);
	if (listener->n > 0) {
		close_sockets(listener);
	} else {
		free(listener);
	}
	return err;
}

int listener_open(struct loop *loop, const struct address_spec *spec, int backlog,
		  const struct listener_meters *meters, const struct listener_events *events,
		  void *user, struct listener **ret)
{
	struct listener *listener = listener_new(loop, meters, events, user);
	int fds[LISTENER_MAX_SOCKETS], n, rv = 0;

	if (!listener) {
		return -ENOMEM;
	}
	n = listener_bind(spec, backlog, fds);
	if (n < 0) {
		return begin(listener, n, ret);
	}
	remember_path(listener, spec);
	for (int i = 0; i < n; i++) {
		if (rv == 0) {
			rv = watch(listener, fds[i]);
		} else {
			close(fds[i]);
		}
	}
	return begin(listener, rv, ret);
}

int listener_adopt(struct loop *loop, int fd, const struct listener_meters *meters,
		   const struct listener_events *events, void *user, struct listener **ret)
{
	struct listener *listener = listener_new(loop, meters, events, user);
	int listens = 0, rv = 0;
	socklen_t size = sizeof(listens);

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	listener->adopted = true;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
		rv = -errno;
	} else if (!listens) {
		rv = -EINVAL;
	} else {
		rv = set_flags(fd);
	}
	if (rv < 0) {
		close(fd);
	} else {
		rv = watch(listener, fd);
	}
	return begin(listener, rv, ret);
}

const struct address *listener_address(const struct listener *listener)
{
	return &listener->sockets[0].address;
}

void listener_set_user_timeout(struct listener *listener, int64_t ns)
{
	unsigned ms = (unsigned)MIN(ns / NS_PER_MS, (int64_t)INT32_MAX);

	for (size_t i = 0; i < listener->n; i++) {
		/* Other kinds of socket do not know it, and need it as little. */
		(void)setsockopt(listener->sockets[i].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms,
				 sizeof(ms));
	}
}

void listener_pause(struct listener *listener, bool paused)
{
	if (listener->closing || listener->paused == paused) {
		return;
	}
	listener->paused = paused;
	if (paused) {
		meter_count(listener->meters.refused_limit);
	}
	update_polls(listener);
}

void listener_close(struct listener *listener)
{
	if (listener->closing) {
		return;
	}
	listener->closing = true;
	update_polls(listener);
	unlink_path(listener);
	if (!listener->adopted) {
		for (size_t i = 0; i < listener->n; i++) {
			keep_newcomers_out(&listener->sockets[i]);
		}
	}
	accept_backlog(listener);
	timer_start(loop_timers(listener->loop), &listener->timer, 0);
}

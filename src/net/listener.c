/*
 * The happy path: a spec becomes one or more sockets, bound by hand (libuv 1.44
 * binds abstract names wrongly, and a stale path needs a look first), which
 * libuv then listens on. Each new peer is accepted into a transport.
 *
 * Paused: the one peer that libuv has taken already is left unaccepted, and
 * libuv takes no more; the rest waits in the kernel's backlog.
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/loop_p.h"
#include "net/transport_stream_p.h"

#define MAX_SOCKETS 8

/* More than any backlog: the end of an accept loop that a flood could prolong. */
#define MAX_ACCEPTED_AT_CLOSE 65536

struct listening {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct listener *listener;
	struct address address;
	bool pending; /* libuv holds a peer that was not accepted while paused */
};

struct listener {
	struct loop *loop;
	struct listening sockets[MAX_SOCKETS];
	size_t n, n_closed;
	struct listener_meters meters;
	const struct listener_events *events;
	void *user;
	char unlink_path[108]; /* "" : none */
	bool paused, closing;
};

static void count(struct counter *counter)
{
	if (counter) {
		counter_increment(counter);
	}
}

static void deliver(struct listener *listener, struct transport *transport,
		    const struct address *peer)
{
	count(listener->meters.accepted);
	listener->events->accepted(listener->user, listener, transport, peer);
}

static int accept_pending(struct listening *socket)
{
	struct listener *listener = socket->listener;
	struct transport *transport;
	struct address peer;
	int rv = transport_stream_accept(listener->loop, &socket->uv.stream,
					 socket->address.storage.ss_family, &transport, &peer);

	if (rv == 0) {
		deliver(listener, transport, &peer);
	}
	return rv;
}

static void on_connection(uv_stream_t *uv, int status)
{
	struct listening *socket = uv->data;
	struct listener *listener = socket->listener;

	if (status < 0) {
		if (status == UV_EMFILE || status == UV_ENFILE) {
			count(listener->meters.refused_files);
		}
		return;
	}
	if (listener->paused) {
		socket->pending = true;
		return;
	}
	accept_pending(socket);
}

static void on_closed(uv_handle_t *handle)
{
	struct listening *socket = handle->data;
	struct listener *listener = socket->listener;

	if (++listener->n_closed < listener->n) {
		return;
	}
	if (listener->events) {
		listener->events->closed(listener->user, listener);
	}
	free(listener);
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

/* Hands a socket that is bound to libuv, which listens on it. Takes over `fd`, also on failure. */
static int watch(struct listener *listener, int fd, int backlog)
{
	struct listening *socket = &listener->sockets[listener->n];
	struct address *address = &socket->address;
	int rv = set_flags(fd);

	address->len = sizeof(address->storage);
	if (rv == 0 && getsockname(fd, (struct sockaddr *)&address->storage, &address->len) < 0) {
		rv = -errno;
	}
	if (rv < 0) {
		close(fd);
		return rv;
	}
	socket->listener = listener;
	if (address->storage.ss_family == AF_UNIX) {
		uv_pipe_init(loop_uv(listener->loop), &socket->uv.pipe, 0);
		rv = uv_pipe_open(&socket->uv.pipe, fd);
	} else {
		uv_tcp_init(loop_uv(listener->loop), &socket->uv.tcp);
		rv = uv_tcp_open(&socket->uv.tcp, fd);
	}
	socket->uv.handle.data = socket;
	listener->n++; /* from here it is closed with the others */
	if (rv < 0) {
		close(fd);
		return rv;
	}
	return uv_listen(&socket->uv.stream, backlog, on_connection);
}

/* True: the path is a socket that nobody answers on. Connecting to any other file is refused, too. */
static bool stale(const struct address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
	struct stat file;
	bool refused;
	int fd;

	if (lstat(un->sun_path, &file) < 0 || !S_ISSOCK(file.st_mode)) {
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return false;
	}
	refused = connect(fd, (const struct sockaddr *)&address->storage, address->len) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bound_socket(const struct address *address, bool dual_stack)
{
	int family = address->storage.ss_family, one = 1, only = !dual_stack, rv;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return -errno;
	}
	if (family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	}
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	}
	if (bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0) {
		rv = -errno;
		close(fd);
		return rv;
	}
	return fd;
}

static int bind_one(struct listener *listener, const struct address *address, bool dual_stack,
		    int backlog)
{
	int fd = bound_socket(address, dual_stack);

	return fd < 0 ? fd : watch(listener, fd, backlog);
}

static int open_unix(struct listener *listener, const struct address_spec *spec,
		     const struct address *address, int backlog)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
	int rv = bind_one(listener, address, false, backlog);

	if (rv == -EADDRINUSE && spec->kind == ADDRESS_UNIX && stale(address)) {
		unlink(un->sun_path);
		rv = bind_one(listener, address, false, backlog);
	}
	if (rv == 0 && spec->kind == ADDRESS_UNIX) {
		memcpy(listener->unlink_path, spec->path, sizeof(listener->unlink_path));
	}
	return rv;
}

static bool family_is_off(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

/* ":9876": one socket for both families, or IPv4 alone where there is no IPv6. */
static int open_any(struct listener *listener, const struct address_spec *spec, int backlog)
{
	struct address_spec any = *spec;
	struct address address;
	int rv;

	memcpy(any.host, "::", sizeof("::"));
	rv = address_resolve(&any, true, &address, 1);
	if (rv == 1) {
		rv = bind_one(listener, &address, true, backlog);
	}
	if (rv == 0 || (!family_is_off(rv) && rv != -ENOPROTOOPT && rv > -3000)) {
		return rv;
	}
	memcpy(any.host, "0.0.0.0", sizeof("0.0.0.0"));
	rv = address_resolve(&any, true, &address, 1);
	return rv == 1 ? bind_one(listener, &address, false, backlog) : rv;
}

static void set_port(struct address *address, const struct address *from)
{
	in_port_t port = from->storage.ss_family == AF_INET6
				 ? ((const struct sockaddr_in6 *)&from->storage)->sin6_port
				 : ((const struct sockaddr_in *)&from->storage)->sin_port;

	if (address->storage.ss_family == AF_INET6) {
		((struct sockaddr_in6 *)&address->storage)->sin6_port = port;
	} else {
		((struct sockaddr_in *)&address->storage)->sin_port = port;
	}
}

static int open_all(struct listener *listener, const struct address_spec *spec, int backlog)
{
	struct address addresses[MAX_SOCKETS];
	int n, rv = 0, skipped = 0;

	if (spec->kind == ADDRESS_INET && spec->host[0] == '\0') {
		return open_any(listener, spec, backlog);
	}
	n = address_resolve(spec, true, addresses, MAX_SOCKETS);
	if (n < 0) {
		return n;
	}
	if (spec->kind != ADDRESS_INET) {
		return open_unix(listener, spec, &addresses[0], backlog);
	}
	for (int i = 0; i < n; i++) {
		if (listener->n > 0) {
			set_port(&addresses[i], &listener->sockets[0].address); /* of port 0 */
		}
		rv = bind_one(listener, &addresses[i], false, backlog);
		if (family_is_off(rv)) {
			skipped = rv; /* a name's other addresses may do */
		} else if (rv < 0) {
			return rv;
		}
	}
	return listener->n > 0 ? 0 : skipped;
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
	}
	return listener;
}

static void close_sockets(struct listener *listener)
{
	listener->closing = true;
	for (size_t i = 0; i < listener->n; i++) {
		uv_close(&listener->sockets[i].uv.handle, on_closed);
	}
	if (listener->unlink_path[0]) {
		unlink(listener->unlink_path);
	}
}

/* Nothing came of it: goes away without a word. */
static void abandon(struct listener *listener)
{
	listener->events = NULL;
	if (listener->n == 0) {
		free(listener);
		return;
	}
	close_sockets(listener);
}

int listener_open(struct loop *loop, const struct address_spec *spec, int backlog,
		  const struct listener_meters *meters, const struct listener_events *events,
		  void *user, struct listener **ret)
{
	struct listener *listener = listener_new(loop, meters, events, user);
	int rv;

	if (!listener) {
		return -ENOMEM;
	}
	rv = open_all(listener, spec, backlog);
	if (rv < 0) {
		abandon(listener);
		return rv;
	}
	*ret = listener;
	return 0;
}

int listener_adopt(struct loop *loop, int fd, const struct listener_meters *meters,
		   const struct listener_events *events, void *user, struct listener **ret)
{
	struct listener *listener = listener_new(loop, meters, events, user);
	int rv;

	if (!listener) {
		close(fd);
		return -ENOMEM;
	}
	rv = watch(listener, fd, SOMAXCONN);
	if (rv < 0) {
		abandon(listener);
		return rv;
	}
	*ret = listener;
	return 0;
}

const struct address *listener_address(const struct listener *listener)
{
	return &listener->sockets[0].address;
}

void listener_pause(struct listener *listener, bool paused)
{
	if (listener->closing || listener->paused == paused) {
		return;
	}
	listener->paused = paused;
	if (paused) {
		count(listener->meters.refused_limit);
		return;
	}
	for (size_t i = 0; i < listener->n && !listener->paused; i++) {
		if (listener->sockets[i].pending) {
			listener->sockets[i].pending = false;
			accept_pending(&listener->sockets[i]);
		}
	}
}

/* A call that reached the backlog reached the server. */
static void accept_backlog(struct listening *socket)
{
	struct listener *listener = socket->listener;
	int family = socket->address.storage.ss_family;
	uv_os_fd_t fd;

	if (socket->pending) {
		socket->pending = false;
		accept_pending(socket);
	}
	if (uv_fileno(&socket->uv.handle, &fd) < 0) {
		return;
	}
	for (int i = 0; i < MAX_ACCEPTED_AT_CLOSE; i++) {
		int peer_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct transport *transport;
		struct address peer;

		if (peer_fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED) {
				continue;
			}
			return;
		}
		if (transport_stream_adopt(listener->loop, peer_fd, family, &transport, &peer) ==
		    0) {
			deliver(listener, transport, &peer);
		}
	}
}

void listener_close(struct listener *listener)
{
	if (listener->closing) {
		return;
	}
	listener->closing = true;
	for (size_t i = 0; i < listener->n; i++) {
		accept_backlog(&listener->sockets[i]);
	}
	close_sockets(listener);
}

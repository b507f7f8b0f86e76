#include "net/listener_bind.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/loop.h"

/*
 * True: the path is a socket that nobody answers on. Connecting to any other file
 * is refused, too.
 */
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

/* "[::]" means IPv4 as well, as it does for most servers, whatever net.ipv6.bindv6only says. */
static bool is_any6(const struct address *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;

	return in6->sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

/* A descriptor, or negative errno. */
static int listen_on(const struct address *address, int backlog)
{
	int family = address->storage.ss_family, one = 1, only = !is_any6(address), rv;
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
	if (bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0 ||
	    listen(fd, backlog) < 0) {
		rv = -errno;
		close(fd);
		return rv;
	}
	return fd;
}

static int listen_unix(const struct address_spec *spec, const struct address *address, int backlog)
{
	int fd = listen_on(address, backlog);

	if (fd == -EADDRINUSE && spec->kind == ADDRESS_UNIX && stale(address)) {
		unlink(spec->path);
		fd = listen_on(address, backlog);
	}
	return fd;
}

static bool family_is_off(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

/* ":9876": one socket for both families, or IPv4 alone where there is no IPv6. */
static int listen_any(const struct address_spec *spec, int backlog)
{
	static const char *const hosts[] = { "::", "0.0.0.0" };
	int fd = -EAFNOSUPPORT;

	for (size_t i = 0; i < ARRAY_SIZE(hosts) && family_is_off(fd); i++) {
		struct address_spec any = *spec;
		struct address address;
		int n;

		memcpy(any.host, hosts[i], strlen(hosts[i]) + 1);
		n = address_resolve(&any, true, &address, 1);
		if (n == 1) {
			fd = listen_on(&address, backlog);
		}
	}
	return fd;
}

static in_port_t *port_of(struct address *address)
{
	return address->storage.ss_family == AF_INET6
		       ? &((struct sockaddr_in6 *)&address->storage)->sin6_port
		       : &((struct sockaddr_in *)&address->storage)->sin_port;
}

/* Port 0: what the kernel gave to the first is for the others, too. */
static void take_port(struct address *address, int fd)
{
	struct address first = { .len = sizeof(first.storage) };

	if (getsockname(fd, (struct sockaddr *)&first.storage, &first.len) == 0) {
		*port_of(address) = *port_of(&first);
	}
}

static int listen_all(struct address *addresses, int n, int backlog,
		      int ret_fds[LISTENER_MAX_SOCKETS])
{
	int n_fds = 0, err = 0;

	for (int i = 0; i < n; i++) {
		int fd;

		if (n_fds > 0) {
			take_port(&addresses[i], ret_fds[0]);
		}
		fd = listen_on(&addresses[i], backlog);
		if (fd >= 0) {
			ret_fds[n_fds++] = fd;
			continue;
		}
		err = fd;
		if (!family_is_off(fd)) { /* else the name's other addresses may do */
			while (n_fds > 0) {
				close(ret_fds[--n_fds]);
			}
			break;
		}
	}
	return n_fds > 0 ? n_fds : err;
}

int listener_bind(const struct address_spec *spec, int backlog, int ret_fds[LISTENER_MAX_SOCKETS])
{
	struct address addresses[LISTENER_MAX_SOCKETS];
	int n, fd;

	if (spec->kind == ADDRESS_INET && spec->host[0] == '\0') {
		fd = listen_any(spec, backlog);
	} else {
		n = address_resolve(spec, true, addresses, LISTENER_MAX_SOCKETS);
		if (n < 0) {
			return n;
		}
		if (spec->kind == ADDRESS_INET) {
			return listen_all(addresses, n, backlog, ret_fds);
		}
		fd = listen_unix(spec, &addresses[0], backlog);
	}
	if (fd < 0) {
		return fd;
	}
	ret_fds[0] = fd;
	return 1;
}

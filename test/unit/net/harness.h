/*
 * What the tests of net/ share: places to listen at, bare sockets that play the
 * peer, and turning the loop until something is true.
 *
 * A case runs over tcp, a unix path and an abstract name where it is listed
 * with OVER_EACH.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/loop.h"

struct place {
	const char *name;
	enum address_kind kind;
};

static struct place place_tcp __attribute__((unused)) = { "tcp", ADDRESS_INET };
static struct place place_unix __attribute__((unused)) = { "unix", ADDRESS_UNIX };
static struct place place_abstract __attribute__((unused)) = { "abstract", ADDRESS_ABSTRACT };

#define OVER(place, test)                                                      \
	{                                                                      \
#test " over " #place, test, set_up, tear_down, &place_##place \
	}
#define OVER_EACH(test) OVER(tcp, test), OVER(unix, test), OVER(abstract, test)

/* How long anything may take before a test gives up, in a sanitizer on a busy machine. */
#define PATIENCE_NS (8 * NS_PER_S)

#define TURN_UNTIL(loop, condition)                                         \
	do {                                                                \
		int64_t give_up_ns = timers_monotonic(NULL) + PATIENCE_NS;  \
		while (!(condition)) {                                      \
			loop_turn(loop);                                    \
			if (timers_monotonic(NULL) > give_up_ns) {          \
				fail_msg("waited in vain for " #condition); \
			}                                                   \
			usleep(100);                                        \
		}                                                           \
	} while (0)

static inline void turn_for(struct loop *loop, int64_t ns)
{
	int64_t end_ns = timers_monotonic(NULL) + ns;

	while (timers_monotonic(NULL) < end_ns) {
		loop_turn(loop);
		usleep(100);
	}
}

/*
 * Turns until the loop has nothing left, and gives it back: whoever leaves a
 * handle is found out.
 */
static inline void free_loop(struct loop *loop)
{
	TURN_UNTIL(loop, !loop_turn(loop));
	loop_free(loop);
}

/* A new spelling at each call, but for tcp, whose port the kernel chooses. */
static inline void place_text(const struct place *place, char *text, size_t size)
{
	static unsigned n;

	switch (place->kind) {
	case ADDRESS_UNIX:
		snprintf(text, size, "unix:/tmp/net-test-%d-%u.sock", (int)getpid(), ++n);
		break;
	case ADDRESS_ABSTRACT:
		snprintf(text, size, "unix:@net-test-%d-%u", (int)getpid(), ++n);
		break;
	default:
		snprintf(text, size, "127.0.0.1:0");
	}
}

static inline struct address_spec spec_of(const char *text)
{
	struct address_spec spec;
	char why[100];

	if (address_parse(text, NULL, &spec, why, sizeof(why)) != 0) {
		fail_msg("%s %s", text, why);
	}
	return spec;
}

static inline struct address address_of(const char *text)
{
	struct address_spec spec = spec_of(text);
	struct address address;

	assert_int_equal(address_resolve(&spec, false, &address, 1), 1);
	return address;
}

static inline const struct sockaddr *sockaddr_of(const struct address *address)
{
	return (const struct sockaddr *)&address->storage;
}

/* Forgets a path that a test has bound. */
static inline void unlink_place(const struct address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;

	if (un->sun_family == AF_UNIX && un->sun_path[0] == '/') {
		unlink(un->sun_path);
	}
}

/* A bare listening socket, and where it is. 0 bytes: the kernel's default of buffers. */
static inline int listen_bare(const struct place *place, int backlog, int send_buffer,
			      struct address *ret)
{
	char text[ADDRESS_TEXT_MAX];
	int fd;

	place_text(place, text, sizeof(text));
	*ret = address_of(text);
	fd = socket(ret->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	if (send_buffer > 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	}
	assert_int_equal(bind(fd, sockaddr_of(ret), ret->len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	if (place->kind == ADDRESS_INET) {
		ret->len = sizeof(ret->storage);
		getsockname(fd, (struct sockaddr *)&ret->storage, &ret->len);
	}
	return fd;
}

static inline int dial_bare_with(const struct address *address, int receive_buffer)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (receive_buffer > 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	}
	if (connect(fd, sockaddr_of(address), address->len) != 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* A peer that does not block; negative errno where nobody answers. */
static inline int dial_bare(const struct address *address)
{
	return dial_bare_with(address, 0);
}

/* The next waiting peer of a bare listening socket. */
static inline int accept_bare(int fd)
{
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Closes so that the other side sees a reset (over unix sockets: leave something unread). */
static inline void reset_bare(int fd)
{
	struct linger now = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Has the other side said FIN, with nothing left to read? */
static inline bool at_eof(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Our own socket at the other end of a peer's, of the same process; tcp alone. */
static inline int facing(int peer)
{
	struct sockaddr_storage wanted = { 0 }, found = { 0 };
	socklen_t len = sizeof(wanted);

	getsockname(peer, (struct sockaddr *)&wanted, &len);
	for (int fd = 3; fd < 1024; fd++) {
		len = sizeof(found);
		if (fd != peer && getpeername(fd, (struct sockaddr *)&found, &len) == 0 &&
		    memcmp(&wanted, &found, len) == 0) {
			return fd;
		}
	}
	return -1;
}

/* Bytes under way to `peer` that the kernel holds. */
static inline size_t kernel_holds(int peer)
{
	int unread = 0, unsent = 0, fd;

	ioctl(peer, FIONREAD, &unread);
	fd = facing(peer);
	if (fd >= 0) {
		/* sent, not acknowledged: may stand in the peer's queue already */
		ioctl(fd, SIOCOUTQNSD, &unsent);
	}
	return (size_t)unread + (size_t)unsent;
}

/* The byte at a place of the stream that tests send: no run of it looks like another. */
static inline uint8_t pattern(size_t at)
{
	return (uint8_t)(at ^ (at >> 8) * 31 ^ (at >> 16) * 101);
}

static inline void fill_pattern(uint8_t *bytes, size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++) {
		bytes[i] = pattern(at + i);
	}
}

/* Writes what goes of the pattern, [*at, end); true: all of it is out. */
static inline bool push(int fd, size_t *at, size_t end)
{
	uint8_t bytes[16 * 1024];

	while (*at < end) {
		size_t n = MIN(sizeof(bytes), end - *at);
		ssize_t sent;

		fill_pattern(bytes, n, *at);
		sent = send(fd, bytes, n, MSG_NOSIGNAL);
		if (sent < 0) {
			return false;
		}
		*at += (size_t)sent;
	}
	return true;
}

/* Reads at most `most` bytes that are there, which must go on with the pattern at *at. */
static inline size_t pull(int fd, size_t *at, size_t most)
{
	uint8_t bytes[16 * 1024];
	size_t total = 0;

	while (total < most) {
		ssize_t n = recv(fd, bytes, MIN(sizeof(bytes), most - total), MSG_DONTWAIT);

		if (n <= 0) {
			break;
		}
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] != pattern(*at + (size_t)i)) {
				fail_msg("byte %zu is not what was sent", *at + (size_t)i);
			}
		}
		*at += (size_t)n;
		total += (size_t)n;
	}
	return total;
}

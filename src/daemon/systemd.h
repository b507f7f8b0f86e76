/*
 * What systemd gives a service and wants from it: sockets that it opened before
 * (sd_listen_fds(3)), readiness and status (sd_notify(3)), and pings that prove
 * the process alive (sd_watchdog_enabled(3)). Where the service was started by
 * something else, or was built without libsystemd, all of it is silent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* An inherited listening socket. */
struct systemd_socket {
	char *name; /* FileDescriptorName= of its unit; "unknown" where it has none */
	int fd;     /* close-on-exec; whoever takes it over sets this to -1 */
};

struct systemd {
	struct systemd_socket *sockets;
	size_t n_sockets;
	int64_t watchdog_ns; /* at least one ping in this time; 0: none wanted */
};

/*
 * Takes LISTEN_* and WATCHDOG_* out of the environment. 0, or negative errno
 * where what they say makes no sense; the structure is then empty and usable.
 */
int systemd_init(struct systemd *ret);
/* Closes the sockets that nobody took over, and forgets NOTIFY_SOCKET. */
void systemd_deinit(struct systemd *systemd);

void systemd_ready(const char *status);
/* `timeout_ns`: how long stopping may take; the manager waits for it, whatever the unit says. */
void systemd_stopping(const char *status, int64_t timeout_ns);
void systemd_ping(void);

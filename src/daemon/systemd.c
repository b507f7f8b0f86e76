#include "daemon/systemd.h"

#ifdef ECHOD_SYSTEMD

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/util.h"

/* sd_listen_fds_with_names() gives an array of names from the heap, NULL-terminated. */
static int take_sockets(struct systemd *ret)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	if (n <= 0) {
		return n;
	}
	ret->sockets = calloc((size_t)n, sizeof(*ret->sockets));
	for (int i = 0; i < n; i++) {
		if (ret->sockets) {
			ret->sockets[i].name = names[i];
			ret->sockets[i].fd = SD_LISTEN_FDS_START + i;
		} else {
			free(names[i]);
			close(SD_LISTEN_FDS_START + i);
		}
	}
	free(names);
	if (!ret->sockets) {
		return -ENOMEM;
	}
	ret->n_sockets = (size_t)n;
	return 0;
}

int systemd_init(struct systemd *ret)
{
	*ret = (struct systemd){ 0 };

	int err = take_sockets(ret);
	uint64_t watchdog_us = 0;
	int enabled = sd_watchdog_enabled(1, &watchdog_us);

	if (enabled > 0) {
		ret->watchdog_ns = watchdog_us > (uint64_t)(INT64_MAX / NS_PER_US)
					   ? INT64_MAX
					   : (int64_t)watchdog_us * NS_PER_US;
	}
	return err < 0 ? err : MIN(enabled, 0);
}

void systemd_deinit(struct systemd *systemd)
{
	for (size_t i = 0; i < systemd->n_sockets; i++) {
		free(systemd->sockets[i].name);
		if (systemd->sockets[i].fd >= 0) {
			close(systemd->sockets[i].fd);
		}
	}
	free(systemd->sockets);
	*systemd = (struct systemd){ 0 };
	unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not take a message is not for us to repair: results are not looked at. */
void systemd_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void systemd_stopping(const char *status, int64_t timeout_ns)
{
	sd_notifyf(0, "STOPPING=1\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%lld", status,
		   (long long)(timeout_ns / NS_PER_US));
}

void systemd_ping(void)
{
	sd_notify(0, "WATCHDOG=1");
}

#else

int systemd_init(struct systemd *ret)
{
	*ret = (struct systemd){ 0 };
	return 0;
}

void systemd_deinit(struct systemd *systemd)
{
	(void)systemd;
}

void systemd_ready(const char *status)
{
	(void)status;
}

void systemd_stopping(const char *status, int64_t timeout_ns)
{
	(void)status;
	(void)timeout_ns;
}

void systemd_ping(void)
{
}

#endif

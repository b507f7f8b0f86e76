#include "client/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/connection.h"
#include "net/transport_stream.h"

/* Far more than servers of metrics send. */
#define MAX_HEAD_BYTES (16 * KIB)
/* How long the server may take to close, once the answer is in. */
#define LINGER_NS (200 * NS_PER_MS)

struct fetch {
	struct fetch_options options;
	int64_t due_ns;
	size_t next; /* address to try */
	struct loop_task step;
	struct connection *connection;   /* NULL: none */
	struct connection_limits limits; /* its own, which it borrows */
	bool ready;                      /* it was connected */
	bool told;                       /* `done` was called, or is not to be */
	int err;                         /* of the last attempt to connect */
	char accept[64];
	char target[FETCH_MAX_TARGET];
};

/* -- URLs -- */

static int refuse(char *why, size_t size, const char *reason)
{
	snprintf(why, size, "%s", reason);
	return -1;
}

/* What may stand in a request line and in Host as it is. */
static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f) {
			return false;
		}
	}
	return true;
}

int fetch_parse_url(const char *text, struct fetch_url *ret, char *why, size_t size)
{
	static const char scheme[] = "http://";
	const char *authority = text + sizeof(scheme) - 1;
	size_t len;
	int n;

	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0) {
		return refuse(why, size, "does not begin with http://");
	}
	len = strcspn(authority, "/?#");
	if (!is_printable(text) || strchr(text, '#')) {
		return refuse(why, size, "has a character that a URL cannot have here");
	}
	if (len == 0 || len >= sizeof(ret->host) || memchr(authority, '@', len)) {
		return refuse(why, size, "needs a host, or a host and a port, behind http://");
	}
	snprintf(ret->host, sizeof(ret->host), "%.*s", (int)len, authority);
	if (ret->host[0] == ':' || strncmp(ret->host, "unix:", 5) == 0) {
		return refuse(why, size, "needs a host, or a host and a port, behind http://");
	}
	n = snprintf(ret->target, sizeof(ret->target), "%s%s", authority[len] == '/' ? "" : "/",
		     authority + len);
	if (n < 0 || (size_t)n >= sizeof(ret->target)) {
		return refuse(why, size, "has a path that is too long");
	}
	return address_parse(ret->host, "80", &ret->spec, why, size) < 0 ? -1 : 0;
}

int fetch_resolve(const struct fetch_url *url, struct fetch_server *ret, char *why, size_t size)
{
	int n = address_resolve(&url->spec, false, ret->addresses, FETCH_MAX_ADDRESSES);

	if (n <= 0) {
		snprintf(why, size, "cannot resolve %.100s: %s", url->host,
			 n < 0 ? net_strerror(n) : "it has no address");
		return -1;
	}
	ret->url = url;
	ret->n = (size_t)n;
	return 0;
}

/* -- The exchange -- */

static void tell(struct fetch *fetch, const struct http1_answer *answer)
{
	if (!fetch->told) {
		fetch->told = true;
		fetch->options.done(fetch->options.user, answer);
	}
}

static void on_answer(void *user, const struct http1_answer *answer)
{
	tell(user, answer);
}

static const struct http1_client_events client_events = { .done = on_answer };

static int64_t left_ns(const struct fetch *fetch)
{
	return MAX(fetch->due_ns - timers_now(loop_timers(fetch->options.loop)), NS_PER_MS);
}

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct fetch *fetch = user;
	struct http1_client_limits limits = {
		.max_head_bytes = MAX_HEAD_BYTES,
		.max_body_bytes = fetch->options.max_bytes,
		.head_timeout_ns = left_ns(fetch),
		.timeout_ns = left_ns(fetch),
	};
	struct http1_client_request request = {
		.host = str_from(fetch->options.server->url->host),
		.target = str_from(fetch->target),
		.accept = str_from(fetch->accept),
	};
	struct engine *engine;

	(void)connection;
	if (fetch->told) {
		return NULL;
	}
	engine = http1_client_new(&limits, &request, &client_events, fetch,
				  loop_timers(fetch->options.loop));
	fetch->ready = engine != NULL;
	fetch->err = engine ? 0 : -ENOMEM;
	return engine;
}

static void on_closed(void *user, struct connection *connection, enum connection_close_reason why,
		      int err)
{
	struct fetch *fetch = user;

	(void)connection;
	fetch->connection = NULL;
	if (fetch->told || fetch->ready) {
		free(fetch); /* all has been told: the engine's last word came first */
		return;
	}
	if (fetch->err == 0) {
		fetch->err = err < 0                            ? err
			     : why == CONNECTION_CLOSED_TIMEOUT ? -ETIMEDOUT
								: -ECONNRESET;
	}
	loop_schedule(fetch->options.loop, &fetch->step);
}

static const struct connection_events connection_events = {
	.ready = on_ready,
	.closed = on_closed,
};

static int try_address(struct fetch *fetch, const struct address *address)
{
	struct transport *transport;
	int err = transport_stream_connect(fetch->options.loop, address, &transport);

	if (err < 0) {
		return err;
	}
	/* An address that never answers must leave time for the next. */
	fetch->limits = connection_default_limits;
	fetch->limits.connect_ns =
		MAX(left_ns(fetch) / (int64_t)(fetch->options.server->n - fetch->next), NS_PER_MS);
	fetch->limits.linger_ns = LINGER_NS;
	fetch->err = 0;
	fetch->connection = connection_new(fetch->options.loop, transport, &fetch->limits, NULL,
					   &connection_events, fetch);
	return fetch->connection ? 0 : -ENOMEM;
}

/* Tries the addresses that are left; the last that failed says why. */
static void on_step(struct loop_task *task)
{
	struct fetch *fetch = container_of(task, struct fetch, step);
	const struct fetch_server *server = fetch->options.server;

	while (fetch->next < server->n) {
		size_t i = fetch->next;
		int err = try_address(fetch, &server->addresses[i]);

		fetch->next = i + 1;
		if (err == 0) {
			return;
		}
		fetch->err = err;
	}
	tell(fetch, &(struct http1_answer){ .why = net_strerror(fetch->err) });
	free(fetch);
}

struct fetch *fetch_start(const struct fetch_options *options)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));

	if (!fetch) {
		return NULL;
	}
	fetch->options = *options;
	fetch->due_ns = timers_now(loop_timers(options->loop)) + options->timeout_ns;
	snprintf(fetch->accept, sizeof(fetch->accept), "%s", options->accept);
	snprintf(fetch->target, sizeof(fetch->target), "%s",
		 options->target ? options->target : options->server->url->target);
	loop_task_init(&fetch->step, on_step);
	loop_schedule(options->loop, &fetch->step);
	return fetch;
}

void fetch_abort(struct fetch *fetch)
{
	fetch->told = true;
	loop_unschedule(&fetch->step);
	if (fetch->connection) {
		connection_close(fetch->connection, CONNECTION_CLOSED_LOCAL, 0);
	} else {
		free(fetch);
	}
}

/*
 * A server under test with a handler that answers each request with what it saw
 * of it. Link with -Wl,--wrap=time: the date stands still.
 */
#pragma once

#include "host.h"

#include <time.h>

#include "http1/server.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT" /* the example of RFC 9110 5.6.7 */

time_t __wrap_time(time_t *ret);
time_t __wrap_time(time_t *ret)
{
	assert_null(ret);
	return 784111777;
}

/* Of a body; the other limits of a peer are the default ones. */
#define KEPT ((size_t)12)

/* A server that answers each request with its method, path, query, and what it keeps of a body. */
struct peer {
	struct host host;
	bool later;             /* do not answer yet */
	bool put_off;           /* nor that, but say that the response comes later */
	struct http1_later put; /* then */
	bool close;
	size_t body_bytes; /* answer with that many bytes instead */
	int64_t write_timeout_ns;
	struct http1_server *waiting;
	int requests, closed, responses;
	int statuses[64];
	char seen[512]; /* the last request */
};

/* `server` NULL: by what was put off. */
static inline void answer(struct peer *peer, struct http1_server *server)
{
	struct http1_response response = {
		.status = 200,
		.content_type = "text/plain",
		.headers = "X-Test: yes\r\n",
		.close = peer->close,
		.write_timeout_ns = peer->write_timeout_ns,
	};

	if (peer->put_off) {
		response.later = &peer->put;
		http1_server_respond(server, &response);
		return;
	}

	if (peer->body_bytes > 0) {
		uint8_t *bytes = buffer_reserve(&response.body, peer->body_bytes);

		if (bytes) {
			memset(bytes, 'x', peer->body_bytes);
			buffer_commit(&response.body, peer->body_bytes);
		}
	} else if (buffer_append_str(&response.body, str_from(peer->seen)) < 0) {
		response.status = 500;
	}
	if (server) {
		http1_server_respond(server, &response);
	} else {
		http1_later_respond(&peer->put, &response);
	}
	assert_null(response.body.memory);
}

static inline void on_request(void *user, struct http1_server *server,
			      const struct http1_request *request)
{
	struct peer *peer = user;

	peer->requests++;
	assert_true(request->body.len <= KEPT);
	snprintf(peer->seen, sizeof(peer->seen), "<%.*s %.*s ? %.*s>%.*s%s",
		 (int)request->method.len, request->method.data, (int)MIN(request->path.len, 100),
		 request->path.data, (int)MIN(request->query.len, 100), request->query.data,
		 (int)request->body.len, request->body.data, request->body_cut ? "..." : "");
	if (peer->later) {
		peer->waiting = server;
	} else {
		answer(peer, server);
	}
}

static inline void on_responded(void *user, int status)
{
	struct peer *peer = user;

	peer->statuses[peer->responses++ % 64] = status;
}

static inline void on_closed(void *user)
{
	((struct peer *)user)->closed++;
}

static const struct http1_server_events events = { on_request, on_responded, on_closed };

static inline struct engine *peer_engine(struct peer *peer)
{
	struct http1_server_limits limits = http1_server_default_limits;

	limits.keep_body_bytes = KEPT;
	return http1_server_new(&limits, &events, peer, &peer->host.timers);
}

static inline void peer_init(struct peer *peer)
{
	*peer = (struct peer){ 0 };
	host_init(&peer->host);
	host_attach(&peer->host, peer_engine(peer));
}

static inline void peer_deinit(struct peer *peer)
{
	assert_int_equal(peer->closed, 0);
	host_deinit(&peer->host);
	assert_int_equal(peer->closed, 1);
}

#define HOST "Host: h\r\n"
#define END  "\r\n"
#define NEXT "GET /next HTTP/1.1\r\n" HOST END
#define GET  "GET /metrics HTTP/1.1\r\n"

static inline void assert_refused(struct peer *peer, int status)
{
	const char *text = host_text(&peer->host);

	assert_int_equal(peer->host.error, 0);
	assert_int_equal(peer->requests, 0);
	assert_int_equal(status_of(text), status);
	assert_int_equal(responses_in(text), 1);
	assert_int_equal(count_of(text, "\r\nConnection: close\r\n"), 1);
	assert_int_equal(count_of(text, "\r\nContent-Type: "), 1);
	assert_int_equal(peer->responses, 1);
	assert_int_equal(peer->statuses[0], status);
	assert_true(host_finished(&peer->host));
	assert_int_equal(buffer_len(&peer->host.held), 0);
}

/* Sends `bytes` cut at `first` and `second`, and appends what came out to `ret`. */
static inline void converse(const char *bytes, size_t n, size_t first, size_t second,
			    struct buffer *ret)
{
	struct peer peer;

	peer_init(&peer);
	host_send(&peer.host, bytes, first);
	host_send(&peer.host, bytes + first, second - first);
	host_send(&peer.host, bytes + second, n - second);
	assert_int_equal(peer.host.error, 0);
	buffer_append(ret, host_text(&peer.host), strlen(host_text(&peer.host)));
	buffer_append_str(ret, host_finished(&peer.host) ? STR("[finished]") : STR("[open]"));
	peer_deinit(&peer);
}

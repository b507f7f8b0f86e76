#include "host.h"

#include "failing.h"
#include "base/random.h"
#include "http1/server.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT" /* the example of RFC 9110 5.6.7 */

time_t __wrap_time(time_t *ret);
time_t __wrap_time(time_t *ret)
{
	assert_null(ret);
	return 784111777;
}

/* A server that answers each request with its method, path and query. */
struct peer {
	struct host host;
	bool later; /* do not answer yet */
	bool close;
	size_t body_bytes; /* answer with that many bytes instead */
	int64_t write_timeout_ns;
	struct http1_server *waiting;
	int requests, closed, responses;
	int statuses[64];
	char seen[512]; /* the last request */
};

static void answer(struct peer *peer, struct http1_server *server)
{
	struct http1_response response = {
		.status = 200,
		.content_type = "text/plain",
		.headers = "X-Test: yes\r\n",
		.close = peer->close,
		.write_timeout_ns = peer->write_timeout_ns,
	};

	if (peer->body_bytes > 0) {
		uint8_t *bytes = buffer_reserve(&response.body, peer->body_bytes);

		if (bytes) {
			memset(bytes, 'x', peer->body_bytes);
			buffer_commit(&response.body, peer->body_bytes);
		}
	} else if (buffer_append_str(&response.body, str_from(peer->seen)) < 0) {
		response.status = 500;
	}
	http1_server_respond(server, &response);
	assert_int_equal(buffer_len(&response.body), 0);
}

static void on_request(void *user, struct http1_server *server, const struct http1_request *request)
{
	struct peer *peer = user;

	peer->requests++;
	snprintf(peer->seen, sizeof(peer->seen), "<%.*s %.*s ? %.*s>", (int)request->method.len,
		 request->method.data, (int)MIN(request->path.len, 100), request->path.data,
		 (int)MIN(request->query.len, 100), request->query.data);
	if (peer->later) {
		peer->waiting = server;
	} else {
		answer(peer, server);
	}
}

static void on_responded(void *user, int status)
{
	struct peer *peer = user;

	peer->statuses[peer->responses++ % 64] = status;
}

static void on_closed(void *user)
{
	((struct peer *)user)->closed++;
}

static const struct http1_server_events events = { on_request, on_responded, on_closed };

static void peer_init(struct peer *peer)
{
	*peer = (struct peer){ 0 };
	host_init(&peer->host);
	host_attach(&peer->host, http1_server_new(&http1_server_default_limits, &events, peer,
						  &peer->host.timers));
}

static void peer_deinit(struct peer *peer)
{
	assert_int_equal(peer->closed, 0);
	host_deinit(&peer->host);
	assert_int_equal(peer->closed, 1);
}

#define HOST "Host: h\r\n"
#define END  "\r\n"
#define NEXT "GET /next HTTP/1.1\r\n" HOST END

/* Each is one request, and what the handler sees of it. */
static const struct accepted {
	const char *request, *seen;
} accepted[] = {
	{ "GET / HTTP/1.1\r\n" HOST END, "<GET / ? >" },
	{ "GET /metrics HTTP/1.1\r\n" HOST END, "<GET /metrics ? >" },
	{ "GET /metrics?x=1&name[]=y HTTP/1.1\r\n" HOST END, "<GET /metrics ? x=1&name[]=y>" },
	{ "GET /metrics? HTTP/1.1\r\n" HOST END, "<GET /metrics ? >" },
	{ "GET //metrics HTTP/1.1\r\n" HOST END, "<GET //metrics ? >" },
	{ "GET /%6detrics HTTP/1.1\r\n" HOST END, "<GET /%6detrics ? >" },
	{ "GET http://h:2112/metrics HTTP/1.1\r\n" HOST END, "<GET /metrics ? >" },
	{ "GET http://[::1]:2112/metrics?a HTTP/1.1\r\n" HOST END, "<GET /metrics ? a>" },
	{ "GET HTTPS://h HTTP/1.1\r\n" HOST END, "<GET / ? >" },
	{ "OPTIONS * HTTP/1.1\r\n" HOST END, "<OPTIONS * ? >" },
	{ "POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END "abc",
	  "<POST /metrics ? >" },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" END, "<GET /metrics ? >" },
	{ "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n" END "3\r\nabc\r\n0\r\n\r\n",
	  "<PUT / ? >" },
	{ "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
	  "a;x=\"y\"\r\n0123456789\r\n1\r\nz\r\n0\r\nTrailer: one\r\nOther:two\r\n\r\n",
	  "<PUT / ? >" },
	{ "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
	  "0\r\nConnection: close\r\nHost: i\r\n\r\n",
	  "<PUT / ? >" },
	{ "\r\nGET /metrics HTTP/1.1\r\n" HOST END, "<GET /metrics ? >" },
	{ "\r\n\r\nGET /metrics HTTP/1.1\r\n" HOST END, "<GET /metrics ? >" },
	{ "GET /metrics HTTP/1.1\r\nhOSt:h\r\nX-High: "
	  "\xff\xfe\r\nX-Tab:\ta\tb\t\r\nX-Empty:\r\n" END,
	  "<GET /metrics ? >" },
	{ "GET /metrics HTTP/1.1\r\nHost:\r\n" END, "<GET /metrics ? >" },
	/* what `curl --http2` and `curl --http2-prior-knowledge`-less clients send */
	{ "GET /metrics HTTP/1.1\r\nHost: localhost:2112\r\nUser-Agent: curl/7.88.1\r\nAccept: "
	  "*/*\r\n"
	  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	  "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n" END,
	  "<GET /metrics ? >" },
	{ "POST / HTTP/1.1\r\n" HOST
	  "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n" END "ab",
	  "<POST / ? >" },
	{ "POST / HTTP/1.1\r\n" HOST
	  "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n" END
	  "1\r\na\r\n0\r\n\r\n",
	  "<POST / ? >" },
};

#define GET "GET /metrics HTTP/1.1\r\n"

/* Each is refused with the status, once, and nothing after it is answered. */
static const struct refused {
	int status;
	const char *request;
} refused[] = {
	/* the request line */
	{ 400, "GET  /metrics HTTP/1.1\r\n" HOST END },
	{ 400, "GET /metrics  HTTP/1.1\r\n" HOST END },
	{ 400, "GET  HTTP/1.1\r\n" HOST END },
	{ 400, "GET /metrics HTTP/1.1 \r\n" HOST END },
	{ 400, "GET\t/metrics HTTP/1.1\r\n" HOST END },
	{ 400, " GET /metrics HTTP/1.1\r\n" HOST END },
	{ 400, "GET /metrics\r\n" },
	{ 400, "GET\r\n" },
	{ 400, "GET /metrics HTTP/1\r\n" HOST END },
	{ 400, "GET /metrics http/1.1\r\n" HOST END },
	{ 400, "GET /metrics HTTP/1.1x\r\n" HOST END },
	{ 400, "GET /metrics HTTP/1.1\n" HOST END },
	{ 400, "GET /met\xc3\xa9rics HTTP/1.1\r\n" HOST END },
	{ 400, "GET /metrics#top HTTP/1.1\r\n" HOST END },
	{ 400, "GET metrics HTTP/1.1\r\n" HOST END },
	{ 400, "GET * HTTP/1.1\r\n" HOST END },
	{ 400, "GET h:2112 HTTP/1.1\r\n" HOST END },
	{ 400, "GET http:///metrics HTTP/1.1\r\n" HOST END },
	{ 400, "GET http://user@h/metrics HTTP/1.1\r\n" HOST END },
	{ 400, "GET ftp://h/metrics HTTP/1.1\r\n" HOST END },
	{ 400, "CONNECT h:2112 HTTP/1.1\r\n" HOST END },
	{ 400, "G@T /metrics HTTP/1.1\r\n" HOST END },
	{ 501, "FETCH /metrics HTTP/1.1\r\n" HOST END },
	{ 501, "get /metrics HTTP/1.1\r\n" HOST END },
	{ 505, "GET /metrics HTTP/2.0\r\n" HOST END },
	{ 505, "GET /metrics HTTP/1.2\r\n" HOST END },
	{ 505, "GET /metrics HTTP/0.9\r\n" HOST END },
	{ 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
	{ 400, "SSH-2.0-OpenSSH_9.2\r\n" },
	{ 400, "\x16\x03\x01\x02" },
	{ 400, "\n" GET HOST END },
	{ 400, "\r" GET HOST END },
	/* lines */
	{ 400, GET "Host: h\n" END },
	{ 400, GET HOST "\n" },
	{ 400, GET HOST "X: a\rb\r\n" END },
	{ 400, GET HOST "X: a\r\r\n" END },
	{ 400, GET HOST "X: a\r\n b\r\n" END },
	{ 400, GET HOST "X: a\r\n\tb\r\n" END },
	{ 400, GET " X: a\r\n" HOST END },
	{ 400, GET HOST "X : a\r\n" END },
	{ 400, GET HOST "X\t: a\r\n" END },
	{ 400, GET HOST "X y: a\r\n" END },
	{ 400, GET HOST ": a\r\n" END },
	{ 400, GET HOST "X\r\n" END },
	{ 400, GET HOST "X(: a\r\n" END },
	{ 400, GET HOST "X: \x01\r\n" END },
	{ 400, GET HOST "X: \x7f\r\n" END },
	{ 400, GET HOST "X: \x1b[2J\r\n" END },
	/* Host */
	{ 400, GET END },
	{ 400, GET "X-Host: h\r\n" END },
	{ 400, GET HOST HOST END },
	{ 400, GET HOST "HOST: i\r\n" END },
	{ 400, "GET /metrics HTTP/1.0\r\n" HOST HOST END },
	{ 400, "GET http://h/metrics HTTP/1.1\r\n" END },
	{ 400, GET "Host: a b\r\n" END },
	{ 400, GET "Host: a/b\r\n" END },
	{ 400, GET "Host: u@h\r\n" END },
	/* the length of the body */
	{ 400, GET HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Content-Length: 3\r\nContent-Length: 3\r\n" END "abc" },
	{ 400, GET HOST "Content-Length: 3\r\nContent-Length: 4\r\n" END "abcd" },
	{ 400, GET HOST "Content-Length: 3, 3\r\n" END "abc" },
	{ 400, GET HOST "Content-Length: -1\r\n" END },
	{ 400, GET HOST "Content-Length: +5\r\n" END "abcde" },
	{ 400, GET HOST "Content-Length: 0x3\r\n" END "abc" },
	{ 400, GET HOST "Content-Length: 3 3\r\n" END "abc" },
	{ 400, GET HOST "Content-Length:\r\n" END },
	{ 400, GET HOST "Content-Length: 99999999999999999999999\r\n" END },
	{ 413, GET HOST "Content-Length: 18446744073709551615\r\n" END },
	{ 413, GET HOST "Content-Length: 65537\r\n" END },
	{ 400, GET HOST "Transfer-Encoding: xchunked\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked, identity\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: gzip, chunked\r\n" END "0\r\n\r\n" },
	{ 400,
	  GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: \"chunked\"\r\n" END "0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding:\r\n" END },
	{ 400, GET HOST "Transfer-Encoding: \x0b"
			"chunked\r\n" END "0\r\n\r\n" },
	{ 400, "GET /metrics HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n" },
	/* chunks and trailers */
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "x\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "-1\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0x1\r\na\r\n0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "1 \r\na\r\n0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "1\na\r\n0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "1\r\nab\r\n0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "1\r\na\n0\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "ffffffffffffffff1\r\na" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX: a\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX: a\r\n b\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX : a\r\n\r\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX: a\r\n\n" },
	{ 400, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nContent-Length: 5\r\n\r\n" },
	{ 400,
	  GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nTransfer-Encoding: chunked\r\n\r\n" },
};

static void assert_refused(struct peer *peer, int status)
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

static void a_response_has_exactly_these_bytes(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, GET HOST END);
	assert_string_equal(host_text(&peer.host), "HTTP/1.1 200 OK\r\n"
						   "Date: " DATE "\r\n"
						   "Content-Type: text/plain\r\n"
						   "Content-Length: 17\r\n"
						   "X-Test: yes\r\n"
						   "\r\n"
						   "<GET /metrics ? >");
	assert_false(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void head_gives_the_head_of_get(void **state)
{
	struct peer get, head;
	char *end;
	char expected[512];

	(void)state;
	peer_init(&get);
	peer_init(&head);
	get.body_bytes = head.body_bytes = 5000;
	host_sends(&get.host, GET HOST END);
	host_sends(&head.host, "HEAD /metrics HTTP/1.1\r\n" HOST END);
	snprintf(expected, sizeof(expected), "%.400s", host_text(&get.host));
	end = strstr(expected, "\r\n\r\n");
	assert_non_null(end);
	end[4] = '\0';
	assert_non_null(strstr(expected, "Content-Length: 5000\r\n"));
	assert_string_equal(host_text(&head.host), expected);
	host_clear(&head.host);
	host_sends(&head.host, NEXT);
	assert_int_equal(status_of(host_text(&head.host)), 200);
	peer_deinit(&get);
	peer_deinit(&head);
}

static void well_formed_requests_reach_the_handler(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, accepted[i].request);
		if (peer.requests != 1) {
			print_error("not accepted: %s\n%s\n", accepted[i].request,
				    host_text(&peer.host));
		}
		assert_int_equal(peer.requests, 1);
		assert_string_equal(peer.seen, accepted[i].seen);
		assert_int_equal(responses_in(host_text(&peer.host)), 1);
		assert_int_equal(status_of(host_text(&peer.host)), 200);
		assert_null(strstr(host_text(&peer.host), "Upgrade"));
		assert_false(host_finished(&peer.host));
		host_clear(&peer.host);
		host_sends(&peer.host, NEXT); /* the end of the first was found */
		assert_int_equal(peer.requests, 2);
		assert_string_equal(peer.seen, "<GET /next ? >");
		assert_int_equal(responses_in(host_text(&peer.host)), 1);
		peer_deinit(&peer);
	}
}

static void ambiguous_requests_are_refused_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, refused[i].request);
		if (buffer_len(&peer.host.out) == 0 ||
		    status_of(host_text(&peer.host)) != refused[i].status) {
			print_error("case %zu: %s\n=> %s\n", i, refused[i].request,
				    host_text(&peer.host));
		}
		assert_refused(&peer, refused[i].status);
		host_sends(&peer.host, NEXT NEXT);
		assert_refused(&peer, refused[i].status);
		peer_deinit(&peer);
	}
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
	static const char request[] = GET HOST "X: ab\r\n" END;

	(void)state;
	for (size_t at = 0; at < sizeof(request) - 1; at++) {
		struct peer peer;
		char copy[sizeof(request)];

		peer_init(&peer);
		memcpy(copy, request, sizeof(copy));
		copy[at] = '\0';
		host_send(&peer.host, copy, sizeof(copy) - 1);
		assert_refused(&peer, 400);
		peer_deinit(&peer);
	}
}

static void http_1_0_needs_no_host_and_closes(void **state)
{
	static const char *const requests[] = {
		"GET /metrics HTTP/1.0\r\n" END,
		"GET /metrics HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n" END,
		GET HOST "Connection: close\r\n" END,
		GET HOST "Connection: foo, CLOSE\r\n" END,
		GET HOST "Connection: foo\r\nConnection: close\r\n" END,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, requests[i]);
		host_sends(&peer.host, NEXT);
		assert_int_equal(peer.requests, 1);
		assert_int_equal(status_of(host_text(&peer.host)), 200);
		assert_int_equal(responses_in(host_text(&peer.host)), 1);
		assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
		assert_true(host_finished(&peer.host));
		assert_int_equal(peer.host.error, 0);
		peer_deinit(&peer);
	}
}

static void a_handler_can_close(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.close = true;
	host_sends(&peer.host, NEXT NEXT);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void an_expectation_is_answered_at_once(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, "POST / HTTP/1.1\r\n" HOST
			       "Expect: 100-Continue\r\nContent-Length: 60000\r\n" END);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(status_of(host_text(&peer.host)), 200);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	host_sends(&peer.host, NEXT);
	assert_int_equal(peer.requests, 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

/* Sends `bytes` cut at `first` and `second`, and appends what came out to `ret`. */
static void converse(const char *bytes, size_t n, size_t first, size_t second, struct buffer *ret)
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

static void assert_same_however_cut(const char *bytes, size_t n)
{
	struct buffer whole = BUFFER_INIT, other = BUFFER_INIT;
	struct peer peer;

	converse(bytes, n, 0, 0, &whole);
	for (size_t first = 1; first < n; first++) {
		buffer_clear(&other);
		converse(bytes, n, first, first, &other);
		if (buffer_len(&other) != buffer_len(&whole)) {
			print_error("cut at %zu: %.*s\n", first, (int)n, bytes);
		}
		assert_int_equal(buffer_len(&other), buffer_len(&whole));
		assert_memory_equal(buffer_data(&other), buffer_data(&whole), buffer_len(&whole));
	}
	peer_init(&peer);
	for (size_t i = 0; i < n; i++) {
		host_send(&peer.host, bytes + i, 1);
	}
	assert_memory_equal(host_text(&peer.host), buffer_data(&whole), buffer_len(&peer.host.out));
	assert_true(buffer_len(&whole) - buffer_len(&peer.host.out) <= sizeof("[finished]"));
	peer_deinit(&peer);
	buffer_free(&whole);
	buffer_free(&other);
}

static void cuts_of_the_input_do_not_matter(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		assert_same_however_cut(accepted[i].request, strlen(accepted[i].request));
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_same_however_cut(refused[i].request, strlen(refused[i].request));
	}
}

static void cuts_of_a_pipeline_do_not_matter(void **state)
{
	char bytes[4096] = "";
	struct buffer out = BUFFER_INIT;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		strcat(bytes, accepted[i * 2].request);
	}
	strcat(bytes, "GET /metrics HTTP/1.1\r\nHost : smuggled\r\n" END NEXT);
	converse(bytes, strlen(bytes), 0, 0, &out);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_int_equal(responses_in((char *)buffer_data(&out)), 9);
	buffer_free(&out);
	assert_same_however_cut(bytes, strlen(bytes));
}

/*
 * Two requests, spoilt at a few random places: whatever comes of them, it comes
 * however they are cut, and there is at most one response too many: a refusal.
 */
static void spoilt_requests_have_one_reading(void **state)
{
	static const char spoilers[] = "\r\n\r\n\r\n \t:,;0159aGx/\\\x01\x7f\xff\"";
	struct random random;
	struct buffer whole = BUFFER_INIT, other = BUFFER_INIT;

	(void)state;
	random_seed(&random, 1);
	for (int round = 0; round < 20000; round++) {
		char bytes[1024];
		size_t n, cut, again;

		snprintf(bytes, sizeof(bytes), "%s%s",
			 accepted[random_below(&random, ARRAY_SIZE(accepted))].request,
			 accepted[random_below(&random, ARRAY_SIZE(accepted))].request);
		n = strlen(bytes);
		for (uint64_t i = random_below(&random, 4); i > 0; i--) {
			size_t at = random_below(&random, n);

			if (random_below(&random, 2) == 0) {
				bytes[at] = spoilers[random_below(&random, sizeof(spoilers))];
			} else {
				memmove(bytes + at, bytes + at + 1, n - at);
				n--;
			}
		}
		cut = random_below(&random, n);
		again = cut + random_below(&random, n - cut);
		buffer_clear(&whole);
		buffer_clear(&other);
		converse(bytes, n, 0, 0, &whole);
		converse(bytes, n, cut, again, &other);
		assert_int_equal(buffer_len(&whole), buffer_len(&other));
		assert_memory_equal(buffer_data(&whole), buffer_data(&other), buffer_len(&whole));
		assert_int_equal(buffer_append(&whole, "", 1), 0);
		assert_true(responses_in((char *)buffer_data(&whole)) <= 3);
	}
	buffer_free(&whole);
	buffer_free(&other);
}

static void pipelined_requests_wait_for_their_turn(void **state)
{
	static const char bytes[] = GET HOST END "GET /two HTTP/1.1\r\n" HOST END NEXT;
	static const size_t first = sizeof(GET HOST END) - 1;
	struct peer peer;
	const char *text;

	(void)state;
	peer_init(&peer);
	peer.later = true;
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine, (const uint8_t *)bytes,
							sizeof(bytes) - 1),
			 first);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine,
							(const uint8_t *)bytes + first, 10),
			 0);
	peer.later = false;
	answer(&peer, peer.waiting);
	assert_true(peer.host.woken);
	assert_int_equal(peer.host.engine->ops->receive(peer.host.engine,
							(const uint8_t *)bytes + first, 10),
			 0); /* not yet produced */
	host_flush(&peer.host);
	host_send(&peer.host, bytes + first, sizeof(bytes) - 1 - first);
	text = host_text(&peer.host);
	assert_int_equal(responses_in(text), 3);
	assert_true(strstr(text, "<GET /metrics") < strstr(text, "<GET /two"));
	assert_true(strstr(text, "<GET /two") < strstr(text, "<GET /next"));
	peer_deinit(&peer);
}

static void any_room_gives_the_same_bytes(void **state)
{
	struct buffer whole = BUFFER_INIT;

	(void)state;
	converse(GET HOST END NEXT, strlen(GET HOST END NEXT), 0, 0, &whole);
	for (size_t room = 1; room < 200; room += 3) {
		struct peer peer;

		peer_init(&peer);
		peer.host.room = room;
		host_sends(&peer.host, GET HOST END NEXT);
		assert_memory_equal(buffer_data(&whole), host_text(&peer.host),
				    buffer_len(&peer.host.out));
		assert_int_equal(peer.requests, 2);
		peer_deinit(&peer);
	}
	buffer_free(&whole);
}

/* `n` bytes of `with`, around which the request is otherwise well-formed. */
static void send_filled(struct peer *peer, const char *before, char with, size_t n,
			const char *after)
{
	char *fill = malloc(n);

	assert_non_null(fill);
	memset(fill, with, n);
	host_sends(&peer->host, before);
	host_send(&peer->host, fill, n);
	host_sends(&peer->host, after);
	free(fill);
}

static void sizes_are_limited(void **state)
{
	static const char chunked[] = GET HOST "Transfer-Encoding: chunked\r\n" END;
	size_t limit = http1_server_default_limits.max_header_bytes;
	size_t around = strlen("GET / HTTP/1.1\r\n" HOST "X: \r\n" END);
	struct peer peer;

	(void)state;
	peer_init(&peer); /* exactly at the limit */
	send_filled(&peer, "GET / HTTP/1.1\r\n" HOST "X: ", 'x', limit - around, "\r\n" END);
	assert_int_equal(peer.requests, 1);
	peer_deinit(&peer);

	peer_init(&peer);
	send_filled(&peer, "GET / HTTP/1.1\r\n" HOST "X: ", 'x', limit - around + 1, "\r\n" END);
	assert_refused(&peer, 431);
	peer_deinit(&peer);

	peer_init(&peer);
	send_filled(&peer, "GET /", 'x', MIB, " HTTP/1.1\r\n" HOST END);
	assert_refused(&peer, 414);
	peer_deinit(&peer);

	peer_init(&peer);
	send_filled(&peer, chunked, '0', 100 * KIB, "\r\n\r\n"); /* one chunk line */
	assert_refused(&peer, 413);
	peer_deinit(&peer);

	peer_init(&peer);
	send_filled(&peer, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX: ", 'x', 100 * KIB,
		    "\r\n\r\n");
	assert_refused(&peer, 431);
	peer_deinit(&peer);

	peer_init(&peer);
	host_sends(&peer.host, chunked);
	for (int i = 0; i < 70 && !host_finished(&peer.host); i++) {
		send_filled(&peer, "400\r\n", 'x', KIB, "\r\n");
	}
	assert_refused(&peer, 413);
	peer_deinit(&peer);

	peer_init(&peer); /* short trailers without end */
	host_sends(&peer.host, GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\n");
	for (int i = 0; i < 20000 && !host_finished(&peer.host); i++) {
		host_sends(&peer.host, "X: y\r\n");
	}
	assert_refused(&peer, 413);
	peer_deinit(&peer);

	peer_init(&peer); /* exactly at the limit */
	send_filled(&peer, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n" END, 'x', 64 * KIB,
		    NEXT);
	assert_int_equal(peer.requests, 2);
	assert_int_equal(responses_in(host_text(&peer.host)), 2);
	peer_deinit(&peer);
}

static void the_number_of_fields_is_limited(void **state)
{
	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, GET HOST);
		for (size_t i = 1; i < http1_server_default_limits.max_headers + extra; i++) {
			host_sends(&peer.host, "A:b\r\n");
		}
		host_sends(&peer.host, END);
		if (extra > 0) {
			assert_refused(&peer, 431);
		} else {
			assert_int_equal(peer.requests, 1);
		}
		peer_deinit(&peer);
	}
}

static void headers_are_found_by_name(void **state)
{
	static const struct http1_header headers[] = {
		{ STR_INIT("Accept"), STR_INIT("a") },
		{ STR_INIT("Host"), STR_INIT("h") },
		{ STR_INIT("ACCEPT"), STR_INIT("b") },
	};
	const struct http1_request request = { .headers = headers, .n_headers = 3 };
	const struct http1_header *at = NULL;

	(void)state;
	assert_true(str_equal(http1_request_header(&request, STR("accept")), STR("a")));
	assert_null(http1_request_header(&request, STR("Accep")).data);
	at = http1_request_next(&request, STR("Accept"), at);
	assert_ptr_equal(at, &headers[0]);
	at = http1_request_next(&request, STR("Accept"), at);
	assert_ptr_equal(at, &headers[2]);
	assert_null(http1_request_next(&request, STR("Accept"), at));
}

static void a_slow_head_or_body_is_told_408(void **state)
{
	static const char *const beginnings[] = {
		"G",
		GET HOST,
		"\r",
		GET HOST "Content-Length: 10\r\n" END,
		GET HOST "Transfer-Encoding: chunked\r\n" END "0\r\nX",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		struct peer peer;

		peer_init(&peer);
		host_sends(&peer.host, beginnings[i]);
		host_sleep(&peer.host, 10 * NS_PER_S - 1);
		assert_int_equal(buffer_len(&peer.host.out), 0);
		host_sleep(&peer.host, 1);
		assert_refused(&peer, 408);
		peer_deinit(&peer);
	}
}

static void a_trickle_does_not_extend_the_time_of_a_head(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sends(&peer.host, GET HOST "X: ");
	for (int i = 0; i < 9; i++) {
		host_sleep(&peer.host, NS_PER_S);
		host_sends(&peer.host, "x");
		assert_int_equal(buffer_len(&peer.host.out), 0);
	}
	host_sleep(&peer.host, NS_PER_S);
	assert_refused(&peer, 408);
	peer_deinit(&peer);
}

static void an_idle_connection_is_closed_silently(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	host_sleep(&peer.host, 119 * NS_PER_S);
	assert_false(host_finished(&peer.host));
	host_sends(&peer.host, "\r\n"); /* not a request, does not count as one */
	host_sleep(&peer.host, NS_PER_S);
	assert_true(host_finished(&peer.host));
	assert_int_equal(buffer_len(&peer.host.out), 0);
	peer_deinit(&peer);

	peer_init(&peer);
	host_sleep(&peer.host, 100 * NS_PER_S);
	host_sends(&peer.host, NEXT);
	host_sleep(&peer.host, 119 * NS_PER_S);
	assert_false(host_finished(&peer.host));
	host_sleep(&peer.host, NS_PER_S);
	assert_true(host_finished(&peer.host));
	assert_int_equal(responses_in(host_text(&peer.host)), 1);
	peer_deinit(&peer);
}

static void a_response_that_is_not_taken_ends_the_engine(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	host_sleep(&peer.host, 10 * NS_PER_S - 1);
	assert_int_equal(peer.host.error, 0);
	host_sleep(&peer.host, 1);
	assert_int_equal(peer.host.error, -ETIMEDOUT);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void a_trickle_does_not_extend_the_time_of_a_response(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.body_bytes = 100 * KIB;
	peer.write_timeout_ns = 5 * NS_PER_S; /* shorter than the limit's */
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	for (int i = 0; i < 4; i++) {
		host_sleep(&peer.host, NS_PER_S);
		assert_int_equal(
			peer.host.engine->ops->produce(peer.host.engine, &peer.host.out, 10), 1);
		assert_int_equal(peer.host.error, 0);
		assert_int_equal(http1_server_still_ns(http1_server_from_engine(peer.host.engine)),
				 0);
	}
	assert_int_equal(buffer_len(&peer.host.out), 40);
	host_sleep(&peer.host, NS_PER_S);
	assert_int_equal(peer.host.error, -ETIMEDOUT);
	peer_deinit(&peer);
}

static void stillness_is_time_since_a_byte_moved(void **state)
{
	struct peer peer;
	struct http1_server *server;

	(void)state;
	peer_init(&peer);
	server = http1_server_from_engine(peer.host.engine);
	assert_ptr_equal(http1_server_engine(server), peer.host.engine);
	host_sleep(&peer.host, 3 * NS_PER_S);
	assert_int_equal(http1_server_still_ns(server), 3 * NS_PER_S);
	host_sends(&peer.host, "G");
	assert_int_equal(http1_server_still_ns(server), 0);
	host_sleep(&peer.host, NS_PER_S);
	peer.host.blocked = true;
	host_sends(&peer.host, "ET / HTTP/1.1\r\n" HOST END);
	host_sleep(&peer.host, 2 * NS_PER_S);
	host_flush(&peer.host); /* no room: no byte */
	assert_int_equal(http1_server_still_ns(server), 2 * NS_PER_S);
	peer_deinit(&peer);
}

static void drain(struct peer *peer, enum engine_drain how)
{
	peer->host.engine->ops->drain(peer->host.engine, how);
	host_flush(&peer->host);
}

static void a_graceful_drain_finishes_what_runs(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* idle */
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a request */
	host_sends(&peer.host, GET);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	host_sends(&peer.host, HOST END NEXT);
	assert_int_equal(peer.requests, 1);
	assert_int_equal(count_of(host_text(&peer.host), "\r\nConnection: close\r\n"), 1);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a response */
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT NEXT);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	peer.host.blocked = false;
	host_flush(&peer.host);
	assert_int_equal(responses_in(host_text(&peer.host)), 1);
	assert_non_null(strstr(host_text(&peer.host), "<GET /next"));
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);
}

static void a_drain_now_gives_up_what_runs(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* the handler holds it */
	peer.later = true;
	host_sends(&peer.host, NEXT);
	drain(&peer, ENGINE_DRAIN_GRACEFUL);
	assert_false(host_finished(&peer.host));
	drain(&peer, ENGINE_DRAIN_NOW);
	assert_true(host_finished(&peer.host));
	answer(&peer, peer.waiting); /* too late, and harmless */
	host_flush(&peer.host);
	assert_int_equal(buffer_len(&peer.host.out), 0);
	assert_int_equal(peer.responses, 0);
	assert_int_equal(peer.host.error, 0);
	peer_deinit(&peer);

	peer_init(&peer); /* half a response */
	peer.body_bytes = 10000;
	peer.host.blocked = true;
	host_sends(&peer.host, NEXT);
	drain(&peer, ENGINE_DRAIN_NOW);
	assert_true(host_finished(&peer.host));
	assert_int_equal(timers_next_ns(&peer.host.timers), -1);
	peer_deinit(&peer);
}

static void a_whole_request_is_answered_after_fin(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer); /* netcat closes its half and reads on */
	peer.later = true;
	host_sends(&peer.host, NEXT);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	assert_false(host_finished(&peer.host));
	answer(&peer, peer.waiting);
	host_flush(&peer.host);
	assert_int_equal(status_of(host_text(&peer.host)), 200);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* between requests */
	host_sends(&peer.host, NEXT);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	assert_true(host_finished(&peer.host));
	peer_deinit(&peer);

	peer_init(&peer); /* half a request */
	host_sends(&peer.host, GET);
	peer.host.engine->ops->end_of_input(peer.host.engine);
	host_flush(&peer.host);
	assert_true(host_finished(&peer.host));
	assert_int_equal(buffer_len(&peer.host.out), 0);
	peer_deinit(&peer);
}

static void release_is_safe_in_every_state(void **state)
{
	static const char conversation[] =
		GET HOST "Transfer-Encoding: chunked\r\n" END "1\r\na\r\n0\r\nX: y\r\n" END NEXT;

	(void)state;
	for (size_t n = 0; n < sizeof(conversation); n++) {
		for (int how = 0; how < 3; how++) {
			struct peer peer;

			peer_init(&peer);
			peer.later = how == 1;
			peer.host.blocked = how == 2;
			host_send(&peer.host, conversation, n);
			peer_deinit(&peer);
		}
	}
}

/* Each allocation of a conversation fails in turn: no crash, no leak, and the next connection works. */
static void every_allocation_may_fail(void **state)
{
	static const char bytes[] =
		NEXT "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
		     "1\r\na\r\n0\r\nX: y\r\n\r\n" NEXT GET END;
	long failures = 0;
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		struct peer peer = { 0 };
		struct engine *engine;

		host_init(&peer.host);
		assert_non_null(buffer_reserve(&peer.host.out, 4 * KIB)); /* the host's own */
		failing_at = n;
		engine = http1_server_new(&http1_server_default_limits, &events, &peer,
					  &peer.host.timers);
		if (engine) {
			host_attach(&peer.host, engine);
			buffer_append(&peer.host.held, bytes, sizeof(bytes) - 1);
			host_flush(&peer.host);
		}
		failed = failing_at < 0;
		failing_at = -1;
		failures += failed;
		if (engine) {
			assert_true(peer.host.error == 0 || peer.host.error == -ENOMEM);
			if (peer.host.error < 0) {
				assert_true(host_finished(&peer.host));
			}
		}
		if (!failed) {
			assert_int_equal(peer.host.error, 0);
			assert_int_equal(responses_in(host_text(&peer.host)), 4);
		}
		host_deinit(&peer.host);
		assert_int_equal(peer.closed, engine ? 1 : 0);
	}
	assert_true(failures >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_response_has_exactly_these_bytes),
		cmocka_unit_test(head_gives_the_head_of_get),
		cmocka_unit_test(well_formed_requests_reach_the_handler),
		cmocka_unit_test(ambiguous_requests_are_refused_once),
		cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
		cmocka_unit_test(http_1_0_needs_no_host_and_closes),
		cmocka_unit_test(a_handler_can_close),
		cmocka_unit_test(an_expectation_is_answered_at_once),
		cmocka_unit_test(cuts_of_the_input_do_not_matter),
		cmocka_unit_test(cuts_of_a_pipeline_do_not_matter),
		cmocka_unit_test(spoilt_requests_have_one_reading),
		cmocka_unit_test(pipelined_requests_wait_for_their_turn),
		cmocka_unit_test(any_room_gives_the_same_bytes),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(the_number_of_fields_is_limited),
		cmocka_unit_test(headers_are_found_by_name),
		cmocka_unit_test(a_slow_head_or_body_is_told_408),
		cmocka_unit_test(a_trickle_does_not_extend_the_time_of_a_head),
		cmocka_unit_test(an_idle_connection_is_closed_silently),
		cmocka_unit_test(a_response_that_is_not_taken_ends_the_engine),
		cmocka_unit_test(a_trickle_does_not_extend_the_time_of_a_response),
		cmocka_unit_test(stillness_is_time_since_a_byte_moved),
		cmocka_unit_test(a_graceful_drain_finishes_what_runs),
		cmocka_unit_test(a_drain_now_gives_up_what_runs),
		cmocka_unit_test(a_whole_request_is_answered_after_fin),
		cmocka_unit_test(release_is_safe_in_every_state),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

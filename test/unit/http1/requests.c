/* Which requests reach the handler, and that cutting the input changes nothing. */
#include "peer.h"

#include "base/random.h"

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
	  "<POST /metrics ? >abc" },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END "a\r\n",
	  "<GET /metrics ? >a\r\n" },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 12\r\n" END "0123456789ab",
	  "<POST / ? >0123456789ab" },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 13\r\n" END "0123456789abc",
	  "<POST / ? >0123456789ab..." },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 38\r\n" END
	  "GET /smuggled HTTP/1.1\r\nHost: i\r\n\r\nabc",
	  "<POST / ? >GET /smuggle..." },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
	  "5\r\n01234\r\n5\r\n56789\r\n5\r\nabcde\r\n0\r\n\r\n",
	  "<POST / ? >0123456789ab..." },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
	  "8;ext=1\r\n0\r\n\r\nGET\r\n000\r\nGET: x\r\n\r\n",
	  "<POST / ? >0\r\n\r\nGET" },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" END, "<GET /metrics ? >" },
	{ "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n" END "3\r\nabc\r\n0\r\n\r\n",
	  "<PUT / ? >abc" },
	{ "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
	  "a;x=\"y\"\r\n0123456789\r\n1\r\nz\r\n0\r\nTrailer: one\r\nOther:two\r\n\r\n",
	  "<PUT / ? >0123456789z" },
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
	  "<POST / ? >ab" },
	{ "POST / HTTP/1.1\r\n" HOST
	  "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n" END
	  "1\r\na\r\n0\r\n\r\n",
	  "<POST / ? >a" },
};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed_requests_reach_the_handler),
		cmocka_unit_test(ambiguous_requests_are_refused_once),
		cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
		cmocka_unit_test(cuts_of_the_input_do_not_matter),
		cmocka_unit_test(cuts_of_a_pipeline_do_not_matter),
		cmocka_unit_test(spoilt_requests_have_one_reading),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(the_number_of_fields_is_limited),
		cmocka_unit_test(headers_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

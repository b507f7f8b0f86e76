/* Answers of every form, whole and in pieces; limits, times, and failing allocations. */
#include "host.h"

#include "failing.h"
#include "http1/client.h"

#define LIMIT_HEAD 200
#define LIMIT_BODY 100

struct exchange {
	struct host host;
	int done;
	int status;
	char why[HTTP1_CLIENT_WHY_BYTES];
	char body[LIMIT_BODY + 1];
};

static void on_done(void *user, const struct http1_answer *answer)
{
	struct exchange *exchange = user;

	exchange->done++;
	snprintf(exchange->why, sizeof(exchange->why), "%s", answer->why ? answer->why : "");
	if (!answer->why) {
		exchange->status = answer->status;
		assert_true(answer->body.len <= LIMIT_BODY);
		if (answer->body.len > 0) {
			memcpy(exchange->body, answer->body.data, answer->body.len);
		}
		exchange->body[answer->body.len] = '\0';
	}
}

static const struct http1_client_events events = { .done = on_done };
static const struct http1_client_limits limits = {
	.max_head_bytes = LIMIT_HEAD,
	.max_body_bytes = LIMIT_BODY,
	.head_timeout_ns = 5 * NS_PER_S,
	.timeout_ns = 10 * NS_PER_S,
};
static const struct http1_client_request request = {
	.host = STR_INIT("h:2112"),
	.target = STR_INIT("/metrics?x=1"),
	.accept = STR_INIT("text/plain;version=0.0.4"),
};

static bool begin(struct exchange *exchange)
{
	struct engine *engine;

	*exchange = (struct exchange){ 0 };
	host_init(&exchange->host);
	engine = http1_client_new(&limits, &request, &events, exchange, &exchange->host.timers);
	if (engine) {
		host_attach(&exchange->host, engine);
	}
	return engine;
}

static void end(struct exchange *exchange)
{
	host_deinit(&exchange->host);
	assert_int_equal(exchange->done, 1);
}

/* The answer comes cut at `cut`, and then the end of the connection if `eof`. */
static void hear(struct exchange *exchange, const char *bytes, size_t n, size_t cut, bool eof)
{
	assert_true(begin(exchange));
	host_flush(&exchange->host);
	host_send(&exchange->host, bytes, cut);
	host_send(&exchange->host, bytes + cut, n - cut);
	if (eof) {
		exchange->host.engine->ops->end_of_input(exchange->host.engine);
	}
	assert_int_equal(exchange->host.error, 0);
}

struct answer_row {
	const char *bytes;
	bool eof; /* the connection ends behind it */
	int status;
	const char *text; /* the body; or, without a status, the reason */
};

static void check_row(const struct answer_row *row)
{
	size_t n = strlen(row->bytes);

	for (size_t cut = 0; cut <= n; cut++) {
		struct exchange exchange;

		hear(&exchange, row->bytes, n, cut, row->eof);
		assert_int_equal(exchange.done, 1);
		assert_true(host_finished(&exchange.host));
		assert_int_equal(exchange.status, row->status);
		assert_string_equal(row->status ? exchange.body : exchange.why, row->text);
		assert_true((exchange.why[0] == '\0') == (row->status != 0));
		end(&exchange);
	}
}

#define OK     "HTTP/1.1 200 OK\r\n"
#define LENGTH "Content-Length: 5\r\n\r\nhello"
#define CHUNK  "Transfer-Encoding: chunked\r\n\r\n"

static void an_answer_ends_where_it_says_whatever_the_pieces(void **state)
{
	static const struct answer_row rows[] = {
		{ OK LENGTH, false, 200, "hello" },
		{ OK LENGTH "trash behind it", false, 200, "hello" },
		{ OK LENGTH OK LENGTH, false, 200, "hello" },
		{ "HTTP/1.0 200\r\n" LENGTH, false, 200, "hello" },
		{ "HTTP/1.1 404 Not Found\r\n" LENGTH, false, 404, "hello" },
		{ "HTTP/1.1 302 Found\r\nLocation: /\r\n" LENGTH, false, 302, "hello" },
		{ OK "Content-Length: 0\r\n\r\n", false, 200, "" },
		{ "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "" },
		{ OK "\r\nuntil the end", true, 200, "until the end" },
		{ OK "\r\n", true, 200, "" },
		{ OK CHUNK "5\r\nhello\r\n0\r\n\r\n", false, 200, "hello" },
		{ OK CHUNK "2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n", false, 200,
		  "hello" },
		{ OK "Content-Encoding: identity\r\n" LENGTH, false, 200, "hello" },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK
			  LENGTH,
		  false, 200, "hello" },
		{ OK "X: 0123456789012345678901234567890123456789\r\n"
		     "Content-Encoding-Of-Somebody-Else-Entirely: gzip\r\n" LENGTH,
		  false, 200, "hello" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check_row(&rows[i]);
	}
}

static void what_is_no_whole_answer_has_a_reason(void **state)
{
	static const char *const not_http = "the answer is not HTTP/1.1";
	static const char *const cut_off = "the answer was cut off";
	const struct answer_row rows[] = {
		{ "", true, 0, "the connection was closed without an answer" },
		{ "garbage\r\n\r\n", false, 0, not_http },
		{ "HTTP/2.0 200 OK\r\n\r\n", false, 0, not_http },
		{ "SSH-2.0-x\r\n", false, 0, not_http },
		{ OK "Bad Name: x\r\n\r\n", false, 0, not_http },
		{ OK, true, 0, cut_off },
		{ OK "Content-Length: 6\r\n\r\nhello", true, 0, cut_off },
		{ OK CHUNK "5\r\nhello\r\n", true, 0, cut_off },
		{ OK CHUNK "5\r\nhello\r\n0\r\n", true, 0, cut_off },
		{ OK CHUNK "z\r\n", false, 0, "the answer's body cannot be understood" },
		{ OK "Content-Length: 5\r\n" CHUNK "0\r\n\r\n", false, 0, not_http },
		{ OK "Content-Encoding: gzip\r\n" LENGTH, false, 0,
		  "the answer has a Content-Encoding that was not asked for" },
		{ OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, 0,
		  "the answer has a Transfer-Encoding other than chunked" },
		{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
		  "Connection: upgrade\r\n\r\n",
		  false, 0, "the answer has status 101, to a GET that asked for no such thing" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", true, 0, cut_off },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check_row(&rows[i]);
	}
}

/* `bytes` and `n` times `more`, cut everywhere. */
static void check_large(const char *bytes, const char *more, size_t n, const char *behind,
			const char *why)
{
	struct buffer text = BUFFER_INIT;
	struct answer_row row = { .text = why };

	buffer_append_str(&text, str_from(bytes));
	for (size_t i = 0; i < n; i++) {
		buffer_append_str(&text, str_from(more));
	}
	buffer_append(&text, behind, strlen(behind) + 1);
	row.bytes = (const char *)buffer_data(&text);
	if (!why) {
		row.status = 200;
		row.text = "";
	}
	check_row(&row);
	buffer_free(&text);
}

static void a_head_is_bounded_to_the_byte(void **state)
{
	static const char length[] = "Content-Length: 0\r\n\r\n";
	size_t room = LIMIT_HEAD - strlen(OK "X: \r\n") - strlen(length);

	(void)state;
	check_large(OK "X: ", "x", room, "\r\nContent-Length: 0\r\n\r\n", NULL);
	check_large(OK "X: ", "x", room + 1, "\r\nContent-Length: 0\r\n\r\n",
		    "the answer's head is larger than 200 bytes");
	check_large("", "HTTP/1.1 100 Continue\r\n\r\n", 100, "",
		    "the answer's head is larger than 200 bytes");
}

static void a_body_is_bounded_to_the_byte(void **state)
{
	static const char *const why = "the answer is larger than 100 bytes";
	char chunked[LIMIT_BODY + 1];

	(void)state;
	check_row(&(struct answer_row){ OK "Content-Length: 101\r\n\r\nx", false, 0, why });
	check_row(&(struct answer_row){ OK "Content-Length: 18446744073709551615\r\n\r\nx", false,
					0, why });
	check_large(OK "\r\n", "x", LIMIT_BODY + 1, "", why);
	check_large(OK CHUNK, "1\r\nx\r\n", LIMIT_BODY, "", why); /* framing counts */
	check_large(OK CHUNK "1;", "x", LIMIT_BODY, "", why);
	memset(chunked, 'x', LIMIT_BODY);
	chunked[LIMIT_BODY] = '\0';
	for (size_t cut = 0; cut <= LIMIT_BODY; cut++) {
		struct buffer text = BUFFER_INIT;
		struct exchange exchange;

		buffer_printf(&text, OK "Content-Length: 100\r\n\r\n%s", chunked);
		hear(&exchange, (const char *)buffer_data(&text), buffer_len(&text),
		     buffer_len(&text) - cut, false);
		assert_string_equal(exchange.why, "");
		assert_string_equal(exchange.body, chunked);
		end(&exchange);
		buffer_free(&text);
	}
}

static void the_request_has_exactly_these_bytes_in_any_room(void **state)
{
	(void)state;
	for (size_t room = 1; room < 300; room += 13) {
		struct exchange exchange;

		assert_true(begin(&exchange));
		exchange.host.room = room;
		host_flush(&exchange.host);
		assert_string_equal(host_text(&exchange.host),
				    "GET /metrics?x=1 HTTP/1.1\r\n"
				    "Host: h:2112\r\n"
				    "User-Agent: echod\r\n"
				    "Accept: text/plain;version=0.0.4\r\n"
				    "Accept-Encoding: identity\r\n"
				    "Connection: close\r\n\r\n");
		assert_int_equal(exchange.done, 0);
		end(&exchange); /* by release */
		assert_string_equal(exchange.why, "the connection was closed");
	}
}

static void an_answer_has_its_time_whatever_trickles(void **state)
{
	static const char *const pieces[] = { "H", "T", "T", "P" };
	struct exchange exchange;

	(void)state;
	assert_true(begin(&exchange));
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		host_sleep(&exchange.host, NS_PER_S);
		host_sends(&exchange.host, pieces[i]);
	}
	host_sleep(&exchange.host, NS_PER_S - 1);
	assert_int_equal(exchange.done, 0);
	host_sleep(&exchange.host, 1);
	assert_int_equal(exchange.done, 1);
	assert_string_equal(exchange.why, "no answer in time");
	end(&exchange);

	assert_true(begin(&exchange));
	host_sleep(&exchange.host, 4 * NS_PER_S);
	host_sends(&exchange.host, OK "Content-Length: 50\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		host_sleep(&exchange.host, NS_PER_S);
		host_sends(&exchange.host, "x");
	}
	host_sleep(&exchange.host, NS_PER_S - 1);
	assert_int_equal(exchange.done, 0);
	host_sleep(&exchange.host, 1);
	assert_string_equal(exchange.why, "the answer takes too long");
	assert_true(host_finished(&exchange.host));
	end(&exchange);
}

static void a_lost_connection_and_a_drain_end_it(void **state)
{
	struct exchange exchange;

	(void)state;
	assert_true(begin(&exchange));
	exchange.host.engine->ops->release(exchange.host.engine, -ECONNRESET);
	exchange.host.engine = NULL;
	assert_string_equal(exchange.why, "the connection was lost");
	end(&exchange);

	assert_true(begin(&exchange));
	exchange.host.engine->ops->drain(exchange.host.engine, ENGINE_DRAIN_GRACEFUL);
	assert_int_equal(exchange.done, 0);
	exchange.host.engine->ops->drain(exchange.host.engine, ENGINE_DRAIN_NOW);
	assert_string_equal(exchange.why, "given up");
	assert_true(host_finished(&exchange.host));
	end(&exchange);
}

static void without_memory_there_is_a_reason_and_never_half_an_answer(void **state)
{
	static const char bytes[] = OK CHUNK "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
	int failed = 0;

	(void)state;
	for (long at = 0;; at++) {
		struct exchange exchange;

		failing_at = at;
		if (!begin(&exchange)) {
			failing_at = -1;
			failed++;
			continue;
		}
		host_flush(&exchange.host);
		host_sends(&exchange.host, bytes);
		bool untouched = failing_at >= 0;

		failing_at = -1;
		if (exchange.host.error == 0 && !exchange.why[0]) {
			assert_string_equal(exchange.body, "hello!");
		} else {
			failed++;
			assert_non_null(strstr(exchange.why, "out of memory"));
		}
		end(&exchange);
		if (untouched) {
			break;
		}
	}
	assert_true(failed >= 4); /* the engine, its request, what is sent, the body */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_ends_where_it_says_whatever_the_pieces),
		cmocka_unit_test(what_is_no_whole_answer_has_a_reason),
		cmocka_unit_test(a_head_is_bounded_to_the_byte),
		cmocka_unit_test(a_body_is_bounded_to_the_byte),
		cmocka_unit_test(the_request_has_exactly_these_bytes_in_any_room),
		cmocka_unit_test(an_answer_has_its_time_whatever_trickles),
		cmocka_unit_test(a_lost_connection_and_a_drain_end_it),
		cmocka_unit_test(without_memory_there_is_a_reason_and_never_half_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

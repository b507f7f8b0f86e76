#include "../http1/host.h"

#include "../http1/failing.h"
#include "web/routes.h"

#define HOST "Host: h\r\n"
#define END  "\r\n"

static void get_page(void *user, const struct http1_request *request,
		     struct http1_response *response)
{
	(void)request;
	response->content_type = "text/plain; charset=utf-8";
	if (buffer_append_str(&response->body, str_from(user)) < 0) {
		response->status = 500;
	}
}

static void get_unready(void *user, const struct http1_request *request,
			struct http1_response *response)
{
	(void)user;
	(void)request;
	response->status = 503;
}

/* Up to so many connections to one web, on one clock. */
#define PEERS 16
struct house {
	struct timers timers;
	int64_t now_ns;
	struct web_limits limits;
	struct counter counters[WEB_N_STATUSES + 1];
	struct web_meters meters;
	struct web *web;
	void *asker;
	struct host peers[PEERS];
	int evicted[PEERS];
};

static struct house *house; /* of the running test */

/* What was posted, as it came. */
static void post_page(void *user, const struct http1_request *request,
		      struct http1_response *response)
{
	(void)user;
	house->asker = web_asker(house->web);
	response->content_type = "text/plain; charset=utf-8";
	if (buffer_printf(&response->body, "<%.*s>", (int)request->body.len, request->body.data) <
	    0) {
		response->status = 500;
	}
}

static char page[8192], root[] = "root", metrics[] = "metrics\n", things[] = "things",
			more[] = "more";

static const struct route routes[] = {
	{ "/", get_page, root },
	{ "/metrics", get_page, metrics },
	{ "/-/ready", get_unready, NULL },
	{ "/large", get_page, page },
	{ "/things/", get_page, things, true },
	{ "/things/own", get_page, root },
	{ "/things/more/", get_page, more, true },
	{ "/post", get_page, root, false, post_page },
};

static int setup(void **state)
{
	(void)state;
	memset(page, 'x', sizeof(page) - 1);
	house = calloc(1, sizeof(*house));
	assert_non_null(house);
	house->now_ns = NS_PER_S;
	timers_init(&house->timers, host_clock, &house->now_ns);
	house->limits = web_default_limits;
	house->limits.http1.keep_body_bytes = 8;
	for (size_t i = 0; i < ARRAY_SIZE(house->counters); i++) {
		house->meters.requests[i] = &house->counters[i];
	}
	house->web =
		web_new(routes, ARRAY_SIZE(routes), &house->limits, &house->meters, &house->timers);
	assert_non_null(house->web);
	return 0;
}

static void leave(size_t i)
{
	if (house->peers[i].engine) {
		house->peers[i].engine->ops->release(house->peers[i].engine, 0);
	}
	buffer_free(&house->peers[i].held);
	buffer_free(&house->peers[i].out);
	house->peers[i] = (struct host){ 0 };
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < PEERS; i++) {
		leave(i);
	}
	web_free(house->web); /* asserts that no connection is left in its list */
	assert_int_equal(timers_next_ns(&house->timers), -1);
	free(house);
	return 0;
}

static void on_evict(void *user)
{
	house->evicted[(struct host *)user - house->peers]++;
}

/* False: the web does not want it. */
static bool enter(size_t i)
{
	struct host *peer = &house->peers[i];
	struct engine *engine = web_accept(house->web, on_evict, peer);

	if (!engine) {
		return false;
	}
	peer->room = 4 * KIB;
	host_attach(peer, engine);
	return true;
}

static void pass(int64_t ns)
{
	house->now_ns += ns;
	timers_run(&house->timers);
	for (size_t i = 0; i < PEERS; i++) {
		if (house->peers[i].engine && house->peers[i].woken) {
			host_flush(&house->peers[i]);
		}
	}
}

static const char *ask(size_t i, const char *request)
{
	host_clear(&house->peers[i]);
	host_sends(&house->peers[i], request);
	assert_int_equal(house->peers[i].error, 0);
	return host_text(&house->peers[i]);
}

static uint64_t counted(int status)
{
	static const int statuses[] = {
#define STATUS(number, phrase) number,
		HTTP1_STATUSES(STATUS)
#undef STATUS
	};

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i] == status) {
			return counter_read(&house->counters[i]);
		}
	}
	return counter_read(&house->counters[WEB_N_STATUSES]);
}

static void requests_get_the_answer_of_their_path_and_method(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *holds;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nroot" },
		{ "GET /metrics HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nmetrics\n" },
		{ "GET /metrics?x=1 HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nmetrics\n" },
		{ "GET http://h:2112/metrics HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nmetrics\n" },
		{ "HEAD /metrics HTTP/1.1\r\n" HOST END, 200, "\r\nContent-Length: 8\r\n" },
		{ "GET /-/ready HTTP/1.1\r\n" HOST END, 503, "\r\nContent-Length: 0\r\n" },
		{ "GET /things/ HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nthings" },
		{ "GET /things/1?x=/y HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nthings" },
		{ "GET /things/own HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nroot" },
		{ "GET /things/own/2 HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nthings" },
		{ "GET /things/more HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nthings" },
		{ "GET /things/more/ HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nmore" },
		{ "GET /things/more/3 HTTP/1.1\r\n" HOST END, 200, "\r\n\r\nmore" },
		{ "GET /things HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "PUT /things/1 HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD\r\n" },
		{ "GET /nope HTTP/1.1\r\n" HOST END, 404, "\r\n\r\n404 page not found\n" },
		{ "GET /nope HTTP/1.1\r\n" HOST END, 404,
		  "\r\nContent-Type: text/plain; charset=utf-8\r\n" },
		{ "GET /nope HTTP/1.1\r\n" HOST END, 404,
		  "\r\nX-Content-Type-Options: nosniff\r\n" },
		{ "GET /metrics/ HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "GET //metrics HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "GET /%6detrics HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "GET /METRICS HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "POST /nope HTTP/1.1\r\n" HOST END, 404, "404 page" },
		{ "POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 2\r\n" END "ab", 405,
		  "\r\nAllow: GET, HEAD\r\n" },
		{ "PUT /metrics HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD\r\n" },
		{ "DELETE /metrics HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD\r\n" },
		{ "OPTIONS /metrics HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD\r\n" },
		{ "PATCH /metrics HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD\r\n" },
	};

	(void)state;
	assert_true(enter(0));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t before = counted(rows[i].status);
		const char *text = ask(0, rows[i].request); /* all on one connection */

		assert_int_equal(status_of(text), rows[i].status);
		assert_int_equal(responses_in(text), 1);
		assert_non_null(strstr(text, rows[i].holds));
		assert_null(strstr(text, "Connection: close"));
		assert_int_equal(counted(rows[i].status), before + 1);
	}
	assert_int_equal(counted(200) + counted(404) + counted(405) + counted(503),
			 ARRAY_SIZE(rows));
}

static void a_post_comes_with_its_body_and_from_no_page_of_another_site(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *holds;
	} rows[] = {
		{ "POST /post HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END "a=1", 200, "<a=1>" },
		{ "POST /post HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" END, 200, "<>" },
		{ "POST /post HTTP/1.1\r\n" HOST END, 200, "<>" },
		{ "POST /post HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END
		  "3\r\na=1\r\n5\r\n&b=23\r\n0\r\nX: y\r\n\r\n",
		  200, "<a=1&b=23>" },
		{ "POST /post HTTP/1.1\r\n" HOST "Content-Length: 9\r\n" END "123456789", 413,
		  "too long" },
		{ "GET /post HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" END "a=1", 200, "root" },
		{ "PUT /post HTTP/1.1\r\n" HOST END, 405, "\r\nAllow: GET, HEAD, POST\r\n" },
		{ "POST /post HTTP/1.1\r\n" HOST "Origin: http://H\r\n" END, 200, "<>" },
		{ "POST /post HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-origin\r\n" END, 200, "<>" },
		{ "POST /post HTTP/1.1\r\n" HOST "Origin: http://h.evil\r\n" END, 403, "pages" },
		{ "POST /post HTTP/1.1\r\n" HOST "Origin: null\r\n" END, 403, "pages" },
		{ "POST /post HTTP/1.1\r\nHost:\r\nOrigin: null\r\n" END, 403, "pages" },
		{ "POST /post HTTP/1.1\r\nHost:\r\nOrigin: http://\r\n" END, 403, "pages" },
		{ "POST /post HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n" END, 403,
		  "pages" },
		{ "POST /post HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-site\r\n" END, 403,
		  "pages" },
	};

	(void)state;
	assert_true(enter(0));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = ask(0, rows[i].request);

		assert_int_equal(status_of(text), rows[i].status);
		assert_non_null(strstr(text, rows[i].holds));
	}
	assert_ptr_equal(house->asker, &house->peers[0]);
	assert_null(web_asker(house->web));
	/* what the peer would have to be asked for is, where it may be kept */
	assert_int_equal(status_of(ask(0, "POST /post HTTP/1.1\r\n" HOST
					  "Expect: 100-continue\r\nContent-Length: 3\r\n" END)),
			 100);
	assert_non_null(strstr(ask(0, "a=1"), "<a=1>"));
	assert_int_equal(status_of(ask(0, "POST /post HTTP/1.1\r\n" HOST
					  "Expect: 100-continue\r\nContent-Length: 9\r\n" END)),
			 413);
	assert_true(host_finished(&house->peers[0]));
}

static void head_has_the_length_of_get_and_no_body(void **state)
{
	char get[512], head[512];

	(void)state;
	assert_true(enter(0));
	snprintf(get, sizeof(get), "%.500s", ask(0, "GET /large HTTP/1.1\r\n" HOST END));
	snprintf(head, sizeof(head), "%.500s", ask(0, "HEAD /large HTTP/1.1\r\n" HOST END));
	assert_non_null(strstr(get, "\r\nContent-Length: 8191\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Length: 8191\r\n"));
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
	assert_memory_equal(strstr(get, "\r\nContent-Type"), strstr(head, "\r\nContent-Type"),
			    strlen(strstr(head, "\r\nContent-Type")));
}

static void refusals_of_the_layer_below_are_counted(void **state)
{
	(void)state;
	assert_true(enter(0));
	assert_int_equal(status_of(ask(0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 400);
	assert_int_equal(counted(400), 1);
	assert_true(enter(1));
	assert_int_equal(status_of(ask(1, "GET / HTTP/3.0\r\n")), 505);
	assert_int_equal(counted(505), 1);
	assert_true(enter(2));
	ask(2, "GET / HT");
	pass(10 * NS_PER_S);
	assert_int_equal(status_of(host_text(&house->peers[2])), 408);
	assert_int_equal(counted(408), 1);
	assert_int_equal(counted(200), 0);
}

/* Asks for more than is taken, and reads nothing for `ns`; false if the response was given up. */
static bool survives(size_t i, const char *header, int64_t ns)
{
	char request[256];

	assert_true(enter(i));
	house->peers[i].blocked = true;
	snprintf(request, sizeof(request), "GET /large HTTP/1.1\r\n" HOST "%s" END, header);
	host_sends(&house->peers[i], request);
	pass(ns);
	return house->peers[i].error == 0;
}

static void the_scraper_says_how_long_it_waits(void **state)
{
#define TIMEOUT(value) "X-Prometheus-Scrape-Timeout-Seconds: " value "\r\n"
	static const struct {
		const char *header;
		int64_t ns;
	} rows[] = {
		{ "", 10 * NS_PER_S },
		{ TIMEOUT("3"), 3 * NS_PER_S },
		{ TIMEOUT("3.25"), 3250 * NS_PER_MS },
		{ TIMEOUT("0.5"), 500 * NS_PER_MS },
		{ TIMEOUT("0.1234567891234"), 123456789 },
		{ TIMEOUT("10"), 10 * NS_PER_S },
		{ TIMEOUT("600"), 10 * NS_PER_S },
		{ TIMEOUT("99999999999999999999999999"), 10 * NS_PER_S },
		{ TIMEOUT("0"), 10 * NS_PER_S },
		{ TIMEOUT("-1"), 10 * NS_PER_S },
		{ TIMEOUT("1e3"), 10 * NS_PER_S },
		{ TIMEOUT("nan"), 10 * NS_PER_S },
		{ TIMEOUT(".5"), 10 * NS_PER_S },
		{ TIMEOUT("1.2.3"), 10 * NS_PER_S },
		{ TIMEOUT(""), 10 * NS_PER_S },
	};
#undef TIMEOUT

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(survives(0, rows[i].header, rows[i].ns - 1));
		pass(1);
		assert_int_equal(house->peers[0].error, -ETIMEDOUT);
		leave(0);
	}
}

static void remake(size_t max_connections)
{
	web_free(house->web);
	house->limits.max_connections = max_connections;
	house->web =
		web_new(routes, ARRAY_SIZE(routes), &house->limits, &house->meters, &house->timers);
}

static void the_longest_still_gives_way(void **state)
{
	(void)state;
	remake(3);
	for (size_t i = 0; i < 3; i++) { /* a slow reader, a half request, an idle one */
		assert_true(enter(i));
		pass(NS_PER_S);
	}
	house->peers[0].blocked = true;
	ask(0, "GET /large HTTP/1.1\r\n" HOST END);
	pass(NS_PER_S);
	ask(1, "GET /la");
	pass(NS_PER_S);
	/* still for: 2 s, 1 s, 3 s */
	assert_true(enter(3));
	assert_int_equal(house->evicted[2], 1);
	assert_true(enter(4)); /* before the host has closed the first */
	assert_int_equal(house->evicted[0], 1);
	leave(0);
	leave(2);
	assert_true(enter(5));
	assert_int_equal(house->evicted[1], 1);
	leave(1);
	for (size_t i = 3; i < 6; i++) {
		assert_int_equal(status_of(ask(i, "GET / HTTP/1.1\r\n" HOST END)), 200);
		assert_int_equal(house->evicted[i], 0);
	}
	assert_int_equal(house->evicted[0] + house->evicted[1] + house->evicted[2], 3);
	assert_int_equal(counted(503), 0);
}

static void one_more_than_all_that_move_is_told_503(void **state)
{
	const char *text;

	(void)state;
	remake(2);
	assert_true(enter(0));
	assert_true(enter(1));
	pass(NS_PER_S - 1);
	assert_true(enter(2));
	assert_true(enter(3));
	text = ask(2, "GET /metrics HTTP/1.1\r\n" HOST END "GET / HTTP/1.1\r\n" HOST END);
	assert_int_equal(status_of(text), 503);
	assert_int_equal(responses_in(text), 1);
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(text, "\r\n\r\nLimit of concurrent requests reached (2), try"));
	assert_true(host_finished(&house->peers[2]));
	assert_int_equal(counted(503), 1);
	leave(2);
	for (size_t i = 0; i < 2; i++) { /* the others go on */
		assert_int_equal(house->evicted[i], 0);
		assert_int_equal(status_of(ask(i, "GET / HTTP/1.1\r\n" HOST END)), 200);
	}
	assert_true(enter(4));
	pass(10 * NS_PER_S); /* it does not get the long idle time */
	assert_true(host_finished(&house->peers[3]));
	assert_true(host_finished(&house->peers[4]));
	assert_false(host_finished(&house->peers[0]));
	leave(0);
	assert_true(enter(5)); /* a place is free again */
	assert_int_equal(status_of(ask(5, "GET / HTTP/1.1\r\n" HOST END)), 200);
}

static void beyond_as_many_again_the_longest_waiting_gives_way(void **state)
{
	(void)state;
	remake(2);
	for (size_t i = 0; i < 4; i++) { /* two that are served, two that are not */
		assert_true(enter(i));
		pass(NS_PER_S / 5);
	}
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(status_of(ask(i, "GET / HTTP/1.1\r\n" HOST END)), 200);
	}
	assert_true(enter(4));
	assert_int_equal(house->evicted[2], 1);
	assert_true(enter(5)); /* before the host has closed the first */
	assert_int_equal(house->evicted[3], 1);
	leave(2);
	leave(3);
	assert_int_equal(status_of(ask(4, "GET / HTTP/1.1\r\n" HOST END)), 503);
	leave(4);
	assert_true(enter(6)); /* nobody has to go for it */
	assert_int_equal(house->evicted[0] + house->evicted[1] + house->evicted[5], 0);
}

static void meters_are_optional(void **state)
{
	(void)state;
	web_free(house->web);
	house->web = web_new(routes, ARRAY_SIZE(routes), &house->limits, NULL, &house->timers);
	assert_true(enter(0));
	assert_int_equal(status_of(ask(0, "GET / HTTP/1.1\r\n" HOST END)), 200);
	assert_int_equal(counted(200), 0);
	web_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
	static const char request[] =
		"GET /metrics HTTP/1.1\r\n" HOST END "POST / HTTP/1.1\r\n" HOST END
		"GET /nope HTTP/1.1\r\n" HOST END;
	bool failed = true;
	long n;

	(void)state;
	leave(0);
	web_free(house->web);
	for (n = 0; failed; n++) {
		struct host *peer = &house->peers[0];

		assert_non_null(buffer_reserve(&peer->out, 4 * KIB)); /* the host's own */
		assert_int_equal(buffer_append(&peer->held, request, sizeof(request) - 1), 0);
		failing_at = n;
		house->web = web_new(routes, ARRAY_SIZE(routes), &house->limits, &house->meters,
				     &house->timers);
		if (house->web && enter(0)) {
			host_flush(peer);
		}
		failed = failing_at < 0;
		failing_at = -1;
		assert_true(peer->error == 0 || peer->error == -ENOMEM);
		if (peer->engine && peer->error == 0) { /* a failure is a status, or ends it */
			assert_int_equal(responses_in(host_text(peer)), 3);
		}
		leave(0);
		web_free(house->web);
	}
	assert_true(n > 10);
	house->web = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(requests_get_the_answer_of_their_path_and_method),
		TEST(a_post_comes_with_its_body_and_from_no_page_of_another_site),
		TEST(head_has_the_length_of_get_and_no_body),
		TEST(refusals_of_the_layer_below_are_counted),
		TEST(the_scraper_says_how_long_it_waits),
		TEST(the_longest_still_gives_way),
		TEST(one_more_than_all_that_move_is_told_503),
		TEST(beyond_as_many_again_the_longest_waiting_gives_way),
		TEST(meters_are_optional),
		TEST(every_allocation_may_fail),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}

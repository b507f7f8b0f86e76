#include "../http1/host.h"

#include <zlib.h>

#include "../http1/failing.h"
#include "metrics/registry.h"
#include "web/routes.h"
#include "web/scrape.h"

#define HOST   "Host: h\r\n"
#define END    "\r\n"
#define GET    "GET /metrics HTTP/1.1\r\n" HOST
#define PACKED "Accept-Encoding: gzip\r\n"

/* A web with one registry of some 4 KB, and one connection to it. */
struct fixture {
	struct host host;
	struct scrape scrape;
	struct route route;
	struct web *web;
	struct counter *counter;
};

static void unused(void *host)
{
	(void)host;
}

static void enter(struct fixture *fixture)
{
	struct engine *engine = web_accept(fixture->web, unused, &fixture->host);

	assert_non_null(engine);
	host_attach(&fixture->host, engine);
}

static void init(struct fixture *fixture, bool large)
{
	static const char *const labels[] = { "code", NULL };
	static const char *const codes[] = { "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8",
					     "a9", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7" };
	struct family *family;

	*fixture = (struct fixture){ .scrape.registry = registry_new() };
	assert_non_null(fixture->scrape.registry);
	fixture->counter =
		registry_counter(fixture->scrape.registry, "total_requests", "Total number.");
	assert_non_null(fixture->counter);
	family = registry_family(fixture->scrape.registry, METRIC_COUNTER,
				 "a_rather_long_name_for_a_family_of_calls_by_code_total",
				 "Help that is long enough to be worth its place in a test.",
				 labels);
	assert_non_null(family);
	for (size_t i = 0; large && i < ARRAY_SIZE(codes); i++) {
		assert_non_null(family_counter(family, &codes[i]));
	}
	host_init(&fixture->host);
	fixture->route = (struct route){ "/metrics", scrape_get, &fixture->scrape };
	fixture->web =
		web_new(&fixture->route, 1, &web_default_limits, NULL, &fixture->host.timers);
	assert_non_null(fixture->web);
	enter(fixture);
}

static void deinit(struct fixture *fixture)
{
	host_deinit(&fixture->host);
	web_free(fixture->web);
	registry_free(fixture->scrape.registry);
}

/* One response, split; valid until the next ask(). */
struct reply {
	char head[1024];
	const uint8_t *body;
	size_t length;
};

static struct reply ask(struct fixture *fixture, const char *request)
{
	struct reply reply = { 0 };
	const char *text, *end, *length;

	host_clear(&fixture->host);
	host_sends(&fixture->host, request);
	text = host_text(&fixture->host);
	end = strstr(text, "\r\n\r\n");
	assert_non_null(end);
	assert_true((size_t)(end + 4 - text) < sizeof(reply.head));
	memcpy(reply.head, text, (size_t)(end + 2 - text));
	assert_int_equal(count_of(reply.head, "\r\nContent-Type: "), 1);
	assert_int_equal(count_of(reply.head, "\r\nDate: "), 1);
	length = strstr(reply.head, "\r\nContent-Length: ");
	assert_non_null(length);
	reply.body = (const uint8_t *)end + 4;
	reply.length = buffer_len(&fixture->host.out) - (size_t)(end + 4 - text);
	if (memcmp(request, "HEAD", 4) != 0) {
		assert_int_equal(strtoul(length + 18, NULL, 10), reply.length);
	}
	return reply;
}

static size_t gunzip(const struct reply *reply, uint8_t *out, size_t room)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)reply->body,
			    .avail_in = (uInt)reply->length,
			    .next_out = out,
			    .avail_out = (uInt)room };

	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK); /* gzip, nothing else */
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	assert_int_equal(inflateEnd(&stream), Z_OK);
	return stream.total_out;
}

static void a_plain_scrape_is_text_0_0_4(void **state)
{
	struct fixture fixture;
	struct reply reply;

	(void)state;
	init(&fixture, true);
	counter_add(fixture.counter, 7);
	reply = ask(&fixture, GET END);
	assert_int_equal(status_of(reply.head), 200);
	assert_non_null(strstr(reply.head,
			       "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(reply.head, "\r\nVary: Accept, Accept-Encoding\r\n"));
	assert_null(strstr(reply.head, "Content-Encoding"));
	assert_non_null(strstr((const char *)reply.body, "# HELP total_requests Total number.\n"
							 "# TYPE total_requests counter\n"
							 "total_requests 7\n"));
	counter_increment(fixture.counter);
	reply = ask(&fixture, GET END);
	assert_non_null(strstr((const char *)reply.body, "\ntotal_requests 8\n"));
	deinit(&fixture);
}

static void accept_never_leads_to_406(void **state)
{
	struct fixture fixture;

	(void)state;
	init(&fixture, true);
	assert_int_equal(status_of(ask(&fixture, GET "Accept: text/html;q=1e9,,;\r\n" END).head),
			 200);
	assert_int_equal(
		status_of(ask(&fixture, GET "Accept: application/openmetrics-text\r\n" END).head),
		200);
	assert_non_null(strstr(
		ask(&fixture, GET "Accept: text/plain;version=0.0.4;escaping=dots\r\n" END).head,
		"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8; escaping=dots\r\n"));
	deinit(&fixture);
}

static void gzip_holds_the_same_bytes(void **state)
{
	static uint8_t plain[64 * KIB], unpacked[64 * KIB];
	struct fixture fixture;
	struct reply reply;
	size_t n;

	(void)state;
	init(&fixture, true);
	reply = ask(&fixture, GET END);
	n = reply.length;
	assert_true(n < sizeof(plain));
	memcpy(plain, reply.body, n);
	reply = ask(&fixture, GET PACKED END);
	assert_int_equal(status_of(reply.head), 200);
	assert_int_equal(count_of(reply.head, "\r\nContent-Encoding: gzip\r\n"), 1);
	assert_int_equal(count_of(reply.head, "\r\nVary: Accept, Accept-Encoding\r\n"), 1);
	assert_true(reply.length < n / 2);
	assert_int_equal(gunzip(&reply, unpacked, sizeof(unpacked)), n);
	assert_memory_equal(plain, unpacked, n);
	reply = ask(&fixture, GET "Accept-Encoding: gzip;q=0\r\n" END);
	assert_null(strstr(reply.head, "Content-Encoding"));
	assert_int_equal(reply.length, n);
	deinit(&fixture);
}

static void small_bodies_and_errors_are_not_compressed(void **state)
{
	struct fixture fixture;
	struct reply reply;

	(void)state;
	init(&fixture, false);
	reply = ask(&fixture, GET PACKED END);
	assert_int_equal(status_of(reply.head), 200);
	assert_null(strstr(reply.head, "Content-Encoding"));
	assert_non_null(strstr(reply.head, "\r\nVary: Accept, Accept-Encoding\r\n"));
	reply = ask(&fixture, "GET /nope HTTP/1.1\r\n" HOST PACKED END);
	assert_int_equal(status_of(reply.head), 404);
	assert_null(strstr(reply.head, "Content-Encoding"));
	assert_memory_equal(reply.body, "404 page not found\n", reply.length);
	deinit(&fixture);
}

static void head_has_the_head_of_get(void **state)
{
	static const char *const fields[] = { "", PACKED };
	struct fixture fixture;

	(void)state;
	init(&fixture, true);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char request[256];
		struct reply get, head;

		snprintf(request, sizeof(request), GET "%s" END, fields[i]);
		get = ask(&fixture, request);
		snprintf(request, sizeof(request), "HEAD /metrics HTTP/1.1\r\n" HOST "%s" END,
			 fields[i]);
		head = ask(&fixture, request);
		assert_int_equal(head.length, 0);
		assert_string_equal(strstr(head.head, "\r\nContent-Type"),
				    strstr(get.head, "\r\nContent-Type"));
	}
	deinit(&fixture);
}

static void every_allocation_of_a_scrape_may_fail(void **state)
{
	static uint8_t unpacked[64 * KIB];
	struct fixture fixture;
	bool failed = true;
	int seen_500 = 0, seen_plain = 0, seen_lost = 0;

	(void)state;
	init(&fixture, true);
	host_deinit(&fixture.host);
	for (long n = 0; failed; n++) {
		host_init(&fixture.host);
		enter(&fixture);
		assert_non_null(buffer_reserve(&fixture.host.out, 16 * KIB)); /* the host's own */
		buffer_append_str(&fixture.host.held, STR(GET PACKED END));
		failing_at = n;
		host_flush(&fixture.host);
		failed = failing_at < 0;
		failing_at = -1;
		if (fixture.host.error < 0) {
			assert_int_equal(fixture.host.error, -ENOMEM);
			seen_lost++;
		} else if (status_of(host_text(&fixture.host)) == 500) {
			assert_non_null(strstr(host_text(&fixture.host), "Content-Length: 0\r\n"));
			seen_500++;
		} else if (!strstr(host_text(&fixture.host), "Content-Encoding")) {
			assert_true(failed);
			seen_plain++;
		} else if (!failed) {
			struct reply reply = ask(&fixture, GET PACKED END);

			assert_true(gunzip(&reply, unpacked, sizeof(unpacked)) > KIB);
		}
		host_deinit(&fixture.host);
		web_free(fixture.web); /* asserts that nothing is left */
		fixture.web =
			web_new(&fixture.route, 1, &web_default_limits, NULL, &fixture.host.timers);
	}
	assert_true(seen_500 > 0 && seen_plain > 0 && seen_lost > 0);
	web_free(fixture.web);
	registry_free(fixture.scrape.registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_scrape_is_text_0_0_4),
		cmocka_unit_test(accept_never_leads_to_406),
		cmocka_unit_test(gzip_holds_the_same_bytes),
		cmocka_unit_test(small_bodies_and_errors_are_not_compressed),
		cmocka_unit_test(head_has_the_head_of_get),
		cmocka_unit_test(every_allocation_of_a_scrape_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

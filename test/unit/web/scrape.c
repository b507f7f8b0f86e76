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

#define OM       "Accept: application/openmetrics-text\r\n"
#define PROTOBUF "Accept: " EXPOSITION_PROTOBUF_TYPE "\r\n"

/* A web with one registry of some 4 KB, and one connection to it. */
struct fixture {
	struct host host;
	struct offload offload; /* where it is given to the scrape */
	struct offload_job *jobs[SCRAPE_MAX_PACKING];
	size_t n_jobs;
	bool refuses;
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

static int submit(struct offload *offload, struct offload_job *job)
{
	struct fixture *fixture = container_of(offload, struct fixture, offload);

	if (fixture->refuses) {
		return -ENOMEM;
	}
	assert_true(fixture->n_jobs < SCRAPE_MAX_PACKING);
	fixture->jobs[fixture->n_jobs++] = job;
	return 0;
}

static void packs_elsewhere(struct fixture *fixture)
{
	fixture->offload.submit = submit;
	fixture->scrape.offload = &fixture->offload;
}

/* The other thread has done all that it was given. */
static void do_jobs(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->n_jobs; i++) {
		fixture->jobs[i]->work(fixture->jobs[i]);
	}
	for (size_t i = 0; i < fixture->n_jobs; i++) {
		fixture->jobs[i]->done(fixture->jobs[i]);
	}
	fixture->n_jobs = 0;
	assert_int_equal(fixture->scrape.n_packing, 0);
	if (fixture->host.engine) {
		host_flush(&fixture->host);
	}
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
	do_jobs(fixture);
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

static void each_format_has_its_type_and_body(void **state)
{
	struct fixture fixture;
	struct reply reply;

	(void)state;
	init(&fixture, true);
	reply = ask(&fixture, GET OM END);
	assert_non_null(strstr(reply.head, "\r\nContent-Type: " EXPOSITION_TEXT_TYPE "\r\n"));
	fixture.scrape.openmetrics = true;
	reply = ask(&fixture, GET OM END);
	assert_non_null(
		strstr(reply.head, "\r\nContent-Type: " EXPOSITION_OPENMETRICS_TYPE "\r\n"));
	assert_non_null(strstr(reply.head, "\r\nVary: Accept, Accept-Encoding\r\n"));
	assert_memory_equal(reply.body + reply.length - 6, "# EOF\n", 6);
	reply = ask(&fixture, GET PROTOBUF END);
	assert_non_null(strstr(reply.head, "\r\nContent-Type: " EXPOSITION_PROTOBUF_TYPE "\r\n"));
	assert_non_null(strstr(reply.head, "\r\nVary: Accept, Accept-Encoding\r\n"));
	assert_true(reply.length > KIB / 2);
	/* a length, then the name of the first family with its own */
	assert_non_null(memmem(reply.body, 32, "a_rather_long_name", 18));
	assert_int_equal(reply.body[2], 0x0a);
	deinit(&fixture);
}

static void families_are_asked_for_by_name(void **state)
{
	static const struct {
		const char *query;
		int status, families;
	} rows[] = {
		{ "?", 200, 2 },
		{ "?x=1", 200, 2 },
		{ "?name=total_requests", 200, 2 },
		{ "?name[]=total_requests", 200, 1 },
		{ "?name%5B%5D=total_requests", 200, 1 },
		{ "?name%5b%5d=total%5Frequests&x=y", 200, 1 },
		{ "?name[]=total_requests&name[]=total_requests", 200, 1 },
		{ "?name[]=total_requests&&name[]="
		  "a_rather_long_name_for_a_family_of_calls_by_code_total",
		  200, 2 },
		{ "?name[]=total", 200, 0 },
		{ "?name[]=total_requests_", 200, 0 },
		{ "?name[]=Total_requests", 200, 0 },
		{ "?name[]=", 200, 0 },
		{ "?name[]", 200, 0 },
		{ "?name[]=total_requests&name[]=nope", 200, 1 },
		{ "?name[]=%", 400, 0 },
		{ "?name[]=total_requests%00", 400, 0 },
		{ "?x=%zz", 400, 0 },
	};
	struct fixture fixture;

	(void)state;
	init(&fixture, true);
	fixture.scrape.openmetrics = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char request[512];
		struct reply reply;

		for (int om = 0; om < 2; om++) {
			snprintf(request, sizeof(request),
				 "GET /metrics%s HTTP/1.1\r\n" HOST "%s" END, rows[i].query,
				 om ? OM : "");
			reply = ask(&fixture, request);
			assert_int_equal(status_of(reply.head), rows[i].status);
			assert_int_equal(count_of((const char *)reply.body, "# TYPE "),
					 rows[i].families);
			if (rows[i].status == 200 && rows[i].families == 0) {
				assert_string_equal((const char *)reply.body, om ? "# EOF\n" : "");
			}
		}
	}
	deinit(&fixture);
}

static void so_many_names_and_no_more(void **state)
{
	char request[4 * KIB];
	struct fixture fixture;

	(void)state;
	init(&fixture, false);
	for (size_t n = SCRAPE_MAX_NAMES; n <= SCRAPE_MAX_NAMES + 1; n++) {
		strcpy(request, "GET /metrics?name[]=total_requests");
		for (size_t i = 1; i < n; i++) {
			strcat(request, "&name[]=x");
		}
		strcat(request, " HTTP/1.1\r\n" HOST END);
		assert_int_equal(status_of(ask(&fixture, request).head),
				 n > SCRAPE_MAX_NAMES ? 400 : 200);
	}
	deinit(&fixture);
}

static void the_start_of_the_process_is_said(void **state)
{
	struct fixture fixture;

	(void)state;
	init(&fixture, true);
	assert_null(strstr(ask(&fixture, GET END).head, "Process-Start-Time-Unix"));
	fixture.scrape.start_time_s = 1700000000;
	for (int how = 0; how < 3; how++) {
		struct reply reply;

		if (how == 2) {
			packs_elsewhere(&fixture);
		}
		reply = ask(&fixture, how == 0 ? GET END : GET PACKED END);
		assert_int_equal(
			count_of(reply.head, "\r\nProcess-Start-Time-Unix: 1700000000\r\n"), 1);
		assert_int_equal(count_of(reply.head, "\r\nVary: "), 1);
		assert_int_equal(count_of(reply.head, "\r\nContent-Encoding: gzip\r\n"), how > 0);
	}
	deinit(&fixture);
}

/* Each look at it is a microsecond later. */
static int64_t ticking(void *context)
{
	return *(int64_t *)context += NS_PER_US;
}

static void what_rendering_takes_is_kept(void **state)
{
	struct fixture fixture;
	struct timers timers;
	int64_t now_ns = 0;

	(void)state;
	init(&fixture, true);
	ask(&fixture, GET END);
	assert_int_equal(fixture.scrape.last_render_ns, 0);
	timers_init(&timers, ticking, &now_ns);
	fixture.scrape.timers = &timers;
	ask(&fixture, GET PACKED END);
	assert_int_equal(fixture.scrape.last_render_ns, NS_PER_US);
	deinit(&fixture);
}

static void packed_elsewhere_it_comes_when_it_is_ready(void **state)
{
	static uint8_t here[64 * KIB];
	struct fixture fixture;
	struct reply reply;
	char head[1024];
	size_t n;

	(void)state;
	init(&fixture, true);
	reply = ask(&fixture, GET PACKED END);
	n = reply.length;
	memcpy(here, reply.body, n);
	memcpy(head, reply.head, sizeof(head));
	packs_elsewhere(&fixture);
	host_clear(&fixture.host);
	host_sends(&fixture.host, GET PACKED END GET END);
	assert_int_equal(fixture.n_jobs, 1);
	assert_int_equal(fixture.scrape.n_packing, 1);
	assert_int_equal(buffer_len(&fixture.host.out), 0); /* nor what follows it */
	do_jobs(&fixture);
	assert_non_null(memmem(buffer_data(&fixture.host.out), buffer_len(&fixture.host.out),
			       "\ntotal_requests 0\n", 18));
	reply = ask(&fixture, GET PACKED END);
	assert_string_equal(strstr(reply.head, "\r\nContent-Type"),
			    strstr(head, "\r\nContent-Type"));
	assert_int_equal(reply.length, n);
	assert_memory_equal(reply.body, here, n);
	deinit(&fixture);
}

static void who_does_not_wait_any_more_is_forgotten(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct fixture fixture;

		init(&fixture, true);
		packs_elsewhere(&fixture);
		host_sends(&fixture.host, GET PACKED END GET PACKED END);
		assert_int_equal(fixture.n_jobs, 1);
		if (how == 0) { /* the transport is gone */
			host_deinit(&fixture.host);
			do_jobs(&fixture);
		} else if (how == 1) {
			fixture.host.engine->ops->drain(fixture.host.engine, ENGINE_DRAIN_NOW);
			do_jobs(&fixture);
			assert_int_equal(buffer_len(&fixture.host.out), 0);
		} else {
			fixture.host.engine->ops->drain(fixture.host.engine, ENGINE_DRAIN_GRACEFUL);
			do_jobs(&fixture);
			assert_int_equal(status_of(host_text(&fixture.host)), 200);
			assert_true(host_finished(&fixture.host));
		}
		deinit(&fixture);
	}
}

static void who_said_how_long_it_waits_waits_no_longer(void **state)
{
	struct fixture fixture;

	(void)state;
	init(&fixture, true);
	packs_elsewhere(&fixture);
	fixture.host.blocked = true;
	host_sends(&fixture.host, GET PACKED "X-Prometheus-Scrape-Timeout-Seconds: 3\r\n" END);
	host_sleep(&fixture.host, 5 * NS_PER_S);
	do_jobs(&fixture);
	host_sleep(&fixture.host, 3 * NS_PER_S - 1);
	assert_int_equal(fixture.host.error, 0);
	host_sleep(&fixture.host, 1);
	assert_int_equal(fixture.host.error, -ETIMEDOUT);
	deinit(&fixture);
}

/* As many connections as fill the thread's queue, and one more. */
static void of_too_many_some_are_not_packed(void **state)
{
	struct fixture fixture;
	struct host crowd[SCRAPE_MAX_PACKING];
	struct reply reply;

	(void)state;
	init(&fixture, true);
	packs_elsewhere(&fixture);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
		host_init(&crowd[i]);
		host_attach(&crowd[i], web_accept(fixture.web, unused, &crowd[i]));
		host_sends(&crowd[i], GET PACKED END);
		assert_int_equal(buffer_len(&crowd[i].out), 0);
	}
	assert_int_equal(fixture.n_jobs, SCRAPE_MAX_PACKING);
	host_sends(&fixture.host, GET PACKED END);
	assert_int_equal(status_of(host_text(&fixture.host)), 200);
	assert_null(strstr(host_text(&fixture.host), "Content-Encoding"));
	do_jobs(&fixture);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++) {
		host_flush(&crowd[i]);
		assert_non_null(strstr(host_text(&crowd[i]), "\r\nContent-Encoding: gzip\r\n"));
		host_deinit(&crowd[i]);
	}
	fixture.refuses = true; /* nor where none is taken */
	reply = ask(&fixture, GET PACKED END);
	assert_null(strstr(reply.head, "Content-Encoding"));
	assert_true(reply.length > KIB);
	fixture.refuses = false;
	assert_non_null(strstr(ask(&fixture, GET PACKED END).head, "Content-Encoding: gzip"));
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
	for (size_t i = 0; i < 2 * ARRAY_SIZE(fields); i++) {
		char request[256];
		struct reply get, head;

		if (i == ARRAY_SIZE(fields)) {
			packs_elsewhere(&fixture);
		}
		snprintf(request, sizeof(request), GET "%s" END, fields[i % ARRAY_SIZE(fields)]);
		get = ask(&fixture, request);
		snprintf(request, sizeof(request), "HEAD /metrics HTTP/1.1\r\n" HOST "%s" END,
			 fields[i % ARRAY_SIZE(fields)]);
		head = ask(&fixture, request);
		assert_int_equal(head.length, 0);
		assert_string_equal(strstr(head.head, "\r\nContent-Type"),
				    strstr(get.head, "\r\nContent-Type"));
	}
	deinit(&fixture);
}

static void each_allocation_fails(bool elsewhere)
{
	static const char request[] = "GET /metrics?name[]=total_requests&name[]="
				      "a_rather_long_name_for_a_family_of_calls_by_code_total "
				      "HTTP/1.1\r\n" HOST PACKED END;
	static uint8_t unpacked[64 * KIB];
	struct fixture fixture;
	bool failed = true;
	int seen_500 = 0, seen_plain = 0, seen_lost = 0;

	init(&fixture, true);
	host_deinit(&fixture.host);
	for (long n = 0; failed; n++) {
		host_init(&fixture.host);
		enter(&fixture);
		assert_non_null(buffer_reserve(&fixture.host.out, 16 * KIB)); /* the host's own */
		buffer_append_str(&fixture.host.held, STR(request));
		if (elsewhere) {
			packs_elsewhere(&fixture);
		}
		failing_at = n;
		host_flush(&fixture.host);
		do_jobs(&fixture);
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
			struct reply reply = ask(&fixture, request);

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

static void every_allocation_of_a_scrape_may_fail(void **state)
{
	(void)state;
	each_allocation_fails(false);
	each_allocation_fails(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_scrape_is_text_0_0_4),
		cmocka_unit_test(accept_never_leads_to_406),
		cmocka_unit_test(each_format_has_its_type_and_body),
		cmocka_unit_test(families_are_asked_for_by_name),
		cmocka_unit_test(so_many_names_and_no_more),
		cmocka_unit_test(the_start_of_the_process_is_said),
		cmocka_unit_test(what_rendering_takes_is_kept),
		cmocka_unit_test(packed_elsewhere_it_comes_when_it_is_ready),
		cmocka_unit_test(who_does_not_wait_any_more_is_forgotten),
		cmocka_unit_test(who_said_how_long_it_waits_waits_no_longer),
		cmocka_unit_test(of_too_many_some_are_not_packed),
		cmocka_unit_test(gzip_holds_the_same_bytes),
		cmocka_unit_test(small_bodies_and_errors_are_not_compressed),
		cmocka_unit_test(head_has_the_head_of_get),
		cmocka_unit_test(every_allocation_of_a_scrape_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

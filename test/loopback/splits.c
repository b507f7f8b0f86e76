/*
 * However the bytes of a conversation are cut, both ends hear the same: every
 * 2-way split of a recorded conversation, and 1,000 seeded n-way splits.
 *
 * A transcript is what the server's application was told and what its answers
 * decode to: for each stream the fields and the data of the response, in order.
 * Frames may be batched differently (window updates, the order between
 * streams); what they say may not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "harness.h"
#include "service/echo.h"

#define MAX_STREAMS 8

struct transcript {
	struct buffer streams[MAX_STREAMS]; /* by (id - 1) / 2 */
};

static void note(struct transcript *transcript, int32_t id, const char *kind, struct str a,
		 struct str b)
{
	size_t i = ((size_t)id - 1) / 2;

	assert_true(i < MAX_STREAMS);
	assert_int_equal(buffer_printf(&transcript->streams[i], "%s %" STR_FMT " %" STR_FMT "\n",
				       kind, STR_ARG(a), STR_ARG(b)),
			 0);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	(void)session;
	(void)flags;
	note(user, frame->hd.stream_id, "field", (struct str){ (const char *)name, name_len },
	     (struct str){ (const char *)value, value_len });
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t n, void *user)
{
	struct transcript *transcript = user;

	(void)session;
	(void)flags;
	/* DATA may be cut anywhere: only its bytes count */
	assert_int_equal(buffer_append(&transcript->streams[((size_t)id - 1) / 2], bytes, n), 0);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	char text[16];

	(void)session;
	snprintf(text, sizeof(text), "%u", code);
	note(user, id, "closed", str_from(text), STR(""));
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
			 uint32_t *flags, nghttp2_data_source *source, void *user)
{
	const struct str *body = source->ptr;

	(void)session;
	(void)id;
	(void)user;
	assert_true(room >= body->len);
	memcpy(out, body->data, body->len);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)body->len;
}

static nghttp2_session *new_client(struct transcript *transcript)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *client;

	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	assert_int_equal(nghttp2_session_client_new(&client, callbacks, transcript), 0);
	nghttp2_session_callbacks_del(callbacks);
	return client;
}

#define FIELD(name, value)                                                                     \
	{                                                                                      \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, \
			sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE                                \
	}

/* A well-formed echo, an unknown method, a bad timeout, two messages, a GET, an empty message. */
static void submit_all(nghttp2_session *client)
{
	static const struct str bodies[] = {
		STR_INIT("\0\0\0\0\x07\x0a\x05hello"),
		STR_INIT("\0\0\0\0\0"),
		STR_INIT("\0\0\0\0\x03\x0a\x01x"),
		STR_INIT("\0\0\0\0\0\0\0\0\0\0"),
		STR_INIT(""),
		STR_INIT("\0\0\0\0\0"),
	};
	static const char *const paths[] = { "/muzz.Service/Echo", "/muzz.Service/Nope",
					     "/muzz.Service/Echo", "/muzz.Service/Echo",
					     "/muzz.Service/Echo", "/muzz.Service/Echo" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		nghttp2_nv fields[] = {
			FIELD(":method", "POST"),
			FIELD(":scheme", "http"),
			{ (uint8_t *)(uintptr_t) ":path", (uint8_t *)(uintptr_t)paths[i], 5,
			  strlen(paths[i]), NGHTTP2_NV_FLAG_NONE },
			FIELD(":authority", "split"),
			FIELD("te", "trailers"),
			FIELD("content-type", "application/grpc"),
			FIELD("x-note", "something that is longer than one might think"),
			FIELD("grpc-timeout", "10S"),
		};
		nghttp2_data_provider source = { .source.ptr = (void *)(uintptr_t)&bodies[i],
						 .read_callback = read_body };

		if (i == 2) {
			fields[7] = (nghttp2_nv)FIELD("grpc-timeout", "soon");
		}
		if (i == 4) {
			fields[0] = (nghttp2_nv)FIELD(":method", "GET");
		}
		assert_true(nghttp2_submit_request(client, NULL, fields, ARRAY_SIZE(fields),
						   &source, NULL) > 0);
	}
}

/* All that a client would say: it acknowledges nothing, so that its bytes depend on nothing. */
static void record_conversation(struct buffer *bytes)
{
	struct transcript nobody = { 0 };
	nghttp2_session *client = new_client(&nobody);
	const uint8_t *out;
	ssize_t n;

	assert_int_equal(nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	submit_all(client);
	while ((n = nghttp2_session_mem_send(client, &out)) > 0) {
		assert_int_equal(buffer_append(bytes, out, (size_t)n), 0);
	}
	nghttp2_session_del(client);
}

/* The same requests are submitted to a fresh client, which then reads what the server said. */
static void decode(const struct buffer *answer, struct transcript *transcript)
{
	nghttp2_session *client = new_client(transcript);
	const uint8_t *out;

	assert_int_equal(nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	submit_all(client);
	while (nghttp2_session_mem_send(client, &out) > 0) {
		continue;
	}
	assert_int_equal(nghttp2_session_mem_recv(client, buffer_data(answer), buffer_len(answer)),
			 buffer_len(answer));
	nghttp2_session_del(client);
}

struct replay {
	int64_t now_ns;
	struct timers timers;
	struct grpc_server *server;
	struct grpc_peer peer;
};

static int64_t frozen(void *context)
{
	return ((struct replay *)context)->now_ns;
}

/* `cuts`: ascending offsets where one receive ends and the next begins. */
static void replay(const struct buffer *bytes, const size_t *cuts, size_t n_cuts, size_t room,
		   struct transcript *transcript)
{
	static struct echo_service plain;
	struct replay run = { .now_ns = NS_PER_S, .peer = { 1, "split" } };
	struct buffer answer = BUFFER_INIT;
	struct engine *engine;
	size_t from = 0;

	timers_init(&run.timers, frozen, &run);
	run.server = grpc_server_new(&(struct grpc_server_options){ .timers = &run.timers });
	assert_int_equal(grpc_server_add(run.server, &echo_service, &plain, NULL), 0);
	engine = grpc_server_accept(run.server, &run.peer);
	for (size_t i = 0; i <= n_cuts; i++) {
		size_t to = i < n_cuts ? cuts[i] : buffer_len(bytes);
		ssize_t taken;

		taken = engine->ops->receive(engine, buffer_data(bytes) + from, to - from);
		assert_int_equal(taken, to - from);
		while (engine->ops->produce(engine, &answer, buffer_len(&answer) + room) == 1) {
			continue;
		}
		from = to;
	}
	assert_int_equal(grpc_server_calls(run.server), 0);
	engine->ops->release(engine, 0);
	grpc_server_free(run.server);
	assert_null(timers_first(&run.timers));
	decode(&answer, transcript);
	buffer_free(&answer);
}

static void forget(struct transcript *transcript)
{
	for (size_t i = 0; i < MAX_STREAMS; i++) {
		buffer_free(&transcript->streams[i]);
	}
}

static void assert_same(const struct transcript *a, const struct transcript *b)
{
	for (size_t i = 0; i < MAX_STREAMS; i++) {
		assert_int_equal(buffer_len(&a->streams[i]), buffer_len(&b->streams[i]));
		if (buffer_len(&a->streams[i]) > 0) {
			assert_memory_equal(buffer_data(&a->streams[i]),
					    buffer_data(&b->streams[i]),
					    buffer_len(&a->streams[i]));
		}
	}
}

struct fixture {
	struct buffer bytes;
	struct transcript whole;
};

static int setup(void **state)
{
	static struct fixture fixture;

	record_conversation(&fixture.bytes);
	replay(&fixture.bytes, NULL, 0, 64 * KIB, &fixture.whole);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	buffer_free(&fixture->bytes);
	forget(&fixture->whole);
	return 0;
}

static bool says(const struct transcript *transcript, size_t stream, const char *text)
{
	return memmem(buffer_data(&transcript->streams[stream]),
		      buffer_len(&transcript->streams[stream]), text, strlen(text)) != NULL;
}

static void the_conversation_means_what_it_should(void **state)
{
	const struct transcript *whole = &((struct fixture *)*state)->whole;

	assert_true(says(whole, 0, "hello"));
	assert_true(says(whole, 0, "field grpc-status 0\n"));
	assert_true(says(whole, 1, "field grpc-status 12\n"));
	assert_true(says(whole, 2, "field grpc-status 13\n"));
	assert_true(says(whole, 3, "field grpc-status 12\n"));
	assert_true(says(whole, 4, "field :status 405\n"));
	assert_true(says(whole, 5, "field grpc-status 0\n"));
}

static void every_cut_in_two_gives_the_same_transcript(void **state)
{
	struct fixture *fixture = *state;

	for (size_t cut = 1; cut < buffer_len(&fixture->bytes); cut++) {
		struct transcript split = { 0 };

		replay(&fixture->bytes, &cut, 1, 64 * KIB, &split);
		assert_same(&fixture->whole, &split);
		forget(&split);
	}
}

static void a_thousand_cuts_in_many_give_the_same_transcript(void **state)
{
	struct fixture *fixture = *state;
	size_t len = buffer_len(&fixture->bytes);
	struct random random;

	random_seed(&random, 20);
	for (unsigned i = 0; i < 1000; i++) {
		struct transcript split = { 0 };
		size_t cuts[2048], n = 0, step = 1 + (size_t)random_below(&random, 64);

		for (size_t at = 1 + random_below(&random, step); at < len && n < ARRAY_SIZE(cuts);
		     at += 1 + random_below(&random, step)) {
			cuts[n++] = at;
		}
		replay(&fixture->bytes, cuts, n, 1 + (size_t)random_below(&random, 256), &split);
		assert_same(&fixture->whole, &split);
		forget(&split);
	}
}

/* DATA of many streams interleaved, both directions cut at random. */
static void calls_in_parallel_survive_any_cutting(void **state)
{
	static struct echo_service plain;

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct pair pair;
		struct record records[PAIR_MAX_CALLS];
		char texts[PAIR_MAX_CALLS][200];

		pair_init(&pair, &(struct pair_options){ .seed = seed, .room = 1 + seed * 37 });
		pair_add(&pair, &echo_service, &plain, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
			size_t len = (i * 31 + (size_t)seed) % sizeof(texts[i]);

			memset(texts[i], 'a' + (int)(i % 26), len);
			pair_call(&pair, &records[i], (struct str){ texts[i], len }, NULL);
		}
		pair_run(&pair);
		for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
			size_t len = (i * 31 + (size_t)seed) % sizeof(texts[i]);

			assert_int_equal(records[i].status, GRPC_OK);
			assert_int_equal(records[i].reply_len, len);
			assert_memory_equal(records[i].reply, texts[i], len);
		}
		pair_deinit(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_conversation_means_what_it_should),
		cmocka_unit_test(every_cut_in_two_gives_the_same_transcript),
		cmocka_unit_test(a_thousand_cuts_in_many_give_the_same_transcript),
		cmocka_unit_test(calls_in_parallel_survive_any_cutting),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/*
 * How much a server's memory grows under the worst clients that break no rule:
 * as many connections and calls as they may have, each with as much metadata as
 * is taken, or with messages that are there and not answered yet, or all but
 * there; and then no answer can leave. The formula is that of
 * docs/ARCHITECTURE.md, "How much memory that is"; the heap is counted to the
 * byte (../fuzz/heap.h).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/heap.h"
#include "base/buffer.h"
#include "grpc/server.h"
#include "service/echo.h"

#define N_CONNECTIONS 8
#define FRAME_MAX     16384

/* As docs/ARCHITECTURE.md has them, but for what the socket's side of a connection takes. */
#define CONNECTION_BYTES (32 * KIB)
#define CALL_BYTES       (2 * KIB)
#define KEPT_BYTES       (5 * MIB)
#define METADATA_GROWTH  4

struct client {
	struct engine *engine;
	uint32_t last_id; /* of its calls */
};

struct setting {
	struct timers timers;
	int64_t now_ns;
	struct grpc_server_limits limits;
	struct gauge buffered;
	struct grpc_server_meters meters;
	struct echo_service echo;
	struct grpc_server *server;
	struct client clients[N_CONNECTIONS];
	int64_t base; /* on the heap before the first connection */
};

static int64_t clock_of(void *context)
{
	return ((struct setting *)context)->now_ns;
}

/* -- The client's side of the wire -- */

static void put_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t id,
		      const void *payload, size_t n)
{
	const uint8_t head[] = {
		(uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,        flags,
		(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
	};

	assert_true(n <= FRAME_MAX);
	assert_int_equal(buffer_append(out, head, sizeof(head)), 0);
	assert_int_equal(buffer_append(out, payload, n), 0);
}

/* RFC 7541 5.1 and 5.2, without Huffman. */
static void put_string(struct buffer *out, const char *text, size_t n)
{
	uint8_t head[4] = { 127 };
	size_t len = 1, left = n;

	if (n < 127) {
		head[0] = (uint8_t)n;
	} else {
		for (left -= 127; left >= 128; left >>= 7) {
			head[len++] = (uint8_t)(left | 128);
		}
		head[len++] = (uint8_t)left;
	}
	assert_int_equal(buffer_append(out, head, len), 0);
	assert_int_equal(buffer_append(out, text, n), 0);
}

static void put_field(struct buffer *out, const char *name, const char *value, size_t n)
{
	assert_int_equal(buffer_append(out, "", 1), 0); /* literal, not indexed */
	put_string(out, name, strlen(name));
	put_string(out, value, n);
}

/* A comma in a "-bin" value is one byte of the header list and makes a value of 48. */
static void put_request(struct buffer *block, const char *path, size_t n_commas)
{
	const char *const fields[][2] = {
		{ ":method", "POST" }, { ":scheme", "http" },
		{ ":authority", "a" }, { ":path", path },
		{ "te", "trailers" },  { "content-type", "application/grpc" },
	};
	char commas[2048];

	assert_true(n_commas <= sizeof(commas));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		put_field(block, fields[i][0], fields[i][1], strlen(fields[i][1]));
	}
	memset(commas, ',', sizeof(commas));
	if (n_commas > 0) {
		put_field(block, "a-bin", commas, n_commas);
	}
}

/*
 * Some bytes arrive, as the reads of a loop, and the server says what it has to.
 * A client takes note of its credit, and leaves no window for answers.
 */
static void say(struct client *client, struct buffer *bytes)
{
	struct bytes left = buffer_bytes(bytes);
	const struct engine_ops *ops = client->engine->ops;

	while (left.len > 0) {
		struct buffer said = BUFFER_INIT;
		ssize_t taken = ops->receive(client->engine, left.data, MIN(left.len, 64 * KIB));

		assert_true(taken >= 0);
		left.data += taken;
		left.len -= (size_t)taken;
		assert_true(ops->produce(client->engine, &said, 64 * KIB) >= 0);
		buffer_free(&said);
		assert_false(ops->finished(client->engine)); /* no rule was broken */
	}
	buffer_free(bytes);
}

static void begin(struct setting *setting, struct client *client)
{
	static const uint8_t no_window[] = { 0, 4, 0, 0, 0, 0 };
	static const struct grpc_peer peer = { 1, "peer" };
	struct buffer bytes = BUFFER_INIT;

	client->engine = grpc_server_accept(setting->server, &peer);
	assert_non_null(client->engine);
	assert_int_equal(buffer_append_str(&bytes, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
	put_frame(&bytes, 4, 0, 0, no_window, sizeof(no_window));
	put_frame(&bytes, 4, 1, 0, NULL, 0);
	say(client, &bytes);
}

static uint32_t open_path(struct client *client, const char *path, size_t n_commas)
{
	struct buffer bytes = BUFFER_INIT, block = BUFFER_INIT;

	client->last_id += client->last_id ? 2 : 1;
	put_request(&block, path, n_commas);
	put_frame(&bytes, 1, 4, client->last_id, buffer_data(&block), buffer_len(&block));
	buffer_free(&block);
	say(client, &bytes);
	return client->last_id;
}

static uint32_t open_call(struct client *client, size_t n_commas)
{
	return open_path(client, "/muzz.Service/Echo", n_commas);
}

/* An EchoRequest of the largest size; without its end where it is not `whole`. */
static void send_message(struct setting *setting, struct client *client, uint32_t id, bool whole)
{
	size_t size = setting->limits.max_message_bytes, n = size - 4;
	/* the prefix; then field 1, and its length in three bytes */
	const uint8_t head[] = {
		0,
		0,
		(uint8_t)(size >> 16),
		(uint8_t)(size >> 8),
		(uint8_t)size,
		0x0a,
		(uint8_t)(n | 128),
		(uint8_t)(n >> 7 | 128),
		(uint8_t)(n >> 14),
	};
	uint8_t *zeros = calloc(1, FRAME_MAX);
	struct buffer bytes = BUFFER_INIT;

	put_frame(&bytes, 0, 0, id, head, sizeof(head));
	say(client, &bytes);
	for (size_t left = n - 1; left > 0;) {
		size_t piece = MIN(left, (size_t)FRAME_MAX);

		put_frame(&bytes, 0, 0, id, zeros, piece);
		say(client, &bytes);
		left -= piece;
	}
	if (whole) {
		put_frame(&bytes, 0, 1, id, zeros, 1);
		say(client, &bytes);
	}
	free(zeros);
}

/* -- The server -- */

/* Answers as long as it is told to go on. */
static void on_message(struct grpc_call *call, const void *message)
{
	static const uint8_t zeros[1000];
	struct bytes reply = { zeros, sizeof(zeros) };

	(void)message;
	while (grpc_call_send(call, &reply) == 0) {
	}
}

static const struct grpc_call_events generous_events = { .message = on_message };
static const struct grpc_method generous_methods[] = {
	{ .name = "Give", .shape = GRPC_SERVER_STREAM, .events = &generous_events },
};
static const struct grpc_service generous_service = { "test.Generous", generous_methods, 1 };

static void serve(struct setting *setting)
{
	*setting = (struct setting){ .now_ns = NS_PER_S };
	timers_init(&setting->timers, clock_of, setting);
	setting->echo.faults.plan.delay = (struct delay){ DELAY_FIXED, .low_ns = NS_PER_S };
	setting->limits = grpc_server_default_limits;
	setting->limits.max_message_bytes = MIB;
	setting->limits.max_buffered_bytes = 64 * MIB;
	setting->meters.buffered_bytes = &setting->buffered;
	setting->server = grpc_server_new(&(struct grpc_server_options){
		.limits = &setting->limits,
		.meters = &setting->meters,
		.timers = &setting->timers,
	});
	assert_non_null(setting->server);
	assert_int_equal(grpc_server_add(setting->server, &echo_service, &setting->echo, NULL), 0);
	assert_int_equal(grpc_server_add(setting->server, &generous_service, NULL, NULL), 0);
	setting->base = heap.peak = heap.live;
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		begin(setting, &setting->clients[i]);
	}
}

/* The delays are over: Echo answers, and nothing can leave. */
static void answer(struct setting *setting)
{
	setting->now_ns += 2 * NS_PER_S;
	timers_run(&setting->timers);
}

static void hang_up(struct setting *setting, struct client *client)
{
	(void)setting;
	client->engine->ops->release(client->engine, 0);
}

static void stop(struct setting *setting)
{
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		hang_up(setting, &setting->clients[i]);
	}
	assert_int_equal(gauge_read(&setting->buffered), 0);
	assert_true(heap.live - setting->base <=
		    (int64_t)(setting->limits.max_free_calls * CALL_BYTES + KEPT_BYTES));
	grpc_server_free(setting->server);
	assert_true(heap.live <= setting->base);
}

/* docs/ARCHITECTURE.md; `answers`: what services hold for calls that were taken. */
static int64_t formula(const struct setting *setting, int64_t answers)
{
	const struct grpc_server_limits *limits = &setting->limits;
	size_t connection = CONNECTION_BYTES +
			    METADATA_GROWTH * limits->http2.max_header_list_bytes +
			    limits->http2.max_concurrent_streams * CALL_BYTES;

	return (int64_t)(N_CONNECTIONS * connection + limits->max_buffered_bytes +
			 6 * limits->max_message_bytes + KEPT_BYTES + 4 * MIB) +
	       answers;
}

static void check(const struct setting *setting, int64_t answers, int percent)
{
	int64_t grown = heap.peak - setting->base, bound = formula(setting, answers);

	print_message("# %lld of %lld KiB\n", (long long)grown / 1024, (long long)bound / 1024);
	assert_true(grown <= bound);
	assert_true(grown >= bound / 100 * percent); /* or the bound would say nothing */
}

static size_t max_calls(const struct setting *setting)
{
	return setting->limits.http2.max_concurrent_streams;
}

static void metadata_stays_within_the_formula(void **state)
{
	struct setting setting;

	(void)state;
	serve(&setting);
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		for (size_t n = 0; n < max_calls(&setting); n++) {
			open_call(&setting.clients[i], 950);
		}
	}
	check(&setting, 0, 60);
	stop(&setting);
}

static void messages_that_are_all_but_there_stay_within_the_formula(void **state)
{
	struct setting setting;

	(void)state;
	serve(&setting);
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		for (size_t n = 0; n < max_calls(&setting); n++) {
			uint32_t id = open_call(&setting.clients[i], 0);

			send_message(&setting, &setting.clients[i], id, false);
		}
	}
	check(&setting, 0, 60);
	stop(&setting);
}

static void answers_that_cannot_leave_stay_within_the_formula(void **state)
{
	struct setting setting;

	(void)state;
	serve(&setting);
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		for (size_t n = 0; n < max_calls(&setting); n++) {
			uint32_t id = open_call(&setting.clients[i], 0);

			send_message(&setting, &setting.clients[i], id, true);
		}
	}
	answer(&setting);
	/* Echo's are as large as the requests */
	check(&setting, (int64_t)setting.limits.max_buffered_bytes, 60);
	stop(&setting);
}

/* A request of five bytes; the answers are as many as the send queue takes. */
static void answers_to_small_requests_stay_within_the_formula(void **state)
{
	struct setting setting;

	(void)state;
	serve(&setting);
	setting.limits.max_buffered_bytes = 16 * MIB;
	for (size_t i = 0; i < N_CONNECTIONS; i++) {
		for (size_t n = 0; n < max_calls(&setting); n++) {
			struct client *client = &setting.clients[i];
			uint32_t id = open_path(client, "/test.Generous/Give", 0);
			struct buffer bytes = BUFFER_INIT;

			put_frame(&bytes, 0, 1, id, "\0\0\0\0", 5);
			say(client, &bytes);
		}
	}
	assert_true(gauge_read(&setting.buffered) >= 13 * (int64_t)MIB);
	/* each connection may have gone one answer too far, in a buffer that doubled */
	assert_true(gauge_read(&setting.buffered) <=
		    (int64_t)(setting.limits.max_buffered_bytes +
			      N_CONNECTIONS * 4 * setting.limits.http2.stream_high_water));
	check(&setting, N_CONNECTIONS * 4 * (int64_t)setting.limits.http2.stream_high_water, 40);
	stop(&setting);
}

/* What one takes, it leaves to the others. */
static void a_greedy_connection_leaves_half_to_the_others(void **state)
{
	struct setting setting;
	int64_t max, first;

	(void)state;
	serve(&setting);
	max = (int64_t)setting.limits.max_buffered_bytes;
	for (size_t n = 0; n < max_calls(&setting); n++) {
		send_message(&setting, &setting.clients[0], open_call(&setting.clients[0], 0),
			     true);
	}
	first = gauge_read(&setting.buffered);
	assert_true(first <= max / 2 + (int64_t)MIB && first >= max / 2 - 3 * (int64_t)MIB);
	for (size_t n = 0; n < max_calls(&setting); n++) {
		send_message(&setting, &setting.clients[1], open_call(&setting.clients[1], 0),
			     true);
	}
	assert_true(gauge_read(&setting.buffered) - first >= max / 4 - 3 * (int64_t)MIB);
	assert_true(gauge_read(&setting.buffered) <= max);
	/* once the first has gone there is room again */
	hang_up(&setting, &setting.clients[0]);
	begin(&setting, &setting.clients[0]);
	assert_true(gauge_read(&setting.buffered) < max / 2);
	stop(&setting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_stays_within_the_formula),
		cmocka_unit_test(messages_that_are_all_but_there_stay_within_the_formula),
		cmocka_unit_test(answers_that_cannot_leave_stay_within_the_formula),
		cmocka_unit_test(answers_to_small_requests_stay_within_the_formula),
		cmocka_unit_test(a_greedy_connection_leaves_half_to_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

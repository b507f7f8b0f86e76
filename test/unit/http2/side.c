#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "side.h"

static int64_t clock_of(void *context)
{
	return ((struct side *)context)->now_ns;
}

static void on_wake(void *host)
{
	((struct side *)host)->wakes++;
}

static struct call *call_of(struct http2_stream *stream)
{
	return container_of(stream, struct call, stream);
}

static void on_header(struct http2_stream *stream, struct str name, struct str value)
{
	(void)stream;
	(void)name;
	(void)value;
}

static void on_headers_done(struct http2_stream *stream, enum http2_block kind, bool end_stream,
			    bool too_large)
{
	(void)kind;
	(void)end_stream;
	(void)too_large;
	call_of(stream)->headers++;
}

static void on_data(struct http2_stream *stream, const uint8_t *bytes, size_t n)
{
	(void)bytes;
	call_of(stream)->data += n;
	http2_stream_consume(stream, n);
}

static void on_ended(struct http2_stream *stream)
{
	call_of(stream)->ended++;
}

static void on_writable(struct http2_stream *stream)
{
	call_of(stream)->writable++;
}

static void on_woken(struct http2_stream *stream)
{
	struct call *call = call_of(stream);

	assert_int_equal(call->closed, 0);
	call->woken++;
	if (call->on_woken) {
		call->on_woken(call);
	}
}

static void on_stream_closed(struct http2_stream *stream, uint32_t code)
{
	struct call *call = call_of(stream);

	call->closed++;
	call->code = code;
	call->origin = (enum http2_origin)stream->origin;
}

static const struct http2_stream_events stream_events = {
	.header = on_header,
	.headers_done = on_headers_done,
	.data = on_data,
	.ended = on_ended,
	.writable = on_writable,
	.woken = on_woken,
	.closed = on_stream_closed,
};

static struct call *new_call(struct side *side)
{
	struct call *call = &side->calls[side->n_calls % SIDE_MAX_CALLS];

	side->n_calls++;
	buffer_free(&call->stream.out);
	*call = (struct call){ .side = side };
	http2_stream_init(&call->stream, &stream_events);
	return call;
}

static struct http2_stream *on_stream_opened(void *user)
{
	return &new_call(user)->stream;
}

static void on_ready(void *user)
{
	((struct side *)user)->readies++;
}

static void on_goaway(void *user, uint32_t last_id, uint32_t code, struct str debug)
{
	struct side *side = user;

	(void)code;
	(void)debug;
	side->goaways++;
	side->goaway_last = last_id;
}

static void on_closed(void *user, int err)
{
	struct side *side = user;

	(void)err;
	side->released = true;
}

static const struct http2_session_events session_events = {
	.stream_opened = on_stream_opened,
	.ready = on_ready,
	.goaway = on_goaway,
	.closed = on_closed,
};

void side_init(struct side *side, bool server, const struct http2_limits *limits)
{
	side_init_seeded(side, server, limits, 1);
}

void side_init_seeded(struct side *side, bool server, const struct http2_limits *limits,
		      uint64_t seed)
{
	*side = (struct side){ .now_ns = NS_PER_S, .room = 256 * KIB, .server = server };
	pool_init(&side->pool, 64 * KIB);
	side->limits = limits ? *limits : http2_default_limits;
	for (size_t i = 0; i < HTTP2_BOUND_COUNT; i++) {
		side->meters.bounds_reached[i] = &side->bounds[i];
	}
	side->meters.handshake_timeouts = &side->handshake_timeouts;
	timers_init(&side->timers, clock_of, side);
	random_seed(&side->random, seed);
	side->session = http2_session_new(
		&(struct http2_options){
			.server = server,
			.limits = &side->limits,
			.meters = &side->meters,
			.timers = &side->timers,
			.random = &side->random,
			.pool = &side->pool,
		},
		&session_events, side);
	assert_non_null(side->session);
	side->engine = http2_session_engine(side->session);
	side->engine->wake = on_wake;
	side->engine->host = side;
}

void side_deinit(struct side *side)
{
	side->engine->ops->release(side->engine, 0);
	assert_true(side->released);
	assert_int_equal(timers_next_ns(&side->timers), -1);
	for (size_t i = 0; i < MIN(side->n_calls, SIDE_MAX_CALLS); i++) {
		assert_int_equal(side->calls[i].closed, 1);
		buffer_free(&side->calls[i].stream.out);
	}
	buffer_free(&side->in);
	buffer_free(&side->out);
	pool_deinit(&side->pool);
}

void side_run(struct side *side)
{
	do {
		size_t before = buffer_len(&side->out);
		int rv = 0;

		side->wakes = 0;
		if (!side->error) {
			rv = side->engine->ops->produce(side->engine, &side->out,
							before + side->room);
		}
		if (rv < 0) {
			side->error = rv;
		}
	} while (side->wakes > 0);
}

void side_say(struct side *side)
{
	while (buffer_len(&side->in) > 0 && !side->error) {
		ssize_t taken = side->engine->ops->receive(side->engine, buffer_data(&side->in),
							   buffer_len(&side->in));

		side->offers++;
		if (taken < 0) {
			side_run(side); /* its last words */
			side->error = (int)taken;
			break;
		}
		buffer_consume(&side->in, (size_t)taken);
		side_run(side);
	}
	buffer_clear(&side->in);
}

void side_shake_hands(struct side *side)
{
	if (side->server) {
		put(&side->in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	}
	put_frame(&side->in, F_SETTINGS, 0, 0, "", 0);
	side_run(side);
	put_frame(&side->in, F_SETTINGS, F_ACK, 0, "", 0);
	side_say(side);
	assert_int_equal(side->readies, 1);
}

void side_advance(struct side *side, int64_t ns)
{
	side->now_ns += ns;
	timers_run(&side->timers);
	side_run(side);
}

struct call *side_request(struct side *side)
{
	static const struct http2_field fields[] = {
		HTTP2_FIELD(":method", "POST"),
		HTTP2_FIELD(":scheme", "http"),
		HTTP2_FIELD(":path", "/a.B/C"),
		HTTP2_FIELD(":authority", "here"),
	};
	struct call *call = new_call(side);

	assert_int_equal(
		http2_stream_request(side->session, &call->stream, fields, ARRAY_SIZE(fields)), 0);
	return call;
}

bool side_saw(const struct side *side, uint8_t type, size_t index, struct seen *ret)
{
	const uint8_t *at = buffer_len(&side->out) ? buffer_data(&side->out) : NULL;
	const uint8_t *end = at + buffer_len(&side->out);

	/* A client's begins with its preface. */
	if (end - at >= 24 && memcmp(at, "PRI *", 5) == 0) {
		at += 24;
	}
	while (at < end) {
		size_t n = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];

		assert_true((size_t)(end - at) >= 9 + n);
		if (at[3] == type && index-- == 0) {
			*ret = (struct seen){
				.type = at[3],
				.flags = at[4],
				.id = (uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 |
				      (uint32_t)at[7] << 8 | at[8],
				.payload = at + 9,
				.n = n,
			};
			return true;
		}
		at += 9 + n;
	}
	return false;
}

size_t side_count(const struct side *side, uint8_t type)
{
	struct seen frame;
	size_t n = 0;

	while (side_saw(side, type, n, &frame)) {
		n++;
	}
	return n;
}

void side_assert_ended(const struct side *side, uint32_t code, const char *text)
{
	struct seen frame;
	size_t n = side_count(side, F_GOAWAY);

	assert_true(n > 0);
	assert_true(side_saw(side, F_GOAWAY, n - 1, &frame));
	assert_int_equal(frame.payload[7], code);
	assert_int_equal(frame.n - 8, strlen(text));
	assert_memory_equal(frame.payload + 8, text, strlen(text));
	assert_true(side->engine->ops->finished(side->engine));
}

uint64_t side_reached(const struct side *side, enum http2_bound bound)
{
	return counter_read(&side->bounds[bound]);
}

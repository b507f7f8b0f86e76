/*
 * Streams of messages at the calling end, against a server by hand: what is sent
 * when, what is held back, and how a call ends in the middle.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/gzip.h"
#include "far.h"
#include "grpc/wire.h"

#define ASSERT_LOG(caller, expected) assert_string_equal(caller_log(&(caller)), expected)

/* Connected, with this call on stream 1. */
static struct far_end *begin(struct far *far, struct caller *caller, enum caller_method method,
			     const struct far_options *options,
			     const struct grpc_call_options *call_options)
{
	*caller = (struct caller){ 0 };
	far_init(far, options);
	assert_non_null(far_call(far, caller, method, call_options));
	far_run(far);
	far_hello(far_end(far));
	return far_end(far);
}

static void end(struct far *far, struct caller *caller)
{
	far_deinit(far);
	assert_int_equal(caller->closed, 1);
	caller_deinit(caller);
}

static bool half_closed(struct far_end *end)
{
	for (unsigned n = 0;; n++) {
		const struct far_frame *frame = far_heard(end, FAR_DATA, 1, n);

		if (!frame) {
			return false;
		}
		if (frame->flags & FAR_END_STREAM) {
			return true;
		}
	}
}

static void assert_sent(struct far_end *end, const void *octets, size_t n)
{
	assert_int_equal(buffer_len(&end->body), n);
	assert_memory_equal(buffer_data(&end->body), octets, n);
}

static void each_shape_takes_what_comes(void **state)
{
	static const struct {
		enum caller_method method;
		const char *two, *none;
	} shapes[] = {
		{ CALLER_UNARY, "opened; closed(UNIMPLEMENTED, peer); ",
		  "opened; closed(UNIMPLEMENTED, peer); " },
		{ CALLER_COLLECT, "opened; closed(UNIMPLEMENTED, peer); ",
		  "opened; closed(UNIMPLEMENTED, peer); " },
		{ CALLER_SPREAD, "opened; message(a); message(b); closed(OK, peer); ",
		  "opened; closed(OK, peer); " },
		{ CALLER_CHAT, "opened; message(a); message(b); closed(OK, peer); ",
		  "opened; closed(OK, peer); " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct far far;
		struct caller caller;
		struct far_end *server = begin(&far, &caller, shapes[i].method, NULL, NULL);

		caller_send(&caller, STR("x"));
		grpc_call_half_close(caller.call);
		far_run(&far);
		far_respond(server, 1);
		far_message(server, 1, 0, STR("a"));
		far_message(server, 1, 0, STR("b"));
		far_finish(server, 1, "0");
		ASSERT_LOG(caller, shapes[i].two);
		assert_non_null(far_call(&far, &caller, shapes[i].method, NULL));
		grpc_call_half_close(caller.call);
		far_run(&far);
		far_respond(server, 3);
		far_finish(server, 3, "0");
		ASSERT_LOG(caller, shapes[i].none);
		/* and one, which every shape takes */
		assert_non_null(far_call(&far, &caller, shapes[i].method, NULL));
		grpc_call_half_close(caller.call);
		far_run(&far);
		far_respond(server, 5);
		far_message(server, 5, 0, STR(""));
		far_finish(server, 5, "0");
		ASSERT_LOG(caller, "opened; message(); closed(OK, peer); ");
		caller.closed = 1;
		end(&far, &caller);
	}
}

static void a_message_of_a_stream_comes_before_the_next_is_sent(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

	(void)state;
	/* the headers have left though nothing was sent */
	assert_non_null(far_heard(server, FAR_HEADERS, 1, 0));
	far_respond(server, 1);
	ASSERT_LOG(caller, "opened; ");
	assert_int_equal(caller_send(&caller, STR("ping")), 0);
	far_run(&far);
	assert_sent(server, "\0\0\0\0\4ping", 9);
	far_message(server, 1, 0, STR("pong"));
	ASSERT_LOG(caller, "opened; message(pong); ");
	assert_false(half_closed(server));
	grpc_call_half_close(caller.call);
	far_run(&far);
	assert_true(half_closed(server));
	far_finish(server, 1, "0");
	ASSERT_LOG(caller, "opened; message(pong); closed(OK, peer); ");
	assert_null(far_heard(server, FAR_RST_STREAM, 1, 0));
	end(&far, &caller);
}

/* RFC 9113 8.1: END_STREAM is on a DATA frame of its own where all else has left. */
static void a_half_close_with_nothing_left_is_an_empty_data_frame(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_COLLECT, NULL, NULL);
	const struct far_frame *frame;

	(void)state;
	assert_false(far_heard(server, FAR_HEADERS, 1, 0)->flags & FAR_END_STREAM);
	grpc_call_half_close(caller.call);
	far_run(&far);
	frame = far_heard(server, FAR_DATA, 1, 0);
	assert_non_null(frame);
	assert_int_equal(frame->length, 0);
	assert_true(frame->flags & FAR_END_STREAM);
	assert_null(far_heard(server, FAR_HEADERS, 1, 1)); /* no trailers of ours */
	assert_int_equal(caller_send(&caller, STR("late")), -ECANCELED);
	end(&far, &caller);
}

static void what_is_sent_before_a_connection_is_kept_within_bounds(void **state)
{
	static char text[30000];
	struct far far;
	struct caller caller = { 0 };
	int rv = 0;
	size_t sent = 0;

	(void)state;
	far_init(&far, NULL);
	far_call(&far, &caller, CALLER_CHAT, NULL);
	while (rv == 0) {
		rv = caller_send(&caller, (struct str){ text, sizeof(text) });
		sent += 5 + sizeof(text);
		assert_true(sent < 200000);
	}
	assert_int_equal(rv, 1);
	assert_true(sent > 64 * KIB);
	far_run(&far);
	ASSERT_LOG(caller, "");
	far_hello(far_end(&far));
	ASSERT_LOG(caller, ""); /* the stream has it, and its window is 65535 */
	assert_int_equal(buffer_len(&far_end(&far)->body), 65535);
	far_window(far_end(&far), 0, MIB);
	far_window(far_end(&far), 1, MIB);
	ASSERT_LOG(caller, "writable; ");
	assert_int_equal(buffer_len(&far_end(&far)->body), sent);
	end(&far, &caller);
}

/* The stream takes all at once: nothing is above its high-water mark, and that is said. */
static void writable_follows_also_where_a_stream_takes_all_at_once(void **state)
{
	static char text[70000];
	struct far far;
	struct caller caller = { 0 };
	struct http2_limits limits = http2_default_limits;

	(void)state;
	limits.stream_high_water = 1000;
	far_init(&far, &(struct far_options){ .channel.http2 = &limits });
	far_call(&far, &caller, CALLER_CHAT, NULL);
	assert_int_equal(caller_send(&caller, (struct str){ text, 2000 }), 1);
	far_run(&far);
	far_hello(far_end(&far));
	ASSERT_LOG(caller, "writable; ");
	assert_int_equal(caller_send(&caller, (struct str){ text, 500 }), 0);
	end(&far, &caller);
}

static void a_slow_server_holds_the_caller_back(void **state)
{
	static char text[30000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);
	int rv = 0;

	(void)state;
	for (int i = 0; i < 100 && rv == 0; i++) {
		rv = caller_send(&caller, (struct str){ text, sizeof(text) });
		far_run(&far);
	}
	assert_int_equal(rv, 1);
	assert_int_equal(buffer_len(&server->body), 65535);
	far_window(server, 0, MIB);
	ASSERT_LOG(caller, "");
	far_window(server, 1, 20000);
	ASSERT_LOG(caller, "");
	far_window(server, 1, MIB);
	ASSERT_LOG(caller, "writable; ");
	end(&far, &caller);
}

static void a_held_message_stops_the_stream_and_its_credit(void **state)
{
	static char text[10000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_SPREAD, NULL, NULL);

	(void)state;
	grpc_call_half_close(caller.call);
	far_run(&far);
	far_respond(server, 1);
	caller.hold = true;
	far_message(server, 1, 0, STR("one"));
	for (int i = 0; i < 20; i++) {
		far_message(server, 1, 0, (struct str){ text, sizeof(text) });
	}
	ASSERT_LOG(caller, "opened; message(one); ");
	assert_null(far_heard(server, FAR_WINDOW_UPDATE, 1, 0));
	grpc_call_next(caller.call);
	ASSERT_LOG(caller, "opened; message(one); "); /* never from inside */
	far_run(&far);
	ASSERT_LOG(caller, "opened; message(one); message[10000]; ");
	caller.hold = false;
	grpc_call_next(caller.call);
	far_run(&far);
	assert_non_null(far_heard(server, FAR_WINDOW_UPDATE, 1, 0));
	far_finish(server, 1, "0");
	assert_int_equal(caller.outcome.status, GRPC_OK);
	end(&far, &caller);
}

static void the_end_waits_behind_a_held_message(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_SPREAD, NULL, NULL);

	(void)state;
	grpc_call_half_close(caller.call);
	far_run(&far);
	far_respond(server, 1);
	caller.hold = true;
	far_message(server, 1, 0, STR("one"));
	far_message(server, 1, 0, STR("two"));
	far_finish(server, 1, "0");
	far_close(server, -ECONNRESET); /* all is here: the connection is of no more use */
	far_run(&far);
	ASSERT_LOG(caller, "opened; message(one); ");
	assert_null(grpc_call_peer(caller.call));
	grpc_call_next(caller.call);
	far_run(&far);
	ASSERT_LOG(caller, "opened; message(one); message(two); ");
	grpc_call_next(caller.call);
	grpc_call_next(caller.call);
	far_run(&far);
	ASSERT_LOG(caller, "opened; message(one); message(two); closed(OK, peer); ");
	end(&far, &caller);
}

static void a_call_whose_end_waits_may_be_cancelled_or_expire(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct grpc_call_options options = { .timeout_ns = how == 1 ? NS_PER_S : 0 };
		struct far far;
		struct caller caller;
		struct far_end *server = begin(&far, &caller, CALLER_SPREAD, NULL, &options);

		grpc_call_half_close(caller.call);
		far_run(&far);
		far_respond(server, 1);
		caller.hold = true;
		far_message(server, 1, 0, STR("one"));
		far_message(server, 1, how == 2 ? 9 : 0, STR("two"));
		far_finish(server, 1, "0");
		if (how == 0) {
			grpc_call_cancel(caller.call, GRPC_CANCELLED);
			assert_int_equal(caller.closed, 0);
			far_run(&far);
			ASSERT_LOG(caller, "opened; message(one); closed(CANCELLED, here); ");
		} else if (how == 1) {
			far_advance(&far, 2 * NS_PER_S);
			ASSERT_LOG(caller,
				   "opened; message(one); closed(DEADLINE_EXCEEDED, here); ");
		} else { /* what had waited is broken */
			grpc_call_next(caller.call);
			far_run(&far);
			ASSERT_LOG(caller, "opened; message(one); closed(INTERNAL, here); ");
		}
		end(&far, &caller);
	}
}

static void say_more(struct caller *caller)
{
	assert_int_equal(caller_send(caller, STR("more")), -ECANCELED);
}

static void trailers_before_our_end_reset_the_stream_with_no_error(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);
	const struct far_frame *reset;

	(void)state;
	far_respond(server, 1);
	far_message(server, 1, 0, STR("enough"));
	far_finish(server, 1, "0");
	ASSERT_LOG(caller, "opened; message(enough); closed(OK, peer); ");
	reset = far_heard(server, FAR_RST_STREAM, 1, 0);
	assert_non_null(reset);
	assert_int_equal(reset->code, HTTP2_NO_ERROR);
	assert_null(far_heard(server, FAR_DATA, 1, 0));
	/* the same with one message in all, inside which no more can be sent */
	assert_non_null(far_call(&far, &caller, CALLER_COLLECT, NULL));
	caller.on_message = say_more;
	far_run(&far);
	far_respond(server, 3);
	far_message(server, 3, 0, STR("enough"));
	far_finish(server, 3, "0");
	ASSERT_LOG(caller, "opened; message(enough); closed(OK, peer); ");
	caller.closed = 1;
	end(&far, &caller);
}

static void a_reset_with_no_error_behind_the_trailers_is_no_error(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_SPREAD, NULL, NULL);

	(void)state;
	far_respond(server, 1);
	caller.hold = true;
	far_message(server, 1, 0, STR("kept"));
	server->mute = true; /* our own reset stays here meanwhile */
	far_finish(server, 1, "0");
	far_reset(server, 1, HTTP2_NO_ERROR);
	server->mute = false;
	grpc_call_next(caller.call);
	far_run(&far);
	ASSERT_LOG(caller, "opened; message(kept); closed(OK, peer); ");
	end(&far, &caller);
}

static void a_cancelled_stream_is_reset_and_hears_no_more(void **state)
{
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

	(void)state;
	far_respond(server, 1);
	grpc_call_cancel(caller.call, GRPC_CANCELLED);
	far_run(&far); /* a mute server: the status comes at once all the same */
	ASSERT_LOG(caller, "opened; closed(CANCELLED, here); ");
	assert_int_equal(far_heard(server, FAR_RST_STREAM, 1, 0)->code, HTTP2_CANCEL);
	far_message(server, 1, 0, STR("crossing"));
	far_finish(server, 1, "0");
	assert_non_null(server->engine);
	end(&far, &caller);
}

static void late_data_of_a_cancelled_stream_gives_the_connection_its_credit_back(void **state)
{
	static char text[16000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

	(void)state;
	grpc_call_cancel(caller.call, GRPC_CANCELLED);
	far_run(&far);
	for (int i = 0; i < 200; i++) { /* three times the connection's window */
		far_frame(server, FAR_DATA, 0, 1, (struct str){ text, sizeof(text) });
		assert_non_null(server->engine);
	}
	assert_non_null(far_heard(server, FAR_WINDOW_UPDATE, 0, 2));
	far_call(&far, &caller, CALLER_SPREAD, NULL);
	far_run(&far);
	far_respond(server, 3);
	far_message(server, 3, 0, STR("x"));
	far_finish(server, 3, "0");
	ASSERT_LOG(caller, "opened; message(x); closed(OK, peer); ");
	caller.closed = 1;
	end(&far, &caller);
}

/* Compression */

static struct buffer packed(const char *text)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(
		gzip_compress((struct bytes){ (const uint8_t *)text, strlen(text) }, 6, &out), 0);
	return out;
}

static void compressed_messages_are_taken(void **state)
{
	struct buffer gzip = packed("hello, hello, hello, hello, hello");
	struct str octets = { (const char *)buffer_data(&gzip), buffer_len(&gzip) };
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

	(void)state;
	assert_string_equal(far_field(server, "grpc-accept-encoding"), "identity,gzip");
	assert_null(far_field(server, "grpc-encoding"));
	far_headers(server, 1, 0, ":status", "200", "content-type", "application/grpc",
		    "grpc-encoding", "gzip", NULL);
	far_message(server, 1, 0, STR("plain"));
	far_message(server, 1, 1, octets);
	far_finish(server, 1, "0");
	ASSERT_LOG(caller, "opened; message(plain); message[33]; closed(OK, peer); ");
	buffer_free(&gzip);
	end(&far, &caller);
}

static void a_flag_that_nobody_announced_is_internal(void **state)
{
	static const struct {
		const char *encoding;
		uint8_t flag;
		const char *outcome;
	} cases[] = {
		{ NULL, 1, "opened; closed(INTERNAL, here); " },
		{ "identity", 1, "opened; closed(INTERNAL, here); " },
		{ "snappy", 1, "opened; closed(INTERNAL, here); " },
		{ "gzip", 2, "opened; closed(INTERNAL, here); " },
		{ "gzip", 1, "opened; closed(INTERNAL, here); " }, /* and it is no gzip */
		{ "snappy", 0, "opened; message(x); closed(OK, peer); " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct far far;
		struct caller caller;
		struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

		far_headers(server, 1, 0, ":status", "200", "content-type", "application/grpc",
			    cases[i].encoding ? "grpc-encoding" : NULL, cases[i].encoding, NULL);
		far_message(server, 1, cases[i].flag, STR("x"));
		far_finish(server, 1, "0");
		ASSERT_LOG(caller, cases[i].outcome);
		end(&far, &caller);
	}
}

static void gzip_is_announced_and_each_message_says_whether(void **state)
{
	static char zeros[1000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL,
				       &(struct grpc_call_options){ .gzip = true });
	const uint8_t *octets;
	size_t n;

	(void)state;
	assert_string_equal(far_field(server, "grpc-encoding"), "gzip");
	caller_send(&caller, (struct str){ zeros, sizeof(zeros) });
	far_run(&far);
	octets = buffer_data(&server->body);
	n = buffer_len(&server->body);
	assert_true(n < 200);
	assert_int_equal(octets[0], 1);
	assert_int_equal(grpc_prefix_length(octets), n - 5);
	grpc_call_compress(caller.call, false);
	caller_send(&caller, (struct str){ zeros, sizeof(zeros) });
	far_run(&far);
	assert_int_equal(buffer_len(&server->body), n + 5 + sizeof(zeros));
	assert_int_equal(buffer_data(&server->body)[n], 0);
	end(&far, &caller);
}

/* Without the announcement no message is compressed, whatever is asked for later. */
static void what_was_not_announced_is_not_compressed(void **state)
{
	static char zeros[1000];
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, NULL, NULL);

	(void)state;
	grpc_call_compress(caller.call, true);
	caller_send(&caller, (struct str){ zeros, sizeof(zeros) });
	far_run(&far);
	assert_int_equal(buffer_len(&server->body), 5 + sizeof(zeros));
	end(&far, &caller);
}

static void limits_hold_in_both_directions(void **state)
{
	static char text[2000];
	struct far_options options = { .channel = { .max_message_bytes = 1000,
						    .max_send_message_bytes = 1000 } };
	struct far far;
	struct caller caller;
	struct far_end *server = begin(&far, &caller, CALLER_CHAT, &options, NULL);

	(void)state;
	assert_int_equal(caller_send(&caller, (struct str){ text, 1000 }), 0);
	assert_int_equal(caller_send(&caller, (struct str){ text, 1001 }), -EMSGSIZE);
	far_run(&far);
	ASSERT_LOG(caller, "closed(RESOURCE_EXHAUSTED, here); ");
	assert_int_equal(far_heard(server, FAR_RST_STREAM, 1, 0)->code, HTTP2_CANCEL);
	far_call(&far, &caller, CALLER_CHAT, NULL);
	far_run(&far);
	far_respond(server, 3);
	far_message(server, 3, 0, (struct str){ text, 1000 });
	far_frame(server, FAR_DATA, 0, 3, STR("\0\0\0\3\xe9")); /* five bytes say enough */
	ASSERT_LOG(caller, "opened; message[1000]; closed(RESOURCE_EXHAUSTED, here); ");
	caller.closed = 1;
	end(&far, &caller);
}

static void a_bidi_stream_is_the_same_however_its_bytes_are_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct far far;
		struct caller caller;
		struct far_end *server = begin(&far, &caller, CALLER_CHAT,
					       &(struct far_options){ .seed = seed }, NULL);

		far_respond(server, 1);
		far_message(server, 1, 0, STR("one"));
		far_frame(server, FAR_DATA, 0, 1, STR("\0\0\0"));
		far_frame(server, FAR_DATA, 0x8, 1, STR("\3\0\4two\0\0\0")); /* padded */
		far_frame(server, FAR_DATA, 0, 1, STR("\0\0\0\0\0\0"));
		far_frame(server, FAR_DATA, 0, 1, STR("\0\0\0\0\1x\0\0\0\0\0"));
		far_headers(server, 1, FAR_END_STREAM, "grpc-status", "5", "grpc-message", "gone",
			    "note", "n", NULL);
		ASSERT_LOG(caller, "opened; message(one); message(two); message(); message(x); "
				   "message(); closed(NOT_FOUND, peer); ");
		assert_string_equal(caller.text, "gone");
		assert_string_equal(caller.trailer, "n");
		end(&far, &caller);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_shape_takes_what_comes),
		cmocka_unit_test(a_message_of_a_stream_comes_before_the_next_is_sent),
		cmocka_unit_test(a_half_close_with_nothing_left_is_an_empty_data_frame),
		cmocka_unit_test(what_is_sent_before_a_connection_is_kept_within_bounds),
		cmocka_unit_test(writable_follows_also_where_a_stream_takes_all_at_once),
		cmocka_unit_test(a_slow_server_holds_the_caller_back),
		cmocka_unit_test(a_held_message_stops_the_stream_and_its_credit),
		cmocka_unit_test(the_end_waits_behind_a_held_message),
		cmocka_unit_test(a_call_whose_end_waits_may_be_cancelled_or_expire),
		cmocka_unit_test(trailers_before_our_end_reset_the_stream_with_no_error),
		cmocka_unit_test(a_reset_with_no_error_behind_the_trailers_is_no_error),
		cmocka_unit_test(a_cancelled_stream_is_reset_and_hears_no_more),
		cmocka_unit_test(
			late_data_of_a_cancelled_stream_gives_the_connection_its_credit_back),
		cmocka_unit_test(compressed_messages_are_taken),
		cmocka_unit_test(a_flag_that_nobody_announced_is_internal),
		cmocka_unit_test(gzip_is_announced_and_each_message_says_whether),
		cmocka_unit_test(what_was_not_announced_is_not_compressed),
		cmocka_unit_test(limits_hold_in_both_directions),
		cmocka_unit_test(a_bidi_stream_is_the_same_however_its_bytes_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

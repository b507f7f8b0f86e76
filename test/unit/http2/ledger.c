/* The ledger of a peer's frames: boundaries, streams that ended, frames that move nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/util.h"
#include "frames.h"
#include "http2/ledger.h"

#define ANY UINT32_MAX

/* Reads all of `in` at once; the reason to stop, and what was left of it. */
static enum http2_ledger_stop read_all(struct http2_ledger *ledger, struct buffer *in, size_t *left)
{
	enum http2_ledger_stop stop;
	size_t taken = http2_ledger_read(ledger, buffer_data(in), buffer_len(in), ANY, &stop);

	*left = buffer_len(in) - taken;
	buffer_clear(in);
	return stop;
}

static void expect(struct http2_ledger *ledger, struct buffer *in, enum http2_ledger_stop stop)
{
	size_t left;

	assert_int_equal(read_all(ledger, in, &left), stop);
	assert_int_equal(left > 0, stop != HTTP2_LEDGER_NO_STOP);
}

static void a_stream_has_its_frames_until_it_ends(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 1, "xyz", 3);
	put_frame(&in, F_DATA, 0, 1, "abc", 3);
	put_frame(&in, F_DATA, F_END_STREAM, 1, "abc", 3);
	put_frame(&in, F_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
	put_frame(&in, F_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.opens, 1);
	assert_int_equal(ledger.useless, 0);
	assert_false(http2_ledger_unfinished(&ledger));
	put_frame(&in, F_DATA, 0, 1, "abc", 3);
	expect(&ledger, &in, HTTP2_LEDGER_STREAM_CLOSED);
	buffer_free(&in);
}

static void nothing_follows_what_ended_a_stream(void **state)
{
	static const uint8_t ends[] = { F_HEADERS, F_DATA, F_RST_STREAM };
	static const uint8_t after[] = { F_HEADERS, F_DATA };
	struct buffer in = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(after); j++) {
			struct http2_ledger ledger;

			http2_ledger_init(&ledger, i != 1);
			if (ends[i] != F_HEADERS) {
				put_frame(&in, F_HEADERS, F_END_HEADERS, 7, "", 0);
			}
			put_frame(&in, ends[i],
				  ends[i] == F_RST_STREAM ? 0 : F_END_STREAM | F_END_HEADERS, 7, "",
				  0);
			expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
			put_frame(&in, after[j], F_END_HEADERS, 7, "", 0);
			expect(&ledger, &in, HTTP2_LEDGER_STREAM_CLOSED);
		}
	}
	buffer_free(&in);
}

static void an_id_that_was_passed_over_stays_closed(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 1, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 9, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS | F_END_STREAM, 1, "", 0); /* trailers */
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.opens, 2);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 5, "", 0);
	expect(&ledger, &in, HTTP2_LEDGER_NEVER_OPENED);
	/* A server answers in whatever order it likes. */
	http2_ledger_init(&ledger, false);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 9, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 5, "", 0);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	buffer_free(&in);
}

static void the_bits_of_an_old_stream_are_not_those_of_a_new_one(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	for (uint32_t id = 1; id < 2000; id += 2) { /* each place is used many times */
		put_frame(&in, F_HEADERS, F_END_HEADERS, id, "", 0);
		if (id % 4 == 1) {
			put_frame(&in, F_DATA, F_END_STREAM, id, "x", 1);
		}
	}
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	/* 1999 is the last. Of the ids that are remembered, */
	put_frame(&in, F_DATA, 0, 1999, "x", 1);
	put_frame(&in, F_DATA, 0, 1999 - 2 * (HTTP2_LEDGER_IDS - 2), "x", 1);
	put_frame(&in, F_DATA, 0, 1997 - 2 * HTTP2_LEDGER_IDS, "x", 1); /* and of one too old */
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	put_frame(&in, F_DATA, 0, 1997, "x", 1);
	expect(&ledger, &in, HTTP2_LEDGER_STREAM_CLOSED);
	/* A leap clears them all. */
	http2_ledger_init(&ledger, true);
	put_frame(&in, F_HEADERS, F_END_HEADERS | F_END_STREAM, 3, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 3 + 2 * HTTP2_LEDGER_IDS, "", 0);
	put_frame(&in, F_DATA, 0, 3 + 2 * HTTP2_LEDGER_IDS, "x", 1);
	put_frame(&in, F_HEADERS, F_END_HEADERS | F_END_STREAM, 263, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 265 + 2 * HTTP2_LEDGER_IDS, "", 0);
	put_frame(&in, F_DATA, 0, 263 + 2 * HTTP2_LEDGER_IDS, "x", 1); /* not that one's end */
	put_frame(&in, F_HEADERS, F_END_HEADERS, 0x7fffffff, "", 0);
	put_frame(&in, F_DATA, 0, 0x7fffffff, "x", 1);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	buffer_free(&in);
}

static void ids_that_no_peer_may_use_are_left_to_nghttp2(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	put_frame(&in, F_HEADERS, F_END_HEADERS | F_END_STREAM, 3, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS | F_END_STREAM, 2, "", 0);
	put_frame(&in, F_DATA, F_END_STREAM, 2, "", 0);
	put_frame(&in, F_DATA, F_END_STREAM, 0, "", 0);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 0, "", 0);
	put_frame(&in, F_RST_STREAM, 0, 99, "\0\0\0\0", 4);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	buffer_free(&in);
}

static void frames_that_move_nothing_are_counted(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4); /* as it begins, */
	put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 1, "", 0);
	put_frame(&in, F_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4); /* for the stream, */
	put_frame(&in, F_SETTINGS, F_ACK, 0, "", 0);
	put_frame(&in, F_PING, 0, 0, "12345678", 8);
	put_frame(&in, F_DATA, F_PADDED, 1, "\2x\0\0", 4);
	put_frame(&in, F_DATA, F_END_STREAM, 1, "", 0);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.useless, 0);

	put_frame(&in, F_HEADERS, F_END_HEADERS, 3, "", 0);
	put_frame(&in, F_WINDOW_UPDATE, 0, 3, "\0\0\0\1", 4); /* its own */
	put_frame(&in, F_WINDOW_UPDATE, 0, 3, "\0\0\0\1", 4);
	put_frame(&in, F_DATA, 0, 3, "", 0);
	put_frame(&in, F_DATA, F_PADDED, 3, "\3\0\0\0", 4);
	put_frame(&in, F_DATA, F_PADDED, 3, "\0", 1);
	put_frame(&in, F_PRIORITY, 0, 5, "\0\0\0\0\1", 5);
	put_frame(&in, F_SETTINGS, 0, 0, "", 0);
	put_frame(&in, F_PING, F_ACK, 0, "12345678", 8);
	put_frame(&in, F_GOAWAY, 0, 0, "12345678", 8);
	put_frame(&in, 0x10, 0, 0, "", 0);
	put_frame(&in, 0xff, 0xff, 0, "x", 1);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.useless, 10);

	ledger.useless = 0;
	http2_ledger_sent_data(&ledger, 1);
	put_frame(&in, F_WINDOW_UPDATE, 0, 3, "\0\0\0\1", 4);
	put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.useless, 0);
	put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.useless, 1);
	buffer_free(&in);
}

static void credit_is_not_saved_up_without_bound(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	for (unsigned i = 0; i < 100000; i++) {
		http2_ledger_sent_data(&ledger, 1);
	}
	for (unsigned i = 0; i < 20000; i++) {
		put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	}
	expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.useless, 20000 - 16384);
	buffer_free(&in);
}

static void small_messages_that_left_together_may_be_credited_one_by_one(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	for (unsigned i = 0; i < 100; i++) {
		http2_ledger_sent_data(&ledger, 16000); /* 2000 of 8 bytes */
		for (unsigned message = 0; message < 2000; message++) {
			put_frame(&in, F_WINDOW_UPDATE, 0, 1, "\0\0\0\10", 4);
			put_frame(&in, F_WINDOW_UPDATE, 0, 0, "\0\0\0\10", 4);
		}
		expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	}
	assert_int_equal(ledger.useless, 0);
	buffer_free(&in);
}

static void the_ninth_continuation_is_one_too_many(void **state)
{
	struct http2_ledger ledger;
	struct buffer in = { 0 };

	(void)state;
	http2_ledger_init(&ledger, true);
	for (uint32_t id = 1; id < 6; id += 2) { /* it counts anew for each block */
		put_frame(&in, F_HEADERS, 0, id, "", 0);
		for (int i = 0; i < HTTP2_MAX_CONTINUATIONS; i++) {
			put_frame(&in, F_CONTINUATION, i == 7 ? F_END_HEADERS : 0, id, "", 0);
		}
		expect(&ledger, &in, HTTP2_LEDGER_NO_STOP);
	}
	put_frame(&in, F_HEADERS, 0, 7, "", 0);
	for (int i = 0; i <= HTTP2_MAX_CONTINUATIONS; i++) {
		put_frame(&in, F_CONTINUATION, 0, 7, "", 0);
	}
	expect(&ledger, &in, HTTP2_LEDGER_CONTINUATIONS);
	buffer_free(&in);
}

/* What one pass over `in` comes to, however it is cut. */
static void boundaries_are_found_however_the_input_is_cut(void **state)
{
	struct buffer in = { 0 };
	struct http2_ledger whole, cut;
	enum http2_ledger_stop stop;
	const uint8_t *bytes;
	size_t n;

	(void)state;
	put_frame(&in, F_HEADERS, 0, 1, "abcdefgh", 8);
	put_frame(&in, F_CONTINUATION, F_END_HEADERS, 1, "ij", 2);
	put_frame(&in, F_DATA, 0, 1, "", 0);
	put_frame(&in, F_DATA, 0, 1, "0123456789", 10);
	put_frame(&in, F_PING, 0, 0, "12345678", 8);
	put_frame(&in, F_DATA, F_END_STREAM, 1, "x", 1);
	put_frame(&in, F_HEADERS, F_END_HEADERS, 3, "", 0);
	bytes = buffer_data(&in);
	n = buffer_len(&in);
	http2_ledger_init(&whole, true);
	assert_int_equal(http2_ledger_read(&whole, bytes, n, ANY, &stop), n);
	assert_int_equal(whole.units, 6);
	assert_int_equal(whole.useless, 1);
	for (size_t size = 1; size < n; size++) {
		http2_ledger_init(&cut, true);
		for (size_t at = 0; at < n; at += MIN(size, n - at)) {
			size_t part = MIN(size, n - at);

			assert_int_equal(http2_ledger_read(&cut, bytes + at, part, ANY, &stop),
					 part);
			assert_int_equal(stop, HTTP2_LEDGER_NO_STOP);
			assert_int_equal(http2_ledger_unfinished(&cut),
					 at + part != 19 + 9 && at + part != 37 &&
						 at + part != 56 && at + part != 73 &&
						 at + part != 83 && at + part != n);
		}
		assert_int_equal(cut.units, whole.units);
		assert_int_equal(cut.useless, whole.useless);
		assert_int_equal(cut.opens, whole.opens);
		assert_int_equal(cut.highest, whole.highest);
		assert_memory_equal(cut.ended, whole.ended, sizeof(whole.ended));
	}
	buffer_free(&in);
}

static void reading_stops_before_one_stream_too_many_and_goes_on_later(void **state)
{
	struct buffer in = { 0 };
	struct http2_ledger ledger;
	enum http2_ledger_stop stop;
	size_t at;

	(void)state;
	for (uint32_t id = 1; id < 9; id += 2) {
		put_frame(&in, F_HEADERS, F_END_HEADERS, id, "abc", 3);
	}
	http2_ledger_init(&ledger, true);
	at = http2_ledger_read(&ledger, buffer_data(&in), buffer_len(&in), 3, &stop);
	assert_int_equal(stop, HTTP2_LEDGER_ENOUGH);
	assert_int_equal(at, 3 * 12);
	assert_int_equal(ledger.opens, 3);
	assert_false(http2_ledger_unfinished(&ledger));
	assert_int_equal(http2_ledger_read(&ledger, buffer_data(&in) + at, 12, 3, &stop), 0);
	ledger.opens = 0;
	assert_int_equal(http2_ledger_read(&ledger, buffer_data(&in) + at, 12, 3, &stop), 12);
	assert_int_equal(stop, HTTP2_LEDGER_NO_STOP);
	assert_int_equal(ledger.units, 4);

	/* Where a part of the header has been handed on, the rest must follow. */
	http2_ledger_init(&ledger, true);
	assert_int_equal(http2_ledger_read(&ledger, buffer_data(&in), 5, 0, &stop), 5);
	assert_int_equal(http2_ledger_read(&ledger, buffer_data(&in) + 5, 7, 0, &stop), 7);
	assert_int_equal(stop, HTTP2_LEDGER_NO_STOP);
	buffer_free(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_has_its_frames_until_it_ends),
		cmocka_unit_test(nothing_follows_what_ended_a_stream),
		cmocka_unit_test(an_id_that_was_passed_over_stays_closed),
		cmocka_unit_test(the_bits_of_an_old_stream_are_not_those_of_a_new_one),
		cmocka_unit_test(ids_that_no_peer_may_use_are_left_to_nghttp2),
		cmocka_unit_test(frames_that_move_nothing_are_counted),
		cmocka_unit_test(credit_is_not_saved_up_without_bound),
		cmocka_unit_test(small_messages_that_left_together_may_be_credited_one_by_one),
		cmocka_unit_test(the_ninth_continuation_is_one_too_many),
		cmocka_unit_test(boundaries_are_found_however_the_input_is_cut),
		cmocka_unit_test(reading_stops_before_one_stream_too_many_and_goes_on_later),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}

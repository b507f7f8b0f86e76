/*
 * However the bytes of a stream of messages are cut, the handler hears the same
 * and answers the same: every 2-way split of what the client sends, and seeded
 * n-way splits in both directions. Some messages are compressed, and some are
 * held until a timer says next.
 */
#include <stdlib.h>

#include "base/gzip.h"
#include "stage.h"

#define SEEDS 1000

static void on_timer(struct timer *timer)
{
	struct script *script = container_of(timer, struct script, timer);

	grpc_call_next(script->call);
}

/* Every second message waits for a timer; all are answered as they came. */
static void answer_and_hold(struct script *script, struct str message)
{
	grpc_call_compress(script->call, true);
	script_send(script, message);
	if (script->n++ % 2 == 0) {
		grpc_call_hold(script->call);
		timer_init(&script->timer, on_timer);
		timer_start(grpc_call_timers(script->call), &script->timer, NS_PER_MS);
	}
}

static void finish(struct script *script)
{
	grpc_call_add_trailer(script->call, STR("messages-bin"),
			      (struct str){ (const char *)&script->n, sizeof(script->n) });
	grpc_call_finish(script->call, GRPC_DATA_LOSS, "the end");
}

static void say_gzip(struct stage *stage, struct str plain)
{
	struct buffer packed = BUFFER_INIT;
	uint8_t prefix[GRPC_PREFIX_BYTES];

	assert_int_equal(
		gzip_compress((struct bytes){ (const uint8_t *)plain.data, plain.len }, 6, &packed),
		0);
	grpc_prefix_write(prefix, true, (uint32_t)buffer_len(&packed));
	peer_bytes(&stage->peer, &stage->stream, (struct str){ (const char *)prefix, 5 });
	peer_bytes(&stage->peer, &stage->stream,
		   (struct str){ (const char *)buffer_data(&packed), buffer_len(&packed) });
	buffer_free(&packed);
}

/* The whole conversation; what was heard and answered, as text, is the caller's. Bytes sent. */
static size_t converse(size_t cut, uint64_t seed, struct buffer *heard)
{
	static const char *const more[] = { "grpc-encoding", "gzip", "grpc-accept-encoding", "gzip",
					    NULL };
	static const char zeros[300];
	struct stage stage;
	size_t sent;

	stage_init(&stage, &(struct peer_options){ .cut = cut, .seed = seed });
	stage.script.message = answer_and_hold;
	stage.script.half_closed = finish;
	begin(&stage, "/test.Streams/Chat", more);
	say(&stage, "one");
	say_gzip(&stage, STR("two"));
	say(&stage, "");
	say_gzip(&stage, (struct str){ zeros, sizeof(zeros) });
	say(&stage, "five");
	end(&stage);
	for (int i = 0; i < 10; i++) {
		peer_advance(&stage.peer, NS_PER_MS);
	}
	assert_true(stage.stream.closed);
	sent = stage.peer.sent;
	*heard = (struct buffer)BUFFER_INIT;
	assert_int_equal(buffer_append_str(heard, str_from(script_log(&stage.script))), 0);
	assert_int_equal(buffer_append(heard, buffer_data(&stage.stream.fields),
				       buffer_len(&stage.stream.fields)),
			 0);
	assert_int_equal(
		buffer_append(heard, buffer_data(&stage.stream.in), buffer_len(&stage.stream.in)),
		0);
	stage_deinit(&stage);
	return sent;
}

static void assert_same(const struct buffer *expected, struct buffer *heard)
{
	assert_int_equal(buffer_len(heard), buffer_len(expected));
	assert_memory_equal(buffer_data(heard), buffer_data(expected), buffer_len(expected));
	buffer_free(heard);
}

static void cuts_change_nothing(void **state)
{
	static const struct str log = STR_INIT(
		"opened; message(one); message(two); message(); message[300]; message(five); "
		"half_closed; closed(15 here); ");
	struct buffer expected, heard;
	size_t n;

	(void)state;
	n = converse(0, 0, &expected);
	assert_memory_equal(buffer_data(&expected), log.data, log.len);
	for (size_t cut = 1; cut < n; cut++) {
		converse(cut, 0, &heard);
		assert_same(&expected, &heard);
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		converse(0, seed, &heard);
		assert_same(&expected, &heard);
	}
	buffer_free(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

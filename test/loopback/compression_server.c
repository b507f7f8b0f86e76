/* gzip of single messages, at the serving end. */
#include <errno.h>
#include <stdlib.h>

#include "base/gzip.h"
#include "service/echo.h"
#include "stage.h"

static const char *const announced[] = { "grpc-encoding", "gzip", NULL };
static const char *const accepted[] = { "grpc-accept-encoding", "identity, deflate,gzip", NULL };
static const char *const both[] = {
	"grpc-encoding", "gzip", "grpc-accept-encoding", "identity,deflate", "grpc-accept-encoding",
	"gzip",          NULL
};

static char zeros[100000];

static struct buffer packed(struct str plain)
{
	struct buffer out = BUFFER_INIT;

	assert_int_equal(
		gzip_compress((struct bytes){ (const uint8_t *)plain.data, plain.len }, 9, &out),
		0);
	return out;
}

/* A message with flag 1 whose content is `n` of these bytes; then they are freed. */
static void say_packed(struct stage *stage, struct buffer bytes, size_t n)
{
	uint8_t prefix[GRPC_PREFIX_BYTES];

	grpc_prefix_write(prefix, true, (uint32_t)n);
	peer_bytes(&stage->peer, &stage->stream,
		   (struct str){ (const char *)prefix, sizeof(prefix) });
	peer_bytes(&stage->peer, &stage->stream,
		   (struct str){ (const char *)buffer_data(&bytes), n });
	buffer_free(&bytes);
}

static void say_gzip(struct stage *stage, struct str plain)
{
	struct buffer bytes = packed(plain);

	say_packed(stage, bytes, buffer_len(&bytes));
}

/* Says how each message came. */
static void note_flag(struct script *script, struct str message)
{
	(void)message;
	assert_int_equal(buffer_append_str(&script->log, grpc_call_was_compressed(script->call)
								 ? STR("packed; ")
								 : STR("plain; ")),
			 0);
}

static void a_client_may_compress_each_message_or_not(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = note_flag;
	begin(&stage, "/test.Streams/Chat", announced);
	say_gzip(&stage, STR("one"));
	say(&stage, "two");
	say_gzip(&stage, STR(""));
	say_gzip(&stage, (struct str){ zeros, sizeof(zeros) });
	say(&stage, "");
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); packed; message(two); plain; message(); packed; "
			   "message[100000]; packed; message(); plain; half_closed; ");
	grpc_call_finish(stage.script.call, GRPC_OK, NULL);
	peer_run(&stage.peer);

	script_reset(&stage.script);
	begin(&stage, "/test.Streams/Unary", announced);
	say_gzip(&stage, STR("one"));
	end(&stage);
	ASSERT_LOG(&stage, "opened; message(one); packed; half_closed; ");
	stage_deinit(&stage);
}

static void what_cannot_be_inflated_is_internal(void **state)
{
	enum { TORN, TRAILING, CORRUPT, NO_GZIP, NOTHING, CASES };
	static const char *const paths[] = { "/test.Streams/Chat", "/test.Streams/Unary" };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (int i = 0; i < CASES; i++) {
		for (size_t p = 0; p < ARRAY_SIZE(paths); p++) {
			struct buffer bytes = packed(STR("some text to make it worth it"));
			size_t n = buffer_len(&bytes);

			if (i == TORN) {
				n--;
			} else if (i == TRAILING) {
				assert_int_equal(buffer_append(&bytes, "x", 1), 0);
				n++;
			} else if (i == CORRUPT) {
				buffer_data(&bytes)[n - 6] ^= 1; /* of the checksum */
			} else if (i == NO_GZIP) {
				memset(buffer_data(&bytes), 'x', n);
			} else {
				n = 0;
			}
			begin(&stage, paths[p], announced);
			say_packed(&stage, bytes, n);
			end(&stage);
			assert_status(&stage, "13");
		}
	}
	/* and what was announced by nobody, or by its other name */
	begin(&stage, "/test.Streams/Unary", NULL);
	say_gzip(&stage, STR("x"));
	end(&stage);
	assert_status(&stage, "13");
	begin(&stage, "/test.Streams/Unary",
	      (const char *const[]){ "grpc-encoding", "identity", NULL });
	say_gzip(&stage, STR("x"));
	end(&stage);
	assert_status(&stage, "13");
	stage_deinit(&stage);
}

static void the_limit_is_on_what_comes_out(void **state)
{
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct stage stage;
	struct random random;
	static char noise[5000];

	(void)state;
	limits.max_message_bytes = 5000;
	stage_init(&stage, &(struct peer_options){ .limits = &limits });
	random_seed(&random, 9);
	for (size_t i = 0; i < sizeof(noise); i++) {
		noise[i] = (char)(random_below(&random, 200));
	}
	/* exactly the limit, of what shrinks and of what does not */
	begin(&stage, "/test.Streams/Collect", announced);
	say_gzip(&stage, (struct str){ zeros, 5000 });
	say_gzip(&stage, (struct str){ noise, 5000 });
	end(&stage);
	ASSERT_LOG(&stage, "opened; message[5000]; message[5000]; half_closed; ");
	grpc_call_finish(stage.script.call, GRPC_OK, NULL);
	peer_run(&stage.peer);

	begin(&stage, "/test.Streams/Collect", announced);
	say_gzip(&stage, (struct str){ zeros, 5001 });
	end(&stage);
	assert_status(&stage, "8");
	/* a prefix that promises more than any message may take */
	begin(&stage, "/test.Streams/Collect", announced);
	peer_bytes(&stage.peer, &stage.stream, STR("\x01\0\0\x20\0"));
	peer_run(&stage.peer);
	assert_status(&stage, "8");
	stage_deinit(&stage);
}

/* The flag of the message at `at`, and where the next one begins. */
static int flag_of(struct stage *stage, size_t *at)
{
	const uint8_t *prefix = buffer_data(&stage->stream.in) + *at;

	assert_true(*at + 5 <= buffer_len(&stage->stream.in));
	*at += 5 + grpc_prefix_length(prefix);
	return prefix[0];
}

/* Sends a long one, a short one, and again, compression off and on between. */
static void send_all(struct script *script)
{
	struct str large = { zeros, 1000 };

	script_send(script, large);
	script_send(script, STR("small"));
	grpc_call_compress(script->call, false);
	script_send(script, large);
	grpc_call_compress(script->call, true);
	script_send(script, large);
	grpc_call_finish(script->call, GRPC_OK, NULL);
}

static void on_and_send_all(struct script *script)
{
	grpc_call_compress(script->call, true);
	send_all(script);
}

static void on_off_and_send_all(struct script *script)
{
	grpc_call_compress(script->call, true);
	grpc_call_compress(script->call, false);
	send_all(script);
}

static void too_late_and_send_all(struct script *script)
{
	assert_int_equal(grpc_call_send_headers(script->call), 0);
	on_and_send_all(script);
}

static void answers_are_compressed_where_both_want_it(void **state)
{
	static const struct {
		const char *const *more;
		void (*opened)(struct script *script);
		const char *encoding; /* announced; NULL: none */
		int flags[4];
	} cases[] = {
		{ accepted, on_and_send_all, "gzip", { 1, 0, 0, 1 } },
		{ both, on_and_send_all, "gzip", { 1, 0, 0, 1 } },
		{ accepted, on_off_and_send_all, "gzip", { 0, 0, 0, 1 } },
		{ accepted, send_all, NULL, { 0, 0, 0, 0 } },
		{ accepted, too_late_and_send_all, NULL, { 0, 0, 0, 0 } },
		{ NULL, on_and_send_all, NULL, { 0, 0, 0, 0 } },
		{ announced, on_and_send_all, NULL, { 0, 0, 0, 0 } },
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *encoding;
		size_t at = 0;

		stage.script.opened = cases[i].opened;
		begin(&stage, "/test.Streams/Chat", cases[i].more);
		end(&stage);
		assert_status(&stage, "0");
		encoding = peer_field(&stage.stream, "grpc-encoding");
		assert_int_equal(encoding != NULL, cases[i].encoding != NULL);
		assert_true(!encoding || strcmp(encoding, cases[i].encoding) == 0);
		for (size_t m = 0; m < 4; m++) {
			assert_int_equal(flag_of(&stage, &at), cases[i].flags[m]);
		}
		assert_int_equal(at, buffer_len(&stage.stream.in));
	}
	stage_deinit(&stage);
}

static void echo_as_it_came(struct script *script, struct str message)
{
	grpc_call_compress(script->call, grpc_call_was_compressed(script->call));
	script_send(script, message);
}

static void each_compressed_message_stands_alone(void **state)
{
	struct gzip gzip = { 0 };
	struct stage stage;
	size_t at = 0;

	(void)state;
	stage_init(&stage, NULL);
	stage.script.message = echo_as_it_came;
	begin(&stage, "/test.Streams/Chat", both);
	for (int i = 0; i < 5; i++) {
		say_gzip(&stage, (struct str){ zeros, 3000 });
		say(&stage, "between");
	}
	end(&stage);
	for (int i = 0; i < 5; i++) {
		struct buffer plain = BUFFER_INIT;
		size_t start = at + 5;

		assert_int_equal(flag_of(&stage, &at), 1);
		assert_int_equal(gzip_inflate(&gzip,
					      (struct bytes){ buffer_data(&stage.stream.in) + start,
							      at - start },
					      3000, &plain),
				 0);
		assert_int_equal(buffer_len(&plain), 3000);
		buffer_free(&plain);
		assert_int_equal(flag_of(&stage, &at), 0);
	}
	gzip_deinit(&gzip);
	stage_deinit(&stage);
}

static void echo_compresses_what_came_compressed(void **state)
{
	static struct echo_service plain;
	/* field 1, 1000 bytes of 'e' */
	char request[1003] = "\x0a\xe8\x07";
	struct stage stage;

	(void)state;
	memset(request + 3, 'e', 1000);
	stage_init(&stage, NULL);
	assert_int_equal(grpc_server_add(stage.peer.server, &echo_service, &plain, NULL), 0);
	for (int compressed = 0; compressed < 2; compressed++) {
		size_t at = 0;

		begin(&stage, "/muzz.Service/Echo", both);
		if (compressed) {
			say_gzip(&stage, (struct str){ request, sizeof(request) });
		} else {
			peer_message(&stage.peer, &stage.stream,
				     (struct str){ request, sizeof(request) });
		}
		end(&stage);
		assert_status(&stage, "0");
		assert_int_equal(flag_of(&stage, &at), compressed);
		assert_int_equal(at, buffer_len(&stage.stream.in));
		if (!compressed) {
			assert_memory_equal(buffer_data(&stage.stream.in) + 5, request,
					    sizeof(request));
		}
	}
	stage_deinit(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_may_compress_each_message_or_not),
		cmocka_unit_test(what_cannot_be_inflated_is_internal),
		cmocka_unit_test(the_limit_is_on_what_comes_out),
		cmocka_unit_test(answers_are_compressed_where_both_want_it),
		cmocka_unit_test(each_compressed_message_stands_alone),
		cmocka_unit_test(echo_compresses_what_came_compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

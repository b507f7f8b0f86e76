/* What a server's answer consists of besides its messages: headers, trailers, status. */
#include <errno.h>
#include <stdlib.h>

#include "stage.h"

/* A google.rpc.Status: code 5, message "why". */
#define DETAILS     "\x08\x05\x12\x03why"
#define DETAILS_B64 "CAUSA3doeQ"

static struct bytes bytes_of(struct str text)
{
	return (struct bytes){ (const uint8_t *)text.data, text.len };
}

static void add(struct script *script, const char *name, const char *value)
{
	assert_int_equal(grpc_call_add_header(script->call, str_from(name), str_from(value)), 0);
}

static void add_trailer(struct script *script, const char *name, const char *value)
{
	assert_int_equal(grpc_call_add_trailer(script->call, str_from(name), str_from(value)), 0);
}

static void assert_fields(struct stage *stage, const char *expected)
{
	assert_int_equal(buffer_append(&stage->stream.fields, "", 1), 0);
	assert_string_equal((const char *)buffer_data(&stage->stream.fields), expected);
	stage->stream.fields.end--;
}

/* A call of Chat that runs, and waits for what the test has its handler do. */
static void run(struct stage *stage, const char *const *more)
{
	script_reset(&stage->script);
	begin(stage, "/test.Streams/Chat", more);
	peer_run(&stage->peer);
	assert_non_null(stage->script.call);
}

#define HEAD                               \
	":status: 200\n"                   \
	"content-type: application/grpc\n" \
	"grpc-accept-encoding: identity,gzip\n"

static void headers_leave_with_the_first_message_or_when_asked(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	run(&stage, NULL);
	add(&stage.script, "early", "1");
	add_trailer(&stage.script, "said-early", "2");
	peer_run(&stage.peer);
	assert_int_equal(stage.stream.blocks, 0);
	assert_int_equal(grpc_call_send_headers(stage.script.call), 0);
	assert_int_equal(grpc_call_send_headers(stage.script.call), 0); /* they are gone: fine */
	peer_run(&stage.peer);
	assert_fields(&stage, HEAD "early: 1\n\n");
	add(&stage.script, "late", "3");
	script_send(&stage.script, STR("m"));
	grpc_call_finish(stage.script.call, GRPC_OK, NULL);
	peer_run(&stage.peer);
	assert_fields(&stage, HEAD "early: 1\n\ngrpc-status: 0\nsaid-early: 2\nlate: 3\n\n");
	stage_deinit(&stage);
}

static void an_answer_without_messages_is_one_block(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	run(&stage, NULL);
	add_trailer(&stage.script, "b", "2");
	add(&stage.script, "a", "1");
	grpc_call_finish(stage.script.call, GRPC_NOT_FOUND, "100% \xe2\x98\xba");
	peer_run(&stage.peer);
	assert_fields(&stage, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\n"
			      "grpc-accept-encoding: identity,gzip\na: 1\nb: 2\n"
			      "grpc-message: 100%25 %E2%98%BA\n\n");
	stage_deinit(&stage);
}

/* The same text that the official interoperability tests send (special_status_message). */
static void a_status_message_may_hold_anything(void **state)
{
	static const char text[] =
		"\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
		"\xf0\x9f\x98\x88\t\n";
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	run(&stage, NULL);
	grpc_call_finish(stage.script.call, GRPC_UNKNOWN, text);
	peer_run(&stage.peer);
	assert_string_equal(peer_field(&stage.stream, "grpc-message"),
			    "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP "
			    "%F0%9F%98%88%09%0A");

	run(&stage, NULL);
	grpc_call_finish_details(stage.script.call, GRPC_UNKNOWN, STR("a\0b\xff"),
				 (struct bytes){ NULL, 0 });
	peer_run(&stage.peer);
	assert_string_equal(peer_field(&stage.stream, "grpc-message"), "a%00b%EF%BF%BD");

	run(&stage, NULL);
	grpc_call_finish(stage.script.call, GRPC_UNKNOWN, "");
	peer_run(&stage.peer);
	assert_null(peer_field(&stage.stream, "grpc-message"));
	stage_deinit(&stage);
}

static void details_go_out_where_they_say_the_same_as_the_status(void **state)
{
	static const struct {
		int status;
		struct str details;
		const char *expected;
	} cases[] = {
		{ GRPC_NOT_FOUND, STR_INIT(DETAILS), DETAILS_B64 },
		{ GRPC_ABORTED, STR_INIT(DETAILS), NULL },
		{ GRPC_NOT_FOUND, STR_INIT("\x08"), NULL }, /* torn */
		{ GRPC_OK, STR_INIT("\x12\x02ok"), "EgJvaw" },
		{ GRPC_NOT_FOUND, STR_INIT(""), NULL },
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int after = 0; after < 2; after++) {
			const char *is;

			run(&stage, NULL);
			if (after) {
				script_send(&stage.script, STR("m"));
			}
			grpc_call_finish_details(stage.script.call,
						 (enum grpc_status)cases[i].status, STR("why"),
						 bytes_of(cases[i].details));
			peer_run(&stage.peer);
			is = peer_field(&stage.stream, "grpc-status-details-bin");
			if (cases[i].expected) {
				assert_non_null(is);
				assert_string_equal(is, cases[i].expected);
			} else {
				assert_null(is);
			}
			assert_string_equal(peer_field(&stage.stream, "grpc-message"), "why");
		}
	}
	stage_deinit(&stage);
}

static void the_peers_limit_takes_the_last_first_and_never_the_status(void **state)
{
	static const struct {
		uint32_t limit;
		bool details, message, metadata;
	} cases[] = {
		{ 1000, true, true, true },  { 200, false, true, true },
		{ 130, false, false, true }, { 40, false, false, false },
		{ 1, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stage stage;

		stage_init(&stage, &(struct peer_options){ .max_header_list = cases[i].limit });
		run(&stage, NULL);
		script_send(&stage.script, STR("m"));
		add(&stage.script, "note", "0123456789"); /* 46; the status before it 44 */
		grpc_call_finish_details(stage.script.call, GRPC_NOT_FOUND, STR("fifteen letters"),
					 bytes_of(STR(DETAILS)));
		peer_run(&stage.peer);
		assert_status(&stage, "5");
		assert_int_equal(peer_field(&stage.stream, "note") != NULL, cases[i].metadata);
		assert_int_equal(peer_field(&stage.stream, "grpc-message") != NULL,
				 cases[i].message);
		assert_int_equal(peer_field(&stage.stream, "grpc-status-details-bin") != NULL,
				 cases[i].details);
		stage_deinit(&stage);
	}
}

static void metadata_of_a_handler_is_checked(void **state)
{
	static const struct {
		struct str name, value;
		int rv;
	} cases[] = {
		{ STR_INIT("x"), STR_INIT("~ !"), 0 },
		{ STR_INIT("x-bin"), STR_INIT("\0\xff"), 0 },
		{ STR_INIT("X"), STR_INIT("v"), -EINVAL },
		{ STR_INIT("x"), STR_INIT("\n"), -EINVAL },
		{ STR_INIT("x"), STR_INIT("\xc3\xa9"), -EINVAL },
		{ STR_INIT("grpc-status"), STR_INIT("0"), -EINVAL },
		{ STR_INIT("grpc-status-details-bin"), STR_INIT("0"), -EINVAL },
		{ STR_INIT("content-type"), STR_INIT("v"), -EINVAL },
		{ STR_INIT(":status"), STR_INIT("v"), -EINVAL },
		{ STR_INIT(""), STR_INIT("v"), -EINVAL },
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	run(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct grpc_call *call = stage.script.call;

		assert_int_equal(grpc_call_add_header(call, cases[i].name, cases[i].value),
				 cases[i].rv);
		assert_int_equal(grpc_call_add_trailer(call, cases[i].name, cases[i].value),
				 cases[i].rv);
	}
	script_send(&stage.script, STR("m"));
	grpc_call_finish(stage.script.call, GRPC_OK, NULL);
	peer_run(&stage.peer);
	assert_fields(&stage, HEAD "x: ~ !\nx-bin: AP8\n\ngrpc-status: 0\nx: ~ !\nx-bin: AP8\n\n");
	stage_deinit(&stage);
}

static void a_client_hears_always_what_may_come_compressed(void **state)
{
	static const struct {
		const char *path, *name, *value, *status;
	} refusals[] = {
		{ "/test.Streams/Nope", "x", "y", "12" },
		{ "/test.Streams", "x", "y", "12" },
		{ "/test.Streams/Chat", "grpc-timeout", "soon", "13" },
		{ "/test.Streams/Chat", "grpc-encoding", "br", "12" },
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const char *const more[] = { refusals[i].name, refusals[i].value, NULL };

		begin(&stage, refusals[i].path, more);
		peer_run(&stage.peer);
		assert_status(&stage, refusals[i].status);
		assert_string_equal(peer_field(&stage.stream, "grpc-accept-encoding"),
				    "identity,gzip");
	}
	stage_deinit(&stage);
}

static void services_are_listed_in_their_order(void **state)
{
	static const struct grpc_service other = { .name = "other" };
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	assert_int_equal(grpc_server_add(stage.peer.server, &other, NULL, NULL), 0);
	assert_ptr_equal(grpc_server_service(stage.peer.server, 0), &script_service);
	assert_ptr_equal(grpc_server_service(stage.peer.server, 1), &other);
	assert_null(grpc_server_service(stage.peer.server, 2));
	stage_deinit(&stage);
}

static void a_path_is_taken_literally(void **state)
{
	static const char *const paths[] = {
		"/test.Streams/chat",
		"/test.Streams/Chat/",
		"//test.Streams/Chat",
		"/test.Streams/Cha",
		"/test.Streams/Chatt",
		"/test.Streams/%43hat",
		"/test.Streams//Chat",
		"/x/test.Streams/Chat",
		"/test.Streams/Chat?x",
		"/Chat",
		"/",
	};
	struct stage stage;

	(void)state;
	stage_init(&stage, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		begin(&stage, paths[i], NULL);
		peer_run(&stage.peer);
		assert_status(&stage, "12");
		assert_int_equal(buffer_len(&stage.script.log), 0);
	}
	stage_deinit(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_leave_with_the_first_message_or_when_asked),
		cmocka_unit_test(an_answer_without_messages_is_one_block),
		cmocka_unit_test(a_status_message_may_hold_anything),
		cmocka_unit_test(details_go_out_where_they_say_the_same_as_the_status),
		cmocka_unit_test(the_peers_limit_takes_the_last_first_and_never_the_status),
		cmocka_unit_test(metadata_of_a_handler_is_checked),
		cmocka_unit_test(a_client_hears_always_what_may_come_compressed),
		cmocka_unit_test(services_are_listed_in_their_order),
		cmocka_unit_test(a_path_is_taken_literally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

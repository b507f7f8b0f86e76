#include "fake_call.h"

#include "reflection.pb-c.h"
#include "service/reflection.h"

extern const struct bytes shapes_set; /* shapes.proto, and what it imports */

static struct reflection *served(void)
{
	static struct reflection reflection;

	assert_true(reflection_init(&reflection, shapes_set));
	reflection_add(&reflection, "test.shapes.Painter");
	reflection_add(&reflection, "test.imported.Gardener");
	reflection_add(&reflection, "grpc.reflection.v1.ServerReflection");
	return &reflection;
}

static void begin(struct grpc_call *call)
{
	call_begin(call, &reflection_service, "ServerReflectionInfo", served());
}

static ProtobufCBinaryData binary(struct str text)
{
	return (ProtobufCBinaryData){ text.len, (uint8_t *)(uintptr_t)text.data };
}

static bool equal(ProtobufCBinaryData data, const char *text)
{
	return data.len == strlen(text) && memcmp(data.data, text, data.len) == 0;
}

/* Asks for something that is text; the response. */
static const Reflection__Response *ask(struct grpc_call *call, Reflection__Request__WantedCase what,
				       struct str text)
{
	Reflection__Request request = REFLECTION__REQUEST__INIT;
	size_t before = call->n_sent;

	request.host = binary(STR("example.org"));
	request.wanted_case = what;
	request.file_by_filename = binary(text); /* all text is at the same place of the union */
	assert_true(call_receive(call, &request.base));
	assert_int_equal(call->n_sent, before + 1);
	return call->sent[before];
}

#define FILE_NAMED   REFLECTION__REQUEST__WANTED_FILE_BY_FILENAME
#define SYMBOL       REFLECTION__REQUEST__WANTED_FILE_CONTAINING_SYMBOL
#define EXTENSIONS   REFLECTION__REQUEST__WANTED_ALL_EXTENSION_NUMBERS_OF_TYPE
#define LIST         REFLECTION__REQUEST__WANTED_LIST_SERVICES
#define FOUND_FILES  REFLECTION__RESPONSE__FOUND_FILE_DESCRIPTORS
#define FOUND_ERROR  REFLECTION__RESPONSE__FOUND_ERROR
#define FOUND_EXTENS REFLECTION__RESPONSE__FOUND_EXTENSION_NUMBERS

/* How many files came, of which the first has this name. */
static size_t files_of(const Reflection__Response *response, const char *first)
{
	ProtobufCBinaryData file;

	assert_int_equal(response->found_case, FOUND_FILES);
	assert_true(response->file_descriptors->n_file > 0);
	file = response->file_descriptors->file[0];
	assert_true(file.len > 2 + strlen(first));
	assert_int_equal(file.data[0], 0x0a); /* FileDescriptorProto.name */
	assert_int_equal(file.data[1], strlen(first));
	assert_memory_equal(file.data + 2, first, strlen(first));
	return response->file_descriptors->n_file;
}

static void services_are_listed_sorted_and_with_reflection_itself(void **state)
{
	const Reflection__Response *response;
	struct grpc_call call;

	(void)state;
	begin(&call);
	response = ask(&call, LIST, STR("*"));
	assert_int_equal(response->found_case, REFLECTION__RESPONSE__FOUND_SERVICES);
	assert_int_equal(response->services->n_service, 3);
	assert_true(
		equal(response->services->service[0]->name, "grpc.reflection.v1.ServerReflection"));
	assert_true(equal(response->services->service[1]->name, "test.imported.Gardener"));
	assert_true(equal(response->services->service[2]->name, "test.shapes.Painter"));
	call_end(&call);
}

static void host_and_request_come_back(void **state)
{
	const Reflection__Response *response;
	struct grpc_call call;

	(void)state;
	begin(&call);
	response = ask(&call, SYMBOL, STR("no\0such"));
	assert_true(equal(response->valid_host, "example.org"));
	assert_non_null(response->original_request);
	assert_true(equal(response->original_request->host, "example.org"));
	assert_int_equal(response->original_request->wanted_case, SYMBOL);
	assert_int_equal(response->original_request->file_containing_symbol.len, 7);
	assert_memory_equal(response->original_request->file_containing_symbol.data, "no\0such", 7);
	call_end(&call);
}

static void a_file_comes_with_what_it_imports_once_in_a_stream(void **state)
{
	struct grpc_call call;

	(void)state;
	begin(&call);
	assert_int_equal(files_of(ask(&call, FILE_NAMED, STR("imported.proto")), "imported.proto"),
			 2);
	assert_int_equal(files_of(ask(&call, SYMBOL, STR("test.shapes.Painter")), "shapes.proto"),
			 1);
	assert_int_equal(files_of(ask(&call, SYMBOL, STR("test.shapes.Outer")), "shapes.proto"), 1);
	call_end(&call);
	begin(&call); /* another stream knows nothing of it */
	assert_int_equal(files_of(ask(&call, SYMBOL, STR("test.shapes.RED")), "shapes.proto"), 3);
	call_end(&call);
}

static void extensions_are_told(void **state)
{
	Reflection__ExtensionRequest wanted = REFLECTION__EXTENSION_REQUEST__INIT;
	Reflection__Request request = REFLECTION__REQUEST__INIT;
	const Reflection__Response *response;
	struct grpc_call call;

	(void)state;
	begin(&call);
	wanted.containing_type = binary(STR("test.shapes.Outer"));
	wanted.extension_number = 110;
	request.wanted_case = REFLECTION__REQUEST__WANTED_FILE_CONTAINING_EXTENSION;
	request.file_containing_extension = &wanted;
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(files_of(call.sent[0], "shapes.proto"), 3);
	response = ask(&call, EXTENSIONS, STR("test.shapes.Outer"));
	assert_int_equal(response->found_case, FOUND_EXTENS);
	assert_true(equal(response->extension_numbers->base_type_name, "test.shapes.Outer"));
	assert_int_equal(response->extension_numbers->n_extension_number, 3);
	assert_int_equal(response->extension_numbers->extension_number[0], 110);
	response = ask(&call, EXTENSIONS, STR("test.imported.Leaf"));
	assert_int_equal(response->found_case, FOUND_EXTENS);
	assert_int_equal(response->extension_numbers->n_extension_number, 0);
	wanted.extension_number = 111;
	assert_true(call_receive(&call, &request.base));
	response = call.sent[call.n_sent - 1];
	assert_int_equal(response->found_case, FOUND_ERROR);
	assert_int_equal(response->error->code, GRPC_NOT_FOUND);
	assert_int_equal(response->original_request->file_containing_extension->extension_number,
			 111);
	call_end(&call);
}

static void what_there_is_not_is_an_error_in_a_stream_that_goes_on(void **state)
{
	static const Reflection__Request__WantedCase kinds[] = { FILE_NAMED, SYMBOL, EXTENSIONS };
	struct grpc_call call;

	(void)state;
	begin(&call);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const Reflection__Response *response = ask(&call, kinds[i], STR("nothing"));

		assert_int_equal(response->found_case, FOUND_ERROR);
		assert_int_equal(response->error->code, GRPC_NOT_FOUND);
		assert_true(response->error->message.len > 0);
		assert_false(call.finished);
	}
	call_half_close(&call);
	assert_int_equal(call.status, GRPC_OK);
	call_end(&call);
}

static void a_request_for_nothing_is_invalid(void **state)
{
	Reflection__Request request = REFLECTION__REQUEST__INIT;
	struct grpc_call call;

	(void)state;
	begin(&call);
	assert_true(call_receive(&call, &request.base));
	assert_int_equal(call.n_sent, 0);
	assert_int_equal(call.status, GRPC_INVALID_ARGUMENT);
	call_end(&call);
}

static void text_that_is_not_utf8_is_not_valid(void **state)
{
	static const Reflection__Request__WantedCase kinds[] = { FILE_NAMED, SYMBOL, EXTENSIONS,
								 LIST };
	Reflection__ExtensionRequest wanted = REFLECTION__EXTENSION_REQUEST__INIT;
	Reflection__Request request = REFLECTION__REQUEST__INIT;
	struct grpc_call call;

	(void)state;
	begin(&call);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		request.wanted_case = kinds[i];
		request.file_by_filename = binary(STR("\xc0\x80"));
		assert_false(call_receive(&call, &request.base));
	}
	wanted.containing_type = binary(STR("\xc0\x80"));
	request.wanted_case = REFLECTION__REQUEST__WANTED_FILE_CONTAINING_EXTENSION;
	request.file_containing_extension = &wanted;
	assert_false(call_receive(&call, &request.base));
	request.wanted_case = LIST;
	request.list_services = binary(STR(""));
	request.host = binary(STR("\xff"));
	assert_false(call_receive(&call, &request.base));
	call_end(&call);
}

static void who_does_not_read_is_not_read_from(void **state)
{
	struct grpc_call call;

	(void)state;
	begin(&call);
	call.send_result = 1;
	ask(&call, LIST, STR(""));
	assert_true(call.held);
	call_drained(&call);
	assert_false(call.held);
	assert_int_equal(call.n_next, 1);
	ask(&call, LIST, STR(""));
	assert_false(call.held);
	call_end(&call);
}

static void a_stream_that_nobody_ends_holds_up_no_drain(void **state)
{
	struct grpc_call call;

	(void)state;
	begin(&call);
	ask(&call, LIST, STR(""));
	call.method->events->draining(&call);
	assert_int_equal(call.status, GRPC_UNAVAILABLE);
	call_end(&call);
}

static void v1alpha_is_v1_by_another_name(void **state)
{
	(void)state;
	assert_string_equal(reflection_service.name, "grpc.reflection.v1.ServerReflection");
	assert_string_equal(reflection_v1alpha_service.name,
			    "grpc.reflection.v1alpha.ServerReflection");
	assert_ptr_equal(reflection_service.methods, reflection_v1alpha_service.methods);
}

static void a_malformed_set_is_refused(void **state)
{
	static struct reflection reflection;

	(void)state;
	assert_false(reflection_init(&reflection,
				     (struct bytes){ shapes_set.data, shapes_set.len - 1 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_are_listed_sorted_and_with_reflection_itself),
		cmocka_unit_test(host_and_request_come_back),
		cmocka_unit_test(a_file_comes_with_what_it_imports_once_in_a_stream),
		cmocka_unit_test(extensions_are_told),
		cmocka_unit_test(what_there_is_not_is_an_error_in_a_stream_that_goes_on),
		cmocka_unit_test(a_request_for_nothing_is_invalid),
		cmocka_unit_test(text_that_is_not_utf8_is_not_valid),
		cmocka_unit_test(who_does_not_read_is_not_read_from),
		cmocka_unit_test(a_stream_that_nobody_ends_holds_up_no_drain),
		cmocka_unit_test(v1alpha_is_v1_by_another_name),
		cmocka_unit_test(a_malformed_set_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

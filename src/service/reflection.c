/*
 * The happy path: a request -> looked up -> one response, in order -> the client
 * ends its side -> OK. Above the high-water mark of what waits to be sent the
 * request is held until that has drained.
 *
 * What can fail: a name that there is not (an error in the response, and the
 * stream goes on); a request that asks for nothing (INVALID_ARGUMENT).
 */
#include "service/reflection.h"

#include <assert.h>

#include "base/utf8.h"
#include "reflection.pb-c.h"

/* The state of a stream. */
struct reflecting {
	uint64_t sent; /* files, as descriptors_closure() has them */
	bool held;
};

static struct str str_of(ProtobufCBinaryData data)
{
	return (struct str){ (const char *)data.data, data.len };
}

static ProtobufCBinaryData binary(struct str text)
{
	union {
		const char *given;
		uint8_t *taken;
	} either = { .given = text.data };

	return (ProtobufCBinaryData){ .len = text.len, .data = either.taken };
}

/* -- Responses: each is sent from the stack -- */

static int respond(struct grpc_call *call, Reflection__Response *response)
{
	struct reflecting *reflecting = grpc_call_state(call);
	int rv = grpc_call_send(call, response);

	if (rv > 0) {
		reflecting->held = true;
		grpc_call_hold(call);
	}
	return rv;
}

static void respond_error(struct grpc_call *call, Reflection__Response *response, const char *text)
{
	Reflection__Error error = REFLECTION__ERROR__INIT;

	error.code = GRPC_NOT_FOUND;
	error.message = binary(str_from(text));
	response->found_case = REFLECTION__RESPONSE__FOUND_ERROR;
	response->error = &error;
	respond(call, response);
}

/* `file`: an index, or negative where there is none, and then `otherwise` says what. */
static void respond_file(struct grpc_call *call, Reflection__Response *response, int file,
			 const char *otherwise)
{
	const struct reflection *reflection = grpc_call_context(call);
	struct reflecting *reflecting = grpc_call_state(call);
	Reflection__FileDescriptors found = REFLECTION__FILE_DESCRIPTORS__INIT;
	ProtobufCBinaryData contents[DESCRIPTORS_MAX_FILES];
	size_t files[DESCRIPTORS_MAX_FILES];

	if (file < 0) {
		respond_error(call, response, otherwise);
		return;
	}
	found.n_file = descriptors_closure(&reflection->descriptors, (size_t)file,
					   &reflecting->sent, files);
	for (size_t i = 0; i < found.n_file; i++) {
		struct bytes content = reflection->descriptors.files[files[i]].content;

		contents[i] = binary((struct str){ (const char *)content.data, content.len });
	}
	found.file = contents;
	response->found_case = REFLECTION__RESPONSE__FOUND_FILE_DESCRIPTORS;
	response->file_descriptors = &found;
	respond(call, response);
}

static void respond_numbers(struct grpc_call *call, Reflection__Response *response,
			    ProtobufCBinaryData type)
{
	const struct reflection *reflection = grpc_call_context(call);
	Reflection__ExtensionNumbers found = REFLECTION__EXTENSION_NUMBERS__INIT;
	int32_t numbers[DESCRIPTORS_MAX_EXTENSIONS];
	int n = descriptors_extension_numbers(&reflection->descriptors, str_of(type), numbers);

	if (n < 0) {
		respond_error(call, response, "no message type of this name");
		return;
	}
	found.base_type_name = type;
	found.n_extension_number = (size_t)n;
	found.extension_number = numbers;
	response->found_case = REFLECTION__RESPONSE__FOUND_EXTENSION_NUMBERS;
	response->extension_numbers = &found;
	respond(call, response);
}

static void respond_services(struct grpc_call *call, Reflection__Response *response)
{
	const struct reflection *reflection = grpc_call_context(call);
	Reflection__Services found = REFLECTION__SERVICES__INIT;
	Reflection__Services__Service services[REFLECTION_MAX_SERVICES];
	Reflection__Services__Service *pointers[REFLECTION_MAX_SERVICES];

	for (size_t i = 0; i < reflection->n_services; i++) {
		reflection__services__service__init(&services[i]);
		services[i].name = binary(reflection->services[i]);
		pointers[i] = &services[i];
	}
	found.n_service = reflection->n_services;
	found.service = pointers;
	response->found_case = REFLECTION__RESPONSE__FOUND_SERVICES;
	response->services = &found;
	respond(call, response);
}

/* -- The service -- */

static void on_message(struct grpc_call *call, const void *message)
{
	const struct reflection *reflection = grpc_call_context(call);
	const struct descriptors *descriptors = &reflection->descriptors;
	const Reflection__Request *request = message;
	const Reflection__ExtensionRequest *extension;
	Reflection__Response response = REFLECTION__RESPONSE__INIT;
	union {
		const void *given;
		Reflection__Request *taken;
	} original = { .given = message };

	response.valid_host = request->host;
	response.original_request = original.taken;
	switch (request->wanted_case) {
	case REFLECTION__REQUEST__WANTED_FILE_BY_FILENAME:
		respond_file(call, &response,
			     descriptors_find_file(descriptors, str_of(request->file_by_filename)),
			     "no file of this name");
		break;
	case REFLECTION__REQUEST__WANTED_FILE_CONTAINING_SYMBOL:
		respond_file(call, &response,
			     descriptors_find_symbol(descriptors,
						     str_of(request->file_containing_symbol)),
			     "no symbol of this name");
		break;
	case REFLECTION__REQUEST__WANTED_FILE_CONTAINING_EXTENSION:
		extension = request->file_containing_extension;
		respond_file(call, &response,
			     descriptors_find_extension(descriptors,
							str_of(extension->containing_type),
							extension->extension_number),
			     "no extension of this type and number");
		break;
	case REFLECTION__REQUEST__WANTED_ALL_EXTENSION_NUMBERS_OF_TYPE:
		respond_numbers(call, &response, request->all_extension_numbers_of_type);
		break;
	case REFLECTION__REQUEST__WANTED_LIST_SERVICES:
		respond_services(call, &response);
		break;
	default:
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
				 "the request asks for nothing that is known");
		break;
	}
}

static void on_writable(struct grpc_call *call)
{
	struct reflecting *reflecting = grpc_call_state(call);

	if (reflecting->held) {
		reflecting->held = false;
		grpc_call_next(call);
	}
}

static void on_half_closed(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_OK, NULL);
}

/* Clients keep the stream open for as long as they live. */
static void on_draining(struct grpc_call *call)
{
	grpc_call_finish(call, GRPC_UNAVAILABLE, "the connection is going away");
}

/* The published messages have `string` there. */
static bool valid(const void *message)
{
	const Reflection__Request *request = message;
	ProtobufCBinaryData text = { 0 };

	switch (request->wanted_case) {
	case REFLECTION__REQUEST__WANTED_FILE_BY_FILENAME:
		text = request->file_by_filename;
		break;
	case REFLECTION__REQUEST__WANTED_FILE_CONTAINING_SYMBOL:
		text = request->file_containing_symbol;
		break;
	case REFLECTION__REQUEST__WANTED_FILE_CONTAINING_EXTENSION:
		text = request->file_containing_extension->containing_type;
		break;
	case REFLECTION__REQUEST__WANTED_ALL_EXTENSION_NUMBERS_OF_TYPE:
		text = request->all_extension_numbers_of_type;
		break;
	case REFLECTION__REQUEST__WANTED_LIST_SERVICES:
		text = request->list_services;
		break;
	default:
		break;
	}
	return utf8_valid(str_of(request->host)) && utf8_valid(str_of(text));
}

static const struct grpc_call_events events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.writable = on_writable,
	.draining = on_draining,
};

static const struct grpc_method methods[] = {
	{
		.name = "ServerReflectionInfo",
		.shape = GRPC_BIDI_STREAM,
		.request = &reflection__request__descriptor,
		.response = &reflection__response__descriptor,
		.events = &events,
		.state_size = sizeof(struct reflecting),
		.valid = valid,
	},
};

const struct grpc_service reflection_service = {
	.name = "grpc.reflection.v1.ServerReflection",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

const struct grpc_service reflection_v1alpha_service = {
	.name = "grpc.reflection.v1alpha.ServerReflection",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

bool reflection_init(struct reflection *ret, struct bytes set)
{
	ret->n_services = 0;
	return descriptors_init(&ret->descriptors, set);
}

void reflection_add(struct reflection *reflection, const char *service)
{
	size_t at = reflection->n_services;

	assert(at < REFLECTION_MAX_SERVICES);
	while (at > 0 && strcmp(reflection->services[at - 1].data, service) > 0) {
		reflection->services[at] = reflection->services[at - 1];
		at--;
	}
	reflection->services[at] = str_from(service);
	reflection->n_services++;
	(void)descriptors_show(&reflection->descriptors, str_from(service));
}

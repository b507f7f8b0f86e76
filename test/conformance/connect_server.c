/*
 * The server that connectrpc/conformance tests. It reads one ServerCompatRequest,
 * writes where it listens, and serves connectrpc.conformance.v1.ConformanceService:
 * each call says in its first request how it wants to be answered, and the answer
 * tells what was seen of the call.
 *
 * The happy path: opened -> message (recorded; the first holds the script) ->
 * half_closed -> response, after a delay -> ... -> finished as the script says. In
 * full duplex each message is held until its response has gone out.
 *
 * Requests are taken as bytes, since the answer quotes them as they came.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/timers.h"
#include "common.h"
#include "grpc/server.h"
#include "host.h"
#include "messages.h"

/* How to answer: both kinds of definition, read alike. */
struct script {
	Conformance__Header **headers, **trailers;
	size_t n_headers, n_trailers;
	const ProtobufCBinaryData *data; /* of each response */
	size_t n_data;
	const Conformance__Error *error;
	int64_t delay_ns;
	bool full_duplex;
};

/* The state of a call. */
struct answer {
	struct grpc_call *call;
	struct arena arena;
	struct script script;
	bool scripted;
	struct buffer requests; /* of ProtobufCBinaryData: each an Any */
	struct timer delay;
	size_t n_sent;
	bool half_closed;
};

/* -- What was seen -- */

static void record(struct answer *answer, struct bytes request)
{
	static const char *const types[] = {
		[GRPC_UNARY] = "UnaryRequest",
		[GRPC_CLIENT_STREAM] = "ClientStreamRequest",
		[GRPC_SERVER_STREAM] = "ServerStreamRequest",
		[GRPC_BIDI_STREAM] = "BidiStreamRequest",
	};
	const char *type = types[grpc_call_method(answer->call)->shape];
	ProtobufCBinaryData any = any_pack(&answer->arena, type, request);

	if (buffer_append(&answer->requests, &any, sizeof(any)) < 0) {
		die("out of memory");
	}
}

static Conformance__RequestInfo *request_info(struct answer *answer)
{
	Conformance__RequestInfo *info = take(&answer->arena, sizeof(*info));
	struct bytes requests = buffer_bytes(&answer->requests);

	conformance__request_info__init(info);
	info->n_requests = requests.len / sizeof(*info->requests);
	info->requests = take(&answer->arena, requests.len);
	memcpy(info->requests, requests.data ? requests.data : (const uint8_t *)"", requests.len);
	if (answer->n_sent == 0) {
		int64_t deadline_ns = grpc_call_deadline_ns(answer->call);

		info->n_request_headers = headers_from_metadata(
			&answer->arena, grpc_call_metadata(answer->call), &info->request_headers);
		if (deadline_ns != INT64_MAX) {
			int64_t left_ns = deadline_ns - timers_now(grpc_call_timers(answer->call));

			info->_timeout_ms_case = CONFORMANCE__REQUEST_INFO___TIMEOUT_MS_TIMEOUT_MS;
			info->timeout_ms = MAX(left_ns, 0) / NS_PER_MS;
		}
	}
	return info;
}

/* -- The answer -- */

static void add_metadata(struct answer *answer, Conformance__Header *const *headers, size_t n,
			 int (*add)(struct grpc_call *, struct str, struct str))
{
	struct metadata metadata = metadata_from_headers(&answer->arena, headers, n);

	for (const struct metadata_entry *entry = metadata.first; entry; entry = entry->next) {
		if (add(answer->call, entry->name, entry->value) < 0) {
			die("cannot send %.*s", STR_ARG(entry->name));
		}
	}
}

static void announce(struct answer *answer)
{
	const struct script *script = &answer->script;

	add_metadata(answer, script->headers, script->n_headers, grpc_call_add_header);
	add_metadata(answer, script->trailers, script->n_trailers, grpc_call_add_trailer);
}

static void send_response(struct answer *answer)
{
	Conformance__Payload payload = CONFORMANCE__PAYLOAD__INIT;
	Conformance__Response response = CONFORMANCE__RESPONSE__INIT;

	response.payload = &payload;
	payload.data = answer->script.data[answer->n_sent];
	if (answer->n_sent == 0 || (answer->script.full_duplex && !answer->half_closed)) {
		payload.request_info = request_info(answer);
		buffer_clear(&answer->requests);
	}
	answer->n_sent++;
	/* Whether there is room for more does not matter: the responses are few. */
	(void)grpc_call_send(answer->call, &response);
}

static void finish(struct answer *answer)
{
	const Conformance__Error *error = answer->script.error;
	Conformance__Status status = CONFORMANCE__STATUS__INIT;
	ProtobufCBinaryData details;

	if (!error) {
		grpc_call_finish(answer->call, GRPC_OK, NULL);
		return;
	}
	status.code = error->code;
	if (error->_message_case == CONFORMANCE__ERROR___MESSAGE_MESSAGE) {
		status.message = error->message;
	}
	status.details = take(&answer->arena, (error->n_details + 1) * sizeof(*status.details));
	for (; status.n_details < error->n_details; status.n_details++) {
		status.details[status.n_details] = error->details[status.n_details];
	}
	if (answer->n_sent == 0) {
		ProtobufCBinaryData info =
			message_pack(&answer->arena, &request_info(answer)->base);

		status.details[status.n_details++] =
			any_pack(&answer->arena, "ConformancePayload.RequestInfo", bytes_of(info));
	}
	details = message_pack(&answer->arena, &status.base);
	grpc_call_finish_details(answer->call, (enum grpc_status)error->code,
				 (struct str){ (char *)status.message.data, status.message.len },
				 status.n_details ? bytes_of(details) : (struct bytes){ 0 });
}

static bool responses_are_left(const struct answer *answer)
{
	return answer->n_sent < answer->script.n_data;
}

/* After the last request: what is still to be sent, each after its delay; then the end. */
static void go_on(struct answer *answer)
{
	bool single = !grpc_shape_streams_responses(grpc_call_method(answer->call)->shape);

	if (responses_are_left(answer) || (single && answer->n_sent == 0)) {
		timer_start(grpc_call_timers(answer->call), &answer->delay,
			    answer->script.delay_ns);
	} else {
		finish(answer);
	}
}

static void on_delay(struct timer *timer)
{
	struct answer *answer = container_of(timer, struct answer, delay);

	if (!responses_are_left(answer)) {
		finish(answer); /* the error of a call with a single response */
		return;
	}
	send_response(answer);
	if (answer->half_closed) {
		go_on(answer);
	} else {
		grpc_call_next(answer->call);
	}
}

/* -- The script -- */

/* False: the request is none. */
static bool read_single(struct answer *answer, struct bytes request)
{
	static const ProtobufCBinaryData nothing = { 0 };
	const Conformance__SingleRequest *message =
		message_unpack(&answer->arena, &conformance__single_request__descriptor, request);
	const Conformance__UnaryResponseDefinition *definition;

	if (!message) {
		return false;
	}
	definition = message->response_definition;
	answer->script.data = &nothing;
	answer->script.n_data = 1;
	if (!definition) {
		return true;
	}
	answer->script.headers = definition->response_headers;
	answer->script.n_headers = definition->n_response_headers;
	answer->script.trailers = definition->response_trailers;
	answer->script.n_trailers = definition->n_response_trailers;
	answer->script.delay_ns = definition->response_delay_ms * NS_PER_MS;
	switch ((int)definition->response_case) {
	case CONFORMANCE__UNARY_RESPONSE_DEFINITION__RESPONSE_RESPONSE_DATA:
		answer->script.data = &definition->response_data;
		break;
	case CONFORMANCE__UNARY_RESPONSE_DEFINITION__RESPONSE_ERROR:
		answer->script.error = definition->error;
		answer->script.n_data = 0;
		break;
	}
	return true;
}

static void follow(struct script *script, const Conformance__StreamResponseDefinition *definition)
{
	if (!definition) {
		return;
	}
	script->headers = definition->response_headers;
	script->n_headers = definition->n_response_headers;
	script->trailers = definition->response_trailers;
	script->n_trailers = definition->n_response_trailers;
	script->data = definition->response_data;
	script->n_data = definition->n_response_data;
	script->error = definition->error;
	script->delay_ns = definition->response_delay_ms * NS_PER_MS;
}

static bool read_stream(struct answer *answer, struct bytes request)
{
	if (grpc_call_method(answer->call)->shape == GRPC_SERVER_STREAM) {
		const Conformance__ServerStreamRequest *message = message_unpack(
			&answer->arena, &conformance__server_stream_request__descriptor, request);

		if (message) {
			follow(&answer->script, message->response_definition);
		}
		return message;
	}

	const Conformance__BidiStreamRequest *message = message_unpack(
		&answer->arena, &conformance__bidi_stream_request__descriptor, request);

	if (message) {
		answer->script.full_duplex = message->full_duplex;
		follow(&answer->script, message->response_definition);
	}
	return message;
}

static bool read_script(struct answer *answer, struct bytes request)
{
	bool streams = grpc_shape_streams_responses(grpc_call_method(answer->call)->shape);

	answer->scripted = true;
	if (!(streams ? read_stream : read_single)(answer, request)) {
		grpc_call_finish(answer->call, GRPC_INVALID_ARGUMENT, "this is not the request");
		return false;
	}
	announce(answer);
	if (streams) {
		/* They are waited for, however long the first response takes. */
		(void)grpc_call_send_headers(answer->call);
	}
	return true;
}

/* -- Upcalls -- */

static void on_opened(struct grpc_call *call)
{
	struct answer *answer = grpc_call_state(call);

	answer->call = call;
	arena_open(&answer->arena);
	timer_init(&answer->delay, on_delay);
	grpc_call_compress(call, true);
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct answer *answer = grpc_call_state(call);
	const struct bytes *request = message;

	record(answer, *request);
	if (!answer->scripted && !read_script(answer, *request)) {
		return;
	}
	if (!answer->script.full_duplex) {
		return;
	}
	if (responses_are_left(answer)) {
		grpc_call_hold(call);
		timer_start(grpc_call_timers(call), &answer->delay, answer->script.delay_ns);
	} else {
		finish(answer);
	}
}

static void on_half_closed(struct grpc_call *call)
{
	struct answer *answer = grpc_call_state(call);

	answer->half_closed = true;
	if (!answer->scripted && !read_script(answer, (struct bytes){ 0 })) {
		return;
	}
	go_on(answer);
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct answer *answer = grpc_call_state(call);

	(void)outcome;
	timer_stop(grpc_call_timers(call), &answer->delay);
	buffer_free(&answer->requests);
	arena_reset(&answer->arena);
}

static const struct grpc_call_events events = {
	.opened = on_opened,
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_closed,
};

#define METHOD(NAME, SHAPE)                                      \
	{                                                        \
		.name = NAME, .shape = SHAPE, .events = &events, \
		.response = &conformance__response__descriptor,  \
		.state_size = sizeof(struct answer),             \
	}

static const struct grpc_method methods[] = {
	METHOD("Unary", GRPC_UNARY),
	METHOD("ClientStream", GRPC_CLIENT_STREAM),
	METHOD("ServerStream", GRPC_SERVER_STREAM),
	METHOD("BidiStream", GRPC_BIDI_STREAM),
};

static const struct grpc_service service = {
	.name = "connectrpc.conformance.v1.ConformanceService",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

int main(void)
{
	static const struct grpc_server_meters meters = { 0 };
	struct grpc_server_limits limits = grpc_server_default_limits;
	struct grpc_server_options options = { .limits = &limits, .meters = &meters };
	const Conformance__ServerCompatRequest *request;
	Conformance__ServerCompatResponse response = CONFORMANCE__SERVER_COMPAT_RESPONSE__INIT;
	struct grpc_server *server;
	struct arena arena;
	struct host host;

	arena_open(&arena);
	request =
		message_read(STDIN_FILENO, &arena, &conformance__server_compat_request__descriptor);
	if (!request) {
		die("standard input is empty: the runner of connectrpc/conformance starts this");
	}
	if (request->message_receive_limit) {
		limits.max_message_bytes = request->message_receive_limit;
	}
	host_init(&host);
	options.timers = loop_timers(host.loop);
	server = grpc_server_new(&options);
	if (!server || grpc_server_add(server, &service, NULL, NULL) < 0) {
		die("out of memory");
	}
	response.port = host_listen(&host, server);
	response.host = (char *)(uintptr_t) "127.0.0.1";
	message_write(STDOUT_FILENO, &response.base);
	host_run(&host);
	grpc_server_free(server);
	host_deinit(&host);
	arena_reset(&arena);
	return 0;
}

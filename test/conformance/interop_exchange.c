/*
 * The happy path: call -> a request (in ping-pong: after the response to the one
 * before) -> ... -> half-close -> responses, each compared with what was asked for ->
 * closed: status, number of responses and metadata are compared, `ended`.
 *
 * What is wrong first is what `ended` hears of; the call goes on all the same.
 */
#include "interop_exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "interop.pb-c.h"

/* A server that says nothing for this long will not say anything. */
#define PATIENCE_NS (60 * NS_PER_S)

#define ECHO_INITIAL  STR_INIT("x-grpc-test-echo-initial")
#define ECHO_TRAILING STR_INIT("x-grpc-test-echo-trailing-bin")

struct exchange {
	const struct step *step;
	exchange_ended *ended;
	void *user;
	struct grpc_call *call;
	struct arena arena;
	size_t n_sent, n_received;
	char wrong[512]; /* "": nothing so far */
};

/* -- The service -- */

#define METHOD(NAME, SHAPE, REQUEST, RESPONSE)                                              \
	{                                                                                   \
		.name = NAME, .shape = SHAPE, .request = &interop__##REQUEST##__descriptor, \
		.response = &interop__##RESPONSE##__descriptor,                             \
	}

static const struct grpc_method methods[] = {
	[INTEROP_EMPTY] = METHOD("EmptyCall", GRPC_UNARY, empty, empty),
	[INTEROP_UNARY] = METHOD("UnaryCall", GRPC_UNARY, simple_request, simple_response),
	[INTEROP_STREAMING_INPUT] = METHOD("StreamingInputCall", GRPC_CLIENT_STREAM,
					   streaming_input_request, streaming_input_response),
	[INTEROP_STREAMING_OUTPUT] = METHOD("StreamingOutputCall", GRPC_SERVER_STREAM,
					    streaming_output_request, streaming_output_response),
	[INTEROP_FULL_DUPLEX] = METHOD("FullDuplexCall", GRPC_BIDI_STREAM, streaming_output_request,
				       streaming_output_response),
	[INTEROP_UNIMPLEMENTED_METHOD] = METHOD("UnimplementedCall", GRPC_UNARY, empty, empty),
	[INTEROP_UNIMPLEMENTED_SERVICE] = METHOD("UnimplementedCall", GRPC_UNARY, empty, empty),
};

static const struct grpc_service test_service = {
	.name = "grpc.testing.TestService",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

static const struct grpc_service unimplemented_service = {
	.name = "grpc.testing.UnimplementedService",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

/* -- What is wrong -- */

static void complain(struct exchange *exchange, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void complain(struct exchange *exchange, const char *format, ...)
{
	va_list arguments;
	int used;

	if (exchange->wrong[0]) {
		return;
	}
	used = snprintf(exchange->wrong, sizeof(exchange->wrong),
			"%s: ", methods[exchange->step->method].name);
	va_start(arguments, format);
	vsnprintf(exchange->wrong + used, sizeof(exchange->wrong) - (size_t)used, format,
		  arguments);
	va_end(arguments);
}

/* The response that is due: they come in the order in which they were asked for. */
static const struct asked_response *due_response(const struct exchange *exchange)
{
	size_t index = exchange->n_received;

	for (size_t i = 0; i < exchange->step->n_requests; i++) {
		const struct request *request = &exchange->step->requests[i];

		if (index < request->n_responses) {
			return &request->responses[index];
		}
		index -= request->n_responses;
	}
	return NULL;
}

static void check_payload(struct exchange *exchange, const Interop__Payload *payload)
{
	const struct asked_response *asked = due_response(exchange);
	size_t size = payload ? payload->body.len : 0;
	bool compressed = grpc_call_was_compressed(exchange->call);

	if (!asked) {
		complain(exchange, "response %zu was not asked for", exchange->n_received + 1);
	} else if (size != (size_t)asked->size) {
		complain(exchange, "response %zu is of %zu bytes, not %d", exchange->n_received + 1,
			 size, asked->size);
	} else if (asked->compressed != UNSAID && compressed != (asked->compressed == YES)) {
		complain(exchange, "response %zu came %s", exchange->n_received + 1,
			 compressed ? "compressed" : "uncompressed");
	}
}

static void check_aggregate(struct exchange *exchange, int32_t aggregate)
{
	int32_t sum = 0;

	for (size_t i = 0; i < exchange->step->n_requests; i++) {
		sum += exchange->step->requests[i].size;
	}
	if (aggregate != sum) {
		complain(exchange, "the server counted %d bytes of %d", aggregate, sum);
	}
}

static void check_response(struct exchange *exchange, const void *message)
{
	switch (exchange->step->method) {
	case INTEROP_UNARY:
		check_payload(exchange, ((const Interop__SimpleResponse *)message)->payload);
		break;
	case INTEROP_STREAMING_OUTPUT:
	case INTEROP_FULL_DUPLEX:
		check_payload(exchange,
			      ((const Interop__StreamingOutputResponse *)message)->payload);
		break;
	case INTEROP_STREAMING_INPUT:
		check_aggregate(exchange, ((const Interop__StreamingInputResponse *)message)
						  ->aggregated_payload_size);
		break;
	default:
		break;
	}
}

static size_t responses_expected(const struct step *step)
{
	size_t n = 0;

	if (step->fails || (step->status != GRPC_OK && step->cancel != CANCEL_AFTER_RESPONSE)) {
		return 0;
	}
	if (step->method == INTEROP_EMPTY || step->method == INTEROP_STREAMING_INPUT) {
		return 1;
	}
	for (size_t i = 0; i < step->n_requests; i++) {
		n += step->requests[i].n_responses;
	}
	return n;
}

static const struct metadata_entry echoed[] = {
	{ ECHO_INITIAL, STR_INIT("test_initial_metadata_value"), NULL },
	{ ECHO_TRAILING, STR_INIT("\xab\xab\xab"), NULL },
};

static void check_metadata(struct exchange *exchange, const struct grpc_outcome *outcome)
{
	struct str initial = metadata_get(grpc_call_metadata(exchange->call), echoed[0].name);
	struct str trailing = { 0 };

	if (outcome->trailers) {
		trailing = metadata_get(outcome->trailers, echoed[1].name);
	}
	if (!initial.data || !str_equal(initial, echoed[0].value)) {
		complain(exchange, "the initial metadata did not come back");
	}
	if (!trailing.data || !str_equal(trailing, echoed[1].value)) {
		complain(exchange, "the trailing metadata did not come back");
	}
}

static void check_outcome(struct exchange *exchange, const struct grpc_outcome *outcome)
{
	const struct step *step = exchange->step;
	bool expected = step->fails ? outcome->status != GRPC_OK : outcome->status == step->status;

	if (!expected) {
		complain(exchange, "status %s (%.*s), not %s", grpc_status_name(outcome->status),
			 STR_ARG(outcome->message),
			 step->fails ? "a failure" : grpc_status_name(step->status));
	}
	if (step->message && !str_equal(outcome->message, str_from(step->message))) {
		complain(exchange, "message \"%.*s\", not \"%s\"", STR_ARG(outcome->message),
			 step->message);
	}
	if (exchange->n_received != responses_expected(step)) {
		complain(exchange, "%zu responses, not %zu", exchange->n_received,
			 responses_expected(step));
	}
	if (step->metadata) {
		check_metadata(exchange, outcome);
	}
}

/* -- Requests -- */

static Interop__BoolValue *choice_new(struct exchange *exchange, enum choice choice)
{
	Interop__BoolValue *value;

	if (choice == UNSAID) {
		return NULL;
	}
	value = take(&exchange->arena, sizeof(*value));
	interop__bool_value__init(value);
	value->value = choice == YES;
	return value;
}

static Interop__Payload *payload_new(struct exchange *exchange, int32_t size)
{
	Interop__Payload *payload;

	if (size == 0) {
		return NULL;
	}
	payload = take(&exchange->arena, sizeof(*payload));
	interop__payload__init(payload);
	payload->body.len = (size_t)size;
	payload->body.data = take(&exchange->arena, (size_t)size);
	return payload;
}

/* NULL: the step asks for no status. */
static Interop__EchoStatus *status_new(struct exchange *exchange)
{
	const struct step *step = exchange->step;
	Interop__EchoStatus *status;

	if (!step->message) {
		return NULL;
	}
	status = take(&exchange->arena, sizeof(*status));
	interop__echo_status__init(status);
	status->code = (int32_t)step->status;
	status->message.len = strlen(step->message);
	status->message.data = (uint8_t *)(uintptr_t)step->message;
	return status;
}

static void *simple_new(struct exchange *exchange, const struct request *request)
{
	Interop__SimpleRequest *message = take(&exchange->arena, sizeof(*message));

	interop__simple_request__init(message);
	message->payload = payload_new(exchange, request->size);
	message->expect_compressed = choice_new(exchange, request->expect_compressed);
	message->response_status = status_new(exchange);
	message->response_size = request->responses[0].size;
	message->response_compressed = choice_new(exchange, request->responses[0].compressed);
	return message;
}

static void *streaming_input_new(struct exchange *exchange, const struct request *request)
{
	Interop__StreamingInputRequest *message = take(&exchange->arena, sizeof(*message));

	interop__streaming_input_request__init(message);
	message->payload = payload_new(exchange, request->size);
	message->expect_compressed = choice_new(exchange, request->expect_compressed);
	return message;
}

static void *streaming_output_new(struct exchange *exchange, const struct request *request)
{
	Interop__StreamingOutputRequest *message = take(&exchange->arena, sizeof(*message));

	interop__streaming_output_request__init(message);
	message->payload = payload_new(exchange, request->size);
	message->response_status = status_new(exchange);
	message->response_parameters = take(
		&exchange->arena, request->n_responses * sizeof(*message->response_parameters));
	for (size_t i = 0; i < request->n_responses; i++) {
		Interop__ResponseParameters *one = take(&exchange->arena, sizeof(*one));

		interop__response_parameters__init(one);
		one->size = request->responses[i].size;
		one->compressed = choice_new(exchange, request->responses[i].compressed);
		message->response_parameters[message->n_response_parameters++] = one;
	}
	return message;
}

static void *empty_new(struct exchange *exchange)
{
	Interop__Empty *message = take(&exchange->arena, sizeof(*message));

	interop__empty__init(message);
	return message;
}

static void *request_new(struct exchange *exchange, const struct request *request)
{
	switch (exchange->step->method) {
	case INTEROP_UNARY:
		return simple_new(exchange, request);
	case INTEROP_STREAMING_INPUT:
		return streaming_input_new(exchange, request);
	case INTEROP_STREAMING_OUTPUT:
	case INTEROP_FULL_DUPLEX:
		return streaming_output_new(exchange, request);
	default:
		return empty_new(exchange);
	}
}

/* -- The call -- */

static void end_requests(struct exchange *exchange)
{
	if (exchange->step->cancel == CANCEL_AT_ONCE) {
		grpc_call_cancel(exchange->call, GRPC_CANCELLED);
	} else if (!exchange->step->stays_open) {
		grpc_call_half_close(exchange->call);
	}
}

/* As many as may leave now, and the end of them. */
static void send_requests(struct exchange *exchange)
{
	const struct step *step = exchange->step;

	while (exchange->n_sent < step->n_requests) {
		const struct request *request = &step->requests[exchange->n_sent];
		int err;

		grpc_call_compress(exchange->call, request->compressed);
		err = grpc_call_send(exchange->call, request_new(exchange, request));
		if (err < 0) {
			return; /* the call has ended */
		}
		exchange->n_sent++;
		if (err > 0 || step->ping_pong) {
			return; /* `writable`, or the response, goes on */
		}
	}
	end_requests(exchange);
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct exchange *exchange = grpc_call_context(call);

	check_response(exchange, message);
	exchange->n_received++;
	if (exchange->step->cancel == CANCEL_AFTER_RESPONSE) {
		grpc_call_cancel(call, GRPC_CANCELLED);
	} else if (exchange->step->ping_pong) {
		send_requests(exchange);
	}
}

static void on_writable(struct grpc_call *call)
{
	struct exchange *exchange = grpc_call_context(call);

	if (!exchange->step->ping_pong) {
		send_requests(exchange);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct exchange *exchange = grpc_call_context(call);

	check_outcome(exchange, outcome);
	exchange->ended(exchange->user, exchange->wrong[0] ? exchange->wrong : NULL);
	arena_reset(&exchange->arena);
	free(exchange);
}

static const struct grpc_call_events events = {
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

void exchange_start(struct endpoint *endpoint, const struct step *step, exchange_ended *ended,
		    void *user)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	struct metadata_entry metadata[ARRAY_SIZE(echoed)] = { echoed[0], echoed[1] };
	const struct grpc_call_options options = {
		.timeout_ns = step->timeout_ns ? step->timeout_ns : PATIENCE_NS,
		.metadata = step->metadata ? metadata : NULL,
		.gzip = step->gzip,
	};

	if (!exchange) {
		die("out of memory");
	}
	exchange->step = step;
	exchange->ended = ended;
	exchange->user = user;
	arena_open(&exchange->arena);
	metadata[0].next = &metadata[1];
	exchange->call = grpc_channel_call(endpoint->channel,
					   step->method == INTEROP_UNIMPLEMENTED_SERVICE
						   ? &unimplemented_service
						   : &test_service,
					   &methods[step->method], &events, &options, exchange);
	if (!exchange->call) {
		die("out of memory");
	}
	send_requests(exchange);
}

/*
 * The client that connectrpc/conformance tests. It reads ClientCompatRequests from
 * standard input until that ends, makes the call that each describes on a connection
 * of its own, and writes what came of it to standard output.
 *
 * The happy path: read -> endpoint, call -> a request, after a delay (in full duplex:
 * after the response to the last one) -> ... -> half-close -> responses -> closed: the
 * result is written, the connection let go. Cancelling cuts in where the test says.
 *
 * What is there to be read is read and run together; standard input is not waited for
 * while calls are in progress, since no call depends on it.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"
#include "messages.h"

/* Enough to hide the tests' delays; few enough for one process's files and time. */
#define MAX_TOGETHER 16

struct test {
	struct list node;
	struct loop *loop;
	struct arena arena;
	const Conformance__ClientCompatRequest *request;
	struct endpoint endpoint;
	struct grpc_call *call;
	struct timer delay, cancel;
	struct loop_task done;
	size_t n_sent;
	bool streams;           /* requests: each after the delay */
	bool awaits_response;   /* full duplex, before the next request */
	struct buffer payloads; /* of ProtobufCBinaryData */
};

/* -- What came of it -- */

static void answer(const Conformance__ClientCompatRequest *request,
		   Conformance__ClientCompatResponse *response)
{
	response->test_name = request->test_name;
	message_write(STDOUT_FILENO, &response->base);
}

static void refuse(const Conformance__ClientCompatRequest *request, const char *why)
{
	Conformance__ClientCompatResponse response = CONFORMANCE__CLIENT_COMPAT_RESPONSE__INIT;
	Conformance__ClientErrorResult error = CONFORMANCE__CLIENT_ERROR_RESULT__INIT;

	error.message = (char *)(uintptr_t)why;
	response.result_case = CONFORMANCE__CLIENT_COMPAT_RESPONSE__RESULT_ERROR;
	response.error = &error;
	answer(request, &response);
}

static Conformance__Error *error_new(struct arena *arena, const struct grpc_outcome *outcome)
{
	Conformance__Error *error = take(arena, sizeof(*error));
	const Conformance__Status *status = NULL;

	conformance__error__init(error);
	error->code = (int32_t)outcome->status;
	error->_message_case = CONFORMANCE__ERROR___MESSAGE_MESSAGE;
	error->message = data_copy(arena, (struct bytes){ (const uint8_t *)outcome->message.data,
							  outcome->message.len });
	if (outcome->details.len > 0) {
		status = message_unpack(arena, &conformance__status__descriptor, outcome->details);
	}
	if (status) {
		error->n_details = status->n_details;
		error->details = status->details;
	}
	return error;
}

static void report(struct test *test, const struct grpc_outcome *outcome)
{
	Conformance__ClientCompatResponse response = CONFORMANCE__CLIENT_COMPAT_RESPONSE__INIT;
	Conformance__ClientResponseResult result = CONFORMANCE__CLIENT_RESPONSE_RESULT__INIT;

	result.n_response_headers = headers_from_metadata(
		&test->arena, grpc_call_metadata(test->call), &result.response_headers);
	if (outcome->trailers) {
		result.n_response_trailers = headers_from_metadata(&test->arena, outcome->trailers,
								   &result.response_trailers);
	}
	result.n_payloads = buffer_len(&test->payloads) / sizeof(*result.payloads);
	result.payloads = take(&test->arena, buffer_len(&test->payloads));
	for (size_t i = 0; i < result.n_payloads; i++) {
		memcpy(&result.payloads[i],
		       buffer_data(&test->payloads) + i * sizeof(*result.payloads),
		       sizeof(*result.payloads));
	}
	if (outcome->status != GRPC_OK) {
		result.error = error_new(&test->arena, outcome);
	}
	result.num_unsent_requests = (int32_t)(test->request->n_request_messages - test->n_sent);
	response.result_case = CONFORMANCE__CLIENT_COMPAT_RESPONSE__RESULT_RESPONSE;
	response.response = &result;
	answer(test->request, &response);
}

/* -- The call -- */

static void cancel(struct test *test)
{
	grpc_call_cancel(test->call, GRPC_CANCELLED);
}

static void on_cancel(struct timer *timer)
{
	cancel(container_of(timer, struct test, cancel));
}

static void end_requests(struct test *test)
{
	const Conformance__Cancel *when = test->request->cancel;

	if (when &&
	    when->cancel_timing_case == CONFORMANCE__CANCEL__CANCEL_TIMING_BEFORE_CLOSE_SEND) {
		cancel(test);
		return;
	}
	grpc_call_half_close(test->call);
	if (!when) {
		return;
	}
	switch ((int)when->cancel_timing_case) {
	case CONFORMANCE__CANCEL__CANCEL_TIMING_AFTER_CLOSE_SEND_MS:
		timer_start(loop_timers(test->loop), &test->cancel,
			    when->after_close_send_ms * NS_PER_MS);
		break;
	case CONFORMANCE__CANCEL__CANCEL_TIMING__NOT_SET:
		cancel(test);
		break;
	}
}

static void send_next(struct test *test);

static void send_request(struct test *test)
{
	const Conformance__Any *any = test->request->request_messages[test->n_sent];
	const struct bytes message = bytes_of(any->value);
	int err = grpc_call_send(test->call, &message);

	if (err < 0) {
		return; /* the call has ended */
	}
	test->n_sent++;
	test->awaits_response = test->request->stream_type ==
				CONFORMANCE__STREAM_TYPE__STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM;
	if (err == 0 && !test->awaits_response) {
		send_next(test);
	}
}

static void on_delay(struct timer *timer)
{
	send_request(container_of(timer, struct test, delay));
}

/* The next request, or the end of them. */
static void send_next(struct test *test)
{
	if (test->n_sent == test->request->n_request_messages) {
		end_requests(test);
	} else if (test->streams && test->request->request_delay_ms > 0) {
		timer_start(loop_timers(test->loop), &test->delay,
			    test->request->request_delay_ms * NS_PER_MS);
	} else {
		send_request(test);
	}
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct test *test = grpc_call_context(call);
	const Conformance__OpaqueResponse *response = message;
	const Conformance__Cancel *when = test->request->cancel;
	ProtobufCBinaryData payload = data_copy(&test->arena, bytes_of(response->payload));

	if (buffer_append(&test->payloads, &payload, sizeof(payload)) < 0) {
		die("out of memory");
	}
	if (when &&
	    when->cancel_timing_case == CONFORMANCE__CANCEL__CANCEL_TIMING_AFTER_NUM_RESPONSES &&
	    when->after_num_responses == buffer_len(&test->payloads) / sizeof(payload)) {
		cancel(test);
	} else if (test->awaits_response) {
		test->awaits_response = false;
		send_next(test);
	}
}

static void on_writable(struct grpc_call *call)
{
	struct test *test = grpc_call_context(call);

	if (!test->awaits_response) {
		send_next(test);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct test *test = grpc_call_context(call);

	report(test, outcome);
	timer_stop(loop_timers(test->loop), &test->delay);
	timer_stop(loop_timers(test->loop), &test->cancel);
	loop_schedule(test->loop, &test->done);
}

static void on_done(struct loop_task *task)
{
	endpoint_close(&container_of(task, struct test, done)->endpoint);
}

static const struct grpc_call_events events = {
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
};

/* -- A test, from its request -- */

#define METHOD(NAME, SHAPE)                                            \
	{                                                              \
		.name = NAME, .shape = SHAPE,                          \
		.response = &conformance__opaque_response__descriptor, \
	}

static const struct grpc_method methods[] = {
	METHOD("Unary", GRPC_UNARY),
	METHOD("Unimplemented", GRPC_UNARY),
	METHOD("ClientStream", GRPC_CLIENT_STREAM),
	METHOD("ServerStream", GRPC_SERVER_STREAM),
	METHOD("BidiStream", GRPC_BIDI_STREAM),
};

static const struct grpc_service service = {
	.name = "connectrpc.conformance.v1.ConformanceService",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

static const struct grpc_method *method_of(const Conformance__ClientCompatRequest *request)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(request->service, service.name) == 0 &&
		    strcmp(request->method, methods[i].name) == 0) {
			return &methods[i];
		}
	}
	return NULL;
}

static void start_call(struct test *test, const struct grpc_method *method)
{
	const Conformance__ClientCompatRequest *request = test->request;
	struct metadata metadata = metadata_from_headers(&test->arena, request->request_headers,
							 request->n_request_headers);
	struct grpc_call_options options = {
		.metadata = metadata.first,
		.gzip = request->compression == CONFORMANCE__COMPRESSION__COMPRESSION_GZIP,
	};

	if (request->_timeout_ms_case ==
	    CONFORMANCE__CLIENT_COMPAT_REQUEST___TIMEOUT_MS_TIMEOUT_MS) {
		/* 0 would be none. */
		options.timeout_ns = MAX(request->timeout_ms * NS_PER_MS, 1);
	}
	endpoint_open(&test->endpoint, test->loop, request->host, request->port,
		      request->message_receive_limit);
	test->streams = grpc_shape_streams_requests(method->shape);
	test->call = grpc_channel_call(test->endpoint.channel, &service, method, &events, &options,
				       test);
	if (!test->call) {
		die("out of memory");
	}
	send_next(test);
}

static void free_test(struct test *test)
{
	if (test->call) {
		endpoint_free(&test->endpoint);
	}
	buffer_free(&test->payloads);
	arena_reset(&test->arena);
	free(test);
}

/* NULL: no more input. */
static struct test *read_test(struct loop *loop)
{
	struct test *test = calloc(1, sizeof(*test));
	const struct grpc_method *method;

	if (!test) {
		die("out of memory");
	}
	test->loop = loop;
	arena_open(&test->arena);
	timer_init(&test->delay, on_delay);
	timer_init(&test->cancel, on_cancel);
	loop_task_init(&test->done, on_done);
	test->request = message_read(STDIN_FILENO, &test->arena,
				     &conformance__client_compat_request__descriptor);
	if (!test->request) {
		free_test(test);
		return NULL;
	}
	method = method_of(test->request);
	if (!method) {
		refuse(test->request, "no such method");
	} else if (!grpc_shape_streams_requests(method->shape) &&
		   test->request->n_request_messages != 1) {
		refuse(test->request, "this method takes one request");
	} else {
		start_call(test, method);
	}
	return test;
}

static bool more_is_there(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&input, 1, 0) == 1;
}

int main(void)
{
	struct loop *loop = loop_new();
	struct list tests = LIST_INIT(tests), *node;
	bool ended = false;

	if (!loop) {
		die("cannot make an event loop");
	}
	signal(SIGPIPE, SIG_IGN);
	while (!ended) {
		size_t n = 0;

		do {
			struct test *test = read_test(loop);

			ended = !test;
			if (test) {
				list_append(&tests, &test->node);
			}
		} while (!ended && ++n < MAX_TOGETHER && more_is_there());
		loop_run(loop);
		while ((node = list_pop(&tests))) {
			free_test(container_of(node, struct test, node));
		}
	}
	loop_free(loop);
	return 0;
}

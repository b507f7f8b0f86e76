/*
 * The happy path of what streams responses: a request says how many, how large
 * and how far apart -> they are owed -> each is sent when its time has come and
 * the peer reads -> nothing is owed: the next request, or OK.
 *
 * What can fail: what is asked for (INVALID_ARGUMENT, or RESOURCE_EXHAUSTED where
 * it is too much), memory (RESOURCE_EXHAUSTED).
 */
#include "service/interop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "interop.pb-c.h"

#define NO_MEMORY "no memory"

/* Of the list of owed responses, what stays once they are paid. */
#define OWED_KEEP_BYTES 512

/* -- What the methods have in common -- */

/* Two fields of the request's metadata come back, one in front and one behind. */
static void on_opened(struct grpc_call *call)
{
	const struct str initial = STR("x-grpc-test-echo-initial");
	const struct str trailing = STR("x-grpc-test-echo-trailing-bin");
	int rv = 0;

	for (const struct metadata_entry *entry = grpc_call_metadata(call)->first;
	     entry && rv != -ENOMEM; entry = entry->next) {
		if (str_equal(entry->name, initial)) {
			rv = grpc_call_add_header(call, entry->name, entry->value);
		} else if (str_equal(entry->name, trailing)) {
			rv = grpc_call_add_trailer(call, entry->name, entry->value);
		}
	}
	if (rv == -ENOMEM) { /* what may not be sent, -EINVAL, is left out */
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, NO_MEMORY);
	}
}

/* False: the call is over, because the request came otherwise than it says. */
static bool compressed_as_expected(struct grpc_call *call, const Interop__BoolValue *expected)
{
	if (!expected || (bool)expected->value == grpc_call_was_compressed(call)) {
		return true;
	}
	grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
			 expected->value ? "the request was to come compressed and did not"
					 : "the request came compressed and was not to");
	return false;
}

/* True: the call is over, because the request asks for a status. */
static bool finished_as_asked(struct grpc_call *call, const Interop__EchoStatus *status)
{
	if (!status || status->code == GRPC_OK) {
		return false;
	}
	if (status->code < 0 || status->code >= GRPC_STATUS_COUNT) {
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "there is no such status");
	} else {
		struct str message = { (const char *)status->message.data, status->message.len };

		grpc_call_finish_details(call, (enum grpc_status)status->code, message,
					 (struct bytes){ 0 });
	}
	return true;
}

/* False: the call is over. */
static bool size_allowed(struct grpc_call *call, int32_t size)
{
	if (size >= 0 && (size_t)size <= INTEROP_MAX_PAYLOAD) {
		return true;
	}
	grpc_call_finish(call, GRPC_INVALID_ARGUMENT,
			 size < 0 ? "a payload of less than nothing"
				  : "a payload of more than 4 MiB");
	return false;
}

static void fill(Interop__Payload *payload, const struct interop *interop, int32_t size)
{
	interop__payload__init(payload);
	payload->body.data = interop->zeros;
	payload->body.len = (size_t)size;
}

static bool valid_status(const Interop__EchoStatus *status)
{
	return !status ||
	       utf8_valid((struct str){ (const char *)status->message.data, status->message.len });
}

/* -- EmptyCall, UnaryCall, CacheableUnaryCall -- */

static void on_empty(struct grpc_call *call, const void *message)
{
	Interop__Empty response = INTEROP__EMPTY__INIT;

	(void)message;
	grpc_call_send(call, &response);
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_unary(struct grpc_call *call, const void *message)
{
	const Interop__SimpleRequest *request = message;
	Interop__SimpleResponse response = INTEROP__SIMPLE_RESPONSE__INIT;
	Interop__Payload payload;

	if (!compressed_as_expected(call, request->expect_compressed) ||
	    finished_as_asked(call, request->response_status) ||
	    !size_allowed(call, request->response_size)) {
		return;
	}
	if (request->response_compressed) {
		grpc_call_compress(call, request->response_compressed->value);
	}
	fill(&payload, grpc_call_context(call), request->response_size);
	response.payload = &payload;
	grpc_call_send(call, &response);
	grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_cacheable(struct grpc_call *call, const void *message)
{
	if (grpc_call_add_header(call, STR("cache-control"), STR("max-age=60, private")) < 0) {
		grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, NO_MEMORY);
		return;
	}
	on_unary(call, message);
}

static bool valid_unary(const void *message)
{
	return valid_status(((const Interop__SimpleRequest *)message)->response_status);
}

/* -- StreamingInputCall -- */

struct input {
	int32_t sum;
};

static void on_input(struct grpc_call *call, const void *message)
{
	const Interop__StreamingInputRequest *request = message;
	struct input *input = grpc_call_state(call);
	size_t len = request->payload ? request->payload->body.len : 0;

	if (compressed_as_expected(call, request->expect_compressed)) {
		/* the response has no room for more */
		input->sum = (int32_t)MIN((size_t)input->sum + len, (size_t)INT32_MAX);
	}
}

static void on_input_half_closed(struct grpc_call *call)
{
	const struct input *input = grpc_call_state(call);
	Interop__StreamingInputResponse response = INTEROP__STREAMING_INPUT_RESPONSE__INIT;

	response.aggregated_payload_size = input->sum;
	grpc_call_send(call, &response);
	grpc_call_finish(call, GRPC_OK, NULL);
}

/* -- StreamingOutputCall, FullDuplexCall, HalfDuplexCall -- */

struct owed {
	int32_t size, interval_us;
	bool compressed;
};

struct output {
	struct timer due;
	struct grpc_call *call; /* NULL: no request is in yet */
	struct buffer owed;     /* struct owed, in order */
	bool waited;            /* the interval of the first one is over */
	bool full;              /* what was sent waits for the peer to read */
	bool held;              /* a request, until all that it asked for was sent */
	bool last;              /* nothing more is asked for */
};

/* What the connection's peer makes us keep; a few are no matter. */
static size_t bytes_of(const struct buffer *owed)
{
	return owed->capacity > OWED_KEEP_BYTES ? owed->capacity : 0;
}

/* False: the call is over. */
static bool owe(struct output *output, const Interop__StreamingOutputRequest *request)
{
	struct grpc_call *call = output->call;

	for (size_t i = 0; i < request->n_response_parameters; i++) {
		const Interop__ResponseParameters *wanted = request->response_parameters[i];
		struct owed owed = { wanted->size, wanted->interval_us,
				     wanted->compressed && wanted->compressed->value };

		if (!size_allowed(call, owed.size)) {
			return false;
		}
		if (buffer_len(&output->owed) >= INTEROP_MAX_RESPONSES * sizeof(owed)) {
			grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many responses");
			return false;
		}
		if (buffer_append(&output->owed, &owed, sizeof(owed)) < 0) {
			grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, NO_MEMORY);
			return false;
		}
		if (owed.compressed) { /* the headers, which leave with the first, announce it */
			grpc_call_compress(call, true);
		}
	}
	return grpc_call_keeps(call, bytes_of(&output->owed));
}

/* Sends what may be sent now. True: nothing is owed any more, and the peer reads. */
static bool pay(struct output *output)
{
	while (buffer_len(&output->owed) > 0 && !output->full) {
		Interop__StreamingOutputResponse response =
			INTEROP__STREAMING_OUTPUT_RESPONSE__INIT;
		Interop__Payload payload;
		struct owed owed;
		int rv;

		memcpy(&owed, buffer_data(&output->owed), sizeof(owed));
		if (owed.interval_us > 0 && !output->waited) {
			output->waited = true;
			timer_start(grpc_call_timers(output->call), &output->due,
				    owed.interval_us * NS_PER_US);
			return false;
		}
		output->waited = false;
		buffer_consume(&output->owed, sizeof(owed));
		grpc_call_compress(output->call, owed.compressed);
		fill(&payload, grpc_call_context(output->call), owed.size);
		response.payload = &payload;
		rv = grpc_call_send(output->call, &response);
		if (rv < 0) {
			return false; /* the call is over */
		}
		output->full = rv > 0;
	}
	if (buffer_len(&output->owed) == 0 && bytes_of(&output->owed) > 0) {
		buffer_trim(&output->owed, OWED_KEEP_BYTES);
		(void)grpc_call_keeps(output->call, 0);
	}
	return !output->full && buffer_len(&output->owed) == 0;
}

static void proceed(struct output *output)
{
	if (timer_active(&output->due) || !pay(output)) {
		return;
	}
	if (output->last) {
		grpc_call_finish(output->call, GRPC_OK, NULL);
	} else if (output->held) {
		output->held = false;
		grpc_call_next(output->call);
	}
}

static void on_due(struct timer *timer)
{
	proceed(container_of(timer, struct output, due));
}

static bool accept(struct grpc_call *call, const Interop__StreamingOutputRequest *request)
{
	struct output *output = grpc_call_state(call);

	if (!output->call) {
		timer_init(&output->due, on_due);
		output->call = call;
	}
	return !finished_as_asked(call, request->response_status) && owe(output, request);
}

static void on_output(struct grpc_call *call, const void *message)
{
	struct output *output = grpc_call_state(call);

	output->last = true;
	if (accept(call, message)) {
		proceed(output);
	}
}

static void on_duplex(struct grpc_call *call, const void *message)
{
	struct output *output = grpc_call_state(call);

	if (accept(call, message) && !pay(output)) {
		output->held = true;
		grpc_call_hold(call);
	}
}

static void on_half_duplex(struct grpc_call *call, const void *message)
{
	(void)accept(call, message);
}

static void on_output_half_closed(struct grpc_call *call)
{
	struct output *output = grpc_call_state(call);

	if (!output->call) {
		grpc_call_finish(call, GRPC_OK, NULL);
		return;
	}
	output->last = true;
	proceed(output);
}

static void on_output_writable(struct grpc_call *call)
{
	struct output *output = grpc_call_state(call);

	output->full = false;
	proceed(output);
}

static void on_output_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct output *output = grpc_call_state(call);

	(void)outcome;
	if (output->call) {
		timer_stop(grpc_call_timers(call), &output->due);
		buffer_free(&output->owed);
	}
}

static bool valid_output(const void *message)
{
	return valid_status(((const Interop__StreamingOutputRequest *)message)->response_status);
}

/* -- The service -- */

static const struct grpc_call_events empty_events = { .opened = on_opened, .message = on_empty };
static const struct grpc_call_events unary_events = { .opened = on_opened, .message = on_unary };
static const struct grpc_call_events cacheable_events = {
	.opened = on_opened,
	.message = on_cacheable,
};
static const struct grpc_call_events input_events = {
	.opened = on_opened,
	.message = on_input,
	.half_closed = on_input_half_closed,
};
static const struct grpc_call_events output_events = {
	.opened = on_opened,
	.message = on_output,
	.writable = on_output_writable,
	.closed = on_output_closed,
};
static const struct grpc_call_events duplex_events = {
	.opened = on_opened,
	.message = on_duplex,
	.half_closed = on_output_half_closed,
	.writable = on_output_writable,
	.closed = on_output_closed,
};
static const struct grpc_call_events half_duplex_events = {
	.opened = on_opened,
	.message = on_half_duplex,
	.half_closed = on_output_half_closed,
	.writable = on_output_writable,
	.closed = on_output_closed,
};

#define UNARY(method, of)                                                           \
	{                                                                           \
		.name = (method), .shape = GRPC_UNARY,                              \
		.request = &interop__simple_request__descriptor,                    \
		.response = &interop__simple_response__descriptor, .events = &(of), \
		.valid = valid_unary                                                \
	}
#define OUTPUT(method, how, of)                                                               \
	{                                                                                     \
		.name = (method), .shape = (how),                                             \
		.request = &interop__streaming_output_request__descriptor,                    \
		.response = &interop__streaming_output_response__descriptor, .events = &(of), \
		.state_size = sizeof(struct output), .valid = valid_output                    \
	}

static const struct grpc_method methods[] = {
	{
		.name = "EmptyCall",
		.shape = GRPC_UNARY,
		.request = &interop__empty__descriptor,
		.response = &interop__empty__descriptor,
		.events = &empty_events,
	},
	UNARY("UnaryCall", unary_events),
	UNARY("CacheableUnaryCall", cacheable_events),
	{
		.name = "StreamingInputCall",
		.shape = GRPC_CLIENT_STREAM,
		.request = &interop__streaming_input_request__descriptor,
		.response = &interop__streaming_input_response__descriptor,
		.events = &input_events,
		.state_size = sizeof(struct input),
	},
	OUTPUT("StreamingOutputCall", GRPC_SERVER_STREAM, output_events),
	OUTPUT("FullDuplexCall", GRPC_BIDI_STREAM, duplex_events),
	OUTPUT("HalfDuplexCall", GRPC_BIDI_STREAM, half_duplex_events),
};

const struct grpc_service interop_service = {
	.name = "grpc.testing.TestService",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

int interop_init(struct interop *ret)
{
	ret->zeros = calloc(1, INTEROP_MAX_PAYLOAD);
	return ret->zeros ? 0 : -ENOMEM;
}

void interop_deinit(struct interop *interop)
{
	free(interop->zeros);
	interop->zeros = NULL;
}

/*
 * The happy path: the request is in -> the delay is drawn -> its timer fires ->
 * the same bytes go back. What can fail: the call closes first (cancelled,
 * expired, connection lost), and the timer is stopped.
 */
#include "service/echo.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/utf8.h"
#include "echo.pb-c.h"

struct echo {
	struct timer due;
	struct grpc_call *call;
	const Echo__EchoRequest *request;
	struct runs_ticket ticket;
};

static void on_due(struct timer *timer)
{
	struct echo *echo = container_of(timer, struct echo, due);
	Echo__EchoResponse response = ECHO__ECHO_RESPONSE__INIT;

	response.message = echo->request->message;
	grpc_call_send(echo->call, &response);
	grpc_call_finish(echo->call, GRPC_OK, NULL);
}

static int64_t draw(struct echo_service *service)
{
	const struct echo_delay *delay = &service->delay;

	if (delay->kind != ECHO_DELAY_UNIFORM) {
		return delay->low_ns;
	}
	return delay->low_ns +
	       (int64_t)random_below(&service->random,
				     (uint64_t)((delay->high_ns - delay->low_ns) / NS_PER_MS)) *
		       NS_PER_MS;
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct echo_service *service = grpc_call_context(call);
	struct echo *echo = grpc_call_state(call);
	int64_t delay = service->delay.kind == ECHO_DELAY_NONE ? 0 : draw(service);

	runs_received(service->runs, grpc_call_metadata(call), &echo->ticket);
	echo->call = call;
	echo->request = message;
	if (grpc_call_was_compressed(call)) {
		grpc_call_compress(call, true); /* what came compressed goes back compressed */
	}
	if (delay == 0) {
		on_due(&echo->due);
	} else {
		timer_init(&echo->due, on_due);
		timer_start(grpc_call_timers(call), &echo->due, delay);
	}
}

/* A call whose message never came, or was refused, has arrived all the same. */
static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct echo_service *service = grpc_call_context(call);
	struct echo *echo = grpc_call_state(call);

	timer_stop(grpc_call_timers(call), &echo->due);
	runs_received(service->runs, grpc_call_metadata(call), &echo->ticket);
	if (outcome->origin == GRPC_FROM_HERE) {
		runs_answered(service->runs, &echo->ticket);
	}
}

/* The published message is a `string`. */
static bool valid(const void *message)
{
	const Echo__EchoRequest *request = message;

	return utf8_valid(
		(struct str){ (const char *)request->message.data, request->message.len });
}

static bool valid_response(const void *message)
{
	const Echo__EchoResponse *response = message;

	return utf8_valid(
		(struct str){ (const char *)response->message.data, response->message.len });
}

static const struct grpc_call_events events = {
	.message = on_message,
	.closed = on_closed,
};

static const struct grpc_method methods[] = {
	[ECHO_METHOD_ECHO] = {
		.name = "Echo",
		.shape = GRPC_UNARY,
		.request = &echo__echo_request__descriptor,
		.response = &echo__echo_response__descriptor,
		.events = &events,
		.state_size = sizeof(struct echo),
		.valid = valid,
		.valid_response = valid_response,
	},
};

const struct grpc_service echo_service = {
	.name = "muzz.Service",
	.methods = methods,
	.n_methods = ARRAY_SIZE(methods),
};

int echo_delay_parse(const char *text, void *ret_delay, char *why, size_t size)
{
	struct echo_delay *ret = ret_delay, delay = { 0 };
	char low[32];
	const char *comma;

	if (strcmp(text, "none") == 0) {
		*ret = delay;
		return 0;
	}
	if (strncmp(text, "uniform:", 8) != 0) {
		delay.kind = ECHO_DELAY_FIXED;
		if (parse_duration(text, &delay.low_ns, why, size) < 0) {
			snprintf(why, size,
				 "is neither none, nor a duration, nor uniform:LOW,HIGH");
			return -1;
		}
		*ret = delay;
		return 0;
	}
	text += 8;
	comma = strchr(text, ',');
	if (!comma || (size_t)(comma - text) >= sizeof(low)) {
		snprintf(why, size, "needs two durations: uniform:LOW,HIGH");
		return -1;
	}
	snprintf(low, sizeof(low), "%.*s", (int)(comma - text), text);
	delay.kind = ECHO_DELAY_UNIFORM;
	if (parse_duration(low, &delay.low_ns, why, size) < 0 ||
	    parse_duration(comma + 1, &delay.high_ns, why, size) < 0) {
		return -1;
	}
	if (delay.high_ns - delay.low_ns < NS_PER_MS) {
		snprintf(why, size, "needs a HIGH at least 1ms above LOW");
		return -1;
	}
	*ret = delay;
	return 0;
}

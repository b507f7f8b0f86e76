/*
 * The happy path: headers are in -> what the call is to meet is drawn -> the request is
 * in -> the delay is over -> the same bytes go back, or the fault is met. What can fail:
 * the call closes first (cancelled, expired, connection lost), and the timer is stopped;
 * then it has met no fault.
 */
#include "service/echo.h"

#include "base/utf8.h"
#include "echo.pb-c.h"
#include "service/faults_call.h"

struct echo {
	struct timer due;
	struct grpc_call *call;
	const Echo__EchoRequest *request;
	struct runs_ticket ticket;
	struct faults_draw draw;
	bool met;              /* ... its fault */
	int64_t wait_begun_ns; /* on purpose: while `due` is active */
	int64_t waited_ns;     /* ... and is over */
};

static void wait_for(struct echo *echo, int64_t delay_ns, void (*fire)(struct timer *timer))
{
	struct timers *timers = grpc_call_timers(echo->call);

	echo->wait_begun_ns = timers_now(timers);
	timer_init(&echo->due, fire);
	timer_start_at(timers, &echo->due, echo->wait_begun_ns + delay_ns);
}

/* How late the timer is counts as ours. */
static struct echo *waited(struct timer *timer)
{
	struct echo *echo = container_of(timer, struct echo, due);

	echo->waited_ns += timer->due_ns - echo->wait_begun_ns;
	return echo;
}

static void on_hung(struct timer *timer)
{
	faults_hung(waited(timer)->call);
}

static void answer(struct echo *echo)
{
	const struct echo_service *service = grpc_call_context(echo->call);
	Echo__EchoResponse response = ECHO__ECHO_RESPONSE__INIT;

	response.message = echo->request->message;
	if (echo->draw.kind == FAULT_NONE) {
		grpc_call_send(echo->call, &response);
		grpc_call_finish(echo->call, GRPC_OK, NULL);
		return;
	}
	echo->met = true;
	faults_inject(&service->faults, echo->call, &echo->draw, &response);
	if (echo->draw.kind == FAULT_HANG) {
		wait_for(echo, service->faults.plan.hang_limit_ns, on_hung);
	}
}

static void on_due(struct timer *timer)
{
	struct echo *echo = waited(timer);

	if (timer->due_ns < grpc_call_deadline_ns(echo->call)) { /* else it has expired */
		answer(echo);
	}
}

/* Apart, so that calls which nothing is to happen to need no room for the text. */
__attribute__((noinline)) static void draw(struct echo_service *service, struct echo *echo)
{
	struct grpc_call *call = echo->call;
	char why[256];
	int asked = 0;

	if (service->allow_metadata_faults) {
		asked = faults_asked(&service->faults, grpc_call_metadata(call), &echo->draw, why,
				     sizeof(why));
	}
	if (asked < 0) {
		grpc_call_finish(call, GRPC_INVALID_ARGUMENT, why);
	} else if (asked == 0) {
		faults_draw(&service->faults, &echo->draw);
	}
}

static void on_opened(struct grpc_call *call)
{
	struct echo_service *service = grpc_call_context(call);
	struct echo *echo = grpc_call_state(call);

	echo->call = call;
	if (service->allow_metadata_faults || !faults_idle(&service->faults)) {
		draw(service, echo);
	}
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct echo_service *service = grpc_call_context(call);
	struct echo *echo = grpc_call_state(call);

	runs_received(service->runs, grpc_call_metadata(call), &echo->ticket);
	echo->request = message;
	if (grpc_call_was_compressed(call)) {
		grpc_call_compress(call, true); /* what came compressed goes back compressed */
	}
	if (echo->draw.delay_ns == 0) {
		answer(echo);
	} else {
		faults_delay(&service->faults, call, &echo->draw);
		wait_for(echo, echo->draw.delay_ns, on_due);
	}
}

static void count(const struct echo_meters *meters, struct echo *echo)
{
	int64_t ended_ns = grpc_call_ended_ns(echo->call);
	int64_t spent_ns = ended_ns - grpc_call_started_ns(echo->call);

	if (timer_active(&echo->due)) {
		echo->waited_ns += MAX(ended_ns - echo->wait_begun_ns, 0);
	}
	if (meters->delay_ns && echo->waited_ns > 0) {
		counter_add(meters->delay_ns, (uint64_t)echo->waited_ns);
	}
	if (meters->overhead) {
		histogram_observe(meters->overhead,
				  (double)MAX(spent_ns - echo->waited_ns, 0) / (double)NS_PER_S);
	}
}

/* A fault of another call closed its connection. */
static bool was_taken_along(const struct grpc_outcome *outcome)
{
	return outcome->origin == GRPC_FROM_TRANSPORT && outcome->status == GRPC_UNAVAILABLE;
}

/* Its own fault did: that is no answer. */
static bool was_closed(const struct echo *echo)
{
	return echo->met && echo->draw.kind == FAULT_CLOSE;
}

/* A call whose message never came, or was refused, has arrived all the same. */
static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct echo_service *service = grpc_call_context(call);
	struct echo *echo = grpc_call_state(call);

	echo->call = call;
	count(&service->meters, echo);
	timer_stop(grpc_call_timers(call), &echo->due);
	runs_received(service->runs, grpc_call_metadata(call), &echo->ticket);
	if (was_taken_along(outcome)) {
		meter_count(service->faults.meters.taken_along[echo->met]);
	}
	if (outcome->origin == GRPC_FROM_HERE && !was_closed(echo)) {
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
	.opened = on_opened,
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

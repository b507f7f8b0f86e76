/* What is counted of a server's calls, other than messages: as they begin, and as they end. */
#include <time.h>

#include "grpc/server_p.h"

void grpc_server_count_begun(struct grpc_call *call, const struct grpc_method_meters *meters)
{
	call->each.meters = meters;
	if (meters) {
		call->each.counted = true;
		counter_increment(meters->started);
		gauge_add(meters->in_flight, 1);
	}
}

/* Rare: a caller that traces its calls, and this one. */
__attribute__((noinline)) static void exemplify(const struct grpc_call *call, double seconds)
{
	const struct grpc_method_meters *meters = call->each.meters;
	struct str parent = metadata_get(&call->each.received, STR("traceparent"));
	struct exemplar exemplar = { .value = seconds };
	struct timespec now;

	if (!parent.data || !exemplar_from_traceparent(parent, &exemplar)) {
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	exemplar.timestamp = (double)now.tv_sec + (double)now.tv_nsec / (double)NS_PER_S;
	histogram_exemplify(meters->latency, &exemplar);
	if (meters->duration) {
		native_exemplify(meters->duration, &exemplar);
	}
}

void grpc_server_count_ended(const struct grpc_call *call, enum grpc_status status)
{
	const struct grpc_method_meters *meters = call->each.meters;
	double seconds = (double)(call->each.ended_ns - call->each.started_ns) / (double)NS_PER_S;

	gauge_add(meters->in_flight, -1);
	counter_increment(status == GRPC_OK ? meters->handled_ok : meters->handled_failed);
	counter_increment(status == GRPC_OK ? meters->calls_ok : meters->calls_failed);
	meter_count(meters->by_status[status]);
	if (call->each.answered && call->stream.local_ended &&
	    !grpc_shape_streams_responses(call->each.method->shape)) {
		meter_count(meters->messages_sent);
	}
	histogram_observe(meters->latency, seconds);
	if (meters->duration) {
		native_observe(meters->duration, seconds);
	}
	if (call->each.head.has_trace) {
		exemplify(call, seconds);
	}
}

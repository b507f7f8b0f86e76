#include "client/instruments.h"

#include <errno.h>

#include "http2/session.h"
#include "metrics/build.h"
#include "net/loop.h"
#include "version.h"

/* --- of the process --------------------------------------------------------- */

static void show_build(struct build *build)
{
	struct family *info = build_family(
		build, METRIC_GAUGE, "echod_build_info",
		"Constant 1; the labels name this build and the libraries that it runs with.",
		(const char *const[]){ "version", "revision", "compiler", "libuv", "nghttp2",
				       NULL });
	struct gauge *one = build_gauge(
		build, info,
		(const char *const[]){ echod_version, echod_revision, echod_compiler,
				       net_library_version(), http2_library_version() });

	if (one) {
		gauge_set(one, 1);
	}
}

static void show_channel(struct build *build, struct grpc_channel_meters *channel)
{
	channel->attempts = build_plain_counter(
		build, "echod_client_attempts_total",
		"Total number of streams that calls were given: more than calls "
		"where some were sent anew.");
	channel->transparent_retries = build_plain_counter(
		build, "echod_client_transparent_retries_total",
		"Total number of streams that were given to calls which no server "
		"had seen before.");
	channel->connects_failed = build_plain_counter(
		build, "echod_client_connects_failed_total",
		"Total number of attempts to connect that found no server, or none "
		"that answers.");
	channel->connections_lost = build_plain_counter(
		build, "echod_client_connections_lost_total",
		"Total number of connections that ended without a goodbye of either "
		"side.");
	channel->stream_waits =
		build_plain_counter(build, "echod_client_stream_waits_total",
				    "Total number of calls that found the server's limit "
				    "of streams reached.");
}

int instruments_init(struct instruments *instruments)
{
	struct build build = { .registry = registry_new() };

	*instruments = (struct instruments){ .registry = build.registry };
	if (!build.registry) {
		return -ENOMEM;
	}
	show_build(&build);
	show_channel(&build, &instruments->channel);
	return build.failed ? -ENOMEM : 0;
}

void instruments_deinit(struct instruments *instruments)
{
	registry_free(instruments->registry);
	*instruments = (struct instruments){ 0 };
}

/* --- of a run ----------------------------------------------------------------- */

static bool read_sum(void *user, double *ret)
{
	const struct instruments_sum *sum = user;

	*ret = (double)((sum->one ? *sum->one : 0) + (sum->other ? *sum->other : 0));
	return true;
}

static bool read_failed(void *user, double *ret)
{
	const struct recorder *results = user;

	*ret = (double)recorder_failed(results);
	return true;
}

static uint64_t in_flight(const struct recorder *recorder)
{
	return recorder->started - recorder_done(recorder) - recorder->unfinished;
}

static bool read_in_flight(void *user, double *ret)
{
	const struct instruments *instruments = user;
	const struct recorder *warmup = instruments->warmup;

	*ret = (double)(in_flight(instruments->results) + (warmup ? in_flight(warmup) : 0));
	return true;
}

/* One goes with each call, one comes with each that ends OK, be it the echo or not. */
static void show_messages(struct build *build, struct instruments *instruments,
			  const struct recorder *results, const char *const *values)
{
	static const char *const names[] = { "grpc_type", "grpc_service", "grpc_method", NULL };

	instruments->replies =
		(struct instruments_sum){ &results->by_status[GRPC_OK], &results->mismatched };
	build_computed(build,
		       build_family(build, METRIC_COUNTER, "grpc_client_msg_sent_total",
				    "Total number of gRPC stream messages sent by the client.",
				    names),
		       values, build_read_number, &results->started);
	build_computed(build,
		       build_family(build, METRIC_COUNTER, "grpc_client_msg_received_total",
				    "Total number of RPC stream messages received by the client.",
				    names),
		       values, read_sum, &instruments->replies);
}

static void show_calls(struct build *build, struct instruments *instruments,
		       const struct instruments_run *run)
{
	const struct recorder *results = run->results;
	const char *values[] = { "unary", run->service, run->method, NULL };
	struct family *calls = build_family(build, METRIC_COUNTER, "grpc_calls_total",
					    "Total number of gRPC calls",
					    (const char *const[]){ "method", "status", NULL });
	struct family *started = build_family(
		build, METRIC_COUNTER, "grpc_client_started_total",
		"Total number of RPCs started on the client.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", NULL });
	struct family *handled = build_family(
		build, METRIC_COUNTER, "grpc_client_handled_total",
		"Total number of RPCs completed by the client, regardless of success or failure.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", "grpc_code",
				       NULL });

	build_computed(build, calls, (const char *const[]){ run->method, "success" },
		       build_read_number, &results->by_status[GRPC_OK]);
	build_computed(build, calls, (const char *const[]){ run->method, "fail" }, read_failed,
		       results);
	build_computed(build, started, values, build_read_number, &results->started);
	show_messages(build, instruments, results, values);
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		values[3] = grpc_status_camel_name(status);
		instruments->handled[status].one = &results->by_status[status];
		build_computed(build, handled, values, read_sum, &instruments->handled[status]);
	}
	/* A wrong reply came with OK; and what finds no server ends as gRPC has it. */
	instruments->handled[GRPC_OK].other = &results->mismatched;
	instruments->handled[GRPC_UNAVAILABLE].other = &results->never_found;
}

static void show_counts(struct build *build, const struct instruments_run *run)
{
	const struct recorder *results = run->results;
	const struct {
		const char *name, *help;
		const uint64_t *number;
	} counts[] = {
		{ "echod_client_due_total", "Total number of calls whose intended start has come.",
		  &results->due },
		{ "echod_client_deferred_total",
		  "Total number of calls that found no free place at their intended start.",
		  &results->deferred },
		{ "echod_client_never_sent_total",
		  "Total number of calls that were due and were not started before the end.",
		  &results->never_sent },
		{ "echod_client_unfinished_total",
		  "Total number of calls that were given up at the end.", &results->unfinished },
		{ "echod_client_mismatched_total",
		  "Total number of replies that were not their request's echo.",
		  &results->mismatched },
		{ "echod_client_without_server_total",
		  "Total number of calls for which there was no server to connect to.",
		  &results->never_found },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		build_computed(
			build,
			build_family(build, METRIC_COUNTER, counts[i].name, counts[i].help, NULL),
			NULL, build_read_number, counts[i].number);
	}
	if (run->warmup) {
		build_computed(
			build,
			build_family(
				build, METRIC_COUNTER, "echod_client_warmup_calls_total",
				"Total number of calls of the warm-up, which are counted nowhere "
				"else.",
				NULL),
			NULL, build_read_number, &run->warmup->started);
	}
}

static bool read_delay(void *user, double *ret)
{
	const struct recorder *results = user;

	*ret = (double)latencies_sum(results->delay) / NS_PER_S;
	return true;
}

static bool read_delayed(void *user, double *ret)
{
	const struct recorder *results = user;

	*ret = (double)latencies_count(results->delay);
	return true;
}

/* What answers say that was done to their calls on purpose. */
static void show_injected(struct build *build, const struct recorder *results)
{
	struct family *injected =
		build_family(build, METRIC_COUNTER, "echod_client_injected_total",
			     "Total number of calls that a server says it failed on purpose, by "
			     "the status that they ended with.",
			     BUILD_LABELS("grpc_code"));

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		build_computed(build, injected, BUILD_LABELS(grpc_status_camel_name(status)),
			       build_read_number, &results->injected.by_status[status]);
	}
	build_plain_computed(build, METRIC_COUNTER, "echod_client_injected_delays_total",
			     "Total number of calls that a server says it delayed on purpose.",
			     read_delayed, results);
	build_plain_computed(build, METRIC_COUNTER, "echod_client_injected_delay_seconds_total",
			     "Total time by which servers say that they delayed calls on purpose.",
			     read_delay, results);
}

static void show_moment(struct build *build, struct instruments *instruments,
			const struct instruments_run *run)
{
	build_computed(build,
		       build_family(build, METRIC_GAUGE, "echod_client_in_flight",
				    "Number of calls that were started and have not ended.", NULL),
		       NULL, read_in_flight, instruments);
	if (run->offered_rate) {
		build_computed(
			build,
			build_family(build, METRIC_GAUGE, "echod_client_offered_rate",
				     "Calls per second that the schedule asks for at this moment.",
				     NULL),
			NULL, run->offered_rate, run->user);
	}
}

static void show_connections(struct build *build, struct instruments *instruments,
			     const struct instruments_run *run)
{
	const struct recorder_connections *of = &run->results->connections;
	const struct recorder_connections *before = run->warmup ? &run->warmup->connections : NULL;
	struct family *goaways =
		build_family(build, METRIC_COUNTER, "echod_client_goaway_received_total",
			     "Total number of GOAWAY frames received by error code.",
			     (const char *const[]){ "error_code", NULL });

	instruments->opened =
		(struct instruments_sum){ &of->opened, before ? &before->opened : NULL };
	build_computed(build,
		       build_family(build, METRIC_COUNTER, "echod_client_connections_opened_total",
				    "Total number of connections that were made.", NULL),
		       NULL, read_sum, &instruments->opened);
	instruments->renewed =
		(struct instruments_sum){ &of->renewed, before ? &before->renewed : NULL };
	build_computed(build,
		       build_family(build, METRIC_COUNTER, "echod_client_connections_renewed_total",
				    "Total number of connections that had had their lifetime.",
				    NULL),
		       NULL, read_sum, &instruments->renewed);
	for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
		const char *name = http2_error_name(code);

		instruments->goaways[code] =
			(struct instruments_sum){ &of->goaways[code],
						  before ? &before->goaways[code] : NULL };
		build_computed(build, goaways, &name, read_sum, &instruments->goaways[code]);
	}
	if (run->received_bytes) {
		build_computed(
			build,
			build_family(
				build, METRIC_COUNTER, "echod_client_network_receive_bytes_total",
				"Total number of bytes read from the connections of calls.", NULL),
			NULL, build_read_counter, run->received_bytes);
	}
	if (run->sent_bytes) {
		build_computed(
			build,
			build_family(
				build, METRIC_COUNTER, "echod_client_network_transmit_bytes_total",
				"Total number of bytes written to the connections of calls.", NULL),
			NULL, build_read_counter, run->sent_bytes);
	}
}

static void show_histograms(struct build *build, struct instruments_histograms *histograms,
			    const struct instruments_run *run)
{
	static const char *const by_status[] = { "status", NULL };
	static const char *const ok = "success", *const failed = "fail";
	struct family *of;

	of = build_histogram_family(build, "grpc_call_latency_seconds", "Latency of gRPC calls",
				    NULL, &histogram_default_bounds);
	histograms->calls = build_histogram(build, of, NULL);
	of = build_histogram_family(
		build, "grpc_client_handling_seconds",
		"Histogram of response latency (seconds) of the gRPC until it is finished by the "
		"application.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", NULL },
		&histogram_default_bounds);
	histograms->handling = build_histogram(
		build, of, (const char *const[]){ "unary", run->service, run->method });
	of = build_histogram_family(build, "echod_client_latency_seconds",
				    "Time from a call's intended start to its end.", by_status,
				    &histogram_fine_bounds);
	histograms->latency_ok = build_histogram(build, of, &ok);
	histograms->latency_failed = build_histogram(build, of, &failed);
	of = build_histogram_family(build, "echod_client_service_seconds",
				    "Time from the sending of a call's headers to its end.",
				    by_status, &histogram_fine_bounds);
	histograms->service_ok = build_histogram(build, of, &ok);
	histograms->service_failed = build_histogram(build, of, &failed);
	if (run->results->open_loop) {
		of = build_histogram_family(build, "echod_client_lag_seconds",
					    "Time by which the generator started a call after its "
					    "intended start.",
					    NULL, &histogram_fine_bounds);
		histograms->lag = build_histogram(build, of, NULL);
	}
}

int instruments_show(struct instruments *instruments, const struct instruments_run *run)
{
	struct build build = { .registry = instruments->registry };

	instruments->results = run->results;
	instruments->warmup = run->warmup;
	show_calls(&build, instruments, run);
	show_counts(&build, run);
	show_injected(&build, run->results);
	show_moment(&build, instruments, run);
	show_connections(&build, instruments, run);
	show_histograms(&build, &instruments->histograms, run);
	instruments->observing = !build.failed;
	return build.failed ? -ENOMEM : 0;
}

static double seconds(int64_t from_ns, int64_t to_ns)
{
	return (double)MAX(to_ns - from_ns, 0) / NS_PER_S;
}

/* Of the same calls as the recorder's. */
void instruments_observe(const struct instruments *instruments, const struct recorder_call *call)
{
	const struct instruments_histograms *histograms = &instruments->histograms;
	bool ok = call->end == RECORDER_ANSWERED && call->status == GRPC_OK;
	double taken = seconds(call->started_ns, call->ended_ns);

	histogram_observe(histograms->calls, taken);
	histogram_observe(histograms->handling, taken);
	if (histograms->lag && !call->deferred) {
		histogram_observe(histograms->lag, seconds(call->intended_ns, call->started_ns));
	}
	if (call->end == RECORDER_NO_SERVER) {
		return;
	}
	histogram_observe(ok ? histograms->latency_ok : histograms->latency_failed,
			  seconds(call->intended_ns, call->ended_ns));
	if (call->sent_ns >= 0) {
		histogram_observe(ok ? histograms->service_ok : histograms->service_failed,
				  seconds(call->sent_ns, call->ended_ns));
	}
}

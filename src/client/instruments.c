#include "client/instruments.h"

#include <errno.h>

#include "http2/session.h"
#include "net/loop.h"
#include "version.h"

/* From 50 us, where a server nearby answers, to 10 s. */
static const struct histogram_bounds fine_bounds = {
	.n = 17,
	.values = { 5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
		    0.25, 0.5, 1, 2.5, 5, 10 },
	.labels = { "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
		    "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10" },
};

/* Registration that goes on after a failure and remembers it: memory is checked once. */
struct build {
	struct registry *registry;
	bool failed;
};

static void *made(struct build *build, void *what)
{
	if (!what) {
		build->failed = true;
	}
	return what;
}

static struct family *family(struct build *build, enum metric_type type, const char *name,
			     const char *help, const char *const *labels)
{
	return made(build, registry_family(build->registry, type, name, help, labels));
}

static struct counter *plain_counter(struct build *build, const char *name, const char *help)
{
	return made(build, registry_counter(build->registry, name, help));
}

static void computed(struct build *build, struct family *family, const char *const *values,
		     bool (*read)(void *user, double *ret), const void *user)
{
	union {
		const void *given;
		void *taken;
	} either = { .given = user };

	if (!family || family_computed(family, values, read, either.taken) < 0) {
		build->failed = true;
	}
}

static struct histogram *histogram(struct build *build, struct family *family,
				   const char *const *values)
{
	return family ? made(build, family_histogram(family, values)) : NULL;
}

/* --- of the process --------------------------------------------------------- */

static void build_info(struct build *build)
{
	struct family *info = family(
		build, METRIC_GAUGE, "echod_build_info",
		"Constant 1; the labels name this build and the libraries that it runs with.",
		(const char *const[]){ "version", "revision", "compiler", "libuv", "nghttp2",
				       NULL });
	struct gauge *one = family_gauge(
		info, (const char *const[]){ echod_version, echod_revision, echod_compiler,
					     net_library_version(), http2_library_version() });

	if (made(build, one)) {
		gauge_set(one, 1);
	}
}

static void build_channel(struct build *build, struct grpc_channel_meters *channel)
{
	channel->attempts =
		plain_counter(build, "echod_client_attempts_total",
			      "Total number of streams that calls were given: more than calls "
			      "where some were sent anew.");
	channel->transparent_retries =
		plain_counter(build, "echod_client_transparent_retries_total",
			      "Total number of streams that were given to calls which no server "
			      "had seen before.");
	channel->connects_failed =
		plain_counter(build, "echod_client_connects_failed_total",
			      "Total number of attempts to connect that found no server, or none "
			      "that answers.");
	channel->connections_lost =
		plain_counter(build, "echod_client_connections_lost_total",
			      "Total number of connections that ended without a goodbye of either "
			      "side.");
	channel->stream_waits = plain_counter(build, "echod_client_stream_waits_total",
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
	build_info(&build);
	build_channel(&build, &instruments->channel);
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

static bool read_number(void *user, double *ret)
{
	const uint64_t *number = user;

	*ret = (double)*number;
	return true;
}

static bool read_counter(void *user, double *ret)
{
	const struct counter *counter = user;

	*ret = (double)counter_read(counter);
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

static void build_calls(struct build *build, struct instruments *instruments,
			const struct instruments_run *run)
{
	const struct recorder *results = run->results;
	const char *values[] = { "unary", run->service, run->method, NULL };
	struct family *calls =
		family(build, METRIC_COUNTER, "grpc_calls_total", "Total number of gRPC calls",
		       (const char *const[]){ "method", "status", NULL });
	struct family *started =
		family(build, METRIC_COUNTER, "grpc_client_started_total",
		       "Total number of RPCs started on the client.",
		       (const char *const[]){ "grpc_type", "grpc_service", "grpc_method", NULL });
	struct family *handled = family(
		build, METRIC_COUNTER, "grpc_client_handled_total",
		"Total number of RPCs completed by the client, regardless of success or failure.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", "grpc_code",
				       NULL });

	computed(build, calls, (const char *const[]){ run->method, "success" }, read_number,
		 &results->by_status[GRPC_OK]);
	computed(build, calls, (const char *const[]){ run->method, "fail" }, read_failed, results);
	computed(build, started, values, read_number, &results->started);
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		values[3] = grpc_status_camel_name(status);
		instruments->handled[status].one = &results->by_status[status];
		computed(build, handled, values, read_sum, &instruments->handled[status]);
	}
	/* A wrong reply came with OK; and what finds no server ends as gRPC has it. */
	instruments->handled[GRPC_OK].other = &results->mismatched;
	instruments->handled[GRPC_UNAVAILABLE].other = &results->never_found;
}

static void build_counts(struct build *build, const struct instruments_run *run)
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
		computed(build, family(build, METRIC_COUNTER, counts[i].name, counts[i].help, NULL),
			 NULL, read_number, counts[i].number);
	}
	if (run->warmup) {
		computed(build,
			 family(build, METRIC_COUNTER, "echod_client_warmup_calls_total",
				"Total number of calls of the warm-up, which are counted nowhere "
				"else.",
				NULL),
			 NULL, read_number, &run->warmup->started);
	}
}

static void build_moment(struct build *build, struct instruments *instruments,
			 const struct instruments_run *run)
{
	computed(build,
		 family(build, METRIC_GAUGE, "echod_client_in_flight",
			"Number of calls that were started and have not ended.", NULL),
		 NULL, read_in_flight, instruments);
	if (run->offered_rate) {
		computed(build,
			 family(build, METRIC_GAUGE, "echod_client_offered_rate",
				"Calls per second that the schedule asks for at this moment.",
				NULL),
			 NULL, run->offered_rate, run->user);
	}
}

static void build_connections(struct build *build, struct instruments *instruments,
			      const struct instruments_run *run)
{
	const struct recorder_connections *of = &run->results->connections;
	const struct recorder_connections *before = run->warmup ? &run->warmup->connections : NULL;
	struct family *goaways = family(build, METRIC_COUNTER, "echod_client_goaway_received_total",
					"Total number of GOAWAY frames received by error code.",
					(const char *const[]){ "error_code", NULL });

	instruments->opened =
		(struct instruments_sum){ &of->opened, before ? &before->opened : NULL };
	computed(build,
		 family(build, METRIC_COUNTER, "echod_client_connections_opened_total",
			"Total number of connections that were made.", NULL),
		 NULL, read_sum, &instruments->opened);
	instruments->renewed =
		(struct instruments_sum){ &of->renewed, before ? &before->renewed : NULL };
	computed(build,
		 family(build, METRIC_COUNTER, "echod_client_connections_renewed_total",
			"Total number of connections that had had their lifetime.", NULL),
		 NULL, read_sum, &instruments->renewed);
	for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
		const char *name = http2_error_name(code);

		instruments->goaways[code] =
			(struct instruments_sum){ &of->goaways[code],
						  before ? &before->goaways[code] : NULL };
		computed(build, goaways, &name, read_sum, &instruments->goaways[code]);
	}
	if (run->received_bytes) {
		computed(build,
			 family(build, METRIC_COUNTER, "echod_client_network_receive_bytes_total",
				"Total number of bytes read from the connections of calls.", NULL),
			 NULL, read_counter, run->received_bytes);
	}
	if (run->sent_bytes) {
		computed(build,
			 family(build, METRIC_COUNTER, "echod_client_network_transmit_bytes_total",
				"Total number of bytes written to the connections of calls.", NULL),
			 NULL, read_counter, run->sent_bytes);
	}
}

static struct family *histogram_family(struct build *build, const char *name, const char *help,
				       const char *const *labels,
				       const struct histogram_bounds *bounds)
{
	return made(build, registry_histogram_family(build->registry, name, help, labels, bounds));
}

static void build_histograms(struct build *build, struct instruments_histograms *histograms,
			     const struct instruments_run *run)
{
	static const char *const by_status[] = { "status", NULL };
	static const char *const ok = "success", *const failed = "fail";
	struct family *of;

	of = histogram_family(build, "grpc_call_latency_seconds", "Latency of gRPC calls", NULL,
			      &histogram_default_bounds);
	histograms->calls = histogram(build, of, NULL);
	of = histogram_family(
		build, "grpc_client_handling_seconds",
		"Histogram of response latency (seconds) of the gRPC until it is finished by the "
		"application.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", NULL },
		&histogram_default_bounds);
	histograms->handling =
		histogram(build, of, (const char *const[]){ "unary", run->service, run->method });
	of = histogram_family(build, "echod_client_latency_seconds",
			      "Time from a call's intended start to its end.", by_status,
			      &fine_bounds);
	histograms->latency_ok = histogram(build, of, &ok);
	histograms->latency_failed = histogram(build, of, &failed);
	of = histogram_family(build, "echod_client_service_seconds",
			      "Time from the sending of a call's headers to its end.", by_status,
			      &fine_bounds);
	histograms->service_ok = histogram(build, of, &ok);
	histograms->service_failed = histogram(build, of, &failed);
	if (run->results->open_loop) {
		of = histogram_family(build, "echod_client_lag_seconds",
				      "Time by which the generator started a call after its "
				      "intended start.",
				      NULL, &fine_bounds);
		histograms->lag = histogram(build, of, NULL);
	}
}

int instruments_show(struct instruments *instruments, const struct instruments_run *run)
{
	struct build build = { .registry = instruments->registry };

	instruments->results = run->results;
	instruments->warmup = run->warmup;
	build_calls(&build, instruments, run);
	build_counts(&build, run);
	build_moment(&build, instruments, run);
	build_connections(&build, instruments, run);
	build_histograms(&build, &instruments->histograms, run);
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

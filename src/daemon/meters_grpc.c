#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/meters_p.h"
#include "service/interop.h"

/* -- Echo -- */

static bool read_delay(void *user, double *ret)
{
	const struct counter *ns = user;

	*ret = (double)counter_read(ns) / (double)NS_PER_S;
	return true;
}

/* The frozen names: dashboards written for the program that this one replaces read them. */
static void build_frozen(struct build *build, struct grpc_method_meters *echo)
{
	echo->started =
		build_plain_counter(build, "total_requests", "Total number of requests received");
	echo->handled_ok = build_plain_counter(build, "successful_requests",
					       "Total number of successful requests");
	echo->handled_failed =
		build_plain_counter(build, "failed_requests", "Total number of failed requests");

	struct family *calls =
		build_family(build, METRIC_COUNTER, "grpc_calls_total",
			     "Total number of gRPC calls", BUILD_LABELS("method", "status"));

	echo->calls_ok = build_counter(build, calls, BUILD_LABELS("Echo", "success"));
	echo->calls_failed = build_counter(build, calls, BUILD_LABELS("Echo", "fail"));
	echo->latency = build_plain_histogram(build, "grpc_call_latency_seconds",
					      "Latency of gRPC calls", &histogram_default_bounds);
}

static void build_echo(struct build *build, struct meters *meters)
{
	build_frozen(build, &meters->echo);
	if (meters->echo.latency) {
		meters->echo.latency->exemplars = meters->latency_exemplars;
	}
	meters->echo.in_flight =
		build_plain_gauge(build, "echod_rpcs_in_flight",
				  "Number of Echo calls received but not yet completed.");
	meters->echo.duration = build_native(
		build,
		build_native_family(build, "echod_rpc_duration_seconds",
				    "Latency of Echo calls, as a native histogram.", NULL),
		NULL);
	meters->echo_service.overhead = build_plain_histogram(
		build, "echod_rpc_overhead_seconds",
		"Echo handling time minus the simulated delay.", &histogram_fine_bounds);
	meters_watch_histogram(meters, meters->echo.latency);
	meters_watch_histogram(meters, meters->echo_service.overhead);
	meters->echo_service.delay_ns = &meters->delay_ns;
	build_plain_computed(build, METRIC_COUNTER, "echod_rpc_delay_seconds_total",
			     "Total simulated delay added to Echo calls.", read_delay,
			     &meters->delay_ns);
}

/* -- Methods -- */

struct meters_service {
	struct meters_service *next;
	struct grpc_method_meters methods[];
};

#define METHOD_LABELS "grpc_type", "grpc_service", "grpc_method"

/* The names that dashboards for gRPC know. */
static void build_methods(struct build *build, struct meters_methods *methods)
{
	methods->started = build_family(build, METRIC_COUNTER, "grpc_server_started_total",
					"Total number of RPCs started on the server.",
					BUILD_LABELS(METHOD_LABELS));
	methods->handled = build_family(
		build, METRIC_COUNTER, "grpc_server_handled_total",
		"Total number of RPCs completed on the server, regardless of success or failure.",
		BUILD_LABELS(METHOD_LABELS, "grpc_code"));
	methods->received =
		build_family(build, METRIC_COUNTER, "grpc_server_msg_received_total",
			     "Total number of RPC stream messages received on the server.",
			     BUILD_LABELS(METHOD_LABELS));
	methods->sent = build_family(build, METRIC_COUNTER, "grpc_server_msg_sent_total",
				     "Total number of gRPC stream messages sent by the server.",
				     BUILD_LABELS(METHOD_LABELS));
	methods->handling = build_histogram_family(
		build, "grpc_server_handling_seconds",
		"Histogram of response latency (seconds) of gRPC that had been "
		"application-level handled by the server.",
		BUILD_LABELS(METHOD_LABELS), &histogram_default_bounds);
}

/* Codes from `first` on; `labels` are those of the method. */
static void add_codes(struct build *build, struct meters *meters, struct grpc_method_meters *method,
		      const char *const labels[3], int first)
{
	for (int status = first; status < GRPC_STATUS_COUNT; status++) {
		method->by_status[status] =
			build_counter(build, meters->methods.handled,
				      BUILD_LABELS(labels[0], labels[1], labels[2],
						   grpc_status_camel_name(status)));
	}
}

/*
 * Echo counts what the frozen families show, and that is read again here, so that
 * a call that goes well costs no count more.
 */
static void add_echo(struct build *build, struct meters *meters, struct grpc_method_meters *method,
		     const char *const *labels)
{
	const struct meters_methods *methods = &meters->methods;

	*method = meters->echo;
	build_computed(build, methods->started, labels, build_read_counter, method->started);
	build_computed(
		build, methods->handled,
		BUILD_LABELS(labels[0], labels[1], labels[2], grpc_status_camel_name(GRPC_OK)),
		build_read_counter, method->handled_ok);
	add_codes(build, meters, method, labels, GRPC_OK + 1);
	memcpy(meters->echo.by_status, method->by_status, sizeof(method->by_status));
	if (family_histogram_alias(methods->handling, labels, method->latency) < 0) {
		build->failed = true;
	}
}

static void add_method(struct build *build, struct meters *meters,
		       struct grpc_method_meters *method, const char *const *labels, bool timed)
{
	const struct meters_methods *methods = &meters->methods;

	*method = (struct grpc_method_meters){
		.started = build_counter(build, methods->started, labels),
		.in_flight = &meters->unshown_gauge,
		.handled_ok = &meters->unshown_counter,
		.handled_failed = &meters->unshown_counter,
		.calls_ok = &meters->unshown_counter,
		.calls_failed = &meters->unshown_counter,
		.latency = &meters->unshown_histogram,
	};
	add_codes(build, meters, method, labels, GRPC_OK);
	if (timed) {
		method->latency = build_histogram(build, methods->handling, labels);
		meters_watch_histogram(meters, method->latency);
	}
}

static void add_messages(struct build *build, const struct meters_methods *methods,
			 struct grpc_method_meters *method, const char *const *labels)
{
	method->messages_received = build_counter(build, methods->received, labels);
	method->messages_sent = build_counter(build, methods->sent, labels);
}

const struct grpc_method_meters *meters_add_service(struct meters *meters,
						    const struct grpc_service *service)
{
	static const char *const types[] = { [GRPC_UNARY] = "unary",
					     [GRPC_CLIENT_STREAM] = "client_stream",
					     [GRPC_SERVER_STREAM] = "server_stream",
					     [GRPC_BIDI_STREAM] = "bidi_stream" };
	struct build build = { .registry = meters->registry };
	struct meters_service *added =
		calloc(1, sizeof(*added) + service->n_methods * sizeof(added->methods[0]));

	if (!added) {
		return NULL;
	}
	added->next = meters->services;
	meters->services = added;
	for (size_t i = 0; i < service->n_methods; i++) {
		const struct grpc_method *method = &service->methods[i];
		const char *labels[] = { types[method->shape], service->name, method->name };

		if (service == &echo_service) {
			add_echo(&build, meters, &added->methods[i], labels);
		} else {
			add_method(&build, meters, &added->methods[i], labels,
				   service != &interop_service);
		}
		add_messages(&build, &meters->methods, &added->methods[i], labels);
	}
	return build.failed ? NULL : added->methods;
}

void meters_free_services(struct meters *meters)
{
	while (meters->services) {
		struct meters_service *next = meters->services->next;

		free(meters->services);
		meters->services = next;
	}
}

/* -- What is counted of gRPC besides -- */

static void build_server(struct build *build, struct grpc_server_meters *grpc)
{
#define X(status) #status,
	static const char *const statuses[] = { GRPC_REFUSALS(X) };
#undef X
	struct family *refused = build_family(build, METRIC_COUNTER, "echod_http_refused_total",
					      "Total number of requests on the gRPC listener that "
					      "resolved to no method, by HTTP status.",
					      BUILD_LABELS("status"));

	_Static_assert(ARRAY_SIZE(statuses) == ARRAY_SIZE(grpc->refused), "one for each status");
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		grpc->refused[i] = build_counter(build, refused, &statuses[i]);
	}
	grpc->deadlines_exceeded =
		build_plain_counter(build, "echod_grpc_deadlines_exceeded_total",
				    "Total number of calls that outran the deadline "
				    "which their caller set.");
	grpc->buffered_bytes =
		build_plain_gauge(build, "echod_grpc_buffered_bytes",
				  "Size of the messages that calls hold, in and out.");
}

int meters_add_faults(struct meters *meters, struct faults *faults)
{
	struct build build = { .registry = meters->registry };

	faults_register(faults, &build);
	return build.failed ? -ENOMEM : 0;
}

void meters_build_grpc(struct build *build, struct meters *meters)
{
	static const char *const unknown[] = { "unary", "other", "other" };

	histogram_init(&meters->unshown_histogram, &histogram_default_bounds);
	build_echo(build, meters);
	build_methods(build, &meters->methods);
	build_server(build, &meters->grpc);
	add_method(build, meters, &meters->unknown, unknown, true);
	add_messages(build, &meters->methods, &meters->unknown, unknown);
	meters->grpc.http2 = &meters->http2;
	meters->grpc.unknown = &meters->unknown;
}

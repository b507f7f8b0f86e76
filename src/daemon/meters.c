#include "daemon/meters.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "service/echo.h"
#include "version.h"

const char *const door_names[DOORS] = { "grpc", "metrics" };

static const char *const close_reasons[CONNECTION_CLOSE_REASONS] = {
	[CONNECTION_CLOSED_PEER] = "peer",   [CONNECTION_CLOSED_DONE] = "done",
	[CONNECTION_CLOSED_ERROR] = "error", [CONNECTION_CLOSED_TIMEOUT] = "timeout",
	[CONNECTION_CLOSED_LOCAL] = "local",
};

/* From 50 us, so that the lag of a healthy loop is more than one bucket, to 10 s. */
static const struct histogram_bounds lag_bounds = {
	.n = 17,
	.values = { 5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
		    0.25, 0.5, 1, 2.5, 5, 10 },
	.labels = { "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
		    "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10" },
};

/*
 * Registration that goes on after a failure and remembers it, so that a family
 * is one line below and memory is checked once.
 */
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

static struct counter *counter(struct build *build, struct family *family,
			       const char *const *values)
{
	return family ? made(build, family_counter(family, values)) : NULL;
}

static struct counter *plain_counter(struct build *build, const char *name, const char *help)
{
	return made(build, registry_counter(build->registry, name, help));
}

static struct gauge *plain_gauge(struct build *build, const char *name, const char *help)
{
	return made(build, registry_gauge(build->registry, name, help));
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

/* The frozen names: dashboards written for the program that this one replaces read them. */
static void build_echo(struct build *build, struct grpc_method_meters *echo)
{
	echo->started = plain_counter(build, "total_requests", "Total number of requests received");
	echo->handled_ok =
		plain_counter(build, "successful_requests", "Total number of successful requests");
	echo->handled_failed =
		plain_counter(build, "failed_requests", "Total number of failed requests");
	echo->in_flight = plain_gauge(build, "echod_rpcs_in_flight",
				      "Number of Echo calls received but not yet completed.");

	struct family *calls =
		family(build, METRIC_COUNTER, "grpc_calls_total", "Total number of gRPC calls",
		       (const char *const[]){ "method", "status", NULL });

	echo->calls_ok = counter(build, calls, (const char *const[]){ "Echo", "success" });
	echo->calls_failed = counter(build, calls, (const char *const[]){ "Echo", "fail" });

	struct family *latency =
		made(build, registry_histogram_family(build->registry, "grpc_call_latency_seconds",
						      "Latency of gRPC calls", NULL,
						      &histogram_default_bounds));

	echo->latency = latency ? made(build, family_histogram(latency, NULL)) : NULL;
}

/* The names that dashboards for gRPC know. */
static void build_methods(struct build *build, struct meters *meters)
{
	meters->started =
		family(build, METRIC_COUNTER, "grpc_server_started_total",
		       "Total number of RPCs started on the server.",
		       (const char *const[]){ "grpc_type", "grpc_service", "grpc_method", NULL });
	meters->handled = family(
		build, METRIC_COUNTER, "grpc_server_handled_total",
		"Total number of RPCs completed on the server, regardless of success or failure.",
		(const char *const[]){ "grpc_type", "grpc_service", "grpc_method", "grpc_code",
				       NULL });
	histogram_init(&meters->unshown_histogram, &histogram_default_bounds);
}

static void build_grpc(struct build *build, struct grpc_server_meters *grpc)
{
#define X(status) #status,
	static const char *const statuses[] = { GRPC_REFUSALS(X) };
#undef X
	struct family *refused = family(build, METRIC_COUNTER, "echod_http_refused_total",
					"Total number of requests on the gRPC listener that "
					"resolved to no method, by HTTP status.",
					(const char *const[]){ "status", NULL });

	_Static_assert(ARRAY_SIZE(statuses) == ARRAY_SIZE(grpc->refused), "one for each status");
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		grpc->refused[i] = counter(build, refused, &statuses[i]);
	}
	grpc->deadlines_exceeded = plain_counter(build, "echod_grpc_deadlines_exceeded_total",
						 "Total number of calls that outran the deadline "
						 "which their caller set.");
	grpc->buffered_bytes = plain_gauge(build, "echod_grpc_buffered_bytes",
					   "Size of the messages that calls hold, in and out.");
}

static void build_doors(struct build *build, struct meters_door_set doors[DOORS])
{
	static const char *const by_listener[] = { "listener", NULL };
	static const char *const by_reason[] = { "listener", "reason", NULL };
	struct family *active = family(build, METRIC_GAUGE, "echod_connections_active",
				       "Number of open connections.", by_listener);
	struct family *accepted = family(build, METRIC_COUNTER, "echod_connections_accepted_total",
					 "Total number of accepted connections.", by_listener);
	struct family *refused =
		family(build, METRIC_COUNTER, "echod_connections_refused_total",
		       "Total number of connections closed before being served.", by_reason);
	struct family *closed = family(build, METRIC_COUNTER, "echod_connections_closed_total",
				       "Total number of closed connections by reason.", by_reason);
	struct family *received = family(build, METRIC_COUNTER, "echod_network_receive_bytes_total",
					 "Total number of bytes read from sockets.", by_listener);
	struct family *sent = family(build, METRIC_COUNTER, "echod_network_transmit_bytes_total",
				     "Total number of bytes written to sockets.", by_listener);

	for (size_t i = 0; i < DOORS; i++) {
		struct meters_door_set *door = &doors[i];
		const char *name = door_names[i];

#define REASON(reason) ((const char *const[]){ name, (reason) })
		door->listener.accepted = counter(build, accepted, &name);
		door->listener.refused_limit = counter(build, refused, REASON("limit"));
		door->listener.refused_files = counter(build, refused, REASON("emfile"));
		door->refused_memory = counter(build, refused, REASON("memory"));
		door->connection.active = active ? made(build, family_gauge(active, &name)) : NULL;
		door->connection.received_bytes = counter(build, received, &name);
		door->connection.sent_bytes = counter(build, sent, &name);
		for (size_t why = 0; why < CONNECTION_CLOSE_REASONS; why++) {
			door->connection.closed[why] =
				counter(build, closed, REASON(close_reasons[why]));
		}
#undef REASON
	}
}

static void build_bounds(struct build *build, struct counter *reached[HTTP2_BOUND_COUNT])
{
#define X(name, text) text,
	static const char *const names[] = { HTTP2_BOUNDS(X) };
#undef X
	struct family *bounds = family(build, METRIC_COUNTER, "echod_http2_bounds_reached_total",
				       "Total number of times that an HTTP/2 connection reached "
				       "one of its bounds, by bound.",
				       (const char *const[]){ "bound", NULL });

	for (size_t i = 0; i < HTTP2_BOUND_COUNT; i++) {
		reached[i] = counter(build, bounds, &names[i]);
	}
}

static void build_http2(struct build *build, struct http2_meters *http2)
{
	const struct {
		const char *name, *help;
		struct counter **by_code;
	} families[] = {
		{ "echod_http2_goaway_sent_total",
		  "Total number of GOAWAY frames sent by error code.", http2->goaway_sent },
		{ "echod_http2_goaway_received_total",
		  "Total number of GOAWAY frames received by error code.", http2->goaway_received },
		{ "echod_http2_rst_stream_sent_total",
		  "Total number of RST_STREAM frames sent by error code.", http2->rst_stream_sent },
		{ "echod_http2_rst_stream_received_total",
		  "Total number of RST_STREAM frames received by error code.",
		  http2->rst_stream_received },
		{ "echod_http2_protocol_errors_total",
		  "Total number of HTTP/2 connection errors detected locally by error code.",
		  http2->protocol_errors },
	};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct family *errors =
			family(build, METRIC_COUNTER, families[i].name, families[i].help,
			       (const char *const[]){ "error_code", NULL });

		for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
			const char *name = http2_error_name(code);

			families[i].by_code[code] = counter(build, errors, &name);
		}
	}
	http2->streams_active =
		plain_gauge(build, "echod_http2_streams_active", "Number of open HTTP/2 streams.");
	http2->streams_opened = plain_counter(build, "echod_http2_streams_opened_total",
					      "Total number of HTTP/2 streams opened by peers.");
	http2->pings_received = plain_counter(build, "echod_http2_pings_received_total",
					      "Total number of PING frames received.");
	http2->handshake_timeouts = plain_counter(
		build, "echod_http2_handshake_timeouts_total",
		"Total number of connections without an HTTP/2 handshake in due time.");
	http2->header_lists_too_large =
		plain_counter(build, "echod_http2_header_lists_too_large_total",
			      "Total number of header lists over the limit.");
	build_bounds(build, http2->bounds_reached);
}

static void build_web(struct build *build, struct web_meters *web)
{
#define X(number, phrase) #number,
	static const char *const codes[] = { HTTP1_STATUSES(X) "other" };
#undef X
	struct family *requests =
		family(build, METRIC_COUNTER, "echod_metrics_http_requests_total",
		       "Total number of requests to the metrics listener by status code.",
		       (const char *const[]){ "code", NULL });

	_Static_assert(ARRAY_SIZE(codes) == ARRAY_SIZE(web->requests), "one for each status");
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		web->requests[i] = counter(build, requests, &codes[i]);
	}
}

static void build_runs(struct build *build, struct runs_meters *runs)
{
	runs->evicted =
		plain_counter(build, "echod_runs_evicted_total",
			      "Total number of load runs that were forgotten for a newer one.");
	runs->untracked = plain_counter(build, "echod_runs_untracked_total",
					"Total number of calls of load runs that could not be told "
					"apart.");
}

static bool read_idle(void *user, double *ret)
{
	const struct loop *loop = user;

	*ret = (double)loop_idle_ns(loop) / (double)NS_PER_S;
	return true;
}

static void build_loop(struct build *build, struct loop_meters *meters, const struct loop *loop)
{
	meters->iterations = plain_counter(build, "echod_event_loop_iterations_total",
					   "Total number of event loop iterations.");

	struct family *lag = made(
		build, registry_histogram_family(build->registry, "echod_event_loop_lag_seconds",
						 "Delay of a periodic timer behind its due "
						 "time.",
						 NULL, &lag_bounds));

	meters->lag = lag ? made(build, family_histogram(lag, NULL)) : NULL;
	computed(build,
		 family(build, METRIC_COUNTER, "echod_event_loop_idle_seconds_total",
			"Total time the event loop waited for events.", NULL),
		 NULL, read_idle, loop);
}

static bool read_log_messages(void *user, double *ret)
{
	const enum log_level *level = user;

	*ret = (double)log_messages(*level);
	return true;
}

static bool read_log_dropped(void *user, double *ret)
{
	(void)user;
	*ret = (double)log_dropped();
	return true;
}

static void build_log(struct build *build)
{
	static const char *const names[LOG_LEVELS] = { "debug", "info", "warn", "error" };
	static const enum log_level levels[LOG_LEVELS] = { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO,
							   LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
	struct family *messages = family(build, METRIC_COUNTER, "echod_log_messages_total",
					 "Total number of log messages by level.",
					 (const char *const[]){ "level", NULL });

	for (size_t i = 0; i < LOG_LEVELS; i++) {
		computed(build, messages, &names[i], read_log_messages, &levels[i]);
	}
	computed(build,
		 family(build, METRIC_COUNTER, "echod_log_messages_dropped_total",
			"Total number of log messages that standard error did not take.", NULL),
		 NULL, read_log_dropped, NULL);
}

static void build_info(struct build *build)
{
	struct family *info = family(
		build, METRIC_GAUGE, "echod_build_info",
		"Constant 1; the labels name this build and the libraries that it runs with.",
		(const char *const[]){ "version", "revision", "compiler", "libuv", "nghttp2",
				       NULL });
	struct gauge *one =
		info ? made(build,
			    family_gauge(info, (const char *const[]){ echod_version, echod_revision,
								      echod_compiler,
								      net_library_version(),
								      http2_library_version() }))
		     : NULL;

	if (one) {
		gauge_set(one, 1);
	}
}

int meters_init(struct meters *meters, const struct loop *loop)
{
	*meters = (struct meters){ .registry = registry_new() };
	if (!meters->registry) {
		return -ENOMEM;
	}
	meters->process = process_metrics_new(meters->registry);
	if (!meters->process) {
		return -ENOMEM;
	}
	struct build build = { .registry = meters->registry };

	build_info(&build);
	build_echo(&build, &meters->echo);
	build_methods(&build, meters);
	build_grpc(&build, &meters->grpc);
	build_doors(&build, meters->doors);
	build_http2(&build, &meters->http2);
	build_web(&build, &meters->web);
	build_runs(&build, &meters->runs);
	build_loop(&build, &meters->loop, loop);
	build_log(&build);
	meters->ready = plain_gauge(&build, "echod_ready", "Whether the server accepts new calls.");
	meters->grpc.http2 = &meters->http2;
	return build.failed ? -ENOMEM : 0;
}

/* -- Methods -- */

struct meters_service {
	struct meters_service *next;
	struct grpc_method_meters methods[];
};

static bool read_counter(void *user, double *ret)
{
	const struct counter *counter = user;

	*ret = (double)counter_read(counter);
	return true;
}

/*
 * Echo counts what the frozen families show, and that is read again here, so that
 * a call that goes well costs no count more.
 */
static void add_echo(struct build *build, struct meters *meters, struct grpc_method_meters *method,
		     const char *const *values)
{
	*method = meters->echo;
	computed(build, meters->started, values, read_counter, method->started);
	computed(build, meters->handled, values, read_counter, method->handled_ok);
}

static void add_method(struct build *build, struct meters *meters,
		       struct grpc_method_meters *method, const char *const *values)
{
	*method = (struct grpc_method_meters){
		.started = counter(build, meters->started, values),
		.in_flight = &meters->unshown_gauge,
		.handled_ok = &meters->unshown_counter,
		.handled_failed = &meters->unshown_counter,
		.calls_ok = &meters->unshown_counter,
		.calls_failed = &meters->unshown_counter,
		.latency = &meters->unshown_histogram,
	};
	method->by_status[GRPC_OK] = counter(build, meters->handled, values);
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
		const char *values[] = { types[method->shape], service->name, method->name,
					 grpc_status_camel_name(GRPC_OK) };

		if (service == &echo_service) {
			add_echo(&build, meters, &added->methods[i], values);
		} else {
			add_method(&build, meters, &added->methods[i], values);
		}
		for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
			values[3] = grpc_status_camel_name(status);
			added->methods[i].by_status[status] =
				counter(&build, meters->handled, values);
		}
	}
	return build.failed ? NULL : added->methods;
}

void meters_deinit(struct meters *meters)
{
	while (meters->services) {
		struct meters_service *next = meters->services->next;

		free(meters->services);
		meters->services = next;
	}
	process_metrics_free(meters->process);
	registry_free(meters->registry);
	*meters = (struct meters){ 0 };
}

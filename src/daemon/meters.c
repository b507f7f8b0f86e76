#include "daemon/meters.h"

#include <errno.h>

#include "base/log.h"
#include "daemon/meters_p.h"
#include "version.h"

const char *const door_names[DOORS] = { "grpc", "metrics" };

static const char *const close_reasons[CONNECTION_CLOSE_REASONS] = {
	[CONNECTION_CLOSED_PEER] = "peer",   [CONNECTION_CLOSED_DONE] = "done",
	[CONNECTION_CLOSED_ERROR] = "error", [CONNECTION_CLOSED_TIMEOUT] = "timeout",
	[CONNECTION_CLOSED_LOCAL] = "local",
};

static void build_doors(struct build *build, struct meters_door_set doors[DOORS])
{
	static const char *const by_listener[] = { "listener", NULL };
	static const char *const by_reason[] = { "listener", "reason", NULL };
	struct family *active = build_family(build, METRIC_GAUGE, "echod_connections_active",
					     "Number of open connections.", by_listener);
	struct family *accepted =
		build_family(build, METRIC_COUNTER, "echod_connections_accepted_total",
			     "Total number of accepted connections.", by_listener);
	struct family *refused =
		build_family(build, METRIC_COUNTER, "echod_connections_refused_total",
			     "Total number of connections closed before being served.", by_reason);
	struct family *closed =
		build_family(build, METRIC_COUNTER, "echod_connections_closed_total",
			     "Total number of closed connections by reason.", by_reason);
	struct family *received =
		build_family(build, METRIC_COUNTER, "echod_network_receive_bytes_total",
			     "Total number of bytes read from sockets.", by_listener);
	struct family *sent =
		build_family(build, METRIC_COUNTER, "echod_network_transmit_bytes_total",
			     "Total number of bytes written to sockets.", by_listener);

	for (size_t i = 0; i < DOORS; i++) {
		struct meters_door_set *door = &doors[i];
		const char *name = door_names[i];

#define REASON(reason) ((const char *const[]){ name, (reason) })
		door->listener.accepted = build_counter(build, accepted, &name);
		door->listener.refused_limit = build_counter(build, refused, REASON("limit"));
		door->listener.refused_files = build_counter(build, refused, REASON("emfile"));
		door->refused_memory = build_counter(build, refused, REASON("memory"));
		door->connection.active = build_gauge(build, active, &name);
		door->connection.received_bytes = build_counter(build, received, &name);
		door->connection.sent_bytes = build_counter(build, sent, &name);
		for (size_t why = 0; why < CONNECTION_CLOSE_REASONS; why++) {
			door->connection.closed[why] =
				build_counter(build, closed, REASON(close_reasons[why]));
		}
#undef REASON
	}
}

static void build_bounds(struct build *build, struct counter *reached[HTTP2_BOUND_COUNT])
{
#define X(name, text) text,
	static const char *const names[] = { HTTP2_BOUNDS(X) };
#undef X
	struct family *bounds =
		build_family(build, METRIC_COUNTER, "echod_http2_bounds_reached_total",
			     "Total number of times that an HTTP/2 connection reached "
			     "one of its bounds, by bound.",
			     BUILD_LABELS("bound"));

	for (size_t i = 0; i < HTTP2_BOUND_COUNT; i++) {
		reached[i] = build_counter(build, bounds, &names[i]);
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
		struct family *errors = build_family(build, METRIC_COUNTER, families[i].name,
						     families[i].help, BUILD_LABELS("error_code"));

		for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
			const char *name = http2_error_name(code);

			families[i].by_code[code] = build_counter(build, errors, &name);
		}
	}
	http2->streams_active = build_plain_gauge(build, "echod_http2_streams_active",
						  "Number of open HTTP/2 streams.");
	http2->streams_opened =
		build_plain_counter(build, "echod_http2_streams_opened_total",
				    "Total number of HTTP/2 streams opened by peers.");
	http2->pings_received = build_plain_counter(build, "echod_http2_pings_received_total",
						    "Total number of PING frames received.");
	http2->handshake_timeouts = build_plain_counter(
		build, "echod_http2_handshake_timeouts_total",
		"Total number of connections without an HTTP/2 handshake in due time.");
	http2->header_lists_too_large =
		build_plain_counter(build, "echod_http2_header_lists_too_large_total",
				    "Total number of header lists over the limit.");
	build_bounds(build, http2->bounds_reached);
}

static void build_web(struct build *build, struct web_meters *web)
{
#define X(number, phrase) #number,
	static const char *const codes[] = { HTTP1_STATUSES(X) "other" };
#undef X
	struct family *requests =
		build_family(build, METRIC_COUNTER, "echod_metrics_http_requests_total",
			     "Total number of requests to the metrics listener by status code.",
			     BUILD_LABELS("code"));

	_Static_assert(ARRAY_SIZE(codes) == ARRAY_SIZE(web->requests), "one for each status");
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		web->requests[i] = build_counter(build, requests, &codes[i]);
	}
}

static void build_runs(struct build *build, struct runs_meters *runs)
{
	runs->evicted = build_plain_counter(
		build, "echod_runs_evicted_total",
		"Total number of load runs that were forgotten for a newer one.");
	runs->untracked =
		build_plain_counter(build, "echod_runs_untracked_total",
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
	meters->iterations = build_plain_counter(build, "echod_event_loop_iterations_total",
						 "Total number of event loop iterations.");

	meters->lag = build_plain_histogram(build, "echod_event_loop_lag_seconds",
					    "Delay of a periodic timer behind its due time.",
					    &histogram_fine_bounds);
	build_plain_computed(build, METRIC_COUNTER, "echod_event_loop_idle_seconds_total",
			     "Total time the event loop waited for events.", read_idle, loop);
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
	struct family *messages =
		build_family(build, METRIC_COUNTER, "echod_log_messages_total",
			     "Total number of log messages by level.", BUILD_LABELS("level"));

	for (size_t i = 0; i < LOG_LEVELS; i++) {
		build_computed(build, messages, &names[i], read_log_messages, &levels[i]);
	}
	build_plain_computed(build, METRIC_COUNTER, "echod_log_messages_dropped_total",
			     "Total number of log messages that standard error did not take.",
			     read_log_dropped, NULL);
}

static void build_info(struct build *build)
{
	struct family *info = build_family(
		build, METRIC_GAUGE, "echod_build_info",
		"Constant 1; the labels name this build and the libraries that it runs with.",
		BUILD_LABELS("version", "revision", "compiler", "libuv", "nghttp2"));
	struct gauge *one =
		build_gauge(build, info,
			    BUILD_LABELS(echod_version, echod_revision, echod_compiler,
					 net_library_version(), http2_library_version()));

	if (one) {
		gauge_set(one, 1);
	}
}

static void build_errors(struct build *build, struct meters *meters)
{
	struct family *errors =
		build_family(build, METRIC_COUNTER, "echod_internal_errors_total",
			     "Total number of internal errors by kind.", BUILD_LABELS("kind"));

	meters->bad_observations = build_counter(build, errors, BUILD_LABELS("bad_observation"));
}

void meters_watch_histogram(const struct meters *meters, struct histogram *histogram)
{
	if (histogram) {
		histogram->refused = meters->bad_observations;
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

	build_errors(&build, meters);
	build_info(&build);
	meters_build_grpc(&build, meters);
	build_doors(&build, meters->doors);
	build_http2(&build, &meters->http2);
	build_web(&build, &meters->web);
	build_runs(&build, &meters->runs);
	build_loop(&build, &meters->loop, loop);
	meters_watch_histogram(meters, meters->loop.lag);
	build_log(&build);
	meters->ready =
		build_plain_gauge(&build, "echod_ready", "Whether the server accepts new calls.");
	meters->draining = build_plain_gauge(&build, "echod_draining",
					     "Whether the server has been told to stop.");
	return build.failed ? -ENOMEM : 0;
}

static bool read_render(void *user, double *ret)
{
	const struct scrape *scrape = user;

	*ret = (double)scrape->last_render_ns / (double)NS_PER_S;
	return true;
}

int meters_add_scrape(struct meters *meters, const struct scrape *scrape)
{
	struct build build = { .registry = meters->registry };

	build_plain_computed(&build, METRIC_GAUGE, "echod_exposition_render_seconds",
			     "Time that rendering the latest exposition took.", read_render,
			     scrape);
	return build.failed ? -ENOMEM : 0;
}

void meters_deinit(struct meters *meters)
{
	meters_free_services(meters);
	process_metrics_free(meters->process);
	registry_free(meters->registry);
	*meters = (struct meters){ 0 };
}

#include "daemon/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "logfmt", "json", NULL };

#define DAY_NS (24 * 60 * 60 * (uint64_t)NS_PER_S)

static int parse_instance(const char *text, void *value, char *why, size_t size)
{
	if (strlen(text) != CONFIG_INSTANCE_DIGITS ||
	    strspn(text, "0123456789abcdefABCDEF") != CONFIG_INSTANCE_DIGITS) {
		snprintf(why, size, "is not %d hexadecimal digits", CONFIG_INSTANCE_DIGITS);
		return -1;
	}
	memcpy(value, text, CONFIG_INSTANCE_DIGITS + 1);
	return 0;
}

/* A time, or "infinity". */
static int parse_bound(const char *text, void *value, char *why, size_t size)
{
	int64_t *ns = value;
	int64_t parsed = CONFIG_INFINITY_NS;

	if (strcmp(text, "infinity") != 0) {
		if (parse_duration(text, &parsed, why, size) < 0) {
			return -1;
		}
		if (parsed < NS_PER_MS || parsed > CONFIG_LONGEST_NS) {
			snprintf(why, size, "is neither between 1ms and 8760h nor infinity");
			return -1;
		}
	}
	*ns = parsed;
	return 0;
}

static int parse_health(const char *text, void *value, char *why, size_t size)
{
	return faults_plan_set(value, "health", text, why, size);
}

/* The fields of one row that stand in every row. */
#define ROW(flag, kind, member) \
	.name = (flag), .type = (kind), .offset = offsetof(struct config, member), .group = GROUP

/* What a listener does without an address. */
#ifdef ECHOD_SYSTEMD
#define OTHERWISE(name, port) \
	"Where it is not given: the inherited socket named \"" name "\", or :" port "."
#else
#define OTHERWISE(name, port) "Where it is not given: :" port "."
#endif

static const struct option table[] = {
#define GROUP "Listening"
	{ ROW("grpc.listen-address", OPTION_STRINGS, grpc_addresses), .placeholder = "ADDRESS",
	  .help = "Where gRPC is served: HOST:PORT, :PORT for all addresses, unix:/PATH or "
		  "unix:@NAME; repeatable. " OTHERWISE("grpc", CONFIG_DEFAULT_GRPC_PORT) },
	{ ROW("web.listen-address", OPTION_STRINGS, web_addresses), .placeholder = "ADDRESS",
	  .help = "Where metrics and health are served, written alike; "
		  "repeatable. " OTHERWISE("metrics", CONFIG_DEFAULT_WEB_PORT) },
	{ ROW("web.telemetry-path", OPTION_STRING, telemetry_path), .placeholder = "PATH",
	  .value = "/metrics", .help = "Path of the metrics." },
	{ ROW("web.enable-openmetrics", OPTION_BOOL, web_enable_openmetrics), .value = "false",
	  .help = "Give metrics in the format OpenMetrics 1.0 to whom asks for it. Its bounds of "
		  "buckets are written otherwise (le=\"5.0\"), so that an older Prometheus takes "
		  "them for other series." },
	{ ROW("web.enable-lifecycle", OPTION_BOOL, web_enable_lifecycle), .value = "false",
	  .help = "Let POST to /-/faults change at run time what is done to calls on purpose. "
		  "Whoever reaches the metrics can." },
#undef GROUP
#define GROUP "Logging"
	{ ROW("log.level", OPTION_ENUM, log_level), .placeholder = "LEVEL", .value = "info",
	  .choices = log_levels, .help = "Least level that is logged." },
	{ ROW("log.format", OPTION_ENUM, log_format), .placeholder = "FORMAT", .value = "logfmt",
	  .choices = log_formats, .help = "Form of the lines." },
#undef GROUP
#define GROUP "Stopping"
	{ ROW("shutdown.delay", OPTION_DURATION, shutdown_delay_ns), .placeholder = "DURATION",
	  .value = "0s", .max = DAY_NS,
	  .help = "Time between the signal and the end of accepting: not ready, and still "
		  "serving, so that load balancers notice." },
	{ ROW("shutdown.grace", OPTION_DURATION, shutdown_grace_ns), .placeholder = "DURATION",
	  .value = "15s", .max = DAY_NS,
	  .help = "Time that calls have to finish after that; then they are cut." },
#undef GROUP
#define GROUP "Echo"
	{ ROW("echo.delay", OPTION_CUSTOM, faults.delay), .placeholder = "DELAY", .value = "none",
	  .parse = delay_parse,
	  .help = "Delay of each reply: none, a duration, uniform:LOW,HIGH (whole milliseconds, "
		  "HIGH excluded), normal:MEAN,DEVIATION, exponential:MEAN, DURATION:PERCENT,... "
		  "(the rest is not delayed) or pPERCENT=DURATION,..." },
	{ ROW("echo.status", OPTION_CUSTOM, faults.statuses), .placeholder = "STATUS:PERCENT,...",
	  .value = "none", .parse = faults_status_parse,
	  .help = "Calls that fail on purpose, after their delay: UNAVAILABLE:2,INTERNAL:0.5 is "
		  "two in a hundred and one in two hundred." },
	{ ROW("echo.abort", OPTION_CUSTOM, faults.aborts), .placeholder = "KIND:PERCENT,...",
	  .value = "none", .parse = faults_abort_parse,
	  .help = "Calls that are broken on purpose: reset (the stream), close (the connection), "
		  "hang (no reply) or truncate (half a message)." },
	{ ROW("echo.fault-mode", OPTION_ENUM, faults.mode), .placeholder = "MODE",
	  .value = "random", .choices = faults_modes,
	  .help = "How it is decided which calls: by a die, or every n-th so that their number is "
		  "exact." },
	{ ROW("echo.seed", OPTION_UINT, faults.seed), .placeholder = "N", .min = 1,
	  .help = "Where the drawing of delays and faults begins: the same seed, the same one "
		  "after the other. Where it is not given each start has its own." },
	{ ROW("echo.hang-limit", OPTION_DURATION, faults.hang_limit_ns), .placeholder = "DURATION",
	  .value = "60s", .min = FAULTS_LEAST_HANG_NS, .max = FAULTS_LONGEST_HANG_NS,
	  .help = "Time after which a call that hangs fails even so, with DEADLINE_EXCEEDED." },
	{ ROW("echo.health", OPTION_CUSTOM, faults), .placeholder = "HEALTH", .value = "serving",
	  .parse = parse_health,
	  .help = "What health and readiness say while calls are served: serving, or not-serving "
		  "on purpose." },
	{ ROW("echo.allow-metadata-faults", OPTION_BOOL, allow_metadata_faults), .value = "false",
	  .help = "Let callers ask for a delay or a fault of their own in a call's metadata "
		  "(echod-delay, echod-fault)." },
	{ ROW("echo.identify", OPTION_BOOL, echo_identify), .value = "true",
	  .help = "Name this process and the connection in each reply's metadata "
		  "(echod-instance, echod-connection)." },
	{ ROW("echo.max-runs", OPTION_UINT, echo_max_runs), .placeholder = "N", .value = "8",
	  .max = RUNS_MOST,
	  .help = "Load runs of which it is kept which calls arrived (/-/runs/), for "
		  "`echod client --reconcile`; up to 6 MiB each. 0: none." },
	{ ROW("instance", OPTION_CUSTOM, instance), .placeholder = "ID", .parse = parse_instance,
	  .help = "What this process is called in echod-instance: 16 hexadecimal digits. Where "
		  "it is not given they are drawn at start." },
#undef GROUP
#define GROUP "Testing"
	{ ROW("grpc.interop", OPTION_BOOL, grpc_interop), .value = "false",
	  .help = "Also serve grpc.testing.TestService, which gRPC's interoperability tests "
		  "call. Its callers may ask for much: not for production." },
#undef GROUP
#define GROUP "Connections"
	{ ROW("grpc.keepalive-time", OPTION_CUSTOM, grpc_keepalive_time_ns),
	  .placeholder = "DURATION", .value = "2h", .parse = parse_bound,
	  .help = "Silence of a client after which it is sent a PING. Or infinity: never." },
	{ ROW("grpc.keepalive-timeout", OPTION_DURATION, grpc_keepalive_timeout_ns),
	  .placeholder = "DURATION", .value = "20s", .min = NS_PER_MS, .max = DAY_NS,
	  .help = "Time that it then has to say anything before its connection is closed." },
	{ ROW("grpc.keepalive-min-time", OPTION_DURATION, grpc_keepalive_min_time_ns),
	  .placeholder = "DURATION", .value = "5m", .max = DAY_NS,
	  .help = "Least time between PINGs of a client with calls in progress; with none it "
		  "is 2h. The third that comes too early without a reply since the one before "
		  "ends the connection." },
	{ ROW("grpc.max-connection-idle", OPTION_CUSTOM, grpc_max_connection_idle_ns),
	  .placeholder = "DURATION", .value = "infinity", .parse = parse_bound,
	  .help = "Time without a call after which a connection is drained." },
	{ ROW("grpc.max-connection-age", OPTION_CUSTOM, grpc_max_connection_age_ns),
	  .placeholder = "DURATION", .value = "infinity", .parse = parse_bound,
	  .help = "Age at which a connection is drained, give or take a tenth, so that clients "
		  "spread again." },
	{ ROW("grpc.max-connection-age-grace", OPTION_CUSTOM, grpc_max_connection_age_grace_ns),
	  .placeholder = "DURATION", .value = "infinity", .parse = parse_bound,
	  .help = "Time that its calls have to finish after that; then they are cut." },
#undef GROUP
#define GROUP "Limits"
	{ ROW("grpc.max-message-bytes", OPTION_SIZE, grpc_max_message_bytes), .placeholder = "SIZE",
	  .value = "4MiB", .min = 1, .max = INT32_MAX,
	  .help = "Largest message that is received; beyond it RESOURCE_EXHAUSTED." },
	{ ROW("grpc.max-header-bytes", OPTION_SIZE, grpc_max_header_bytes), .placeholder = "SIZE",
	  .value = "16KiB", .min = 1024, .max = 1024 * 1024,
	  .help = "Largest header list of a request, counted as RFC 9113 10.5.1 does." },
	{ ROW("grpc.max-concurrent-streams", OPTION_UINT, grpc_max_concurrent_streams),
	  .placeholder = "N", .value = "100", .min = 1, .max = INT32_MAX,
	  .help = "Calls in progress on one connection." },
	{ ROW("grpc.max-connections", OPTION_UINT, grpc_max_connections), .placeholder = "N",
	  .min = 1,
	  .help = "gRPC connections; at the bound accepting pauses. Where it is not given: the "
		  "limit of open files less 64." },
	{ ROW("grpc.max-buffered-bytes", OPTION_SIZE, grpc_max_buffered_bytes),
	  .placeholder = "SIZE", .value = "256MiB", .min = 1,
	  .help = "Messages and metadata of all calls together; a request beyond it is "
		  "RESOURCE_EXHAUSTED." },
	{ ROW("grpc.handshake-timeout", OPTION_DURATION, grpc_handshake_timeout_ns),
	  .placeholder = "DURATION", .value = "10s", .min = NS_PER_MS, .max = DAY_NS,
	  .help = "Time that a new connection has for the HTTP/2 preface and SETTINGS." },
	{ ROW("grpc.stall-timeout", OPTION_CUSTOM, grpc_stall_timeout_ns),
	  .placeholder = "DURATION", .value = "30s", .parse = parse_bound,
	  .help = "Time that a reply waits while its client takes nothing of it; then the call "
		  "is reset. Or infinity." },
	{ ROW("web.max-connections", OPTION_UINT, web_max_connections), .placeholder = "N",
	  .value = "128", .min = 1, .max = 65536,
	  .help = "HTTP connections; beyond it the longest-stalled gives way." },
#undef GROUP
};

static const struct options options = {
	.program = "echod serve",
	.synopsis = "[FLAGS]",
	.about = "Answers muzz.Service/Echo over gRPC with the request's message, and serves "
		 "metrics of it over HTTP.",
	.footer = "Signals: TERM and INT drain, a second one ends at once; HUP is logged.\n"
		  "Exit status: 0 drained, 1 cannot run, 2 bad flag or variable, 128+N on a second "
		  "signal N.\n\n"
		  "Examples:\n"
		  "  echod serve\n"
		  "  echod serve --grpc.listen-address=127.0.0.1:9876 --log.format=json\n"
		  "  echod serve --echo.delay=uniform:0s,5s\n"
		  "  echod serve --echo.status=UNAVAILABLE:2 --echo.fault-mode=every-nth\n"
		  "  ECHOD_SHUTDOWN_DELAY=5s echod serve\n",
	.table = table,
	.n = ARRAY_SIZE(table),
	.environment = "ECHOD_",
};

/* Every address is taken apart here, so that a bad one is a usage error and no later surprise. */
static int check_addresses(const char *flag, const char *variable,
			   const struct option_strings *addresses, char *error, size_t size)
{
	for (size_t i = 0; i < addresses->n; i++) {
		struct address_spec spec;
		char why[128] = "";

		if (address_parse(addresses->items[i], NULL, &spec, why, sizeof(why)) < 0) {
			snprintf(error, size, "--%s (or %s): \"%.64s\" %s", flag, variable,
				 addresses->items[i], why);
			return -1;
		}
	}
	return 0;
}

/* The characters that need no escaping, neither in a URL nor in HTML. */
static bool plain_path(const char *path)
{
	for (const char *c = path; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("/._~-", *c)) {
			return false;
		}
	}
	return true;
}

static int check_path(const char *path, char *error, size_t size)
{
	const char *why = NULL;

	if (path[0] != '/') {
		why = "does not begin with a slash";
	} else if (!plain_path(path)) {
		why = "has a character other than letters, digits and /._~-";
	} else if (strcmp(path, CONFIG_PATH_HEALTHY) == 0 || strcmp(path, CONFIG_PATH_READY) == 0 ||
		   strcmp(path, CONFIG_PATH_FAULTS) == 0 ||
		   strncmp(path, CONFIG_PATH_RUNS, strlen(CONFIG_PATH_RUNS)) == 0) {
		why = "is taken";
	}
	if (why) {
		snprintf(error, size,
			 "--web.telemetry-path (or ECHOD_WEB_TELEMETRY_PATH): \"%.64s\" %s", path,
			 why);
		return -1;
	}
	return 0;
}

/* What no flag can see for itself. */
static int check_faults(const struct faults_plan *plan, char *error, size_t size)
{
	char why[128] = "";

	if (faults_plan_check(plan, why, sizeof(why)) < 0) {
		snprintf(error, size, "--echo.status and --echo.abort (or their variables) %s",
			 why);
		return -1;
	}
	return 0;
}

enum options_result config_parse(struct config *ret, int argc, char **argv, char **envp,
				 void (*warn)(const char *variable), char *error, size_t size)
{
	*ret = (struct config){ 0 };

	enum options_result result =
		options_parse(&options, ret, argc, argv, envp, &ret->operands, warn, error, size);

	if (result == OPTIONS_OK && ret->operands.n > 0) {
		snprintf(error, size, "unexpected argument \"%.64s\"", ret->operands.items[0]);
		result = OPTIONS_ERROR;
	}
	if (result == OPTIONS_OK &&
	    (check_addresses("grpc.listen-address", "ECHOD_GRPC_LISTEN_ADDRESS",
			     &ret->grpc_addresses, error, size) < 0 ||
	     check_addresses("web.listen-address", "ECHOD_WEB_LISTEN_ADDRESS", &ret->web_addresses,
			     error, size) < 0 ||
	     check_path(ret->telemetry_path, error, size) < 0 ||
	     check_faults(&ret->faults, error, size) < 0)) {
		result = OPTIONS_ERROR;
	}
	if (result == OPTIONS_ERROR) {
		options_one_line(error);
	}
	return result;
}

void config_free(struct config *config)
{
	options_free(&options, config, &config->operands);
}

void config_help(FILE *out)
{
	options_help(&options, out);
}

/* The daemon's flags and environment: defaults, precedence, and one line for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "daemon/config.h"

struct fixture {
	struct config config;
	char error[256];
};

#define MAX_ARGUMENTS 16

static int n_warned;
static char warned[64];

static void on_warn(const char *variable)
{
	n_warned++;
	strncpy(warned, variable, sizeof(warned) - 1);
}

/* `flags` and `variables` end with NULL. */
static enum options_result parse(struct fixture *fixture, const char *const *flags,
				 const char *const *variables)
{
	char program[] = "serve";
	char storage[2][MAX_ARGUMENTS][128];
	char *argv[MAX_ARGUMENTS + 2] = { program }, *envp[MAX_ARGUMENTS + 1] = { NULL };
	int argc = 1, n = 0;
	enum options_result result;

	for (; flags && *flags; flags++, argc++) {
		argv[argc] = strcpy(storage[0][argc - 1], *flags);
	}
	for (; variables && *variables; variables++, n++) {
		envp[n] = strcpy(storage[1][n], *variables);
	}
	n_warned = 0;
	fixture->error[0] = '\0';
	result = config_parse(&fixture->config, argc, argv, envp, on_warn, fixture->error,
			      sizeof(fixture->error));
	return result;
}

#define FLAGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void defaults_are_the_documented_ones(void **state)
{
	struct fixture f;
	const struct config *config = &f.config;

	(void)state;
	assert_int_equal(parse(&f, NULL, NULL), OPTIONS_OK);
	assert_int_equal(config->grpc_addresses.n, 0);
	assert_int_equal(config->web_addresses.n, 0);
	assert_string_equal(config->telemetry_path, "/metrics");
	assert_int_equal(config->log_level, LOG_LEVEL_INFO);
	assert_int_equal(config->log_format, LOG_FORMAT_LOGFMT);
	assert_int_equal(config->shutdown_delay_ns, 0);
	assert_int_equal(config->shutdown_grace_ns, 15 * NS_PER_S);
	assert_int_equal(config->faults.delay.kind, DELAY_NONE);
	assert_int_equal(config->faults.seed, 0);
	assert_int_equal(config->faults.statuses.n + config->faults.aborts.n, 0);
	assert_int_equal(config->faults.mode, FAULTS_RANDOM);
	assert_int_equal(config->faults.hang_limit_ns, 60 * NS_PER_S);
	assert_false(config->faults.unhealthy);
	assert_false(config->allow_metadata_faults);
	assert_false(config->web_enable_openmetrics);
	assert_false(config->web_enable_lifecycle);
	assert_true(config->echo_identify);
	assert_int_equal(config->echo_max_runs, 8);
	assert_false(config->grpc_interop);
	assert_string_equal(config->instance, "");
	assert_int_equal(config->grpc_max_message_bytes, 4 * MIB);
	assert_int_equal(config->grpc_max_header_bytes, 16 * KIB);
	assert_int_equal(config->grpc_max_concurrent_streams, 100);
	assert_int_equal(config->grpc_max_connections, 0);
	assert_int_equal(config->grpc_max_buffered_bytes, 256 * MIB);
	assert_int_equal(config->grpc_handshake_timeout_ns, 10 * NS_PER_S);
	assert_int_equal(config->grpc_stall_timeout_ns, 30 * NS_PER_S);
	assert_int_equal(config->grpc_keepalive_time_ns, 7200 * NS_PER_S);
	assert_int_equal(config->grpc_keepalive_timeout_ns, 20 * NS_PER_S);
	assert_int_equal(config->grpc_keepalive_min_time_ns, 300 * NS_PER_S);
	assert_true(config->grpc_max_connection_idle_ns == CONFIG_INFINITY_NS);
	assert_true(config->grpc_max_connection_age_ns == CONFIG_INFINITY_NS);
	assert_true(config->grpc_max_connection_age_grace_ns == CONFIG_INFINITY_NS);
	assert_int_equal(config->web_max_connections, 128);
	config_free(&f.config);
}

static void every_flag_of_faults_is_taken(void **state)
{
	struct fixture f;
	const struct config *config = &f.config;
	const struct faults_plan *plan = &config->faults;

	(void)state;
	assert_int_equal(
		parse(&f,
		      FLAGS("--echo.delay=p50=2ms,p99=80ms",
			    "--echo.status=UNAVAILABLE:2,INTERNAL:0.5",
			    "--echo.abort=reset:1,hang:0.25", "--echo.fault-mode=every-nth",
			    "--echo.seed=7", "--echo.hang-limit=2s", "--echo.health=not-serving",
			    "--echo.allow-metadata-faults", "--web.enable-openmetrics",
			    "--web.enable-lifecycle"),
		      NULL),
		OPTIONS_OK);
	assert_int_equal(plan->delay.kind, DELAY_PERCENTILES);
	assert_int_equal(plan->statuses.n, 2);
	assert_int_equal(plan->statuses.faults[0].status, GRPC_UNAVAILABLE);
	assert_int_equal(plan->statuses.faults[0].share, FAULTS_WHOLE / 50);
	assert_int_equal(plan->aborts.n, 2);
	assert_int_equal(plan->aborts.faults[1].kind, FAULT_HANG);
	assert_int_equal(plan->mode, FAULTS_EVERY_NTH);
	assert_int_equal(plan->seed, 7);
	assert_int_equal(plan->hang_limit_ns, 2 * NS_PER_S);
	assert_true(plan->unhealthy);
	assert_true(config->allow_metadata_faults);
	assert_true(config->web_enable_openmetrics);
	assert_true(config->web_enable_lifecycle);
	config_free(&f.config);
}

static void a_plan_of_more_than_all_calls_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(
		parse(&f, FLAGS("--echo.status=UNAVAILABLE:60", "--echo.abort=reset:40"), NULL),
		OPTIONS_OK);
	config_free(&f.config);
	assert_int_equal(
		parse(&f, FLAGS("--echo.status=UNAVAILABLE:60", "--echo.abort=reset:41"), NULL),
		OPTIONS_ERROR);
	assert_string_equal(f.error, "--echo.status and --echo.abort (or their variables) together "
				     "come to more than 100 %");
	config_free(&f.config);
	assert_int_equal(parse(&f, FLAGS("--echo.health=ill"), NULL), OPTIONS_ERROR);
	assert_non_null(strstr(f.error, "--echo.health"));
	assert_non_null(strstr(f.error, "is neither serving nor not-serving"));
	config_free(&f.config);
}

static void every_flag_is_taken(void **state)
{
	struct fixture f;
	const struct config *config = &f.config;

	(void)state;
	assert_int_equal(
		parse(&f,
		      FLAGS("--grpc.listen-address=127.0.0.1:1", "--grpc.listen-address=unix:@x",
			    "--web.listen-address=[::1]:2", "--web.telemetry-path=/m",
			    "--log.level=error", "--log.format=json", "--shutdown.delay=2s",
			    "--shutdown.grace=1m", "--echo.delay=uniform:0s,5s",
			    "--echo.seed=18446744073709551615", "--echo.identify=false",
			    "--echo.max-runs=0", "--grpc.interop", "--instance=00112233aabbCCdd",
			    "--grpc.max-message-bytes=1KiB"),
		      NULL),
		OPTIONS_OK);
	assert_int_equal(config->grpc_addresses.n, 2);
	assert_string_equal(config->grpc_addresses.items[1], "unix:@x");
	assert_int_equal(config->web_addresses.n, 1);
	assert_string_equal(config->telemetry_path, "/m");
	assert_int_equal(config->log_level, LOG_LEVEL_ERROR);
	assert_int_equal(config->log_format, LOG_FORMAT_JSON);
	assert_int_equal(config->shutdown_delay_ns, 2 * NS_PER_S);
	assert_int_equal(config->shutdown_grace_ns, 60 * NS_PER_S);
	assert_int_equal(config->faults.delay.kind, DELAY_UNIFORM);
	assert_int_equal(config->faults.delay.high_ns, 5 * NS_PER_S);
	assert_true(config->faults.seed == UINT64_MAX);
	assert_false(config->echo_identify);
	assert_int_equal(config->echo_max_runs, 0);
	assert_true(config->grpc_interop);
	assert_string_equal(config->instance, "00112233aabbCCdd");
	assert_int_equal(config->grpc_max_message_bytes, 1024);
	config_free(&f.config);
	assert_int_equal(
		parse(&f,
		      FLAGS("--grpc.max-header-bytes=2KiB", "--grpc.max-concurrent-streams=7",
			    "--grpc.max-connections=8", "--grpc.max-buffered-bytes=1MiB",
			    "--grpc.handshake-timeout=250ms", "--web.max-connections=9"),
		      NULL),
		OPTIONS_OK);
	assert_int_equal(config->grpc_max_header_bytes, 2048);
	assert_int_equal(config->grpc_max_concurrent_streams, 7);
	assert_int_equal(config->grpc_max_connections, 8);
	assert_int_equal(config->grpc_max_buffered_bytes, MIB);
	assert_int_equal(config->grpc_handshake_timeout_ns, 250 * NS_PER_MS);
	assert_int_equal(config->web_max_connections, 9);
	config_free(&f.config);
	assert_int_equal(
		parse(&f,
		      FLAGS("--grpc.keepalive-time=infinity", "--grpc.keepalive-timeout=1s",
			    "--grpc.keepalive-min-time=0", "--grpc.max-connection-idle=5m",
			    "--grpc.max-connection-age=1h", "--grpc.max-connection-age-grace=30s",
			    "--grpc.stall-timeout=infinity"),
		      NULL),
		OPTIONS_OK);
	assert_true(config->grpc_keepalive_time_ns == CONFIG_INFINITY_NS);
	assert_int_equal(config->grpc_keepalive_timeout_ns, NS_PER_S);
	assert_int_equal(config->grpc_keepalive_min_time_ns, 0);
	assert_int_equal(config->grpc_max_connection_idle_ns, 300 * NS_PER_S);
	assert_int_equal(config->grpc_max_connection_age_ns, 3600 * NS_PER_S);
	assert_int_equal(config->grpc_max_connection_age_grace_ns, 30 * NS_PER_S);
	assert_true(config->grpc_stall_timeout_ns == CONFIG_INFINITY_NS);
	config_free(&f.config);
}

static void the_environment_gives_way_to_flags(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(parse(&f, FLAGS("--log.level=warn"),
			       FLAGS("ECHOD_LOG_LEVEL=debug", "ECHOD_LOG_FORMAT=json",
				     "ECHOD_GRPC_LISTEN_ADDRESS=:1,unix:/x", "HOME=/")),
			 OPTIONS_OK);
	assert_int_equal(f.config.log_level, LOG_LEVEL_WARN);
	assert_int_equal(f.config.log_format, LOG_FORMAT_JSON);
	assert_int_equal(f.config.grpc_addresses.n, 2);
	assert_string_equal(f.config.grpc_addresses.items[1], "unix:/x");
	assert_int_equal(n_warned, 0);
	config_free(&f.config);
}

static void unknown_variables_are_warned_of(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(parse(&f, NULL, FLAGS("ECHOD_LOG_LEVELS=debug")), OPTIONS_OK);
	assert_int_equal(n_warned, 1);
	assert_string_equal(warned, "ECHOD_LOG_LEVELS");
	config_free(&f.config);
}

static void each_mistake_is_one_line_that_names_it(void **state)
{
	static const struct {
		const char *flag, *variable; /* one of the two */
		const char *named[2];
	} mistakes[] = {
		{ "--nonsense", NULL, { "--nonsense" } },
		{ "operand", NULL, { "operand" } },
		{ "--grpc.listen-address=nowhere", NULL, { "--grpc.listen-address", "nowhere" } },
		{ "--grpc.listen-address=:70000", NULL, { "--grpc.listen-address", ":70000" } },
		{ "--web.listen-address=[::1", NULL, { "--web.listen-address", "[::1" } },
		{ NULL, "ECHOD_WEB_LISTEN_ADDRESS=x:y", { "ECHOD_WEB_LISTEN_ADDRESS", "x:y" } },
		{ "--web.telemetry-path=metrics", NULL, { "--web.telemetry-path", "metrics" } },
		{ "--web.telemetry-path=/a b", NULL, { "--web.telemetry-path", "/a b" } },
		{ "--web.telemetry-path=/-/ready", NULL, { "--web.telemetry-path", "/-/ready" } },
		{ "--web.telemetry-path=", NULL, { "--web.telemetry-path" } },
		{ "--log.level=loud", NULL, { "--log.level", "loud" } },
		{ NULL, "ECHOD_LOG_LEVEL=loud", { "ECHOD_LOG_LEVEL", "loud" } },
		{ "--log.format=xml", NULL, { "--log.format", "xml" } },
		{ "--shutdown.grace=fast", NULL, { "--shutdown.grace", "fast" } },
		{ "--shutdown.delay=-1s", NULL, { "--shutdown.delay", "-1s" } },
		{ "--echo.seed=0", NULL, { "--echo.seed" } },
		{ "--echo.seed=-1", NULL, { "--echo.seed" } },
		{ "--echo.delay=some", NULL, { "--echo.delay", "some" } },
		{ "--instance=123", NULL, { "--instance", "123" } },
		{ "--instance=00112233445566778", NULL, { "--instance", "00112233445566778" } },
		{ "--instance=001122334455667g", NULL, { "--instance", "001122334455667g" } },
		{ "--grpc.max-message-bytes=0", NULL, { "--grpc.max-message-bytes", "0" } },
		{ "--grpc.max-message-bytes=2GiB", NULL, { "--grpc.max-message-bytes", "2GiB" } },
		{ "--grpc.max-header-bytes=10", NULL, { "--grpc.max-header-bytes", "10" } },
		{ "--grpc.max-connections=0", NULL, { "--grpc.max-connections", "0" } },
		{ "--grpc.max-concurrent-streams=many",
		  NULL,
		  { "max-concurrent-streams", "many" } },
		{ "--grpc.max-connection-age=0",
		  NULL,
		  { "--grpc.max-connection-age", "infinity" } },
		{ "--grpc.keepalive-time=never", NULL, { "--grpc.keepalive-time", "never" } },
		{ "--grpc.stall-timeout=8761h", NULL, { "--grpc.stall-timeout", "8760h" } },
		{ "--grpc.handshake-timeout=0", NULL, { "--grpc.handshake-timeout", "0" } },
		{ "--web.max-connections=0", NULL, { "--web.max-connections", "0" } },
		{ "--log.level", NULL, { "--log.level" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		struct fixture f;
		const char *flags[] = { mistakes[i].flag, NULL };
		const char *variables[] = { mistakes[i].variable, NULL };

		assert_int_equal(parse(&f, flags, variables), OPTIONS_ERROR);
		for (size_t j = 0; j < 2 && mistakes[i].named[j]; j++) {
			if (!strstr(f.error, mistakes[i].named[j])) {
				fail_msg("\"%s\" does not name \"%s\"", f.error,
					 mistakes[i].named[j]);
			}
		}
		assert_null(strchr(f.error, '\n'));
		config_free(&f.config);
	}
}

static void help_and_version_are_told_apart(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(parse(&f, FLAGS("--help"), NULL), OPTIONS_HELP);
	config_free(&f.config);
	assert_int_equal(parse(&f, FLAGS("--version"), NULL), OPTIONS_VERSION);
	config_free(&f.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_documented_ones),
		cmocka_unit_test(every_flag_of_faults_is_taken),
		cmocka_unit_test(a_plan_of_more_than_all_calls_is_refused),
		cmocka_unit_test(every_flag_is_taken),
		cmocka_unit_test(the_environment_gives_way_to_flags),
		cmocka_unit_test(unknown_variables_are_warned_of),
		cmocka_unit_test(each_mistake_is_one_line_that_names_it),
		cmocka_unit_test(help_and_version_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

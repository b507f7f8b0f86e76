/*
 * `echod serve`: the composition root. Builds the object graph from the
 * configuration, runs the loop, and takes everything down in reverse.
 *
 * The happy path: config -> log -> file limit -> loop -> meters -> services ->
 * doors -> ready -> run -> (signal) -> drained -> torn down -> exit 0.
 *
 *	STARTING -> SERVING -> LAME -> DRAINING -> CUTTING -> LEAVING -> gone
 *	    |                (delay)   (grace)                  (metrics)
 *	    +--------------> ENDING (cannot start; second signal) ----> gone
 *
 * LAME: not ready, health says so to who watches it, listeners still open.
 * DRAINING: the gRPC door closes, calls finish. CUTTING: what is left is told
 * goodbye. LEAVING: the metrics door closes. In ENDING everything is aborted. A
 * phase ends when its doors are empty or its time is over.
 *
 * What can fail: every step of the start (exit 1, one line that says why).
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "commands.h"
#include "daemon/config.h"
#include "daemon/door.h"
#include "daemon/face.h"
#include "daemon/bounds.h"
#include "daemon/meters.h"
#include "daemon/services.h"
#include "daemon/systemd.h"
#include "grpc/server.h"
#include "version.h"
#include "web/routes.h"

/*
 * Between what health says last and the first GOAWAY, which nghttp2 sends ahead of
 * what still waits in a session. Where a turn of the loop takes longer, the order of
 * wake-ups keeps the two apart: who watches was woken before the drain was.
 */
#define LEAST_DELAY_NS (1 * NS_PER_MS)
/* A peer that takes no goodbye within this time is aborted. */
#define CUT_NS (1 * NS_PER_S)
/* What the last scrape has, once no call is left. */
#define LEAVE_NS (2 * NS_PER_S)
/* HTTP connections, as a multiple of the limit: as many again may be there to be told 503. */
#define WEB_SURPLUS 2
/* Of CONFIG_RESERVED_FILES, what HTTP may use where gRPC has taken all of its own. */
#define WEB_RESERVED_FILES (CONFIG_RESERVED_FILES / 2)

enum phase {
	PHASE_STARTING,
	PHASE_SERVING,
	PHASE_LAME,
	PHASE_DRAINING,
	PHASE_CUTTING,
	PHASE_LEAVING,
	PHASE_ENDING,
};

static const int caught_signals[] = { SIGTERM, SIGINT, SIGHUP };

struct app {
	struct config config;
	size_t max_files;
	struct systemd systemd;
	struct loop *loop;
	struct meters meters;
	struct random random;
	char instance[CONFIG_INSTANCE_DIGITS + 1];
	struct services services;
	struct grpc_server_limits grpc_limits;
	struct grpc_server *grpc;
	struct face face;
	struct door_house house;
	struct door doors[DOORS];
	struct loop_signal *signals[ARRAY_SIZE(caught_signals)];
	struct timer stage;    /* ends the phase */
	struct timer watchdog; /* pings */
	enum phase phase;
	int exit_code;
};

/* -- Stopping -- */

/* Nothing is left: what keeps the loop alive goes, and loop_run() returns. */
static void gone(struct app *app)
{
	timer_stop(loop_timers(app->loop), &app->stage);
	timer_stop(loop_timers(app->loop), &app->watchdog);
	for (size_t i = 0; i < ARRAY_SIZE(app->signals); i++) {
		if (app->signals[i]) {
			loop_signal_free(app->signals[i]);
			app->signals[i] = NULL;
		}
	}
}

static void enter(struct app *app, enum phase phase, int64_t time_ns)
{
	app->phase = phase;
	timer_start(loop_timers(app->loop), &app->stage, time_ns);
}

static void set_ready(struct app *app, enum pages_state state)
{
	app->face.pages.state = state;
	if (app->meters.ready) {
		gauge_set(app->meters.ready, state == PAGES_READY);
	}
}

/* Says how it is, which the plan may want to be untrue; stopping always wins. */
static void show_health(struct app *app)
{
	bool unwell = app->services.echo.faults.plan.unhealthy;

	if (app->phase == PHASE_SERVING) {
		set_ready(app, unwell ? PAGES_UNWELL : PAGES_READY);
		services_set_health(&app->services, app->grpc,
				    unwell ? HEALTH_NOT_SERVING : HEALTH_SERVING);
	}
}

static void on_plan_changed(void *user)
{
	show_health(user);
}

static void end_now(struct app *app, int exit_code)
{
	app->phase = PHASE_ENDING;
	app->exit_code = exit_code;
	set_ready(app, PAGES_NOT_READY);
	for (size_t i = 0; i < DOORS; i++) {
		door_abort(&app->doors[i]);
		door_close(&app->doors[i]);
	}
}

static void begin_leaving(struct app *app)
{
	enter(app, PHASE_LEAVING, LEAVE_NS);
	door_close(&app->doors[DOOR_METRICS]);
	door_drain(&app->doors[DOOR_METRICS], ENGINE_DRAIN_GRACEFUL);
}

static void advance(struct app *app)
{
	bool grpc_empty = door_empty(&app->doors[DOOR_GRPC]);

	if (grpc_empty && (app->phase == PHASE_DRAINING || app->phase == PHASE_CUTTING)) {
		begin_leaving(app);
	}
	if (grpc_empty && app->phase >= PHASE_LEAVING && door_empty(&app->doors[DOOR_METRICS])) {
		gone(app);
	}
}

static void begin_draining(struct app *app)
{
	enter(app, PHASE_DRAINING, app->config.shutdown_grace_ns);
	door_close(&app->doors[DOOR_GRPC]);
	door_drain(&app->doors[DOOR_GRPC], ENGINE_DRAIN_GRACEFUL);
	advance(app);
}

static void begin_cutting(struct app *app)
{
	size_t calls = grpc_server_calls(app->grpc);

	enter(app, PHASE_CUTTING, CUT_NS);
	if (calls > 0) {
		log_warn("the grace is over, calls are cut", LOG_INT("calls", calls));
	}
	door_drain(&app->doors[DOOR_GRPC], ENGINE_DRAIN_NOW);
}

static void on_stage(struct timer *timer)
{
	struct app *app = container_of(timer, struct app, stage);

	switch (app->phase) {
	case PHASE_LAME:
		begin_draining(app);
		break;
	case PHASE_DRAINING:
		begin_cutting(app);
		break;
	case PHASE_CUTTING:
		door_abort(&app->doors[DOOR_GRPC]);
		break;
	case PHASE_LEAVING:
		door_abort(&app->doors[DOOR_METRICS]);
		break;
	case PHASE_STARTING:
	case PHASE_SERVING:
	case PHASE_ENDING:
		break;
	}
}

static void stop(struct app *app, int number)
{
	const struct config *config = &app->config;

	log_info("Shutting down gRPC server", LOG_STR("signal", strsignal(number)),
		 LOG_INT("calls", grpc_server_calls(app->grpc)));
	set_ready(app, PAGES_NOT_READY);
	gauge_set(app->meters.draining, 1);
	services_stopping(&app->services);
	systemd_stopping("Finishing calls", config->shutdown_delay_ns + config->shutdown_grace_ns +
						    CUT_NS + LEAVE_NS + NS_PER_S);
	enter(app, PHASE_LAME, MAX(config->shutdown_delay_ns, LEAST_DELAY_NS));
}

static void on_signal(void *user, int number)
{
	struct app *app = user;

	if (number == SIGHUP) {
		log_info("SIGHUP caught, nothing to reload");
	} else if (app->phase == PHASE_SERVING) {
		stop(app, number);
	} else if (app->phase != PHASE_ENDING) {
		log_warn("second signal, ending at once", LOG_STR("signal", strsignal(number)),
			 LOG_INT("calls", grpc_server_calls(app->grpc)));
		end_now(app, 128 + number);
	}
}

static void on_changed(void *user)
{
	struct app *app = user;

	for (size_t i = 0; i < DOORS; i++) {
		door_update(&app->doors[i]);
	}
	advance(app);
}

/* -- Serving -- */

static struct engine *serve_grpc(void *user, struct guest *guest)
{
	struct app *app = user;

	return grpc_server_accept(app->grpc, &guest->peer);
}

static void evict(void *host)
{
	struct guest *guest = host;

	connection_close(guest->connection, CONNECTION_CLOSED_LOCAL, 0);
}

static struct engine *serve_web(void *user, struct guest *guest)
{
	struct app *app = user;

	return web_accept(app->face.web, evict, guest);
}

static void on_watchdog(struct timer *timer)
{
	struct app *app = container_of(timer, struct app, watchdog);

	systemd_ping();
	timer_start(loop_timers(app->loop), timer, app->systemd.watchdog_ns / 2);
}

/* -- Starting -- */

/* How many connections may be open at once where that many files are kept for other uses. */
static size_t room_beside(const struct app *app, size_t reserved)
{
	return app->max_files > reserved ? app->max_files - reserved : 1;
}

/* The bound on gRPC connections, within what the open files allow. */
static size_t max_grpc_connections(const struct app *app)
{
	size_t room = room_beside(app, CONFIG_RESERVED_FILES);
	uint64_t wanted = app->config.grpc_max_connections;

	if (wanted > room) {
		log_warn("the limit of open files bounds --grpc.max-connections",
			 LOG_INT("wanted", wanted), LOG_INT("connections", room),
			 LOG_INT("files", app->max_files));
	}
	return wanted > 0 && wanted < room ? (size_t)wanted : room;
}

static int build_loop(struct app *app)
{
	app->loop = loop_new();
	if (!app->loop) {
		return -ENOMEM;
	}
	app->house.loop = app->loop;
	for (size_t i = 0; i < ARRAY_SIZE(app->signals); i++) {
		app->signals[i] = loop_signal_new(app->loop, caught_signals[i], on_signal, app);
		if (!app->signals[i]) {
			return -ENOMEM;
		}
	}
	int err = meters_init(&app->meters, app->loop);

	if (err < 0) {
		return err;
	}
	loop_set_meters(app->loop, &app->meters.loop);
	return 0;
}

static int build_grpc(struct app *app)
{
	const struct config *config = &app->config;
	struct grpc_server_options options = {
		.limits = &app->grpc_limits,
		.meters = &app->meters.grpc,
		.timers = loop_timers(app->loop),
		.random = &app->random,
	};

	bounds_of_grpc(config, &app->grpc_limits);
	if (config->echo_identify) {
		options.identity.name = STR("echod-instance");
		options.identity.value = str_from(app->instance);
		options.connection_id_name = "echod-connection";
	}
	app->grpc = grpc_server_new(&options);
	if (!app->grpc) {
		return -ENOMEM;
	}
	return services_add(&app->services, app->grpc, &app->meters, config, &app->random);
}

static int build_face(struct app *app)
{
	const struct face_options options = {
		.config = &app->config,
		.loop = app->loop,
		.meters = &app->meters,
		.services = &app->services,
		.random = &app->random,
		.instance = app->instance,
		.plan_changed = on_plan_changed,
		.user = app,
	};

	return face_init(&app->face, &options);
}

static void build_doors(struct app *app)
{
	static const struct door_events events[DOORS] = {
		[DOOR_GRPC] = { serve_grpc, on_changed },
		[DOOR_METRICS] = { serve_web, on_changed },
	};
	const struct door_options options[DOORS] = {
		[DOOR_GRPC] = { .default_port = CONFIG_DEFAULT_GRPC_PORT,
				.max_guests = max_grpc_connections(app),
				.max_house_guests = room_beside(app, CONFIG_RESERVED_FILES) },
		[DOOR_METRICS] = { .default_port = CONFIG_DEFAULT_WEB_PORT,
				   .max_guests = WEB_SURPLUS * app->config.web_max_connections,
				   .max_house_guests = room_beside(app, WEB_RESERVED_FILES),
				   .evicts = true },
	};

	for (size_t i = 0; i < DOORS; i++) {
		struct door_options door = options[i];

		door.house = &app->house;
		door.limits = connection_default_limits;
		if (i == DOOR_METRICS) { /* nobody waits for a scrape for longer */
			door.limits.write_stall_ns = web_default_limits.http1.write_timeout_ns;
		} else if (app->config.grpc_keepalive_time_ns != CONFIG_INFINITY_NS) {
			/* Who has vanished answers no PING, and acknowledges no reply either. */
			door.user_timeout_ns = app->config.grpc_keepalive_timeout_ns;
		}
		door.name = door_names[i];
		door.meters = &app->meters.doors[i];
		door_init(&app->doors[i], &door, &events[i], app);
	}
}

static void warn_of_strangers(const struct app *app)
{
	for (size_t i = 0; i < app->systemd.n_sockets; i++) {
		const struct systemd_socket *inherited = &app->systemd.sockets[i];

		if (strcmp(inherited->name, door_names[DOOR_GRPC]) != 0 &&
		    strcmp(inherited->name, door_names[DOOR_METRICS]) != 0) {
			log_warn("an inherited socket is named neither grpc nor metrics, ignored",
				 LOG_STR("name", inherited->name), LOG_INT("fd", inherited->fd));
		}
	}
}

static int open_doors(struct app *app)
{
	int err;

	warn_of_strangers(app);
	err = door_listen(&app->doors[DOOR_GRPC], &app->systemd, &app->config.grpc_addresses);
	if (err < 0) {
		return err;
	}
	return door_listen(&app->doors[DOOR_METRICS], &app->systemd, &app->config.web_addresses);
}

static void begin_serving(struct app *app)
{
	char grpc[512], metrics[512], status[1100];

	door_addresses(&app->doors[DOOR_GRPC], grpc, sizeof(grpc));
	door_addresses(&app->doors[DOOR_METRICS], metrics, sizeof(metrics));
	app->phase = PHASE_SERVING;
	show_health(app);
	log_info("gRPC server starting", LOG_STR("version", echod_version), LOG_STR("grpc", grpc),
		 LOG_STR("metrics", metrics), LOG_STR("instance", app->instance),
		 LOG_INT("max_connections", app->doors[DOOR_GRPC].options.max_guests));
	snprintf(status, sizeof(status), "Serving gRPC on %s, metrics on %s", grpc, metrics);
	systemd_ready(status);
	if (app->systemd.watchdog_ns > 0) {
		on_watchdog(&app->watchdog);
	}
}

static int build(struct app *app)
{
	int err;

	random_seed(&app->random, random_entropy());
	if (app->config.instance[0]) {
		memcpy(app->instance, app->config.instance, sizeof(app->instance));
	} else {
		snprintf(app->instance, sizeof(app->instance), "%016llx",
			 (unsigned long long)random_next(&app->random));
	}
	timer_init(&app->stage, on_stage);
	timer_init(&app->watchdog, on_watchdog);
	build_doors(app);
	err = build_grpc(app);
	if (err == 0) {
		err = build_face(app);
	}
	if (err < 0) {
		log_error("cannot start", LOG_ERR(err));
		return err;
	}
	return open_doors(app);
}

/* Everything that the loop carries has left it; takes what was built, whatever of it. */
static void tear_down(struct app *app)
{
	face_deinit(&app->face);
	if (app->grpc) {
		grpc_server_free(app->grpc);
	}
	services_deinit(&app->services);
	if (app->loop) {
		loop_free(app->loop);
	}
	meters_deinit(&app->meters);
	systemd_deinit(&app->systemd);
	config_free(&app->config);
}

static void run(struct app *app)
{
	int err;

	app->max_files = bounds_raise_files();
	err = systemd_init(&app->systemd);
	if (err < 0) {
		log_warn("what systemd said is not understood, ignored", LOG_ERR(err));
	}
	err = build_loop(app);
	if (err < 0) {
		log_error("cannot start", LOG_ERR(err));
		app->exit_code = EXIT_FAILED;
		if (app->loop) {
			gone(app);
			loop_run(app->loop);
		}
		return;
	}
	if (build(app) < 0) {
		end_now(app, EXIT_FAILED);
		advance(app);
	} else {
		begin_serving(app);
	}
	loop_run(app->loop);
	assert(door_empty(&app->doors[DOOR_GRPC]) && door_empty(&app->doors[DOOR_METRICS]));
	if (app->exit_code == EXIT_DONE) {
		log_info("Stopped");
	}
}

/* ECHOD_ARGS is the unit's own: it becomes flags on its command line. */
static void warn_of_variable(const char *name)
{
	if (strcmp(name, "ECHOD_ARGS") != 0) {
		log_warn("unknown environment variable, ignored", LOG_STR("name", name));
	}
}

/*
 * The table is read twice, because unknown variables can be warned of only once
 * the log's own flags are known.
 */
static int configure(struct app *app, int argc, char **argv, char **envp, bool *ret_run)
{
	struct config again;
	char error[512] = "";

	*ret_run = false;
	switch (config_parse(&app->config, argc, argv, envp, NULL, error, sizeof(error))) {
	case OPTIONS_HELP:
		config_help(stdout);
		return EXIT_DONE;
	case OPTIONS_VERSION:
		print_version();
		return EXIT_DONE;
	case OPTIONS_ERROR:
		fprintf(stderr, "echod serve: %s\n", error);
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	log_init((enum log_level)app->config.log_level, (enum log_format)app->config.log_format, 2);
	(void)config_parse(&again, argc, argv, envp, warn_of_variable, error, sizeof(error));
	config_free(&again);
	*ret_run = true;
	return EXIT_DONE;
}

int serve_main(int argc, char **argv, char **envp)
{
	struct app app = { 0 };
	bool go;

	app.exit_code = configure(&app, argc, argv, envp, &go);
	if (go) {
		signal(SIGPIPE, SIG_IGN);
		run(&app);
	}
	tear_down(&app);
	return app.exit_code;
}

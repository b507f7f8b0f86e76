#include "daemon/face.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "daemon/door.h"
#include "daemon/runs_page.h"

/* One line: what holds from now on, and who wanted it. */
static void log_plan(const struct face *face)
{
	const struct guest *guest = web_asker(face->web);
	struct buffer plan = BUFFER_INIT;
	struct bytes bytes;
	char text[FAULTS_PAGE_MAX_BYTES];

	if (faults_plan_print(&face->options.services->echo.faults.plan, &plan) < 0) {
		buffer_clear(&plan);
	}
	bytes = buffer_bytes(&plan);
	bytes.len = MIN(bytes.len, sizeof(text));
	for (size_t i = 0; i < bytes.len; i++) {
		text[i] = bytes.data[i] == '\n' ? ' ' : (char)bytes.data[i];
	}
	bytes.len -= bytes.len > 0; /* the last of the ends of lines */
	log_info("fault plan changed", LOG_STR("peer", guest ? guest->address : ""),
		 LOG_TEXT("plan", ((struct str){ text, bytes.len })));
	buffer_free(&plan);
}

static void on_plan_changed(void *user)
{
	struct face *face = user;

	log_plan(face);
	face->options.plan_changed(face->options.user);
}

static void init_pages(struct face *face)
{
	const struct face_options *options = &face->options;
	const struct config *config = options->config;
	struct timers *timers = loop_timers(options->loop);

	face->scrape = (struct scrape){
		.registry = options->meters->registry,
		.openmetrics = config->web_enable_openmetrics,
		.offload = face->worker ? worker_offload(face->worker) : NULL,
		.timers = timers,
		.start_time_s = time(NULL),
	};
	face->pages.telemetry_path = config->telemetry_path;
	face->faults_page = (struct faults_page){
		.faults = &options->services->echo.faults,
		.random = options->random,
		.enabled = config->web_enable_lifecycle,
		.changed = on_plan_changed,
		.user = face,
	};
	face->landing = (struct landing){
		.pages = &face->pages,
		.meters = options->meters,
		.faults = &options->services->echo.faults,
		.instance = options->instance,
		.timers = timers,
		.started_ns = timers_now(timers),
		.lists_runs = options->services->runs != NULL,
		.takes_faults = config->web_enable_lifecycle,
	};
}

static size_t fill_routes(struct face *face)
{
	const char *path = face->pages.telemetry_path;
	struct runs *runs = face->options.services->runs;
	struct route *routes = face->routes;
	size_t n = 0;

	routes[n++] = (struct route){ path, scrape_get, &face->scrape };
	routes[n++] = (struct route){ CONFIG_PATH_HEALTHY, pages_healthy, &face->pages };
	routes[n++] = (struct route){ CONFIG_PATH_READY, pages_ready, &face->pages };
	routes[n++] = (struct route){ CONFIG_PATH_FAULTS, faults_page_get, &face->faults_page,
				      .post = faults_page_post };
	if (runs) {
		routes[n++] = (struct route){ CONFIG_PATH_RUNS, runs_page_get, runs, true };
	}
	if (strcmp(path, "/") != 0) {
		routes[n++] = (struct route){ "/", landing_get, &face->landing };
	}
	return n;
}

int face_init(struct face *face, const struct face_options *options)
{
	struct web_limits limits = web_default_limits;
	struct meters *meters = options->meters;

	limits.max_connections = (size_t)options->config->web_max_connections;
	limits.http1.keep_body_bytes = FAULTS_PAGE_MAX_BYTES;
	face->options = *options;
	face->worker = worker_new(options->loop);
	if (!face->worker) {
		log_warn("no thread for packing scrapes, the loop does it");
	}
	init_pages(face);
	if (meters_add_scrape(meters, &face->scrape) < 0) {
		return -ENOMEM;
	}
	face->web = web_new(face->routes, fill_routes(face), &limits, &meters->web,
			    loop_timers(options->loop));
	return face->web ? 0 : -ENOMEM;
}

void face_deinit(struct face *face)
{
	worker_free(face->worker);
	web_free(face->web);
}

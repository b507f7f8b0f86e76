/*
 * Bytes into a server: HTTP/2, gRPC and the services, as in production but for
 * the socket and the clock. The first two bytes choose limits; see host.h for
 * the rest.
 */
#include <string.h>

#include "grpc/server.h"
#include "heap.h"
#include "metrics/histogram.h"
#include "script.h"
#include "service/echo.h"
#include "service/health.h"
#include "service/interop.h"
#include "service/reflection.h"

enum choice {
	SMALL_WINDOWS = 1,
	SMALL_MESSAGES = 2,
	SMALL_BUDGET = 4,
	FEW_STREAMS = 8,
	SMALL_HEADERS = 16,
	SMALL_QUEUE = 32,
	SLOW_ECHO = 64,
	DRAIN_AT_END = 128, /* not the peer's FIN */
};

enum more_choices {
	KEEPALIVE = 1,
	IDLE_ENDS = 2,
	AGE_ENDS = 4,
	AGE_CUTS = 8,
	PINGS_WELCOME = 16,
	STALLS_FOREVER = 32,
};

/*
 * A connection with 100 streams, acknowledgements and resets that wait to be sent,
 * and what is kept to be used again after a burst of them.
 */
#define UNCHARGED_BYTES MIB

struct method_counts {
	struct counter started, ok, failed, calls_ok, calls_failed;
	struct gauge in_flight;
	struct histogram latency;
};

struct served {
	struct world world; /* first */
	struct grpc_server_limits limits;
	struct http2_meters http2_meters;
	struct gauge streams_active, buffered;
	struct grpc_server_meters meters;
	struct method_counts counts[5];
	struct grpc_method_meters method_meters[5];
	struct echo_service echo;
	struct health health;
	struct grpc_server *server;
	int64_t base; /* on the heap before the first byte */
};

static void set_clocks(struct http2_limits *limits, uint8_t choices)
{
	limits->keepalive_time_ns = choices & KEEPALIVE ? NS_PER_S : 0;
	limits->max_idle_ns = choices & IDLE_ENDS ? 2 * NS_PER_S : 0;
	limits->max_age_ns = choices & AGE_ENDS ? 3 * NS_PER_S : 0;
	limits->max_age_grace_ns = choices & AGE_CUTS ? NS_PER_S : 0;
	if (choices & PINGS_WELCOME) {
		limits->keepalive_min_time_ns = NS_PER_MS;
	}
	if (choices & STALLS_FOREVER) {
		limits->stall_timeout_ns = 0;
	}
}

static void set_limits(struct grpc_server_limits *limits, uint8_t choices)
{
	*limits = grpc_server_default_limits;
	limits->max_message_bytes = choices & SMALL_MESSAGES ? 300 : 64 * KIB;
	limits->max_buffered_bytes = choices & SMALL_BUDGET ? 2000 : 256 * KIB;
	limits->max_send_message_bytes = 256 * KIB;
	limits->max_free_calls = choices & SMALL_BUDGET ? 1 : 8;
	if (choices & SMALL_WINDOWS) {
		limits->http2.stream_window = 100;
		limits->http2.connection_window = 64 * KIB;
	}
	if (choices & FEW_STREAMS) {
		limits->http2.max_concurrent_streams = 2;
	}
	if (choices & SMALL_HEADERS) {
		limits->http2.max_header_list_bytes = 400;
	}
	if (choices & SMALL_QUEUE) {
		limits->http2.stream_high_water = 2000;
		limits->http2.stream_low_water = 500;
	}
}

/* 0 is Echo, and then what script_service has. */
static void set_meters(struct served *served)
{
	for (size_t i = 0; i < ARRAY_SIZE(served->counts); i++) {
		struct method_counts *counts = &served->counts[i];

		histogram_init(&counts->latency, &histogram_default_bounds);
		served->method_meters[i] = (struct grpc_method_meters){
			.started = &counts->started,
			.in_flight = &counts->in_flight,
			.handled_ok = &counts->ok,
			.handled_failed = &counts->failed,
			.calls_ok = &counts->calls_ok,
			.calls_failed = &counts->calls_failed,
			.latency = &counts->latency,
		};
	}
	served->http2_meters.streams_active = &served->streams_active;
	served->meters.http2 = &served->http2_meters;
	served->meters.buffered_bytes = &served->buffered;
}

static void on_aside(struct host *host, enum aside what, uint32_t argument, struct bytes payload)
{
	struct served *served = container_of(host, struct served, world.host);
	struct actor *actor = served->world.actors[argument % SCRIPT_MAX_CALLS];

	if (what == ASIDE_ACT && actor) {
		actor_act(actor, payload);
	} else if (what == ASIDE_CALL) {
		health_set(&served->health, argument & 4 ? "" : "f.F", argument & 3);
	} else if (what == ASIDE_CONNECT) {
		health_shutdown(&served->health);
	}
}

/* The books agree with each other whenever nothing moves. */
static void on_settled(struct host *host)
{
	struct served *served = container_of(host, struct served, world.host);
	int64_t in_flight = 0, active = gauge_read(&served->streams_active);

	for (size_t i = 0; i < ARRAY_SIZE(served->counts); i++) {
		const struct method_counts *counts = &served->counts[i];
		uint64_t ended = counter_read(&counts->ok) + counter_read(&counts->failed);

		MUST(gauge_read(&counts->in_flight) ==
		     (int64_t)(counter_read(&counts->started) - ended));
		MUST(counter_read(&counts->calls_ok) == counter_read(&counts->ok));
		in_flight += gauge_read(&counts->in_flight);
	}
	MUST(in_flight <= active && active <= (int64_t)grpc_server_calls(served->server));
	MUST(active <= (int64_t)served->limits.http2.max_concurrent_streams);
	MUST(served->world.n_opened - served->world.n_closed <= in_flight);
	MUST(gauge_read(&served->buffered) >= 0);
	/* what is on the heap is charged, or within what docs/ARCHITECTURE.md leaves uncharged */
	MUST(heap.live - served->base <=
	     (int64_t)(UNCHARGED_BYTES + host->in.capacity + host->out.capacity) +
		     gauge_read(&served->buffered));
}

/* What needs to be made only once, and is not changed by being served. */
static void add_constant_services(struct served *served)
{
	static struct reflection reflection;
	static struct interop interop;

	if (!interop.zeros) {
		MUST(interop_init(&interop) == 0);
		MUST(reflection_init(&reflection, descriptor_set));
		reflection_add(&reflection, "muzz.Service");
		reflection_add(&reflection, "grpc.health.v1.Health");
	}
	MUST(grpc_server_add(served->server, &reflection_service, &reflection, NULL) == 0);
	MUST(grpc_server_add(served->server, &reflection_v1alpha_service, &reflection, NULL) == 0);
	MUST(grpc_server_add(served->server, &interop_service, &interop, NULL) == 0);
}

static void serve(struct served *served, uint8_t choices, uint8_t more)
{
	struct grpc_server_options options = {
		.limits = &served->limits,
		.meters = &served->meters,
		.timers = &served->world.host.timers,
		.identity = { STR_INIT("x-identity"), STR_INIT("fuzz"), NULL },
		.connection_id_name = "x-connection",
	};

	set_limits(&served->limits, choices);
	set_clocks(&served->limits.http2, more);
	set_meters(served);
	host_init(&served->world.host);
	served->world.host.aside = on_aside;
	served->world.host.settled = on_settled;
	random_seed(&served->echo.faults.delay_dice, 1);
	if (choices & SLOW_ECHO) {
		served->echo.faults.plan.delay = (struct delay){ DELAY_UNIFORM, 0, 5 * NS_PER_S };
	}
	served->server = grpc_server_new(&options);
	MUST(served->server);
	MUST(grpc_server_add(served->server, &echo_service, &served->echo, served->method_meters) ==
	     0);
	MUST(grpc_server_add(served->server, &script_service, &served->world,
			     served->method_meters + 1) == 0);
	health_init(&served->health);
	health_set(&served->health, "f.F", HEALTH_SERVING);
	MUST(grpc_server_add(served->server, &health_service, &served->health, NULL) == 0);
	add_constant_services(served);
}

/* However it was left: it ends, and nothing stays behind. */
static void end(struct served *served, uint8_t choices)
{
	struct host *host = &served->world.host;

	host->room = SIZE_MAX;
	host_settle(host);
	if (host->engine && choices & DRAIN_AT_END) {
		host->engine->ops->drain(host->engine, ENGINE_DRAIN_GRACEFUL);
		host_advance(host, 60 * NS_PER_S);
		if (host->engine) {
			host->engine->ops->drain(host->engine, ENGINE_DRAIN_NOW);
			host_settle(host);
		}
	} else if (host->engine) {
		host->eof = true;
		host_settle(host);
	}
	MUST(!host->engine);
	MUST(grpc_server_calls(served->server) == 0);
	MUST(served->world.n_opened == served->world.n_closed);
	MUST(gauge_read(&served->streams_active) == 0 && gauge_read(&served->buffered) == 0);
	MUST(timers_next_ns(&host->timers) == -1 && list_empty(&served->health.watches));
	grpc_server_free(served->server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct grpc_peer peer = { 1, "peer" };
	struct input input = { data, data + size };
	struct served served = { 0 };
	uint8_t choices = input_byte(&input), more = input_byte(&input);

	heap.fail_at = 0;
	serve(&served, choices, more);
	host_adopt(&served.world.host, grpc_server_accept(served.server, &peer));
	served.base = heap.live;
	host_run(&served.world.host, &input);
	end(&served, choices);
	return 0;
}

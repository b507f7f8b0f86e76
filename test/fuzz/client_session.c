/*
 * Bytes into a client: a channel and its calls, and what a server might say to
 * them. The first two bytes choose limits; see host.h for the rest. A call is
 * made, or acted upon, by an aside; what a reply says is a script, too.
 */
#include <errno.h>
#include <string.h>

#include "base/random.h"
#include "grpc/channel.h"
#include "heap.h"
#include "script.h"

enum choice {
	SMALL_WINDOWS = 1,
	SMALL_MESSAGES = 2,
	SMALL_HEADERS = 4,
	SMALL_QUEUE = 8,
	DRAIN_AT_END = 16,
	CALL_FIRST = 32, /* before any byte arrives */
	KEEPALIVE = 64,
	KEEPALIVE_ALWAYS = 128,
};

enum more_choices { FEW_IDS = 1 };

#define MAX_CONNECTS 8
#define MAX_CALLS    SCRIPT_MAX_CALLS

struct calling {
	struct world world; /* first */
	struct http2_limits limits;
	struct random random;
	struct grpc_channel *channel;
	struct grpc_channel_meters meters;
	struct counter attempts;
	unsigned n_connects;
	bool wanted; /* the channel asked for a connection */
};

static const struct grpc_peer peer = { 7, "peer" };

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct calling *calling = user;

	(void)channel;
	MUST(!calling->wanted);
	calling->wanted = true;
}

static void on_disconnected(void *user, struct grpc_channel *channel, bool connected, int err)
{
	(void)user;
	(void)channel;
	(void)connected;
	(void)err;
}

static void on_goaway(void *user, struct grpc_channel *channel, uint32_t code, struct str debug)
{
	(void)user;
	(void)channel;
	(void)code;
	MUST(debug.len == 0 || debug.data);
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.disconnected = on_disconnected,
	.goaway = on_goaway,
};

/* What became of dialling. */
static void connect(struct calling *calling, bool fails)
{
	struct engine *engine;

	if (!calling->wanted) {
		return;
	}
	calling->wanted = false;
	fails |= ++calling->n_connects > MAX_CONNECTS;
	host_release(&calling->world.host, 0);
	engine = fails ? NULL : grpc_channel_attach(calling->channel, &peer);
	if (engine) {
		host_adopt(&calling->world.host, engine);
	} else {
		grpc_channel_connect_failed(calling->channel, -ECONNREFUSED, STR("refused"));
	}
}

/* Of the argument: shape (2 bits), gzip, wait for ready, metadata, a deadline (8 bits of 16 ms). */
static void call(struct calling *calling, uint32_t argument, struct bytes script)
{
	static struct metadata_entry second = { STR_INIT("x-bin"), STR_INIT("\0\1"), NULL };
	static struct metadata_entry first = { STR_INIT("x-a"), STR_INIT("1"), &second };
	struct grpc_call_options options = {
		.gzip = argument & 4,
		.wait_for_ready = argument & 8,
		.metadata = argument & 16 ? &first : NULL,
		.timeout_ns = (argument >> 8 & 0xff) * 16 * NS_PER_MS,
	};
	uint64_t fail_at = heap_spare();
	struct actor *actor = calloc(1, sizeof(*actor));
	struct grpc_call *made;

	MUST(actor);
	heap_spare_end(fail_at);
	if (calling->world.n_opened >= MAX_CALLS) {
		free(actor);
		return;
	}
	made = grpc_channel_call(calling->channel, &script_service,
				 &script_service.methods[argument & 3], &script_client_events,
				 &options, actor);
	if (!made) {
		free(actor);
		return;
	}
	actor_begin(actor, &calling->world, made, false);
	actor_act(actor, script);
}

static void on_aside(struct host *host, enum aside what, uint32_t argument, struct bytes payload)
{
	struct calling *calling = container_of(host, struct calling, world.host);
	struct actor *actor = calling->world.actors[argument % SCRIPT_MAX_CALLS];

	if (what == ASIDE_CALL) {
		call(calling, argument, payload);
	} else if (what == ASIDE_CONNECT) {
		connect(calling, argument);
	} else if (what == ASIDE_ACT && actor) {
		actor_act(actor, payload);
	}
}

static void begin(struct calling *calling, uint8_t choices, uint8_t more)
{
	struct grpc_channel_options options = {
		.http2 = &calling->limits,
		.meters = &calling->meters,
		.timers = &calling->world.host.timers,
		.random = &calling->random,
		.authority = "fuzz",
		.user_agent = "grpc-c-fuzz/1",
		.max_message_bytes = choices & SMALL_MESSAGES ? 300 : 64 * KIB,
		.max_send_message_bytes = choices & SMALL_MESSAGES ? 2000 : 0,
	};

	calling->meters.attempts = &calling->attempts;
	calling->limits = http2_default_limits;
	if (choices & SMALL_WINDOWS) {
		calling->limits.stream_window = 100;
		calling->limits.connection_window = 64 * KIB;
	}
	if (choices & SMALL_HEADERS) {
		calling->limits.max_header_list_bytes = 400;
	}
	if (choices & SMALL_QUEUE) {
		calling->limits.stream_high_water = 2000;
		calling->limits.stream_low_water = 500;
	}
	calling->limits.keepalive_time_ns = choices & KEEPALIVE ? 10 * NS_PER_S : 0;
	calling->limits.keepalive_without_calls = choices & KEEPALIVE_ALWAYS;
	if (more & FEW_IDS) {
		calling->limits.max_stream_id = 5;
	}
	host_init(&calling->world.host);
	calling->world.host.aside = on_aside;
	calling->world.host.begun = &calling->attempts;
	random_seed(&calling->random, 1);
	calling->channel = grpc_channel_new(&options, &channel_events, calling);
	MUST(calling->channel);
	if (choices & CALL_FIRST) {
		for (uint32_t shape = 0; shape < 4; shape++) {
			static const uint8_t script[] = { 0x11, 0x0e }; /* send, half-close */

			call(calling, shape, (struct bytes){ script, sizeof(script) });
			host_advance(&calling->world.host, 0);
			connect(calling, false);
		}
	}
}

static void cancel_all(struct world *world)
{
	static const uint8_t script[] = { 0x13 };

	for (size_t i = 0; i < SCRIPT_MAX_CALLS; i++) {
		if (world->actors[i]) {
			actor_act(world->actors[i], (struct bytes){ script, 1 });
		}
	}
}

static void end(struct calling *calling, uint8_t choices)
{
	struct host *host = &calling->world.host;

	host->room = SIZE_MAX;
	host_settle(host);
	if (choices & DRAIN_AT_END) {
		grpc_channel_drain(calling->channel);
		cancel_all(&calling->world);
		host_settle(host);
	} else {
		host->eof = host->engine != NULL;
		host_settle(host);
		MUST(!host->engine);
		grpc_channel_drain(calling->channel);
	}
	host_advance(host, 0);
	connect(calling, true);
	host_release(host, -ECONNRESET);
	host_advance(host, 0);
	connect(calling, true);
	cancel_all(&calling->world); /* what came whole, and is held by a script */
	host_advance(host, 0);
	MUST(calling->world.n_opened == calling->world.n_closed);
	grpc_channel_free(calling->channel);
	MUST(timers_next_ns(&host->timers) == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	struct calling calling = { 0 };
	uint8_t choices = input_byte(&input), more = input_byte(&input);

	heap.fail_at = 0;
	begin(&calling, choices, more);
	host_run(&calling.world.host, &input);
	end(&calling, choices);
	return 0;
}

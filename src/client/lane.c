#include "client/lane.h"

#include <errno.h>
#include <stdlib.h>

#include "client/client.h"

/* Without memory for a call, a lane tries again so much later. */
#define REST_NS (100 * NS_PER_MS)

static void on_rested(struct timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, rest);

	lane->lanes->events->rested(lane->lanes->user, lane);
}

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct lane *lane = user;

	(void)channel;
	dialer_dial(&lane->dialer);
}

static void on_state_changed(void *user, struct grpc_channel *channel,
			     enum grpc_channel_state state)
{
	struct lane *lane = user;

	(void)channel;
	if (state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
		lane->lanes->events->rested(lane->lanes->user, lane);
	}
}

static void on_goaway(void *user, struct grpc_channel *channel, uint32_t code, struct str debug)
{
	struct lane *lane = user;

	(void)channel;
	lane->lanes->counts->goaways[MIN(code, (uint32_t)HTTP2_ERROR_COUNT)]++;
	client_note_goaway(lane->dialer.target->text, code, debug);
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.state_changed = on_state_changed,
	.goaway = on_goaway,
};

/*
 * Lanes connect at about the same time; their first connections live for 1/n, 2/n, ... of
 * a lifetime, so that they do not all end at once, then or later.
 */
static int64_t lifetime(const struct lane *lane)
{
	int64_t ns = lane->lanes->client->plan->connection_lifetime_ns;
	size_t n = lane->lanes->n;

	if (lane->renewed) {
		return ns;
	}
	return (int64_t)((double)ns * (double)(lane->index + 1) / (double)n);
}

static void on_connected(void *user)
{
	struct lane *lane = user;
	const struct client *client = lane->lanes->client;

	lane->lanes->counts->opened++;
	if (client->plan->connection_lifetime_ns > 0) {
		timer_start(loop_timers(client->loop), &lane->lifetime, lifetime(lane));
	}
}

static void on_lifetime_over(struct timer *timer)
{
	struct lane *lane = container_of(timer, struct lane, lifetime);

	lane->renewed = true;
	if (grpc_channel_state(lane->channel) == GRPC_CHANNEL_READY) {
		lane->lanes->counts->renewed++;
		grpc_channel_renew(lane->channel);
	} else { /* it is being made */
		timer_start(loop_timers(lane->lanes->client->loop), timer, lifetime(lane));
	}
}

static void on_connect_failed(void *user, struct str why)
{
	struct lane *lane = user;

	(void)why;
	lane->lanes->counts->failed++;
	lane->lanes->events->no_server(lane->lanes->user);
}

static const struct dialer_events dialer_events = {
	.connected = on_connected,
	.failed = on_connect_failed,
};

static int lane_init(struct lane *lane, struct lanes *lanes, size_t index)
{
	struct client *client = lanes->client;

	lane->lanes = lanes;
	lane->index = index;
	lane->target = index % client->plan->n_targets;
	list_init(&lane->waiting);
	timer_init(&lane->rest, on_rested);
	timer_init(&lane->lifetime, on_lifetime_over);
	dialer_init(&lane->dialer, client->loop, &client->targets[lane->target],
		    &client->next_peer_id, &dialer_events, lane);
	lane->channel = client_channel_new(client, lane->target, &channel_events, lane);
	dialer_set_channel(&lane->dialer, lane->channel);
	return lane->channel ? 0 : -ENOMEM;
}

int lanes_init(struct lanes *lanes, size_t n, struct client *client,
	       const struct lane_events *events, void *user)
{
	*lanes = (struct lanes){ .client = client, .events = events, .user = user };
	lanes->all = calloc(n, sizeof(*lanes->all));
	if (!lanes->all) {
		return -ENOMEM;
	}
	lanes->n = n;
	for (size_t i = 0; i < n; i++) {
		if (lane_init(&lanes->all[i], lanes, i) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

size_t lanes_connected(const struct lanes *lanes)
{
	size_t n = 0;

	for (size_t i = 0; i < lanes->n; i++) {
		n += grpc_channel_state(lanes->all[i].channel) == GRPC_CHANNEL_READY;
	}
	return n;
}

void lanes_close(struct lanes *lanes)
{
	struct timers *timers = loop_timers(lanes->client->loop);

	for (size_t i = 0; i < lanes->n; i++) {
		struct lane *lane = &lanes->all[i];

		timer_stop(timers, &lane->rest);
		timer_stop(timers, &lane->lifetime);
		grpc_channel_drain(lane->channel);
		dialer_close(&lane->dialer, false);
	}
}

void lanes_deinit(struct lanes *lanes)
{
	for (size_t i = 0; i < lanes->n; i++) {
		if (lanes->all[i].channel) {
			grpc_channel_free(lanes->all[i].channel);
			dialer_deinit(&lanes->all[i].dialer);
		}
	}
	free(lanes->all);
	lanes->all = NULL;
}

bool lane_rests(const struct lane *lane)
{
	return timer_active(&lane->rest) ||
	       (grpc_channel_state(lane->channel) == GRPC_CHANNEL_TRANSIENT_FAILURE &&
		!lane->lanes->client->plan->wait_for_ready);
}

void lane_rest(struct lane *lane)
{
	timer_start(loop_timers(lane->lanes->client->loop), &lane->rest, REST_NS);
}

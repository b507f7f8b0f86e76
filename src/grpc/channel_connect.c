/*
 * A channel's connections: when one is asked for, when not yet, and what its end
 * means for the calls that wait.
 *
 * The happy path: a call waits -> CONNECTING, connect_wanted -> the owner
 * attaches an engine -> the peer's SETTINGS: READY -> GOAWAY or loss: IDLE, and
 * the next call begins anew.
 *
 * What can fail: the attempt (the owner says so, or the peer speaks no HTTP/2):
 * TRANSIENT_FAILURE until the backoff is over. A connection that a server ends
 * before it has answered a call is given one successor at once, since servers
 * are restarted; the next in a row counts as a failed attempt, and the backoff
 * goes on as if SETTINGS had not reset it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/channel_p.h"

/* grpc/grpc doc/connection-backoff.md */
static const struct grpc_backoff default_backoff = {
	.initial_ns = NS_PER_S,
	.max_ns = 120 * NS_PER_S,
	.multiplier = 1.6,
	.jitter = 0.2,
};

static void set_state(struct grpc_channel *channel, enum grpc_channel_state state)
{
	channel->state = (uint8_t)state;
	grpc_channel_kick(channel);
}

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *channel)
{
	return (enum grpc_channel_state)channel->state;
}

struct str grpc_channel_last_error(const struct grpc_channel *channel)
{
	struct bytes text = buffer_bytes(&channel->last_error);

	return (struct str){ (const char *)text.data, text.len };
}

/* Attempts */

void grpc_channel_connect(struct grpc_channel *channel)
{
	if (channel->state == GRPC_CHANNEL_IDLE && !list_empty(&channel->waiting) &&
	    !channel->draining) {
		set_state(channel, GRPC_CHANNEL_CONNECTING);
		channel->attempt_ns = timers_now(channel->options.timers);
		channel->events->connect_wanted(channel->user, channel);
	}
}

static void on_backoff(struct timer *timer)
{
	struct grpc_channel *channel = container_of(timer, struct grpc_channel, backoff);

	set_state(channel, GRPC_CHANNEL_IDLE);
}

/* How long from the start of this attempt to the next; the one after waits longer. */
static int64_t next_backoff(struct grpc_channel *channel)
{
	const struct grpc_backoff *backoff = &channel->options.backoff;
	double wait = (double)channel->backoff_ns;
	double grown = wait * backoff->multiplier;

	channel->backoff_ns = grown < (double)backoff->max_ns ? (int64_t)grown : backoff->max_ns;
	if (channel->options.random) {
		wait *= 1 + backoff->jitter * (2 * random_unit(channel->options.random) - 1);
	}
	return (int64_t)wait;
}

static void attempt_failed(struct grpc_channel *channel, struct str why)
{
	meter_count(channel->meters->connects_failed);
	buffer_clear(&channel->last_error);
	/* Without memory the text is lost, and nothing else changes. */
	(void)buffer_append_str(&channel->last_error, why);
	set_state(channel, GRPC_CHANNEL_TRANSIENT_FAILURE);
	timer_start_at(channel->options.timers, &channel->backoff,
		       channel->attempt_ns + next_backoff(channel));
	grpc_channel_kill_waiting(channel, false, why, GRPC_FROM_TRANSPORT);
}

void grpc_channel_connect_failed(struct grpc_channel *channel, int err, struct str why)
{
	(void)err;
	attempt_failed(channel, why);
}

/* What a peer speaks that sent this instead of SETTINGS. */
static void describe_heard(const struct grpc_link *link, char *text, size_t size)
{
	const struct grpc_channel *channel = link->channel;
	bool silent = timers_now(channel->options.timers) - link->attached_ns >=
		      channel->http2.handshake_timeout_ns;
	const uint8_t *heard = (const uint8_t *)link->heard;
	struct str said = { link->heard, link->n_heard };
	char first_line[GRPC_HEARD_BYTES + 1];
	size_t n = 0;

	while (n < said.len && heard[n] >= ' ' && heard[n] < 0x7f) {
		first_line[n] = said.data[n];
		n++;
	}
	first_line[n] = '\0';
	if (said.len == 0) {
		snprintf(text, size, "%s",
			 silent ? "the server took the connection, and said nothing"
				: "the server closed the connection before it spoke HTTP/2");
	} else if (str_has_prefix(said, STR("HTTP/"))) {
		snprintf(text, size, "the server speaks HTTP/1, not HTTP/2: \"%s\"", first_line);
	} else if (said.len >= 2 && heard[0] >= 0x14 && heard[0] <= 0x17 && heard[1] == 3) {
		snprintf(text, size, "the server speaks TLS, not HTTP/2 in the clear");
	} else if (str_has_prefix(said, STR("SSH-"))) {
		snprintf(text, size, "the server speaks SSH, not HTTP/2: \"%s\"", first_line);
	} else if (n >= 4) {
		snprintf(text, size, "the server does not speak HTTP/2: it said \"%s\"",
			 first_line);
	} else {
		snprintf(text, size, "the server closed the connection before it spoke HTTP/2");
	}
}

/* Connections */

/* The current connection takes no more calls. */
static void lose(struct grpc_channel *channel, struct grpc_link *link, struct str why)
{
	channel->current = NULL;
	if (!link->ready) {
		attempt_failed(channel, why);
		return;
	}
	if (link->served) {
		set_state(channel, GRPC_CHANNEL_IDLE);
		return;
	}
	if (channel->n_unserved++ == 0) {
		set_state(channel, GRPC_CHANNEL_IDLE);
		return;
	}
	channel->backoff_ns = link->backoff_ns;
	channel->attempt_ns = link->attempt_ns;
	attempt_failed(channel, why);
}

static void session_heard(void *user, struct bytes bytes)
{
	struct grpc_link *link = user;
	size_t n = MIN(bytes.len, sizeof(link->heard) - link->n_heard);

	memcpy(link->heard + link->n_heard, bytes.data, n);
	link->n_heard += (uint8_t)n;
}

static void session_ready(void *user)
{
	struct grpc_link *link = user;
	struct grpc_channel *channel = link->channel;

	link->ready = true;
	if (channel->current == link) {
		link->backoff_ns = channel->backoff_ns;
		channel->backoff_ns = channel->options.backoff.initial_ns;
		set_state(channel, GRPC_CHANNEL_READY);
		grpc_channel_pump(channel);
	}
}

static int64_t twice(int64_t ns)
{
	return ns > INT64_MAX / 2 ? INT64_MAX : ns * 2;
}

static void session_goaway(void *user, uint32_t last_id, uint32_t code, struct str debug)
{
	struct grpc_link *link = user;
	struct grpc_channel *channel = link->channel;
	bool complaint = code != HTTP2_NO_ERROR;
	char why[160];

	(void)last_id;
	link->parted = true;
	if (!link->complained && code == HTTP2_ENHANCE_YOUR_CALM &&
	    str_equal(debug, STR("too_many_pings"))) {
		/* gRFC A8: of this channel's connections from here on */
		channel->http2.keepalive_time_ns = twice(channel->http2.keepalive_time_ns);
	}
	if (channel->events->goaway && !(complaint && link->complained)) {
		channel->events->goaway(channel->user, channel, code, debug);
	}
	link->complained = link->complained || complaint;
	if (channel->current != link) {
		return;
	}
	snprintf(why, sizeof(why), "the server ended the connection before it answered a call: %s",
		 http2_error_name(code));
	lose(channel, link, str_from(why));
}

static void session_room(void *user)
{
	struct grpc_link *link = user;

	if (link->channel->current == link) {
		grpc_channel_pump(link->channel);
	}
}

static void session_closed(void *user, int err)
{
	struct grpc_link *link = user;
	struct grpc_channel *channel = link->channel;
	bool was_ready = link->ready;
	enum http2_error accused = http2_session_last_code(link->connection.session);
	char why[GRPC_HEARD_BYTES + 96] =
		"the server ended the connection before it answered a call";

	list_remove(&link->node);
	if (was_ready && !link->parted && !link->retired && !channel->draining) {
		meter_count(channel->meters->connections_lost);
	}
	if (channel->current == link) {
		if (!was_ready) {
			describe_heard(link, why, sizeof(why));
		} else if (accused != HTTP2_NO_ERROR) {
			snprintf(why, sizeof(why),
				 "the connection was ended here with %s before it answered a call",
				 http2_error_name(accused));
		}
		lose(channel, link, str_from(why));
	}
	free(link);
	if (channel->events->disconnected) {
		channel->events->disconnected(channel->user, channel, was_ready, err);
	}
	grpc_channel_kick(channel);
}

static const struct http2_session_events session_events = {
	.heard = session_heard,
	.ready = session_ready,
	.goaway = session_goaway,
	.room = session_room,
	.closed = session_closed,
};

struct engine *grpc_channel_attach(struct grpc_channel *channel, const struct grpc_peer *peer)
{
	struct grpc_link *link = calloc(1, sizeof(*link));
	struct http2_options options = {
		.limits = &channel->http2,
		.meters = channel->meters->http2,
		.timers = channel->options.timers,
		.random = channel->options.random,
		.pool = &channel->pool,
	};

	if (!link) {
		return NULL;
	}
	link->channel = channel;
	link->connection.peer = peer;
	link->attempt_ns = channel->attempt_ns;
	link->attached_ns = timers_now(channel->options.timers);
	link->connection.session = http2_session_new(&options, &session_events, link);
	if (!link->connection.session) {
		free(link);
		return NULL;
	}
	list_append(&channel->links, &link->node);
	channel->current = link;
	grpc_channel_kick(channel);
	return http2_session_engine(link->connection.session);
}

void grpc_channel_drain_links(struct grpc_channel *channel)
{
	list_for_each (&channel->links, node) {
		struct grpc_link *link = container_of(node, struct grpc_link, node);
		struct engine *engine = http2_session_engine(link->connection.session);

		if (channel->draining || link->retired) {
			engine->ops->drain(engine, ENGINE_DRAIN_GRACEFUL);
		}
	}
	channel->retiring = false;
}

void grpc_channel_renew(struct grpc_channel *channel)
{
	struct grpc_link *link = channel->current;

	if (!link || !link->ready) {
		return;
	}
	link->retired = channel->retiring = true;
	channel->current = NULL;
	set_state(channel, GRPC_CHANNEL_IDLE); /* and it is drained from kick */
}

void grpc_channel_connect_init(struct grpc_channel *channel)
{
	struct grpc_backoff *backoff = &channel->options.backoff;

	backoff->initial_ns =
		backoff->initial_ns ? backoff->initial_ns : default_backoff.initial_ns;
	backoff->max_ns = backoff->max_ns ? backoff->max_ns : default_backoff.max_ns;
	if (backoff->multiplier == 0) {
		backoff->multiplier = default_backoff.multiplier;
	}
	if (backoff->jitter == 0) {
		backoff->jitter = default_backoff.jitter;
	}
	channel->backoff_ns = backoff->initial_ns;
	timer_init(&channel->backoff, on_backoff);
	list_init(&channel->links);
}

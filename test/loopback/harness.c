#include "harness.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "echo.pb-c.h"
#include "service/echo.h"

/* Rounds of pair_run() after which two ends that still talk are talking nonsense. */
#define MAX_ROUNDS 100000

static int64_t clock_of(void *context)
{
	return ((struct pair *)context)->now_ns;
}

static void on_wake(void *host)
{
	((struct pair_end *)host)->wakes++;
}

static void adopt(struct pair *pair, struct pair_end *end, struct engine *engine)
{
	*end = (struct pair_end){ .pair = pair, .engine = engine };
	if (engine) {
		engine->wake = on_wake;
		engine->host = end;
	}
}

static void release_end(struct pair_end *end, int err)
{
	struct engine *engine = end->engine;

	end->engine = NULL;
	buffer_free(&end->out);
	buffer_free(&end->unread);
	if (engine) {
		engine->ops->release(engine, err);
		end->wakes = 0;
	}
}

static void connect_wanted(void *user, struct grpc_channel *channel)
{
	struct pair *pair = user;

	(void)channel;
	pair->connects++;
	pair->connect_due = true;
}

static const struct grpc_channel_events channel_events = { .connect_wanted = connect_wanted };

static void connect_now(struct pair *pair)
{
	struct engine *server, *client;

	pair->connect_due = false;
	if (pair->options.no_connect ||
	    (pair->max_connects && pair->connects > pair->max_connects)) {
		grpc_channel_connect_failed(pair->channel, -ECONNREFUSED, STR("refused"));
		return;
	}
	pair_disconnect(pair);
	server = grpc_server_accept(pair->server, &pair->client_peer);
	client = server ? grpc_channel_attach(pair->channel, &pair->server_peer) : NULL;
	if (!client) {
		adopt(pair, &pair->server_end, server);
		release_end(&pair->server_end, -ENOMEM);
		grpc_channel_connect_failed(pair->channel, -ENOMEM, STR("no memory"));
		return;
	}
	adopt(pair, &pair->server_end, server);
	adopt(pair, &pair->client_end, client);
}

void pair_init(struct pair *pair, const struct pair_options *options)
{
	*pair = (struct pair){ .now_ns = NS_PER_S };
	if (options) {
		pair->options = *options;
	}
	pair->limits = pair->options.limits ? *pair->options.limits : grpc_server_default_limits;
	timers_init(&pair->timers, clock_of, pair);
	random_seed(&pair->random, pair->options.seed);
	pair->server_peer = (struct grpc_peer){ .id = 1, .address = "server" };
	pair->client_peer = (struct grpc_peer){ .id = 2, .address = "client" };
	pair->server_meters.http2 = &pair->http2_meters;
	pair->server = grpc_server_new(&(struct grpc_server_options){
		.limits = &pair->limits,
		.meters = &pair->server_meters,
		.timers = &pair->timers,
		.connection_id_name = "echod-connection",
	});
	pair->channel = grpc_channel_new(
		&(struct grpc_channel_options){
			.http2 = &pair->limits.http2,
			.timers = &pair->timers,
			.authority = "loopback",
			.user_agent = "grpc-c-loopback/1",
		},
		&channel_events, pair);
}

void pair_add(struct pair *pair, const struct grpc_service *service, void *context,
	      const struct grpc_method_meters *meters)
{
	int rv = grpc_server_add(pair->server, service, context, meters);

	assert(rv == 0);
	(void)rv;
}

/* True: something was produced. */
static bool produce(struct pair_end *end)
{
	size_t before = buffer_len(&end->out), room;

	if (!end->engine) {
		return false;
	}
	room = end->pair->options.room ? end->pair->options.room : 64 * KIB;
	end->wakes = 0;
	if (end->engine->ops->produce(end->engine, &end->out, before < room ? room - before : 0) <
	    0) {
		end->failed = true;
	}
	if (!end->failed && end->engine->ops->finished(end->engine)) {
		end->failed = true; /* its host would say FIN and close */
	}
	return buffer_len(&end->out) > before;
}

/* Moves what `from` produced to `to`, in pieces. True: something moved. */
static bool carry(struct pair_end *from, struct pair_end *to)
{
	struct pair *pair = from->pair;
	size_t n;

	if (!from->engine || !to->engine || to->stuck) {
		return false; /* an end without an engine has no pair either */
	}
	n = buffer_len(&from->out);
	if (to->failed) { /* nobody reads it any more */
		buffer_clear(&from->out);
		return false;
	}
	if (pair->options.seed && n > 1) {
		n = 1 + (size_t)random_below(&pair->random, n);
	}
	if (n > 0) {
		if (buffer_append(&to->unread, buffer_data(&from->out), n) < 0) {
			to->failed = true;
			return true;
		}
		buffer_consume(&from->out, n);
	}
	if (buffer_len(&to->unread) > 0) {
		ssize_t taken = to->engine->ops->receive(to->engine, buffer_data(&to->unread),
							 buffer_len(&to->unread));

		if (taken < 0) {
			to->failed = true;
		} else {
			buffer_consume(&to->unread, (size_t)taken);
		}
		return true;
	}
	return n > 0;
}

void pair_run(struct pair *pair)
{
	for (unsigned round = 0;; round++) {
		bool moved;

		assert(round < MAX_ROUNDS);
		moved = timers_run(&pair->timers) > 0;
		if (pair->connect_due) {
			connect_now(pair);
			moved = true;
		}
		moved |= produce(&pair->server_end);
		moved |= produce(&pair->client_end);
		moved |= carry(&pair->client_end, &pair->server_end);
		moved |= carry(&pair->server_end, &pair->client_end);
		if (moved || pair->server_end.wakes || pair->client_end.wakes) {
			continue;
		}
		if ((pair->server_end.failed || pair->client_end.failed) &&
		    pair->client_end.engine) {
			pair_disconnect(pair);
			continue;
		}
		if (timers_next_ns(&pair->timers) == 0) {
			continue;
		}
		return;
	}
}

void pair_connect(struct pair *pair)
{
	timers_run(&pair->timers);
	assert(pair->connect_due);
	connect_now(pair);
}

void pair_carry_to_server(struct pair *pair, size_t n)
{
	struct pair_end *client = &pair->client_end, *server = &pair->server_end;

	produce(client);
	assert(buffer_len(&client->out) >= n);
	if (server->engine->ops->receive(server->engine, buffer_data(&client->out), n) < 0) {
		server->failed = true;
	}
	buffer_consume(&client->out, n);
}

void pair_advance(struct pair *pair, int64_t ns)
{
	pair->now_ns += ns;
	pair_run(pair);
}

void pair_disconnect(struct pair *pair)
{
	release_end(&pair->server_end, -ECONNRESET);
	release_end(&pair->client_end, -ECONNRESET);
}

void pair_deinit(struct pair *pair)
{
	grpc_channel_drain(pair->channel);
	pair_run(pair);
	pair_disconnect(pair);
	pair_run(pair);
	assert(grpc_server_calls(pair->server) == 0);
	grpc_channel_free(pair->channel);
	grpc_server_free(pair->server);
	assert(!timers_first(&pair->timers));
}

/* The calling side */

static void on_opened(struct grpc_call *call)
{
	((struct record *)grpc_call_context(call))->opened++;
}

static void on_message(struct grpc_call *call, const void *message)
{
	struct record *record = grpc_call_context(call);
	const Echo__EchoResponse *response = message;

	record->messages++;
	record->reply_len = response->message.len;
	if (response->message.len > 0) {
		memcpy(record->reply, response->message.data,
		       MIN(response->message.len, sizeof(record->reply)));
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct record *record = grpc_call_context(call);
	struct str note = metadata_get(outcome->trailers, STR("note"));

	record->closed++;
	record->call = NULL;
	record->status = (int)outcome->status;
	record->origin = outcome->origin;
	record->unprocessed = outcome->unprocessed;
	snprintf(record->text, sizeof(record->text), "%" STR_FMT, STR_ARG(outcome->message));
	snprintf(record->trailer, sizeof(record->trailer), "%" STR_FMT, STR_ARG(note));
}

static const struct grpc_call_events events = {
	.opened = on_opened,
	.message = on_message,
	.closed = on_closed,
};

struct grpc_call *pair_call(struct pair *pair, struct record *record, struct str message,
			    const struct grpc_call_options *options)
{
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

	*record = (struct record){ .status = -1 };
	record->call = grpc_channel_call(pair->channel, &echo_service, &echo_service.methods[0],
					 &events, options, record);
	if (record->call) {
		request.message.data = (uint8_t *)(uintptr_t)message.data;
		request.message.len = message.len;
		grpc_call_send(record->call, &request);
		grpc_call_half_close(record->call);
	}
	return record->call;
}

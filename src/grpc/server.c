/*
 * The server's own part: its services, its connections, and the free list that
 * calls come from and go back to. What a call does is in server_call.c.
 */
#include "grpc/server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "grpc/server_p.h"

/*
 * Blocks of nghttp2 that wait to be used again: enough for a few thousand
 * streams at once; a burst beyond that goes through malloc.
 */
#define MAX_POOLED_BYTES (4 * MIB)

const struct grpc_server_limits grpc_server_default_limits = {
	.http2 = HTTP2_DEFAULT_LIMITS,
	.max_message_bytes = 4 * MIB,
	.max_buffered_bytes = 256 * MIB,
	.max_free_calls = 1024,
};

/* Calls */

static struct http2_stream *stream_opened(void *user)
{
	struct grpc_connection *connection = user;
	struct grpc_server *server = connection->server;
	struct list *node = list_pop(&server->free_calls);
	struct grpc_call *call;

	if (node) {
		call = container_of(node, struct grpc_call, node);
		server->n_free--;
	} else {
		call = calloc(1, sizeof(*call) + server->state_size);
		if (!call) {
			return NULL;
		}
		list_init(&call->node);
		timer_init(&call->deadline, grpc_server_call_on_deadline);
		call->server = server;
	}
	server->n_calls++;
	call->connection = connection;
	http2_stream_init(&call->stream, &grpc_server_stream_events);
	grpc_call_begin(call, server->options.timers, http2_session_now(connection->session),
			server->options.limits->max_message_bytes + GRPC_UNPACK_OVERHEAD);
	return &call->stream;
}

void grpc_server_release_call(struct grpc_call *call)
{
	struct grpc_server *server = call->server;

	grpc_call_end(call);
	server->n_calls--;
	if (server->n_free < server->options.limits->max_free_calls) {
		list_prepend(&server->free_calls, &call->node); /* the warmest first */
		server->n_free++;
		return;
	}
	buffer_free(&call->stream.out);
	free(call);
}

/* Methods */

void grpc_server_find_method(struct grpc_call *call, struct str path)
{
	struct grpc_server *server = call->server;
	const char *slash = memrchr(path.data, '/', path.len);
	struct str service, method;

	call->each.head.path_seen = true;
	if (path.len == 0 || path.data[0] != '/' || slash == path.data) {
		call->each.head.path_malformed = true;
		return;
	}
	service = (struct str){ path.data + 1, (size_t)(slash - path.data) - 1 };
	method = (struct str){ slash + 1, path.len - service.len - 2 };
	for (size_t i = 0; i < server->n_services; i++) {
		const struct registered *entry = &server->services[i];

		if (!str_equal(entry->name, service)) {
			continue;
		}
		for (size_t j = 0; j < entry->service->n_methods; j++) {
			const struct grpc_method *candidate = &entry->service->methods[j];

			if (strlen(candidate->name) == method.len &&
			    memcmp(candidate->name, method.data, method.len) == 0) {
				call->each.method = candidate;
				call->each.service = entry->service;
				call->each.events = candidate->events;
				call->each.context = entry->context;
				call->each.meters = entry->meters ? &entry->meters[j] : NULL;
				return;
			}
		}
	}
}

/* Connections and the server */

static void session_closed(void *user, int err)
{
	struct grpc_connection *connection = user;

	(void)err;
	connection->server->n_connections--;
	free(connection);
}

static const struct http2_session_events session_events = {
	.stream_opened = stream_opened,
	.closed = session_closed,
};

struct grpc_server *grpc_server_new(const struct grpc_server_options *options)
{
	static const struct grpc_server_meters none;
	struct grpc_server *server = calloc(1, sizeof(*server));

	if (!server) {
		return NULL;
	}
	server->options = *options;
	if (!server->options.limits) {
		server->options.limits = &grpc_server_default_limits;
	}
	if (!server->options.meters) {
		server->options.meters = &none;
	}
	server->connection_id_name = str_from(options->connection_id_name);
	list_init(&server->free_calls);
	pool_init(&server->pool, MAX_POOLED_BYTES);
	return server;
}

void grpc_server_free(struct grpc_server *server)
{
	struct list *node;

	if (!server) {
		return;
	}
	assert(server->n_connections == 0 && server->n_calls == 0);
	while ((node = list_pop(&server->free_calls))) {
		struct grpc_call *call = container_of(node, struct grpc_call, node);

		buffer_free(&call->stream.out);
		free(call);
	}
	pool_deinit(&server->pool);
	free(server->services);
	free(server);
}

int grpc_server_add(struct grpc_server *server, const struct grpc_service *service, void *context,
		    const struct grpc_method_meters *meters)
{
	size_t n = server->n_services;
	struct registered *grown = realloc(server->services, (n + 1) * sizeof(*grown));

	assert(server->n_connections == 0); /* calls are sized for the methods known by then */
	if (!grown) {
		return -ENOMEM;
	}
	server->services = grown;
	grown[n] = (struct registered){ service, str_from(service->name), context, meters };
	server->n_services++;
	for (size_t i = 0; i < service->n_methods; i++) {
		server->state_size = MAX(server->state_size, service->methods[i].state_size);
	}
	return 0;
}

struct engine *grpc_server_accept(struct grpc_server *server, const struct grpc_peer *peer)
{
	struct grpc_connection *connection = calloc(1, sizeof(*connection));
	struct http2_options options = {
		.server = true,
		.limits = &server->options.limits->http2,
		.meters = server->options.meters->http2,
		.timers = server->options.timers,
		.pool = &server->pool,
	};

	if (!connection) {
		return NULL;
	}
	connection->server = server;
	connection->peer = peer;
	snprintf(connection->id_text, sizeof(connection->id_text), "%016llx",
		 (unsigned long long)peer->id);
	connection->session = http2_session_new(&options, &session_events, connection);
	if (!connection->session) {
		free(connection);
		return NULL;
	}
	server->n_connections++;
	return http2_session_engine(connection->session);
}

size_t grpc_server_calls(const struct grpc_server *server)
{
	return server->n_calls;
}

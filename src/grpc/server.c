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
		call->side = &server->side;
	}
	server->n_calls++;
	call->connection = connection;
	http2_stream_init(&call->stream, &grpc_server_stream_events);
	grpc_call_begin(call, server->options.timers, http2_session_now(connection->session),
			GRPC_METADATA_GROWTH * server->options.limits->http2.max_header_list_bytes);
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
	grpc_call_free(call);
}

/* Methods */

void grpc_server_find_method(struct grpc_call *call, struct str path)
{
	const struct grpc_server *server = call->server;

	call->each.head.path_seen = true;
	for (size_t i = 0; i < server->n_methods; i++) {
		const struct registered *entry = &server->methods[i];

		if (str_equal(path, entry->path)) {
			call->each.method = entry->method;
			call->each.events = entry->method->events;
			call->each.context = entry->context;
			call->each.meters = entry->meters;
			return;
		}
	}
	call->each.head.path_malformed =
		path.len == 0 || path.data[0] != '/' || !memchr(path.data + 1, '/', path.len - 1);
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

static void add_head(struct grpc_server *server, struct str name, struct str value)
{
	server->head[server->n_head++] = http2_field(name, value, true);
}

static void prepare_head(struct grpc_server *server)
{
	static const char id[GRPC_CONNECTION_ID_DIGITS + 1];
	const struct metadata_entry *identity = &server->options.identity;

	add_head(server, STR(":status"), STR("200"));
	add_head(server, STR("content-type"), STR("application/grpc"));
	add_head(server, STR("grpc-accept-encoding"), STR("identity,gzip"));
	if (identity->name.data) {
		add_head(server, identity->name, identity->value);
	}
	if (server->connection_id_name.data) {
		add_head(server, server->connection_id_name,
			 (struct str){ id, GRPC_CONNECTION_ID_DIGITS });
	}
}

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
	server->side.max_message = server->options.limits->max_message_bytes;
	server->side.max_send_message = server->options.limits->max_send_message_bytes;
	server->connection_id_name = str_from(options->connection_id_name);
	prepare_head(server);
	list_init(&server->free_calls);
	pool_init(&server->pool, GRPC_POOLED_BYTES);
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

		grpc_call_free(call);
	}
	codec_deinit(&server->side.codec);
	pool_deinit(&server->pool);
	for (size_t i = 0; i < server->n_methods; i++) {
		free((void *)(uintptr_t)server->methods[i].path.data);
	}
	free(server->methods);
	free(server->services);
	free(server);
}

static int add_method(struct grpc_server *server, const struct grpc_service *service,
		      const struct grpc_method *method, void *context,
		      const struct grpc_method_meters *meters)
{
	size_t n = server->n_methods;
	struct registered *grown = realloc(server->methods, (n + 1) * sizeof(*grown));
	char *path;
	int len;

	if (!grown) {
		return -ENOMEM;
	}
	server->methods = grown;
	len = asprintf(&path, "/%s/%s", service->name, method->name);
	if (len < 0) {
		return -ENOMEM;
	}
	grown[n] = (struct registered){ { path, (size_t)len }, method, context, meters };
	server->n_methods++;
	server->state_size = MAX(server->state_size, method->state_size);
	return 0;
}

int grpc_server_add(struct grpc_server *server, const struct grpc_service *service, void *context,
		    const struct grpc_method_meters *meters)
{
	const struct grpc_service **grown =
		realloc(server->services, (server->n_services + 1) * sizeof(*grown));
	int rv = 0;

	assert(server->n_connections == 0); /* calls are sized for the methods known by then */
	if (!grown) {
		return -ENOMEM;
	}
	server->services = grown;
	grown[server->n_services++] = service;
	for (size_t i = 0; i < service->n_methods && rv == 0; i++) {
		rv = add_method(server, service, &service->methods[i], context,
				meters ? &meters[i] : NULL);
	}
	return rv;
}

struct engine *grpc_server_accept(struct grpc_server *server, const struct grpc_peer *peer)
{
	struct grpc_connection *connection = calloc(1, sizeof(*connection));
	struct http2_options options = {
		.server = true,
		.limits = &server->options.limits->http2,
		.meters = server->options.meters->http2,
		.timers = server->options.timers,
		.random = server->options.random,
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

const struct grpc_service *grpc_server_service(const struct grpc_server *server, size_t index)
{
	return index < server->n_services ? server->services[index] : NULL;
}

size_t grpc_server_calls(const struct grpc_server *server)
{
	return server->n_calls;
}

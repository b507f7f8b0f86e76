/*
 * The happy path: accepted -> a guest with its connection -> ready, and the server
 * makes the engine -> closed, and the guest is gone. The signal closes the listener
 * and tells every connection goodbye; the loop ends when nothing is left on it.
 */
#include "host.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>

#include "common.h"
#include "net/connection.h"

#define BACKLOG 128

struct guest {
	struct list node;
	struct host *host;
	struct connection *connection;
	struct grpc_peer peer;
	char address[ADDRESS_TEXT_MAX];
};

static struct engine *on_ready(void *user, struct connection *connection)
{
	struct guest *guest = user;

	(void)connection;
	return grpc_server_accept(guest->host->server, &guest->peer);
}

static void on_connection_closed(void *user, struct connection *connection,
				 enum connection_close_reason why, int err)
{
	struct guest *guest = user;

	(void)connection;
	(void)why;
	(void)err;
	list_remove(&guest->node);
	free(guest);
}

static const struct connection_events connection_events = {
	.ready = on_ready,
	.closed = on_connection_closed,
};

static void on_accepted(void *user, struct listener *listener, struct transport *transport,
			const struct address *peer)
{
	struct host *host = user;
	struct guest *guest = calloc(1, sizeof(*guest));

	(void)listener;
	if (!guest) {
		die("out of memory");
	}
	guest->host = host;
	address_format(peer, guest->address);
	guest->peer = (struct grpc_peer){ .id = ++host->last_id, .address = guest->address };
	list_append(&host->guests, &guest->node);
	guest->connection = connection_new(host->loop, transport, &connection_default_limits, NULL,
					   &connection_events, guest);
	if (!guest->connection) {
		die("out of memory");
	}
	if (host->stopping) {
		connection_drain(guest->connection, ENGINE_DRAIN_NOW);
	}
}

static void on_listener_closed(void *user, struct listener *listener)
{
	(void)user;
	(void)listener;
}

static void on_signal(void *user, int number)
{
	struct host *host = user;

	(void)number;
	if (host->stopping) {
		return;
	}
	host->stopping = true;
	listener_close(host->listener);
	list_for_each (&host->guests, node) {
		connection_drain(container_of(node, struct guest, node)->connection,
				 ENGINE_DRAIN_NOW);
	}
	loop_signal_free(host->terminate);
	loop_signal_free(host->interrupt);
}

void host_init(struct host *host)
{
	*host = (struct host){ .loop = loop_new() };
	if (!host->loop) {
		die("cannot make an event loop");
	}
	list_init(&host->guests);
}

unsigned host_listen(struct host *host, struct grpc_server *server)
{
	static const struct listener_events events = { on_accepted, on_listener_closed };
	const struct address_spec spec = { .kind = ADDRESS_INET, .host = "127.0.0.1", .port = "0" };
	const struct address *bound;
	struct sockaddr_in inet;
	int err;

	host->server = server;
	err = listener_open(host->loop, &spec, BACKLOG, NULL, &events, host, &host->listener);
	if (err < 0) {
		die("cannot listen on 127.0.0.1: %s", net_strerror(err));
	}
	host->terminate = loop_signal_new(host->loop, SIGTERM, on_signal, host);
	host->interrupt = loop_signal_new(host->loop, SIGINT, on_signal, host);
	if (!host->terminate || !host->interrupt) {
		die("cannot wait for signals");
	}
	bound = listener_address(host->listener);
	memcpy(&inet, &bound->storage, sizeof(inet));
	return ntohs(inet.sin_port);
}

void host_run(struct host *host)
{
	signal(SIGPIPE, SIG_IGN);
	loop_run(host->loop);
}

void host_deinit(struct host *host)
{
	loop_free(host->loop);
}

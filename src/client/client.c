/*
 * `echod client`: the command line becomes a plan, the plan one call or a run.
 * This file holds what surrounds both: the loop, the metrics, the target.
 */
#include "client/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/text.h"
#include "commands.h"
#include "echo.pb-c.h"
#include "grpc/channel.h"
#include "grpc/wire.h"
#include "version.h"

struct grpc_channel *client_channel_new(struct client *client, size_t target,
					const struct grpc_channel_events *events, void *user)
{
	const struct grpc_channel_options options = {
		.http2 = &client->http2,
		.meters = &client->instruments.channel,
		.timers = loop_timers(client->loop),
		.random = &client->random,
		/* Somebody waits for this one client; the protocol's second is for fleets. */
		.backoff = { .initial_ns = 100 * NS_PER_MS, .max_ns = NS_PER_S },
		.authority = client->plan->targets[target].authority,
		.user_agent = client->user_agent,
	};

	return grpc_channel_new(&options, events, user);
}

struct grpc_call *client_call_start(const struct client *client, struct grpc_channel *channel,
				    const struct metadata_entry *metadata,
				    const struct grpc_call_events *events, void *user)
{
	const struct plan *plan = client->plan;
	const struct grpc_call_options options = {
		.timeout_ns = plan->timeout_ns,
		.metadata = metadata,
		.gzip = plan->gzip,
		.wait_for_ready = plan->wait_for_ready,
	};
	const struct buffer *message = &plan->message;
	struct grpc_call *call;

	call = grpc_channel_call(channel, plan->service, plan->method, events, &options, user);
	if (!call) {
		return NULL;
	}
	/* What fails here ends the call, and arrives by `closed` as any failure does. */
	if (plan->raw) {
		struct bytes raw = buffer_bytes(message);

		(void)grpc_call_send(call, &raw);
	} else {
		Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

		request.message.data = message->memory ? buffer_data(message) : NULL;
		request.message.len = buffer_len(message);
		(void)grpc_call_send(call, &request);
	}
	grpc_call_half_close(call);
	return call;
}

uint64_t client_request_bytes(const struct client *client)
{
	const struct buffer *message = &client->plan->message;
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;

	if (client->plan->raw) {
		return GRPC_PREFIX_BYTES + buffer_len(message);
	}
	request.message.len = buffer_len(message);
	return GRPC_PREFIX_BYTES + echo__echo_request__get_packed_size(&request);
}

struct str client_reply(const struct client *client, const void *message)
{
	if (client->plan->raw) {
		const struct bytes *raw = message;

		return (struct str){ (const char *)raw->data, raw->len };
	} else {
		const Echo__EchoResponse *response = message;

		return (struct str){ (const char *)response->message.data, response->message.len };
	}
}

bool client_is_echo(const struct client *client, const void *message)
{
	struct bytes sent = buffer_bytes(&client->plan->message);

	return str_equal(client_reply(client, message),
			 (struct str){ (const char *)sent.data, sent.len });
}

bool client_never_found(const struct grpc_outcome *outcome)
{
	return outcome->unprocessed && outcome->origin == GRPC_FROM_TRANSPORT;
}

void client_note_goaway(const char *target, uint32_t code, struct str debug)
{
	struct buffer text = BUFFER_INIT;

	if (code == HTTP2_NO_ERROR) {
		return;
	}
	if (buffer_printf(&text, "%s ends the connection: %s", target, http2_error_name(code)) ==
		    0 &&
	    (debug.len == 0 ||
	     (buffer_append_str(&text, STR(", ")) == 0 && text_visible(&text, debug) == 0))) {
		fprintf(stderr, "echod client: %.*s\n", (int)buffer_len(&text),
			(const char *)buffer_bytes(&text).data);
	}
	buffer_free(&text);
}

bool client_print(struct bytes text)
{
	char why[128];

	if ((text.len == 0 || fwrite(text.data, text.len, 1, stdout) == 1) && fflush(stdout) == 0) {
		return true;
	}
	snprintf(why, sizeof(why), "cannot write to standard output: %s", strerror(errno));
	client_complain(why);
	return false;
}

void client_user_agent(char *text, size_t size)
{
	snprintf(text, size, "grpc-c-echod/%s (linux; nghttp2/%s)", echod_version,
		 http2_library_version());
}

void client_complain(const char *text)
{
	fprintf(stderr, "echod client: %s\n", text);
}

/* 0, or -1 with a reason. */
static int resolve(struct client *client, char *why, size_t size)
{
	const struct plan *plan = client->plan;

	client->targets = calloc(plan->n_targets, sizeof(*client->targets));
	if (!client->targets) {
		snprintf(why, size, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < plan->n_targets; i++) {
		if (dial_resolve(&client->targets[i], &plan->targets[i].spec, plan->targets[i].text,
				 plan->timeout_ns, why, size) < 0) {
			return -1;
		}
		client->targets[i].meters = &client->connections;
	}
	return 0;
}

/* The loop exists; a target may turn out to have no address. */
static int run_resolved(struct client *client)
{
	const struct plan *plan = client->plan;
	char why[512];

	if (resolve(client, why, sizeof(why)) < 0) {
		return plan->load ? load_unresolved(client, why) : call_unresolved(client, why);
	}
	return plan->load ? load_run(client) : call_run(client);
}

static int run(struct client *client)
{
	const struct plan *plan = client->plan;
	char why[512];
	int code;

	random_seed(&client->random, plan->load ? plan->seed : random_entropy());
	client->connections = (struct connection_meters){
		.received_bytes = &client->bytes_in,
		.sent_bytes = &client->bytes_out,
	};
	client->http2 = http2_default_limits;
	client->http2.keepalive_time_ns = plan->keepalive_time_ns;
	client->http2.keepalive_timeout_ns = plan->keepalive_timeout_ns;
	client->loop = loop_new();
	if (!client->loop || instruments_init(&client->instruments) < 0) {
		client_complain("cannot start: out of memory or of file descriptors");
		code = EXIT_FAILED;
		goto out;
	}
	if (plan->web) {
		client->exporter = exporter_new(client->loop, client->instruments.registry,
						&plan->web_address, why, sizeof(why));
		if (!client->exporter) {
			client_complain(why);
			code = EXIT_FAILED;
			goto out;
		}
		fprintf(stderr, "echod client: serving /metrics on %s\n",
			exporter_address(client->exporter));
	}
	code = run_resolved(client);
	if (client->exporter) {
		exporter_close(client->exporter);
	}
	loop_run(client->loop); /* what is left closes */
out:
	exporter_free(client->exporter);
	if (client->loop) {
		loop_free(client->loop);
	}
	instruments_deinit(&client->instruments);
	free(client->targets);
	return code;
}

int client_main(int argc, char **argv, char **envp)
{
	struct plan plan;
	struct client client = { .plan = &plan };
	char why[1024];
	int code = EXIT_DONE;

	(void)envp;
	signal(SIGPIPE, SIG_IGN);
	client_user_agent(client.user_agent, sizeof(client.user_agent));
	switch (plan_init(&plan, argc, argv, why, sizeof(why))) {
	case OPTIONS_HELP:
		plan_help(stdout);
		break;
	case OPTIONS_VERSION:
		print_version();
		break;
	case OPTIONS_ERROR:
		client_complain(why);
		code = EXIT_USAGE;
		break;
	case OPTIONS_OK:
		code = run(&client);
		break;
	}
	plan_deinit(&plan);
	return code;
}

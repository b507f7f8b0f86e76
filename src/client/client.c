/*
 * `echod client`: the command line becomes a plan, the plan one call or a run.
 * This file holds what surrounds both: the loop, the metrics, the target.
 */
#include "client/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "echo.pb-c.h"
#include "grpc/channel.h"
#include "service/echo.h"
#include "version.h"

struct grpc_channel *client_channel_new(struct client *client,
					const struct grpc_channel_events *events, void *user)
{
	const struct grpc_channel_options options = {
		.http2 = &http2_default_limits,
		.timers = loop_timers(client->loop),
		.authority = client->plan->target.authority,
		.user_agent = client->user_agent,
	};

	return grpc_channel_new(&options, events, user);
}

struct grpc_call *client_call_start(const struct client *client, struct grpc_channel *channel,
				    const struct grpc_call_events *events, void *user)
{
	const struct plan *plan = client->plan;
	const struct grpc_call_options options = {
		.timeout_ns = plan->timeout_ns,
		.metadata = plan->metadata.first,
	};
	Echo__EchoRequest request = ECHO__ECHO_REQUEST__INIT;
	struct grpc_call *call;

	call = grpc_channel_call(channel, &echo_service, &echo_service.methods[ECHO_METHOD_ECHO],
				 events, &options, user);
	if (!call) {
		return NULL;
	}
	request.message.data = plan->message.memory ? buffer_data(&plan->message) : NULL;
	request.message.len = buffer_len(&plan->message);
	/* What fails here ends the call, and arrives by `closed` as any failure does. */
	(void)grpc_call_send(call, &request);
	grpc_call_half_close(call);
	return call;
}

bool client_is_echo(const struct client *client, const void *message)
{
	const Echo__EchoResponse *response = message;
	const struct buffer *sent = &client->plan->message;

	return str_equal(
		(struct str){ (const char *)response->message.data, response->message.len },
		(struct str){ (const char *)buffer_bytes(sent).data, buffer_len(sent) });
}

bool client_never_found(const struct grpc_outcome *outcome, const struct dialer *dialer)
{
	if (!outcome->unprocessed || outcome->origin != GRPC_FROM_TRANSPORT) {
		return false;
	}
	/* A deadline can also come in the queue for a stream, of a server that is there. */
	return outcome->status == GRPC_UNAVAILABLE ||
	       (outcome->status == GRPC_DEADLINE_EXCEEDED && dialer->n_attached == 0);
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

void client_complain(const char *text)
{
	fprintf(stderr, "echod client: %s\n", text);
}

/* The loop exists; the target may turn out to have no address. */
static int run_resolved(struct client *client)
{
	const struct plan *plan = client->plan;
	char why[512];

	if (dial_resolve(&client->target, &plan->target.spec, plan->target.text, plan->timeout_ns,
			 why, sizeof(why)) < 0) {
		return plan->load ? load_unresolved(client, why) : call_unresolved(client, why);
	}
	return plan->load ? load_run(client) : call_run(client);
}

static int run(struct client *client)
{
	const struct plan *plan = client->plan;
	char why[512];
	int code;

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
	snprintf(client.user_agent, sizeof(client.user_agent), "echod-client/%s", echod_version);
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

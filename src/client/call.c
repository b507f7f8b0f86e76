/*
 * One call, printed: the reply on standard output, or in one line on standard
 * error why there is none.
 */
#include <stdio.h>

#include "base/buffer.h"
#include "client/call_report.h"
#include "client/client.h"
#include "client/text.h"
#include "commands.h"
#include "grpc/channel.h"

struct call {
	struct client *client;
	struct dialer dialer;
	struct grpc_channel *channel;
	bool replied, mismatched, late;
	struct str reply; /* borrowed from the message, which lives as long as its call */
	struct loop_task finish;
	int code;
};

static void on_message(struct grpc_call *grpc_call, const void *message)
{
	struct call *call = grpc_call_context(grpc_call);

	call->replied = true;
	call->mismatched = call->client->plan->verify && !client_is_echo(call->client, message);
	call->reply = client_reply(call->client, message);
}

/* Whose doing it was, where the server says so. */
static int tell_injected(struct buffer *text, const struct call_report *result)
{
	char delay[TEXT_NUMBER_MAX];
	int err = 0;

	if (result->injected.word != INJECTED_NOTHING) {
		TEXT_PRINT(err, text, "; injected by the server (echod-fault: ");
		TEXT_CHAIN(err,
			   text_visible(text, metadata_get(result->trailing, STR("echod-fault"))));
		TEXT_PRINT(err, text, ")");
		if (injected_changed(result->injected.word, result->status)) {
			TEXT_PRINT(err, text, ", and the status was changed on its way");
		}
	}
	if (result->injected.delay_ns > 0) {
		text_duration(result->injected.delay_ns, delay, sizeof(delay));
		TEXT_PRINT(err, text, "; delayed by %s on purpose", delay);
	}
	return err;
}

static void complain_of_failure(const struct call_report *result)
{
	struct buffer text = BUFFER_INIT;

	if (text_failure(&text, result->status, result->message) == 0 &&
	    tell_injected(&text, result) == 0) {
		fprintf(stderr, "echod client: %.*s\n", (int)buffer_len(&text),
			(const char *)buffer_bytes(&text).data);
	} else {
		client_complain(grpc_status_name(result->status));
	}
	buffer_free(&text);
}

/* The exit code. */
static int print_json(const struct call_report *result)
{
	struct buffer text = BUFFER_INIT;
	bool printed = call_report_json(&text, result) == 0;

	if (!printed) {
		client_complain("out of memory");
	} else {
		printed = client_print(buffer_bytes(&text));
	}
	buffer_free(&text);
	return printed ? EXIT_DONE : EXIT_FAILED;
}

static int print_reply(const struct call_report *result)
{
	struct bytes reply = { (const uint8_t *)result->reply.data, result->reply.len };

	return client_print(reply) && client_print((struct bytes){ (const uint8_t *)"\n", 1 })
		       ? EXIT_DONE
		       : EXIT_FAILED;
}

/* The exit code. */
static int print_result(const struct plan *plan, const struct call_report *result)
{
	int code = EXIT_DONE;

	if (plan->n_outputs > 0 && plan->outputs[0].format == REPORT_JSON) {
		code = print_json(result);
	} else if (result->status == GRPC_OK) {
		code = print_reply(result);
	}
	if (result->status != GRPC_OK) {
		complain_of_failure(result);
		return EXIT_FAILED;
	}
	if (result->mismatched) {
		fprintf(stderr,
			"echod client: the reply is not the message that was sent (%zu bytes sent, "
			"%zu received)\n",
			buffer_len(&plan->message), result->reply.len);
		return EXIT_FAILED;
	}
	return code;
}

/* After the call: lets go of everything that keeps the loop alive. */
static void on_finish(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, finish);

	grpc_channel_drain(call->channel);
	/* A peer that let the deadline pass is not waited for. */
	dialer_close(&call->dialer, call->late);
	if (call->client->exporter) {
		exporter_close(call->client->exporter);
	}
}

static void on_closed(struct grpc_call *grpc_call, const struct grpc_outcome *outcome)
{
	struct call *call = grpc_call_context(grpc_call);
	const struct grpc_peer *peer = grpc_call_peer(grpc_call);
	struct call_report result = {
		.target = call->client->plan->targets[0].text,
		.peer = peer ? peer->address : NULL,
		.status = outcome->status,
		.message = outcome->message,
		.never_found = client_never_found(outcome),
		.attempts = grpc_call_attempts(grpc_call),
		.replied = call->replied,
		.mismatched = call->mismatched,
		.reply = call->reply,
		.latency_ns = timers_now(loop_timers(call->client->loop)) -
			      grpc_call_started_ns(grpc_call),
		.initial = grpc_call_metadata(grpc_call),
		.trailing = outcome->trailers,
	};

	for (const struct metadata_entry *entry = outcome->trailers->first; entry;
	     entry = entry->next) {
		(void)injected_read(entry, &result.injected);
	}
	if (result.status == GRPC_OK && !call->replied) {
		result.status = GRPC_INTERNAL;
		result.message = STR("the server ended the call OK, without a reply");
	}
	call->late = result.status == GRPC_DEADLINE_EXCEEDED;
	call->code = print_result(call->client->plan, &result);
	loop_schedule(call->client->loop, &call->finish);
}

static const struct grpc_call_events call_events = {
	.message = on_message,
	.closed = on_closed,
};

static void on_connect_wanted(void *user, struct grpc_channel *channel)
{
	struct call *call = user;

	(void)channel;
	dialer_dial(&call->dialer);
}

static void on_goaway(void *user, struct grpc_channel *channel, uint32_t code, struct str debug)
{
	struct call *call = user;

	(void)channel;
	client_note_goaway(call->client->plan->targets[0].text, code, debug);
}

static const struct grpc_channel_events channel_events = {
	.connect_wanted = on_connect_wanted,
	.goaway = on_goaway,
};
static const struct dialer_events dialer_events = { 0 };

/* A failure before anything could be started. */
static int fail(struct client *client, enum grpc_status status, const char *why)
{
	struct call_report result = {
		.target = client->plan->targets[0].text,
		.status = status,
		.message = str_from(why),
		.never_found = true,
	};

	return print_result(client->plan, &result);
}

int call_unresolved(struct client *client, const char *why)
{
	return fail(client, GRPC_UNAVAILABLE, why);
}

int call_run(struct client *client)
{
	struct call call = { .client = client, .code = EXIT_FAILED };

	loop_task_init(&call.finish, on_finish);
	dialer_init(&call.dialer, client->loop, &client->targets[0], &client->next_peer_id,
		    &dialer_events, &call);
	call.channel = client_channel_new(client, 0, &channel_events, &call);
	if (!call.channel) {
		dialer_deinit(&call.dialer);
		return fail(client, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	}
	dialer_set_channel(&call.dialer, call.channel);
	if (client_call_start(client, call.channel, client->plan->metadata.first, &call_events,
			      &call)) {
		loop_run(client->loop);
	} else {
		call.code = fail(client, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	}
	grpc_channel_free(call.channel);
	dialer_deinit(&call.dialer);
	return call.code;
}

#include "client/flight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/reconcile.h"

static void on_message(struct grpc_call *call, const void *message)
{
	struct slot *slot = grpc_call_context(call);
	const struct client *client = slot->flight->client;

	slot->echoed = !slot->replied && (!client->plan->verify || client_is_echo(client, message));
	slot->replied = true;
}

/* Who answered: echod says so in its metadata, where the answer has any. */
static void find_backend(const struct metadata *metadata, struct recorder_call *ended)
{
	for (const struct metadata_entry *entry = metadata ? metadata->first : NULL; entry;
	     entry = entry->next) {
		if (str_equal(entry->name, STR("echod-instance"))) {
			ended->instance = entry->value;
		} else if (str_equal(entry->name, STR("echod-connection"))) {
			ended->connection = entry->value;
		}
	}
}

/* What the end of an answer says, where it says more than its status: most have nothing. */
static void read_trailers(const struct grpc_outcome *outcome, struct recorder_call *ended)
{
	bool named = ended->instance.len > 0 || outcome->origin != GRPC_FROM_PEER;

	for (const struct metadata_entry *entry = outcome->trailers->first; entry;
	     entry = entry->next) {
		(void)injected_read(entry, &ended->injected);
	}
	if (!named) { /* headers and trailers in one block */
		find_backend(outcome->trailers, ended);
	}
}

static void judge(const struct slot *slot, const struct grpc_outcome *outcome,
		  struct recorder_call *ended)
{
	ended->status = outcome->status;
	ended->origin = outcome->origin;
	ended->message = outcome->message;
	if (client_never_found(outcome)) {
		ended->end = RECORDER_NO_SERVER;
	} else if (outcome->status == GRPC_OK && !slot->echoed) {
		ended->end = RECORDER_MISMATCHED;
		if (!slot->flight->client->plan->verify) {
			ended->end = RECORDER_ANSWERED;
			ended->status = GRPC_INTERNAL;
			ended->message = STR("the server ended the call OK, without a reply");
		}
	}
}

static void record(struct slot *slot, struct grpc_call *call, const struct grpc_outcome *outcome,
		   int64_t now_ns)
{
	struct flight *flight = slot->flight;
	int64_t zero_ns = slot->part->zero_ns, sent_ns = grpc_call_sent_ns(call);
	struct recorder_call ended = {
		.intended_ns = slot->intended_ns - zero_ns,
		.started_ns = grpc_call_started_ns(call) - zero_ns,
		.sent_ns = sent_ns < 0 ? -1 : sent_ns - zero_ns,
		.ended_ns = now_ns - zero_ns,
		.deferred = slot->deferred,
		.end = RECORDER_ANSWERED,
	};

	judge(slot, outcome, &ended);
	if (outcome->origin == GRPC_FROM_PEER) {
		find_backend(grpc_call_metadata(call), &ended);
	}
	if (outcome->trailers && outcome->trailers->first) {
		read_trailers(outcome, &ended);
	}
	recorder_ended(slot->part->recorder, &ended);
	instruments_call_ended(&flight->client->instruments, slot->part->recorder, &ended);
}

static void tell_reconcile(const struct slot *slot, struct grpc_call *call,
			   const struct grpc_outcome *outcome)
{
	struct flight *flight = slot->flight;
	uint64_t sequence = flight->marks[slot - flight->slots].sequence;

	if (grpc_call_sent_ns(call) >= 0) {
		reconcile_sent(flight->reconcile, sequence);
	}
	if (outcome->origin == GRPC_FROM_PEER) {
		reconcile_answered(flight->reconcile, sequence);
	}
}

static void on_closed(struct grpc_call *call, const struct grpc_outcome *outcome)
{
	struct slot *slot = grpc_call_context(call);
	struct flight *flight = slot->flight;
	int64_t now_ns = grpc_call_ended_ns(call);

	if (flight->cut && outcome->origin != GRPC_FROM_PEER) {
		recorder_unfinished(slot->part->recorder);
	} else {
		record(slot, call, outcome, now_ns);
	}
	if (outcome->origin == GRPC_FROM_PEER) {
		flight->answered_ns = now_ns;
	}
	if (flight->marks) {
		tell_reconcile(slot, call, outcome);
	}
	slot->call = NULL;
	flight->in_flight--;
	slot->lane->in_flight--;
	flight->freed(flight->user, slot, now_ns);
}

static const struct grpc_call_events call_events = {
	.message = on_message,
	.closed = on_closed,
};

static void record_no_memory(const struct slot *slot, int64_t now_ns)
{
	int64_t zero_ns = slot->part->zero_ns;
	const struct recorder_call ended = {
		.intended_ns = slot->intended_ns - zero_ns,
		.started_ns = now_ns - zero_ns,
		.sent_ns = -1,
		.ended_ns = now_ns - zero_ns,
		.deferred = slot->deferred,
		.end = RECORDER_ANSWERED,
		.status = GRPC_RESOURCE_EXHAUSTED,
		.origin = GRPC_FROM_HERE,
		.message = STR("out of memory here"),
	};

	recorder_ended(slot->part->recorder, &ended);
	instruments_call_ended(&slot->flight->client->instruments, slot->part->recorder, &ended);
}

/* The call's metadata: the plan's, behind its mark where it has one. */
static const struct metadata_entry *mark(struct flight *flight, const struct slot *slot)
{
	struct slot_mark *mark;

	if (!flight->marks) {
		return flight->client->plan->metadata.first;
	}
	mark = &flight->marks[slot - flight->slots];
	mark->sequence = flight->sequence++;
	mark->entry.value.len = (size_t)snprintf(mark->text, sizeof(mark->text), "%s-%" PRIu64,
						 flight->run_id, mark->sequence);
	return &mark->entry;
}

bool flight_start(struct flight *flight, struct slot *slot, const struct flight_part *part,
		  int64_t intended_ns, bool deferred)
{
	struct grpc_call *call;
	int64_t now_ns;

	slot->part = part;
	slot->deferred = deferred;
	slot->replied = slot->echoed = false;
	call = client_call_start(flight->client, slot->lane->channel, mark(flight, slot),
				 &call_events, slot);
	now_ns = call ? grpc_call_started_ns(call) : timers_now(flight->timers);
	slot->intended_ns = intended_ns >= 0 ? intended_ns : now_ns;
	recorder_due(part->recorder, slot->intended_ns - part->zero_ns, 1);
	recorder_started(part->recorder, now_ns - part->zero_ns, deferred);
	if (!call) {
		record_no_memory(slot, now_ns);
		return false;
	}
	slot->call = call;
	flight->in_flight++;
	slot->lane->in_flight++;
	return true;
}

void flight_cut(struct flight *flight)
{
	flight->cut = true;
	for (size_t i = 0; i < flight->n_slots && flight->in_flight > 0; i++) {
		if (flight->slots[i].call) {
			grpc_call_cancel(flight->slots[i].call, GRPC_CANCELLED);
		}
	}
}

int flight_init(struct flight *flight, const struct flight_options *options)
{
	*flight = (struct flight){
		.client = options->client,
		.timers = loop_timers(options->client->loop),
		.freed = options->freed,
		.user = options->user,
		.reconcile = options->reconcile,
		.run_id = options->run_id,
	};
	flight->slots = calloc(options->n_slots, sizeof(*flight->slots));
	if (options->reconcile) {
		flight->marks = calloc(options->n_slots, sizeof(*flight->marks));
	}
	if (!flight->slots || (options->reconcile && !flight->marks)) {
		return -ENOMEM;
	}
	flight->n_slots = options->n_slots;
	for (size_t i = 0; i < flight->n_slots; i++) {
		list_init(&flight->slots[i].node);
		flight->slots[i].flight = flight;
		if (flight->marks) {
			struct slot_mark *mark = &flight->marks[i];

			mark->entry.name = STR(RECONCILE_METADATA);
			mark->entry.value.data = mark->text;
			mark->entry.once = true;
			mark->entry.next = options->client->plan->metadata.first;
		}
	}
	return 0;
}

void flight_deinit(struct flight *flight)
{
	free(flight->slots);
	free(flight->marks);
	flight->slots = NULL;
	flight->marks = NULL;
}

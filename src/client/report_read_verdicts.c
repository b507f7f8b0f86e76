/* What was judged of a run, out of its JSON: assertions, and the servers' own counts. */
#include <string.h>

#include "client/report_reader.h"

#define MAX_ASSERTIONS 1024
#define MAX_SERVERS    1024

void report_read_assertions(struct report_reader *reader, const json_t *root)
{
	const json_t *assertions = report_reader_array(reader, root, "assertions", MAX_ASSERTIONS);
	size_t n = json_array_size(assertions), i;
	struct run *run = reader->run;
	const json_t *in;

	if (n == 0) {
		return;
	}
	run->assertions = arena_alloc(&run->arena, n * sizeof(*run->assertions));
	if (!run->assertions) {
		report_reader_fail(reader, NULL, "needs more memory than there is");
		return;
	}
	json_array_foreach(assertions, i, in)
	{
		report_reader_at(reader, "assertions[%zu]", i);
		run->assertions[i].text = report_reader_text(reader, in, "text");
		run->assertions[i].measured = report_reader_text(reader, in, "measured");
		run->assertions[i].held = report_reader_bool(reader, in, "held");
		if (!run->assertions[i].text || !run->assertions[i].measured) {
			report_reader_fail(reader, NULL, "has no text, or nothing measured");
		}
	}
	run->n_assertions = n;
}

/* {"OK":5,...}: counts, or differences, by status. */
static void read_by_status(struct report_reader *reader, const json_t *in, const char *member,
			   int64_t min, int64_t *ret_by_status)
{
	json_t *by_status = report_reader_member(reader, in, member, JSON_OBJECT), *value;
	const char *name;

	json_object_foreach(by_status, name, value)
	{
		int status = report_reader_status(name);

		if (status < 0) {
			report_reader_fail(reader, member, "has a status that is none of gRPC's");
			return;
		}
		ret_by_status[status] =
			report_reader_integer(reader, by_status, name, min, REPORT_MAX_COUNT);
	}
}

static void read_server(struct report_reader *reader, const json_t *in, struct run_reconciled *ret)
{
	int64_t by_status[GRPC_STATUS_COUNT] = { 0 };

	ret->url = report_reader_text(reader, in, "url");
	ret->problem = report_reader_text(reader, in, "problem");
	ret->restarted = report_reader_bool(reader, in, "restarted");
	ret->received = report_reader_count(reader, in, "received");
	ret->in_flight = report_reader_count(reader, in, "in_flight");
	read_by_status(reader, in, "by_status", 0, by_status);
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		ret->by_status[status] = (uint64_t)by_status[status];
	}
	ret->ledger = json_object_get(in, "faults");
	if (ret->ledger) {
		report_reader_words(reader, in, "faults", ret->faults);
	}
	if (!ret->url) {
		report_reader_fail(reader, "url", "is not a text");
	}
}

static void read_servers(struct report_reader *reader, const json_t *in)
{
	const json_t *servers = report_reader_array(reader, in, "servers", MAX_SERVERS), *server;
	struct run_reconciliation *all = &reader->run->reconciliation;
	size_t n = json_array_size(servers), i;

	if (n == 0) {
		report_reader_fail(reader, "servers", "is empty");
		return;
	}
	all->servers = arena_alloc(&reader->run->arena, n * sizeof(*all->servers));
	if (!all->servers) {
		report_reader_fail(reader, NULL, "needs more memory than there is");
		return;
	}
	memset(all->servers, 0, n * sizeof(*all->servers));
	json_array_foreach(servers, i, server)
	{
		report_reader_at(reader, "reconciliation.servers[%zu]", i);
		read_server(reader, server, &all->servers[i]);
	}
	all->n = n;
}

static void read_differences(struct report_reader *reader, const json_t *in,
			     struct run_reconciliation *all)
{
	int64_t explained[GRPC_STATUS_COUNT] = { 0 };

	if (report_reader_optional(reader, in, "difference")) {
		read_by_status(reader, in, "difference", -REPORT_MAX_COUNT, all->by_status);
	}
	/* The next three the first runs do not have, nor those with other servers. */
	if (json_object_get(in, "explained")) {
		read_by_status(reader, in, "explained", 0, explained);
	}
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		all->explained[status] = (uint64_t)explained[status];
	}
	all->ledger = json_object_get(in, "faults");
	if (all->ledger) {
		report_reader_words(reader, in, "faults", all->faults);
		report_reader_words(reader, in, "told", all->told);
	}
}

void report_read_reconciliation(struct report_reader *reader, const json_t *root)
{
	const json_t *in = report_reader_optional(reader, root, "reconciliation");
	struct run_reconciliation *all = &reader->run->reconciliation;

	if (!in) {
		return;
	}
	read_servers(reader, in);
	report_reader_at(reader, "reconciliation");
	all->complete = report_reader_bool(reader, in, "complete");
	all->sent = report_reader_count(reader, in, "sent");
	all->received = report_reader_count(reader, in, "received");
	all->answered = report_reader_count(reader, in, "answered");
	read_differences(reader, in, all);
	all->by_call = report_reader_bool(reader, in, "by_call");
	all->never_arrived = report_reader_count(reader, in, "never_arrived");
	all->arrived_twice = report_reader_count(reader, in, "arrived_twice");
	all->answer_lost = report_reader_count(reader, in, "answer_lost");
	all->untracked = report_reader_count(reader, in, "untracked");
	all->examples = report_reader_text(reader, in, "examples");
}

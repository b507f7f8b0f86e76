#include "client/load_report.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "client/assertions.h"
#include "client/client.h"
#include "client/report.h"
#include "commands.h"
#include "version.h"

static int describe_plan(const struct plan *plan, struct run *run)
{
	struct buffer text = BUFFER_INIT;
	int err = plan_describe(plan, &text);

	if (err == 0) {
		err = buffer_append(&text, "", 1);
	}
	if (err == 0) {
		run->plan = run_text(run, (const char *)buffer_bytes(&text).data);
		err = run->plan ? 0 : -ENOMEM;
	}
	buffer_free(&text);
	return err;
}

static int describe_method(const struct plan *plan, struct run *run)
{
	char text[sizeof(plan->raw_names) + 2];

	snprintf(text, sizeof(text), "%s/%s", plan->service->name, plan->method->name);
	run->method = run_text(run, text);
	return run->method ? 0 : -ENOMEM;
}

static int describe_host(struct run *run)
{
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) < 0) {
		name[0] = '\0';
	}
	run->host = run_text(run, name);
	return run->host ? 0 : -ENOMEM;
}

int load_describe(const struct client *client, struct run *run)
{
	const struct plan *plan = client->plan;

	run->version = echod_version;
	run->name = plan->name;
	run->n_targets = plan->n_targets;
	for (size_t i = 0; i < plan->n_targets; i++) {
		run->targets[i] = plan->targets[i].text;
	}
	run->schedule = plan->schedule;
	run->spin = plan->pacing == PLAN_PACING_SPIN;
	run->gzip = plan->gzip;
	run->verify = plan->verify;
	run->concurrency = plan->concurrency;
	run->max_in_flight = plan->max_in_flight;
	run->connections = plan->connections;
	run->count = plan->count;
	run->duration_ns = plan->duration_ns;
	run->warmup_ns = plan->warmup_ns;
	run->grace_ns = plan->grace_ns;
	run->timeout_ns = plan->timeout_ns;
	run->connection_lifetime_ns = plan->connection_lifetime_ns;
	run->request_bytes = client_request_bytes(client);
	run->seed = plan->seed;
	run->merged = 1;
	if (describe_plan(plan, run) < 0 || describe_method(plan, run) < 0 ||
	    describe_host(run) < 0) {
		return -ENOMEM;
	}
	client_complain(run->plan);
	return 0;
}

/* False, with a line on standard error. */
static bool write_one(const struct run *run, enum report_format format, const char *path)
{
	struct report_style style;
	struct buffer text = BUFFER_INIT;
	char why[512] = "out of memory";
	bool written;

	report_style_init(&style, path ? -1 : STDOUT_FILENO);
	style.plan_said = !path && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
	written = report_write(&text, format, run, &style) == 0 &&
		  report_save(buffer_bytes(&text), path, why, sizeof(why)) == 0;
	if (!written) {
		client_complain(why);
	}
	buffer_free(&text);
	return written;
}

/* Where the report for people, which has them, is not on standard output. */
static void print_assertions(const struct run *run)
{
	for (size_t i = 0; i < run->n_assertions; i++) {
		const struct run_assertion *assertion = &run->assertions[i];

		fprintf(stderr, "echod client: %s: %s, measured %s\n", assertion->text,
			assertion->held ? "holds" : "does not hold", assertion->measured);
	}
}

/* False: not all of them could be written. */
static bool write_all(const struct plan *plan, const struct run *run)
{
	bool written = true, printed = false, for_people = true;

	for (size_t i = 0; i < plan->n_outputs; i++) {
		const struct plan_output *output = &plan->outputs[i];

		if (!output->path) {
			printed = true;
			for_people = output->format == REPORT_TEXT;
		}
		written = write_one(run, output->format, output->path) && written;
	}
	if (!printed) {
		written = write_one(run, REPORT_TEXT, NULL) && written;
	}
	if (!for_people) {
		print_assertions(run);
	}
	return written;
}

/* The schedule had no call for the time that there was; and nobody said why. */
static bool nothing_was_due(const struct run *run)
{
	return run->results.due == 0 && !run->ended_by;
}

static bool failed(const struct plan *plan, const struct recorder *results)
{
	if (results->by_status[GRPC_OK] == 0 || results->mismatched > 0) {
		return true;
	}
	return plan->fail_on_error && (recorder_failed(results) > 0 || results->never_found > 0 ||
				       results->unfinished > 0 || results->never_sent > 0);
}

static int exit_code(const struct plan *plan, const struct run *run,
		     const struct load_ending *ending)
{
	const char *why = assertions_say_nothing(run);

	if (ending->signal) {
		return 128 + ending->signal;
	}
	if (nothing_was_due(run)) {
		client_complain("no call was due in the time that is measured");
	} else if (!ending->connected) {
		return EXIT_NO_CONNECTION;
	}
	if (why) {
		client_complain(why);
		return EXIT_GENERATOR;
	}
	if (!assertions_held(run)) {
		return EXIT_ASSERTION;
	}
	return failed(plan, &run->results) ? EXIT_FAILED : EXIT_DONE;
}

int load_report(const struct client *client, struct run *run, const struct load_ending *ending)
{
	const struct plan *plan = client->plan;
	bool written;
	int code;

	if (assertions_measure(run, plan->assertions.items, plan->assertions.n) < 0) {
		client_complain("out of memory");
		return EXIT_FAILED;
	}
	written = write_all(plan, run);
	code = exit_code(plan, run, ending);
	return code == EXIT_DONE && !written ? EXIT_FAILED : code;
}

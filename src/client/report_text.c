/*
 * A run for people, from what was asked for down to the verdict, which stands last: on a
 * terminal that is where one looks first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client/report_page.h"

/* Of a status with its calls and their share; and on pages that are not so wide, less. */
#define STATUS_COLUMNS 50
#define EXAMPLE_INDENT 6

/* One in so many calls that found no server is enough to speak of it. */
#define MANY_NEVER_FOUND 100

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* The plan, in as many lines as it takes. */
static void plan_line(struct page *page, const struct run *run)
{
	struct buffer text = BUFFER_INIT;

	if (run->merged > 1) {
		TEXT_PRINT(page->err, &text, "%zu runs as one, the first of them: ", run->merged);
	}
	TEXT_CHAIN(page->err, text_visible(&text, str_from(run->plan)));
	if (page->err == 0 && buffer_len(&text) > 0) {
		page_look(page, PAGE_BOLD);
		page_paragraph(page, &text, 0);
		page_look(page, PAGE_PLAIN);
	}
	buffer_free(&text);
}

static void head(struct page *page, const struct run *run)
{
	time_t seconds = (time_t)(run->started_unix_ns / NS_PER_S);
	char when[64], elapsed[TEXT_NUMBER_MAX];
	struct tm utc;

	if (!page->style.plan_said) {
		plan_line(page, run);
	}
	page_look(page, PAGE_FAINT);
	if (run->name) {
		page_say(page, run->name);
		page_print(page, ": ");
	}
	page_print(page, "run ");
	page_say(page, run->id);
	if (run->host) {
		page_print(page, " on ");
		page_say(page, run->host);
	}
	if (seconds > 0 && gmtime_r(&seconds, &utc) &&
	    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &utc) > 0) {
		text_duration(run->elapsed_ns, elapsed, sizeof(elapsed));
		page_print(page, ", %s UTC, %s", when, elapsed);
	}
	if (run->version) {
		page_print(page, ", echod ");
		page_say(page, run->version);
	}
	page_look(page, PAGE_PLAIN);
	page_print(page, "\n\n");
}

/* Where every call is. */
static void accounting(struct page *page, const struct run *run)
{
	const struct recorder *results = &run->results;
	struct buffer text = BUFFER_INIT;

	TEXT_PRINT(page->err, &text, "calls: ");
	if (run->schedule.n > 0) {
		TEXT_PRINT(page->err, &text, "%" PRIu64 " due, ", results->due);
	}
	TEXT_PRINT(page->err, &text,
		   "%" PRIu64 " started, %" PRIu64 " done, %" PRIu64 " unfinished",
		   results->started, recorder_done(results), results->unfinished);
	if (run->schedule.n > 0) {
		TEXT_PRINT(page->err, &text, ", %" PRIu64 " never sent, %" PRIu64 " deferred",
			   results->never_sent, results->deferred);
	}
	if (run->warmup_calls > 0) {
		TEXT_PRINT(page->err, &text,
			   "; %" PRIu64 " of the warm-up before count nowhere here",
			   run->warmup_calls);
	}
	if (page->err == 0) {
		page_paragraph(page, &text, 0);
	}
	buffer_free(&text);
}

static bool narrow(const struct page *page)
{
	return page->style.columns < STATUS_COLUMNS;
}

static void status_row(struct page *page, const char *name, uint64_t n, uint64_t all, bool good)
{
	char share[TEXT_NUMBER_MAX];

	text_percent(all > 0 ? (double)n / (double)all : 0, share, sizeof(share));
	page_look(page, n == 0 ? PAGE_PLAIN : good ? PAGE_GOOD : PAGE_BAD);
	page_print(page, narrow(page) ? "  %-23s%8" PRIu64 "%7s" : "  %-26s%12" PRIu64 "%10s", name,
		   n, share);
	page_look(page, PAGE_PLAIN);
}

static void example_row(struct page *page, const char *example)
{
	if (example[0] != '\0') {
		page_print(page, "      ");
		page_say(page, example);
		page_print(page, "\n");
	}
}

/* Whose word a status is: "from the server", or of which how many were; and why. */
static int tell_origins(struct buffer *out, const struct recorder *results, int status)
{
	static const char *const names[RECORDER_ORIGINS] = {
		[GRPC_FROM_PEER] = "from the server",
		[GRPC_FROM_HERE] = "decided here",
		[GRPC_FROM_TRANSPORT] = "connection lost or not made",
	};
	uint64_t all = results->by_status[status];
	const char *before = "";
	int err = 0;

	for (size_t i = 0; i <= RECORDER_ORIGINS; i++) {
		uint64_t n = i < RECORDER_ORIGINS ? results->by_origin[i][status]
						  : results->injected.by_status[status];

		if (n > 0) {
			TEXT_PRINT(err, out, "%s", before);
			if (n != all) {
				TEXT_PRINT(err, out, "%" PRIu64 " ", n);
			}
			TEXT_PRINT(err, out, "%s", i < RECORDER_ORIGINS ? names[i] : "injected");
			before = ", ";
		}
	}
	return err;
}

/* Behind the status where it fits, else below it. */
static void origins(struct page *page, const struct recorder *results, int status)
{
	struct buffer text = BUFFER_INIT;

	TEXT_CHAIN(page->err, tell_origins(&text, results, status));
	if (page->err == 0 && !narrow(page) &&
	    STATUS_COLUMNS + 3 + buffer_len(&text) <= page->style.columns) {
		page_print(page, "   %.*s\n", (int)buffer_len(&text),
			   (const char *)buffer_bytes(&text).data);
	} else if (page->err == 0) {
		page_print(page, "\n");
		page_paragraph(page, &text, EXAMPLE_INDENT);
	}
	buffer_free(&text);
}

static void statuses(struct page *page, const struct recorder *results)
{
	uint64_t done = recorder_done(results);
	char name[64];

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (results->by_status[status] == 0 && status != GRPC_OK) {
			continue;
		}
		snprintf(name, sizeof(name), "%s (%d)", grpc_status_name(status), status);
		status_row(page, name, results->by_status[status], done, status == GRPC_OK);
		if (status != GRPC_OK) {
			origins(page, results, status);
		} else {
			page_print(page, "\n");
		}
		example_row(page, results->examples[status]);
	}
	if (results->mismatched > 0) {
		status_row(page, "OK, but not the echo", results->mismatched, done, false);
		page_print(page, "\n");
	}
	if (results->never_found > 0) {
		status_row(page, "never found a server", results->never_found, done, false);
		page_print(page, "\n");
		example_row(page, results->examples[RECORDER_NEVER_FOUND]);
	}
}

/* What matters most, in a sentence. */
static int conclude(struct buffer *out, const struct run *run)
{
	const struct recorder *results = &run->results;
	uint64_t answered = recorder_answered(results), ok = results->by_status[GRPC_OK];
	uint64_t sent = MIN(answered, latencies_count(results->service_ok) +
					      latencies_count(results->service_failed));
	int err = 0;

	if (run->ended_by) {
		TEXT_PRINT(err, out, "ended early (");
		TEXT_CHAIN(err, text_visible(out, str_from(run->ended_by)));
		TEXT_PRINT(err, out, "): ");
	}
	if (sent == 0) {
		TEXT_PRINT(err, out, "no call was answered by a server");
	} else if (answered == ok) {
		TEXT_PRINT(err, out,
			   "every call that reached the server%s was answered OK (%" PRIu64 ")",
			   results->unfinished ? " and ended" : "", ok);
	} else {
		TEXT_PRINT(err, out,
			   "of %" PRIu64 " calls that reached the server %" PRIu64
			   " were answered OK, %" PRIu64 " were not",
			   sent, ok, sent - ok);
	}
	if (answered > sent) {
		TEXT_PRINT(err, out, "; %" PRIu64 " ended before they could be sent",
			   answered - sent);
	}
	if (results->never_found > 0) {
		TEXT_PRINT(err, out, "; %" PRIu64 " call%s found no server to connect to",
			   results->never_found, plural(results->never_found));
	}
	if (results->unfinished > 0) {
		TEXT_PRINT(err, out, "; %" PRIu64 " given up unfinished", results->unfinished);
	}
	if (results->never_sent > 0) {
		TEXT_PRINT(err, out, "; %" PRIu64 " due and never sent", results->never_sent);
	}
	return err;
}

/* Latencies by the send would have hidden that calls waited. */
static int tell_omission(struct buffer *out, const struct run *run)
{
	char latency[TEXT_NUMBER_MAX], service[TEXT_NUMBER_MAX];
	double q = run_omission_quantile(run);

	if (q == 0) {
		return 0;
	}
	text_duration(latencies_quantile(run->results.latency_ok, q), latency, sizeof(latency));
	text_duration(latencies_quantile(run->results.service_ok, q), service, sizeof(service));
	return buffer_printf(
		out,
		"calls waited for their turn: the p%g is %s from when they were due and "
		"%s from when they were sent; a tool that counts from the send would "
		"have missed %s (coordinated omission)",
		q * 100, latency, service, run->results.deferred > 0 ? "the stall" : "that");
}

static int tell_fast_failures(struct buffer *out, const struct run *run)
{
	const struct recorder *results = &run->results;

	if (run->schedule.n > 0 ||
	    results->never_found * MANY_NEVER_FOUND <= recorder_done(results)) {
		return 0;
	}
	return buffer_printf(out, "a closed loop calls no oftener than it dials where there is no "
				  "server: how many such failures there are does not tell how long "
				  "the server was missing (--rate would)");
}

static void paragraph(struct page *page, const struct run *run, enum page_look look,
		      int (*tell)(struct buffer *out, const struct run *run))
{
	struct buffer text = BUFFER_INIT;

	TEXT_CHAIN(page->err, tell(&text, run));
	if (page->err == 0 && buffer_len(&text) > 0) {
		page_look(page, look);
		page_paragraph(page, &text, 0);
		page_look(page, PAGE_PLAIN);
	}
	buffer_free(&text);
}

/* A client that was late, whatever it used of its core, which is all where it spins. */
static void tell_why_client(struct page *page, const struct run *run)
{
	char late[TEXT_NUMBER_MAX];

	if (run_limit(run) == RUN_LIMIT_CLIENT_CPU &&
	    (run->spin || run_cpu_share(run) <= RUN_CPU_FULL)) {
		text_duration(latencies_quantile(run->results.lag, .99), late, sizeof(late));
		page_print(page, " (lag: p99 %s)", late);
	}
}

static void verdict(struct page *page, const struct run *run)
{
	char offered[TEXT_NUMBER_MAX], achieved[TEXT_NUMBER_MAX];

	text_number(run_offered_rate(run), offered, sizeof(offered));
	text_number(run_achieved_rate(run), achieved, sizeof(achieved));
	page_look(page, PAGE_BOLD);
	if (run->schedule.n > 0) {
		page_print(page, "offered %s/s, ", offered);
	} else {
		page_print(page, "closed loop, ");
	}
	page_print(page, "achieved %s/s, limited by: %s", achieved, run_limit_name(run_limit(run)));
	tell_why_client(page, run);
	page_look(page, PAGE_PLAIN);
	page_print(page, "\n");
}

int report_text(struct buffer *out, const struct run *run, const struct report_style *style)
{
	const struct recorder *results = &run->results;
	struct page page = { .out = out, .style = *style };

	head(&page, run);
	accounting(&page, run);
	statuses(&page, results);
	page_injected(&page, results);
	page_latencies(&page, results);
	if (latencies_count(results->latency_ok) > 0) {
		page_distribution(&page, results->latency_ok, "latency OK");
	} else {
		page_distribution(&page, results->latency_failed, "latency failed");
	}
	page_backends(&page, results);
	page_outage(&page, run);
	page_connections(&page, results);
	page_cost(&page, run);
	page_assertions(&page, run);
	page_reconciliation(&page, &run->reconciliation);
	page_print(&page, "\n");
	paragraph(&page, run, PAGE_PLAIN, conclude);
	paragraph(&page, run, PAGE_BAD, tell_omission);
	paragraph(&page, run, PAGE_PLAIN, tell_fast_failures);
	verdict(&page, run);
	return page.err;
}

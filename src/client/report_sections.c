/* Parts of the text that are only there where there is something to say. */
#include <inttypes.h>
#include <stdio.h>

#include "client/report_page.h"

#define MAX_INSTANCE_COLUMNS 32

/* A time without an OK that is told of though no call failed: so long, so many times the mean. */
#define LONG_GAP_NS     (100 * NS_PER_MS)
#define LONG_GAP_FACTOR 10

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* --- what was done on purpose ---------------------------------------------------- */

/* Those that end as faults do of which no trailers can tell. */
static bool may_be_silent(const struct recorder *results)
{
	static const enum grpc_status statuses[] = { GRPC_INTERNAL, GRPC_UNAVAILABLE,
						     GRPC_DEADLINE_EXCEEDED, GRPC_CANCELLED };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (results->by_status[statuses[i]] > results->injected.by_status[statuses[i]]) {
			return true;
		}
	}
	return false;
}

static int tell_faults(struct buffer *out, const struct recorder *results)
{
	uint64_t others = recorder_not_injected(results);
	const char *before = " (";
	int err = 0;

	if (recorder_failed(results) == 0) {
		TEXT_PRINT(err, out,
			   "no call failed, though the server says that it injected faults");
	} else if (others == 0) {
		TEXT_PRINT(err, out, "all failures were injected by the server");
	} else {
		TEXT_PRINT(err, out,
			   "of %" PRIu64 " failures %" PRIu64 " were injected by the server",
			   recorder_failed(results), recorder_injected(results));
	}
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		if (results->injected.by_word[word] > 0) {
			TEXT_PRINT(err, out, "%s%s %" PRIu64, before,
				   injected_word_name((enum injected_word)word),
				   results->injected.by_word[word]);
			before = ", ";
		}
	}
	TEXT_PRINT(err, out, ")");
	if (others > 0) {
		TEXT_PRINT(err, out, ", %" PRIu64 " %s not", others, others == 1 ? "was" : "were");
	}
	if (others > 0 && may_be_silent(results)) {
		TEXT_PRINT(err, out,
			   ", or cannot be told: after a reset, a closed connection or a hang no "
			   "trailers say so");
	}
	if (results->injected.changed > 0) {
		TEXT_PRINT(err, out,
			   "; %" PRIu64 " ended with another status than was injected: somebody in "
			   "between changed it",
			   results->injected.changed);
	}
	return err;
}

static int tell_delays(struct buffer *out, const struct latencies *delay)
{
	char mean[TEXT_NUMBER_MAX];

	text_duration((int64_t)(latencies_mean(delay) + .5), mean, sizeof(mean));
	return buffer_printf(out, "%" PRIu64 " call%s delayed on purpose, by %s on average",
			     latencies_count(delay),
			     latencies_count(delay) == 1 ? " was" : "s were", mean);
}

void page_injected(struct page *page, const struct recorder *results)
{
	bool faults = false;

	for (size_t i = 0; i < INJECTED_WORDS; i++) {
		faults = faults || results->injected.by_word[i] > 0;
	}
	for (int delays = 0; delays < 2; delays++) {
		struct buffer text = BUFFER_INIT;

		if (!delays && faults) {
			TEXT_CHAIN(page->err, tell_faults(&text, results));
		} else if (delays && latencies_count(results->delay) > 0) {
			TEXT_CHAIN(page->err, tell_delays(&text, results->delay));
		}
		if (page->err == 0 && buffer_len(&text) > 0) {
			page_paragraph(page, &text, 0);
		}
		buffer_free(&text);
	}
}

/* --- who answered ------------------------------------------------------------- */

static struct str instance_of(const struct recorder_backend *backend)
{
	return backend->instance[0] ? str_from(backend->instance) : STR("(no name)");
}

/* Which of the columns behind a name fit: those further to the right go first. */
static unsigned backend_columns(const struct page *page, size_t name_columns)
{
	static const unsigned widths[] = { 10, 8, 9, 9,
					   22 }; /* calls, failed, share, conns, time */
	size_t left = page->style.columns - MIN(page->style.columns, name_columns + 2);
	unsigned n = 0;

	while (n < ARRAY_SIZE(widths) && left >= widths[n]) {
		left -= widths[n++];
	}
	return n;
}

static void backend_row(struct page *page, const struct recorder_backend *backend,
			uint64_t all_calls, size_t name_columns)
{
	unsigned fit = backend_columns(page, name_columns);
	uint64_t calls = backend->ok + backend->failed;
	char from[TEXT_NUMBER_MAX], to[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX];
	struct buffer name = BUFFER_INIT;

	text_duration(backend->first_ns, from, sizeof(from));
	text_duration(backend->last_ns, to, sizeof(to));
	text_percent(all_calls > 0 ? (double)calls / (double)all_calls : 0, share, sizeof(share));
	TEXT_CHAIN(page->err, text_visible(&name, instance_of(backend)));
	if (page->err == 0) {
		struct str text = { (const char *)buffer_data(&name), buffer_len(&name) };

		page_print(page, "  %" STR_FMT, STR_ARG(text));
		page_pad(page, text, name_columns);
		page_print(page, "%10" PRIu64 "%*s%8" PRIu64, calls, fit > 2 ? 9 : 0,
			   fit > 2 ? share : "", backend->failed);
		if (fit > 3) {
			page_print(page, "%7zu%-2s", backend->n_connections,
				   backend->more_connections ? "+" : "");
		}
		if (fit > 4) {
			page_print(page, "%s to %s", from, to);
		}
		page_end_line(page);
	}
	buffer_free(&name);
}

void page_backends(struct page *page, const struct recorder *results)
{
	size_t name_columns = 8;
	uint64_t calls = 0;
	unsigned fit;

	if (results->n_backends == 0 ||
	    (results->n_backends == 1 && results->backends[0].instance[0] == '\0')) {
		return;
	}
	for (size_t i = 0; i < results->n_backends; i++) {
		calls += results->backends[i].ok + results->backends[i].failed;
		name_columns =
			MAX(name_columns, MIN(text_columns(instance_of(&results->backends[i])),
					      MAX_INSTANCE_COLUMNS));
	}
	fit = backend_columns(page, name_columns);
	page_look(page, PAGE_BOLD);
	page_print(page, "\n%-*s%10s%s%8s%s%s\n", (int)name_columns + 2, "answered by", "calls",
		   fit > 2 ? "    share" : "", "failed", fit > 3 ? "  conns" : "",
		   fit > 4 ? "  first to last answer" : "");
	page_look(page, PAGE_PLAIN);
	for (size_t i = 0; i < results->n_backends; i++) {
		backend_row(page, &results->backends[i], calls, name_columns);
	}
}

/* --- errors in time ----------------------------------------------------------- */

/* Without an error a gap is worth a line where it is long, and long for this run. */
static bool gap_matters(const struct run *run)
{
	const struct recorder *results = &run->results;
	double ok = (double)results->by_status[GRPC_OK];

	return results->first_error_ns >= 0 ||
	       (results->longest_gap_ns >= LONG_GAP_NS &&
		(double)results->longest_gap_ns * ok > LONG_GAP_FACTOR * (double)run->elapsed_ns);
}

void page_outage(struct page *page, const struct run *run)
{
	const struct recorder *results = &run->results;
	char from[TEXT_NUMBER_MAX], to[TEXT_NUMBER_MAX], length[TEXT_NUMBER_MAX];

	if (!gap_matters(run)) {
		return;
	}
	page_print(page, "\n");
	if (results->first_error_ns >= 0) {
		text_duration(results->first_error_ns, from, sizeof(from));
		text_duration(results->last_error_ns, to, sizeof(to));
		text_duration(results->last_error_ns - results->first_error_ns, length,
			      sizeof(length));
		page_print(page, "errors: the first at %s, the last at %s: a window of %s\n", from,
			   to, length);
	}
	text_duration(results->longest_gap_ns, length, sizeof(length));
	text_duration(results->longest_gap_from_ns, from, sizeof(from));
	page_print(page, "the longest time without an OK was %s, from %s on\n", length,
		   results->longest_gap_from_ns > 0 ? from : "the beginning");
}

/* --- connections and cost ----------------------------------------------------- */

void page_connections(struct page *page, const struct recorder *results)
{
	const struct recorder_connections *connections = &results->connections;
	const char *before = ", GOAWAY: ";

	page_print(page, "\nconnections: ");
	if (connections->open_at_start > 0) {
		page_print(page, "%" PRIu64 " from the warm-up, ", connections->open_at_start);
	}
	page_print(page, "%" PRIu64 " opened", connections->opened);
	if (connections->failed > 0) {
		page_print(page, ", %" PRIu64 " attempt%s failed", connections->failed,
			   plural(connections->failed));
	}
	page_print(page, ", %" PRIu64 " lost", connections->lost);
	if (connections->renewed > 0) {
		page_print(page, ", %" PRIu64 " renewed", connections->renewed);
	}
	for (uint32_t code = 0; code <= HTTP2_ERROR_COUNT; code++) {
		if (connections->goaways[code] > 0) {
			page_print(page, "%s%" PRIu64 " %s", before, connections->goaways[code],
				   code < HTTP2_ERROR_COUNT ? http2_error_name(code) : "other");
			before = ", ";
		}
	}
	page_print(page, "\n");
	if (results->retries > 0) {
		page_print(page,
			   "retries: %" PRIu64 " of %" PRIu64 " attempts were a call's second or "
			   "later\n",
			   results->retries, results->attempts);
	}
	if (results->stream_waits > 0) {
		page_print(page,
			   "streams: %" PRIu64 " call%s waited for the server's limit of streams\n",
			   results->stream_waits, plural(results->stream_waits));
	}
}

void page_cost(struct page *page, const struct run *run)
{
	uint64_t calls = recorder_done(&run->results);
	double cpu_ns = (double)run->cpu_user_ns + (double)run->cpu_system_ns;
	char each[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX], in[TEXT_NUMBER_MAX],
		out[TEXT_NUMBER_MAX];

	if (calls == 0) {
		return;
	}
	text_number(cpu_ns / (double)calls / NS_PER_US, each, sizeof(each));
	text_percent(run_cpu_share(run), share, sizeof(share));
	text_number((double)run->bytes_out / (double)calls, out, sizeof(out));
	text_number((double)run->bytes_in / (double)calls, in, sizeof(in));
	page_print(page, "a call cost %s us of CPU here (%s of a core)", each, share);
	page_print(page, ", %s bytes out, %s in\n", out, in);
}

/* --- assertions --------------------------------------------------------------- */

void page_assertions(struct page *page, const struct run *run)
{
	size_t columns = 8, held = 0;

	if (run->n_assertions == 0) {
		return;
	}
	for (size_t i = 0; i < run->n_assertions; i++) {
		columns = MAX(columns, MIN(text_columns(str_from(run->assertions[i].text)), 40));
		held += run->assertions[i].held;
	}
	page_look(page, PAGE_BOLD);
	page_print(page, "\nassertions: %zu of %zu held\n", held, run->n_assertions);
	page_look(page, PAGE_PLAIN);
	for (size_t i = 0; i < run->n_assertions; i++) {
		const struct run_assertion *assertion = &run->assertions[i];

		page_look(page, assertion->held ? PAGE_GOOD : PAGE_BAD);
		page_print(page, "  %-8s", assertion->held ? "held" : "FAILED");
		page_look(page, PAGE_PLAIN);
		page_say(page, assertion->text);
		page_pad(page, str_from(assertion->text), columns);
		page_print(page, "  measured ");
		page_say(page, assertion->measured);
		page_print(page, "\n");
	}
}

/* --- reconciliation ----------------------------------------------------------- */

static void server_row(struct page *page, const struct run_reconciled *server)
{
	page_print(page, "  ");
	page_say(page, server->url);
	if (server->problem) {
		page_look(page, PAGE_BAD);
		page_print(page, ": not compared: ");
		page_say(page, server->problem);
		page_look(page, PAGE_PLAIN);
	} else {
		page_print(page, ": received %" PRIu64, server->received);
		for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
			if (server->by_status[status] > 0) {
				page_print(page, ", %s %" PRIu64, grpc_status_name(status),
					   server->by_status[status]);
			}
		}
	}
	if (server->in_flight > 0) {
		page_look(page, PAGE_BAD);
		page_print(page, "; %" PRIu64 " still in flight", server->in_flight);
		page_look(page, PAGE_PLAIN);
	}
	if (server->restarted) {
		page_look(page, PAGE_BAD);
		page_print(page, "; it was restarted meanwhile, so its counts began anew");
		page_look(page, PAGE_PLAIN);
	}
	page_print(page, "\n");
}

/* After the first a comma before it. */
static void difference(struct page *page, const char *name, int64_t n, bool *any)
{
	if (n == 0) {
		return;
	}
	page_look(page, PAGE_BAD);
	page_print(page, "%s%s %+" PRId64 "%s", *any ? ", " : "", name, n,
		   n == 1 || n == -1 ? " (off by one)" : "");
	page_look(page, PAGE_PLAIN);
	*any = true;
}

/* What would be a difference, and is what a fault does. */
static void explained(struct page *page, const struct run_reconciliation *all)
{
	const char *before = "  ended by the servers on purpose, with no status of theirs: ";

	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		if (all->explained[status] > 0) {
			page_print(page, "%s%s %" PRIu64, before, grpc_status_name(status),
				   all->explained[status]);
			before = ", ";
		}
	}
	page_print(page, "%s", before[0] == ',' ? "\n" : "");
	if (all->faults[INJECTED_CLOSE] > 0 && all->received < all->sent) {
		page_print(page, "  calls on their way to a connection that was closed on purpose "
				 "never arrive\n");
	}
}

static void differences(struct page *page, const struct run_reconciliation *all)
{
	bool any = false;

	page_print(page, "  servers minus client: ");
	difference(page, "received", (int64_t)(all->received - all->sent), &any);
	for (int status = 0; status < GRPC_STATUS_COUNT; status++) {
		difference(page, grpc_status_name(status), run_unexplained(all, status), &any);
	}
	if (!any) {
		page_look(page, PAGE_GOOD);
		page_print(page, "no difference");
		page_look(page, PAGE_PLAIN);
	}
	page_print(page, "%s\n", all->complete ? "" : " (of what could be compared)");
	explained(page, all);
}

static bool any_fault(const uint64_t *by_word)
{
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		if (by_word[word] > 0) {
			return true;
		}
	}
	return false;
}

/* "UNAVAILABLE 20000, told 19998", one of them behind the other. */
static void ledger(struct page *page, const struct run_reconciliation *all)
{
	const char *before = "";

	if (!all->ledger || (!any_fault(all->faults) && !any_fault(all->told))) {
		return;
	}
	page_print(page, "  injected by the servers: ");
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		int64_t untold = run_untold(all, (enum injected_word)word);

		if (all->faults[word] == 0 && all->told[word] == 0) {
			continue;
		}
		page_look(page, untold != 0 ? PAGE_BAD : PAGE_PLAIN);
		page_print(page, "%s%s %" PRIu64, before,
			   injected_word_name((enum injected_word)word), all->faults[word]);
		if (all->told[word] != all->faults[word]) {
			page_print(page, ", of which trailers told %" PRIu64, all->told[word]);
		}
		page_look(page, PAGE_PLAIN);
		before = "; ";
	}
	page_print(page, "\n");
}

static void call_by_call(struct page *page, const struct run_reconciliation *all)
{
	bool good = all->never_arrived + all->arrived_twice + all->answer_lost == 0;

	page_print(page, "  call by call: ");
	page_look(page, good ? PAGE_GOOD : PAGE_BAD);
	page_print(page,
		   "%" PRIu64 " never arrived, %" PRIu64 " arrived twice, %" PRIu64
		   " answered and not received",
		   all->never_arrived, all->arrived_twice, all->answer_lost);
	page_look(page, PAGE_PLAIN);
	if (all->examples) {
		page_print(page, ": ");
		page_say(page, all->examples);
	}
	page_print(page, "\n");
	if (all->untracked > 0) {
		page_print(page,
			   "  %" PRIu64 " call%s beyond what servers tell apart: only counted\n",
			   all->untracked, plural(all->untracked));
	}
}

void page_reconciliation(struct page *page, const struct run_reconciliation *all)
{
	size_t compared = run_reconciled_servers(all);

	if (all->n == 0) {
		return;
	}
	page_look(page, PAGE_BOLD);
	if (compared > 0) {
		page_print(page,
			   "\nreconciled with %zu server%s: %" PRIu64 " sent, %" PRIu64
			   " arrived, %" PRIu64 " answers came back\n",
			   compared, plural(compared), all->sent, all->received, all->answered);
	} else {
		page_print(page,
			   "\nnot reconciled: %" PRIu64 " sent, %" PRIu64 " answers came back\n",
			   all->sent, all->answered);
	}
	page_look(page, PAGE_PLAIN);
	for (size_t i = 0; i < all->n; i++) {
		server_row(page, &all->servers[i]);
	}
	if (compared == 0) {
		return;
	}
	differences(page, all);
	ledger(page, all);
	if (all->by_call) {
		call_by_call(page, all);
	}
}

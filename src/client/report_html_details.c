/* The tables of one run. */
#include "client/report_html.h"

#include <inttypes.h>

#include "base/options.h"
#include "http2/session.h"

static void table_begin(struct html *html, const char *head)
{
	HTML(html, "<div class=\"wide\"><table>\n<thead><tr>%s</tr></thead>\n<tbody>\n", head);
}

/* Of names and numbers, which need not stand a page apart. */
static void list_begin(struct html *html, const char *head)
{
	HTML(html, "<div class=\"wide list\"><table>\n<thead><tr>%s</tr></thead>\n<tbody>\n", head);
}

static void table_end(struct html *html)
{
	HTML(html, "</tbody></table></div>\n");
}

static void count_cell(struct html *html, uint64_t count)
{
	HTML(html, "<td class=\"n\">");
	html_count(html, count);
	HTML(html, "</td>");
}

static void percent(struct html *html, uint64_t part, uint64_t whole)
{
	char text[TEXT_NUMBER_MAX];

	text_percent(whole > 0 ? (double)part / (double)whole : 0, text, sizeof(text));
	html_string(html, text);
}

/* A bar of a share, which is said in words beside it. */
static void share_cells(struct html *html, uint64_t part, uint64_t whole, bool bad)
{
	HTML(html, "<td class=\"n\">");
	percent(html, part, whole);
	HTML(html, "</td><td class=\"share\"><i%s style=\"width:", bad ? " class=\"bad\"" : "");
	html_fixed(html, whole > 0 ? 100 * (double)part / (double)whole : 0, 2);
	HTML(html, "%%\"></i></td>");
}

/* --- latency --------------------------------------------- */

static void duration_cell(struct html *html, const struct latencies *latencies, int64_t ns)
{
	HTML(html, "<td class=\"n\">");
	if (latencies_count(latencies) > 0) {
		html_duration(html, ns);
	} else {
		HTML(html, "-");
	}
	HTML(html, "</td>");
}

struct column {
	const char *name;
	const struct latencies *latencies;
};

/* Those of `all` that are always there, or have something to show. */
static size_t choose_columns(const struct recorder *results, struct column *ret)
{
	const struct column all[] = {
		{ "from the intended start", results->latency_ok },
		{ "service time", results->service_ok },
		{ "failed calls", results->latency_failed },
		{ "injected delay", results->delay },
		{ "service without it", results->undelayed },
		{ "lag", results->lag },
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (i < 3 || latencies_count(all[i].latencies) > 0) {
			ret[n++] = all[i];
		}
	}
	return n;
}

static void latency_table(struct html *html, const struct recorder *results)
{
	static const struct {
		const char *name;
		double share;
	} rows[] = {
		{ "p50", .5 },  { "p75", .75 },    { "p90", .9 },       { "p95", .95 },
		{ "p99", .99 }, { "p99.9", .999 }, { "p99.99", .9999 }, { "p99.999", .99999 }
	};
	struct column columns[6];
	size_t n = choose_columns(results, columns);

	HTML(html, "<h3>Latencies</h3>\n<div class=\"wide\"><table>\n<thead><tr><th></th>");
	for (size_t i = 0; i < n; i++) {
		HTML(html, "<th class=\"n\">%s</th>", columns[i].name);
	}
	HTML(html, "</tr></thead>\n<tbody>\n");
	HTML(html, "<tr><th scope=\"row\">calls</th>");
	for (size_t i = 0; i < n; i++) {
		count_cell(html, latencies_count(columns[i].latencies));
	}
	HTML(html, "</tr>\n<tr><th scope=\"row\">min</th>");
	for (size_t i = 0; i < n; i++) {
		duration_cell(html, columns[i].latencies, latencies_min(columns[i].latencies));
	}
	HTML(html, "</tr>\n<tr><th scope=\"row\">mean</th>");
	for (size_t i = 0; i < n; i++) {
		duration_cell(html, columns[i].latencies,
			      (int64_t)(latencies_mean(columns[i].latencies) + .5));
	}
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		HTML(html, "</tr>\n<tr><th scope=\"row\">%s</th>", rows[row].name);
		for (size_t i = 0; i < n; i++) {
			duration_cell(html, columns[i].latencies,
				      latencies_quantile(columns[i].latencies, rows[row].share));
		}
	}
	HTML(html, "</tr>\n<tr><th scope=\"row\">max</th>");
	for (size_t i = 0; i < n; i++) {
		duration_cell(html, columns[i].latencies, latencies_max(columns[i].latencies));
	}
	HTML(html, "</tr>\n");
	table_end(html);
	HTML(html,
	     "<p class=\"note\">Both latencies are of calls that were OK. The intended start "
	     "is the instant that the schedule gave a call, whether it could be sent then or "
	     "not; service time begins when it was sent. The lag is how much later than due this "
	     "client started calls.</p>\n");
}

/* --- how calls ended --------------------------------------------- */

/* `injected` NULL: no call of the run was. */
static void status_row(struct html *html, const char *name, const char *class, uint64_t n,
		       uint64_t whole, const uint64_t *injected, const char *example)
{
	if (n == 0) {
		return;
	}
	HTML(html, "<tr><th scope=\"row\"%s>%s</th>", class, name);
	count_cell(html, n);
	share_cells(html, n, whole, class[0] != '\0');
	if (injected) {
		count_cell(html, *injected);
	}
	HTML(html, "<td><bdi>");
	html_string(html, example);
	HTML(html, "</bdi></td></tr>\n");
}

static void injected_words(struct html *html, const struct recorder *results)
{
	const char *before = " ";

	HTML(html, "<p>The server says that it injected");
	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		if (results->injected.by_word[word] > 0) {
			HTML(html, "%s%s ", before, injected_word_name((enum injected_word)word));
			html_count(html, results->injected.by_word[word]);
			before = ", ";
		}
	}
	HTML(html, ". Failures that it does not speak of: ");
	html_count(html, recorder_not_injected(results));
	HTML(html, "; it cannot speak of a reset, of a closed connection, or of a hang that ended "
		   "here.");
	if (results->injected.changed > 0) {
		HTML(html, " <span class=\"bad\">Ended with another status than was injected: ");
		html_count(html, results->injected.changed);
		HTML(html, ".</span>");
	}
	HTML(html, "</p>\n");
}

static void status_table(struct html *html, const struct recorder *results)
{
	static const char bad[] = " class=\"bad\"";
	static const uint64_t none = 0;
	uint64_t whole = results->started, words = 0;
	const uint64_t *no;

	for (size_t i = 0; i < INJECTED_WORDS; i++) {
		words += results->injected.by_word[i];
	}
	no = words > 0 ? &none : NULL;
	HTML(html, "<h3>How calls ended</h3>\n");
	if (whole == 0) {
		HTML(html, "<p>No call was started.</p>\n");
		return;
	}
	table_begin(html, no ? "<th>status</th><th class=\"n\">calls</th><th class=\"n\">share</th>"
			       "<th></th><th class=\"n\">injected</th><th>first message</th>"
			     : "<th>status</th><th class=\"n\">calls</th><th class=\"n\">share</th>"
			       "<th></th><th>first message</th>");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		status_row(html, grpc_status_name(i), i == GRPC_OK ? "" : bad,
			   results->by_status[i], whole,
			   no ? &results->injected.by_status[i] : NULL, results->examples[i]);
	}
	status_row(html, "not the echo", bad, results->mismatched, whole, no, "");
	status_row(html, "no server", bad, results->never_found, whole, no,
		   results->examples[RECORDER_NEVER_FOUND]);
	status_row(html, "unfinished", bad, results->unfinished, whole, no, "");
	table_end(html);
	if (words > 0) {
		injected_words(html, results);
	}
}

/* --- backends --------------------------------------------- */

static void position(struct html *html, const char *name, int64_t ns, int64_t whole_ns)
{
	double share = whole_ns > 0 ? (double)MAX(ns, 0) / (double)whole_ns : 0;

	HTML(html, " %s=\"", name);
	html_fixed(html, 100 * MIN(share, 1), 2);
	HTML(html, "%%\"");
}

static void strip(struct html *html, const char *class, const char *y, const char *height,
		  int64_t from_ns, int64_t to_ns, int64_t whole_ns)
{
	HTML(html, "<rect class=\"%s\" y=\"%s\" height=\"%s\"", class, y, height);
	position(html, "x", from_ns, whole_ns);
	position(html, "width", MAX(to_ns - from_ns, whole_ns / 400), whole_ns);
	HTML(html, "/>");
}

/* When it answered, from the beginning of the run to its end, before where calls failed. */
static void backend_strip(struct html *html, const struct run *run,
			  const struct recorder_backend *backend)
{
	const struct recorder *results = &run->results;
	int64_t whole_ns = run->elapsed_ns;

	HTML(html, "<td class=\"share\"><svg class=\"strip\" role=\"img\"><title>answered from ");
	html_duration(html, backend->first_ns);
	HTML(html, " to ");
	html_duration(html, backend->last_ns);
	HTML(html, "</title>");
	if (results->first_error_ns >= 0) {
		strip(html, "outage", "0", "16", results->first_error_ns, results->last_error_ns,
		      whole_ns);
	}
	strip(html, "bar", "4", "8", backend->first_ns, backend->last_ns, whole_ns);
	HTML(html, "</svg></td>");
}

static void outage_words(struct html *html, const struct recorder *results)
{
	if (results->first_error_ns >= 0) {
		HTML(html, "<p><b>Failed calls</b> ended from ");
		html_duration(html, results->first_error_ns);
		HTML(html, " to ");
		html_duration(html, results->last_error_ns);
		HTML(html, " after the beginning, a window of ");
		html_duration(html, results->last_error_ns - results->first_error_ns);
		HTML(html, ".</p>\n");
	}
	HTML(html, "<p>The longest time without a successful call was ");
	html_duration(html, results->longest_gap_ns);
	HTML(html, ", from ");
	html_duration(html, results->longest_gap_from_ns);
	HTML(html, " on.</p>\n");
}

void report_html_backends(struct html *html, const struct run *run)
{
	const struct recorder *results = &run->results;
	uint64_t answered = 0;

	HTML(html, "<h3>Backends and outages</h3>\n");
	for (size_t i = 0; i < results->n_backends; i++) {
		answered += results->backends[i].ok + results->backends[i].failed;
	}
	if (results->n_backends > 0) {
		table_begin(html, "<th>server instance</th><th class=\"n\">OK</th>"
				  "<th class=\"n\">failed</th><th class=\"n\">share</th>"
				  "<th class=\"n\">connections</th>"
				  "<th class=\"n\">first answer</th>"
				  "<th class=\"n\">last answer</th><th>over the run</th>");
	}
	for (size_t i = 0; i < results->n_backends; i++) {
		const struct recorder_backend *backend = &results->backends[i];

		HTML(html, "<tr><td class=\"name\">");
		if (backend->instance[0] != '\0') {
			HTML(html, "<bdi>");
			html_string(html, backend->instance);
			HTML(html, "</bdi></td>");
		} else {
			HTML(html, "<i>names none</i></td>");
		}
		count_cell(html, backend->ok);
		count_cell(html, backend->failed);
		HTML(html, "<td class=\"n\">");
		percent(html, backend->ok + backend->failed, answered);
		HTML(html, "</td><td class=\"n\">%s%zu</td><td class=\"n\">",
		     backend->more_connections ? "&ge; " : "", backend->n_connections);
		html_duration(html, backend->first_ns);
		HTML(html, "</td><td class=\"n\">");
		html_duration(html, backend->last_ns);
		HTML(html, "</td>");
		backend_strip(html, run, backend);
		HTML(html, "</tr>\n");
	}
	if (results->n_backends > 0) {
		table_end(html);
	}
	outage_words(html, results);
}

/* --- assertions and reconciliation --------------------------------------------- */

static void assertion_table(struct html *html, const struct run *run)
{
	if (run->n_assertions == 0) {
		return;
	}
	HTML(html, "<h3>Assertions</h3>\n");
	table_begin(html, "<th>asserted</th><th class=\"n\">measured</th><th></th>");
	for (size_t i = 0; i < run->n_assertions; i++) {
		const struct run_assertion *assertion = &run->assertions[i];

		HTML(html, "<tr><td><code>");
		html_string(html, assertion->text);
		HTML(html, "</code></td><td class=\"n\">");
		html_string(html, assertion->measured);
		HTML(html, "</td><td class=\"%s\">%s</td></tr>\n", assertion->held ? "good" : "bad",
		     assertion->held ? "&#10003; held" : "&#10007; failed");
	}
	table_end(html);
}

static void reconciled_servers(struct html *html, const struct run_reconciliation *of)
{
	table_begin(html, "<th>server</th><th class=\"n\">received</th><th></th>");
	for (size_t i = 0; i < of->n; i++) {
		const struct run_reconciled *server = &of->servers[i];

		HTML(html, "<tr><td>");
		html_string(html, server->url);
		HTML(html, "</td>");
		count_cell(html, server->received);
		HTML(html, "<td%s>",
		     server->problem || server->restarted || server->in_flight > 0
			     ? " class=\"bad\""
			     : "");
		if (server->problem) {
			html_string(html, server->problem);
		} else {
			HTML(html, "%s",
			     server->restarted       ? "was restarted"
			     : server->in_flight > 0 ? "has calls in flight"
						     : "");
		}
		HTML(html, "</td></tr>\n");
	}
	table_end(html);
}

static void difference_cell(struct html *html, int64_t difference)
{
	HTML(html, "<td class=\"n %s\">%s", difference == 0 ? "good" : "bad",
	     difference > 0   ? "+"
	     : difference < 0 ? "&minus;"
			      : "");
	html_count(html, difference < 0 ? -(uint64_t)difference : (uint64_t)difference);
	HTML(html, "</td>");
}

static void difference_table(struct html *html, const struct run_reconciliation *of)
{
	list_begin(html, "<th>servers less client</th><th class=\"n\">difference</th>");
	HTML(html, "<tr><th scope=\"row\">received, less sent</th>");
	difference_cell(html, (int64_t)(of->received - of->sent));
	HTML(html, "</tr>\n");
	for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
		if (i == GRPC_OK || of->by_status[i] != 0) {
			HTML(html, "<tr><th scope=\"row\">%s</th>", grpc_status_name(i));
			difference_cell(html, run_unexplained(of, i));
			HTML(html, "</tr>\n");
		}
		if (of->explained[i] > 0) {
			HTML(html,
			     "<tr><th scope=\"row\">%s, ended on purpose with no status of "
			     "a server's</th>",
			     grpc_status_name(i));
			count_cell(html, of->explained[i]);
			HTML(html, "</tr>\n");
		}
	}
	table_end(html);
}

static void ledger_table(struct html *html, const struct run_reconciliation *of)
{
	bool any = false;

	for (int word = INJECTED_NOTHING + 1; word < INJECTED_WORDS; word++) {
		if (of->faults[word] == 0 && of->told[word] == 0) {
			continue;
		}
		if (!any) {
			list_begin(html, "<th>injected</th><th class=\"n\">by the servers</th>"
					 "<th class=\"n\">told in trailers</th>");
			any = true;
		}
		HTML(html, "<tr><th scope=\"row\"%s>%s</th>",
		     run_untold(of, (enum injected_word)word) != 0 ? " class=\"bad\"" : "",
		     injected_word_name((enum injected_word)word));
		count_cell(html, of->faults[word]);
		count_cell(html, of->told[word]);
		HTML(html, "</tr>\n");
	}
	if (any) {
		table_end(html);
	}
}

static void call_by_call(struct html *html, const struct run_reconciliation *of)
{
	HTML(html, "<p>Call by call: ");
	html_count(html, of->never_arrived);
	HTML(html, " never arrived, ");
	html_count(html, of->arrived_twice);
	HTML(html, " arrived more than once, ");
	html_count(html, of->answer_lost);
	HTML(html, " were answered and the answer not received.");
	if (of->untracked > 0) {
		HTML(html, " ");
		html_count(html, of->untracked);
		HTML(html, " more than a server can tell apart were only counted.");
	}
	if (of->examples) {
		HTML(html, " Calls ");
		html_string(html, of->examples);
		HTML(html, ".");
	}
	HTML(html, "</p>\n");
}

static void reconciliation(struct html *html, const struct run *run)
{
	const struct run_reconciliation *of = &run->reconciliation;
	bool compared = run_reconciled_servers(of) > 0;

	if (of->n == 0) {
		return;
	}
	HTML(html, "<h3>Reconciliation with the servers' own counts</h3>\n<p>Sent ");
	html_count(html, of->sent);
	if (compared) {
		HTML(html, ", received by servers ");
		html_count(html, of->received);
	}
	HTML(html, ", answered ");
	html_count(html, of->answered);
	HTML(html, "; warm-up included.%s</p>\n",
	     of->complete ? "" : " <span class=\"bad\">Not every server's count is known.</span>");
	reconciled_servers(html, of);
	if (compared) {
		difference_table(html, of);
		if (of->ledger) {
			ledger_table(html, of);
		}
	}
	if (of->by_call) {
		call_by_call(html, of);
	}
}

/* --- the rest --------------------------------------------- */

static void count_row(struct html *html, const char *name, uint64_t n)
{
	HTML(html, "<tr><th scope=\"row\">%s</th>", name);
	count_cell(html, n);
	HTML(html, "</tr>\n");
}

static void accounting(struct html *html, const struct run *run)
{
	const struct recorder *results = &run->results;

	HTML(html, "<h3>Accounting</h3>\n");
	list_begin(html, "<th>calls</th><th class=\"n\"></th>");
	count_row(html, "due", results->due);
	count_row(html, "started", results->started);
	count_row(html, "done", recorder_done(results));
	count_row(html, "of them failed", recorder_failed(results));
	count_row(html, "unfinished when the run ended", results->unfinished);
	count_row(html, "never sent", results->never_sent);
	count_row(html, "deferred: no place was free", results->deferred);
	count_row(html, "found the limit of streams reached", results->stream_waits);
	count_row(html, "retried transparently", results->retries);
	count_row(html, "in the warm-up, not measured", run->warmup_calls);
	table_end(html);
}

static void cost(struct html *html, const struct run *run)
{
	const struct recorder_connections *connections = &run->results.connections;
	double done = (double)MAX(recorder_done(&run->results), 1);

	HTML(html, "<h3>Cost and connections</h3>\n");
	list_begin(html, "<th>of the client itself</th><th class=\"n\"></th>");
	HTML(html, "<tr><th scope=\"row\">CPU time per call</th><td class=\"n\">");
	html_duration(html, (int64_t)((double)(run->cpu_user_ns + run->cpu_system_ns) / done + .5));
	HTML(html, "</td></tr>\n<tr><th scope=\"row\">CPU, of one core</th><td class=\"n\">");
	html_fixed(html, 100 * run_cpu_share(run), 1);
	HTML(html, " %%</td></tr>\n<tr><th scope=\"row\">bytes sent per call</th><td class=\"n\">");
	html_fixed(html, (double)run->bytes_out / done, 1);
	HTML(html,
	     "</td></tr>\n<tr><th scope=\"row\">bytes received per call</th><td class=\"n\">");
	html_fixed(html, (double)run->bytes_in / done, 1);
	HTML(html, "</td></tr>\n");
	if (connections->open_at_start > 0) {
		count_row(html, "connections from the warm-up", connections->open_at_start);
	}
	count_row(html, "connections opened", connections->opened);
	count_row(html, "attempts to connect that failed", connections->failed);
	count_row(html, "connections lost", connections->lost);
	count_row(html, "connections renewed", connections->renewed);
	for (size_t i = 0; i <= HTTP2_ERROR_COUNT; i++) {
		static const char *const names[] = {
#define X(symbol, code) "GOAWAY " #symbol,
			HTTP2_ERRORS(X)
#undef X
				"GOAWAY, another reason",
		};

		if (connections->goaways[i] > 0) {
			count_row(html, names[i], connections->goaways[i]);
		}
	}
	table_end(html);
}

void report_html_details(struct html *html, const struct run *run)
{
	assertion_table(html, run);
	if (recorder_answered(&run->results) > 0) {
		latency_table(html, &run->results);
	}
	status_table(html, &run->results);
	if (run->results.due > 0) {
		report_html_backends(html, run);
	}
	reconciliation(html, run);
	accounting(html, run);
	cost(html, run);
}

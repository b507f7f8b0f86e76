#include "daemon/landing.h"

#include <inttypes.h>
#include <string.h>

#include "base/html.h"
#include "base/options.h"
#include "daemon/config.h"
#include "daemon/latency_picture.h"
#include "version.h"

/* 'unsafe-inline' is for the one style of the page's own; there is nothing else to load. */
static const char headers[] =
	"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
	"form-action 'none'; frame-ancestors 'none'\r\n"
	"X-Content-Type-Options: nosniff\r\n"
	"Referrer-Policy: no-referrer\r\n"
	"Cache-Control: no-store\r\n";

static const char style[] =
	":root{color-scheme:light dark;--page:#fff;--ink:#1b2027;--soft:#59636f;--rule:#dde2e8;"
	"--faint:#eff2f5;--card:#f5f7f9;--link:#0b5cad;--bar:#3b82c4;--good:#1a7f37;"
	"--bad:#c0271f;--care:#946200}\n"
	"@media(prefers-color-scheme:dark){:root{--page:#11151b;--ink:#e5e9ee;--soft:#98a4b1;"
	"--rule:#343c47;--faint:#20262e;--card:#191f27;--link:#74b5f4;--bar:#4f97dc;"
	"--good:#56c271;--bad:#ff7d74;--care:#e2b23f}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;padding:28px 20px 44px;max-width:760px;background:var(--page);"
	"color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',"
	"sans-serif}\n"
	"h1{font-size:27px;line-height:1.2;margin:0}h2{font-size:17px;margin:32px 0 8px}\n"
	"p{margin:5px 0}a{color:var(--link)}.soft{color:var(--soft)}\n"
	".state{margin:16px 0;padding:9px 14px;border-left:5px solid var(--good);"
	"background:var(--card);border-radius:0 6px 6px 0}\n"
	".state.care{border-color:var(--care)}.state.bad{border-color:var(--bad)}\n"
	"nav{display:flex;flex-wrap:wrap;gap:4px 20px;margin:14px 0}\n"
	".tiles{margin:18px 0}.tiles,.tiles ul{display:flex;flex-wrap:wrap;gap:9px}\n"
	".tiles ul{flex:1 1 auto;margin:0;padding:0;list-style:none}\n"
	".tiles li{flex:1 0 auto;min-width:104px;background:var(--card);border-radius:6px;"
	"padding:8px 12px}\n"
	".tiles span{display:block;color:var(--soft);font-size:13px}\n"
	".tiles b{font-size:19px;font-weight:600;white-space:nowrap}\n"
	"table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:4px 12px 4px 0;text-align:left;vertical-align:top;"
	"border-bottom:1px solid var(--faint);overflow-wrap:anywhere}\n"
	".next{margin-top:16px}\n"
	"tbody th{font-weight:400;white-space:nowrap;width:9em}\n"
	".n{text-align:right;padding-right:0;white-space:nowrap}\n"
	"code{font:13px/1.5 ui-monospace,Menlo,'DejaVu Sans Mono',monospace}\n"
	"svg{display:block;width:100%;height:auto}\n"
	"svg text{fill:var(--soft);font-size:12px;font-family:inherit}\n"
	"svg .name{fill:var(--ink);font-weight:600}\n"
	".bar{fill:var(--bar)}.grid{stroke:var(--rule)}.minor{stroke:var(--faint)}"
	".foot{stroke:var(--soft)}.mark{stroke:var(--ink);stroke-dasharray:3 3}\n"
	"@media(max-width:520px){svg text{font-size:19px}}\n";

static void put_state(struct html *html, const struct landing *landing)
{
	const char *class = "", *text = "Ready: calls are served.";

	if (landing->pages->state == PAGES_UNWELL) {
		class = " care";
		text = "Not ready, on purpose: health says so, and calls are served.";
	} else if (landing->pages->state == PAGES_NOT_READY) {
		class = " bad";
		text = gauge_read(landing->meters->draining) ? "Stopping: calls have time to end."
							     : "Not ready.";
	}
	HTML(html, "<p class=\"state%s\">%s</p>\n", class, text);
}

static void put_link(struct html *html, const char *path, const char *text)
{
	HTML(html, "<a href=\"");
	html_string(html, path);
	HTML(html, "\">%s</a>\n", text);
}

static void put_head(struct html *html, const struct landing *landing)
{
	HTML(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width\">\n"
		   "<title>" ECHOD_NAME "</title>\n");
	HTML(html, "<style>\n%s</style>\n</head>\n<body>\n", style);
	HTML(html, "<h1>" ECHOD_NAME "</h1>\n<p>gRPC echo server with metrics that are known "
		   "to be right</p>\n<p class=\"soft\">Version ");
	html_string(html, echod_version);
	HTML(html, ", revision ");
	html_string(html, echod_revision);
	HTML(html, "; instance <code>");
	html_string(html, landing->instance);
	HTML(html, "</code></p>\n");
	put_state(html, landing);
	HTML(html, "<nav>\n");
	put_link(html, landing->pages->telemetry_path, "Metrics");
	put_link(html, CONFIG_PATH_HEALTHY, "Health");
	put_link(html, CONFIG_PATH_READY, "Readiness");
	put_link(html, CONFIG_PATH_FAULTS, "Fault plan");
	if (landing->lists_runs) {
		put_link(html, CONFIG_PATH_RUNS, "Load runs");
	}
	HTML(html, "</nav>\n");
}

static void put_tile(struct html *html, const char *name, uint64_t count)
{
	HTML(html, "<li><span>%s</span><b>", name);
	html_count(html, count);
	HTML(html, "</b></li>\n");
}

static void put_counters(struct html *html, const struct landing *landing)
{
	const struct meters *meters = landing->meters;
	const struct grpc_method_meters *echo = &meters->echo;
	int64_t up_ns = timers_now(landing->timers) - landing->started_ns;
	char uptime[32];

	format_duration(up_ns / NS_PER_S * NS_PER_S, uptime, sizeof(uptime));
	/* Two rows of three where they do not fit into one. */
	HTML(html, "<div class=\"tiles\">\n<ul>\n");
	put_tile(html, "Requests", counter_read(echo->started));
	put_tile(html, "Successful", counter_read(echo->handled_ok));
	put_tile(html, "Failed", counter_read(echo->handled_failed));
	HTML(html, "</ul>\n<ul>\n");
	put_tile(html, "In flight", (uint64_t)gauge_read(echo->in_flight));
	put_tile(html, "Connections",
		 (uint64_t)gauge_read(meters->doors[DOOR_GRPC].connection.active));
	HTML(html, "<li><span>Up for</span><b>%s</b></li>\n</ul>\n</div>\n", uptime);
}

static void put_failures(struct html *html, const struct landing *landing)
{
	const struct grpc_method_meters *echo = &landing->meters->echo;

	if (counter_read(echo->handled_failed) == 0) {
		return;
	}
	HTML(html, "<h2>Failed, by status</h2>\n<table>\n<tbody>\n");
	for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
		uint64_t count = counter_read(echo->by_status[status]);

		if (count > 0) {
			HTML(html, "<tr><th scope=\"row\">%s</th><td class=\"n\">",
			     grpc_status_name(status));
			html_count(html, count);
			HTML(html, "</td></tr>\n");
		}
	}
	HTML(html, "</tbody>\n</table>\n");
}

static void put_latency(struct html *html, const struct landing *landing)
{
	struct native_snapshot snapshot;

	HTML(html, "<h2>Latency of Echo</h2>\n");
	native_read(landing->meters->echo.duration, &snapshot);
	if (snapshot.count == 0) {
		HTML(html, "<p class=\"soft\">No call has ended yet.</p>\n");
		return;
	}
	latency_picture(html, &snapshot);
	HTML(html, "<p class=\"soft\">");
	html_count(html, snapshot.count);
	HTML(html, " %s since the start, ", snapshot.count == 1 ? "call" : "calls");
	html_duration(html, (int64_t)(snapshot.sum / (double)snapshot.count * (double)NS_PER_S));
	HTML(html, " on average; what delays them on purpose is in it.</p>\n");
}

/* "delay=50ms\n" as a row, each line of them. */
static void put_rows(struct html *html, struct str lines)
{
	while (lines.len > 0) {
		const char *end = memchr(lines.data, '\n', lines.len);
		size_t len = end ? (size_t)(end - lines.data) : lines.len;
		const char *equals = memchr(lines.data, '=', len);
		size_t name = equals ? (size_t)(equals - lines.data) : len;

		HTML(html, "<tr><th scope=\"row\">");
		html_text(html, (struct str){ lines.data, name });
		HTML(html, "</th><td><code>");
		if (equals) {
			html_text(html, (struct str){ equals + 1, len - name - 1 });
		}
		HTML(html, "</code></td></tr>\n");
		lines.data += len + (end != NULL);
		lines.len -= len + (end != NULL);
	}
}

static void put_met(struct html *html, const char *how, const char *what,
		    const struct counter *counter)
{
	uint64_t count = counter ? counter_read(counter) : 0;

	if (count > 0) {
		HTML(html, "<tr><th scope=\"row\">%s%s</th><td class=\"n\">", how, what);
		html_count(html, count);
		HTML(html, "</td></tr>\n");
	}
}

static void put_faults(struct html *html, const struct landing *landing)
{
	const struct faults_meters *met = &landing->faults->meters;
	struct buffer plan = BUFFER_INIT;
	struct bytes bytes;

	HTML(html, "<h2>Done to calls on purpose</h2>\n<table>\n<tbody>\n");
	TEXT_CHAIN(html->err, faults_plan_print(&landing->faults->plan, &plan));
	bytes = buffer_bytes(&plan);
	put_rows(html, (struct str){ (const char *)bytes.data, bytes.len });
	buffer_free(&plan);
	HTML(html, "</tbody>\n</table>\n<table class=\"next\">\n<tbody>\n");
	put_met(html, "", "calls delayed", met->delayed);
	for (int status = GRPC_OK + 1; status < GRPC_STATUS_COUNT; status++) {
		put_met(html, "calls failed with ", grpc_status_name(status),
			met->by_status[status]);
	}
	for (int kind = FAULT_STATUS + 1; kind < FAULT_KINDS; kind++) {
		put_met(html, "calls met ", fault_name((enum fault_kind)kind, GRPC_OK),
			met->by_kind[kind]);
	}
	put_met(html, "", "other calls that close took along", met->taken_along[0]);
	HTML(html, "</tbody>\n</table>\n");
	if (landing->takes_faults) {
		HTML(html, "<p class=\"soft\">POST to <code>" CONFIG_PATH_FAULTS
			   "</code> changes the plan.</p>\n");
	}
}

void landing_get(void *user, const struct http1_request *request, struct http1_response *response)
{
	const struct landing *landing = user;
	struct html html = { .out = &response->body };

	(void)request;
	put_head(&html, landing);
	put_counters(&html, landing);
	put_latency(&html, landing);
	put_failures(&html, landing);
	put_faults(&html, landing);
	HTML(&html, "</body>\n</html>\n");
	response->content_type = "text/html; charset=utf-8";
	response->headers = headers;
	if (html.err < 0) {
		buffer_free(&response->body);
		response->status = 500;
	}
}

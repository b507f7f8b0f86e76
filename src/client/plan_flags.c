#include "client/plan_flags.h"

#include "client/plan.h"

static const char *const compression_choices[] = { "identity", "gzip", NULL };
static const char *const arrival_choices[] = { "constant", "poisson", NULL };
static const char *const pacing_choices[] = { "timerfd", "spin", NULL };
static const char *const progress_choices[] = { "auto", "off", NULL };

#define FLAG(field)  offsetof(struct plan_flags, field)
#define GIVEN(field) offsetof(struct plan_flags, given.field)

static const struct option table[] = {
	{ .name = "message",
	  .type = OPTION_STRING,
	  .offset = FLAG(message),
	  .given = GIVEN(message),
	  .placeholder = "TEXT",
	  .group = "The call",
	  .help = "What to send (by default \"Hello, world!\")." },
	{ .name = "message-size",
	  .type = OPTION_SIZE,
	  .offset = FLAG(message_size),
	  .given = GIVEN(message_size),
	  .placeholder = "SIZE",
	  .max = PLAN_MAX_REQUEST_BYTES,
	  .group = "The call",
	  .help = "Send a text of SIZE bytes: letters and digits, always the same." },
	{ .name = "message-file",
	  .type = OPTION_STRING,
	  .offset = FLAG(message_file),
	  .given = GIVEN(message_file),
	  .placeholder = "FILE",
	  .group = "The call",
	  .help = "Send the content of FILE, byte for byte; - is standard input." },
	{ .name = "method",
	  .type = OPTION_STRING,
	  .offset = FLAG(method),
	  .given = GIVEN(method),
	  .placeholder = "SERVICE/METHOD",
	  .group = "The call",
	  .help = "Call this unary method, \"package.Service/Method\", of any gRPC server instead "
		  "of echod's own. A single call prints the reply's bytes as they are." },
	{ .name = "request-file",
	  .type = OPTION_STRING,
	  .offset = FLAG(request_file),
	  .given = GIVEN(request_file),
	  .placeholder = "FILE",
	  .group = "The call",
	  .help = "The request of --method, serialised, without gRPC's prefix; - is standard "
		  "input. By default an empty message." },
	{ .name = "verify",
	  .type = OPTION_BOOL,
	  .offset = FLAG(verify),
	  .given = GIVEN(verify),
	  .value = "true",
	  .group = "The call",
	  .help = "Count a reply that is not its request's echo as a failure of its own kind. "
		  "With --method only where asked for: then the bytes must be the same." },
	{ .name = "timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(timeout_ns),
	  .placeholder = "DURATION",
	  .value = "20s",
	  .min = 1000000,
	  .max = PLAN_MAX_TIME_NS,
	  .group = "The call",
	  .help = "How long one call may take, connecting included; its deadline is sent along." },
	{ .name = "metadata",
	  .type = OPTION_STRINGS,
	  .offset = FLAG(metadata),
	  .placeholder = "NAME:VALUE",
	  .group = "The call",
	  .help = "Send this along with the call; repeatable. The value of a NAME that ends in "
		  "-bin is given in base64." },
	{ .name = "plaintext",
	  .type = OPTION_BOOL,
	  .offset = FLAG(plaintext),
	  .value = "true",
	  .group = "The call",
	  .help = "Speak HTTP/2 in the clear: the only way there is, so the flag changes "
		  "nothing." },
	{ .name = "compression",
	  .type = OPTION_ENUM,
	  .offset = FLAG(compression),
	  .placeholder = "HOW",
	  .value = "identity",
	  .choices = compression_choices,
	  .group = "The call",
	  .help = "Of messages that are sent: identity (none), or gzip. Compressed replies are "
		  "taken in any case." },
	{ .name = "wait-for-ready",
	  .type = OPTION_BOOL,
	  .offset = FLAG(wait_for_ready),
	  .group = "The call",
	  .help = "Wait for a server that is not there yet, as long as --timeout lets it." },
	{ .name = "keepalive-time",
	  .type = OPTION_DURATION,
	  .offset = FLAG(keepalive_time_ns),
	  .given = GIVEN(keepalive_time),
	  .placeholder = "DURATION",
	  .min = 10000000000,
	  .max = PLAN_MAX_TIME_NS,
	  .group = "The call",
	  .help = "Ask a server that has been silent for so long, while a call runs, for a sign "
		  "of life (by default never). Servers may call less than 5m too often." },
	{ .name = "keepalive-timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(keepalive_timeout_ns),
	  .given = GIVEN(keepalive_timeout),
	  .placeholder = "DURATION",
	  .value = "20s",
	  .min = 1000000,
	  .max = PLAN_MAX_TIME_NS,
	  .group = "The call",
	  .help = "How long to wait for it; then the connection is lost." },

	{ .name = "count",
	  .type = OPTION_UINT,
	  .offset = FLAG(count),
	  .given = GIVEN(count),
	  .placeholder = "N",
	  .min = 1,
	  .max = INT64_MAX,
	  .group = "Load",
	  .help = "Make N calls in all." },
	{ .name = "duration",
	  .type = OPTION_DURATION,
	  .offset = FLAG(duration_ns),
	  .given = GIVEN(duration),
	  .placeholder = "DURATION",
	  .min = 1000000,
	  .max = PLAN_MAX_TIME_NS,
	  .group = "Load",
	  .help = "Start calls for this long, then wait for the last of them. With --count, "
		  "whichever comes first. Without either, 10s, or as long as a --rate that changes "
		  "says." },
	{ .name = "warmup",
	  .type = OPTION_DURATION,
	  .offset = FLAG(warmup_ns),
	  .given = GIVEN(warmup),
	  .placeholder = "DURATION",
	  .max = PLAN_MAX_TIME_NS,
	  .group = "Load",
	  .help = "Before that, the same load for so long, which is left out of the results." },
	{ .name = "grace",
	  .type = OPTION_DURATION,
	  .offset = FLAG(grace_ns),
	  .given = GIVEN(grace),
	  .placeholder = "DURATION",
	  .value = "5s",
	  .max = PLAN_MAX_TIME_NS,
	  .group = "Load",
	  .help = "How long calls that still run at the end are waited for; what is left then is "
		  "given up, and counted as unfinished." },
	{ .name = "connections",
	  .type = OPTION_UINT,
	  .offset = FLAG(connections),
	  .given = GIVEN(connections),
	  .placeholder = "K",
	  .min = 1,
	  .max = PLAN_MAX_CONNECTIONS,
	  .group = "Load",
	  .help = "Spread the calls over K connections. By default one for each 100 calls at a "
		  "time, and as many to each TARGET." },
	{ .name = "connection-lifetime",
	  .type = OPTION_DURATION,
	  .offset = FLAG(connection_lifetime_ns),
	  .given = GIVEN(connection_lifetime),
	  .placeholder = "DURATION",
	  .min = 10000000,
	  .max = PLAN_MAX_TIME_NS,
	  .group = "Load",
	  .help = "Replace each connection after so long, without losing a call. By default only "
		  "the server ends them." },
	{ .name = "seed",
	  .type = OPTION_UINT,
	  .offset = FLAG(seed),
	  .given = GIVEN(seed),
	  .placeholder = "N",
	  .group = "Load",
	  .help = "Of all that is left to chance, so that a run can be repeated (by default "
		  "another one each time; reports name it)." },
	{ .name = "fail-on-error",
	  .type = OPTION_BOOL,
	  .offset = FLAG(fail_on_error),
	  .given = GIVEN(fail_on_error),
	  .group = "Load",
	  .help = "Exit with 1 if a single call of the run failed, or was not finished or sent." },
	{ .name = "assert",
	  .type = OPTION_STRINGS,
	  .offset = FLAG(assertions),
	  .given = GIVEN(assertions),
	  .placeholder = "CONDITION",
	  .group = "Load",
	  .help = "What must hold of the results, else exit with 3; repeatable: 'p99<20ms', "
		  "'error_rate<0.1%', 'code.UNAVAILABLE==0', 'achieved_rate>=99%'." },
	{ .name = "reconcile",
	  .type = OPTION_STRINGS,
	  .offset = FLAG(reconcile),
	  .given = GIVEN(reconcile),
	  .placeholder = "URL",
	  .group = "Load",
	  .help = "Compare the results with the counts of the server whose metrics are at "
		  "http://HOST:PORT/metrics; once for each server." },

	{ .name = "concurrency",
	  .type = OPTION_UINT,
	  .offset = FLAG(concurrency),
	  .given = GIVEN(concurrency),
	  .placeholder = "C",
	  .min = 1,
	  .max = PLAN_MAX_CONCURRENCY,
	  .group = "Closed loop: each call starts when another one has ended",
	  .help = "Keep C calls going at a time, over all connections. By default one on each." },

	{ .name = "rate",
	  .type = OPTION_CUSTOM,
	  .offset = FLAG(rate),
	  .given = GIVEN(rate),
	  .placeholder = "RATE",
	  .parse = schedule_parse,
	  .group = "Open loop: calls start by a schedule, whatever became of the others",
	  .help = "Calls per second, in all: 5000; a ramp, 1000..20000/10s; or steps of so long "
		  "each, 1000,2000,4000/30s." },
	{ .name = "arrival",
	  .type = OPTION_ENUM,
	  .offset = FLAG(arrival),
	  .given = GIVEN(arrival),
	  .placeholder = "HOW",
	  .value = "constant",
	  .choices = arrival_choices,
	  .group = "Open loop: calls start by a schedule, whatever became of the others",
	  .help = "constant: at equal distances; poisson: at random ones, as many callers who "
		  "know nothing of each other." },
	{ .name = "max-in-flight",
	  .type = OPTION_UINT,
	  .offset = FLAG(max_in_flight),
	  .given = GIVEN(max_in_flight),
	  .placeholder = "M",
	  .min = 1,
	  .max = PLAN_MAX_CONCURRENCY,
	  .group = "Open loop: calls start by a schedule, whatever became of the others",
	  .help = "At most M calls at a time (by default 1000). Those that are due beyond are "
		  "deferred, not dropped: their latency counts from when they were due." },
	{ .name = "pacing",
	  .type = OPTION_ENUM,
	  .offset = FLAG(pacing),
	  .given = GIVEN(pacing),
	  .placeholder = "HOW",
	  .value = "timerfd",
	  .choices = pacing_choices,
	  .group = "Open loop: calls start by a schedule, whatever became of the others",
	  .help = "timerfd: sleep until a call is due; spin: stay awake for it, which is more "
		  "punctual and takes a whole processor." },

	{ .name = "output",
	  .type = OPTION_STRINGS,
	  .offset = FLAG(outputs),
	  .placeholder = "FORMAT[:FILE]",
	  .group = "Output",
	  .help = "text (the default), or json: all that is known of the call or the run. Of a "
		  "run also fortio, hgrm, prom and html. Repeatable, with a FILE each: "
		  "--output=text --output=json:run.json." },
	{ .name = "name",
	  .type = OPTION_STRING,
	  .offset = FLAG(name),
	  .given = GIVEN(name),
	  .placeholder = "TEXT",
	  .group = "Output",
	  .help = "What reports call this run." },
	{ .name = "progress",
	  .type = OPTION_ENUM,
	  .offset = FLAG(progress),
	  .placeholder = "WHEN",
	  .value = "auto",
	  .choices = progress_choices,
	  .group = "Output",
	  .help = "auto: while a run lasts, how it goes on standard error, each second on a "
		  "terminal and each ten seconds elsewhere; or off." },
	{ .name = "web.listen-address",
	  .type = OPTION_STRING,
	  .offset = FLAG(web_address),
	  .placeholder = "ADDRESS",
	  .group = "Output",
	  .help = "While the client runs, serve its own metrics at /metrics on this address." },
};

const struct options plan_options = {
	.program = "echod client",
	.synopsis = "[flags] [TARGET...]",
	.about =
		"Calls the echo service at TARGET (default " TARGET_DEFAULT ") and prints "
		"the reply; with a flag that makes it a load run (--count, --duration, "
		"--connections, --concurrency, --rate), makes many calls and prints a report. "
		"TARGET is host:port, [ipv6]:port, unix:/path or unix:@name; a run goes to several "
		"in turn.",
	.footer =
		"Examples:\n"
		"  echod client                                  one call, the reply on stdout\n"
		"  echod client --message=hi example.org:9876    another message, another server\n"
		"  printf 'a\\0b' | echod client --message-file=- | od -c\n"
		"  echod client --output=json unix:/run/echod.sock\n"
		"  echod client --metadata=trace-id:42 --timeout=500ms\n"
		"  echod client --duration=10s --concurrency=50  as fast as 50 callers get "
		"answers\n"
		"  echod client --rate=5000 --duration=1m        5000 calls a second, come what "
		"may\n"
		"  echod client --rate=1000..20000/1m --output=text --output=html:ramp.html\n"
		"  echod client --rate=2000 --duration=30s --assert='p99<20ms' "
		"--assert='errors==0'\n"
		"  echod client --count=1000000 --concurrency=500 "
		"--reconcile=http://localhost:2112/metrics\n"
		"\n"
		"Exit status: 0 reply received, or a run in which a call succeeded; 1 the call\n"
		"failed, no call of a run succeeded, a reply was not its request's echo, or any\n"
		"call failed under --fail-on-error; 2 usage; 3 an assertion does not hold; 4 a "
		"run\n"
		"that never got a connection; 5 a run with assertions in which this client could\n"
		"not offer the rate; 130 and 143 a run that was ended by ^C or SIGTERM (its "
		"report\n"
		"is written all the same).\n",
	.table = table,
	.n = ARRAY_SIZE(table),
};

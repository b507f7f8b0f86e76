#include "client/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/input.h"

/* A header block of 16 KiB is what servers commonly take; this only keeps a mistake small. */
#define METADATA_CAP (64 * KIB)

enum output { OUTPUT_TEXT, OUTPUT_JSON };
enum progress_choice { PROGRESS_AUTO, PROGRESS_OFF };

static const char *const output_choices[] = { "text", "json", NULL };
static const char *const progress_choices[] = { "auto", "off", NULL };

struct flags {
	const char *message, *message_file;
	int64_t timeout_ns;
	struct option_strings metadata;
	bool plaintext, gzip, wait_for_ready;
	int64_t keepalive_time_ns, keepalive_timeout_ns;
	uint64_t count, concurrency, connections;
	int64_t duration_ns;
	int output, progress;
	const char *web_address;
};

#define FLAG(field) offsetof(struct flags, field)

static const struct option table[] = {
	{ .name = "message",
	  .type = OPTION_STRING,
	  .offset = FLAG(message),
	  .placeholder = "TEXT",
	  .group = "The call",
	  .help = "What to send (by default \"Hello, world!\")." },
	{ .name = "message-file",
	  .type = OPTION_STRING,
	  .offset = FLAG(message_file),
	  .placeholder = "FILE",
	  .group = "The call",
	  .help = "Send the content of FILE, byte for byte; - is standard input." },
	{ .name = "timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(timeout_ns),
	  .placeholder = "DURATION",
	  .value = "20s",
	  .min = 1000000,
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
	{ .name = "gzip",
	  .type = OPTION_BOOL,
	  .offset = FLAG(gzip),
	  .group = "The call",
	  .help = "Compress messages with gzip; compressed replies are taken in any case." },
	{ .name = "wait-for-ready",
	  .type = OPTION_BOOL,
	  .offset = FLAG(wait_for_ready),
	  .group = "The call",
	  .help = "Wait for a server that is not there yet, as long as --timeout lets it." },
	{ .name = "keepalive-time",
	  .type = OPTION_DURATION,
	  .offset = FLAG(keepalive_time_ns),
	  .placeholder = "DURATION",
	  .min = 10000000000,
	  .group = "The call",
	  .help = "Ask a server that has been silent for so long, while a call runs, for a sign "
		  "of life (by default never). Servers may call less than 5m too often." },
	{ .name = "keepalive-timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(keepalive_timeout_ns),
	  .placeholder = "DURATION",
	  .value = "20s",
	  .min = 1000000,
	  .group = "The call",
	  .help = "How long to wait for it; then the connection is lost." },
	{ .name = "count",
	  .type = OPTION_UINT,
	  .offset = FLAG(count),
	  .placeholder = "N",
	  .min = 1,
	  .max = INT64_MAX,
	  .group = "Load",
	  .help = "Make N calls in all." },
	{ .name = "duration",
	  .type = OPTION_DURATION,
	  .offset = FLAG(duration_ns),
	  .placeholder = "DURATION",
	  .min = 1000000,
	  .group = "Load",
	  .help = "Start calls for this long, then wait for the last of them. With --count, "
		  "whichever comes first; without either, 10s." },
	{ .name = "concurrency",
	  .type = OPTION_UINT,
	  .offset = FLAG(concurrency),
	  .placeholder = "C",
	  .min = 1,
	  .max = PLAN_MAX_CONCURRENCY,
	  .group = "Load",
	  .help = "Keep C calls going at a time, over all connections. By default one on each." },
	{ .name = "connections",
	  .type = OPTION_UINT,
	  .offset = FLAG(connections),
	  .placeholder = "K",
	  .min = 1,
	  .max = PLAN_MAX_CONNECTIONS,
	  .group = "Load",
	  .help = "Spread the calls over K connections. By default one for each 100 calls at a "
		  "time." },
	{ .name = "output",
	  .type = OPTION_ENUM,
	  .offset = FLAG(output),
	  .placeholder = "FORMAT",
	  .value = "text",
	  .choices = output_choices,
	  .group = "Output",
	  .help = "text, or json: one object with all that is known of the call or the run." },
	{ .name = "progress",
	  .type = OPTION_ENUM,
	  .offset = FLAG(progress),
	  .placeholder = "WHEN",
	  .value = "auto",
	  .choices = progress_choices,
	  .group = "Output",
	  .help = "auto: while a run lasts, counters on standard error, each second on a terminal "
		  "and each ten seconds elsewhere; or off." },
	{ .name = "web.listen-address",
	  .type = OPTION_STRING,
	  .offset = FLAG(web_address),
	  .placeholder = "ADDRESS",
	  .group = "Output",
	  .help = "While the client runs, serve its own metrics at /metrics on this address." },
};

static const struct options options = {
	.program = "echod client",
	.synopsis = "[flags] [TARGET]",
	.about = "Calls the echo service at TARGET (default " TARGET_DEFAULT ") and prints "
		 "the reply; with a flag of the group \"Load\", makes many calls and prints a "
		 "summary. TARGET is host:port, [ipv6]:port, unix:/path or unix:@name.",
	.footer =
		"Examples:\n"
		"  echod client                                  one call, the reply on stdout\n"
		"  echod client --message=hi example.org:9876    another message, another server\n"
		"  printf 'a\\0b' | echod client --message-file=- | od -c\n"
		"  echod client --output=json unix:/run/echod.sock\n"
		"  echod client --metadata=trace-id:42 --timeout=500ms\n"
		"  echod client --duration=10s --concurrency=50  load, for ten seconds\n"
		"  echod client --count=100000 --concurrency=200 --connections=4\n"
		"\n"
		"Exit status: 0 reply received, or a run in which a call succeeded; 1 the call\n"
		"failed, no call of a run succeeded, or a reply was not its request's echo;\n"
		"2 usage; 4 a run that never got a connection; 130 and 143 a run that was ended\n"
		"by ^C or SIGTERM (its summary is printed all the same).\n",
	.table = table,
	.n = ARRAY_SIZE(table),
};

void plan_help(FILE *out)
{
	options_help(&options, out);
}

void plan_deinit(struct plan *plan)
{
	buffer_free(&plan->message);
	arena_reset(&plan->metadata_arena);
}

static int set_message(struct plan *plan, const struct flags *flags, char *why, size_t size)
{
	const char *name = flags->message_file ? "message-file" : "message";
	const char *text = flags->message ? flags->message : "Hello, world!";
	char reason[160];

	if (flags->message && flags->message_file) {
		snprintf(why, size, "--message and --message-file exclude each other");
		return -1;
	}
	if (flags->message_file) {
		if (input_read_file(flags->message_file, PLAN_MAX_REQUEST_BYTES, &plan->message,
				    reason, sizeof(reason)) < 0) {
			snprintf(why, size, "--message-file=%.64s %s", flags->message_file, reason);
			return -1;
		}
	} else if (buffer_append(&plan->message, text, strlen(text)) < 0) {
		snprintf(why, size, "out of memory");
		return -1;
	}
	if (input_check_message(buffer_bytes(&plan->message), PLAN_MAX_REQUEST_BYTES, reason,
				sizeof(reason)) < 0) {
		snprintf(why, size, "--%s: the message %s", name, reason);
		return -1;
	}
	return 0;
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
	return (n + by - 1) / by;
}

static int set_load(struct plan *plan, const struct flags *flags, char *why, size_t size)
{
	plan->load = flags->count || flags->duration_ns || flags->concurrency || flags->connections;
	plan->count = flags->count;
	plan->duration_ns = flags->duration_ns;
	if (!plan->count && !plan->duration_ns) {
		plan->duration_ns = PLAN_DEFAULT_DURATION_NS;
	}
	plan->concurrency = flags->concurrency ? flags->concurrency : MAX(flags->connections, 1);
	plan->connections = flags->connections
				    ? flags->connections
				    : divide_up(plan->concurrency, PLAN_CALLS_PER_CONNECTION);
	if (plan->connections > plan->concurrency) {
		snprintf(why, size,
			 "--connections=%" PRIu64 " is more than --concurrency=%" PRIu64
			 ": a connection without a call would stay unused",
			 plan->connections, plan->concurrency);
		return -1;
	}
	return 0;
}

static int set_web(struct plan *plan, const struct flags *flags, char *why, size_t size)
{
	char reason[160];

	if (!flags->web_address) {
		return 0;
	}
	if (address_parse(flags->web_address, NULL, &plan->web_address, reason, sizeof(reason)) <
	    0) {
		snprintf(why, size, "--web.listen-address=%.64s: %s", flags->web_address, reason);
		return -1;
	}
	plan->web = true;
	return 0;
}

enum options_result plan_init(struct plan *plan, int argc, char **argv, char *why, size_t size)
{
	struct flags flags = { 0 };
	struct option_strings operands = { 0 };
	enum options_result result;

	*plan = (struct plan){ .message = BUFFER_INIT };
	arena_init(&plan->metadata_arena, NULL, 0, METADATA_CAP);
	result = options_parse(&options, &flags, argc, argv, NULL, &operands, NULL, why, size);
	if (result != OPTIONS_OK) {
		goto out;
	}
	result = OPTIONS_ERROR;
	if (operands.n > 1) {
		snprintf(why, size, "one TARGET is enough: \"%.64s\" is a second",
			 operands.items[1]);
		goto out;
	}
	if (!flags.plaintext) {
		snprintf(why, size,
			 "--no-plaintext asks for TLS, which this client does not speak");
		goto out;
	}
	plan->timeout_ns = flags.timeout_ns;
	plan->gzip = flags.gzip;
	plan->wait_for_ready = flags.wait_for_ready;
	plan->keepalive_time_ns = flags.keepalive_time_ns;
	plan->keepalive_timeout_ns = flags.keepalive_timeout_ns;
	plan->json = flags.output == OUTPUT_JSON;
	plan->progress = flags.progress == PROGRESS_AUTO;
	if (target_parse(operands.n ? operands.items[0] : TARGET_DEFAULT, &plan->target, why,
			 size) < 0 ||
	    set_load(plan, &flags, why, size) < 0 || set_web(plan, &flags, why, size) < 0 ||
	    input_add_all_metadata(&flags.metadata, &plan->metadata, &plan->metadata_arena, why,
				   size) < 0 ||
	    set_message(plan, &flags, why, size) < 0) {
		goto out;
	}
	result = OPTIONS_OK;
out:
	if (result == OPTIONS_ERROR) {
		options_one_line(why);
	}
	options_free(&options, &flags, &operands);
	return result;
}

int plan_describe(const struct plan *plan, struct buffer *out)
{
	char duration[32];
	int err;

	err = buffer_printf(out, "%" PRIu64 " call%s at a time over %" PRIu64 " connection%s to %s",
			    plan->concurrency, plan->concurrency == 1 ? "" : "s", plan->connections,
			    plan->connections == 1 ? "" : "s", plan->target.text);
	if (err == 0 && plan->count) {
		err = buffer_printf(out, ", %" PRIu64 " in all", plan->count);
	}
	if (err == 0 && plan->duration_ns) {
		format_duration(plan->duration_ns, duration, sizeof(duration));
		err = buffer_printf(out, ", for %s%s", plan->count ? "at most " : "", duration);
	}
	return err;
}

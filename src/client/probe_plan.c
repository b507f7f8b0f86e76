#include "client/probe_plan.h"

#include <string.h>

#include "base/utf8.h"
#include "client/input.h"

/* A header block of 16 KiB is what servers commonly take; this only keeps a mistake small. */
#define METADATA_CAP (64 * KIB)
/* Longer is a mistake, and the sum of two stays far from overflowing. */
#define MAX_TIMEOUT_NS (24 * 3600 * NS_PER_S)

struct flags {
	const char *service, *user_agent;
	int64_t connect_ns, answer_ns;
	struct option_strings metadata;
	bool verbose;
};

#define FLAG(field) offsetof(struct flags, field)

static const struct option table[] = {
	{ .name = "service",
	  .type = OPTION_STRING,
	  .offset = FLAG(service),
	  .placeholder = "NAME",
	  .help = "Ask for the health of this service (by default of the server as a whole)." },
	{ .name = "connect-timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(connect_ns),
	  .placeholder = "DURATION",
	  .value = "1s",
	  .min = NS_PER_MS,
	  .max = MAX_TIMEOUT_NS,
	  .help = "How long connecting may take, until the server speaks HTTP/2." },
	{ .name = "rpc-timeout",
	  .type = OPTION_DURATION,
	  .offset = FLAG(answer_ns),
	  .placeholder = "DURATION",
	  .value = "1s",
	  .min = NS_PER_MS,
	  .max = MAX_TIMEOUT_NS,
	  .help = "How long the call may take on a connection." },
	{ .name = "metadata",
	  .type = OPTION_STRINGS,
	  .offset = FLAG(metadata),
	  .placeholder = "NAME:VALUE",
	  .help = "Send this along with the call; repeatable. The value of a NAME that ends in "
		  "-bin is given in base64." },
	{ .name = "user-agent",
	  .type = OPTION_STRING,
	  .offset = FLAG(user_agent),
	  .placeholder = "TEXT",
	  .help = "Call ourselves this." },
	{ .name = "verbose",
	  .type = OPTION_BOOL,
	  .offset = FLAG(verbose),
	  .help = "Tell on standard error who answered, and how long it took." },
};

static const struct options options = {
	.program = "echod probe",
	.synopsis = "[flags] [TARGET]",
	.about = "Asks the gRPC server at TARGET (default " TARGET_DEFAULT ") for its health, by "
		 "grpc.health.v1.Health/Check, and tells the answer by its exit status. TARGET is "
		 "host:port, [ipv6]:port, unix:/path or unix:@name.",
	.footer =
		"Examples:\n"
		"  echod probe                               the server as a whole\n"
		"  echod probe --service=muzz.Service example.org:9876\n"
		"  echod probe --connect-timeout=100ms unix:/run/echod.sock\n"
		"\n"
		"Exit status: 0 it is serving; 1 usage; 2 there is no connection to it; 3 the "
		"call\n"
		"failed, also where the server has no health service or does not know NAME; 4 it\n"
		"is not serving.\n",
	.table = table,
	.n = ARRAY_SIZE(table),
};

void probe_plan_help(FILE *out)
{
	options_help(&options, out);
}

void probe_plan_deinit(struct probe_plan *plan)
{
	arena_reset(&plan->metadata_arena);
}

static int set_service(struct probe_plan *plan, const char *name, char *why, size_t size)
{
	plan->service = name ? name : "";
	if (strlen(plan->service) > PROBE_MAX_NAME) {
		snprintf(why, size, "--service is longer than %d bytes", PROBE_MAX_NAME);
		return -1;
	}
	if (!utf8_valid(str_from(plan->service))) {
		snprintf(why, size, "--service is not UTF-8");
		return -1;
	}
	return 0;
}

static int set_user_agent(struct probe_plan *plan, const char *text, char *why, size_t size)
{
	plan->user_agent = text;
	if (!text) {
		return 0;
	}
	if (strlen(text) > PROBE_MAX_NAME) {
		snprintf(why, size, "--user-agent is longer than %d bytes", PROBE_MAX_NAME);
		return -1;
	}
	if (text[0] == '\0' || text[0] == ' ' || text[strlen(text) - 1] == ' ' ||
	    !metadata_valid(STR("x"), str_from(text))) {
		snprintf(why, size,
			 "--user-agent=%.64s has to be printable ASCII, without blanks around it",
			 text);
		return -1;
	}
	return 0;
}

enum options_result probe_plan_init(struct probe_plan *plan, int argc, char **argv, char *why,
				    size_t size)
{
	struct flags flags = { 0 };
	struct option_strings operands = { 0 };
	enum options_result result;

	*plan = (struct probe_plan){ 0 };
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
	plan->connect_ns = flags.connect_ns;
	plan->answer_ns = flags.answer_ns;
	plan->verbose = flags.verbose;
	if (target_parse(operands.n ? operands.items[0] : TARGET_DEFAULT, &plan->target, why,
			 size) < 0 ||
	    set_service(plan, flags.service, why, size) < 0 ||
	    set_user_agent(plan, flags.user_agent, why, size) < 0 ||
	    input_add_all_metadata(&flags.metadata, &plan->metadata, &plan->metadata_arena, why,
				   size) < 0) {
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

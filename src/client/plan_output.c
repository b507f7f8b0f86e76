/* What is said of a call or a run, and where: checked before the first call, not after the last. */
#include <stdio.h>

#include "client/plan.h"
#include "client/plan_flags.h"

/* Beside those that came before it. */
static int check_place(const struct plan *plan, const struct plan_output *output, const char *text,
		       char *why, size_t size)
{
	char reason[160];

	for (size_t i = 0; i < plan->n_outputs; i++) {
		const char *before = plan->outputs[i].path;

		if (!before && !output->path) {
			snprintf(why, size,
				 "--output=%.64s: standard output is taken by another --output: "
				 "give one of them a file, as in json:run.json",
				 text);
			return -1;
		}
		if (before && output->path && report_same_path(before, output->path)) {
			snprintf(why, size, "--output=%.64s: two outputs into one file", text);
			return -1;
		}
	}
	if (output->path && report_check_path(output->path, reason, sizeof(reason)) < 0) {
		snprintf(why, size, "--output=%.64s %s", text, reason);
		return -1;
	}
	return 0;
}

static int add_output(struct plan *plan, const char *text, char *why, size_t size)
{
	struct plan_output *output = &plan->outputs[plan->n_outputs];
	char reason[200];

	if (report_parse_output(text, &output->format, &output->path, reason, sizeof(reason)) < 0) {
		snprintf(why, size, "--output=%.64s %s", text, reason);
		return -1;
	}
	if (!plan->load && output->format != REPORT_TEXT && output->format != REPORT_JSON) {
		snprintf(why, size,
			 "--output=%.64s is of load runs: a single call has text and json", text);
		return -1;
	}
	if (check_place(plan, output, text, why, size) < 0) {
		return -1;
	}
	plan->n_outputs++;
	return 0;
}

static int set_outputs(struct plan *plan, const struct option_strings *texts, char *why,
		       size_t size)
{
	if (texts->n > PLAN_MAX_OUTPUTS) {
		snprintf(why, size, "--output %zu times is more than %d", texts->n,
			 PLAN_MAX_OUTPUTS);
		return -1;
	}
	for (size_t i = 0; i < texts->n; i++) {
		if (add_output(plan, texts->items[i], why, size) < 0) {
			return -1;
		}
	}
	if (plan->n_outputs == 0) {
		plan->outputs[plan->n_outputs++] = (struct plan_output){ .format = REPORT_TEXT };
	}
	return 0;
}

int plan_set_output(struct plan *plan, const struct plan_flags *flags, char *why, size_t size)
{
	char reason[160];

	if (set_outputs(plan, &flags->outputs, why, size) < 0) {
		return -1;
	}
	plan->progress = flags->progress == PLAN_PROGRESS_AUTO;
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

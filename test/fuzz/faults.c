/*
 * Plans as people write them: what is taken reads back as the same, and holds what it
 * promises to those who draw from it. What is refused changes nothing.
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "service/faults.h"

static const char *const parts[] = { "delay", "status",     "abort",  "fault-mode",
				     "seed",  "hang-limit", "health", "?" };

static void print(const struct faults_plan *plan, struct buffer *out)
{
	MUST(faults_plan_print(plan, out) == 0);
	MUST(buffer_append(out, "", 1) == 0);
}

/* Line by line into a plan that has nothing, and the same comes out. */
static void read_back(const struct faults_plan *plan)
{
	struct faults_plan again = { 0 };
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
	char *rest, *line, why[128];

	print(plan, &first);
	print(plan, &second);
	rest = (char *)buffer_data(&second);
	while ((line = strsep(&rest, "\n")) && *line != '\0') {
		char *value = strchr(line, '=');

		MUST(value);
		*value++ = '\0';
		MUST(faults_plan_set(&again, line, value, why, sizeof(why)) == 0);
	}
	buffer_clear(&second);
	print(&again, &second);
	MUST(strcmp((const char *)buffer_data(&first), (const char *)buffer_data(&second)) == 0);
	buffer_free(&first);
	buffer_free(&second);
}

static void expect(const struct delay *delay)
{
	const double longest = (double)DELAY_LONGEST_NS / (double)NS_PER_S;
	double mean = delay_mean(delay), before = 0;

	MUST(mean >= 0 && mean <= longest);
	for (int i = 0; i <= 20; i++) {
		double seconds = delay_quantile(delay, i / 20.0);

		MUST(seconds >= before && seconds <= longest);
		before = seconds;
	}
}

static void draw(const struct faults_plan *plan)
{
	struct faults faults = { 0 };
	size_t n = plan->statuses.n + plan->aborts.n;

	faults_use(&faults, plan, 1);
	for (int i = 0; i < 50; i++) {
		struct faults_draw drawn;
		uint64_t owed = 0;

		faults_draw(&faults, &drawn);
		MUST(drawn.delay_ns >= 0 && drawn.delay_ns <= DELAY_LONGEST_NS);
		MUST((drawn.kind == FAULT_STATUS) == (drawn.status != GRPC_OK));
		for (size_t k = 0; k < n; k++) {
			owed += faults.owed[k];
		}
		MUST(owed == 0 || owed < n * (uint64_t)FAULTS_WHOLE);
	}
}

/* Lines of a number that names a part, and its value. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct faults_plan plan = { .hang_limit_ns = NS_PER_S };
	char *text = malloc(size + 1), *rest = text, *line, why[128];

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		const char *part = parts[(unsigned char)*line % ARRAY_SIZE(parts)];
		struct faults_plan before = plan;

		why[0] = '\0';
		if (*line == '\0' ||
		    faults_plan_set(&plan, part, line + 1, why, sizeof(why)) == 0) {
			continue;
		}
		MUST(why[0] != '\0');
		MUST(memcmp(&plan, &before, sizeof(plan)) == 0);
	}
	free(text);
	read_back(&plan);
	expect(&plan.delay);
	if (faults_plan_check(&plan, why, sizeof(why)) == 0) {
		draw(&plan);
	}
	return 0;
}

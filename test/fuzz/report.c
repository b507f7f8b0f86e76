/*
 * A report's JSON, of whatever origin: it is refused with a reason in one line, or it is
 * a run; then it comes back to the byte, every format can be made of it, and it can be
 * merged with itself.
 */
#include <string.h>

#include "client/report.h"
#include "fuzz.h"

static void there_and_back(const struct run *run)
{
	struct buffer once = BUFFER_INIT, twice = BUFFER_INIT;
	struct run back;
	char why[256];

	MUST(report_json(&once, run) == 0);
	MUST(report_read_json(buffer_bytes(&once), "again", &back, why, sizeof(why)) == 0);
	MUST(report_json(&twice, &back) == 0);
	MUST(buffer_len(&once) == buffer_len(&twice));
	MUST(memcmp(buffer_data(&once), buffer_data(&twice), buffer_len(&once)) == 0);
	run_deinit(&back);
	buffer_free(&once);
	buffer_free(&twice);
}

static void in_every_format(const struct run *run, bool colour)
{
	const struct report_style style = { .columns = 80, .colour = colour, .blocks = colour };
	const struct run *runs[] = { run, run };
	struct buffer out = BUFFER_INIT;

	for (int format = 0; format < REPORT_FORMAT_COUNT; format++) {
		buffer_clear(&out);
		MUST(report_write(&out, (enum report_format)format, run, &style) == 0);
		MUST(buffer_len(&out) > 0);
	}
	MUST(report_html(&out, runs, 2) == 0);
	buffer_clear(&out);
	MUST(report_compare_text(&out, runs, 2, &style) == 0);
	/* Nothing that a terminal obeys comes out of a file. */
	for (size_t i = 0; !colour && i < buffer_len(&out); i++) {
		MUST(buffer_data(&out)[i] >= 0x20 || buffer_data(&out)[i] == '\n');
	}
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = { data, size };
	struct run run, other;
	char why[256] = "";

	if (report_read_json(text, "file", &run, why, sizeof(why)) < 0) {
		MUST(why[0] != '\0' && !strchr(why, '\n'));
		return 0;
	}
	there_and_back(&run);
	in_every_format(&run, size % 2);
	MUST(report_read_json(text, "file", &other, why, sizeof(why)) == 0);
	MUST(run_merge(&run, &other) == 0);
	in_every_format(&run, size % 2);
	run_deinit(&other);
	run_deinit(&run);
	return 0;
}

/*
 * The text format: what is taken is within the bounds and can be written again, and
 * what is written again reads the same; what is refused says why, with a line.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "metrics/exposition.h"
#include "metrics/parse.h"

static void put(struct buffer *out, struct str text)
{
	MUST(buffer_append_str(out, text) == 0);
}

static bool is_name(struct str name, bool colon)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		bool digit = c >= '0' && c <= '9';

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
		    !(colon && c == ':') && !(digit && i > 0)) {
			return false;
		}
	}
	return name.len > 0;
}

static void put_value(struct buffer *out, struct str value)
{
	MUST(value.data && utf8_valid(value));
	for (size_t i = 0; i < value.len; i++) {
		char c = value.data[i];

		if (c == '\n') {
			put(out, STR("\\n"));
			continue;
		}
		if (c == '\\' || c == '"') {
			put(out, STR("\\"));
		}
		put(out, (struct str){ &c, 1 });
	}
}

/* Writes the sample anew, in the one way in which we write. */
static int rewrite(void *user, const struct exposition_sample *sample)
{
	struct buffer *out = user;
	char number[32];
	double back;

	MUST(is_name(sample->name, true) && sample->n_labels <= EXPOSITION_MAX_LABELS);
	put(out, sample->name);
	put(out, STR("{"));
	for (size_t i = 0; i < sample->n_labels; i++) {
		struct str name = sample->labels[i].name;

		MUST(is_name(name, false));
		MUST(exposition_label(sample, name).data == sample->labels[i].value.data);
		put(out, name);
		put(out, STR("=\""));
		put_value(out, sample->labels[i].value);
		put(out, STR("\","));
	}
	put(out, STR("} "));

	struct str text = { number, exposition_format_double(sample->value, number) };

	MUST(exposition_parse_double(text, &back) == 0);
	MUST(back == sample->value || (isnan(back) && isnan(sample->value)));
	put(out, text);
	put(out, STR("\n"));
	return 0;
}

static int stop(void *user, const struct exposition_sample *sample)
{
	(void)sample;
	return ++*(int *)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = input_text((struct bytes){ data, size });
	struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
	char why[64] = "";
	int stopped = 0;
	int err = exposition_parse(text, rewrite, &first, why, sizeof(why));

	MUST(err == 0 || (err == -EINVAL && strncmp(why, "line ", 5) == 0));
	MUST(strlen(why) < sizeof(why) && (err == 0) == (why[0] == '\0'));
	if (buffer_len(&first) <
	    EXPOSITION_MAX_LINE) { /* so that no line is longer than it may be */
		MUST(exposition_parse(input_text(buffer_bytes(&first)), rewrite, &second, why,
				      sizeof(why)) == 0);
		MUST(buffer_len(&first) == buffer_len(&second));
		MUST(buffer_len(&first) == 0 ||
		     memcmp(buffer_data(&first), buffer_data(&second), buffer_len(&first)) == 0);
	}
	err = exposition_parse(text, stop, &stopped, why, sizeof(why));
	MUST(stopped <= 1 && (stopped == 0 || err == 1));
	buffer_free(&first);
	buffer_free(&second);
	return 0;
}

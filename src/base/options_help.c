/* Names, suggestions, and the text of --help. */
#include <ctype.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/options.h"
#include "base/options_p.h"

#define DEFAULT_WIDTH 80
#define NARROWEST     40
#define WIDEST        100 /* longer lines are hard to read */
#define HELP_INDENT   8
#define LONGEST_NAME  63

void option_format_number(enum option_type type, uint64_t number, char *text, size_t size)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB" };
	size_t unit = 0;

	if (type == OPTION_DURATION) {
		format_duration((int64_t)number, text, size);
		return;
	}
	while (type == OPTION_SIZE && number > 0 && number % 1024 == 0 &&
	       unit + 1 < ARRAY_SIZE(units)) {
		number /= 1024;
		unit++;
	}
	snprintf(text, size, "%" PRIu64 "%s", number, units[unit]);
}

void option_variable(const struct options *options, const struct option *option,
		     char name[VARIABLE_TEXT])
{
	snprintf(name, VARIABLE_TEXT, "%s%s", options->environment, option->name);
	for (char *p = name; *p != '\0'; p++) {
		*p = *p == '.' || *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	}
}

/*
 * Levenshtein: how many characters must be inserted, removed or replaced. One row
 * of the table is kept.
 */
static size_t distance(struct str a, struct str b)
{
	size_t row[LONGEST_NAME + 1];

	if (a.len > LONGEST_NAME || b.len > LONGEST_NAME) {
		return SIZE_MAX;
	}
	for (size_t j = 0; j <= b.len; j++) {
		row[j] = j;
	}
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t replaced = diagonal + (a.data[i - 1] != b.data[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, replaced);
		}
	}
	return row[b.len];
}

/* "listen-address" stands for "grpc.listen-address" where the beginning was left out. */
static bool is_tail(struct str name, struct str option)
{
	size_t front = option.len - name.len;

	return name.len >= 4 && option.len > name.len && option.data[front - 1] == '.' &&
	       memcmp(option.data + front, name.data, name.len) == 0;
}

const char *option_closest(const struct options *options, struct str name)
{
	const char *closest = NULL;
	size_t least = 1 + name.len / 4; /* more changes than that make another word */

	for (size_t i = 0; i < options->n; i++) {
		struct str option = str_from(options->table[i].name);
		size_t d = distance(name, option);

		if (d <= least && (d < least || !closest)) {
			least = d;
			closest = option.data;
		}
	}
	for (size_t i = 0; i < options->n && !closest; i++) {
		if (is_tail(name, str_from(options->table[i].name))) {
			closest = options->table[i].name;
		}
	}
	return closest;
}

/* --- help ---------------------------------------------------------------- */

static size_t width_of(FILE *out)
{
	struct winsize size;

	if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		return MAX(MIN(size.ws_col, WIDEST), NARROWEST);
	}
	return DEFAULT_WIDTH;
}

struct paragraph {
	FILE *out;
	size_t indent, width, column;
};

/* Words of `text`, from the column where the last call stopped; breaks at spaces only. */
static void write_words(struct paragraph *paragraph, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		bool first = paragraph->column <= paragraph->indent;

		if (!first && paragraph->column + 1 + len > paragraph->width) {
			fputc('\n', paragraph->out);
			paragraph->column = 0;
			first = true;
		}
		if (paragraph->column == 0) {
			fprintf(paragraph->out, "%*s", (int)paragraph->indent, "");
			paragraph->column = paragraph->indent;
		}
		paragraph->column +=
			(size_t)fprintf(paragraph->out, "%s%.*s", first ? "" : " ", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
}

static void write_choices(struct paragraph *paragraph, const struct option *option)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "One of");

	for (int i = 0; option->choices[i] && (size_t)n < sizeof(text); i++) {
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s", i > 0 ? "," : "",
			      option->choices[i]);
	}
	if ((size_t)n < sizeof(text)) {
		snprintf(text + n, sizeof(text) - (size_t)n, ".");
	}
	write_words(paragraph, text);
}

/* "(default 4MiB; ECHOD_GRPC_MAX_MESSAGE_BYTES)", or nothing where there is neither. */
static void write_origin(struct paragraph *paragraph, const struct options *options,
			 const struct option *option)
{
	char text[256], variable[VARIABLE_TEXT] = "";
	bool has_default = option->value && *option->value != '\0' &&
			   !(option->type == OPTION_BOOL && strcmp(option->value, "false") == 0);

	if (options->environment) {
		option_variable(options, option, variable);
	}
	if (!has_default && *variable == '\0') {
		return;
	}
	snprintf(text, sizeof(text), "(%s%s%s%s)", has_default ? "default " : "",
		 has_default ? option->value : "", has_default && *variable != '\0' ? "; " : "",
		 variable);
	write_words(paragraph, text);
}

static void write_option(const struct options *options, const struct option *option, size_t width,
			 FILE *out)
{
	struct paragraph paragraph = { out, HELP_INDENT, width, 0 };

	if (option->type == OPTION_BOOL) {
		fprintf(out, "  --[no-]%s\n", option->name);
	} else {
		fprintf(out, "  --%s=%s%s\n", option->name,
			option->placeholder ? option->placeholder : "VALUE",
			option->type == OPTION_STRINGS ? " ..." : "");
	}
	write_words(&paragraph, option->help);
	if (option->type == OPTION_ENUM) {
		write_choices(&paragraph, option);
	}
	write_origin(&paragraph, options, option);
	fputc('\n', out);
}

void options_help(const struct options *options, FILE *out)
{
	size_t width = width_of(out);
	const char *group = NULL;

	fprintf(out, "Usage: %s %s\n", options->program, options->synopsis);
	if (options->about) {
		struct paragraph about = { out, 0, width, 0 };

		fputc('\n', out);
		write_words(&about, options->about);
		fputc('\n', out);
	}
	for (size_t i = 0; i < options->n; i++) {
		const struct option *option = &options->table[i];
		const char *heading = option->group ? option->group : "Flags";

		if (!group || strcmp(group, heading) != 0) {
			fprintf(out, "\n%s:\n", heading);
			group = heading;
		}
		write_option(options, option, width, out);
	}
	fprintf(out, "\nAlso:\n"
		     "  -h, --help\n        Shows this text.\n"
		     "  --version\n        Shows version and build.\n");
	if (options->footer) {
		fprintf(out, "\n%s", options->footer);
		if (*options->footer != '\0' &&
		    options->footer[strlen(options->footer) - 1] != '\n') {
			fputc('\n', out);
		}
	}
}

/*
 * The results of a run (run.h) for people and for programs. Every writer appends to
 * a buffer and returns 0 or -ENOMEM; none prints, none knows where it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"
#include "client/run.h"
#include "grpc/status.h"

/* Name, and what it is for, of each --output. */
#define REPORT_FORMATS(X)                                                  \
	X(TEXT, "text", "for people")                                      \
	X(JSON, "json", "all of it, for programs and `echod report`")      \
	X(FORTIO, "fortio", "fortio's JSON, which `fortio report` draws")  \
	X(HGRM, "hgrm", "HdrHistogram's percentile distribution, as text") \
	X(PROM, "prom", "metrics for node_exporter's textfile collector")  \
	X(HTML, "html", "a page with pictures, which needs nothing else")

enum report_format {
#define X(name, text, about) REPORT_##name,
	REPORT_FORMATS(X)
#undef X
		REPORT_FORMAT_COUNT
};

/* How text is drawn. */
struct report_style {
	unsigned columns; /* 40 to 400 */
	bool colour;
	bool blocks;    /* bars of U+2588 and its parts; else of '#' */
	bool plan_said; /* who reads it has just seen the plan */
};

/*
 * For what goes to `fd` (-1: to a file): a terminal's columns, else 80; $COLUMNS comes
 * first. Colour on a terminal, unless $NO_COLOR says something. Blocks in a UTF-8 locale.
 */
void report_style_init(struct report_style *style, int fd);

int report_text(struct buffer *out, const struct run *run, const struct report_style *style);
int report_json(struct buffer *out, const struct run *run); /* docs/report.md */
int report_fortio(struct buffer *out, const struct run *run);
int report_hgrm(struct buffer *out, const struct run *run);
int report_prom(struct buffer *out, const struct run *run);
/* Several runs: side by side. */
int report_html(struct buffer *out, const struct run *const *runs, size_t n);
int report_compare_text(struct buffer *out, const struct run *const *runs, size_t n,
			const struct report_style *style);
/* One run in that format. */
int report_write(struct buffer *out, enum report_format format, const struct run *run,
		 const struct report_style *style);

#define REPORT_FORMAT_NAMES_MAX 128
/* "text, json, ...", for help and messages. */
void report_format_names(char *text, size_t size);
const char *report_format_name(enum report_format format);
/*
 * "json", "json:PATH". 0, or -1 with a reason that follows the text in a message ("is
 * ..."). *ret_path NULL: standard output, which "-" is too. Borrowed.
 */
int report_parse_output(const char *text, enum report_format *ret_format, const char **ret_path,
			char *why, size_t size);
/*
 * Before a run whose report is to go there: 0, or -1 with a reason that follows the path in
 * a message ("cannot be written: ..."), as far as one can know before it is tried.
 */
int report_check_path(const char *path, char *why, size_t size);
/* Would the reports end up in one file? Both passed the check. */
bool report_same_path(const char *one, const char *other);
/*
 * All of it to `path` (NULL: standard output). A file is written aside, and renamed when
 * it is whole, so that a reader sees the old one or the new; what is no regular file (a
 * pipe, a device) is written to as it is. 0, or -1 with a reason in one line.
 */
int report_save(struct bytes text, const char *path, char *why, size_t size);

/* What is longer is no report of ours; the largest have 6 MiB. */
#define REPORT_MAX_BYTES (16 * MIB)
/*
 * json's other half; `text` is not trusted. `name` is the file's, for messages. 0, or -1
 * with a reason in one line, and `ret` needs no run_deinit().
 */
int report_read_json(struct bytes text, const char *name, struct run *ret, char *why, size_t size);
/* A file, or standard input for "-". As above. */
int report_read_file(const char *path, struct run *ret, char *why, size_t size);

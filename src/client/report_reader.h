/*
 * What reading a report has in common: members of JSON that must be there and must be
 * of their kind. The first thing that is wrong is said in one line, and from then on
 * everything reads as 0.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "client/run.h"

struct report_reader {
	const char *name; /* of the file */
	struct run *run;  /* whose arena takes texts */
	char *why;
	size_t size;
	bool failed;
	char where[96]; /* of the member that is being read: "calls", "backends[3]" */
};

/* Fills `why`: "FILE: WHERE.MEMBER FORMAT...". `member` may be NULL. */
void report_reader_fail(struct report_reader *reader, const char *member, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Which members follow. */
void report_reader_at(struct report_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A member of that kind; NULL, and failed, where there is none. */
json_t *report_reader_member(struct report_reader *reader, const json_t *in, const char *member,
			     json_type type);
/* An array of at most `max`. */
json_t *report_reader_array(struct report_reader *reader, const json_t *in, const char *member,
			    size_t max);
/* An object, or null: then NULL, without a failure. */
json_t *report_reader_optional(struct report_reader *reader, const json_t *in, const char *member);

/* A whole number from `min` to `max`. */
int64_t report_reader_integer(struct report_reader *reader, const json_t *in, const char *member,
			      int64_t min, int64_t max);
/* At most this: those of a hundred files can be added up without a thought. */
#define REPORT_MAX_COUNT (INT64_C(1) << 56)
uint64_t report_reader_count(struct report_reader *reader, const json_t *in, const char *member);
/* At least `min`; a point or a stretch of time that nothing is added to. */
int64_t report_reader_ns(struct report_reader *reader, const json_t *in, const char *member,
			 int64_t min);
bool report_reader_bool(struct report_reader *reader, const json_t *in, const char *member);
/* Text or null, kept in the run's arena. */
const char *report_reader_text(struct report_reader *reader, const json_t *in, const char *member);
/* Text that fits, its NUL included. A member that is not there is as empty text. */
void report_reader_copy(struct report_reader *reader, const json_t *in, const char *member,
			char *ret_text, size_t size);
/* One of `n` words; its index. */
size_t report_reader_word(struct report_reader *reader, const json_t *in, const char *member,
			  const char *const *words, size_t n);
/* A whole number in a text, to the base 10 or 16. */
uint64_t report_reader_digits(struct report_reader *reader, const json_t *value, const char *member,
			      unsigned base);
/* -1: no status has that name. NULL is none. */
int report_reader_status(const char *name);
/* {"UNAVAILABLE":5,...}: counts by what servers call a fault; they are added. */
void report_reader_words(struct report_reader *reader, const json_t *in, const char *member,
			 uint64_t *ret_by_word);

/* report_read_verdicts.c: members of the root. */
void report_read_assertions(struct report_reader *reader, const json_t *root);
void report_read_reconciliation(struct report_reader *reader, const json_t *root);

/* report_read_histogram.c: into an empty histogram of that precision. */
void report_reader_histogram(struct report_reader *reader, const json_t *in, const char *member,
			     struct latencies *ret);

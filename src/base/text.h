/*
 * Words and numbers for people: what was said by a peer, durations, rates, shares. The
 * appenders return 0 or -ENOMEM; no locale has a say in any of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/util.h"

/* Appends, unless an earlier append failed: the end of a chain tells of the whole. */
#define TEXT_PRINT(err, out, ...) ((err) = (err) < 0 ? (err) : buffer_printf((out), __VA_ARGS__))
#define TEXT_CHAIN(err, call)     ((err) = (err) < 0 ? (err) : (call))

#define TEXT_NUMBER_MAX 32 /* bytes for any of the numbers below */

/*
 * Text of a peer's or a file's: control characters as \xNN, those that turn the direction of
 * what follows or end a line as \uNNNN, what is not UTF-8 as U+FFFD.
 * What a terminal would take for a command is none any more.
 */
int text_visible(struct buffer *out, struct str text);
/* What is not UTF-8 as U+FFFD, at most `max` bytes of it, cut between characters. */
int text_utf8(struct buffer *out, struct str text, size_t max);

/* Four significant digits: "12.34us", "1.234ms", "20.00s". A negative one is as 0. */
void text_duration(int64_t ns, char *text, size_t size);
/* A rate, or any number >= 0: "9991", "99.5", "0.25": two digits behind the point at most. */
void text_number(double number, char *text, size_t size);
/*
 * "1.250": so many digits behind the point, at most 12, whatever the locale. What is
 * beyond 9e18 with them, or no number, is cut to the largest that is not. 0 or -ENOMEM.
 */
int text_fixed(struct buffer *out, double number, unsigned digits);
/* A share in three digits: "12.3 %", "0.01 %"; "0 %" and "100 %" are nothing and all of it. */
void text_percent(double share, char *text, size_t size);
/* `calls` each second, in tenths. */
uint64_t text_rate_tenths(uint64_t calls, int64_t elapsed_ns);
/* Columns that UTF-8 text takes on a terminal, each character being one wide. */
size_t text_columns(struct str text);

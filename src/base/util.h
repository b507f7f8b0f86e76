/* Small things that every layer uses. No dependency but the C library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h> /* MIN, MAX */
#include <sys/types.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The structure that embeds `member` at `pointer`. */
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define KIB       ((size_t)1024)
#define MIB       ((size_t)1024 * 1024)
#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/*
 * Borrowed text: pointer and length, not NUL-terminated, any byte inside.
 * Whoever hands one out says how long the borrow lasts.
 */
struct str {
	const char *data;
	size_t len;
};

/* A borrowed run of bytes. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

/* For string literals, also in static initialisers: STR("te"). */
#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_INIT(literal)                      \
	{                                      \
		(literal), sizeof(literal) - 1 \
	}

/* printf("%" STR_FMT, STR_ARG(name)) */
#define STR_FMT    ".*s"
#define STR_ARG(s) (int)(s).len, (s).data

static inline struct str str_from(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
	/* b's length: where that is a literal the comparison needs no call */
	return a.len == b.len && (b.len == 0 || memcmp(a.data, b.data, b.len) == 0);
}

/* ASCII letters alike in either case, as in the names of HTTP. */
static inline bool str_equal_nocase(struct str a, struct str b)
{
	return a.len == b.len && (b.len == 0 || strncasecmp(a.data, b.data, b.len) == 0);
}

/* Without the blanks and tabs at both ends. */
static inline struct str str_trim(struct str s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) {
		s.len--;
	}
	return s;
}

static inline bool str_has_prefix(struct str s, struct str prefix)
{
	return s.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

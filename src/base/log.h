/*
 * Structured log lines on stderr: logfmt or JSON, one line each, the same keys.
 * The only file-scope state of the project lives behind this header. For the
 * layers that decide (daemon, client, net's owners): libraries return errors,
 * they do not log.
 *
 * A line is written only if stderr can take it now (poll, at most PIPE_BUF
 * bytes): a closed, full or blocked stderr never stops the loop, and what it
 * did not take is counted in log_dropped(). A value for which the line has no
 * room is cut (it ends in "..."), a whole field is left out.
 *
 *	log_info("gRPC server starting", LOG_STR("address", text), LOG_INT("n", 7));
 *	time=2026-01-02T03:04:05.678Z level=INFO msg="gRPC server starting" address=:9876 n=7
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
#define LOG_LEVELS 4
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

enum log_field_type { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_ERR, LOG_FIELD_NS };

struct log_field {
	const char *key;
	enum log_field_type type;
	struct str text;
	int64_t number;
};

#define LOG_STR(k, v)  ((struct log_field){ (k), LOG_FIELD_STR, str_from(v), 0 })
#define LOG_TEXT(k, v) ((struct log_field){ (k), LOG_FIELD_STR, (v), 0 }) /* struct str */
#define LOG_INT(k, v)  ((struct log_field){ (k), LOG_FIELD_INT, { 0 }, (int64_t)(v) })
/* A negative errno, printed as text. */
#define LOG_ERR(v) ((struct log_field){ "err", LOG_FIELD_ERR, { 0 }, (int64_t)(v) })
/* A number of ns, printed as a duration. */
#define LOG_DURATION(k, ns) ((struct log_field){ (k), LOG_FIELD_NS, { 0 }, (int64_t)(ns) })

/*
 * Below `level` nothing is written. Where `fd` is journald's own stream
 * ($JOURNAL_STREAM names its device and inode) lines carry the syslog prefix
 * <3>..<7> and no time. Before log_init(): info, logfmt, fd 2.
 */
void log_init(enum log_level level, enum log_format format, int fd);
bool log_enabled(enum log_level level);
/* Lines by level written or dropped since start, for echod_log_messages_total{level}. */
uint64_t log_messages(enum log_level level);
/* Lines that stderr did not take. */
uint64_t log_dropped(void);

void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t n);

/* The fields end in one that is not counted, so that none at all is fine too. */
#define LOG_WRITE(level, message, ...)                                           \
	log_write((level), (message), (const struct log_field[]){ __VA_ARGS__ }, \
		  ARRAY_SIZE(((const struct log_field[]){ __VA_ARGS__ })) - 1)
#define LOG_END        ((struct log_field){ 0 })
#define log_debug(...) LOG_WRITE(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END)
#define log_info(...)  LOG_WRITE(LOG_LEVEL_INFO, __VA_ARGS__, LOG_END)
#define log_warn(...)  LOG_WRITE(LOG_LEVEL_WARN, __VA_ARGS__, LOG_END)
#define log_error(...) LOG_WRITE(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END)

/*
 * At most `burst` lines, then one each `interval_ns`; for lines that a peer can
 * cause. Quiet times fill the burst up again. Initialise those two, > 0, and
 * leave the rest zero. log_allowed() is true where the line may go out;
 * `ret_suppressed` (may be NULL) is how many were held back since the last one.
 */
struct log_limit {
	int64_t interval_ns, next_ns;
	unsigned burst, left;
	uint64_t suppressed;
};
bool log_allowed(struct log_limit *limit, int64_t now_ns, uint64_t *ret_suppressed);

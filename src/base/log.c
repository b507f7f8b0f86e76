#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/options.h"
#include "base/utf8.h"

/* The project's only mutable data at file scope: a process has one stderr. */
static struct {
	enum log_level level;
	enum log_format format;
	int fd;
	bool owned;   /* fd was opened here */
	bool socket;  /* fd is one: it can be told not to wait */
	bool journal; /* journald reads fd */
	_Atomic uint64_t messages[LOG_LEVELS];
	_Atomic uint64_t dropped;
} state = { .level = LOG_LEVEL_INFO, .format = LOG_FORMAT_LOGFMT, .fd = STDERR_FILENO };

static const char *const level_names[LOG_LEVELS] = { "DEBUG", "INFO", "WARN", "ERROR" };
/* syslog(3) priorities of the levels. */
static const char level_priorities[LOG_LEVELS] = { '7', '6', '4', '3' };

/*
 * One line in the making. A pipe takes up to PIPE_BUF bytes whole or not at
 * all, so no line is longer. What ends a line always fits: LINE_END is kept
 * for the dots of a value that is cut, its quote, the brace and the newline.
 */
struct line {
	char text[PIPE_BUF];
	size_t len;
	bool json;
	bool begun; /* a field stands in it */
};

#define LINE_END   6
#define LINE_LIMIT (PIPE_BUF - LINE_END)

/* All of it, or nothing and false. */
static bool put(struct line *line, const char *text, size_t n)
{
	if (line->len + n > LINE_LIMIT) {
		return false;
	}
	memcpy(line->text + line->len, text, n);
	line->len += n;
	return true;
}

static bool put_text(struct line *line, const char *text)
{
	return put(line, text, strlen(text));
}

/* In the room that is kept for it. */
static void put_end(struct line *line, const char *text)
{
	size_t n = strlen(text);

	memcpy(line->text + line->len, text, n);
	line->len += n;
}

/* Bytes of the character at the start of `text`; 0: not valid UTF-8. */
static size_t character(struct str text)
{
	unsigned char lead = (unsigned char)text.data[0];
	size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	return len <= text.len && utf8_valid((struct str){ text.data, len }) ? len : 0;
}

/* U+0000..U+001F, DEL, and U+0080..U+009F (two bytes in UTF-8): terminals obey them. */
static bool is_control(struct str character)
{
	const unsigned char *p = (const unsigned char *)character.data;

	return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

static bool put_character(struct line *line, struct str character)
{
	const unsigned char *p = (const unsigned char *)character.data;
	char escape[8];

	switch (*p) {
	case '"':
		return put_text(line, "\\\"");
	case '\\':
		return put_text(line, "\\\\");
	case '\n':
		return put_text(line, "\\n");
	case '\r':
		return put_text(line, "\\r");
	case '\t':
		return put_text(line, "\\t");
	default:
		break;
	}
	if (is_control(character)) {
		snprintf(escape, sizeof(escape), "\\u%04x", p[character.len - 1]);
		return put_text(line, escape);
	}
	return put(line, character.data, character.len);
}

/* A byte that is not UTF-8: JSON cannot hold it, logfmt shows which one it was. */
static bool put_stray(struct line *line, unsigned char byte)
{
	char escape[8];

	if (line->json) {
		return put_text(line, "\\ufffd");
	}
	snprintf(escape, sizeof(escape), "\\x%02x", byte);
	return put_text(line, escape);
}

/* False: not even begun. A value that does not fit is cut between two characters. */
static bool put_quoted(struct line *line, struct str text)
{
	bool fits = put_text(line, "\"");

	if (!fits) {
		return false;
	}
	while (fits && text.len > 0) {
		size_t len = character(text);

		if (len > 0) {
			fits = put_character(line, (struct str){ text.data, len });
		} else {
			len = 1;
			fits = put_stray(line, (unsigned char)text.data[0]);
		}
		text.data += len;
		text.len -= len;
	}
	put_end(line, fits ? "\"" : "...\"");
	return true;
}

static bool needs_quotes(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
			return true;
		}
	}
	return text.len == 0;
}

static bool put_string(struct line *line, struct str text)
{
	if (!line->json && !needs_quotes(text) && put(line, text.data, text.len)) {
		return true;
	}
	return put_quoted(line, text);
}

static bool put_value(struct line *line, const struct log_field *field)
{
	char text[32];

	switch (field->type) {
	case LOG_FIELD_INT:
		snprintf(text, sizeof(text), "%lld", (long long)field->number);
		return put_text(line, text);
	case LOG_FIELD_ERR:
		return put_string(line, str_from(strerror((int)-field->number)));
	case LOG_FIELD_NS:
		format_duration(field->number, text, sizeof(text));
		return put_string(line, str_from(text));
	case LOG_FIELD_STR:
		break;
	}
	return put_string(line, field->text);
}

/* A field for which there is no room is left out whole. */
static void put_field(struct line *line, const struct log_field *field)
{
	size_t before = line->len;
	const char *separator = line->json ? "," : " ";
	const char *quote = line->json ? "\"" : "";

	if ((line->begun && !put_text(line, separator)) || !put_text(line, quote) ||
	    !put_text(line, field->key) || !put_text(line, quote) ||
	    !put_text(line, line->json ? ":" : "=") || !put_value(line, field)) {
		line->len = before;
		return;
	}
	line->begun = true;
}

/* RFC 3339, UTC, to the millisecond. */
static void put_time(struct line *line)
{
	struct timespec now;
	struct tm tm;
	char date[32], text[48];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03dZ", date, (int)(now.tv_nsec / NS_PER_MS));
	put_field(line, &LOG_STR("time", text));
}

static void compose(struct line *line, enum log_level level, const char *message,
		    const struct log_field *fields, size_t n)
{
	line->len = 0;
	line->begun = false;
	line->json = state.format == LOG_FORMAT_JSON;
	if (state.journal) {
		put(line, (const char[]){ '<', level_priorities[level], '>' }, 3);
	}
	if (line->json) {
		put_text(line, "{");
	}
	if (!state.journal) {
		put_time(line);
	}
	put_field(line, &LOG_STR("level", level_names[level]));
	put_field(line, &LOG_STR("msg", message));
	for (size_t i = 0; i < n; i++) {
		put_field(line, &fields[i]);
	}
	put_end(line, line->json ? "}\n" : "\n");
}

/*
 * Whole or not at all, and never waiting. Where poll() finds room in a pipe
 * there is room for PIPE_BUF bytes. A reader that has gone shows as an error
 * of the descriptor, before a write could raise SIGPIPE.
 */
static bool deliver(const struct line *line)
{
	struct pollfd able = { .fd = state.fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&able, 1, 0) != 1 || able.revents != POLLOUT) {
		return false;
	}
	do {
		n = state.socket
			    ? send(state.fd, line->text, line->len, MSG_DONTWAIT | MSG_NOSIGNAL)
			    : write(state.fd, line->text, line->len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)line->len;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t n)
{
	struct line line;
	int saved = errno;

	if (!log_enabled(level)) {
		return;
	}
	atomic_fetch_add_explicit(&state.messages[level], 1, memory_order_relaxed);
	compose(&line, level, message, fields, n);
	if (!deliver(&line)) {
		atomic_fetch_add_explicit(&state.dropped, 1, memory_order_relaxed);
	}
	errno = saved;
}

/* Whether `stat` is what systemd says that it connected to the journal. */
static bool is_journal(const struct stat *stat)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char text[48];

	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)stat->st_dev,
		 (unsigned long long)stat->st_ino);
	return stream && strcmp(stream, text) == 0;
}

/*
 * A terminal of our own that does not wait: one whose output is stopped has
 * room for some bytes, not for a line. Setting O_NONBLOCK on `fd` itself would
 * change it for everyone who shares it. -1 where it cannot be opened again.
 */
static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_init(enum log_level level, enum log_format format, int fd)
{
	struct stat stat;

	if (state.owned) {
		close(state.fd);
	}
	state.level = level;
	state.format = format;
	state.fd = fd;
	state.owned = state.socket = state.journal = false;
	if (fstat(fd, &stat) < 0) {
		state.fd = -1; /* closed: whatever takes its number later is not ours */
		return;
	}
	state.socket = S_ISSOCK(stat.st_mode);
	state.journal = is_journal(&stat);
	if (isatty(fd)) {
		int terminal = reopen(fd);

		if (terminal >= 0) {
			state.fd = terminal;
			state.owned = true;
		}
	}
}

bool log_enabled(enum log_level level)
{
	return level >= state.level;
}

uint64_t log_messages(enum log_level level)
{
	return atomic_load_explicit(&state.messages[level], memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&state.dropped, memory_order_relaxed);
}

/*
 * A bucket of `burst` tokens; `next_ns` is when the next one comes. The first use
 * finds it full.
 */
bool log_allowed(struct log_limit *limit, int64_t now_ns, uint64_t *ret_suppressed)
{
	int64_t tokens;

	if (limit->next_ns == 0) {
		limit->left = limit->burst;
		limit->next_ns = now_ns + limit->interval_ns;
	}
	if (now_ns >= limit->next_ns) {
		tokens = (now_ns - limit->next_ns) / limit->interval_ns + 1;
		limit->left = (unsigned)MIN(tokens + limit->left, MAX(limit->burst, 1));
		limit->next_ns += tokens * limit->interval_ns;
	}
	if (limit->left == 0) {
		limit->suppressed++;
		return false;
	}
	limit->left--;
	if (ret_suppressed) {
		*ret_suppressed = limit->suppressed;
	}
	limit->suppressed = 0;
	return true;
}

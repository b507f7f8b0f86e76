#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/utf8.h"

struct reader {
	int fds[2]; /* read, write */
	char text[PIPE_BUF + 1];
};

static int set_up(void **state)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	unsetenv("JOURNAL_STREAM");
	assert_int_equal(pipe2(reader->fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(reader->fds[0], F_SETFL, O_NONBLOCK), 0);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, reader->fds[1]);
	*state = reader;
	return 0;
}

static int tear_down(void **state)
{
	struct reader *reader = *state;

	close(reader->fds[0]);
	close(reader->fds[1]);
	free(reader);
	return 0;
}

/* What was written since the last call, without the time in front. */
static const char *line_of(struct reader *reader)
{
	ssize_t n = read(reader->fds[0], reader->text, sizeof(reader->text) - 1);
	char *space;

	reader->text[n > 0 ? n : 0] = '\0';
	space = strchr(reader->text, ' ');
	return space ? space + 1 : reader->text;
}

/* The same of JSON: without {"time":"...", */
static const char *json_of(struct reader *reader)
{
	line_of(reader);
	return strstr(reader->text, "\"level\"");
}

static void writes_logfmt(void **state)
{
	log_info("ready");
	assert_string_equal(line_of(*state), "level=INFO msg=ready\n");
	log_warn("gRPC server starting", LOG_STR("address", ":9876"), LOG_INT("limit", -100),
		 LOG_DURATION("grace", 1500000000), LOG_ERR(-EADDRINUSE));
	assert_string_equal(line_of(*state),
			    "level=WARN msg=\"gRPC server starting\" address=:9876 "
			    "limit=-100 grace=1.5s err=\"Address already in use\"\n");
}

static void quotes_where_it_must(void **state)
{
	log_info("m", LOG_STR("plain", "a/b:c@d[1]"), LOG_STR("empty", ""), LOG_STR("space", "a b"),
		 LOG_STR("equals", "a=b"), LOG_STR("quote", "say \"x\""), LOG_STR("back", "a\\b"),
		 LOG_STR("lines", "a\r\n\tb"), LOG_STR("none", NULL));
	assert_string_equal(line_of(*state),
			    "level=INFO msg=m plain=a/b:c@d[1] empty=\"\" space=\"a b\" "
			    "equals=\"a=b\" quote=\"say \\\"x\\\"\" back=\"a\\\\b\" "
			    "lines=\"a\\r\\n\\tb\" none=\"\"\n");
}

/* What a peer sent must not steer the terminal of whoever reads the log. */
static void escapes_what_terminals_obey(void **state)
{
	log_info("m", LOG_TEXT("a", STR("\x1b[2J\0\x7f")), LOG_STR("c1", "\xc2\x9b"),
		 LOG_STR("text", "caf\xc3\xa9"), LOG_STR("stray", "a\xff\xc3"));
	assert_string_equal(line_of(*state),
			    "level=INFO msg=m a=\"\\u001b[2J\\u0000\\u007f\" c1=\"\\u009b\" "
			    "text=\"caf\xc3\xa9\" stray=\"a\\xff\\xc3\"\n");
}

static void writes_json(void **state)
{
	struct reader *reader = *state;

	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, reader->fds[1]);
	log_debug("a \"b\"", LOG_STR("k", "\\ \n \x01 \x7f"), LOG_INT("n", INT64_MIN),
		  LOG_TEXT("stray", STR("x\xc0\xaf\xed\xa0\x80y")), LOG_DURATION("d", 250000));
	assert_string_equal(json_of(reader),
			    "\"level\":\"DEBUG\",\"msg\":\"a \\\"b\\\"\",\"k\":\"\\\\ \\n \\u0001 "
			    "\\u007f\",\"n\":-9223372036854775808,\"stray\":\"x\\ufffd\\ufffd"
			    "\\ufffd\\ufffd\\ufffdy\",\"d\":\"250us\"}\n");
	assert_true(reader->text[0] == '{');
}

static void the_time_is_utc_to_the_millisecond(void **state)
{
	struct reader *reader = *state;
	struct tm tm = { 0 };
	time_t before = time(NULL), written;
	int ms = -1, end = 0;

	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	log_info("now");
	unsetenv("TZ");
	tzset();
	line_of(reader);
	assert_int_equal(sscanf(reader->text, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ level%n",
				&tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
				&tm.tm_sec, &ms, &end),
			 7);
	assert_int_equal(end, strlen("time=2026-01-02T03:04:05.678Z level"));
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	written = timegm(&tm);
	assert_true(written >= before && written <= time(NULL));
}

static void levels_filter_and_count(void **state)
{
	struct reader *reader = *state;
	uint64_t infos = log_messages(LOG_LEVEL_INFO), warnings = log_messages(LOG_LEVEL_WARN);

	log_init(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT, reader->fds[1]);
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_ERROR));
	log_info("not this one");
	log_warn("this one");
	assert_string_equal(line_of(reader), "level=WARN msg=\"this one\"\n");
	assert_int_equal(log_messages(LOG_LEVEL_INFO), infos);
	assert_int_equal(log_messages(LOG_LEVEL_WARN), warnings + 1);
}

static void under_journald_it_gives_priorities_and_no_time(void **state)
{
	struct reader *reader = *state;
	struct stat stat;
	char stream[64];

	assert_int_equal(fstat(reader->fds[1], &stat), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)stat.st_dev,
		 (unsigned long long)stat.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT, reader->fds[1]);
	log_debug("d");
	log_info("i");
	log_warn("w");
	log_error("e");
	line_of(reader);
	assert_string_equal(reader->text, "<7>level=DEBUG msg=d\n<6>level=INFO msg=i\n"
					  "<4>level=WARN msg=w\n<3>level=ERROR msg=e\n");
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, reader->fds[1]);
	log_info("i");
	line_of(reader);
	assert_string_equal(reader->text, "<6>{\"level\":\"INFO\",\"msg\":\"i\"}\n");
	/* Inherited by a child whose stderr goes elsewhere, the variable means nothing. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT, reader->fds[1]);
	log_info("i");
	line_of(reader);
	assert_memory_equal(reader->text, "time=", 5);
}

/* Whatever does not fit is cut between characters, and the line still ends as it must. */
static void long_lines_are_cut(void **state)
{
	static char long_text[2 * PIPE_BUF];
	struct reader *reader = *state;

	for (size_t i = 0; i + 1 < sizeof(long_text); i += 2) {
		memcpy(long_text + i, "\xc3\xa9", 2);
	}
	for (size_t shift = 0; shift < 40; shift++) {
		struct str text = { long_text, PIPE_BUF - 80 - shift };

		for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
			size_t len;

			log_init(LOG_LEVEL_INFO, (enum log_format)format, reader->fds[1]);
			log_info("m", LOG_TEXT("odd", ((struct str){ "xxxxxxxx", shift % 8 })),
				 LOG_TEXT("long", text), LOG_STR("more", "\"\"\""),
				 LOG_INT("left", 1), LOG_TEXT("last", text));
			line_of(reader);
			len = strlen(reader->text);
			assert_true(len <= PIPE_BUF && len > PIPE_BUF - 120);
			assert_true(utf8_valid(str_from(reader->text)));
			assert_int_equal(reader->text[len - 1], '\n');
			assert_ptr_equal(strchr(reader->text, '\n'), reader->text + len - 1);
			if (format == LOG_FORMAT_JSON) {
				assert_int_equal(reader->text[len - 2], '}');
				assert_true(reader->text[len - 3] == '"' ||
					    reader->text[len - 3] == '1');
			}
		}
	}
	log_info("m", LOG_TEXT("long", ((struct str){ long_text, sizeof(long_text) - 2 })));
	assert_non_null(strstr(line_of(reader), "...\"}\n"));
}

static void a_full_pipe_does_not_block(void **state)
{
	struct reader *reader = *state;
	uint64_t dropped = log_dropped(), messages = log_messages(LOG_LEVEL_INFO);
	char bytes[4096] = { 0 };

	alarm(20);
	for (int i = 0; i < 5000; i++) {
		log_info("a line that fills the pipe in the end", LOG_INT("i", i));
	}
	alarm(0);
	assert_true(log_dropped() > dropped);
	assert_int_equal(log_messages(LOG_LEVEL_INFO), messages + 5000);
	while (read(reader->fds[0], bytes, sizeof(bytes)) > 0) {
	}
	dropped = log_dropped();
	log_info("room again");
	assert_string_equal(line_of(reader), "level=INFO msg=\"room again\"\n");
	assert_int_equal(log_dropped(), dropped);
}

static void a_full_socket_does_not_block(void **state)
{
	uint64_t dropped = log_dropped();
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, fds[1]);
	alarm(20);
	for (int i = 0; i < 20000; i++) {
		log_info("a line that fills the socket in the end", LOG_INT("i", i));
	}
	alarm(0);
	assert_true(log_dropped() > dropped);
	close(fds[0]);
	close(fds[1]);
}

/* Nobody reads the other side of this terminal. */
static void a_full_terminal_does_not_block(void **state)
{
	uint64_t dropped = log_dropped();
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
		skip();
	}
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, slave);
	alarm(20);
	for (int i = 0; i < 20000; i++) {
		log_info("a line that fills the terminal in the end", LOG_INT("i", i));
	}
	alarm(0);
	assert_true(log_dropped() > dropped);
	close(slave);
	close(master);
}

/* SIGPIPE is not ignored here: it would end the test. */
static void a_reader_that_has_gone_is_survived(void **state)
{
	struct reader *reader = *state;
	uint64_t dropped = log_dropped();
	int fds[2];

	close(reader->fds[0]);
	log_info("nobody hears this");
	assert_int_equal(log_dropped(), dropped + 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, fds[1]);
	close(fds[0]);
	log_info("nor this");
	assert_int_equal(log_dropped(), dropped + 2);
	close(fds[1]);
	reader->fds[0] = open("/dev/null", O_RDONLY);
}

/* Its number may be a client's socket by now. */
static void a_closed_descriptor_stays_closed(void **state)
{
	struct reader *reader = *state;
	uint64_t dropped = log_dropped();
	int closed = dup(reader->fds[1]);

	close(closed);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, closed);
	assert_int_equal(dup2(reader->fds[1], closed), closed);
	log_info("not for whoever has that number");
	assert_string_equal(line_of(reader), "");
	assert_int_equal(log_dropped(), dropped + 1);
	close(closed);
}

static void a_full_disk_is_counted(void **state)
{
	uint64_t dropped = log_dropped();
	int full = open("/dev/full", O_WRONLY);

	(void)state;
	if (full < 0) {
		skip();
	}
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, full);
	errno = 7;
	log_info("no room");
	assert_int_equal(errno, 7);
	assert_int_equal(log_dropped(), dropped + 1);
	close(full);
}

static void limits_what_a_peer_can_cause(void **state)
{
	struct log_limit limit = { .interval_ns = 1000, .burst = 3 };
	uint64_t suppressed = 99;
	int64_t now_ns = 5000;

	(void)state;
	assert_true(log_allowed(&limit, now_ns, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_true(log_allowed(&limit, now_ns, NULL));
	assert_true(log_allowed(&limit, now_ns, NULL));
	for (int i = 0; i < 10; i++) {
		assert_false(log_allowed(&limit, now_ns + i, &suppressed));
	}
	assert_true(log_allowed(&limit, now_ns + 1000, &suppressed));
	assert_int_equal(suppressed, 10);
	assert_false(log_allowed(&limit, now_ns + 1999, NULL));
	assert_true(log_allowed(&limit, now_ns + 2000, &suppressed));
	assert_int_equal(suppressed, 1);
	/* A quiet hour is worth a burst, not an hour of lines. */
	now_ns += 3600 * NS_PER_S;
	for (int i = 0; i < 3; i++) {
		assert_true(log_allowed(&limit, now_ns, NULL));
	}
	assert_false(log_allowed(&limit, now_ns, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_logfmt),
		TEST(quotes_where_it_must),
		TEST(escapes_what_terminals_obey),
		TEST(writes_json),
		TEST(the_time_is_utc_to_the_millisecond),
		TEST(levels_filter_and_count),
		TEST(under_journald_it_gives_priorities_and_no_time),
		TEST(long_lines_are_cut),
		TEST(a_full_pipe_does_not_block),
		TEST(a_full_socket_does_not_block),
		TEST(a_full_terminal_does_not_block),
		TEST(a_reader_that_has_gone_is_survived),
		TEST(a_closed_descriptor_stays_closed),
		TEST(a_full_disk_is_counted),
		TEST(limits_what_a_peer_can_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * A host for an engine under test, in memory: it offers again what was not
 * taken, produces when woken, keeps what came out, and owns the clock.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after those that it needs */
#include <cmocka.h>

#include "base/buffer.h"
#include "base/engine.h"
#include "base/timers.h"
#include "base/util.h"

struct host {
	struct engine *engine;
	struct timers timers;
	int64_t now_ns;
	struct buffer held; /* offered, not taken */
	struct buffer out;  /* produced since the last host_clear() */
	size_t room;        /* of each produce() */
	bool blocked;       /* the peer does not read: produce() gets no room */
	bool woken;
	int error; /* of receive() or produce() */
};

static inline int64_t host_clock(void *context)
{
	return *(int64_t *)context;
}

static inline void host_wake(void *user)
{
	((struct host *)user)->woken = true;
}

static inline void host_init(struct host *host)
{
	*host = (struct host){ .now_ns = 1000 * NS_PER_S, .room = 256 * KIB };
	timers_init(&host->timers, host_clock, &host->now_ns);
}

static inline void host_attach(struct host *host, struct engine *engine)
{
	host->engine = engine;
	engine->wake = host_wake;
	engine->host = host;
}

/* Produces until nothing more comes, offering what is held in between. */
static inline void host_flush(struct host *host)
{
	bool moved = true;

	while (moved && host->error == 0) {
		size_t before = buffer_len(&host->out);
		size_t room = host->blocked ? 0 : host->room;
		int more;

		moved = false;
		host->woken = false;
		more = host->engine->ops->produce(host->engine, &host->out, room);
		assert_true(buffer_len(&host->out) - before <= room);
		if (more < 0) {
			host->error = more;
		}
		moved |= buffer_len(&host->out) > before;
		if (more == 0 && buffer_len(&host->held) > 0) {
			ssize_t taken = host->engine->ops->receive(
				host->engine, buffer_data(&host->held), buffer_len(&host->held));

			if (taken < 0) {
				host->error = (int)taken;
			} else {
				assert_true((size_t)taken <= buffer_len(&host->held));
				buffer_consume(&host->held, (size_t)taken);
				moved |= taken > 0;
			}
		}
		moved |= host->woken;
	}
}

static inline void host_send(struct host *host, const void *bytes, size_t n)
{
	ssize_t taken = 0;

	if (host->error < 0) {
		return;
	}
	if (buffer_len(&host->held) == 0) {
		taken = host->engine->ops->receive(host->engine, bytes, n);
	}
	if (taken < 0) {
		host->error = (int)taken;
	} else if ((size_t)taken < n) {
		buffer_append(&host->held, (const uint8_t *)bytes + taken, n - (size_t)taken);
	}
	host_flush(host);
}

static inline void host_sends(struct host *host, const char *text)
{
	host_send(host, text, strlen(text));
}

/* Lets time pass, fires what is due, and produces if that woke the host. */
static inline void host_sleep(struct host *host, int64_t ns)
{
	host->now_ns += ns;
	timers_run(&host->timers);
	if (host->woken) {
		host_flush(host);
	}
}

static inline bool host_finished(const struct host *host)
{
	return host->engine->ops->finished(host->engine);
}

/* What was produced, as text; valid until the next call that produces. */
static inline const char *host_text(struct host *host)
{
	uint8_t *end = buffer_reserve(&host->out, 1);

	assert_non_null(end);
	*end = '\0';
	return (const char *)buffer_data(&host->out);
}

static inline void host_clear(struct host *host)
{
	buffer_clear(&host->out);
}

/* The transport is gone. */
static inline void host_deinit(struct host *host)
{
	if (host->engine) {
		host->engine->ops->release(host->engine, 0);
		host->engine = NULL;
	}
	buffer_free(&host->held);
	buffer_free(&host->out);
	assert_int_equal(timers_next_ns(&host->timers), -1);
}

static inline size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

/* How many responses there are in `text`: for bodies that hold no status line. */
static inline size_t responses_in(const char *text)
{
	return count_of(text, "HTTP/1.1 ");
}

static inline int status_of(const char *text)
{
	assert_memory_equal(text, "HTTP/1.1 ", 9);
	return atoi(text + 9);
}

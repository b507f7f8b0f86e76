/*
 * An engine that does as it is told: echo, say much, stall, finish, fail, take
 * part of its input. It asserts what base/engine.h promises it: never
 * re-entered, released once, no input after its end.
 *
 * It lives in the test's memory, so that what it counted can be read after the
 * connection is gone.
 */
#pragma once

#include "base/buffer.h"
#include "base/engine.h"
#include "harness.h"

#define FAKE_FRAME (16 * KIB)

struct fake {
	struct engine engine; /* first */

	/* What to do. */
	size_t take;      /* at most, of each receive() */
	bool echo;        /* what it takes, it says */
	bool endless;     /* says the pattern for ever */
	bool done;        /* finished once all is said */
	bool done_at_eof; /* the peer's FIN makes it done */
	int receive_error, produce_error;
	void (*hook)(struct fake *fake, const char *where); /* runs inside each of its functions */
	void *user;

	/* What happened. */
	struct buffer output; /* not produced yet */
	size_t received, produced;
	unsigned receives, produces, produces_without_room, ends, drains, releases;
	enum engine_drain drained_how;
	int release_err;
	bool inside;
};

static inline void fake_enter(struct fake *fake, const char *where)
{
	assert_false(fake->inside);
	assert_int_equal(fake->releases, 0);
	fake->inside = true;
	if (fake->hook) {
		fake->hook(fake, where);
	}
}

static inline struct fake *fake_of(struct engine *engine)
{
	return container_of(engine, struct fake, engine);
}

static inline ssize_t fake_receive(struct engine *engine, const uint8_t *bytes, size_t n)
{
	struct fake *fake = fake_of(engine);

	assert_int_equal(fake->ends, 0);
	assert_true(n > 0);
	fake_enter(fake, "receive");
	fake->receives++;
	n = MIN(n, fake->take);
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != pattern(fake->received + i)) {
			fail_msg("byte %zu was not sent so", fake->received + i);
		}
	}
	fake->inside = false;
	if (fake->receive_error) {
		return fake->receive_error;
	}
	if (fake->echo && buffer_append(&fake->output, bytes, n) < 0) {
		return -ENOMEM;
	}
	fake->received += n;
	return (ssize_t)n;
}

static inline void fake_end_of_input(struct engine *engine)
{
	struct fake *fake = fake_of(engine);

	fake_enter(fake, "end_of_input");
	fake->ends++;
	fake->done |= fake->done_at_eof;
	fake->inside = false;
}

static inline int fake_say(struct fake *fake, struct buffer *out, size_t room)
{
	while (room > 0 && fake->endless) {
		uint8_t *bytes = buffer_reserve(out, FAKE_FRAME);

		if (!bytes) {
			return -ENOMEM;
		}
		fill_pattern(bytes, FAKE_FRAME, fake->produced);
		buffer_commit(out, FAKE_FRAME);
		fake->produced += FAKE_FRAME;
		room -= MIN(room, FAKE_FRAME);
	}
	if (room > 0 && buffer_len(&fake->output) > 0) {
		size_t n = MIN(room, buffer_len(&fake->output));

		if (buffer_append(out, buffer_data(&fake->output), n) < 0) {
			return -ENOMEM;
		}
		buffer_consume(&fake->output, n);
		fake->produced += n;
	}
	return fake->endless || buffer_len(&fake->output) > 0;
}

static inline int fake_produce(struct engine *engine, struct buffer *out, size_t room)
{
	struct fake *fake = fake_of(engine);
	int rv;

	fake_enter(fake, "produce");
	assert_int_equal(buffer_len(out), 0);
	fake->produces++;
	if (room == 0) {
		fake->produces_without_room++;
	}
	rv = fake_say(fake, out, room);
	fake->inside = false;
	return fake->produce_error ? fake->produce_error : rv;
}

static inline bool fake_finished(const struct engine *engine)
{
	const struct fake *fake = (const void *)engine; /* its first member */

	assert_false(fake->inside);
	return fake->done && !fake->endless && buffer_len(&fake->output) == 0;
}

static inline void fake_drain(struct engine *engine, enum engine_drain how)
{
	struct fake *fake = fake_of(engine);

	fake_enter(fake, "drain");
	fake->drains++;
	fake->drained_how = how;
	fake->inside = false;
}

static inline void fake_release(struct engine *engine, int err)
{
	struct fake *fake = fake_of(engine);

	fake_enter(fake, "release");
	/* Whatever a call's last upcall does, nobody listens any more. */
	engine_wake(engine);
	fake->releases++;
	fake->release_err = err;
	buffer_free(&fake->output);
	fake->inside = false;
}

static inline void fake_init(struct fake *fake)
{
	static const struct engine_ops ops = {
		.receive = fake_receive,
		.end_of_input = fake_end_of_input,
		.produce = fake_produce,
		.finished = fake_finished,
		.drain = fake_drain,
		.release = fake_release,
	};

	*fake = (struct fake){ .engine.ops = &ops, .take = SIZE_MAX };
}

/* Queues `n` bytes of the pattern, following what was queued before. */
static inline void fake_speak(struct fake *fake, size_t n)
{
	uint8_t *bytes = buffer_reserve(&fake->output, n);

	assert_non_null(bytes);
	fill_pattern(bytes, n, fake->produced + buffer_len(&fake->output));
	buffer_commit(&fake->output, n);
}

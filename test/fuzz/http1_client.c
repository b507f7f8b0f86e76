/*
 * Bytes into an HTTP/1.1 client. An input is a byte of choices and the bytes of the
 * connection. It runs twice, as it is and in pieces of one to eight bytes: both must
 * tell the same, once, and within the limits.
 */
#include "http1/client.h"

#include <string.h>

#include "fuzz.h"

enum choice {
	SMALL_LIMITS = 1, /* so that short inputs reach them */
	END = 2,          /* of the connection, behind the bytes */
	LATE = 4,         /* the time is over, behind the bytes */
	LOST = 8,         /* else it is released as a connection that broke */
};

struct told {
	int n, status;
	char why[HTTP1_CLIENT_WHY_BYTES];
	struct buffer body;
};

struct run {
	int64_t now_ns;
	struct timers timers;
	struct http1_client_limits limits;
	struct told told;
};

static int64_t clock_of(void *context)
{
	return ((struct run *)context)->now_ns;
}

static void on_done(void *user, const struct http1_answer *answer)
{
	struct run *run = user;

	MUST(++run->told.n == 1);
	snprintf(run->told.why, sizeof(run->told.why), "%s", answer->why ? answer->why : "");
	if (answer->why) {
		MUST(answer->why[0] != '\0');
		return;
	}
	run->told.status = answer->status;
	MUST(answer->status >= 100 && answer->status <= 999 && answer->status / 100 != 1);
	MUST(answer->body.len <= run->limits.max_body_bytes);
	MUST(buffer_append(&run->told.body, answer->body.data, answer->body.len) == 0);
}

static const struct http1_client_events events = { .done = on_done };

/* In memory of its own, so that a sanitizer sees each step beyond a piece. */
static void receive(struct engine *engine, const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n);

	MUST(copy);
	memcpy(copy, bytes, n);
	MUST(engine->ops->receive(engine, copy, n) == (ssize_t)n);
	free(copy);
}

static void exchange(struct run *run, uint8_t choices, const uint8_t *bytes, size_t size,
		     size_t piece)
{
	const struct http1_client_request request = { .host = STR_INIT("h"),
						      .target = STR_INIT("/") };
	struct buffer out = BUFFER_INIT;
	struct engine *engine;

	*run = (struct run){ .now_ns = NS_PER_S,
			     .limits = { .max_head_bytes = choices & SMALL_LIMITS ? 40 : 8 * KIB,
					 .max_body_bytes = choices & SMALL_LIMITS ? 20 : 8 * KIB,
					 .head_timeout_ns = NS_PER_S,
					 .timeout_ns = 2 * NS_PER_S } };
	timers_init(&run->timers, clock_of, run);
	engine = http1_client_new(&run->limits, &request, &events, run, &run->timers);
	MUST(engine && engine->ops->produce(engine, &out, 64 * KIB) == 0);
	for (size_t at = 0; at < size; at += piece) {
		receive(engine, bytes + at, MIN(piece, size - at));
	}
	if (choices & END) {
		engine->ops->end_of_input(engine);
		MUST(run->told.n == 1);
	}
	if (choices & LATE) {
		run->now_ns += 3 * NS_PER_S;
		timers_run(&run->timers);
		MUST(run->told.n == 1);
	}
	MUST(engine->ops->finished(engine) == (run->told.n == 1));
	engine->ops->release(engine, choices & LOST ? -1 : 0);
	MUST(run->told.n == 1 && timers_next_ns(&run->timers) == -1);
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t choices = size > 0 ? data[0] : 0;
	size_t n = size > 0 ? size - 1 : 0;
	struct run whole, pieces;

	exchange(&whole, choices, data + (size > 0), n, MAX(n, 1));
	exchange(&pieces, choices, data + (size > 0), n, 1 + (choices >> 5));
	MUST(whole.told.status == pieces.told.status);
	MUST(strcmp(whole.told.why, pieces.told.why) == 0);
	MUST(buffer_len(&whole.told.body) == buffer_len(&pieces.told.body));
	MUST(buffer_len(&whole.told.body) == 0 ||
	     memcmp(buffer_data(&whole.told.body), buffer_data(&pieces.told.body),
		    buffer_len(&whole.told.body)) == 0);
	buffer_free(&whole.told.body);
	buffer_free(&pieces.told.body);
	return 0;
}

#include "host.h"

#include <errno.h>
#include <string.h>

#include "heap.h"

/* As connection_default_limits. */
#define OUTPUT_SOFT_MAX (256 * KIB)
/* The most that produce() adds beyond its room: a header block of nghttp2's largest. */
#define LARGEST_PRODUCT (80 * KIB)
/* A read of the loop. */
#define READ_BYTES (64 * KIB)

/* Turns of one step after which it goes in circles. */
#define MAX_TURNS 20000

static int64_t clock_of(void *context)
{
	return ((struct host *)context)->now_ns;
}

static void on_wake(void *context)
{
	((struct host *)context)->wakes++;
}

void host_init(struct host *host)
{
	*host = (struct host){ .now_ns = NS_PER_S, .room = SIZE_MAX };
	timers_init(&host->timers, clock_of, host);
}

void host_adopt(struct host *host, struct engine *engine)
{
	MUST(!host->engine && engine);
	host->engine = engine;
	engine->host = host;
	engine->wake = on_wake;
	host->eof = host->failed = false;
}

void host_release(struct host *host, int err)
{
	struct engine *engine = host->engine;

	host->engine = NULL;
	buffer_free(&host->in);
	buffer_free(&host->out);
	if (engine) {
		engine->wake = NULL;
		engine->ops->release(engine, err);
	}
}

/* What the socket takes of what was produced. True: something. */
static bool drain_output(struct host *host)
{
	size_t n = MIN(buffer_len(&host->out), host->room);

	if (n == 0) {
		return false;
	}
	buffer_consume(&host->out, n);
	if (host->room < SIZE_MAX) {
		host->room -= n;
	}
	return true;
}

/* True: there was something to say, or there is more. */
static bool produce(struct host *host)
{
	struct buffer said = BUFFER_INIT;
	size_t queued = buffer_len(&host->out), n;
	size_t room = queued < OUTPUT_SOFT_MAX ? OUTPUT_SOFT_MAX - queued : 0;
	uint64_t fail_at;
	int rv;

	host->wakes = 0;
	rv = host->engine->ops->produce(host->engine, &said, room);
	n = buffer_len(&said);
	MUST(n <= room + LARGEST_PRODUCT); /* without room: a last word, perhaps */
	MUST(rv <= 0 || n >= room);
	fail_at = heap_spare();
	MUST(buffer_append(&host->out, buffer_bytes(&said).data, n) == 0);
	heap_spare_end(fail_at);
	buffer_free(&said);
	host->produced += n;
	host->failed |= rv < 0;
	return n > 0 || host->wakes > 0;
}

static uint64_t work_of(const struct host *host)
{
	return host->work + (host->begun ? counter_read(host->begun) : 0);
}

/* One read, in memory of its own, so that a sanitizer sees each step beyond it. */
static bool read_some(struct host *host)
{
	size_t n = MIN(buffer_len(&host->in), host->piece > 0 ? host->piece : READ_BYTES);
	uint64_t allocations = heap.allocations, work = work_of(host), fail_at;
	uint8_t *copy;
	ssize_t taken;

	if (n == 0 || host->failed || buffer_len(&host->out) >= OUTPUT_SOFT_MAX) {
		return false;
	}
	fail_at = heap_spare();
	copy = malloc(n);
	heap_spare_end(fail_at);
	MUST(copy);
	memcpy(copy, buffer_data(&host->in), n);
	taken = host->engine->ops->receive(host->engine, copy, n);
	free(copy);
	/* what a byte can make us do is bounded */
	MUST(heap.allocations - allocations <= 300 + 16 * n + 16 * (work_of(host) - work));
	MUST(taken <= (ssize_t)n);
	if (taken < 0) {
		host->failed = true;
		return true;
	}
	host->taken += (size_t)taken;
	buffer_consume(&host->in, (size_t)taken);
	return taken > 0;
}

static bool done_for(const struct host *host)
{
	return host->failed || host->engine->ops->finished(host->engine);
}

void host_settle(struct host *host)
{
	size_t most = MAX_TURNS + buffer_len(&host->in); /* reads may be of a byte each */
	bool moved = true;

	for (size_t turn = 0; moved && host->engine; turn++) {
		MUST(turn < most);
		moved = produce(host);
		moved |= drain_output(host);
		if (done_for(host)) {
			host_release(host, host->failed ? -EPROTO : 0);
			break;
		}
		moved |= read_some(host);
		if (host->engine && buffer_len(&host->in) == 0 && host->eof) {
			host->engine->ops->end_of_input(host->engine);
			host->eof = false;
			moved = true;
		}
	}
	host->steps++;
	if (host->settled) {
		host->settled(host);
	}
}

void host_advance(struct host *host, int64_t ns)
{
	host->now_ns += ns;
	for (unsigned turn = 0; timers_next_ns(&host->timers) == 0; turn++) {
		MUST(turn < MAX_TURNS);
		timers_run(&host->timers);
		host_settle(host);
	}
	host_settle(host);
}

static void arrive(struct host *host, struct bytes bytes)
{
	if (host->engine && !host->failed) {
		uint64_t fail_at = heap_spare();

		MUST(buffer_append(&host->in, bytes.data, bytes.len) == 0);
		heap_spare_end(fail_at);
	}
}

static void step_aside(struct host *host, enum aside what, uint32_t argument, struct bytes payload)
{
	switch (what) {
	case ASIDE_ADVANCE:
		host_advance(host, argument * NS_PER_MS);
		return;
	case ASIDE_ROOM:
		host->room = argument == UINT32_MAX >> 1 ? SIZE_MAX : argument;
		break;
	case ASIDE_PIECE:
		host->piece = argument;
		break;
	case ASIDE_EOF:
		host->eof = host->engine != NULL;
		break;
	case ASIDE_DRAIN:
		if (host->engine) {
			host->engine->ops->drain(host->engine, argument ? ENGINE_DRAIN_NOW
									: ENGINE_DRAIN_GRACEFUL);
		}
		break;
	case ASIDE_RAW:
		arrive(host, payload);
		break;
	case ASIDE_NO_MEMORY:
		heap.fail_at = heap.allocations + 1 + (argument & 0xff);
		heap.n_fail = 1 + (argument >> 8 & 0xff);
		break;
	default:
		host->aside(host, what, argument, payload);
	}
	host_settle(host);
	heap.fail_at = 0;
}

/* The next frame with its header; the rest, where that is no whole one. */
static struct bytes next_frame(struct input *input)
{
	size_t length = input_left(input);

	if (length >= FRAME_HEADER_BYTES) {
		length = (size_t)input->at[0] << 16 | (size_t)input->at[1] << 8 | input->at[2];
		length += FRAME_HEADER_BYTES;
	}
	return input_take(input, length);
}

void host_run(struct host *host, struct input *input)
{
	if (input_left(input) >= PREFACE_BYTES && memcmp(input->at, "PRI * ", 6) == 0) {
		arrive(host, input_take(input, PREFACE_BYTES));
	}
	while (input_left(input) > 0) {
		struct bytes frame = next_frame(input);
		uint32_t argument;

		if (frame.len < FRAME_HEADER_BYTES || frame.data[3] != ASIDE) {
			arrive(host, frame);
			continue;
		}
		argument = (uint32_t)(frame.data[5] & 0x7f) << 24 | (uint32_t)frame.data[6] << 16 |
			   (uint32_t)frame.data[7] << 8 | frame.data[8];
		host_settle(host);
		step_aside(host, frame.data[4] % ASIDE_COUNT, argument,
			   (struct bytes){ frame.data + FRAME_HEADER_BYTES,
					   frame.len - FRAME_HEADER_BYTES });
	}
	host_settle(host);
}

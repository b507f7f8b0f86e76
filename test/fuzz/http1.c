/*
 * Bytes into an HTTP/1.1 server. An input is a byte of choices and the bytes of
 * the connection, in which 0xff begins an aside to the harness: what happens
 * between two reads. It runs twice, as it is and in pieces of one to eight
 * bytes: both must say the same, but for time.
 */
#include "http1/server.h"

#include <string.h>

#include "base/timers.h"
#include "fuzz.h"
#include "heap.h"

enum choice {
	ANSWER_LATE = 1,   /* the handler waits for the next aside */
	SMALL_LIMITS = 2,  /* so that short inputs reach them */
	CLOSE_EACH = 4,    /* the handler asks for the end of the connection */
	NO_ROOM = 8,       /* the host takes a byte at a time */
	LARGE_ANSWER = 16, /* more than one write */
};

enum aside { ADVANCE, END_OF_INPUT, DRAIN, DRAIN_NOW, PRODUCE, ASIDE_COUNT };

struct run {
	uint8_t choices;
	size_t piece; /* 0: as large as it comes */
	int64_t now_ns;
	struct timers timers;
	struct engine *engine;
	struct http1_server *waits; /* its handler has not answered yet */
	struct http1_later later;   /* by which it will, each other time */
	char body[64];              /* of the request */
	size_t body_len;
	struct buffer out;
	struct bytes kept; /* of the input: offered and not taken */
	struct http1_server_limits limits;
	unsigned n_requests, n_answered, n_responded, n_closed;
	size_t received;
	bool failed;
};

static int64_t clock_of(void *context)
{
	return ((struct run *)context)->now_ns;
}

/* The handler said that its response comes later. */
static bool put_off(const struct run *run)
{
	return run->choices & ANSWER_LATE && run->n_requests % 2 == 0;
}

static void answer(struct run *run)
{
	struct http1_response response = { .status = 200, .content_type = "text/plain" };
	size_t n = run->choices & LARGE_ANSWER ? 5000 : 6;
	uint8_t *body = buffer_reserve(&response.body, n + run->body_len);
	struct http1_server *server = run->waits;

	MUST(body && server);
	memset(body, 'a', n);
	memcpy(body + n, run->body, run->body_len);
	buffer_commit(&response.body, n + run->body_len);
	response.close = run->choices & CLOSE_EACH;
	run->waits = NULL;
	run->n_answered++;
	if (put_off(run)) {
		http1_later_respond(&run->later, &response);
	} else {
		http1_server_respond(server, &response);
	}
	MUST(response.body.memory == NULL);
}

static bool printable(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t') {
			return false;
		}
	}
	return true;
}

static void on_request(void *user, struct http1_server *server, const struct http1_request *request)
{
	struct run *run = user;
	size_t n_hosts = 0;

	MUST(!run->waits && run->n_closed == 0);
	run->n_requests++;
	run->waits = server;
	MUST(request->method.len > 0 && request->target.len > 0);
	MUST(printable(request->target) && !memchr(request->target.data, ' ', request->target.len));
	MUST(request->path.len + request->query.len <= request->target.len);
	for (size_t i = 0; i < request->n_headers; i++) {
		const struct http1_header *header = &request->headers[i];

		MUST(header->name.len > 0 && printable(header->name) && printable(header->value));
		MUST(!memchr(header->name.data, ' ', header->name.len));
		n_hosts += str_equal_nocase(header->name, STR("host"));
	}
	MUST(n_hosts <= 1);
	MUST(request->body.len <= run->limits.keep_body_bytes);
	run->body_len = request->body.len;
	memcpy(run->body, request->body.len > 0 ? request->body.data : "", request->body.len);
	if (put_off(run)) {
		struct http1_response response = { .later = &run->later };

		http1_server_respond(server, &response);
	} else if (!(run->choices & ANSWER_LATE)) {
		answer(run);
	}
}

static void on_responded(void *user, int status)
{
	struct run *run = user;

	MUST(status >= 200 && status < 600);
	run->n_responded++;
}

static void on_closed(void *user)
{
	struct run *run = user;

	run->n_closed++;
	run->waits = NULL;
	MUST(!run->later.server);
}

static const struct http1_server_events events = { on_request, on_responded, on_closed };

static void produce(struct run *run)
{
	for (unsigned i = 0;; i++) {
		size_t before = buffer_len(&run->out);
		int rv = run->engine->ops->produce(run->engine, &run->out,
						   run->choices & NO_ROOM ? 1 : 64 * KIB);

		MUST(buffer_len(&run->out) - before <= (run->choices & NO_ROOM ? 1 : 64 * KIB));
		MUST(i < 100000);
		run->failed |= rv < 0 || run->engine->ops->finished(run->engine);
		if (rv <= 0) {
			return;
		}
	}
}

/* In memory of its own, so that a sanitizer sees each step beyond a piece. */
static ssize_t offer(struct run *run)
{
	uint8_t *copy = malloc(run->kept.len);
	ssize_t taken;

	MUST(copy);
	memcpy(copy, run->kept.data, run->kept.len);
	taken = run->engine->ops->receive(run->engine, copy, run->kept.len);
	free(copy);
	return taken;
}

/* Offers what there is until the engine waits for something else than room. */
static void receive(struct run *run)
{
	while (run->kept.len > 0 && !run->failed) {
		ssize_t taken = offer(run);

		MUST(taken <= (ssize_t)run->kept.len);
		run->failed |= taken < 0;
		produce(run);
		if (taken <= 0) {
			return;
		}
		run->received += (size_t)taken;
		run->kept.data += taken;
		run->kept.len -= (size_t)taken;
	}
}

/* `n` bytes of input arrive, behind those that were not taken. */
static void arrive(struct run *run, size_t n)
{
	while (n > 0) {
		size_t piece = run->piece ? MIN(run->piece, n) : n;

		run->kept.len += piece;
		n -= piece;
		receive(run);
	}
}

static void settle(struct run *run)
{
	if (run->waits) {
		answer(run);
	}
	produce(run);
	receive(run);
}

static void step_aside(struct run *run, uint8_t what, uint8_t argument)
{
	switch (what % ASIDE_COUNT) {
	case ADVANCE:
		run->now_ns += argument * (int64_t)argument * NS_PER_MS;
		timers_run(&run->timers);
		break;
	case END_OF_INPUT:
		if (run->kept.len == 0) {
			run->engine->ops->end_of_input(run->engine);
		}
		break;
	case DRAIN:
	case DRAIN_NOW:
		run->engine->ops->drain(run->engine, what % ASIDE_COUNT == DRAIN
							     ? ENGINE_DRAIN_GRACEFUL
							     : ENGINE_DRAIN_NOW);
		break;
	default:
		break;
	}
	settle(run);
}

static void run_init(struct run *run, uint8_t choices, size_t piece)
{
	*run = (struct run){ .choices = choices,
			     .piece = piece,
			     .now_ns = NS_PER_S,
			     .limits = HTTP1_SERVER_DEFAULT_LIMITS };
	run->limits.keep_body_bytes = sizeof(run->body);
	if (choices & SMALL_LIMITS) {
		run->limits.max_header_bytes = 128;
		run->limits.max_headers = 4;
		run->limits.max_body_bytes = 32;
		run->limits.keep_body_bytes = 8;
	}
	timers_init(&run->timers, clock_of, run);
	run->engine = http1_server_new(&run->limits, &events, run, &run->timers);
	MUST(run->engine);
}

/* As far as it goes. */
static bool agrees(struct str text, struct str with)
{
	return str_has_prefix(with, (struct str){ text.data, MIN(text.len, with.len) });
}

/* Without the words that a body may come, and whatever there is of one. */
static struct str skip_interim(struct str rest)
{
	static const struct str interim = STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");

	while (rest.len > 10 && agrees(rest, interim)) {
		size_t n = MIN(rest.len, interim.len);

		rest.data += n;
		rest.len -= n;
	}
	return rest;
}

/* The status lines and framing of all that came out: true if they are responses. */
static void check_output(const struct run *run)
{
	struct str rest = input_text(buffer_bytes(&run->out));
	unsigned n = 0;

	while ((rest = skip_interim(rest)).len > 0 && n < run->n_responded) {
		const char *end, *length;

		MUST(rest.data);
		end = memmem(rest.data, rest.len, "\r\n\r\n", 4);
		if (!end) {
			return; /* cut short by a timer or a drain */
		}
		MUST(memcmp(rest.data, "HTTP/1.1 ", 9) == 0 && rest.data[9] != '1');
		length = memmem(rest.data, (size_t)(end - rest.data), "Content-Length: ", 16);
		MUST(length);
		rest.len -= (size_t)(end + 4 - rest.data);
		rest.data = end + 4;
		if (!agrees(rest, STR("HTTP/1.1 "))) { /* not HEAD's */
			size_t body = MIN((size_t)atol(length + 16), rest.len);

			rest.data += body;
			rest.len -= body;
		}
		n++;
	}
	MUST(skip_interim(rest).len <= 10); /* of one that was cut short */
}

static void run_input(struct run *run, struct input input)
{
	while (input_left(&input) > 0 && !run->failed) {
		const uint8_t *mark = memchr(input.at, 0xff, input_left(&input));
		size_t n = mark ? (size_t)(mark - input.at) : input_left(&input);

		if (run->kept.len == 0) {
			run->kept.data = input.at;
		} else if (run->kept.data + run->kept.len != input.at) {
			break; /* the host would not read on: what follows is not contiguous */
		}
		input_take(&input, n);
		arrive(run, n);
		if (mark) {
			uint8_t what;

			input_byte(&input);
			what = input_byte(&input);
			step_aside(run, what, input_byte(&input));
		}
	}
	if (!run->failed) {
		settle(run);
	}
}

static void run_end(struct run *run)
{
	check_output(run);
	MUST(run->n_responded >= run->n_answered || run->failed);
	MUST(run->n_requests >= run->n_answered);
	run->engine->ops->release(run->engine, 0);
	MUST(run->n_closed == 1);
	MUST(timers_next_ns(&run->timers) == -1);
}

static struct buffer without_dates(struct run *run)
{
	struct str rest = input_text(buffer_bytes(&run->out));
	struct buffer text = BUFFER_INIT;
	const char *at;

	while (rest.len > 0 && (at = memmem(rest.data, rest.len, "\r\nDate: ", 8)) != NULL) {
		const char *end = memchr(at + 2, '\r', rest.len - (size_t)(at + 2 - rest.data));

		MUST(buffer_append(&text, rest.data, (size_t)(at - rest.data)) == 0);
		if (!end) {
			rest.len = 0;
			break;
		}
		rest.len -= (size_t)(end - rest.data);
		rest.data = end;
	}
	MUST(buffer_append(&text, rest.data, rest.len) == 0);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	uint8_t choices = input_byte(&input);
	struct run whole, cut;
	struct buffer said, said_in_pieces;
	uint64_t allocations = heap.allocations;

	run_init(&whole, choices, 0);
	run_input(&whole, input);
	/* work and memory that input can cause are in proportion to it */
	MUST(heap.allocations - allocations <= 64 + 2 * size);
	run_end(&whole);
	run_init(&cut, choices, 1 + (choices >> 5));
	run_input(&cut, input);
	run_end(&cut);
	said = without_dates(&whole);
	said_in_pieces = without_dates(&cut);
	MUST(whole.n_requests == cut.n_requests && whole.n_responded == cut.n_responded);
	MUST(buffer_len(&said) == buffer_len(&said_in_pieces));
	MUST(buffer_len(&said) == 0 ||
	     memcmp(buffer_data(&said), buffer_data(&said_in_pieces), buffer_len(&said)) == 0);
	buffer_free(&said);
	buffer_free(&said_in_pieces);
	buffer_free(&whole.out);
	buffer_free(&cut.out);
	return 0;
}

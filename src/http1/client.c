/*
 *            blank line           end of body
 *   HEAD --------------> BODY ----------------> DONE
 *    | ^  |                                      ^
 *    | '--' 1xx                                  |
 *    '-------------------------------------------' no body; too late, too large, lost
 *
 * The request waits in `request` until the host has room for it; the answer may
 * begin before all of it has left.
 */
#include "http1/client.h"

#include <assert.h>
#include <errno.h>
#include <llhttp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum state { HEAD, BODY, DONE };

/* Of names and values that matter here; more of either tells that it is another. */
#define FIELD_BYTES 32

struct field_text {
	char bytes[FIELD_BYTES];
	size_t len; /* may be more than there is room for */
};

struct http1_client {
	struct engine engine;
	struct http1_client_limits limits;
	const struct http1_client_events *events;
	void *user;
	struct timers *timers;
	struct timer timer; /* of the head, then of the whole */
	int64_t began_ns;
	enum state state;
	bool complete; /* the parser saw the end of the answer */
	int error;     /* of this end, for the host */
	size_t head_bytes, body_bytes;
	struct field_text name, value;
	llhttp_t parser;
	struct buffer request, body;
	char why[HTTP1_CLIENT_WHY_BYTES]; /* "": nothing is wrong */
};

static struct http1_client *client_from_engine(struct engine *engine)
{
	return container_of(engine, struct http1_client, engine);
}

static struct http1_client *client_of(llhttp_t *parser)
{
	return container_of(parser, struct http1_client, parser);
}

/* The one end of the exchange: tells it, and wants nothing more. */
static void finish(struct http1_client *client)
{
	struct http1_answer answer = { .why = client->why[0] ? client->why : NULL };

	if (client->state == DONE) {
		return;
	}
	client->state = DONE;
	timer_stop(client->timers, &client->timer);
	if (!answer.why) {
		answer.status = client->parser.status_code;
		answer.body = buffer_bytes(&client->body);
	}
	client->events->done(client->user, &answer);
	buffer_free(&client->request);
	buffer_free(&client->body);
	engine_wake(&client->engine);
}

/* The first thing that goes wrong is the one that is told. */
__attribute__((format(printf, 2, 3))) static void set_why(struct http1_client *client,
							  const char *format, ...)
{
	va_list arguments;

	if (client->why[0]) {
		return;
	}
	va_start(arguments, format);
	vsnprintf(client->why, sizeof(client->why), format, arguments);
	va_end(arguments);
}

static void on_timer(struct timer *timer)
{
	struct http1_client *client = container_of(timer, struct http1_client, timer);

	set_why(client, client->state == HEAD ? "no answer in time" : "the answer takes too long");
	finish(client);
}

/* -- What the parser finds -- */

static void append(struct field_text *text, const char *bytes, size_t n)
{
	if (text->len < FIELD_BYTES) {
		memcpy(text->bytes + text->len, bytes, MIN(n, FIELD_BYTES - text->len));
	}
	text->len += n;
}

static bool is(const struct field_text *text, const char *what)
{
	return text->len <= FIELD_BYTES &&
	       str_equal_nocase(str_trim((struct str){ text->bytes, text->len }), str_from(what));
}

static int on_field(llhttp_t *parser, const char *bytes, size_t n)
{
	append(&client_of(parser)->name, bytes, n);
	return 0;
}

static int on_value(llhttp_t *parser, const char *bytes, size_t n)
{
	append(&client_of(parser)->value, bytes, n);
	return 0;
}

/* A body that is not as it was asked for has no use here. */
static int on_value_complete(llhttp_t *parser)
{
	struct http1_client *client = client_of(parser);
	bool head = client->state == HEAD;

	if (head && is(&client->name, "Content-Encoding") && client->value.len > 0 &&
	    !is(&client->value, "identity")) {
		set_why(client, "the answer has a Content-Encoding that was not asked for");
	} else if (head && is(&client->name, "Transfer-Encoding") &&
		   !is(&client->value, "chunked")) {
		set_why(client, "the answer has a Transfer-Encoding other than chunked");
	}
	client->name.len = client->value.len = 0;
	return client->why[0] ? HPE_USER : 0;
}

static bool is_informational(const llhttp_t *parser)
{
	return parser->status_code >= 100 && parser->status_code < 200;
}

/*
 * The parser stops here, so that what is of the head and what of the body is known to
 * the byte.
 */
static int on_headers_complete(llhttp_t *parser)
{
	struct http1_client *client = client_of(parser);

	if (parser->http_major != 1) {
		set_why(client, "the answer is not HTTP/1.1");
		return -1;
	}
	if (parser->status_code == 101 || parser->status_code < 100 || parser->upgrade) {
		set_why(client, "the answer has status %d, to a GET that asked for no such thing",
			parser->status_code);
		return -1;
	}
	if (!is_informational(parser)) {
		client->state = BODY;
	}
	return 0;
}

static int on_body(llhttp_t *parser, const char *bytes, size_t n)
{
	struct http1_client *client = client_of(parser);

	if (buffer_append(&client->body, bytes, n) < 0) {
		set_why(client, "out of memory for the answer");
		return HPE_USER;
	}
	return 0;
}

/* Pauses behind each message, so that nothing that follows is taken for a part of it. */
static int on_message_complete(llhttp_t *parser)
{
	client_of(parser)->complete = !is_informational(parser);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* -- The engine -- */

/* Parses; returns the bytes taken. */
static size_t parse(struct http1_client *client, const uint8_t *bytes, size_t n)
{
	const char *text = (const char *)bytes;

	switch ((int)llhttp_execute(&client->parser, text, n)) {
	case HPE_OK:
		return n;
	case HPE_PAUSED:
		n = (size_t)(llhttp_get_error_pos(&client->parser) - text);
		llhttp_resume(&client->parser);
		return n;
	default:
		set_why(client, client->state == HEAD ? "the answer is not HTTP/1.1"
						      : "the answer's body cannot be understood");
		return n;
	}
}

/* Byte by byte, so that it ends where the head does: heads are small, and rare. */
static size_t receive_head(struct http1_client *client, const uint8_t *bytes, size_t n)
{
	size_t taken = 0;

	while (taken < n && client->state == HEAD && !client->why[0]) {
		if (client->head_bytes == client->limits.max_head_bytes) {
			set_why(client, "the answer's head is larger than %zu bytes",
				client->limits.max_head_bytes);
			break;
		}
		client->head_bytes++;
		taken += parse(client, bytes + taken, 1);
	}
	if (client->state == BODY) {
		timer_start_at(client->timers, &client->timer,
			       client->began_ns + client->limits.timeout_ns);
	}
	return taken;
}

static bool too_large(const struct http1_client *client)
{
	return !(client->parser.flags & F_CHUNKED) && (client->parser.flags & F_CONTENT_LENGTH) &&
	       client->parser.content_length > client->limits.max_body_bytes - client->body_bytes;
}

static size_t receive_body(struct http1_client *client, const uint8_t *bytes, size_t n)
{
	size_t room = client->limits.max_body_bytes - client->body_bytes;

	if (room == 0 || too_large(client)) {
		set_why(client, "the answer is larger than %zu bytes",
			client->limits.max_body_bytes);
		return n;
	}
	n = parse(client, bytes, MIN(n, room));
	client->body_bytes += n;
	return n;
}

static ssize_t client_receive(struct engine *engine, const uint8_t *bytes, size_t n)
{
	struct http1_client *client = client_from_engine(engine);
	size_t taken = 0;

	while (taken < n && client->state != DONE) {
		taken += client->state == HEAD ? receive_head(client, bytes + taken, n - taken)
					       : receive_body(client, bytes + taken, n - taken);
		if (client->complete || client->why[0]) {
			finish(client);
		}
	}
	return (ssize_t)n; /* what follows the answer is of no interest */
}

/* For an answer without a length this is how it ends. */
static void client_end_of_input(struct engine *engine)
{
	struct http1_client *client = client_from_engine(engine);

	if (client->state == BODY) {
		(void)llhttp_finish(&client->parser);
	}
	if (!client->complete) {
		set_why(client, client->head_bytes > 0
					? "the answer was cut off"
					: "the connection was closed without an answer");
	}
	finish(client);
}

static int client_produce(struct engine *engine, struct buffer *out, size_t room)
{
	struct http1_client *client = client_from_engine(engine);
	size_t n = MIN(buffer_len(&client->request), room);

	if (n > 0 && buffer_append(out, buffer_data(&client->request), n) < 0) {
		client->error = -ENOMEM;
		set_why(client, "out of memory for the request");
		finish(client);
		return -ENOMEM;
	}
	if (n > 0) {
		buffer_consume(&client->request, n);
	}
	return client->error < 0 ? client->error : buffer_len(&client->request) > 0;
}

static bool client_finished(const struct engine *engine)
{
	const struct http1_client *client = (const struct http1_client *)engine;

	return client->state == DONE;
}

static void client_drain(struct engine *engine, enum engine_drain how)
{
	struct http1_client *client = client_from_engine(engine);

	if (how == ENGINE_DRAIN_NOW) {
		set_why(client, "given up");
		finish(client);
	}
}

static void client_release(struct engine *engine, int err)
{
	struct http1_client *client = client_from_engine(engine);

	client->engine.wake = NULL;
	set_why(client, err < 0 ? "the connection was lost" : "the connection was closed");
	finish(client);
	free(client);
}

static const struct engine_ops ops = {
	.receive = client_receive,
	.end_of_input = client_end_of_input,
	.produce = client_produce,
	.finished = client_finished,
	.drain = client_drain,
	.release = client_release,
};

static int render(struct buffer *out, const struct http1_client_request *request)
{
	struct str accept = request->accept.len > 0 ? request->accept : STR("*/*");

	return buffer_printf(out,
			     "GET %" STR_FMT " HTTP/1.1\r\n"
			     "Host: %" STR_FMT "\r\n"
			     "User-Agent: echod\r\n"
			     "Accept: %" STR_FMT "\r\n"
			     "Accept-Encoding: identity\r\n"
			     "Connection: close\r\n\r\n",
			     STR_ARG(request->target), STR_ARG(request->host), STR_ARG(accept));
}

struct engine *http1_client_new(const struct http1_client_limits *limits,
				const struct http1_client_request *request,
				const struct http1_client_events *events, void *user,
				struct timers *timers)
{
	struct http1_client *client = calloc(1, sizeof(*client));

	if (!client || render(&client->request, request) < 0) {
		free(client);
		return NULL;
	}
	client->engine.ops = &ops;
	client->limits = *limits;
	client->events = events;
	client->user = user;
	client->timers = timers;
	client->began_ns = timers_now(timers);
	llhttp_init(&client->parser, HTTP_RESPONSE, &settings);
	timer_init(&client->timer, on_timer);
	timer_start_at(timers, &client->timer,
		       client->began_ns + MIN(limits->head_timeout_ns, limits->timeout_ns));
	return &client->engine;
}

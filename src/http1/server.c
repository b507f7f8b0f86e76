/*
 *             first byte         blank line       end of body
 *   WAITING ------------> HEAD -----------> BODY ------------> ANSWERING
 *    ^   ^                 | |  (without a body: at once)       ^  |
 *    |   '--- empty line --' '----------------------------------'  | http1_server_respond()
 *    |                                                             v
 *    '-------------------- last byte produced ------------------ SENDING
 *                                                                  | last response produced
 *    idle too long, FIN between requests, drained, failed          v
 *    -----------------------------------------------------------> DONE
 *
 * HEAD and BODY go to SENDING, with the last response, where a request is
 * refused or too slow. BODY includes the trailer section.
 */
#include "http1/server.h"

#include <assert.h>
#include <errno.h>
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http1/head.h"

enum state { WAITING, HEAD, BODY, ANSWERING, SENDING, DONE };

struct http1_server {
	struct engine engine;
	struct http1_server_limits limits;
	const struct http1_server_events *events;
	void *user;
	struct timers *timers;
	struct timer timer; /* idle, header, body or write: one at a time, as the state says */
	enum state state;
	bool last;     /* no request follows the one in progress */
	bool complete; /* the parser saw the end of the request */
	bool trailers; /* the parser saw the last chunk */
	int error;
	int64_t moved_ns; /* when a byte last moved */
	int64_t idle_ns;  /* when WAITING is given up */
	size_t body_bytes;
	struct http1_head *head;   /* HEAD to ANSWERING */
	struct buffer body;        /* of the request, as far as it is kept: BODY to ANSWERING */
	bool body_lost;            /* no memory for it */
	struct http1_later *later; /* ANSWERING: who will respond; or NULL */
	llhttp_t parser;
	struct buffer reply_head, reply_body; /* SENDING */
};

const struct http1_server_limits http1_server_default_limits = HTTP1_SERVER_DEFAULT_LIMITS;

static const char *reason_phrase(int status)
{
	switch (status) {
#define CASE(number, text) \
	case number:       \
		return text;
		HTTP1_STATUSES(CASE)
#undef CASE
	default:
		return "";
	}
}

const struct http1_header *http1_request_next(const struct http1_request *request, struct str name,
					      const struct http1_header *previous)
{
	const struct http1_header *end = request->headers + request->n_headers;

	for (const struct http1_header *at = previous ? previous + 1 : request->headers; at < end;
	     at++) {
		if (str_equal_nocase(at->name, name)) {
			return at;
		}
	}
	return NULL;
}

struct str http1_request_header(const struct http1_request *request, struct str name)
{
	const struct http1_header *first = http1_request_next(request, name, NULL);

	return first ? first->value : (struct str){ NULL, 0 };
}

static void end_with(struct http1_server *server, int error)
{
	server->state = DONE;
	server->error = error;
	if (server->later) {
		server->later->server = NULL;
		server->later = NULL;
	}
	timer_stop(server->timers, &server->timer);
	buffer_free(&server->reply_head);
	buffer_free(&server->reply_body);
	engine_wake(&server->engine);
}

static void drop_head(struct http1_server *server)
{
	free(server->head);
	server->head = NULL;
	buffer_free(&server->body);
}

static void await_request(struct http1_server *server)
{
	server->state = WAITING;
	timer_start_at(server->timers, &server->timer, server->idle_ns);
}

/* RFC 9110 5.6.7: an IMF-fixdate, in English whatever the locale. */
static void format_date(char *text, size_t size)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm tm = { .tm_mday = 1, .tm_year = 70 };

	gmtime_r(&now, &tm);
	snprintf(text, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
		 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* An origin server with a clock sends Date (RFC 9110 6.6.1). */
static int render_head(struct http1_server *server, const struct http1_response *response,
		       size_t length)
{
	struct buffer *out = &server->reply_head;
	char date[64];

	format_date(date, sizeof(date));
	if (buffer_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", response->status,
			  reason_phrase(response->status), date) < 0 ||
	    (response->content_type &&
	     buffer_printf(out, "Content-Type: %s\r\n", response->content_type) < 0) ||
	    buffer_printf(out, "Content-Length: %zu\r\n", length) < 0 ||
	    (server->last && buffer_append_str(out, STR("Connection: close\r\n")) < 0) ||
	    (response->headers && buffer_append_str(out, str_from(response->headers)) < 0) ||
	    buffer_append_str(out, STR("\r\n")) < 0) {
		return -ENOMEM;
	}
	return 0;
}

static void send_response(struct http1_server *server, struct http1_response *response)
{
	bool headless = !server->head || !server->head->request.method.data;
	int64_t timeout_ns = server->limits.write_timeout_ns;
	size_t length = buffer_len(&response->body);

	if (response->write_timeout_ns > 0 && response->write_timeout_ns < timeout_ns) {
		timeout_ns = response->write_timeout_ns;
	}
	server->last |= response->close;
	if (headless || !str_equal(server->head->request.method, STR("HEAD"))) {
		buffer_swap(&server->reply_body, &response->body);
	}
	buffer_free(&response->body);
	if (render_head(server, response, length) < 0) {
		end_with(server, -ENOMEM);
		return;
	}
	drop_head(server);
	server->state = SENDING;
	timer_start(server->timers, &server->timer, timeout_ns);
	server->events->responded(server->user, response->status);
	engine_wake(&server->engine);
}

void http1_server_respond(struct http1_server *server, struct http1_response *response)
{
	bool waits = server->state == ANSWERING;

	assert(waits || server->state == DONE); /* drained meanwhile */
	if (response->later) {
		response->later->server = waits ? server : NULL;
		server->later = waits ? response->later : NULL;
	} else if (waits) {
		send_response(server, response);
		return;
	}
	buffer_free(&response->body);
}

void http1_later_respond(struct http1_later *later, struct http1_response *response)
{
	struct http1_server *server = later->server;

	response->later = NULL;
	if (!server) {
		buffer_free(&response->body);
		return;
	}
	assert(server->later == later);
	server->later = NULL;
	later->server = NULL;
	http1_server_respond(server, response);
}

/* What never reaches a handler. `why` is ours: nothing of the request is reflected. */
static void refuse(struct http1_server *server, int status, const char *why)
{
	struct http1_response response = {
		.status = status,
		.content_type = "text/plain; charset=utf-8",
		.headers = "X-Content-Type-Options: nosniff\r\n",
		.close = true,
	};

	if (buffer_printf(&response.body, "%d %s: %s\n", status, reason_phrase(status), why) < 0) {
		buffer_free(&response.body); /* the status alone says enough */
	}
	send_response(server, &response);
}

static void on_timer(struct timer *timer)
{
	struct http1_server *server = container_of(timer, struct http1_server, timer);

	switch (server->state) {
	case WAITING:
		end_with(server, 0);
		break;
	case HEAD:
	case BODY:
		refuse(server, 408, "the request took too long");
		break;
	case SENDING:
		end_with(server, -ETIMEDOUT);
		break;
	case ANSWERING:
	case DONE:
		assert(false); /* no timer runs */
	}
}

static struct http1_server *server_of(llhttp_t *parser)
{
	return container_of(parser, struct http1_server, parser);
}

/* The trailer section is read line by line, as the head is. */
static int on_chunk_header(llhttp_t *parser)
{
	if (parser->content_length > 0) {
		return 0;
	}
	server_of(parser)->trailers = true;
	return HPE_PAUSED;
}

/* What the framing of the body leaves of it. */
static int on_body(llhttp_t *parser, const char *bytes, size_t n)
{
	struct http1_server *server = server_of(parser);
	size_t kept = MIN(n, server->limits.keep_body_bytes - buffer_len(&server->body));

	if (kept > 0 && buffer_append(&server->body, bytes, kept) < 0) {
		server->body_lost = true;
	}
	server->head->request.body_cut |= kept < n;
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	server_of(parser)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_chunk_header = on_chunk_header,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* 0, or the status that says what the parser found wrong. */
static int parse(struct http1_server *server, const char *bytes, size_t n)
{
	switch ((int)llhttp_execute(&server->parser, bytes, n)) {
	case HPE_OK:
	case HPE_PAUSED:
	case HPE_PAUSED_UPGRADE:
		return 0;
	case HPE_INVALID_METHOD:
		return 501;
	default:
		return 400;
	}
}

static void deliver(struct http1_server *server)
{
	struct http1_request *request = &server->head->request;
	struct bytes body = buffer_bytes(&server->body);

	server->state = ANSWERING;
	timer_stop(server->timers, &server->timer);
	request->body = (struct str){ (const char *)body.data, body.len };
	server->events->request(server->user, server, request);
}

/* The body in front of which the peer waits is one that a handler might be given whole. */
static bool is_wanted(const struct http1_server *server)
{
	return server->limits.keep_body_bytes > 0 &&
	       (server->parser.flags & F_CHUNKED ||
		server->parser.content_length <= server->limits.keep_body_bytes);
}

static int tell_to_go_on(struct http1_server *server)
{
	engine_wake(&server->engine);
	return buffer_append_str(&server->reply_head, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* The blank line has been parsed: is there a body, and do we want it? */
static void begin_body(struct http1_server *server)
{
	bool expects = server->head->expects && !server->head->http_1_0; /* RFC 9110 10.1.1 */

	server->last |= server->head->http_1_0 || !llhttp_should_keep_alive(&server->parser);
	if (server->complete) {
		deliver(server);
	} else if (!(server->parser.flags & F_CHUNKED) &&
		   server->parser.content_length > server->limits.max_body_bytes) {
		refuse(server, 413, "request body too large");
	} else if (expects && !is_wanted(server)) {
		server->last = true;
		server->head->request.body_cut = true; /* it is not asked for */
		deliver(server);
	} else if (expects && tell_to_go_on(server) < 0) {
		end_with(server, -ENOMEM);
	} else {
		server->state = BODY;
		server->body_bytes = 0;
		timer_start(server->timers, &server->timer, server->limits.header_timeout_ns);
	}
}

static int begin_request(struct http1_server *server)
{
	server->head = http1_head_new(server->limits.max_header_bytes, server->limits.max_headers);
	if (!server->head) {
		return -ENOMEM;
	}
	llhttp_init(&server->parser, HTTP_REQUEST, &settings);
	server->complete = server->trailers = false;
	server->state = HEAD;
	timer_start(server->timers, &server->timer, server->limits.header_timeout_ns);
	return 0;
}

/* A line of the head or of the trailers; returns the bytes taken. */
static size_t receive_line(struct http1_server *server, const uint8_t *bytes, size_t n)
{
	size_t taken;
	enum http1_head_event event = http1_head_feed(server->head, bytes, n, &taken);
	int status = 0;

	if (event == HTTP1_HEAD_LINE || event == HTTP1_HEAD_END) {
		struct str line = http1_head_line(server->head);

		status = parse(server, line.data, line.len);
	}
	if (event == HTTP1_HEAD_REFUSED) {
		refuse(server, server->head->status, server->head->why);
	} else if (event == HTTP1_HEAD_EMPTY) {
		drop_head(server);
		await_request(server);
	} else if (status > 0) {
		refuse(server, status, "the request cannot be understood");
	} else if (event == HTTP1_HEAD_END && server->state == HEAD) {
		begin_body(server);
	} else if (event == HTTP1_HEAD_END) {
		assert(server->complete);
		deliver(server);
	}
	return taken;
}

/* The allowance is applied before the bytes are parsed: how they were cut does not matter. */
static size_t receive_body(struct http1_server *server, const uint8_t *bytes, size_t n)
{
	size_t taken = MIN(n, server->limits.max_body_bytes - server->body_bytes);
	int status;

	if (taken == 0) {
		refuse(server, 413, "request body too large");
		return 0;
	}
	if (server->trailers) {
		taken = receive_line(server, bytes, taken);
		server->body_bytes += taken;
		return taken;
	}
	status = parse(server, (const char *)bytes, taken);
	if (status > 0) {
		refuse(server, status, "the request's body cannot be understood");
		return taken;
	}
	if (llhttp_get_errno(&server->parser) != HPE_OK) {
		taken = (size_t)(llhttp_get_error_pos(&server->parser) - (const char *)bytes);
	}
	server->body_bytes += taken;
	if (server->body_lost) {
		end_with(server, -ENOMEM);
	} else if (server->complete) {
		deliver(server);
	} else if (server->trailers) {
		llhttp_resume(&server->parser);
		http1_head_begin_trailers(server->head);
	}
	return taken;
}

static ssize_t server_receive(struct engine *engine, const uint8_t *bytes, size_t n)
{
	struct http1_server *server = http1_server_from_engine(engine);
	size_t taken = 0;

	while (taken < n) {
		if (server->state == WAITING && begin_request(server) < 0) {
			end_with(server, -ENOMEM);
		}
		if (server->state == HEAD) {
			taken += receive_line(server, bytes + taken, n - taken);
		} else if (server->state == BODY) {
			taken += receive_body(server, bytes + taken, n - taken);
		} else if (server->last || server->state == DONE) {
			taken = n; /* nothing more is wanted */
		} else {
			break;
		}
	}
	if (taken > 0) {
		server->moved_ns = timers_now(server->timers);
	}
	return server->error < 0 ? server->error : (ssize_t)taken;
}

/* A request that is whole is still answered: the peer may have closed only its half. */
static void server_end_of_input(struct engine *engine)
{
	struct http1_server *server = http1_server_from_engine(engine);

	server->last = true;
	if (server->state == WAITING || server->state == HEAD || server->state == BODY) {
		end_with(server, 0);
	}
}

/* Moves at most `room` bytes. */
static int move(struct buffer *from, struct buffer *out, size_t *room)
{
	size_t n = MIN(buffer_len(from), *room);

	if (n == 0) {
		return 0;
	}
	if (buffer_append(out, buffer_data(from), n) < 0) {
		return -ENOMEM;
	}
	buffer_consume(from, n);
	*room -= n;
	return 0;
}

static int server_produce(struct engine *engine, struct buffer *out, size_t room)
{
	struct http1_server *server = http1_server_from_engine(engine);
	size_t before = room;

	if (move(&server->reply_head, out, &room) < 0 ||
	    move(&server->reply_body, out, &room) < 0) {
		end_with(server, -ENOMEM);
	}
	if (room < before) {
		server->moved_ns = timers_now(server->timers);
	}
	if (buffer_len(&server->reply_head) > 0 || buffer_len(&server->reply_body) > 0) {
		return 1;
	}
	if (server->state != SENDING) { /* before, there is at most a word that a body may come */
		return server->error;
	}
	buffer_free(&server->reply_head);
	buffer_free(&server->reply_body);
	if (server->last) {
		end_with(server, 0);
	} else {
		server->idle_ns = timers_now(server->timers) + server->limits.idle_timeout_ns;
		await_request(server);
	}
	return 0;
}

static bool server_finished(const struct engine *engine)
{
	const struct http1_server *server = (const struct http1_server *)engine;

	return server->state == DONE;
}

static void server_drain(struct engine *engine, enum engine_drain how)
{
	struct http1_server *server = http1_server_from_engine(engine);

	server->last = true;
	if (server->state == WAITING || (how == ENGINE_DRAIN_NOW && server->state != DONE)) {
		end_with(server, 0);
	}
}

static void server_release(struct engine *engine, int err)
{
	struct http1_server *server = http1_server_from_engine(engine);

	(void)err;
	server->engine.wake = NULL;
	end_with(server, 0);
	server->events->closed(server->user);
	drop_head(server);
	free(server);
}

static const struct engine_ops ops = {
	.receive = server_receive,
	.end_of_input = server_end_of_input,
	.produce = server_produce,
	.finished = server_finished,
	.drain = server_drain,
	.release = server_release,
};

struct engine *http1_server_new(const struct http1_server_limits *limits,
				const struct http1_server_events *events, void *user,
				struct timers *timers)
{
	struct http1_server *server = calloc(1, sizeof(*server));

	if (!server) {
		return NULL;
	}
	server->engine.ops = &ops;
	server->limits = *limits;
	server->events = events;
	server->user = user;
	server->timers = timers;
	timer_init(&server->timer, on_timer);
	server->moved_ns = timers_now(timers);
	server->idle_ns = server->moved_ns + limits->idle_timeout_ns;
	await_request(server);
	return &server->engine;
}

int64_t http1_server_still_ns(const struct http1_server *server)
{
	return timers_now(server->timers) - server->moved_ns;
}

struct engine *http1_server_engine(struct http1_server *server)
{
	return &server->engine;
}

struct http1_server *http1_server_from_engine(struct engine *engine)
{
	return container_of(engine, struct http1_server, engine);
}

#include "http1/head.h"

#include <stdlib.h>
#include <strings.h>

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

/* RFC 9110 5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alphanumeric(s.data[i]) && !is_one_of(s.data[i], "!#$%&'*+-.^_`|~")) {
			return false;
		}
	}
	return s.len > 0;
}

/* uri-host [ ":" port ] by its characters (RFC 3986 3.2.2); empty is well-formed in Host. */
static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alphanumeric(s.data[i]) && !is_one_of(s.data[i], "-._~%!$&'()*+,;=:[]")) {
			return false;
		}
	}
	return true;
}

static bool is_digits(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < '0' || s.data[i] > '9') {
			return false;
		}
	}
	return s.len > 0;
}

static enum http1_head_event refuse(struct http1_head *head, int status, const char *why)
{
	head->status = status;
	head->why = why;
	return HTTP1_HEAD_REFUSED;
}

struct http1_head *http1_head_new(size_t max_bytes, size_t max_fields)
{
	struct http1_head *head =
		malloc(sizeof(*head) + max_fields * sizeof(*head->fields) + max_bytes);

	if (!head) {
		return NULL;
	}
	*head = (struct http1_head){ .max_bytes = max_bytes, .max_fields = max_fields };
	head->fields = (struct http1_header *)(head + 1);
	head->bytes = (char *)(head->fields + max_fields);
	head->request.headers = head->fields;
	return head;
}

struct str http1_head_line(const struct http1_head *head)
{
	return (struct str){ head->bytes + head->line, head->len - head->line };
}

void http1_head_begin_trailers(struct http1_head *head)
{
	head->trailers = true;
	head->line = head->len;
}

/*
 * origin-form, absolute-form, or the asterisk of OPTIONS (RFC 9112 3.2); a
 * fragment never reaches a server, and the authority-form is CONNECT's.
 */
static bool split_target(struct http1_request *request)
{
	struct str rest = request->target;
	size_t scheme = 0;

	if (str_equal(rest, STR("*"))) {
		request->path = rest;
		return str_equal(request->method, STR("OPTIONS"));
	}
	if (rest.len > 7 && strncasecmp(rest.data, "http://", 7) == 0) {
		scheme = 7;
	} else if (rest.len > 8 && strncasecmp(rest.data, "https://", 8) == 0) {
		scheme = 8;
	}
	if (scheme > 0) {
		struct str authority = { rest.data + scheme, 0 };

		while (scheme + authority.len < rest.len &&
		       !is_one_of(authority.data[authority.len], "/?")) {
			authority.len++;
		}
		if (authority.len == 0 || !is_host(authority)) {
			return false;
		}
		rest = (struct str){ authority.data + authority.len,
				     rest.len - scheme - authority.len };
	}
	if ((scheme == 0 && rest.data[0] != '/') || memchr(rest.data, '#', rest.len)) {
		return false;
	}

	const char *mark = memchr(rest.data, '?', rest.len);

	request->path = rest;
	if (mark) {
		request->path.len = (size_t)(mark - rest.data);
		request->query = (struct str){ mark + 1, rest.len - request->path.len - 1 };
	}
	if (request->path.len == 0) {
		request->path = STR("/");
	}
	return true;
}

/* method SP request-target SP HTTP-version, one space each (RFC 9112 3). */
static enum http1_head_event take_request_line(struct http1_head *head, struct str line)
{
	struct http1_request *request = &head->request;
	const char *end = line.data + line.len;
	const char *first = memchr(line.data, ' ', line.len);
	const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;

	if (!second || second == first + 1) {
		return refuse(head, 400, "malformed request line");
	}
	request->method = (struct str){ line.data, (size_t)(first - line.data) };
	request->target = (struct str){ first + 1, (size_t)(second - first - 1) };

	struct str version = { second + 1, (size_t)(end - second - 1) };

	if (!is_token(request->method)) {
		return refuse(head, 400, "malformed method");
	}
	if (version.len != 8 || !str_has_prefix(version, STR("HTTP/")) ||
	    !is_digits((struct str){ version.data + 5, 1 }) || version.data[6] != '.' ||
	    !is_digits((struct str){ version.data + 7, 1 })) {
		return refuse(head, 400, "malformed protocol version");
	}
	head->http_1_0 = version.data[7] == '0';
	if (str_equal(request->method, STR("PRI"))) {
		return refuse(head, 400, "this port speaks HTTP/1.1");
	}
	if (version.data[5] != '1' || (version.data[7] != '0' && version.data[7] != '1')) {
		return refuse(head, 505, "this port speaks HTTP/1.1");
	}
	if (!split_target(request)) {
		return refuse(head, 400, "malformed request target");
	}
	return HTTP1_HEAD_LINE;
}

/* Fields that may not come after the body whose end they tell (RFC 9110 6.5.1). */
static bool is_framing(struct str name)
{
	return str_equal_nocase(name, STR("Content-Length")) ||
	       str_equal_nocase(name, STR("Transfer-Encoding"));
}

/*
 * field-name ":" OWS field-value OWS (RFC 9112 5). A folded line begins with a
 * blank, which no name does.
 */
static enum http1_head_event take_field(struct http1_head *head, struct str line)
{
	const char *colon = memchr(line.data, ':', line.len);

	if (!colon) {
		return refuse(head, 400, "header line without a colon");
	}

	struct str name = { line.data, (size_t)(colon - line.data) };

	if (!is_token(name)) {
		return refuse(head, 400, "malformed header name");
	}
	if (head->trailers) {
		return is_framing(name) ? refuse(head, 400, "framing in a trailer")
					: HTTP1_HEAD_LINE;
	}
	if (head->request.n_headers == head->max_fields) {
		return refuse(head, 431, "too many header fields");
	}
	head->fields[head->request.n_headers++] = (struct http1_header){
		name, str_trim((struct str){ colon + 1, line.len - name.len - 1 })
	};
	return HTTP1_HEAD_LINE;
}

/* What decides where a message ends and whom it is for: each at most once, and unambiguous. */
static enum http1_head_event check_fields(struct http1_head *head)
{
	size_t hosts = 0, lengths = 0, encodings = 0;

	for (size_t i = 0; i < head->request.n_headers; i++) {
		struct str name = head->fields[i].name, value = head->fields[i].value;

		if (str_equal_nocase(name, STR("Host"))) {
			hosts++;
			if (!is_host(value)) {
				return refuse(head, 400, "malformed Host");
			}
		} else if (str_equal_nocase(name, STR("Content-Length"))) {
			lengths++;
			if (!is_digits(value)) {
				return refuse(head, 400, "malformed Content-Length");
			}
		} else if (str_equal_nocase(name, STR("Transfer-Encoding"))) {
			encodings++;
			if (!str_equal_nocase(value, STR("chunked"))) {
				return refuse(head, 400, "Transfer-Encoding other than chunked");
			}
		} else if (str_equal_nocase(name, STR("Expect"))) {
			head->expects |= str_equal_nocase(value, STR("100-continue"));
		}
	}
	if (hosts > 1 || (hosts == 0 && !head->http_1_0)) {
		return refuse(head, 400, hosts == 0 ? "no Host" : "more than one Host");
	}
	if (lengths + encodings > 1) {
		return refuse(head, 400, "more than one way to tell the length of the body");
	}
	if (encodings > 0 && head->http_1_0) {
		return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
	}
	return HTTP1_HEAD_END;
}

static enum http1_head_event take_line(struct http1_head *head)
{
	struct str line = http1_head_line(head);

	line.len -= 2; /* CRLF: add_byte() lets no other end through */
	if (line.len == 0 && !head->trailers && !head->request.method.data) {
		head->len = 0;
		return HTTP1_HEAD_EMPTY;
	}
	if (line.len == 0) {
		return head->trailers ? HTTP1_HEAD_END : check_fields(head);
	}
	return head->request.method.data ? take_field(head, line) : take_request_line(head, line);
}

/* NULL, or why this byte cannot follow. */
static const char *refuse_byte(const struct http1_head *head, char c)
{
	bool first_line = !head->request.method.data;
	bool after_cr = head->len > head->line && head->bytes[head->len - 1] == '\r';
	unsigned char byte = (unsigned char)c;

	if (after_cr != (c == '\n')) {
		return "CR or LF alone";
	}
	if ((byte < 0x20 && !is_one_of(c, "\r\n\t")) || byte == 0x7f) {
		return "control character";
	}
	if (first_line && (c == '\t' || byte >= 0x80)) {
		return "malformed request line";
	}
	return NULL;
}

enum http1_head_event http1_head_feed(struct http1_head *head, const uint8_t *bytes, size_t n,
				      size_t *ret_taken)
{
	/* The previous line has been seen; that of a trailer section is not kept. */
	if (head->len > head->line && head->bytes[head->len - 1] == '\n') {
		if (head->trailers) {
			head->len = head->line;
		}
		head->line = head->len;
	}
	for (size_t i = 0; i < n; i++) {
		char c = (char)bytes[i];
		const char *why = refuse_byte(head, c);

		*ret_taken = i + 1;
		if (why) {
			return refuse(head, 400, why);
		}
		if (head->len == head->max_bytes) {
			return head->request.method.data
				       ? refuse(head, 431, "header fields too large")
				       : refuse(head, 414, "request target too long");
		}
		head->bytes[head->len++] = c;
		if (c == '\n') {
			return take_line(head);
		}
	}
	*ret_taken = n;
	return HTTP1_HEAD_MORE;
}

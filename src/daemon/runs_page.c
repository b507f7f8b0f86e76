#include "daemon/runs_page.h"

#include <inttypes.h>

#include "daemon/config.h"

#define NUMBER_ROOM 20 /* digits of a call's number, a dash or a comma; twice in a range */

static const char *const set_names[RUNS_SETS] = {
	[RUNS_RECEIVED] = "received",
	[RUNS_TWICE] = "duplicated",
	[RUNS_ANSWERED] = "answered",
};

static void refuse(struct http1_response *response, int status, const char *text)
{
	response->status = status;
	response->content_type = "text/plain; charset=utf-8";
	response->headers = "X-Content-Type-Options: nosniff\r\n";
	if (buffer_append_str(&response->body, str_from(text)) < 0) {
		buffer_clear(&response->body);
	}
}

static int list_runs(const struct runs *runs, struct buffer *out)
{
	struct runs_totals totals;
	int err = buffer_append_str(out, STR("{\"runs\":["));

	for (size_t i = 0; err == 0 && runs_at(runs, i, &totals); i++) {
		err = buffer_printf(out, "%s\"%016" PRIx64 "\"", i > 0 ? "," : "", totals.id);
	}
	return err < 0 ? err : buffer_append_str(out, STR("]}\n"));
}

/* Where the part that begins at `from` ends: before the range that is one too many for a set. */
static uint64_t end_of_part(const struct runs *runs, uint64_t id, uint64_t from)
{
	uint64_t end = RUNS_MAX_CALLS;

	for (int set = 0; set < RUNS_SETS; set++) {
		uint64_t first, last, at = from;

		for (size_t n = 0;
		     at < end && runs_next(runs, id, (enum runs_set)set, at, &first, &last); n++) {
			if (n == RUNS_PAGE_RANGES) {
				end = MIN(end, first);
				break;
			}
			at = last + 1;
		}
	}
	return end;
}

static char *put_number(char *p, uint64_t number)
{
	char digits[NUMBER_ROOM];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	while (n > 0) {
		*p++ = digits[--n];
	}
	return p;
}

/* "received":"0-999,1001" */
static int put_set(const struct runs *runs, uint64_t id, enum runs_set set, uint64_t from,
		   uint64_t end, struct buffer *out)
{
	uint64_t first, last;
	const char *comma = "";

	if (buffer_printf(out, "%s\"%s\":\"", set > 0 ? "," : "", set_names[set]) < 0) {
		return -1;
	}
	while (from < end && runs_next(runs, id, set, from, &first, &last) && first < end) {
		char *start = (char *)buffer_reserve(out, 2 * NUMBER_ROOM + 1), *p = start;

		if (!p) {
			return -1;
		}
		last = MIN(last, end - 1);
		if (*comma) {
			*p++ = ',';
		}
		p = put_number(p, first);
		if (last > first) {
			*p++ = '-';
			p = put_number(p, last);
		}
		buffer_commit(out, (size_t)(p - start));
		comma = ",";
		from = last + 1;
	}
	return buffer_append_str(out, STR("\""));
}

static int show_run(const struct runs *runs, const struct runs_totals *totals, uint64_t from,
		    struct buffer *out)
{
	uint64_t end = end_of_part(runs, totals->id, from);
	char next[NUMBER_ROOM + 1] = "null";
	int err;

	if (end < RUNS_MAX_CALLS) {
		*put_number(next, end) = '\0';
	}
	err = buffer_printf(out,
			    "{\"run\":\"%016" PRIx64 "\",\"received\":%" PRIu64
			    ",\"untracked\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"distinct\":%" PRIu64
			    ",\"duplicated\":%" PRIu64 ",\"answered\":%" PRIu64
			    ",\"highest\":%" PRIu64 ",\"from\":%" PRIu64 ",\"next\":%s,\"sets\":{",
			    totals->id, totals->received, totals->untracked, totals->lost,
			    totals->distinct, totals->twice, totals->answered, totals->highest,
			    from, next);
	for (int set = 0; err == 0 && set < RUNS_SETS; set++) {
		err = put_set(runs, totals->id, (enum runs_set)set, from, end, out);
	}
	return err < 0 ? err : buffer_append_str(out, STR("}}\n"));
}

/* "from=17", or nothing. */
static bool parse_query(struct str query, uint64_t *ret_from)
{
	struct str name = STR("from="), digits = query;
	uint64_t from = 0;

	*ret_from = 0;
	if (query.len == 0) {
		return true;
	}
	if (!str_has_prefix(query, name) || query.len == name.len || query.len > name.len + 18) {
		return false;
	}
	digits.data += name.len;
	digits.len -= name.len;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9') {
			return false;
		}
		from = from * 10 + (uint64_t)(digits.data[i] - '0');
	}
	*ret_from = from;
	return true;
}

void runs_page_get(void *user, const struct http1_request *request, struct http1_response *response)
{
	const struct runs *runs = user;
	size_t prefix = strlen(CONFIG_PATH_RUNS);
	struct str name = { request->path.data + prefix, request->path.len - prefix };
	struct runs_totals totals;
	uint64_t id, from;
	int err;

	if (!parse_query(request->query, &from)) {
		refuse(response, 400, "400 the query is not from=NUMBER\n");
		return;
	}
	if (name.len == 0) {
		err = list_runs(runs, &response->body);
	} else if (!runs_parse_id(name, &id) || !runs_find(runs, id, &totals)) {
		refuse(response, 404, "404 no such run\n");
		return;
	} else {
		err = show_run(runs, &totals, from, &response->body);
	}
	response->content_type = "application/json";
	if (err < 0) {
		buffer_free(&response->body);
		response->status = 500;
	}
}

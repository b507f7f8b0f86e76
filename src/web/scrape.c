/*
 * The happy path: scrape_get() -> render() -> pack() -> (on another thread) work() ->
 * (on the loop) done() -> http1_later_respond().
 *
 * What can fail: memory, at each step (500, or a plain body); the connection, which may be
 * gone when done() comes.
 */
#include "web/scrape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/gzip.h"
#include "web/form.h"
#include "web/negotiate.h"

#define TEXT_PLAIN   "text/plain; charset=utf-8"
#define NOSNIFF      "X-Content-Type-Options: nosniff\r\n"
#define GZIP_LEVEL   1
#define GZIP_MINIMUM KIB
/* Of the decoded query; more than all that fits into a request. */
#define QUERY_BYTES (64 * KIB)

/* The names that a query asks for. */
struct names {
	struct str names[SCRAPE_MAX_NAMES];
	size_t n;
};

/* A body that is being packed. */
struct packing {
	struct offload_job job;
	struct http1_later later;
	struct scrape *scrape;
	struct http1_response response; /* its body is plain until done() */
	struct buffer packed;
	int err;
};

static bool is_wanted(void *user, const char *family)
{
	const struct names *names = user;
	struct str own = str_from(family);

	for (size_t i = 0; i < names->n; i++) {
		if (str_equal(names->names[i], own)) {
			return true;
		}
	}
	return false;
}

/* 0 or a negative errno. The names are in `arena`. */
static int read_query(struct str query, struct arena *arena, struct names *ret)
{
	struct form_field field;
	int rv;

	ret->n = 0;
	while ((rv = form_next(&query, arena, &field)) > 0) {
		if (!str_equal(field.name, STR("name[]"))) {
			continue;
		}
		if (ret->n == ARRAY_SIZE(ret->names)) {
			return -E2BIG;
		}
		ret->names[ret->n++] = field.value;
	}
	return rv;
}

static int encode(struct scrape *scrape, const struct exposition *exposition,
		  const struct registry_filter *filter, struct buffer *out)
{
	int64_t began_ns = scrape->timers ? timers_now(scrape->timers) : 0;
	int rv = exposition->encode(scrape->registry, filter, out);

	if (scrape->timers) {
		scrape->last_render_ns = timers_now(scrape->timers) - began_ns;
	}
	return rv;
}

/* 0 or a negative errno: -ENOMEM, or what is wrong with the query. */
static int render(struct scrape *scrape, const struct exposition *exposition, struct str query,
		  struct buffer *out)
{
	struct names names;
	struct registry_filter filter = { is_wanted, &names };
	struct arena arena;
	int rv;

	if (query.len == 0) {
		return encode(scrape, exposition, NULL, out);
	}
	arena_init(&arena, NULL, 0, QUERY_BYTES);
	rv = read_query(query, &arena, &names);
	if (rv == 0) {
		rv = encode(scrape, exposition, names.n > 0 ? &filter : NULL, out);
	}
	arena_reset(&arena);
	return rv;
}

static void set_headers(struct scrape *scrape, struct http1_response *response, bool packed)
{
	int n = snprintf(scrape->headers, sizeof(scrape->headers),
			 "%sVary: Accept, Accept-Encoding\r\n",
			 packed ? "Content-Encoding: gzip\r\n" : "");

	if (scrape->start_time_s > 0) {
		snprintf(scrape->headers + n, sizeof(scrape->headers) - (size_t)n,
			 "Process-Start-Time-Unix: %lld\r\n", (long long)scrape->start_time_s);
	}
	response->headers = scrape->headers;
}

static void work(struct offload_job *job)
{
	struct packing *packing = container_of(job, struct packing, job);

	packing->err =
		gzip_compress(buffer_bytes(&packing->response.body), GZIP_LEVEL, &packing->packed);
}

static void done(struct offload_job *job)
{
	struct packing *packing = container_of(job, struct packing, job);
	struct scrape *scrape = packing->scrape;

	scrape->n_packing--;
	if (packing->err == 0) {
		buffer_swap(&packing->response.body, &packing->packed);
	}
	set_headers(scrape, &packing->response, packing->err == 0);
	http1_later_respond(&packing->later, &packing->response);
	buffer_free(&packing->packed);
	free(packing);
}

/*
 * Room for what comes of `n` bytes in the worst case. What the loop will free it also makes:
 * memory of the other thread's heap is given back to the system by whoever frees it.
 */
static int make_room(struct buffer *packed, size_t n)
{
	return buffer_reserve(packed, n + n / KIB + 64) ? 0 : -ENOMEM;
}

/* Has the body packed, and the response sent then; or leaves it as it is. */
static void pack_elsewhere(struct scrape *scrape, struct http1_response *response)
{
	struct packing *packing =
		scrape->n_packing < SCRAPE_MAX_PACKING ? calloc(1, sizeof(*packing)) : NULL;

	if (!packing) {
		return;
	}
	packing->job = (struct offload_job){ work, done };
	packing->scrape = scrape;
	packing->response = *response;
	if (make_room(&packing->packed, buffer_len(&response->body)) < 0 ||
	    scrape->offload->submit(scrape->offload, &packing->job) < 0) {
		buffer_free(&packing->packed);
		free(packing);
		return;
	}
	scrape->n_packing++;
	response->body = (struct buffer)BUFFER_INIT; /* the packing has it */
	response->later = &packing->later;
}

static void pack_here(struct scrape *scrape, struct http1_response *response)
{
	struct buffer packed = BUFFER_INIT;

	if (gzip_compress(buffer_bytes(&response->body), GZIP_LEVEL, &packed) == 0) {
		buffer_swap(&response->body, &packed);
		set_headers(scrape, response, true);
	}
	buffer_free(&packed);
}

static void refuse(struct http1_response *response, int err)
{
	buffer_free(&response->body);
	if (err == -ENOMEM) {
		response->status = 500;
		return;
	}
	response->status = 400;
	response->content_type = TEXT_PLAIN;
	response->headers = NOSNIFF;
	(void)buffer_append_str(&response->body, err == -E2BIG ? STR("400 too many names\n")
							       : STR("400 malformed query\n"));
}

void scrape_get(void *user, const struct http1_request *request, struct http1_response *response)
{
	static const struct exposition *const expositions[] = {
		[NEGOTIATED_TEXT] = &exposition_text,
		[NEGOTIATED_OPENMETRICS] = &exposition_openmetrics,
		[NEGOTIATED_PROTOBUF] = &exposition_protobuf,
	};
	struct scrape *scrape = user;
	struct negotiated chosen = negotiate_format(request, scrape->openmetrics);
	int err = render(scrape, expositions[chosen.format], request->query, &response->body);

	if (err < 0) {
		refuse(response, err);
		return;
	}
	response->content_type = chosen.content_type;
	set_headers(scrape, response, false);
	if (buffer_len(&response->body) < GZIP_MINIMUM || !negotiate_gzip(request)) {
		return;
	}
	if (!scrape->offload) {
		pack_here(scrape, response);
	} else {
		pack_elsewhere(scrape, response);
	}
}

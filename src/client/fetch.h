/*
 * One GET of an http:// URL over a connection of its own.
 *
 * The happy path: the addresses are tried in order -> the first that connects -> the
 * answer, whole -> `done`. What can fail: no address connects, the answer is none, is
 * too large or too late (http1/client.h): `done` then has a reason.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "http1/client.h"
#include "net/address.h"
#include "net/loop.h"

#define FETCH_MAX_ADDRESSES 8
#define FETCH_MAX_TARGET    512

struct fetch;

/* A URL, taken apart. */
struct fetch_url {
	struct address_spec spec;
	char host[300];                /* of the Host field */
	char target[FETCH_MAX_TARGET]; /* path and query */
};

/* Where it leads; resolved once. */
struct fetch_server {
	const struct fetch_url *url;
	struct address addresses[FETCH_MAX_ADDRESSES];
	size_t n;
};

/* "http://host[:port][/path][?query]". 0, or -1 with a reason. */
int fetch_parse_url(const char *text, struct fetch_url *ret, char *why, size_t size);
/* Blocks: for use before the loop runs. 0, or -1 with a reason. */
int fetch_resolve(const struct fetch_url *url, struct fetch_server *ret, char *why, size_t size);

struct fetch_options {
	struct loop *loop;
	const struct fetch_server *server; /* borrowed until the loop is empty */
	const char *target;                /* NULL: the URL's; copied */
	const char *accept;                /* copied */
	size_t max_bytes;                  /* of the body */
	int64_t timeout_ns;                /* of all of it */
	/* Once, never from inside fetch_start(); the fetch is gone then. See http1/client.h. */
	void (*done)(void *user, const struct http1_answer *answer);
	void *user;
};

/* NULL: no memory. */
struct fetch *fetch_start(const struct fetch_options *options);
/* `done` is not called any more; what it held goes as the loop runs. */
void fetch_abort(struct fetch *fetch);

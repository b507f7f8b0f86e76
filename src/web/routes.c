#include "web/routes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define NOSNIFF    "X-Content-Type-Options: nosniff\r\n"

/* What has not moved a byte for this long may be given up for a newcomer. */
#define STILL_NS NS_PER_S

struct web {
	const struct route *routes;
	size_t n_routes;
	struct web_limits limits;
	const struct web_meters *meters;
	struct timers *timers;
	struct list connections; /* of struct web_connection */
	size_t n_served, n_surplus;
	void *asker; /* while a handler runs */
};

/* SERVED counts against the maximum; EVICTED awaits its host, which closes it; SURPLUS gets 503. */
enum role { SERVED, EVICTED, SURPLUS };

struct web_connection {
	struct list node;
	struct web *web;
	enum role role;
	struct http1_server *server;
	void (*evict)(void *host);
	void *host;
};

const struct web_limits web_default_limits = {
	.max_connections = 128,
	.http1 = HTTP1_SERVER_DEFAULT_LIMITS,
};

struct web *web_new(const struct route *routes, size_t n, const struct web_limits *limits,
		    const struct web_meters *meters, struct timers *timers)
{
	struct web *web = calloc(1, sizeof(*web));

	if (!web) {
		return NULL;
	}
	web->routes = routes;
	web->n_routes = n;
	web->limits = *limits;
	web->meters = meters;
	web->timers = timers;
	list_init(&web->connections);
	return web;
}

void web_free(struct web *web)
{
	if (!web) {
		return;
	}
	assert(list_empty(&web->connections));
	free(web);
}

/* An error that a person or a scraper's log may read. Out of memory it goes out without a body. */
static void set_error(struct http1_response *response, int status, const char *headers,
		      const char *text)
{
	response->status = status;
	response->content_type = TEXT_PLAIN;
	response->headers = headers;
	if (buffer_append_str(&response->body, str_from(text)) < 0) {
		buffer_clear(&response->body);
	}
}

static const struct route *find_route(const struct web *web, struct str path)
{
	const struct route *found = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < web->n_routes; i++) {
		const struct route *route = &web->routes[i];
		struct str own = str_from(route->path);

		if (!route->prefix && str_equal(own, path)) {
			return route;
		}
		if (route->prefix && own.len > longest && str_has_prefix(path, own)) {
			found = route;
			longest = own.len;
		}
	}
	return found;
}

/* "10" or "9.5" seconds as Prometheus sends it; 0 for what is absent or is not that. */
static int64_t scrape_timeout_ns(const struct http1_request *request)
{
	struct str text = http1_request_header(request, STR("X-Prometheus-Scrape-Timeout-Seconds"));
	int64_t ns = 0, unit = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c == '.' && unit == 0 && i > 0) {
			unit = NS_PER_S;
		} else if (c < '0' || c > '9') {
			return 0;
		} else if (unit > 0) {
			unit /= 10;
			ns += unit > 0 ? (c - '0') * unit : 0;
			unit = MAX(unit, 1);
		} else if (ns > INT64_MAX / 100) {
			return 0;
		} else {
			ns = ns * 10 + (c - '0') * NS_PER_S;
		}
	}
	return ns;
}

/* The authority of an origin ("http://host:port"); empty where it has none ("null"). */
static struct str authority_of(struct str origin)
{
	static const struct str schemes[] = { STR_INIT("http://"), STR_INIT("https://") };

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (str_has_prefix(origin, schemes[i])) {
			return (struct str){ origin.data + schemes[i].len,
					     origin.len - schemes[i].len };
		}
	}
	return (struct str){ NULL, 0 };
}

/*
 * A browser sends POST for any page to any address that it can reach, and says by two
 * fields whose page it was (Fetch 3.2, Fetch Metadata). What is no browser sends neither.
 */
static bool is_foreign(const struct http1_request *request)
{
	struct str site = http1_request_header(request, STR("Sec-Fetch-Site"));
	struct str origin = http1_request_header(request, STR("Origin"));

	if (site.data && !str_equal(site, STR("same-origin")) && !str_equal(site, STR("none"))) {
		return true;
	}
	if (!origin.data) {
		return false;
	}
	origin = authority_of(origin);
	return origin.len == 0 ||
	       !str_equal_nocase(origin, http1_request_header(request, STR("Host")));
}

/* An error that a handler of the route is not asked about. False: it is to be asked. */
static bool refuse(const struct route *route, const struct http1_request *request,
		   struct http1_response *response)
{
	bool post = str_equal(request->method, STR("POST"));

	if (post && route->post) {
		if (is_foreign(request)) {
			set_error(response, 403, NOSNIFF,
				  "403 this is not for pages of other sites to ask for\n");
		} else if (request->body_cut) {
			set_error(response, 413, NOSNIFF, "413 the body is too long\n");
		} else {
			return false;
		}
	} else if (str_equal(request->method, STR("GET")) ||
		   str_equal(request->method, STR("HEAD"))) {
		return false;
	} else if (route->post) {
		set_error(response, 405, NOSNIFF "Allow: GET, HEAD, POST\r\n",
			  "405 only GET, HEAD and POST are served here\n");
	} else {
		set_error(response, 405, NOSNIFF "Allow: GET, HEAD\r\n",
			  "405 only GET and HEAD are served here\n");
	}
	return true;
}

static void on_request(void *user, struct http1_server *server, const struct http1_request *request)
{
	struct web_connection *connection = user;
	struct web *web = connection->web;
	struct http1_response response = { .status = 200 };
	const struct route *route = find_route(web, request->path);
	char busy[100];

	if (connection->role == SURPLUS) {
		response.close = true;
		snprintf(busy, sizeof(busy),
			 "Limit of concurrent requests reached (%zu), try again later.\n",
			 web->limits.max_connections);
		set_error(&response, 503, NOSNIFF "Retry-After: 1\r\n", busy);
	} else if (!route) {
		set_error(&response, 404, NOSNIFF, "404 page not found\n");
	} else if (!refuse(route, request, &response)) {
		response.write_timeout_ns = scrape_timeout_ns(request);
		web->asker = connection->host;
		(str_equal(request->method, STR("POST")) ? route->post : route->get)(
			route->user, request, &response);
		web->asker = NULL;
	}
	http1_server_respond(server, &response);
}

static void on_responded(void *user, int status)
{
	static const int statuses[] = {
#define STATUS(number, phrase) number,
		HTTP1_STATUSES(STATUS)
#undef STATUS
	};
	struct web_connection *connection = user;
	const struct web_meters *meters = connection->web->meters;
	size_t i = 0;

	while (i < ARRAY_SIZE(statuses) && statuses[i] != status) {
		i++;
	}
	if (meters) {
		counter_increment(meters->requests[i]);
	}
}

static void on_closed(void *user)
{
	struct web_connection *connection = user;

	connection->web->n_served -= connection->role == SERVED;
	connection->web->n_surplus -= connection->role == SURPLUS;
	list_remove(&connection->node);
	free(connection);
}

static const struct http1_server_events events = {
	.request = on_request,
	.responded = on_responded,
	.closed = on_closed,
};

/* The one that has been still for longest, of those still for `least_ns` at least; or NULL. */
static struct web_connection *find_still(struct web *web, enum role role, int64_t least_ns)
{
	struct web_connection *found = NULL;
	int64_t longest = least_ns;

	list_for_each (&web->connections, node) {
		struct web_connection *connection = container_of(node, struct web_connection, node);
		int64_t still_ns = http1_server_still_ns(connection->server);

		if (connection->role == role && still_ns >= longest &&
		    (!found || still_ns > longest)) {
			found = connection;
			longest = still_ns;
		}
	}
	return found;
}

void *web_asker(const struct web *web)
{
	return web->asker;
}

struct engine *web_accept(struct web *web, void (*evict)(void *host), void *host)
{
	bool full = web->n_served >= web->limits.max_connections;
	struct web_connection *still = full ? find_still(web, SERVED, STILL_NS) : NULL;
	bool surplus = full && !still;
	struct http1_server_limits limits = web->limits.http1;

	if (surplus && web->n_surplus >= web->limits.max_connections) {
		still = find_still(web, SURPLUS, 0);
	}
	if (surplus) {
		limits.idle_timeout_ns = MIN(limits.idle_timeout_ns, limits.header_timeout_ns);
	}

	struct web_connection *connection = calloc(1, sizeof(*connection));
	struct engine *engine =
		connection ? http1_server_new(&limits, &events, connection, web->timers) : NULL;

	if (!engine) {
		free(connection);
		return NULL;
	}
	*connection = (struct web_connection){
		.web = web,
		.role = surplus ? SURPLUS : SERVED,
		.server = http1_server_from_engine(engine),
		.evict = evict,
		.host = host,
	};
	web->n_served += !surplus;
	web->n_surplus += surplus;
	list_append(&web->connections, &connection->node);
	if (still) {
		web->n_served -= still->role == SERVED;
		web->n_surplus -= still->role == SURPLUS;
		still->role = EVICTED;
		still->evict(still->host);
	}
	return engine;
}

#include "daemon/pages.h"

#include "version.h"

static void put(struct http1_response *response, int status, const char *text)
{
	int err = buffer_printf(&response->body, ECHOD_NAME " is %s\n", text);

	response->status = err < 0 ? 500 : status;
	response->content_type = "text/plain; charset=utf-8";
}

void pages_healthy(void *user, const struct http1_request *request, struct http1_response *response)
{
	(void)user;
	(void)request;
	put(response, 200, "Healthy.");
}

void pages_ready(void *user, const struct http1_request *request, struct http1_response *response)
{
	static const char *const texts[] = {
		[PAGES_NOT_READY] = "not ready.",
		[PAGES_READY] = "Ready.",
		[PAGES_UNWELL] = "not ready, on purpose (health=not-serving), and serves calls.",
	};
	const struct pages *pages = user;

	(void)request;
	put(response, pages->state == PAGES_READY ? 200 : 503, texts[pages->state]);
}

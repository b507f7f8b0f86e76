#include "daemon/pages.h"

#include "daemon/config.h"
#include "version.h"

static void put(struct http1_response *response, int status, const char *type, int appended)
{
	response->status = appended < 0 ? 500 : status;
	response->content_type = type;
}

void pages_landing(void *user, const struct http1_request *request, struct http1_response *response)
{
	const struct pages *pages = user;

	(void)request;
	put(response, 200, "text/html; charset=utf-8",
	    buffer_printf(&response->body,
			  "<!DOCTYPE html>\n"
			  "<html lang=\"en\">\n"
			  "<head><meta charset=\"utf-8\"><title>%s</title></head>\n"
			  "<body>\n"
			  "<h1>%s</h1>\n"
			  "<p>gRPC echo server, version %s</p>\n"
			  "<ul>\n"
			  "<li><a href=\"%s\">Metrics</a></li>\n"
			  "<li><a href=\"%s\">Health</a></li>\n"
			  "<li><a href=\"%s\">Readiness</a></li>\n"
			  "</ul>\n"
			  "</body>\n"
			  "</html>\n",
			  ECHOD_NAME, ECHOD_NAME, echod_version, pages->telemetry_path,
			  CONFIG_PATH_HEALTHY, CONFIG_PATH_READY));
}

void pages_healthy(void *user, const struct http1_request *request, struct http1_response *response)
{
	(void)user;
	(void)request;
	put(response, 200, "text/plain; charset=utf-8",
	    buffer_printf(&response->body, "%s is Healthy.\n", ECHOD_NAME));
}

void pages_ready(void *user, const struct http1_request *request, struct http1_response *response)
{
	const struct pages *pages = user;

	(void)request;
	put(response, pages->ready ? 200 : 503, "text/plain; charset=utf-8",
	    buffer_printf(&response->body, "%s is %s.\n", ECHOD_NAME,
			  pages->ready ? "Ready" : "not ready"));
}

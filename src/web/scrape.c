#include "web/scrape.h"

#include "base/buffer.h"
#include "base/gzip.h"
#include "web/negotiate.h"

#define VARY         "Vary: Accept, Accept-Encoding\r\n"
#define GZIP_LEVEL   1
#define GZIP_MINIMUM KIB

void scrape_get(void *user, const struct http1_request *request, struct http1_response *response)
{
	const struct scrape *scrape = user;
	struct buffer packed = BUFFER_INIT;

	if (exposition_text.encode(scrape->registry, NULL, &response->body) < 0) {
		buffer_free(&response->body);
		response->status = 500;
		return;
	}
	response->content_type = negotiate_text(request);
	response->headers = VARY;
	if (buffer_len(&response->body) < GZIP_MINIMUM || !negotiate_gzip(request) ||
	    gzip_compress(buffer_bytes(&response->body), GZIP_LEVEL, &packed) < 0) {
		return; /* without memory to compress it goes out as it is */
	}
	buffer_swap(&response->body, &packed);
	buffer_free(&packed);
	response->headers = "Content-Encoding: gzip\r\n" VARY;
}

#include "base/html.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/options.h"

void html_text(struct html *html, struct str text)
{
	static const char *const entities[] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
	};
	struct buffer visible = BUFFER_INIT;
	struct bytes bytes;
	size_t from = 0;

	TEXT_CHAIN(html->err, text_visible(&visible, text));
	bytes = buffer_bytes(&visible);
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = bytes.data[i];

		if (c < ARRAY_SIZE(entities) && entities[c]) {
			TEXT_CHAIN(html->err,
				   buffer_append(html->out, bytes.data + from, i - from));
			HTML(html, "%s", entities[c]);
			from = i + 1;
		}
	}
	if (from < bytes.len) {
		TEXT_CHAIN(html->err,
			   buffer_append(html->out, bytes.data + from, bytes.len - from));
	}
	buffer_free(&visible);
}

void html_count(struct html *html, uint64_t count)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);

	for (int i = 0; i < n; i++) {
		HTML(html, "%s%c", i > 0 && (n - i) % 3 == 0 ? "," : "", digits[i]);
	}
}

void html_fixed(struct html *html, double number, unsigned digits)
{
	TEXT_CHAIN(html->err, text_fixed(html->out, number, digits));
}

void html_duration(struct html *html, int64_t ns)
{
	char text[TEXT_NUMBER_MAX];
	size_t n;

	if (ns == 0) {
		HTML(html, "0 s");
		return;
	}
	if (ns >= 60 * NS_PER_S) {
		format_duration((ns + NS_PER_S / 2) / NS_PER_S * NS_PER_S, text, sizeof(text));
		HTML(html, "%s", text);
		return;
	}
	text_duration(ns, text, sizeof(text));
	n = strspn(text, "0123456789.");
	HTML(html, "%.*s %s", (int)n, text, strcmp(text + n, "us") == 0 ? "&micro;s" : text + n);
}

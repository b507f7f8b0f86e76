#include "client/report_page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void page_print(struct page *page, const char *format, ...)
{
	va_list arguments;
	char *text;
	int n;

	if (page->err < 0) {
		return;
	}
	va_start(arguments, format);
	n = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	text = (char *)buffer_reserve(page->out, (size_t)n + 1);
	if (!text) {
		page->err = -ENOMEM;
		return;
	}
	va_start(arguments, format);
	vsnprintf(text, (size_t)n + 1, format, arguments);
	va_end(arguments);
	buffer_commit(page->out, (size_t)n);
}

void page_say(struct page *page, const char *text)
{
	TEXT_CHAIN(page->err, text_visible(page->out, str_from(text)));
}

void page_paragraph(struct page *page, const struct buffer *text, size_t indent)
{
	struct str rest = { (const char *)buffer_bytes(text).data, buffer_len(text) };
	size_t column = 0;

	while (rest.len > 0) {
		const char *space = memchr(rest.data, ' ', rest.len);
		struct str word = { rest.data, space ? (size_t)(space - rest.data) : rest.len };
		size_t columns = text_columns(word);

		if (column > 0 && column + 1 + columns > page->style.columns) {
			page_print(page, "\n");
			column = 0;
		}
		page_print(page, "%*s%" STR_FMT, (int)(column > 0 ? 1 : indent), "", STR_ARG(word));
		column += (column > 0 ? 1 : indent) + columns;
		rest.data += word.len + (space != NULL);
		rest.len -= word.len + (space != NULL);
	}
	page_print(page, "\n");
}

void page_end_line(struct page *page)
{
	struct buffer *out = page->out;

	while (buffer_len(out) > 0 && out->memory[out->end - 1] == ' ') {
		out->end--;
	}
	page_print(page, "\n");
}

void page_look(struct page *page, enum page_look look)
{
	static const char *const codes[] = {
		[PAGE_PLAIN] = "0", [PAGE_BOLD] = "1",  [PAGE_GOOD] = "32",
		[PAGE_BAD] = "31",  [PAGE_FAINT] = "2",
	};

	if (page->style.colour) {
		page_print(page, "\033[%sm", codes[look]);
	}
}

void page_pad(struct page *page, struct str text, size_t columns)
{
	size_t taken = text_columns(text);

	page_print(page, "%*s", (int)(columns > taken ? columns - taken : 0), "");
}

void page_bar(struct page *page, double share, size_t columns)
{
	/* U+2588 is a whole column, U+2589 to U+258F are 7/8 to 1/8 of one. */
	size_t eighths = (size_t)(MIN(MAX(share, 0), 1) * (double)columns * 8 + .5);

	if (!page->style.blocks) {
		size_t n = (eighths + 4) / 8;

		page_print(page, n == 0 && share > 0 ? "." : "");
		while (n-- > 0) {
			page_print(page, "#");
		}
		return;
	}
	eighths += eighths == 0 && share > 0;
	for (; eighths >= 8; eighths -= 8) {
		page_print(page, "\xe2\x96\x88");
	}
	if (eighths > 0) {
		page_print(page, "\xe2\x96%c", (char)(0x90 - eighths));
	}
}

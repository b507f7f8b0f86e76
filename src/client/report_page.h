/* What the texts of reports are put together with: report_text.c, report_compare.c. */
#pragma once

#include "client/report.h"
#include "client/text.h"

/* A text in the making; an append that fails is remembered, and those after it do nothing. */
struct page {
	struct buffer *out;
	struct report_style style;
	int err; /* 0 or -ENOMEM */
};

enum page_look { PAGE_PLAIN, PAGE_BOLD, PAGE_GOOD, PAGE_BAD, PAGE_FAINT };

void page_print(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What somebody else said: no terminal obeys it. NULL: nothing. */
void page_say(struct page *page, const char *text);
/*
 * A sentence or more, broken at spaces so that it fits the columns, each line after `indent`
 * spaces; a newline at its end.
 */
void page_paragraph(struct page *page, const struct buffer *text, size_t indent);
/* Ends a line, without the spaces that it would end in. */
void page_end_line(struct page *page);
/* The look of what follows; nothing without colour. */
void page_look(struct page *page, enum page_look look);
/* Spaces until `text` would fill `columns`, on its left. */
void page_pad(struct page *page, struct str text, size_t columns);
/* A bar, `share` of `columns` long; what is not nothing shows. */
void page_bar(struct page *page, double share, size_t columns);

/* report_figures.c: the latencies of a run as a table, and drawn. */
void page_latencies(struct page *page, const struct recorder *results);
void page_distribution(struct page *page, const struct latencies *latencies, const char *title);
/* report_sections.c: what is only said where there is something to say. */
void page_injected(struct page *page, const struct recorder *results);
void page_backends(struct page *page, const struct recorder *results);
void page_outage(struct page *page, const struct run *run);
void page_connections(struct page *page, const struct recorder *results);
void page_cost(struct page *page, const struct run *run);
void page_assertions(struct page *page, const struct run *run);
void page_reconciliation(struct page *page, const struct run_reconciliation *all);

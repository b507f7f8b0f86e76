/* Between report_html*.c: the parts of a page. All take at least one run. */
#pragma once

#include <stddef.h>

#include "base/html.h"
#include "client/run.h"

#define REPORT_HTML_STYLES 2
/* The content of <style>. */
extern const char *const report_html_style[REPORT_HTML_STYLES];

/* Colours and dashes for so many runs; further ones begin again. */
#define REPORT_HTML_COLOURS 8

#define REPORT_HTML_NAME_MAX 256
/* What the run at `i` of `n` is called: its name, or its id; of several, with its number. */
void report_html_name(const struct run *run, size_t i, size_t n, char *text, size_t size);

/* Latency by percentile, latency and rate over time; of several runs on one another. */
void report_html_charts(struct html *html, const struct run *const *runs, size_t n);
/* When which server answered, and the outage. */
void report_html_backends(struct html *html, const struct run *run);
/* The numbers side by side. */
void report_html_compare(struct html *html, const struct run *const *runs, size_t n);
/* Everything about one run that is not in a picture. */
void report_html_details(struct html *html, const struct run *run);

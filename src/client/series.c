#include "client/series.h"

#include <errno.h>
#include <stdlib.h>

int series_init(struct series *series)
{
	*series = (struct series){ .bin_ns = SERIES_FIRST_BIN_NS };
	series->bins = calloc(SERIES_MAX_BINS, sizeof(series->bins[0]));
	return series->bins ? 0 : -ENOMEM;
}

void series_deinit(struct series *series)
{
	for (size_t i = 0; series->bins && i < SERIES_MAX_BINS; i++) {
		latencies_free(series->bins[i].latency);
	}
	free(series->bins);
	*series = (struct series){ 0 };
}

/* Moves all of `from` into `into`. */
static void absorb(struct series_bin *into, struct series_bin *from)
{
	into->due += from->due;
	into->started += from->started;
	into->ok += from->ok;
	into->failed += from->failed;
	if (!into->latency) {
		into->latency = from->latency;
	} else if (from->latency) {
		latencies_merge(into->latency, from->latency);
		latencies_free(from->latency);
	}
	*from = (struct series_bin){ 0 };
}

/* Each two neighbours become one; the current one is to be found again. */
static void halve(struct series *series)
{
	for (size_t i = 0; i < series->n; i++) {
		if (i > 0) {
			absorb(&series->bins[i / 2], &series->bins[i]);
		}
	}
	series->n = (series->n + 1) / 2;
	series->bin_ns *= 2;
}

static struct series_bin *bin_at(struct series *series, int64_t at_ns)
{
	/* In one comparison: what is before the bin is very far behind it. */
	if ((uint64_t)at_ns - (uint64_t)series->current_ns < (uint64_t)series->bin_ns &&
	    series->current < series->n) {
		return &series->bins[series->current];
	}
	at_ns = MAX(at_ns, 0);
	while (at_ns / series->bin_ns >= SERIES_MAX_BINS) {
		halve(series);
	}
	series->current = (size_t)(at_ns / series->bin_ns);
	series->current_ns = (int64_t)series->current * series->bin_ns;
	series->n = MAX(series->n, series->current + 1);
	return &series->bins[series->current];
}

void series_due(struct series *series, int64_t at_ns, uint64_t n)
{
	bin_at(series, at_ns)->due += n;
}

void series_started(struct series *series, int64_t at_ns)
{
	bin_at(series, at_ns)->started++;
}

void series_ended(struct series *series, int64_t at_ns, bool ok, int64_t latency_ns)
{
	struct series_bin *bin = bin_at(series, at_ns);

	bin->ok += ok;
	bin->failed += !ok;
	if (latency_ns < 0) {
		return;
	}
	if (!bin->latency) {
		bin->latency = latencies_new_coarse(SERIES_BITS);
	}
	if (bin->latency) {
		latencies_record(bin->latency, latency_ns);
	}
}

int series_merge(struct series *into, const struct series *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct series_bin *bin = &from->bins[i];
		struct series_bin *same = bin_at(into, (int64_t)i * from->bin_ns);

		same->due += bin->due;
		same->started += bin->started;
		same->ok += bin->ok;
		same->failed += bin->failed;
		if (!bin->latency) {
			continue;
		}
		if (!same->latency) {
			same->latency = latencies_new_coarse(SERIES_BITS);
		}
		if (!same->latency) {
			return -ENOMEM;
		}
		latencies_merge(same->latency, bin->latency);
	}
	return 0;
}
